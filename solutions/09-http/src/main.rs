//! Step 9: the server under your feet, and the other door.
//!
//! Each client has a thread, which reads requests from a Unix socket or from a
//! TCP port. Start reading at `converse` in `server.rs`.

mod arguments;
mod body;
mod client;
mod clock;
mod connections;
mod door;
mod filesystem;
mod headers;
mod http;
mod mounts;
mod names;
mod options;
mod programs;
mod protocol;
mod refusal;
mod remove;
mod reply;
mod root;
mod server;
mod size;
mod socket;
mod spec;
mod stop;
mod store;
mod strangers;
mod stream;
mod text;
mod turn;
mod volumes;

use std::env;
use std::sync::{Arc, mpsc};

use anyhow::Result;
use env_logger::Env;

use arguments::{Arguments, USAGE};
use names::Names;
use protocol::{Call, Failure, Reply, Scope};
use server::Answer;
use volumes::Volumes;

/// The data that all calls share.
struct Plugin {
    volumes: Volumes,
    names: Names,
}

fn main() -> Result<()> {
    env_logger::init_from_env(Env::default().default_filter_or("info"));
    server::watch_panics();
    if env::args_os().any(|word| word == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let arguments = Arguments::read(env::args_os().skip(1))?;
    let patience = arguments.patience;
    let volumes = Volumes::new(&arguments.root, patience)?;
    let plugin = Plugin { volumes, names: Names::new(patience) };
    let answer: Arc<Answer> =
        Arc::new(move |path: &str, body: &[u8]| answer(path, body, &plugin));

    // A signal sends a message here.
    let (end, ended) = mpsc::channel();
    stop::at_signal(end)?;
    let (doors, advertised) = door::bind(&arguments)?;
    let open = |door| server::open(door, patience, &answer);
    let connections =
        doors.into_iter().map(open).collect::<Result<Vec<_>>>()?;
    ended.recv()?;
    stop::finish(&connections, advertised)
}

/// The answer to one call: a status and a text.
///
/// For Docker, 200 is success and any other status is a failure, whose text the
/// user sees.
fn answer(path: &str, body: &[u8], plugin: &Plugin) -> (u16, String) {
    let call = Call::decode(path, body);
    protocol::encode(path, call.and_then(|call| act(path, call, plugin)))
}

/// Carries out a call.
fn act(path: &str, call: Call, plugin: &Plugin) -> Result<Reply, Failure> {
    let Plugin { volumes, names } = plugin;
    // Until this call is answered, no other call can claim its name.
    let claim = name(&call).map(|name| names.claim(name, &path[1..]));
    let _claim = claim.transpose()?;
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
            let mountpoint = volumes.mount(&args.name, &args.id)?;
            Ok(Reply::Mountpoint { mountpoint })
        }
        Call::Unmount(args) => {
            volumes.unmount(&args.name, &args.id)?;
            Ok(Reply::Done {})
        }
    }
}

/// The name of the volume that a call concerns, if any.
fn name(call: &Call) -> Option<&str> {
    match call {
        Call::Activate | Call::Capabilities | Call::List => None,
        Call::Create(args) => Some(&args.name),
        Call::Get(args) | Call::Remove(args) | Call::Path(args) => {
            Some(&args.name)
        }
        Call::Mount(args) | Call::Unmount(args) => Some(&args.name),
    }
}
