//! Code that several test files use.
#![allow(dead_code, reason = "each of them needs another part")]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once};
use std::thread;

use checker::starters::Sources;
use checker::stories::without_times;
use stand_in::checks::{self, Plan};
use stand_in::cleanup;
use stand_in::harness::Harness;
use stand_in::plugin::Program;

/// The seed of recorded reports, from which their names come.
pub const SEED: u64 = 7;

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The cargo that runs these tests.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A workspace of its own under `target/`, named `name`, whose packages have
/// the sources given. Lock file, profile, features and target folder are the
/// project's, so that no dependency is compiled again.
pub struct Workspace {
    folder: PathBuf,
    target: PathBuf,
    packages: Vec<String>,
}

impl Workspace {
    pub fn write(name: &str, packages: &[(String, Sources)]) -> Self {
        let root = root();
        let target = checker::cargo::target().unwrap();
        let folder = target.join(name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let shared = manifest.find("[workspace.package]").unwrap();
        // cargo warns if a profile names a package that the workspace lacks.
        let is_missing = |section: &&str| {
            section.starts_with("\n[profile.dev.package.")
                && !section.contains("\"*\"")
        };
        let sections = manifest[shared - 1..].split_inclusive("\n\n");
        let mut shared: String = sections
            .map(|section| format!("\n{}", section.trim()))
            .filter(|section| !is_missing(&section.as_str()))
            .map(|section| section + "\n")
            .collect();
        for (package, _) in packages {
            // These packages are never debugged. The profile of their dependencies
            // stays, so that those are not built again.
            shared += &format!("\n[profile.dev.package.{package}]\n");
            shared += "debug = 0\ncodegen-units = 1\n";
        }
        let packages: Vec<_> = packages
            .iter()
            .map(|(package, sources)| {
                write_package(&folder.join(package), package, sources);
                package.clone()
            })
            .collect();
        write_if_new(
            &folder.join("Cargo.toml"),
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = {packages:?}\n\n{shared}"
            ),
        );
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        Self { folder, target, packages }
    }

    /// Builds all packages. Returns the folder of programs, and cargo's output.
    #[track_caller]
    pub fn build(&self) -> (PathBuf, String) {
        let output = self.cargo(&["build"]);
        (self.target.join("debug"), output)
    }

    /// Runs cargo, which must succeed, and returns its output.
    #[track_caller]
    pub fn cargo(&self, words: &[&str]) -> String {
        let output = cargo()
            .args(words)
            .arg("--target-dir")
            .arg(&self.target)
            // An incremental build is no faster for these: they seldom change.
            .env("CARGO_INCREMENTAL", "0")
            .current_dir(&self.folder)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let all = self.packages.join(" ");
        assert!(output.status.success(), "cargo {words:?} of {all}:\n{text}");
        text
    }
}

fn write_package(folder: &Path, package: &str, sources: &Sources) {
    for (name, text) in sources {
        let text = match name.to_str() {
            Some("Cargo.toml") => renamed(text, package),
            _ => text.clone(),
        };
        write_if_new(&folder.join(name), &text);
    }
}

/// The manifest with another package name, and without the tests' dependencies.
fn renamed(manifest: &str, package: &str) -> String {
    manifest
        .split_inclusive('\n')
        .map(|line| match line.starts_with("name = ") {
            true => format!("name = {package:?}\n"),
            false => line.to_owned(),
        })
        .collect::<String>()
        .replace("[dev-dependencies]\nstand-in.workspace = true\n", "")
}

/// Writes a file only if its text changes, because cargo compiles what was written.
fn write_if_new(file: &Path, text: &str) {
    if fs::read_to_string(file).ok().as_deref() != Some(text) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

/// A failed check, and its lines in the report, without colours.
pub struct Failed {
    pub id: &'static str,
    pub lines: String,
}

/// The result of a run.
pub struct Outcome {
    pub failed: Vec<Failed>,
    /// The ids of checks that were not tried, and why.
    pub not_tried: BTreeMap<&'static str, String>,
}

/// Runs all checks of `plan` with the seed of the records, and returns the failed
/// ones.
#[track_caller]
pub fn failures(program: &Path, plan: Plan) -> Vec<Failed> {
    outcome(program, plan).failed
}

/// Runs all checks of `plan`, and returns the failed and the skipped ones.
#[track_caller]
pub fn outcome(program: &Path, plan: Plan) -> Outcome {
    // `make test &` ignores some signals, and plugins would inherit that. A handler
    // here prevents it.
    static SIGNALS: Once = Once::new();
    SIGNALS.call_once(|| cleanup::on_signals().unwrap());
    // Several runs take place side by side: see `side_by_side`.
    let plan = Plan { seed: Some(SEED), at_a_time: 1, ..plan };
    let harness = Harness::new(Program::new(program).unwrap());
    let mut failed = Vec::new();
    let report = checks::run(harness, plan, |report| {
        let ran = report.ran.last().unwrap();
        if report
            .failed()
            .last()
            .is_some_and(|failed| std::ptr::eq(failed, ran))
        {
            let lines = report.last().unwrap().to_string();
            let lines = anstream::adapter::strip_str(&lines).to_string();
            failed.push(Failed { id: ran.check.id, lines: masked(&lines) });
        }
    })
    .unwrap_or_else(|err| panic!("grading {}: {err:#}", program.display()));
    let not_tried = report
        .not_tried()
        .map(|(ran, why)| (ran.check.id, why.to_owned()))
        .collect();
    Outcome { failed, not_tried }
}

/// Replaces everything that differs from run to run, or from machine to machine.
pub fn masked(text: &str) -> String {
    let mut lines = Vec::new();
    for line in without_times(text).lines() {
        let line = without_positions(line);
        let line = without_thread_ids(&line);
        let line = without_process_ids(&line);
        let line = without_ports(&line);
        let line = without_owners(&line);
        let line = without_collisions(&line);
        // Whether a crash leaves a core file depends on the machine.
        lines.push(line.replace(" (core dumped)", "") + "\n");
    }
    // A client may be served before the listening thread has logged that it listens.
    let first = lines.iter().position(|line| line.starts_with("  log "));
    let listens =
        lines.iter().position(|line| line.contains("] listening on "));
    if let (Some(first), Some(listens)) = (first, listens) {
        let line = lines.remove(listens);
        lines.insert(first, line);
    }
    lines.concat()
}

/// `/home/me/.cargo/…/tiny_http-0.12.0/src/x.rs:47:31` becomes `…/src/x.rs:L:C`.
fn without_positions(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let Some((file, position)) = word.split_once(".rs:") else {
            return word.to_owned();
        };
        if !position.starts_with(|c: char| c.is_ascii_digit()) {
            return word.to_owned();
        }
        let file = file.rfind("/src/").map_or(file, |at| &file[at + 1..]);
        format!("…/{file}.rs:L:C{}", if word.ends_with(':') { ":" } else { "" })
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `thread 'main' (1234) panicked` becomes `thread 'main' (ID) panicked`.
fn without_thread_ids(line: &str) -> String {
    let Some((before, rest)) = line.split_once("' (") else {
        return line.to_owned();
    };
    match rest.split_once(')') {
        Some((id, after)) if id.bytes().all(|digit| digit.is_ascii_digit()) => {
            format!("{before}' (ID){after}")
        }
        _ => line.to_owned(),
    }
}

/// `sleep (process 1234)` becomes `sleep (process ID)`.
fn without_process_ids(line: &str) -> String {
    let mut parts = line.split("(process ");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        masked.push_str(&format!("(process ID{rest}"));
    }
    masked
}

/// `127.0.0.1:40123` becomes `127.0.0.1:PORT`.
fn without_ports(line: &str) -> String {
    let mut parts = line.split(".0.0.1:");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        masked.push_str(&format!(".0.0.1:PORT{rest}"));
    }
    masked
}

/// `"uid":"1000"` becomes `"uid":"…"`, because the user who runs the tests owns the
/// files. A line that was cut ends there, because these numbers moved the cut.
fn without_owners(line: &str) -> String {
    let mut line = line.to_owned();
    for key in ["\"uid\":\"", "\"gid\":\""] {
        let mut parts = line.split(key);
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let hidden = if rest.len() < part.len() { "…" } else { "" };
            masked.push_str(&format!("{key}{hidden}{rest}"));
        }
        line = masked;
    }
    match line.split_once("\"gid\":\"…") {
        Some((start, end)) if end.ends_with(" bytes)") => {
            format!("{start}\"gid\":\"…")
        }
        _ => line,
    }
}

/// Which calls collide depends on the order in which threads run.
fn without_collisions(line: &str) -> String {
    const START: &str = "calls ran at the same time: ";
    match line.split_once(START) {
        Some((before, _)) => format!("{before}{START}…"),
        None => line.to_owned(),
    }
}

/// The lines of the report `name`. From step 7 on, plugins have threads that log in
/// any order, so the lines of the log are sorted.
fn in_one_order<'a>(name: &str, report: &'a str) -> Vec<&'a str> {
    let mut lines: Vec<_> = report.lines().collect();
    // `7.order.txt`, `starter-07.txt`
    let mut numbers = name.split(|c: char| !c.is_ascii_digit());
    let step = numbers.find_map(|digits| digits.parse().ok());
    if step.is_none_or(|step: u32| step < 7) {
        return lines;
    }
    for log in lines.chunk_by_mut(|one, next| is_log(one) && is_log(next)) {
        log.sort_unstable();
    }
    lines
}

fn is_log(line: &str) -> bool {
    line.starts_with("  log ")
}

/// Compares with the file of that name in `tests/reports/`, which `RECORD=1`
/// writes again. Returns the difference, if there is one.
pub fn differs_from_record(name: &str, got: &str) -> Option<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let file = tests.join("reports").join(name);
    if env::var_os("RECORD") == Some(OsString::from("1")) {
        fs::write(&file, got).unwrap();
    }
    let recorded = fs::read_to_string(&file).unwrap_or_default();
    (in_one_order(name, &recorded) != in_one_order(name, got)).then(|| {
        let patch = diffy::create_patch(&recorded, got);
        format!("tests/reports/{name} (RECORD=1 writes it again):\n{patch}")
    })
}

/// Does `work` with each item, several at a time, because most of them wait.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    const AT_A_TIME: usize = 4;
    let next = Mutex::new(items.iter());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let item = next.lock().unwrap().next();
                    let Some(item) = item else { break };
                    let result = work(item);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}
