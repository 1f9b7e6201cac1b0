//! The steps of the workshop, as the folders tell them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// Which of a step's two crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With holes: the learner's.
    Exercise,
    /// Finished.
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

/// The project's folder, above the one we were called in.
///
/// # Errors
/// When no folder above looks like the workshop.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("finding where we are")?;
    here.ancestors()
        .find(|it| {
            it.join("exercises").is_dir() && it.join("docker/checker").is_dir()
        })
        .map(Path::to_owned)
        .with_context(|| {
            format!("{} is not inside the workshop's folder", here.display())
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

/// The step that a person means by `word`: `1`, `01` or `01-activate`.
///
/// # Errors
/// Names the steps that there are.
pub fn find(root: &Path, word: &str) -> Result<Step> {
    let steps = all(root)?;
    let number = word.split('-').next().unwrap_or_default().parse::<u32>();
    let meant = steps.iter().find(|it| number.as_ref() == Ok(&it.number));
    if let Some(step) = meant {
        return Ok(step.clone());
    }
    let known: Vec<_> =
        steps.iter().map(|step| step.number.to_string()).collect();
    match steps.last() {
        Some(_) => bail!("no step {word}; there are {}", known.join(", ")),
        None => Err(anyhow!("no step in {}", root.join("solutions").display())),
    }
}

/// The crate that `program` was built from, if its name tells.
///
/// Returns its folder, relative to the project.
pub fn crate_of(root: &Path, program: &Path) -> Option<PathBuf> {
    let name = program.file_name()?.to_str()?;
    let (kind, number) = name.split_once('-')?;
    let kind = match kind {
        "exercise" => Kind::Exercise,
        "solution" => Kind::Solution,
        _ => return None,
    };
    find(root, number).ok().map(|step| step.folder(kind))
}
