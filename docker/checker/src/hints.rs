//! `make hint-N`: prints the folded hints of a step's README, one at a time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use stand_in::starters::Sources;
use stand_in::steps::{Kind, Step};

use crate::cargo;
use crate::progress::{self, Holes, Last, listed};

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

/// The next hint for one hole: for `wanted`, or for the hole of the last failed
/// check, or else for the first one that is open. A file in cargo's target folder
/// counts the hints given, so a clean checkout starts again. If nothing is left to
/// do, the text says so.
///
/// # Errors
/// When the step has no such hole, or the README is missing or has no hint for the
/// hole.
pub fn next(root: &Path, step: &Step, wanted: Option<&str>) -> Result<String> {
    let number = step.number;
    let (mine, holes) = progress::of(root, step)?;
    let hole = match wanted {
        Some(wanted) => named(step, &holes, wanted)?,
        None => match choose(step, &mine, &holes) {
            Ok(hole) => hole,
            Err(nothing) => return Ok(nothing),
        },
    };
    let readme = step.folder(Kind::Exercise).join("README.md");
    let text = fs::read_to_string(root.join(&readme)).with_context(|| {
        let readme = readme.display();
        format!(
            "the hints are in {readme}, which cannot be read (git restore \
             {readme} brings it back)"
        )
    })?;
    let hints: Vec<_> =
        read(&text).into_iter().filter(|hint| hint.hole == hole).collect();
    let given = Given::of(&hole)?;
    let count = given.count().min(hints.len().saturating_sub(1));
    let hint = hints.get(count).with_context(|| {
        format!(
            "{} has no hint for {hole}; make diff-exercise-{number} shows the \
             solution",
            readme.display(),
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
    Ok(format!("Hole {hole}, {}:\n\n{}\n\n{more}", hint.kind, hint.text))
}

/// The hole of the step that `HOLE=` names.
fn named(step: &Step, holes: &Holes, wanted: &str) -> Result<String> {
    let mut ids: Vec<_> = holes.done.iter().chain(&holes.open).collect();
    ids.sort();
    match ids.iter().find(|id| **id == wanted.trim()) {
        Some(id) => Ok((*id).clone()),
        None => {
            let ids: Vec<_> = ids.into_iter().cloned().collect();
            let (number, ids) = (step.number, listed(&ids));
            bail!("step {number} has no hole {wanted}: its holes are {ids}")
        }
    }
}

/// The hole that a hint helps with most, or a text about why there is none.
fn choose(
    step: &Step,
    mine: &Sources,
    holes: &Holes,
) -> Result<String, String> {
    let number = step.number;
    let last = Last::read(step, mine);
    match &last {
        Some(Last::Passed) => {
            return Err(format!(
                "Nothing is left to do in step {number}: its last check passed."
            ));
        }
        Some(Last::Failed { holes: suspects, .. }) => {
            let is_open = |id: &&String| holes.open.contains(id);
            let open = suspects.iter().find(is_open);
            if let Some(hole) = open.or(suspects.first()) {
                return Ok(hole.clone());
            }
        }
        None => {}
    }
    if let Some(hole) = holes.open.first() {
        return Ok(hole.clone());
    }
    let ids = listed(&holes.done);
    Err(match last {
        Some(Last::Failed { fix, .. }) => format!(
            "The last check failed because of given code: {fix}. No hint is \
             about that; make diff-exercise-{number} shows what differs from \
             the solution. HOLE= names the hole for a hint: {ids}."
        ),
        _ => format!(
            "All holes of step {number} are filled: make \
             check-exercise-{number} says what is missing. HOLE= names the hole \
             for a hint: {ids}."
        ),
    })
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
