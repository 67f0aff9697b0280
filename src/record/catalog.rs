//! Every metric, declared once.
//!
//! Naming rule: a metric's name says what is measured, then the unit it is *stored* in, which is the
//! kernel's own (`user_ticks`, `read_sectors`, `io_ms`); a plain number of things has no unit in its
//! name. Names that the kernel invents (`/proc/meminfo`, `/proc/vmstat`) are one line with a `*`.
//! A string that belongs to an object is a metric too, `key=*`: it is 1 for as long as the string is
//! this one. Its family has no `*`; there the string is the value of the label `key`.
//!
//! The Prometheus family is the one that `node_exporter` uses for the same kernel value, so that
//! dashboards made for it go on working; what it does not have is `tachograph_*`.

use super::{Class, Kind, Repr, Unit};

/// One line of the [`CATALOG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The class of the objects that have it.
    pub class: Class,
    /// The name; a `*` stands for a name given by the kernel.
    pub name: &'static str,
    /// How values relate.
    pub kind: Kind,
    /// What is stored.
    pub unit: Unit,
    /// How a word is read.
    pub repr: Repr,
    /// Prometheus family, in base units; a `*` as in the name.
    pub family: &'static str,
    /// The label that tells this metric from others of its family.
    pub label: Option<(&'static str, &'static str)>,
    /// One sentence for people; a `*` as in the name.
    pub help: &'static str,
}

impl Metric {
    /// What stands for the `*` when `name` is one of this line's; empty for a line without `*`.
    #[must_use]
    pub fn matches<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self.name.split_once('*') {
            None => (self.name == name).then_some(""),
            Some((before, after)) => {
                let field = name.strip_prefix(before)?.strip_suffix(after)?;
                (!field.is_empty()).then_some(field)
            }
        }
    }
}

/// The catalog's line for the metric `name` of objects of `class`.
#[must_use]
pub fn metric(class: Class, name: &str) -> Option<&'static Metric> {
    CATALOG.iter().find(|line| line.class == class && line.matches(name).is_some())
}

macro_rules! catalog {
    ($($class:ident {
        $($name:literal $kind:ident $unit:ident $repr:ident, $family:literal
          $({ $label:ident = $value:literal })?, $help:literal;)+
    })+) => {
        /// Every metric there is. Where two lines of a class match a name, the first one holds.
        pub static CATALOG: &[Metric] = &[$($(Metric {
            class: Class::$class,
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            repr: Repr::$repr,
            family: $family,
            label: catalog!(@label $($label $value)?),
            help: $help,
        },)+)+];
    };
    (@label) => { None };
    (@label $label:ident $value:literal) => { Some((stringify!($label), $value)) };
}

catalog! {
    Host {
        "cpu_user_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "user" }, "CPU time of all CPUs in user mode, guests included.";
        "cpu_nice_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "nice" }, "CPU time of all CPUs in user mode at low priority.";
        "cpu_system_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "system" }, "CPU time of all CPUs in the kernel.";
        "cpu_idle_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "idle" }, "CPU time of all CPUs with nothing to do.";
        "cpu_iowait_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "iowait" }, "CPU time of all CPUs idle while a task waited for a disk.";
        "cpu_irq_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "irq" }, "CPU time of all CPUs in interrupt handlers.";
        "cpu_softirq_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "softirq" }, "CPU time of all CPUs in soft interrupts.";
        "cpu_steal_ticks" Counter Ticks U64, "tachograph_cpu_seconds_total" { mode = "steal" }, "Time of all CPUs that the hypervisor gave to others.";
        "cpu_guest_ticks" Counter Ticks U64, "tachograph_cpu_guest_seconds_total" { mode = "user" }, "CPU time of all CPUs running guests; part of user.";
        "cpu_guest_nice_ticks" Counter Ticks U64, "tachograph_cpu_guest_seconds_total" { mode = "nice" }, "CPU time of all CPUs running guests at low priority; part of nice.";
        "context_switches" Counter Count U64, "node_context_switches_total", "Total number of context switches.";
        "interrupts" Counter Count U64, "node_intr_total", "Total number of interrupts serviced.";
        "forks" Counter Count U64, "node_forks_total", "Total number of forks.";
        "procs_running" Gauge Count U64, "node_procs_running", "Number of processes in runnable state.";
        "procs_blocked" Gauge Count U64, "node_procs_blocked", "Number of processes blocked waiting for I/O to complete.";
        "boot_time_seconds" Gauge Seconds U64, "node_boot_time_seconds", "Node boot time, in unixtime.";
        "uname_sysname=*" Gauge Flag U64, "tachograph_uname_sysname_info", "1 while the kernel is called this.";
        "uname_release=*" Gauge Flag U64, "tachograph_uname_release_info", "Labeled system information as provided by the uname system call.";
        "uname_version=*" Gauge Flag U64, "tachograph_uname_version_info", "1 while the kernel says that it was built so.";
        "uname_machine=*" Gauge Flag U64, "tachograph_uname_machine_info", "1 while this is the machine's architecture.";
        "uname_nodename=*" Gauge Flag U64, "tachograph_uname_nodename_info", "1 while the machine is called this.";
        "uname_domainname=*" Gauge Flag U64, "tachograph_uname_domainname_info", "1 while this is the machine's NIS domain.";
        "load1" Gauge Count F64, "node_load1", "1m load average.";
        "load5" Gauge Count F64, "node_load5", "5m load average.";
        "load15" Gauge Count F64, "node_load15", "15m load average.";
        "tasks_runnable" Gauge Count U64, "tachograph_tasks_runnable", "Threads that run or could run.";
        "tasks" Gauge Count U64, "tachograph_tasks", "Threads that exist.";
        "uptime_seconds" Gauge Seconds F64, "tachograph_uptime_seconds", "Time since the machine started, suspend included.";
        "idle_seconds" Counter Seconds F64, "tachograph_idle_seconds_total", "Idle time of all CPUs together since the machine started.";
        "meminfo_*_bytes" Gauge Bytes U64, "node_memory_*_bytes", "Memory information field *_bytes.";
        "meminfo_*" Gauge Count U64, "node_memory_*", "Memory information field *.";
        "vmstat_*" Counter Count U64, "node_vmstat_*", "/proc/vmstat information field *.";
        "pressure_cpu_some_us" Counter Microseconds U64, "node_pressure_cpu_waiting_seconds_total", "Total time in seconds that processes have waited for CPU time";
        "pressure_cpu_full_us" Counter Microseconds U64, "node_pressure_cpu_stalled_seconds_total", "Total time in seconds no process could make progress for lack of CPU time";
        "pressure_memory_some_us" Counter Microseconds U64, "node_pressure_memory_waiting_seconds_total", "Total time in seconds that processes have waited for memory";
        "pressure_memory_full_us" Counter Microseconds U64, "node_pressure_memory_stalled_seconds_total", "Total time in seconds no process could make progress due to memory congestion";
        "pressure_io_some_us" Counter Microseconds U64, "node_pressure_io_waiting_seconds_total", "Total time in seconds that processes have waited due to IO congestion";
        "pressure_io_full_us" Counter Microseconds U64, "node_pressure_io_stalled_seconds_total", "Total time in seconds no process could make progress due to IO congestion";
        "pressure_*_avg10_percent" Gauge Percent F64, "tachograph_pressure_*_avg10_ratio", "Share of the last 10 s in which tasks were held up, by resource and by some or all of them.";
        "pressure_*_avg60_percent" Gauge Percent F64, "tachograph_pressure_*_avg60_ratio", "Share of the last 60 s in which tasks were held up, by resource and by some or all of them.";
        "pressure_*_avg300_percent" Gauge Percent F64, "tachograph_pressure_*_avg300_ratio", "Share of the last 300 s in which tasks were held up, by resource and by some or all of them.";
        "block_health_age_ms" Gauge Milliseconds U64, "tachograph_block_health_age_seconds", "Time since the state of the disks was last read.";
        "block_health_stuck" Gauge Flag U64, "tachograph_block_health_stuck", "1 while reading the state of the disks takes longer than it may.";
        "textfile_age_ms" Gauge Milliseconds U64, "tachograph_textfile_age_seconds", "Time since the directory of text files was last looked at.";
        "textfile_stuck" Gauge Flag U64, "tachograph_textfile_stuck", "1 while reading the text files takes longer than it may.";
        "cpu_usage_us" Counter Microseconds U64, "tachograph_cpu_usage_seconds_total", "CPU time that all CPUs have used, as the root control group counts it.";
        "cpu_user_us" Counter Microseconds U64, "tachograph_cpu_usage_user_seconds_total", "CPU time of all CPUs in user mode, low priority included, as the root control group counts it.";
        "cpu_system_us" Counter Microseconds U64, "tachograph_cpu_usage_system_seconds_total", "CPU time of all CPUs in the kernel, interrupts included, as the root control group counts it.";
        "cpu_nice_us" Counter Microseconds U64, "tachograph_cpu_usage_nice_seconds_total", "CPU time of all CPUs in user mode at low priority; part of user.";
        "cpu_force_idle_us" Counter Microseconds U64, "tachograph_cpu_force_idle_seconds_total", "Time that CPUs were kept idle so as not to share a core with a task that does not trust theirs.";
        "netstat_Tcp_CurrEstab" Gauge Count U64, "node_netstat_Tcp_CurrEstab", "Statistic TcpCurrEstab.";
        "netstat_Ip_Forwarding" Gauge Count U64, "node_netstat_Ip_Forwarding", "Statistic IpForwarding.";
        "netstat_*Octets" Counter Bytes U64, "node_netstat_*Octets", "Statistic *Octets.";
        "netstat_*" Counter Count U64, "node_netstat_*", "Statistic *.";
        "sockstat_sockets_used" Gauge Count U64, "node_sockstat_sockets_used", "Number of IPv4 sockets in use.";
        "sockstat_*_mem_bytes" Gauge Bytes U64, "node_sockstat_*_mem_bytes", "Number of * sockets in state mem_bytes.";
        "sockstat_*_mem" Gauge Pages U64, "node_sockstat_*_mem", "Number of * sockets in state mem.";
        "sockstat_*_memory" Gauge Bytes U64, "node_sockstat_*_memory", "Number of * sockets in state memory.";
        "sockstat_*_inuse" Gauge Count U64, "node_sockstat_*_inuse", "Number of * sockets in state inuse.";
        "sockstat_*_orphan" Gauge Count U64, "node_sockstat_*_orphan", "Number of * sockets in state orphan.";
        "sockstat_*_tw" Gauge Count U64, "node_sockstat_*_tw", "Number of * sockets in state tw.";
        "sockstat_*_alloc" Gauge Count U64, "node_sockstat_*_alloc", "Number of * sockets in state alloc.";
        "sockstat_*" Gauge Count U64, "node_sockstat_*", "Sockets by protocol and state: *.";
    }
    Cpu {
        "user_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "user" }, "Seconds the CPUs spent in each mode.";
        "nice_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "nice" }, "Seconds the CPUs spent in each mode.";
        "system_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "system" }, "Seconds the CPUs spent in each mode.";
        "idle_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "idle" }, "Seconds the CPUs spent in each mode.";
        "iowait_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "iowait" }, "Seconds the CPUs spent in each mode.";
        "irq_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "irq" }, "Seconds the CPUs spent in each mode.";
        "softirq_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "softirq" }, "Seconds the CPUs spent in each mode.";
        "steal_ticks" Counter Ticks U64, "node_cpu_seconds_total" { mode = "steal" }, "Seconds the CPUs spent in each mode.";
        "guest_ticks" Counter Ticks U64, "node_cpu_guest_seconds_total" { mode = "user" }, "Seconds the CPUs spent in guests (VMs) for each mode.";
        "guest_nice_ticks" Counter Ticks U64, "node_cpu_guest_seconds_total" { mode = "nice" }, "Seconds the CPUs spent in guests (VMs) for each mode.";
        "run_ns" Counter Nanoseconds U64, "node_schedstat_running_seconds_total", "Number of seconds CPU spent running a process.";
        "wait_ns" Counter Nanoseconds U64, "node_schedstat_waiting_seconds_total", "Number of seconds spent by processing waiting for this CPU.";
        "timeslices" Counter Count U64, "node_schedstat_timeslices_total", "Number of timeslices executed by CPU.";
        "cpuacct_user_ns" Counter Nanoseconds U64, "tachograph_cpuacct_seconds_total" { mode = "user" }, "Busy time of the CPU by mode, as the root group of cpuacct counts it.";
        "cpuacct_system_ns" Counter Nanoseconds U64, "tachograph_cpuacct_seconds_total" { mode = "system" }, "Busy time of the CPU by mode, as the root group of cpuacct counts it.";
        "softirq_hi" Counter Count U64, "node_softirqs_functions_total" { type = "HI" }, "Softirq counts per CPU.";
        "softirq_timer" Counter Count U64, "node_softirqs_functions_total" { type = "TIMER" }, "Softirq counts per CPU.";
        "softirq_net_tx" Counter Count U64, "node_softirqs_functions_total" { type = "NET_TX" }, "Softirq counts per CPU.";
        "softirq_net_rx" Counter Count U64, "node_softirqs_functions_total" { type = "NET_RX" }, "Softirq counts per CPU.";
        "softirq_block" Counter Count U64, "node_softirqs_functions_total" { type = "BLOCK" }, "Softirq counts per CPU.";
        "softirq_irq_poll" Counter Count U64, "node_softirqs_functions_total" { type = "IRQ_POLL" }, "Softirq counts per CPU.";
        "softirq_tasklet" Counter Count U64, "node_softirqs_functions_total" { type = "TASKLET" }, "Softirq counts per CPU.";
        "softirq_sched" Counter Count U64, "node_softirqs_functions_total" { type = "SCHED" }, "Softirq counts per CPU.";
        "softirq_hrtimer" Counter Count U64, "node_softirqs_functions_total" { type = "HRTIMER" }, "Softirq counts per CPU.";
        "softirq_rcu" Counter Count U64, "node_softirqs_functions_total" { type = "RCU" }, "Softirq counts per CPU.";
        "scaling_freq_khz" Gauge Kilohertz U64, "node_cpu_scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz.";
        "scaling_freq_min_khz" Gauge Kilohertz U64, "node_cpu_scaling_frequency_min_hertz", "Minimum scaled CPU thread frequency in hertz.";
        "scaling_freq_max_khz" Gauge Kilohertz U64, "node_cpu_scaling_frequency_max_hertz", "Maximum scaled CPU thread frequency in hertz.";
        "freq_min_khz" Gauge Kilohertz U64, "node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz.";
        "freq_max_khz" Gauge Kilohertz U64, "node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz.";
    }
    Nic {
        "receive_bytes" Counter Bytes U64, "node_network_receive_bytes_total", "Network device statistic receive_bytes.";
        "receive_packets" Counter Count U64, "node_network_receive_packets_total", "Network device statistic receive_packets.";
        "receive_errs" Counter Count U64, "node_network_receive_errs_total", "Network device statistic receive_errs.";
        "receive_drop" Counter Count U64, "node_network_receive_drop_total", "Network device statistic receive_drop.";
        "receive_fifo" Counter Count U64, "node_network_receive_fifo_total", "Network device statistic receive_fifo.";
        "receive_frame" Counter Count U64, "node_network_receive_frame_total", "Network device statistic receive_frame.";
        "receive_compressed" Counter Count U64, "node_network_receive_compressed_total", "Network device statistic receive_compressed.";
        "receive_multicast" Counter Count U64, "node_network_receive_multicast_total", "Network device statistic receive_multicast.";
        "transmit_bytes" Counter Bytes U64, "node_network_transmit_bytes_total", "Network device statistic transmit_bytes.";
        "transmit_packets" Counter Count U64, "node_network_transmit_packets_total", "Network device statistic transmit_packets.";
        "transmit_errs" Counter Count U64, "node_network_transmit_errs_total", "Network device statistic transmit_errs.";
        "transmit_drop" Counter Count U64, "node_network_transmit_drop_total", "Network device statistic transmit_drop.";
        "transmit_fifo" Counter Count U64, "node_network_transmit_fifo_total", "Network device statistic transmit_fifo.";
        "transmit_colls" Counter Count U64, "node_network_transmit_colls_total", "Network device statistic transmit_colls.";
        "transmit_carrier" Counter Count U64, "node_network_transmit_carrier_total", "Network device statistic transmit_carrier.";
        "transmit_compressed" Counter Count U64, "node_network_transmit_compressed_total", "Network device statistic transmit_compressed.";
        "physical" Gauge Flag U64, "tachograph_nic_physical", "1 when hardware, real or virtual, stands behind the interface.";
    }
    Disk {
        "reads_completed" Counter Count U64, "node_disk_reads_completed_total", "The total number of reads completed successfully.";
        "reads_merged" Counter Count U64, "node_disk_reads_merged_total", "The total number of reads merged.";
        "read_sectors" Counter Sectors U64, "node_disk_read_bytes_total", "The total number of bytes read successfully.";
        "read_ms" Counter Milliseconds U64, "node_disk_read_time_seconds_total", "The total number of seconds spent by all reads.";
        "writes_completed" Counter Count U64, "node_disk_writes_completed_total", "The total number of writes completed successfully.";
        "writes_merged" Counter Count U64, "node_disk_writes_merged_total", "The number of writes merged.";
        "written_sectors" Counter Sectors U64, "node_disk_written_bytes_total", "The total number of bytes written successfully.";
        "write_ms" Counter Milliseconds U64, "node_disk_write_time_seconds_total", "This is the total number of seconds spent by all writes.";
        "io_now" Gauge Count U64, "node_disk_io_now", "The number of I/Os currently in progress.";
        "io_ms" Counter Milliseconds U64, "node_disk_io_time_seconds_total", "Total seconds spent doing I/Os.";
        "io_weighted_ms" Counter Milliseconds U64, "node_disk_io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.";
        "discards_completed" Counter Count U64, "node_disk_discards_completed_total", "The total number of discards completed successfully.";
        "discards_merged" Counter Count U64, "node_disk_discards_merged_total", "The total number of discards merged.";
        "discarded_sectors" Counter Sectors U64, "node_disk_discarded_sectors_total", "The total number of sectors discarded successfully.";
        "discard_ms" Counter Milliseconds U64, "node_disk_discard_time_seconds_total", "This is the total number of seconds spent by all discards.";
        "flushes" Counter Count U64, "node_disk_flush_requests_total", "The total number of flush requests completed successfully";
        "flush_ms" Counter Milliseconds U64, "node_disk_flush_requests_time_seconds_total", "This is the total number of seconds spent by all flush requests.";
        "partition" Gauge Flag U64, "tachograph_disk_partition", "1 when the device is a partition of another one.";
        "size_sectors" Gauge Sectors U64, "tachograph_disk_size_bytes", "Size of the device.";
        "readonly" Gauge Flag U64, "tachograph_disk_readonly", "1 when the device cannot be written to.";
        "removable" Gauge Flag U64, "tachograph_disk_removable", "1 when the medium can be taken out.";
        "rotational" Gauge Flag U64, "tachograph_disk_rotational", "1 when the medium turns.";
        "io_requests" Counter Count U64, "tachograph_disk_io_requests_total", "Commands that the SCSI device was given.";
        "io_done" Counter Count U64, "tachograph_disk_io_done_total", "Commands that the SCSI device has ended, with or without an error.";
        "io_errors" Counter Count U64, "tachograph_disk_io_errors_total", "Commands that the SCSI device ended with an error.";
        "io_timeouts" Counter Count U64, "tachograph_disk_io_timeouts_total", "Commands that the SCSI device did not end in time.";
        "state=*" Gauge Flag U64, "tachograph_disk_state", "What the driver says of the device, such as running, offline, live.";
        "model=*" Gauge Flag U64, "tachograph_disk_model", "The model that the device says it is.";
        "firmware=*" Gauge Flag U64, "tachograph_disk_firmware", "The revision of the device's firmware.";
        "md_state=*" Gauge Flag U64, "tachograph_md_array_state", "State of the array, such as clean, active, inactive.";
        "md_sync_action=*" Gauge Flag U64, "tachograph_md_sync_action", "What the array is doing to itself, such as idle, resync, recover, check.";
        "md_disks" Gauge Count U64, "node_md_disks_required", "Total number of disks of device.";
        "md_degraded" Gauge Count U64, "node_md_degraded", "Number of degraded disks on device.";
        "md_mismatch_sectors" Gauge Sectors U64, "tachograph_md_mismatch_bytes", "How much the last check of the array found to differ between its disks.";
    }
    Filesystem {
        "size_bytes" Gauge Bytes U64, "node_filesystem_size_bytes", "Filesystem size in bytes.";
        "free_bytes" Gauge Bytes U64, "node_filesystem_free_bytes", "Filesystem free space in bytes.";
        "available_bytes" Gauge Bytes U64, "node_filesystem_avail_bytes", "Filesystem space available to non-root users in bytes.";
        "files" Gauge Count U64, "node_filesystem_files", "Filesystem total file nodes.";
        "files_free" Gauge Count U64, "node_filesystem_files_free", "Filesystem total free file nodes.";
        "readonly" Gauge Flag U64, "node_filesystem_readonly", "Filesystem read-only status.";
        "reads_completed" Counter Count U64, "tachograph_filesystem_reads_completed_total", "Reads that the block devices under the file system completed.";
        "read_sectors" Counter Sectors U64, "tachograph_filesystem_read_bytes_total", "Bytes read from the block devices under the file system.";
        "writes_completed" Counter Count U64, "tachograph_filesystem_writes_completed_total", "Writes that the block devices under the file system completed.";
        "written_sectors" Counter Sectors U64, "tachograph_filesystem_written_bytes_total", "Bytes written to the block devices under the file system.";
        "io_ms" Counter Milliseconds U64, "tachograph_filesystem_io_time_seconds_total", "Time in which the block devices under the file system had work, added up.";
        "discards_completed" Counter Count U64, "tachograph_filesystem_discards_completed_total", "Discards that the block devices under the file system completed.";
        "discarded_sectors" Counter Sectors U64, "tachograph_filesystem_discarded_bytes_total", "Bytes that were discarded on the block devices under the file system.";
        "age_ms" Gauge Milliseconds U64, "tachograph_filesystem_age_seconds", "How long ago the file system was asked for its space.";
        "stuck" Gauge Flag U64, "node_filesystem_device_error", "Whether an error occurred while getting statistics for the given device.";
        "fstype=*" Gauge Flag U64, "tachograph_filesystem_fstype_info", "1 while the file system is of this type.";
        "device=*" Gauge Flag U64, "tachograph_filesystem_device_info", "1 while this is what is mounted.";
        "backing=*" Gauge Flag U64, "tachograph_filesystem_backing_info", "1 while the file system lies on this: device, devices, zfs, network, memory, overlay, fuse or none.";
    }
    Datastore {
        "size_bytes" Gauge Bytes U64, "datastore_size_bytes", "Size of the file system that the store lies on.";
        "used_bytes" Gauge Bytes U64, "datastore_used_bytes", "What is taken of it.";
        "available_bytes" Gauge Bytes U64, "datastore_available_bytes", "What is left of it to users other than root.";
        "files" Gauge Count U64, "datastore_files", "Files that the file system has room for.";
        "files_free" Gauge Count U64, "datastore_files_free", "Files that it still has room for.";
        "readonly" Gauge Flag U64, "datastore_readonly", "1 when nothing can be written there.";
        "reads_completed" Counter Count U64, "datastore_reads_completed_total", "Reads that what lies under the store completed.";
        "read_bytes" Counter Bytes U64, "datastore_read_bytes_total", "Bytes read from what lies under the store.";
        "writes_completed" Counter Count U64, "datastore_writes_completed_total", "Writes that what lies under the store completed.";
        "written_bytes" Counter Bytes U64, "datastore_written_bytes_total", "Bytes written to what lies under the store.";
        "io_ms" Counter Milliseconds U64, "datastore_io_time_seconds_total", "Time in which the block devices under the store had work, added up.";
        "discards_completed" Counter Count U64, "datastore_discards_completed_total", "Discards that the block devices under the store completed.";
        "discarded_bytes" Counter Bytes U64, "datastore_discarded_bytes_total", "Bytes that were discarded on the block devices under the store.";
        "age_ms" Gauge Milliseconds U64, "datastore_age_seconds", "How long ago the store was looked at.";
        "stuck" Gauge Flag U64, "datastore_stuck", "1 when the store's file system has not answered for some seconds.";
        "mounted" Gauge Flag U64, "datastore_mounted", "1 when the store is there, on the file system that belongs there.";
        "fstype=*" Gauge Flag U64, "datastore_fstype_info", "1 while the store's file system is of this type.";
        "device=*" Gauge Flag U64, "datastore_device_info", "1 while this is what is mounted.";
        "backing=*" Gauge Flag U64, "datastore_backing_info", "1 while the store lies on this: device, devices, zfs, network, memory, overlay, fuse or none.";
    }
    Pool {
        "read_bytes" Counter Bytes U64, "node_zfs_zpool_nread", "kstat.zfs.misc.io.nread";
        "written_bytes" Counter Bytes U64, "node_zfs_zpool_nwritten", "kstat.zfs.misc.io.nwritten";
        "reads_completed" Counter Count U64, "node_zfs_zpool_reads", "kstat.zfs.misc.io.reads";
        "writes_completed" Counter Count U64, "node_zfs_zpool_writes", "kstat.zfs.misc.io.writes";
        "wait_ns" Counter Nanoseconds U64, "tachograph_pool_wait_seconds_total", "Time in which requests waited for the devices of the pool.";
        "wait_weighted_ns" Counter Nanoseconds U64, "tachograph_pool_wait_weighted_seconds_total", "The same times the number of requests that waited.";
        "run_ns" Counter Nanoseconds U64, "tachograph_pool_run_seconds_total", "Time in which the devices of the pool had work.";
        "run_weighted_ns" Counter Nanoseconds U64, "tachograph_pool_run_weighted_seconds_total", "The same times the number of requests that were being carried out.";
        "waiting" Gauge Count U64, "node_zfs_zpool_wcnt", "kstat.zfs.misc.io.wcnt";
        "running" Gauge Count U64, "node_zfs_zpool_rcnt", "kstat.zfs.misc.io.rcnt";
        "stuck" Gauge Flag U64, "tachograph_pool_stuck", "1 while the files of the pool cannot be read in time.";
        "age_ms" Gauge Milliseconds U64, "tachograph_pool_age_seconds", "How long ago the files of the pool were read.";
        "state=*" Gauge Flag U64, "tachograph_pool_state_info", "1 while the pool is in this state.";
    }
    Numa {
        "meminfo_*_bytes" Gauge Bytes U64, "node_memory_numa_*", "Memory information field *.";
        "meminfo_HugePages_*" Gauge Count U64, "node_memory_numa_HugePages_*", "Memory information field HugePages_*.";
        "numastat_*" Counter Count U64, "node_memory_numa_*_total", "Memory information field *_total.";
    }
    Interrupt {
        "interrupts" Counter Count U64, "tachograph_interrupt_total", "Interrupts of a kind that is not counted by CPU.";
        "cpu*" Counter Count U64, "node_interrupts_total", "Interrupt details.";
        "controller=*" Gauge Flag U64, "tachograph_interrupt_controller_info", "1 for the interrupt controller that it comes through.";
        "devices=*" Gauge Flag U64, "tachograph_interrupt_devices_info", "1 for the devices that have asked for it.";
        "description=*" Gauge Flag U64, "tachograph_interrupt_description_info", "1 for what the kernel says that it is.";
    }
    Cgroup {
        "cpu_usage_us" Counter Microseconds U64, "tachograph_cgroup_cpu_usage_seconds_total", "CPU time that the group has used.";
        "cpu_user_us" Counter Microseconds U64, "tachograph_cgroup_cpu_seconds_total" { mode = "user" }, "CPU time that the group has used, in user mode or in the kernel.";
        "cpu_system_us" Counter Microseconds U64, "tachograph_cgroup_cpu_seconds_total" { mode = "system" }, "CPU time that the group has used, in user mode or in the kernel.";
        "cpu_periods" Counter Count U64, "tachograph_cgroup_cpu_periods_total", "Periods in which the group had a limited share of CPU time and used some.";
        "cpu_throttled_periods" Counter Count U64, "tachograph_cgroup_cpu_throttled_periods_total", "Periods in which the group used up its share of CPU time.";
        "cpu_throttled_us" Counter Microseconds U64, "tachograph_cgroup_cpu_throttled_seconds_total", "Time that the group was kept from running after its share of CPU time was used up.";
        "memory_bytes" Gauge Bytes U64, "tachograph_cgroup_memory_bytes", "Memory that the group uses, caches included.";
        "memory_peak_bytes" Gauge Bytes U64, "tachograph_cgroup_memory_peak_bytes", "Most memory that the group has used.";
        "memory_limit_bytes" Gauge Bytes U64, "tachograph_cgroup_memory_limit_bytes", "Memory that the group may use; absent without a limit of its own.";
        "memory_swap_bytes" Gauge Bytes U64, "tachograph_cgroup_memory_swap_bytes", "Swap space that the group uses.";
        "memory_low_events" Counter Count U64, "tachograph_cgroup_memory_events_total" { event = "low" }, "Times that the group's memory came to one of its bounds.";
        "memory_high_events" Counter Count U64, "tachograph_cgroup_memory_events_total" { event = "high" }, "Times that the group's memory came to one of its bounds.";
        "memory_max_events" Counter Count U64, "tachograph_cgroup_memory_events_total" { event = "max" }, "Times that the group's memory came to one of its bounds.";
        "memory_oom_events" Counter Count U64, "tachograph_cgroup_memory_events_total" { event = "oom" }, "Times that the group's memory came to one of its bounds.";
        "memory_oom_kills" Counter Count U64, "tachograph_cgroup_memory_oom_kills_total", "Tasks of the group that were killed for lack of memory.";
        "io_read_bytes" Counter Bytes U64, "tachograph_cgroup_io_read_bytes_total", "Bytes that the group read from block devices.";
        "io_written_bytes" Counter Bytes U64, "tachograph_cgroup_io_written_bytes_total", "Bytes that the group wrote to block devices.";
        "io_discarded_bytes" Counter Bytes U64, "tachograph_cgroup_io_discarded_bytes_total", "Bytes of block devices that the group discarded.";
        "io_reads_completed" Counter Count U64, "tachograph_cgroup_io_reads_completed_total", "Reads of block devices that the group made.";
        "io_writes_completed" Counter Count U64, "tachograph_cgroup_io_writes_completed_total", "Writes to block devices that the group made.";
        "io_discards_completed" Counter Count U64, "tachograph_cgroup_io_discards_completed_total", "Discards on block devices that the group made.";
        "pressure_cpu_some_us" Counter Microseconds U64, "tachograph_cgroup_pressure_cpu_waiting_seconds_total", "Time that some tasks of the group waited for CPU time.";
        "pressure_cpu_full_us" Counter Microseconds U64, "tachograph_cgroup_pressure_cpu_stalled_seconds_total", "Time that all tasks of the group waited for CPU time.";
        "pressure_memory_some_us" Counter Microseconds U64, "tachograph_cgroup_pressure_memory_waiting_seconds_total", "Time that some tasks of the group waited for memory.";
        "pressure_memory_full_us" Counter Microseconds U64, "tachograph_cgroup_pressure_memory_stalled_seconds_total", "Time that all tasks of the group waited for memory.";
        "pressure_io_some_us" Counter Microseconds U64, "tachograph_cgroup_pressure_io_waiting_seconds_total", "Time that some tasks of the group waited for I/O.";
        "pressure_io_full_us" Counter Microseconds U64, "tachograph_cgroup_pressure_io_stalled_seconds_total", "Time that all tasks of the group waited for I/O.";
        "tasks" Gauge Count U64, "tachograph_cgroup_tasks", "Tasks in the group and in those below it.";
        "tasks_limit" Gauge Count U64, "tachograph_cgroup_tasks_limit", "Tasks that may be in the group; absent without a limit of its own.";
    }
    Tachograph {
        "ticks" Counter Count U64, "tachograph_ticks_total", "Ticks taken since the recorder started.";
        "ticks_missed" Counter Count U64, "tachograph_ticks_missed_total", "Ticks that were due and not taken since the recorder started.";
        "tick_duration_ns" Gauge Nanoseconds U64, "tachograph_tick_duration_seconds", "How long the previous tick took, reading to publishing.";
        "tick_lateness_ns" Gauge Nanoseconds U64, "tachograph_tick_lateness_seconds", "How long after its time this tick began.";
        "cpu_ns" Counter Nanoseconds U64, "tachograph_sampler_cpu_seconds_total", "CPU time that the sampling thread has used.";
        "source_errors" Counter Count U64, "tachograph_source_errors_total", "Times that a source could not be read or understood.";
        "sources_failing" Gauge Count U64, "tachograph_sources_failing", "Sources that could not be read or understood at their last turn.";
        "columns_used" Gauge Count U64, "tachograph_columns_used", "Columns that hold a series.";
        "clock_steps" Counter Count U64, "tachograph_clock_steps_total", "Times that the wall clock was seen to be set since the recorder started.";
        "rollovers" Counter Count U64, "tachograph_rollovers_total", "Times that the ring was replaced by a larger one since the recorder started.";
        "sync_failures" Counter Count U64, "tachograph_sync_failures_total", "Times that a larger ring was needed for new series and could not be had.";
    }
    Sensor {
        "temp_millicelsius" Gauge Millicelsius F64, "node_hwmon_temp_celsius", "Hardware monitor for temperature (input)";
        "temp_min_millicelsius" Gauge Millicelsius F64, "node_hwmon_temp_min_celsius", "Hardware monitor for temperature (min)";
        "temp_max_millicelsius" Gauge Millicelsius F64, "node_hwmon_temp_max_celsius", "Hardware monitor for temperature (max)";
        "temp_crit_millicelsius" Gauge Millicelsius F64, "node_hwmon_temp_crit_celsius", "Hardware monitor for temperature (crit)";
        "temp_crit_alarm" Gauge Flag U64, "tachograph_hwmon_temp_crit_alarm", "1 when the temperature is, or has been, critical.";
        "temp_alarm" Gauge Flag U64, "node_hwmon_temp_alarm", "Hardware sensor alarm status (temp)";
        "temp_fault" Gauge Flag U64, "node_hwmon_temp_fault", "Hardware sensor fault status (temp)";
        "fan_rpm" Gauge Count F64, "node_hwmon_fan_rpm", "Hardware monitor for fan revolutions per minute (input)";
        "fan_min_rpm" Gauge Count F64, "node_hwmon_fan_min_rpm", "Hardware monitor for fan revolutions per minute (min)";
        "fan_alarm" Gauge Flag U64, "node_hwmon_fan_alarm", "Hardware sensor alarm status (fan)";
        "fan_fault" Gauge Flag U64, "node_hwmon_fan_fault", "Hardware sensor fault status (fan)";
        "in_millivolts" Gauge Thousandths F64, "node_hwmon_in_volts", "Hardware monitor for voltage (input)";
        "in_alarm" Gauge Flag U64, "node_hwmon_in_alarm", "Hardware sensor alarm status (in)";
        "curr_milliamperes" Gauge Thousandths F64, "node_hwmon_curr_amps", "Hardware monitor for current (input)";
        "curr_alarm" Gauge Flag U64, "node_hwmon_curr_alarm", "Hardware sensor alarm status (curr)";
        "power_microwatts" Gauge Millionths F64, "node_hwmon_power_watt", "Hardware monitor for power usage in watts (input)";
        "power_average_microwatts" Gauge Millionths F64, "node_hwmon_power_average_watt", "Hardware monitor for power usage in watts (average)";
        "energy_microjoules" Counter Millionths U64, "node_hwmon_energy_joule_total", "Hardware monitor for joules used so far (input)";
        "humidity_millipercent" Gauge Thousandths F64, "tachograph_hwmon_humidity_percent", "Relative humidity.";
        "label=*" Gauge Flag U64, "node_hwmon_sensor_label", "Label for given chip and sensor";
        "chip=*" Gauge Flag U64, "node_hwmon_chip_names", "Annotation metric for human-readable chip names";
        "age_ms" Gauge Milliseconds U64, "tachograph_hwmon_age_seconds", "Time since the chip was last read.";
        "stuck" Gauge Flag U64, "tachograph_hwmon_stuck", "1 while reading the chip takes longer than it may.";
    }
    Textfile {
        "mtime_seconds" Gauge Seconds F64, "node_textfile_mtime_seconds", "Unixtime mtime of textfiles successfully read.";
        "scrape_error" Gauge Flag U64, "node_textfile_scrape_error", "1 if there was an error opening or reading a file, 0 otherwise";
        "samples_left_out" Gauge Count U64, "tachograph_textfile_samples_left_out", "Samples of the file that are not recorded: not finite, too long a name, or too many.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_line_is_declared_once_and_is_sound() {
        let mut names = HashSet::new();
        let mut samples = HashSet::new();
        for line in CATALOG {
            assert!(names.insert((line.class, line.name)), "{} twice", line.name);
            assert!(samples.insert((line.family, line.label)), "{} has two lines", line.family);
            // The string of `key=*` and the CPU of an interrupt become labels.
            let is_label = line.name.ends_with("=*") || line.name == "cpu*";
            let stars = line.name.matches('*').count() - usize::from(is_label);
            assert_eq!(stars, line.family.matches('*').count(), "{}", line.name);
            assert!(line.name.matches('*').count() <= 1, "{}", line.name);
            assert!(!line.help.is_empty());
            let total = line.family.ends_with("_total");
            let kernel_named = line.name.contains('*') || line.family.starts_with("node_zfs_");
            assert!(total == (line.kind == Kind::Counter) || kernel_named, "{}", line.family);
        }
    }

    #[test]
    fn names_of_the_kernel_match_their_pattern() {
        let line = metric(Class::Host, "meminfo_MemTotal_bytes").expect("a line");
        assert_eq!(
            (line.unit, line.matches("meminfo_MemTotal_bytes")),
            (Unit::Bytes, Some("MemTotal"))
        );
        let line = metric(Class::Host, "meminfo_HugePages_Total").expect("a line");
        assert_eq!(line.unit, Unit::Count);
        assert_eq!(metric(Class::Host, "meminfo_"), None);
        assert_eq!(metric(Class::Nic, "load1"), None);
        assert_eq!(metric(Class::Host, "load1").map(|line| line.repr), Some(Repr::F64));
    }
}
