//! `checker class DIR`: one table of the reports that groups have written with
//! `JSON=1`.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use stand_in::daemon::one_line;
use stand_in::export::FORMAT;
use stand_in::report::{BAD, GOOD};

/// The longest report that is read, in bytes. The real ones have some 50 KiB.
const LONGEST: u64 = 1 << 20;

/// The table of all groups.
#[derive(Debug)]
pub struct Class {
    rows: Vec<Row>,
}

/// The report of one group.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// The file's name without `.json`.
    group: String,
    /// What the report says, or why it cannot be read.
    state: Result<State, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct State {
    step: u64,
    /// `exercise`, `solution` or a path.
    what: String,
    passed: u64,
    skipped: u64,
    /// The first failed check and its place, or why no check ran.
    stuck: Option<String>,
}

/// Reads all files of `folder` whose names end in `.json`.
///
/// # Errors
/// When the folder cannot be read, or has no such file. A file that is no report is
/// a row of the table.
pub fn of(folder: &Path) -> Result<Class> {
    let reading = || format!("reading {}", folder.display());
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let file = entry.with_context(reading)?.path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let group = file.file_stem().unwrap_or_default().to_string_lossy();
        rows.push(Row { group: one_line(&group, 40), state: state(&file) });
    }
    if rows.is_empty() {
        bail!(
            "{} has no file that ends in .json: each group writes one with make \
             --silent check-exercise-1 JSON=1 > GROUP.json",
            folder.display()
        );
    }
    // The group that needs help most comes first.
    rows.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(Class { rows })
}

impl Row {
    fn order(&self) -> (u64, u64, &str) {
        match &self.state {
            Ok(state) => (state.step, state.passed, &self.group),
            Err(_) => (0, 0, &self.group),
        }
    }
}

/// Reads one file. The error is a few words for the table.
fn state(file: &Path) -> Result<State, String> {
    let text = text(file)?;
    if text.trim().is_empty() {
        return Err("the file is empty: the check has not ended".to_owned());
    }
    let value: Value = serde_json::from_str(&text)
        .map_err(|err| format!("this is not JSON: {err}"))?;
    match value["format"].as_str() {
        Some(FORMAT) => {}
        Some(other) => {
            let other = one_line(other, 40);
            return Err(format!("the format is `{other}`, and not `{FORMAT}`"));
        }
        None => return Err("this is not a report of JSON=1".to_owned()),
    }
    read(&value).ok_or_else(|| "parts of the report are missing".to_owned())
}

fn text(file: &Path) -> Result<String, String> {
    let read = || {
        let mut text = Vec::new();
        // A named pipe would never end.
        if !fs::metadata(file)?.is_file() {
            return Ok(Err("this is not a file".to_owned()));
        }
        File::open(file)?.take(LONGEST + 1).read_to_end(&mut text)?;
        Ok(match text.len() as u64 > LONGEST {
            true => Err("the file is longer than 1 MiB".to_owned()),
            false => String::from_utf8(text)
                .map_err(|_| "the file is not UTF-8".to_owned()),
        })
    };
    read().unwrap_or_else(|err: std::io::Error| Err(err.to_string()))
}

fn read(value: &Value) -> Option<State> {
    let words =
        |value: &Value, most| value.as_str().map(|text| one_line(text, most));
    let (step, what) = (value["step"].as_u64()?, words(&value["what"], 40)?);
    if let Some(why) = words(&value["error"], 80) {
        let stuck = Some(why);
        return Some(State { step, what, passed: 0, skipped: 0, stuck });
    }
    let failed = value["checks"]
        .as_array()?
        .iter()
        .find(|check| check["verdict"] == "failed");
    let stuck = match failed {
        None => None,
        Some(check) => {
            let (id, fix) =
                (words(&check["id"], 40)?, words(&check["fix"], 80)?);
            Some(format!("{id}: {fix}"))
        }
    };
    Some(State {
        step,
        what,
        passed: value["passed"].as_u64()?,
        skipped: value["skipped"].as_u64()?,
        stuck,
    })
}

impl Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.group.chars().count());
        let width = width.max().unwrap_or_default().max("group".len());
        writeln!(f, "{:<width$}  step  passed  stuck at", "group")?;
        for Row { group, state } in &self.rows {
            match state {
                Ok(State { step, what, passed, skipped, stuck }) => {
                    write!(f, "{group:<width$}  {step:>4}  {passed:>6}  ")?;
                    match stuck {
                        Some(stuck) => write!(f, "{BAD}{stuck}{BAD:#}")?,
                        None => write!(f, "{GOOD}nothing{GOOD:#}")?,
                    }
                    if *skipped > 0 {
                        write!(f, " ({skipped} not tried)")?;
                    }
                    if what != "exercise" {
                        write!(f, " [{what}]")?;
                    }
                    writeln!(f)?;
                }
                Err(why) => {
                    let (step, passed) = ("-", "-");
                    write!(f, "{group:<width$}  {step:>4}  {passed:>6}  ")?;
                    writeln!(f, "{BAD}{why}{BAD:#}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;
    use stand_in::cleanup::Folder;

    #[test]
    fn each_file_is_a_row_and_who_needs_help_comes_first() {
        let folder = Folder::new().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
        };
        let report = |step: u64, checks: Value| {
            json!({
                "format": FORMAT, "what": "exercise", "step": step, "seed": 7,
                "passed": 12, "failed": 1, "skipped": 2, "checks": checks,
            })
            .to_string()
        };
        let failed = json!([
            { "id": "1.get", "verdict": "passed" },
            { "id": "3.list", "verdict": "failed", "fix": "src/a.rs, TODO 3.3" },
        ]);
        write("ahead.json", &report(8, json!([])));
        write("stuck.json", &report(3, failed));
        let error = json!({
            "format": FORMAT, "what": "exercise", "step": 4,
            "error": "it does not compile",
        });
        write("typing.json", &error.to_string());
        write("empty.json", "");
        write("broken.json", "{\"format\":");
        write(
            "later.json",
            &json!({ "format": "workshop report 2" }).to_string(),
        );
        write("other.json", "[1]");
        write("part.json", &json!({ "format": FORMAT }).to_string());
        write("\u{1b}[2J.json", &report(9, json!([])));
        write("huge.json", &" ".repeat(1 + (1 << 20)));
        write("notes.txt", "not read");
        let table = of(folder.path()).unwrap().to_string();
        let table = anstream::adapter::strip_str(&table).to_string();
        let expected = "\
group      step  passed  stuck at
broken        -       -  this is not JSON: EOF while parsing a value at line 1 column 10
empty         -       -  the file is empty: the check has not ended
huge          -       -  the file is longer than 1 MiB
later         -       -  the format is `workshop report 2`, and not `workshop report 1`
other         -       -  this is not a report of JSON=1
part          -       -  parts of the report are missing
stuck         3      12  3.list: src/a.rs, TODO 3.3 (2 not tried)
typing        4       0  it does not compile
ahead         8      12  nothing (2 not tried)
\\u{1b}[2J     9      12  nothing (2 not tried)
";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_folder_without_reports_is_an_error() {
        let folder = Folder::new().unwrap();
        let err = of(folder.path()).unwrap_err().to_string();
        assert!(err.contains("no file that ends in .json"), "{err}");
        let err = of(&folder.path().join("none")).unwrap_err().to_string();
        assert!(err.starts_with("reading "), "{err}");
    }
}
