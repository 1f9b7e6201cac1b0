//! The results of a run as JSON, from which the drawings are made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::{Aim, FIGURES, Figure, Group, Unit};
use super::machine::Machine;
use super::series::Seen;
use super::{Measurement, draw};

/// The results of the last recorded run, relative to the project.
pub const RESULTS: &str = "docker/prover/bench.json";

/// A drawing of [`RESULTS`]: its path relative to the project, and how it is made.
pub type Drawing = (&'static str, fn(&Recording) -> String);

/// The drawings: of all figures, and of those that fit on a slide.
pub const DRAWINGS: [Drawing; 2] = [
    ("docker/prover/bench.svg", draw::all),
    ("slides/bench.svg", draw::for_a_slide),
];

/// The results of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The step whose solution was measured.
    pub step: u32,
    /// The step whose solution was measured beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_step: Option<u32>,
    /// Where and when.
    pub machine: Machine,
    /// The figures, in the order in which they were measured.
    pub figures: Vec<Row>,
}

/// A figure and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The name on the command line.
    pub name: String,
    /// The figures among which it is drawn.
    pub group: Group,
    /// What was measured.
    pub what: String,
    /// The unit of all values.
    pub unit: Unit,
    /// The reference.
    pub against: String,
    /// What the figure means.
    pub read: String,
    /// The value that we aim for in the measured step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aim: Option<Aim>,
    /// The numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Whether the rounds agree so far that the ratio means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<bool>,
    /// Why there are no numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl Row {
    /// The row of a figure that was measured in a step.
    pub fn new(figure: &Figure, step: u32, measured: Measurement) -> Self {
        let (seen, skipped) = match measured {
            Measurement::Seen(seen) => (Some(seen), None),
            Measurement::Skipped(why) => (None, Some(why)),
        };
        Self {
            name: figure.name.to_owned(),
            group: figure.group,
            what: figure.what.to_owned(),
            unit: figure.unit,
            against: figure.against.to_owned(),
            read: figure.read.to_owned(),
            aim: figure.aim(step),
            steady: seen.as_ref().map(|seen| seen.ratio.is_steady()),
            seen,
            skipped,
        }
    }

    /// The aim as a ratio to the reference that was measured.
    pub fn aimed_ratio(&self) -> Option<f64> {
        match (self.aim?, &self.seen) {
            (Aim::Ratio(ratio), _) => Some(ratio),
            (Aim::Value(value), Some(seen)) => Some(value / seen.reference),
            (Aim::Value(_), None) => None,
        }
    }

    /// How the result compares with the aim.
    pub fn verdict(&self) -> Verdict {
        let Some(seen) = &self.seen else { return Verdict::Skipped };
        if !seen.ratio.is_steady() {
            return Verdict::Unsteady;
        }
        let more = self.unit.more_is_better();
        let (value, most) = match self.aim {
            None => return Verdict::NoAim,
            Some(Aim::Ratio(ratio)) => (seen.ratio.median, ratio),
            Some(Aim::Value(most)) => (seen.value, most),
        };
        match if more { value >= most } else { value <= most } {
            true => Verdict::Met,
            false => Verdict::Missed,
        }
    }
}

/// How a result compares with its aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The result is as good as the aim.
    Met,
    /// The result is not as good as the aim.
    Missed,
    /// The rounds differ too far to say.
    Unsteady,
    /// There is no aim.
    NoAim,
    /// There is no result.
    Skipped,
}

impl Verdict {
    /// One word; nothing where there is no aim.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Unsteady => "unsteady",
            Self::NoAim => "",
            Self::Skipped => "skipped",
        }
    }
}

impl Recording {
    /// Reads [`RESULTS`].
    ///
    /// # Errors
    /// When the file cannot be read, or has another form.
    pub fn read(root: &Path) -> Result<Self> {
        let file = root.join(RESULTS);
        let text = fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("reading {}", file.display()))
    }

    /// The measured steps, and the facts about the machine.
    pub fn title(&self) -> String {
        let beside = self.against_step.map(|step| format!(" and {step}"));
        let (plural, beside) = match beside {
            Some(beside) => ("s", beside),
            None => ("", String::new()),
        };
        let facts = self.machine.facts().join(", ");
        format!("solution{plural} {}{beside}; {facts}", self.step)
    }

    /// The results as text.
    ///
    /// # Errors
    /// Never, because all keys are texts.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes [`RESULTS`] and the drawings, and returns their paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let mut files = vec![(RESULTS, self.to_json()?)];
        // What is drawn is what a reader of the file gets.
        let read: Self = serde_json::from_str(&files[0].1)?;
        files.extend(DRAWINGS.map(|(file, draw)| (file, draw(&read))));
        let mut written = Vec::new();
        for (file, text) in files {
            let file = root.join(file);
            fs::write(&file, text)
                .with_context(|| format!("writing {}", file.display()))?;
            written.push(file);
        }
        Ok(written)
    }

    /// The same results with the words and the aims that the figures have now. A
    /// figure that was not measured is marked as skipped, and one that no longer
    /// exists is left out.
    #[must_use]
    pub fn reworded(&self) -> Self {
        let row = |figure: &Figure| {
            let same =
                |row: &&Row| row.name == figure.name && row.unit == figure.unit;
            let old = self.figures.iter().find(same);
            let measured = match old.map(|row| (&row.seen, &row.skipped)) {
                Some((Some(seen), _)) => Measurement::Seen(seen.clone()),
                Some((None, Some(why))) => Measurement::Skipped(why.clone()),
                _ => Measurement::Skipped("not measured yet".to_owned()),
            };
            Row::new(figure, self.step, measured)
        };
        Self { figures: FIGURES.iter().map(row).collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Ratio;
    use super::*;

    fn seen(median: f64, width: f64) -> Measurement {
        let (lower, upper) = (median - width / 2.0, median + width / 2.0);
        Measurement::Seen(Seen {
            rounds: 9,
            value: median * 0.5,
            reference: 0.5,
            ratio: Ratio { median, lower, upper },
            peers: Vec::new(),
        })
    }

    fn figure(name: &str) -> &'static Figure {
        FIGURES.iter().find(|figure| figure.name == name).unwrap()
    }

    #[test]
    fn a_verdict_needs_an_aim_and_rounds_that_agree() {
        let cases = [
            ("p99-8", 8, seen(0.3, 0.01), Verdict::Met),
            ("p99-8", 9, seen(0.3, 0.01), Verdict::Missed),
            ("p99-8", 9, seen(0.1, 0.09), Verdict::Unsteady),
            ("get-8", 9, seen(2.1, 0.1), Verdict::Met),
            ("get-8", 9, seen(1.9, 0.1), Verdict::Missed),
            ("get-8", 8, seen(1.9, 0.1), Verdict::NoAim),
        ];
        for (name, step, measured, expected) in cases {
            let row = Row::new(figure(name), step, measured);
            assert_eq!(row.verdict(), expected, "{name} of step {step}");
        }
        let skipped = Measurement::Skipped("no go here".to_owned());
        let row = Row::new(figure("get-8"), 9, skipped);
        assert_eq!(row.verdict(), Verdict::Skipped);
    }

    #[test]
    fn an_absolute_aim_is_compared_with_the_value() {
        // The aim is 2 MiB, and the reference of `seen` has half a byte.
        let row = Row::new(figure("memory"), 8, seen(1.0, 0.0));
        assert_eq!(row.verdict(), Verdict::Met);
        assert_eq!(row.aimed_ratio(), Some(2.0 * 1024.0 * 1024.0 / 0.5));
    }

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let figures = FIGURES.iter().map(|figure| match figure.group {
            Group::Slides => Measurement::Skipped("no browser".to_owned()),
            _ => seen(1.5, 0.25),
        });
        let figures = FIGURES.iter().zip(figures);
        let recording = Recording {
            step: 9,
            against_step: Some(8),
            machine: Machine::now(),
            figures: figures
                .map(|(figure, seen)| Row::new(figure, 9, seen))
                .collect(),
        };
        let text = recording.to_json().unwrap();
        let read: Recording = serde_json::from_str(&text).unwrap();
        assert!(read == recording, "{text}");
        assert!(read.reworded() == read, "{text}");
        let more = text.replace("\"step\": 9", "\"steps\": 9");
        assert!(serde_json::from_str::<Recording>(&more).is_err());
    }

    #[test]
    fn new_words_keep_the_numbers_and_a_new_figure_is_marked() {
        let mut recording = Recording {
            step: 8,
            against_step: None,
            machine: Machine::now(),
            figures: vec![Row::new(figure("get"), 8, seen(3.0, 0.1))],
        };
        let row = &mut recording.figures[0];
        row.read = "old words".to_owned();
        row.aim = Some(Aim::Ratio(9.0));
        let new = recording.reworded();
        assert_eq!(new.figures.len(), FIGURES.len());
        for row in new.figures {
            if row.name == "get" {
                assert_eq!(row.aim, figure("get").aim(8));
                assert_eq!(row.read, figure("get").read);
                assert_eq!(row.seen.unwrap().ratio.median, 3.0);
            } else {
                assert_eq!(row.skipped.unwrap(), "not measured yet");
            }
        }
    }
}
