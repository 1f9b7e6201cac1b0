//! Gathers the facts. Every other program is given a few seconds, and nothing
//! is written but a probe that is removed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, io, thread};

use serde_json::Value;
use stand_in::cleanup::{self, Guard};
use stand_in::mounts;
use stand_in::steps::{self, Kind};
use stand_in::wait::wait_until;

use super::{
    Course, DaemonLocation, Docker, Installer, Machine, System, Temp, Wsl,
};
use crate::{cargo, dockerd, places, podman, starters};

/// How long another program may take. A client whose daemon is on a host that
/// does not answer would wait for minutes.
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
    // What may hang is asked at once, so that the whole takes one patience.
    thread::scope(|scope| {
        let docker = scope.spawn(|| docker(system));
        let rustc = scope.spawn(|| version("rustc"));
        let cargo = scope.spawn(|| version("cargo"));
        let make = scope.spawn(|| version("make"));
        let node = scope.spawn(|| version("node"));
        let npm = scope.spawn(|| version("npm"));
        let podman = scope.spawn(|| version("podman"));
        let free = scope.spawn(|| free(root));
        let known = |it: thread::ScopedJoinHandle<Option<String>>| {
            it.join().unwrap_or_default()
        };
        Machine {
            system,
            installer: INSTALLERS
                .into_iter()
                .find(|it| find(it.program()).is_some()),
            systemd: Path::new("/run/systemd/system").is_dir(),
            root: rustix::process::geteuid().is_root(),
            wsl: wsl(root),
            rustup: find("rustup").is_some(),
            plugins: system == System::Linux && plugins_writable(),
            dockerd: find("dockerd"),
            no_private: dockerd::no_private(),
            podman: known(podman),
            no_podman: podman::missing(),
            loops: loops(),
            mkfs: find("mkfs.ext4"),
            strace: find("strace"),
            browser: browser(),
            filesystem: mounts::filesystem_of(Path::new("/var/lib/workshop")),
            temp: temp(),
            course: course(root),
            rustc: known(rustc),
            cargo: known(cargo),
            make: known(make),
            node: known(node),
            npm: known(npm),
            free: free.join().unwrap_or_default(),
            docker: docker.join().unwrap_or(Docker::Silent),
        }
    })
}

/// What a program said before it ended.
struct Said {
    out: String,
    err: String,
}

/// None when it did not end in time.
fn ask(program: &str, args: &[&str]) -> io::Result<Option<Said>> {
    let mut command = Command::new(program);
    command
        .args(args)
        // rustup would fetch a whole toolchain rather than say it has none.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .env("LC_ALL", "C")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What it starts, as docker does ssh, ends with it.
    let (mut child, group) = Guard::group(|| command.spawn())?;
    let out = follow(child.stdout.take());
    let err = follow(child.stderr.take());
    if wait_until(PATIENCE, || child.try_wait().ok().flatten()).is_none() {
        drop(group);
        let _ = child.wait();
        return Ok(None);
    }
    group.release();
    // A child of its own may keep the pipes open.
    let text = |it: Receiver<String>| {
        it.recv_timeout(Duration::from_millis(500)).unwrap_or_default()
    };
    Ok(Some(Said { out: text(out), err: text(err) }))
}

/// Both pipes are read at once: a full one would stop the program.
fn follow(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
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

/// The first word with a number that `PROGRAM --version` says.
fn version(program: &str) -> Option<String> {
    let said = ask(program, &["--version"]).ok()??;
    let mut words = said.out.lines().next()?.split_whitespace();
    let word = words.find(|it| it.contains(|c: char| c.is_ascii_digit()))?;
    Some(word.trim_start_matches('v').to_owned())
}

/// Where a program is; administrators' ones are on few people's PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(program))
        .find(|it| it.is_file())
}

fn docker(system: System) -> Docker {
    let said = match ask("docker", &["version", "--format", "{{json .}}"]) {
        Ok(Some(said)) => said,
        Ok(None) => return Docker::Silent,
        Err(_) => return Docker::NoClient,
    };
    let asked = |key: &str| {
        ask("docker", &["info", "--format", key])
            .ok()
            .flatten()
            .map(|it| it.out)
    };
    understand(&said.out, &said.err, || {
        let info = asked("{{json .}}").unwrap_or_default();
        place(&info, system, host().as_deref())
    })
}

/// What `docker version` says, on both of its channels.
pub(super) fn understand(
    out: &str,
    err: &str,
    engine: impl FnOnce() -> DaemonLocation,
) -> Docker {
    let said: Value = serde_json::from_str(out.trim()).unwrap_or_default();
    let word =
        |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    // Podman's client has an APIVersion instead.
    let Some(api) = word(&said["Client"], "ApiVersion") else {
        return Docker::Foreign;
    };
    let client = word(&said["Client"], "Version").unwrap_or_default();
    if let Some(server) = word(&said["Server"], "Version") {
        return Docker::Answers { client, server, api, engine: engine() };
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

/// The path in the client's complaint.
fn socket_in(text: &str) -> String {
    let path = text.split_once("unix://").map(|it| it.1);
    let path = path.and_then(|it| it.split([':', ' ', '"']).next());
    path.unwrap_or("/var/run/docker.sock").to_owned()
}

fn group_of(path: &Path) -> Option<String> {
    let wanted = fs::metadata(path).ok()?.gid().to_string();
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut lines = groups.lines().map(|it| it.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    })
}

/// What `docker info` tells about the place of the daemon.
pub(super) fn place(
    info: &str,
    system: System,
    host: Option<&str>,
) -> DaemonLocation {
    let info: Value = serde_json::from_str(info.trim()).unwrap_or_default();
    let name = info["Name"].as_str().unwrap_or("another host");
    let rootless = info["SecurityOptions"].as_array().is_some_and(|all| {
        let mut words = all.iter().filter_map(Value::as_str);
        words.any(|it| it.starts_with("name=rootless"))
    });
    match info["OperatingSystem"].as_str() {
        Some(desktop) if desktop.contains("Docker Desktop") => {
            DaemonLocation::Virtual("Docker Desktop".to_owned())
        }
        // Docker needs Linux: on a Mac it is in a machine inside, as in
        // Colima's or OrbStack's, or it is far away.
        _ if system != System::Linux => {
            DaemonLocation::Virtual(name.to_owned())
        }
        _ if rootless => DaemonLocation::Rootless,
        // One in a container, or behind a context or DOCKER_HOST.
        _ if host.is_some_and(|host| host != name) => {
            DaemonLocation::Elsewhere(name.to_owned())
        }
        _ => DaemonLocation::Here,
    }
}

/// Our host's name, as dockerd on the same host would say it. Linux tells.
fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// dockerd looks at names that end in .sock, .spec or .json, and so not at
/// this one.
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
        .is_ok_and(|it| it.file_type().is_char_device())
}

fn browser() -> Option<String> {
    const PROGRAMS: [&str; 5] = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "firefox",
    ];
    // macOS keeps them off PATH. Safari is always there, and prints no PDF
    // from a command line.
    const APPS: [&str; 4] = ["Google Chrome", "Chromium", "Firefox", "Safari"];
    let program = PROGRAMS.iter().find(|it| find(it).is_some());
    let app = || {
        let is = |it: &&&str| {
            Path::new("/Applications").join(format!("{it}.app")).is_dir()
        };
        APPS.iter().find(is)
    };
    program.or_else(app).map(|it| (*it).to_owned())
}

/// What is left where cargo builds, in MiB.
fn free(root: &Path) -> Option<u64> {
    let target = cargo::target().unwrap_or_else(|_| root.to_owned());
    let said = ask("df", &["-Pk", target.to_str()?]).ok()??;
    let words = said.out.lines().nth(1)?.split_whitespace();
    // A device's name may hold blanks; the columns from the end are sure
    // enough: …, available, capacity, place.
    let words: Vec<_> = words.collect();
    let capacity = words.iter().rposition(|it| it.ends_with('%'))?;
    words.get(capacity.checked_sub(1)?)?.parse::<u64>().ok().map(|it| it / 1024)
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
    if !kernel.is_ok_and(|it| it.to_lowercase().contains("microsoft")) {
        return Wsl::No;
    }
    // 9p in WSL 2, drvfs in WSL 1, wherever it is mounted.
    match mounts::filesystem_of(root).as_deref() {
        Some("9p" | "drvfs" | "v9fs") => Wsl::Windows,
        _ if root.starts_with("/mnt/c") => Wsl::Windows,
        _ => Wsl::Home,
    }
}

fn course(root: &Path) -> Course {
    let steps = steps::all(root).unwrap_or_default();
    let open = steps.iter().find(|step| {
        starters::read(root, step, Kind::Exercise)
            .is_ok_and(|sources| !starters::holes(&sources).is_empty())
    });
    let makefile = fs::read_to_string(root.join("Makefile"));
    Course {
        last: steps.last().map_or(0, |it| it.number),
        next: open.map(|it| it.number),
        sandbox: makefile.is_ok_and(|text| {
            text.lines().any(|line| line.starts_with("sandbox:"))
        }),
    }
}
