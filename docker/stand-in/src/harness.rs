//! The tools of a check: fresh plugins, calls, and findings.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::cleanup;
use crate::daemon::{
    Call, Daemon, Dialect, NoReply, Reply, clip, field, read_reply,
};
use crate::finding::{Fault, Outcome, wrong};
use crate::plugin::{Log, Place, Plugin, Program};
use crate::processes;
use crate::root::{Mountpoint, Root};
use crate::wait::{PATIENCE, wait_until};

/// Everything a check works with: starts plugins, draws names, and keeps the
/// log. A [`Session`] is one started plugin.
#[derive(Debug)]
pub struct Harness {
    program: Program,
    /// The engine that the stand-in plays.
    pub dialect: Dialect,
    /// The seed for names and options.
    pub seed: u64,
    random: fastrand::Rng,
    /// The log of the plugin that was started last.
    log: Log,
}

impl Harness {
    /// A harness for one program, with a new seed and the newest dialect.
    pub fn new(program: Program) -> Self {
        // The seed is short, because people type it.
        let seed = fastrand::u64(..1_000_000);
        let dialect = Dialect::default();
        let random = fastrand::Rng::with_seed(seed);
        Self { program, dialect, seed, random, log: Log::default() }
    }

    /// A harness for the same program, with the same seed and dialect and a log of
    /// its own.
    pub(crate) fn another(&self) -> Self {
        let (program, random) = (self.program.clone(), self.random.clone());
        let (dialect, seed) = (self.dialect, self.seed);
        Self { program, dialect, seed, random, log: Log::default() }
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The end of the log of the plugin that was started last.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Drops the log: concurrent calls interleave differently in each run, so
    /// reports would differ.
    pub(crate) fn forget_log(&mut self) {
        self.log = self.log.emptied();
    }

    /// Prepares for a check with this id. Names depend on the seed and the
    /// check alone, not on earlier checks.
    pub fn prepare_for(&mut self, check: &str) {
        let salt = check.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        self.random = fastrand::Rng::with_seed(self.seed ^ (salt << 20));
        self.log = Log::default();
    }

    /// A volume's name that no plugin can predict.
    pub(crate) fn name(&mut self) -> String {
        const WORDS: [&str; 8] = [
            "amber", "birch", "cedar", "delta", "ember", "fjord", "grove",
            "heron",
        ];
        let word = WORDS[self.random.usize(..WORDS.len())];
        format!("{word}-{}", self.random.u32(100..1000))
    }

    /// A number that no plugin can predict.
    pub(crate) fn number(&mut self, range: std::ops::Range<u32>) -> u32 {
        self.random.u32(range)
    }

    /// Starts a plugin in a new place, and awaits that it listens.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn start(&mut self) -> Result<Session, Fault> {
        let program = self.program.clone();
        let mut session = self.spawn(&program, Place::new()?)?;
        session.await_listening("PROGRAM SOCKET ROOT, started")?;
        Ok(session)
    }

    /// Starts `program` in a place that may have been used before. The plugin
    /// may not listen yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(
        &mut self,
        program: &Program,
        place: Place,
    ) -> Result<Session, Fault> {
        let plugin = Plugin::spawn(program, &place)?;
        self.log = plugin.log();
        let daemon = Daemon::new(&place.socket(), self.dialect);
        let plugin = RefCell::new(plugin);
        Ok(Session { daemon, plugin, place, before: String::new() })
    }

    /// Kills the plugin as `kill -9` does, and starts it again in its place.
    /// `action` describes that in reports.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn restart(
        &mut self,
        session: Session,
        action: &str,
    ) -> Result<Session, Fault> {
        self.start_again(session.kill(), action)
    }

    /// Starts the plugin again in the place of one that was killed. `action`
    /// describes that in reports.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub(crate) fn start_again(
        &mut self,
        place: Place,
        action: &str,
    ) -> Result<Session, Fault> {
        let program = self.program.clone();
        let mut session = self.spawn(&program, place)?;
        session.await_listening(&format!("{action}, and a new start"))?;
        session.before = format!("{action}, a new start, ");
        Ok(session)
    }

    /// Starts the same program a second time, on the socket of `session` and
    /// with the ROOT of `place`. Reports do not show its log, because the
    /// socket's path in it differs in each run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn_beside(
        &mut self,
        session: &Session,
        place: &Place,
    ) -> Result<Plugin, Fault> {
        self.forget_log();
        Ok(Plugin::spawn_on(&self.program, place, &session.socket())?)
    }

    /// Starts the same program a second time, on another socket and with the
    /// ROOT of `session`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn_rival(
        &mut self,
        session: &Session,
        socket: &Path,
    ) -> Result<Plugin, Fault> {
        let second = Plugin::spawn_on(&self.program, &session.place, socket)?;
        self.log = second.log();
        Ok(second)
    }
}

/// One plugin, and the daemon that talks to it.
#[derive(Debug)]
pub struct Session {
    daemon: Daemon,
    plugin: RefCell<Plugin>,
    place: Place,
    /// The text that reports put before each call.
    before: String,
}

impl Session {
    /// Awaits that the plugin listens. `sent` describes in reports what was
    /// done before.
    ///
    /// # Errors
    /// The plugin is wrong if it does not.
    pub(crate) fn await_listening(&mut self, sent: &str) -> Outcome {
        self.first_client(sent).map(drop)
    }

    /// Awaits that the plugin listens, and returns the first connection that it
    /// accepts.
    ///
    /// # Errors
    /// The plugin is wrong if it takes none.
    pub(crate) fn first_client(
        &mut self,
        sent: &str,
    ) -> Result<UnixStream, Fault> {
        self.plugin
            .get_mut()
            .listens_on(&self.place.socket())
            .map_err(|got| wrong(sent, "the plugin listens on SOCKET", got))
    }

    /// The path of ROOT, as the plugin was given it. The folder may not exist.
    /// The path is for comparison only: files are reached through
    /// `Session::root`.
    pub fn volumes(&self) -> PathBuf {
        self.place.volumes()
    }

    /// ROOT, for access to the files in it.
    pub(crate) fn root(&self) -> &Root {
        self.place.root()
    }

    /// The current folder of the plugin.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// The path of the socket, as the plugin was given it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// Kills the plugin as `kill -9` does, and keeps its place.
    pub(crate) fn kill(self) -> Place {
        drop(self.plugin);
        self.place
    }

    /// Awaits the end of the plugin, for at most [`PATIENCE`].
    pub(crate) fn ends(&self) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ends_within(PATIENCE)
    }

    /// Awaits the end of the plugin, for at most `patience`.
    pub(crate) fn ends_within(&self, patience: Duration) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ends_within(patience)
    }

    /// Sends a signal to the plugin.
    pub(crate) fn signal(&self, signal: Signal) {
        self.plugin.borrow().signal(signal);
    }

    /// The exit status of the plugin, if it has ended.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ended()
    }

    /// Awaits that the plugin has ended, for at most `patience`, although a tracer
    /// that a check has started still holds one of its threads. That tracer is
    /// killed then. Only Linux tells.
    pub(crate) fn ends_under_a_tracer(
        &self,
        patience: Duration,
    ) -> Option<ExitStatus> {
        let id = self.plugin.borrow().id().as_raw_pid();
        let proc = Path::new("/proc").join(id.to_string());
        let is_over = || {
            let stat = fs::read_to_string(proc.join("stat"));
            // `123 (name) Z …`
            let stat = stat.unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            state.is_none_or(|state| state.starts_with('Z')).then_some(())
        };
        wait_until(patience, is_over)?;
        let ours = self.folder().as_os_str().as_bytes();
        for thread in fs::read_dir(proc.join("task")).into_iter().flatten() {
            let status = thread.map(|thread| thread.path().join("status"));
            let text = status.and_then(fs::read_to_string).unwrap_or_default();
            let mut lines = text.lines();
            let id = lines.find_map(|line| line.strip_prefix("TracerPid:"));
            let Some(tracer) = id.and_then(|id| processes::id_of(id.trim()))
            else {
                continue;
            };
            let proc = Path::new("/proc").join(tracer.as_raw_pid().to_string());
            if processes::variable(&proc, cleanup::MARK).as_deref()
                == Some(ours)
            {
                let _ = kill_process(tracer, Signal::KILL);
            }
        }
        self.ends()
    }

    /// The number of files that the plugin has open; `None` where the system does
    /// not tell.
    pub(crate) fn open_files(&self) -> Option<usize> {
        let id = self.plugin.borrow().id().as_raw_pid();
        Some(fs::read_dir(format!("/proc/{id}/fd")).ok()?.count())
    }

    /// Makes a call as the played engine does.
    pub fn call(&mut self, call: &Call) -> Exchange {
        let reply = self.daemon.call(call);
        let sent = call.made_by(self.daemon.dialect());
        self.exchange(format!("{}{sent}", self.before), reply)
    }

    /// Describes in reports what was done before the calls that follow.
    pub(crate) fn say_before(&mut self, action: &str) {
        self.before = format!("{action}, ");
    }

    /// Sends bytes that dockerd would not send, and reads one reply. `action`
    /// describes the bytes in reports. Returns the open connection as well.
    ///
    /// # Errors
    /// The plugin is wrong if it does not accept the connection.
    pub(crate) fn send(
        &self,
        action: &str,
        bytes: &[u8],
    ) -> Result<(Exchange, UnixStream), Fault> {
        let mut client = self.client(action)?;
        // A plugin may refuse and close the connection before it has read
        // everything.
        let _ = client.set_write_timeout(Some(PATIENCE));
        let _ = client.write_all(bytes);
        let reply = read_reply(&mut client, PATIENCE);
        Ok((self.exchange(action.to_owned(), reply), client))
    }

    /// A new connection, on which the caller sends any bytes. `action` describes
    /// them in reports.
    ///
    /// # Errors
    /// The plugin is wrong if it does not accept the connection.
    pub(crate) fn client(&self, action: &str) -> Result<UnixStream, Fault> {
        self.daemon.connect().map_err(|no_reply| {
            let got = self.describe(&no_reply);
            wrong(action, "the plugin accepts the connection", got)
        })
    }

    /// Makes a handshake on a new connection, which must succeed. `action`
    /// describes in reports what was done before.
    ///
    /// # Errors
    /// The plugin is wrong if it is not.
    pub(crate) fn still_answers(&self, action: &str) -> Outcome {
        let mut docker = Daemon::new(&self.socket(), self.daemon.dialect());
        let reply = docker.call(&Call::bare("Plugin.Activate"));
        let sent = format!("{action}; then POST /Plugin.Activate, no body");
        self.exchange(sent, reply)
            .success("the handshake is answered as before")
            .map(|_| ())
    }

    /// The exchange of a request that the caller has sent, described by `sent`.
    pub(crate) fn exchange(
        &self,
        sent: String,
        reply: Result<Reply, NoReply>,
    ) -> Exchange {
        let reply = reply.map_err(|no_reply| self.describe(&no_reply));
        Exchange { sent, reply, root: self.root().clone() }
    }

    /// Describes why there is no reply: by the plugin's exit status if it has
    /// ended.
    fn describe(&self, no_reply: &NoReply) -> String {
        let ended = match no_reply {
            // A process closes its connections before it ends. The time between
            // both depends on the machine.
            NoReply::Unreachable(_) | NoReply::Dropped => self.ends(),
            NoReply::Silent(_) => self.ended(),
            // The plugin sent these bytes, whether it still runs or not.
            NoReply::NotHttp(_) | NoReply::TooLong => None,
        };
        match ended {
            // Whether the client sees EOF or a reset is a race, so the exit
            // status is reported instead.
            Some(status) => format!("no answer: the plugin ended ({status})"),
            None => no_reply.to_string(),
        }
    }
}

/// One request, and its reply.
#[derive(Debug)]
pub struct Exchange {
    sent: String,
    reply: Result<Reply, String>,
    /// The ROOT that paths in the reply must lead to.
    root: Root,
}

impl Exchange {
    /// A finding with this reply and another expectation.
    pub(crate) fn wrong(&self, expected: impl Display) -> Fault {
        let note = self.reply.as_ref().ok().and_then(Reply::misshapen);
        self.wrong_because(expected, note)
    }

    /// The same for a reply that must be JSON with an `Err`, whatever its status.
    pub(crate) fn wrong_failure(&self, expected: impl Display) -> Fault {
        let note = self.reply.as_ref().ok().and_then(Reply::without_err);
        self.wrong_because(expected, note)
    }

    fn wrong_because(
        &self,
        expected: impl Display,
        note: Option<String>,
    ) -> Fault {
        let got = match (&self.reply, note) {
            (Ok(reply), Some(note)) => {
                format!("{} ({note})", clip(&reply.to_string()))
            }
            (Ok(reply), None) => reply.to_string(),
            (Err(got), _) => got.clone(),
        };
        wrong(&self.sent, expected, got)
    }

    /// The value of the reply, if Docker would take it for a success.
    ///
    /// # Errors
    /// The plugin is wrong if Docker would see a failure.
    pub fn success(&self, expected: impl Display) -> Result<Value, Fault> {
        match &self.reply {
            Ok(reply) => reply.judge().map_err(|_| self.wrong(expected)),
            Err(_) => Err(self.wrong(expected)),
        }
    }

    /// The text of the failure, as Docker would show it.
    ///
    /// # Errors
    /// The plugin is wrong if Docker would see a success, an empty text, or no
    /// reply at all.
    pub fn failure(&self, expected: impl Display) -> Result<String, Fault> {
        match &self.reply {
            Ok(reply) => match reply.judge() {
                Err(text) if !text.trim().is_empty() => Ok(text),
                _ => Err(self.wrong_failure(expected)),
            },
            Err(_) => Err(self.wrong(expected)),
        }
    }

    /// The `Mountpoint` in a reply, if there is one.
    pub(crate) fn mountpoint(&self, value: &Value) -> Option<Mountpoint> {
        let path = field(value, "Mountpoint")?.as_str()?;
        Some(Mountpoint::new(path, &self.sent, &self.root))
    }

    /// The reply, whatever its status.
    ///
    /// # Errors
    /// The plugin is wrong if there is none.
    pub(crate) fn answer(
        &self,
        expected: impl Display,
    ) -> Result<&Reply, Fault> {
        self.reply.as_ref().map_err(|_| self.wrong(expected))
    }
}

/// Whether `value` has a list called `name` that contains `word`.
pub fn lists(value: &Value, name: &str, word: &str) -> bool {
    field(value, name)
        .and_then(Value::as_array)
        .is_some_and(|list| list.iter().any(|entry| entry == word))
}
