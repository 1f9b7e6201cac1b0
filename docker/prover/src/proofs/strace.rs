//! Runs `strace`, which records the system calls of a running plugin and kills it
//! at one of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use stand_in::cleanup::Guard;
use stand_in::wait::{PATIENCE, wait_until};

/// The entry of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The thread that made the call.
    pub thread: u32,
    /// The time since 1970.
    pub at: Duration,
    /// `rename`
    pub name: String,
    /// How many calls with this name the thread has made, including this one.
    /// strace counts in the same way.
    pub count: u32,
    /// The arguments, without the parts that differ in each run.
    pub words: String,
}

impl Entry {
    /// Whether the arguments are those of `killed`. strace does not know the values
    /// that a killed call would have filled in.
    fn is_like(&self, killed: &Self) -> bool {
        let mut pairs = self.words.split(", ").zip(killed.words.split(", "));
        let empty = ["", "#", "NULL"];
        pairs.all(|(a, b)| a == b || empty.contains(&b))
    }
}

/// The output of strace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The calls, in the order in which they were entered.
    pub entries: Vec<Entry>,
    /// The threads that were killed.
    pub killed: Vec<u32>,
}

impl Recording {
    /// Reads the output of `strace -f -ttt`. The path `folder` differs in each run
    /// and is replaced by `…`.
    pub fn read(text: &str, folder: &Path) -> Self {
        let folder = folder.display().to_string();
        let mut recording = Self::default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let Some((thread, at, rest)) = line_of(line) else { continue };
            if rest.starts_with("+++ killed by") {
                recording.killed.push(thread);
            }
            // A line about a resumed call has no name: the call was counted when it
            // was entered.
            let Some((name, arguments)) = rest.split_once('(') else {
                continue;
            };
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !name.chars().all(is_name) {
                continue;
            }
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            recording.entries.push(Entry {
                thread,
                at,
                name: name.to_owned(),
                count: *count,
                words: words(arguments, &folder),
            });
        }
        recording
    }

    /// The calls at which to kill: all of them, or those that can make a difference.
    pub fn places(&self, everywhere: bool) -> Vec<Entry> {
        let places = self.entries.iter().filter(|entry| {
            everywhere || (changes(entry) && !self.is_one_of_many(entry))
        });
        places.cloned().collect()
    }

    /// Whether a program that the plugin runs has made many such calls, and this is
    /// neither the first, the middle nor the last one. For example, mkfs writes many
    /// blocks.
    fn is_one_of_many(&self, entry: &Entry) -> bool {
        const MANY: usize = 8;
        let theirs =
            self.entries.iter().filter(|call| call.thread == entry.thread);
        if !theirs.clone().any(|call| call.name == "execve") {
            return false;
        }
        let alike: Vec<_> =
            theirs.filter(|call| call.name == entry.name).collect();
        let some = [0, alike.len() / 2, alike.len() - 1].map(|at| alike[at]);
        alike.len() > MANY && !some.contains(&entry)
    }

    /// Whether a thread was killed at its `place.count`-th call of that name,
    /// and that call is the same as `place`.
    pub fn died_at(&self, place: &Entry) -> bool {
        self.entries.iter().any(|call| {
            call.name == place.name
                && call.count == place.count
                && place.is_like(call)
                && self.killed.contains(&call.thread)
        })
    }
}

/// `7747  1795548349.328254 fsync(8) = 0`
fn line_of(line: &str) -> Option<(u32, Duration, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (at, rest) = rest.trim_start().split_once(' ')?;
    let at = Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
    Some((thread.parse().ok()?, at, rest))
}

/// The arguments without the parts that differ in each run: numbers, and a folder.
fn words(arguments: &str, folder: &str) -> String {
    let end = arguments.rfind("<unfin").or_else(|| arguments.rfind(" = "));
    let arguments = arguments[..end.unwrap_or(arguments.len())].trim_end();
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    // The arguments of a killed call end at the first value that it did not fill in.
    let arguments = arguments.strip_suffix(',').unwrap_or(arguments);
    let mut words = String::new();
    for c in arguments.replace(folder, "…").chars() {
        match c {
            // Also the digits of hexadecimal addresses.
            '0'..='9' | 'a'..='f' if words.ends_with('#') => {}
            '0'..='9' => words.push('#'),
            'x' if words.ends_with('#') => {}
            _ => words.push(c),
        }
    }
    words
}

/// A strace that traces one process and its children.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    file: PathBuf,
    _group: Guard,
}

impl Strace {
    /// Attaches to all threads of a process, and counts calls from now on. If strace
    /// counted from the program's start, the calls of a thread that begins with a
    /// request would have the same numbers as the first calls of all other threads.
    ///
    /// # Errors
    /// When strace does not attach.
    pub fn attach(pid: Pid, file: &Path, words: &[String]) -> Result<Self> {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-q", "-ttt", "-o"])
            .arg(file)
            .args(words)
            .args(["-p", &pid.to_string()])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (child, group) =
            Guard::group(|| command.spawn()).context("starting strace")?;
        let file = file.to_owned();
        let mut strace = Self { child, file, _group: group };
        let tracer = format!("TracerPid:\t{}\n", strace.child.id());
        let traces = wait_until(PATIENCE, || {
            // strace restarts a call in which a thread waits, and may kill at it.
            let ended = strace.child.try_wait().ok().flatten();
            match ended {
                Some(status) => Some(status.success()),
                None => traced_by(pid, &tracer).then_some(true),
            }
        });
        match traces {
            Some(true) => Ok(strace),
            _ => bail!("strace does not attach to process {pid}"),
        }
    }

    /// Waits until all traced processes have ended, and returns the recording;
    /// `None` if one keeps running.
    ///
    /// # Errors
    /// When the output cannot be read.
    pub fn ends(mut self, folder: &Path) -> Result<Option<Recording>> {
        self.read(folder)
    }

    /// Detaches, so that the traced processes continue, and returns the recording.
    ///
    /// # Errors
    /// When strace does not end, or its output cannot be read.
    pub fn detach(mut self, folder: &Path) -> Result<Recording> {
        // strace may have ended with the traced process.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.read(folder)?.context("strace does not detach")
    }

    fn read(&mut self, folder: &Path) -> Result<Option<Recording>> {
        let ended = || self.child.try_wait().ok().flatten();
        if wait_until(PATIENCE, ended).is_none() {
            return Ok(None);
        }
        let bytes = fs::read(&self.file)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(Recording::read(&text, folder)))
    }
}

fn traced_by(pid: Pid, tracer: &str) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("status"))
            .is_ok_and(|status| status.contains(tracer))
    })
}

/// Whether a call can change something that is visible outside of the process. A
/// kill at any other call leaves the same state as a kill at the next of these.
fn changes(entry: &Entry) -> bool {
    const BEGIN: [&str; 30] = [
        "clone",
        "fork",
        "vfork",
        "execve",
        "write",
        "pwrite",
        "send",
        "splice",
        "copy_file_range",
        "fsync",
        "fdatasync",
        "sync",
        "msync",
        "rename",
        "link",
        "symlink",
        "unlink",
        "rmdir",
        "mkdir",
        "mknod",
        "chmod",
        "fchmod",
        "chown",
        "fchown",
        "lchown",
        "setxattr",
        "truncate",
        "ftruncate",
        "fallocate",
        "utime",
    ];
    const MORE: [&str; 12] = [
        "ioctl",
        "mount",
        "umount2",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsconfig",
        "fsmount",
        "mount_setattr",
        "kill",
        "creat",
        "pivot_root",
    ];
    let name = entry.name.as_str();
    match name {
        "open" | "openat" | "openat2" => ["O_CREAT", "O_TRUNC", "O_TMPFILE"]
            .iter()
            .any(|flag| entry.words.contains(flag)),
        _ => {
            MORE.contains(&name)
                || BEGIN.iter().any(|prefix| name.starts_with(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
7747  1795548349.328254 futex(0x5625af63af48, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
7752  1795548349.639521 recvfrom(6, "POST /VolumeDriver.Create HTTP/1"..., 1024, 0, NULL, NULL) = 177
7747  1795548349.639709 <... futex resumed>) = 0
7747  1795548349.639961 mkdir("/tmp/w-1/root/.new/ab", 0777) = 0
7747  1795548349.640134 mkdir("/tmp/w-1/root/.new/ab/files", 0777) = 0
7752  1795548349.640200 mkdir("/other", 0777) = -1 EEXIST (File exists)
7747  1795548349.640307 --- SIGCHLD {si_signo=SIGCHLD} ---
7747  1795548349.640307 openat(AT_FDCWD, "a(b) c", O_RDWR|O_CREAT|O_CLOEXEC, 0666 <unfinished ...>
7747  1795548349.640400 +++ killed by SIGKILL +++
"#;

    #[test]
    fn calls_are_counted_for_each_thread_and_name() {
        let recording = Recording::read(TEXT, Path::new("/tmp/w-1"));
        let all: Vec<_> = recording
            .entries
            .iter()
            .map(|call| {
                (call.thread, call.name.as_str(), call.count, &*call.words)
            })
            .collect();
        let expected = [
            (7747, "futex", 1, "#, FUTEX_WAIT_PRIVATE, #, NULL"),
            (
                7752,
                "recvfrom",
                1,
                "#, \"POST /VolumeDriver.Create HTTP/#\"..., #, #, NULL, NULL",
            ),
            (7747, "mkdir", 1, "\"…/root/.new/ab\", #"),
            (7747, "mkdir", 2, "\"…/root/.new/ab/files\", #"),
            (7752, "mkdir", 1, "\"/other\", #"),
            (
                7747,
                "openat",
                1,
                "AT_FDCWD, \"a(b) c\", O_RDWR|O_CREAT|O_CLOEXEC, #",
            ),
        ];
        assert_eq!(all, expected);
        assert_eq!(recording.killed, [7747]);
        let at = Duration::from_micros(1_795_548_349_639_961);
        let off = recording.entries[2].at.abs_diff(at);
        assert!(off < Duration::from_micros(2), "{off:?}");
    }

    #[test]
    fn a_place_is_reached_if_its_thread_died_there() {
        let recording = Recording::read(TEXT, Path::new("/tmp/w-1"));
        let [.., second, other, open] = &recording.entries[..] else {
            panic!("{recording:?}")
        };
        assert!(recording.died_at(second) && recording.died_at(open));
        assert!(!recording.died_at(other), "its thread still runs");
    }

    #[test]
    fn what_changes_nothing_is_left_out() {
        let recording = Recording::read(TEXT, Path::new("/tmp/w-1"));
        let names: Vec<_> = recording
            .entries
            .iter()
            .filter(|call| changes(call))
            .map(|call| call.name.as_str())
            .collect();
        assert_eq!(names, ["mkdir", "mkdir", "mkdir", "openat"]);
    }
}
