#![doc = include_str!("format.md")]

mod audit;
mod clock;
mod decoder;
mod directory;
mod file;
mod header;
pub mod layout;
mod lock;
mod make;
mod map;
mod opening;
mod place;
mod pread;
mod reader;
mod recover;
mod save;
mod slot;
mod successor;
mod sync;
mod words;
mod writer;

pub use audit::{Audit, audit};
pub use clock::{boottime_ns, realtime_ns};
pub use decoder::{Column, ReadError, RecordView, Ring, Value};
pub use directory::{Directory, DirectoryCursor, DirectoryNews, Entry, METRIC_BYTES_MAX};
pub use header::{FormatError, Header};
pub use layout::{Geometry, Sizes};
pub use map::ReadMap;
pub use opening::{Before, Opening};
pub use place::{PlaceError, RunDir};
pub use pread::PreadWords;
pub use reader::{Liveness, OpenError, Reader, Wait, liveness, open_untrusted};
pub use save::{Saved, save};
pub use words::{Indexed, Span, Words, WordsMut, heap_words};
pub use writer::{WriteError, Writer, WriterOptions};
