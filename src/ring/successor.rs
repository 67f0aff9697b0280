//! The ring that is to take another one's place.
//!
//! It begins with the history and the directory that its predecessor had at some moment. Before it is
//! put in place it is brought up to date with what has been published, begun and ended since: that is
//! little, and all that must be done on the writer's own thread.

use std::sync::atomic::{AtomicBool, Ordering};

use super::file::{Living, RingFile};
use super::layout::{LIVES, header as at};
use super::make::Built;
use super::recover;
use super::words::WordsMut as _;

impl Built {
    /// Brings the new file up to what `old`, from which it was made, holds after the record `head`,
    /// with the series that `old` has no room for. `false` if it has too little room for that; it is
    /// then of no use.
    ///
    /// `old` knows all ends, so that what it says of its entries is the truth.
    pub(super) fn catch_up(&mut self, old: &RingFile, head: u64, width: usize) -> bool {
        self.copy_records(old, head);
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
    fn copy_records(&self, old: &RingFile, head: u64) {
        let copied = self.file.began.head;
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
            let Some(entry) = old.ring.entry(index) else { continue };
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
