//! Draws the results of a run as SVG: each figure is a row, on a logarithmic axis of
//! ratios on which 1 is the reference.
//!
//! The colours follow the reader's light or dark mode. No mark differs from another
//! one by its colour alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::figures::Aim;
use super::record::{Recording, Row, Verdict};
use super::series::Ratio;

/// The figures that fit on a slide.
pub const ON_A_SLIDE: [&str; 10] = [
    "activate-1",
    "get-1",
    "p99-8",
    "p99-32",
    "activate-8",
    "activate-32",
    "get-8",
    "get-32",
    "start-go",
    "image",
];

/// The places and the sizes of a drawing, in its own pixels.
struct Layout {
    width: f64,
    /// The size of most texts, and of the smaller ones.
    text: f64,
    small: f64,
    row: f64,
    /// Where the names of the references begin.
    against: f64,
    /// The plot's left and right ends.
    plot: (f64, f64),
    /// Where the ratios end, and the verdicts begin.
    ratio: f64,
    verdict: f64,
    /// Half of the size of a mark.
    mark: f64,
    /// Whether a slide shows the drawing: it has a title, and little room.
    is_slide: bool,
}

const WHOLE: Layout = Layout {
    width: 900.0,
    text: 13.0,
    small: 12.0,
    row: 24.0,
    against: 192.0,
    plot: (335.0, 680.0),
    ratio: 742.0,
    verdict: 754.0,
    mark: 5.0,
    is_slide: false,
};

/// The slides' own rules: no text is smaller than 20 pixels, and nothing is in the
/// lowest 90 pixels, which leaves a height of 474 below a title.
const SLIDE: Layout = Layout {
    width: 1152.0,
    text: 20.0,
    small: 20.0,
    row: 26.0,
    against: 262.0,
    plot: (410.0, 830.0),
    ratio: 925.0,
    verdict: 945.0,
    mark: 6.5,
    is_slide: true,
};

/// Draws all figures.
pub fn all(recording: &Recording) -> String {
    Drawing::new(&WHOLE, recording, recording.figures.iter().collect()).finish()
}

/// Draws the figures that fit on a slide.
pub fn for_a_slide(recording: &Recording) -> String {
    let named = |row: &&Row| ON_A_SLIDE.iter().any(|name| row.name == *name);
    let rows = recording.figures.iter().filter(named).collect();
    Drawing::new(&SLIDE, recording, rows).finish()
}

/// The width of a letter as a part of its height. Fonts differ, so the places of
/// texts leave some room.
const LETTER: f64 = 0.54;

/// A drawing that grows downwards.
struct Drawing<'a> {
    layout: &'a Layout,
    recording: &'a Recording,
    rows: Vec<&'a Row>,
    axis: Axis,
    /// The elements so far.
    body: String,
    /// The lower end of them.
    bottom: f64,
}

/// A logarithmic axis.
struct Axis {
    /// The ratios at the ends.
    ends: (f64, f64),
    plot: (f64, f64),
}

impl Axis {
    /// An axis on which all that these rows show has a place.
    fn of(rows: &[&Row], plot: (f64, f64)) -> Self {
        let mut ends = (0.5_f64, 2.0_f64);
        for row in rows {
            let Some(seen) = &row.seen else { continue };
            let peers = seen.peers.iter().map(|peer| peer.ratio);
            let ratios = peers.chain([seen.ratio]);
            let shown = ratios.flat_map(|Ratio { median, lower, upper }| {
                [median, lower, upper]
            });
            let shown = shown.chain(row.aimed_ratio());
            for ratio in shown.filter(|it| it.is_finite() && *it > 0.0) {
                ends = (ends.0.min(ratio), ends.1.max(ratio));
            }
        }
        // Some room, so that no mark touches an end.
        Self { ends: (ends.0 / 1.25, ends.1 * 1.25), plot }
    }

    /// The place of a ratio. Ratios beyond an end are at that end.
    fn x(&self, ratio: f64) -> f64 {
        let (low, high) = (self.ends.0.ln(), self.ends.1.ln());
        let part = (ratio.ln() - low) / (high - low);
        let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self.plot.0 + part * (self.plot.1 - self.plot.0)
    }

    /// The ratios of the grid: 1, 2 and 5, with any power of ten. A long axis has
    /// the powers alone.
    fn grid(&self) -> Vec<f64> {
        let steps: &[f64] = match self.ends.1 / self.ends.0 {
            0.0..500.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let powers = (-6..=6).map(|power| 10_f64.powi(power));
        powers
            .flat_map(|power| steps.iter().map(move |step| power * step))
            .filter(|at| (self.ends.0..=self.ends.1).contains(at))
            .collect()
    }
}

impl<'a> Drawing<'a> {
    fn new(
        layout: &'a Layout,
        recording: &'a Recording,
        rows: Vec<&'a Row>,
    ) -> Self {
        let axis = Axis::of(&rows, layout.plot);
        let body = String::new();
        Self { layout, recording, rows, axis, body, bottom: 0.0 }
    }

    fn finish(mut self) -> String {
        self.head();
        self.legend();
        let top = self.bottom;
        self.bottom += self.layout.small * 1.8;
        let mut group = None;
        for row in self.rows.clone() {
            if group != Some(row.group) {
                group = Some(row.group);
                self.group(row);
            }
            self.row(row);
        }
        let bottom = self.bottom + 4.0;
        // A slide has no room for the numbers of the axis below the plot.
        let below = if self.layout.is_slide { 0.3 } else { 1.6 };
        self.bottom = bottom + self.layout.small * below;
        let grid = self.grid(top + self.layout.small * 1.5, bottom);
        let Layout { width, text, small, .. } = self.layout;
        let height = self.bottom.ceil();
        let (title, words) = (escape(&self.title()), escape(&self.in_words()));
        let body = &self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bench\" \
             viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" \
             aria-labelledby=\"bench-title bench-words\">\n\
             <title id=\"bench-title\">{title}</title>\n\
             <desc id=\"bench-words\">{words}</desc>\n\
             <style>\n{STYLE}\
             .bench text {{ font-size: {text}px; }}\n\
             .bench .small {{ font-size: {small}px; }}\n</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
             {grid}{body}</svg>\n"
        )
    }

    fn title(&self) -> String {
        let step = self.recording.step;
        match self.recording.against_step {
            Some(other) => format!(
                "Step {step}, with step {other} beside it, as ratios to \
                 references"
            ),
            None => format!("Step {step}, as ratios to references"),
        }
    }

    /// All rows as sentences, for readers who do not see the drawing.
    fn in_words(&self) -> String {
        let mut words = self.recording.title() + ". ";
        if self.recording.machine.is_busy() {
            words += BUSY;
            words += " ";
        }
        for row in &self.rows {
            let Row { what, against, .. } = row;
            let written = write!(words, "{what}: ");
            written.expect("a string takes what is written to it");
            match (&row.seen, &row.skipped) {
                (Some(seen), _) => {
                    let ratio = seen.ratio.median;
                    words += &format!("{ratio:.2} times {against}");
                    for peer in &seen.peers {
                        let (who, ratio) = (&peer.who, peer.ratio.median);
                        words += &format!(", {who} {ratio:.2} times");
                    }
                }
                (None, why) => {
                    words += "skipped: ";
                    words += why.as_deref().unwrap_or("not measured");
                }
            }
            for remark in [aim(row), row.verdict().word().to_owned()] {
                if !remark.is_empty() && row.seen.is_some() {
                    words += &format!(", {remark}");
                }
            }
            words += ". ";
        }
        words.trim_end().to_owned()
    }

    /// The title, and the facts about the run.
    fn head(&mut self) {
        let Layout { width, text, small, is_slide, .. } = *self.layout;
        if !is_slide {
            self.bottom += text * 2.2;
            let title = self.title();
            self.text((16.0, self.bottom), "title", &title);
        }
        let machine = &self.recording.machine;
        let is_busy = machine.is_busy();
        let room = (width - 32.0) / (small * LETTER);
        let facts = excerpt(&machine.facts().join(", "), room as usize);
        let facts = (!is_busy || !is_slide).then_some((facts, "small soft"));
        let busy = is_busy.then(|| (BUSY.to_owned(), "small strong"));
        for (line, class) in facts.into_iter().chain(busy) {
            self.bottom += small * 1.6;
            self.text((16.0, self.bottom), class, &line);
        }
    }

    /// What the marks mean.
    fn legend(&mut self) {
        let Layout { text, small, mark, .. } = *self.layout;
        self.bottom += text * 1.9;
        let y = self.bottom - small * 0.35;
        let mut x = 16.0 + mark;
        let peers = self.rows.iter().filter_map(|row| row.seen.as_ref());
        let peers = peers.flat_map(|seen| &seen.peers);
        let peers: BTreeSet<_> = peers.map(|peer| peer.who.as_str()).collect();
        let recording = self.recording;
        let step = format!("step {}", recording.step);
        let mut marks: Vec<(Mark, &str)> =
            vec![(Mark::Seen, &step), (Mark::Unsteady, "unsteady")];
        marks.extend(peers.iter().map(|who| (Mark::of_peer(who), *who)));
        marks.extend([
            (Mark::One, "reference"),
            (Mark::Aim { more: false }, "aim, better side"),
            (Mark::Spread, "middle half of the rounds"),
        ]);
        for (kind, words) in marks {
            let half = if kind == Mark::Spread { mark * 2.0 } else { mark };
            self.mark(kind, (x + half - mark, y));
            x += half * 2.0 - mark + small * 0.5;
            self.text((x, self.bottom), "small", words);
            x += words.chars().count() as f64 * small * LETTER + small * 1.4;
        }
    }

    fn group(&mut self, row: &Row) {
        let Layout { text, row: high, plot, .. } = *self.layout;
        self.bottom += high * 1.2;
        let y = self.bottom - (high - text) * 0.5;
        self.text((16.0, y), "group", row.group.title());
        match row.unit.more_is_better() {
            true => {
                self.text((plot.1, y), "small soft end", "more is better ▶")
            }
            false => self.text((plot.0, y), "small soft", "◀ less is better"),
        }
    }

    fn row(&mut self, row: &Row) {
        let Layout { text, small, row: high, against, plot, .. } = *self.layout;
        let Layout { ratio: end, verdict, .. } = *self.layout;
        let top = self.bottom;
        self.bottom += high;
        let middle = top + high / 2.0;
        let y = middle + text * 0.35;
        self.text((16.0, y), "", &row.what);
        self.text((against, y), "small soft", &row.against);
        let Some(seen) = &row.seen else {
            let why = row.skipped.as_deref().unwrap_or("not measured");
            let room = (self.layout.width - plot.0) / (small * LETTER);
            let words = excerpt(&format!("skipped: {why}"), room as usize);
            return self.text((plot.0 + 6.0, y), "small soft", &words);
        };
        let more = row.unit.more_is_better();
        if let Some(aim) = row.aimed_ratio() {
            let x = self.axis.x(aim);
            let (left, right) = if more { (x, plot.1) } else { (plot.0, x) };
            let (wide, tall) = (right - left, high - 6.0);
            let y = top + 3.0;
            self.put(format_args!(
                "<rect class=\"zone\" x=\"{left:.1}\" y=\"{y:.1}\" \
                 width=\"{wide:.1}\" height=\"{tall:.1}\"/>"
            ));
            self.mark(Mark::Aim { more }, (x, middle));
        }
        for peer in &seen.peers {
            let kind = Mark::of_peer(&peer.who);
            self.measured(kind, &peer.ratio, middle);
        }
        let steady = seen.ratio.is_steady();
        let kind = if steady { Mark::Seen } else { Mark::Unsteady };
        self.measured(kind, &seen.ratio, middle);
        let about = if steady { "" } else { "~" };
        let ratio = format!("{about}{} ×", short(seen.ratio.median));
        self.text((end, y), "strong end", &ratio);
        let words = row.verdict().word();
        let words = match (words, aim(row)) {
            (words, aim) if words.is_empty() || aim.is_empty() => {
                format!("{words}{aim}")
            }
            (words, aim) => format!("{words}: {}", aim.replace("aim ", "")),
        };
        let class = match row.verdict() {
            Verdict::Missed | Verdict::Unsteady => "small strong",
            _ => "small",
        };
        self.text((verdict, y), class, &words);
    }

    /// A mark at the median, on a line between the quartiles.
    fn measured(&mut self, kind: Mark, ratio: &Ratio, y: f64) {
        let [x, low, high] = [ratio.median, ratio.lower, ratio.upper]
            .map(|ratio| self.axis.x(ratio));
        if high - low > 1.0 {
            self.put(format_args!(
                "<path class=\"spread\" d=\"M{low:.1} {y:.1}H{high:.1}\"/>"
            ));
        }
        self.mark(kind, (x, y));
    }

    fn mark(&mut self, kind: Mark, (x, y): (f64, f64)) {
        let half = self.layout.mark;
        let (class, path) = match kind {
            Mark::Seen | Mark::Unsteady => {
                let class = match kind {
                    Mark::Seen => "seen",
                    _ => "unsteady",
                };
                return self.put(format_args!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" \
                     r=\"{half}\"/>"
                ));
            }
            Mark::Go => {
                let (size, left) = (half * 1.2, x - half * 1.2);
                (
                    "go",
                    format!(
                        "M{left:.1} {y:.1}l{size} {size} {size} -{size} \
                         -{size} -{size}z"
                    ),
                )
            }
            Mark::Step => {
                let (left, top, side) = (x - half, y - half, half * 2.0);
                ("step", format!("M{left:.1} {top:.1}h{side}v{side}h-{side}z"))
            }
            Mark::Aim { more } => {
                let tall = half * 1.9;
                let top = y - tall;
                // The triangle points to the better side.
                let away = if more { half } else { -half };
                (
                    "aim",
                    format!(
                        "M{x:.1} {top:.1}v{}M{x:.1} {top:.1}l{away} {} \
                         {} {}z",
                        tall * 2.0,
                        half * 0.6,
                        -away,
                        half * 0.6,
                    ),
                )
            }
            Mark::One => {
                let (top, tall) = (y - half * 1.9, half * 3.8);
                ("one", format!("M{x:.1} {top:.1}v{tall}"))
            }
            Mark::Spread => {
                let left = x - half * 2.0;
                ("spread", format!("M{left:.1} {y:.1}h{}", half * 4.0))
            }
        };
        self.put(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    /// The grid from the top of the plot to its bottom, which the rows cover.
    fn grid(&self, top: f64, bottom: f64) -> String {
        let mut grid = String::new();
        let mut put = |element: std::fmt::Arguments| {
            let written = writeln!(grid, "{element}");
            written.expect("a string takes what is written to it");
        };
        let Layout { small, is_slide, .. } = *self.layout;
        let (above, below) = (top - 4.0, bottom + small * 1.1);
        let places = [Some(above), (!is_slide).then_some(below)];
        for ratio in self.axis.grid() {
            let x = self.axis.x(ratio);
            let class = if ratio == 1.0 { "one" } else { "grid" };
            put(format_args!(
                "<path class=\"{class}\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>"
            ));
            for y in places.into_iter().flatten() {
                put(format_args!(
                    "<text class=\"small soft middle\" x=\"{x:.1}\" \
                     y=\"{y:.1}\">{ratio}</text>"
                ));
            }
        }
        grid
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    fn put(&mut self, element: std::fmt::Arguments) {
        let written = writeln!(self.body, "{element}");
        written.expect("a string takes what is written to it");
    }
}

/// The shapes of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The measured program: a disc.
    Seen,
    /// The same if its rounds differ too far: a dashed ring.
    Unsteady,
    /// The peer in Go: a diamond.
    Go,
    /// Another step: a square.
    Step,
    /// The aim: a bar with a flag that points to the better side.
    Aim { more: bool },
    /// The quartiles: a line.
    Spread,
    /// The reference: a thin line.
    One,
}

impl Mark {
    fn of_peer(who: &str) -> Self {
        if who.starts_with("step") { Self::Step } else { Self::Go }
    }
}

const BUSY: &str =
    "Other programs kept the machine busy: do not rely on these ratios.";

/// Paper, ink, soft ink, grid, zone, seen, peers and aim have at least a contrast
/// of 3 to the paper, texts of 4.5; the zone and the grid are only hints.
const STYLE: &str = "\
.bench { --paper: #ffffff; --ink: #1d2530; --soft: #57606c; --line: #dfe2e7;
  --zone: #e2f1e4; --seen: #0a58ad; --peer: #a83e12; --aim: #2a6530; }
@media screen and (prefers-color-scheme: dark) {
  .bench { --paper: #0f141b; --ink: #e9ebef; --soft: #a3adbb; --line: #2b333f;
    --zone: #173222; --seen: #7ab8ff; --peer: #ff9f6e; --aim: #92d4a0; }
}
.bench text { fill: var(--ink); font-family: \"Segoe UI\", \"Helvetica Neue\",
  Arial, \"Liberation Sans\", sans-serif; paint-order: stroke;
  stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.bench .soft { fill: var(--soft); }
.bench .strong, .bench .group, .bench .title { font-weight: 600; }
.bench .end { text-anchor: end; }
.bench .middle { text-anchor: middle; }
.bench .paper { fill: var(--paper); }
.bench .zone { fill: var(--zone); }
.bench .grid { stroke: var(--line); }
.bench .one { stroke: var(--soft); stroke-width: 1.5; }
.bench .spread { stroke: var(--soft); stroke-width: 2.5; fill: none; }
.bench .seen { fill: var(--seen); stroke: var(--paper); }
.bench .unsteady { fill: var(--paper); stroke: var(--seen); stroke-width: 2;
  stroke-dasharray: 2.5 2; }
.bench .go, .bench .step { fill: var(--paper); stroke: var(--peer);
  stroke-width: 2; }
.bench .aim { stroke: var(--aim); fill: var(--aim); stroke-width: 2.5; }
";

/// The aim of a row in words; nothing where there is none.
fn aim(row: &Row) -> String {
    let sign = if row.unit.more_is_better() { '≥' } else { '≤' };
    match row.aim {
        Some(Aim::Ratio(most)) => format!("aim {sign} {most}"),
        Some(Aim::Value(most)) => {
            format!("aim {sign} {}", row.unit.show_aim(most))
        }
        None => String::new(),
    }
}

/// A ratio with as many digits as one can compare.
fn short(ratio: f64) -> String {
    match ratio {
        0.0..10.0 => format!("{ratio:.2}"),
        10.0..100.0 => format!("{ratio:.1}"),
        _ => format!("{ratio:.0}"),
    }
}

/// The beginning of a text, of at most `most` characters.
fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((end, _)) if text.chars().count() > most => {
            text[..end].to_owned() + "…"
        }
        _ => text.to_owned(),
    }
}

/// Escapes a text for XML, in which most control characters must not be.
fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::Measurement;
    use super::super::figures::FIGURES;
    use super::super::machine::Machine;
    use super::super::series::{Peer, Seen};
    use super::*;

    fn ratio(median: f64, part: f64) -> Ratio {
        let (lower, upper) = (median * (1.0 - part), median * (1.0 + part));
        Ratio { median, lower, upper }
    }

    /// Results with these rows: name, ratio, and the part by which the quartiles
    /// differ from it.
    fn recording(rows: &[(&str, f64, f64)]) -> Recording {
        let row = |(name, median, part): &(&str, f64, f64)| {
            let mut figures = FIGURES.iter().filter(|it| it.name == *name);
            let peer = |who: &str, median| Peer {
                who: who.to_owned(),
                value: median,
                ratio: ratio(median, 0.01),
            };
            let seen = Seen {
                rounds: 9,
                value: *median,
                reference: 1.0,
                ratio: ratio(*median, *part),
                peers: vec![peer("Go", 3.0), peer("step 8", 4.0)],
            };
            let figure = figures.next().unwrap();
            Row::new(figure, 9, Measurement::Seen(seen))
        };
        Recording {
            step: 9,
            against_step: Some(8),
            machine: Machine { load: Some(0.5), ..Machine::now() },
            figures: rows.iter().map(row).collect(),
        }
    }

    /// How many elements of this kind the drawing has.
    fn count(svg: &str, part: &str) -> usize {
        svg.matches(part).count()
    }

    #[test]
    fn a_row_shows_what_was_seen_the_aim_and_the_peers() {
        let svg = all(&recording(&[("get-1", 0.4, 0.01)]));
        // Each mark stands in the legend as well, but no zone does.
        for (part, expected) in [
            ("<circle class=\"seen\"", 2),
            ("<circle class=\"unsteady\"", 1),
            ("<path class=\"go\"", 2),
            ("<path class=\"step\"", 2),
            ("<path class=\"aim\"", 2),
            ("<rect class=\"zone\"", 1),
            (">0.40 ×<", 1),
            (">met: ≤ 0.5<", 1),
        ] {
            assert_eq!(count(&svg, part), expected, "{part}\n{svg}");
        }
        let words = "Get, p50: 0.40 times the Go plugin, Go 3.00 times, step 8 \
                     4.00 times, aim ≤ 0.5, met.";
        assert!(svg.contains(words), "{svg}");
    }

    #[test]
    fn an_unsteady_ratio_has_another_shape_and_another_word() {
        let svg = all(&recording(&[("get-1", 0.4, 0.3)]));
        assert_eq!(count(&svg, "<circle class=\"unsteady\""), 2, "{svg}");
        assert_eq!(count(&svg, "<circle class=\"seen\""), 1, "{svg}");
        assert!(svg.contains(">~0.40 ×<"), "{svg}");
        assert!(svg.contains(">unsteady: ≤ 0.5<"), "{svg}");
    }

    #[test]
    fn a_busy_machine_is_named() {
        let mut recording = recording(&[("get-1", 0.4, 0.01)]);
        assert!(!all(&recording).contains(BUSY));
        recording.machine.load = Some(3.0);
        // For those who see the drawing, and for those who hear it.
        assert_eq!(count(&all(&recording), BUSY), 2);
        assert_eq!(count(&for_a_slide(&recording), BUSY), 2);
    }

    #[test]
    fn a_slide_has_its_own_figures_alone() {
        let rows = [("get-1", 0.4, 0.01), ("get", 2.0, 0.01)];
        let svg = for_a_slide(&recording(&rows));
        assert!(svg.contains(">Get, p50<"), "{svg}");
        assert!(!svg.contains(">Get, 1 connection<"), "{svg}");
    }

    #[test]
    fn a_texts_own_marks_do_not_become_elements() {
        let mut recording = recording(&[("get-1", 0.4, 0.01)]);
        let row = &mut recording.figures[0];
        row.what = "</text><script>\"&\u{1b}".to_owned();
        row.seen = None;
        row.skipped = Some(format!("<b>{}", "long ".repeat(100)));
        let svg = all(&recording);
        let safe = "&lt;/text&gt;&lt;script&gt;&quot;&amp;\u{fffd}";
        assert!(svg.contains(&format!(">{safe}<")), "{svg}");
        assert!(svg.contains(">skipped: &lt;b&gt;long long"), "{svg}");
        assert!(svg.contains("…</text>"), "{svg}");
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn the_axis_has_equal_distances_for_equal_factors() {
        let axis = Axis { ends: (0.1, 10.0), plot: (100.0, 300.0) };
        let places = [0.1, 1.0, 10.0, 100.0, 0.0].map(|at| axis.x(at));
        let expected = [100.0, 200.0, 300.0, 300.0, 100.0];
        for (place, expected) in places.iter().zip(expected) {
            assert!((place - expected).abs() < 1e-9, "{places:?}");
        }
        assert_eq!(axis.grid().len(), 7);
        let long = Axis { ends: (0.01, 100.0), ..axis };
        assert_eq!(long.grid(), [0.01, 0.1, 1.0, 10.0, 100.0]);
    }

    #[test]
    fn no_ratio_and_no_aim_is_beyond_the_ends() {
        let recording =
            recording(&[("get-1", 0.004, 0.01), ("get-32", 90.0, 0.01)]);
        let rows: Vec<_> = recording.figures.iter().collect();
        let Axis { ends, .. } = Axis::of(&rows, (0.0, 1.0));
        assert!(ends.0 < 0.004 && ends.1 > 90.0, "{ends:?}");
    }
}
