//! The processes of this machine, as `/proc` lists them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

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

/// The children of a process.
pub(crate) fn children_of(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_pid().to_string();
    all()
        .filter(|(_, folder)| {
            let stat = fs::read(folder.join("stat")).unwrap_or_default();
            let stat = String::from_utf8_lossy(&stat);
            // `123 (a name) S 1 …`, where the name may hold any character.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(1) == Some(parent.as_str())
        })
        .map(|(id, _)| id)
        .collect()
}
