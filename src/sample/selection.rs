//! Which sources there are, which of them run, and how often.

use std::time::Duration;
use std::{error, fmt};

use super::source::Source;
use super::{
    Sampling, block_health, cgroup, cpufreq, cputime, diskstats, hwmon, interrupts, loadavg,
    meminfo, mount, net_dev, netstat, numa, pressure, snmp6, sockstat, softirqs, stat, textfile,
    uname, uptime, vmstat, zfs,
};

/// What changes slowly and is read on a thread of its own is read at every so many turns only. Each
/// record has the last answer, with its age.
const SLOW: u32 = 5;
const SLOWER: u32 = 10;

/// A source's name, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct SourceInfo {
    /// The name by which it is selected.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// What it consists of, given the time between two of its turns.
    pub(super) make: fn(&Sampling, Duration) -> Vec<Box<dyn Source>>,
    /// How often it runs unless it is told otherwise; see [`Selection::set`].
    pub divisor: u32,
}

/// Every source there is, in the order in which a tick reads them.
pub const SOURCES: &[SourceInfo] = &[
    SourceInfo {
        name: "stat",
        help: "CPU time by mode, of all CPUs and of each; interrupts, context switches, forks.",
        make: |sampling, _| vec![Box::new(stat::Stat::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "meminfo",
        help: "Memory, by every line of /proc/meminfo.",
        make: |sampling, _| vec![Box::new(meminfo::Meminfo::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "loadavg",
        help: "Load averages and the number of tasks.",
        make: |sampling, _| vec![Box::new(loadavg::Load::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "uptime",
        help: "Time since the machine started.",
        make: |sampling, _| vec![Box::new(uptime::Up::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "uname",
        help: "Kernel, machine and their names.",
        make: |_, _| vec![Box::new(uname::Uname::new())],
        divisor: 1,
    },
    SourceInfo {
        name: "net_dev",
        help: "Traffic and errors of each network interface.",
        make: |sampling, _| vec![Box::new(net_dev::NetDev::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "diskstats",
        help: "Requests, sectors and times of each block device and partition.",
        make: |sampling, _| vec![Box::new(diskstats::Diskstats::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "vmstat",
        help: "Paging, swapping, page faults and out-of-memory kills.",
        make: |sampling, _| vec![Box::new(vmstat::Vmstat::new(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "pressure",
        help: "Time that tasks were held up for lack of CPU, memory or I/O.",
        make: |sampling, _| {
            let files = pressure::RESOURCES.iter();
            files
                .map(|resource| Box::new(pressure::Pressure::new(&sampling.roots, resource)) as _)
                .collect()
        },
        divisor: 1,
    },
    SourceInfo {
        name: "filesystem",
        help: "Space of each mounted file system and traffic of the block devices under it.",
        make: |sampling, period| vec![Box::new(mount::filesystem::Mounted::new(sampling, period))],
        divisor: 1,
    },
    SourceInfo {
        name: "datastore",
        help: "Space of each configured store and traffic of what lies under it.",
        make: mount::datastore::all,
        divisor: 1,
    },
    SourceInfo {
        name: "zfs_pool",
        help: "State of each ZFS pool, and its traffic where ZFS counts it.",
        make: |sampling, period| vec![Box::new(zfs::pool::ZfsPools::new(&sampling.roots, period))],
        divisor: 1,
    },
    SourceInfo {
        name: "cputime",
        help: "CPU time finer than ticks, of all CPUs and of each.",
        make: |sampling, _| cputime::sources(&sampling.roots),
        divisor: 1,
    },
    SourceInfo {
        name: "sockstat",
        help: "Sockets by protocol, and the memory that they hold.",
        make: |sampling, _| {
            let roots = &sampling.roots;
            let has_ipv6 = roots.procfs.join("net/sockstat6").exists();
            let files = [false, true].into_iter().filter(|is_ipv6| !is_ipv6 || has_ipv6);
            files.map(|is_ipv6| Box::new(sockstat::Sockstat::new(roots, is_ipv6)) as _).collect()
        },
        divisor: 1,
    },
    SourceInfo {
        name: "snmp",
        help: "Errors, traffic and connections of the network protocols.",
        make: |sampling, _| {
            let roots = &sampling.roots;
            let mut files: Vec<Box<dyn Source>> = vec![Box::new(netstat::Netstat::snmp(roots))];
            if roots.procfs.join("net/snmp6").exists() {
                files.push(Box::new(snmp6::Snmp6::new(roots)));
            }
            files
        },
        divisor: 1,
    },
    SourceInfo {
        name: "netstat",
        help: "What TCP and IP lost or repeated, and why.",
        make: |sampling, _| vec![Box::new(netstat::Netstat::extensions(&sampling.roots))],
        divisor: 1,
    },
    SourceInfo {
        name: "hwmon",
        help: "Temperatures, fans, voltages and power, as the machine's sensors give them.",
        make: |sampling, period| {
            vec![Box::new(hwmon::Hwmon::new(&sampling.roots, period.saturating_mul(SLOW)))]
        },
        divisor: 1,
    },
    SourceInfo {
        name: "block_health",
        help: "State, model and error counts of each disk, and of each array of disks.",
        make: |sampling, period| {
            vec![Box::new(block_health::BlockHealth::new(
                &sampling.roots,
                period.saturating_mul(SLOWER),
            ))]
        },
        divisor: 1,
    },
    SourceInfo {
        name: "textfile",
        help: "Metrics that others leave in text files, if a directory is named.",
        make: |sampling, period| {
            let directory = sampling.textfiles.as_deref();
            let source = |directory| {
                Box::new(textfile::Textfile::new(directory, period.saturating_mul(SLOW))) as _
            };
            directory.map(source).into_iter().collect()
        },
        divisor: 1,
    },
    SourceInfo {
        name: "softirqs",
        help: "How often each CPU did each kind of deferred work.",
        make: |sampling, _| vec![Box::new(softirqs::Softirqs::new(&sampling.roots))],
        divisor: 0,
    },
    SourceInfo {
        name: "interrupts",
        help: "How often each CPU was interrupted, by interrupt.",
        make: |sampling, _| vec![Box::new(interrupts::Interrupts::new(&sampling.roots))],
        divisor: 0,
    },
    SourceInfo {
        name: "cpufreq",
        help: "Frequency of each CPU, and its limits.",
        make: |sampling, period| {
            let source = cpufreq::Cpufreq::new(&sampling.roots, period.saturating_mul(SLOW));
            source.into_iter().map(|source| Box::new(source) as _).collect()
        },
        divisor: 1,
    },
    SourceInfo {
        name: "numa",
        help: "Memory of each NUMA node.",
        make: |sampling, _| vec![Box::new(numa::Numa::new(&sampling.roots))],
        divisor: 0,
    },
    SourceInfo {
        name: "cgroup",
        help: "CPU, memory, I/O, pressure and tasks of each control group.",
        make: |sampling, _| vec![Box::new(cgroup::Cgroup::new(sampling))],
        divisor: 0,
    },
];

/// Which sources run, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    divisors: [u32; SOURCES.len()],
}

impl Default for Selection {
    fn default() -> Self {
        Self { divisors: std::array::from_fn(|index| SOURCES[index].divisor) }
    }
}

impl Selection {
    /// No source at all.
    #[must_use]
    pub fn none() -> Self {
        Self { divisors: [0; SOURCES.len()] }
    }

    /// Lets the source `name` run at each `divisor`-th tick, or never if that is 0.
    ///
    /// # Errors
    ///
    /// [`UnknownSource`] if none of [`SOURCES`] has this name.
    pub fn set(&mut self, name: &str, divisor: u32) -> Result<(), UnknownSource> {
        let mut sources = SOURCES.iter().zip(&mut self.divisors);
        let found = sources.find(|(source, _)| source.name == name);
        let (_, place) = found.ok_or_else(|| UnknownSource { name: name.into() })?;
        *place = divisor;
        Ok(())
    }

    /// Every source's name and divisor, in the order of [`SOURCES`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        SOURCES.iter().map(|source| source.name).zip(self.divisors)
    }
}

/// No source has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSource {
    name: Box<str>,
}

impl fmt::Display for UnknownSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no source {:?}; there are", self.name)?;
        for (index, source) in SOURCES.iter().enumerate() {
            write!(f, "{} {}", if index == 0 { "" } else { "," }, source.name)?;
        }
        Ok(())
    }
}

impl error::Error for UnknownSource {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_selected_by_name() {
        let mut selection = Selection::default();
        assert!(selection.iter().any(|source| source == ("stat", 1)));
        assert!(Selection::none().iter().all(|(_, divisor)| divisor == 0));
        assert_eq!(selection.set("vmstat", 10), Ok(()));
        assert!(selection.iter().any(|source| source == ("vmstat", 10)));
        let error = selection.set("vmstats", 1).expect_err("no such source");
        assert!(error.to_string().starts_with("no source \"vmstats\"; there are stat, meminfo,"));
    }
}
