//! The command line. You do not need to read this file.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The path at which dockerd looks for the plugin of `-d workshop`.
const DEFAULT_SOCKET: &str = "/run/docker/plugins/workshop.sock";

/// The folder of all volumes.
const DEFAULT_ROOT: &str =
    concat!("/var/lib/workshop/", env!("CARGO_PKG_NAME"));

/// How long a call waits for another one by default. Docker gives up on most
/// calls after 60 seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `--help` prints.
pub const USAGE: &str = "\
usage: PROGRAM [SOCKET] [ROOT] [--patience SECONDS]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop, with a folder for each volume in ROOT. RUST_LOG=debug logs
what Docker sends, too.

--patience SECONDS  how long a call waits for another one on the same volume,
                    30 unless given; a program such as mount has twice as long";

/// The values of the command line.
pub struct Arguments {
    /// The path of the socket.
    pub socket: PathBuf,
    /// The folder of all volumes.
    pub root: PathBuf,
    /// How long a call waits for another one on the same volume.
    pub patience: Duration,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub fn read(mut words: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut patience = PATIENCE;
        let mut places = Vec::new();
        while let Some(word) = words.next() {
            let option = word.to_string_lossy();
            let mut value = || {
                words
                    .next()
                    .filter(|word| !word.as_encoded_bytes().starts_with(b"-"))
                    .with_context(|| format!("{option} needs a value\n{USAGE}"))
            };
            match &*option {
                "--patience" => {
                    let seconds = value()?;
                    let seconds = seconds.to_string_lossy();
                    patience = seconds
                        .parse()
                        .ok()
                        .filter(|seconds| (1..=600).contains(seconds))
                        .map(Duration::from_secs)
                        .with_context(|| {
                            format!("--patience {seconds}: write 1 to 600")
                        })?;
                }
                _ if option.starts_with('-') => {
                    bail!("unknown option {option}\n{USAGE}")
                }
                _ if places.len() == 2 => {
                    bail!("unexpected argument {option}\n{USAGE}")
                }
                _ => places.push(PathBuf::from(word)),
            }
        }
        let mut places = places.into_iter();
        Ok(Self {
            socket: places.next().unwrap_or_else(|| DEFAULT_SOCKET.into()),
            root: places.next().unwrap_or_else(|| DEFAULT_ROOT.into()),
            patience,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Arguments> {
        Arguments::read(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn places_and_options_come_in_any_order() {
        let read = read("a.sock --patience 5 root").unwrap();
        assert_eq!(read.socket, PathBuf::from("a.sock"));
        assert_eq!(read.root, PathBuf::from("root"));
        assert_eq!(read.patience, Duration::from_secs(5));
    }

    #[test]
    fn invalid_arguments_are_named() {
        for (words, named) in [
            ("--patient 1", "--patient"),
            ("-h", "-h"),
            ("a.sock --patience", "--patience"),
            ("--patience -1", "--patience"),
            ("a.sock root more", "more"),
        ] {
            let refused = read(words).err().unwrap().to_string();
            let first = refused.lines().next().unwrap();
            assert!(first.contains(named), "{words}: {refused}");
            assert!(refused.contains("usage:"), "{words}: {refused}");
        }
    }
}
