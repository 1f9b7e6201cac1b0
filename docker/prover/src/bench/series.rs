//! Rounds: the sides of a ratio, measured in turns, and how far the rounds differ.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Measurement;

/// A ratio is steady if the middle half of its rounds differs by at most this part
/// of the median.
const WIDEST: f64 = 0.3;

/// The ratio to the reference: the median of all rounds, and the quartiles, between
/// which the middle half of the rounds lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The median.
    pub median: f64,
    /// The first quartile.
    pub lower: f64,
    /// The third quartile.
    pub upper: f64,
}

/// The result of all rounds of one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How many rounds were measured.
    pub rounds: usize,
    /// The median of the measured program, in the figure's unit.
    pub value: f64,
    /// The median of the reference, in the same unit.
    pub reference: f64,
    /// The measured program against the reference.
    pub ratio: Ratio,
    /// What else was measured in the same rounds, against the same reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
}

/// Another program, measured in the same rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// `Go`, or a step: `step 8`.
    pub who: String,
    /// The median, in the figure's unit.
    pub value: f64,
    /// This program against the reference.
    pub ratio: Ratio,
}

impl Ratio {
    /// The ratios of two series, round by round.
    fn of(values: &[f64], references: &[f64]) -> Self {
        let ratios = values.iter().zip(references);
        let ratios: Vec<_> = ratios.map(|(value, one)| value / one).collect();
        let at = |part| rounded(quantile(ratios.clone(), part));
        Self { median: at(0.5), lower: at(0.25), upper: at(0.75) }
    }

    /// The distance of the quartiles, as a part of the median.
    pub fn width(&self) -> f64 {
        (self.upper - self.lower) / self.median
    }

    /// Whether the rounds agree so far that the median means something. A ratio
    /// that is no number is not steady.
    pub fn is_steady(&self) -> bool {
        self.width() <= WIDEST
    }
}

impl Seen {
    /// The result of series that were measured in turns: of the measured program,
    /// of the reference, and of each of `peers`.
    pub(super) fn new(sides: &[Vec<f64>], peers: &[String]) -> Self {
        let middle = |side: &[f64]| rounded(median(side.to_vec()));
        let [value, reference, others @ ..] = sides else {
            unreachable!("a ratio has two sides");
        };
        let peers = peers.iter().zip(others).map(|(who, side)| Peer {
            who: who.clone(),
            value: middle(side),
            ratio: Ratio::of(side, reference),
        });
        Self {
            rounds: value.len(),
            value: middle(value),
            reference: middle(reference),
            ratio: Ratio::of(value, reference),
            peers: peers.collect(),
        }
    }
}

/// Measures the sides of a ratio in turns, after one warm-up round: the measured
/// program, the reference, and each of `peers`. So a busy moment of the machine
/// affects all sides of a round.
pub(super) fn in_turns<S: AsRef<[f64]>>(
    rounds: usize,
    peers: &[String],
    mut measure: impl FnMut() -> Result<S>,
) -> Result<Seen> {
    let mut sides = vec![Vec::new(); 2 + peers.len()];
    measure()?;
    for _ in 0..rounds {
        let round = measure()?;
        for (side, value) in sides.iter_mut().zip(round.as_ref()) {
            side.push(*value);
        }
    }
    Ok(Seen::new(&sides, peers))
}

/// Measures until the ratio is steady, at most `attempts` times. If it never is,
/// the result is the steadiest one. `again` is called before each repetition.
pub(super) fn steadiest(
    attempts: usize,
    mut measure: impl FnMut(usize) -> Result<Measurement>,
    mut again: impl FnMut(&Seen),
) -> Result<Measurement> {
    let mut best: Option<Seen> = None;
    for attempt in 1..=attempts {
        let seen = match measure(attempt)? {
            Measurement::Seen(seen) => seen,
            skipped @ Measurement::Skipped(_) => return Ok(skipped),
        };
        let better = |best: &Seen| seen.ratio.width() < best.ratio.width();
        let steady = seen.ratio.is_steady();
        if !steady && attempt < attempts {
            again(&seen);
        }
        if best.as_ref().is_none_or(better) {
            best = Some(seen);
        }
        if steady {
            break;
        }
    }
    Ok(Measurement::Seen(best.expect("there is at least one attempt")))
}

/// The median of `count` measurements, as one side of a round: a single one may be
/// disturbed.
pub(super) fn median_of(
    count: usize,
    mut measure: impl FnMut() -> Result<f64>,
) -> Result<f64> {
    let values = (0..count).map(|_| measure()).collect::<Result<_>>()?;
    Ok(median(values))
}

/// The median, which a single outlier does not change.
pub(super) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of the values lies, by linear interpolation
/// between its neighbours. Without values, it is not a number.
pub(super) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let below = place.floor();
    let (low, high) = (below as usize, (below as usize + 1).min(last));
    values[low] + (values[high] - values[low]) * (place - below)
}

/// Five significant digits: more would claim more than a measurement can know.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ratios: &[f64]) -> Seen {
        Seen::new(&[ratios.to_vec(), vec![1.0; ratios.len()]], &[])
    }

    #[test]
    fn one_outlier_does_not_change_the_median() {
        assert_eq!(median(vec![3.0, 900.0, 1.0, 2.0, 2.5]), 2.5);
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_ratio_is_the_median_of_rounds_and_not_of_sides() {
        // The machine is ten times slower in the last two rounds.
        let values = vec![2.0, 2.2, 1.8, 20.0, 22.0];
        let references = vec![1.0, 1.0, 1.0, 10.0, 10.0];
        let peer = vec![3.0, 3.0, 3.0, 30.0, 30.0];
        let sides = [values, references, peer];
        let seen = Seen::new(&sides, &["Go".to_owned()]);
        let expected = Ratio { median: 2.0, lower: 2.0, upper: 2.2 };
        assert_eq!(seen.ratio, expected);
        assert_eq!((seen.rounds, seen.peers[0].ratio.median), (5, 3.0));
    }

    #[test]
    fn rounds_that_differ_too_far_are_not_steady() {
        assert!(seen(&[1.0, 1.1, 1.2, 1.3, 9.0]).ratio.is_steady());
        assert!(!seen(&[1.0, 1.5, 2.0, 2.5, 3.0]).ratio.is_steady());
        assert!(!seen(&[f64::NAN]).ratio.is_steady());
        assert!(seen(&[7.0]).ratio.is_steady());
    }

    #[test]
    fn what_is_not_steady_is_measured_again_within_a_bound() {
        let wide = [1.0, 2.0, 3.0];
        let less_wide = [1.0, 1.5, 2.0];
        let steady = [2.0, 2.0, 2.1];
        for (rounds, expected, measured) in [
            (&[&steady, &wide, &wide], &steady, 1),
            (&[&wide, &steady, &wide], &steady, 2),
            (&[&wide, &less_wide, &wide], &less_wide, 3),
        ] {
            let (mut count, mut repeated) = (0, 0);
            let outcome = steadiest(
                3,
                |attempt| {
                    count = attempt;
                    Ok(Measurement::Seen(seen(rounds[attempt - 1])))
                },
                |_| repeated += 1,
            );
            let outcome = outcome.unwrap();
            assert_eq!(outcome, Measurement::Seen(seen(expected)));
            assert_eq!((count, repeated), (measured, measured - 1));
        }
    }

    #[test]
    fn what_is_skipped_is_not_measured_again() {
        let mut count = 0;
        let outcome = steadiest(
            3,
            |attempt| {
                count = attempt;
                Ok(Measurement::Skipped("no go here".to_owned()))
            },
            |_| panic!("nothing was measured"),
        );
        let skipped = Measurement::Skipped("no go here".to_owned());
        assert_eq!((outcome.unwrap(), count), (skipped, 1));
    }

    #[test]
    fn all_sides_are_measured_once_in_each_round_after_a_warm_up() {
        let mut round = 0.0;
        let peers = ["step 8".to_owned()];
        let seen = in_turns(3, &peers, || {
            round += 1.0;
            Ok([round * 2.0, round, round * 6.0])
        });
        let seen = seen.unwrap();
        assert_eq!((seen.rounds, seen.value, seen.reference), (3, 6.0, 3.0));
        assert_eq!(seen.ratio.width(), 0.0);
        assert_eq!(seen.peers[0].ratio.median, 6.0);
    }
}
