//! Changes to folders that a crash leaves complete or not done at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::protocol::Failure;

/// In bytes. Larger files cannot be ours.
const LONGEST: u64 = 64 << 10;

/// Writes a new file, and returns once its contents are safe on disk.
pub fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(text)?;
        // Until now the text is in memory only, and a power cut would leave the
        // file empty.
        file.sync_all()
    };

    write().map_err(Failure::system("writing", path))
}

/// Renames a folder atomically within ROOT: others see either the old path or
/// the new one.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(Failure::system("moving", from))
}

/// Returns once the names in a folder, and its mode, are safe on disk.
pub fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Failure::system("syncing", folder))
}

/// Fails unless this is a folder. A link to a folder is not one: it may lead
/// out of ROOT.
pub fn folder(path: &Path) -> io::Result<()> {
    match is_folder(path)? {
        true => Ok(()),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

/// Whether this is a folder; a link to a folder is not one.
pub fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

/// Reads a file that we wrote, but that anyone may have replaced. Also returns
/// the time at which it was written.
pub fn read(path: &Path) -> io::Result<(Vec<u8>, SystemTime)> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is not a file"));
    }
    let mut text = vec![0; found.len().min(LONGEST) as usize];
    File::open(path)?.read_exact(&mut text)?;
    Ok((text, found.modified()?))
}

/// The names in a folder, except those that start with a dot.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // All our names are ASCII.
        let name = entry?.file_name().into_string().unwrap_or_default();
        if !name.is_empty() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
