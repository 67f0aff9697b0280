//! The producer: an application that publishes series of its own, in a ring of its own.
//!
//! It lies beside the recorder's rings, is read by the same readers, and is served by the same front
//! end, which finds it by itself.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Now;
use super::opening::{Before, Opening};
use super::place::RunDir;
use super::writer::{WriteError, Writer, WriterOptions};
use crate::record::{ABSENT, Kind, Record, Repr, Schema, SchemaError, Unit, flags};

/// Records that an application's ring keeps unless it is told: an hour of seconds.
const DEPTH_RECORDS: u64 = 3600;
/// Permissions unless it is told: everybody may read.
const MODE: u32 = 0o644;

impl WriterOptions {
    /// A ring with a record each `interval`, of the last 3600 records, that everybody may read.
    ///
    /// The interval is what the writer promises: one whose newest record is older than three
    /// intervals and a second is taken to hang.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { interval, depth_records: DEPTH_RECORDS, mode: MODE }
    }

    /// The same ring, but one that reaches back as far as `depth`.
    #[must_use]
    pub fn reaching_back(self, depth: Duration) -> Self {
        let records = depth.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        let depth_records = u64::try_from(records).unwrap_or(u64::MAX).saturating_add(1);
        Self { depth_records, ..self }
    }
}

/// A value of a [`Producer`]'s series: `u64` or `f64`.
pub trait Measured: sealed::Sealed + Copy {
    /// How its words are read.
    const REPR: Repr;

    /// Sets the value of `column`.
    #[doc(hidden)]
    fn set(self, record: &mut Record, column: usize);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for f64 {}
}

impl Measured for u64 {
    const REPR: Repr = Repr::U64;

    #[inline]
    fn set(self, record: &mut Record, column: usize) {
        record.set_u64(column, self);
    }
}

impl Measured for f64 {
    const REPR: Repr = Repr::F64;

    #[inline]
    fn set(self, record: &mut Record, column: usize) {
        record.set_f64(column, self);
    }
}

/// A series that a [`Producer`] sets the values of, made by [`Declaration::add`] or
/// [`Producer::add`].
///
/// There is one of each series, so that none is left when the series has ended.
#[derive(Debug)]
pub struct SeriesOf<T> {
    column: usize,
    producer: u64,
    values: PhantomData<fn(T)>,
}

/// The series of a producer and who has them.
#[derive(Debug)]
struct Own {
    schema: Schema,
    /// Columns of which there is a [`SeriesOf`].
    lent: BTreeSet<usize>,
    /// Tells the producers of a process apart.
    producer: u64,
}

impl Own {
    fn add<T: Measured>(
        &mut self,
        object: &str,
        metric: &str,
        kind: Kind,
        unit: Unit,
    ) -> Result<SeriesOf<T>, SchemaError> {
        if self.schema.column(object, metric).is_some_and(|column| self.lent.contains(&column)) {
            return Err(SchemaError::Taken);
        }
        let column = self.schema.add_series(object, metric, kind, unit, T::REPR)?;
        self.lent.insert(column);
        Ok(SeriesOf { column, producer: self.producer, values: PhantomData })
    }

    #[track_caller]
    fn column<T>(&self, series: &SeriesOf<T>) -> usize {
        assert_eq!(series.producer, self.producer, "the series is another producer's");
        series.column
    }
}

/// A ring that an application is about to publish in: it says which series it will have.
///
/// The ring is the application's from here on. Series that it had before and that are declared again
/// keep their columns and so their history; the others end when it starts.
#[derive(Debug)]
pub struct Declaration {
    opening: Opening,
    own: Own,
}

impl Declaration {
    /// Adds the series `metric` of `object`, whose values are `T`: `u64` or `f64`.
    ///
    /// An object is named by a path, such as `queue/orders`. Where the path begins as that of an
    /// object of the host does (`nic/eth0`), rates are derived as they are for that.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when a name is empty, too long, or has been added already.
    pub fn add<T: Measured>(
        &mut self,
        object: &str,
        metric: &str,
        kind: Kind,
        unit: Unit,
    ) -> Result<SeriesOf<T>, SchemaError> {
        self.own.add(object, metric, kind, unit)
    }

    /// Puts the ring in place, with the history that it had.
    ///
    /// # Errors
    ///
    /// As [`Opening::start`].
    pub fn start(self, options: &WriterOptions) -> Result<Producer, WriteError> {
        let Self { opening, mut own } = self;
        own.schema.end_unclaimed();
        let (writer, before) = opening.start(options, &mut own.schema)?;
        let interval_ns = u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX);
        Ok(Producer {
            record: Record::new(own.schema.width()),
            own,
            writer,
            before,
            interval_ns,
            last: None,
            unrecorded: None,
        })
    }
}

/// An application's ring, and the record that it is about to publish.
///
/// Publishing makes no system call but the one that wakes readers, and does not allocate. Readers cost
/// the application nothing and cannot disturb it.
///
/// Dropped without [`Producer::close`] it looks to readers like one that was killed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tachograph::ring::{Producer, Reader, RunDir, WriterOptions};
/// use tachograph::record::{Kind, Unit};
///
/// # let path = std::env::temp_dir().join(format!("tachograph-doc-producer-{}", std::process::id()));
/// # let wanted = Some(&*path);
/// // The first of the usual places, or with `Some` the one that is named.
/// let dir = RunDir::for_writing(wanted)?;
/// let mut shop = Producer::declare(&dir, "shop")?;
/// let waiting = shop.add::<u64>("queue/orders", "waiting", Kind::Gauge, Unit::Count)?;
/// let taken = shop.add::<u64>("queue/orders", "taken", Kind::Counter, Unit::Count)?;
/// let mut shop = shop.start(&WriterOptions::every(Duration::from_secs(1)))?;
///
/// for (length, total) in [(3, 100), (5, 104)] {
///     shop.set(&waiting, length);
///     shop.set(&taken, total);
///     shop.publish();
/// }
///
/// // Any process reads it.
/// let reader = Reader::open(&dir.ring("shop"))?;
/// let waiting = reader.ring().find("queue/orders", "waiting").ok_or("no such series")?;
/// assert_eq!(reader.ring().latest(|record| record.u64(&waiting)), Some(Some(5)));
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Producer {
    own: Own,
    record: Record,
    writer: Writer,
    before: Before,
    interval_ns: u64,
    /// The moment of the record before.
    last: Option<Now>,
    /// Why series that were added are not recorded.
    unrecorded: Option<WriteError>,
}

impl Producer {
    /// Takes the ring `name` in `dir`, to say next which series it has.
    ///
    /// # Errors
    ///
    /// [`WriteError::Name`] when no application's ring can have this name (see
    /// [`unfit_name`](super::unfit_name)), [`WriteError::Locked`] when another process has it,
    /// [`WriteError::OtherKind`] when it is a recorder's lane, [`WriteError::Io`].
    pub fn declare(dir: &RunDir, name: &str) -> Result<Declaration, WriteError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let opening = Opening::of_application(dir, name)?;
        let schema = Schema::resume(opening.live_series());
        let producer = COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(Declaration { opening, own: Own { schema, lent: BTreeSet::new(), producer } })
    }

    /// Adds a series from the next record on, as [`Declaration::add`] does. It allocates, and a ring
    /// that is full is replaced by a larger one.
    ///
    /// # Errors
    ///
    /// As [`Declaration::add`].
    pub fn add<T: Measured>(
        &mut self,
        object: &str,
        metric: &str,
        kind: Kind,
        unit: Unit,
    ) -> Result<SeriesOf<T>, SchemaError> {
        let series = self.own.add(object, metric, kind, unit)?;
        self.record.set_columns(self.own.schema.width());
        Ok(series)
    }

    /// Ends a series: the next record does not have it. Its history stays.
    ///
    /// # Panics
    ///
    /// When the series is another producer's.
    pub fn end<T>(&mut self, series: SeriesOf<T>) {
        let column = self.own.column(&series);
        self.own.lent.remove(&column);
        self.own.schema.end(column);
        self.record.words_mut()[column] = ABSENT;
    }

    /// Sets the value of a series in the next record. A series that is not set is absent in it, and
    /// so is a double that is not finite; of integers `u64::MAX` is not to be had.
    ///
    /// # Panics
    ///
    /// When the series is another producer's.
    #[inline]
    pub fn set<T: Measured>(&mut self, series: &SeriesOf<T>, value: T) {
        let column = self.own.column(series);
        value.set(&mut self.record, column);
    }

    /// Publishes the values that were set as the record of this moment, and wakes the readers that
    /// wait for it. The next record begins without any values.
    ///
    /// Returns the record's sequence.
    pub fn publish(&mut self) -> u64 {
        let Now { realtime_ns, boottime_ns } = Now::read();
        self.publish_at(realtime_ns, boottime_ns)
    }

    /// Publishes the values that were set as the record of the moment that the two clocks say, in
    /// nanoseconds: that at which they were measured.
    pub fn publish_at(&mut self, realtime_ns: u64, boottime_ns: u64) -> u64 {
        if let Some(synced) = self.writer.keep_up(&mut self.own.schema, boottime_ns) {
            self.unrecorded = synced.err();
        }
        let now = Now { realtime_ns, boottime_ns };
        let was_set = self.last.is_some_and(|last| now.was_set_since(last, self.interval_ns));
        let set = if was_set { flags::CLOCK_STEP } else { 0 };
        self.last = Some(now);
        let header = &mut self.record.header;
        (header.realtime_ns, header.boottime_ns) = (realtime_ns, boottime_ns);
        header.set_epoch_and_flags(0, set);
        self.writer.publish(&mut self.record);
        self.writer.wake();
        self.record.clear();
        self.writer.head()
    }

    /// Why series that were added, if there are any, are not recorded: the ring is full and no larger
    /// one could be had. All others are recorded, and it is tried again every 10 seconds.
    #[must_use]
    pub fn unrecorded(&self) -> Option<&WriteError> {
        self.unrecorded.as_ref()
    }

    /// What became of the file that lay in the ring's place when this began.
    #[must_use]
    pub fn before(&self) -> &Before {
        &self.before
    }

    /// The ring's writer, to be asked.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Ends in order: readers learn that no record will follow. The history stays.
    pub fn close(self) {
        self.writer.close();
    }
}
