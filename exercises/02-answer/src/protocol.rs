//! The messages between Docker and a volume driver.
//!
//! The names are Docker's. Docker sends JSON without a Content-Type, and reads
//! the first JSON value of a reply, with keys in any case.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::text::excerpt;

/// One call from Docker.
pub enum Call {
    /// The handshake: what kind of plugin is this?
    Activate,
    /// Do volumes exist on one host, or in a whole cluster?
    Capabilities,
    /// `docker volume create`, for a name that `Get` did not find.
    Create(Named),
    /// Docker sends this before nearly every other call.
    Get(Named),
    /// `docker volume ls`
    List,
    /// `docker volume rm`, once no container has the volume.
    Remove(Named),
    /// Part of the protocol, but dockerd never sends it.
    Path(Named),
    /// A container starts.
    Mount(Named),
    /// A container has ended.
    Unmount(Named),
}

/// The arguments of a call that concerns one volume.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// Any text that a user typed: Docker does not check a plugin's names.
    pub name: String,
}

impl Call {
    /// Reads a call. `List` and `Capabilities` have no arguments, so their
    /// bodies are ignored.
    pub fn decode(path: &str, body: &[u8]) -> Result<Self, Failure> {
        match path {
            "/Plugin.Activate" => Ok(Self::Activate),
            // TODO(2.1): turn the path of each call of a volume driver into a
            // `Call`, and every other path into a failure.
            _ => todo!("2.1"),
        }
    }
}

/// Parses the arguments of a call from JSON.
fn arguments<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // TODO(2.2): parse the JSON. Anything else is a bad body, and so is an
    // empty one: after a dropped connection, Docker repeats the request without
    // its body.
    todo!("2.2")
}

/// The reply to a call that succeeded.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
pub enum Reply {
    /// The reply to the handshake. Docker remembers it until dockerd restarts.
    Implements { implements: [&'static str; 1] },
    /// The reply to `Capabilities`.
    Capabilities { capabilities: Scope },
    /// The reply to `List`.
    Volumes { volumes: Vec<String> },
    /// `{}`: success without further data.
    Done {},
}

/// `local`, or `global` for volumes that exist on every node of a swarm.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scope {
    /// Docker ignores case here, and treats unknown values as `local`.
    pub scope: &'static str,
}

/// Why a call failed. Docker shows the text to its user.
pub enum Failure {
    /// No call has this path.
    UnknownCall(String),
    /// The body does not have the shape that this call needs.
    BadBody(String),
    /// An invalid name.
    BadName(String),
    /// The volume was never created, or it was removed.
    NoSuchVolume(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownCall(path) => {
                write!(f, "no call is named {}", excerpt(path))
            }
            Self::BadBody(why) => {
                write!(f, "the request's body: {}", excerpt(why))
            }
            Self::BadName(name) => {
                write!(f, "{}: a name must not contain /", excerpt(name))
            }
            Self::NoSuchVolume(name) => {
                write!(f, "no such volume: {}", excerpt(name))
            }
        }
    }
}

/// The status and the JSON text to send for a call to `path`.
pub fn encode(path: &str, outcome: Result<Reply, Failure>) -> (u16, String) {
    let failure = match outcome {
        Ok(reply) => {
            let text = serde_json::to_string(&reply);
            return (200, text.expect("keys are strings, so JSON can hold it"));
        }
        Err(failure) => failure,
    };
    // TODO(2.3): this is the only place that writes `Err`. Write the failure's
    // text as JSON, and choose a status: to Podman, every 200 is a success.
    // Only for a Get is `no such volume` an answer with status 200.
    todo!("2.3")
}
