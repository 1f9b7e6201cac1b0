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
    for header in &*request.headers {
        let name = header.name.to_ascii_lowercase();
        if name == "origin" || name.starts_with("sec-fetch-") {
            return refuse(403, "a page in a browser may not send calls");
        }
    }
    let (hosts, address) = (values(request, "Host"), address.to_string());
    if hosts != [address.as_bytes()] {
        return refuse(403, format!("the only valid Host is {address}"));
    }
    Ok(())
}
