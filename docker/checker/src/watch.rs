//! `make watch-exercise-N`: the verdict after every save.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::steps::{Kind, Step};

/// How often the files are looked at. Events of the system would be quicker,
/// and get lost in WSL and in containers.
const PAUSE: Duration = Duration::from_millis(200);

type Times = BTreeMap<PathBuf, (SystemTime, u64)>;

/// Calls `verdict` now, and again after each change of the exercise. Ends only
/// with the process.
pub fn run(root: &Path, step: &Step, mut verdict: impl FnMut()) -> ! {
    let folder = root.join(step.folder(Kind::Exercise));
    loop {
        // Taken first: what is saved during the check is checked next.
        let seen = times(&folder);
        verdict();
        println!("\nwaiting for a change of {}…", step.name);
        while times(&folder) == seen {
            thread::sleep(PAUSE);
        }
        println!("{}", "─".repeat(60));
    }
}

/// When each file was changed, and how long it is: editors that replace a file
/// may keep its time.
fn times(folder: &Path) -> Times {
    let mut times = Times::new();
    let mut open = vec![folder.join("src"), folder.join("Cargo.toml")];
    while let Some(path) = open.pop() {
        // An editor may be replacing it at this very moment.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            open.extend(entries.flatten().map(|it| it.path()));
        } else if let Ok(time) = metadata.modified() {
            times.insert(path, (time, metadata.len()));
        }
    }
    times
}
