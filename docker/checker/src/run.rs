//! `make run-exercise-N`: runs a plugin in the foreground and says where it listens.

use std::env;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use stand_in::cleanup;
use stand_in::steps::{Kind, Step};
use stand_in::wait::wait_until;

use crate::places::{PLUGINS, RUNNER, roots};
use crate::{cargo, dockerd};

/// The longest socket path, in bytes, that every system accepts.
const LONGEST_SOCKET: usize = 100;

/// Which programs can find the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// The machine's own dockerd, because of `DOCKERD=host`.
    Docker,
    /// Only programs that are given the socket's path.
    Others,
}

/// The socket and the ROOT of a plugin.
#[derive(Debug)]
pub struct Where {
    socket: PathBuf,
    volumes: PathBuf,
    finder: Finder,
}

impl Where {
    /// Chooses the place for `step`: Docker's own with `DOCKERD=host`, otherwise a
    /// folder that takes sockets.
    ///
    /// # Errors
    /// When `DOCKERD` has an unknown value, or `DOCKERD=host` is set without root.
    pub fn choose(
        root: &Path,
        step: &Step,
        kind: Kind,
        dockerd: Option<&str>,
        name: &str,
    ) -> Result<Self> {
        let package = step.package(kind);
        let dockerd = match dockerd {
            None if dockerd::in_sandbox() => Some("host"),
            asked => asked,
        };
        match dockerd {
            None => Self::aside(root, &package, name),
            Some("host") => {
                let plugins = Path::new(PLUGINS);
                if !rustix::process::geteuid().is_root() {
                    bail!(
                        "DOCKERD=host puts a socket into {PLUGINS}, where only \
                         root may write: sudo env \"PATH=$PATH\" make …, or \
                         leave DOCKERD out"
                    );
                }
                Ok(Self {
                    socket: plugins.join(format!("{name}.sock")),
                    volumes: roots().join(package),
                    finder: Finder::Docker,
                })
            }
            Some(other) => bail!(
                "unknown DOCKERD={other}: write DOCKERD=host, or leave it out"
            ),
        }
    }

    fn aside(root: &Path, package: &str, name: &str) -> Result<Self> {
        let file = format!("{name}.sock");
        let near = cargo::target()?.join("run").join(package);
        let fits = near.join(&file).as_os_str().len() <= LONGEST_SOCKET;
        let folder = if fits && takes_sockets(&near) {
            near
        } else {
            // The same folder for each run of this package in this checkout.
            let checkout =
                root.to_string_lossy().bytes().fold(7_u32, |a, b| {
                    a.wrapping_mul(31).wrapping_add(u32::from(b))
                });
            cleanup::temp_dir().join(format!("workshop.{checkout:x}/{package}"))
        };
        Ok(Self {
            socket: folder.join(file),
            volumes: folder.join("volumes"),
            finder: Finder::Others,
        })
    }

    fn say(&self, step: &Step, kind: Kind, name: &str) {
        let socket = self.socket.display();
        println!("{} will listen on {socket}", step.package(kind));
        match self.finder {
            Finder::Docker => println!(
                "Try, in a second terminal: docker volume create -d {name} demo"
            ),
            Finder::Others => println!(
                "Docker does not look there. To use a real Docker, run this \
                 command in the sandbox (make sandbox).\n\
                 Try, in a second terminal: \
                 make check-{kind}-{}\nor: curl --unix-socket '{socket}' \
                 -X POST http://localhost/Plugin.Activate",
                step.number
            ),
        }
        println!("Ctrl-C ends it.");
    }
}

/// Whether a socket can be bound in `folder`. On /mnt/c of WSL it cannot.
fn takes_sockets(folder: &Path) -> bool {
    let probe = folder.join(format!("{}.probe", std::process::id()));
    let bound = fs::create_dir_all(folder).is_ok()
        && std::os::unix::net::UnixListener::bind(&probe).is_ok();
    let _ = fs::remove_file(probe);
    bound
}

/// Runs the plugin until it ends or a signal ends it, then removes its socket.
///
/// # Errors
/// When the plugin cannot be built or started, or ends with an error of its own.
pub fn run(
    root: &Path,
    step: &Step,
    kind: Kind,
    dockerd: Option<&str>,
    name: &str,
) -> Result<()> {
    // The terminal sends Ctrl-C to the plugin as well. We keep running to clean up.
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).expect("signals count from 1");
        flag::register_usize(number, Arc::clone(&signal), value)?;
    }
    let program = cargo::build(root, step, kind)?;
    let place = Where::choose(root, step, kind, dockerd, name)?;
    place.say(step, kind, name);
    let package = step.package(kind);
    let mut command = Command::new(&program);
    command.arg(&place.socket).arg(&place.volumes);
    command.env("RUST_BACKTRACE", "0");
    command.env(RUNNER, std::process::id().to_string());
    if env::var_os("RUST_LOG").is_none() {
        let module = package.replace('-', "_");
        command.env("RUST_LOG", format!("info,{module}=debug"));
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let id = Pid::from_child(&child);
    let mut is_stopping = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if signal.load(Ordering::Relaxed) != 0 && !is_stopping {
            // Ctrl-C has reached the plugin already. A `kill` of this process
            // alone has not.
            let _ = kill_process(id, Signal::TERM);
            is_stopping = true;
            if wait_until(Duration::from_secs(12), || child.try_wait().ok()?)
                .is_none()
            {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        thread::sleep(Duration::from_millis(30));
    };
    if signal.load(Ordering::Relaxed) == 0 {
        // The plugin ended by itself. Its socket stays, as without this command.
        if status.success() {
            return Ok(());
        }
        bail!("{package} ended ({status})");
    }
    let is_socket = fs::symlink_metadata(&place.socket)
        .is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && fs::remove_file(&place.socket).is_ok() {
        println!("\n{package} has ended; its socket is removed");
    }
    if let Some(folder) = place.socket.parent()
        && place.finder == Finder::Others
    {
        // These folders are ours. They are removed only if they are empty, so
        // volumes stay.
        let _ = fs::remove_dir(folder);
        let _ = folder.parent().map(fs::remove_dir);
    }
    if place.finder == Finder::Docker {
        let restart = match dockerd::in_sandbox() {
            true => " (make sandbox-restart, outside of the sandbox)",
            false => "",
        };
        println!(
            "dockerd remembers {name} until it restarts{restart}. While the \
             plugin does not run, each `docker volume ls` takes 15 s."
        );
    }
    Ok(())
}
