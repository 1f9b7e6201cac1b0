//! TCP listeners and the spec file, and workarounds for tiny_http 0.12. You do
//! not need to read this file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{mem, process};

use anyhow::{Context, Error, Result, bail, ensure};
use log::{info, warn};
use serde_json::json;
use tiny_http::{HTTPVersion, Method, Request, Response, Server};

use crate::arguments::Arguments;
use crate::slots::{Slot, Slots};
use crate::socket;
use crate::store;
use crate::text::excerpt;
use crate::turn;

/// The files by which Docker finds this plugin. Dropping this removes them,
/// because Docker waits 15 seconds for each one whose plugin does not answer.
pub struct Advertised {
    files: Vec<AdvertisedFile>,
    /// Kept open, so that the files can be removed when no file can be opened.
    spare: Vec<File>,
}

/// A file by which Docker finds this plugin.
struct AdvertisedFile {
    path: PathBuf,
    /// Device and inode. As long as this plugin listens, no other file has both
    /// this identity and this text.
    is: (u64, u64),
    says: Option<String>,
}

impl AdvertisedFile {
    fn of(path: &Path, says: Option<String>) -> io::Result<Self> {
        let is = identity(path)?;
        Ok(Self { path: path.to_owned(), is, says })
    }

    /// Removes the file, unless another plugin has replaced it.
    fn remove(&self) -> Result<()> {
        let Self { path, is, says } = self;
        let _turn = turn::take(path)?;
        ensure!(identity(path)? == *is, "another plugin has it now");
        if let Some(says) = says {
            let (now, _) = store::read(path)?;
            ensure!(now == says.as_bytes(), "another plugin has it now");
        }
        Ok(fs::remove_file(path)?)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let is = fs::symlink_metadata(path)?;
    Ok((is.dev(), is.ino()))
}

impl Drop for Advertised {
    fn drop(&mut self) {
        self.spare.clear();
        for file in &self.files {
            if let Err(err) = file.remove() {
                warn!("not removing {}: {err}", file.path.display());
            }
        }
    }
}

/// Binds everything that the arguments ask for, or fails without leaving
/// anything behind. A listener that fails later sends a message to `end`.
pub fn bind(
    arguments: &Arguments,
    end: &Sender<Result<()>>,
) -> Result<(Vec<&'static Listener>, Advertised)> {
    // Bind --tcp before the socket: a refused start must leave no trace.
    let tcp = arguments.tcp.as_deref();
    let tcp = tcp.map(|at| bind_tcp(at, arguments.anyone)).transpose()?;

    let path = arguments.socket.clone();
    let server = socket::bind(&path)?;
    info!("listening on {}", path.display());
    let spare = || File::open(turn::folder(&path));
    let mut advertised = Advertised {
        files: vec![AdvertisedFile::of(&path, None)?],
        spare: vec![spare()?, spare()?],
    };
    let knock = move || drop(UnixStream::connect(&path));
    let mut all = vec![Listener::new(server, end.clone(), knock)];

    if let Some(tcp) = tcp {
        let address = tcp.local_addr()?;
        info!("listening on {address}");
        let address = reachable_address(address);
        if let Some(path) = &arguments.spec {
            let text = publish(path, address)
                .with_context(|| format!("--spec {}", path.display()))?;
            advertised.files.push(AdvertisedFile::of(path, Some(text))?);
        }
        let server = Server::from_listener(tcp, None)
            .map_err(anyhow::Error::from_boxed)?;
        let server = Box::leak(Box::new(server));
        let knock = move || drop(TcpStream::connect(address));
        all.push(Listener::new(server, end.clone(), knock));
    }
    Ok((all, advertised))
}

fn bind_tcp(at: &str, anyone: bool) -> Result<TcpListener> {
    let addresses = at
        .to_socket_addrs()
        .with_context(|| format!("--tcp {at}: is it HOST:PORT?"))?;
    let addresses: Vec<_> = addresses.collect();
    if !addresses.iter().all(|address| address.ip().is_loopback()) {
        ensure!(
            anyone,
            "--tcp {at}: other machines reach it, and there is no password; \
             take 127.0.0.1, or add --anyone if that is what you want"
        );
        warn!(
            "--anyone: anyone who reaches {at} can remove all volumes and see \
             where their files are. There is no password and no encryption: \
             a proxy with TLS in front of 127.0.0.1 adds both."
        );
    }
    TcpListener::bind(&addresses[..])
        .with_context(|| format!("--tcp {at}: binding"))
}

/// The address under which this machine reaches the plugin.
fn reachable_address(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Writes the file that tells Docker the address, and returns its text.
fn publish(path: &Path, address: SocketAddr) -> Result<String> {
    let text = match path.extension().and_then(OsStr::to_str) {
        Some("spec") => format!("tcp://{address}\n"),
        Some("json") => {
            json!({ "Addr": format!("http://{address}") }).to_string()
        }
        _ => bail!("Docker reads only files that end in .spec or .json"),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let _turn = turn::take(path)?;
    match store::read(path)
        .map(|(had, _)| String::from_utf8_lossy(&had).into_owned())
    {
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Ok(had) if had == text || is_stale(&had) => {
            info!("replacing {}, which a killed plugin left", path.display());
        }
        Ok(had) => {
            bail!("it stays, because it is not ours: {}", excerpt(had.trim()))
        }
        Err(err) => bail!("it stays, because it is not ours: {err}"),
    }
    // Docker may read the file at any moment, and must find the whole text or
    // no file.
    let (mut file, aside) = create_beside(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written?;
    Ok(text)
}

/// Creates a file beside `path` whose name begins with the name of `path`.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = process::id();
    loop {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{number}"));
        match File::create_new(&aside) {
            Err(err) if err.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return Ok((made?, aside.into())),
        }
    }
}

/// Whether `publish` may have written this text for a plugin that no longer
/// runs.
fn is_stale(text: &str) -> bool {
    let spec =
        text.strip_prefix("tcp://").and_then(|spec| spec.strip_suffix('\n'));
    let json = text.strip_prefix("{\"Addr\":\"http://");
    let json = json.and_then(|json| json.strip_suffix("\"}"));
    let address =
        spec.or(json).and_then(|text| text.parse::<SocketAddr>().ok());
    address.is_some_and(|address| {
        address.ip().is_loopback() && TcpStream::connect(address).is_err()
    })
}

/// In bytes. A request that announces a longer body is refused before the body
/// is read.
const LONGEST_PROMISE: usize = 64 << 20;

/// So many threads start as soon as all others are busy, and stay.
const FEW: usize = 4;
/// More threads start only if none takes a request for this long. If they all
/// work, more threads than processors would only interrupt each other.
const STUCK: Duration = Duration::from_millis(5);

/// One socket or TCP port that receives requests.
pub struct Listener {
    pub slots: Slots,
    server: &'static Server,
    end: Sender<Result<()>>,
    /// Opens and closes a dummy connection.
    knock: Box<dyn Fn() + Send + Sync>,
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
        end: Sender<Result<()>>,
        knock: impl Fn() + Send + Sync + 'static,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            slots: Slots::default(),
            server,
            end,
            knock: Box::new(knock),
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
            (self.knock)();
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
        // tiny_http writes a long reply in two parts without TCP_NODELAY, and
        // over TCP the second part waits 40 ms until the client's kernel
        // acknowledges the first. So this writes the reply in one part.
        let mut whole = Vec::new();
        reply.raw_print(&mut whole, self.version, &[], self.is_head, None)?;
        self.writer.write_all(&whole)?;
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;
    use std::sync::mpsc;

    use super::*;

    /// A listener, and a connection to it.
    fn connected(name: &str) -> (&'static Listener, UnixStream) {
        let folder = format!("workshop-{}-{name}", process::id());
        let folder = env::temp_dir().join(folder);
        let path = folder.join("workshop.sock");
        let server = socket::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        fs::remove_dir_all(folder).unwrap();
        (Listener::new(server, mpsc::channel().0, || ()), client)
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
        assert_eq!(listener.slots.at_work(), ["POST /"]);
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
        assert!(listener.slots.at_work().is_empty());
    }
}
