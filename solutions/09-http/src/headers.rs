//! The headers of a request.

use httparse::Request;

/// The longest head, in bytes. Docker's heads have about 200.
pub const LONGEST: usize = 16 << 10;
/// The highest number of headers. Docker sends five or six.
pub const MOST: usize = 64;

/// The values of all headers with this name.
pub fn values<'a>(request: &'a Request, name: &str) -> Vec<&'a [u8]> {
    let headers = request.headers.iter();
    headers
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
        .collect()
}
