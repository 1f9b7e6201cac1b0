//! Reads chapters, the files `slides/NN-name.md`.
//!
//! A mistake in a chapter breaks one slide, never the deck: that slide shows
//! the mistake, and the others stay as they are while the author edits.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd,
};

use crate::diagram::Diagram;
use crate::fence::{Code, CodeKind};
use crate::html;
use crate::site;

/// All chapters, in their order.
pub struct Deck {
    /// The repository, whose code the chapters show.
    pub root: PathBuf,
    /// One for each file.
    pub chapters: Vec<Chapter>,
    /// The mistakes in the chapters. A test allows none.
    pub problems: Vec<Problem>,
}

/// A mistake, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The chapter's file name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The mistake in a few words, with the remedy.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "slides/{}:{}: {}", self.file, self.line, self.text)
    }
}

/// One Markdown file.
#[derive(Default)]
pub struct Chapter {
    /// The file's name.
    pub file: String,
    /// The number of its step; 0 opens the workshop.
    pub step: u32,
    /// Its duration with the work, in minutes.
    pub minutes: f64,
    /// Its slides, in order.
    pub slides: Vec<Slide>,
}

/// One slide, with the notes of the speaker.
#[derive(Default)]
pub struct Slide {
    /// The fragment of its URL: the chapter's number and the words of the
    /// title.
    pub id: String,
    /// Its first line in the file, from 1.
    pub line: usize,
    /// The idea, as a sentence.
    pub title: String,
    /// Whether it is the first of a chapter.
    pub opens: bool,
    /// The room's activity, by the first words of the title.
    pub kind: Kind,
    /// Everything below the title, as HTML.
    pub body: String,
    /// The speaker's notes, as HTML.
    pub notes: String,
    /// Its duration, in minutes.
    pub minutes: f64,
    /// The fences without the diagrams.
    pub code: Vec<Code>,
    /// The diagrams.
    pub diagrams: Vec<Diagram>,
    /// How many pictures there are.
    pub pictures: usize,
    /// The tables.
    pub tables: Vec<Table>,
    /// The text outside titles, code and tables.
    pub prose: String,
    /// Files of the repository to which it links.
    pub links: Vec<String>,
}

/// The purpose of a slide, by the first words of its title.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The speaker tells or shows something.
    #[default]
    Tell,
    /// The room guesses before it sees the answer.
    Predict,
    /// The slide that stays on the wall while the room works.
    Task,
    /// A look at the solution, with its reasons.
    Review,
    /// A real disaster.
    WhatIf,
}

impl Kind {
    const BY_WORDS: [(&str, Self); 4] = [
        ("Predict:", Self::Predict),
        ("Your turn:", Self::Task),
        ("Review:", Self::Review),
        ("What if", Self::WhatIf),
    ];

    fn of(title: &str) -> Self {
        let words = Self::BY_WORDS.iter().find(|it| title.starts_with(it.0));
        words.map_or(Self::Tell, |(_, kind)| *kind)
    }

    /// Its name in the style sheets.
    pub fn class(self) -> &'static str {
        match self {
            Self::Tell => "tell",
            Self::Predict => "predict",
            Self::Task => "task",
            Self::Review => "review",
            Self::WhatIf => "what-if",
        }
    }
}

/// The size of a table.
#[derive(Debug, Default)]
pub struct Table {
    /// Rows, without the head.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The text of each cell.
    pub cells: Vec<String>,
}

impl Deck {
    /// Reads every chapter of the repository in `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let folder = root.join("slides");
        let found = fs::read_dir(&folder)
            .with_context(|| format!("reading {}", folder.display()))?;
        let mut names = Vec::new();
        for entry in found {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md")
                && name.starts_with(|c: char| c.is_ascii_digit())
            {
                names.push(name);
            }
        }
        names.sort();
        ensure!(!names.is_empty(), "no chapters in {}", folder.display());
        let mut deck =
            Self { root: root.into(), chapters: vec![], problems: vec![] };
        for name in names {
            let text = fs::read_to_string(folder.join(&name))
                .with_context(|| format!("reading {name}"))?;
            deck.add(&name, &text);
        }
        deck.judge_ids();
        Ok(deck)
    }

    /// Reads one chapter, whose file is called `name`.
    pub fn add(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let mut chapter = Chapter { file: name.into(), ..Chapter::default() };
        let body = match chapter.front_matter(&lines) {
            Ok(body) => body,
            Err((line, why)) => {
                let mut slide = Slide { line: line + 1, ..Slide::default() };
                slide.id =
                    format!("{}-front-matter", &name[..2.min(name.len())]);
                self.spoil(&mut slide, name, line + 1, why);
                chapter.slides.push(slide);
                end_of_front_matter(&lines).map_or(0, |end| end + 1)
            }
        };
        for part in split(&lines, body) {
            let slide = self.slide(&chapter, &lines, part);
            chapter.slides.push(slide);
        }
        self.chapters.push(chapter);
    }

    fn slide(
        &mut self,
        chapter: &Chapter,
        lines: &[&str],
        part: Part,
    ) -> Slide {
        let mut slide = Slide { line: part.start + 1, ..Slide::default() };
        let number = chapter.number();
        let text = lines[part.start..part.notes].join("\n");
        let mut reader = Reader {
            root: &self.root,
            first_line: part.start + 1,
            text: &text,
            slide: &mut slide,
            problems: Vec::new(),
            in_table: false,
        };
        if let Some(open) = part.unclosed {
            reader.problem(open - part.start, "this fence is never closed");
        }
        reader.read();
        let mut problems = reader.problems;
        slide.opens = chapter.slides.is_empty();
        slide.id = format!("{number}-{}", slug(&slide.title));
        if slide.title.is_empty() {
            slide.id = format!("{number}-line-{}", slide.line);
            problems.push((slide.line, "a slide starts with its title".into()));
        }
        let notes = &lines[part.notes..part.end];
        if let Err((line, why)) = slide.read_notes(&self.root, notes) {
            problems.push((part.notes + 1 + line, why));
        }
        for (line, why) in problems {
            self.spoil(&mut slide, &chapter.file, line, why);
        }
        slide
    }

    /// Records a problem, and shows it in place of the slide's body.
    fn spoil(
        &mut self,
        slide: &mut Slide,
        file: &str,
        line: usize,
        text: String,
    ) {
        let problem = Problem { file: file.into(), line, text };
        if !slide.body.starts_with("<p class=\"broken") {
            slide.body.clear();
        }
        if slide.title.is_empty() {
            slide.title = "This slide is broken".into();
        }
        slide.body += "<p class=\"broken\">";
        slide.body += &html::escape(&problem.to_string());
        slide.body += "</p>";
        self.problems.push(problem);
    }

    /// Refuses two slides with the same title, because they would share an
    /// address.
    fn judge_ids(&mut self) {
        let mut seen = HashSet::new();
        for chapter in &self.chapters {
            for slide in &chapter.slides {
                if !seen.insert(&slide.id) {
                    self.problems.push(Problem {
                        file: chapter.file.clone(),
                        line: slide.line,
                        text: format!("another slide has the address {} too: change a title", slide.id),
                    });
                }
            }
        }
    }

    /// All slides, each with its chapter.
    pub fn slides(&self) -> impl Iterator<Item = (&Chapter, &Slide)> {
        let chapters = self.chapters.iter();
        chapters.flat_map(|it| it.slides.iter().map(move |slide| (it, slide)))
    }
}

impl Chapter {
    /// The digits that its file's name starts with.
    pub(crate) fn number(&self) -> &str {
        &self.file[..2.min(self.file.len())]
    }

    /// Reads `step` and `minutes`; returns the number of the line after them.
    fn front_matter(
        &mut self,
        lines: &[&str],
    ) -> Result<usize, (usize, String)> {
        let end = end_of_front_matter(lines).ok_or((
            0,
            "a chapter starts with ---, step: N, minutes: N, ---".to_owned(),
        ))?;
        let (mut step, mut minutes) = (None, None);
        for (at, line) in lines.iter().enumerate().take(end).skip(1) {
            let bad = || {
                (at, format!("`{line}` is neither `step: N` nor `minutes: N`"))
            };
            let (key, value) = line.split_once(':').ok_or_else(bad)?;
            match key.trim() {
                "step" => step = Some(value.trim().parse().map_err(|_| bad())?),
                "minutes" => {
                    minutes = Some(value.trim().parse().map_err(|_| bad())?);
                }
                _ => return Err(bad()),
            }
        }
        self.step =
            step.ok_or((0, "the chapter has no `step: N`".to_owned()))?;
        self.minutes =
            minutes.ok_or((0, "the chapter has no `minutes: N`".to_owned()))?;
        Ok(end + 1)
    }
}

fn end_of_front_matter(lines: &[&str]) -> Option<usize> {
    if lines.first() != Some(&"---") {
        return None;
    }
    lines.iter().skip(1).position(|line| *line == "---").map(|at| at + 1)
}

/// The lines of one slide, by number.
struct Part {
    start: usize,
    notes: usize,
    end: usize,
    unclosed: Option<usize>,
}

/// Cuts at each `---` between blank lines that is outside a fence.
fn split(lines: &[&str], body: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = Part { start: body, notes: 0, end: 0, unclosed: None };
    let mut fence: Option<(usize, usize)> = None;
    let blank = |at: usize| lines.get(at).is_none_or(|it| it.trim().is_empty());
    for (at, line) in lines.iter().enumerate().skip(body) {
        let ticks = line.len() - line.trim_start_matches('`').len();
        let bare = line[ticks..].trim().is_empty();
        match fence {
            None if ticks >= 3 => fence = Some((at, ticks)),
            Some((_, opened)) if ticks >= opened && bare => fence = None,
            // No fence contains the start of another, so the first one was
            // never closed. It does not hide the slides from here on.
            Some((open, opened)) if ticks >= opened => {
                part.unclosed = part.unclosed.or(Some(open));
                fence = Some((at, ticks));
            }
            _ => {}
        }
        if fence.is_some_and(|(open, _)| closes(lines, open)) {
            continue;
        }
        if *line == "Note:" && part.notes == 0 {
            part.notes = at;
        }
        let above = at.checked_sub(1).is_none_or(blank);
        if *line == "---" && above && blank(at + 1) {
            part.unclosed = part.unclosed.or(fence.take().map(|it| it.0));
            finish(&mut parts, part, at);
            part = Part { start: at + 1, notes: 0, end: 0, unclosed: None };
        }
    }
    part.unclosed = part.unclosed.or(fence.map(|it| it.0));
    finish(&mut parts, part, lines.len());
    // A slide starts at its first line that is not empty.
    for part in &mut parts {
        while part.start < part.notes && blank(part.start) {
            part.start += 1;
        }
    }
    parts
}

/// Whether the fence that opens on this line ends before another one opens.
fn closes(lines: &[&str], open: usize) -> bool {
    let ticks = |line: &str| line.len() - line.trim_start_matches('`').len();
    let opened = ticks(lines[open]);
    let mut others = lines[open + 1..].iter().filter(|it| ticks(it) >= opened);
    others.next().is_some_and(|it| it.trim_start_matches('`').trim().is_empty())
}

fn finish(parts: &mut Vec<Part>, mut part: Part, end: usize) {
    part.end = end;
    if part.notes == 0 {
        part.notes = end;
    }
    parts.push(part);
}

/// A title in characters that a URL can hold.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

impl Slide {
    /// Reads the lines after `Note:`, one of them `minutes: N`. An error has
    /// the number of its line.
    fn read_notes(
        &mut self,
        root: &Path,
        lines: &[&str],
    ) -> Result<(), (usize, String)> {
        if lines.is_empty() {
            return Err((
                0,
                "the slide has no `Note:` with the speaker's notes".to_owned(),
            ));
        }
        // Blanked, not removed, so that lines keep their numbers.
        let mut said = lines.to_vec();
        said[0] = "";
        let paced = said.iter().position(|it| it.starts_with("minutes:"));
        let at =
            paced.ok_or((0, "the notes have no `minutes: N`".to_owned()))?;
        let number = lines[at]["minutes:".len()..].trim();
        said[at] = "";
        let said = said.join("\n");
        if said.trim().is_empty() {
            return Err((0, "the notes are empty".to_owned()));
        }
        self.minutes = number.parse().map_err(|_| {
            (at, format!("`minutes: {number}` is not a number"))
        })?;
        let mut shown = Vec::new();
        for (event, at) in Parser::new(&said).into_offset_iter() {
            shown.push(match event {
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                    let line = said[..at.start].matches('\n').count();
                    let href = self.link(root, &dest_url);
                    let dest_url = href.map_err(|why| (line, why))?.into();
                    Event::Start(Tag::Link { link_type, dest_url, title, id })
                }
                event => event,
            });
        }
        pulldown_cmark::html::push_html(&mut self.notes, shown.into_iter());
        Ok(())
    }

    /// A link's target, as seen from the page, which is one folder above the
    /// chapter.
    fn link(&mut self, root: &Path, url: &str) -> Result<String, String> {
        if url.starts_with("https://") {
            return Ok(url.to_owned());
        }
        let path = match url.strip_prefix("../") {
            Some(path) => path.to_owned(),
            None => format!("slides/{url}"),
        };
        if site::file(root, &path).is_none() {
            return Err(format!("no file for the link {url}"));
        }
        let chapter =
            path.strip_prefix("slides/").filter(|it| it.ends_with(".md"));
        if let Some(number) = chapter.and_then(|it| it.get(..2)) {
            return Ok(format!("#chapter-{number}"));
        }
        self.links.push(path.clone());
        Ok(path)
    }
}

/// Reads the Markdown of a slide.
struct Reader<'a> {
    root: &'a Path,
    first_line: usize,
    text: &'a str,
    slide: &'a mut Slide,
    problems: Vec<(usize, String)>,
    in_table: bool,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, why: impl Into<String>) {
        self.problems.push((self.first_line + line, why.into()));
    }

    fn read(&mut self) {
        let text = self.text;
        let events: Vec<_> = Parser::new_ext(text, Options::ENABLE_TABLES)
            .into_offset_iter()
            .map(|(event, at)| {
                (event, text[..at.start].matches('\n').count(), at.start)
            })
            .collect();
        let mut shown = Vec::new();
        let mut lists = Vec::new();
        let mut events = events.into_iter();
        while let Some((event, line, at)) = events.next() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    let inner = events.by_ref().take_while(|(event, ..)| {
                        !matches!(event, Event::End(TagEnd::Heading(_)))
                    });
                    let title =
                        inner.map(|it| words(&it.0)).collect::<String>();
                    self.heading(level, line, title);
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let inner = events.by_ref().take_while(|(event, ..)| {
                        !matches!(event, Event::End(TagEnd::CodeBlock))
                    });
                    let code = inner.map(|it| words(&it.0)).collect::<String>();
                    shown.push(Event::Html(
                        self.fence(&kind, line, code).into(),
                    ));
                }
                Event::Start(Tag::List(_)) => {
                    // `*` appears point by point, `-` at once.
                    lists.push(text[at..].starts_with('*'));
                    shown.push(event);
                }
                Event::End(TagEnd::List(_)) => {
                    lists.pop();
                    shown.push(event);
                }
                Event::Start(Tag::Item) if lists.last() == Some(&true) => {
                    shown.push(Event::Html("<li class=\"fragment\">".into()));
                }
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                    let dest_url = self.link(line, &dest_url);
                    let tag = Tag::Link { link_type, dest_url, title, id };
                    shown.push(Event::Start(tag));
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    let inner = events.by_ref().take_while(|(event, ..)| {
                        !matches!(event, Event::End(TagEnd::Image))
                    });
                    let alt = inner.map(|it| words(&it.0)).collect::<String>();
                    match self.picture(&dest_url, &alt) {
                        Ok(svg) => shown.push(Event::InlineHtml(svg.into())),
                        Err(why) => self.problem(line, why),
                    }
                }
                Event::Html(_) | Event::InlineHtml(_) => {
                    self.problem(
                        line,
                        "HTML is not allowed: GitHub would show another slide",
                    );
                }
                event => {
                    self.measure(&event);
                    shown.push(event);
                }
            }
        }
        pulldown_cmark::html::push_html(
            &mut self.slide.body,
            shown.into_iter(),
        );
    }

    /// Counts words, rows and columns for the rules.
    fn measure(&mut self, event: &Event) {
        let tables = &mut self.slide.tables;
        match event {
            Event::Start(Tag::Table(columns)) => {
                self.in_table = true;
                let columns = columns.len();
                tables.push(Table { columns, ..Table::default() });
            }
            Event::End(TagEnd::Table) => self.in_table = false,
            Event::End(TagEnd::TableRow) => {
                tables.last_mut().expect("rows are in tables").rows += 1;
            }
            Event::Start(Tag::TableCell) => {
                let table = tables.last_mut().expect("cells are in tables");
                table.cells.push(String::new());
            }
            event => {
                let cells = tables.last_mut().map(|it| &mut it.cells);
                let cell = cells.and_then(|it| it.last_mut());
                let cell = cell.filter(|_| self.in_table);
                let place = cell.unwrap_or(&mut self.slide.prose);
                place.push_str(&words(event));
                let apart = [TagEnd::Paragraph, TagEnd::Item].map(Event::End);
                if apart.contains(event) {
                    place.push(' ');
                }
            }
        }
    }

    fn heading(&mut self, level: HeadingLevel, line: usize, title: String) {
        if !self.slide.title.is_empty() {
            self.problem(line, "a slide has only one title");
        }
        if level > HeadingLevel::H2 {
            self.problem(line, "a title starts with `# ` or `## `");
        }
        self.slide.kind = Kind::of(&title);
        self.slide.title = title;
    }

    fn link(&mut self, line: usize, url: &str) -> CowStr<'static> {
        match self.slide.link(self.root, url) {
            Ok(href) => href.into(),
            Err(why) => {
                self.problem(line, why);
                "#".into()
            }
        }
    }

    /// The text of an SVG beside the chapter. As a part of the page, it needs no
    /// request, and its words can be found and read aloud.
    fn picture(&mut self, url: &str, alt: &str) -> Result<String, String> {
        if alt.trim().is_empty() {
            return Err(format!(
                "{url}: say in the brackets what the picture shows"
            ));
        }
        let file = Some(url)
            .filter(|url| url.ends_with(".svg") && !url.contains('/'))
            .and_then(|url| site::file(self.root, &format!("slides/{url}")))
            .ok_or_else(|| {
                format!("{url}: a picture is an SVG file beside the chapter")
            })?;
        let svg = fs::read_to_string(&file)
            .map_err(|err| format!("reading {url}: {err}"))?;
        if !svg.starts_with("<svg ") {
            return Err(format!("{url} must start with <svg"));
        }
        self.slide.pictures += 1;
        Ok(svg)
    }

    /// Renders a fence, and checks all that needs no run.
    fn fence(
        &mut self,
        kind: &CodeBlockKind,
        line: usize,
        text: String,
    ) -> String {
        let CodeBlockKind::Fenced(info) = kind else {
            self.problem(line, "code needs a fence");
            return String::new();
        };
        let (word, rest) = info.split_once([' ', ':']).unwrap_or((info, ""));
        let rest = rest.trim();
        let kind = match (word, rest) {
            ("mermaid", "") => return self.diagram(line, &text),
            ("rust", file) if file.starts_with("solutions/") => {
                self.stands(line, file, &text);
                self.slide.links.push(file.to_owned());
                CodeKind::Rust(file.to_owned())
            }
            ("rust", _) => {
                self.problem(
                    line,
                    "name the file of the code: `rust solutions/…`",
                );
                return String::new();
            }
            ("sh", "") => CodeKind::Sh(None),
            ("sh", why) if why.starts_with("norun:") => {
                CodeKind::Sh(Some(why["norun:".len()..].trim().to_owned()))
            }
            ("console", "") if text.starts_with("$ ") => CodeKind::Console,
            ("console", "") => {
                self.problem(line, "a console starts with `$ COMMAND`");
                return String::new();
            }
            ("http", who) if who.starts_with("solution-") => {
                CodeKind::Http(who.to_owned())
            }
            _ => {
                let known = "rust FILE, sh, sh norun: WHY, console, mermaid, \
                             http solution-NN";
                self.problem(line, format!("`{info}` is not one of {known}"));
                return String::new();
            }
        };
        let code = Code { line: self.first_line + line + 1, kind, text };
        let shown = html::code(&code);
        self.slide.code.push(code);
        shown
    }

    fn diagram(&mut self, line: usize, text: &str) -> String {
        match Diagram::parse(text) {
            Ok(diagram) => {
                let svg = diagram.svg();
                self.slide.diagrams.push(diagram);
                svg
            }
            Err((at, why)) => {
                self.problem(line + 1 + at, why);
                String::new()
            }
        }
    }

    /// Checks that the file contains the block, without regard to indentation;
    /// each `// ...` stands for any number of lines.
    fn stands(&mut self, line: usize, file: &str, text: &str) {
        let Ok(source) = fs::read_to_string(self.root.join(file)) else {
            return self.problem(line, format!("no such file: {file}"));
        };
        let source: Vec<&str> = source.lines().map(str::trim).collect();
        let block: Vec<&str> = text.lines().map(str::trim).collect();
        let mut from = 0;
        let mut at = line + 1;
        for chunk in block.split(|it| *it == "// ...") {
            let stands = (from..=source.len().saturating_sub(chunk.len()))
                .find(|start| source[*start..].starts_with(chunk));
            match stands {
                Some(start) => from = start + chunk.len(),
                None => {
                    let apart =
                        chunk.iter().position(|it| !source.contains(it));
                    let at = at + apart.unwrap_or(0);
                    let what = chunk.get(apart.unwrap_or(0)).unwrap_or(&"");
                    return self.problem(
                        at,
                        format!("{file} has no such line here: `{what}`"),
                    );
                }
            }
            at += chunk.len() + 1;
        }
    }
}

/// The text of an event.
fn words(event: &Event) -> String {
    match event {
        Event::Text(text) | Event::Code(text) => text.to_string(),
        Event::SoftBreak | Event::HardBreak => " ".to_owned(),
        _ => String::new(),
    }
}
