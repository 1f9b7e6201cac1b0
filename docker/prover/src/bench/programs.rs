//! The measured programs: the solution as docker/plugin.Dockerfile builds it, and
//! its peer, the same driver in Go.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use checker::cargo;
use stand_in::checks::{self, Plan};
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::search_path::on_path;
use stand_in::steps::Kind;

use super::{Bench, Measurement, Pair, finish, say};

/// A program, or why this machine cannot build it.
pub(super) type Built = Result<Program, String>;

/// The step whose checks the peer passes.
const PEER_STEP: u32 = 6;

pub(super) fn image(bench: &mut Bench) -> Result<Measurement> {
    let (image, peer) = match (bench.image()?, bench.peer()?) {
        (Ok(image), Ok(peer)) => (image, peer),
        (Err(why), _) | (_, Err(why)) => return Ok(Measurement::Skipped(why)),
    };
    let size = |program: &Program| -> Result<f64> {
        let length = fs::metadata(program.path())?.len();
        Ok(length as f64)
    };
    Ok(Measurement::Pair(Pair {
        value: size(&image)?,
        reference: size(&peer)?,
    }))
}

impl Bench {
    /// The solution as the one file of its image.
    pub(super) fn image(&mut self) -> Result<Built> {
        if self.image.is_none() {
            // This fetches the crates that the build needs.
            self.solution()?;
            self.image = Some(self.build_image()?);
        }
        self.image.clone().context("the image was built one line above")
    }

    fn build_image(&self) -> Result<Built> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return Ok(Err("static programs need Linux and glibc".to_owned()));
        }
        let package = self.step.package(Kind::Solution);
        say(&format!("building {package} as its image has it"));
        // With a named target, the flags do not apply to proc macros.
        let mut rustc = Command::new("rustc");
        let host = finish(rustc.args(["--print", "host-tuple"]))?.stdout;
        let host = String::from_utf8_lossy(&host).trim().to_owned();
        let target = cargo::target()?.join("image");
        let file = self.root.join("docker/plugin.Dockerfile");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet", "--locked", "--release"])
            .args(["--package", &package, "--target", &host])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&self.root)
            .envs(variables(&text));
        finish(&mut cargo)?;
        let folder = target.join(host).join("release");
        Program::new(&folder.join(package)).map(Ok)
    }

    /// The same driver in Go, if Go is installed.
    pub(super) fn peer(&mut self) -> Result<Built> {
        if self.peer.is_none() {
            self.peer = Some(build_peer(&self.root)?);
        }
        self.peer.clone().context("the peer was built one line above")
    }
}

/// The environment that a Dockerfile's first `ENV` sets.
fn variables(dockerfile: &str) -> Vec<(&str, &str)> {
    let lines = dockerfile.lines().skip_while(|line| !line.starts_with("ENV "));
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let line = line.strip_prefix("ENV ").unwrap_or(line);
            let line = line.trim_end_matches('\\').trim();
            let (name, value) = line.split_once('=')?;
            Some((name, value.trim_matches('"')))
        })
        .collect()
}

fn build_peer(root: &Path) -> Result<Built> {
    if !on_path("go") {
        let why = "no go here (apt install golang-go)";
        return Ok(Err(why.to_owned()));
    }
    say("building the same driver in Go, and checking that it is the same");
    let program = cargo::target()?.join("bench-peer");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root.join("docker/prover/peer"))
        // Use the installed Go, and build a static program.
        .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")]);
    finish(&mut go)?;
    let program = Program::new(&program)?;
    // A driver that does less would be faster.
    let harness = Harness::new(program.clone());
    let report = checks::run(harness, Plan::new(PEER_STEP), |_| {})?;
    ensure!(report.passed(), "the peer fails a check:\n{report}");
    Ok(Ok(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_flags_are_those_of_its_dockerfile() {
        let text = include_str!("../../../plugin.Dockerfile");
        let variables = variables(text);
        assert_eq!(variables.len(), 5, "{variables:?}");
        assert!(variables.contains(&("CARGO_PROFILE_RELEASE_LTO", "true")));
        let flags = ("RUSTFLAGS", "-C target-feature=+crt-static");
        assert!(variables.contains(&flags), "{variables:?}");
    }
}
