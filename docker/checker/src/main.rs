//! `checker`: what the Makefile's targets call.
//!
//! Exit status: 0 for passed or done, 1 for a plugin that is wrong, 2 when the
//! checker itself could not work.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(err) => {
            anstream::eprintln!("checker: {err:#}");
            let theirs = err.is::<checker::cargo::DoesNotBuild>();
            ExitCode::from(if theirs { 1 } else { 2 })
        }
    }
}
