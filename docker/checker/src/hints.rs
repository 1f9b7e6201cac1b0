//! `make hint-N`: prints the folded hints of a step's README, one at a time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use stand_in::steps::{Kind, Step};

use crate::{cargo, starters};

/// One folded hint.
#[derive(Debug, PartialEq, Eq)]
pub struct Hint {
    /// `2.1`
    pub hole: String,
    /// `a nudge`, `a pointer` or `an answer`
    pub kind: String,
    /// Markdown.
    pub text: String,
}

/// Reads the hints of a README, in their order.
pub fn read(readme: &str) -> Vec<Hint> {
    readme
        .split("<details><summary>")
        .skip(1)
        .filter_map(|rest| {
            let (summary, rest) = rest.split_once("</summary>")?;
            let (text, _) = rest.split_once("</details>")?;
            let (hole, kind) = summary.split_once(", ")?;
            Some(Hint {
                hole: hole.to_owned(),
                kind: kind.to_owned(),
                text: text.trim().to_owned(),
            })
        })
        .collect()
}

/// The next hint for the first hole that is still open. A file in cargo's target
/// folder counts the hints given, so a clean checkout starts again.
///
/// # Errors
/// When no hole is open, or the README has no hint for the hole.
pub fn next(root: &Path, step: &Step) -> Result<String> {
    let number = step.number;
    let folder = root.join(step.folder(Kind::Exercise));
    let readme = folder.join("README.md");
    let text = fs::read_to_string(&readme)
        .with_context(|| format!("reading {}", readme.display()))?;
    let sources = starters::read(root, step, Kind::Exercise)?;
    let holes = starters::holes(&sources);
    let Some(hole) = holes.first() else {
        bail!(
            "no TODO({number}.…) is left in {}; run make \
             check-exercise-{number} to see what is missing",
            step.folder(Kind::Exercise).display()
        );
    };
    let hints: Vec<_> =
        read(&text).into_iter().filter(|hint| hint.hole == hole.id).collect();
    let given = Given::of(&hole.id)?;
    let count = given.count().min(hints.len().saturating_sub(1));
    let hint = hints.get(count).with_context(|| {
        format!(
            "{} has no hint for {}; make diff-exercise-{number} shows the \
             solution",
            readme.display(),
            hole.id
        )
    })?;
    given.set(count + 1)?;
    let more = match hints.len() - count - 1 {
        0 => "That was the last hint for this hole.".to_owned(),
        1 => format!("make hint-{number} has 1 more hint for this hole."),
        more => {
            format!("make hint-{number} has {more} more hints for this hole.")
        }
    };
    Ok(format!("Hole {}, {}:\n\n{}\n\n{more}", hole.id, hint.kind, hint.text))
}

/// The file that counts the hints given for one hole.
struct Given(PathBuf);

impl Given {
    fn of(hole: &str) -> Result<Self> {
        Ok(Self(cargo::target()?.join("hints").join(hole)))
    }

    fn count(&self) -> usize {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn set(&self, count: usize) -> Result<()> {
        let folder = self.0.parent().context("finding the folder of hints")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&self.0, format!("{count}\n")))
            .with_context(|| format!("writing {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_hints_are_read_in_order() {
        let readme = "# x\n<details><summary>1.1, a nudge</summary>\n\nthink\n\
            </details>\n<details><summary>1.1, an answer</summary>\n\n42\n\
            </details>\n";
        let hints = read(readme);
        let words: Vec<_> = hints
            .iter()
            .map(|hint| (&*hint.hole, &*hint.kind, &*hint.text))
            .collect();
        assert_eq!(
            words,
            [("1.1", "a nudge", "think"), ("1.1", "an answer", "42")]
        );
    }
}
