//! Waiting for a condition, up to a bound.

use std::thread;
use std::time::{Duration, Instant};

/// The longest time that a call may take here. dockerd waits 60 seconds for
/// most calls and 120 for Create and Mount; a learner should not have to wait
/// that long.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Calls `ask` until it returns a value or `patience` has passed, with pauses
/// of 1 to 20 ms.
pub fn wait_until<T>(
    patience: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if deadline < Instant::now() {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
