//! The socket as the place where Docker finds the plugin, and workarounds for
//! tiny_http 0.12. You do not need to read this file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};
use log::{info, warn};
use tiny_http::{HTTPVersion, Method, Request, Response, Server};

use crate::slots::{Slot, Slots};
use crate::socket;
use crate::text::excerpt;
use crate::turn;

/// The socket by which Docker finds this plugin. Dropping this removes the
/// socket, because Docker waits 15 seconds for each one that no plugin answers.
pub struct Advertised {
    path: PathBuf,
    /// Device and inode. As long as this plugin listens, no other file has this
    /// identity.
    is: (u64, u64),
    /// Kept open, so that the socket can be removed when no file can be opened.
    spare: Option<File>,
}

impl Advertised {
    fn of(path: &Path) -> Result<Self> {
        let spare = Some(File::open(turn::folder(path))?);
        Ok(Self { path: path.to_owned(), is: identity(path)?, spare })
    }

    /// Removes the socket, unless another plugin has replaced it.
    fn remove(&self) -> Result<()> {
        let Self { path, is, .. } = self;
        let _turn = turn::take(path)?;
        ensure!(identity(path)? == *is, "another plugin has it now");
        Ok(fs::remove_file(path)?)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let is = fs::symlink_metadata(path)?;
    Ok((is.dev(), is.ino()))
}

impl Drop for Advertised {
    fn drop(&mut self) {
        self.spare = None;
        if let Err(err) = self.remove() {
            warn!("not removing {}: {err}", self.path.display());
        }
    }
}

/// Listens on `path`. A listener that fails later sends a message to `end`.
pub fn bind(
    path: &Path,
    end: Sender<Result<()>>,
) -> Result<(&'static Listener, Advertised)> {
    let server = socket::bind(path)?;
    info!("listening on {}", path.display());
    let advertised = Advertised::of(path)?;
    Ok((Listener::new(server, path.to_owned(), end), advertised))
}

/// In bytes. A request that announces a longer body is refused before the body
/// is read.
const LONGEST_PROMISE: usize = 64 << 20;

/// So many threads start as soon as all others are busy, and stay.
const FEW: usize = 4;
/// More threads start only if none takes a request for this long. If they all
/// work, more threads than processors would only interrupt each other.
const STUCK: Duration = Duration::from_millis(5);

/// The socket that receives requests.
pub struct Listener {
    pub slots: Slots,
    server: &'static Server,
    path: PathBuf,
    end: Sender<Result<()>>,
    threads: Mutex<Threads>,
    /// The thread in `await_need`.
    watcher: OnceLock<Thread>,
    /// The number of sockets whose connections all have a thread of tiny_http.
    served: AtomicUsize,
    closed: AtomicBool,
}

/// The threads that call `recv`. All but the free ones have a slot.
struct Threads {
    count: usize,
    last_taken: Instant,
}

impl Listener {
    /// The listener lives as long as the process.
    fn new(
        server: &'static Server,
        path: PathBuf,
        end: Sender<Result<()>>,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            slots: Slots::default(),
            server,
            path,
            end,
            threads: Mutex::new(Threads {
                count: 0,
                last_taken: Instant::now(),
            }),
            watcher: OnceLock::new(),
            served: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// Waits until another thread must call `recv`. Only one thread may wait
    /// here.
    pub fn await_need(&self) -> Result<()> {
        self.watcher.get_or_init(thread::current);
        loop {
            let is_busy = self.free_threads() == 0;
            if is_busy && self.needs_thread()? {
                self.threads().count += 1;
                return Ok(());
            }
            if self.nudge() {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            // This looks at most 200 times a second. A request ends the second
            // wait, but no thread receives one while all are busy.
            thread::sleep(STUCK);
            if !is_busy {
                thread::park_timeout(Duration::from_millis(100));
            }
        }
    }

    /// Whether all threads are too busy for the next request.
    fn needs_thread(&self) -> Result<bool> {
        let is_stuck = self.threads().last_taken.elapsed() > STUCK;
        let needs = is_stuck || self.slots.taken() < FEW;
        Ok(needs && self.slots.has_free()?)
    }

    fn free_threads(&self) -> usize {
        self.threads().count.saturating_sub(self.slots.taken())
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and closes a dummy connection if there may be connections without
    /// a thread; returns whether there may be more.
    ///
    /// tiny_http 0.12.0 may leave a new connection without a thread until
    /// another one closes, and Docker keeps its connections open.
    fn nudge(&self) -> bool {
        let served = self.served.load(Ordering::Relaxed);
        let open = open_sockets();
        let more = open.is_some_and(|open| open > served);
        if more || open.is_none() {
            drop(UnixStream::connect(&self.path));
        }
        let served = if more { served + 1 } else { open.unwrap_or(served) };
        self.served.store(served, Ordering::Relaxed);
        more
    }

    /// The next request and its slot; `None` if the calling thread must end.
    /// Many threads may wait here.
    pub fn recv(&'static self) -> Option<(Request, Slot)> {
        {
            let mut threads = self.threads();
            if threads.count > self.slots.taken() + FEW {
                threads.count -= 1;
                return None;
            }
        }
        let request = match self.server.recv() {
            Ok(request) => request,
            Err(err) => {
                // After one error, tiny_http accepts no more connections. If
                // the process ends, a supervisor can restart it.
                let err = Error::new(err).context("accepting connections");
                let _ = self.end.send(Err(err));
                return None;
            }
        };
        let call = format!("{} {}", request.method(), request.url());
        let slot = self.slots.take(excerpt(&call));
        if self.closed.load(Ordering::SeqCst) {
            // The end of the process is the answer.
            mem::forget(request);
            return None;
        }
        self.threads().last_taken = Instant::now();
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
        if request.body_length().is_some_and(|it| it > LONGEST_PROMISE) {
            refuse(request, slot);
            return None;
        }
        Some((request, slot))
    }

    /// From now on, no request is received.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// How many sockets this process has, if the system can tell.
fn open_sockets() -> Option<usize> {
    let files = fs::read_dir("/dev/fd").ok()?.flatten();
    let files = files.filter_map(|file| fs::metadata(file.path()).ok());
    Some(files.filter(|file| file.file_type().is_socket()).count())
}

/// Refuses a request that announces too long a body.
///
/// tiny_http 0.12.0 has no limit of its own, so the unread request is never
/// dropped, and its connection never closed. It keeps its slot: so many of them
/// end the plugin.
fn refuse(request: Request, slot: Slot) {
    warn!("{} -> 413, and its connection is given up", slot.call);
    let refusal = Response::from_string("workshop: the body is too long");
    mem::forget(request.upgrade("", refusal.with_status_code(413)));
    mem::forget(slot);
}

/// Where the answer to one request goes.
pub struct Reply {
    writer: Box<dyn Write + Send>,
    version: HTTPVersion,
    is_head: bool,
}

impl Reply {
    /// Waits until the earlier requests of the same connection are answered.
    pub fn in_turn(request: Request) -> Self {
        let version = request.http_version().clone();
        let is_head = *request.method() == Method::Head;
        let mut writer = request.into_writer();
        // tiny_http receives requests of one connection at the same time, but
        // lets only the writer of the first one pass.
        let _ = writer.flush();
        Self { writer, version, is_head }
    }

    /// Sends the answer.
    pub fn send(mut self, status: u16, text: String) -> io::Result<()> {
        let reply = Response::from_string(text).with_status_code(status);
        let Self { writer, version, is_head } = &mut self;
        reply.raw_print(&mut *writer, version.clone(), &[], *is_head, None)?;
        writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::mpsc;
    use std::{env, process};

    use super::*;

    /// A listener, and a connection to it.
    fn connected(name: &str) -> (&'static Listener, UnixStream) {
        let folder = format!("workshop-{}-{name}", process::id());
        let folder = env::temp_dir().join(folder);
        let path = folder.join("workshop.sock");
        let server = socket::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        fs::remove_dir_all(folder).unwrap();
        (Listener::new(server, path, mpsc::channel().0), client)
    }

    #[test]
    fn a_length_that_is_refused_keeps_its_slot() {
        let (listener, mut client) = connected("refused");
        let length = LONGEST_PROMISE + 1;
        write!(client, "POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")
            .unwrap();
        listener.await_need().unwrap();
        assert!(listener.recv().is_none(), "its thread must end");
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 413");
        assert_eq!(listener.slots.at_work(Instant::now()), ["POST /"]);
        assert_eq!(listener.free_threads(), 0);
    }

    #[test]
    fn a_thread_starts_when_all_are_busy_and_few_stay() {
        let (listener, mut client) = connected("threads");
        let mut running = Vec::new();
        for _ in 0..2 * FEW {
            write!(client, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            listener.await_need().unwrap();
            running.extend(listener.recv());
        }
        assert_eq!((running.len(), listener.free_threads()), (2 * FEW, 0));
        drop(running);
        for free in (FEW..2 * FEW).rev() {
            assert!(listener.recv().is_none());
            assert_eq!(listener.free_threads(), free);
        }
    }

    #[test]
    fn no_request_is_received_after_the_end() {
        let (listener, mut client) = connected("closed");
        listener.close();
        write!(client, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap();
        listener.await_need().unwrap();
        assert!(listener.recv().is_none());
        assert!(listener.slots.at_work(Instant::now()).is_empty());
    }
}
