//! Figures of a learner's builds and checks. They are measured in a copy of the
//! project, whose exercises are solutions: the learner's files are neither changed
//! nor measured.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use checker::cargo;
use stand_in::cleanup::Folder;
use stand_in::steps::{self, Kind, Step};

use super::series::{Seen, in_turns};
use super::{Bench, Measurement, finish, say};

const ROUNDS: usize = 7;

/// Folders that are not copied. `target` would be most of the copy.
const LEFT_OUT: [&str; 5] =
    [".git", ".kept", "exercises", "node_modules", "target"];

pub(super) fn cold(bench: &mut Bench) -> Result<Measurement> {
    let again = bench.repeats;
    let workspace = bench.workspace()?;
    if again {
        workspace.cold = workspace.first_builds()?;
    }
    Ok(Measurement::Seen(workspace.cold.clone()))
}

pub(super) fn edit(bench: &mut Bench) -> Result<Measurement> {
    let workspace = bench.workspace()?;
    say("edit to binary");
    workspace.compare(|copy| {
        copy.edit()?;
        copy.timed(&mut copy.cargo_build())
    })
}

pub(super) fn verdict(bench: &mut Bench) -> Result<Measurement> {
    let workspace = bench.workspace()?;
    say("edit to verdict");
    workspace.compare(|copy| {
        copy.edit()?;
        copy.timed(&mut copy.make_check())
    })
}

pub(super) fn check(bench: &mut Bench) -> Result<Measurement> {
    let workspace = bench.workspace()?;
    say("check with nothing to do");
    workspace.compare(|copy| copy.timed(&mut copy.make_check()))
}

/// The copy, in which the checker and exercise 1 are built.
#[derive(Debug)]
pub(super) struct Workspace {
    path: PathBuf,
    step: Step,
    source: String,
    edits: u32,
    cold: Seen,
    _folder: Folder,
}

impl Workspace {
    pub(super) fn build(root: &Path) -> Result<Self> {
        let folder = Folder::new()?;
        let path = folder.path().join("workshop");
        copy(root, &path, &cargo::target()?)?;
        for step in steps::all(root)? {
            finished_exercise(root, &path, &step)?;
        }
        let step = steps::find(root, "1")?;
        let source = path.join(step.folder(Kind::Exercise)).join("src/main.rs");
        let source = fs::read_to_string(&source)
            .with_context(|| format!("reading {}", source.display()))?;
        let cold = Seen::new(&[Vec::new(), Vec::new()], &[]);
        let mut workspace =
            Self { path, step, source, edits: 0, cold, _folder: folder };
        workspace.cold = workspace.first_builds()?;
        Ok(workspace)
    }

    /// The cost of the first build. The reference is measured before and after it,
    /// because the speed of a machine changes meanwhile: these are the two rounds.
    fn first_builds(&self) -> Result<Seen> {
        say("building tiny_http alone, from nothing");
        let before = self.cpu_seconds("before", &["tiny_http"])?;
        say("building checker and exercise 1, from nothing");
        let exercise = self.step.package(Kind::Exercise);
        let value = self.cpu_seconds("target", &["checker", &exercise])?;
        say("building tiny_http alone, once more");
        let after = self.cpu_seconds("after", &["tiny_http"])?;
        Ok(Seen::new(&[vec![value, value], vec![before, after]], &[]))
    }

    /// Builds packages into a new folder, and returns the CPU seconds of all
    /// processes. The shell's `times` measures them on every system.
    fn cpu_seconds(&self, target: &str, packages: &[&str]) -> Result<f64> {
        const SCRIPT: &str = "\"$@\" >&2; code=$?; times; exit $code";
        match fs::remove_dir_all(self.path.join(target)) {
            Err(err) if err.kind() != ErrorKind::NotFound => {
                return Err(err).with_context(|| format!("removing {target}"));
            }
            _ => {}
        }
        let mut shell = self.command("sh");
        shell.args(["-c", SCRIPT, "sh", "cargo", "build", "--quiet"]);
        for package in packages {
            shell.args(["--package", package]);
        }
        shell.args(["--target-dir", target]);
        let output = finish(&mut shell)?;
        let text = String::from_utf8_lossy(&output.stdout);
        // The shell's own times are on the first line, its children's below.
        let line = text.lines().nth(1).unwrap_or_default();
        let times = line.split_whitespace().map(seconds);
        times.sum::<Option<f64>>().with_context(|| {
            format!("the output of the shell's times: {}", text.trim())
        })
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path);
        // The caller's settings would change the figures.
        for name in [
            "CARGO_TARGET_DIR",
            "SEED",
            "ENGINE",
            "DOCKERD",
            "AGAINST",
            "NAME",
            "RECORD",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn cargo_build(&self) -> Command {
        let mut cargo = self.command("cargo");
        let package = self.step.package(Kind::Exercise);
        cargo.args(["build", "--quiet", "--package", &package]);
        cargo
    }

    /// The command of make check-exercise-1.
    fn make_check(&self) -> Command {
        let mut shell = self.command("sh");
        shell.args(["docker/checker/run.sh", "check", "exercise"]);
        shell.arg(self.step.number.to_string());
        shell
    }

    /// Changes one line of the exercise, so that the program changes.
    fn edit(&mut self) -> Result<()> {
        self.edits += 1;
        let Self { source, edits, .. } = self;
        let text = format!("{source}\n#[used]\nstatic EDIT: u32 = {edits};\n");
        let folder = self.path.join(self.step.folder(Kind::Exercise));
        fs::write(folder.join("src/main.rs"), text)?;
        Ok(())
    }

    fn timed(&self, command: &mut Command) -> Result<f64> {
        let begin = Instant::now();
        finish(command)?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Measures in turns with a build that has nothing to do.
    fn compare(
        &mut self,
        mut measure: impl FnMut(&mut Self) -> Result<f64>,
    ) -> Result<Measurement> {
        in_turns(ROUNDS, &[], || {
            let value = measure(self)?;
            Ok([value, self.timed(&mut self.cargo_build())?])
        })
        .map(Measurement::Seen)
    }
}

/// Reads `0m12.340s`, the format of the shell.
fn seconds(text: &str) -> Option<f64> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    // In some locales, shells write a comma.
    let seconds = seconds.replace(',', ".");
    let minutes = minutes.parse::<f64>().ok()?;
    Some(minutes * 60.0 + seconds.parse::<f64>().ok()?)
}

/// Copies a folder without [`LEFT_OUT`] and `target`.
fn copy(from: &Path, to: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from)
        .with_context(|| format!("reading {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let out = LEFT_OUT.iter().any(|left_out| name == *left_out)
                || path == target;
            if !out {
                copy(&path, &to.join(name), target)?;
            }
        } else if kind.is_file() {
            fs::copy(&path, to.join(name))
                .with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

/// Copies a solution under the exercise's name.
fn finished_exercise(root: &Path, copied: &Path, step: &Step) -> Result<()> {
    let from = root.join(step.folder(Kind::Solution));
    let to = copied.join(step.folder(Kind::Exercise));
    copy(&from, &to, &from.join("tests"))?;
    let manifest = to.join("Cargo.toml");
    let (old, new) =
        (step.package(Kind::Solution), step.package(Kind::Exercise));
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("reading {}", manifest.display()))?;
    fs::write(&manifest, text.replace(&old, &new))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shells_way_to_write_times_is_read() {
        let cases = [
            ("0m12.340s", Some(12.34)),
            ("2m0,5s", Some(120.5)),
            ("0m0.000000s", Some(0.0)),
            ("12.3", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
