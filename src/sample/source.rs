//! What can be sampled.

use std::path::Path;

use super::columns::Columns;
use super::{
    Roots, SampleError, diskstats, loadavg, meminfo, net_dev, pressure, rootfs, stat, uptime,
    vmstat,
};

/// One file or system call that is read at its turns.
pub(super) trait Source: Send {
    /// What is read, for messages.
    fn path(&self) -> &Path;

    /// Reads it and puts its values into `columns`, registering series that are new and ending
    /// those that are gone. After an error, what could be understood has been put nevertheless.
    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError>;
}

/// A source's name, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct SourceInfo {
    /// The name by which it is selected.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// The files it consists of.
    pub(super) make: fn(&Roots) -> Vec<Box<dyn Source>>,
}

/// Every source there is, in the order in which a tick reads them.
pub const SOURCES: &[SourceInfo] = &[
    SourceInfo {
        name: "stat",
        help: "CPU time by mode, of all CPUs and of each; interrupts, context switches, forks.",
        make: |roots| vec![Box::new(stat::Stat::new(roots))],
    },
    SourceInfo {
        name: "meminfo",
        help: "Memory, by every line of /proc/meminfo.",
        make: |roots| vec![Box::new(meminfo::Meminfo::new(roots))],
    },
    SourceInfo {
        name: "loadavg",
        help: "Load averages and the number of tasks.",
        make: |roots| vec![Box::new(loadavg::Load::new(roots))],
    },
    SourceInfo {
        name: "uptime",
        help: "Time since the machine started.",
        make: |roots| vec![Box::new(uptime::Up::new(roots))],
    },
    SourceInfo {
        name: "net_dev",
        help: "Traffic and errors of each network interface.",
        make: |roots| vec![Box::new(net_dev::NetDev::new(roots))],
    },
    SourceInfo {
        name: "diskstats",
        help: "Requests, sectors and times of each block device and partition.",
        make: |roots| vec![Box::new(diskstats::Diskstats::new(roots))],
    },
    SourceInfo {
        name: "vmstat",
        help: "Paging, swapping, page faults and out-of-memory kills.",
        make: |roots| vec![Box::new(vmstat::Vmstat::new(roots))],
    },
    SourceInfo {
        name: "pressure",
        help: "Time that tasks were held up for lack of CPU, memory or I/O.",
        make: |roots| {
            let files = pressure::RESOURCES.iter();
            files.map(|resource| Box::new(pressure::Pressure::new(roots, resource)) as _).collect()
        },
    },
    SourceInfo {
        name: "rootfs",
        help: "Space of the root file system and traffic of the block device under it.",
        make: |roots| {
            vec![Box::new(rootfs::Rootfs::new(roots)), Box::new(rootfs::RootDevice::new(roots))]
        },
    },
];
