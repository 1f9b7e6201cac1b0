//! The results of tests and proofs.

use std::time::Duration;

use serde_json::{Value, json};

/// The results of one part of `make test`, or of all parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many tests passed.
    pub passed: usize,
    /// How many tests failed.
    pub failed: usize,
    /// Each test that was skipped, and the reason.
    pub skipped: Vec<String>,
    /// The output of failed tests, line by line.
    pub complaints: Vec<String>,
    /// Each test that was timed, and how long it took.
    pub times: Vec<(String, Duration)>,
}

impl Counts {
    /// Adds the results of another part.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.complaints.extend(other.complaints);
        self.times.extend(other.times);
    }

    /// The slowest tests, slowest first, at most `most` of them.
    pub fn slowest(&self, most: usize) -> Vec<&(String, Duration)> {
        let mut times: Vec<_> = self.times.iter().collect();
        times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        times.truncate(most);
        times
    }

    /// The results as JSON, for the process that started this one.
    pub fn to_json(&self) -> Value {
        let times = self.times.iter();
        let times = times.map(|(test, took)| json!([test, took.as_secs_f64()]));
        json!({
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "complaints": self.complaints,
            "times": times.collect::<Vec<_>>(),
        })
    }

    /// Reads what [`Self::to_json`] wrote; `None` for any other value.
    pub fn from_json(value: &Value) -> Option<Self> {
        let count = |key: &str| usize::try_from(value[key].as_u64()?).ok();
        let texts = |key: &str| {
            let list = value[key].as_array()?.iter();
            list.map(|text| text.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        };
        let time = |pair: &Value| {
            let seconds = pair[1].as_f64()?;
            let took = Duration::try_from_secs_f64(seconds).ok()?;
            Some((pair[0].as_str()?.to_owned(), took))
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: texts("skipped")?,
            complaints: texts("complaints")?,
            times: value["times"]
                .as_array()?
                .iter()
                .map(time)
                .collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        let seconds = |test: &str, seconds| {
            (test.to_owned(), Duration::from_secs(seconds))
        };
        Counts {
            passed: 3,
            failed: 1,
            skipped: vec!["power: no mkfs.xfs here".to_owned()],
            complaints: vec!["no".to_owned()],
            times: vec![
                seconds("short", 1),
                seconds("long", 9),
                seconds("medium", 4),
            ],
        }
    }

    #[test]
    fn counts_pass_from_process_to_process() {
        assert_eq!(Counts::from_json(&counts().to_json()), Some(counts()));
        assert_eq!(Counts::from_json(&json!({ "passed": 3 })), None);
        assert_eq!(Counts::from_json(&Value::Null), None);
    }

    #[test]
    fn the_slowest_tests_come_first() {
        let counts = counts();
        let slowest = counts.slowest(2).into_iter();
        let names: Vec<_> = slowest.map(|(test, _)| test.as_str()).collect();
        assert_eq!(names, ["long", "medium"]);
    }
}
