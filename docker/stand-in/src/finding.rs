//! How a check ends: the plugin is right, wrong, or could not be tried.

use std::fmt::Display;

/// What a plugin did wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What Docker, or some other client, sent.
    pub sent: String,
    /// What a right plugin does then.
    pub expected: String,
    /// What this one did.
    pub got: String,
}

/// Why a check did not pass.
#[derive(Debug)]
pub enum Fault {
    /// The plugin is wrong.
    Wrong(Finding),
    /// This machine, or this plugin, lacks what the check needs.
    NotTried(String),
    /// The checker cannot work, which is not the plugin's fault.
    Trouble(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(err: E) -> Self {
        Self::Trouble(err.into())
    }
}

/// How a check ends.
pub type Outcome = Result<(), Fault>;

/// A finding, as an error to return.
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
