//! Builds the plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, fmt, fs, io, slice};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use stand_in::cleanup::Folder;
use stand_in::starters;
use stand_in::steps::{Kind, Step};

/// Cargo could not build a plugin: its author has to mend the plugin.
#[derive(Debug)]
pub struct DoesNotBuild {
    /// The next step, in a sentence.
    next: String,
}

impl std::error::Error for DoesNotBuild {}

impl fmt::Display for DoesNotBuild {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.next)
    }
}

/// The target folder into which cargo has built this program.
///
/// # Errors
/// When the system does not say where this program is, or it was moved.
pub fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("finding our own program")?;
    let profile = program.ancestors().find(|folder| {
        folder
            .file_name()
            .is_some_and(|name| name == "debug" || name == "release")
    });
    let target = profile.and_then(Path::parent);
    let target = target.with_context(|| {
        format!("{} is not in cargo's target folder", program.display())
    })?;
    Ok(target.to_owned())
}

/// The path of `checker` or `prover`, as built last. `current_exe` would name a
/// deleted file if a build has replaced the program since our start.
///
/// # Errors
/// When the system does not say where this program is.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("debug").join(name))
}

/// Builds one plugin, and returns the path of the program. Cargo's messages go to
/// the terminal unchanged, except those about words of `#![expect(…)]` that have
/// become unnecessary: these are one line.
///
/// # Errors
/// [`DoesNotBuild`] when the plugin does not compile. Another error when the folder
/// of the plugin is missing, TMPDIR is not a folder that we can write to, or a signal
/// has ended cargo.
pub fn build(root: &Path, step: &Step, kind: Kind) -> Result<PathBuf> {
    let folder = step.found_folder(root, kind)?;
    let package = step.package(kind);
    let program = target()?.join("debug").join(&package);
    // The first build takes seconds, so it shows its progress. Later builds print
    // only errors.
    let show = if program.exists() { Show::Errors } else { Show::Progress };
    let built = Built::from(root, slice::from_ref(&package), show)?;
    if let Some(words) = built.unneeded.get(&package)
        && let Ok(text) = fs::read_to_string(folder.join("src/main.rs"))
    {
        let todo_is_left = starters::read(root, step, kind).is_ok_and(|mine| {
            mine.values().any(|text| text.contains("todo!("))
        });
        let file = step.folder(kind).join("src/main.rs");
        let may_go = may_go(&text, words, todo_is_left);
        eprintln!("{}: {may_go}", file.display());
    }
    if built.programs.contains(&package) {
        return Ok(program);
    }
    if let Some(signal) = built.status.signal() {
        bail!("the build was interrupted (signal {signal})");
    }
    Err(DoesNotBuild { next: advice(root, step, kind, built.status) }.into())
}

/// What cargo shows on the terminal while it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing.
    Nothing,
    /// Warnings and errors.
    Errors,
    /// The same, and which crate is being compiled.
    Progress,
}

/// What one call of cargo has built.
#[derive(Debug)]
pub struct Built {
    status: ExitStatus,
    /// The packages whose programs are up to date now.
    pub programs: BTreeSet<String>,
    /// The first error of each package that does not compile.
    pub errors: BTreeMap<String, String>,
    /// The words of `#![expect(…)]` that have no effect, by package.
    unneeded: BTreeMap<String, Vec<String>>,
}

impl Built {
    /// Builds packages, each as far as it can be built.
    ///
    /// # Errors
    /// When cargo cannot be called.
    pub fn from(root: &Path, packages: &[String], show: Show) -> Result<Self> {
        // Without a temporary folder the compiler fails too, but with an error that
        // blames the plugin.
        drop(Folder::new()?);
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root).args(["build", "--keep-going"]);
        cargo.args(["--message-format", "json-diagnostic-rendered-ansi"]);
        cargo.arg("--target-dir").arg(target()?);
        for package in packages {
            cargo.args(["--package", package]);
        }
        if show != Show::Progress {
            cargo.arg("--quiet");
        }
        if show == Show::Nothing {
            cargo.stderr(Stdio::null());
        }
        let say = |message: &str| {
            if show != Show::Nothing {
                anstream::eprint!("{message}");
            }
        };
        let mut child =
            cargo.stdout(Stdio::piped()).spawn().map_err(explain)?;
        let mut built = Self {
            status: ExitStatus::default(),
            programs: BTreeSet::new(),
            errors: BTreeMap::new(),
            unneeded: BTreeMap::new(),
        };
        let stdout = child.stdout.take().context("reading from cargo")?;
        for line in BufReader::new(stdout).lines() {
            // cargo prints JSON, one object a line.
            if let Ok(message) = serde_json::from_str(&line?) {
                built.take(&message, say);
            }
        }
        built.status = child.wait().map_err(explain)?;
        Ok(built)
    }

    /// Takes one message of cargo, as its reference describes it under `External
    /// tools`.
    fn take(&mut self, message: &Value, say: impl Fn(&str)) {
        let text =
            |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let package = text(&message["target"]["name"]);
        if message["executable"].is_string() {
            self.programs.insert(package);
            return;
        }
        let diagnostic = &message["message"];
        let span = &diagnostic["spans"][0];
        if diagnostic["code"]["code"] == "unfulfilled_lint_expectations" {
            let word = highlighted(&span["text"][0]).unwrap_or_default();
            self.unneeded.entry(package).or_default().push(word);
            return;
        }
        if let Some(rendered) = diagnostic["rendered"].as_str() {
            say(rendered);
        }
        if diagnostic["level"] == "error" && span.is_object() {
            let (file, line) = (text(&span["file_name"]), &span["line_start"]);
            let what = text(&diagnostic["message"]);
            let error = format!("{file}, line {line}: {what}");
            self.errors.entry(package).or_insert(error);
        }
    }
}

/// The part of a line that a diagnostic underlines.
fn highlighted(line: &Value) -> Option<String> {
    let column =
        |name: &str| line[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let (start, end) = (column("highlight_start")?, column("highlight_end")?);
    let text = line["text"].as_str()?.chars();
    let length = end.checked_sub(start)?;
    Some(text.skip(start.checked_sub(1)?).take(length).collect())
}

/// The line about the words of the first `#![expect(…)]` in `text` that have become
/// unnecessary. rustc does not know the lints of clippy, so `clippy::todo` is
/// unnecessary when no `todo!` is left.
fn may_go(text: &str, unneeded: &[String], todo_is_left: bool) -> String {
    const TODO: &str = "clippy::todo";
    let (_, rest) = text.split_once("#![expect(").unwrap_or_default();
    let (inside, _) = rest.split_once(")]").unwrap_or_default();
    let words = inside.split(',').map(str::trim);
    let words: Vec<_> = words
        .take_while(|word| !word.starts_with("reason"))
        .filter(|word| !word.is_empty())
        .collect();
    let may = |word: &&&str| {
        unneeded.iter().any(|other| other == **word)
            || (**word == TODO && !todo_is_left)
    };
    let free: Vec<_> = words.iter().filter(may).copied().collect();
    if free.len() == words.len() {
        return "you may delete all of #![expect(…)]: your code needs no word \
                of it any more"
            .to_owned();
    }
    format!("you may delete from #![expect(…)]: {}", free.join(", "))
}

fn explain(err: io::Error) -> anyhow::Error {
    let hint = match err.kind() {
        io::ErrorKind::NotFound => {
            " (is Rust installed? https://rustup.rs installs it)"
        }
        _ => "",
    };
    anyhow::Error::new(err).context(format!("running cargo{hint}"))
}

fn advice(root: &Path, step: &Step, kind: Kind, status: ExitStatus) -> String {
    let folder = step.folder(kind);
    let number = step.number;
    // Because of one broken manifest, cargo builds no member of the workspace.
    if let Some(complaint) = unreadable(root) {
        return complaint;
    }
    match kind {
        Kind::Exercise => format!(
            "{} does not compile ({status}): the compiler says why above. \
             Stuck? make hint-{number} gives a hint; make \
             diff-exercise-{number} shows the differences from the solution",
            folder.display()
        ),
        Kind::Solution => {
            format!("{} does not compile ({status})", folder.display())
        }
    }
}

/// Names the manifest that cargo cannot read, and the way to mend it; `None` if
/// cargo can read all of them.
pub fn unreadable(root: &Path) -> Option<String> {
    let member = broken_member(root)?;
    let number = member.file_name().and_then(|name| {
        let digits = name.to_str()?.split('-').next()?;
        digits.parse::<u32>().ok()
    });
    let reset = match number {
        Some(number) if member.starts_with("exercises") => {
            format!(
                ", or put the starter back: make reset-exercise-{number} keeps \
                 your version"
            )
        }
        _ => String::new(),
    };
    let member = member.display();
    Some(format!(
        "cargo cannot read {member}/Cargo.toml and builds nothing without it: \
         mend the file{reset}"
    ))
}

/// The folder whose manifest cargo cannot read, relative to the project.
fn broken_member(root: &Path) -> Option<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(root).output().ok()?;
    if output.status.success() {
        return None;
    }
    let member = member_in(&String::from_utf8_lossy(&output.stderr))?;
    member.strip_prefix(root).ok().map(Path::to_owned)
}

/// The folder that cargo's error message names.
fn member_in(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("workspace member `")?;
    let (member, _) = rest.split_once('`')?;
    Some(PathBuf::from(member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_broken_member_is_named() {
        let complaint = "error: failed to load manifest for workspace member \
            `/a b/exercises/02-answer`\nreferenced via `exercises/…`";
        let member = Path::new("/a b/exercises/02-answer");
        assert_eq!(member_in(complaint).as_deref(), Some(member));
        assert_eq!(member_in("error: no matching package"), None);
    }

    #[test]
    fn the_words_that_may_go_are_one_line() {
        let text = "//! x\n\n#![expect(\n    clippy::todo,\n    dead_code,\n    \
            unused_variables,\n    reason = \"TODO(2): delete, word by word\"\n\
            )]\n\nmod a;\n";
        for (unneeded, todo_is_left, line) in [
            (
                &["dead_code"][..],
                true,
                "you may delete from #![expect(…)]: dead_code",
            ),
            (
                &["unused_variables"],
                false,
                "you may delete from #![expect(…)]: clippy::todo, \
                 unused_variables",
            ),
            (
                &["unused_variables", "dead_code"],
                false,
                "you may delete all of #![expect(…)]: your code needs no word \
                 of it any more",
            ),
        ] {
            let words: Vec<_> =
                unneeded.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(may_go(text, &words, todo_is_left), line);
        }
    }

    #[test]
    fn messages_of_cargo_are_sorted() {
        let mut built = Built {
            status: ExitStatus::default(),
            programs: BTreeSet::new(),
            errors: BTreeMap::new(),
            unneeded: BTreeMap::new(),
        };
        let said = std::cell::RefCell::new(String::new());
        let target = json!({ "name": "exercise-01" });
        let lint = json!({ "code": "unfulfilled_lint_expectations" });
        let line = json!({
            "text": "    dead_code,", "highlight_start": 5, "highlight_end": 14,
        });
        for message in [
            json!({ "target": target, "message": {
                "level": "warning", "code": lint, "rendered": "ten lines",
                "spans": [{ "text": [line] }],
            }}),
            json!({ "target": target, "message": {
                "level": "error", "rendered": "error: no\n", "message": "no",
                "spans": [{ "file_name": "a/b.rs", "line_start": 7 }],
            }}),
            json!({ "target": { "name": "exercise-02" }, "executable": "/x" }),
            json!({ "reason": "build-finished", "success": false }),
        ] {
            built.take(&message, |text| said.borrow_mut().push_str(text));
        }
        assert_eq!(said.into_inner(), "error: no\n");
        assert_eq!(built.unneeded["exercise-01"], ["dead_code"]);
        assert_eq!(built.errors["exercise-01"], "a/b.rs, line 7: no");
        assert!(built.programs.iter().eq(["exercise-02"]));
    }
}
