//! One CPU for all who take part.
//!
//! On several, what a request costs depends on where the scheduler has put each thread: to be woken
//! on another CPU that sleeps takes three times what an answer takes, and one server may be lucky
//! where the other is not.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those that it starts, on the last of its CPUs.
#[allow(dead_code, reason = "not every benchmark is all in one process")]
pub(crate) fn stay_on_one() {
    keep_on(None, &last_of(&all()));
}

/// The CPUs that this thread may have.
pub(crate) fn all() -> CpuSet {
    sched_getaffinity(None).expect("the thread's CPUs")
}

/// Only the last one of `cpus`.
pub(crate) fn last_of(cpus: &CpuSet) -> CpuSet {
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| cpus.is_set(cpu)).expect("it runs");
    let mut one = CpuSet::new();
    one.set(last);
    one
}

/// Keeps a thread, or this one, on these.
pub(crate) fn keep_on(thread: Option<Pid>, cpus: &CpuSet) {
    sched_setaffinity(thread, cpus).expect("CPUs that it has");
}

/// Keeps all threads of a process on these.
#[allow(dead_code, reason = "not every benchmark has other processes")]
pub(crate) fn keep_process_on(process: u32, cpus: &CpuSet) {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    for task in tasks {
        let name = task.expect("listed").file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        // A thread that has ended since it was listed needs no CPU.
        let _ = sched_setaffinity(Some(thread.expect("a thread's number")), cpus);
    }
}
