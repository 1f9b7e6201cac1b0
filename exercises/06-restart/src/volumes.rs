//! The volumes, each of them a folder in ROOT. No HTTP here.
//!
//! In `ROOT/NAME`, `volume.json` holds the volume's options, and containers see
//! `files`. No volume's name starts with a dot, so such names in ROOT are ours.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use log::{error, info, warn};

use crate::clock::rfc3339;
use crate::options::Settings;
use crate::protocol::{Failure, Listed, Options, Volume};
use crate::remove::remove;
use crate::root::{self, NEW, STATE};
use crate::store::{self, names, rename, sync, write};
use crate::text::excerpt;

/// All volumes that Docker has created and not yet removed.
///
/// There is no list in memory, which a crash would lose: the folders in ROOT
/// are the list.
pub struct Volumes {
    root: PathBuf,
    /// The lock of ROOT: no other plugin can use ROOT while this one runs.
    lock: File,
}

/// In a volume's folder: what containers see.
const FILES: &str = "files";

/// In ROOT: removed volumes whose files are being deleted.
const REMOVED: &str = ".removed";
/// In ROOT: removed volumes whose files were kept.
const KEPT: &str = ".kept";
/// In ROOT: volumes that could not be read.
const UNREADABLE: &str = ".unreadable";

/// The properties of a volume.
struct Metadata {
    settings: Settings,
    /// The time at which its file was written.
    created: SystemTime,
}

impl Metadata {
    /// Reads the file in a volume's folder.
    fn read(folder: &Path) -> io::Result<Self> {
        let wrong =
            |err: String| io::Error::new(ErrorKind::InvalidData, excerpt(&err));
        store::folder(folder)?;
        let (text, created) = store::read(&folder.join(STATE))?;
        let options = serde_json::from_slice(&text)
            .map_err(|err| wrong(err.to_string()))?;
        let settings =
            Settings::read(&options).map_err(|err| wrong(err.to_string()))?;
        Ok(Self { settings, created })
    }
}

impl Volumes {
    /// Opens `root`, which is created if it is missing, and deletes volumes
    /// that a crash has left half created or half removed.
    pub fn new(root: &Path) -> Result<Self> {
        let (root, lock) = root::open(root)?;
        for folder in [NEW, REMOVED, KEPT, UNREADABLE] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder)
                .and_then(|()| store::folder(&folder))
                .with_context(|| format!("making {}", folder.display()))?;
        }
        for half in [NEW, REMOVED].map(|name| root.join(name)) {
            for name in names(&half)? {
                let path = half.join(name);
                info!("removing {}, which a crash has left", path.display());
                // A leftover that cannot be removed must not block the other
                // volumes.
                if let Err(err) = remove(&path) {
                    warn!("{} stays: {err}", path.display());
                }
            }
        }
        let volumes = Self { root, lock };
        let folders = names(&volumes.root)?;
        let folders = folders.iter().filter_map(|name| volumes.folder(name));
        root::count(&volumes.root, folders);
        Ok(volumes)
    }

    /// Creates a volume. After this returns, no crash can lose it.
    ///
    /// A name that exists with the same options is not an error: creating a
    /// volume twice is allowed. With different options it is an error.
    pub fn create(
        &self,
        name: String,
        options: &Options,
    ) -> Result<(), Failure> {
        let Some(folder) = self.folder(&name) else {
            return Err(Failure::BadName(name));
        };
        let settings = Settings::read(options)?.validate()?;
        if let Some(had) = self.load(&name)? {
            let had = had.settings.canonical();
            return match difference(&had, &settings.canonical()) {
                Some(what) => Err(Failure::OtherOptions(name, what)),
                None => Ok(()),
            };
        }
        if fs::symlink_metadata(&folder).is_ok() {
            let words = format!("it exists without a {STATE}: move it away");
            let err = io::Error::new(ErrorKind::AlreadyExists, words);
            return Err(Failure::system("making", &folder)(err));
        }

        // TODO(6.2): write the contents in the folder that `staging_folder`
        // returns, where no call looks. Then move it to its place with one
        // rename, and sync ROOT.
        fs::create_dir_all(&folder)
            .map_err(Failure::system("making", &folder))?;
        write_contents(&folder, &settings)
    }

    /// Describes a volume to Docker.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        let Some(metadata) = self.load(name)? else {
            return Err(Failure::NoSuchVolume(name.to_owned()));
        };
        let mountpoint = self.files(name);
        Ok(Volume {
            name: name.to_owned(),
            created_at: rfc3339(metadata.created),
            status: metadata.settings.status(&mountpoint),
            mountpoint,
        })
    }

    /// All volumes, by name. This checks that each volume's file exists, but
    /// reads none.
    pub fn list(&self) -> Result<Vec<Listed>, Failure> {
        root::is_same(&self.root, &self.lock)?;
        let names = names(&self.root)
            .map_err(Failure::system("reading", &self.root))?;
        // If ROOT is a disk of its own, it has a `lost+found`.
        let names = names.into_iter().filter(|name| {
            let folder = self.folder(name);
            folder
                .is_some_and(|folder| root::is_volume(&folder).unwrap_or(true))
        });
        let listed =
            |name: String| Listed { mountpoint: self.files(&name), name };
        Ok(names.map(listed).collect())
    }

    /// The directory in which a container finds the files of a volume.
    pub fn mount(&self, name: &str) -> Result<PathBuf, Failure> {
        let files = self.get(name)?.mountpoint;
        // For a missing directory, Docker would show an error of its container
        // runtime.
        store::folder(&files)
            .map_err(Failure::system("looking for", &files))?;
        Ok(files)
    }

    /// A container has ended. Other containers may still run, and the files
    /// stay.
    pub fn unmount(&self, name: &str) -> Result<(), Failure> {
        self.get(name).map(|_| ())
    }

    /// Removes a volume, and its files unless `keep` is set. Docker sends this
    /// only if no container has the volume.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let Some(metadata) = self.load(name)? else {
            return Err(Failure::NoSuchVolume(name.to_owned()));
        };
        let folder = self.root.join(name);
        if metadata.settings.keep {
            let kept = self.root.join(KEPT).join(name);
            rename(&folder, &kept)?;
            // The new name first: a crash in between loses neither.
            sync(&self.root.join(KEPT))?;
            sync(&self.root)?;
            let files = kept.join(FILES);
            info!("{name} is gone, its files stay in {}", files.display());
            return Ok(());
        }

        // TODO(6.4): a crash during this, or a file that cannot be removed,
        // leaves a part of the volume. Find one change after which it is gone
        // as a whole, even after a power cut. Then remove its files.
        remove(&folder).map_err(Failure::system("removing", &folder))
    }

    /// Reads the metadata of a volume, if it exists.
    ///
    /// An unreadable volume is moved aside so that it does not block the
    /// others.
    fn load(&self, name: &str) -> Result<Option<Metadata>, Failure> {
        let Some(folder) = self.folder(name) else { return Ok(None) };
        root::is_same(&self.root, &self.lock)?;
        let err = match Metadata::read(&folder) {
            Ok(metadata) => return Ok(Some(metadata)),
            Err(err) if root::is_no_volume(&err) => return Ok(None),
            Err(err) => err,
        };

        if err.raw_os_error().is_some() {
            // The error may be transient, so report it and leave the volume in
            // place.
            return Err(Failure::system("reading", &folder)(err));
        }
        // TODO(6.3): move the volume's folder to a vacant path in
        // `UNREADABLE/TIME`, and log the reason and the new path. After that,
        // the volume does not exist.
        Err(Failure::system("reading", &folder)(err))
    }

    /// The folder in which a new volume is prepared: an empty one, or the kept
    /// folder of an earlier volume of this name.
    fn staging_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let kept = self.root.join(KEPT).join(name);
        if store::folder(&kept).is_ok()
            && store::folder(&kept.join(FILES)).is_ok()
        {
            info!("{name} has the files of {} again", kept.display());
            return Ok(kept);
        }
        let ours = self.root.join(NEW);
        // Leftovers that cannot be removed, such as an immutable file, do no
        // harm.
        let _ = remove(&ours.join(name));
        let new = root::vacant(&ours, name)?;
        fs::create_dir(&new).map_err(Failure::system("making", &new))?;
        Ok(new)
    }

    /// The mountpoint of an existing volume.
    fn files(&self, name: &str) -> PathBuf {
        self.root.join(name).join(FILES)
    }

    /// The folder for a name, if the name is valid.
    ///
    /// Docker does not check these names: `..`, `/etc` and `a/../../b` arrive
    /// exactly as typed.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        let allowed =
            |byte| u8::is_ascii_alphanumeric(byte) || b"_.-".contains(byte);
        let plain = match name.as_bytes() {
            [first, rest @ ..] => {
                first.is_ascii_alphanumeric()
                    && !rest.is_empty()
                    && rest.iter().all(allowed)
                    && name.len() <= LONGEST_NAME
            }
            [] => false,
        };

        plain.then(|| self.root.join(name))
    }
}

/// Creates the contents of a volume in `folder`: `files` and `volume.json`.
fn write_contents(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let files = folder.join(FILES);
    fs::create_dir_all(&files).map_err(Failure::system("making", &files))?;
    // Set the mode after creating the directory: the umask would remove bits,
    // and an existing directory would keep its mode.
    let mode = Permissions::from_mode(settings.mode);
    fs::set_permissions(&files, mode)
        .map_err(Failure::system("setting the mode of", &files))?;

    let state = folder.join(STATE);
    remove(&state).map_err(Failure::system("removing", &state))?;
    let options = serde_json::to_vec(&settings.canonical());
    write(&state, &options.expect("keys are strings, so JSON can hold it"))?;
    // The folder after the file: ext4 has kept both with the file's sync, and
    // this one finds nothing to do. btrfs keeps only what is synced.
    sync(&files)
}

/// The longest file name of all common filesystems, in bytes.
const LONGEST_NAME: usize = 255;

/// Describes the first option that differs.
fn difference(had: &Options, wanted: &Options) -> Option<String> {
    let keys = had.keys().chain(wanted.keys());
    let mut different = keys.filter(|key| had.get(*key) != wanted.get(*key));
    let key = different.next()?;
    let show = |options: &Options| match options.get(key) {
        Some(value) => format!("{key}={value}"),
        None => format!("no {key}"),
    };
    Some(format!("{}, not {}", show(had), show(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_the_option() {
        let options = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect()
        };
        let none: Options = options(&[]);
        let small = options(&[("size", "1m")]);
        let large = options(&[("size", "9m")]);
        assert_eq!(difference(&small, &small), None);
        for (had, wanted, words) in [
            (&small, &large, "size=1m, not size=9m"),
            (&none, &large, "no size, not size=9m"),
            (&small, &none, "size=1m, not no size"),
        ] {
            assert_eq!(difference(had, wanted).as_deref(), Some(words));
        }
    }

    #[test]
    fn names_keep_to_the_rule() {
        let root = PathBuf::from("/root");
        let lock = File::open("/dev/null").unwrap();
        let volumes = Volumes { root, lock };
        let long = "n".repeat(LONGEST_NAME);
        for name in ["ab", "a.b", "A_9-", "0..", &long] {
            let expected = Path::new("/root").join(name);
            assert_eq!(volumes.folder(name), Some(expected), "{name}");
        }
        let too_long = "n".repeat(LONGEST_NAME + 1);
        for name in
            ["", "a", "..", "/etc", "a/b", "a\0", "a b", "ü-", ".a", &too_long]
        {
            assert_eq!(volumes.folder(name), None, "{name:?}");
        }
    }
}
