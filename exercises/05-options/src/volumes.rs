//! The volumes, in memory, and their directories. No HTTP here.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use log::info;

use crate::clock::rfc3339;
use crate::options::Settings;
use crate::protocol::{Failure, Options, Volume};
use crate::root;

/// All volumes that Docker has created and not yet removed.
pub struct Volumes {
    root: PathBuf,
    by_name: BTreeMap<String, Metadata>,
}

/// The properties of a volume.
struct Metadata {
    settings: Settings,
    /// In the format of RFC 3339.
    created_at: String,
}

impl Volumes {
    /// Keeps the volumes' directories in `root`, which is created if it is
    /// missing.
    pub fn new(root: &Path) -> Result<Self> {
        Ok(Self { root: root::open(root)?, by_name: BTreeMap::new() })
    }

    /// Creates a volume's directory, and stores the volume.
    ///
    /// A name that exists with the same options is not an error: creating a
    /// volume twice is allowed. With different options it is an error.
    pub fn create(
        &mut self,
        name: String,
        options: &Options,
    ) -> Result<(), Failure> {
        let Some(directory) = self.directory(&name) else {
            return Err(Failure::BadName(name));
        };
        let settings = Settings::read(options)?.validate()?;
        let differs = |had: &Metadata| {
            difference(&had.settings.canonical(), &settings.canonical())
        };
        match self.by_name.get(&name).map(differs) {
            Some(Some(what)) => Err(Failure::OtherOptions(name, what)),
            Some(None) => Ok(()),
            None => {
                // The directory may exist already: a restarted plugin has lost
                // its list of volumes, but not their files.
                fs::create_dir_all(&directory)
                    .map_err(Failure::system("making", &directory))?;

                // TODO(5.3): whatever the umask is, and whether the directory
                // existed before or not, it must have the requested mode.

                let created_at = rfc3339(SystemTime::now());
                self.by_name.insert(name, Metadata { settings, created_at });
                Ok(())
            }
        }
    }

    /// Describes a volume to Docker.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        match self.by_name.get_key_value(name) {
            Some((name, metadata)) => Ok(self.volume(name, metadata)),
            None => Err(Failure::NoSuchVolume(name.to_owned())),
        }
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<Volume> {
        let all = self.by_name.iter();
        all.map(|(name, metadata)| self.volume(name, metadata)).collect()
    }

    /// The directory in which a container finds the files of a volume.
    pub fn mount(&self, name: &str) -> Result<PathBuf, Failure> {
        let directory = self.get(name)?.mountpoint;
        // For a missing directory, Docker would show an error of its container
        // runtime.
        fs::metadata(&directory)
            .map_err(Failure::system("looking for", &directory))?;
        Ok(directory)
    }

    /// A container has ended. Other containers may still run, and the files
    /// stay.
    pub fn unmount(&self, name: &str) -> Result<(), Failure> {
        self.get(name).map(|_| ())
    }

    /// Removes a volume, and its files unless `keep` is set. Docker sends this
    /// only if no container has the volume.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let directory = self.get(name)?.mountpoint;

        // TODO(5.4): with `keep`, log where the files are, and remove only the
        // volume.

        match fs::remove_dir_all(&directory) {
            Err(err) if err.kind() != ErrorKind::NotFound => {
                return Err(Failure::system("removing", &directory)(err));
            }
            _ => {}
        }
        self.by_name.remove(name);
        Ok(())
    }

    fn volume(&self, name: &str, metadata: &Metadata) -> Volume {
        let mountpoint = self.root.join(name);
        Volume {
            name: name.to_owned(),
            created_at: metadata.created_at.clone(),
            status: metadata.settings.status(&mountpoint),
            mountpoint,
        }
    }

    /// The directory for a name, if the name is valid.
    ///
    /// Docker does not check these names: `..`, `/etc` and `a/../../b` arrive
    /// exactly as typed.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        // TODO(5.1): enforce `NAME_RULE`. The code below only keeps names
        // inside ROOT.
        let mut parts = Path::new(name).components();
        let one = matches!(parts.next(), Some(std::path::Component::Normal(_)));
        let plain = one
            && parts.next().is_none()
            && !name.contains(['/', '\0'])
            && name.len() <= LONGEST_NAME;

        plain.then(|| self.root.join(name))
    }
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
        let volumes =
            Volumes { root: "/root".into(), by_name: BTreeMap::new() };
        let long = "n".repeat(LONGEST_NAME);
        for name in ["ab", "a.b", "A_9-", "0..", &long] {
            let expected = Path::new("/root").join(name);
            assert_eq!(volumes.directory(name), Some(expected), "{name}");
        }
        let too_long = "n".repeat(LONGEST_NAME + 1);
        for name in
            ["", "a", "..", "/etc", "a/b", "a\0", "a b", "ü-", ".a", &too_long]
        {
            assert_eq!(volumes.directory(name), None, "{name:?}");
        }
    }
}
