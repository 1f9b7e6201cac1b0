//! The tools of a proof: a plugin that is killed and started again in one place,
//! Docker's calls, and the states to which these calls may have led.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use checker::dockerd;
use serde_json::Value;
use stand_in::daemon::{Call, Daemon, Dialect, NoReply, field};
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::plugin::{Log, Place, Plugin, Program};
use stand_in::root::{Mountpoint, Root};

/// A volume's options by their keys.
pub type Options = BTreeMap<String, String>;

/// Options from pairs of key and value.
pub fn options(pairs: &[(&str, &str)]) -> Options {
    let owned = |(key, value): &(&str, &str)| {
        (String::from(*key), String::from(*value))
    };
    pairs.iter().map(owned).collect()
}

/// `docker volume create`
pub fn create(name: &str, options: &Options) -> Call {
    let options = options.iter().map(|(k, v)| (k.clone(), v.as_str().into()));
    Call::create(name, Value::Object(options.collect()))
}

/// The answer to a call, as Docker sees it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The call succeeded.
    Success(Value),
    /// The call failed, and Docker shows this text.
    Refusal(String),
    /// No answer came: the plugin may have done the work or not.
    Missing(NoReply),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Success(value) => write!(f, "{value}"),
            Self::Refusal(text) => write!(f, "Err: {text}"),
            Self::Missing(why) => write!(f, "{why}"),
        }
    }
}

/// A plugin that listens, and a Docker that calls it.
///
/// It differs from the session of a check: its place outlives the plugin and is
/// shared with other clients, and a missing answer is no fault of the plugin.
#[derive(Debug)]
pub struct Session {
    /// The process. A drop kills it as `kill -9` does.
    pub plugin: Plugin,
    daemon: Daemon,
    root: Root,
}

impl Session {
    /// Starts the program in a place that may be in any state.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen.
    pub fn start(program: &Program, place: &Place) -> Result<Self, Fault> {
        let mut plugin = Plugin::spawn(program, place)?;
        let socket = place.socket();
        if let Err(got) = plugin.listens_on(&socket) {
            let log = plugin.log().last_lines(3).join(" | ");
            let got = format!("{got}; its log: {log}");
            return Err(wrong("started", "the plugin listens on SOCKET", got));
        }
        let daemon = Daemon::new(&socket, Dialect::default());
        Ok(Self { plugin, daemon, root: place.root().clone() })
    }

    /// The end of the plugin's log.
    pub fn log(&self) -> Log {
        self.plugin.log()
    }

    /// Makes one call.
    pub fn ask(&mut self, call: &Call) -> Answer {
        ask(&mut self.daemon, call)
    }

    /// Makes one call that must succeed.
    ///
    /// # Errors
    /// The plugin is wrong if the call does not succeed.
    pub fn must(&mut self, call: &Call) -> Result<Value, Fault> {
        match self.ask(call) {
            Answer::Success(value) => Ok(value),
            answer => Err(wrong(call, "it succeeds", answer)),
        }
    }

    /// Makes one call that the plugin must refuse. Returns the text of the error.
    ///
    /// # Errors
    /// The plugin is wrong if the call succeeds, or the text is empty.
    pub fn must_fail(&mut self, call: &Call) -> Result<String, Fault> {
        match self.ask(call) {
            Answer::Refusal(text) if !text.trim().is_empty() => Ok(text),
            answer => Err(wrong(call, "an Err that is not empty", answer)),
        }
    }

    /// The names of all volumes.
    ///
    /// # Errors
    /// The plugin is wrong if List fails, or has a name twice.
    pub fn names(&mut self) -> Result<BTreeSet<String>, Fault> {
        let value = self.must(&Call::list())?;
        let volumes = field(&value, "Volumes").and_then(Value::as_array);
        let mut names = BTreeSet::new();
        for volume in volumes.into_iter().flatten() {
            let name = field(volume, "Name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            if !names.insert(name.clone()) {
                let got = format!("{name} twice");
                return Err(wrong(Call::list(), "each volume once", got));
            }
        }
        Ok(names)
    }

    /// The options of a volume as `docker volume inspect` shows them, or `None` if
    /// there is no such volume.
    ///
    /// # Errors
    /// The plugin is wrong if the volume is not complete.
    pub fn inspect(&mut self, name: &str) -> Result<Option<Options>, Fault> {
        let call = Call::get(name);
        let value = match self.ask(&call) {
            Answer::Success(value) => value,
            Answer::Refusal(_) => return Ok(None),
            answer => return Err(wrong(&call, "an answer", answer)),
        };
        let volume = field(&value, "Volume").unwrap_or(&Value::Null);
        let text = |key| field(volume, key).and_then(Value::as_str);
        let status = field(volume, "Status").and_then(Value::as_object);
        let (Some(mountpoint), Some(_), Some(status)) =
            (text("Mountpoint"), text("CreatedAt"), status)
        else {
            let expected = "Mountpoint, CreatedAt and Status";
            return Err(wrong(&call, expected, volume));
        };
        let shown = |value: &Value| {
            value.as_str().map_or(value.to_string(), str::to_owned)
        };
        let status: Options =
            status.iter().map(|(k, v)| (k.clone(), shown(v))).collect();
        let path = Mountpoint::new(mountpoint, &call.to_string(), &self.root);
        path.leads_below_root()?;
        // Volumes of other types have a folder there only while they are mounted.
        if status.get("type").is_none_or(|kind| kind == "dir") {
            let mode = fs::symlink_metadata(mountpoint).map(|metadata| {
                let kind = match metadata.is_dir() {
                    true => "a folder",
                    false => "not a folder",
                };
                let mode = metadata.permissions().mode() & 0o7777;
                format!("{kind}, {mode:04o}")
            });
            let mode = mode.unwrap_or_else(|err| err.to_string());
            let expected = match status.get("mode") {
                Some(mode) => format!("a folder, {mode}"),
                None => "a folder".to_owned(),
            };
            if !mode.starts_with(&expected) {
                let expected = format!("{mountpoint} is {expected}");
                return Err(wrong(&call, expected, mode));
            }
        }
        Ok(Some(status))
    }

    /// Mounts a volume, and returns its mountpoint.
    ///
    /// # Errors
    /// The plugin is wrong if the answer has no mountpoint.
    pub fn mounted(
        &mut self,
        name: &str,
        id: &str,
    ) -> Result<Mountpoint, Fault> {
        let call = Call::mount(name, id);
        let value = self.must(&call)?;
        match field(&value, "Mountpoint").and_then(Value::as_str) {
            Some(path) => {
                Ok(Mountpoint::new(path, &call.to_string(), &self.root))
            }
            None => Err(wrong(&call, "a Mountpoint", value)),
        }
    }

    /// Compares all volumes with the states that are allowed.
    ///
    /// # Errors
    /// The plugin is wrong if a volume was lost, has come back, or is incomplete.
    pub fn compare(&mut self, allowed: &Allowed) -> Outcome {
        let names = self.names()?;
        if let Some(name) =
            names.iter().find(|name| !allowed.contains_key(*name))
        {
            let expected = "only volumes that were created";
            return Err(wrong(
                Call::list(),
                expected,
                format!("{name} as well"),
            ));
        }
        for (name, states) in allowed {
            let seen = self.inspect(name)?;
            if seen.is_some() != names.contains(name) {
                let (get, list) = match seen {
                    Some(_) => ("finds it", "does not"),
                    None => ("does not find it", "does"),
                };
                let got = format!("Get of {name} {get}, List {list}");
                return Err(wrong("Get and List", "they agree", got));
            }
            if !states
                .iter()
                .any(|state| matches(state.as_ref(), seen.as_ref()))
            {
                let states: Vec<_> = states.iter().map(words).collect();
                let expected = states.join(", or ");
                return Err(wrong(Call::get(name), expected, words(&seen)));
            }
        }
        Ok(())
    }
}

/// One more Docker that calls the same plugin.
#[derive(Debug)]
pub struct Client(Daemon);

impl Client {
    /// A client that has not connected yet.
    pub fn new(place: &Place) -> Self {
        Self(Daemon::new(&place.socket(), Dialect::default()))
    }

    /// Makes one call.
    pub fn ask(&mut self, call: &Call) -> Answer {
        ask(&mut self.0, call)
    }
}

fn ask(daemon: &mut Daemon, call: &Call) -> Answer {
    let reply = match daemon.call(call) {
        Ok(reply) => reply,
        Err(no_reply) => return Answer::Missing(no_reply),
    };
    // A plugin that was killed may have sent only a part of its answer.
    if serde_json::from_slice::<Value>(&reply.body).is_err() {
        return Answer::Missing(NoReply::Dropped);
    }
    match reply.judge() {
        Ok(value) => Answer::Success(value),
        Err(text) => Answer::Refusal(text),
    }
}

/// One state of a name: no volume, or a volume with at least these options. Mode
/// and owner of a filesystem are not compared, because only a mount shows them.
pub type State = Option<Options>;

/// The allowed states of each name. No other volumes are allowed.
pub type Allowed = BTreeMap<String, Vec<State>>;

fn matches(allowed: Option<&Options>, seen: Option<&Options>) -> bool {
    match (allowed, seen) {
        (None, None) => true,
        (Some(allowed), Some(seen)) => {
            let is_dir = seen.get("type").is_none_or(|kind| kind == "dir");
            let hidden =
                |key: &str| !is_dir && ["mode", "uid", "gid"].contains(&key);
            allowed.iter().all(|(key, value)| match seen.get(key) {
                Some(seen) => seen == value,
                None => hidden(key),
            })
        }
        _ => false,
    }
}

fn words(state: &State) -> String {
    match state {
        None => "no such volume".to_owned(),
        Some(options) => format!("a volume with {options:?}"),
    }
}

/// One call that changes a volume.
#[derive(Clone, Debug)]
pub struct Change {
    /// The moment before the call was sent.
    pub began: Instant,
    /// The moment after its answer arrived; `None` if there was no answer.
    pub acknowledged: Option<Instant>,
    /// The state of the volume after the call.
    pub to: State,
}

/// All changes that one client made to one volume.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The state before the first change.
    pub before: State,
    /// The changes, in their order.
    pub changes: Vec<Change>,
}

impl History {
    /// The state after the last change.
    pub fn now(&self) -> &State {
        self.changes.last().map_or(&self.before, |change| &change.to)
    }

    /// The states in which the volume may have been between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<State> {
        let all = &self.changes;
        let done = all
            .iter()
            .take_while(|change| {
                change.acknowledged.is_some_and(|at| at < from)
            })
            .count();
        let begun = all.iter().take_while(|change| change.began <= to).count();
        let mut states = vec![match done {
            0 => self.before.clone(),
            done => all[done - 1].to.clone(),
        }];
        let late = all.iter().take(begun).skip(done);
        states.extend(late.map(|change| change.to.clone()));
        states
    }
}

/// Lists a folder: the relative path and the kind of each entry below it. Only
/// entries whose path is `wanted` are listed.
pub fn listing(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(short) = path.strip_prefix(folder) else { continue };
            if !wanted(short) {
                continue;
            }
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_dir() => "a folder",
                Ok(kind) if kind.is_symlink() => "a link",
                Ok(kind) if kind.is_file() => "a file",
                _ => "neither file nor folder",
            };
            found.insert(short.to_owned(), kind.to_owned());
            if kind == "a folder" {
                open.push(path);
            }
        }
    }
    found
}

/// The first path at which two listings differ, in words.
pub fn difference(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> Option<String> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
    paths.sort();
    let path =
        paths.into_iter().find(|path| before.get(*path) != after.get(*path))?;
    let words = |of: &BTreeMap<PathBuf, String>| {
        of.get(path).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    let (before, after) = (words(before), words(after));
    Some(format!("{}: {before} before, {after} after", path.display()))
}

/// Runs a program of the machine that must succeed, and returns its output.
///
/// # Errors
/// When the program fails: the error has its output.
pub fn tool(words: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<String> {
    let (program, words) = words.split_first().context("a program")?;
    let mut command = std::process::Command::new(program);
    command.args(words);
    let played = dockerd::watched(command, dockerd::PATIENCE)?;
    ensure!(
        played.status.is_some_and(|status| status.success()),
        "{}: {}",
        played.command,
        played.output.trim()
    );
    Ok(played.output)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_in_flight_may_have_been_done_or_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let there = |mode| Some(options(&[("mode", mode)]));
        let change = |began, acknowledged: Option<u64>, to: State| Change {
            began: at(began),
            acknowledged: acknowledged.map(at),
            to,
        };
        let history = History {
            before: None,
            changes: vec![
                change(10, Some(20), there("0700")),
                change(30, Some(40), None),
                change(50, None, there("0711")),
            ],
        };
        for (from, to, expected) in [
            (5, 6, vec![None]),
            (5, 15, vec![None, there("0700")]),
            (15, 16, vec![None, there("0700")]),
            (21, 29, vec![there("0700")]),
            (21, 60, vec![there("0700"), None, there("0711")]),
            (41, 49, vec![None]),
            (90, 91, vec![None, there("0711")]),
        ] {
            let states = history.between(at(from), at(to));
            assert_eq!(states, expected, "{from} to {to}");
        }
    }
}
