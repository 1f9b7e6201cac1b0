//! The stand-in daemon: plays Docker's half of the plugin protocol and grades
//! the program on the other side.
//!
//! A tour, in reading order:
//! - [`steps`]: the steps of the workshop, found in the folders.
//! - [`checks`]: the table of all checks, and each check as a function;
//!   [`check`]: what one of them is; [`finding`]: how it ends.
//! - [`harness`]: what a check works with: fresh plugins and Docker's calls.
//! - [`daemon`]: what dockerd sends, and how it reads what comes back.
//! - [`plugin`]: the program under test: started, awaited, logged, killed.
//! - [`report`]: what a person reads; nothing else formats.
//! - [`root`] and [`directory`]: ROOT, and the plugin's paths, of which none is
//!   trusted.
//! - [`mounts`]: what plugins of step 8 mount.
//! - [`supervisor`]: what keeps together all that a plugin starts.
//! - [`cleanup`]: what an interrupted run must not leave behind.
//! - [`wait`], [`search_path`] and [`processes`]: waiting, and looking for
//!   programs and processes.
//!
//! Errors: what the plugin does wrong is a [`finding::Finding`]; what keeps the
//! stand-in from working is an [`anyhow::Error`]. They never mix.

pub mod check;
pub mod checks;
pub mod cleanup;
pub mod daemon;
pub mod directory;
pub mod finding;
pub mod harness;
pub mod mounts;
pub mod plugin;
pub mod processes;
pub mod report;
pub mod root;
pub mod search_path;
pub mod steps;
pub mod supervisor;
pub mod wait;

use std::path::Path;

pub use report::Report;

/// Runs the checks of steps 1 to `step` against `program`, in order, up to the
/// first that fails.
///
/// # Errors
/// When the stand-in itself cannot work; a wrong plugin is part of the report.
pub fn grade(step: u32, program: &Path) -> anyhow::Result<Report> {
    let harness = harness::Harness::new(plugin::Program::new(program)?);
    checks::run(harness, checks::Plan::new(step), |_| ())
}
