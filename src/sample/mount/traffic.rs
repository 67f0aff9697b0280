//! The traffic of the block devices under a file system, by `/sys/dev/block/MAJOR:MINOR/stat`.
//!
//! ```text
//!    41323    20042  2735746     6258     4056    21217  1683064     3464        0     6344     9934
//! ```
//!
//! The numbers of several devices are added up, each only where all of them have it: a sum that
//! lacks one would be wrong. Discards write nothing and are numbers of their own.
//!
//! Of a dataset of ZFS these are the numbers that ZFS has of it, which were read elsewhere.

use std::path::{Path, PathBuf};

use super::super::SampleError;
use super::super::columns::Columns;
use super::super::diskstats;
use super::super::fields::Fields;
use super::super::text::{Shown, TextFile};
use super::super::zfs::kstat::DatasetIo;
use super::table::DeviceNumber;

/// After how many turns a device that could not be read is tried again.
const AGAIN_TURNS: u32 = 16;

/// How many numbers are kept, where they stand in a device's line, and which of them are sectors.
const NUMBERS: usize = 7;
const PLACES: [usize; NUMBERS] = [0, 2, 4, 6, 9, 11, 13];
const SECTORS: [usize; 3] = [1, 3, 6];
const SECTOR_BYTES: u64 = 512;

/// The series of an object's traffic.
///
/// They tell of certain devices. When others lie under the object, or one of them was taken away
/// and a device came back in its place, the series end and new ones begin: a counter never goes on
/// as that of another device.
#[derive(Debug)]
pub(super) struct Traffic {
    sysfs: PathBuf,
    devices: Vec<Device>,
    fields: Fields<NUMBERS>,
    /// What a number of sectors is multiplied with.
    per_sector: u64,
    /// Why the devices could not be read, and turns until they are tried again.
    failed: Option<(SampleError, u32)>,
    /// Which of the devices was read last.
    last: usize,
    /// Name of the dataset, if it is one.
    dataset: Vec<u8>,
    /// What was found of it last.
    found: Option<Result<DatasetIo, SampleError>>,
}

#[derive(Debug)]
struct Device {
    number: DeviceNumber,
    file: TextFile,
    /// How many times it had been opened when it was read last; 0 before.
    openings: u32,
}

impl Traffic {
    /// The traffic of a file system, in sectors.
    pub(super) fn in_sectors(object: &str, sysfs: PathBuf) -> Self {
        let metrics = [
            "reads_completed",
            "read_sectors",
            "writes_completed",
            "written_sectors",
            "io_ms",
            "discards_completed",
            "discarded_sectors",
        ];
        Self::new(object, metrics, 1, sysfs)
    }

    /// The traffic of a datastore, in bytes.
    pub(super) fn in_bytes(object: &str, sysfs: PathBuf) -> Self {
        let metrics = [
            "reads_completed",
            "read_bytes",
            "writes_completed",
            "written_bytes",
            "io_ms",
            "discards_completed",
            "discarded_bytes",
        ];
        Self::new(object, metrics, SECTOR_BYTES, sysfs)
    }

    fn new(
        object: &str,
        metrics: [&'static str; NUMBERS],
        per_sector: u64,
        sysfs: PathBuf,
    ) -> Self {
        let fields = Fields::new(object, metrics);
        Self {
            sysfs,
            devices: Vec::new(),
            fields,
            per_sector,
            failed: None,
            last: 0,
            dataset: Vec::new(),
            found: None,
        }
    }

    /// From now on these are the devices.
    pub(super) fn follow(&mut self, numbers: &[DeviceNumber], columns: &mut Columns<'_>) {
        let are_they = self.devices.iter().map(|device| &device.number).eq(numbers);
        if are_they && self.dataset.is_empty() {
            return;
        }
        self.end(columns);
        let device = |&number: &DeviceNumber| {
            let DeviceNumber { major, minor } = number;
            let path = self.sysfs.join(format!("dev/block/{major}:{minor}/stat"));
            Device { number, file: TextFile::new(path, Shown::Whole), openings: 0 }
        };
        self.devices = numbers.iter().map(device).collect();
    }

    /// From now on it is this dataset, of which this was found; `None` is nothing for now.
    pub(super) fn follow_dataset(
        &mut self,
        dataset: &[u8],
        found: Option<Result<DatasetIo, SampleError>>,
        columns: &mut Columns<'_>,
    ) {
        if self.dataset != dataset {
            self.end(columns);
            self.dataset.extend_from_slice(dataset);
        }
        self.found = found;
    }

    /// Ends the series: nothing is known to lie under the object.
    pub(super) fn end(&mut self, columns: &mut Columns<'_>) {
        self.fields.end(columns);
        self.devices.clear();
        self.failed = None;
        self.dataset.clear();
        self.found = None;
    }

    /// The file that was read last; after a failure it is the one that failed.
    pub(super) fn path(&self) -> Option<&Path> {
        self.devices.get(self.last).map(|device| device.file.path())
    }

    /// Reads the devices and puts their numbers, or those of the dataset. Sysfs does not block.
    pub(super) fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        if let Some(found) = self.found {
            let DatasetIo { reads, writes, nread, nwritten } = found?;
            let [read, written] =
                [nread, nwritten].map(|bytes| bytes / (SECTOR_BYTES / self.per_sector));
            self.fields.begin();
            self.fields.put_all([reads, read, writes, written], columns);
            return Ok(());
        }
        if self.devices.is_empty() {
            return Ok(());
        }
        if let Some((error, turns)) = &mut self.failed
            && *turns > 0
        {
            *turns -= 1;
            return Err(*error);
        }
        let read = self.read(columns);
        self.failed = read.err().map(|error| (error, AGAIN_TURNS));
        if self.failed.is_some_and(|(error, _)| error.is_io()) {
            self.fields.end(columns);
        }
        let numbers = read?;
        self.fields.begin();
        self.fields.put_given(numbers, columns);
        self.fields.finish(columns)
    }

    fn read(&mut self, columns: &mut Columns<'_>) -> Result<[Option<u64>; NUMBERS], SampleError> {
        let mut sums = [Some(0_u64); NUMBERS];
        for (index, Device { file, openings, .. }) in self.devices.iter_mut().enumerate() {
            self.last = index;
            file.read()?;
            let before = std::mem::replace(openings, file.openings());
            if before != 0 && before != *openings {
                self.fields.end(columns);
            }
            let device = diskstats::parse_one(file.text())?;
            for (sum, place) in sums.iter_mut().zip(PLACES) {
                let number = device.has(place).then_some(device.numbers[place]);
                *sum = sum.zip(number).map(|(sum, number)| sum.wrapping_add(number));
            }
        }
        for place in SECTORS {
            sums[place] = sums[place].map(|sectors| sectors.wrapping_mul(self.per_sector));
        }
        Ok(sums)
    }
}
