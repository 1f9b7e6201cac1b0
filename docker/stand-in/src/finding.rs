//! The outcome of a check: the plugin is right, wrong, or could not be tried.

use std::fmt::Display;

/// A mistake of a plugin.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The request, or whatever else was done to the plugin.
    pub sent: String,
    /// What a right plugin does then.
    pub expected: String,
    /// What this plugin did.
    pub got: String,
}

/// The reason why a check did not pass.
#[derive(Debug)]
pub enum Fault {
    /// The plugin is wrong.
    Wrong(Finding),
    /// This machine, or this plugin, lacks something that the check needs.
    NotTried(String),
    /// The checker cannot work. That is not the fault of the plugin.
    Trouble(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(err: E) -> Self {
        Self::Trouble(err.into())
    }
}

/// The outcome of a check.
pub type Outcome = Result<(), Fault>;

/// A finding as an error.
pub fn wrong(
    sent: impl Display,
    expected: impl Display,
    got: impl Display,
) -> Fault {
    Fault::Wrong(Finding {
        sent: sent.to_string(),
        expected: expected.to_string(),
        got: got.to_string(),
    })
}
