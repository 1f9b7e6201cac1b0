//! Changes to folders that a crash leaves done or not done, never half done.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::protocol::Failure;

/// More than this, in bytes, is no file of ours.
const LONGEST: u64 = 64 << 10;

/// Writes a new file, and returns once what is in it cannot be lost.
pub fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    // TODO(6.1): return only once no power cut can take it back. And a file that
    // is there already is not ours to write into.
    let write = || fs::write(path, text);

    write().map_err(Failure::system("writing", path))
}

/// Moves a folder to another place in ROOT: all see it in the one or in the
/// other.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(Failure::system("moving", from))
}

/// Returns once the names in a folder, and its mode, cannot be lost.
pub fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Failure::system("syncing", folder))
}

/// Fails unless this is a folder, and no link to one that is elsewhere.
pub fn folder(path: &Path) -> io::Result<()> {
    match is_folder(path)? {
        true => Ok(()),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

/// Whether this is a folder; a link to one is none.
pub fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

/// Reads a file that we wrote, whatever it has become.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// The names in a folder, except for those that start with a dot.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // No name of ours is anything but ASCII.
        let name = entry?.file_name().into_string().unwrap_or_default();
        if !name.is_empty() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
