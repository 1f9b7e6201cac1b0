//! Draws sequence diagrams, from the part of mermaid that the slides use.

use std::fmt::Write;

use crate::html::escape;

/// A conversation between a few actors.
#[derive(Debug, Default)]
pub struct Diagram {
    /// Short name and label of each actor, from left to right.
    actors: Vec<(String, String)>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Message { from: usize, to: usize, text: String, reply: bool },
    Note { from: usize, to: usize, text: String },
}

const KNOWN: &str = "a diagram has `participant A as Label`, \
                     `A->>B: text`, `A-->>B: text` and `Note over A,B: text` only";

impl Diagram {
    /// Reads a `mermaid` fence; an error has the number of its line.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut diagram = Self::default();
        let mut lines = text.lines().map(str::trim).enumerate();
        match lines.next() {
            Some((_, "sequenceDiagram")) => {}
            _ => {
                return Err((
                    0,
                    "a diagram starts with sequenceDiagram".into(),
                ));
            }
        }
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            diagram.line(line).map_err(|text| (number, text))?;
        }
        match diagram.steps.is_empty() {
            true => Err((0, "the diagram has no message and no note".into())),
            false => Ok(diagram),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(actor) = line.strip_prefix("participant ") {
            let (name, label) =
                actor.split_once(" as ").unwrap_or((actor, actor));
            self.actors.push((name.trim().into(), label.trim().into()));
            return Ok(());
        }
        let unknown = || format!("`{line}` is not understood: {KNOWN}");
        let (head, text) = line.split_once(':').ok_or_else(unknown)?;
        let text = text.trim().to_owned();
        if let Some(over) = head.strip_prefix("Note over ") {
            let (from, to) = over.split_once(',').unwrap_or((over, over));
            let (from, to) = (self.actor(from)?, self.actor(to)?);
            let (from, to) = (from.min(to), from.max(to));
            self.steps.push(Step::Note { from, to, text });
            return Ok(());
        }
        let (from, to, reply) = match head.split_once("-->>") {
            Some((from, to)) => (from, to, true),
            None => {
                let (from, to) = head.split_once("->>").ok_or_else(unknown)?;
                (from, to, false)
            }
        };
        let (from, to) = (self.actor(from)?, self.actor(to)?);
        if from == to {
            return Err(format!("`{line}`: an actor cannot send to itself"));
        }
        self.steps.push(Step::Message { from, to, text, reply });
        Ok(())
    }

    fn actor(&self, name: &str) -> Result<usize, String> {
        let name = name.trim();
        let at = self.actors.iter().position(|(short, _)| short == name);
        at.ok_or_else(|| format!("no `participant {name}` above this line"))
    }

    /// The numbers of actors and of messages, and all texts.
    pub fn size(&self) -> (usize, usize, Vec<&str>) {
        let said = self.steps.iter().map(|step| match step {
            Step::Message { text, .. } | Step::Note { text, .. } => &**text,
        });
        let labels = self.actors.iter().map(|(_, label)| &**label);
        (self.actors.len(), self.steps.len(), labels.chain(said).collect())
    }

    /// The diagram in words, for people who cannot see the drawing.
    fn spoken(&self) -> String {
        let name = |at: usize| &*self.actors[at].1;
        let said = self.steps.iter().map(|step| match step {
            Step::Message { from, to, text, .. } => {
                format!("{} to {}: {text}", name(*from), name(*to))
            }
            Step::Note { text, .. } => text.clone(),
        });
        said.collect::<Vec<_>>().join("; ")
    }

    /// Draws the diagram, as wide as a slide and as high as needed.
    pub fn svg(&self) -> String {
        let width = 1120;
        let lane = width / self.actors.len();
        let middle = |actor: usize| lane * actor + lane / 2;
        let height = TOP + ROW * self.steps.len() + 24;
        // Without margins, because a phone has no room for them.
        let left = middle(0) - BOX / 2 - 2;
        let wide = middle(self.actors.len() - 1) + BOX / 2 + 2 - left;
        let mut svg = format!(
            "<svg class=\"diagram\" viewBox=\"{left} 0 {wide} {height}\" \
             width=\"{wide}\" height=\"{height}\" \
             role=\"img\" aria-label=\"{}\">",
            escape(&self.spoken())
        );
        for (at, (_, label)) in self.actors.iter().enumerate() {
            let (x, label) = (middle(at), escape(label));
            let left = x - BOX / 2;
            put(
                &mut svg,
                format_args!(
                    "<path class=\"life\" d=\"M{x} 52V{height}\"/>\
                     <rect class=\"actor\" x=\"{left}\" y=\"2\" \
                     width=\"{BOX}\" height=\"50\" rx=\"8\"/>\
                     <text class=\"name\" x=\"{x}\" y=\"36\">{label}</text>"
                ),
            );
        }
        for (row, step) in self.steps.iter().enumerate() {
            let y = TOP + ROW * row + 44;
            match step {
                Step::Message { from, to, text, reply } => {
                    let (from, to) = (middle(*from), middle(*to));
                    draw_message(&mut svg, (from, to, y), text, *reply);
                }
                Step::Note { from, to, text } => {
                    let middle = (middle(*from) + middle(*to)) / 2;
                    draw_note(&mut svg, middle, y, text);
                }
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

/// The top of the first message, below the actors.
const TOP: usize = 62;
/// The distance from one message to the next.
const ROW: usize = 62;
/// The width of an actor.
const BOX: usize = 290;

/// Draws a message. A reply has another colour, is dashed, and has an open
/// head.
fn draw_message(
    svg: &mut String,
    (from, to, y): (usize, usize, usize),
    text: &str,
    reply: bool,
) {
    let class = if reply { "reply" } else { "call" };
    let middle = usize::midpoint(from, to);
    let (tip, back) = match from < to {
        true => (to - 3, to - 17),
        false => (to + 3, to + 17),
    };
    let (up, down, above) = (y - 8, y + 8, y - 12);
    let close = if reply { "" } else { "Z" };
    let text = escape(text);
    put(
        svg,
        format_args!(
            "<path class=\"{class}\" d=\"M{from} {y}H{tip}\"/>\
             <path class=\"{class} head\" d=\"M{back} {up}L{tip} {y}L{back} \
             {down}{close}\"/>\
             <text x=\"{middle}\" y=\"{above}\">{text}</text>"
        ),
    );
}

fn draw_note(svg: &mut String, middle: usize, y: usize, text: &str) {
    // Wide enough for the longest label in any monospaced font.
    let width = text.chars().count() * 15 + 40;
    let (left, top, base) = (middle - width / 2, y - 30, y - 1);
    let text = escape(text);
    put(
        svg,
        format_args!(
            "<rect class=\"remark\" x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"42\" rx=\"4\"/><text x=\"{middle}\" y=\"{base}\">{text}</text>"
        ),
    );
}

fn put(svg: &mut String, what: std::fmt::Arguments) {
    svg.write_fmt(what).expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::Diagram;

    #[test]
    fn says_which_line_it_does_not_understand() {
        const CASES: [(&str, usize, &str); 5] = [
            ("graph TD", 0, "starts with sequenceDiagram"),
            ("sequenceDiagram\nparticipant A", 0, "no message and no note"),
            ("sequenceDiagram\nparticipant A\nA->>B: hi", 2, "participant B"),
            ("sequenceDiagram\nloop for ever", 1, "not understood"),
            ("sequenceDiagram\nparticipant A\nA->>A: hm", 2, "to itself"),
        ];
        for (text, line, expected) in CASES {
            let (at, why) = Diagram::parse(text).unwrap_err();
            assert_eq!(at, line, "{text}");
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn draws_a_reply_dashed_and_says_what_it_draws() {
        let text = "sequenceDiagram\nparticipant D as Docker\n\
                    participant P as you & me\nD->>P: a\nP-->>D: b";
        let svg = Diagram::parse(text).unwrap().svg();
        assert!(svg.contains("class=\"reply\""), "{svg}");
        assert!(svg.contains("Docker to you &amp; me: a; "), "{svg}");
    }
}
