//! The parameters of a window.

use std::time::Duration;

use super::{ListParameters, ParameterError, Parameters};
use crate::encode::{Cell, Cursor, Moment, RowFormat, duration};
use crate::http::limits::CHOICES_MAX;

/// How a window is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowFormat {
    /// JSON with a list of rows.
    #[default]
    Json,
    /// JSON with a list of values for each series.
    Columns,
    /// Rows with commas and a heading.
    Csv,
    /// A JSON object per line.
    Ndjson,
    /// A stream of Arrow record batches, which is only written with the feature `arrow`.
    Arrow,
}

impl WindowFormat {
    /// What clients ask for.
    const NAMES: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("columns", Self::Columns),
        ("csv", Self::Csv),
        ("ndjson", Self::Ndjson),
        ("arrow", Self::Arrow),
    ];
    const ADVICE: &'static str = "json, columns, csv, ndjson or arrow";

    /// As which rows it is written, if as any.
    #[must_use]
    pub fn rows(self) -> Option<RowFormat> {
        match self {
            Self::Json => Some(RowFormat::Json),
            Self::Csv => Some(RowFormat::Csv),
            Self::Ndjson => Some(RowFormat::Ndjson),
            Self::Columns | Self::Arrow => None,
        }
    }
}

/// The parameters of a window.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tachograph::encode::{Cell, Moment};
/// use tachograph::http::query::{self, WindowParameters};
///
/// let query = "from=-1h&step=10s&agg=max,p99&match=nic%2F*";
/// let wanted: WindowParameters = query::parse(query).expect("sound");
/// assert_eq!(wanted.from, Some(Moment::Before(Duration::from_secs(3600))));
/// assert_eq!(wanted.cells, [Cell::Max, Cell::Percentile(99)]);
/// assert!(wanted.series.admits("nic/eth0/receive_bytes"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowParameters {
    /// Which rings, and which of their series.
    pub series: ListParameters,
    /// The earliest time; unless it is said, five minutes ago or, with `since_seq`, ever.
    pub from: Option<Moment>,
    /// The latest time; unless it is said, now.
    pub to: Option<Moment>,
    /// Only records after this one, of one ring.
    pub since_seq: Option<u64>,
    /// How long the steps are; every record without.
    pub step: Option<Duration>,
    /// What is told of a step.
    pub cells: Vec<Cell>,
    /// How it is written.
    pub format: WindowFormat,
    /// How many points there may be in one answer.
    pub limit: Option<u64>,
    /// Where the answer before has ended.
    pub next: Option<Cursor>,
}

impl WindowParameters {
    /// The length of a step in nanoseconds; of what is told of the whole window, all there are.
    #[must_use]
    pub fn step_ns(&self) -> Option<u64> {
        match self.step {
            Some(step) => Some(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX)),
            None if self.cells.is_empty() => None,
            None => Some(u64::MAX),
        }
    }
}

impl Parameters for WindowParameters {
    const NAMES: &'static [&'static str] =
        &["ring", "match", "from", "to", "since_seq", "step", "agg", "format", "limit", "next"];
    const REPEATED: &'static [&'static str] = &["ring", "match", "agg"];

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        let not_one = ParameterError::NotOneOf;
        match Self::NAMES[index] {
            "from" => self.from = Some(moment(value)?),
            "to" => self.to = Some(moment(value)?),
            "since_seq" => self.since_seq = Some(integer(value)?),
            "step" => {
                self.step = Some(duration(value).map_err(|_| ParameterError::NotDuration)?);
            }
            "agg" => {
                for name in value.split(',') {
                    if self.cells.len() == CHOICES_MAX {
                        return Err(ParameterError::TooMany);
                    }
                    let cell = name.trim().parse().map_err(|()| not_one(AGGREGATIONS))?;
                    if !self.cells.contains(&cell) {
                        self.cells.push(cell);
                    }
                }
            }
            "format" => {
                let named = WindowFormat::NAMES.iter().find(|(name, _)| *name == value);
                self.format = named.ok_or(not_one(WindowFormat::ADVICE))?.1;
            }
            "limit" => match integer(value)? {
                0 => return Err(ParameterError::Zero),
                limit => self.limit = Some(limit),
            },
            "next" => self.next = Some(value.parse().map_err(|_| ParameterError::NotCursor)?),
            _ => self.series.set(index, value)?,
        }
        Ok(())
    }
}

const AGGREGATIONS: &str = "avg, min, max, last, sum, rate, increase or p1 to p99";

fn integer(value: &str) -> Result<u64, ParameterError> {
    value.parse().map_err(ParameterError::NotInteger)
}

/// A moment. A plus that was not encoded, as in `+01:00`, has come as a space.
fn moment(value: &str) -> Result<Moment, ParameterError> {
    let parsed = value.parse().or_else(|_| value.replace(' ', "+").parse());
    parsed.map_err(|_: String| ParameterError::NotMoment)
}

#[cfg(test)]
mod tests {
    use super::super::{ParameterErrors, parse};
    use super::*;

    fn read(query: &str) -> Result<WindowParameters, String> {
        parse(query).map_err(|errors: ParameterErrors| errors.to_string())
    }

    #[test]
    fn moments_are_read_in_every_way() {
        const NOW: u64 = 1_795_367_200_000_000_000;
        for (text, ns) in [
            ("now", NOW),
            ("-5m", NOW - 300_000_000_000),
            ("-5min", NOW - 300_000_000_000),
            ("1795367200", NOW),
            ("1795367200000", NOW),
            ("2026-11-22T17:06:40Z", NOW),
            ("2026-11-22T18:06:40%2B01:00", NOW),
            ("2026-11-22T18:06:40+01:00", NOW),
        ] {
            let from = read(&format!("from={text}")).expect(text).from.expect(text);
            assert_eq!(from.ns(NOW), ns, "{text}");
        }
    }

    #[test]
    fn aggregations_may_be_listed_or_repeated() {
        use Cell::{Avg, Max, Percentile};
        let cells = |query: &str| read(query).expect(query).cells;
        assert_eq!(cells("agg=avg,max&agg=p50&agg=max"), [Avg, Max, Percentile(50)]);
        for wrong in ["", "mean", "p0", "p100", "p+5", "p", "avg,", "count", "p%C2%B2"] {
            let told = read(&format!("agg={wrong}")).expect_err(wrong);
            assert!(told.starts_with("agg: not one of avg, "), "{told}");
        }
        let many: Vec<_> = (1..=17).map(|percent| format!("p{percent}")).collect();
        assert!(read(&format!("agg={}", many[..16].join(","))).is_ok());
        assert!(read(&format!("agg={}", many.join(","))).is_err());
    }

    #[test]
    fn without_a_step_an_aggregation_is_of_the_whole_window() {
        let step_ns = |query: &str| read(query).expect(query).step_ns();
        assert_eq!(step_ns(""), None);
        assert_eq!(step_ns("step=1s"), Some(1_000_000_000));
        assert_eq!(step_ns("agg=max"), Some(u64::MAX));
    }

    #[test]
    fn each_wrong_value_is_named() {
        let query = "from=x&to=&since_seq=-1&step=5&format=xml&limit=0&next=4&match=a[&bogus=1";
        let told = read(query).expect_err("all of them");
        for name in ["from", "to", "since_seq", "step", "format", "limit", "next", "match", "bogus"]
        {
            assert!(told.contains(&format!("{name}: ")), "{name} in {told}");
        }
    }
}
