//! The mount tables of all processes: proc_pid_mountinfo(5). You do not need to
//! read this file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;

use crate::programs::run;
use crate::protocol::Failure;

/// One line of a mount table.
#[derive(Clone, Debug, PartialEq)]
struct Mount {
    /// The filesystem's device number, such as `7:0`: all mounts of one
    /// filesystem have the same.
    device: String,
    /// The folder of the filesystem that is mounted.
    root: PathBuf,
    /// The folder on which it is mounted.
    path: PathBuf,
    /// The peer groups that exchange mounts with this one (`shared:7`), or pass
    /// theirs on to it (`master:7`).
    groups: Vec<String>,
}

impl Mount {
    /// Whether mounts below this one appear in other namespaces.
    fn is_shared(&self) -> bool {
        self.groups.iter().any(|group| group.starts_with("shared:"))
    }

    /// Whether this mount is a copy of `other` in another namespace, which goes
    /// away with `other`.
    fn follows(&self, other: &Self) -> bool {
        let number = |group: &str| group.split(':').nth(1).map(str::to_owned);
        let mut theirs =
            other.groups.iter().filter(|group| group.starts_with('s'));
        let shares = |theirs: &String| {
            let mut ours = self.groups.iter();
            ours.any(|ours| number(ours) == number(theirs))
        };
        self.root == other.root && theirs.any(shares)
    }
}

/// The mount points at `folder` or below it, once for each mount.
pub fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mounts = table("self", |mount| mount.path.starts_with(folder))?;
    Ok(mounts.into_iter().map(|mount| mount.path).collect())
}

/// Whether something is mounted on `folder`: if so, the folder is on another
/// device than its parent.
pub fn is_mounted(folder: &Path) -> Result<bool, Failure> {
    let device = |path| fs::symlink_metadata(path).map(|found| found.dev());
    match (device(folder), device(folder.parent().unwrap_or(folder))) {
        (Ok(folder), Ok(above)) => Ok(folder != above),
        (Err(err), _) if err.kind() == ErrorKind::NotFound => Ok(false),
        (Err(err), _) | (_, Err(err)) => {
            Err(Failure::system("looking for", folder)(err))
        }
    }
}

/// The other processes and mounts that still hold `folder` or something in it,
/// in words. A container that has ended may need a moment to release it.
pub fn holders(folder: &Path) -> Result<Option<String>, Failure> {
    patiently(|| {
        let all = others(folder).map_err(Failure::system("asking for", folder));
        Ok(match &all?[..] {
            [] => None,
            [one] => Some(format!("{one} has it")),
            [one, more @ ..] => {
                Some(format!("{one} and {} more have it", more.len()))
            }
        })
    })
}

/// The loop device of the file `image`, in words, if it still has one. The
/// kernel frees the device when no mount namespace has the filesystem mounted.
pub fn device(image: &Path) -> Result<Option<String>, Failure> {
    if !image.exists() {
        return Ok(None);
    }
    let options = ["--noheadings", "--output", "NAME", "--associated"];
    patiently(|| {
        let devices = run("losetup", &options, &[image])?;
        let device = devices.split_whitespace().next();
        Ok(device.map(|device| {
            format!("{device} has it, for a process not visible from here")
        }))
    })
}

/// How long a container that has ended may take to release a filesystem.
const PATIENCE: Duration = Duration::from_secs(1);

/// Calls `ask` until it returns `None` or `PATIENCE` has passed, and returns
/// its last result.
fn patiently<T>(
    ask: impl Fn() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = ask()?;
        if there.is_none() || deadline < Instant::now() {
            return Ok(there);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Everything else that shows `folder`, or something in it: other mounts in
/// this namespace, and processes that have it in a mount namespace of their
/// own, such as those of a container. Copies that go away with the mount do not
/// count.
fn others(folder: &Path) -> io::Result<Vec<String>> {
    let ours = table("self", |_| true)?;
    let over = ours.iter().filter(|mount| folder.starts_with(&mount.path));
    // Of two mounts on one path, the later one is on top.
    let Some(covering) = over.max_by_key(|mount| mount.path.as_os_str().len())
    else {
        return Ok(Vec::new());
    };
    let within = folder.strip_prefix(&covering.path).unwrap_or(folder);
    let within = covering.root.join(within);
    let holds = |mount: &Mount| {
        mount.device == covering.device && mount.root.starts_with(&within)
    };

    let is_in_folder = |mount: &Mount| mount.path.starts_with(folder);
    let here = ours.iter().filter(|mount| holds(mount) || is_in_folder(mount));
    let here = here.filter(|mount| *mount != covering);
    let mut found: Vec<_> = here
        .map(|mount| format!("a mount on {}", mount.path.display()))
        .collect();
    // All processes of a container share one mount namespace.
    let mut seen: BTreeSet<_> = namespace("self").into_iter().collect();
    for process in processes()? {
        // A process that has just ended has no namespace.
        if namespace(&process).is_none_or(|namespace| !seen.insert(namespace)) {
            continue;
        }
        let theirs =
            table(&process, |mount| holds(mount) && !mount.follows(covering));
        if theirs.is_ok_and(|mounts| !mounts.is_empty()) {
            found.push(format!("{} (process {process})", name(&process)));
        }
    }
    Ok(found)
}

/// The PID namespace of the host. Its number is the same on every Linux, and no
/// container has it.
const HOST_PROCESSES: &str = "pid:[4026531836]";

/// Warns if Docker would not see mounts below `root`.
pub fn warn_if_hidden(root: &Path) {
    if let Some(why) = hidden(root) {
        warn!("{why}");
    }
}

/// The reason why Docker would not see mounts below `root`, if there is one.
fn hidden(root: &Path) -> Option<String> {
    let over = table("self", |mount| root.starts_with(&mount.path)).ok()?;
    let covering =
        over.iter().max_by_key(|mount| mount.path.as_os_str().len())?;
    if covering.is_shared() {
        return None;
    }
    let our_own = namespace("self")?;
    let is_container = fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|namespace| namespace != Path::new(HOST_PROCESSES));
    let is_docker = |process: &String| {
        name(process) == "dockerd"
            && namespace(process).as_ref() == Some(&our_own)
    };
    let is_beside_docker =
        || processes().map_or(true, |all| all.iter().any(is_docker));
    let is_apart = namespace("1").is_some_and(|first| first != our_own);
    (is_apart || is_container && !is_beside_docker()).then(|| {
        format!(
            "what this plugin mounts stays in its own mount namespace, and \
             Docker would not see it: start the container with -v \
             {}:{0}:rshared, and on the host, first mount --bind {0} {0} and \
             mount --make-shared {0}",
            root.display()
        )
    })
}

/// The IDs of all processes.
fn processes() -> io::Result<Vec<String>> {
    let entries = fs::read_dir("/proc")?;
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.parse::<u32>().is_ok()).collect())
}

/// The mount namespace of a process: two processes with the same one have the
/// same mount table.
fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

/// The name of the program that a process runs.
fn name(process: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

/// The wanted lines of a process's mount table. A host may have thousands of
/// others.
fn table(
    process: &str,
    wanted: impl Fn(&Mount) -> bool,
) -> io::Result<Vec<Mount>> {
    let file = match File::open(format!("/proc/{process}/mountinfo")) {
        // This system is not Linux, and this plugin mounts nothing there.
        Err(err) if err.kind() == ErrorKind::NotFound && process == "self" => {
            return Ok(Vec::new());
        }
        file => file?,
    };
    let mut mounts = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        mounts.extend(parse(&line?).filter(&wanted));
    }
    Ok(mounts)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn parse(line: &[u8]) -> Option<Mount> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let device = text(fields.next()?);
    let (root, path) = (plain(fields.next()?), plain(fields.next()?));
    // Any number of fields may come before the dash.
    let groups =
        fields.skip(1).take_while(|field| field != b"-").map(text).collect();
    Some(Mount { device, root, path, groups })
}

/// A path, in which the table writes `\040` for a blank, and so on.
fn plain(field: &[u8]) -> PathBuf {
    let mut parts = field.split(|byte| *byte == b'\\');
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits =
            part.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(b'\\'));
        plain.extend(&part[if byte.is_some() { 3 } else { 0 }..]);
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_of_a_mount_table_are_read() {
        for (line, device, root, path, groups) in [
            (
                "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw",
                "98:0",
                "/mnt1",
                "/mnt2",
                "master:1",
            ),
            (
                "42 27 7:0 / /a\\040b/fs rw - ext4 /dev/loop0 rw",
                "7:0",
                "/",
                "/a b/fs",
                "",
            ),
            (
                "42 27 0:40 / /t\\011n\\012b\\134e rw shared:1 master:2 - tmpfs \
                 a\\040b rw",
                "0:40",
                "/",
                "/t\tn\nb\\e",
                "shared:1 master:2",
            ),
        ] {
            let mount = mount(line);
            assert_eq!(mount.device, device, "{line}");
            assert_eq!(mount.root, Path::new(root), "{line}");
            assert_eq!(mount.path, Path::new(path), "{line}");
            assert_eq!(mount.groups.join(" "), groups, "{line}");
        }
        for line in ["", "36 35 98:0 /mnt1"] {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_copy_in_another_namespace_goes_with_its_mount() {
        let ours = mount("1 2 7:0 / /r/v/fs rw shared:7 - ext4 /dev/loop0 rw");
        for (line, follows) in [
            ("3 4 7:0 / /r/v/fs rw shared:7 - ext4 /dev/loop0 rw", true),
            ("3 4 7:0 / /r/v/fs rw master:7 - ext4 /dev/loop0 rw", true),
            ("3 4 7:0 / /r/v/fs rw shared:9 master:7 - ext4 d rw", true),
            ("3 4 7:0 / /r/v/fs rw - ext4 /dev/loop0 rw", false),
            ("3 4 7:0 / /r/v/fs rw shared:77 - ext4 /dev/loop0 rw", false),
            ("3 4 7:0 /files /data rw master:7 - ext4 /dev/loop0 rw", false),
        ] {
            assert_eq!(mount(line).follows(&ours), follows, "{line}");
        }
        let private = mount("1 2 7:0 / /r/v/fs rw - ext4 /dev/loop0 rw");
        assert!(!ours.follows(&private));
    }
}
