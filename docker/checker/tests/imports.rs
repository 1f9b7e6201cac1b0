//! The modules of each crate import each other without a circle, so that a
//! reader who starts with the modules that import nothing meets every name
//! before its use.
//!
//! A module is a file or folder directly below `src`. What its files name as
//! `crate::…` or, from there, `super::…`, it imports; tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use stand_in::steps::{self, Kind};

/// The imports of each module, by name. The crate's root is `lib`.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_crate_has_a_circle_of_imports() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let steps = steps::all(&root).expect("the steps");
    let solutions = steps.iter().map(|step| step.folder(Kind::Solution));
    let others =
        ["docker/stand-in", "docker/checker", "docker/prover", "slides"];
    for folder in solutions.chain(others.map(PathBuf::from)) {
        let sources = sources(&root.join(&folder).join("src"));
        let imports = imports(&sources);
        let folder = folder.display();
        assert!(imports.len() > 4, "{folder}: only {imports:?}");
        assert_eq!(circle(&imports), None, "a circle in {folder}/src");
    }
}

#[test]
fn a_circle_is_named_wherever_its_imports_stand() {
    let sources = [
        ("lib.rs", "mod a; mod b; pub mod c; fn root() { std::b::a(b::g()) }"),
        ("a.rs", "use crate::{c::C, b}; /* crate::a */ fn f() { b::g() }"),
        ("b/mod.rs", "mod deep; // super::a\n#[cfg(test)] use crate::{a};"),
        ("b/deep.rs", "use super::super::c; use super::deeper;"),
        (
            "c.rs",
            "fn f() { g!(1, super::c::C) } #[cfg(test)] mod tests {
                  use crate::a; } pub(crate) fn h() {}",
        ),
    ];
    let sources = sources.map(|(file, text)| (file.into(), text.to_owned()));
    let mut imports = imports(&sources);
    let row = |module: &str, imported: &[&str]| {
        let imported = imported.iter().map(ToString::to_string).collect();
        (module.to_owned(), imported)
    };
    let expected = [
        row("lib", &["b"]),
        row("a", &["b", "c"]),
        row("b", &["c"]),
        row("c", &[]),
    ];
    assert_eq!(imports, expected.into());
    assert_eq!(circle(&imports), None);
    imports.extend([row("c", &["lib"])]);
    assert_eq!(circle(&imports).as_deref(), Some("b -> c -> lib -> b"));
}

/// All files below `src`, by their path from there, with their text.
fn sources(src: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let file = path.strip_prefix(src).expect("a path below src");
                found.push((file.to_owned(), text));
            }
        }
    }
    found
}

/// The path of the module that a file is, from the crate's root.
fn module(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut parts: Vec<_> = parts.collect();
    if ["mod", "lib", "main"].contains(&parts[parts.len() - 1].as_str()) {
        parts.pop();
    }
    parts
}

fn imports(sources: &[(PathBuf, String)]) -> Imports {
    let modules: BTreeSet<String> = sources
        .iter()
        .filter_map(|(file, _)| module(file).into_iter().next())
        .collect();
    let mut imports = Imports::new();
    for (file, text) in sources {
        let path = module(file);
        // `mod tests;`, whose file stands alone.
        if path.last().is_some_and(|name| name == "tests") {
            continue;
        }
        let tokens: TokenStream = text.parse().expect("tokens of Rust");
        let mut named = Vec::new();
        collect(tokens, path.len(), &mut named);
        let this = path.first().cloned().unwrap_or("lib".to_owned());
        let row = imports.entry(this.clone()).or_default();
        for name in named {
            // Any other name is an item of the root itself.
            let name = match modules.contains(&name) {
                true => name,
                false => "lib".to_owned(),
            };
            if name != this {
                row.insert(name);
            }
        }
    }
    imports
}

/// Collects the first names after `crate::` and after as many `super::` as
/// lead to the crate's root, from a module `depth` levels below it.
fn collect(tokens: TokenStream, depth: usize, named: &mut Vec<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if is(&tokens, at, "#") && is(&tokens, at + 1, "[cfg(test)]") {
            while tokens.get(at).is_some_and(|token| !ends_item(token)) {
                at += 1;
            }
            at += 1;
            continue;
        }
        let mut supers = 0;
        while is(&tokens, at, "super") && is(&tokens, at + 1, ":") {
            supers += 1;
            at += 3;
        }
        if is(&tokens, at, "crate") && is(&tokens, at + 1, ":") {
            at += 3;
            first_names(&tokens[at..], named);
        } else if supers == depth && supers > 0 {
            first_names(&tokens[at..], named);
        } else if depth == 0 && is(&tokens, at + 1, ":") {
            // The root names its modules as they are.
            first_names(&tokens[at..], named);
        }
        if let Some(TokenTree::Group(group)) = tokens.get(at) {
            collect(group.stream(), depth, named);
        }
        at += 1;
    }
}

/// The names that a path goes on with: one, or those in braces.
fn first_names(tokens: &[TokenTree], named: &mut Vec<String>) {
    match tokens.first() {
        Some(TokenTree::Ident(name)) => named.push(name.to_string()),
        Some(TokenTree::Group(group)) => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            for path in inner.split(|token| token.to_string() == ",") {
                first_names(path, named);
            }
        }
        _ => (),
    }
}

fn is(tokens: &[TokenTree], at: usize, text: &str) -> bool {
    match tokens.get(at) {
        // Only attributes are compared; the text of a body is long.
        Some(TokenTree::Group(body))
            if body.delimiter() != Delimiter::Bracket =>
        {
            false
        }
        Some(token) => token.to_string().replace(' ', "") == text,
        None => false,
    }
}

/// An item ends with its braces or with a semicolon.
fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => token.to_string() == ";",
    }
}

/// A circle, as the modules on it; the first one is named again at the end.
fn circle(imports: &Imports) -> Option<String> {
    fn follow(
        module: &str,
        imports: &Imports,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<String> {
        if let Some(start) = path.iter().position(|seen| seen == module) {
            path.push(module.to_owned());
            return Some(path[start..].join(" -> "));
        }
        if done.contains(module) {
            return None;
        }
        path.push(module.to_owned());
        for imported in imports.get(module).into_iter().flatten() {
            let circle = follow(imported, imports, path, done);
            if circle.is_some() {
                return circle;
            }
        }
        path.pop();
        done.insert(module.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    imports
        .keys()
        .find_map(|module| follow(module, imports, &mut vec![], &mut done))
}
