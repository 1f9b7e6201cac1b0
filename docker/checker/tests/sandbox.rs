//! docker/sandbox.sh and run.sh, with a script in the place of docker that prints
//! what real ones have printed. The tests compare the messages for people, and the
//! commands that docker gets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stand_in::cleanup::Folder;
use stand_in::search_path::find;

/// A state of Docker, and the result of a command.
struct Case {
    name: &'static str,
    /// Arms of a shell's `case`, before those of a Docker without faults.
    docker: &'static str,
    words: &'static str,
    status: i32,
    /// The message, without the output of the client.
    says: &'static str,
    /// The commands that docker gets, without the flags that are always the same.
    calls: &'static [&'static str],
}

const NO_SANDBOX: &str = "you can work without it: make check-exercise-1";
const LOOK: &str = "container inspect --format {{.Config.Image}} NAME";
const RUNNING: &str = "container inspect --format {{.State.Running}} NAME";
const ENTER: &str = "exec --interactive toolbox-init run true";
const TRY: &str = "run --rm --entrypoint true --privileged IMAGE";
const START: &str = "run --detach --privileged";

const CASES: &[Case] = &[
    Case {
        name: "no fault",
        docker: "",
        words: "run true",
        status: 0,
        says: "",
        calls: &["version", LOOK, "image inspect IMAGE", TRY, START, ENTER],
    },
    Case {
        name: "the command's own status",
        docker: "exec*) exit 3 ;;",
        words: "run true",
        status: 3,
        says: "",
        calls: &["version", LOOK, "image inspect IMAGE", TRY, START, ENTER],
    },
    Case {
        name: "no daemon",
        docker: "version) die 'Cannot connect to the Docker daemon at \
                 unix:///var/run/docker.sock. Is the docker daemon running?' ;;",
        words: "run true",
        status: 125,
        says: "start it: Docker Desktop, or sudo systemctl start docker",
        calls: &["version"],
    },
    Case {
        name: "no permission",
        docker: "version) die 'Got permission denied while trying to connect to \
                 the Docker daemon socket: connect: permission denied' ;;",
        words: "run true",
        status: 125,
        says: "join the group of its socket (sudo usermod -aG docker YOU",
        calls: &["version"],
    },
    Case {
        name: "a client that is too new",
        docker: "version) die 'Error response from daemon: client version 1.52 \
                 is too new. Maximum supported API version is 1.41' ;;",
        words: "run true",
        status: 125,
        says: "update the older of client and dockerd",
        calls: &["version"],
    },
    Case {
        name: "a client that is too old",
        docker: "version) die 'Error response from daemon: client version 1.41 \
                 is too old. Minimum supported API version is 1.44' ;;",
        words: "restart",
        status: 125,
        says: "DOCKER=/usr/bin/docker",
        calls: &["version"],
    },
    Case {
        name: "a base image that cannot be pulled",
        docker: "'image inspect'*) die 'No such image' ;; \
                 build*) die 'failed to resolve source metadata: timeout' ;;",
        words: "run true",
        status: 125,
        says: "If the rust image cannot be pulled: BASE=IMAGE",
        calls: &["version", LOOK, "image inspect IMAGE", "build --tag IMAGE"],
    },
    Case {
        name: "no privileged containers, but others",
        docker: "*--privileged*) die 'unable to apply caps: operation not \
                 permitted' ;;",
        words: "run true",
        status: 0,
        says: "the sandbox gets all capabilities except one",
        calls: &[
            "version",
            LOOK,
            "image inspect IMAGE",
            TRY,
            "run --detach --cap-add ALL --cap-drop SYS_RESOURCE --cgroupns",
            ENTER,
        ],
    },
    Case {
        name: "no such container may run at all",
        docker: "'run --detach'*) die 'operation not permitted' ;;",
        words: "run true",
        status: 125,
        says: NO_SANDBOX,
        calls: &[
            "version",
            LOOK,
            "image inspect IMAGE",
            TRY,
            START,
            "rm --force --volumes NAME",
        ],
    },
    Case {
        name: "another shell was faster",
        docker: "'run --detach'*) touch running; die 'Conflict. The container \
                 name is already in use by container 12' ;;",
        words: "run true",
        status: 0,
        says: "",
        calls: &[
            "version",
            LOOK,
            "image inspect IMAGE",
            TRY,
            START,
            RUNNING,
            RUNNING,
            ENTER,
        ],
    },
    Case {
        name: "it runs already",
        docker: "'container inspect --format {{.C'*) echo IMAGE ;; \
                 'container inspect'*) echo true ;;",
        words: "run true",
        status: 0,
        says: "",
        calls: &["version", LOOK, RUNNING, ENTER],
    },
    Case {
        name: "it is of an older edition",
        docker: "'container inspect --format {{.C'*) echo older ;; \
                 'container inspect'*) echo true ;;",
        words: "run true",
        status: 0,
        says: "this sandbox is of another version of the workshop",
        calls: &["version", LOOK, RUNNING, ENTER],
    },
    Case {
        name: "it was killed half way",
        docker: "'container inspect --format {{.C'*) echo IMAGE ;; \
                 'container inspect'*) echo false ;;",
        words: "run true",
        status: 0,
        says: "",
        calls: &["version", LOOK, RUNNING, "start NAME", ENTER],
    },
    Case {
        name: "it was killed, and does not start again",
        docker: "'container inspect --format {{.C'*) echo IMAGE ;; \
                 start*) die 'no such file or directory' ;;",
        words: "run true",
        status: 125,
        says: "sandbox.sh rm)",
        calls: &["version", LOOK, RUNNING, "start NAME"],
    },
    Case {
        name: "rm of one that is not there",
        docker: "rm*) die 'Error: No such container: NAME' ;;",
        words: "rm",
        status: 0,
        says: "the sandbox is removed. docker volume rm NAME-target workshop-cargo",
        calls: &["version", RUNNING, "rm --force --volumes NAME"],
    },
    Case {
        name: "an rm that fails",
        docker: "rm*) die 'removal is already in progress' ;;",
        words: "rm",
        status: 125,
        says: "removal is already in progress",
        calls: &["version", RUNNING, "rm --force --volumes NAME"],
    },
];

/// The scripts, a script in the place of docker, and a PATH without cargo.
struct Session {
    folder: Folder,
    name: String,
    image: String,
}

impl Session {
    fn new() -> Self {
        let folder = Folder::new().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for tool in
            ["sh", "cat", "cksum", "cut", "sed", "tail", "mkdir", "dirname"]
        {
            symlink(find(tool).unwrap(), bin.join(tool)).unwrap();
        }
        symlink(find("touch").unwrap(), bin.join("touch")).unwrap();
        // Nothing changes with time here, so sleep returns at once.
        symlink(find("true").unwrap(), bin.join("sleep")).unwrap();
        let mut session =
            Self { folder, name: String::new(), image: String::new() };
        session.docker("");
        let image = session.sandbox(&["name"]);
        session.image = text(&image.stdout).trim().to_owned();
        let sum =
            session.run("sh", &["-c", "pwd -P | cksum | cut -d ' ' -f 1"]);
        session.name = format!("workshop-{}", text(&sum.stdout).trim());
        session
    }

    fn docker(&self, arms: &str) {
        let folder = self.folder.path();
        let _ = fs::remove_file(folder.join("calls"));
        let _ = fs::remove_file(folder.join("running"));
        let script = format!(
            "#!/bin/sh\ndie() {{ echo \"$*\" >&2; exit 1; }}\n\
             cd '{}'\necho \"$*\" >>calls\ncase \"$*\" in\n{}\n\
             'container inspect --format {{{{.S'*) [ ! -e running ] || \
             echo true ;;\n\
             'container inspect'*) die 'No such container' ;;\nesac\n",
            folder.display(),
            arms.replace("IMAGE", &self.image).replace("NAME", &self.name)
        );
        let file = folder.join("bin/docker");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn sandbox(&self, words: &[&str]) -> Output {
        self.run("sh", &[&["docker/sandbox.sh"], words].concat())
    }

    fn run(&self, program: &str, words: &[&str]) -> Output {
        let bin = self.folder.path().join("bin");
        Command::new(bin.join(program))
            .args(words)
            .current_dir(common::root())
            .env_clear()
            .env("PATH", bin)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The commands that docker got, with IMAGE and NAME for names that differ in
    /// each run.
    fn calls(&self) -> Vec<String> {
        let file = self.folder.path().join("calls");
        let calls = fs::read_to_string(file).unwrap_or_default();
        let plain = |line: &str| {
            line.replace(&self.image, "IMAGE").replace(&self.name, "NAME")
        };
        calls.lines().map(plain).map(without_settings).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Removes the flags for variables of `exec`, and for the name of `run --detach`.
fn without_settings(call: String) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut all = call.split(' ');
    while let Some(word) = all.next() {
        match word {
            "--env" | "--hostname" | "--name" => drop(all.next()),
            "NAME" if words.first() == Some(&"exec") => {}
            _ => words.push(word),
        }
    }
    words.join(" ")
}

#[track_caller]
fn assert_calls(case: &Case, session: &Session) {
    let calls = session.calls();
    let same = calls.len() == case.calls.len()
        && calls
            .iter()
            .zip(case.calls)
            .all(|(call, head)| call.starts_with(head));
    let Case { name, calls: expected, .. } = case;
    assert!(same, "{name}: expected {expected:#?}, got {calls:#?}");
}

#[test]
fn each_fault_of_docker_has_a_message_and_a_next_step() {
    let session = Session::new();
    for case in CASES {
        session.docker(case.docker);
        let words: Vec<_> = case.words.split(' ').collect();
        let output = session.sandbox(&words);
        let message = text(&output.stderr);
        let Case { name, says, status, .. } = case;
        assert_eq!(output.status.code(), Some(*status), "{name}: {message}");
        let says = says.replace("NAME", &session.name);
        assert!(message.contains(&says), "{name}: {message}");
        assert!(!says.is_empty() || message.is_empty(), "{name}: {message}");
        assert_calls(case, &session);
    }
}

#[test]
fn make_without_cargo_returns_the_status_or_2_without_a_sandbox() {
    let session = Session::new();
    for (docker, expected) in
        [("version) die down ;;", 2), ("exec*) exit 1 ;;", 1), ("", 0)]
    {
        session.docker(docker);
        let output = session.run("sh", &["docker/checker/run.sh", "hint", "1"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{docker}: {message}");
    }
    let last = session.calls().pop().unwrap();
    assert!(last.ends_with("sh docker/checker/run.sh hint 1"), "{last}");
}

#[test]
fn without_cargo_and_docker_both_are_named() {
    let session = Session::new();
    let docker: &Path = &session.folder.path().join("bin/docker");
    fs::remove_file(docker).unwrap();
    let output = session.run("sh", &["docker/checker/run.sh", "hint", "1"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("https://rustup.rs"), "{message}");
    let output = session.sandbox(&["run", "true"]);
    assert_eq!(output.status.code(), Some(125));
    let message = text(&output.stderr);
    assert!(
        message.contains("no docker on this machine: https://"),
        "{message}"
    );
}
