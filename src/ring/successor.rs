//! The ring that is to take another one's place, made ahead of need and on another thread.
//!
//! To create a file with all its blocks and to copy a history takes many times as long as a tick may.
//! So a [`Successor`] is begun while there is room left, and the writer goes on publishing into the
//! old ring. What the successor begins with is the history and the directory of one moment; a record
//! that is overwritten while it is being copied is left out, since the writer is by then a whole turn
//! further. [`Built::catch_up`] brings in what has been published, begun and ended since: that is
//! little, and all that the writer's own thread must do.
//!
//! Until it is put in place nobody knows of the new file. One that is not wanted any more is removed:
//! whoever drops a [`Successor`] waits until its thread has seen that, which it looks for at each
//! record and each entry.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Ring;
use super::file::{Living, RingFile};
use super::layout::{LIVES, header as at};
use super::make::{Built, Entries, Make, Need, Past};
use super::map::WriteMap;
use super::recover;
use super::words::WordsMut as _;
use super::writer::{WriteError, failed};

/// A larger ring that is being made.
#[derive(Debug)]
pub(super) struct Successor {
    thread: Option<JoinHandle<Result<Built, WriteError>>>,
    stop: Arc<AtomicBool>,
    make: Make,
}

impl Successor {
    /// Begins to make one with the history of `ring` up to the record `head` and its first `entries`
    /// entries.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(super) fn begin(
        make: &Make,
        need: Need,
        ring: Ring<WriteMap>,
        entries: usize,
        head: u64,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (own, stopped) = (make.clone(), stop.clone());
        let build = move || {
            let entry = |index| ring.entry(index).ok();
            let entries = Entries { count: entries, entry: &entry };
            let past = Past { ring: &ring, entries };
            own.build(&need, Some(&past), head, &stopped)
        };
        let thread = thread::Builder::new().name("successor".into()).spawn(build)?;
        Ok(Self { thread: Some(thread), stop, make: make.clone() })
    }

    /// Whether it has been made, or cannot be, so that [`Successor::wait`] returns at once.
    pub(super) fn is_ready(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it has been made.
    ///
    /// # Errors
    ///
    /// Those of [`Make::build`]; nothing is then left of the file.
    pub(super) fn wait(mut self) -> Result<Built, WriteError> {
        self.join()
    }

    fn join(&mut self) -> Result<Built, WriteError> {
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_else(|| {
            self.make.remove_unfinished();
            Err(failed(&self.make.unfinished_path(), "finish")(io::Error::other(
                "its thread has ended",
            )))
        })
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop.store(true, Ordering::Relaxed);
            if self.join().is_ok() {
                self.make.remove_unfinished();
            }
        }
    }
}

/// Gives back what a ring that is not written to any more takes. To unmap a large file takes about
/// as long as a tick may, so this is done on a thread of its own, if there is one.
pub(super) fn give_back(old: RingFile) {
    // Where there is none, the closure and what it holds are dropped here.
    let _ = thread::Builder::new().name("successor".into()).spawn(move || drop(old));
}

impl Built {
    /// Brings the new file up to what `old`, from which it was made, holds after the record `head`,
    /// with the series that `old` has no room for. `false` if it has too little room for that; it is
    /// then of no use.
    ///
    /// `old` knows all ends, so that what it says of its entries is the truth.
    pub(super) fn catch_up(&mut self, old: &RingFile, head: u64, width: usize) -> bool {
        self.copy_records(old);
        self.end_ended(old);
        if !self.append_entries(old) {
            return false;
        }
        for column in &old.new {
            let Some(Living { series, first, .. }) = &old.live[*column] else { continue };
            let living = Living { series: series.clone(), first: *first, index: None };
            self.file.settle(*column, living);
        }
        if !self.file.has_room(width) {
            return false;
        }
        self.file.write_entries(head);
        true
    }

    /// Copies the records that were published since the file was begun.
    fn copy_records(&self, old: &RingFile) {
        let (copied, head) = (self.file.began.head, old.ring.head());
        if copied < head {
            let never = AtomicBool::new(false);
            recover::copy_history(&old.ring, &self.file.ring, copied + 1, head, &never);
            let words = self.file.ring.words();
            words.store(at::HEAD, head);
            words.notify().store(head as u32, Ordering::Relaxed);
        }
    }

    /// Ends what lived when the file was begun and has ended since.
    fn end_ended(&mut self, old: &RingFile) {
        for (column, origin) in self.origins.iter().enumerate() {
            let Some(origin) = *origin else { continue };
            if old.entry_of(column) == Some(origin) {
                continue;
            }
            if let Some(ended) = self.file.live[column].take() {
                let last = old.ring.entry_last(origin);
                let last = if last == LIVES { self.file.began.head } else { last };
                self.file.ended.extend(ended.index.map(|index| (index, last)));
            }
        }
    }

    /// Appends the entries that were made since the file was begun.
    fn append_entries(&mut self, old: &RingFile) -> bool {
        for index in self.seen..old.written {
            let Ok(entry) = old.ring.entry(index) else { continue };
            if !entry.covers_any_since(self.file.ring.header().first_seq) {
                continue;
            }
            let column = entry.column;
            if !self.file.has_room_for(&entry.series, column) {
                return false;
            }
            let place = self.file.append(&entry.series, column, entry.first, entry.last);
            if old.entry_of(column) == Some(index) {
                let (series, first) = (entry.series, entry.first);
                self.file.settle(column, Living { series, first, index: Some(place) });
            }
        }
        true
    }
}
