//! Runs the tests of all packages in three lanes, because most tests wait.
//!
//! A check of step 8 starts processes that copy all mounts, and a filesystem stays
//! mounted as long as a copy exists. So each lane has a mount namespace of its own,
//! made before any test mounts anything.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context, Result, ensure};
use checker::cargo;
use serde_json::Value;
use stand_in::cleanup::Guard;
use stand_in::mounts;

/// The command with which this program becomes a lane.
pub const LANE: &str = "test-lane";

/// A lane prints this before the name of each program of tests.
pub const RUNNING: &str = "     Running ";

/// The programs of tests that take longest have a lane each; the last lane runs
/// all others.
const LONGEST: [&str; 2] = ["reports", "starters"];

/// How many lanes there are.
const LANES: usize = LONGEST.len() + 1;

/// A program of tests, and the folder of its package, in which it has to run.
#[derive(Debug, PartialEq, Eq)]
struct Executable {
    name: String,
    program: PathBuf,
    folder: PathBuf,
}

/// Builds all tests and runs them. `seen` is called with each line as soon as it is
/// printed. Returns all lines, and whether all tests passed.
///
/// # Errors
/// When a test does not compile, or a lane cannot be started.
pub fn run(
    root: &Path,
    mut seen: impl FnMut(&str),
) -> Result<(Vec<String>, bool)> {
    let mut tests: [Vec<Executable>; LANES] = Default::default();
    for test in build(root)? {
        let mut longest = LONGEST.iter();
        let lane = longest.position(|name| test.name == *name);
        tests[lane.unwrap_or(LONGEST.len())].push(test);
    }
    // All of them before the first test runs.
    let lanes: Result<Vec<_>> = tests.iter().map(|_| Lane::start()).collect();
    let mut lanes = lanes?;
    let (lines, received) = mpsc::channel();
    thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter_mut()
            .zip(&tests)
            .enumerate()
            .map(|(number, (lane, tests))| {
                let lines = lines.clone();
                scope.spawn(move || lane.run(number, tests, &lines))
            })
            .collect();
        drop(lines);
        // Lane by lane, so that the output of a program stays together.
        let mut printed: [Vec<String>; LANES] = Default::default();
        for (lane, line) in received {
            seen(&line);
            printed[lane].push(line);
        }
        let mut all_passed = true;
        for lane in running {
            all_passed &= lane.join().unwrap_or(Ok(false))?;
        }
        Ok((printed.concat(), all_passed))
    })
}

/// Builds all programs of tests.
fn build(root: &Path) -> Result<Vec<Executable>> {
    let output = Command::new("cargo")
        .current_dir(root)
        .args(["test", "--locked", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(
        output.status.success(),
        "the tests do not compile: the compiler says why above"
    );
    let text = String::from_utf8(output.stdout).context("reading cargo")?;
    Ok(text.lines().filter_map(executable).collect())
}

/// The program of tests that one of cargo's messages names, if it names one.
fn executable(message: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    is_test.then_some(())?;
    Some(Executable {
        name: message["target"]["name"].as_str()?.to_owned(),
        program: message["executable"].as_str()?.into(),
        folder: manifest.parent()?.to_owned(),
    })
}

/// A process that runs tests one after the other.
struct Lane {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    /// Ends the lane and its children.
    _guard: Guard,
}

impl Lane {
    /// Starts a lane, and waits until it has its own mount namespace.
    fn start() -> Result<Self> {
        let prover = cargo::program("prover")?;
        let mut command = match mounts::missing() {
            None => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--mount", "--propagation", "private"]);
                unshare.arg(prover);
                unshare
            }
            // Without the right to mount, no test mounts anything.
            Some(_) => Command::new(prover),
        };
        command.arg(LANE).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = Guard::polite_group(|| command.spawn());
        let (mut child, guard) = started.context("starting a lane of tests")?;
        let output = child.stdout.take().context("a lane's output")?;
        let mut output = BufReader::new(output);
        let mut ready = String::new();
        output.read_line(&mut ready)?;
        ensure!(!ready.is_empty(), "a lane of tests did not start");
        Ok(Self { child, output, _guard: guard })
    }

    /// Runs programs of tests, and sends each line that they print.
    fn run(
        &mut self,
        number: usize,
        tests: &[Executable],
        lines: &Sender<(usize, String)>,
    ) -> Result<bool> {
        let mut input = self.child.stdin.take().context("a lane's input")?;
        for Executable { program, folder, .. } in tests {
            writeln!(input, "{}\t{}", folder.display(), program.display())?;
        }
        drop(input);
        for line in self.output.by_ref().lines() {
            let line = line.context("reading a lane's output")?;
            if lines.send((number, line)).is_err() {
                break;
            }
        }
        Ok(self.child.wait()?.success())
    }
}

/// The work of a lane: runs the programs that the standard input names, one a line:
/// a folder, a tab and a program. Returns whether all tests passed.
///
/// # Errors
/// When a program cannot be started.
pub fn lane() -> Result<bool> {
    println!("ready");
    let mut all_passed = true;
    for line in io::stdin().lines() {
        let line = line?;
        let (folder, program) =
            line.split_once('\t').context("a lane's input has no tab")?;
        println!("{RUNNING}{}", name(folder, program));
        let status = Command::new(program)
            .arg("--show-output")
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("starting {program}"))?;
        if !status.success() {
            println!("     {program} ended ({status})");
        }
        all_passed &= status.success();
    }
    Ok(all_passed)
}

/// The name for people: `06-restart check` for `…/deps/check-0123456789abcdef` of
/// the package in `…/06-restart`.
fn name(folder: &str, program: &str) -> String {
    let last =
        |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let program = last(program);
    let test = program.rsplit_once('-').map_or(&*program, |(test, _)| test);
    format!("{} {test}", last(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_after_its_package_and_its_test() {
        let program = "/p/target/debug/deps/by_hand-0123456789abcdef";
        assert_eq!(
            name("/p/solutions/08-driver", program),
            "08-driver by_hand"
        );
        assert_eq!(name("/", "reports"), " reports");
    }

    #[test]
    fn programs_of_tests_are_found_among_cargos_messages() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml",
                "target":{{"name":"reports"}},"profile":{{"test":{test}}},
                "executable":{executable}}}"#
            )
        };
        assert_eq!(
            executable(&message(true, r#""/t/reports-1""#)),
            Some(Executable {
                name: "reports".to_owned(),
                program: "/t/reports-1".into(),
                folder: "/p".into(),
            })
        );
        assert_eq!(executable(&message(false, r#""/t/checker""#)), None);
        assert_eq!(executable(&message(true, "null")), None);
        assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
        assert_eq!(executable("no JSON"), None);
    }
}
