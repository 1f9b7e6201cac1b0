//! What travels between Docker and a volume driver, and nothing else.
//!
//! The words are Docker's. It sends them as JSON without a Content-Type, and
//! reads the first JSON value of a reply, its keys in any case.

use std::fmt;

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
    Create(Named),
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

/// The volume that a call is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// Anything a user may type: Docker does not check a plugin's names.
    pub name: String,
}

impl Call {
    /// What a request asks for. `List` and `Capabilities` have no arguments,
    /// so their bodies do not matter.
    pub fn decode(path: &str, body: &[u8]) -> Result<Self, Failure> {
        match path {
            "/Plugin.Activate" => Ok(Self::Activate),
            // TODO(2.1): one line for each call of a volume driver, by the
            // paths in the README; and a failure for every other path.
            _ => todo!("2.1"),
        }
    }
}

/// The arguments of a call, from its JSON.
fn arguments<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // TODO(2.2): read the JSON. What is no JSON of this shape is a bad body, and
    // so is no body at all: after a connection that dropped, Docker repeats
    // its request without one.
    todo!("2.2")
}

/// What a call that succeeded gets.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
pub enum Reply {
    /// To the handshake. Docker remembers it until dockerd restarts.
    Implements { implements: [&'static str; 1] },
    /// To `Capabilities`.
    Capabilities { capabilities: Scope },
    /// To `List`.
    Volumes { volumes: Vec<String> },
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
                write!(f, "{}: no name holds a /", shown(name))
            }
            Self::NoSuchVolume(name) => {
                write!(f, "no such volume: {}", shown(name))
            }
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
    // TODO(2.3): the only place that writes `Err`. Put the failure's words in
    // JSON, and choose a status: Podman takes every 200 for a success, and only
    // to a Get is `no such volume` an answer.
    todo!("2.3")
}
