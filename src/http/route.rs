//! A request's path, understood once.
//!
//! Nothing else looks at a path: whoever decides whether a request is allowed and whoever answers
//! it look at the same [`Route`], so the two can never disagree about what was asked for.

use super::formatter::Formatter;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/api2/{formatter}/status/metrics`
    Metrics(Formatter),
    /// `/api2/{formatter}/version`
    Version(Formatter),
    /// `/api2/{formatter}/status/datastore-usage`
    Usage(Formatter),
    /// `/api2/{formatter}/access/permissions`
    Permissions(Formatter),
    /// `/api/v1/rings`
    Rings,
    /// `/api/v1/series`
    Series,
    /// `/api/v1/latest`
    Latest,
    /// `/api/v1/stream`
    Stream,
    /// `/api/v1/openapi.json`
    OpenApi,
    /// `/metrics`
    Scrape,
    /// `/metrics/history`
    ScrapeHistory,
    /// `/api/v1/window`
    Window,
    /// `/healthz`
    Healthz,
    /// `/readyz`
    Readyz,
    /// `/api2/{formatter}/...`: nothing there, said in the formatter's way.
    UnknownApi(Formatter),
    /// `/api/v1/...`: nothing there.
    UnknownNative,
    /// `/api2/{anything else}/...`
    UnknownFormatter,
    /// Nothing there.
    Unknown,
}

/// The longest path that means anything has this many segments.
const SEGMENTS_MAX: usize = 4;

impl Route {
    /// The route of `path`, which is taken as it was sent: no `%XX` is decoded, since no route has
    /// a character that needs it.
    ///
    /// Empty segments do not count, so a slash at the end or a doubled one changes nothing, as with
    /// Proxmox's servers. `.` and `..` are segments like others and lead nowhere.
    #[must_use]
    pub fn of_path(path: &str) -> Route {
        let mut segments = [""; SEGMENTS_MAX];
        let mut len = 0;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if len == SEGMENTS_MAX {
                // Too long for any route; what the beginning says decides how that is told.
                return Route::too_long(&segments);
            }
            segments[len] = segment;
            len += 1;
        }
        match segments[..len] {
            ["metrics"] => Route::Scrape,
            ["metrics", "history"] => Route::ScrapeHistory,
            ["healthz"] => Route::Healthz,
            ["readyz"] => Route::Readyz,
            ["api", "v1", ref rest @ ..] => match rest {
                ["rings"] => Route::Rings,
                ["series"] => Route::Series,
                ["latest"] => Route::Latest,
                ["window"] => Route::Window,
                ["stream"] => Route::Stream,
                ["openapi.json"] => Route::OpenApi,
                _ => Route::UnknownNative,
            },
            ["api2", name, ref rest @ ..] => match (Formatter::named(name), rest) {
                (Some(formatter), ["status", "metrics"]) => Route::Metrics(formatter),
                (Some(formatter), ["version"]) => Route::Version(formatter),
                (Some(formatter), ["status", "datastore-usage"]) => Route::Usage(formatter),
                (Some(formatter), ["access", "permissions"]) => Route::Permissions(formatter),
                (Some(formatter), _) => Route::UnknownApi(formatter),
                (None, _) => Route::UnknownFormatter,
            },
            _ => Route::Unknown,
        }
    }

    fn too_long(segments: &[&str; SEGMENTS_MAX]) -> Route {
        match segments {
            ["api2", name, ..] => match Formatter::named(name) {
                Some(formatter) => Route::UnknownApi(formatter),
                None => Route::UnknownFormatter,
            },
            ["api", "v1", ..] => Route::UnknownNative,
            _ => Route::Unknown,
        }
    }

    /// The formatter that the path names.
    #[must_use]
    pub fn formatter(self) -> Option<Formatter> {
        match self {
            Route::Metrics(formatter)
            | Route::Version(formatter)
            | Route::Usage(formatter)
            | Route::Permissions(formatter)
            | Route::UnknownApi(formatter) => Some(formatter),
            Route::Rings
            | Route::Series
            | Route::Latest
            | Route::Window
            | Route::Stream
            | Route::OpenApi
            | Route::UnknownNative => Some(Formatter::Native),
            Route::Scrape | Route::ScrapeHistory => Some(Formatter::Plain),
            Route::Healthz | Route::Readyz | Route::UnknownFormatter | Route::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_route() {
        use Formatter::{Extjs, Json};
        for (path, route) in [
            ("/api2/json/status/metrics", Route::Metrics(Json)),
            ("/api2/extjs/status/metrics", Route::Metrics(Extjs)),
            ("/api2/json/status/metrics/", Route::Metrics(Json)),
            ("//api2//json/status///metrics", Route::Metrics(Json)),
            ("/api2/extjs/version", Route::Version(Extjs)),
            ("/api2/extjs/status/datastore-usage", Route::Usage(Extjs)),
            ("/api2/json/access/permissions", Route::Permissions(Json)),
            ("/healthz", Route::Healthz),
            ("/readyz/", Route::Readyz),
            ("/api/v1/rings", Route::Rings),
            ("/api/v1/series/", Route::Series),
            ("//api/v1/latest", Route::Latest),
            ("/api/v1/window", Route::Window),
            ("/api/v1/stream", Route::Stream),
            ("/api/v1/openapi.json", Route::OpenApi),
            ("/api/v1", Route::UnknownNative),
            ("/api/v1/latest/shop", Route::UnknownNative),
            ("/api/v1/a/b/c", Route::UnknownNative),
            ("/metrics", Route::Scrape),
            ("/metrics/history", Route::ScrapeHistory),
            ("/metrics/histories", Route::Unknown),
            ("/api/v2/latest", Route::Unknown),
            ("/api2/json", Route::UnknownApi(Json)),
            ("/api2/json/status", Route::UnknownApi(Json)),
            ("/api2/json/status/metrics/x", Route::UnknownApi(Json)),
            ("/api2/extjs/../json/version", Route::UnknownApi(Extjs)),
            ("/api2/json/status%2Fmetrics", Route::UnknownApi(Json)),
            ("/api2/JSON/version", Route::UnknownFormatter),
            ("/api2/html/a/b/c/d", Route::UnknownFormatter),
            ("/api2", Route::Unknown),
            ("/a/b/c/d/e/f", Route::Unknown),
            ("/Healthz", Route::Unknown),
            ("/", Route::Unknown),
            ("", Route::Unknown),
            ("*", Route::Unknown),
        ] {
            assert_eq!(Route::of_path(path), route, "{path}");
        }
    }
}
