//! The learners' commands: they run the checks of the stand-in daemon and help to
//! pass them.
//!
//! A tour, in reading order:
//! - [`cargo`] and [`run`]: build plugins, and run one in the foreground.
//! - [`starters`], of the stand-in daemon's crate: makes a starter from its solution
//!   and a patch, and back.
//! - [`progress`]: how far a learner is in a step; [`status`]: the same for all steps.
//! - [`watch`], [`hints`] and [`rescue`]: smaller commands.
//! - [`stories`] and [`dockerd`]: play the steps through a real dockerd;
//!   [`podman`] plays two of them through a real Podman.
//! - [`doctor`]: says what this machine has and which steps that allows.
//! - [`places`]: names and paths on which Docker and the workshop agree.

pub mod cargo;
pub mod class;
pub mod dockerd;
pub mod doctor;
pub mod hints;
pub mod places;
pub mod podman;
pub mod progress;
pub mod rescue;
pub mod run;
pub mod status;
pub mod stories;
pub mod watch;

use std::process::{self, ExitCode, ExitStatus};
use std::{env, panic};

use anyhow::{Context, Result, bail};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
pub use stand_in::starters;
use stand_in::{cleanup, supervisor};

/// The `main` of `checker` and `prover`. With `supervised`, plugins run below a
/// supervisor. An error is printed as one line, and a closed pipe ends the program
/// without a panic message.
///
/// Exit status: 0 for passed or done, 1 for a wrong plugin, 2 if the program itself
/// could not work.
pub fn run_program(
    name: &str,
    supervised: bool,
    program: impl FnOnce() -> Result<ExitCode>,
) -> ExitCode {
    let mut words = env::args_os().skip(1);
    if words.next().is_some_and(|word| word == supervisor::WORD) {
        supervisor::run(words);
    }
    if supervised {
        supervisor::enable();
    }
    // `make … | head` closes our output, and println! panics then.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.to_string().contains("Broken pipe") {
            process::exit(2);
        }
        usual(panic);
    }));
    let code = match program() {
        Ok(code) => code,
        Err(err) => {
            anstream::eprintln!("{name}: {err:#}");
            let theirs = err.is::<cargo::DoesNotBuild>();
            ExitCode::from(if theirs { 1 } else { 2 })
        }
    };
    // After a failed check, the checks that ran beside it may still have plugins
    // and folders.
    cleanup::remove_all();
    code
}

/// The words of the command line of the program `name`. `--help` prints `help`, and
/// then there are none. `options` may stand behind the first word, and stay as they
/// are.
///
/// # Errors
/// When there is another option, or a word is no UTF-8.
pub fn words(
    name: &str,
    help: &str,
    options: &[&str],
) -> Result<Option<Vec<String>>> {
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => {
                print!("{help}");
                return Ok(None);
            }
            Value(word) => words.push(word.string()?),
            Long(option) if !words.is_empty() && options.contains(&option) => {
                words.push(format!("--{option}"));
                // `--step=8` means `--step 8`.
                if let Some(value) = parser.optional_value() {
                    words.push(value.string()?);
                }
            }
            other => {
                bail!("{}; {name} --help lists all options", other.unexpected())
            }
        }
    }
    Ok(Some(words))
}

/// A variable of the environment, unless it is empty. make passes the variables of
/// its command line on in the environment.
pub fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of `SEED`, which replays a run.
///
/// # Errors
/// When the value is not a number.
pub fn seed() -> Result<Option<u64>> {
    let parse = |seed: String| {
        seed.parse().with_context(|| {
            format!("SEED={seed} is not a number from 0 to {}", u64::MAX)
        })
    };
    setting("SEED").map(parse).transpose()
}

/// The exit code of a program that did this command's work elsewhere (in a sandbox
/// or in other namespaces).
///
/// # Errors
/// When a signal has ended the program.
pub fn exit_like(status: ExitStatus) -> Result<ExitCode> {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(ExitCode::from(code)),
        None => {
            bail!("the command in the sandbox or namespace ended ({status})")
        }
    }
}
