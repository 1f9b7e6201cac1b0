//! Docker's half of the wire, and Podman's.
//!
//! Requests are byte for byte those that dockerd sends on a Unix socket, and
//! replies are read as dockerd reads them. Sources: conversations captured from
//! dockerd 20.10.24, 26.1.5 and 28.5.2, and moby `pkg/plugins/client.go`;
//! conversations captured from Podman 4.3.1, and its
//! `libpod/plugin/volume_api.go`.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::PATIENCE;

/// The engine that is played: a version of dockerd, or Podman.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// dockerd 20.10.24, as in Debian 12.
    V20_10,
    /// dockerd 26.1.5, as in Debian 13.
    V26_1,
    /// dockerd 28.5.2.
    #[default]
    V28_5,
    /// Podman 4.3.1, as in Debian 12. Podman 5.4 and 5.8 send the same.
    Podman,
}

impl Dialect {
    /// All engines: the versions of dockerd, oldest first, and Podman.
    pub const ALL: [Self; 4] =
        [Self::V20_10, Self::V26_1, Self::V28_5, Self::Podman];

    /// The name of the engine in `ENGINE=`: a version as Docker writes it,
    /// `28.5` for example, or `podman`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V20_10 => "20.10",
            Self::V26_1 => "26.1",
            Self::V28_5 => "28.5",
            Self::Podman => "podman",
        }
    }

    /// The `Host` header. It was empty until Go refused to send an empty one.
    fn host(self) -> &'static str {
        match self {
            Self::V20_10 => "",
            Self::V26_1 | Self::V28_5 => "plugin.moby.localhost",
            Self::Podman => "plugin",
        }
    }

    /// The header that only this kind of engine sends.
    fn header(self) -> &'static str {
        match self {
            Self::Podman => {
                "Content-Type: application/vnd.docker.plugins.v1.1+json"
            }
            _ => "Accept: application/vnd.docker.plugins.v1.2+json",
        }
    }
}

/// The ID that Podman sends for every use of every volume.
const PODMANS_ID: &str =
    "2f73349cfc4630255319c6c8dfc1b46a8996ace9d14d8e07563b165915918ec2";

/// One call, as dockerd makes it.
#[derive(Clone, Debug)]
pub struct Call {
    /// `VolumeDriver.Create`, for example.
    pub method: &'static str,
    /// The JSON that dockerd sends, without the final newline. It is empty for
    /// a call without a body.
    pub body: String,
}

impl Call {
    /// A call without a body, as `Plugin.Activate` is.
    pub fn bare(method: &'static str) -> Self {
        Self { method, body: String::new() }
    }

    /// A call whose body is an object with these keys, in this order: the order
    /// of the fields in Docker's structs.
    pub fn new(method: &'static str, fields: &[(&str, Value)]) -> Self {
        let fields: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("{}:{value}", Value::from(*key)))
            .collect();
        Self { method, body: go_escaped(&format!("{{{}}}", fields.join(","))) }
    }

    /// `docker volume create`, with the options as an object or null.
    pub fn create(name: &str, options: Value) -> Self {
        let fields = [("Name", name.into()), ("Opts", options)];
        Self::new("VolumeDriver.Create", &fields)
    }

    /// `docker volume rm`.
    pub fn remove(name: &str) -> Self {
        Self::new("VolumeDriver.Remove", &[("Name", name.into())])
    }

    /// `docker volume inspect`.
    pub fn get(name: &str) -> Self {
        Self::new("VolumeDriver.Get", &[("Name", name.into())])
    }

    /// `docker volume ls`.
    pub fn list() -> Self {
        Self::new("VolumeDriver.List", &[])
    }

    /// Asks where a volume is mounted.
    pub fn path(name: &str) -> Self {
        Self::new("VolumeDriver.Path", &[("Name", name.into())])
    }

    /// A container starts that uses the volume; `id` is a name for this use.
    pub fn mount(name: &str, id: &str) -> Self {
        let fields = [("Name", name.into()), ("ID", id.into())];
        Self::new("VolumeDriver.Mount", &fields)
    }

    /// The container of that use has ended.
    pub fn unmount(name: &str, id: &str) -> Self {
        let fields = [("Name", name.into()), ("ID", id.into())];
        Self::new("VolumeDriver.Unmount", &fields)
    }

    /// The same call as `dialect` makes it.
    #[must_use]
    pub(crate) fn made_by(&self, dialect: Dialect) -> Self {
        if dialect != Dialect::Podman {
            return self.clone();
        }
        let body = self.body.as_str();
        let body = match self.method {
            "VolumeDriver.List" => String::new(),
            "VolumeDriver.Create" => {
                body.replace(r#","Opts":null"#, "").replace(r#","Opts":{}"#, "")
            }
            "VolumeDriver.Mount" | "VolumeDriver.Unmount" => {
                const ID: &str = r#","ID":""#;
                match body.rfind(ID) {
                    Some(at) => format!("{}{ID}{PODMANS_ID}\"}}", &body[..at]),
                    None => body.to_owned(),
                }
            }
            _ => body.to_owned(),
        };
        Self { method: self.method, body }
    }

    /// The whole request, as bytes.
    pub fn request(&self, dialect: Dialect) -> Vec<u8> {
        self.request_to(dialect, dialect.host(), "")
    }

    /// The bytes that dockerd sends over TCP, to `address` as `HOST:PORT`.
    pub(crate) fn request_over_tcp(
        &self,
        dialect: Dialect,
        address: &str,
    ) -> Vec<u8> {
        // Go accepts compressed replies over TCP alone.
        self.request_to(dialect, address, "Accept-Encoding: gzip\r\n")
    }

    /// The request with this `Host`, and with one more header or none.
    fn request_to(&self, dialect: Dialect, host: &str, more: &str) -> Vec<u8> {
        let Self { method, body } = self.made_by(dialect);
        // Go's encoder ends each value with a newline, which is part of the
        // length. Podman does not use that encoder.
        let end = match dialect {
            Dialect::Podman => "",
            _ if body.is_empty() => "",
            _ => "\n",
        };
        format!(
            "POST /{method} HTTP/1.1\r\n\
             Host: {host}\r\n\
             User-Agent: Go-http-client/1.1\r\n\
             Content-Length: {}\r\n\
             {}\r\n{more}\r\n\
             {body}{end}",
            body.len() + end.len(),
            dialect.header(),
        )
        .into_bytes()
    }

    /// The name of the volume in the body.
    fn volume(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get("Name")?.as_str()?.to_owned())
    }
}

/// The bytes of a request that neither dockerd nor Podman sends, with these headers
/// besides `Host` and, if there is a body, its length.
pub fn request(
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Vec<u8> {
    let mut lines =
        vec![format!("{method} {path} HTTP/1.1"), "Host: workshop".to_owned()];
    lines.extend(headers.iter().map(|header| String::from(*header)));
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.body.as_str() {
            "" => write!(f, "POST /{}, no body", self.method),
            body => write!(f, "POST /{} {}", self.method, clip(body)),
        }
    }
}

/// Go's encoder escapes these five characters. In JSON, they occur in strings
/// only.
fn go_escaped(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// An HTTP reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, without its transfer encoding.
    pub body: Vec<u8>,
    /// Whether the connection can carry another call.
    keeps: bool,
    /// The method that Podman called; `None` for a reply to Docker.
    to_podman: Option<&'static str>,
}

impl Reply {
    /// The same reply, as one to a call of `method` by `dialect`.
    #[must_use]
    pub fn to(self, dialect: Dialect, method: &'static str) -> Self {
        let is_podman = dialect == Dialect::Podman;
        Self { to_podman: is_podman.then_some(method), ..self }
    }

    /// The value of a success, or the text that Docker would show for a
    /// failure. A reply to Podman is read as Podman reads it.
    ///
    /// # Errors
    /// A status other than 200, a body that is not JSON, or a non-empty `Err`.
    pub fn judge(&self) -> Result<Value, String> {
        match self.to_podman {
            Some(method) => self.judge_as_podman(method),
            None => self.judge_as_docker(),
        }
    }

    /// Podman takes every 200 for a success, and reads the whole body as JSON.
    fn judge_as_podman(&self, method: &str) -> Result<Value, String> {
        let value = serde_json::from_slice::<Value>(&self.body)
            .map_err(|err| format!("not JSON: {err}"));
        if self.status != 200 {
            return Err(match field(&value?, "Err") {
                Some(Value::String(err)) if !err.is_empty() => err.clone(),
                _ => "empty error from plugin".to_owned(),
            });
        }
        match (method, value) {
            // Podman does not read the bodies of these replies.
            (
                "VolumeDriver.Create"
                | "VolumeDriver.Remove"
                | "VolumeDriver.Unmount",
                value,
            ) => Ok(value.unwrap_or_default()),
            // This is a success as well, but Podman has found no volume.
            ("VolumeDriver.Get", Ok(value))
                if field(&value, "Volume").is_none_or(Value::is_null) =>
            {
                match field(&value, "Err") {
                    Some(Value::String(err)) => Err(err.clone()),
                    _ => Err("no such volume".to_owned()),
                }
            }
            (_, Ok(value @ (Value::Null | Value::Object(_)))) => Ok(value),
            (_, Ok(_)) => {
                Err("not JSON of the shape that Podman reads".to_owned())
            }
            (_, Err(why)) => Err(why),
        }
    }

    fn judge_as_docker(&self) -> Result<Value, String> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        // Docker reads the first JSON value and ignores the rest.
        let mut values = serde_json::Deserializer::from_slice(&self.body)
            .into_iter::<Value>();
        let value = values.next();
        if self.status != 200 {
            return Err(match value {
                Some(Ok(value)) => match field(&value, "Err") {
                    Some(Value::String(err)) if !err.is_empty() => err.clone(),
                    _ => text(),
                },
                _ => text(),
            });
        }
        let value = match value {
            Some(Ok(value)) => value,
            Some(Err(err)) => return Err(format!("not JSON: {err}")),
            None => return Err("EOF (the body is empty)".to_owned()),
        };
        match (&value, field(&value, "Err")) {
            (Value::Null, _) => Ok(value),
            (Value::Object(_), None | Some(Value::Null)) => Ok(value),
            (_, Some(Value::String(err))) if err.is_empty() => Ok(value),
            (_, Some(Value::String(err))) => Err(err.clone()),
            _ => Err("not JSON of the shape that Docker reads".to_owned()),
        }
    }
}

/// The keys of all replies that Docker reads, besides `Err`.
const KEYS: [&str; 5] =
    ["Implements", "Capabilities", "Volume", "Volumes", "Mountpoint"];

impl Reply {
    /// Why Docker cannot take the reply for a success, whatever its text says;
    /// `None` if it can, or if the plugin has sent an error on purpose.
    pub(crate) fn misshapen(&self) -> Option<String> {
        match self.status {
            200 => match self.judge() {
                Err(why) if self.err().is_none() => Some(why),
                _ => None,
            },
            201..=299 => {
                Some("every status but 200 means a failure".to_owned())
            }
            _ => None,
        }
    }

    /// Why there is no `Err` in the reply; `None` if there is one, or if the reply
    /// is a success on purpose.
    pub(crate) fn without_err(&self) -> Option<String> {
        let value = match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => value,
            Err(_) if self.body.is_empty() => {
                return Some("the body is empty".to_owned());
            }
            Err(err) => return Some(format!("not JSON: {err}")),
        };
        let Some(object) = value.as_object() else {
            return Some("not a JSON object".to_owned());
        };
        let is_known = |key: &String| {
            let is = |known: &str| known.eq_ignore_ascii_case(key);
            is("Err") || KEYS.into_iter().any(is)
        };
        if object.is_empty() || object.keys().any(is_known) {
            return None;
        }
        let keys: Vec<_> =
            object.keys().map(|key| format!("\"{key}\"")).collect();
        Some(format!("no \"Err\", but {}", keys.join(", ")))
    }

    /// The text of `Err`.
    fn err(&self) -> Option<String> {
        let value = serde_json::from_slice::<Value>(&self.body).ok()?;
        Some(field(&value, "Err")?.as_str()?.to_owned())
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {}", self.status, body.trim_end())
    }
}

/// The field that Go's decoder would use: it ignores the case of letters.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        let mut found = object.iter();
        found
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// One line of at most 200 characters, for a report.
pub fn clip(text: &str) -> String {
    one_line(text, 200)
}

/// One line of at most `most` characters. A longer text ends with `…` and its
/// length. Control characters and invisible characters are escaped, so that the
/// text cannot control a terminal.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars().take(most) {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            '"' | '\'' | '\\' => line.push(c),
            c => line.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(most).is_some() {
        line.push_str(&format!("… ({} bytes)", text.len()));
    }
    line
}

/// The reason why there is no reply. dockerd takes all of these for a transport
/// failure and tries again after 1, 2, 4 and 8 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// No connection could be made.
    Unreachable(String),
    /// The plugin closed the connection before the end of its reply.
    Dropped,
    /// No complete reply came within this time.
    Silent(Duration),
    /// The plugin sent bytes that are not HTTP.
    NotHttp(String),
    /// The reply is longer than 64 MiB.
    TooLong,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no connection ({why})"),
            Self::Dropped => write!(f, "a connection closed without an answer"),
            Self::Silent(patience) => {
                write!(f, "no answer within {} s", patience.as_secs())
            }
            Self::NotHttp(text) => write!(f, "not HTTP: {}", clip(text)),
            Self::TooLong => {
                write!(f, "a reply of more than {} MiB", LONGEST >> 20)
            }
        }
    }
}

/// One dockerd or Podman, as a plugin sees it.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    dialect: Dialect,
    /// The idle connection. dockerd keeps several; for one call at a time, one
    /// is enough.
    idle: Option<UnixStream>,
    /// The number of Podman's uses of each volume, and the reply to its Mount.
    in_use: HashMap<String, (usize, Reply)>,
    /// The method of Podman's last call.
    last: Option<&'static str>,
}

impl Daemon {
    /// A daemon for the plugin on `socket`. It connects at the first call.
    pub fn new(socket: &Path, dialect: Dialect) -> Self {
        let (socket, in_use) = (socket.to_owned(), HashMap::new());
        Self { socket, dialect, idle: None, in_use, last: None }
    }

    /// Makes one call, without dockerd's retries. If Podman would not send the
    /// call, neither does this: it returns the reply that Podman works with.
    ///
    /// # Errors
    /// When there is no reply, see [`NoReply`].
    pub fn call(&mut self, call: &Call) -> Result<Reply, NoReply> {
        if self.dialect != Dialect::Podman {
            return self.make(call);
        }
        match (call.method, call.volume()) {
            ("VolumeDriver.Mount", Some(volume)) => self.mount(call, volume),
            ("VolumeDriver.Unmount", Some(volume)) => {
                self.unmount(call, &volume)
            }
            _ => self.command(call),
        }
    }

    /// Makes the call of `podman volume unmount`, which ignores how many uses
    /// Podman has counted.
    ///
    /// # Errors
    /// When there is no reply, see [`NoReply`].
    pub fn volume_unmount(&mut self, call: &Call) -> Result<Reply, NoReply> {
        if let Some(volume) = call.volume() {
            self.in_use.remove(&volume);
        }
        self.command(call)
    }

    /// Podman mounts a volume at its first use, and only counts the other uses.
    fn mount(&mut self, call: &Call, volume: String) -> Result<Reply, NoReply> {
        if let Some((uses, reply)) = self.in_use.get_mut(&volume) {
            *uses += 1;
            return Ok(reply.clone());
        }
        let reply = self.command(call)?;
        if reply.judge().is_ok() {
            self.in_use.insert(volume, (1, reply.clone()));
        }
        Ok(reply)
    }

    /// Podman unmounts after the last use. If that fails or takes too long,
    /// Podman believes that the volume is still mounted.
    fn unmount(&mut self, call: &Call, volume: &str) -> Result<Reply, NoReply> {
        let done = Reply {
            status: 200,
            body: b"{}".to_vec(),
            keeps: false,
            to_podman: Some(call.method),
        };
        match self.in_use.get_mut(volume) {
            None => return Ok(done),
            Some((uses, _)) if *uses > 1 => {
                *uses -= 1;
                return Ok(done);
            }
            Some(_) => {}
        }
        let reply = self.command(call)?;
        if reply.judge().is_ok() {
            self.in_use.remove(volume);
        }
        Ok(reply)
    }

    /// Each Podman command is a process, which makes a handshake first. `podman
    /// volume create` sends Get and Create in one process.
    fn command(&mut self, call: &Call) -> Result<Reply, NoReply> {
        const ACTIVATE: &str = "Plugin.Activate";
        let is_new = match (self.last.replace(call.method), call.method) {
            (_, ACTIVATE) => true,
            (Some(ACTIVATE), _) => false,
            (Some("VolumeDriver.Get"), "VolumeDriver.Create") => false,
            _ => true,
        };
        if is_new {
            self.idle = None;
        }
        if is_new && call.method != ACTIVATE {
            let reply = self.make(&Call::bare(ACTIVATE))?;
            if reply.judge().is_err() {
                return Ok(reply);
            }
        }
        self.make(call)
    }

    fn make(&mut self, call: &Call) -> Result<Reply, NoReply> {
        Ok(self.exchange(call)?.to(self.dialect, call.method))
    }

    fn exchange(&mut self, call: &Call) -> Result<Reply, NoReply> {
        let request = call.request(self.dialect);
        if let Some(kept) = self.idle.take() {
            // If the plugin has closed the idle connection, dockerd replaces it
            // at once, and sends the whole request again (capture
            // activate-cached 4).
            if let Ok(reply) = self.send(kept, &request) {
                return Ok(reply);
            }
        }
        let fresh = self.connect()?;
        self.send(fresh, &request)
    }

    /// The played engine.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A new connection, for clients that are not Docker.
    ///
    /// # Errors
    /// [`NoReply::Unreachable`], when no connection can be made.
    pub(crate) fn connect(&self) -> Result<UnixStream, NoReply> {
        UnixStream::connect(&self.socket)
            .map_err(|err| NoReply::Unreachable(err.to_string()))
    }

    fn send(
        &mut self,
        mut connection: UnixStream,
        request: &[u8],
    ) -> Result<Reply, NoReply> {
        // A plugin may answer and close the connection before it has read
        // everything.
        let _ = connection.set_write_timeout(Some(PATIENCE));
        let _ = connection.write_all(request);
        let reply = read_reply(&mut connection, PATIENCE)?;
        if reply.keeps {
            self.idle = Some(connection);
        }
        Ok(reply)
    }
}

/// The longest reply that is read, in bytes. dockerd has no known limit: 50 MB
/// were accepted (plugin-huge 2).
const LONGEST: usize = 64 << 20;

/// A connection to a plugin.
pub trait Connection: Read + Write {
    /// Sets the time-out of the reads that follow.
    fn read_within(&self, time: Duration) -> io::Result<()>;
}

impl Connection for UnixStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Connection for TcpStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

/// Reads one complete reply, within `patience`.
///
/// # Errors
/// When no complete reply arrives, see [`NoReply`].
pub fn read_reply(
    connection: &mut dyn Connection,
    patience: Duration,
) -> Result<Reply, NoReply> {
    Wire::new(connection, patience).reply()
}

/// Reads the replies to requests that were sent without waiting.
///
/// # Errors
/// When they do not all arrive within `patience`, see [`NoReply`].
pub(crate) fn read_replies(
    connection: &mut dyn Connection,
    count: usize,
    patience: Duration,
) -> Result<Vec<Reply>, NoReply> {
    let mut wire = Wire::new(connection, patience);
    (0..count).map(|_| wire.reply()).collect()
}

/// Reads the head of a reply, and leaves the body empty: if a plugin refuses a
/// request before its end, the end of the reply may never come.
///
/// # Errors
/// When no complete head arrives within `patience`, see [`NoReply`].
pub(crate) fn read_head(
    connection: &mut dyn Connection,
    patience: Duration,
) -> Result<Reply, NoReply> {
    let (status, _) = Wire::new(connection, patience).head()?;
    Ok(Reply { status, body: Vec::new(), keeps: false, to_podman: None })
}

/// How the end of a body is found.
struct Framing {
    chunked: bool,
    length: Option<usize>,
    close: bool,
}

impl Framing {
    /// As Go's net/http reads a head, which dockerd and Podman use.
    fn of(head: &httparse::Response) -> Result<Self, NoReply> {
        let all = |name: &str| {
            let headers = head.headers.iter();
            let mut values: Vec<_> = headers
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| String::from_utf8_lossy(header.value))
                .map(|value| value.trim_matches([' ', '\t']).to_owned())
                .collect();
            // The same value twice is one value.
            values.dedup();
            values
        };
        let bad = |name: &str, values: &[String]| {
            let values = values.join(", ");
            Err(NoReply::NotHttp(format!("{name}: {values}")))
        };
        let is_old = head.version == Some(0);
        let has_no_body = matches!(head.code, Some(100..=199 | 204 | 304));
        let close = all("Connection")
            .first()
            .map_or(is_old, |value| value.eq_ignore_ascii_case("close"));
        const CODING: &str = "Transfer-Encoding";
        let chunked = match &all(CODING)[..] {
            // HTTP/1.0 has no such header.
            _ if is_old || has_no_body => false,
            [] => false,
            [coding] if coding.eq_ignore_ascii_case("chunked") => true,
            codings => return bad(CODING, codings),
        };
        const LENGTH: &str = "Content-Length";
        let is_number =
            |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
        let length = match &all(LENGTH)[..] {
            _ if has_no_body => Some(0),
            [] => None,
            [length] if length.is_empty() => None,
            [digits] if is_number(digits) => {
                Some(digits.parse().unwrap_or(usize::MAX))
            }
            lengths => return bad(LENGTH, lengths),
        };
        Ok(Self { chunked, length, close })
    }

    /// The body, and whether the connection can carry another reply.
    fn body(&self, wire: &mut Wire) -> Result<(Vec<u8>, bool), NoReply> {
        if self.chunked {
            return Ok((wire.chunks()?, !self.close));
        }
        let Some(length) = self.length else {
            while wire.more()? {}
            return Ok((std::mem::take(&mut wire.bytes), false));
        };
        while wire.bytes.len() < length {
            if !wire.more()? {
                // The length is too large and the connection closed: Docker
                // accepts that if the JSON is complete (raw capture wshort).
                return Ok((std::mem::take(&mut wire.bytes), false));
            }
        }
        Ok((wire.bytes.drain(..length).collect(), !self.close))
    }
}

/// A connection that is read, up to a deadline.
struct Wire<'a> {
    connection: &'a mut dyn Connection,
    deadline: Instant,
    patience: Duration,
    bytes: Vec<u8>,
}

impl<'a> Wire<'a> {
    fn new(connection: &'a mut dyn Connection, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self { connection, deadline, patience, bytes: Vec::new() }
    }

    fn reply(&mut self) -> Result<Reply, NoReply> {
        let (status, framing) = self.head()?;
        let (body, keeps) = framing.body(self)?;
        Ok(Reply { status, body, keeps, to_podman: None })
    }

    /// Reads the head: the status, and how the body ends.
    fn head(&mut self) -> Result<(u16, Framing), NoReply> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            match head.parse(&self.bytes) {
                Err(_) => {
                    let text = String::from_utf8_lossy(&self.bytes);
                    return Err(NoReply::NotHttp(text.into_owned()));
                }
                Ok(httparse::Status::Partial) => {
                    if !self.more()? {
                        return Err(NoReply::Dropped);
                    }
                }
                Ok(httparse::Status::Complete(length)) => {
                    let status = head.code.unwrap_or_default();
                    let framing = Framing::of(&head)?;
                    self.bytes.drain(..length);
                    // Others announce the reply that follows.
                    if !matches!(status, 100 | 102..=199) {
                        return Ok((status, framing));
                    }
                }
            }
        }
    }

    /// Reads more bytes. Returns false at the end of the connection.
    fn more(&mut self) -> Result<bool, NoReply> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoReply::Silent(self.patience));
        }
        if self.bytes.len() > LONGEST {
            return Err(NoReply::TooLong);
        }
        // `left` is not zero here; a time-out of zero would be an error.
        let _ = self.connection.read_within(left);
        let mut buffer = [0; 16 * 1024];
        match self.connection.read(&mut buffer) {
            Ok(count) => {
                self.bytes.extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => Ok(true),
            Err(err) if is_timeout(&err) => Err(NoReply::Silent(self.patience)),
            Err(_) => Ok(false),
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, NoReply> {
        let mut body = Vec::new();
        loop {
            if body.len() > LONGEST {
                return Err(NoReply::TooLong);
            }
            let is_hex = self.bytes.first().is_none_or(u8::is_ascii_hexdigit);
            match httparse::parse_chunk_size(&self.bytes) {
                Ok(httparse::Status::Complete((start, size))) if is_hex => {
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    if size > LONGEST {
                        return Err(NoReply::TooLong);
                    }
                    let end = start + size + if size == 0 { 0 } else { 2 };
                    while self.bytes.len() < end {
                        if !self.more()? {
                            return Err(NoReply::Dropped);
                        }
                    }
                    if size == 0 {
                        self.bytes.drain(..start);
                        self.trailers()?;
                        return Ok(body);
                    }
                    if self.bytes[start + size..end] != *b"\r\n" {
                        return Err(NoReply::NotHttp("a bad chunk".into()));
                    }
                    body.extend_from_slice(&self.bytes[start..start + size]);
                    self.bytes.drain(..end);
                }
                Ok(httparse::Status::Partial) => {
                    if !self.more()? {
                        return Err(NoReply::Dropped);
                    }
                }
                _ => return Err(NoReply::NotHttp("a bad chunk".into())),
            }
        }
    }

    /// Reads what follows the last chunk: headers, most often none.
    fn trailers(&mut self) -> Result<(), NoReply> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            match httparse::parse_headers(&self.bytes, &mut headers) {
                Ok(httparse::Status::Complete((end, _))) => {
                    self.bytes.drain(..end);
                    return Ok(());
                }
                Ok(httparse::Status::Partial) => {
                    if !self.more()? {
                        return Err(NoReply::Dropped);
                    }
                }
                Err(_) => return Err(NoReply::NotHttp("a bad trailer".into())),
            }
        }
    }
}

/// Whether a read or a write has reached its time-out.
pub(crate) fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_with_the_form_of_a_reply() {
        let reply = |status, body: &str| Reply {
            status,
            body: body.as_bytes().to_vec(),
            keeps: false,
            to_podman: None,
        };
        const NO_JSON: &str = "not JSON: expected value at line 1 column 1";
        const EMPTY: &str = "EOF (the body is empty)";
        const SHAPE: &str = "not JSON of the shape that Docker reads";
        const STATUS: &str = "every status but 200 means a failure";
        for (status, body, success, failure) in [
            (200, "{}", None, None),
            (200, r#"{"Volume":{}}"#, None, None),
            (200, r#"{"Err":"no"}"#, None, None),
            (200, "hello", Some(NO_JSON), Some(NO_JSON)),
            (200, "", Some(EMPTY), Some("the body is empty")),
            (200, "[]", Some(SHAPE), Some("not a JSON object")),
            (201, r#"{"Implements":[]}"#, Some(STATUS), None),
            (500, r#"{"Err":"no"}"#, None, None),
            (500, "hello", None, Some(NO_JSON)),
            (500, r#"{"Error":"no"}"#, None, Some(r#"no "Err", but "Error""#)),
        ] {
            let reply = reply(status, body);
            assert_eq!(reply.misshapen().as_deref(), success, "{reply}");
            assert_eq!(reply.without_err().as_deref(), failure, "{reply}");
        }
    }

    #[test]
    fn a_request_over_tcp_is_that_of_dockerd() {
        // From the raw capture wtcp.
        let call = Call::create("w-wtcp", Value::Null);
        let bytes = call.request_over_tcp(Dialect::V20_10, "127.0.0.1:9301");
        let expected = "POST /VolumeDriver.Create HTTP/1.1\r\n\
             Host: 127.0.0.1:9301\r\n\
             User-Agent: Go-http-client/1.1\r\n\
             Content-Length: 30\r\n\
             Accept: application/vnd.docker.plugins.v1.2+json\r\n\
             Accept-Encoding: gzip\r\n\r\n\
             {\"Name\":\"w-wtcp\",\"Opts\":null}\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
