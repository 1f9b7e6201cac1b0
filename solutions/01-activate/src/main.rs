//! Step 1: answer Docker's handshake.
//!
//! Docker finds this program by its socket, and asks what it is before it asks
//! for anything else. Start reading at `answer`; `server.rs` is the way there.

mod server;
mod socket;
mod text;
mod turn;

use std::env;
use std::path::Path;

use anyhow::{Result, ensure};
use env_logger::Env;
use log::info;

/// Where a dockerd looks for the plugin that `-d workshop` names.
const DEFAULT_SOCKET: &str = "/run/docker/plugins/workshop.sock";

const USAGE: &str = "usage: PROGRAM [SOCKET]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop. RUST_LOG=debug logs what Docker sends, too.";

fn main() -> Result<()> {
    env_logger::init_from_env(Env::default().default_filter_or("info"));
    server::watch_panics();
    let socket = env::args_os().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.into());
    if socket.as_encoded_bytes().starts_with(b"-") {
        ensure!(socket == "--help", "no option {}\n{USAGE}", socket.display());
        println!("{USAGE}");
        return Ok(());
    }
    let server = socket::bind(Path::new(&socket))?;
    info!("listening on {}", socket.display());
    server::serve(server, &mut answer)
}

/// What Docker gets for one call: a status and a text.
///
/// Docker takes 200 for success and anything else for a failure, whose text it
/// shows to whoever typed the command.
fn answer(path: &str, _body: &[u8]) -> (u16, String) {
    match path {
        "/Plugin.Activate" => {
            (200, r#"{"Implements":["VolumeDriver"]}"#.to_owned())
        }
        _ => {
            let path = text::shown(path);
            (404, format!("workshop: no call is named {path}"))
        }
    }
}
