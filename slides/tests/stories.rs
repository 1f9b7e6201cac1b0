//! The commands on slides are those that tests ran in a real Docker.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::env;
use std::io::{self, Write};
use std::path::Path;

use slides::chapter::Deck;
use slides::stories::Stories;

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

/// Prints that a proof was skipped, or fails if `REQUIRE` names it.
fn skip(needs: &str, why: &str) {
    let required = env::var("REQUIRE").unwrap_or_default();
    let required = required.split_whitespace().any(|it| it == needs);
    assert!(!required, "REQUIRE has {needs}, and {why}");
    // Not with eprintln, whose output a passing test hides.
    let line = format!("skipped: commands on slides, since {why}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}
