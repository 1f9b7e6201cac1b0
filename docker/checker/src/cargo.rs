//! Building the plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fmt, io};

use anyhow::{Context, Result};

use crate::steps::{Kind, Step};

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

/// Builds one plugin, and returns the program. What cargo says about it goes to
/// the learner as it is.
///
/// # Errors
/// [`DoesNotBuild`] when it is the plugin's fault.
pub fn build(root: &Path, step: &Step, kind: Kind) -> Result<PathBuf> {
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
    if let Some(manifest) = broken_manifest(root) {
        let folder = manifest.parent().unwrap_or(&manifest).display();
        return format!(
            "{} stops cargo for the whole workspace: mend it, or put the \
             starter back with make reset-exercise-N (N as in {folder})",
            manifest.display()
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

fn broken_manifest(root: &Path) -> Option<PathBuf> {
    let steps = crate::steps::all(root).ok()?;
    let manifests =
        steps.iter().map(|step| step.folder(Kind::Exercise).join("Cargo.toml"));
    manifests.into_iter().find(|manifest| {
        let mut cargo = Command::new("cargo");
        cargo.args(["read-manifest", "--manifest-path"]).arg(manifest);
        let output = cargo.current_dir(root).output();
        output.is_ok_and(|it| !it.status.success())
    })
}
