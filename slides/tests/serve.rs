//! The program over HTTP: the files that it serves or refuses, and its end.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use slides::pdf::Scratch;

/// `slides serve` on a free port, killed on drop.
struct Slides {
    child: Child,
    port: u16,
    /// Kept open, so that later output does not fail.
    _stdout: BufReader<ChildStdout>,
}

impl Slides {
    fn serve(root: &str) -> Self {
        let mut child = program(&["serve", "--port", "0", "--root", root])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port = line.split(':').nth(3).and_then(|it| it.split('/').next());
        let port = port.and_then(|it| it.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{line:?} says no port"));
        Self { child, port, _stdout: stdout }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1"))
    }

    fn ask(&self, line: &str) -> String {
        let mut stream = self.connect();
        let head = format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        String::from_utf8_lossy(&got).into_owned()
    }
}

impl Drop for Slides {
    fn drop(&mut self) {
        // The program may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slides"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// A repository with one chapter, which tests can break.
fn repository() -> Scratch {
    let folder = Scratch::new().unwrap();
    for name in ["slides/look", "slides/node_modules", "solutions", "secret"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
    };
    write("slides/01-one.md", CHAPTER);
    write("slides/.hidden", "secret");
    write("slides/node_modules/x.js", "secret");
    write("solutions/x.rs", "fn main() {}");
    write("secret/key", "secret");
    symlink("../secret/key", folder.path().join("solutions/inside")).unwrap();
    symlink("/etc/hostname", folder.path().join("solutions/outside")).unwrap();
    folder
}

const CHAPTER: &str = "---
step: 0
minutes: 1
---

# The only slide here

Note:
minutes: 1

Say so.
";

#[test]
fn hands_out_the_slides_and_the_sources_and_nothing_else() {
    let folder = repository();
    let slides = Slides::serve(folder.path().to_str().unwrap());
    const CASES: [(&str, &str); 16] = [
        ("GET / HTTP/1.1", "200"),
        ("GET /?page HTTP/1.1", "200"),
        ("HEAD / HTTP/1.1", "200"),
        ("GET /slides/01-one.md HTTP/1.1", "200"),
        ("GET /solutions/x.rs HTTP/1.1", "200"),
        ("GET /solutions HTTP/1.1", "404"),
        ("GET /secret/key HTTP/1.1", "404"),
        ("GET /solutions/../secret/key HTTP/1.1", "404"),
        ("GET /solutions/%2e%2e/secret/key HTTP/1.1", "404"),
        ("GET //etc/hostname HTTP/1.1", "404"),
        ("GET /slides/.hidden HTTP/1.1", "404"),
        ("GET /slides/node_modules/x.js HTTP/1.1", "404"),
        ("GET /solutions/outside HTTP/1.1", "404"),
        ("POST / HTTP/1.1", "405"),
        ("DELETE /solutions/x.rs HTTP/1.1", "405"),
        ("OPTIONS / HTTP/1.1", "405"),
    ];
    for (line, status) in CASES {
        let got = slides.ask(line);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(got.starts_with(&expected), "{line}: {got}");
        assert!(!got.contains("secret\n"), "{line}: {got}");
    }
    let head = slides.ask("HEAD / HTTP/1.1");
    assert!(head.ends_with("\r\n\r\n"), "a HEAD has no body: {head}");
}

#[test]
fn a_link_from_one_shared_folder_into_another_place_is_refused() {
    let folder = repository();
    let slides = Slides::serve(folder.path().to_str().unwrap());
    let got = slides.get("/solutions/inside");
    assert!(got.starts_with("HTTP/1.1 404 "), "{got}");
}

#[test]
fn an_author_sees_a_mistake_and_its_repair_without_a_restart() {
    let folder = repository();
    let slides = Slides::serve(folder.path().to_str().unwrap());
    assert!(!slides.get("/").contains("broken"));
    let chapter = folder.path().join("slides/01-one.md");
    let broken = CHAPTER.replace("\nNote:", "\n```sh\nmake\n\nNote:");
    fs::write(&chapter, broken).unwrap();
    let got = slides.get("/");
    assert!(got.contains("slides/01-one.md:8: this fence is never"), "{got}");
    fs::write(&chapter, CHAPTER).unwrap();
    assert!(!slides.get("/").contains("broken"));
}

#[test]
fn open_connections_do_not_delay_others() {
    let folder = repository();
    let root = folder.path().to_str().unwrap();
    // A race strands connections, most often in a fresh process.
    for round in 0..10 {
        let slides = Slides::serve(root);
        let mut held: Vec<_> = (0..32).map(|_| slides.connect()).collect();
        for stream in &mut held {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        }
        for (number, stream) in held.iter_mut().enumerate() {
            let mut first = [0; 12];
            let read = stream.read_exact(&mut first);
            assert!(read.is_ok(), "round {round}: connection {number} waits");
            assert_eq!(&first, b"HTTP/1.1 200");
        }
    }
}

#[test]
fn a_port_in_use_is_named_with_the_option_for_another() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, said) = run(&["serve", "--port", &port]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert!(said.contains("--port N"), "{said}");
}

#[test]
fn a_signal_ends_the_program() {
    for signal in ["INT", "TERM"] {
        let folder = repository();
        let mut slides = Slides::serve(folder.path().to_str().unwrap());
        let pid = slides.child.id().to_string();
        // The shell's builtin: not every machine has a program `kill`.
        let kill = ["-c", "kill -s $0 $1", signal, &pid];
        assert!(Command::new("sh").args(kill).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            match slides.child.try_wait().unwrap() {
                Some(status) => break status,
                None => {
                    assert!(
                        Instant::now() < deadline,
                        "{signal}: the program still runs"
                    )
                }
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    const CASES: [&[&str]; 7] = [
        &[],
        &["server"],
        &["serve", "--prot", "1"],
        &["serve", "--port", "http"],
        &["build"],
        &["build", "x", "--port", "1"],
        &["serve", "--root"],
    ];
    for args in CASES {
        let (code, said) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
    }
    let (code, said) = run(&["--help"]);
    assert_eq!(code, Some(0), "{said}");
    for word in ["serve", "build DIR", "pdf FILE", "check", "--everyone"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_deck_with_a_mistake_is_not_built() {
    let folder = repository();
    let root = folder.path().to_str().unwrap();
    let chapter = folder.path().join("slides/01-one.md");
    fs::write(chapter, CHAPTER.replace("Note:", "Notes:")).unwrap();
    let to = folder.path().join("deck");
    let (code, said) = run(&["build", to.to_str().unwrap(), "--root", root]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("slides/01-one.md:"), "{said}");
    assert!(!to.exists(), "nothing must be written");
}
