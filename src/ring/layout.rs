//! The arithmetic of the format: where everything lies. `format.md` says the same in words, and a
//! test holds the two together.

use core::mem::offset_of;

use super::FormatError;
use crate::record::{COLUMNS_MAX, RecordHeader};

/// Bytes of a word.
pub const WORD: u64 = 8;

/// First word of every ring. Not text, not valid UTF-8, and damaged by newline conversion.
pub const MAGIC: u64 = u64::from_le_bytes(*b"\x89TACHO\r\n");
/// Second word, to tell a ring of the other byte order from something else.
pub const ENDIAN_TAG: u64 = 0x0102_0304_0506_0708;
/// Version that this code writes.
pub const VERSION: u64 = 1;
/// Lowest version whose readers can read what this code writes.
pub const COMPATIBLE_VERSION: u64 = 1;
/// Incompatible flags that this code understands: none yet.
pub const INCOMPATIBLE_FLAGS_KNOWN: u64 = 0;

macro_rules! fields {
    ($table:ident from $start:expr; $($name:ident $text:literal,)+) => {
        fields!(@number $start; $($name,)+);
        /// Name and word index of each field of this block, in order.
        pub const $table: &[(&str, usize)] = &[$(($text, $name),)+];
    };
    (@number $at:expr; $name:ident, $($rest:ident,)*) => {
        #[allow(missing_docs, reason = "format.md has one line for each")]
        pub const $name: usize = $at;
        fields!(@number $name + 1; $($rest,)*);
    };
    (@number $at:expr;) => {};
}

/// Word indices of the header.
pub mod header {
    fields! { IMMUTABLE from 0;
        MAGIC "magic",
        ENDIAN_TAG "endian_tag",
        VERSION "version",
        COMPATIBLE_VERSION "compatible_version",
        INCOMPATIBLE_FLAGS "incompatible_flags",
        COMPATIBLE_FLAGS "compatible_flags",
        HEADER_BYTES "header_bytes",
        FILE_BYTES "file_bytes",
        SLOTS_OFFSET "slots_offset",
        SLOT_BYTES "slot_bytes",
        SLOT_COUNT "slot_count",
        COLUMN_CAPACITY "column_capacity",
        DIRECTORY_OFFSET "directory_offset",
        ENTRY_BYTES "entry_bytes",
        ENTRY_CAPACITY "entry_capacity",
        ARENA_OFFSET "arena_offset",
        ARENA_BYTES "arena_bytes",
        RING_ID "ring_id",
        RING_ID_HIGH "ring_id_high",
        BOOT_ID "boot_id",
        BOOT_ID_HIGH "boot_id_high",
        INTERVAL_NS "interval_ns",
        CREATED_NS "created_ns",
        FIRST_SEQ "first_seq",
    }
    /// Word of the checksum over all words before it.
    pub const CHECKSUM: usize = 31;

    fields! { PUBLISHED from 32;
        HEAD "head",
        HEARTBEAT_NS "heartbeat_ns",
        NOTIFY "notify",
    }

    fields! { LIFECYCLE from 48;
        STATE "state",
        EPOCH "epoch",
        PID "pid",
        PID_START "pid_start",
        ENTRY_COUNT "entry_count",
        ARENA_USED "arena_used",
        DIRECTORY_CHANGES "directory_changes",
    }
}

/// Bits of `compatible_flags`.
pub mod compatible {
    /// The ring is an application's own; otherwise it is a recorder's lane.
    pub const APPLICATION: u64 = 1;
    /// Those that this code understands. Others are not taken over into files that it makes.
    pub(in crate::ring) const KNOWN: u64 = APPLICATION;
}

/// Word indices of a directory entry.
pub mod entry {
    fields! { FIELDS from 0;
        OBJECT "object",
        METRIC "metric",
        MEANING "meaning",
        COLUMN "column",
        FIRST "first",
        LAST "last",
    }
}

/// Word indices of a record in its slot, which the words of the columns follow.
pub mod record {
    fields! { FIELDS from 0;
        SEQ "seq",
        REALTIME_NS "realtime_ns",
        BOOTTIME_NS "boottime_ns",
        EPOCH_AND_FLAGS "epoch_and_flags",
        COLUMNS "columns",
        TICK_DURATION_NS "tick_duration_ns",
        RUN_FIRST "run_first",
        MISSED_TICKS "missed_ticks",
    }
}

/// Bytes of the header, one page.
pub const HEADER_BYTES: u64 = 4096;
/// Bytes of a directory entry.
pub const ENTRY_BYTES: u64 = 64;
/// Alignment of slots, one cache line.
pub const SLOT_ALIGN: u64 = 64;
/// Alignment of the slot region and of the file's size.
pub const PAGE: u64 = 4096;

/// Fewest slots.
pub const SLOTS_MIN: u64 = 2;
/// Most slots: an hour at 1 ms and some.
pub const SLOTS_MAX: u64 = 1 << 24;
/// Most directory entries.
pub const ENTRIES_MAX: u64 = 1 << 20;
/// Most bytes of names.
pub const ARENA_BYTES_MAX: u64 = 1 << 28;
/// Largest file that a reader accepts: 1 TiB.
pub const FILE_BYTES_MAX: u64 = 1 << 40;

/// Highest sequence: twice it fits in a word.
pub const SEQUENCE_MAX: u64 = u64::MAX / 2;
/// Highest sequence that a writer takes for one: far beyond what any ring reaches, and as far from
/// [`SEQUENCE_MAX`]. Higher ones in a slot are damage. A ring that is half as far is not gone on with,
/// so that none ever comes near.
pub const RESUME_MAX: u64 = 1 << 62;

/// `last` of a series that still lives.
pub const LIVES: u64 = u64::MAX;

/// Values of the header's `state`.
pub mod state {
    /// A writer has it, or had it and died.
    pub const RUNNING: u64 = 1;
    /// The writer has ended in order.
    pub const CLOSED: u64 = 2;
    /// Another file has taken its place under the same name.
    pub const RETIRED: u64 = 3;
}

// The blocks do not overlap, what the writer stores at each publish has a pair of cache lines to
// itself, and every size is a whole number of words.
const _: () = {
    assert!(header::FIRST_SEQ < header::CHECKSUM);
    assert!(header::CHECKSUM + 1 == header::HEAD);
    assert!(header::HEAD as u64 * WORD == 256);
    assert!(header::NOTIFY < header::STATE);
    assert!(header::STATE as u64 * WORD == 256 + 128);
    assert!((header::DIRECTORY_CHANGES as u64 + 1) * WORD <= 512);
    assert!(512 <= HEADER_BYTES && HEADER_BYTES.is_multiple_of(PAGE));
    assert!((entry::LAST as u64 + 1) * WORD <= ENTRY_BYTES);
    assert!(ENTRY_BYTES.is_multiple_of(WORD) && SLOT_ALIGN.is_multiple_of(WORD));
    assert!(RecordHeader::WORDS as u64 * WORD == SLOT_ALIGN);
    assert!(record::SEQ * 8 == offset_of!(RecordHeader, seq));
    assert!(record::REALTIME_NS * 8 == offset_of!(RecordHeader, realtime_ns));
    assert!(record::BOOTTIME_NS * 8 == offset_of!(RecordHeader, boottime_ns));
    assert!(record::EPOCH_AND_FLAGS * 8 == offset_of!(RecordHeader, epoch_and_flags));
    assert!(record::COLUMNS * 8 == offset_of!(RecordHeader, columns));
    assert!(record::TICK_DURATION_NS * 8 == offset_of!(RecordHeader, tick_duration_ns));
    assert!(record::RUN_FIRST * 8 == offset_of!(RecordHeader, run_first));
    assert!(record::MISSED_TICKS * 8 == offset_of!(RecordHeader, missed_ticks));
    assert!(record::FIELDS.len() == RecordHeader::WORDS);
    assert!(COLUMNS_MAX as u64 * WORD + SLOT_ALIGN == 1 << 20);
    assert!(SLOTS_MIN.is_power_of_two() && SLOTS_MAX.is_power_of_two());
};

/// The sizes that a new ring is made with; all else follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots; a power of two.
    pub slot_count: u64,
    /// Columns that a record can have.
    pub column_capacity: u64,
    /// Directory entries.
    pub entry_capacity: u64,
    /// Bytes for the names.
    pub arena_bytes: u64,
}

/// Where the regions of a ring lie, in bytes and in words; every product and sum has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Slots; a power of two.
    pub slot_count: u64,
    /// Columns that a record can have.
    pub column_capacity: usize,
    /// Directory entries.
    pub entry_capacity: usize,
    /// Bytes for the names.
    pub arena_bytes: u64,
    /// Bytes from one slot to the next.
    pub slot_bytes: u64,
    /// Bytes from one entry to the next.
    pub entry_bytes: u64,
    /// Byte offset of the directory.
    pub directory_offset: u64,
    /// Byte offset of the names.
    pub arena_offset: u64,
    /// Byte offset of the first slot.
    pub slots_offset: u64,
}

impl Geometry {
    /// The geometry of a new ring.
    ///
    /// # Errors
    ///
    /// [`FormatError::Field`] naming the size that is out of bounds.
    pub fn of(sizes: Sizes) -> Result<Self, FormatError> {
        let Sizes { slot_count, column_capacity, entry_capacity, arena_bytes } = sizes;
        // Bounded first, so that nothing below can overflow.
        let bounded = |name, value, max| FormatError::check(name, value, value <= max);
        bounded("slot_count", slot_count, SLOTS_MAX)?;
        bounded("column_capacity", column_capacity, COLUMNS_MAX as u64)?;
        bounded("entry_capacity", entry_capacity, ENTRIES_MAX)?;
        bounded("arena_bytes", arena_bytes, ARENA_BYTES_MAX)?;
        let slot_bytes =
            ((RecordHeader::WORDS as u64 + column_capacity) * WORD).next_multiple_of(SLOT_ALIGN);
        let directory_offset = HEADER_BYTES;
        let arena_offset = directory_offset + entry_capacity * ENTRY_BYTES;
        let slots_offset = (arena_offset + arena_bytes).next_multiple_of(PAGE);
        let file_bytes = (slots_offset + slot_count * slot_bytes).next_multiple_of(PAGE);
        Self {
            file_bytes,
            slot_count,
            column_capacity: column_capacity as usize,
            entry_capacity: entry_capacity as usize,
            arena_bytes,
            slot_bytes,
            entry_bytes: ENTRY_BYTES,
            directory_offset,
            arena_offset,
            slots_offset,
        }
        .checked()
    }

    /// Checks every size and that the regions follow one another inside the file. A newer version
    /// may put more between them, so offsets need not be the ones that [`Geometry::of`] gives.
    pub(super) fn checked(self) -> Result<Self, FormatError> {
        let check = FormatError::check;
        let aligned = |name, value: u64, to: u64| check(name, value, value.is_multiple_of(to));
        let slots = self.slot_count;
        check(
            "slot_count",
            slots,
            (SLOTS_MIN..=SLOTS_MAX).contains(&slots) && slots.is_power_of_two(),
        )?;
        let columns = self.column_capacity as u64;
        check("column_capacity", columns, (1..=COLUMNS_MAX as u64).contains(&columns))?;
        let entries = self.entry_capacity as u64;
        check("entry_capacity", entries, (1..=ENTRIES_MAX).contains(&entries))?;
        check(
            "arena_bytes",
            self.arena_bytes,
            (WORD..=ARENA_BYTES_MAX).contains(&self.arena_bytes),
        )?;
        aligned("arena_bytes", self.arena_bytes, WORD)?;
        let record_bytes = (RecordHeader::WORDS as u64 + columns) * WORD;
        check("slot_bytes", self.slot_bytes, (record_bytes..=2 << 20).contains(&self.slot_bytes))?;
        aligned("slot_bytes", self.slot_bytes, SLOT_ALIGN)?;
        check("entry_bytes", self.entry_bytes, (ENTRY_BYTES..=4096).contains(&self.entry_bytes))?;
        aligned("entry_bytes", self.entry_bytes, WORD)?;
        check("file_bytes", self.file_bytes, self.file_bytes <= FILE_BYTES_MAX)?;
        // Each offset is at most the file's size, itself bounded, before anything is added to it.
        let within = |name, from: u64, least: u64, bytes: u64| {
            let end = (from <= self.file_bytes).then(|| from + bytes);
            check(name, from, from >= least && end.is_some_and(|end| end <= self.file_bytes))?;
            Ok(from + bytes)
        };
        aligned("directory_offset", self.directory_offset, WORD)?;
        aligned("arena_offset", self.arena_offset, WORD)?;
        aligned("slots_offset", self.slots_offset, SLOT_ALIGN)?;
        let end =
            within("directory_offset", self.directory_offset, 512, entries * self.entry_bytes)?;
        let end = within("arena_offset", self.arena_offset, end, self.arena_bytes)?;
        within("slots_offset", self.slots_offset, end, slots * self.slot_bytes)?;
        Ok(self)
    }

    /// Words of the whole file.
    #[must_use]
    pub fn file_words(&self) -> usize {
        (self.file_bytes / WORD) as usize
    }

    /// First word of the slot in which the record `seq` lies.
    #[inline]
    #[must_use]
    pub fn slot_word(&self, seq: u64) -> usize {
        let slot_index = seq & (self.slot_count - 1);
        (self.slots_offset / WORD + slot_index * (self.slot_bytes / WORD)) as usize
    }

    /// First word of the directory entry `index`.
    #[inline]
    #[must_use]
    pub fn entry_word(&self, index: usize) -> usize {
        (self.directory_offset / WORD + index as u64 * (self.entry_bytes / WORD)) as usize
    }

    /// First word of the names.
    #[inline]
    #[must_use]
    pub fn arena_word(&self) -> usize {
        (self.arena_offset / WORD) as usize
    }

    /// Lowest sequence that a ring with this head can still hold.
    #[inline]
    #[must_use]
    pub fn oldest(&self, head: u64) -> u64 {
        head.saturating_sub(self.slot_count - 1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes =
        Sizes { slot_count: 4096, column_capacity: 400, entry_capacity: 1000, arena_bytes: 32768 };

    #[test]
    fn sizes_give_the_offsets_that_the_format_page_shows() {
        let geometry = Geometry::of(SIZES).expect("sound sizes");
        assert_eq!(geometry.slot_bytes, 3264);
        assert_eq!(geometry.directory_offset, 4096);
        assert_eq!(geometry.arena_offset, 68096);
        assert_eq!(geometry.slots_offset, 102_400);
        assert_eq!(geometry.file_bytes, 13_471_744);
        assert_eq!(geometry.slot_word(1), 102_400 / 8 + 408);
        assert_eq!(geometry.slot_word(4096), 102_400 / 8);
        assert_eq!((geometry.oldest(5), geometry.oldest(4096), geometry.oldest(5000)), (1, 1, 905));
    }

    #[test]
    fn sizes_out_of_bounds_are_named() {
        let wrong: [(&str, Sizes); 6] = [
            ("slot_count", Sizes { slot_count: 100, ..SIZES }),
            ("slot_count", Sizes { slot_count: u64::MAX, ..SIZES }),
            ("column_capacity", Sizes { column_capacity: COLUMNS_MAX as u64 + 1, ..SIZES }),
            ("entry_capacity", Sizes { entry_capacity: 0, ..SIZES }),
            ("arena_bytes", Sizes { arena_bytes: 4, ..SIZES }),
            ("arena_bytes", Sizes { arena_bytes: u64::MAX, ..SIZES }),
        ];
        for (name, sizes) in wrong {
            let error = Geometry::of(sizes).expect_err(name);
            assert!(
                matches!(error, FormatError::Field { name: found, .. } if found == name),
                "{error}"
            );
        }
    }
}
