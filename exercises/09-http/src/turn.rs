//! Plugins that start at the same time take turns. You do not need to read this
//! file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// The folder of a file, even if its path is only a name.
pub fn folder(file: &Path) -> PathBuf {
    Path::new(".").join(file.parent().unwrap_or(file))
}

/// Waits until no other plugin changes files in the folder of `file`, and locks
/// the folder until the returned file is dropped.
pub fn take(file: &Path) -> Result<File> {
    let turn = File::open(folder(file))?;
    let mut tries = 0..300;
    while let Err(err) = turn.try_lock() {
        let goes_on = tries.next().is_some();
        ensure!(goes_on, "locking the folder of {}: {err}", file.display());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(turn)
}
