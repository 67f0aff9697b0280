//! Records a Linux host's vitals into a ring in shared memory that any process can read.
//!
//! A recorder writes one fixed-size record per tick, many times a second and without allocating.
//! Readers map the ring read-only: they read the newest record in nanoseconds, sleep until the next
//! one, and ask for any window of what the ring still holds, without locks, without copies, and
//! without costing the writer anything.
//!
//! An autoscaler, say, sleeps until there is a new record and looks at its load:
//!
//! ```
//! use std::time::Duration;
//! use tachograph::ring::{Reader, RunDir, Wait};
//!
//! # use tachograph::{Record, Schema, WriterOptions, ring::Opening};
//! # let path = std::path::PathBuf::from(format!("/dev/shm/tachograph-doc-scaler-{}", std::process::id()));
//! # let made = RunDir::for_writing(Some(&path))?;
//! # let mut schema = Schema::new();
//! # let column = schema.add("host", "load1")?;
//! # let options = WriterOptions::every(Duration::from_secs(1));
//! # let (mut writer, _) = Opening::of(&made, "host")?.start(&options, &mut schema)?;
//! # let mut record = Record::new(schema.width());
//! # let mut loads = [7.5, 9.0, 6.0, 2.0, f64::NAN, 1.0].into_iter();
//! # let wanted = Some(&*path);
//! // The usual places, or with `Some` the one that is named.
//! let dir = RunDir::holding("host", wanted)?;
//! let mut reader = Reader::open(&dir.ring("host"))?;
//! let (mut seen, mut workers) = (0, 4);
//! 'scaling: loop {
//!     // Columns are found once per ring and read many times.
//!     let load = reader.ring().find("host", "load1").ok_or("no such series")?;
//! #   record.set_f64(column, loads.next().unwrap_or(f64::NAN));
//! #   writer.publish(&mut record);
//!     while let Wait::Published(head) = reader.wait(seen, Duration::from_secs(5)) {
//!         seen = head;
//!         // The closure runs on the record in place; what it returns is given back only if the
//!         // record was still the same afterwards.
//!         match reader.ring().latest(|record| record.f64(&load)).flatten() {
//!             Some(load) if load > 6.0 => workers += 1,
//!             Some(load) if load < 3.0 => workers -= 1,
//!             // Neither much nor little, or not measured.
//!             _ => {}
//!         }
//! #       let Some(load) = loads.next() else { break 'scaling };
//! #       record.set_f64(column, load);
//! #       writer.publish(&mut record);
//!     }
//!     // The recorder is gone, or a larger ring has taken this one's place.
//!     reader.refresh()?;
//! }
//! // After the loads 7.5, 9, 6, 2, one that was not measured, and 1.
//! assert_eq!((seen, workers), (6, 4));
//! # std::fs::remove_dir_all(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ring`] shows how to see every record once, [`window`] how to sum up the last seconds.
//!
//! An application publishes series of its own in the same way, for the same readers, with a
//! [`Producer`]; the front end serves them beside those of the host:
//!
//! ```
//! use std::time::Duration;
//! use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};
//!
//! # let path = std::path::PathBuf::from(format!("/dev/shm/tachograph-doc-root-{}", std::process::id()));
//! # let wanted = Some(&*path);
//! let mut shop = Producer::declare(&RunDir::for_writing(wanted)?, "shop")?;
//! let waiting = shop.add::<u64>("queue/orders", "waiting", Kind::Gauge, Unit::Count)?;
//! let mut shop = shop.start(&WriterOptions::every(Duration::from_secs(1)))?;
//! shop.set(&waiting, 3);
//! assert_eq!(shop.publish(), 1);
//! # std::fs::remove_dir_all(&path)?;
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
//! - **producer**: an application that publishes series of its own, in a ring of its own beside the
//!   lanes.
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
//! - `rights`: who may read what.
//! - `http`: the front end, on hyper and tokio.
//! - `daemon` (default): the program.

#[cfg(feature = "encode")]
pub mod encode;
#[cfg(feature = "http")]
pub mod http;
pub mod record;
#[cfg(feature = "rights")]
pub mod rights;
pub mod ring;
pub mod sample;
pub mod window;

pub use record::{Kind, Record, Schema, Unit};
pub use ring::{Producer, Reader, RunDir, SeriesOf, Writer, WriterOptions};
