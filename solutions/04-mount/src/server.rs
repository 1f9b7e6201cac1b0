//! The loop that reads requests and sends answers. This code is given, and no
//! hole is in it.

use std::io::Read;
use std::panic::{self, AssertUnwindSafe};
use std::{mem, process, thread};

use anyhow::{Context, Result};
use log::{debug, error, info, warn};
use tiny_http::{Method, Request, Response, Server};

use crate::text::excerpt;

/// In bytes. Docker's longest bodies have a few hundred.
const LONGEST_BODY: u64 = 1 << 20;
/// In bytes. A request that announces a longer body is refused before the body
/// is read.
const LONGEST_PROMISE: usize = 64 << 20;

/// Returns a status and a text for the path and the body of a call.
pub type Answer<'a> = dyn FnMut(&str, &[u8]) -> (u16, String) + 'a;

/// Answers calls, one after the other, until the socket fails.
pub fn serve(server: &Server, answer: &mut Answer) -> Result<()> {
    loop {
        // After one error, tiny_http accepts no more connections. If the
        // process ends, a supervisor can restart it.
        let request = server.recv().context("accepting connections")?;
        handle(request, answer);
    }
}

fn handle(mut request: Request, answer: &mut Answer) {
    let call = excerpt(&format!("{} {}", request.method(), request.url()));
    if request.body_length().is_some_and(|length| length > LONGEST_PROMISE) {
        warn!("{call} -> 413, and its connection is given up");
        let refusal = Response::from_string("workshop: the body is too long");
        // tiny_http 0.12.0 has no limit of its own, so the unread request is
        // never dropped.
        mem::forget(request.upgrade("", refusal.with_status_code(413)));
        return;
    }
    let (status, text) = match read(&mut request) {
        Ok(body) => answer_or_500(|| answer(request.url(), &body)),
        Err(refusal) => refusal,
    };
    match status {
        200 => info!("{call} -> 200"),
        _ => warn!("{call} -> {status} {text}"),
    }
    let reply = Response::from_string(text).with_status_code(status);
    if let Err(err) = request.respond(reply) {
        warn!("{call}: the client did not take its answer: {err}");
    }
}

/// The whole body of a call, or the refusal that is sent instead of an answer.
fn read(request: &mut Request) -> Result<Vec<u8>, (u16, String)> {
    let refuse = |status, why| Err((status, format!("workshop: {why}")));
    if request.headers().iter().any(|header| {
        let value = header.value.as_str().to_ascii_lowercase();
        let known = |word: &str| ["keep-alive", "close"].contains(&word.trim());
        header.field.equiv("Connection") && !value.split(',').all(known)
    }) {
        // With other words, tiny_http 0.12.0 may never reach the end of a call.
        return refuse(400, "unexpected Connection header".to_owned());
    }
    let mut body = Vec::new();
    // Read the body even if the method is wrong: an unread body blocks the
    // loop.
    let mut bounded = request.as_reader().take(LONGEST_BODY + 1);
    if let Err(err) = bounded.read_to_end(&mut body) {
        return refuse(400, format!("reading the body: {err}"));
    }
    debug!("{}", excerpt(&String::from_utf8_lossy(&body)));
    match request.method() {
        _ if body.len() as u64 > LONGEST_BODY => {
            refuse(413, format!("no call has over {LONGEST_BODY} bytes"))
        }
        Method::Post => Ok(body),
        _ => refuse(405, "Docker sends only POST".to_owned()),
    }
}

/// Calls `answer`. A panic in it, from a `todo!` or from a bug, becomes status
/// 500 with the text of the panic. Without an answer, Docker would retry for 15
/// seconds and then report `EOF`.
fn answer_or_500(answer: impl FnOnce() -> (u16, String)) -> (u16, String) {
    // `answer` makes each change in one step, so a panic leaves none half done.
    panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
        let literal = panic.downcast_ref::<&str>().copied();
        let text = literal.or(panic.downcast_ref().map(String::as_str));
        let text = excerpt(text.unwrap_or("a bug, see the log"));
        (500, format!("workshop: {text}"))
    })
}

/// Logs every panic, and ends the process if a thread of tiny_http panicked.
///
/// Without one of its threads, tiny_http would receive no more requests. Its
/// threads have no names, unlike ours.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        error!("{panic}");
        if thread::current().name().is_none() {
            process::exit(101);
        }
    }));
}
