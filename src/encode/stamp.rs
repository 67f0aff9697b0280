//! Moments as RFC 3339 has them, in UTC, to the microsecond.

use super::room::BLOCK;

/// How long the text is: `2026-11-22T17:06:40.000123Z`.
pub(super) const STAMP_BYTES: usize = 27;

const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: u64 = 86_400;

/// Writes moments. The date is worked out when it is another than that of the moment before.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// Days since 1970.
    day: u64,
    text: [u8; BLOCK],
}

impl Stamp {
    pub(super) fn new() -> Self {
        let mut text = [0; BLOCK];
        text[..STAMP_BYTES].copy_from_slice(b"1970-01-01T00:00:00.000000Z");
        Self { day: 0, text }
    }

    /// The text of a moment, in nanoseconds since 1970; [`STAMP_BYTES`] of the block. What is less
    /// than a microsecond is left out.
    #[inline]
    pub(super) fn of(&mut self, realtime_ns: u64) -> &[u8; BLOCK] {
        let (seconds, ns) = (realtime_ns / NS_PER_S, realtime_ns % NS_PER_S);
        let (day, second) = (seconds / S_PER_DAY, seconds % S_PER_DAY);
        if day != self.day {
            self.day = day;
            let (year, month, day) = date(day);
            for (at, pair) in [(0, year / 100), (2, year % 100), (5, month), (8, day)] {
                self.pair(at, pair);
            }
        }
        let us = ns / 1000;
        for (at, pair) in [
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
            (20, us / 10_000),
            (22, us / 100 % 100),
            (24, us % 100),
        ] {
            self.pair(at, pair);
        }
        &self.text
    }

    #[inline]
    fn pair(&mut self, at: usize, pair: u64) {
        let pair = pair as u8;
        self.text[at] = b'0' + pair / 10;
        self.text[at + 1] = b'0' + pair % 10;
    }
}

/// Year, month and day of a day since 1970.
///
/// The year is taken to begin in March, so that the day that not every year has is its last, and
/// four hundred years, which always have as many days, are counted from the year 0.
fn date(day: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let day = day + DAYS_TO_1970;
    let (era, of_era) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    let leaps = of_era / 1460 - of_era / 36_524 + of_era / 146_096;
    let year_of_era = (of_era - leaps) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days, and so have the next five.
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, of_month)
}

/// Appends a moment.
pub(super) fn push_time(out: &mut Vec<u8>, realtime_ns: u64) {
    out.extend_from_slice(&Stamp::new().of(realtime_ns)[..STAMP_BYTES]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(stamp: &mut Stamp, realtime_ns: u64) {
        let oracle = jiff::Timestamp::from_nanosecond(realtime_ns.into()).expect("a moment");
        let text = &stamp.of(realtime_ns)[..STAMP_BYTES];
        assert_eq!(str::from_utf8(text), Ok(&*format!("{oracle:.6}")), "{realtime_ns}");
    }

    #[test]
    fn every_day_that_there_is_has_its_date() {
        let mut stamp = Stamp::new();
        for day in 0..u64::MAX / NS_PER_S / S_PER_DAY {
            check(&mut stamp, day * S_PER_DAY * NS_PER_S + day % NS_PER_S);
        }
        check(&mut stamp, u64::MAX);
        check(&mut stamp, 0);
    }

    proptest! {
        #[test]
        fn moments_are_as_jiff_prints_them(moments: Vec<u64>) {
            let mut stamp = Stamp::new();
            moments.iter().for_each(|&moment| check(&mut stamp, moment));
        }
    }
}
