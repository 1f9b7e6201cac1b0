//! The stand-in daemon: plays Docker's half of the plugin protocol and grades
//! the program on the other side.
//!
//! A tour, in reading order:
//! - [`steps`]: the steps of the workshop, found in the folders; [`starters`]:
//!   their starters, and the holes in them.
//! - [`checks`]: the table of all checks, and each check as a function;
//!   [`check`]: the description of one check; [`finding`]: the ways in which a
//!   check ends.
//! - [`harness`]: the tools of a check: fresh plugins, and Docker's calls to
//!   them.
//! - [`daemon`]: the requests that dockerd sends, and the way in which it reads
//!   replies.
//! - [`plugin`]: starts, awaits and kills the program under test, and keeps its
//!   log.
//! - [`report`]: the text about checks, and [`export`]: the same for programs; no
//!   other module formats it. [`fix`]: the place that a report names.
//! - [`root`] and [`directory`]: ROOT, and the paths that a plugin returns,
//!   none of which is trusted.
//! - [`mounts`]: the mount table, and the mounts and loop devices of plugins.
//! - [`supervisor`]: ends every process that a plugin starts.
//! - [`cleanup`]: removes everything of ours when a run ends or is interrupted.
//! - [`wait`], [`search_path`] and [`processes`]: waiting for conditions, and
//!   finding programs and processes.
//!
//! Errors: a mistake of the plugin is a [`finding::Finding`]; trouble of the
//! stand-in itself is an [`anyhow::Error`]. They never mix.

pub mod check;
pub mod checks;
pub mod cleanup;
pub mod daemon;
pub mod directory;
pub mod export;
pub mod finding;
pub mod fix;
pub mod harness;
pub mod mounts;
pub mod plugin;
pub mod processes;
pub mod report;
pub mod root;
pub mod search_path;
pub mod starters;
pub mod steps;
pub mod supervisor;
pub mod wait;

use std::path::Path;

pub use report::Report;

/// Runs the checks of steps 1 to `step` against `program`, in order, up to the
/// first that fails.
///
/// # Errors
/// When the stand-in itself cannot work. A wrong plugin is no error: its
/// mistakes are in the report.
pub fn grade(step: u32, program: &Path) -> anyhow::Result<Report> {
    let harness = harness::Harness::new(plugin::Program::new(program)?);
    checks::run(harness, checks::Plan::new(step), |_| ())
}
