//! Removes files and folders that a container may have made. You do not need to
//! read this file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::mounts;
use crate::store::is_folder;

/// Removes a file, a link, or a folder with everything in it, if the path
/// exists. Fails if something is mounted there, which may be in use.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(found) if !found.is_dir() => return fs::remove_file(path),
        _ => {}
    }
    if let Some(mounted) = mounts::below(path)?.first() {
        let words = format!("something is mounted on {}", mounted.display());
        return Err(io::Error::new(ErrorKind::ResourceBusy, words));
    }
    // A container may nest folders too deeply for recursion, with paths that
    // are too long for the system. So folders move up one level at a time until
    // none is nested.
    let mut count = 0;
    let mut more = true;
    while more {
        more = false;
        for entry in fs::read_dir(path)? {
            let folder = entry?.path();
            if !is_folder(&folder)? {
                fs::remove_file(folder)?;
                continue;
            }
            for below in fs::read_dir(&folder)? {
                let below = below?.path();
                if is_folder(&below)? {
                    fs::rename(below, free_name(path, &mut count))?;
                    more = true;
                } else {
                    fs::remove_file(below)?;
                }
            }
            fs::remove_dir(folder)?;
        }
    }
    fs::remove_dir(path)
}

/// An unused path in `folder`.
fn free_name(folder: &Path, count: &mut u64) -> PathBuf {
    loop {
        *count += 1;
        let path = folder.join(count.to_string());
        if fs::symlink_metadata(&path).is_err() {
            return path;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::symlink;
    use std::process;

    use super::*;

    #[test]
    fn removes_files_links_and_deep_folders() {
        let folder =
            env::temp_dir().join(format!("workshop-remove-{}", process::id()));
        let outside = folder.with_extension("outside");
        fs::write(&outside, "").unwrap();
        // Use the names that `remove` itself would choose.
        fs::create_dir_all(folder.join("a/b/c/1/2")).unwrap();
        fs::create_dir_all(folder.join("1/2/3")).unwrap();
        fs::write(folder.join("2"), "").unwrap();
        fs::write(folder.join("a/b/file"), "").unwrap();
        symlink(&outside, folder.join("a/b/c/link")).unwrap();
        symlink("/", folder.join("a/root")).unwrap();

        remove(&folder).unwrap();
        assert!(fs::symlink_metadata(&folder).is_err());
        remove(&folder).unwrap();
        remove(&outside).unwrap();
        assert!(fs::symlink_metadata(&outside).is_err());
    }
}
