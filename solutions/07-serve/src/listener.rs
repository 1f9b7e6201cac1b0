//! Where Docker finds the plugin besides its socket, and what tiny_http 0.12
//! lacks. No lesson needs a line of it.

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
use crate::text::shown;
use crate::turn;

/// The files that lead to us, until this is dropped: Docker waits 15 seconds
/// for each one that leads to nobody.
pub struct Traces(Vec<Trace>);

/// A file that leads to us.
struct Trace {
    path: PathBuf,
    /// Device and inode. While our socket is bound, and while our address is
    /// taken, no other file is the same and says the same.
    is: (u64, u64),
    says: Option<String>,
}

impl Trace {
    fn of(path: &Path, says: Option<String>) -> io::Result<Self> {
        let is = identity(path)?;
        Ok(Self { path: path.to_owned(), is, says })
    }

    /// Removes the file, unless another plugin's is there by now.
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

impl Drop for Traces {
    fn drop(&mut self) {
        for trace in &self.0 {
            if let Err(err) = trace.remove() {
                warn!("not removing {}: {err}", trace.path.display());
            }
        }
    }
}

/// Listens where the arguments say, or nowhere.
pub fn bind(arguments: &Arguments) -> Result<(Vec<&'static Listener>, Traces)> {
    // First, so that what is refused has not been there for a moment.
    let tcp = arguments.tcp.as_deref();
    let tcp = tcp.map(|at| bind_tcp(at, arguments.anyone)).transpose()?;

    let path = arguments.socket.clone();
    let server = socket::bind(&path)?;
    info!("listening on {}", path.display());
    let mut traces = Traces(vec![Trace::of(&path, None)?]);
    let knock = move || drop(UnixStream::connect(&path));
    let mut all = vec![Listener::new(server, knock)?];

    if let Some(tcp) = tcp {
        let address = tcp.local_addr()?;
        info!("listening on {address}");
        let address = home(address);
        if let Some(path) = &arguments.spec {
            let text = publish(path, address)
                .with_context(|| format!("--spec {}", path.display()))?;
            traces.0.push(Trace::of(path, Some(text))?);
        }
        let server = Server::from_listener(tcp, None)
            .map_err(anyhow::Error::from_boxed)?;
        let server = Box::leak(Box::new(server));
        let knock = move || drop(TcpStream::connect(address));
        all.push(Listener::new(server, knock)?);
    }
    Ok((all, traces))
}

fn bind_tcp(at: &str, anyone: bool) -> Result<TcpListener> {
    let addresses = at
        .to_socket_addrs()
        .with_context(|| format!("--tcp {at}: is it HOST:PORT?"))?;
    let addresses: Vec<_> = addresses.collect();
    if !addresses.iter().all(|it| it.ip().is_loopback()) {
        ensure!(
            anyone,
            "--tcp {at}: other machines reach it, and there is no password; \
             take 127.0.0.1, or add --anyone if that is what you want"
        );
        warn!(
            "--anyone: whoever reaches {at} can remove everybody's volumes and \
             read where their files are. There is no password and no \
             encryption: a proxy with TLS in front of 127.0.0.1 has both."
        );
    }
    TcpListener::bind(&addresses[..])
        .with_context(|| format!("--tcp {at}: binding"))
}

/// The address at which this machine finds us.
fn home(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Writes the file that tells Docker of an address, and returns its text.
fn publish(path: &Path, address: SocketAddr) -> Result<String> {
    let text = match path.extension().and_then(OsStr::to_str) {
        Some("spec") => format!("tcp://{address}\n"),
        Some("json") => {
            json!({ "Addr": format!("http://{address}") }).to_string()
        }
        _ => bail!("Docker reads only what ends in .spec or in .json"),
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
            bail!("it stays, because it is not ours: {}", shown(had.trim()))
        }
        Err(err) => bail!("it stays, because it is not ours: {err}"),
    }
    // Docker may look at any moment, and finds the whole text or none.
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

/// A new file whose name begins with that of `path`.
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

/// Whether `publish` can have written this, for a plugin that is gone.
fn is_stale(text: &str) -> bool {
    let spec = text.strip_prefix("tcp://").and_then(|it| it.strip_suffix('\n'));
    let json = text.strip_prefix("{\"Addr\":\"http://");
    let json = json.and_then(|it| it.strip_suffix("\"}"));
    let address = spec.or(json).and_then(|it| it.parse::<SocketAddr>().ok());
    address.is_some_and(|it| {
        it.ip().is_loopback() && TcpStream::connect(it).is_err()
    })
}

/// One place where requests arrive.
pub struct Listener {
    server: &'static Server,
    nudge: SyncSender<()>,
    closed: AtomicBool,
}

/// So often there is one more connection, whatever comes.
const TICK: Duration = Duration::from_millis(20);

impl Listener {
    /// Lives as long as the process.
    fn new(
        server: &'static Server,
        knock: impl Fn() + Send + 'static,
    ) -> Result<&'static Self> {
        // tiny_http 0.12.0 may leave a connection without a thread until another
        // one closes, and Docker keeps its connections open. So there is one
        // more connection, closed at once, for each request; and some where only
        // halves of requests come.
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

    /// The next request, or none once this is closed.
    pub fn recv(&self) -> Result<Option<Request>> {
        match self.server.recv() {
            Ok(request) => {
                // Full means that a nudge is under way: that one will do.
                let _ = self.nudge.try_send(());
                Ok(Some(request))
            }
            Err(_) if self.closed.load(Ordering::Relaxed) => Ok(None),
            // One error ends tiny_http's accepting for good: from then on the
            // process would only look alive. Whoever supervises it restarts it.
            Err(err) => Err(err).context("accepting connections"),
        }
    }

    /// What has arrived until now is the last that `recv` returns.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.server.unblock();
    }
}

/// Answers a request.
pub fn respond(request: Request, status: u16, text: String) -> io::Result<()> {
    let reply = Response::from_string(text).with_status_code(status);
    if request.remote_addr().is_none() {
        return request.respond(reply);
    }
    // Over TCP, tiny_http writes a long reply in two parts without
    // TCP_NODELAY, and the second one waits 40 ms until the client's kernel
    // acknowledges the first. So it is one.
    let mut whole = Vec::new();
    let is_head = *request.method() == Method::Head;
    let version = request.http_version().clone();
    reply.raw_print(&mut whole, version, request.headers(), is_head, None)?;
    let mut writer = request.into_writer();
    writer.write_all(&whole)?;
    writer.flush()
}
