//! Clients that create and remove volumes until they are stopped, and record which
//! calls were acknowledged.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use stand_in::daemon::Call;
use stand_in::finding::{Fault, wrong};
use stand_in::plugin::Place;

use super::model::{
    Allowed, Answer, Change, Client, History, State, create, options,
};

/// The history of each volume. Each volume belongs to one client.
pub type Histories = BTreeMap<String, History>;

/// How many names each client has.
const NAMES: usize = 6;

/// Stops clients, or makes them pause.
#[derive(Debug, Default)]
pub struct Control {
    /// Clients end when this is set.
    pub stop: AtomicBool,
    /// Clients make no call while this is locked for writing.
    pub pause: RwLock<()>,
}

/// The types of volumes that clients create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// `type=dir`
    Dir,
    /// All types, also those with a filesystem of their own.
    All,
}

/// Lets `clients` call the plugin in `place` until `control` stops them or the
/// plugin no longer answers. `before` has the states from which they start.
///
/// # Errors
/// The plugin is wrong if it refuses a call.
pub fn run_clients(
    place: &Place,
    clients: usize,
    seed: u64,
    volumes: Volumes,
    before: &BTreeMap<String, State>,
    control: &Control,
) -> Result<Histories, Fault> {
    thread::scope(|scope| {
        let clients = (0..clients).map(|number| {
            scope.spawn(move || {
                let caller = Caller {
                    client: Client::new(place),
                    volumes,
                    random: fastrand::Rng::with_seed(seed ^ number as u64),
                    histories: histories(number, before),
                };
                caller.call_until(control)
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut all = Histories::new();
        for client in clients {
            let histories = client.join().unwrap_or_else(|_| {
                Err(anyhow!("a thread of the prover panicked").into())
            });
            // If one client has failed, the others stop as well.
            control.stop.fetch_or(histories.is_err(), Ordering::Relaxed);
            all.extend(histories?);
        }
        Ok(all)
    })
}

fn histories(number: usize, before: &BTreeMap<String, State>) -> Histories {
    let names = (0..NAMES).map(|name| format!("client-{number}-{name}"));
    let history = |name: &String| History {
        before: before.get(name).cloned().flatten(),
        changes: Vec::new(),
    };
    names.map(|name| (name.clone(), history(&name))).collect()
}

/// The states in which each name may be between two moments.
pub fn allowed(histories: &Histories, from: Instant, to: Instant) -> Allowed {
    let states = histories
        .iter()
        .map(|(name, history)| (name.clone(), history.between(from, to)));
    states.collect()
}

/// How many calls that change something were acknowledged.
pub fn acknowledged(histories: &Histories) -> usize {
    let changes = histories.values().flat_map(|history| &history.changes);
    changes.filter(|change| change.acknowledged.is_some()).count()
}

/// One client.
struct Caller {
    client: Client,
    volumes: Volumes,
    random: fastrand::Rng,
    histories: Histories,
}

impl Caller {
    fn call_until(mut self, control: &Control) -> Result<Histories, Fault> {
        while !control.stop.load(Ordering::Relaxed) {
            let _calling = control.pause.read();
            let number = self.random.usize(..self.histories.len());
            let Some(name) = self.histories.keys().nth(number).cloned() else {
                break;
            };
            if !self.call(&name)? {
                break;
            }
        }
        Ok(self.histories)
    }

    /// Makes one call about `name`. Returns whether it was answered.
    fn call(&mut self, name: &str) -> Result<bool, Fault> {
        let history = self.histories.entry(name.to_owned()).or_default();
        let there = history.now().clone();
        let look = match self.random.u8(..8) {
            0 => Some(Call::list()),
            1 if there.is_some() => Some(Call::get(name)),
            2 if there.is_some() => Some(Call::mount(name, "client")),
            3 if there.is_some() => Some(Call::unmount(name, "client")),
            _ => None,
        };
        let (call, to) = match (look, &there) {
            (Some(look), _) => (look, there.clone()),
            (None, Some(_)) => (Call::remove(name), None),
            (None, None) => {
                let mode = format!("07{:02o}", self.random.u8(..64));
                let mut made = options(&[("mode", &mode)]);
                let kind = match (self.volumes, self.random.u8(..3)) {
                    (Volumes::Dir, _) | (_, 0) => "dir",
                    (_, 1) => "ext4",
                    _ => "tmpfs",
                };
                made.insert("type".to_owned(), kind.to_owned());
                // Kept files must always have the same type.
                let keep = kind == "dir"
                    && self.volumes == Volumes::Dir
                    && self.random.u8(..4) == 0;
                made.insert("keep".to_owned(), keep.to_string());
                let mut sent = made.clone();
                if kind != "dir" {
                    sent.insert("size".to_owned(), "8m".to_owned());
                }
                (create(name, &sent), Some(made))
            }
        };
        let began = Instant::now();
        let answer = self.client.ask(&call);
        let acknowledged = match answer {
            Answer::Success(_) => Some(Instant::now()),
            Answer::Missing(_) => None,
            answer => return Err(wrong(call, "it succeeds", answer)),
        };
        if to != there {
            history.changes.push(Change { began, acknowledged, to });
        }
        Ok(acknowledged.is_some())
    }
}
