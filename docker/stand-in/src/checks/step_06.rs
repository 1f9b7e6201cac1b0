//! Step 6: volumes that outlive a crash.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::step_02::{about, activated, create_call, not_found};
use super::step_03::{found, names, remove_it};
use super::step_04::{is_private, path_in};
use super::step_05::{DONE, create_with, holds, kept, refused};
use super::{Check, strace};
use crate::daemon::{Call, Daemon, field, read_reply};
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Harness, Session};
use crate::plugin::Place;
use crate::root::{Mountpoint, Root};
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "6.synced",
        step: 6,
        name: "what Create has made is on the disk before it answers",
        why: "the kernel writes half a minute later: a power cut until then \
              takes back what Docker was told",
        file: "src/store.rs",
        place: "TODO 6.1",
        source: "fsync(2); our rule: acknowledged means durable",
        run: synced,
    },
    Check {
        id: "6.half-made",
        step: 6,
        name: "a crash in the middle of Create leaves no half volume",
        why: "it is listed and cannot be used, and Docker never asks for its \
              options again",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "our rule; setrlimit(2): a write past the limit ends a process",
        run: half_made,
    },
    Check {
        id: "6.full-disk",
        step: 6,
        name: "a Create that cannot write is an error, and leaves nothing",
        why: "disks are full one day; what was refused must not be there all \
              the same",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "our rule; setrlimit(2): EFBIG, where the signal is ignored",
        run: full_disk,
    },
    Check {
        id: "6.synced-name",
        step: 6,
        name: "the name of a new volume is on the disk, too",
        why: "a rename changes a folder, which has to be synced like a file: \
              else a power cut takes the whole volume back",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "fsync(2): the entry in the folder needs an fsync of its own",
        run: synced_name,
    },
    Check {
        id: "6.outlives",
        step: 6,
        name: "after kill -9 and a new start, volumes are what they were",
        why: "Docker asks for them as if nothing had happened, and never says \
              again what they are",
        file: "src/volumes.rs",
        place: "TODO 6.2",
        source: "vol-restart-kill 4",
        run: outlives,
    },
    Check {
        id: "6.options",
        step: 6,
        name: "after a new start, the options of a volume still count",
        why: "a success for other options would drop them without a word",
        file: "src/volumes.rs",
        place: "`create`",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: options,
    },
    Check {
        id: "6.removed",
        step: 6,
        name: "after a new start, a removed volume is still gone",
        why: "Docker was told so: the next `docker volume ls` would bring it \
              back",
        file: "src/volumes.rs",
        place: "`new`",
        source: "vol-errors-remove-list 11-16",
        run: removed,
    },
    Check {
        id: "6.kept",
        step: 6,
        name: "after a new start, the files of keep=true are still there",
        why: "who tidies up after a crash must know what is nobody's, and what \
              was promised",
        file: "src/volumes.rs",
        place: "`new`",
        source: "our rule: keep=true keeps the files",
        run: still_kept,
    },
    Check {
        id: "6.spoiled",
        step: 6,
        name: "a file that cannot be read spoils one volume, and no other",
        why: "one bad byte would cost all volumes, or a name that nobody can \
              use, remove or create again",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule; Docker takes a failed Get for no such volume",
        run: spoiled,
    },
    Check {
        id: "6.set-aside",
        step: 6,
        name: "what cannot be read is set aside with its files, and not lost",
        why: "somebody can mend a file that is still there, and the data of \
              the volume is fine",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule: nobody asked for its removal",
        run: set_aside,
    },
    Check {
        id: "6.set-aside-twice",
        step: 6,
        name: "a name that is set aside again and again loses nothing",
        why: "a script that creates what is missing does so within a second, \
              and the second one would be in the way of the first",
        file: "src/volumes.rs",
        place: "TODO 6.3",
        source: "our rule: nobody asked for its removal",
        run: set_aside_twice,
    },
    Check {
        id: "6.half-removed",
        step: 6,
        name: "a crash in the middle of Remove leaves no half volume",
        why: "a container would start with what happens to be left of its \
              files",
        file: "src/volumes.rs",
        place: "TODO 6.4",
        source: "our rule; vol-restart-kill for what Docker remembers",
        run: half_removed,
    },
    Check {
        id: "6.alone",
        step: 6,
        name: "a second plugin with the same ROOT does not serve",
        why: "each would tidy up what the other one is making",
        file: "src/volumes.rs",
        place: "`new`",
        source: "our rule: one plugin a ROOT",
        run: alone,
    },
    Check {
        id: "6.private-again",
        step: 6,
        name: "a ROOT of its own that is open to others is closed at the start",
        why: "older plugins made it as mkdir does: a setuid program in a volume \
              is within reach of all users of the host",
        file: "src/root.rs",
        place: "`close`",
        source: "path_resolution(7); our rule: what is in .new is ours",
        run: private_again,
    },
    Check {
        id: "6.other-root",
        step: 6,
        name: "another folder in ROOT's place gets no volume",
        why: "a disk that is mounted over ROOT hides the volumes, and the lock: \
              what is made there belongs to a second plugin",
        file: "src/volumes.rs",
        place: "`known`",
        source: "our rule: one plugin a ROOT",
        run: other_root,
    },
    Check {
        id: "6.strangers",
        step: 6,
        name: "what is in ROOT and is no volume stays as it is",
        why: "an administrator's folder is nobody's to move, to hand out or to \
              remove",
        file: "src/volumes.rs",
        place: "`known`",
        source: "our rule: a volume has its file from its first moment on",
        run: strangers,
    },
];

const KILLED: &str = "kill -9";

/// Options that no volume has by default.
fn unusual() -> Value {
    json!({ "mode": "0711" })
}

/// A volume as it was when it was whole.
struct Volume {
    name: String,
    /// What Get said.
    said: Value,
    directory: Mountpoint,
}

impl Volume {
    /// A new one with unusual options, and a file that holds its name.
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

    /// Get says the same, and the file is there.
    fn is_as_before(&self, session: &mut Session) -> Outcome {
        let Self { name, said, directory } = self;
        let (exchange, now) = found(session, name)?;
        for key in ["Mountpoint", "Status", "CreatedAt"] {
            let before = field(said, key);
            if before != field(&now, key) {
                let before = before.unwrap_or(&Value::Null);
                let expected = format!("\"{key}\" as before: {before}");
                return Err(exchange.wrong(expected));
            }
        }
        match directory.read("file")?.as_ref() == Some(name) {
            true => Ok(()),
            false => Err(exchange.wrong("the volume's file is still there")),
        }
    }
}

/// Every plain file under ROOT, by its path there.
fn files_under(root: &Root) -> Result<BTreeSet<PathBuf>, Fault> {
    Ok(root.open()?.files()?.into_iter().collect())
}

/// The Create of a volume, and what a power cut after it would take back.
fn loose(harness: &mut Harness) -> Result<(String, strace::Loose), Fault> {
    let program = harness.program().after(&strace::watched()?);
    let mut session = harness.spawn(&program, Place::new()?)?;
    session.await_listening("PROGRAM SOCKET ROOT, under strace")?;
    let call = create_call(&harness.name(), unusual());
    let before = strace::length(session.folder());
    session.call(&call).success(DONE)?;
    let calls = strace::since(session.folder(), before)?;
    Ok((call.to_string(), strace::loose(&calls, &session.volumes())))
}

fn synced(harness: &mut Harness) -> Outcome {
    let (sent, loose) = loose(harness)?;
    match loose.files.first() {
        None => Ok(()),
        Some(path) => Err(wrong(
            sent,
            "a file that was written is synced before the answer",
            format!("strace saw no fsync of {}", path.display()),
        )),
    }
}

fn synced_name(harness: &mut Harness) -> Outcome {
    let (sent, loose) = loose(harness)?;
    match loose.folders.first() {
        None => Ok(()),
        Some(path) => Err(wrong(
            sent,
            "a folder that has a new name in it is synced before the answer",
            format!("strace saw no fsync of {} since", path.display()),
        )),
    }
}

/// A plugin with one volume, started again so that it cannot write.
///
/// # Errors
/// [`Fault::NotTried`] for one that writes before it listens.
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
            "the plugin does not start where no file can be written".to_owned(),
        )),
        Err(trouble) => Err(trouble),
    }
}

/// The volume is there with all that it has, or is not there at all; then it
/// can be created. `must` says which, if that is known.
fn whole_or_not(
    session: &mut Session,
    name: &str,
    other: &Volume,
    must: Option<bool>,
) -> Outcome {
    let (exchange, listed) = names(session)?;
    let listed = listed.iter().any(|it| it == name);
    if must.is_some_and(|must| must != listed) {
        let expected = match listed {
            true => format!("no {name}: its Create failed"),
            false => format!("{name}: its Create succeeded"),
        };
        return Err(exchange.wrong(expected));
    }
    if listed {
        let exchange = session.call(&about("VolumeDriver.Get", name));
        let expected = format!("all of {name}, since it is listed");
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
    // The first write to a file ends it, and leaves no core either.
    let limit = "ulimit -c 0 && ulimit -f 0";
    let (mut session, other) = without_space(harness, limit)?;
    let name = harness.name();
    let exchange = create_with(&mut session, &name, unusual());
    let must = match exchange.answer("") {
        Ok(reply) => Some(reply.judge().is_ok()),
        Err(_) => None,
    };
    let what = "a crash at the first write of a Create";
    let mut session = harness.restart(session, what)?;
    whole_or_not(&mut session, &name, &other, must)?;
    create_with(&mut session, &name, unusual()).success(DONE)?;
    found(&mut session, &name).map(|_| ())
}

fn full_disk(harness: &mut Harness) -> Outcome {
    let limit = "trap '' XFSZ && ulimit -f 0";
    let (mut session, other) = without_space(harness, limit)?;
    let name = harness.name();
    session.say_before("where no file can be written");
    let exchange = create_with(&mut session, &name, unusual());
    let expected = "an \"Err\", or a volume without a file of its own";
    let done = exchange.answer(expected)?.judge().is_ok();
    if !done {
        exchange.failure(expected)?;
    }
    session.say_before("after a Create that could not write");
    whole_or_not(&mut session, &name, &other, Some(done))?;
    let what = "a Create that could not write, kill -9";
    let mut session = harness.restart(session, what)?;
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
    // A CreatedAt that is made up anew must differ.
    let second = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs())
    };
    let created = second(SystemTime::now());
    let later = || (second(SystemTime::now()) != created).then_some(());
    wait_until(PATIENCE, later);
    let mut session = harness.restart(session, KILLED)?;
    let mut wanted: Vec<_> = volumes.iter().map(|it| &*it.name).collect();
    wanted.sort_unstable();
    let (exchange, listed) = names(&mut session)?;
    if listed != wanted {
        return Err(exchange.wrong(wanted.join(", ")));
    }
    volumes.iter().try_for_each(|it| it.is_as_before(&mut session))
}

fn options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let mut session = harness.restart(session, KILLED)?;
    let exchange =
        create_with(&mut session, &volume.name, json!({ "mode": "0700" }));
    refused(&exchange, &["mode"])?;
    create_with(&mut session, &volume.name, unusual())
        .success("200 and {}: it is what was asked for")?;
    volume.is_as_before(&mut session)
}

fn removed(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let other = Volume::create(harness, &mut session)?;
    remove_it(&mut session, &volume.name)?;
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
    remove_it(&mut session, &name)?;
    let mut session = harness.restart(session, "Remove, kill -9")?;
    let exchange = session.call(&about("VolumeDriver.Get", &name));
    match holds(&session, &name)? {
        true => not_found(&mut session, &name),
        false => Err(exchange.wrong("the volume's file is still under ROOT")),
    }
}

/// A new volume, and those of its files that containers do not see.
///
/// # Errors
/// [`Fault::NotTried`] for a plugin that has no such file.
fn with_state(
    harness: &mut Harness,
    session: &mut Session,
) -> Result<(Volume, BTreeSet<PathBuf>), Fault> {
    let before = files_under(session.root())?;
    let volume = Volume::create(harness, session)?;
    let mut state = files_under(session.root())?;
    let directory = volume.directory.within()?;
    state.retain(|it| !before.contains(it) && !it.starts_with(&directory));
    match state.is_empty() {
        false => Ok((volume, state)),
        true => Err(Fault::NotTried(
            "the plugin has no file that is of one volume alone".to_owned(),
        )),
    }
}

fn spoil(session: &Session, files: &BTreeSet<PathBuf>, text: &[u8]) -> Outcome {
    let root = session.root().open()?;
    Ok(files.iter().try_for_each(|it| root.write(it, text))?)
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
    let what = "the files of three volumes spoiled, kill -9";
    let mut session = harness.restart(session, what)?;
    let (exchange, listed) = names(&mut session)?;
    if !listed.contains(&other.name) {
        return Err(exchange.wrong(format!("{}, which is fine", other.name)));
    }
    other.is_as_before(&mut session)?;
    for Volume { name, said, .. } in &volumes {
        let exchange = session.call(&about("VolumeDriver.Get", name));
        let expected = "an \"Err\", or all that it was";
        let answer = exchange.answer(expected)?.judge();
        if answer.is_ok_and(|it| field(&it, "Volume") != Some(said)) {
            return Err(exchange.wrong(expected));
        }
        create_with(&mut session, name, unusual())
            .success("200 and {}: the name is free again")?;
        found(&mut session, name)?;
    }
    other.is_as_before(&mut session)
}

fn set_aside(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let (volume, state) = with_state(harness, &mut session)?;
    let text = format!("spoiled: {}", volume.name);
    spoil(&session, &state, text.as_bytes())?;
    let mut session =
        harness.restart(session, "a volume's file spoiled, kill -9")?;
    let exchange = create_with(&mut session, &volume.name, unusual());
    if exchange.answer(DONE)?.judge().is_err() {
        // There is another check for that.
        return Ok(());
    }
    let expected = "what cannot be read, and the volume's files, are elsewhere \
                    under ROOT";
    // The new volume has its file in the same place.
    let directory = volume.directory.within()?;
    let elsewhere = |wanted: &str| {
        let root = session.root().open()?;
        let files = root.files()?;
        Ok::<_, Fault>(files.iter().any(|it| {
            !it.starts_with(&directory)
                && root.read(it).is_some_and(|it| it == wanted)
        }))
    };
    match elsewhere(&text)? && elsewhere(&volume.name)? {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn set_aside_twice(harness: &mut Harness) -> Outcome {
    const TIMES: usize = 5;
    let mut session = activated(harness)?;
    let name = harness.name();
    let mut texts = Vec::new();
    session.say_before("a volume's file spoiled, again and again");
    for time in 1..=TIMES {
        let before = files_under(session.root())?;
        let exchange = create_with(&mut session, &name, unusual());
        if time == 2 && exchange.answer(DONE)?.judge().is_err() {
            // There is another check for a name that is never free again.
            return Ok(());
        }
        exchange.success(DONE)?;
        let (exchange, said) = found(&mut session, &name)?;
        let text = format!("spoiled: {name}, {time}");
        path_in(&exchange, &said)?.write("file", &text)?;
        let mut state = files_under(session.root())?;
        state.retain(|it| !before.contains(it) && !it.ends_with("file"));
        spoil(&session, &state, b"{")?;
        session.call(&about("VolumeDriver.Get", &name));
        texts.push(text);
    }
    let exchange = create_with(&mut session, &name, unusual());
    exchange.success("200 and {}: the name is free again")?;
    let files = files_under(session.root())?;
    let root = session.root().open()?;
    let has = |text: &String| {
        files.iter().any(|it| root.read(it).as_ref() == Some(text))
    };
    // There is another check for a plugin that keeps none of them.
    match texts.iter().all(&has) || !texts.iter().any(has) {
        true => Ok(()),
        false => Err(exchange.wrong("the files of each one, under ROOT")),
    }
}

fn half_removed(harness: &mut Harness) -> Outcome {
    // A removal that was over before we saw it begin was no crash: once more,
    // with more to remove.
    for count in [500, 4_000, 32_000] {
        if removed_by_half(harness, count)? {
            break;
        }
    }
    Ok(())
}

/// Returns whether the plugin was killed while there was something to remove.
fn removed_by_half(harness: &mut Harness, count: usize) -> Result<bool, Fault> {
    // It gets less of a processor than we do, so that we see it begin.
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
        let named = |it: &PathBuf| {
            let name = it.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(&mark)
        };
        files_under(root).map(|it| it.iter().filter(|it| named(it)).count())
    };
    let first = files.names()?.swap_remove(0);
    drop(files);

    let call = about("VolumeDriver.Remove", name);
    let mut client = session.client(&call.to_string())?;
    client.write_all(&call.request(harness.dialect))?;
    let deadline = Instant::now() + PATIENCE;
    // Without a pause: it may be over within milliseconds.
    let there = || directory.open().is_ok_and(|it| it.has(&first));
    while there() && Instant::now() < deadline {}
    let place = session.kill();
    let root = place.root().clone();
    let was_crash = left(&root)? > 0;
    let what = "a Remove of many files, kill -9 while they go";
    let mut session = harness.start_again(place, what)?;
    let reply = read_reply(&mut client, PATIENCE);
    let done = reply.is_ok_and(|it| it.judge().is_ok());

    let (exchange, listed) = names(&mut session)?;
    let listed = listed.contains(name);
    if listed && done {
        return Err(exchange.wrong(format!("no {name}: it was removed")));
    }
    if listed && left(&root)? != count {
        return Err(exchange
            .wrong(format!("no {name}, or all of its files: some are gone")));
    }
    if listed {
        volume.is_as_before(&mut session)?;
    } else {
        not_found(&mut session, name)?;
        let gone = || left(&root).is_ok_and(|it| it == 0).then_some(());
        if wait_until(PATIENCE, gone).is_none() {
            return Err(exchange.wrong(
                "no file of the removed volume under ROOT: nobody will ask \
                 for their removal again",
            ));
        }
    }
    Ok(was_crash)
}

fn alone(harness: &mut Harness) -> Outcome {
    let first = harness.start()?;
    let sent = "PROGRAM SOCKET ROOT, and beside it PROGRAM OTHER-SOCKET ROOT";
    let expected = "the second one waits, or ends with an error that says why";
    let socket = first.folder().join("run/other.sock");
    let mut second = harness.spawn_rival(&first, &socket)?;
    let mut docker = Daemon::new(&socket, harness.dialect);
    // It may wait for the end of the first one for longer than this.
    let ended = wait_until(PATIENCE / 2, || match second.ended() {
        Some(status) => Some(Some(status)),
        // It would serve Docker, too.
        None => docker.call(&Call::bare("Plugin.Activate")).ok().map(|_| None),
    });
    match ended {
        None => first.still_answers(sent),
        Some(Some(status)) if !status.success() => first.still_answers(sent),
        Some(Some(status)) => {
            Err(wrong(sent, expected, format!("it ended ({status})")))
        }
        Some(None) => {
            // How often it was asked before it answered depends on the machine.
            harness.forget_log();
            Err(wrong(sent, expected, "the second one runs on"))
        }
    }
}

fn private_again(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let place = session.kill();
    place.root().open()?.set_mode(0o755)?;
    let what = "kill -9, chmod 755 ROOT";
    let mut session = harness.start_again(place, what)?;
    volume.is_as_before(&mut session)?;
    let (exchange, said) = found(&mut session, &volume.name)?;
    is_private(&session, &exchange, &said)
}

fn other_root(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let volume = Volume::create(harness, &mut session)?;
    let root = session.volumes();
    let aside = root.with_extension("aside");
    // As a mount over ROOT does.
    fs::rename(&root, &aside)?;
    fs::create_dir(&root)?;
    session.say_before("another folder in ROOT's place");
    let name = harness.name();
    let exchange = create_with(&mut session, &name, unusual());
    let expected = "an \"Err\", and nothing in that folder";
    exchange.failure(expected)?;
    if !session.root().open()?.names()?.is_empty() {
        return Err(exchange.wrong(expected));
    }
    let exchange = session.call(&about("VolumeDriver.Remove", &volume.name));
    exchange.failure("an \"Err\": the volume is not in that folder")?;
    fs::remove_dir(&root)?;
    fs::rename(&aside, &root)?;
    session.say_before("ROOT in its place again");
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
        session.say_before("something in ROOT that is no volume");
        not_found(&mut session, name)?;
        let exchange = create_with(&mut session, name, unusual());
        refused(&exchange, &[name])?;
        for method in ["VolumeDriver.Mount", "VolumeDriver.Remove"] {
            let exchange = session.call(&about(method, name));
            exchange.failure("an \"Err\": there is no such volume")?;
            if root.read(path).as_ref() != Some(name) {
                return Err(exchange.wrong("it is where it was"));
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
