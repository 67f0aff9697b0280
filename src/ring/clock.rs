//! The two clocks that a record carries.

use rustix::time::{ClockId, clock_gettime};

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
