//! Per-name locks: the only synchronisation between calls.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The names that running calls have claimed.
#[derive(Default)]
pub struct Names {
    taken: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// A claim on a name. Until it is dropped, no other call can claim that name.
pub struct Claim<'a> {
    names: &'a Names,
    name: String,
}

impl Names {
    /// Waits until no other call has `name`, then claims it. Calls on other
    /// names do not wait.
    pub fn claim(&self, name: &str) -> Claim<'_> {
        // TODO(7.2): wait on `freed` while another call has the name, then
        // insert the name.

        Claim { names: self, name: name.to_owned() }
    }

    /// Locks the set. This ignores poisoning, because every change leaves the
    /// set consistent.
    fn taken(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    /// Runs at the end of a call, even if the call panics.
    fn drop(&mut self) {
        self.names.taken().remove(&self.name);
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

    #[test]
    fn one_name_has_one_claim() {
        let names = Names::default();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _claim = names.claim("v");
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        assert!(names.taken().is_empty(), "released names are forgotten");
    }

    #[test]
    fn other_names_do_not_wait() {
        let names = Names::default();
        let _held = names.claim("one");
        thread::scope(|scope| {
            let claim = || drop(names.claim("other"));
            scope.spawn(claim).join().unwrap();
        });
    }

    #[test]
    fn a_panic_frees_the_name() {
        let names = Names::default();
        let call = panic::AssertUnwindSafe(|| {
            let _claim = names.claim("v");
            panic::resume_unwind(Box::new("as in a call"));
        });
        assert!(panic::catch_unwind(call).is_err());
        drop(names.claim("v"));
    }
}
