//! Step 5: options, names, and what inspect shows.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Check;
use super::step_02::{activated, not_found};
use super::step_03::{create, found, remove_volume};
use super::step_04::{mount, path_in, unmount};
use crate::daemon::{Call, field};
use crate::finding::{Fault, Outcome};
use crate::harness::{Exchange, Harness, Session};
use crate::wait::wait_until;

pub const CHECKS: &[Check] = &[
    Check {
        id: "5.bad-names",
        step: 5,
        name: "a name that breaks the rule is refused",
        why: "Docker leaves the rule for names to the plugin, and a blank, a \
              dash in front or an invisible character breaks scripts",
        file: "src/volumes.rs",
        place: "TODO 5.1",
        source: "vol-errors-names 1-4; moby volume/local/local.go",
        run: bad_names,
    },
    Check {
        id: "5.good-names",
        step: 5,
        name: "a name that keeps to the rule is accepted",
        why: "these names work with Docker's own driver, so users expect them \
              here; Docker names anonymous volumes with 64 digits",
        file: "src/volumes.rs",
        place: "TODO 5.1",
        source: "vol-create-inspect-ls-rm 13; moby volume/local/local.go",
        run: good_names,
    },
    Check {
        id: "5.options",
        step: 5,
        name: "type, mode and keep are accepted",
        why: "these are the options of this driver",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; vol-create-inspect-ls-rm 4",
        run: options,
    },
    Check {
        id: "5.unknown-option",
        step: 5,
        name: "a misspelled option is refused, and the error suggests the \
               right one",
        why: "if Create succeeds, the option is lost, and the user does not \
              notice until data is at stake",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; Docker shows the Err of a Create",
        run: unknown_option,
    },
    Check {
        id: "5.unknown-value",
        step: 5,
        name: "an invalid value is refused, and the error names its option",
        why: "if keep=yes counts as false, files that were to be kept are lost",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; vol-errors-create 23 for an empty value",
        run: unknown_value,
    },
    Check {
        id: "5.suggested-value",
        step: 5,
        name: "the error for an invalid value suggests a valid one",
        why: "the user has only this text: if it suggests an option's name, or \
              a value of another option, the next attempt fails as well",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; Docker shows the Err of a Create",
        run: suggested_value,
    },
    Check {
        id: "5.bad-mode",
        step: 5,
        name: "a mode that is not octal is refused",
        why: "a guessed mode would open a directory to others, or lock every \
              user out",
        file: "src/options.rs",
        place: "`mode`",
        source: "our rule; Docker shows the Err of a Create",
        run: bad_mode,
    },
    Check {
        id: "5.owner-mode",
        step: 5,
        name: "a mode that locks the owner out is refused",
        why: "YAML reads 0777 without quotes as 511, and Compose sends 511: \
              with that mode, only root can write into the directory",
        file: "src/options.rs",
        place: "`validate`",
        source: "Compose 1.29, 2.26 and 2.40: 0777 arrives as \"511\"",
        run: owner_mode,
    },
    Check {
        id: "5.short-errors",
        step: 5,
        name: "an error is one short line, whatever options were sent",
        why: "errors go to terminals and into logs: 100 kB hide the reason, \
              and control characters can forge lines",
        file: "src/text.rs",
        place: "`excerpt`",
        source: "plugin-huge 3-4: Docker sends and shows any length",
        run: short_errors,
    },
    Check {
        id: "5.logged",
        step: 5,
        name: "the log has each refusal and its reason",
        why: "a script or Compose may hide what Docker shows: later, only the \
              plugin's log can tell why a volume is missing",
        file: "src/server.rs",
        place: "`handle`",
        source: "our rule: a refusal is a warning in the log",
        run: logged,
    },
    Check {
        id: "5.mode",
        step: 5,
        name: "the directory has the requested mode",
        why: "containers do not always run as root: without the right bits \
              they cannot read or write, or others can",
        file: "src/volumes.rs",
        place: "TODO 5.3",
        source: "our rule: mode is the mode of the directory",
        run: mode,
    },
    Check {
        id: "5.same-options",
        step: 5,
        name: "options that mean the same are equal",
        why: "mode=755 and mode=0755 are the same request, and a retry must \
              not fail",
        file: "src/options.rs",
        place: "`canonical`",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: same_options,
    },
    Check {
        id: "5.status",
        step: 5,
        name: "Get has a Status with the volume's options",
        why: "`docker volume inspect` shows the Status, so it includes \
              defaults; a Status that is not an object makes the volume \
              disappear",
        file: "src/volumes.rs",
        place: "`volume`",
        source: "vol-errors-get 17, 18",
        run: status,
    },
    Check {
        id: "5.status-now",
        step: 5,
        name: "Status shows the mode and the owner that the directory has now",
        why: "Docker's copy-up gives the directory the mode and owner of the \
              image's directory: with the requested mode in Status, a user \
              looks for the fault in the wrong place",
        file: "src/options.rs",
        place: "`status`",
        source: "vol-copy-up 1, 4, 5",
        run: status_now,
    },
    Check {
        id: "5.created-at",
        step: 5,
        name: "CreatedAt is the time of Create, in RFC 3339",
        why: "with any other format, Docker reports no such volume, and \
              forgets the volume's labels",
        file: "src/clock.rs",
        place: "`rfc3339`",
        source: "vol-errors-get 12, 14, 15, 17",
        run: created_at,
    },
    Check {
        id: "5.keep",
        step: 5,
        name: "Remove keeps the files of a volume with keep=true",
        why: "keep=true promises that, and the files exist only once",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "our rule: Docker does not ask what Remove removed",
        run: keep,
    },
    Check {
        id: "5.keep-forgets",
        step: 5,
        name: "Remove forgets a volume with keep=true as well",
        why: "Docker was told that the volume is gone: the next `docker volume \
              ls` would show it again",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "vol-errors-remove-list 11-16",
        run: keep_forgets,
    },
    Check {
        id: "5.keep-logged",
        step: 5,
        name: "the log says where the kept files are",
        why: "Docker shows the volume's name only: without this line, the \
              owner of the files cannot find them",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "our rule: keep=true keeps the files, and says where",
        run: keep_logged,
    },
];

pub(super) const DONE: &str = "200 and {}, or an empty \"Err\"";

pub(super) fn create_with(
    session: &mut Session,
    name: &str,
    options: Value,
) -> Exchange {
    session.call(&Call::create(name, options))
}

/// The call failed, and its text contains all of `words`.
pub(super) fn refused(exchange: &Exchange, words: &[&str]) -> Outcome {
    let expected = match words {
        [] => "an \"Err\"".to_owned(),
        _ => format!("an \"Err\" that contains {}", words.join(" and ")),
    };
    let said = exchange.failure(&expected)?;
    match words.iter().all(|word| said.contains(word)) {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn bad_names(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // No name leads out of ROOT, even if the plugin accepts it.
    for pattern in
        ["N N", "-N", ".N", "_N", "ü-N", "N\u{202e}", "N\n", "N:ro", "n"]
    {
        let name = pattern.replace('N', &harness.name());
        let exchange = create_with(&mut session, &name, Value::Null);
        exchange.failure(
            "an \"Err\": a name is ^[a-zA-Z0-9][a-zA-Z0-9_.-]+$, of 255 bytes \
             at most",
        )?;
        not_found(&mut session, &name)?;
    }
    Ok(())
}

fn good_names(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let start = harness.name();
    let longest = start.clone() + &"n".repeat(255 - start.len());
    let names = [
        "A9".to_owned(),
        format!("0_{start}."),
        format!("{start}--__.."),
        "93de".repeat(16),
        longest,
    ];
    for name in names {
        let exchange = create_with(&mut session, &name, Value::Null);
        exchange.success(format!("{DONE}: the rule allows this name"))?;
        found(&mut session, &name)?;
    }
    Ok(())
}

fn options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for options in [
        json!({ "type": "dir" }),
        json!({ "keep": "false" }),
        json!({ "keep": "true" }),
        json!({ "mode": "0750" }),
        json!({ "keep": "true", "mode": "711", "type": "dir" }),
    ] {
        let name = harness.name();
        create_with(&mut session, &name, options).success(DONE)?;
        found(&mut session, &name)?;
        remove_volume(&mut session, &name)?;
    }
    Ok(())
}

fn unknown_option(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for (typed, meant) in
        [("mdoe", "mode"), ("tpye", "type"), ("kee", "keep"), ("modes", "mode")]
    {
        let name = harness.name();
        let mut options = Map::new();
        options.insert(typed.to_owned(), json!(""));
        let exchange = create_with(&mut session, &name, options.into());
        let expected =
            format!("an \"Err\" that names {typed} and suggests {meant}");
        let said = exchange.failure(&expected)?;
        // The typed word may contain the right one, so it is left out.
        let rest = said.replacen(typed, "", 1);
        if rest == said || !rest.contains(meant) {
            return Err(exchange.wrong(expected));
        }
        not_found(&mut session, &name)?;
    }
    // No known option is close to this word. A valid option beside it changes
    // nothing.
    let word = harness.name();
    let options = json!({ "mode": "0750", word.as_str(): "1" });
    let exchange = create_with(&mut session, &harness.name(), options);
    refused(&exchange, &[&word])
}

fn unknown_value(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let other = harness.name();
    for (key, value) in [
        ("keep", "yes"),
        ("keep", ""),
        ("keep", "TRUE"),
        ("keep", "0"),
        ("type", ""),
        ("type", "dri"),
        ("type", &other),
    ] {
        let name = harness.name();
        let options = json!({ key: value });
        refused(&create_with(&mut session, &name, options), &[key])?;
        not_found(&mut session, &name)?;
    }
    Ok(())
}

fn suggested_value(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let other = harness.name();
    // Later steps have more types.
    for (key, value, valid) in [
        ("type", "dri", &["dir"][..]),
        ("type", "mode", &["dir"]),
        ("type", &other, &["dir"]),
        ("keep", "yes", &["true", "false"]),
        ("keep", "treu", &["true"]),
    ] {
        let options = json!({ key: value });
        let exchange = create_with(&mut session, &harness.name(), options);
        if exchange.success("").is_ok() {
            // Another check covers a value that is accepted.
            continue;
        }
        let expected =
            format!("an \"Err\" that suggests {}", valid.join(" or "));
        let said = exchange.failure(&expected)?;
        if !valid.iter().any(|valid| said.contains(valid)) {
            return Err(exchange.wrong(expected));
        }
    }
    Ok(())
}

fn bad_mode(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // Whatever mode a plugin derives from these values, the directory can be
    // removed again.
    for value in
        ["rwxr-x---", "", "0o755", "-1", "+755", "999", "99999", "17777"]
    {
        let name = harness.name();
        let options = json!({ "mode": value });
        refused(&create_with(&mut session, &name, options), &["mode"])?;
        not_found(&mut session, &name)?;
    }
    Ok(())
}

fn owner_mode(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // 0777, 0770, 01777 and 0700 as Compose sends them, and a few more.
    for value in ["511", "504", "1023", "448", "0", "0577", "677"] {
        let name = harness.name();
        let options = json!({ "mode": value });
        let exchange = create_with(&mut session, &name, options);
        refused(&exchange, &["mode", "quotes"])?;
        not_found(&mut session, &name)?;
    }
    Ok(())
}

fn short_errors(harness: &mut Harness) -> Outcome {
    const MOST: usize = 500;
    let mut session = activated(harness)?;
    let long = "long".repeat(25_000);
    let many: Map<_, _> = (0..10_000)
        .map(|count| (format!("option-{count}"), json!("")))
        .collect();
    let name = harness.name();
    for options in [
        json!({ "mode": long }),
        json!({ "type": long }),
        json!({ long.as_str(): "" }),
        many.into(),
        json!({ "keep": "\u{1b}[2J\r\nworkshop: done\u{202e}" }),
        json!({ "\u{1b}[2J\r\n": "" }),
    ] {
        let exchange = create_with(&mut session, &name, options);
        let expected = format!(
            "an \"Err\" of one line, {MOST} bytes at most, without control \
             characters"
        );
        let said = exchange.failure(&expected)?;
        let hidden = |c: char| c.is_control() || c == '\u{202e}';
        if said.len() > MOST || said.contains(hidden) {
            return Err(exchange.wrong(expected));
        }
    }
    Ok(())
}

/// Whether the log has such a line, sooner or later: a plugin may log after it has
/// answered.
fn logs(harness: &Harness, is_wanted: impl Fn(&str) -> bool) -> bool {
    let logged = wait_until(Duration::from_secs(2), || {
        let lines = harness.log().last_lines(usize::MAX);
        lines.iter().any(|line| is_wanted(line)).then_some(())
    });
    logged.is_some()
}

/// Whether a line of the log has the name of a volume and the path of a folder
/// that holds `file`. That is a path relative to ROOT.
pub(super) fn log_leads_to(harness: &Harness, name: &str, file: &Path) -> bool {
    let folders = file.ancestors().skip(1);
    let folders: Vec<_> = folders
        .filter(|folder| *folder != Path::new(""))
        .map(|folder| format!("/{}", folder.display()))
        .collect();
    logs(harness, |line| {
        line.contains(name)
            && folders.iter().any(|folder| line.contains(folder))
    })
}

fn logged(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let word = harness.name();
    let options = json!({ word.as_str(): "1" });
    let exchange = create_with(&mut session, &harness.name(), options);
    refused(&exchange, &[&word])?;
    match logs(harness, |line| line.contains(&word)) {
        true => Ok(()),
        false => Err(exchange
            .wrong(format!("an \"Err\", and {word} in the log of the plugin"))),
    }
}

fn mode(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // An earlier volume of that name may have left the directory, with its mode.
    let kept = harness.name();
    let options = json!({ "mode": "0711", "keep": "true" });
    create_with(&mut session, &kept, options).success(DONE)?;
    remove_volume(&mut session, &kept)?;
    // Another check covers a plugin that still has the volume.
    let is_there = session.call(&Call::get(&kept)).success("").is_ok();
    let again = if is_there { harness.name() } else { kept };
    // All modes have the owner's bits, so that everything can be removed.
    for (mode, name) in [
        (0o700, harness.name()),
        (0o777, harness.name()),
        (0o1770, harness.name()),
        (0o770, again),
    ] {
        let options = json!({ "mode": format!("{mode:o}") });
        let exchange = create_with(&mut session, &name, options);
        exchange.success(DONE)?;
        let directory = mount(&mut session, &name, "93de")?;
        let (_, _, actual) = directory.owner_and_mode()?;
        if actual != mode {
            let hint = match actual & !mode {
                0 => " (the umask removes bits when a directory is created)",
                _ => "",
            };
            return Err(exchange.wrong(format!(
                "a directory of mode {mode:04o}; this one has {actual:04o}{hint}"
            )));
        }
        unmount(&mut session, &name, "93de")?;
        remove_volume(&mut session, &name)?;
    }
    Ok(())
}

fn same_options(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create_with(&mut session, &name, json!({ "mode": "750" })).success(DONE)?;
    for options in [
        json!({ "mode": "0750" }),
        json!({ "mode": "00750", "type": "dir" }),
        json!({ "mode": "0000750" }),
    ] {
        let exchange = create_with(&mut session, &name, options);
        exchange.success("200 and {}: these options mean the same")?;
    }
    let options = json!({ "mode": "0750", "keep": "true" });
    refused(&create_with(&mut session, &name, options), &["keep"])
}

fn status(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    for options in [Value::Null, json!({ "mode": "0711" })] {
        let name = harness.name();
        create_with(&mut session, &name, options).success(DONE)?;
        let (exchange, volume) = found(&mut session, &name)?;
        let status = field(&volume, "Status").and_then(Value::as_object);
        let has = |key: &str| {
            status.is_some_and(|status| status.keys().any(|known| known == key))
        };
        if !["type", "mode", "keep"].into_iter().all(has) {
            return Err(exchange.wrong(
                "a \"Status\" that is an object with type, mode and keep",
            ));
        }
    }
    Ok(())
}

fn status_now(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create_with(&mut session, &name, json!({ "mode": "0711" }))
        .success(DONE)?;
    for mode in [0o711, 0o1750] {
        // The second mode stands for one that copy-up has set.
        let directory = mount(&mut session, &name, "93de")?;
        directory.set_mode(mode)?;
        let (exchange, volume) = found(&mut session, &name)?;
        if let Some(wrong) = misses(&volume, directory.owner_and_mode()?) {
            return Err(exchange.wrong(format!(
                "a \"Status\" with the current mode, uid and gid of the \
                 directory: its {wrong}"
            )));
        }
        unmount(&mut session, &name, "93de")?;
        session.say_before("after a chmod of the directory");
    }
    // A second Create is compared with the requested options.
    create_with(&mut session, &name, json!({ "mode": "0711" }))
        .success("200 and {}: the volume was created with these options")
        .map(|_| ())
}

/// The first of mode, uid and gid in which the Status of a volume differs from
/// its directory.
pub(super) fn misses(
    volume: &Value,
    (uid, gid, mode): (u32, u32, u32),
) -> Option<String> {
    let status = field(volume, "Status");
    let number = |key: &str, radix: u32| {
        let value = status.and_then(|status| field(status, key))?;
        match value {
            Value::String(text) => u32::from_str_radix(text, radix).ok(),
            _ => value.as_u64().and_then(|number| u32::try_from(number).ok()),
        }
    };
    if number("mode", 8) != Some(mode) {
        return Some(format!("mode is {mode:04o}"));
    }
    let owner = [("uid", uid), ("gid", gid)];
    let mut owner = owner.into_iter();
    let wrong = owner.find(|(key, id)| number(key, 10) != Some(*id));
    wrong.map(|(key, _)| format!("{key} is different"))
}

fn created_at(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    let (exchange, volume) = found(&mut session, &name)?;
    let expected = "a \"CreatedAt\" within the last minute, such as \
                    2026-11-24T17:34:02Z";
    let text = field(&volume, "CreatedAt").and_then(Value::as_str);
    let created = text.and_then(seconds_of);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    match created {
        Some(created) if created.abs_diff(now.cast_signed()) < 60 => Ok(()),
        _ => Err(exchange.wrong(expected)),
    }
}

/// The seconds since 1970 of a time in RFC 3339, as Go reads it.
fn seconds_of(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let at = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.is_empty() || !digits(fraction) {
        return None;
    }
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let offset = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, zone) => {
            let [hours, minutes] = numbers(zone, ':', [2, 2])?;
            let offset = 60 * hours + minutes;
            if sign == "-" { -offset } else { offset }
        }
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counted from March to February, a leap day is the last day of its year.
    let years = if month <= 2 { year - 1 } else { year };
    let leaps = years / 4 - years / 100 + years / 400;
    let months = (153 * ((month + 9) % 12) + 2) / 5;
    let days = 365 * years + leaps + months + day - 719_469;
    Some(86_400 * days + 3600 * hour + 60 * (minute - offset) + second)
}

/// The numbers in `text`, which must have exactly this many digits each.
fn numbers<const N: usize>(
    text: &str,
    between: char,
    digits: [usize; N],
) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let plain = part.bytes().all(|byte| byte.is_ascii_digit());
        *number =
            part.parse().ok().filter(|_| plain && part.len() == digits)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A new volume with keep=true, with one file in its directory.
pub(super) fn kept(harness: &mut Harness) -> Result<(Session, String), Fault> {
    let mut session = activated(harness)?;
    let name = harness.name();
    let options = json!({ "keep": "true" });
    create_with(&mut session, &name, options).success(DONE)?;
    let (exchange, volume) = found(&mut session, &name)?;
    path_in(&exchange, &volume)?.write("file", &name)?;
    Ok((session, name))
}

fn keep(harness: &mut Harness) -> Outcome {
    let (mut session, name) = kept(harness)?;
    let exchange = session.call(&Call::remove(&name));
    exchange.success(DONE)?;
    // A later step moves the file, so its place is not compared.
    match holds(&session, &name)? {
        true => Ok(()),
        false => Err(exchange.wrong("the volume's file is still under ROOT")),
    }
}

/// Whether a file under ROOT has this text.
pub(super) fn holds(session: &Session, text: &str) -> Result<bool, Fault> {
    let root = session.root().open()?;
    let mut files = root.files()?.into_iter();
    Ok(files.any(|file| root.read(file).as_deref() == Some(text)))
}

fn keep_forgets(harness: &mut Harness) -> Outcome {
    let (mut session, name) = kept(harness)?;
    remove_volume(&mut session, &name)?;
    not_found(&mut session, &name)?;
    // With different options: the plugin must not remember the old ones.
    create_with(&mut session, &name, json!({ "mode": "0700" }))
        .success("200 and {}: the name may be used again")
        .map(|_| ())
}

fn keep_logged(harness: &mut Harness) -> Outcome {
    let (mut session, name) = kept(harness)?;
    let exchange = session.call(&Call::remove(&name));
    exchange.success(DONE)?;
    let root = session.root().open()?;
    let mut files = root.files()?.into_iter();
    let file = files.find(|file| root.read(file).as_ref() == Some(&name));
    // Another check covers a plugin that keeps no files.
    match file.is_none_or(|file| log_leads_to(harness, &name, &file)) {
        true => Ok(()),
        false => Err(exchange.wrong(format!(
            "200 and {{}}, and in the log {name} and the folder of its files"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2026-12-31T23:59:59Z", Some(1_798_761_599)),
            ("2000-02-29T02:00:00.123456+02:00", Some(951_782_400)),
            ("2000-02-28T21:30:00-02:30", Some(951_782_400)),
            ("2000-02-29 00:00:00Z", None),
            ("2000-02-29T00:00:00", None),
            ("2000-2-29T00:00:00Z", None),
            ("2000-02-29T00:00:00.Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds_of(text), seconds, "{text}");
        }
    }
}
