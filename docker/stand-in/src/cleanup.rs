//! What must not stay behind: processes and folders of ours, and what is mounted
//! in them.
//!
//! Whoever makes one holds a guard. A signal undoes all guards at once. A
//! checker that was killed leaves a folder whose name tells whose it was, and
//! the next run sweeps it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt,
};
use std::path::{self, Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group,
    test_kill_process_group, waitid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::wait::wait_until;
use crate::{directory, mounts, processes};

/// Names the folder in the environment of every program that we start, so that
/// what leaves its process group can still be found.
pub const MARK: &str = "WORKSHOP_FOLDER";

/// The longest path that every system binds a socket to, in bytes.
const LONGEST_SOCKET: usize = 100;

/// The mode of our folders: for us alone, and with a bit that means nothing
/// there, so that a folder of somebody's that has such a name is told apart.
const OURS: u32 = 0o1700;

/// How long what is killed may take to be gone. Only a process that waits for a
/// disk needs any time.
pub const GRACE: Duration = Duration::from_secs(5);

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Group(Pid),
    PoliteGroup(Pid),
    Supervisor(Pid),
    Folder(PathBuf),
    EmptyFolder(PathBuf),
    File(PathBuf),
    Socket(PathBuf),
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
                if wait_until(moment, || gone().then_some(())).is_none() {
                    let _ = kill_process_group(*group, Signal::KILL);
                }
            }
            Self::Supervisor(id) => {
                // It kills all that is below it, and ends.
                let _ = kill_process(*id, Signal::TERM);
                let ended = WaitIdOptions::EXITED
                    | WaitIdOptions::NOWAIT
                    | WaitIdOptions::NOHANG;
                let patience = 2 * GRACE;
                wait_until(patience, || {
                    match waitid(WaitId::Pid(*id), ended) {
                        Ok(None) => None,
                        Ok(Some(_)) | Err(_) => Some(()),
                    }
                });
            }
            Self::Folder(folder) => {
                kill_marked(folder);
                remove(folder);
            }
            Self::EmptyFolder(folder) => {
                let _ = fs::remove_dir(folder);
            }
            Self::File(file) => {
                let _ = fs::remove_file(file);
            }
            Self::Socket(socket) => {
                let is = fs::symlink_metadata(socket);
                if is.is_ok_and(|it| it.file_type().is_socket()) {
                    let _ = fs::remove_file(socket);
                }
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

    /// The same for a supervisor, which ends with all that is below it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn supervisor(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::Supervisor)
    }

    fn started(
        start: impl FnOnce() -> io::Result<Child>,
        how: impl FnOnce(Pid) -> Kept,
    ) -> io::Result<(Child, Self)> {
        // A signal waits for the lock: it finds all or nothing.
        let mut kept = kept();
        let child = start()?;
        let group = how(Pid::from_child(&child));
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

    /// The same, if what is there in the end is a socket.
    pub fn socket(path: &Path) -> Self {
        let socket = Kept::Socket(path.to_owned());
        kept().push(socket.clone());
        Self(socket)
    }

    /// Makes sure that a folder of the machine exists. A folder that was missing
    /// is removed again, unless something else has put files into it.
    ///
    /// # Errors
    /// When the folder is missing and cannot be made.
    pub fn folder_of_the_machine(path: &Path) -> io::Result<Option<Self>> {
        let mut kept = kept();
        if path.is_dir() {
            return Ok(None);
        }
        DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        let folder = Kept::EmptyFolder(path.to_owned());
        kept.push(folder.clone());
        Ok(Some(Self(folder)))
    }

    /// A new folder for this user alone, which is removed.
    fn folder(path: &Path) -> io::Result<Self> {
        let mut kept = kept();
        DirBuilder::new().mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(OURS))?;
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

/// Where folders of ours are made: $TMPDIR, or /tmp where that is empty, or too
/// long for the sockets in it.
pub fn temp_dir() -> PathBuf {
    // `/workshop-4194304-1000/run/plugin.sock`
    const REST: usize = 40;
    let chosen = env::var_os("TMPDIR").filter(|it| !it.is_empty());
    // A plugin is started in another folder than we are in.
    let chosen = chosen.and_then(|it| path::absolute(it).ok());
    chosen
        .filter(|it| it.as_os_str().len() + REST <= LONGEST_SOCKET)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
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
        let owner = name.to_str().and_then(owner);
        let ours = entry.metadata().is_ok_and(|it| {
            it.is_dir()
                && it.mode() & 0o7777 == OURS
                && it.uid() == rustix::process::getuid().as_raw()
        });
        if let Some(owner) = owner
            && ours
            && !processes::runs(owner)
        {
            Kept::Folder(entry.path()).undo();
        }
    }
}

/// The process that made a folder of this name: `workshop-PID-COUNT`.
fn owner(name: &str) -> Option<Pid> {
    let (pid, count) = name.strip_prefix("workshop-")?.split_once('-')?;
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    count.parse::<u32>().ok()?;
    (digits(pid) && digits(count)).then_some(())?;
    processes::id_of(pid)
}

/// Kills every process that was started for `folder`. Only Linux tells.
pub fn kill_marked(folder: &Path) {
    let folder = folder.as_os_str().as_bytes();
    for (id, proc) in processes::all() {
        let is_marked =
            processes::variable(&proc, MARK).is_some_and(|mark| mark == folder);
        if is_marked && id != rustix::process::getpid() {
            let _ = kill_process(id, Signal::KILL);
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
    let tree = || match (folder.parent(), folder.file_name()) {
        (Some(parent), Some(name)) => {
            directory::remove_tree(File::open(parent)?.as_fd(), name)
        }
        _ => Err(ErrorKind::InvalidInput.into()),
    };
    // Who is being killed may still put a file into it.
    let outcome = wait_until(Duration::from_secs(1), || tree().ok());
    if outcome.is_none()
        && let Err(err) = tree()
    {
        let folder = folder.display();
        anstream::eprintln!("checker: {folder} stays behind: {err}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of somebody's, with a file in it.
    fn somebodys(folder: &Folder) -> PathBuf {
        let path = folder.path().join("home");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "irreplaceable").unwrap();
        path
    }

    fn is_there(path: &Path) -> bool {
        fs::read_to_string(path.join("file")).is_ok_and(|it| it.len() == 13)
    }

    #[test]
    fn only_folders_of_dead_checkers_are_swept() {
        let place = Folder::new().unwrap();
        // No process has this number.
        let dead = "workshop-2147483647-0";
        let cases = [
            (dead, OURS, false),
            ("workshop-2147483647-1", 0o755, true),
            ("workshop-2147483647-old", OURS, true),
            ("workshop-2147483647", OURS, true),
            ("workshop-1-0", OURS, true),
            ("notes-2147483647-0", OURS, true),
        ];
        for (name, mode, _) in cases {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), "").unwrap();
            let mode = Permissions::from_mode(mode);
            fs::set_permissions(path, mode).unwrap();
        }
        sweep_in(place.path());
        for (name, _, stays) in cases {
            assert_eq!(place.path().join(name).exists(), stays, "{name}");
        }
    }

    #[test]
    fn what_became_a_link_is_removed_and_not_followed() {
        let place = Folder::new().unwrap();
        let home = somebodys(&place);
        let ours = Folder::within(place.path()).unwrap();
        let path = ours.path().to_owned();
        symlink(&home, path.join("link")).unwrap();
        fs::rename(&path, place.path().join("away")).unwrap();
        symlink(&home, &path).unwrap();
        drop(ours);
        assert!(path.symlink_metadata().is_err(), "the link is gone");
        assert!(is_there(&home));
    }

    #[test]
    fn what_is_bound_to_a_folder_of_ours_stays() {
        if let Some(why) = mounts::missing() {
            println!("skipped: bound folders: {why}");
            return;
        }
        let mount = |words: &[&str], at: &Path| {
            let mut mount = process::Command::new("mount");
            assert!(mount.args(words).arg(at).status().unwrap().success());
        };
        let place = Folder::new().unwrap();
        let home = somebodys(&place);
        mount(&["--bind", home.to_str().unwrap()], &home);
        mount(&["--make-shared"], &home);
        let disk = home.join("disk");
        fs::create_dir(&disk).unwrap();
        mount(&["-t", "tmpfs", "tmpfs"], &disk);
        fs::write(disk.join("file"), "irreplaceable").unwrap();

        let ours = Folder::new().unwrap();
        let bound = ours.path().join("bound");
        fs::create_dir(&bound).unwrap();
        mount(&["--rbind", home.to_str().unwrap()], &bound);
        assert!(is_there(&bound.join("disk")));
        let path = ours.path().to_owned();
        drop(ours);
        assert!(!path.exists(), "nothing keeps it from being removed");
        assert!(is_there(&home) && is_there(&disk), "as before");
    }
}
