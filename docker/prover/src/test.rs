//! `make test`: proves everything that this machine can prove, and lists the rest.

use std::env;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use checker::stories::{self, Scene};
use checker::{cargo, dockerd, places, podman};
use serde_json::{Value, json};
use stand_in::cleanup::{Folder, Guard};
use stand_in::search_path;
use stand_in::steps::{self, Kind, Step};

use crate::counts::Counts;
use crate::rescue::SCENES;
use crate::{proofs, rust_tests, sandbox, slides};

/// One part of `make test`: its headline, and the function that runs it.
type Part = (&'static str, fn(&Path) -> Result<Counts>);

/// The parts that use both processors.
const FIRST: &[Part] = &[("Rust: cargo test", rust)];

/// The parts that run after those, while [`BESIDE`] run.
const THEN: &[Part] = &[
    ("Proofs: prover prove (PROOFS=short, or full)", prove),
    ("Browser: npm test in slides/", browser),
];

/// The parts with Docker and Podman, which wait for these most of their time. They
/// run in a process of its own, whose output is printed at its end.
const BESIDE: &[Part] = &[
    ("Docker: the story of each step, by a private dockerd", docker),
    ("Podman: the stories of steps 4 and 8, by a private Podman", podman),
    ("Docker: kills, and make rescue", rescue),
    ("Docker: the story of each step, in the sandbox", in_sandbox),
    ("Docker: the slides, without Rust and npm", slides::by_docker),
];

/// The command that runs the parts beside others, and writes their results to a
/// file.
pub const BESIDE_OTHERS: &str = "test-beside";

/// How many of the slowest tests are listed at the end.
const SLOWEST: usize = 10;

/// The results of several parts, and how long each of them took.
#[derive(Default)]
struct Results {
    counts: Counts,
    parts: Vec<(String, Duration)>,
}

impl Results {
    fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.parts.extend(other.parts);
    }
}

/// Runs all parts. Returns whether no test failed, and none was skipped that
/// `REQUIRE` names.
///
/// # Errors
/// When a part cannot be started.
pub fn run(root: &Path) -> Result<bool> {
    let mut results = run_parts(root, FIRST)?;
    let beside = Beside::start(root)?;
    println!("\nThe parts with Docker begin; their output comes at their end.");
    results.add(run_parts(root, THEN)?);
    results.add(beside.finish()?);
    let Results { counts, parts } = results;
    let require = &env::var("REQUIRE").unwrap_or_default();
    let summary = Summary { parts: &parts, counts: &counts, require };
    print!("{summary}");
    Ok(summary.failed() == 0)
}

/// Runs the parts that need Docker or Podman, and writes their results to `file`.
///
/// # Errors
/// When a part cannot be started, or the file not be written.
pub fn run_beside_others(root: &Path, file: &Path) -> Result<()> {
    let Results { counts, parts } = run_parts(root, BESIDE)?;
    let parts: Vec<_> = parts
        .iter()
        .map(|(headline, took)| json!([headline, took.as_secs_f64()]))
        .collect();
    let results = json!({ "counts": counts.to_json(), "parts": parts });
    fs::write(file, results.to_string())
        .with_context(|| format!("writing {}", file.display()))
}

fn run_parts(root: &Path, parts: &[Part]) -> Result<Results> {
    let mut results = Results::default();
    for (headline, part) in parts {
        println!("\n== {headline}");
        let start = Instant::now();
        results.counts.add(part(root)?);
        results.parts.push(((*headline).to_owned(), start.elapsed()));
    }
    Ok(results)
}

/// The process that runs the parts with Docker and Podman.
struct Beside {
    child: Child,
    folder: Folder,
    /// Ends the process and its children.
    _guard: Guard,
}

impl Beside {
    fn start(root: &Path) -> Result<Self> {
        let folder = Folder::new()?;
        let log = File::create(folder.path().join("log"))?;
        let mut prover = Command::new(cargo::program("prover")?);
        prover
            .current_dir(root)
            .arg(BESIDE_OTHERS)
            .arg(folder.path().join("results.json"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (child, guard) = Guard::polite_group(|| prover.spawn())
            .context("running the parts with Docker")?;
        Ok(Self { child, folder, _guard: guard })
    }

    /// Awaits the end of the process, and prints its output.
    fn finish(mut self) -> Result<Results> {
        let status = self.child.wait()?;
        let file = |name: &str| fs::read(self.folder.path().join(name));
        let log = file("log").unwrap_or_default();
        print!("{}", String::from_utf8_lossy(&log));
        let text = file("results.json").unwrap_or_default();
        let results = read_results(&text).filter(|_| status.success());
        Ok(results.unwrap_or_else(|| {
            println!("the parts with Docker ended too early ({status})");
            let counts = Counts { failed: 1, ..Counts::default() };
            Results { counts, parts: Vec::new() }
        }))
    }
}

/// Reads what [`run_beside_others`] wrote; `None` for any other text.
fn read_results(text: &[u8]) -> Option<Results> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let counts = Counts::from_json(&value["counts"])?;
    let part = |pair: &Value| {
        let took = Duration::try_from_secs_f64(pair[1].as_f64()?).ok()?;
        Some((pair[0].as_str()?.to_owned(), took))
    };
    let parts = value["parts"].as_array()?.iter().map(part);
    Some(Results { counts, parts: parts.collect::<Option<_>>()? })
}

/// The end of the output.
struct Summary<'a> {
    parts: &'a [(String, Duration)],
    counts: &'a Counts,
    require: &'a str,
}

impl Summary<'_> {
    /// How many skipped tests `REQUIRE` turns into failures.
    fn missed(&self) -> usize {
        let skipped = self.counts.skipped.iter();
        skipped.filter(|skipped| is_required(self.require, skipped)).count()
    }

    fn failed(&self) -> usize {
        self.counts.failed + self.missed()
    }
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { parts, counts, require } = self;
        writeln!(f, "\n== Time of each part, and of the slowest tests")?;
        for (headline, took) in *parts {
            writeln!(f, "{}  {headline}", seconds(*took))?;
        }
        writeln!(f)?;
        for (test, took) in counts.slowest(SLOWEST) {
            writeln!(f, "{}  {test}", seconds(*took))?;
        }
        writeln!(f)?;
        // Failures are repeated here, because readers look at the end.
        for complaint in &counts.complaints {
            writeln!(f, "{complaint}")?;
        }
        for skipped in &counts.skipped {
            writeln!(f, "skipped: {skipped}")?;
        }
        let missed = self.missed();
        if missed > 0 {
            writeln!(
                f,
                "REQUIRE=\"{require}\" turns {missed} of these into failures."
            )?;
        }
        let (passed, failed) = (counts.passed, self.failed());
        let skipped = counts.skipped.len() - missed;
        writeln!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// `  12.3 s`, aligned with up to 9,999 seconds.
fn seconds(took: Duration) -> String {
    format!("{:7.1} s", took.as_secs_f64())
}

/// Whether a skipped test is a failure. `docker` requires everything except what
/// needs a browser or Podman.
fn is_required(require: &str, skipped: &str) -> bool {
    let mut others = ["browser", "podman"].into_iter();
    let word =
        others.find(|word| skipped.starts_with(word)).unwrap_or("docker");
    require.split_whitespace().any(|required| required == word)
}

/// Runs the tests of all packages: rules, reports, starters, solutions.
fn rust(root: &Path) -> Result<Counts> {
    let (output, passed) = rust_tests::run(root, |line| {
        let plain = anstream::adapter::strip_str(line).to_string();
        if plain.starts_with("test ") {
            println!("{line}");
        }
    })?;
    // With CLICOLOR_FORCE, the lines have colours.
    let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
    let output: Vec<_> = output.into_iter().map(plain).collect();
    let mut counts = read_lines(&output);
    if !passed {
        // Readers need the output of the passed tests too, but above that of the
        // failed ones.
        let (passed, failed) = complaints_apart(output);
        passed.iter().chain(&failed).for_each(|line| println!("{line}"));
        counts.complaints = failed;
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// Splits the output of tests: the lines of passed tests, and those of failed ones,
/// from the headline `failures:` to the result.
fn complaints_apart(output: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut failed = false;
    output.into_iter().partition(|line| {
        failed |= line == "failures:";
        let is_complaint = failed;
        failed &= !line.starts_with("test result: ");
        !is_complaint
    })
}

/// Reads the counts and times that the tests of all programs have printed.
fn read_lines(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    let mut program = "";
    for line in lines {
        if let Some(name) = line.strip_prefix(rust_tests::RUNNING) {
            program = name;
        } else if let Some(skipped) = line.strip_prefix("skipped: ") {
            counts.skipped.push(skipped.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            counts.add(read_result(program, result));
        }
    }
    counts
}

/// Reads `ok. 12 passed; 3 failed; …; finished in 0.42s`, the result of a program
/// of tests.
fn read_result(program: &str, result: &str) -> Counts {
    let parts = || result.split([';', ' ']).filter(|part| !part.is_empty());
    let before = |word: &str| {
        let mut pairs = parts().zip(parts().skip(1));
        let (count, _) = pairs.find(|(_, next)| *next == word)?;
        count.parse().ok()
    };
    let took = parts().next_back().and_then(|took| took.strip_suffix('s'));
    let took = took.and_then(|took| took.parse().ok());
    let took = took.and_then(|took| Duration::try_from_secs_f64(took).ok());
    Counts {
        passed: before("passed").unwrap_or(0),
        failed: before("failed").unwrap_or(0),
        times: took
            .map(|took| (format!("tests of {program}"), took))
            .into_iter()
            .collect(),
        ..Counts::default()
    }
}

/// Runs all proofs of the last solution: see [`crate::proofs`].
///
/// They run in a process of its own, because that process needs a mount namespace
/// of its own. Its results come back in a file.
fn prove(root: &Path) -> Result<Counts> {
    let folder = Folder::new()?;
    let file = folder.path().join("counts.json");
    let mut prover = Command::new(cargo::program("prover")?);
    prover.current_dir(root).arg(proofs::COUNTED).arg(&file);
    let status = prover.stdin(Stdio::null()).status();
    let status = status.context("running the prover")?;
    let text = fs::read(&file).unwrap_or_default();
    let counts = serde_json::from_slice(&text).unwrap_or_default();
    let mut counts = Counts::from_json(&counts).unwrap_or_default();
    if !status.success() {
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// Tests the slides in a browser, which node controls.
fn browser(root: &Path) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut skip = |why: &str| {
        counts.skipped.push(format!("browser: the slides: {why}"));
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
        skip("npm ci failed (see above)");
        return Ok(counts);
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&slides).args(["test", "--silent"]);
    let (output, status) = echoed(&mut npm)?;
    for line in &output {
        // node's summary has `# pass 17` or `ℹ pass 17`.
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

/// Runs a program, prints its output, and returns the lines without colours.
fn echoed(command: &mut Command) -> Result<(Vec<String>, ExitStatus)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child =
        command.spawn().with_context(|| format!("running {command:?}"))?;
    let output = child.stdout.take().context("taking its output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("reading {command:?}"))?;
        println!("{line}");
        lines.push(anstream::adapter::strip_str(&line).to_string());
    }
    Ok((lines, child.wait()?))
}

/// The browser that node can control here, or why there is none.
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

/// Plays the story of each step through a private dockerd.
fn docker(root: &Path) -> Result<Counts> {
    if let Some(why) = dockerd::no_private() {
        return Ok(skipped(format!("docker: the stories: {why}")));
    }
    stories(root, "a private dockerd", stories::scenes, |step| {
        // Built here, because the namespaces have no network.
        cargo::build(root, step, Kind::Solution)?;
        let number = step.number.to_string();
        dockerd::in_private("checker", &["check", "solution", &number])
    })
}

/// Plays the stories of Podman.
fn podman(root: &Path) -> Result<Counts> {
    if let Some(why) = podman::missing() {
        return Ok(skipped(format!("podman: the stories: {why}")));
    }
    stories(root, "a private Podman", stories::podman_scenes, |step| {
        cargo::build(root, step, Kind::Solution)?;
        let number = step.number.to_string();
        podman::in_private(&["check", "solution", &number], places::NAME)
    })
}

/// Tests what `make rescue` removes and what it leaves alone.
fn rescue(root: &Path) -> Result<Counts> {
    if let Some(why) = dockerd::no_private() {
        return Ok(skipped(format!("docker: make rescue: {why}")));
    }
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

/// Plays the story of each step in the sandbox, then uses the plugin as an image.
fn in_sandbox(root: &Path) -> Result<Counts> {
    if let Some(why) = sandbox::missing(root) {
        return Ok(skipped(format!("docker: the sandbox: {why}")));
    }
    let mut counts = sandbox::restart(root)?;
    counts.add(stories(root, "the sandbox", stories::scenes, |step| {
        let number = step.number.to_string();
        let script = "docker/checker/run.sh";
        let words = ["sh", script, "check", "solution", &number];
        dockerd::in_sandbox_run(root, &words)
    })?);
    counts.add(sandbox::image(root)?);
    Ok(counts)
}

fn skipped(why: String) -> Counts {
    Counts { skipped: vec![why], ..Counts::default() }
}

/// Plays each story that has `scenes`, in `place`. Each starts a plugin of its own,
/// so a failed story does not affect the next one.
fn stories(
    root: &Path,
    place: &str,
    scenes: impl Fn(u32) -> &'static [Scene],
    play: impl Fn(&Step) -> Result<ExitStatus>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for step in steps::all(root)? {
        let scenes = scenes(step.number);
        if scenes.is_empty() {
            continue;
        }
        let start = Instant::now();
        let status = play(&step)?;
        let story = format!("story of step {}, {place}", step.number);
        counts.times.push((story, start.elapsed()));
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
    fn counts_and_times_are_read_from_the_output_of_tests() {
        let lines: Vec<_> = "     Running 06-restart check\n\
             test a_name ... ok\n\
             skipped: strace: it is not there\n\
             test result: ok. 12 passed; 3 failed; 1 ignored; 0 measured; \
             0 filtered out; finished in 0.42s\n\
             test result: ok. 1 passed; 0 failed"
            .lines()
            .map(str::to_owned)
            .collect();
        let took = Duration::from_millis(420);
        let expected = Counts {
            passed: 13,
            failed: 3,
            skipped: vec!["strace: it is not there".to_owned()],
            times: vec![("tests of 06-restart check".to_owned(), took)],
            ..Counts::default()
        };
        assert_eq!(read_lines(&lines), expected);
    }

    #[test]
    fn the_summary_has_times_skips_and_counts() {
        let took = Duration::from_millis(95_040);
        let part = ("Rust: cargo test".to_owned(), took);
        let counts = Counts {
            passed: 12,
            failed: 1,
            skipped: vec!["browser: no npm".into(), "strace: no".into()],
            complaints: vec!["test a ... FAILED".into()],
            times: (1..=12)
                .map(|second| {
                    (format!("test {second}"), Duration::from_secs(second))
                })
                .collect(),
        };
        let summary =
            Summary { parts: &[part], counts: &counts, require: "docker" };
        let text = summary.to_string();
        let slowest = |line: &&str| line.contains(".0 s  test ");
        let slowest: Vec<_> = text.lines().filter(slowest).collect();
        assert_eq!(slowest.len(), SLOWEST);
        assert_eq!(slowest.first(), Some(&"   12.0 s  test 12"));
        assert_eq!(slowest.last(), Some(&"    3.0 s  test 3"));
        assert!(text.contains("\n   95.0 s  Rust: cargo test\n"), "{text}");
        let end = "\ntest a ... FAILED\n\
                   skipped: browser: no npm\n\
                   skipped: strace: no\n\
                   REQUIRE=\"docker\" turns 1 of these into failures.\n\
                   12 passed, 2 failed, 1 skipped\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(summary.failed(), 2);
    }

    #[test]
    fn the_output_of_failed_tests_comes_last() {
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
    fn results_of_another_process_are_read() {
        let text = r#"{"counts": {"passed": 2, "failed": 1, "skipped": ["a"],
            "complaints": [], "times": [["a story", 1.5]]},
            "parts": [["Docker", 2.5]]}"#;
        let results = read_results(text.as_bytes()).unwrap();
        assert_eq!((results.counts.passed, results.counts.failed), (2, 1));
        let part = ("Docker".to_owned(), Duration::from_millis(2500));
        assert_eq!(results.parts, [part]);
        for wrong in ["", "{}", r#"{"counts": {}, "parts": []}"#] {
            assert!(read_results(wrong.as_bytes()).is_none(), "{wrong}");
        }
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
