//! `prover carry`: carries a change of one solution to all later steps.
//!
//! A change is a list of edits: lines of one file that become other lines. An
//! edit finds its lines in the next step's file by their text, not by their
//! number, and continues from there to the step after. An exercise is its
//! solution minus the holes, so the edit applies to the exercise as well, unless
//! its lines are inside a hole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use checker::starters::{self, Sources};
use diffy::{DiffOptions, Line};
use stand_in::steps::{self, Kind, Step};

/// Carries the uncommitted changes of a solution, or else the last commit that
/// touched it. `commit` names another commit.
///
/// Writes solutions, exercises and the patches of starters.
///
/// # Errors
/// Before anything is written: when git cannot tell the change, or when an
/// exercise is a learner's.
pub fn run(root: &Path, from: &Step, commit: Option<&str>) -> Result<Carried> {
    let later: Vec<_> = steps::all(root)?
        .into_iter()
        .filter(|step| step.number >= from.number)
        .collect();
    for step in &later {
        is_starter(root, step)?;
    }
    let (what, changes) = changes(root, from, commit)?;
    let folder = from.folder(Kind::Solution);
    let mut edits: Vec<_> =
        changes.iter().flat_map(|change| change.edits(&folder)).collect();
    let mut carried = Carried { what, ..Carried::default() };
    let mut written = Vec::new();
    for step in &later {
        for kind in [Kind::Solution, Kind::Exercise] {
            // The change was made there.
            if step == from && kind == Kind::Solution {
                continue;
            }
            let mut side = Side::read(root, step, kind)?;
            side.move_files(&changes);
            for edit in &mut edits {
                side.carry(edit);
            }
            for refused in side.refused.drain(..) {
                carried.refuse(refused);
            }
            let applied = side.edited.values().map(Vec::len).sum::<usize>();
            let moved = side.added.len() + side.removed.len();
            carried.summary.push(Summary {
                folder: step.folder(kind),
                lines: applied,
                files: moved,
                there: side.there,
                in_holes: std::mem::take(&mut side.in_holes),
            });
            written.push(side);
        }
    }
    for side in &written {
        side.write()?;
    }
    for step in &later {
        // An edit by hand has to come first.
        if let Err(err) = starters::record(root, step) {
            carried.refuse(Refused {
                folders: vec![patch_of(step)],
                name: PathBuf::new(),
                why: format!("not recorded: {err:#}"),
                hunk: String::new(),
            });
        }
    }
    Ok(carried)
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Carried {
    what: String,
    summary: Vec<Summary>,
    refused: Vec<Refused>,
}

impl Carried {
    /// Whether each edit found its place in each later step.
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty()
    }

    /// Adds a refusal. If several steps refuse an edit for the same reason, it is
    /// shown once.
    fn refuse(&mut self, refused: Refused) {
        let same = self.refused.iter_mut().find(|other| {
            (&other.name, &other.why, &other.hunk)
                == (&refused.name, &refused.why, &refused.hunk)
        });
        match same {
            Some(same) if !refused.hunk.is_empty() => {
                same.folders.extend(refused.folders);
            }
            _ => self.refused.push(refused),
        }
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "carrying {}", self.what)?;
        for summary in &self.summary {
            writeln!(f, "{summary}")?;
        }
        for refused in &self.refused {
            write!(f, "\n{refused}")?;
        }
        if !self.refused.is_empty() {
            writeln!(
                f,
                "\n{} edits found no place: make them by hand, then run prover \
                 record N for each of these steps",
                self.refused.len()
            )?;
        }
        Ok(())
    }
}

/// The changes to one crate.
#[derive(Debug)]
struct Summary {
    folder: PathBuf,
    lines: usize,
    files: usize,
    there: usize,
    /// Ids of holes that hide edits.
    in_holes: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { folder, lines, files, there, in_holes } = self;
        write!(f, "  {:<24} edits: {lines}", folder.display())?;
        if *files > 0 {
            write!(f, ", files added or removed: {files}")?;
        }
        if *there > 0 {
            write!(f, ", already there: {there}")?;
        }
        if !in_holes.is_empty() {
            write!(f, ", left to the learner in {}", in_holes.join(", "))?;
        }
        Ok(())
    }
}

/// An edit, or a whole file, that has no place in a later step.
#[derive(Debug)]
struct Refused {
    /// The crates that refuse it, relative to the project.
    folders: Vec<PathBuf>,
    /// The file in them.
    name: PathBuf,
    why: String,
    /// The place and the lines of the edit; empty for a whole file.
    hunk: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for folder in &self.folders {
            writeln!(f, "{}", folder.join(&self.name).display())?;
        }
        writeln!(f, "  {}", self.why)?;
        write!(f, "{}", self.hunk)
    }
}

/// Fails if an exercise has lost holes: recording it would make it the starter.
fn is_starter(root: &Path, step: &Step) -> Result<()> {
    let patch = text_of(&root.join(patch_of(step)))?;
    let exercise = starters::read(root, step, Kind::Exercise)?;
    let left = starters::holes(&exercise);
    let holes = patch.lines().filter_map(|line| line.strip_prefix('+'));
    for id in holes.filter_map(starters::hole_in) {
        ensure!(
            left.iter().any(|hole| hole.id == id),
            "{} lacks hole {id}, so it is no starter; make reset-exercise-{} \
             restores the starter, and keeps this version",
            step.folder(Kind::Exercise).display(),
            step.number
        );
    }
    Ok(())
}

fn patch_of(step: &Step) -> PathBuf {
    format!("docker/checker/starters/{:02}.patch", step.number).into()
}

/// A file of the solution that was changed.
#[derive(Debug)]
enum Change {
    Edited { name: PathBuf, before: String, after: String },
    Added { name: PathBuf, text: String },
    Removed { name: PathBuf, text: String },
    Renamed { from: PathBuf, to: PathBuf, before: String, after: String },
}

/// The change to carry, in words and by file.
fn changes(
    root: &Path,
    step: &Step,
    commit: Option<&str>,
) -> Result<(String, Vec<Change>)> {
    let folder = step.folder(Kind::Solution);
    let git = |words: &[&str]| git(root, &folder, words);
    let dirty = !git(&["status", "--porcelain", "--", "."])?.is_empty();
    let commit = match commit {
        Some(name) => Some(git(&["rev-parse", "--verify", name])?),
        None if dirty => None,
        None => Some(git(&["log", "-1", "--format=%H", "--", "."])?),
    };
    let (what, before) = match &commit {
        None => {
            let what =
                format!("the uncommitted changes of {}", folder.display());
            (what, "HEAD".to_owned())
        }
        Some(commit) => {
            let commit = commit.trim();
            ensure!(
                !commit.is_empty(),
                "no commit has touched {}",
                folder.display()
            );
            let subject = git(&["log", "-1", "--format=%h %s", commit])?;
            (subject.trim().to_owned(), format!("{commit}^"))
        }
    };
    git(&["rev-parse", "--verify", "--quiet", &before]).with_context(|| {
        format!(
            "{before} does not exist, so there is no earlier {}",
            folder.display()
        )
    })?;
    let mut words =
        vec!["diff", "--name-only", "--no-renames", "--relative", "-z"];
    words.push(&before);
    words.extend(commit.as_deref().map(str::trim));
    let changed = git(&[&words[..], &["--", "."]].concat())?;
    let new = match commit {
        Some(_) => String::new(),
        None => {
            git(&["ls-files", "--others", "--exclude-standard", "-z", "."])?
        }
    };

    let mut changes = Vec::new();
    let names = changed.split('\0').chain(new.split('\0'));
    for name in names.filter(|name| !name.is_empty()) {
        let at = |commit: &str| text_at(root, &folder, commit, name);
        let before = at(&before)?;
        let after = match &commit {
            Some(commit) => at(commit.trim())?,
            None => match root.join(&folder).join(name) {
                file if file.exists() => Some(text_of(&file)?),
                _ => None,
            },
        };
        let name = PathBuf::from(name);
        changes.extend(match (before, after) {
            (Some(before), Some(after)) => {
                Some(Change::Edited { name, before, after })
            }
            (None, Some(text)) => Some(Change::Added { name, text }),
            (Some(text), None) => Some(Change::Removed { name, text }),
            (None, None) => None,
        });
    }
    let what_is_there = changes.len();
    ensure!(
        what_is_there > 0,
        "{what} changes nothing in {}",
        folder.display()
    );
    Ok((what, with_renames(changes)))
}

/// A removed file and an added one are one renamed file if most lines are the
/// same.
fn with_renames(changes: Vec<Change>) -> Vec<Change> {
    let (removed, mut rest): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| matches!(change, Change::Removed { .. }));
    for change in removed {
        let Change::Removed { name, text } = &change else { continue };
        let twin = rest.iter().position(|other| match other {
            Change::Added { text: new, .. } => {
                let (old, new) = (lines(text), lines(new));
                let same = matches(&old, &new).iter().flatten().count();
                same * 4 > old.len() + new.len()
            }
            _ => false,
        });
        let Some(twin) = twin else {
            rest.push(change);
            continue;
        };
        let Change::Added { name: to, text: after } = rest.remove(twin) else {
            unreachable!("the twin was added");
        };
        let (from, before) = (name.clone(), text.clone());
        rest.push(Change::Renamed { from, to, before, after });
    }
    rest
}

/// Runs git in `folder` of the project, and returns its output.
fn git(root: &Path, folder: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root.join(folder))
        .args(words)
        .output()
        .context("running git, which knows what the last change is")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", words.join(" "), said.trim());
    }
    String::from_utf8(output.stdout).context("reading what git prints")
}

/// The text of a file in a commit, if the commit has the file.
fn text_at(
    root: &Path,
    folder: &Path,
    commit: &str,
    name: &str,
) -> Result<Option<String>> {
    let object = format!("{commit}:./{name}");
    if git(root, folder, &["cat-file", "-e", &object]).is_err() {
        return Ok(None);
    }
    git(root, folder, &["show", &object]).map(Some)
}

fn text_of(file: &Path) -> Result<String> {
    fs::read_to_string(file)
        .with_context(|| format!("reading {}", file.display()))
}

/// Lines of one file that become other lines.
#[derive(Debug)]
struct Edit {
    /// Where the lines were found last.
    at: Place,
    new: Vec<String>,
    /// The file and the line of the edit, to show.
    made_in: String,
    /// Whether the last solution had no place for this edit.
    is_lost: bool,
}

/// Lines of a file, in the state before the edit.
#[derive(Clone, Debug)]
struct Place {
    name: PathBuf,
    text: Rc<str>,
    range: Range<usize>,
}

impl Change {
    fn edits(&self, folder: &Path) -> Vec<Edit> {
        let (Self::Edited { name, before, after }
        | Self::Renamed { to: name, before, after, .. }) = self
        else {
            return Vec::new();
        };
        let text: Rc<str> = before.as_str().into();
        let edit = |(range, new): Replacement| Edit {
            made_in: format!(
                "{} line {}",
                folder.join(name).display(),
                range.start + 1
            ),
            at: Place { name: name.clone(), text: Rc::clone(&text), range },
            new,
            is_lost: false,
        };
        differences(before, after).into_iter().map(edit).collect()
    }
}

impl Edit {
    /// An edit for each line, if each line becomes one.
    fn parts(&self) -> Option<Vec<Self>> {
        let Range { start, end } = self.at.range;
        if self.new.len() < 2 || self.new.len() != end - start {
            return None;
        }
        let part = |(line, new): (usize, &String)| Self {
            at: Place { range: line..line + 1, ..self.at.clone() },
            new: vec![new.clone()],
            made_in: self.made_in.clone(),
            is_lost: self.is_lost,
        };
        Some((start..end).zip(&self.new).map(part).collect())
    }

    /// The lines, as in a patch, with the line before an insertion.
    fn hunk(&self) -> String {
        let old = lines(&self.at.text);
        let Range { start, end } = self.at.range;
        let mut hunk = format!("@@ {}\n", self.made_in);
        if start == end && start > 0 {
            hunk += &format!(" {}", old[start - 1]);
        }
        let removed = old[start..end].iter().map(|line| format!("-{line}"));
        let added = self.new.iter().map(|line| format!("+{line}"));
        hunk.extend(removed.chain(added));
        if !hunk.ends_with('\n') {
            hunk.push('\n');
        }
        hunk
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Lines of a text, by their number from 0, and the lines that replace them.
type Replacement = (Range<usize>, Vec<String>);

/// The replacements that turn `before` into `after`.
fn differences(before: &str, after: &str) -> Vec<Replacement> {
    let (old, new) = (lines(before), lines(after));
    let mut differences = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    let ends = (old.len(), Some(new.len()));
    let pairs = matches(&old, &new).into_iter().enumerate();
    for (old_next, new_next) in pairs.chain([ends]) {
        let Some(new_next) = new_next else { continue };
        if old_at < old_next || new_at < new_next {
            let lines = new[new_at..new_next].iter();
            let lines = lines.map(|line| (*line).to_owned()).collect();
            differences.push((old_at..old_next, lines));
        }
        (old_at, new_at) = (old_next + 1, new_next + 1);
    }
    differences
}

/// For each line of `from`, which line of `to` is the same one.
fn matches(from: &[&str], to: &[&str]) -> Vec<Option<usize>> {
    let (before, after) = (from.concat(), to.concat());
    if before == after {
        return (0..from.len()).map(Some).collect();
    }
    let mut options = DiffOptions::new();
    // One hunk: the whole file.
    options.set_context_len(from.len() + to.len());
    let patch = options.create_patch(&before, &after);
    let mut pairs = Vec::with_capacity(from.len());
    let mut at = 0;
    for line in patch.hunks().iter().flat_map(|hunk| hunk.lines()) {
        match line {
            Line::Context(_) => {
                pairs.push(Some(at));
                at += 1;
            }
            Line::Delete(_) => pairs.push(None),
            Line::Insert(_) => at += 1,
        }
    }
    pairs.resize(from.len(), None);
    pairs
}

/// A later crate, and its changes.
#[derive(Debug)]
struct Side {
    root: PathBuf,
    folder: PathBuf,
    kind: Kind,
    /// The current files, with renamed files under their new names.
    sources: BTreeMap<PathBuf, Rc<str>>,
    edited: BTreeMap<PathBuf, Vec<Replacement>>,
    added: BTreeMap<PathBuf, String>,
    removed: Vec<PathBuf>,
    refused: Vec<Refused>,
    in_holes: Vec<String>,
    there: usize,
}

impl Side {
    fn read(root: &Path, step: &Step, kind: Kind) -> Result<Self> {
        let folder = step.folder(kind);
        let mut sources: Sources = starters::read(root, step, kind)?;
        let test = Path::new("tests/check.rs");
        let file = root.join(&folder).join(test);
        if file.exists() {
            sources.insert(test.to_owned(), text_of(&file)?);
        }
        let sources =
            sources.into_iter().map(|(name, text)| (name, text.into()));
        Ok(Self {
            root: root.to_owned(),
            folder,
            kind,
            sources: sources.collect(),
            edited: BTreeMap::new(),
            added: BTreeMap::new(),
            removed: Vec::new(),
            refused: Vec::new(),
            in_holes: Vec::new(),
            there: 0,
        })
    }

    /// Whether a file of the solution has a twin here: an exercise has no tests.
    fn has(&self, name: &Path) -> bool {
        self.kind == Kind::Solution
            || name == Path::new("Cargo.toml")
            || name.starts_with("src")
    }

    /// Adds, removes and renames whole files.
    fn move_files(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Added { name, text } if self.has(name) => {
                    match self.sources.get(name) {
                        None => {
                            self.added.insert(name.clone(), text.clone());
                        }
                        Some(there) if **there == **text => self.there += 1,
                        Some(_) => self.refuse_file(
                            name,
                            "not added: another file has this name",
                        ),
                    }
                }
                Change::Removed { name, text } => {
                    match self.sources.get(name) {
                        None => self.there += 1,
                        Some(there) if **there == **text => {
                            self.removed.push(name.clone());
                        }
                        Some(_) => self.refuse_file(
                            name,
                            "not removed: its text differs here",
                        ),
                    }
                }
                Change::Renamed { from, to, .. } => {
                    let is_free = !self.sources.contains_key(to);
                    match self.sources.remove(from) {
                        Some(text) if is_free => {
                            self.added.insert(to.clone(), text.to_string());
                            self.removed.push(from.clone());
                            self.sources.insert(to.clone(), text);
                        }
                        Some(text) => {
                            self.sources.insert(from.clone(), text);
                            self.refuse_file(
                                from,
                                "not renamed: another file has the new name",
                            );
                        }
                        None => {}
                    }
                }
                Change::Added { .. } | Change::Edited { .. } => {}
            }
        }
    }

    fn refuse_file(&mut self, name: &Path, why: &str) {
        self.refused.push(Refused {
            folders: vec![self.folder.clone()],
            name: name.to_owned(),
            why: why.to_owned(),
            hunk: String::new(),
        });
    }

    /// Applies an edit. In a solution, the next step looks for the lines of this
    /// one.
    fn carry(&mut self, edit: &mut Edit) {
        if !self.has(&edit.at.name) {
            return;
        }
        let found = self.locate(&edit.at, &edit.new);
        if self.kind == Kind::Solution {
            edit.is_lost = found.is_err();
        } else if !matches!(found, Ok((_, Found::Here(_))))
            && let Some(parts) = edit.parts()
            && let Some(found) = self.parts_found(&parts)
        {
            for (part, (name, found)) in parts.iter().zip(found) {
                self.apply(&part.new, name, found);
            }
            return;
        }
        match found {
            // The solution has no such lines, and that is told already.
            Ok((_, Found::InHole(_))) | Err(_)
                if self.kind == Kind::Exercise && edit.is_lost => {}
            Ok((name, found)) => {
                let at = self.place_before(edit, &name, &found);
                if !self.apply(&edit.new, name.clone(), found) {
                    let why = "another edit changes the same lines";
                    self.refuse(edit, &name, why);
                } else if let (Kind::Solution, Some(at)) = (self.kind, at) {
                    edit.at = at;
                }
            }
            Err(why) => {
                let file = edit.at.name.clone();
                self.refuse(edit, &file, &why);
            }
        }
    }

    /// The lines that were found, in the file without the edit.
    fn place_before(
        &self,
        edit: &Edit,
        name: &Path,
        found: &Found,
    ) -> Option<Place> {
        let text = &self.sources[name];
        let (text, range) = match found {
            Found::Here(range) => (Rc::clone(text), range.clone()),
            Found::Already(range) => {
                let old = &lines(&edit.at.text)[edit.at.range.clone()];
                let lines = old.iter().map(|line| (*line).to_owned());
                let back = (range.clone(), lines.collect());
                let end = range.start + old.len();
                (applied(text, &[back]).into(), range.start..end)
            }
            Found::InHole(_) => return None,
        };
        Some(Place { name: name.to_owned(), text, range })
    }

    /// Each part's place, if one of them is not in a hole.
    fn parts_found(&self, parts: &[Edit]) -> Option<Vec<(PathBuf, Found)>> {
        let found = parts.iter().map(|part| self.locate(&part.at, &part.new));
        let found: Vec<_> = found.collect::<Result<_, _>>().ok()?;
        let here = |(_, found): &(_, Found)| matches!(found, Found::Here(_));
        found.iter().any(here).then_some(found)
    }

    /// Stores the result of a search. Returns false if another edit has the same
    /// lines.
    fn apply(&mut self, new: &[String], name: PathBuf, found: Found) -> bool {
        match found {
            Found::Here(range) => {
                let others = self.edited.entry(name).or_default();
                let is_apart = |(other, _): &(Range<usize>, _)| {
                    other.end <= range.start || range.end <= other.start
                };
                if !others.iter().all(is_apart) {
                    return false;
                }
                others.push((range, new.to_owned()));
            }
            Found::Already(_) => self.there += 1,
            Found::InHole(id) => {
                if !self.in_holes.contains(&id) {
                    self.in_holes.push(id);
                }
            }
        }
        true
    }

    fn refuse(&mut self, edit: &Edit, file: &Path, why: &str) {
        self.refused.push(Refused {
            folders: vec![self.folder.clone()],
            name: file.to_owned(),
            why: why.to_owned(),
            hunk: edit.hunk(),
        });
    }

    /// Finds the lines of an edit in their file, or else in the one other file
    /// of the crate that has them once.
    fn locate(
        &self,
        at: &Place,
        new: &[String],
    ) -> Result<(PathBuf, Found), String> {
        let why = match self.sources.get(&at.name) {
            None => format!("the file is not in {}", self.folder.display()),
            Some(text) => match locate(at, new, text, self.kind) {
                Ok(found) => return Ok((at.name.clone(), found)),
                Err(why) => why,
            },
        };
        let old = &lines(&at.text)[at.range.clone()];
        let mut elsewhere =
            self.sources.iter().filter(|(name, _)| **name != at.name).flat_map(
                |(name, text)| {
                    let found = occurrences(old, &lines(text));
                    found.into_iter().map(move |range| (name, range))
                },
            );
        match (elsewhere.next(), elsewhere.next()) {
            (Some((name, range)), None) if tells_much(old) => {
                Ok((name.clone(), Found::Here(range)))
            }
            _ => Err(why),
        }
    }

    fn write(&self) -> Result<()> {
        let folder = self.root.join(&self.folder);
        let mut texts = self.added.clone();
        for (name, edits) in &self.edited {
            texts.insert(name.clone(), applied(&self.sources[name], edits));
        }
        for (name, text) in texts {
            let file = folder.join(name);
            let parent = file.parent().expect("a file is in a folder");
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&file, text))
                .with_context(|| format!("writing {}", file.display()))?;
        }
        for name in &self.removed {
            let file = folder.join(name);
            fs::remove_file(&file)
                .with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(())
    }
}

fn applied(text: &str, edits: &[Replacement]) -> String {
    let old = lines(text);
    let mut edits: Vec<_> = edits.iter().collect();
    // By their order in the file; what is inserted in one place stays in order.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut text = String::new();
    let mut at = 0;
    for (range, new) in edits {
        text.extend(old[at..range.start].iter().copied());
        text.extend(new.iter().map(String::as_str));
        at = range.end;
    }
    text.extend(old[at..].iter().copied());
    text
}

/// Where an edit's lines are in another file.
#[derive(Debug, PartialEq)]
enum Found {
    /// These lines are to be replaced.
    Here(Range<usize>),
    /// These lines have been replaced already.
    Already(Range<usize>),
    /// The lines are the learner's to write, in the hole with this id.
    InHole(String),
}

/// Finds the lines of an edit in a text similar to the one they are from.
fn locate(
    at: &Place,
    new: &[String],
    text: &str,
    kind: Kind,
) -> Result<Found, String> {
    let (from, to) = (lines(&at.text), lines(text));
    let pairs = matches(&from, &to);
    let Range { start, end } = at.range;
    let old = &from[start..end];
    // The lines before and after, if they are the same here.
    let before = match start {
        0 => Some(0),
        _ => pairs[start - 1].map(|line| line + 1),
    };
    let after = match pairs.get(end) {
        None => Some(to.len()),
        Some(pair) => *pair,
    };
    let is_between = |range: &Range<usize>| {
        before == Some(range.start) || after == Some(range.end)
    };

    if let (Some(before), Some(after)) = (before, after) {
        if to[before..after].iter().eq(new) {
            return Ok(Found::Already(before..after));
        }
        if before == after && old.is_empty() {
            return Ok(Found::Here(before..after));
        }
    }
    if let Some(range) = run_of(&pairs[start..end])
        && (tells_much(old) || is_between(&range))
    {
        return Ok(Found::Here(range));
    }
    let here = occurrences(old, &to);
    if let [range] = &here[..]
        && tells_much(old)
        && occurrences(old, &from).len() == 1
    {
        return Ok(Found::Here(range.clone()));
    }
    let new: Vec<_> = new.iter().map(String::as_str).collect();
    let done = occurrences(&new, &to);
    if let [range] = &done[..]
        && tells_much(&new)
        && here.is_empty()
        && occurrences(&new, &from).is_empty()
    {
        return Ok(Found::Already(range.clone()));
    }
    if kind == Kind::Exercise {
        let known = |pair: &Option<usize>| *pair;
        let gap_start = pairs[..start].iter().rev().find_map(known);
        let gap_end = pairs[end..].iter().find_map(known);
        let gap = gap_start.unwrap_or(0)..gap_end.unwrap_or(to.len());
        let hole = to[gap].iter().find_map(|line| starters::hole_in(line));
        return match hole {
            Some(id) => Ok(Found::InHole(id.to_owned())),
            None => {
                Err("the exercise has no such lines, and no hole there"
                    .to_owned())
            }
        };
    }
    if !old.is_empty() {
        return Err(match here.len() {
            0 => "the file has no such lines".to_owned(),
            1 => "the original file has these lines more than once".to_owned(),
            times => format!("the file has these lines {times} times"),
        });
    }
    inserted_near(&from, &to, &pairs, start, &new)
        .map(|line| Found::Here(line..line))
        .ok_or_else(|| match (before, after) {
            (Some(_), Some(_)) => {
                "the file has other lines in the place of this insertion"
                    .to_owned()
            }
            _ => "the file lacks the lines around this insertion".to_owned(),
        })
}

/// The lines that these pairs lead to, if each has one and they are in a row.
fn run_of(pairs: &[Option<usize>]) -> Option<Range<usize>> {
    let first = (*pairs.first()?)?;
    let in_a_row =
        |(index, pair): (usize, &Option<usize>)| *pair == Some(first + index);
    let all = pairs.iter().enumerate().all(in_a_row);
    all.then_some(first..first + pairs.len())
}

/// Where a row of lines stands.
fn occurrences(row: &[&str], text: &[&str]) -> Vec<Range<usize>> {
    if row.is_empty() {
        return Vec::new();
    }
    let windows = text.windows(row.len()).enumerate();
    windows
        .filter(|(_, window)| *window == row)
        .map(|(at, _)| at..at + row.len())
        .collect()
}

/// Whether lines are unlike most others: `}` and `Ok(())` are not.
fn tells_much(row: &[&str]) -> bool {
    row.iter().any(|line| line.trim().len() > 12)
}

/// Where lines go that were inserted before line `at` of `from`, if only one of
/// its neighbours is the same here, or if other imports stand between them.
fn inserted_near(
    from: &[&str],
    to: &[&str],
    pairs: &[Option<usize>],
    at: usize,
    new: &[&str],
) -> Option<usize> {
    // Two lines in a row, or one that tells much, show the place.
    let sure = |range: Range<usize>| {
        let run = run_of(&pairs[range.clone()])?;
        tells_much(&from[range]).then_some(run)
    };
    let before = sure(at.saturating_sub(2)..at);
    let after = sure(at..(at + 2).min(from.len()));
    match (before, after) {
        (Some(before), Some(after)) => {
            let gap = before.end..after.start;
            let is_import = |line: &str| {
                ["use ", "mod "].iter().any(|word| line.starts_with(word))
            };
            let between = to.get(gap.clone())?;
            let all_imports = between.iter().all(|line| is_import(line))
                && new.iter().all(|line| is_import(line));
            let first = *new.first()?;
            let earlier = between.iter().take_while(|line| **line < first);
            all_imports.then_some(gap.start + earlier.count())
        }
        (Some(before), None) => Some(before.end),
        (None, Some(after)) => Some(after.start),
        (None, None) => None,
    }
}
