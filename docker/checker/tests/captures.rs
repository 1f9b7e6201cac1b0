//! The stand-in sends what dockerd and Podman have sent, and judges answers as they
//! did.
//!
//! `captures/VERSION/*.jsonl` has the traffic between that dockerd and a plugin,
//! and `.cli.jsonl` what the user saw. The numbers are steps of the capture.
//! `captures/podman` is from Podman 4.3.1 with runc.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use checker::cargo;
use serde_json::Value;
use stand_in::checks;
use stand_in::cleanup::Folder;
use stand_in::daemon::{Call, Daemon, Dialect, Reply, field, read_reply};
use stand_in::harness::{Harness, lists};
use stand_in::plugin::Program;
use stand_in::steps::{self, Kind};

use common::root;

/// The lines of one capture.
#[track_caller]
fn capture(dialect: Dialect, name: &str) -> Vec<Value> {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures");
    let file = Path::new(captures).join(dialect.name()).join(name);
    let text = fs::read_to_string(&file);
    let text = text.unwrap_or_else(|err| panic!("{}: {err}", file.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The stand-in's call with the same meaning.
fn call_like(path: &str, body: &str) -> Call {
    let method: &'static str = path.trim_start_matches('/').to_owned().leak();
    if body.is_empty() {
        return Call::bare(method);
    }
    let object: Value = serde_json::from_str(body).unwrap();
    // The order of Docker's structs.
    let known = ["Name", "Opts", "ID"];
    let fields: Vec<_> = known
        .into_iter()
        .filter_map(|key| Some((key, object.get(key)?.clone())))
        .collect();
    assert_eq!(fields.len(), object.as_object().unwrap().len(), "{body}");
    Call::new(method, &fields)
}

#[test]
fn requests_are_those_of_each_engine() {
    let captures = [
        (Dialect::V20_10, "vol-create-inspect-ls-rm.jsonl"),
        (Dialect::V20_10, "vol-errors-names.jsonl"),
        (Dialect::V26_1, "vol-create-inspect-ls-rm.jsonl"),
        (Dialect::V28_5, "vol-create-inspect-ls-rm.jsonl"),
        (Dialect::V28_5, "vol-errors-names.jsonl"),
        (Dialect::Podman, "vol-create-inspect-ls-rm.jsonl"),
    ];
    for (dialect, name) in captures {
        for line in capture(dialect, name) {
            let (path, body) = (text(&line, "path"), text(&line, "body"));
            let headers: String = line["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|header| {
                    format!(
                        "{}: {}\r\n",
                        text_at(header, 0),
                        text_at(header, 1)
                    )
                })
                .collect();
            let wanted = format!("POST {path} HTTP/1.1\r\n{headers}\r\n{body}");
            let sent = call_like(path, body).request(dialect);
            let case = format!("{} {name} {}", dialect.name(), line["step"]);
            assert_eq!(String::from_utf8(sent).unwrap(), wanted, "{case}");
        }
    }
}

fn text_at(list: &Value, index: usize) -> &str {
    list[index].as_str().unwrap()
}

#[test]
fn requests_are_those_of_dockerd_byte_for_byte() {
    let dialect = Dialect::V20_10;
    let lines = capture(dialect, "wire-raw.jsonl");
    assert!(lines.len() >= 4, "a whole `docker volume create`");
    for line in lines {
        let wanted = text(&line, "request_raw");
        let (head, body) = wanted.split_once("\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let sent = call_like(path, body).request(dialect);
        assert_eq!(String::from_utf8(sent).unwrap(), wanted, "{path}");
    }
}

#[test]
fn strings_are_escaped_as_go_does() {
    let line = &capture(Dialect::V20_10, "logdriver.jsonl")[0];
    let body: Value = serde_json::from_str(text(line, "body")).unwrap();
    let argument = body["Info"]["ContainerArgs"][1].clone();
    assert!(argument.as_str().unwrap().contains(">&"), "{argument}");
    let call = Call::new("LogDriver.StartLogging", &[("Arg", argument)]);
    let escaped = call.body.trim_start_matches("{\"Arg\":");
    let escaped = escaped.trim_end_matches('}');
    assert!(text(line, "body").contains(escaped), "{escaped}\n{line}");
}

#[test]
fn a_first_create_has_the_calls_of_each_engine_in_its_order() {
    let step = steps::find(&root(), "2").unwrap();
    let program = cargo::build(&root(), &step, Kind::Solution).unwrap();
    for dialect in Dialect::ALL {
        let lines = capture(dialect, "vol-create-inspect-ls-rm.jsonl");
        let wanted: Vec<_> = lines
            .iter()
            .filter(|line| line["step"] == 1)
            .map(|line| text(line, "path"))
            .collect();
        let count = if dialect == Dialect::Podman { 3 } else { 4 };
        assert_eq!(wanted.len(), count, "{}: {wanted:?}", dialect.name());

        let mut harness = Harness::new(Program::new(&program).unwrap());
        harness.dialect = dialect;
        let check = checks::all().find(|check| check.id == "2.create").unwrap();
        (check.run)(&mut harness).unwrap();
        // The plugin logs each call: `… POST /VolumeDriver.Create -> 200`.
        let log = harness.log().last_lines(100);
        let sent: Vec<_> = log
            .iter()
            .filter_map(|line| line.split_once("POST "))
            .filter_map(|(_, call)| call.split(' ').next())
            .collect();
        assert_eq!(sent, wanted, "{}", dialect.name());
    }
}

/// The reply as the stand-in reads it from the wire.
fn reply(dialect: Dialect, line: &Value) -> Reply {
    let (mut plugin, mut docker) = UnixStream::pair().unwrap();
    let (status, body) = (&line["status"], text(line, "body"));
    let length = body.len();
    write!(
        plugin,
        "HTTP/1.1 {status} Words\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let reply = read_reply(&mut docker, Duration::from_secs(30)).unwrap();
    let path = text(line, "path").trim_start_matches('/').to_owned();
    reply.to(dialect, path.leak())
}

#[test]
fn replies_are_judged_as_each_engine_judged_them() {
    for dialect in Dialect::ALL {
        let more: &[&str] = match dialect {
            Dialect::Podman => &["vol-errors-mount"],
            _ => &[],
        };
        for name in ["vol-errors-create", "activate-errors"].iter().chain(more)
        {
            let seen = capture(dialect, &format!("{name}.cli.jsonl"));
            let lines = capture(dialect, &format!("{name}.jsonl"));
            assert!(lines.len() >= 12, "{name}: {} replies", lines.len());
            for line in lines {
                let step = &line["step"];
                let case = format!("{} {name} {step}", dialect.name());
                let seen = seen.iter().find(|line| line["step"] == *step);
                let seen = seen.unwrap_or_else(|| panic!("{case}: unseen"));
                judged_as_seen(dialect, &case, &line, seen);
            }
        }
    }
}

#[track_caller]
fn judged_as_seen(dialect: Dialect, case: &str, line: &Value, seen: &Value) {
    let body = text(line, "body");
    let judged = reply(dialect, line).judge();
    let activates = text(line, "path") == "/Plugin.Activate";
    let succeeded = match &judged {
        Ok(value) if activates => lists(value, "Implements", "VolumeDriver"),
        Ok(_) => true,
        Err(_) => false,
    };
    assert_eq!(succeeded, seen["rc"] == 0, "{case}: {judged:?} but {seen}");

    let Err(shown) = judged else { return };
    if dialect == Dialect::Podman {
        // For an answer that Podman cannot read, it shows words of its own, and for a
        // failed handshake it shows none of the plugin's.
        let shows = activates || shown.starts_with("not JSON");
        let stderr = text(seen, "stderr");
        let case = format!("{case}: {shown} but {stderr}");
        assert!(shows || stderr.contains(&shown), "{case}");
        return;
    }
    // If the answer is not JSON of the right shape, dockerd shows words of its own. In
    // a handshake with status 200, dockerd does not read Err.
    let of_the_plugin = line["status"] != 200
        || !activates
            && serde_json::from_str(body).is_ok_and(|body: Value| {
                field(&body, "Err").is_some_and(Value::is_string)
            });
    if of_the_plugin {
        let stderr = text(seen, "stderr");
        assert!(stderr.contains(shown.trim()), "{case}: {shown} but {stderr}");
    }
}

/// Answers each request on `socket` with the next status; returns the paths,
/// without those of handshakes.
fn answer(
    socket: &Path,
    statuses: Vec<u16>,
) -> thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).unwrap();
    let mut statuses = statuses.into_iter();
    thread::spawn(move || {
        let mut paths = Vec::new();
        while let Ok((mut client, _)) = listener.accept() {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            loop {
                let mut lines = Vec::new();
                for line in reader.by_ref().lines() {
                    match line.unwrap() {
                        line if line.is_empty() => break,
                        line => lines.push(line),
                    }
                }
                let Some(first) = lines.first() else { break };
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let length = lines.iter().find_map(|line| {
                    line.strip_prefix("Content-Length: ")?.parse().ok()
                });
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                let status = match path.as_str() {
                    "/Plugin.Activate" => 200,
                    _ => {
                        paths.push(path);
                        statuses.next().unwrap()
                    }
                };
                let head = format!("HTTP/1.1 {status} Words\r\n");
                let body = "Content-Length: 2\r\n\r\n{}";
                client.write_all((head + body).as_bytes()).unwrap();
            }
            if statuses.len() == 0 {
                break;
            }
        }
        paths
    })
}

#[test]
fn podman_mounts_once_and_not_again_after_an_unmount_that_failed() {
    let folder = Folder::new().unwrap();
    let socket = folder.path().join("plugin.sock");
    let id = "93de".repeat(16);
    let (mount, unmount) = (Call::mount("v", &id), Call::unmount("v", &id));
    let plugin = answer(&socket, vec![200, 500, 200, 200, 200]);
    let mut podman = Daemon::new(&socket, Dialect::Podman);

    // Two containers: one Mount, and no Unmount before the second has ended.
    podman.call(&mount).unwrap();
    podman.call(&mount).unwrap();
    podman.call(&unmount).unwrap();
    let failed = podman.call(&unmount).unwrap();
    assert_eq!(failed.status, 500);
    // Podman takes the volume for mounted, and sends no Mount for the next container.
    podman.call(&mount).unwrap();
    podman.call(&unmount).unwrap();
    podman.volume_unmount(&unmount).unwrap();
    podman.call(&mount).unwrap();
    podman.call(&unmount).unwrap();
    drop(podman);
    let sent = plugin.join().unwrap();
    let words: Vec<_> = sent
        .iter()
        .filter_map(|path| path.strip_prefix("/VolumeDriver."))
        .collect();
    assert_eq!(words, ["Mount", "Unmount", "Unmount", "Mount", "Unmount"]);
}
