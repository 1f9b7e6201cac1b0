//! Step 4: give each volume a directory.
//!
//! Containers now see files: Docker asks for a volume's directory, and mounts
//! it in the container. Start reading at `volumes.rs`.

#![expect(
    clippy::todo,
    dead_code,
    unused_imports,
    unused_variables,
    reason = "TODO(4): delete the words that rustc names"
)]

mod protocol;
mod root;
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

/// The path at which dockerd looks for the plugin of `-d workshop`.
const DEFAULT_SOCKET: &str = "/run/docker/plugins/workshop.sock";

/// The folder of all volumes.
const DEFAULT_ROOT: &str =
    concat!("/var/lib/workshop/", env!("CARGO_PKG_NAME"));

const USAGE: &str = "usage: PROGRAM [SOCKET] [ROOT]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop, with a directory for each volume in ROOT. RUST_LOG=debug logs
what Docker sends, too.";

fn main() -> Result<()> {
    env_logger::init_from_env(Env::default().default_filter_or("info"));
    server::watch_panics();
    let socket = env::args_os().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.into());
    if socket.as_encoded_bytes().starts_with(b"-") {
        ensure!(socket == "--help", "bad option {}\n{USAGE}", socket.display());
        println!("{USAGE}");
        return Ok(());
    }
    let root = env::args_os().nth(2).unwrap_or_else(|| DEFAULT_ROOT.into());
    let mut volumes = Volumes::new(Path::new(&root))?;
    let server = socket::bind(Path::new(&socket))?;
    info!("listening on {}", socket.display());
    server::serve(server, &mut |path, body| answer(path, body, &mut volumes))
}

/// The answer to one call: a status and a text.
///
/// For Docker, 200 is success and any other status is a failure, whose text the
/// user sees.
fn answer(path: &str, body: &[u8], volumes: &mut Volumes) -> (u16, String) {
    let call = Call::decode(path, body);
    protocol::encode(path, call.and_then(|call| act(call, volumes)))
}

/// Carries out a call.
fn act(call: Call, volumes: &mut Volumes) -> Result<Reply, Failure> {
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        Call::Create(args) => {
            volumes.create(args.name, args.opts.unwrap_or_default())?;
            Ok(Reply::Done {})
        }
        Call::Get(args) => {
            Ok(Reply::Volume { volume: volumes.get(&args.name)? })
        }
        Call::List => Ok(Reply::Volumes { volumes: volumes.list() }),
        Call::Remove(args) => {
            volumes.remove(&args.name)?;
            Ok(Reply::Done {})
        }
        Call::Path(args) => {
            let mountpoint = volumes.get(&args.name)?.mountpoint;
            Ok(Reply::Mountpoint { mountpoint })
        }
        Call::Mount(args) => {
            Ok(Reply::Mountpoint { mountpoint: volumes.mount(&args.name)? })
        }
        Call::Unmount(args) => {
            volumes.unmount(&args.name)?;
            Ok(Reply::Done {})
        }
    }
}
