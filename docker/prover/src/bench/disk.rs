//! Figures of volumes on a disk: the cost of a durable Create, and whether costs
//! grow with the number of volumes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use checker::cargo;
use serde_json::json;
use stand_in::cleanup::{self, Folder};
use stand_in::daemon::Call;
use stand_in::mounts;
use stand_in::plugin::{Place, Program};

use super::programs::GO;
use super::series::{Seen, in_turns, median_of};
use super::wire::{Client, Serving, on_one_processor, started};
use super::{Bench, Measurement, finish, say};

const FEW: usize = 10;
const SOME: usize = 1000;
const MANY: usize = 100_000;

/// Rounds of calls that wait for the disk.
const ROUNDS: usize = 21;
/// Calls that wait for the disk, on each side of a round.
const SYNCS: usize = 5;
/// Rounds in which each side makes a filesystem.
const FILESYSTEMS: usize = 11;
/// Calls in one round, if they do not wait for the disk.
const CALLS: usize = 200;

/// The name of a volume. All names have the same length, so all requests have the
/// same length, and so have all replies.
fn name(number: usize) -> String {
    format!("v-{number:08}")
}

fn create_call(number: usize) -> Call {
    Call::create(&name(number), json!({}))
}

fn remove_call(number: usize) -> Call {
    Call::remove(&name(number))
}

fn get_call(number: usize) -> Call {
    Call::get(&name(number))
}

fn mount_call(number: usize) -> Call {
    Call::mount(&name(number), &"f00d".repeat(16))
}

fn unmount_call(number: usize) -> Call {
    Call::unmount(&name(number), &"f00d".repeat(16))
}

pub(super) fn durable(bench: &mut Bench) -> Result<Measurement> {
    let (mut names, mut programs) = (Vec::new(), vec![bench.solution()?]);
    if let Ok(peer) = bench.peer()? {
        names.push(GO.to_owned());
        programs.push(peer);
    }
    if let Some((name, program)) = bench.other()? {
        names.push(name);
        programs.push(program);
    }
    let disk = match Disk::new()? {
        Ok(disk) => disk,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say("Create against one fdatasync, in turns");
    let root = |at: usize| disk.folder.path().join(format!("volumes-{at}"));
    let mut plugins = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        plugins.push(Volumes::start(program, &root(at), 0)?);
    }
    in_turns(ROUNDS, &names, || {
        let mut sides = Vec::new();
        for plugin in &mut plugins {
            sides.push(median_of(SYNCS, || plugin.create_and_remove())?);
        }
        sides.insert(1, median_of(SYNCS, || sync_one_file(&root(0)))?);
        Ok(sides)
    })
    .map(Measurement::Seen)
}

/// Writes a new file of 64 bytes, and returns the seconds until it is on the disk.
fn sync_one_file(folder: &Path) -> Result<f64> {
    let path = folder.join(".file");
    let begin = Instant::now();
    let mut file = File::create_new(&path)?;
    file.write_all(&[b' '; 64])?;
    file.sync_data()?;
    let seconds = begin.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(seconds)
}

pub(super) fn create(bench: &mut Bench) -> Result<Measurement> {
    few_and_many(bench, "Create", |plugin| {
        median_of(SYNCS, || plugin.create_and_remove())
    })
}

pub(super) fn remove(bench: &mut Bench) -> Result<Measurement> {
    few_and_many(bench, "Remove", |plugin| {
        median_of(SYNCS, || {
            plugin.create()?;
            plugin.remove()
        })
    })
}

pub(super) fn get(bench: &mut Bench) -> Result<Measurement> {
    few_and_many(bench, "Get", |plugin| {
        let mut took = 0.0;
        for _ in 0..CALLS {
            let number = plugin.next();
            took += plugin.get.other(&get_call(number))?;
        }
        Ok(took / CALLS as f64)
    })
}

pub(super) fn mount(bench: &mut Bench) -> Result<Measurement> {
    few_and_many(bench, "Mount", |plugin| {
        let mut took = 0.0;
        for _ in 0..CALLS {
            let number = plugin.next();
            took += plugin.mount.other(&mount_call(number))?;
            plugin.done.other(&unmount_call(number))?;
        }
        Ok(took / CALLS as f64)
    })
}

/// A call with many volumes against the same with few.
fn few_and_many(
    bench: &mut Bench,
    what: &str,
    measure: impl Fn(&mut Volumes) -> Result<f64>,
) -> Result<Measurement> {
    let program = bench.solution()?;
    let roots = match bench.roots(&program)? {
        Ok(roots) => roots,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say(&format!("{what} with {FEW} volumes and with {MANY}"));
    on_one_processor(|| {
        let mut few = Volumes::start(&program, &roots.root(FEW), FEW)?;
        let mut many = Volumes::start(&program, &roots.root(MANY), MANY)?;
        in_turns(ROUNDS, &[], || Ok([measure(&mut many)?, measure(&mut few)?]))
            .map(Measurement::Seen)
    })
}

pub(super) fn start(bench: &mut Bench) -> Result<Measurement> {
    const STARTS: usize = 11;
    let program = bench.solution()?;
    let roots = match bench.roots(&program)? {
        Ok(roots) => roots,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say(&format!("starts with {FEW} volumes and with {MANY}"));
    in_turns(STARTS, &[], || {
        let start = |count| {
            started(&program, &Place::with_volumes(&roots.root(count))?)
        };
        Ok([start(MANY)?, start(FEW)?])
    })
    .map(Measurement::Seen)
}

pub(super) fn list(bench: &mut Bench) -> Result<Measurement> {
    const LISTS: usize = 7;
    let program = bench.solution()?;
    let roots = match bench.roots(&program)? {
        Ok(roots) => roots,
        Err(why) => return Ok(Measurement::Skipped(why)),
    };
    say(&format!("List of {SOME} volumes and of {MANY}"));
    let lister = |count| {
        let place = Place::with_volumes(&roots.root(count))?;
        let serving = Serving::at(&program, place)?;
        let list = Call::list();
        anyhow::Ok((serving.client(&list)?, list, serving))
    };
    let (mut some, mut many) = (lister(SOME)?, lister(MANY)?);
    in_turns(LISTS, &[], || {
        // Both sides list the same number of names.
        let mut took = 0.0;
        for _ in 0..MANY / SOME {
            took += some.0.other(&some.1)?;
        }
        let many = many.0.other(&many.1)?;
        Ok([many / MANY as f64, took / MANY as f64])
    })
    .map(Measurement::Seen)
}

pub(super) fn ext4(bench: &mut Bench) -> Result<Measurement> {
    filesystems(bench, |measured| measured.seconds.clone())
}

pub(super) fn ext4_bytes(bench: &mut Bench) -> Result<Measurement> {
    filesystems(bench, |measured| measured.bytes.clone())
}

/// The figures of a volume with its own filesystem, made by the plugin and made by
/// hand.
#[derive(Clone, Debug)]
pub(super) struct Filesystem {
    seconds: Seen,
    bytes: Seen,
}

fn filesystems(
    bench: &mut Bench,
    which: fn(&Filesystem) -> Seen,
) -> Result<Measurement> {
    if bench.step.number < 8 {
        let why = "filesystems with a size come with step 8";
        return Ok(Measurement::Skipped(why.to_owned()));
    }
    if let Some(why) = mounts::missing() {
        return Ok(Measurement::Skipped(why));
    }
    if bench.filesystem.is_none() || bench.repeats {
        let program = bench.solution()?;
        match Disk::new()? {
            Ok(disk) => bench.filesystem = Some(filesystem(&disk, &program)?),
            Err(why) => return Ok(Measurement::Skipped(why)),
        }
    }
    let filesystem = bench.filesystem.as_ref();
    let filesystem = filesystem.context("the filesystem was measured above")?;
    Ok(Measurement::Seen(which(filesystem)))
}

fn filesystem(disk: &Disk, program: &Program) -> Result<Filesystem> {
    say("an ext4 of 64 MiB, by the plugin and by hand");
    let root = disk.folder.path().join("volumes");
    let mut plugin = Volumes::start(program, &root, 0)?;
    let options = json!({ "type": "ext4", "size": "64m" });
    let create = Call::create(&name(MANY), options);
    let hand = disk.folder.path().join("by-hand");
    fs::create_dir(&hand)?;
    let (image, files) = (hand.join("image"), hand.join("files"));
    fs::create_dir(&files)?;
    let mut bytes = [Vec::new(), Vec::new()];
    let seconds = in_turns(FILESYSTEMS, &[], || {
        let created = plugin.done.other(&create)?;
        let mount = mount_call(MANY);
        let value = created + plugin.mount.other(&mount)?;
        let made = root.join(name(MANY)).join("image");
        bytes[0].push(on_disk(&made)?);
        plugin.done.other(&unmount_call(MANY))?;
        plugin.remove()?;

        let begin = Instant::now();
        File::create_new(&image)?.set_len(64 << 20)?;
        finish(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let mut mount = Command::new("mount");
        finish(mount.args(["-o", "loop"]).args([&image, &files]))?;
        let reference = begin.elapsed().as_secs_f64();
        bytes[1].push(on_disk(&image)?);
        finish(Command::new("umount").arg(&files))?;
        fs::remove_file(&image)?;
        Ok([value, reference])
    })?;
    Ok(Filesystem { seconds, bytes: Seen::new(&bytes, &[]) })
}

/// How much of its disk a file takes, in bytes.
fn on_disk(file: &Path) -> Result<f64> {
    let metadata = fs::metadata(file)
        .with_context(|| format!("reading {}", file.display()))?;
    Ok(metadata.blocks() as f64 * 512.0)
}

/// A plugin with `count` volumes, and a connection for each kind of reply.
struct Volumes {
    get: Client,
    mount: Client,
    /// For Create, Remove and Unmount, whose reply is `{}`.
    done: Client,
    count: usize,
    next: usize,
    _serving: Serving,
}

impl Volumes {
    fn start(program: &Program, root: &Path, count: usize) -> Result<Self> {
        let place = Place::with_volumes(root)?;
        let serving = Serving::at(&program.unheard(), place)?;
        let mut done = serving.client(&create_call(MANY))?;
        let get = serving.client(&get_call(MANY))?;
        let mount = serving.client(&mount_call(MANY))?;
        done.other(&unmount_call(MANY))?;
        done.other(&remove_call(MANY))?;
        let _serving = serving;
        Ok(Self { get, mount, done, count, next: 0, _serving })
    }

    /// Creates one more volume, and returns the seconds.
    fn create(&mut self) -> Result<f64> {
        self.done.other(&create_call(MANY))
    }

    /// Creates one more volume and removes it, and returns the seconds of Create.
    fn create_and_remove(&mut self) -> Result<f64> {
        let took = self.create()?;
        self.remove()?;
        Ok(took)
    }

    /// Removes that volume, and returns the seconds.
    fn remove(&mut self) -> Result<f64> {
        self.done.other(&remove_call(MANY))
    }

    /// The number of an existing volume. Consecutive numbers are far apart.
    fn next(&mut self) -> usize {
        // A step that is a prime and divides no count of ours reaches all volumes.
        self.next = (self.next + 7919) % self.count;
        self.next
    }
}

/// A folder on a real disk: in memory, a sync costs nothing.
struct Disk {
    folder: Folder,
}

impl Disk {
    fn new() -> Result<Result<Self, String>> {
        let place = place()?;
        if let Some(kind @ ("tmpfs" | "ramfs")) =
            mounts::filesystem_of(&place).as_deref()
        {
            return Ok(Err(format!("cargo's target folder is on {kind}")));
        }
        cleanup::sweep_in(&place);
        Ok(Ok(Self { folder: Folder::within(&place)? }))
    }
}

/// A folder in cargo's target folder, which is usually on a disk, while /tmp may be
/// in memory.
fn place() -> Result<PathBuf> {
    let place = cargo::target()?.join("bench");
    fs::create_dir_all(&place)?;
    Ok(place)
}

/// The type of the filesystem that holds the volumes of these figures.
pub(super) fn kind() -> Option<String> {
    mounts::filesystem_of(&place().ok()?)
}

/// ROOTs with few, with some and with many volumes.
pub(super) struct Roots {
    folder: Folder,
}

impl Drop for Roots {
    fn drop(&mut self) {
        say(&format!("removing {MANY} volumes"));
    }
}

impl Bench {
    /// The ROOTs, which are made once for all figures.
    fn roots(&mut self, program: &Program) -> Result<Result<&Roots, String>> {
        if self.roots.is_none() {
            let made = match Disk::new()? {
                Ok(disk) => Ok(Roots::fill(disk.folder, program)?),
                Err(why) => Err(why),
            };
            self.roots = Some(made);
        }
        let roots = self.roots.as_ref();
        let roots = roots.context("the ROOTs were made one line above")?;
        Ok(roots.as_ref().map_err(String::clone))
    }
}

impl Roots {
    fn fill(folder: Folder, program: &Program) -> Result<Self> {
        say(&format!("making {MANY} volumes"));
        let roots = Self { folder };
        let begin = Instant::now();
        for count in [FEW, SOME, MANY] {
            // The plugin makes the first volume; the others are copies of it.
            let root = roots.root(count);
            let place = Place::with_volumes(&root)?;
            let serving = Serving::at(program, place)?;
            serving.client(&create_call(0))?;
            drop(serving);
            let model = Model::read(&root.join(name(0)))?;
            for number in 1..count {
                model.copy(&root.join(name(number)))?;
            }
        }
        // Otherwise the disk would still write during the measurements.
        let synced = Command::new("sync").status()?;
        ensure!(synced.success(), "sync ended ({synced})");
        let seconds = begin.elapsed().as_secs_f64();
        say(&format!("the volumes were made in {seconds:.0} s"));
        Ok(roots)
    }

    fn root(&self, count: usize) -> PathBuf {
        self.folder.path().join(format!("{count}-volumes"))
    }
}

/// The entries of a folder: relative paths, and the text of each file. A folder has
/// no text, and comes before its own entries.
struct Model(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Model {
    fn read(folder: &Path) -> Result<Self> {
        let mut all = vec![(PathBuf::new(), None)];
        let mut at = 0;
        while let Some((path, text)) = all.get(at).cloned() {
            at += 1;
            if text.is_some() {
                continue;
            }
            for entry in fs::read_dir(folder.join(&path))? {
                let entry = entry?;
                let text = match entry.file_type()?.is_dir() {
                    true => None,
                    false => Some(fs::read(entry.path())?),
                };
                all.push((path.join(entry.file_name()), text));
            }
        }
        Ok(Self(all))
    }

    fn copy(&self, folder: &Path) -> Result<()> {
        for (path, text) in &self.0 {
            let path = folder.join(path);
            match text {
                None => fs::create_dir(&path),
                Some(text) => fs::write(&path, text),
            }
            .with_context(|| format!("making {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_copied_as_it_is() {
        let folder = Folder::new().unwrap();
        let (model, copy) = (folder.path().join("m"), folder.path().join("c"));
        fs::create_dir_all(model.join("files/deep")).unwrap();
        fs::write(model.join("files/deep/text"), "words").unwrap();
        Model::read(&model).unwrap().copy(&copy).unwrap();
        let text = fs::read_to_string(copy.join("files/deep/text")).unwrap();
        assert_eq!(text, "words");
    }
}
