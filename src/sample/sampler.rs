//! All sources together: one call per tick.

use std::path::Path;

use crate::record::{Record, Schema};

use super::columns::Columns;
use super::source::Source;
use super::{SOURCES, SampleError, Sampling, SourceEvent};

/// Most turns between two attempts at a file that cannot be opened or read. The first attempt
/// follows at once; then the pauses double up to this.
const PAUSE_TURNS_MAX: u32 = 64;

/// Most events that are kept for the caller; later ones are dropped.
const EVENTS_MAX: usize = 256;

/// The open sources.
///
/// Between two changes of the host (a device appears, a CPU goes off-line) a tick allocates
/// nothing and makes one system call per file.
pub struct Sampler {
    units: Vec<Unit>,
    errors: u64,
    events: Vec<SourceEvent>,
}

impl Sampler {
    /// Opens every selected source and registers its series in `schema`.
    ///
    /// A source that is absent or damaged costs only its own series: it counts as failing, and is
    /// tried again at its later turns.
    #[must_use]
    pub fn open(sampling: &Sampling, schema: &mut Schema) -> Self {
        let mut units = Vec::new();
        for (index, (info, (_, divisor))) in SOURCES.iter().zip(sampling.sources.iter()).enumerate()
        {
            if divisor > 0 {
                let period = sampling.interval.saturating_mul(divisor);
                let sources = (info.make)(sampling, period).into_iter();
                units.extend(sources.map(|source| Unit::new(index, divisor, source)));
            }
        }
        let mut sampler = Self { units, errors: 0, events: Vec::new() };
        // What has which series is known only from the text, so that a first turn is taken here.
        sampler.tick(0, true, schema, &mut Record::default());
        sampler
    }

    /// Reads every source that is due at tick number `tick`, or each of them if `all_due`, into
    /// `record`.
    ///
    /// The record is cleared first, and widened if the schema has grown. What is new and what is
    /// gone stands in the changes of `schema` afterwards.
    pub fn tick(&mut self, tick: u64, all_due: bool, schema: &mut Schema, record: &mut Record) {
        record.clear();
        if record.words().len() < schema.width() {
            record.set_columns(schema.width());
        }
        let mut columns = Columns::new(schema, record);
        for unit in &mut self.units {
            if !all_due && !tick.is_multiple_of(u64::from(unit.divisor)) {
                continue;
            }
            let before = unit.state;
            let Some(state) = unit.turn(&mut columns) else { continue };
            self.errors += u64::from(state.is_err());
            let (source, events) = (SOURCES[unit.info].name, &mut self.events);
            let mut tell = |path: &Path, state| {
                if events.len() < EVENTS_MAX {
                    events.push(SourceEvent { source, path: path.into(), state });
                }
            };
            if !unit.source.tell_parts(&mut tell) && state != before {
                tell(unit.source.path(), state);
            }
        }
    }

    /// How many turns have failed so far, wholly or in part.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many sources failed at their last turn, wholly or in part.
    #[must_use]
    pub fn failing(&self) -> usize {
        let of_one_source = self.units.chunk_by(|a, b| a.info == b.info);
        of_one_source.filter(|units| units.iter().any(|unit| unit.state.is_err())).count()
    }

    /// What has changed in the state of the sources since this was last asked, oldest first.
    pub fn drain_events(&mut self) -> impl Iterator<Item = SourceEvent> {
        self.events.drain(..)
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler")
            .field("files", &self.units.len())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

/// One file of a source, and how it has fared.
struct Unit {
    /// Which of [`SOURCES`] it belongs to.
    info: usize,
    divisor: u32,
    source: Box<dyn Source>,
    state: Result<(), SampleError>,
    /// Turns still to be left out, and how many after the next failure.
    wait: u32,
    pause: u32,
}

impl Unit {
    fn new(info: usize, divisor: u32, source: Box<dyn Source>) -> Self {
        Self { info, divisor, source, state: Ok(()), wait: 0, pause: 0 }
    }

    /// Takes the unit's turn; `None` if it waits for a later one.
    fn turn(&mut self, columns: &mut Columns<'_>) -> Option<Result<(), SampleError>> {
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        self.state = self.source.turn(columns);
        match self.state {
            Err(error) if error.is_io() && !self.source.only_looks() => {
                self.wait = self.pause;
                self.pause = (self.pause * 2).clamp(1, PAUSE_TURNS_MAX);
            }
            _ => self.pause = 0,
        }
        Some(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampler_may_move_to_a_thread_of_its_own() {
        fn is_send<T: Send>(_: &T) {}
        let mut schema = Schema::new();
        is_send(&Sampler::open(&Sampling::default(), &mut schema));
        assert!(schema.column("host", "cpu_user_ticks").is_some());
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_limit() {
        struct Broken {
            only_looks: bool,
        }
        impl Source for Broken {
            fn path(&self) -> &Path {
                "broken".as_ref()
            }
            fn turn(&mut self, _: &mut Columns<'_>) -> Result<(), SampleError> {
                Err(SampleError::Open(2))
            }
            fn only_looks(&self) -> bool {
                self.only_looks
            }
        }
        let (mut schema, mut record) = (Schema::new(), Record::default());
        let mut columns = Columns::new(&mut schema, &mut record);
        let mut attempts = |only_looks| {
            let mut unit = Unit::new(0, 1, Box::new(Broken { only_looks }));
            let attempts = (0..300).filter(|_| unit.turn(&mut columns).is_some());
            attempts.collect::<Vec<u32>>()
        };
        assert_eq!(attempts(false), [0, 1, 3, 6, 11, 20, 37, 70, 135, 200, 265]);
        assert_eq!(attempts(true).len(), 300, "there is nothing to be saved");
    }
}
