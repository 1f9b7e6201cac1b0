//! The program under test: started, awaited, logged, killed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

use crate::cleanup::{self, Folder, Guard};
use crate::root::Root;
use crate::supervisor::Process;
use crate::wait::{PATIENCE, wait_until};

/// What is kept of a log; a plugin once wrote gigabytes in seconds.
const LOG: usize = 64 * 1024;

/// How to start a plugin.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    first_args: Vec<OsString>,
    options: Vec<OsString>,
    before: Option<String>,
}

impl Program {
    /// A program that is called as `PATH SOCKET ROOT`.
    ///
    /// # Errors
    /// When nothing stands at `path`.
    pub fn new(path: &Path) -> Result<Self> {
        Self::with_args(path, &[])
    }

    /// The same, with arguments before the socket.
    ///
    /// # Errors
    /// When nothing stands at `path`.
    pub fn with_args(path: &Path, args: &[&str]) -> Result<Self> {
        // It is started in a folder of its own.
        let path = path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()))?;
        let first_args = args.iter().map(OsString::from).collect();
        Ok(Self { path, first_args, options: Vec::new(), before: None })
    }

    /// The same, with options behind SOCKET and ROOT.
    pub fn with_options<S: Into<OsString>>(
        &self,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        Self { options, ..self.clone() }
    }

    /// The same, allowed to open at most `files` files.
    pub fn limited_to(&self, files: u32) -> Self {
        self.after(&format!("ulimit -n {files}"))
    }

    /// The same, run by a shell that does `this` before. Only a shell can change
    /// the limits of another program without `unsafe`. In it, `"$@"` is the
    /// program with its arguments.
    pub fn after(&self, this: &str) -> Self {
        Self { before: Some(this.to_owned()), ..self.clone() }
    }

    /// The same, whose log nobody reads: that would be work beside its own.
    pub fn unheard(&self) -> Self {
        self.after("exec >/dev/null 2>&1")
    }

    /// The file that is executed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn command(&self) -> Command {
        let Some(before) = &self.before else {
            return Command::new(&self.path);
        };
        let mut command = Command::new("sh");
        let script = format!("{before} && exec \"$@\"");
        command.args(["-c", &script, "sh"]).arg(&self.path);
        command
    }
}

/// A place for one plugin at a time: its socket, its ROOT, its log.
#[derive(Debug)]
pub struct Place {
    socket: PathBuf,
    volumes: PathBuf,
    root: Root,
    folder: Folder,
    _socket_guard: Option<Guard>,
}

impl Place {
    /// An empty one that nobody else knows.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new() -> Result<Self> {
        let folder = Folder::new()?;
        let socket = folder.path().join("run/plugin.sock");
        let volumes = folder.path().join("volumes");
        let root = Root::new(&volumes)?;
        Ok(Self { socket, volumes, root, folder, _socket_guard: None })
    }

    /// One whose volumes are elsewhere, and stay there in the end.
    ///
    /// # Errors
    /// When no folder can be made, or theirs cannot be opened.
    pub fn with_volumes(volumes: &Path) -> Result<Self> {
        let (root, volumes) = (Root::new(volumes)?, volumes.to_owned());
        Ok(Self { volumes, root, ..Self::new()? })
    }

    /// One whose socket somebody else looks for, and which is removed in the
    /// end.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn with_socket(socket: PathBuf) -> Result<Self> {
        let guard = Some(Guard::socket(&socket));
        Ok(Self { socket, _socket_guard: guard, ..Self::new()? })
    }

    /// Where the plugin is told to listen. Its folder may not exist yet.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Where the plugin may keep its volumes.
    pub fn volumes(&self) -> PathBuf {
        self.volumes.clone()
    }

    /// The same, for whatever is done there once a plugin has run.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The folder that the plugin is started in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A process that was started, and is killed with all that it has started when
/// this is dropped.
#[derive(Debug)]
pub struct Plugin {
    process: Process,
    log: Log,
    log_ended: Receiver<()>,
    folder: PathBuf,
}

impl Plugin {
    /// Starts `program` in `place`; it may not listen yet.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn spawn(program: &Program, place: &Place) -> Result<Self> {
        Self::spawn_on(program, place, &place.socket())
    }

    /// The same with another socket than that of the place.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn spawn_on(
        program: &Program,
        place: &Place,
        socket: &Path,
    ) -> Result<Self> {
        let folder = place.folder.path().to_owned();
        let (reader, writer) = io::pipe()?;
        let errors = writer.try_clone()?;
        let mut command = program.command();
        command
            .args(&program.first_args)
            .arg(socket)
            .arg(place.volumes())
            .args(&program.options);
        let process = Process::start(command, |command| {
            command
                .env(cleanup::MARK, &folder)
                .env("RUST_BACKTRACE", "0")
                .env("RUST_LOG", "info")
                .env("RUST_LOG_STYLE", "never")
                .current_dir(&folder)
                .stdout(writer)
                .stderr(errors);
        });
        let process = process
            .with_context(|| format!("starting {}", program.path.display()))?;
        let log = Log::of(reader, &folder);
        let log_ended = log.follow()?;
        Ok(Self { process, log, log_ended, folder })
    }

    /// The end of what it has printed so far.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Its process id.
    pub fn id(&self) -> Pid {
        self.process.id()
    }

    /// Asks it to stop, in one of the ways in which a process is asked to.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Awaits its end, up to `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_until(patience, || self.ended())
    }

    /// Awaits that something takes connections on `socket`, and returns one.
    ///
    /// # Errors
    /// In words for a report, when the process ends or time runs out.
    pub fn listens_on(
        &mut self,
        socket: &Path,
    ) -> std::result::Result<UnixStream, String> {
        let outcome = wait_until(PATIENCE, || {
            if let Ok(client) = UnixStream::connect(socket) {
                return Some(Ok(client));
            }
            let status = self.ended()?;
            Some(Err(format!("it stopped before that ({status})")))
        });
        let late = || {
            let seconds = PATIENCE.as_secs();
            Err(format!("it runs, and has not listened within {seconds} s"))
        };
        outcome.unwrap_or_else(late)
    }

    /// Kills it as `kill -9` does, and awaits that nothing of it is left.
    pub fn kill(&mut self) {
        self.process.kill();
        // Without a supervisor, the log stays open while a child in a group of its own lives on.
        let grace = Duration::from_millis(200);
        if self.log_ended.recv_timeout(grace)
            == Err(mpsc::RecvTimeoutError::Timeout)
        {
            cleanup::kill_marked(&self.folder);
            let _ = self.log_ended.recv_timeout(grace);
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last 64 KiB of what a program printed.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Whoever reads it holds the tail: nothing is on its way between them.
    pipe: Option<Arc<io::PipeReader>>,
    tail: Arc<Mutex<VecDeque<u8>>>,
    /// Its path differs in each run, and nobody can look there afterwards.
    folder: PathBuf,
}

impl Log {
    /// The log of a program that has the other end of `pipe`, in `folder`.
    fn of(pipe: io::PipeReader, folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { pipe: Some(Arc::new(pipe)), folder, ..Self::default() }
    }

    /// A log of the same plugin that nothing is written to.
    pub fn emptied(&self) -> Self {
        Self { folder: self.folder.clone(), ..Self::default() }
    }

    /// Reads on until every holder of the pipe has closed it.
    fn follow(&self) -> Result<Receiver<()>> {
        let (end, ended) = mpsc::channel();
        let log = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            while log.has_more(None) && log.take_in(&mut log.lock()) {}
            let _ = end.send(());
        })?;
        Ok(ended)
    }

    /// Awaits that there is something to read, or the end.
    fn has_more(&self, patience: Option<&Timespec>) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut pipe = [PollFd::new(&**pipe, PollFlags::IN)];
        loop {
            match event::poll(&mut pipe, patience) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome.is_ok_and(|ready| ready > 0),
            }
        }
    }

    /// Moves to `tail` what is in the pipe by now; false at the pipe's end.
    fn take_in(&self, tail: &mut VecDeque<u8>) -> bool {
        let Some(mut pipe) = self.pipe.as_deref() else { return false };
        let mut some = vec![0; LOG];
        let mut taken = 0;
        // A pipe holds no more than that; a plugin may fill it all the time.
        while taken < LOG && self.has_more(Some(&Timespec::default())) {
            let Ok(count @ 1..) = pipe.read(&mut some) else { return false };
            tail.extend(&some[..count]);
            let surplus = tail.len().saturating_sub(LOG);
            tail.drain(..surplus);
            taken += count;
        }
        true
    }

    /// The last `most` lines, in which the plugin's folder is `…`.
    ///
    /// All that was written before the call is taken in, though the thread that
    /// follows the log may not have come to it.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let mut tail = self.lock();
        self.take_in(&mut tail);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        drop(tail);
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().map(|it| self.shorten(it)).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }

    /// The same text, with `…` for the plugin's folder.
    pub fn shorten(&self, text: &str) -> String {
        match self.folder.to_str() {
            None | Some("") => text.to_owned(),
            Some(folder) => text.replace(folder, "…"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_has_all_that_was_written_before_it_is_read() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        // Nobody follows it: that thread may come late.
        let log = Log::of(reader, Path::new(""));
        writer.write_all(b"one\ntwo\n").expect("there is room");
        assert_eq!(log.last_lines(5), ["one", "two"]);
        let ended = log.follow().expect("a thread");
        writer.write_all(b"three\n").expect("there is room");
        assert_eq!(log.last_lines(2), ["two", "three"]);
        drop(writer);
        ended.recv().expect("the follower sees the end");
    }
}
