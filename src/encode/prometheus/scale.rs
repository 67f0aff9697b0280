//! From a stored word to the number that a sample says.

use crate::encode::number::{F64_ROOM, write_decimal, write_f64, write_u64};
use crate::record::{Repr, Unit, f64_of_word, u64_of_word};

/// How the word of a series becomes a number in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// An integer as it is.
    Integer,
    /// An integer of sectors, as bytes.
    Sectors,
    /// An integer of thousands.
    Thousands,
    /// An integer of hundredths.
    Hundredths,
    /// An integer of thousandths.
    Thousandths,
    /// An integer of millionths.
    Millionths,
    /// An integer of thousand-millionths.
    Billionths,
    /// A double as it is.
    Double,
    /// A double of hundredths.
    DoubleHundredths,
    /// A double of thousandths.
    DoubleThousandths,
    /// A double of millionths.
    DoubleMillionths,
    /// No word: the record's own time, in seconds.
    Time,
    /// No word: 1.
    One,
}

impl Scale {
    /// That of a series in base units.
    pub(super) fn to_base(unit: Unit, repr: Repr) -> Self {
        match (repr, unit) {
            (Repr::U64, Unit::Sectors) => Self::Sectors,
            (Repr::U64, Unit::Kilohertz) => Self::Thousands,
            (Repr::U64, Unit::Ticks | Unit::Percent) => Self::Hundredths,
            (Repr::U64, Unit::Milliseconds | Unit::Millicelsius | Unit::Thousandths) => {
                Self::Thousandths
            }
            (Repr::U64, Unit::Microseconds | Unit::Millionths) => Self::Millionths,
            (Repr::U64, Unit::Nanoseconds) => Self::Billionths,
            (Repr::U64, _) => Self::Integer,
            (Repr::F64, Unit::Ticks | Unit::Percent) => Self::DoubleHundredths,
            (Repr::F64, Unit::Milliseconds | Unit::Millicelsius | Unit::Thousandths) => {
                Self::DoubleThousandths
            }
            (Repr::F64, Unit::Microseconds | Unit::Millionths) => Self::DoubleMillionths,
            (Repr::F64, _) => Self::Double,
        }
    }

    /// That of a series as it is stored.
    pub(super) fn as_stored(repr: Repr) -> Self {
        match repr {
            Repr::U64 => Self::Integer,
            Repr::F64 => Self::Double,
        }
    }

    /// Whether there is a word to be loaded.
    pub(super) fn has_word(self) -> bool {
        !matches!(self, Self::Time | Self::One)
    }

    /// Writes the number at the start of `room` and says how long it is; 0 when it is absent.
    #[inline]
    pub(super) fn write(self, room: &mut [u8; F64_ROOM], word: u64, realtime_ns: u64) -> usize {
        let integer = |room: &mut _, write: fn(&mut [u8; F64_ROOM], u64) -> usize| {
            u64_of_word(word).map_or(0, |value| write(room, value))
        };
        let double = |room: &mut _, parts: f64| {
            f64_of_word(word).map_or(0, |value| write_f64(room, value / parts))
        };
        match self {
            Self::Integer => integer(room, write_u64),
            Self::Sectors => integer(room, write_times::<512>),
            Self::Thousands => integer(room, write_times::<1000>),
            Self::Hundredths => integer(room, write_decimal::<2>),
            Self::Thousandths => integer(room, write_decimal::<3>),
            Self::Millionths => integer(room, write_decimal::<6>),
            Self::Billionths => integer(room, write_decimal::<9>),
            Self::Double => double(room, 1.0),
            Self::DoubleHundredths => double(room, 1e2),
            Self::DoubleThousandths => double(room, 1e3),
            Self::DoubleMillionths => double(room, 1e6),
            Self::Time => write_decimal::<9>(room, realtime_ns),
            Self::One => write_u64(room, 1),
        }
    }
}

/// Where the product is no 64-bit integer any more, the nearest double.
#[inline]
fn write_times<const FACTOR: u64>(room: &mut [u8; F64_ROOM], value: u64) -> usize {
    match value.checked_mul(FACTOR) {
        Some(product) => write_u64(room, product),
        None => write_f64(room, value as f64 * FACTOR as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ABSENT, word_of_f64};

    fn text(unit: Unit, repr: Repr, word: u64) -> String {
        let mut room = [0; F64_ROOM];
        let len = Scale::to_base(unit, repr).write(&mut room, word, 0);
        String::from_utf8(room[..len].to_vec()).expect("ASCII")
    }

    #[test]
    fn every_unit_comes_to_its_base_as_the_unit_says() {
        for unit in Unit::ALL {
            let (times, parts) = unit.to_base();
            for value in [0_u64, 1, 99, 12_345, 987_654_321_012] {
                let slow = value as f64 * times / parts;
                let number = |text: String| text.parse::<f64>().expect("a number");
                assert_eq!(number(text(*unit, Repr::U64, value)), slow, "{unit}");
            }
            assert_eq!(text(*unit, Repr::U64, ABSENT), "");
            assert_eq!(text(*unit, Repr::F64, ABSENT), "");
        }
        for unit in [Unit::Count, Unit::Percent, Unit::Millicelsius, Unit::Millionths] {
            let slow = 45_500.0 / unit.to_base().1;
            let written = text(unit, Repr::F64, word_of_f64(45_500.0));
            assert_eq!(written.parse(), Ok(slow), "{unit}");
        }
    }

    #[test]
    fn texts_are_exact_and_short() {
        assert_eq!(text(Unit::Ticks, Repr::U64, 1_161_758), "11617.58");
        assert_eq!(text(Unit::Ticks, Repr::U64, 1_161_750), "11617.5");
        assert_eq!(text(Unit::Ticks, Repr::U64, 1_161_700), "11617");
        assert_eq!(text(Unit::Nanoseconds, Repr::U64, 1), "0.000000001");
        assert_eq!(text(Unit::Sectors, Repr::U64, 3), "1536");
        assert_eq!(text(Unit::Sectors, Repr::U64, 1 << 60), "5.902958103587057e+20");
        assert_eq!(text(Unit::Count, Repr::F64, word_of_f64(0.25)), "0.25");
        let mut room = [0; F64_ROOM];
        let len = Scale::Time.write(&mut room, ABSENT, 1_795_367_200_000_500_000);
        assert_eq!(&room[..len], b"1795367200.0005");
    }
}
