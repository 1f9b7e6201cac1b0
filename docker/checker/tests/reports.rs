//! Tests of the checks: for each check there is a wrong plugin that fails this check
//! and no other, and the report is the recorded one.
//!
//! A wrong plugin is a solution with one mistake of the kind that learners make.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use checker::starters;
use stand_in::checks::{self, Plan, Stop};
use stand_in::daemon::Dialect;
use stand_in::mounts;
use stand_in::root::BELOW_ROOT;
use stand_in::steps::{self, Kind};

use common::{
    Failed, Outcome, Workspace, differs_from_record, failures, outcome, root,
    side_by_side,
};

/// One mistake in a solution.
struct Wrong {
    /// The one check that must fail.
    check: &'static str,
    /// The mistake, as a sentence.
    what: &'static str,
    /// The step of the solution.
    step: u32,
    file: &'static str,
    /// The right text, which the file has once.
    right: &'static str,
    wrong: &'static str,
    /// More files, right and wrong texts.
    more: &'static [(&'static str, &'static str, &'static str)],
}

static WRONG: &[Wrong] = &[
    Wrong {
        check: "1.activate",
        what: "the plugin writes the value in lower case",
        step: 1,
        file: "src/main.rs",
        right: r#"{"Implements":["VolumeDriver"]}"#,
        wrong: r#"{"Implements":["volumedriver"]}"#,
        more: &[],
    },
    Wrong {
        check: "1.stale-socket",
        what: "the plugin tests for an error that bind does not return",
        step: 1,
        file: "src/socket.rs",
        right: "Err(err) if err.kind() == ErrorKind::AddrInUse =>",
        wrong: "Err(err) if err.kind() == ErrorKind::AlreadyExists =>",
        more: &[],
    },
    Wrong {
        check: "1.live-socket",
        what: "the plugin removes a socket on which another one answers",
        step: 1,
        file: "src/socket.rs",
        right: r#"Ok(_) => bail!("a running plugin answers on {path}: stop it first"),"#,
        wrong: "Ok(_) => Ok(fs::remove_file(socket)?),",
        more: &[],
    },
    Wrong {
        check: "1.race",
        what: "the plugin tests, removes and binds without a lock",
        step: 1,
        file: "src/socket.rs",
        right: "    let _turn = turn::take(socket)?;\n",
        wrong: "    drop(turn::take(socket)?);\n",
        more: &[],
    },
    Wrong {
        check: "1.not-a-socket",
        what: "the plugin removes anything that does not answer",
        step: 1,
        file: "src/socket.rs",
        right: "if !fs::symlink_metadata(socket)?.file_type().is_socket() {",
        wrong: "if fs::symlink_metadata(socket)?.file_type().is_dir() {",
        more: &[],
    },
    Wrong {
        check: "1.private-socket",
        what: "every user may write to the socket",
        step: 1,
        file: "src/socket.rs",
        right: "Permissions::from_mode(0o600)",
        wrong: "Permissions::from_mode(0o666)",
        more: &[],
    },
    Wrong {
        check: "1.again",
        what: "the plugin refuses a second handshake",
        step: 1,
        file: "src/main.rs",
        right: "    match path {\n",
        wrong: r#"
    use std::sync::atomic::{AtomicBool, Ordering};
    static ASKED: AtomicBool = AtomicBool::new(false);
    match path {
        "/Plugin.Activate" if ASKED.swap(true, Ordering::Relaxed) => {
            (409, "workshop: it is activated already".to_owned())
        }
"#,
        more: &[],
    },
    Wrong {
        check: "1.unknown-call",
        what: "the plugin answers 200 to an unknown call",
        step: 1,
        file: "src/main.rs",
        right: r#"(404, format!("workshop: no call is named {path}"))"#,
        wrong: r#"(200, if path.is_empty() { "" } else { "{}" }.to_owned())"#,
        more: &[],
    },
    Wrong {
        check: "1.short-text",
        what: "the plugin repeats any path in full",
        step: 1,
        file: "src/main.rs",
        right: "            let path = text::excerpt(path);\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "1.get",
        what: "the plugin panics at any method other than POST",
        step: 1,
        file: "src/server.rs",
        right: r#"_ => refuse(405, "Docker sends only POST".to_owned()),"#,
        wrong: r#"other => unreachable!("Docker sends POST, not {other}"),"#,
        more: &[],
    },
    Wrong {
        check: "1.long-body",
        what: "the plugin panics at a long body",
        step: 1,
        file: "src/server.rs",
        right: r#"refuse(413, format!("no call has over {LONGEST_BODY} bytes"))"#,
        wrong: r#"panic!("no call has over {LONGEST_BODY} bytes")"#,
        more: &[],
    },
    Wrong {
        check: "1.long-length",
        what: "the plugin has no limit for Content-Length",
        step: 1,
        file: "src/server.rs",
        right: "const LONGEST_PROMISE: usize = 64 << 20;",
        wrong: "const LONGEST_PROMISE: usize = usize::MAX;",
        more: &[],
    },
    Wrong {
        check: "1.connection",
        what: "the plugin refuses a few values of Connection, and accepts all others",
        step: 1,
        file: "src/server.rs",
        right: r#"
        let known = |word: &str| ["keep-alive", "close"].contains(&word.trim());
        header.field.equiv("Connection") && !value.split(',').all(known)
"#,
        wrong: r#"
        let known = |word: &str| ["kettle", "samovar"].contains(&word.trim());
        header.field.equiv("Connection") && value.split(',').any(known)
"#,
        more: &[],
    },
    Wrong {
        check: "1.connection",
        what: "the plugin accepts values of Connection in lower case only",
        step: 1,
        file: "src/server.rs",
        right: "header.value.as_str().to_ascii_lowercase()",
        wrong: "header.value.as_str()",
        more: &[],
    },
    Wrong {
        check: "1.hang-up",
        what: "the plugin trusts Content-Length",
        step: 1,
        file: "src/server.rs",
        right: "Method::Post => Ok(body),",
        wrong: "Method::Post => {
            assert_eq!(request.body_length(), Some(body.len()));
            Ok(body)
        }",
        more: &[],
    },
    Wrong {
        check: "1.few-files",
        what: "the plugin ignores the error after which tiny_http accepts no connection",
        step: 1,
        file: "src/server.rs",
        right: r#"let request = server.recv().context("accepting connections")?;"#,
        wrong: "let Ok(request) = server.recv() else { continue };",
        more: &[],
    },
    Wrong {
        check: "1.few-files",
        what: "the plugin keeps running when a thread of tiny_http panics",
        step: 1,
        file: "src/server.rs",
        right: "if thread::current().name().is_none() {",
        wrong: "if thread::current().name() == Some(\"accept\") {",
        more: &[],
    },
    Wrong {
        check: "2.create",
        what: "the plugin refuses null as options",
        step: 2,
        file: "src/protocol.rs",
        right: "pub struct Named {\n",
        wrong: "pub struct Named {
    #[serde(default)]
    pub opts: std::collections::HashMap<String, String>,
",
        more: &[],
    },
    Wrong {
        check: "2.options",
        what: "the plugin refuses unknown fields",
        step: 2,
        file: "src/protocol.rs",
        right: "#[serde(rename_all = \"PascalCase\")]\npub struct Named {\n",
        wrong: "#[serde(rename_all = \"PascalCase\", deny_unknown_fields)]
pub struct Named {
    #[serde(default)]
    pub opts: serde_json::Value,
    #[serde(default, rename = \"ID\")]
    pub id: String,
",
        more: &[],
    },
    Wrong {
        check: "2.empty-body",
        what: "the plugin reads an empty body as an empty object",
        step: 2,
        file: "src/protocol.rs",
        right: r#"return Err(Failure::BadBody("it is empty".to_owned()));"#,
        wrong: r##"return arguments(br#"{"Name":""}"#);"##,
        more: &[],
    },
    Wrong {
        check: "2.no-json",
        what: "the plugin uses a default name if the body is not an object",
        step: 2,
        file: "src/protocol.rs",
        right: "    serde_json::from_slice(body)\n",
        wrong: r##"
    let guess: &[u8] = br#"{"Name":"unnamed"}"#;
    let body = if body.starts_with(b"{") { body } else { guess };
    serde_json::from_slice(body)
"##,
        more: &[],
    },
    Wrong {
        check: "2.no-name",
        what: "the plugin uses a default name if the body has none",
        step: 2,
        file: "src/protocol.rs",
        right: "    pub name: String,\n",
        wrong: "    #[serde(default)]\n    pub name: String,\n",
        more: &[],
    },
    Wrong {
        check: "2.no-such-volume",
        what: "the plugin gives the same answer to every Get",
        step: 2,
        file: "src/main.rs",
        right: "    protocol::encode(path, Call::decode(path, body).and_then(act))\n",
        wrong: r##"
    if path == "/VolumeDriver.Get" {
        return (200, r#"{"Volume":{"Name":"demo"}}"#.to_owned());
    }
    protocol::encode(path, Call::decode(path, body).and_then(act))
"##,
        more: &[],
    },
    Wrong {
        check: "2.error-text",
        what: "the plugin puts its JSON together by hand",
        step: 2,
        file: "src/protocol.rs",
        right: r#"json!({ "Err": format!("workshop: {failure}") }).to_string()"#,
        wrong: r#"format!("{{\"Err\":\"workshop: {failure}\"}}")"#,
        more: &[],
    },
    Wrong {
        check: "2.refused",
        what: "the plugin refuses a Create with status 200",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: r#"Failure::BadName(_) => 200,
        _ if path == "/VolumeDriver.Get" => 200,"#,
        more: &[],
    },
    Wrong {
        check: "2.refused",
        what: "the plugin answers every call about an unknown volume as a Get",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: "Failure::NoSuchVolume(_) => 200,",
        more: &[],
    },
    Wrong {
        check: "2.get-status",
        what: "the plugin refuses a Get with another status than 200",
        step: 2,
        file: "src/protocol.rs",
        right: r#"_ if path == "/VolumeDriver.Get" => 200,"#,
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "2.tame-errors",
        what: "the plugin repeats a name without escaping it",
        step: 2,
        file: "src/protocol.rs",
        right: "write!(f, \"no such volume: {}\", excerpt(name))",
        wrong: "write!(f, \"no such volume: {name}\")",
        more: &[],
    },
    Wrong {
        check: "2.list",
        what: "the plugin requires a name in every call",
        step: 2,
        file: "src/protocol.rs",
        right: r#""/VolumeDriver.List" => Ok(Self::List),"#,
        wrong: r#""/VolumeDriver.List" => arguments(body).map(|_: Named| Self::List),"#,
        more: &[],
    },
    Wrong {
        check: "2.list",
        what: "the plugin lists strings instead of objects",
        step: 2,
        file: "src/main.rs",
        right: "Ok(Reply::Volumes { volumes: Vec::new() })",
        wrong: r#"Ok(Reply::Volumes { volumes: vec!["demo".to_owned()] })"#,
        more: &[],
    },
    Wrong {
        check: "3.get",
        what: "the plugin finds a volume by the beginning of its name",
        step: 3,
        file: "src/volumes.rs",
        right: "match self.by_name.get_key_value(name) {",
        wrong: "match self.by_name.iter().find(|pair| name.starts_with(pair.0)) {",
        more: &[],
    },
    Wrong {
        check: "3.again",
        what: "the plugin refuses a second Create with the same options",
        step: 3,
        file: "src/volumes.rs",
        right: "Some(None) => Ok(()),",
        wrong: r#"Some(None) => Err(Failure::OtherOptions(name, "it is there".into())),"#,
        more: &[],
    },
    Wrong {
        check: "3.other-options",
        what: "the plugin accepts different options and ignores them",
        step: 3,
        file: "src/volumes.rs",
        right: "Some(Some(what)) => Err(Failure::OtherOptions(name, what)),",
        wrong: "Some(Some(_)) => Ok(()),",
        more: &[],
    },
    Wrong {
        check: "3.list",
        what: "the plugin lists only one volume",
        step: 3,
        file: "src/volumes.rs",
        right: "self.by_name.keys().map(",
        wrong: "self.by_name.keys().take(1).map(",
        more: &[],
    },
    Wrong {
        check: "3.remove",
        what: "the plugin removes all volumes at once",
        step: 3,
        file: "src/volumes.rs",
        right: "match self.by_name.remove(name) {",
        wrong: "match self.by_name.remove(name).map(|_| self.by_name.clear()) {",
        more: &[],
    },
    Wrong {
        check: "3.create-anew",
        what: "the plugin refuses the name of a removed volume",
        step: 3,
        file: "src/volumes.rs",
        right: "            None => {\n                self.by_name.insert(",
        wrong: "            None => {
                use std::sync::Mutex;
                static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());
                let mut used = USED.lock().unwrap();
                if used.contains(&name) {
                    return Err(Failure::BadName(name));
                }
                used.push(name.clone());
                self.by_name.insert(",
        more: &[],
    },
    Wrong {
        check: "3.case",
        what: "the plugin stores names in lower case",
        step: 3,
        file: "src/volumes.rs",
        right: "        if name.contains('/') {",
        wrong: "        let name = name.to_lowercase();\n        if name.contains('/') {",
        more: &[],
    },
    Wrong {
        check: "3.path",
        what: "the answer to Path has no path",
        step: 3,
        file: "src/main.rs",
        right: "Ok(Reply::Mountpoint { mountpoint })",
        wrong: "drop(mountpoint);\n            Ok(Reply::Done {})",
        more: &[],
    },
    Wrong {
        check: "4.created",
        what: "the plugin creates the directory in Mount",
        step: 4,
        file: "src/volumes.rs",
        right: "fs::create_dir_all(&directory)\n                    .map_err(",
        wrong: "Ok(()).map_err(",
        more: &[(
            "src/volumes.rs",
            "fs::metadata(&directory)\n",
            "fs::create_dir_all(&directory)\n",
        )],
    },
    Wrong {
        check: "4.mountpoint",
        what: "Mount does not test whether the directory exists",
        step: 4,
        file: "src/volumes.rs",
        right: "        fs::metadata(&directory)\n            .map_err(Failure::system(\"looking for\", &directory))?;\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "4.in-root",
        what: "the plugin keeps its files beside ROOT",
        step: 4,
        file: "src/volumes.rs",
        right: "root: root::open(root)?,",
        wrong: r#"root: root::open(&root.with_file_name("elsewhere"))?,"#,
        more: &[],
    },
    Wrong {
        check: "4.same-place",
        what: "Path returns another directory than Mount",
        step: 4,
        file: "src/main.rs",
        right: "let mountpoint = volumes.get(&args.name)?.mountpoint;",
        wrong: r#"let mountpoint = volumes.get(&args.name)?.mountpoint.join("_data");"#,
        more: &[],
    },
    Wrong {
        check: "4.shared",
        what: "the plugin refuses a second Mount",
        step: 4,
        file: "src/protocol.rs",
        right: "    /// The name of an existing volume, or an unknown one.\n",
        wrong: "    #[serde(default, rename = \"ID\")]\n    pub id: String,\n",
        more: &[
            (
                "src/main.rs",
                "        Call::Mount(args) => {\n",
                "        Call::Mount(args) => {
            let mut users = USERS.lock().unwrap();
            let user = users.entry(args.name.clone()).or_insert(args.id.clone());
            if *user != args.id {
                return Err(Failure::BadBody(\"the volume is busy\".into()));
            }
",
            ),
            (
                "src/main.rs",
                "        Call::Unmount(args) => {\n",
                "        Call::Unmount(args) => {
            USERS.lock().unwrap().remove(&args.name);
",
            ),
            (
                "src/main.rs",
                "/// Carries out a call.\n",
                "use std::{collections::BTreeMap, sync::Mutex};
static USERS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
",
            ),
        ],
    },
    Wrong {
        check: "4.apart",
        what: "the plugin uses only eight bytes of a name",
        step: 4,
        file: "src/volumes.rs",
        right: "mountpoint: self.root.join(name) }",
        wrong: "mountpoint: self.root.join(name.get(..8).unwrap_or(name)) }",
        more: &[(
            "src/volumes.rs",
            "plain.then(|| self.root.join(name))",
            "plain.then(|| self.root.join(name.get(..8).unwrap_or(name)))",
        )],
    },
    Wrong {
        check: "4.outlives",
        what: "the plugin empties a volume after its last Unmount",
        step: 4,
        file: "src/volumes.rs",
        right: "        self.get(name).map(|_| ())\n",
        wrong: "        let directory = self.get(name)?.mountpoint;
        if USES.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = fs::remove_dir_all(&directory);
            let _ = fs::create_dir_all(&directory);
        }
        Ok(())
",
        more: &[
            (
                "src/volumes.rs",
                "        Ok(directory)\n",
                "        USES.fetch_add(1, Ordering::Relaxed);\n        Ok(directory)\n",
            ),
            (
                "src/volumes.rs",
                "/// The longest file name of all",
                "use std::sync::atomic::{AtomicUsize, Ordering};
static USES: AtomicUsize = AtomicUsize::new(0);
/// The longest file name of all",
            ),
        ],
    },
    Wrong {
        check: "4.in-use",
        what: "the plugin moves the files away at the first Unmount",
        step: 4,
        file: "src/volumes.rs",
        right: "        self.get(name).map(|_| ())\n",
        wrong: "        let directory = self.get(name)?.mountpoint;
        let _ = fs::rename(&directory, directory.with_extension(\"away\"));
        Ok(())
",
        more: &[(
            "src/volumes.rs",
            "        // For a missing directory, Docker",
            "        if !directory.exists() {
            let _ = fs::rename(directory.with_extension(\"away\"), &directory);
        }
        // For a missing directory, Docker",
        )],
    },
    Wrong {
        check: "4.remove",
        what: "the plugin can only remove an empty directory",
        step: 4,
        file: "src/volumes.rs",
        right: "match fs::remove_dir_all(&directory) {",
        wrong: "match fs::remove_dir(&directory) {",
        more: &[],
    },
    Wrong {
        check: "4.removed-already",
        what: "the plugin refuses to remove a missing directory",
        step: 4,
        file: "src/volumes.rs",
        right: "Err(err) if err.kind() != ErrorKind::NotFound => {",
        wrong: "Err(err) => {",
        more: &[],
    },
    Wrong {
        check: "4.names",
        what: "the plugin accepts .. as a name",
        step: 4,
        file: "src/volumes.rs",
        right: "Some(path::Component::Normal(_))",
        wrong: "Some(path::Component::Normal(_) | path::Component::ParentDir)",
        more: &[],
    },
    Wrong {
        check: "4.private-root",
        what: "the plugin creates ROOT with the mode of mkdir",
        step: 4,
        file: "src/root.rs",
        right: "DirBuilder::new().mode(0o700)",
        wrong: "DirBuilder::new().mode(0o755)",
        more: &[(
            "src/root.rs",
            "if had & 0o077 == 0 {",
            "if had & 0o022 == 0 {",
        )],
    },
    Wrong {
        check: "4.not-its-root",
        what: "the plugin closes any folder that is given as ROOT",
        step: 4,
        file: "src/root.rs",
        right: "        is_ours(root)?,\n",
        wrong: "        is_ours(root)? || true,\n",
        more: &[],
    },
    Wrong {
        check: "5.bad-names",
        what: "the plugin allows a blank in a name",
        step: 5,
        file: "src/volumes.rs",
        right: r#"b"_.-".contains(byte)"#,
        wrong: r#"b"_.- ".contains(byte)"#,
        more: &[],
    },
    Wrong {
        check: "5.good-names",
        what: "the plugin refuses names of more than 63 bytes",
        step: 5,
        file: "src/volumes.rs",
        right: "const LONGEST_NAME: usize = 255;",
        wrong: "const LONGEST_NAME: usize = 63;",
        more: &[],
    },
    Wrong {
        check: "5.options",
        what: "the plugin refuses keep=false",
        step: 5,
        file: "src/options.rs",
        right: r#""false" => settings.keep = false,"#,
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.unknown-option",
        what: "the plugin ignores short unknown options",
        step: 5,
        file: "src/options.rs",
        right: r#"_ => return Err(unknown_word(&OPTIONS, "", key)),"#,
        wrong: r#"_ if key.len() > 4 => return Err(unknown_word(&OPTIONS, "", key)),
                _ => {}"#,
        more: &[],
    },
    Wrong {
        check: "5.unknown-value",
        what: "the plugin reads short values other than true as false",
        step: 5,
        file: "src/options.rs",
        right: r#""false" => settings.keep = false,"#,
        wrong: r#"word if word.len() < 5 => settings.keep = false,
                    "false" => settings.keep = false,"#,
        more: &[],
    },
    Wrong {
        check: "5.bad-mode",
        what: "the plugin has no limit for a mode",
        step: 5,
        file: "src/options.rs",
        right: " && *mode <= 0o7777",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.owner-mode",
        what: "the plugin tests one of the owner's three bits",
        step: 5,
        file: "src/options.rs",
        right: "if self.mode & 0o700 == 0o700 {",
        wrong: "if self.mode & 0o400 == 0o400 {",
        more: &[],
    },
    Wrong {
        check: "5.short-errors",
        what: "the plugin repeats any value in full",
        step: 5,
        file: "src/options.rs",
        right: "format!(\"mode={}\", excerpt(value))",
        wrong: "format!(\"mode={value}\")",
        more: &[],
    },
    Wrong {
        check: "5.short-errors",
        what: "the plugin repeats a value without escaping it",
        step: 5,
        file: "src/options.rs",
        right: "excerpt(word)",
        wrong: "word.chars().take(40).collect::<String>()",
        more: &[],
    },
    Wrong {
        check: "5.mode",
        what: "the plugin passes the mode to mkdir, and the umask removes bits",
        step: 5,
        file: "src/volumes.rs",
        right: "let mode = Permissions::from_mode(settings.mode);",
        wrong: "let mode = Permissions::from_mode(settings.mode & !0o022);",
        more: &[],
    },
    Wrong {
        check: "5.same-options",
        what: "the plugin compares options as they were typed",
        step: 5,
        file: "src/options.rs",
        right: "                \"mode\" => settings.mode = mode(value)?,",
        wrong: "                \"mode\" => {
                    settings.mode = mode(value)?;
                    settings.typed = value.clone();
                }",
        more: &[
            (
                "src/options.rs",
                "    pub mode: u32,\n",
                "    pub mode: u32,\n    pub typed: String,\n",
            ),
            (
                "src/options.rs",
                "Self { mode: 0o755, keep: false }",
                "Self { mode: 0o755, typed: \"0755\".into(), keep: false }",
            ),
            (
                "src/options.rs",
                "let mode = format!(\"{:04o}\", self.mode);",
                "let mode = self.typed.clone();",
            ),
        ],
    },
    Wrong {
        check: "5.status",
        what: "the Status has only the options that differ from the defaults",
        step: 5,
        file: "src/volumes.rs",
        right: "            status: metadata.settings.status(&mountpoint),\n",
        wrong: "            status: match metadata.settings.mode {
                0o755 => Options::new(),
                _ => metadata.settings.status(&mountpoint),
            },\n",
        more: &[],
    },
    Wrong {
        check: "5.status-now",
        what: "the Status has the requested mode",
        step: 5,
        file: "src/options.rs",
        right: "        status.extend([
            (\"mode\".to_owned(), mode),
",
        wrong: "        let mode = self.canonical().remove(\"mode\").unwrap_or(mode);
        status.extend([
            (\"mode\".to_owned(), mode),
",
        more: &[],
    },
    Wrong {
        check: "5.created-at",
        what: "CreatedAt has a blank instead of a T",
        step: 5,
        file: "src/clock.rs",
        right: "{day:02}T{hour:02}",
        wrong: "{day:02} {hour:02}",
        more: &[],
    },
    Wrong {
        check: "5.keep",
        what: "the plugin removes the files despite keep=true",
        step: 5,
        file: "src/volumes.rs",
        right: "            self.by_name.remove(name);
            return Ok(());
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "5.keep-forgets",
        what: "the plugin keeps the files and the volume",
        step: 5,
        file: "src/volumes.rs",
        right: "            self.by_name.remove(name);
            return Ok(());
",
        wrong: "            return Ok(());
",
        more: &[],
    },
    Wrong {
        check: "6.synced",
        what: "the plugin does not sync its files",
        step: 6,
        file: "src/store.rs",
        right: "        file.sync_all()\n    };",
        wrong: "        Ok(())\n    };",
        more: &[],
    },
    Wrong {
        check: "6.synced-name",
        what: "the plugin does not sync the folder that holds the volume",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&staging, &folder)?;\n        sync(&self.root)\n",
        wrong: "        rename(&staging, &folder)\n",
        more: &[],
    },
    Wrong {
        check: "6.half-made",
        what: "the plugin prepares a volume in its final place",
        step: 6,
        file: "src/volumes.rs",
        right: "        let staging = self.staging_folder(&name)?;
        write_contents(&staging, &settings)?;
        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        fs::create_dir_all(&folder)
            .map_err(Failure::system(\"making\", &folder))?;
        if let Err(failure) = write_contents(&folder, &settings) {
            let _ = remove(&folder);
            return Err(failure);
        }
        sync(&self.root)
",
        more: &[],
    },
    Wrong {
        check: "6.full-disk",
        what: "the plugin publishes a volume that it could not write",
        step: 6,
        file: "src/volumes.rs",
        right: "        write_contents(&staging, &settings)?;
        rename(&staging, &folder)?;
        sync(&self.root)
",
        wrong: "        let filled = write_contents(&staging, &settings);
        rename(&staging, &folder)?;
        sync(&self.root)?;
        filled
",
        more: &[],
    },
    Wrong {
        check: "6.outlives",
        what: "CreatedAt is the time of the last Get",
        step: 6,
        file: "src/volumes.rs",
        right: "Ok(Self { settings, created })",
        wrong: "let _ = created;
        Ok(Self { settings, created: SystemTime::now() })",
        more: &[],
    },
    Wrong {
        check: "6.options",
        what: "the plugin accepts any options for an existing volume after a restart",
        step: 6,
        file: "src/volumes.rs",
        right: "            let had = had.settings.canonical();\n",
        wrong: "            let had = had.settings.canonical();
            if !MADE.lock().unwrap().contains(&name) {
                return Ok(());
            }
",
        more: &[
            (
                "src/volumes.rs",
                "        let staging = self.staging_folder(&name)?;\n",
                "        MADE.lock().unwrap().push(name.clone());
        let staging = self.staging_folder(&name)?;
",
            ),
            (
                "src/volumes.rs",
                "/// Creates the contents of a volume in",
                "static MADE: std::sync::Mutex<Vec<String>> =
    std::sync::Mutex::new(Vec::new());
/// Creates the contents of a volume in",
            ),
        ],
    },
    Wrong {
        check: "6.removed",
        what: "after a restart, the plugin restores a removed volume",
        step: 6,
        file: "src/volumes.rs",
        right: "if let Err(err) = remove(&removed) {",
        wrong: "if let Err(err) = remove(&removed.join(FILES)) {",
        more: &[(
            "src/volumes.rs",
            "        for half in [NEW, REMOVED]",
            "        for name in names(&root.join(REMOVED))? {
            let removed = root.join(REMOVED).join(&name);
            if !removed.join(FILES).exists() {
                fs::rename(removed, root.join(name))?;
            }
        }
        for half in [NEW, REMOVED]",
        )],
    },
    Wrong {
        check: "6.kept",
        what: "the start removes kept files as leftovers",
        step: 6,
        file: "src/volumes.rs",
        right: "for half in [NEW, REMOVED].map(",
        wrong: "for half in [NEW, REMOVED, KEPT].map(",
        more: &[],
    },
    Wrong {
        check: "6.spoiled",
        what: "the plugin does not start if a file is unreadable",
        step: 6,
        file: "src/volumes.rs",
        right: "        if err.raw_os_error().is_some() {",
        wrong: "        if err.kind() == ErrorKind::InvalidData {",
        more: &[],
    },
    Wrong {
        check: "6.set-aside",
        what: "the plugin removes an unreadable volume",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &aside)?;\n",
        wrong: "        remove(&folder).map_err(Failure::system(\"removing\", &folder))?;\n",
        more: &[],
    },
    Wrong {
        check: "6.set-aside-twice",
        what: "the plugin has one place per name for volumes that are set aside",
        step: 6,
        file: "src/volumes.rs",
        right: "        let aside = root::vacant(&aside, name)?;\n",
        wrong: "        let _ = fs::create_dir_all(&aside);
        let aside = aside.join(name);
",
        more: &[],
    },
    Wrong {
        check: "6.half-removed",
        what: "the plugin removes the files in their final place",
        step: 6,
        file: "src/volumes.rs",
        right: "        rename(&folder, &removed)?;
        sync(&self.root)?;
        if let Err(err) = remove(&removed) {",
        wrong: "        if let Err(err) = remove(&folder) {",
        more: &[],
    },
    Wrong {
        check: "6.alone",
        what: "the plugin takes a shared lock",
        step: 6,
        file: "src/root.rs",
        right: "lock.try_lock()",
        wrong: "lock.try_lock_shared()",
        more: &[],
    },
    Wrong {
        check: "6.private-again",
        what: "the plugin closes only an empty ROOT",
        step: 6,
        file: "src/root.rs",
        right: "if root.join(NEW).is_dir() {",
        wrong: "if root.join(NEW).is_file() {",
        more: &[],
    },
    Wrong {
        check: "6.other-root",
        what: "the plugin works in any folder with the path of ROOT",
        step: 6,
        file: "src/root.rs",
        right: "if now.is_ok_and(is_same) {",
        wrong: "if now.is_ok_and(|now| is_same(now) || true) {",
        more: &[],
    },
    Wrong {
        check: "6.strangers",
        what: "the plugin sets aside every folder in ROOT that is not a volume",
        step: 6,
        file: "src/volumes.rs",
        right: "Err(err) if root::is_no_volume(&err) => return",
        wrong: "Err(err) if root::is_no_volume(&err) && !folder.is_dir() => return",
        more: &[(
            "src/volumes.rs",
            "        if err.raw_os_error().is_some() {",
            "        if err.raw_os_error().is_some()
            && err.kind() != ErrorKind::NotFound
        {",
        )],
    },
    Wrong {
        check: "7.slow-body",
        what: "the plugin reads one body at a time",
        step: 7,
        file: "src/server.rs",
        right: "    let mut body = Vec::new();\n",
        wrong: r#"
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    let mut body = Vec::new();
"#,
        more: &[],
    },
    Wrong {
        check: "7.slow-call",
        what: "all calls share one lock",
        step: 7,
        file: "src/main.rs",
        right: "name(&call).map(|name| names.claim(name))",
        wrong: "name(&call).or(Some(\"\")).map(|_| names.claim(\"\"))",
        more: &[],
    },
    Wrong {
        check: "7.one-name",
        what: "the plugin locks no name",
        step: 7,
        file: "src/main.rs",
        right: "name(&call).map(|name| names.claim(name))",
        wrong: "name(&call).map(|_| names)",
        more: &[],
    },
    Wrong {
        check: "7.signals",
        what: "the plugin does not handle SIGINT",
        step: 7,
        file: "src/stop.rs",
        right: "Signals::new([SIGTERM, SIGINT])",
        wrong: "Signals::new([SIGTERM])",
        more: &[],
    },
    Wrong {
        check: "7.in-flight",
        what: "the plugin ends without waiting for calls",
        step: 7,
        file: "src/stop.rs",
        right: "    drop(advertised);\n    listener.slots.at_work(deadline - PATIENCE / 2);\n",
        wrong: "    drop(advertised);\n",
        more: &[(
            "src/stop.rs",
            "let cut_off = listener.slots.at_work(deadline);",
            "let cut_off = Vec::<String>::new();",
        )],
    },
    Wrong {
        check: "7.order",
        what: "the plugin carries out the calls of one connection at the same time",
        step: 7,
        file: "src/listener.rs",
        right: "let _ = writer.flush();",
        wrong: "let _ = &mut writer;",
        more: &[],
    },
    Wrong {
        check: "7.no-trace",
        what: "the plugin ends at once when a thread of tiny_http panics",
        step: 7,
        file: "src/server.rs",
        right: "let _ = end.send(Err(anyhow!(\"a thread of tiny_http panicked\")));",
        wrong: "let _ = (&end, anyhow!(\"\"));
            std::process::exit(101);",
        more: &[],
    },
    Wrong {
        check: "7.no-trace",
        what: "the plugin cannot remove its socket when it can open no file",
        step: 7,
        file: "src/listener.rs",
        // A dummy connection may end just then, and leave a file or two.
        right: "        let _turn = turn::take(path)?;\n",
        wrong: "        let _turn = turn::take(path)?;
        let _more = [File::open(\"/\")?, File::open(\"/\")?, File::open(\"/\")?];
",
        more: &[("src/listener.rs", "        self.spare = None;\n", "")],
    },
    Wrong {
        check: "7.stranded",
        what: "the plugin trusts tiny_http to serve every connection",
        step: 7,
        file: "src/listener.rs",
        right: "drop(UnixStream::connect(&self.path));",
        wrong: "let _ = &self.path;",
        more: &[],
    },
    Wrong {
        check: "7.newer-socket",
        what: "the plugin removes any socket at its path",
        step: 7,
        file: "src/listener.rs",
        right: "ensure!(identity(path)? == *is, \"another plugin has it now\");",
        wrong: "let _ = is;",
        more: &[],
    },
    Wrong {
        check: "8.ext4",
        what: "the plugin opens an image without creating it",
        step: 8,
        file: "src/filesystem.rs",
        right: "        .create_new(true)\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.bad-size",
        what: "the plugin accepts a size of 0",
        step: 8,
        file: "src/size.rs",
        right: ".filter(|bytes| *bytes > 0)",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.bad-size",
        what: "the plugin wraps a size around at 64 bits",
        step: 8,
        file: "src/size.rs",
        right: "    i64::try_from(bytes).ok().filter(|bytes| *bytes > 0)",
        wrong: "    Some(bytes as i64).filter(|bytes| *bytes > 0)",
        more: &[],
    },
    Wrong {
        check: "8.size-and-type",
        what: "the plugin accepts a size for a directory",
        step: 8,
        file: "src/options.rs",
        right: "(Some(size), _) if self.kind == Kind::Dir => format!(",
        wrong: "(Some(size), _) if name.is_empty() => format!(",
        more: &[],
    },
    Wrong {
        check: "8.size-alone",
        what: "without a type, the plugin always creates a directory",
        step: 8,
        file: "src/options.rs",
        right: "            settings.kind = Kind::Ext4;\n",
        wrong: "            settings.size = None;\n",
        more: &[],
    },
    Wrong {
        check: "8.bad-owner",
        what: "the plugin reads a user's name as 0",
        step: 8,
        file: "src/options.rs",
        right: "    id.ok_or_else(|| {",
        wrong: "    id.or(Some(0)).filter(|_| digits || value == \"root\").ok_or_else(|| {",
        more: &[],
    },
    Wrong {
        check: "8.same-size",
        what: "the plugin does not compare sizes",
        step: 8,
        file: "src/options.rs",
        right: "            (\"size\", self.size.map(size::format)),\n",
        wrong: "            (\"size\", self.size.map(|size| size::format(size.min(16 << 20)))),\n",
        more: &[],
    },
    Wrong {
        check: "8.same-size",
        what: "the plugin refuses fractions in a size",
        step: 8,
        file: "src/size.rs",
        right: "count.split_once('.')",
        wrong: "count.split_once(',')",
        more: &[],
    },
    Wrong {
        check: "8.full-disk",
        what: "the plugin leaves an incomplete image behind",
        step: 8,
        file: "src/volumes.rs",
        right: "                let _ = remove(&staging);\n",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.size-holds",
        what: "the image is larger than requested",
        step: 8,
        file: "src/filesystem.rs",
        right: "run(&mkfs, options, &[image]).map(drop)",
        wrong: "File::options().append(true).open(image)
        .and_then(|file| file.set_len(4 * settings.size.unwrap_or_default()))
        .map_err(Failure::system(\"making\", image))?;
    run(&mkfs, options, &[image]).map(drop)",
        more: &[],
    },
    Wrong {
        check: "8.room",
        what: "the plugin leaves the number of inodes to mkfs",
        step: 8,
        file: "src/options.rs",
        right: "\"-i\", \"16384\", ",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "8.empty",
        what: "the plugin puts a file beside those of the container",
        step: 8,
        file: "src/filesystem.rs",
        right: "    let made = make_files(&files, settings);\n",
        wrong: "    let _ = fs::create_dir_all(files.join(\"meta\"));
    let made = make_files(&files, settings);
",
        more: &[],
    },
    Wrong {
        check: "8.owner",
        what: "the plugin sets owner and mode of another folder",
        step: 8,
        file: "src/filesystem.rs",
        right: "    let made = make_files(&files, settings);\n",
        wrong: "    let _ = fs::create_dir_all(&files);
    let made = make_files(&folder.join(FS), settings);
",
        more: &[],
    },
    Wrong {
        check: "8.status-now",
        what: "Status has the requested mode while nothing is mounted",
        step: 8,
        file: "src/options.rs",
        right: "else { return status };",
        wrong: "else { return self.canonical() };",
        more: &[],
    },
    Wrong {
        check: "8.failed-mount",
        what: "Mount succeeds without a filesystem",
        step: 8,
        file: "src/filesystem.rs",
        right: "        false => mount_anew(folder, settings),\n",
        wrong: "        false => {
            let _ = mount_anew(folder, settings);
            let _ = fs::create_dir_all(folder.join(FILES));
            Ok(())
        }
",
        more: &[],
    },
    Wrong {
        check: "8.not-mounted",
        what: "containers may write into the folder below the mount",
        step: 8,
        file: "src/filesystem.rs",
        right: "pub const FILES: &str = \"fs/files\";",
        wrong: "pub const FILES: &str = \"fs\";",
        more: &[
            (
                "src/filesystem.rs",
                "    let made = make_files(&files, settings);\n",
                "    let _ = fs::remove_dir(files.join(\"lost+found\"));
    let made = make_files(&files, settings);
",
            ),
            (
                "src/volumes.rs",
                "metadata.settings.status(&mountpoint)",
                "metadata.settings.status(
                match metadata.settings.kind == Kind::Dir
                    || mounts::is_mounted(&mountpoint)?
                {
                    true => &mountpoint,
                    false => Path::new(\"/nowhere\"),
                },
            )",
            ),
        ],
    },
    Wrong {
        check: "8.shared",
        what: "the plugin unmounts at any Unmount",
        step: 8,
        file: "src/filesystem.rs",
        right: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    unmount_if_unused(folder)
",
        wrong: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    match names(&folder.join(USES)).is_ok_and(|ids| uses == 1 && !ids.is_empty()) {
        true => umount(&folder.join(FS)),
        false => unmount_if_unused(folder),
    }
",
        more: &[],
    },
    Wrong {
        check: "8.same-id",
        what: "the plugin keeps a set of IDs",
        step: 8,
        file: "src/filesystem.rs",
        right: "            .and_then(|mut uses| uses.write_all(b\"+\"))
",
        wrong: "            .and_then(|mut uses| match SET.lock().unwrap().insert(place.clone()) {
                true => uses.write_all(b\"+\"),
                false => Ok(()),
            })
",
        more: &[(
            "src/filesystem.rs",
            "/// Counts one more use",
            "static SET: std::sync::Mutex<std::collections::BTreeSet<std::path::PathBuf>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());
/// Counts one more use",
        )],
    },
    Wrong {
        check: "8.unknown-id",
        what: "the plugin refuses an unknown ID",
        step: 8,
        file: "src/filesystem.rs",
        right: "        0 | 1 => remove(&place),\n",
        wrong: "        0 | 1 => fs::remove_file(&place),\n",
        more: &[],
    },
    Wrong {
        check: "8.last-use",
        what: "the plugin never unmounts",
        step: 8,
        file: "src/filesystem.rs",
        right: "    counted.map_err(Failure::system(\"counting in\", &place))?;
    unmount_if_unused(folder)
",
        wrong: "    counted.map_err(Failure::system(\"counting in\", &place))
",
        more: &[],
    },
    Wrong {
        check: "8.extra-unmount",
        what: "the plugin unmounts while a container still has the filesystem",
        step: 8,
        file: "src/filesystem.rs",
        right: "        info!(\"{} stays mounted: {who}\", folder.display());
        return Ok(());
",
        wrong: "        info!(\"{} is unmounted: {who}\", folder.display());
",
        more: &[],
    },
    Wrong {
        check: "8.crash",
        what: "the plugin starts with no uses",
        step: 8,
        file: "src/filesystem.rs",
        right: "            [name, FS] => log(unmount_if_unused(&root.join(name))),\n",
        wrong: "            [_, FS] => log(umount(&path)),\n",
        more: &[],
    },
    Wrong {
        check: "8.once",
        what: "the plugin mounts every volume in use again at each start",
        step: 8,
        file: "src/filesystem.rs",
        right: "            [name, FS] => log(unmount_if_unused(&root.join(name))),\n",
        wrong: "            [_, FS] => log(run(\"mount\", &[\"--bind\"], &[&path, &path]).map(drop)),\n",
        more: &[],
    },
    Wrong {
        check: "8.hung",
        what: "calls for one volume wait for each other for ever",
        step: 8,
        file: "src/names.rs",
        right: "            if left.is_zero() || taken.waiting >= MOST_WAITING {",
        wrong: "            if taken.waiting > usize::MAX - MOST_WAITING {",
        more: &[(
            "src/names.rs",
            "wait_timeout(taken, left)",
            "wait_timeout(taken, left.max(self.patience))",
        )],
    },
    Wrong {
        check: "8.hung",
        what: "the plugin waits for programs without a limit",
        step: 8,
        file: "src/programs.rs",
        right: "    let patience = 2 * patience;\n",
        wrong: "    let patience = 100 * patience;\n",
        more: &[],
    },
    Wrong {
        check: "8.tmpfs",
        what: "the plugin mounts a tmpfs without a size",
        step: 8,
        file: "src/filesystem.rs",
        right: "\"nodev,size={size},mode",
        wrong: "\"nodev,nr_inodes={size},mode",
        more: &[],
    },
    Wrong {
        check: "8.stale",
        what: "the plugin refuses Remove while uses are counted",
        step: 8,
        file: "src/filesystem.rs",
        right: "        warn!(\"{name} was never unmounted for {id}\");\n",
        wrong: "        return Err(in_use(format!(\"{id} has it\")));\n",
        more: &[],
    },
    Wrong {
        check: "8.elsewhere",
        what: "the plugin removes a volume right after its own unmount",
        step: 8,
        file: "src/filesystem.rs",
        right: "    if let Some(who) = mounts::holders(&folder.join(FS))? {
        return Err(in_use(who));
    }
",
        wrong: "",
        more: &[(
            "src/filesystem.rs",
            "        Some(who) => Err(in_use(who)),\n",
            "        Some(who) => Ok(drop(who)),\n",
        )],
    },
    Wrong {
        check: "8.keep",
        what: "the plugin ignores the type and size of kept files",
        step: 8,
        file: "src/volumes.rs",
        right: "            same_files(&kept, settings)?;\n",
        wrong: "            let _ = same_files(&kept, settings);\n",
        more: &[],
    },
    Wrong {
        check: "9.pieces",
        what: "the plugin reads a head by one read",
        step: 9,
        file: "src/client.rs",
        right: "            if self.fill(headers::LONGEST)? == 0 {
                return match self.unused() {",
        wrong: "            let begun = !self.unused().is_empty();
            if begun || self.fill(headers::LONGEST)? == 0 {
                return match self.unused() {",
        more: &[],
    },
    Wrong {
        check: "9.endless-head",
        what: "the plugin reads a head up to its end, however long",
        step: 9,
        file: "src/client.rs",
        right: "            if self.unused().len() >= headers::LONGEST {
                return refuse(431, \"the head is too long\");
            }
            if self.fill(headers::LONGEST)? == 0 {",
        wrong: "            if self.fill(usize::MAX)? == 0 {",
        more: &[],
    },
    Wrong {
        check: "9.chunked",
        what: "the plugin takes a body in chunks for none",
        step: 9,
        file: "src/http.rs",
        right: "                Ok(Self::Chunked)\n",
        wrong: "                Ok(Self::Length(0))\n",
        more: &[],
    },
    Wrong {
        check: "9.two-ends",
        what: "the plugin believes the length, and ignores the chunks",
        step: 9,
        file: "src/http.rs",
        right: "        match (&lengths[..], &codings[..]) {",
        wrong: "        let codings = if lengths.is_empty() { codings } else { Vec::new() };
        match (&lengths[..], &codings[..]) {",
        more: &[],
    },
    Wrong {
        check: "9.two-ends",
        what: "the plugin takes +5 for a length",
        step: 9,
        file: "src/http.rs",
        right: "                if digits.iter().all(u8::is_ascii_digit) =>",
        wrong: "                if digits.first() == Some(&b'+')
                    || digits.iter().all(u8::is_ascii_digit) =>",
        more: &[],
    },
    Wrong {
        check: "9.close",
        what: "the plugin keeps every connection open",
        step: 9,
        file: "src/http.rs",
        right: r#"                b"close" => return Ok(false),"#,
        wrong: r#"                b"close" => return Ok(true),"#,
        more: &[],
    },
    Wrong {
        check: "9.close",
        what: "the plugin keeps a connection of HTTP/1.0 open",
        step: 9,
        file: "src/http.rs",
        right: "    let mut keeps_open = is_new;",
        wrong: "    let mut keeps_open = is_new || request.version == Some(0);",
        more: &[],
    },
    Wrong {
        check: "9.expect",
        what: "the plugin waits for the body of a client that waits, too",
        step: 9,
        file: "src/body.rs",
        right: "    if head.expects && client.unused().is_empty() {",
        wrong: "    if head.expects && !client.unused().is_empty() {",
        more: &[],
    },
    Wrong {
        check: "9.slow-client",
        what: "each byte gives the client more time",
        step: 9,
        file: "src/client.rs",
        right: "        let deadline = *self.deadline.get_or_insert(now + self.patience);",
        wrong: "        let deadline = *self.deadline.insert(now + self.patience);",
        more: &[],
    },
    Wrong {
        check: "9.slow-client",
        what: "the plugin disconnects a client that is silent between two calls",
        step: 9,
        file: "src/client.rs",
        right: "        if self.buffer.is_empty() && self.deadline.is_none() {
            return Ok(());
        }
",
        wrong: "",
        more: &[],
    },
    Wrong {
        check: "9.few-files",
        what: "the plugin sends no client away when it runs out of files",
        step: 9,
        file: "src/server.rs",
        right: "if is_in_trouble && !list.close_idlest() {",
        wrong: "if is_in_trouble {",
        more: &[],
    },
    Wrong {
        check: "9.crowd",
        what: "the plugin lets in as many clients as come",
        step: 9,
        file: "src/connections.rs",
        right: "const MOST: usize = 256;",
        wrong: "const MOST: usize = 256_000;",
        more: &[],
    },
    Wrong {
        check: "9.no-reader",
        what: "the plugin waits for every client that takes its answer",
        step: 9,
        file: "src/connections.rs",
        right: "                    What::Talking => doing.since.elapsed() < SILENCE_AT_STOP,
",
        wrong: "                    What::Talking => {
                        doing.since.elapsed() < SILENCE_AT_STOP * 600
                    }
",
        more: &[],
    },
    Wrong {
        check: "9.loopback",
        what: "the plugin listens on every address without --anyone",
        step: 9,
        file: "src/door.rs",
        right: "            anyone,
",
        wrong: "            anyone || true,
",
        more: &[],
    },
    Wrong {
        check: "9.spec",
        what: "the file of --spec has an address without a scheme",
        step: 9,
        file: "src/spec.rs",
        right: r#"format!("tcp://{address}\n")"#,
        wrong: r#"format!("{address}\n")"#,
        more: &[],
    },
    Wrong {
        check: "9.spec",
        what: "the file of --spec has a key that Docker does not read",
        step: 9,
        file: "src/spec.rs",
        right: r#"json!({ "Addr": "#,
        wrong: r#"json!({ "Address": "#,
        more: &[],
    },
    Wrong {
        check: "9.spec-gone",
        what: "the plugin removes its socket, but not the file of --spec",
        step: 9,
        file: "src/spec.rs",
        right: "        for file in &self.0 {
",
        wrong: "        for file in self.0.iter().take(1) {
",
        more: &[],
    },
    Wrong {
        check: "9.folder-beside-spec",
        what: "the plugin removes a folder to create its temporary file",
        step: 9,
        file: "src/spec.rs",
        right: "    let (mut file, aside) = create_beside(path)?;
",
        wrong: "    crate::remove::remove(&path.with_extension(\"new\"))?;
    let (mut file, aside) = create_beside(path)?;
",
        more: &[],
    },
    Wrong {
        check: "9.foreign-spec",
        what: "the plugin replaces any file of --spec",
        step: 9,
        file: "src/spec.rs",
        right: "Ok(had) if had == text || is_stale(&had) =>",
        wrong: "Ok(had) if had == text || is_stale(&had) || true =>",
        more: &[],
    },
    Wrong {
        check: "9.long-replies",
        what: "the plugin writes head and body by two writes",
        step: 9,
        file: "src/stream.rs",
        right: "Self::Tcp(stream) => (&*stream).write(bytes),",
        wrong: "Self::Tcp(stream) => {
                    (&*stream).write(&bytes[..bytes.len().min(200)])
                }",
        more: &[(
            "src/door.rs",
            "stream.set_nodelay(true)?;",
            "stream.set_nodelay(false)?;",
        )],
    },
    Wrong {
        check: "9.pages",
        what: "the plugin looks for Origin alone",
        step: 9,
        file: "src/strangers.rs",
        right: r#"if name == "origin" || name.starts_with("sec-fetch-") {"#,
        wrong: r#"if name == "origin" {"#,
        more: &[],
    },
    Wrong {
        check: "9.pages",
        what: "the plugin knows one spelling of Origin",
        step: 9,
        file: "src/strangers.rs",
        right: "let name = header.name.to_ascii_lowercase();",
        wrong: r#"let name = header.name.replacen('O', "o", 1);"#,
        more: &[],
    },
    Wrong {
        check: "9.host",
        what: "the plugin answers whatever Host says",
        step: 9,
        file: "src/strangers.rs",
        right: "if hosts != [address.as_bytes()] {",
        wrong: "if hosts.is_empty() && address.is_empty() {",
        more: &[],
    },
];

impl Wrong {
    /// The check's id, with a number from the second plugin for the same check on.
    fn name(&self) -> String {
        let same = WRONG.iter().filter(|other| other.check == self.check);
        match same.take_while(|other| !std::ptr::eq(*other, self)).count() {
            0 => self.check.to_owned(),
            before => format!("{}.{}", self.check, before + 1),
        }
    }

    fn package(&self) -> String {
        format!("wrong-{}", self.name().replace('.', "-"))
    }

    fn sources(&self) -> starters::Sources {
        let Self { check, step, file, right, wrong, more, .. } = self;
        let root = root();
        let step = steps::find(&root, &step.to_string()).unwrap();
        let mut sources = starters::read(&root, &step, Kind::Solution).unwrap();
        for (file, right, wrong) in
            [(*file, *right, *wrong)].iter().chain(*more)
        {
            let text = sources
                .get_mut(Path::new(file))
                .unwrap_or_else(|| panic!("{check}: no {file}"));
            let count = text.matches(right).count();
            assert_eq!(count, 1, "{check}: how often {file} has\n{right}");
            *text = text.replace(right, wrong);
        }
        sources
    }
}

/// The wrong plugins of this run: all, or those of the checks whose ids begin with a
/// word of `ONLY` (`ONLY="2.refused 5."`).
fn chosen() -> Vec<&'static Wrong> {
    let only = env::var("ONLY").unwrap_or_default();
    let is_chosen = |id: &str| {
        only.is_empty() || only.split(' ').any(|word| id.starts_with(word))
    };
    WRONG.iter().filter(|wrong| is_chosen(&wrong.name())).collect()
}

/// The folder of the solutions, built as the wrong plugins are.
static RIGHT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = root();
    let packages: Vec<_> = steps::all(&root)
        .unwrap()
        .into_iter()
        .map(|step| {
            let sources = starters::read(&root, &step, Kind::Solution).unwrap();
            (format!("right-{:02}", step.number), sources)
        })
        .collect();
    Workspace::write("right", &packages).build().0
});

/// The solution of one step, built as the wrong plugins are.
fn right(step: u32) -> PathBuf {
    RIGHT.join(format!("right-{step:02}"))
}

/// The step that teaches a check.
fn step_of(check: &str) -> u32 {
    checks::all().find(|row| row.id == check).unwrap().step
}

/// The checks that this machine skips with any plugin, and why.
static NOT_TRIED: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
    let steps: BTreeSet<_> =
        chosen().into_iter().map(|wrong| step_of(wrong.check)).collect();
    let own = side_by_side(&Vec::from_iter(steps), |&step| {
        let plan = Plan { from: step, stop: Stop::Never, ..Plan::new(step) };
        outcome(&right(step), plan).not_tried
    });
    own.into_iter().flatten().collect()
});

/// The folder of the wrong plugins that this machine can try.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let packages: Vec<_> = chosen()
        .into_iter()
        .map(|wrong| (wrong, wrong.sources()))
        .filter(|(wrong, _)| !NOT_TRIED.contains_key(wrong.check))
        .map(|(wrong, sources)| (wrong.package(), sources))
        .collect();
    Workspace::write("wrong", &packages).build().0
});

#[test]
fn every_check_has_a_wrong_plugin_and_a_recorded_report() {
    let wrong: BTreeSet<_> = WRONG.iter().map(|wrong| wrong.check).collect();
    let checks: BTreeSet<_> = checks::all().map(|check| check.id).collect();
    assert_eq!(wrong, checks, "left: wrong plugins, right: checks");

    let reports: BTreeSet<_> = WRONG.iter().map(Wrong::name).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports");
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".txt").unwrap_or(&file);
        let known = reports.contains(name)
            || ["starter-", "out-of-root-"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
        assert!(known, "tests/reports/{file} is the report of no check");
    }
    for name in NEED_MOUNTS {
        assert!(reports.contains(*name), "{name} is no wrong plugin");
    }
}

/// In a moment, before any of them is built.
#[test]
fn each_mistake_has_its_place_in_a_solution() {
    for wrong in WRONG {
        assert!(!wrong.sources().is_empty(), "{}", wrong.name());
    }
}

#[test]
fn each_check_is_unique_and_says_where_to_mend_what() {
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    for check in checks::all() {
        let id = check.id;
        assert!(ids.insert(id), "{id} exists twice");
        assert!(names.insert(check.name), "{id}: another has its name");
        assert!(
            id.starts_with(&format!("{}.", check.step)),
            "{id} is of step {}",
            check.step
        );
        let root = root();
        let step = steps::find(&root, &check.step.to_string()).unwrap();
        let file = root.join(step.folder(Kind::Solution)).join(check.file);
        let text = fs::read_to_string(&file);
        let text = text.unwrap_or_else(|err| panic!("{id}: {file:?}: {err}"));
        if let Some(function) = check.place.strip_prefix('`') {
            let function = format!("fn {}", function.trim_end_matches('`'));
            assert!(text.contains(&function), "{id}: no {function} there");
        } else {
            let starter = starters::pristine(&root, &step).unwrap();
            let holes = starters::holes(&starter);
            for place in check.place.split(", ") {
                let id_there = place.strip_prefix("TODO ");
                let found = holes.iter().any(|hole| {
                    Some(hole.id.as_str()) == id_there
                        && hole.file == Path::new(check.file)
                });
                assert!(found, "{id}: no {place} in {}", check.file);
            }
        }
    }
}

/// Wrong plugins that may fail another check as well, because of time or of the order
/// in which threads run.
const BY_CHANCE: &[(&str, &str)] = &[
    // The other plugin may have bound its socket a moment ago.
    ("1.live-socket", "1.race"),
    // A second may pass between two Gets of one volume.
    ("6.outlives", "6.full-disk"),
    ("6.outlives", "6.spoiled"),
    ("6.outlives", "6.strangers"),
    // The crash may come when all files are gone, but not the folder.
    ("6.removed", "6.half-removed"),
    // Any connection may be left without a thread.
    ("7.stranded", "7.slow-body"),
    ("7.stranded", "7.slow-call"),
    ("7.stranded", "7.one-name"),
];

/// Checks that run while no other check of step 8 does. Only their own wrong plugins
/// try them, unless `PROOFS=full`: together with all others, they took half of the
/// time of these tests.
const ALONE: &[&str] = &["8.extra-unmount", "8.once", "8.elsewhere"];

/// Reports about a mount or about another user's file. They are the recorded ones
/// only if [`mounts::missing`] finds nothing missing.
const NEED_MOUNTS: &[&str] = &["8.bad-size", "8.bad-size.2", "8.bad-owner"];

/// The difference between the expected result of a wrong plugin and the real one;
/// `None` if there is none.
fn complaint(wrong: &Wrong, full: bool) -> Option<String> {
    let case = format!("{} ({})", wrong.check, wrong.what);
    let skipped = |why: &str| println!("skipped: {case}: {why}");
    if let Some(why) = NOT_TRIED.get(wrong.check) {
        skipped(why);
        return None;
    }
    let step = step_of(wrong.check);
    let from = if full { 1 } else { step };
    let leave_out =
        if full || ALONE.contains(&wrong.check) { &[] } else { ALONE };
    let stop = Stop::Never;
    let plan = Plan { from, stop, leave_out, ..Plan::new(step) };
    let Outcome { failed, not_tried } =
        outcome(&PROGRAMS.join(wrong.package()), plan);
    if let Some(why) = not_tried.get(wrong.check) {
        skipped(why);
        return None;
    }
    let by_chance = |id| {
        BY_CHANCE.iter().any(|chance| chance.0 == wrong.check && chance.1 == id)
    };
    // No check uses a path that leads out of ROOT.
    let is_unused =
        |lines: &str| wrong.check == "4.in-root" && lines.contains(BELOW_ROOT);
    let is_other =
        |failed: &Failed| !by_chance(failed.id) && !is_unused(&failed.lines);
    let (failed, others): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|failed| failed.id == wrong.check);
    let lines: String = failed.iter().map(|failed| &*failed.lines).collect();
    if failed.is_empty() || others.iter().any(is_other) {
        let ids: Vec<_> = others.iter().map(|failed| failed.id).collect();
        let more: String = others.iter().map(|failed| &*failed.lines).collect();
        return Some(format!("{case}: others {ids:?}\n{lines}{more}"));
    }
    let name = wrong.name();
    if NEED_MOUNTS.contains(&&*name)
        && let Some(why) = mounts::missing()
    {
        println!("skipped: that {case} reads as recorded: {why}");
        return None;
    }
    let differs = differs_from_record(&format!("{name}.txt"), &lines)?;
    Some(format!("{case}: {differs}"))
}

/// Runs only the checks of the plugin's own step. The checks of earlier steps, which
/// take most of the time, run with `PROOFS=full`.
#[test]
fn each_wrong_plugin_fails_its_check_alone_and_reads_as_recorded() {
    let full = checker::setting("PROOFS").as_deref() == Some("full");
    let complaints = side_by_side(&chosen(), |wrong| complaint(wrong, full));
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// `tests/check.rs` of each solution tests it with the newest dockerd's dialect. With
/// the other dialects, each solution runs the checks of its own step here, and the
/// last solution runs all checks.
#[test]
fn each_solution_passes_whichever_engine_is_played() {
    let steps = steps::all(&root()).unwrap();
    let last = steps.last().unwrap().number;
    let newest = Dialect::default();
    let runs: Vec<_> = steps
        .iter()
        .flat_map(|step| Dialect::ALL.map(|dialect| (step.number, dialect)))
        .filter(|(_, dialect)| *dialect != newest)
        .collect();
    let complaints = side_by_side(&runs, |&(step, dialect)| {
        let from = if step == last { 1 } else { step };
        let plan = Plan { dialect, from, stop: Stop::Never, ..Plan::new(step) };
        let failed = failures(&right(step), plan);
        let lines: String =
            failed.iter().map(|failed| &*failed.lines).collect();
        let case = format!("step {step} for {}", dialect.name());
        (!failed.is_empty()).then(|| format!("{case}:\n{lines}"))
    });
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
