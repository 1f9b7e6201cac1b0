//! Per-name locks: the only synchronisation between calls. You do not need to
//! read this file.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::Failure;

/// At most this many calls wait at once, so that threads are left for other
/// volumes.
const MOST_WAITING: usize = 64;

/// The names that running calls have claimed.
pub struct Names {
    taken: Mutex<Taken>,
    freed: Condvar,
    /// The longest time that a call waits for another one.
    patience: Duration,
}

#[derive(Default)]
struct Taken {
    /// For each claimed name, its call and the time of the claim.
    by_name: BTreeMap<String, (String, Instant)>,
    waiting: usize,
}

/// A claim on a name. Until it is dropped, no other call can claim that name.
pub struct Claim<'a> {
    names: &'a Names,
    name: String,
}

impl Names {
    /// A call waits for another one for at most `patience`.
    pub fn new(patience: Duration) -> Self {
        Self { taken: Mutex::default(), freed: Condvar::new(), patience }
    }

    /// Waits until no other call has `name`, then claims it for `call`. Calls
    /// on other names do not wait. Fails if the other call takes too long.
    pub fn claim(&self, name: &str, call: &str) -> Result<Claim<'_>, Failure> {
        let deadline = Instant::now() + self.patience;
        let mut taken = self.taken();
        while let Some((other, since)) = taken.by_name.get(name) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || taken.waiting >= MOST_WAITING {
                let seconds = since.elapsed().as_secs();
                let who = format!("{other} has been running for {seconds} s");
                return Err(Failure::InUse(name.to_owned(), who));
            }
            taken.waiting += 1;
            // The wait releases the lock, and takes it again before it returns.
            let woken = self.freed.wait_timeout(taken, left);
            taken = woken.unwrap_or_else(PoisonError::into_inner).0;
            taken.waiting -= 1;
        }
        let claim = (call.to_owned(), Instant::now());
        taken.by_name.insert(name.to_owned(), claim);

        Ok(Claim { names: self, name: name.to_owned() })
    }

    /// Locks the names. This ignores poisoning, because every change leaves
    /// them consistent.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    /// Runs at the end of a call, even if the call panics.
    fn drop(&mut self) {
        self.names.taken().by_name.remove(&self.name);
        // Wake all: a single woken thread might be waiting for a different
        // name.
        self.names.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_name_has_one_claim() {
        let names = Names::new(LONG);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _claim = names.claim("v", "Get").ok().unwrap();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        let taken = names.taken();
        assert!(taken.by_name.is_empty(), "released names are forgotten");
        assert_eq!(taken.waiting, 0);
    }

    #[test]
    fn other_names_do_not_wait() {
        let names = Names::new(LONG);
        let _held = names.claim("one", "Get");
        thread::scope(|scope| {
            let claim = || names.claim("other", "Get").is_ok();
            assert!(scope.spawn(claim).join().unwrap());
        });
    }

    #[test]
    fn a_panic_frees_the_name() {
        let names = Names::new(LONG);
        let call = panic::AssertUnwindSafe(|| {
            let _claim = names.claim("v", "Get");
            panic::resume_unwind(Box::new("as in a call"));
        });
        assert!(panic::catch_unwind(call).is_err());
        assert!(names.claim("v", "Get").is_ok());
    }

    #[test]
    fn a_call_that_waits_too_long_names_the_other_call() {
        let names = Names::new(Duration::from_millis(1));
        let _held = names.claim("v", "VolumeDriver.Mount");
        let refusal = names.claim("v", "VolumeDriver.Get").err().unwrap();
        let words = "v is in use: VolumeDriver.Mount has been running for 0 s";
        assert_eq!(refusal.to_string(), words);
        assert_eq!(names.taken().waiting, 0);
    }

    #[test]
    fn the_number_of_waiting_calls_is_limited() {
        let names = Names::new(LONG);
        let held = names.claim("v", "VolumeDriver.Mount");
        thread::scope(|scope| {
            for _ in 0..MOST_WAITING {
                scope.spawn(|| names.claim("v", "VolumeDriver.Get").is_ok());
            }
            while names.taken().waiting < MOST_WAITING {
                thread::yield_now();
            }
            assert!(names.claim("v", "VolumeDriver.Get").is_err());
            drop(held);
        });
        assert!(names.claim("v", "VolumeDriver.Get").is_ok());
    }
}
