//! One connection: bytes come in as requests, and answers go out.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Status};

use crate::headers;
use crate::http::Head;
use crate::refusal::{Trouble, refuse, too_slow};
use crate::stream::Stream;

/// A connection, with the bytes that have arrived and are not used yet.
pub struct Client<'a> {
    stream: &'a Stream,
    /// How long one request may take to arrive, or one answer to leave.
    patience: Duration,
    buffer: Vec<u8>,
    /// The number of bytes in `buffer` that are used already.
    used: usize,
    /// The time by which the current request must have arrived; `None` until
    /// its first byte has.
    deadline: Option<Instant>,
}

impl<'a> Client<'a> {
    /// Each request, and each answer, may take as long as `patience`.
    pub fn new(stream: &'a Stream, patience: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(patience))?;
        let (buffer, used) = (Vec::new(), 0);
        Ok(Self { stream, patience, buffer, used, deadline: None })
    }

    /// Sends bytes; fails if the client does not take them in time.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(bytes, self.patience)
    }

    /// Reads the head of the next request; `None` if the client has hung up
    /// after the last one.
    pub fn read_head(&mut self) -> Result<Option<Head>, Trouble> {
        // TODO(9.1): refuse a head that has no end within `headers::LONGEST`
        // bytes. Tell a client that has hung up between two requests from one
        // that has cut its head off.
        loop {
            if let Some(head) = self.parse_head()? {
                return Ok(Some(head));
            }
            if self.fill(usize::MAX)? == 0 {
                return Ok(None);
            }
        }
    }

    /// Uses up the head of a request; `None` if not all of it has arrived yet.
    fn parse_head(&mut self) -> Result<Option<Head>, Trouble> {
        let mut headers = [EMPTY_HEADER; headers::MOST];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(self.unused()) {
            Ok(Status::Complete(length)) => {
                let head = Head::of(&request, self.stream.address()?)?;
                self.used += length;
                Ok(Some(head))
            }
            Ok(Status::Partial) => Ok(None),
            Err(err) => refuse(400, format!("not a head of HTTP: {err}")),
        }
    }

    /// The current request has arrived: the next one has a deadline of its own.
    pub fn has_request(&mut self) -> io::Result<()> {
        match self.deadline.take() {
            Some(_) => self.stream.set_read_timeout(None),
            None => Ok(()),
        }
    }

    /// The bytes that have arrived and are not used yet.
    pub fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Waits for the next `length` bytes, and uses them up.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        while self.unused().len() < length {
            if self.fill(length)? == 0 {
                return refuse(400, "the body is cut off");
            }
        }
        let taken = self.unused()[..length].to_vec();
        self.used += length;
        Ok(taken)
    }

    /// Waits for more bytes, until there are at most `most` unused ones.
    /// Returns the number of new bytes; 0 if the client sends no more.
    pub fn fill(&mut self, most: usize) -> Result<usize, Trouble> {
        /// In bytes. The buffer grows as bytes arrive, not as they are
        /// announced.
        const STEP: usize = 8 << 10;
        self.buffer.drain(..self.used);
        self.used = 0;
        self.bound_read()?;
        let had = self.buffer.len();
        self.buffer.resize(most.min(had + STEP), 0);
        let read = self.stream.read(&mut self.buffer[had..]);
        self.buffer.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Err(err) if err.kind() == ErrorKind::WouldBlock => too_slow(),
            read => Ok(read?),
        }
    }

    /// Bounds the next read by the time that is left for this request. Between
    /// two requests, the client may be silent for as long as it likes.
    fn bound_read(&mut self) -> Result<(), Trouble> {
        // TODO(9.3): from the first byte of a request on, the client has
        // `patience` for the whole request, however many reads that takes.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use crate::body;

    use super::*;

    /// Sends `bytes`, hangs up, and returns the bodies that the server's side
    /// reads, and the status of its refusal.
    fn bodies(pieces: &[&[u8]]) -> (Vec<String>, Option<u16>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = Stream::Unix(ours);
        let mut client = Client::new(&stream, Duration::from_secs(60)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut theirs = theirs;
                for piece in pieces {
                    theirs.write_all(piece).unwrap();
                    thread::yield_now();
                }
            });
            let mut bodies = Vec::new();
            loop {
                let body = client.read_head().and_then(|head| match head {
                    Some(head) => body::read(&mut client, &head).map(Some),
                    None => Ok(None),
                });
                match body {
                    Ok(Some(body)) => {
                        bodies.push(String::from_utf8(body).unwrap());
                    }
                    Ok(None) => return (bodies, None),
                    Err(Trouble::Refused(status, _)) => {
                        return (bodies, Some(status));
                    }
                    Err(Trouble::Gone(err)) => panic!("{err}"),
                }
            }
        })
    }

    const LENGTH: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKS: &[u8] =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;name=value\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn requests_may_come_in_any_pieces() {
        let both = [LENGTH, CHUNKS, LENGTH].concat();
        let expected = (vec!["hello".to_owned(); 3], None);
        assert_eq!(bodies(&[&both]), expected);
        let bytes: Vec<_> = both.chunks(1).collect();
        assert_eq!(bodies(&bytes), expected);
        for at in 0..both.len() {
            assert_eq!(bodies(&[&both[..at], &both[at..]]), expected, "{at}");
        }
    }

    #[test]
    fn a_request_that_is_cut_off_is_refused() {
        for whole in [LENGTH, CHUNKS] {
            for end in 1..whole.len() {
                let (bodies, status) = bodies(&[&whole[..end]]);
                assert_eq!((bodies.len(), status), (0, Some(400)), "{end}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let head = [b"POST / HTTP/1.1\r\nA: ", &[b'a'; headers::LONGEST][..]];
        assert_eq!(bodies(&head).1, Some(431));
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (after, status) in [
            (&b"100001\r\n"[..], 413),
            (b"ffffffffffffffff\r\n", 413),
            (b"fffffffffffffffff\r\n", 400),
            (b"5\r\nhello!\r\n", 400),
            (b"x\r\n", 400),
            (&[b'0'; 300], 400),
        ] {
            let (bodies, refusal) = bodies(&[chunked, after]);
            let case = String::from_utf8_lossy(after);
            assert_eq!((bodies.len(), refusal), (0, Some(status)), "{case}");
        }
    }
}
