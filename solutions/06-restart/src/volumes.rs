//! The volumes, each of them a folder in ROOT. No HTTP here.
//!
//! In `ROOT/NAME`, `volume.json` says what the volume is, and `files` is what
//! containers see. No volume's name starts with a dot, so what does is ours.

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
use crate::text::shown;

/// All volumes that Docker has created and not yet removed.
///
/// Their folders are all there is: what is not in memory is not lost with it.
pub struct Volumes {
    root: PathBuf,
    /// ROOT, as it was at the start. No other plugin gets it while we live.
    lock: File,
}

/// In a volume's folder: what containers see.
const FILES: &str = "files";

/// In ROOT: volumes that are removed, while their files go.
const REMOVED: &str = ".removed";
/// In ROOT: volumes that are removed, and whose files stay.
const KEPT: &str = ".kept";
/// In ROOT: what was a volume, and cannot be read.
const UNREADABLE: &str = ".unreadable";

/// What is known of a volume besides its name.
struct Known {
    settings: Settings,
    /// When its file was written.
    created: SystemTime,
}

impl Known {
    /// As the file in a volume's folder says.
    fn read(folder: &Path) -> io::Result<Self> {
        let wrong =
            |err: String| io::Error::new(ErrorKind::InvalidData, shown(&err));
        store::folder(folder)?;
        let path = folder.join(STATE);
        let text = store::read(&path)?;
        let options = serde_json::from_slice(&text)
            .map_err(|err| wrong(err.to_string()))?;
        let settings =
            Settings::read(&options).map_err(|err| wrong(err.to_string()))?;
        Ok(Self { settings, created: fs::metadata(path)?.modified()? })
    }
}

impl Volumes {
    /// The volumes in `root`, which is made if missing. What a crash has left
    /// half made or half removed goes.
    pub fn new(root: &Path) -> Result<Self> {
        let (root, lock) = root::open(root)?;
        for folder in [NEW, REMOVED, KEPT, UNREADABLE] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder)
                .and_then(|()| store::folder(&folder))
                .with_context(|| format!("making {}", folder.display()))?;
        }
        for half in [NEW, REMOVED].map(|it| root.join(it)) {
            for name in names(&half)? {
                let path = half.join(name);
                info!("removing {}, which a crash has left", path.display());
                // No other volume has to wait for it.
                if let Err(err) = remove(&path) {
                    warn!("{} stays: {err}", path.display());
                }
            }
        }
        let volumes = Self { root, lock };
        let folders = names(&volumes.root)?;
        let folders = folders.iter().filter_map(|it| volumes.folder(it));
        root::count(&volumes.root, folders);
        Ok(volumes)
    }

    /// Makes a volume that from here on outlives every crash.
    ///
    /// A name that is taken by the same options is no mistake: whoever asks
    /// twice gets what they asked for. With other options it is one.
    pub fn create(
        &self,
        name: String,
        options: &Options,
    ) -> Result<(), Failure> {
        let Some(folder) = self.folder(&name) else {
            return Err(Failure::BadName(name));
        };
        let settings = Settings::read(options)?.agree()?;
        if let Some(had) = self.known(&name)? {
            let had = had.settings.spelled();
            return match difference(&had, &settings.spelled()) {
                Some(what) => Err(Failure::OtherOptions(name, what)),
                None => Ok(()),
            };
        }
        if fs::symlink_metadata(&folder).is_ok() {
            let words = format!("it is there without a {STATE}: move it away");
            let err = io::Error::new(ErrorKind::AlreadyExists, words);
            return Err(Failure::system("making", &folder)(err));
        }

        // No call looks there. A crash from here to the rename leaves what the
        // next start removes, or kept files where they were.
        let making = self.making(&name)?;
        fill(&making, &settings)?;
        rename(&making, &folder)?;
        sync(&self.root)
    }

    /// What Docker may know about a volume.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        let Some(known) = self.known(name)? else {
            return Err(Failure::NoSuchVolume(name.to_owned()));
        };
        let mountpoint = self.files(name);
        Ok(Volume {
            name: name.to_owned(),
            created_at: rfc3339(known.created),
            status: known.settings.status(&mountpoint),
            mountpoint,
        })
    }

    /// All volumes, by name. This looks for each volume's file, and reads none.
    pub fn list(&self) -> Result<Vec<Listed>, Failure> {
        root::is_same(&self.root, &self.lock)?;
        let names = names(&self.root)
            .map_err(Failure::system("reading", &self.root))?;
        // Where ROOT is a disk of its own, it has a `lost+found`.
        let names = names.into_iter().filter(|name| {
            let folder = self.folder(name);
            folder.is_some_and(|it| root::is_volume(&it).unwrap_or(true))
        });
        let listed =
            |name: String| Listed { mountpoint: self.files(&name), name };
        Ok(names.map(listed).collect())
    }

    /// Where a container finds the files of a volume.
    pub fn mount(&self, name: &str) -> Result<PathBuf, Failure> {
        let files = self.get(name)?.mountpoint;
        // Docker reports a missing directory with the words of its runtime.
        store::folder(&files)
            .map_err(Failure::system("looking for", &files))?;
        Ok(files)
    }

    /// A container has ended. Others may go on, and the files stay.
    pub fn unmount(&self, name: &str) -> Result<(), Failure> {
        self.get(name).map(|_| ())
    }

    /// Removes a volume, with its files unless they are to be kept. Docker asks
    /// for this only if no container has the volume.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let Some(known) = self.known(name)? else {
            return Err(Failure::NoSuchVolume(name.to_owned()));
        };
        let folder = self.root.join(name);
        if known.settings.keep {
            let kept = self.root.join(KEPT).join(name);
            rename(&folder, &kept)?;
            sync(&self.root)?;
            let files = kept.join(FILES);
            info!("{name} is gone, its files stay in {}", files.display());
            return Ok(());
        }

        // From the rename on there is no such volume, whatever happens to its
        // files; the next start removes those that a crash leaves.
        let removed = root::vacant(&self.root.join(REMOVED), name)?;
        rename(&folder, &removed)?;
        sync(&self.root)?;
        if let Err(err) = remove(&removed) {
            warn!("{name} is gone, {} is not: {err}", removed.display());
        }
        Ok(())
    }

    /// What is known of a volume, if there is one of this name.
    ///
    /// One that cannot be read is set aside: nobody else's has to wait for it.
    fn known(&self, name: &str) -> Result<Option<Known>, Failure> {
        let Some(folder) = self.folder(name) else { return Ok(None) };
        root::is_same(&self.root, &self.lock)?;
        if !root::is_volume(&folder)
            .map_err(Failure::system("looking at", &folder))?
        {
            return Ok(None);
        }
        let err = match Known::read(&folder) {
            Ok(known) => return Ok(Some(known)),
            Err(err) => err,
        };

        if err.raw_os_error().is_some() {
            // The next call may have more luck with it.
            return Err(Failure::system("reading", &folder)(err));
        }
        let aside = self.root.join(UNREADABLE).join(rfc3339(SystemTime::now()));
        let aside = root::vacant(&aside, name)?;
        rename(&folder, &aside)?;
        error!("{name} cannot be read ({err}): it is in {}", aside.display());
        Ok(None)
    }

    /// The folder in which a volume is made: an empty one, or the one of a
    /// volume of this name whose files were kept.
    fn making(&self, name: &str) -> Result<PathBuf, Failure> {
        let kept = self.root.join(KEPT).join(name);
        if store::folder(&kept).is_ok()
            && store::folder(&kept.join(FILES)).is_ok()
        {
            info!("{name} has the files of {} again", kept.display());
            return Ok(kept);
        }
        let ours = self.root.join(NEW);
        // What cannot go, such as an immutable file, is in nobody's way.
        let _ = remove(&ours.join(name));
        let new = root::vacant(&ours, name)?;
        fs::create_dir(&new).map_err(Failure::system("making", &new))?;
        Ok(new)
    }

    /// The mountpoint of a volume that there is.
    fn files(&self, name: &str) -> PathBuf {
        self.root.join(name).join(FILES)
    }

    /// The folder for a name, if a volume may have that name.
    ///
    /// Docker checks none of these names: `..`, `/etc` and `a/../../b` arrive as
    /// they are typed.
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

/// Makes of a folder what a volume has.
fn fill(folder: &Path, settings: &Settings) -> Result<(), Failure> {
    let files = folder.join(FILES);
    fs::create_dir_all(&files).map_err(Failure::system("making", &files))?;
    // Not while making it: this process's umask would take bits away, and a
    // directory that was there would keep its mode.
    let mode = Permissions::from_mode(settings.mode);
    File::open(&files)
        .and_then(|files| {
            files.set_permissions(mode)?;
            files.sync_all()
        })
        .map_err(Failure::system("setting the mode of", &files))?;

    let state = folder.join(STATE);
    remove(&state).map_err(Failure::system("removing", &state))?;
    let options = serde_json::to_vec(&settings.spelled());
    write(&state, &options.expect("keys are strings, so JSON can say it"))?;
    sync(folder)
}

/// What a directory's name may have on every common filesystem, in bytes.
const LONGEST_NAME: usize = 255;

/// The first option that is not the same on both sides, in words.
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
