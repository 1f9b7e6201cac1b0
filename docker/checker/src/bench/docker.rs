//! What Docker makes of it: its commands through the plugin and through its own
//! driver, in turns, and the sandbox.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Bench, Pair, Seen, median, say};
use crate::cargo;
use crate::cleanup::Folder;
use crate::engine::{self, IMAGE, Private, play};
use crate::plugin::{Place, Plugin, Program};
use crate::run::{NAME, PLUGINS};
use crate::steps::{self, Kind};

/// Far beyond what any of these commands takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds of each command, by the plugin and by the driver `local`.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    create: Pair,
    run: Pair,
}

/// Of a sandbox of its own.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox {
    first: Pair,
    warm: Pair,
    restart: Pair,
}

pub(super) fn create(bench: &mut Bench) -> Result<Seen> {
    times(bench, |it| it.create)
}

pub(super) fn run(bench: &mut Bench) -> Result<Seen> {
    times(bench, |it| it.run)
}

pub(super) fn first(bench: &mut Bench) -> Result<Seen> {
    sandbox(bench, |it| it.first)
}

pub(super) fn warm(bench: &mut Bench) -> Result<Seen> {
    sandbox(bench, |it| it.warm)
}

pub(super) fn restart(bench: &mut Bench) -> Result<Seen> {
    sandbox(bench, |it| it.restart)
}

fn times(bench: &mut Bench, which: fn(Times) -> Pair) -> Result<Seen> {
    if let Some(why) = engine::no_private() {
        return Ok(Seen::Skipped(why));
    }
    if bench.docker.is_none() {
        let step = steps::find(&bench.root, "4")?;
        cargo::build(&bench.root, &step, Kind::Solution)?;
        say("creating volumes and running containers, by a private dockerd");
        let file = cargo::target()?.join("bench-docker.json");
        let name = file.to_str().context("a path that is no text")?;
        let status = engine::in_private(&["bench-docker", name])?;
        ensure!(status.success(), "the private dockerd's part {status}");
        let text = fs::read_to_string(&file)?;
        fs::remove_file(&file)?;
        let seen: Value = serde_json::from_str(&text)?;
        let pair = |name: &str| {
            let number = |at: usize| seen[name][at].as_f64();
            let value = number(0).context("a number of seconds")?;
            let reference = number(1).context("a number of seconds")?;
            anyhow::Ok(Pair { value, reference })
        };
        let times = Times { create: pair("create")?, run: pair("run")? };
        bench.docker = Some(times);
    }
    let times = bench.docker.context("it was measured above")?;
    Ok(Seen::Pair(which(times)))
}

/// The part of [`times`] that runs beside the private dockerd, and leaves what
/// it has seen in `file`.
///
/// # Errors
/// When a command fails.
pub fn inside(root: &Path, file: &Path) -> Result<()> {
    const CREATES: usize = 15;
    const RUNS: usize = 7;
    let _private = Private::start()?.context("this is not called by hand")?;
    engine::bring_image()?;
    let package = steps::find(root, "4")?.package(Kind::Solution);
    let program = Program::new(&cargo::target()?.join("debug").join(package))?;
    let socket = Path::new(PLUGINS).join(format!("{NAME}.sock"));
    let place = Place::with_socket(socket)?;
    let mut plugin = Plugin::spawn(&program, &place)?;
    plugin.listens_on(&place.socket()).map_err(anyhow::Error::msg)?;
    let drivers = [NAME, "local"];
    let create = in_turns(CREATES, drivers, |driver, round| {
        format!("docker volume create -d {driver} {driver}-{round}")
    })?;
    let run = in_turns(RUNS, drivers, |driver, _| {
        format!("docker run --rm --network none -v {driver}-0:/d {IMAGE} true")
    })?;
    let text = json!({ "create": create, "run": run }).to_string();
    fs::write(file, text).context("writing what was seen")
}

/// The medians of two commands that take turns, after one round for nothing.
fn in_turns(
    rounds: usize,
    drivers: [&str; 2],
    line: impl Fn(&str, usize) -> String,
) -> Result<[f64; 2]> {
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (driver, seconds) in drivers.iter().zip(&mut seconds) {
            let took = took(&line(driver, round))?;
            if round > 0 {
                seconds.push(took);
            }
        }
    }
    Ok(seconds.map(median))
}

/// The seconds of a command that must succeed.
fn took(line: &str) -> Result<f64> {
    let played = play(line, PATIENCE)?;
    ensure!(
        played.status.is_some_and(|it| it.success()),
        "{line}: {}",
        played.output.trim()
    );
    Ok(played.took.as_secs_f64())
}

fn sandbox(bench: &mut Bench, which: fn(Sandbox) -> Pair) -> Result<Seen> {
    if let Some(why) = crate::sandbox::missing(&bench.root) {
        return Ok(Seen::Skipped(why));
    }
    if bench.sandbox.is_none() {
        say("starting and restarting a sandbox of our own");
        bench.sandbox = Some(measure_sandbox(&bench.root)?);
    }
    let sandbox = bench.sandbox.context("it was measured above")?;
    Ok(Seen::Pair(which(sandbox)))
}

/// Another folder is another sandbox: that of the person who asks stays as it
/// is.
fn measure_sandbox(root: &Path) -> Result<Sandbox> {
    let folder = Folder::new()?;
    let docker = folder.path().join("docker");
    fs::create_dir(&docker)?;
    for name in ["sandbox.sh", "toolbox.Dockerfile", "toolbox-init.sh"] {
        let from = root.join("docker").join(name);
        fs::copy(from, docker.join(name)).with_context(|| name.to_owned())?;
    }
    let script = docker.join("sandbox.sh");
    let verb = |verb: &str| format!("sh '{}' {verb}", script.display());
    let image = play(&verb("image"), Duration::from_secs(600))?;
    let image = image.output.trim().lines().last().map(str::to_owned);
    let image = image.context("the name of the sandbox's image")?;
    let bare = format!("docker run --rm --entrypoint true {image}");
    took(&bare)?;
    let bare = took(&bare)?;
    let first = took(&verb("run true"));
    let warm = took(&verb("run true"));
    let restart = took(&verb("restart"));
    // Whatever came of it: nothing of it stays.
    let name = play(&verb("container"), PATIENCE)?.output;
    took(&verb("rm"))?;
    let volume = format!("docker volume rm -f {}-target", name.trim());
    play(&volume, PATIENCE)?;
    let pair = |value| Pair { value, reference: bare };
    Ok(Sandbox {
        first: pair(first?),
        warm: pair(warm?),
        restart: pair(restart?),
    })
}
