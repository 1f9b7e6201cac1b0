//! The command line. You do not need to read this file.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

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
               [--tcp HOST:PORT] [--spec FILE] [--anyone]

A Docker plugin on a Unix socket, by default where Docker looks for a plugin
named workshop, with a folder for each volume in ROOT. RUST_LOG=debug logs
what Docker sends, too.

--patience SECONDS
                 how long a call waits for another one on the same volume,
                 and a client may take for a request or for an answer; 30
                 unless given; a program such as mount has twice as long
--tcp HOST:PORT  listen there too; port 0 means any that is free
--spec FILE      write that address to FILE for as long as the plugin runs:
                 NAME.spec or NAME.json in /etc/docker/plugins makes it the
                 plugin that `-d NAME` names
--anyone         HOST may be an address that other machines can reach";

/// The values of the command line.
pub struct Arguments {
    /// The path of the socket.
    pub socket: PathBuf,
    /// The folder of all volumes.
    pub root: PathBuf,
    /// How long a call waits for another one on the same volume, and a client
    /// may take for a request or for an answer.
    pub patience: Duration,
    /// A second address to listen on, as `HOST:PORT`.
    pub tcp: Option<String>,
    /// The file that tells Docker the address in `tcp`.
    pub spec: Option<PathBuf>,
    /// Whether other machines may reach the address in `tcp`.
    pub anyone: bool,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub fn read(mut words: impl Iterator<Item = OsString>) -> Result<Self> {
        let (mut tcp, mut spec, mut anyone) = (None, None, false);
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
                "--tcp" => tcp = Some(value()?.to_string_lossy().into_owned()),
                "--spec" => spec = Some(PathBuf::from(value()?)),
                "--anyone" => anyone = true,
                _ if option.starts_with('-') => {
                    bail!("unknown option {option}\n{USAGE}")
                }
                _ if places.len() == 2 => {
                    bail!("unexpected argument {option}\n{USAGE}")
                }
                _ => places.push(PathBuf::from(word)),
            }
        }
        for (is_set, option) in
            [(spec.is_some(), "--spec"), (anyone, "--anyone")]
        {
            let is_right = tcp.is_some() || !is_set;
            ensure!(is_right, "{option} without --tcp\n{USAGE}");
        }
        let mut places = places.into_iter();
        Ok(Self {
            socket: places.next().unwrap_or_else(|| DEFAULT_SOCKET.into()),
            root: places.next().unwrap_or_else(|| DEFAULT_ROOT.into()),
            patience,
            tcp,
            spec,
            anyone,
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
        let words =
            "--tcp [::1]:0 a.sock --spec b.spec root --anyone --patience 5";
        let read = read(words).unwrap();
        assert_eq!(read.socket, PathBuf::from("a.sock"));
        assert_eq!(read.root, PathBuf::from("root"));
        assert_eq!(read.tcp.as_deref(), Some("[::1]:0"));
        assert_eq!(read.spec, Some(PathBuf::from("b.spec")));
        assert!(read.anyone);
        assert_eq!(read.patience, Duration::from_secs(5));
    }

    #[test]
    fn invalid_arguments_are_named() {
        for (words, named) in [
            ("--tpc a:1", "--tpc"),
            ("-h", "-h"),
            ("a.sock --tcp", "--tcp"),
            ("--tcp --anyone", "--tcp"),
            ("--spec a.spec", "--spec"),
            ("--anyone", "--anyone"),
            ("a.sock root more", "more"),
        ] {
            let refused = read(words).err().unwrap().to_string();
            let first = refused.lines().next().unwrap();
            assert!(first.contains(named), "{words}: {refused}");
            assert!(refused.contains("usage:"), "{words}: {refused}");
        }
    }
}
