//! ROOT, and the paths in it that a plugin returns.
//!
//! A plugin may be wrong, and may return any path. So a returned path is a
//! [`Mountpoint`], which can be compared and shown. Files are reached only
//! through the [`Directory`] that [`Mountpoint::open`] returns. `open` checks,
//! at each use, that the path leads to below the ROOT that the check has
//! created. From there on, only open directories and single names are used: no
//! link is followed, even if a folder is replaced by a link meanwhile.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, openat};
use rustix::io::Errno;

use crate::directory::{Directory, FOLDER, enter, remove_tree};
use crate::finding::{Fault, wrong};
use crate::mounts;

/// The expectation in a report about a path that leads elsewhere.
pub const BELOW_ROOT: &str = "a \"Mountpoint\" below ROOT: nothing else is read \
                              or written";

/// The folder in which a plugin keeps its volumes. It may not exist.
#[derive(Clone, Debug)]
pub struct Root {
    /// The folder that holds ROOT, opened before any plugin ran.
    base: Arc<OwnedFd>,
    /// The path of that folder, without links.
    folder: PathBuf,
    name: OsString,
}

impl Root {
    /// The ROOT at `path`. The folder that holds it must exist.
    ///
    /// # Errors
    /// When that folder cannot be opened.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        else {
            anyhow::bail!("{} cannot be a ROOT", path.display());
        };
        let opening = || format!("opening {}", parent.display());
        let base = openat(CWD, parent, FOLDER, Mode::empty());
        let base = Arc::new(base.with_context(opening)?);
        let folder = parent.canonicalize().with_context(opening)?;
        Ok(Self { base, folder, name: name.to_owned() })
    }

    /// Opens ROOT.
    ///
    /// # Errors
    /// The plugin is wrong if ROOT is not a folder, but a link for example.
    pub fn open(&self) -> Result<Directory, Fault> {
        self.opened().map_err(|err| {
            let got = match fs::read_link(self.path()) {
                Ok(to) => format!("ROOT is a link to {}", to.display()),
                Err(_) => format!("ROOT: {err}"),
            };
            wrong("a look into ROOT", "a folder, not a link", got)
        })
    }

    fn opened(&self) -> io::Result<Directory> {
        let fd = enter(self.base.as_fd(), &self.name)?;
        match self.is_foreign(fd.as_fd()) {
            false => Ok(Directory(fd)),
            true => Err(Errno::XDEV.into()),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Opens a folder below ROOT. No link is followed, and no mount that
    /// belongs to somebody else is entered.
    fn beneath(&self, within: &Path) -> io::Result<Directory> {
        let mut fd = self.opened()?.0;
        for part in within {
            fd = enter(fd.as_fd(), part)?;
        }
        match self.is_foreign(fd.as_fd()) {
            false => Ok(Directory(fd)),
            true => Err(Errno::XDEV.into()),
        }
    }

    /// Whether an open folder is on a filesystem that is also mounted outside
    /// of ROOT: then a plugin has bound a folder of somebody else to ROOT. Only
    /// Linux tells.
    fn is_foreign(&self, fd: BorrowedFd) -> bool {
        let mount_id = mounts::id_of(fd);
        if mount_id == mounts::id_of(self.base.as_fd()) {
            return false;
        }
        let table = mounts::of("self");
        table.iter().find(|mount| Some(mount.id) == mount_id).is_some_and(
            |mount| mounts::is_elsewhere(mount, &table, &self.folder),
        )
    }
}

/// A path that a plugin returned. It may lead anywhere.
#[derive(Clone, Debug)]
pub struct Mountpoint {
    answered: PathBuf,
    /// The call that returned the path.
    sent: String,
    root: Root,
}

impl PartialEq for Mountpoint {
    /// Whether the plugin has returned the same path.
    fn eq(&self, other: &Self) -> bool {
        self.answered == other.answered
    }
}

impl Mountpoint {
    /// The path `answered`, returned for `sent` by a plugin with this ROOT.
    pub fn new(answered: &str, sent: &str, root: &Root) -> Self {
        let (answered, sent) = (answered.into(), sent.to_owned());
        Self { answered, sent, root: root.clone() }
    }

    /// The last part of the path. The rest differs in each run.
    pub(crate) fn name(&self) -> String {
        let name = self.answered.file_name().unwrap_or_default();
        name.display().to_string()
    }

    /// The same place as a path relative to ROOT, without links.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads elsewhere, or to nothing.
    pub fn within(&self) -> Result<PathBuf, Fault> {
        let real = self.answered.canonicalize();
        let real = real.map_err(|err| self.is_no_folder(&err))?;
        let within = real.strip_prefix(self.root.path());
        within.map(Path::to_owned).map_err(|_| self.leads_to(&real))
    }

    /// Opens the folder that is at the path now.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT, or not to a folder.
    pub fn open(&self) -> Result<Directory, Fault> {
        self.leads_below_root()?;
        let within = self.within()?;
        self.root.beneath(&within).map_err(|err| self.is_no_folder(&err))
    }

    /// See [`Directory::write`]. This method and the next ones leave nothing
    /// open, because an open file would keep the plugin from unmounting.
    ///
    /// # Errors
    /// As [`Mountpoint::open`], or when the file cannot be written.
    pub(crate) fn write(
        &self,
        path: impl AsRef<Path>,
        text: impl AsRef<[u8]>,
    ) -> Result<(), Fault> {
        Ok(self.open()?.write(path, text)?)
    }

    /// See [`Directory::read`]. Without a folder, there is no file.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT.
    pub(crate) fn read(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<Option<String>, Fault> {
        match self.is_there()? {
            true => Ok(self.open()?.read(path)),
            false => Ok(None),
        }
    }

    /// See [`Directory::has`]. Without a folder, there is nothing in it.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT.
    pub(crate) fn has(&self, path: impl AsRef<Path>) -> Result<bool, Fault> {
        Ok(self.is_there()? && self.open()?.has(path))
    }

    /// See [`Directory::names`].
    ///
    /// # Errors
    /// As [`Mountpoint::open`], or when the folder cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, Fault> {
        Ok(self.open()?.names()?)
    }

    /// See [`Directory::owner_and_mode`].
    ///
    /// # Errors
    /// As [`Mountpoint::open`], or when the system does not tell.
    pub(crate) fn owner_and_mode(&self) -> Result<(u32, u32, u32), Fault> {
        Ok(self.open()?.owner_and_mode()?)
    }

    /// See [`Directory::set_mode`].
    ///
    /// # Errors
    /// As [`Mountpoint::open`], or when the system refuses.
    pub(crate) fn set_mode(&self, mode: u32) -> Result<(), Fault> {
        Ok(self.open()?.set_mode(mode)?)
    }

    /// Whether the path is absolute and leads to a folder.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT.
    pub(crate) fn is_there(&self) -> Result<bool, Fault> {
        self.leads_below_root()?;
        Ok(self.answered.is_absolute() && self.open().is_ok())
    }

    /// The path must lead to below ROOT; nothing needs to exist there.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads elsewhere.
    pub fn leads_below_root(&self) -> Result<(), Fault> {
        let path = &self.answered;
        if !path.is_absolute() {
            // Docker cannot use a relative path, and no check uses one.
            return Ok(());
        }
        let Some(real) = real(path) else {
            return Err(self.leads_to(path));
        };
        match real.strip_prefix(self.root.path()) {
            Ok(within) if within == Path::new("") => Err(self.leads_to(&real)),
            Ok(within) => match self.root.beneath(within) {
                Err(err) if err.kind() == ErrorKind::CrossesDevices => {
                    Err(self.wrong(
                        "on which a folder from outside ROOT is mounted",
                    ))
                }
                Err(_) | Ok(_) => Ok(()),
            },
            Err(_) => Err(self.leads_to(&real)),
        }
    }

    /// Whether the folder is on a filesystem that is mounted below ROOT.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT.
    pub(crate) fn is_mounted(&self) -> Result<bool, Fault> {
        if !self.is_there()? {
            return Ok(false);
        }
        let path = self.root.path().join(self.within()?);
        let mounts = mounts::below(&self.root.path());
        let mut inner =
            mounts.iter().filter(|mount| mount.path != self.root.path());
        Ok(inner.any(|mount| path.starts_with(&mount.path)))
    }

    /// Removes the folder and everything in it, as an administrator does with
    /// `rm -rf`. Filesystems that are mounted in it stay. The folder may be
    /// gone already.
    ///
    /// # Errors
    /// The plugin is wrong if the path leads out of ROOT.
    pub(crate) fn remove(&self) -> Result<(), Fault> {
        if !self.is_there()? {
            return Ok(());
        }
        let within = self.within()?;
        let (Some(parent), Some(name)) = (within.parent(), within.file_name())
        else {
            return Err(self.leads_to(&self.root.path()));
        };
        let parent = self.root.beneath(parent);
        let parent = parent.map_err(|err| self.is_no_folder(&err))?;
        // Anything that cannot be removed is still there, and the check notices
        // that.
        let _ = remove_tree(parent.0.as_fd(), name);
        Ok(())
    }

    fn is_no_folder(&self, err: &io::Error) -> Fault {
        let got = format!("{}: {err}", self.answered.display());
        wrong(&self.sent, "a \"Mountpoint\" that is a directory", got)
    }

    fn leads_to(&self, real: &Path) -> Fault {
        match real == self.answered {
            true => self.wrong(""),
            false => self.wrong(&format!("which leads to {}", real.display())),
        }
    }

    fn wrong(&self, which: &str) -> Fault {
        let path = self.answered.display();
        let got = match which {
            "" => format!("{path}"),
            which => format!("{path}, {which}"),
        };
        wrong(&self.sent, BELOW_ROOT, got)
    }
}

/// A path without links. If the path does not exist, only its existing part is
/// resolved. `None` if that is impossible.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    // A link that leads to nothing still points somewhere.
    if let Ok(to) = fs::read_link(path) {
        return Some(path.parent()?.canonicalize().ok()?.join(to));
    }
    let parent = real(path.parent()?)?;
    match path.components().next_back()? {
        Component::Normal(name) => Some(parent.join(name)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::cleanup::Folder;
    use crate::plugin::Place;

    /// A place with a volume `v`, and a folder `home` outside.
    fn scene() -> (Place, Folder, PathBuf) {
        let (place, outside) = (Place::new().unwrap(), Folder::new().unwrap());
        fs::create_dir_all(place.volumes().join("v")).unwrap();
        let home = outside.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("file"), "irreplaceable").unwrap();
        (place, outside, home)
    }

    fn at(place: &Place, path: &Path) -> Mountpoint {
        Mountpoint::new(path.to_str().unwrap(), "a call", place.root())
    }

    fn is_untouched(home: &Path) -> bool {
        fs::read(home.join("file")).is_ok_and(|text| text == b"irreplaceable")
            && fs::read_dir(home).unwrap().count() == 1
    }

    #[test]
    fn a_path_is_used_if_it_leads_to_below_root() {
        let (place, _outside, home) = scene();
        let root = place.volumes();
        symlink(&home, root.join("out")).unwrap();
        symlink("v", root.join("in")).unwrap();
        symlink("/no/such/folder", root.join("nowhere")).unwrap();
        fs::write(root.join("plain"), "").unwrap();
        let cases = [
            (root.join("v"), true, true),
            (root.join("in"), true, true),
            (root.join("v/../v"), true, true),
            (root.join("plain"), true, false),
            (root.join("missing"), true, false),
            (PathBuf::new(), true, false),
            ("Cargo.toml".into(), true, false),
            ("src".into(), true, false),
            (root.clone(), false, false),
            (root.join("v/.."), false, false),
            (root.join("out"), false, false),
            (root.join("out/file"), false, false),
            (root.join("nowhere"), false, false),
            (root.join("../run"), false, false),
            (root.join("missing/../../.."), false, false),
            (root.with_file_name("volumes-2"), false, false),
            (home.clone(), false, false),
            ("/".into(), false, false),
            ("/no/such/folder".into(), false, false),
        ];
        for (path, leads_below, opens) in cases {
            let mountpoint = at(&place, &path);
            let below = mountpoint.leads_below_root();
            assert_eq!(below.is_ok(), leads_below, "{}", path.display());
            assert_eq!(mountpoint.open().is_ok(), opens, "{}", path.display());
            let there = mountpoint.is_there().is_ok_and(|there| there);
            assert_eq!(there, opens, "{}", path.display());
        }
        assert!(at(&place, &home).remove().is_err());
        assert!(at(&place, &root.join("out")).remove().is_err());
        assert!(at(&place, &root.join("out")).write("file", "").is_err());
        assert!(is_untouched(&home));
    }

    #[test]
    fn a_root_that_became_a_link_is_not_followed() {
        let (place, _outside, home) = scene();
        fs::rename(place.volumes(), place.folder().join("away")).unwrap();
        symlink(&home, place.volumes()).unwrap();
        assert!(place.root().open().is_err());
        assert!(at(&place, &place.volumes().join("file")).open().is_err());
        assert!(is_untouched(&home));
    }

    #[test]
    fn no_name_in_a_folder_leads_out_of_it() {
        let (place, _outside, home) = scene();
        let (volume, file) = (place.volumes().join("v"), home.join("file"));
        symlink(&file, volume.join("link")).unwrap();
        symlink(&home, volume.join("folder")).unwrap();
        fs::hard_link(&file, volume.join("same")).unwrap();
        let directory = at(&place, &volume).open().unwrap();
        assert_eq!(directory.read("link"), None);
        assert_eq!(directory.read("folder/file"), None);
        assert!(directory.write("folder/file", "").is_err());
        assert!(directory.write("../v/a", "").is_err());
        assert!(directory.make("folder/a").is_err());
        directory.write("link", "").unwrap();
        directory.write("same", "").unwrap();
        assert_eq!(directory.files().unwrap().len(), 2);
        at(&place, &volume).remove().unwrap();
        assert!(!volume.exists());
        assert!(is_untouched(&home));
    }

    /// Whatever the path leads to at any moment, ROOT is never left.
    #[test]
    fn a_path_that_becomes_a_link_meanwhile_is_safe() {
        let (place, _outside, home) = scene();
        let (volume, away) =
            (place.volumes().join("v"), place.volumes().join("away"));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = fs::create_dir(&volume);
                    let _ = fs::rename(&volume, &away);
                    let _ = symlink(&home, &volume);
                    let _ = fs::remove_file(&volume);
                    let _ = fs::rename(&away, &volume);
                }
            });
            let mountpoint = at(&place, &volume);
            for _ in 0..2_000 {
                let _ = mountpoint.write("file", "ours");
                let _ = mountpoint.open().map(|folder| folder.remove("file"));
                let _ = mountpoint.remove();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(is_untouched(&home));
    }

    #[test]
    fn a_folder_that_is_bound_to_a_volume_is_not_ours() {
        if let Some(why) = mounts::missing() {
            println!("skipped: bound folders: {why}");
            return;
        }
        let mount = |words: &[&str], at: &Path| {
            let mut mount = Command::new("mount");
            assert!(mount.args(words).arg(at).status().unwrap().success());
        };
        let (place, _outside, home) = scene();
        let volume = place.volumes().join("v");
        mount(&["--bind", home.to_str().unwrap()], &volume);
        let mountpoint = at(&place, &volume);
        assert!(mountpoint.leads_below_root().is_err());
        assert!(mountpoint.open().is_err());
        let _ = place.root().open().unwrap().remove("v");
        assert!(is_untouched(&home));
        assert!(mounts::clear(&place.volumes()));
        mount(&["-t", "tmpfs", "tmpfs"], &volume);
        assert!(mountpoint.open().is_ok());
        assert!(mountpoint.is_mounted().unwrap());
    }
}
