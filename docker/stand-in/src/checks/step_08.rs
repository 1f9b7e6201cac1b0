//! Step 8: filesystems with a size.
//!
//! Most checks need root and loop devices; the others run everywhere.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Check;
use super::step_02::{activated, not_found};
use super::step_03::{found, remove_volume};
use super::step_04::{mount, path_in, unmount, use_call};
use super::step_05::{DONE, create_with, misses, refused};
use crate::cleanup::{self, Guard};
use crate::daemon::{Call, field, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session};
use crate::mounts;
use crate::plugin::{Place, Program};
use crate::root::{Mountpoint, Root};
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "8.ext4",
        step: 8,
        name: "Create makes a filesystem, or its error says why not",
        why: "if mkfs or mount is missing or needs root, the user must learn \
              that before a container starts",
        file: "src/filesystem.rs",
        place: "TODO 8.1",
        source: "our rule; Docker shows the Err of a Create",
        run: ext4,
    },
    Check {
        id: "8.bad-size",
        step: 8,
        name: "an invalid size is refused",
        why: "a guessed size would make a volume without space, or without a \
              limit",
        file: "src/options.rs",
        place: "`size`",
        source: "our rule; docker/go-units RAMInBytes reads -o size of others",
        run: |harness| beside(harness, bad_size),
    },
    Check {
        id: "8.size-and-type",
        step: 8,
        name: "a missing size is refused, and so is a size for a directory",
        why: "a directory has no limit: if Create accepts a size, the user \
              relies on a limit that does not exist",
        file: "src/options.rs",
        place: "`validate`",
        source: "our rule: ext4, xfs and btrfs need a size, dir has none",
        run: |harness| beside(harness, size_and_type),
    },
    Check {
        id: "8.size-alone",
        step: 8,
        name: "a size without a type makes an ext4 volume",
        why: "a size alone is the shortest way to ask for a limit, and every \
              host has ext4",
        file: "src/options.rs",
        place: "`read`",
        source: "our rule: a directory has no size",
        run: |harness| beside(harness, size_alone),
    },
    Check {
        id: "8.bad-owner",
        step: 8,
        name: "an owner that is not a number is refused",
        why: "a user's name stands for a different number in each container",
        file: "src/options.rs",
        place: "`id`",
        source: "our rule: uid and gid are numbers, as for mount",
        run: |harness| beside(harness, bad_owner),
    },
    Check {
        id: "8.same-size",
        step: 8,
        name: "two spellings of one size are equal, and another size is not",
        why: "a retry must not fail, and a success for a different size would \
              hide that the size was ignored",
        file: "src/options.rs",
        place: "`canonical`",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: |harness| beside(harness, same_size),
    },
    Check {
        id: "8.full-disk",
        step: 8,
        name: "a Create that fails leaves nothing behind",
        why: "an incomplete image takes space on a disk that is already full",
        file: "src/volumes.rs",
        place: "`create`",
        source: "our rule: Docker sends no Remove for a Create that failed",
        run: |harness| beside(harness, full_disk),
    },
    Check {
        id: "8.private-image",
        step: 8,
        name: "no other user may read a volume's image",
        why: "the image has the files of all containers that use the volume, \
              whatever mode and owner they have inside",
        file: "src/filesystem.rs",
        place: "TODO 8.1",
        source: "our rule: the image has mode 0600, even if ROOT is opened",
        run: |harness| beside(harness, private_image),
    },
    Check {
        id: "8.sparse",
        step: 8,
        name: "an empty volume takes next to no room on the host's disk",
        why: "if a new image is written in full, a Create of 10g takes minutes, \
              and a few empty volumes fill the disk",
        file: "src/filesystem.rs",
        place: "TODO 8.1",
        source: "our rule; ftruncate(2): the extended part is a hole",
        run: |harness| beside(harness, sparse),
    },
    Check {
        id: "8.size-holds",
        step: 8,
        name: "a volume takes as much as its size allows, and no more",
        why: "a size is a limit: one container must not fill the disk that all \
              of them use",
        file: "src/filesystem.rs",
        place: "TODO 8.1, TODO 8.2",
        source: "our rule; write(2): ENOSPC",
        run: |harness| beside(harness, size_holds),
    },
    Check {
        id: "8.room",
        step: 8,
        name: "a file can fill 80 % of a volume of any accepted size",
        why: "by default, the journal and the inodes take a third of a small \
              volume, and a user who asked for 32m notices that when the \
              volume is full",
        file: "src/options.rs",
        place: "`image`",
        source: "our rule; mke2fs(8) for its defaults",
        run: |harness| beside(harness, room),
    },
    Check {
        id: "8.empty",
        step: 8,
        name: "a new filesystem is empty",
        why: "Docker copies the image's files into a volume only if the volume \
              is empty; mkfs.ext4 creates lost+found in the filesystem's root",
        file: "src/filesystem.rs",
        place: "`make`",
        source: "vol-copy-up 1, 4",
        run: |harness| beside(harness, empty),
    },
    Check {
        id: "8.owner",
        step: 8,
        name: "the volume's directory has the requested owner and mode",
        why: "an owner that is set before the filesystem is mounted stays \
              hidden below the mount",
        file: "src/filesystem.rs",
        place: "`make_files`",
        source: "our rule: uid, gid and mode are those of the directory",
        run: |harness| beside(harness, owner),
    },
    Check {
        id: "8.status-now",
        step: 8,
        name: "Status shows the mode and owner of the mounted filesystem, or \
               none",
        why: "both are stored in the filesystem: while it is not mounted, the \
              folder at its path is missing or a different one, and copy-up \
              may have replaced the requested values",
        file: "src/options.rs",
        place: "`status`",
        source: "vol-copy-up 1, 4, 5",
        run: |harness| beside(harness, status_now),
    },
    Check {
        id: "8.failed-mount",
        step: 8,
        name: "a Mount that fails returns an error, and leaves nothing mounted",
        why: "otherwise the container writes into a bare directory without a \
              limit, where its files are lost; Docker sends no Unmount after a \
              failed Mount",
        file: "src/filesystem.rs",
        place: "TODO 8.2",
        source: "vol-errors-mount 2, 3, 11",
        run: |harness| beside(harness, failed_mount),
    },
    Check {
        id: "8.undone",
        step: 8,
        name: "a Mount that fails undoes what it did, and nothing else",
        why: "Docker sends no Unmount after a failed Mount, so the filesystem \
              would stay mounted; but another container may be using it",
        file: "src/filesystem.rs",
        place: "TODO 8.2",
        source: "vol-errors-mount 2, 3, 11; mount(8): 16 after a mount",
        run: |harness| beside(harness, undone),
    },
    Check {
        id: "8.not-mounted",
        step: 8,
        name: "while the volume is not mounted, its \"Mountpoint\" takes no \
               files",
        why: "if a mount is late or not visible, a container could fill the \
              host's disk without a limit, and its files would be missing \
              later",
        file: "src/volumes.rs",
        place: "`files`",
        source: "our rule; podman sends no Mount after an Unmount that failed",
        run: |harness| beside(harness, not_mounted),
    },
    Check {
        id: "8.shared",
        step: 8,
        name: "the filesystem stays mounted until its last use ends",
        why: "the other container keeps running, and Docker reads its files at \
              this path",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "vol-two-containers",
        run: |harness| beside(harness, shared),
    },
    Check {
        id: "8.same-id",
        step: 8,
        name: "several uses with one ID are counted",
        why: "`docker cp` mounts and unmounts with the ID of a running \
              container: a set of IDs would drop the container's own use",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "vol-cp 1-3",
        run: |harness| beside(harness, same_id),
    },
    Check {
        id: "8.unknown-id",
        step: 8,
        name: "an Unmount with an unknown ID succeeds",
        why: "after a reboot the plugin knows no uses, and Docker never sends \
              an Unmount twice",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "vol-errors-mount 15, 18",
        run: |harness| beside(harness, unknown_id),
    },
    Check {
        id: "8.last-use",
        step: 8,
        name: "the last Unmount unmounts the filesystem",
        why: "a filesystem that stays mounted keeps its loop device and its \
              unwritten data for ever",
        file: "src/filesystem.rs",
        place: "TODO 8.3",
        source: "vol-run-named 1",
        run: |harness| beside(harness, last_use),
    },
    Check {
        id: "8.busy",
        step: 8,
        name: "a filesystem with an open file stays visible until it is closed",
        why: "a lazy umount hides it while it lives on: the next Mount would \
              mount the same image a second time, which destroys it",
        file: "src/filesystem.rs",
        place: "`umount`",
        source: "umount2(2): MNT_DETACH, EBUSY",
        run: |harness| beside(harness, busy),
    },
    Check {
        id: "8.extra-unmount",
        step: 8,
        name: "one Unmount too many takes no files from a container",
        why: "dockerd 20.10 sends one after a failed `docker cp`, with the ID \
              of the running container; the next container must see the same \
              files",
        file: "src/filesystem.rs",
        place: "`unmount_if_unused`",
        source: "seen with 20.10: docker cp whose Mount gets an Err",
        run: |harness| alone(harness, extra_unmount),
    },
    Check {
        id: "8.crash",
        step: 8,
        name: "uses are still counted after kill -9",
        why: "containers keep running while the plugin is down, and end later",
        file: "src/filesystem.rs",
        place: "TODO 8.2, TODO 8.3",
        source: "plugin-dies 3-10",
        run: |harness| beside(harness, crash),
    },
    Check {
        id: "8.once",
        step: 8,
        name: "a filesystem is mounted once, however often the plugin starts",
        why: "a plugin in a container gets a copy of all mounts at each start, \
              and by mount propagation, a new mount of its own also appears \
              on the host: twice, four times, up to the kernel's limit",
        file: "src/filesystem.rs",
        place: "TODO 8.2",
        source: "mount_namespaces(7): shared subtrees",
        run: |harness| alone(harness, once),
    },
    Check {
        id: "8.hung",
        step: 8,
        name: "a mount that hangs does not block other volumes",
        why: "calls for its volume would occupy all threads: Docker would get \
              no answer for any volume, and the plugin could not be stopped",
        file: "src/programs.rs",
        place: "`run`",
        source: "our rule; dockerd waits 60 to 120 s for an answer",
        run: |harness| beside(harness, hung),
    },
    Check {
        id: "8.tmpfs",
        step: 8,
        name: "a tmpfs has its size, and refuses keep=true",
        why: "a tmpfs uses the memory of the host, and it is empty again after \
              its last use",
        file: "src/filesystem.rs",
        place: "`mount_filesystem`",
        source: "our rule; tmpfs(5)",
        run: |harness| beside(harness, tmpfs),
    },
    Check {
        id: "8.tmpfs-source",
        step: 8,
        name: "a tmpfs does not show a path of the host to the container",
        why: "`mount` in the container prints the source, which can be any \
              word for a tmpfs: a path tells a stranger about the host",
        file: "src/filesystem.rs",
        place: "`mount_filesystem`",
        source: "our rule; proc_pid_mountinfo(5): the mount source",
        run: |harness| beside(harness, tmpfs_source),
    },
    Check {
        id: "8.stale",
        step: 8,
        name: "Remove succeeds even if uses are still counted",
        why: "Docker sends Remove when no container uses the volume; a dockerd \
              that was killed never sends its Unmounts",
        file: "src/filesystem.rs",
        place: "TODO 8.4",
        source: "vol-dockerd-restart 13-17",
        run: |harness| beside(harness, stale),
    },
    Check {
        id: "8.elsewhere",
        step: 8,
        name: "Remove is refused while a process still has the filesystem \
               mounted",
        why: "a container has mounts of its own, which outlive ours, and its \
              files would be removed while it runs",
        file: "src/filesystem.rs",
        place: "TODO 8.4",
        source: "mount_namespaces(7)",
        run: |harness| alone(harness, elsewhere),
    },
    Check {
        id: "8.keep",
        step: 8,
        name: "kept files come back with their filesystem, or Create fails",
        why: "a Create that formats over kept files destroys them; a volume of \
              another size or type breaks its limit",
        file: "src/volumes.rs",
        place: "`same_files`",
        source: "our rule: keep=true",
        run: |harness| beside(harness, keep),
    },
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Some checks start a process with a copy of the whole mount table, mounts of
/// other checks included: they run while no other check mounts.
static COPIES: RwLock<()> = RwLock::new(());

/// Runs a check of this step beside others of this process.
fn beside(
    harness: &mut Harness,
    check: fn(&mut Harness) -> Outcome,
) -> Outcome {
    let _others = COPIES.read().unwrap_or_else(PoisonError::into_inner);
    check(harness)
}

/// Runs a check that copies mounts, while no other check of this step runs.
fn alone(harness: &mut Harness, check: fn(&mut Harness) -> Outcome) -> Outcome {
    let _alone = COPIES.write().unwrap_or_else(PoisonError::into_inner);
    check(harness)
}

/// Ends a check for which this machine lacks the means.
fn may_mount() -> Outcome {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    match MISSING.get_or_init(mounts::missing) {
        None => Ok(()),
        Some(why) => Err(Fault::NotTried(why.clone())),
    }
}

/// A plugin with one volume of these options, if it can be created.
fn with_volume(
    harness: &mut Harness,
    options: &Value,
) -> Result<(Session, String), Fault> {
    may_mount()?;
    let mut session = activated(harness)?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, options.clone());
    match exchange.success(DONE) {
        Ok(_) => Ok((session, name)),
        // One report of that is enough.
        Err(_) => {
            Err(Fault::NotTried("no such volume could be created".into()))
        }
    }
}

/// The options of a small ext4 volume.
fn small() -> Value {
    json!({ "type": "ext4", "size": "16m" })
}

/// A mount below ROOT, or a loop device with a file there, if any is left.
/// Unused ones may take a moment to disappear.
fn left(session: &Session) -> Option<String> {
    let root = session.volumes();
    let none = || mounts::left(&root).is_none().then_some(());
    match wait_until(Duration::from_secs(2), none) {
        Some(()) => None,
        None => mounts::left(&root).map(|path| path.display().to_string()),
    }
}

/// The files under ROOT with this size in bytes, by their paths relative to
/// ROOT.
fn of_size(root: &Root, size: u64) -> Result<Vec<PathBuf>, Fault> {
    let root = root.open()?;
    let mut files = root.files()?;
    files.retain(|file| root.length(file).is_ok_and(|length| length == size));
    Ok(files)
}

/// Writes until the filesystem is full or has taken `most` bytes. Returns the
/// number of bytes that it took, and whether it was full.
fn fill(directory: &Mountpoint, most: u64) -> Result<(u64, bool), Fault> {
    let directory = directory.open()?;
    let mut file = directory.create("fill")?;
    let block = vec![7; 64 * 1024];
    let mut taken = 0;
    let full = loop {
        if taken >= most {
            break false;
        }
        match file.write(&block) {
            Ok(count) => taken += count as u64,
            Err(err) if err.kind() == ErrorKind::StorageFull => break true,
            Err(err) => return Err(err.into()),
        }
    };
    drop(file);
    directory.remove("fill")?;
    Ok((taken, full))
}

fn ext4(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, small());
    if exchange.success("").is_ok() {
        found(&mut session, &name)?;
        return Ok(());
    }
    let expected = "200 and {}; or, if the plugin may not mount, an \"Err\" \
                    that says which of mkfs.ext4 and mount failed";
    if may_mount().is_ok() {
        return Err(exchange.wrong(expected));
    }
    let said = exchange.failure(expected)?;
    let said = said.replace("apt-get install mount", "");
    if !["mkfs.ext4 ", "mount "].iter().any(|program| said.contains(program)) {
        return Err(exchange.wrong(expected));
    }
    not_found(&mut session, &name)?;
    if of_size(session.root(), 16 * MIB)?.is_empty() {
        return Ok(());
    }
    Err(exchange.wrong("no file of the volume stays in ROOT"))
}

fn bad_size(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for value in [
        "",
        "0",
        "0m",
        "-1",
        "-64m",
        "m",
        "64x",
        "64mm",
        "many",
        "1.5.0g",
        "1,5g",
        "0.0004k",
        "64m 64m",
        "18446744073709551617",
        "18014398509481985k",
        "99999999999999999999t",
    ] {
        for kind in ["tmpfs", "ext4"] {
            let name = harness.name();
            let options = json!({ "type": kind, "size": value });
            let exchange = create_with(&mut session, &name, options);
            refused(&exchange, &["size"])?;
            not_found(&mut session, &name)?;
        }
    }
    Ok(())
}

fn size_and_type(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for options in
        [json!({ "type": "ext4" }), json!({ "type": "dir", "size": "64m" })]
    {
        let name = harness.name();
        let exchange = create_with(&mut session, &name, options);
        refused(&exchange, &["size", "type"])?;
        not_found(&mut session, &name)?;
    }
    Ok(())
}

fn size_alone(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, json!({ "size": "16m" }));
    if exchange.failure("").is_ok() {
        // One report is enough if no such volume can be created at all.
        let other = create_with(&mut session, &harness.name(), small());
        if other.failure("").is_ok() {
            may_mount()?;
            let why = "no ext4 volume could be created";
            return Err(Fault::NotTried(why.to_owned()));
        }
    }
    exchange.success("200 and {}: the type is ext4")?;
    let (exchange, volume) = found(&mut session, &name)?;
    let status = field(&volume, "Status");
    let kind = status.and_then(|status| field(status, "type"));
    match kind.and_then(Value::as_str) {
        Some("ext4") => Ok(()),
        _ => Err(exchange.wrong("a \"Status\" with the type ext4")),
    }
}

fn bad_owner(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for value in ["root", "", "-1", "0x10", "4294967296", "1 2"] {
        for key in ["uid", "gid"] {
            let name = harness.name();
            let options = json!({ key: value });
            refused(&create_with(&mut session, &name, options), &[key])?;
            not_found(&mut session, &name)?;
        }
    }
    Ok(())
}

fn same_size(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness, &small())?;
    for size in
        ["16m", "16M", "16mb", "16384k", "16777216", "16MiB", "0.015625g"]
    {
        let options = json!({ "type": "ext4", "size": size });
        let exchange = create_with(&mut session, &name, options);
        exchange.success("200 and {}: the sizes mean the same")?;
    }
    let options = json!({ "type": "ext4", "size": "17m" });
    refused(&create_with(&mut session, &name, options), &["size"])?;
    let (exchange, volume) = found(&mut session, &name)?;
    let status = field(&volume, "Status");
    let has = |key| status.and_then(|status| field(status, key)).is_some();
    match has("size") && has("type") {
        true => Ok(()),
        false => Err(exchange.wrong("a \"Status\" with type and size")),
    }
}

fn size_holds(harness: &mut Harness) -> Outcome {
    let size = harness.number(12..24);
    let options = json!({ "type": "ext4", "size": format!("{size}m") });
    let (mut session, name) = with_volume(harness, &options)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    let size = u64::from(size) * MIB;
    let (taken, full) = fill(&directory, 3 * size)?;
    // A filesystem needs a part of its size for itself.
    if full && (size / 2..=size).contains(&taken) {
        return Ok(());
    }
    Err(exchange.wrong(format!(
        "a volume of {} MiB takes at least half of that, and not more; this \
         one took {} MiB{}",
        size / MIB,
        taken / MIB,
        if full { "" } else { ", and was not full" }
    )))
}

fn room(harness: &mut Harness) -> Outcome {
    may_mount()?;
    let mut session = activated(harness)?;
    // From 32m on, the journal is four times as large.
    for size in [4, 8, 32] {
        let name = harness.name();
        let options = json!({ "type": "ext4", "size": format!("{size}m") });
        let exchange = create_with(&mut session, &name, options);
        if exchange.failure("").is_ok() {
            continue;
        }
        exchange.success(DONE)?;
        let directory = mount(&mut session, &name, "93de")?;
        let (taken, _) = fill(&directory, size * MIB)?;
        let share = 100 * taken / (size * MIB);
        if share < 80 {
            return Err(exchange.wrong(format!(
                "an \"Err\", or a volume of which a file can fill at least 80 \
                 %; here the file filled {share} %"
            )));
        }
    }
    Ok(())
}

fn empty(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness, &small())?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    let names = directory.names()?;
    match names.first() {
        None => Ok(()),
        Some(name) => Err(exchange.wrong(format!(
            "an empty directory; this one holds {}",
            name.display()
        ))),
    }
}

fn owner(harness: &mut Harness) -> Outcome {
    for (kind, mode) in [("ext4", 0o2775), ("tmpfs", 0o1750)] {
        let (uid, gid) =
            (harness.number(1000..9999), harness.number(1000..9999));
        let options = json!({
            "type": kind, "size": "16m", "uid": uid.to_string(),
            "gid": gid.to_string(), "mode": format!("{mode:o}"),
        });
        let (mut session, name) = with_volume(harness, &options)?;
        let call = use_call("VolumeDriver.Mount", &name, "93de");
        let exchange = session.call(&call);
        let directory = path_in(&exchange, &exchange.success(DONE)?)?;
        let (owner, group, bits) = directory.owner_and_mode()?;
        if (owner, group, bits) != (uid, gid, mode) {
            return Err(exchange.wrong(format!(
                "a directory with the requested uid, gid and mode; this one \
                 has the mode {bits:04o}, and its owner {}",
                match (owner, group) == (uid, gid) {
                    true => "is right",
                    false => "is another",
                }
            )));
        }
    }
    Ok(())
}

fn status_now(harness: &mut Harness) -> Outcome {
    let options = json!({ "size": "16m", "type": "ext4", "mode": "0711" });
    let (mut session, name) = with_volume(harness, &options)?;
    let directory = mount(&mut session, &name, "93de")?;
    // Copy-up sets a mode in the same way.
    directory.set_mode(0o1750)?;
    session.say_before("after a chmod of the directory");
    let (exchange, volume) = found(&mut session, &name)?;
    if let Some(wrong) = misses(&volume, directory.owner_and_mode()?) {
        return Err(exchange.wrong(format!(
            "a \"Status\" with the current mode, uid and gid of the directory: \
             its {wrong}"
        )));
    }
    unmount(&mut session, &name, "93de")?;
    let (exchange, volume) = found(&mut session, &name)?;
    let status = field(&volume, "Status");
    let mode = status.and_then(|status| field(status, "mode"));
    match mode.and_then(Value::as_str) {
        None | Some("1750") => Ok(()),
        Some(_) => Err(exchange.wrong(
            "a \"Status\" without a mode, because nothing is mounted, or with \
             the mode 1750, which the directory has",
        )),
    }
}

/// After an Unmount, the filesystem must still be mounted, with its file.
fn still_there(exchange: &Exchange, directory: &Mountpoint) -> Outcome {
    exchange.success(DONE)?;
    match directory.is_mounted()? && directory.has("file")? {
        true => Ok(()),
        false => Err(exchange.wrong("the filesystem is still mounted")),
    }
}

/// A mounted volume with a file in it.
fn in_use(
    harness: &mut Harness,
    id: &str,
) -> Result<(Session, String, Mountpoint), Fault> {
    let (mut session, name) = with_volume(harness, &small())?;
    let call = use_call("VolumeDriver.Mount", &name, id);
    let exchange = session.call(&call);
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    if !directory.is_mounted()? {
        return Err(exchange.wrong("a filesystem is mounted at \"Mountpoint\""));
    }
    directory.write("file", &name)?;
    Ok((session, name, directory))
}

fn shared(harness: &mut Harness) -> Outcome {
    let (mut session, name, directory) = in_use(harness, "93de")?;
    let second = mount(&mut session, &name, "a1b2")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    still_there(&exchange, &directory)?;
    still_there(&exchange, &second)
}

fn same_id(harness: &mut Harness) -> Outcome {
    let (mut session, name, directory) = in_use(harness, "93de")?;
    // Two calls of `docker cp`, while the container runs.
    for _ in 0..2 {
        mount(&mut session, &name, "93de")?;
        let call = use_call("VolumeDriver.Unmount", &name, "93de");
        let exchange = session.call(&call);
        still_there(&exchange, &directory)?;
    }
    mount(&mut session, &name, "93de")?;
    mount(&mut session, &name, "93de")?;
    for _ in 0..2 {
        let call = use_call("VolumeDriver.Unmount", &name, "93de");
        let exchange = session.call(&call);
        still_there(&exchange, &directory)?;
    }
    Ok(())
}

fn unknown_id(harness: &mut Harness) -> Outcome {
    let (mut session, name, directory) = in_use(harness, "93de")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "a1b2"));
    still_there(&exchange, &directory)
}

fn last_use(harness: &mut Harness) -> Outcome {
    let (mut session, name, directory) = in_use(harness, "93de")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    exchange.success(DONE)?;
    if directory.is_mounted()? || left(&session).is_some() {
        return Err(exchange.wrong("no mount and no loop device of the volume"));
    }
    // The next use must find the files.
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    match directory.has("file")? {
        true => unmount(&mut session, &name, "a1b2"),
        false => Err(exchange.wrong("the files of the previous use")),
    }
}

fn failed_mount(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness, &small())?;
    let images = of_size(session.root(), 16 * MIB)?;
    if images.is_empty() {
        let why = "ROOT holds no file of the volume's size";
        return Err(Fault::NotTried(why.to_owned()));
    }
    // A broken disk has the same effect: nothing that can be mounted.
    let folder = session.root().open()?;
    for image in images {
        folder.create(image)?.set_len(16 * MIB)?;
    }
    drop(folder);
    session.say_before("after the volume's image was overwritten");
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    exchange.failure("an \"Err\": the image cannot be mounted")?;
    match left(&session) {
        None => Ok(()),
        Some(_) => Err(exchange.wrong("an \"Err\", and nothing left mounted")),
    }
}

/// The program under test in `place`, which finds a script before the real `mount`:
/// these lines, and then the real one. Returns the folder of the script as well.
fn with_own_mount(
    harness: &Harness,
    place: &Place,
    script: impl FnOnce(&Path) -> String,
) -> Result<(Program, PathBuf), Fault> {
    let bin = place.folder().join("bin");
    fs::create_dir(&bin)?;
    let script = format!("#!/bin/sh\n{}", script(&bin));
    fs::write(bin.join("mount"), script)?;
    fs::set_permissions(bin.join("mount"), Permissions::from_mode(0o755))?;
    let path = format!("export PATH='{}':\"$PATH\"", bin.display());
    Ok((harness.program().after(&path), bin))
}

fn undone(harness: &mut Harness) -> Outcome {
    may_mount()?;
    let place = Place::new()?;
    // While the file `fail` exists, this `mount` mounts, and then fails.
    let (program, bin) = with_own_mount(harness, &place, |bin| {
        format!(
            "PATH=${{PATH#*:}}\nmount \"$@\" || exit\n\
             [ ! -e '{}/fail' ] || {{ echo 'no lock' >&2; exit 16; }}\n",
            bin.display()
        )
    })?;
    let mut session = harness.spawn(&program, place)?;
    session.await_listening("PROGRAM SOCKET ROOT")?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, small());
    if exchange.success(DONE).is_err() {
        return Err(Fault::NotTried("no such volume could be created".into()));
    }
    fs::write(bin.join("fail"), "")?;
    session.say_before("with a mount that fails after it has mounted");
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    if exchange.success("").is_ok() {
        let why = "Mount does not fail if a program named mount does";
        return Err(Fault::NotTried(why.to_owned()));
    }
    let expected = "an \"Err\", and nothing left mounted";
    exchange.failure(expected)?;
    if left(&session).is_some() {
        return Err(exchange.wrong(expected));
    }
    fs::remove_file(bin.join("fail"))?;
    session.say_before("after a Mount that failed");
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;

    // A folder in the place of the file that counts the uses of the next ID.
    directory.write("file", &name)?;
    let [first, next] = ["93de", "a1b2"].map(|id| id.repeat(16));
    let root = session.root().open()?;
    let files = root.files()?;
    let counts = |file: &&PathBuf| file.file_name() == Some(first.as_ref());
    let Some(uses) = files.iter().find(counts) else {
        // Uses are counted elsewhere, where nothing can be in the way.
        return Ok(());
    };
    root.make(uses.with_file_name(next))?;
    drop(root);
    session.say_before("while a container uses it, a Mount that cannot count");
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    match directory.is_mounted()? && directory.has("file")? {
        true => Ok(()),
        false => Err(exchange.wrong("the filesystem is still mounted")),
    }
}

fn busy(harness: &mut Harness) -> Outcome {
    let (mut session, name, directory) = in_use(harness, "93de")?;
    let file = directory.open()?.create("open")?;
    session.say_before("while a process has a file open");
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    exchange.answer("an answer")?;
    let is_mounted = directory.is_mounted()?;
    drop(file);
    match is_mounted {
        true => Ok(()),
        false => Err(exchange.wrong(
            "an \"Err\", or a success, and the filesystem is still mounted",
        )),
    }
}

/// The image of a new volume: its mode, and the bytes that it takes on the disk.
fn image_of(
    harness: &mut Harness,
    size: u64,
) -> Result<(Exchange, u32, u64), Fault> {
    may_mount()?;
    // A umask must not hide the mode with which the file is made.
    let program = harness.program().after("umask 022");
    let mut session = harness.spawn(&program, Place::new()?)?;
    session.await_listening("umask 022, PROGRAM SOCKET ROOT")?;
    let options = json!({ "type": "ext4", "size": format!("{}m", size / MIB) });
    let exchange = create_with(&mut session, &harness.name(), options);
    if exchange.success(DONE).is_err() {
        return Err(Fault::NotTried("no such volume could be created".into()));
    }
    let images = of_size(session.root(), size)?;
    let Some(image) = images.first() else {
        let why = "ROOT holds no file of the volume's size";
        return Err(Fault::NotTried(why.to_owned()));
    };
    let root = session.root().open()?;
    let (mode, room) = root.mode_and_room(image)?;
    Ok((exchange, mode, room))
}

fn private_image(harness: &mut Harness) -> Outcome {
    let (exchange, mode, _) = image_of(harness, 16 * MIB)?;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(exchange
            .wrong(format!("an image of mode 0600; this one has {mode:04o}"))),
    }
}

fn sparse(harness: &mut Harness) -> Outcome {
    const SIZE: u64 = 64 * MIB;
    // Some filesystems have no holes.
    let place = Place::new()?;
    let probe = place.folder().join("probe");
    fs::File::create(&probe)?.set_len(SIZE)?;
    if fs::metadata(&probe)?.blocks() * 512 > SIZE / 2 {
        let why = "the filesystem here has no sparse files";
        return Err(Fault::NotTried(why.to_owned()));
    }
    let (exchange, _, room) = image_of(harness, SIZE)?;
    match room < SIZE / 2 {
        true => Ok(()),
        false => Err(exchange.wrong(format!(
            "an image of {} MiB that takes less than half of that; this one \
             takes all of it",
            SIZE / MIB
        ))),
    }
}

fn full_disk(harness: &mut Harness) -> Outcome {
    may_mount()?;
    // ROOT has 256 KiB: enough for directories, but for no image.
    let place = Place::new()?;
    let root = place.volumes();
    fs::create_dir(&root)?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&root);
    if !mount.status()?.success() {
        return Err(anyhow::anyhow!("a tmpfs could not be mounted").into());
    }
    let program = harness.program().clone();
    let mut session = harness.spawn(&program, place)?;
    session.await_listening("PROGRAM SOCKET ROOT, with 256 KiB free")?;
    session.say_before("with 256 KiB free");
    let name = harness.name();
    let options = json!({ "type": "ext4", "size": "64m" });
    let exchange = create_with(&mut session, &name, options);
    exchange.failure("an \"Err\": the disk is full")?;
    not_found(&mut session, &name)?;
    let expected = "an \"Err\", and nothing left in ROOT";
    let gone = wait_until(Duration::from_secs(2), || {
        let free = mounts::loops(&root).is_empty();
        (free && mounts::below(&root).len() == 1).then_some(())
    });
    if gone.is_none() || !of_size(session.root(), 64 * MIB)?.is_empty() {
        return Err(exchange.wrong(expected));
    }
    // The disk must have its space back.
    create_with(&mut session, &name, Value::Null).success(DONE).map(|_| ())
}

fn crash(harness: &mut Harness) -> Outcome {
    let (session, name, directory) = in_use(harness, "93de")?;
    let mut session = harness.restart(session, "a Mount, kill -9")?;
    // `docker cp`, while the earlier container keeps running.
    mount(&mut session, &name, "93de")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    still_there(&exchange, &directory)
}

fn tmpfs(harness: &mut Harness) -> Outcome {
    let size = harness.number(2..8);
    let options = json!({ "type": "tmpfs", "size": format!("{size}m") });
    let (mut session, name) = with_volume(harness, &options)?;
    let call = use_call("VolumeDriver.Mount", &name, "93de");
    let exchange = session.call(&call);
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    let size = u64::from(size) * MIB;
    let (taken, full) = fill(&directory, 2 * size)?;
    if !full || taken > size || taken + 64 * KIB < size {
        return Err(exchange.wrong(format!(
            "a filesystem of {} MiB; this one took {} MiB",
            size / MIB,
            taken / MIB
        )));
    }
    let options = json!({ "type": "tmpfs", "size": "1m", "keep": "true" });
    let exchange = create_with(&mut session, &harness.name(), options);
    refused(&exchange, &["keep"])
}

fn tmpfs_source(harness: &mut Harness) -> Outcome {
    let options = json!({ "type": "tmpfs", "size": "1m" });
    let (mut session, name) = with_volume(harness, &options)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    exchange.success(DONE)?;
    let root = session.volumes();
    let mounts = mounts::below(&root);
    let root = root.canonicalize()?;
    let mut sources = mounts.iter().map(|mount| &mount.source);
    match sources.any(|source| source.starts_with(&root)) {
        false => Ok(()),
        true => Err(exchange
            .wrong("in the mount table, a source that is no path of the host")),
    }
}

fn keep(harness: &mut Harness) -> Outcome {
    let with =
        |size: &str| json!({ "type": "ext4", "size": size, "keep": "true" });
    let (mut session, name) = with_volume(harness, &with("16m"))?;
    let directory = mount(&mut session, &name, "93de")?;
    directory.write("file", &name)?;
    unmount(&mut session, &name, "93de")?;
    remove_volume(&mut session, &name)?;
    not_found(&mut session, &name)?;
    for options in [with("24m"), json!({ "type": "dir" })] {
        let exchange = create_with(&mut session, &name, options);
        exchange.failure(
            "an \"Err\": files of another size or type were kept under this \
             name",
        )?;
        not_found(&mut session, &name)?;
    }
    create_with(&mut session, &name, with("16m")).success(DONE)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let directory = path_in(&exchange, &exchange.success(DONE)?)?;
    match directory.read("file")? == Some(name) {
        true => Ok(()),
        false => Err(exchange.wrong("the file that was kept")),
    }
}

fn stale(harness: &mut Harness) -> Outcome {
    let (mut session, name, _) = in_use(harness, "93de")?;
    mount(&mut session, &name, "93de")?;
    mount(&mut session, &name, "a1b2")?;
    let exchange = session.call(&Call::remove(&name));
    exchange.success("200 and {}: no container uses it any more")?;
    match left(&session).is_none()
        && of_size(session.root(), 16 * MIB)?.is_empty()
    {
        true => not_found(&mut session, &name),
        false => Err(exchange.wrong("nothing left in ROOT")),
    }
}

/// Starts a process that has its own mounts, as a container has: a copy of all
/// mounts, and `directory` once more.
fn holder(
    session: &Session,
    directory: &Mountpoint,
) -> Result<(Child, Guard), Fault> {
    // From its copy, the process unmounts everything that belongs to other
    // checks.
    const HOLD: &str = "while read -r _ _ _ _ path _; do
            case $path in
            \"$WORKSHOP_FOLDER\"/*) ;;
            */workshop-*) umount \"$path\" ;;
            esac
        done </proc/self/mountinfo
        mount --bind \"$1\" \"$1\" && exec sleep 60";
    let mut holder = Command::new("unshare");
    holder
        .args(["--mount", "--propagation", "private", "sh", "-c", HOLD, "sh"])
        .arg(session.volumes().canonicalize()?.join(directory.within()?))
        .env(cleanup::MARK, session.folder().canonicalize()?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let (child, guard) = Guard::group(|| holder.spawn())?;
    let name = format!("/proc/{}/comm", child.id());
    let asleep = wait_until(Duration::from_secs(5), || {
        let name = fs::read_to_string(&name).unwrap_or_default();
        (name == "sleep\n").then_some(())
    });
    match asleep {
        Some(()) => Ok((child, guard)),
        None => Err(anyhow::anyhow!("unshare created no namespace").into()),
    }
}

fn elsewhere(harness: &mut Harness) -> Outcome {
    for options in [
        small(),
        json!({ "type": "tmpfs", "size": "1m" }),
        json!({ "type": "dir" }),
    ] {
        let (mut session, name) = with_volume(harness, &options)?;
        let directory = mount(&mut session, &name, "93de")?;
        directory.write("file", &name)?;
        let (mut child, guard) = holder(&session, &directory)?;
        session.say_before("a Mount, and a process with a mount of its own");
        let exchange = session.call(&Call::remove(&name));
        let id = child.id().to_string();
        let expected = "an \"Err\" that names the process with the mount";
        if !exchange.failure(expected)?.contains(&id) {
            return Err(exchange.wrong(expected));
        }
        found(&mut session, &name)?;
        drop(guard);
        let _ = child.wait();
        session.say_before("after that process ended");
        unmount(&mut session, &name, "93de")?;
        let exchange = session.call(&Call::remove(&name));
        exchange.success("200 and {}: no process has it mounted any more")?;
        if left(&session).is_some() {
            return Err(exchange.wrong("nothing left in ROOT"));
        }
    }
    Ok(())
}

fn not_mounted(harness: &mut Harness) -> Outcome {
    for options in [small(), json!({ "type": "tmpfs", "size": "1m" })] {
        let (mut session, name) = with_volume(harness, &options)?;
        let expected = "a \"Mountpoint\" that does not exist yet, or that \
                        takes no file";
        let (exchange, volume) = found(&mut session, &name)?;
        let takes_files = |directory: &Mountpoint| {
            Ok::<_, Fault>(
                directory.is_there()?
                    && directory.open()?.write("file", "").is_ok(),
            )
        };
        if takes_files(&path_in(&exchange, &volume)?)? {
            return Err(exchange.wrong(expected));
        }
        let directory = mount(&mut session, &name, "93de")?;
        let call = use_call("VolumeDriver.Unmount", &name, "93de");
        let exchange = session.call(&call);
        exchange.success(DONE)?;
        if !directory.is_mounted()? && takes_files(&directory)? {
            return Err(exchange.wrong(expected));
        }
    }
    Ok(())
}

fn extra_unmount(harness: &mut Harness) -> Outcome {
    for options in [small(), json!({ "type": "tmpfs", "size": "1m" })] {
        let (mut session, name) = with_volume(harness, &options)?;
        let directory = mount(&mut session, &name, "93de")?;
        directory.write("file", &name)?;
        let (mut container, guard) = holder(&session, &directory)?;
        unmount(&mut session, &name, "93de")?;
        session.say_before(
            "a container's Mount, and an Unmount while the container runs",
        );
        let exchange =
            session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
        let directory = path_in(&exchange, &exchange.success(DONE)?)?;
        if directory.read("file")?.as_ref() != Some(&name) {
            return Err(exchange.wrong("the file of the first container"));
        }
        drop(guard);
        let _ = container.wait();
        unmount(&mut session, &name, "a1b2")?;
    }
    Ok(())
}

/// The same program in its own mount namespace, as in a container, with mounts
/// below ROOT shared with the host.
fn in_a_namespace(harness: &Harness) -> Program {
    let unshare = "exec unshare --mount --propagation unchanged \"$@\"";
    harness.program().after(unshare)
}

fn once(harness: &mut Harness) -> Outcome {
    may_mount()?;
    let place = Place::new()?;
    let root = place.volumes();
    fs::create_dir(&root)?;
    // Private first: where / is shared, a copy shares with the folder below it, and
    // each mount would be there twice.
    let options = [
        ("--bind", Some(&root)),
        ("--make-private", None),
        ("--make-shared", None),
    ];
    for (option, more) in options {
        let mut mount = Command::new("mount");
        mount.arg(option).args(more).arg(&root);
        if !mount.status()?.success() {
            return Err(anyhow::anyhow!("{mount:?} failed").into());
        }
    }
    let program = in_a_namespace(harness);
    let mut session = harness.spawn(&program, place)?;
    session.await_listening("PROGRAM SOCKET ROOT, in a mount namespace")?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, small());
    if exchange.success(DONE).is_err() {
        return Err(Fault::NotTried("no such volume could be created".into()));
    }
    for start in 1..=5 {
        let exchange =
            session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
        exchange.success(DONE)?;
        let count = mounts::below(&root).len() - 1;
        if count != 1 {
            return Err(exchange.wrong(format!(
                "one mount on the host, not {count}: propagation brings each \
                 new mount below ROOT to the host as well"
            )));
        }
        let action =
            format!("start {start} of the plugin, each in its own namespace");
        let place = session.kill();
        session = harness.spawn(&program, place)?;
        session.await_listening(&action)?;
        session.say_before(&action);
    }
    for _ in 1..=5 {
        unmount(&mut session, &name, "93de")?;
    }
    let exchange = session.call(&Call::remove(&name));
    exchange.success("200 and {}: no container uses it any more")?;
    let gone = wait_until(Duration::from_secs(2), || {
        let free = mounts::loops(&root).is_empty();
        (free && mounts::below(&root).len() == 1).then_some(())
    });
    match gone {
        Some(()) => Ok(()),
        None => Err(exchange.wrong("nothing left mounted")),
    }
}

/// On a busy machine, the plugin may give up on the program before it has read all
/// calls, and then the late ones succeed. So the plugin gets more time once.
fn hung(harness: &mut Harness) -> Outcome {
    may_mount()?;
    match hung_for(harness, 2)? {
        Some(_) => hung_for(harness, 8)?.map_or(Ok(()), Err),
        None => Ok(()),
    }
}

/// Returns the finding if a call for the volume has succeeded.
///
/// # Errors
/// Those of all other mistakes.
fn hung_for(
    harness: &mut Harness,
    patience: u64,
) -> Result<Option<Fault>, Fault> {
    // A program may take twice the plugin's patience.
    let limit = Duration::from_secs(3 * patience) + PATIENCE;
    let place = Place::new()?;
    // A `mount` that hangs as long as the file `hang` exists.
    let (program, bin) = with_own_mount(harness, &place, |bin| {
        format!(
            "while [ -e '{0}/hang' ]; do : >'{0}/hangs'; sleep 0.05; done\n\
             PATH=${{PATH#*:}} exec mount \"$@\"\n",
            bin.display()
        )
    })?;
    let hang = bin.join("hang");
    let program = program.with_options(["--patience", &patience.to_string()]);
    let mut session = harness.spawn(&program, place)?;
    session.await_listening("PROGRAM SOCKET ROOT --patience SECONDS")?;
    let (slow, other) = (harness.name(), format!("{}-2", harness.name()));
    for name in [&slow, &other] {
        let exchange = create_with(&mut session, name, small());
        if exchange.success(DONE).is_err() {
            return Err(Fault::NotTried(
                "no such volume could be created".into(),
            ));
        }
    }

    harness.forget_log();
    fs::write(&hang, "")?;
    session.say_before("a Mount whose program hangs");
    let dialect = harness.dialect;
    let request = |method| use_call(method, &slow, "93de").request(dialect);
    let mut mount = session.client("a connection")?;
    mount.write_all(&request("VolumeDriver.Mount"))?;
    let hangs = || bin.join("hangs").exists().then_some(());
    if wait_until(PATIENCE, hangs).is_none() {
        let why = "Mount runs no program named mount";
        return Err(Fault::NotTried(why.to_owned()));
    }
    // More calls than a plugin has threads.
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = session.client("a connection")?;
        client.write_all(&request("VolumeDriver.Get"))?;
        waiting.push(client);
    }
    let exchange = session.call(&Call::get(&other));
    exchange.success("an answer for another volume")?;
    let expected = "an \"Err\" that names the call in progress";
    for client in &mut waiting {
        let reply = read_reply(client, limit);
        let exchange =
            session.exchange("200 calls for that volume".into(), reply);
        if exchange.success(expected).is_ok() {
            return Ok(Some(exchange.wrong(expected)));
        }
        if !exchange.failure(expected)?.contains("Mount") {
            return Err(exchange.wrong(expected));
        }
    }
    let reply = read_reply(&mut mount, limit);
    let exchange =
        session.exchange("a Mount whose program hangs".into(), reply);
    exchange.answer("an answer after the time-out of the program")?;
    session.signal(Signal::TERM);
    let ended = session.ends();
    fs::remove_file(&hang)?;
    match ended {
        Some(_) => Ok(None),
        None => {
            Err(wrong("SIGTERM", "the plugin ends", "the plugin keeps running"))
        }
    }
}
