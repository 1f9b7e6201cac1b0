//! A process between the checker and a plugin, on Linux: whatever the plugin
//! starts stays below it, and ends with it.
//!
//! A child may leave its process group, empty its environment and close all that
//! it has open. When its parent ends, the kernel gives it to the nearest
//! ancestor that asked for orphans (a subreaper): that is this process, which
//! has no children but the plugin and what the plugin has started. It ends them
//! when it is told to, and when the checker is gone, even by `kill -9`.
//!
//! It is this very program again, as only programs of ours can ask for orphans.
//! Tests that call the checker as a library have none, and start their plugins
//! directly: these are ours.

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

/// The word that makes a supervisor of the checker.
pub const WORD: &str = "supervise";

static ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on, plugins of this process are supervised. For the checker's own
/// program alone.
pub fn enable() {
    ENABLED.store(cfg!(target_os = "linux"), Ordering::Relaxed);
}

/// A process that is started, and ended with all that it has started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Option<Guard>,
    id: Pid,
    /// To the supervisor, if there is one.
    line: Option<Line>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a program with such arguments; `set` does to the command whatever
    /// else has to be done.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(
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
        // By this name a program that was built anew meanwhile is still itself.
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg0("checker").arg(WORD);
        supervisor.arg(command.get_program()).args(command.get_args());
        set(&mut supervisor);
        supervisor.stdin(OwnedFd::from(theirs)).process_group(0);
        let (child, guard) = Guard::supervisor(|| supervisor.spawn())?;
        // It holds their end of the line.
        drop(supervisor);
        let mut line = Line { stream: ours, read: Vec::new() };
        let said = line.next(true).unwrap_or_default();
        let (word, number) = said.split_once(' ').unwrap_or_default();
        match (word, processes::id_of(number), number.parse()) {
            ("started", Some(id), _) => {
                let (guard, line) = (Some(guard), Some(line));
                Ok(Self { child, guard, id, line, status: None })
            }
            ("failed", _, Ok(error)) => {
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Err(io::Error::other("the supervisor says nothing")),
        }
    }

    /// The number of the program's process.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to that process, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        match &self.line {
            Some(Line { stream, .. }) => {
                let number = signal.as_raw().to_le_bytes();
                let _ = (&*stream).write_all(&number[..1]);
            }
            // The child is not yet waited for, so the number is still its own.
            None => drop(kill_process(self.id, signal)),
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = match &mut self.line {
                None => self.child.try_wait().ok().flatten(),
                Some(line) => line.next(false).and_then(|said| {
                    let status = said.strip_prefix("ended ")?.parse().ok()?;
                    Some(ExitStatus::from_raw(status))
                }),
            };
        }
        self.status
    }

    /// Kills it as `kill -9` does, with all of its group; if it is supervised,
    /// with all that it has started.
    pub fn kill(&mut self) {
        self.guard = None;
        let _ = self.child.wait();
    }
}

/// What comes from a supervisor, line by line.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Line {
    /// The next line, if there is one, or if there will be.
    fn next(&mut self, wait: bool) -> Option<String> {
        let mut some = [0; 64];
        loop {
            if let Some(end) = self.read.iter().position(|it| *it == b'\n') {
                let line: Vec<_> = self.read.drain(..=end).collect();
                return String::from_utf8(line).ok().map(|it| it.trim().into());
            }
            let _ = self.stream.set_nonblocking(!wait);
            match self.stream.read(&mut some) {
                Ok(count @ 1..) => self.read.extend(&some[..count]),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                _ => return None,
            }
        }
    }
}

/// What the threads of a supervisor have in common. While it is locked, no child
/// is awaited, and so no number of a child's becomes that of another process.
#[derive(Debug)]
struct Children {
    plugin: Option<Pid>,
}

/// Be a supervisor: `words` are a program and its arguments, the standard input
/// is the line to the checker.
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

    let (mut orders, all) = (line.try_clone()?, Arc::clone(&children));
    thread::spawn(move || {
        let mut order = [0];
        while let Ok(1) = orders.read(&mut order) {
            let signal = Signal::from_named_raw(order[0].into());
            let plugin = lock(&all).plugin;
            if let (Some(plugin), Some(signal)) = (plugin, signal) {
                let _ = kill_process(plugin, signal);
            }
        }
        // The checker is gone.
        end(&all);
    });
    let all = Arc::clone(&children);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            end(&all);
        }
    });

    // Until a child has ended; it stays to be awaited.
    let some = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::All, some) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            // Nobody is left. The checker tells when it has seen enough.
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

/// Kills all that is below us, and ends.
fn end(children: &Mutex<Children>) -> ! {
    // Whoever is killed leaves us its own children, to be killed next.
    wait_until(GRACE, || {
        let _children = lock(children);
        let ours = processes::children_of(getpid());
        for id in &ours {
            let _ = kill_process(*id, Signal::KILL);
        }
        ours.is_empty().then_some(())
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
