//! `/sys/devices/system/cpu/cpu0/cpufreq/`: at which frequency each CPU runs.
//!
//! ```text
//! scaling_cur_freq   2400000
//! scaling_min_freq   800000
//! scaling_max_freq   3600000
//! cpuinfo_min_freq   800000
//! cpuinfo_max_freq   3600000
//! ```
//!
//! Thousands of hertz, a file each. To answer, some drivers wake the CPU up and wait for it, and
//! there may be hundreds of them: a thread of its own reads the files, and a tick takes what it has
//! found. A CPU that is off-line has no such directory.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{ABSENT, Class, object_id};

use super::background::{Background, DEADLINE};
use super::columns::Columns;
use super::rows::Rows;
use super::scan::first_line;
use super::source::Source;
use super::{Roots, SampleError};

/// Most CPUs that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// Longest text of a file that is read: a number of up to 20 digits.
const TEXT_BYTES_MAX: u64 = 64;

const FILES: [&str; 5] = [
    "scaling_cur_freq",
    "scaling_min_freq",
    "scaling_max_freq",
    "cpuinfo_min_freq",
    "cpuinfo_max_freq",
];

const METRICS: [&str; 5] = [
    "scaling_freq_khz",
    "scaling_freq_min_khz",
    "scaling_freq_max_khz",
    "freq_min_khz",
    "freq_max_khz",
];

/// A CPU's number and what its files say, or [`ABSENT`].
type Cpu = (u32, [u64; 5]);

/// Parses the text of one of the files.
///
/// # Errors
///
/// When the line is not complete or not a number, as when the driver does not know.
pub fn parse(text: &[u8]) -> Result<u64, SampleError> {
    first_line(text, |scan| scan.number())
}

/// The source.
pub(super) struct Cpufreq {
    path: PathBuf,
    readings: Result<Background<Vec<Cpu>>, SampleError>,
    cpus: Rows<5>,
    /// The number of a CPU in digits.
    number: String,
}

impl Cpufreq {
    /// The source, unless no CPU has such a directory: few virtual machines do.
    pub(super) fn new(roots: &Roots, period: Duration) -> Option<Self> {
        let path = roots.sysfs.join("devices/system/cpu");
        let has_any = list(&path).is_ok_and(|cpus| !cpus.is_empty());
        has_any.then(|| {
            let dir = path.clone();
            let mut readings = Background::start("cpufreq", period, move |cpus| read(&dir, cpus));
            if let Ok(readings) = &mut readings {
                readings.settle(Instant::now() + DEADLINE);
            }
            Self { path, readings, cpus: Rows::new(CPUS_MAX), number: String::new() }
        })
    }
}

impl Source for Cpufreq {
    fn path(&self) -> &Path {
        &self.path
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { readings, cpus, number, .. } = self;
        let latest = readings.as_mut().map_err(|error| *error)?.latest();
        // A frequency of long ago is no frequency. Before the first reading there is none either.
        let outcome = match latest.outcome {
            _ if latest.stuck => return Err(SampleError::Missing),
            None => return Ok(()),
            Some(outcome) => outcome,
        };
        cpus.begin();
        for (cpu, khz) in latest.value {
            number.clear();
            // Writing to a String cannot fail.
            let _ = write!(number, "{cpu}");
            let row = cpus.row(number.as_bytes(), 0, columns, |columns| {
                let object = object_id(Class::Cpu, number.as_bytes());
                Ok((columns.add_all(&object, &METRICS, |_| true)?, 0))
            });
            if let Some(row) = row {
                row.put(khz, columns);
            }
        }
        outcome.and(cpus.finish(outcome.is_ok(), columns))
    }
}

/// Reads the files of every CPU in `dir`.
fn read(dir: &Path, cpus: &mut Vec<Cpu>) -> Result<(), SampleError> {
    cpus.clear();
    for number in list(dir)? {
        let dir = dir.join(format!("cpu{number}/cpufreq"));
        let khz = FILES.map(|file| khz(&dir.join(file)).unwrap_or(ABSENT));
        // Nothing at all is said of a CPU that went off-line in between.
        if khz != [ABSENT; 5] || dir.exists() {
            cpus.push((number, khz));
        }
    }
    Ok(())
}

/// The numbers of the CPUs in `dir` that have a frequency, in order.
fn list(dir: &Path) -> Result<Vec<u32>, SampleError> {
    let error = |error: std::io::Error| SampleError::Open(error.raw_os_error().unwrap_or(0));
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)?.take(2 * CPUS_MAX) {
        let name = entry.map_err(error)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("cpu")?.parse::<u32>().ok());
        numbers.extend(number.filter(|number| dir.join(format!("cpu{number}/cpufreq")).exists()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn khz(path: &Path) -> Option<u64> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut text).ok()?;
    parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Schema};

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = format!("tachograph-cpufreq-{name}-{}", std::process::id());
            let tree = Self(std::env::temp_dir().join(root));
            fs::create_dir_all(tree.dir()).expect("a temporary directory");
            tree
        }

        fn roots(&self) -> Roots {
            Roots { sysfs: self.0.clone(), ..Roots::default() }
        }

        fn dir(&self) -> PathBuf {
            self.0.join("devices/system/cpu")
        }

        fn cpu(&self, name: &str, texts: [&str; 5]) {
            let dir = self.dir().join(name).join("cpufreq");
            fs::create_dir_all(&dir).expect("a temporary directory");
            for (file, text) in FILES.iter().zip(texts) {
                fs::write(dir.join(file), text).expect("a temporary file");
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_of_every_cpu_are_read() {
        let tree = Tree::new("read");
        tree.cpu("cpu10", ["1\n", "2\n", "3\n", "4\n", "5\n"]);
        tree.cpu("cpu2", ["<unknown>\n", "7", "", "-1\n", "9\n"]);
        for other in ["cpu1", "cpufreq", "cpux/cpufreq", "cpuidle/cpufreq"] {
            fs::create_dir_all(tree.dir().join(other)).expect("a temporary directory");
        }
        let mut cpus = vec![(9, [9; 5])];
        assert_eq!(read(&tree.dir(), &mut cpus), Ok(()));
        assert_eq!(cpus, [(2, [ABSENT, ABSENT, ABSENT, ABSENT, 9]), (10, [1, 2, 3, 4, 5])]);
        assert_eq!(read(&tree.0.join("no"), &mut cpus), Err(SampleError::Open(2)));
    }

    #[test]
    fn machine_without_frequencies_has_no_source() {
        let tree = Tree::new("none");
        fs::create_dir_all(tree.dir().join("cpu0")).expect("a temporary directory");
        assert!(Cpufreq::new(&tree.roots(), Duration::ZERO).is_none());
    }

    #[test]
    fn cpus_go_off_line_and_return() {
        let tree = Tree::new("off-line");
        for name in ["cpu0", "cpu1"] {
            tree.cpu(name, ["2400000\n", "800000\n", "3600000\n", "800000\n", "3600000\n"]);
        }
        let (mut schema, mut record) = (Schema::new(), Record::default());
        let mut source = Cpufreq::new(&tree.roots(), Duration::ZERO).expect("two CPUs");
        // Whoever runs the test ends it if this never comes true.
        let mut turn_until = |wanted: &[(&str, bool)]| loop {
            record.clear();
            let mut columns = Columns::new(&mut schema, &mut record);
            let _ = source.turn(&mut columns);
            let khz = |object| {
                let column = schema.column(object, "scaling_freq_khz")?;
                record.u64(column)
            };
            if wanted.iter().all(|(object, is)| khz(object) == is.then_some(2_400_000)) {
                break schema.len();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(turn_until(&[("cpu/0", true), ("cpu/1", true)]), 10);
        fs::remove_dir_all(tree.dir().join("cpu1/cpufreq")).expect("it was there");
        assert_eq!(turn_until(&[("cpu/0", true), ("cpu/1", false)]), 5);
        tree.cpu("cpu1", ["2400000\n"; 5]);
        assert_eq!(turn_until(&[("cpu/0", true), ("cpu/1", true)]), 10);
    }

    #[test]
    fn number_cut_anywhere_is_refused() {
        let text = b"2400000\n";
        assert_eq!(parse(text), Ok(2_400_000));
        for end in 0..text.len() {
            assert!(parse(&text[..end]).is_err(), "{end}");
        }
    }
}
