//! What the plugin remembers, and by which rules. No HTTP here.

use std::collections::BTreeMap;

use crate::protocol::{Failure, Options, Volume};

/// All volumes that Docker has created and not yet removed.
#[derive(Default)]
pub struct Volumes {
    by_name: BTreeMap<String, Options>,
}

impl Volumes {
    /// Remembers a volume.
    ///
    /// A name that is taken by the same options is no mistake: whoever asks
    /// twice gets what they asked for. With other options it is one.
    pub fn create(
        &mut self,
        name: String,
        options: Options,
    ) -> Result<(), Failure> {
        // Docker checks none of these names, and later steps make paths of them.
        if name.contains('/') {
            return Err(Failure::BadName(name));
        }
        // TODO(3.1): remember the volume. If the name is taken, compare the
        // options: `difference` says in words what is not the same.
        Ok(())
    }

    /// What Docker may know about a volume.
    pub fn get(&self, name: &str) -> Result<Volume, Failure> {
        // TODO(3.2): the volume, if there is one of this name.
        Err(Failure::NoSuchVolume(name.to_owned()))
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<Volume> {
        // TODO(3.3): each of them, with the name that it was created with.
        Vec::new()
    }

    /// Forgets a volume.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        // TODO(3.4): forget it; what was not there cannot be forgotten.
        Err(Failure::NoSuchVolume(name.to_owned()))
    }
}

fn volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), mountpoint: String::new() }
}

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
}
