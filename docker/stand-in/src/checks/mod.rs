//! The table of all checks.
//!
//! A check says what Docker needs, why, and where a learner mends it. Whatever
//! dockerd accepts passes, whatever it refuses fails; each check names the
//! capture or the source that says so.

mod step_01;
mod step_02;
mod step_03;
mod step_04;
mod step_05;
mod step_06;
mod step_07;
mod step_08;
mod strace;

use anyhow::Context;

use crate::check;
use crate::daemon::Dialect;
use crate::finding::Fault;
use crate::harness::Harness;
use crate::report::{Report, Verdict};

/// A check that is played on a [`Harness`].
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
    ]
    .into_iter()
    .flatten()
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// One problem at a time.
    AtFirst,
    /// To see all that fails.
    Never,
}

/// What a run needs to know besides the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The checks of steps `from` to this one run.
    pub step: u32,
    /// 1, unless what earlier steps taught is known to hold.
    pub from: u32,
    /// Which engine is played.
    pub dialect: Dialect,
    /// What names are drawn from; new for each run unless given.
    pub seed: Option<u64>,
    /// When the run ends.
    pub stop: Stop,
}

impl Plan {
    /// What a learner gets who asks for nothing else.
    pub fn new(step: u32) -> Self {
        Self {
            step,
            from: 1,
            dialect: Dialect::default(),
            seed: None,
            stop: Stop::AtFirst,
        }
    }
}

/// The checks of what Podman never does, and why it does not.
const NOT_OF_PODMAN: &[(&str, &str)] = &[
    ("4.in-use", "Podman mounts a volume once, and counts its containers"),
    ("8.same-id", "Podman mounts a volume once, and counts its containers"),
    ("8.extra-unmount", "Podman counts, and sends no Unmount too many"),
    ("8.unknown-id", "Podman has one ID for all uses of all volumes"),
];

/// Why `dialect` cannot play a check; none if it can.
fn not_played(check: &Check, dialect: Dialect) -> Option<String> {
    let mut listed = NOT_OF_PODMAN.iter();
    match dialect {
        Dialect::Podman => listed.find(|it| it.0 == check.id),
        _ => None,
    }
    .map(|(_, why)| (*why).to_owned())
}

/// Runs the checks of a plan; `seen` is shown each result when it is there.
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
    let mut report =
        Report::new(plan.step, harness.program().path(), harness.seed);
    let steps = plan.from..=plan.step;
    for check in all().filter(|check| steps.contains(&check.step)) {
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
