//! The code on slides.

/// The contents of a fence.
#[derive(Debug, Clone)]
pub struct Code {
    /// The number of its first line in the chapter.
    pub line: usize,
    /// Its kind.
    pub kind: CodeKind,
    /// Its text.
    pub text: String,
}

/// The kind of a fence, from the words after its backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeKind {
    /// Rust, from this file of the repository.
    Rust(String),
    /// A command; with the reason, if no test runs it.
    Sh(Option<String>),
    /// A command and its output.
    Console,
    /// A request and the answer of this package.
    Http(String),
}
