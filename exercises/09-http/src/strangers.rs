//! Who may ask over TCP.

use std::net::SocketAddr;

use httparse::Request;

use crate::headers::values;
use crate::refusal::{Trouble, refuse};

/// Refuses what a page in a browser sends to `address`.
///
/// Any page may send a POST to any address, 127.0.0.1 included. Browsers mark
/// such requests with headers that a page cannot remove, and Docker sends none
/// of them. A page may also have a name of its own lead to 127.0.0.1, so only
/// the address itself is a valid Host.
pub fn refuse_strangers(
    request: &Request,
    address: SocketAddr,
) -> Result<(), Trouble> {
    // TODO(9.4): refuse a request with one of the headers `Origin` and
    // `Sec-Fetch-…`, and a request whose only `Host` is not `address`.
    Ok(())
}
