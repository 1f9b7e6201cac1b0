//! The results of a run as a table for a terminal.

use std::fmt::{self, Display};

use anstyle::Style;
use stand_in::report::LABEL;

use super::figures::Aim;
use super::record::Row;

/// The header of the table.
pub fn header() -> impl Display {
    Line(["what", "seen", "ratio to", "aim"].map(str::to_owned), LABEL)
}

/// One figure as a row of the table, with its spread, its peers and its meaning
/// below.
pub fn row(row: &Row) -> impl Display {
    let unit = row.unit;
    let sign = if unit.more_is_better() { ">=" } else { "<=" };
    let aim = match row.aim {
        Some(Aim::Ratio(most)) => format!("ratio {sign} {most}"),
        Some(Aim::Value(most)) => format!("{sign} {}", unit.show_aim(most)),
        None => "-".to_owned(),
    };
    let (value, ratio) = match &row.seen {
        Some(seen) => {
            let median = seen.ratio.median;
            let about = if seen.ratio.is_steady() { "" } else { "~" };
            let (against, beside) = (&row.against, unit.show(seen.reference));
            (
                unit.show(seen.value),
                format!("{about}{median:.2} x {against} ({beside})"),
            )
        }
        None => {
            let why = row.skipped.clone().unwrap_or_default();
            ("skipped".to_owned(), why)
        }
    };
    let mut text =
        Line([row.what.clone(), value, ratio, aim], Style::new()).to_string();
    for line in remarks(row).iter().chain([&row.read]) {
        text.push('\n');
        text.push_str(&wrapped(line));
    }
    text
}

/// The spread and the peers of a row, as sentences.
fn remarks(row: &Row) -> Vec<String> {
    let Some(seen) = &row.seen else { return Vec::new() };
    let mut remarks = Vec::new();
    if seen.rounds > 1 {
        let (lower, upper) = (seen.ratio.lower, seen.ratio.upper);
        let rounds = seen.rounds;
        let unsteady = match seen.ratio.is_steady() {
            true => "",
            false => {
                " UNSTEADY: the rounds differ too far, also when repeated, \
                 so this ratio is only a guess."
            }
        };
        remarks.push(format!(
            "{rounds} rounds, the middle half from {lower:.2} to {upper:.2}.\
             {unsteady}"
        ));
    }
    let peers = seen.peers.iter().map(|peer| {
        let about = if peer.ratio.is_steady() { "" } else { "~" };
        let (median, value) = (peer.ratio.median, row.unit.show(peer.value));
        format!("{} {about}{median:.2} x ({value})", peer.who)
    });
    let peers: Vec<_> = peers.collect();
    if !peers.is_empty() {
        remarks.push(format!("In the same rounds: {}.", peers.join(", ")));
    }
    remarks
}

struct Line([String; 4], Style);

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self([what, seen, ratio, aim], style) = self;
        write!(f, "{style}{what:<24} {seen:<10} {ratio:<37} {aim}{style:#}")
    }
}

/// Wraps the text below a row, indented, at 78 columns.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 78;
    const INDENT: &str = "   ";
    let mut lines = vec![INDENT.to_owned()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{INDENT} {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::Measurement;
    use super::super::figures::FIGURES;
    use super::super::series::{Peer, Ratio, Seen};
    use super::*;

    fn seen(lower: f64, upper: f64) -> Measurement {
        let ratio = |median| Ratio { median, lower, upper };
        let peer = |who: &str, median| Peer {
            who: who.to_owned(),
            value: median * 15.1e-6,
            ratio: ratio(median),
        };
        Measurement::Seen(Seen {
            rounds: 21,
            value: 31.2e-6,
            reference: 15.1e-6,
            ratio: ratio(2.07),
            peers: vec![peer("Go", 3.0), peer("step 8", 0.5)],
        })
    }

    fn lines(measured: Measurement) -> Vec<String> {
        let text = row(&Row::new(&FIGURES[0], 8, measured)).to_string();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_says_what_was_seen_beside_what_and_the_aim() {
        let lines = lines(seen(2.0, 2.5));
        assert_eq!(
            lines[..3],
            [
                "Activate, 1 connection   31.2 µs    \
                 2.07 x a raw echo (15.1 µs)           ratio <= 2.5",
                "    21 rounds, the middle half from 2.00 to 2.50.",
                "    In the same rounds: Go 3.00 x (45.3 µs), step 8 ~0.50 x \
                 (7.55 µs).",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn a_ratio_whose_rounds_differ_is_marked() {
        let lines = lines(seen(1.0, 2.5));
        assert!(lines[0].contains(" ~2.07 x a raw echo"), "{lines:?}");
        assert!(lines[1].contains("1.00 to 2.50. UNSTEADY"), "{lines:?}");
    }

    #[test]
    fn more_is_better_for_calls_in_a_second() {
        let mut rates = FIGURES.iter().filter(|it| it.name == "get-8");
        let rate = rates.next().unwrap();
        let text = row(&Row::new(rate, 9, seen(2.0, 2.2))).to_string();
        assert!(text.contains("ratio >= 2\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_measured_here_says_why() {
        let skipped = Measurement::Skipped("only Linux tells".to_owned());
        let lines = lines(skipped);
        assert!(lines[0].contains("skipped    only Linux tells"), "{lines:?}");
    }
}
