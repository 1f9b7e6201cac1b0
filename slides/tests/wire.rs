//! The exchanges on slides are those of Docker and the solutions, byte for
//! byte.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use slides::chapter::Deck;
use slides::fence::CodeKind;
use stand_in::plugin::{Place, Plugin, Program};
use stand_in::steps::Kind;

#[test]
fn every_exchange_has_the_answer_of_the_solution() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let deck = Deck::read(root).unwrap();
    let mut played = 0;
    for (chapter, slide) in deck.slides() {
        for code in &slide.code {
            let CodeKind::Http(package) = &code.kind else { continue };
            let place = format!("slides/{}:{}", chapter.file, code.line);
            let wrong = play(package, &code.text);
            assert_eq!(wrong, None, "{place}: {package}");
            played += 1;
        }
    }
    assert!(played >= 4, "only {played} exchanges were found");
}

#[test]
fn a_wrong_exchange_is_found() {
    const ASKED: &str = "POST /Plugin.Activate HTTP/1.1
Host: plugin.moby.localhost
User-Agent: Go-http-client/1.1
Content-Length: 0
Accept: application/vnd.docker.plugins.v1.2+json";
    let activate = r#"{"Implements":["VolumeDriver"]}"#;
    let right = format!("{ASKED}\n\nHTTP/1.1 200 OK\n\n{activate}\n");
    assert_eq!(play("solution-01", &right), None);
    for (part, lie) in [
        ("200 OK", "404 Not Found"),
        ("VolumeDriver\"]", "volumedriver\"]"),
        ("\n\nHTTP/1.1 200 OK\n\n", "\n\nHTTP/1.1 200 OK\nX-Lie: 1\n\n"),
        ("Content-Length: 0", "Content-Length: 7"),
        ("Accept: ", "Accept-Language: "),
        ("Host: plugin.moby.localhost", "Host: localhost"),
    ] {
        let wrong = right.replace(part, lie);
        assert_ne!(play("solution-01", &wrong), None, "{lie} goes unnoticed");
    }
}

/// The headers that dockerd 26.1 and 28.5 send, without the length.
const HEAD: [&str; 4] = [
    "Host: plugin.moby.localhost",
    "User-Agent: Go-http-client/1.1",
    "Content-Length: ",
    "Accept: application/vnd.docker.plugins.v1.2+json",
];

/// Sends the request of an exchange, and returns the difference, if there is
/// one.
fn play(package: &str, exchange: &str) -> Option<String> {
    let (asked, answered) = exchange.split_once("\n\nHTTP/1.1 ")?;
    let (head, body) = asked.split_once("\n\n").unwrap_or((asked, ""));
    // Docker ends each body with a newline, and counts the newline.
    let body =
        if body.is_empty() { String::new() } else { format!("{body}\n") };
    let mut lines = head.lines();
    let first = lines.next()?;
    if !first.starts_with("POST /") || !first.ends_with(" HTTP/1.1") {
        return Some(format!("Docker does not send `{first}`"));
    }
    let length = format!("{}{}", HEAD[2], body.len());
    let expected = [HEAD[0], HEAD[1], &length, HEAD[3]];
    if !lines.clone().eq(expected) {
        return Some(format!("Docker sends {expected:#?}, in this order"));
    }
    let head = head.replace('\n', "\r\n");
    let got = ask(package, &format!("{head}\r\n\r\n{body}"));
    let (got_head, got_body) = got.split_once("\r\n\r\n")?;
    let answered = format!("HTTP/1.1 {answered}");
    let (head, body) = answered.split_once("\n\n")?;
    let same = head.lines().all(|line| got_head.lines().any(|it| it == line));
    (!same || got_body.trim_end() != body.trim_end()).then(|| got.clone())
}

/// A solution's reply to one request. The solution gets a socket and a ROOT of
/// its own, because without them it would use those that Docker knows.
fn ask(package: &str, request: &str) -> String {
    let root = stand_in::steps::root().unwrap();
    let number = package.trim_start_matches("solution-");
    let step = stand_in::steps::find(&root, number).unwrap();
    let program = checker::cargo::build(&root, &step, Kind::Solution).unwrap();
    let place = Place::new().unwrap();
    let program = Program::new(&program).unwrap();
    let mut plugin = Plugin::spawn(&program, &place).unwrap();
    let mut stream = plugin.listens_on(&place.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    // The plugin keeps the connection open, so read only the announced length.
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !whole(&String::from_utf8_lossy(&got)) {
        let read = stream.read(&mut buffer).unwrap();
        let got_so_far = String::from_utf8_lossy(&got);
        assert!(read > 0, "closed after {got_so_far:?}");
        got.extend(&buffer[..read]);
    }
    String::from_utf8(got).unwrap()
}

fn whole(reply: &str) -> bool {
    let Some((head, body)) = reply.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|it| it.strip_prefix("Content-Length: "));
    length.is_some_and(|it| it.parse() == Ok(body.len()))
}
