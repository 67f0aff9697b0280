//! The parameters of the Prometheus endpoints.

use std::time::Duration;

use super::{ParameterError, Parameters, number};
use crate::encode::duration;
use crate::encode::prometheus::Collectors;
use crate::http::cursors;

/// Longest time that `window` may be: more than any ring reaches back.
const WINDOW_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Which families of which ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeParameters {
    /// Name of the ring; that of the host, if there is none.
    pub ring: Option<String>,
    /// The collectors that are asked for; all, if there is none.
    pub collect: Option<Collectors>,
    /// The collectors that are not wanted.
    pub exclude: Option<Collectors>,
}

impl ScrapeParameters {
    const NAMES: [&'static str; 3] = ["ring", "collect[]", "exclude[]"];
    const REPEATED: [&'static str; 2] = ["collect[]", "exclude[]"];

    /// The collectors that are wanted.
    #[must_use]
    pub fn collectors(&self) -> Collectors {
        let all = self.collect.unwrap_or(Collectors::ALL);
        all.without(self.exclude.unwrap_or(Collectors::NONE))
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), ParameterError> {
        let set = match name {
            "ring" => {
                self.ring = Some(value.to_owned());
                return Ok(());
            }
            "collect[]" => &mut self.collect,
            _ => &mut self.exclude,
        };
        let one = Collectors::named(value).map_err(ParameterError::NotCollector)?;
        *set = Some(set.unwrap_or(Collectors::NONE).and(one));
        Ok(())
    }
}

impl Parameters for ScrapeParameters {
    const NAMES: &'static [&'static str] = &ScrapeParameters::NAMES;
    const REPEATED: &'static [&'static str] = &ScrapeParameters::REPEATED;

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        self.put(ScrapeParameters::NAMES[index], value)
    }
}

/// Which families of which ring, and from when on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryParameters {
    /// Which families of which ring.
    pub scrape: ScrapeParameters,
    /// How far back; with a cursor, how far back at most.
    pub window: Option<Duration>,
    /// Only records after this one.
    pub since_seq: Option<u64>,
    /// Only what the cursor of this name has not been given.
    pub cursor: Option<String>,
}

impl Parameters for HistoryParameters {
    const NAMES: &'static [&'static str] =
        &["ring", "collect[]", "exclude[]", "window", "since_seq", "cursor"];
    const REPEATED: &'static [&'static str] = &ScrapeParameters::REPEATED;

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        match Self::NAMES[index] {
            "window" => {
                let window = duration(value).ok().filter(|window| *window <= WINDOW_MAX);
                self.window = Some(window.ok_or(ParameterError::NotDuration)?);
            }
            "since_seq" => self.since_seq = Some(number(value)?),
            "cursor" if cursors::is_name(value) => self.cursor = Some(value.to_owned()),
            "cursor" => return Err(ParameterError::NotName),
            name => self.scrape.put(name, value)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ParameterErrors, parse};
    use super::*;

    fn history(query: &str) -> Result<HistoryParameters, String> {
        parse(query).map_err(|errors: ParameterErrors| errors.to_string())
    }

    #[test]
    fn collectors_are_chosen_or_left_out() {
        let collectors = |query| parse::<ScrapeParameters>(query).expect(query).collectors();
        assert_eq!(collectors(""), Collectors::ALL);
        let some = collectors("collect[]=cpu&collect%5B%5D=stat");
        assert!(some.has("cpu") && some.has("stat") && !some.has("vmstat"));
        let rest = collectors("exclude[]=cpu&exclude[]=stat&ring=fast");
        assert!(!rest.has("cpu") && !rest.has("stat") && rest.has("vmstat"));
        let told = parse::<ScrapeParameters>("collect[]=cpus&colect[]=cpu").expect_err("two");
        let told = told.to_string();
        assert!(told.starts_with("collect[]: there is no such collector; there are cpufreq, cpu,"));
        assert!(told.ends_with("colect[]: schema does not allow additional properties."), "{told}");
    }

    #[test]
    fn history_begins_where_it_is_told() {
        let sound = history("window=1m30s&cursor=prom-a.1&since_seq=18446744073709551615");
        let sound = sound.expect("sound");
        assert_eq!(sound.window, Some(Duration::from_secs(90)));
        assert_eq!(sound.cursor.as_deref(), Some("prom-a.1"));
        assert_eq!(sound.since_seq, Some(u64::MAX));
        for (query, told) in [
            ("window=30", "window: not a duration: write 10ms, 1s, 5min or 1h."),
            ("window=-30s", "window: not a duration: write 10ms, 1s, 5min or 1h."),
            ("window=0s", "window: not a duration: write 10ms, 1s, 5min or 1h."),
            ("window=10000h", "window: not a duration: write 10ms, 1s, 5min or 1h."),
            ("since_seq=-1", "since_seq: invalid digit found in string"),
            (
                "cursor=",
                "cursor: not a name of 1 to 64 letters, digits, dots, dashes and underscores.",
            ),
            (
                "cursor=a/b",
                "cursor: not a name of 1 to 64 letters, digits, dots, dashes and underscores.",
            ),
            ("window=1s&window=2s", "window: duplicate parameter."),
        ] {
            assert_eq!(history(query), Err(told.to_owned()), "{query}");
        }
    }
}
