//! Moments as people write them: `now`, `-5m`, `2026-11-22T17:00:00Z`, seconds since 1970.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

/// Numbers from here on are milliseconds since 1970 and not seconds: as seconds they would be beyond
/// the year 5138, as milliseconds they begin in 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A moment that may depend on what "now" is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Before(Duration),
    /// Nanoseconds since 1970.
    At(u64),
}

impl Moment {
    /// In nanoseconds since 1970.
    #[must_use]
    pub fn ns(self, now_ns: u64) -> u64 {
        match self {
            Self::Before(span) => {
                now_ns.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
            }
            Self::At(ns) => ns,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Before(Duration::ZERO));
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        if let (true, Ok(number)) = (number, text.parse::<i64>()) {
            let stamp = match number {
                MILLISECONDS_FROM.. => Timestamp::from_millisecond(number),
                _ => Timestamp::from_second(number),
            };
            return at(text, stamp.ok());
        }
        if let Some(span) = text.strip_prefix('-') {
            return duration(span).map(Self::Before);
        }
        at(text, text.parse().ok())
    }
}

/// A duration as people write it; a bare number is refused since its unit is not known.
///
/// # Errors
///
/// A sentence that says what could be written instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no duration; write 10ms, 1s, 5min or 1h"))?;
    let duration = Duration::try_from(parsed).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| format!("{text:?} is not longer than no time"))
}

fn at(text: &str, stamp: Option<Timestamp>) -> Result<Moment, String> {
    let ns = stamp.and_then(|stamp| u64::try_from(stamp.as_nanosecond()).ok());
    ns.map(Moment::At).ok_or_else(|| {
        format!(
            "{text:?} is no moment; write now, -5m, 2026-11-22T17:00:00Z, or seconds or \
             milliseconds since 1970"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_understood_as_people_write_them() {
        const NOW: u64 = 1_795_367_200_000_000_000;
        for (text, ns) in [
            ("now", NOW),
            ("-5m", NOW - 300_000_000_000),
            ("-90s", NOW - 90_000_000_000),
            ("-1h", NOW - 3_600_000_000_000),
            ("1795367200", NOW),
            ("1795367200250", NOW + 250_000_000),
            ("2026-11-22T17:06:40Z", NOW),
            ("2026-11-22T18:06:40.5+01:00", NOW + 500_000_000),
        ] {
            assert_eq!(text.parse::<Moment>().map(|moment| moment.ns(NOW)), Ok(ns), "{text}");
        }
        for wrong in ["", "-", "-5", "5m", "yesterday", "-1s-", "1e9", "99999999999999999999"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        assert_eq!("-9999999h".parse::<Moment>().map(|moment| moment.ns(NOW)), Ok(0));
    }
}
