//! Writes the deck into a folder, for any web server or for a browser on the
//! disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::chapter::Deck;
use crate::page;
use crate::site;

/// Writes the deck into `folder`, which must be new or empty.
///
/// Refuses a deck with a mistake, which nobody would notice before the talk.
pub fn build(root: &Path, folder: &Path) -> Result<()> {
    let deck = Deck::read(root)?;
    if !deck.problems.is_empty() {
        let lines: Vec<_> =
            deck.problems.iter().map(ToString::to_string).collect();
        bail!("the deck is not ready:\n{}", lines.join("\n"));
    }
    if let Ok(mut found) = fs::read_dir(folder) {
        let name = folder.display();
        ensure!(
            found.next().is_none(),
            "{name} is not empty: name a new or an empty folder"
        );
    }
    let npm = site::has_npm(root);
    let links = deck.slides().flat_map(|(_, slide)| slide.links.iter());
    let mut files: Vec<&str> = links.map(String::as_str).collect();
    files.extend(site::LOOK);
    files.extend(site::FROM_NPM.iter().filter(|_| npm));
    for file in files {
        let from = site::file(root, file)
            .with_context(|| format!("{file} may not be served"))?;
        let to = folder.join(file);
        fs::create_dir_all(to.parent().expect("a file is below the folder"))
            .and_then(|()| fs::copy(from, &to))
            .with_context(|| format!("writing {}", to.display()))?;
    }
    let index = folder.join("index.html");
    fs::write(&index, page::page(&deck, npm))
        .with_context(|| format!("writing {}", index.display()))
}
