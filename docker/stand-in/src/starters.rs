//! A starter is its solution with holes. `docker/checker/starters/NN.patch` turns
//! the solution into the starter. So a starter can be restored and tested after a
//! learner has changed it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::steps::{self, Kind, Step};
use anyhow::{Context, Result, bail};
use diffy::DiffOptions;
use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

/// A crate's files by their path in it: `Cargo.toml` and all of `src/`.
pub type Sources = BTreeMap<PathBuf, String>;

/// Reads the sources of one of a step's crates.
///
/// # Errors
/// When a file cannot be read: the error names it.
pub fn read(root: &Path, step: &Step, kind: Kind) -> Result<Sources> {
    let folder = step.found_folder(root, kind)?;
    let mut sources = Sources::new();
    let mut open = vec![folder.join("src"), folder.join("Cargo.toml")];
    while let Some(path) = open.pop() {
        let reading = || format!("reading {}", path.display());
        if path.is_dir() {
            for entry in fs::read_dir(&path).with_context(reading)? {
                open.push(entry?.path());
            }
        } else {
            let text = fs::read_to_string(&path).with_context(reading)?;
            let name = path.strip_prefix(&folder).expect("it is in there");
            sources.insert(name.to_owned(), text);
        }
    }
    Ok(sources)
}

fn patch_file(root: &Path, step: &Step) -> PathBuf {
    let name = format!("{:02}.patch", step.number);
    root.join("docker/checker/starters").join(name)
}

/// The starter as a learner first gets it. `exercises/` is not read.
///
/// # Errors
/// When the patch does not fit the solution.
pub fn pristine(root: &Path, step: &Step) -> Result<Sources> {
    let mut sources = read(root, step, Kind::Solution)?;
    let file = patch_file(root, step);
    let text = fs::read_to_string(&file)
        .with_context(|| format!("reading {}", file.display()))?;
    for patch in PatchSet::parse(&text, ParseOptions::unidiff()) {
        let patch = patch.with_context(|| file.display().to_string())?;
        let operation = patch.operation().strip_prefix(1);
        let FileOperation::Modify { original, .. } = operation else {
            bail!(
                "{}: a patch may neither add nor remove files, because a starter \
                 has the same files as its solution",
                file.display()
            );
        };
        let source = sources
            .get_mut(Path::new(&*original))
            .with_context(|| format!("{}: {original}", file.display()))?;
        let hunks = patch.patch().as_text().context("a patch of text")?;
        *source = diffy::apply(source, hunks).with_context(|| {
            format!("{} no longer fits {original}", file.display())
        })?;
    }
    Ok(sources)
}

/// Writes the patch that leads from the solution to the exercise. For maintainers.
///
/// # Errors
/// When exercise and solution do not have the same files.
pub fn record(root: &Path, step: &Step) -> Result<()> {
    let solution = read(root, step, Kind::Solution)?;
    let starter = read(root, step, Kind::Exercise)?;
    if !solution.keys().eq(starter.keys()) {
        bail!(
            "{} and {} do not have the same files: add or remove them first",
            step.folder(Kind::Exercise).display(),
            step.folder(Kind::Solution).display()
        );
    }
    let text = Differences::between(&solution, &starter, "solution", "starter");
    let file = patch_file(root, step);
    fs::write(&file, text.to_string())
        .with_context(|| format!("writing {}", file.display()))
}

/// The differences between two crates, file by file.
#[derive(Debug)]
pub struct Differences {
    files: Vec<(String, String, String, String)>,
}

impl Differences {
    /// Compares `before` with `after`. The words stand for the sides in the headers
    /// of the patch.
    pub fn between(
        before: &Sources,
        after: &Sources,
        before_word: &str,
        after_word: &str,
    ) -> Self {
        let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let text =
            |of: &Sources, name| of.get(name).cloned().unwrap_or_default();
        let files = names
            .into_iter()
            .map(|name| {
                let path = name.display();
                (
                    format!("{before_word}/{path}"),
                    format!("{after_word}/{path}"),
                    text(before, name),
                    text(after, name),
                )
            })
            .filter(|(_, _, before, after)| before != after)
            .collect();
        Self { files }
    }

    /// Whether both sides are the same.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // anstream removes the colours if the output is not a terminal.
        let formatter = diffy::PatchFormatter::new();
        let formatter =
            if f.alternate() { formatter.with_color() } else { formatter };
        for (from, to, before, after) in &self.files {
            let mut options = DiffOptions::new();
            options.set_original_filename(from.clone());
            options.set_modified_filename(to.clone());
            let patch = options.create_patch(before, after);
            write!(f, "{}", formatter.fmt_patch(&patch))?;
        }
        Ok(())
    }
}

/// A place that a learner has to fill with code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// `1.2`
    pub id: String,
    /// The hole's file, relative to the crate.
    pub file: PathBuf,
    /// The name of the function around the hole; `None` outside of functions.
    pub function: Option<String>,
    /// The code that stands below the comment, without indents: `todo!("1.2")`, or
    /// the old behaviour.
    code: Vec<String>,
}

/// How far a learner has come with a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The code is that of the starter.
    Open,
    /// The code has changed, and the comment is still there.
    Commented,
    /// The comment is gone.
    Filled,
}

impl Hole {
    /// The number of the hole's step.
    pub fn step(&self) -> Option<u32> {
        self.id.split('.').next()?.parse().ok()
    }

    /// Whether the starter has no other code in this place than `todo!`.
    fn is_bare(&self) -> bool {
        self.code.len() == 1 && self.code[0].contains(&self.todo())
    }

    fn todo(&self) -> String {
        format!("todo!(\"{}\")", self.id)
    }

    /// How far a learner has come with this hole of the starter; `mine` are the
    /// learner's sources.
    pub fn progress(&self, mine: &Sources) -> Progress {
        let todo = self.todo();
        if self.is_bare() && mine.values().any(|text| text.contains(&todo)) {
            return Progress::Open;
        }
        match holes(mine).into_iter().find(|hole| hole.id == self.id) {
            Some(hole) if hole.code == self.code => Progress::Open,
            Some(_) => Progress::Commented,
            None => Progress::Filled,
        }
    }
}

/// Finds the holes by their `TODO(N.M)` comments, sorted by id.
pub fn holes(sources: &Sources) -> Vec<Hole> {
    let mut holes: Vec<Hole> = Vec::new();
    for (file, text) in sources {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(id) = hole_in(line) else { continue };
            holes.push(Hole {
                id: id.to_owned(),
                file: file.clone(),
                function: function_around(&lines, number),
                code: code_below(&lines, number),
            });
        }
    }
    holes.sort_by(|a, b| a.id.cmp(&b.id));
    holes
}

/// The holes of the starters of steps 1 to `step`, as learners first get them.
///
/// # Errors
/// When a patch does not fit its solution.
pub fn holes_up_to(root: &Path, step: u32) -> Result<Vec<Hole>> {
    let steps = steps::all(root)?.into_iter();
    let starters = steps
        .filter(|other| other.number <= step)
        .map(|other| Ok(holes(&pristine(root, &other)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(starters.into_iter().flatten().collect())
}

/// The code of the hole whose comment begins on line `number`: up to a blank line
/// or the end of the block, or only the line of its `todo!`.
fn code_below(lines: &[&str], number: usize) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let hole = lines[number];
    let todo = hole_in(hole).map(|id| format!("todo!(\"{id}\")"));
    let is_comment = |line: &&&str| line.trim_start().starts_with("//");
    let mut rest = lines[number..].iter().skip_while(is_comment).peekable();
    if let Some(line) = rest.peek()
        && todo.is_some_and(|todo| line.contains(&todo))
    {
        return vec![line.trim().to_owned()];
    }
    rest.take_while(|line| {
        !line.trim().is_empty() && indent(line) >= indent(hole)
    })
    .map(|line| line.trim().to_owned())
    .collect()
}

/// The name of the function that contains line `number`.
fn function_around(lines: &[&str], number: usize) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(lines[number]);
    let above = lines[..number].iter().rev();
    above
        .filter(|line| indent(line) < depth)
        .find_map(|line| function_in(line))
        .map(str::to_owned)
}

/// The name of the function that a line begins.
fn function_in(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "];
    for word in words {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&name[..end])
}

/// Whether a source has a function with this name.
pub fn has_function(text: &str, name: &str) -> bool {
    text.lines().any(|line| function_in(line) == Some(name))
}

/// The name of the function that contains the first line with `mark`, and the file.
pub fn function_with(
    sources: &Sources,
    mark: &str,
) -> Option<(PathBuf, Option<String>)> {
    sources.iter().find_map(|(file, text)| {
        let lines: Vec<_> = text.lines().collect();
        let number = lines.iter().position(|line| line.contains(mark))?;
        Some((file.clone(), function_around(&lines, number)))
    })
}

/// The id of the hole that begins on a line.
pub fn hole_in(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("// TODO(")?;
    let (id, _) = rest.split_once(')')?;
    id.contains('.').then_some(id)
}

/// Restores the starter. Returns the folder that keeps the learner's version;
/// `None` if there was nothing to keep.
///
/// # Errors
/// When a file cannot be read, moved or written. No text of the learner's is lost.
pub fn reset(root: &Path, step: &Step) -> Result<Option<PathBuf>> {
    let starter = pristine(root, step)?;
    // Two resets at once would move each other's files. The lock ends with this
    // function, or with the process.
    let patch = patch_file(root, step);
    let lock = File::open(&patch)
        .with_context(|| format!("reading {}", patch.display()))?;
    lock.lock().with_context(|| format!("locking {}", patch.display()))?;
    let folder = root.join(step.folder(Kind::Exercise));
    let mine = read(root, step, Kind::Exercise).ok();
    if mine.as_ref() == Some(&starter) {
        return Ok(None);
    }
    // Everything is written before anything is moved, so that an interrupted or
    // failed reset leaves the learner's files where they are, or in `.kept/`.
    let new = root.join(SHELF).join(format!("{}.new", step.name));
    if new.exists() {
        fs::remove_dir_all(&new)
            .with_context(|| format!("removing {}", new.display()))?;
    }
    for (name, text) in &starter {
        let file = new.join(name);
        let parent = file.parent().expect("a file is in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, text))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("making {}", folder.display()))?;
    let kept = keep(root, step, &folder)?;
    for name in REPLACED {
        move_to(&new.join(name), &folder.join(name))?;
    }
    // Both may hold something else.
    let _ = fs::remove_dir(&new);
    let _ = fs::remove_dir(root.join(SHELF));
    Ok(kept)
}

/// The folder for what a reset has replaced.
const SHELF: &str = ".kept";

/// What a reset replaces in the folder of an exercise.
const REPLACED: [&str; 2] = ["src", "Cargo.toml"];

fn move_to(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| {
        format!("moving {} to {}", from.display(), to.display())
    })
}

/// Moves the files that a reset replaces into `.kept/`, under a new number each
/// time.
///
/// In `exercises/`, cargo would take the copy for a member of the workspace and
/// refuse to build because two packages have the same name.
fn keep(root: &Path, step: &Step, folder: &Path) -> Result<Option<PathBuf>> {
    let shelf = root.join(SHELF);
    let kept = (1..)
        .map(|count| shelf.join(format!("{}.{count}", step.name)))
        .find(|folder| !folder.exists())
        .expect("some number is free");
    let mine: Vec<_> = REPLACED
        .into_iter()
        .filter(|name| folder.join(name).exists())
        .collect();
    if mine.is_empty() {
        return Ok(None);
    }
    fs::create_dir_all(&kept)
        .with_context(|| format!("making {}", kept.display()))?;
    for name in mine {
        move_to(&folder.join(name), &kept.join(name))?;
    }
    Ok(Some(kept))
}
