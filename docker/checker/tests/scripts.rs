//! The scripts that people and make call work in the checkout that they are in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::process::Command;

use stand_in::cleanup::Folder;

use common::root;

/// The scripts, with words for which they say where they are: by the name of
/// the sandbox, or by the folder in which they call cargo.
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
    // Written by another process: see `misbehaving.rs`. The machine's own npm
    // would fetch into HOME and the checkout.
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
