//! The sampler says what the kernel's text says, or nothing.
//!
//! Each tree in `fixtures/hosts` is the `/proc` and `/sys` of one kind of host: one captured, the
//! others made up in the manner of older, larger and poorer ones. The values read from them equal
//! those of the `procfs` crate. Then the texts are cut, flipped, reordered and taken away: a value
//! is then either what the whole text gives or absent, nothing panics, and once the text is whole
//! again so are the values.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use procfs::{FromBufRead, FromBufReadSI, FromRead};
use proptest::prelude::*;
use tachograph::record::{Change, Record, Repr, Schema};
use tachograph::sample::{Roots, SOURCES, SampleError, Sampler, Sampling, Selection, parse};

const HOSTS: [&str; 4] = ["vm-2cpu-6.18", "arm-64cpu-6.6", "old-2cpu-2.6.32", "container-overlay"];

/// The files that a host may have, and the source that reads each.
const FILES: [(&str, &str); 23] = [
    ("stat", "stat"),
    ("meminfo", "meminfo"),
    ("loadavg", "loadavg"),
    ("uptime", "uptime"),
    ("net_dev", "net/dev"),
    ("diskstats", "diskstats"),
    ("vmstat", "vmstat"),
    ("pressure", "pressure/cpu"),
    ("pressure", "pressure/memory"),
    ("pressure", "pressure/io"),
    ("cputime", "schedstat"),
    ("cputime", "../sys/fs/cgroup/cpu.stat"),
    ("cputime", "../sys/fs/cgroup/unified/cpu.stat"),
    ("cputime", "../sys/fs/cgroup/cpuacct/cpuacct.usage_all"),
    ("sockstat", "net/sockstat"),
    ("sockstat", "net/sockstat6"),
    ("snmp", "net/snmp"),
    ("snmp", "net/snmp6"),
    ("netstat", "net/netstat"),
    ("softirqs", "softirqs"),
    ("interrupts", "interrupts"),
    ("numa", "../sys/devices/system/node/node0/meminfo"),
    ("numa", "../sys/devices/system/node/node0/numastat"),
];

/// The parser of a source's file, where it has several forms.
fn parser(source: &'static str, file: &'static str) -> &'static str {
    match file.rsplit('/').next() {
        Some("cpu.stat" | "cpuacct.usage_all" | "schedstat" | "snmp6" | "numastat") => file,
        Some("meminfo") if source == "numa" => file,
        _ => source,
    }
}

/// Values by object and metric; doubles by their bits.
type Values = BTreeMap<(String, String), u64>;

fn host(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts").join(name)
}

/// The text of a host's file, if it has one.
fn text(name: &str, file: &str) -> Option<Vec<u8>> {
    fs::read(host(name).join("proc").join(file)).ok()
}

/// Every file that every host has: host, source, path and text.
fn texts() -> impl Iterator<Item = (&'static str, &'static str, &'static str, Vec<u8>)> {
    HOSTS.into_iter().flat_map(|name| {
        let files = FILES.into_iter();
        files.filter_map(move |(source, file)| Some((name, source, file, text(name, file)?)))
    })
}

/// A copy of a host's tree that may be changed, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = format!("tachograph-proc-parsers-{}-{number}", std::process::id());
        let tree = Self(std::env::temp_dir().join(root));
        copy(&host(name), &tree.0);
        fs::create_dir_all(tree.0.join("proc/net")).expect("a temporary directory");
        fs::create_dir_all(tree.0.join("proc/pressure")).expect("a temporary directory");
        tree
    }

    fn roots(&self) -> Roots {
        Roots { procfs: self.0.join("proc"), sysfs: self.0.join("sys"), rootfs: self.0.clone() }
    }

    /// The lines of a text, each with its newline.
    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("proc").join(file)).expect("a fixture");
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    /// Replaces a text in place, since the sampler keeps the file open.
    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join("proc").join(file), text).expect("a temporary file");
    }

    fn mark(&self, marker: &str) {
        let path = self.0.join("sys").join(marker);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a temporary directory");
        fs::write(path, "").expect("a temporary file");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary directory");
    for entry in fs::read_dir(from).expect("a fixture") {
        let entry = entry.expect("a fixture");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a temporary file");
        }
    }
}

/// A sampler with its schema and record.
struct Bench {
    sampler: Sampler,
    schema: Schema,
    record: Record,
    ticks: u64,
}

/// These sources of this tree.
fn sampling(roots: &Roots, sources: Selection) -> Sampling {
    Sampling { roots: roots.clone(), sources, ..Sampling::default() }
}

impl Bench {
    /// Opens one source, or all that are on by default.
    fn open(roots: &Roots, source: Option<&str>) -> Self {
        let mut selection = Selection::none();
        for info in SOURCES {
            let wanted = source.map_or(info.divisor > 0, |source| source == info.name);
            selection.set(info.name, u32::from(wanted)).expect("a source");
        }
        let mut schema = Schema::new();
        let sampler = Sampler::open(&sampling(roots, selection), &mut schema);
        Self { sampler, schema, record: Record::default(), ticks: 0 }
    }

    /// What one more tick yields. A word without a series would be nobody's value.
    fn tick(&mut self) -> Values {
        self.schema.clear_changes();
        self.ticks += 1;
        self.sampler.tick(self.ticks, false, &mut self.schema, &mut self.record);
        assert!(self.record.words().len() >= self.schema.width());
        let columns = 0..self.record.words().len();
        let columns = columns.filter(|&column| self.record.u64(column).is_some());
        let value = |column| {
            let series = self.schema.series(column).expect("a value has a series");
            if series.repr == Repr::F64 {
                assert!(self.record.f64(column).is_some_and(|value| value >= 0.0));
            }
            let word = self.record.words()[column];
            ((series.object.to_string(), series.metric.to_string()), word)
        };
        columns.map(value).collect()
    }

    /// Whether the tick before ended a series.
    fn has_ended(&self) -> bool {
        self.schema.changes().iter().any(|change| matches!(change, Change::Ended(_)))
    }

    fn objects(&self) -> BTreeSet<String> {
        self.schema.iter().map(|(_, series)| series.object.to_string()).collect()
    }
}

/// The values of one source of a host, read once.
fn values(roots: &Roots, source: &str) -> Values {
    let mut bench = Bench::open(roots, Some(source));
    let values = bench.tick();
    assert_eq!(values.len(), bench.schema.len(), "a whole text gives every series a value");
    assert_eq!((bench.sampler.errors(), bench.sampler.failing()), (0, 0));
    values
}

/// Values of one object from pairs of metric and value.
fn of<'a>(object: &str, pairs: impl IntoIterator<Item = (&'a str, u64)>) -> Values {
    let pairs = pairs.into_iter();
    pairs.map(|(metric, value)| ((object.into(), metric.into()), value)).collect()
}

#[test]
fn stat_says_what_the_oracle_says() {
    for name in HOSTS {
        let text = text(name, "stat").expect("every host has it");
        let info = procfs::current_system_info();
        let oracle = procfs::KernelStats::from_buf_read(&*text, info).expect("a whole text");
        let cpu = |object: &str, prefix: &str, time: &procfs::CpuTime| {
            let modes = [
                ("user", Some(time.user)),
                ("nice", Some(time.nice)),
                ("system", Some(time.system)),
                ("idle", Some(time.idle)),
                ("iowait", time.iowait),
                ("irq", time.irq),
                ("softirq", time.softirq),
                ("steal", time.steal),
                ("guest", time.guest),
                ("guest_nice", time.guest_nice),
            ];
            let modes = modes.into_iter().filter_map(|(mode, ticks)| {
                Some(((object.into(), format!("{prefix}{mode}_ticks")), ticks?))
            });
            modes.collect::<Values>()
        };
        let mut expected = cpu("host", "cpu_", &oracle.total);
        // The oracle numbers CPUs by line, which is wrong where one is off-line.
        let text = String::from_utf8(text).expect("a text");
        let numbers = text.lines().filter_map(|line| {
            line.strip_prefix("cpu")?.split(' ').next().filter(|number| !number.is_empty())
        });
        for (number, time) in numbers.zip(&oracle.cpu_time) {
            expected.extend(cpu(&format!("cpu/{number}"), "", time));
        }
        let interrupts = text.lines().find_map(|line| line.strip_prefix("intr "));
        let interrupts = interrupts.and_then(|line| line.split(' ').next());
        expected.extend(of(
            "host",
            [
                ("context_switches", oracle.ctxt),
                ("boot_time_seconds", oracle.btime),
                ("forks", oracle.processes),
                ("procs_running", oracle.procs_running.expect("given").into()),
                ("procs_blocked", oracle.procs_blocked.expect("given").into()),
                ("interrupts", interrupts.expect("given").parse().expect("a number")),
            ],
        ));
        assert_eq!(values(&Tree::new(name).roots(), "stat"), expected, "{name}");
    }
}

#[test]
fn meminfo_says_what_the_oracle_says() {
    for name in HOSTS {
        let text = text(name, "meminfo").expect("every host has it");
        let oracle = procfs::Meminfo::from_buf_read(&*text).expect("a whole text");
        let expected = [
            ("MemTotal_bytes", Some(oracle.mem_total)),
            ("MemFree_bytes", Some(oracle.mem_free)),
            ("MemAvailable_bytes", oracle.mem_available),
            ("Buffers_bytes", Some(oracle.buffers)),
            ("Cached_bytes", Some(oracle.cached)),
            ("SwapCached_bytes", Some(oracle.swap_cached)),
            ("Active_bytes", Some(oracle.active)),
            ("Inactive_bytes", Some(oracle.inactive)),
            ("Active_anon_bytes", oracle.active_anon),
            ("Inactive_anon_bytes", oracle.inactive_anon),
            ("Active_file_bytes", oracle.active_file),
            ("Inactive_file_bytes", oracle.inactive_file),
            ("Unevictable_bytes", oracle.unevictable),
            ("Mlocked_bytes", oracle.mlocked),
            ("SwapTotal_bytes", Some(oracle.swap_total)),
            ("SwapFree_bytes", Some(oracle.swap_free)),
            ("Dirty_bytes", Some(oracle.dirty)),
            ("AnonPages_bytes", oracle.anon_pages),
            ("Shmem_bytes", oracle.shmem),
            ("SReclaimable_bytes", oracle.s_reclaimable),
            ("KReclaimable_bytes", oracle.k_reclaimable),
            ("NFS_Unstable_bytes", oracle.nfs_unstable),
            ("Committed_AS_bytes", Some(oracle.committed_as)),
            ("VmallocTotal_bytes", Some(oracle.vmalloc_total)),
            ("CmaTotal_bytes", oracle.cma_total),
            ("HugePages_Total", oracle.hugepages_total),
            ("HugePages_Free", oracle.hugepages_free),
            ("Hugepagesize_bytes", oracle.hugepagesize),
            ("DirectMap2M_bytes", oracle.direct_map_2M),
            ("Zswapped_bytes", oracle.z_swapped),
        ];
        let values = values(&Tree::new(name).roots(), "meminfo");
        for (metric, expected) in expected {
            let value = values.get(&("host".into(), format!("meminfo_{metric}")));
            assert_eq!(value.copied(), expected, "{name} {metric}");
        }
        assert_eq!(values.len(), text.split(|&byte| byte == b'\n').count() - 1);
    }
}

#[test]
fn loadavg_and_uptime_say_what_the_oracle_says() {
    for name in HOSTS {
        let roots = Tree::new(name);
        let load = text(name, "loadavg").expect("every host has it");
        let oracle = procfs::LoadAverage::from_read(&*load).expect("a whole text");
        let values_of_load = values(&roots.roots(), "loadavg");
        let load =
            |metric: &str| f64::from_bits(values_of_load[&("host".into(), metric.into())]) as f32;
        assert_eq!(
            [load("load1"), load("load5"), load("load15")],
            [oracle.one, oracle.five, oracle.fifteen]
        );
        let tasks = [("tasks_runnable", oracle.cur.into()), ("tasks", oracle.max.into())];
        assert!(of("host", tasks).iter().all(|(key, value)| values_of_load[key] == *value));

        let uptime = text(name, "uptime").expect("every host has it");
        let oracle = procfs::Uptime::from_read(&*uptime).expect("a whole text");
        let expected = [("uptime_seconds", oracle.uptime), ("idle_seconds", oracle.idle)];
        let expected = of("host", expected.map(|(metric, value)| (metric, value.to_bits())));
        assert_eq!(values(&roots.roots(), "uptime"), expected);
    }
}

#[test]
fn net_dev_says_what_the_oracle_says() {
    for name in HOSTS {
        let text = text(name, "net/dev").expect("every host has it");
        // The oracle wants a blank after the colon, which old kernels do not always leave.
        let text = String::from_utf8(text).expect("a text");
        let lines = text.lines().map(|line| match line.rsplit_once(':') {
            Some((device, numbers)) => format!("{device}: {numbers}\n"),
            None => format!("{line}\n"),
        });
        let text: String = lines.collect();
        let oracle = procfs::net::InterfaceDeviceStatus::from_buf_read(text.as_bytes());
        let mut expected = Values::new();
        for device in oracle.expect("a whole text").0.values() {
            let physical = host(name).join("sys/class/net").join(&device.name).join("device");
            let pairs = [
                ("receive_bytes", device.recv_bytes),
                ("receive_packets", device.recv_packets),
                ("receive_errs", device.recv_errs),
                ("receive_drop", device.recv_drop),
                ("receive_fifo", device.recv_fifo),
                ("receive_frame", device.recv_frame),
                ("receive_compressed", device.recv_compressed),
                ("receive_multicast", device.recv_multicast),
                ("transmit_bytes", device.sent_bytes),
                ("transmit_packets", device.sent_packets),
                ("transmit_errs", device.sent_errs),
                ("transmit_drop", device.sent_drop),
                ("transmit_fifo", device.sent_fifo),
                ("transmit_colls", device.sent_colls),
                ("transmit_carrier", device.sent_carrier),
                ("transmit_compressed", device.sent_compressed),
                ("physical", physical.exists().into()),
            ];
            expected.extend(of(&format!("nic/{}", device.name), pairs));
        }
        assert_eq!(values(&Tree::new(name).roots(), "net_dev"), expected, "{name}");
    }
}

#[test]
fn diskstats_says_what_the_oracle_says() {
    for name in HOSTS {
        let Some(text) = text(name, "diskstats") else { continue };
        let oracle = procfs::DiskStats::from_buf_read(&*text).expect("a whole text");
        let mut expected = Values::new();
        for disk in oracle.0 {
            let marker = format!("sys/class/block/{}/partition", disk.name.replace('/', "!"));
            let pairs = [
                ("reads_completed", Some(disk.reads)),
                ("reads_merged", Some(disk.merged)),
                ("read_sectors", Some(disk.sectors_read)),
                ("read_ms", Some(disk.time_reading)),
                ("writes_completed", Some(disk.writes)),
                ("writes_merged", Some(disk.writes_merged)),
                ("written_sectors", Some(disk.sectors_written)),
                ("write_ms", Some(disk.time_writing)),
                ("io_now", Some(disk.in_progress)),
                ("io_ms", Some(disk.time_in_progress)),
                ("io_weighted_ms", Some(disk.weighted_time_in_progress)),
                ("discards_completed", disk.discards),
                ("discards_merged", disk.discards_merged),
                ("discarded_sectors", disk.sectors_discarded),
                ("discard_ms", disk.time_discarding),
                ("flushes", disk.flushes),
                ("flush_ms", disk.time_flushing),
                ("partition", Some(host(name).join(marker).exists().into())),
            ];
            let spare = ["loop", "ram"].iter().any(|kind| {
                disk.name.strip_prefix(kind).is_some_and(|number| number.parse::<u32>().is_ok())
            });
            if spare && pairs[..17].iter().all(|(_, value)| value.unwrap_or(0) == 0) {
                continue;
            }
            let pairs = pairs.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
            expected.extend(of(&format!("disk/{}", disk.name), pairs));
        }
        assert_eq!(values(&Tree::new(name).roots(), "diskstats"), expected, "{name}");
    }
}

#[test]
fn vmstat_says_what_the_oracle_says() {
    for name in HOSTS {
        let Some(text) = text(name, "vmstat") else { continue };
        let oracle = procfs::VmStat::from_buf_read(&*text).expect("a whole text");
        let kept = |name: &str| {
            let fault = name.strip_prefix("pg").is_some_and(|rest| rest.contains("fault"));
            fault || ["oom_kill", "pgpg", "pswp"].iter().any(|prefix| name.starts_with(prefix))
        };
        let kept = oracle.0.iter().filter(|(name, _)| kept(name));
        let expected: Values = kept
            .map(|(name, &count)| {
                (("host".into(), format!("vmstat_{name}")), count.try_into().expect("a count"))
            })
            .collect();
        assert!(expected.len() >= 6);
        assert_eq!(values(&Tree::new(name).roots(), "vmstat"), expected, "{name}");
    }
}

#[test]
fn pressure_says_what_the_oracle_says() {
    for name in HOSTS {
        let mut expected = BTreeMap::new();
        for resource in ["cpu", "memory", "io"] {
            let Some(text) = text(name, &format!("pressure/{resource}")) else { continue };
            // The three files have one form.
            let oracle = procfs::CpuPressure::from_buf_read(&*text).expect("a whole text");
            for (who, record) in [("some", oracle.some), ("full", oracle.full)] {
                let averages =
                    [("avg10", record.avg10), ("avg60", record.avg60), ("avg300", record.avg300)];
                for (window, average) in averages {
                    let metric = format!("pressure_{resource}_{who}_{window}_percent");
                    expected.insert(metric, f64::from(average));
                }
                expected.insert(format!("pressure_{resource}_{who}_us"), record.total as f64);
            }
        }
        if expected.is_empty() {
            continue;
        }
        let values = values(&Tree::new(name).roots(), "pressure");
        let values = values.into_iter().map(|((_, metric), word)| {
            let average = || f64::from(f64::from_bits(word) as f32);
            let value = if metric.ends_with("_us") { word as f64 } else { average() };
            (metric, value)
        });
        assert_eq!(values.collect::<BTreeMap<_, _>>(), expected, "{name}");
    }
}

/// Ticks until the file systems have answered, and says what the last tick yielded.
fn settled(bench: &mut Bench) -> Values {
    loop {
        let values = bench.tick();
        if values.contains_key(&("filesystem/".into(), "size_bytes".into())) {
            return values;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Lines of a text in words.
fn words(text: &[u8]) -> Vec<Vec<&str>> {
    let text = str::from_utf8(text).expect("a text");
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

#[test]
fn cputime_says_what_the_words_of_its_files_say() {
    for name in ["vm-2cpu-6.18", "arm-64cpu-6.6"] {
        let mut expected = Values::new();
        for file in ["../sys/fs/cgroup/cpu.stat", "../sys/fs/cgroup/unified/cpu.stat"] {
            for line in text(name, file).iter().flat_map(|text| words(text)) {
                let metric = match line[0] {
                    "core_sched.force_idle_usec" => "cpu_force_idle_us".to_owned(),
                    other => format!("cpu_{}_us", other.trim_end_matches("_usec")),
                };
                if !line[0].contains("throttled")
                    && line[0].ends_with("usec")
                    && line[0] != "burst_usec"
                {
                    expected.insert(("host".into(), metric), number(line[1]));
                }
            }
        }
        for line in text(name, "schedstat").iter().flat_map(|text| words(text)) {
            if let Some(cpu) = line[0].strip_prefix("cpu") {
                let pairs = ["run_ns", "wait_ns", "timeslices"].into_iter().zip(&line[7..]);
                let pairs = pairs.map(|(metric, word)| (metric, number(word)));
                expected.extend(of(&format!("cpu/{cpu}"), pairs));
            }
        }
        let busy = text(name, "../sys/fs/cgroup/cpuacct/cpuacct.usage_all");
        for line in busy.iter().flat_map(|text| words(text)).filter(|line| line[0] != "cpu") {
            let pairs =
                [("cpuacct_user_ns", number(line[1])), ("cpuacct_system_ns", number(line[2]))];
            expected.extend(of(&format!("cpu/{}", line[0]), pairs));
        }
        assert!(expected.len() >= 8);
        assert_eq!(values(&Tree::new(name).roots(), "cputime"), expected, "{name}");
    }
}

#[test]
fn softirqs_and_interrupts_say_what_the_words_of_their_files_say() {
    for name in ["vm-2cpu-6.18", "arm-64cpu-6.6"] {
        let text_of = |file| text(name, file).expect("it has the file");
        let text = text_of("softirqs");
        let lines = words(&text);
        let mut expected = Values::new();
        for line in &lines[1..] {
            let metric = format!("softirq_{}", line[0].trim_end_matches(':').to_lowercase());
            for (column, cpu) in lines[0].iter().enumerate() {
                let came_on_line = lines[1..].iter().any(|line| line[column + 1] != "0");
                if came_on_line {
                    let object = format!("cpu/{}", cpu.trim_start_matches("CPU"));
                    expected.insert((object, metric.clone()), number(line[column + 1]));
                }
            }
        }
        assert_eq!(values(&Tree::new(name).roots(), "softirqs"), expected, "{name}");

        let text = text_of("interrupts");
        let lines = words(&text);
        let cpus = &lines[0];
        let mut expected = Values::new();
        for line in &lines[1..] {
            let name = line[0].trim_end_matches(':');
            let object = format!("interrupt/{name}");
            let mut put = |metric: String, value| expected.insert((object.clone(), metric), value);
            if line.len() == 2 {
                put("interrupts".into(), number(line[1]));
                continue;
            }
            for (cpu, count) in cpus.iter().zip(&line[1..]).filter(|(_, count)| **count != "0") {
                put(cpu.to_lowercase(), number(count));
            }
            let rest = &line[cpus.len() + 1..];
            if name.parse::<u32>().is_err() {
                put(format!("description={}", rest.join("%20")), 1);
                continue;
            }
            put(format!("controller={}", rest[0]), 1);
            let trigger = if ["Level", "Edge"].contains(&rest[2]) { 2 } else { 1 };
            put(format!("devices={}", rest[1 + trigger..].join("%20")), 1);
        }
        assert!(expected.len() > 60);
        assert_eq!(values(&Tree::new(name).roots(), "interrupts"), expected, "{name}");
    }
}

/// The statistics that `node_exporter` keeps, in the order of its pattern.
fn is_kept(name: &str) -> bool {
    let (protocol, field) = name.split_once('_').expect("a protocol");
    let one_of = |words: &str| words.split('|').any(|word| word == field);
    one_of("InErrors|InErrs")
        || name == "Ip_Forwarding"
        || (["Ip6", "IpExt"].contains(&protocol) && one_of("InOctets|OutOctets"))
        || (["Icmp", "Icmp6"].contains(&protocol) && one_of("InMsgs|OutMsgs"))
        || (protocol == "TcpExt"
            && (field.starts_with("Listen")
                || field.starts_with("Syncookies")
                || one_of("TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop")))
        || (protocol == "Tcp"
            && one_of("ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab"))
        || (["Udp", "Udp6"].contains(&protocol)
            && one_of("InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors"))
}

#[test]
fn snmp_and_netstat_say_what_the_words_of_their_files_say() {
    for name in ["vm-2cpu-6.18", "old-2cpu-2.6.32"] {
        for (source, files) in
            [("snmp", &["net/snmp", "net/snmp6"][..]), ("netstat", &["net/netstat"])]
        {
            let mut all = Vec::new();
            for text in files.iter().filter_map(|file| text(name, file)) {
                let lines = words(&text);
                if lines[0][0].ends_with(':') {
                    for pair in lines.chunks(2) {
                        let protocol = pair[0][0].trim_end_matches(':');
                        let pairs = pair[0].iter().zip(&pair[1]).skip(1);
                        all.extend(pairs.map(|(field, word)| {
                            (format!("{protocol}_{field}"), (*word).to_owned())
                        }));
                    }
                } else {
                    all.extend(
                        lines
                            .iter()
                            .map(|line| (line[0].replacen('6', "6_", 1), line[1].to_owned())),
                    );
                }
            }
            let kept = all.iter().filter(|(name, _)| is_kept(name));
            let expected: Values = kept
                .map(|(name, word)| (("host".into(), format!("netstat_{name}")), number(word)))
                .collect();
            assert!(expected.len() >= 8);
            assert_eq!(values(&Tree::new(name).roots(), source), expected, "{name}");
        }
    }
}

#[test]
fn sockstat_says_what_the_words_of_its_files_say() {
    for name in ["vm-2cpu-6.18", "old-2cpu-2.6.32", "container-overlay"] {
        let mut expected = Values::new();
        for text in ["net/sockstat", "net/sockstat6"].iter().filter_map(|file| text(name, file)) {
            for line in words(&text) {
                let protocol = line[0].trim_end_matches(':');
                for pair in line[1..].chunks(2) {
                    let metric = format!("sockstat_{protocol}_{}", pair[0]);
                    if pair[0] == "mem" {
                        let bytes = number(pair[1]) * rustix::param::page_size() as u64;
                        expected.insert(("host".into(), format!("{metric}_bytes")), bytes);
                    }
                    expected.insert(("host".into(), metric), number(pair[1]));
                }
            }
        }
        assert!(expected.len() >= 10);
        assert_eq!(values(&Tree::new(name).roots(), "sockstat"), expected, "{name}");
    }
}

#[test]
fn negative_number_is_no_value_and_no_error() {
    let tree = Tree::new("vm-2cpu-6.18");
    let key = |metric: &str| ("host".to_owned(), metric.to_owned());
    for (source, file, from, to, metrics) in [
        (
            "sockstat",
            "net/sockstat",
            "mem 228",
            "mem -2",
            &["sockstat_TCP_mem", "sockstat_TCP_mem_bytes"][..],
        ),
        (
            "snmp",
            "net/snmp6",
            "Udp6NoPorts                     \t0",
            "Udp6NoPorts \t-1",
            &["netstat_Udp6_NoPorts"],
        ),
    ] {
        let mut bench = Bench::open(&tree.roots(), Some(source));
        let before = bench.tick();
        let text = tree.lines(file).concat();
        assert!(text.contains(from));
        tree.write(file, text.replace(from, to));
        let mut expected = before.clone();
        for metric in metrics {
            assert!(expected.remove(&key(metric)).is_some());
        }
        assert_eq!(bench.tick(), expected);
        assert_eq!((bench.sampler.errors(), bench.schema.changes().len()), (0, 0));
        tree.write(file, text);
        assert_eq!(bench.tick(), before);
    }
}

#[test]
fn numa_says_what_the_words_of_its_files_say() {
    let name = "vm-2cpu-6.18";
    let dir = "../sys/devices/system/node/node0";
    let mut expected = Values::new();
    let mut put = |metric: String, value| expected.insert(("numa/0".into(), metric), value);
    for line in words(&text(name, &format!("{dir}/meminfo")).expect("a fixture")) {
        let field = line[2].trim_end_matches(':').replace('(', "_").replace(')', "");
        match line.get(4) {
            Some(_) => put(format!("meminfo_{field}_bytes"), number(line[3]) * 1024),
            None => put(format!("meminfo_{field}"), number(line[3])),
        };
    }
    for line in words(&text(name, &format!("{dir}/numastat")).expect("a fixture")) {
        put(format!("numastat_{}", line[0]), number(line[1]));
    }
    assert_eq!(values(&Tree::new(name).roots(), "numa"), expected);
}

#[test]
fn root_says_what_statvfs_and_sysfs_say() {
    for (name, infos, has_discards) in [
        ("vm-2cpu-6.18", ["fstype=ext4", "device=/dev/vda", "backing=device"], true),
        ("arm-64cpu-6.6", ["fstype=xfs", "device=/dev/nvme0n1p2", "backing=device"], true),
        ("old-2cpu-2.6.32", ["fstype=ext3", "device=/dev/root", "backing=device"], false),
        ("container-overlay", ["fstype=overlay", "device=overlay", "backing=overlay"], false),
    ] {
        let tree = Tree::new(name);
        let mut bench = Bench::open(&tree.roots(), Some("filesystem"));
        let mut values = settled(&mut bench);
        assert_eq!(bench.sampler.errors(), 0, "{name}");
        assert_eq!(bench.objects(), ["filesystem/".to_owned()].into(), "{name}");
        // What changes while it is looked at.
        for metric in ["free_bytes", "available_bytes", "files_free", "age_ms"] {
            values.remove(&("filesystem/".into(), metric.into())).expect("given");
        }
        let space = rustix::fs::statvfs(&tree.0).expect("a directory");
        let size = ("size_bytes", space.f_blocks * space.f_frsize);
        let mut expected =
            of("filesystem/", [size, ("files", space.f_files), ("readonly", 0), ("stuck", 0)]);
        expected.extend(of("filesystem/", infos.map(|info| (info, 1))));
        let table = fs::read_to_string(tree.0.join("proc/self/mountinfo")).expect("a fixture");
        let root = table.lines().rfind(|line| line.contains(" / / rw,"));
        let number = root.and_then(|line| line.split(' ').nth(2)).expect("a root");
        if let Ok(stat) = fs::read_to_string(tree.0.join(format!("sys/dev/block/{number}/stat"))) {
            let numbers: Vec<u64> =
                stat.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            let kept = [
                ("reads_completed", 0),
                ("read_sectors", 2),
                ("writes_completed", 4),
                ("written_sectors", 6),
                ("io_ms", 9),
                ("discards_completed", 11),
                ("discarded_sectors", 13),
            ];
            let kept = kept.map(|(metric, place)| Some((metric, *numbers.get(place)?)));
            assert_eq!(kept[6].is_some(), has_discards);
            expected.extend(of("filesystem/", kept.into_iter().flatten()));
        } else {
            assert_eq!(name, "container-overlay");
        }
        assert_eq!(values, expected, "{name}");
    }
}

#[test]
fn absent_files_cost_only_their_own_series() {
    let tree = Tree::new("container-overlay");
    let mut bench = Bench::open(&tree.roots(), None);
    let values = bench.tick();
    for metric in ["cpu_user_ticks", "meminfo_MemTotal_bytes", "load1", "uptime_seconds"] {
        assert!(values.contains_key(&("host".into(), metric.into())), "{metric}");
    }
    let expected = ["cpu/0", "cpu/3", "filesystem/", "host", "nic/eth0", "nic/lo"];
    assert_eq!(bench.objects(), expected.map(str::to_owned).into());
    let events: Vec<_> = bench.sampler.drain_events().collect();
    let failed: BTreeSet<_> = events.iter().map(|event| event.source).collect();
    for source in ["diskstats", "vmstat", "pressure"] {
        assert!(failed.contains(source), "{source}");
    }
    assert!(bench.sampler.failing() >= 3);
    let missing = events.iter().find(|event| event.source == "vmstat").expect("one");
    let message = format!("vmstat: {} cannot be opened: No such", missing.path.display());
    assert!(missing.to_string().contains(&message), "{missing}");
    assert_eq!(missing.path, tree.0.join("proc/vmstat"));

    // Nothing new, no event; and an absent file is asked for ever less often.
    let errors = bench.sampler.errors();
    for _ in 0..1000 {
        bench.tick();
    }
    assert_eq!(bench.sampler.drain_events().count(), 0);
    let attempts = bench.sampler.errors() - errors;
    assert!((50..300).contains(&attempts), "{attempts} attempts at 5 or 6 files in 1000 ticks");

    // It appears, and is found after a while.
    tree.write("vmstat", "pgfault 7\noom_kill 0\n");
    let found =
        (0..100).any(|_| bench.tick().get(&("host".into(), "vmstat_pgfault".into())) == Some(&7));
    assert!(found);
    let events: Vec<_> = bench.sampler.drain_events().collect();
    assert_eq!(events.len(), 1);
    assert!(events[0].to_string().ends_with("works again"), "{}", events[0]);
}

#[test]
fn sources_run_at_their_own_pace() {
    let tree = Tree::new("vm-2cpu-6.18");
    let mut selection = Selection::default();
    for (source, divisor) in [("meminfo", 0), ("uptime", 3), ("filesystem", 0)] {
        selection.set(source, divisor).expect("a source");
    }
    let mut schema = Schema::new();
    let mut sampler = Sampler::open(&sampling(&tree.roots(), selection), &mut schema);
    assert_eq!(schema.column("host", "meminfo_MemTotal_bytes"), None);
    let load = schema.column("host", "load1").expect("selected");
    let uptime = schema.column("host", "uptime_seconds").expect("selected");
    let mut record = Record::new(schema.width());
    for tick in 0..7 {
        sampler.tick(tick, false, &mut schema, &mut record);
        assert!(record.f64(load).is_some());
        assert_eq!(record.f64(uptime).is_some(), tick % 3 == 0, "{tick}");
    }
    sampler.tick(1, true, &mut schema, &mut record);
    assert!(record.f64(uptime).is_some());
}

#[test]
fn devices_come_and_go() {
    let tree = Tree::new("old-2cpu-2.6.32");
    let mut bench = Bench::open(&tree.roots(), Some("net_dev"));
    let whole = String::from_utf8(text("old-2cpu-2.6.32", "net/dev").expect("a fixture"));
    let whole = whole.expect("a text");
    let before = bench.tick();

    // eth0 is pulled out and a stick is put in, in one tick.
    let stick = "wlan0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    let without: String = whole
        .lines()
        .filter(|line| !line.contains("eth0:1844"))
        .map(|l| format!("{l}\n"))
        .collect();
    tree.mark("class/net/wlan0/device");
    tree.write("net/dev", format!("{without}{stick}"));
    let after = bench.tick();
    let expected = ["nic/eth0:1", "nic/lo", "nic/sit0", "nic/wlan0"].map(str::to_owned);
    assert_eq!(bench.objects(), expected.into());
    assert_eq!(after[&("nic/wlan0".into(), "receive_packets".into())], 2);
    assert_eq!(after[&("nic/wlan0".into(), "physical".into())], 1);
    assert_eq!(bench.schema.changes().len(), 2 * 17);

    // Everything as before; what has come back is a new series.
    tree.write("net/dev", &whole);
    assert_eq!(bench.tick(), before);
    assert_eq!(bench.schema.changes().len(), 2 * 17);
    assert_eq!((bench.tick(), bench.schema.changes().len()), (before, 0));
    assert_eq!(bench.sampler.errors(), 0);
}

#[test]
fn cpus_go_off_line_and_return() {
    let tree = Tree::new("arm-64cpu-6.6");
    let mut bench = Bench::open(&tree.roots(), Some("stat"));
    let whole = String::from_utf8(text("arm-64cpu-6.6", "stat").expect("a fixture"));
    let whole = whole.expect("a text");
    let before = bench.tick();
    let off = |line: &&str| !line.starts_with("cpu7 ") && !line.starts_with("cpu63 ");
    let without: String = whole.lines().filter(off).map(|line| format!("{line}\n")).collect();
    tree.write("stat", without);
    let after = bench.tick();
    assert_eq!(before.len() - after.len(), 20);
    assert!(after.iter().all(|(key, value)| before[key] == *value));
    assert!(!bench.objects().contains("cpu/7") && bench.objects().contains("cpu/8"));
    tree.write("stat", &whole);
    assert_eq!((bench.tick(), bench.sampler.errors()), (before, 0));
}

#[test]
fn interface_that_is_renamed_is_another_one() {
    let tree = Tree::new("vm-2cpu-6.18");
    let mut bench = Bench::open(&tree.roots(), Some("net_dev"));
    let before = bench.tick();
    let lines = tree.lines("net/dev");
    assert!(bench.objects().contains("nic/eth0"));
    tree.write("net/dev", lines.concat().replace("  eth0:", "wan0.7:"));
    let after = bench.tick();
    assert!(bench.objects().contains("nic/wan0.7") && !bench.objects().contains("nic/eth0"));
    assert_eq!(bench.schema.changes().len(), 2 * 17);
    let bytes = |values: &Values, nic: &str| values[&(nic.into(), "receive_bytes".into())];
    assert_eq!(bytes(&after, "nic/wan0.7"), bytes(&before, "nic/eth0"));
    assert_eq!(bench.sampler.errors(), 0);
}

#[test]
fn disks_and_partitions_come_and_go() {
    let tree = Tree::new("vm-2cpu-6.18");
    let mut bench = Bench::open(&tree.roots(), Some("diskstats"));
    let before = bench.tick();
    let lines = tree.lines("diskstats");
    let numbers = (1..=17).map(|number| format!(" {number}")).collect::<String>();
    let with = |names: &[&str]| {
        let more = names.iter().map(|name| format!("   8       0 {name}{numbers}\n"));
        lines.iter().cloned().chain(more).collect::<String>()
    };
    for name in ["sdb1", "sdb2"] {
        tree.mark(&format!("class/block/{name}/partition"));
    }
    let mut more = 0;
    for names in [&["sdb"][..], &["sdb", "sdb1", "sdb2"], &["sdb", "sdb2"], &[]] {
        tree.write("diskstats", with(names));
        let values = bench.tick();
        assert_eq!(values.len(), before.len() + names.len() * 18);
        assert_eq!(
            bench.schema.changes().len(),
            (names.len() as i32 - more).unsigned_abs() as usize * 18
        );
        more = names.len() as i32;
        for name in names {
            let partition = values[&(format!("disk/{name}"), "partition".into())];
            assert_eq!(partition, u64::from(*name != "sdb"), "{name}");
        }
        assert!(before.iter().all(|(key, value)| values[key] == *value));
    }
    assert_eq!(bench.sampler.errors(), 0);
}

#[test]
fn cpus_of_schedstat_go_off_line_and_return() {
    let tree = Tree::new("arm-64cpu-6.6");
    let mut bench = Bench::open(&tree.roots(), Some("cputime"));
    let whole = tree.lines("schedstat");
    let before = bench.tick();
    let is_on = |line: &&String| !line.starts_with("cpu7 ") && !line.starts_with("cpu63 ");
    tree.write("schedstat", whole.iter().filter(is_on).cloned().collect::<String>());
    let after = bench.tick();
    assert_eq!((before.len() - after.len(), bench.schema.changes().len()), (6, 6));
    assert!(after.iter().all(|(key, value)| before[key] == *value));
    // It returns with its counters set back, in series of their own.
    let reset = whole.iter().map(|line| match line.strip_prefix("cpu7 ") {
        Some(_) => "cpu7 0 0 0 0 0 0 11 12 13\n".to_owned(),
        None => line.clone(),
    });
    tree.write("schedstat", reset.collect::<String>());
    let values = bench.tick();
    assert_eq!(values[&("cpu/7".into(), "wait_ns".into())], 12);
    assert_eq!(values.len(), before.len());
    let added = |change: &Change| matches!(change, Change::Added(_));
    assert_eq!((bench.schema.changes().len(), bench.schema.changes().iter().all(added)), (6, true));
    assert_eq!(bench.sampler.errors(), 0);
}

#[test]
fn columns_of_interrupts_follow_the_cpus() {
    let tree = Tree::new("vm-2cpu-6.18");
    let mut bench = Bench::open(&tree.roots(), Some("interrupts"));
    let whole = tree.lines("interrupts");
    let before = bench.tick();
    let of_cpu = |values: &Values, cpu: &str| values.keys().filter(|key| key.1 == cpu).count();

    // CPU 1 goes, and with it its column; what it counted ends, and nothing else moves.
    let without = whole.iter().enumerate().map(|(index, line)| {
        let words: Vec<_> = line.split_whitespace().collect();
        match (index, words.len()) {
            (0, _) => "           CPU0\n".to_owned(),
            (_, 2) => line.clone(),
            _ => format!("{} {} {}\n", words[0], words[1], words[3..].join(" ")),
        }
    });
    tree.write("interrupts", without.collect::<String>());
    let after = bench.tick();
    assert!(of_cpu(&before, "cpu1") > 5);
    assert_eq!(of_cpu(&after, "cpu1"), 0);
    assert_eq!(after.len() + of_cpu(&before, "cpu1"), before.len());
    assert!(after.iter().all(|(key, value)| before[key] == *value));
    assert_eq!(bench.schema.changes().len(), of_cpu(&before, "cpu1"));
    tree.write("interrupts", whole.concat());
    assert_eq!(bench.tick(), before);

    // An interrupt is given to another device, comes to another CPU, and is given up.
    let text = whole.concat();
    let quiet = whole.iter().find(|line| line.starts_with(" 39:")).expect("it has this one");
    let key = |metric: &str| ("interrupt/39".to_owned(), metric.to_owned());
    let moved =
        quiet.replace("virtio2-output.0", "eth7, usb 1").replace("         0 P", "         7 P");
    tree.write("interrupts", text.replace(quiet, &moved));
    let after = bench.tick();
    assert_eq!((after[&key("cpu1")], after[&key("cpu0")]), (7, before[&key("cpu0")]));
    assert_eq!(after.get(&key("devices=virtio2-output.0")), None);
    assert_eq!(after[&key("devices=eth7,%20usb%201")], 1);
    assert_eq!(bench.schema.changes().len(), 3);
    let count = format!("{} ", before[&key("cpu0")]);
    tree.write("interrupts", text.replace(quiet, &quiet.replace(&count, "0 ")));
    assert_eq!(bench.tick().get(&key("cpu0")), None);
    tree.write("interrupts", text.replace(quiet, ""));
    bench.tick();
    assert!(!bench.objects().contains("interrupt/39"));
    tree.write("interrupts", text);
    assert_eq!((bench.tick(), bench.sampler.errors()), (before, 0));
}

#[test]
fn interrupts_of_a_huge_machine_are_bounded() {
    const SERIES_MAX: usize = 16 << 10;
    let tree = Tree::new("vm-2cpu-6.18");
    let table = |interrupts: usize| {
        let cpus = (0..200).map(|cpu| format!("CPU{cpu} ")).collect::<String>();
        let counts = "7 ".repeat(200);
        let lines = (0..interrupts).map(|number| format!("{number}: {counts}\n"));
        format!("{cpus}\n{}", lines.collect::<String>())
    };
    tree.write("interrupts", table(100));
    let mut bench = Bench::open(&tree.roots(), Some("interrupts"));
    for _ in 0..3 {
        assert_eq!((bench.tick().len(), bench.schema.len()), (SERIES_MAX, SERIES_MAX));
        assert_eq!(bench.sampler.failing(), 1);
    }
    let events: Vec<_> = bench.sampler.drain_events().collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].state, Err(SampleError::TooMany));
    tree.write("interrupts", table(80));
    assert_eq!((bench.tick().len(), bench.sampler.failing()), (80 * 200, 0));
}

#[test]
fn cpu_that_never_was_on_line_has_no_series() {
    let tree = Tree::new("vm-2cpu-6.18");
    let cpuacct = "../sys/fs/cgroup/cpuacct/cpuacct.usage_all";
    let possible = |numbers: &str| tree.lines(cpuacct).concat() + numbers;
    tree.write(cpuacct, possible("2 0 0\n"));
    let mut bench = Bench::open(&tree.roots(), Some("cputime"));
    bench.tick();
    assert!(!bench.objects().contains("cpu/2"));
    let whole = tree.lines(cpuacct).concat();
    tree.write(cpuacct, whole.replace("2 0 0\n", "2 7 0\n"));
    assert_eq!(bench.tick()[&("cpu/2".into(), "cpuacct_user_ns".into())], 7);
    assert_eq!(bench.sampler.errors(), 0);

    let mut bench = Bench::open(&tree.roots(), Some("softirqs"));
    let before = bench.tick();
    let with = |count: u64| {
        let lines = tree.lines("softirqs").into_iter().enumerate();
        let lines = lines.map(|(index, line)| match index {
            0 => line.replace("CPU1", "CPU1 CPU2"),
            _ => line.replace('\n', &format!(" {count}\n")),
        });
        lines.collect::<String>()
    };
    let (never, on_line) = (with(0), with(3));
    tree.write("softirqs", never);
    assert_eq!((bench.tick(), bench.schema.changes().len()), (before.clone(), 0));
    tree.write("softirqs", on_line);
    let values = bench.tick();
    assert_eq!(values.len(), before.len() + 10);
    assert_eq!(values[&("cpu/2".into(), "softirq_rcu".into())], 3);
    assert_eq!(bench.sampler.errors(), 0);
}

#[test]
fn groups_of_a_container_are_not_taken_for_those_of_the_machine() {
    let tree = Tree::new("vm-2cpu-6.18");
    let metrics = |tree: &Tree| {
        let keys = Bench::open(&tree.roots(), Some("cputime")).tick().into_keys();
        keys.map(|(_, metric)| metric).collect::<BTreeSet<_>>()
    };
    assert!(metrics(&tree).contains("cpu_usage_us"));
    tree.mark("fs/cgroup/unified/cgroup.type");
    assert_eq!(metrics(&tree), ["cpuacct_system_ns", "cpuacct_user_ns"].map(str::to_owned).into());
    fs::remove_file(tree.0.join("sys/fs/cgroup/cpuacct/release_agent")).expect("it was there");
    assert_eq!(metrics(&tree), BTreeSet::new());
    // Where there is no other source of it, what is missing is said.
    let bench = Bench::open(&tree.roots(), Some("cputime"));
    assert_eq!(bench.sampler.failing(), 1);
}

#[test]
fn nodes_of_memory_come_and_go() {
    let tree = Tree::new("vm-2cpu-6.18");
    let online = "../sys/devices/system/node/online";
    let dir = tree.0.join("sys/devices/system/node");
    let mut bench = Bench::open(&tree.roots(), Some("numa"));
    let before = bench.tick();
    copy(&dir.join("node0"), &dir.join("node2"));
    for (text, nodes) in [("0,2\n", &[0, 2][..]), ("2\n", &[2]), ("0,2\n", &[0, 2]), ("0\n", &[0])]
    {
        tree.write(online, text);
        let values = bench.tick();
        assert_eq!(values.len(), nodes.len() * before.len());
        let objects = nodes.iter().map(|node| format!("numa/{node}"));
        assert_eq!(bench.objects(), objects.collect());
    }
    assert_eq!((bench.tick(), bench.sampler.errors()), (before.clone(), 0));
    for cut in ["", "0", "0,\n"] {
        tree.write(online, cut);
        assert_eq!((bench.tick(), bench.schema.changes().len()), (before.clone(), 0));
        assert_eq!(bench.sampler.failing(), 1);
    }
}

#[test]
fn order_of_lines_does_not_matter() {
    for (name, source, file, text) in texts() {
        let has_order = ["loadavg", "uptime", "netstat"].contains(&source) || file == "net/snmp";
        if has_order {
            continue;
        }
        let tree = Tree::new(name);
        let mut bench = Bench::open(&tree.roots(), Some(source));
        let before = bench.tick();
        let text = String::from_utf8(text).expect("a text");
        let headings = match parser(source, file) {
            "net_dev" => 2,
            "softirqs" | "interrupts" | "schedstat" => 1,
            parser => usize::from(parser.ends_with("usage_all")),
        };
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        lines[headings..].reverse();
        tree.write(file, lines.concat());
        for _ in 0..2 {
            assert_eq!(bench.tick(), before, "{name} {file}");
            assert!(bench.schema.changes().is_empty());
        }
        assert_eq!(bench.sampler.errors(), 0);
    }
}

#[test]
fn kernel_that_learns_a_field_gives_the_device_new_series() {
    let tree = Tree::new("old-2cpu-2.6.32");
    let mut bench = Bench::open(&tree.roots(), Some("diskstats"));
    tree.write("diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    assert_eq!(bench.tick().len(), 12);
    tree.write("diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n");
    assert_eq!(bench.tick().len(), 18);
    tree.write("diskstats", "8 0 sda 1 2 3 4\n");
    assert_eq!(bench.tick().len(), 5);
    assert_eq!(bench.schema.len(), 5);

    // No device at all is believed only after a while.
    tree.write("diskstats", "");
    for _ in 1..16 {
        assert_eq!((bench.tick().len(), bench.schema.len()), (0, 5));
        assert_eq!(bench.sampler.failing(), 1);
    }
    assert_eq!((bench.tick().len(), bench.schema.len()), (0, 0));
    assert_eq!(bench.sampler.failing(), 0);
}

/// What the parser of `source` makes of `text`, with every value under a name of its own.
fn parsed(source: &str, text: &[u8]) -> (BTreeMap<String, u64>, Result<(), SampleError>) {
    let mut values = BTreeMap::new();
    let name = String::from_utf8_lossy;
    let outcome = match source {
        "stat" => parse::stat(text, |line| match line {
            parse::StatLine::Cpu(cpu) => {
                for (mode, ticks) in cpu.ticks.iter().enumerate().take(cpu.modes) {
                    values.insert(format!("cpu{} {mode}", name(cpu.number)), *ticks);
                }
            }
            parse::StatLine::Total(total, value) => {
                values.insert(format!("{total:?}"), value);
            }
        }),
        "meminfo" => parse::meminfo(text, |amount| {
            values.insert(format!("{} {}", name(amount.name), amount.bytes), amount.value);
        }),
        "loadavg" => parse::loadavg(text).map(|load| {
            for (index, value) in load.load.iter().enumerate() {
                values.insert(format!("load {index}"), value.to_bits());
            }
            values.insert("tasks_runnable".into(), load.tasks_runnable);
            values.insert("tasks".into(), load.tasks);
        }),
        "uptime" => parse::uptime(text).map(|uptime| {
            values.insert("uptime".into(), uptime.uptime_seconds.to_bits());
            values.insert("idle".into(), uptime.idle_seconds.to_bits());
        }),
        "net_dev" => parse::net_dev(text, |interface| {
            for (index, number) in interface.numbers.iter().enumerate() {
                values.insert(format!("{} {index}", name(interface.name)), *number);
            }
        }),
        "diskstats" => parse::diskstats(text, |device| {
            for index in (0..17).filter(|&index| device.has(index)) {
                values.insert(format!("{} {index}", name(device.name)), device.numbers[index]);
            }
        }),
        "vmstat" => parse::vmstat(text, |event| {
            values.insert(name(event.name).into_owned(), event.count);
        }),
        "pressure" => parse::pressure(text, |stall| {
            for (index, average) in stall.averages.iter().enumerate() {
                values.insert(format!("{} {index}", stall.full), average.to_bits());
            }
            values.insert(format!("{} total", stall.full), stall.total_us);
        }),
        "filesystem" => {
            let mut count = 0;
            parse::mountinfo(text, |mount| {
                let parse::MountLine { root, mount_point, options, fs_type, source, .. } = mount;
                for (index, field) in
                    [root, mount_point, options, fs_type, source].into_iter().enumerate()
                {
                    let field: Vec<u8> = field.bytes().collect();
                    let key = format!("{count} {} {index} {}", mount.id, name(&field));
                    values.insert(key, mount.number.minor.into());
                }
                count += 1;
            })
        }
        "schedstat" => parse::schedstat(text, |cpu| {
            for (index, number) in cpu.numbers.iter().enumerate() {
                values.insert(format!("cpu{} {index}", name(cpu.number)), *number);
            }
        }),
        "softirqs" | "interrupts" => parse::cpu_table(text, |line| {
            for (cpu, count) in line.counts {
                values.insert(format!("{} {}", name(line.name), name(cpu)), count);
            }
        }),
        "sockstat" => parse::sockstat(text, |sockets| {
            let key = format!("{} {}", name(sockets.protocol), name(sockets.name));
            values.insert(key, sockets.value.unwrap_or(u64::MAX));
        }),
        "snmp" | "netstat" | "net/snmp6" => {
            let each = |statistic: parse::Statistic<'_>| {
                let key = format!("{} {}", name(statistic.protocol), name(statistic.name));
                values.insert(key, statistic.value.unwrap_or(u64::MAX));
            };
            let is_snmp6 = source == "net/snmp6";
            if is_snmp6 { parse::snmp6(text, each) } else { parse::netstat(text, each) }
        }
        file if file.ends_with("/cpu.stat") => parse::root_cpu_stat(text, |time| {
            values.insert(time.which.to_string(), time.us);
        }),
        file if file.ends_with("/cpuacct.usage_all") => parse::cpuacct(text, |busy| {
            for (index, ns) in busy.ns.iter().enumerate() {
                values.insert(format!("cpu{} {index}", name(busy.number)), *ns);
            }
        }),
        file if file.ends_with("node0/meminfo") => parse::node_meminfo(text, |amount| {
            values.insert(format!("{} {}", name(amount.name), amount.bytes), amount.value);
        }),
        file if file.ends_with("node0/numastat") => parse::numastat(text, |event, number| {
            values.insert(name(event).into_owned(), number);
        }),
        "block" => parse::block_stat(text).map(|device| {
            for index in (0..17).filter(|&index| device.has(index)) {
                values.insert(index.to_string(), device.numbers[index]);
            }
        }),
        other => unreachable!("{other}"),
    };
    (values, outcome)
}

#[test]
fn text_cut_anywhere_gives_whole_values_or_none() {
    let stat = fs::read(host("vm-2cpu-6.18").join("sys/dev/block/254:0/stat")).expect("a fixture");
    let texts = texts().map(|(_, source, file, text)| (parser(source, file), text));
    let tables = HOSTS
        .into_iter()
        .map(|name| ("filesystem", text(name, "self/mountinfo").expect("every host has it")));
    for (source, text) in texts.chain(tables).chain([("block", stat)]) {
        let (whole, outcome) = parsed(source, &text);
        assert_eq!(outcome, Ok(()), "{source}");
        assert!(!whole.is_empty());
        // Around the end of each line every length, elsewhere some.
        let near_newline =
            |end: usize| text[end.saturating_sub(3)..text.len().min(end + 12)].contains(&b'\n');
        for end in (0..text.len()).filter(|&end| end % 5 == 0 || near_newline(end)) {
            let (values, outcome) = parsed(source, &text[..end]);
            for (key, value) in &values {
                assert_eq!(whole.get(key), Some(value), "{source} cut at {end}: {key}");
            }
            let complete_lines = text[..end].ends_with(b"\n") || end == 0;
            assert!(complete_lines || outcome.is_err(), "{source} cut at {end}");
        }
    }
}

#[test]
fn sampler_keeps_the_series_of_a_text_that_was_cut() {
    for (name, source, file, text) in texts() {
        let tree = Tree::new(name);
        let mut bench = Bench::open(&tree.roots(), Some(source));
        let before = bench.tick();
        let step = (text.len() / 40).max(1);
        let newlines = (0..text.len()).filter(|&end| text[end] == b'\n');
        let ends: BTreeSet<_> = (0..text.len()).step_by(step).chain(newlines).collect();
        for end in ends {
            tree.write(file, &text[..end]);
            let errors = bench.sampler.errors();
            let values = bench.tick();
            assert!(values.iter().all(|(key, value)| before[key] == *value), "{file} {end}");
            // Devices are not counted anywhere: lines that are gone altogether were unplugged.
            let uncounted = ["net_dev", "diskstats", "interrupts"].contains(&source);
            let uncounted = uncounted || file == "schedstat";
            let may_end = end > 0 && text[end - 1] == b'\n' && uncounted;
            assert!(may_end || !bench.has_ended(), "{name} {file} cut at {end}");
            // The last line may be one that nobody wants.
            let noticed = bench.sampler.errors() > errors || values.len() == before.len();
            assert!(may_end || noticed, "{name} {file} cut at {end}");
            tree.write(file, &text);
            assert_eq!(bench.tick(), before, "{name} {file} whole again after {end}");
        }
    }
}

/// Bytes as a kernel might print them, were it mad.
fn odd_text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "[a-zA-Z_()]{1,12}".prop_map(String::into_bytes),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        "[0-9]{18,24}".prop_map(String::into_bytes),
        Just(b"99999999999999999999999".to_vec()),
        any::<[u8; 3]>().prop_map(Vec::from),
        prop::sample::select(vec![
            "cpu",
            "cpu0",
            "intr",
            "ctxt",
            "some",
            "full",
            "avg10=",
            "total=",
            ":",
            "/",
            ".",
            "kB",
            "pgfault",
            "|",
            "\0",
            "-",
            "MemTotal:",
            "eth0:",
            "sda",
            "version 15\n",
            "CPU0",
            "CPU1 CPU2\n",
            "LOC:",
            "24:",
            "Tcp: InErrs",
            "Tcp:",
            "TCP: mem",
            "Ip6InOctets",
            "usage_usec",
            "cpu user system\n",
            "Node 0",
            "HugePages_",
            "numa_hit",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    let gap = prop::sample::select(vec!["", " ", "  ", "\t", "\n", "\n\n", "\r\n"]);
    prop::collection::vec((word, gap), 0..60).prop_map(|words| {
        let words = words.into_iter();
        words.flat_map(|(word, gap)| [word, gap.as_bytes().to_vec()].concat()).collect()
    })
}

/// The files that a host has, and their sources.
fn files_of(host: &str) -> Vec<(&'static str, &'static str)> {
    FILES.into_iter().filter(|(_, file)| text(host, file).is_some()).collect()
}

const PARSED: [&str; 19] = [
    "stat",
    "meminfo",
    "loadavg",
    "uptime",
    "net_dev",
    "diskstats",
    "vmstat",
    "pressure",
    "filesystem",
    "block",
    "schedstat",
    "interrupts",
    "sockstat",
    "snmp",
    "net/snmp6",
    "fs/cgroup/cpu.stat",
    "fs/cgroup/cpuacct.usage_all",
    "node0/meminfo",
    "node0/numastat",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parsers_take_any_bytes(text in prop_oneof![
        odd_text(),
        prop::collection::vec(any::<u8>(), 0..600),
    ]) {
        for source in PARSED {
            let _ = parsed(source, &text);
        }
    }

    #[test]
    fn parsers_take_flipped_texts(
        index in 0..texts().count(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (_, source, file, mut text) = texts().nth(index).expect("a fixture");
        for (place, byte) in flips {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let _ = parsed(parser(source, file), &text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The sampler may take a flipped letter for a new device, but when the text is whole again
    /// every value must be right: a column must not be left with two owners.
    #[test]
    fn sampler_recovers_from_any_text(
        file in prop::sample::select(files_of("vm-2cpu-6.18")),
        damages in prop::collection::vec(
            prop_oneof![
                odd_text().prop_map(Err),
                prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8).prop_map(Ok),
            ],
            1..6,
        ),
    ) {
        let (source, file) = file;
        let whole = text("vm-2cpu-6.18", file).expect("it has the file");
        let tree = Tree::new("vm-2cpu-6.18");
        let mut bench = Bench::open(&tree.roots(), Some(source));
        let before = bench.tick();
        for damage in damages {
            let damaged = damage.map_or_else(|text| text, |flips| {
                let mut text = whole.clone();
                for (place, byte) in flips {
                    let place = place.index(text.len());
                    text[place] = byte;
                }
                text
            });
            tree.write(file, damaged);
            bench.tick();
        }
        tree.write(file, &whole);
        prop_assert_eq!(&bench.tick(), &before);
        // What the damage brought in ends, if only after some patience.
        for _ in 0..20 {
            prop_assert_eq!(&bench.tick(), &before);
        }
        prop_assert_eq!(bench.schema.len(), before.len());
        prop_assert_eq!(bench.sampler.failing(), 0);
    }
}
