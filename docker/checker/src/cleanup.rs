//! What must not stay behind: processes and folders of ours, and what is mounted
//! in them.
//!
//! Whoever makes one holds a guard. A signal undoes all guards at once. A
//! checker that was killed leaves a folder whose name tells whose it was, and
//! the next run sweeps it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, test_kill_process_group,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::mounts;
use crate::plugin::poll;

/// Names the folder in the environment of every program that we start, so that
/// what leaves its process group can still be found.
pub const MARK: &str = "WORKSHOP_FOLDER";

/// The longest path that every system binds a socket to, in bytes.
const LONGEST_SOCKET: usize = 100;

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Group(Pid),
    PoliteGroup(Pid),
    Folder(PathBuf),
    File(PathBuf),
}

impl Kept {
    /// Without complaint if it is gone already.
    fn undo(&self) {
        match self {
            Self::Group(group) => {
                let _ = kill_process_group(*group, Signal::KILL);
            }
            Self::PoliteGroup(group) => {
                let _ = kill_process_group(*group, Signal::TERM);
                let gone = || test_kill_process_group(*group).is_err();
                let moment = Duration::from_secs(2);
                if poll(moment, || gone().then_some(())).is_none() {
                    let _ = kill_process_group(*group, Signal::KILL);
                }
            }
            Self::Folder(folder) => {
                kill_marked(folder);
                remove(folder);
            }
            Self::File(file) => {
                let _ = fs::remove_file(file);
            }
        }
    }
}

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    // Whoever panicked with the lock in hand had pushed or removed one entry.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Undoes one thing when it is dropped.
#[derive(Debug)]
pub struct Guard(Kept);

impl Guard {
    /// What `start` starts leads a process group, which is killed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn group(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::Group)
    }

    /// The same for a group whose processes have something to tidy up, too.
    ///
    /// # Errors
    /// When it does not start.
    pub fn polite_group(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::PoliteGroup)
    }

    fn started(
        start: impl FnOnce() -> io::Result<Child>,
        how: impl FnOnce(Pid) -> Kept,
    ) -> io::Result<(Child, Self)> {
        // A signal waits for the lock: it finds all or nothing.
        let mut kept = kept();
        let child = start()?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = how(id.expect("a child's id is a process id"));
        kept.push(group.clone());
        Ok((child, Self(group)))
    }

    /// Forgets a group whose leader has been awaited: its number may soon be
    /// that of somebody else's.
    pub fn release(self) {
        kept().retain(|it| *it != self.0);
        std::mem::forget(self);
    }

    /// Removes a file, which may not exist yet.
    pub fn file(path: &Path) -> Self {
        let file = Kept::File(path.to_owned());
        kept().push(file.clone());
        Self(file)
    }

    /// A new folder for this user alone, which is removed.
    fn folder(path: &Path) -> io::Result<Self> {
        let mut kept = kept();
        DirBuilder::new().mode(0o700).create(path)?;
        let folder = Kept::Folder(path.to_owned());
        kept.push(folder.clone());
        Ok(Self(folder))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // In this order, or a signal in between would find nothing to undo.
        self.0.undo();
        kept().retain(|it| *it != self.0);
    }
}

/// Undoes everything, and ends, when the person or the system asks for it.
///
/// # Errors
/// When no handler can be installed.
pub fn on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("installing signal handlers")?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end: nothing is begun any more, and who sees a child
            // of ours die now has to wait at its guard, and says nothing.
            let kept = kept();
            // Youngest first: processes before the folders they use.
            kept.iter().rev().for_each(Kept::undo);
            process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// A private folder with a short path, removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    /// Makes one in $TMPDIR, or in /tmp where that path is too long for the
    /// sockets in it.
    ///
    /// # Errors
    /// When neither can be written to.
    pub fn new() -> Result<Self> {
        Self::within(&temp_dir())
    }

    /// Makes one in `place`, whose next [`sweep`] is for the caller to call.
    ///
    /// # Errors
    /// When `place` cannot be written to.
    pub fn within(place: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("workshop-{}-{count}", process::id());
            let path = place.join(name);
            match Guard::folder(&path) {
                Ok(guard) => return Ok(Self { path, _guard: guard }),
                Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
                Err(err) => {
                    return Err(err).with_context(|| {
                        format!(
                            "making {} (set TMPDIR to a folder that you can \
                             write to)",
                            path.display()
                        )
                    });
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn temp_dir() -> PathBuf {
    // `/workshop-4194304-1000/run/plugin.sock`
    const OURS: usize = 40;
    let dir = env::temp_dir();
    if dir.as_os_str().len() + OURS <= LONGEST_SOCKET {
        dir
    } else {
        PathBuf::from("/tmp")
    }
}

/// Removes what checkers that no longer run have left in the temporary folder.
pub fn sweep() {
    sweep_in(&temp_dir());
}

/// Removes what they have left in another place.
pub fn sweep_in(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|it| it.strip_prefix("workshop-"))
            .and_then(|it| it.split_once('-'))
            .and_then(|(pid, _)| pid.parse().ok())
            .and_then(Pid::from_raw);
        let ours = entry.metadata().is_ok_and(|it| {
            it.is_dir() && it.uid() == rustix::process::getuid().as_raw()
        });
        if let Some(owner) = owner
            && ours
            && rustix::process::test_kill_process(owner)
                == Err(rustix::io::Errno::SRCH)
        {
            Kept::Folder(entry.path()).undo();
        }
    }
}

/// Kills every process that was started for `folder`. Only Linux tells.
pub fn kill_marked(folder: &Path) {
    let mark = format!("{MARK}={}\0", folder.display());
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let marked = fs::read(entry.path().join("environ"))
            .is_ok_and(|it| contains(&it, mark.as_bytes()));
        if let Some(pid) = Pid::from_raw(pid)
            && marked
            && pid != rustix::process::getpid()
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Removes a folder, or says why it stays.
fn remove(folder: &Path) {
    // What is in a mount may be somebody else's, and is never removed.
    if !mounts::clear(folder) {
        let folder = folder.display();
        anstream::eprintln!("checker: {folder} stays, it is mounted upon");
        return;
    }
    // Who is being killed may still put a file into it.
    let outcome =
        poll(Duration::from_secs(1), || match fs::remove_dir_all(folder) {
            Ok(()) => Some(()),
            Err(err) if err.kind() == ErrorKind::NotFound => Some(()),
            Err(_) => {
                unlock(folder);
                None
            }
        });
    if outcome.is_none()
        && let Err(err) = fs::remove_dir_all(folder)
    {
        let folder = folder.display();
        anstream::eprintln!("checker: {folder} stays behind: {err}");
    }
}

/// Takes back what a plugin may have forbidden us: to look into its folders.
fn unlock(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            unlock(&entry.path());
        }
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|it| it == part)
}
