//! Step 6: volumes that outlive a crash.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::step_02::{about, activated, not_found};
use super::step_03::{found, names, remove_volume};
use super::step_04::{is_private, path_in};
use super::step_05::{DONE, create_with, holds, kept, log_leads_to, refused};
use super::{Check, strace};
use crate::daemon::{Call, Daemon, field, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session};
use crate::mounts;
use crate::plugin::Place;
use crate::root::{Mountpoint, Root};
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "6.synced",
        step: 6,
        name: "the files that Create writes are on disk before it answers",
        why: "the kernel writes them up to half a minute later: a power cut \
              before that undoes a Create that Docker was told had succeeded",
        file: "src/store.rs",
        place: "TODO 6.1",
        source: "fsync(2); our rule: acknowledged means durable",
        run: synced,
    },
    Check {
        id: "6.half-made",
        step: 6,
        name: "a crash during Create leaves no incomplete volume",
        why: "an incomplete volume is listed but cannot be used, and Docker \
              never sends its options again",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "our rule; setrlimit(2): a write past the limit ends a process",
        run: half_made,
    },
    Check {
        id: "6.full-disk",
        step: 6,
        name: "a Create that cannot write fails, and leaves nothing behind",
        why: "every disk may fill up, and a volume whose Create failed must \
              not exist",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "our rule; setrlimit(2): EFBIG, where the signal is ignored",
        run: full_disk,
    },
    Check {
        id: "6.synced-name",
        step: 6,
        name: "the name of a new volume is on disk as well",
        why: "a rename changes a folder, which needs an fsync of its own: \
              otherwise a power cut undoes the whole volume",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "fsync(2): the entry in the folder needs an fsync of its own",
        run: synced_name,
    },
    Check {
        id: "6.outlives",
        step: 6,
        name: "after kill -9 and a restart, all volumes are unchanged",
        why: "Docker goes on using its volumes, and never sends their options \
              again",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "vol-restart-kill 4",
        run: outlives,
    },
    Check {
        id: "6.options",
        step: 6,
        name: "after a restart, Create still compares the options of a volume",
        why: "if Create succeeds with different options, they are lost without \
              an error",
        file: "src/volumes.rs",
        place: "`create`",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: options,
    },
    Check {
        id: "6.removed",
        step: 6,
        name: "after a restart, a removed volume is still gone",
        why: "Docker was told that the volume is gone: the next `docker volume \
              ls` would show it again",
        file: "src/volumes.rs",
        place: "`new`",
        source: "vol-errors-remove-list 11-16",
        run: removed,
    },
    Check {
        id: "6.kept",
        step: 6,
        name: "after a restart, the files kept by keep=true are still there",
        why: "the clean-up after a crash must tell leftovers from files that \
              were promised to stay",
        file: "src/volumes.rs",
        place: "`new`",
        source: "our rule: keep=true keeps the files",
        run: still_kept,
    },
    Check {
        id: "6.spoiled",
        step: 6,
        name: "an unreadable file makes one volume unusable, and no other",
        why: "one bad byte would make all volumes unusable, or block a name \
              that can never be used, removed or created again",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule; Docker takes a failed Get for no such volume",
        run: spoiled,
    },
    Check {
        id: "6.set-aside",
        step: 6,
        name: "an unreadable volume is moved aside with its files, not deleted",
        why: "a damaged file can still be repaired, and the volume's data is \
              intact",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule: the volume was never removed by a Remove",
        run: set_aside,
    },
    Check {
        id: "6.set-aside-logged",
        step: 6,
        name: "the log says which volume was moved aside, and where it is",
        why: "for Docker the volume does not exist: without this line, the \
              administrator who could repair its file cannot know of it",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule: the volume was never removed by a Remove",
        run: set_aside_logged,
    },
    Check {
        id: "6.set-aside-twice",
        step: 6,
        name: "moving the same name aside several times loses nothing",
        why: "a script that creates missing volumes does so within a second, \
              and the second volume that is moved aside must not replace the \
              first",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule: the volume was never removed by a Remove",
        run: set_aside_twice,
    },
    Check {
        id: "6.half-removed",
        step: 6,
        name: "a crash during Remove leaves no incomplete volume",
        why: "a container would start with only a part of its files",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "our rule; vol-restart-kill for what Docker remembers",
        run: half_removed,
    },
    Check {
        id: "6.deleted",
        step: 6,
        name: "the files of a removed volume are deleted before the next start",
        why: "a user removes volumes when the disk is full, and the plugin may \
              run for months",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "vol-create-inspect-ls-rm 10",
        run: deleted,
    },
    Check {
        id: "6.synced-removal",
        step: 6,
        name: "a removal is on disk before Remove is answered",
        why: "after a power cut, a volume that Docker was told is gone would be \
              there again, with all of its files or with some",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "fsync(2): the entry in the folder needs an fsync of its own",
        run: synced_removal,
    },
    Check {
        id: "6.in-the-way",
        step: 6,
        name: "Remove succeeds although .removed has a folder of that name",
        why: "an earlier removal may have left files that cannot be deleted: \
              every later volume of that name could never be removed",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "our rule: .removed holds what is still to be deleted",
        run: in_the_way,
    },
    Check {
        id: "6.not-deletable",
        step: 6,
        name: "if a file cannot be deleted, Remove succeeds, or changes nothing",
        why: "after an error, Docker keeps the volume: if its files are gone, \
              it can be neither used nor removed",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "vol-errors-remove-list 1-4; our rule: a rename removes it",
        run: not_deletable,
    },
    Check {
        id: "6.alone",
        step: 6,
        name: "a second plugin with the same ROOT does not serve",
        why: "each plugin would delete what the other is just creating",
        file: "src/volumes.rs",
        place: "`new`",
        source: "our rule: one plugin per ROOT",
        run: alone,
    },
    Check {
        id: "6.private-again",
        step: 6,
        name: "the plugin closes its own ROOT at start if other users may \
               enter it",
        why: "older plugins created ROOT as mkdir does: then a setuid program \
              in a volume is within reach of all users of the host",
        file: "src/root.rs",
        place: "`close`",
        source: "path_resolution(7); our rule: .new marks a ROOT as ours",
        run: private_again,
    },
    Check {
        id: "6.other-root",
        step: 6,
        name: "no volume is created in a folder that has replaced ROOT",
        why: "a disk that is mounted over ROOT hides the volumes and the lock: \
              a second plugin could serve that folder",
        file: "src/volumes.rs",
        place: "`load`",
        source: "our rule: one plugin per ROOT",
        run: other_root,
    },
    Check {
        id: "6.strangers",
        step: 6,
        name: "entries of ROOT that are not volumes stay unchanged",
        why: "the plugin must not move, hand out or remove an administrator's \
              folder",
        file: "src/volumes.rs",
        place: "`load`",
        source: "our rule: a volume has its file from the first moment",
        run: strangers,
    },
];

const KILLED: &str = "kill -9";

/// Options that no volume has by default.
fn unusual() -> Value {
    json!({ "mode": "0711" })
}

/// A volume, as Get described it before anything happened to it.
struct Volume {
    name: String,
    /// The `Volume` that Get returned.
    said: Value,
    directory: Mountpoint,
}

impl Volume {
    /// A new volume with unusual options, and a file that holds its name.
    fn create(
        harness: &mut Harness,
        session: &mut Session,
    ) -> Result<Self, Fault> {
        let name = harness.name();
        create_with(session, &name, unusual()).success(DONE)?;
        let (exchange, said) = found(session, &name)?;
        let directory = path_in(&exchange, &said)?;
        directory.write("file", &name)?;
        Ok(Self { name, said, directory })
    }

    /// Get must return the same, and the file must be there.
    fn is_as_before(&self, session: &mut Session) -> Outcome {
        let Self { name, said, directory } = self;
        let (exchange, now) = found(session, name)?;
        for key in ["Mountpoint", "Status", "CreatedAt"] {
            let before = field(said, key);
            if before != field(&now, key) {
                let before = before.unwrap_or(&Value::Null);
                let expected =
                    format!("the same \"{key}\" as before: {before}");
                return Err(exchange.wrong(expected));
            }
        }
        match directory.read("file")?.as_ref() == Some(name) {
            true => Ok(()),
            false => Err(exchange.wrong("the volume's file is still there")),
        }
    }
}

/// Every regular file under ROOT, by its path relative to ROOT.
fn files_under(root: &Root) -> Result<BTreeSet<PathBuf>, Fault> {
    Ok(root.open()?.files()?.into_iter().collect())
}

/// A new plugin under strace.
fn under_strace(harness: &mut Harness) -> Result<Session, Fault> {
    let program = harness.program().after(&strace::watched()?);
    let mut session = harness.spawn(&program, Place::new()?)?;
    session.await_listening("PROGRAM SOCKET ROOT, under strace")?;
    Ok(session)
}

/// Creates a volume. Returns the call, and everything that a power cut after
/// the answer would undo.
fn unsynced(
    harness: &mut Harness,
) -> Result<(String, strace::Unsynced), Fault> {
    let mut session = under_strace(harness)?;
    let call = Call::create(&harness.name(), unusual());
    let before = strace::length(session.folder());
    session.call(&call).success(DONE)?;
    let calls = strace::since(session.folder(), before)?;
    Ok((call.to_string(), strace::unsynced(&calls, &session.volumes())))
}

fn synced(harness: &mut Harness) -> Outcome {
    let (sent, unsynced) = unsynced(harness)?;
    match unsynced.files.first() {
        None => Ok(()),
        Some(path) => Err(wrong(
            sent,
            "each written file is synced before the answer",
            format!("strace saw no fsync of {}", path.display()),
        )),
    }
}

fn synced_name(harness: &mut Harness) -> Outcome {
    let (sent, unsynced) = unsynced(harness)?;
    match unsynced.folders.first() {
        None => Ok(()),
        Some(path) => Err(wrong(
            sent,
            "each folder with a new entry is synced before the answer",
            format!("strace saw no fsync of {} afterwards", path.display()),
        )),
    }
}

fn synced_removal(harness: &mut Harness) -> Outcome {
    let mut session = under_strace(harness)?;
    for options in [unusual(), json!({ "keep": "true" })] {
        let name = harness.name();
        create_with(&mut session, &name, options.clone()).success(DONE)?;
        let call = Call::remove(&name);
        let before = strace::length(session.folder());
        session.call(&call).success(DONE)?;
        let calls = strace::since(session.folder(), before)?;
        let root = session.volumes();
        let volume = root.canonicalize().unwrap_or(root).join(&name);
        if strace::unsynced_removal(&calls, &volume).is_some() {
            return Err(wrong(
                format!("{call}, of a volume with {options}"),
                "the folder that held the volume is synced before the answer",
                "strace saw no fsync of ROOT after the volume left it",
            ));
        }
    }
    Ok(())
}

/// A plugin with one volume, restarted so that it cannot write files.
///
/// # Errors
/// [`Fault::NotTried`] if the plugin writes files before it listens.
fn without_space(
    harness: &mut Harness,
    limit: &str,
) -> Result<(Session, Volume), Fault> {
    let mut session = activated(harness)?;
    let other = Volume::create(harness, &mut session)?;
    let program = harness.program().after(limit);
    let mut session = harness.spawn(&program, session.kill())?;
    match session.await_listening("a start under `ulimit -f 0`") {
        Ok(()) => Ok((session, other)),
        Err(Fault::Wrong(_)) => Err(Fault::NotTried(
            "the plugin does not start if it cannot write files".to_owned(),
        )),
        Err(trouble) => Err(trouble),
    }
}

/// The volume must be complete, or not exist at all; then it can be created.
/// `must` is whether it exists, if that is known.
fn whole_or_not(
    session: &mut Session,
    name: &str,
    other: &Volume,
    must: Option<bool>,
) -> Outcome {
    let (exchange, listed) = names(session)?;
    let listed = listed.iter().any(|volume| volume == name);
    if must.is_some_and(|must| must != listed) {
        let expected = match listed {
            true => format!("no {name}: its Create failed"),
            false => format!("{name}: its Create succeeded"),
        };
        return Err(exchange.wrong(expected));
    }
    if listed {
        let exchange = session.call(&Call::get(name));
        let expected = format!("a complete {name}, because List has it");
        let value = exchange.success(&expected)?;
        let volume = field(&value, "Volume").unwrap_or(&Value::Null);
        if field(volume, "Status") != field(&other.said, "Status")
            || !path_in(&exchange, volume)?.is_there()?
        {
            return Err(exchange.wrong(expected));
        }
    } else {
        not_found(session, name)?;
    }
    other.is_as_before(session)
}

fn half_made(harness: &mut Harness) -> Outcome {
    // The first write to a file kills the plugin; there is no core file either.
    let limit = "ulimit -c 0 && ulimit -f 0";
    let (mut session, other) = without_space(harness, limit)?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, unusual());
    let must = match exchange.answer("") {
        Ok(reply) => Some(reply.judge().is_ok()),
        Err(_) => None,
    };
    let action = "a crash at the first write of a Create";
    let mut session = harness.restart(session, action)?;
    whole_or_not(&mut session, &name, &other, must)?;
    create_with(&mut session, &name, unusual()).success(DONE)?;
    found(&mut session, &name).map(|_| ())
}

fn full_disk(harness: &mut Harness) -> Outcome {
    let limit = "trap '' XFSZ && ulimit -f 0";
    let (mut session, other) = without_space(harness, limit)?;
    let name = harness.name();
    session.say_before("when no file can be written");
    let exchange = create_with(&mut session, &name, unusual());
    let expected = "an \"Err\", or a success if a volume needs no file";
    let done = exchange.answer(expected)?.judge().is_ok();
    if !done {
        exchange.failure(expected)?;
    }
    session.say_before("after a Create that could not write");
    whole_or_not(&mut session, &name, &other, Some(done))?;
    let action = "a Create that could not write, kill -9";
    let mut session = harness.restart(session, action)?;
    whole_or_not(&mut session, &name, &other, Some(done))?;
    create_with(&mut session, &name, unusual()).success(DONE)?;
    found(&mut session, &name).map(|_| ())
}

fn outlives(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volumes = [
        Volume::create(harness, &mut session)?,
        Volume::create(harness, &mut session)?,
    ];
    // Wait for the next second: a CreatedAt that is not stored must differ.
    let second = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let created = second(SystemTime::now());
    let later = || (second(SystemTime::now()) != created).then_some(());
    wait_until(PATIENCE, later);
    let mut session = harness.restart(session, KILLED)?;
    let mut wanted: Vec<_> =
        volumes.iter().map(|volume| &*volume.name).collect();
    wanted.sort_unstable();
    let (exchange, listed) = names(&mut session)?;
    if listed != wanted {
        return Err(exchange.wrong(wanted.join(", ")));
    }
    volumes.iter().try_for_each(|volume| volume.is_as_before(&mut session))
}

fn options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let mut session = harness.restart(session, KILLED)?;
    let exchange =
        create_with(&mut session, &volume.name, json!({ "mode": "0700" }));
    refused(&exchange, &["mode"])?;
    create_with(&mut session, &volume.name, unusual())
        .success("200 and {}: the volume has these options")?;
    volume.is_as_before(&mut session)
}

fn removed(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let other = Volume::create(harness, &mut session)?;
    remove_volume(&mut session, &volume.name)?;
    let mut session = harness.restart(session, "Remove, kill -9")?;
    let (exchange, listed) = names(&mut session)?;
    if listed != [other.name.as_str()] {
        let expected = format!("{}, and nothing else", other.name);
        return Err(exchange.wrong(expected));
    }
    not_found(&mut session, &volume.name)
}

fn still_kept(harness: &mut Harness) -> Outcome {
    let (mut session, name) = kept(harness)?;
    remove_volume(&mut session, &name)?;
    let mut session = harness.restart(session, "Remove, kill -9")?;
    let exchange = session.call(&Call::get(&name));
    match holds(&session, &name)? {
        true => not_found(&mut session, &name),
        false => Err(exchange.wrong("the volume's file is still under ROOT")),
    }
}

/// A new volume, and those of its files that its containers do not see.
///
/// # Errors
/// [`Fault::NotTried`] if the plugin has no such file.
fn with_state(
    harness: &mut Harness,
    session: &mut Session,
) -> Result<(Volume, BTreeSet<PathBuf>), Fault> {
    let before = files_under(session.root())?;
    let volume = Volume::create(harness, session)?;
    let mut state = files_under(session.root())?;
    let directory = volume.directory.within()?;
    state
        .retain(|file| !before.contains(file) && !file.starts_with(&directory));
    match state.is_empty() {
        false => Ok((volume, state)),
        true => Err(Fault::NotTried(
            "the plugin has no file that belongs to a single volume".to_owned(),
        )),
    }
}

fn spoil(session: &Session, files: &BTreeSet<PathBuf>, text: &[u8]) -> Outcome {
    let root = session.root().open()?;
    Ok(files.iter().try_for_each(|file| root.write(file, text))?)
}

fn spoiled(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let other = Volume::create(harness, &mut session)?;
    let mut volumes = Vec::new();
    for text in [&b"{"[..], b"", b"\0\xff\0\xff"] {
        let (volume, state) = with_state(harness, &mut session)?;
        spoil(&session, &state, text)?;
        volumes.push(volume);
    }
    let action = "the files of three volumes overwritten, kill -9";
    let mut session = harness.restart(session, action)?;
    let (exchange, listed) = names(&mut session)?;
    if !listed.contains(&other.name) {
        return Err(
            exchange.wrong(format!("{}, whose files are intact", other.name))
        );
    }
    other.is_as_before(&mut session)?;
    for Volume { name, said, .. } in &volumes {
        let exchange = session.call(&Call::get(name));
        let expected = "an \"Err\", or the volume as it was";
        let answer = exchange.answer(expected)?.judge();
        if answer.is_ok_and(|value| field(&value, "Volume") != Some(said)) {
            return Err(exchange.wrong(expected));
        }
        create_with(&mut session, name, unusual())
            .success("200 and {}: the name may be used again")?;
        found(&mut session, name)?;
    }
    other.is_as_before(&mut session)
}

/// A plugin that had to read a volume with a spoiled file.
struct Spoiled {
    session: Session,
    volume: Volume,
    /// The new text of the file.
    text: String,
    /// The Create of that name afterwards.
    exchange: Exchange,
}

impl Spoiled {
    fn new(harness: &mut Harness) -> Result<Self, Fault> {
        let mut session = activated(harness)?;
        let (volume, state) = with_state(harness, &mut session)?;
        let text = format!("spoiled: {}", volume.name);
        spoil(&session, &state, text.as_bytes())?;
        let mut session =
            harness.restart(session, "a volume's file overwritten, kill -9")?;
        let exchange = create_with(&mut session, &volume.name, unusual());
        exchange.answer(DONE)?;
        Ok(Self { session, volume, text, exchange })
    }

    /// The file with this text, by its path relative to ROOT. The new volume has
    /// files in the same place, which do not count.
    fn elsewhere(&self, wanted: &str) -> Result<Option<PathBuf>, Fault> {
        let directory = self.volume.directory.within()?;
        let root = self.session.root().open()?;
        let mut files = root.files()?.into_iter();
        Ok(files.find(|file| {
            !file.starts_with(&directory)
                && root.read(file).as_deref() == Some(wanted)
        }))
    }
}

fn set_aside(harness: &mut Harness) -> Outcome {
    let spoiled = Spoiled::new(harness)?;
    if spoiled.exchange.success("").is_err() {
        // Another check covers that.
        return Ok(());
    }
    let name = &spoiled.volume.name;
    let file = spoiled.elsewhere(&spoiled.text)?;
    match file.is_some() && spoiled.elsewhere(name)?.is_some() {
        true => Ok(()),
        false => Err(spoiled.exchange.wrong(
            "the unreadable file and the volume's files are elsewhere under \
             ROOT",
        )),
    }
}

fn set_aside_logged(harness: &mut Harness) -> Outcome {
    let spoiled = Spoiled::new(harness)?;
    if spoiled.exchange.success("").is_err() {
        return Ok(());
    }
    // Other checks cover a plugin that keeps no such file.
    let Some(file) = spoiled.elsewhere(&spoiled.text)? else { return Ok(()) };
    let name = &spoiled.volume.name;
    match log_leads_to(harness, name, &file) {
        true => Ok(()),
        false => Err(spoiled.exchange.wrong(format!(
            "in the log, {name} and the folder in which its unreadable file is \
             now"
        ))),
    }
}

fn set_aside_twice(harness: &mut Harness) -> Outcome {
    const TIMES: usize = 5;
    let mut session = activated(harness)?;
    let name = harness.name();
    let mut texts = Vec::new();
    session.say_before("a volume's file overwritten, several times");
    for time in 1..=TIMES {
        let before = files_under(session.root())?;
        let exchange = create_with(&mut session, &name, unusual());
        if time == 2 && exchange.answer(DONE)?.judge().is_err() {
            // Another check covers a name that can never be used again.
            return Ok(());
        }
        exchange.success(DONE)?;
        let (exchange, said) = found(&mut session, &name)?;
        let text = format!("spoiled: {name}, {time}");
        path_in(&exchange, &said)?.write("file", &text)?;
        let mut state = files_under(session.root())?;
        state.retain(|file| !before.contains(file) && !file.ends_with("file"));
        spoil(&session, &state, b"{")?;
        session.call(&Call::get(&name));
        texts.push(text);
    }
    let exchange = create_with(&mut session, &name, unusual());
    exchange.success("200 and {}: the name may be used again")?;
    let files = files_under(session.root())?;
    let root = session.root().open()?;
    let has = |text: &String| {
        files.iter().any(|file| root.read(file).as_ref() == Some(text))
    };
    // Another check covers a plugin that keeps none of them.
    match texts.iter().all(&has) || !texts.iter().any(has) {
        true => Ok(()),
        false => {
            Err(exchange.wrong("the files of all of these volumes, under ROOT"))
        }
    }
}

fn half_removed(harness: &mut Harness) -> Outcome {
    // If the removal was complete before we saw it begin, there was no crash:
    // try again with more files.
    for count in [500, 4_000, 32_000] {
        if removed_by_half(harness, count)? {
            break;
        }
    }
    Ok(())
}

/// Returns whether the plugin was killed during the removal.
fn removed_by_half(harness: &mut Harness, count: usize) -> Result<bool, Fault> {
    // The plugin gets less processor time than we do, so that we see the
    // removal begin.
    let program = harness.program().after("set -- nice -n 19 \"$@\"");
    let mut session = harness.spawn(&program, Place::new()?)?;
    session.await_listening("PROGRAM SOCKET ROOT, started")?;
    let volume = Volume::create(harness, &mut session)?;
    let Volume { name, directory, .. } = &volume;
    let mark = format!("{name}-file-");
    let files = directory.open()?;
    for file in 1..=count {
        files.create(format!("{mark}{file}"))?;
    }
    let left = |root: &Root| {
        let is_marked = |file: &&PathBuf| {
            let name = file.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(&mark)
        };
        let files = files_under(root)?;
        Ok::<_, Fault>(files.iter().filter(is_marked).count())
    };
    let first = files.names()?.swap_remove(0);
    drop(files);

    let call = Call::remove(name);
    let mut client = session.client(&call.to_string())?;
    client.write_all(&call.request(harness.dialect))?;
    let deadline = Instant::now() + PATIENCE;
    // There is no pause: the removal may take only milliseconds.
    let begun = || !directory.open().is_ok_and(|files| files.has(&first));
    while !begun() && Instant::now() < deadline {}
    let place = session.kill();
    let root = place.root().clone();
    let was_crash = left(&root)? > 0;
    let action = "a Remove of many files, kill -9 during the removal";
    let mut session = harness.start_again(place, action)?;
    let reply = read_reply(&mut client, PATIENCE);
    let done = reply.is_ok_and(|reply| reply.judge().is_ok());

    let (exchange, listed) = names(&mut session)?;
    let listed = listed.contains(name);
    if listed && done {
        return Err(exchange.wrong(format!("no {name}: Remove succeeded")));
    }
    if listed && left(&root)? != count {
        return Err(exchange.wrong(format!(
            "no {name}, or all of its files: some are missing"
        )));
    }
    if listed {
        volume.is_as_before(&mut session)?;
    } else {
        not_found(&mut session, name)?;
        let gone = || left(&root).is_ok_and(|count| count == 0).then_some(());
        if wait_until(PATIENCE, gone).is_none() {
            return Err(exchange.wrong(
                "no file of the removed volume under ROOT: Docker will not ask \
                 for their removal again",
            ));
        }
    }
    Ok(was_crash)
}

fn deleted(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let exchange = session.call(&Call::remove(&volume.name));
    exchange.success(DONE)?;
    // A plugin may delete them after it has answered.
    let gone = || match holds(&session, &volume.name) {
        Ok(false) => Some(()),
        _ => None,
    };
    match wait_until(PATIENCE / 2, gone) {
        Some(()) => Ok(()),
        None => Err(exchange.wrong("no file of the volume under ROOT")),
    }
}

fn in_the_way(harness: &mut Harness) -> Outcome {
    const REMOVED: &str = ".removed";
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let name = &volume.name;
    let root = session.root().open()?;
    if !root.has_folder(REMOVED) {
        let why = format!("ROOT has no folder {REMOVED}");
        return Err(Fault::NotTried(why));
    }
    let folder = Path::new(REMOVED).join(name);
    root.make(&folder)?;
    root.write(folder.join("earlier"), "")?;
    drop(root);
    session.say_before("with a folder of that name in .removed");
    let exchange = session.call(&Call::remove(name));
    exchange
        .success("200 and {}: the folder in .removed was never a volume")?;
    not_found(&mut session, name)?;
    create_with(&mut session, name, unusual()).success(DONE)?;
    match volume.directory.has("file")? {
        false => Ok(()),
        true => Err(exchange.wrong("the volume's files are gone as well")),
    }
}

/// Makes something in a volume's directory that the plugin cannot delete.
///
/// # Errors
/// [`Fault::NotTried`] if this user may not do that.
fn obstruct(session: &Session, directory: &Mountpoint) -> Outcome {
    const NAME: &str = "fixed";
    let files = directory.open()?;
    files.make(NAME)?;
    if !rustix::process::geteuid().is_root() {
        files.write(Path::new(NAME).join("file"), "")?;
        drop(files);
        let path = session.volumes().join(directory.within()?).join(NAME);
        fs::set_permissions(path, Permissions::from_mode(0o500))?;
        return Ok(());
    }
    drop(files);
    if let Some(why) = mounts::missing() {
        return Err(Fault::NotTried(why));
    }
    let root = session.volumes().canonicalize()?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "workshop"]);
    mount.arg(root.join(directory.within()?).join(NAME));
    match mount.stdin(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("a tmpfs could not be mounted").into()),
    }
}

fn not_deletable(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let name = &volume.name;
    obstruct(&session, &volume.directory)?;
    session.say_before("with something in the volume that cannot be deleted");
    let exchange = session.call(&Call::remove(name));
    let expected = "200 and {}, and the volume is gone; or an \"Err\", and it \
                    is unchanged";
    if exchange.answer(expected)?.judge().is_ok() {
        not_found(&mut session, name)?;
        let exchange = create_with(&mut session, name, unusual());
        exchange.success("200 and {}: the name may be used again")?;
        return Ok(());
    }
    let still = session.call(&Call::get(name));
    match still.success("").is_ok() && volume.directory.has("file")? {
        true => volume.is_as_before(&mut session),
        false => Err(exchange.wrong(expected)),
    }
}

fn alone(harness: &mut Harness) -> Outcome {
    let first = harness.start()?;
    let sent = "PROGRAM SOCKET ROOT, and beside it PROGRAM OTHER-SOCKET ROOT";
    let expected = "the second plugin waits, or ends with an error that says \
                    why";
    let socket = first.folder().join("run/other.sock");
    let mut second = harness.spawn_rival(&first, &socket)?;
    let mut docker = Daemon::new(&socket, harness.dialect);
    // A plugin that waits for the end of the first one may do so for longer
    // than this.
    let ended = wait_until(PATIENCE / 2, || match second.ended() {
        Some(status) => Some(Some(status)),
        // A plugin that answers would serve Docker as well.
        None => docker.call(&Call::bare("Plugin.Activate")).ok().map(|_| None),
    });
    match ended {
        None => first.still_answers(sent),
        Some(Some(status)) if !status.success() => first.still_answers(sent),
        Some(Some(status)) => {
            Err(wrong(sent, expected, format!("the plugin ended ({status})")))
        }
        Some(None) => {
            // The number of calls before the first answer depends on the
            // machine.
            harness.forget_log();
            Err(wrong(sent, expected, "the second plugin keeps running"))
        }
    }
}

fn private_again(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let place = session.kill();
    place.root().open()?.set_mode(0o755)?;
    let action = "kill -9, chmod 755 ROOT";
    let mut session = harness.start_again(place, action)?;
    volume.is_as_before(&mut session)?;
    let (exchange, said) = found(&mut session, &volume.name)?;
    is_private(&session, &exchange, &said)
}

fn other_root(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let root = session.volumes();
    let aside = root.with_extension("aside");
    // A mount over ROOT has the same effect.
    fs::rename(&root, &aside)?;
    fs::create_dir(&root)?;
    session.say_before("after another folder has replaced ROOT");
    let name = harness.name();
    let exchange = create_with(&mut session, &name, unusual());
    let expected = "an \"Err\", and nothing in that folder";
    exchange.failure(expected)?;
    if !session.root().open()?.names()?.is_empty() {
        return Err(exchange.wrong(expected));
    }
    let exchange = session.call(&Call::remove(&volume.name));
    exchange.failure("an \"Err\": the volume is not in that folder")?;
    fs::remove_dir(&root)?;
    fs::rename(&aside, &root)?;
    session.say_before("after ROOT is back in its place");
    volume.is_as_before(&mut session)
}

fn strangers(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let (folder, file) = (harness.name(), harness.name());
    let root = session.root().open()?;
    root.make(&folder)?;
    root.make(Path::new(&folder).join("files"))?;
    let inside = Path::new(&folder).join("files/somebodys");
    root.write(&inside, &folder)?;
    root.write(&file, &file)?;
    for (name, path) in [(&folder, &*inside), (&file, Path::new(&file))] {
        session.say_before("with something in ROOT that is not a volume");
        not_found(&mut session, name)?;
        let exchange = create_with(&mut session, name, unusual());
        refused(&exchange, &[name])?;
        for method in ["VolumeDriver.Mount", "VolumeDriver.Remove"] {
            let exchange = session.call(&about(method, name));
            exchange.failure("an \"Err\": there is no such volume")?;
            if root.read(path).as_ref() != Some(name) {
                return Err(exchange.wrong("the file in ROOT is unchanged"));
            }
        }
    }
    let (exchange, listed) = names(&mut session)?;
    if listed != [volume.name.as_str()] {
        let expected = format!("{}, and nothing else", volume.name);
        return Err(exchange.wrong(expected));
    }
    volume.is_as_before(&mut session)
}
