//! Looking for programs as a shell does.

use std::env;

/// Whether a program is installed.
pub fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|it| it.join(program).is_file())
    })
}
