//! Step 1: answer Docker's handshake.
//!
//! Docker finds this program by its socket. Its first call asks what kind of
//! plugin this is. Start reading at `answer`, which `server.rs` calls.

#![expect(
    clippy::todo,
    unused_imports,
    unused_variables,
    reason = "TODO(1): delete the words that rustc names"
)]

mod server;
mod socket;
mod text;
mod turn;

use std::env;
use std::path::Path;

use anyhow::{Result, ensure};
use env_logger::Env;
use log::info;

/// The path at which dockerd looks for the plugin of `-d workshop`.
const DEFAULT_SOCKET: &str = "/run/docker/plugins/workshop.sock";

const USAGE: &str = "usage: PROGRAM [SOCKET]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop. RUST_LOG=debug logs what Docker sends, too.";

fn main() -> Result<()> {
    env_logger::init_from_env(Env::default().default_filter_or("info"));
    server::watch_panics();
    let socket = env::args_os().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.into());
    if socket.as_encoded_bytes().starts_with(b"-") {
        ensure!(socket == "--help", "bad option {}\n{USAGE}", socket.display());
        println!("{USAGE}");
        return Ok(());
    }
    let server = socket::bind(Path::new(&socket))?;
    info!("listening on {}", socket.display());
    server::serve(server, &mut answer)
}

/// The answer to one call: a status and a text.
///
/// For Docker, 200 is success and any other status is a failure, whose text the
/// user sees.
fn answer(path: &str, _body: &[u8]) -> (u16, String) {
    match path {
        // TODO(1.1): answer Docker's question what kind of plugin this is. The
        // README shows how a plugin for networks answers it.
        "/Plugin.Activate" => todo!("1.1"),
        _ => {
            let path = text::excerpt(path);
            (404, format!("workshop: no call is named {path}"))
        }
    }
}
