//! Tests of the scripts that people and make call: they work in their own checkout.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use stand_in::cleanup::Folder;
use stand_in::steps::{self, Kind};

use common::root;

/// The scripts, and arguments with which their output depends on the checkout: on
/// the name of the sandbox, or on the folder in which they call cargo.
const SCRIPTS: &[(&str, &[&str])] = &[
    ("docker/prover/run.sh", &["lint"]),
    ("docker/sandbox.sh", &["container"]),
    ("slides/run.sh", &["pdf", "slides.pdf"]),
];

#[test]
fn a_cdpath_leads_no_script_into_another_checkout() {
    let folder = Folder::new().unwrap();
    let decoy = folder.path().join("decoy");
    for inner in ["docker/checker", "docker/prover", "slides"] {
        fs::create_dir_all(decoy.join(inner)).unwrap();
    }
    for file in ["toolbox.Dockerfile", "toolbox-init.sh"] {
        fs::write(decoy.join("docker").join(file), "").unwrap();
    }
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // Another process writes these: see `misbehaving.rs`. The machine's own npm would
    // write to HOME and to the checkout.
    let failing =
        "printf '#!/bin/sh\\npwd -P\\nexit 1\\n' >\"$1\"; chmod 755 \"$1\"";
    for program in ["cargo", "npm"] {
        let mut write = Command::new("sh");
        write.args(["-c", failing, "sh"]).arg(bin.join(program));
        assert!(write.status().unwrap().success());
    }
    for (script, words) in SCRIPTS {
        let said = |cdpath: Option<&str>| {
            let mut command = Command::new("sh");
            command.arg(script).args(*words).current_dir(root());
            command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
            command.env("CARGO_TARGET_DIR", folder.path().join("target"));
            match cdpath {
                Some(path) => command.env("CDPATH", path),
                None => command.env_remove("CDPATH"),
            };
            let output = command.output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let here = said(None);
        assert!(!here.is_empty(), "{script} says where it is");
        assert_eq!(said(decoy.to_str()), here, "{script}");
    }
}

#[test]
fn make_knows_a_step_as_people_write_it_or_asks_for_it() {
    let steps = steps::all(&root()).unwrap();
    let steps: Vec<_> =
        steps.iter().map(|step| step.number.to_string()).collect();
    let none = &*format!("there are {}", steps.join(" "));
    for (target, status, words) in [
        ("hint-1", Some(0), "run.sh hint 1\n"),
        ("hint-01", Some(0), "run.sh hint 1\n"),
        ("check-solution-008", Some(0), "run.sh check solution 8\n"),
        ("check-exercise-99", Some(2), none),
        ("check-exercise-0", Some(2), none),
        ("check-exercise-1x", Some(2), none),
        ("check-exercise-", Some(2), ""),
        ("check-exercise", Some(0), "run.sh check exercise\n"),
        ("run-exercise", Some(0), "run.sh run exercise\n"),
        ("watch-exercise", Some(0), "run.sh watch\n"),
        ("diff-exercise", Some(0), "run.sh diff\n"),
        ("hint", Some(0), "run.sh hint\n"),
        ("check-solution", Some(2), "needs a step"),
        ("reset-exercise", Some(2), "needs a step"),
    ] {
        // What would run is printed, except where make calls itself: that runs.
        let dry: &[&str] = if status == Some(0) { &["-n"] } else { &[] };
        let mut make = Command::new("make");
        make.args(dry).arg(target).current_dir(root());
        // Flags of a make that these tests were started by.
        let output = make.env_remove("MAKEFLAGS").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), status, "{target}: {said}");
        assert!(said.contains(words), "{target}: {said}");
    }
}

#[test]
fn make_knows_the_step_of_the_folder_that_it_is_called_in() {
    for step in steps::all(&root()).unwrap() {
        let number = step.number;
        let folder = root().join(step.folder(Kind::Exercise));
        for (target, meant) in [
            ("check", format!("check-exercise-{number}")),
            ("check-exercise", format!("check-exercise-{number}")),
            ("hint", format!("hint-{number}")),
            ("reset", format!("reset-exercise-{number}")),
            ("check-solution-9", "check-solution-9".to_owned()),
            ("status", "status".to_owned()),
        ] {
            let mut make = Command::new("make");
            // make, called by make, says where it is.
            make.arg("--no-print-directory").args(["-n", target, "MAKE=:"]);
            make.current_dir(&folder);
            let output = make.env_remove("MAKEFLAGS").output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let case = format!("{target} in {}: {said}", step.name);
            assert!(output.status.success(), "{case}");
            assert!(said.trim_end().ends_with(&format!(" {meant}")), "{case}");
        }
    }
}

#[test]
fn cargo_is_asked_unless_the_program_is_that_of_this_checkout() {
    let folder = Folder::new().unwrap();
    let debug = folder.path().join("target/debug");
    let bin = folder.path().join("bin");
    fs::create_dir_all(&debug).unwrap();
    fs::create_dir(&bin).unwrap();
    // Written by another process: see `misbehaving.rs`.
    let program = |file: &Path, says: &str| {
        let script = "printf '#!/bin/sh\\necho %s\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let mut write = Command::new("sh");
        write.args(["-c", script, "sh"]).arg(file).arg(says);
        assert!(write.status().unwrap().success());
    };
    program(&bin.join("cargo"), "cargo");
    program(&debug.join("checker"), "checker");
    let said = || {
        let mut script = Command::new("sh");
        script.args(["docker/checker/run.sh", "hint", "1"]).current_dir(root());
        script.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        script.env("CARGO_TARGET_DIR", folder.path().join("target"));
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    };
    assert_eq!(said(), "cargo\nchecker\n", "no list of sources");
    let sources = debug.join("checker.d");
    fs::write(&sources, "checker: /else/docker/checker/src/main.rs\n").unwrap();
    assert_eq!(said(), "cargo\nchecker\n", "those of another checkout");
    let main = root().join("docker/checker/src/main.rs");
    fs::write(&sources, format!("checker: {}\n", main.display())).unwrap();
    assert_eq!(said(), "checker\n", "those of this one");
}
