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

use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, anyhow};

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

/// Checks that begin at once, beside those of earlier steps, because they mostly
/// wait: each list in a thread of its own.
///
/// The first three run while no other check of step 8 does, and nothing could run
/// beside them later.
const FIRST: [&[&str]; 2] = [
    &["8.extra-unmount", "8.once", "8.elsewhere", "8.hung"],
    &["7.cut-off", "6.alone", "6.outlives"],
];

/// Checks that take a second or more, most of them because they wait.
pub const SLOW: &[&str] = &[
    "1.few-files",
    "1.race",
    "6.alone",
    "7.cut-off",
    "7.no-trace",
    "7.one-name",
    "7.order",
    "8.elsewhere",
    "8.extra-unmount",
    "8.hung",
    "8.once",
    "9.few-files",
    "9.long-replies",
    "9.no-reader",
    "9.slow-client",
];

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
    /// The id of the only check that runs, if there is one.
    pub only: Option<&'static str>,
    /// How many checks run at the same time, besides some that wait.
    pub at_a_time: usize,
    /// Whether a run that ends early leaves checks running, whose results are not
    /// wanted any more. The program must call [`cleanup::remove_all`] at its end.
    ///
    /// [`cleanup::remove_all`]: crate::cleanup::remove_all
    pub leaves_checks: bool,
    /// When the run ends; the checks that have not ended then are left out.
    pub deadline: Option<Instant>,
}

/// How many checks run at the same time. Most of their time, checks and plugins wait.
const AT_A_TIME: usize = 4;

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
            only: None,
            at_a_time: AT_A_TIME,
            leaves_checks: false,
            deadline: None,
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

/// Runs the checks of a plan, several at a time; `seen` is called with the report
/// after each check, in the order of the table.
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
        steps.contains(&check.step)
            && !plan.leave_out.contains(&check.id)
            && plan.only.is_none_or(|only| only == check.id)
    };
    let checks: Vec<_> = all().filter(runs).collect();
    let mut results = Results::of(&harness, plan, &checks)?;
    for (number, check) in checks.iter().enumerate() {
        let Some(verdict) = results.await_one(number, plan.deadline) else {
            continue;
        };
        let verdict =
            verdict.with_context(|| format!("checking {}", check.id))?;
        report.add(check, verdict);
        seen(&report);
        if plan.stop == Stop::AtFirst && !report.passed() {
            break;
        }
    }
    results.finish(!plan.leaves_checks);
    Ok(report)
}

/// Runs one check.
fn verdict(
    harness: &mut Harness,
    check: &Check,
    dialect: Dialect,
) -> anyhow::Result<Verdict> {
    harness.prepare_for(check.id);
    let outcome = match not_played(check, dialect) {
        Some(why) => Err(Fault::NotTried(why)),
        None => (check.run)(harness),
    };
    Verdict::of(outcome, harness.log())
}

/// The results of checks that run in threads.
struct Results {
    arrive: Receiver<(usize, anyhow::Result<Verdict>)>,
    /// Results that have arrived before their turn.
    early: BTreeMap<usize, anyhow::Result<Verdict>>,
    /// Whether no thread may begin another check.
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Results {
    /// Starts the threads.
    fn of(
        harness: &Harness,
        plan: Plan,
        checks: &[&'static Check],
    ) -> anyhow::Result<Self> {
        let (send, arrive) = mpsc::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let all = checks.iter().copied().enumerate();
        let mut others: VecDeque<_> = all.collect();
        let mut queues = Vec::new();
        if plan.at_a_time > 1 {
            for first in FIRST {
                let (queue, rest) = others
                    .into_iter()
                    .partition(|(_, check)| first.contains(&check.id));
                others = rest;
                queues.push(Arc::new(Mutex::new(queue)));
            }
        }
        let others = Arc::new(Mutex::new(others));
        queues.extend(iter::repeat_n(others, plan.at_a_time.max(1)));
        let mut threads = Vec::new();
        for queue in queues {
            let (send, ended) = (send.clone(), Arc::clone(&ended));
            let mut harness = harness.another();
            let work = move || {
                while !ended.load(Ordering::Relaxed) {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((number, check)) = next else { break };
                    let result = verdict(&mut harness, check, plan.dialect);
                    if send.send((number, result)).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name("check".to_owned());
            threads.push(thread.spawn(work)?);
        }
        Ok(Self { arrive, early: BTreeMap::new(), ended, threads })
    }

    /// The result of one check; `None` after the deadline.
    fn await_one(
        &mut self,
        number: usize,
        deadline: Option<Instant>,
    ) -> Option<anyhow::Result<Verdict>> {
        loop {
            if let Some(result) = self.early.remove(&number) {
                return Some(result);
            }
            let arrived = match deadline {
                None => self.arrive.recv().ok(),
                Some(deadline) => {
                    let left =
                        deadline.saturating_duration_since(Instant::now());
                    match self.arrive.recv_timeout(left) {
                        Err(RecvTimeoutError::Timeout) => return None,
                        arrived => arrived.ok(),
                    }
                }
            };
            match arrived {
                Some((number, result)) => {
                    self.early.insert(number, result);
                }
                // A thread has panicked, and its message is on the terminal.
                None => return Some(Err(anyhow!("a check panicked"))),
            }
        }
    }

    /// Lets no check begin any more, and awaits those that run, if they matter.
    fn finish(self, awaits: bool) {
        self.ended.store(true, Ordering::Relaxed);
        if awaits {
            for thread in self.threads {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_of_each_list_exist() {
        let lists = FIRST.into_iter().flatten().chain(SLOW);
        let left_out = NOT_OF_PODMAN.iter().map(|(id, _)| id);
        for id in lists.chain(left_out) {
            assert!(all().any(|check| check.id == *id), "{id} is no check");
        }
    }
}
