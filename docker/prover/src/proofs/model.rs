//! What a proof works with: a plugin that is killed and started again in one
//! place, Docker's calls, and what they may have come to.

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

/// Options, as a user types them.
pub fn options(pairs: &[(&str, &str)]) -> Options {
    let owned = |(key, value): &(&str, &str)| {
        (String::from(*key), String::from(*value))
    };
    pairs.iter().map(owned).collect()
}

/// `docker volume create`
pub fn create(name: &str, options: &Options) -> Call {
    let options = options.iter().map(|(k, v)| (k.clone(), v.as_str().into()));
    let options = Value::Object(options.collect());
    let fields = [("Name", name.into()), ("Opts", options)];
    Call::new("VolumeDriver.Create", &fields)
}

/// `docker volume rm`
pub fn remove(name: &str) -> Call {
    Call::new("VolumeDriver.Remove", &[("Name", name.into())])
}

/// `docker volume inspect`
pub fn get(name: &str) -> Call {
    Call::new("VolumeDriver.Get", &[("Name", name.into())])
}

/// `docker volume ls`
pub fn list() -> Call {
    Call::new("VolumeDriver.List", &[])
}

/// A container starts.
pub fn mount(name: &str, id: &str) -> Call {
    let fields = [("Name", name.into()), ("ID", id.into())];
    Call::new("VolumeDriver.Mount", &fields)
}

/// A container has ended.
pub fn unmount(name: &str, id: &str) -> Call {
    let fields = [("Name", name.into()), ("ID", id.into())];
    Call::new("VolumeDriver.Unmount", &fields)
}

/// What Docker hears.
#[derive(Clone, Debug)]
pub enum Said {
    /// It is done.
    Yes(Value),
    /// It is not, and these words are shown.
    No(String),
    /// Nothing: the plugin may have done it or not.
    Nothing(NoReply),
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Yes(value) => write!(f, "{value}"),
            Self::No(text) => write!(f, "Err: {text}"),
            Self::Nothing(why) => write!(f, "{why}"),
        }
    }
}

/// A plugin that listens, and a Docker that calls it.
#[derive(Debug)]
pub struct Session {
    /// The process. Dropped, it is killed as by `kill -9`.
    pub plugin: Plugin,
    daemon: Daemon,
    root: Root,
}

impl Session {
    /// Starts the program in a place that may be in any state.
    ///
    /// # Errors
    /// The plugin is wrong if it does not listen there.
    pub fn start(program: &Program, place: &Place) -> Result<Self, Fault> {
        let mut plugin = Plugin::spawn(program, place)?;
        let socket = place.socket();
        if let Err(got) = plugin.listens_on(&socket) {
            let log = plugin.log().last_lines(3).join(" | ");
            let got = format!("{got}; its log: {log}");
            return Err(wrong("started", "it listens on SOCKET", got));
        }
        let daemon = Daemon::new(&socket, Dialect::default());
        Ok(Self { plugin, daemon, root: place.root().clone() })
    }

    /// The end of the plugin's log.
    pub fn log(&self) -> Log {
        self.plugin.log()
    }

    /// Makes one call.
    pub fn ask(&mut self, call: &Call) -> Said {
        ask(&mut self.daemon, call)
    }

    /// Makes one call that has to succeed.
    ///
    /// # Errors
    /// The plugin is wrong if it does not.
    pub fn must(&mut self, call: &Call) -> Result<Value, Fault> {
        match self.ask(call) {
            Said::Yes(value) => Ok(value),
            said => Err(wrong(call, "it succeeds", said)),
        }
    }

    /// Makes one call that has to be refused, with words.
    ///
    /// # Errors
    /// The plugin is wrong if it succeeds, or says nothing.
    pub fn must_not(&mut self, call: &Call) -> Result<String, Fault> {
        match self.ask(call) {
            Said::No(text) if !text.trim().is_empty() => Ok(text),
            said => Err(wrong(call, "an Err that is not empty", said)),
        }
    }

    /// The names of all volumes.
    ///
    /// # Errors
    /// The plugin is wrong if it does not tell, or names one twice.
    pub fn names(&mut self) -> Result<BTreeSet<String>, Fault> {
        let value = self.must(&list())?;
        let volumes = field(&value, "Volumes").and_then(Value::as_array);
        let mut names = BTreeSet::new();
        for volume in volumes.into_iter().flatten() {
            let name = field(volume, "Name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            if !names.insert(name.clone()) {
                let got = format!("{name} twice");
                return Err(wrong(list(), "each volume once", got));
            }
        }
        Ok(names)
    }

    /// What there is under a name: its options as `docker volume inspect` shows
    /// them, or nothing. It shall be whole.
    ///
    /// # Errors
    /// The plugin is wrong if it is half of a volume.
    pub fn seen(&mut self, name: &str) -> Result<Option<Options>, Fault> {
        let call = get(name);
        let value = match self.ask(&call) {
            Said::Yes(value) => value,
            Said::No(_) => return Ok(None),
            said => return Err(wrong(&call, "an answer", said)),
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
        // Another kind of volume has a folder there only while it is mounted.
        if status.get("type").is_none_or(|kind| kind == "dir") {
            let mode = fs::symlink_metadata(mountpoint).map(|metadata| {
                let is =
                    if metadata.is_dir() { "a folder" } else { "no folder" };
                format!("{is}, {:04o}", metadata.permissions().mode() & 0o7777)
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

    /// Mounts a volume, and returns where.
    ///
    /// # Errors
    /// The plugin is wrong if it does not say.
    pub fn mounted(
        &mut self,
        name: &str,
        id: &str,
    ) -> Result<Mountpoint, Fault> {
        let call = mount(name, id);
        let value = self.must(&call)?;
        match field(&value, "Mountpoint").and_then(Value::as_str) {
            Some(path) => {
                Ok(Mountpoint::new(path, &call.to_string(), &self.root))
            }
            None => Err(wrong(&call, "a Mountpoint", value)),
        }
    }

    /// Compares all there is with all there may be.
    ///
    /// # Errors
    /// The plugin is wrong if something was lost, has come back, or is half.
    pub fn compare(&mut self, allowed: &Allowed) -> Outcome {
        let names = self.names()?;
        if let Some(name) =
            names.iter().find(|name| !allowed.contains_key(*name))
        {
            let expected = "only volumes that somebody has created";
            return Err(wrong(list(), expected, format!("{name}, too")));
        }
        for (name, states) in allowed {
            let seen = self.seen(name)?;
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
                return Err(wrong(get(name), expected, words(&seen)));
            }
        }
        Ok(())
    }
}

/// A Docker beside another one.
#[derive(Debug)]
pub struct Client(Daemon);

impl Client {
    /// It has not connected yet.
    pub fn new(place: &Place) -> Self {
        Self(Daemon::new(&place.socket(), Dialect::default()))
    }

    /// Makes one call.
    pub fn ask(&mut self, call: &Call) -> Said {
        ask(&mut self.0, call)
    }
}

fn ask(daemon: &mut Daemon, call: &Call) -> Said {
    let reply = match daemon.call(call) {
        Ok(reply) => reply,
        Err(no_reply) => return Said::Nothing(no_reply),
    };
    // Whoever is killed may have sent a head, and nothing or half of a body.
    if serde_json::from_slice::<Value>(&reply.body).is_err() {
        return Said::Nothing(NoReply::Dropped);
    }
    match reply.judge() {
        Ok(value) => Said::Yes(value),
        Err(text) => Said::No(text),
    }
}

/// One state of a name: no volume, or one with at least these options. Nobody
/// can see mode and owner of a filesystem that is not mounted.
pub type State = Option<Options>;

/// The states that each name may have; others there must not be.
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

/// One call that changes a volume, as its caller saw it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Before it was sent.
    pub began: Instant,
    /// After its answer was there.
    pub acknowledged: Option<Instant>,
    /// What it makes of the volume.
    pub to: State,
}

/// All that one client did to one volume, one call after the other.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What there was before the first change.
    pub before: State,
    /// In their order.
    pub changes: Vec<Change>,
}

impl History {
    /// What its client takes it for.
    pub fn now(&self) -> &State {
        self.changes.last().map_or(&self.before, |change| &change.to)
    }

    /// What there may have been at some moment between these two.
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

/// Everything below a folder whose path, relative to it, is `wanted`: a path,
/// and what is there.
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
    let (was, is) = (words(before), words(after));
    Some(format!("{}: {was} before, {is} after", path.display()))
}

/// Runs a program of the machine's, which has to succeed.
///
/// # Errors
/// With what it says.
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
