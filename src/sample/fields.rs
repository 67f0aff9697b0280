//! The series of one object that is always there: a fixed list of metrics.

use super::SampleError;
use super::columns::{Column, Columns};
use super::rows::PATIENCE_TURNS;

/// `N` metrics of one object, each with a column from the first turn on that has a value for it.
///
/// What a kernel does not offer is thus never registered. What it stops offering is
/// [`SampleError::Missing`], and ends when it has been missing for [`PATIENCE_TURNS`]: it may have
/// been there only because a text was damaged.
#[derive(Debug)]
pub(super) struct Fields<const N: usize> {
    object: Box<str>,
    metrics: [&'static str; N],
    columns: [Column; N],
    /// For how many turns each has been missing.
    missing: [u32; N],
    outcome: Result<(), SampleError>,
}

impl<const N: usize> Fields<N> {
    pub(super) fn new(object: &str, metrics: [&'static str; N]) -> Self {
        let object = object.into();
        Self { object, metrics, columns: [Column::NONE; N], missing: [0; N], outcome: Ok(()) }
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self) {
        for turns in &mut self.missing {
            *turns = turns.saturating_add(1);
        }
        self.outcome = Ok(());
    }

    /// Puts the value of metric number `index`.
    #[inline]
    pub(super) fn put(&mut self, index: usize, word: u64, columns: &mut Columns<'_>) {
        if self.columns[index] == Column::NONE {
            match columns.add(&self.object, self.metrics[index]) {
                Ok(column) => self.columns[index] = column,
                Err(error) => self.outcome = Err(error),
            }
        }
        self.missing[index] = 0;
        columns.put(self.columns[index], word);
    }

    /// Puts the values of the first metrics.
    #[inline]
    pub(super) fn put_all(
        &mut self,
        words: impl IntoIterator<Item = u64>,
        columns: &mut Columns<'_>,
    ) {
        for (index, word) in words.into_iter().enumerate().take(N) {
            self.put(index, word, columns);
        }
    }

    /// Puts the values of the first metrics, as far as they are given.
    #[inline]
    pub(super) fn put_given(
        &mut self,
        words: impl IntoIterator<Item = Option<u64>>,
        columns: &mut Columns<'_>,
    ) {
        for (index, word) in words.into_iter().enumerate().take(N) {
            if let Some(word) = word {
                self.put(index, word, columns);
            }
        }
    }

    /// Ends the series: the object is gone. If it returns, they begin anew.
    pub(super) fn end(&mut self, columns: &mut Columns<'_>) {
        for column in &mut self.columns {
            columns.end(std::mem::replace(column, Column::NONE));
        }
    }

    /// Ends a turn: whether every metric that has a column was put, and none was refused one.
    pub(super) fn finish(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let mut outcome = self.outcome;
        for (column, &turns) in self.columns.iter_mut().zip(&self.missing) {
            if turns == 0 || *column == Column::NONE {
                continue;
            }
            if turns < PATIENCE_TURNS {
                outcome = Err(SampleError::Missing);
            } else {
                columns.end(std::mem::replace(column, Column::NONE));
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Change, Record, Schema};

    #[test]
    fn field_that_stays_away_ends_and_may_return() {
        let (mut schema, mut record) = (Schema::new(), Record::default());
        let mut fields = Fields::new("host", ["load1", "load5"]);
        let mut turn = |schema: &mut Schema, words: &[u64]| {
            schema.clear_changes();
            let mut columns = Columns::new(schema, &mut record);
            fields.begin();
            fields.put_all(words.iter().copied(), &mut columns);
            fields.finish(&mut columns)
        };
        assert_eq!(turn(&mut schema, &[1]), Ok(()));
        assert_eq!(schema.changes(), [Change::Added(0)]);
        assert_eq!(turn(&mut schema, &[1, 2]), Ok(()));
        assert_eq!(schema.changes(), [Change::Added(1)]);
        // Seen once more, its time begins anew.
        for words in [&[1][..], &[1, 2]] {
            let expected = if words.len() == 2 { Ok(()) } else { Err(SampleError::Missing) };
            assert_eq!(turn(&mut schema, words), expected);
        }
        for _ in 1..PATIENCE_TURNS {
            assert_eq!(turn(&mut schema, &[1]), Err(SampleError::Missing));
            assert!(schema.changes().is_empty());
        }
        for expected in [&[Change::Ended(1)][..], &[]] {
            assert_eq!((turn(&mut schema, &[1]), schema.changes()), (Ok(()), expected));
        }
        assert_eq!(turn(&mut schema, &[1, 2]), Ok(()));
        assert_eq!(schema.changes(), [Change::Added(1)]);
    }
}
