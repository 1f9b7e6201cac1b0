//! Kills the plugin with `kill -9` at random moments while many clients call.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rustix::process::Signal;
use stand_in::daemon::Call;
use stand_in::finding::{Fault, wrong};
use stand_in::mounts;
use stand_in::plugin::Place;
use stand_in::wait::PATIENCE;

use super::model::{Session, State};
use super::workload::{Control, Volumes, acknowledged, allowed, run_clients};
use super::{Need, Proof, Subject};

const LOOPS: &[Need] =
    &[Need::Root, Need::Loops, Need::Program("mkfs.ext4", "e2fsprogs")];

pub(super) const PROOFS: &[Proof] = &[
    Proof {
        name: "kill",
        what: "kill -9 while 8 clients call, type=dir",
        from: 6,
        needs: &[],
        run: |subject| rounds(subject, Volumes::Dir),
    },
    Proof {
        name: "kill",
        what: "kill -9 while 8 clients call, all types",
        from: 8,
        needs: LOOPS,
        run: |subject| rounds(subject, Volumes::All),
    },
];

/// Each round starts with the volumes that the last one left.
fn rounds(subject: &Subject, volumes: Volumes) -> Result<String, Fault> {
    let rounds = subject.choose(20, 200);
    let mut random = fastrand::Rng::with_seed(subject.seed);
    let place = Place::new()?;
    let mut session = Session::start(&subject.program, &place)?;
    let mut before: BTreeMap<String, State> = BTreeMap::new();
    let mut calls = 0;
    for round in 0..rounds {
        subject.progress(|| format!("{round} of {rounds} rounds"));
        subject.remember(session.log());
        let control = Control::default();
        let moment = Duration::from_millis(random.u64(5..200));
        let seed = random.u64(..);
        let histories = thread::scope(|scope| {
            let clients = scope.spawn(|| {
                run_clients(&place, 8, seed, volumes, &before, &control)
            });
            thread::sleep(moment);
            // The clients end with the plugin. A mount or mkfs that the plugin has
            // started keeps running.
            session.plugin.signal(Signal::KILL);
            session.plugin.ends_within(PATIENCE);
            clients
                .join()
                .map_err(|_| anyhow!("a thread of the prover panicked"))?
        })?;
        calls += acknowledged(&histories);

        // The next plugin starts while programs of the killed one still run.
        let killed = session;
        session = Session::start(&subject.program, &place)?;
        drop(killed);
        subject.remember(session.log());
        let now = Instant::now();
        session.compare(&allowed(&histories, now, now))?;
        before.clear();
        for name in histories.keys() {
            before.insert(name.clone(), session.inspect(name)?);
        }
    }

    // In the end, all volumes can be removed, and no mount is left.
    for (name, state) in &before {
        if state.is_some() {
            session.must(&Call::remove(name))?;
        }
    }
    if let Some(path) = mounts::left(&place.volumes()) {
        let expected = "nothing is still mounted or attached";
        return Err(wrong("Remove of all", expected, path.display()));
    }
    Ok(format!("{rounds} of {rounds} rounds, {calls} acknowledged calls"))
}
