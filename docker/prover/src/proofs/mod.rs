//! Proofs: what no reader of the code can see, tried often enough.
//!
//! Each kills, starves or cheats a plugin in one way, at many places, and
//! compares what is there afterwards with what was acknowledged.

mod clients;
mod containers;
mod disk;
mod kill;
mod lock;
mod model;
mod names;
mod power;
mod strace;
mod syscalls;
mod workload;

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use checker::{cargo, dockerd};
use stand_in::cleanup::Guard;
use stand_in::daemon::one_line;
use stand_in::finding::{Fault, Outcome};
use stand_in::plugin::{Log, Program};
use stand_in::report::{BAD, GOOD, LABEL, LONGEST, Verdict};
use stand_in::search_path;
use stand_in::steps::{self, Kind};

use crate::counts::Counts;

pub use containers::{COMMAND as DOCKERD, inside as beside_dockerd};

/// One thing that is proven of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The word for it on the command line; several have the same.
    pub name: &'static str,
    /// What is tried here, in a few words.
    pub what: &'static str,
    /// The first step whose solution holds it.
    pub from: u32,
    /// What the machine has to have for it.
    needs: &'static [Need],
    /// Tries it, and returns how much was tried.
    run: fn(&Subject) -> Result<String, Fault>,
}

/// All of them, the most telling first.
pub const PROOFS: &[&[Proof]] = &[
    syscalls::PROOFS,
    power::PROOFS,
    disk::PROOFS,
    names::PROOFS,
    clients::PROOFS,
    lock::PROOFS,
    kill::PROOFS,
    containers::PROOFS,
];

/// What a machine may lack.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// `/proc`, `/dev/full`.
    Linux,
    /// The right to mount.
    Root,
    /// The right to watch a process that is not a child of the watcher.
    Watching,
    /// A dockerd of our own.
    Dockerd,
    /// Loop devices.
    Loops,
    /// A program, and the package that brings it.
    Program(&'static str, &'static str),
}

impl Need {
    /// Why it is not there; none if it is.
    fn lacks(self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match self {
            _ if !cfg!(target_os = "linux") => {
                Some("it needs Linux (make sandbox)".into())
            }
            Self::Dockerd => dockerd::no_private(),
            Self::Root if !root => Some("it needs root (sudo)".into()),
            Self::Watching if !root && !watching() => {
                Some("strace may not attach here: it needs root (sudo)".into())
            }
            Self::Loops => {
                let control = Path::new("/dev/loop-control");
                let opened = File::options().write(true).open(control);
                opened.err().map(|err| {
                    format!("no loop devices here (modprobe loop): {err}")
                })
            }
            Self::Program(program, from) if !search_path::on_path(program) => {
                Some(format!("no {program} here (apt install {from})"))
            }
            _ => None,
        }
    }
}

/// Whether this user may trace any process of theirs.
fn watching() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
        .map_or(true, |scope| scope.trim() == "0")
}

/// What is proven of whom, and how hard.
#[derive(Debug)]
pub struct Subject {
    /// The program under test.
    pub program: Program,
    /// The step whose checks it passes.
    pub step: u32,
    /// `PROOFS=full`
    pub full: bool,
    /// What is random comes from here.
    pub seed: u64,
    log: Mutex<Log>,
    said: Mutex<Instant>,
}

impl Subject {
    /// A program, for the short proofs.
    pub fn new(program: Program, step: u32) -> Self {
        Self {
            program,
            step,
            full: false,
            seed: fastrand::u64(..1_000_000),
            log: Mutex::default(),
            said: Mutex::new(Instant::now()),
        }
    }

    /// A number for the short proofs, another one for the full ones.
    fn choose<T>(&self, short: T, full: T) -> T {
        if self.full { full } else { short }
    }

    /// The log that a report shall end with.
    fn remember(&self, log: Log) {
        *self.log() = log;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Instant> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how far it is, for whoever waits: every two seconds.
    fn progress(&self, text: impl FnOnce() -> String) {
        let mut said = self.said();
        if said.elapsed() >= Duration::from_secs(2) {
            *said = Instant::now();
            println!("        {}…", text());
        }
    }
}

/// The proofs that a person means by `name`.
///
/// # Errors
/// Names those that there are.
pub fn choose(name: Option<&str>) -> Result<Vec<Proof>> {
    let all = PROOFS.concat();
    let mut names: Vec<_> = all.iter().map(|proof| proof.name).collect();
    names.dedup();
    let Some(name) = name else { return Ok(all) };
    let chosen: Vec<_> =
        all.into_iter().filter(|proof| proof.name == name).collect();
    if chosen.is_empty() {
        bail!("no proof {name}; there are {}", names.join(", "));
    }
    Ok(chosen)
}

/// Runs this very command again where nobody else sees what it mounts, if that
/// can be had and is not so yet.
///
/// A program that starts namespaces of its own meanwhile would take our mounts
/// with it, and keep them. And however we end, they end with us.
///
/// # Errors
/// When that program does not start.
pub fn in_own_mounts() -> Result<Option<ExitStatus>> {
    const APART: &str = "WORKSHOP_APART";
    let can = || {
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "true"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    if env::var_os(APART).is_some() || !can() {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--"])
        .args([cargo::program("prover")?])
        .args(env::args_os().skip(1))
        .env(APART, "yes")
        .process_group(0);
    let (mut child, group) =
        Guard::polite_group(|| command.spawn()).context("starting unshare")?;
    let status = child.wait()?;
    group.release();
    Ok(Some(status))
}

/// Whether `PROOFS` asks for all that there is.
///
/// # Errors
/// When it asks for something else.
pub fn full() -> Result<bool> {
    match env::var("PROOFS").unwrap_or_default().as_str() {
        "" | "short" => Ok(false),
        "full" => Ok(true),
        other => bail!("no PROOFS={other}; there are short and full"),
    }
}

impl Proof {
    /// Why it cannot be tried here; none if it can.
    pub fn lacks(&self) -> Option<String> {
        self.needs.iter().find_map(|need| need.lacks())
    }

    /// Tries it, whatever the machine has.
    ///
    /// # Errors
    /// The plugin is wrong, or the checker could not work.
    pub fn run(&self, subject: &Subject) -> Result<String, Fault> {
        (self.run)(subject)
    }
}

/// Tries some proofs, and prints what came of each.
///
/// # Errors
/// When the checker could not work.
pub fn run(proofs: &[Proof], subject: &Subject) -> Result<Counts> {
    let mut counts = Counts::default();
    for proof in proofs.iter().filter(|proof| proof.from <= subject.step) {
        let title = format!("{}: {}", proof.name, proof.what);
        if let Some(why) = proof.lacks() {
            println!("  skip  {title}: {why}");
            counts.skipped.push(format!("{title}: {why}"));
            continue;
        }
        let start = Instant::now();
        *subject.said() = start;
        let result = proof.run(subject);
        let took = start.elapsed().as_secs_f32();
        let (outcome, tried): (Outcome, _) = match result {
            Ok(tried) => (Ok(()), tried),
            Err(fault) => (Err(fault), String::new()),
        };
        match Verdict::of(outcome, &subject.log())? {
            Verdict::Passed => {
                counts.passed += 1;
                anstream::println!(
                    "  {GOOD}ok{GOOD:#}    {title}: {tried} ({took:.1} s)"
                );
            }
            Verdict::NotTried(why) => {
                println!("  skip  {title}: {why}");
                counts.skipped.push(format!("{title}: {why}"));
            }
            Verdict::Failed { finding, log } => {
                counts.failed += 1;
                anstream::println!("  {BAD}FAIL{BAD:#}  {title}");
                for (label, text) in [
                    ("sent", finding.sent),
                    ("expected", finding.expected),
                    ("got", finding.got),
                ] {
                    let text = one_line(&text, LONGEST);
                    anstream::println!(
                        "        {LABEL}{label:<9}{LABEL:#} {text}"
                    );
                }
                for line in log {
                    let line = one_line(&line, LONGEST);
                    anstream::println!(
                        "        {LABEL}log{LABEL:#}       | {line}"
                    );
                }
            }
        }
    }
    Ok(counts)
}

/// The program to prove something of: `solution` and `exercise` are built.
///
/// # Errors
/// When it cannot be built, or is not there.
pub fn subject(root: &Path, what: &str, step: Option<&str>) -> Result<Subject> {
    let kinds = [Kind::Exercise, Kind::Solution];
    let kind = kinds.into_iter().find(|kind| kind.word() == what);
    let (path, step) = match (kind, step) {
        (Some(kind), step) => {
            let step = match step {
                Some(step) => Some(steps::find(root, step)?),
                None => steps::all(root)?.pop(),
            };
            let step = step.context("there is no step")?;
            (cargo::build(root, &step, kind)?, step.number)
        }
        (None, step) => {
            let number = step.and_then(|step| step.parse().ok());
            (what.into(), number.context("which step, as a number?")?)
        }
    };
    let program = Program::new(&path)?;
    Ok(Subject { full: full()?, ..Subject::new(program, step) })
}
