//! An attribute: a small file of the kernel's device tree that holds one value.
//!
//! Reading one may make a driver ask its device, over a bus that is slow or dead; so these are read
//! by threads of their own, and opened anew each time, since devices come and go.

use std::fs;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::SampleError;

/// The kernel gives an attribute a page, and the values that are read here are far shorter.
pub(super) const ATTRIBUTE_BYTES_MAX: usize = 4 << 10;

/// Most entries of a directory that are looked at.
const ENTRIES_MAX: usize = 8192;

/// Opens `path` if it is a regular file, symbolic links followed, without ever waiting for one
/// that is something else.
pub(super) fn open_file(path: &Path) -> Result<(OwnedFd, Stat), SampleError> {
    let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // Opening a device can do something to it; so its sort is asked for first.
    if !is_file(&rustix::fs::stat(path).map_err(SampleError::open)?) {
        return Err(SampleError::NotAFile);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(SampleError::open)?;
    let stat = rustix::fs::fstat(&file).map_err(SampleError::open)?;
    if is_file(&stat) { Ok((file, stat)) } else { Err(SampleError::NotAFile) }
}

/// Gives every name in `directory` to `each`, as far as it is text; `false` if there is no such
/// directory.
pub(super) fn names_in(directory: &Path, mut each: impl FnMut(&str)) -> Result<bool, SampleError> {
    let failed = |error: std::io::Error| SampleError::Open(error.raw_os_error().unwrap_or(0));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    for (index, entry) in entries.enumerate() {
        if index >= ENTRIES_MAX {
            return Err(SampleError::TooMany);
        }
        if let Some(name) = entry.map_err(failed)?.file_name().to_str() {
            each(name);
        }
    }
    Ok(true)
}

/// What an attribute had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// The device has none, or it has just been taken away.
    None,
    /// It has one, but not now: the device sleeps, or nothing is connected to it.
    NotNow,
    Value(T),
}

/// The text of the attribute at `path`, without blanks around it.
pub(super) fn read<'a>(
    path: &Path,
    buffer: &'a mut [u8; ATTRIBUTE_BYTES_MAX],
) -> Result<Answer<&'a [u8]>, SampleError> {
    let file = match open_file(path) {
        Ok((file, _)) => file,
        Err(SampleError::Open(errno)) => return quiet(errno, SampleError::Open(errno)),
        Err(error) => return Err(error),
    };
    let length = match rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut buffer[..], 0)) {
        Ok(length) => length,
        Err(errno) => return quiet(errno.raw_os_error(), SampleError::read(errno)),
    };
    let text = buffer.get(..length).unwrap_or_default();
    // What has no end may have lost a digit with it.
    let whole = text.strip_suffix(b"\n").ok_or(SampleError::Truncated)?;
    Ok(Answer::Value(whole.trim_ascii()))
}

/// Errors that belong to the life of a device are no failures.
fn quiet<T>(errno: i32, error: SampleError) -> Result<Answer<T>, SampleError> {
    const GONE: [Errno; 4] = [Errno::NOENT, Errno::NOTDIR, Errno::NODEV, Errno::NXIO];
    const NOT_NOW: [Errno; 3] = [Errno::NODATA, Errno::AGAIN, Errno::BUSY];
    let among = |errnos: &[Errno]| errnos.iter().any(|other| other.raw_os_error() == errno);
    if among(&GONE) {
        Ok(Answer::None)
    } else if among(&NOT_NOW) {
        Ok(Answer::NotNow)
    } else {
        Err(error)
    }
}

/// The whole number in `text`, decimal or with `0x` before it.
pub(super) fn number(text: &[u8]) -> Result<i128, SampleError> {
    let text = str::from_utf8(text).map_err(|_| SampleError::Malformed)?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) if digits.starts_with(|first: char| first.is_ascii_hexdigit()) => {
            i128::from_str_radix(digits, 16)
        }
        Some(_) => return Err(SampleError::Malformed),
        None => text.parse(),
    };
    let fits = |number: &i128| (i64::MIN.into()..=u64::MAX.into()).contains(number);
    let number = parsed.map_err(|_| SampleError::Malformed)?;
    fits(&number).then_some(number).ok_or(SampleError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal_and_fit() {
        for (text, expected) in [
            ("45000", Ok(45000)),
            ("-5500", Ok(-5500)),
            ("0x1f", Ok(31)),
            ("18446744073709551615", Ok(u64::MAX.into())),
            ("18446744073709551616", Err(SampleError::TooLarge)),
            ("-9223372036854775809", Err(SampleError::TooLarge)),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        for wrong in ["", "x", "1 2", "1.5", "0x", "0x-1", "0x+1", "N/A", "-", "\u{661}"] {
            assert_eq!(number(wrong.as_bytes()), Err(SampleError::Malformed), "{wrong:?}");
        }
        assert_eq!(number(b"\xff"), Err(SampleError::Malformed));
    }

    #[test]
    fn sleep_and_departure_are_no_failures() {
        let answer = |errno: Errno| quiet::<()>(errno.raw_os_error(), SampleError::read(errno));
        assert_eq!(answer(Errno::NODATA), Ok(Answer::NotNow));
        assert_eq!(answer(Errno::AGAIN), Ok(Answer::NotNow));
        assert_eq!(answer(Errno::NODEV), Ok(Answer::None));
        assert_eq!(answer(Errno::IO), Err(SampleError::Read(5)));
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        for path in ["/dev/null", "/", "/proc/self/fd"] {
            assert_eq!(open_file(path.as_ref()).err(), Some(SampleError::NotAFile), "{path}");
        }
        let buffer = &mut [0; ATTRIBUTE_BYTES_MAX];
        assert_eq!(read("/proc/self/none".as_ref(), buffer), Ok(Answer::None));
        let boot = read("/proc/sys/kernel/ostype".as_ref(), buffer);
        assert_eq!(boot, Ok(Answer::Value(&b"Linux"[..])));
    }
}
