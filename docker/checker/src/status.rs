//! `make status`: how far each exercise is. All of it is computed afresh from the
//! sources and by the checks.

use std::fmt::{self, Display};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use stand_in::checks::{self, Plan};
use stand_in::harness::Harness;
use stand_in::plugin::Program;
use stand_in::report::{BAD, GOOD};
use stand_in::starters;
use stand_in::steps::{self, Kind, Step};

use crate::cargo::{self, Built, Show};
use crate::progress::{self, Holes};

/// The longest time for all of it. The checks that have not ended then are left out.
const PATIENCE: Duration = Duration::from_millis(2500);

/// The time that the checks have in any case.
const LEAST: Duration = Duration::from_secs(1);

/// The table of all steps.
#[derive(Debug)]
pub struct Status {
    rows: Vec<Row>,
    /// Why cargo builds nothing.
    trouble: Option<String>,
}

/// One step.
#[derive(Debug)]
struct Row {
    step: Step,
    /// How many holes are filled, and how many there are.
    holes: Option<(usize, usize)>,
    state: State,
}

/// What is known about one exercise.
#[derive(Debug)]
enum State {
    /// It is the starter.
    Untouched,
    /// It cannot be read or built, for this reason.
    Broken(String),
    Checked {
        passed: usize,
        not_tried: usize,
        all: usize,
        next: Next,
    },
}

#[derive(Debug)]
enum Next {
    /// All checks of the step passed.
    Nothing,
    /// The place to mend, as the report has it.
    Mend(String),
    /// Some checks take longer than a table should.
    MoreChecks,
}

/// Looks at all exercises. Only the exercises that differ from their starters are
/// built and checked, each with the checks of its own step.
///
/// # Errors
/// When a starter is unknown, or cargo cannot be called.
pub fn of(root: &Path) -> Result<Status> {
    let deadline = Instant::now() + PATIENCE;
    let mut rows = steps::all(root)?
        .into_iter()
        .map(|step| row(root, step))
        .collect::<Result<Vec<_>>>()?;
    let mut begun: Vec<_> = rows
        .iter_mut()
        .filter(|row| matches!(row.state, State::Checked { .. }))
        .collect();
    let mut trouble = None;
    if !begun.is_empty() {
        let packages: Vec<_> =
            begun.iter().map(|row| row.step.package(Kind::Exercise)).collect();
        let built = Built::from(root, &packages, Show::Nothing)?;
        if built.programs.is_empty() && built.errors.is_empty() {
            trouble = cargo::unreadable(root);
        }
        // A build may have taken longer than all of it.
        let deadline = deadline.max(Instant::now() + LEAST);
        // The step that the learner is in comes first, in case that the time is not
        // enough for all of them.
        let current =
            progress::current(root).map(|current| current.step.number);
        begun.sort_by_key(|row| Some(row.step.number) != current);
        for row in begun {
            let number = row.step.number;
            row.state =
                checked(&row.step, &built, deadline).unwrap_or_else(|err| {
                    State::Broken(format!(
                        "the checks of step {number} cannot run: {err:#}"
                    ))
                });
        }
    }
    Ok(Status { rows, trouble })
}

/// The row of one step, not checked yet.
fn row(root: &Path, step: Step) -> Result<Row> {
    let starter = starters::pristine(root, &step)?;
    let mine = match starters::read(root, &step, Kind::Exercise) {
        Ok(mine) => mine,
        Err(err) => {
            let state = State::Broken(format!("{err:#}"));
            return Ok(Row { step, holes: None, state });
        }
    };
    let holes = Holes::of(root, &step, &mine)?;
    let state = match mine == starter {
        true => State::Untouched,
        false => State::Checked {
            passed: 0,
            not_tried: 0,
            all: 0,
            next: Next::MoreChecks,
        },
    };
    Ok(Row { holes: Some((holes.done.len(), holes.count())), step, state })
}

/// Runs the checks of one step on its exercise.
fn checked(step: &Step, built: &Built, deadline: Instant) -> Result<State> {
    let number = step.number;
    let package = step.package(Kind::Exercise);
    if !built.programs.contains(&package) {
        let why = built.errors.get(&package);
        return Ok(State::Broken(match why {
            Some(why) => format!("does not compile: {why}"),
            None => {
                format!("was not built: make check-exercise-{number} says why")
            }
        }));
    }
    let program = cargo::program(&package)?;
    let harness = Harness::new(Program::new(&program)?);
    let plan = Plan {
        from: number,
        deadline: Some(deadline),
        leave_out: checks::SLOW,
        leaves_checks: true,
        ..Plan::new(number)
    };
    let report = checks::run(harness, plan, |_| {})?;
    let all = checks::all().filter(|check| check.step == number).count();
    let failed = report.failed().next();
    let not_tried = report.not_tried().count();
    let ran = report.ran.len();
    let next = match failed.and_then(|ran| ran.fix.as_ref()) {
        Some(fix) => Next::Mend(fix.text.clone()),
        None if ran < all => Next::MoreChecks,
        None => Next::Nothing,
    };
    let passed = ran - not_tried - report.failed().count();
    Ok(State::Checked { passed, not_tried, all, next })
}

impl Row {
    fn is_done(&self) -> bool {
        matches!(self.state, State::Checked { next: Next::Nothing, .. })
    }

    /// Whether there is something to do that this table knows of.
    fn is_open(&self) -> bool {
        let has_holes = self.holes.is_some_and(|(done, all)| done < all);
        match &self.state {
            State::Checked { next: Next::MoreChecks, .. } => has_holes,
            _ => !self.is_done(),
        }
    }

    fn checks(&self) -> String {
        match &self.state {
            State::Untouched => "untouched".to_owned(),
            State::Broken(_) => "none".to_owned(),
            State::Checked { passed: 0, next: Next::MoreChecks, .. } => {
                "not run".to_owned()
            }
            State::Checked { passed, not_tried: 0, all, .. } => {
                format!("{passed} of {all}")
            }
            State::Checked { passed, not_tried, all, .. } => {
                format!("{passed} of {}, {not_tried} skipped", all - not_tried)
            }
        }
    }

    fn next(&self) -> String {
        let number = self.step.number;
        match &self.state {
            State::Untouched => format!("make run-exercise-{number}"),
            State::Broken(why) => why.clone(),
            State::Checked { next, .. } => match next {
                Next::Nothing => "done".to_owned(),
                Next::Mend(fix) => fix.clone(),
                Next::MoreChecks => {
                    format!("make check-exercise-{number} tries the rest")
                }
            },
        }
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = |row: &Row| row.step.name.replacen('-', " ", 1);
        let names = self.rows.iter().map(|row| name(row).len());
        let width = names.max().unwrap_or_default();
        writeln!(f, "{:width$}  holes   checks               next", "step")?;
        for row in &self.rows {
            let holes = match row.holes {
                Some((done, all)) => format!("{done} of {all}"),
                None => "none".to_owned(),
            };
            let style = match &row.state {
                State::Broken(_) => BAD,
                _ if row.is_done() => GOOD,
                _ => Default::default(),
            };
            writeln!(
                f,
                "{:width$}  {holes:<6}  {:<19}  {style}{}{style:#}",
                name(row),
                row.checks(),
                row.next(),
            )?;
        }
        let line = match &self.trouble {
            Some(trouble) => trouble.clone(),
            None => match self.rows.iter().find(|row| row.is_open()) {
                None => "No step is left.".to_owned(),
                Some(row) => {
                    let number = row.step.number;
                    match row.state {
                        State::Untouched => format!(
                            "Next: exercises/{}/README.md, and make \
                             run-exercise-{number}",
                            row.step.name
                        ),
                        _ => format!("Next: make check-exercise-{number}"),
                    }
                }
            },
        };
        writeln!(
            f,
            "\nThe checks are those of the step itself; make check-exercise-N \
             runs those of all earlier steps, too.\n{line}"
        )
    }
}
