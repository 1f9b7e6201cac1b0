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

use super::programs::GO;
use super::series::{in_turns, median, median_of};
use super::{Bench, Measurement, say};

/// Rounds in which all sides of a ratio are measured.
const ROUNDS: usize = 21;
/// Calls in one round, one after the other.
const CALLS: u32 = 400;

/// What a plugin is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    Echo,
    Go,
}

/// The call that is measured.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Activate,
    Get,
}

impl Asked {
    /// The call over the connection of this number. Each connection asks for a
    /// volume of its own.
    fn call(self, connection: usize) -> Call {
        match self {
            Self::Activate => Call::bare("Plugin.Activate"),
            Self::Get => Call::get(&volume(connection)),
        }
    }
}

fn volume(number: usize) -> String {
    format!("amber-{number:03}")
}

/// How calls are measured.
struct Plan {
    asked: Asked,
    connections: usize,
    reference: Reference,
    rounds: usize,
    one_processor: bool,
    measure: fn(&mut Side) -> Result<f64>,
}

impl Plan {
    /// Calls over one connection, against an echo, on one processor.
    fn of(asked: Asked) -> Self {
        Self {
            asked,
            connections: 1,
            reference: Reference::Echo,
            rounds: ROUNDS,
            one_processor: true,
            measure: Side::mean,
        }
    }

    /// Calls over many connections at once, against the peer.
    fn of_many(asked: Asked, connections: usize) -> Self {
        Self {
            connections,
            reference: Reference::Go,
            rounds: PARALLEL_ROUNDS,
            one_processor: false,
            measure: Side::rate,
            ..Self::of(asked)
        }
    }
}

pub(super) fn activate(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of(Asked::Activate))
}

pub(super) fn get(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of(Asked::Get))
}

pub(super) fn activate_of_1(bench: &mut Bench) -> Result<Measurement> {
    let (one_processor, measure) = (false, Side::p50 as _);
    let plan = Plan { one_processor, measure, ..Plan::of(Asked::Activate) };
    compare(bench, plan)
}

pub(super) fn get_of_1(bench: &mut Bench) -> Result<Measurement> {
    let measure = Side::p50;
    let rounds = ROUNDS;
    compare(bench, Plan { rounds, measure, ..Plan::of_many(Asked::Get, 1) })
}

/// Measures the plugin, the reference and the programs beside them in turns.
fn compare(bench: &mut Bench, plan: Plan) -> Result<Measurement> {
    let Plan { asked, connections, reference, rounds, .. } = plan;
    let plugin = bench.solution()?;
    let peer = bench.peer()?;
    let (mut names, mut others) = (Vec::new(), Vec::new());
    match (reference, peer) {
        (Reference::Go, Err(why)) => return Ok(Measurement::Skipped(why)),
        (Reference::Go, Ok(peer)) => others.push(peer),
        (Reference::Echo, Ok(peer)) => {
            names.push(GO.to_owned());
            others.push(peer);
        }
        (Reference::Echo, Err(_)) => {}
    }
    if let Some((name, program)) = bench.other()? {
        names.push(name);
        others.push(program);
    }
    let plural = if connections == 1 { "" } else { "s" };
    say(&format!("{asked:?} over {connections} connection{plural}, in turns"));
    let work = || {
        let mut sides = vec![Side::plugin(&plugin, asked, connections)?];
        if reference == Reference::Echo {
            let echo = Side::echo(&sides[0])?;
            sides.push(echo);
        }
        for other in &others {
            sides.push(Side::plugin(other, asked, connections)?);
        }
        in_turns(rounds, &names, || {
            sides.iter_mut().map(plan.measure).collect::<Result<Vec<_>>>()
        })
        .map(Measurement::Seen)
    };
    match plan.one_processor {
        true => on_one_processor(work),
        false => work(),
    }
}

/// A server, and the connections over which it is called.
struct Side {
    clients: Vec<Client>,
    /// A plugin is killed, and a folder removed, after its clients are closed.
    _serving: Option<Serving>,
    _folder: Option<Folder>,
}

impl Side {
    fn plugin(
        program: &Program,
        asked: Asked,
        connections: usize,
    ) -> Result<Self> {
        let serving = Serving::start(program)?;
        let clients = serving.clients(asked, connections)?;
        Ok(Self { clients, _serving: Some(serving), _folder: None })
    }

    /// An echo that reads and writes as many bytes as a plugin with one connection.
    fn echo(plugin: &Self) -> Result<Self> {
        let Client { request, reply, .. } = &plugin.clients[0];
        let folder = Folder::new()?;
        let socket = folder.path().join("echo.sock");
        echo(&socket, request.len(), reply.clone())?;
        let clients = vec![Client::new(&socket, request)?];
        Ok(Self { clients, _serving: None, _folder: Some(folder) })
    }

    /// The mean seconds of a call over one connection.
    fn mean(&mut self) -> Result<f64> {
        self.clients[0].calls(CALLS)
    }

    /// The median seconds of a call over one connection.
    fn p50(&mut self) -> Result<f64> {
        Ok(median(self.clients[0].each(CALLS as usize)?))
    }

    /// The seconds that the slowest call of a hundred takes, over all connections.
    fn p99(&mut self) -> Result<f64> {
        Ok(percentile_99(together(&mut self.clients, CALLS_FOR_P99)?.times))
    }

    /// The calls in a second, over all connections.
    fn rate(&mut self) -> Result<f64> {
        let Batch { times, seconds } =
            together(&mut self.clients, PARALLEL_CALLS)?;
        Ok(times.len() as f64 / seconds)
    }
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

const PARALLEL_ROUNDS: usize = 15;
/// Calls in one round, over all connections.
const PARALLEL_CALLS: usize = 4000;
/// The same where one call in a hundred counts.
const CALLS_FOR_P99: usize = 12_000;

pub(super) fn p99(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    say("Get over one connection and over eight connections");
    let mut side = Side::plugin(&program, Asked::Get, 8)?;
    in_turns(PARALLEL_ROUNDS, &[], || {
        let together = side.p99()?;
        let alone = side.clients[0].each(CALLS_FOR_P99)?;
        Ok([together, percentile_99(alone)])
    })
    .map(Measurement::Seen)
}

pub(super) fn p99_of_8(bench: &mut Bench) -> Result<Measurement> {
    p99_of(bench, 8)
}

pub(super) fn p99_of_32(bench: &mut Bench) -> Result<Measurement> {
    p99_of(bench, 32)
}

fn p99_of(bench: &mut Bench, connections: usize) -> Result<Measurement> {
    let measure = Side::p99;
    compare(bench, Plan { measure, ..Plan::of_many(Asked::Get, connections) })
}

pub(super) fn rate_of_activate_8(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of_many(Asked::Activate, 8))
}

pub(super) fn rate_of_activate_32(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of_many(Asked::Activate, 32))
}

pub(super) fn rate_of_get_8(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of_many(Asked::Get, 8))
}

pub(super) fn rate_of_get_32(bench: &mut Bench) -> Result<Measurement> {
    compare(bench, Plan::of_many(Asked::Get, 32))
}

/// Calls of clients that call at the same time.
struct Batch {
    /// The seconds of each call.
    times: Vec<f64>,
    /// From the first call to the end of the last one.
    seconds: f64,
}

fn together(clients: &mut [Client], calls: usize) -> Result<Batch> {
    let calls = calls / clients.len();
    // This thread starts the clock together with the clients.
    let start = Barrier::new(clients.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    start.wait();
                    let times = client.each(calls)?;
                    anyhow::Ok((times, Instant::now()))
                })
            })
            .collect();
        start.wait();
        let begin = Instant::now();
        let mut batch = Batch { times: Vec::new(), seconds: 0.0 };
        for thread in threads {
            let times = thread.join();
            let (times, end) = times.ok().context("a client panicked")??;
            batch.times.extend(times);
            let seconds = end.duration_since(begin).as_secs_f64();
            batch.seconds = batch.seconds.max(seconds);
        }
        Ok(batch)
    })
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// Starts on each side of a round.
const STARTS: usize = 5;

pub(super) fn start(bench: &mut Bench) -> Result<Measurement> {
    let program = bench.solution()?;
    say("starting the plugin again and again");
    in_turns(ROUNDS, &[], || {
        let value = median_of(STARTS, || started(&program, &Place::new()?))?;
        Ok([value, median_of(STARTS, || helped(&program))?])
    })
    .map(Measurement::Seen)
}

/// The seconds that a program takes to print its help.
fn helped(program: &Program) -> Result<f64> {
    let begin = Instant::now();
    let help = Command::new(program.path())
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("asking the plugin for help")?;
    let took = begin.elapsed().as_secs_f64();
    ensure!(help.success(), "--help ended ({help})");
    Ok(took)
}

pub(super) fn start_against_peer(bench: &mut Bench) -> Result<Measurement> {
    say("starting the plugin and its peer in Go again and again");
    let images = bench.images()?;
    images.compare(ROUNDS, |program| {
        median_of(STARTS, || started(program, &Place::new()?))
    })
}

/// The seconds from a program's start to its first answer.
pub(super) fn started(program: &Program, place: &Place) -> Result<f64> {
    let request = Call::bare("Plugin.Activate").request(Dialect::default());
    let begin = Instant::now();
    let _plugin = Plugin::spawn(program, place)?;
    first_reply(&place.socket(), &request)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Rounds in which the memory of all sides is read.
const READINGS: usize = 5;

pub(super) fn memory(bench: &mut Bench) -> Result<Measurement> {
    let image = match bench.image()? {
        Ok(image) => image,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say("the memory of the idle plugin and of sleep");
    in_turns(READINGS, &[], || {
        let value = idle(&image)?;
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0).stdin(Stdio::null());
        let (mut sleep, group) =
            Guard::group(|| command.spawn()).context("starting sleep")?;
        thread::sleep(SETTLED);
        let reference = resident(Pid::from_child(&sleep));
        drop(group);
        sleep.wait()?;
        Ok([value, reference?])
    })
    .map(Measurement::Seen)
}

pub(super) fn memory_against_peer(bench: &mut Bench) -> Result<Measurement> {
    say("the memory of the idle plugin and of its peer in Go");
    bench.images()?.compare(READINGS, idle)
}

/// After this time, a program has finished its start.
const SETTLED: Duration = Duration::from_millis(300);

/// The memory of a plugin that has answered and waits, in bytes.
fn idle(program: &Program) -> Result<f64> {
    let serving = Serving::start(program)?;
    let request = Asked::Get.call(0).request(Dialect::default());
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

    /// Connections that make a call. They are opened one after the other, because
    /// tiny_http may not serve all that connect at once (step 7).
    fn clients(&self, asked: Asked, count: usize) -> Result<Vec<Client>> {
        let client = |number| {
            self.create(number)?;
            self.client(&asked.call(number))
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
