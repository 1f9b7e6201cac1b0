//! How far a learner is in a step: the holes that are filled, and the result of the
//! last check.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use stand_in::Report;
use stand_in::starters::{self, Hole, Progress, Sources};
use stand_in::steps::{self, Kind, Step};

use crate::cargo;

/// The holes of one step, sorted by what a learner has done with them.
///
/// As text: `4.1 done, 4.2 next`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// The ids of the holes that are filled.
    pub done: Vec<String>,
    /// The ids of the others. The first one is next.
    pub open: Vec<String>,
    /// The ids of the filled holes whose comment is still there.
    pub commented: Vec<String>,
}

impl Holes {
    /// The holes of a step, for a learner with these sources.
    ///
    /// # Errors
    /// When the starter's patch does not fit the solution.
    pub fn of(root: &Path, step: &Step, mine: &Sources) -> Result<Self> {
        let all = starters::holes(&starters::pristine(root, step)?);
        Ok(Self::among(&all, mine))
    }

    fn among(all: &[Hole], mine: &Sources) -> Self {
        let mut holes = Self::default();
        for hole in all {
            let id = hole.id.clone();
            match hole.progress(mine) {
                Progress::Open => holes.open.push(id),
                Progress::Filled => holes.done.push(id),
                Progress::Commented => {
                    holes.commented.push(id.clone());
                    holes.done.push(id);
                }
            }
        }
        holes
    }

    /// The same holes after a check has failed because of `suspects`: those come
    /// next, even if they are filled.
    #[must_use]
    pub fn suspecting(mut self, suspects: &[String]) -> Self {
        let is_suspect = |id: &String| suspects.contains(id);
        self.done.retain(|id| !is_suspect(id));
        self.commented.retain(|id| !is_suspect(id));
        self.open.retain(|id| !is_suspect(id));
        self.open.splice(0..0, suspects.iter().cloned());
        self
    }

    /// How many holes the step has.
    pub fn count(&self) -> usize {
        self.done.len() + self.open.len()
    }
}

impl fmt::Display for Holes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.done.is_empty() {
            parts.push(format!("{} done", listed(&self.done)));
        }
        if let Some(next) = self.open.first() {
            parts.push(format!("{next} next"));
        }
        f.write_str(&parts.join(", "))
    }
}

/// `1.1`, `1.1 and 1.2`, or `1.1, 1.2 and 1.3`.
pub fn listed(ids: &[String]) -> String {
    match ids {
        [] => String::new(),
        [id] => id.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The result of the last check of an exercise.
///
/// It is a file in cargo's target folder, so a clean checkout has none. It counts
/// only for the sources that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// All checks passed.
    Passed,
    /// A check failed.
    Failed {
        /// The ids of the holes to mend; empty if the mistake is elsewhere.
        holes: Vec<String>,
        /// The place to mend, as the report has it.
        fix: String,
    },
}

impl Last {
    /// What a report says.
    pub fn of(report: &Report) -> Self {
        match report.failed().next() {
            None => Self::Passed,
            Some(ran) => {
                let fix = ran.fix.clone().unwrap_or_default();
                Self::Failed { holes: fix.holes, fix: fix.text }
            }
        }
    }

    /// The result for these sources, if they were checked last.
    pub fn read(step: &Step, mine: &Sources) -> Option<Self> {
        let text = fs::read_to_string(file(step).ok()?).ok()?;
        let mut lines = text.lines();
        (lines.next()? == mark(mine)).then_some(())?;
        Some(match lines.next() {
            None => Self::Passed,
            Some(holes) => Self::Failed {
                holes: holes.split_whitespace().map(str::to_owned).collect(),
                fix: lines.next().unwrap_or_default().to_owned(),
            },
        })
    }

    /// Remembers the result for these sources.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, step: &Step, mine: &Sources) -> Result<()> {
        let mut text = mark(mine) + "\n";
        if let Self::Failed { holes, fix } = self {
            text += &format!("{}\n{fix}\n", holes.join(" "));
        }
        let file = file(step)?;
        let folder = file.parent().context("finding the folder of hints")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, text))
            .with_context(|| format!("writing {}", file.display()))
    }
}

fn file(step: &Step) -> Result<PathBuf> {
    let name = format!("check-{:02}", step.number);
    Ok(cargo::target()?.join("hints").join(name))
}

/// A text that differs for different sources.
fn mark(sources: &Sources) -> String {
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A learner's sources of one exercise, and its holes.
///
/// # Errors
/// When the exercise cannot be read.
pub fn of(root: &Path, step: &Step) -> Result<(Sources, Holes)> {
    let mine = starters::read(root, step, Kind::Exercise)?;
    let holes = Holes::of(root, step, &mine)?;
    Ok((mine, holes))
}

/// The exercise that a learner is in.
#[derive(Debug)]
pub struct Current {
    /// Its step.
    pub step: Step,
    /// Its holes.
    pub holes: Holes,
    /// Whether it differs from its starter.
    pub begun: bool,
}

/// The last exercise that has been begun; if all its holes are filled, the first one
/// behind it that has open holes. `None` if no hole is open there.
pub fn current(root: &Path) -> Option<Current> {
    let mut current: Option<Current> = None;
    for step in steps::all(root).ok()? {
        let Ok((mine, holes)) = of(root, &step) else { continue };
        let starter = starters::pristine(root, &step).ok();
        let begun = starter.as_ref() != Some(&mine);
        let is_open = !holes.open.is_empty();
        let has_none = current.as_ref().is_none_or(|last| !last.is_open());
        if begun || (is_open && has_none) {
            current = Some(Current { step, holes, begun });
        }
    }
    current.filter(Current::is_open)
}

impl Current {
    fn is_open(&self) -> bool {
        !self.holes.open.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    type Edit = (&'static str, &'static str);

    /// Step 4 with these edits of its volumes.rs.
    #[track_caller]
    fn edited(edits: &[Edit]) -> String {
        let root = steps::root().unwrap();
        let step = steps::find(&root, "4").unwrap();
        let mut mine = starters::pristine(&root, &step).unwrap();
        let all = starters::holes(&mine);
        let text = mine.get_mut(Path::new("src/volumes.rs")).unwrap();
        for (old, new) in edits {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            *text = text.replace(old, new);
        }
        let holes = Holes::among(&all, &mine);
        format!("{holes}; left: {}", listed(&holes.commented))
    }

    #[test]
    fn what_is_done_and_what_is_next_is_said() {
        assert_eq!(edited(&[]), "4.1 next; left: ");
        let gone: Edit = ("// TODO(4.1)", "// Mine");
        assert_eq!(edited(&[gone]), "4.1 done, 4.2 next; left: ");
        let filled: Edit = ("todo!(\"4.3\")", "Ok(PathBuf::new())");
        let both = edited(&[gone, filled]);
        assert_eq!(both, "4.1 and 4.3 done, 4.2 next; left: 4.3");
        // A hole without its comment is open as long as it panics.
        let gone: Edit = ("// TODO(4.3)", "// Mine");
        assert_eq!(edited(&[gone]), "4.1 next; left: ");
    }

    #[test]
    fn the_hole_of_the_failed_check_is_next() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).into()).collect();
        let holes = Holes {
            done: ids(&["4.1", "4.2"]),
            open: ids(&["4.3"]),
            commented: ids(&["4.1"]),
        };
        let holes = holes.suspecting(&["4.1".to_owned()]);
        assert_eq!(holes.to_string(), "4.2 done, 4.1 next");
        assert_eq!(holes.count(), 3);
        assert!(holes.commented.is_empty());
    }
}
