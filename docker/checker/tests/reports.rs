//! Tests of the checks: for each check there is a wrong plugin that fails this check
//! and no other, and the report is the recorded one.
//!
//! A wrong plugin is a solution with one mistake of the kind that learners make; see
//! `wrong/`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use checker::starters;
use stand_in::checks::{self, Plan, SLOW, Stop};
use stand_in::daemon::Dialect;
use stand_in::mounts;
use stand_in::root::BELOW_ROOT;
use stand_in::steps::{self, Kind};

use common::{
    Failed, Outcome, Workspace, differs_from_record, failures, outcome, root,
    side_by_side,
};
use wrong::{Fine, Wrong};

/// Whether this run tries all wrong plugins, with all checks of their steps. Without
/// `ONLY`, `RECORD`, `REQUIRE` and `PROOFS=full`, it tries one for each check, with
/// that check alone, because the others take minutes.
fn tries_all() -> bool {
    let is_set = |name| checker::setting(name).is_some();
    ["ONLY", "RECORD", "REQUIRE"].into_iter().any(is_set) || is_full()
}

fn is_full() -> bool {
    checker::setting("PROOFS").as_deref() == Some("full")
}

/// The wrong plugins of this run: all, the first one of each check, or those of the
/// checks whose ids begin with a word of `ONLY` (`ONLY="2.refused 5."`).
fn chosen() -> Vec<&'static Wrong> {
    let only = env::var("ONLY").unwrap_or_default();
    let all = tries_all();
    let is_chosen = |wrong: &&Wrong| {
        let id = wrong.name();
        let is_first = id == wrong.check;
        (all || is_first)
            && (only.is_empty()
                || only.split(' ').any(|word| id.starts_with(word)))
    };
    wrong::all().filter(is_chosen).collect()
}

/// The plugins of this run that Docker does not mind; `ONLY` chooses them by their
/// step.
fn chosen_fine() -> Vec<&'static Fine> {
    let only = env::var("ONLY").unwrap_or_default();
    let all = tries_all();
    let is_chosen = |fine: &&Fine| {
        let step = format!("{}.", fine.step);
        all && (only.is_empty()
            || only.split(' ').any(|word| word.starts_with(&step)))
    };
    wrong::fine().filter(is_chosen).collect()
}

/// The folder of the solutions, built as the wrong plugins are.
static RIGHT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = root();
    let packages: Vec<_> = steps::all(&root)
        .unwrap()
        .into_iter()
        .map(|step| {
            let sources = starters::read(&root, &step, Kind::Solution).unwrap();
            (format!("right-{:02}", step.number), sources)
        })
        .collect();
    Workspace::write("right", &packages).build().0
});

/// The solution of one step, built as the wrong plugins are.
fn right(step: u32) -> PathBuf {
    RIGHT.join(format!("right-{step:02}"))
}

/// The step that teaches a check.
fn step_of(check: &str) -> u32 {
    checks::all().find(|row| row.id == check).unwrap().step
}

/// The checks that this machine skips with any plugin, and why.
static NOT_TRIED: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
    let steps: BTreeSet<_> =
        chosen().into_iter().map(|wrong| step_of(wrong.check)).collect();
    let own = side_by_side(&Vec::from_iter(steps), |&step| {
        let plan = Plan { from: step, stop: Stop::Never, ..Plan::new(step) };
        outcome(&right(step), plan).not_tried
    });
    own.into_iter().flatten().collect()
});

/// The folder of the wrong plugins that this machine can try, and of those that
/// Docker does not mind.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let packages: Vec<_> = chosen()
        .into_iter()
        .map(|wrong| (wrong, wrong.sources()))
        .filter(|(wrong, _)| !NOT_TRIED.contains_key(wrong.check))
        .map(|(wrong, sources)| (wrong.package(), sources))
        .chain(
            chosen_fine()
                .into_iter()
                .map(|fine| (fine.package(), fine.sources())),
        )
        .collect();
    Workspace::write("wrong", &packages).build().0
});

#[test]
fn every_check_has_a_wrong_plugin_and_a_recorded_report() {
    let wrong: BTreeSet<_> = wrong::all().map(|wrong| wrong.check).collect();
    let checks: BTreeSet<_> = checks::all().map(|check| check.id).collect();
    assert_eq!(wrong, checks, "left: wrong plugins, right: checks");

    let reports: BTreeSet<_> = wrong::all().map(Wrong::name).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports");
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".txt").unwrap_or(&file);
        let known = reports.contains(name)
            || ["starter-", "out-of-root-"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
        assert!(known, "tests/reports/{file} is the report of no check");
    }
    for id in SLOW {
        assert!(checks.contains(id), "{id} is no check");
    }
    for name in NEED_MOUNTS {
        assert!(reports.contains(*name), "{name} is no wrong plugin");
    }
}

/// In a moment, before any of them is built.
#[test]
fn each_mistake_has_its_place_in_a_solution() {
    for wrong in wrong::all() {
        assert!(!wrong.sources().is_empty(), "{}", wrong.name());
    }
    for fine in wrong::fine() {
        assert!(!fine.sources().is_empty(), "{}", fine.name());
    }
}

#[test]
fn many_wrong_turns_of_each_step_are_known() {
    const LEAST: usize = 10;
    for step in steps::all(&root()).unwrap() {
        let number = step.number;
        let wrong = wrong::all().filter(|wrong| step_of(wrong.check) == number);
        let fine = wrong::fine().filter(|fine| fine.step == number);
        let count = wrong.count() + fine.count();
        assert!(count >= LEAST, "{}: {count}", step.name);
    }
}

#[test]
fn each_check_is_unique_and_says_where_to_mend_what() {
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    for check in checks::all() {
        let id = check.id;
        assert!(ids.insert(id), "{id} exists twice");
        assert!(names.insert(check.name), "{id}: another has its name");
        assert!(
            id.starts_with(&format!("{}.", check.step)),
            "{id} is of step {}",
            check.step
        );
        let root = root();
        let step = steps::find(&root, &check.step.to_string()).unwrap();
        let file = root.join(step.folder(Kind::Solution)).join(check.file);
        let text = fs::read_to_string(&file);
        let text = text.unwrap_or_else(|err| panic!("{id}: {file:?}: {err}"));
        if let Some(function) = check.place.strip_prefix('`') {
            let function = format!("fn {}", function.trim_end_matches('`'));
            assert!(text.contains(&function), "{id}: no {function} there");
        } else {
            let starter = starters::pristine(&root, &step).unwrap();
            let holes = starters::holes(&starter);
            for place in check.place.split(", ") {
                let id_there = place.strip_prefix("TODO ");
                let found = holes.iter().any(|hole| {
                    Some(hole.id.as_str()) == id_there
                        && hole.file == Path::new(check.file)
                });
                assert!(found, "{id}: no {place} in {}", check.file);
            }
        }
    }
}

/// Wrong plugins that fail nearly every check. The checks after the first failure,
/// which a learner does not see either, do not run.
const NOTHING_WORKS: &[&str] = &["1.activate.3", "2.create.2"];

/// Wrong plugins that may fail another check as well, because of time, of the order
/// in which threads run, or because both checks need the same.
const BY_CHANCE: &[(&str, &str)] = &[
    ("1.not-a-socket", "1.link"),
    ("2.failures", "2.error-text"),
    ("2.paths", "2.tame-errors"),
    ("3.get", "3.case"),
    ("3.get", "3.create-anew"),
    ("3.remove", "3.create-anew"),
    // The other plugin may have bound its socket a moment ago.
    ("1.live-socket", "1.race"),
    // A second may pass between two Gets of one volume.
    ("6.outlives", "6.full-disk"),
    ("6.outlives", "6.half-made"),
    ("6.outlives", "6.spoiled"),
    ("6.outlives", "6.strangers"),
    // The crash may come when all files are gone, but not the folder.
    ("6.removed", "6.half-removed"),
    // The order of the names decides which files are deleted before one cannot be.
    ("6.half-removed", "6.not-deletable"),
    // A call that is just being answered may count as one that was cut off.
    ("7.in-flight", "7.signals"),
    // Any connection may be left without a thread.
    ("7.stranded", "7.slow-body"),
    ("7.stranded", "7.slow-call"),
    ("7.stranded", "7.one-name"),
    ("7.stranded", "7.late-call"),
    // Without a count for each ID, a second use after a crash is lost as well.
    ("8.same-id", "8.crash"),
];

/// Reports about a mount or about another user's file. They are the recorded ones
/// only if [`mounts::missing`] finds nothing missing.
const NEED_MOUNTS: &[&str] =
    &["6.not-deletable", "8.bad-size", "8.bad-size.2", "8.bad-owner"];

/// The difference between the expected result of a wrong plugin and the real one;
/// `None` if there is none.
fn complaint(wrong: &Wrong, full: bool) -> Option<String> {
    let case = format!("{} ({})", wrong.check, wrong.what);
    let skipped = |why: &str| println!("skipped: {case}: {why}");
    if let Some(why) = NOT_TRIED.get(wrong.check) {
        skipped(why);
        return None;
    }
    let step = step_of(wrong.check);
    let from = if full { 1 } else { step };
    let leave_out =
        if full || SLOW.contains(&wrong.check) { &[] } else { SLOW };
    let stop = match NOTHING_WORKS.contains(&&*wrong.name()) {
        true => Stop::AtFirst,
        false => Stop::Never,
    };
    let only = (!tries_all()).then_some(wrong.check);
    let plan = Plan { from, stop, leave_out, only, ..Plan::new(step) };
    let Outcome { failed, not_tried } =
        outcome(&PROGRAMS.join(wrong.package()), plan);
    if let Some(why) = not_tried.get(wrong.check) {
        skipped(why);
        return None;
    }
    let by_chance = |id| {
        BY_CHANCE.iter().any(|chance| chance.0 == wrong.check && chance.1 == id)
    };
    // No check uses a path that leads out of ROOT.
    let is_unused =
        |lines: &str| wrong.check == "4.in-root" && lines.contains(BELOW_ROOT);
    let is_other =
        |failed: &Failed| !by_chance(failed.id) && !is_unused(&failed.lines);
    let (failed, others): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|failed| failed.id == wrong.check);
    let lines: String = failed.iter().map(|failed| &*failed.lines).collect();
    if failed.is_empty() || others.iter().any(is_other) {
        let ids: Vec<_> = others.iter().map(|failed| failed.id).collect();
        let more: String = others.iter().map(|failed| &*failed.lines).collect();
        return Some(format!("{case}: others {ids:?}\n{lines}{more}"));
    }
    let name = wrong.name();
    if NEED_MOUNTS.contains(&&*name)
        && let Some(why) = mounts::missing()
    {
        println!("skipped: that {case} reads as recorded: {why}");
        return None;
    }
    let differs = differs_from_record(&format!("{name}.txt"), &lines)?;
    Some(format!("{case}: {differs}"))
}

/// Only their own wrong plugins try the checks of [`SLOW`], unless `PROOFS=full`:
/// together with all others, they took two thirds of the time of these tests.
///
/// Runs only the checks of the plugin's own step. The checks of earlier steps, which
/// take most of the time, run with `PROOFS=full`.
#[test]
fn each_wrong_plugin_fails_its_check_alone_and_reads_as_recorded() {
    if !tries_all() {
        let wrong = wrong::all().count() - chosen().len();
        let fine = wrong::fine().count();
        println!(
            "skipped: reports: {wrong} more wrong plugins, the other checks of \
             each wrong plugin, and {fine} changes that Docker does not mind: \
             PROOFS=full or REQUIRE tries them"
        );
    }
    let full = is_full();
    let complaints = side_by_side(&chosen(), |wrong| complaint(wrong, full));
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn each_change_that_docker_does_not_mind_passes() {
    let complaints = side_by_side(&chosen_fine(), |fine| {
        let (step, stop) = (fine.step, Stop::Never);
        let plan =
            Plan { from: step, stop, leave_out: SLOW, ..Plan::new(step) };
        let failed = failures(&PROGRAMS.join(fine.package()), plan);
        let lines: String =
            failed.iter().map(|failed| &*failed.lines).collect();
        let Fine { what, why, .. } = fine;
        let case = format!("{} ({what}; Docker: {why})", fine.name());
        (!failed.is_empty()).then(|| format!("{case}:\n{lines}"))
    });
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// `tests/check.rs` of each solution tests it with the newest dockerd's dialect. With
/// the other dialects, each solution runs the checks of its own step here, and the
/// last solution runs all checks.
#[test]
fn each_solution_passes_whichever_engine_is_played() {
    let steps = steps::all(&root()).unwrap();
    let last = steps.last().unwrap().number;
    let newest = Dialect::default();
    let runs: Vec<_> = steps
        .iter()
        .flat_map(|step| Dialect::ALL.map(|dialect| (step.number, dialect)))
        .filter(|(_, dialect)| *dialect != newest)
        .collect();
    let complaints = side_by_side(&runs, |&(step, dialect)| {
        let from = if step == last { 1 } else { step };
        let plan = Plan { dialect, from, stop: Stop::Never, ..Plan::new(step) };
        let failed = failures(&right(step), plan);
        let lines: String =
            failed.iter().map(|failed| &*failed.lines).collect();
        let case = format!("step {step} for {}", dialect.name());
        (!failed.is_empty()).then(|| format!("{case}:\n{lines}"))
    });
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
