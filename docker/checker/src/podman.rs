//! A real Podman, in namespaces of its own.
//!
//! Podman has no daemon: each command is a process, which reads from configuration
//! files where images, containers and plugins are. All of these are in the run's
//! folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use stand_in::search_path::on_path;
use stand_in::wait::wait_until;

use crate::dockerd::{self, play};
use crate::places::PLUGINS;

/// Podman's name in `AGAINST`, and in the list of what `make test` skipped.
pub const PODMAN: &str = "podman";

/// How long one command may take. Podman waits 5 seconds for each plugin call, and
/// a command may make two.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The static busybox from which the stories' image is made.
const BUSYBOX: &str = "/bin/busybox";

/// Why this machine cannot run a private Podman; `None` if it can.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a private Podman needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a private Podman needs root (sudo)".to_owned());
    }
    for (program, from) in [
        ("podman", "podman"),
        ("conmon", "conmon"),
        (runtime(), "runc"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
    ] {
        if !on_path(program) {
            return Some(format!("no {program} here (apt install {from})"));
        }
    }
    if !Path::new(BUSYBOX).exists() {
        return Some(format!("no {BUSYBOX} (apt install busybox-static)"));
    }
    None
}

/// The runtime for containers: runc if it is installed, because crun refuses the
/// cgroups of some machines.
fn runtime() -> &'static str {
    if !on_path("runc") && on_path("crun") { "crun" } else { "runc" }
}

/// Runs this program again in namespaces of its own, where Podman knows only the
/// run's folder.
///
/// # Errors
/// When this machine cannot run a private Podman, or the program does not start.
pub fn in_private(args: &[&str], name: &str) -> Result<ExitStatus> {
    if let Some(why) = missing() {
        bail!("{why}");
    }
    // The first process of a PID namespace inherits orphans and must reap them,
    // because Podman waits for their end. A shell reaps them.
    let init = ["sh", "-c", "\"$@\"; exit $?", "sh"];
    dockerd::in_namespaces(PODMAN, &init, "checker", args, |folder| {
        let containers = folder.join("containers.conf");
        let storage = folder.join("storage.conf");
        fs::write(&containers, containers_conf(folder, name))?;
        fs::write(&storage, storage_conf(folder))?;
        Ok(vec![
            ("CONTAINERS_CONF", containers),
            ("CONTAINERS_STORAGE_CONF", storage),
        ])
    })
}

/// Podman's configuration. It has to name each plugin, because Podman does not
/// search for plugins. Locks are files, because Podman's usual ones are in
/// /dev/shm, which belongs to the machine.
fn containers_conf(folder: &Path, name: &str) -> String {
    let folder = folder.display();
    format!(
        "[containers]\n\
         netns = \"none\"\n\
         [engine]\n\
         runtime = \"{}\"\n\
         cgroup_manager = \"cgroupfs\"\n\
         lock_type = \"file\"\n\
         events_logger = \"file\"\n\
         events_logfile_path = \"{folder}/podman/events\"\n\
         tmp_dir = \"{folder}/podman/tmp\"\n\
         static_dir = \"{folder}/podman/graph/libpod\"\n\
         volume_path = \"{folder}/podman/graph/volumes\"\n\
         network_config_dir = \"{folder}/podman/networks\"\n\
         [engine.volume_plugins]\n\
         {name} = \"{PLUGINS}/{name}.sock\"\n",
        runtime()
    )
}

fn storage_conf(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[storage]\n\
         driver = \"vfs\"\n\
         graphroot = \"{folder}/podman/graph\"\n\
         runroot = \"{folder}/podman/run\"\n"
    )
}

/// The Podman in the namespaces that [`in_private`] made.
#[derive(Debug)]
pub struct Podman {
    /// The folders of cgroups that Podman is going to make: they did not exist
    /// before.
    cgroups: Vec<PathBuf>,
}

impl Podman {
    /// Prepares Podman and its image, if this program runs in such namespaces.
    ///
    /// # Errors
    /// When a mount is refused, or the image cannot be made.
    pub fn start() -> Result<Option<Self>> {
        let Some(folder) = dockerd::inside()? else { return Ok(None) };
        dockerd::mount_own_folders(&folder)?;
        let podman = Self { cgroups: new_cgroups() };
        let made = dockerd::import(PODMAN, Path::new(BUSYBOX))?;
        ensure!(
            made.status.is_some_and(|status| status.success()),
            "making the image {}: {}",
            dockerd::IMAGE,
            made.output.trim()
        );
        Ok(Some(podman))
    }

    /// Removes all containers and volumes, and prints nothing.
    pub fn strike(&self) {
        let _ = play("podman rm -f -t 0 -a", PATIENCE);
        let _ = play("podman volume rm -f -a", PATIENCE);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for folder in self.cgroups.iter().filter(|folder| folder.exists()) {
            // A cgroup can be removed once its last process, a conmon, has ended.
            let _ = wait_until(Duration::from_secs(5), || {
                let _ = fs::remove_dir(folder.join("conmon"));
                fs::remove_dir(folder).ok()
            });
        }
    }
}

/// The cgroups that Podman makes for its containers and never removes, one in each
/// hierarchy, without those that exist already.
fn new_cgroups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    std::iter::once(root.to_owned())
        .chain(hierarchies.map(|hierarchy| hierarchy.path()))
        .map(|hierarchy| hierarchy.join("libpod_parent"))
        .filter(|cgroup| !cgroup.exists())
        .collect()
}

/// The version of the podman that is installed.
///
/// # Errors
/// When `podman --version` prints none.
pub fn version() -> Result<String> {
    let output = play("podman --version", PATIENCE)?.output;
    let version = output.split_whitespace().last();
    version.map(str::to_owned).context("`podman --version` prints nothing")
}
