//! Starts, awaits and kills the program under test, and keeps its log.

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

/// The length of the log that is kept, in bytes: some plugins have written
/// gigabytes within seconds.
const LOG: usize = 64 * 1024;

/// A program, and how to start it.
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

    /// A program that is called with `args` before SOCKET.
    ///
    /// # Errors
    /// When nothing stands at `path`.
    pub fn with_args(path: &Path, args: &[&str]) -> Result<Self> {
        // The program is started in another folder, so a relative path would
        // not lead to it.
        let path = path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()))?;
        let first_args = args.iter().map(OsString::from).collect();
        Ok(Self { path, first_args, options: Vec::new(), before: None })
    }

    /// The same program, called with options after SOCKET and ROOT.
    pub fn with_options<S: Into<OsString>>(
        &self,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        Self { options, ..self.clone() }
    }

    /// The same program, which may open at most `files` files.
    pub fn limited_to(&self, files: u32) -> Self {
        self.after(&format!("ulimit -n {files}"))
    }

    /// The same program, started by a shell that runs `script` first, in which
    /// `"$@"` is the program with its arguments. Without `unsafe`, only a shell
    /// can change the limits of another program.
    pub fn after(&self, script: &str) -> Self {
        Self { before: Some(script.to_owned()), ..self.clone() }
    }

    /// The same program with its output discarded, so that logging does not
    /// distort a measurement.
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

/// The place of one plugin at a time: its socket, its ROOT and its current
/// folder.
#[derive(Debug)]
pub struct Place {
    socket: PathBuf,
    volumes: PathBuf,
    root: Root,
    folder: Folder,
    _socket_guard: Option<Guard>,
}

impl Place {
    /// A new place in a private folder, which is removed in the end.
    ///
    /// # Errors
    /// When no folder can be created.
    pub fn new() -> Result<Self> {
        let folder = Folder::new()?;
        let socket = folder.path().join("run/plugin.sock");
        let volumes = folder.path().join("volumes");
        let root = Root::new(&volumes)?;
        Ok(Self { socket, volumes, root, folder, _socket_guard: None })
    }

    /// A new place whose ROOT is `volumes`, which is not removed in the end.
    ///
    /// # Errors
    /// When no folder can be created, or `volumes` cannot be opened.
    pub fn with_volumes(volumes: &Path) -> Result<Self> {
        let (root, volumes) = (Root::new(volumes)?, volumes.to_owned());
        Ok(Self { volumes, root, ..Self::new()? })
    }

    /// A new place whose socket is `socket`, where another program looks for
    /// it. The socket is removed in the end.
    ///
    /// # Errors
    /// When no folder can be created.
    pub fn with_socket(socket: PathBuf) -> Result<Self> {
        let guard = Some(Guard::socket(&socket));
        Ok(Self { socket, _socket_guard: guard, ..Self::new()? })
    }

    /// The path of the socket. Its folder may not exist yet.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The path of ROOT.
    pub fn volumes(&self) -> PathBuf {
        self.volumes.clone()
    }

    /// ROOT, for access to the files in it once a plugin has run.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The current folder of the plugin.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A started plugin. On drop, it is killed with every process that it has
/// started.
#[derive(Debug)]
pub struct Plugin {
    process: Process,
    log: Log,
    log_ended: Receiver<()>,
    folder: PathBuf,
}

impl Plugin {
    /// Starts `program` in `place`. It may not listen yet when this returns.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn spawn(program: &Program, place: &Place) -> Result<Self> {
        Self::spawn_on(program, place, &place.socket())
    }

    /// Starts `program` in `place`, but with another socket.
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

    /// The end of the output so far.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// The id of the process.
    pub fn id(&self) -> Pid {
        self.process.id()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Awaits the end of the process, for at most `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_until(patience, || self.ended())
    }

    /// Awaits that `socket` accepts connections, for at most [`PATIENCE`], and
    /// returns one.
    ///
    /// # Errors
    /// A text for a report, when the process ends or the time is over.
    pub fn listens_on(
        &mut self,
        socket: &Path,
    ) -> std::result::Result<UnixStream, String> {
        let outcome = wait_until(PATIENCE, || {
            if let Ok(client) = UnixStream::connect(socket) {
                return Some(Ok(client));
            }
            let status = self.ended()?;
            Some(Err(format!("the plugin ended before that ({status})")))
        });
        let late = || {
            let seconds = PATIENCE.as_secs();
            Err(format!(
                "the plugin runs, but has not listened within {seconds} s"
            ))
        };
        outcome.unwrap_or_else(late)
    }

    /// Kills the plugin as `kill -9` does, and awaits the end of every process
    /// that it has started.
    pub fn kill(&mut self) {
        self.process.kill();
        // Without a supervisor, a child in a process group of its own survives
        // and keeps the log open.
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

/// The last 64 KiB of the output of a program.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Every reader of the pipe holds the lock of `tail`, so no output is ever
    /// between the two.
    pipe: Option<Arc<io::PipeReader>>,
    tail: Arc<Mutex<VecDeque<u8>>>,
    /// The folder of the plugin, whose path differs in each run and means
    /// nothing to a reader.
    folder: PathBuf,
}

impl Log {
    /// The log of a program that writes to the other end of `pipe` and runs in
    /// `folder`.
    fn of(pipe: io::PipeReader, folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { pipe: Some(Arc::new(pipe)), folder, ..Self::default() }
    }

    /// An empty log of the same plugin, to which nothing is written.
    pub(crate) fn emptied(&self) -> Self {
        Self { folder: self.folder.clone(), ..Self::default() }
    }

    /// Starts a thread that reads the pipe until all its writers have closed
    /// it. The receiver gets a message then.
    fn follow(&self) -> Result<Receiver<()>> {
        let (end, ended) = mpsc::channel();
        let log = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            while log.has_more(None) && log.take_in(&mut log.lock()) {}
            let _ = end.send(());
        })?;
        Ok(ended)
    }

    /// Awaits output or the end of the pipe, for at most `patience`. Returns
    /// whether there is either.
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

    /// Moves all output that is in the pipe to `tail`. Returns false at the end
    /// of the pipe.
    fn take_in(&self, tail: &mut VecDeque<u8>) -> bool {
        let Some(mut pipe) = self.pipe.as_deref() else { return false };
        let mut buffer = vec![0; LOG];
        let mut taken = 0;
        // A pipe holds at most this much; without the limit, a plugin that
        // writes all the time would keep us here.
        while taken < LOG && self.has_more(Some(&Timespec::default())) {
            let Ok(count @ 1..) = pipe.read(&mut buffer) else { return false };
            tail.extend(&buffer[..count]);
            let surplus = tail.len().saturating_sub(LOG);
            tail.drain(..surplus);
            taken += count;
        }
        true
    }

    /// The last `most` lines, with `…` for the plugin's folder.
    ///
    /// All output before the call is included, even if the thread that follows
    /// the log has not read it yet.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let mut tail = self.lock();
        self.take_in(&mut tail);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        drop(tail);
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> =
            text.lines().map(|line| self.shorten(line)).collect();
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
    fn a_log_has_all_output_from_before_it_is_read() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        // No thread follows the log, as if that thread were late.
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
