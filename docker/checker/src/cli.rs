//! The words of the command line, and what each of them does.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use checker::podman::Podman;
use checker::starters::{self, Differences};
use checker::{
    cargo, dockerd, doctor, exit_like, hints, places, podman, rescue, run,
    seed, setting, stories,
};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
use stand_in::checks::{self, Plan};
use stand_in::cleanup;
use stand_in::daemon::Dialect;
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::steps::{self, Kind, Step};

const HELP: &str = "\
checker: plays Docker's half of the plugin protocol, and grades the other

  checker check exercise|solution N   run the checks of steps 1 to N
  checker check PROGRAM N             the same for any program, which is
                                      called as PROGRAM SOCKET ROOT
  checker run exercise|solution N     run a plugin in the foreground
  checker watch N                     check exercise N after every save
  checker hint N                      the next hint for the first open hole
  checker rescue                      remove what killed plugins left behind
  checker diff N                      what separates exercise N from its solution
  checker reset N                     put starter N back, keep what was there
  checker doctor                      what this machine has and lacks

What proves the workshop itself: sh docker/prover/run.sh --help

Of the environment, and so of make's command line (make check-exercise-1 SEED=7):
  SEED=NUMBER     replay a run with the same names
  ENGINE=VERSION  play an older dockerd (20.10, 26.1 or 28.5, the default),
                  or podman, which speaks the same protocol in another way
  AGAINST=docker  check: play the step's story through a real dockerd instead,
                  in the sandbox, or with DOCKERD=private (a dockerd of our
                  own, as root on Linux) or DOCKERD=host (the machine's own)
  AGAINST=podman  the same for steps 4 and 8, through a real podman (as root
                  on Linux, in namespaces of its own)
  DOCKERD=host    run: where this machine's own dockerd looks (Linux, as root)
  NAME=OTHER      Docker's name for the plugin, instead of workshop
";

/// Docker's name for the plugin.
fn name() -> String {
    setting("NAME").unwrap_or_else(|| places::NAME.to_owned())
}

/// Does what the command line says.
pub fn main() -> Result<ExitCode> {
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            Value(word) => words.push(word.string()?),
            other => bail!("{}; checker --help tells", other.unexpected()),
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let root = steps::root()?;
    match words[..] {
        ["check", what, step] => check(&root, what, step),
        ["run", kind, step] => run(&root, kind, step),
        ["watch", step] => watch(&root, step),
        ["hint", step] => {
            let step = steps::find(&root, step)?;
            println!("{}", hints::next(&root, &step)?);
            Ok(ExitCode::SUCCESS)
        }
        ["rescue"] => {
            cleanup::on_signals()?;
            rescue::run(&root, &name())?;
            Ok(ExitCode::SUCCESS)
        }
        ["diff", step] => diff(&root, step),
        ["reset", step] => reset(&root, step),
        ["doctor"] => doctor(&root),
        [] => bail!("what to do? checker --help tells"),
        [word @ ("test" | "lint" | "bench" | "prove" | "record"), ..] => bail!(
            "`{word}` is the maintainers': sh docker/prover/run.sh {}",
            words.join(" ")
        ),
        _ => bail!("no command `{}`; checker --help tells", words.join(" ")),
    }
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Exercise, Kind::Solution].into_iter().find(|it| it.word() == word)
}

fn check(root: &Path, what: &str, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let kind = kind(what);
    match setting("AGAINST").as_deref() {
        None => {}
        Some("docker") => return story(root, what, &step),
        Some(podman::PODMAN) => return podmans_story(root, what, &step),
        Some(other) => bail!(
            "no AGAINST={other}; there are AGAINST=docker and AGAINST=podman"
        ),
    }
    let mut plan = Plan::new(step.number);
    plan.seed = seed()?;
    if let Some(wanted) = setting("ENGINE") {
        plan.dialect = Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.name() == wanted)
            .with_context(|| {
                let all = Dialect::ALL.map(Dialect::name).join(", ");
                format!("no ENGINE={wanted} to play; there are {all}")
            })?;
    }
    cleanup::on_signals()?;
    cleanup::sweep();
    let harness = Harness::new(program(root, what, &step)?);
    let report = checks::run(harness, plan, |report| {
        if let Some(lines) = report.last() {
            anstream::print!("{lines}");
        }
    })?;
    let untried = report.not_tried().count();
    let count = report.ran.len() - untried;
    let seed = report.seed;
    let besides = match untried {
        0 => String::new(),
        _ => format!(", {untried} not tried"),
    };
    if report.passed() {
        println!("\nAll {count} checks passed{besides} (SEED={seed}).");
        if kind == Some(Kind::Exercise) {
            say_next(root, &step);
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\n{} passed{besides}, then this one failed (SEED={seed}).",
        count - 1
    );
    if kind == Some(Kind::Exercise) {
        say_holes(root, &step)?;
    }
    Ok(ExitCode::from(1))
}

/// The program that `what` names, built if it is one of ours.
fn program(root: &Path, what: &str, step: &Step) -> Result<Program> {
    let path = match kind(what) {
        Some(kind) => cargo::build(root, step, kind)?,
        None => PathBuf::from(what),
    };
    Program::new(&path)
}

/// Plays the story of one step through a real dockerd.
fn story(root: &Path, what: &str, step: &Step) -> Result<ExitCode> {
    if let Some(played) = setting("ENGINE") {
        bail!(
            "ENGINE={played} is for the stand-in daemon, and AGAINST=docker plays \
             a real one: DOCKERD=private or DOCKERD=host says which"
        );
    }
    cleanup::on_signals()?;
    let private = dockerd::Private::start()?;
    if private.is_none() {
        // In there, no process id tells whether its owner still lives.
        cleanup::sweep();
    }
    match setting("DOCKERD").as_deref() {
        _ if private.is_some() => {}
        Some("host") => {}
        None if dockerd::in_sandbox() => {}
        None => {
            let number = step.number.to_string();
            let words = ["sh", "docker/checker/run.sh", "check", what, &number];
            return exit_like(dockerd::in_sandbox_run(root, &words)?);
        }
        Some("private") => {
            // Built out here, where the network is.
            program(root, what, step)?;
            let step = step.number.to_string();
            return exit_like(dockerd::in_private(
                "checker",
                &["check", what, &step],
            )?);
        }
        Some(other) => bail!(
            "no DOCKERD={other}; there are host and private, and the sandbox \
             without one"
        ),
    }
    let program = program(root, what, step)?;
    let version = dockerd::version()?;
    if !rustix::process::geteuid().is_root() {
        bail!("a plugin that Docker shall find needs root (sudo make …)");
    }
    println!("The story of step {}, by dockerd {version}:", step.number);
    let name = name();
    let is_private = private.is_some();
    let (report, transcript) =
        stories::play(step.number, program, &name, private, |report| {
            if let Some(lines) = report.last() {
                anstream::print!("{lines}");
            }
        })?;
    if report.passed() && is_private && kind(what) == Some(Kind::Solution) {
        let number = step.number;
        stories::compare(root, number, "dockerd", &version, &transcript)?;
    }
    if !is_private && !dockerd::in_sandbox() {
        println!(
            "\ndockerd remembers {name} until it restarts: while nothing \
             answers for it, each `docker volume ls` takes 15 s."
        );
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Plays through a real Podman what it plays of the story of one step.
fn podmans_story(root: &Path, what: &str, step: &Step) -> Result<ExitCode> {
    cleanup::on_signals()?;
    let number = step.number;
    if stories::podman_scenes(number).is_empty() {
        bail!("Podman has no story of step {number}; it has those of 4 and 8");
    }
    let name = name();
    let Some(podman) = Podman::start()? else {
        cleanup::sweep();
        // Built out here, where the network is.
        program(root, what, step)?;
        let words = ["check", what, &number.to_string()];
        return exit_like(podman::in_private(&words, &name)?);
    };
    let program = program(root, what, step)?;
    let version = podman::version()?;
    println!("The story of step {number}, by podman {version}:");
    let (report, transcript) =
        stories::play_by_podman(number, program, &name, podman, |report| {
            if let Some(lines) = report.last() {
                anstream::print!("{lines}");
            }
        })?;
    if report.passed() && kind(what) == Some(Kind::Solution) {
        let podman = podman::PODMAN;
        stories::compare(root, number, podman, &version, &transcript)?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn say_next(root: &Path, step: &Step) {
    let number = step.number;
    match steps::find(root, &(number + 1).to_string()) {
        Ok(next) => println!(
            "Next: exercises/{}/README.md, and make run-exercise-{}",
            next.name, next.number
        ),
        Err(_) => println!("That was the last step."),
    }
}

/// Which holes are left, and where help is.
fn say_holes(root: &Path, step: &Step) -> Result<()> {
    let number = step.number;
    let sources = starters::read(root, step, Kind::Exercise)?;
    let holes = starters::holes(&sources);
    let ids: Vec<_> = holes.iter().map(|hole| hole.id.as_str()).collect();
    if !ids.is_empty() {
        println!("Holes that still say TODO: {}.", ids.join(", "));
    }
    println!(
        "Stuck? make hint-{number} gives a hint; make diff-exercise-{number} \
         shows the solution."
    );
    Ok(())
}

fn run(root: &Path, what: &str, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let kind = kind(what)
        .with_context(|| format!("{what} is neither exercise nor solution"))?;
    let dockerd = setting("DOCKERD");
    run::run(root, &step, kind, dockerd.as_deref(), &name())?;
    Ok(ExitCode::SUCCESS)
}

fn watch(root: &Path, step: &str) -> Result<ExitCode> {
    let found = steps::find(root, step)?;
    cleanup::on_signals()?;
    checker::watch::run(root, &found, || {
        if let Err(err) = check(root, Kind::Exercise.word(), step) {
            anstream::eprintln!("checker: {err:#}");
        }
        ControlFlow::Continue(())
    });
    Ok(ExitCode::SUCCESS)
}

fn diff(root: &Path, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let exercise = starters::read(root, &step, Kind::Exercise)?;
    let mut solution = starters::read(root, &step, Kind::Solution)?;
    // The manifests differ by their names, which is no part of the lesson.
    let manifest = Path::new("Cargo.toml");
    if let Some(mine) = exercise.get(manifest) {
        solution.insert(manifest.to_owned(), mine.clone());
    }
    let from = step.folder(Kind::Exercise).display().to_string();
    let to = step.folder(Kind::Solution).display().to_string();
    let differences = Differences::between(&exercise, &solution, &from, &to);
    if differences.is_empty() {
        println!("{from} and {to} are the same.");
    } else {
        anstream::print!("{differences:#}");
    }
    Ok(ExitCode::SUCCESS)
}

fn reset(root: &Path, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let folder = step.folder(Kind::Exercise).display().to_string();
    match starters::reset(root, &step)? {
        Some(kept) => println!(
            "{folder} is the starter again; what was there is now in {}",
            kept.strip_prefix(root).unwrap_or(&kept).display()
        ),
        None => println!("{folder} is the starter; nothing had to be kept"),
    }
    Ok(ExitCode::SUCCESS)
}

fn doctor(root: &Path) -> Result<ExitCode> {
    cleanup::on_signals()?;
    let machine = doctor::look(root);
    anstream::print!("{machine}");
    Ok(ExitCode::from(u8::from(!machine.builds())))
}
