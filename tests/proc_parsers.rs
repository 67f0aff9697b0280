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
const FILES: [(&str, &str); 10] = [
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
];

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
fn order_of_lines_does_not_matter() {
    for (name, source, file, text) in texts() {
        if ["loadavg", "uptime"].contains(&source) {
            continue;
        }
        let tree = Tree::new(name);
        let mut bench = Bench::open(&tree.roots(), Some(source));
        let before = bench.tick();
        let text = String::from_utf8(text).expect("a text");
        let headings = if source == "net_dev" { 2 } else { 0 };
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
    let texts = texts().map(|(_, source, _, text)| (source, text));
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
            let may_end =
                end > 0 && text[end - 1] == b'\n' && ["net_dev", "diskstats"].contains(&source);
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
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    let gap = prop::sample::select(vec!["", " ", "  ", "\t", "\n", "\n\n", "\r\n"]);
    prop::collection::vec((word, gap), 0..60).prop_map(|words| {
        let words = words.into_iter();
        words.flat_map(|(word, gap)| [word, gap.as_bytes().to_vec()].concat()).collect()
    })
}

const PARSED: [&str; 10] = [
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
        let (_, source, _, mut text) = texts().nth(index).expect("a fixture");
        for (place, byte) in flips {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let _ = parsed(source, &text);
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
        file in prop::sample::select(FILES.to_vec()),
        damages in prop::collection::vec(
            prop_oneof![
                odd_text().prop_map(Err),
                prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8).prop_map(Ok),
            ],
            1..6,
        ),
    ) {
        let (source, file) = file;
        let whole = text("vm-2cpu-6.18", file).expect("it has every file");
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
