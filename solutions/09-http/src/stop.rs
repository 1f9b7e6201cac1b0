//! Shutdown on a signal.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::connections::Connections;
use crate::spec::Advertised;

/// Docker kills a container 10 seconds after it asked the container to stop.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends a message at the first SIGTERM or SIGINT, and ends the process at the
/// second one.
pub fn at_signal(end: Sender<()>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let wait = move || {
        let mut signals = signals.forever();
        let Some(first) = signals.next() else { return };
        info!("{}: stopping", signal_name(first).unwrap_or("a signal"));
        let _ = end.send(());
        // Only the same signal counts as a second one: Ctrl-C sends SIGINT to a
        // parent as well, which may pass it on as SIGTERM.
        if signals.any(|again| again == first) {
            let _ = emulate_default_handler(first);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;

    Ok(())
}

/// Finishes the running calls, and accepts no new ones.
///
/// If a call is cut off, Docker repeats it, but without its body.
pub fn finish(
    connections: &[Arc<Connections>],
    advertised: Advertised,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    // New clients can no longer find us. Connected ones are served until no
    // call is running; after that, no call begins.
    drop(advertised);
    let at_work = |until| -> Vec<_> {
        connections
            .iter()
            .flat_map(|connections| connections.at_work(until))
            .collect()
    };
    at_work(deadline - PATIENCE / 2);
    for connections in connections {
        connections.close();
    }
    let cut_off = at_work(deadline);
    ensure!(cut_off.is_empty(), "cut off {}", cut_off.join(", "));
    info!("stopped");
    Ok(())
}
