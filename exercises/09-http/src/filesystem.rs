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
    // The file has its full length at once, and takes up disk space only when
    // data is written.
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(image)
        .and_then(|file| file.set_len(settings.size.unwrap_or_default()))
        .map_err(Failure::system("making", image))?;
    let mkfs = format!("mkfs.{}", settings.kind.name());
    run(&mkfs, options, &[image]).map(drop)
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
    let mounted = match mounts::is_mounted(&folder.join(FS))? {
        true => Ok(()),
        false => mount_anew(folder, settings),
    };
    let counted = mounted.and_then(|()| {
        let place = folder.join(USES).join(id);
        File::options()
            .append(true)
            .create(true)
            .open(&place)
            .and_then(|mut uses| uses.write_all(b"+"))
            .map_err(Failure::system("counting in", &place))
    });
    if counted.is_err() {
        // Docker sends no Unmount for a Mount that failed.
        log(unmount_if_unused(folder));
    }
    counted
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
    let place = folder.join(USES).join(id);
    let uses = fs::metadata(&place).map_or(0, |uses| uses.len());
    let counted = match uses {
        0 | 1 => remove(&place),
        more => File::options()
            .write(true)
            .open(&place)
            .and_then(|uses| uses.set_len(more - 1)),
    };
    counted.map_err(Failure::system("counting in", &place))?;
    unmount_if_unused(folder)
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
    let in_use = |who| Failure::InUse(name.to_owned(), who);
    // Our own unmount proves nothing: containers have their own mount
    // namespaces, and the filesystem lives until its last mount is gone.
    if let Some(who) = mounts::holders(&folder.join(FS))? {
        return Err(in_use(who));
    }
    // Docker sends Remove only if no container has the volume. So for each use
    // that is still counted, a killed dockerd has not sent the Unmount.
    let uses = folder.join(USES);
    for id in names(&uses).unwrap_or_default() {
        warn!("{name} was never unmounted for {id}");
    }
    remove(&uses).map_err(Failure::system("removing", &uses))?;
    unmount_if_unused(folder)?;
    match mounts::device(&folder.join(IMAGE))? {
        Some(who) => Err(in_use(who)),
        None => Ok(()),
    }
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
