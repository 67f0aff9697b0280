//! What happened is saved, carried elsewhere, and read there: as a table, as rows, over HTTP.

#[path = "support/program.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;
use support::{Place, Program, ask, eventually, points};
use tachograph::ring::{Ring, Words, open_untrusted};

/// A place with a recording that has ended, and what was saved of it, carried elsewhere.
fn saved() -> (Place, Place, PathBuf) {
    let place = Place::new();
    let program = place.start("record --interval 10ms --source vmstat=3");
    place.snapshot_from(60);
    let output = place.path().join("all.ring");
    let ended = place.ask(&format!("save {}", output.display()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("saved ") && ended.err.contains(" series"), "{ended:?}");
    assert_eq!(program.end().code, Some(0));
    let elsewhere = Place::new();
    let carried = elsewhere.path().join("incident.ring");
    fs::copy(&output, &carried).expect("room");
    // Whoever could change it could not hurt who reads it.
    fs::set_permissions(&carried, fs::Permissions::from_mode(0o666)).expect("our own file");
    (place, elsewhere, carried)
}

fn path_words(words: &str, file: &std::path::Path) -> Vec<String> {
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.push("--file".into());
    words.push(file.display().to_string());
    words
}

/// Every value of the ring: (seq, object, metric) and the value's text as JSON has it.
fn content<W: Words>(ring: &Ring<W>) -> BTreeMap<(u64, String, String), Value> {
    let directory = ring.directory();
    let (oldest, head) = ring.bounds().expect("records");
    let mut content = BTreeMap::new();
    for seq in oldest..=head {
        for entry in directory.iter().filter(|entry| entry.covers(seq)) {
            let word = ring.read(seq, |view| view.word(entry.column)).expect("all are there");
            let Some(value) = tachograph::ring::Value::of(word, &entry.series) else { continue };
            let value = match value {
                tachograph::ring::Value::U64(value) => Value::from(value),
                tachograph::ring::Value::F64(value) => Value::from(value),
            };
            let key = (seq, entry.series.object.to_string(), entry.series.metric.to_string());
            assert_eq!(content.insert(key, value), None);
        }
    }
    content
}

/// The cells of a line of CSV, read by the letter.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().expect("never empty");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}

#[test]
fn every_format_has_every_value_that_was_saved() {
    let (_place, _elsewhere, file) = saved();
    let (ring, _) = open_untrusted(&file).expect("it was saved");
    let wanted = content(&ring);
    assert!(wanted.len() > 10_000, "{}", wanted.len());
    let export = |format: &str| {
        let ended = ask(path_words(&format!("export --format {format}"), &file));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    };
    let of_json = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        let seq = row["seq"].as_u64().expect("a number");
        assert_eq!(row["lane"], "incident");
        ((seq, text("object"), text("metric")), row["value"].clone())
    };
    let is_value = |row: &&Value| row.get("gap").is_none();
    let json: Value = serde_json::from_str(&export("json")).expect("JSON");
    let rows = json["rows"].as_array().expect("a list");
    assert!(rows.iter().filter(is_value).map(of_json).eq(sorted(rows, of_json)), "in order");
    assert_eq!(rows.iter().filter(is_value).map(of_json).collect::<BTreeMap<_, _>>(), wanted);
    let lines: Vec<Value> =
        export("ndjson").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(&lines, rows);
    let csv = export("csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("time,seq,lane,object,metric,unit,value"));
    let rows: BTreeMap<_, _> = lines
        .map(cells)
        .filter(|cells| cells[4] != "gap")
        .map(|cells| {
            assert_eq!(cells.len(), 7, "{cells:?}");
            let value = serde_json::from_str(&cells[6]).expect("a number");
            ((cells[1].parse().expect("a number"), cells[3].clone(), cells[4].clone()), value)
        })
        .collect();
    assert_eq!(rows, wanted);
}

/// The rows of `export --step`, by the name of their series; gaps left out.
fn steps(words: &str, file: &std::path::Path) -> BTreeMap<(String, String), Vec<Vec<String>>> {
    let ended = ask(path_words(&format!("export {words}"), file));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut lines = ended.out.lines();
    let heading =
        "time,lane,object,metric,unit,count,min,max,mean,last,increase,rate,covered_s,resets";
    assert_eq!(lines.next(), Some(heading));
    let mut steps: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for cells in lines.map(cells) {
        assert_eq!(cells.len(), heading.split(',').count(), "{cells:?}");
        if cells[3] != "gap" {
            steps.entry((cells[2].clone(), cells[3].clone())).or_default().push(cells);
        }
    }
    steps
}

#[test]
fn steps_add_up_to_what_was_counted() {
    let (_place, _elsewhere, file) = saved();
    let (ring, _) = open_untrusted(&file).expect("it was saved");
    let (oldest, head) = ring.bounds().expect("records");
    let steps = steps("--step 100ms", &file);
    let mut counters = 0;
    for entry in ring.directory().iter() {
        let value = |seq| {
            let word = ring.read(seq, |view| view.word(entry.column)).expect("all are there");
            tachograph::ring::Value::of(word, &entry.series)
        };
        let values: Vec<_> =
            (oldest..=head).filter(|seq| entry.covers(*seq)).filter_map(value).collect();
        let name = (entry.series.object.to_string(), entry.series.metric.to_string());
        let Some(rows) = steps.get(&name) else {
            assert_eq!(values, [], "{name:?}");
            continue;
        };
        let number =
            |cell: &String| if cell.is_empty() { 0.0 } else { cell.parse().expect("a number") };
        let sum = |column: usize| rows.iter().map(|cells| number(&cells[column])).sum::<f64>();
        let gauge = entry.series.kind == tachograph::record::Kind::Gauge;
        let counted = if gauge { values.len() } else { values.len() - 1 };
        assert!(sum(5) == counted as f64 || !gauge && sum(13) > 0.0, "{name:?}");
        let ends: Vec<_> = rows.iter().map(|cells| &cells[0]).collect();
        assert!(ends.is_sorted() && ends.iter().all(|end| end.ends_with("00000Z")), "{ends:?}");
        if gauge {
            let (mean, min, max) = (number(&rows[0][8]), number(&rows[0][6]), number(&rows[0][7]));
            // The mean is rounded, to one part in 2^53.
            assert!(min <= mean * 1.000_001 && mean <= max * 1.000_001, "{:?}", rows[0]);
            assert!(rows[0][10..].iter().all(String::is_empty), "{:?}", rows[0]);
        } else if sum(13) == 0.0 && entry.series.repr == tachograph::record::Repr::U64 {
            counters += 1;
            let increase = values[values.len() - 1].as_f64() - values[0].as_f64();
            // CPU time is corrected downwards now and then, which is no increase.
            let corrected = entry.series.unit == tachograph::record::Unit::Ticks;
            assert!(sum(10) == increase || corrected && sum(10) >= increase, "{name:?}");
        }
    }
    assert!(counters > 20, "{counters} counters");
    let ticks = ("tachograph".to_owned(), "ticks".to_owned());
    let rate: f64 = steps[&ticks][1][11].parse().expect("a number");
    assert!(rate > 0.0 && rate < 150.0, "{rate} ticks a second, of 100");
}

/// The values of `rows` by sequence, in each record in the order in which they stand.
fn sorted<T>(
    rows: &[Value],
    of_json: impl Fn(&Value) -> ((u64, String, String), T),
) -> impl Iterator<Item = ((u64, String, String), T)> {
    let mut values: Vec<_> =
        rows.iter().filter(|row| row.get("gap").is_none()).map(of_json).collect();
    values.sort_by_key(|((seq, ..), _)| *seq);
    values.into_iter()
}

#[test]
fn saved_file_is_shown_inspected_and_served_as_the_ring_was() {
    let (place, _elsewhere, file) = saved();
    let shown = ask(path_words("snapshot --json", &file));
    let snapshot: Value = serde_json::from_str(&shown.out).expect("JSON");
    let seq = snapshot["seq"].as_u64().expect("a number");
    assert!(seq >= 60, "{seq}");
    let table = ask(path_words("snapshot", &file));
    assert!(table.out.contains("\nrecorder  saved,"), "{table:?}");
    let inspected = ask(["inspect", &file.display().to_string()]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    assert!(inspected.out.contains("\nwriter     closed,"), "{inspected:?}");

    let mut command = support::tachograph();
    command.args(path_words("serve --listen 127.0.0.1:0", &file));
    let mut server = Program::start(&mut command);
    assert!(server.is_ready());
    // What is open stays, whatever becomes of the name.
    fs::remove_file(&file).expect("our own file");
    let served = server.full_pull();
    let value = |metric: &str| snapshot["values"]["host"][metric].as_f64().expect("a number");
    let newest = |metric: &str| *served[metric].last().expect("sixteen points");
    assert_eq!(newest("mem_total"), value("meminfo_MemTotal_bytes"));
    assert_eq!(server.end().code, Some(0));
    // As the recorder's own ring says, which has gone on for longer.
    let mut live = place.start("serve --listen 127.0.0.1:0");
    let there: Value =
        serde_json::from_str(live.get("/api2/json/status/metrics?history=1").text()).expect("JSON");
    assert!(points(&there)["mem_total"].contains(&newest("mem_total")));
}

#[test]
fn part_of_a_part_is_saved_and_moments_are_counted_from_the_newest_record() {
    let (_place, elsewhere, file) = saved();
    let part = elsewhere.path().join("part.ring");
    let mut words = path_words("save --from -200ms --to -100ms", &file);
    words.push(part.display().to_string());
    let ended = ask(&words);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let times = |file: &PathBuf| {
        let (ring, _) = open_untrusted(file).expect("it was saved");
        let (first, last) = ring.bounds().expect("records");
        let time = |seq| ring.read(seq, |view| view.realtime_ns()).expect("it is there");
        (time(first), time(last))
    };
    let ((_, newest), (first, last)) = (times(&file), times(&part));
    assert!(first >= newest - 200_000_000 && last <= newest - 100_000_000);
    ask(&words).assert_refused(&["part.ring", "--force"]);
    words.push("--force".into());
    assert_eq!(ask(&words).code, Some(0));
    let ended = ask(path_words("export --from -50ms --match host/load1", &part));
    let rows = ended.out.lines().skip(1).count();
    assert!((1..=6).contains(&rows), "{ended:?}");
}

#[test]
fn what_cannot_be_exported_or_saved_is_said_in_a_line() {
    let (place, elsewhere, file) = saved();
    let refused = |words: &str, says: &[&str]| ask(path_words(words, &file)).assert_refused(says);
    refused("export --match host/nothing", &["host/nothing"]);
    refused("export --match host/[", &["host/["]);
    refused("export --from now --to -1h", &["--from", "--to"]);
    refused("export --from 2000-01-01T00:00:00Z --to 2000-01-01T00:00:01Z", &["no record"]);
    let nowhere = elsewhere.path().join("no/such/place");
    refused(&format!("save {}", nowhere.display()), &["no/such/place"]);
    refused(&format!("save {} --from 1 --to 2", nowhere.display()), &["no such record"]);
    place.ask("export --lane other").assert_refused(&["other.ring"]);
    fs::write(&file, "no ring").expect("our own file");
    for words in ["export", "snapshot", "serve --listen 127.0.0.1:0", "save x"] {
        refused(words, &["incident.ring", "not a ring"]);
    }
    let empty = Place::new();
    empty.ask("export").assert_refused(&["there is no ring"]);
}

#[test]
fn live_ring_is_exported_with_its_gaps() {
    let place = Place::new();
    let first = place.start("record --interval 10ms");
    place.snapshot_from(5);
    assert_eq!(first.kill().signal, Some(9));
    let second = place.start("record --interval 10ms");
    eventually("the second epoch", || (place.snapshot()["epoch"] == 2).then_some(()));
    let ended = place.ask("export --from -1h --match tachograph/ticks --format ndjson");
    assert_eq!(second.end().code, Some(0));
    let rows: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let epoch = rows.iter().position(|row| row["gap"] == "epoch").expect("told");
    assert_eq!(rows[epoch]["count"], 2);
    let ticks = |row: &Value| row["value"].as_u64();
    let before = rows[..epoch].iter().rev().find_map(ticks).expect("a tick");
    assert_eq!(rows[epoch..].iter().find_map(ticks), Some(1), "after {before}");
    assert_eq!(rows[epoch]["seq"], rows[epoch + 1]["seq"]);
}
