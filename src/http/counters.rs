//! What the front end has seen: one count for every limit and every failure.

use std::cell::Cell;

/// Declares the counts once: the field, its documentation and its name for exporters.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts since the server was bound. They only grow, and wrap at 2^64.
        ///
        /// The server runs on one thread, so they are plain cells: reading them costs nothing and
        /// never disturbs the one who counts.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Cell<u64>,)+
        }

        impl Counters {
            /// Every count with its name, in the order of declaration.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)+].into_iter()
            }

            /// What is counted, in the order of [`Counters::each`].
            pub(crate) const HELP: &[&str] = &[$(concat!($($doc),+),)+];
        }
    };
}

counters! {
    /// Connections taken from the kernel, the refused ones included.
    connections_accepted,
    /// Connections answered 503 and closed because `connections_max` were open.
    connections_refused,
    /// Connections answered 429 and closed because `connections_per_address_max` were open from
    /// where they came.
    connections_refused_per_address,
    /// Errors of `accept`, each followed by a pause.
    accept_errors,
    /// Requests whose header was complete and well-formed.
    requests,
    /// Connections closed because a request took longer than `header_timeout` to arrive.
    header_timeouts,
    /// Connections closed because no request came within `idle_timeout`.
    idle_timeouts,
    /// Connections reset because the client took no byte for `write_timeout`.
    write_timeouts,
    /// Requests answered 431: too many header lines or too many bytes of them.
    headers_too_large,
    /// Requests answered 414: path and query longer than `URI_BYTES_MAX`.
    uris_too_long,
    /// Requests answered 413: a body longer than `body_bytes_max`.
    bodies_too_large,
    /// Requests that were not HTTP, answered 400.
    malformed_requests,
    /// Requests answered 400 or 421: their host was malformed, or was none of ours.
    hosts_refused,
    /// Requests answered 403: a page of another site had a browser send them.
    cross_site_refused,
    /// Requests answered 401: who sent them did not say who they are, or could not prove it.
    unauthenticated,
    /// Requests answered 429: proofs had failed too often, there or everywhere at once.
    failures_limited,
    /// Requests refused for their parameters.
    parameter_errors,
    /// Windows answered 413: they could have more points than `points_max`.
    windows_too_large,
    /// Answers that could not begin because the ring was not readable.
    vitals_errors,
    /// Files that could not be served as rings, each once for each reason.
    rings_refused,
    /// Times that there began to be more rings than `RINGS_MAX`, or files than are looked at.
    rings_left_out,
    /// Histories that were refused because there were too many cursors.
    cursors_refused,
    /// Records that were asked for as history and had been overwritten.
    records_overrun,
    /// Answers that had begun and could not go on; the connection was cut short.
    answers_broken,
    /// Answers cut short because the scraper's own time for them had passed.
    scrape_timeouts,
    /// Requests answered 304: the client had the answer already.
    not_modified,
    /// Answers that were sent compressed.
    answers_compressed,
    /// Answers that were sent as they are because every compressor was in use.
    coders_exhausted,
    /// Streams refused because `streams_max` were open.
    streams_refused,
    /// Streams ended because their client did not keep up with the ring.
    streams_too_slow,
    /// Panics caught while a request was answered. Each is a defect.
    panics,
    /// Connections still open when the grace after a stop had passed.
    connections_dropped,
}

/// Counts one more.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}
