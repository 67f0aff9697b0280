//! Lanes: what is recorded at which pace, and by what sort of thread.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tachograph::sample::Selection;

use super::{Interval, Span};

/// The lane that is there in any case, and whose ring the pull API answers from.
pub(crate) const LANE: &str = "host";
/// The lane whose settings are known by its name.
pub(crate) const FAST: &str = "fast";

const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const DEPTH_DEFAULT: Duration = Duration::from_secs(3600);
const FAST_INTERVAL: Duration = Duration::from_millis(10);
const FAST_DEPTH: Duration = Duration::from_secs(300);
/// What changes from one hundredth of a second to the next. `/proc/stat` counts hundredths of a
/// second itself, so CPU time comes from where the kernel counts microseconds.
const FAST_SOURCES: [&str; 4] = ["cputime", "net_dev", "diskstats", "pressure"];
/// Most lanes of one recorder.
const LANES_MAX: usize = 16;
/// Longest name of a lane, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// One ring: what is recorded in it, how often, and by what sort of thread.
#[derive(Debug)]
pub(crate) struct Lane {
    pub name: String,
    pub interval: Duration,
    pub depth: Depth,
    pub sources: Selection,
    pub thread: ThreadSettings,
}

/// How far back a ring reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As was asked for; refused where it does not fit.
    Asked(Duration),
    /// The default; less where it would take much memory.
    Default(Duration),
}

/// How a lane's thread is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadSettings {
    /// The CPUs that it may run on; any, if there is none.
    pub cpus: Vec<usize>,
    pub policy: Policy,
}

/// How the kernel schedules a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Policy {
    /// As it does by default.
    #[default]
    Other,
    /// By default, with this niceness, -20 to 19.
    Nice(i8),
    /// In real time, first in, first out, with this priority, 1 to 99.
    Fifo(u8),
    /// In real time, in turns, with this priority, 1 to 99.
    RoundRobin(u8),
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no policy; write other, nice:-5, fifo:10 or rr:10");
        if text == "other" {
            return Ok(Self::Other);
        }
        let (name, number) = text.split_once(':').ok_or_else(wrong)?;
        let number: i8 = number.parse().map_err(|_| wrong())?;
        match (name, number) {
            ("nice", -20..=19) => Ok(Self::Nice(number)),
            ("fifo", 1..=99) => Ok(Self::Fifo(number as u8)),
            ("rr", 1..=99) => Ok(Self::RoundRobin(number as u8)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Policy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other => f.write_str("other"),
            Self::Nice(nice) => write!(f, "nice:{nice}"),
            Self::Fifo(priority) => write!(f, "fifo:{priority}"),
            Self::RoundRobin(priority) => write!(f, "rr:{priority}"),
        }
    }
}

/// A lane as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LaneKeys {
    name: String,
    interval: Option<Interval>,
    depth: Option<Span>,
    sources: Option<Sources>,
    cpu: Option<Cpus>,
    policy: Option<Policy>,
}

/// The keys that the file's top level and a lane have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    pub(super) interval: Option<Interval>,
    pub(super) depth: Option<Span>,
    pub(super) sources: Option<Sources>,
    pub(super) cpu: Option<Cpus>,
    pub(super) policy: Option<Policy>,
}

impl Pace {
    fn is_empty(&self) -> bool {
        let Self { interval, depth, sources, cpu, policy } = self;
        interval.is_none()
            && depth.is_none()
            && sources.is_none()
            && cpu.is_none()
            && policy.is_none()
    }
}

/// Sources by name: at every tick, or at every Nth one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "sources are a list of names or a table of how rarely each is read")]
pub(super) enum Sources {
    Names(Vec<String>),
    Divisors(BTreeMap<String, u32>),
}

/// One CPU or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "cpu is the number of a CPU or a list of such")]
pub(super) enum Cpus {
    One(usize),
    Some(Vec<usize>),
}

/// What the flags say of lanes.
pub(super) struct LaneFlags {
    pub(super) interval: Option<Duration>,
    pub(super) depth: Option<Duration>,
    pub(super) sources: Vec<(String, u32)>,
    pub(super) lanes: Vec<String>,
}

/// The lanes, `host` first. `top` are the keys at the file's top level, which mean that lane.
pub(super) fn lanes(
    top: Pace,
    lanes: Vec<LaneKeys>,
    flags: LaneFlags,
) -> anyhow::Result<Vec<Lane>> {
    let mut names = BTreeSet::new();
    let (mut host, mut others) = (top, Vec::new());
    for LaneKeys { name, interval, depth, sources, cpu, policy } in lanes {
        let keys = Pace { interval, depth, sources, cpu, policy };
        check_name(&name)?;
        if !names.insert(name.clone()) {
            bail!("there are two lanes {name:?}");
        }
        if name != LANE {
            others.push((name, keys));
        } else if host.is_empty() {
            host = keys;
        } else {
            bail!("the lane {LANE:?} is set both by a [[lane]] and by keys at the top of the file");
        }
    }
    for name in flags.lanes {
        if names.contains(&name) {
            continue;
        }
        if name != FAST {
            bail!("there is no lane {name:?} in the configuration; {FAST:?} needs none");
        }
        names.insert(name.clone());
        others.push((name, Pace::default()));
    }
    if others.len() >= LANES_MAX {
        bail!("there are {} lanes; {LANES_MAX} is the most", others.len() + 1);
    }
    host.interval = flags.interval.map(Interval).or(host.interval);
    host.depth = flags.depth.map(Span).or(host.depth);
    let mut all = vec![lane(LANE.to_owned(), host)?];
    for (name, divisor) in flags.sources {
        all[0].sources.set(&name, divisor)?;
    }
    for (name, keys) in others {
        let reading = format!("in the lane {name:?}");
        all.push(lane(name, keys).context(reading)?);
    }
    Ok(all)
}

fn lane(name: String, keys: Pace) -> anyhow::Result<Lane> {
    let fast = name == FAST;
    let interval_default = if fast { FAST_INTERVAL } else { INTERVAL_DEFAULT };
    let interval = keys.interval.map_or(interval_default, |interval| interval.0);
    let depth = match keys.depth {
        Some(Span(depth)) if depth < interval => {
            bail!("depth {depth:?} is shorter than the interval {interval:?}")
        }
        Some(Span(depth)) => Depth::Asked(depth),
        None => Depth::Default(if fast { FAST_DEPTH } else { DEPTH_DEFAULT }),
    };
    // The lane that is always there begins with the usual sources, another one with none.
    let mut sources = if name == LANE { Selection::default() } else { Selection::none() };
    match keys.sources {
        Some(Sources::Divisors(divisors)) => {
            for (source, divisor) in divisors {
                sources.set(&source, divisor)?;
            }
        }
        Some(Sources::Names(names)) => {
            sources = Selection::none();
            for source in names {
                sources.set(&source, 1)?;
            }
        }
        None if fast => {
            for source in FAST_SOURCES {
                sources.set(source, 1)?;
            }
        }
        None if name != LANE => bail!("it has no sources"),
        None => {}
    }
    let cpus = match keys.cpu {
        Some(Cpus::One(cpu)) => vec![cpu],
        Some(Cpus::Some(cpus)) if cpus.is_empty() => bail!("cpu = [] leaves no CPU to run on"),
        Some(Cpus::Some(cpus)) => cpus,
        None => Vec::new(),
    };
    let most = rustix::thread::CpuSet::MAX_CPU;
    if let Some(cpu) = cpus.iter().find(|cpu| **cpu >= most) {
        bail!("cpu {cpu} cannot be asked for: 0 to {} can", most - 1);
    }
    let thread = ThreadSettings { cpus, policy: keys.policy.unwrap_or_default() };
    Ok(Lane { name, interval, depth, sources, thread })
}

/// A lane's name is a file's name and goes into commands as it is.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fit) {
        bail!("{name:?} is no name for a lane: 1 to {NAME_BYTES_MAX} letters, digits, _ and - are");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_understood_and_written_the_same_way() {
        for text in ["other", "nice:-20", "nice:19", "fifo:1", "rr:99"] {
            assert_eq!(text.parse::<Policy>().map(|policy| policy.to_string()), Ok(text.into()));
        }
        for wrong in ["", "fifo", "fifo:0", "rr:100", "nice:20", "idle", "fifo:-1", "nice:x"] {
            let error = wrong.parse::<Policy>().expect_err(wrong);
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn names_of_lanes_are_names_of_files() {
        for name in ["host", "fast", "a-b_9", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for wrong in ["", "a/b", "..", "a b", "\u{fc}", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
