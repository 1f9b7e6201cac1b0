//! The words of the command line, and what each of them does.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use checker::{
    cargo, dockerd, exit_like, places, seed, setting, starters, stories,
};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
use prover::{bench, carry, lint, proofs, rescue, rust_tests, test};
use stand_in::cleanup;
use stand_in::plugin::Program;
use stand_in::steps::{self, Kind};

const HELP: &str = "\
prover: proves the workshop itself

  prover test                         all that can be proven here (make test)
  prover lint                         formatting, clippy, links, make and sh
  prover prove [NAME [WHAT N]]        one proof or all, of the last solution, or
                                      of WHAT (exercise, solution, or a program)
                                      and step N
  prover prove rescue                 what make rescue does, on a dockerd of our own
  prover bench [--list] [--json] [FIGURE…]
                                      figures as ratios, all or some
  prover carry N [COMMIT]             the last change of solution N, in all later
                                      solutions, exercises and starters
  prover record N                     exercise N becomes the starter

Of the environment, and so of make's command line (make test PROOFS=full):
  SEED=NUMBER     prove: replay a run with the same names
  PROOFS=full     prove, test: try far more than with PROOFS=short
  REQUIRE=WORDS   test: a skip of docker, browser or podman is a failure
  ONLY=FIGURES    bench: some of them (make bench ONLY='get start')
  STEP=N          bench: of solution N, instead of the last one
";

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
            Long(name @ ("list" | "json"))
                if words.first().is_some_and(|word| word == "bench") =>
            {
                words.push(format!("--{name}"));
            }
            other => bail!("{}; prover --help tells", other.unexpected()),
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let root = steps::root()?;
    match words[..] {
        ["test"] => {
            cleanup::on_signals()?;
            cleanup::sweep();
            let proven = test::run(&root)?;
            Ok(ExitCode::from(u8::from(!proven)))
        }
        [rust_tests::LANE] => {
            Ok(ExitCode::from(u8::from(!rust_tests::lane()?)))
        }
        ["lint"] => {
            let clean = lint::run(&root)?;
            Ok(ExitCode::from(u8::from(!clean)))
        }
        [bench::docker::INSIDE, file, ref programs @ ..] => {
            cleanup::on_signals()?;
            bench::docker::inside(Path::new(file), programs)?;
            Ok(ExitCode::SUCCESS)
        }
        [proofs::DOCKERD, ref words @ ..] => {
            cleanup::on_signals()?;
            let good = proofs::beside_dockerd(words)?;
            Ok(ExitCode::from(u8::from(!good)))
        }
        ["prove", "rescue"] => prove_rescue(&root),
        ["prove"] => prove(&root, None, Kind::Solution.word(), None),
        ["prove", name] => {
            prove(&root, Some(name), Kind::Solution.word(), None)
        }
        ["prove", name, what, step] => {
            prove(&root, Some(name), what, Some(step))
        }
        ["bench", ref options @ ..] => bench(&root, options),
        ["carry", step, ref commit @ ..] if commit.len() < 2 => {
            let step = steps::find(&root, step)?;
            let carried = carry::run(&root, &step, commit.first().copied())?;
            print!("{carried}");
            Ok(ExitCode::from(u8::from(!carried.is_whole())))
        }
        ["record", step] => {
            starters::record(&root, &steps::find(&root, step)?)?;
            Ok(ExitCode::SUCCESS)
        }
        [] => bail!("what to do? prover --help tells"),
        _ => bail!("no command `{}`; prover --help tells", words.join(" ")),
    }
}

/// Plays what is killed and rescued, on a dockerd that may suffer from it.
fn prove_rescue(root: &Path) -> Result<ExitCode> {
    cleanup::on_signals()?;
    let step = steps::find(root, "4")?;
    let Some(private) = dockerd::Private::start()? else {
        cargo::build(root, &step, Kind::Solution)?;
        return exit_like(dockerd::in_private("prover", &["prove", "rescue"])?);
    };
    let program = cargo::build(root, &step, Kind::Solution)?;
    let program = Program::new(&program)?;
    let (report, _) = stories::play_scenes(
        rescue::SCENES,
        step.number,
        program,
        places::NAME,
        Some(private),
        |report| {
            if let Some(lines) = report.last() {
                anstream::print!("{lines}");
            }
        },
    )?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Tries proofs, with a seed that can be given.
fn prove(
    root: &Path,
    name: Option<&str>,
    what: &str,
    step: Option<&str>,
) -> Result<ExitCode> {
    let proofs = proofs::choose(name)?;
    cleanup::on_signals()?;
    cleanup::sweep();
    if let Some(status) = proofs::in_own_mounts()? {
        return exit_like(status);
    }
    let mut subject = proofs::subject(root, what, step)?;
    if let Some(seed) = seed()? {
        subject.seed = seed;
    }
    let counts = proofs::run(&proofs, &subject)?;
    println!(
        "\n{} proven, {} failed, {} skipped (SEED={})",
        counts.passed,
        counts.failed,
        counts.skipped.len(),
        subject.seed
    );
    Ok(ExitCode::from(u8::from(counts.failed > 0)))
}

fn bench(root: &Path, options: &[&str]) -> Result<ExitCode> {
    let only = setting("ONLY").unwrap_or_default();
    let is_figure = |word: &&str| !word.starts_with("--");
    let words = options.iter().copied().filter(is_figure);
    let names: Vec<_> = words.chain(only.split_whitespace()).collect();
    if options.contains(&"--list") {
        for figure in bench::FIGURES {
            let bench::Figure { name, what, against, .. } = figure;
            println!("{name:<17} {what}, against {against}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let figures = bench::choose(&names)?;
    let step = match setting("STEP") {
        Some(step) => steps::find(root, &step)?,
        None => steps::all(root)?.pop().context("there is no step")?,
    };
    cleanup::on_signals()?;
    cleanup::sweep();
    let json = options.contains(&"--json");
    let mut rows = Vec::new();
    if !json {
        anstream::println!("{}", bench::machine(&step));
        anstream::println!("{}", bench::header());
    }
    bench::run(root, step, &figures, |figure, seen| {
        if json {
            rows.push(bench::to_json(figure, &seen));
        } else {
            anstream::println!("{}", bench::row(figure, &seen));
        }
    })?;
    if json {
        println!("{:#}", serde_json::Value::from(rows));
    }
    Ok(ExitCode::SUCCESS)
}
