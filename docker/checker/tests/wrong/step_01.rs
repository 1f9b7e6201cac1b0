//! Wrong turns of step 1.

use super::{Fine, Wrong};

pub static WRONG: &[Wrong] = &[
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
        check: "1.activate",
        what: "the value is a string, not a list",
        step: 1,
        file: "src/main.rs",
        right: r#"{"Implements":["VolumeDriver"]}"#,
        wrong: r#"{"Implements":"VolumeDriver"}"#,
        more: &[],
    },
    Wrong {
        check: "1.activate",
        what: "the plugin answers the handshake with 201",
        step: 1,
        file: "src/main.rs",
        right: r##"(200, r#"{"Implements""##,
        wrong: r##"(201, r#"{"Implements""##,
        more: &[],
    },
    Wrong {
        check: "1.link",
        what: "the plugin follows a link to find out what it would remove",
        step: 1,
        file: "src/socket.rs",
        right: "fs::symlink_metadata(socket)?",
        wrong: "fs::metadata(socket)?",
        more: &[],
    },
    Wrong {
        check: "1.other-socket",
        what: "the plugin removes the socket after any error of connect",
        step: 1,
        file: "src/socket.rs",
        right: "Err(err) if err.kind() == ErrorKind::ConnectionRefused =>",
        wrong: "Err(_) =>",
        more: &[(
            "src/socket.rs",
            "        Err(err) => Err(err).with_context(|| format!(\"connecting to {path}\")),\n",
            "",
        )],
    },
    Wrong {
        check: "1.stale-socket",
        what: "the plugin refuses to start if the connection is refused",
        step: 1,
        file: "src/socket.rs",
        right: "Err(err) if err.kind() == ErrorKind::ConnectionRefused =>",
        wrong: "Err(err) if err.kind() == ErrorKind::NotFound =>",
        more: &[],
    },
];

pub static FINE: &[Fine] = &[
    Fine {
        what: "the key of the handshake is in lower case",
        why: "Docker and Podman read keys in any case: only the value must be \
              exact",
        step: 1,
        edits: &[("src/main.rs", r#"{"Implements""#, r#"{"implements""#)],
    },
    Fine {
        what: "the plugin connects before it looks what the file is",
        why: "nothing is removed before both are known",
        step: 1,
        edits: &[
            (
                "src/socket.rs",
                "    if !fs::symlink_metadata(socket)?.file_type().is_socket() {
        bail!(\"{path} is not a socket, so it stays: move it away\");
    }
",
                "",
            ),
            (
                "src/socket.rs",
                "            info!(\"removing",
                "            if !fs::symlink_metadata(socket)?.file_type().is_socket() {
                bail!(\"{path} is not a socket, so it stays\");
            }
            info!(\"removing",
            ),
        ],
    },
];
