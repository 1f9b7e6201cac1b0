//! A process between the checker and a plugin, on Linux: every process that the
//! plugin starts stays a descendant of it, and ends with it.
//!
//! A child may leave its process group, clear its environment and close all its
//! files. When its parent ends, the kernel gives it to the nearest ancestor
//! that adopts orphans (a subreaper). That is the supervisor, whose only
//! descendants are the plugin and the processes that the plugin has started.
//! The supervisor ends them when the checker says so, and when the checker is
//! gone, even by `kill -9`.
//!
//! The supervisor is a process that runs this module. The checker starts its
//! own program again for that. Tests that use the checker as a library have no
//! such program and start their plugins directly: those plugins are ours.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process,
    wait, waitid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cleanup::{GRACE, Guard};
use crate::processes;
use crate::wait::wait_until;

/// The first argument that makes the program a supervisor.
pub const WORD: &str = "supervise";

static ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on, plugins of this process are supervised. Only the checker's own
/// program may call this.
pub fn enable() {
    ENABLED.store(cfg!(target_os = "linux"), Ordering::Relaxed);
}

/// A started process. It ends with every process that it has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Option<Guard>,
    id: Pid,
    /// The connection to the supervisor, if there is one.
    line: Option<Line>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a program with the arguments of `command`. `set` sets everything
    /// else: environment, folder and output.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn start(
        command: Command,
        set: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        if !ENABLED.load(Ordering::Relaxed) {
            let mut command = command;
            set(&mut command);
            command.stdin(Stdio::null()).process_group(0);
            let (child, guard) = Guard::group(|| command.spawn())?;
            let (id, guard) = (Pid::from_child(&child), Some(guard));
            return Ok(Self { child, guard, id, line: None, status: None });
        }
        let (ours, theirs) = UnixStream::pair()?;
        // This path leads to the running program, even if its file has been
        // replaced by a new build.
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg0("checker").arg(WORD);
        supervisor.arg(command.get_program()).args(command.get_args());
        set(&mut supervisor);
        supervisor.stdin(OwnedFd::from(theirs)).process_group(0);
        let (child, guard) = Guard::supervisor(|| supervisor.spawn())?;
        // `supervisor` holds the other end of the connection.
        drop(supervisor);
        let mut line = Line { stream: ours, read: Vec::new() };
        let answer = line.next(true).unwrap_or_default();
        let (word, number) = answer.split_once(' ').unwrap_or_default();
        match (word, processes::id_of(number), number.parse()) {
            ("started", Some(id), _) => {
                let (guard, line) = (Some(guard), Some(line));
                Ok(Self { child, guard, id, line, status: None })
            }
            ("failed", _, Ok(error)) => {
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Err(io::Error::other("the supervisor sent no answer")),
        }
    }

    /// The id of the program's process.
    pub(crate) fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to the program's process, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        match &self.line {
            Some(Line { stream, .. }) => {
                let number = signal.as_raw().to_le_bytes();
                let _ = (&*stream).write_all(&number[..1]);
            }
            // The child has not been awaited, so no other process can have its
            // id.
            None => drop(kill_process(self.id, signal)),
        }
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = match &mut self.line {
                None => self.child.try_wait().ok().flatten(),
                Some(line) => line.next(false).and_then(|line| {
                    let status = line.strip_prefix("ended ")?.parse().ok()?;
                    Some(ExitStatus::from_raw(status))
                }),
            };
        }
        self.status
    }

    /// Kills the process and its group as `kill -9` does; with a supervisor,
    /// all its descendants.
    pub(crate) fn kill(&mut self) {
        self.guard = None;
        let _ = self.child.wait();
    }
}

/// The connection to a supervisor, read line by line.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Line {
    /// The next line. With `wait`, awaits one; otherwise returns `None` if none
    /// has arrived.
    fn next(&mut self, wait: bool) -> Option<String> {
        let mut buffer = [0; 64];
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n')
            {
                let line: Vec<_> = self.read.drain(..=end).collect();
                let line = String::from_utf8(line).ok()?;
                return Some(line.trim().to_owned());
            }
            let _ = self.stream.set_nonblocking(!wait);
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.read.extend(&buffer[..count]),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                _ => return None,
            }
        }
    }
}

/// The state that the threads of a supervisor share. While it is locked, no
/// child is awaited, so no id of a child can become that of another process.
#[derive(Debug)]
struct Children {
    plugin: Option<Pid>,
}

/// Runs as a supervisor: `words` are a program and its arguments, and the
/// standard input is the connection to the checker.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ! {
    match supervise(words) {
        Ok(()) => process::exit(0),
        Err(err) => {
            eprintln!("checker: supervising: {err}");
            process::exit(2)
        }
    }
}

fn supervise(words: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    adopt_orphans()?;
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let mut words = words.into_iter();
    let program = words.next().ok_or(ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).process_group(0);
    let plugin = match command.spawn() {
        Ok(child) => Pid::from_child(&child),
        Err(err) => {
            let error = err.raw_os_error().unwrap_or_default();
            return writeln!(line, "failed {error}");
        }
    };
    writeln!(line, "started {}", plugin.as_raw_pid())?;
    let children = Arc::new(Mutex::new(Children { plugin: Some(plugin) }));

    let (mut orders, shared) = (line.try_clone()?, Arc::clone(&children));
    thread::spawn(move || {
        let mut order = [0];
        while let Ok(1) = orders.read(&mut order) {
            let signal = Signal::from_named_raw(order[0].into());
            let plugin = lock(&shared).plugin;
            if let (Some(plugin), Some(signal)) = (plugin, signal) {
                let _ = kill_process(plugin, signal);
            }
        }
        // The checker has ended.
        end(&shared);
    });
    let shared = Arc::clone(&children);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            end(&shared);
        }
    });

    // Wait until a child has ended, without awaiting it.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::All, ended) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            // No child is left. The checker ends this process when it has read
            // the status.
            Err(_) => thread::park(),
        }
        let mut children = lock(&children);
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
            if Some(id) == children.plugin {
                children.plugin = None;
                let _ = writeln!(line, "ended {}", status.as_raw());
            }
        }
    }
}

fn lock(children: &Mutex<Children>) -> MutexGuard<'_, Children> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills all descendants, and ends.
fn end(children: &Mutex<Children>) -> ! {
    // We adopt the children of a killed process, and kill them next.
    wait_until(GRACE, || {
        let _awaits_none = lock(children);
        let children = processes::children_of(getpid());
        for id in &children {
            let _ = kill_process(*id, Signal::KILL);
        }
        children.is_empty().then_some(())
    });
    process::exit(0)
}

#[cfg(target_os = "linux")]
fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> io::Result<()> {
    Ok(())
}
