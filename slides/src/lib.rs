//! The slides of the workshop: Markdown in, a deck and a plain page out.
//!
//! `chapter` reads and checks the Markdown, with `fence` for the code in it;
//! `page` makes one page of all slides, which a browser shows as a deck if
//! reveal.js is there; `html` turns text and code into HTML for both; `site`
//! finds the file of a URL; `serve`, `build` and `pdf` are the three ways to
//! publish the page; `rules` measures the rules for slides, and `stories`
//! compares the commands on slides with those that tests ran.

pub mod build;
pub mod chapter;
mod diagram;
pub mod fence;
pub mod html;
pub mod page;
pub mod pdf;
pub mod rules;
pub mod serve;
pub mod site;
pub mod stories;
