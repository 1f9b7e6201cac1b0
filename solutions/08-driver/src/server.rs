//! The loop that receives requests, and the threads that answer them.

use std::io::Read;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result, anyhow};
use log::{debug, error, info, warn};
use tiny_http::{Method, Request};

use crate::listener::{Listener, Reply};
use crate::slots::Slot;
use crate::text::excerpt;

/// In bytes. Docker's longest bodies have a few hundred.
const LONGEST_BODY: u64 = 1 << 20;

/// Returns a status and a text for the path and the body of a call.
pub type Answer = dyn Fn(&str, &[u8]) -> (u16, String) + Send + Sync;

/// Starts a thread that serves a listener, and sends a message to `end` if it
/// cannot go on.
pub fn start(
    listener: &'static Listener,
    answer: &'static Answer,
    end: Sender<Result<()>>,
) -> Result<()> {
    let serve = move || {
        let _ = end.send(serve(listener, answer));
    };
    thread::Builder::new().name("serve".to_owned()).spawn(serve)?;
    Ok(())
}

/// Starts threads as they are needed.
fn serve(listener: &'static Listener, answer: &'static Answer) -> Result<()> {
    loop {
        listener.await_need()?;
        // A slow call, or a slow body, blocks only its own thread.
        thread::Builder::new()
            .name("work".to_owned())
            .spawn(move || work(listener, answer))
            .context("starting a thread for calls")?;
    }
}

/// Answers requests, one after the other, as long as this thread is needed.
fn work(listener: &'static Listener, answer: &Answer) {
    while let Some((request, slot)) = listener.recv() {
        let handle = || handle(request, &slot, answer);
        let _ = panic::catch_unwind(AssertUnwindSafe(handle));
    }
}

fn handle(mut request: Request, slot: &Slot, answer: &Answer) {
    let call = &slot.call;
    let path = request.url().to_owned();
    let body = read(&mut request);
    let reply = Reply::in_turn(request);
    let (status, text) = match body {
        Ok(body) => {
            slot.works();
            answer_or_500(|| answer(&path, &body))
        }
        Err(refusal) => refusal,
    };
    slot.answers();
    match status {
        200 => info!("{call} -> 200"),
        _ => warn!("{call} -> {status} {text}"),
    }
    if let Err(err) = reply.send(status, text) {
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

/// Logs every panic, and sends a message to `end` if a thread of tiny_http
/// panicked.
///
/// Without one of its threads, tiny_http would receive no more requests. Its
/// threads have no names, unlike ours.
pub fn watch_panics(end: Sender<Result<()>>) {
    panic::set_hook(Box::new(move |panic| {
        error!("{panic}");
        if thread::current().name().is_none() {
            let _ = end.send(Err(anyhow!("a thread of tiny_http panicked")));
        }
    }));
}
