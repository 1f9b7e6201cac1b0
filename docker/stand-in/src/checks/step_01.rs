//! Step 1: the socket, the handshake, and clients that are not Docker.

use std::fs::{self, File};
use std::io::Write;
use std::iter;
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, ExitStatus};

use super::Check;
use crate::daemon::{Call, Daemon, read_head, read_reply, request};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session, lists};
use crate::plugin::{Place, Plugin};
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "1.activate",
        step: 1,
        name: "the handshake says that this is a volume driver",
        why: "Docker asks this first, and remembers a wrong list with status \
              200 until it restarts",
        file: "src/main.rs",
        place: "TODO 1.1",
        source: "activate-errors 1-16",
        run: activate,
    },
    Check {
        id: "1.stale-socket",
        step: 1,
        name: "a socket that kill -9 left behind is replaced",
        why: "a socket file outlives its process, and `bind` fails as long as \
              the file exists",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: stale_socket,
    },
    Check {
        id: "1.live-socket",
        step: 1,
        name: "a second plugin does not take the socket of a running one",
        why: "a plugin whose socket is removed keeps running, but no longer \
              receives any request",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: live_socket,
    },
    Check {
        id: "1.not-a-socket",
        step: 1,
        name: "a file that is not a socket is left alone",
        why: "the path may be a typing error, and the file may be somebody's \
              work",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: not_a_socket,
    },
    Check {
        id: "1.link",
        step: 1,
        name: "a link in the socket's place is left alone",
        why: "somebody has made the link, and without it Docker does not find \
              the socket to which it leads",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7); symlink(7)",
        run: link,
    },
    Check {
        id: "1.other-socket",
        step: 1,
        name: "a socket is removed only if it refuses the connection",
        why: "after any other error, a program may still use the socket: the \
              permission may be missing, or the socket takes datagrams, as \
              /dev/log does",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "connect(2); unix(7)",
        run: other_socket,
    },
    Check {
        id: "1.private-socket",
        step: 1,
        name: "only the plugin's own user may connect",
        why: "dockerd runs as root and needs no permission; any other user \
              could remove volumes",
        file: "src/socket.rs",
        place: "`bind`",
        source: "unix(7)",
        run: private_socket,
    },
    Check {
        id: "1.again",
        step: 1,
        name: "the handshake is answered again, on the same connection and on \
               a new one",
        why: "dockerd keeps connections open, and asks again after a restart",
        file: "src/server.rs",
        place: "`serve`",
        source: "concurrency 2; vol-dockerd-restart 6",
        run: again,
    },
    Check {
        id: "1.unknown-call",
        step: 1,
        name: "an unknown call is refused with a text",
        why: "Docker shows the text to the user; status 200 would mean that \
              the call was carried out",
        file: "src/main.rs",
        place: "`answer`",
        source: "vol-errors-create 2-8",
        run: unknown_call,
    },
    Check {
        id: "1.short-text",
        step: 1,
        name: "the refusal of a long path is one short line, in the log as \
               well",
        why: "a client could fill a terminal, or the disk that holds the log",
        file: "src/main.rs",
        place: "`answer`",
        source: "our rule: a text from a client is never repeated in full",
        run: short_text,
    },
    Check {
        id: "1.get",
        step: 1,
        name: "after a GET, the plugin still serves Docker",
        why: "people and monitoring tools try curl, and that must not end the \
              plugin that serves all volumes",
        file: "src/server.rs",
        place: "`read`",
        source: "raw wunix: dockerd sends POST only",
        run: get,
    },
    Check {
        id: "1.long-body",
        step: 1,
        name: "after a body of 2 MiB, the plugin still serves Docker",
        why: "if the plugin ends or hangs, no container can use its volumes",
        file: "src/server.rs",
        place: "`read`",
        source: "plugin-huge 2-4: Docker has no limit of its own",
        run: long_body,
    },
    Check {
        id: "1.long-length",
        step: 1,
        name: "a body of over 64 MiB is refused before it is read",
        why: "a plugin must check each length before it reads or drops a \
              request: tiny_http 0.12.0 has no limit, and its process can end",
        file: "src/server.rs",
        place: "`handle`",
        source: "our rule: Docker's longest bodies are a few hundred bytes",
        run: long_length,
    },
    Check {
        id: "1.connection",
        step: 1,
        name: "of the `Connection` header, only keep-alive and close are \
               accepted",
        why: "Docker and Podman send no such header: accept only what common \
              clients send, because tiny_http 0.12.0 can hang on other values",
        file: "src/server.rs",
        place: "`read`",
        source: "raw wunix: dockerd sends none; tiny_http 0.12.0",
        run: connection,
    },
    Check {
        id: "1.hang-up",
        step: 1,
        name: "a client that hangs up mid-request does not affect others",
        why: "dockerd itself hangs up when it is killed during a call",
        file: "src/server.rs",
        place: "`read`",
        source: "vol-dockerd-restart 9",
        run: hang_up,
    },
    Check {
        id: "1.few-files",
        step: 1,
        name: "a plugin that runs out of files keeps answering, or ends with \
               an error",
        why: "tiny_http 0.12 stops accepting connections at the first error: a \
              supervisor restarts a plugin that ends, but not one that hangs",
        file: "src/server.rs",
        place: "`serve`",
        source: "tiny_http 0.12.0",
        run: few_files,
    },
    Check {
        id: "1.race",
        step: 1,
        name: "of plugins that start at the same time, exactly one takes the \
               stale socket",
        why: "between the test of a socket and its removal, another plugin may \
              bind it; that plugin then keeps running without receiving any \
              request",
        file: "src/socket.rs",
        place: "`bind`",
        source: "unix(7); flock(2)",
        run: race,
    },
];

fn handshake() -> Call {
    Call::bare("Plugin.Activate")
}

fn activate(harness: &mut Harness) -> Outcome {
    let expected = r#"200 and JSON whose "Implements" lists "VolumeDriver""#;
    let exchange = harness.start()?.call(&handshake());
    let value = exchange.success(expected)?;
    match lists(&value, "Implements", "VolumeDriver") {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn stale_socket(harness: &mut Harness) -> Outcome {
    let place = harness.start()?.kill();
    let program = harness.program().clone();
    let mut second = harness.spawn(&program, place)?;
    second.await_listening("PROGRAM SOCKET, kill -9, PROGRAM SOCKET again")?;
    second.still_answers("kill -9, and a new start on the same socket")
}

fn live_socket(harness: &mut Harness) -> Outcome {
    let first = harness.start()?;
    let sent = "PROGRAM SOCKET, and the same again while the first plugin \
                answers";
    let expected = "the second plugin ends with an error that says that the \
                    first one runs";
    let place = Place::new()?;
    let mut second = harness.spawn_beside(&first, &place)?;
    match second.ends_within(PATIENCE) {
        Some(status) if status.success() => {
            return Err(wrong(
                sent,
                expected,
                format!("the plugin ended ({status})"),
            ));
        }
        Some(_) => {}
        None => {
            return Err(wrong(
                sent,
                expected,
                "the second plugin keeps running",
            ));
        }
    }
    first.still_answers(sent)
}

/// The check depends on timing: if a plugin removes and binds without a lock,
/// eight plugins collide in 8 of 10 rounds.
fn race(harness: &mut Harness) -> Outcome {
    const ROUNDS: usize = 8;
    const PLUGINS: usize = 8;
    let sent = format!(
        "PROGRAM SOCKET, {PLUGINS} times at once, where kill -9 left SOCKET \
         behind"
    );
    let expected = "one plugin answers on SOCKET, and the others end with an \
                    error";
    let mut outcome = Ok(());
    for _ in 0..ROUNDS {
        let got = match one_race(harness, PLUGINS)? {
            None => continue,
            Some(got) => got,
        };
        outcome = Err(wrong(&sent, expected, got));
        break;
    }
    // Which plugin logs last, and its text, differ in each run.
    harness.forget_log();
    outcome
}

/// What went wrong in one round, if anything did.
fn one_race(
    harness: &Harness,
    plugins: usize,
) -> Result<Option<&'static str>, Fault> {
    let place = Place::new()?;
    let socket = place.socket();
    fs::create_dir(socket.parent().expect("a file is in a folder"))?;
    drop(UnixListener::bind(&socket)?);
    // Each waits for one byte, so that all start at the same time.
    let fifo = place.folder().join("gate");
    if !Command::new("mkfifo").arg(&fifo).status()?.success() {
        return Err(Fault::NotTried(
            "mkfifo could not create a FIFO".to_owned(),
        ));
    }
    let mut gate = File::options().read(true).write(true).open(&fifo)?;
    let wait = format!("read -r _ < '{}'", fifo.display());
    let program = harness.program().after(&wait);
    let places: Vec<_> = iter::repeat_with(Place::new)
        .take(plugins)
        .collect::<Result<_, _>>()?;
    let started = places.iter();
    let started =
        started.map(|place| Plugin::spawn_on(&program, place, &socket));
    let mut running = started.collect::<Result<Vec<_>, _>>()?;
    gate.write_all(&b"\n".repeat(plugins))?;

    let mut ended_well = false;
    let settled = wait_until(2 * PATIENCE, || {
        running.retain_mut(|plugin| match plugin.ended() {
            Some(status) => {
                ended_well |= status.success();
                false
            }
            None => true,
        });
        (running.len() <= 1).then_some(())
    });
    if settled.is_none() {
        return Ok(Some("two or more plugins keep running"));
    }
    let mut docker = Daemon::new(&socket, harness.dialect);
    // The remaining plugin may still be starting.
    let answers = || docker.call(&handshake()).ok().map(drop);
    let answered = wait_until(PATIENCE, answers).is_some();
    // Another check covers a plugin that does not replace the socket.
    let all_ended = running.iter_mut().all(|plugin| plugin.ended().is_some());
    Ok(match (answered, all_ended, ended_well) {
        (true, _, false) | (false, true, false) => None,
        (_, _, true) => Some("one of the plugins that ended has status 0"),
        (false, false, false) => {
            Some("one plugin keeps running, and SOCKET is not answered")
        }
    })
}

fn not_a_socket(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let socket = place.socket();
    let contents = harness.name();
    fs::create_dir(socket.parent().expect("a file is in a folder"))?;
    fs::write(&socket, &contents)?;
    let program = harness.program().clone();
    let session = harness.spawn(&program, place)?;
    let sent = "PROGRAM SOCKET, where SOCKET is a regular file";
    let expected = "the plugin ends with an error and leaves the file \
                    unchanged";
    let ended = session.ends();
    if fs::read_to_string(&socket).ok().as_ref() != Some(&contents) {
        let got = match fs::symlink_metadata(&socket) {
            Err(_) => "the file is gone",
            Ok(found) if found.is_file() => "the file has other contents",
            Ok(_) => "the file is gone, and something else is in its place",
        };
        return Err(wrong(sent, expected, got));
    }
    refuses_to_start(ended, sent, expected)
}

/// A plugin without a socket must end with an error.
fn refuses_to_start(
    ended: Option<ExitStatus>,
    sent: &str,
    expected: &str,
) -> Outcome {
    let got = match ended {
        Some(status) if !status.success() => return Ok(()),
        Some(status) => format!("the plugin ended ({status})"),
        None => "the plugin keeps running without a socket".to_owned(),
    };
    Err(wrong(sent, expected, got))
}

/// Whether the plugin listens. If it does, its start is complete.
fn is_up(session: &mut Session, sent: &str) -> bool {
    let listens = session.await_listening(sent).is_ok();
    if listens {
        session.call(&handshake());
    }
    listens
}

fn link(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let socket = place.socket();
    let target = place.folder().join("stale.sock");
    fs::create_dir(socket.parent().expect("a file is in a folder"))?;
    drop(UnixListener::bind(&target)?);
    symlink(&target, &socket)?;
    let program = harness.program().clone();
    let mut session = harness.spawn(&program, place)?;
    let sent = "PROGRAM SOCKET, where SOCKET is a link to a stale socket";
    let expected = "the plugin ends with an error and leaves the link \
                    unchanged";
    // A plugin may also replace the socket to which the link leads.
    let listens = is_up(&mut session, sent);
    if fs::read_link(&socket).ok() != Some(target) {
        return Err(wrong(sent, expected, "the link is gone"));
    }
    match listens {
        true => Ok(()),
        false => refuses_to_start(session.ends(), sent, expected),
    }
}

fn other_socket(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let socket = place.socket();
    fs::create_dir(socket.parent().expect("a file is in a folder"))?;
    let _owner = UnixDatagram::bind(&socket)?;
    let program = harness.program().clone();
    let mut session = harness.spawn(&program, place)?;
    let sent = "PROGRAM SOCKET, where another program receives datagrams on \
                SOCKET";
    let expected = "the plugin ends with an error and leaves the socket \
                    unchanged";
    let listens = is_up(&mut session, sent);
    let client = UnixDatagram::unbound()?;
    if client.send_to(b"one", &socket).is_err() {
        return Err(wrong(sent, expected, "no datagram arrives any more"));
    }
    match listens {
        true => Ok(()),
        false => refuses_to_start(session.ends(), sent, expected),
    }
}

fn private_socket(harness: &mut Harness) -> Outcome {
    let mut session = harness.start()?;
    // The plugin listens before it sets the mode. Once it answers anything, its
    // start is complete.
    session.call(&handshake());
    let mode = || {
        let mode = fs::metadata(session.socket()).ok()?.permissions().mode();
        Some(mode & 0o777)
    };
    // Another thread may set the mode a moment later, which is no mistake.
    let private = || mode().filter(|mode| mode & 0o077 == 0).map(|_| ());
    match wait_until(PATIENCE / 5, private) {
        Some(()) => Ok(()),
        None => Err(wrong(
            "PROGRAM SOCKET, and ls -l SOCKET",
            "mode 0600",
            format!("mode 0{:o}", mode().unwrap_or_default()),
        )),
    }
}

fn again(harness: &mut Harness) -> Outcome {
    let mut session = harness.start()?;
    session.call(&handshake()).success("an answer")?;
    session.call(&handshake()).success("the same answer as the first time")?;
    session.still_answers("two calls on one connection, which stays open")
}

fn unknown_call(harness: &mut Harness) -> Outcome {
    let mut session = harness.start()?;
    session
        .call(&Call::bare("Workshop.NoSuchCall"))
        .failure("any status but 200, and a text")?;
    session.still_answers("POST /Workshop.NoSuchCall")
}

/// The form of every text, whatever was sent.
pub(super) const TAME: &str =
    "a text of one line, 1000 bytes at most, without control characters";

/// Whether a text has the form that `TAME` describes.
pub(super) fn is_tame(text: &str) -> bool {
    let hidden = |c: char| c.is_control() || c == '\u{202e}';
    text.len() <= 1000 && !text.contains(hidden)
}

/// The last lines of the log must have that form as well.
pub(super) fn log_is_tame(harness: &mut Harness, sent: &str) -> Outcome {
    let lines = harness.log().last_lines(20);
    let Some(wild) = lines.iter().find(|line| !is_tame(line)) else {
        return Ok(());
    };
    harness.forget_log();
    let expected = format!("in the log, {TAME}");
    Err(wrong(sent, expected, format!("a line of the log: {wild}")))
}

fn short_text(harness: &mut Harness) -> Outcome {
    let session = harness.start()?;
    let action = "POST /VolumeDriver.…, a path of 5000 characters";
    let path = "long".repeat(1250);
    let path = format!("/VolumeDriver.{path}");
    let request = request("POST", &path, &["Content-Length: 0"], "");
    let (exchange, _client) = session.send(action, &request)?;
    if let Err(said) = exchange.answer(TAME)?.judge()
        && !is_tame(&said)
    {
        harness.forget_log();
        return Err(exchange.wrong(TAME));
    }
    log_is_tame(harness, action)
}

fn get(harness: &mut Harness) -> Outcome {
    let session = harness.start()?;
    let action = "GET /Plugin.Activate";
    let request = request("GET", "/Plugin.Activate", &[], "");
    let (exchange, client) = session.send(action, &request)?;
    exchange.answer("an answer, most likely 405")?;
    // A browser keeps the connection open, too.
    session.still_answers(action)?;
    drop(client);
    Ok(())
}

fn long_body(harness: &mut Harness) -> Outcome {
    const LENGTH: usize = 2 << 20;
    let session = harness.start()?;
    let action = "POST /VolumeDriver.Create with a body of 2 MiB";
    let body = format!("{{\"Name\":\"{}\"}}", "a".repeat(LENGTH - 11));
    let request = request("POST", "/VolumeDriver.Create", &[], &body);
    let (exchange, client) = session.send(action, &request)?;
    exchange.answer("an answer, most likely 413")?;
    drop(client);
    session.still_answers(action)
}

fn long_length(harness: &mut Harness) -> Outcome {
    const LENGTH: usize = (64 << 20) + 1;
    let session = harness.start()?;
    let action = format!(
        "POST /VolumeDriver.Create with Content-Length: {LENGTH}, of which \
         only {{}} is sent, and the connection stays open"
    );
    let length = format!("Content-Length: {LENGTH}");
    let path = "/VolumeDriver.Create";
    let mut request = request("POST", path, &[&length], "");
    request.extend(b"{}");
    let mut held = session.client(&action)?;
    let _ = held.write_all(&request);
    let exchange =
        session.exchange(action.clone(), read_head(&mut held, PATIENCE));
    let expected = "a refusal, most likely 413, without waiting for the rest";
    let outcome = match exchange.answer(expected) {
        Ok(reply) if reply.status == 200 => Err(exchange.wrong(expected)),
        Ok(_) => session.still_answers(&action),
        Err(fault) => Err(fault),
    };
    // Keep the connection open until here: hanging up would free a plugin that
    // waits for the rest.
    drop((session, held));
    outcome
}

fn connection(harness: &mut Harness) -> Outcome {
    // The spellings that common clients use.
    for known in ["Keep-Alive", "close"] {
        let session = harness.start()?;
        let (_, exchange, _) = handshake_with(&session, known)?;
        exchange.success("the same answer as without that header")?;
    }
    // HTTP defines no such value, so it has no meaning for any client or
    // server.
    let session = harness.start()?;
    let (action, exchange, held) = handshake_with(&session, "teapot")?;
    exchange.failure("a refusal, most likely 400")?;
    let outcome = session
        .still_answers(&format!("{action}, and the connection stays open"));
    drop(held);
    outcome
}

/// Sends a handshake with this `Connection` header. Returns a description of
/// the request, the exchange, and the open connection.
fn handshake_with(
    session: &Session,
    connection: &str,
) -> Result<(String, Exchange, UnixStream), Fault> {
    let action = format!("POST /Plugin.Activate, Connection: {connection}");
    let headers = [&format!("Connection: {connection}"), "Content-Length: 0"];
    let request = request("POST", "/Plugin.Activate", &headers, "");
    let (exchange, held) = session.send(&action, &request)?;
    Ok((action, exchange, held))
}

fn hang_up(harness: &mut Harness) -> Outcome {
    const HALVES: [(&str, &[u8]); 4] = [
        ("a connection without a byte", b""),
        ("half a header", b"POST /Plugin.Act"),
        (
            "half a short body",
            b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
              Content-Length: 30\r\n\r\n{\"Name\":",
        ),
        (
            "half a body of 4 KiB",
            b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
              Content-Length: 4096\r\n\r\n{\"Name\":",
        ),
    ];
    for (half, bytes) in HALVES {
        let session = harness.start()?;
        let action = format!("{half}, then the client hangs up");
        let _ = session.client(&action)?.write_all(bytes);
        // A second client waits until the plugin has handled it; otherwise the
        // next call could overtake both.
        if let Ok(mut client) = UnixStream::connect(session.socket()) {
            let _ = client.write_all(bytes);
            let _ = client.shutdown(Shutdown::Write);
            let _ = read_reply(&mut client, PATIENCE);
        }
        session.still_answers(&action)?;
    }
    Ok(())
}

fn few_files(harness: &mut Harness) -> Outcome {
    // With each of these limits, the plugin runs out of files in a different
    // place.
    [24, 25].into_iter().try_for_each(|files| flood(harness, files).map(drop))
}

/// Floods a plugin that may open few files. Returns its session, and whether it
/// has ended.
pub(super) fn flood(
    harness: &mut Harness,
    files: u32,
) -> Result<(Session, bool), Fault> {
    const CLIENTS: usize = 64;
    const EITHER: &str = "the plugin answers again, or ends with an error";
    let program = harness.program().limited_to(files);
    let mut session = harness.spawn(&program, Place::new()?)?;
    let sent = format!("PROGRAM SOCKET under `ulimit -n {files}`");
    // The call is not the handshake, because answering that twice is a check of
    // its own.
    let call = Call::bare("Workshop.NoSuchCall").request(harness.dialect);
    let exchange = |client: &mut UnixStream| {
        let _ = client.write_all(&call);
        let _ = read_reply(client, PATIENCE);
    };
    let mut first = session.first_client(&sent)?;
    // A plugin that answers has closed all files that only its start needs.
    exchange(&mut first);
    let mut held: Vec<UnixStream> = iter::once(first)
        .chain(
            (1..CLIENTS)
                .filter_map(|_| UnixStream::connect(session.socket()).ok()),
        )
        .collect();
    // Connections are accepted in order: when the last one is answered, is
    // closed, or times out, all that can be accepted have been.
    if let Some(last) = held.last_mut() {
        exchange(last);
    }
    // The text has no number: which of the two errors comes first depends on
    // how many files our caller has left open for every child.
    let flood = format!(
        "{CLIENTS} connections to a plugin that may open few files, all kept \
         open, then closed"
    );
    // A plugin that survived can answer only now; any other one must have
    // ended, or be about to end.
    drop(held);
    let ended = || session.ended().map(|status| !status.success());
    let alive = || session.still_answers(&flood).is_ok().then_some(true);
    let got = match wait_until(PATIENCE, || ended().or_else(alive)) {
        Some(true) => {
            let has_ended = session.ended().is_some();
            return Ok((session, has_ended));
        }
        Some(false) => "the plugin ended with status 0",
        None => "the plugin runs and does not answer",
    };
    // How many connections are answered before that depends on time.
    harness.forget_log();
    Err(wrong(flood, EITHER, got))
}
