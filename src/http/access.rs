//! The access log: a line for each request that was answered, if somebody wants to read it.
//!
//! A line is an event of the target [`ACCESS`], at the level of information. What a client has sent
//! stands in it with every byte escaped that is not plain text. Of the headers there is `User-Agent`
//! alone: others may hold secrets.

use std::fmt;
use std::time::Instant;

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};

use super::limits::URI_BYTES_MAX;
use super::socket::Peer;

/// The target of the events.
pub const ACCESS: &str = "tachograph::access";

/// How much is told of a client's name for itself, in bytes.
const AGENT_BYTES_MAX: usize = 128;

/// A request and what has come of it so far. Told when it is dropped, which is when hyper has taken the
/// last byte of the answer, or wants no more of it.
#[derive(Debug)]
pub(crate) struct Entry {
    peer: Peer,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
    begun: Instant,
    /// None for as long as there is no answer, which a client need not wait for.
    status: Option<StatusCode>,
    bytes: u64,
    broken: bool,
}

impl Entry {
    pub(crate) fn of<B>(request: &Request<B>, peer: Peer) -> Box<Entry> {
        Box::new(Entry {
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(header::USER_AGENT).cloned(),
            begun: Instant::now(),
            status: None,
            bytes: 0,
            broken: false,
        })
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// So many more bytes of the body have been taken.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer could not be completed.
    pub(crate) fn broken(&mut self) {
        self.broken = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        tracing::info!(target: ACCESS, "{self}");
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut =
            |text: &'_ [u8], max: usize| text[..text.len().min(max)].escape_ascii().to_string();
        let target = self.uri.path_and_query().map_or("*", |target| target.as_str());
        let target = cut(target.as_bytes(), URI_BYTES_MAX);
        let method = cut(self.method.as_str().as_bytes(), AGENT_BYTES_MAX);
        write!(f, "{} \"{method} {target}\" ", self.peer)?;
        match self.status {
            Some(status) => write!(f, "{}", status.as_u16())?,
            None => f.write_str("-")?,
        }
        write!(f, " {} bytes in {} us", self.bytes, self.begun.elapsed().as_micros())?;
        if self.broken {
            f.write_str(", broken off")?;
        }
        match &self.agent {
            Some(agent) => write!(f, " \"{}\"", cut(agent.as_bytes(), AGENT_BYTES_MAX)),
            None => f.write_str(" \"-\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_no_byte_that_could_be_taken_for_something_else() {
        let request = Request::get("/a?b=%0a&token='x'")
            .header("User-Agent", HeaderValue::from_bytes(b"a\xff\"\tb").expect("allowed"))
            .header("Authorization", "Bearer secret")
            .body(());
        let mut entry = Entry::of(&request.expect("allowed"), Peer::Unix(None));
        let line = entry.to_string();
        assert!(line.starts_with(r#"unix "GET /a?b=%0a&token=\'x\'" - 0 bytes in "#), "{line}");
        assert!(line.ends_with(r#" us "a\xff\"\tb""#), "{line}");
        entry.answered(StatusCode::OK);
        entry.sent(7);
        entry.broken();
        let line = entry.to_string();
        assert!(
            line.contains("\" 200 7 bytes in ") && line.contains(" us, broken off \""),
            "{line}"
        );
        assert!(!line.contains("secret"), "{line}");
        let long = Request::get("/x".repeat(5000)).header("User-Agent", "y".repeat(5000)).body(());
        let line = Entry::of(&long.expect("allowed"), Peer::Unix(None)).to_string();
        assert!(line.len() < URI_BYTES_MAX + AGENT_BYTES_MAX + 100, "{}", line.len());
    }
}
