//! Runs programs of the system without a shell, which would interpret what
//! users typed. You do not need to read this file.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::protocol::Failure;

/// The longest error text to pass on, in characters.
const LONGEST: usize = 300;
/// The longest output that is read, in bytes.
const MOST_READ: u64 = 64 << 10;

/// The settings with which all programs are started.
struct Start {
    /// The lock of ROOT. Programs inherit it as their standard input, so it is
    /// released only after the last of them has ended, even if this plugin was
    /// killed.
    lock: File,
    /// The longest time that a program may run.
    patience: Duration,
}

static START: OnceLock<Start> = OnceLock::new();

/// Sets, before the first program starts, the lock that programs hold, and how
/// long they may run: twice as long as a call waits for another call, so that
/// waiting calls report the slow one before its program is killed.
pub fn start_with(lock: &File, patience: Duration) -> io::Result<()> {
    let patience = 2 * patience;
    let _ = START.set(Start { lock: lock.try_clone()?, patience });
    Ok(())
}

/// Runs a program, and returns its output, or its error text as the failure.
/// The last of the `paths` is the subject of the failure. All paths are
/// absolute, so no path can be taken for an option.
pub fn run(
    program: &str,
    options: &[&str],
    paths: &[&Path],
) -> Result<String, Failure> {
    let about = paths.last().copied().unwrap_or(Path::new(""));
    let fail = Failure::system(program, about);
    let mut command = Command::new(program);
    command.args(options).args(paths).env("LC_ALL", "C").env("PATH", path());
    match output(command) {
        Ok((status, text)) if status.success() => Ok(text),
        Ok((status, text)) => {
            let words: Vec<_> = text.split_whitespace().collect();
            let words = words.join(" ");
            // Strip the prefixes that `Failure::System` adds anyway.
            let twice =
                [format!("{program}: "), format!("{}: ", about.display())];
            let words = twice.iter().fold(&*words, |words, prefix| {
                words.strip_prefix(prefix).unwrap_or(words)
            });
            let words = match words {
                "" => status.to_string(),
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
            let cure = format!(
                "{program} is not installed (apt-get install {package})"
            );
            Err(fail(io::Error::new(err.kind(), cure)))
        }
        Err(err) => Err(fail(err)),
    }
}

/// Runs a command, and returns its exit status and its output. A command that
/// takes too long is killed.
fn output(mut command: Command) -> io::Result<(ExitStatus, String)> {
    let (lock, patience) = match START.get() {
        Some(start) => (start.lock.try_clone()?.into(), start.patience),
        None => (Stdio::null(), Duration::MAX),
    };
    let (reader, writer) = io::pipe()?;
    // Its own process group: Ctrl-C must reach only this plugin, which waits
    // for running calls.
    command.process_group(0).stdin(lock);
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command keeps the pipe open, so drop it: otherwise the read never
    // ends.
    drop(command);

    let (send, sent) = mpsc::channel();
    let listen = move || {
        let mut text = Vec::new();
        let _ = reader.take(MOST_READ).read_to_end(&mut text);
        let _ = send.send(String::from_utf8_lossy(&text).into_owned());
    };
    thread::Builder::new().name("program".to_owned()).spawn(listen)?;
    if let Ok(text) = sent.recv_timeout(patience) {
        return Ok((child.wait()?, text));
    }
    let _ = child.kill();
    // The kernel may take even longer to end the program.
    thread::Builder::new()
        .name("end of a program".to_owned())
        .spawn(move || child.wait())?;
    let words = format!("killed after {} s", patience.as_secs());
    Err(io::Error::new(ErrorKind::TimedOut, words))
}

/// PATH plus the sbin folders, which many users' PATH lacks.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
