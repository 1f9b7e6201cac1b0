//! Disks that take nothing any more: ROOT's, and the log's.

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

use super::model::{
    Allowed, Said, Session, create, get, mount, options, remove, tool, unmount,
};
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
    proof("ROOT becomes read-only after an error of the disk", EXT4, read_only),
    proof("ROOT is mounted read-only for a while", EXT4, remounted),
    Proof {
        name: "leftovers",
        ..proof("a file in a removed volume that cannot go", EXT4, immutable)
    },
    proof("the log's disk is full", &[Need::Linux], |subject| {
        without_log(subject, "exec \"$0\" \"$@\" 2>/dev/full")
    }),
    proof("nobody reads the log any more", &[Need::Linux], |subject| {
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

/// Volumes that are there before the disk takes nothing any more.
const OLD: [&str; 3] = ["amber-1", "birch-2", "cedar-3"];
/// One that is to come.
const NEW: &str = "delta-4";

impl Disk {
    /// Mounts a small one where ROOT is.
    fn mount(self, place: &Place) -> Result<()> {
        let root = place.volumes();
        if let Err(err) = fs::create_dir(&root)
            && err.kind() != ErrorKind::AlreadyExists
        {
            return Err(err.into());
        }
        let is_link = fs::symlink_metadata(&root)?.is_symlink();
        ensure!(!is_link, "the plugin made a link of ROOT");
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

/// Takes all that is left, under a name that is no volume's.
fn fill(place: &Place, lack: Lack) -> Outcome {
    let root = place.root().open()?;
    root.make(".filler")?;
    let filler = |name: usize| root.create(format!(".filler/{name}"));
    let full = match lack {
        Lack::Inodes => (0..10_000).find_map(|number| filler(number).err()),
        Lack::Blocks => {
            let mut file = filler(0)?;
            // Whole blocks, and each on the disk: else it is but promised.
            (0..100_000).find_map(|_| {
                let write = file.write_all(&[1; 4096]);
                write.and_then(|()| file.sync_data()).err()
            })
        }
    };
    let err = full.context("the disk takes more than it can have")?;
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
        "{refused} calls refused, as many after a new start, then it works \
         again"
    ))
}

/// An administrator does so before a check of the disk. The kernel refuses it
/// while a program has a file that it may write to.
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
                let sent = format!("mount -o {how} ROOT, while it runs");
                Err(wrong(sent, "it can be done", format!("{err:#}")))
            }
        }
    };
    remount("ro")?;
    let refused = refuses(&mut session, &place, &mut allowed, READ_ONLY)?;
    remount("rw")?;
    works_again(&mut session, &mut allowed)?;
    Ok(format!("{refused} calls refused, then it works again"))
}

/// A volume is gone, whatever one of its files does, and its name is free.
fn immutable(subject: &Subject) -> Result<String, Fault> {
    const TIMES: usize = 3;
    let place = Place::new()?;
    let root = place.volumes();
    Disk::Ext4.mount(&place)?;
    let mut session = Session::start(&subject.program, &place)?;
    subject.remember(session.log());
    let made = options(&[]);
    let mut allowed = Allowed::new();
    for _ in 0..TIMES {
        session.must(&create(NEW, &made))?;
        let value = session.must(&get(NEW))?;
        let said = field(&value, "Volume")
            .and_then(|volume| field(volume, "Mountpoint"));
        let path = said.and_then(Value::as_str).context("a Mountpoint")?;
        let files = Mountpoint::new(path, "Get", place.root()).within()?;
        let file = root.join(files).join("file");
        place.root().open()?.write(file.strip_prefix(&root)?, "")?;
        tool(&[&"chattr", &"+i", &file])?;
        session.must(&remove(NEW))?;
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
        0 => Ok(format!("{TIMES} Removes, and a start that ends it")),
        left => {
            let sent = "a start, once the files can go";
            Err(wrong(sent, "they go", format!("{left} are left")))
        }
    }
}

/// Three volumes, of which the last would keep its files.
fn prepare(session: &mut Session) -> Result<Allowed, Fault> {
    let mut allowed = Allowed::new();
    for name in OLD {
        let keep = if name == OLD[2] { "true" } else { "false" };
        let made = options(&[("mode", "0750"), ("keep", keep)]);
        session.must(&create(name, &made))?;
        allowed.insert(name.to_owned(), vec![Some(made)]);
    }
    allowed.insert(NEW.to_owned(), vec![None]);
    session.compare(&allowed)?;
    Ok(allowed)
}

/// Each call does what it shall, or says why it did not and changes nothing.
/// Returns how many of them did not.
fn refuses(
    session: &mut Session,
    place: &Place,
    allowed: &mut Allowed,
    words: &str,
) -> Result<usize, Fault> {
    let made = options(&[("mode", "0750")]);
    let new = create(NEW, &made);
    let text = session.must_not(&new)?;
    clear(&new, &text, place, words)?;
    session.compare(allowed)?;
    // The same again is what Docker does.
    let text = session.must_not(&new)?;
    clear(&new, &text, place, words)?;
    let mut refused = 2;
    session.must(&mount(OLD[0], "full"))?;
    session.must(&unmount(OLD[0], "full"))?;
    for name in [OLD[1], OLD[2]] {
        let call = remove(name);
        match session.ask(&call) {
            Said::Yes(_) if words == NO_SPACE => {
                allowed.insert(name.to_owned(), vec![None]);
            }
            Said::No(text) => {
                refused += 1;
                clear(&call, &text, place, words)?;
            }
            said => return Err(wrong(call, format!("Err: …{words}"), said)),
        }
        session.compare(allowed)?;
    }
    Ok(refused)
}

/// Whether an error says what could not be done to which path.
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
    let made = options(&[("mode", "0750")]);
    session.compare(allowed)?;
    session.must(&create(NEW, &made))?;
    allowed.insert(NEW.to_owned(), vec![Some(made)]);
    session.compare(allowed)?;
    for name in OLD {
        if allowed[name] != [None] {
            session.must(&remove(name))?;
            allowed.insert(name.to_owned(), vec![None]);
        }
    }
    session.compare(allowed)
}

/// What the plugin prints gets lost, and nothing else does.
fn without_log(subject: &Subject, script: &str) -> Result<String, Fault> {
    const CALLS: usize = 50;
    let path = subject.program.path().display().to_string();
    let shell = ["/bin/sh", "/usr/bin/sh"].map(Path::new);
    let shell =
        shell.into_iter().find(|path| path.exists()).context("a shell")?;
    let program = Program::with_args(shell, &["-c", script, &path])?;
    let place = Place::new()?;
    let mut session = Session::start(&program, &place)?;
    let made = options(&[]);
    for count in 0..CALLS {
        let name = format!("volume-{count}");
        session.must(&create(&name, &made))?;
        session.must_not(&create("..", &made))?;
        session.must(&remove(&name))?;
    }
    session.compare(&Allowed::new())?;
    Ok(format!("{} calls answered", 3 * CALLS))
}
