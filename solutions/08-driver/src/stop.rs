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
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let wait = move || {
        let mut signals = signals.forever();
        let Some(first) = signals.next() else { return };
        info!("{}: stopping", signal_name(first).unwrap_or("a signal"));
        let _ = end.send(Ok(()));
        // Only the same one again: a parent may pass on as SIGTERM the SIGINT
        // that Ctrl-C has sent to both.
        if signals.any(|again| again == first) {
            let _ = emulate_default_handler(first);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;

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
    let deadline = Instant::now() + PATIENCE;
    // Nobody finds us any more. Who has a connection is served until there is
    // a moment without a call, then nobody else is.
    drop(traces);
    slots.at_work(deadline - PATIENCE / 2);
    for listener in listeners {
        listener.close();
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = ended.recv_timeout(left);
    }
    let cut_off = slots.at_work(deadline);
    ensure!(cut_off.is_empty(), "cut off {}", cut_off.join(", "));
    info!("stopped");
    Ok(())
}
