//! Who has what mounted, as the kernel tells it: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of a mount table.
struct Mount {
    path: PathBuf,
    /// A device, or what `mount` was told in the place of one.
    source: PathBuf,
}

/// What is mounted on `folder` or below it, as often as it is mounted.
pub fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let ours = Path::new("/proc/self/mountinfo");
    match table(ours, |it| it.path.starts_with(folder)) {
        Ok(mounts) => Ok(mounts.into_iter().map(|it| it.path).collect()),
        // A system that is no Linux: nothing is mounted by us.
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

/// The processes that have `source` mounted where we do not see it: a container
/// has mounts of its own, and keeps them when ours are gone.
pub fn elsewhere(source: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let folder = process?.path();
        let id = folder.file_name().and_then(|it| it.to_str()).unwrap_or("");
        // `self` and others are there twice.
        if id.parse::<u32>().is_err() {
            continue;
        }
        // One that has just ended has no table.
        let mounts = table(&folder.join("mountinfo"), |it| it.source == source);
        if mounts.is_ok_and(|it| !it.is_empty()) {
            let name = fs::read_to_string(folder.join("comm"));
            let name = name.unwrap_or_default();
            found.push(format!("{} (process {id})", name.trim()));
        }
    }
    Ok(found)
}

/// The lines of a mount table that are wanted. A host has thousands of others.
fn table(
    path: &Path,
    wanted: impl Fn(&Mount) -> bool,
) -> io::Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        mounts.extend(parse(&line?).filter(&wanted));
    }
    Ok(mounts)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let path = plain(fields.nth(4)?);
    // Any number of fields comes before the dash.
    let source = plain(fields.skip_while(|it| it != b"-").nth(2)?);
    Some(Mount { path, source })
}

/// A path, in which `\040` stands for a blank, and so on.
fn plain(field: &[u8]) -> PathBuf {
    let mut parts = field.split(|byte| *byte == b'\\');
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.get(..3).and_then(|it| str::from_utf8(it).ok());
        let byte = digits.and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(byte.unwrap_or(b'\\'));
        plain.extend(&part[if byte.is_some() { 3 } else { 0 }..]);
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_mount_table_are_read() {
        for (line, path, source) in [
            (
                "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw",
                "/mnt2",
                "/dev/root",
            ),
            (
                "42 27 7:0 / /a\\040b/files rw - ext4 /dev/loop0 rw",
                "/a b/files",
                "/dev/loop0",
            ),
            (
                "42 27 0:40 / /t\\011n\\012b\\134e rw shared:1 master:2 - tmpfs \
                 a\\040b rw",
                "/t\tn\nb\\e",
                "a b",
            ),
        ] {
            let mount = parse(line.as_bytes()).unwrap();
            assert_eq!(mount.path, Path::new(path), "{line}");
            assert_eq!(mount.source, Path::new(source), "{line}");
        }
        for line in ["", "36 35 98:0 /mnt1", "36 35 98:0 / /a rw - ext3"] {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }
}
