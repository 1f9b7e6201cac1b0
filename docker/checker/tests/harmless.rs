//! The checker touches nothing outside of the ROOT that it has made, whatever path a
//! plugin answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use checker::starters::Sources;
use stand_in::cleanup::Folder;
use stand_in::finding::Fault;
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::report::{Report, Verdict};
use stand_in::root::BELOW_ROOT;
use stand_in::steps::{self, Kind};
use stand_in::{checks, mounts};

use common::{
    SEED, Workspace, differs_from_record, masked, root, side_by_side,
};

/// `liar.rs`, built.
static LIAR: LazyLock<PathBuf> = LazyLock::new(|| {
    let manifest = "[package]\nname = \"liar\"\nedition = \"2024\"\n";
    let sources = Sources::from([
        ("Cargo.toml".into(), manifest.to_owned()),
        ("src/main.rs".into(), include_str!("harmless/liar.rs").to_owned()),
    ]);
    let packages = [("liar".to_owned(), sources)];
    Workspace::write("liar", &packages).build().0.join("liar")
});

fn solution(step: u32) -> PathBuf {
    let step = steps::find(&root(), &step.to_string()).unwrap();
    checker::cargo::build(&root(), &step, Kind::Solution).unwrap()
}

/// A folder outside of ROOT, with a file for each name that checks write.
struct Outside {
    folder: Folder,
    before: BTreeMap<PathBuf, String>,
}

impl Outside {
    fn new() -> Self {
        let folder = Folder::new().unwrap();
        let path = folder.path().join("home");
        fs::create_dir_all(path.join("folder/deep")).unwrap();
        fs::create_dir(path.join("files")).unwrap();
        for file in ["file", "fill", "0", "1", "volume.json", "folder/file"] {
            fs::write(path.join(file), "irreplaceable").unwrap();
        }
        // This file is as long as a volume's image.
        File::create(path.join("image")).unwrap().set_len(16 << 20).unwrap();
        let before = snapshot(&path);
        Self { folder, before }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    #[track_caller]
    fn assert_untouched(&self, case: &str) {
        assert_eq!(snapshot(&self.path()), self.before, "{case}");
    }
}

/// All entries of a folder, with their text and the time of their last change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let text = match metadata.is_file() && metadata.len() < 1 << 20 {
            true => fs::read_to_string(&path).unwrap(),
            false => String::new(),
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let words = format!(
            "{:o} {}:{} {} bytes, {}.{} {text:?}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.len(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        );
        all.insert(path, words);
    }
    all
}

/// How the plugin lies, the step whose solution it uses, and the check that finds the
/// lie first.
const CASES: &[(&str, u32, &str)] = &[
    ("outside", 4, "4.in-root"),
    ("link", 4, "4.in-root"),
    ("becomes-a-link", 4, "4.mountpoint"),
    ("root-is-a-link", 4, "4.in-root"),
    ("home", 4, "4.in-root"),
    ("slash", 4, "4.in-root"),
    ("outside", 6, "4.in-root"),
    ("becomes-a-link", 6, "4.mountpoint"),
    ("root-is-a-link", 6, "4.in-root"),
    ("link", 8, "8.size-holds"),
];

#[test]
fn a_path_that_leads_out_of_root_is_a_finding_and_nothing_is_touched() {
    let complaints = side_by_side(CASES, |(how, step, first)| {
        let case = format!("{how}, step {step}");
        if *step == 8
            && let Some(why) = mounts::missing()
        {
            println!("skipped: {case}: {why}");
            return None;
        }
        let outside = Outside::new();
        let path = outside.path().display().to_string();
        let solution = solution(*step).display().to_string();
        let program =
            Program::with_args(&LIAR, &[how, &path, &solution]).unwrap();
        // A plugin that answers with HOME gets this folder, not the user's.
        let program = program.after(&format!("export HOME='{path}'"));
        let mut harness = Harness::new(program);
        harness.seed = SEED;
        let mut report = Report::new(&LIAR, SEED);
        let mut seen: Option<(&str, String)> = None;
        // For step 8, run only its own checks, which take long enough.
        let from = if *step == 8 { 8 } else { 4 };
        let steps = from..=*step;
        for check in checks::all().filter(|check| steps.contains(&check.step)) {
            harness.prepare_for(check.id);
            let outcome = (check.run)(&mut harness);
            outside.assert_untouched(&format!("{case}: {}", check.id));
            let found = match &outcome {
                Err(Fault::Wrong(finding)) => finding.expected == BELOW_ROOT,
                _ => false,
            };
            if let Ok(verdict) = Verdict::of(outcome, harness.log()) {
                report.add(check, verdict);
            }
            if found && seen.is_none() {
                let lines = report.last().unwrap().to_string();
                let lines = anstream::adapter::strip_str(&lines).to_string();
                seen = Some((check.id, lines.replace(&path, "OUTSIDE")));
            }
        }
        let (id, lines) = seen.unwrap_or_default();
        if id != *first {
            return Some(format!("{case}: found by {id:?}, not by {first}"));
        }
        let file = format!("out-of-root-{how}-{step:02}.txt");
        differs_from_record(&file, &masked(&lines))
    });
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn no_container_of_a_story_writes_out_of_root() {
    if let Some(why) = checker::dockerd::no_private() {
        println!("skipped: stories of wrong plugins: {why}");
        return;
    }
    let solution = solution(4).display().to_string();
    for how in ["outside", "becomes-a-link"] {
        let outside = Outside::new();
        let path = outside.path().display().to_string();
        let script = outside.folder.path().join("plugin");
        // Another process writes the script: see `misbehaving.rs`.
        let words = format!(
            "printf '#!/bin/sh\\nexec \"{}\" {how} \"{path}\" \"{solution}\" \
             \"$@\"\\n' >\"$1\"; chmod 755 \"$1\"",
            LIAR.display()
        );
        let mut write = Command::new("sh");
        write.args(["-c", &words, "sh"]).arg(&script);
        assert!(write.status().unwrap().success());
        let mut checker = Command::new(env!("CARGO_BIN_EXE_checker"));
        checker.arg("check").arg(&script).arg("4").current_dir(root());
        checker.envs([("AGAINST", "docker"), ("DOCKERD", "private")]);
        let output = checker.stdin(Stdio::null()).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        outside.assert_untouched(how);
        assert_eq!(output.status.code(), Some(1), "{report}{trouble}");
        assert!(report.contains(BELOW_ROOT), "{how}:\n{report}");
    }
}
