//! What came of tests and proofs.

/// What came of one part, or of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// What was not tried: what it is, and why.
    pub skipped: Vec<String>,
    /// What tests that failed have printed.
    pub complaints: Vec<String>,
}

impl Counts {
    /// Takes another part in.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.complaints.extend(other.complaints);
    }
}
