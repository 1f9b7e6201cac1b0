//! Step 8: filesystems with a size.
//!
//! The kernel's mount table says who uses which volume. Start reading at
//! `filesystem.rs`.

#![expect(
    clippy::todo,
    dead_code,
    unused_imports,
    unused_variables,
    reason = "TODO(8): delete the words that rustc names"
)]

mod arguments;
mod clock;
mod filesystem;
mod listener;
mod mounts;
mod names;
mod options;
mod programs;
mod protocol;
mod remove;
mod root;
mod server;
mod size;
mod slots;
mod socket;
mod stop;
mod store;
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
use slots::Slots;
use volumes::Volumes;

/// What all calls share.
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
    let slots = Arc::new(Slots::default());

    // Whatever ends the plugin sends word here.
    let (end, ended) = mpsc::channel();
    stop::at_signal(end.clone())?;
    let (listeners, traces) = listener::bind(&arguments)?;
    for listener in &listeners {
        server::start(listener, &answer, &slots, end.clone())?;
    }
    ended.recv()??;
    stop::finish(&listeners, traces, &slots, &ended)
}

/// What Docker gets for one call: a status and a text.
///
/// Docker takes 200 for success and anything else for a failure, whose text it
/// shows to whoever typed the command.
fn answer(path: &str, body: &[u8], plugin: &Plugin) -> (u16, String) {
    let call = Call::decode(path, body);
    protocol::encode(path, call.and_then(|call| act(path, call, plugin)))
}

/// Does what a call asks for.
fn act(path: &str, call: Call, plugin: &Plugin) -> Result<Reply, Failure> {
    let Plugin { volumes, names } = plugin;
    // Until this call has its answer, no other one gets its name.
    let claim = name(&call).map(|name| names.claim(name, &path[1..]));
    let _claim = claim.transpose()?;
    match call {
        Call::Activate => {
            Ok(Reply::Implements { implements: ["VolumeDriver"] })
        }
        Call::Capabilities => {
            Ok(Reply::Capabilities { capabilities: Scope { scope: "local" } })
        }
        Call::Create(it) => {
            volumes.create(it.name, &it.opts.unwrap_or_default())?;
            Ok(Reply::Done {})
        }
        Call::Get(it) => Ok(Reply::Volume { volume: volumes.get(&it.name)? }),
        Call::List => Ok(Reply::Volumes { volumes: volumes.list()? }),
        Call::Remove(it) => {
            volumes.remove(&it.name)?;
            Ok(Reply::Done {})
        }
        Call::Path(it) => {
            let mountpoint = volumes.get(&it.name)?.mountpoint;
            Ok(Reply::Mountpoint { mountpoint })
        }
        Call::Mount(it) => {
            let mountpoint = volumes.mount(&it.name, &it.id)?;
            Ok(Reply::Mountpoint { mountpoint })
        }
        Call::Unmount(it) => {
            volumes.unmount(&it.name, &it.id)?;
            Ok(Reply::Done {})
        }
    }
}

/// The name that a call is about, if it is about one.
fn name(call: &Call) -> Option<&str> {
    match call {
        Call::Activate | Call::Capabilities | Call::List => None,
        Call::Create(it) => Some(&it.name),
        Call::Get(it) | Call::Remove(it) | Call::Path(it) => Some(&it.name),
        Call::Mount(it) | Call::Unmount(it) => Some(&it.name),
    }
}
