//! Disks that take no more data: the disk of ROOT, and that of the log.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stand_in::daemon::{Call, field};
use stand_in::finding::{Fault, Outcome, wrong};
use stand_in::mounts;
use stand_in::plugin::{Place, Program};
use stand_in::root::Mountpoint;

use super::model::{Allowed, Answer, Session, create, options, tool};
use super::{Need, Proof, Subject};

const EXT4: &[Need] =
    &[Need::Root, Need::Loops, Need::Program("mkfs.ext4", "e2fsprogs")];

const fn proof(
    what: &'static str,
    needs: &'static [Need],
    run: fn(&Subject) -> Result<String, Fault>,
) -> Proof {
    Proof { name: "full-disk", what, from: 6, needs, run }
}

pub(super) const PROOFS: &[Proof] = &[
    proof("no block is left in ROOT, an ext4", EXT4, |subject| {
        starve(subject, Disk::Ext4, Lack::Blocks)
    }),
    proof("no inode is left in ROOT, an ext4", EXT4, |subject| {
        starve(subject, Disk::Ext4, Lack::Inodes)
    }),
    proof("no page is left in ROOT, a tmpfs", &[Need::Root], |subject| {
        starve(subject, Disk::Tmpfs, Lack::Blocks)
    }),
    proof("no inode is left in ROOT, a tmpfs", &[Need::Root], |subject| {
        starve(subject, Disk::Tmpfs, Lack::Inodes)
    }),
    proof("ROOT becomes read-only after an I/O error", EXT4, read_only),
    proof("ROOT is mounted read-only for a while", EXT4, remounted),
    Proof {
        name: "leftovers",
        ..proof(
            "a removed volume has a file that cannot be removed",
            EXT4,
            immutable,
        )
    },
    proof("the log's disk is full", &[Need::Linux], |subject| {
        without_log(subject, "exec \"$0\" \"$@\" 2>/dev/full")
    }),
    proof("the reader of the log has ended", &[Need::Linux], |subject| {
        without_log(subject, "\"$0\" \"$@\" 2>&1 | true")
    }),
];

#[derive(Clone, Copy)]
enum Disk {
    Ext4,
    Tmpfs,
}

#[derive(Clone, Copy)]
enum Lack {
    Blocks,
    Inodes,
}

const NO_SPACE: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

/// Volumes that exist before the disk is full.
const OLD: [&str; 3] = ["amber-1", "birch-2", "cedar-3"];
/// A volume that is created later.
const NEW: &str = "delta-4";

impl Disk {
    /// Mounts a small disk on ROOT.
    fn mount(self, place: &Place) -> Result<()> {
        let root = place.volumes();
        if let Err(err) = fs::create_dir(&root)
            && err.kind() != ErrorKind::AlreadyExists
        {
            return Err(err.into());
        }
        let is_link = fs::symlink_metadata(&root)?.is_symlink();
        ensure!(!is_link, "the plugin has made ROOT a link");
        match self {
            Self::Ext4 => {
                let image = place.folder().join("disk");
                if !image.exists() {
                    File::create(&image)?.set_len(8 << 20)?;
                    let more = ["-q", "-N", "128", "-m", "0"];
                    let [quiet, n, inodes, m, reserved] = more;
                    tool(&[
                        &"mkfs.ext4",
                        &quiet,
                        &n,
                        &inodes,
                        &m,
                        &reserved,
                        &image,
                    ])?;
                }
                let how = "loop,errors=remount-ro";
                tool(&[&"mount", &"-o", &how, &image, &root])?;
                let found = root.join("lost+found");
                fs::remove_dir(found).or_else(|err| match err.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(err),
                })?;
            }
            Self::Tmpfs => {
                let how = "size=1m,nr_inodes=128";
                tool(&[
                    &"mount", &"-t", &"tmpfs", &"-o", &how, &"tmpfs", &root,
                ])?;
            }
        }
        Ok(())
    }
}

/// Fills the disk with a file or with many, in a folder that is not a volume.
fn fill(place: &Place, lack: Lack) -> Outcome {
    let root = place.root().open()?;
    root.make(".filler")?;
    let filler = |name: usize| root.create(format!(".filler/{name}"));
    let full = match lack {
        Lack::Inodes => (0..10_000).find_map(|number| filler(number).err()),
        Lack::Blocks => {
            let mut file = filler(0)?;
            // Whole blocks, synced; otherwise the space is only reserved.
            (0..100_000).find_map(|_| {
                let write = file.write_all(&[1; 4096]);
                write.and_then(|()| file.sync_data()).err()
            })
        }
    };
    let err = full.context("the disk takes more than its size")?;
    if err.kind() != ErrorKind::StorageFull {
        return Err(err.into());
    }
    tool(&[&"sync", &"--file-system", &place.volumes()])?;
    Ok(())
}

fn starve(subject: &Subject, disk: Disk, lack: Lack) -> Result<String, Fault> {
    let place = Place::new()?;
    disk.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let mut allowed = prepare(&mut session)?;

    fill(&place, lack)?;
    let refused = refuses(&mut session, &place, &mut allowed, NO_SPACE)?;
    place.root().open()?.remove(".filler")?;

    works_again(&mut session, &mut allowed)?;
    drop(session);
    let mut session = Session::start(&subject.program, &place)?;
    session.compare(&allowed)?;
    Ok(format!("{refused} calls refused, then it works again"))
}

fn read_only(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let root = place.volumes();
    Disk::Ext4.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let mut allowed = prepare(&mut session)?;

    let source = tool(&[&"findmnt", &"-n", &"-o", &"SOURCE", &root])?;
    let device = Path::new(source.trim()).file_name().context("a device")?;
    let trigger = Path::new("/sys/fs/ext4").join(device);
    fs::write(trigger.join("trigger_fs_error"), "a proof")
        .context("asking ext4 for an error")?;
    let refused = refuses(&mut session, &place, &mut allowed, READ_ONLY)?;
    drop(session);
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    refuses(&mut session, &place, &mut allowed, READ_ONLY)?;
    drop(session);

    mounts::clear(&root);
    Disk::Ext4.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    works_again(&mut session, &mut allowed)?;
    Ok(format!(
        "{refused} calls refused, the same after a new start, then it works \
         again"
    ))
}

/// An administrator remounts a disk read-only before a check of it. The kernel
/// refuses that while a program has a file open for writing.
fn remounted(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let root = place.volumes();
    Disk::Ext4.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let mut allowed = prepare(&mut session)?;
    let remount = |how: &str| -> Outcome {
        let how = format!("remount,{how}");
        match tool(&[&"mount", &"-o", &how, &root]) {
            Ok(_) => Ok(()),
            Err(err) => {
                let sent =
                    format!("mount -o {how} ROOT, while the plugin runs");
                Err(wrong(sent, "it succeeds", format!("{err:#}")))
            }
        }
    };
    remount("ro")?;
    let refused = refuses(&mut session, &place, &mut allowed, READ_ONLY)?;
    remount("rw")?;
    works_again(&mut session, &mut allowed)?;
    Ok(format!("{refused} calls refused, then it works again"))
}

/// A volume is removed and its name is free, although one of its files cannot be
/// removed.
fn immutable(subject: &Subject) -> Result<String, Fault> {
    const TIMES: usize = 3;
    let place = Place::new()?;
    let root = place.volumes();
    Disk::Ext4.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let requested = options(&[]);
    let mut allowed = Allowed::new();
    for _ in 0..TIMES {
        session.must(&create(NEW, &requested))?;
        let value = session.must(&Call::get(NEW))?;
        let answer = field(&value, "Volume")
            .and_then(|volume| field(volume, "Mountpoint"));
        let path = answer.and_then(Value::as_str).context("a Mountpoint")?;
        let files = Mountpoint::new(path, "Get", place.root()).within()?;
        let file = root.join(files).join("file");
        place.root().open()?.write(file.strip_prefix(&root)?, "")?;
        tool(&[&"chattr", &"+i", &file])?;
        session.must(&Call::remove(NEW))?;
        allowed.insert(NEW.to_owned(), vec![None]);
        session.compare(&allowed)?;
    }
    drop(session);
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    session.compare(&allowed)?;
    drop(session);
    tool(&[&"chattr", &"-R", &"-i", &root.join(".removed")])?;
    Session::start(&subject.program, &place)?;
    match fs::read_dir(root.join(".removed"))?.count() {
        0 => Ok(format!("{TIMES} Removes, and a start that removes the rest")),
        left => {
            let sent = "a start, once the files can be removed";
            let expected = "they are removed";
            Err(wrong(sent, expected, format!("{left} are left")))
        }
    }
}

/// Creates three volumes; a Remove of the last one keeps its files.
fn prepare(session: &mut Session) -> Result<Allowed, Fault> {
    let mut allowed = Allowed::new();
    for name in OLD {
        let keep = if name == OLD[2] { "true" } else { "false" };
        let requested = options(&[("mode", "0750"), ("keep", keep)]);
        session.must(&create(name, &requested))?;
        allowed.insert(name.to_owned(), vec![Some(requested)]);
    }
    allowed.insert(NEW.to_owned(), vec![None]);
    session.compare(&allowed)?;
    Ok(allowed)
}

/// Makes calls that the disk may not allow. Each must succeed, or name the reason
/// and change nothing. Returns how many were refused.
fn refuses(
    session: &mut Session,
    place: &Place,
    allowed: &mut Allowed,
    words: &str,
) -> Result<usize, Fault> {
    let requested = options(&[("mode", "0750")]);
    let new = create(NEW, &requested);
    let text = session.must_fail(&new)?;
    clear(&new, &text, place, words)?;
    session.compare(allowed)?;
    // Docker's user repeats the command.
    let text = session.must_fail(&new)?;
    clear(&new, &text, place, words)?;
    let mut refused = 2;
    session.must(&Call::mount(OLD[0], "full"))?;
    session.must(&Call::unmount(OLD[0], "full"))?;
    for name in [OLD[1], OLD[2]] {
        let call = Call::remove(name);
        match session.ask(&call) {
            Answer::Success(_) if words == NO_SPACE => {
                allowed.insert(name.to_owned(), vec![None]);
            }
            Answer::Refusal(text) => {
                refused += 1;
                clear(&call, &text, place, words)?;
            }
            answer => {
                return Err(wrong(call, format!("Err: …{words}"), answer));
            }
        }
        session.compare(allowed)?;
    }
    Ok(refused)
}

/// Tests that an error names a path and the system's error.
fn clear(call: &Call, text: &str, place: &Place, words: &str) -> Outcome {
    let root = place.volumes().display().to_string();
    match text.contains(&root) && text.contains(words) {
        true => Ok(()),
        false => {
            let expected = format!("an Err with a path in ROOT and {words:?}");
            Err(wrong(call, expected, text))
        }
    }
}

fn works_again(session: &mut Session, allowed: &mut Allowed) -> Outcome {
    let requested = options(&[("mode", "0750")]);
    session.compare(allowed)?;
    session.must(&create(NEW, &requested))?;
    allowed.insert(NEW.to_owned(), vec![Some(requested)]);
    session.compare(allowed)?;
    for name in OLD {
        if allowed[name] != [None] {
            session.must(&Call::remove(name))?;
            allowed.insert(name.to_owned(), vec![None]);
        }
    }
    session.compare(allowed)
}

/// The plugin works although its output is lost.
fn without_log(subject: &Subject, script: &str) -> Result<String, Fault> {
    const CALLS: usize = 50;
    let path = subject.program.path().display().to_string();
    let shell = ["/bin/sh", "/usr/bin/sh"].map(Path::new);
    let shell =
        shell.into_iter().find(|path| path.exists()).context("a shell")?;
    let program = Program::with_args(shell, &["-c", script, &path])?;
    let place = Place::new()?;
    let mut session = Session::start(&program, &place)?;
    let requested = options(&[]);
    for count in 0..CALLS {
        let name = format!("volume-{count}");
        session.must(&create(&name, &requested))?;
        session.must_fail(&create("..", &requested))?;
        session.must(&Call::remove(&name))?;
    }
    session.compare(&Allowed::new())?;
    Ok(format!("{} calls answered", 3 * CALLS))
}
