//! Whatever a program does, the checker reports it within seconds, and leaves no
//! process, no socket and no folder behind. Errors of the checker have another exit
//! status than faults of a plugin.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use checker::starters::Sources;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stand_in::cleanup::{self, Folder};
use stand_in::processes;
use stand_in::steps::{self, Kind};
use stand_in::wait::wait_until;

use common::{Workspace, root, side_by_side};

/// Far more than any case needs, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plugin that passes all checks of step 1.
static SOLUTION: LazyLock<PathBuf> = LazyLock::new(|| {
    let step = steps::find(&root(), "1").unwrap();
    checker::cargo::build(&root(), &step, Kind::Solution).unwrap()
});

/// `rogue.rs`, built.
static ROGUE: LazyLock<PathBuf> = LazyLock::new(|| {
    let manifest = "[package]\nname = \"rogue\"\nedition = \"2024\"\n";
    let sources = Sources::from([
        ("Cargo.toml".into(), manifest.to_owned()),
        ("src/main.rs".into(), include_str!("misbehaving/rogue.rs").to_owned()),
    ]);
    let packages = [("rogue".to_owned(), sources)];
    Workspace::write("rogue", &packages).build().0.join("rogue")
});

/// A temporary folder for one checker, and a script for it to check.
struct Scene {
    folder: Folder,
}

impl Scene {
    fn new(script: &str) -> Self {
        let scene = Self { folder: Folder::new().unwrap() };
        fs::create_dir(scene.temp()).unwrap();
        scene.write(script);
        scene
    }

    fn write(&self, script: &str) {
        // The paths may have blanks.
        let quoted = |path: &Path| format!("\"{}\"", path.display());
        let script = script
            .replace("SOLUTION", &quoted(&SOLUTION))
            .replace("ROGUE", &quoted(&ROGUE))
            .replace("FOLDER", &quoted(self.folder.path()));
        // Another process writes the file. If this process wrote it, a child that
        // another test starts could inherit the open file, and the system refuses to
        // execute a file that is open for writing.
        let write = "printf '%s\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let written = Command::new("sh")
            .args(["-c", write, "sh"])
            .arg(self.script())
            .arg(format!("#!/bin/sh\n{script}"))
            .status();
        assert!(written.unwrap().success());
    }

    fn temp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    fn script(&self) -> PathBuf {
        self.folder.path().join("plugin")
    }

    /// The checker, about to check the script.
    fn checker(&self) -> Command {
        let mut checker = checker_in(&self.temp());
        checker.arg("check").arg(self.script()).arg("1");
        checker
    }

    /// Waits until all files and processes of the checker are gone.
    #[track_caller]
    fn assert_nothing_is_left(&self, case: &str) {
        let left = || left_in(&self.temp());
        let gone = wait_until(PATIENCE, || left().is_empty().then_some(()));
        assert!(gone.is_some(), "{case}: left behind: {:#?}", left());
    }
}

/// The checker with this TMPDIR, and none of the caller's settings.
fn checker_in(temp: &Path) -> Command {
    let mut checker = Command::new(env!("CARGO_BIN_EXE_checker"));
    checker.current_dir(root()).env("TMPDIR", temp).stdin(Stdio::null());
    for setting in ["SEED", "ENGINE", "DOCKERD", "NAME", "CLICOLOR_FORCE"] {
        checker.env_remove(setting);
    }
    checker
}

/// Files in `temp`, and processes whose environment names it.
fn left_in(temp: &Path) -> Vec<String> {
    let files = fs::read_dir(temp).unwrap();
    let files = files.map(|entry| entry.unwrap().path().display().to_string());
    let inside = format!("{}/", temp.display());
    // Only Linux has /proc; on other systems, the test compares only files.
    let processes = processes::all().filter(|(_, process)| {
        let mark = processes::variable(process, cleanup::MARK);
        mark.is_some_and(|mark| mark.starts_with(inside.as_bytes()))
    });
    let command = |(id, process): (Pid, PathBuf)| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        format!("process {id}: {line}")
    };
    files.chain(processes.map(command)).collect()
}

#[test]
fn a_misbehaving_program_gets_a_report_and_leaves_nothing() {
    /// What the program does, its script, the exit status, and words of the report.
    const CASES: &[(&str, &str, i32, &[&str])] = &[
        (
            "it never listens",
            "exec sleep 1000",
            1,
            &["got       the plugin runs, but has not listened within 5 s"],
        ),
        (
            "it exits at once",
            "echo no volumes today; exit 3",
            1,
            &["ended before that (exit status: 3)", "| no volumes today"],
        ),
        (
            "it is killed at once",
            "kill -SEGV $$",
            1,
            &["ended before that (signal: 11 (SIGSEGV)"],
        ),
        (
            "it exits after the handshake",
            "exec ROGUE leaves \"$@\"",
            1,
            &["ok    step 1: the handshake says", "ended (exit status: 0)"],
        ),
        (
            "it panics",
            "exec ROGUE panics \"$@\"",
            1,
            &["ended (exit status: 101)", "| of an unforeseen call"],
        ),
        (
            "it hangs on a call",
            "exec ROGUE hangs \"$@\"",
            1,
            &["got       no answer within 5 s"],
        ),
        (
            "it answers drop by drop",
            "exec ROGUE drips \"$@\"",
            1,
            &["got       no answer within 5 s"],
        ),
        (
            "it answers something else than HTTP",
            "exec ROGUE greets \"$@\"",
            1,
            &["got       not HTTP: HELLO"],
        ),
        (
            "its answer has no end",
            "exec ROGUE babbles \"$@\"",
            1,
            &["got       a reply of more than 64 MiB"],
        ),
        (
            "it drops connections",
            "exec ROGUE drops \"$@\"",
            1,
            &["got       a connection closed without an answer"],
        ),
        (
            "it floods its log, and never listens",
            "exec yes no volumes today",
            1,
            &["has not listened", "| no volumes today"],
        ),
        (
            "it floods its log, and is right",
            "yes & exec SOLUTION \"$@\"",
            0,
            &["checks passed"],
        ),
        (
            "it leaves a child in its group",
            "sleep 1000 & exit 1",
            1,
            &["ended before that (exit status: 1)"],
        ),
        (
            "it leaves a child in another group",
            "set -m; sleep 1000 & exit 1",
            1,
            &["ended before that (exit status: 1)"],
        ),
        (
            "it leaves a child in another group, which is silent",
            "set -m; sleep 1000 >/dev/null 2>&1 & exit 1",
            1,
            &["ended before that (exit status: 1)"],
        ),
        (
            "it leaves a child in another session",
            "command -v setsid >/dev/null && setsid sleep 1000 & sleep 0.2; \
             exit 1",
            1,
            &["ended before that (exit status: 1)"],
        ),
        (
            "it ignores signals, and never listens",
            "trap '' TERM INT HUP; sleep 1000",
            1,
            &["has not listened within 5 s"],
        ),
        (
            "it ignores signals, and is right",
            "trap '' TERM INT HUP; exec SOLUTION \"$@\"",
            0,
            &["checks passed"],
        ),
        (
            "it stops itself",
            "kill -STOP $$",
            1,
            &["has not listened within 5 s"],
        ),
        (
            "it makes its own folder unreadable",
            "mkdir a; chmod 0 a .; exit 1",
            1,
            &["ended before that (exit status: 1)"],
        ),
    ];
    let complaints = side_by_side(CASES, |(case, script, status, words)| {
        let scene = Scene::new(script);
        let start = Instant::now();
        let output = scene.checker().output().unwrap();
        let took = start.elapsed();
        let report = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        scene.assert_nothing_is_left(case);
        let right = output.status.code() == Some(*status)
            && words.iter().all(|word| report.contains(word))
            && trouble.is_empty()
            && took < PATIENCE / 2;
        (!right).then(|| {
            format!(
                "{case}: {}, wanted {status}, {words:?}, no trouble; after \
                 {took:?}:\n{report}{trouble}",
                output.status
            )
        })
    });
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn errors_of_the_checker_have_status_2_and_a_next_step() {
    /// The fault, the words after `checker`, a setting, and the message.
    type Case = (
        &'static str,
        &'static str,
        (&'static str, &'static str),
        &'static str,
    );
    const CASES: &[Case] = &[
        (
            "no such program",
            "check /no/such/program 1",
            ("", ""),
            "finding /no/such/program: ",
        ),
        ("a folder", "check /tmp 1", ("", ""), "starting /tmp: "),
        ("no program", "check Cargo.toml 1", ("", ""), "Cargo.toml: "),
        (
            "TMPDIR is a file",
            "check PROGRAM 1",
            ("TMPDIR", "/dev/null"),
            "set TMPDIR to a folder that you can write to",
        ),
        (
            "TMPDIR is missing, and cargo would need it",
            "check solution 1",
            ("TMPDIR", "/no/such/folder"),
            "set TMPDIR to a folder that you can write to",
        ),
        (
            "TMPDIR takes no folder",
            "check PROGRAM 1",
            ("TMPDIR", "/proc"),
            "set TMPDIR to a folder that you can write to",
        ),
        (
            "TMPDIR is missing",
            "check PROGRAM 1",
            ("TMPDIR", "/no/such/folder"),
            "set TMPDIR to a folder that you can write to",
        ),
        (
            "SEED is a word",
            "check PROGRAM 1",
            ("SEED", "spring"),
            "SEED=spring is not a number",
        ),
        (
            "SEED is negative",
            "check PROGRAM 1",
            ("SEED", "-1"),
            "SEED=-1 is not a number",
        ),
        (
            "ENGINE is unknown",
            "check PROGRAM 1",
            ("ENGINE", "1.13"),
            "there are 20.10, 26.1, 28.5",
        ),
        (
            "an unknown step",
            "check PROGRAM 99",
            ("", ""),
            "no step 99; the steps are 1, 2",
        ),
        (
            "step 0",
            "check PROGRAM 0",
            ("", ""),
            "no step 0; the steps are 1, 2",
        ),
        (
            "no number",
            "check PROGRAM one",
            ("", ""),
            "no step one; the steps are 1, 2",
        ),
        ("no step", "check PROGRAM", ("", ""), "no command `check"),
        ("nothing", "", ("", ""), "a command is missing"),
        (
            "an unknown command",
            "chekc PROGRAM 1",
            ("", ""),
            "no command `chekc",
        ),
        ("an unknown option", "check --quick PROGRAM 1", ("", ""), "'--quick'"),
        (
            "an unknown kind",
            "run quickly 1",
            ("", ""),
            "neither `exercise` nor `solution`",
        ),
    ];
    for (case, words, (setting, value), said) in CASES {
        let scene = Scene::new("exec SOLUTION \"$@\"");
        let mut checker = checker_in(&scene.temp());
        for word in words.split_whitespace() {
            match word {
                "PROGRAM" => checker.arg(scene.script()),
                word => checker.arg(word),
            };
        }
        if !setting.is_empty() {
            checker.env(setting, value);
        }
        let output = checker.output().unwrap();
        let trouble = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        assert_eq!(status.code(), Some(2), "{case}: {status}\n{trouble}");
        assert!(trouble.contains(said), "{case}: wanted {said}\n{trouble}");
        assert_eq!(trouble.lines().count(), 1, "{case}: one line\n{trouble}");
        scene.assert_nothing_is_left(case);
    }
}

#[test]
fn outside_of_the_project_the_checker_says_so() {
    let scene = Scene::new("");
    let output = scene.checker().current_dir("/").output().unwrap();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{trouble}");
    assert!(trouble.contains("not inside the workshop's folder"), "{trouble}");
}

/// Starts a checker whose plugin never listens, and waits until the plugin runs.
#[track_caller]
fn in_the_middle_of_a_check(scene: &Scene) -> std::process::Child {
    let mut checker = scene.checker();
    let checker = checker.stdout(Stdio::null()).spawn().unwrap();
    let started = scene.folder.path().join("started");
    // The plugins of a checker that was killed may start late.
    let own = format!("/workshop-{}-", checker.id());
    let has_started = || {
        let sockets = fs::read_to_string(&started).unwrap_or_default();
        sockets.contains(&own).then_some(())
    };
    wait_until(PATIENCE, has_started).expect("it starts");
    checker
}

const SLEEPER: &str = "(set -m; sleep 1000 >/dev/null 2>&1 &); echo \"$1\" >>FOLDER/started; \
     sleep 1000";

#[test]
fn a_signal_in_the_middle_of_a_check_leaves_nothing() {
    let cases = [
        ("Ctrl-C", Signal::INT),
        ("kill", Signal::TERM),
        ("a closed terminal", Signal::HUP),
    ];
    for (case, signal) in cases {
        let scene = Scene::new(SLEEPER);
        let mut checker = in_the_middle_of_a_check(&scene);
        assert!(!left_in(&scene.temp()).is_empty(), "{case}: a check runs");
        kill_process(Pid::from_child(&checker), signal).unwrap();
        let status = checker.wait().unwrap();
        assert_eq!(status.code(), Some(128 + signal.as_raw()), "{case}");
        scene.assert_nothing_is_left(case);
    }
}

/// A child that leaves the process group and the session, and has neither an
/// environment, nor a folder, nor an open file that would lead to it.
const HIDDEN: &str = "(env -i setsid sh -c 'echo $$ >FOLDER/pid; cd /; \
                      mv FOLDER/pid FOLDER/hidden; exec sleep 1000' \
                      <&- >&- 2>&- &); ";

#[test]
#[cfg(target_os = "linux")]
fn a_hidden_child_does_not_outlive_the_checker() {
    let cases = [
        ("the plugin ends", None, "exit 3"),
        ("the plugin is right", None, "exec SOLUTION \"$@\""),
        ("Ctrl-C", Some(Signal::INT), "sleep 1000"),
        ("kill", Some(Signal::TERM), "sleep 1000"),
        ("a closed terminal", Some(Signal::HUP), "sleep 1000"),
        ("kill -9", Some(Signal::KILL), "sleep 1000"),
    ];
    // A process that is not the plugin's must keep running.
    let mut other = Command::new("setsid").args(["sleep", "1000"]).spawn();
    let other = other.as_mut().unwrap();
    for (case, signal, then) in cases {
        let scene = Scene::new(&format!(
            "{HIDDEN} until [ -e FOLDER/hidden ]; do sleep 0.01; done; \
             echo \"$1\" >>FOLDER/started; {then}"
        ));
        match signal {
            None => drop(scene.checker().output().unwrap()),
            Some(signal) => {
                let mut checker = in_the_middle_of_a_check(&scene);
                kill_process(Pid::from_child(&checker), signal).unwrap();
                checker.wait().unwrap();
            }
        }
        let hidden = fs::read_to_string(scene.folder.path().join("hidden"));
        let hidden = processes::id_of(&hidden.unwrap());
        let gone = || test_kill_process(hidden.unwrap()).is_err().then_some(());
        assert!(wait_until(PATIENCE, gone).is_some(), "{case}: it still runs");
    }
    assert!(other.try_wait().unwrap().is_none(), "another's process is gone");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn an_empty_tmpdir_means_no_tmpdir() {
    let scene = Scene::new("exec SOLUTION \"$@\"");
    let before = left_in(&root());
    let output = scene.checker().env("TMPDIR", "").output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(left_in(&root()), before, "nothing is left in the checkout");
}

#[test]
fn the_next_run_sweeps_what_a_killed_checker_left() {
    let scene = Scene::new(SLEEPER);
    let mut killed = in_the_middle_of_a_check(&scene);
    kill_process(Pid::from_child(&killed), Signal::KILL).unwrap();
    killed.wait().unwrap();
    let left = left_in(&scene.temp());
    assert!(!left.is_empty(), "kill -9 leaves something to sweep");

    // Another checker that still runs must keep its folder.
    let mut running = in_the_middle_of_a_check(&scene);
    let still = || -> Vec<_> {
        let now = left_in(&scene.temp());
        left.iter().filter(|file| now.contains(file)).cloned().collect()
    };
    wait_until(PATIENCE, || still().is_empty().then_some(()));
    let still = still();
    // Another script: the system may be about to execute the one above, and then
    // refuses to write it.
    let ends = Scene::new("exit 1");
    let mut checker = checker_in(&scene.temp());
    let checker = checker.arg("check").arg(ends.script()).arg("1");
    let output = checker.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let kept = left_in(&scene.temp());
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    running.wait().unwrap();
    scene.assert_nothing_is_left("after kill -9");
    assert!(still.is_empty(), "not swept: {still:#?}");
    assert!(!kept.is_empty(), "it swept what a running checker uses");
}

#[test]
fn a_folder_for_temporary_files_may_have_any_path() {
    let cases = [
        ("blanks", "a folder with blanks/and 'quotes'".to_owned(), 0),
        ("too long for a socket", "long/".repeat(30), 0),
        ("unicode", "ordnér/文件夹".to_owned(), 0),
    ];
    for (case, name, status) in cases {
        let scene = Scene::new("exec SOLUTION \"$@\"");
        let temp = scene.folder.path().join(name);
        fs::create_dir_all(&temp).unwrap();
        let output = scene.checker().env("TMPDIR", &temp).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{case}:\n{report}");
        assert_eq!(left_in(&temp), [""; 0], "{case}: left behind");
    }
}
