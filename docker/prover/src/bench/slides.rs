//! Figures of the slides. slides/tests/figures.mjs measures our deck and plain
//! reveal.js with the same chapters in a browser.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use checker::cargo;
use serde_json::Value;

use super::series::Seen;
use super::{Bench, Measurement, finish, say};
use crate::test;

const ROUNDS: u32 = 3;

/// The output of the script, or why it was not run.
pub(super) type Measured = Result<Value, String>;

pub(super) fn first(bench: &mut Bench) -> Result<Measurement> {
    seen(bench, "seconds")
}

pub(super) fn requests(bench: &mut Bench) -> Result<Measurement> {
    seen(bench, "requests")
}

pub(super) fn bytes(bench: &mut Bench) -> Result<Measurement> {
    seen(bench, "bytes")
}

pub(super) fn pdf(bench: &mut Bench) -> Result<Measurement> {
    seen(bench, "pdf_seconds")
}

pub(super) fn pdf_bytes(bench: &mut Bench) -> Result<Measurement> {
    seen(bench, "pdf_bytes")
}

fn seen(bench: &mut Bench, key: &str) -> Result<Measurement> {
    let measured = match &bench.slides {
        Some(measured) if !bench.repeats => measured,
        _ => bench.slides.insert(measure(&bench.root)?),
    };
    let measured = match measured {
        Ok(measured) => measured,
        Err(why) => return Ok(Measurement::Skipped(why.clone())),
    };
    let series = |whose: &str| {
        let rounds = measured[whose].as_array()?;
        rounds
            .iter()
            .map(|round| round[key].as_f64())
            .collect::<Option<Vec<_>>>()
    };
    let missing = || format!("the output of figures.mjs has no {key}");
    let ours = series("ours").with_context(missing)?;
    let plain = series("plain").with_context(missing)?;
    Ok(Measurement::Seen(Seen::new(&[ours, plain], &[])))
}

fn measure(root: &Path) -> Result<Measured> {
    let slides = root.join("slides");
    let browser = match test::browser_here() {
        Ok(browser) => browser,
        // Without the words in parentheses, which say how to install it.
        Err(why) => {
            let why = why.split(" (").next().unwrap_or(why);
            return Ok(Err(why.to_owned()));
        }
    };
    if !slides.join("node_modules/playwright-core").is_dir() {
        return Ok(Err("run npm ci in slides/ first".to_owned()));
    }
    say("the slides, and plain reveal.js with the same chapters");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--package", "slides"]).current_dir(root);
    finish(build.env("CARGO_TARGET_DIR", cargo::target()?))?;
    let mut node = Command::new("node");
    node.arg("tests/figures.mjs").arg(browser).arg(ROUNDS.to_string());
    node.current_dir(slides).env("CARGO_TARGET_DIR", cargo::target()?);
    let output = finish(&mut node)?;
    serde_json::from_slice(&output.stdout)
        .context("reading the output of figures.mjs")
        .map(Ok)
}
