//! Step 3: volumes by name.

use serde_json::{Value, json};

use super::Check;
use super::step_02::{activated, not_found};
use crate::daemon::{Call, field};
use crate::finding::{Fault, Outcome};
use crate::harness::{Exchange, Harness, Session};

pub const CHECKS: &[Check] = &[
    Check {
        id: "3.get",
        step: 3,
        name: "a created volume is found, and only by its own name",
        why: "Docker sends Get before nearly every call; after one failure it \
              forgets the volume and its labels",
        file: "src/volumes.rs",
        place: "TODO 3.1, TODO 3.2",
        source: "vol-create-inspect-ls-rm 3; vol-errors-get 9-11",
        run: get,
    },
    Check {
        id: "3.again",
        step: 3,
        name: "Create of a known volume succeeds if the options are the same",
        why: "a client that repeats a request must get the same result: a \
              retry must not fail",
        file: "src/volumes.rs",
        place: "TODO 3.1",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: again,
    },
    Check {
        id: "3.other-options",
        step: 3,
        name: "Create of a known volume with different options fails and names \
               the option",
        why: "a success would promise a size that the volume does not have",
        file: "src/volumes.rs",
        place: "TODO 3.1",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: other_options,
    },
    Check {
        id: "3.refused",
        step: 3,
        name: "a refused Create changes nothing",
        why: "the user has read that the Create failed: if it has changed the \
              volume's options all the same, they are not those of its files",
        file: "src/volumes.rs",
        place: "TODO 3.1",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: refused,
    },
    Check {
        id: "3.list",
        step: 3,
        name: "List names every volume once",
        why: "`docker volume ls` shows the volumes of List; a malformed List \
              can end dockerd (20.10 to 28.5), so send objects only",
        file: "src/volumes.rs",
        place: "TODO 3.3",
        source: "vol-create-inspect-ls-rm 7; vol-errors-remove-list 11-16",
        run: list,
    },
    Check {
        id: "3.remove",
        step: 3,
        name: "Remove removes one volume and leaves the others",
        why: "Docker asks once, and then forgets the volume",
        file: "src/volumes.rs",
        place: "TODO 3.4",
        source: "vol-create-inspect-ls-rm 10-11",
        run: remove,
    },
    Check {
        id: "3.create-anew",
        step: 3,
        name: "a removed volume can be created again, with different options",
        why: "people change a volume's options by removing and creating it",
        file: "src/volumes.rs",
        place: "TODO 3.4",
        source: "vol-create-inspect-ls-rm 10; vol-errors-remove-list",
        run: create_anew,
    },
    Check {
        id: "3.case",
        step: 3,
        name: "names that differ only in case are two volumes",
        why: "Docker treats them as two volumes and would remove the wrong one",
        file: "src/volumes.rs",
        place: "TODO 3.1",
        source: "moby volume/service/store.go: names are compared as they are",
        run: case,
    },
    Check {
        id: "3.path",
        step: 3,
        name: "Path answers for a known volume",
        why: "Path is part of the protocol, although dockerd never calls it",
        file: "src/main.rs",
        place: "`act`",
        source: "moby volume/drivers/adapter.go Path",
        run: path,
    },
];

/// Creates a new volume without options.
///
/// # Errors
/// The plugin is wrong if it refuses.
pub(super) fn create(session: &mut Session, name: &str) -> Result<(), Fault> {
    session
        .call(&Call::create(name, Value::Null))
        .success("200 and {}, or an empty \"Err\"")
        .map(|_| ())
}

/// The `Volume` that Get returns, which must exist.
pub(super) fn found(
    session: &mut Session,
    name: &str,
) -> Result<(Exchange, Value), Fault> {
    let exchange = session.call(&Call::get(name));
    let expected = format!("a \"Volume\" whose \"Name\" is {name}");
    let value = exchange.success(&expected)?;
    match field(&value, "Volume") {
        Some(volume) if field(volume, "Name") == Some(&json!(name)) => {
            let volume = volume.clone();
            Ok((exchange, volume))
        }
        _ => Err(exchange.wrong(expected)),
    }
}

pub(super) fn remove_volume(session: &mut Session, name: &str) -> Outcome {
    session
        .call(&Call::remove(name))
        .success("200 and {}, or an empty \"Err\"")
        .map(|_| ())
}

/// The names that List returns, sorted.
pub(super) fn names(
    session: &mut Session,
) -> Result<(Exchange, Vec<String>), Fault> {
    let exchange = session.call(&Call::list());
    let expected = "200 and a list \"Volumes\" of objects with a \"Name\"";
    let value = exchange.success(expected)?;
    let name = |volume: &Value| {
        field(volume, "Name").and_then(Value::as_str).map(str::to_owned)
    };
    let names = match field(&value, "Volumes") {
        // Docker reads null as an empty list.
        Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(volumes)) => volumes.iter().map(name).collect(),
        _ => None,
    };
    let mut names: Vec<String> =
        names.ok_or_else(|| exchange.wrong(expected))?;
    names.sort();
    Ok((exchange, names))
}

fn get(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    found(&mut session, &name)?;
    not_found(&mut session, &format!("{name}-other"))
}

fn again(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    for options in [Value::Null, json!({})] {
        session
            .call(&Call::create(&name, options))
            .success("200 and {}: null and {} both mean no options")?;
    }
    let name = format!("{name}-two");
    for expected in ["200 and {}", "200 and {}: these are its options"] {
        let call = Call::create(&name, json!({ "mode": "0700" }));
        session.call(&call).success(expected)?;
    }
    Ok(())
}

fn other_options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // First the option is new, then it has another value.
    let name = harness.name();
    let two = format!("{name}-two");
    for (name, had) in [(name, Value::Null), (two, json!({ "mode": "0755" }))] {
        session.call(&Call::create(&name, had)).success("200 and {}")?;
        let call = Call::create(&name, json!({ "mode": "0700" }));
        let exchange = session.call(&call);
        let expected = "an \"Err\" that names the option mode";
        if !exchange.failure(expected)?.contains("mode") {
            return Err(exchange.wrong(expected));
        }
    }
    Ok(())
}

fn refused(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    let call = Call::create(&name, json!({ "mode": "0700" }));
    // Whether the plugin refuses these options is the subject of another check.
    if session.call(&call).failure("an \"Err\"").is_err() {
        return Ok(());
    }
    session.say_before("a Create that was refused");
    session.call(&call).failure("an \"Err\", as before").map(|_| ())
}

fn list(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let mut created: Vec<String> =
        (0..3).map(|count| format!("{}-{count}", harness.name())).collect();
    for name in &created {
        create(&mut session, name)?;
    }
    created.sort();
    let (exchange, listed) = names(&mut session)?;
    match listed == created {
        true => Ok(()),
        false => Err(exchange.wrong(created.join(", "))),
    }
}

fn remove(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let (kept, removed) = (harness.name(), format!("{}-gone", harness.name()));
    create(&mut session, &kept)?;
    create(&mut session, &removed)?;
    remove_volume(&mut session, &removed)?;
    not_found(&mut session, &removed)?;
    let (exchange, listed) = names(&mut session)?;
    match listed == [kept.as_str()] {
        true => Ok(()),
        false => Err(exchange.wrong(format!("{kept}, and nothing else"))),
    }
}

fn create_anew(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    remove_volume(&mut session, &name)?;
    let call = Call::create(&name, json!({ "mode": "0700" }));
    session.call(&call).success("200 and {}: the name may be used again")?;
    found(&mut session, &name).map(|_| ())
}

fn case(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let upper = name.to_uppercase();
    create(&mut session, &name)?;
    not_found(&mut session, &upper)?;
    create(&mut session, &upper)?;
    found(&mut session, &name)?;
    found(&mut session, &upper).map(|_| ())
}

fn path(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    let exchange = session.call(&Call::path(&name));
    let expected = "200 and a \"Mountpoint\", which may still be empty";
    let value = exchange.success(expected)?;
    match field(&value, "Mountpoint") {
        Some(Value::String(_)) => Ok(()),
        _ => Err(exchange.wrong(expected)),
    }
}
