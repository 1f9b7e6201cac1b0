//! `make watch-exercise-N`: checks the exercise after every save.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use stand_in::steps::{Kind, Step};

/// How often the files are compared. The system's events about files would be
/// faster, but they get lost in WSL and in containers.
const PAUSE: Duration = Duration::from_millis(200);

type Times = BTreeMap<PathBuf, (SystemTime, u64, u64)>;

/// Calls `verdict` now and after each change of the exercise, until `verdict`
/// returns `Break`.
pub fn run(
    root: &Path,
    step: &Step,
    mut verdict: impl FnMut() -> ControlFlow<()>,
) {
    let folder = root.join(step.folder(Kind::Exercise));
    loop {
        // Read before the check, so that a save during the check starts another.
        let before = times(&folder);
        if verdict().is_break() {
            return;
        }
        println!("\nwaiting for a change of {}…", step.name);
        while times(&folder) == before {
            thread::sleep(PAUSE);
        }
        println!("{}", "─".repeat(60));
    }
}

/// The time of change, length and inode number of each file. An editor that
/// replaces a file may keep its time and its length, but not its inode.
fn times(folder: &Path) -> Times {
    let mut times = Times::new();
    let mut open = vec![folder.join("src"), folder.join("Cargo.toml")];
    while let Some(path) = open.pop() {
        // A file may be missing while an editor replaces it.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            open.extend(entries.flatten().map(|entry| entry.path()));
        } else if let Ok(time) = metadata.modified() {
            times.insert(path, (time, metadata.len(), metadata.ino()));
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use stand_in::cleanup::Folder;

    type Change = fn(&Path);

    /// Changes to one exercise, in order. Each must lead to one more verdict.
    const CHANGES: [(&str, Change); 6] = [
        ("a longer text", |folder| {
            fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
        }),
        ("another file in its place, of the same time and length", |folder| {
            let file = folder.join("src/main.rs");
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            let other = folder.join("main.rs~");
            fs::write(&other, "fn mein() {}").unwrap();
            fs::File::options()
                .write(true)
                .open(&other)
                .unwrap()
                .set_modified(time)
                .unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("a new file", |folder| {
            fs::write(folder.join("src/volumes.rs"), "").unwrap();
        }),
        ("the manifest", |folder| {
            fs::write(folder.join("Cargo.toml"), "[package]").unwrap();
        }),
        // A rename is one change; removing the files one by one would be several.
        ("the folder is gone", |folder| {
            fs::rename(folder, folder.with_extension("kept")).unwrap();
        }),
        ("the folder is back", |folder| {
            fs::rename(folder.with_extension("kept"), folder).unwrap();
        }),
    ];

    #[test]
    fn each_change_has_a_verdict() {
        let root = Folder::new().unwrap();
        let step = Step { number: 1, name: "01-activate".to_owned() };
        let folder = root.path().join(step.folder(Kind::Exercise));
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/main.rs"), "").unwrap();
        let (verdicts, seen) = std::sync::mpsc::channel();
        let path = root.path().to_owned();
        let watch = thread::spawn(move || {
            let mut count = 0;
            run(&path, &step, || {
                count += 1;
                verdicts.send(count).unwrap();
                match count {
                    ..=6 => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                }
            });
        });
        let patience = Duration::from_secs(10);
        seen.recv_timeout(patience).unwrap();
        for (case, change) in CHANGES {
            change(&folder);
            let verdict = seen.recv_timeout(patience);
            assert!(verdict.is_ok(), "no verdict after: {case}");
        }
        watch.join().unwrap();
    }
}
