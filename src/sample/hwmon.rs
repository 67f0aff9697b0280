//! `/sys/class/hwmon`: temperatures, fans, voltages and power.
//!
//! ```text
//! hwmon2 -> ../../devices/platform/coretemp.0/hwmon/hwmon2
//! hwmon2/device -> ../../../coretemp.0
//! hwmon2/name            coretemp
//! hwmon2/temp1_input     45000
//! hwmon2/temp1_label     Package id 0
//! hwmon2/temp1_crit      100000
//! ```
//!
//! The numbers of the directories depend on the order in which drivers were loaded. A chip is
//! therefore called after its device and what that is part of (`platform_coretemp_0`, `nvme_nvme0`);
//! after its `name` where there is no device; and only without that after its directory. Small
//! letters, digits, `:` and `_` stay, other characters become `_`. Of two chips of one name the
//! later one has its directory's name added.
//!
//! A reading may take as long as the bus behind it, or never end. So each chip has a thread of its
//! own, and one more looks which chips there are.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{ABSENT, Class, info_metric, object_id, word_of_f64};

use super::attribute::{ATTRIBUTE_BYTES_MAX, Answer, names_in, number, read};
use super::background::Background;
use super::columns::Columns;
use super::fields::Fields;
use super::readings::{Readings, end};
use super::rows::Rows;
use super::source::{Source, Standing};
use super::{Roots, SampleError};

/// Most chips that are followed.
const CHIPS_MAX: usize = 64;

/// Most values of one chip that are followed.
const VALUES_MAX: usize = 1024;

/// How long the first turn waits for all chips together, so that the first record has their values.
const SETTLE: Duration = Duration::from_millis(500);

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// As a double, since it may be negative.
    Signed,
    /// As an integer.
    Unsigned,
}

/// What is read of a sensor: its sort, the file's name behind the number, the metric.
const ATTRIBUTES: [(&str, &str, &str, Stored); 19] = [
    ("temp", "input", "temp_millicelsius", Stored::Signed),
    ("temp", "min", "temp_min_millicelsius", Stored::Signed),
    ("temp", "max", "temp_max_millicelsius", Stored::Signed),
    ("temp", "crit", "temp_crit_millicelsius", Stored::Signed),
    ("temp", "crit_alarm", "temp_crit_alarm", Stored::Unsigned),
    ("temp", "alarm", "temp_alarm", Stored::Unsigned),
    ("temp", "fault", "temp_fault", Stored::Unsigned),
    ("fan", "input", "fan_rpm", Stored::Signed),
    ("fan", "min", "fan_min_rpm", Stored::Signed),
    ("fan", "alarm", "fan_alarm", Stored::Unsigned),
    ("fan", "fault", "fan_fault", Stored::Unsigned),
    ("in", "input", "in_millivolts", Stored::Signed),
    ("in", "alarm", "in_alarm", Stored::Unsigned),
    ("curr", "input", "curr_milliamperes", Stored::Signed),
    ("curr", "alarm", "curr_alarm", Stored::Unsigned),
    ("power", "input", "power_microwatts", Stored::Signed),
    ("power", "average", "power_average_microwatts", Stored::Signed),
    ("energy", "input", "energy_microjoules", Stored::Unsigned),
    ("humidity", "input", "humidity_millipercent", Stored::Signed),
];

/// The source.
pub(super) struct Hwmon {
    directory: PathBuf,
    period: Duration,
    /// The thread that looks which chips there are, once it could be started.
    finder: Option<Background<Vec<Found>>>,
    standing: Standing,
    chips: Vec<Chip>,
    /// Whether the first turn has been taken.
    settled: bool,
}

/// A chip that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Where it lies, all links followed.
    directory: PathBuf,
    name: String,
}

/// A chip that is followed.
struct Chip {
    found: Found,
    thread: Background<Readings>,
    rows: Rows<1>,
    own: Fields<2>,
    standing: Standing,
}

impl Hwmon {
    pub(super) fn new(roots: &Roots, period: Duration) -> Self {
        Self {
            directory: roots.sysfs.join("class/hwmon"),
            period,
            finder: None,
            standing: Standing::new(),
            chips: Vec::new(),
            settled: false,
        }
    }

    /// Starts to follow the chips that have come, and ends those that have gone.
    fn follow(&mut self, deadline: Instant, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let finder = match &mut self.finder {
            Some(finder) => finder,
            None => {
                let directory = self.directory.clone();
                let find = move |found: &mut Vec<Found>| find(&directory, found);
                self.finder.insert(Background::start("hwmon", self.period, find)?)
            }
        };
        if !self.settled {
            finder.settle(deadline);
        }
        let latest = finder.latest();
        let Some(outcome) = latest.outcome else { return Ok(()) };
        let stuck = if latest.stuck { Err(SampleError::Stuck) } else { Ok(()) };
        // Where nothing can be listed, nothing has been seen to be gone.
        let is_blind = outcome.is_err() && latest.value.is_empty();
        if is_blind || self.chips.iter().map(|chip| &chip.found).eq(latest.value) {
            return stuck.and(outcome);
        }
        let gone = |chip: &Chip| latest.value.binary_search(&chip.found).is_err();
        self.chips.iter_mut().filter(|chip| gone(chip)).for_each(|chip| chip.end(columns));
        self.chips.retain(|chip| !gone(chip));
        let mut started = Ok(());
        for found in latest.value {
            if self.chips.iter().any(|chip| chip.found == *found) {
                continue;
            }
            match Chip::start(found, self.period) {
                Ok(chip) => self.chips.push(chip),
                Err(error) => started = Err(error),
            }
        }
        // In the order in which they are found, which is how they are compared.
        self.chips.sort_by(|a, b| a.found.cmp(&b.found));
        stuck.and(outcome).and(started)
    }
}

impl Source for Hwmon {
    fn path(&self) -> &Path {
        &self.directory
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let deadline = Instant::now() + SETTLE;
        let followed = self.follow(deadline, columns);
        self.standing.set(followed);
        let mut outcome = self.standing.outcome();
        for chip in &mut self.chips {
            if !self.settled {
                chip.thread.settle(deadline);
            }
            chip.turn(columns);
            outcome = outcome.and(chip.standing.outcome());
        }
        self.settled = true;
        outcome
    }

    fn tell_parts(&mut self, tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        self.standing.tell(&self.directory, tell);
        self.chips.iter_mut().for_each(|chip| chip.standing.tell(&chip.found.directory, tell));
        true
    }
}

impl Chip {
    fn start(found: &Found, period: Duration) -> Result<Self, SampleError> {
        let Found { directory, name } = found.clone();
        let object = object_id(Class::Sensor, name.as_bytes());
        let own = Fields::new(&object, ["age_ms", "stuck"]);
        let read = move |readings: &mut Readings| read_chip(&directory, &object, readings);
        let thread = Background::start("hwmon chip", period, read)?;
        let (rows, standing) = (Rows::new(VALUES_MAX), Standing::new());
        Ok(Self { found: found.clone(), thread, rows, own, standing })
    }

    fn turn(&mut self, columns: &mut Columns<'_>) {
        let latest = self.thread.latest();
        self.own.begin();
        if latest.outcome.is_some() {
            self.own.put(0, latest.age_ns / 1_000_000, columns);
        }
        self.own.put(1, latest.stuck.into(), columns);
        let put = latest.value.put(&mut self.rows, columns);
        let stuck = if latest.stuck { Err(SampleError::Stuck) } else { Ok(()) };
        let own = self.own.finish(columns);
        self.standing.set(stuck.and(latest.outcome.unwrap_or(Ok(()))).and(put).and(own));
    }

    /// Ends all its series.
    fn end(&mut self, columns: &mut Columns<'_>) {
        end(&mut self.rows, columns);
        self.own.end(columns);
    }
}

/// Finds the chips in `class`, in order.
fn find(class: &Path, found: &mut Vec<Found>) -> Result<(), SampleError> {
    found.clear();
    let mut directories = BTreeSet::new();
    let listed = names_in(class, |name| {
        let number = name.strip_prefix("hwmon").and_then(|number| number.parse::<u32>().ok());
        directories.extend(number);
    });
    match listed {
        // A machine without any has no such directory.
        Ok(false) => return Ok(()),
        Ok(true) => {}
        Err(error) => return Err(error),
    }
    let mut names = BTreeSet::new();
    for &number in directories.iter().take(CHIPS_MAX) {
        let own = format!("hwmon{number}");
        // A link to nowhere is a chip that has just gone.
        let Ok(directory) = class.join(&own).canonicalize() else { continue };
        let mut name = name_of(&directory).unwrap_or_else(|| own.clone());
        if names.contains(&name) {
            name = format!("{name}_{own}");
        }
        if !names.insert(name.clone()) {
            continue;
        }
        found.push(Found { directory, name });
    }
    found.sort();
    if directories.len() > CHIPS_MAX { Err(SampleError::TooMany) } else { Ok(()) }
}

/// What a chip is called, after its device or after what it says it is.
fn name_of(directory: &Path) -> Option<String> {
    let device = directory.join("device").canonicalize().ok();
    let part = |path: Option<&Path>| clean(path.and_then(Path::file_name)?.as_bytes());
    if let Some(name) = device.as_deref().and_then(|device| part(Some(device))) {
        let parent = device.as_deref().and_then(Path::parent);
        return Some(part(parent).map_or(name.clone(), |parent| format!("{parent}_{name}")));
    }
    match read(&directory.join("name"), &mut [0; ATTRIBUTE_BYTES_MAX]) {
        Ok(Answer::Value(name)) => clean(name),
        _ => None,
    }
}

/// A name of small letters, digits, `:` and `_`; none if nothing of it is left.
fn clean(name: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(name).to_ascii_lowercase();
    let strange = |character: char| !character.is_ascii_alphanumeric() && character != ':';
    let replaced = text.replace(strange, "_");
    let name = replaced.trim_matches('_');
    (!name.is_empty()).then(|| name.to_owned())
}

/// A sensor's file: sensor and what is behind its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    /// `temp`
    sort: String,
    /// 1
    number: u32,
    /// `input`
    property: String,
}

impl File {
    /// What the name `temp1_input` says, if it is one of those that are read.
    fn of(name: &str) -> Option<Self> {
        let (sensor, property) = name.split_once('_')?;
        let digits = sensor.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
        let sort = sensor.strip_suffix(digits)?;
        let known = ATTRIBUTES.iter().any(|known| known.0 == sort);
        let read = property == "label"
            || ATTRIBUTES.iter().any(|known| (known.0, known.1) == (sort, property));
        let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
        let number = digits.parse().ok().filter(|_| known && read && is_plain)?;
        Some(Self { sort: sort.into(), number, property: property.into() })
    }
}

/// Reads all that the chip in `directory` has to say.
///
/// Drivers from before there was a class have their files in the device's own directory.
fn read_chip(directory: &Path, chip: &str, readings: &mut Readings) -> Result<(), SampleError> {
    readings.clear();
    let buffer = &mut [0; ATTRIBUTE_BYTES_MAX];
    let device = directory.join("device");
    let mut files = BTreeSet::new();
    let listed = names_in(directory, |name| files.extend(File::of(name)));
    if !listed? {
        // It has been taken away; whoever looks for chips will say so.
        return Ok(());
    }
    let mut from = directory;
    if files.is_empty() {
        from = &device;
        names_in(from, |name| files.extend(File::of(name)))?;
    }
    if let Ok(Answer::Value(name)) = read(&directory.join("name"), buffer)
        && !name.is_empty()
    {
        readings.push(chip, &info_metric("chip", name), 1);
    }
    let mut outcome = Ok(());
    for File { sort, number: index, property } in files {
        if readings.len() >= VALUES_MAX {
            outcome = outcome.and(Err(SampleError::TooMany));
            break;
        }
        let object = format!("{chip}/{sort}{index}");
        let path = from.join(OsStr::new(&format!("{sort}{index}_{property}")));
        let attribute = ATTRIBUTES.iter().find(|known| (known.0, known.1) == (&*sort, &*property));
        let answer = read(&path, buffer);
        let Some((_, _, metric, stored)) = attribute else {
            if let Ok(Answer::Value(label)) = answer
                && !label.is_empty()
            {
                readings.push(&object, &info_metric("label", label), 1);
            }
            outcome = outcome.and(answer.map(drop));
            continue;
        };
        let word = match answer {
            Ok(Answer::None) => continue,
            Ok(Answer::NotNow) => Ok(ABSENT),
            Ok(Answer::Value(text)) => word_of(text, *stored),
            Err(error) => Err(error),
        };
        readings.push(&object, metric, word.unwrap_or(ABSENT));
        outcome = outcome.and(word.map(drop));
    }
    readings.complete = true;
    outcome
}

/// The word for what an attribute says.
fn word_of(text: &[u8], stored: Stored) -> Result<u64, SampleError> {
    let number = number(text)?;
    match stored {
        Stored::Signed => Ok(word_of_f64(number as f64)),
        Stored::Unsigned => u64::try_from(number).map_err(|_| SampleError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let file = |sort: &str, number, property: &str| {
            Some(File { sort: sort.into(), number, property: property.into() })
        };
        assert_eq!(File::of("temp1_input"), file("temp", 1, "input"));
        assert_eq!(File::of("in0_input"), file("in", 0, "input"));
        assert_eq!(File::of("temp12_crit_alarm"), file("temp", 12, "crit_alarm"));
        assert_eq!(File::of("fan3_label"), file("fan", 3, "label"));
        for other in [
            "temp1",
            "temp_input",
            "temp1_offset",
            "pwm1_enable",
            "temp01_input",
            "temp+1_input",
            "temp1_",
            "_input",
            "",
            "name",
            "temp99999999999_input",
            "fan1_crit",
            "TEMP1_input",
        ] {
            assert_eq!(File::of(other), None, "{other}");
        }
    }

    #[test]
    fn every_attribute_has_a_metric_that_is_stored_so() {
        for (sort, _, metric, stored) in ATTRIBUTES {
            let line = crate::record::metric(Class::Sensor, metric).expect(metric);
            assert!(metric.starts_with(sort));
            assert_eq!(line.repr == crate::record::Repr::F64, stored == Stored::Signed, "{metric}");
        }
    }

    #[test]
    fn names_are_made_of_small_letters() {
        assert_eq!(clean(b"coretemp.0").as_deref(), Some("coretemp_0"));
        assert_eq!(clean(b"0000:00:18.3").as_deref(), Some("0000:00:18_3"));
        assert_eq!(clean(b"_PNP0C0A:00.").as_deref(), Some("pnp0c0a:00"));
        assert_eq!((clean(b"..."), clean(b"\xff")), (None, None));
    }

    #[test]
    fn words_keep_the_sign() {
        assert_eq!(word_of(b"-5500", Stored::Signed), Ok((-5500.0_f64).to_bits()));
        assert_eq!(word_of(b"-1", Stored::Unsigned), Err(SampleError::Malformed));
        assert_eq!(word_of(b"7", Stored::Unsigned), Ok(7));
    }
}
