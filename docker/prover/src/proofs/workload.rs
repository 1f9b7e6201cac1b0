//! Several clients that create and remove volumes all the time, and remember
//! what was acknowledged.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use stand_in::finding::{Fault, wrong};
use stand_in::plugin::Place;

use super::model::{
    Allowed, Change, Client, History, Said, State, create, get, list, mount,
    options, remove, unmount,
};

/// What became of each volume; no two clients have one in common.
pub type Histories = BTreeMap<String, History>;

/// How many names each client has.
const NAMES: usize = 6;

/// What stops clients, for good or for a moment.
#[derive(Debug, Default)]
pub struct Reins {
    /// Set, it ends the storm.
    pub stop: AtomicBool,
    /// Held, it keeps every client from calling.
    pub quiet: RwLock<()>,
}

/// What kind of volumes clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// `type=dir`
    Dir,
    /// Filesystems of their own among them.
    All,
}

/// Lets `clients` call the plugin in `place` until they are stopped, or until it
/// does not answer any more. Each goes on from what `before` says.
///
/// # Errors
/// The plugin is wrong if it refuses a call.
pub fn storm(
    place: &Place,
    clients: usize,
    seed: u64,
    volumes: Volumes,
    before: &BTreeMap<String, State>,
    reins: &Reins,
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
                caller.call_until(reins)
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut all = Histories::new();
        for client in clients {
            let histories = client
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a bug of ours").into()));
            // Nobody waits for the others of a storm that has failed.
            reins.stop.fetch_or(histories.is_err(), Ordering::Relaxed);
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

/// What each name may be, if one looked at some moment between these two.
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
    fn call_until(mut self, reins: &Reins) -> Result<Histories, Fault> {
        while !reins.stop.load(Ordering::Relaxed) {
            let _calling = reins.quiet.read();
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

    /// One call about `name`. Returns whether it was answered.
    fn call(&mut self, name: &str) -> Result<bool, Fault> {
        let history = self.histories.entry(name.to_owned()).or_default();
        let there = history.now().clone();
        let look = match self.random.u8(..8) {
            0 => Some(list()),
            1 if there.is_some() => Some(get(name)),
            2 if there.is_some() => Some(mount(name, "storm")),
            3 if there.is_some() => Some(unmount(name, "storm")),
            _ => None,
        };
        let (call, to) = match (look, &there) {
            (Some(look), _) => (look, there.clone()),
            (None, Some(_)) => (remove(name), None),
            (None, None) => {
                let mode = format!("07{:02o}", self.random.u8(..64));
                let mut made = options(&[("mode", &mode)]);
                let kind = match (self.volumes, self.random.u8(..3)) {
                    (Volumes::Dir, _) | (_, 0) => "dir",
                    (_, 1) => "ext4",
                    _ => "tmpfs",
                };
                made.insert("type".to_owned(), kind.to_owned());
                // What is kept has to be of one kind for ever.
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
        let said = self.client.ask(&call);
        let acknowledged = match said {
            Said::Yes(_) => Some(Instant::now()),
            Said::Nothing(_) => None,
            said => return Err(wrong(call, "it succeeds", said)),
        };
        if to != there {
            history.changes.push(Change { began, acknowledged, to });
        }
        Ok(acknowledged.is_some())
    }
}
