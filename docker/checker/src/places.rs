//! Names and paths on which Docker and the workshop agree.

use std::env;
use std::path::PathBuf;

/// Docker's name for the plugin, in every step.
pub const NAME: &str = "workshop";

/// The folder in which dockerd looks for plugins first.
pub const PLUGINS: &str = "/run/docker/plugins";

/// A variable that names another folder for [`roots`], because tests must not use
/// the machine's.
pub const ROOTS: &str = "WORKSHOP_ROOTS";

/// The folder in which each plugin that Docker finds has a ROOT for its volumes.
pub fn roots() -> PathBuf {
    let other = env::var_os(ROOTS).map(PathBuf::from);
    other.unwrap_or_else(|| "/var/lib/workshop".into())
}

/// The folder in which dockerd looks for files that name a plugin's address.
pub const SPECS: &str = "/etc/docker/plugins";

/// A variable of every plugin that names the process which started the plugin.
/// `make rescue` reads it.
pub const RUNNER: &str = "WORKSHOP_RUNNER";

/// The command that lists the containers of stories. Their names begin with the
/// plugin's name, and so do those of sandboxes and of other people's containers.
pub fn containers(name: &str) -> String {
    format!("docker ps -aq -f 'name=^/?{name}-one$'")
}
