//! The program with several lanes: rings of their own pace, threads of their own sort, one process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "support/program.rs"]
mod support;

use support::{Ended, Place, Program, eventually};
use tachograph::record::RecordHeader;
use tachograph::ring::{PreadWords, Ring, open_untrusted};

/// A user who may do nothing in particular.
const NOBODY: u32 = 65534;
/// Fields of `/proc/PID/task/TID/stat`, counted from 1 as the kernel's manual does.
const STAT_NICE: usize = 19;
const STAT_POLICY: usize = 41;
const SCHED_FIFO: &str = "1";

const THREE_LANES: &str = r#"
[[lane]]
name = "fast"

[[lane]]
name = "tenth"
interval = "100ms"
depth = "10min"
sources = ["stat", "net_dev"]
"#;
/// The lanes of it, with their intervals in milliseconds.
const THREE: [(&str, u64); 3] = [("host", 1000), ("fast", 10), ("tenth", 100)];

/// A place with a configuration file.
struct Configured(Place);

impl Configured {
    fn new(text: &str) -> Self {
        let place = Place::new();
        fs::write(place.path().join("tachograph.toml"), text).expect("a file in memory");
        Self(place)
    }

    fn words(&self, words: &str) -> String {
        format!("{words} --config {}", self.0.path().join("tachograph.toml").display())
    }

    fn record(&self) -> Program {
        self.0.start(&self.words("record"))
    }

    fn refused(&self) -> Ended {
        self.0.ask(&self.words("record"))
    }
}

/// Ticks that the first one may be late.
const FIRST_LATE_MAX: u64 = 1000;

fn ring_path(place: &Place, lane: &str) -> PathBuf {
    place.run_dir().join(format!("{lane}.ring"))
}

fn ring(place: &Place, lane: &str) -> Ring<PreadWords> {
    let path = ring_path(place, lane);
    open_untrusted(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).0
}

/// The newest record of a lane, once it is the `seq`th or a later one.
fn lane_from(place: &Place, lane: &str, seq: u64) -> Value {
    eventually(&format!("record {seq} of {lane}"), || {
        let ended = place.ask(&format!("snapshot --json --lane {lane}"));
        if ended.code != Some(0) {
            return None;
        }
        let record: Value = serde_json::from_str(&ended.out).expect("JSON");
        (record["seq"].as_u64() >= Some(seq)).then_some(record)
    })
}

fn inspect(place: &Place, lane: &str) -> Ended {
    place.ask(&format!("inspect --lane {lane}"))
}

#[track_caller]
fn assert_closed(place: &Place, lane: &str) {
    let ended = inspect(place, lane);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("\nwriter     closed,"), "{lane}: {ended:?}");
    assert!(ended.out.contains("\nintegrity  clean"), "{lane}: {ended:?}");
}

/// The headers of all records that a ring has.
fn headers(ring: &Ring<PreadWords>) -> Vec<RecordHeader> {
    let (oldest, newest) = ring.bounds().expect("records");
    (oldest..=newest).filter_map(|seq| ring.read(seq, |view| view.header()).ok()).collect()
}

/// Each record is that of the tick after the one before it, but for those that are told as missed. How
/// late a tick is, is the machine's affair; it is never early, and none is due that had passed when
/// the one before it was taken.
#[track_caller]
fn assert_on_grid(headers: &[RecordHeader], interval_ms: u64, lane: &str) {
    let tick = |header: &RecordHeader| header.realtime_ns / (interval_ms * 1_000_000);
    let is_set =
        |header: &RecordHeader| header.flags() & tachograph::record::flags::CLOCK_STEP != 0;
    for run in headers.chunk_by(|_, next| !is_set(next)) {
        // How late the first one was is not known.
        let holds = |late: u64| {
            let mut due = tick(&run[0]) - late;
            run.windows(2).all(|pair| {
                due += 1 + pair[1].missed_ticks;
                tick(&pair[0]) < due && due <= tick(&pair[1])
            })
        };
        assert!((0..FIRST_LATE_MAX).any(holds), "{lane}: {run:?}");
    }
}

#[test]
fn one_process_records_three_rings_each_at_its_pace() {
    let configured = Configured::new(THREE_LANES);
    let place = &configured.0;
    let recorder = configured.record();
    for (lane, interval_ms) in THREE {
        let record = lane_from(place, lane, 2 + 1000 / interval_ms);
        assert!(record["values"]["nic/lo"]["receive_bytes"].is_number(), "{lane}: {record}");
        let has_load = !record["values"]["host"]["load1"].is_null();
        assert_eq!(has_load, lane == "host", "{lane}");

        let table = place.ask(&format!("snapshot --lane {lane}"));
        assert!(table.out.contains(&format!("{lane}.ring\n")), "{table:?}");
        assert!(table.out.contains("recorder  live, process"), "{table:?}");

        let tail = place.ask(&format!("tail --lane {lane} -n 3 --json"));
        let lines = tail.out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let seqs: Vec<_> = lines.filter_map(|line: Value| line["seq"].as_u64()).collect();
        assert_eq!((tail.code, seqs.len()), (Some(0), 3), "{tail:?}");
        assert!(seqs.is_sorted(), "{seqs:?}");
        let tail = place.ask(&format!("tail --lane {lane} -n 3"));
        let records = tail.out.lines().filter(|line| line.starts_with("20")).count();
        assert_eq!((tail.code, records), (Some(0), 3), "{tail:?}");

        let ended = inspect(place, lane);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("\nwriter     live,"), "{ended:?}");
        let interval = std::time::Duration::from_millis(interval_ms);
        assert!(ended.out.contains(&format!("\ninterval   {interval:?}\n")), "{ended:?}");
    }
    let told = recorder.err();
    assert_eq!(told.matches(" INFO recording ").count(), 3, "{told}");

    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (lane, interval_ms) in THREE {
        assert_closed(place, lane);
        let headers = headers(&ring(place, lane));
        assert!(headers.len() as u64 >= 2 + 1000 / interval_ms, "{lane}: {}", headers.len());
        assert_on_grid(&headers, interval_ms, lane);
    }
}

#[test]
fn recorder_that_was_killed_goes_on_in_all_of_its_rings() {
    let configured = Configured::new(THREE_LANES);
    let place = &configured.0;
    let recorder = configured.record();
    let seen = THREE.map(|(lane, _)| {
        let seq = lane_from(place, lane, 2)["seq"].as_u64().expect("a number");
        (lane, ring(place, lane).header().ring_id, seq)
    });
    recorder.kill();
    for (lane, ..) in seen {
        let ended = inspect(place, lane);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("\nwriter     dead,"), "{lane}: {ended:?}");
    }
    let recorder = configured.record();
    for (lane, id, seq) in seen {
        let ended = eventually("a record of the second epoch", || {
            Some(lane_from(place, lane, seq + 1)).filter(|record| record["epoch"] == 2)
        });
        assert!(ended["seq"].as_u64() > Some(seq));
        let ring = ring(place, lane);
        assert_eq!((ring.header().ring_id, ring.epoch()), (id, 2), "{lane}");
    }
    recorder.end();
    for (lane, ..) in seen {
        assert_closed(place, lane);
        let all = headers(&ring(place, lane));
        assert_eq!((all[0].seq, all[0].epoch()), (1, 1), "{lane}");
        assert!(all.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "{lane}: none is lost");
    }
}

#[test]
fn second_recorder_is_refused_and_leaves_the_rings_of_the_first_as_they_are() {
    let configured = Configured::new(THREE_LANES);
    let place = &configured.0;
    let first = configured.record();
    let who = format!("process {}", first.pid());
    let state = |lane: &str| {
        let ring = ring(place, lane);
        let file = fs::metadata(ring_path(place, lane)).expect("it is there");
        (ring.header().ring_id, ring.epoch(), file.ino(), file.len())
    };
    for (lane, _) in THREE {
        lane_from(place, lane, 1);
    }
    let before = THREE.map(|(lane, _)| state(lane));
    for ended in [configured.refused(), place.ask("record"), place.ask("record --lane fast")] {
        ended.assert_refused(&["another writer", "host.lock", &who]);
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    assert_eq!(THREE.map(|(lane, _)| state(lane)), before);
    for (lane, _) in THREE {
        let seq = lane_from(place, lane, 1)["seq"].as_u64().expect("a number");
        lane_from(place, lane, seq + 2);
    }
    first.end();
    for (lane, _) in THREE {
        assert_closed(place, lane);
    }
}

/// Somebody else has one lane only: those that could be had are given back.
#[test]
fn recorder_that_gets_only_some_of_its_lanes_closes_them_again() {
    let place = Place::new();
    let first = place.start("record");
    place.snapshot();
    let ended = place.ask("record --lane fast");
    ended.assert_refused(&["host.lock"]);
    assert!(!ring_path(&place, "fast").exists(), "it was not reached");
    first.end();

    let lock = File::create(place.run_dir().join("fast.lock")).expect("ours");
    lock.try_lock().expect("nobody has it");
    let epoch = ring(&place, "host").epoch();
    let ended = place.ask("record --lane fast");
    ended.assert_refused(&["another writer", "fast.lock"]);
    assert_closed(&place, "host");
    assert_eq!(ring(&place, "host").epoch(), epoch + 1, "it was had");
    drop(lock);
    let recorder = place.start("record --lane fast");
    lane_from(&place, "fast", 1);
    recorder.end();
    assert_closed(&place, "fast");
}

/// The thread of this name, as its directory below `/proc`. The kernel cuts names to 15 bytes.
fn thread(program: &Program, name: &str) -> PathBuf {
    let tasks = format!("/proc/{}/task", program.pid());
    let named = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    eventually(&format!("the thread {name}"), || {
        let tasks = fs::read_dir(&tasks).expect("it runs");
        tasks.map(|task| task.expect("listed").path()).find(named)
    })
}

fn allowed_cpus(status: &Path) -> String {
    let status = fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("every kernel has it").trim().to_owned()
}

/// A field of a thread's `stat`, counted from 1. The name in brackets may contain anything.
fn stat_field(thread: &Path, field: usize) -> String {
    let stat = fs::read_to_string(thread.join("stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    rest.split_whitespace().nth(field - 3).expect("enough fields").to_owned()
}

#[test]
fn lane_is_pinned_to_its_cpu_and_no_other_lane_is() {
    let all = allowed_cpus(Path::new("/proc/self/status"));
    let first: String = all.chars().take_while(char::is_ascii_digit).collect();
    let configured = Configured::new(&format!(
        "[[lane]]\nname = \"fast\"\ncpu = {first}\n\
         [[lane]]\nname = \"a-name-beyond-fifteen-bytes\"\nsources = [\"stat\"]\ncpu = [{first}]\n"
    ));
    let recorder = configured.record();
    lane_from(&configured.0, "fast", 1);
    for (name, cpus) in
        [("record fast", &first), ("record a-name-b", &first), ("record host", &all)]
    {
        let status = thread(&recorder, name).join("status");
        eventually("its CPUs", || (allowed_cpus(&status) == *cpus).then_some(()));
    }
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("WARN"), "{ended:?}");
}

#[test]
fn cpu_that_is_not_there_is_refused_with_its_lane_and_nothing_is_left_running() {
    // One that no kernel has, found in the file; and one that this machine does not have, which the
    // kernel says when the rings have been opened.
    let lane = |cpu: u32| format!("[[lane]]\nname = \"fast\"\ncpu = {cpu}\n");
    let configured = Configured::new(&lane(4000));
    let ended = configured.refused();
    ended.assert_refused(&["4000", "\"fast\""]);
    assert!(!configured.0.run_dir().exists());

    if Path::new("/sys/devices/system/cpu/cpu1023").exists() {
        return eprintln!("no CPU is asked for that is not there: this machine has them all");
    }
    for command in ["record", "run --listen 127.0.0.1:0"] {
        let configured = Configured::new(&lane(1023));
        let place = &configured.0;
        let ended = place.ask(&configured.words(command));
        ended.assert_refused(&["1023", "\"fast\""]);
        assert_eq!(ended.out, "", "it has not begun to listen");
        assert_closed(place, "fast");
        assert_closed(place, "host");
        assert_eq!(ring(place, "fast").bounds(), None, "it has not begun");
    }
}

fn fast_by(policy: &str) -> Configured {
    Configured::new(&format!("[[lane]]\nname = \"fast\"\npolicy = \"{policy}\"\n"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn lane_is_scheduled_by_its_policy_and_no_other_lane_is() {
    let configured = fast_by("nice:5");
    let recorder = configured.record();
    let fast = thread(&recorder, "record fast");
    eventually("that it is nice", || (stat_field(&fast, STAT_NICE) == "5").then_some(()));
    let host = thread(&recorder, "record host");
    let main = PathBuf::from(format!("/proc/{}", recorder.pid()));
    assert_eq!(stat_field(&host, STAT_NICE), stat_field(&main, STAT_NICE));
    lane_from(&configured.0, "fast", 2);
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("WARN"), "{ended:?}");

    if !is_root() {
        return eprintln!("no lane is scheduled in real time: needs root");
    }
    let configured = fast_by("fifo:10");
    let recorder = configured.record();
    lane_from(&configured.0, "fast", 2);
    let fast = thread(&recorder, "record fast");
    if recorder.err().contains("and not by fifo:10") {
        return eprintln!("no lane is scheduled in real time: {}", recorder.err());
    }
    assert_eq!(stat_field(&fast, STAT_POLICY), SCHED_FIFO);
    let host = thread(&recorder, "record host");
    assert_ne!(stat_field(&host, STAT_POLICY), SCHED_FIFO);
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_closed(&configured.0, "fast");
}

/// Whether everybody may go where the program is.
fn is_reachable(program: &Path) -> bool {
    program.ancestors().all(|path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}

#[test]
fn policy_that_the_kernel_does_not_permit_is_told_and_left() {
    if is_root() && !is_reachable(Path::new(env!("CARGO_BIN_EXE_tachograph"))) {
        return eprintln!("no policy is refused: other users may not run the program here");
    }
    let configured = fast_by("fifo:10");
    let place = &configured.0;
    let mut command = place.command(&configured.words("record"));
    if is_root() {
        std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).expect("we are root");
        command.uid(NOBODY).gid(NOBODY);
    }
    let recorder = Program::start(&mut command);
    // Another user's ring is not mapped.
    eventually("two records", || {
        let (ring, _) = open_untrusted(&ring_path(place, "fast")).ok()?;
        (ring.head() >= 2).then_some(())
    });
    let fast = thread(&recorder, "record fast");
    if stat_field(&fast, STAT_POLICY) == SCHED_FIFO {
        return eprintln!("no policy is refused: every user may schedule in real time here");
    }
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warning = ended.err.lines().find(|line| line.contains("WARN") && line.contains("fifo:10"));
    assert!(warning.is_some_and(|line| line.contains("\"fast\"")), "{ended:?}");
    assert_closed(place, "fast");
}

#[test]
fn lane_fast_needs_no_configuration_and_others_do() {
    let place = Place::new();
    let recorder = place.start("record --lane fast");
    let record = lane_from(&place, "fast", 5);
    let objects = record["values"].as_object().expect("objects");
    assert!(objects.contains_key("nic/lo") && objects.contains_key("tachograph"), "{record}");
    assert!(record["values"]["host"]["load1"].is_null(), "{record}");
    assert!(place.snapshot()["values"]["host"]["load1"].is_number());
    recorder.end();
    assert_on_grid(&headers(&ring(&place, "fast")), 10, "fast");
    assert_closed(&place, "fast");

    let place = Place::new();
    let ended = place.ask("record --lane nope");
    ended.assert_refused(&["\"nope\"", "\"fast\""]);
    assert!(!place.run_dir().exists());
    for command in ["snapshot --lane nope", "tail --lane nope -n 1", "inspect --lane nope"] {
        place.ask(command).assert_refused(&["nope.ring"]);
    }
}

#[track_caller]
fn assert_mistake(text: &str, words: &[&str]) {
    let ended = Configured::new(text).refused();
    ended.assert_refused(words);
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
}

#[test]
fn mistakes_in_lanes_are_told_in_one_line() {
    let cases: [(&str, &[&str]); 13] = [
        ("name = \"x\"", &["\"x\"", "no sources"]),
        ("interval = \"10ms\"", &["name"]),
        ("name = \"a/b\"\nsources = [\"stat\"]", &["\"a/b\"", "no name for a lane"]),
        ("name = \"x\"\nsources = [\"nope\"]", &["\"x\"", "\"nope\""]),
        ("name = \"x\"\nsources = [\"stat\"]\ninterval = \"0s\"", &["0s"]),
        ("name = \"x\"\nsources = [\"stat\"]\ninterval = \"2min\"", &["60s"]),
        ("name = \"x\"\nsources = [\"stat\"]\ndepth = \"10ms\"", &["\"x\"", "shorter"]),
        ("name = \"fast\"\npolicy = \"idle\"", &["\"idle\"", "fifo:10"]),
        ("name = \"fast\"\ncpu = []", &["\"fast\"", "no CPU"]),
        ("name = \"fast\"\ncpu = -1", &["cpu"]),
        ("name = \"fast\"\nnope = 1", &["nope"]),
        ("name = \"fast\"\n[[lane]]\nname = \"fast\"", &["two lanes", "\"fast\""]),
        ("name = \"host\"\n[[lane]]\nname = \"host\"", &["two lanes", "\"host\""]),
    ];
    for (keys, words) in cases {
        assert_mistake(&format!("[[lane]]\n{keys}\n"), words);
    }
    assert_mistake(
        "interval = \"2s\"\n[[lane]]\nname = \"host\"\ndepth = \"1h\"\n",
        &["\"host\"", "at the top"],
    );
    let many: String =
        (0..16).map(|n| format!("[[lane]]\nname = \"l{n}\"\nsources = [\"stat\"]\n")).collect();
    assert_mistake(&many, &["17", "16"]);
    // What does not fit is seen when its ring is made, and the others are closed again.
    let configured = Configured::new("[[lane]]\nname = \"fast\"\ndepth = \"1000000h\"\n");
    configured.refused().assert_refused(&["fast.ring"]);
    assert_closed(&configured.0, "host");
}

/// The lanes that the rows of an export are from.
fn exported_lanes(place: &Place, words: &str) -> BTreeSet<String> {
    let ended = place.ask(&format!("export --match nic/lo/receive_bytes --format ndjson {words}"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rows = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| row["lane"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn export_reads_a_series_from_the_finest_lane_that_reaches_back() {
    let configured = Configured::new("[[lane]]\nname = \"fast\"\ndepth = \"2s\"\n");
    let place = &configured.0;
    let recorder = configured.record();
    lane_from(place, "host", 1);
    // Two seconds and a half after the first record of the host, the other lane has none so old.
    let slots = ring(place, "fast").header().geometry.slot_count;
    assert_eq!(slots, 256, "two seconds, and a power of two");
    let oldest_ns = |lane: &str| {
        let ring = ring(place, lane);
        let (oldest, _) = ring.bounds()?;
        ring.read(oldest, |view| view.realtime_ns()).ok()
    };
    eventually("that fast reaches less far than host, by more than its interval", || {
        let (fast, host) = oldest_ns("fast").zip(oldest_ns("host"))?;
        (fast > host + 1_100_000_000).then_some(())
    });
    let only = |lane: &str| BTreeSet::from([lane.to_owned()]);
    assert_eq!(exported_lanes(place, "--from -1h"), only("host"));
    assert_eq!(exported_lanes(place, "--from -1h --step 1s"), only("host"));
    for lane in ["host", "fast"] {
        assert_eq!(exported_lanes(place, &format!("--from -1h --lane {lane}")), only(lane));
    }
    // Half a second could pass between the look at the clock and the one at the ring.
    eventually("rows of the finest lane", || {
        (exported_lanes(place, "--from -2s") == only("fast")).then_some(())
    });
    eventually("steps of the finest lane", || {
        (exported_lanes(place, "--from -2s --step 500ms") == only("fast")).then_some(())
    });
    assert_eq!(exported_lanes(place, "--from -2s --lane host"), only("host"));
    let csv = place.ask("export --match nic/lo/receive_bytes --from -1h");
    let mut lines = csv.out.lines();
    assert_eq!(lines.next(), Some("time,seq,lane,object,metric,unit,value"));
    assert!(lines.all(|line| line.split(',').nth(2) == Some("host")), "{csv:?}");
    recorder.end();
}

/// The metrics of one object in a pull, with their newest values.
fn pulled(program: &mut Program, id: &str) -> BTreeMap<String, f64> {
    let reply = program.get("/api2/json/status/metrics?history=1");
    let answer: Value = serde_json::from_str(reply.text()).expect("JSON");
    let points = answer["data"]["data"].as_array().expect("a list").iter();
    let of = points.filter(|point| point["id"] == id);
    let metric = |point: &Value| point["metric"].as_str().expect("a name").to_owned();
    of.map(|point| (metric(point), point["value"].as_f64().expect("a number"))).collect()
}

#[test]
fn stores_of_flags_are_pulled_with_the_names_that_stores_have_and_no_others() {
    let place = Place::new();
    let in_memory = place.path().join("store");
    fs::create_dir(&in_memory).expect("a directory in memory");
    let on_disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let device = fs::metadata(on_disk).expect("cargo makes it").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut run = place.start(&format!(
        "run --interval 200ms --listen 127.0.0.1:0 --datastore store1={} --datastore store2={}",
        on_disk.display(),
        in_memory.display()
    ));
    let space = ["disk_total", "disk_used", "disk_available"];
    let traffic = ["disk_read", "disk_write"];
    let has_device = Path::new(&format!("/sys/dev/block/{major}:{minor}")).exists();
    if !has_device {
        eprintln!("the store's traffic is not looked for: it lies on no block device");
    }
    let wanted = |with_traffic: bool| {
        let traffic = traffic.iter().filter(|_| with_traffic);
        space.iter().chain(traffic).map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()
    };
    eventually("all points of the stores", || {
        let points = pulled(&mut run, "datastore/store1");
        let names: BTreeSet<_> = points.keys().cloned().collect();
        assert!(names.is_subset(&wanted(true)), "{names:?}");
        (names.len() >= wanted(has_device).len()).then_some(())
    });
    for (id, path) in [("datastore/store1", on_disk), ("datastore/store2", &*in_memory)] {
        let points = pulled(&mut run, id);
        let names: BTreeSet<_> = points.keys().cloned().collect();
        if id == "datastore/store1" && has_device {
            assert_eq!(names, wanted(true));
        } else if id == "datastore/store2" {
            assert_eq!(names, wanted(false), "nothing in memory has a device");
        }
        let space = rustix::fs::statvfs(path).expect("it is there");
        assert_eq!(points["disk_total"], (space.f_blocks * space.f_frsize) as f64, "{id}");
        assert!(points["disk_total"] >= points["disk_used"] + points["disk_available"], "{id}");
    }
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn source_that_pullers_would_miss_is_told_at_the_start() {
    for (words, told) in [
        ("record --source meminfo=3", true),
        ("record --source meminfo=5", false),
        ("record --source vmstat=3", false),
        ("record --source meminfo=0", false),
    ] {
        let place = Place::new();
        let recorder = place.start(words);
        place.snapshot();
        let ended = recorder.end();
        let line = ended.err.lines().find(|line| line.contains("WARN"));
        assert_eq!(line.is_some(), told, "{words}: {ended:?}");
        if let Some(line) = line {
            assert!(line.contains("meminfo") && line.contains("every 3s"), "{line}");
        }
    }
}
