//! Proofs: stress tests of a plugin, which repeat crashes, full disks and hostile
//! clients many times.
//!
//! Each proof disturbs the plugin in one way, at many moments, and then compares
//! its volumes with the calls that were acknowledged.

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

/// The command that runs all proofs and writes their [`Counts`] to a file.
pub const COUNTED: &str = "prove-counted";

/// One thing that is proven of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The name on the command line. Several proofs share a name.
    pub name: &'static str,
    /// What the proof does, in a few words.
    pub what: &'static str,
    /// The first step whose solution must pass.
    pub from: u32,
    /// What the machine must have.
    needs: &'static [Need],
    /// Runs the proof, and returns how much was tried.
    run: fn(&Subject) -> Result<String, Fault>,
}

/// All proofs, the most important first.
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

/// A requirement of a proof.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// `/proc` and `/dev/full`.
    Linux,
    /// The right to mount.
    Root,
    /// The right to trace a process that is not a child of the tracer.
    Watching,
    /// A private dockerd.
    Dockerd,
    /// Loop devices.
    Loops,
    /// A kernel that mounts several copies of one btrfs at the same time.
    Copies,
    /// A program, and the package that has it.
    Program(&'static str, &'static str),
}

impl Need {
    /// Why this machine does not meet the requirement; `None` if it does.
    fn lacks(self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match self {
            _ if !cfg!(target_os = "linux") => {
                Some("it needs Linux (make sandbox)".into())
            }
            Self::Dockerd => dockerd::no_private(),
            Self::Root if !root => Some("it needs root (sudo)".into()),
            Self::Watching if !root && !watching() => Some(
                "strace may not attach to processes here: it needs root (sudo)"
                    .into(),
            ),
            Self::Loops => {
                let control = Path::new("/dev/loop-control");
                let opened = File::options().write(true).open(control);
                opened.err().map(|err| {
                    format!("no loop devices here (modprobe loop): {err}")
                })
            }
            Self::Copies => {
                // The mount of a btrfs would load the module, too.
                let mut load = Command::new("modprobe");
                load.arg("btrfs").stdout(Stdio::null()).stderr(Stdio::null());
                let _ = load.status();
                let copies = Path::new("/sys/fs/btrfs/features/temp_fsid");
                let why = "this kernel does not mount several copies of one \
                           btrfs (Linux 6.7 does)";
                (!copies.exists()).then(|| why.into())
            }
            Self::Program(program, from) if !search_path::on_path(program) => {
                Some(format!("no {program} here (apt install {from})"))
            }
            _ => None,
        }
    }
}

/// Whether a user may trace all of their own processes.
fn watching() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
        .map_or(true, |scope| scope.trim() == "0")
}

/// The program under test, and the settings of a proof.
#[derive(Debug)]
pub struct Subject {
    /// The program under test.
    pub program: Program,
    /// The step whose checks the program passes.
    pub step: u32,
    /// Whether to try more, by `PROOFS=full`.
    pub full: bool,
    /// The seed of all random numbers.
    pub seed: u64,
    log: Mutex<Log>,
    last_progress: Mutex<Instant>,
}

impl Subject {
    /// The program with the settings of the short proofs.
    pub fn new(program: Program, step: u32) -> Self {
        Self {
            program,
            step,
            full: false,
            seed: fastrand::u64(..1_000_000),
            log: Mutex::default(),
            last_progress: Mutex::new(Instant::now()),
        }
    }

    /// One value for the short proofs, another one for the full proofs.
    fn choose<T>(&self, short: T, full: T) -> T {
        if self.full { full } else { short }
    }

    /// Keeps the log with which a report has to end.
    fn remember(&self, log: Log) {
        *self.log() = log;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_progress(&self) -> MutexGuard<'_, Instant> {
        self.last_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the progress, at most every two seconds.
    fn progress(&self, text: impl FnOnce() -> String) {
        let mut last = self.last_progress();
        if last.elapsed() >= Duration::from_secs(2) {
            *last = Instant::now();
            println!("        {}…", text());
        }
    }
}

/// The proofs called `name`, or all.
///
/// # Errors
/// When there is no such proof: the error lists the names.
pub fn choose(name: Option<&str>) -> Result<Vec<Proof>> {
    let all = PROOFS.concat();
    let mut names: Vec<_> = all.iter().map(|proof| proof.name).collect();
    names.dedup();
    let Some(name) = name else { return Ok(all) };
    let chosen: Vec<_> =
        all.into_iter().filter(|proof| proof.name == name).collect();
    if chosen.is_empty() {
        bail!("no proof is called {name}; there are {}", names.join(", "));
    }
    Ok(chosen)
}

/// Runs this command again in a mount namespace of its own, and returns its status.
/// Returns `None` if the command runs in one already, or we may not make one.
///
/// Without it, other programs that make a mount namespace meanwhile would copy our
/// mounts and keep them in use. Also, mounts of the namespace end with the process.
///
/// # Errors
/// When the command does not start.
pub fn in_own_mounts() -> Result<Option<ExitStatus>> {
    const MARK: &str = "WORKSHOP_OWN_MOUNTS";
    let can = || {
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "true"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    if env::var_os(MARK).is_some() || !can() {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--"])
        .args([cargo::program("prover")?])
        .args(env::args_os().skip(1))
        .env(MARK, "yes")
        .process_group(0);
    let (mut child, group) =
        Guard::polite_group(|| command.spawn()).context("starting unshare")?;
    let status = child.wait()?;
    group.release();
    Ok(Some(status))
}

/// Whether `PROOFS=full` is set.
///
/// # Errors
/// When `PROOFS` has an unknown value.
pub fn full() -> Result<bool> {
    match env::var("PROOFS").unwrap_or_default().as_str() {
        "" | "short" => Ok(false),
        "full" => Ok(true),
        other => bail!("unknown PROOFS={other}: write short or full"),
    }
}

impl Proof {
    /// Why this machine cannot run the proof; `None` if it can.
    pub fn lacks(&self) -> Option<String> {
        self.needs.iter().find_map(|need| need.lacks())
    }

    /// Runs the proof, without looking at its needs. Returns how much was tried.
    ///
    /// # Errors
    /// When the plugin is wrong, or the prover could not work.
    pub fn run(&self, subject: &Subject) -> Result<String, Fault> {
        (self.run)(subject)
    }
}

/// Runs some proofs, and prints the result of each.
///
/// # Errors
/// When the prover could not work.
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
        *subject.last_progress() = start;
        let result = proof.run(subject);
        counts.times.push((format!("proof {title}"), start.elapsed()));
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

/// The program that `what` names. A solution or an exercise is built first.
///
/// # Errors
/// When the program cannot be built, or does not exist.
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
            let number = number.context("the step must be a number")?;
            (what.into(), number)
        }
    };
    let program = Program::new(&path)?;
    Ok(Subject { full: full()?, ..Subject::new(program, step) })
}
