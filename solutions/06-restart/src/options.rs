//! Parses a volume's options, and words the errors for invalid ones.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::protocol::{Failure, Options};
use crate::text::excerpt;

/// A volume's options, with defaults for those that were not given.
pub struct Settings {
    /// The mode of the volume's directory.
    pub mode: u32,
    /// Whether `docker volume rm` keeps the files.
    pub keep: bool,
}

/// The names of all options.
const OPTIONS: [&str; 3] = ["keep", "mode", "type"];

/// YAML reads 0750 without quotes as a number, and Compose sends 488. Of all
/// modes that `validate` accepts, no such number is a valid mode.
const QUOTES: &str = "in a YAML file, write it in quotes, as in \"0750\"";

impl Settings {
    /// Reads the options of a Create. Each missing option has a default.
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let mut settings = Self { mode: 0o755, keep: false };
        for (key, value) in options {
            match key.as_str() {
                "mode" => settings.mode = mode(value)?,
                "type" => match value.as_str() {
                    "dir" => {}
                    _ => return Err(unknown_word(&["dir"], "type=", value)),
                },
                "keep" => match value.as_str() {
                    "true" => settings.keep = true,
                    "false" => settings.keep = false,
                    _ => {
                        let known = ["true", "false"];
                        return Err(unknown_word(&known, "keep=", value));
                    }
                },
                _ => return Err(unknown_word(&OPTIONS, "", key)),
            }
        }
        Ok(settings)
    }

    /// Rejects modes that no new volume may have. An earlier version accepted
    /// them, so `read` still does, for volumes that exist.
    pub fn validate(self) -> Result<Self, Failure> {
        if self.mode & 0o700 == 0o700 {
            return Ok(self);
        }
        let cure = format!("its owner could not use the directory; {QUOTES}");
        Err(Failure::BadOption(format!("mode={:o}", self.mode), cure))
    }

    /// Every option in its canonical form, defaults included. Two volumes with
    /// the same settings have the same canonical options.
    pub fn canonical(&self) -> Options {
        let mode = format!("{:04o}", self.mode);
        let keep = self.keep.to_string();
        [("type", "dir"), ("mode", &mode), ("keep", &keep)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// The options for `docker volume inspect`, but with the current mode and
    /// owner of `directory`, since Docker's copy-up and every container may
    /// change them. If the directory does not exist, they are left out.
    pub fn status(&self, directory: &Path) -> Options {
        let mut status = self.canonical();
        status.remove("mode");
        let Ok(has) = fs::symlink_metadata(directory) else { return status };
        let mode = format!("{:04o}", has.mode() & 0o7777);
        status.extend([
            ("mode".to_owned(), mode),
            ("uid".to_owned(), has.uid().to_string()),
            ("gid".to_owned(), has.gid().to_string()),
        ]);
        status
    }
}

/// The bits of a mode in octal digits, as `chmod` takes them.
fn mode(value: &str) -> Result<u32, Failure> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(value, 8).ok();
    mode.filter(|mode| digits && *mode <= 0o7777).ok_or_else(|| {
        let cure = format!("write octal digits, 7777 at most; {QUOTES}");
        Failure::BadOption(format!("mode={}", excerpt(value)), cure)
    })
}

/// The failure for a word that is not in `known`; suggests the nearest known
/// word.
fn unknown_word(known: &[&str], before: &str, word: &str) -> Failure {
    let cure = match nearest(word, known) {
        Some(near) => format!("did you mean {before}{near}?"),
        None => format!("write {before}{}", known.join(" or ")),
    };
    Failure::BadOption(format!("{before}{}", excerpt(word)), cure)
}

/// The nearest known word, if its edit distance is at most two.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // `edit_distance` is exponential, so compare only eight characters.
    let word: String = word.to_lowercase().chars().take(8).collect();
    let away = |known: &&&str| edit_distance(word.as_bytes(), known.as_bytes());
    known.iter().filter(|known| away(known) <= 2).min_by_key(away).copied()
}

/// The number of letters that were added, left out, mistyped, or swapped with
/// the next one.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a @ ..], [y, b @ ..]) if x == y => edit_distance(a, b),
        ([x, y, a @ ..], [z, w, b @ ..]) if (x, y) == (w, z) => {
            1 + edit_distance(a, b)
        }
        ([_, c @ ..], [_, d @ ..]) => {
            1 + edit_distance(c, d)
                .min(edit_distance(a, d))
                .min(edit_distance(c, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_was_meant() {
        for (key, value, words) in [
            ("mdoe", "", "no option mdoe: did you mean mode?"),
            ("MODE", "", "no option MODE: did you mean mode?"),
            ("size", "1m", "no option size: write keep or mode or type"),
            ("type", "dri", "no option type=dri: did you mean type=dir?"),
            ("keep", "yes", "no option keep=yes: write keep=true or false"),
            (
                "mode",
                "rwx",
                "no option mode=rwx: write octal digits, 7777 at most; \
                 in a YAML file, write it in quotes, as in \"0750\"",
            ),
            (
                "mode",
                "511",
                "no option mode=511: its owner could not use the directory; \
                 in a YAML file, write it in quotes, as in \"0750\"",
            ),
            ("a\n", "", r"no option a\n: write keep or mode or type"),
        ] {
            let options = Options::from([(key.into(), value.into())]);
            let settings =
                Settings::read(&options).and_then(Settings::validate);
            let failure = settings.err();
            let said = failure.map(|failure| failure.to_string());
            assert_eq!(said.as_deref(), Some(words), "{key}={value}");
        }
    }

    #[test]
    fn a_mode_is_exact_or_refused() {
        let read = |value: String| {
            let options = Options::from([("mode".into(), value)]);
            let settings =
                Settings::read(&options).and_then(Settings::validate);
            settings.ok().map(|settings| settings.mode)
        };
        for mode in 0..=0o7777 {
            let good = mode & 0o700 == 0o700;
            assert_eq!(read(format!("{mode:04o}")), good.then_some(mode));
            // The number that Compose sends for this mode without quotes.
            assert!(!good || read(mode.to_string()).is_none(), "{mode:o}");
        }
        for value in ["", "+750", "-750", "0o750", "10750", "0750 "] {
            assert_eq!(read(value.to_owned()), None, "{value:?}");
        }
    }
}
