//! Step 5: options, names, and what inspect shows.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Check;
use super::step_02::{about, activated, create_call, not_found};
use super::step_03::{create, found, remove_it};
use super::step_04::{mount, path_in, unmount};
use crate::daemon::field;
use crate::finding::{Fault, Outcome};
use crate::harness::{Exchange, Harness, Session};

pub const CHECKS: &[Check] = &[
    Check {
        id: "5.bad-names",
        step: 5,
        name: "a name that breaks the rule is refused",
        why: "Docker leaves names to you, and every script that meets a blank, a \
              dash in front or an unseen mark stumbles",
        file: "src/volumes.rs",
        place: "TODO 5.1",
        source: "vol-errors-names 1-4; moby volume/local/local.go",
        run: bad_names,
    },
    Check {
        id: "5.good-names",
        step: 5,
        name: "a name that keeps to the rule is taken",
        why: "it works with Docker's own driver, so people expect it here; \
              Docker's names for nameless volumes have 64 digits",
        file: "src/volumes.rs",
        place: "TODO 5.1",
        source: "vol-create-inspect-ls-rm 13; moby volume/local/local.go",
        run: good_names,
    },
    Check {
        id: "5.options",
        step: 5,
        name: "type, mode and keep are taken",
        why: "they are the options that this driver has",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; vol-create-inspect-ls-rm 4",
        run: options,
    },
    Check {
        id: "5.unknown-option",
        step: 5,
        name: "a misspelled option is refused, and the right one named",
        why: "a success would drop it, and nobody finds out before the data \
              is at stake",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; Docker shows the Err of a Create",
        run: unknown_option,
    },
    Check {
        id: "5.unknown-value",
        step: 5,
        name: "a value that means nothing is refused, and its option named",
        why: "keep=yes taken for false loses the files that were to be kept",
        file: "src/options.rs",
        place: "TODO 5.2",
        source: "our rule; vol-errors-create 23 for an empty value",
        run: unknown_value,
    },
    Check {
        id: "5.bad-mode",
        step: 5,
        name: "a mode that is not octal is refused",
        why: "a guess would open a directory to others, or shut out everybody",
        file: "src/options.rs",
        place: "`mode`",
        source: "our rule; Docker shows the Err of a Create",
        run: bad_mode,
    },
    Check {
        id: "5.owner-mode",
        step: 5,
        name: "a mode that shuts the owner out is refused",
        why: "YAML reads 0777 without quotes as 511, and Compose sends that: as \
              a mode it is a directory in which nobody can write",
        file: "src/options.rs",
        place: "`agree`",
        source: "Compose 1.29, 2.26 and 2.40: 0777 arrives as \"511\"",
        run: owner_mode,
    },
    Check {
        id: "5.short-errors",
        step: 5,
        name: "an error is one short line, whatever was sent",
        why: "it goes to somebody's terminal and into logs: 100 kB hide what is \
              wrong, and control characters forge what is read",
        file: "src/text.rs",
        place: "`shown`",
        source: "plugin-huge 3-4: Docker sends and shows any length",
        run: short_errors,
    },
    Check {
        id: "5.mode",
        step: 5,
        name: "the directory has the mode that was asked for",
        why: "containers do not run as root only: without the right bits they \
              read and write nothing, or others do",
        file: "src/volumes.rs",
        place: "TODO 5.3",
        source: "our rule: mode is that of the directory",
        run: mode,
    },
    Check {
        id: "5.same-options",
        step: 5,
        name: "options that mean the same are the same",
        why: "mode=755 and mode=0755 are one wish; whoever asks twice gets what \
              they asked for",
        file: "src/options.rs",
        place: "`spelled`",
        source: "our rule: dockerd asks Get, and never creates twice",
        run: same_options,
    },
    Check {
        id: "5.status",
        step: 5,
        name: "Get has a Status that says what the options are",
        why: "`docker volume inspect` shows it, defaults too; a Status that is \
              no object makes the volume vanish",
        file: "src/volumes.rs",
        place: "`volume`",
        source: "vol-errors-get 17, 18",
        run: status,
    },
    Check {
        id: "5.status-now",
        step: 5,
        name: "Status shows the mode and the owner as they are",
        why: "Docker's copy-up gives the directory those of the image's: whoever \
              reads the mode that was asked for looks for the fault elsewhere",
        file: "src/options.rs",
        place: "`status`",
        source: "vol-copy-up 1, 4, 5",
        run: status_now,
    },
    Check {
        id: "5.created-at",
        step: 5,
        name: "CreatedAt is the time of the Create, as RFC 3339 writes it",
        why: "written in any other way, Docker says no such volume, and forgets \
              its labels",
        file: "src/clock.rs",
        place: "`rfc3339`",
        source: "vol-errors-get 12, 14, 15, 17",
        run: created_at,
    },
    Check {
        id: "5.keep",
        step: 5,
        name: "Remove leaves the files of a volume with keep=true",
        why: "that was the promise, and there is no second copy",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "our rule: Docker does not ask what Remove removed",
        run: keep,
    },
    Check {
        id: "5.keep-forgets",
        step: 5,
        name: "Remove forgets the volume whose files stay",
        why: "Docker was told that it is gone: the next `docker volume ls` \
              would bring it back",
        file: "src/volumes.rs",
        place: "TODO 5.4",
        source: "vol-errors-remove-list 11-16",
        run: keep_forgets,
    },
];

pub(super) const DONE: &str = "200 and {}, or an empty \"Err\"";

pub(super) fn create_with(
    session: &mut Session,
    name: &str,
    options: Value,
) -> Exchange {
    session.call(&create_call(name, options))
}

/// Refused, in words of which all of `words` are some.
pub(super) fn refused(exchange: &Exchange, words: &[&str]) -> Outcome {
    let expected = match words {
        [] => "an \"Err\"".to_owned(),
        _ => format!("an \"Err\" that says {}", words.join(" and ")),
    };
    let said = exchange.failure(&expected)?;
    match words.iter().all(|word| said.contains(word)) {
        true => Ok(()),
        false => Err(exchange.wrong(expected)),
    }
}

fn bad_names(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // None of them leads out of ROOT, should the plugin take it.
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
        remove_it(&mut session, &name)?;
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
            format!("an \"Err\" that says {typed}, and that {meant} was meant");
        let said = exchange.failure(&expected)?;
        // Without what was typed, which may hold what was meant.
        let rest = said.replacen(typed, "", 1);
        if rest == said || !rest.contains(meant) {
            return Err(exchange.wrong(expected));
        }
        not_found(&mut session, &name)?;
    }
    // Nothing is near to this one. A right option beside it changes nothing.
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

fn bad_mode(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // A directory of whichever mode a plugin makes of these can be removed.
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
    // 0777, 0770, 01777 and 0700 as Compose sends them, and some more.
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

fn mode(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    // The owner's bits are all there, so that everything can be removed.
    for mode in [0o700, 0o777, 0o1770] {
        let name = harness.name();
        let options = json!({ "mode": format!("{mode:o}") });
        let exchange = create_with(&mut session, &name, options);
        exchange.success(DONE)?;
        let directory = mount(&mut session, &name, "93de")?;
        let (_, _, has) = directory.owner_and_mode()?;
        if has != mode {
            let hint = match has & !mode {
                0 => " (a umask takes bits while it is made)",
                _ => "",
            };
            return Err(exchange.wrong(format!(
                "a directory of mode {mode:04o}, and it has {has:04o}{hint}"
            )));
        }
        unmount(&mut session, &name, "93de")?;
        remove_it(&mut session, &name)?;
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
        exchange.success("200 and {}: it means the same")?;
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
            status.is_some_and(|it| it.keys().any(|had| had == key))
        };
        if !["type", "mode", "keep"].into_iter().all(has) {
            return Err(exchange.wrong(
                "a \"Status\", which is an object with type, mode and keep",
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
        // The second one as copy-up sets it.
        let directory = mount(&mut session, &name, "93de")?;
        directory.set_mode(mode)?;
        let (exchange, volume) = found(&mut session, &name)?;
        if let Some(wrong) = misses(&volume, directory.owner_and_mode()?) {
            return Err(exchange.wrong(format!(
                "a \"Status\" with the mode, the uid and the gid that the \
                 directory has: its {wrong}"
            )));
        }
        unmount(&mut session, &name, "93de")?;
        session.say_before("the directory's mode changed");
    }
    // What was asked for is what counts for a second Create.
    create_with(&mut session, &name, json!({ "mode": "0711" }))
        .success("200 and {}: the volume was created with these options")
        .map(|_| ())
}

/// What of a directory's mode and owner the Status of its volume does not say,
/// if there is such a thing.
pub(super) fn misses(
    volume: &Value,
    (uid, gid, mode): (u32, u32, u32),
) -> Option<String> {
    let status = field(volume, "Status");
    let number = |key: &str, radix: u32| {
        let value = status.and_then(|status| field(status, key))?;
        match value {
            Value::String(text) => u32::from_str_radix(text, radix).ok(),
            _ => value.as_u64().and_then(|it| u32::try_from(it).ok()),
        }
    };
    if number("mode", 8) != Some(mode) {
        return Some(format!("mode is {mode:04o}"));
    }
    let owner = [("uid", uid), ("gid", gid)];
    let wrong = owner.into_iter().find(|it| number(it.0, 10) != Some(it.1));
    wrong.map(|(key, _)| format!("{key} is another"))
}

fn created_at(harness: &mut Harness) -> Outcome {
    let mut session = activated(harness)?;
    let name = harness.name();
    create(&mut session, &name)?;
    let (exchange, volume) = found(&mut session, &name)?;
    let expected = "a \"CreatedAt\" of just now, such as 2026-11-24T17:34:02Z";
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
    let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
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
    // Years from March to February have their leap day at the end.
    let years = if month <= 2 { year - 1 } else { year };
    let leaps = years / 4 - years / 100 + years / 400;
    let months = (153 * ((month + 9) % 12) + 2) / 5;
    let days = 365 * years + leaps + months + day - 719_469;
    Some(86_400 * days + 3600 * hour + 60 * (minute - offset) + second)
}

/// Numbers of so many digits each, and nothing else.
fn numbers<const N: usize>(
    text: &str,
    between: char,
    digits: [usize; N],
) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let plain = part.bytes().all(|it| it.is_ascii_digit());
        *number =
            part.parse().ok().filter(|_| plain && part.len() == digits)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A volume that is to keep its files, with one file in its directory.
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
    let exchange = session.call(&about("VolumeDriver.Remove", &name));
    exchange.success(DONE)?;
    // A later step moves it.
    match holds(&session, &name)? {
        true => Ok(()),
        false => Err(exchange.wrong("the volume's file is still under ROOT")),
    }
}

/// Whether some file under ROOT has this text.
pub(super) fn holds(session: &Session, text: &str) -> Result<bool, Fault> {
    let root = session.root().open()?;
    let files = root.files()?;
    Ok(files.iter().any(|it| root.read(it).is_some_and(|it| it == text)))
}

fn keep_forgets(harness: &mut Harness) -> Outcome {
    let (mut session, name) = kept(harness)?;
    remove_it(&mut session, &name)?;
    not_found(&mut session, &name)?;
    // With other options: nothing of the old ones is left.
    create_with(&mut session, &name, json!({ "mode": "0700" }))
        .success("200 and {}: the name is free again")
        .map(|_| ())
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
