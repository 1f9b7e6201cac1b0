//! What travels between Docker and a volume driver, and nothing else.
//!
//! The words are Docker's. It sends them as JSON without a Content-Type, and
//! reads the first JSON value of a reply, its keys in any case.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::text::shown;

/// One call, as Docker means it.
pub enum Call {
    /// The handshake: what kind of plugin is this?
    Activate,
    /// Whether a volume is of one host or of a whole cluster.
    Capabilities,
    /// `docker volume create`, for a name that `Get` did not find.
    Create(Create),
    /// Comes before nearly every other call.
    Get(Named),
    /// `docker volume ls`
    List,
    /// `docker volume rm`, once no container has the volume.
    Remove(Named),
    /// In the protocol, although dockerd never sends it.
    Path(Named),
    /// A container starts.
    Mount(Named),
    /// A container has ended.
    Unmount(Named),
}

/// What `docker volume create` was told.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    /// Anything a user may type: Docker does not check a plugin's names.
    pub name: String,
    /// One for each `-o key=value`. Without any, older clients send `{}` and
    /// newer ones `null`.
    pub opts: Option<Options>,
}

/// A volume's options by their keys; `-o key` alone has an empty value.
pub type Options = BTreeMap<String, String>;

/// The volume that a call is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// As it was created, or not at all.
    pub name: String,
}

impl Call {
    /// What a request asks for. `List` and `Capabilities` have no arguments,
    /// so their bodies do not matter.
    pub fn decode(path: &str, body: &[u8]) -> Result<Self, Failure> {
        match path {
            "/Plugin.Activate" => Ok(Self::Activate),
            "/VolumeDriver.Capabilities" => Ok(Self::Capabilities),
            "/VolumeDriver.Create" => arguments(body).map(Self::Create),
            "/VolumeDriver.Get" => arguments(body).map(Self::Get),
            "/VolumeDriver.List" => Ok(Self::List),
            "/VolumeDriver.Remove" => arguments(body).map(Self::Remove),
            "/VolumeDriver.Path" => arguments(body).map(Self::Path),
            "/VolumeDriver.Mount" => arguments(body).map(Self::Mount),
            "/VolumeDriver.Unmount" => arguments(body).map(Self::Unmount),
            _ => Err(Failure::UnknownCall(path.to_owned())),
        }
    }
}

/// The arguments of a call, from its JSON.
fn arguments<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // After a connection that dropped, Docker repeats its request without the
    // body: whatever has a default here would be taken for a user's wish.
    if body.is_empty() {
        return Err(Failure::BadBody("it is empty".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|err| Failure::BadBody(err.to_string()))
}

/// What a call that succeeded gets.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
pub enum Reply {
    /// To the handshake. Docker remembers it until dockerd restarts.
    Implements { implements: [&'static str; 1] },
    /// To `Capabilities`.
    Capabilities { capabilities: Scope },
    /// To `Get`.
    Volume { volume: Volume },
    /// To `List`. Objects only: a malformed List can end dockerd.
    Volumes { volumes: Vec<Volume> },
    /// To `Mount` and `Path`.
    Mountpoint { mountpoint: PathBuf },
    /// `{}`: it is done, and there is nothing to tell.
    Done {},
}

/// `local`, or `global` for what every node of a swarm sees.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scope {
    /// Docker reads it in any case, and takes what it does not know for local.
    pub scope: &'static str,
}

/// A volume as Docker sees it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Docker believes this name, even if it asked for another one.
    pub name: String,
    /// Where its files are, as an absolute path. Docker looks it up itself.
    pub mountpoint: PathBuf,
}

/// Why a call did not succeed, in words that Docker shows to its user.
pub enum Failure {
    /// No call has this path.
    UnknownCall(String),
    /// The body is not what this call has.
    BadBody(String),
    /// A name that no volume can have.
    BadName(String),
    /// A volume that was never created, or is removed.
    NoSuchVolume(String),
    /// A volume of this name has other options: the name, and what differs.
    OtherOptions(String, String),
    /// The system did not let us: what was tried, and its words.
    System(String, io::Error),
}

impl Failure {
    /// For `map_err`: says what was tried with which path.
    pub fn system(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        |err| Self::System(what, err)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownCall(path) => {
                write!(f, "no call is named {}", shown(path))
            }
            Self::BadBody(why) => {
                write!(f, "the request's body: {}", shown(why))
            }
            Self::BadName(name) => {
                let name = shown(name);
                write!(f, "\"{name}\" cannot be the name of one directory")
            }
            Self::NoSuchVolume(name) => {
                write!(f, "no such volume: {}", shown(name))
            }
            Self::OtherOptions(name, difference) => {
                let (name, difference) = (shown(name), shown(difference));
                write!(f, "{name} exists with other options: {difference}")
            }
            Self::System(what, err) => write!(f, "{}: {err}", shown(what)),
        }
    }
}

/// What goes back on the wire for a call to `path`: a status, and a JSON value.
pub fn encode(path: &str, outcome: Result<Reply, Failure>) -> (u16, String) {
    let failure = match outcome {
        Ok(reply) => {
            let text = serde_json::to_string(&reply);
            return (200, text.expect("keys are strings, so JSON can say it"));
        }
        Err(failure) => failure,
    };
    // The only place that writes `Err`. Podman takes every 200 for a success,
    // whatever `Err` says, so a refused call gets another status. A refused Get
    // is an answer: with another status, `podman volume ls` fails as a whole.
    let status = match failure {
        Failure::UnknownCall(_) => 404,
        Failure::BadBody(_) => 400,
        _ if path == "/VolumeDriver.Get" => 200,
        _ => 500,
    };
    (status, json!({ "Err": format!("workshop: {failure}") }).to_string())
}
