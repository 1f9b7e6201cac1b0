//! `make run-exercise-N`: a plugin in the foreground, where it can be found.

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

/// Longer paths do not fit a socket's address on every system, in bytes.
const LONGEST_SOCKET: usize = 100;

/// Who can find the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// The machine's own dockerd, because `DOCKERD=host` asks for it.
    Docker,
    /// Only who is told the path.
    Nobody,
}

/// Where a plugin listens, and where it keeps its volumes.
#[derive(Debug)]
pub struct Where {
    socket: PathBuf,
    volumes: PathBuf,
    finder: Finder,
}

impl Where {
    /// The place for `step`, by `DOCKERD` and by what can be written to.
    ///
    /// # Errors
    /// When `DOCKERD=host` is asked for and cannot be had.
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
                        "DOCKERD=host puts a socket into {PLUGINS}, which only \
                         root may: sudo make …, or leave DOCKERD out"
                    );
                }
                Ok(Self {
                    socket: plugins.join(format!("{name}.sock")),
                    volumes: roots().join(package),
                    finder: Finder::Docker,
                })
            }
            Some(other) => bail!("no DOCKERD={other}; for a plugin: host"),
        }
    }

    fn aside(root: &Path, package: &str, name: &str) -> Result<Self> {
        let file = format!("{name}.sock");
        let near = cargo::target()?.join("run").join(package);
        let fits = near.join(&file).as_os_str().len() <= LONGEST_SOCKET;
        let folder = if fits && takes_sockets(&near) {
            near
        } else {
            // One per checkout and package, so that a second run finds it.
            let checkout =
                root.to_string_lossy().bytes().fold(7_u32, |a, b| {
                    a.wrapping_mul(31).wrapping_add(u32::from(b))
                });
            cleanup::temp_dir().join(format!("workshop.{checkout:x}/{package}"))
        };
        Ok(Self {
            socket: folder.join(file),
            volumes: folder.join("volumes"),
            finder: Finder::Nobody,
        })
    }

    fn say(&self, step: &Step, kind: Kind, name: &str) {
        let socket = self.socket.display();
        println!("{} will listen on {socket}", step.package(kind));
        match self.finder {
            Finder::Docker => println!(
                "try, in a second terminal: docker volume create -d {name} demo"
            ),
            Finder::Nobody => println!(
                "No Docker looks there. For a real one: make sandbox, and this \
                 command in it.\ntry, in a second terminal: \
                 make check-{kind}-{}\nor: curl --unix-socket '{socket}' \
                 -X POST http://localhost/Plugin.Activate",
                step.number
            ),
        }
        println!("Ctrl-C ends it.");
    }
}

/// Whether a socket can be bound in `folder`; not so on /mnt/c of WSL.
fn takes_sockets(folder: &Path) -> bool {
    let probe = folder.join(format!("{}.probe", std::process::id()));
    let bound = fs::create_dir_all(folder).is_ok()
        && std::os::unix::net::UnixListener::bind(&probe).is_ok();
    let _ = fs::remove_file(probe);
    bound
}

/// Runs the plugin until it ends or somebody ends it.
///
/// # Errors
/// When it cannot be built or started, or ends with an error of its own.
pub fn run(
    root: &Path,
    step: &Step,
    kind: Kind,
    dockerd: Option<&str>,
    name: &str,
) -> Result<()> {
    // The terminal sends Ctrl-C to the plugin, too. We stay to tidy up.
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
    let mut told = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if signal.load(Ordering::Relaxed) != 0 && !told {
            // Ctrl-C has reached it already; `kill` of us alone has not.
            let _ = kill_process(id, Signal::TERM);
            told = true;
            if wait_until(Duration::from_secs(12), || child.try_wait().ok()?)
                .is_none()
            {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        thread::sleep(Duration::from_millis(30));
    };
    if signal.load(Ordering::Relaxed) == 0 {
        // Whatever ended it, its socket stays, as it would without us.
        if status.success() {
            return Ok(());
        }
        bail!("{package} ended ({status})");
    }
    let is_socket = fs::symlink_metadata(&place.socket)
        .is_ok_and(|it| it.file_type().is_socket());
    if is_socket && fs::remove_file(&place.socket).is_ok() {
        println!("\n{package} has ended, and its socket is removed");
    }
    if let Some(folder) = place.socket.parent()
        && place.finder == Finder::Nobody
    {
        // Ours, and gone if nothing is in it: volumes would stay.
        let _ = fs::remove_dir(folder);
        let _ = folder.parent().map(fs::remove_dir);
    }
    if place.finder == Finder::Docker {
        let restart = match dockerd::in_sandbox() {
            true => " (make sandbox-restart, outside)",
            false => "",
        };
        println!(
            "dockerd remembers {name} until it restarts{restart}: while nothing \
             answers for it, each `docker volume ls` takes 15 s"
        );
    }
    Ok(())
}
