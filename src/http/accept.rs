//! Which of the text formats of Prometheus a client wants.
//!
//! A client that names none that is written here gets what it would get from `node_exporter`: text
//! 0.0.4. Nobody is refused for what he would rather have.

use super::content::{Content, Escaping};
use super::quality::weighted;
use crate::encode::prometheus::Exposition;

/// A format, and what an answer in it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) exposition: Exposition,
    pub(crate) content: Content,
}

const DEFAULT: Format = Format { exposition: Exposition::Text, content: Content::Prometheus };

/// The format with the greatest weight in the lines of `Accept`; of several, the first.
pub(crate) fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let mut best: Option<(u16, Format)> = None;
    for (item, weight) in accept.flat_map(weighted) {
        if weight > best.map_or(0, |(weight, _)| weight)
            && let Some(format) = known(item)
        {
            best = Some((weight, format));
        }
    }
    best.map_or(DEFAULT, |(_, format)| format)
}

/// The format that a media range means.
fn known(item: &str) -> Option<Format> {
    let mut parts = item.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let (mut version, mut escaping) = ("", Escaping::Unsaid);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("version") {
            version = value;
        } else if name.trim().eq_ignore_ascii_case("escaping") {
            escaping = Escaping::named(value);
        }
    }
    let is = |other: &str| media.eq_ignore_ascii_case(other);
    if is("application/openmetrics-text") && matches!(version, "" | "1.0.0") {
        let content = Content::OpenMetrics(escaping);
        return Some(Format { exposition: Exposition::OpenMetrics, content });
    }
    if is("text/plain") && version == "1.0.0" {
        let content = Content::PrometheusV1(escaping);
        return Some(Format { exposition: Exposition::Text, content });
    }
    let is_text = is("text/plain") && matches!(version, "" | "0.0.4");
    (is_text || is("text/*") || is("*/*")).then_some(DEFAULT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn called(accept: &str) -> String {
        let content = format([accept].into_iter()).content;
        content.header().to_str().expect("text").to_owned()
    }

    const V0: &str = "text/plain; version=0.0.4; charset=utf-8";
    const V1: &str = "text/plain; version=1.0.0; charset=utf-8";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    #[test]
    fn known_clients_get_what_they_understand_best() {
        for (accept, content) in [
            // Prometheus 2.42
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN.to_owned(),
            ),
            // VictoriaMetrics 1.79.5
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", V0.to_owned()),
            // Prometheus 3
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                format!("{OPEN}; escaping=allow-utf-8"),
            ),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8",
                format!("{V1}; escaping=allow-utf-8"),
            ),
            (
                "text/plain; version=1.0.0; escaping=underscores",
                format!("{V1}; escaping=underscores"),
            ),
            ("text/plain;version=\"1.0.0\"", V1.to_owned()),
            // A browser, and a program of which nothing is known.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", V0.to_owned()),
            ("", V0.to_owned()),
        ] {
            assert_eq!(called(accept), content, "{accept}");
        }
    }

    #[test]
    fn weights_decide_and_what_is_not_wanted_is_not_given() {
        for (accept, content) in [
            ("application/openmetrics-text;q=0.5,text/plain;q=0.6", V0),
            ("text/plain;q=0.5,application/openmetrics-text;q=0.6", OPEN),
            ("text/plain;q=0,application/openmetrics-text;q=0.001", OPEN),
            ("text/plain,application/openmetrics-text", V0),
            ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", V0),
            ("APPLICATION/OpenMetrics-Text;Version=1.0.0", OPEN),
            ("application/json", V0),
            (";;;,,=,q", V0),
        ] {
            assert_eq!(called(accept), content, "{accept}");
        }
        // The dots scheme would have names written in another way.
        assert_eq!(called("text/plain;version=1.0.0;escaping=dots"), V1);
        let lines = ["text/plain;q=0.1", "application/openmetrics-text"];
        assert_eq!(format(lines.into_iter()).exposition, Exposition::OpenMetrics);
    }

    proptest! {
        #[test]
        fn any_text_is_a_wish(accept in "\\PC{0,200}") {
            let _ = format([&*accept].into_iter());
        }
    }
}
