//! Volumes that are filesystems of their own: in memory, or in a file.
//!
//! In a volume's folder, `image` is that file, and the filesystem is mounted on
//! `files` for as long as somebody uses it. Each use is one mount more, of
//! `files` on `uses/ID`: so the kernel keeps the count of all uses, through
//! every crash of ours, and a reboot sets it to none.

#![expect(
    clippy::todo,
    dead_code,
    unused_imports,
    unused_variables,
    reason = "TODO(8): delete each word that warns"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::mounts;
use crate::options::{Kind, Settings};
use crate::programs::run;
use crate::protocol::Failure;
use crate::volumes::{FILES, own};

/// In a volume's folder: the file that holds its filesystem.
pub const IMAGE: &str = "image";
/// In a volume's folder: a mount for each use of it.
pub const USES: &str = "uses";
/// How a use is mounted: as a copy that passes nothing on. Where mounts are
/// shared, as systemd has them, what lies on one copy lies on all.
const USE: [&str; 2] = ["--bind", "--make-private"];

/// How long a device may take to let go of what nobody has mounted any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes what a new volume has in the place of a plain directory. Whatever
/// cannot be mounted shall fail here, where Docker's user sees it.
pub fn make(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let (image, files) = (folder.join(IMAGE), folder.join(FILES));
    if let Some(how) = settings.image()
        && !image.exists()
    {
        make_image(&image, settings, how.mkfs)?;
    }
    attach(folder, settings)?;
    // Docker copies what an image has in this place, but into nothing that has
    // anything in it.
    let _ = fs::remove_dir(files.join("lost+found"));
    let owned = own(&files, settings);
    umount(&files)?;
    owned?;
    if settings.kind == Kind::Tmpfs {
        return Ok(());
    }
    File::open(&image)
        .and_then(|image| image.sync_all())
        .map_err(Failure::system("syncing", &image))
}

/// Makes a file of the right size, and a filesystem in it. Such options its
/// mkfs gets.
fn make_image(
    image: &Path,
    settings: &Settings,
    options: &[&str],
) -> Result<(), Failure> {
    // TODO(8.1): make `image`, for its owner alone, give it the size that was
    // asked for without filling it, and have the mkfs of its type make a
    // filesystem in it.
    todo!("8.1")
}

/// Mounts a volume's filesystem where containers look for it.
fn attach(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let files = folder.join(FILES);
    // Whatever a container writes there, it makes no device of the host's.
    let (source, options) = match settings.kind {
        Kind::Tmpfs => {
            // The kernel's own measure is half of the memory.
            let size = settings.size.map_or("50%".into(), |it| it.to_string());
            let (mode, uid) = (settings.mode, settings.uid.unwrap_or(0));
            let gid = settings.gid.unwrap_or(0);
            let options =
                format!("nodev,size={size},mode={mode:o},uid={uid},gid={gid}");
            // Nothing but a name, by which it is found again.
            (files.clone(), options)
        }
        // With discard, what is removed inside takes no room outside.
        _ => (folder.join(IMAGE), "nodev,loop,discard".to_owned()),
    };
    let kind = settings.kind.name();
    run("mount", &["-t", kind, "-o", &options], &[&source, &files]).map(drop)
}

/// Counts one more use of a volume; the first one mounts it.
pub fn take(
    folder: &Path,
    settings: &Settings,
    id: &str,
) -> Result<(), Failure> {
    // TODO(8.2): mount the filesystem if it is not, then its files once more, on
    // the place of this use. After a failure, undo what nobody will undo.
    todo!("8.2")
}

/// Counts one use less, if there is one with this ID; the last one unmounts the
/// volume.
pub fn give_back(folder: &Path, id: &str) -> Result<(), Failure> {
    // TODO(8.3): unmount one use with this ID, if there is one, and then the
    // filesystem if that was the last of all.
    todo!("8.3")
}

/// Unmounts a volume's filesystem if nobody uses it.
fn settle(folder: &Path) -> Result<(), Failure> {
    if !mounted(&folder.join(USES))?.is_empty() {
        return Ok(());
    }
    let files = folder.join(FILES);
    let times = mounted(&files)?.into_iter().filter(|it| *it == files);
    times.into_iter().try_for_each(|files| umount(&files))
}

/// Unmounts a volume that is to be removed, and fails if that frees it not.
pub fn release(
    name: &str,
    folder: &Path,
    settings: &Settings,
) -> Result<(), Failure> {
    // TODO(8.4): unmount all uses, which are stale by now, and the filesystem.
    // Then refuse if it lives on, and say where.
    todo!("8.4")
}

/// Says who still has a volume's filesystem.
fn in_use(name: &str, source: &Path) -> Failure {
    let who = match &mounts::elsewhere(source).unwrap_or_default()[..] {
        [] => format!("{} is, by somebody out of sight", source.display()),
        [who] => format!("{who} has it mounted"),
        [who, more @ ..] => format!("{who} and {} more have it", more.len()),
    };
    Failure::InUse(name.to_owned(), who)
}

/// What is still mounted somewhere of a volume that we have unmounted: the loop
/// device of its image, or the name of its tmpfs.
fn lives_on(
    folder: &Path,
    settings: &Settings,
) -> Result<Option<PathBuf>, Failure> {
    let (image, files) = (folder.join(IMAGE), folder.join(FILES));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let source = if settings.kind == Kind::Tmpfs {
            let holders = mounts::elsewhere(&files).unwrap_or_default();
            holders.first().map(|_| files.clone())
        } else {
            let options = ["--noheadings", "--output", "NAME", "--associated"];
            let devices = run("losetup", &options, &[&image])?;
            devices.split_whitespace().next().map(PathBuf::from)
        };
        // A device is let go, and a container's mounts are undone, a moment
        // after the last one has asked for it.
        if source.is_none() || deadline < Instant::now() {
            return Ok(source);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Unmounts what a crash has left mounted in ROOT, and nobody uses.
pub fn recover(root: &Path) {
    let mut volumes = BTreeSet::new();
    for path in mounted(root).unwrap_or_default() {
        let within = path.strip_prefix(root).unwrap_or(&path);
        let Some(name) = within.iter().next() else { continue };
        let folder = root.join(name);
        if name.as_encoded_bytes().starts_with(b".") {
            info!("unmounting {}, which a crash has left", path.display());
            log(umount(&path));
        } else if folder.join(USES).exists() {
            volumes.insert(folder);
        }
    }
    volumes.iter().for_each(|folder| log(settle(folder)));
}

/// For what nobody waits for.
fn log(outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        warn!("{failure}");
    }
}

/// What is mounted on a folder or below it.
fn mounted(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    mounts::below(folder).map_err(Failure::system("asking for", folder))
}

/// Never by force, and never lazily: what is busy stays where it can be seen.
fn umount(path: &Path) -> Result<(), Failure> {
    run("umount", &[], &[path]).map(drop)
}
