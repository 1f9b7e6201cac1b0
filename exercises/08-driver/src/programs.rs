//! Programs of the system, run as programs: no shell reads what users typed.

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::protocol::Failure;

/// More than this of a program's words, in characters, helps nobody.
const LONGEST: usize = 300;

/// Runs a program to its end, and returns what it printed, or its complaint.
/// The last of the `paths` is what it is about; all of them are absolute, so
/// none is taken for an option.
pub fn run(
    program: &str,
    options: &[&str],
    paths: &[&Path],
) -> Result<String, Failure> {
    let about = paths.last().copied().unwrap_or(Path::new(""));
    let fail = Failure::system(program, about);
    let output = Command::new(program)
        .args(options)
        .args(paths)
        .env("LC_ALL", "C")
        .env("PATH", path())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let words: Vec<_> = said.split_whitespace().collect();
            let words = words.join(" ");
            // What comes in front of them says that already.
            let twice =
                [format!("{program}: "), format!("{}: ", about.display())];
            let words = twice.iter().fold(&*words, |words, it| {
                words.strip_prefix(it).unwrap_or(words)
            });
            let words = match words {
                "" => output.status.to_string(),
                words => words.chars().take(LONGEST).collect(),
            };
            Err(fail(io::Error::other(words)))
        }
        Err(err) if err.kind() == ErrorKind::NotFound => {
            let package = match program {
                "mkfs.ext4" => "e2fsprogs",
                "mkfs.xfs" => "xfsprogs",
                "mkfs.btrfs" => "btrfs-progs",
                _ => "mount",
            };
            let cure = format!("no {program} here (apt-get install {package})");
            Err(fail(io::Error::new(err.kind(), cure)))
        }
        Err(err) => Err(fail(err)),
    }
}

/// Ours, and where administrators' programs are: not everybody has that in it.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
