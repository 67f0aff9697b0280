//! The program at work: recorders, servers and readers in processes of their own, and how they end.

#[path = "support/program.rs"]
mod support;

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::{Place, eventually, meminfo_bytes};

const HISTORY: &str = "?history=1";

#[test]
fn run_records_and_answers_while_others_read() {
    let place = Place::new();
    let mut run = place.start("run --interval 200ms --listen 127.0.0.1:0");
    let address = run.address();
    let paste = format!("  curl 'http://{address}/api2/json/status/metrics?history=1'\n");
    assert!(run.out().ends_with(&paste), "{}", run.out());

    let meminfo = fs::read_to_string("/proc/meminfo").expect("this is Linux");
    let total = meminfo_bytes(&meminfo, "MemTotal").expect("every kernel has it");
    let points = run.full_pull();
    let newest = |metric: &str| *points[metric].last().expect("a point");
    assert_eq!(newest("mem_total"), total);
    assert!(newest("mem_used") > 0.0 && newest("mem_used") < total);
    assert!((0.0..=1.0).contains(&newest("cpu_current")) && newest("cpu_avg1") >= 0.0);
    assert!((0.0..=1.0).contains(&newest("cpu_iowait")));
    assert!(newest("disk_total") >= newest("disk_used") + newest("disk_available"));
    assert!(newest("swap_total") >= newest("swap_used"));

    let reply = run.get("/api2/extjs/status/metrics?history=1");
    let answer: Value = serde_json::from_str(reply.text()).expect("JSON");
    assert_eq!((&answer["status"], &answer["success"]), (&200.into(), &true.into()));
    assert_eq!(support::points(&answer).len(), 16);
    eventually("readiness", || run.is_ready().then_some(()));
    assert_eq!(run.get("/healthz").status, 200);

    let snapshot = place.snapshot();
    assert_eq!(snapshot["values"]["host"]["meminfo_MemTotal_bytes"].as_f64(), Some(total));
    let table = place.ask("snapshot");
    assert_eq!((table.code, &*table.err), (Some(0), ""));
    assert!(table.out.contains("recorder  live, process") && table.out.contains("\nhost  "));

    let tail = place.ask("tail -n 3");
    let records: Vec<_> = tail.out.lines().filter(|line| line.starts_with("20")).collect();
    assert_eq!((tail.code, records.len()), (Some(0), 3), "{tail:?}");
    let tail = place.ask("tail -n 3 --json");
    let parsed = tail.out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = parsed.filter(|line: &Value| line["gap"].is_null()).collect();
    assert_eq!((tail.code, records.len()), (Some(0), 3), "{tail:?}");
    assert!(records.iter().all(|record| record["values"]["host"]["load1"].is_number()));

    let inspect = place.ask("inspect --directory");
    assert_eq!(inspect.code, Some(0), "{inspect:?}");
    assert!(inspect.out.contains("\nwriter     live,"), "{inspect:?}");
    assert!(inspect.out.contains("meminfo_MemTotal_bytes"), "{inspect:?}");

    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.assert_closed_and_clean();
}

/// The first line of a tail gave the use of the CPU since boot, where every other one gives that of
/// an interval.
#[test]
fn first_line_of_a_tail_is_a_difference() {
    let place = Place::new();
    let recorder = place.start("record --interval 50ms");
    place.snapshot_from(3);
    let tail = place.ask("tail -n 1");
    let line = tail.out.lines().last().expect("a line").to_owned();
    assert!(!line.contains(" - "), "{line}");
    recorder.end();
    // Nothing is before the first record, and nothing is made up.
    let place = Place::new();
    let _recorder = place.start("record --interval 60s");
    place.snapshot();
    let tail = place.start("tail -n 1");
    let line = eventually("a line", || tail.out().lines().nth(1).map(str::to_owned));
    if line.split_whitespace().nth(1) == Some("1") {
        let fields: Vec<_> = line.split_whitespace().collect();
        assert_eq!(fields[2..4], ["-", "-"], "{line}");
        assert!(line.ends_with("-          -          -          -"), "{line}");
    }
}

#[test]
fn told_to_end_it_ends_at_once_whatever_the_interval() {
    for (signal, command) in [
        (Signal::TERM, "run --interval 60s --listen 127.0.0.1:0"),
        (Signal::INT, "run --interval 60s --listen 127.0.0.1:0"),
        (Signal::TERM, "record --interval 60s"),
        (Signal::INT, "serve --listen 127.0.0.1:0"),
    ] {
        let place = Place::new();
        let mut program = place.start(command);
        if command.starts_with("serve") {
            program.address();
        } else {
            place.snapshot();
        }
        let told = Instant::now();
        program.signal(signal);
        let ended = program.ended();
        assert_eq!((ended.code, ended.signal), (Some(0), None), "{command}: {ended:?}");
        assert!(told.elapsed() < Duration::from_secs(20), "{command}: {:?}", told.elapsed());
        if !command.starts_with("serve") {
            place.assert_closed_and_clean();
        }
    }
}

#[test]
fn servers_find_the_ring_of_a_recorder_and_keep_its_history() {
    let place = Place::new();
    let mut servers = [0, 1].map(|_| place.start("serve --listen 127.0.0.1:0"));
    for server in &mut servers {
        assert!(server.pull(HISTORY).is_empty());
        assert!(!server.is_ready());
    }
    let recorder = place.start("record --interval 100ms");
    for server in &mut servers {
        server.full_pull();
        eventually("readiness", || server.is_ready().then_some(()));
    }
    assert_no_network(recorder.pid());
    assert_eq!(recorder.end().code, Some(0));
    for server in &mut servers {
        assert_eq!(server.pull(HISTORY).len(), 16);
        eventually("that it is stale", || (!server.is_ready()).then_some(()));
        assert_eq!(server.pull(HISTORY).len(), 16);
    }
}

/// All sockets of the process are known to the machine's list of local ones.
fn assert_no_network(pid: u32) {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let targets = fds.filter_map(|fd| fs::read_link(fd.expect("listed").path()).ok());
    let inode =
        |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned);
    let sockets: Vec<_> = targets.filter_map(|target| inode(&target.to_string_lossy())).collect();
    let local = fs::read_to_string("/proc/net/unix").expect("this is Linux");
    let local: HashSet<_> =
        local.lines().filter_map(|line| line.split_whitespace().nth(6)).collect();
    for socket in sockets {
        assert!(local.contains(&*socket), "socket {socket} is not a local one");
    }
}

#[test]
fn second_recorder_is_refused_and_told_who_has_the_ring() {
    let place = Place::new();
    let first = place.start("record --interval 100ms");
    place.snapshot();
    for second in ["record", "run --listen 127.0.0.1:0"] {
        place.ask(second).assert_refused(&["another writer", &format!("process {}", first.pid())]);
    }
    let seq = place.snapshot()["seq"].as_u64().expect("a number");
    place.snapshot_from(seq + 2);
    first.end();
    place.assert_closed_and_clean();
}

#[test]
fn address_that_is_taken_is_named_before_the_ring_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let place = Place::new();
    let command = format!("run --listen {address}");
    place.ask(&command).assert_refused(&[&address]);
    assert!(!place.run_dir().exists());

    let recorder = place.start("record --interval 100ms");
    let seq = place.snapshot()["seq"].as_u64().expect("a number");
    place.ask(&command).assert_refused(&[&address]);
    place.snapshot_from(seq + 2);
    assert_eq!(place.snapshot()["epoch"], 1);
    recorder.end();
    place.assert_closed_and_clean();
}

#[test]
fn recorder_that_was_killed_goes_on_in_the_ring_that_its_readers_have() {
    let place = Place::new();
    let command = "run --interval 1ms --depth 5min --listen 127.0.0.1:0";
    let run = place.start(command);
    place.snapshot_from(100);
    let tail = place.start("tail --json");
    eventually("a line of the tail", || (!tail.out().is_empty()).then_some(()));
    let mut newest = 0;
    let mut run = Some(run);
    for epoch in 2..5 {
        run.take().expect("one runs").kill();
        let inspect = place.ask("inspect");
        assert_eq!(inspect.code, Some(0), "{inspect:?}");
        assert!(inspect.out.contains("\nwriter     dead,"), "{inspect:?}");
        let dead = place.snapshot()["seq"].as_u64().expect("a number");
        assert!(dead > newest, "sequences go on");
        newest = dead;

        run = Some(place.start(command));
        let record = place.snapshot_from(newest + 50);
        assert_eq!(record["epoch"], epoch);
        let records = place.inspect("records");
        assert!(records.contains("from 1 to") && records.contains("; 0 missing"), "{records}");
        eventually("the tail's account of the restart", || {
            tail.out().lines().any(|line| is_epoch(line, epoch)).then_some(())
        });
    }
    run.expect("one runs").end();
    place.assert_closed_and_clean();
}

/// A tail looked at each record by itself, and so told of no gap, ever.
fn is_epoch(line: &str, epoch: u64) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["gap"] == "epoch" && line["count"] == epoch
}

#[test]
fn changed_interval_keeps_the_history_in_a_new_file() {
    let place = Place::new();
    let recorder = place.start("record --interval 50ms");
    let before = place.snapshot_from(5)["seq"].as_u64().expect("a number");
    let mut server = place.start("serve --listen 127.0.0.1:0");
    server.full_pull();
    assert!(recorder.end().err.contains("recording"));
    let old_file = fs::metadata(place.ring()).expect("it is there");

    let recorder = place.start("record --interval 100ms --depth 10min");
    let after = place.snapshot_from(before + 3);
    assert_eq!(after["epoch"], 2);
    assert!(recorder.err().contains("of the former file"), "{}", recorder.err());
    assert_eq!(recorder.err().matches(" INFO ").count(), 1, "{}", recorder.err());
    use std::os::unix::fs::MetadataExt as _;
    assert_ne!(fs::metadata(place.ring()).expect("it is there").ino(), old_file.ino());
    let records = place.inspect("records");
    assert!(records.contains("from 1 to") && records.contains("; 0 missing"), "{records}");
    assert!(place.inspect("interval").ends_with("100ms"));
    eventually("that the server follows", || server.is_ready().then_some(()));
    assert_eq!(server.pull(HISTORY).len(), 16);
    recorder.end();
    place.assert_closed_and_clean();
}

#[test]
fn stopped_recorder_is_hung_and_its_missed_ticks_are_counted() {
    let place = Place::new();
    let mut run = place.start("run --interval 100ms --listen 127.0.0.1:0");
    place.snapshot_from(3);
    let tail = place.start("tail");
    eventually("a line of the tail", || (!tail.out().is_empty()).then_some(()));
    run.signal(Signal::STOP);
    eventually("that it hangs", || place.inspect("writer").contains(" hung,").then_some(()));
    let mut server = place.start("serve --listen 127.0.0.1:0");
    eventually("that it is stale", || (!server.is_ready()).then_some(()));
    run.signal(Signal::CONT);

    let missed = eventually("the gap in the tail", || {
        let out = tail.out();
        let gaps = out.lines().filter_map(|line| line.strip_prefix("-- the recorder missed "));
        gaps.filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).max()
    });
    assert!(missed >= 5, "{missed}: it was stopped for more than a second");
    let own = &place.snapshot()["values"]["tachograph"];
    assert!(own["ticks_missed"].as_u64().is_some_and(|counted| counted >= missed), "{own}");
    eventually("readiness", || (server.is_ready() && run.is_ready()).then_some(()));
    assert!(place.inspect("writer").contains(" live,"));
    run.end();
    place.assert_closed_and_clean();
}

/// The recorder's stderr had been closed, as when the collector of the logs is restarted. At its
/// next warning it panicked: the failure to log was told to stderr as well.
#[test]
fn recorder_goes_on_when_nobody_reads_its_log() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = place.command("record --interval 50ms --procfs /nonexistent");
    let mut recorder = support::Program::start_as_it_is(command.stderr(writer));
    place.snapshot_from(5);
    assert!(recorder.is_running());
    assert_eq!(recorder.end().code, Some(0));
    place.assert_closed_and_clean();
}

/// A server that could not say where it listens ended at once, with exit code 0.
#[test]
fn server_goes_on_when_nobody_reads_its_address() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = place.command("run --interval 50ms --listen 127.0.0.1:0");
    let mut run = support::Program::start_as_it_is(
        command.stdout(writer).stderr(std::process::Stdio::piped()),
    );
    place.snapshot_from(5);
    assert!(run.is_running());
    eventually("a warning", || run.err().contains(" WARN cannot say on stdout").then_some(()));
    assert_eq!(run.end().code, Some(0));
    place.assert_closed_and_clean();
}
