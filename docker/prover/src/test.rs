//! `make test`: proves all that this machine can prove, and names the rest.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use checker::stories::{self, Scene};
use checker::{cargo, dockerd, places, podman};
use stand_in::search_path;
use stand_in::steps::{self, Kind, Step};

use crate::counts::Counts;
use crate::rescue::SCENES;
use crate::{rust_tests, sandbox, slides};

/// Proves everything. Returns whether nothing failed, and nothing was skipped
/// that `REQUIRE` names.
///
/// # Errors
/// When a part cannot even be started.
pub fn run(root: &Path) -> Result<bool> {
    let mut counts = rust(root)?;
    counts.add(proofs(root)?);
    counts.add(browser(root)?);
    counts.add(docker(root)?);
    println!();
    // Once more: of a long output, people and machines keep the end.
    for complaint in &counts.complaints {
        println!("{complaint}");
    }
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

/// `docker` requires everything but what needs a browser, or Podman.
fn is_required(require: &str, skipped: &str) -> bool {
    let mut apart = ["browser", "podman"].into_iter();
    let word = apart.find(|word| skipped.starts_with(word)).unwrap_or("docker");
    require.split_whitespace().any(|required| required == word)
}

/// The tests that cargo knows: rules, reports, starters, solutions.
fn rust(root: &Path) -> Result<Counts> {
    println!("== Rust: cargo test");
    let (output, passed) = rust_tests::run(root, |line| {
        let plain = anstream::adapter::strip_str(line).to_string();
        if plain.starts_with("test ") {
            println!("{line}");
        }
    })?;
    // CLICOLOR_FORCE is for people; what is counted has no colours.
    let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
    let output: Vec<_> = output.into_iter().map(plain).collect();
    let mut counts = Counts::default();
    output.iter().for_each(|line| counts.add(read_line(line)));
    if !passed {
        // What the tests that passed have printed is worth reading now; before
        // the rest, which says what is wrong.
        let (passed, failed) = complaints_apart(output);
        passed.iter().chain(&failed).for_each(|line| println!("{line}"));
        counts.complaints = failed;
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// What cargo's tests have printed, and apart from it what those that failed
/// have: from the headline to the result that it led to.
fn complaints_apart(output: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut failed = false;
    output.into_iter().partition(|line| {
        failed |= line == "failures:";
        let is_complaint = failed;
        failed &= !line.starts_with("test result: ");
        !is_complaint
    })
}

/// Runs a program, shows the lines that are progress, and returns all of them.
fn echoed(
    command: &mut Command,
    is_progress: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, ExitStatus)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child =
        command.spawn().with_context(|| format!("running {command:?}"))?;
    let output = child.stdout.take().context("its output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("reading {command:?}"))?;
        // CLICOLOR_FORCE is for people; what is counted has no colours.
        let plain = anstream::adapter::strip_str(&line).to_string();
        if is_progress(&plain) {
            println!("{line}");
        }
        lines.push(plain);
    }
    Ok((lines, child.wait()?))
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
        let found = parts.find_map(|part| part.trim().strip_suffix(word))?;
        found.trim().parse().ok()
    };
    Counts {
        passed: count("passed").unwrap_or(0),
        failed: count("failed").unwrap_or(0),
        ..Counts::default()
    }
}

/// What is proven of the last solution: see [`crate::proofs`].
fn proofs(root: &Path) -> Result<Counts> {
    println!("\n== Proofs: prover prove (PROOFS=short, or full)");
    let mut prover = Command::new(cargo::program("prover")?);
    prover.current_dir(root).arg("prove");
    let (output, status) = echoed(&mut prover, |_| true)?;
    let mut counts = Counts::default();
    output.iter().for_each(|line| counts.add(read_proof(line)));
    if !status.success() {
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// What one line of `prover prove` says.
fn read_proof(line: &str) -> Counts {
    let mut counts = Counts::default();
    let line = line.trim_start();
    if line.starts_with("ok ") {
        counts.passed = 1;
    } else if line.starts_with("FAIL ") {
        counts.failed = 1;
    } else if let Some(skipped) = line.strip_prefix("skip ") {
        counts.skipped.push(skipped.trim_start().to_owned());
    }
    counts
}

/// The slides in a browser, which only node can drive.
fn browser(root: &Path) -> Result<Counts> {
    println!("\n== Browser: npm test in slides/");
    let mut counts = Counts::default();
    let mut skip = |why: &str| {
        counts.skipped.push(format!("browser: the slides in one: {why}"));
    };
    if let Err(why) = browser_here() {
        skip(why);
        return Ok(counts);
    }
    let slides = root.join("slides");
    let mut fetch = Command::new("npm");
    fetch.args(["ci", "--no-audit", "--no-fund", "--silent"]);
    let fetched = fetch.current_dir(&slides).stdin(Stdio::null()).status();
    if !fetched.context("running npm ci")?.success() {
        skip("npm ci could not fetch what drives it (see above)");
        return Ok(counts);
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&slides).args(["test", "--silent"]);
    let (output, status) = echoed(&mut npm, |_| true)?;
    for line in &output {
        // node's own summary: `# pass 17` or `ℹ pass 17`
        let mut words = line.split_whitespace().skip(1);
        let (Some(word), Some(count)) = (words.next(), words.next()) else {
            continue;
        };
        match (word, count.parse::<usize>()) {
            ("pass", Ok(count)) => counts.passed += count,
            ("fail", Ok(count)) => counts.failed += count,
            _ => {}
        }
    }
    if !status.success() {
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// The browser that node can drive here, or why there is none.
pub(crate) fn browser_here() -> Result<PathBuf, &'static str> {
    if !search_path::on_path("npm") {
        return Err("no npm here (https://nodejs.org, or apt-get install npm)");
    }
    if let Some(named) = env::var_os("CHROMIUM") {
        return Ok(named.into());
    }
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(search_path::find)
        .ok_or("no chromium here (apt-get install chromium)")
}

/// The story of each step, through every dockerd that may be crashed, and the
/// slides out of a container.
fn docker(root: &Path) -> Result<Counts> {
    let mut counts = Counts::default();
    println!("\n== Docker: the story of each step, by a dockerd of our own");
    match dockerd::no_private() {
        Some(why) => counts.skipped.push(format!(
            "docker: the stories, by a dockerd of our own: {why}"
        )),
        None => counts.add(stories(root, stories::scenes, |step| {
            // What it cannot do in there: fetch crates.
            cargo::build(root, step, Kind::Solution)?;
            let number = step.number.to_string();
            dockerd::in_private("checker", &["check", "solution", &number])
        })?),
    }
    println!("\n== Podman: the stories of steps 4 and 8, by a real one");
    match podman::missing() {
        Some(why) => counts.skipped.push(format!(
            "podman: the stories, by a Podman of our own: {why}"
        )),
        None => counts.add(stories(root, stories::podman_scenes, |step| {
            cargo::build(root, step, Kind::Solution)?;
            let number = step.number.to_string();
            let words = ["check", "solution", &number];
            podman::in_private(&words, places::NAME)
        })?),
    }
    println!("\n== Docker: what is killed, and make rescue");
    match dockerd::no_private() {
        Some(why) => {
            counts.skipped.push(format!("docker: make rescue: {why}"));
        }
        None => counts.add(rescue(root)?),
    }
    println!("\n== Docker: the story of each step, in the sandbox");
    match sandbox::missing(root) {
        Some(why) => {
            counts.skipped.push(format!("docker: the sandbox: {why}"));
        }
        None => {
            counts.add(sandbox::restart(root)?);
            counts.add(stories(root, stories::scenes, |step| {
                let number = step.number.to_string();
                let script = "docker/checker/run.sh";
                let words = ["sh", script, "check", "solution", &number];
                dockerd::in_sandbox_run(root, &words)
            })?);
            counts.add(sandbox::image(root)?);
        }
    }
    counts.add(slides::by_docker(root)?);
    Ok(counts)
}

/// What `make rescue` removes, and what it leaves alone.
fn rescue(root: &Path) -> Result<Counts> {
    let step = steps::find(root, "4")?;
    cargo::build(root, &step, Kind::Solution)?;
    let status = dockerd::in_private("prover", &["prove", "rescue"])?;
    let mut counts = Counts::default();
    match status.success() {
        true => counts.passed += SCENES.len(),
        false => counts.failed += 1,
    }
    Ok(counts)
}

/// Plays all stories that have `scenes`. A daemon each, or a fresh plugin: what
/// one story breaks, no other one feels.
fn stories(
    root: &Path,
    scenes: impl Fn(u32) -> &'static [Scene],
    play: impl Fn(&Step) -> Result<ExitStatus>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for step in steps::all(root)? {
        let scenes = scenes(step.number);
        if scenes.is_empty() {
            continue;
        }
        let status = play(&step)?;
        if status.success() {
            counts.passed += scenes.len();
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
        let expected = Counts { passed: 12, failed: 3, ..Counts::default() };
        assert_eq!(read_line(line), expected);
        assert_eq!(read_line("test a_name ... ok"), Counts::default());
        let skipped = vec!["strace: it is not there".to_owned()];
        assert_eq!(
            read_line("skipped: strace: it is not there"),
            Counts { skipped, ..Counts::default() }
        );
    }

    #[test]
    fn what_failed_tests_print_comes_last() {
        let lines = |text: &str| -> Vec<_> {
            text.lines().map(str::to_owned).collect()
        };
        let output = "test a ... FAILED\nsuccesses:\nhello\n\nfailures:\n\n\
                      ---- a stdout ----\nno\n\nfailures:\n    a\n\n\
                      test result: FAILED. 1 passed; 1 failed\n\
                      test b ... ok\ntest result: ok. 1 passed";
        let passed = "test a ... FAILED\nsuccesses:\nhello\n\n\
                      test b ... ok\ntest result: ok. 1 passed";
        let failed = "failures:\n\n---- a stdout ----\nno\n\nfailures:\n    \
                      a\n\ntest result: FAILED. 1 passed; 1 failed";
        let apart = complaints_apart(lines(output));
        assert_eq!(apart, (lines(passed), lines(failed)));
    }

    #[test]
    fn proofs_are_counted() {
        let mut counts = Counts::default();
        for line in [
            "  ok    power: the disk: 40 of 40 copies (11.3 s)",
            "        7 of 40 copies made…",
            "  FAIL  kill: no",
            "        got       ok",
            "  skip  power: no mkfs.xfs here",
            "1 proven, 1 failed, 1 skipped (SEED=7)",
        ] {
            counts.add(read_proof(line));
        }
        let skipped = vec!["power: no mkfs.xfs here".to_owned()];
        assert_eq!(
            counts,
            Counts { passed: 1, failed: 1, skipped, ..Counts::default() }
        );
    }

    #[test]
    fn docker_requires_all_but_the_browser_and_podman() {
        for (require, skipped, required) in [
            ("", "docker: no", false),
            ("docker", "docker: no", true),
            ("docker", "strace: no", true),
            ("docker", "browser: no", false),
            ("docker browser", "browser: no", true),
            ("docker browser", "podman: no", false),
            ("docker browser podman", "podman: no", true),
        ] {
            assert_eq!(
                is_required(require, skipped),
                required,
                "REQUIRE={require} and {skipped}"
            );
        }
    }
}
