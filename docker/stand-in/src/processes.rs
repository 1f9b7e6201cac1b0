//! The processes of this machine, as `/proc` lists them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process id from its decimal digits, as files of `/proc` have it.
pub fn id_of(digits: &str) -> Option<Pid> {
    digits.trim().parse().ok().and_then(Pid::from_raw)
}

/// All processes, each with its folder in `/proc`. There are none where the
/// system has no `/proc`.
pub fn all() -> impl Iterator<Item = (Pid, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let id = id_of(entry.file_name().to_str()?)?;
        Some((id, entry.path()))
    })
}

/// The value of a variable in the environment of the process whose folder in
/// `/proc` is `folder`, as the process was started with it.
pub fn variable(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(folder.join("environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| {
        let value = variable.strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=").map(<[u8]>::to_owned)
    })
}

/// Whether a process still runs. A zombie does not: it has ended, but its
/// parent has not awaited it.
pub fn runs(id: Pid) -> bool {
    let folder = Path::new("/proc").join(id.as_raw_pid().to_string());
    match status_of(&folder) {
        Some((state, _)) => !matches!(state, 'Z' | 'X'),
        // There is no /proc, or it shows users only their own processes.
        None => test_kill_process(id) != Err(Errno::SRCH),
    }
}

/// The children of a process.
pub(crate) fn children_of(parent: Pid) -> Vec<Pid> {
    all()
        .filter(|(_, folder)| {
            status_of(folder).is_some_and(|(_, its)| its == Some(parent))
        })
        .map(|(id, _)| id)
        .collect()
}

/// The state of the process whose folder in `/proc` is `folder`, a letter of
/// proc(5), and the process's parent.
fn status_of(folder: &Path) -> Option<(char, Option<Pid>)> {
    let stat = fs::read(folder.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // `123 (a name) S 1 …`, where the name may hold any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next().and_then(id_of)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::wait::wait_until;

    #[test]
    fn a_zombie_does_not_run() {
        let this = rustix::process::getpid();
        assert!(runs(this));
        let mut child = Command::new("true").spawn().unwrap();
        let id = id_of(&child.id().to_string()).unwrap();
        let ended = wait_until(Duration::from_secs(10), || {
            // Without /proc, a zombie looks like a running process.
            (!runs(id) || !Path::new("/proc/self").exists()).then_some(())
        });
        assert_eq!(ended, Some(()), "it has ended, and was not waited for");
        assert!(child.wait().unwrap().success());
        assert!(!runs(id));
    }
}
