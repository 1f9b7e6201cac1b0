//! The bytes of an answer. You do not need to read this file.

use std::time::SystemTime;

use httparse::Request;

use crate::clock;
use crate::headers::values;
use crate::refusal::{Trouble, refuse};

/// What a client waits for that asks before it sends a body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether the client waits for [`CONTINUE`] before it sends the body.
pub fn is_awaited(request: &Request, is_new: bool) -> Result<bool, Trouble> {
    let expected = values(request, "Expect");
    let known = |value: &&[u8]| value.eq_ignore_ascii_case(b"100-continue");
    match expected.iter().all(known) {
        // A client of HTTP/1.0 does not know that answer.
        true => Ok(is_new && !expected.is_empty()),
        false => refuse(417, "the only Expect is 100-continue"),
    }
}

/// An answer in one piece, because a second piece could wait until the client
/// has acknowledged the first. An answer to HEAD has no body.
pub fn new(
    status: u16,
    text: &str,
    keeps_open: bool,
    has_body: bool,
) -> Vec<u8> {
    let date = clock::http_date(SystemTime::now());
    let mut reply = format!(
        "HTTP/1.1 {status} {}\r\n\
         Date: {date}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: {}\r\n\r\n",
        reason(status),
        text.len(),
        if keeps_open { "keep-alive" } else { "close" },
    );
    if has_body {
        reply += text;
    }
    reply.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}
