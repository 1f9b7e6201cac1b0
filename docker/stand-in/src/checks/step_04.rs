//! Step 4: a directory for each volume.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Check;
use super::step_02::{about, activated, create_call};
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
        why: "what Mount names is what containers write into, and what Remove \
              removes: it could be anybody's folder",
        file: "src/volumes.rs",
        place: "`directory`",
        source: "our rule: ROOT is the plugin's second argument",
        run: in_root,
    },
    Check {
        id: "4.created",
        step: 4,
        name: "Create makes the directory that Get names",
        why: "a full disk or a missing permission must show when a volume is \
              made, not when a container starts",
        file: "src/volumes.rs",
        place: "TODO 4.1",
        source: "our rule; Docker shows the Err of a Create",
        run: created,
    },
    Check {
        id: "4.mountpoint",
        step: 4,
        name: "Mount names a directory that is there",
        why: "Docker takes any path, even none: the container would see the \
              runtime's own folder, or fail with the runtime's words",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "vol-errors-mount 4-7",
        run: mountpoint,
    },
    Check {
        id: "4.same-place",
        step: 4,
        name: "Get and Path name the place that Mount names",
        why: "`docker volume inspect` shows what Get says",
        file: "src/volumes.rs",
        place: "`volume`",
        source: "vol-create-inspect-ls-rm 6; vol-run-named 2",
        run: same_place,
    },
    Check {
        id: "4.shared",
        step: 4,
        name: "two containers share one volume's files",
        why: "each has an ID of its own, and both mean the same volume",
        file: "src/volumes.rs",
        place: "TODO 4.2",
        source: "vol-two-containers; vol-mount-flag 3",
        run: shared,
    },
    Check {
        id: "4.apart",
        step: 4,
        name: "two volumes have two directories",
        why: "one container would overwrite the files of another",
        file: "src/volumes.rs",
        place: "`directory`",
        source: "vol-run-named",
        run: apart,
    },
    Check {
        id: "4.outlives",
        step: 4,
        name: "a file outlives the containers",
        why: "that is what a volume is for",
        file: "src/volumes.rs",
        place: "`unmount`",
        source: "vol-run-named 3; vol-restart-kill 4",
        run: outlives,
    },
    Check {
        id: "4.in-use",
        step: 4,
        name: "one container's end leaves the others their files",
        why: "`docker cp` mounts with an ID that is in use, and unmounts it at \
              once",
        file: "src/volumes.rs",
        place: "`unmount`",
        source: "vol-cp 2-3",
        run: in_use,
    },
    Check {
        id: "4.remove",
        step: 4,
        name: "Remove takes the files along",
        why: "the next volume of this name would begin with the files of a \
              stranger",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-create-inspect-ls-rm 10",
        run: remove,
    },
    Check {
        id: "4.removed-already",
        step: 4,
        name: "Remove succeeds if the directory is gone already",
        why: "Docker would keep a volume that nobody can ever remove",
        file: "src/volumes.rs",
        place: "TODO 4.3",
        source: "vol-errors-remove-list",
        run: removed_already,
    },
    Check {
        id: "4.names",
        step: 4,
        name: "no name leads out of ROOT",
        why: "Docker checks none of these names: whoever may create volumes \
              would read and remove any file of this host",
        file: "src/volumes.rs",
        place: "`directory`",
        source: "vol-errors-names 1-7; 28.5/vol-errors-names 15",
        run: names,
    },
    Check {
        id: "4.private-root",
        step: 4,
        name: "no other user of the host reaches a volume's files",
        why: "a container's root can leave a setuid program in a volume: \
              whoever starts it on the host is root there",
        file: "src/root.rs",
        place: "`open`",
        source: "path_resolution(7); Docker's own /var/lib/docker is 0710",
        run: private_root,
    },
    Check {
        id: "4.not-its-root",
        step: 4,
        name: "a ROOT with somebody else's files keeps its mode",
        why: "ROOT may be /tmp, given by mistake: a plugin that closes it takes \
              it from everybody",
        file: "src/root.rs",
        place: "`close`",
        source: "our rule: a plugin closes only what is its own",
        run: not_its_root,
    },
];

const WHERE: &str = "an absolute \"Mountpoint\" that is a directory";

/// Docker's Mount or Unmount, with the ID of one use of the volume.
pub(super) fn use_call(method: &'static str, name: &str, id: &str) -> Call {
    let id = id.repeat(64 / id.len());
    Call::new(method, &[("Name", json!(name)), ("ID", json!(id))])
}

/// Mounts, and returns the directory, which is there.
pub(super) fn mount(
    session: &mut Session,
    name: &str,
    id: &str,
) -> Result<Mountpoint, Fault> {
    let exchange = session.call(&use_call("VolumeDriver.Mount", name, id));
    let value = exchange.success(WHERE)?;
    let directory = path_in(&exchange, &value)?;
    match directory.is_there()? {
        true => Ok(directory),
        false => Err(exchange.wrong(WHERE)),
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
    exchange.mountpoint(value).ok_or_else(|| exchange.wrong(WHERE))
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
        false => Err(exchange.wrong(WHERE)),
    }
}

fn mountpoint(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    unmount(&mut session, &name, "93de")?;
    // What an administrator with rm -rf leaves: the plugin may make it anew.
    directory.remove()?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let expected = "a \"Mountpoint\" that is there, or an \"Err\"";
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
    // Each check that uses a path looks where it leads; this one does so first,
    // and leaves all other mistakes to the others.
    let (exchange, volume) = found(&mut session, &name)?;
    if let Some(directory) = exchange.mountpoint(&volume) {
        directory.leads_below_root()?;
    }
    let mount = use_call("VolumeDriver.Mount", &name, "93de");
    for call in [about("VolumeDriver.Path", &name), mount] {
        let exchange = session.call(&call);
        let answer = exchange.answer(WHERE)?.judge();
        let path = answer.ok().and_then(|it| exchange.mountpoint(&it));
        path.map_or(Ok(()), |it| it.leads_below_root())?;
    }
    Ok(())
}

fn same_place(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    let expected =
        format!("\"Mountpoint\" as Mount said: …/{}", directory.name());
    let (exchange, volume) = found(&mut session, &name)?;
    if path_in(&exchange, &volume)? != directory {
        return Err(exchange.wrong(expected));
    }
    let exchange = session.call(&about("VolumeDriver.Path", &name));
    match path_in(&exchange, &exchange.success(&expected)?)? == directory {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn shared(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let one = mount(&mut session, &name, "93de")?;
    let text = harness.name();
    one.write("file", &text)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &name, "a1b2"));
    let two = path_in(&exchange, &exchange.success(WHERE)?)?;
    match two.read("file")? == Some(text) {
        true => Ok(()),
        false => Err(exchange.wrong("the directory of the first Mount")),
    }
}

fn apart(harness: &mut Harness) -> Outcome {
    let (mut session, one) = with_volume(harness)?;
    let two = format!("{one}-two");
    create(&mut session, &two)?;
    let first = mount(&mut session, &one, "93de")?;
    first.write("file", &one)?;
    let exchange = session.call(&use_call("VolumeDriver.Mount", &two, "a1b2"));
    let second = path_in(&exchange, &exchange.success(WHERE)?)?;
    match second.has("file")? {
        false => Ok(()),
        true => {
            Err(exchange.wrong("another directory than the first volume's"))
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
    let after = path_in(&exchange, &exchange.success(WHERE)?)?;
    match after.read("file")? == Some(text) {
        true => Ok(()),
        false => Err(exchange.wrong("the file that the last container wrote")),
    }
}

fn in_use(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    let text = harness.name();
    directory.write("file", &text)?;
    // `docker cp` out of the running container: the same ID once more.
    mount(&mut session, &name, "93de")?;
    let exchange =
        session.call(&use_call("VolumeDriver.Unmount", &name, "93de"));
    exchange.success("200 and {}, or an empty \"Err\"")?;
    match directory.read("file")? == Some(text) {
        true => Ok(()),
        false => Err(exchange.wrong("the first Mount's file is still there")),
    }
}

fn remove(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    let files = directory.open()?;
    files.make("folder")?;
    files.write("folder/file", &name)?;
    drop(files);
    unmount(&mut session, &name, "93de")?;
    let exchange = session.call(&about("VolumeDriver.Remove", &name));
    exchange.success("200 and {}, or an empty \"Err\"")?;
    if directory.has("folder")? {
        return Err(exchange.wrong("the directory is gone with its files"));
    }
    create(&mut session, &name)?;
    let anew = mount(&mut session, &name, "a1b2")?;
    match anew.names()?.len() {
        0 => Ok(()),
        count => {
            let got =
                format!("an empty directory, not one with {count} entries");
            Err(exchange.wrong(got))
        }
    }
}

fn removed_already(harness: &mut Harness) -> Outcome {
    let (mut session, name) = with_volume(harness)?;
    let directory = mount(&mut session, &name, "93de")?;
    unmount(&mut session, &name, "93de")?;
    // What an administrator with rm -rf, or half a Remove, leaves.
    directory.remove()?;
    session
        .call(&about("VolumeDriver.Remove", &name))
        .success("200 and {}: gone is what was asked for")
        .map(|_| ())
}

fn names(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let outside = session.volumes().parent().expect("it has one").to_owned();
    // Not through a link: a plugin runs here already.
    File::create_new(outside.join("witness"))?;
    let before = listing(&outside)?;
    let long = "n".repeat(300);
    let absolute = outside.join("absolute").display().to_string();
    // All of them lead into the check's own folder at most: a plugin that joins
    // them to ROOT, and is run by root, must not harm the machine.
    for name in
        ["..", ".", "../up", "a/../../up", "a/b", "nul\0up", &absolute, &long]
    {
        let exchange = session.call(&create_call(name, Value::Null));
        exchange.failure("an \"Err\": such a name is refused")?;
        for method in ["VolumeDriver.Mount", "VolumeDriver.Remove"] {
            let exchange = session.call(&about(method, name));
            exchange.failure("an \"Err\": there is no such volume")?;
        }
        if listing(&outside)? != before {
            return Err(exchange.wrong("nothing outside ROOT has changed"));
        }
    }
    Ok(())
}

/// The mode of a folder, as `chmod` takes it.
fn mode_of(folder: &Path) -> anyhow::Result<u32> {
    Ok(fs::symlink_metadata(folder)?.permissions().mode() & 0o7777)
}

/// Between ROOT and a volume's files is a folder that other users cannot enter.
pub(super) fn is_private(
    session: &Session,
    exchange: &Exchange,
    volume: &Value,
) -> Outcome {
    let within = match path_in(exchange, volume)?.within() {
        Ok(within) => within,
        // There are other checks for a path that leads elsewhere, or nowhere.
        Err(Fault::Wrong(_)) => return Ok(()),
        Err(trouble) => return Err(trouble),
    };
    // The directory itself has the mode that its containers give it.
    for folder in within.ancestors().skip(1) {
        if mode_of(&session.volumes().join(folder))? & 0o011 == 0 {
            return Ok(());
        }
    }
    // Which mode it is depends on the umask.
    Err(wrong(
        "PROGRAM SOCKET ROOT, a Create, and ls -ld ROOT",
        "mode 0700: no other user may enter",
        "a mode that lets other users in",
    ))
}

fn private_root(harness: &mut Harness) -> Outcome {
    // One that is missing, and one that is there as mkdir makes it.
    for is_there in [false, true] {
        let place = Place::new()?;
        if is_there {
            fs::create_dir(place.volumes())?;
            let open = Permissions::from_mode(0o755);
            fs::set_permissions(place.volumes(), open)?;
        }
        let program = harness.program().clone();
        let mut session = harness.spawn(&program, place)?;
        session.await_listening("PROGRAM SOCKET ROOT, where ROOT is empty")?;
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
    // It may refuse, or listen and keep its volumes private in another way.
    let listens = session.await_listening(sent).is_ok();
    let mode = mode_of(&root)?;
    if mode != 0o1777 {
        let expected = "the folder keeps its mode, 01777";
        // How far the plugin has come by now depends on the moment.
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
        log.iter().any(|it| it.contains("…/volumes")).then_some(())
    };
    match wait_until(PATIENCE, says_why) {
        Some(()) => Ok(()),
        None => {
            let expected = "it ends, and its log names the folder";
            Err(wrong(sent, expected, "it ends without that"))
        }
    }
}

/// What is in a folder, except for the plugin's own two places.
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
