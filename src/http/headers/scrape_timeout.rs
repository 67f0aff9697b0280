//! `X-Prometheus-Scrape-Timeout-Seconds`: how long a scraper waits for an answer.

use std::time::Duration;

/// The longest time that is believed; a longer one counts as this.
pub const SCRAPE_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Longest text of a number that is read.
const NUMBER_BYTES_MAX: usize = 32;

/// The time that the header's value states, in seconds with or without decimals.
///
/// Nothing that is malformed, and no zero, limits an answer: a scraper that cannot say how long it
/// waits still wants what it asks for.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tachograph::http::headers::scrape_timeout;
///
/// assert_eq!(scrape_timeout("2.5"), Some(Duration::from_millis(2500)));
/// assert_eq!(scrape_timeout("soon"), None);
/// ```
#[must_use]
pub fn scrape_timeout(value: &str) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_plain || value.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let seconds: f64 = value.parse().ok()?;
    let time = Duration::from_secs_f64(seconds.min(SCRAPE_TIMEOUT_MAX.as_secs_f64()));
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_and_bounded() {
        for (value, seconds) in [
            ("10", Some(10.0)),
            (" 0.25\t", Some(0.25)),
            ("3.000000", Some(3.0)),
            ("3600.5", Some(3600.0)),
            ("99999999999999999999999999999999", Some(3600.0)),
            ("0", None),
            ("0.0000000001", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("10s", None),
            ("999999999999999999999999999999999", None),
        ] {
            assert_eq!(scrape_timeout(value).map(|time| time.as_secs_f64()), seconds, "{value}");
        }
    }
}
