//! `make rescue`: removes what a plugin, a checker or a sandbox that was killed
//! has left. Nothing that is not the workshop's.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo;
use crate::cleanup::{self, Guard};
use crate::engine;
use crate::run::PLUGINS;
use crate::steps::{self, Kind};

/// Removes, and says what. `name` is Docker's name for the plugin.
///
/// # Errors
/// When something of ours is there and cannot be removed.
pub fn run(root: &Path, name: &str) -> Result<()> {
    let mut found = false;
    cleanup::sweep();
    let mut sockets = vec![Path::new(PLUGINS).join(format!("{name}.sock"))];
    sockets.extend(own_sockets(root, name)?);
    for socket in sockets {
        found |= remove_dead(&socket)?;
    }
    match engine::version() {
        Ok(_) => found |= docker(name)?,
        Err(err) => println!("Docker was not asked: {err:#}"),
    }
    if !found {
        println!("there was nothing to remove");
    }
    Ok(())
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

/// Removes a socket on which nobody listens.
fn remove_dead(socket: &Path) -> Result<bool> {
    let path = socket.display();
    let is_socket =
        fs::symlink_metadata(socket).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    match UnixStream::connect(socket) {
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

/// What the daemon still has of us.
fn docker(name: &str) -> Result<bool> {
    let mut found = false;
    let patience = Duration::from_secs(30);
    let containers =
        engine::play(&format!("docker ps -aq -f name=^{name}-"), patience)?;
    for id in containers.output.lines() {
        engine::play(&format!("docker rm -f {id}"), patience)?;
        println!("removed the container {id} of a story");
        found = true;
    }
    let socket = Path::new(PLUGINS).join(format!("{name}.sock"));
    let Some(_stub) = Stub::start(&socket)? else {
        // A plugin answers: its volumes are its own matter.
        return Ok(found);
    };
    // The stub fails List, so Docker shows the names that it remembers.
    let volumes = engine::play(
        &format!("docker volume ls -q -f driver={name}"),
        patience,
    )?;
    for volume in volumes.output.lines() {
        let removed =
            engine::play(&format!("docker volume rm -f '{volume}'"), patience)?;
        match removed.status {
            Some(status) if status.success() => {
                println!(
                    "Docker has forgotten the volume {volume}; its files, if \
                     any, are where its plugin kept them"
                );
                found = true;
            }
            _ => println!(
                "Docker keeps the volume {volume}: {}",
                removed.output.trim()
            ),
        }
    }
    if !volumes.output.trim().is_empty() {
        println!(
            "dockerd remembers the driver {name} until it restarts: while \
             nothing answers for it, each `docker volume ls` takes 15 s"
        );
    }
    Ok(found)
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
            Some("/VolumeDriver.Remove") => "{}",
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
