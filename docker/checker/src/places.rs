//! Names and places that Docker and the workshop agree on.

use std::env;
use std::path::PathBuf;

/// Docker's name for the plugin, in every step.
pub const NAME: &str = "workshop";

/// Where dockerd looks first.
pub const PLUGINS: &str = "/run/docker/plugins";

/// Another place for [`roots`]: what a test starts must not use the machine's.
pub const ROOTS: &str = "WORKSHOP_ROOTS";

/// Where plugins that Docker finds keep their volumes, in a folder each.
pub fn roots() -> PathBuf {
    let other = env::var_os(ROOTS).map(PathBuf::from);
    other.unwrap_or_else(|| "/var/lib/workshop".into())
}

/// Where dockerd looks for a file that names a plugin's address.
pub const SPECS: &str = "/etc/docker/plugins";

/// Tells every plugin which process it was started by, for `make rescue`.
pub const RUNNER: &str = "WORKSHOP_RUNNER";

/// The command that lists the containers of stories. They are called after the
/// plugin, as a sandbox and other people's containers may be, too.
pub fn containers(name: &str) -> String {
    format!("docker ps -aq -f 'name=^/?{name}-one$'")
}
