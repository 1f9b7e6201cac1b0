//! Tests of the starters: a starter compiles without a warning, fails at its first
//! hole, and differs from its solution only in the holes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use checker::starters::{self, Sources};
use stand_in::checks::{self, Check, Plan};
use stand_in::cleanup::Folder;
use stand_in::steps::{self, Kind, Step};

use common::{Outcome, Workspace, cargo, differs_from_record, outcome, root};

/// The starters as learners first get them. `exercises/` is not read.
static STARTERS: LazyLock<Workspace> = LazyLock::new(|| {
    let packages: Vec<_> =
        all_steps().iter().map(|step| (package(step), starter(step))).collect();
    Workspace::write("starters", &packages)
});

fn all_steps() -> Vec<Step> {
    steps::all(&root()).unwrap()
}

fn starter(step: &Step) -> Sources {
    starters::pristine(&root(), step).unwrap()
}

fn solution(step: &Step) -> Sources {
    starters::read(&root(), step, Kind::Solution).unwrap()
}

/// The name of a starter's package. `exercise-01` would overwrite the learner's
/// program.
fn package(step: &Step) -> String {
    format!("starter-{:02}", step.number)
}

/// Whether this is the project's own CI, where exercises must be the starters and
/// READMEs must exist.
fn in_ci() -> bool {
    env::var_os("CI").is_some()
}

#[test]
fn each_exercise_is_its_starter_unless_a_learner_has_begun() {
    for step in all_steps() {
        let folder = step.folder(Kind::Exercise);
        let folder = folder.display();
        let pristine = starter(&step);
        let exercise = starters::read(&root(), &step, Kind::Exercise);
        if exercise.as_ref().is_ok_and(|sources| *sources == pristine) {
            continue;
        }
        let all = starters::holes(&pristine).len();
        let left = exercise.map(|sources| starters::holes(&sources).len());
        let filled = all.saturating_sub(left.unwrap_or(all));
        println!("{folder} is yours: {filled} of {all} holes filled");
        assert!(
            !in_ci(),
            "{folder} is not solution and docker/checker/starters/{:02}.patch; \
             prover record {} writes the patch",
            step.number,
            step.number
        );
    }
}

#[test]
fn each_starter_fails_at_its_own_first_hole_and_reads_as_recorded() {
    let (programs, _) = STARTERS.build();
    for step in all_steps() {
        let name = package(&step);
        let plan = Plan::new(step.number);
        let Outcome { failed, not_tried } =
            outcome(&programs.join(&name), plan);
        let first = failed.first();
        let first = first.unwrap_or_else(|| panic!("{name} has no hole"));
        let check = checks::all().find(|check| check.id == first.id).unwrap();
        let lines = &first.lines;
        assert_eq!(check.step, step.number, "{name} fails too early:\n{lines}");
        let hole = format!("TODO {}.1", step.number);
        let is_there =
            |check: &Check| check.place.split(", ").any(|place| place == hole);
        let skipped = checks::all()
            .filter(|check| is_there(check))
            .find_map(|check| not_tried.get(check.id));
        if let Some(why) = skipped {
            println!("skipped: that {name} fails at {hole}: {why}");
            continue;
        }
        assert!(is_there(check), "{name} does not fail at {hole}:\n{lines}");
        if let Some(text) = differs_from_record(&format!("{name}.txt"), lines) {
            panic!("{text}");
        }
    }
}

#[test]
fn each_starter_compiles_without_a_warning() {
    let clippy = cargo().args(["clippy", "--version"]).output();
    let has_clippy = clippy.is_ok_and(|output| output.status.success());
    if !has_clippy {
        assert!(!in_ci(), "cargo clippy is missing");
        println!(
            "skipped: clippy's opinion of the starters; rustup component add clippy brings it",
        );
    }
    let words: &[&str] =
        if has_clippy { &["build", "clippy"] } else { &["build"] };
    for word in words {
        let output = STARTERS.cargo(&[word]);
        assert!(!output.contains("warning"), "cargo {word}:\n{output}");
    }
}

/// A starter's text without the parts that a learner replaces.
#[derive(Debug, Default, PartialEq)]
struct Cut {
    /// The parts that the solution must have, in this order.
    kept: Vec<String>,
    /// The cut after each part except the last one: a hole's id, or `None` for an
    /// attribute, which the solution does not have.
    between: Vec<Option<String>>,
}

/// Cuts a text at holes and at `expect(…, reason = "TODO(N)…")` attributes.
fn cut(text: &str) -> Cut {
    let mut cut = Cut::default();
    let mut kept = String::new();
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let between = if let Some(id) = starters::hole_in(line) {
            let comment = |line: &&str| line.trim_start().starts_with("//");
            while lines.next_if(comment).is_some() {}
            let todo = format!("todo!(\"{id}\")");
            if lines.next_if(|line| line.contains(&todo)).is_none() {
                // The old behaviour stands here, up to the end of its block.
                let inside = |next: &&str| {
                    !next.trim().is_empty() && indent(next) >= indent(line)
                };
                while lines.next_if(inside).is_some() {}
            }
            Some(id.to_owned())
        } else if line.trim_start().starts_with("#![expect(")
            || line.trim_start().starts_with("#[expect(")
        {
            let mut attribute = line.to_owned();
            while !attribute.trim_end().ends_with(")]") {
                attribute += lines.next().expect("an attribute has an end");
            }
            if !attribute.contains("reason = \"TODO(") {
                kept += &attribute;
                continue;
            }
            // Also skip the blank line after the attribute.
            lines.next_if(|line| line.trim().is_empty());
            None
        } else {
            kept += line;
            continue;
        };
        cut.kept.push(std::mem::take(&mut kept));
        cut.between.push(between);
    }
    cut.kept.push(kept);
    cut
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The solution's text in each hole, or why the solution differs elsewhere.
fn fillings(
    cut: &Cut,
    solution: &str,
) -> Result<BTreeMap<String, String>, String> {
    let (first, rest) = cut.kept.split_first().expect("there is one");
    let Some(mut solution) = solution.strip_prefix(first.as_str()) else {
        return Err(format!("it does not begin with\n{first}"));
    };
    let mut fillings = BTreeMap::new();
    for (index, (kept, hole)) in rest.iter().zip(&cut.between).enumerate() {
        let is_last = index + 1 == rest.len();
        let at = match is_last {
            true if solution.ends_with(kept) => {
                Some(solution.len() - kept.len())
            }
            true => None,
            false => solution.find(kept.as_str()),
        };
        let Some(at) = at else {
            return Err(format!("it lacks, or has elsewhere,\n{kept}"));
        };
        let filling = &solution[..at];
        match hole {
            Some(id) => {
                fillings.insert(id.clone(), filling.to_owned());
            }
            None if filling.is_empty() => {}
            None => {
                return Err(format!(
                    "it has more than the starter:\n{filling}"
                ));
            }
        }
        solution = &solution[at + kept.len()..];
    }
    Ok(fillings)
}

fn filled_lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

#[test]
fn each_solution_is_its_starter_with_the_holes_filled() {
    for step in all_steps() {
        let name = &step.name;
        let (starter, solution) = (starter(&step), solution(&step));
        let mut filled = BTreeMap::new();
        for (file, text) in &starter {
            if file == Path::new("Cargo.toml") {
                continue;
            }
            let twin = &solution[file];
            let case = format!("solutions/{name}/{}", file.display());
            for word in ["TODO", "todo!(", "#![expect", "#[expect"] {
                assert!(!twin.contains(word), "{case} has {word}");
            }
            let fillings = fillings(&cut(text), twin);
            let fillings = fillings.unwrap_or_else(|why| {
                panic!("{case} is no twin of the starter: {why}")
            });
            filled.extend(fillings);
        }

        let ids = starters::holes(&starter);
        let ids: Vec<_> = ids.iter().map(|hole| hole.id.clone()).collect();
        let wanted: Vec<_> = (1..=ids.len())
            .map(|hole| format!("{}.{hole}", step.number))
            .collect();
        assert_eq!(ids, wanted, "{name}: holes are counted from N.1");
        assert!((1..=4).contains(&ids.len()), "{name}: {} holes", ids.len());
        let lines: Vec<_> = filled
            .iter()
            .map(|(id, text)| (id.as_str(), filled_lines(text)))
            .collect();
        let sum: usize = lines.iter().map(|hole| hole.1).sum();
        let given = given(&step, &starter);
        println!("{name}: {given} lines given, holes {lines:?}, {sum} in all");
        assert!((15..=60).contains(&sum), "{name}: {sum} lines in {lines:?}");
        // From step 6 on, a starter has given modules, and step 8 has the rest of the
        // driver.
        let most = match step.number {
            ..6 => 120,
            6 | 7 => 200,
            _ => 250,
        };
        assert!(given <= most, "{name}: {given} lines are given");
    }
}

/// The files of the step before that a step changes.
const CHANGED: &[(u32, &[&str])] = &[
    (2, &["src/main.rs"]),
    (3, &["src/main.rs", "src/protocol.rs"]),
    (4, &["src/main.rs", "src/protocol.rs", "src/volumes.rs"]),
    (5, &["src/main.rs", "src/protocol.rs", "src/volumes.rs"]),
    (6, &["src/main.rs", "src/protocol.rs", "src/root.rs", "src/volumes.rs"]),
    (7, &["src/main.rs", "src/server.rs"]),
    (
        8,
        &[
            "src/main.rs",
            "src/names.rs",
            "src/options.rs",
            "src/protocol.rs",
            "src/remove.rs",
            "src/volumes.rs",
        ],
    ),
    (
        9,
        &[
            "src/arguments.rs",
            "src/clock.rs",
            "src/listener.rs",
            "src/main.rs",
            "src/server.rs",
            "src/slots.rs",
            "src/socket.rs",
            "src/stop.rs",
        ],
    ),
];

#[test]
fn a_file_that_a_step_does_not_change_is_that_of_the_step_before() {
    for pair in all_steps().windows(2) {
        let [before, step] = pair else { unreachable!("pairs") };
        let (old, new) = (solution(before), solution(step));
        let in_src = old.iter().filter(|(file, _)| file.starts_with("src"));
        let changed =
            in_src.filter(|(file, text)| new.get(*file) != Some(text));
        let changed: Vec<_> = changed.map(|(file, _)| file.as_path()).collect();
        let row = CHANGED.iter().find(|row| row.0 == step.number);
        let listed = row.map_or(&[][..], |row| row.1);
        let listed: Vec<_> = listed.iter().map(Path::new).collect();
        assert_eq!(changed, listed, "{} changes other files", step.name);
    }
}

/// Given files that learners need not read, because no lesson is about them.
const UNREAD: &[(u32, &str)] = &[
    (1, "src/text.rs"),
    (1, "src/turn.rs"),
    (4, "src/root.rs"),
    (5, "src/clock.rs"),
    (6, "src/remove.rs"),
    (6, "src/root.rs"),
    (7, "src/listener.rs"),
    (7, "src/slots.rs"),
    (8, "src/arguments.rs"),
    (8, "src/mounts.rs"),
    (8, "src/names.rs"),
    (8, "src/options.rs"),
    (8, "src/programs.rs"),
    (8, "src/size.rs"),
    (9, "src/body.rs"),
    (9, "src/arguments.rs"),
    (9, "src/clock.rs"),
    (9, "src/connections.rs"),
    (9, "src/door.rs"),
    (9, "src/refusal.rs"),
    (9, "src/reply.rs"),
    (9, "src/spec.rs"),
    (9, "src/stream.rs"),
];

/// How many lines of code a starter has that the previous solution lacks. Unit tests
/// and `UNREAD` do not count, because learners need not read them.
fn given(step: &Step, starter: &Sources) -> usize {
    let before =
        all_steps().into_iter().find(|other| other.number + 1 == step.number);
    let before = before.map(|other| solution(&other)).unwrap_or_default();
    let code = |line: &str| {
        let line = line.trim();
        let besides = ["//", "use ", "pub use "];
        !line.is_empty()
            && !besides.iter().any(|prefix| line.starts_with(prefix))
    };
    let new_lines = |(file, text): (&PathBuf, &String)| {
        let kept = cut(text).kept.concat();
        let old = before.get(file).map_or("", String::as_str);
        let patch = diffy::create_patch(before_tests(old), before_tests(&kept));
        let lines = patch.hunks().iter().flat_map(|hunk| hunk.lines());
        let new = |line: &&diffy::Line<str>| match line {
            diffy::Line::Insert(text) => code(text),
            _ => false,
        };
        lines.filter(new).count()
    };
    let is_read = |file: &Path| {
        file.starts_with("src")
            && !UNREAD.iter().any(|unread| {
                (step.number, file) == (unread.0, Path::new(unread.1))
            })
    };
    let sources = starter.iter().filter(|source| is_read(source.0));
    sources.map(new_lines).sum()
}

/// A file up to its unit tests.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// The path and the text of an exercise's README. A learner may have removed it.
fn readme(step: &Step) -> Option<(String, String)> {
    let path = step.folder(Kind::Exercise).join("README.md");
    let name = path.display().to_string();
    let text = fs::read_to_string(root().join(path)).ok();
    if text.is_none() {
        assert!(!in_ci(), "{name} is missing");
        println!("skipped: {name} is missing");
    }
    Some((name, text?))
}

#[test]
fn each_hole_is_in_its_readme() {
    for step in all_steps() {
        let Some((name, text)) = readme(&step) else { continue };
        for hole in starters::holes(&starter(&step)) {
            assert!(text.contains(&hole.id), "{name} lacks hole {}", hole.id);
        }
    }
}

#[test]
fn each_readme_asks_two_questions() {
    for step in all_steps() {
        let Some((name, text)) = readme(&step) else { continue };
        let section = text
            .split("\n## ")
            .find_map(|section| section.strip_prefix("Questions\n"));
        let folded = section.unwrap_or_default().split("<details><summary>");
        let questions: Vec<_> = folded
            .skip(1)
            .filter_map(|rest| rest.split_once("</summary>"))
            .filter(|(question, _)| question.trim_end().ends_with('?'))
            .filter(|(_, answer)| answer.contains("\n</details>"))
            .collect();
        assert_eq!(questions.len(), 2, "{name}: {questions:#?}");
    }
}

/// From step 5 on, a starter has so many given files that the README says which of
/// them are the lesson.
#[test]
fn each_readme_names_the_files_that_learners_need_not_read() {
    for step in all_steps().into_iter().filter(|step| step.number >= 5) {
        let Some((name, text)) = readme(&step) else { continue };
        let words: Vec<_> = text.split_whitespace().collect();
        let text = words.join(" ");
        let names = |sentence: &str| {
            let words = sentence.split('`').filter(|word| {
                word.starts_with("src/") && word.ends_with(".rs")
            });
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let (_, rest) = text.split_once("need not read ").unwrap_or_default();
        let end = rest.find([';', ':']).into_iter().chain(rest.find(". "));
        let mut said = names(&rest[..end.min().unwrap_or(rest.len())]);
        let unread = UNREAD.iter().filter(|unread| unread.0 == step.number);
        let mut unread: Vec<_> = unread.map(|unread| unread.1).collect();
        said.sort();
        unread.sort_unstable();
        assert_eq!(said, unread, "{name}");
    }
}

#[test]
fn a_starter_is_cut_at_holes_and_expectations() {
    let text = "\
//! A step.

#![expect(
    dead_code,
    reason = \"TODO(3): delete the words that rustc names\"
)]

fn open() {
    before();
    // TODO(3.1): write it.
    // In a few lines.
    todo!(\"3.1\")
}

#[expect(dead_code, reason = \"for later\")]
fn standing() {
    // TODO(3.2): do it better.
    if old {
        behaviour();
    }
    too();

    after();
}
";
    let kept = [
        "//! A step.\n\n",
        "fn open() {\n    before();\n",
        "}\n\n#[expect(dead_code, reason = \"for later\")]\nfn standing() {\n",
        "\n    after();\n}\n",
    ];
    let between = [None, Some("3.1".to_owned()), Some("3.2".to_owned())];
    let wanted =
        Cut { kept: kept.map(str::to_owned).into(), between: between.into() };
    assert_eq!(cut(text), wanted);
}

#[test]
fn a_twin_differs_in_its_holes_alone() {
    let starter = "a\n\n#![expect(x, reason = \"TODO(1)\")]\n\nb\n// TODO(1.1): do\n// it.\ntodo!(\"1.1\")\nc\n";
    /// What is special about it, the solution, and whether it is a twin.
    const CASES: &[(&str, &str, bool)] = &[
        ("filled", "a\n\nb\nx\ny\nc\n", true),
        ("not filled", "a\n\nb\nc\n", true),
        ("more before", "z\na\n\nb\nx\nc\n", false),
        ("more behind", "a\n\nb\nx\nc\nd\n", false),
        ("more for the attribute", "a\n\nz\nb\nx\nc\n", false),
        ("changed", "a\n\nB\nx\nc\n", false),
        ("in another order", "b\nx\na\n\nc\n", false),
    ];
    for (case, solution, is_twin) in CASES {
        let found = fillings(&cut(starter), solution);
        assert_eq!(found.is_ok(), *is_twin, "{case}: {found:?}");
    }
}

/// A copy of the files that a reset needs, outside of git, with untouched exercises.
struct Copy {
    folder: Folder,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { folder: Folder::new().unwrap() };
        for step in all_steps() {
            let sides = [
                (Kind::Solution, solution(&step)),
                (Kind::Exercise, starter(&step)),
            ];
            for (kind, sources) in sides {
                for (name, text) in sources {
                    copy.write(&step.folder(kind).join(name), &text);
                }
            }
            let patch =
                format!("docker/checker/starters/{:02}.patch", step.number);
            let text = fs::read_to_string(root().join(&patch)).unwrap();
            copy.write(Path::new(&patch), &text);
        }
        copy
    }

    fn write(&self, name: &Path, text: &str) {
        let file = self.folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        let file = self.folder.path().join(name);
        fs::read_to_string(&file).unwrap_or_else(|err| panic!("{name}: {err}"))
    }

    /// Resets step 1 with an empty PATH, and returns the output.
    #[track_caller]
    fn reset(&self) -> String {
        let Output { status, stdout, stderr } =
            Command::new(env!("CARGO_BIN_EXE_checker"))
                .args(["reset", "1"])
                .env("PATH", "/nonexistent")
                .current_dir(self.folder.path())
                .output()
                .unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let step = &all_steps()[0];
        let now = starters::read(self.folder.path(), step, Kind::Exercise);
        assert_eq!(now.unwrap(), starter(step), "the starter is back");
        String::from_utf8(stdout).unwrap()
    }

    fn kept(&self) -> Vec<String> {
        let shelf = fs::read_dir(self.folder.path().join(".kept"));
        let mut kept: Vec<_> = shelf
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        kept.sort();
        kept
    }
}

#[test]
fn reset_keeps_what_the_learner_wrote() {
    let copy = Copy::new();
    let name = all_steps()[0].name.clone();
    let exercise = Path::new("exercises").join(&name);
    assert!(copy.reset().contains("there was nothing to keep"));
    assert_eq!(copy.kept(), [""; 0], "an untouched exercise is not kept");

    copy.write(&exercise.join("src/main.rs"), "// my first try\n");
    copy.write(&exercise.join("src/more/mine.rs"), "// more of it\n");
    copy.write(&exercise.join("notes.txt"), "remember the milk\n");
    let output = copy.reset();
    assert!(output.contains(&format!(".kept/{name}.1")), "{output}");
    copy.write(&exercise.join("src/main.rs"), "// my second try\n");
    let output = copy.reset();
    assert!(output.contains(&format!(".kept/{name}.2")), "{output}");

    assert_eq!(copy.kept(), [format!("{name}.1"), format!("{name}.2")]);
    for (file, text) in [
        (format!(".kept/{name}.1/src/main.rs"), "// my first try\n"),
        (format!(".kept/{name}.1/src/more/mine.rs"), "// more of it\n"),
        (format!(".kept/{name}.2/src/main.rs"), "// my second try\n"),
        (format!("exercises/{name}/notes.txt"), "remember the milk\n"),
    ] {
        assert_eq!(copy.read(&file), text, "{file}");
    }
}

#[test]
fn reset_mends_what_cargo_cannot_read() {
    let copy = Copy::new();
    let name = all_steps()[0].name.clone();
    let exercise = copy.folder.path().join("exercises").join(&name);

    fs::write(exercise.join("Cargo.toml"), "[package\nname = ").unwrap();
    copy.reset();
    fs::write(exercise.join("src/main.rs"), b"\xff\xfe no text").unwrap();
    copy.reset();
    fs::remove_file(exercise.join("src/server.rs")).unwrap();
    copy.reset();
    assert_eq!(copy.kept().len(), 3, "{:?}", copy.kept());
    let manifest = copy.read(&format!(".kept/{name}.1/Cargo.toml"));
    assert_eq!(manifest, "[package\nname = ");

    fs::remove_dir_all(&exercise).unwrap();
    copy.reset();
    assert_eq!(copy.kept().len(), 3, "nothing was there to keep");
}
