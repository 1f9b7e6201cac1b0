//! Step 7: many calls at once, and a clean stop.

use std::fs;
use std::io::Write;
use std::iter;
use std::os::unix::net::UnixStream;
use std::path::Path;
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
    const ROUNDS: usize = 16;
    let mut session = activated(harness)?;
    for _ in 0..ROUNDS {
        let outcome = one_round(&mut session, harness);
        if let Err(Fault::Wrong(collision)) = outcome {
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
                format!("calls ran at the same time: {}", collision.got),
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
