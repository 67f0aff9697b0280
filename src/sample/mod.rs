//! How it is measured: the kernel's files, read again and again.
//!
//! A [`Sampler`] keeps every file open and reads it from its beginning at each turn into a buffer
//! that it keeps too. The parsers work on bytes; none allocates, and none panics whatever the
//! bytes are. A value that the kernel did not give, or that could not be understood, stays
//! [`ABSENT`](crate::record::ABSENT): never zero, and never what it was before.
//!
//! Each kernel file has a source file of its own here, with a sample of its text; `rows`
//! knows which line belongs to which series while devices come and go.
//!
//! This module imports only [`record`](crate::record), and only the program imports it.

mod attribute;
mod background;
mod block_health;
mod cgroup;
mod columns;
mod cpu_table;
mod cpuacct;
mod cpufreq;
mod cputime;
mod diskstats;
mod error;
mod event;
mod exposition;
mod fields;
mod filter;
mod hwmon;
mod info;
mod interrupts;
mod loadavg;
mod meminfo;
mod mount;
mod net_dev;
mod netstat;
mod numa;
mod pressure;
mod readings;
mod root_cpu_stat;
mod rows;
mod sampler;
mod sampling;
mod scan;
mod schedstat;
mod selection;
mod snmp6;
mod sockstat;
mod softirqs;
mod source;
mod stat;
mod text;
mod textfile;
mod uname;
mod uptime;
mod vmstat;
mod zfs;

pub use error::SampleError;
pub use event::SourceEvent;
pub use filter::{BadPattern, Filter};
pub use sampler::Sampler;
pub use sampling::{Cgroups, Datastore, Filesystems, Roots, Sampling};
pub use selection::{SOURCES, Selection, SourceInfo, UnknownSource};

/// The parsers by themselves, for tests and fuzzing: bytes in, what each line says out.
#[doc(hidden)]
pub mod parse {
    pub use super::cgroup::parse::{
        BlockIo, DeviceIo, Keyed, StallTotal, amount, block_io, io_stat, keyed, stall_totals,
    };
    pub use super::cpu_table::{Counts as CpuCounts, Line as CpuLine, parse as cpu_table};
    pub use super::cpuacct::{Busy, parse as cpuacct};
    pub use super::cpufreq::parse as frequency;
    pub use super::diskstats::{Device, parse as diskstats, parse_one as block_stat};
    pub use super::exposition::Exposition;
    pub use super::loadavg::{Loadavg, parse as loadavg};
    pub use super::meminfo::{Amount, parse as meminfo};
    pub use super::mount::table::{DeviceNumber, Escaped, MountLine, parse as mountinfo};
    pub use super::net_dev::{Interface, parse as net_dev};
    pub use super::netstat::{Statistic, parse as netstat};
    pub use super::numa::{
        parse_meminfo as node_meminfo, parse_numastat as numastat, parse_online as nodes_online,
    };
    pub use super::pressure::{Stall, parse as pressure};
    pub use super::root_cpu_stat::{Time as CpuTime, parse as root_cpu_stat};
    pub use super::schedstat::{Cpu as SchedCpu, parse as schedstat};
    pub use super::snmp6::parse as snmp6;
    pub use super::sockstat::{Sockets, parse as sockstat};
    pub use super::stat::{Cpu, Line as StatLine, Total, parse as stat};
    pub use super::uptime::{Uptime, parse as uptime};
    pub use super::vmstat::{Event, parse as vmstat};
    pub use super::zfs::kstat::{DatasetIo, Objset, PoolIo};
    pub use super::zfs::kstat::{
        objset as zfs_objset, pool_io as zfs_pool_io, pool_state as zfs_pool_state,
    };
}
