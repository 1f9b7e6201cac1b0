//! Building the plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fmt, io};

use anyhow::{Context, Result};
use stand_in::cleanup::Folder;
use stand_in::steps::{Kind, Step};

/// A plugin that cargo would not build, which is for its author to mend.
#[derive(Debug)]
pub struct DoesNotBuild {
    /// What to do about it.
    next: String,
}

impl std::error::Error for DoesNotBuild {}

impl fmt::Display for DoesNotBuild {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.next)
    }
}

/// Where cargo puts this workspace's programs: where it put this one.
///
/// # Errors
/// When the system does not tell.
pub fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("finding our own program")?;
    let profile = program.ancestors().find(|it| {
        it.file_name().is_some_and(|name| name == "debug" || name == "release")
    });
    let target = profile.and_then(Path::parent);
    Ok(target.context("the checker is not in cargo's folder")?.to_owned())
}

/// The program of ours that has this name, as it was built last. Not
/// `current_exe`: a build since our start has replaced that one.
///
/// # Errors
/// When the system does not tell where programs are.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("debug").join(name))
}

/// Builds one plugin, and returns the program. What cargo says about it goes to
/// the learner as it is.
///
/// # Errors
/// [`DoesNotBuild`] when it is the plugin's fault; not so where TMPDIR is no
/// folder.
pub fn build(root: &Path, step: &Step, kind: Kind) -> Result<PathBuf> {
    // Where no folder can be made, the compiler fails, and its words would
    // blame the plugin.
    drop(Folder::new()?);
    let package = step.package(kind);
    let target = target()?;
    let program = target.join("debug").join(&package);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args(["build", "--package", &package]);
    cargo.arg("--target-dir").arg(&target);
    if program.exists() {
        // The first build takes seconds and shows that it works; later ones
        // have nothing to say but what is wrong.
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
            " (is Rust installed? https://rustup.rs brings it)"
        }
        _ => "",
    };
    anyhow::Error::new(err).context(format!("running cargo{hint}"))
}

fn advice(root: &Path, step: &Step, kind: Kind, status: ExitStatus) -> String {
    let folder = step.folder(kind);
    let number = step.number;
    // One broken manifest stops cargo for every member of the workspace.
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
            "{member}/Cargo.toml stops cargo for the whole workspace: mend \
             it{reset}"
        );
    }
    match kind {
        Kind::Exercise => format!(
            "{} does not compile ({status}): the compiler says why above; \
             make diff-exercise-{number} shows what separates it from the \
             solution",
            folder.display()
        ),
        Kind::Solution => {
            format!("{} does not compile ({status})", folder.display())
        }
    }
}

/// The crate whose manifest cargo cannot read, relative to the project.
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

/// The folder that cargo's complaint names.
fn member_in(complaint: &str) -> Option<PathBuf> {
    let (_, rest) = complaint.split_once("workspace member `")?;
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
