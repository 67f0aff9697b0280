//! Answers of the native API: what rings there are, what they have, and what they say now.

use std::cell::RefCell;
use std::rc::Rc;

use super::query::ListParameters;
use super::rings::Refused;
use super::vitals::{PART_BYTES, Part, Pull};
use crate::encode::{
    Latest, LatestPlan, RingLine, SERIES_PER_PIECE, SeriesList, push_escaped, push_u64,
};
use crate::ring::{Ring, Words};
use crate::window::{KnownDirectory, NamedRing, Objects};

/// What a request of the native API lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listing {
    /// Every ring, and the files that are none or cannot be trusted.
    Rings,
    /// Series.
    Series(ListParameters),
    /// The newest record of rings.
    Latest(ListParameters),
    /// How full the datastores of the host are.
    Usage,
}

/// A ring that is listed.
#[derive(Debug)]
pub(super) struct Listed<W> {
    pub(super) name: String,
    pub(super) ring: Ring<W>,
    /// What outlives one answer.
    pub(super) plan: Rc<RefCell<LatestPlan>>,
    pub(super) directory: KnownDirectory,
    /// Of which objects something may be told.
    pub(super) objects: Objects,
}

impl<W> Listed<W> {
    pub(super) fn into_named(self) -> NamedRing<W> {
        let Self { name, ring, directory, objects, .. } = self;
        NamedRing { name, ring, directory, objects }
    }
}

/// Every ring as a whole.
pub(super) struct RingsPull {
    lines: std::vec::IntoIter<RingLine>,
    refused: std::vec::IntoIter<Refused>,
    left_out: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Lines { is_first: bool },
    Refused { is_first: bool },
}

impl RingsPull {
    pub(super) fn of((lines, refused, left_out): (Vec<RingLine>, Vec<Refused>, u64)) -> Self {
        let (lines, refused) = (lines.into_iter(), refused.into_iter());
        Self { lines, refused, left_out, stage: Stage::Opening }
    }
}

impl Pull for RingsPull {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        while out.len() < PART_BYTES {
            self.stage = match self.stage {
                Stage::Opening => {
                    out.extend_from_slice(b"{\"rings\":[");
                    Stage::Lines { is_first: true }
                }
                Stage::Lines { is_first } => match self.lines.next() {
                    Some(line) => {
                        out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
                        line.write(out);
                        Stage::Lines { is_first: false }
                    }
                    None => {
                        out.extend_from_slice(b"],\"refused\":[");
                        Stage::Refused { is_first: true }
                    }
                },
                Stage::Refused { is_first } => match self.refused.next() {
                    Some(Refused { path, reason }) => {
                        out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
                        out.extend_from_slice(b"{\"path\":");
                        push_escaped(out, &path);
                        out.extend_from_slice(b",\"reason\":");
                        push_escaped(out, &reason);
                        out.push(b'}');
                        Stage::Refused { is_first: false }
                    }
                    None => {
                        out.extend_from_slice(b"],\"left_out\":");
                        push_u64(out, self.left_out);
                        out.extend_from_slice(b"}\n");
                        return Part::Last;
                    }
                },
            };
        }
        Part::More
    }
}

/// Rings one after the other, each of them in pieces.
struct Turns<W> {
    rings: std::vec::IntoIter<Listed<W>>,
    wanted: ListParameters,
    has_begun: bool,
}

impl<W: Words> Turns<W> {
    fn of(rings: Vec<Listed<W>>, wanted: ListParameters) -> Self {
        Self { rings: rings.into_iter(), wanted, has_begun: false }
    }

    /// Writes the opening at the first call, and lets `piece` write until it has written enough.
    /// It says whether the ring that it was given has come to its end.
    fn part(
        &mut self,
        opening: &str,
        out: &mut Vec<u8>,
        mut piece: impl FnMut(&Listed<W>, &ListParameters, &mut usize, &mut Vec<u8>) -> bool,
    ) -> Part {
        let begun = out.len();
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(opening.as_bytes());
        }
        let mut budget = SERIES_PER_PIECE;
        while let Some(ring) = self.rings.as_slice().first() {
            if budget == 0 || out.len() >= PART_BYTES {
                // Where nothing of so many was wanted, white space says that there is more.
                if out.len() == begun {
                    out.push(b'\n');
                }
                return Part::More;
            }
            // A ring without series is work, too.
            budget -= 1;
            if piece(ring, &self.wanted, &mut budget, out) {
                self.rings.next();
            }
        }
        out.extend_from_slice(b"]}\n");
        Part::Last
    }
}

/// The series of rings.
pub(super) struct SeriesPull<W> {
    turns: Turns<W>,
    /// Of the ring whose turn it is.
    list: Option<SeriesList>,
    is_first: bool,
}

impl<W: Words> SeriesPull<W> {
    pub(super) fn of(rings: Vec<Listed<W>>, wanted: ListParameters) -> Self {
        Self { turns: Turns::of(rings, wanted), list: None, is_first: true }
    }
}

impl<W: Words> Pull for SeriesPull<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        let Self { turns, list, is_first } = self;
        turns.part("{\"series\":[\n", out, |listed, wanted, budget, out| {
            let current = list.get_or_insert_with(|| SeriesList::of(&listed.ring));
            let named = (&*listed.name, &listed.ring);
            let Listed { objects, .. } = listed;
            let admits = |object: &str, name: &str| objects.has(object) && wanted.admits(name);
            let is_done = current.piece(named, admits, (budget, is_first), out);
            if is_done {
                *list = None;
            }
            is_done
        })
    }
}

/// The newest records of rings.
pub(super) struct LatestPull<W> {
    turns: Turns<W>,
    /// Of the ring whose turn it is.
    latest: Option<Latest>,
    is_first: bool,
}

impl<W: Words> LatestPull<W> {
    pub(super) fn of(rings: Vec<Listed<W>>, wanted: ListParameters) -> Self {
        Self { turns: Turns::of(rings, wanted), latest: None, is_first: true }
    }
}

impl<W: Words> Pull for LatestPull<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        let Self { turns, latest, is_first } = self;
        turns.part("{\"rings\":[\n", out, |listed, wanted, budget, out| {
            if latest.is_none() && !std::mem::take(is_first) {
                out.extend_from_slice(b",\n");
            }
            let current = latest.get_or_insert_default();
            let named = (&*listed.name, &listed.ring);
            let Listed { objects, .. } = listed;
            let admits = |object: &str, name: &str| objects.has(object) && wanted.admits(name);
            let mut plan = listed.plan.borrow_mut();
            let is_done = current.piece(named, &mut plan, admits, budget, out);
            if is_done {
                *latest = None;
            }
            is_done
        })
    }
}
