//! Builds the plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fmt, io};

use anyhow::{Context, Result};
use stand_in::cleanup::Folder;
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
/// the terminal unchanged.
///
/// # Errors
/// [`DoesNotBuild`] when the plugin does not compile. Another error when TMPDIR is
/// not a folder that we can write to.
pub fn build(root: &Path, step: &Step, kind: Kind) -> Result<PathBuf> {
    // Without a temporary folder the compiler fails too, but with an error that
    // blames the plugin.
    drop(Folder::new()?);
    let package = step.package(kind);
    let target = target()?;
    let program = target.join("debug").join(&package);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args(["build", "--package", &package]);
    cargo.arg("--target-dir").arg(&target);
    if program.exists() {
        // The first build takes seconds, so it shows its progress. Later builds
        // print only errors.
        cargo.arg("--quiet");
    }
    let status = cargo.status().map_err(explain)?;
    if status.success() {
        return Ok(program);
    }
    Err(DoesNotBuild { next: advice(root, step, kind, status) }.into())
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
    if let Some(member) = broken_member(root) {
        let number = member.file_name().and_then(|name| {
            let digits = name.to_str()?.split('-').next()?;
            digits.parse::<u32>().ok()
        });
        let reset = match number {
            Some(number) if member.starts_with("exercises") => {
                format!(
                    ", or put the starter back: make reset-exercise-{number}"
                )
            }
            _ => String::new(),
        };
        let member = member.display();
        return format!(
            "cargo cannot read {member}/Cargo.toml and builds nothing without \
             it: mend the file{reset}"
        );
    }
    match kind {
        Kind::Exercise => format!(
            "{} does not compile ({status}): the compiler says why above; \
             make diff-exercise-{number} shows its differences from the \
             solution",
            folder.display()
        ),
        Kind::Solution => {
            format!("{} does not compile ({status})", folder.display())
        }
    }
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
    use super::*;

    #[test]
    fn the_broken_member_is_named() {
        let complaint = "error: failed to load manifest for workspace member \
            `/a b/exercises/02-answer`\nreferenced via `exercises/…`";
        let member = Path::new("/a b/exercises/02-answer");
        assert_eq!(member_in(complaint).as_deref(), Some(member));
        assert_eq!(member_in("error: no matching package"), None);
    }
}
