//! The series of one object that is always there: a fixed list of metrics.

use super::SampleError;
use super::columns::{Column, Columns};

/// `N` metrics of one object, each with a column from the first turn on that has a value for it.
///
/// What a kernel does not offer is thus never registered, and what it stops offering is
/// [`SampleError::Missing`].
#[derive(Debug)]
pub(super) struct Fields<const N: usize> {
    object: Box<str>,
    metrics: [&'static str; N],
    columns: [Column; N],
    met: [bool; N],
    outcome: Result<(), SampleError>,
}

impl<const N: usize> Fields<N> {
    pub(super) fn new(object: &str, metrics: [&'static str; N]) -> Self {
        let object = object.into();
        Self { object, metrics, columns: [Column::NONE; N], met: [false; N], outcome: Ok(()) }
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self) {
        self.met = [false; N];
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
        self.met[index] = true;
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
    pub(super) fn finish(&self) -> Result<(), SampleError> {
        let missing = |(column, met): (&Column, &bool)| *column != Column::NONE && !met;
        if self.columns.iter().zip(&self.met).any(missing) {
            return Err(SampleError::Missing);
        }
        self.outcome
    }
}
