//! `prover`: what the Makefile's targets for maintainers call.

mod cli;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    // In a benchmark, a process more would be in the figures.
    let benches = env::args().nth(1).is_some_and(|word| {
        word == "bench" || word == prover::bench::docker::INSIDE
    });
    checker::run_program("prover", !benches, cli::main)
}
