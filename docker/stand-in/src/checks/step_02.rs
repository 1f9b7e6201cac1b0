//! Step 2: typed calls, JSON in, JSON out, and errors that Docker can show.

use serde_json::{Value, json};

use super::Check;
use super::step_01::{TAME, is_tame, log_is_tame};
use crate::daemon::{Call, Dialect, field};
use crate::finding::{Fault, Outcome};
use crate::harness::{Exchange, Harness, Session};

pub const CHECKS: &[Check] = &[
    Check {
        id: "2.create",
        step: 2,
        name: "`docker volume create` is answered",
        why: "Docker accepts any answer to Capabilities and Get, and needs \
              this one",
        file: "src/protocol.rs",
        place: "TODO 2.1",
        source: "vol-create-inspect-ls-rm 1",
        run: create,
    },
    Check {
        id: "2.options",
        step: 2,
        name: "Create is accepted with options, without options, and with an \
               unknown field",
        why: "an older CLI sends {} where a newer one sends null, and a later \
              Docker may add a field",
        file: "src/protocol.rs",
        place: "TODO 2.2",
        source: "vol-create-inspect-ls-rm 1-2; cli-20.10-errors 1",
        run: options,
    },
    Check {
        id: "2.empty-body",
        step: 2,
        name: "an empty body is refused",
        why: "after a dropped connection, Docker's retry has an empty body; a \
              default name would create a volume that the user did not ask for",
        file: "src/protocol.rs",
        place: "TODO 2.2",
        source: "vol-errors-drop 1-3",
        run: empty_body,
    },
    Check {
        id: "2.no-json",
        step: 2,
        name: "a body that is not JSON of the right shape is refused",
        why: "if the plugin guesses the meaning, Docker reports the guess as \
              done",
        file: "src/protocol.rs",
        place: "TODO 2.2",
        source: "vol-errors-drop 1",
        run: no_json,
    },
    Check {
        id: "2.no-name",
        step: 2,
        name: "a call without a volume's name is refused",
        why: "the volume would have an empty name, and no command could remove \
              it",
        file: "src/protocol.rs",
        place: "TODO 2.2",
        source: "vol-errors-drop 1",
        run: no_name,
    },
    Check {
        id: "2.no-such-volume",
        step: 2,
        name: "a volume that was never created is not found",
        why: "if Get succeeds, Docker believes that the volume exists, and \
              never sends Create",
        file: "src/protocol.rs",
        place: "TODO 2.3",
        source: "vol-errors-get 2-11, 24; vol-errors-mount 4",
        run: no_such_volume,
    },
    Check {
        id: "2.failures",
        step: 2,
        name: "every failure is JSON with a text in \"Err\"",
        why: "the user needs a text that says what is wrong: Docker shows any \
              other body as it is, the words of a panic for example, and \
              Podman shows an error of its JSON reader instead",
        file: "src/protocol.rs",
        place: "TODO 2.2, TODO 2.3",
        source: "our rule; podman 4.3.1, 5.4.2, 5.8.6: \
                 libpod/plugin/volume_api.go, handleErrorResponse",
        run: failures,
    },
    Check {
        id: "2.paths",
        step: 2,
        name: "every call of a volume driver gets an answer of its own",
        why: "without Mount, no container starts; without Capabilities, Docker \
              asks again before each Create and Get; a Get that is taken for a \
              Create makes a volume of each question",
        file: "src/protocol.rs",
        place: "TODO 2.1",
        source: "vol-create-inspect-ls-rm 1-11; vol-run-named 1-3; \
                 activate-errors 18, 23-24",
        run: paths,
    },
    Check {
        id: "2.error-text",
        step: 2,
        name: "an error names its volume, whatever characters the name holds",
        why: "the user sees this text and nothing else; JSON that is put \
              together by hand breaks at the first quotation mark, and Podman \
              then shows no text at all",
        file: "src/protocol.rs",
        place: "TODO 2.3",
        source: "vol-errors-mount 2; vol-errors-names 1-4",
        run: error_text,
    },
    Check {
        id: "2.refused",
        step: 2,
        name: "a refused call has a status other than 200",
        why: "Podman takes every 200 for a success, whatever \"Err\" says: it \
              would record a volume that does not exist, and forget one that \
              does",
        file: "src/protocol.rs",
        place: "TODO 2.3",
        source: "podman 4.3.1, 5.4.2, 5.8.6: libpod/plugin/volume_api.go, \
                 handleErrorResponse",
        run: refused_status,
    },
    Check {
        id: "2.get-status",
        step: 2,
        name: "a Get that finds no volume has status 200",
        why: "Podman sends Get for each volume that it lists; with another \
              status, `podman volume ls` fails and lists nothing",
        file: "src/protocol.rs",
        place: "TODO 2.3",
        source: "podman 4.3.1, 5.4.2, 5.8.6: libpod/plugin/volume_api.go, \
                 GetVolume",
        run: get_status,
    },
    Check {
        id: "2.tame-errors",
        step: 2,
        name: "an error is one short line, whatever name was sent",
        why: "Docker does not check names, and a terminal executes the control \
              characters that it receives",
        file: "src/protocol.rs",
        place: "`fmt`",
        source: "vol-errors-names; ECMA-48 for what a terminal obeys",
        run: tame_errors,
    },
    Check {
        id: "2.list",
        step: 2,
        name: "List is answered with a list",
        why: "Docker reports no error if this fails: the volumes are only \
              missing from `docker volume ls`; a malformed List can end \
              dockerd (20.10 to 28.5), so send objects only",
        file: "src/protocol.rs",
        place: "TODO 2.1",
        source: "vol-errors-remove-list 11-16",
        run: list,
    },
];

/// Docker's call about one volume. Mount and Unmount also have an ID.
pub(super) fn about(method: &'static str, name: &str) -> Call {
    match method {
        "VolumeDriver.Mount" | "VolumeDriver.Unmount" => {
            let id = "93de".repeat(16);
            Call::new(method, &[("Name", json!(name)), ("ID", json!(id))])
        }
        _ => Call::new(method, &[("Name", json!(name))]),
    }
}

/// A started plugin, after the calls that dockerd makes before the first
/// Create.
pub(super) fn activated(harness: &mut Harness) -> Result<Session, Fault> {
    let mut session = harness.start()?;
    session
        .call(&Call::bare("Plugin.Activate"))
        .success("the handshake of step 1")?;
    // If Capabilities fails, dockerd assumes `local`. Podman does not ask.
    if harness.dialect != Dialect::Podman {
        session.call(&Call::new("VolumeDriver.Capabilities", &[]));
    }
    Ok(session)
}

fn create(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    session.call(&Call::get(&name));
    session
        .call(&Call::create(&name, Value::Null))
        .success("200 and {}, or an empty \"Err\"")?;
    Ok(())
}

fn options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    session
        .call(&Call::create(&harness.name(), json!({})))
        .success("200 and {}, or an empty \"Err\"")?;
    // Options are taught in a later step, so the plugin may already refuse
    // them.
    let call = Call::create(&harness.name(), json!({ "mode": "0755" }));
    session.call(&call).answer("an answer")?;
    let fields = [
        ("Name", json!(harness.name())),
        ("Opts", json!({})),
        ("FieldOfALaterDocker", json!(1)),
    ];
    session
        .call(&Call::new("VolumeDriver.Create", &fields))
        .success("200 and {}: an unknown field is ignored")?;
    Ok(())
}

fn refused(harness: &mut Harness, bodies: &[&str]) -> Outcome {
    let mut session = activated(harness)?;
    for body in bodies {
        let body = (*body).to_owned();
        let call = Call { method: "VolumeDriver.Create", body };
        session.call(&call).failure("a non-empty \"Err\"")?;
    }
    Ok(())
}

fn empty_body(harness: &mut Harness) -> Outcome {
    refused(harness, &[""])
}

fn no_json(harness: &mut Harness) -> Outcome {
    refused(
        harness,
        &["hello", r#"{"Name":"#, r#""hello""#, "null", r#"{"Name":5}"#],
    )
}

fn no_name(harness: &mut Harness) -> Outcome {
    refused(harness, &["{}", r#"{"Opts":{"size":"10m"}}"#, r#"{"Name":null}"#])
}

/// Get must not find this volume.
///
/// # Errors
/// The plugin is wrong if it does.
pub(super) fn not_found(session: &mut Session, name: &str) -> Outcome {
    let exchange = session.call(&Call::get(name));
    let expected = "an \"Err\", or at least no \"Volume\"";
    let answer = exchange.answer(expected)?.judge();
    // Docker takes every failure for `no such volume`, and {} as well.
    let found = answer.is_ok_and(|value| {
        field(&value, "Volume").is_some_and(|volume| !volume.is_null())
    });
    match found {
        false => Ok(()),
        true => Err(exchange.wrong(expected)),
    }
}

fn no_such_volume(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    not_found(&mut session, &name)?;
    // If Mount succeeds without a Mountpoint, Docker mounts a folder of the
    // container's own.
    session
        .call(&about("VolumeDriver.Mount", &name))
        .failure("a non-empty \"Err\"")?;
    Ok(())
}

/// A volume driver's calls about the volume `name`. dockerd never sends Path, and
/// Podman never sends Capabilities.
fn all_calls(dialect: Dialect, name: &str) -> Vec<Call> {
    let mut calls = vec![
        Call::get(name),
        Call::create(name, Value::Null),
        Call::list(),
        Call::path(name),
        about("VolumeDriver.Mount", name),
        about("VolumeDriver.Unmount", name),
        Call::remove(name),
    ];
    if dialect != Dialect::Podman {
        calls.push(Call::new("VolumeDriver.Capabilities", &[]));
    }
    calls
}

/// A call that no plugin knows.
fn unknown_call(name: &str) -> Call {
    Call::new("VolumeDriver.NoSuchCall", &[("Name", json!(name))])
}

/// The text of a failure, if the body is JSON with a text in `Err`.
fn words(exchange: &Exchange) -> Result<Option<String>, Fault> {
    let body = &exchange.answer("an answer")?.body;
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = field(&body, "Err").and_then(Value::as_str);
    Ok(text.filter(|text| !text.trim().is_empty()).map(str::to_owned))
}

fn failures(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let create = |body: &str| Call {
        method: "VolumeDriver.Create",
        body: body.to_owned(),
    };
    let calls = [
        create(""),
        create("hello"),
        create("{}"),
        Call::create(&format!("{name}/{name}"), Value::Null),
        Call::get(&name),
        Call::path(&name),
        about("VolumeDriver.Mount", &name),
        about("VolumeDriver.Unmount", &name),
        Call::remove(&name),
        unknown_call(&name),
    ];
    for call in calls {
        let exchange = session.call(&call);
        let expected = "JSON with a text in \"Err\"";
        // Whether such a call may succeed is the subject of other checks.
        let is_failure = exchange.answer(expected)?.judge().is_err();
        if is_failure && words(&exchange)?.is_none() {
            return Err(exchange.wrong_failure(expected));
        }
    }
    Ok(())
}

/// A call is unknown if it gets the answer of a call that does not exist.
fn paths(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let expected = "another answer than that to a call that does not exist";
    // The answer without the name of the call, which it may repeat.
    let answer = |session: &mut Session, call: &Call| {
        let exchange = session.call(call);
        let reply = exchange.answer(expected)?;
        let (status, failed) = (reply.status, reply.judge().is_err());
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let short = call.method.replace("VolumeDriver.", "");
        Ok::<_, Fault>((exchange, failed, (status, text.replace(&short, ""))))
    };
    let (_, _, unknown) = answer(&mut session, &unknown_call(&name))?;
    for call in all_calls(harness.dialect, &name) {
        let (exchange, failed, known) = answer(&mut session, &call)?;
        if failed && known == unknown {
            return Err(exchange.wrong(expected));
        }
        // The answer of a Create has no other field, `{}` for example.
        if call.method == "VolumeDriver.Get" && !failed {
            let expected = "the answer of a Get: a \"Volume\", or an \"Err\"";
            let value = exchange.success(expected)?;
            let has_more = value.as_object().is_some_and(|fields| {
                fields.keys().any(|key| !key.eq_ignore_ascii_case("Err"))
            });
            if !has_more {
                return Err(exchange.wrong(expected));
            }
        }
    }
    Ok(())
}

fn error_text(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for name in [harness.name(), format!("{}\"<ü>\\", harness.name())] {
        let exchange = session.call(&about("VolumeDriver.Mount", &name));
        let expected = "JSON whose \"Err\" names the volume";
        exchange.failure(expected)?;
        // Docker shows a body that is not JSON unchanged. Podman does not.
        if !words(&exchange)?.is_some_and(|text| text.contains(&name)) {
            return Err(exchange.wrong_failure(expected));
        }
    }
    Ok(())
}

/// Docker takes any status with an `Err` for a refusal. Podman does not.
fn refused_status(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let calls = [
        Call::create(&format!("{name}/{name}"), Value::Null),
        Call::remove(&name),
        Call::path(&name),
        about("VolumeDriver.Mount", &name),
        about("VolumeDriver.Unmount", &name),
    ];
    for call in calls {
        let exchange = session.call(&call);
        let expected = "a success, or a status other than 200";
        let reply = exchange.answer(expected)?;
        if reply.status == 200 && reply.judge().is_err() {
            return Err(exchange.wrong(expected));
        }
    }
    Ok(())
}

fn get_status(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let exchange = session.call(&Call::get(&harness.name()));
    let expected = "200 and an \"Err\"";
    match exchange.answer(expected)?.status {
        200 => Ok(()),
        _ => Err(exchange.wrong(expected)),
    }
}

fn tame_errors(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    let long = name.repeat(10_000);
    let tricky = format!("{name}\u{1b}[2J\r\nworkshop: done\u{202e}");
    for name in [long, tricky] {
        let exchange = session.call(&Call::get(&name));
        // Whether such a Get fails is the subject of another check.
        let Err(said) = exchange.answer(TAME)?.judge() else { continue };
        if !is_tame(&said) {
            harness.forget_log();
            return Err(exchange.wrong(TAME));
        }
    }
    log_is_tame(harness, "POST /VolumeDriver.Get of a long name")
}

fn list(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let exchange = session.call(&Call::list());
    let expected = "200 and a list \"Volumes\" of objects, or no list";
    let value = exchange.success(expected)?;
    let well_formed = match field(&value, "Volumes") {
        // Docker reads both as an empty list.
        None | Some(Value::Null) => true,
        Some(Value::Array(volumes)) => volumes.iter().all(Value::is_object),
        Some(_) => false,
    };
    match well_formed {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}
