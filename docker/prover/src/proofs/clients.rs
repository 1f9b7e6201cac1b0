//! Hostile clients: they send invalid requests, very long ones, or only half of
//! one.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use stand_in::daemon::{Call, Dialect, clip, read_reply};
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::plugin::Place;
use stand_in::wait::PATIENCE;

use super::model::{Answer, Client, Session, create, options};
use super::{Need, Proof, Subject};

/// The most memory, in MiB, that clients may make a plugin use.
const MOST_MEMORY: u64 = 64;

const NAME: &str = "amber-1";

const fn proof(
    what: &'static str,
    from: u32,
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "hostile-clients", what, from, needs: &[Need::Linux], run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof("10,000 headers", 6, |subject| endures(subject, headers)),
    proof("a body of 100 MiB, by its length", 6, |subject| {
        endures(subject, long_body)
    }),
    proof("a body of 100 MiB, in chunks", 6, |subject| {
        endures(subject, chunks)
    }),
    proof("other methods, and no HTTP at all", 6, |subject| {
        endures(subject, no_calls)
    }),
    proof("100 requests before the first answer", 6, |subject| {
        endures(subject, pipeline)
    }),
    proof("1,000 connections", 6, |subject| endures(subject, crowd)),
    proof("more connections than files", 6, few_files),
    proof("half requests, held open", 7, |subject| endures(subject, halves)),
];

/// The first step whose plugin answers other clients during an attack.
const MANY: u32 = 7;

/// Runs an attack. From step 7 on, the plugin must answer other clients during it;
/// before that, only afterwards.
fn endures(
    subject: &Subject,
    attack: fn(&Place) -> Result<String, Fault>,
) -> Result<String, Fault> {
    let place = Place::new()?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    session.must(&create(NAME, &options(&[])))?;
    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    let tried = thread::scope(|scope| {
        let honest = scope.spawn(|| {
            while subject.step >= MANY && !stop.load(Ordering::Relaxed) {
                honest(&place, "meanwhile")?;
                served.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        });
        let tried = attack(&place);
        stop.store(true, Ordering::Relaxed);
        let served: Outcome = honest.join().unwrap_or_else(|_| {
            Err(anyhow!("a thread of the prover panicked").into())
        });
        served.and(tried)
    })?;
    honest(&place, "afterwards")?;
    let memory = memory(session.plugin.id())?;
    if memory > MOST_MEMORY {
        let expected = format!("at most {MOST_MEMORY} MiB of memory");
        return Err(wrong(tried, expected, format!("{memory} MiB")));
    }
    let served = match served.into_inner() {
        0 => String::new(),
        count => format!(", {count} honest calls meanwhile"),
    };
    Ok(format!("{tried}{served}, {memory} MiB of memory"))
}

/// Makes one of Docker's calls on a new connection.
fn honest(place: &Place, when: &str) -> Outcome {
    let call = Call::get(NAME);
    match Client::new(place).ask(&call) {
        Answer::Success(_) => Ok(()),
        answer => Err(wrong(format!("{call}, {when}"), "it succeeds", answer)),
    }
}

/// The most memory that a process has used so far, in MiB.
fn memory(pid: Pid) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    memory_in(&status).context("no VmHWM in /proc")
}

fn memory_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

fn connect(place: &Place) -> Result<UnixStream, Fault> {
    let client = UnixStream::connect(place.socket())
        .map_err(|err| wrong("a connection", "it is taken", err.to_string()))?;
    client.set_write_timeout(Some(PATIENCE))?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// The beginning of a request, without the blank line that ends the headers.
fn head(method: &str) -> String {
    format!(
        "{method} /VolumeDriver.Create HTTP/1.1\r\nHost: plugin\r\n\
         Accept: application/vnd.docker.plugins.v1.2+json\r\n"
    )
}

/// Reads the reply to `what`, which must not be a success.
fn refused(client: &mut UnixStream, what: &str) -> Result<String, Fault> {
    match read_reply(client, Duration::from_secs(2)) {
        Ok(reply) if reply.judge().is_ok() => {
            Err(wrong(what, "an Err, or a closed connection", reply))
        }
        Ok(reply) => Ok(format!("answered {}", reply.status)),
        Err(_) => Ok("no complete answer".to_owned()),
    }
}

fn headers(place: &Place) -> Result<String, Fault> {
    let mut client = connect(place)?;
    let mut text = head("POST");
    for number in 0..10_000 {
        text.push_str(&format!("X-Header-{number}: {number}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    let _ = client.write_all(text.as_bytes());
    refused(&mut client, "10,000 headers")
}

const MIB: usize = 1 << 20;

fn long_body(place: &Place) -> Result<String, Fault> {
    let mut client = connect(place)?;
    let head = format!("{}Content-Length: {}\r\n\r\n", head("POST"), 100 * MIB);
    // A plugin that refuses the body stops reading, so a write may block or fail.
    client.set_write_timeout(Some(Duration::from_secs(1)))?;
    let _ = client.write_all(head.as_bytes()).and_then(|()| {
        (0..100).try_for_each(|_| client.write_all(&vec![b'['; MIB]))
    });
    refused(&mut client, "100 MiB by length")
}

fn chunks(place: &Place) -> Result<String, Fault> {
    let mut client = connect(place)?;
    let head = format!("{}Transfer-Encoding: chunked\r\n\r\n", head("POST"));
    let mut chunk = format!("{MIB:x}\r\n").into_bytes();
    chunk.extend(vec![b'['; MIB]);
    chunk.extend(b"\r\n");
    let _ = client
        .write_all(head.as_bytes())
        .and_then(|()| (0..100).try_for_each(|_| client.write_all(&chunk)))
        .and_then(|()| client.write_all(b"0\r\n\r\n"));
    refused(&mut client, "100 MiB in chunks")
}

fn no_calls(place: &Place) -> Result<String, Fault> {
    let body = "Content-Length: 16\r\n\r\n{\"Name\":\"birch\"}";
    let mut all: Vec<(String, Vec<u8>)> = [
        "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT",
        "BREW", "post", "",
    ]
    .map(|method| {
        (format!("method {method:?}"), format!("{}{body}", head(method)).into())
    })
    .into();
    let long = "M".repeat(100_000);
    all.push(("a long method".into(), head(&long).into_bytes()));
    for (what, bytes) in [
        ("another version", "POST / HTTP/9.9\r\nHost: x\r\n\r\n".into()),
        ("no version", "POST /VolumeDriver.List\r\n\r\n".into()),
        ("two lengths", {
            let twice = "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}";
            format!("{}{twice}", head("POST"))
        }),
        ("length and chunks", {
            let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                        0\r\n\r\n";
            format!("{}{both}", head("POST"))
        }),
        ("a negative length", {
            format!("{}Content-Length: -1\r\n\r\n", head("POST"))
        }),
        ("a connection of no known kind", {
            format!("{}Connection: teapot\r\n\r\n", head("POST"))
        }),
        ("no end of a line", "P".repeat(100_000)),
        ("lines without a colon", format!("{}no colon\r\n\r\n", head("POST"))),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        all.push((what.to_owned(), bytes.into_bytes()));
    }
    all.push(("TLS".to_owned(), vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
    all.push(("zeros".to_owned(), vec![0; 4096]));
    all.push(("0xff".to_owned(), vec![255; 4096]));
    let count = all.len();
    for (what, bytes) in all {
        let mut client = connect(place)?;
        client.set_read_timeout(Some(Duration::from_millis(500)))?;
        let _ = client.write_all(&bytes);
        // Close our side, so that the plugin does not wait for the rest of a request.
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = vec![0; 64];
        let got = client.read(&mut answer).unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..got]);
        if answer.starts_with("HTTP/1.1 200") && !what.contains("no version") {
            let answer = clip(&answer);
            return Err(wrong(what, "no success", answer));
        }
        drop(client);
        honest(place, &format!("after {what}"))?;
    }
    Ok(format!("{count} kinds"))
}

fn pipeline(place: &Place) -> Result<String, Fault> {
    const MANY: usize = 100;
    let mut client = connect(place)?;
    let calls = (0..MANY).map(|number| Call::get(&format!("none-{number}-")));
    let bytes: Vec<u8> =
        calls.flat_map(|call| call.request(Dialect::default())).collect();
    client.write_all(&bytes)?;
    let sent = format!("{MANY} times Get of none-N- before the first answer");
    let mut text = String::new();
    let deadline = Instant::now() + 2 * PATIENCE;
    let last = format!("none-{}-", MANY - 1);
    while !text.contains(&last) && Instant::now() < deadline {
        let mut some = vec![0; 64 << 10];
        match client.read(&mut some) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                text.push_str(&String::from_utf8_lossy(&some[..count]));
            }
        }
    }
    let mut rest = &text[..];
    for number in 0..MANY {
        let wanted = format!("none-{number}-");
        match rest.split_once(&wanted) {
            Some((_, after)) => rest = after,
            None => {
                let got = format!("answer {number} is missing or out of order");
                return Err(wrong(sent, "an answer to each, in order", got));
            }
        }
    }
    Ok(format!("{MANY} answers in order"))
}

fn crowd(place: &Place) -> Result<String, Fault> {
    const MANY: usize = 1000;
    let _limit = MoreFiles::allow(2 * MANY as u64)?;
    let mut crowd = Vec::new();
    for _ in 0..MANY {
        crowd.push(connect(place)?);
    }
    // Some of them make a call.
    let request = Call::get(NAME).request(Dialect::default());
    let mut answered = 0;
    for client in crowd.iter_mut().take(MANY / 10) {
        client.write_all(&request)?;
        answered += 1;
    }
    drop(crowd);
    Ok(format!("{MANY} connections, {answered} calls without a reader"))
}

/// Allows this process more open files, until it is dropped.
struct MoreFiles(Rlimit);

impl MoreFiles {
    fn allow(files: u64) -> Result<Self> {
        let before = getrlimit(Resource::Nofile);
        let most = before.maximum.unwrap_or(files);
        let wanted = before.current.map(|limit| limit.max(files.min(most)));
        setrlimit(
            Resource::Nofile,
            Rlimit { current: wanted, maximum: before.maximum },
        )
        .context("allowing this process more files")?;
        Ok(Self(before))
    }
}

impl Drop for MoreFiles {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Nofile, self.0);
    }
}

/// Opens more connections than the plugin may have files. The plugin must serve
/// again once they are closed, or end with an error.
fn few_files(subject: &Subject) -> Result<String, Fault> {
    const FILES: u32 = 64;
    const MANY: usize = 200;
    let what = format!("{MANY} connections for a plugin with {FILES} files");
    let place = Place::new()?;
    let program = subject.program.limited_to(FILES);
    let mut session = Session::start(&program, &place)?;
    subject.remember(session.log());
    session.must(&create(NAME, &options(&[])))?;
    let crowd: Vec<_> = (0..MANY).map_while(|_| connect(&place).ok()).collect();
    let ended = session.plugin.ends_within(Duration::from_secs(1));
    drop(crowd);
    let ended = ended.or_else(|| match honest(&place, "afterwards") {
        Ok(()) => None,
        Err(_) => session.plugin.ends_within(Duration::from_secs(1)),
    });
    let Some(status) = ended else {
        honest(&place, "afterwards")?;
        return Ok(format!("{what}: it still serves"));
    };
    let log = session.log();
    session.plugin.kill();
    let message = log.last_lines(1).join("");
    if status.success() || message.is_empty() {
        let expected = "it still serves, or ends with a status and a message";
        let got = format!("{status}, {message:?}");
        return Err(wrong(what, expected, got));
    }
    Ok(format!("{what}: it ends ({status}) and says why"))
}

fn halves(place: &Place) -> Result<String, Fault> {
    const EACH: usize = 40;
    let long = "[".repeat(2000);
    let kinds = [
        "POST /VolumeDriver.Cre".to_owned(),
        head("POST"),
        format!("{}Content-Length: 100\r\n\r\n{{\"Na", head("POST")),
        format!("{}Content-Length: 5000\r\n\r\n{long}", head("POST")),
        format!("{}Transfer-Encoding: chunked\r\n\r\n5\r\n{{", head("POST")),
        format!(
            "{}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            head("POST")
        ),
    ];
    let mut held = Vec::new();
    for kind in &kinds {
        for _ in 0..EACH {
            let mut client = connect(place)?;
            let _ = client.write_all(kind.as_bytes());
            held.push(client);
        }
        for _ in 0..20 {
            honest(place, "while half requests are held open")?;
        }
    }
    thread::sleep(Duration::from_secs(1));
    honest(place, "while all half requests are held open")?;
    Ok(format!("{} half requests of {} kinds", held.len(), kinds.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_up_to_mib() {
        let status = "VmPeak:\t    9000 kB\nVmHWM:\t    2049 kB\n";
        assert_eq!(memory_in(status), Some(3));
        assert_eq!(memory_in("VmPeak:\t    9000 kB\n"), None);
    }
}
