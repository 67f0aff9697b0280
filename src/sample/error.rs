//! Why a source gave nothing, or not everything, at its turn.

use std::{error, fmt, io};

use rustix::io::Errno;

/// Why a source gave nothing, or not everything, at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleError {
    /// It could not be opened; the system's error number.
    Open(i32),
    /// It could not be read; the system's error number.
    Read(i32),
    /// The text is longer than the largest buffer.
    TooLong,
    /// There was no text at all.
    Empty,
    /// The text ends in the middle of a line.
    Truncated,
    /// A line is not of the form that this file has.
    Malformed,
    /// A number does not fit its 64 bits.
    TooLarge,
    /// A value that was there before is not there now.
    Missing,
    /// There are more CPUs, devices or lines than this program follows; the first ones are recorded.
    TooMany,
    /// A series was not given a column: the record is full or the object's id too long.
    Refused,
    /// Two names of the kernel stand for one series; the first one is recorded.
    Ambiguous,
    /// The file system that belongs there is not mounted.
    NotMounted,
    /// It is a directory, a pipe or a device where a file is expected.
    NotAFile,
    /// It has not answered for too long.
    Stuck,
    /// Some of its parts fail, as each of them has told.
    Part,
    /// A sample has a time of its own.
    Timestamp,
    /// A sample is there twice.
    Twice,
    /// What is said of a metric contradicts itself, or stands behind its samples.
    Contradiction,
}

impl SampleError {
    pub(super) fn open(errno: Errno) -> Self {
        Self::Open(errno.raw_os_error())
    }

    pub(super) fn read(errno: Errno) -> Self {
        Self::Read(errno.raw_os_error())
    }

    /// What went wrong when the standard library opened or listed something.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::Open(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()))
    }

    /// Whether there was no text to parse, so that trying again at once is of little use.
    pub(super) fn is_io(self) -> bool {
        matches!(self, Self::Open(_) | Self::Read(_) | Self::TooLong)
    }
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Open(errno) => {
                write!(f, "cannot be opened: {}", io::Error::from_raw_os_error(errno))
            }
            Self::Read(errno) => {
                write!(f, "cannot be read: {}", io::Error::from_raw_os_error(errno))
            }
            Self::TooLong => f.write_str("is longer than the largest buffer"),
            Self::Empty => f.write_str("is empty"),
            Self::Truncated => f.write_str("ends in the middle of a line"),
            Self::Malformed => f.write_str("has a line of unknown form"),
            Self::TooLarge => f.write_str("has a number that does not fit 64 bits"),
            Self::Missing => f.write_str("lacks a value that it had before"),
            Self::TooMany => f.write_str("has more rows than are followed"),
            Self::Refused => f.write_str("has a series for which the record has no room"),
            Self::Ambiguous => f.write_str("has two names for one series"),
            Self::NotMounted => f.write_str("is not on the file system that belongs there"),
            Self::NotAFile => f.write_str("is not a regular file"),
            Self::Stuck => f.write_str("has not answered for too long"),
            Self::Part => f.write_str("has parts that fail"),
            Self::Timestamp => f.write_str("has a sample with a timestamp"),
            Self::Twice => f.write_str("has a sample twice"),
            Self::Contradiction => {
                f.write_str("has a HELP or TYPE line twice or behind the samples it is about")
            }
        }
    }
}

impl error::Error for SampleError {}
