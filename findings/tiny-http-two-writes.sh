#!/bin/sh
# Over TCP, tiny_http sends a reply of over 1 KiB in two writes, and the second one
# waits some 40 ms.
#
# Version    tiny_http 0.12.0 with log 0.4.35, on Linux 6.18 and Rust 1.95
# Behaviour  tiny_http buffers 1024 bytes of a reply. When head and body together are
#            longer, it writes the head first and the body second. It does not set
#            TCP_NODELAY, so Nagle's algorithm holds the second write back until the
#            client has acknowledged the first one. A client that waits for the body
#            has nothing to send, so its kernel delays that acknowledgement by 40 ms.
#            A Unix socket has no such delay.
# Seen       GET on a connection that stays open, over loopback, 21 times:
#                1024 bytes: in one read 21 of 21 times, median 0.08 ms
#                1025 bytes: head alone first 20 of 21 times, median 43.99 ms
# Remedy     Write the reply in one piece, or set TCP_NODELAY on the connection.
set -u

cannot() {
    echo "$0: this finding cannot be tried here: $*" >&2
    exit 2
}

command -v cargo >/dev/null || cannot 'there is no cargo on PATH'
folder=$(mktemp -d) || cannot 'there is no temporary folder'
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM

mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[workspace]

[dependencies]
tiny_http = "=0.12.0"
# What tiny_http is made of.
ascii = "=1.1.0"
chunked_transfer = "=1.5.0"
httpdate = "=1.0.3"
log = "=0.4.35"
TOML

cat >"$folder/src/main.rs" <<'RUST'
//! Ends with status 0 if the finding is true, with 10 if it is not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use tiny_http::{Response, Server};

const TRIES: usize = 21;
const BUFFER: usize = 1024;

struct Reply {
    /// In bytes.
    head: usize,
    /// How many bytes the first read brought.
    first_read: usize,
    took: Duration,
}

fn main() {
    let server = Server::http("127.0.0.1:0").expect("listening on loopback");
    let address = server.server_addr().to_ip().expect("the address is an IP address");
    // GET /N is answered with N bytes.
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let length = request.url()[1..].parse().expect("the path is a length");
            let _ = request.respond(Response::from_data(vec![b'x'; length]));
        }
    });
    let ask = |body: usize| {
        let mut client = TcpStream::connect(address).expect("connecting");
        client.set_nodelay(true).expect("setting TCP_NODELAY");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("setting a limit");
        (0..TRIES).map(|_| get(&mut client, body)).collect::<Vec<_>>()
    };

    // Bodies of three and of four digits have heads of different lengths.
    let head = ask(900)[0].head;
    let short = ask(BUFFER - head);
    let long = ask(BUFFER - head + 1);
    let whole = short.iter().filter(|reply| reply.first_read == BUFFER).count();
    let split = long.iter().filter(|reply| reply.first_read == reply.head).count();
    let (fast, slow) = (median(&short), median(&long));
    println!("{BUFFER} bytes: in one read {whole} of {TRIES} times, median {fast:.2} ms");
    println!(
        "{} bytes: head alone first {split} of {TRIES} times, median {slow:.2} ms",
        BUFFER + 1
    );
    println!("ratio of the medians: {:.0}", slow / fast);
    let most = TRIES / 2;
    if whole > most && fast > 8.0 {
        println!("Even the short reply is slow: the machine is too busy to tell.");
        exit(2);
    }
    let same = whole > most && split > most && slow > 5.0 * fast;
    exit(if same { 0 } else { 10 });
}

fn get(client: &mut TcpStream, body: usize) -> Reply {
    let start = Instant::now();
    let request = format!("GET /{body} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sending the request");
    let (mut received, mut first_read) = (Vec::new(), 0);
    loop {
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).expect("reading the reply");
        assert!(count > 0, "the server has closed the connection");
        received.extend_from_slice(&bytes[..count]);
        if first_read == 0 {
            first_read = count;
        }
        let end = received.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = end.map(|end| end + 4) {
            if received.len() >= head + body {
                return Reply { head, first_read, took: start.elapsed() };
            }
        }
    }
}

/// In milliseconds.
fn median(replies: &[Reply]) -> f64 {
    let mut times: Vec<_> = replies.iter().map(|reply| reply.took).collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
RUST

in_folder() {
    cargo "$1" --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target"
}

echo 'tiny_http 0.12.0 (downloads and builds it: some seconds)'
in_folder build || cannot 'cargo could not download or build tiny_http 0.12.0 (see above)'
in_folder run
case $? in
0) echo 'The behaviour is as described.' ;;
10)
    echo 'The behaviour has changed.'
    exit 1
    ;;
*) cannot 'the measurement failed (see above)' ;;
esac
