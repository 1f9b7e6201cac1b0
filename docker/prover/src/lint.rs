//! `make lint`: checks that need no run of a plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Words that make 3.81, the version of macOS, does not know.
const NEWER_THAN_MAKE_3_81: [&str; 7] =
    [".ONESHELL", "!=", "::=", "$(file ", "$(guile ", "undefine ", "$(let "];

/// Folders whose files are not the project's.
const FOREIGN: [&str; 4] = ["target", "node_modules", ".git", ".kept"];

/// Runs all checks. Returns whether all of them passed.
///
/// # Errors
/// When a file cannot be read, or there is no cargo.
pub fn run(root: &Path) -> Result<bool> {
    let mut clean = true;
    for (what, args) in [
        ("formatting", &["fmt", "--all", "--check"][..]),
        (
            "clippy",
            &[
                "clippy",
                "--locked",
                "--all-targets",
                "--quiet",
                "--",
                "--deny",
                "warnings",
            ],
        ),
        // Starters are not default members of the workspace, so the checks above
        // leave them out.
        (
            "starters",
            &[
                "clippy",
                "--locked",
                "--workspace",
                "--quiet",
                "--",
                "--deny",
                "warnings",
            ],
        ),
    ] {
        let mut cargo = Command::new("cargo");
        let status = cargo.current_dir(root).args(args).status();
        clean &= say(what, status.context("running cargo")?.success());
    }
    let mut files = Vec::new();
    walk(root, &mut files)?;
    clean &= links(root, &files)?;
    clean &= shell(root, &files)?;
    clean &= cdpath(root, &files)?;
    clean &= make(root)?;
    Ok(clean)
}

fn say(what: &str, clean: bool) -> bool {
    println!("{}  {what}", if clean { "ok  " } else { "FAIL" });
    clean
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if !FOREIGN.iter().any(|folder| path.ends_with(folder)) {
            walk(&path, files)?;
        }
    }
    Ok(())
}

/// Checks that each relative link of a Markdown file leads to an existing file.
fn links(root: &Path, files: &[PathBuf]) -> Result<bool> {
    let mut clean = true;
    for file in
        files.iter().filter(|file| file.extension() == Some("md".as_ref()))
    {
        let text = fs::read_to_string(file)?;
        let folder = file.parent().unwrap_or(root);
        for link in relative_links(&text) {
            if !folder.join(link).exists() {
                let name = file.strip_prefix(root).unwrap_or(file).display();
                println!("{name}: the link {link} leads to no file");
                clean = false;
            }
        }
    }
    Ok(say("links", clean))
}

fn relative_links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.split('#').next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains("://"))
}

/// Runs shellcheck on each script. Without shellcheck, a shell checks the syntax.
fn shell(root: &Path, files: &[PathBuf]) -> Result<bool> {
    let has_shellcheck = Command::new("shellcheck").arg("-V").output().is_ok();
    let mut clean = true;
    for file in scripts(files) {
        let mut look = if has_shellcheck {
            Command::new("shellcheck")
        } else {
            let text = fs::read_to_string(file)?;
            let first = text.lines().next().unwrap_or_default();
            let shell = if first.contains("bash") { "bash" } else { "sh" };
            let mut look = Command::new(shell);
            look.arg("-n");
            look
        };
        clean &= look.current_dir(root).arg(file).status()?.success();
    }
    Ok(say(
        match has_shellcheck {
            true => "shell scripts",
            false => "shell scripts (by sh -n; shellcheck would check more)",
        },
        clean,
    ))
}

fn scripts(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    files.iter().filter(|file| {
        file.ends_with(".ci/run") || file.extension() == Some("sh".as_ref())
    })
}

/// Checks that each script unsets CDPATH before its first cd: a CDPATH could lead
/// into another checkout.
fn cdpath(root: &Path, files: &[PathBuf]) -> Result<bool> {
    let mut clean = true;
    for file in scripts(files) {
        if goes_astray(&fs::read_to_string(file)?) {
            let name = file.strip_prefix(root).unwrap_or(file).display();
            println!("{name}: add `unset CDPATH` above the first cd");
            clean = false;
        }
    }
    Ok(say("no CDPATH in scripts", clean))
}

/// Whether a script has a `cd` without an `unset CDPATH` above it.
fn goes_astray(text: &str) -> bool {
    let is_cd = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        let mut commands = line.split(['(', ';', '&', '|']);
        commands.any(|command| command.trim_start().starts_with("cd "))
    };
    let mut above = text.lines().take_while(|line| !is_cd(line));
    let has_cd = text.lines().any(is_cd);
    has_cd && !above.any(|line| line.trim() == "unset CDPATH")
}

fn make(root: &Path) -> Result<bool> {
    let text = fs::read_to_string(root.join("Makefile"))?;
    let newer: Vec<_> = NEWER_THAN_MAKE_3_81
        .iter()
        .filter(|word| text.contains(**word))
        .collect();
    if !newer.is_empty() {
        println!("Makefile: make 3.81 does not know {newer:?}");
    }
    Ok(say("Makefile for make 3.81", newer.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cd_needs_an_unset_cdpath_above_it() {
        for (text, astray) in [
            ("set -eu\nunset CDPATH\ncd \"$(dirname \"$0\")\"\n", false),
            ("set -eu\ncd \"$(dirname \"$0\")\"\nunset CDPATH\n", true),
            ("x=1; (cd slides && npm ci)\n", true),
            ("# cd is not called here\necho abcd e\n", false),
        ] {
            assert_eq!(goes_astray(text), astray, "{text}");
        }
    }

    #[test]
    fn links_to_other_hosts_and_within_the_page_are_not_followed() {
        let text = "[a](b.md) [c](https://d.example/) [e](#f) [g](h/#i)";
        let links: Vec<_> = relative_links(text).collect();
        assert_eq!(links, ["b.md", "h/"]);
    }
}
