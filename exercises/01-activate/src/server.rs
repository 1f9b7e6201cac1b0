//! The socket and the loop around it. Every step needs them; no lesson does.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic;
use std::path::Path;
use std::{mem, process, thread};

use anyhow::{Context, Result, bail};
use log::{debug, error, info, warn};
use tiny_http::{Method, Request, Response, Server};

use crate::answer;
use crate::text::shown;
use crate::turn;

/// Docker's longest bodies are a few hundred bytes; more than this is no call.
const LONGEST_BODY: u64 = 1 << 20;
/// A request that promises a longer body is refused before it is read.
const LONGEST_PROMISE: usize = 64 << 20;

/// Listens on `socket`, which is for the user of this process alone.
///
/// Fails if a running plugin answers there, or something else is in the place.
pub fn bind(socket: &Path) -> Result<&'static Server> {
    let path = socket.display();
    let mut private = DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(turn::folder(socket));
    made.with_context(|| format!("making the folder of {path}{HINT}"))?;
    // Until this returns, no other plugin asks, removes or binds there.
    let _turn = turn::take(socket)?;
    let listener = match UnixListener::bind(socket) {
        Err(err) if err.kind() == ErrorKind::AddrInUse => {
            make_way(socket)?;
            UnixListener::bind(socket)
        }
        bound => bound,
    };
    let listener = listener.with_context(|| format!("binding {path}{HINT}"))?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    let server = Server::from_listener(listener, None);
    let server = server.map_err(anyhow::Error::from_boxed)?;
    // Never dropped: then tiny_http removes the path, even a newer plugin's.
    Ok(Box::leak(Box::new(server)))
}

/// What helps against both a folder of root's and a path over 107 bytes.
const HINT: &str = " (as root, or give the path of another, shorter socket)";

/// Removes the socket that a killed plugin left behind, and nothing else.
///
/// A socket file outlives its process, and nobody can bind to a path that
/// exists.
fn make_way(socket: &Path) -> Result<()> {
    // TODO(1.2): find out by connecting whether a plugin still answers there.
    // Refuse if one does, and if the path is no socket at all; remove the
    // socket only where the connection is refused.
    todo!("1.2")
}

/// Answers calls, one after the other, until the socket fails.
pub fn serve(server: &Server) -> Result<()> {
    loop {
        // One error ends tiny_http's accepting for good: from then on the
        // process would only look alive. Whoever supervises it restarts it.
        let request = server.recv().context("accepting connections")?;
        handle(request);
    }
}

fn handle(mut request: Request) {
    let call = shown(&format!("{} {}", request.method(), request.url()));
    if request.body_length().is_some_and(|length| length > LONGEST_PROMISE) {
        warn!("{call} -> 413, and its connection is given up");
        let refusal = Response::from_string("workshop: the body is too long");
        // tiny_http 0.12.0 bounds no length: what is refused unread never drops.
        mem::forget(request.upgrade("", refusal.with_status_code(413)));
        return;
    }
    let (status, text) = match read(&mut request) {
        Ok(body) => answer_whatever_happens(request.url(), &body),
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

/// The whole body of a call, or the refusal that it gets instead.
fn read(request: &mut Request) -> Result<Vec<u8>, (u16, String)> {
    let refuse = |status, why| Err((status, format!("workshop: {why}")));
    if request.headers().iter().any(|header| {
        let value = header.value.as_str().to_ascii_lowercase();
        let known = |it: &str| ["keep-alive", "close"].contains(&it.trim());
        header.field.equiv("Connection") && !value.split(',').all(known)
    }) {
        // With others, tiny_http 0.12.0 may never come to the end of a call.
        return refuse(400, "Docker sends no such Connection".to_owned());
    }
    let mut body = Vec::new();
    // Read before the method is judged: an unread body holds up the loop.
    let mut bounded = request.as_reader().take(LONGEST_BODY + 1);
    if let Err(err) = bounded.read_to_end(&mut body) {
        return refuse(400, format!("reading the body: {err}"));
    }
    debug!("{}", shown(&String::from_utf8_lossy(&body)));
    match request.method() {
        _ if body.len() as u64 > LONGEST_BODY => {
            refuse(413, format!("over {LONGEST_BODY} bytes are no call"))
        }
        Method::Post => Ok(body),
        _ => refuse(405, "Docker sends POST, and nothing else".to_owned()),
    }
}

/// `answer`, or 500 and the words of its panic: a `todo!` that was reached, or
/// a bug. A dropped connection would cost Docker 15 seconds and say `EOF`.
fn answer_whatever_happens(path: &str, body: &[u8]) -> (u16, String) {
    panic::catch_unwind(|| answer(path, body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = shown(text.unwrap_or("a bug, see the log"));
        (500, format!("workshop: {text}"))
    })
}

/// Logs every panic, and ends the process where no caller would learn of one.
///
/// Our threads have names. tiny_http's have none, and without one of them the
/// process would live on, deaf.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        error!("{panic}");
        if thread::current().name().is_none() {
            process::exit(101);
        }
    }));
}
