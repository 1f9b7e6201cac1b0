//! The table of wrong turns: mistakes that learners make in a solution.
//!
//! Most of them fail a check. The others are here with the reason why Docker
//! does not mind them.

mod step_01;
mod step_02;
mod step_03;
mod step_04;
mod step_05;
mod step_06;
mod step_07;
mod step_08;
mod step_09;

use std::path::Path;
use std::ptr;

use checker::starters::{self, Sources};
use stand_in::steps::{self, Kind};

use super::common::root;

/// A file, the right text, which the file has once, and the wrong text.
pub type Edit = (&'static str, &'static str, &'static str);

/// A mistake that a check finds.
pub struct Wrong {
    /// The one check that must fail.
    pub check: &'static str,
    /// The mistake, as a sentence.
    pub what: &'static str,
    /// The step of the solution.
    pub step: u32,
    pub file: &'static str,
    /// The right text, which the file has once.
    pub right: &'static str,
    pub wrong: &'static str,
    pub more: &'static [Edit],
}

/// A change that looks like a mistake, and that Docker does not mind: the
/// plugin passes all checks.
pub struct Fine {
    /// The change, as a sentence.
    pub what: &'static str,
    /// Why Docker does not mind, as a sentence.
    pub why: &'static str,
    /// The step of the solution.
    pub step: u32,
    pub edits: &'static [Edit],
}

const OF_STEPS: [(&[Wrong], &[Fine]); 9] = [
    (step_01::WRONG, step_01::FINE),
    (step_02::WRONG, step_02::FINE),
    (step_03::WRONG, step_03::FINE),
    (step_04::WRONG, step_04::FINE),
    (step_05::WRONG, step_05::FINE),
    (step_06::WRONG, step_06::FINE),
    (step_07::WRONG, step_07::FINE),
    (step_08::WRONG, step_08::FINE),
    (step_09::WRONG, step_09::FINE),
];

/// All mistakes, in the order of the steps.
pub fn all() -> impl Iterator<Item = &'static Wrong> {
    OF_STEPS.iter().flat_map(|(wrong, _)| *wrong)
}

/// All changes that Docker does not mind, in the order of the steps.
pub fn fine() -> impl Iterator<Item = &'static Fine> {
    OF_STEPS.iter().flat_map(|(_, fine)| *fine)
}

impl Wrong {
    /// The check's id, with a number from the second plugin for the same check on.
    pub fn name(&self) -> String {
        let same = all().filter(|other| other.check == self.check);
        match same.take_while(|other| !ptr::eq(*other, self)).count() {
            0 => self.check.to_owned(),
            before => format!("{}.{}", self.check, before + 1),
        }
    }

    pub fn package(&self) -> String {
        format!("wrong-{}", self.name().replace('.', "-"))
    }

    pub fn sources(&self) -> Sources {
        let Self { check, step, file, right, wrong, more, .. } = self;
        let mut edits = vec![(*file, *right, *wrong)];
        edits.extend_from_slice(more);
        edited(*step, &edits, check)
    }
}

impl Fine {
    /// `3.2` for the second one of step 3.
    pub fn name(&self) -> String {
        let same = fine().filter(|other| other.step == self.step);
        let before = same.take_while(|other| !ptr::eq(*other, self)).count();
        format!("{}.{}", self.step, before + 1)
    }

    pub fn package(&self) -> String {
        format!("fine-{}", self.name().replace('.', "-"))
    }

    pub fn sources(&self) -> Sources {
        edited(self.step, self.edits, self.what)
    }
}

fn edited(step: u32, edits: &[Edit], of: &str) -> Sources {
    let root = root();
    let step = steps::find(&root, &step.to_string()).unwrap();
    let mut sources = starters::read(&root, &step, Kind::Solution).unwrap();
    for (file, right, wrong) in edits {
        let text = sources
            .get_mut(Path::new(file))
            .unwrap_or_else(|| panic!("{of}: no {file}"));
        let count = text.matches(right).count();
        assert_eq!(count, 1, "{of}: how often {file} has\n{right}");
        *text = text.replace(right, wrong);
    }
    sources
}
