//! Step 7: many calls at once, and a clean stop.

use std::fs;
use std::io::Write;
use std::iter;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::step_01::flood;
use super::step_02::{activated, not_found};
use super::step_03::{create, found, remove_volume};
use super::step_04::path_in;
use super::{Check, strace};
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
        why: "dockerd locks a name only for itself: a second dockerd, or \
              Podman, may use the same socket",
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
        id: "7.cut-off",
        step: 7,
        name: "a stop waits for a call for less than 10 s, and its status tells",
        why: "`docker stop` kills a plugin after 10 s, which then leaves its \
              socket; and if a call that was cut off looks like a success, \
              no supervisor and no log says that its work is half done",
        file: "src/stop.rs",
        place: "TODO 7.4",
        source: "managed-volume 14; our rule: an error names the call",
        run: cut_off,
    },
    Check {
        id: "7.socket-first",
        step: 7,
        name: "a plugin that is told to stop removes its socket at once",
        why: "a client that comes through the socket during the stop gets no \
              answer, and Docker repeats its call without a body",
        file: "src/stop.rs",
        place: "TODO 7.4",
        source: "plugin-missing 7, 8; vol-errors-drop 1-3",
        run: socket_first,
    },
    Check {
        id: "7.late-call",
        step: 7,
        name: "while a call is in progress, a stop lets open connections go on",
        why: "Docker sends its next call on an open connection, and would \
              repeat it without its body",
        file: "src/stop.rs",
        place: "TODO 7.4",
        source: "vol-errors-drop 1-3",
        run: late_call,
    },
    Check {
        id: "7.second-signal",
        step: 7,
        name: "the same signal again ends the plugin at once; another does not",
        why: "a user who presses Ctrl-C twice wants the end now; but one Ctrl-C \
              reaches make as well, which may pass it on as SIGTERM",
        file: "src/stop.rs",
        place: "TODO 7.3",
        source: "our rule; signal(7) for what a signal does by default",
        run: second_signal,
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
];

/// The longest time that a check of many calls, or of a stop, may take. No
/// check measures how much of it was needed.
pub(super) const LONG: Duration = Duration::from_secs(10);

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

pub(super) fn with_volume(
    harness: &mut Harness,
) -> Result<(Session, String), Fault> {
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
    // A disk may be slow.
    const LONGEST: Duration = Duration::from_secs(4);
    let mut session = activated(harness)?;
    let begun = Instant::now();
    let mut round = 0;
    while round < 3 || (round < 16 && begun.elapsed() < LONGEST) {
        round += 1;
        let outcome = many_wait(&mut session, harness)
            .and_then(|()| one_round(&mut session, harness))
            .and_then(|()| many_pairs(&session, harness));
        if let Err(Fault::Wrong(collision)) = outcome {
            // Which call is lost when calls collide depends on timing.
            harness.forget_log();
            return Err(wrong(
                format!(
                    "{CLIENTS} clients create one name at once, half of them \
                     with mode=0700, half with mode=0755, and all of them \
                     remove it; while a large volume is removed, {WAITING} \
                     clients create its name; then these create and remove \
                     one name, several times"
                ),
                "one Create makes the volume, those with the same mode \
                 succeed, and the others fail; one Remove of each volume \
                 succeeds",
                format!("calls ran at the same time: {}", collision.got),
            ));
        }
        outcome?;
    }
    Ok(())
}

/// Many clients create one name with the same options and remove it, again and
/// again. If no two calls run at once, each Create succeeds.
fn many_pairs(session: &Session, harness: &mut Harness) -> Outcome {
    const PAIRS: usize = 8;
    let name = harness.name();
    let pair =
        [Call::create(&name, json!({ "mode": "0711" })), Call::remove(&name)];
    let requests: Vec<_> =
        pair.iter().map(|call| call.request(harness.dialect)).collect();
    let requests = requests.concat().repeat(PAIRS);
    let mut clients = iter::repeat_with(|| session.client("a connection"))
        .take(WAITING)
        .collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        client.write_all(&requests)?;
    }
    for client in &mut clients {
        let Ok(replies) = read_replies(client, 2 * PAIRS, LONG) else {
            return Err(wrong("", "", "a call was not answered"));
        };
        for created in replies.into_iter().step_by(2) {
            let exchange = session.exchange(pair[0].to_string(), Ok(created));
            exchange.success("200 and {}: the options are the same")?;
        }
    }
    Ok(())
}

fn one_round(session: &mut Session, harness: &mut Harness) -> Outcome {
    let mode = |number: usize| ["0700", "0755"][number % 2];
    let is_done = |reply: &Result<Reply, NoReply>| {
        reply.as_ref().is_ok_and(|reply| reply.judge().is_ok())
    };
    let collided = |got: String| Err(wrong("", "", got));
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
        let count = |wanted: usize| {
            let of_mode = (0..CLIENTS).filter(|number| number % 2 == wanted);
            of_mode.filter(|number| done[*number]).count()
        };
        return collided(format!(
            "{} Creates with mode=0700 and {} with mode=0755 succeeded, and the \
             volume has mode {}",
            count(0),
            count(1),
            actual.unwrap_or(&Value::Null),
        ));
    }

    let replies = at_once(session, harness, |_| Call::remove(&name));
    let removals = replies.iter().filter(|reply| is_done(reply)).count();
    if removals != 1 {
        return collided(format!("{removals} Removes succeeded"));
    }
    not_found(session, &name)
}

/// How many calls wait for one name while it is removed.
const WAITING: usize = 16;

/// The end of a Remove wakes all calls that wait for its name: one of them creates
/// the volume, and the others find it.
fn many_wait(session: &mut Session, harness: &mut Harness) -> Outcome {
    let large = Large::create(harness, session, FILES)?;
    let call = Call::create(&large.name, json!({ "mode": "0711" }));
    let request = call.request(harness.dialect);
    let mut clients = iter::repeat_with(|| session.client(&call.to_string()))
        .take(WAITING)
        .collect::<Result<Vec<_>, _>>()?;
    let mut slow = large.begin_to_remove(session)?;
    for client in &mut clients {
        client.write_all(&request)?;
    }
    let reply = read_reply(&mut slow, LONG);
    let sent = Call::remove(&large.name).to_string();
    session.exchange(sent, reply).success("200 and {}")?;
    for client in &mut clients {
        let reply = read_reply(client, LONG);
        let exchange = session.exchange(call.to_string(), reply);
        exchange.success("200 and {}: the options are the same")?;
    }
    let (exchange, volume) = found(session, &large.name)?;
    let status = field(&volume, "Status");
    let mode = status.and_then(|status| field(status, "mode"));
    match mode == Some(&json!("0711")) {
        true => remove_volume(session, &large.name),
        false => Err(exchange.wrong("the mode 0711")),
    }
}

/// After a signal, the plugin must end with status 0, and the files in `traces`
/// must be gone.
pub(super) fn ends_cleanly(
    session: &Session,
    sent: &str,
    traces: &[&Path],
) -> Outcome {
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

/// What one attempt has shown.
enum Shown {
    /// The plugin did the right thing.
    Right,
    /// The plugin did the wrong thing, unless the machine stalled.
    Wrong,
    /// The call ended too early to see anything.
    Nothing,
}

/// Tries with more and more files, until the plugin has shown what it does while a
/// call runs. A machine may stall once, but hardly three times.
///
/// A plugin that deletes the files after it has answered shows nothing.
fn while_it_removes(
    harness: &mut Harness,
    fault: Fault,
    attempt: fn(&mut Harness, usize) -> Result<Shown, Fault>,
) -> Outcome {
    const ENOUGH: usize = 3;
    let mut wrong = 0;
    for count in [1, 1, 2, 2, 4, 4, 4].map(|times| times * FILES) {
        match attempt(harness, count)? {
            Shown::Right => return Ok(()),
            Shown::Wrong => wrong += 1,
            Shown::Nothing => {}
        }
        if wrong == ENOUGH {
            // The number of attempts depends on the machine.
            harness.forget_log();
            return Err(fault);
        }
    }
    Ok(())
}

/// A plugin that removes a large volume, and that was told to stop meanwhile.
struct Stopping {
    session: Session,
    /// A connection that was open before.
    open: UnixStream,
    /// The connection on which the Remove was sent.
    slow: UnixStream,
    /// Whether the socket was gone before Remove was answered.
    has_no_socket: bool,
    /// Whether Remove was answered before the signal.
    was_quick: bool,
}

impl Stopping {
    fn new(
        harness: &mut Harness,
        count: usize,
        signal: Signal,
    ) -> Result<Self, Fault> {
        let mut session = activated(harness)?;
        let large = Large::create(harness, &mut session, count)?;
        let (_, open) = session.send(
            "a call on another connection",
            &Call::list().request(harness.dialect),
        )?;
        let slow = large.begin_to_remove(&session)?;
        let was_quick = has_answer(&slow);
        session.signal(signal);
        let socket = session.socket();
        let has_socket = || socket.symlink_metadata().is_ok();
        let ended = wait_until(LONG, || {
            (has_answer(&slow) || !has_socket()).then_some(())
        });
        let has_no_socket =
            ended.is_some() && !has_answer(&slow) && !has_socket();
        Ok(Self { session, open, slow, has_no_socket, was_quick })
    }
}

const STOPPING: &str = "POST /VolumeDriver.Remove of a volume with many files, \
                        and SIGTERM during the removal";

impl Stopping {
    /// Whether the Remove is answered. Another check covers a plugin that cuts it
    /// off.
    fn is_answered(&mut self) -> bool {
        let reply = read_reply(&mut self.slow, LONG);
        reply.is_ok_and(|reply| reply.judge().is_ok())
    }
}

fn socket_first(harness: &mut Harness) -> Outcome {
    let fault = wrong(
        STOPPING,
        "the socket is removed before the call is answered",
        "the socket is still there when the call is answered",
    );
    while_it_removes(harness, fault, |harness, count| {
        let mut stopping = Stopping::new(harness, count, Signal::TERM)?;
        if stopping.has_no_socket {
            return Ok(Shown::Right);
        }
        let is_wrong = !stopping.was_quick && stopping.is_answered();
        Ok(if is_wrong { Shown::Wrong } else { Shown::Nothing })
    })
}

fn late_call(harness: &mut Harness) -> Outcome {
    let fault = wrong(
        format!(
            "{STOPPING}; once the socket is gone, POST /VolumeDriver.Create on \
             another connection, which was open before"
        ),
        "200 and {}, and then the plugin ends",
        "no answer before the plugin ended",
    );
    while_it_removes(harness, fault, |harness, count| {
        let mut stopping = Stopping::new(harness, count, Signal::TERM)?;
        if !stopping.has_no_socket {
            // Another check covers a plugin that keeps its socket.
            return Ok(Shown::Nothing);
        }
        let call = Call::create(&harness.name(), json!({}));
        let sent = stopping.open.write_all(&call.request(harness.dialect));
        let reply = read_reply(&mut stopping.open, LONG);
        if sent.is_ok() && reply.is_ok_and(|reply| reply.judge().is_ok()) {
            return Ok(Shown::Right);
        }
        let is_wrong = stopping.is_answered();
        Ok(if is_wrong { Shown::Wrong } else { Shown::Nothing })
    })
}

fn second_signal(harness: &mut Harness) -> Outcome {
    let fault = wrong(
        format!("{STOPPING}; once the socket is gone, SIGTERM again"),
        "the plugin ends at once, without an answer",
        "the plugin still finished the removal",
    );
    while_it_removes(harness, fault, |harness, count| {
        let mut stopping = Stopping::new(harness, count, Signal::TERM)?;
        if !stopping.has_no_socket {
            return Ok(Shown::Nothing);
        }
        stopping.session.signal(Signal::TERM);
        Ok(match stopping.is_answered() {
            true => Shown::Wrong,
            false => Shown::Right,
        })
    })?;
    let fault = wrong(
        "POST /VolumeDriver.Remove of a volume with many files, and SIGINT \
         during the removal; once the socket is gone, SIGTERM",
        "200 and {}: the call is answered before the plugin ends",
        "the plugin ended by SIGTERM, without an answer",
    );
    while_it_removes(harness, fault, |harness, count| {
        let mut stopping = Stopping::new(harness, count, Signal::INT)?;
        if !stopping.has_no_socket {
            return Ok(Shown::Nothing);
        }
        stopping.session.signal(Signal::TERM);
        if stopping.is_answered() {
            return Ok(Shown::Right);
        }
        let status = stopping.session.ends();
        Ok(match status.and_then(|status| status.signal()) {
            Some(_) => Shown::Wrong,
            None => Shown::Nothing,
        })
    })
}

/// The longest time from SIGTERM to the end of the plugin, with a second for a busy
/// machine: Docker kills a container after 10 s.
const STOP: Duration = Duration::from_secs(11);

fn cut_off(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    let (exchange, volume) = found(&mut session, &name)?;
    let directory = path_in(&exchange, &volume)?;
    let program = harness.program().after(&strace::slow_syncs()?);
    let mut session = harness.spawn(&program, session.kill())?;
    session.await_listening("a new start, under strace")?;
    let call = Call::remove(&name);
    let mut slow = session.client(&call.to_string())?;
    slow.write_all(&call.request(harness.dialect))?;
    let begun = || !directory.is_there().unwrap_or(true);
    if wait_until(PATIENCE, || begun().then_some(())).is_none()
        || has_answer(&slow)
    {
        let why = "Remove cannot be slowed down by a slow fsync";
        return Err(Fault::NotTried(why.to_owned()));
    }
    session.signal(Signal::TERM);
    let sent = format!("{call} that takes a minute, and SIGTERM");
    let expected = "the plugin ends within 10 s, and not with status 0";
    let got = match session.ends_under_a_tracer(STOP) {
        Some(status) if !status.success() => return Ok(()),
        Some(status) => format!("the plugin ended ({status})"),
        None => format!("the plugin still runs after {} s", STOP.as_secs()),
    };
    // strace writes into the log as well.
    harness.forget_log();
    Err(wrong(sent, expected, got))
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
    let got = match replies {
        Err(no_reply) => no_reply.to_string(),
        Ok(replies) => {
            let is_refused = |reply: &&Reply| reply.judge().is_err();
            let Some(refused) = replies.iter().find(is_refused) else {
                return Ok(());
            };
            refused.to_string()
        }
    };
    // Which calls are refused depends on timing.
    harness.forget_log();
    Err(wrong(
        sent,
        "each Create succeeds, and each Remove",
        format!("calls ran at the same time: {got}"),
    ))
}

fn no_trace(harness: &mut Harness) -> Outcome {
    // With each of these limits, the plugin runs out of files in a different
    // place.
    for files in 24..32 {
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
