//! A connection through either door. You do not need to read this file.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connection of either kind. Several threads may use it at once.
pub enum Stream {
    /// A connection through the Unix socket.
    Unix(UnixStream),
    /// A connection through the TCP port.
    Tcp(TcpStream),
}

impl Stream {
    /// The address to which a client has connected over TCP; `None` for a
    /// client of the Unix socket.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        let Self::Tcp(stream) = self else { return Ok(None) };
        let mut address = stream.local_addr()?;
        address.set_ip(address.ip().to_canonical());
        Ok(Some(address))
    }

    /// Bounds the next reads; `None` removes the bound.
    pub fn set_read_timeout(&self, most: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(most),
            Self::Tcp(stream) => stream.set_read_timeout(most),
        }
    }

    /// Bounds the next writes.
    pub fn set_write_timeout(&self, most: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_write_timeout(most),
            Self::Tcp(stream) => stream.set_write_timeout(most),
        }
    }

    /// Ends the connection in one direction or in both, in all threads.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        }
    }

    /// Reads once. `WouldBlock` means that the bound on reads is reached.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Unix(stream) => (&*stream).read(buffer),
            Self::Tcp(stream) => (&*stream).read(buffer),
        })
    }

    /// Sends bytes; fails if the client does not take all of them within
    /// `patience`. A single write may take as long.
    pub fn send(&self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while !bytes.is_empty() {
            let sent = retry(|| match self {
                Self::Unix(stream) => (&*stream).write(bytes),
                Self::Tcp(stream) => (&*stream).write(bytes),
            });
            match sent {
                Ok(sent) if Instant::now() < deadline => bytes = &bytes[sent..],
                Err(err) if err.kind() != ErrorKind::WouldBlock => {
                    return Err(err);
                }
                _ => return Err(ErrorKind::TimedOut.into()),
            }
        }
        Ok(())
    }

    /// Closes a connection on which the client may still be sending.
    ///
    /// If bytes were left unread, the client's kernel could throw away the
    /// answer when it hears of the end.
    pub fn close(&self) {
        const LONGEST: Duration = Duration::from_secs(1);
        const MOST: usize = 64 << 20;
        let deadline = Instant::now() + LONGEST;
        let (mut rest, mut read) = ([0; 8 << 10], 0);
        let _ = self.shutdown(Shutdown::Write);
        while read < MOST && Instant::now() < deadline {
            let bounded = self.set_read_timeout(Some(LONGEST));
            match bounded.and_then(|()| self.read(&mut rest)) {
                Ok(0) | Err(_) => return,
                Ok(more) => read += more,
            }
        }
    }
}

/// Repeats what a signal has interrupted. With a bound on reads and writes, the
/// kernel does not do that.
fn retry(mut what: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match what() {
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
