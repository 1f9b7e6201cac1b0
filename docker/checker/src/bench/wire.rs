//! Figures of a plugin at work. Its answers go over sockets of the kind that
//! Docker uses, and so do those of the echo beside it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{Bench, Pair, Seen, say};
use crate::cleanup::{Folder, Guard};
use crate::daemon::{Call, Engine, PATIENCE};
use crate::plugin::{Place, Plugin, Program, poll};

/// Both sides of a ratio are measured in turns, so that a busy moment of the
/// machine hits both.
const ROUNDS: usize = 21;
/// In one round, one after the other.
const CALLS: u32 = 400;
const CONNECTIONS: usize = 8;

pub(super) fn activate(bench: &mut Bench) -> Result<Seen> {
    against_echo(bench, &Call::bare("Plugin.Activate"))
}

pub(super) fn get(bench: &mut Bench) -> Result<Seen> {
    against_echo(bench, &get_call())
}

fn get_call() -> Call {
    Call::new("VolumeDriver.Get", &[("Name", json!("amber-217"))])
}

fn against_echo(bench: &mut Bench, call: &Call) -> Result<Seen> {
    let program = bench.solution()?;
    say(&format!("{} against a raw echo", call.method));
    let serving = Serving::start(&program)?;
    let request = call.request(Engine::default());
    let reply = first_reply(&serving.place.socket(), &request)?;
    let folder = Folder::new()?;
    let socket = folder.path().join("echo.sock");
    echo(&socket, request.len(), reply.clone())?;
    let mut plugin = Client::new(&serving.place.socket(), &request, &reply)?;
    let mut echo = Client::new(&socket, &request, &reply)?;
    let (mut values, mut references) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let pair = (plugin.calls(CALLS)?, echo.calls(CALLS)?);
        // The first round warms up.
        if round > 0 {
            values.push(pair.0);
            references.push(pair.1);
        }
    }
    Ok(Seen::medians(values, references))
}

pub(super) fn p99(bench: &mut Bench) -> Result<Seen> {
    const PARALLEL_ROUNDS: usize = 7;
    const IN_PARALLEL: usize = 500;
    let program = bench.solution()?;
    say("Get over one connection and over eight");
    let serving = Serving::start(&program)?;
    let socket = serving.place.socket();
    let request = get_call().request(Engine::default());
    let reply = first_reply(&socket, &request)?;
    // One after the other: in a burst, tiny_http may leave connections waiting
    // until another one closes, which is another matter (step 7).
    let mut clients = (0..CONNECTIONS)
        .map(|_| Client::new(&socket, &request, &reply))
        .collect::<Result<Vec<_>>>()?;
    let (mut values, mut references) = (Vec::new(), Vec::new());
    for _ in 0..PARALLEL_ROUNDS {
        let alone = clients[0].each(CONNECTIONS * IN_PARALLEL)?;
        references.push(percentile_99(alone));
        values.push(percentile_99(together(&mut clients, IN_PARALLEL)?));
    }
    Ok(Seen::medians(values, references))
}

/// The times of all calls of clients that call at the same time.
fn together(clients: &mut [Client], calls: usize) -> Result<Vec<f64>> {
    let start = Barrier::new(clients.len());
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    start.wait();
                    client.each(calls)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let times = thread.join();
            all.extend(times.ok().context("a client panicked")??);
        }
        Ok(all)
    })
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

pub(super) fn start(bench: &mut Bench) -> Result<Seen> {
    let program = bench.solution()?;
    say("starting the plugin again and again");
    let request = Call::bare("Plugin.Activate").request(Engine::default());
    let (mut values, mut references) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let place = Place::new()?;
        let begin = Instant::now();
        let plugin = Plugin::spawn(&program, &place)?;
        first_reply(&place.socket(), &request)?;
        let value = begin.elapsed().as_secs_f64();
        drop(plugin);
        let begin = Instant::now();
        let help = Command::new(program.path())
            .arg("--help")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("asking the plugin for help")?;
        let reference = begin.elapsed().as_secs_f64();
        ensure!(help.success(), "--help ended ({help})");
        if round > 0 {
            values.push(value);
            references.push(reference);
        }
    }
    Ok(Seen::medians(values, references))
}

pub(super) fn memory(bench: &mut Bench) -> Result<Seen> {
    if !Path::new("/proc/self/status").exists() {
        return Ok(Seen::Skipped("only Linux's /proc tells".to_owned()));
    }
    let program = bench.solution()?;
    let serving = Serving::start(&program)?;
    let request = get_call().request(Engine::default());
    first_reply(&serving.place.socket(), &request)?;
    let mut command = Command::new("sleep");
    command.arg("60").process_group(0).stdin(Stdio::null());
    let (mut sleep, group) =
        Guard::group(|| command.spawn()).context("starting sleep")?;
    // Both have long done all they do.
    thread::sleep(Duration::from_millis(300));
    let pair = (resident(serving.plugin.id()), resident(sleep.id()));
    drop(group);
    sleep.wait()?;
    Ok(Seen::Pair(Pair { value: pair.0?, reference: pair.1? }))
}

/// What a process holds in memory, in bytes.
fn resident(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).context(path)?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|it| it.trim().strip_suffix(" kB"))
        .and_then(|it| it.parse::<f64>().ok());
    Ok(kilobytes.context("no VmRSS")? * 1024.0)
}

/// A plugin that listens.
struct Serving {
    // Killed before its folder goes.
    plugin: Plugin,
    place: Place,
}

impl Serving {
    fn start(program: &Program) -> Result<Self> {
        let place = Place::new()?;
        let mut plugin = Plugin::spawn(program, &place)?;
        if let Err(why) = plugin.listens_on(&place.socket()) {
            bail!("the plugin does not listen: {why}");
        }
        Ok(Self { plugin, place })
    }
}

/// Sends back `reply` for each request, and does no more than a server must:
/// it reads until the request is whole, and writes.
fn echo(socket: &Path, length: usize, reply: Vec<u8>) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("binding {}", socket.display()))?;
    thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let Ok((mut client, _)) = listener.accept() else { return };
        let mut request = vec![0; length];
        while client.read_exact(&mut request).is_ok()
            && client.write_all(&reply).is_ok()
        {}
    })?;
    Ok(())
}

/// The bytes of one reply, from a plugin that may not listen yet.
fn first_reply(socket: &Path, request: &[u8]) -> Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut client = loop {
        match UnixStream::connect(socket) {
            Ok(client) => break client,
            Err(err) if Instant::now() > deadline => {
                return Err(err).context("connecting to the plugin");
            }
            // Short, because the start is measured in milliseconds.
            Err(_) => thread::sleep(Duration::from_micros(50)),
        }
    };
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(request)?;
    let mut reply = Vec::new();
    while !is_whole(&reply)? {
        let mut some = [0; 4096];
        let count = client.read(&mut some).context("reading a reply")?;
        ensure!(count > 0, "the connection closed before the reply was whole");
        reply.extend_from_slice(&some[..count]);
    }
    Ok(reply)
}

fn is_whole(reply: &[u8]) -> Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(reply)? else {
        return Ok(false);
    };
    let length = head
        .headers
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case("Content-Length"))
        .and_then(|it| std::str::from_utf8(it.value).ok()?.parse().ok());
    let length: usize = length.context("a reply without a length")?;
    Ok(reply.len() >= start + length)
}

/// One connection that makes the same call again and again.
struct Client {
    connection: UnixStream,
    request: Vec<u8>,
    /// As long as each reply: all that can differ is the date in it.
    reply: Vec<u8>,
}

impl Client {
    fn new(socket: &Path, request: &[u8], reply: &[u8]) -> Result<Self> {
        let connection = poll(PATIENCE, || UnixStream::connect(socket).ok())
            .context("connecting")?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self {
            connection,
            request: request.to_vec(),
            reply: reply.to_vec(),
        };
        client.call()?;
        Ok(client)
    }

    fn call(&mut self) -> Result<()> {
        self.connection.write_all(&self.request)?;
        let read = self.connection.read_exact(&mut self.reply);
        read.context("reading a reply as long as the first")?;
        ensure!(self.reply.starts_with(b"HTTP/1.1 "), "replies got mixed up");
        Ok(())
    }

    /// How long one call takes, in the mean of many.
    fn calls(&mut self, count: u32) -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..count {
            self.call()?;
        }
        Ok(begin.elapsed().as_secs_f64() / f64::from(count))
    }

    /// How long each of many calls takes.
    fn each(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = Instant::now();
            self.call()?;
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(times)
    }
}
