//! ROOT, the folder of all volumes, for this user alone. No lesson needs a line
//! of it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use log::{info, warn};

/// Makes ROOT if it is missing, and returns its path, absolute and without
/// links: Docker looks a mountpoint up from another directory than ours.
///
/// Fails if other users may enter ROOT and a stranger's files are in it: it may
/// be `/tmp`, given by mistake.
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
    ensure!(real.is_dir(), "{path} is no folder: give a folder of its own");
    close(&real).with_context(|| format!("closing {path} to other users"))?;
    Ok(real)
}

/// A path that is no UTF-8 cannot be said in JSON.
fn docker_can_read(path: &Path) -> Result<()> {
    let is_text = path.to_str().is_some();
    ensure!(is_text, "{path:?} is no UTF-8, and Docker reads nothing else");
    Ok(())
}

/// Lets no other user of the host enter ROOT: the root of a container can leave
/// a program in a volume that runs as root, whoever starts it (setuid).
fn close(root: &Path) -> Result<()> {
    let path = root.display();
    let mode = || Ok::<_, std::io::Error>(fs::metadata(root)?.permissions());
    let had = mode()?.mode() & 0o7777;
    if had & 0o077 == 0 {
        return Ok(());
    }
    ensure!(
        is_ours(root)?,
        "they may enter it (mode {had:04o}), and what is in it is not this \
         plugin's: give a folder of its own, or close it (chmod 700 {path})"
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

/// Whether nothing is in ROOT but what a new filesystem has.
fn is_ours(root: &Path) -> Result<bool> {
    for entry in fs::read_dir(root)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}
