//! `checker`: what the Makefile's targets call.
//!
//! Exit status: 0 for passed or done, 1 for a plugin that is wrong, 2 when the
//! checker itself could not work.

mod cli;

use std::process::{self, ExitCode};
use std::{env, panic};

use checker::supervisor;

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    match words.next() {
        Some(word) if word == supervisor::WORD => supervisor::run(words),
        // A process more would be in the figures.
        Some(word) if word.as_encoded_bytes().starts_with(b"bench") => {}
        _ => supervisor::enable(),
    }
    // `make … | head` closes our output, and println! would make a drama of it.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.to_string().contains("Broken pipe") {
            process::exit(2);
        }
        usual(panic);
    }));
    match cli::main() {
        Ok(code) => code,
        Err(err) => {
            anstream::eprintln!("checker: {err:#}");
            let theirs = err.is::<checker::cargo::DoesNotBuild>();
            ExitCode::from(if theirs { 1 } else { 2 })
        }
    }
}
