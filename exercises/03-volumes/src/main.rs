//! Step 3: keep volumes by name.
//!
//! `docker volume create`, `ls`, `inspect` and `rm` now mean something. What
//! the plugin remembers, and by which rules, is `volumes.rs`. Start reading at
//! `act`.

#![expect(
    dead_code,
    unused_variables,
    reason = "TODO(3): delete the words that rustc names"
)]

mod protocol;
mod server;
mod socket;
mod text;
mod turn;
mod volumes;

use std::env;
use std::path::Path;

use anyhow::{Result, ensure};
use env_logger::Env;
use log::info;

use protocol::{Call, Failure, Reply, Scope};
use volumes::Volumes;

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
    let mut volumes = Volumes::default();
    server::serve(server, &mut |path, body| answer(path, body, &mut volumes))
}

/// What Docker gets for one call: a status and a text.
///
/// Docker takes 200 for success and anything else for a failure, whose text it
/// shows to whoever typed the command.
fn answer(path: &str, body: &[u8], volumes: &mut Volumes) -> (u16, String) {
    let call = Call::decode(path, body);
    protocol::encode(path, call.and_then(|call| act(call, volumes)))
}

/// Does what a call asks for.
fn act(call: Call, volumes: &mut Volumes) -> Result<Reply, Failure> {
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        Call::Create(it) => {
            volumes.create(it.name, it.opts.unwrap_or_default())?;
            Ok(Reply::Done {})
        }
        Call::Get(it) => Ok(Reply::Volume { volume: volumes.get(&it.name)? }),
        Call::List => Ok(Reply::Volumes { volumes: volumes.list() }),
        Call::Remove(it) => {
            volumes.remove(&it.name)?;
            Ok(Reply::Done {})
        }
        Call::Path(it) => {
            let mountpoint = volumes.get(&it.name)?.mountpoint;
            Ok(Reply::Mountpoint { mountpoint })
        }
        Call::Mount(it) | Call::Unmount(it) => {
            volumes.get(&it.name)?;
            Err(Failure::NoDirectory(it.name))
        }
    }
}
