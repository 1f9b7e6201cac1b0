//! The messages between Docker and a volume driver.
//!
//! The names are Docker's. Docker sends JSON without a Content-Type, and reads
//! the first JSON value of a reply, with keys in any case.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
    Create(Create),
    /// Docker sends this before nearly every other call.
    Get(Named),
    /// `docker volume ls`
    List,
    /// `docker volume rm`, once no container has the volume.
    Remove(Named),
    /// Part of the protocol, but dockerd never sends it.
    Path(Named),
    /// A container starts.
    Mount(Use),
    /// A container has ended.
    Unmount(Use),
}

/// The arguments of `docker volume create`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    /// Any text that a user typed: Docker does not check a plugin's names.
    pub name: String,
    /// One entry for each `-o key=value`. Without options, older clients send
    /// `{}` and newer ones `null`.
    pub opts: Option<Options>,
}

/// A volume's options by their keys; `-o key` alone has an empty value.
pub type Options = BTreeMap<String, String>;

/// The arguments of a call that concerns one volume.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// The name of an existing volume, or an unknown one.
    pub name: String,
}

/// One use of a volume.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Use {
    /// The name of an existing volume, or an unknown one.
    pub name: String,
    /// A Mount and its Unmount have the same ID. `docker cp` sends one more
    /// Mount with the ID of the running container, so one ID may have several
    /// uses.
    #[serde(rename = "ID", default)]
    pub id: String,
}

impl Call {
    /// Reads a call. `List` and `Capabilities` have no arguments, so their
    /// bodies are ignored.
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

/// Parses the arguments of a call from JSON.
fn arguments<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // After a dropped connection, Docker repeats its request without the body.
    // With defaults for missing fields, that would look like a valid call.
    if body.is_empty() {
        return Err(Failure::BadBody("it is empty".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|err| Failure::BadBody(err.to_string()))
}

/// The reply to a call that succeeded.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
pub enum Reply {
    /// The reply to the handshake. Docker remembers it until dockerd restarts.
    Implements { implements: [&'static str; 1] },
    /// The reply to `Capabilities`.
    Capabilities { capabilities: Scope },
    /// The reply to `Get`.
    Volume { volume: Volume },
    /// The reply to `List`. It must hold objects only: a malformed List can
    /// crash dockerd.
    Volumes { volumes: Vec<Listed> },
    /// The reply to `Mount` and `Path`.
    Mountpoint { mountpoint: PathBuf },
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

/// A volume as Docker sees it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Docker uses this name, even if it asked for another one.
    pub name: String,
    /// The directory of its files, as an absolute path. Docker opens it itself.
    pub mountpoint: PathBuf,
    /// In the format of RFC 3339: otherwise Docker reports that there is no
    /// such volume.
    pub created_at: String,
    /// Any details that a driver has; `docker volume inspect` shows them. This
    /// must be an object: otherwise, too, Docker reports that there is no such
    /// volume.
    pub status: Options,
}

/// A volume in a list. Docker sends `Get` for the rest.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// The name under which the volume was created.
    pub name: String,
    /// The same as in the reply to `Get`.
    pub mountpoint: PathBuf,
}

/// Why a call failed. Docker shows the text to its user.
pub enum Failure {
    /// No call has this path.
    UnknownCall(String),
    /// The body does not have the shape that this call needs.
    BadBody(String),
    /// An invalid name of a volume, or an invalid ID of a use.
    BadName(String),
    /// An invalid option: as typed, and what to write instead.
    BadOption(String, String),
    /// Options that cannot go together, in words.
    Conflict(String),
    /// The volume was never created, or it was removed.
    NoSuchVolume(String),
    /// A volume of this name exists with different options: the name, and the
    /// difference.
    OtherOptions(String, String),
    /// Kept files have another type or size: their folder, and its type and
    /// size.
    OtherFiles(PathBuf, String),
    /// The volume is still in use: its name, and by what.
    InUse(String, String),
    /// The system returned an error: the attempted action, and the error.
    System(String, io::Error),
}

/// `^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`, the rule of Docker's own driver, `local`.
/// Docker enforces it for that driver only.
const NAME_RULE: &str =
    "2 to 255 of a-z A-Z 0-9 _ . -, with a letter or a digit first";

impl Failure {
    /// For `map_err`: names the attempted action and the path.
    pub fn system(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        |err| Self::System(what, err)
    }
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
                let name = excerpt(name);
                write!(f, "\"{name}\" is not a valid name: write {NAME_RULE}")
            }
            Self::BadOption(option, cure) => {
                write!(f, "no option {option}: {cure}")
            }
            Self::Conflict(words) => f.write_str(words),
            Self::NoSuchVolume(name) => {
                write!(f, "no such volume: {}", excerpt(name))
            }
            Self::OtherOptions(name, difference) => {
                let (name, difference) = (excerpt(name), excerpt(difference));
                write!(f, "{name} exists with other options: {difference}")
            }
            Self::OtherFiles(path, kind) => {
                let path = path.display();
                write!(f, "files were kept in {path}, with {kind}: ask for ")?;
                f.write_str("the same, or move them away")
            }
            Self::InUse(name, who) => write!(f, "{name} is in use: {who}"),
            Self::System(what, err) => write!(f, "{}: {err}", excerpt(what)),
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
    // The only place that writes `Err`. Podman treats every 200 as success,
    // even with an `Err`, so a refused call gets another status. A refused Get
    // keeps 200: with another status, `podman volume ls` fails as a whole.
    let status = match failure {
        Failure::UnknownCall(_) => 404,
        Failure::BadBody(_) => 400,
        _ if path == "/VolumeDriver.Get" => 200,
        _ => 500,
    };
    (status, json!({ "Err": format!("workshop: {failure}") }).to_string())
}
