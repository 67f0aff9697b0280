//! The immutable part of a ring's header: untrusted words in, a checked [`Header`] out.

use std::{error, fmt};

use super::layout::{self, Geometry, header as at};
use super::words::{Words, WordsMut};

/// What a ring says of itself once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format version of the writer that made the file.
    pub version: u64,
    /// What is set of the flags that a reader may do without: bits of
    /// [`layout::compatible`](super::layout::compatible). Others are not kept.
    pub compatible_flags: u64,
    /// Where everything lies.
    pub geometry: Geometry,
    /// Random, one per file: two files of one name are told apart by it.
    pub ring_id: [u64; 2],
    /// The kernel's boot id when the file was made; zero when it could not be read.
    pub boot_id: [u64; 2],
    /// Nanoseconds between ticks.
    pub interval_ns: u64,
    /// `CLOCK_REALTIME` when the file was made, in nanoseconds.
    pub created_ns: u64,
    /// The first record that this file can hold; 0 when it says nothing of it.
    pub first_seq: u64,
}

/// Why a file is not a ring that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The first word is not a ring's.
    NotARing,
    /// A ring of a machine with the other byte order.
    ForeignByteOrder,
    /// A newer format whose writer says that this version cannot read it.
    TooNew {
        /// The file's version.
        version: u64,
        /// The lowest version that can read it.
        compatible_version: u64,
    },
    /// The file needs abilities that this version does not have.
    UnknownFlags(
        /// The flags in question.
        u64,
    ),
    /// The header's checksum is wrong.
    Checksum {
        /// What the header says.
        stored: u64,
        /// What its words give.
        computed: u64,
    },
    /// A field holds a value that no ring has.
    Field {
        /// Its name in the format's description.
        name: &'static str,
        /// The value.
        value: u64,
    },
    /// The file is shorter than its header says.
    Truncated {
        /// Bytes that the header names.
        stated: u64,
        /// Bytes that are there.
        found: u64,
    },
}

impl FormatError {
    pub(super) fn check(name: &'static str, value: u64, holds: bool) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Field { name, value }) }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARing => write!(f, "not a ring: the magic is wrong"),
            Self::ForeignByteOrder => write!(f, "a ring of a machine with the other byte order"),
            Self::TooNew { version, compatible_version } => write!(
                f,
                "compatible_version is {compatible_version}: format version {version} needs a reader of \
                 that version or newer; this one reads version {}",
                layout::VERSION
            ),
            Self::UnknownFlags(bits) => {
                write!(f, "incompatible_flags has unknown bits set: {bits:#x}")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "checksum is {stored:#x}, the header's words give {computed:#x}")
            }
            Self::Field { name, value } => write!(f, "{name} cannot be {value}"),
            Self::Truncated { stated, found } => {
                write!(f, "truncated: file_bytes is {stated}, the file has {found}")
            }
        }
    }
}

impl error::Error for FormatError {}

/// Whose series a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingKind {
    /// A recorder's: a lane.
    Lane,
    /// An application's own.
    Application,
}

impl RingKind {
    /// The name that people and APIs see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Application => "application",
        }
    }

    /// The compatible flags of such a ring.
    pub(super) const fn compatible_flags(self) -> u64 {
        match self {
            Self::Lane => 0,
            Self::Application => layout::compatible::APPLICATION,
        }
    }
}

impl fmt::Display for RingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Header {
    /// Whose series the ring has.
    #[must_use]
    pub const fn kind(&self) -> RingKind {
        if self.compatible_flags & layout::compatible::APPLICATION == 0 {
            RingKind::Lane
        } else {
            RingKind::Application
        }
    }

    /// Decodes the header of `words`. Each word is loaded once, so that a hostile writer cannot
    /// change it between check and use.
    ///
    /// # Errors
    ///
    /// [`FormatError`], naming the first thing that is wrong.
    pub fn decode<W: Words + ?Sized>(words: &W) -> Result<Self, FormatError> {
        let mut block = [0; at::CHECKSUM + 1];
        words.copy(0, &mut block);
        if block[at::MAGIC] == layout::MAGIC.swap_bytes()
            || block[at::ENDIAN_TAG] == layout::ENDIAN_TAG.swap_bytes()
        {
            return Err(FormatError::ForeignByteOrder);
        }
        if block[at::MAGIC] != layout::MAGIC {
            return Err(FormatError::NotARing);
        }
        let tag = block[at::ENDIAN_TAG];
        FormatError::check("endian_tag", tag, tag == layout::ENDIAN_TAG)?;
        let version = block[at::VERSION];
        let compatible_version = block[at::COMPATIBLE_VERSION];
        if compatible_version > layout::VERSION {
            return Err(FormatError::TooNew { version, compatible_version });
        }
        let unknown = block[at::INCOMPATIBLE_FLAGS] & !layout::INCOMPATIBLE_FLAGS_KNOWN;
        if unknown != 0 {
            return Err(FormatError::UnknownFlags(unknown));
        }
        let (stored, computed) = (block[at::CHECKSUM], checksum(&block));
        if stored != computed {
            return Err(FormatError::Checksum { stored, computed });
        }
        FormatError::check("version", version, version >= 1 && version >= compatible_version)?;
        let header_bytes = block[at::HEADER_BYTES];
        let header_fits = (512..=1 << 20).contains(&header_bytes);
        FormatError::check("header_bytes", header_bytes, header_fits)?;
        let size =
            |name, value| usize::try_from(value).map_err(|_| FormatError::Field { name, value });
        let geometry = Geometry {
            file_bytes: block[at::FILE_BYTES],
            slot_count: block[at::SLOT_COUNT],
            column_capacity: size("column_capacity", block[at::COLUMN_CAPACITY])?,
            entry_capacity: size("entry_capacity", block[at::ENTRY_CAPACITY])?,
            arena_bytes: block[at::ARENA_BYTES],
            slot_bytes: block[at::SLOT_BYTES],
            entry_bytes: block[at::ENTRY_BYTES],
            directory_offset: block[at::DIRECTORY_OFFSET],
            arena_offset: block[at::ARENA_OFFSET],
            slots_offset: block[at::SLOTS_OFFSET],
        }
        .checked()?;
        let interval_ns = block[at::INTERVAL_NS];
        FormatError::check("interval_ns", interval_ns, interval_ns > 0)?;
        let first_seq = block[at::FIRST_SEQ];
        FormatError::check("first_seq", first_seq, first_seq <= layout::RESUME_MAX)?;
        let (stated, found) = (geometry.file_bytes, words.len() as u64 * layout::WORD);
        if found < stated {
            return Err(FormatError::Truncated { stated, found });
        }
        Ok(Self {
            version,
            compatible_flags: block[at::COMPATIBLE_FLAGS] & layout::compatible::KNOWN,
            geometry,
            ring_id: [block[at::RING_ID], block[at::RING_ID_HIGH]],
            boot_id: [block[at::BOOT_ID], block[at::BOOT_ID_HIGH]],
            interval_ns,
            created_ns: block[at::CREATED_NS],
            first_seq,
        })
    }

    /// Writes the header into a new, zeroed file that nobody else can see yet.
    pub fn encode<W: WordsMut + ?Sized>(&self, words: &W) {
        let mut block = [0; at::CHECKSUM + 1];
        let geometry = &self.geometry;
        for (index, value) in [
            (at::MAGIC, layout::MAGIC),
            (at::ENDIAN_TAG, layout::ENDIAN_TAG),
            (at::VERSION, self.version),
            (at::COMPATIBLE_VERSION, layout::COMPATIBLE_VERSION),
            (at::COMPATIBLE_FLAGS, self.compatible_flags),
            (at::HEADER_BYTES, layout::HEADER_BYTES),
            (at::FILE_BYTES, geometry.file_bytes),
            (at::SLOTS_OFFSET, geometry.slots_offset),
            (at::SLOT_BYTES, geometry.slot_bytes),
            (at::SLOT_COUNT, geometry.slot_count),
            (at::COLUMN_CAPACITY, geometry.column_capacity as u64),
            (at::DIRECTORY_OFFSET, geometry.directory_offset),
            (at::ENTRY_BYTES, geometry.entry_bytes),
            (at::ENTRY_CAPACITY, geometry.entry_capacity as u64),
            (at::ARENA_OFFSET, geometry.arena_offset),
            (at::ARENA_BYTES, geometry.arena_bytes),
            (at::RING_ID, self.ring_id[0]),
            (at::RING_ID_HIGH, self.ring_id[1]),
            (at::BOOT_ID, self.boot_id[0]),
            (at::BOOT_ID_HIGH, self.boot_id[1]),
            (at::INTERVAL_NS, self.interval_ns),
            (at::CREATED_NS, self.created_ns),
            (at::FIRST_SEQ, self.first_seq),
        ] {
            block[index] = value;
        }
        block[at::CHECKSUM] = checksum(&block);
        words.store_all(0, &block);
    }
}

/// CRC-32 (ISO-HDLC, as in zlib) over the bytes of all words before the checksum.
fn checksum(block: &[u64; at::CHECKSUM + 1]) -> u64 {
    u64::from(crc32fast::hash(bytemuck::cast_slice(&block[..at::CHECKSUM])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::heap_words;
    use crate::ring::layout::Sizes;

    fn header() -> Header {
        let sizes =
            Sizes { slot_count: 4, column_capacity: 8, entry_capacity: 8, arena_bytes: 1024 };
        Header {
            version: layout::VERSION,
            compatible_flags: 0,
            geometry: Geometry::of(sizes).expect("sound sizes"),
            ring_id: [1, 2],
            boot_id: [3, 4],
            interval_ns: 1_000_000_000,
            created_ns: 5,
            first_seq: 0,
        }
    }

    /// A ring's words with one header word changed, and the checksum made right again.
    fn with_word(index: usize, value: u64) -> Result<Header, FormatError> {
        let words = heap_words(header().geometry.file_words());
        header().encode(&words);
        words.store(index, value);
        let mut block = [0; at::CHECKSUM + 1];
        words.copy(0, &mut block);
        words.store(at::CHECKSUM, checksum(&block));
        Header::decode(&words)
    }

    #[test]
    fn header_goes_there_and_back() {
        let words = heap_words(header().geometry.file_words());
        header().encode(&words);
        assert_eq!(Header::decode(&words), Ok(header()));
        assert_eq!(
            with_word(at::COMPATIBLE_FLAGS, !layout::compatible::KNOWN),
            Ok(header()),
            "unknown compatible flags are ignored"
        );
        assert_eq!(header().kind(), RingKind::Lane);
        let application = with_word(at::COMPATIBLE_FLAGS, u64::MAX).expect("a known one as well");
        assert_eq!(application.compatible_flags, layout::compatible::APPLICATION);
        assert_eq!(application.kind(), RingKind::Application);
        application.encode(&words);
        assert_eq!(Header::decode(&words), Ok(application));
        let newer = with_word(at::VERSION, 9).expect("version 9 that version 1 can read");
        assert_eq!(newer.version, 9);
    }

    #[test]
    fn each_damaged_field_is_named() {
        use FormatError as E;
        let field = |name, value| E::Field { name, value };
        let table = [
            (at::MAGIC, 7, E::NotARing),
            (at::MAGIC, layout::MAGIC.swap_bytes(), E::ForeignByteOrder),
            (at::ENDIAN_TAG, layout::ENDIAN_TAG.swap_bytes(), E::ForeignByteOrder),
            (at::ENDIAN_TAG, 3, field("endian_tag", 3)),
            (at::VERSION, 0, field("version", 0)),
            (at::COMPATIBLE_VERSION, 2, E::TooNew { version: 1, compatible_version: 2 }),
            (at::INCOMPATIBLE_FLAGS, 4, E::UnknownFlags(4)),
            (at::HEADER_BYTES, 8, field("header_bytes", 8)),
            (at::FILE_BYTES, u64::MAX, field("file_bytes", u64::MAX)),
            (at::FILE_BYTES, 64, field("directory_offset", 4096)),
            (at::FILE_BYTES, 1 << 30, E::Truncated { stated: 1 << 30, found: 12288 }),
            (at::SLOTS_OFFSET, 0, field("slots_offset", 0)),
            (at::SLOTS_OFFSET, u64::MAX - 63, field("slots_offset", u64::MAX - 63)),
            (at::SLOTS_OFFSET, 8192 + 8, field("slots_offset", 8192 + 8)),
            (at::SLOT_BYTES, 64, field("slot_bytes", 64)),
            (at::SLOT_BYTES, 130, field("slot_bytes", 130)),
            (at::SLOT_COUNT, 3, field("slot_count", 3)),
            (at::SLOT_COUNT, 1 << 60, field("slot_count", 1 << 60)),
            (at::COLUMN_CAPACITY, 0, field("column_capacity", 0)),
            (at::COLUMN_CAPACITY, u64::MAX, field("column_capacity", u64::MAX)),
            (at::DIRECTORY_OFFSET, 0, field("directory_offset", 0)),
            (at::DIRECTORY_OFFSET, 4097, field("directory_offset", 4097)),
            (at::ENTRY_BYTES, 8, field("entry_bytes", 8)),
            (at::ENTRY_CAPACITY, 0, field("entry_capacity", 0)),
            (at::ENTRY_CAPACITY, 1 << 40, field("entry_capacity", 1 << 40)),
            (at::ARENA_OFFSET, 4096, field("arena_offset", 4096)),
            (at::ARENA_BYTES, 12, field("arena_bytes", 12)),
            (at::INTERVAL_NS, 0, field("interval_ns", 0)),
        ];
        for (index, value, expected) in table {
            assert_eq!(with_word(index, value), Err(expected), "word {index} = {value}");
        }
    }

    #[test]
    fn any_flipped_bit_of_the_immutable_part_is_found() {
        let words = heap_words(header().geometry.file_words());
        for index in 0..=at::CHECKSUM {
            for bit in 0..64 {
                header().encode(&words);
                words.store(index, words.load(index) ^ 1 << bit);
                assert!(Header::decode(&words).is_err(), "word {index} bit {bit}");
            }
        }
    }

    #[test]
    fn short_and_empty_files_are_refused() {
        let words = heap_words(header().geometry.file_words());
        header().encode(&words);
        for len in 0..words.len() {
            assert!(Header::decode(&words[..len]).is_err(), "{len} words");
        }
    }
}
