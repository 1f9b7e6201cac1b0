//! `make rescue`: removes what a plugin, a checker or a sandbox that was killed
//! has left. Nothing that is not the workshop's.

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
use rustix::process::{Signal, kill_process, test_kill_process};
use stand_in::cleanup::{self, Guard};
use stand_in::mounts::{self, Mount};
use stand_in::processes;
use stand_in::steps::{self, Kind};
use stand_in::wait::wait_until;

use crate::cargo;
use crate::dockerd::{self, Played};
use crate::places::{self, PLUGINS, RUNNER, SPECS};

/// Time for one command, a second driver that is gone for good included: each
/// costs dockerd 15 seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removes, and says what. `name` is Docker's name for the plugin.
///
/// # Errors
/// When something of ours is there and cannot be removed.
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
        Err(err) => println!("Docker was not asked: {err:#}"),
    }
    // Containers of stories are gone by now.
    for volumes in roots(root)? {
        found |= free(&volumes);
    }
    if !found {
        println!("there was nothing to remove");
    }
    Ok(())
}

/// Ends plugins whose `make run-…` was killed: no terminal reaches them now.
fn end_orphans() -> bool {
    let space = |folder: &Path| fs::read_link(folder.join("ns/pid"));
    let ours = space(Path::new("/proc/self")).ok();
    let mut found = false;
    for (id, folder) in processes::all() {
        // Numbers of a sandbox mean other processes out here.
        if space(&folder).ok() != ours {
            continue;
        }
        let runner = processes::variable(&folder, RUNNER);
        let runner = runner.and_then(|runner| String::from_utf8(runner).ok());
        let runner = runner.and_then(|runner| processes::id_of(&runner));
        let Some(runner) = runner else { continue };
        if test_kill_process(runner) != Err(rustix::io::Errno::SRCH) {
            continue;
        }
        let _ = kill_process(id, Signal::TERM);
        let gone = || test_kill_process(id).is_err().then_some(());
        if wait_until(Duration::from_secs(2), gone).is_none() {
            let _ = kill_process(id, Signal::KILL);
            let _ = wait_until(Duration::from_secs(2), gone);
        }
        println!("ended the plugin {id}, whose make run-… was killed");
        found = true;
    }
    found
}

/// Where `make run-…` puts sockets that only the checker finds.
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

/// Where `make run-…` lets plugins keep their volumes.
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

/// Unmounts what a killed plugin has left in its ROOT, and frees its loop
/// devices. Where a container runs on, they stay: they count it.
fn free(root: &Path) -> bool {
    let Ok(root) = root.canonicalize() else { return false };
    let mut left = mounts::below(&root);
    left.retain(|it| is_ours(&root, &it.path));
    if left.is_empty() && mounts::loops(&root).is_empty() {
        return false;
    }
    let path = root.display();
    // A plugin of step 6 or later holds this for as long as it lives.
    let Ok(lock) = fs::File::open(&root) else { return false };
    if lock.try_lock().is_err() {
        println!("{path}: its plugin runs, so its mounts stay");
        return false;
    }
    if let Some(who) = in_a_container(&root, &left) {
        println!("{path}: {who} uses it, so its mounts stay");
        return false;
    }
    let mut found = false;
    for told in mounts::free(&root, |it| is_ours(&root, it)) {
        found |= told.is_ok();
        println!("{}", told.unwrap_or_else(|why| why));
    }
    found
}

/// Whether a plugin of ours mounts something in this place: the filesystem of a
/// volume. What an administrator has mounted stays.
fn is_ours(root: &Path, path: &Path) -> bool {
    let within = path.strip_prefix(root).unwrap_or(path);
    let names: Vec<_> = within.iter().filter_map(|it| it.to_str()).collect();
    match names[..] {
        [_, "fs"] => true,
        [dotted, _, "fs"] | [dotted, _, _, "fs"] => dotted.starts_with('.'),
        _ => false,
    }
}

/// A process that sees one of these filesystems in another place, as those of a
/// container do.
fn in_a_container(root: &Path, left: &[Mount]) -> Option<String> {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let uses = mounts::of(&id).into_iter().any(|it| {
            !it.path.starts_with(root)
                && left.iter().any(|ours| ours.device == it.device)
        });
        if uses {
            let name = fs::read_to_string(entry.path().join("comm"));
            let name = name.unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// Removes a socket on which nobody listens.
fn remove_dead(socket: &Path) -> Result<bool> {
    let path = socket.display();
    let is_socket =
        fs::symlink_metadata(socket).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    // Who was killed this very moment may still take a connection.
    let dying = |it: &io::Result<UnixStream>| it.as_ref().is_ok_and(hangs_up);
    let settled = wait_until(Duration::from_secs(2), || {
        let connected = UnixStream::connect(socket);
        (!dying(&connected)).then_some(connected)
    });
    match settled.unwrap_or_else(|| UnixStream::connect(socket)) {
        Ok(_) => {
            println!("{path}: a plugin answers there, so it stays");
            Ok(false)
        }
        Err(err) if err.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(socket)
                .with_context(|| format!("removing {path}"))?;
            println!("removed {path}, which a killed plugin left behind");
            Ok(true)
        }
        Err(err) => Err(err).with_context(|| format!("asking who has {path}")),
    }
}

/// Removes the files that step 7 writes for `name`, or for `name-…`, and that
/// lead to a port of this machine on which nobody listens.
fn remove_dead_specs(folder: &Path, name: &str) -> Result<bool> {
    let mut found = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let stem = file.strip_suffix(".spec").or(file.strip_suffix(".json"));
        let rest = stem.and_then(|it| it.strip_prefix(name));
        if !rest.is_some_and(|it| it.is_empty() || it.starts_with('-')) {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let address = text.split_once("://").and_then(|(_, rest)| {
            rest.trim().trim_end_matches("\"}").parse::<SocketAddr>().ok()
        });
        let Some(address) = address.filter(|it| it.ip().is_loopback()) else {
            continue;
        };
        let path = entry.path();
        let path = path.display();
        match TcpStream::connect(address) {
            Ok(_) => println!("{path}: {address} answers, so it stays"),
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

/// Whether a plugin ends a connection instead of answering.
fn hangs_up(mut plugin: &UnixStream) -> bool {
    let ask = b"POST /Plugin.Activate HTTP/1.1\r\nHost: rescue\r\n\
                Content-Length: 0\r\n\r\n";
    let _ = plugin.set_read_timeout(Some(Duration::from_secs(1)));
    let asked = plugin.write_all(ask);
    match asked.and_then(|()| plugin.read(&mut [0])) {
        Ok(count) => count == 0,
        // One that is slow is alive.
        Err(err) => err.kind() != ErrorKind::WouldBlock,
    }
}

/// What the daemon still has of us.
fn docker(name: &str) -> Result<bool> {
    let mut found = false;
    let socket = Path::new(PLUGINS).join(format!("{name}.sock"));
    // First of all: while nothing answers, each of these takes 15 seconds.
    let stub = Stub::start(&socket)?;
    let containers = dockerd::play(&places::containers(name), PATIENCE)?;
    for id in listed(&containers) {
        let removed = dockerd::play(&format!("docker rm -f {id}"), PATIENCE)?;
        found |= say(
            &removed,
            &format!("removed the container {id} of a story"),
            &format!("the container {id} of a story stays"),
        );
    }
    if stub.is_none() {
        // A plugin answers: its volumes are its own matter.
        return Ok(found);
    }
    // The stub fails List, so Docker shows the names that it remembers.
    let list = format!("docker volume ls -q -f driver={name}");
    let volumes = dockerd::play(&list, PATIENCE)?;
    for volume in listed(&volumes) {
        let removed = forget(volume)?;
        found |= say(
            &removed,
            &format!(
                "Docker has forgotten the volume {volume}; its files, if any, \
                 are where its plugin kept them"
            ),
            &format!("Docker keeps the volume {volume}"),
        );
    }
    if found {
        println!(
            "dockerd remembers the driver {name} until it restarts: while \
             nothing answers for it, each `docker volume ls` takes 15 s"
        );
    }
    Ok(found)
}

/// The lines of a list, or none with the reason told.
fn listed(played: &Played) -> impl Iterator<Item = &str> {
    let good = played.status.is_some_and(|it| it.success());
    if !good {
        println!("Docker does not tell: {}", why(played));
    }
    played.output.lines().filter(move |_| good)
}

/// Tells which of both came of it, and whether the good one did.
fn say(played: &Played, good: &str, bad: &str) -> bool {
    let done = played.status.is_some_and(|it| it.success());
    match done {
        true => println!("{good}"),
        false => println!("{bad}: {}", why(played)),
    }
    done
}

fn why(played: &Played) -> String {
    match played.status {
        Some(_) => played.output.trim().to_owned(),
        None => format!("it still waits after {} s", PATIENCE.as_secs()),
    }
}

/// No shell: a name may hold anything, as dockerd checks none of a plugin's.
fn forget(volume: &str) -> Result<Played> {
    let mut docker = Command::new("docker");
    docker.args(["volume", "rm", "-f", "--", volume]);
    dockerd::watched(docker, PATIENCE)
}

/// A plugin that knows no volume. With it, Docker can forget those of a plugin
/// that is gone; without it, each try would take 15 seconds and fail.
struct Stub {
    _socket: Guard,
}

impl Stub {
    /// Answers on `socket`, unless somebody else does or nobody may.
    fn start(socket: &Path) -> Result<Option<Self>> {
        let listener = match UnixListener::bind(socket) {
            Ok(listener) => listener,
            Err(err) if err.kind() == ErrorKind::AddrInUse => return Ok(None),
            Err(err) => {
                println!(
                    "volumes were not looked at: {}: {err} (sudo make rescue)",
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

/// Answers dockerd's calls, each of which fits one read, until it hangs up.
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
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, stay.map(|it| it.0));
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
