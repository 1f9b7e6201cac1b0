//! The lock on ROOT: only one plugin works with a ROOT at a time.

use std::path::Path;
use std::thread;
use std::time::Duration;

use stand_in::daemon::Call;
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::mounts;
use stand_in::plugin::{Place, Plugin};
use stand_in::wait::PATIENCE;

use super::model::{Allowed, Session, create, options, tool};
use super::{Need, Proof, Subject};

const fn proof(
    what: &'static str,
    needs: &'static [Need],
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "lock", what, from: 6, needs, run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof("a second plugin waits for ROOT, and then ends", &[], waits),
    proof("a second plugin waits for ROOT, and gets it", &[], takes_over),
    proof("a disk is mounted over ROOT", &[Need::Root], covered),
];

const NAME: &str = "amber-1";

/// A second plugin with the ROOT of the first one.
fn rival(subject: &Subject, place: &Place) -> Result<Plugin, Fault> {
    let socket = place.folder().join("run/rival.sock");
    let rival = Plugin::spawn_on(&subject.program, place, &socket)?;
    subject.remember(rival.log());
    Ok(rival)
}

fn waits(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let mut first = Session::start(&subject.program, &place)?;
    first.must(&create(NAME, &options(&[])))?;
    let sent = "a second plugin with the same ROOT";
    let expected = "it ends with an error that names ROOT";
    let mut second = rival(subject, &place)?;
    let Some(status) = second.ends_within(4 * PATIENCE) else {
        return Err(wrong(sent, expected, "it runs"));
    };
    let log = second.log();
    second.kill();
    let text = log.last_lines(20).join(" | ");
    if status.success() || !text.contains("…/volumes") {
        return Err(wrong(sent, expected, format!("{status}: {text}")));
    }
    first.must(&Call::get(NAME))?;
    Ok("one start".to_owned())
}

fn takes_over(subject: &Subject) -> Result<String, Fault> {
    const ROUNDS: usize = 5;
    let place = Place::new()?;
    for _ in 0..ROUNDS {
        let mut first = Session::start(&subject.program, &place)?;
        first.must(&create(NAME, &options(&[])))?;
        let mut second = rival(subject, &place)?;
        // By then the second plugin has found ROOT locked.
        thread::sleep(Duration::from_millis(300));
        drop(first);
        let socket = place.folder().join("run/rival.sock");
        if let Err(got) = second.listens_on(&socket) {
            let sent = "a second plugin with the same ROOT, then the end of \
                        the first one";
            return Err(wrong(sent, "the second one listens", got));
        }
    }
    Ok(format!("{ROUNDS} of {ROUNDS} rounds"))
}

/// Mounts a new disk on `root`.
fn cover(root: &Path) -> anyhow::Result<()> {
    let options = "size=1m,mode=0700";
    tool(&[&"mount", &"-t", &"tmpfs", &"-o", &options, &"tmpfs", &root])?;
    Ok(())
}

fn covered(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let root = place.volumes();
    let mut first = Session::start(&subject.program, &place)?;
    subject.remember(first.log());
    let requested = options(&[("mode", "0750")]);
    first.must(&create(NAME, &requested))?;

    cover(&root)?;
    let refused = [
        create("birch-2", &requested),
        create(NAME, &requested),
        Call::remove(NAME),
        Call::mount(NAME, "id"),
        Call::list(),
    ];
    for call in &refused {
        first.must_fail(call)?;
        if std::fs::read_dir(&root)?.next().is_some() {
            let got = "the plugin requested something there";
            return Err(wrong(
                call,
                "nothing is requested on the new disk",
                got,
            ));
        }
    }
    // Another plugin may use the new disk.
    let mut second = rival(subject, &place)?;
    let socket = place.folder().join("run/rival.sock");
    if let Err(got) = second.listens_on(&socket) {
        return Err(wrong(
            "a start on the new disk",
            "the plugin listens",
            got,
        ));
    }
    is_refused(&mut first)?;
    drop(second);

    mounts::clear(&root);
    subject.remember(first.log());
    let allowed: Allowed = [(NAME.to_owned(), vec![Some(requested)])].into();
    first.compare(&allowed)?;
    Ok(format!("{} calls refused, then it works again", refused.len()))
}

fn is_refused(first: &mut Session) -> Outcome {
    first.must_fail(&create("cedar-3", &options(&[]))).map(drop)
}
