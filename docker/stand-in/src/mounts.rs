//! The mounts and loop devices of plugins of step 8. Only Linux has either; on
//! other systems there is nothing to find.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::search_path::find_with_sbin;
use crate::wait::wait_until;

/// One line of a mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The id of the mount. No other mount has the same at the same time.
    pub(crate) id: u64,
    /// The folder on which it is mounted.
    pub path: PathBuf,
    /// The device, `7:0` for example: the same for every mount of one
    /// filesystem.
    pub device: String,
    /// The type of the filesystem: `ext4`, for example.
    pub(crate) kind: String,
    /// What is mounted: a device, or the name that a tmpfs was given.
    pub(crate) source: PathBuf,
}

/// The mounts of a process, oldest first: a process id, or `self`.
pub fn of(process: &str) -> Vec<Mount> {
    let table = fs::read(format!("/proc/{process}/mountinfo"));
    let table = table.unwrap_or_default();
    table.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// The id of the mount that an open file is on. Only Linux tells.
pub(crate) fn id_of(file: BorrowedFd) -> Option<u64> {
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = fs::read_to_string(info).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

/// Whether the filesystem of `mount`, one of `all`, is also mounted outside of
/// `folder`. Then no plugin has created it.
pub(crate) fn is_elsewhere(
    mount: &Mount,
    all: &[Mount],
    folder: &Path,
) -> bool {
    let mut same = all.iter().filter(|other| other.device == mount.device);
    same.any(|other| !other.path.starts_with(folder))
}

/// The mounts on `folder` and below it, youngest first. If `folder` is a link,
/// it is not followed: a plugin may have put it there.
pub fn below(folder: &Path) -> Vec<Mount> {
    let real = real(folder);
    let mut mounts = of("self");
    mounts.retain(|mount| mount.path.starts_with(&real));
    mounts.reverse();
    mounts
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_owned()).ok()?;
    let path = plain(fields.nth(1)?);
    // Optional fields end with a dash, and the type follows.
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8(fields.next()?.to_owned()).ok()?;
    let source = plain(fields.next()?);
    Some(Mount { id, path, device, kind, source })
}

/// The type of the filesystem that `path` is on, or would be on. Only Linux
/// tells.
pub fn filesystem_of(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = of("self").into_iter();
    let holders = mounts.filter(|mount| path.starts_with(&mount.path));
    // Of two mounts on one place, the later one is seen.
    let holder = holders.max_by_key(|mount| mount.path.components().count());
    holder.map(|mount| mount.kind)
}

/// A path of the table, in which `\040` stands for a blank, and so on.
fn plain(field: &[u8]) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The path of a folder as the mount table has it: without links, except that
/// the folder itself may be one.
fn real(folder: &Path) -> PathBuf {
    let parent = folder.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, folder.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => folder.to_owned(),
    }
}

/// The loop devices whose files are in `folder` or below it.
pub fn loops(folder: &Path) -> Vec<PathBuf> {
    let real = real(folder);
    let mut loops = Vec::new();
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let Ok(file) = fs::read(entry.path().join("loop/backing_file")) else {
            continue;
        };
        // A line, with ` (deleted)` at its end if the file has been removed.
        let file = PathBuf::from(OsString::from_vec(file));
        let start = [real.as_os_str().as_bytes(), b"/"].concat();
        if file.as_os_str().as_bytes().starts_with(&start) {
            loops.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    loops
}

/// One of the mounts and loop devices below `folder`, if any is left.
pub fn left(folder: &Path) -> Option<PathBuf> {
    let mounts = below(folder).into_iter().map(|mount| mount.path);
    mounts.chain(loops(folder)).next()
}

/// Unmounts everything below `folder` and frees its loop devices, as soon as no
/// process uses them. Returns whether nothing is left.
pub fn clear(folder: &Path) -> bool {
    let cleared = wait_until(Duration::from_secs(5), || {
        free(folder, |_| true);
        left(folder).is_none().then_some(())
    });
    cleared.is_some()
}

/// Unmounts those mounts below `folder` for which `ours` is true, and frees the
/// loop devices below it. Returns one line for each thing done, or that could
/// not be done.
pub fn free(
    folder: &Path,
    ours: impl Fn(&Path) -> bool,
) -> Vec<Result<String, String>> {
    let detach = || {
        let devices = loops(folder).into_iter();
        let outcomes = devices.map(|device| run("losetup --detach", &device));
        outcomes.collect::<Vec<_>>()
    };
    let held = loops(folder);
    // A device in use is freed with its last mount, so that the filesystem that
    // holds its file can be unmounted as well.
    detach();
    // If a folder from outside is bound to here, its mounts are here as well.
    // Unmounting them here would also unmount the originals, unless they are
    // private.
    let table = of("self");
    for mount in below(folder) {
        if is_elsewhere(&mount, &table, &real(folder)) {
            let _ = run("mount --make-private", &mount.path);
        }
    }
    let mut outcomes = Vec::new();
    for Mount { path, .. } in below(folder) {
        if !ours(&path) {
            continue;
        }
        outcomes.push(match run("umount", &path) {
            Ok(()) => Ok(format!("unmounted {}", path.display())),
            Err(why) => Err(format!("{} stays mounted: {why}", path.display())),
        });
    }
    let failed = detach().into_iter().filter_map(Result::err);
    let still = loops(folder);
    if !still.is_empty() {
        outcomes.extend(failed.map(Err));
    }
    let freed = held.iter().filter(|device| !still.contains(device));
    outcomes
        .extend(freed.map(|device| Ok(format!("freed {}", device.display()))));
    outcomes
}

/// Unmounts, in a mount namespace of our own, our copies of the mounts of other
/// checkers. Their mounts stay.
pub fn drop_others(folder: &Path) {
    let is_theirs = |path: &Path| {
        let mut names = path.iter().filter_map(|name| name.to_str());
        names.any(|name| name.starts_with("workshop-"))
            && !path.starts_with(folder)
    };
    let table = of("self").into_iter().rev();
    for mount in table.filter(|mount| is_theirs(&mount.path)) {
        let _ = run("umount", &mount.path);
    }
}

fn run(words: &str, path: &Path) -> Result<(), String> {
    let mut words = words.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .arg(path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(error.trim().to_owned())
        }
        Err(err) => Err(format!("{program}: {err}")),
    }
}

/// The reason why this machine cannot mount a filesystem in a file; `None` if
/// it can.
pub fn missing() -> Option<String> {
    let needs = "needs root and loop devices (make sandbox)";
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
        return Some(needs.to_owned());
    }
    for (program, package) in [
        ("mount", "mount"),
        ("mkfs.ext4", "e2fsprogs"),
        ("losetup", "mount"),
        ("unshare", "util-linux"),
    ] {
        if find_with_sbin(program).is_none() {
            return Some(format!("no {program} here (apt install {package})"));
        }
    }
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "sh", "-c"]);
    probe.arg("mount -t tmpfs tmpfs /tmp && losetup --find");
    let output = probe.stdin(Stdio::null()).output();
    match output.is_ok_and(|output| output.status.success()) {
        true => None,
        false => Some(needs.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_table_is_read() {
        let line = b"42 27 7:0 / /a\\040b/files rw - ext4 /dev/loop0 rw";
        let path = PathBuf::from("/a b/files");
        let (device, kind) = ("7:0".to_owned(), "ext4".to_owned());
        let source = PathBuf::from("/dev/loop0");
        let mount = Mount { id: 42, path, device, kind, source };
        assert_eq!(parse(line), Some(mount));
        assert_eq!(parse(b""), None);
    }
}
