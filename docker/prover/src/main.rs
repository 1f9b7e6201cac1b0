//! `prover`: the program behind the Makefile's targets for maintainers.

mod cli;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A supervisor would be one more process in the figures of a benchmark.
    let benches = env::args().nth(1).is_some_and(|word| {
        word == "bench" || word == prover::bench::docker::INSIDE
    });
    checker::run_program("prover", !benches, cli::main)
}
