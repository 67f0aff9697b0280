//! A sampler that is asked tick by tick, and what it said.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use tachograph::record::{Change, Record, Schema};
use tachograph::sample::{Sampler, Sampling, Selection};

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Values by object and metric.
pub(crate) type Values = BTreeMap<(String, String), u64>;

/// A sampler with its schema and record.
pub(crate) struct Sampled {
    pub(crate) sampler: Sampler,
    pub(crate) schema: Schema,
    pub(crate) ticks: u64,
    /// Series that began and ended at the last tick, `object metric`, and every one before.
    pub(crate) added: Vec<String>,
    pub(crate) ended: Vec<String>,
    names: BTreeMap<usize, String>,
    record: Record,
}

impl Sampled {
    /// Opens `sources` as `sampling` says.
    pub(crate) fn open(sources: &[&str], mut sampling: Sampling) -> Self {
        sampling.sources = Selection::none();
        for source in sources {
            sampling.sources.set(source, 1).expect("a source");
        }
        let mut schema = Schema::new();
        let sampler = Sampler::open(&sampling, &mut schema);
        let (added, ended) = (Vec::new(), Vec::new());
        let names = BTreeMap::new();
        let mut this =
            Self { sampler, schema, ticks: 0, added, ended, names, record: Record::default() };
        this.note_changes();
        this
    }

    /// What one more tick yields.
    pub(crate) fn tick(&mut self) -> Values {
        self.ticks += 1;
        self.sampler.tick(self.ticks, false, &mut self.schema, &mut self.record);
        self.note_changes();
        let columns = 0..self.record.words().len();
        let value = |column| {
            let value = self.record.u64(column)?;
            let series = self.schema.series(column).expect("a value has a series");
            Some(((series.object.to_string(), series.metric.to_string()), value))
        };
        columns.filter_map(value).collect()
    }

    fn note_changes(&mut self) {
        self.added.clear();
        self.ended.clear();
        for change in self.schema.changes().to_vec() {
            match change {
                Change::Added(column) => {
                    // One that was ended at once again is not to be named any more.
                    let series =
                        self.schema.series(column).expect("nothing comes and goes at once");
                    let name = format!("{} {}", series.object, series.metric);
                    self.added.push(name.clone());
                    self.names.insert(column, name);
                }
                Change::Ended(column) => {
                    self.ended.push(self.names.remove(&column).expect("it began"));
                }
            }
        }
        self.schema.clear_changes();
    }

    /// Ticks until `wanted` holds of what a tick yields.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Values) -> bool) -> Values {
        let begin = Instant::now();
        loop {
            let values = self.tick();
            if wanted(&values) {
                return values;
            }
            assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}: {values:#?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ticks until `object` has `metric`.
    pub(crate) fn until_there(&mut self, object: &str, metric: &str) -> Values {
        self.until(&format!("{object} {metric}"), |values| value(values, object, metric).is_some())
    }

    /// Ticks until `metric` of `object` is `wanted`.
    pub(crate) fn until_is(&mut self, object: &str, metric: &str, wanted: u64) -> Values {
        let what = format!("{object} {metric} is {wanted}");
        self.until(&what, |values| value(values, object, metric) == Some(wanted))
    }

    pub(crate) fn objects(&self) -> BTreeSet<String> {
        self.schema.iter().map(|(_, series)| series.object.to_string()).collect()
    }

    /// The news of the sources, in words.
    pub(crate) fn news(&mut self) -> Vec<String> {
        self.sampler.drain_events().map(|event| event.to_string()).collect()
    }
}

/// A value, if it was measured.
pub(crate) fn value(values: &Values, object: &str, metric: &str) -> Option<u64> {
    values.get(&(object.into(), metric.into())).copied()
}

/// The metrics of `object` that have a value.
pub(crate) fn metrics<'a>(values: &'a Values, object: &str) -> BTreeSet<&'a str> {
    let of_it = values.keys().filter(|(of, _)| of == object);
    of_it.map(|(_, metric)| metric.as_str()).collect()
}
