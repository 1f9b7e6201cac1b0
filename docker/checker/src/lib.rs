//! The stand-in daemon: plays Docker's half of the plugin protocol and grades
//! the program on the other side.
//!
//! A tour, in reading order:
//! - [`steps`]: the steps of the workshop, found in the folders.
//! - [`checks`]: the table of all checks, and each check as a function.
//! - [`lab`]: what a check works with: fresh plugins, calls, findings.
//! - [`daemon`]: what dockerd sends, and how it reads what comes back.
//! - [`plugin`]: the program under test: started, awaited, logged, killed.
//! - [`report`]: what a person reads; nothing else formats.
//! - [`stories`] and [`engine`]: the same steps played by a real dockerd;
//!   [`podman`]: some of them by a real Podman.
//! - [`starters`]: a starter is its solution with holes, and back.
//! - [`cargo`] and [`run`]: building plugins, and one in the foreground.
//! - [`proofs`]: what no check can show: every crash, full disks, hostile names.
//! - [`test`] and [`sandbox`]: what proves this repository, in one run.
//! - [`lint`]: what needs no run.
//! - [`watch`], [`hints`] and [`rescue`]: smaller commands.
//! - [`doctor`]: what this machine has, and what that allows.
//! - [`bench`]: figures, as ratios.
//! - [`mounts`]: what plugins of step 8 mount.
//! - [`root`]: ROOT, and paths of the plugin's, none of which is trusted.
//! - [`supervisor`]: what keeps together all that a plugin starts.
//! - [`cleanup`]: what an interrupted run must not leave behind.
//!
//! Errors: what the plugin does wrong is a [`lab::Finding`]; what keeps the
//! checker from working is an [`anyhow::Error`]. They never mix.

pub mod bench;
pub mod cargo;
pub mod checks;
pub mod cleanup;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod hints;
pub mod lab;
pub mod lint;
pub mod mounts;
pub mod plugin;
pub mod podman;
pub mod proofs;
pub mod report;
pub mod rescue;
pub mod root;
pub mod run;
pub mod sandbox;
pub mod slides;
pub mod starters;
pub mod steps;
pub mod stories;
pub mod supervisor;
pub mod test;
pub mod watch;

use std::path::Path;

pub use report::Report;

/// Runs the checks of steps 1 to `step` against `program`, in order, up to the
/// first that fails.
///
/// # Errors
/// When the checker itself cannot work; a wrong plugin is part of the report.
pub fn grade(step: u32, program: &Path) -> anyhow::Result<Report> {
    let lab = lab::Lab::new(plugin::Program::new(program)?);
    checks::run(lab, checks::Plan::new(step), |_| ())
}
