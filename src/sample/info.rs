//! A word about an object, such as a file system's type: a series that is 1 while it is so.

use crate::record::info_metric;

use super::SampleError;
use super::columns::{Column, Columns};

/// The series `KEY=VALUE` of an object. When the value changes it ends, and another one begins.
#[derive(Debug)]
pub(super) struct Info {
    object: Box<str>,
    key: &'static str,
    value: Vec<u8>,
    metric: String,
    column: Column,
}

impl Info {
    /// The infos `keys` of `object`.
    pub(super) fn of<const N: usize>(object: &str, keys: [&'static str; N]) -> [Self; N] {
        keys.map(|key| Self {
            object: object.into(),
            key,
            value: Vec::new(),
            metric: String::new(),
            column: Column::NONE,
        })
    }

    /// Says that the value is `value`; of one that is empty nothing is said.
    pub(super) fn put(
        &mut self,
        value: &[u8],
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        if self.value != value {
            self.end(columns);
            self.value.extend_from_slice(value);
            self.metric = info_metric(self.key, value);
        }
        if self.value.is_empty() {
            return Ok(());
        }
        if self.column == Column::NONE {
            self.column = columns.add(&self.object, &self.metric)?;
        }
        columns.put(self.column, 1);
        Ok(())
    }

    /// Ends the series.
    pub(super) fn end(&mut self, columns: &mut Columns<'_>) {
        columns.end(std::mem::replace(&mut self.column, Column::NONE));
        self.value.clear();
    }
}
