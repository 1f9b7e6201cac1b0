//! The commands on slides and in READMEs are those that tests ran in a real
//! Docker.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::env;
use std::fs;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use slides::chapter::Deck;
use slides::stories::Stories;
use stand_in::steps::Kind;

#[test]
fn every_command_is_one_that_a_story_ran() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let stories = match Stories::read(root) {
        Ok(stories) => stories,
        Err(why) => return skip("docker", &why),
    };
    let found = stories.judge(&Deck::read(root).unwrap());
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn every_output_in_a_readme_is_one_that_a_story_saw() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let stories = match Stories::read(root) {
        Ok(stories) => stories,
        Err(why) => return skip("docker", &why),
    };
    let mut wrong = Vec::new();
    for step in stand_in::steps::all(root).unwrap() {
        let readme = step.folder(Kind::Exercise).join("README.md");
        let name = readme.display();
        let Ok(text) = fs::read_to_string(root.join(&readme)) else {
            skip("docker", &format!("{name} is missing"));
            continue;
        };
        let blocks: Vec<_> = text.split("\n```console\n").skip(1).collect();
        if blocks.is_empty() && WITH_OUTPUT.contains(&step.number) {
            wrong.push(format!("{name} shows no output of a command"));
        }
        for block in blocks {
            let block = block.split("\n```").next().unwrap();
            let unseen = stories.unseen(block);
            wrong.extend(unseen.map(|why| format!("{name}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The steps whose READMEs show what their commands print.
const WITH_OUTPUT: RangeInclusive<u32> = 1..=8;

/// Prints that a proof was skipped, or fails if `REQUIRE` names it.
fn skip(needs: &str, why: &str) {
    let required = env::var("REQUIRE").unwrap_or_default();
    let required = required.split_whitespace().any(|it| it == needs);
    assert!(!required, "REQUIRE has {needs}, and {why}");
    // Not with eprintln, whose output a passing test hides.
    let line = format!("skipped: commands and outputs, since {why}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}
