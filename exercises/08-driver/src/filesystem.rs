//! Volumes with a filesystem of their own, in memory or in a file.
//!
//! In a volume's folder, `image` is that file, and the filesystem is mounted on
//! `fs` while a container uses the volume. Containers see `fs/files`, a folder
//! that exists only inside the filesystem. If Docker cannot see the mount, it
//! finds no such folder, so the container gets an error and cannot fill the
//! host's disk.
//!
//! `uses/ID` is a file with one byte for each use with that ID, so a crash of
//! the plugin loses no use. Uses count only while the filesystem is mounted,
//! because a reboot ends all mounts and all uses.

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

/// Fails if one of these is a link. Calls that use them would follow it.
pub fn refuse_links(folder: &Path) -> Result<(), Failure> {
    let parts = [FS, FILES, IMAGE, USES].map(|part| folder.join(part));
    let link = parts.iter().find(|part| part.is_symlink());
    let wrong = io::Error::other("a link may lead out of ROOT: remove it");
    link.map_or(Ok(()), |link| Err(Failure::system("using", link)(wrong)))
}

/// Makes the filesystem of a new volume, and mounts it once: a filesystem that
/// cannot be mounted must fail here, in Create, where the user sees the error.
pub fn make(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let (image, files) = (folder.join(IMAGE), folder.join(FILES));
    if let Some(how) = settings.image()
        && !image.exists()
    {
        make_image(&image, settings, how.mkfs)?;
    }
    let fs = folder.join(FS);
    fs::create_dir_all(&fs).map_err(Failure::system("making", &fs))?;
    mount_filesystem(folder, settings)?;
    let made = make_files(&files, settings);
    umount(&fs)?;
    made?;
    match settings.kind {
        Kind::Tmpfs => Ok(()),
        _ => store::sync(&image),
    }
}

/// Creates a sparse file of the requested size and runs mkfs on it with
/// `options`.
fn make_image(
    image: &Path,
    settings: &Settings,
    options: &[&str],
) -> Result<(), Failure> {
    // TODO(8.1): create `image` with mode 0600, set its length to the requested
    // size without writing data, and run the mkfs of its type on it.
    todo!("8.1")
}

/// Makes a volume's directory, with the requested owner and mode.
pub fn make_files(files: &Path, settings: &Settings) -> Result<(), Failure> {
    fs::create_dir_all(files).map_err(Failure::system("making", files))?;
    // Set the mode after creating the directory: the umask would remove bits,
    // and an existing directory would keep its mode.
    let mode = Permissions::from_mode(settings.mode);
    File::open(files)
        .and_then(|files| {
            // The owner first: chown may clear bits of the mode.
            fchown(&files, settings.uid, settings.gid)?;
            files.set_permissions(mode)
        })
        .map_err(Failure::system("setting the owner and mode of", files))
}

/// Mounts a volume's filesystem on its `fs`.
fn mount_filesystem(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let fs = folder.join(FS);
    // `nodev`: a container must not be able to create device nodes of the host.
    let (source, options) = match settings.kind {
        Kind::Tmpfs => {
            // Without a size the kernel allows half of the RAM; say so
            // explicitly.
            let size = settings.size.map(|size| size.to_string());
            let size = size.unwrap_or_else(|| "50%".to_owned());
            // A tmpfs has no source, only a name.
            ("workshop".into(), format!("nodev,size={size},mode=700"))
        }
        // With `discard`, space that is freed inside is freed on the host's
        // disk.
        _ => (folder.join(IMAGE), "nodev,loop,discard".to_owned()),
    };
    let kind = settings.kind.name();
    run("mount", &["-t", kind, "-o", &options], &[&source, &fs]).map(drop)
}

/// Counts one more use of a volume; the first use mounts the filesystem.
pub fn add_use(
    folder: &Path,
    settings: &Settings,
    id: &str,
) -> Result<(), Failure> {
    // TODO(8.2): call `mount_anew` unless the filesystem is mounted, then add a
    // byte to the file of this ID. After a failure, undo the mount: Docker will
    // send no Unmount.
    todo!("8.2")
}

/// Mounts a filesystem that is not mounted. Uses from before a reboot are
/// removed.
fn mount_anew(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let (uses, files) = (folder.join(USES), folder.join(FILES));
    remove(&uses)
        .and_then(|()| fs::create_dir(&uses))
        .map_err(Failure::system("emptying", &uses))?;
    mount_filesystem(folder, settings)?;
    if settings.kind == Kind::Tmpfs {
        make_files(&files, settings)?;
    }
    // For a missing folder, Docker would show an error of its container
    // runtime.
    store::folder(&files).map_err(Failure::system("looking for", &files))
}

/// Counts one use fewer, if there is one with this ID; the last one unmounts
/// the filesystem.
pub fn remove_use(folder: &Path, id: &str) -> Result<(), Failure> {
    // TODO(8.3): remove a byte from the file of this ID, if the file exists,
    // and remove an empty file. Then unmount the filesystem if that was the
    // last use.
    todo!("8.3")
}

/// Unmounts a volume's filesystem if no use is left and no container has it.
fn unmount_if_unused(folder: &Path) -> Result<(), Failure> {
    let uses = names(&folder.join(USES)).unwrap_or_default();
    if !uses.is_empty() || !mounts::is_mounted(&folder.join(FS))? {
        return Ok(());
    }
    // After a `docker cp` that failed, dockerd 20.10 sends one Unmount too
    // many, although the container still runs. The next container must see the
    // same files as that one.
    if let Some(who) = mounts::holders(&folder.join(FS))? {
        info!("{} stays mounted: {who}", folder.display());
        return Ok(());
    }
    umount(&folder.join(FS))
}

/// Unmounts a volume that is about to be removed; fails if another process
/// still has it mounted.
pub fn unmount_for_removal(name: &str, folder: &Path) -> Result<(), Failure> {
    // TODO(8.4): refuse if another process still has the filesystem mounted.
    // Then remove all uses, since no container has the volume any more,
    // unmount, and refuse if the image still has a loop device.
    Ok(())
}

/// Unmounts all filesystems under ROOT that a crash left mounted and that are
/// not in use. Other mounts are not ours.
pub fn recover(root: &Path) -> io::Result<()> {
    for path in mounts::below(root)? {
        let within = path.strip_prefix(root).unwrap_or(&path);
        match within.iter().filter_map(OsStr::to_str).collect::<Vec<_>>()[..] {
            [name, FS] => log(unmount_if_unused(&root.join(name))),
            [half, _, FS] if half.starts_with('.') => log(umount(&path)),
            _ => {}
        }
    }
    Ok(())
}

/// Logs a failure that no caller can receive.
fn log(outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        warn!("{failure}");
    }
}

/// Unmounts without `--force` and without `--lazy`: a busy mount stays visible.
fn umount(path: &Path) -> Result<(), Failure> {
    run("umount", &[], &[path]).map(drop)
}
