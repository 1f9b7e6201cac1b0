//! An open folder. Its files are reached by single names, and no link is
//! followed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, openat,
    statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::mounts;

/// An open folder. Paths are relative to it and lead through folders only: not
/// through links, and not through `..`.
#[derive(Debug)]
pub struct Directory(pub(crate) OwnedFd);

impl Directory {
    /// Creates a file with this text. A file of that name is unlinked first,
    /// not overwritten: it may have other names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        text: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        self.create(path)?.write_all(text.as_ref())
    }

    /// Creates an empty file. A file of that name is unlinked first.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        match unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(err) => return Err(err.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(0o666);
        Ok(openat(folder, &name, flags | OFlags::CLOEXEC, mode)?.into())
    }

    /// The text of a regular file; `None` if there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let (folder, name) = self.parent_of(path.as_ref()).ok()?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        // Without NONBLOCK, opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file =
            openat(folder, &name, flags | OFlags::CLOEXEC, Mode::empty());
        let mut file = File::from(file.ok()?);
        let mut text = String::new();
        let is_regular =
            file.metadata().is_ok_and(|metadata| metadata.is_file());
        (is_regular && file.read_to_string(&mut text).is_ok()).then_some(text)
    }

    /// Whether anything exists at this path.
    pub(crate) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.stat(path.as_ref()).is_ok()
    }

    /// Creates a folder.
    ///
    /// # Errors
    /// When the folder cannot be created, or already exists.
    pub fn make(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        Ok(mkdirat(folder, &name, Mode::from_raw_mode(0o777))?)
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    /// When the filesystem has no hard links.
    pub(crate) fn link(&self, first: &str, next: &str) -> io::Result<()> {
        Ok(linkat(&self.0, first, &self.0, next, AtFlags::empty())?)
    }

    /// Creates a symbolic link to `target`.
    ///
    /// # Errors
    /// When the link cannot be created.
    pub fn symlink(
        &self,
        target: &Path,
        path: impl AsRef<Path>,
    ) -> io::Result<()> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        Ok(symlinkat(target, folder, &name)?)
    }

    /// Whether there is a folder at this path.
    pub fn has_folder(&self, path: impl AsRef<Path>) -> bool {
        self.stat(path.as_ref()).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        })
    }

    /// Removes a file, or a folder and everything in it. It is no error if
    /// nothing is there.
    ///
    /// # Errors
    /// When something is still there.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        remove_tree(folder, &name)
    }

    /// The names in the folder, in no order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        names_in(self.0.as_fd())
    }

    /// The uid, the gid and the twelve mode bits of the folder.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn owner_and_mode(&self) -> io::Result<(u32, u32, u32)> {
        let metadata = File::from(self.0.try_clone()?).metadata()?;
        Ok((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777))
    }

    /// Sets the twelve mode bits of the folder, as a container may.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let file = File::from(self.0.try_clone()?);
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// The length of a file, in bytes.
    ///
    /// # Errors
    /// When there is no such file.
    pub(crate) fn length(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        Ok(self.stat(path.as_ref())?.st_size.unsigned_abs())
    }

    /// The twelve mode bits of a file, and the bytes that it takes on the disk. A
    /// file with holes takes less than its length.
    ///
    /// # Errors
    /// When there is no such file.
    pub(crate) fn mode_and_room(
        &self,
        path: impl AsRef<Path>,
    ) -> io::Result<(u32, u64)> {
        let stat = self.stat(path.as_ref())?;
        let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777;
        Ok((mode, stat.st_blocks.unsigned_abs() * 512))
    }

    /// Every regular file in or below the folder, by its path relative to the
    /// folder. Mounts below the folder are left out.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        files_in(self.0.as_fd(), Path::new(""), &mut found)?;
        Ok(found)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let (folder, name) = self.parent_of(path)?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        Ok(statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens the folder that holds `path`, or returns `None` if that is this
    /// one. Returns the last name as well.
    fn parent_of(
        &self,
        path: &Path,
    ) -> io::Result<(Option<OwnedFd>, OsString)> {
        let is_name = |part: Component| matches!(part, Component::Normal(_));
        let name = path.file_name().filter(|_| path.components().all(is_name));
        let name = name.ok_or(ErrorKind::InvalidInput)?;
        let mut fd: Option<OwnedFd> = None;
        for part in path.parent().into_iter().flatten() {
            let folder = fd.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
            fd = Some(enter_same_mount(folder, part)?);
        }
        Ok((fd, name.to_owned()))
    }
}

pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the folder `name` in `folder`. It may be a mount, but not a link.
pub(crate) fn enter(folder: BorrowedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = FOLDER | OFlags::NOFOLLOW;
    Ok(openat(folder, name, flags, Mode::empty())?)
}

/// Opens the folder `name` in `folder`. It may be neither a mount nor a link.
fn enter_same_mount(folder: BorrowedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let fd = enter(folder, name)?;
    // A bind mount may be on the same device, but is a different mount.
    let same = fstat(&fd)?.st_dev == fstat(folder)?.st_dev
        && mounts::id_of(fd.as_fd()) == mounts::id_of(folder);
    if same { Ok(fd) } else { Err(Errno::XDEV.into()) }
}

fn names_in(folder: BorrowedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

fn files_in(
    folder: BorrowedFd,
    path: &Path,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for name in names_in(folder)? {
        // A file that is being removed may be gone by now.
        let Ok(stat) = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => found.push(path.join(name)),
            FileType::Directory => match enter_same_mount(folder, &name) {
                Ok(next) => files_in(next.as_fd(), &path.join(name), found)?,
                Err(err) => match err.kind() {
                    ErrorKind::NotFound | ErrorKind::CrossesDevices => {}
                    _ => return Err(err),
                },
            },
            _ => {}
        }
    }
    Ok(())
}

/// Removes the file or folder `name` in `folder`, and everything in it. No link
/// is followed, and nothing in a mount is removed. It is no error if nothing is
/// there.
///
/// # Errors
/// When something is still there.
pub(crate) fn remove_tree(folder: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let gone = |outcome: rustix::io::Result<()>| match outcome {
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome.map_err(io::Error::from),
    };
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        outcome => return gone(outcome.map(drop)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return gone(unlinkat(folder, name, AtFlags::empty()));
    }
    if !Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU) {
        // The plugin may have removed our permission to enter the folder.
        unlock(folder, name)?;
    }
    let inner = enter_same_mount(folder, name)?;
    for next in names_in(inner.as_fd())? {
        remove_tree(inner.as_fd(), &next)?;
    }
    drop(inner);
    gone(unlinkat(folder, name, AtFlags::REMOVEDIR))
}

#[cfg(target_os = "linux")]
fn unlock(folder: BorrowedFd, name: &OsStr) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // On Linux, setting the mode by name would follow a link. Setting it
    // through the number of an open file does not.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let fd = openat(folder, name, flags | OFlags::CLOEXEC, Mode::empty())?;
    let same = fstat(&fd)?.st_dev == fstat(folder)?.st_dev
        && mounts::id_of(fd.as_fd()) == mounts::id_of(folder);
    if !same {
        return Err(Errno::XDEV.into());
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(target_os = "linux"))]
fn unlock(folder: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o700);
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chmodat(folder, name, mode, flags)?)
}
