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
