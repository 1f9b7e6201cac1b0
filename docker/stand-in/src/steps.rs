//! The steps of the workshop, found by their folders.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// Which of a step's two crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The starter, with holes.
    Exercise,
    /// The finished step.
    Solution,
}

impl Kind {
    /// `exercise` or `solution`: the word in commands and package names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exercise => "exercise",
            Self::Solution => "solution",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The project's folder: the nearest one at or above the current folder.
///
/// # Errors
/// When the current folder is not inside the workshop.
pub fn root() -> Result<PathBuf> {
    let current =
        std::env::current_dir().context("finding the current folder")?;
    current
        .ancestors()
        .find(|folder| {
            folder.join("exercises").is_dir()
                && folder.join("docker/checker").is_dir()
        })
        .map(Path::to_owned)
        .with_context(|| {
            format!("{} is not inside the workshop's folder", current.display())
        })
}

/// One step: a number and a name that its two crates share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// 1 for step 01.
    pub number: u32,
    /// The folder's name, `01-activate`.
    pub name: String,
}

impl Step {
    /// The folder, relative to the project: `exercises/01-activate`.
    pub fn folder(&self, kind: Kind) -> PathBuf {
        Path::new(match kind {
            Kind::Exercise => "exercises",
            Kind::Solution => "solutions",
        })
        .join(&self.name)
    }

    /// The path of the folder.
    ///
    /// # Errors
    /// When it does not exist. The error says how to get it back.
    pub fn found_folder(&self, root: &Path, kind: Kind) -> Result<PathBuf> {
        let folder = self.folder(kind);
        let path = root.join(&folder);
        if path.is_dir() {
            return Ok(path);
        }
        let folder = folder.display();
        let number = self.number;
        match kind {
            Kind::Exercise => bail!(
                "{folder} is missing: make reset-exercise-{number} makes it again"
            ),
            Kind::Solution => {
                bail!(
                    "{folder} is missing: git restore {folder} makes it again"
                )
            }
        }
    }

    /// The cargo package, which is also the program: `exercise-01`.
    pub fn package(&self, kind: Kind) -> String {
        format!("{kind}-{:02}", self.number)
    }
}

/// All steps in order.
///
/// # Errors
/// When the folder of solutions cannot be read.
pub fn all(root: &Path) -> Result<Vec<Step>> {
    let folder = root.join("solutions");
    let mut steps = Vec::new();
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let digits = name.split('-').next().unwrap_or_default();
        match digits.parse() {
            Ok(number) if digits.len() == 2 => {
                steps.push(Step { number, name });
            }
            _ => {}
        }
    }
    steps.sort_by_key(|step| step.number);
    Ok(steps)
}

/// The step that `word` names: `1`, `01` or `01-activate`.
///
/// # Errors
/// When there is no such step. The error lists the steps.
pub fn find(root: &Path, word: &str) -> Result<Step> {
    let steps = all(root)?;
    let number = word.split('-').next().unwrap_or_default().parse::<u32>();
    let meant = steps.iter().find(|step| number.as_ref() == Ok(&step.number));
    if let Some(step) = meant {
        return Ok(step.clone());
    }
    let known: Vec<_> =
        steps.iter().map(|step| step.number.to_string()).collect();
    match steps.last() {
        Some(_) => {
            bail!("there is no step {word}; the steps are {}", known.join(", "))
        }
        None => Err(anyhow!("no step in {}", root.join("solutions").display())),
    }
}

/// The crate that `program` was built from, if its file name has the form
/// `exercise-01` or `solution-01`.
pub(crate) fn crate_of(root: &Path, program: &Path) -> Option<(Step, Kind)> {
    let name = program.file_name()?.to_str()?;
    let (kind, number) = name.split_once('-')?;
    let kind = match kind {
        "exercise" => Kind::Exercise,
        "solution" => Kind::Solution,
        _ => return None,
    };
    Some((find(root, number).ok()?, kind))
}
