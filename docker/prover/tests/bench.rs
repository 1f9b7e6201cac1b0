//! The committed results of `make bench`, and their drawings.
//!
//! `RECORD=1` draws them again, with the words and the aims that the figures have
//! now; `RECORD=1 make bench` measures as well.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use prover::bench::FIGURES;
use prover::bench::draw;
use prover::bench::record::{DRAWINGS, RESULTS, Recording};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The committed results. With `RECORD=1`, they and their drawings are written
/// first.
static COMMITTED: LazyLock<Recording> = LazyLock::new(|| {
    let recording = Recording::read(&root()).unwrap();
    if env::var_os("RECORD").is_none() {
        return recording;
    }
    let recording = recording.reworded();
    recording.write(&root()).unwrap();
    recording
});

#[test]
fn the_committed_results_have_a_row_for_each_figure() {
    let recording = &*COMMITTED;
    let measured = recording.figures.iter().map(|row| row.name.as_str());
    let names = FIGURES.iter().map(|figure| figure.name);
    assert!(
        measured.eq(names),
        "{RESULTS} has other rows: measure with RECORD=1 make bench"
    );
    for (row, new) in recording.figures.iter().zip(recording.reworded().figures)
    {
        assert!(
            *row == new,
            "{}: {RESULTS} has other words, or another aim: RECORD=1 cargo \
             test -p prover --test bench writes it again",
            row.name
        );
    }
}

#[test]
fn the_committed_drawings_show_the_committed_results() {
    let recording = &*COMMITTED;
    for (file, draw) in DRAWINGS {
        let drawn = draw(recording);
        let committed = fs::read_to_string(root().join(file)).unwrap();
        // Without the texts, which are long.
        assert!(
            drawn == committed,
            "{file} is not what {RESULTS} has: RECORD=1 cargo test -p prover \
             --test bench draws it again"
        );
    }
}

#[test]
fn the_committed_results_name_no_path_and_have_the_facts() {
    let recording = &*COMMITTED;
    let text = recording.to_json().unwrap();
    let mut words = text.split(|c: char| c.is_whitespace() || c == '"');
    let path = words
        .find(|word| word.starts_with('/') && word.matches('/').count() > 1);
    assert_eq!(path, None);
    let machine = &recording.machine;
    assert!(machine.kernel.is_some() && machine.rust.is_some());
    assert!(machine.load.is_some() && machine.date.is_some());
}

#[test]
fn the_figures_on_a_slide_are_figures() {
    for name in draw::ON_A_SLIDE {
        assert!(FIGURES.iter().any(|figure| figure.name == name), "{name}");
    }
}
