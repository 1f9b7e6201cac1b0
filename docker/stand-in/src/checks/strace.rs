//! The system calls of a plugin, as strace writes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::finding::Fault;
use crate::search_path;

/// The file that strace writes, in the current folder of the plugin.
const FILE: &str = "strace";

/// Calls that write, publish, remove or sync. The `?` allows for systems that lack
/// some of them.
const CALLS: &str = "?open,?openat,?creat,?write,?pwrite64,?writev,?pwritev,\
                     ?rename,?renameat,?renameat2,?link,?linkat,?unlink,\
                     ?unlinkat,?rmdir,?fsync,?fdatasync,?sync,?syncfs";

/// The shell script that starts a plugin under strace, for [`Program::after`].
///
/// # Errors
/// [`Fault::NotTried`] if strace is missing or may not trace.
pub fn watched() -> Result<String, Fault> {
    probe(&[])?;
    Ok(format!("set -- strace -f -y -s 4096 -e trace={CALLS} -o {FILE} \"$@\""))
}

/// The same for a plugin in which each sync takes a minute. The plugin is the
/// started process, and strace is its descendant.
///
/// # Errors
/// [`Fault::NotTried`] if strace is missing or may not trace.
pub fn slow_syncs() -> Result<String, Fault> {
    const SYNCS: &str = "?fsync,?fdatasync,?sync,?syncfs";
    probe(&["-D"])?;
    Ok(format!(
        "set -- strace -D -f -o /dev/null -e trace={SYNCS} \
         -e inject={SYNCS}:delay_enter=60000000 \"$@\""
    ))
}

fn probe(options: &[&str]) -> Result<(), Fault> {
    if !search_path::on_path("strace") {
        return Err(Fault::NotTried(
            "strace is not installed (on Linux: apt-get install \
             strace)"
                .to_owned(),
        ));
    }
    let probe = Command::new("strace")
        .args(options)
        .args(["-f", "-o", "/dev/null", "true"])
        .output()?;
    if probe.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&probe.stderr);
    let why = error.lines().next().unwrap_or_default().to_owned();
    Err(Fault::NotTried(format!(
        "strace may not trace processes here ({why}); it may in the sandbox"
    )))
}

/// The length of the recording so far, in bytes.
pub fn length(folder: &Path) -> u64 {
    fs::metadata(folder.join(FILE)).map_or(0, |metadata| metadata.len())
}

/// The calls that were recorded after the first `length` bytes.
pub fn since(folder: &Path, length: u64) -> std::io::Result<Vec<String>> {
    let text = fs::read(folder.join(FILE))?;
    let start = usize::try_from(length).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    Ok(whole(&String::from_utf8_lossy(text)))
}

/// One line for each call that has ended: strace cuts the calls of concurrent
/// threads in two.
fn whole(text: &str) -> Vec<String> {
    let mut begun: Vec<(&str, &str)> = Vec::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.push((thread, start));
        } else if call.starts_with("<... ") {
            let at = begun.iter().position(|(other, _)| *other == thread);
            let start = at.map_or("", |at| begun.swap_remove(at).1);
            let end = call.split_once(" resumed>").map_or("", |(_, end)| end);
            calls.push(format!("{start}{end}"));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// The changes that a power cut would undo, because they were not synced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Files that were written, by their current names.
    pub files: BTreeSet<PathBuf>,
    /// Folders with a new entry.
    pub folders: BTreeSet<PathBuf>,
}

/// The unsynced changes under `root` after these calls.
pub fn unsynced(calls: &[String], root: &Path) -> Unsynced {
    // Files with their descriptor, until it is used for another file.
    let mut files: Vec<(Option<&str>, PathBuf)> = Vec::new();
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut synchronous = BTreeSet::new();
    for call in calls {
        let Some((name, arguments, result)) = success(call) else { continue };
        match name {
            "open" | "openat" | "creat" => {
                let Some((number, _)) = descriptor(result) else { continue };
                for (descriptor, _) in &mut files {
                    if *descriptor == Some(number) {
                        *descriptor = None;
                    }
                }
                match arguments.contains("SYNC") {
                    true => synchronous.insert(number),
                    false => synchronous.remove(number),
                };
            }
            "write" | "pwrite64" | "writev" | "pwritev" => {
                let Some((number, path)) = descriptor(arguments) else {
                    continue;
                };
                if path.starts_with(root) && !synchronous.contains(number) {
                    files.push((Some(number), path));
                }
            }
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
                let Some((from, to)) = names(arguments, root) else { continue };
                let paths = files.iter_mut().map(|(_, path)| path);
                for path in paths.chain(&mut folders) {
                    if let Ok(rest) = path.strip_prefix(&from) {
                        *path = to.join(rest);
                    }
                }
                let folder =
                    to.parent().filter(|folder| folder.starts_with(root));
                folders.extend(folder.map(Path::to_owned));
            }
            "fsync" | "fdatasync" => {
                let Some((number, path)) = descriptor(arguments) else {
                    continue;
                };
                files.retain(|(descriptor, file)| {
                    *descriptor != Some(number) && *file != path
                });
                folders.retain(|folder| *folder != path);
            }
            "sync" | "syncfs" => {
                files.clear();
                folders.clear();
            }
            _ => {}
        }
    }
    let files = files.into_iter().map(|(_, path)| path).collect();
    Unsynced { files, folders: folders.into_iter().collect() }
}

/// The folder of which a sync is missing after the removal of the folder `volume`:
/// the one that held `volume`. `None` if there was a sync, or no removal.
///
/// A plugin may also remove a file from `volume` that makes it a volume, and sync
/// `volume`.
pub fn unsynced_removal(calls: &[String], volume: &Path) -> Option<PathBuf> {
    let root = volume.parent()?;
    let mut changed: Vec<&Path> = Vec::new();
    for call in calls {
        let Some((name, arguments, _)) = success(call) else { continue };
        match name {
            "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat"
            | "rmdir" => {
                let gone = paths(arguments, root).into_iter().next();
                match gone {
                    Some(path) if path == volume => changed.push(root),
                    Some(path) if path.parent() == Some(volume) => {
                        changed.push(volume);
                    }
                    _ => {}
                }
            }
            "fsync" | "fdatasync" => {
                let path = descriptor(arguments).map(|(_, path)| path);
                if path.is_some_and(|path| changed.contains(&&*path)) {
                    return None;
                }
            }
            "sync" | "syncfs" if !changed.is_empty() => return None,
            _ => {}
        }
    }
    changed.last().map(|_| root.to_owned())
}

/// The name, the arguments and the result of a call that has succeeded.
fn success(call: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    (!result.starts_with('-')).then_some((name, arguments, result))
}

/// The number and the path of `5</some/file>`, at the start of a text.
fn descriptor(text: &str) -> Option<(&str, PathBuf)> {
    let (number, rest) = text.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| (number, PathBuf::from(path)))
}

/// The old and the new path.
fn names(arguments: &str, root: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut paths = paths(arguments, root).into_iter();
    Some((paths.next()?, paths.next()?))
}

/// All paths in the arguments of a call. A relative one is joined to the folder in
/// front of it.
fn paths(arguments: &str, root: &Path) -> Vec<PathBuf> {
    // A plugin runs in the folder that holds ROOT.
    let Some(current) = root.parent() else { return Vec::new() };
    let parts: Vec<_> = arguments.split('"').collect();
    let pairs = parts.chunks_exact(2);
    let path = |pair: &[&str]| {
        let before = pair[0].strip_suffix(">, ");
        let folder = before.and_then(|before| before.rsplit_once('<'));
        folder.map_or(current, |(_, folder)| Path::new(folder)).join(pair[1])
    };
    pairs.map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_unsynced_until_a_sync() {
        const OPEN: &str = "openat(AT_FDCWD</r>, \"/r/v/new/f\", \
                            O_WRONLY|O_CREAT, 0666) = 5</r/v/new/f>";
        const WRITE: &str = "write(5</r/v/new/f>, \"a = (b)\", 7) = 7";
        const FILE: &str = "fsync(5</r/v/new/f>) = 0";
        const RENAME: &str = "rename(\"/r/v/new\", \"/r/v/name\") = 0";
        const ROOT: &str = "fsync(6</r/v>) = 0";
        const CASES: &[(&str, &[&str], &[&str])] = &[
            ("all of it", &[OPEN, WRITE, FILE, RENAME, ROOT], &[]),
            ("no file", &[OPEN, WRITE, RENAME, ROOT], &["/r/v/name/f"]),
            (
                "by its new name",
                &[OPEN, WRITE, RENAME, "fsync(9</r/v/name/f>) = 0", ROOT],
                &[],
            ),
            ("no folder", &[OPEN, WRITE, FILE, RENAME], &["/r/v"]),
            ("too early", &[OPEN, WRITE, FILE, ROOT, RENAME], &["/r/v"]),
            (
                "it failed",
                &[OPEN, WRITE, "fsync(5</r/v/new/f>) = -1 EIO (…)"],
                &["/r/v/new/f"],
            ),
            ("everything", &[OPEN, WRITE, RENAME, "sync() = 0"], &[]),
            ("data alone", &[WRITE, "fdatasync(5</r/v/new/f>) = 0"], &[]),
            (
                "opened again",
                &[
                    OPEN,
                    WRITE,
                    "openat(AT_FDCWD</r>, \"/r/v/x\", O_RDONLY) = 5</r/v/x>",
                    "fsync(5</r/v/x>) = 0",
                ],
                &["/r/v/new/f"],
            ),
            (
                "at once",
                &[
                    "open(\"/r/v/f\", O_WRONLY|O_DSYNC) = 5</r/v/f>",
                    "write(5</r/v/f>, \"a\", 1) = 1",
                ],
                &[],
            ),
            ("elsewhere", &["write(5</r/log>, \"a\", 1) = 1"], &[]),
            (
                "by folder",
                &["renameat(7</r/v/new>, \"a\", 8</r/v>, \"b\") = 0"],
                &["/r/v"],
            ),
            (
                "from here",
                &[
                    "renameat2(AT_FDCWD</r>, \"a\", AT_FDCWD</r>, \"v/b\", 0) = 0",
                ],
                &["/r/v"],
            ),
        ];
        for (case, calls, left) in CASES {
            let calls: Vec<_> =
                calls.iter().map(|call| (*call).into()).collect();
            let Unsynced { files, folders } =
                unsynced(&calls, Path::new("/r/v"));
            let found: Vec<_> = files.iter().chain(&folders).collect();
            let left: Vec<_> = left.iter().map(Path::new).collect();
            assert_eq!(found, left, "{case}");
        }
    }

    #[test]
    fn a_removal_is_unsynced_until_a_sync_of_its_folder() {
        const RENAME: &str =
            "rename(\"/r/v/name\", \"/r/v/.removed/name\") = 0";
        const RMDIR: &str = "unlinkat(6</r/v>, \"name\", AT_REMOVEDIR) = 0";
        const FILE: &str = "unlink(\"/r/v/name/volume.json\") = 0";
        const INSIDE: &str = "unlink(\"/r/v/name/files/f\") = 0";
        const ROOT: &str = "fsync(6</r/v>) = 0";
        const CASES: &[(&str, &[&str], bool)] = &[
            ("a rename", &[RENAME, ROOT], true),
            ("no sync", &[RENAME], false),
            ("too early", &[ROOT, RENAME], false),
            ("the new folder", &[RENAME, "fsync(7</r/v/.removed>) = 0"], false),
            ("everything", &[RENAME, "sync() = 0"], true),
            ("it failed", &["rename(\"/r/v/name\", \"/x\") = -1 EXDEV"], true),
            ("in place", &[INSIDE, FILE, RMDIR, ROOT], true),
            ("in place, no sync", &[INSIDE, FILE, RMDIR], false),
            ("its file", &[FILE, "fsync(6</r/v/name>) = 0", RMDIR], true),
            ("nothing", &[INSIDE], true),
        ];
        for (case, calls, is_synced) in CASES {
            let calls: Vec<_> =
                calls.iter().map(|call| (*call).into()).collect();
            let left = unsynced_removal(&calls, Path::new("/r/v/name"));
            assert_eq!(left.is_none(), *is_synced, "{case}");
        }
    }

    #[test]
    fn calls_of_two_threads_are_put_together() {
        let text = "7 fsync(5</f> <unfinished ...>\n8  write(2, \"a\", 1) = 1\n\
                    7 <... fsync resumed>) = 0\n8 +++ exited with 0 +++\n";
        assert_eq!(
            whole(text),
            [
                "write(2, \"a\", 1) = 1",
                "fsync(5</f>) = 0",
                "+++ exited with 0 +++"
            ]
        );
    }
}
