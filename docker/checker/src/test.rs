//! `make test`: proves all that this machine can prove, and names the rest.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::engine;
use crate::steps;
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
    fn add(&mut self, other: Self) {
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

/// The story of each step, through a dockerd of our own.
fn docker(root: &Path) -> Result<Counts> {
    println!("\n== Docker: the story of each step, by a dockerd of our own");
    let mut counts = Counts::default();
    if let Some(why) = engine::no_private() {
        counts.skipped.push(format!("docker: the stories of the steps: {why}"));
        return Ok(counts);
    }
    for step in steps::all(root)? {
        let number = step.number.to_string();
        crate::cargo::build(root, &step, steps::Kind::Solution)?;
        // A daemon each: what one story breaks, no other story feels.
        let status = engine::in_private(&["check", "solution", &number])?;
        let scenes = stories::scenes(step.number).len();
        if status.success() {
            counts.passed += scenes;
        } else {
            println!("the story of step {number} failed ({status})");
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
