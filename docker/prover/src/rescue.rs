//! Tests of `make rescue`: what it removes after a kill, and what it leaves alone.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use checker::places::PLUGINS;
use checker::stories::{CommandResult, Scene, Stage};
use checker::{cargo, dockerd};
use stand_in::cleanup::Guard;
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::wait::wait_until;

const fn scene(
    id: &'static str,
    name: &'static str,
    why: &'static str,
    run: fn(&mut Stage) -> Outcome,
) -> Scene {
    Scene {
        id,
        step: 4,
        name,
        why,
        file: "docker/checker/src/rescue.rs",
        place: "`run`",
        source: "kill -9, and what Docker then remembers",
        run,
    }
}

/// The scenes, played one after the other with the solution of step 4.
pub const SCENES: &[Scene] = &[
    scene(
        "rescue.live",
        "a plugin that answers keeps its socket and its volumes",
        "it is in use",
        live,
    ),
    scene(
        "rescue.killed",
        "after kill -9, socket, volumes and a story's container are removed",
        "while they exist, each docker command about a volume takes 15 seconds",
        killed,
    ),
    scene(
        "rescue.twice",
        "a second rescue finds nothing",
        "everything that the first rescue reported as removed must be gone",
        twice,
    ),
    scene(
        "rescue.others",
        "sockets, volumes and containers of others stay",
        "people must be able to run make rescue on any machine",
        others,
    ),
    scene(
        "rescue.run",
        "a plugin whose `make run-…` was killed is ended",
        "no terminal can stop it",
        run,
    ),
    scene(
        "rescue.check",
        "the leftovers of a story whose checker was killed are removed",
        "a killed checker leaves a plugin, a container and volumes",
        check,
    ),
];

const RESCUE: &str = "make rescue";
const LIST: &str = "docker volume ls -q -f driver=workshop";

fn checker() -> Result<PathBuf> {
    cargo::program("checker")
}

fn rescue(stage: &mut Stage) -> Result<CommandResult, Fault> {
    stage.types(&format!("'{}' rescue", checker()?.display()))
}

fn socket(name: &str) -> PathBuf {
    Path::new(PLUGINS).join(format!("{name}.sock"))
}

fn live(stage: &mut Stage) -> Outcome {
    stage.bring_image()?;
    stage.start()?;
    stage.types("docker volume create -d workshop demo")?.works(&[])?;
    stage.types("docker volume create -d workshop 'de mo'")?.works(&[])?;
    stage.types("docker volume create -d workshop \"de'mo\"")?.works(&[])?;
    stage
        .types(
            "docker run -d --name workshop-one -v demo:/data busybox \
             sleep 1000",
        )?
        .works(&[])?;
    rescue(stage)?.works(&["a plugin answers there, so the socket stays"])?;
    stage.types(LIST)?.works(&["demo", "de mo", "de'mo"])?;
    // The container of a killed story is removed although a plugin answers.
    stage.types("docker ps -aq")?.works_without(&["workshop-one"])?;
    stage
        .types(
            "docker run -d --name workshop-one -v demo:/data busybox \
             sleep 1000",
        )?
        .works(&[])
}

fn killed(stage: &mut Stage) -> Outcome {
    stage.kill();
    rescue(stage)?.works(&[
        "removed /run/docker/plugins/workshop.sock",
        "of a story",
        "forgotten volume de mo;",
        "forgotten volume de'mo;",
        "dockerd remembers the driver workshop until it restarts",
    ])?;
    stage
        .types("docker ps -a --format '{{.Names}}'")?
        .works_without(&["one"])?;
    gone("workshop")?;
    // The container's volume was removed with it, and the plugin remembers nothing
    // after a new start.
    stage.start()?;
    stage.types(LIST)?.works_without(&["mo"])?;
    stage.kill();
    rescue(stage)?.works(&["removed /run/docker/plugins/workshop.sock"])
}

fn twice(stage: &mut Stage) -> Outcome {
    rescue(stage)?.works(&["there was nothing to remove"])
}

fn others(stage: &mut Stage) -> Outcome {
    // After the drop no program listens on the socket, and its file stays.
    let dead = socket("other");
    drop(UnixListener::bind(&dead)?);
    let _dead = Guard::file(&dead);
    let plain = socket("workshop");
    fs::write(&plain, "")?;
    stage.types("docker volume create local-one")?.works(&[])?;
    for name in ["workshop-123", "workshop-one-more", "my-workshop-one"] {
        let make = format!("docker create --name {name} busybox true");
        stage.types(&make)?.works(&[])?;
    }
    rescue(stage)?.works(&["there was nothing to remove"])?;
    let stay = dead.exists() && plain.exists();
    fs::remove_file(&plain)?;
    if !stay {
        let expected = "other programs' files stay";
        return Err(wrong(RESCUE, expected, "they are gone"));
    }
    stage.types("docker volume inspect local-one")?.works(&[])?;
    stage.types("docker ps -a --format '{{.Names}}'")?.works(&[
        "my-workshop-one",
        "workshop-one-more",
        "workshop-123",
    ])
}

fn run(stage: &mut Stage) -> Outcome {
    let (mut checker, _group) = started(&["run", "solution", "4"], &[])?;
    let socket = socket("workshop");
    let up = || UnixStream::connect(&socket).ok();
    wait_until(Duration::from_secs(20), up).context("awaiting the plugin")?;
    stage.types("docker volume create -d workshop demo")?.works(&[])?;
    kill(&mut checker)?;
    rescue(stage)?.works(&["ended plugin", "forgotten volume demo;"])?;
    gone("workshop")?;
    twice(stage)
}

fn check(stage: &mut Stage) -> Outcome {
    let words = ["check", "solution", "4"];
    let (mut checker, _group) = started(&words, &[("AGAINST", "docker")])?;
    let seen = "docker ps -q -f name=workshop-one -f status=running";
    let up = || {
        let played = dockerd::play(seen, dockerd::PATIENCE).ok()?;
        // `workshop-one-more` was never started.
        (!played.output.trim().is_empty()).then_some(())
    };
    wait_until(Duration::from_secs(30), up).context("awaiting the story")?;
    kill(&mut checker)?;
    // The rescue has to end the story's plugin first: while it answers, the socket
    // stays.
    rescue(stage)?.works(&["removed /run/docker/plugins/", "of a story"])?;
    gone("workshop")?;
    twice(stage)
}

/// Starts this checker as a person does who uses the machine's own dockerd.
fn started(
    words: &[&str],
    settings: &[(&str, &str)],
) -> Result<(Child, Guard)> {
    let mut command = Command::new(checker()?);
    command
        .args(words)
        .env_remove(dockerd::INSIDE)
        .env_remove("AGAINST")
        .env("DOCKERD", "host")
        .envs(settings.iter().copied())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Guard::group(|| command.spawn()).context("starting a checker")
}

/// Kills that process alone as `kill -9` does: its children keep running.
fn kill(child: &mut Child) -> Result<()> {
    child.kill().context("killing a checker")?;
    child.wait().context("awaiting its end")?;
    Ok(())
}

fn gone(name: &str) -> Outcome {
    match socket(name).exists() {
        false => Ok(()),
        true => Err(wrong(RESCUE, "the socket is removed", "it exists")),
    }
}
