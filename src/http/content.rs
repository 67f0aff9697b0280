//! The kinds of content that answers have.

use hyper::header::HeaderValue;

use super::formatter::Formatter;
use super::query::WindowFormat;

/// A type of version 1.0.0 with the escaping that was asked for.
macro_rules! escaped {
    ($escaping:expr, $media:literal) => {{
        macro_rules! with {
            ($more:literal) => {
                const {
                    HeaderValue::from_static(concat!(
                        $media,
                        "; version=1.0.0; charset=utf-8",
                        $more
                    ))
                }
            };
        }
        match $escaping {
            Escaping::Unsaid => with!(""),
            Escaping::AllowUtf8 => with!("; escaping=allow-utf-8"),
            Escaping::Underscores => with!("; escaping=underscores"),
            Escaping::Values => with!("; escaping=values"),
        }
    }};
}

/// What an answer's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// What the API's clients look for, letter by letter.
    Formatter,
    Json,
    Text,
    Csv,
    Ndjson,
    Arrow,
    /// Server-sent events.
    Events,
    /// Prometheus text 0.0.4.
    Prometheus,
    /// Prometheus text 1.0.0.
    PrometheusV1(Escaping),
    /// OpenMetrics text 1.0.0.
    OpenMetrics(Escaping),
}

/// How names are written that the older formats do not have. None of ours is one, so all of these
/// give the same text: the client is told the one that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escaping {
    Unsaid,
    AllowUtf8,
    Underscores,
    Values,
}

impl Escaping {
    pub(crate) fn named(name: &str) -> Escaping {
        match name {
            "allow-utf-8" => Escaping::AllowUtf8,
            "underscores" => Escaping::Underscores,
            "values" => Escaping::Values,
            _ => Escaping::Unsaid,
        }
    }
}

impl Content {
    pub(crate) fn of_window(format: WindowFormat) -> Content {
        match format {
            WindowFormat::Json | WindowFormat::Columns => Content::Json,
            WindowFormat::Csv => Content::Csv,
            WindowFormat::Ndjson => Content::Ndjson,
            WindowFormat::Arrow => Content::Arrow,
        }
    }

    pub(crate) fn of(formatter: Formatter) -> Content {
        match formatter {
            Formatter::Json | Formatter::Extjs => Content::Formatter,
            Formatter::Native => Content::Json,
            Formatter::Plain => Content::Text,
        }
    }

    /// Whether it may be sent in a content coding.
    pub(crate) fn may_be_coded(self) -> bool {
        match self {
            Content::Formatter
            | Content::Json
            | Content::Text
            | Content::Csv
            | Content::Ndjson
            | Content::Arrow
            | Content::Prometheus
            | Content::PrometheusV1(_)
            | Content::OpenMetrics(_) => true,
            // Each frame is to leave at once.
            Content::Events => false,
        }
    }

    pub(crate) fn header(self) -> HeaderValue {
        match self {
            Content::Formatter => {
                const { HeaderValue::from_static("application/json;charset=UTF-8") }
            }
            Content::Json => const { HeaderValue::from_static("application/json") },
            Content::Csv => const { HeaderValue::from_static("text/csv; charset=utf-8") },
            Content::Ndjson => const { HeaderValue::from_static("application/x-ndjson") },
            Content::Arrow => {
                const { HeaderValue::from_static("application/vnd.apache.arrow.stream") }
            }
            Content::Text => const { HeaderValue::from_static("text/plain; charset=utf-8") },
            Content::Events => const { HeaderValue::from_static("text/event-stream") },
            Content::Prometheus => {
                const { HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8") }
            }
            Content::PrometheusV1(escaping) => escaped!(escaping, "text/plain"),
            Content::OpenMetrics(escaping) => escaped!(escaping, "application/openmetrics-text"),
        }
    }
}
