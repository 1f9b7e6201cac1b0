//! Which file a URL means. A path below the site is a path in the repository,
//! so that links work on GitHub, while one edits, and in a folder on a server.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What the deck needs of what npm brings, and all of it that is handed out.
pub const FROM_NPM: [&str; 6] = [
    "slides/node_modules/reveal.js/dist/reveal.css",
    "slides/node_modules/reveal.js/dist/reveal.mjs",
    "slides/node_modules/reveal.js/dist/plugin/notes.mjs",
    "slides/node_modules/@highlightjs/cdn-assets/es/core.min.js",
    "slides/node_modules/@highlightjs/cdn-assets/es/languages/bash.min.js",
    "slides/node_modules/@highlightjs/cdn-assets/es/languages/rust.min.js",
];

/// How the page looks, and what moves in it.
pub const LOOK: [&str; 7] = [
    "slides/look/both.css",
    "slides/look/page.css",
    "slides/look/wall.css",
    "slides/look/mode.js",
    "slides/look/colour.js",
    "slides/look/deck.js",
    "slides/look/page.js",
];

/// Whether `npm ci` was here.
pub fn has_npm(root: &Path) -> bool {
    FROM_NPM.iter().all(|file| root.join(file).is_file())
}

/// The file that a path of a URL means, if it is one that we hand out.
pub fn file(root: &Path, path: &str) -> Option<PathBuf> {
    let file = fs::canonicalize(root.join(path)).ok()?;
    let known = FROM_NPM.contains(&path) || LOOK.contains(&path);
    (file.is_file() && (known || is_shared(root, path, &file))).then_some(file)
}

/// Whether it lies in a folder that everybody may read, by its path and, since
/// a link may lead anywhere, in truth.
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

/// No `..`, nothing hidden, and of npm's files only those named above.
fn is_plain(part: &Component) -> bool {
    match part {
        Component::Normal(name) => {
            !name.as_encoded_bytes().starts_with(b".")
                && *name != "node_modules"
        }
        _ => false,
    }
}

/// What a browser is told that a file is. Sources are to be read, not run.
pub fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|it| it.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}
