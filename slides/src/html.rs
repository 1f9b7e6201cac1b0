//! One page for every reader: a deck where there is a wall and reveal.js, a
//! column of text anywhere else, and one sheet of paper a slide.

use std::fmt::Write;

use crate::chapter::{Chapter, Code, CodeKind, Deck, Slide};

/// The title of the whole.
pub const TITLE: &str = "Build your own Docker plugin, in Rust";

/// The page. With `deck`, what npm brings is there to show it as a deck.
pub fn page(deck: &Deck, npm: bool) -> String {
    let mut sections = String::new();
    for chapter in &deck.chapters {
        for slide in &chapter.slides {
            section(&mut sections, chapter, slide);
        }
    }
    let deck = if npm { " data-deck" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\"{deck}>\n<head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{TITLE}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"slides/look/both.css\">\n\
         <link rel=\"stylesheet\" href=\"slides/look/page.css\" media=\"screen\" \
         id=\"page\">\n\
         <link rel=\"stylesheet\" href=\"slides/look/wall.css\" media=\"print\" \
         id=\"wall\">\n\
         <script src=\"slides/look/mode.js\"></script>\n</head>\n<body>\n\
         <main>\n<div class=\"reveal\">\n<div class=\"slides\">\n{sections}</div>\n\
         </div>\n</main>\n</body>\n</html>\n"
    )
}

fn section(page: &mut String, chapter: &Chapter, slide: &Slide) {
    let Slide { id, title, body, notes, kind, minutes, .. } = slide;
    let class = if slide.opens { "opens" } else { kind.class() };
    let level = if slide.opens { "h1" } else { "h2" };
    let seconds = (minutes * 60.0).round();
    let anchor = match slide.opens {
        true => format!("<a id=\"chapter-{}\"></a>", chapter.number()),
        false => String::new(),
    };
    let place = match chapter.step {
        0 => "Before we start".to_owned(),
        step => format!("Step {step}"),
    };
    let (title, id) = (escape(title), escape(id));
    let written = write!(
        page,
        "<section id=\"{id}\" class=\"{class}\" data-timing=\"{seconds}\">\n\
         {anchor}<p class=\"place\">{place}</p>\n<{level}>{title}</{level}>\n\
         <div class=\"body\">\n{body}</div>\n\
         <aside class=\"notes\">\n{notes}</aside>\n</section>\n"
    );
    written.expect("a string takes what is written to it");
}

impl Chapter {
    /// The digits that its file's name starts with.
    fn number(&self) -> &str {
        &self.file[..2.min(self.file.len())]
    }
}

/// A fence, as it is shown. All but Rust is coloured here, so that it looks
/// the same without JavaScript.
pub fn code(code: &Code) -> String {
    let text = code.text.trim_end();
    match &code.kind {
        CodeKind::Rust(file) => {
            let file = escape(file);
            format!(
                "<figure><figcaption><a href=\"{file}\">{file}</a></figcaption>\
                 <pre tabindex=\"0\"><code class=\"language-rust\">{}</code></pre>\
                 </figure>\n",
                escape(text)
            )
        }
        // The prompt is the style's, so that nobody copies it.
        CodeKind::Sh(_) => figure("sh", text, |line| {
            format!("<span class=\"line\">{}</span>", escape(line))
        }),
        CodeKind::Console => {
            figure("console", text, |line| match line.strip_prefix("$ ") {
                Some(command) => format!("$ <b>{}</b>", escape(command)),
                None => escape(line),
            })
        }
        CodeKind::Http(_) => figure("http", text, |line| {
            let first = line.starts_with("POST ") || line.starts_with("HTTP/");
            match first {
                true => format!("<b>{}</b>", escape(line)),
                false => escape(line),
            }
        }),
    }
}

fn figure(class: &str, text: &str, line: impl Fn(&str) -> String) -> String {
    let lines: Vec<_> = text.lines().map(line).collect();
    format!(
        "<figure class=\"{class}\"><pre tabindex=\"0\"><code>{}</code></pre>\
         </figure>\n",
        lines.join("\n")
    )
}

/// Text, for HTML and its attributes.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('"', "&quot;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}
