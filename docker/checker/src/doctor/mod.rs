//! `make doctor`: says what this machine has and which steps that allows.
//!
//! [`Machine`] holds facts and [`look`] gathers them. The conclusions are drawn
//! here from the facts alone, so that tests can describe any machine.

mod probe;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stand_in::report::{BAD, GOOD};

/// The oldest Rust that builds the workshop, from the manifests.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// The last step whose volumes need no filesystem of their own.
const WITHOUT_FILESYSTEMS: u32 = 7;

/// How much disk a build of everything takes, in MiB.
const ROOM: u64 = 2048;

const RUSTUP: &str =
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";

/// Facts about one machine.
#[derive(Clone, Debug)]
pub struct Machine {
    system: System,
    installer: Option<Installer>,
    systemd: bool,
    root: bool,
    wsl: Wsl,
    rustup: bool,
    /// Versions, as the programs print them.
    rustc: Option<String>,
    cargo: Option<String>,
    make: Option<String>,
    node: Option<String>,
    npm: Option<String>,
    docker: Docker,
    /// Whether we may make a file where dockerd looks for plugins.
    plugins: bool,
    dockerd: Option<PathBuf>,
    /// Why this machine cannot start a private dockerd.
    no_private: Option<String>,
    podman: Option<String>,
    /// Why this machine cannot run a private Podman.
    no_podman: Option<String>,
    loops: bool,
    /// The value of DOCKER_HOST, unless it is empty.
    docker_host: Option<String>,
    mkfs: Option<PathBuf>,
    strace: Option<PathBuf>,
    browser: Option<String>,
    /// The type of the filesystem that holds /var/lib/workshop.
    filesystem: Option<String>,
    /// Free space where cargo builds, in MiB.
    free: Option<u64>,
    temp: Temp,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    MacOs,
    Other,
}

/// Linux inside Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wsl {
    No,
    /// The checkout is on Linux's own disk.
    Home,
    /// The checkout is on a disk of Windows, which is slow and takes no sockets.
    Windows,
}

/// The program that installs packages here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installer {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
    Brew,
}

/// The state of this machine's Docker.
#[derive(Clone, Debug)]
enum Docker {
    NoClient,
    /// The command `docker` is another program.
    Foreign,
    /// The client did not end in time.
    Silent,
    /// No daemon answers; `why` has the client's words.
    NoDaemon {
        client: String,
        why: String,
    },
    /// We may not open the daemon's socket.
    Locked {
        client: String,
        socket: String,
        group: Option<String>,
    },
    /// Client and daemon have no API version in common; `why` has the daemon's
    /// words.
    Apart {
        client: String,
        why: String,
    },
    Answers {
        client: String,
        server: String,
        /// The API version on which client and daemon agreed.
        api: String,
        location: DaemonLocation,
    },
}

/// The host whose files the daemon sees, where it also looks for plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DaemonLocation {
    Here,
    /// Run by a user who is not root, in namespaces of its own.
    Rootless,
    /// In a virtual machine with this name, such as Docker Desktop.
    Virtual(String),
    /// On another host with this name.
    Elsewhere(String),
}

#[derive(Clone, Debug)]
struct Temp {
    path: PathBuf,
    /// Why no socket can be bound there.
    trouble: Option<String>,
}

/// The steps in this checkout.
#[derive(Clone, Debug)]
struct Course {
    last: u32,
    /// The exercise that the learner is in; `None` if no hole is open.
    next: Option<u32>,
    /// How far the learner is in there, unless it is untouched.
    work: Option<String>,
    /// Whether the Makefile has a target for the sandbox.
    sandbox: bool,
}

/// Gathers the facts about this machine, within a few seconds.
pub fn look(root: &Path) -> Machine {
    probe::machine(root)
}

/// One line about one thing.
struct Item {
    name: &'static str,
    state: State,
}

enum State {
    Has(String),
    Lacks {
        what: String,
        /// What it would make possible.
        adds: &'static str,
        /// The command that provides it.
        how: String,
    },
}

fn has(name: &'static str, what: impl Into<String>) -> Item {
    Item { name, state: State::Has(what.into()) }
}

fn lacks(
    name: &'static str,
    what: impl Into<String>,
    adds: &'static str,
    how: impl Into<String>,
) -> Item {
    let state = State::Lacks { what: what.into(), adds, how: how.into() };
    Item { name, state }
}

impl Machine {
    /// Whether this machine's Rust can build the workshop.
    pub fn builds(&self) -> bool {
        let new = |version: &Option<String>| {
            version
                .as_deref()
                .is_some_and(|version| number(version) >= number(RUST))
        };
        new(&self.rustc) && new(&self.cargo)
    }

    fn items(&self) -> Vec<Item> {
        let mut items = vec![self.rust(), self.make()];
        items.extend(self.docker());
        if self.system == System::Linux {
            items.push(self.dockerd());
            items.push(self.podman());
            items.push(self.filesystems());
            items.extend(self.filesystem.as_ref().map(|kind| {
                has("volumes", format!("/var/lib/workshop would be on {kind}"))
            }));
            items.push(self.strace());
        }
        items.extend([self.browser(), self.node()]);
        items.extend(self.disk());
        items.push(self.temp());
        items.extend(self.wsl());
        items
    }

    fn rust(&self) -> Item {
        let adds = "everything: the plugins and this checker are built with it";
        let (Some(rustc), Some(cargo)) = (&self.rustc, &self.cargo) else {
            let what = if self.rustc.is_some() { "no cargo" } else { "none" };
            return lacks("Rust", what, adds, RUSTUP);
        };
        if self.builds() {
            return has("Rust", format!("{rustc} ({RUST} or newer is needed)"));
        }
        let old = if number(rustc) < number(RUST) {
            format!("{rustc} is older than {RUST}")
        } else {
            format!("cargo {cargo} is older than {RUST}")
        };
        lacks("Rust", old, adds, self.new_rust())
    }

    fn new_rust(&self) -> &'static str {
        if self.rustup { "rustup update stable" } else { RUSTUP }
    }

    fn make(&self) -> Item {
        match &self.make {
            Some(version) => has("make", version),
            None => lacks(
                "make",
                "none",
                "the short commands (without: sh docker/checker/run.sh --help)",
                match self.system {
                    System::MacOs => "xcode-select --install".to_owned(),
                    _ => self.get("make"),
                },
            ),
        }
    }

    fn docker(&self) -> Vec<Item> {
        const ADDS: &str = "the same steps in a real Docker";
        let client = |version: &str| has("docker", format!("client {version}"));
        let daemon = |what: &str, how: String| lacks("daemon", what, ADDS, how);
        match &self.docker {
            Docker::NoClient => {
                vec![lacks("docker", "no client", ADDS, self.get("docker"))]
            }
            Docker::Foreign => vec![lacks(
                "docker",
                "the command is not Docker's own (Podman's?)",
                ADDS,
                self.get("docker"),
            )],
            Docker::Silent => vec![lacks(
                "docker",
                "`docker version` does not end",
                ADDS,
                "look at `docker context ls` and DOCKER_HOST, or restart Docker",
            )],
            Docker::NoDaemon { client: version, why } => {
                vec![client(version), daemon(why, self.start_docker())]
            }
            Docker::Locked { client: version, socket, group } => {
                let group = group.as_deref().unwrap_or("docker");
                let what = format!("you may not open {socket}");
                let how = format!(
                    "sudo usermod -aG {group} $USER, then log in again (the \
                     group has the rights of root), or sudo for each command"
                );
                vec![client(version), daemon(&what, how)]
            }
            Docker::Apart { client: version, why } => {
                let how = "update the older of the two; the stand-in daemon \
                           works without them";
                vec![client(version), daemon(why, how.to_owned())]
            }
            Docker::Answers { client: version, server, api, location } => {
                let text = format!(
                    "{}{server} answers, with API version {api}",
                    location.before_version()
                );
                vec![
                    client(version),
                    has("daemon", text),
                    self.plugins(location),
                ]
            }
        }
    }

    fn start_docker(&self) -> String {
        if let Some(host) = &self.docker_host {
            return format!(
                "unset DOCKER_HOST (it says {host}), or start the dockerd that \
                 should listen there"
            );
        }
        match (self.system, self.wsl) {
            (System::MacOs, _) => "open -a Docker".to_owned(),
            (_, Wsl::Home | Wsl::Windows) => {
                "start Docker Desktop and switch on its WSL integration, or: \
                 sudo service docker start"
                    .to_owned()
            }
            _ if self.systemd => {
                self.sudo("systemctl start docker").into_owned()
            }
            _ => self.sudo("service docker start").into_owned(),
        }
    }

    /// Where the daemon that answers looks for plugins.
    fn plugins(&self, location: &DaemonLocation) -> Item {
        const ADDS: &str = "your plugin in a real Docker";
        let sandbox = || match self.course.sandbox {
            true => "make sandbox".to_owned(),
            false => "a Linux machine with a Docker of its own".to_owned(),
        };
        match location {
            DaemonLocation::Here if self.plugins => has(
                "plugins",
                "Docker looks in /run/docker/plugins, and you may write there",
            ),
            DaemonLocation::Here => lacks(
                "plugins",
                "Docker looks in /run/docker/plugins, where only root may write",
                ADDS,
                match self.course.sandbox {
                    true => "make sandbox".to_owned(),
                    false => {
                        "sudo env \"PATH=$PATH\" make … DOCKERD=host".into()
                    }
                },
            ),
            DaemonLocation::Rootless => lacks(
                "plugins",
                "Docker looks in /run/docker/plugins of its own namespace, and \
                 for .spec files in ~/.local/lib/docker/plugins",
                ADDS,
                sandbox(),
            ),
            DaemonLocation::Virtual(name) => lacks(
                "plugins",
                format!("Docker looks inside the machine of {name}, not here"),
                ADDS,
                sandbox(),
            ),
            DaemonLocation::Elsewhere(host) => lacks(
                "plugins",
                format!("Docker looks on {host}, not here"),
                ADDS,
                sandbox(),
            ),
        }
    }

    /// The program for a private dockerd.
    fn dockerd(&self) -> Item {
        const ADDS: &str = "each step in a private Docker (AGAINST=docker)";
        match (&self.dockerd, &self.no_private) {
            (Some(path), None) => {
                let path = path.display();
                has("dockerd", format!("{path}, for a private Docker"))
            }
            (Some(_), Some(why)) if !self.root => {
                lacks("dockerd", why, ADDS, "sudo env \"PATH=$PATH\" make …")
            }
            (_, why) => lacks(
                "dockerd",
                why.as_deref().unwrap_or("no such program"),
                ADDS,
                self.get("docker"),
            ),
        }
    }

    fn podman(&self) -> Item {
        const ADDS: &str = "steps 4 and 8 in a private Podman (AGAINST=podman)";
        match (&self.podman, &self.no_podman) {
            (Some(version), None) => has(
                "podman",
                format!("{version}, for a private Podman (AGAINST=podman)"),
            ),
            (Some(_), Some(why)) if !self.root => {
                lacks("podman", why, ADDS, "sudo env \"PATH=$PATH\" make …")
            }
            (_, why) => lacks(
                "podman",
                why.as_deref().unwrap_or("no such program"),
                ADDS,
                self.get("podman"),
            ),
        }
    }

    fn filesystems(&self) -> Item {
        const ADDS: &str = "volumes with a size limit (step 8)";
        match &self.mkfs {
            _ if !self.loops => lacks(
                "ext4",
                "no loop devices",
                ADDS,
                self.sudo("modprobe loop").into_owned(),
            ),
            None => lacks("ext4", "no mkfs.ext4", ADDS, self.get("mkfs.ext4")),
            Some(_) if !self.root => lacks(
                "ext4",
                "only root may mount a filesystem",
                ADDS,
                match self.course.sandbox {
                    true => "make sandbox",
                    false => "sudo env \"PATH=$PATH\" make …",
                },
            ),
            Some(mkfs) => {
                has("ext4", format!("{} and loop devices", mkfs.display()))
            }
        }
    }

    fn strace(&self) -> Item {
        match &self.strace {
            Some(path) => has("strace", path.display().to_string()),
            None => lacks(
                "strace",
                "none",
                "the check in step 6 that a plugin syncs, and proofs that kill \
                 a plugin at its system calls",
                self.get("strace"),
            ),
        }
    }

    fn browser(&self) -> Item {
        match &self.browser {
            Some(name) => has("browser", name),
            None => lacks(
                "browser",
                "none found",
                "the slides as a deck, and as PDF",
                self.get("browser"),
            ),
        }
    }

    fn node(&self) -> Item {
        match (&self.node, &self.npm) {
            (Some(node), Some(npm)) => {
                has("node", format!("{node}, npm {npm}"))
            }
            (node, _) => lacks(
                "node",
                if node.is_some() { "no npm" } else { "none" },
                "the slides as a deck (otherwise they are one plain page)",
                self.get("node"),
            ),
        }
    }

    fn disk(&self) -> Option<Item> {
        let free = self.free?;
        let text =
            format!("{}.{} GiB free", free / 1024, free % 1024 * 10 / 1024);
        Some(if free >= ROOM {
            has("disk", text)
        } else {
            lacks(
                "disk",
                text,
                "a build of all steps (about 2 GiB)",
                "free some space, or CARGO_TARGET_DIR=/some/folder make …",
            )
        })
    }

    fn temp(&self) -> Item {
        let path = self.temp.path.display();
        match &self.temp.trouble {
            None => has("sockets", format!("{path} takes sockets")),
            Some(why) => lacks(
                "sockets",
                format!("{path}: {why}"),
                "the checks, in which each plugin listens in a folder there",
                "TMPDIR=/some/folder make …",
            ),
        }
    }

    fn wsl(&self) -> Option<Item> {
        match self.wsl {
            Wsl::No => None,
            Wsl::Home => Some(has("WSL", "the files are on Linux's own disk")),
            Wsl::Windows => Some(lacks(
                "WSL",
                "these files are on a Windows disk, which is slow and takes no \
                 sockets",
                "builds that are many times faster",
                "move the project to your Linux home folder",
            )),
        }
    }

    fn sudo<'a>(&self, command: &'a str) -> std::borrow::Cow<'a, str> {
        if self.root {
            command.into()
        } else {
            format!("sudo {command}").into()
        }
    }

    /// The command that installs `thing`.
    fn get(&self, thing: &str) -> String {
        let package = package(self.installer, thing);
        match self.installer {
            Some(Installer::Brew) => format!("brew install {package}"),
            Some(installer) => {
                let words = installer.words();
                self.sudo(&format!("{words} {package}")).into_owned()
            }
            None => format!("install {package} with your system's tools"),
        }
    }

    /// Whether this machine's own Docker can use our plugins, and whether it could
    /// if we were root.
    fn own_docker(&self) -> (bool, bool) {
        let here = matches!(
            self.docker,
            Docker::Answers { location: DaemonLocation::Here, .. }
        ) && self.system == System::Linux;
        (here && self.plugins, here && !self.root)
    }

    /// The conclusion, in one line.
    fn verdict(&self) -> String {
        if !self.builds() {
            return format!("no step yet, because Rust {RUST} is missing");
        }
        if self.temp.trouble.is_some() {
            return "no step yet, because a folder that takes sockets is missing"
                .to_owned();
        }
        let answers = matches!(self.docker, Docker::Answers { .. });
        let sandbox = answers && self.course.sandbox;
        let own = self.system == System::Linux
            && self.loops
            && self.mkfs.is_some()
            && self.root;
        let last = match own || sandbox {
            true => self.course.last,
            false => self.course.last.min(WITHOUT_FILESYSTEMS),
        };
        let steps = match last {
            0 => return "no step, because solutions/ is empty".to_owned(),
            1 => "step 1".to_owned(),
            _ => format!("steps 1-{last}"),
        };
        let mut line = format!("{steps}, checked by the stand-in daemon");
        let (now, as_root) = self.own_docker();
        line.push_str(if now {
            " and by this machine's own Docker"
        } else if sandbox {
            " and by the Docker of the sandbox (make sandbox)"
        } else if self.no_private.is_none() {
            " and by a private Docker (AGAINST=docker)"
        } else if as_root {
            "; as root, also by this machine's own Docker"
        } else {
            ""
        });
        line
    }

    /// The next command to type.
    fn next(&self) -> String {
        if !self.builds() {
            let command = match self.rustc {
                Some(_) => self.new_rust(),
                None => RUSTUP,
            };
            return command.to_owned();
        }
        if self.temp.trouble.is_some() {
            return "TMPDIR=/some/folder make doctor".to_owned();
        }
        let (verb, step) = match self.course.next {
            Some(step) => ("run", step),
            None => ("check", self.course.last.max(1)),
        };
        match self.make {
            Some(_) => format!("make {verb}-exercise-{step}"),
            None => format!("sh docker/checker/run.sh {verb} exercise {step}"),
        }
    }
}

impl Machine {
    /// The report as one object: `things`, a list of objects with `name`, `has` and
    /// `what`, and of missing things also `adds` and `how`; `verdict` and `next`, the
    /// sentences of the text; and `builds`, which is false if Rust is missing.
    pub fn json(&self) -> Value {
        let thing = |Item { name, state }| match state {
            State::Has(what) => {
                json!({"name": name, "has": true, "what": what})
            }
            State::Lacks { what, adds, how } => json!({
                "name": name, "has": false, "what": what, "adds": adds, "how": how,
            }),
        };
        json!({
            "format": "workshop doctor 1",
            "builds": self.builds(),
            "things": self.items().into_iter().map(thing).collect::<Vec<_>>(),
            "verdict": self.verdict(),
            "next": self.next(),
        })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Item { name, state } in self.items() {
            match state {
                State::Has(what) => {
                    writeln!(f, "{GOOD}ok{GOOD:#}  {name:<8} {what}")?;
                }
                State::Lacks { what, adds, how } => writeln!(
                    f,
                    "{BAD}--{BAD:#}  {name:<8} {what}. Adds: {adds}. How: \
                     {how}"
                )?,
            }
        }
        writeln!(f, "\nthis machine: {}", self.verdict())?;
        if let (Some(step), Some(work)) = (self.course.next, &self.course.work)
        {
            writeln!(
                f,
                "your work: step {step}, {work} (make status checks it)"
            )?;
        }
        writeln!(f, "Next: {}", self.next())
    }
}

impl DaemonLocation {
    /// The words in front of the daemon's version.
    fn before_version(&self) -> String {
        match self {
            Self::Here => String::new(),
            Self::Rootless => "rootless ".to_owned(),
            Self::Virtual(name) => format!("{name}, "),
            Self::Elsewhere(host) => format!("on {host}: "),
        }
    }
}

impl Installer {
    /// The words before a package's name. If the first one is a program of this
    /// machine, this is the machine's installer.
    fn words(self) -> &'static str {
        match self {
            Self::Apt => "apt-get install",
            Self::Dnf => "dnf install",
            Self::Pacman => "pacman -S",
            Self::Zypper => "zypper install",
            Self::Apk => "apk add",
            Self::Brew => "brew install",
        }
    }

    fn program(self) -> &'static str {
        self.words().split(' ').next().unwrap_or_default()
    }
}

/// The name of the package that provides `thing`.
fn package(installer: Option<Installer>, thing: &str) -> &str {
    match (installer, thing) {
        (Some(Installer::Apt), "docker") => "docker.io",
        (Some(Installer::Dnf), "docker") => "moby-engine",
        (Some(Installer::Brew), "docker") => "--cask docker",
        (_, "mkfs.ext4") => "e2fsprogs",
        (_, "podman") => "podman runc",
        (Some(Installer::Brew), "browser") => "--cask firefox",
        (_, "browser") => "chromium",
        (Some(Installer::Brew), "node") => "node",
        (None, "node") => "nodejs and npm",
        (_, "node") => "nodejs npm",
        _ => thing,
    }
}

/// Major and minor version of `1.89.0`, to be compared. A part that is not a number
/// counts as 0.
fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
