//! The parameters of a stream.

use std::time::Duration;

use glob::{Pattern, PatternError};

use super::{CHOICES_MAX, ParameterError, Parameters, number};
use crate::encode::{EventId, Start};

/// Longest pause between two frames that can be asked for.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Which records a stream is of, and how many frames it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamParameters {
    /// Name of the ring; that of the host, if there is none.
    pub ring: Option<String>,
    /// Patterns of which a series' `OBJECT/METRIC` must match one; all series, if there is none.
    pub matching: Vec<Pattern>,
    /// Where it begins; with the newest record, if nothing is said.
    pub start: Option<Start>,
    /// Shortest time between two frames.
    pub interval: Option<Duration>,
    /// After how many frames it ends.
    pub frames: Option<u64>,
}

impl StreamParameters {
    /// Whether a series of this `OBJECT/METRIC` is wanted.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        self.matching.is_empty() || self.matching.iter().any(|pattern| pattern.matches(name))
    }
}

impl Parameters for StreamParameters {
    const NAMES: &'static [&'static str] = &["ring", "match", "since_seq", "interval", "frames"];
    const REPEATED: &'static [&'static str] = &["match"];

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        match Self::NAMES[index] {
            "ring" => self.ring = Some(value.to_owned()),
            "match" if self.matching.len() == CHOICES_MAX => return Err(ParameterError::TooMany),
            "match" => {
                let not_pattern = |error: PatternError| ParameterError::NotPattern(error.msg);
                self.matching.push(Pattern::new(value).map_err(not_pattern)?);
            }
            "since_seq" => {
                let id = EventId { seq: number(value)?, realtime_ns: None };
                self.start = Some(Start::After(id));
            }
            "interval" => {
                let parsed = value.parse::<jiff::SignedDuration>().ok();
                let interval = parsed.and_then(|interval| Duration::try_from(interval).ok());
                let interval = interval.filter(|interval| *interval <= INTERVAL_MAX);
                self.interval = Some(interval.ok_or(ParameterError::NotDuration)?);
            }
            _ => self.frames = Some(number(value)?),
        }
        Ok(())
    }
}
