//! The text of reports. No other module formats it.

use std::fmt::{self, Display};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use crate::check::{About, Check};
use crate::daemon::{clip, one_line};
use crate::finding::{Fault, Finding, Outcome};
use crate::fix::{self, Fix, Origin};
use crate::plugin::Log;

/// The style of good news.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// The style of bad news.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of the labels at the start of a report's lines.
pub const LABEL: Style = AnsiColor::Cyan.on_default();

/// The result of one check.
#[derive(Debug)]
pub enum Verdict {
    /// The plugin is right.
    Passed,
    /// The plugin is wrong.
    Failed {
        /// The mistake.
        finding: Finding,
        /// The last lines that the plugin printed.
        log: Vec<String>,
    },
    /// The check was not tried, for this reason.
    NotTried(String),
}

impl Verdict {
    /// The verdict for an outcome, with the end of the log if the plugin is
    /// wrong.
    ///
    /// # Errors
    /// When the checker could not work.
    pub fn of(outcome: Outcome, log: &Log) -> anyhow::Result<Self> {
        const LINES: usize = 5;
        match outcome {
            Ok(()) => Ok(Self::Passed),
            Err(Fault::Wrong(finding)) => {
                let finding = Finding {
                    sent: log.shorten(&finding.sent),
                    expected: log.shorten(&finding.expected),
                    // The folder is shortened first, so that the length of the
                    // text does not depend on the path of the folder.
                    got: one_line(&log.shorten(&finding.got), GOT),
                };
                Ok(Self::Failed { finding, log: log.last_lines(LINES) })
            }
            Err(Fault::NotTried(why)) => Ok(Self::NotTried(why)),
            Err(Fault::Trouble(err)) => Err(err),
        }
    }
}

/// A check that was run.
#[derive(Debug)]
pub struct Ran {
    /// The check.
    pub check: About,
    /// Its result.
    pub(crate) verdict: Verdict,
    /// Where to mend the mistake, if it failed.
    pub fix: Option<Fix>,
}

/// A run of the checks of steps 1 to N.
#[derive(Debug)]
pub struct Report {
    /// The checks that ran so far, in order.
    pub ran: Vec<Ran>,
    /// The seed: `SEED=` with this number replays the same names.
    pub seed: u64,
    origin: Option<Origin>,
}

impl Report {
    /// An empty report about `program`.
    pub fn new(program: &Path, seed: u64) -> Self {
        Self { ran: Vec::new(), seed, origin: Origin::of(program) }
    }

    /// Appends the result of a check.
    pub fn add<On>(&mut self, check: &Check<On>, verdict: Verdict) {
        let check = About::of(check);
        let fix = match &verdict {
            Verdict::Failed { finding, log } => {
                Some(self.fix(check, finding, log))
            }
            Verdict::Passed | Verdict::NotTried(_) => None,
        };
        self.ran.push(Ran { check, verdict, fix });
    }

    fn fix(&self, check: About, finding: &Finding, log: &[String]) -> Fix {
        let log = log.iter().map(String::as_str);
        let said: Vec<_> = log.chain([finding.got.as_str()]).collect();
        let origin = self.origin.as_ref();
        // A learner may have removed a file that a fix would name.
        let found = origin.and_then(|origin| origin.fix(check, &said).ok());
        found.unwrap_or_else(|| fix::elsewhere(&[], check, &said))
    }

    /// Whether no check has failed so far.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The checks that failed, in order.
    pub fn failed(&self) -> impl Iterator<Item = &Ran> {
        let failed = |ran: &&Ran| matches!(ran.verdict, Verdict::Failed { .. });
        self.ran.iter().filter(failed)
    }

    /// The checks that were not tried, in order, with the reason.
    pub fn not_tried(&self) -> impl Iterator<Item = (&Ran, &str)> {
        self.ran.iter().filter_map(|ran| match &ran.verdict {
            Verdict::NotTried(why) => Some((ran, why.as_str())),
            _ => None,
        })
    }

    /// The lines about the check that ran last.
    pub fn last(&self) -> Option<impl Display> {
        self.ran.last()
    }
}

impl Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let About { step, name, why, .. } = self.check;
        let (finding, log) = match &self.verdict {
            Verdict::Passed => {
                return writeln!(f, "{GOOD}ok{GOOD:#}    step {step}: {name}");
            }
            Verdict::NotTried(missing) => {
                writeln!(f, "{LABEL}skip{LABEL:#}  step {step}: {name}")?;
                return line(f, "because", missing);
            }
            Verdict::Failed { finding, log } => (finding, log),
        };
        writeln!(f, "{BAD}FAIL{BAD:#}  step {step}: {name}")?;
        line(f, "sent", &finding.sent)?;
        line(f, "expected", &finding.expected)?;
        line(f, "got", &finding.got)?;
        line(f, "why", why)?;
        if let Some(fix) = &self.fix {
            line(f, "fix", &fix.text)?;
        }
        for text in log {
            line(f, "log", &format!("| {}", clip(text)))?;
        }
        Ok(())
    }
}

/// The longest line of a report, in characters.
pub const LONGEST: usize = 1000;

/// The longest part of a reply that is shown, in characters.
const GOT: usize = 300;

fn line(f: &mut fmt::Formatter, label: &str, text: &str) -> fmt::Result {
    let text = one_line(text, LONGEST);
    writeln!(f, "  {LABEL}{label:<9}{LABEL:#} {text}")
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.ran.iter().try_for_each(|ran| ran.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::wrong;
    use crate::plugin::Program;

    #[test]
    fn the_text_of_a_plugin_moves_no_cursor() {
        let program = std::env::current_exe().expect("a test is a program");
        let program = Program::new(&program).expect("an existing file");
        let mut report = Report::new(program.path(), 7);
        let check = crate::checks::all().next().expect("one check");
        let got =
            format!("\u{1b}[2J\u{1b}[32mok\u{202e}{}", "x".repeat(1 << 20));
        let outcome = Err(wrong("sent", "expected", got));
        let verdict = Verdict::of(outcome, &Log::default());
        report.add(check, verdict.expect("the checker can work"));
        let lines = report.last().expect("one check").to_string();
        let lines = anstream::adapter::strip_str(&lines).to_string();
        assert!(lines.contains(r"got       \u{1b}[2J\u{1b}[32mok\u{202e}xxx"));
        assert!(lines.len() < 3000, "{} bytes", lines.len());
    }
}
