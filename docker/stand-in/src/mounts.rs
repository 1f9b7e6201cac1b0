//! What plugins of step 8 mount, and the loop devices below it. Only Linux has
//! both; elsewhere there is nothing to find.

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
    /// Its number, of which no other mount has the same meanwhile.
    pub id: u64,
    /// Where it is.
    pub path: PathBuf,
    /// `7:0`, the same for every mount of one filesystem.
    pub device: String,
    /// The type of the filesystem: `ext4`, for example.
    pub kind: String,
}

/// What a process has mounted; `self` is ours.
pub fn of(process: &str) -> Vec<Mount> {
    let table = fs::read(format!("/proc/{process}/mountinfo"));
    let table = table.unwrap_or_default();
    table.split(|it| *it == b'\n').filter_map(parse).collect()
}

/// The number of the mount that an open file is on. Only Linux tells.
pub fn id_of(file: BorrowedFd) -> Option<u64> {
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = fs::read_to_string(info).ok()?;
    let id = info.lines().find_map(|it| it.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

/// Whether the filesystem of `mount`, one of `all`, is mounted outside of
/// `folder`, too. Then it is not one that a plugin has made.
pub fn is_elsewhere(mount: &Mount, all: &[Mount], folder: &Path) -> bool {
    let mut same = all.iter().filter(|it| it.device == mount.device);
    same.any(|it| !it.path.starts_with(folder))
}

/// What is mounted on `folder` or below it, youngest first. If it is a link,
/// that is not followed: a plugin may have put it there.
pub fn below(folder: &Path) -> Vec<Mount> {
    let real = real(folder);
    let mut mounts = of("self");
    mounts.retain(|it| it.path.starts_with(&real));
    mounts.reverse();
    mounts
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|it| *it == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_owned()).ok()?;
    let path = plain(fields.nth(1)?);
    // Optional fields end with a dash, and the type follows.
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8(fields.next()?.to_owned()).ok()?;
    Some(Mount { id, path, device, kind })
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

/// A path, in which `\040` stands for a blank, and so on.
fn plain(field: &[u8]) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|it| std::str::from_utf8(it).ok());
        let code = code.and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The path of a folder as the kernel writes it: the way to it has no links.
fn real(folder: &Path) -> PathBuf {
    let parent = folder.parent().and_then(|it| it.canonicalize().ok());
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
        // A line, and a mark if the file has been removed.
        let file = PathBuf::from(OsString::from_vec(file));
        let start = [real.as_os_str().as_bytes(), b"/"].concat();
        if file.as_os_str().as_bytes().starts_with(&start) {
            loops.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    loops
}

/// One of the mounts and loop devices below `folder`, if there is any.
pub fn left(folder: &Path) -> Option<PathBuf> {
    let mounts = below(folder).into_iter().map(|it| it.path);
    mounts.chain(loops(folder)).next()
}

/// Unmounts and frees all below `folder`, as soon as whoever works there is
/// gone. Returns whether nothing is left.
pub fn clear(folder: &Path) -> bool {
    let cleared = wait_until(Duration::from_secs(5), || {
        free(folder, |_| true);
        left(folder).is_none().then_some(())
    });
    cleared.is_some()
}

/// Unmounts what is mounted below `folder` and is `ours`, and frees its loop
/// devices. Returns what it did, and what it could not do.
pub fn free(
    folder: &Path,
    ours: impl Fn(&Path) -> bool,
) -> Vec<Result<String, String>> {
    let detach = || {
        let outcomes = loops(folder).into_iter();
        outcomes.map(|it| run("losetup --detach", &it)).collect::<Vec<_>>()
    };
    let held = loops(folder);
    // One that is in use goes with its last mount, so that what its file lies on
    // can be unmounted, too.
    detach();
    // Of a folder of somebody's that is bound to here, mounts come along. To
    // unmount one of them would reach the original.
    let all = of("self");
    for mount in below(folder) {
        if is_elsewhere(&mount, &all, &real(folder)) {
            let _ = run("mount --make-private", &mount.path);
        }
    }
    let mut told = Vec::new();
    for Mount { path, .. } in below(folder) {
        if !ours(&path) {
            continue;
        }
        told.push(match run("umount", &path) {
            Ok(()) => Ok(format!("unmounted {}", path.display())),
            Err(why) => Err(format!("{} stays mounted: {why}", path.display())),
        });
    }
    let failed = detach().into_iter().filter_map(Result::err);
    let still = loops(folder);
    if !still.is_empty() {
        told.extend(failed.map(Err));
    }
    let freed = held.iter().filter(|it| !still.contains(it));
    told.extend(freed.map(|it| Ok(format!("freed {}", it.display()))));
    told
}

/// Unmounts, in a mount namespace of our own, what belongs to other checkers:
/// they have it still, and we have a copy.
pub fn drop_others(folder: &Path) {
    let is_theirs = |path: &Path| {
        let mut names = path.iter().filter_map(|it| it.to_str());
        names.any(|it| it.starts_with("workshop-")) && !path.starts_with(folder)
    };
    for mount in of("self").iter().rev().filter(|it| is_theirs(&it.path)) {
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
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.trim().to_owned())
        }
        Err(err) => Err(format!("{program}: {err}")),
    }
}

/// Why this machine cannot mount a filesystem in a file; none if it can.
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
    let can = probe.stdin(Stdio::null()).output();
    match can.is_ok_and(|it| it.status.success()) {
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
        assert_eq!(parse(line), Some(Mount { id: 42, path, device, kind }));
        assert_eq!(parse(b""), None);
    }
}
