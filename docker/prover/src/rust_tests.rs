//! The tests that cargo knows, in two lanes at once: most of them wait.
//!
//! A check of step 8 makes processes that copy all mounts, and a filesystem whose
//! mount was copied cannot go. So each lane has mounts of its own, made before any
//! test mounts anything.

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

/// The word that makes this program a lane.
pub const LANE: &str = "test-lane";

/// The test that takes as long as all others together.
const LONGEST: &str = "reports";

/// A program of tests, and the folder of its package, where cargo starts it.
#[derive(Debug, PartialEq, Eq)]
struct Executable {
    name: String,
    program: PathBuf,
    folder: PathBuf,
}

/// Builds all tests and runs them. `seen` is shown each line that they print, as
/// soon as it is there. Returns the lines, and whether all tests passed.
///
/// # Errors
/// When something does not compile, or a lane cannot be started.
pub fn run(
    root: &Path,
    mut seen: impl FnMut(&str),
) -> Result<(Vec<String>, bool)> {
    let (long, short): (Vec<_>, Vec<_>) =
        build(root)?.into_iter().partition(|test| test.name == LONGEST);
    let mut lanes = [Lane::start()?, Lane::start()?];
    let (lines, received) = mpsc::channel();
    let outcomes = thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter_mut()
            .zip([long, short])
            .enumerate()
            .map(|(number, (lane, tests))| {
                let lines = lines.clone();
                scope.spawn(move || lane.run(number, &tests, &lines))
            })
            .collect();
        drop(lines);
        // Lane by lane, so that what a test printed stays together.
        let mut printed = [Vec::new(), Vec::new()];
        for (lane, line) in received {
            seen(&line);
            printed[lane].push(line);
        }
        let passed: Result<Vec<bool>> = running
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|_| Ok(false)))
            .collect();
        Ok((printed.concat(), passed?))
    });
    let (lines, passed): (_, Vec<bool>) =
        outcomes.map_err(|err: anyhow::Error| err)?;
    Ok((lines, passed.iter().all(|passed| *passed)))
}

/// All programs of tests, built.
fn build(root: &Path) -> Result<Vec<Executable>> {
    let output = Command::new("cargo")
        .current_dir(root)
        .args(["test", "--locked", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "the tests do not compile, see above");
    let text = String::from_utf8(output.stdout).context("reading cargo")?;
    Ok(text.lines().filter_map(executable).collect())
}

/// The program of tests that one of cargo's messages is about, if it is about one.
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
    /// What it has started ends with it.
    _guard: Guard,
}

impl Lane {
    /// Starts one, and waits until its mounts are its own.
    fn start() -> Result<Self> {
        let prover = cargo::program("prover")?;
        let mut command = match mounts::missing() {
            None => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--mount", "--propagation", "private"]);
                unshare.arg(prover);
                unshare
            }
            // Without the right to mount, no test does.
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

    /// Runs these tests, and sends each line that they print.
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

/// Is a lane: runs the tests that the standard input names, each a folder, a tab
/// and a program. Returns whether all of them passed.
///
/// # Errors
/// When one of them cannot be started.
pub fn lane() -> Result<bool> {
    println!("ready");
    let mut all_passed = true;
    for line in io::stdin().lines() {
        let line = line?;
        let (folder, program) =
            line.split_once('\t').context("a lane's input has no tab")?;
        println!("     Running {program}");
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

#[cfg(test)]
mod tests {
    use super::*;

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
