//! Makes one page of all slides: a deck on a wide screen with reveal.js, a
//! column of text elsewhere, and one sheet per slide on paper.

use std::fmt::Write;

use crate::chapter::{Chapter, Deck, Slide};
use crate::html::escape;

/// The title of the page.
pub const TITLE: &str = "Build your own Docker plugin, in Rust";

/// Renders the page. With `npm`, reveal.js is there to show the page as a deck.
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
