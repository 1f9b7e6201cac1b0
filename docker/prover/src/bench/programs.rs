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
use stand_in::steps::{Kind, Step};

use super::series::in_turns;
use super::{Bench, Measurement, finish, say};

/// A program, or why this machine cannot build it.
pub(super) type Built = Result<Program, String>;

/// The name of the peer in Go, where it is measured beside a reference.
pub(super) const GO: &str = "Go";

/// The step whose checks the peer passes.
pub(super) const PEER_STEP: u32 = 6;

pub(super) fn image(bench: &mut Bench) -> Result<Measurement> {
    // The size of a file is the same in each round.
    bench.images()?.compare(1, |program| {
        let length = fs::metadata(program.path())?.len();
        Ok(length as f64)
    })
}

/// The programs as their images have them: the measured plugin, its peer, and other
/// programs, or why they cannot be compared.
pub(super) struct Images(Result<(Vec<String>, Vec<Program>), String>);

impl Images {
    /// Measures the plugin against the peer, and beside the other programs.
    pub(super) fn compare(
        &self,
        rounds: usize,
        measure: impl Fn(&Program) -> Result<f64>,
    ) -> Result<Measurement> {
        let (names, programs) = match &self.0 {
            Ok(programs) => programs,
            Err(why) => return Ok(Measurement::Skipped(why.clone())),
        };
        in_turns(rounds, names, || {
            programs.iter().map(&measure).collect::<Result<Vec<_>>>()
        })
        .map(Measurement::Seen)
    }
}

impl Bench {
    /// The name and the program of the step that is measured beside, if there is
    /// one.
    pub(super) fn other(&mut self) -> Result<Option<(String, Program)>> {
        let Some(step) = self.against.clone() else { return Ok(None) };
        let program = self.solution_of(&step)?;
        Ok(Some((format!("step {}", step.number), program)))
    }

    /// The solution as the one file of its image.
    pub(super) fn image(&mut self) -> Result<Built> {
        self.image_of(&self.step.clone())
    }

    /// All programs that are compared as their images have them.
    pub(super) fn images(&mut self) -> Result<Images> {
        let (image, peer) = match (self.image()?, self.peer()?) {
            (Ok(image), Ok(peer)) => (image, peer),
            (Err(why), _) | (_, Err(why)) => return Ok(Images(Err(why))),
        };
        let (mut names, mut programs) = (Vec::new(), vec![image, peer]);
        if let Some(step) = self.against.clone() {
            programs.extend(self.image_of(&step)?);
            names.push(format!("step {}", step.number));
        }
        Ok(Images(Ok((names, programs))))
    }

    fn image_of(&mut self, step: &Step) -> Result<Built> {
        if let Some(known) = self.images.get(&step.number) {
            return Ok(known.clone());
        }
        // This fetches the crates that the build needs.
        self.solution_of(step)?;
        let built = self.build_image(step)?;
        self.images.insert(step.number, built.clone());
        Ok(built)
    }

    fn build_image(&self, step: &Step) -> Result<Built> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return Ok(Err("static programs need Linux and glibc".to_owned()));
        }
        let package = step.package(Kind::Solution);
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
