//! What a check works with: fresh plugins, Docker's calls, and findings.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::{Call, Daemon, Dialect, NoReply, Reply, field, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::plugin::{Log, Place, Plugin, Program};
use crate::root::{Mountpoint, Root};
use crate::wait::PATIENCE;

/// The session of one check.
#[derive(Debug)]
pub struct Harness {
    program: Program,
    /// Which dockerd is played.
    pub dialect: Dialect,
    /// What names and options are drawn from.
    pub seed: u64,
    random: fastrand::Rng,
    /// Of the plugin that was started last.
    log: Log,
}

impl Harness {
    /// A harness for one program, with a new seed and the newest dialect.
    pub fn new(program: Program) -> Self {
        // Short, because people type it again.
        let seed = fastrand::u64(..1_000_000);
        let dialect = Dialect::default();
        let random = fastrand::Rng::with_seed(seed);
        Self { program, dialect, seed, random, log: Log::default() }
    }

    /// The program under test.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The end of the log of the plugin that was started last.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What many calls at once have logged has no order worth showing.
    pub fn forget_log(&mut self) {
        self.log = self.log.emptied();
    }

    /// Names are the same for the same seed and check, whatever ran before.
    pub fn prepare_for(&mut self, check: &str) {
        let salt = check.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        self.random = fastrand::Rng::with_seed(self.seed ^ (salt << 20));
        self.log = Log::default();
    }

    /// A volume's name that no plugin can have expected.
    pub fn name(&mut self) -> String {
        const WORDS: [&str; 8] = [
            "amber", "birch", "cedar", "delta", "ember", "fjord", "grove",
            "heron",
        ];
        let word = WORDS[self.random.usize(..WORDS.len())];
        format!("{word}-{}", self.random.u32(100..1000))
    }

    /// A number that no plugin can have expected.
    pub fn number(&mut self, range: std::ops::Range<u32>) -> u32 {
        self.random.u32(range)
    }

    /// A fresh plugin that listens, in a place of its own.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn start(&mut self) -> Result<Session, Fault> {
        let program = self.program.clone();
        let mut session = self.spawn(&program, Place::new()?)?;
        session.await_listening("PROGRAM SOCKET ROOT, started")?;
        Ok(session)
    }

    /// The program in a place that may not be fresh; it may not listen yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(
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

    /// The plugin after `kill -9`, started again in its place. `what` was done
    /// to it, and reports say so.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn restart(
        &mut self,
        session: Session,
        what: &str,
    ) -> Result<Session, Fault> {
        self.start_again(session.kill(), what)
    }

    /// The same for one that was killed before.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn start_again(
        &mut self,
        place: Place,
        what: &str,
    ) -> Result<Session, Fault> {
        let program = self.program.clone();
        let mut session = self.spawn(&program, place)?;
        session.await_listening(&format!("{what}, and a new start"))?;
        session.before = format!("{what}, a new start, ");
        Ok(session)
    }

    /// A second process of the same program, on the socket of the one on `session`.
    /// It has its ROOT in `place`. Reports do not show its log, in which the
    /// socket's path differs in each run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_beside(
        &mut self,
        session: &Session,
        place: &Place,
    ) -> Result<Plugin, Fault> {
        self.forget_log();
        Ok(Plugin::spawn_on(&self.program, place, &session.socket())?)
    }

    /// The same on another socket: what they share is ROOT.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_rival(
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
    /// What reports say before each call.
    before: String,
}

impl Session {
    /// Awaits that the plugin listens. `sent` tells what was done before.
    ///
    /// # Errors
    /// The plugin is wrong if it does not.
    pub fn await_listening(&mut self, sent: &str) -> Outcome {
        self.first_client(sent).map(drop)
    }

    /// The same, and returns the first connection that the plugin takes.
    ///
    /// # Errors
    /// The plugin is wrong if it takes none.
    pub fn first_client(&mut self, sent: &str) -> Result<UnixStream, Fault> {
        self.plugin
            .get_mut()
            .listens_on(&self.place.socket())
            .map_err(|got| wrong(sent, "it listens on SOCKET", got))
    }

    /// Where the plugin was told to keep its volumes. It may not exist, and is
    /// a path to compare: what is there is reached through [`Session::root`].
    pub fn volumes(&self) -> PathBuf {
        self.place.volumes()
    }

    /// The same, to be looked into.
    pub fn root(&self) -> &Root {
        self.place.root()
    }

    /// The folder that the plugin was started in.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// Where the plugin was told to listen.
    pub fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// Kills the plugin as `kill -9` does, and keeps its place.
    pub fn kill(self) -> Place {
        drop(self.plugin);
        self.place
    }

    /// How the plugin ended, if it does so in time.
    pub fn ends(&self) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ends_within(PATIENCE)
    }

    /// How the plugin ended, if it does so within `patience`.
    pub fn ends_within(&self, patience: Duration) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ends_within(patience)
    }

    /// Asks the plugin to stop.
    pub fn signal(&self, signal: Signal) {
        self.plugin.borrow().signal(signal);
    }

    /// How the plugin ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.plugin.borrow_mut().ended()
    }

    /// Makes one of dockerd's calls.
    pub fn call(&mut self, call: &Call) -> Exchange {
        let reply = self.daemon.call(call);
        let sent = call.made_by(self.daemon.dialect());
        self.exchange(format!("{}{sent}", self.before), reply)
    }

    /// What was done before the calls that follow; reports say so.
    pub fn say_before(&mut self, what: &str) {
        self.before = format!("{what}, ");
    }

    /// Sends bytes that dockerd would not, and reads one reply. `what` says in
    /// words what they are.
    ///
    /// # Errors
    /// When nobody can be connected to.
    pub fn send(
        &self,
        what: &str,
        bytes: &[u8],
    ) -> Result<(Exchange, UnixStream), Fault> {
        let mut client = self.client(what)?;
        // A plugin may refuse, and close, before it has read everything.
        let _ = client.set_write_timeout(Some(PATIENCE));
        let _ = client.write_all(bytes);
        let reply = read_reply(&mut client, PATIENCE);
        Ok((self.exchange(what.to_owned(), reply), client))
    }

    /// A connection on which the caller sends what it likes.
    ///
    /// # Errors
    /// The plugin is wrong if it does not take the connection.
    pub fn client(&self, what: &str) -> Result<UnixStream, Fault> {
        self.daemon.connect().map_err(|no_reply| {
            let got = self.tell(&no_reply);
            wrong(what, "the connection is taken", got)
        })
    }

    /// After `what`, Docker must still be served, on a new connection.
    ///
    /// # Errors
    /// The plugin is wrong if it is not.
    pub fn still_answers(&self, what: &str) -> Outcome {
        let mut docker = Daemon::new(&self.socket(), self.daemon.dialect());
        let reply = docker.call(&Call::bare("Plugin.Activate"));
        let sent = format!("{what}; then POST /Plugin.Activate, no body");
        self.exchange(sent, reply)
            .success("Docker's call is answered as before")
            .map(|_| ())
    }

    /// What came of a request that was sent by the caller.
    pub fn exchange(
        &self,
        sent: String,
        reply: Result<Reply, NoReply>,
    ) -> Exchange {
        let reply = reply.map_err(|no_reply| self.tell(&no_reply));
        Exchange { sent, reply, root: self.root().clone() }
    }

    /// A missing reply in words; the plugin's end if that explains it.
    fn tell(&self, no_reply: &NoReply) -> String {
        let ended = match no_reply {
            // A process that dies closes its connections first. How long before
            // its end depends on the machine.
            NoReply::Unreachable(_) | NoReply::Dropped => self.ends(),
            NoReply::Silent(_) => self.ended(),
            // Whatever became of it since, this is what it sent.
            NoReply::NotHttp(_) | NoReply::TooLong => None,
        };
        match ended {
            // How the connection felt it depends on the moment.
            Some(status) => format!("no answer: the plugin ended ({status})"),
            None => no_reply.to_string(),
        }
    }
}

/// One request, and what came back.
#[derive(Debug)]
pub struct Exchange {
    sent: String,
    reply: Result<Reply, String>,
    /// What the paths in it have to lead to.
    root: Root,
}

impl Exchange {
    /// The finding that something else was expected.
    pub fn wrong(&self, expected: impl Display) -> Fault {
        match &self.reply {
            Ok(reply) => wrong(&self.sent, expected, reply),
            Err(got) => wrong(&self.sent, expected, got),
        }
    }

    /// The value that Docker would take for a success.
    ///
    /// # Errors
    /// The plugin is wrong if Docker would see a failure.
    pub fn success(&self, expected: impl Display) -> Result<Value, Fault> {
        match &self.reply {
            Ok(reply) => reply.judge().map_err(|_| self.wrong(expected)),
            Err(_) => Err(self.wrong(expected)),
        }
    }

    /// The text that Docker would show for a failure.
    ///
    /// # Errors
    /// The plugin is wrong if Docker would see a success, an empty text, or no
    /// reply at all.
    pub fn failure(&self, expected: impl Display) -> Result<String, Fault> {
        match &self.reply {
            Ok(reply) => match reply.judge() {
                Err(text) if !text.trim().is_empty() => Ok(text),
                _ => Err(self.wrong(expected)),
            },
            Err(_) => Err(self.wrong(expected)),
        }
    }

    /// The path in the plugin's answer, if there is one.
    pub fn mountpoint(&self, value: &Value) -> Option<Mountpoint> {
        let path = field(value, "Mountpoint")?.as_str()?;
        Some(Mountpoint::new(path, &self.sent, &self.root))
    }

    /// Any reply over HTTP.
    ///
    /// # Errors
    /// The plugin is wrong if there is none.
    pub fn answer(&self, expected: impl Display) -> Result<&Reply, Fault> {
        self.reply.as_ref().map_err(|_| self.wrong(expected))
    }
}

/// Whether `value` has a list called `name` that holds `word`.
pub fn lists(value: &Value, name: &str, word: &str) -> bool {
    field(value, name)
        .and_then(Value::as_array)
        .is_some_and(|list| list.iter().any(|it| it == word))
}
