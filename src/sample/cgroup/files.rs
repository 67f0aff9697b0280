//! Which files a group has, in which version, and what they say.

use std::ffi::CStr;
use std::ops::Range;

use super::super::SampleError;
use super::parse::{amount, block_io, io_stat, keyed, stall_totals};
use crate::record::ABSENT;

/// The metrics of a group. What a file gives stands side by side.
pub(super) const METRICS: [&str; 29] = [
    "cpu_usage_us",
    "cpu_user_us",
    "cpu_system_us",
    "cpu_periods",
    "cpu_throttled_periods",
    "cpu_throttled_us",
    "memory_bytes",
    "memory_peak_bytes",
    "memory_limit_bytes",
    "memory_swap_bytes",
    "memory_low_events",
    "memory_high_events",
    "memory_max_events",
    "memory_oom_events",
    "memory_oom_kills",
    "io_read_bytes",
    "io_written_bytes",
    "io_discarded_bytes",
    "io_reads_completed",
    "io_writes_completed",
    "io_discards_completed",
    "pressure_cpu_some_us",
    "pressure_cpu_full_us",
    "pressure_memory_some_us",
    "pressure_memory_full_us",
    "pressure_io_some_us",
    "pressure_io_full_us",
    "tasks",
    "tasks_limit",
];

const MEMORY: usize = 6;
const MEMORY_PEAK: usize = 7;
const MEMORY_LIMIT: usize = 8;
const MEMORY_SWAP: usize = 9;
const TASKS: usize = 27;
const TASKS_LIMIT: usize = 28;

/// Whether a metric may have no value while its file is in order.
pub(super) fn may_be_absent(metric: usize) -> bool {
    matches!(metric, MEMORY_LIMIT | TASKS_LIMIT)
}

/// One word for each of [`METRICS`].
pub(super) type Words = [u64; METRICS.len()];

/// A file of a group.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: &'static CStr,
    /// What older kernels have in its place.
    pub(super) older_name: Option<&'static CStr>,
    text: Text,
    /// The metrics that it may give.
    pub(super) metrics: Range<usize>,
    /// Read at one turn of [`ROTATION_TURNS`], and this is its place among such files.
    pub(super) rotating: Option<usize>,
}

/// Limits and marks change when somebody acts. They are read in turns, so that a group costs one of
/// them at each turn; the value stands until its file's next turn.
pub(super) const ROTATION_TURNS: usize = 4;

/// Most files of a group in one hierarchy.
pub(super) const FILES_MAX: usize = 12;

/// The form of a file's text.
#[derive(Clone, Copy, Debug)]
enum Text {
    CpuStat,
    /// Nanoseconds of the first version.
    CpuUsageNs,
    /// Ticks of the first version.
    CpuModes,
    /// The first version's, in nanoseconds.
    CpuThrottling,
    Amount,
    Events,
    OomControl,
    Io,
    /// Bytes or requests of the first version.
    BlockIo,
    Pressure,
}

const fn file(name: &'static CStr, text: Text, metrics: Range<usize>) -> File {
    File { name, older_name: None, text, metrics, rotating: None }
}

const fn one(name: &'static CStr, metric: usize) -> File {
    file(name, Text::Amount, metric..metric + 1)
}

const fn rotating(name: &'static CStr, metric: usize, place: usize) -> File {
    File { rotating: Some(place), ..one(name, metric) }
}

const fn or_older(name: &'static CStr, older_name: &'static CStr, metrics: Range<usize>) -> File {
    File { older_name: Some(older_name), ..file(name, Text::BlockIo, metrics) }
}

/// The files of the second version.
pub(super) const UNIFIED: &[File] = &[
    file(c"cpu.stat", Text::CpuStat, 0..6),
    one(c"memory.current", MEMORY),
    rotating(c"memory.peak", MEMORY_PEAK, 0),
    rotating(c"memory.max", MEMORY_LIMIT, 1),
    rotating(c"memory.swap.current", MEMORY_SWAP, 2),
    file(c"memory.events", Text::Events, 10..15),
    file(c"io.stat", Text::Io, 15..21),
    file(c"cpu.pressure", Text::Pressure, 21..23),
    file(c"memory.pressure", Text::Pressure, 23..25),
    file(c"io.pressure", Text::Pressure, 25..27),
    one(c"pids.current", TASKS),
    rotating(c"pids.max", TASKS_LIMIT, 3),
];

/// A controller of the first version.
#[derive(Debug)]
pub(super) struct Controller {
    /// The directories that it may have been mounted at.
    pub(super) directories: &'static [&'static str],
    pub(super) files: &'static [File],
}

const CPU: &[File] = &[file(c"cpu.stat", Text::CpuThrottling, 3..6)];

const CPUACCT: &[File] =
    &[file(c"cpuacct.usage", Text::CpuUsageNs, 0..1), file(c"cpuacct.stat", Text::CpuModes, 1..3)];

/// Both of the above, when they are mounted together.
pub(super) const CPU_CPUACCT: &[File] = &[
    file(c"cpuacct.usage", Text::CpuUsageNs, 0..1),
    file(c"cpuacct.stat", Text::CpuModes, 1..3),
    file(c"cpu.stat", Text::CpuThrottling, 3..6),
];

/// The controllers of the first version. The two of the CPU come first, side by side.
pub(super) const CONTROLLERS: [Controller; 5] = [
    Controller { directories: &["cpu", "cpu,cpuacct", "cpuacct,cpu"], files: CPU },
    Controller { directories: &["cpuacct", "cpu,cpuacct", "cpuacct,cpu"], files: CPUACCT },
    Controller {
        directories: &["memory"],
        files: &[
            one(c"memory.usage_in_bytes", MEMORY),
            rotating(c"memory.max_usage_in_bytes", MEMORY_PEAK, 0),
            rotating(c"memory.limit_in_bytes", MEMORY_LIMIT, 1),
            one(c"memory.failcnt", 12),
            file(c"memory.oom_control", Text::OomControl, 14..15),
        ],
    },
    Controller {
        directories: &["blkio"],
        files: &[
            or_older(
                c"blkio.throttle.io_service_bytes_recursive",
                c"blkio.throttle.io_service_bytes",
                15..18,
            ),
            or_older(
                c"blkio.throttle.io_serviced_recursive",
                c"blkio.throttle.io_serviced",
                18..21,
            ),
        ],
    },
    Controller {
        directories: &["pids"],
        files: &[one(c"pids.current", TASKS), rotating(c"pids.max", TASKS_LIMIT, 3)],
    },
];

impl File {
    /// Whether the numbers are sums over devices, which fall when a device goes.
    pub(super) fn is_sum(&self) -> bool {
        matches!(self.text, Text::Io | Text::BlockIo)
    }

    /// Puts what `text` says into `words`, and says how many devices were summed.
    pub(super) fn understand(&self, text: &[u8], words: &mut Words) -> Result<u32, SampleError> {
        let Some(words) = words.get_mut(self.metrics.clone()) else { return Ok(0) };
        let mut devices = 0;
        let outcome = match self.text {
            Text::CpuStat => keyed(text, |line| {
                let index = match line.key {
                    b"usage_usec" => 0,
                    b"user_usec" => 1,
                    b"system_usec" => 2,
                    b"nr_periods" => 3,
                    b"nr_throttled" => 4,
                    b"throttled_usec" => 5,
                    _ => return,
                };
                put(words, index, line.value);
            }),
            Text::CpuUsageNs => amount(text).map(|value| put(words, 0, us(value.unwrap_or(0)))),
            Text::CpuModes => keyed(text, |line| {
                /// A tick is a hundredth of a second wherever user space sees it.
                const TICK_US: u64 = 10_000;
                let index = match line.key {
                    b"user" => 0,
                    b"system" => 1,
                    _ => return,
                };
                put(words, index, line.value.saturating_mul(TICK_US));
            }),
            Text::CpuThrottling => keyed(text, |line| match line.key {
                b"nr_periods" => put(words, 0, line.value),
                b"nr_throttled" => put(words, 1, line.value),
                b"throttled_time" => put(words, 2, us(line.value)),
                _ => {}
            }),
            Text::Amount => amount(text).map(|value| put(words, 0, value.unwrap_or(ABSENT))),
            Text::Events => keyed(text, |line| {
                let index = match line.key {
                    b"low" => 0,
                    b"high" => 1,
                    b"max" => 2,
                    b"oom" => 3,
                    b"oom_kill" => 4,
                    _ => return,
                };
                put(words, index, line.value);
            }),
            Text::OomControl => keyed(text, |line| {
                if line.key == b"oom_kill" {
                    put(words, 0, line.value);
                }
            }),
            Text::Io => io_stat(text, |device| {
                devices += 1;
                for (index, value) in device.into_iter().enumerate() {
                    add(words, index, value);
                }
            }),
            Text::BlockIo => block_io(text, |line| {
                devices += u32::from(line.operation == 0);
                add(words, line.operation, line.value);
            }),
            Text::Pressure => {
                stall_totals(text, |(full, total_us)| put(words, usize::from(full), total_us))
            }
        };
        if self.is_sum() {
            // What could not be understood is missing from the sum.
            let nothing = if outcome.is_ok() { 0 } else { ABSENT };
            let wrong = |word: &u64| outcome.is_err() || *word == ABSENT;
            words.iter_mut().filter(|word| wrong(word)).for_each(|word| *word = nothing);
        }
        outcome.map(|()| devices)
    }
}

fn put(words: &mut [u64], index: usize, word: u64) {
    if let Some(place) = words.get_mut(index) {
        *place = word;
    }
}

fn add(words: &mut [u64], index: usize, value: u64) {
    if let Some(place) = words.get_mut(index) {
        *place = if *place == ABSENT { value } else { place.saturating_add(value) };
    }
}

/// Nanoseconds in microseconds, in which the second version counts.
fn us(ns: u64) -> u64 {
    ns / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file says, by metric.
    fn said(files: &[File], name: &CStr, text: &str) -> Vec<(&'static str, u64)> {
        let file = files.iter().find(|file| file.name == name).expect("a file of that name");
        let mut words = [ABSENT; METRICS.len()];
        let outcome = file.understand(text.as_bytes(), &mut words);
        assert!(outcome.is_ok(), "{name:?}: {outcome:?}");
        let all = METRICS.into_iter().zip(words);
        all.filter(|(_, word)| *word != ABSENT).collect()
    }

    #[test]
    fn both_versions_say_the_same_in_the_same_unit() {
        let unified = said(
            UNIFIED,
            c"cpu.stat",
            "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnice_usec 0\n\
             nr_periods 9\nnr_throttled 4\nthrottled_usec 77\nnr_bursts 0\n",
        );
        let mut first = said(CPU_CPUACCT, c"cpuacct.usage", "5000000123\n");
        first.extend(said(CPU_CPUACCT, c"cpuacct.stat", "user 300\nsystem 200\n"));
        let throttling = "nr_periods 9\nnr_throttled 4\nthrottled_time 77999\n";
        first.extend(said(CPU_CPUACCT, c"cpu.stat", throttling));
        assert_eq!(unified, first);
        assert_eq!(unified.len(), 6);
    }

    #[test]
    fn devices_are_summed() {
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 rbytes=10\n";
        let sums = said(UNIFIED, c"io.stat", text);
        let values: Vec<u64> = sums.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [11, 2, 5, 3, 4, 6]);
        assert_eq!(said(UNIFIED, c"io.stat", "").len(), 6, "nothing done yet is zero");
    }

    #[test]
    fn sum_of_a_text_that_is_not_understood_is_absent() {
        let mut words = [ABSENT; METRICS.len()];
        let io = UNIFIED.iter().find(|file| file.is_sum()).expect("io.stat");
        assert!(io.understand(b"8:0 rbytes=1 wbytes=2\n8:16 rbyt", &mut words).is_err());
        assert_eq!(words, [ABSENT; METRICS.len()]);
    }

    #[test]
    fn files_of_a_hierarchy_are_few_and_do_not_overlap() {
        for files in CONTROLLERS.iter().map(|controller| controller.files).chain([UNIFIED]) {
            assert!(files.len() <= FILES_MAX);
            let mut ends: Vec<_> = files.iter().map(|file| file.metrics.clone()).collect();
            ends.sort_by_key(|metrics| metrics.start);
            assert!(ends.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let places: Vec<_> = files.iter().filter_map(|file| file.rotating).collect();
            assert!(places.iter().all(|place| *place < ROTATION_TURNS));
        }
    }
}
