//! Finds the file of a URL. A path below the site is a path in the repository,
//! so that links work on GitHub, during editing, and in a folder on a server.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files of npm packages that the deck needs. No others are served.
pub const FROM_NPM: [&str; 6] = [
    "slides/node_modules/reveal.js/dist/reveal.css",
    "slides/node_modules/reveal.js/dist/reveal.mjs",
    "slides/node_modules/reveal.js/dist/plugin/notes.mjs",
    "slides/node_modules/@highlightjs/cdn-assets/es/core.min.js",
    "slides/node_modules/@highlightjs/cdn-assets/es/languages/bash.min.js",
    "slides/node_modules/@highlightjs/cdn-assets/es/languages/rust.min.js",
];

/// The style sheets and scripts of the page.
pub const LOOK: [&str; 7] = [
    "slides/look/both.css",
    "slides/look/page.css",
    "slides/look/wall.css",
    "slides/look/mode.js",
    "slides/look/colour.js",
    "slides/look/deck.js",
    "slides/look/page.js",
];

/// Whether `npm ci` has fetched the packages.
pub fn has_npm(root: &Path) -> bool {
    FROM_NPM.iter().all(|file| root.join(file).is_file())
}

/// The file for a path of a URL, if it may be served.
pub fn file(root: &Path, path: &str) -> Option<PathBuf> {
    let file = fs::canonicalize(root.join(path)).ok()?;
    let known = FROM_NPM.contains(&path) || LOOK.contains(&path);
    (file.is_file() && (known || is_shared(root, path, &file))).then_some(file)
}

/// Whether the file is in a shared folder, by its path and, because a link may
/// lead anywhere, by its real place.
fn is_shared(root: &Path, path: &str, file: &Path) -> bool {
    let mut parts = Path::new(path).components();
    let first = parts.next().map(|it| it.as_os_str().to_os_string());
    let folders = ["slides", "exercises", "solutions"].into_iter();
    let Some(folder) = folders.into_iter().find(|it| first == Some(it.into()))
    else {
        return false;
    };
    let truly = fs::canonicalize(root.join(folder));
    parts.all(|it| is_plain(&it)) && truly.is_ok_and(|it| file.starts_with(it))
}

/// Whether a part is a plain name: not `..`, not hidden, and not npm's folder.
fn is_plain(part: &Component) -> bool {
    match part {
        Component::Normal(name) => {
            !name.as_encoded_bytes().starts_with(b".")
                && *name != "node_modules"
        }
        _ => false,
    }
}

/// The content type of a file. Sources are plain text: a browser shows them and
/// does not run them.
pub fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|it| it.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}
