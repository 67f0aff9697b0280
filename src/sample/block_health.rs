//! `/sys/block`: what the kernel knows of a disk's health without asking the disk.
//!
//! ```text
//! sda/size 7814037168    sda/device/state running    sda/device/ioerr_cnt 0x2
//! nvme0n1/device/state live    nvme0n1/device/firmware_rev 2B2QEXM7
//! md0/md/array_state clean    md0/md/degraded 0    md0/md/sync_action idle
//! ```
//!
//! SCSI devices count commands, in hexadecimal; all have had a state since they were found, and most
//! say what model they are. Serial numbers are left out on purpose, though anybody may read some of
//! them: they say more about an owner than about a disk. Temperatures are `hwmon`'s.
//!
//! Nothing here goes to the disk, but an array that is being taken apart can hold up its readers; so
//! a thread reads all of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{ABSENT, Class, info_metric, object_id};

use super::attribute::{ATTRIBUTE_BYTES_MAX, Answer, names_in, number, read};
use super::background::Background;
use super::columns::Columns;
use super::fields::Fields;
use super::readings::Readings;
use super::rows::Rows;
use super::source::{Source, Standing};
use super::{Roots, SampleError};

/// Most disks that are followed.
const DISKS_MAX: usize = 1024;

/// How long the first turn waits, so that the first record has the values.
const SETTLE: Duration = Duration::from_millis(500);

/// What is read of every disk: file and metric.
const DISK: [(&str, &str); 4] = [
    ("size", "size_sectors"),
    ("ro", "readonly"),
    ("removable", "removable"),
    ("queue/rotational", "rotational"),
];

/// What is read of those that have a device or are an array.
const NUMBERS: [(&str, &str); 7] = [
    ("device/iorequest_cnt", "io_requests"),
    ("device/iodone_cnt", "io_done"),
    ("device/ioerr_cnt", "io_errors"),
    ("device/iotmo_cnt", "io_timeouts"),
    ("md/raid_disks", "md_disks"),
    ("md/degraded", "md_degraded"),
    ("md/mismatch_cnt", "md_mismatch_sectors"),
];

/// The same for strings. SCSI calls the firmware's revision `rev`, NVMe `firmware_rev`.
const STRINGS: [(&str, &str); 6] = [
    ("device/state", "state"),
    ("device/model", "model"),
    ("device/rev", "firmware"),
    ("device/firmware_rev", "firmware"),
    ("md/array_state", "md_state"),
    ("md/sync_action", "md_sync_action"),
];

/// The source.
pub(super) struct BlockHealth {
    directory: PathBuf,
    period: Duration,
    thread: Option<Background<Readings>>,
    rows: Rows<1>,
    own: Fields<2>,
    standing: Standing,
}

impl BlockHealth {
    pub(super) fn new(roots: &Roots, period: Duration) -> Self {
        let series_max = DISKS_MAX * (DISK.len() + NUMBERS.len() + STRINGS.len());
        Self {
            directory: roots.sysfs.join("block"),
            period,
            thread: None,
            rows: Rows::new(series_max),
            own: Fields::new("host", ["block_health_age_ms", "block_health_stuck"]),
            standing: Standing::new(),
        }
    }

    /// Starts the thread that reads.
    fn start(&mut self) -> Result<(), SampleError> {
        let directory = self.directory.clone();
        let read = move |readings: &mut Readings| read_all(&directory, readings);
        let mut thread = Background::start("block health", self.period, read)?;
        thread.settle(Instant::now() + SETTLE);
        self.thread = Some(thread);
        Ok(())
    }
}

impl Source for BlockHealth {
    fn path(&self) -> &Path {
        &self.directory
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        if self.thread.is_none() {
            let started = self.start();
            self.standing.set(started);
        }
        let Some(thread) = &mut self.thread else { return self.standing.outcome() };
        let latest = thread.latest();
        self.own.begin();
        if latest.outcome.is_some() {
            self.own.put(0, latest.age_ns / 1_000_000, columns);
        }
        self.own.put(1, latest.stuck.into(), columns);
        let put = latest.value.put(&mut self.rows, columns);
        let stuck = if latest.stuck { Err(SampleError::Stuck) } else { Ok(()) };
        let read = latest.outcome.unwrap_or(Ok(()));
        self.standing.set(stuck.and(read).and(put).and(self.own.finish(columns)));
        self.standing.outcome()
    }

    fn tell_parts(&mut self, tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        // One attribute of one disk is no reason to look at the others less often.
        self.standing.tell(&self.directory, tell);
        true
    }
}

/// Reads what is known of each disk in `directory`.
fn read_all(directory: &Path, readings: &mut Readings) -> Result<(), SampleError> {
    readings.clear();
    let mut disks = BTreeSet::new();
    names_in(directory, |name| disks.extend([name.to_owned()]))?;
    let mut outcome = Ok(());
    for name in disks.iter().take(DISKS_MAX) {
        outcome = outcome.and(read_disk(&directory.join(name), name, readings));
    }
    readings.complete = true;
    if disks.len() > DISKS_MAX { outcome.and(Err(SampleError::TooMany)) } else { outcome }
}

/// Reads what is known of one disk.
fn read_disk(directory: &Path, name: &str, readings: &mut Readings) -> Result<(), SampleError> {
    let buffer = &mut [0; ATTRIBUTE_BYTES_MAX];
    // A slash cannot stand in a file's name; elsewhere the kernel writes it as it is.
    let object = object_id(Class::Disk, name.replace('!', "/").as_bytes());
    let has_device = directory.join("device").exists();
    let size = read(&directory.join("size"), buffer)?;
    if matches!(size, Answer::Value(b"0")) && !has_device {
        // A loop device that nothing is attached to, or an array without disks.
        return Ok(());
    }
    let mut outcome = Ok(());
    for (file, metric) in DISK.iter().chain(&NUMBERS) {
        let word = match read(&directory.join(file), buffer) {
            Ok(Answer::None) => continue,
            Ok(Answer::NotNow) => Ok(ABSENT),
            Ok(Answer::Value(text)) => number(text)
                .and_then(|number| u64::try_from(number).map_err(|_| SampleError::Malformed)),
            Err(error) => Err(error),
        };
        readings.push(&object, metric, word.unwrap_or(ABSENT));
        outcome = outcome.and(word.map(drop));
    }
    for (file, key) in STRINGS {
        match read(&directory.join(file), buffer) {
            Ok(Answer::Value(text)) if !text.is_empty() => {
                readings.push(&object, &info_metric(key, text), 1);
            }
            Ok(_) => {}
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Repr, metric};

    #[test]
    fn every_attribute_has_a_metric_of_integers() {
        let numbers = DISK.iter().chain(&NUMBERS).map(|(_, name)| (*name).to_owned());
        let strings = STRINGS.iter().map(|(_, key)| info_metric(key, b"x"));
        for name in numbers.chain(strings) {
            assert_eq!(metric(Class::Disk, &name).map(|line| line.repr), Some(Repr::U64), "{name}");
        }
    }
}
