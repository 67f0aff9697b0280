//! Quantities as people read them.

use std::borrow::Cow;
use std::time::Duration;

use tachograph::record::Unit;
use tachograph::ring::Value;

/// A number of bytes, as in `12.8 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A length of time, as in `1 h 8 min` or `2.5 ms`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => nanoseconds(span.as_nanos() as f64),
        1..60 => format!("{:.3} s", span.as_secs_f64()).replace(".000 s", " s"),
        60..3600 => joined(seconds, 60, "min", "s"),
        3600..86_400 => joined(seconds / 60, 60, "h", "min"),
        _ => joined(seconds / 3600, 24, "d", "h"),
    }
}

fn joined(value: u64, per: u64, large: &str, small: &str) -> String {
    match value % per {
        0 => format!("{} {large}", value / per),
        rest => format!("{} {large} {rest} {small}", value / per),
    }
}

/// Nanoseconds, as in `2.5 ms`.
pub(crate) fn nanoseconds(ns: f64) -> String {
    match ns {
        0.0 => "0 s".to_owned(),
        ..1e3 => format!("{ns:.0} ns"),
        ..1e6 => format!("{:.1} us", ns / 1e3),
        ..1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

/// A value with its unit.
pub(crate) fn value(value: Value, unit: Unit) -> String {
    let number = value.as_f64();
    match unit {
        Unit::Bytes => bytes(number),
        Unit::Sectors => bytes(number * 512.0),
        Unit::Nanoseconds => nanoseconds(number),
        Unit::Microseconds => nanoseconds(number * 1e3),
        Unit::Milliseconds => nanoseconds(number * 1e6),
        Unit::Ticks => format!("{:.2} s", number / 100.0),
        Unit::Seconds => format!("{value} s"),
        Unit::Flag if number == 0.0 => "no".to_owned(),
        Unit::Flag => "yes".to_owned(),
        Unit::Kilohertz => format!("{:.2} GHz", number / 1e6),
        Unit::Percent => format!("{number:.2} %"),
        Unit::Millicelsius => format!("{:.1} °C", number / 1e3),
        Unit::Thousandths => format!("{:.3}", number / 1e3),
        Unit::Millionths => format!("{:.3}", number / 1e6),
        _ => value.to_string(),
    }
}

/// A name that a ring gives. In a file of unknown origin it may hold anything, also what would
/// steer a terminal.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    if name.contains(char::is_control) {
        name.escape_debug().to_string().into()
    } else {
        name.into()
    }
}

/// A moment, as in `2026-11-22T17:08:00.001Z`.
pub(crate) fn moment(realtime_ns: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(realtime_ns)).unwrap_or_default();
    format!("{stamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(name("nic/m\u{fc}ll"), "nic/m\u{fc}ll");
        assert_eq!(name("nic/\u{1b}[2J"), "nic/\\u{1b}[2J");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(25_276_502_016.0), "23.5 GiB");
        assert_eq!(span(Duration::from_secs(4096)), "1 h 8 min");
        assert_eq!(span(Duration::from_secs(3600)), "1 h");
        assert_eq!(span(Duration::from_millis(2500)), "2.500 s");
        assert_eq!(span(Duration::from_micros(1500)), "1.50 ms");
        assert_eq!(span(Duration::from_secs(50 * 3600)), "2 d 2 h");
        assert_eq!(moment(1_795_367_200_001_000_000), "2026-11-22T17:06:40.001Z");
        assert_eq!(value(Value::U64(250), Unit::Ticks), "2.50 s");
        assert_eq!(value(Value::U64(0), Unit::Milliseconds), "0 s");
        assert_eq!(value(Value::U64(1), Unit::Flag), "yes");
        assert_eq!(value(Value::F64(-5500.0), Unit::Millicelsius), "-5.5 °C");
        assert_eq!(value(Value::U64(2_400_000), Unit::Kilohertz), "2.40 GHz");
        assert_eq!(value(Value::F64(0.5), Unit::Count), "0.5");
    }
}
