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
use super::step_02::{about, activated, create_call, not_found};
use super::step_03::{create, found, list_call};
use super::step_04::path_in;
use crate::daemon::{Call, Daemon, NoReply, Reply, field, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Harness, Session};
use crate::plugin::Place;
use crate::root::Mountpoint;
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "7.slow-body",
        step: 7,
        name: "a client that sends half of a body holds up nobody else",
        why: "tiny_http has no time-out, so one such client would keep everybody \
              waiting until it hangs up",
        file: "src/server.rs",
        place: "TODO 7.1",
        source: "concurrency 2; spikes: cut body > 1024 bytes, held",
        run: slow_body,
    },
    Check {
        id: "7.slow-call",
        step: 7,
        name: "while one volume is slow, the others are answered",
        why: "`docker volume ls` asks every plugin, and everybody who types it \
              would wait for one large volume to be removed",
        file: "src/names.rs",
        place: "TODO 7.2",
        source: "plugin-slow 6, 7; concurrency 2",
        run: slow_call,
    },
    Check {
        id: "7.one-name",
        step: 7,
        name: "of calls on one name, each finds the work of the one before whole",
        why: "dockerd locks a name, but only for itself: over TCP there may be \
              two of them",
        file: "src/names.rs",
        place: "TODO 7.2",
        source: "plugin-slow 8; our rule",
        run: one_name,
    },
    Check {
        id: "7.signals",
        step: 7,
        name: "SIGTERM and SIGINT end it with 0, and its socket goes with it",
        why: "Docker waits 15 s for each socket that leads to nobody, and kills \
              a plugin that does not end when it is asked to",
        file: "src/stop.rs",
        place: "TODO 7.3",
        source: "plugin-missing 7, 8; managed-volume 14",
        run: signals,
    },
    Check {
        id: "7.in-flight",
        step: 7,
        name: "a call that has begun is answered before the end",
        why: "Docker repeats a call whose connection drops, and without its \
              body: its user reads of an empty body, and the work is half done",
        file: "src/stop.rs",
        place: "TODO 7.4",
        source: "vol-errors-drop 1-3",
        run: in_flight,
    },
    Check {
        id: "7.stranded",
        step: 7,
        name: "32 connections that stay open are all answered",
        why: "tiny_http 0.12.0 may leave one without a thread until another one \
              closes, and Docker keeps its connections open",
        file: "src/listener.rs",
        place: "`recv`",
        source: "concurrency 2; tiny_http 0.12.0",
        run: stranded,
    },
    Check {
        id: "7.long-replies",
        step: 7,
        name: "500 long replies over TCP take no 10 seconds",
        why: "a reply in two writes waits 40 ms for the client's kernel, each \
              time",
        file: "src/listener.rs",
        place: "`respond`",
        source: "tcp(7), TCP_NODELAY; tiny_http 0.12 sets none",
        run: long_replies,
    },
    Check {
        id: "7.loopback",
        step: 7,
        name: "other machines reach it only if that was asked for in words",
        why: "there is no password: whoever reaches the port can remove all \
              volumes",
        file: "src/listener.rs",
        place: "`bind_tcp`",
        source: "our rule",
        run: loopback,
    },
    Check {
        id: "7.spec",
        step: 7,
        name: "--spec tells Docker where it listens",
        why: "without a scheme, or under another key, Docker finds nobody, and \
              says so after 15 s",
        file: "src/listener.rs",
        place: "`publish`",
        source: "discovery 3-6; raw wtcp, whttp, wjson",
        run: spec,
    },
    Check {
        id: "7.spec-gone",
        step: 7,
        name: "at the end the file of --spec is gone",
        why: "Docker waits 15 s for each file that leads to nobody",
        file: "src/listener.rs",
        place: "`drop`",
        source: "plugin-missing 7, 8",
        run: spec_gone,
    },
    Check {
        id: "7.newer-socket",
        step: 7,
        name: "a plugin that stops leaves a newer plugin its socket",
        why: "that one would run on, and never hear from Docker again",
        file: "src/listener.rs",
        place: "`remove`",
        source: "our rule: what another has bound is not ours",
        run: newer_socket,
    },
    Check {
        id: "7.folder-beside-spec",
        step: 7,
        name: "what stands beside FILE stays",
        why: "a folder named like a temporary file may be somebody's work",
        file: "src/listener.rs",
        place: "`publish`",
        source: "our rule: a plugin removes only what it has made",
        run: folder_beside_spec,
    },
    Check {
        id: "7.foreign-spec",
        step: 7,
        name: "a file that names somebody else stays",
        why: "it may be a typing error, and Docker would take this plugin for \
              the other one",
        file: "src/listener.rs",
        place: "`publish`",
        source: "our rule",
        run: foreign_spec,
    },
];

/// What a check of many calls, or of a stop, takes at most. It never asks how
/// much of it was needed.
const LONG: Duration = Duration::from_secs(10);

fn slow_body(harness: &mut Harness) -> Outcome {
    const HELD: usize = 4;
    let (mut session, name) = with_volume(harness)?;
    let what = format!("{HELD} times half a body of 4 KiB, held");
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut client = session.client(&what)?;
        let _ = client.write_all(
            b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
              Content-Length: 4096\r\n\r\n{\"Name\":",
        );
        held.push(client);
    }
    // The first calls may overtake the halves, so there are more, and each is
    // on a connection that was made later.
    let call = list_call();
    let sent = format!("{what}, {call}");
    let mut outcome = (0..100).try_for_each(|_| {
        let (exchange, _) =
            session.send(&sent, &call.request(harness.dialect))?;
        exchange.success("List is answered meanwhile").map(drop)
    });
    match outcome {
        Ok(()) => {
            session.say_before(&what);
            outcome = found(&mut session, &name).map(drop);
        }
        Err(_) => harness.forget_log(),
    }
    // Held up to here, or hanging up would end what is looked for.
    drop((session, held));
    outcome
}

fn with_volume(harness: &mut Harness) -> Result<(Session, String), Fault> {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    Ok((session, name))
}

/// So many files take a moment to be removed.
const FILES: usize = 10_000;

/// A volume that takes a moment to be removed.
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
        // Names of one file are made faster than files.
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

    /// Docker's Remove, of which the first effect is seen already.
    fn begin_to_remove(&self, session: &Session) -> Result<UnixStream, Fault> {
        let call = about("VolumeDriver.Remove", &self.name);
        let mut client = session.client(&call.to_string())?;
        client.write_all(&call.request(Default::default()))?;
        let all_there = || {
            let files = self.files.open().ok();
            let names = files.and_then(|it| it.names().ok());
            names.is_some_and(|it| it.len() == self.count)
        };
        // Whoever removes nothing at all is told so by a check of step 4.
        wait_until(PATIENCE, || (!all_there()).then_some(()));
        Ok(client)
    }
}

/// Whether there is something to read.
fn has_answer(client: &UnixStream) -> bool {
    let mut client = [PollFd::new(client, PollFlags::IN)];
    let now = Timespec::default();
    event::poll(&mut client, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn slow_call(harness: &mut Harness) -> Outcome {
    const SOME: usize = 10;
    let (mut session, name) = with_volume(harness)?;
    let mut calls = [list_call(), about("VolumeDriver.Get", &name)];
    let mut docker = Daemon::new(&session.socket(), harness.dialect);
    let mut ask = |call: &Call| -> bool { docker.call(call).is_ok() };
    // A machine may stop for a moment, but not twice. A plugin that does the
    // work later answers at once, and a busy machine answers late: then more
    // files show more, or nothing can be seen here.
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
        let sent = about("VolumeDriver.Remove", &large.name).to_string();
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
        "POST /VolumeDriver.Remove of a volume with many files, then List and \
         Get of another one, again and again",
        "they are answered while the files go",
        "none of them before Remove was done",
    ))
}

/// What eight clients get, each on a connection of its own, at the same time.
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
        clients.map(|it| it.join().expect("a client returns")).collect()
    })
}

const CLIENTS: usize = 8;

fn one_name(harness: &mut Harness) -> Outcome {
    const ROUNDS: usize = 16;
    let mut session = activated(harness)?;
    for _ in 0..ROUNDS {
        let outcome = one_round(&mut session, harness);
        if let Err(Fault::Wrong(_)) = outcome {
            // What gets lost when calls meet is a matter of chance.
            harness.forget_log();
            return Err(wrong(
                format!(
                    "Create of one name by {CLIENTS} clients at once, half of \
                     them with mode=0700, half with mode=0755; then Remove by \
                     all of them"
                ),
                "one of them makes the volume, all who want the same succeed, \
                 and the others fail; then one removes it, and no other",
                "something else: calls have met on the way",
            ));
        }
        outcome?;
    }
    Ok(())
}

fn one_round(session: &mut Session, harness: &mut Harness) -> Outcome {
    let mode = |number: usize| ["0700", "0755"][number % 2];
    let is_done = |it: &Result<Reply, NoReply>| {
        it.as_ref().is_ok_and(|reply| reply.judge().is_ok())
    };
    let met = || Err(wrong("", "", ""));
    let name = harness.name();
    let replies = at_once(session, harness, |number| {
        create_call(&name, json!({ "mode": mode(number) }))
    });
    let done: Vec<_> = replies.iter().map(is_done).collect();
    let (_, volume) = found(session, &name)?;
    let has = field(&volume, "Status").and_then(|it| field(it, "mode"));
    let as_it_is = |number| has == Some(&json!(mode(number)));
    if (0..CLIENTS).any(|number| done[number] != as_it_is(number)) {
        return met();
    }

    let replies =
        at_once(session, harness, |_| about("VolumeDriver.Remove", &name));
    if replies.iter().filter(|it| is_done(it)).count() != 1 {
        return met();
    }
    not_found(session, &name)
}

/// After a signal, the plugin ends with 0, and `traces` are gone.
fn ends_cleanly(session: &Session, sent: &str, traces: &[&Path]) -> Outcome {
    let expected = "it ends with status 0, and leaves nothing that leads to it";
    let got = match session.ends_within(LONG) {
        Some(status) if status.success() => {
            let left = traces.iter().find(|it| it.symlink_metadata().is_ok());
            let Some(left) = left else { return Ok(()) };
            format!("{} is still there", left.display())
        }
        Some(status) => format!("it ended ({status})"),
        None => format!("it runs on after {} s", LONG.as_secs()),
    };
    Err(wrong(sent, expected, got))
}

fn signals(harness: &mut Harness) -> Outcome {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut session = activated(harness)?;
        let sent = format!("{name}, while Docker keeps a connection open");
        // The session's own daemon does.
        session.call(&list_call()).success("an answer")?;
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
         while they go"
    );
    let reply = read_reply(&mut slow, LONG);
    session.exchange(sent.clone(), reply).success("Remove is answered")?;
    ends_cleanly(&session, &sent, &[&session.socket()])
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
                let late =
                    format!("some, and silence for {} s", LONG.as_secs());
                return Err(wrong(&sent, "an answer on each of them", late));
            }
        }
    }
    Ok(())
}

/// A plugin that listens on TCP, too, and what it says of that in `file`.
struct Tcp {
    session: Session,
    file: PathBuf,
    sent: String,
    text: String,
}

impl Tcp {
    fn start(harness: &mut Harness, file: &str) -> Result<Self, Fault> {
        let place = Place::new()?;
        // In a folder that is not there yet.
        let file = place.folder().join("plugins").join(file);
        let mut session = spawn_tcp(harness, place, &file)?;
        let sent = tcp_words(&file);
        session.await_listening(&sent)?;
        // It may listen on its socket first.
        let text = wait_until(PATIENCE, || {
            fs::read_to_string(&file).ok().filter(|it| !it.is_empty())
        });
        match text {
            Some(text) => Ok(Self { session, file, sent, text }),
            None => Err(wrong(sent, "it writes FILE", "there is no FILE")),
        }
    }

    /// What Docker reads there, as `HOST:PORT`.
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

    /// A connection to the port that the file names in some way.
    fn somehow(&self) -> Result<TcpStream, Fault> {
        let digits = |it: &str| it.find(|c: char| !c.is_ascii_digit());
        let port = self.text.rsplit(':').next().and_then(|it| {
            it[..digits(it).unwrap_or(it.len())].parse::<u16>().ok()
        });
        match port.map(|port| TcpStream::connect(("127.0.0.1", port))) {
            Some(Ok(client)) => Ok(client),
            _ => self.client(),
        }
    }

    /// A connection to where the file leads.
    fn client(&self) -> Result<TcpStream, Fault> {
        let stream = self.address().and_then(|it| TcpStream::connect(it).ok());
        stream.ok_or_else(|| {
            wrong(
                &self.sent,
                "FILE leads to where it listens: tcp://HOST:PORT in NAME.spec, \
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
        // Names of 40 bytes: the list has at least twice as many.
        let name = format!("{}-{:030}", harness.name(), 0);
        create(&mut tcp.session, &name)?;
    }
    let mut client = tcp.somehow()?;
    let call = list_call();
    let sent = format!("{call} {REPLIES} times on a TCP connection");
    let deadline = Instant::now() + LONG;
    for _ in 0..REPLIES {
        client.write_all(&call.request(harness.dialect))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let reply = read_reply(&mut client, left);
        if matches!(reply, Err(NoReply::Silent(_))) {
            let got = format!("some answers in {} s", LONG.as_secs());
            return Err(wrong(sent, "as many answers", got));
        }
        tcp.session.exchange(sent.clone(), reply).success("a list")?;
    }
    Ok(())
}

fn loopback(harness: &mut Harness) -> Outcome {
    let sent = "PROGRAM SOCKET ROOT --tcp 0.0.0.0:0";
    let expected =
        "it ends with an error that names --tcp, and has not listened";
    let program = harness.program().with_options(["--tcp", "0.0.0.0:0"]);
    let session = harness.spawn(&program, Place::new()?)?;
    let mut listened = false;
    let ended = wait_until(PATIENCE, || {
        listened |= UnixStream::connect(session.socket()).is_ok();
        session.ended().or_else(|| listened.then(Default::default))
    });
    let got = match ended {
        _ if listened => "it listens".to_owned(),
        Some(status) if status.success() => format!("it ended ({status})"),
        Some(_) => {
            let names_it = || {
                let log = harness.log().last_lines(50);
                log.iter().any(|it| it.contains("--tcp")).then_some(())
            };
            match wait_until(PATIENCE / 5, names_it) {
                Some(()) => return Ok(()),
                None => "an error without that word".to_owned(),
            }
        }
        None => "it runs on".to_owned(),
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
    // As an administrator does who believes that the first one has ended.
    fs::remove_file(first.socket())?;
    let place = Place::new()?;
    let mut second = harness.spawn_beside(&first, &place)?;
    let sent = "rm SOCKET, PROGRAM SOCKET OTHER-ROOT, then SIGTERM for the \
                first plugin";
    if let Err(got) = second.listens_on(&first.socket()) {
        return Err(wrong(sent, "the second one listens", got));
    }
    // Once it answers, it is through with its start.
    first.still_answers("rm SOCKET, PROGRAM SOCKET OTHER-ROOT")?;
    first.signal(Signal::TERM);
    if first.ends_within(LONG).is_none() {
        return Err(wrong(sent, "the first one ends", "it runs on"));
    }
    first.still_answers(sent)
}

fn folder_beside_spec(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let file = place.folder().join("tcp.spec");
    let names = ["tcp.new", "tcp.tmp", "tcp.spec.new", "tcp.spec.tmp", "tcp"];
    let files = names.map(|it| place.folder().join(it).join("file"));
    for file in &files {
        fs::create_dir(file.parent().expect("a file is in a folder"))?;
        fs::write(file, "")?;
    }
    let mut session = spawn_tcp(harness, place, &file)?;
    let sent = format!("{}, beside folders", tcp_words(&file));
    let listens = session.await_listening(&sent);
    session.signal(Signal::TERM);
    session.ends_within(LONG);
    let expected = "it writes FILE, and no folder beside FILE is touched";
    match files.iter().find(|it| !it.exists()) {
        None => listens,
        Some(file) => {
            let name = file.parent().and_then(Path::file_name);
            let name = name.unwrap_or_default().display();
            Err(wrong(sent, expected, format!("{name} has lost its file")))
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
    let is_there =
        || fs::read_to_string(&file).is_ok_and(|it| it == text).then_some(());
    // A plugin that leaves it as it is may run on without a word.
    let decided =
        || (is_there().is_none() || session.ended().is_some()).then_some(());
    wait_until(PATIENCE, decided);
    session.signal(Signal::TERM);
    let ended = session.ends_within(LONG).is_some();
    let sent = format!("{}, where FILE names somebody else", tcp_words(&file));
    match is_there() {
        Some(()) if ended => Ok(()),
        Some(()) => Err(wrong(sent, "it ends", "it runs on after SIGTERM")),
        None => Err(wrong(sent, "FILE is as before", "it is another one")),
    }
}
