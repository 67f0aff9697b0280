//! What follows from two records: increases of counters, shares of CPU time.
//!
//! The ring holds raw counters; what happened between two records is derived over whatever step was
//! asked for. [`super::step`] has the rules for steps of a window. For two records by themselves:
//!
//! - a value that is absent in either record gives no result, never a zero;
//! - a counter that is smaller than before began anew, and what it counted in between is unknown:
//!   no result;
//! - CPU times are the exception: the kernel corrects idle and iowait downwards by a tick or two
//!   now and then, which is no new beginning; a time that went back did not advance;
//! - a share of nothing has no value;
//! - without an earlier record the step begins at boot, where all counters were zero.

/// Increase of a counter, if both values are known and it did not begin anew.
#[must_use]
pub fn increase(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    now?.checked_sub(before?)
}

/// The CPU time modes that make up all time, in the order of `/proc/stat`. Guest time is part of
/// user and nice time and not counted again.
pub const CPU_MODES: [&str; 8] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const IOWAIT: usize = 4;

/// One reading of the CPU times, in any unit, by [`CPU_MODES`]. Kernels before 2.6.11 lack the last.
pub type CpuTimes = [Option<u64>; CPU_MODES.len()];

/// Shares of CPU time over a step, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuShares {
    /// Time that was not idle; waiting for a disk counts as busy.
    pub busy: f64,
    /// Time idle while a task waited for a disk.
    pub iowait: f64,
}

/// Shares of CPU time between two readings, or since boot without an earlier one.
///
/// `None` when no time passed, or idle or iowait is not known.
#[must_use]
pub fn cpu_shares(before: Option<&CpuTimes>, now: &CpuTimes) -> Option<CpuShares> {
    let advance = |mode: usize| {
        let before = before.map_or(Some(0), |before| before[mode]);
        Some(now[mode]?.saturating_sub(before?))
    };
    let (idle, iowait) = (advance(IDLE)?, advance(IOWAIT)?);
    let total = (0..CPU_MODES.len()).filter_map(advance).try_fold(0_u64, u64::checked_add)?;
    if total == 0 {
        return None;
    }
    let share = |part: u64| part as f64 / total as f64;
    Some(CpuShares { busy: share(total - idle), iowait: share(iowait) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: [u64; 8]) -> CpuTimes {
        values.map(Some)
    }

    #[test]
    fn increase_knows_nothing_across_a_new_beginning() {
        assert_eq!(increase(Some(5), Some(9)), Some(4));
        assert_eq!(increase(Some(9), Some(5)), None);
        assert_eq!(increase(None, Some(5)), None);
        assert_eq!(increase(Some(5), None), None);
    }

    #[test]
    fn shares_are_of_the_time_between_the_readings() {
        let before = times([100, 0, 100, 1000, 50, 0, 0, 0]);
        let now = times([130, 0, 120, 1040, 60, 0, 0, 0]);
        let shares = cpu_shares(Some(&before), &now).expect("time passed");
        assert_eq!((shares.busy, shares.iowait), (0.6, 0.1));
        let since_boot = cpu_shares(None, &times([1, 0, 1, 6, 2, 0, 0, 0])).expect("time passed");
        assert_eq!((since_boot.busy, since_boot.iowait), (0.4, 0.2));
    }

    #[test]
    fn times_that_went_back_did_not_advance() {
        let before = times([100, 0, 100, 1000, 50, 0, 0, 0]);
        let now = times([110, 0, 110, 998, 49, 0, 0, 0]);
        let shares = cpu_shares(Some(&before), &now).expect("time passed");
        assert_eq!((shares.busy, shares.iowait), (1.0, 0.0));
    }

    #[test]
    fn no_time_or_no_reading_gives_no_share() {
        let now = times([1; 8]);
        assert_eq!(cpu_shares(Some(&now), &now), None);
        let mut unknown = times([2; 8]);
        unknown[IDLE] = None;
        assert_eq!(cpu_shares(Some(&now), &unknown), None);
        assert_eq!(cpu_shares(Some(&unknown), &times([9; 8])), None);
        let mut no_steal = times([2; 8]);
        no_steal[7] = None;
        assert!(cpu_shares(Some(&now), &no_steal).is_some());
    }
}
