//! The commands of the command line.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use checker::podman::Podman;
use checker::progress::{self, Holes, Last, listed};
use checker::starters::{self, Differences};
use checker::{
    cargo, class, dockerd, doctor, exit_like, hints, places, podman, rescue,
    run, seed, setting, status, stories,
};
use serde_json::json;
use stand_in::checks::{self, Plan};
use stand_in::cleanup;
use stand_in::daemon::Dialect;
use stand_in::export;
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::report::Report;
use stand_in::steps::{self, Kind, Step};

const HELP: &str = "\
checker: plays Docker's half of the plugin protocol and grades the plugin

  checker check exercise|solution N   run the checks of steps 1 to N
  checker check PROGRAM N             run them on any program, which is started
                                      as PROGRAM SOCKET ROOT
  checker run exercise|solution N     run a plugin in the foreground
  checker watch N                     check exercise N after every save
  checker hint N                      print the next hint for the hole that is next
  checker status                      show how far each exercise is
  checker rescue                      remove the leftovers of killed plugins
  checker diff N                      compare exercise N with its solution
  checker reset N                     restore starter N, keep your version
  checker doctor                      say what this machine has and lacks
  checker class DIR                   make one table of the groups' reports

The maintainers' commands: sh docker/prover/run.sh --help

Without N, check exercise, run exercise, watch, hint and diff mean the exercise
that you are in.

Variables, in the environment or after make (make check-exercise-1 SEED=7):
  SEED=NUMBER     replay a run with the same names
  ENGINE=VERSION  play another dockerd (20.10, 26.1 or 28.5, the default), or
                  podman, which uses the same protocol in its own way
  AGAINST=docker  check: play the step's story through a real dockerd instead.
                  It runs in the sandbox; DOCKERD=private starts one in
                  namespaces of its own (as root on Linux), and DOCKERD=host
                  uses the machine's own
  AGAINST=podman  check: play the story of step 4 or 8 through a real podman,
                  in namespaces of its own (as root on Linux)
  DOCKERD=host    run: listen where this machine's dockerd looks (as root on
                  Linux)
  JSON=1          check, doctor: print the report as JSON, for programs and for
                  class
  JUNIT=FILE      check: also write the report to FILE, as JUnit's XML
  NAME=OTHER      Docker's name for the plugin, instead of workshop
  HOLE=N.M        hint: print a hint for this hole
";

/// Docker's name for the plugin.
fn name() -> String {
    setting("NAME").unwrap_or_else(|| places::NAME.to_owned())
}

/// Runs the command that the command line names.
pub fn main() -> Result<ExitCode> {
    let Some(words) = checker::words("checker", HELP, &[])? else {
        return Ok(ExitCode::SUCCESS);
    };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let root = steps::root()?;
    match words[..] {
        ["check", what, step] => check(&root, what, step),
        ["check", "exercise"] => check(&root, "exercise", &meant(&root)?),
        ["run", kind, step] => run(&root, kind, step),
        ["run", "exercise"] => run(&root, "exercise", &meant(&root)?),
        ["watch", step] => watch(&root, step),
        ["watch"] => watch(&root, &meant(&root)?),
        ["hint"] | ["hint", _] => {
            let step = match words[1..] {
                [step] => step.to_owned(),
                _ => meant(&root)?,
            };
            let step = steps::find(&root, &step)?;
            let hole = setting("HOLE");
            println!("{}", hints::next(&root, &step, hole.as_deref())?);
            Ok(ExitCode::SUCCESS)
        }
        ["status"] => {
            cleanup::on_signals()?;
            cleanup::sweep();
            anstream::print!("{}", status::of(&root)?);
            Ok(ExitCode::SUCCESS)
        }
        ["rescue"] => {
            cleanup::on_signals()?;
            rescue::run(&root, &name())?;
            Ok(ExitCode::SUCCESS)
        }
        ["diff", step] => diff(&root, step),
        ["diff"] => diff(&root, &meant(&root)?),
        ["reset", step] => reset(&root, step),
        ["doctor"] => doctor(&root),
        ["class", folder] => {
            anstream::print!("{}", class::of(Path::new(folder))?);
            Ok(ExitCode::SUCCESS)
        }
        ["class"] => bail!(
            "class needs the folder that has the groups' reports: checker class \
             DIR"
        ),
        [] => bail!("a command is missing; checker --help lists them"),
        [word @ ("test" | "lint" | "bench" | "prove" | "record"), ..] => bail!(
            "`{word}` is a maintainers' command: sh docker/prover/run.sh {}",
            words.join(" ")
        ),
        _ => {
            bail!("no command `{}`; checker --help lists them", words.join(" "))
        }
    }
}

/// The step that a learner means who names none: the one that the learner is in.
fn meant(root: &Path) -> Result<String> {
    let current = progress::current(root).with_context(|| {
        "which step? No exercise has an open hole: write its number, as in make \
         check-exercise-1"
    })?;
    let number = current.step.number.to_string();
    anstream::eprintln!("checker: no step is given, so this is step {number}");
    Ok(number)
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Exercise, Kind::Solution]
        .into_iter()
        .find(|kind| kind.word() == word)
}

fn check(root: &Path, what: &str, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let export = Export::wanted()?;
    let against = setting("AGAINST");
    if let Some(against) = &against
        && export.is_wanted()
    {
        bail!(
            "JSON and JUNIT are for the checks, and AGAINST={against} plays a \
             story: leave one of them out"
        );
    }
    match against.as_deref() {
        None => {}
        Some("docker") => return story(root, what, &step),
        Some(podman::PODMAN) => return podmans_story(root, what, &step),
        Some(other) => bail!(
            "unknown AGAINST={other}: write AGAINST=docker or AGAINST=podman"
        ),
    }
    let graded = grade(root, what, &step, &export);
    if let Err(err) = &graded {
        export.error(what, &step, err);
    }
    graded
}

/// Whether JSON is wanted instead of text.
fn wants_json() -> Result<bool> {
    match setting("JSON").as_deref() {
        None => Ok(false),
        Some("1") => Ok(true),
        Some(other) => bail!("unknown JSON={other}: write JSON=1"),
    }
}

/// The forms besides text in which a report is wanted.
struct Export {
    /// JSON instead of text, because of `JSON=1`.
    json: bool,
    /// The file of JUnit, because of `JUNIT=FILE`.
    junit: Option<PathBuf>,
}

impl Export {
    fn wanted() -> Result<Self> {
        let junit = setting("JUNIT").map(PathBuf::from);
        Ok(Self { json: wants_json()?, junit })
    }

    fn is_wanted(&self) -> bool {
        self.json || self.junit.is_some()
    }

    /// Writes a report.
    fn report(
        &self,
        what: &str,
        step: &Step,
        engine: Dialect,
        report: &Report,
    ) -> Result<()> {
        let number = step.number;
        if let Some(file) = &self.junit {
            let xml = export::junit(report, &format!("{what} {number}"));
            fs::write(file, xml)
                .with_context(|| format!("writing {}", file.display()))?;
        }
        if self.json {
            let mut value = export::json(report);
            value["step"] = json!(number);
            value["what"] = json!(what);
            value["engine"] = json!(engine.name());
            println!("{value:#}");
        }
        Ok(())
    }

    /// Writes why there is no report.
    fn error(&self, what: &str, step: &Step, err: &anyhow::Error) {
        if self.json {
            let value = json!({
                "format": export::FORMAT,
                "step": step.number,
                "what": what,
                "error": format!("{err:#}"),
            });
            println!("{value:#}");
        }
    }
}

/// Runs the checks of steps 1 to `step`.
fn grade(
    root: &Path,
    what: &str,
    step: &Step,
    export: &Export,
) -> Result<ExitCode> {
    let kind = kind(what);
    let mut plan = Plan::new(step.number);
    plan.seed = seed()?;
    plan.leaves_checks = true;
    if let Some(wanted) = setting("ENGINE") {
        plan.dialect = Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.name() == wanted)
            .with_context(|| {
                let all = Dialect::ALL.map(Dialect::name).join(", ");
                format!("unknown ENGINE={wanted}: there are {all}")
            })?;
    }
    cleanup::on_signals()?;
    cleanup::sweep();
    let is_exercise = kind == Some(Kind::Exercise);
    // Read before the build: what is saved later is not what is checked. The build
    // says why an exercise cannot be read.
    let mine = starters::read(root, step, Kind::Exercise);
    let mine = mine.ok().filter(|_| is_exercise);
    let harness = Harness::new(program(root, what, step)?);
    let report = checks::run(harness, plan, |report| {
        if let Some(lines) = report.last()
            && !export.json
        {
            anstream::print!("{lines}");
        }
    })?;
    let untried = report.not_tried().count();
    let count = report.ran.len() - untried;
    let seed = report.seed;
    let more = match untried {
        0 => String::new(),
        _ => format!(", {untried} not tried"),
    };
    let last = Last::of(&report);
    if let Some(mine) = &mine
        && let Err(err) = last.write(step, mine)
    {
        anstream::eprintln!(
            "checker: hints will not follow this check: {err:#}"
        );
    }
    export.report(what, step, plan.dialect, &report)?;
    if export.json {
        return Ok(ExitCode::from(u8::from(!report.passed())));
    }
    if report.passed() {
        println!("\nAll {count} checks passed{more} (SEED={seed}).");
        if let Some(mine) = &mine {
            say_commented(&Holes::of(root, step, mine)?);
            say_next(root, step);
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\n{} passed{more}, then this one failed (SEED={seed}).",
        count - 1
    );
    if let Some(mine) = &mine {
        let mut holes = Holes::of(root, step, mine)?;
        if let Last::Failed { holes: suspects, .. } = &last {
            holes = holes.suspecting(suspects);
        }
        say_holes(step, &holes);
    }
    Ok(ExitCode::from(1))
}

/// The program that `what` names. An exercise or a solution is built first.
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
            "ENGINE={played} is for the stand-in daemon, and AGAINST=docker uses \
             a real one: leave ENGINE out, or write DOCKERD=private or \
             DOCKERD=host"
        );
    }
    cleanup::on_signals()?;
    let private = dockerd::Private::start()?;
    if private.is_none() {
        // Inside the namespaces, a process id does not say whether the owner of a
        // folder still runs.
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
            // Built here, because the namespaces have no network.
            program(root, what, step)?;
            let step = step.number.to_string();
            return exit_like(dockerd::in_private(
                "checker",
                &["check", what, &step],
            )?);
        }
        Some(other) => bail!(
            "unknown DOCKERD={other}: write DOCKERD=host or DOCKERD=private, or \
             leave it out for the sandbox"
        ),
    }
    let program = program(root, what, step)?;
    let version = dockerd::version()?;
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a plugin needs root to listen where Docker looks: sudo env \
             \"PATH=$PATH\" make …"
        );
    }
    println!("The story of step {}, with dockerd {version}:", step.number);
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
            "\ndockerd remembers {name} until it restarts. While the plugin does \
             not run, each `docker volume ls` takes 15 s."
        );
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Plays the story of one step through a real Podman.
fn podmans_story(root: &Path, what: &str, step: &Step) -> Result<ExitCode> {
    cleanup::on_signals()?;
    let number = step.number;
    if stories::podman_scenes(number).is_empty() {
        bail!(
            "there is no Podman story for step {number}: there are stories for \
             steps 4 and 8"
        );
    }
    let name = name();
    let Some(podman) = Podman::start()? else {
        cleanup::sweep();
        // Built here, because the namespaces have no network.
        program(root, what, step)?;
        let words = ["check", what, &number.to_string()];
        return exit_like(podman::in_private(&words, &name)?);
    };
    let program = program(root, what, step)?;
    let version = podman::version()?;
    println!("The story of step {number}, with podman {version}:");
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

/// What is worth doing after a step.
fn say_next(root: &Path, step: &Step) {
    /// The steps whose work a proof can try, and the proof.
    const PROOFS: [(u32, &str); 3] =
        [(6, "power"), (7, "kill"), (8, "syscalls")];
    let number = step.number;
    println!(
        "Compare: make diff-exercise-{number} shows your code beside the \
         solution."
    );
    println!(
        "A real Docker: make check-exercise-{number} AGAINST=docker plays the \
         story of this step."
    );
    if let Some((_, proof)) = PROOFS.iter().find(|(step, _)| *step == number) {
        println!(
            "Break your own: sh docker/prover/run.sh prove {proof} exercise \
             {number}"
        );
    }
    match steps::find(root, &(number + 1).to_string()) {
        Ok(next) => println!(
            "Next: exercises/{}/README.md, and make run-exercise-{}",
            next.name, next.number
        ),
        Err(_) => println!(
            "That was the last step. You have written a volume driver that \
             Docker and Podman can use: well done!"
        ),
    }
}

/// Prints which holes are filled, which one is next, and which commands help.
fn say_holes(step: &Step, holes: &Holes) {
    let number = step.number;
    println!("Holes of step {number}: {holes}.");
    say_commented(holes);
    println!(
        "Stuck? make hint-{number} gives a hint; make diff-exercise-{number} \
         shows the solution."
    );
}

/// Prints which comments of filled holes are left.
fn say_commented(holes: &Holes) {
    let of = listed(&holes.commented);
    match holes.commented.len() {
        0 => {}
        1 => println!("{of} is filled: you may delete its TODO comment."),
        _ => println!("{of} are filled: you may delete their TODO comments."),
    }
}

fn run(root: &Path, what: &str, step: &str) -> Result<ExitCode> {
    let step = steps::find(root, step)?;
    let kind = kind(what).with_context(|| {
        format!("{what} is neither `exercise` nor `solution`: write one")
    })?;
    let dockerd = setting("DOCKERD");
    run::run(root, &step, kind, dockerd.as_deref(), &name())?;
    Ok(ExitCode::SUCCESS)
}

fn watch(root: &Path, step: &str) -> Result<ExitCode> {
    let step_found = steps::find(root, step)?;
    step_found.found_folder(root, Kind::Exercise)?;
    cleanup::on_signals()?;
    checker::watch::run(root, &step_found, || {
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
    // The manifests differ in the package's name, which no lesson is about.
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
            "{folder} is the starter again; your version is now in {}",
            kept.strip_prefix(root).unwrap_or(&kept).display()
        ),
        None => println!("{folder} is the starter; there was nothing to keep"),
    }
    Ok(ExitCode::SUCCESS)
}

fn doctor(root: &Path) -> Result<ExitCode> {
    cleanup::on_signals()?;
    let json = wants_json()?;
    let machine = doctor::look(root);
    match json {
        true => println!("{:#}", machine.json()),
        false => anstream::print!("{machine}"),
    }
    Ok(ExitCode::from(u8::from(!machine.builds())))
}
