//! Compares the commands on slides with those that tests ran in a real Docker.
//!
//! Each story leaves a transcript, `docker/checker/stories/*.console`: a line
//! `$ COMMAND`, followed by what it printed.

use std::fs;
use std::path::Path;

use crate::chapter::{Deck, Problem};
use crate::fence::CodeKind;

/// The folder of the transcripts.
pub const FOLDER: &str = "docker/checker/stories";

/// A command, and what it printed.
struct Ran {
    command: String,
    printed: Vec<String>,
}

/// All commands that the tests ran.
pub struct Stories {
    ran: Vec<Ran>,
    /// `check-exercise-N` and the like, if there is a Makefile.
    targets: Vec<String>,
}

impl Stories {
    /// Reads the transcripts and the Makefile of the repository in `root`; an
    /// error says which of them is missing.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut ran = Vec::new();
        for entry in fs::read_dir(root.join(FOLDER)).into_iter().flatten() {
            let path = entry.map_err(|err| err.to_string())?.path();
            if path.extension().is_some_and(|it| it == "console") {
                let text = fs::read_to_string(&path)
                    .map_err(|err| format!("{}: {err}", path.display()))?;
                ran.extend(transcript(&text));
            }
        }
        if ran.is_empty() {
            return Err(format!("there are no {FOLDER}/*.console"));
        }
        let makefile = fs::read_to_string(root.join("Makefile"))
            .map_err(|err| format!("there is no Makefile: {err}"))?;
        Ok(Self { ran, targets: targets(&makefile) })
    }

    /// Lists commands that no test ran, and output that no test saw.
    pub fn judge(&self, deck: &Deck) -> Vec<Problem> {
        let mut found = Vec::new();
        for (chapter, slide) in deck.slides() {
            for code in &slide.code {
                let wrong = match &code.kind {
                    CodeKind::Sh(None) => self.unknown(&code.text),
                    CodeKind::Console => self.unseen(&code.text),
                    _ => None,
                };
                found.extend(wrong.map(|text| Problem {
                    file: chapter.file.clone(),
                    line: code.line,
                    text,
                }));
            }
        }
        found
    }

    fn unknown(&self, commands: &str) -> Option<String> {
        let mut commands = commands.lines().filter(|it| !it.trim().is_empty());
        let unknown = commands.find(|it| {
            !self.documented(it)
                && !self.ran.iter().any(|ran| ran.command == **it)
        })?;
        Some(format!("no test runs `{unknown}`"))
    }

    /// The first command in `text` whose output no test saw.
    pub fn unseen(&self, text: &str) -> Option<String> {
        transcript(text).into_iter().find_map(|shown| {
            let Ran { command, printed } = shown;
            let chunks: Vec<_> = printed.split(|word| word == "...").collect();
            let mut same = self.ran.iter().filter(|it| it.command == command);
            (!same.any(|it| in_order(&it.printed, &chunks)))
                .then(|| format!("no test saw this output of `{command}`"))
        })
    }

    /// Whether the command is `make TARGET` with a target that `make help`
    /// lists.
    fn documented(&self, command: &str) -> bool {
        let mut words = command.split_whitespace();
        words.next() == Some("make")
            && words.next().is_some_and(|target| {
                self.targets.iter().any(|it| is_one_of(target, it))
            })
    }
}

/// Whether `printed` holds all chunks, one after the other.
fn in_order(printed: &[String], chunks: &[&[String]]) -> bool {
    let mut rest = printed;
    chunks.iter().filter(|it| !it.is_empty()).all(|chunk| {
        let mut starts = 0..=rest.len().saturating_sub(chunk.len());
        let start = starts.find(|at| rest[*at..].starts_with(chunk));
        rest = start.map_or(&[], |at| &rest[at + chunk.len()..]);
        start.is_some()
    })
}

/// Whether the target is the documented one, in which `N` stands for a number.
fn is_one_of(target: &str, documented: &str) -> bool {
    match documented.strip_suffix("-N") {
        None => target == documented,
        Some(stem) => target
            .strip_prefix(stem)
            .and_then(|it| it.strip_prefix('-'))
            .is_some_and(|it| it.parse::<u32>().is_ok()),
    }
}

/// The first words of the Makefile's `## target: what it does`.
fn targets(makefile: &str) -> Vec<String> {
    let lines = makefile.lines().filter_map(|line| line.strip_prefix("## "));
    let heads = lines.filter_map(|line| line.split_once(':')).map(|it| it.0);
    let words = heads.flat_map(str::split_whitespace);
    words.map(|it| it.trim_matches(['(', ')', ',']).to_owned()).collect()
}

fn transcript(text: &str) -> Vec<Ran> {
    let mut ran: Vec<Ran> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), ran.last_mut()) {
            (Some(command), _) => {
                ran.push(Ran { command: command.into(), printed: vec![] });
            }
            (None, Some(last)) => last.printed.extend(masked(line)),
            // Lines before the first command are a remark.
            (None, None) => {}
        }
    }
    ran
}

/// The words of a line, with a mask for each that differs from run to run.
/// Blanks and line ends do not count, because the wall is narrower than a
/// terminal.
fn masked(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(|word| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        match mask(core) {
            Some(mask) => word.replace(core, mask),
            None => word.to_owned(),
        }
    })
}

fn mask(word: &str) -> Option<&'static str> {
    // The stories themselves have masked this one.
    if word == "LONG-ID" {
        return Some("ID");
    }
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if word.len() >= 12 && word.chars().all(hex) {
        return Some("ID");
    }
    let time = |c: char| c.is_ascii_digit() || "-T:.Z+".contains(c);
    if word.len() >= 8 && word.chars().all(time) && word.contains(':') {
        return Some("TIME");
    }
    let unit =
        word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &word[..word.len() - unit.len()];
    match unit {
        _ if number.is_empty() => None,
        "s" | "ms" => Some("SECONDS"),
        "B" | "K" | "kB" | "KB" | "KiB" | "M" | "MB" | "MiB" | "G" | "GB"
        | "GiB" => Some("SIZE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stories() -> Stories {
        let ran = "The story of one volume.\n$ docker volume create x\nx\n\
                   $ docker volume inspect x\n[\n  { \"CreatedAt\": \
                   \"2026-11-24T05:59:25Z\",\n  \"Size\": 10MB } ]\n";
        Stories { ran: transcript(ran), targets: targets("## run-N: it\n") }
    }

    #[test]
    fn a_command_is_known_if_a_story_or_make_has_it() {
        const CASES: [(&str, bool); 6] = [
            ("docker volume create x", true),
            ("docker volume create y", false),
            ("make run-3", true),
            ("make run-3 AGAINST=docker", true),
            ("make run-x", false),
            ("make walk-3", false),
        ];
        for (command, known) in CASES {
            assert_eq!(
                stories().unknown(command).is_none(),
                known,
                "{command}"
            );
        }
    }

    #[test]
    fn output_is_known_up_to_its_times_sizes_and_gaps() {
        const CASES: [(&str, bool); 6] = [
            ("$ docker volume create x\nx", true),
            ("$ docker volume create x\ny", false),
            ("$ docker volume create z\nx", false),
            ("$ docker volume inspect x\n...\n\"CreatedAt\":\n...", true),
            (
                "$ docker volume inspect x\n[ { \"CreatedAt\": \"2020-01-01T00:00:00Z\",\n\"Size\": 99kB } ]",
                true,
            ),
            (
                "$ docker volume inspect x\n\"Size\": 1MB\n...\n\"CreatedAt\":",
                false,
            ),
        ];
        for (text, known) in CASES {
            assert_eq!(stories().unseen(text).is_none(), known, "{text}");
        }
    }
}
