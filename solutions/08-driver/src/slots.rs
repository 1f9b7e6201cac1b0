//! How many requests are handled at once, and what each of them waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// As many requests have a thread of their own, and the next ones wait.
const MOST: usize = 128;
/// A client that says nothing for so long will say nothing more.
const SILENCE: Duration = Duration::from_secs(30);
/// While we stop, nobody waits for a client that is silent for so long.
const SILENCE_AT_STOP: Duration = Duration::from_secs(1);

/// The requests that have a thread.
#[derive(Default)]
pub struct Slots {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    last: u64,
    by_number: BTreeMap<u64, Doing>,
}

/// A request, and since when it waits for its client, if it does: for the rest
/// of its body, or until its answer is taken.
struct Doing {
    call: String,
    client_since: Option<Instant>,
}

impl Doing {
    fn is_silent_for(&self, time: Duration) -> bool {
        self.client_since.is_some_and(|since| since.elapsed() > time)
    }
}

/// The right to a thread, until this is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    /// Waits until there are fewer than `MOST` requests.
    ///
    /// Slow calls end. Slow clients may not, and tiny_http has neither a
    /// time-out for them nor a way to hang up: if they hold everything, only
    /// the end of this process takes it back.
    pub fn await_free(&self) -> Result<()> {
        let mut held = self.held();
        while held.by_number.len() >= MOST {
            let mut all = held.by_number.values();
            ensure!(
                !all.all(|it| it.is_silent_for(SILENCE)),
                "{MOST} clients have sent half of a request, or not taken its \
                 answer, for {} s: nobody else got through, so start me again",
                SILENCE.as_secs()
            );
            held = self.wait(held, Duration::from_secs(1));
        }
        Ok(())
    }

    /// The slot of a request, which nobody has read yet.
    pub fn take(self: &Arc<Self>, call: String) -> Slot {
        let mut held = self.held();
        held.last += 1;
        let number = held.last;
        let doing = Doing { call, client_since: Some(Instant::now()) };
        held.by_number.insert(number, doing);
        Slot { slots: Arc::clone(self), number }
    }

    /// Waits until no call is at work, but not after `deadline`, and returns
    /// those that still are.
    pub fn at_work(&self, deadline: Instant) -> Vec<String> {
        let mut held = self.held();
        loop {
            let all = held.by_number.values();
            let busy = all.filter(|it| !it.is_silent_for(SILENCE_AT_STOP));
            let busy: Vec<_> = busy.map(|it| it.call.clone()).collect();
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
    /// The whole request is here: what takes time now is our work.
    pub fn works(&self) {
        self.change(None);
    }

    /// The answer is ready: what takes time now is the client.
    pub fn answers(&self) {
        self.change(Some(Instant::now()));
    }

    fn change(&self, client_since: Option<Instant>) {
        let mut held = self.slots.held();
        if let Some(doing) = held.by_number.get_mut(&self.number) {
            doing.client_since = client_since;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.held().by_number.remove(&self.number);
        self.slots.changed.notify_all();
    }
}
