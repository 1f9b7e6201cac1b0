//! Runs `prover carry` in a copy of the steps: it changes the right lines, shows
//! edits that find no place, and loses nothing else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checker::starters;
use stand_in::cleanup::Folder;
use stand_in::steps::{self, Kind, Step};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The steps in a git repository of their own, committed, with untouched
/// exercises.
struct Copy {
    folder: Folder,
    steps: Vec<Step>,
}

impl Copy {
    /// `None` where git is missing.
    fn new() -> Option<Self> {
        let has_git = Command::new("git").arg("--version").output();
        if !has_git.is_ok_and(|output| output.status.success()) {
            assert!(env::var_os("CI").is_none(), "git is missing");
            println!("skipped: a change cannot be carried without git");
            return None;
        }
        let steps = steps::all(&root()).unwrap();
        let copy = Self { folder: Folder::new().unwrap(), steps };
        for step in &copy.steps {
            let solution = starters::read(&root(), step, Kind::Solution);
            let starter = starters::pristine(&root(), step);
            let sides = [(Kind::Solution, solution), (Kind::Exercise, starter)];
            for (kind, sources) in sides {
                for (name, text) in sources.unwrap() {
                    copy.write(&step.folder(kind).join(name), &text);
                }
            }
            let patch = patch(step);
            let text = fs::read_to_string(root().join(&patch)).unwrap();
            copy.write(&patch, &text);
        }
        copy.git(&["init", "--quiet"]);
        copy.commit("Begin");
        Some(copy)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    fn git(&self, words: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
            .args(["-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"])
            .args(words)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self, subject: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
    }

    /// The paths that are not as committed.
    fn changed(&self) -> Vec<String> {
        let status = self.git(&["status", "--porcelain", "--no-renames"]);
        status.lines().map(|line| line[3..].to_owned()).collect()
    }

    fn write(&self, name: &Path, text: &str) {
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[track_caller]
    fn read(&self, name: &Path) -> String {
        let file = self.path().join(name);
        fs::read_to_string(&file)
            .unwrap_or_else(|err| panic!("{file:?}: {err}"))
    }

    /// Replaces a text that a file has once.
    #[track_caller]
    fn edit(&self, step: u32, kind: Kind, name: &str, old: &str, new: &str) {
        let file = self.file(step, kind, name);
        let text = self.read(&file);
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {file:?}");
        self.write(&file, &text.replace(old, new));
    }

    fn prepend(&self, step: u32, kind: Kind, name: &str, line: &str) {
        let file = self.file(step, kind, name);
        self.write(&file, &format!("{line}{}", self.read(&file)));
    }

    fn step(&self, number: u32) -> &Step {
        self.steps.iter().find(|step| step.number == number).unwrap()
    }

    fn file(&self, step: u32, kind: Kind, name: &str) -> PathBuf {
        self.step(step).folder(kind).join(name)
    }

    /// Runs `prover carry`, and returns the exit status and the output.
    #[track_caller]
    fn carry(&self, words: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } =
            Command::new(env!("CARGO_BIN_EXE_prover"))
                .arg("carry")
                .args(words)
                .current_dir(self.path())
                .output()
                .unwrap();
        let said = [stdout, stderr].concat();
        (status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Each exercise is its solution and its recorded patch.
    #[track_caller]
    fn has_starters(&self) {
        for step in &self.steps {
            let starter = starters::pristine(self.path(), step).unwrap();
            let exercise =
                starters::read(self.path(), step, Kind::Exercise).unwrap();
            assert_eq!(exercise, starter, "{}", step.name);
        }
    }
}

fn patch(step: &Step) -> PathBuf {
    format!("docker/checker/starters/{:02}.patch", step.number).into()
}

/// A given line of every step, and what it becomes.
const OLD: &str = "fn main() -> Result<()> {\n";
const NEW: &str = "fn main() -> Result<()> { // changed\n";

/// The files of a step, in both crates, that have a line.
fn places(copy: &Copy, step: u32, line: &str) -> Vec<PathBuf> {
    let kinds = [Kind::Solution, Kind::Exercise];
    let sources = kinds.map(|kind| {
        let step = copy.step(step);
        let sources = starters::read(copy.path(), step, kind).unwrap();
        let having =
            sources.into_iter().filter(|(_, text)| text.contains(line));
        having
            .map(move |(name, _)| step.folder(kind).join(name))
            .collect::<Vec<_>>()
    });
    sources.concat()
}

#[test]
fn a_change_of_a_given_line_is_in_all_later_steps_and_starters() {
    let Some(copy) = Copy::new() else { return };
    let before: Vec<_> = (1..=8).map(|step| places(&copy, step, OLD)).collect();
    let name = "src/main.rs";
    copy.edit(3, Kind::Solution, name, OLD, NEW);
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 0, "{said}");
    for (step, files) in (1..=8).zip(before) {
        let changed = places(&copy, step, NEW);
        let wanted = if step < 3 { Vec::new() } else { files };
        assert_eq!(changed, wanted, "step {step}: {said}");
        assert_eq!(step < 3, changed.is_empty(), "step {step} has the line");
    }
    copy.has_starters();

    // A second run changes nothing, and a committed change has the same result.
    let once = copy.git(&["diff"]);
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(copy.git(&["diff"]), once, "{said}");
    copy.git(&["checkout", "--", "."]);
    copy.edit(3, Kind::Solution, name, OLD, NEW);
    copy.commit("Change step 3");
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("Change step 3"), "{said}");
    copy.commit("Carry it");
    copy.prepend(5, Kind::Solution, "src/clock.rs", "//! Changed.\n");
    let (status, said) = copy.carry(&["5"]);
    assert_eq!(status, 0, "{said}");
    copy.commit("Change step 5, and carry it");
    let (status, said) = copy.carry(&["3", "HEAD~2"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(copy.changed(), [""; 0], "{said}");
    copy.has_starters();
}

#[test]
fn a_step_that_has_other_lines_there_is_shown_and_keeps_them() {
    let Some(copy) = Copy::new() else { return };
    let theirs = "fn main() -> Result<()> { // another\n";
    let name = "src/main.rs";
    copy.edit(5, Kind::Solution, name, OLD, theirs);
    let (status, said) = copy.carry(&["5"]);
    assert_eq!(status, 0, "{said}");
    copy.commit("Step 5 on have another line");
    // An uncommitted change of another line must survive.
    copy.edit(6, Kind::Solution, name, "mod text;", "mod mine;\nmod text;");
    copy.edit(6, Kind::Exercise, name, "mod text;", "mod mine;\nmod text;");

    copy.edit(3, Kind::Solution, name, OLD, NEW);
    let new_function = "\n/// New.\npub fn new() {}\n";
    let text = "src/text.rs";
    let tests = "\n#[cfg(test)]";
    let added = format!("{new_function}{tests}");
    copy.edit(3, Kind::Solution, text, tests, &added);
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 1, "{said}");
    for step in 5..=8 {
        let file = copy.file(step, Kind::Solution, name);
        assert!(said.contains(&*file.to_string_lossy()), "{said}");
    }
    assert!(said.contains("the file has no such lines"), "{said}");
    for line in [format!("-{OLD}"), format!("+{NEW}")] {
        assert_eq!(said.matches(&line).count(), 1, "{line} in {said}");
    }
    for step in 3..=8 {
        let line = if step < 5 { NEW } else { theirs };
        assert_eq!(places(&copy, step, line).len(), 2, "step {step}");
        assert_eq!(places(&copy, step, new_function).len(), 2, "step {step}");
        assert!(places(&copy, step, "<<<<<<<").is_empty(), "step {step}");
    }
    assert_eq!(places(&copy, 6, "mod mine;\n").len(), 2);
    copy.has_starters();
}

#[test]
fn a_change_in_a_hole_is_in_later_steps_and_not_in_the_hole() {
    let Some(copy) = Copy::new() else { return };
    let (name, old) = ("src/protocol.rs", "if body.is_empty() {");
    let new = "if body.is_empty() || body == b\"null\" {";
    copy.edit(2, Kind::Solution, name, old, new);
    let (status, said) = copy.carry(&["2"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("left to the learner in 2.2"), "{said}");
    for step in 2..=8 {
        let places = places(&copy, step, new);
        assert_eq!(places.len(), if step == 2 { 1 } else { 2 }, "{places:?}");
    }
    copy.has_starters();
}

#[test]
fn files_come_go_and_move_in_later_steps_as_well() {
    let Some(copy) = Copy::new() else { return };
    let file =
        |step, name| copy.path().join(copy.file(step, Kind::Solution, name));
    fs::rename(file(4, "src/turn.rs"), file(4, "src/round.rs")).unwrap();
    copy.prepend(4, Kind::Solution, "src/round.rs", "//! Moved.\n");
    copy.edit(4, Kind::Solution, "src/main.rs", "mod turn;", "mod round;");
    fs::write(file(4, "src/more.rs"), "//! More.\n").unwrap();
    let (status, said) = copy.carry(&["4"]);
    assert_eq!(status, 0, "{said}");
    for step in 4..=8 {
        for kind in [Kind::Solution, Kind::Exercise] {
            let sources =
                starters::read(copy.path(), copy.step(step), kind).unwrap();
            let has = |name: &str| sources.get(Path::new(name));
            assert!(has("src/turn.rs").is_none(), "{kind} {step}");
            assert_eq!(has("src/more.rs").unwrap(), "//! More.\n");
            assert!(has("src/round.rs").unwrap().starts_with("//! Moved.\n"));
            assert!(has("src/main.rs").unwrap().contains("mod round;\n"));
        }
    }
    copy.has_starters();
}

#[test]
fn a_change_that_cannot_be_carried_is_refused_before_any_write() {
    let Some(copy) = Copy::new() else { return };
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("no earlier solutions/03-volumes"), "{said}");
    let (status, said) = copy.carry(&["3", "no-such-commit"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("no-such-commit"), "{said}");

    copy.edit(3, Kind::Solution, "src/main.rs", OLD, NEW);
    copy.edit(4, Kind::Exercise, "src/volumes.rs", "// TODO(4.2): ", "// ");
    let (status, said) = copy.carry(&["3"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("exercises/04-mount lacks hole 4.2"), "{said}");
    assert!(said.contains("make reset-exercise-4"), "{said}");
    assert_eq!(copy.changed().len(), 2, "{said}");
}
