//! The volumes, in memory, and their directories. No HTTP here.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{self, Path, PathBuf};

use anyhow::Result;

use crate::protocol::{Failure, Options, Volume};
use crate::root;

/// All volumes that Docker has created and not yet removed.
pub struct Volumes {
    root: PathBuf,
    by_name: BTreeMap<String, Options>,
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
        options: Options,
    ) -> Result<(), Failure> {
        let Some(directory) = self.directory(&name) else {
            return Err(Failure::BadName(name));
        };
        match self.by_name.get(&name).map(|had| difference(had, &options)) {
            Some(Some(what)) => Err(Failure::OtherOptions(name, what)),
            Some(None) => Ok(()),
            None => {
                // TODO(4.2): first create the directory. It may exist already:
                // a restarted plugin has lost its list of volumes, but not
                // their files.
                self.by_name.insert(name, options);
                Ok(())
            }
        }
    }

    /// Describes a volume to Docker.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        match self.by_name.get_key_value(name) {
            Some((name, _)) => Ok(self.volume(name)),
            None => Err(Failure::NoSuchVolume(name.to_owned())),
        }
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<Volume> {
        self.by_name.keys().map(|name| self.volume(name)).collect()
    }

    /// The directory in which a container finds the files of a volume.
    pub fn mount(&self, name: &str) -> Result<PathBuf, Failure> {
        let directory = self.get(name)?.mountpoint;
        // TODO(4.3): return the directory, if it exists. For a missing one,
        // return our own error; Docker would show an error of its container
        // runtime.
        todo!("4.3")
    }

    /// A container has ended. Other containers may still run, and the files
    /// stay.
    pub fn unmount(&self, name: &str) -> Result<(), Failure> {
        self.get(name).map(|_| ())
    }

    /// Removes a volume with its files. Docker sends this only if no container
    /// has the volume.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let directory = self.get(name)?.mountpoint;
        // TODO(4.4): first remove the directory. It is not an error if the
        // directory is gone already.
        self.by_name.remove(name);
        Ok(())
    }

    fn volume(&self, name: &str) -> Volume {
        Volume { name: name.to_owned(), mountpoint: self.root.join(name) }
    }

    /// The directory for a name, if the name is a single path component.
    ///
    /// Docker does not check these names: `..`, `/etc` and `a/../../b` arrive
    /// exactly as typed.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        // TODO(4.1): this is the rule of step 3. Which names without a slash lead
        // out of ROOT, or to ROOT itself? Accept the name of one directory only.
        (!name.contains('/')).then(|| self.root.join(name))
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
    fn a_name_is_a_single_path_component() {
        let volumes =
            Volumes { root: "/root".into(), by_name: BTreeMap::new() };
        let long = "n".repeat(LONGEST_NAME);
        for name in ["a", "a b", "ü", "a.b", "..a", &long] {
            let expected = Path::new("/root").join(name);
            assert_eq!(volumes.directory(name), Some(expected), "{name}");
        }
        let too_long = "n".repeat(LONGEST_NAME + 1);
        for name in
            ["", ".", "..", "/", "/etc", "a/b", "a/..", "a/", "a\0", &too_long]
        {
            assert_eq!(volumes.directory(name), None, "{name:?}");
        }
    }
}
