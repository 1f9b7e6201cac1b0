//! Feeds the server of step 9, and the client that reads replies for the checks, with
//! requests and replies that are wrong in all ways, and compares both with hyper.
//!
//! A server that takes a part of one request for another request lets a client speak
//! in the name of others. So step 9 may refuse what hyper accepts, but it must not
//! serve any request that hyper does not see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, missing_docs, reason = "the modules belong to a program")]

#[path = "../../../solutions/09-http/src/body.rs"]
mod body;
#[path = "../../../solutions/09-http/src/client.rs"]
mod client;
#[path = "../../../solutions/09-http/src/clock.rs"]
mod clock;
#[path = "../../../solutions/09-http/src/headers.rs"]
mod headers;
#[path = "../../../solutions/09-http/src/http.rs"]
mod http;
#[path = "../../../solutions/09-http/src/refusal.rs"]
mod refusal;
#[path = "../../../solutions/09-http/src/reply.rs"]
mod reply;
#[path = "../../../solutions/09-http/src/strangers.rs"]
mod strangers;
#[path = "../../../solutions/09-http/src/stream.rs"]
mod stream;
#[path = "../../../solutions/09-http/src/text.rs"]
mod text;

use std::convert::Infallible;
use std::io::{Cursor, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use stand_in::daemon::{Connection, NoReply, read_reply};
use tokio::runtime::{Builder, Runtime};

use client::Client;
use stream::Stream;

const LONG: Duration = Duration::from_secs(60);

/// A request as a server has seen it.
#[derive(Debug, PartialEq)]
struct Seen {
    method: String,
    path: String,
    body: Vec<u8>,
}

/// The requests that step 9 sees in `bytes`, and the status of its refusal.
fn seen_by_step_9(bytes: &[u8]) -> (Vec<Seen>, Option<u16>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // All of it fits in the socket's buffer.
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let stream = Stream::Unix(ours);
    let mut client = Client::new(&stream, LONG).unwrap();
    let mut seen = Vec::new();
    loop {
        let request = client.read_head().and_then(|head| {
            let Some(head) = head else { return Ok(None) };
            let body = body::read(&mut client, &head)?;
            Ok(Some((head, body)))
        });
        match request {
            Ok(Some((head, body))) => {
                let (method, path) = (head.method, head.path);
                seen.push(Seen { method, path, body });
                if !head.keeps_open {
                    return (seen, None);
                }
            }
            Ok(None) => return (seen, None),
            Err(refusal::Trouble::Refused(status, _)) => {
                return (seen, Some(status));
            }
            Err(refusal::Trouble::Gone(err)) => panic!("{err}"),
        }
    }
}

/// The requests that hyper sees in `bytes`.
fn seen_by_hyper(runtime: &Runtime, bytes: &[u8]) -> Vec<Seen> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    ours.set_nonblocking(true).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let method = request.method().to_string();
            let path = request.uri().to_string();
            if let Ok(body) = request.into_body().collect().await {
                let body = body.to_bytes().to_vec();
                seen.lock().unwrap().push(Seen { method, path, body });
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        // An error means that hyper has refused the next request.
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().enable_time().build().unwrap()
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// A request, most likely with a mistake.
fn request(rng: &mut Rng) -> Vec<u8> {
    const METHODS: &[&str] =
        &["POST", "POST", "POST", "GET", "HEAD", "post", "P(T"];
    const VERSIONS: &[&str] = &[
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2",
    ];
    const ENDS: &[&str] =
        &["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "];
    const HEADERS: &[&str] = &[
        "Host: a",
        "Host:",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: Keep-Alive, close",
        "Connection: Transfer-Encoding",
        "Transfer-Encoding: chunked",
        "transfer-encoding: Chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer_Encoding: chunked",
        "Content-Length: 0",
        "Content-Length: 5",
        "content-length:5",
        "Content-Length: 05",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 5,5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 18446744073709551621",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content\u{a0}Length: 5",
        "Expect: 100-continue",
        "Expect: 200-ok",
        "X: a\u{b}b",
        "X",
        ": x",
    ];
    const BODIES: &[&str] = &[
        "",
        "hello",
        "hello",
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "05\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;\nPOST / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "ffffffffffffffff\r\nhello",
        "0\r\nContent-Length: 5\r\n\r\nhello",
        "0\r\n",
    ];
    let end = |rng: &mut Rng| match rng.u8(..) {
        0..4 => pick(rng, ENDS),
        _ => "\r\n",
    };
    let path = pick(rng, &["/a", "/b", "/", "*", "http://a/b", "a", "/\u{e9}"]);
    let (method, version) = (pick(rng, METHODS), pick(rng, VERSIONS));
    let mut text = format!("{method} {path} {version}{}", end(rng));
    for _ in 0..rng.u8(..4) {
        text += pick(rng, HEADERS);
        text += end(rng);
    }
    text += end(rng);
    text += pick(rng, BODIES);
    // One of two has nothing wrong so far.
    if rng.bool() {
        text = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
        text += pick(
            rng,
            &[
                "\r\n",
                "Content-Length: 5\r\n\r\nhello",
                "Transfer-Encoding: chunked\r\n\r\n\
                 2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n",
            ],
        );
    }
    let mut bytes = text.into_bytes();
    // In one of eight, a byte is another one, is missing, or comes twice.
    if rng.u8(..8) == 0 {
        let at = rng.usize(..bytes.len());
        match rng.u8(..3) {
            0 => bytes[at] = rng.u8(..),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
    }
    bytes
}

/// How many inputs are tried.
fn tries() -> u32 {
    match checker::setting("PROOFS").as_deref() {
        Some("full") => 3_000_000,
        _ => 30_000,
    }
}

fn seed() -> u64 {
    checker::setting("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(9)
}

#[test]
fn step_9_serves_no_request_that_hyper_does_not_see() {
    let (runtime, mut rng) = (runtime(), Rng::with_seed(seed()));
    let (mut served, mut refused, mut stricter) = (0, 0, 0);
    for number in 0..tries() {
        let count = rng.usize(1..4);
        let bytes: Vec<u8> =
            (0..count).flat_map(|_| request(&mut rng)).collect();
        let (mut ours, refusal) = seen_by_step_9(&bytes);
        // hyper refuses a target that is no address, and step 9 answers 404.
        let mut end = ours.len();
        for (number, seen) in ours.iter_mut().enumerate() {
            match seen.path.parse::<Uri>() {
                Ok(address) => seen.path = address.to_string(),
                Err(_) => end = end.min(number),
            }
        }
        ours.truncate(end);
        let theirs = seen_by_hyper(&runtime, &bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            theirs.starts_with(&ours),
            "input {number} of SEED={}:\n{text:?}\nstep 9: {ours:?}, then \
             {refusal:?}\nhyper: {theirs:?}",
            seed()
        );
        served += ours.len();
        refused += usize::from(refusal.is_some());
        stricter += theirs.len() - ours.len();
    }
    println!(
        "{} inputs: {served} requests served by both, {refused} connections \
         refused, {stricter} requests served by hyper alone",
        tries()
    );
    assert!(served > 1000 && refused > 1000, "{served} {refused}");
}

/// Bytes that a plugin sends, as a connection.
struct Sent(Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Connection for Sent {
    fn read_within(&self, _: Duration) -> std::io::Result<()> {
        Ok(())
    }
}

/// What hyper's client takes for the reply: its status and its body.
fn reply_by_hyper(runtime: &Runtime, bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    ours.set_nonblocking(true).unwrap();
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .ok()?;
        let request = Request::post("/a")
            .header("Host", "a")
            .body(Full::new(Bytes::new()))
            .unwrap();
        tokio::spawn(connection);
        let reply = sender.send_request(request).await.ok()?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.ok()?;
        Some((status, body.to_bytes().to_vec()))
    })
}

fn reply_text(rng: &mut Rng) -> Vec<u8> {
    const LINES: &[&str] = &[
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 500 Internal Server Error",
        "HTTP/1.1 200",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 99 x",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
        "HELLO",
    ];
    const HEADERS: &[&str] = &[
        "Content-Length: 2",
        "Content-Length: 9",
        "Content-Length: +2",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Connection: keep-alive",
        "Date: now",
        "X",
    ];
    const BODIES: &[&str] = &[
        "{}",
        "",
        "2\r\n{}\r\n0\r\n\r\n",
        "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        "2;a\r\n{}\r\n0\r\nX: y\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}",
        "ffffffffffffffff\r\n{}",
        "x\r\n",
    ];
    let mut text = format!("{}\r\n", pick(rng, LINES));
    for _ in 0..rng.u8(..3) {
        text += pick(rng, HEADERS);
        text += "\r\n";
    }
    text += "\r\n";
    text += pick(rng, BODIES);
    let mut bytes = text.into_bytes();
    if rng.u8(..4) == 0 {
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
    }
    bytes
}

#[test]
fn replies_are_read_as_hyper_reads_them() {
    let (runtime, mut rng) = (runtime(), Rng::with_seed(seed()));
    let (mut both, mut neither, mut ours_alone, mut theirs_alone) =
        (0, 0, 0, 0);
    for number in 0..tries() {
        let bytes = reply_text(&mut rng);
        let ours = read_reply(&mut Sent(Cursor::new(bytes.clone())), LONG);
        let theirs = reply_by_hyper(&runtime, &bytes);
        let case = format!(
            "input {number} of SEED={}:\n{:?}",
            seed(),
            String::from_utf8_lossy(&bytes)
        );
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => {
                assert_eq!((ours.status, ours.body), theirs, "{case}");
                both += 1;
            }
            (Err(NoReply::Silent(_)), _) => panic!("{case}: silence"),
            (Err(_), None) => neither += 1,
            (Ok(_), None) => ours_alone += 1,
            (Err(_), Some(_)) => theirs_alone += 1,
        }
    }
    println!(
        "{} replies: {both} read by both, {neither} by neither, {ours_alone} \
         by the stand-in alone, {theirs_alone} by hyper alone",
        tries()
    );
    assert!(both > 1000 && neither > 1000, "{both} {neither}");
}
