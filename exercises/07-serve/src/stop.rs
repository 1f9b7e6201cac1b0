//! Shutdown on a signal.

use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::listener::{Advertised, Listener};

/// Docker kills a container 10 seconds after it asked the container to stop.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends a message at the first SIGTERM or SIGINT, and ends the process at the
/// second one.
pub fn at_signal(end: Sender<Result<()>>) -> Result<()> {
    // TODO(7.3): wait for both signals in a thread with a name. The first
    // signal sends `Ok(())` to `end`. If the same signal comes again, do what
    // it does to other programs.

    Ok(())
}

/// Finishes the running calls, and accepts no new ones.
///
/// If a call is cut off, Docker repeats it, but without its body.
pub fn finish(listener: &Listener, advertised: Advertised) -> Result<()> {
    // TODO(7.4): remove the files by which Docker finds us, and finish the
    // running calls. Then close the listener, and finish the calls that were
    // received meanwhile. Calls that still run after PATIENCE are cut off:
    // return an error that names them.
    todo!("7.4")
}
