//! What a row or a column of steps says of a series.

use std::borrow::Cow;
use std::str::FromStr;

use crate::record::{ABSENT, Repr};
use crate::ring::{ReadError, Ring, Value, Words};
use crate::window::step::Sum;
use crate::window::{Aggregate, Bounds, Step, Track};

/// One thing that a step says of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Values of a gauge in the step; of a counter, pairs of values whose increase is known.
    Count,
    /// Smallest value of a gauge.
    Min,
    /// Largest value of a gauge.
    Max,
    /// Mean of a gauge's values.
    Mean,
    /// The same, as it is asked for.
    Avg,
    /// The last value.
    Last,
    /// A gauge's values added up.
    Sum,
    /// What a counter counted.
    Increase,
    /// The increase by the time that it was counted in, per second.
    Rate,
    /// That time, in seconds.
    Covered,
    /// How often the counter began anew.
    Resets,
    /// The smallest value of a gauge that so many per cent of its values do not exceed. Of a step
    /// with more than [`PERCENTILE_VALUES_MAX`] records, every so many of them are looked at.
    Percentile(
        /// From 1 to 99.
        u8,
    ),
}

/// Values that the percentile of one step and series is taken from, at most.
pub const PERCENTILE_VALUES_MAX: u64 = 65_536;

impl Cell {
    /// What a step says unless it is told.
    pub const DEFAULT: &'static [Self] = &[
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Mean,
        Self::Last,
        Self::Increase,
        Self::Rate,
        Self::Covered,
        Self::Resets,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Avg => "avg",
            Self::Last => "last",
            Self::Sum => "sum",
            Self::Increase => "increase",
            Self::Rate => "rate",
            Self::Covered => "covered_s",
            Self::Resets => "resets",
            Self::Percentile(percent) => return Cow::Owned(format!("p{percent}")),
        })
    }

    /// What an aggregate says; `None` where it does not apply to the kind of series, where nothing
    /// is known, and of percentiles, which `Percentiles` knows.
    #[must_use]
    pub fn of(self, aggregate: &Aggregate) -> Option<Value> {
        let (float, integer) = (Value::F64, Value::U64);
        match (aggregate, self) {
            (Aggregate::Gauge(levels), cell) => match cell {
                Self::Count => Some(integer(levels.count)),
                Self::Min => levels.min,
                Self::Max => levels.max,
                Self::Mean | Self::Avg => levels.mean().map(float),
                Self::Last => levels.last,
                Self::Sum if levels.count > 0 => value_of(levels.sum),
                _ => None,
            },
            (Aggregate::Counter(advance), cell) => match cell {
                Self::Count => Some(integer(advance.pairs)),
                Self::Last => advance.last,
                Self::Increase => advance.increase().and_then(value_of),
                Self::Rate => advance.rate().map(float),
                Self::Covered => Some(float(advance.covered_ns as f64 / 1e9)),
                Self::Resets => Some(integer(advance.resets)),
                _ => None,
            },
        }
    }

    /// Whether it can apply to a series.
    #[must_use]
    pub fn applies(self, track: &Track) -> bool {
        match self {
            Self::Count | Self::Last => true,
            Self::Increase | Self::Rate | Self::Covered | Self::Resets => !track.is_gauge(),
            _ => track.is_gauge(),
        }
    }
}

impl FromStr for Cell {
    type Err = ();

    /// The aggregations that can be asked for.
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "last" => Self::Last,
            "sum" => Self::Sum,
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            _ => {
                let percent = text.strip_prefix('p').filter(|text| (1..=2).contains(&text.len()));
                let percent = percent.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                match percent.and_then(|text| text.parse().ok()).ok_or(())? {
                    0 => return Err(()),
                    percent => Self::Percentile(percent),
                }
            }
        })
    }
}

/// Whether something was seen of a series in a step.
pub(super) fn is_there(aggregate: &Aggregate) -> bool {
    match aggregate {
        Aggregate::Gauge(levels) => levels.last.is_some(),
        Aggregate::Counter(advance) => advance.last.is_some(),
    }
}

/// A sum as a value: exact where it is a number that a counter can have.
fn value_of(sum: Sum) -> Option<Value> {
    match sum {
        Sum::Integer(sum) => match u64::try_from(sum) {
            Ok(sum) => Some(Value::U64(sum)),
            Err(_) => Some(Value::F64(sum as f64)),
        },
        Sum::Double { .. } => sum.as_f64().map(Value::F64),
    }
}

/// The values of one series in one step, in order of size; its memory is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Percentiles {
    words: Vec<u64>,
}

impl Percentiles {
    /// Gathers the values of a gauge from a step's records, which are read once more. Where one of
    /// them has been overwritten since, it is as if there were none.
    pub(super) fn gather<W: Words>(
        &mut self,
        ring: &Ring<W>,
        (step, bounds): (&Step, &Bounds),
        track: &Track,
    ) {
        self.words.clear();
        let span = step.last_seq - step.first_seq + 1;
        let stride = span.div_ceil(PERCENTILE_VALUES_MAX).max(1);
        for seq in (step.first_seq..=step.last_seq).step_by(stride as usize) {
            let Some((_, stretch)) = track.at(seq) else { continue };
            let read = ring.read(seq, |view| {
                let inside = bounds.admits(view.realtime_ns());
                inside.then(|| view.word(stretch.column))
            });
            match read {
                Ok(word) => {
                    let is_value = |word: &u64| Value::of_word(*word, track.series.repr).is_some();
                    self.words.extend(word.filter(is_value));
                }
                Err(ReadError::Overrun) => {
                    self.words.clear();
                    return;
                }
                Err(_) => {}
            }
        }
        match track.series.repr {
            Repr::U64 => self.words.sort_unstable(),
            Repr::F64 => {
                let value = |word: &u64| f64::from_bits(*word);
                self.words.sort_unstable_by(|a, b| value(a).total_cmp(&value(b)));
            }
        }
    }

    /// The value that so many per cent of the values do not exceed.
    pub(super) fn at(&self, percent: u8, repr: Repr) -> Option<Value> {
        let rank = (self.words.len() * usize::from(percent)).div_ceil(100).max(1);
        Value::of_word(self.words.get(rank - 1).copied().unwrap_or(ABSENT), repr)
    }
}

/// The cells of one series in one step.
pub(super) fn fill<W: Words>(
    cells: &[Cell],
    (ring, step, bounds): (&Ring<W>, &Step, &Bounds),
    (track, aggregate): (&Track, &Aggregate),
    percentiles: &mut Percentiles,
    out: &mut Vec<Option<Value>>,
) {
    out.clear();
    let is_percentile = |cell: &Cell| matches!(cell, Cell::Percentile(_));
    if track.is_gauge() && cells.iter().any(is_percentile) {
        percentiles.gather(ring, (step, bounds), track);
    }
    out.extend(cells.iter().map(|cell| match cell {
        Cell::Percentile(percent) if track.is_gauge() => {
            percentiles.at(*percent, track.series.repr)
        }
        cell => cell.of(aggregate),
    }));
}
