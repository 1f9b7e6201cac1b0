//! Figures of calls. The plugin and the raw echo beside it answer over Unix sockets,
//! as Docker uses them.

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
use rustix::process::Pid;
use serde_json::json;
use stand_in::cleanup::{Folder, Guard};
use stand_in::daemon::{Call, Dialect};
use stand_in::plugin::{Place, Plugin, Program};
use stand_in::wait::{PATIENCE, wait_until};

use super::{Bench, Measurement, Pair, say};

/// Rounds in which both sides of a ratio are measured, so that a busy moment of the
/// machine affects both.
const ROUNDS: usize = 21;
/// Calls in one round, one after the other.
const CALLS: u32 = 400;

pub(super) fn activate(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    against_echo(&program, &Call::bare("Plugin.Activate"))
}

pub(super) fn get(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    against_echo(&program, &get_call())
}

pub(super) fn get_by_peer(bench: &mut Bench) -> Result<Measurement> {
    match bench.peer()? {
        Ok(peer) => against_echo(&peer, &get_call()),
        Err(why) => Ok(Measurement::Skipped(why)),
    }
}

fn get_call() -> Call {
    get_volume(0)
}

fn get_volume(number: usize) -> Call {
    Call::get(&volume(number))
}

fn volume(number: usize) -> String {
    format!("amber-{number:03}")
}

fn against_echo(program: &Program, call: &Call) -> Result<Measurement> {
    say(&format!("{} against a raw echo", call.method));
    on_one_processor(|| in_turns_with_echo(program, call))
}

fn in_turns_with_echo(program: &Program, call: &Call) -> Result<Measurement> {
    let serving = Serving::start(program)?;
    let request = call.request(Dialect::default());
    let reply = first_reply(&serving.place.socket(), &request)?;
    let folder = Folder::new()?;
    let socket = folder.path().join("echo.sock");
    echo(&socket, request.len(), reply)?;
    let mut plugin = Client::new(&serving.place.socket(), &request)?;
    let mut echo = Client::new(&socket, &request)?;
    in_turns(ROUNDS, || Ok([plugin.calls(CALLS)?, echo.calls(CALLS)?]))
        .map(Measurement::Pair)
}

/// Runs `work`, and the processes that it starts, on one processor. Waking a thread
/// on another processor takes ten times as long, so without this the system's choice
/// of processors would decide every ratio. Only Linux allows it.
#[cfg(target_os = "linux")]
pub(super) fn on_one_processor<T>(
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let all = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).rev();
    let last = processors.find(|processor| all.is_set(*processor));
    let mut one = CpuSet::new();
    one.set(last.context("finding our own processor")?);
    sched_setaffinity(None, &one)?;
    let outcome = work();
    sched_setaffinity(None, &all)?;
    outcome
}

#[cfg(not(target_os = "linux"))]
pub(super) fn on_one_processor<T>(
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    work()
}

/// Measures two sides in turns, after one warm-up round.
pub(super) fn in_turns(
    rounds: usize,
    mut measure: impl FnMut() -> Result<[f64; 2]>,
) -> Result<Pair> {
    let (mut values, mut references) = (Vec::new(), Vec::new());
    measure()?;
    for _ in 0..rounds {
        let [value, reference] = measure()?;
        values.push(value);
        references.push(reference);
    }
    Ok(Pair::medians(values, references))
}

const PARALLEL_ROUNDS: usize = 7;
/// Calls in one round, over all connections.
const PARALLEL_CALLS: usize = 4000;

pub(super) fn p99(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    say("Get over one connection and over eight connections");
    let serving = Serving::start(&program)?;
    let mut clients = serving.clients(8)?;
    in_turns(PARALLEL_ROUNDS, || {
        let together = together(&mut clients)?;
        let alone = clients[0].each(PARALLEL_CALLS)?;
        Ok([together, alone].map(percentile_99))
    })
    .map(Measurement::Pair)
}

pub(super) fn p99_of_8(bench: &mut Bench) -> Result<Measurement> {
    p99_against_peer(bench, 8)
}

pub(super) fn p99_of_32(bench: &mut Bench) -> Result<Measurement> {
    p99_against_peer(bench, 32)
}

fn p99_against_peer(
    bench: &mut Bench,
    connections: usize,
) -> Result<Measurement> {
    let program = bench.solution()?;
    let peer = match bench.peer()? {
        Ok(peer) => peer,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say(&format!(
        "Get over {connections} connections, by the plugin and by its peer in Go"
    ));
    let (ours, theirs) = (Serving::start(&program)?, Serving::start(&peer)?);
    let mut ours = (ours.clients(connections)?, ours);
    let mut theirs = (theirs.clients(connections)?, theirs);
    in_turns(PARALLEL_ROUNDS, || {
        let pair = [together(&mut ours.0)?, together(&mut theirs.0)?];
        Ok(pair.map(percentile_99))
    })
    .map(Measurement::Pair)
}

/// The times of all calls of clients that call at the same time.
fn together(clients: &mut [Client]) -> Result<Vec<f64>> {
    let calls = PARALLEL_CALLS / clients.len();
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

pub(super) fn start(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    say("starting the plugin again and again");
    in_turns(ROUNDS, || {
        let value = started(&program, &Place::new()?)?;
        let begin = Instant::now();
        let help = Command::new(program.path())
            .arg("--help")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("asking the plugin for help")?;
        let reference = begin.elapsed().as_secs_f64();
        ensure!(help.success(), "--help ended ({help})");
        Ok([value, reference])
    })
    .map(Measurement::Pair)
}

pub(super) fn start_against_peer(bench: &mut Bench) -> Result<Measurement> {
    let (image, peer) = match (bench.image()?, bench.peer()?) {
        (Ok(image), Ok(peer)) => (image, peer),
        (Err(why), _) | (_, Err(why)) => return Ok(Measurement::Skipped(why)),
    };
    say("starting the plugin and its peer in Go again and again");
    in_turns(ROUNDS, || {
        let value = started(&image, &Place::new()?)?;
        Ok([value, started(&peer, &Place::new()?)?])
    })
    .map(Measurement::Pair)
}

/// The seconds from a program's start to its first answer.
pub(super) fn started(program: &Program, place: &Place) -> Result<f64> {
    let request = Call::bare("Plugin.Activate").request(Dialect::default());
    let begin = Instant::now();
    let _plugin = Plugin::spawn(program, place)?;
    first_reply(&place.socket(), &request)?;
    Ok(begin.elapsed().as_secs_f64())
}

pub(super) fn memory(bench: &mut Bench) -> Result<Measurement> {
    let image = match bench.image()? {
        Ok(image) => image,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    let value = idle(&image)?;
    let mut command = Command::new("sleep");
    command.arg("60").process_group(0).stdin(Stdio::null());
    let (mut sleep, group) =
        Guard::group(|| command.spawn()).context("starting sleep")?;
    thread::sleep(SETTLED);
    let reference = resident(Pid::from_child(&sleep));
    drop(group);
    sleep.wait()?;
    Ok(Measurement::Pair(Pair { value, reference: reference? }))
}

pub(super) fn memory_against_peer(bench: &mut Bench) -> Result<Measurement> {
    match (bench.image()?, bench.peer()?) {
        (Ok(image), Ok(peer)) => {
            let (value, reference) = (idle(&image)?, idle(&peer)?);
            Ok(Measurement::Pair(Pair { value, reference }))
        }
        (Err(why), _) | (_, Err(why)) => Ok(Measurement::Skipped(why)),
    }
}

/// After this time, a program has finished its start.
const SETTLED: Duration = Duration::from_millis(300);

/// The memory of a plugin that has answered and waits, in bytes.
fn idle(program: &Program) -> Result<f64> {
    let serving = Serving::start(program)?;
    let request = get_call().request(Dialect::default());
    first_reply(&serving.place.socket(), &request)?;
    thread::sleep(SETTLED);
    resident(serving.plugin.id())
}

/// The resident memory of a process, in bytes.
fn resident(id: Pid) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).context(path)?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|size| size.trim().strip_suffix(" kB"))
        .and_then(|size| size.parse::<f64>().ok());
    Ok(kilobytes.context("no VmRSS")? * 1024.0)
}

/// A plugin that serves.
#[derive(Debug)]
pub(super) struct Serving {
    // The plugin is killed before its folder is removed.
    plugin: Plugin,
    place: Place,
}

impl Serving {
    /// Starts a plugin with one volume, for Get.
    fn start(program: &Program) -> Result<Self> {
        let serving = Self::at(&program.unheard(), Place::new()?)?;
        serving.create(0)?;
        Ok(serving)
    }

    fn create(&self, number: usize) -> Result<()> {
        self.client(&Call::create(&volume(number), json!({})))?;
        Ok(())
    }

    /// Starts a plugin in `place`, with the volumes that are there.
    pub(super) fn at(program: &Program, place: Place) -> Result<Self> {
        let mut plugin = Plugin::spawn(program, &place)?;
        if let Err(why) = plugin.listens_on(&place.socket()) {
            bail!("the plugin does not listen: {why}");
        }
        Ok(Self { plugin, place })
    }

    /// A connection that has made one call.
    pub(super) fn client(&self, call: &Call) -> Result<Client> {
        let request = call.request(Dialect::default());
        Client::new(&self.place.socket(), &request)
    }

    /// Connections, each of which calls Get of a volume. They are opened one after
    /// the other, because tiny_http may not serve all that connect at once (step 7).
    fn clients(&self, count: usize) -> Result<Vec<Client>> {
        let client = |number| {
            self.create(number)?;
            self.client(&get_volume(number))
        };
        (0..count).map(client).collect()
    }
}

/// Answers each request with `reply`. It does the least work of any server: it reads
/// a complete request, and writes.
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
            // The pause is short, because a start takes milliseconds.
            Err(_) => thread::sleep(Duration::from_micros(50)),
        }
    };
    client.set_read_timeout(Some(PATIENCE))?;
    reply_to(&mut client, request)
}

/// Makes a call and returns the bytes of the reply, which must be a success.
fn reply_to(client: &mut UnixStream, request: &[u8]) -> Result<Vec<u8>> {
    client.write_all(request)?;
    let mut reply = Vec::new();
    while !is_whole(&reply)? {
        let mut some = [0; 65536];
        let count = client.read(&mut some).context("reading a reply")?;
        ensure!(
            count > 0,
            "the connection closed before the reply was complete"
        );
        reply.extend_from_slice(&some[..count]);
    }
    // A refused call does less work than the figure claims.
    let start = String::from_utf8_lossy(&reply[..reply.len().min(1000)]);
    ensure!(
        start.starts_with("HTTP/1.1 200 ") && !start.contains("\"Err\":"),
        "the call did not succeed: {start}"
    );
    Ok(reply)
}

fn is_whole(reply: &[u8]) -> Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(reply)? else {
        return Ok(false);
    };
    let value = |name: &str| {
        let mut headers = head.headers.iter();
        let found =
            headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if value("Transfer-Encoding").is_some() {
        return Ok(reply.ends_with(b"\r\n0\r\n\r\n"));
    }
    let length = value("Content-Length").and_then(|length| length.parse().ok());
    let length: usize = length.context("a reply without a length")?;
    Ok(reply.len() >= start + length)
}

/// One connection that repeats a call, or makes calls whose requests and replies
/// have the same lengths.
#[derive(Debug)]
pub(super) struct Client {
    connection: UnixStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Client {
    fn new(socket: &Path, request: &[u8]) -> Result<Self> {
        let mut connection =
            wait_until(PATIENCE, || UnixStream::connect(socket).ok())
                .context("connecting")?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let reply = reply_to(&mut connection, request)?;
        Ok(Self { connection, request: request.to_vec(), reply })
    }

    fn call(&mut self) -> Result<()> {
        self.connection.write_all(&self.request)?;
        let read = self.connection.read_exact(&mut self.reply);
        read.context("reading a reply as long as the first")?;
        ensure!(
            self.reply.starts_with(b"HTTP/1.1 "),
            "a reply has another length than the first one"
        );
        Ok(())
    }

    /// The mean seconds of one call, from many calls.
    fn calls(&mut self, count: u32) -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..count {
            self.call()?;
        }
        Ok(begin.elapsed().as_secs_f64() / f64::from(count))
    }

    /// The seconds of each of many calls.
    fn each(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(self.calls(1)?);
        }
        Ok(times)
    }

    /// The seconds of another call.
    pub(super) fn other(&mut self, call: &Call) -> Result<f64> {
        self.request = call.request(Dialect::default());
        self.calls(1)
    }
}
