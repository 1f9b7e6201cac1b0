//! Waiting for a condition, up to a bound.

use std::thread;
use std::time::{Duration, Instant};

/// How long a call may take here. dockerd waits 60 seconds for most calls and
/// 120 for Create and Mount; a learner should not have to.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Asks again and again, up to `patience`, until there is an answer.
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
