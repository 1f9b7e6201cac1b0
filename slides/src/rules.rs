//! The rules for slides that a program can measure; people judge the rest.

use crate::chapter::{Chapter, Deck, Kind, Problem, Slide, Table};
use crate::diagram::Diagram;
use crate::fence::{Code, CodeKind};

/// The longest title, in characters, that fits on one line.
const TITLE: usize = 44;
/// The most words on a slide: with more, the room reads instead of listening.
const WORDS: usize = 30;
/// The columns of code that fit on the wall, in a size that the last row can
/// read.
const COLUMNS: usize = 76;
/// The lines of code that fit on the wall, below a title and a sentence.
const LINES: usize = 12;
/// The lines of code that fit below a title alone.
const LINES_ALONE: usize = 15;

/// Lists every rule that a slide or a chapter breaks.
pub fn broken(deck: &Deck) -> Vec<Problem> {
    let mut found = Vec::new();
    for chapter in &deck.chapters {
        let mut add = |line, text| {
            found.push(Problem { file: chapter.file.clone(), line, text });
        };
        for slide in &chapter.slides {
            if let Some(why) = title(&slide.title) {
                add(slide.line, why);
            }
            for (line, why) in sizes(slide) {
                add(line, why);
            }
        }
        for (line, why) in course(chapter) {
            add(line, why);
        }
    }
    found
}

fn title(title: &str) -> Option<String> {
    let length = title.chars().count();
    if length > TITLE {
        return Some(format!(
            "the title has {length} characters, over {TITLE}"
        ));
    }
    if title.split_whitespace().count() < 3 || title.ends_with('.') {
        return Some(
            "a title must be a sentence, without its full stop".to_owned(),
        );
    }
    None
}

fn sizes(slide: &Slide) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let words = slide.prose.split_whitespace().count();
    if words > WORDS {
        found.push((
            slide.line,
            format!("the slide has {words} words, over {WORDS}"),
        ));
    }
    for code in &slide.code {
        for (at, line) in code.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let why =
                    format!("the code has {columns} columns, over {COLUMNS}");
                found.push((code.line + at, why));
            }
        }
    }
    let most = if words == 0 { LINES_ALONE } else { LINES };
    found.extend(blocks(slide, most).map(|why| (slide.line, why)));
    let diagrams = slide.diagrams.iter().filter_map(diagram);
    let tables = slide.tables.iter().filter_map(table);
    found.extend(diagrams.chain(tables).map(|why| (slide.line, why)));
    found
}

fn blocks(slide: &Slide, most: usize) -> Option<String> {
    let lines = |code: &Code| code.text.lines().count();
    let all: usize = slide.code.iter().map(lines).sum();
    let others = slide.diagrams.len() + slide.tables.len() + slide.pictures;
    match (&slide.code[..], others) {
        ([], 0 | 1) => None,
        ([one], 0) if lines(one) <= most => None,
        ([one], 0) => Some(format!(
            "the slide has {} lines of code, over {most}",
            lines(one)
        )),
        ([wire, code], 0)
            if matches!(wire.kind, CodeKind::Http(_))
                && matches!(code.kind, CodeKind::Rust(_))
                && all <= LINES =>
        {
            None
        }
        _ => Some(format!(
            "a slide has one block, or a request and its type in {LINES} lines"
        )),
    }
}

fn diagram(diagram: &Diagram) -> Option<String> {
    let (actors, messages, words) = diagram.size();
    let longest = words.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    (actors > 3 || messages > 6 || longest > 24).then(|| {
        format!(
            "the diagram has {actors} actors, {messages} messages and labels of \
             {longest} characters, over 3, 6 and 24"
        )
    })
}

fn table(table: &Table) -> Option<String> {
    let Table { rows, columns, cells } = table;
    if *rows > 4 || *columns > 3 {
        return Some(format!(
            "the table has {rows} rows and {columns} columns, over 4 and 3"
        ));
    }
    let sentence = |cell: &&String| {
        cell.split_whitespace().count() > 6 || cell.trim_end().ends_with('.')
    };
    cells
        .iter()
        .find(sentence)
        .map(|cell| format!("a cell must not be a sentence: {cell}"))
}

/// Checks that a step's chapter has every kind of slide, and how it spends its
/// time.
fn course(chapter: &Chapter) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let spent: f64 = chapter.slides.iter().map(|it| it.minutes).sum();
    let whole = chapter.minutes;
    if (spent - whole).abs() > 0.01 {
        found.push((
            1,
            format!(
                "the slides take {spent} minutes, the chapter announces {whole}"
            ),
        ));
    }
    if chapter.step == 0 {
        return found;
    }
    let works = [Kind::Task, Kind::Review];
    let talk = chapter.slides.iter().filter(|it| !works.contains(&it.kind));
    let talk: f64 = talk.map(|it| it.minutes).sum();
    if talk > whole / 3.0 + 0.01 {
        found.push((
            1,
            format!("{talk} minutes are talk, over a third of {whole}"),
        ));
    }
    for kind in [Kind::Predict, Kind::Task, Kind::Review, Kind::WhatIf] {
        if !chapter.slides.iter().any(|it| it.kind == kind) {
            found.push((
                1,
                format!("the chapter has no {} slide", kind.class()),
            ));
        }
    }
    let rust = |it: &Slide| {
        it.code.iter().any(|code| matches!(code.kind, CodeKind::Rust(_)))
    };
    let wire = |it: &Slide| {
        !it.diagrams.is_empty()
            || it.code.iter().any(|code| matches!(code.kind, CodeKind::Http(_)))
    };
    if let Some(first) = chapter.slides.iter().position(rust)
        && !chapter.slides[..=first].iter().any(wire)
    {
        let line = chapter.slides[first].line;
        found.push((
            line,
            "a slide with the wire must come before the code".to_owned(),
        ));
    }
    for task in chapter.slides.iter().filter(|it| it.kind == Kind::Task) {
        found.extend(judge_task(chapter, task).map(|why| (task.line, why)));
    }
    found
}

/// Checks that a task slide holds all that the room needs while it works.
fn judge_task(chapter: &Chapter, task: &Slide) -> Option<String> {
    let [Code { kind: CodeKind::Sh(None), text, .. }] = &task.code[..] else {
        return Some("a task needs one command that tests run".to_owned());
    };
    if text.trim().lines().count() != 1 {
        return Some("the command of a task must be one line".to_owned());
    }
    let said = format!("{} {}", task.title, task.prose);
    let minutes = format!("{} minutes", task.minutes);
    if !said.contains(&minutes) {
        return Some(format!("the task does not say \"{minutes}\""));
    }
    let first = format!("{}.1", chapter.step);
    (!said.contains(&first))
        .then(|| format!("the task does not name hole {first}"))
}
