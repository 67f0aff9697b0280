//! What a thread has found: numbers by name, for a tick to put where they belong.
//!
//! The thread that reads does all that takes time: it lists, opens, parses and puts the names
//! together. The tick has only to compare the names with those of the turn before, side by side in
//! memory, and to copy a word each.

use super::SampleError;
use super::columns::{Column, Columns};
use super::rows::Rows;

/// Ends the object in a name, and begins the metric; neither has one in it.
const SEPARATOR: u8 = b'\n';

/// Numbers by name, in an order that stays the same as far as it can.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings {
    /// All names, one after the other.
    names: Vec<u8>,
    readings: Vec<Reading>,
    /// Whether these are all there are: a series that is not among them has ended.
    pub(super) complete: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Where its name ends among the names of all.
    name_end: usize,
    /// What sort of series it is, where that is not said by the name.
    shape: u8,
    word: u64,
}

impl Readings {
    /// Forgets everything but its memory.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.readings.clear();
        self.complete = false;
    }

    pub(super) fn len(&self) -> usize {
        self.readings.len()
    }

    /// Adds the reading of `metric` of `object`. One that is there but cannot be had just now is
    /// absent.
    pub(super) fn push(&mut self, object: &str, metric: &str, word: u64) {
        self.names.extend_from_slice(object.as_bytes());
        self.names.push(SEPARATOR);
        self.push_named(metric.as_bytes(), 0, word);
    }

    /// Adds the reading `name`, for those who register their series themselves.
    pub(super) fn push_named(&mut self, name: &[u8], shape: u8, word: u64) {
        self.names.extend_from_slice(name);
        self.readings.push(Reading { name_end: self.names.len(), shape, word });
    }

    /// Whether two readings have one name.
    pub(super) fn has_twins(&self) -> bool {
        let mut names: Vec<&[u8]> = self.iter().map(|(name, ..)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Every reading: name, shape and word.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u8, u64)> {
        let mut begin = 0;
        self.readings.iter().map(move |&Reading { name_end, shape, word }| {
            let name = self.names.get(begin..name_end).unwrap_or_default();
            begin = name_end;
            (name, shape, word)
        })
    }

    /// Puts the readings of series in the catalog where they belong.
    pub(super) fn put(
        &self,
        rows: &mut Rows<1>,
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        self.put_as(rows, columns, |name, _, columns| {
            let (object, metric) = str::from_utf8(name)
                .ok()
                .and_then(|name| name.split_once(char::from(SEPARATOR)))
                .ok_or(SampleError::Malformed)?;
            columns.add(object, metric)
        })
    }

    /// The same for names whose series `register` knows how to find.
    pub(super) fn put_as(
        &self,
        rows: &mut Rows<1>,
        columns: &mut Columns<'_>,
        mut register: impl FnMut(&[u8], u8, &mut Columns<'_>) -> Result<Column, SampleError>,
    ) -> Result<(), SampleError> {
        rows.begin();
        for (name, shape, word) in self.iter() {
            let row = rows
                .row(name, shape, columns, |columns| Ok(([register(name, shape, columns)?], 0)));
            if let Some(row) = row {
                row.put(&[word], columns);
            }
        }
        let outcome = rows.finish(self.complete, columns);
        // What is not complete has said so by itself.
        if self.complete { outcome } else { Ok(()) }
    }
}

/// Ends the series of all `rows`.
pub(super) fn end(rows: &mut Rows<1>, columns: &mut Columns<'_>) {
    rows.begin();
    // Nothing is met, and nothing is missed.
    let _ = rows.finish(true, columns);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ABSENT, Record, Schema};

    #[test]
    fn readings_go_to_their_series_and_end_when_all_are_known() {
        let (mut schema, mut record) = (Schema::new(), Record::default());
        let mut rows = Rows::new(9);
        let mut put = |readings: &Readings| {
            record.clear();
            let outcome = readings.put(&mut rows, &mut Columns::new(&mut schema, &mut record));
            let names = schema.iter().map(|(column, series)| {
                (format!("{} {}", series.object, series.metric), record.u64(column))
            });
            (outcome, names.collect::<Vec<_>>())
        };
        let mut readings = Readings::default();
        readings.push("nic/a", "receive_bytes", 7);
        readings.push("nic/b", "receive_bytes", ABSENT);
        readings.complete = true;
        let [a, b] = ["nic/a receive_bytes", "nic/b receive_bytes"].map(str::to_owned);
        assert_eq!(put(&readings), (Ok(()), vec![(a.clone(), Some(7)), (b.clone(), None)]));
        readings.clear();
        assert_eq!(put(&readings), (Ok(()), vec![(a, None), (b.clone(), None)]));
        readings.push("nic/b", "receive_bytes", 8);
        readings.complete = true;
        assert_eq!(put(&readings), (Ok(()), vec![(b, Some(8))]));
    }
}
