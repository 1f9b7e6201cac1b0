//! Removes our processes, folders and mounts when a run ends.
//!
//! Each of them has a [`Guard`], which removes it on drop. A signal drops all
//! guards at once. A checker that was killed leaves folders whose names hold
//! its process id, and the next run sweeps them.

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

/// The environment variable in which every program that we start has the path
/// of its folder, so that a process that leaves its process group can be found.
pub const MARK: &str = "WORKSHOP_FOLDER";

/// The longest path to which every system can bind a socket, in bytes.
const LONGEST_SOCKET: usize = 100;

/// The mode of our folders: no access for other users, and a sticky bit, which
/// has no effect there and tells our folders from others with such a name.
const OURS: u32 = 0o1700;

/// The longest time that a killed process may take to end. Only a process that
/// waits for a disk needs any.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Everything that exists now and must be removed, the oldest first.
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
    /// Removes it. It is no error if it is gone already.
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
                // The supervisor kills all its descendants, and ends.
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
                let metadata = fs::symlink_metadata(socket);
                if metadata.is_ok_and(|found| found.file_type().is_socket()) {
                    let _ = fs::remove_file(socket);
                }
            }
        }
    }
}

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    // Each holder of the lock adds or removes one entry, so a panic leaves the
    // list consistent.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes one thing when it is dropped.
#[derive(Debug)]
pub struct Guard(Kept);

impl Guard {
    /// Starts a process that leads a process group, which is killed on drop.
    ///
    /// # Errors
    /// When the process does not start.
    pub fn group(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::Group)
    }

    /// Starts a process that leads a process group, which is sent SIGTERM on
    /// drop and killed 2 s later.
    ///
    /// # Errors
    /// When the process does not start.
    pub fn polite_group(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::PoliteGroup)
    }

    /// Starts a supervisor, which is sent SIGTERM on drop and ends with all its
    /// descendants.
    ///
    /// # Errors
    /// When the process does not start.
    pub(crate) fn supervisor(
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Self)> {
        Self::started(start, Kept::Supervisor)
    }

    fn started(
        start: impl FnOnce() -> io::Result<Child>,
        how: impl FnOnce(Pid) -> Kept,
    ) -> io::Result<(Child, Self)> {
        // The signal handler waits for this lock, so it finds the process in
        // the list or not started.
        let mut kept = kept();
        let child = start()?;
        let group = how(Pid::from_child(&child));
        kept.push(group.clone());
        Ok((child, Self(group)))
    }

    /// Forgets a group whose leader has been awaited: the id may soon belong to
    /// another process.
    pub fn release(self) {
        kept().retain(|entry| *entry != self.0);
        std::mem::forget(self);
    }

    /// Removes a file on drop. It may not exist yet.
    pub fn file(path: &Path) -> Self {
        let file = Kept::File(path.to_owned());
        kept().push(file.clone());
        Self(file)
    }

    /// Removes a socket on drop. A file of another type is left alone.
    pub(crate) fn socket(path: &Path) -> Self {
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

    /// Creates a folder for this user alone, and removes it on drop.
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
        // The entry stays in the list until the end: a signal in between must
        // find it.
        self.0.undo();
        kept().retain(|entry| *entry != self.0);
    }
}

/// On SIGINT, SIGTERM or SIGHUP, removes everything and ends the program.
///
/// # Errors
/// When no handler can be installed.
pub fn on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("installing signal handlers")?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove_all();
            process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Removes everything at the end of the program.
///
/// From then on, no child can start, and other threads that see a child die wait at
/// its guard, so they report nothing.
pub fn remove_all() {
    let kept = kept();
    // The youngest first: processes before the folders that they use.
    kept.iter().rev().for_each(Kept::undo);
    // The lock is held until exit.
    std::mem::forget(kept);
}

/// A private folder with a short path, which is removed on drop.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    /// Creates a folder in $TMPDIR, or in /tmp if the path of $TMPDIR is too
    /// long for sockets in it.
    ///
    /// # Errors
    /// When that folder cannot be written to.
    pub fn new() -> Result<Self> {
        Self::within(&temp_dir())
    }

    /// Creates a folder in `place`. The caller must sweep `place` with
    /// [`sweep_in`] before.
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
                            "creating {} (set TMPDIR to a folder that you can \
                             write to)",
                            path.display()
                        )
                    });
                }
            }
        }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder for our folders: $TMPDIR, or /tmp if $TMPDIR is empty or too long
/// for the sockets in it.
pub fn temp_dir() -> PathBuf {
    // `/workshop-4194304-1000/run/plugin.sock`
    const REST: usize = 40;
    let chosen = env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    // A plugin runs in another folder, so the path must be absolute.
    let chosen = chosen.and_then(|folder| path::absolute(folder).ok());
    chosen
        .filter(|folder| folder.as_os_str().len() + REST <= LONGEST_SOCKET)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Removes the folders of checkers that no longer run from the temporary
/// folder.
pub fn sweep() {
    sweep_in(&temp_dir());
}

/// Removes the folders of checkers that no longer run from `place`.
pub fn sweep_in(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        let is_ours = entry.metadata().is_ok_and(|metadata| {
            metadata.is_dir()
                && metadata.mode() & 0o7777 == OURS
                && metadata.uid() == rustix::process::getuid().as_raw()
        });
        if let Some(owner) = owner
            && is_ours
            && !processes::runs(owner)
        {
            Kept::Folder(entry.path()).undo();
        }
    }
}

/// The process that created a folder with this name: `workshop-PID-COUNT`.
fn owner(name: &str) -> Option<Pid> {
    let (pid, count) = name.strip_prefix("workshop-")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    count.parse::<u32>().ok()?;
    (digits(pid) && digits(count)).then_some(())?;
    processes::id_of(pid)
}

/// Kills every process whose environment names `folder` in [`MARK`]. Only Linux
/// tells.
///
/// A process may start another one meanwhile, and /proc shows no environment at
/// the moment in which a process begins to run a program. So once a process was
/// found, two looks in a row must find none.
pub(crate) fn kill_marked(folder: &Path) {
    let folder = folder.as_os_str().as_bytes();
    let kills = || {
        let mut found = false;
        for (id, proc) in processes::all() {
            let is_marked = processes::variable(&proc, MARK)
                .is_some_and(|mark| mark == folder);
            if is_marked && id != rustix::process::getpid() {
                found = true;
                let _ = kill_process(id, Signal::KILL);
            }
        }
        found
    };
    if !kills() {
        return;
    }
    let mut quiet = 0;
    wait_until(GRACE, || {
        quiet = if kills() { 0 } else { quiet + 1 };
        (quiet == 2).then_some(())
    });
}

/// Removes a folder, or prints why it stays.
fn remove(folder: &Path) {
    // The files in a mount may belong to somebody else, and are never removed.
    if !mounts::clear(folder) {
        let folder = folder.display();
        anstream::eprintln!(
            "checker: {folder} stays, because something is mounted in it"
        );
        return;
    }
    let tree = || match (folder.parent(), folder.file_name()) {
        (Some(parent), Some(name)) => {
            directory::remove_tree(File::open(parent)?.as_fd(), name)
        }
        _ => Err(ErrorKind::InvalidInput.into()),
    };
    // A process that is being killed may still create a file in the folder.
    let outcome = wait_until(Duration::from_secs(1), || tree().ok());
    if outcome.is_none()
        && let Err(err) = tree()
    {
        let folder = folder.display();
        anstream::eprintln!("checker: {folder} cannot be removed: {err}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that is not ours, with a file in it.
    fn foreign_folder(folder: &Folder) -> PathBuf {
        let path = folder.path().join("home");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "irreplaceable").unwrap();
        path
    }

    fn is_there(path: &Path) -> bool {
        fs::read_to_string(path.join("file")).is_ok_and(|text| text.len() == 13)
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
    fn a_folder_that_became_a_link_is_removed_and_not_followed() {
        let place = Folder::new().unwrap();
        let home = foreign_folder(&place);
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
    fn a_filesystem_bound_to_our_folder_stays() {
        if let Some(why) = mounts::missing() {
            println!("skipped: bound folders: {why}");
            return;
        }
        let mount = |words: &[&str], at: &Path| {
            let mut mount = process::Command::new("mount");
            assert!(mount.args(words).arg(at).status().unwrap().success());
        };
        let place = Folder::new().unwrap();
        let home = foreign_folder(&place);
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
