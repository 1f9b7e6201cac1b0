//! The threads that accept clients and answer their requests.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use log::{error, info, warn};

use crate::body;
use crate::client::Client;
use crate::connections::{Connections, Place};
use crate::door::Door;
use crate::refusal::Trouble;
use crate::reply;
use crate::text::excerpt;

/// Returns a status and a text for the path and the body of a call.
pub type Answer = dyn Fn(&str, &[u8]) -> (u16, String) + Send + Sync;

/// Starts a thread that lets clients in through a door, and returns the list of
/// these clients. A client has `patience` for each request.
pub fn open(
    door: Door,
    patience: Duration,
    answer: &Arc<Answer>,
) -> Result<Arc<Connections>> {
    let connections = Arc::new(Connections::default());
    let (answer, list) = (Arc::clone(answer), Arc::clone(&connections));
    let serve = move || {
        let mut is_in_trouble = false;
        loop {
            let welcomed = door.accept().and_then(|stream| {
                welcome(list.admit(stream), patience, &answer)
            });
            if let Err(err) = &welcomed
                && !is_in_trouble
            {
                // Most likely, too many files or threads are open.
                warn!("letting a client in: {err}");
            }
            is_in_trouble = welcomed.is_err();
            if is_in_trouble && !list.close_idlest() {
                thread::sleep(Duration::from_millis(10));
            }
        }
    };
    thread::Builder::new().name("door".to_owned()).spawn(serve)?;
    Ok(connections)
}

fn welcome(
    place: Place,
    patience: Duration,
    answer: &Arc<Answer>,
) -> io::Result<()> {
    let answer = Arc::clone(answer);
    let serve = move || {
        if let Err(err) = converse(&place, patience, &*answer) {
            warn!("a client is gone: {err}");
        }
    };
    thread::Builder::new().name("client".to_owned()).spawn(serve)?;
    Ok(())
}

/// Answers the requests of one client in their order, until the client or this
/// function closes the connection.
fn converse(
    place: &Place,
    patience: Duration,
    answer: &Answer,
) -> io::Result<()> {
    let mut client = Client::new(&place.connection.stream, patience)?;
    loop {
        match exchange(place, &mut client, answer) {
            Ok(true) => {}
            Ok(false) => break,
            Err(Trouble::Gone(err)) => return Err(err),
            Err(Trouble::Refused(status, text)) => {
                warn!("a request -> {status} {text}");
                client.send(&reply::new(status, &text, false, true))?;
                break;
            }
        }
    }
    place.connection.stream.close();
    Ok(())
}

/// Answers one request. Returns false if no other one may follow.
fn exchange(
    place: &Place,
    client: &mut Client,
    answer: &Answer,
) -> Result<bool, Trouble> {
    let Some(head) = client.read_head()? else { return Ok(false) };
    let call = excerpt(&format!("{} {}", head.method, head.path));
    place.receives(&call);
    let body = body::read(client, &head)?;
    if !place.works() {
        return Ok(false);
    }
    let (status, text) = match &*head.method {
        "POST" => answer_or_500(|| answer(&head.path, &body)),
        _ => (405, "workshop: Docker sends only POST".to_owned()),
    };
    place.answers();
    match status {
        200 => info!("{call} -> 200"),
        _ => warn!("{call} -> {status} {text}"),
    }
    let has_body = head.method != "HEAD";
    client.send(&reply::new(status, &text, head.keeps_open, has_body))?;
    place.rests();
    Ok(head.keeps_open)
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

/// Logs every panic.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| error!("{panic}")));
}
