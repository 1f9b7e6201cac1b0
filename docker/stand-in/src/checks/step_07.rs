//! Step 7: many calls at once, TCP, and a clean stop.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Check;
use super::step_01::flood;
use super::step_02::{activated, not_found};
use super::step_03::{create, found};
use super::step_04::path_in;
use crate::daemon::{
    Call, Daemon, NoReply, Reply, field, read_replies, read_reply,
};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Harness, Session};
use crate::plugin::Place;
use crate::root::Mountpoint;
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "7.slow-body",
        step: 7,
        name: "a client that sends half a body does not hold up the others",
        why: "tiny_http has no time-out, so one such client would block all \
              the others until it hangs up",
        file: "src/server.rs",
        place: "TODO 7.1",
        source: "concurrency 2; spikes: cut body > 1024 bytes, held",
        run: slow_body,
    },
    Check {
        id: "7.slow-call",
        step: 7,
        name: "while a call on one volume is slow, calls on others are \
               answered",
        why: "`docker volume ls` asks every plugin: each user who runs it \
              would wait until a large volume is removed",
        file: "src/names.rs",
        place: "TODO 7.2",
        source: "plugin-slow 6, 7; concurrency 2",
        run: slow_call,
    },
    Check {
        id: "7.one-name",
        step: 7,
        name: "calls on one name run one after another",
        why: "dockerd locks a name only for itself: over TCP, two daemons may \
              use one plugin",
        file: "src/names.rs",
        place: "TODO 7.2",
        source: "plugin-slow 8; our rule",
        run: one_name,
    },
    Check {
        id: "7.signals",
        step: 7,
        name: "SIGTERM and SIGINT end the plugin with status 0 and remove its \
               socket",
        why: "Docker waits 15 s for each socket that no plugin answers, and \
              kills a plugin that does not end when it is asked to",
        file: "src/stop.rs",
        place: "TODO 7.3",
        source: "plugin-missing 7, 8; managed-volume 14",
        run: signals,
    },
    Check {
        id: "7.in-flight",
        step: 7,
        name: "a call in progress is answered before the plugin ends",
        why: "after a dropped connection, Docker repeats the call without its \
              body: the user sees an error about an empty body, and the work \
              is half done",
        file: "src/stop.rs",
        place: "TODO 7.4",
        source: "vol-errors-drop 1-3",
        run: in_flight,
    },
    Check {
        id: "7.order",
        step: 7,
        name: "calls that a client sends without waiting are carried out in \
               their order",
        why: "a client may rely on the order in which it sends on one \
              connection",
        file: "src/listener.rs",
        place: "`in_turn`",
        source: "RFC 9112, 9.3.2",
        run: order,
    },
    Check {
        id: "7.no-trace",
        step: 7,
        name: "a plugin that ends because it can open no file removes its \
               socket",
        why: "Docker waits 15 s for each socket that no plugin answers",
        file: "src/server.rs",
        place: "`watch_panics`",
        source: "plugin-missing 7, 8; tiny_http 0.12.0",
        run: no_trace,
    },
    Check {
        id: "7.stranded",
        step: 7,
        name: "32 connections that stay open are all answered",
        why: "tiny_http 0.12.0 may leave one connection without a thread until \
              another one closes, and Docker keeps its connections open",
        file: "src/listener.rs",
        place: "`nudge`",
        source: "concurrency 2; tiny_http 0.12.0",
        run: stranded,
    },
    Check {
        id: "7.long-replies",
        step: 7,
        name: "500 long replies over TCP take less than 10 seconds",
        why: "if a reply goes out in two writes, the second one waits 40 ms \
              for the client's kernel, in every reply",
        file: "src/listener.rs",
        place: "`send`",
        source: "tcp(7), TCP_NODELAY; tiny_http 0.12 sets none",
        run: long_replies,
    },
    Check {
        id: "7.loopback",
        step: 7,
        name: "--tcp refuses an address that other machines can reach, unless \
               --anyone is given",
        why: "the port has no password: any client that reaches it can remove \
              all volumes",
        file: "src/listener.rs",
        place: "`bind_tcp`",
        source: "our rule",
        run: loopback,
    },
    Check {
        id: "7.spec",
        step: 7,
        name: "--spec writes a file that tells Docker where the plugin listens",
        why: "without a scheme, or with another key, Docker does not find the \
              plugin, and reports that after 15 s",
        file: "src/listener.rs",
        place: "`publish`",
        source: "discovery 3-6; raw wtcp, whttp, wjson",
        run: spec,
    },
    Check {
        id: "7.spec-gone",
        step: 7,
        name: "the plugin removes the file of --spec when it ends",
        why: "Docker waits 15 s for each file that leads to no plugin",
        file: "src/listener.rs",
        place: "`drop`",
        source: "plugin-missing 7, 8",
        run: spec_gone,
    },
    Check {
        id: "7.newer-socket",
        step: 7,
        name: "a plugin that stops does not remove a newer plugin's socket",
        why: "the newer plugin would keep running, but never receive a request \
              again",
        file: "src/listener.rs",
        place: "`remove`",
        source: "our rule: a plugin removes only the socket that it has bound",
        run: newer_socket,
    },
    Check {
        id: "7.folder-beside-spec",
        step: 7,
        name: "files and folders beside the file of --spec stay unchanged",
        why: "a folder with the name of a temporary file may be somebody's \
              work",
        file: "src/listener.rs",
        place: "`publish`",
        source: "our rule: a plugin removes only what it has created",
        run: folder_beside_spec,
    },
    Check {
        id: "7.foreign-spec",
        step: 7,
        name: "--spec does not replace a file that names another plugin",
        why: "the path may be a typing error, and Docker would take this \
              plugin for the other one",
        file: "src/listener.rs",
        place: "`publish`",
        source: "our rule",
        run: foreign_spec,
    },
];

/// The longest time that a check of many calls, or of a stop, may take. No
/// check measures how much of it was needed.
const LONG: Duration = Duration::from_secs(10);

fn slow_body(harness: &mut Harness) -> Outcome {
    const HELD: usize = 4;
    let (mut session, name) = with_volume(harness)?;
    let action = format!(
        "{HELD} clients that send half a body of 4 KiB and stay connected"
    );
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut client = session.client(&action)?;
        let _ = client.write_all(
            b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
              Content-Length: 4096\r\n\r\n{\"Name\":",
        );
        held.push(client);
    }
    // The first calls may overtake the half bodies, so there are many calls,
    // each on a connection that was made later.
    let call = Call::list();
    let sent = format!("{action}, {call}");
    let mut outcome = (0..100).try_for_each(|_| {
        let (exchange, _) =
            session.send(&sent, &call.request(harness.dialect))?;
        exchange.success("List is answered in the meantime").map(drop)
    });
    match outcome {
        Ok(()) => {
            session.say_before(&action);
            outcome = found(&mut session, &name).map(drop);
        }
        Err(_) => harness.forget_log(),
    }
    // Keep the clients connected until here: hanging up would end the situation
    // under test.
    drop((session, held));
    outcome
}

fn with_volume(harness: &mut Harness) -> Result<(Session, String), Fault> {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    Ok((session, name))
}

/// The number of files whose removal takes a moment.
const FILES: usize = 10_000;

/// A volume whose removal takes a moment.
struct Large {
    name: String,
    files: Mountpoint,
    count: usize,
}

impl Large {
    fn create(
        harness: &mut Harness,
        session: &mut Session,
        count: usize,
    ) -> Result<Self, Fault> {
        let name = harness.name();
        create(session, &name)?;
        let (exchange, volume) = found(session, &name)?;
        let files = path_in(&exchange, &volume)?;
        // Hard links to one file are created faster than files.
        let folder = files.open()?;
        folder.create("0")?;
        for number in 1..count {
            let next = number.to_string();
            folder
                .link("0", &next)
                .or_else(|_| folder.create(next).map(drop))?;
        }
        Ok(Self { name, files, count })
    }

    /// Sends Docker's Remove and waits for its first effect.
    fn begin_to_remove(&self, session: &Session) -> Result<UnixStream, Fault> {
        let call = Call::remove(&self.name);
        let mut client = session.client(&call.to_string())?;
        client.write_all(&call.request(Default::default()))?;
        let all_there = || {
            let folder = self.files.open().ok();
            let names = folder.and_then(|folder| folder.names().ok());
            names.is_some_and(|names| names.len() == self.count)
        };
        // A plugin that removes nothing fails a check of step 4 already.
        wait_until(PATIENCE, || (!all_there()).then_some(()));
        Ok(client)
    }
}

/// Whether there is an answer, or the end of the connection.
fn has_answer(client: &UnixStream) -> bool {
    let mut client = [PollFd::new(client, PollFlags::IN)];
    let now = Timespec::default();
    event::poll(&mut client, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn slow_call(harness: &mut Harness) -> Outcome {
    const SOME: usize = 10;
    let (mut session, name) = with_volume(harness)?;
    let mut calls = [Call::list(), Call::get(&name)];
    let mut docker = Daemon::new(&session.socket(), harness.dialect);
    let mut ask = |call: &Call| -> bool { docker.call(call).is_ok() };
    // A machine may stall once, but hardly twice. A plugin that removes the
    // files later answers at once, and a busy machine answers late: then more
    // files show a difference, or none can be seen here.
    let (mut count, mut held_up) = (FILES, 0);
    for _ in 0..5 {
        let before = Instant::now();
        for call in calls.iter().cycle().take(SOME) {
            ask(call);
        }
        let quick = before.elapsed() * 2;

        let large = Large::create(harness, &mut session, count)?;
        let begun = Instant::now();
        let mut slow = large.begin_to_remove(&session)?;
        let mut answered = 0;
        while answered < SOME && !has_answer(&slow) && begun.elapsed() < LONG {
            calls.rotate_left(1);
            answered += usize::from(ask(&calls[0]));
        }
        let was_slow = !has_answer(&slow) || begun.elapsed() > quick;
        let reply = read_reply(&mut slow, LONG);
        let sent = Call::remove(&large.name).to_string();
        session.exchange(sent, reply).success("200 and {}")?;
        if answered >= SOME {
            return Ok(());
        }
        match was_slow {
            true => held_up += 1,
            false => count = (count * 2).min(4 * FILES),
        }
        if held_up == 2 {
            break;
        }
    }
    if held_up < 2 {
        return Ok(());
    }
    harness.forget_log();
    Err(wrong(
        "POST /VolumeDriver.Remove of a volume with many files, then List, and \
         Get of another volume, repeatedly",
        "answers while the files are removed",
        "no answer before Remove had ended",
    ))
}

/// The replies to eight clients that call at the same time, each on its own
/// connection.
fn at_once(
    session: &Session,
    harness: &Harness,
    call: impl Fn(usize) -> Call + Sync,
) -> Vec<Result<Reply, NoReply>> {
    let (socket, dialect, call) = (session.socket(), harness.dialect, &call);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut docker = Daemon::new(&socket, dialect);
                scope.spawn(move || docker.call(&call(number)))
            })
            .collect();
        let clients = clients.into_iter();
        clients.map(|client| client.join().expect("a client returns")).collect()
    })
}

const CLIENTS: usize = 8;

fn one_name(harness: &mut Harness) -> Outcome {
    const ROUNDS: usize = 16;
    let mut session = activated(harness)?;
    for _ in 0..ROUNDS {
        let outcome = one_round(&mut session, harness);
        if let Err(Fault::Wrong(_)) = outcome {
            // Which call is lost when calls collide depends on timing.
            harness.forget_log();
            return Err(wrong(
                format!(
                    "{CLIENTS} clients create one name at once, half of them \
                     with mode=0700, half with mode=0755; then all of them \
                     remove it"
                ),
                "one Create makes the volume, those with the same mode \
                 succeed, and the others fail; then exactly one Remove \
                 succeeds",
                "another result: calls ran at the same time",
            ));
        }
        outcome?;
    }
    Ok(())
}

fn one_round(session: &mut Session, harness: &mut Harness) -> Outcome {
    let mode = |number: usize| ["0700", "0755"][number % 2];
    let is_done = |reply: &Result<Reply, NoReply>| {
        reply.as_ref().is_ok_and(|reply| reply.judge().is_ok())
    };
    let collided = || Err(wrong("", "", ""));
    let name = harness.name();
    let replies = at_once(session, harness, |number| {
        Call::create(&name, json!({ "mode": mode(number) }))
    });
    let done: Vec<_> = replies.iter().map(is_done).collect();
    let (_, volume) = found(session, &name)?;
    let status = field(&volume, "Status");
    let actual = status.and_then(|status| field(status, "mode"));
    let has_mode_of = |number| actual == Some(&json!(mode(number)));
    if (0..CLIENTS).any(|number| done[number] != has_mode_of(number)) {
        return collided();
    }

    let replies = at_once(session, harness, |_| Call::remove(&name));
    if replies.iter().filter(|reply| is_done(reply)).count() != 1 {
        return collided();
    }
    not_found(session, &name)
}

/// After a signal, the plugin must end with status 0, and the files in `traces`
/// must be gone.
fn ends_cleanly(session: &Session, sent: &str, traces: &[&Path]) -> Outcome {
    let expected = "the plugin ends with status 0, and leaves no socket or \
                    file that leads to it";
    let got = match session.ends_within(LONG) {
        Some(status) if status.success() => {
            let left =
                traces.iter().find(|path| path.symlink_metadata().is_ok());
            let Some(left) = left else { return Ok(()) };
            format!("{} is still there", left.display())
        }
        Some(status) => format!("the plugin ended ({status})"),
        None => format!("the plugin still runs after {} s", LONG.as_secs()),
    };
    Err(wrong(sent, expected, got))
}

fn signals(harness: &mut Harness) -> Outcome {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut session = activated(harness)?;
        let sent = format!("{name}, while Docker keeps a connection open");
        // The session's own daemon keeps this connection open.
        session.call(&Call::list()).success("an answer")?;
        session.signal(signal);
        ends_cleanly(&session, &sent, &[&session.socket()])?;
    }
    Ok(())
}

fn in_flight(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let large = Large::create(harness, &mut session, FILES)?;
    let mut slow = large.begin_to_remove(&session)?;
    session.signal(Signal::TERM);
    let sent = format!(
        "POST /VolumeDriver.Remove of a volume with {FILES} files, and SIGTERM \
         during the removal"
    );
    let reply = read_reply(&mut slow, LONG);
    session.exchange(sent.clone(), reply).success("Remove is answered")?;
    ends_cleanly(&session, &sent, &[&session.socket()])
}

fn order(harness: &mut Harness) -> Outcome {
    const PAIRS: usize = 50;
    let session = activated(harness)?;
    let name = harness.name();
    let pair = [Call::create(&name, json!({})), Call::remove(&name)];
    let sent = format!(
        "{} and {}, {PAIRS} times, all on one connection before the first \
         answer",
        pair[0], pair[1]
    );
    let dialect = harness.dialect;
    let requests: Vec<_> =
        pair.iter().map(|call| call.request(dialect)).collect();
    let mut client = session.client(&sent)?;
    client.write_all(&requests.concat().repeat(PAIRS))?;
    let replies = read_replies(&mut client, 2 * PAIRS, LONG);
    let is_done = |reply: &Reply| reply.judge().is_ok();
    if replies.is_ok_and(|replies| replies.iter().all(is_done)) {
        return Ok(());
    }
    // Which calls are refused depends on timing.
    harness.forget_log();
    Err(wrong(
        sent,
        "each Create succeeds, and each Remove",
        "a call was refused or not answered: calls overtook each other",
    ))
}

fn no_trace(harness: &mut Harness) -> Outcome {
    // With each of these limits, the plugin runs out of files in a different
    // place.
    for files in 24..28 {
        let (session, has_ended) = flood(harness, files)?;
        if has_ended && session.socket().symlink_metadata().is_ok() {
            // How the plugin ends depends on the number of its files.
            harness.forget_log();
            return Err(wrong(
                "more connections than the plugin may open files, all kept \
                 open",
                "the plugin answers again, or removes its socket and ends",
                "the plugin ended, and its socket is still there",
            ));
        }
    }
    Ok(())
}

fn stranded(harness: &mut Harness) -> Outcome {
    const PROCESSES: usize = 10;
    const HELD: usize = 32;
    let call = Call::bare("Plugin.Activate");
    let sent = format!("{HELD} connections that stay open, {call} on each");
    for _ in 0..PROCESSES {
        let session = harness.start()?;
        let mut held = iter::repeat_with(|| session.client(&sent))
            .take(HELD)
            .collect::<Result<Vec<_>, _>>()?;
        for client in &mut held {
            client.write_all(&call.request(harness.dialect))?;
        }
        let deadline = Instant::now() + LONG;
        for client in &mut held {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            if read_reply(client, left).is_err() {
                harness.forget_log();
                let late = format!(
                    "some answers, and silence for {} s",
                    LONG.as_secs()
                );
                return Err(wrong(&sent, "an answer on each connection", late));
            }
        }
    }
    Ok(())
}

/// A plugin that also listens on TCP, and the text that it wrote to `file`.
struct Tcp {
    session: Session,
    file: PathBuf,
    sent: String,
    text: String,
}

impl Tcp {
    fn start(harness: &mut Harness, file: &str) -> Result<Self, Fault> {
        let place = Place::new()?;
        // The folder of the file does not exist yet.
        let file = place.folder().join("plugins").join(file);
        let mut session = spawn_tcp(harness, place, &file)?;
        let sent = tcp_words(&file);
        session.await_listening(&sent)?;
        // The plugin may listen on its socket before it writes the file.
        let text = wait_until(PATIENCE, || {
            fs::read_to_string(&file).ok().filter(|text| !text.is_empty())
        });
        match text {
            Some(text) => Ok(Self { session, file, sent, text }),
            None => {
                Err(wrong(sent, "the plugin writes FILE", "there is no FILE"))
            }
        }
    }

    /// The address that Docker reads from the file, as `HOST:PORT`.
    fn address(&self) -> Option<String> {
        let url = match self.file.extension().and_then(OsStr::to_str) {
            Some("json") => {
                let json: Value = serde_json::from_str(&self.text).ok()?;
                field(&json, "Addr")?.as_str()?.to_owned()
            }
            _ => self.text.trim().to_owned(),
        };
        let (scheme, rest) = url.split_once("://")?;
        let address = rest.split('/').next()?.to_owned();
        ["tcp", "http"].contains(&scheme).then_some(address)
    }

    /// A connection to the port that the file names, in whatever format.
    fn port_client(&self) -> Result<TcpStream, Fault> {
        let port = self.text.rsplit(':').next().and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse::<u16>().ok()
        });
        match port.map(|port| TcpStream::connect(("127.0.0.1", port))) {
            Some(Ok(client)) => Ok(client),
            _ => self.client(),
        }
    }

    /// A connection to the address that Docker reads from the file.
    fn client(&self) -> Result<TcpStream, Fault> {
        let address = self.address();
        let stream = address.and_then(|at| TcpStream::connect(at).ok());
        stream.ok_or_else(|| {
            wrong(
                &self.sent,
                "FILE holds the address: tcp://HOST:PORT in NAME.spec, \
                 {\"Addr\":\"http://HOST:PORT\"} in NAME.json",
                format!("FILE holds {}", self.text.trim()),
            )
        })
    }
}

fn tcp_words(file: &Path) -> String {
    let file = file.file_name().unwrap_or_default().display();
    format!("PROGRAM SOCKET ROOT --tcp 127.0.0.1:0 --spec FILE ({file})")
}

fn spawn_tcp(
    harness: &mut Harness,
    place: Place,
    file: &Path,
) -> Result<Session, Fault> {
    let options = ["--tcp", "127.0.0.1:0", "--spec"].map(OsStr::new);
    let options = options.into_iter().chain(iter::once(file.as_os_str()));
    harness.spawn(&harness.program().with_options(options), place)
}

fn long_replies(harness: &mut Harness) -> Outcome {
    const VOLUMES: usize = 40;
    const REPLIES: usize = 500;
    let mut tcp = Tcp::start(harness, "tcp.spec")?;
    for _ in 0..VOLUMES {
        // The names have 40 bytes, and the list has at least twice as many per
        // volume.
        let name = format!("{}-{:030}", harness.name(), 0);
        create(&mut tcp.session, &name)?;
    }
    let mut client = tcp.port_client()?;
    let call = Call::list();
    let sent = format!("{call}, {REPLIES} times on one TCP connection");
    let deadline = Instant::now() + LONG;
    for _ in 0..REPLIES {
        client.write_all(&call.request(harness.dialect))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let reply = read_reply(&mut client, left);
        if matches!(reply, Err(NoReply::Silent(_))) {
            let got = format!("fewer answers in {} s", LONG.as_secs());
            return Err(wrong(sent, format!("{REPLIES} answers"), got));
        }
        tcp.session.exchange(sent.clone(), reply).success("a list")?;
    }
    Ok(())
}

fn loopback(harness: &mut Harness) -> Outcome {
    let sent = "PROGRAM SOCKET ROOT --tcp 0.0.0.0:0";
    let expected =
        "the plugin ends with an error that names --tcp, and never listens";
    let program = harness.program().with_options(["--tcp", "0.0.0.0:0"]);
    let session = harness.spawn(&program, Place::new()?)?;
    let mut listened = false;
    let ended = wait_until(PATIENCE, || {
        listened |= UnixStream::connect(session.socket()).is_ok();
        session.ended().or_else(|| listened.then(Default::default))
    });
    let got = match ended {
        _ if listened => "the plugin listens".to_owned(),
        Some(status) if status.success() => {
            format!("the plugin ended ({status})")
        }
        Some(_) => {
            let names_it = || {
                let log = harness.log().last_lines(50);
                log.iter().any(|line| line.contains("--tcp")).then_some(())
            };
            match wait_until(PATIENCE / 5, names_it) {
                Some(()) => return Ok(()),
                None => "an error that does not name --tcp".to_owned(),
            }
        }
        None => "the plugin keeps running".to_owned(),
    };
    harness.forget_log();
    Err(wrong(sent, expected, got))
}

fn spec(harness: &mut Harness) -> Outcome {
    for file in ["tcp.spec", "tcp.json"] {
        let tcp = Tcp::start(harness, file)?;
        let mut client = tcp.client()?;
        let call = Call::bare("Plugin.Activate");
        client.write_all(&call.request(harness.dialect))?;
        let reply = read_reply(&mut client, PATIENCE);
        let sent = format!("{}; there, {call}", tcp.sent);
        tcp.session.exchange(sent, reply).success("the answer of step 1")?;
    }
    Ok(())
}

fn spec_gone(harness: &mut Harness) -> Outcome {
    for file in ["tcp.spec", "tcp.json"] {
        let Tcp { session, file, sent, .. } = Tcp::start(harness, file)?;
        session.signal(Signal::TERM);
        let sent = format!("{sent}, then SIGTERM");
        ends_cleanly(&session, &sent, &[&file, &session.socket()])?;
    }
    Ok(())
}

fn newer_socket(harness: &mut Harness) -> Outcome {
    let first = activated(harness)?;
    // An administrator may do this who believes that the first plugin has
    // ended.
    fs::remove_file(first.socket())?;
    let place = Place::new()?;
    let mut second = harness.spawn_beside(&first, &place)?;
    let sent = "rm SOCKET, PROGRAM SOCKET OTHER-ROOT, then SIGTERM to the \
                first plugin";
    if let Err(got) = second.listens_on(&first.socket()) {
        return Err(wrong(sent, "the second plugin listens", got));
    }
    // Once the second plugin answers, its start is complete.
    first.still_answers("rm SOCKET, PROGRAM SOCKET OTHER-ROOT")?;
    first.signal(Signal::TERM);
    if first.ends_within(LONG).is_none() {
        return Err(wrong(
            sent,
            "the first plugin ends",
            "the plugin keeps running",
        ));
    }
    first.still_answers(sent)
}

fn folder_beside_spec(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let file = place.folder().join("tcp.spec");
    let names = ["tcp.new", "tcp.tmp", "tcp.spec.new", "tcp.spec.tmp", "tcp"];
    let files = names.map(|name| place.folder().join(name).join("file"));
    for file in &files {
        fs::create_dir(file.parent().expect("a file is in a folder"))?;
        fs::write(file, "")?;
    }
    let mut session = spawn_tcp(harness, place, &file)?;
    let sent = format!("{}, with folders beside FILE", tcp_words(&file));
    let listens = session.await_listening(&sent);
    session.signal(Signal::TERM);
    session.ends_within(LONG);
    let expected = "the plugin writes FILE, and changes no folder beside FILE";
    match files.iter().find(|file| !file.exists()) {
        None => listens,
        Some(file) => {
            let name = file.parent().and_then(Path::file_name);
            let name = name.unwrap_or_default().display();
            Err(wrong(sent, expected, format!("the file in {name} is gone")))
        }
    }
}

fn foreign_spec(harness: &mut Harness) -> Outcome {
    let somebody = TcpListener::bind("127.0.0.1:0")?;
    let text = format!("tcp://{}\n", somebody.local_addr()?);
    let place = Place::new()?;
    let file = place.folder().join("tcp.spec");
    fs::write(&file, &text)?;
    let session = spawn_tcp(harness, place, &file)?;
    let is_unchanged =
        || fs::read_to_string(&file).is_ok_and(|now| now == text).then_some(());
    // A plugin that leaves the file unchanged may keep running without an
    // error.
    let decided = || {
        (is_unchanged().is_none() || session.ended().is_some()).then_some(())
    };
    wait_until(PATIENCE, decided);
    session.signal(Signal::TERM);
    let ended = session.ends_within(LONG).is_some();
    let sent = format!("{}, where FILE names another plugin", tcp_words(&file));
    match is_unchanged() {
        Some(()) if ended => Ok(()),
        Some(()) => Err(wrong(
            sent,
            "the plugin ends",
            "the plugin still runs after SIGTERM",
        )),
        None => {
            Err(wrong(sent, "FILE is unchanged", "FILE has other contents"))
        }
    }
}
