#![doc = include_str!("format.md")]
//!
//! # Every record once
//!
//! A reader that wants all records, and to know of each that it did not get, asks for them by their
//! sequences:
//!
//! ```
//! use std::time::Duration;
//! use tachograph::ring::{Reader, Wait};
//!
//! # use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};
//! # let dir = std::path::PathBuf::from(format!("/dev/shm/tachograph-doc-tail-{}", std::process::id()));
//! # let mut shop = Producer::declare(&RunDir::for_writing(Some(&dir))?, "shop")?;
//! # let taken = shop.add::<u64>("queue/orders", "taken", Kind::Counter, Unit::Count)?;
//! # let mut options = WriterOptions::every(Duration::from_secs(1));
//! # options.depth_records = 8;
//! # let mut shop = shop.start(&options)?;
//! # let path = dir.join("shop.ring");
//! # let mut publish = |upto: u64| while shop.writer().head() < upto {
//! #     let seq = shop.writer().head() + 1;
//! #     shop.set(&taken, 10 * seq);
//! #     shop.publish();
//! # };
//! # publish(3);
//! # let mut more = [23, 24].into_iter();
//! let mut reader = Reader::open(&path)?;
//! let (mut seen, mut lost, mut totals) = (0, 0, Vec::new());
//! 'tail: loop {
//!     let taken = reader.ring().find("queue/orders", "taken").ok_or("no such series")?;
//!     while let Wait::Published(head) = reader.wait(seen, Duration::from_secs(5)) {
//!         // What the writer has overwritten since the last look cannot be had any more.
//!         let (oldest, _) = reader.ring().bounds().unwrap_or((1, 0));
//!         lost += oldest.saturating_sub(seen + 1);
//!         for seq in oldest.max(seen + 1)..=head {
//!             match reader.ring().read(seq, |record| record.u64(&taken)) {
//!                 Ok(total) => totals.push(total),
//!                 // Overwritten just now, or lost with a writer that was killed.
//!                 Err(_) => lost += 1,
//!             }
//!         }
//!         seen = head;
//! #       match more.next() { Some(head) => publish(head), None => break 'tail }
//!     }
//!     // A larger ring has taken this one's place and goes on counting, or the writer is gone. Where
//!     // that was another ring, its records may have begun anew.
//!     if reader.refresh()? {
//!         seen = seen.min(reader.ring().head());
//!     }
//! }
//! // Three records, then twenty in one go in a ring of eight, then one.
//! assert_eq!((seen, lost, totals.len()), (24, 12, 12));
//! assert_eq!(totals[2..4], [Some(30), Some(160)]);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`window::Window`](crate::window::Window) tells of gaps by their reasons. How the newest record
//! alone is waited for is shown at the crate's root, how an application publishes at [`Producer`].

mod audit;
mod clock;
mod damage;
mod decoder;
mod directory;
mod file;
mod header;
pub mod layout;
mod lock;
mod make;
mod map;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod name;
mod notify;
mod opening;
mod place;
mod pread;
mod producer;
mod reader;
mod recover;
mod save;
mod sealed;
mod slot;
mod successor;
mod sync;
mod words;
mod writer;

pub use audit::{Audit, audit};
pub use clock::{Now, boottime_ns, realtime_ns};
pub use damage::{Damage, Part};
pub use decoder::{Column, ReadError, RecordView, Ring, Value};
pub use directory::{Directory, DirectoryCursor, DirectoryNews, Entry, METRIC_BYTES_MAX};
pub use header::{FormatError, Header, RingKind};
pub use layout::{Geometry, Sizes};
pub use map::ReadMap;
pub use name::{NAME_BYTES_MAX, unfit_name};
pub use opening::{Before, Opening};
pub use place::{PlaceError, RunDir};
pub use pread::PreadWords;
pub use producer::{Declaration, Measured, Producer, SeriesOf};
pub use reader::{Liveness, OpenError, Reader, Wait, liveness, open_untrusted};
pub use save::{Saved, save};
pub use words::{Indexed, Span, Words, WordsMut, heap_words};
pub use writer::{WriteError, Writer, WriterOptions};
