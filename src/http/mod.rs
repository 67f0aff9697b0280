//! The HTTP front end: asks for data through [`Vitals`], answers in the forms that clients know.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api2/{json,extjs}/status/metrics` | points of the newest generation; with `history` all of the last 30 minutes after `start-time` |
//! | `GET /api2/{json,extjs}/version` | this program's version |
//! | `GET /api/v1/rings` | every ring: lane or application, its writer's state, and files that are refused |
//! | `GET /api/v1/series` | series of the rings, chosen by `ring` and by patterns, `match` |
//! | `GET /api/v1/latest` | the newest record of the rings, chosen likewise |
//! | `GET /api/v1/stream` | the records of a `ring` as server-sent events, from the newest or after `Last-Event-ID` on |
//! | `GET /metrics` | the newest record for Prometheus: text or OpenMetrics, as `Accept` has it |
//! | `GET /metrics/history` | every record of a `window`, `since_seq`, or since a `cursor`, with times |
//! | `GET /api/v1/window` | a window of the rings, chosen likewise: every record, or in steps |
//! | `GET /healthz` | `ok`, for as long as the process answers at all |
//! | `GET /readyz` | `ready`, or 503 and why the newest record is not fresh |
//!
//! A [`Server`] listens on addresses of the network and on sockets in the file system, or takes what
//! comes to listeners that it is given; a [`Remote`] changes its places and limits while it runs.
//!
//! `HEAD` gives the same header. The shapes of the two formatters, their parameters and their way of
//! refusing are those of Proxmox Backup Server.
//!
//! Every answer of the native API that shows the newest record has an entity tag, which speaks of that
//! record and not of what the server counts of itself; a client that still has it is told so in a 304.
//! Who asks for gzip or zstd gets it, but not on this machine unless [`Compression::on_loopback`] says
//! so too. Requests for a host that is not this one are answered 421, and those that a browser sent
//! for a page of another site 403. An answer ends with the time that a scraper says it waits.
//!
//! One thread serves everything. An answer is made while it is sent: a part of about [`PART_BYTES`]
//! is written into a pooled buffer, goes to the socket, and only then the next one is asked for. So
//! memory is bounded by [`Limits::connections_max`] and not by what is asked for, and a client that
//! reads slowly slows down nobody else. Every bound is in [`limits`], and every time one is reached
//! it is counted in [`Counters`].
//!
//! # Examples
//!
//! ```
//! use std::rc::Rc;
//! use std::time::Duration;
//!
//! use tachograph::http::{Freshness, Part, Pull, Server, Settings, Vitals, VitalsError};
//! use tachograph::rights::Sight;
//!
//! struct Nothing;
//!
//! impl Vitals for Nothing {
//!     fn seen_by(&self, _: &Rc<Sight>) -> Rc<dyn Vitals> {
//!         Rc::new(Nothing)
//!     }
//!     fn pull(&self, _: bool, _: i64) -> Result<Box<dyn Pull>, VitalsError> {
//!         Ok(Box::new(Nothing))
//!     }
//!     fn freshness(&self) -> Freshness {
//!         Freshness { newest_age: None, limit: Duration::from_secs(3), state: "closed" }
//!     }
//! }
//!
//! impl Pull for Nothing {
//!     fn part(&mut self, _: &mut Vec<u8>) -> Part {
//!         Part::Last
//!     }
//! }
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let listen = vec!["127.0.0.1:0".parse()?];
//! let server = Server::bind(Settings { listen, ..Settings::default() })?;
//! assert_ne!(server.addresses()[0].port(), 0);
//! let at_once = async {};
//! let summary = runtime.block_on(server.run(Rc::new(Nothing), at_once))?;
//! assert_eq!(summary.dropped, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod access;
mod answer;
mod body;
mod coder;
mod connection;
mod content;
mod counters;
pub mod cursors;
mod endpoints;
mod formatter;
mod guard;
pub mod headers;
mod hosts;
mod io;
mod kept;
pub mod limits;
mod listener;
mod listing;
mod own;
mod pool;
pub mod quality;
pub mod query;
mod ring_pull;
mod ring_vitals;
mod rings;
mod route;
mod saved_vitals;
mod scrapes;
mod seen;
mod server;
mod service;
mod socket;
mod stream;
mod tag;
mod usage;
mod vitals;
mod watch;
mod window;

pub use access::ACCESS;
pub use counters::Counters;
pub use formatter::Formatter;
pub use limits::Limits;
pub use listener::{BindError, Listener, Place, UnixPlace};
pub use listing::Listing;
pub use ring_vitals::RingVitals;
pub use rings::Rings;
pub use route::Route;
pub use saved_vitals::SavedVitals;
pub use scrapes::{HistoryStart, ScrapeWanted, Scraped};
pub use server::{Compression, Remote, Server, Settings, Summary};
pub use stream::{Fed, Feed};
pub use tag::Version;
pub use vitals::{Freshness, PART_BYTES, Part, Pull, Vitals, VitalsError};
pub use window::WindowError;
