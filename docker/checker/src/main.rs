//! `checker`: what the Makefile's targets for learners call.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    checker::run_program("checker", true, cli::main)
}
