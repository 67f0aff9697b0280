//! The kinds of content that answers have.

use hyper::header::HeaderValue;

use super::formatter::Formatter;

/// What an answer's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// What the API's clients look for, letter by letter.
    Formatter,
    Json,
    Text,
}

impl Content {
    pub(crate) fn of(formatter: Formatter) -> Content {
        match formatter {
            Formatter::Json | Formatter::Extjs => Content::Formatter,
            Formatter::Native => Content::Json,
            Formatter::Plain => Content::Text,
        }
    }

    pub(crate) fn header(self) -> HeaderValue {
        match self {
            Content::Formatter => {
                const { HeaderValue::from_static("application/json;charset=UTF-8") }
            }
            Content::Json => const { HeaderValue::from_static("application/json") },
            Content::Text => const { HeaderValue::from_static("text/plain; charset=utf-8") },
        }
    }
}
