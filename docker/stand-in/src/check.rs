//! One check, for the stand-in daemon or for a real Docker.

use crate::finding::Outcome;

/// One thing that a plugin must do, tried on a `Harness` or on a `Stage` of a
/// real Docker.
#[derive(Debug)]
pub struct Check<On> {
    /// Stable and unique: `2.empty-body`.
    pub id: &'static str,
    /// The step that teaches it.
    pub step: u32,
    /// What a right plugin does, as a sentence.
    pub name: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// The file to change, relative to the step's crate.
    pub file: &'static str,
    /// The place in that file: a hole (`TODO 2.1`) or a function (`` `serve`
    /// ``).
    pub place: &'static str,
    /// The capture or the source that shows the behaviour.
    pub source: &'static str,
    /// Runs the check.
    pub run: fn(&mut On) -> Outcome,
}

/// The words of a check in a report; see [`Check`] for the fields.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// See [`Check::id`].
    pub id: &'static str,
    /// The step that teaches it.
    pub(crate) step: u32,
    /// What a right plugin does.
    pub(crate) name: &'static str,
    /// What goes wrong otherwise.
    pub(crate) why: &'static str,
    /// The file to change.
    pub(crate) file: &'static str,
    /// The place in that file.
    pub(crate) place: &'static str,
}

impl About {
    /// The words of a check.
    pub(crate) fn of<On>(check: &Check<On>) -> Self {
        let Check { id, step, name, why, file, place, .. } = *check;
        Self { id, step, name, why, file, place }
    }
}
