//! ROOT, the folder of all volumes, which only this user may enter and only one
//! plugin may use. You do not need to read this file.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use log::{info, warn};

use crate::protocol::Failure;
use crate::store;

/// In a volume's folder: its options, as `docker volume inspect` shows them.
pub const STATE: &str = "volume.json";
/// In ROOT: volumes that are being created. They do not count as volumes yet.
pub const NEW: &str = ".new";

/// How long a start waits for another plugin to end, or for programs that a
/// killed plugin has started.
const PATIENCE: Duration = Duration::from_secs(5);

/// Creates ROOT if it is missing, and returns its path, absolute and without
/// links, because Docker resolves a mountpoint from another working directory.
/// No other plugin can use this ROOT until the returned file and all copies of
/// it are closed.
///
/// Fails if other users may enter ROOT and it holds files that are not this
/// plugin's: it may be `/tmp`, given by mistake.
pub fn open(root: &Path) -> Result<(PathBuf, File)> {
    let root = path::absolute(root)?;
    let path = root.display();
    docker_can_read(&root)?;
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("making the folder of {path}"))?;
    }
    match DirBuilder::new().mode(0o700).create(&root) {
        Err(err) if err.kind() != ErrorKind::AlreadyExists => {
            return Err(err).with_context(|| format!("making {path}"));
        }
        _ => {}
    }
    let real = root
        .canonicalize()
        .with_context(|| format!("{path} is a link that leads nowhere"))?;
    docker_can_read(&real)?;
    ensure!(real.is_dir(), "{path} is not a folder: give the plugin its own");
    close(&real).with_context(|| format!("closing {path} to other users"))?;
    let lock = lock(&real)?;
    Ok((real, lock))
}

/// Locks ROOT itself: unlike a lock file, this works on a full or read-only
/// disk.
fn lock(root: &Path) -> Result<File> {
    let path = root.display();
    let lock = File::open(root).with_context(|| format!("opening {path}"))?;
    let since = Instant::now();
    let mut is_said = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(err)) => {
                let words = "a network filesystem may not support this: give a \
                             folder on a local disk";
                return Err(err)
                    .with_context(|| format!("locking {path} ({words})"));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if since.elapsed() > PATIENCE {
            bail!("another plugin has {path}: stop it first");
        }
        if !is_said && since.elapsed() > Duration::from_secs(1) {
            info!(
                "waiting for {path}: another plugin has it, or a program that \
                 a killed plugin has started"
            );
            is_said = true;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Fails if ROOT is no longer the folder that we have locked: a disk may have
/// been mounted over it, and another plugin may use that disk.
pub fn is_same(root: &Path, lock: &File) -> Result<(), Failure> {
    let now = fs::symlink_metadata(root);
    let locked = lock.metadata().map_err(Failure::system("reading", root))?;
    let is_same = |now: fs::Metadata| {
        (now.dev(), now.ino()) == (locked.dev(), locked.ino())
    };
    if now.is_ok_and(is_same) {
        return Ok(());
    }
    let words = "it is not the folder from the start: restart the plugin";
    Err(Failure::system("looking at", root)(io::Error::other(words)))
}

/// Whether this is the folder of a volume. One rename publishes a complete
/// volume, and one rename removes it, so a folder without STATE is not ours.
pub fn is_volume(folder: &Path) -> io::Result<bool> {
    let state = || fs::symlink_metadata(folder.join(STATE));
    match store::folder(folder).and_then(|()| state()) {
        Err(err) if is_no_volume(&err) => Ok(false),
        found => found.map(|_| true),
    }
}

/// Whether this error from reading a volume means that it does not exist.
pub fn is_no_volume(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// An unused path for `name` in the folder `ours`. If leftovers that cannot be
/// removed have the name, the path is `_2/NAME` beside them: no volume's name
/// starts with `_`.
pub fn vacant(ours: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut folder = ours.to_owned();
    let mut count = 1;
    loop {
        fs::create_dir_all(&folder)
            .and_then(|()| store::folder(&folder))
            .map_err(Failure::system("making", &folder))?;
        let path = folder.join(name);
        match fs::symlink_metadata(&path) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(path),
            Err(err) => return Err(Failure::system("looking at", &path)(err)),
            Ok(_) => {}
        }
        count += 1;
        folder = ours.join(format!("_{count}"));
    }
}

/// Logs how many of these folders are volumes, and warns about the others.
pub fn count(root: &Path, folders: impl Iterator<Item = PathBuf>) {
    let (ours, others): (Vec<_>, Vec<_>) =
        folders.partition(|folder| is_volume(folder).unwrap_or(true));
    for other in others {
        let path = other.display();
        warn!("{path} is not a volume, because it has no {STATE}; it stays");
    }
    info!("{} volumes in {}", ours.len(), root.display());
}

/// JSON cannot hold a path that is not UTF-8.
fn docker_can_read(path: &Path) -> Result<()> {
    let is_text = path.to_str().is_some();
    ensure!(is_text, "{path:?} is not UTF-8, so Docker cannot read it");
    Ok(())
}

/// Closes ROOT to other users of the host: root in a container can put a setuid
/// program in a volume, and any user who starts that program becomes root.
fn close(root: &Path) -> Result<()> {
    let path = root.display();
    let mode = || Ok::<_, io::Error>(fs::metadata(root)?.permissions());
    let had = mode()?.mode() & 0o7777;
    if had & 0o077 == 0 {
        return Ok(());
    }
    ensure!(
        is_ours(root)?,
        "they may enter it (mode {had:04o}), and it holds files that are not \
         this plugin's: give the plugin its own, or run chmod 700 {path}"
    );
    fs::set_permissions(root, Permissions::from_mode(0o700))?;
    match mode()?.mode() & 0o077 {
        0 => {
            info!("{path} was open to others (mode {had:04o}): now it is 0700")
        }
        _ => warn!("{path} is open to others: its filesystem has no modes"),
    }
    Ok(())
}

/// Whether a plugin has used ROOT before, or ROOT is empty, apart from the
/// `lost+found` of a new filesystem.
fn is_ours(root: &Path) -> Result<bool> {
    if root.join(NEW).is_dir() {
        return Ok(true);
    }
    for entry in fs::read_dir(root)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}
