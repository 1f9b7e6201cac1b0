//! Step 9: the server itself, and a second door, over TCP.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::Check;
use super::step_02::activated;
use super::step_03::{create, found};
use super::step_07::{LONG, ends_cleanly, with_volume};
use crate::daemon::{Call, NoReply, field, is_timeout, read_reply, request};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session};
use crate::plugin::Place;
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "9.pieces",
        step: 9,
        name: "a request that arrives byte by byte is answered",
        why: "one read returns what has arrived so far, which may be a part of \
              a head",
        file: "src/client.rs",
        place: "TODO 9.1",
        source: "read(2); RFC 9112, 2.2",
        run: pieces,
    },
    Check {
        id: "9.endless-head",
        step: 9,
        name: "a head without an end is refused",
        why: "a plugin that keeps all that a client sends grows until the \
              kernel kills a process",
        file: "src/client.rs",
        place: "TODO 9.1",
        source: "RFC 9112, 3; RFC 6585, 5",
        run: endless_head,
    },
    Check {
        id: "9.chunked",
        step: 9,
        name: "a body in chunks is decoded",
        why: "a proxy in front of the plugin may send any body in chunks",
        file: "src/http.rs",
        place: "TODO 9.2",
        source: "RFC 9112, 7.1",
        run: chunked,
    },
    Check {
        id: "9.two-ends",
        step: 9,
        name: "a head that says twice where the body ends is refused",
        why: "a proxy may believe the other of both: then a part of one \
              user's body is a request of its own",
        file: "src/http.rs",
        place: "TODO 9.2",
        source: "RFC 9112, 6.3 and 11.2",
        run: two_ends,
    },
    Check {
        id: "9.close",
        step: 9,
        name: "the connection stays open, unless the client says otherwise",
        why: "a client of HTTP/1.0, or one that asks for the end, may read \
              until the end of the connection",
        file: "src/http.rs",
        place: "`keeps_open`",
        source: "RFC 9112, 9.3",
        run: close,
    },
    Check {
        id: "9.expect",
        step: 9,
        name: "a client that waits for `100 Continue` receives it",
        why: "such a client, curl for example, sends no body before that, or \
              waits a second for it",
        file: "src/body.rs",
        place: "`read`",
        source: "RFC 9110, 10.1.1",
        run: expect,
    },
    Check {
        id: "9.slow-client",
        step: 9,
        name: "a request that never gets ready loses its connection, and a \
               silent client between two calls does not",
        why: "Docker keeps its connections for later calls, but half a request \
              could hold a thread for ever",
        file: "src/client.rs",
        place: "TODO 9.3",
        source: "our rule; concurrency 2: Docker's idle connections",
        run: slow_client,
    },
    Check {
        id: "9.few-files",
        step: 9,
        name: "more silent clients than the plugin may open files hold up no \
               call",
        why: "the plugin can close the connection of the client that has been \
              silent the longest, and answer the new one",
        file: "src/server.rs",
        place: "`open`",
        source: "accept(2), EMFILE; our rule",
        run: few_files,
    },
    Check {
        id: "9.crowd",
        step: 9,
        name: "of 600 silent clients, some are sent away",
        why: "each connection costs a thread and a file, so there must be a \
              bound on them",
        file: "src/connections.rs",
        place: "`admit`",
        source: "our rule",
        run: crowd,
    },
    Check {
        id: "9.no-reader",
        step: 9,
        name: "a client that takes no answer does not hold up a stop",
        why: "Docker kills a plugin that does not end in 10 seconds",
        file: "src/connections.rs",
        place: "`at_work`",
        source: "managed-volume 14; our rule",
        run: no_reader,
    },
    Check {
        id: "9.loopback",
        step: 9,
        name: "--tcp refuses an address that other machines can reach, unless \
               --anyone is given",
        why: "the port has no password: any client that reaches it can remove \
              all volumes",
        file: "src/door.rs",
        place: "`bind_tcp`",
        source: "our rule",
        run: loopback,
    },
    Check {
        id: "9.spec",
        step: 9,
        name: "--spec writes a file that tells Docker where the plugin listens",
        why: "without a scheme, or with another key, Docker does not find the \
              plugin, and reports that after 15 s",
        file: "src/spec.rs",
        place: "`publish`",
        source: "discovery 3-6; raw wtcp, whttp, wjson",
        run: spec,
    },
    Check {
        id: "9.spec-gone",
        step: 9,
        name: "the plugin removes the file of --spec when it ends",
        why: "Docker waits 15 s for each file that leads to no plugin",
        file: "src/spec.rs",
        place: "`drop`",
        source: "plugin-missing 7, 8",
        run: spec_gone,
    },
    Check {
        id: "9.folder-beside-spec",
        step: 9,
        name: "files and folders beside the file of --spec stay unchanged",
        why: "a folder with the name of a temporary file may be somebody's \
              work",
        file: "src/spec.rs",
        place: "`publish`",
        source: "our rule: a plugin removes only what it has created",
        run: folder_beside_spec,
    },
    Check {
        id: "9.foreign-spec",
        step: 9,
        name: "--spec does not replace a file that names another plugin",
        why: "the path may be a typing error, and Docker would take this \
              plugin for the other one",
        file: "src/spec.rs",
        place: "`publish`",
        source: "our rule",
        run: foreign_spec,
    },
    Check {
        id: "9.long-replies",
        step: 9,
        name: "500 long replies over TCP take less than 10 seconds",
        why: "if a reply goes out in two writes, the second one waits 40 ms \
              for the client's kernel, in every reply",
        file: "src/door.rs",
        place: "`accept`",
        source: "tcp(7), TCP_NODELAY; nagle",
        run: long_replies,
    },
    Check {
        id: "9.pages",
        step: 9,
        name: "over TCP, no page in a browser can send a call",
        why: "any page may send a POST to 127.0.0.1, and the user is not \
              asked: one POST removes a volume",
        file: "src/strangers.rs",
        place: "TODO 9.4",
        source: "Fetch standard, 3.2; Fetch Metadata, 2; raw wtcp",
        run: pages,
    },
    Check {
        id: "9.host",
        step: 9,
        name: "over TCP, the only valid Host is the address of the port",
        why: "a page may have its own name lead to 127.0.0.1, and then the \
              browser takes the plugin for a part of that page's site",
        file: "src/strangers.rs",
        place: "TODO 9.4",
        source: "RFC 9110, 7.2; raw wtcp, whttp: Host of Docker",
        run: host,
    },
];

fn pieces(harness: &mut Harness) -> Outcome {
    let (session, name) = with_volume(harness)?;
    let call = Call::get(&name);
    let sent = format!("{call}, byte by byte");
    let mut client = session.client(&sent)?;
    for byte in call.request(harness.dialect) {
        // The plugin may refuse the request before its end.
        let _ = client.write_all(&[byte]);
        thread::sleep(Duration::from_millis(1));
    }
    let reply = read_reply(&mut client, PATIENCE);
    session.exchange(sent, reply).success("the volume").map(drop)
}

fn endless_head(harness: &mut Harness) -> Outcome {
    const PIECES: usize = 256;
    let session = activated(harness)?;
    let sent = "a head of 1 MiB, without an end";
    let mut client = session.client(sent)?;
    client.set_write_timeout(Some(PATIENCE))?;
    client.set_read_timeout(Some(PATIENCE))?;
    let begun = client.write_all(b"POST /Plugin.Activate HTTP/1.1\r\nA: ");
    let piece = [b'a'; 4096];
    let written = (0..PIECES)
        .try_fold((), |(), _| client.write_all(&piece))
        .and(begun)
        .and_then(|()| client.read(&mut [0]).map(drop));
    // Any other error is the end of the connection.
    if written.is_err_and(|err| is_timeout(&err)) {
        // The time at which the plugin hears of the end is part of the log.
        harness.forget_log();
        return Err(wrong(
            sent,
            "a refusal, most likely 431, or the end of the connection",
            "the plugin waits for more",
        ));
    }
    session.still_answers(sent)
}

fn chunked(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let call = Call::create(&name, Value::Null);
    let (first, rest) = call.body.split_at(5);
    let body = format!(
        "{:x}\r\n{first}\r\n{:X};a=b\r\n{rest}\r\n0\r\n\r\n",
        first.len(),
        rest.len()
    );
    let sent = format!("{call}, the body in two chunks");
    let path = format!("/{}", call.method);
    let mut bytes = request("POST", &path, &["Transfer-Encoding: chunked"], "");
    bytes.extend(body.bytes());
    let (exchange, client) = session.send(&sent, &bytes)?;
    if let Err(fault) = exchange.success("200, and no Err") {
        // The plugin may take the chunks for the next request, a moment later.
        harness.forget_log();
        return Err(fault);
    }
    session.say_before(&sent);
    found(&mut session, &name)?;
    // What follows the last chunk is the next request.
    let mut client = client;
    let call = Call::get(&name);
    let _ = client.write_all(&call.request(harness.dialect));
    let reply = read_reply(&mut client, PATIENCE);
    let sent = format!("{sent}; on the same connection {call}");
    session.exchange(sent, reply).success("the volume").map(drop)
}

fn two_ends(harness: &mut Harness) -> Outcome {
    const BODY: &str = "0\r\n\r\n";
    const HEADS: [&[&str]; 4] = [
        &["Content-Length: 5", "Transfer-Encoding: chunked"],
        &["Content-Length: 5", "Content-Length: 0"],
        &["Content-Length: +5"],
        &["Content-Length: 5, 5"],
    ];
    let session = activated(harness)?;
    for head in HEADS {
        let mut lines = head.to_vec();
        lines.push("Accept: */*");
        let mut bytes = request("POST", "/Plugin.Activate", &lines, "");
        bytes.extend(BODY.bytes());
        let sent = format!("POST /Plugin.Activate, {}", head.join(" and "));
        let (exchange, client) = session.send(&sent, &bytes)?;
        exchange.failure("a refusal, most likely 400")?;
        is_closed(&session, client, &sent)?;
    }
    session.still_answers("heads that say twice where the body ends")
}

/// The plugin must close this connection, because the start of the next request
/// is not known.
fn is_closed(session: &Session, client: UnixStream, sent: &str) -> Outcome {
    let mut client = client;
    client.set_read_timeout(Some(PATIENCE))?;
    match client.read(&mut [0]) {
        Err(err) if is_timeout(&err) => {
            let got = match session.ended() {
                Some(status) => format!("the plugin ended ({status})"),
                None => "the connection stays open".to_owned(),
            };
            Err(wrong(sent, "an answer, then the end of the connection", got))
        }
        Ok(1) => Err(wrong(
            sent,
            "one answer, then the end of the connection",
            "more than one answer",
        )),
        _ => Ok(()),
    }
}

fn close(harness: &mut Harness) -> Outcome {
    let session = activated(harness)?;
    let head = "POST /Plugin.Activate HTTP/1";
    let rest = "\r\nHost: a\r\nContent-Length: 0\r\n";
    for (version, header, stays) in [
        (".1", "", true),
        (".1", "Connection: close", false),
        (".0", "", false),
        (".0", "Connection: keep-alive", true),
    ] {
        let line = match header {
            "" => String::new(),
            header => format!("{header}\r\n"),
        };
        let bytes = format!("{head}{version}{rest}{line}\r\n");
        let with = if header.is_empty() { "no Connection" } else { header };
        let sent = format!("{head}{version}, {with}");
        let (exchange, mut client) = session.send(&sent, bytes.as_bytes())?;
        exchange.success("the answer of step 1")?;
        if !stays {
            is_closed(&session, client, &sent)?;
            continue;
        }
        let _ = client.write_all(bytes.as_bytes());
        let reply = read_reply(&mut client, PATIENCE);
        let sent = format!("{sent}, twice on one connection");
        session.exchange(sent, reply).success("the answer of step 1")?;
    }
    Ok(())
}

fn expect(harness: &mut Harness) -> Outcome {
    let session = activated(harness)?;
    let call = Call::create(&harness.name(), Value::Null);
    let length = format!("Content-Length: {}", call.body.len());
    let path = format!("/{}", call.method);
    let head = request("POST", &path, &["Expect: 100-continue", &length], "");
    let sent = format!("the head of {call} with Expect: 100-continue");
    let mut client = session.client(&sent)?;
    client.write_all(&head)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n")
        && client.read(&mut byte).is_ok_and(|n| n == 1)
    {
        bytes.push(byte[0]);
    }
    if !bytes.starts_with(b"HTTP/1.1 100 ") {
        // The plugin hears a moment later that the client is gone.
        harness.forget_log();
        let got = match &bytes[..] {
            [] => "no answer".to_owned(),
            bytes => String::from_utf8_lossy(bytes).trim().to_owned(),
        };
        return Err(wrong(sent, "HTTP/1.1 100 Continue", got));
    }
    client.write_all(call.body.as_bytes())?;
    let reply = read_reply(&mut client, PATIENCE);
    let sent = format!("{sent}, then the body");
    session.exchange(sent, reply).success("200, and no Err").map(drop)
}

fn slow_client(harness: &mut Harness) -> Outcome {
    let program = harness.program().with_options(["--patience", "1"]);
    let mut session = harness.spawn(&program, Place::new()?)?;
    let words = "PROGRAM SOCKET ROOT --patience 1";
    let mut idle = session.first_client(words)?;
    let call = Call::bare("Plugin.Activate");
    let ask = |client: &mut UnixStream| {
        let _ = client.write_all(&call.request(harness.dialect));
        read_reply(client, PATIENCE)
    };
    let sent = format!("{words}; {call}");
    let reply = ask(&mut idle);
    session.exchange(sent.clone(), reply).success("the answer of step 1")?;

    let head = "POST /VolumeDriver.Create HTTP/1.1\r\nHost: a\r\n";
    let body = format!("{head}Content-Length: 4096\r\n\r\n");
    for (what, begin) in [("head", head), ("body", &body)] {
        let sent = format!(
            "{words}; a client that sends a byte of its {what} every 50 ms, \
             without an end"
        );
        let mut client = session.client(&sent)?;
        let _ = client.write_all(begin.as_bytes());
        client.set_read_timeout(Some(Duration::from_millis(50)))?;
        // Any answer, or the end of the connection.
        let refused = wait_until(LONG, || {
            let wrote = client.write_all(b"a").is_ok();
            let silent =
                client.read(&mut [0]).is_err_and(|err| is_timeout(&err));
            (!(wrote && silent)).then_some(())
        });
        if refused.is_none() {
            let seconds = LONG.as_secs();
            // How the plugin sees our end depends on time.
            harness.forget_log();
            return Err(wrong(
                sent,
                "a refusal, most likely 408, or the end of the connection",
                format!("the plugin has waited for {seconds} s"),
            ));
        }
    }
    // By now, the first client has been silent for longer than the others were
    // given, but it owes nothing.
    let sent = format!("{sent}, silence for over a second, and {call}");
    let reply = ask(&mut idle);
    session.exchange(sent, reply).success("the answer of step 1").map(drop)
}

/// Checks with many clients take turns, because all their ends are files of this
/// process, which may have few.
static TURN: Mutex<()> = Mutex::new(());

/// Connects `count` clients that send nothing.
fn silent_clients(session: &Session, count: usize) -> Vec<UnixStream> {
    let connect = || UnixStream::connect(session.socket()).ok();
    iter::repeat_with(connect).take(count).flatten().collect()
}

fn few_files(harness: &mut Harness) -> Outcome {
    const CLIENTS: usize = 200;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let program = harness.program().limited_to(64);
    let mut session = harness.spawn(&program, Place::new()?)?;
    let sent = format!("{CLIENTS} silent clients, under `ulimit -n 64`");
    session.await_listening(&sent)?;
    let held = silent_clients(&session, CLIENTS);
    let outcome = session.still_answers(&sent);
    drop(held);
    if outcome.is_err() {
        // The number of warnings depends on time.
        harness.forget_log();
    }
    outcome
}

fn crowd(harness: &mut Harness) -> Outcome {
    const CLIENTS: usize = 600;
    const MOST: usize = 500;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let session = activated(harness)?;
    let Some(before) = session.open_files() else {
        let why = "only Linux tells how many files a process has open";
        return Err(Fault::NotTried(why.to_owned()));
    };
    let sent = format!("{CLIENTS} silent clients");
    let held = silent_clients(&session, CLIENTS);
    session.still_answers(&sent)?;
    let bounded = || {
        let now = session.open_files()?;
        (now < before + MOST).then_some(())
    };
    let outcome = match wait_until(PATIENCE, bounded) {
        Some(()) => Ok(()),
        None => Err(wrong(
            sent,
            format!("the plugin keeps fewer than {MOST} connections"),
            "the plugin keeps more",
        )),
    };
    drop(held);
    outcome
}

fn no_reader(harness: &mut Harness) -> Outcome {
    const CALLS: usize = 5000;
    let (session, _) = with_volume(harness)?;
    let call = Call::list();
    let sent = format!(
        "{call}, {CALLS} times on one connection, whose answers the client does \
         not read, then SIGTERM"
    );
    let mut client = session.client(&sent)?;
    client.set_write_timeout(Some(Duration::from_millis(500)))?;
    // At some time, neither side can write.
    let bytes = call.request(harness.dialect).repeat(CALLS);
    let _ = client.write_all(&bytes);
    harness.forget_log();
    session.signal(Signal::TERM);
    ends_cleanly(&session, &sent, &[&session.socket()])
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

    /// The address of the port that the file names, in whatever format.
    fn port_address(&self) -> String {
        let port = self.text.rsplit(':').next().unwrap_or_default();
        let end = port.find(|c: char| !c.is_ascii_digit());
        format!("127.0.0.1:{}", &port[..end.unwrap_or(port.len())])
    }

    /// A connection to the port that the file names, in whatever format.
    fn port_client(&self) -> Result<TcpStream, Fault> {
        TcpStream::connect(self.port_address()).or_else(|_| self.client())
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
        let address = tcp.address().unwrap_or_default();
        let request = call.request_over_tcp(harness.dialect, &address);
        client.write_all(&request)?;
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
    // A plugin that has replaced the file removes it when it ends.
    let before_the_end = fs::read_to_string(&file);
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
            let got = match before_the_end {
                Ok(now) if now != text => format!("FILE holds {}", now.trim()),
                _ => "FILE is gone when the plugin ends".to_owned(),
            };
            Err(wrong(sent, "FILE is unchanged", got))
        }
    }
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
    let request = call.request_over_tcp(harness.dialect, &tcp.port_address());
    let sent = format!("{call}, {REPLIES} times on one TCP connection");
    let deadline = Instant::now() + LONG;
    for _ in 0..REPLIES {
        client.write_all(&request)?;
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

/// Sends a call over TCP, with these headers besides its length.
fn over_tcp(
    tcp: &Tcp,
    call: &Call,
    headers: &[&str],
) -> Result<Exchange, Fault> {
    let mut client = tcp.port_client()?;
    let length = format!("Content-Length: {}", call.body.len());
    let lines: Vec<_> = headers.iter().copied().chain([&*length]).collect();
    let head = format!("POST /{} HTTP/1.1\r\n", call.method);
    let bytes = format!("{head}{}\r\n\r\n{}", lines.join("\r\n"), call.body);
    let _ = client.write_all(bytes.as_bytes());
    let reply = read_reply(&mut client, PATIENCE);
    let with = match headers {
        [] => "no Host".to_owned(),
        headers => headers.join(", "),
    };
    let sent = format!("over TCP, {call}, {with}");
    Ok(tcp.session.exchange(sent, reply))
}

fn pages(harness: &mut Harness) -> Outcome {
    // What Chromium, Firefox and Safari send with a POST of a page: at least
    // one of these headers.
    const PAGES: [&[&str]; 4] = [
        &["Content-Type: text/plain", "Origin: null"],
        &["Content-Type: text/plain", "origin: http://page.example"],
        &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
        &["sec-fetch-dest: empty"],
    ];
    let mut tcp = Tcp::start(harness, "tcp.spec")?;
    let address = tcp.port_address();
    let name = harness.name();
    create(&mut tcp.session, &name)?;
    let host = format!("Host: {address}");
    for headers in PAGES {
        let call = Call::remove(&name);
        let headers = [&[&*host], headers].concat();
        let exchange = over_tcp(&tcp, &call, &headers)?;
        let expected = "403, because a page sent this";
        if exchange.answer(expected)?.status != 403 {
            return Err(exchange.wrong(expected));
        }
    }
    over_tcp(&tcp, &Call::get(&name), &[&host])?
        .success("without such a header, the volume, which is still there")
        .map(drop)
}

fn host(harness: &mut Harness) -> Outcome {
    let mut tcp = Tcp::start(harness, "tcp.spec")?;
    let address = tcp.port_address();
    let name = harness.name();
    create(&mut tcp.session, &name)?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let call = Call::remove(&name);
    let others = ["page.example", "localhost", "127.0.0.1"].map(|host| {
        let port = if host == "127.0.0.1" { "1" } else { port };
        format!("Host: {host}:{port}")
    });
    for headers in [&[], &[&*others[0]][..], &[&others[1]], &[&others[2]]] {
        over_tcp(&tcp, &call, headers)?
            .failure("a refusal, most likely 403")?;
    }
    over_tcp(&tcp, &call, &[&format!("Host: {address}")])?
        .success("a success: the volume is still there, and is removed")
        .map(drop)
}
