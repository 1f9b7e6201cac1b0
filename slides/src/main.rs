//! Shows the workshop's slides.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::thread;

use anyhow::{Context, Result, bail};
use lexopt::prelude::{Long, Short, Value, ValueExt};
use slides::chapter::Deck;
use slides::{build, pdf, rules, serve, site};

const USAGE: &str = "usage: slides serve [--port N] [--everyone]
       slides build DIR
       slides pdf FILE
       slides check

serve  shows the slides on http://localhost:8000/, to this machine only;
       with --everyone, every machine that reaches the port can read the
       slides and the sources
build  writes a folder that any web server can show
pdf    prints the slides with chromium, one sheet per slide
check  lists the mistakes in the chapters, by file and line

--root DIR names the repository; inside a repository it is not needed.";

/// The command that the user gave.
enum Wish {
    Help,
    Serve { port: u16, everyone: bool },
    Build(PathBuf),
    Pdf(PathBuf),
    Check,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(err) => {
            eprintln!("slides: {err:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let (wish, root) = wish()?;
    let root = || root.map_or_else(repository, Ok);
    match wish {
        Wish::Help => println!("{USAGE}"),
        Wish::Serve { port, everyone } => show(&root()?, port, everyone)?,
        Wish::Build(folder) => {
            build::build(&root()?, &folder)?;
            println!("the deck is in {}", folder.display());
        }
        Wish::Pdf(file) => {
            pdf::print(&root()?, &file)?;
            println!("the deck is in {}", file.display());
        }
        Wish::Check => return check(&root()?),
    }
    Ok(ExitCode::SUCCESS)
}

fn wish() -> Result<(Wish, Option<PathBuf>)> {
    let mut parser = lexopt::Parser::from_env();
    let (mut port, mut everyone, mut root) = (None, false, None);
    let mut words = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok((Wish::Help, None)),
            Long("port") => {
                let value = parser.value()?.string()?;
                let number = value.parse().ok();
                port = Some(number.with_context(|| {
                    format!("a port is a number up to 65535, not {value}")
                })?);
            }
            Long("everyone") => everyone = true,
            Long("root") => root = Some(parser.value()?.into()),
            Value(word) => words.push(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let serves = words == ["serve"];
    if !serves && (port.is_some() || everyone) {
        bail!("--port and --everyone are for serve\n{USAGE}");
    }
    let wish = match *words {
        ["serve"] => Wish::Serve { port: port.unwrap_or(8000), everyone },
        ["build", folder] => Wish::Build(folder.into()),
        ["pdf", file] => Wish::Pdf(file.into()),
        ["check"] => Wish::Check,
        _ => bail!("the command is serve, build, pdf or check\n{USAGE}"),
    };
    Ok((wish, root))
}

/// The repository around the current folder, or the one this was built from.
fn repository() -> Result<PathBuf> {
    let here = env::current_dir()?;
    let is_one = |folder: &&Path| folder.join("slides/look").is_dir();
    if let Some(around) = here.ancestors().find(is_one) {
        return Ok(around.to_owned());
    }
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let found = built_from.filter(is_one).map(Path::to_owned);
    found.context("no slides here: name their repository with --root DIR")
}

fn show(root: &Path, port: u16, everyone: bool) -> Result<()> {
    let slides = serve::bind(root, port, everyone)?;
    end_on_a_signal()?;
    let url = slides.url();
    let more = match site::has_npm(root) {
        true => format!(
            "keys: S speaker view, O overview, F full screen, ? all of them; \
             {url}?page is the plain page"
        ),
        false => {
            "this is the plain page; npm ci in slides/ brings the deck, without \
             a restart of this program"
                .to_owned()
        }
    };
    let warning = match everyone {
        true => {
            "every machine that reaches this port can read the slides and sources\n"
        }
        false => "",
    };
    let text = format!("slides: {url}  (Ctrl-C ends it)\n{more}\n{warning}");
    // The server works even if stdout is closed.
    let _ = io::stdout().write_all(text.as_bytes());
    slides.serve()
}

/// Ends the process at SIGINT and SIGTERM: as process 1 of a container, it
/// would otherwise ignore them.
fn end_on_a_signal() -> Result<()> {
    let (mut wait, wake) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
    }
    thread::spawn(move || {
        // A byte or an end of file: both mean a signal.
        let _ = wait.read(&mut [0]);
        process::exit(0);
    });
    Ok(())
}

fn check(root: &Path) -> Result<ExitCode> {
    let deck = Deck::read(root)?;
    let found: Vec<_> = rules::broken(&deck);
    for problem in deck.problems.iter().chain(&found) {
        println!("{problem}");
    }
    Ok(match deck.problems.is_empty() && found.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
