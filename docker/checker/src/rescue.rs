//! `make rescue`: removes the leftovers of killed plugins, checkers and sandboxes,
//! and nothing that is not the workshop's.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};
use stand_in::cleanup::{self, Guard};
use stand_in::daemon::{Call, Dialect};
use stand_in::mounts::{self, Mount};
use stand_in::processes;
use stand_in::steps::{self, Kind};
use stand_in::wait::wait_until;

use crate::cargo;
use crate::dockerd::{self, Played};
use crate::places::{self, PLUGINS, RUNNER, SPECS};

/// How long one docker command may take. dockerd waits 15 seconds for each driver
/// that does not answer, and there may be other drivers than ours.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removes the leftovers and prints each of them. `name` is Docker's name for the
/// plugin.
///
/// # Errors
/// When a leftover cannot be removed.
pub fn run(root: &Path, name: &str) -> Result<()> {
    let mut found = false;
    cleanup::sweep();
    found |= end_orphans();
    let mut sockets = vec![Path::new(PLUGINS).join(format!("{name}.sock"))];
    sockets.extend(own_sockets(root, name)?);
    for socket in sockets {
        found |= remove_dead(&socket)?;
    }
    found |= remove_dead_specs(Path::new(SPECS), name)?;
    match dockerd::version() {
        Ok(_) => found |= docker(name)?,
        Err(err) => println!("no leftovers in Docker were removed: {err:#}"),
    }
    // By now, no container of a story uses a mount.
    for volumes in roots(root)? {
        found |= free(&volumes);
    }
    if !found {
        println!("there was nothing to remove");
    }
    Ok(())
}

/// Ends the plugins whose `make run-…` was killed: no terminal can stop them.
fn end_orphans() -> bool {
    let space = |folder: &Path| fs::read_link(folder.join("ns/pid"));
    let ours = space(Path::new("/proc/self")).ok();
    let mut found = false;
    for (id, folder) in processes::all() {
        // In a sandbox, the same number stands for another process.
        if space(&folder).ok() != ours {
            continue;
        }
        let runner = processes::variable(&folder, RUNNER);
        let runner = runner.and_then(|runner| String::from_utf8(runner).ok());
        let runner = runner.and_then(|runner| processes::id_of(&runner));
        let Some(runner) = runner else { continue };
        if processes::runs(runner) {
            continue;
        }
        let _ = kill_process(id, Signal::TERM);
        let gone = || (!processes::runs(id)).then_some(());
        if wait_until(Duration::from_secs(2), gone).is_none() {
            let _ = kill_process(id, Signal::KILL);
            let _ = wait_until(Duration::from_secs(2), gone);
        }
        println!("ended plugin {id}, whose make run-… was killed");
        found = true;
    }
    found
}

/// The sockets of `make run-…` where Docker does not look.
fn own_sockets(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let run = cargo::target()?.join("run");
    let file = format!("{name}.sock");
    let mut sockets = Vec::new();
    for step in steps::all(root)? {
        for kind in [Kind::Exercise, Kind::Solution] {
            sockets.push(run.join(step.package(kind)).join(&file));
        }
    }
    Ok(sockets)
}

/// The ROOTs that `make run-…` gives to plugins.
fn roots(root: &Path) -> Result<Vec<PathBuf>> {
    let run = cargo::target()?.join("run");
    let mut roots = Vec::new();
    for step in steps::all(root)? {
        for kind in [Kind::Exercise, Kind::Solution] {
            let package = step.package(kind);
            roots.push(places::roots().join(&package));
            roots.push(run.join(package).join("volumes"));
        }
    }
    Ok(roots)
}

/// Unmounts the filesystems that a killed plugin has left in its ROOT and detaches
/// their loop devices. If a container still uses one, all stay: the next plugin
/// still counts that use.
fn free(root: &Path) -> bool {
    let Ok(root) = root.canonicalize() else { return false };
    let mut left = mounts::below(&root);
    left.retain(|mount| is_ours(&root, &mount.path));
    if left.is_empty() && mounts::loops(&root).is_empty() {
        return false;
    }
    let path = root.display();
    // A plugin of step 6 or later holds this lock as long as it runs.
    let Ok(lock) = fs::File::open(&root) else { return false };
    if lock.try_lock().is_err() {
        println!("{path}: the plugin is running, so the mounts stay");
        return false;
    }
    if let Some(process) = in_a_container(&root, &left) {
        println!("{path}: {process} uses a volume, so the mounts stay");
        return false;
    }
    let mut found = false;
    for result in mounts::free(&root, |path| is_ours(&root, path)) {
        found |= result.is_ok();
        println!("{}", result.unwrap_or_else(|why| why));
    }
    found
}

/// Whether one of our plugins mounts the filesystem of a volume on `path`. Mounts
/// of an administrator have other paths, and they stay.
fn is_ours(root: &Path, path: &Path) -> bool {
    let within = path.strip_prefix(root).unwrap_or(path);
    let names: Vec<_> =
        within.iter().filter_map(|name| name.to_str()).collect();
    match names[..] {
        [_, "fs"] => true,
        [dotted, _, "fs"] | [dotted, _, _, "fs"] => dotted.starts_with('.'),
        _ => false,
    }
}

/// The name and id of a process for which one of these filesystems is mounted
/// outside of ROOT, as it is in a container.
fn in_a_container(root: &Path, left: &[Mount]) -> Option<String> {
    for (id, folder) in processes::all() {
        let uses = mounts::of(&id.to_string()).into_iter().any(|mount| {
            !mount.path.starts_with(root)
                && left.iter().any(|ours| ours.device == mount.device)
        });
        if uses {
            let name = fs::read_to_string(folder.join("comm"));
            let name = name.unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// Removes a socket on which no program listens.
fn remove_dead(socket: &Path) -> Result<bool> {
    let path = socket.display();
    let is_socket = fs::symlink_metadata(socket)
        .is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    // A plugin that was killed a moment ago may still take a connection.
    let dying = |connected: &io::Result<UnixStream>| {
        connected.as_ref().is_ok_and(hangs_up)
    };
    let settled = wait_until(Duration::from_secs(2), || {
        let connected = UnixStream::connect(socket);
        (!dying(&connected)).then_some(connected)
    });
    match settled.unwrap_or_else(|| UnixStream::connect(socket)) {
        Ok(_) => {
            println!("{path}: a plugin answers there, so the socket stays");
            Ok(false)
        }
        Err(err) if err.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(socket)
                .with_context(|| format!("removing {path}"))?;
            println!("removed {path}, which a killed plugin left behind");
            Ok(true)
        }
        Err(err) => Err(err).with_context(|| format!("connecting to {path}")),
    }
}

/// Removes the files that step 7 writes for `name` or `name-…`, if they name a port
/// of this machine on which no program listens.
fn remove_dead_specs(folder: &Path, name: &str) -> Result<bool> {
    let mut found = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let stem = file.strip_suffix(".spec").or(file.strip_suffix(".json"));
        let rest = stem.and_then(|stem| stem.strip_prefix(name));
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let address = text.split_once("://").and_then(|(_, rest)| {
            rest.trim().trim_end_matches("\"}").parse::<SocketAddr>().ok()
        });
        let Some(address) =
            address.filter(|address| address.ip().is_loopback())
        else {
            continue;
        };
        let path = entry.path();
        let path = path.display();
        match TcpStream::connect(address) {
            Ok(_) => println!("{path}: {address} answers, so the file stays"),
            Err(_) => {
                fs::remove_file(entry.path())
                    .with_context(|| format!("removing {path}"))?;
                println!("removed {path}, which a killed plugin left behind");
                found = true;
            }
        }
    }
    Ok(found)
}

/// Whether a plugin closes the connection without an answer.
fn hangs_up(mut plugin: &UnixStream) -> bool {
    let ask = Call::bare("Plugin.Activate").request(Dialect::default());
    let _ = plugin.set_read_timeout(Some(Duration::from_secs(1)));
    let asked = plugin.write_all(&ask);
    match asked.and_then(|()| plugin.read(&mut [0])) {
        Ok(count) => count == 0,
        // A slow plugin is alive.
        Err(err) => err.kind() != ErrorKind::WouldBlock,
    }
}

/// Removes the containers of stories from Docker and, if no plugin answers, the
/// volumes too.
fn docker(name: &str) -> Result<bool> {
    let mut found = false;
    let socket = Path::new(PLUGINS).join(format!("{name}.sock"));
    // Start the stub first: without an answer, each docker command below takes 15
    // seconds.
    let stub = Stub::start(&socket)?;
    let containers = dockerd::play(&places::containers(name), PATIENCE)?;
    for id in listed(&containers) {
        let removed = dockerd::play(&format!("docker rm -f {id}"), PATIENCE)?;
        found |= say(
            &removed,
            &format!("removed container {id} of a story"),
            &format!("container {id} of a story stays"),
        );
    }
    if stub.is_none() {
        // A plugin answers, so its volumes are in use.
        return Ok(found);
    }
    // The stub answers List with an error, so Docker lists the names that it
    // remembers.
    let list = format!("docker volume ls -q -f driver={name}");
    let volumes = dockerd::play(&list, PATIENCE)?;
    for volume in listed(&volumes) {
        let removed = forget(volume)?;
        found |= say(
            &removed,
            &format!(
                "Docker has forgotten volume {volume}; its files, if any, are \
                 still in the plugin's folder"
            ),
            &format!("Docker keeps volume {volume}"),
        );
    }
    if found {
        println!(
            "dockerd remembers the driver {name} until it restarts. While the \
             plugin does not run, each `docker volume ls` takes 15 s."
        );
    }
    Ok(found)
}

/// The lines of a list. If the command failed, prints the reason and returns no
/// line.
fn listed(played: &Played) -> impl Iterator<Item = &str> {
    let good = played.status.is_some_and(|status| status.success());
    if !good {
        println!("`{}` failed: {}", played.command, why(played));
    }
    played.output.lines().filter(move |_| good)
}

/// Prints `good` if the command succeeded, otherwise `bad` with the reason. Returns
/// whether the command succeeded.
fn say(played: &Played, good: &str, bad: &str) -> bool {
    let done = played.status.is_some_and(|status| status.success());
    match done {
        true => println!("{good}"),
        false => println!("{bad}: {}", why(played)),
    }
    done
}

fn why(played: &Played) -> String {
    match played.status {
        Some(_) => played.output.trim().to_owned(),
        None => format!("no answer after {} s", PATIENCE.as_secs()),
    }
}

/// Makes Docker forget a volume. No shell is used, because dockerd does not check
/// the names of a plugin's volumes: they may hold any character.
fn forget(volume: &str) -> Result<Played> {
    let mut docker = Command::new("docker");
    docker.args(["volume", "rm", "-f", "--", volume]);
    dockerd::watched(docker, PATIENCE)
}

/// A plugin without volumes. While it answers, Docker can forget the volumes of a
/// dead plugin; otherwise each try would take 15 seconds and fail.
struct Stub {
    _socket: Guard,
}

impl Stub {
    /// Binds `socket`, unless it is in use or we may not write to its folder.
    fn start(socket: &Path) -> Result<Option<Self>> {
        let listener = match UnixListener::bind(socket) {
            Ok(listener) => listener,
            Err(err) if err.kind() == ErrorKind::AddrInUse => return Ok(None),
            Err(err) => {
                println!(
                    "no volumes were removed from Docker: {}: {err} (sudo env \
                     \"PATH=$PATH\" make rescue)",
                    socket.display()
                );
                return Ok(None);
            }
        };
        let guard = Guard::file(socket);
        thread::Builder::new().name("stub".to_owned()).spawn(move || {
            for connection in listener.incoming().flatten() {
                thread::spawn(|| answer(connection));
            }
        })?;
        Ok(Some(Self { _socket: guard }))
    }
}

/// Answers dockerd's calls until it closes the connection. Each call is short
/// enough for one read.
fn answer(mut connection: UnixStream) {
    let mut some = [0; 16 * 1024];
    while let Ok(count @ 1..) = connection.read(&mut some) {
        let request = String::from_utf8_lossy(&some[..count]);
        let body = match request.split(' ').nth(1) {
            Some("/Plugin.Activate") => r#"{"Implements":["VolumeDriver"]}"#,
            Some("/VolumeDriver.Remove" | "/VolumeDriver.Unmount") => "{}",
            _ => r#"{"Err":"no such volume"}"#,
        };
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        if connection.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_file_goes_if_it_is_ours_and_leads_to_nobody() {
        let folder = cleanup::Folder::new().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let dead = dead.unwrap();
        write("workshop.spec", &format!("tcp://{dead}\n"));
        write("workshop-two.json", &format!(r#"{{"Addr":"http://{dead}"}}"#));
        let stay = [
            ("workshop-alive.spec", format!("tcp://{alive}\n")),
            ("workshop-far.spec", "tcp://192.0.2.1:9\n".to_owned()),
            ("workshop.txt", format!("tcp://{dead}\n")),
            ("workshops.spec", format!("tcp://{dead}\n")),
        ];
        for (name, text) in &stay {
            write(name, text);
        }
        assert!(remove_dead_specs(folder.path(), "workshop").unwrap());
        assert!(!remove_dead_specs(folder.path(), "workshop").unwrap());
        drop(listener);
        let left = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, stay.map(|file| file.0));
    }

    #[test]
    fn what_an_administrator_has_mounted_is_not_ours() {
        let root = Path::new("/root");
        for (path, ours) in [
            ("ext4/fs", true),
            (".new/ext4/fs", true),
            ("dir/fs/files", false),
            ("dir/fs/files/nfs", false),
            ("ext4/fs/files/nfs", false),
            ("ext4", false),
            ("", false),
        ] {
            assert_eq!(is_ours(root, &root.join(path)), ours, "{path:?}");
        }
    }
}
