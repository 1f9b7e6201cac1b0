//! The commands of the command line.

use std::fs;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result, bail, ensure};
use checker::{
    cargo, dockerd, exit_like, places, seed, setting, starters, stories,
};
use prover::bench::machine::Machine;
use prover::bench::record::{Recording, Row};
use prover::bench::table;
use prover::counts::Counts;
use prover::{bench, carry, lint, proofs, rescue, rust_tests, test};
use stand_in::cleanup;
use stand_in::plugin::Program;
use stand_in::steps::{self, Kind};

const HELP: &str = "\
prover: tests the workshop itself

  prover test                         run all tests that can run on this machine
  prover lint                         check formatting, clippy, links, make and sh
  prover prove [NAME [WHAT N]]        run one proof or all, on the last solution,
                                      or on WHAT (exercise, solution, or a
                                      program) of step N
  prover prove rescue                 test make rescue beside a private dockerd
  prover bench [--list] [--json] [--step N] [--against-step N] [FIGURE…]
                                      measure all figures or some, as ratios
  prover carry N [COMMIT]             carry the last change of solution N to all
                                      later solutions, exercises and starters
  prover record N                     make exercise N the starter

Variables, in the environment or after make (make test PROOFS=full):
  SEED=NUMBER     prove: replay a run with the same names
  PROOFS=full     prove, test: try far more than with PROOFS=short
  REQUIRE=WORDS   test: a skip of docker, browser or podman is a failure
  ONLY=FIGURES    bench: measure only these (make bench ONLY='get start')
  STEP=N          bench: the same as --step N: measure solution N, instead of the
                  last one
  AGAINST_STEP=N  bench: the same as --against-step N: measure solution N beside
                  it, in the same rounds
  RECORD=1        bench: write the results and the drawings that are committed
";

/// Runs the command that the command line names.
pub fn main() -> Result<ExitCode> {
    let options = ["list", "json", "step", "against-step"];
    let Some(words) = checker::words("prover", HELP, &options)? else {
        return Ok(ExitCode::SUCCESS);
    };
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
        [test::BESIDE_OTHERS, file] => {
            cleanup::on_signals()?;
            test::run_beside_others(&root, Path::new(file))?;
            Ok(ExitCode::SUCCESS)
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
        [proofs::COUNTED, file] => {
            let counts = prove(&root, None, Kind::Solution.word(), None)?;
            write_counts(counts, Path::new(file))
        }
        ["prove"] => {
            exit_code(prove(&root, None, Kind::Solution.word(), None)?)
        }
        ["prove", name] => {
            exit_code(prove(&root, Some(name), Kind::Solution.word(), None)?)
        }
        ["prove", name, what, step] => {
            exit_code(prove(&root, Some(name), what, Some(step))?)
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
        [] => bail!("a command is missing; prover --help lists them"),
        _ => {
            bail!("no command `{}`; prover --help lists them", words.join(" "))
        }
    }
}

/// Plays the scenes of `make rescue` beside a private dockerd.
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

/// The results of proofs; or the status of the process that ran them in a mount
/// namespace of its own.
enum Proven {
    Here(Counts),
    InOwnMounts(ExitStatus),
}

/// Runs proofs, with the seed from `SEED` if it is set.
fn prove(
    root: &Path,
    name: Option<&str>,
    what: &str,
    step: Option<&str>,
) -> Result<Proven> {
    let proofs = proofs::choose(name)?;
    cleanup::on_signals()?;
    cleanup::sweep();
    if let Some(status) = proofs::in_own_mounts()? {
        return Ok(Proven::InOwnMounts(status));
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
    Ok(Proven::Here(counts))
}

fn exit_code(proven: Proven) -> Result<ExitCode> {
    match proven {
        Proven::Here(counts) => Ok(ExitCode::from(u8::from(counts.failed > 0))),
        Proven::InOwnMounts(status) => exit_like(status),
    }
}

/// Writes the results to a file for [`prover::test`], if this is the process that
/// has them.
fn write_counts(proven: Proven, file: &Path) -> Result<ExitCode> {
    if let Proven::Here(counts) = &proven {
        fs::write(file, counts.to_json().to_string())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    exit_code(proven)
}

/// The command line of `prover bench`, with the variables that mean the same.
struct BenchOptions {
    list: bool,
    json: bool,
    step: Option<String>,
    against: Option<String>,
    figures: Vec<String>,
}

impl BenchOptions {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            list: false,
            json: false,
            step: setting("STEP"),
            against: setting("AGAINST_STEP"),
            figures: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut step = || {
                let number = words.next().map(|number| (*number).to_owned());
                number.with_context(|| format!("{word} needs a step: {word} 8"))
            };
            match *word {
                "--list" => options.list = true,
                "--json" => options.json = true,
                "--step" => options.step = Some(step()?),
                "--against-step" => options.against = Some(step()?),
                figure => options.figures.push(figure.to_owned()),
            }
        }
        let only = setting("ONLY").unwrap_or_default();
        let only = only.split_whitespace().map(str::to_owned);
        options.figures.extend(only);
        Ok(options)
    }
}

fn bench(root: &Path, words: &[&str]) -> Result<ExitCode> {
    let options = BenchOptions::read(words)?;
    if options.list {
        for figure in bench::FIGURES {
            let bench::Figure { name, what, against, .. } = figure;
            println!("{name:<17} {what}, against {against}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let record = setting("RECORD").is_some();
    ensure!(
        !record || options.figures.is_empty(),
        "RECORD writes the results of one whole run: do not name figures ({})",
        options.figures.join(" ")
    );
    let names: Vec<_> = options.figures.iter().map(String::as_str).collect();
    let figures = bench::choose(&names)?;
    let step = match &options.step {
        Some(step) => steps::find(root, step)?,
        None => steps::all(root)?.pop().context("there is no step")?,
    };
    let against = options.against.as_ref();
    let against = against.map(|step| steps::find(root, step)).transpose()?;
    bench::judge(&step, against.as_ref())?;
    cleanup::on_signals()?;
    cleanup::sweep();
    let machine = Machine::now();
    if machine.is_busy() {
        anstream::eprintln!(
            "bench: warning: other programs keep this machine busy (load {:.2}). \
             Ratios of a busy machine are not reliable: end the programs, wait a \
             minute, and measure again.",
            machine.load.unwrap_or_default()
        );
    }
    let mut recording = Recording {
        step: step.number,
        against_step: against.as_ref().map(|step| step.number),
        machine,
        figures: Vec::new(),
    };
    if !options.json {
        anstream::println!("{}", recording.title());
        anstream::println!("{}", table::header());
    }
    bench::run(root, step, against, &figures, |figure, seen| {
        let row = Row::new(figure, recording.step, seen);
        if !options.json {
            anstream::println!("{}", table::row(&row));
        }
        recording.figures.push(row);
    })?;
    if options.json {
        print!("{}", recording.to_json()?);
    }
    if record {
        for file in recording.write(root)? {
            anstream::eprintln!("bench: wrote {}", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_and_the_figures_of_a_bench_are_read() {
        let words =
            ["--step", "9", "get", "--against-step", "8", "--json", "start"];
        let options = BenchOptions::read(&words).unwrap();
        assert_eq!(options.step.as_deref(), Some("9"));
        assert_eq!(options.against.as_deref(), Some("8"));
        assert!(options.json && !options.list);
        assert_eq!(options.figures[..2], ["get", "start"]);
    }

    #[test]
    fn an_option_without_its_step_is_refused() {
        for option in ["--step", "--against-step"] {
            let refusal = BenchOptions::read(&["get", option]).err().unwrap();
            let expected = format!("{option} needs a step: {option} 8");
            assert_eq!(refusal.to_string(), expected);
        }
    }
}
