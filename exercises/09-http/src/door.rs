//! The doors through which clients come: a Unix socket, and a TCP port. You do
//! not need to read this file.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, ensure};
use log::{info, warn};

use crate::arguments::Arguments;
use crate::socket;
use crate::spec::{self, Advertised};
use crate::stream::Stream;

/// A listener of either kind.
pub enum Door {
    /// Only the user of this process can connect.
    Unix(UnixListener),
    /// Every user of the machine can connect.
    Tcp(TcpListener),
}

/// Binds everything that the arguments ask for, or fails without leaving
/// anything behind.
pub fn bind(arguments: &Arguments) -> Result<(Vec<Door>, Advertised)> {
    // Bind --tcp before the socket: a refused start must leave no trace.
    let tcp = arguments.tcp.as_deref();
    let tcp = tcp.map(|at| bind_tcp(at, arguments.anyone)).transpose()?;

    let path = &arguments.socket;
    let mut doors = vec![Door::Unix(socket::bind(path)?)];
    info!("listening on {}", path.display());
    let mut advertised = Advertised::default();
    advertised.add(path, None)?;

    if let Some(tcp) = tcp {
        let address = tcp.local_addr()?;
        info!("listening on {address}");
        if let Some(path) = &arguments.spec {
            let text = spec::publish(path, address)
                .with_context(|| format!("--spec {}", path.display()))?;
            advertised.add(path, Some(text))?;
        }
        doors.push(Door::Tcp(tcp));
    }
    Ok((doors, advertised))
}

fn bind_tcp(at: &str, anyone: bool) -> Result<TcpListener> {
    let addresses = at
        .to_socket_addrs()
        .with_context(|| format!("--tcp {at}: is it HOST:PORT?"))?;
    let addresses: Vec<_> = addresses.collect();
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        warn!(
            "--tcp {at}: every user of this machine can remove all volumes \
             there, because the port has no password"
        );
    } else {
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

impl Door {
    /// Waits for the next client.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
            Self::Tcp(listener) => {
                let stream = listener.accept()?.0;
                // Otherwise an answer may wait for the client to acknowledge
                // the one before it.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}
