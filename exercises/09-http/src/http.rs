//! What the head of a request says (RFC 9112).

use std::net::SocketAddr;

use httparse::Request;

use crate::headers::values;
use crate::refusal::{Trouble, refuse, too_long};
use crate::reply;
use crate::strangers;

/// What the head of a request says.
pub struct Head {
    /// `POST` in all of Docker's requests.
    pub method: String,
    /// `/VolumeDriver.Create`, for example.
    pub path: String,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection stays open after the answer.
    pub keeps_open: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects: bool,
}

/// How a head says where the body ends.
#[derive(Debug, PartialEq)]
pub enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After a chunk of length 0.
    Chunked,
}

impl Head {
    /// `address` is where the client has connected to over TCP.
    pub fn of(
        request: &Request,
        address: Option<SocketAddr>,
    ) -> Result<Self, Trouble> {
        if let Some(address) = address {
            strangers::refuse_strangers(request, address)?;
        }
        let is_new = request.version == Some(1);
        Ok(Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: request.path.unwrap_or_default().to_owned(),
            framing: Framing::of(request, is_new)?,
            keeps_open: keeps_open(request, is_new)?,
            expects: reply::is_awaited(request, is_new)?,
        })
    }
}

impl Framing {
    /// Refuses a request whose end is in doubt: what one reader takes for its
    /// body, another one takes for the next request.
    fn of(request: &Request, is_new: bool) -> Result<Self, Trouble> {
        // TODO(9.2): a body ends after Content-Length, or after the last of its
        // chunks. Refuse a head that says both, says one of them twice, or says
        // something else.
        if !values(request, "Transfer-Encoding").is_empty() {
            return Ok(Self::Chunked);
        }
        let lengths = values(request, "Content-Length");
        let length = lengths
            .first()
            .and_then(|length| String::from_utf8_lossy(length).parse().ok());
        Ok(Self::Length(length.unwrap_or(0)))
    }
}

fn keeps_open(request: &Request, is_new: bool) -> Result<bool, Trouble> {
    let mut keeps_open = is_new;
    for words in values(request, "Connection") {
        for word in words.split(|byte| *byte == b',') {
            match &*word.trim_ascii().to_ascii_lowercase() {
                b"keep-alive" => keeps_open = true,
                b"close" => return Ok(false),
                _ => return refuse(400, "unexpected Connection header"),
            }
        }
    }
    Ok(keeps_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status with which a head is refused, or where its body ends.
    fn framing(headers: &str) -> Result<Framing, u16> {
        let version = i32::from(!headers.starts_with("Old"));
        let text = format!("POST / HTTP/1.{version}\r\n{headers}\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = Request::new(&mut headers);
        assert!(request.parse(text.as_bytes()).unwrap().is_complete());
        Framing::of(&request, version == 1).map_err(|trouble| match trouble {
            Trouble::Refused(status, _) => status,
            Trouble::Gone(err) => panic!("{err}"),
        })
    }

    #[test]
    fn a_head_says_once_where_the_body_ends() {
        use Framing::{Chunked, Length};
        for (headers, expected) in [
            ("", Ok(Length(0))),
            ("content-length: 30\r\n", Ok(Length(30))),
            ("Content-Length: 007 \r\n", Ok(Length(7))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Chunked)),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", Err(400)),
            ("Content-Length: 3, 3\r\n", Err(400)),
            ("Content-Length: +3\r\n", Err(400)),
            ("Content-Length: -3\r\n", Err(400)),
            ("Content-Length: 0x3\r\n", Err(400)),
            ("Content-Length:\r\n", Err(400)),
            ("Content-Length: 99999999999999999999\r\n", Err(413)),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Old: 1\r\nTransfer-Encoding: chunked\r\n", Err(501)),
            ("Transfer-Encoding: gzip\r\n", Err(501)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(501)),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(400),
            ),
        ] {
            assert_eq!(framing(headers), expected, "{headers}");
        }
    }
}
