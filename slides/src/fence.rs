//! The code on slides: what stands between two fences of a chapter.

/// A fence.
#[derive(Debug, Clone)]
pub struct Code {
    /// Where its first line stands in the chapter.
    pub line: usize,
    /// What it is.
    pub kind: CodeKind,
    /// What it says.
    pub text: String,
}

/// What stands in a fence, from the words after its backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeKind {
    /// Rust, from this file of the repository.
    Rust(String),
    /// A command. If no test runs it, the reason.
    Sh(Option<String>),
    /// A command and what it printed.
    Console,
    /// Bytes on the wire, answered by this package.
    Http(String),
}
