//! `make test`: proves all that this machine can prove, and names the rest.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::engine;
use crate::sandbox;
use crate::steps::{self, Kind, Step};
use crate::stories;

/// What came of one part, or of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// What was not tried: what it is, and why.
    pub skipped: Vec<String>,
}

impl Counts {
    /// Takes another part in.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// Proves everything. Returns whether nothing failed, and nothing was skipped
/// that `REQUIRE` names.
///
/// # Errors
/// When a part cannot even be started.
pub fn run(root: &Path) -> Result<bool> {
    let mut counts = rust(root)?;
    counts.add(docker(root)?);
    println!();
    for skipped in &counts.skipped {
        println!("skipped: {skipped}");
    }
    let require = env::var("REQUIRE").unwrap_or_default();
    let missed = counts
        .skipped
        .iter()
        .filter(|skipped| is_required(&require, skipped))
        .count();
    if missed > 0 {
        println!("REQUIRE=\"{require}\" makes failures of {missed} of these.");
    }
    let failed = counts.failed + missed;
    let skipped = counts.skipped.len() - missed;
    println!("{} passed, {failed} failed, {skipped} skipped", counts.passed);
    Ok(failed == 0)
}

/// `docker` requires everything but what needs a browser.
fn is_required(require: &str, skipped: &str) -> bool {
    let word = match skipped.starts_with("browser") {
        true => "browser",
        false => "docker",
    };
    require.split_whitespace().any(|it| it == word)
}

/// The tests that cargo knows: rules, reports, starters, solutions.
fn rust(root: &Path) -> Result<Counts> {
    println!("== Rust: cargo test");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["test", "--locked", "--no-fail-fast", "--", "--show-output"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("running cargo test")?;
    let output = child.stdout.take().context("cargo's output")?;
    let mut counts = Counts::default();
    let mut all = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("reading what cargo prints")?;
        if line.starts_with("test ") {
            println!("{line}");
        }
        counts.add(read_line(&line));
        all.push(line);
    }
    let status = child.wait()?;
    if !status.success() {
        // What the tests that passed have printed is worth reading now.
        all.iter().for_each(|line| println!("{line}"));
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// What one line of cargo's says.
fn read_line(line: &str) -> Counts {
    if let Some(skipped) = line.strip_prefix("skipped: ") {
        let skipped = vec![skipped.to_owned()];
        return Counts { skipped, ..Counts::default() };
    }
    let Some(result) = line.strip_prefix("test result: ") else {
        return Counts::default();
    };
    let count = |word: &str| {
        let mut parts = result.split([';', '.']);
        let found = parts.find_map(|it| it.trim().strip_suffix(word))?;
        found.trim().parse().ok()
    };
    Counts {
        passed: count("passed").unwrap_or(0),
        failed: count("failed").unwrap_or(0),
        skipped: Vec::new(),
    }
}

/// The story of each step, through every dockerd that may be crashed.
fn docker(root: &Path) -> Result<Counts> {
    let mut counts = Counts::default();
    println!("\n== Docker: the story of each step, by a dockerd of our own");
    match engine::no_private() {
        Some(why) => counts.skipped.push(format!(
            "docker: the stories, by a dockerd of our own: {why}"
        )),
        None => counts.add(stories(root, |step| {
            // What it cannot do in there: fetch crates.
            crate::cargo::build(root, step, Kind::Solution)?;
            let number = step.number.to_string();
            engine::in_private(&["check", "solution", &number])
        })?),
    }
    println!("\n== Docker: the story of each step, in the sandbox");
    match sandbox::missing(root) {
        Some(why) => {
            counts.skipped.push(format!("docker: the sandbox: {why}"));
        }
        None => {
            counts.add(stories(root, |step| {
                let number = step.number.to_string();
                let script = "docker/checker/run.sh";
                let words = ["sh", script, "check", "solution", &number];
                engine::in_sandbox_run(root, &words)
            })?);
            counts.add(sandbox::image(root)?);
        }
    }
    Ok(counts)
}

/// Plays all stories. A daemon each, or a fresh plugin: what one story breaks,
/// no other one feels.
fn stories(
    root: &Path,
    play: impl Fn(&Step) -> Result<ExitStatus>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for step in steps::all(root)? {
        let status = play(&step)?;
        if status.success() {
            counts.passed += stories::scenes(step.number).len();
        } else {
            println!("the story of step {} failed ({status})", step.number);
            counts.failed += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_cargos_lines() {
        let line = "test result: ok. 12 passed; 3 failed; 1 ignored; 0 \
                    measured; 0 filtered out; finished in 0.42s";
        let expected = Counts { passed: 12, failed: 3, skipped: Vec::new() };
        assert_eq!(read_line(line), expected);
        assert_eq!(read_line("test a_name ... ok"), Counts::default());
        let skipped = vec!["strace: it is not there".to_owned()];
        assert_eq!(
            read_line("skipped: strace: it is not there"),
            Counts { skipped, ..Counts::default() }
        );
    }

    #[test]
    fn docker_requires_all_but_the_browser() {
        for (require, skipped, required) in [
            ("", "docker: no", false),
            ("docker", "docker: no", true),
            ("docker", "strace: no", true),
            ("docker", "browser: no", false),
            ("docker browser", "browser: no", true),
        ] {
            assert_eq!(
                is_required(require, skipped),
                required,
                "REQUIRE={require} and {skipped}"
            );
        }
    }
}
