//! Figures of docker commands, with our driver and with the driver `local` in turns,
//! and of the sandbox.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use checker::dockerd::{self, IMAGE, Private, play};
use checker::{cargo, places};
use serde_json::{Value, json};
use stand_in::cleanup::Folder;
use stand_in::daemon::request;
use stand_in::plugin::{Place, Plugin, Program};

use super::programs::GO;
use super::series::{Seen, median_of};
use super::{Bench, Measurement, say};

/// The command of this program that calls [`inside`].
pub const INSIDE: &str = "bench-docker";

/// A bound that none of these commands reaches.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds in each round: of the driver `local`, of the plugin, and of its peer in
/// Go if there is one.
type Seconds = Vec<Vec<f64>>;

/// The figures from beside the private dockerd.
#[derive(Clone, Debug)]
pub struct Times {
    create: Seconds,
    run: Seconds,
    bare_create: Seconds,
}

/// The figures of new sandboxes.
#[derive(Clone, Debug)]
pub struct Sandbox {
    first: Seen,
    warm: Seen,
    restart: Seen,
}

pub(super) fn create(bench: &mut Bench) -> Result<Measurement> {
    times(bench, |times| against_local(&times.create))
}

pub(super) fn run(bench: &mut Bench) -> Result<Measurement> {
    times(bench, |times| against_local(&times.run))
}

pub(super) fn bare_create(bench: &mut Bench) -> Result<Measurement> {
    times(bench, |times| against_local(&times.bare_create))
}

pub(super) fn bare_create_against_peer(
    bench: &mut Bench,
) -> Result<Measurement> {
    if let Err(why) = bench.peer()? {
        return Ok(Measurement::Skipped(why));
    }
    times(bench, |times| {
        let [_, ours, peer] = &times.bare_create[..] else { return None };
        Some(Seen::new(&[ours.clone(), peer.clone()], &[]))
    })
}

fn against_local(seconds: &Seconds) -> Option<Seen> {
    let [local, ours, others @ ..] = &seconds[..] else { return None };
    let mut sides = vec![ours.clone(), local.clone()];
    sides.extend(others.iter().cloned());
    let names = vec![GO.to_owned(); others.len()];
    Some(Seen::new(&sides, &names))
}

pub(super) fn first(bench: &mut Bench) -> Result<Measurement> {
    sandbox(bench, |sandbox| sandbox.first.clone())
}

pub(super) fn warm(bench: &mut Bench) -> Result<Measurement> {
    sandbox(bench, |sandbox| sandbox.warm.clone())
}

pub(super) fn restart(bench: &mut Bench) -> Result<Measurement> {
    sandbox(bench, |sandbox| sandbox.restart.clone())
}

fn times(
    bench: &mut Bench,
    which: fn(&Times) -> Option<Seen>,
) -> Result<Measurement> {
    if let Some(why) = dockerd::no_private() {
        return Ok(Measurement::Skipped(why));
    }
    if bench.docker.is_none() || bench.repeats {
        let mut programs = vec![bench.solution()?];
        programs.extend(bench.peer()?);
        say("creating volumes and running containers with a private dockerd");
        let file = cargo::target()?.join("bench-docker.json");
        let mut words = vec![INSIDE, text(&file)?];
        for program in &programs {
            words.push(text(program.path())?);
        }
        let status = dockerd::in_private("prover", &words)?;
        ensure!(
            status.success(),
            "the benchmark beside the private dockerd ended ({status})"
        );
        let seen: Value = serde_json::from_slice(&fs::read(&file)?)?;
        fs::remove_file(&file)?;
        let seconds = |name: &str| {
            serde_json::from_value::<Seconds>(seen[name].clone())
                .with_context(|| format!("reading the times of {name}"))
        };
        bench.docker = Some(Times {
            create: seconds("create")?,
            run: seconds("run")?,
            bare_create: seconds("bare_create")?,
        });
    }
    let times = bench.docker.as_ref();
    let times = times.context("the times were measured above")?;
    Ok(Measurement::Seen(which(times).context("the times of two drivers")?))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The part of [`times`] that runs beside the private dockerd. It measures the
/// driver `local` and each of `programs`, and writes the results to `file`.
///
/// # Errors
/// When a command fails.
pub fn inside(file: &Path, programs: &[&str]) -> Result<()> {
    const CREATES: usize = 15;
    const BARE_CREATES: usize = 21;
    const IN_A_ROUND: usize = 5;
    const RUNS: usize = 7;
    let _private = Private::start()?
        .context("this command runs only beside a private dockerd")?;
    dockerd::bring_image()?;
    let drivers = [places::NAME, "peer"];
    let mut plugins = Vec::new();
    for (driver, program) in drivers.iter().zip(programs) {
        let socket = Path::new(places::PLUGINS).join(format!("{driver}.sock"));
        let place = Place::with_socket(socket)?;
        let program = Program::new(Path::new(program))?;
        let mut plugin = Plugin::spawn(&program, &place)?;
        plugin.listens_on(&place.socket()).map_err(anyhow::Error::msg)?;
        // The plugin is killed before its folder is removed.
        plugins.push((plugin, place));
    }
    let drivers = ["local"].into_iter().chain(drivers);
    let drivers: Vec<_> = drivers.take(1 + plugins.len()).collect();
    let create = in_turns(CREATES, &drivers, |driver, round| {
        took(&format!("docker volume create -d {driver} {driver}-{round}"))
    })?;
    let run = in_turns(RUNS, &drivers, |driver, _| {
        let volume = format!("-v {driver}-0:/d");
        took(&format!("docker run --rm --network none {volume} {IMAGE} true"))
    })?;
    let bare_create = in_turns(BARE_CREATES, &drivers, |driver, round| {
        let mut names = (1..).map(|at| format!("bare-{driver}-{round}-{at}"));
        median_of(IN_A_ROUND, || {
            let name = names.next().context("names have no end")?;
            dockerd_creates(driver, &name)
        })
    })?;
    let seen =
        json!({ "create": create, "run": run, "bare_create": bare_create });
    fs::write(file, seen.to_string()).context("writing the results")
}

/// The time of each driver in each round. The drivers take turns, after one warm-up
/// round.
fn in_turns(
    rounds: usize,
    drivers: &[&str],
    mut took: impl FnMut(&str, usize) -> Result<f64>,
) -> Result<Seconds> {
    let mut seconds = vec![Vec::new(); drivers.len()];
    for round in 0..=rounds {
        for (driver, seconds) in drivers.iter().zip(&mut seconds) {
            let took = took(driver, round)?;
            if round > 0 {
                seconds.push(took);
            }
        }
    }
    Ok(seconds)
}

/// The seconds in which dockerd creates a volume, measured at its own socket.
fn dockerd_creates(driver: &str, name: &str) -> Result<f64> {
    let body = json!({ "Driver": driver, "Name": name }).to_string();
    let mut dockerd = UnixStream::connect("/run/docker.sock")
        .context("connecting to dockerd")?;
    dockerd.set_read_timeout(Some(PATIENCE))?;
    let begin = Instant::now();
    let headers = ["Connection: close", "Content-Type: application/json"];
    let path = "/v1.40/volumes/create";
    dockerd.write_all(&request("POST", path, &headers, &body))?;
    let mut reply = String::new();
    dockerd.read_to_string(&mut reply).context("reading dockerd's reply")?;
    let took = begin.elapsed().as_secs_f64();
    ensure!(reply.starts_with("HTTP/1.1 201 "), "creating {name}: {reply}");
    Ok(took)
}

/// The seconds that a command takes, which must succeed.
fn took(line: &str) -> Result<f64> {
    let played = play(line, PATIENCE)?;
    ensure!(
        played.status.is_some_and(|status| status.success()),
        "{line}: {}",
        played.output.trim()
    );
    Ok(played.took.as_secs_f64())
}

fn sandbox(
    bench: &mut Bench,
    which: fn(&Sandbox) -> Seen,
) -> Result<Measurement> {
    if let Some(why) = crate::sandbox::missing(&bench.root) {
        return Ok(Measurement::Skipped(why));
    }
    if bench.sandbox.is_none() || bench.repeats {
        bench.sandbox = Some(sandboxes(&bench.root)?);
    }
    let sandbox = bench.sandbox.as_ref();
    let sandbox = sandbox.context("the sandbox was measured above")?;
    Ok(Measurement::Seen(which(sandbox)))
}

/// Measures new sandboxes.
fn sandboxes(root: &Path) -> Result<Sandbox> {
    const SANDBOXES: usize = 3;
    let mut series = [const { Vec::new() }; 4];
    for round in 1..=SANDBOXES {
        say(&format!("a new sandbox, {round} of {SANDBOXES}"));
        for (series, seconds) in series.iter_mut().zip(measure_sandbox(root)?) {
            series.push(seconds);
        }
    }
    let [bare, first, warm, restart] = series;
    let against_bare = |side| Seen::new(&[side, bare.clone()], &[]);
    Ok(Sandbox {
        first: against_bare(first),
        warm: against_bare(warm),
        restart: against_bare(restart),
    })
}

/// Measures a new sandbox: the seconds of a bare container, of the first start, of a
/// command, and of a restart. Each folder has a sandbox of its own, so that of this
/// checkout stays as it is.
fn measure_sandbox(root: &Path) -> Result<[f64; 4]> {
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
    // Remove the sandbox even if a measurement failed.
    let name = play(&verb("container"), PATIENCE)?.output;
    took(&verb("rm"))?;
    let volume = format!("docker volume rm -f {}-target", name.trim());
    play(&volume, PATIENCE)?;
    Ok([bare, first?, warm?, restart?])
}
