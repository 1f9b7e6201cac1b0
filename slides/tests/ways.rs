//! `make slides` on machines with different tools: slides/run.sh, with
//! stand-ins for cargo, npm and docker that print their arguments. (`make test`
//! builds the image; npm test shows the deck in a browser.)

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use slides::pdf::Scratch;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs the program that was built for this test, in the place of cargo.
const CARGO: &str = concat!(
    "while [ \"$1\" != -- ]; do shift; done; shift; exec '",
    env!("CARGO_BIN_EXE_slides"),
    "' \"$@\""
);

/// A checkout without `node_modules`, and a PATH with the programs of a test.
struct Machine {
    folder: Scratch,
}

impl Machine {
    fn new(programs: &[(&str, &str)]) -> Self {
        let machine = Self { folder: Scratch::new().unwrap() };
        for part in ["slides", "exercises", "solutions"] {
            copy(&Path::new(ROOT).join(part), &machine.checkout().join(part));
        }
        let bin = machine.bin();
        fs::create_dir(&bin).unwrap();
        for name in ["sh", "dirname"] {
            symlink(found(name), bin.join(name)).unwrap();
        }
        for (name, script) in programs {
            let file = bin.join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&file, mode).unwrap();
        }
        machine
    }

    fn checkout(&self) -> PathBuf {
        self.folder.path().join("workshop")
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn run(&self, words: &[&str], port: u16) -> Command {
        let mut sh = Command::new(found("sh"));
        sh.arg(self.checkout().join("slides/run.sh")).args(words);
        sh.env_clear().env("PATH", self.bin()).env("PORT", port.to_string());
        sh.stdin(Stdio::null());
        sh
    }

    /// The exit status and the output of a run that ends by itself.
    fn says(&self, words: &[&str], port: u16) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } =
            self.run(words, port).output().unwrap();
        let text = [stdout, stderr].concat();
        (status.code(), String::from_utf8(text).unwrap())
    }
}

/// A running server, killed on drop.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(machine: &Machine) -> Self {
        let mut sh = machine.run(&["serve"], 0);
        sh.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = sh.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|it| it.starts_with("http"));
        Self { url: url.expect(&line).to_owned(), child }
    }

    fn get(&self, path: &str) -> String {
        let host = self.url.trim_start_matches("http://").trim_matches('/');
        let mut stream = TcpStream::connect(host).unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Sends SIGINT; returns the exit status and stderr.
    fn interrupted(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        // The shell's builtin: not every machine has a program `kill`.
        let kill = ["-c", "kill -INT $0", &id];
        assert!(Command::new("sh").args(kill).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rust_alone_is_the_plain_page_and_says_so() {
    let failing = ("npm", "exit 1");
    for (case, programs, expected) in [
        ("no npm", vec![], "no npm here, so the slides are one page"),
        ("npm without a network", vec![failing], "npm could not fetch them"),
    ] {
        let programs = [programs, vec![("cargo", CARGO)]].concat();
        let machine = Machine::new(&programs);
        let serving = Serving::start(&machine);
        let page = serving.get("/");
        assert!(page.starts_with("HTTP/1.1 200 OK"), "{case}: {page}");
        assert!(page.contains("Two containers share one file"), "{case}");
        assert!(
            !page.contains("data-deck"),
            "{case}: the page must not be a deck"
        );
        let style = serving.get("/slides/look/page.css");
        assert!(style.starts_with("HTTP/1.1 200 OK"), "{case}: {style}");
        let (code, said) = serving.interrupted();
        assert_eq!(code, Some(0), "{case}: {said}");
        assert!(said.contains(expected), "{case}: {said}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_variable_for_another() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let machine = Machine::new(&[("cargo", CARGO)]);
    let (code, said) = machine.says(&["serve"], port);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert!(said.contains("PORT=N"), "{said}");
}

#[test]
fn a_port_that_is_not_a_number_is_refused() {
    let machine = Machine::new(&[("cargo", CARGO)]);
    for port in ["abc", "65536", "-1"] {
        let output =
            machine.run(&["serve"], 0).env("PORT", port).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!("a port is a number up to 65535, not {port}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn docker_alone_builds_an_image_and_shows_it_to_this_machine() {
    let machine = Machine::new(&[("docker", "echo docker \"$@\" >&2")]);
    let (code, said) = machine.says(&["serve"], 8123);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "docker build --quiet --file docker/slides.Dockerfile",
        "port 8123; PORT=N chooses another",
        "docker run --rm --init -p 127.0.0.1:8123:8123 workshop-slides",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_failed_build_shows_dockers_error_and_the_remedy() {
    let script = "echo \"no such thing: $1\" >&2; exit 1";
    let machine = Machine::new(&[("docker", script)]);
    let (code, said) = machine.says(&["serve"], 8123);
    assert_eq!(code, Some(1), "{said}");
    for expected in ["no such thing: build", "BuildKit", "NODE_IMAGE"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn without_rust_and_docker_the_message_names_both() {
    let docker = ("docker", "echo docker \"$@\" >&2");
    for (case, programs, words) in [
        ("nothing", vec![], vec!["serve"]),
        ("paper by Docker", vec![docker], vec!["pdf", "slides.pdf"]),
    ] {
        let (code, said) = Machine::new(&programs).says(&words, 8123);
        assert_eq!(code, Some(2), "{case}: {said}");
        assert!(said.contains("needs Rust or Docker"), "{case}: {said}");
    }
}

#[test]
fn the_address_to_clone_is_the_workspaces() {
    let manifest = fs::read_to_string(format!("{ROOT}/Cargo.toml")).unwrap();
    let address = manifest
        .lines()
        .find_map(|it| it.strip_prefix("repository = "))
        .unwrap()
        .trim_matches('"');
    let start = fs::read_to_string(format!("{ROOT}/slides/00-start.md"));
    let folder = address.rsplit('/').next().unwrap();
    let expected = format!("git clone {address}\ncd {folder}\n");
    assert!(start.unwrap().contains(&expected), "{expected}");
}

/// The program of that name in PATH.
fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let files = std::env::split_paths(&path).map(|it| it.join(name));
    files.into_iter().find(|it| it.is_file()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, kind) = entry.map(|it| (it.path(), it.file_type())).unwrap();
        let to = to.join(from.file_name().unwrap());
        if kind.unwrap().is_file() {
            fs::copy(from, to).unwrap();
        } else if !from.ends_with("node_modules") && !from.ends_with("target") {
            copy(&from, &to);
        }
    }
}
