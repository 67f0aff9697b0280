//! What is wrong in a ring, by the field that holds it.

use std::{error, fmt};

/// Fields whose word has several parts, told apart in hexadecimal.
const PACKED: [&str; 5] = ["object", "metric", "meaning", "epoch_and_flags", "word"];
/// Numbers above this are shown in hexadecimal: no count and no clock of ours comes as far.
const DECIMAL_MAX: u64 = 1 << 62;

/// Where in a ring a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// In the part of the header that changes.
    Header,
    /// In a directory entry.
    Entry(
        /// Its number, from 0.
        usize,
    ),
    /// In a slot, whatever record it has.
    Slot(
        /// Its number, from 0.
        u64,
    ),
    /// In the header of a record.
    Record(
        /// The record's sequence.
        u64,
    ),
    /// Among the words of a record.
    Column {
        /// The record's sequence.
        seq: u64,
        /// The column.
        column: usize,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Entry(index) => write!(f, "entry {index}"),
            Self::Slot(index) => write!(f, "slot {index}"),
            Self::Record(seq) => write!(f, "record {seq}"),
            Self::Column { seq, column } => write!(f, "record {seq}, column {column}"),
        }
    }
}

/// A field that holds what no writer puts there.
///
/// Nothing is formatted until it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the field lies.
    pub part: Part,
    /// Its name in the format's description.
    pub field: &'static str,
    /// What it holds.
    pub value: u64,
    /// Why no writer puts that there.
    pub reason: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, field, value, reason } = self;
        write!(f, "{part}: {field} is ")?;
        if *value > DECIMAL_MAX || PACKED.contains(field) {
            write!(f, "{value:#x}, {reason}")
        } else {
            write!(f, "{value}, {reason}")
        }
    }
}

impl error::Error for Damage {}
