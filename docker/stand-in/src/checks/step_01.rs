//! Step 1: the socket, the handshake, and clients that are not Docker.

use std::fs::{self, File};
use std::io::Write;
use std::iter;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use super::Check;
use crate::daemon::{Call, Daemon, read_head, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session, lists};
use crate::plugin::{Place, Plugin};
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "1.activate",
        step: 1,
        name: "the handshake says that this is a volume driver",
        why: "Docker asks this first; a wrong list is remembered until dockerd \
              restarts",
        file: "src/main.rs",
        place: "TODO 1.1",
        source: "activate-errors 1-16",
        run: activate,
    },
    Check {
        id: "1.stale-socket",
        step: 1,
        name: "a socket that kill -9 left behind is replaced",
        why: "a socket file outlives its process, and nobody can bind to it",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: stale_socket,
    },
    Check {
        id: "1.live-socket",
        step: 1,
        name: "a second plugin leaves the first one alone",
        why: "whoever removes a socket in use leaves the first plugin running \
              and deaf",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: live_socket,
    },
    Check {
        id: "1.not-a-socket",
        step: 1,
        name: "a file that is no socket stays where it is",
        why: "the path may be a typing error, and the file somebody's work",
        file: "src/socket.rs",
        place: "TODO 1.2",
        source: "unix(7)",
        run: not_a_socket,
    },
    Check {
        id: "1.private-socket",
        step: 1,
        name: "only the plugin's own user may connect",
        why: "dockerd is root and needs no permission; everybody else could \
              remove volumes",
        file: "src/socket.rs",
        place: "`bind`",
        source: "unix(7)",
        run: private_socket,
    },
    Check {
        id: "1.again",
        step: 1,
        name: "Docker may ask again, on the same connection and a new one",
        why: "dockerd keeps connections open, and a restarted one asks again",
        file: "src/server.rs",
        place: "`serve`",
        source: "concurrency 2; vol-dockerd-restart 6",
        run: again,
    },
    Check {
        id: "1.unknown-call",
        step: 1,
        name: "an unknown call is refused in words",
        why: "Docker shows the text to whoever typed the command; 200 would \
              say that it was done",
        file: "src/main.rs",
        place: "`answer`",
        source: "vol-errors-create 2-8",
        run: unknown_call,
    },
    Check {
        id: "1.short-text",
        step: 1,
        name: "the refusal of a long path is one short line, in the log, too",
        why: "whoever may connect could fill a terminal, and a disk of logs",
        file: "src/main.rs",
        place: "`answer`",
        source: "our rule: no text of a stranger's is repeated whole",
        run: short_text,
    },
    Check {
        id: "1.get",
        step: 1,
        name: "a GET is answered, and Docker still is",
        why: "people and monitors try curl, and must not end what serves \
              everybody's volumes",
        file: "src/server.rs",
        place: "`read`",
        source: "raw wunix: dockerd sends POST only",
        run: get,
    },
    Check {
        id: "1.long-body",
        step: 1,
        name: "a body of 2 MiB is answered, and Docker still is",
        why: "a plugin that ends or hangs takes every container's volume with \
              it",
        file: "src/server.rs",
        place: "`read`",
        source: "plugin-huge 2-4: Docker has no limit of its own",
        run: long_body,
    },
    Check {
        id: "1.long-length",
        step: 1,
        name: "a body of over 64 MiB is refused before it is read",
        why: "a plugin has to bound each length before it reads or drops a \
              request: tiny_http 0.12.0 bounds none, and its process can end",
        file: "src/server.rs",
        place: "`handle`",
        source: "our rule: Docker's longest bodies are a few hundred bytes",
        run: long_length,
    },
    Check {
        id: "1.connection",
        step: 1,
        name: "of `Connection`, keep-alive and close are let in, and nothing else",
        why: "Docker and Podman send no such header: let in only what usual \
              clients send, since tiny_http 0.12.0 can hang on others",
        file: "src/server.rs",
        place: "`read`",
        source: "raw wunix: dockerd sends none; tiny_http 0.12.0",
        run: connection,
    },
    Check {
        id: "1.hang-up",
        step: 1,
        name: "a client that hangs up half way disturbs nobody",
        why: "dockerd itself hangs up when it is killed in the middle of a call",
        file: "src/server.rs",
        place: "`read`",
        source: "vol-dockerd-restart 9",
        run: hang_up,
    },
    Check {
        id: "1.few-files",
        step: 1,
        name: "out of files, it keeps answering or ends, but never turns deaf",
        why: "tiny_http 0.12 stops accepting at the first error; a process that \
              ends is started again, a deaf one is not",
        file: "src/server.rs",
        place: "`serve`",
        source: "tiny_http 0.12.0",
        run: few_files,
    },
    Check {
        id: "1.race",
        step: 1,
        name: "of plugins that start at once, one gets the stale socket",
        why: "between the look at a socket and its removal, another plugin may \
              have bound it: that one runs on, deaf",
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
    let sent = "PROGRAM SOCKET, and once more while the first one answers";
    let expected = "the second one ends with an error that says who is there";
    let place = Place::new()?;
    let mut second = harness.spawn_beside(&first, &place)?;
    match second.ends_within(PATIENCE) {
        Some(status) if status.success() => {
            return Err(wrong(sent, expected, format!("it ended ({status})")));
        }
        Some(_) => {}
        None => return Err(wrong(sent, expected, "the second one runs on")),
    }
    first.still_answers(sent)
}

/// Whether two processes meet is a matter of chance: of a plugin that removes
/// and binds without a lock, eight at once meet in 8 of 10 rounds.
fn race(harness: &mut Harness) -> Outcome {
    const ROUNDS: usize = 8;
    const PLUGINS: usize = 8;
    let sent = format!(
        "PROGRAM SOCKET, {PLUGINS} times at once, where kill -9 has left SOCKET"
    );
    let expected = "one of them answers there, the others end with an error";
    let mut outcome = Ok(());
    for _ in 0..ROUNDS {
        let got = match one_race(harness, PLUGINS)? {
            None => continue,
            Some(got) => got,
        };
        outcome = Err(wrong(&sent, expected, got));
        break;
    }
    // Which of the logs is the last one, and what it says, differs.
    harness.forget_log();
    outcome
}

/// What goes wrong in one round.
fn one_race(
    harness: &Harness,
    plugins: usize,
) -> Result<Option<&'static str>, Fault> {
    let place = Place::new()?;
    let socket = place.socket();
    fs::create_dir(socket.parent().expect("a file is in a folder"))?;
    drop(UnixListener::bind(&socket)?);
    // They wait for one byte each, so that all start at the same time.
    let gate = place.folder().join("gate");
    if !Command::new("mkfifo").arg(&gate).status()?.success() {
        return Err(Fault::NotTried("mkfifo made no FIFO".to_owned()));
    }
    let mut go = File::options().read(true).write(true).open(&gate)?;
    let wait = format!("read -r _ < '{}'", gate.display());
    let program = harness.program().after(&wait);
    let places: Vec<_> = iter::repeat_with(Place::new)
        .take(plugins)
        .collect::<Result<_, _>>()?;
    let started = places.iter();
    let started = started.map(|it| Plugin::spawn_on(&program, it, &socket));
    let mut running = started.collect::<Result<Vec<_>, _>>()?;
    go.write_all(&b"\n".repeat(plugins))?;

    let mut ended_well = false;
    let settled = wait_until(2 * PATIENCE, || {
        running.retain_mut(|it| match it.ended() {
            Some(status) => {
                ended_well |= status.success();
                false
            }
            None => true,
        });
        (running.len() <= 1).then_some(())
    });
    if settled.is_none() {
        return Ok(Some("two or more run on"));
    }
    let mut docker = Daemon::new(&socket, harness.dialect);
    // The last one to run may not be through with its start.
    let answers = || docker.call(&handshake()).ok().map(drop);
    let answered = wait_until(PATIENCE, answers).is_some();
    // There is another check for a plugin that replaces no socket.
    let all_ended = running.iter_mut().all(|it| it.ended().is_some());
    Ok(match (answered, all_ended, ended_well) {
        (true, _, false) | (false, true, false) => None,
        (_, _, true) => Some("one that has ended has status 0"),
        (false, false, false) => Some("one runs on, and nobody answers there"),
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
    let sent = "PROGRAM SOCKET, where SOCKET is a plain file";
    let expected = "it ends with an error, and the file is as before";
    let ended = session.ends();
    if fs::read_to_string(&socket).ok().as_ref() != Some(&contents) {
        return Err(wrong(sent, expected, "the file is gone"));
    }
    match ended {
        Some(status) if !status.success() => Ok(()),
        Some(status) => {
            Err(wrong(sent, expected, format!("it ended ({status})")))
        }
        None => Err(wrong(sent, expected, "it runs on, without a socket")),
    }
}

fn private_socket(harness: &mut Harness) -> Outcome {
    let mut session = harness.start()?;
    // It listens before it has set the mode. Whatever it answers: once it does,
    // it is through with its start.
    session.call(&handshake());
    let mode = || {
        let mode = fs::metadata(session.socket()).ok()?.permissions().mode();
        Some(mode & 0o777)
    };
    // Unless another thread sets it: a moment of grace is no mistake.
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

/// What a text must be, whatever was sent.
pub(super) const TAME: &str =
    "a text of one line, 1000 bytes at most, without control characters";

/// Whether a text is what `TAME` says.
pub(super) fn is_tame(text: &str) -> bool {
    let hidden = |c: char| c.is_control() || c == '\u{202e}';
    text.len() <= 1000 && !text.contains(hidden)
}

/// The log's last lines are tame, too.
pub(super) fn log_is_tame(harness: &mut Harness, sent: &str) -> Outcome {
    if harness.log().last_lines(20).iter().all(|it| is_tame(it)) {
        return Ok(());
    }
    harness.forget_log();
    Err(wrong(sent, format!("in the log, {TAME}"), "another one"))
}

fn short_text(harness: &mut Harness) -> Outcome {
    let session = harness.start()?;
    let what = "POST /VolumeDriver.…, a path of 5000 characters";
    let path = "long".repeat(1250);
    let request = format!(
        "POST /VolumeDriver.{path} HTTP/1.1\r\nHost: a\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let (exchange, _client) = session.send(what, request.as_bytes())?;
    if let Err(said) = exchange.answer(TAME)?.judge()
        && !is_tame(&said)
    {
        harness.forget_log();
        return Err(exchange.wrong(TAME));
    }
    log_is_tame(harness, what)
}

fn get(harness: &mut Harness) -> Outcome {
    let session = harness.start()?;
    let what = "GET /Plugin.Activate";
    let request = b"GET /Plugin.Activate HTTP/1.1\r\nHost: a\r\n\r\n";
    let (exchange, client) = session.send(what, request)?;
    exchange.answer("an answer, most likely 405")?;
    // Held, as a browser would.
    session.still_answers(what)?;
    drop(client);
    Ok(())
}

fn long_body(harness: &mut Harness) -> Outcome {
    const LENGTH: usize = 2 << 20;
    let session = harness.start()?;
    let what = "POST /VolumeDriver.Create with a body of 2 MiB";
    let mut request = format!(
        "POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
         Content-Length: {LENGTH}\r\n\r\n{{\"Name\":\""
    )
    .into_bytes();
    request.resize(request.len() + LENGTH - 11, b'a');
    request.extend(b"\"}");
    let (exchange, client) = session.send(what, &request)?;
    exchange.answer("an answer, most likely 413")?;
    drop(client);
    session.still_answers(what)
}

fn long_length(harness: &mut Harness) -> Outcome {
    const LENGTH: usize = (64 << 20) + 1;
    let session = harness.start()?;
    let what = format!(
        "POST /VolumeDriver.Create with Content-Length: {LENGTH}, and {{}} of \
         it, held open"
    );
    let request = format!(
        "POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n\
         Content-Length: {LENGTH}\r\n\r\n{{}}"
    );
    let mut held = session.client(&what)?;
    let _ = held.write_all(request.as_bytes());
    let exchange =
        session.exchange(what.clone(), read_head(&mut held, PATIENCE));
    let expected = "a refusal, most likely 413, while the rest does not come";
    let outcome = match exchange.answer(expected) {
        Ok(reply) if reply.status == 200 => Err(exchange.wrong(expected)),
        Ok(_) => session.still_answers(&what),
        Err(fault) => Err(fault),
    };
    // Held up to here: hanging up would free a plugin that waits for the rest.
    drop((session, held));
    outcome
}

fn connection(harness: &mut Harness) -> Outcome {
    // As the clients of people and monitors write them.
    for known in ["Keep-Alive", "close"] {
        let session = harness.start()?;
        let (_, exchange, _) = handshake_with(&session, known)?;
        exchange.success("the same answer as without that header")?;
    }
    // No HTTP has such a connection, so it has no meaning to anybody.
    let session = harness.start()?;
    let (what, exchange, held) = handshake_with(&session, "teapot")?;
    exchange.failure("a refusal, most likely 400")?;
    let outcome = session.still_answers(&format!("{what}, held open"));
    drop(held);
    outcome
}

/// What was sent, what came of it, and the connection.
fn handshake_with(
    session: &Session,
    connection: &str,
) -> Result<(String, Exchange, UnixStream), Fault> {
    let what = format!("POST /Plugin.Activate, Connection: {connection}");
    let request = format!(
        "POST /Plugin.Activate HTTP/1.1\r\nHost: a\r\n\
         Connection: {connection}\r\nContent-Length: 0\r\n\r\n"
    );
    let (exchange, held) = session.send(&what, request.as_bytes())?;
    Ok((what, exchange, held))
}

fn hang_up(harness: &mut Harness) -> Outcome {
    const HALVES: [(&str, &[u8]); 4] = [
        ("a connection without a byte", b""),
        ("half a head", b"POST /Plugin.Act"),
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
        let what = format!("{half}, then the client is gone");
        let _ = session.client(&what)?.write_all(bytes);
        // A second one waits until it was dealt with, or the next call could
        // overtake both.
        if let Ok(mut client) = UnixStream::connect(session.socket()) {
            let _ = client.write_all(bytes);
            let _ = client.shutdown(Shutdown::Write);
            let _ = read_reply(&mut client, PATIENCE);
        }
        session.still_answers(&what)?;
    }
    Ok(())
}

fn few_files(harness: &mut Harness) -> Outcome {
    // With either number, it runs out of files at another place.
    [24, 25].into_iter().try_for_each(|files| flood(harness, files))
}

fn flood(harness: &mut Harness, files: u32) -> Outcome {
    const CLIENTS: usize = 64;
    const EITHER: &str = "it answers again, or it has ended with an error";
    let program = harness.program().limited_to(files);
    let mut session = harness.spawn(&program, Place::new()?)?;
    let sent = format!("PROGRAM SOCKET with {files} files");
    let first = session.first_client(&sent)?;
    let mut held: Vec<UnixStream> = iter::once(first)
        .chain(
            (1..CLIENTS)
                .filter_map(|_| UnixStream::connect(session.socket()).ok()),
        )
        .collect();
    // They are taken in order: once the last is answered, hung up on, or waits
    // in vain, all that can be taken are. Not by the handshake: whether that
    // may come twice is a check of its own.
    if let Some(last) = held.last_mut() {
        let call = Call::bare("Workshop.NoSuchCall");
        let _ = last.write_all(&call.request(harness.dialect));
        let _ = read_reply(last, PATIENCE);
    }
    // Not how few: which of the two errors comes first depends on the files
    // that our caller has left open for every child.
    let flood = format!(
        "{CLIENTS} connections to a plugin with few files, all held, then \
         closed"
    );
    // Only now can a plugin that survived the flood answer, and one that did
    // not must be gone or on its way.
    drop(held);
    let ended = || session.ended().map(|status| !status.success());
    let alive = || session.still_answers(&flood).is_ok().then_some(true);
    match wait_until(PATIENCE, || ended().or_else(alive)) {
        Some(true) => Ok(()),
        Some(false) => Err(wrong(flood, EITHER, "it ended with status 0")),
        None => Err(wrong(flood, EITHER, "it runs, and answers nobody")),
    }
}
