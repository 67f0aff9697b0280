//! What a reader does most, each in a function whose name is found again in the assembly.

use tachograph::record::Record;
use tachograph::ring::{Column, ReadError, ReadMap, Ring};

/// Two values of the newest record.
#[inline(never)]
pub fn probe_latest(ring: &Ring<ReadMap>, a: &Column, b: &Column) -> Option<(u64, u64)> {
    ring.latest(|view| Some((view.u64(a)?, view.u64(b)?)))?
}

/// Two values of any record.
#[inline(never)]
pub fn probe_read(
    ring: &Ring<ReadMap>,
    seq: u64,
    a: &Column,
    b: &Column,
) -> Result<Option<(u64, u64)>, ReadError> {
    ring.read(seq, |view| Some((view.u64(a)?, view.u64(b)?)))
}

/// A whole record, copied.
#[inline(never)]
pub fn probe_read_into(
    ring: &Ring<ReadMap>,
    seq: u64,
    out: &mut Record,
) -> Result<(), ReadError> {
    ring.read_into(seq, out)
}
