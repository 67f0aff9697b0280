//! What is recorded of other hosts' captured trees, of files that turn to garbage, and by which
//! settings.

#[path = "support/program.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Place, Program, ask, eventually, meminfo_bytes, tachograph};

fn hosts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts")
}

/// The program on a captured tree.
fn on_tree(place: &Place, words: &str, tree: &Path) -> Command {
    let mut command = place.command(words);
    for (flag, part) in [("--procfs", "proc"), ("--sysfs", "sys")] {
        command.arg(flag).arg(tree.join(part));
    }
    command
}

/// Bytes received and sent by the interfaces with a device behind them; none without such.
fn traffic(tree: &Path) -> Option<(f64, f64)> {
    let text = fs::read_to_string(tree.join("proc/net/dev")).expect("captured");
    let mut sums = None;
    for (name, numbers) in text.lines().filter_map(|line| line.rsplit_once(':')) {
        if !tree.join("sys/class/net").join(name.trim()).join("device").exists() {
            continue;
        }
        let numbers: Vec<f64> =
            numbers.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let (received, sent) = sums.unwrap_or((0.0, 0.0));
        sums = Some((received + numbers[0], sent + numbers[8]));
    }
    sums
}

/// The first reading: shares of CPU time since the machine started.
fn cpu_shares(tree: &Path) -> (f64, f64) {
    let text = fs::read_to_string(tree.join("proc/stat")).expect("captured");
    let line = text.lines().next().expect("the line of all CPUs");
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(|field| field.parse().expect("ticks"))
        .collect();
    let total: f64 = ticks.iter().sum();
    ((total - ticks[3]) / total, ticks[4] / total)
}

#[test]
fn pull_gives_the_values_of_captured_hosts() {
    let trees = fs::read_dir(hosts()).expect("fixtures").map(|tree| tree.expect("listed").path());
    let mut with_traffic = 0;
    for tree in trees {
        let place = Place::new();
        let mut run =
            Program::start(&mut on_tree(&place, "run --interval 1s --listen 127.0.0.1:0", &tree));
        let points = eventually("points", || {
            Some(run.pull("?history=1")).filter(|points| points.contains_key("mem_total"))
        });
        let first = |metric: &str| points.get(metric).map(|values| values[0]);
        let meminfo = fs::read_to_string(tree.join("proc/meminfo")).expect("captured");
        let bytes = |name| meminfo_bytes(&meminfo, name);
        let used = |total: Option<f64>, free: Option<f64>| Some((total? - free?).max(0.0));
        let mut expected = BTreeMap::from([
            ("mem_total", bytes("MemTotal")),
            ("mem_used", used(bytes("MemTotal"), bytes("MemAvailable"))),
            ("swap_total", bytes("SwapTotal")),
            ("swap_used", used(bytes("SwapTotal"), bytes("SwapFree"))),
            ("net_in", traffic(&tree).map(|sums| sums.0)),
            ("net_out", traffic(&tree).map(|sums| sums.1)),
            ("cpu_current", Some(cpu_shares(&tree).0)),
            ("cpu_iowait", Some(cpu_shares(&tree).1)),
        ]);
        let loadavg = fs::read_to_string(tree.join("proc/loadavg")).expect("captured");
        let loads = loadavg.split(' ').map(|load| load.parse().ok());
        expected.extend(["cpu_avg1", "cpu_avg5", "cpu_avg15"].into_iter().zip(loads));
        for (metric, value) in expected {
            let found = first(metric);
            // A share may be rounded in another order.
            let close = found.zip(value).is_some_and(|(a, b)| (a - b).abs() <= b.abs() * 1e-12);
            assert!(found == value || close, "{metric}: {found:?}, {value:?}; {}", tree.display());
        }
        with_traffic += usize::from(first("net_in").is_some());
        assert_eq!(run.end().code, Some(0));
    }
    assert!(with_traffic > 0, "no fixture has a physical interface");
}

/// A copy of a captured tree that the test may spoil.
fn copy(tree: &Path, to: &Path) {
    fs::create_dir(to).expect("created");
    for entry in fs::read_dir(tree).expect("captured") {
        let from = entry.expect("listed").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

/// Overwrites a file in place, as a whole, without changing its length.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().write(true).open(path).expect("our own");
    file.write_all_at(bytes, 0).expect("written");
}

#[test]
fn garbage_is_absent_counted_and_logged_once() {
    let place = Place::new();
    let tree = place.path().join("tree");
    copy(&hosts().join("vm-2cpu-6.18"), &tree);
    let recorder = Program::start(&mut on_tree(&place, "record --interval 20ms", &tree));
    let value = |record: &Value, metric: &str| record["values"]["host"][metric].clone();
    let own = |record: &Value, metric: &str| record["values"]["tachograph"][metric].as_u64();
    let record = place.snapshot();
    assert!(value(&record, "meminfo_MemTotal_bytes").is_number());
    assert_eq!(own(&record, "source_errors"), own(&record, "sources_failing"), "{record}");
    let failing = own(&record, "sources_failing").expect("a number");
    let told = |what: &str| {
        let (err, file) = (recorder.err(), "meminfo");
        err.lines().filter(|line| line.contains(file) && line.contains(what)).count()
    };

    let path = tree.join("proc/meminfo");
    let sound = fs::read(&path).expect("copied");
    let garbage: Vec<u8> =
        sound.iter().map(|byte| if *byte == b'\n' { b'\n' } else { 0xFF }).collect();
    overwrite(&path, &garbage);
    let spoiled = eventually("errors", || {
        let record = place.snapshot();
        (own(&record, "source_errors").expect("a number") > 20).then_some(record)
    });
    assert!(value(&spoiled, "meminfo_MemTotal_bytes").is_null(), "{spoiled}");
    assert!(value(&spoiled, "load1").is_number(), "others are not touched");
    assert_eq!(own(&spoiled, "sources_failing"), Some(failing + 1));
    // A tick may meet the text half changed, which is another state.
    assert!((1..=3).contains(&told(" WARN source meminfo: ")), "{}", recorder.err());

    overwrite(&path, &sound);
    eventually("that it works again", || (told("works again") == 1).then_some(()));
    let seq = place.snapshot()["seq"].as_u64().expect("a number");
    let record = place.snapshot_from(seq + 2);
    assert_eq!(
        value(&record, "meminfo_MemTotal_bytes").as_f64(),
        meminfo_bytes(&String::from_utf8_lossy(&sound), "MemTotal")
    );
    assert_eq!(own(&record, "sources_failing"), Some(failing));
    assert_eq!(recorder.end().code, Some(0));
    place.assert_closed_and_clean();
}

#[test]
fn host_without_any_file_is_recorded_as_far_as_it_goes() {
    let place = Place::new();
    fs::create_dir(place.path().join("tree")).expect("created");
    let tree = place.path().join("tree");
    let mut run =
        Program::start(&mut on_tree(&place, "run --interval 50ms --listen 127.0.0.1:0", &tree));
    let record = place.snapshot_from(100);
    assert!(record["values"]["tachograph"]["ticks"].as_u64() >= Some(100), "{record}");
    let points = run.pull("?history=1");
    assert!(!points.contains_key("mem_total") && !points.contains_key("cpu_current"), "{points:?}");
    assert!(points.contains_key("disk_total"), "the root file system is there: {points:?}");
    let ended = run.end();
    // Every file is named once, whatever the number of ticks.
    let lines: Vec<_> =
        ended.err.lines().filter(|line| line.contains("cannot be opened")).collect();
    let tree = tree.display().to_string();
    let file =
        |line: &&str| line.split(' ').find(|word| word.starts_with(&tree)).map(str::to_owned);
    let files: BTreeSet<_> = lines.iter().map(|line| file(line).expect("a name")).collect();
    assert_eq!(files.len(), lines.len(), "{ended:?}");
    assert!((7..=20).contains(&lines.len()), "{ended:?}");
}

const EVERY_KEY: &str = r#"
run_dir = "RUN"
log = "warn"
interval = "50ms"
depth = "20s"
procfs = "/proc"
sysfs = "/sys"
rootfs = "/"

[sources]
vmstat = 0
loadavg = 4

[http]
listen = ["127.0.0.1:0", "[::1]:0"]
insecure_listen = false
connections_max = 7
header_timeout = "3s"
idle_timeout = "4s"
write_timeout = "5s"
"#;

#[test]
fn configuration_file_says_all_that_flags_say() {
    let place = Place::new();
    let text = EVERY_KEY.replace("RUN", &place.run_dir().to_string_lossy());
    let text = if std::net::TcpListener::bind("[::1]:0").is_ok() {
        text
    } else {
        text.replace(", \"[::1]:0\"", "")
    };
    let path = place.path().join("tachograph.toml");
    fs::write(&path, &text).expect("written");
    let with = |words: &str| {
        let mut command = tachograph();
        command.arg("--config").arg(&path).args(words.split_whitespace());
        command.env("STATE_DIRECTORY", place.state_dir());
        command
    };

    let checked = Program::start(&mut with("check-config")).ended();
    assert_eq!((checked.code, &*checked.err), (Some(0), ""), "{checked:?}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
        assert!(checked.out.contains(line), "{line} in {checked:?}");
    }
    // What it shows is a file that says the same.
    let shown = place.path().join("shown.toml");
    fs::write(&shown, &checked.out).expect("written");
    let again = ask(["check-config".as_ref(), "--config".as_ref(), shown.as_os_str()]);
    let settings = |out: &str| out.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(settings(&again.out), settings(&checked.out));
    // Flags override it.
    let words = "check-config --interval 2s --source vmstat=4 --listen 127.0.0.1:9 --log debug";
    let flags = Program::start(&mut with(words)).ended();
    for line in ["interval = \"2s\"", "vmstat = 4", "loadavg = 4", "listen = [\"127.0.0.1:9\"]"] {
        assert!(flags.out.contains(line), "{line} in {flags:?}");
    }

    let mut run = Program::start(&mut with("run"));
    run.address();
    let listening = run.out().matches("listening on").count();
    assert_eq!(listening, text.matches(":0\"").count());
    place.snapshot_from(20);
    assert_eq!(run.err(), "", "nothing to warn of");
    assert!(place.inspect("interval").ends_with(" 50ms"));
    // The commands that read find the directory by the same file.
    let tail = Program::start(&mut with("tail --json -n 12")).ended();
    let parsed = tail.out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = parsed.filter(|line: &Value| line["gap"].is_null()).collect();
    let has = |metric: &str| {
        let with_it = records.iter().filter(|record| record["values"]["host"][metric].is_number());
        with_it.count()
    };
    assert_eq!(records.len(), 12, "{tail:?}");
    assert_eq!((has("procs_running"), has("vmstat_pgfault")), (12, 0));
    assert!((1..=9).contains(&has("load1")), "every third has it, not {}", has("load1"));
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_line() {
    let place = Place::new();
    let path = place.path().join("tachograph.toml");
    let file = path.display().to_string();
    for (text, words) in [
        ("interval = \"1s\"\nintervall = \"2s\"\n", &["line 2", "intervall"][..]),
        ("[http]\nport = 8017\n", &["line 2", "port"]),
        ("interval = \"5\"\n", &["line 1", "no duration"]),
        ("interval = \"1us\"\n", &["line 1", "1ms to 60s"]),
        ("interval = 5\n", &["line 1"]),
        ("interval \"5s\"\n", &["line 1"]),
        ("[http]\nlisten = [\"localhost\"]\n", &["line 2", "no address with a port"]),
    ] {
        fs::write(&path, text).expect("written");
        for command in ["check-config", "run", "record", "serve"] {
            let ended = ask([command.as_ref(), "--config".as_ref(), path.as_os_str()]);
            ended.assert_refused(&[&file]);
            for word in words {
                assert!(ended.err.contains(word), "no {word:?}: {ended:?}");
            }
        }
    }
    for (text, words) in [
        ("[sources]\nvmstats = 1\n", &["vmstats", "vmstat,"][..]),
        ("depth = \"1ms\"\n", &["depth", "1ms", "interval"]),
        ("log = \"loud\"\n", &["loud", "error, warn"]),
        ("[http]\nlisten = [\"0.0.0.0:1\"]\n", &["0.0.0.0:1", "--insecure-listen"]),
        ("[http]\nconnections_max = 0\n", &["connections_max"]),
    ] {
        fs::write(&path, text).expect("written");
        ask(["run".as_ref(), "--config".as_ref(), path.as_os_str()]).assert_refused(words);
    }
    let missing = place.path().join("missing.toml");
    let ended = ask(["run".as_ref(), "--config".as_ref(), missing.as_os_str()]);
    ended.assert_refused(&[&missing.to_string_lossy(), "No such file"]);
}
