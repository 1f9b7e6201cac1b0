//! Serves the deck over HTTP, to this machine or, with `--everyone`, to all.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream,
};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tiny_http::{Method, Request, Server};

use crate::chapter::Deck;
use crate::page;
use crate::site;

/// Requests that are answered at once; this many slow readers delay the others.
const WORKERS: usize = 4;

/// A listening server, not yet serving.
pub struct Slides {
    root: PathBuf,
    server: Server,
    address: SocketAddr,
}

/// Listens on a port; 0 means any free port.
pub fn bind(root: &Path, port: u16, everyone: bool) -> Result<Slides> {
    let here = match everyone {
        true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        false => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let listener = match TcpListener::bind((here, port)) {
        Err(err) if err.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} is in use: stop what listens there, or choose another \
             with PORT=N (make) or --port N"
        ),
        bound => {
            bound.with_context(|| format!("listening on {here}:{port}"))?
        }
    };
    let address = listener.local_addr()?;
    let server = Server::from_listener(listener, None)
        .map_err(anyhow::Error::from_boxed)?;
    Ok(Slides { root: root.to_owned(), server, address })
}

impl Slides {
    /// The address for a browser on this machine.
    pub fn url(&self) -> String {
        format!("http://localhost:{}/", self.address.port())
    }

    /// Answers until the socket fails.
    pub fn serve(&self) -> Result<()> {
        let nudge = self.nudger();
        thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let request = self.server.recv().context("accepting")?;
                    // A full channel means that a nudge is on its way, which is
                    // enough.
                    let _ = nudge.try_send(());
                    self.answer(request);
                }
            };
            let workers: Vec<_> =
                (0..WORKERS).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                worker
                    .join()
                    .expect("a worker returns its error and does not panic")?;
            }
            Ok(())
        })
    }

    /// Frees connections that tiny_http 0.12 has stranded.
    ///
    /// tiny_http may leave a connection without a thread until another
    /// connection closes, and browsers keep theirs open. So this thread opens
    /// one more connection and closes it at once.
    fn nudger(&self) -> SyncSender<()> {
        let (nudge, nudges) = mpsc::sync_channel(1);
        let port = self.address.port();
        let home: IpAddr = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        thread::spawn(move || {
            for () in nudges {
                drop(TcpStream::connect((home, port)));
                thread::sleep(Duration::from_millis(1));
            }
        });
        nudge
    }

    fn answer(&self, request: Request) {
        let head = *request.method() == Method::Head;
        let (status, kind, body) = match request.method() {
            Method::Get | Method::Head => self.find(request.url()),
            _ => text(
                "405 Method Not Allowed",
                "slides can only be read: use GET\n",
            ),
        };
        let allow =
            if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let mut reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             {allow}Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: {POLICY}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if !head {
            reply.extend(body);
        }
        // One write, because tiny_http splits a reply into two, and the second
        // waits 40 ms for the client to acknowledge the first.
        let mut writer = request.into_writer();
        // A browser that has closed the connection needs no reply.
        let _ = writer.write_all(&reply).and_then(|()| writer.flush());
    }

    fn find(&self, url: &str) -> (&'static str, &'static str, Vec<u8>) {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let path = path.trim_start_matches('/');
        if path.is_empty() || path == "index.html" {
            return match self.page() {
                Ok(page) => {
                    ("200 OK", "text/html; charset=utf-8", page.into_bytes())
                }
                Err(err) => {
                    text("500 Internal Server Error", &format!("{err:#}\n"))
                }
            };
        }
        let found = site::file(&self.root, path).and_then(|file| {
            Some((site::content_type(&file), fs::read(file).ok()?))
        });
        match found {
            Some((kind, body)) => ("200 OK", kind, body),
            None => text("404 Not Found", "no such slide\n"),
        }
    }

    /// Reads the chapters at each request, so that an author saves and reloads.
    fn page(&self) -> Result<String> {
        let deck = Deck::read(&self.root)?;
        for problem in &deck.problems {
            // stderr may be closed; the page shows the problem as well.
            let _ = writeln!(io::stderr(), "{problem}");
        }
        Ok(page::page(&deck, site::has_npm(&self.root)))
    }
}

/// The page may load from this server only. reveal.js writes the speaker's
/// window with inline scripts and styles.
const POLICY: &str = "default-src 'self' data: blob: 'unsafe-inline'; \
                      frame-ancestors 'self'; base-uri 'none'";

fn text(
    status: &'static str,
    text: &str,
) -> (&'static str, &'static str, Vec<u8>) {
    (status, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}
