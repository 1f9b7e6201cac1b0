//! An open folder, whose files are reached by single names and through no link.

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

/// An open folder. All names are of what is in it, and a path leads through
/// folders alone.
#[derive(Debug)]
pub struct Directory(pub(crate) OwnedFd);

impl Directory {
    /// A new file with this text, in place of one that had the name: what else
    /// has the same file keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        text: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        self.create(path)?.write_all(text.as_ref())
    }

    /// A new and empty file, likewise.
    ///
    /// # Errors
    /// When it cannot be made.
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

    /// The text of a plain file; none if there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let (folder, name) = self.parent_of(path.as_ref()).ok()?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        // Of a pipe, nobody may ever have the other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file =
            openat(folder, &name, flags | OFlags::CLOEXEC, Mode::empty());
        let mut file = File::from(file.ok()?);
        let mut text = String::new();
        let is_plain = file.metadata().is_ok_and(|it| it.is_file());
        (is_plain && file.read_to_string(&mut text).is_ok()).then_some(text)
    }

    /// Whether there is anything at this path.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.look(path.as_ref()).is_ok()
    }

    /// A new folder.
    ///
    /// # Errors
    /// When it cannot be made; it may be there.
    pub fn make(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        Ok(mkdirat(folder, &name, Mode::from_raw_mode(0o777))?)
    }

    /// A second name for a file.
    ///
    /// # Errors
    /// When the filesystem has none.
    pub fn link(&self, first: &str, next: &str) -> io::Result<()> {
        Ok(linkat(&self.0, first, &self.0, next, AtFlags::empty())?)
    }

    /// A new link.
    ///
    /// # Errors
    /// When it cannot be made.
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
        let is = |it: Stat| FileType::from_raw_mode(it.st_mode);
        self.look(path.as_ref()).is_ok_and(|it| is(it) == FileType::Directory)
    }

    /// Removes a file, or a folder with all that is in it.
    ///
    /// # Errors
    /// When it is there still.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (folder, name) = self.parent_of(path.as_ref())?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        remove_tree(folder, &name)
    }

    /// What is in it, in no order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        names_in(self.0.as_fd())
    }

    /// Its owner, its group and the twelve bits of its mode.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn owner_and_mode(&self) -> io::Result<(u32, u32, u32)> {
        let is = File::from(self.0.try_clone()?).metadata()?;
        Ok((is.uid(), is.gid(), is.mode() & 0o7777))
    }

    /// Sets the twelve bits of its mode, as a container may.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let file = File::from(self.0.try_clone()?);
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// How long a file is, in bytes.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn length(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        Ok(self.look(path.as_ref())?.st_size.unsigned_abs())
    }

    /// Every plain file in it or below it, by its path from here. What is
    /// mounted below is left out.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        files_in(self.0.as_fd(), Path::new(""), &mut found)?;
        Ok(found)
    }

    fn look(&self, path: &Path) -> io::Result<Stat> {
        let (folder, name) = self.parent_of(path)?;
        let folder = folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        Ok(statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The folder that a path is in, unless that is this one, and its name.
    fn parent_of(
        &self,
        path: &Path,
    ) -> io::Result<(Option<OwnedFd>, OsString)> {
        let plain = |it: &Component| matches!(it, Component::Normal(_));
        let name =
            path.file_name().filter(|_| path.components().all(|it| plain(&it)));
        let name = name.ok_or(ErrorKind::InvalidInput)?;
        let mut fd: Option<OwnedFd> = None;
        for part in path.parent().into_iter().flatten() {
            let here = fd.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
            fd = Some(enter_same_mount(here, part)?);
        }
        Ok((fd, name.to_owned()))
    }
}

pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a folder in another one, which may be a mount, but is no link.
pub(crate) fn enter(folder: BorrowedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = FOLDER | OFlags::NOFOLLOW;
    Ok(openat(folder, name, flags, Mode::empty())?)
}

/// Opens a folder in another one, which is neither a mount nor a link.
fn enter_same_mount(folder: BorrowedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let fd = enter(folder, name)?;
    // A folder that is bound to here is on the same device, and another mount.
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
        // What is being removed may be gone by now.
        let Ok(is) = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        match FileType::from_raw_mode(is.st_mode) {
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

/// Removes what has this name in a folder, with all that is in it: through no
/// link, and nothing of what is mounted there. It may be gone.
///
/// # Errors
/// When something is there still.
pub fn remove_tree(folder: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let gone = |outcome: rustix::io::Result<()>| match outcome {
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome.map_err(io::Error::from),
    };
    let is = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(is) => is,
        outcome => return gone(outcome.map(drop)),
    };
    if FileType::from_raw_mode(is.st_mode) != FileType::Directory {
        return gone(unlinkat(folder, name, AtFlags::empty()));
    }
    if !Mode::from_raw_mode(is.st_mode).contains(Mode::RWXU) {
        // A plugin may have forbidden us to look into it.
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

    // Linux sets no mode by name without following a link, but does so by the
    // number of what was opened without.
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
