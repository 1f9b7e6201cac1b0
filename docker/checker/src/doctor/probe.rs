//! Gathers the facts about a machine. Each program that is asked gets a few seconds.
//! Nothing is written except probes, which are removed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, io, thread};

use serde_json::Value;
use stand_in::cleanup::{self, Guard};
use stand_in::mounts;
use stand_in::search_path::find_with_sbin as find;
use stand_in::steps;
use stand_in::wait::wait_until;

use super::{
    Course, DaemonLocation, Docker, Installer, Machine, System, Temp, Wsl,
};
use crate::{cargo, dockerd, places, podman, progress};

/// How long another program may take. A docker client waits for minutes if the
/// daemon's host does not answer.
const PATIENCE: Duration = Duration::from_secs(4);

const INSTALLERS: [Installer; 6] = [
    Installer::Apt,
    Installer::Dnf,
    Installer::Pacman,
    Installer::Zypper,
    Installer::Apk,
    Installer::Brew,
];

pub(super) fn machine(root: &Path) -> Machine {
    let system = match env::consts::OS {
        "linux" => System::Linux,
        "macos" => System::MacOs,
        _ => System::Other,
    };
    // All programs run at the same time, so that the sum takes no longer than one
    // PATIENCE.
    thread::scope(|scope| {
        let docker = scope.spawn(|| docker(system));
        let rustc = scope.spawn(|| version("rustc"));
        let cargo = scope.spawn(|| version("cargo"));
        let make = scope.spawn(|| version("make"));
        let node = scope.spawn(|| version("node"));
        let npm = scope.spawn(|| version("npm"));
        let podman = scope.spawn(|| version("podman"));
        let free = scope.spawn(|| free(root));
        let joined = |thread: thread::ScopedJoinHandle<Option<String>>| {
            thread.join().unwrap_or_default()
        };
        Machine {
            system,
            installer: INSTALLERS
                .into_iter()
                .find(|installer| find(installer.program()).is_some()),
            systemd: Path::new("/run/systemd/system").is_dir(),
            root: rustix::process::geteuid().is_root(),
            wsl: wsl(root),
            rustup: find("rustup").is_some(),
            plugins: system == System::Linux && plugins_writable(),
            dockerd: find("dockerd"),
            no_private: dockerd::no_private(),
            podman: joined(podman),
            no_podman: podman::missing(),
            loops: loops(),
            docker_host: crate::setting("DOCKER_HOST"),
            mkfs: find("mkfs.ext4"),
            strace: find("strace"),
            browser: browser(),
            filesystem: mounts::filesystem_of(Path::new("/var/lib/workshop")),
            temp: temp(),
            course: course(root),
            rustc: joined(rustc),
            cargo: joined(cargo),
            make: joined(make),
            node: joined(node),
            npm: joined(npm),
            free: free.join().unwrap_or_default(),
            docker: docker.join().unwrap_or(Docker::Silent),
        }
    })
}

/// The output of a program that has ended.
struct Output {
    out: String,
    err: String,
}

/// Runs a program. `None` if it did not end in time.
fn ask(program: &str, args: &[&str]) -> io::Result<Option<Output>> {
    let mut command = Command::new(program);
    command
        .args(args)
        // Without this, rustup would download a toolchain if it has none.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .env("LC_ALL", "C")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Children such as the docker client's ssh end with the program.
    let (mut child, group) = Guard::group(|| command.spawn())?;
    let out = read_to_end(child.stdout.take());
    let err = read_to_end(child.stderr.take());
    if wait_until(PATIENCE, || child.try_wait().ok().flatten()).is_none() {
        drop(group);
        let _ = child.wait();
        return Ok(None);
    }
    group.release();
    // A child of the program may keep the pipes open.
    let text = |pipe: Receiver<String>| {
        pipe.recv_timeout(Duration::from_millis(500)).unwrap_or_default()
    };
    Ok(Some(Output { out: text(out), err: text(err) }))
}

/// Reads a pipe in a thread of its own. Both pipes must be read at the same time,
/// because a program stops while one of them is full.
fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// The first word with a digit that `PROGRAM --version` prints.
fn version(program: &str) -> Option<String> {
    let output = ask(program, &["--version"]).ok()??;
    let mut words = output.out.lines().next()?.split_whitespace();
    let word =
        words.find(|word| word.contains(|c: char| c.is_ascii_digit()))?;
    Some(word.trim_start_matches('v').to_owned())
}

fn docker(system: System) -> Docker {
    let version = match ask("docker", &["version", "--format", "{{json .}}"]) {
        Ok(Some(output)) => output,
        Ok(None) => return Docker::Silent,
        Err(_) => return Docker::NoClient,
    };
    state(&version.out, &version.err, || {
        let info = ask("docker", &["info", "--format", "{{json .}}"]);
        let info = info.ok().flatten().map(|output| output.out);
        location(&info.unwrap_or_default(), system, host().as_deref())
    })
}

/// The state of Docker that the output of `docker version` and its errors mean.
pub(super) fn state(
    out: &str,
    err: &str,
    location: impl FnOnce() -> DaemonLocation,
) -> Docker {
    let version: Value = serde_json::from_str(out.trim()).unwrap_or_default();
    let word =
        |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    // Podman's client writes APIVersion.
    let Some(api) = word(&version["Client"], "ApiVersion") else {
        return Docker::Foreign;
    };
    let client = word(&version["Client"], "Version").unwrap_or_default();
    if let Some(server) = word(&version["Server"], "Version") {
        return Docker::Answers { client, server, api, location: location() };
    }
    let why = err.trim().lines().last().unwrap_or("no daemon answers");
    let why = why.trim_start_matches("Error response from daemon: ");
    if why.contains("API version") {
        let why = why.split(", please").next().unwrap_or(why).to_owned();
        return Docker::Apart { client, why };
    }
    if why.contains("permission denied") {
        let socket = socket_in(why);
        let group = group_of(Path::new(&socket));
        return Docker::Locked { client, socket, group };
    }
    let why = why.split(". Is the").next().unwrap_or(why);
    let why = why.split("; check if").next().unwrap_or(why).to_owned();
    Docker::NoDaemon { client, why }
}

/// The socket's path in the client's error message.
fn socket_in(text: &str) -> String {
    let path = text.split_once("unix://").map(|parts| parts.1);
    let path = path.and_then(|path| path.split([':', ' ', '"']).next());
    path.unwrap_or("/var/run/docker.sock").to_owned()
}

fn group_of(path: &Path) -> Option<String> {
    let wanted = fs::metadata(path).ok()?.gid().to_string();
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    })
}

/// Where the daemon runs, from the output of `docker info` and our host's name.
pub(super) fn location(
    info: &str,
    system: System,
    host: Option<&str>,
) -> DaemonLocation {
    let info: Value = serde_json::from_str(info.trim()).unwrap_or_default();
    let name = info["Name"].as_str().unwrap_or("another host");
    let rootless = info["SecurityOptions"].as_array().is_some_and(|all| {
        let mut words = all.iter().filter_map(Value::as_str);
        words.any(|option| option.starts_with("name=rootless"))
    });
    match info["OperatingSystem"].as_str() {
        Some(desktop) if desktop.contains("Docker Desktop") => {
            DaemonLocation::Virtual("Docker Desktop".to_owned())
        }
        // dockerd needs Linux. On a Mac it runs in a virtual machine, such as
        // Colima's or OrbStack's, or on another host.
        _ if system != System::Linux => {
            DaemonLocation::Virtual(name.to_owned())
        }
        _ if rootless => DaemonLocation::Rootless,
        // We are in a container, or a context or DOCKER_HOST leads elsewhere.
        _ if host.is_some_and(|host| host != name) => {
            DaemonLocation::Elsewhere(name.to_owned())
        }
        _ => DaemonLocation::Here,
    }
}

/// Our host's name, as dockerd on the same host would report it. Only on Linux.
fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// Whether a file can be made in the folder of plugins. dockerd reads only names
/// that end in .sock, .spec or .json, so it ignores the probe.
fn plugins_writable() -> bool {
    let plugins = Path::new(places::PLUGINS);
    if !plugins.is_dir() {
        return rustix::process::geteuid().is_root();
    }
    let probe = plugins.join(format!("workshop-{}.probe", process::id()));
    let _guard = Guard::file(&probe);
    File::create_new(&probe).is_ok()
}

fn loops() -> bool {
    fs::metadata("/dev/loop-control")
        .is_ok_and(|metadata| metadata.file_type().is_char_device())
}

fn browser() -> Option<String> {
    const PROGRAMS: [&str; 5] = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "firefox",
    ];
    // On macOS, applications are not on PATH. Safari comes last: every Mac has it,
    // but it cannot print a PDF from a command line.
    const APPS: [&str; 4] = ["Google Chrome", "Chromium", "Firefox", "Safari"];
    let program = PROGRAMS.iter().find(|program| find(program).is_some());
    let app = || {
        let is_installed = |app: &&&str| {
            Path::new("/Applications").join(format!("{app}.app")).is_dir()
        };
        APPS.iter().find(is_installed)
    };
    program.or_else(app).map(|name| (*name).to_owned())
}

/// The free space where cargo builds, in MiB.
fn free(root: &Path) -> Option<u64> {
    let target = cargo::target().unwrap_or_else(|_| root.to_owned());
    let output = ask("df", &["-Pk", target.to_str()?]).ok()??;
    let words = output.out.lines().nth(1)?.split_whitespace();
    // The first column may hold blanks, so count from the last one with a %:
    // …, available, capacity, mount point.
    let words: Vec<_> = words.collect();
    let capacity = words.iter().rposition(|word| word.ends_with('%'))?;
    words
        .get(capacity.checked_sub(1)?)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

fn temp() -> Temp {
    let (path, trouble) = match cleanup::Folder::new() {
        Ok(folder) => {
            let bound = UnixListener::bind(folder.path().join("probe.sock"));
            let place = folder.path().parent().map(Path::to_owned);
            let why = bound.err().map(|err| format!("no sockets ({err})"));
            (place.unwrap_or_default(), why)
        }
        Err(err) => (
            cleanup::temp_dir(),
            Some(format!("no folder ({})", err.root_cause())),
        ),
    };
    Temp { path, trouble }
}

fn wsl(root: &Path) -> Wsl {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
    if !kernel.is_ok_and(|text| text.to_lowercase().contains("microsoft")) {
        return Wsl::No;
    }
    // Disks of Windows are 9p in WSL 2 and drvfs in WSL 1, wherever they are
    // mounted.
    match mounts::filesystem_of(root).as_deref() {
        Some("9p" | "drvfs" | "v9fs") => Wsl::Windows,
        _ if root.starts_with("/mnt/c") => Wsl::Windows,
        _ => Wsl::Home,
    }
}

fn course(root: &Path) -> Course {
    let steps = steps::all(root).unwrap_or_default();
    let current = progress::current(root);
    let begun = current.as_ref().filter(|current| current.begun);
    let work = begun.map(|current| current.holes.to_string());
    let makefile = fs::read_to_string(root.join("Makefile"));
    Course {
        last: steps.last().map_or(0, |step| step.number),
        next: current.map(|current| current.step.number),
        work,
        sandbox: makefile.is_ok_and(|text| {
            text.lines().any(|line| line.starts_with("sandbox:"))
        }),
    }
}
