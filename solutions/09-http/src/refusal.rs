//! The reasons why a request is not a call. You do not need to read this file.

use std::io;

/// In bytes. Docker's longest bodies have a few hundred.
pub const LONGEST_BODY: usize = 1 << 20;

/// A reason why a request is not a call.
#[derive(Debug)]
pub enum Trouble {
    /// The connection is gone.
    Gone(io::Error),
    /// The status and the text of an answer, after which the connection is
    /// closed.
    Refused(u16, String),
}

impl From<io::Error> for Trouble {
    fn from(err: io::Error) -> Self {
        Self::Gone(err)
    }
}

/// Refuses a request.
pub fn refuse<T>(status: u16, why: impl AsRef<str>) -> Result<T, Trouble> {
    Err(Trouble::Refused(status, format!("workshop: {}", why.as_ref())))
}

/// Refuses a request whose body has over [`LONGEST_BODY`] bytes.
pub fn too_long<T>() -> Result<T, Trouble> {
    refuse(413, format!("no call has over {LONGEST_BODY} bytes"))
}

/// Refuses a request that did not arrive in time.
pub fn too_slow<T>() -> Result<T, Trouble> {
    refuse(408, "the request took too long to arrive")
}
