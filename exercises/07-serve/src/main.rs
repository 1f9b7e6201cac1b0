//! Step 7: many calls at once, and a clean stop.
//!
//! Several threads answer requests, and each name has at most one call at a
//! time. Start reading at `serve` in `server.rs`.

#![expect(
    clippy::todo,
    dead_code,
    unused_imports,
    unused_variables,
    reason = "TODO(7): delete the words that rustc names"
)]

mod clock;
mod listener;
mod names;
mod options;
mod protocol;
mod remove;
mod root;
mod server;
mod slots;
mod socket;
mod stop;
mod store;
mod text;
mod turn;
mod volumes;

use std::env;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Result, ensure};
use env_logger::Env;

use names::Names;
use protocol::{Call, Failure, Reply, Scope};
use server::Answer;
use volumes::Volumes;

/// The path at which dockerd looks for the plugin of `-d workshop`.
const DEFAULT_SOCKET: &str = "/run/docker/plugins/workshop.sock";

/// The folder of all volumes.
const DEFAULT_ROOT: &str =
    concat!("/var/lib/workshop/", env!("CARGO_PKG_NAME"));

const USAGE: &str = "usage: PROGRAM [SOCKET] [ROOT]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop, with a folder for each volume in ROOT. RUST_LOG=debug logs
what Docker sends, too.";

/// The data that all calls share.
struct Plugin {
    volumes: Volumes,
    names: Names,
}

fn main() -> Result<()> {
    env_logger::init_from_env(Env::default().default_filter_or("info"));
    // Whatever ends the plugin sends a message here.
    let (end, ended) = mpsc::channel();
    server::watch_panics(end.clone());
    let socket = env::args_os().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.into());
    if socket.as_encoded_bytes().starts_with(b"-") {
        ensure!(socket == "--help", "bad option {}\n{USAGE}", socket.display());
        println!("{USAGE}");
        return Ok(());
    }
    let root = env::args_os().nth(2).unwrap_or_else(|| DEFAULT_ROOT.into());
    let volumes = Volumes::new(Path::new(&root))?;
    let plugin = Plugin { volumes, names: Names::default() };
    let answer: &Answer =
        Box::leak(Box::new(move |path: &str, body: &[u8]| {
            answer(path, body, &plugin)
        }));

    stop::at_signal(end.clone())?;
    let (listener, advertised) =
        listener::bind(Path::new(&socket), end.clone())?;
    server::start(listener, answer, end)?;
    ended.recv()??;
    stop::finish(listener, advertised)
}

/// The answer to one call: a status and a text.
///
/// For Docker, 200 is success and any other status is a failure, whose text the
/// user sees.
fn answer(path: &str, body: &[u8], plugin: &Plugin) -> (u16, String) {
    let call = Call::decode(path, body);
    protocol::encode(path, call.and_then(|call| act(call, plugin)))
}

/// Carries out a call.
fn act(call: Call, plugin: &Plugin) -> Result<Reply, Failure> {
    let Plugin { volumes, names } = plugin;
    // Until this call is answered, no other call can claim its name.
    let _claim = name(&call).map(|name| names.claim(name));
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        Call::Create(args) => {
            volumes.create(args.name, &args.opts.unwrap_or_default())?;
            Ok(Reply::Done {})
        }
        Call::Get(args) => {
            Ok(Reply::Volume { volume: volumes.get(&args.name)? })
        }
        Call::List => Ok(Reply::Volumes { volumes: volumes.list()? }),
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

/// The name of the volume that a call concerns, if any.
fn name(call: &Call) -> Option<&str> {
    match call {
        Call::Activate | Call::Capabilities | Call::List => None,
        Call::Create(args) => Some(&args.name),
        Call::Get(args)
        | Call::Remove(args)
        | Call::Path(args)
        | Call::Mount(args)
        | Call::Unmount(args) => Some(&args.name),
    }
}
