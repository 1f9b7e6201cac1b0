//! Programs of the system, run as programs: no shell reads what users typed.

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

/// More than this of a program's words, in characters, helps no user.
const LONGEST: usize = 300;
/// More than this of them, in bytes, is not even read.
const MOST_READ: u64 = 64 << 10;

/// What all programs are started with.
struct Start {
    /// The lock of ROOT, as their standard input: so the lock is free only when
    /// the last of them has ended, whatever became of this plugin.
    lock: File,
    /// A program that takes longer is ended.
    patience: Duration,
}

static START: OnceLock<Start> = OnceLock::new();

/// Says once, before the first program, which lock programs hold while they
/// run. A program may take twice as long as a call waits for another call, so
/// that the calls which wait learn why before the program is ended.
pub fn start_with(lock: &File, patience: Duration) -> io::Result<()> {
    let patience = 2 * patience;
    let _ = START.set(Start { lock: lock.try_clone()?, patience });
    Ok(())
}

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
    let mut command = Command::new(program);
    command.args(options).args(paths).env("LC_ALL", "C").env("PATH", path());
    match output(command) {
        Ok((status, text)) if status.success() => Ok(text),
        Ok((status, text)) => {
            let words: Vec<_> = text.split_whitespace().collect();
            let words = words.join(" ");
            // What comes in front of them says that already.
            let twice =
                [format!("{program}: "), format!("{}: ", about.display())];
            let words = twice.iter().fold(&*words, |words, it| {
                words.strip_prefix(it).unwrap_or(words)
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
            let cure = format!("no {program} here (apt-get install {package})");
            Err(fail(io::Error::new(err.kind(), cure)))
        }
        Err(err) => Err(fail(err)),
    }
}

/// Runs a command to its end, and returns how it ended and what it printed. A
/// command that takes too long is killed.
fn output(mut command: Command) -> io::Result<(ExitStatus, String)> {
    let (lock, patience) = match START.get() {
        Some(start) => (start.lock.try_clone()?.into(), start.patience),
        None => (Stdio::null(), Duration::MAX),
    };
    let (reader, writer) = io::pipe()?;
    // In a process group of its own: Ctrl-C is for this plugin, which awaits
    // the end of what it has begun.
    command.process_group(0).stdin(lock);
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command has the pipe open, too: until it is dropped, no end is read.
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
    // The kernel may hold it up for longer still.
    thread::Builder::new()
        .name("end of a program".to_owned())
        .spawn(move || child.wait())?;
    let words = format!("ended after {} s without an end", patience.as_secs());
    Err(io::Error::new(ErrorKind::TimedOut, words))
}

/// Ours, and where administrators' programs are: not every PATH has them.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
