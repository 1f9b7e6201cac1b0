//! `make bench`: measures figures, each as a ratio to a reference.
//!
//! Seconds on one machine say little about another machine, or about the same one
//! an hour later. So each figure is compared with a reference that the same run
//! measures in turns with it. A figure neither passes nor fails.
//!
//! A figure is a row in [`FIGURES`] and a function: [`wire`] measures calls,
//! [`disk`] volumes on a disk, [`docker`] commands of a real Docker, [`build`]
//! builds, and [`slides`] the deck. [`programs`] builds the measured plugin and its
//! peer in Go, and [`series`] says how far the rounds of a figure differ. [`table`],
//! [`record`] and [`draw`] show the results.

mod build;
mod disk;
pub mod docker;
pub mod draw;
mod figures;
pub mod machine;
mod programs;
pub mod record;
pub mod series;
mod slides;
pub mod table;
mod wire;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use build::Workspace;
use checker::cargo;
use stand_in::cleanup::Guard;
use stand_in::plugin::Program;
use stand_in::steps::{Kind, Step};

pub use figures::{Aim, FIGURES, Figure, Group, Unit};
use series::Seen;

/// How often a figure is measured, if its rounds differ too far.
const ATTEMPTS: usize = 3;

/// The result of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub enum Measurement {
    /// The numbers.
    Seen(Seen),
    /// Why this machine cannot measure the figure.
    Skipped(String),
}

/// Everything that figures share, made when the first figure needs it.
pub struct Bench {
    root: PathBuf,
    step: Step,
    against: Option<Step>,
    /// Whether the figure is measured again, because its rounds differed too far.
    /// What was measured for several figures at once is then measured anew.
    repeats: bool,
    solutions: BTreeMap<u32, Program>,
    images: BTreeMap<u32, programs::Built>,
    peer: Option<programs::Built>,
    roots: Option<Result<disk::Roots, String>>,
    filesystem: Option<disk::Filesystem>,
    workspace: Option<Workspace>,
    slides: Option<slides::Measured>,
    docker: Option<docker::Times>,
    sandbox: Option<docker::Sandbox>,
}

/// The figures called `names`, or all figures if `names` is empty.
///
/// # Errors
/// When no figure has such a name: the error lists the names.
pub fn choose(names: &[&str]) -> Result<Vec<&'static Figure>> {
    let unknown =
        |name: &&&str| FIGURES.iter().all(|figure| figure.name != **name);
    if let Some(unknown) = names.iter().find(unknown) {
        let all: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
        bail!("no figure is called {unknown}; there are {}", all.join(", "));
    }
    let chosen =
        |figure: &&Figure| names.is_empty() || names.contains(&figure.name);
    Ok(FIGURES.iter().filter(chosen).collect())
}

/// Refuses a step that the figures cannot be measured with, and a comparison of a
/// step with itself.
///
/// # Errors
/// Then. The error says which steps can be measured.
pub fn judge(step: &Step, against: Option<&Step>) -> Result<()> {
    for Step { number, .. } in [Some(step), against].into_iter().flatten() {
        ensure!(
            *number >= programs::PEER_STEP,
            "step {number} does not keep its volumes on a disk: name a step from \
             {} on",
            programs::PEER_STEP
        );
    }
    if against.is_some_and(|against| against.number == step.number) {
        bail!(
            "step {0} cannot be compared with itself: name two steps, for \
             example --step {0} --against-step {1}",
            step.number,
            step.number - 1
        );
    }
    Ok(())
}

/// Measures figures of a step's solution, beside that of the step `against`, and
/// calls `seen` with each result.
///
/// # Errors
/// When a figure cannot be measured.
pub fn run(
    root: &Path,
    step: Step,
    against: Option<Step>,
    figures: &[&'static Figure],
    mut seen: impl FnMut(&'static Figure, Measurement),
) -> Result<()> {
    let mut bench = Bench {
        root: root.to_owned(),
        step,
        against,
        repeats: false,
        solutions: BTreeMap::new(),
        images: BTreeMap::new(),
        peer: None,
        roots: None,
        filesystem: None,
        workspace: None,
        slides: None,
        docker: None,
        sandbox: None,
    };
    for figure in figures {
        let outcome = measure(&mut bench, figure)
            .with_context(|| format!("measuring {}", figure.name))?;
        seen(figure, outcome);
    }
    Ok(())
}

fn measure(bench: &mut Bench, figure: &Figure) -> Result<Measurement> {
    series::steadiest(
        ATTEMPTS,
        |attempt| {
            bench.repeats = attempt > 1;
            (figure.run)(bench)
        },
        |seen| {
            let (lower, upper) = (seen.ratio.lower, seen.ratio.upper);
            say(&format!(
                "{}: the middle half of the rounds lies between {lower:.2} and \
                 {upper:.2}, which is too wide; measuring again",
                figure.name
            ));
        },
    )
}

impl Bench {
    /// The measured solution, as a release build in cargo's target folder.
    fn solution(&mut self) -> Result<Program> {
        self.solution_of(&self.step.clone())
    }

    /// The solution of a step, as a release build in cargo's target folder.
    fn solution_of(&mut self, step: &Step) -> Result<Program> {
        if let Some(known) = self.solutions.get(&step.number) {
            return Ok(known.clone());
        }
        let package = step.package(Kind::Solution);
        let target = cargo::target()?;
        say(&format!("building {package} for release"));
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet", "--release", "--package", &package])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&self.root);
        finish(&mut cargo)?;
        let program = Program::new(&target.join("release").join(package))?;
        self.solutions.insert(step.number, program.clone());
        Ok(program)
    }

    /// A copy of the project, built once.
    fn workspace(&mut self) -> Result<&mut Workspace> {
        if self.workspace.is_none() {
            // This fetches the crates that the measured build needs.
            self.solution()?;
            self.workspace = Some(Workspace::build(&self.root)?);
        }
        self.workspace.as_mut().context("the workspace was made one line above")
    }
}

/// Prints the progress to the standard error.
fn say(text: &str) {
    anstream::eprintln!("bench: {text} …");
}

/// Runs a command that must succeed, and returns its output. The command and its
/// children end with this process.
fn finish(command: &mut Command) -> Result<Output> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (child, group) = Guard::polite_group(|| command.spawn())
        .with_context(|| format!("starting {command:?}"))?;
    let output = child.wait_with_output()?;
    group.release();
    ensure!(
        output.status.success(),
        "{command:?} ended ({}): {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_chosen_by_name_and_an_unknown_one_is_refused() {
        let chosen =
            |names: &[&str]| choose(names).map(|figures| figures.len()).ok();
        assert_eq!(chosen(&[]), Some(FIGURES.len()));
        assert_eq!(chosen(&["start", "get"]), Some(2));
        let refusal = choose(&["get", "gte"]).unwrap_err().to_string();
        let expected = "no figure is called gte; there are activate, get";
        assert!(refusal.starts_with(expected), "{refusal}");
    }

    #[test]
    fn a_step_without_volumes_on_a_disk_and_a_step_twice_are_refused() {
        let step = |number| Step { number, name: String::new() };
        assert!(judge(&step(6), None).is_ok());
        assert!(judge(&step(9), Some(&step(8))).is_ok());
        for (measured, against, expected) in [
            (5, None, "step 5 does not keep its volumes"),
            (8, Some(5), "step 5 does not keep its volumes"),
            (8, Some(8), "step 8 cannot be compared with itself"),
        ] {
            let against = against.map(step);
            let refusal = judge(&step(measured), against.as_ref()).unwrap_err();
            assert!(refusal.to_string().starts_with(expected), "{refusal}");
        }
    }
}
