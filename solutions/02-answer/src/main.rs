//! Step 2: JSON in, JSON out.
//!
//! Docker now sends every call of a volume driver. `protocol.rs` turns what
//! travels into types and back; what the calls mean is decided here. Start
//! reading at `answer`.

mod protocol;
mod server;
mod socket;
mod text;
mod turn;

use std::env;
use std::path::Path;

use anyhow::{Result, ensure};
use env_logger::Env;
use log::info;

use protocol::{Call, Failure, Reply, Scope};

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
fn answer(path: &str, body: &[u8]) -> (u16, String) {
    protocol::encode(path, Call::decode(path, body).and_then(act))
}

/// Does what a call asks for.
fn act(call: Call) -> Result<Reply, Failure> {
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        // Docker checks none of these names, and later steps make paths of them.
        Call::Create(it) if it.name.contains('/') => {
            Err(Failure::BadName(it.name))
        }
        Call::Create(it) => {
            info!("{} is acknowledged and forgotten, until step 3", it.name);
            Ok(Reply::Done {})
        }
        Call::List => Ok(Reply::Volumes { volumes: Vec::new() }),
        Call::Get(it) | Call::Remove(it) | Call::Path(it) => {
            Err(Failure::NoSuchVolume(it.name))
        }
        Call::Mount(it) | Call::Unmount(it) => {
            Err(Failure::NoSuchVolume(it.name))
        }
    }
}
