//! The place where a learner mends a mistake: a hole or a function of the step that
//! the learner is in.
//!
//! A check names a hole of the step that teaches it. In later steps that hole is
//! filled, so a report names the function around it there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::check::About;
use crate::starters::{self, Hole, Progress, Sources};
use crate::steps::{self, Kind, Step};

/// Where to mend a mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// `src/volumes.rs, TODO 3.1, TODO 3.2`, with the folder of the crate if there
    /// is one.
    pub text: String,
    /// The ids of the step's holes that have to do with the mistake; those of
    /// earlier steps are left out.
    pub holes: Vec<String>,
}

/// The program under test, if it was built from a crate of the workshop.
#[derive(Debug)]
pub(crate) struct Origin {
    root: PathBuf,
    built_from: Option<(Step, Kind)>,
}

impl Origin {
    /// The origin of a program; `None` outside of the workshop's folder.
    pub(crate) fn of(program: &Path) -> Option<Self> {
        let root = steps::root().ok()?;
        let built_from = steps::crate_of(&root, program);
        Some(Self { root, built_from })
    }

    /// The place to mend after a failed check. `said` are the texts of the reply
    /// and of the log.
    pub(crate) fn fix(&self, check: About, said: &[&str]) -> Result<Fix> {
        let Some((step, kind)) = &self.built_from else {
            if unimplemented(said).is_none() {
                return Ok(elsewhere(&[], check, said));
            }
            let last = steps::all(&self.root)?.last().map_or(0, |s| s.number);
            let holes = starters::holes_up_to(&self.root, last)?;
            return Ok(elsewhere(&holes, check, said));
        };
        let mine = starters::read(&self.root, step, *kind)?;
        let holes = starters::holes_up_to(&self.root, step.number)?;
        let fix = within(step.number, &mine, &holes, check, said);
        let folder = step.folder(*kind);
        let text = format!("{}/{}", folder.display(), fix.text);
        Ok(Fix { text, ..fix })
    }
}

/// The place in the workshop, for a program from elsewhere.
pub(crate) fn elsewhere(holes: &[Hole], check: About, said: &[&str]) -> Fix {
    let open = unimplemented(said)
        .and_then(|id| holes.iter().find(|hole| hole.id == id));
    let text = match open {
        Some(Hole { id, file, .. }) => {
            format!("{}, TODO {id}", file.display())
        }
        None => format!("{}, {}", check.file, check.place),
    };
    Fix { text: format!("in the workshop: {text}"), holes: Vec::new() }
}

/// The id of the hole that a panic of `todo!` names. The last text is the newest.
fn unimplemented<'a>(said: &[&'a str]) -> Option<&'a str> {
    const PANIC: &str = "not yet implemented: ";
    said.iter().rev().find_map(|text| {
        let (_, rest) = text.rsplit_once(PANIC)?;
        let is_id = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c| !is_id(c)).unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches('.'))
    })
}

/// The place in the crate of `step` with the sources `mine`. `holes` are those of
/// all starters up to that step.
fn within(
    step: u32,
    mine: &Sources,
    holes: &[Hole],
    check: About,
    said: &[&str],
) -> Fix {
    let own = |hole: &&Hole| hole.step() == Some(step);
    let hole = |id: &str| holes.iter().find(|hole| hole.id == id);
    if let Some(hole) = unimplemented(said).and_then(hole).filter(own)
        && hole.progress(mine) == Progress::Open
    {
        let mut places = Places::default();
        places.hole(mine, hole);
        return places.fix();
    }
    let file = Path::new(check.file);
    let mut open = Places::default();
    let mut all = Places::default();
    for place in check.place.split(", ") {
        if let Some(id) = place.strip_prefix("TODO ") {
            let Some(hole) = hole(id) else { continue };
            if own(&hole) && hole.progress(mine) != Progress::Filled {
                open.hole(mine, hole);
                continue;
            }
            all.function(mine, &hole.file, hole.function.as_deref());
        } else {
            all.function(mine, file, Some(place.trim_matches('`')));
        }
    }
    // An open hole has to be filled in any case, so it comes first.
    if !open.list.is_empty() {
        return open.fix();
    }
    let mut fix = all.fix();
    let functions: BTreeSet<_> =
        all.list.iter().filter_map(|(_, name)| name.clone()).collect();
    let is_around = |hole: &&Hole| {
        let function = hole.function.as_deref();
        function.is_some_and(|name| functions.contains(&format!("`{name}`")))
    };
    let around = holes.iter().filter(own).filter(is_around);
    fix.holes = around.map(|hole| hole.id.clone()).collect();
    fix
}

/// Functions that a later step replaces, and the functions that do their work there.
const REPLACED: &[(&str, &str)] = &[
    ("directory", "folder"),
    ("volume", "get"),
    ("serve", "open"),
    ("handle", "exchange"),
    ("in_turn", "converse"),
    ("nudge", "welcome"),
];

/// Places in one crate: files, and what to look for in them.
#[derive(Debug, Default)]
struct Places {
    list: Vec<(PathBuf, Option<String>)>,
    holes: Vec<String>,
}

impl Places {
    /// Adds an open hole: its comment if that is still there, or else the function
    /// around its `todo!`.
    fn hole(&mut self, mine: &Sources, hole: &Hole) {
        self.holes.push(hole.id.clone());
        let comment = format!("TODO({})", hole.id);
        if let Some((file, _)) = starters::function_with(mine, &comment) {
            let place = format!("TODO {}", hole.id);
            self.list.push((file, Some(place)));
            return;
        }
        let todo = format!("todo!(\"{}\")", hole.id);
        let found = starters::function_with(mine, &todo);
        let (file, function) =
            found.unwrap_or_else(|| (hole.file.clone(), hole.function.clone()));
        self.function(mine, &file, function.as_deref());
    }

    /// Adds a function, which a later step may have moved or replaced.
    fn function(&mut self, mine: &Sources, file: &Path, name: Option<&str>) {
        let place = name.and_then(|name| {
            let replaced = REPLACED.iter().find(|(old, _)| *old == name);
            let new = replaced.map(|(_, new)| *new);
            [Some(name), new].into_iter().flatten().find_map(|name| {
                let has = |text: &String| starters::has_function(text, name);
                let is_there = mine.get(file).is_some_and(has);
                let file = match is_there {
                    true => file,
                    false => mine.iter().find(|(_, text)| has(text))?.0,
                };
                Some((file.to_owned(), Some(format!("`{name}`"))))
            })
        });
        // A learner may have renamed the function.
        let place = place.unwrap_or_else(|| (file.to_owned(), None));
        if !self.list.contains(&place) {
            self.list.push(place);
        }
    }

    /// The files with their places, each file once.
    fn fix(&self) -> Fix {
        let mut text = String::new();
        let mut last = None;
        for (file, place) in &self.list {
            if last != Some(file) {
                if last.is_some() {
                    text.push_str("; ");
                }
                text.push_str(&file.display().to_string());
                last = Some(file);
            }
            if let Some(place) = place {
                text.push_str(", ");
                text.push_str(place);
            }
        }
        Fix { text, holes: self.holes.clone() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::checks;

    fn course() -> (PathBuf, Vec<Step>) {
        let root = steps::root().unwrap();
        let steps = steps::all(&root).unwrap();
        (root, steps)
    }

    fn about(id: &str) -> About {
        let check = checks::all().find(|check| check.id == id);
        About::of(check.unwrap_or_else(|| panic!("no check {id}")))
    }

    #[test]
    fn a_fix_is_in_the_crate_that_one_is_in() {
        let (root, steps) = course();
        for step in &steps {
            let number = step.number;
            let holes = starters::holes_up_to(&root, number).unwrap();
            let solution = starters::read(&root, step, Kind::Solution).unwrap();
            let starter = starters::pristine(&root, step).unwrap();
            for (sources, has_holes) in [(solution, false), (starter, true)] {
                let earlier = checks::all().filter(|row| row.step <= number);
                for row in earlier {
                    let check = About::of(row);
                    let fix = within(number, &sources, &holes, check, &[]);
                    let case = format!("{} in step {number}: {fix:?}", row.id);
                    for part in fix.text.split("; ") {
                        let mut words = part.split(", ");
                        let file = Path::new(words.next().unwrap());
                        let text = sources.get(file);
                        let text = text.unwrap_or_else(|| panic!("{case}"));
                        assert!(words.clone().count() > 0, "{case}");
                        for word in words {
                            let is_there = match word.strip_prefix("TODO ") {
                                Some(id) => {
                                    let comment = format!("TODO({id})");
                                    has_holes && text.contains(&comment)
                                }
                                None => {
                                    let name = word.trim_matches('`');
                                    starters::has_function(text, name)
                                }
                            };
                            assert!(is_there, "{case}: {word}");
                        }
                    }
                    for id in &fix.holes {
                        let own = format!("{number}.");
                        assert!(id.starts_with(&own), "{case}");
                    }
                }
            }
        }
    }

    /// The sources of a starter, with these changes, and its fix.
    #[track_caller]
    fn fix(
        number: u32,
        check: &str,
        said: &str,
        edits: &[(&str, &str, &str)],
    ) -> Fix {
        let (root, steps) = course();
        let step = steps.iter().find(|step| step.number == number).unwrap();
        let mut mine = starters::pristine(&root, step).unwrap();
        for (file, old, new) in edits {
            let text = mine.get_mut(Path::new(file)).unwrap();
            assert!(text.contains(old), "{file} has no {old}");
            *text = text.replace(old, new);
        }
        let holes = starters::holes_up_to(&root, number).unwrap();
        within(number, &mine, &holes, about(check), &[said])
    }

    #[test]
    fn the_hole_that_panicked_is_named() {
        let said = "500 workshop: not yet implemented: 2.2";
        let named = fix(2, "2.create", said, &[]);
        assert_eq!(named.text, "src/protocol.rs, TODO 2.2");
        assert_eq!(named.holes, ["2.2"]);
        let said = "    not yet implemented: 7.4";
        let named = fix(7, "7.signals", said, &[]);
        assert_eq!(named.text, "src/stop.rs, TODO 7.4");
        // A plugin may say anything.
        for said in ["not yet implemented: 1.1", "not yet implemented: 2.9"] {
            let named = fix(2, "2.create", said, &[]);
            assert_eq!(named.text, "src/protocol.rs, TODO 2.1", "{said}");
        }
    }

    #[test]
    fn a_hole_without_its_comment_is_named_by_its_function() {
        let filled = [
            ("src/protocol.rs", "// TODO(2.2)", "// Mine"),
            ("src/protocol.rs", "todo!(\"2.2\")", "serde_json::from_str(\"\")"),
        ];
        let named = fix(2, "2.empty-body", "200 {}", &filled);
        assert_eq!(named.text, "src/protocol.rs, `arguments`");
        assert_eq!(named.holes, ["2.2"]);
        let said = "not yet implemented: 2.2";
        let named = fix(2, "2.create", said, &filled[..1]);
        assert_eq!(named.text, "src/protocol.rs, `arguments`");
        assert_eq!(named.holes, ["2.2"]);
    }

    #[test]
    fn a_hole_of_an_earlier_step_is_named_by_its_function() {
        let named = fix(4, "3.remove", "200 {}", &[]);
        assert_eq!(named.text, "src/volumes.rs, `remove`");
        let [hole] = &named.holes[..] else { panic!("{named:?}") };
        assert!(hole.starts_with("4."), "step 4's hole in there: {hole}");
    }

    #[test]
    fn of_several_holes_the_open_ones_are_named() {
        let named = fix(3, "3.get", "200 {}", &[]);
        assert_eq!(named.text, "src/volumes.rs, TODO 3.1, TODO 3.2");
        let filled = [("src/volumes.rs", "// TODO(3.1)", "// Mine")];
        let named = fix(3, "3.get", "200 {}", &filled);
        assert_eq!(named.text, "src/volumes.rs, TODO 3.2");
    }
}
