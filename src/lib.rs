//! Records a Linux host's vitals into a ring in shared memory that any process can read.
//!
//! A recorder writes one fixed-size record per tick, many times a second and without allocating.
//! Readers map the ring read-only: they read the newest record in nanoseconds, sleep until the next
//! one, and ask for any window of what the ring still holds, without locks, without copies, and
//! without costing the writer anything.
//!
//! ```no_run
//! use std::time::Duration;
//! use tachograph::ring::{Reader, RunDir, Wait};
//!
//! let dir = RunDir::holding("host", None)?;
//! let mut reader = Reader::open(&dir.ring("host"))?;
//! let mut seen = 0;
//! loop {
//!     // Columns are found once per ring and read many times.
//!     let load = reader.ring().find("host", "load1").ok_or("no such series")?;
//!     while let Wait::Published(head) = reader.wait(seen, Duration::from_secs(5)) {
//!         // The closure runs on the record in place; what it returns is given back only if the
//!         // record was still the same afterwards.
//!         let load = reader.ring().latest(|record| record.f64(&load)).flatten();
//!         println!("record {head}: load {load:?}");
//!         seen = head;
//!     }
//!     // The recorder is gone, or a larger ring has taken this one's place.
//!     reader.refresh()?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of the data
//!
//! ```text
//! sample  ->  record  ->  ring  ->  window  ->  encode  ->  http
//! (/proc)     (words)     (mmap)    (select,    (bytes)     (doors)
//!                                   derive)
//! ```
//!
//! A module uses only what lies to its left; [`record`] is the vocabulary and imports nothing, and
//! only the program imports [`sample`].
//!
//! # Words
//!
//! Each means one thing, here and everywhere:
//!
//! - **source**: one kernel file or system call that is read each tick.
//! - **tick**: the moment at which all due sources are read, at multiples of the interval on the wall
//!   clock.
//! - **object**: what a value is about, named by a path: `host`, `cpu/0`, `nic/eth0`, `disk/vda`.
//! - **metric**: the name of a quantity, declared once in the [`record::CATALOG`].
//! - **series**: one metric of one object. It owns a **column** from a first to a last sequence.
//! - **record**: what one tick wrote: a header and one 8-byte word per column.
//! - **sequence**: number of a record in its ring: 1, 2, 3, ...; never used again.
//! - **slot**: the place in the ring where a record lies; **ring**: the file; **lane**: a ring with
//!   its own interval and sources.
//! - **epoch**: the time in which one writer runs; **run**: records between two settings-back of the
//!   wall clock.
//! - **window**: the records between two bounds, with every gap and overrun reported.
//! - **generation**: the record that stands for one step of a grid.
//! - **view**: a vocabulary computed from the ring when it is read, such as that of Proxmox Backup
//!   Server.
//!
//! # Features
//!
//! Features add modules and never change what an existing call does. Without any, there are
//! [`record`], [`sample`], [`ring`] and [`window`], and no async runtime.
//!
//! - `encode`: the encoders.
//! - `http`: the front end, on hyper and tokio.
//! - `daemon` (default): the program.

#[cfg(feature = "encode")]
pub mod encode;
#[cfg(feature = "http")]
pub mod http;
pub mod record;
pub mod ring;
pub mod sample;
pub mod window;

pub use record::{Kind, Record, Schema, Unit};
pub use ring::{Producer, Reader, RunDir, SeriesOf, Writer, WriterOptions};
