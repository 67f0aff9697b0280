//! The two clocks that a record carries.

use rustix::time::{ClockId, clock_gettime};

/// A wall clock that moved against the boot clock by less than this, or by less than a hundredth of
/// the interval, was being adjusted and not set.
const STEP_NS_MIN: u64 = 10_000_000;
const STEP_SHARE: u64 = 100;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// As [`realtime_ns`].
    pub realtime_ns: u64,
    /// As [`boottime_ns`].
    pub boottime_ns: u64,
}

impl Now {
    /// Reads both.
    #[must_use]
    pub fn read() -> Self {
        Self { realtime_ns: realtime_ns(), boottime_ns: boottime_ns() }
    }

    /// Whether the wall clock was set since `last`, the moment of a record before, in a ring with one
    /// each `interval_ns`.
    #[must_use]
    pub fn was_set_since(self, last: Self, interval_ns: u64) -> bool {
        let passed_ns = self.boottime_ns.saturating_sub(last.boottime_ns);
        let expected_ns = last.realtime_ns.saturating_add(passed_ns);
        expected_ns.abs_diff(self.realtime_ns) > STEP_NS_MIN.max(interval_ns / STEP_SHARE)
    }
}

/// `CLOCK_REALTIME`: nanoseconds since 1970, as the machine's clock is set.
#[must_use]
pub fn realtime_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// `CLOCK_BOOTTIME`: nanoseconds since the machine started. It goes on during suspend and is never
/// set.
#[must_use]
pub fn boottime_ns() -> u64 {
    nanoseconds(ClockId::Boottime)
}

/// A clock that is set to before its origin reads zero.
fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000) + now.tv_nsec as u64
}
