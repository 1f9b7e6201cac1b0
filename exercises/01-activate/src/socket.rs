//! The socket on which Docker finds the plugin.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail};
use log::info;
use tiny_http::Server;

use crate::turn;

/// Listens on `socket`, which only the user of this process may use.
///
/// Fails if a running plugin answers there, or if the path is not a socket.
pub fn bind(socket: &Path) -> Result<&'static Server> {
    let path = socket.display();
    let mut private = DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(turn::folder(socket));
    made.with_context(|| format!("making the folder of {path}{HINT}"))?;
    // Until this function returns, no other plugin connects, removes or binds.
    let _turn = turn::take(socket)?;
    let listener = match UnixListener::bind(socket) {
        Err(err) if err.kind() == ErrorKind::AddrInUse => {
            remove_stale_socket(socket)?;
            UnixListener::bind(socket)
        }
        bound => bound,
    };
    let listener = listener.with_context(|| format!("binding {path}{HINT}"))?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    let server = Server::from_listener(listener, None);
    let server = server.map_err(anyhow::Error::from_boxed)?;
    // tiny_http removes the path when it drops a server, even if the socket of
    // a newer plugin has that path by then. So the server is never dropped.
    Ok(Box::leak(Box::new(server)))
}

/// The path may be too long (over 107 bytes), or its folder may be root's.
const HINT: &str = " (run as root, or give another, shorter path)";

/// Removes the socket that a killed plugin has left.
///
/// A socket file outlives its process, and no process can bind to a path that
/// exists.
fn remove_stale_socket(socket: &Path) -> Result<()> {
    // TODO(1.2): find out what is at the path, and whether a plugin still
    // answers there. Remove only what a killed plugin has left; return an error
    // for anything else.
    todo!("1.2")
}
