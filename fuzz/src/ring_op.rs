//! One thing that happens to a ring: of a writer, a recorder, or whoever damages its file.
//!
//! Each takes as many bytes of an input as any other, so that one can be left out, repeated or moved
//! without another becoming a different one.

/// What happens to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Publishes this many records; the wall clock is set back before the first.
    Publish(u8, bool),
    /// Adds this many series.
    Add(u8),
    /// Ends one of the living series.
    End(u16),
    /// Ends one, and at once another one takes its column.
    Replace(u16),
    /// Ends one, and at once another one has its names.
    Again(u16),
    /// Adds so many series that they have no room.
    RollOver,
    /// The writer dies between two operations.
    Kill,
    /// The writer closes in order.
    Close,
    /// The writer dies, and another one goes on.
    Start,
    /// The writer is started again with another depth, interval and width.
    Resize(u8, bool, u8),
    /// The writer dies after so many stores of publishing a record.
    CrashInPublish(u16),
    /// The writer dies after so many stores of telling the directory that one series has ended and
    /// others have begun.
    CrashInSync(u16, u8, u16),
    /// The writer dies, and so does the next one after so many stores of going on in its ring.
    CrashInStart(u16),
    /// The writer dies while it replaces the ring: before the rename, or before it tells anybody.
    CrashInReplacement(bool),
    /// The writer is dead, and a bit of the file is another.
    Flip(Part, u16, u16),
    /// The writer is dead, and so many 65536ths of the file are left; the rest may be grown again.
    Truncate(u16, bool),
}

/// Where a bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the format's description")]
pub enum Part {
    Immutable,
    Published,
    Lifecycle,
    Entry,
    Arena,
    State,
    Header,
    Payload,
    Anywhere,
}

impl Part {
    /// Every part, in the order of the codes.
    pub const ALL: [Self; 9] = [
        Self::Immutable,
        Self::Published,
        Self::Lifecycle,
        Self::Entry,
        Self::Arena,
        Self::State,
        Self::Header,
        Self::Payload,
        Self::Anywhere,
    ];
}

impl Op {
    /// The bytes that one operation takes.
    pub const BYTES: usize = 6;

    /// The operation that these bytes mean.
    pub fn of(bytes: [u8; Self::BYTES]) -> Self {
        let [code, a, b, c, d, e] = bytes;
        let (long, other) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        match code % 32 {
            0..8 => Self::Publish(a % 12 + 1, b >= 192),
            8..10 => Self::Add(a % 5 + 1),
            10 => Self::Add(a % 40 + 1),
            11 => Self::End(long),
            12 | 13 => Self::Replace(long),
            14 => Self::Again(long),
            15 => Self::RollOver,
            16 => Self::Kill,
            17 => Self::Close,
            18 => Self::Start,
            19 => Self::CrashInStart(long),
            20 | 21 => Self::Resize(a % 5 + 1, b % 2 == 1, c % 50),
            22..24 => Self::CrashInPublish(long),
            24..26 => Self::CrashInSync(long, e % 5, other),
            26 => Self::CrashInReplacement(a % 2 == 1),
            27..31 => Self::Flip(Part::ALL[usize::from(e) % Part::ALL.len()], long, other),
            _ => Self::Truncate(long, c % 2 == 1),
        }
    }
}

impl Op {
    /// The bytes that mean this operation.
    pub fn bytes(self) -> [u8; Self::BYTES] {
        let two = |code, long: u16, other: u16, last| {
            let ([a, b], [c, d]) = (long.to_le_bytes(), other.to_le_bytes());
            [code, a, b, c, d, last]
        };
        let one = |code, a: u8| [code, a, 0, 0, 0, 0];
        match self {
            Self::Publish(count, back) => [0, count - 1, if back { 192 } else { 0 }, 0, 0, 0],
            Self::Add(count @ 1..=5) => one(8, count - 1),
            Self::Add(count) => one(10, count - 1),
            Self::End(which) => two(11, which, 0, 0),
            Self::Replace(which) => two(12, which, 0, 0),
            Self::Again(which) => two(14, which, 0, 0),
            Self::RollOver => one(15, 0),
            Self::Kill => one(16, 0),
            Self::Close => one(17, 0),
            Self::Start => one(18, 0),
            Self::Resize(bits, half, width) => [20, bits - 1, half.into(), width, 0, 0],
            Self::CrashInPublish(stores) => two(22, stores, 0, 0),
            Self::CrashInSync(which, count, stores) => two(24, which, stores, count),
            Self::CrashInStart(stores) => two(19, stores, 0, 0),
            Self::CrashInReplacement(renamed) => one(26, renamed.into()),
            Self::Flip(part, place, bit) => {
                let part = Part::ALL.iter().position(|other| *other == part);
                two(27, place, bit, part.unwrap_or(0) as u8)
            }
            Self::Truncate(share, grown) => two(31, share, grown.into(), 0),
        }
    }
}
