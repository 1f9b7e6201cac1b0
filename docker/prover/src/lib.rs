//! The maintainers' commands: they test this repository.
//!
//! A tour, in reading order:
//! - [`test`]: `make test`; [`counts`] has its results.
//! - [`rust_tests`]: runs the tests of all packages, several at a time.
//! - [`proofs`]: stress tests: crashes, full disks, hostile names and clients.
//! - [`rescue`]: tests what `make rescue` removes and what it leaves alone.
//! - [`sandbox`] and [`slides`]: test the plugin and the slides as images.
//! - [`lint`]: checks that need no run of a plugin.
//! - [`carry`]: carries a change of one step to all later steps.
//! - [`bench`]: measures figures, as ratios.

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
