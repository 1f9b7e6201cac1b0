//! Step 4: a directory for each volume.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Check;
use super::step_02::{about, activated, not_found};
use super::step_03::{create, found};
use crate::daemon::Call;
use crate::finding::{Fault, Outcome, wrong};
use crate::harness::{Exchange, Harness, Session};
use crate::plugin::Place;
use crate::root::Mountpoint;
use crate::wait::{PATIENCE, wait_until};

pub const CHECKS: &[Check] = &[
    Check {
        id: "4.in-root",
        step: 4,
        name: "a volume's files are under ROOT",
        why: "containers write into the path that Mount returns, and Remove \
              deletes it: outside ROOT it could be anybody's folder",
        file: "src/volumes.rs",
        place: "TODO 4.1",
        source: "our rule: ROOT is the plugin's second argument",
        run: in_root,
    },
    // A learner is told of this check before those that ask for a Remove that
    // deletes files.
    Check {
        id: "4.names",
        step: 4,
        name: "no name leads out of ROOT, or to another volume's directory",
        why: "Docker does not check these names: with them, any user who may \
              create volumes could read and remove every file of this host",
        file: "src/volumes.rs",
        place: "TODO 4.1",
        source: "vol-errors-names 1-7; 28.5/vol-errors-names 15",
        run: names,
    },
    Check {
        id: "4.created",
        step: 4,
        name: "Create makes the directory that Get returns",
        why: "the user must see a full disk or a missing permission when a \
              volume is created, not when a container starts",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "our rule; Docker shows the Err of a Create",
        run: created,
    },
    Check {
        id: "4.create-fails",
        step: 4,
        name: "if the directory cannot be made, Create fails and there is no \
               volume",
        why: "Docker believes that the Create has succeeded, or finds the \
              volume with its next Get: then no container with it can start",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "vol-errors-create 1; vol-errors-mount 5",
        run: create_fails,
    },
    Check {
        id: "4.restart",
        step: 4,
        name: "after a restart, Create finds the directory and its files again",
        why: "a restarted plugin has lost its list of volumes, and its user \
              wants the files back",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "our rule; plugin-dies 5, vol-errors-get 24: Docker's next \
                 Get fails, and Create follows",
        run: restart,
    },
    Check {
        id: "4.mountpoint",
        step: 4,
        name: "Mount returns an existing directory",
        why: "Docker accepts any path, even an empty one: the container would \
              see a folder of the container runtime, or fail with that \
              runtime's error",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-errors-mount 4-7",
        run: mountpoint,
    },
    Check {
        id: "4.same-place",
        step: 4,
        name: "Get and Path return the same path as Mount",
        why: "`docker volume inspect` shows the path that Get returns",
        file: "src/volumes.rs",
        place: "`volume`",
        source: "vol-create-inspect-ls-rm 6; vol-run-named 2",
        run: same_place,
    },
    Check {
        id: "4.shared",
        step: 4,
        name: "two containers share one volume's files",
        why: "each container has its own ID, and both use the same volume",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-two-containers; vol-mount-flag 3",
        run: shared,
    },
    Check {
        id: "4.apart",
        step: 4,
        name: "two volumes have two directories",
        why: "one container would overwrite the files of another",
        file: "src/volumes.rs",
        place: "TODO 4.1",
        source: "vol-run-named",
        run: apart,
    },
    Check {
        id: "4.outlives",
        step: 4,
        name: "a volume's files outlive its containers",
        why: "that is the purpose of a volume",
        file: "src/volumes.rs",
        place: "`unmount`",
        source: "vol-run-named 3; vol-restart-kill 4",
        run: outlives,
    },
    Check {
        id: "4.in-use",
        step: 4,
        name: "when one container ends, the others keep their files",
        why: "`docker cp` mounts with an ID that is already in use, and \
              unmounts right afterwards",
        file: "src/volumes.rs",
        place: "`unmount`",
        source: "vol-cp 2-3",
        run: in_use,
    },
    Check {
        id: "4.remove",
        step: 4,
        name: "Remove deletes the volume's files, and no others",
        why: "otherwise the next volume of this name would start with the old \
              files, or another volume's files would be lost",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-create-inspect-ls-rm 10",
        run: remove,
    },
    Check {
        id: "4.removed-already",
        step: 4,
        name: "Remove succeeds if the directory is already gone",
        why: "otherwise Docker keeps a volume that can never be removed",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-errors-remove-list",
        run: removed_already,
    },
    Check {
        id: "4.remove-fails",
        step: 4,
        name: "if the files cannot be removed, Remove fails and the volume \
               stays",
        why: "after a success, Docker forgets the volume: nobody could remove \
              its files any more, and the next volume of this name would have \
              them",
        file: "src/volumes.rs",
        place: "TODO 4.4",
        source: "vol-errors-remove-list",
        run: remove_fails,
    },
    Check {
        id: "4.private-root",
        step: 4,
        name: "other users of the host cannot reach a volume's files",
        why: "a container's root can put a setuid program into a volume: any \
              user who runs it on the host becomes root there",
        file: "src/root.rs",
        place: "`open`",
        source: "path_resolution(7); Docker's own /var/lib/docker is 0710",
        run: private_root,
    },
    Check {
        id: "4.not-its-root",
        step: 4,
        name: "a ROOT that holds somebody else's files keeps its mode",
        why: "ROOT may be /tmp by mistake: a plugin that closes /tmp takes it \
              away from all other users",
        file: "src/root.rs",
        place: "`close`",
        source: "our rule: a plugin closes only its own folders",
        run: not_its_root,
    },
];

/// The state after an administrator's `rm -rf`, or after an interrupted Remove.
const REMOVED: &str = "after this check has removed the volume's directory";

const DIRECTORY: &str = "an absolute \"Mountpoint\" that is a directory";

/// Docker's Mount or Unmount, with the ID of one use of the volume.
pub(super) fn use_call(method: &'static str, name: &str, id: &str) -> Call {
    let id = id.repeat(64 / id.len());
    Call::new(method, &[("Name", json!(name)), ("ID", json!(id))])
}

/// Mounts a volume. Returns its directory, which exists.
pub(super) fn mount(
    session: &mut Session,
    name: &str,
    id: &str,
) -> Result<Mountpoint, Fault> {
    let exchange = session.call(&use_call("VolumeDriver.Mount", name, id));
    let value = exchange.success(DIRECTORY)?;
    let directory = path_in(&exchange, &value)?;
    match directory.is_there()? {
        true => Ok(directory),
        false => Err(exchange.wrong(DIRECTORY)),
    }
}

pub(super) fn unmount(session: &mut Session, name: &str, id: &str) -> Outcome {
    session
        .call(&use_call("VolumeDriver.Unmount", name, id))
        .success("200 and {}, or an empty \"Err\"")
        .map(|_| ())
}

pub(super) fn path_in(
    exchange: &Exchange,
    value: &Value,
) -> Result<Mountpoint, Fault> {
    exchange.mountpoint(value).ok_or_else(|| exchange.wrong(DIRECTORY))
}

/// A fresh plugin with one volume.
fn with_volume(harness: &mut Harness) -> Result<(Session, String), Fault> {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    Ok((session, name))
}

fn created(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let (exchange, volume) = found(&mut session, &name)?;
    let directory = path_in(&exchange, &volume)?;
    match directory.is_there()? {
        true => Ok(()),
        false => Err(exchange.wrong(DIRECTORY)),
    }
}

fn mountpoint(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    unmount(&mut session, &name, "93de")?;
    // The plugin may create the directory again.
    directory.remove()?;
    session.say_before(REMOVED);
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let expected = "a \"Mountpoint\" that exists, or an \"Err\"";
    let answer = exchange.answer(expected)?.judge();
    match answer {
        Ok(value) if !path_in(&exchange, &value)?.is_there()? => {
            Err(exchange.wrong(expected))
        }
        _ => Ok(()),
    }
}

fn in_root(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    // Every check that uses a path makes sure that it leads to below ROOT. This
    // check does only that, and leaves all other mistakes to the others.
    let (exchange, volume) = found(&mut session, &name)?;
    if let Some(directory) = exchange.mountpoint(&volume) {
        directory.leads_below_root()?;
    }
    let mount = use_call("VolumeDriver.Mount", &name, "93de");
    for call in [Call::path(&name), mount] {
        let exchange = session.call(&call);
        let answer = exchange.answer(DIRECTORY)?.judge();
        let path = answer.ok().and_then(|value| exchange.mountpoint(&value));
        path.map_or(Ok(()), |path| path.leads_below_root())?;
    }
    Ok(())
}

fn same_place(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    let expected = format!(
        "the \"Mountpoint\" that Mount returned: …/{}",
        directory.name()
    );
    let (exchange, volume) = found(&mut session, &name)?;
    if path_in(&exchange, &volume)? != directory {
        return Err(exchange.wrong(expected));
    }
    let exchange = session.call(&Call::path(&name));
    match path_in(&exchange, &exchange.success(&expected)?)? == directory {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn shared(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let first = mount(&mut session, &name, "93de")?;
    let text = harness.name();
    first.write("file", &text)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let second = path_in(&exchange, &exchange.success(DIRECTORY)?)?;
    match second.read("file")? == Some(text) {
        true => Ok(()),
        false => {
            Err(exchange.wrong("the directory that the first Mount returned"))
        }
    }
}

fn apart(harness: &mut Harness) -> Outcome {
    let (mut session, first_name) = with_volume(harness)?;
    let second_name = format!("{first_name}-two");
    create(&mut session, &second_name)?;
    let first = mount(&mut session, &first_name, "93de")?;
    first.write("file", &first_name)?;
    let exchange =
        session.call(&use_call("VolumeDriver.Mount", &second_name, "a1b2"));
    let second = path_in(&exchange, &exchange.success(DIRECTORY)?)?;
    match second.has("file")? {
        false => Ok(()),
        true => {
            Err(exchange
                .wrong("a directory other than that of the first volume"))
        }
    }
}

fn outlives(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let text = harness.name();
    let before = mount(&mut session, &name, "93de")?;
    before.write("file", &text)?;
    unmount(&mut session, &name, "93de")?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let after = path_in(&exchange, &exchange.success(DIRECTORY)?)?;
    match after.read("file")? == Some(text) {
        true => Ok(()),
        false => {
            Err(exchange.wrong("the file that the previous container wrote"))
        }
    }
}

fn in_use(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    let text = harness.name();
    directory.write("file", &text)?;
    // `docker cp` from the running container: a second Mount with the same ID.
    mount(&mut session, &name, "93de")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    exchange.success("200 and {}, or an empty \"Err\"")?;
    match directory.read("file")? == Some(text) {
        true => Ok(()),
        false => {
            Err(exchange
                .wrong("the file of the first container is still there"))
        }
    }
}

fn remove(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let other_name = format!("two-{name}");
    create(&mut session, &other_name)?;
    let other = mount(&mut session, &other_name, "c0de")?;
    other.write("file", &name)?;
    let directory = mount(&mut session, &name, "93de")?;
    let files = directory.open()?;
    files.make("folder")?;
    files.write("folder/file", &name)?;
    drop(files);
    unmount(&mut session, &name, "93de")?;
    let exchange = session.call(&Call::remove(&name));
    exchange.success("200 and {}, or an empty \"Err\"")?;
    if directory.has("folder")? {
        return Err(exchange.wrong("the directory and its files are gone"));
    }
    if other.read("file")?.as_ref() != Some(&name) {
        let expected = format!("the file of {other_name} is still there");
        return Err(exchange.wrong(expected));
    }
    create(&mut session, &name)?;
    let anew = mount(&mut session, &name, "a1b2")?;
    match anew.names()?.len() {
        0 => Ok(()),
        count => {
            let got =
                format!("an empty directory; this one has {count} entries");
            Err(exchange.wrong(got))
        }
    }
}

fn removed_already(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    unmount(&mut session, &name, "93de")?;
    directory.remove()?;
    session.say_before(REMOVED);
    session
        .call(&Call::remove(&name))
        .success("200 and {}: the directory is already gone")
        .map(|_| ())
}

/// The state after a disk error, as far as a check can cause one: a file is
/// where the volume's directory was.
fn remove_fails(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = path_of(&mut session, &name)?;
    // Other checks cover a plugin without this directory.
    let Ok(within) = directory.within() else { return Ok(()) };
    directory.remove()?;
    let root = session.root().open()?;
    root.write(&within, &name)?;
    session.say_before("a file in the place of the directory");
    let exchange = session.call(&Call::remove(&name));
    let answer = exchange.answer("an \"Err\", or a success")?.judge();
    match answer {
        Ok(_) if root.has(&within) => {
            Err(exchange.wrong("an \"Err\", because the file is still there"))
        }
        Ok(_) => Ok(()),
        Err(_) => {
            session.say_before("a Remove that failed");
            found(&mut session, &name).map(|_| ())
        }
    }
}

/// The state after an error of the disk, as far as a check can cause one: a
/// file is where the volume's directory must be made.
fn create_fails(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = path_of(&mut session, &name)?;
    // Other checks cover a plugin without this directory.
    let Ok(within) = directory.within() else { return Ok(()) };
    session.call(&Call::remove(&name));
    directory.remove()?;
    // The plugin may have removed more than the directory, which another check
    // covers.
    let Ok(root) = session.root().open() else { return Ok(()) };
    let is_free =
        |path: &&Path| !path.as_os_str().is_empty() && !root.has(path);
    let Some(place) = within.ancestors().filter(is_free).last() else {
        return Ok(());
    };
    root.write(place, &name)?;
    session.say_before("a file in the place of the directory");
    let exchange = session.call(&Call::create(&name, Value::Null));
    let expected = "an \"Err\", because there is no directory";
    if exchange.answer(expected)?.judge().is_err() {
        session.say_before("a Create that failed");
        return not_found(&mut session, &name);
    }
    // The plugin may have found a place for the directory all the same.
    match mount(&mut session, &name, "93de") {
        Err(Fault::Wrong(_)) => Err(exchange.wrong(expected)),
        mounted => mounted.map(|_| ()),
    }
}

/// The directory that Get returns; it may not exist.
fn path_of(session: &mut Session, name: &str) -> Result<Mountpoint, Fault> {
    let (exchange, volume) = found(session, name)?;
    path_in(&exchange, &volume)
}

fn restart(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = path_of(&mut session, &name)?;
    if !directory.is_there()? {
        // Another check covers that.
        return Ok(());
    }
    let text = harness.name();
    directory.write("file", &text)?;
    let mut session = harness.restart(session, "kill -9")?;
    create(&mut session, &name)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "93de"));
    let answer = exchange.answer(DIRECTORY)?.judge();
    let again = match answer {
        Ok(value) => path_in(&exchange, &value)?,
        // Another check covers a Mount that fails.
        Err(_) => path_of(&mut session, &name)?,
    };
    match again.read("file")? == Some(text) {
        true => Ok(()),
        false => Err(exchange.wrong("the file of the time before the restart")),
    }
}

fn names(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let outside = session.volumes().parent().expect("it has one").to_owned();
    // `create_new` follows no link: a plugin already runs in this folder.
    File::create_new(outside.join("witness"))?;
    let before = listing(&outside)?;
    let long = "n".repeat(300);
    let absolute = outside.join("absolute").display().to_string();
    // Each of these names leads into the check's own folder at most: a plugin
    // that joins them to ROOT and runs as root must not harm the machine.
    const NAMES: [&str; 9] =
        ["..", ".", "", "../up", "a/../../up", "a/b", "a/", "a/.", "nul\0up"];
    for name in NAMES.into_iter().chain([&*absolute, &*long]) {
        let exchange = session.call(&Call::create(name, Value::Null));
        exchange.failure("an \"Err\": such a name is refused")?;
        for method in ["VolumeDriver.Mount", "VolumeDriver.Remove"] {
            let exchange = session.call(&about(method, name));
            exchange.failure("an \"Err\": there is no such volume")?;
        }
        if listing(&outside)? != before {
            return Err(exchange.wrong("no change outside ROOT"));
        }
    }
    Ok(())
}

/// The mode of a folder, in the twelve bits of chmod(2).
fn mode_of(folder: &Path) -> anyhow::Result<u32> {
    Ok(fs::symlink_metadata(folder)?.permissions().mode() & 0o7777)
}

/// Other users cannot enter one of the folders between ROOT and the volume's
/// files.
pub(super) fn is_private(
    session: &Session,
    exchange: &Exchange,
    volume: &Value,
) -> Outcome {
    let within = match path_in(exchange, volume)?.within() {
        Ok(within) => within,
        // Other checks cover a path that leads elsewhere or does not exist.
        Err(Fault::Wrong(_)) => return Ok(()),
        Err(trouble) => return Err(trouble),
    };
    // The volume's directory itself is left out: containers set its mode.
    for folder in within.ancestors().skip(1) {
        if mode_of(&session.volumes().join(folder))? & 0o011 == 0 {
            return Ok(());
        }
    }
    // The mode itself depends on the umask, so the text does not name it.
    Err(wrong(
        "PROGRAM SOCKET ROOT, a Create, and ls -ld ROOT",
        "mode 0700: no other user may enter",
        "a mode with which other users may enter",
    ))
}

fn private_root(harness: &mut Harness) -> Outcome {
    // First without ROOT, then with a ROOT as mkdir creates it.
    for exists in [false, true] {
        let place = Place::new()?;
        if exists {
            fs::create_dir(place.volumes())?;
            let open = Permissions::from_mode(0o755);
            fs::set_permissions(place.volumes(), open)?;
        }
        let program = harness.program().clone();
        let mut session = harness.spawn(&program, place)?;
        session.await_listening(
            "PROGRAM SOCKET ROOT, where ROOT is empty or missing",
        )?;
        let name = harness.name();
        create(&mut session, &name)?;
        let (exchange, volume) = found(&mut session, &name)?;
        is_private(&session, &exchange, &volume)?;
    }
    Ok(())
}

fn not_its_root(harness: &mut Harness) -> Outcome {
    let place = Place::new()?;
    let root = place.volumes();
    fs::create_dir(&root)?;
    fs::write(root.join("somebodys-file"), "")?;
    fs::set_permissions(&root, Permissions::from_mode(0o1777))?;
    let program = harness.program().clone();
    let mut session = harness.spawn(&program, place)?;
    let sent = "PROGRAM SOCKET ROOT, where ROOT is a folder like /tmp";
    // The plugin may refuse to start, or protect its volumes in another way.
    let listens = session.await_listening(sent).is_ok();
    let mode = mode_of(&root)?;
    if mode != 0o1777 {
        let expected = "the folder keeps its mode, 01777";
        // The log depends on how far the plugin has come.
        harness.forget_log();
        return Err(wrong(sent, expected, format!("mode 0{mode:o}")));
    }
    if listens {
        let name = harness.name();
        create(&mut session, &name)?;
        let (exchange, volume) = found(&mut session, &name)?;
        return is_private(&session, &exchange, &volume);
    }
    let says_why = || {
        let log = harness.log().last_lines(20);
        log.iter().any(|line| line.contains("…/volumes")).then_some(())
    };
    match wait_until(PATIENCE, says_why) {
        Some(()) => Ok(()),
        None => {
            let expected = "the plugin ends, and its log names the folder";
            Err(wrong(
                sent,
                expected,
                "the plugin ends, and its log does not name the folder",
            ))
        }
    }
}

/// The entries of a folder, without the plugin's own two.
fn listing(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.ends_with("volumes") && !path.ends_with("run") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
