//! What one check is, whatever it is played on.

use crate::finding::Outcome;

/// One thing that a plugin must do, played on a `Harness` or on a real Docker's
/// [`Stage`](checker::stories::Stage).
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
    /// The file that answers for it, in the step's crate.
    pub file: &'static str,
    /// What to look for in that file: a hole, or a function.
    pub place: &'static str,
    /// The capture or the source that backs it.
    pub source: &'static str,
    /// Plays it.
    pub run: fn(&mut On) -> Outcome,
}
