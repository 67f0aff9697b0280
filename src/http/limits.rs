//! How much one client may take: every bound of the front end, in one place.

use std::time::Duration;

use super::vitals::PART_BYTES;

/// Longest path and query of a request; a longer one is answered 414.
///
/// The figure is part of the contract that Proxmox clients know.
pub const URI_BYTES_MAX: usize = 3072;

/// Most header lines in a request; more are answered 431.
///
/// Up to 100 the parser keeps them on its stack; beyond, it would allocate for each request.
pub const HEADERS_MAX: usize = 64;

/// How many answer buffers wait in the pool for their next use: with [`PART_BYTES`] each, 1 MiB.
pub const BUFFERS_POOLED: usize = 16;

/// A buffer that a part has grown beyond this is given back to the allocator, not to the pool.
pub const BUFFER_BYTES_POOLED: usize = 2 * PART_BYTES;

/// Most answers to `/metrics` that are kept for whoever asks for the same record once more.
pub const ANSWERS_KEPT: usize = 4;

/// Refused connections that are heard out at one time, so that what they still send resets nothing.
/// Others are told as well, and closed at once.
pub const REFUSALS_MAX: usize = 32;

/// How long a connection that we have finished with may still send before it is closed.
///
/// Closing a socket with unread bytes in it resets the connection, and a reset can overtake the
/// answer. So the end of the answer is sent first, and the client has this long to hear it.
pub const LINGER: Duration = Duration::from_secs(1);

/// Pause after an error of `accept`: out of descriptors is not cured by asking again at once.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most rings that are served at one time. What goes beyond is counted and told.
pub const RINGS_MAX: usize = 64;

/// Most files of which it is remembered and told why they are not served.
pub const REFUSED_MAX: usize = 64;

/// Most names that are looked at in one directory of rings.
pub const DIRECTORY_NAMES_MAX: usize = 4096;

/// Pause between two looks at the directories of rings, which nobody looks at unless somebody asks.
pub const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Most patterns and most names of rings in one request.
pub const CHOICES_MAX: usize = 16;

/// Most cursors of a server.
pub const CURSORS_MAX: usize = 64;

/// Records that a cursor gives at least, when there are so many: a client that cannot take that much
/// in a scrape is not waited for any longer.
pub const CURSOR_RECORDS_MIN: usize = 16;

/// A cursor that nobody has used for so long is forgotten when another one needs its place.
pub const CURSOR_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Pause between two looks at the files that say who may what.
pub const ACCESS_LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Principals that are remembered while the files stay as they are; more begin anew.
pub const PRINCIPALS_MAX: usize = 256;

/// Different sights of the data of which more is kept than the sight itself.
pub const VIEWS_MAX: usize = 16;

/// How long somebody waits who could not prove who they are.
pub const FAILURE_DELAY: Duration = Duration::from_secs(3);

/// Most who wait so at one time; one more is told at once to come again later.
pub const FAILURES_DELAYED_MAX: usize = 128;

/// How often proofs may fail from one address, or from this machine, in [`FAILURES_TIME`] before they
/// are told at once to come again later. Those that do not fail are let in all the same.
pub const FAILURES_MAX: u32 = 60;

/// See [`FAILURES_MAX`].
pub const FAILURES_TIME: Duration = Duration::from_secs(60);

/// Most addresses of which failures are counted; those of more are told at once to come again later.
pub const FAILURE_PLACES_MAX: usize = 4096;

/// Longest file of cursors that is read, in bytes: a kilobyte for each of them.
pub const CURSOR_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Most items of a list with weights, such as `Accept`, that are looked at; more are passed over.
pub const WEIGHTED_ITEMS_MAX: usize = 64;

/// Most compressors, of some 550 KiB each. An answer that finds none free goes out as it is.
pub const CODERS_MAX: usize = 6;

/// How much is read of the file in which the machine's names stand.
pub const HOSTS_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The smallest answer that is compressed, if nothing else is set: below it there is nothing to save.
pub const COMPRESS_BYTES_MIN: usize = 1024;

/// Most entity tags in one line of `If-None-Match` that are looked at; more are passed over.
pub const ENTITY_TAGS_MAX: usize = 64;

/// Shortest time between two frames of a stream that has caught up: at most ten in a second.
pub const STREAM_PAUSE: Duration = Duration::from_millis(100);

/// A stream that has nothing to tell says that it is there so often.
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);

/// How often a ring may overwrite what a stream's client has not taken; then the stream ends.
pub const STREAM_OVERRUNS_MAX: u64 = 8;

/// The limits that an operator sets.
///
/// The memory of a connection is bounded by [`header_bytes_max`](Self::header_bytes_max) (at least
/// 8 KiB, the smallest read buffer there is) and, while it is being answered, one part of about
/// [`PART_BYTES`]; the rest of an answer is made only as the client reads it. A client that sends
/// its next request before it has read the answer may have that one's first part waiting too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at one time; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Connections open at one time from one IPv4 address or one IPv6 network of 64 bits, which is
    /// what one subscriber is given; one more is answered 429 and closed. Loopback and unix sockets
    /// are exempt: this machine's own programs share one address, and `connections_max` bounds them.
    pub connections_per_address_max: usize,
    /// Bytes of a request line and its headers; more are answered 431.
    pub header_bytes_max: usize,
    /// From the first byte of a request (or from the connection's beginning) to its last.
    pub header_timeout: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle_timeout: Duration,
    /// How long a client may take no byte of its answer.
    pub write_timeout: Duration,
    /// Bytes of a request's body, which is read for parameters; more are answered 413.
    pub body_bytes_max: usize,
    /// Points of a window in one answer; for more there has to be a `limit`, else it is answered 413.
    pub points_max: u64,
    /// Streams open at one time; one more is answered 503.
    pub streams_max: usize,
    /// How long answers may go on after the server was told to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // Two hundred pollers, all of them connecting anew while their old connections end.
            connections_max: 512,
            // A browser opens six, a scraper one or two; many of them behind one router still fit.
            connections_per_address_max: 64,
            header_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            // There are a few short parameters. The room is for what a client's library adds.
            body_bytes_max: 4 * 1024,
            // An hour of 2,700 series at one second, in one answer of some 100 MB. Memory does not
            // depend on it; what it bounds is how long one request keeps the server busy.
            points_max: 10_000_000,
            streams_max: 16,
            grace: Duration::from_secs(5),
        }
    }
}
