//! Power cuts. After a power cut at some instant, a plugin finds what the disk held
//! at that instant.
//!
//! ROOT is a filesystem in a file. The file is on an xfs, which can copy it at one
//! instant. The loop device between them bypasses the page cache, so the file has
//! exactly what a disk would hold.
//!
//! ext4 has one journal for all files, so an fsync of one file also keeps what
//! happened to others before. btrfs keeps the synced file alone, so a missing fsync
//! may lose something there that ext4 keeps.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, anyhow};
use stand_in::daemon::Call;
use stand_in::finding::{Fault, Outcome};
use stand_in::mounts;
use stand_in::plugin::Place;

use super::model::{Session, tool};
use super::workload::{
    Control, Histories, Volumes, acknowledged, allowed, run_clients,
};
use super::{Need, Proof, Subject};

const fn proof(
    what: &'static str,
    needs: &'static [Need],
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "power", what, from: 6, needs, run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof(
        "the disk's content at an instant, while clients call",
        &[
            Need::Root,
            Need::Loops,
            Need::Program("mkfs.xfs", "xfsprogs"),
            Need::Program("mkfs.ext4", "e2fsprogs"),
            Need::Program("losetup", "util-linux"),
        ],
        |subject| cut(subject, &EXT4),
    ),
    proof(
        "the same, with ROOT on a btrfs",
        &[
            Need::Root,
            Need::Loops,
            Need::Copies,
            Need::Program("mkfs.xfs", "xfsprogs"),
            Need::Program("mkfs.btrfs", "btrfs-progs"),
            Need::Program("losetup", "util-linux"),
        ],
        |subject| cut(subject, &BTRFS),
    ),
];

/// A filesystem for ROOT.
struct Filesystem {
    /// The program that makes it, with its options.
    mkfs: &'static [&'static str],
    /// The size of the disk, in bytes.
    size: u64,
}

const EXT4: Filesystem =
    Filesystem { mkfs: &["mkfs.ext4", "-q"], size: 64 << 20 };

/// A btrfs needs at least 109 MiB. Small nodes, each of them once, write less, so
/// that the copies have room.
const BTRFS: Filesystem = Filesystem {
    mkfs: &["mkfs.btrfs", "-q", "--nodesize", "4096", "--metadata", "single"],
    size: 256 << 20,
};

/// A copy of the disk.
struct Copy {
    file: PathBuf,
    /// The instant of the copy is between `began` and `ended`.
    began: Instant,
    ended: Instant,
}

fn cut(subject: &Subject, filesystem: &Filesystem) -> Result<String, Fault> {
    let place = Place::new()?;
    let disk = disk(&place, filesystem)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let (copies, histories) = copies(subject, &place, &disk)?;
    session.plugin.kill();
    let next = AtomicUsize::new(0);
    let compare_copies = || -> Outcome {
        while let Some(copy) = copies.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let outcome = compare(subject, copy, &histories);
            if outcome.is_err() {
                next.store(copies.len(), Ordering::Relaxed);
            }
            outcome?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(compare_copies));
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| {
                Err(anyhow!("a thread of the prover panicked").into())
            })
        })
    })?;
    let (copies, calls) = (copies.len(), acknowledged(&histories));
    Ok(format!("{copies} of {copies} copies, {calls} acknowledged calls"))
}

/// Mounts ROOT on a disk that can be copied at an instant. Returns its file.
fn disk(place: &Place, filesystem: &Filesystem) -> Result<PathBuf> {
    let below = place.folder().join("xfs.img");
    // An xfs needs at least 300 MiB; the file takes only what is written.
    File::create(&below)?.set_len(1 << 31)?;
    tool(&[&"mkfs.xfs", &"-q", &"-m", &"reflink=1", &below])?;
    let xfs = place.folder().join("xfs");
    fs::create_dir(&xfs)?;
    tool(&[&"mount", &"-o", &"loop", &below, &xfs])?;

    let disk = xfs.join("disk");
    File::create(&disk)?.set_len(filesystem.size)?;
    let mut mkfs: Vec<&dyn AsRef<OsStr>> = Vec::new();
    mkfs.extend(filesystem.mkfs.iter().map(|word| word as &dyn AsRef<OsStr>));
    mkfs.push(&disk);
    tool(&mkfs)?;
    let device =
        tool(&[&"losetup", &"--find", &"--show", &"--direct-io=on", &disk])?;
    fs::create_dir(place.volumes())?;
    tool(&[&"mount", &device.trim(), &place.volumes()])?;
    // The device is in use, so it is detached with the unmount, even if this
    // process is killed before.
    tool(&[&"losetup", &"--detach", &device.trim()])?;
    // Only ext4 makes one.
    let _ = fs::remove_dir(place.volumes().join("lost+found"));
    tool(&[&"sync", &"--file-system", &place.volumes()])?;
    Ok(disk)
}

/// Copies the disk again and again while clients call the plugin.
fn copies(
    subject: &Subject,
    place: &Place,
    disk: &Path,
) -> Result<(Vec<Copy>, Histories), Fault> {
    let most = subject.choose(40, 300);
    let control = Control::default();
    let nothing = [].into();
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            run_clients(
                place,
                4,
                subject.seed,
                Volumes::Dir,
                &nothing,
                &control,
            )
        });
        let mut random = fastrand::Rng::with_seed(subject.seed);
        let mut copies = Vec::new();
        let mut copy = || -> Result<()> {
            while copies.len() < most && !control.stop.load(Ordering::Relaxed) {
                // 40 copies take longer than the 5 s after which the journal
                // commits by itself.
                let pause = Duration::from_millis(random.u64(50..350));
                thread::sleep(pause);
                let file = disk.with_file_name(copies.len().to_string());
                // Concurrent fsyncs commit each other's data. Half of the copies
                // are made in a pause, when no other call commits anything.
                let _quiet = match copies.len() % 2 {
                    0 => control.pause.write().ok(),
                    _ => None,
                };
                let began = Instant::now();
                tool(&[&"cp", &"--reflink=always", &disk, &file])?;
                copies.push(Copy { file, began, ended: Instant::now() });
                let done = copies.len();
                subject.progress(|| format!("{done} of {most} copies made"));
            }
            Ok(())
        };
        let copied = copy();
        control.stop.store(true, Ordering::Relaxed);
        let histories = clients
            .join()
            .map_err(|_| anyhow!("a thread of the prover panicked"))?;
        copied?;
        Ok((copies, histories?))
    })
}

/// Starts a plugin on a copy and compares its volumes.
fn compare(subject: &Subject, copy: &Copy, histories: &Histories) -> Outcome {
    let place = Place::new()?;
    fs::create_dir(place.volumes())?;
    tool(&[&"mount", &"-o", &"loop", &copy.file, &place.volumes()])
        .context("mounting a copy of the disk")?;
    let mut session = Session::start(&subject.program, &place)?;
    let moment = allowed(histories, copy.began, copy.ended);
    let outcome =
        session.compare(&moment).and_then(|()| mount_all(&mut session));
    if outcome.is_err() {
        subject.remember(session.log());
    }
    drop(session);
    mounts::clear(&place.volumes());
    let name = copy.file.file_name().unwrap_or_default().to_owned();
    subject.progress(|| format!("copy {} compared", name.display()));
    outcome
}

/// Every volume can be mounted.
fn mount_all(session: &mut Session) -> Outcome {
    for name in session.names()? {
        session.mounted(&name, "copy")?;
        session.must(&Call::unmount(&name, "copy"))?;
    }
    Ok(())
}
