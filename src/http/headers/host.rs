//! `Host`: under which name a client believes to have found the server.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address. Nobody but its owner decides what it leads to.
    Address,
    /// A name, without the dot that may end it.
    Name(&'a str),
}

/// The host of an authority such as `example.org:8017` or `[::1]`, or `None` if it is none.
///
/// # Examples
///
/// ```
/// use tachograph::http::headers::{Host, host};
///
/// assert_eq!(host("127.0.0.1:8017"), Some(Host::Address));
/// assert_eq!(host("Shop.example.:80"), Some(Host::Name("Shop.example")));
/// assert_eq!(host("shop.example:80/path"), None);
/// ```
#[must_use]
pub fn host(authority: &str) -> Option<Host<'_>> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        // What stands after `%` is an interface of the client's own machine.
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        address.parse::<Ipv6Addr>().ok()?;
        return is_port(port).then_some(Host::Address);
    }
    let end = authority.find(':').unwrap_or(authority.len());
    let (name, port) = authority.split_at(end);
    if !is_port(port) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.parse::<Ipv4Addr>().is_ok() {
        return Some(Host::Address);
    }
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_name_byte);
    name.split('.').all(is_label).then_some(Host::Name(name))
}

/// Whether `text` is nothing, or a colon and what may be a port.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or_default();
    (text.is_empty() || text.starts_with(':'))
        && digits.len() <= 5
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_an_address_or_a_name() {
        for (authority, expected) in [
            ("localhost", Some(Host::Name("localhost"))),
            ("LOCALHOST:1", Some(Host::Name("LOCALHOST"))),
            ("a_b-c.d.", Some(Host::Name("a_b-c.d"))),
            ("10.0.0.1", Some(Host::Address)),
            ("10.0.0.1:65535", Some(Host::Address)),
            ("10.0.0.1:", Some(Host::Address)),
            ("10.0.0.1.", Some(Host::Address)),
            ("[::1]", Some(Host::Address)),
            ("[::ffff:127.0.0.1]:80", Some(Host::Address)),
            ("[fe80::1%25eth0]:80", Some(Host::Address)),
            // What a resolver may take for an address, a browser has made one before it asks.
            ("127.1", Some(Host::Name("127.1"))),
            ("256.0.0.1", Some(Host::Name("256.0.0.1"))),
            ("", None),
            (".", None),
            ("a..", None),
            (".a", None),
            ("a..b", None),
            (":80", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[nonsense]", None),
            ("::1", None),
            ("a b", None),
            ("a:b", None),
            ("a:123456", None),
            ("user@a", None),
            ("a/b", None),
            ("\u{e4}.de", None),
        ] {
            assert_eq!(host(authority), expected, "{authority}");
        }
    }
}
