//! What a volume's options mean, and what to say where they mean nothing.

use crate::protocol::{Failure, Options};

/// What all of a volume's options come to.
pub struct Settings {
    /// Of the volume's directory.
    pub mode: u32,
    /// Whether `docker volume rm` leaves the files where they are.
    pub keep: bool,
}

/// The options that there are.
const OPTIONS: [&str; 3] = ["keep", "mode", "type"];

impl Settings {
    /// Reads the options of a Create; each that is not there has a default.
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let mut settings = Self { mode: 0o755, keep: false };
        for (key, value) in options {
            match key.as_str() {
                "mode" => settings.mode = mode(value)?,
                "type" => match value.as_str() {
                    "dir" => {}
                    _ => return Err(none_of(&["dir"], "type=", value)),
                },
                "keep" => match value.as_str() {
                    "true" => settings.keep = true,
                    "false" => settings.keep = false,
                    _ => {
                        let known = ["true", "false"];
                        return Err(none_of(&known, "keep=", value));
                    }
                },
                _ => return Err(none_of(&OPTIONS, "", key)),
            }
        }
        Ok(settings)
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
}

/// The bits of a mode in octal digits, as `chmod` takes them.
fn mode(value: &str) -> Result<u32, Failure> {
    let mode = u32::from_str_radix(value, 8).ok().filter(|it| *it <= 0o7777);
    mode.ok_or_else(|| {
        let cure = "write octal digits, 7777 at most".to_owned();
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

/// The beginning of what a user typed, on one line.
pub fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", start.escape_debug())
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
                "no option mode=rwx: write octal digits, 7777 at most",
            ),
            ("a\n", "", r"no option a\n: there is keep or mode or type"),
        ] {
            let options = Options::from([(key.into(), value.into())]);
            let failure = Settings::read(&options).err();
            let said = failure.map(|it| it.to_string());
            assert_eq!(said.as_deref(), Some(words), "{key}={value}");
        }
    }
}
