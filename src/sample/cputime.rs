//! CPU time that is finer than the ticks of `/proc/stat`: which of the kernel's files there are.
//!
//! A tick is a hundredth of a second, so that ten records a second tell ten shares of CPU time apart.
//! For all CPUs together there is the `cpu.stat` of the root control group. For each there is
//! `/proc/schedstat`, and where the kernel was built without it, perhaps the `cpuacct` controller of
//! the first generation of control groups.
//!
//! In a container the directory of control groups may be that of the container's own, which is not
//! the machine's; the kernel shows `cgroup.type` in all but the root, and `release_agent`, of the
//! first generation, in no other.

use std::path::{Path, PathBuf};

use super::Roots;
use super::cpuacct::Cpuacct;
use super::root_cpu_stat::RootCpuStat;
use super::schedstat::Schedstat;
use super::source::Source;

/// Where a second hierarchy of control groups is mounted beside the first generation's, after that
/// of the second alone.
const UNIFIED: [&str; 2] = ["", "unified"];

/// Where the controller is mounted, alone or together with another.
const CPUACCT: [&str; 3] = ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"];

/// The sources that this machine has. Without any it is the one that is most common, for its error.
pub(super) fn sources(roots: &Roots) -> Vec<Box<dyn Source>> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let groups = roots.sysfs.join("fs/cgroup");
    let is_root = |dir: &PathBuf| !dir.join("cgroup.type").exists();
    let found = found(&groups, &UNIFIED, "cpu.stat").filter(is_root);
    sources.extend(found.map(|dir| Box::new(RootCpuStat::new(&dir)) as _));
    if roots.procfs.join("schedstat").exists() {
        sources.push(Box::new(Schedstat::new(roots)));
    } else {
        let is_root = |dir: &PathBuf| dir.join("release_agent").exists();
        let found = self::found(&groups, &CPUACCT, "cpuacct.usage_all").filter(is_root);
        sources.extend(found.map(|dir| Box::new(Cpuacct::new(&dir)) as _));
    }
    if sources.is_empty() {
        sources.push(Box::new(Schedstat::new(roots)));
    }
    sources
}

/// The first of `places` in `groups` that has `file`.
fn found(groups: &Path, places: &[&str], file: &str) -> Option<PathBuf> {
    let mut dirs = places.iter().map(|place| groups.join(place));
    dirs.find(|dir| dir.join(file).exists())
}
