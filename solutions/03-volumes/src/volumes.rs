//! The volumes, in memory, and the rules for them. No HTTP here.

use std::collections::BTreeMap;

use crate::protocol::{Failure, Options, Volume};

/// All volumes that Docker has created and not yet removed.
#[derive(Default)]
pub struct Volumes {
    by_name: BTreeMap<String, Options>,
}

impl Volumes {
    /// Stores a volume.
    ///
    /// A name that exists with the same options is not an error: creating a
    /// volume twice is allowed. With different options it is an error.
    pub fn create(
        &mut self,
        name: String,
        options: Options,
    ) -> Result<(), Failure> {
        // Docker does not check these names, and later steps use them in paths.
        if name.contains('/') {
            return Err(Failure::BadName(name));
        }
        match self.by_name.get(&name).map(|had| difference(had, &options)) {
            Some(Some(what)) => Err(Failure::OtherOptions(name, what)),
            Some(None) => Ok(()),
            None => {
                self.by_name.insert(name, options);
                Ok(())
            }
        }
    }

    /// Describes a volume to Docker.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        match self.by_name.get_key_value(name) {
            Some((name, _)) => Ok(volume(name)),
            None => Err(Failure::NoSuchVolume(name.to_owned())),
        }
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<Volume> {
        self.by_name.keys().map(|name| volume(name)).collect()
    }

    /// Removes a volume.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        match self.by_name.remove(name) {
            Some(_) => Ok(()),
            None => Err(Failure::NoSuchVolume(name.to_owned())),
        }
    }
}

fn volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), mountpoint: String::new() }
}

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
}
