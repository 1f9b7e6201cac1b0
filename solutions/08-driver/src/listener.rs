//! TCP listeners and the spec file, and workarounds for tiny_http 0.12. You do
//! not need to read this file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs,
};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError::Disconnected, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use log::{info, warn};
use serde_json::json;
use tiny_http::{Method, Request, Response, Server};

use crate::arguments::Arguments;
use crate::socket;
use crate::store;
use crate::text::excerpt;
use crate::turn;

/// The files by which Docker finds this plugin. Dropping this removes them,
/// because Docker waits 15 seconds for each one whose plugin does not answer.
pub struct Advertised(Vec<AdvertisedFile>);

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
            let now = store::read(path)?;
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
        for file in &self.0 {
            if let Err(err) = file.remove() {
                warn!("not removing {}: {err}", file.path.display());
            }
        }
    }
}

/// Binds everything that the arguments ask for, or fails without leaving
/// anything behind.
pub fn bind(
    arguments: &Arguments,
) -> Result<(Vec<&'static Listener>, Advertised)> {
    // Bind --tcp before the socket: a refused start must leave no trace.
    let tcp = arguments.tcp.as_deref();
    let tcp = tcp.map(|at| bind_tcp(at, arguments.anyone)).transpose()?;

    let path = arguments.socket.clone();
    let server = socket::bind(&path)?;
    info!("listening on {}", path.display());
    let mut advertised = Advertised(vec![AdvertisedFile::of(&path, None)?]);
    let knock = move || drop(UnixStream::connect(&path));
    let mut all = vec![Listener::new(server, knock)?];

    if let Some(tcp) = tcp {
        let address = tcp.local_addr()?;
        info!("listening on {address}");
        let address = reachable_address(address);
        if let Some(path) = &arguments.spec {
            let text = publish(path, address)
                .with_context(|| format!("--spec {}", path.display()))?;
            advertised.0.push(AdvertisedFile::of(path, Some(text))?);
        }
        let server = Server::from_listener(tcp, None)
            .map_err(anyhow::Error::from_boxed)?;
        let server = Box::leak(Box::new(server));
        let knock = move || drop(TcpStream::connect(address));
        all.push(Listener::new(server, knock)?);
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
        .map(|had| String::from_utf8_lossy(&had).into_owned())
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

/// One socket or TCP port that receives requests.
pub struct Listener {
    server: &'static Server,
    nudge: SyncSender<()>,
    closed: AtomicBool,
}

/// How often to open and close a dummy connection at least.
const TICK: Duration = Duration::from_millis(20);

impl Listener {
    /// The listener lives as long as the process.
    fn new(
        server: &'static Server,
        knock: impl Fn() + Send + 'static,
    ) -> Result<&'static Self> {
        // tiny_http 0.12.0 may leave a connection without a thread until
        // another one closes, and Docker keeps its connections open. So each
        // request opens and closes a dummy connection, and so does the timer,
        // for clients that have sent only half of a request.
        let (nudge, nudges) = mpsc::sync_channel(1);
        let knock = move || {
            while nudges.recv_timeout(TICK) != Err(Disconnected) {
                knock();
                thread::sleep(Duration::from_millis(1));
            }
        };
        thread::Builder::new().name("nudge".to_owned()).spawn(knock)?;
        let closed = AtomicBool::new(false);
        Ok(Box::leak(Box::new(Self { server, nudge, closed })))
    }

    /// The next request; `None` after `close`.
    pub fn recv(&self) -> Result<Option<Request>> {
        match self.server.recv() {
            Ok(request) => {
                // If the channel is full, a dummy connection is about to be
                // made anyway.
                let _ = self.nudge.try_send(());
                Ok(Some(request))
            }
            Err(_) if self.closed.load(Ordering::Relaxed) => Ok(None),
            // After one error, tiny_http accepts no more connections. If the
            // process ends, a supervisor can restart it.
            Err(err) => Err(err).context("accepting connections"),
        }
    }

    /// After this, `recv` returns only the requests that have already arrived.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.server.unblock();
    }
}

/// Sends the answer to a request.
pub fn respond(request: Request, status: u16, text: String) -> io::Result<()> {
    let reply = Response::from_string(text).with_status_code(status);
    if request.remote_addr().is_none() {
        return request.respond(reply);
    }
    // Over TCP, tiny_http writes a long reply in two parts without TCP_NODELAY,
    // and the second part waits 40 ms until the client's kernel acknowledges
    // the first. So this writes the reply in one part.
    let mut whole = Vec::new();
    let is_head = *request.method() == Method::Head;
    let version = request.http_version().clone();
    reply.raw_print(&mut whole, version, request.headers(), is_head, None)?;
    let mut writer = request.into_writer();
    writer.write_all(&whole)?;
    writer.flush()
}
