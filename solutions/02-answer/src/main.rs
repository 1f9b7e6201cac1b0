//! Step 2: JSON in, JSON out.
//!
//! Docker now sends every call of a volume driver. `protocol.rs` turns requests
//! into types and replies into JSON; this file decides what each call does.
//! Start reading at `answer`.

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
fn answer(path: &str, body: &[u8]) -> (u16, String) {
    protocol::encode(path, Call::decode(path, body).and_then(act))
}

/// Carries out a call.
fn act(call: Call) -> Result<Reply, Failure> {
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        // Docker does not check these names, and later steps use them in paths.
        Call::Create(args) if args.name.contains('/') => {
            Err(Failure::BadName(args.name))
        }
        Call::Create(args) => {
            info!("{} is acknowledged and forgotten, until step 3", args.name);
            Ok(Reply::Done {})
        }
        Call::List => Ok(Reply::Volumes { volumes: Vec::new() }),
        Call::Get(args) | Call::Remove(args) | Call::Path(args) => {
            Err(Failure::NoSuchVolume(args.name))
        }
        Call::Mount(args) | Call::Unmount(args) => {
            Err(Failure::NoSuchVolume(args.name))
        }
    }
}
