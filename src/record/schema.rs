//! Which series lives in which column now.

use std::collections::{BTreeSet, HashMap};
use std::{error, fmt};

use super::{Class, Kind, METRIC_BYTES_MAX, OBJECT_ID_BYTES_MAX, Repr, Series, Unit, metric};

/// Most columns of a record. A record of this many words and its header fill one mebibyte.
pub const COLUMNS_MAX: usize = (1 << 20) / 8 - super::RecordHeader::WORDS;

/// Something that happened to a column, to be told to the ring's directory before the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A series now lives in this column; [`Schema::series`] names it.
    Added(usize),
    /// The series of this column has ended.
    Ended(usize),
}

impl Change {
    /// The column in question.
    #[must_use]
    pub fn column(self) -> usize {
        let (Self::Added(column) | Self::Ended(column)) = self;
        column
    }
}

/// Why a series was not given a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// All [`COLUMNS_MAX`] columns are taken.
    Full,
    /// The object's id is longer than [`OBJECT_ID_BYTES_MAX`].
    ObjectIdTooLong,
    /// The metric's name is longer than [`METRIC_BYTES_MAX`].
    MetricTooLong,
    /// The object's id or the metric's name is empty.
    Empty,
    /// Somebody has the series already.
    Taken,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "all {COLUMNS_MAX} columns of the record are taken"),
            Self::ObjectIdTooLong => {
                write!(f, "the object's id is longer than {OBJECT_ID_BYTES_MAX} bytes")
            }
            Self::MetricTooLong => {
                write!(f, "the metric's name is longer than {METRIC_BYTES_MAX} bytes")
            }
            Self::Empty => f.write_str("the object's id or the metric's name is empty"),
            Self::Taken => f.write_str("the series has been added already"),
        }
    }
}

impl error::Error for SchemaError {}

/// The series that are being recorded and their columns.
///
/// A source asks for a column with [`Schema::add`] and gives it back with [`Schema::end`]. The
/// lowest free column is taken first, so a record stays as narrow as its series allow. What has
/// changed is kept for the ring's writer, in order.
///
/// A recorder that goes on in an existing ring begins with [`Schema::resume`]: a series that is
/// asked for again keeps its column; one that nobody asks for ends with [`Schema::end_unclaimed`].
#[derive(Debug, Default)]
pub struct Schema {
    columns: Vec<Option<Live>>,
    free: BTreeSet<usize>,
    by_object: HashMap<Box<str>, HashMap<Box<str>, usize>>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Live {
    series: Series,
    claimed: bool,
}

impl Schema {
    /// A schema without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The series of an existing ring with their columns, none of them claimed yet.
    ///
    /// Of two series with one column or one name the first is kept; a ring that says otherwise has
    /// been damaged, and the loser simply begins anew.
    #[must_use]
    pub fn resume(live: impl IntoIterator<Item = (usize, Series)>) -> Self {
        let mut schema = Self::new();
        for (column, series) in live {
            if column >= COLUMNS_MAX
                || schema.series(column).is_some()
                || schema.column(&series.object, &series.metric).is_some()
            {
                continue;
            }
            schema.place(column, series, false);
        }
        schema
    }

    /// The column of the series `metric` of `object`, a new one if it has none yet.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when there is no column left or a name is too long.
    ///
    /// # Panics
    ///
    /// When the catalog has no such metric for the object's class: that is a mistake in a source.
    pub fn add(&mut self, object: &str, name: &str) -> Result<usize, SchemaError> {
        let line = Class::of(object).and_then(|class| metric(class, name));
        let line = line.unwrap_or_else(|| panic!("no metric {name} of {object} in the catalog"));
        self.add_series(object, name, line.kind, line.unit, line.repr)
    }

    /// The same for a metric that no catalog can know, since somebody else named it: what it means
    /// is said with it.
    ///
    /// # Errors
    ///
    /// As for [`Schema::add`].
    pub fn add_series(
        &mut self,
        object: &str,
        metric: &str,
        kind: Kind,
        unit: Unit,
        repr: Repr,
    ) -> Result<usize, SchemaError> {
        if let Some(column) = self.column(object, metric) {
            let live = self.columns[column].as_mut().expect("an indexed column is live");
            let series = &live.series;
            if (series.kind, series.unit, series.repr) == (kind, unit, repr) {
                live.claimed = true;
                return Ok(column);
            }
            // Something else was meant by this name: by an older version of the program, or by
            // whoever gave it.
            self.end(column);
        }
        if object.is_empty() || metric.is_empty() {
            return Err(SchemaError::Empty);
        }
        if object.len() > OBJECT_ID_BYTES_MAX {
            return Err(SchemaError::ObjectIdTooLong);
        }
        if metric.len() > METRIC_BYTES_MAX {
            return Err(SchemaError::MetricTooLong);
        }
        let column = self.free.first().copied().unwrap_or(self.columns.len());
        if column >= COLUMNS_MAX {
            return Err(SchemaError::Full);
        }
        let series = Series { object: object.into(), metric: metric.into(), kind, unit, repr };
        self.place(column, series, true);
        self.changes.push(Change::Added(column));
        Ok(column)
    }

    /// Ends the series of `column`; the column is free at once. Nothing happens if it holds none.
    pub fn end(&mut self, column: usize) {
        let Some(live) = self.columns.get_mut(column).and_then(Option::take) else { return };
        let object = &live.series.object;
        if let Some(metrics) = self.by_object.get_mut(object) {
            metrics.remove(&live.series.metric);
            if metrics.is_empty() {
                self.by_object.remove(object);
            }
        }
        self.free.insert(column);
        self.changes.push(Change::Ended(column));
    }

    /// Ends every series of a resumed ring that nobody has asked for since.
    pub fn end_unclaimed(&mut self) {
        for column in 0..self.columns.len() {
            if self.columns[column].as_ref().is_some_and(|live| !live.claimed) {
                self.end(column);
            }
        }
    }

    /// The series that lives in `column`.
    #[must_use]
    pub fn series(&self, column: usize) -> Option<&Series> {
        Some(&self.columns.get(column)?.as_ref()?.series)
    }

    /// The column of the series `metric` of `object`.
    #[must_use]
    pub fn column(&self, object: &str, metric: &str) -> Option<usize> {
        self.by_object.get(object)?.get(metric).copied()
    }

    /// How wide a record must be: one more than the highest column ever taken.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Every live series with its column, by column.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Series)> {
        let live = self.columns.iter().enumerate();
        live.filter_map(|(column, live)| Some((column, &live.as_ref()?.series)))
    }

    /// How many series live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len() - self.free.len()
    }

    /// How many more series it has columns for.
    #[must_use]
    pub fn room(&self) -> usize {
        COLUMNS_MAX - self.len()
    }

    /// Whether no series lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has happened since the last [`Schema::clear_changes`], oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Forgets the changes: the directory knows them.
    pub fn clear_changes(&mut self) {
        self.changes.clear();
    }

    fn place(&mut self, column: usize, series: Series, claimed: bool) {
        for skipped in self.columns.len()..column {
            self.columns.push(None);
            self.free.insert(skipped);
        }
        if column == self.columns.len() {
            self.columns.push(None);
        }
        self.free.remove(&column);
        let metrics = self.by_object.entry(series.object.clone()).or_default();
        metrics.insert(series.metric.clone(), column);
        self.columns[column] = Some(Live { series, claimed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_free_column_is_taken_first() {
        let mut schema = Schema::new();
        assert_eq!(schema.add("host", "load1"), Ok(0));
        assert_eq!(schema.add("host", "load5"), Ok(1));
        assert_eq!(schema.add("host", "load1"), Ok(0));
        schema.end(0);
        assert_eq!((schema.len(), schema.width(), schema.room()), (1, 2, COLUMNS_MAX - 1));
        assert_eq!(schema.add("nic/eth0", "receive_bytes"), Ok(0));
        assert_eq!(
            schema.changes(),
            [Change::Added(0), Change::Added(1), Change::Ended(0), Change::Added(0)]
        );
        assert_eq!(schema.column("host", "load1"), None);
    }

    #[test]
    fn resumed_series_keep_their_columns_and_the_rest_ends() {
        let mut before = Schema::new();
        for object in ["nic/a", "nic/b", "nic/c"] {
            before.add(object, "receive_bytes").expect("room");
        }
        before.end(0);
        let live: Vec<_> = before.iter().map(|(column, series)| (column, series.clone())).collect();
        let mut schema = Schema::resume(live);
        assert!(schema.changes().is_empty());
        assert_eq!(schema.add("nic/c", "receive_bytes"), Ok(2));
        assert_eq!(schema.add("nic/d", "receive_bytes"), Ok(0));
        schema.end_unclaimed();
        assert_eq!(schema.changes(), [Change::Added(0), Change::Ended(1)]);
        assert_eq!(schema.len(), 2);
    }

    #[test]
    fn series_whose_meaning_changed_begins_anew() {
        let mut old = Schema::new();
        old.add("host", "load1").expect("room");
        let mut series = old.series(0).expect("live").clone();
        series.repr = super::super::Repr::U64;
        let mut schema = Schema::resume([(0, series)]);
        assert_eq!(schema.add("host", "load1"), Ok(0));
        assert_eq!(schema.changes(), [Change::Ended(0), Change::Added(0)]);
    }

    #[test]
    fn limits_are_errors() {
        let mut schema = Schema::new();
        let long = format!("nic/{}", "x".repeat(OBJECT_ID_BYTES_MAX));
        assert_eq!(schema.add(&long, "receive_bytes"), Err(SchemaError::ObjectIdTooLong));
        let mut add = |metric: &str| {
            schema.add_series("textfile/a", metric, Kind::Gauge, Unit::Count, Repr::F64)
        };
        assert_eq!(add(&"m".repeat(METRIC_BYTES_MAX + 1)), Err(SchemaError::MetricTooLong));
        assert_eq!(add(""), Err(SchemaError::Empty));
        assert_eq!(add(&"m".repeat(METRIC_BYTES_MAX)), Ok(0));
    }

    #[test]
    fn series_outside_the_catalog_is_what_it_is_said_to_be() {
        let mut schema = Schema::new();
        let mut add = |kind| {
            let column = schema.add_series("textfile/a", "jobs", kind, Unit::Count, Repr::F64);
            schema.series(column.expect("room")).map(|series| series.kind)
        };
        assert_eq!(add(Kind::Gauge), Some(Kind::Gauge));
        assert_eq!(add(Kind::Gauge), Some(Kind::Gauge));
        assert_eq!(add(Kind::Counter), Some(Kind::Counter));
        assert_eq!(schema.changes(), [Change::Added(0), Change::Ended(0), Change::Added(0)]);
    }
}
