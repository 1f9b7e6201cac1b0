//! Reads the body of a request (RFC 9112, 6 and 7). You do not need to read
//! this file.

use httparse::{EMPTY_HEADER, Status};
use log::debug;

use crate::client::Client;
use crate::headers;
use crate::http::{Framing, Head};
use crate::refusal::{LONGEST_BODY, Trouble, refuse, too_long};
use crate::reply;
use crate::text::excerpt;

/// In bytes. Few clients send more than a size in the line before a chunk.
const LONGEST_LINE: usize = 256;

/// Reads the body of the request whose head has just been read.
pub fn read(client: &mut Client, head: &Head) -> Result<Vec<u8>, Trouble> {
    if head.expects && client.unused().is_empty() {
        client.send(reply::CONTINUE)?;
    }
    let body = match head.framing {
        Framing::Length(length) if length > LONGEST_BODY => too_long()?,
        Framing::Length(length) => client.take(length)?,
        Framing::Chunked => read_chunks(client)?,
    };
    debug!("{}", excerpt(&String::from_utf8_lossy(&body)));
    client.has_request()?;
    Ok(body)
}

/// Reads chunks, up to the empty one and what follows it.
fn read_chunks(client: &mut Client) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        let size = parse(client, LONGEST_LINE, |bytes| {
            let is_hex = bytes.first().is_none_or(u8::is_ascii_hexdigit);
            match httparse::parse_chunk_size(bytes) {
                Ok(status) if is_hex => Ok(status),
                _ => Err("bad size of a chunk".to_owned()),
            }
        })?;
        if size > (LONGEST_BODY - body.len()) as u64 {
            return too_long();
        }
        if size == 0 {
            break;
        }
        body.append(&mut client.take(size as usize)?);
        if client.take(2)? != b"\r\n" {
            return refuse(400, "a chunk is longer than it says");
        }
    }
    // Headers may follow. None of them means anything here.
    parse(client, headers::LONGEST, |bytes| {
        let mut headers = [EMPTY_HEADER; headers::MOST];
        match httparse::parse_headers(bytes, &mut headers) {
            Ok(Status::Complete((end, _))) => Ok(Status::Complete((end, 0))),
            Ok(Status::Partial) => Ok(Status::Partial),
            Err(_) => Err("bad headers after the body".to_owned()),
        }
    })?;
    Ok(body)
}

/// Whether a line ends without `\r`. Some readers take that for the end of a
/// line, others do not.
fn has_lone_lf(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    // After the last line there is nothing.
    lines.next_back();
    lines.any(|line| !line.ends_with(b"\r"))
}

/// Uses up what `parse` finds in at most `most` bytes: the position of its end,
/// and a number.
fn parse(
    client: &mut Client,
    most: usize,
    parse: impl Fn(&[u8]) -> Result<Status<(usize, u64)>, String>,
) -> Result<u64, Trouble> {
    loop {
        match parse(client.unused()) {
            Ok(Status::Complete((end, parsed))) => {
                if has_lone_lf(&client.take(end)?) {
                    return refuse(
                        400,
                        "a line of the chunked body has no \\r",
                    );
                }
                return Ok(parsed);
            }
            Ok(Status::Partial) if client.unused().len() >= most => {
                return refuse(400, "a line of the chunked body is too long");
            }
            Ok(Status::Partial) => {
                if client.fill(most)? == 0 {
                    return refuse(400, "the body is cut off");
                }
            }
            Err(why) => return refuse(400, why),
        }
    }
}
