//! Volumes that are filesystems of their own: in memory, or in a file.
//!
//! In a volume's folder, `image` is that file, and the filesystem is mounted on
//! `fs` for as long as a container uses the volume. Containers see `fs/files`, a
//! folder that exists only inside the filesystem: where the mount cannot be
//! seen there is no such folder, and no container fills the host's disk instead.
//!
//! `uses/ID` is a file with one byte for each use with that ID, so a crash of
//! the plugin loses no use. Uses count only while the filesystem is mounted: a
//! reboot ends both.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use log::{info, warn};

use crate::mounts;
use crate::options::{Kind, Settings};
use crate::programs::run;
use crate::protocol::Failure;
use crate::remove::remove;
use crate::store::{self, names};

/// In a volume's folder: the file that holds its filesystem.
pub const IMAGE: &str = "image";
/// In a volume's folder: where its filesystem is mounted.
pub const FS: &str = "fs";
/// In a volume's folder: what containers see.
pub const FILES: &str = "fs/files";
/// In a volume's folder: a file for each ID that uses the volume.
const USES: &str = "uses";
/// All of them.
pub const PARTS: [&str; 4] = [FS, FILES, IMAGE, USES];

/// Makes the filesystem of a new volume. If it cannot be mounted, this fails
/// here, where Docker's user sees the reason.
pub fn make(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let (image, files) = (folder.join(IMAGE), folder.join(FILES));
    if let Some(how) = settings.image()
        && !image.exists()
    {
        make_image(&image, settings, how.mkfs)?;
    }
    let fs = folder.join(FS);
    fs::create_dir_all(&fs).map_err(Failure::system("making", &fs))?;
    attach(folder, settings)?;
    let made = fs::create_dir_all(&files)
        .map_err(Failure::system("making", &files))
        .and_then(|()| own(&files, settings));
    umount(&fs)?;
    made?;
    match settings.kind {
        Kind::Tmpfs => Ok(()),
        _ => store::sync(&image),
    }
}

/// Makes a file of the right size, and a filesystem in it. `options` are for the
/// mkfs.
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

/// Gives a volume's directory the owner and the mode that were asked for.
pub fn own(files: &Path, settings: &Settings) -> Result<(), Failure> {
    // Not while making it: this process's umask would take bits away, and a
    // directory that was there would keep its mode.
    let mode = Permissions::from_mode(settings.mode);
    File::open(files)
        .and_then(|files| {
            // In this order: a change of owner may take bits away, too.
            fchown(&files, settings.uid, settings.gid)?;
            files.set_permissions(mode)
        })
        .map_err(Failure::system("setting the owner and mode of", files))
}

/// Mounts a volume's filesystem on its `fs`.
fn attach(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let fs = folder.join(FS);
    // Whatever a container writes there, it makes no device of the host's.
    let (source, options) = match settings.kind {
        Kind::Tmpfs => {
            // The kernel's own measure is half of the memory.
            let size = settings.size.map_or("50%".into(), |it| it.to_string());
            // A tmpfs has no source, only a name.
            ("workshop".into(), format!("nodev,size={size},mode=700"))
        }
        // With discard, what is removed inside takes no room outside.
        _ => (folder.join(IMAGE), "nodev,loop,discard".to_owned()),
    };
    let kind = settings.kind.name();
    run("mount", &["-t", kind, "-o", &options], &[&source, &fs]).map(drop)
}

/// Counts one more use of a volume; the first one mounts the filesystem.
pub fn take(
    folder: &Path,
    settings: &Settings,
    id: &str,
) -> Result<(), Failure> {
    // TODO(8.2): `mount_anew` unless the filesystem is mounted, then add a byte to
    // the file of this ID. After a failure, undo what no Unmount will undo.
    todo!("8.2")
}

/// Mounts a filesystem that has no uses: those of before a reboot are void.
fn mount_anew(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let (uses, files) = (folder.join(USES), folder.join(FILES));
    remove(&uses)
        .and_then(|()| fs::create_dir(&uses))
        .map_err(Failure::system("emptying", &uses))?;
    attach(folder, settings)?;
    if settings.kind == Kind::Tmpfs {
        fs::create_dir(&files).map_err(Failure::system("making", &files))?;
        own(&files, settings)?;
    }
    // Docker would report a missing folder with the words of its runtime.
    store::folder(&files).map_err(Failure::system("looking for", &files))
}

/// Counts one use less, if there is one with this ID; the last one unmounts the
/// volume.
pub fn give_back(folder: &Path, id: &str) -> Result<(), Failure> {
    // TODO(8.3): take a byte from the file of this ID, if there is one, and remove
    // an empty file. Then unmount the filesystem if that was the last use.
    todo!("8.3")
}

/// Unmounts a volume's filesystem if there is no use of it.
fn settle(folder: &Path) -> Result<(), Failure> {
    let uses = names(&folder.join(USES)).unwrap_or_default();
    if !uses.is_empty() || !mounts::is_mounted(&folder.join(FS))? {
        return Ok(());
    }
    // dockerd 20.10 sends one Unmount too many after a `docker cp` that failed,
    // while the container runs: the next one shall see the same files.
    if let Some(who) = mounts::holders(&folder.join(FS))? {
        info!("{} stays mounted: {who}", folder.display());
        return Ok(());
    }
    umount(&folder.join(FS))
}

/// Unmounts a volume that is to be removed, and fails while it is in use.
pub fn release(name: &str, folder: &Path) -> Result<(), Failure> {
    // TODO(8.4): refuse while anybody else has it mounted. Then forget the uses
    // that no container will give back, unmount, and refuse if its image still
    // has a device.
    Ok(())
}

/// Unmounts what a crash has left mounted in ROOT without a use. Other mounts
/// are not ours.
pub fn recover(root: &Path) -> io::Result<()> {
    for path in mounts::below(root)? {
        let within = path.strip_prefix(root).unwrap_or(&path);
        match within.iter().filter_map(OsStr::to_str).collect::<Vec<_>>()[..] {
            [name, FS] => log(settle(&root.join(name))),
            [half, _, FS] if half.starts_with('.') => log(umount(&path)),
            _ => {}
        }
    }
    Ok(())
}

/// For a failure that no caller waits for.
fn log(outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        warn!("{failure}");
    }
}

/// Never by force, and never lazily: what is busy stays where it can be seen.
fn umount(path: &Path) -> Result<(), Failure> {
    run("umount", &[], &[path]).map(drop)
}
