//! What a maintainer calls: all that proves this repository.
//!
//! A tour, in reading order:
//! - [`test`]: `make test`, and [`counts`]: what came of it.
//! - [`rust_tests`]: what cargo test runs, in less time.
//! - [`proofs`]: what no check can show: every crash, full disks, hostile names.
//! - [`rescue`]: what `make rescue` removes, and what it leaves alone.
//! - [`sandbox`] and [`slides`]: both out of a container.
//! - [`lint`]: what needs no run.
//! - [`carry`]: one step's change, in all later steps.
//! - [`bench`]: figures, as ratios.

pub mod bench;
pub mod carry;
pub mod counts;
pub mod lint;
pub mod proofs;
pub mod rescue;
pub mod rust_tests;
pub mod sandbox;
pub mod slides;
pub mod test;
