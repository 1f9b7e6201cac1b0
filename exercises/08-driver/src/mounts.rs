//! Who has what mounted, as the kernel tells it: proc_pid_mountinfo(5).

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
    /// The filesystem, as `7:0`: the same for all mounts of one filesystem.
    device: String,
    /// Which folder of the filesystem is mounted.
    root: PathBuf,
    /// The folder on which it is mounted.
    path: PathBuf,
    /// The groups of mounts with which it shares mounts, or which pass theirs
    /// on to it: `shared:7`, `master:7`.
    groups: Vec<String>,
}

impl Mount {
    /// Whether other namespaces see what is mounted below it here.
    fn is_shared(&self) -> bool {
        self.groups.iter().any(|group| group.starts_with("shared:"))
    }

    /// Whether this mount goes with `other`, as its copy in another namespace.
    fn follows(&self, other: &Self) -> bool {
        let number = |group: &str| group.split(':').nth(1).map(str::to_owned);
        let mut theirs = other.groups.iter().filter(|it| it.starts_with('s'));
        let shares = |theirs: &String| {
            let mut ours = self.groups.iter();
            ours.any(|ours| number(ours) == number(theirs))
        };
        self.root == other.root && theirs.any(shares)
    }
}

/// What is mounted on `folder` or below it, as often as it is mounted.
pub fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mounts = table("self", |it| it.path.starts_with(folder))?;
    Ok(mounts.into_iter().map(|it| it.path).collect())
}

/// Whether something is mounted on `folder`: then the folder lies on another
/// device than the folder above.
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

/// Who has `folder`, or something in it, mounted besides us, in words; a
/// container that has ended may need a moment.
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

/// Who still has the filesystem in the file `image`, in words. The kernel frees
/// the file's loop device when nobody has the filesystem mounted any more, in
/// any mount namespace.
pub fn device(image: &Path) -> Result<Option<String>, Failure> {
    if !image.exists() {
        return Ok(None);
    }
    let options = ["--noheadings", "--output", "NAME", "--associated"];
    patiently(|| {
        let devices = run("losetup", &options, &[image])?;
        let device = devices.split_whitespace().next();
        Ok(device.map(|it| {
            format!("{it} has it, for a process that cannot be seen from here")
        }))
    })
}

/// How long a container that has ended may take to let go of a filesystem.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks until there is nothing more, for as long as `PATIENCE`, and returns what
/// there is then.
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

/// What else shows `folder`, or something in it: other mounts of it here, and
/// the processes that have it in a mount namespace of their own, as those of a
/// container do. The copies of a mount that go with it do not count.
fn others(folder: &Path) -> io::Result<Vec<String>> {
    let ours = table("self", |_| true)?;
    let over = ours.iter().filter(|it| folder.starts_with(&it.path));
    // Of two on one path, the later one is on top.
    let Some(home) = over.max_by_key(|it| it.path.as_os_str().len()) else {
        return Ok(Vec::new());
    };
    let within = folder.strip_prefix(&home.path).unwrap_or(folder);
    let within = home.root.join(within);
    let holds =
        |it: &Mount| it.device == home.device && it.root.starts_with(&within);

    let is_in_it = |it: &Mount| it.path.starts_with(folder);
    let here = ours.iter().filter(|it| holds(it) || is_in_it(it));
    let here = here.filter(|it| *it != home);
    let mut found: Vec<_> =
        here.map(|it| format!("a mount on {}", it.path.display())).collect();
    // All processes of a container have one namespace.
    let mut seen: BTreeSet<_> = namespace("self").into_iter().collect();
    for process in processes()? {
        // A process that has just ended has neither.
        if namespace(&process).is_none_or(|it| !seen.insert(it)) {
            continue;
        }
        let theirs = table(&process, |it| holds(it) && !it.follows(home));
        if theirs.is_ok_and(|it| !it.is_empty()) {
            found.push(format!("{} (process {process})", name(&process)));
        }
    }
    Ok(found)
}

/// The process namespace of a host has the same number on every Linux, and no
/// container's has it.
const HOST_PROCESSES: &str = "pid:[4026531836]";

/// Says so where Docker would not see what is mounted below `root`.
pub fn warn_if_hidden(root: &Path) {
    if let Some(why) = hidden(root) {
        warn!("{why}");
    }
}

/// Why Docker may not see what is mounted below `root`, if there is a reason.
fn hidden(root: &Path) -> Option<String> {
    let over = table("self", |it| root.starts_with(&it.path)).ok()?;
    let home = over.iter().max_by_key(|it| it.path.as_os_str().len())?;
    if home.is_shared() {
        return None;
    }
    let our_own = namespace("self")?;
    let is_container = fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|it| it != Path::new(HOST_PROCESSES));
    let is_beside_docker = processes().ok()?.iter().any(|process| {
        name(process) == "dockerd"
            && namespace(process).as_ref() == Some(&our_own)
    });
    let is_apart = namespace("1").is_some_and(|first| first != our_own);
    (is_apart || is_container && !is_beside_docker).then(|| {
        format!(
            "what this plugin mounts stays in its own mount namespace, and \
             Docker would not see it: share the mounts of {} with the host \
             (docker run -v {0}:{0}:rshared, and there mount --make-shared)",
            root.display()
        )
    })
}

/// The numbers of all processes.
fn processes() -> io::Result<Vec<String>> {
    let entries = fs::read_dir("/proc")?;
    let names =
        entries.flatten().filter_map(|it| it.file_name().into_string().ok());
    Ok(names.filter(|it| it.parse::<u32>().is_ok()).collect())
}

/// What is the same for two processes that have the same mount table.
fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

/// The name of a process's program.
fn name(process: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

/// The lines of a process's mount table that are wanted. A host has thousands
/// of others.
fn table(
    process: &str,
    wanted: impl Fn(&Mount) -> bool,
) -> io::Result<Vec<Mount>> {
    let file = match File::open(format!("/proc/{process}/mountinfo")) {
        // A system that is no Linux: this plugin mounts nothing there.
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
    // Any number of fields comes before the dash.
    let groups = fields.skip(1).take_while(|it| it != b"-").map(text).collect();
    Some(Mount { device, root, path, groups })
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
