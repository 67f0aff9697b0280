//! Where a source puts its values: the schema and the record of the current tick.

use crate::record::{ABSENT, Kind, Record, Repr, Schema, SchemaError, Unit};

use super::SampleError;

/// Where a series lies in a record, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column(u32);

impl Column {
    /// Nowhere: what is put here is dropped.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// The schema and the record of the current tick.
pub(super) struct Columns<'a> {
    schema: &'a mut Schema,
    record: &'a mut Record,
}

impl<'a> Columns<'a> {
    pub(super) fn new(schema: &'a mut Schema, record: &'a mut Record) -> Self {
        Self { schema, record }
    }

    /// The column of `metric` of `object`, a new one if need be; the record is widened to hold it.
    pub(super) fn add(&mut self, object: &str, metric: &str) -> Result<Column, SampleError> {
        let column = self.schema.add(object, metric);
        self.widen(column)
    }

    /// The same for a metric that is not in the catalog: a number of type `kind`.
    pub(super) fn add_named(
        &mut self,
        object: &str,
        metric: &str,
        kind: Kind,
    ) -> Result<Column, SampleError> {
        let column = self.schema.add_series(object, metric, kind, Unit::Count, Repr::F64);
        self.widen(column)
    }

    /// Makes the record wide enough for `column`.
    fn widen(&mut self, column: Result<usize, SchemaError>) -> Result<Column, SampleError> {
        let column = column.map_err(|_| SampleError::Refused)?;
        if self.record.words().len() <= column {
            self.record.set_columns(self.schema.width());
        }
        Ok(Column(u32::try_from(column).expect("COLUMNS_MAX fits 32 bits")))
    }

    /// Columns for those of `metrics` that the object `has`, all of them or none.
    ///
    /// Where there is no room for all, none is taken even for a moment: each series that begins and
    /// ends costs an entry in the ring's directory.
    pub(super) fn add_all<const N: usize>(
        &mut self,
        object: &str,
        metrics: &[&str; N],
        has: impl Fn(usize) -> bool,
    ) -> Result<[Column; N], SampleError> {
        let is_new =
            |&index: &usize| has(index) && self.schema.column(object, metrics[index]).is_none();
        if (0..N).filter(is_new).count() > self.schema.room() {
            return Err(SampleError::Refused);
        }
        let mut columns = [Column::NONE; N];
        for index in (0..N).filter(|&index| has(index)) {
            match self.add(object, metrics[index]) {
                Ok(column) => columns[index] = column,
                Err(error) => {
                    columns.iter().for_each(|&column| self.end(column));
                    return Err(error);
                }
            }
        }
        Ok(columns)
    }

    /// Ends the series of `column`. What was put there in this tick is taken back, since the next
    /// series that asks may get the column at once.
    pub(super) fn end(&mut self, column: Column) {
        if column != Column::NONE {
            self.put(column, ABSENT);
            self.schema.end(column.0 as usize);
        }
    }

    /// Puts `word` into `column`.
    #[inline]
    pub(super) fn put(&mut self, column: Column, word: u64) {
        if let Some(place) = self.record.words_mut().get_mut(column.0 as usize) {
            *place = word;
        }
    }
}
