//! `checker`: the program behind the Makefile's targets for learners.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    checker::run_program("checker", true, cli::main)
}
