//! The names that a server goes by.
//!
//! A page of a foreign site can have its own name point at this machine and then ask for data as if it
//! came from there. Its requests still carry that name. So a request is answered only under a name that
//! is known to be ours, or under an address, which no foreigner can redirect.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Uri, Version};

use super::headers::{Host, host};
use super::limits::HOSTS_FILE_BYTES_MAX;

/// Where a machine's names stand beside its addresses.
const HOSTS_FILE: &str = "/etc/hosts";

/// A name that stands for all names.
const ANY: &str = "*";

/// The names that requests may be for, beside addresses, `localhost` and what ends in `.localhost`.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

/// What is wrong with the host of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongHost {
    /// There is none where there must be one, or several, or what there is cannot be understood.
    Malformed,
    /// It is for somebody else.
    Foreign,
}

impl Hosts {
    /// The names of this machine and `also`. In `also`, `*` stands for every name and `*.NAME` for all
    /// that end so.
    pub(crate) fn of_this_machine(also: &[String]) -> Hosts {
        let uname = rustix::system::uname();
        let own = uname.nodename().to_string_lossy();
        Hosts::of(&own, &hosts_file(Path::new(HOSTS_FILE)), also)
    }

    fn of(own: &str, hosts_file: &str, also: &[String]) -> Hosts {
        let mut names: Vec<String> = also.iter().map(|name| unrooted(name).to_owned()).collect();
        if !own.is_empty() {
            names.push(own.to_owned());
            names.extend(beside(own, hosts_file).map(str::to_owned));
        }
        Hosts { names }
    }

    /// Whether a request with this target and these headers is for us.
    pub(crate) fn check(
        &self,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), WrongHost> {
        let mut lines = headers.get_all(header::HOST).iter();
        let line = lines.next().map(HeaderValue::to_str);
        if lines.next().is_some() || (line.is_none() && version >= Version::HTTP_11) {
            return Err(WrongHost::Malformed);
        }
        // A target that names its host goes before the header.
        let authority = match (uri.authority(), line) {
            (Some(authority), _) => authority.as_str(),
            (None, Some(line)) => line.map_err(|_| WrongHost::Malformed)?,
            (None, None) => return Ok(()),
        };
        match host(authority) {
            None => Err(WrongHost::Malformed),
            Some(Host::Address) => Ok(()),
            Some(Host::Name(name)) if self.has(name) => Ok(()),
            Some(Host::Name(_)) => Err(WrongHost::Foreign),
        }
    }

    fn has(&self, name: &str) -> bool {
        let is = |known: &String| match known.strip_prefix(ANY) {
            Some(end) => ends_with(name, end),
            None => name.eq_ignore_ascii_case(known),
        };
        name.eq_ignore_ascii_case("localhost")
            || ends_with(name, ".localhost")
            || self.names.iter().any(is)
    }
}

/// The names on the lines of a hosts file that have `own`: there a machine's full name stands.
fn beside<'a>(own: &'a str, hosts_file: &'a str) -> impl Iterator<Item = &'a str> {
    let has_own = move |line: &str| names(line).any(|name| name.eq_ignore_ascii_case(own));
    hosts_file.lines().filter(move |line| has_own(line)).flat_map(names).map(unrooted)
}

/// What stands after the address.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_whitespace().skip(1)
}

/// The beginning of a hosts file; nothing if there is none.
fn hosts_file(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is as good as what stands before the bound.
        let _ = file.take(HOSTS_FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unrooted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn ends_with(name: &str, end: &str) -> bool {
    let begin = name.len().checked_sub(end.len());
    begin.and_then(|begin| name.get(begin..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "127.0.0.1 localhost\n\
                        10.0.0.5\tpbs1.example.org. pbs1 # evil.example\n\
                        10.0.0.6 other.example.org pbs11\n\
                        #10.0.0.7 commented.example.org pbs1\n";

    fn hosts(also: &[&str]) -> Hosts {
        let also: Vec<String> = also.iter().map(|name| (*name).to_owned()).collect();
        Hosts::of("pbs1", FILE, &also)
    }

    fn asked(hosts: &Hosts, target: &str, lines: &[&str]) -> Result<(), WrongHost> {
        let uri: Uri = target.parse().expect("a target");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers
                .append(header::HOST, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        hosts.check(Version::HTTP_11, &uri, &headers)
    }

    #[test]
    fn own_names_and_addresses_are_answered() {
        let known = hosts(&["monitor.lan.", "*.example.net"]);
        for name in [
            "127.0.0.1:8017",
            "[::1]",
            "192.0.2.7",
            "localhost:1",
            "LocalHost",
            "a.localhost",
            "pbs1:8017",
            "PBS1.example.org",
            "pbs1.example.org.:80",
            "monitor.lan",
            "x.example.net",
        ] {
            assert_eq!(asked(&known, "/", &[name]), Ok(()), "{name}");
        }
        for name in [
            "pbs11",
            "other.example.org",
            "evil.example",
            "commented.example.org",
            "example.org",
            "notlocalhost",
            "localhost.evil.example",
            "pbs1.evil.example",
            "example.net",
            "evilexample.net",
        ] {
            assert_eq!(asked(&known, "/", &[name]), Err(WrongHost::Foreign), "{name}");
        }
        assert_eq!(asked(&hosts(&["*"]), "/", &["anything.at.all"]), Ok(()));
    }

    #[test]
    fn the_target_goes_before_the_header() {
        let known = hosts(&[]);
        assert_eq!(asked(&known, "http://localhost:80/", &["evil.example"]), Ok(()));
        let foreign = Err(WrongHost::Foreign);
        assert_eq!(asked(&known, "http://evil.example/", &["localhost"]), foreign);
    }

    #[test]
    fn a_host_must_be_there_once_and_be_understood() {
        let known = hosts(&[]);
        let malformed = Err(WrongHost::Malformed);
        for lines in [&[][..], &["localhost", "localhost"], &[""], &["a b"], &["\u{e4}"]] {
            assert_eq!(asked(&known, "/", lines), malformed, "{lines:?}");
        }
        let none = HeaderMap::new();
        assert_eq!(known.check(Version::HTTP_10, &Uri::from_static("/"), &none), Ok(()));
    }
}
