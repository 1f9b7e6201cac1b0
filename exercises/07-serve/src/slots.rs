//! Limits how many requests run at once, and knows which of them wait for their
//! client. You do not need to read this file.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// At most this many requests run at once; the next ones wait for a free slot.
const MOST: usize = 128;
/// A client that is silent for this long is considered lost.
const SILENCE: Duration = Duration::from_secs(30);
/// During shutdown, clients that are silent for this long are not waited for.
const SILENCE_AT_STOP: Duration = Duration::from_secs(1);

/// The requests that have a slot.
#[derive(Default)]
pub struct Slots(Mutex<Held>);

#[derive(Default)]
struct Held {
    last: u64,
    by_number: BTreeMap<u64, Running>,
}

/// A request, and the time since which it waits for its client, if it does: to
/// send the rest of the body, or to read the answers up to this one.
struct Running {
    call: String,
    client_since: Option<Instant>,
}

impl Running {
    fn is_silent_for(&self, time: Duration) -> bool {
        self.client_since.is_some_and(|since| since.elapsed() > time)
    }
}

/// One slot, which is free again when this is dropped.
pub struct Slot {
    /// The request, for the log.
    pub call: String,
    slots: &'static Slots,
    number: u64,
}

impl Slots {
    /// Whether there is a slot for another request.
    ///
    /// Slow calls end at some time, but slow clients may not, and tiny_http has
    /// neither a time-out nor a way to disconnect them. If they hold all slots,
    /// only the end of the process frees the slots.
    pub fn has_free(&self) -> Result<bool> {
        let all = &self.held().by_number;
        let is_full = all.len() >= MOST;
        ensure!(
            !is_full || !all.values().all(|run| run.is_silent_for(SILENCE)),
            "all {MOST} slots are held by clients that stopped talking, or \
             were refused, over {} s ago; exiting so that a supervisor can \
             restart the plugin",
            SILENCE.as_secs()
        );
        Ok(!is_full)
    }

    /// How many requests have a slot.
    pub fn taken(&self) -> usize {
        self.held().by_number.len()
    }

    /// Takes a slot for a request whose body has not been read yet.
    pub fn take(&'static self, call: String) -> Slot {
        let mut held = self.held();
        held.last += 1;
        let number = held.last;
        let client_since = Some(Instant::now());
        let run = Running { call: call.clone(), client_since };
        held.by_number.insert(number, run);
        Slot { call, slots: self, number }
    }

    /// Waits until no call is running or `deadline` has passed; returns the
    /// calls still running.
    pub fn at_work(&self, deadline: Instant) -> Vec<String> {
        loop {
            let all = self.busy();
            if all.is_empty() || deadline <= Instant::now() {
                return all;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn busy(&self) -> Vec<String> {
        let held = self.held();
        let all = held.by_number.values();
        let busy = all.filter(|run| !run.is_silent_for(SILENCE_AT_STOP));
        busy.map(|run| run.call.clone()).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The body has been read: from now on, the call is running.
    pub fn works(&self) {
        self.change(None);
    }

    /// The answer is ready: from now on, this waits for the client.
    pub fn answers(&self) {
        self.change(Some(Instant::now()));
    }

    fn change(&self, client_since: Option<Instant>) {
        let mut held = self.slots.held();
        if let Some(run) = held.by_number.get_mut(&self.number) {
            run.client_since = client_since;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.held().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    #[test]
    fn lost_clients_in_all_slots_are_an_error() {
        let slots: &Slots = Box::leak(Box::default());
        for _ in 0..MOST {
            assert!(slots.has_free().unwrap());
            mem::forget(slots.take("a call".to_owned()));
        }
        assert!(!slots.has_free().unwrap());
        let long_ago = Instant::now().checked_sub(2 * SILENCE);
        for run in slots.held().by_number.values_mut() {
            run.client_since = long_ago;
        }
        let err = slots.has_free().unwrap_err().to_string();
        assert!(err.starts_with("all 128 slots are held"), "{err}");
    }
}
