//! What a volume's options mean, and what to say where they mean nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::protocol::{Failure, Options};
use crate::text::shown;

/// What all of a volume's options come to.
pub struct Settings {
    /// Of the volume's directory.
    pub mode: u32,
    /// Whether `docker volume rm` leaves the files where they are.
    pub keep: bool,
}

/// The options that there are.
const OPTIONS: [&str; 3] = ["keep", "mode", "type"];

/// Why a mode may arrive as another number: YAML reads 0750 without quotes as
/// 488. All modes that `agree` accepts are refused when they arrive like this.
const QUOTES: &str = "in a YAML file, write it in quotes, as in \"0750\"";

impl Settings {
    /// Reads the options of a Create; each that is not there has a default.
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let mut settings = Self { mode: 0o755, keep: false };
        for (key, value) in options {
            match key.as_str() {
                "mode" => settings.mode = mode(value)?,
                // TODO(5.2): `type`, which is dir, and `keep`, which is true or
                // false. `none_of` refuses any other value, and any other
                // option.
                _ => todo!("5.2"),
            }
        }
        Ok(settings)
    }

    /// Refuses a mode that no new volume may have. A volume that exists may have
    /// it from an earlier version, so `read` does not look.
    pub fn agree(self) -> Result<Self, Failure> {
        if self.mode & 0o700 == 0o700 {
            return Ok(self);
        }
        let cure = format!("its owner could not use the directory; {QUOTES}");
        Err(Failure::BadOption(format!("mode={:o}", self.mode), cure))
    }

    /// Every option as a user could have typed it, defaults included. So two
    /// volumes that mean the same are spelled the same.
    pub fn spelled(&self) -> Options {
        let mode = format!("{:04o}", self.mode);
        let keep = self.keep.to_string();
        [("type", "dir"), ("mode", &mode), ("keep", &keep)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// What `docker volume inspect` shows: the options, but mode and owner as
    /// `directory` has them now, since Docker's copy-up and every container may
    /// change them. Without such a directory they are left out.
    pub fn status(&self, directory: &Path) -> Options {
        let mut status = self.spelled();
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
        Failure::BadOption(format!("mode={}", shown(value)), cure)
    })
}

/// Refuses a word that is none of `known`, and says which one was meant.
fn none_of(known: &[&str], before: &str, word: &str) -> Failure {
    let cure = match nearest(word, known) {
        Some(near) => format!("did you mean {before}{near}?"),
        None => format!("there is {before}{}", known.join(" or ")),
    };
    Failure::BadOption(format!("{before}{}", shown(word)), cure)
}

/// The word that is at most two mistakes away, if there is one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Whoever sends a long one shall not make us count for long.
    let word: String = word.to_lowercase().chars().take(8).collect();
    let away = |it: &&&str| mistakes(word.as_bytes(), it.as_bytes());
    known.iter().filter(|it| away(it) <= 2).min_by_key(away).copied()
}

/// How many letters were added, left out, mistaken or swapped with the next.
fn mistakes(a: &[u8], b: &[u8]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a @ ..], [y, b @ ..]) if x == y => mistakes(a, b),
        ([x, y, a @ ..], [z, w, b @ ..]) if (x, y) == (w, z) => {
            1 + mistakes(a, b)
        }
        ([_, c @ ..], [_, d @ ..]) => {
            1 + mistakes(c, d).min(mistakes(a, d)).min(mistakes(c, b))
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
            ("size", "1m", "no option size: there is keep or mode or type"),
            ("type", "dri", "no option type=dri: did you mean type=dir?"),
            ("keep", "yes", "no option keep=yes: there is keep=true or false"),
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
            ("a\n", "", r"no option a\n: there is keep or mode or type"),
        ] {
            let options = Options::from([(key.into(), value.into())]);
            let settings = Settings::read(&options).and_then(Settings::agree);
            let failure = settings.err();
            let said = failure.map(|it| it.to_string());
            assert_eq!(said.as_deref(), Some(words), "{key}={value}");
        }
    }

    #[test]
    fn a_mode_is_exact_or_refused() {
        let read = |value: String| {
            let options = Options::from([("mode".into(), value)]);
            let settings = Settings::read(&options).and_then(Settings::agree);
            settings.ok().map(|settings| settings.mode)
        };
        for mode in 0..=0o7777 {
            let good = mode & 0o700 == 0o700;
            assert_eq!(read(format!("{mode:04o}")), good.then_some(mode));
            // What Compose sends for it without quotes.
            assert!(!good || read(mode.to_string()).is_none(), "{mode:o}");
        }
        for value in ["", "+750", "-750", "0o750", "10750", "0750 "] {
            assert_eq!(read(value.to_owned()), None, "{value:?}");
        }
    }
}
