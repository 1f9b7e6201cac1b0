//! The table of all checks.
//!
//! A check states what Docker needs, why, and where a learner mends it. A
//! plugin passes if dockerd accepts its answer and fails if dockerd refuses it;
//! each check names the capture or the source that shows this.

mod step_01;
mod step_02;
mod step_03;
mod step_04;
mod step_05;
mod step_06;
mod step_07;
mod step_08;
mod step_09;
mod strace;

use anyhow::Context;

use crate::check;
use crate::daemon::Dialect;
use crate::finding::Fault;
use crate::harness::Harness;
use crate::report::{Report, Verdict};

/// A check of one plugin, on a [`Harness`].
pub type Check = check::Check<Harness>;

/// Every check, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        step_01::CHECKS,
        step_02::CHECKS,
        step_03::CHECKS,
        step_04::CHECKS,
        step_05::CHECKS,
        step_06::CHECKS,
        step_07::CHECKS,
        step_08::CHECKS,
        step_09::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// When a run of checks ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the first failure: one problem at a time.
    AtFirst,
    /// After all checks, to see every failure.
    Never,
}

/// The choices for a run, besides the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The last step whose checks run.
    pub step: u32,
    /// The first step whose checks run; 1, unless earlier steps are known to
    /// pass.
    pub from: u32,
    /// The engine that the stand-in plays.
    pub dialect: Dialect,
    /// The seed for names and options; a new one for each run unless given.
    pub seed: Option<u64>,
    /// When the run ends.
    pub stop: Stop,
    /// The ids of checks that do not run.
    pub leave_out: &'static [&'static str],
}

impl Plan {
    /// The default plan: all checks of steps 1 to `step`, as the newest
    /// dockerd.
    pub fn new(step: u32) -> Self {
        Self {
            step,
            from: 1,
            dialect: Dialect::default(),
            seed: None,
            stop: Stop::AtFirst,
            leave_out: &[],
        }
    }
}

/// The checks of calls that Podman never makes, and the reason.
const NOT_OF_PODMAN: &[(&str, &str)] = &[
    (
        "4.in-use",
        "Podman mounts a volume once, and counts its containers itself",
    ),
    (
        "8.same-id",
        "Podman mounts a volume once, and counts its containers itself",
    ),
    (
        "8.extra-unmount",
        "Podman counts its containers itself, and sends no extra Unmount",
    ),
    ("8.unknown-id", "Podman sends the same ID for every use of every volume"),
];

/// The reason why `dialect` cannot play a check; `None` if it can.
fn not_played(check: &Check, dialect: Dialect) -> Option<String> {
    let mut listed = NOT_OF_PODMAN.iter();
    match dialect {
        Dialect::Podman => listed.find(|(id, _)| *id == check.id),
        _ => None,
    }
    .map(|(_, why)| (*why).to_owned())
}

/// Runs the checks of a plan; `seen` is called with the report after each
/// check.
///
/// # Errors
/// When the checker itself cannot work.
pub fn run(
    mut harness: Harness,
    plan: Plan,
    mut seen: impl FnMut(&Report),
) -> anyhow::Result<Report> {
    harness.dialect = plan.dialect;
    harness.seed = plan.seed.unwrap_or(harness.seed);
    let mut report = Report::new(harness.program().path(), harness.seed);
    let steps = plan.from..=plan.step;
    let runs = |check: &&Check| {
        steps.contains(&check.step) && !plan.leave_out.contains(&check.id)
    };
    for check in all().filter(runs) {
        harness.prepare_for(check.id);
        let outcome = match not_played(check, plan.dialect) {
            Some(why) => Err(Fault::NotTried(why)),
            None => (check.run)(&mut harness),
        };
        let verdict = Verdict::of(outcome, harness.log())
            .with_context(|| format!("checking {}", check.id))?;
        report.add(check, verdict);
        seen(&report);
        if plan.stop == Stop::AtFirst && !report.passed() {
            break;
        }
    }
    Ok(report)
}
