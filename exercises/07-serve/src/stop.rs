//! How the plugin ends when it is asked to.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::listener::{Listener, Traces};
use crate::slots::Slots;

/// Docker kills what has not ended 10 seconds after it was asked to.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends word at the first SIGTERM or SIGINT, and ends the process at the
/// second one.
pub fn at_signal(end: Sender<Result<()>>) -> Result<()> {
    // TODO(7.3): listen for both signals in a thread that has a name. The first
    // one of them sends `Ok(())` to `end`, the same one again does what it does
    // to other programs.

    Ok(())
}

/// Finishes what has begun, and nothing else.
///
/// A call that is cut off is repeated by Docker, but without its body.
pub fn finish(
    listeners: &[&Listener],
    traces: Traces,
    slots: &Slots,
    ended: &Receiver<Result<()>>,
) -> Result<()> {
    // TODO(7.4): let nobody find us any more, and finish the calls at work. Then
    // close the listeners, each of which says so through `ended`, and finish
    // what they have taken meanwhile. What takes until PATIENCE is over is cut
    // off, and that is an error, which names it.
    todo!("7.4")
}
