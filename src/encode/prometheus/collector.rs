//! Groups of families, by the names of `node_exporter`'s collectors.

use std::{error, fmt};

/// A collector and what the names of its families begin with.
struct Collector {
    name: &'static str,
    prefixes: &'static [&'static str],
}

const fn collector(name: &'static str, prefixes: &'static [&'static str]) -> Collector {
    Collector { name, prefixes }
}

/// Every collector. The first one with a prefix of a family's name has it.
const COLLECTORS: &[Collector] = &[
    collector("cpufreq", &["node_cpu_scaling_", "node_cpu_frequency_"]),
    collector("cpu", &["node_cpu_", "tachograph_cpu"]),
    collector("loadavg", &["node_load", "tachograph_tasks"]),
    collector("meminfo_numa", &["node_memory_numa_"]),
    collector("meminfo", &["node_memory_"]),
    collector("netdev", &["node_network_", "tachograph_nic_"]),
    collector("mdadm", &["node_md_", "tachograph_md_"]),
    collector("diskstats", &["node_disk_", "tachograph_disk_", "tachograph_block_"]),
    collector("filesystem", &["node_filesystem_", "tachograph_filesystem_"]),
    collector("pressure", &["node_pressure_", "tachograph_pressure_"]),
    collector(
        "stat",
        &["node_context_switches_", "node_intr_", "node_forks_", "node_procs_", "node_boot_time_"],
    ),
    collector("vmstat", &["node_vmstat_"]),
    collector("uname", &["node_uname_"]),
    collector("time", &["node_time_", "tachograph_uptime_", "tachograph_idle_"]),
    collector("netstat", &["node_netstat_"]),
    collector("sockstat", &["node_sockstat_"]),
    collector("softirqs", &["node_softirqs_"]),
    collector("schedstat", &["node_schedstat_"]),
    collector("interrupts", &["node_interrupts_", "tachograph_interrupt_"]),
    collector("hwmon", &["node_hwmon_", "tachograph_hwmon_"]),
    collector("zfs", &["node_zfs_", "tachograph_pool_"]),
    collector("textfile", &["node_textfile_", "tachograph_textfile_"]),
    collector("datastore", &["datastore_"]),
    collector("cgroup", &["tachograph_cgroup_"]),
    collector("tachograph", &["tachograph_"]),
    // What applications record.
    collector("application", &[""]),
];

/// The collector of the samples of text files, whatever their families are called.
pub(super) const TEXTFILE: u8 = place_of("textfile");

const fn place_of(name: &str) -> u8 {
    let mut place = 0;
    while place < COLLECTORS.len() {
        let (a, b) = (COLLECTORS[place].name.as_bytes(), name.as_bytes());
        let mut same = a.len() == b.len();
        let mut at = 0;
        while same && at < a.len() {
            same = a[at] == b[at];
            at += 1;
        }
        if same {
            return place as u8;
        }
        place += 1;
    }
    panic!("there is no such collector")
}

/// The collector that a family belongs to.
pub(super) fn of_family(family: &str) -> u8 {
    let has = |collector: &Collector| collector.prefixes.iter().any(|it| family.starts_with(it));
    COLLECTORS.iter().position(has).expect("the last one has all") as u8
}

/// A set of collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collectors(u32);

const _: () = assert!(COLLECTORS.len() <= u32::BITS as usize);

impl Default for Collectors {
    /// All of them.
    fn default() -> Self {
        Self::ALL
    }
}

impl Collectors {
    /// No collector.
    pub const NONE: Self = Self(0);
    /// Every collector.
    pub const ALL: Self = Self(u32::MAX >> (u32::BITS as usize - COLLECTORS.len()));

    /// The collector with this name alone.
    ///
    /// # Errors
    ///
    /// [`UnknownCollector`] when there is none.
    pub fn named(name: &str) -> Result<Self, UnknownCollector> {
        let place = COLLECTORS.iter().position(|collector| collector.name == name);
        place.map(|place| Self(1 << place)).ok_or(UnknownCollector)
    }

    /// The names of all that there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COLLECTORS.iter().map(|collector| collector.name)
    }

    /// The collectors of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The collectors that `other` does not have.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has the collector with this name, if there is one.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        Self::named(name).is_ok_and(|one| self.0 & one.0 != 0)
    }

    pub(super) fn has_place(self, place: u8) -> bool {
        self.0 & (1 << place) != 0
    }

    /// The set as a number, to tell two sets apart.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// There is no collector of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCollector;

impl fmt::Display for UnknownCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such collector; there are ")?;
        for (index, name) in Collectors::names().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{name}")?;
        }
        Ok(())
    }
}

impl error::Error for UnknownCollector {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CATALOG;

    #[test]
    fn every_family_of_the_catalog_has_a_collector() {
        for line in CATALOG {
            let collector = &COLLECTORS[usize::from(of_family(line.family))];
            assert_ne!(collector.name, "application", "{}", line.family);
        }
        let name = |family| COLLECTORS[usize::from(of_family(family))].name;
        assert_eq!(name("node_cpu_seconds_total"), "cpu");
        assert_eq!(name("node_memory_numa_MemFree"), "meminfo_numa");
        assert_eq!(name("tachograph_ticks_total"), "tachograph");
        assert_eq!(name("shop_waiting"), "application");
    }

    #[test]
    fn sets_are_joined_and_parted() {
        let named = |name| Collectors::named(name).expect(name);
        let both = Collectors::NONE.and(named("cpu")).and(named("stat"));
        assert!(both.has("cpu") && both.has("stat") && !both.has("vmstat") && !both.has("x"));
        let rest = Collectors::ALL.without(both);
        assert!(!rest.has("cpu") && rest.has("vmstat"));
        assert_eq!(rest.and(both), Collectors::ALL);
        assert_eq!(Collectors::names().count(), Collectors::ALL.bits().count_ones() as usize);
        assert_eq!(Collectors::named("cpus"), Err(UnknownCollector));
        assert!(UnknownCollector.to_string().ends_with("cgroup, tachograph, application"));
    }
}
