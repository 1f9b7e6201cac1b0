//! A real Podman, in namespaces of its own.
//!
//! Podman has no daemon: each command is a process, which reads where images,
//! containers and plugins are. Here all of that is in a folder of the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use stand_in::mounts;
use stand_in::search_path::on_path;
use stand_in::wait::wait_until;

use crate::dockerd::{self, play};
use crate::places::PLUGINS;

/// Names Podman in `AGAINST`, and in what `make test` skips.
pub const PODMAN: &str = "podman";

/// How long one command may take. Podman waits 5 seconds for a plugin, and a
/// command may have to wait for two calls.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An image of a static busybox is made of this one.
const BUSYBOX: &str = "/bin/busybox";

/// Why this machine cannot run a Podman of our own; none if it can.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a Podman of our own needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a Podman of our own needs root (sudo)".to_owned());
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

/// crun refuses the cgroups of some machines, so runc goes first.
fn runtime() -> &'static str {
    if !on_path("runc") && on_path("crun") { "crun" } else { "runc" }
}

/// Runs this very program again, where Podman has nothing but its folder.
///
/// # Errors
/// When this machine cannot, or the program does not start.
pub fn in_private(args: &[&str], name: &str) -> Result<ExitStatus> {
    if let Some(why) = missing() {
        bail!("{why}");
    }
    // Podman awaits the end of processes that the first one inherits, and the
    // first one has to await them: a shell does.
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

/// Podman does not look for plugins: the file names each of them.
fn containers_conf(folder: &Path, name: &str) -> String {
    let folder = folder.display();
    format!(
        "[containers]\n\
         netns = \"none\"\n\
         [engine]\n\
         runtime = \"{}\"\n\
         cgroup_manager = \"cgroupfs\"\n\
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

/// The Podman of the namespaces that [`in_private`] made.
#[derive(Debug)]
pub struct Podman {
    /// Of the hierarchies of cgroups that had none of Podman's folders.
    cgroups: Vec<PathBuf>,
}

impl Podman {
    /// Prepares it, with its image, if we are the program in such namespaces.
    ///
    /// # Errors
    /// When a mount is refused, or the image cannot be made.
    pub fn start() -> Result<Option<Self>> {
        let Some(folder) = dockerd::inside()? else { return Ok(None) };
        mounts::drop_others(&folder);
        dockerd::must("mount -t tmpfs tmpfs /run")?;
        // Podman writes what short names of images stand for.
        dockerd::must("mount -t tmpfs tmpfs /var/cache")?;
        dockerd::must("mount --make-rshared /")?;
        let podman = Self { cgroups: free_cgroups() };
        let made = dockerd::import(PODMAN, Path::new(BUSYBOX))?;
        ensure!(
            made.status.is_some_and(|it| it.success()),
            "making the image {}: {}",
            dockerd::IMAGE,
            made.output.trim()
        );
        Ok(Some(podman))
    }

    /// Removes all containers and volumes, without a word about it.
    pub fn strike(&self) {
        let _ = play("podman rm -f -t 0 -a", PATIENCE);
        let _ = play("podman volume rm -f -a", PATIENCE);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for folder in self.cgroups.iter().filter(|it| it.exists()) {
            // Only empty ones go, once the last conmon has ended.
            let _ = wait_until(Duration::from_secs(5), || {
                let _ = fs::remove_dir(folder.join("conmon"));
                fs::remove_dir(folder).ok()
            });
        }
    }
}

/// Where Podman makes a cgroup for its containers, which it never removes: one
/// for each hierarchy, without those that are there already.
fn free_cgroups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    std::iter::once(root.to_owned())
        .chain(hierarchies.map(|it| it.path()))
        .map(|it| it.join("libpod_parent"))
        .filter(|it| !it.exists())
        .collect()
}

/// The version of the podman that is installed.
///
/// # Errors
/// When it does not say.
pub fn version() -> Result<String> {
    let said = play("podman --version", PATIENCE)?.output;
    let version = said.split_whitespace().last();
    version.map(str::to_owned).context("`podman --version` says nothing")
}
