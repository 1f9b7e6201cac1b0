//! ROOT, the folder of all volumes, which only this user may enter. You do not
//! need to read this file.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use log::{info, warn};

/// Creates ROOT if it is missing, and returns its path, absolute and without
/// links, because Docker resolves a mountpoint from another working directory.
///
/// Fails if other users may enter ROOT and it holds files that are not this
/// plugin's: it may be `/tmp`, given by mistake.
pub fn open(root: &Path) -> Result<PathBuf> {
    let root = path::absolute(root)?;
    let path = root.display();
    docker_can_read(&root)?;
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("making the folder of {path}"))?;
    }
    match DirBuilder::new().mode(0o700).create(&root) {
        Err(err) if err.kind() != ErrorKind::AlreadyExists => {
            return Err(err).with_context(|| format!("making {path}"));
        }
        _ => {}
    }
    let real = root
        .canonicalize()
        .with_context(|| format!("{path} is a link that leads nowhere"))?;
    docker_can_read(&real)?;
    ensure!(real.is_dir(), "{path} is not a folder: give the plugin its own");
    close(&real).with_context(|| format!("closing {path} to other users"))?;
    Ok(real)
}

/// JSON cannot hold a path that is not UTF-8.
fn docker_can_read(path: &Path) -> Result<()> {
    let is_text = path.to_str().is_some();
    ensure!(is_text, "{path:?} is not UTF-8, so Docker cannot read it");
    Ok(())
}

/// Closes ROOT to other users of the host: root in a container can put a setuid
/// program in a volume, and any user who starts that program becomes root.
fn close(root: &Path) -> Result<()> {
    let path = root.display();
    let mode = || Ok::<_, std::io::Error>(fs::metadata(root)?.permissions());
    let had = mode()?.mode() & 0o7777;
    if had & 0o077 == 0 {
        return Ok(());
    }
    ensure!(
        is_ours(root)?,
        "they may enter it (mode {had:04o}), and it holds files that are not \
         this plugin's: give the plugin its own, or run chmod 700 {path}"
    );
    fs::set_permissions(root, Permissions::from_mode(0o700))?;
    match mode()?.mode() & 0o077 {
        0 => {
            info!("{path} was open to others (mode {had:04o}): now it is 0700")
        }
        _ => warn!("{path} is open to others: its filesystem has no modes"),
    }
    Ok(())
}

/// Whether ROOT is empty, apart from the `lost+found` of a new filesystem.
fn is_ours(root: &Path) -> Result<bool> {
    for entry in fs::read_dir(root)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}
