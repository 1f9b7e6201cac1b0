//! The slides of the workshop: Markdown in, a deck and a plain page out.
//!
//! `chapter` reads the Markdown and judges what it can, with `fence` for the
//! code in it; `page` makes one page of all slides, which a browser shows as a
//! deck where reveal.js is at hand; `html` turns text and code into HTML for
//! both; `site` says which file a URL means; `serve`, `build` and `pdf` are the
//! three ways to hand it out; `rules` measures what the style guide asks of a
//! slide, and `stories` compares the commands on slides with those that tests
//! ran.

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
