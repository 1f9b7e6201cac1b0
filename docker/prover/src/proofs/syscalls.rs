//! Kills a plugin at each of the system calls that it makes for one of Docker's
//! calls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use stand_in::cleanup::Folder;
use stand_in::daemon::Call;
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::mounts;
use stand_in::plugin::{Place, Program};
use stand_in::root::Mountpoint;

use super::model::{
    Allowed, Answer, Options, Session, State, create, difference, listing,
    options,
};
use super::strace::{Entry, Recording, Strace};
use super::{Need, Proof, Subject};

const NEEDS: &[Need] = &[Need::Program("strace", "strace"), Need::Watching];

const LOOPS: &[Need] = &[
    Need::Program("strace", "strace"),
    Need::Root,
    Need::Loops,
    Need::Program("mkfs.ext4", "e2fsprogs"),
];

const fn proof(
    what: &'static str,
    from: u32,
    needs: &'static [Need],
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "syscalls", what, from, needs, run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof("killed in Create, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Create, DIR)
    }),
    proof("killed in Create of kept files, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Create, KEEP)
    }),
    proof("killed in Remove, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Remove, DIR)
    }),
    proof("killed in Remove that keeps files, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Remove, KEEP)
    }),
    proof("killed in Mount, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Mount, DIR)
    }),
    proof("killed in Unmount, type=dir", 6, NEEDS, |subject| {
        each_call(subject, What::Unmount, DIR)
    }),
    proof("killed in Create, type=ext4", 8, LOOPS, |subject| {
        each_call(subject, What::Create, EXT4)
    }),
    proof("killed in Create of kept files, type=ext4", 8, LOOPS, |subject| {
        each_call(subject, What::Create, KEPT_EXT4)
    }),
    proof("killed in Remove, type=ext4", 8, LOOPS, |subject| {
        each_call(subject, What::Remove, EXT4)
    }),
    proof("killed in Mount, type=ext4", 8, LOOPS, |subject| {
        each_call(subject, What::Mount, EXT4)
    }),
    proof("killed in Unmount, type=ext4", 8, LOOPS, |subject| {
        each_call(subject, What::Unmount, EXT4)
    }),
];

type Pairs = &'static [(&'static str, &'static str)];

const DIR: Pairs = &[("type", "dir"), ("mode", "0750")];
const KEEP: Pairs = &[("keep", "true"), ("mode", "0750")];
const EXT4: Pairs = &[("type", "ext4"), ("size", "8m"), ("mode", "0750")];
const KEPT_EXT4: Pairs = &[("type", "ext4"), ("size", "8m"), ("keep", "true")];

/// The call during which the plugin is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Create,
    Remove,
    Mount,
    Unmount,
}

/// One type of volume, and one call.
struct Scenario {
    what: What,
    options: Pairs,
}

/// The volume that is created, removed, mounted or unmounted.
const NAME: &str = "amber-1";
/// Another volume, which is in use all the time.
const OTHER: &str = "birch-2";
/// The use of the volume.
const ID: &str = "1f1f";
/// The use of the other volume.
const OTHER_ID: &str = "2e2e";
/// The files in both volumes.
const FILES: [&str; 3] = ["a", "b/c", "b/d/e"];
const FOLDERS: [&str; 2] = ["b", "b/d"];

impl Scenario {
    fn options(&self) -> Options {
        options(self.options)
    }

    /// The options that `docker volume inspect` shows. The size is left out, because
    /// a plugin may write it in another way.
    fn shown(&self) -> Options {
        let mut shown = self.options();
        shown.remove("size");
        shown
    }

    fn keeps(&self) -> bool {
        self.options.contains(&("keep", "true"))
    }

    fn call(&self) -> Call {
        match self.what {
            What::Create => create(NAME, &self.options()),
            What::Remove => Call::remove(NAME),
            What::Mount => Call::mount(NAME, ID),
            What::Unmount => Call::unmount(NAME, ID),
        }
    }

    /// Creates the volumes and uses that exist before the call.
    fn prepare(&self, session: &mut Session) -> Outcome {
        session.must(&create(OTHER, &self.options()))?;
        put_files(session, OTHER, OTHER_ID)?;
        let new = self.what == What::Create;
        if new && !self.keeps() {
            return Ok(());
        }
        session.must(&create(NAME, &self.options()))?;
        put_files(session, NAME, ID)?;
        if self.what != What::Unmount {
            session.must(&Call::unmount(NAME, ID))?;
        }
        if new {
            session.must(&Call::remove(NAME))?;
        }
        Ok(())
    }

    /// The states that are allowed after this answer to the call.
    fn allowed(&self, answer: &Answer) -> Allowed {
        let there: State = Some(self.shown());
        let states = match (self.what, answer) {
            (What::Create, Answer::Success(_)) => vec![there.clone()],
            // After a refused Create there must be no volume.
            (What::Create, Answer::Refusal(_)) => vec![None],
            (What::Remove, Answer::Success(_)) => vec![None],
            (What::Create | What::Remove, _) => vec![None, there.clone()],
            (What::Mount | What::Unmount, _) => vec![there.clone()],
        };
        [(NAME.to_owned(), states), (OTHER.to_owned(), vec![there])].into()
    }
}

/// Mounts a volume, and puts files into it.
fn put_files(session: &mut Session, name: &str, id: &str) -> Outcome {
    let files = session.mounted(name, id)?.open()?;
    for folder in FOLDERS {
        files.make(folder)?;
    }
    Ok(FILES.iter().try_for_each(|file| files.write(file, file_text(file)))?)
}

fn file_text(file: &str) -> String {
    format!("the text of {file}")
}

/// Whether a volume has its files. To have only some of them is a fault.
fn has_files(at: &Mountpoint, name: &str) -> Result<bool, Fault> {
    let files = at.open()?;
    let there = |file: &&&str| files.read(file) == Some(file_text(file));
    let count = FILES.iter().filter(there).count();
    match count {
        0 => Ok(false),
        all if all == FILES.len() => Ok(true),
        some => Err(wrong(
            format!("reading the files of {name}"),
            "all files, or none",
            format!("{some} of {} are left", FILES.len()),
        )),
    }
}

/// Lists the hidden folders of ROOT: unfinished, removed and unreadable volumes.
fn behind_the_scenes(root: &Path) -> BTreeMap<PathBuf, String> {
    listing(root, |path| {
        let first = path.iter().next().unwrap_or_default();
        let hidden = first.as_encoded_bytes().starts_with(b".");
        // Kept files are tested through a new volume with the same name.
        hidden && first != ".kept"
    })
}

/// Records one run, then kills the plugin at each of the recorded calls.
fn each_call(
    subject: &Subject,
    what: What,
    options: Pairs,
) -> Result<String, Fault> {
    let scenario = &Scenario { what, options };
    // PATH is the same for all users, because each of its folders may cost one more
    // system call.
    let program = subject.program.path().display().to_string();
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    let env = Path::new("/usr/bin/env");
    let program = &Program::with_args(env, &[path, &program])?;
    let recording = attempt(subject, program, scenario, None)?;
    let places = recording.places(subject.full);
    if places.is_empty() {
        let got = format!("none among {} calls", recording.entries.len());
        let expected = "at least the call that writes the answer";
        return Err(wrong(scenario.call(), expected, got));
    }

    // strace counts the calls of each thread, and kills each thread that reaches the
    // count. So one attempt covers all places with the same name and count, of which
    // it reaches the first and sometimes more.
    let mut tries: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
    for place in &places {
        tries.entry((&place.name, place.count)).or_default().push(place);
    }
    let tries: Vec<_> = tries.into_values().collect();
    let next = AtomicUsize::new(0);
    let reached = AtomicUsize::new(0);
    let work = || -> Outcome {
        while let Some(alike) = tries.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let place = alike[0];
            // Which thread reaches the count first may differ, so try again.
            for _ in 0..3 {
                let tried = attempt(subject, program, scenario, Some(place));
                let recording = tried.map_err(|fault| {
                    next.store(tries.len(), Ordering::Relaxed);
                    with_place(fault, scenario, place)
                })?;
                let died =
                    alike.iter().filter(|place| recording.died_at(place));
                let died = reached.fetch_add(died.count(), Ordering::Relaxed);
                let most = places.len();
                subject.progress(|| format!("{died} of {most} places"));
                if recording.died_at(place) {
                    break;
                }
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        // An attempt mostly waits, so several run at once.
        let workers = [(); 3].map(|()| scope.spawn(work));
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| {
                Err(anyhow!("a thread of the prover panicked").into())
            })
        })
    })?;
    let reached = reached.into_inner();
    if 2 * reached < places.len() {
        let most = places.len();
        let why = format!("strace reached only {reached} of {most} places");
        return Err(anyhow!(why).into());
    }
    Ok(format!("{reached} of {} places", places.len()))
}

/// Adds to a finding at which call the plugin was killed.
fn with_place(fault: Fault, scenario: &Scenario, place: &Entry) -> Fault {
    match fault {
        Fault::Wrong(mut finding) => {
            finding.sent = format!(
                "{}, killed at {}({}), and then {}",
                scenario.call(),
                place.name,
                place.words,
                finding.sent
            );
            Fault::Wrong(finding)
        }
        trouble => trouble,
    }
}

/// Prepares ROOT, makes the call under strace, kills the plugin at `place` or in the
/// end, starts it again and compares. Returns the recorded calls.
fn attempt(
    subject: &Subject,
    program: &Program,
    scenario: &Scenario,
    place: Option<&Entry>,
) -> Result<Recording, Fault> {
    let home = Place::new()?;
    let root = home.volumes();
    let mut session = Session::start(program, &home)?;
    let mut log = session.log();
    let mut outcome = || -> Result<Recording, Fault> {
        scenario.prepare(&mut session)?;
        let before = behind_the_scenes(&root);
        let words = match place {
            None => Vec::new(),
            Some(Entry { name, count, .. }) => vec![
                format!("--trace={name}"),
                format!("--inject={name}:signal=KILL:when={count}"),
            ],
        };
        // Not in the plugin's folder, where a link could lead strace's output
        // elsewhere.
        let beside = Folder::new()?;
        let file = beside.path().join("strace");
        let strace = Strace::attach(session.plugin.id(), &file, &words)?;
        let began = now();
        let answer = session.ask(&scenario.call());
        let ended = now();
        if let (None, Answer::Refusal(_) | Answer::Missing(_)) =
            (place, &answer)
        {
            return Err(wrong(scenario.call(), "it succeeds", answer));
        }
        let folder = home.folder();
        let recording = if matches!(answer, Answer::Missing(_)) {
            strace.ends(folder)?.with_context(|| {
                let call = scenario.call();
                format!(
                    "a child of the plugin still runs after its end in {call}"
                )
            })?
        } else {
            // The plugin has answered. Only a child or no process was killed, or the
            // plugin was killed in its work after the answer.
            let recording = strace.detach(folder)?;
            let outcome = session.compare(&scenario.allowed(&answer));
            let moment = Duration::from_millis(500);
            if outcome.is_err() && session.plugin.ends_within(moment).is_none()
            {
                outcome?;
            }
            session.plugin.kill();
            recording
        };
        let recording = match place {
            None => between(recording, began, ended),
            Some(_) => recording,
        };
        session = Session::start(program, &home)?;
        log = session.log();
        compare(scenario, &answer, &mut session, &root, &before)?;
        use_and_remove(scenario, &answer, &mut session, &root)?;
        Ok(recording)
    };
    let result = outcome();
    if result.is_err() {
        subject.remember(log);
    }
    result
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The calls that were entered between `began` and the answer.
fn between(
    recording: Recording,
    began: Duration,
    ended: Duration,
) -> Recording {
    let mut answered = false;
    let entries = recording.entries.into_iter();
    let entries = entries
        .filter(|call| began <= call.at && call.at <= ended)
        .take_while(|call| {
            let goes_on = !answered;
            answered |= call.words.contains("\"HTTP/#.# ");
            goes_on
        });
    Recording { entries: entries.collect(), killed: recording.killed }
}

/// Compares volumes, hidden folders and files with those that are allowed.
fn compare(
    scenario: &Scenario,
    answer: &Answer,
    session: &mut Session,
    root: &Path,
    before: &BTreeMap<PathBuf, String>,
) -> Outcome {
    session.compare(&scenario.allowed(answer))?;
    if let Some(got) = difference(before, &behind_the_scenes(root)) {
        let expected = "ROOT holds nothing but volumes, as before";
        return Err(wrong("listing ROOT", expected, got));
    }
    // The other volume is in use and must keep its files.
    let at = session.mounted(OTHER, "look")?;
    let has = has_files(&at, OTHER)?;
    session.must(&Call::unmount(OTHER, "look"))?;
    if !has {
        let what = format!("reading the files of {OTHER}");
        return Err(wrong(what, "all files", "none"));
    }
    Ok(())
}

/// Uses the volume once more, and removes it.
fn use_and_remove(
    scenario: &Scenario,
    answer: &Answer,
    session: &mut Session,
    root: &Path,
) -> Outcome {
    // Docker sends an Unmount for each Mount, whether or not an answer came.
    if matches!(scenario.what, What::Mount | What::Unmount) {
        session.must(&Call::unmount(NAME, ID))?;
        if let Some(left) = mounts::below(&root.join(NAME)).first() {
            let got = format!("{} is mounted", left.path.display());
            let expected = "nothing of the volume is mounted any more";
            return Err(wrong(Call::unmount(NAME, ID), expected, got));
        }
    }

    let there = session.inspect(NAME)?.is_some();
    session.must(&create(NAME, &scenario.options()))?;
    let allowed = scenario.allowed(&Answer::Success(().into()));
    let there_now: Allowed = allowed
        .into_keys()
        .map(|name| (name, vec![Some(scenario.shown())]))
        .collect();
    session.compare(&there_now)?;
    let at = session.mounted(NAME, "again")?;
    let has = has_files(&at, NAME)?;
    let removed = scenario.what == What::Remove && !there;
    let new = scenario.what == What::Create;
    let expected = scenario.keeps() || !(removed || new);
    if has != expected {
        let words = |are_there| {
            if are_there { "all files" } else { "no files" }
        };
        return Err(wrong(
            format!("the files of {NAME} (answered: {answer})"),
            words(expected),
            words(has),
        ));
    }
    session.must(&Call::unmount(NAME, "again"))?;

    session.must(&Call::remove(NAME))?;
    let mut left = there_now;
    left.insert(NAME.to_owned(), vec![None]);
    session.compare(&left)?;
    let name = Path::new(NAME);
    let found = listing(root, |path| {
        !path.starts_with(OTHER) && !path.starts_with(".kept")
    });
    if let Some(path) = found.keys().find(|path| path.ends_with(name)) {
        let expected = "all of its files are removed";
        return Err(wrong(Call::remove(NAME), expected, path.display()));
    }
    Ok(())
}
