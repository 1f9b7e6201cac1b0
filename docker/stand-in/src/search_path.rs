//! Finds programs in PATH, as a shell does.

use std::env;
use std::path::PathBuf;

/// The file of a program, from the first folder of PATH that has it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut files = env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}

/// The file of a program, from PATH or from the folders of administrators'
/// programs, which many users' PATH lacks.
pub fn find_with_sbin(program: &str) -> Option<PathBuf> {
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut files = sbin.into_iter().map(|folder| folder.join(program));
    find(program).or_else(|| files.find(|file| file.is_file()))
}

/// Whether PATH has a program.
pub fn on_path(program: &str) -> bool {
    find(program).is_some()
}
