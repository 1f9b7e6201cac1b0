//! A learner's commands in a copy of the project: whatever a learner has done to the
//! files, a command says what is wrong and what comes next, and loses nothing.
//!
//! cargo is a script here, which `builds` programs that exist already.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use checker::starters::{self, Sources};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stand_in::checks::{self, Plan};
use stand_in::cleanup::Folder;
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::search_path;
use stand_in::steps::{self, Kind, Step};
use stand_in::wait::wait_until;

use common::root;

/// Far more than any case needs, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plugin that passes all checks of step 1.
static SOLUTION: LazyLock<PathBuf> = LazyLock::new(|| {
    checker::cargo::build(&root(), &step(1), Kind::Solution).unwrap()
});

/// It answers as cargo does: a package with a program in PROGRAMS is built, and another
/// one has an error.
const CARGO: &str = r#"#!/bin/sh
target=target
packages=
if [ -e "PROGRAMS/broken" ]; then
    echo 'error: failed to load manifest for workspace member `PROJECT/exercises/02-answer`' >&2
    exit 101
fi
while [ $# -gt 0 ]; do
    case $1 in
        metadata) exit 0 ;;
        --target-dir) target=$2 ;;
        --package) packages="$packages $2" ;;
    esac
    shift
done
mkdir -p "$target/debug"
status=0
for package in $packages; do
    if [ -e "PROGRAMS/$package" ]; then
        ln -sf "PROGRAMS/$package" "$target/debug/$package"
        printf '{"target":{"name":"%s"},"executable":"/there"}\n' "$package"
    else
        printf '{"target":{"name":"%s"},"message":{' "$package"
        printf '"level":"error","message":"mismatched types",'
        printf '"rendered":"error: mismatched types",'
        printf '"spans":[{"file_name":"exercises/x.rs","line_start":7}]}}\n'
        status=101
    fi
done
exit $status
"#;

fn step(number: u32) -> Step {
    steps::find(&root(), &number.to_string()).unwrap()
}

/// A copy of the project, with untouched exercises.
struct Project {
    folder: Folder,
}

impl Project {
    fn new() -> Self {
        let project = Self { folder: Folder::new().unwrap() };
        for step in steps::all(&root()).unwrap() {
            let sides = [
                (
                    Kind::Solution,
                    starters::read(&root(), &step, Kind::Solution),
                ),
                (Kind::Exercise, starters::pristine(&root(), &step)),
            ];
            for (kind, sources) in sides {
                for (name, text) in sources.unwrap() {
                    project.write(&step.folder(kind).join(name), &text);
                }
            }
            let patch =
                format!("docker/checker/starters/{:02}.patch", step.number);
            project.copy(Path::new(&patch));
        }
        project.copy(&step(1).folder(Kind::Exercise).join("README.md"));
        for folder in ["tmp", "bin", "programs", "target/debug"] {
            fs::create_dir_all(project.path(folder)).unwrap();
        }
        let programs = project.path("programs").display().to_string();
        let cargo = CARGO.replace("PROGRAMS", &programs);
        // The checker asks the system for the path of the project.
        let folder = project.folder.path().canonicalize().unwrap();
        let folder = folder.display().to_string();
        project.script("bin/cargo", &cargo.replace("PROJECT", &folder));
        // A copy has a target folder of its own.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_checker"));
        copy.arg(project.path("target/debug/checker"));
        assert!(copy.status().unwrap().success());
        project
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &Path, text: &str) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn copy(&self, name: &Path) {
        self.write(name, &fs::read_to_string(root().join(name)).unwrap());
    }

    /// A program. Another process writes it: see `misbehaving.rs`.
    fn script(&self, name: &str, text: &str) {
        let write = "printf '%s\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let mut command = Command::new("sh");
        command.args(["-c", write, "sh"]).arg(self.path(name)).arg(text);
        assert!(command.status().unwrap().success());
    }

    /// Makes a program that is right what cargo builds from exercise 1.
    fn builds_a_right_one(&self) {
        let package = self.path("programs/exercise-01");
        std::os::unix::fs::symlink(&*SOLUTION, package).unwrap();
    }

    /// Replaces a text in a file of an exercise.
    #[track_caller]
    fn edit(&self, number: u32, file: &str, old: &str, new: &str) {
        let file = step(number).folder(Kind::Exercise).join(file);
        let text = fs::read_to_string(self.path(&file)).unwrap();
        assert!(text.contains(old), "{} has no {old}", file.display());
        self.write(&file, &text.replace(old, new));
    }

    fn mine(&self, number: u32) -> Option<Sources> {
        let step = step(number);
        starters::read(self.folder.path(), &step, Kind::Exercise).ok()
    }

    fn checker(&self, words: &str) -> Command {
        let mut checker = Command::new(self.path("target/debug/checker"));
        checker.args(words.split_whitespace());
        self.prepare(&mut checker);
        checker
    }

    fn prepare(&self, command: &mut Command) {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("PATH", path).env("TMPDIR", self.path("tmp"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for setting in [
            "SEED",
            "ENGINE",
            "AGAINST",
            "DOCKERD",
            "NAME",
            "HOLE",
            "JSON",
            "CLICOLOR_FORCE",
            "JUNIT",
        ] {
            command.env_remove(setting);
        }
    }

    /// Runs a command, and returns its exit status and all of its output.
    fn run(&self, words: &str) -> (Option<i32>, String) {
        text_of(self.checker(words).output().unwrap())
    }

    #[track_caller]
    fn assert_nothing_is_left(&self, case: &str) {
        let left = || -> Vec<_> {
            let files = fs::read_dir(self.path("tmp")).unwrap();
            files.map(|file| file.unwrap().path()).collect()
        };
        let gone = wait_until(PATIENCE, || left().is_empty().then_some(()));
        assert!(gone.is_some(), "{case}: {:?} is left", left());
    }
}

fn text_of(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

const MISSING: &str =
    "exercises/01-activate is missing: make reset-exercise-1 makes it again";

const RESET: &str = "cargo cannot read exercises/02-answer/Cargo.toml and builds \
                     nothing without it: mend the file, or put the starter back: \
                     make reset-exercise-2 keeps your version";

#[test]
fn each_command_says_what_is_wrong_and_loses_nothing() {
    let gone = |project: &Project| {
        fs::remove_dir_all(project.path("exercises/01-activate")).unwrap();
    };
    let no_readme = |project: &Project| {
        let readme = "exercises/01-activate/README.md";
        fs::remove_file(project.path(readme)).unwrap();
    };
    let filled = |project: &Project| {
        for step in steps::all(&root()).unwrap() {
            let exercise = step.folder(Kind::Exercise).join("src");
            let solution = step.folder(Kind::Solution).join("src");
            fs::remove_dir_all(project.path(&exercise)).unwrap();
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(project.path(solution));
            copy.arg(project.path(exercise));
            assert!(copy.status().unwrap().success());
        }
    };
    let broken = |project: &Project| {
        fs::write(project.path("programs/broken"), "").unwrap();
    };
    let nothing = |_: &Project| {};
    type Change = fn(&Project);
    let cases: [(&str, Change, &str, i32, &str); 16] = [
        ("no folder", gone, "check exercise 1", 2, MISSING),
        ("no folder", gone, "run exercise 1", 2, MISSING),
        ("no folder", gone, "watch 1", 2, MISSING),
        ("no folder", gone, "hint 1", 2, MISSING),
        ("no folder", gone, "diff 1", 2, MISSING),
        (
            "no README",
            no_readme,
            "hint 1",
            2,
            "git restore exercises/01-activate/README.md brings it back",
        ),
        (
            "a hint of no step",
            nothing,
            "hint 99",
            2,
            "there is no step 99; the steps are 1, 2",
        ),
        (
            "it does not compile",
            nothing,
            "check exercise 1",
            1,
            "make hint-1 gives a hint; make diff-exercise-1",
        ),
        (
            "it does not compile",
            nothing,
            "run exercise 1",
            1,
            "make hint-1 gives a hint; make diff-exercise-1",
        ),
        ("another step's manifest", broken, "check exercise 1", 1, RESET),
        ("another step's manifest", broken, "run exercise 1", 1, RESET),
        ("no step", nothing, "check exercise", 1, "so this is step 1"),
        ("no step", nothing, "hint", 0, "Hole 1.1, a nudge"),
        ("no step, and all is filled", filled, "hint", 2, "which step?"),
        ("all is filled", filled, "hint 1", 0, "All holes of step 1 are"),
        ("an unknown step", nothing, "reset 0", 2, "there is no step 0"),
    ];
    for (case, change, words, status, said) in cases {
        let project = Project::new();
        change(&project);
        let before = project.mine(1);
        let (code, text) = project.run(words);
        let case = format!("{words} ({case})");
        assert_eq!(code, Some(status), "{case}:\n{text}");
        assert!(text.contains(said), "{case}: wanted {said}\n{text}");
        let is_error = |line: &&str| line.starts_with("checker: ");
        let errors = text.lines().filter(is_error).count();
        assert!(errors <= 2, "{case}: one sentence\n{text}");
        assert!(project.mine(1) == before, "{case}: the exercise is as before");
        project.assert_nothing_is_left(&case);
    }
}

#[test]
fn a_hint_follows_the_last_check_and_the_open_holes() {
    let project = Project::new();
    let hint = |hole: Option<&str>| {
        let mut checker = project.checker("hint 1");
        checker.envs(hole.map(|hole| ("HOLE", hole)));
        let (code, text) = text_of(checker.output().unwrap());
        (code, text.lines().next().unwrap_or_default().to_owned())
    };
    let said = |text: &str| (Some(0), text.to_owned());
    assert_eq!(hint(None), said("Hole 1.1, a nudge:"));
    assert_eq!(hint(None), said("Hole 1.1, a pointer:"));
    assert_eq!(hint(Some("1.2")), said("Hole 1.2, a nudge:"));
    let (code, text) = hint(Some("1.9"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("its holes are 1.1 and 1.2"), "{text}");

    // The comment of a filled hole does not repeat its hint.
    project.edit(1, "src/main.rs", "todo!(\"1.1\")", "(200, String::new())");
    assert_eq!(hint(None), said("Hole 1.2, a pointer:"));

    // A failed check leads back to the hole that it is about.
    project.script("programs/exercise-01", "#!/bin/sh\nexit 1");
    let (code, text) = project.run("check exercise 1");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("fix       exercises/01-activate/src/"), "{text}");
    assert!(text.contains("Holes of step 1: 1.1 next."), "{text}");
    assert_eq!(hint(None), said("Hole 1.1, an answer:"));
    assert_eq!(hint(None), said("Hole 1.1, an answer:"));
    // The check was of other sources.
    project.edit(1, "src/main.rs", "String::new()", "String::default()");
    assert_eq!(hint(None), said("Hole 1.2, an answer:"));

    fs::remove_file(project.path("programs/exercise-01")).unwrap();
    project.builds_a_right_one();
    let (code, text) = project.run("check exercise 1");
    assert_eq!(code, Some(0), "{text}");
    for word in ["make diff-exercise-1", "AGAINST=docker", "02-answer"] {
        assert!(text.contains(word), "{word} is offered:\n{text}");
    }
    let done = "Nothing is left to do in step 1: its last check passed.";
    assert_eq!(hint(None), said(done));
}

#[test]
fn programs_read_reports_and_class_makes_a_table_of_them() {
    let project = Project::new();
    let groups = project.path("groups");
    fs::create_dir(&groups).unwrap();
    let junit = project.path("tmp/junit.xml");
    let report = |group: &str| {
        let mut checker = project.checker("check exercise 1");
        checker.env("JSON", "1").env("JUNIT", &junit);
        let output = checker.output().unwrap();
        fs::write(groups.join(group), &output.stdout).unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), value)
    };
    let (code, broken) = report("broken.json");
    assert_eq!(code, Some(1), "{broken}");
    let why = broken["error"].as_str().unwrap();
    assert!(why.starts_with("exercises/01-activate does not compile"), "{why}");
    assert!(!junit.exists(), "there is no report");

    project.builds_a_right_one();
    let (code, right) = report("right.json");
    assert_eq!((code, &right["failed"]), (Some(0), &json!(0)), "{right}");
    assert_eq!(right["checks"][0]["id"], "1.activate");
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("<testsuite name=\"exercise 1\""), "{xml}");
    fs::remove_file(&junit).unwrap();

    let (code, table) = project.run("class groups");
    assert_eq!(code, Some(0), "{table}");
    let lines: Vec<_> = table.lines().collect();
    let [_, first, second] = lines[..] else { panic!("{table}") };
    assert!(first.starts_with("broken     1       0  exercises/01"), "{table}");
    assert!(second.starts_with("right "), "{table}");
    assert!(second.contains("nothing"), "{table}");
    project.assert_nothing_is_left("JSON=1");
}

#[test]
fn the_status_has_a_row_for_each_step() {
    let project = Project::new();
    project.builds_a_right_one();
    project.edit(1, "src/main.rs", "todo!(\"1.1\")", "(200, String::new())");
    project.edit(2, "src/protocol.rs", "// TODO(2.1)", "// Mine");
    project.edit(2, "src/protocol.rs", "todo!(\"2.1\")", "unreachable!()");
    fs::remove_dir_all(project.path("exercises/03-volumes")).unwrap();
    let (code, text) = project.run("status");
    assert_eq!(code, Some(0), "{text}");
    let untouched = |step: &Step| {
        let sources = starters::pristine(&root(), step).unwrap();
        let (number, count) = (step.number, starters::holes(&sources).len());
        let name = step.name.replacen('-', " ", 1);
        format!("{name} 0 of {count} untouched make run-exercise-{number}")
    };
    let last = steps::all(&root()).unwrap().pop().unwrap();
    for row in [
        "01 activate 1 of 2 ",
        "02 answer 1 of 3 none does not compile: exercises/x.rs, line 7: \
         mismatched types",
        "03 volumes none none exercises/03-volumes is missing: make \
         reset-exercise-3 makes it again",
        &untouched(&step(4)),
        &untouched(&last),
        "Next: make check-exercise-",
    ] {
        let has = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.join(" ").starts_with(row)
        };
        assert!(text.lines().any(has), "no row {row}:\n{text}");
    }
    // How many of its checks have ended depends on the machine.
    let row = text.lines().find(|line| line.starts_with("01 ")).unwrap();
    let ends = ["done", "make check-exercise-1 tries the rest"];
    assert!(ends.iter().any(|end| row.ends_with(end)), "{row}");
    assert!(!text.contains('\u{1b}'), "no colours in a file:\n{text}");
    project.assert_nothing_is_left("status");
}

/// Waits for a line of a program's output.
#[track_caller]
fn await_line(child: &mut Child, word: &str) -> impl BufRead + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        let read = lines.read_line(&mut line).unwrap();
        assert!(read > 0, "it ended without the line {word}");
    }
    lines
}

#[test]
fn ctrl_c_ends_the_commands_that_wait() {
    /// The command, and a line after which it waits or works.
    const CASES: [(&str, &str, i32); 3] = [
        ("watch 1", "waiting for a change", 130),
        ("run exercise 1", "Ctrl-C ends it", 0),
        ("check exercise 1", "ok    step 1", 130),
    ];
    for (words, line, status) in CASES {
        let project = Project::new();
        project.builds_a_right_one();
        let mut checker = project.checker(words);
        let mut child = checker.stdout(Stdio::piped()).spawn().unwrap();
        let _open = await_line(&mut child, line);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), Some(status), "{words}: {ended}");
        project.assert_nothing_is_left(words);
        let run = project.path("target/run/exercise-01");
        assert!(!run.join("workshop.sock").exists(), "{words}: no socket");
    }
}

#[test]
fn ctrl_c_in_the_middle_of_a_status_leaves_nothing() {
    let project = Project::new();
    let started = project.path("started");
    let sleeper =
        format!("#!/bin/sh\n: >'{}'\nexec sleep 1000", started.display());
    project.script("programs/exercise-01", &sleeper);
    project.edit(1, "src/main.rs", "// TODO(1.1)", "// Mine");
    let mut checker = project.checker("status");
    let mut child = checker.stdout(Stdio::null()).spawn().unwrap();
    wait_until(PATIENCE, || started.exists().then_some(())).expect("it runs");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    project.assert_nothing_is_left("status");
}

#[test]
fn two_commands_at_once_do_not_disturb_each_other() {
    const MINE: &str = "// mine";
    let project = Project::new();
    project.builds_a_right_one();
    project.edit(1, "src/main.rs", "// TODO(1.1)", MINE);
    for (words, status) in
        [("check exercise 1", 0), ("status", 0), ("hint 1", 0), ("reset 1", 0)]
    {
        let spawn = |_| {
            let mut checker = project.checker(words);
            checker.stdout(Stdio::piped()).stderr(Stdio::piped());
            checker.spawn().unwrap()
        };
        let running: Vec<_> = (0..3).map(spawn).collect();
        for child in running {
            let (code, text) = text_of(child.wait_with_output().unwrap());
            assert_eq!(code, Some(status), "{words}:\n{text}");
        }
    }
    let starter = starters::pristine(&root(), &step(1)).unwrap();
    assert!(project.mine(1) == Some(starter), "the starter is back");
    assert_eq!(kept_with(&project, MINE), 1, "one copy of the learner's work");
    project.assert_nothing_is_left("two at once");
}

/// The number of kept versions of step 1 whose main.rs has this text.
fn kept_with(project: &Project, text: &str) -> usize {
    let Ok(entries) = fs::read_dir(project.path(".kept")) else { return 0 };
    let has = |folder: PathBuf| {
        fs::read_to_string(folder.join("src/main.rs"))
            .is_ok_and(|main| main.contains(text))
    };
    entries.filter(|entry| has(entry.as_ref().unwrap().path())).count()
}

/// Whether strace may trace a process here.
fn can_trace() -> bool {
    search_path::on_path("strace")
        && Command::new("strace")
            .args(["-o", "/dev/null", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
}

#[test]
fn a_reset_that_is_killed_loses_nothing() {
    if !can_trace() {
        println!("skipped: a killed reset: strace is missing or may not trace");
        return;
    }
    const MINE: &str = "// mine";
    let mut killed = 0;
    for call in ["openat", "mkdir", "rename"] {
        let project = Project::new();
        for number in 1.. {
            project.edit(1, "src/main.rs", "// TODO(1.1)", MINE);
            let mut strace = Command::new("strace");
            strace.args(["-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
            strace
                .arg("-e")
                .arg(format!("inject={call}:signal=KILL:when={number}"));
            strace.arg(project.path("target/debug/checker"));
            project.prepare(&mut strace);
            let output = strace.args(["reset", "1"]).output().unwrap();
            let case = format!("killed at {call} {number}");
            let is_there = project.mine(1).is_some_and(|mine| {
                mine.values().any(|text| text.contains(MINE))
            });
            let count = kept_with(&project, MINE) + usize::from(is_there);
            assert_eq!(count, 1, "{case}: the learner's work is there");
            let done = output.status.success();
            if !done {
                let ended = output.status.signal().or(output.status.code());
                assert!(ended.is_some(), "{case}");
                killed += 1;
            }
            let (code, text) = project.run("reset 1");
            assert_eq!(code, Some(0), "{case}, and again:\n{text}");
            let starter = starters::pristine(&root(), &step(1)).unwrap();
            assert!(project.mine(1) == Some(starter), "{case}: the starter");
            assert_eq!(kept_with(&project, MINE), 1, "{case}: kept");
            if done {
                break;
            }
            fs::remove_dir_all(project.path(".kept")).unwrap();
        }
    }
    assert!(killed > 10, "{killed} resets were killed");
}

#[test]
fn checks_that_run_at_once_are_reported_in_order_up_to_the_first_failure() {
    let of_step_1 = checks::all().filter(|check| check.step == 1);
    let all: Vec<_> = of_step_1.map(|check| check.id).collect();
    let harness = Harness::new(Program::new(&SOLUTION).unwrap());
    let mut seen = Vec::new();
    let report = checks::run(harness, Plan::new(1), |report| {
        seen.push(report.ran.last().unwrap().check.id);
    });
    assert_eq!(seen, all);
    assert!(report.unwrap().ran.iter().map(|ran| ran.check.id).eq(all));

    let project = Project::new();
    project.script("programs/ends", "#!/bin/sh\nexit 1");
    let (code, text) = project.run("check programs/ends 1");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("FAIL  step 1: "), "{text}");
    assert_eq!(text.matches("step 1: ").count(), 1, "{text}");
    project.assert_nothing_is_left("a failed check");
}
