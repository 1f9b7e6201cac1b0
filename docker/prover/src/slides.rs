//! The slides on a machine with Docker and without Rust: slides/run.sh builds an
//! image, and a container shows the deck.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use checker::dockerd::{self, PATIENCE, play};
use rustix::process::{Pid, Signal, kill_process};
use stand_in::cleanup::{Folder, Guard};
use stand_in::daemon::request;
use stand_in::search_path;
use stand_in::wait::wait_until;

use crate::counts::Counts;

/// The time for a build, in which Docker may pull three images.
const BUILD: Duration = Duration::from_secs(900);

const IMAGE: &str = "workshop-slides:test";

/// Pages that a browser requests first, and words in them.
const PAGES: [(&str, &str); 5] = [
    ("/", "data-deck"),
    ("/slides/look/deck.js", "import Reveal from"),
    ("/slides/node_modules/reveal.js/dist/reveal.mjs", "slide"),
    (
        "/slides/node_modules/@highlightjs/cdn-assets/es/core.min.js",
        "Highlight.js",
    ),
    ("/solutions/01-activate/src/main.rs", "fn answer"),
];

/// For each image, the argument of docker/slides.Dockerfile and the variable of the
/// environment that names another image.
const IMAGES: [(&str, &str); 3] = [
    ("RUST_IMAGE", "BASE"),
    ("NODE_IMAGE", "NODE_IMAGE"),
    ("BASE_IMAGE", "BASE_IMAGE"),
];

/// Builds the image, loads its pages, and removes the image.
///
/// # Errors
/// When no shell can be started.
pub fn by_docker(root: &Path) -> Result<Counts> {
    let mut counts = Counts::default();
    if let Some(why) = missing(root)? {
        counts.skipped.push(format!("docker: the slides' image: {why}"));
        return Ok(counts);
    }
    match shown(root) {
        Ok(seen) => {
            println!("ok    {}", seen.join("\nok    "));
            counts.passed += seen.len();
        }
        Err(err) => {
            println!("FAIL  the slides with Docker alone\n  got {err:#}");
            counts.failed += 1;
        }
    }
    let _ = play(
        &format!(
            "docker ps --all --quiet --filter ancestor={IMAGE} | \
             xargs docker rm --force; docker image rm {IMAGE}"
        ),
        PATIENCE,
    );
    Ok(counts)
}

/// Why the image cannot be tested; `None` if it can. `make test` pulls images only
/// if `REQUIRE` names docker.
fn missing(root: &Path) -> Result<Option<String>> {
    if dockerd::in_sandbox() {
        let why = "it can be built only outside of the sandbox";
        return Ok(Some(why.to_owned()));
    }
    if let Err(err) = dockerd::version() {
        return Ok(Some(format!("{err:#}")));
    }
    let required = env::var("REQUIRE").unwrap_or_default();
    if required.split_whitespace().any(|word| word == "docker") {
        return Ok(None);
    }
    let file = root.join("docker/slides.Dockerfile");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("reading {}", file.display()))?;
    for (argument, name) in IMAGES {
        let line = format!("ARG {argument}=");
        let usual = text.lines().find_map(|text| text.strip_prefix(&line));
        let usual = usual.with_context(|| {
            format!("{} has no line {line}", file.display())
        })?;
        let image = env::var(name).unwrap_or_else(|_| usual.to_owned());
        let known = play(&format!("docker image inspect '{image}'"), PATIENCE)?;
        if !known.status.is_some_and(|status| status.success()) {
            return Ok(Some(format!(
                "no image {image} here (docker pull {image}, or {name}=IMAGE)"
            )));
        }
    }
    Ok(None)
}

/// Runs the slides, and returns what was tested, in words.
fn shown(root: &Path) -> Result<Vec<String>> {
    let folder = Folder::new()?;
    let log = folder.path().join("log");
    let output = || fs::read_to_string(&log).unwrap_or_default();
    let port = free_port()?;
    let mut make = Command::new("sh");
    make.arg(root.join("slides/run.sh"))
        .arg("serve")
        .env("PATH", no_cargo(folder.path())?)
        .env("PORT", port.to_string())
        .env("SLIDES_IMAGE", IMAGE)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    let (mut child, group) = Guard::polite_group(|| make.spawn())?;
    let up = wait_until(BUILD, || match child.try_wait() {
        Ok(None) => get(port, "/").ok().map(|_| true),
        _ => Some(false),
    });
    ensure!(up == Some(true), "the slides did not start: {}", output().trim());
    let mut seen = vec!["an image is built and shows the slides".to_owned()];
    for (path, words) in PAGES {
        let page = get(port, path)?;
        let good = page.starts_with("HTTP/1.1 200") && page.contains(words);
        ensure!(good, "{path} is {}", page.lines().next().unwrap_or("empty"));
        seen.push(format!("the slides have {path}"));
    }
    interrupt(&mut child).with_context(output)?;
    group.release();
    seen.push("Ctrl-C ends the slides".to_owned());
    let left = format!("docker ps --all --quiet --filter ancestor={IMAGE}");
    let left = play(&left, PATIENCE)?;
    ensure!(left.output.trim().is_empty(), "a container is left behind");
    seen.push("no container is left".to_owned());
    Ok(seen)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A PATH with docker, and without Rust and npm.
fn no_cargo(folder: &Path) -> Result<PathBuf> {
    let bin = folder.join("bin");
    fs::create_dir(&bin)?;
    for name in ["docker", "sh", "dirname"] {
        let file = search_path::find(name)
            .with_context(|| format!("no {name} on PATH"))?;
        symlink(file, bin.join(name))?;
    }
    Ok(bin)
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&request("GET", path, &["Connection: close"], ""))?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    // Docker's proxy listens before the program does, and closes the connection.
    ensure!(!reply.is_empty(), "{path}: no answer");
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

fn interrupt(child: &mut Child) -> Result<()> {
    kill_process(Pid::from_child(child), Signal::INT)?;
    match wait_until(PATIENCE, || child.try_wait().ok().flatten()) {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("after Ctrl-C: {status}"),
        None => bail!("the slides do not end after Ctrl-C"),
    }
}
