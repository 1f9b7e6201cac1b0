//! What a learner calls: the checks of the stand-in daemon, and what helps to
//! pass them.
//!
//! A tour, in reading order:
//! - [`cargo`] and [`run`]: building plugins, and one in the foreground.
//! - [`starters`]: a starter is its solution with holes, and back.
//! - [`watch`], [`hints`] and [`rescue`]: smaller commands.
//! - [`stories`] and [`dockerd`]: the steps played by a real dockerd;
//!   [`podman`]: some of them by a real Podman.
//! - [`doctor`]: what this machine has, and what that allows.
//! - [`places`]: names and places that Docker and the workshop agree on.

pub mod cargo;
pub mod dockerd;
pub mod doctor;
pub mod hints;
pub mod places;
pub mod podman;
pub mod rescue;
pub mod run;
pub mod starters;
pub mod stories;
pub mod watch;

use std::process::{self, ExitCode, ExitStatus};
use std::{env, panic};

use anyhow::{Context, Result, bail};
use stand_in::supervisor;

/// The frame of a program of ours: plugins are supervised, a reader of the output
/// that goes away is no drama, and an error is one line.
///
/// Exit status: 0 for passed or done, 1 for a plugin that is wrong, 2 when the
/// program itself could not work.
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
    // `make … | head` closes our output, and println! would make a drama of it.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.to_string().contains("Broken pipe") {
            process::exit(2);
        }
        usual(panic);
    }));
    match program() {
        Ok(code) => code,
        Err(err) => {
            anstream::eprintln!("{name}: {err:#}");
            let theirs = err.is::<cargo::DoesNotBuild>();
            ExitCode::from(if theirs { 1 } else { 2 })
        }
    }
}

/// One setting; make passes its own variables on in the environment.
pub fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The seed that replays a run, from `SEED`.
///
/// # Errors
/// When it is no number.
pub fn seed() -> Result<Option<u64>> {
    let parse = |seed: String| {
        seed.parse().with_context(|| {
            format!("SEED={seed} is no number from 0 to {}", u64::MAX)
        })
    };
    setting("SEED").map(parse).transpose()
}

/// Ends as a program did that was run in our place.
///
/// # Errors
/// When a signal has ended it.
pub fn exit_like(status: ExitStatus) -> Result<ExitCode> {
    match status.code().and_then(|it| u8::try_from(it).ok()) {
        Some(code) => Ok(ExitCode::from(code)),
        None => bail!("what ran in our place ended ({status})"),
    }
}
