//! Limits how many requests run at once, and knows which of them wait for their
//! client.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
pub struct Slots {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    last: u64,
    by_number: BTreeMap<u64, Running>,
}

/// A request, and the time since which it waits for its client, if it does: to
/// send the rest of the body, or to read the answer.
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
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    /// Waits until fewer than `MOST` requests are running.
    ///
    /// Slow calls end at some time, but slow clients may not, and tiny_http has
    /// neither a time-out nor a way to disconnect them. If they hold all slots,
    /// only the end of the process frees the slots.
    pub fn await_free(&self) -> Result<()> {
        let mut held = self.held();
        while held.by_number.len() >= MOST {
            let mut all = held.by_number.values();
            ensure!(
                !all.all(|run| run.is_silent_for(SILENCE)),
                "all {MOST} slots are held by clients that stopped talking {} \
                 s ago; exiting so that a supervisor can restart the plugin",
                SILENCE.as_secs()
            );
            held = self.wait(held, Duration::from_secs(1));
        }
        Ok(())
    }

    /// Takes a slot for a request whose body has not been read yet.
    pub fn take(self: &Arc<Self>, call: String) -> Slot {
        let mut held = self.held();
        held.last += 1;
        let number = held.last;
        let run = Running { call, client_since: Some(Instant::now()) };
        held.by_number.insert(number, run);
        Slot { slots: Arc::clone(self), number }
    }

    /// Waits until no call is running or `deadline` has passed; returns the
    /// calls still running.
    pub fn at_work(&self, deadline: Instant) -> Vec<String> {
        let mut held = self.held();
        loop {
            let all = held.by_number.values();
            let busy = all.filter(|run| !run.is_silent_for(SILENCE_AT_STOP));
            let busy: Vec<_> = busy.map(|run| run.call.clone()).collect();
            if busy.is_empty() || deadline <= Instant::now() {
                return busy;
            }
            held = self.wait(held, Duration::from_millis(50));
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        held: MutexGuard<'a, Held>,
        most: Duration,
    ) -> MutexGuard<'a, Held> {
        let woken = self.changed.wait_timeout(held, most);
        woken.unwrap_or_else(PoisonError::into_inner).0
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
        self.slots.changed.notify_all();
    }
}
