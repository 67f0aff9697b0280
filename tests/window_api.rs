//! `/api/v1/window` gives what the ring holds, in every form, in pages and while it is overwritten.
//!
//! The oracle copies each record and asks the whole directory about it.

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/http.rs"]
mod support;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use recorded::Recorded;
use serde_json::{Map, Value as Json, json};
use support::Running;
use tachograph::http::query::{self, WindowParameters};
use tachograph::http::{
    Counters, Limits, PART_BYTES, Part, Pull, RingVitals, Rings, Settings, Vitals,
};
use tachograph::record::{Record, word_of_f64};
use tachograph::ring::{Reader, Value};

const S: u64 = 1_000_000_000;
const BEGIN_S: u64 = 1_795_000_000;
const SERIES: &[(&str, &str)] = &[
    ("host", "load1"),
    ("host", "tasks"),
    ("host", "forks"),
    ("nic/eth0", "receive_bytes"),
    ("nic/eth1", "receive_bytes"),
];

/// Record `index` at second `index`; every fifth lacks a value, and the load goes up and down.
fn publish(ring: &mut Recorded, index: u64) {
    ring.set("host", "load1", word_of_f64((index * 37 % 101) as f64 / 8.0));
    ring.set("host", "tasks", if index % 5 == 4 { u64::MAX } else { 100 + index * 7 % 31 });
    ring.set("host", "forks", 1000 + 3 * index);
    ring.set("nic/eth0", "receive_bytes", index << 40);
    ring.set("nic/eth1", "receive_bytes", u64::MAX - 1 - index);
    let missed = if index % 100 == 50 { 2 } else { 0 };
    ring.publish((BEGIN_S + index) * S + 123_456, (1 + index) * S, missed, false);
}

fn recorded(depth: u64, records: u64) -> Recorded {
    let mut ring = Recorded::new(depth, Duration::from_secs(1), SERIES);
    (0..records).for_each(|index| publish(&mut ring, index));
    ring
}

fn vitals(dir: &Path) -> RingVitals {
    let rings = Rings::of(vec![dir.to_owned()], Rc::<Counters>::default());
    RingVitals::at(&dir.join("host.ring")).with_rings(rings)
}

fn serve(ring: &Recorded, limits: Limits) -> Running {
    let dir = ring.scratch.path().to_owned();
    Running::serving(move |_| Rc::new(vitals(&dir)), Settings { limits, ..Settings::default() })
}

fn time(ns: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(ns.into()).expect("a moment");
    format!("{stamp:.6}")
}

fn number(value: Value) -> Json {
    match value {
        Value::U64(value) => json!(value),
        Value::F64(value) => json!(value),
    }
}

/// The rows that the records `range` give, as JSON has them.
fn oracle(ring: &Recorded, range: std::ops::RangeInclusive<u64>) -> Vec<Json> {
    let reader = Reader::open(&ring.scratch.path().join("host.ring")).expect("a ring");
    let directory = reader.ring().directory();
    let (mut rows, mut record) = (Vec::new(), Record::default());
    for seq in range.clone() {
        reader.ring().read_into(seq, &mut record).expect("it is there");
        let time = time(record.header.realtime_ns);
        if record.header.missed_ticks > 0 && seq > *range.start() {
            rows.push(
                json!({"time": time, "seq": seq, "lane": "host", "gap": "missed", "count": 2}),
            );
        }
        for entry in directory.iter().filter(|entry| entry.covers(seq)) {
            let series = &entry.series;
            let Some(value) = Value::of(record.words()[entry.column], series) else { continue };
            rows.push(json!({
                "time": time, "seq": seq, "lane": "host", "object": series.object,
                "metric": series.metric, "unit": series.unit.as_str(), "value": number(value),
            }));
        }
    }
    rows
}

fn rows(body: &str) -> Vec<Json> {
    let whole: Json = serde_json::from_str(body).expect("JSON");
    whole["rows"].as_array().expect("rows").clone()
}

/// Rows of CSV as those of JSON: numbers are numbers, and what is empty is left out.
fn of_csv(text: &str) -> Vec<Json> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().expect("a heading").split(',').collect();
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        assert_eq!(cells.len(), names.len(), "{line}");
        let mut row = Map::new();
        for (name, cell) in names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            let is_text = ["time", "lane", "object", "metric", "unit"].contains(name);
            let number = if is_text { None } else { serde_json::from_str::<Json>(cell).ok() };
            row.insert((*name).to_owned(), number.unwrap_or_else(|| json!(cell)));
        }
        if row["metric"] == "gap" {
            let reason = row.remove("unit").expect("why");
            let count = row.remove("value").or_else(|| row.remove("count")).expect("how many");
            row.remove("metric");
            row.extend([("gap".to_owned(), reason), ("count".to_owned(), count)]);
        }
        Json::Object(row)
    };
    lines.map(row).collect()
}

/// All parts of an answer, each of bounded size; `between` runs after each but the last.
fn parts(mut pull: Box<dyn Pull>, mut between: impl FnMut(usize)) -> String {
    let (mut whole, mut count) = (Vec::new(), 0);
    loop {
        let mut out = Vec::new();
        let part = pull.part(&mut out);
        assert!(out.len() <= PART_BYTES + 4096, "a part of {} bytes", out.len());
        assert!(!out.is_empty() && part != Part::Broken);
        whole.extend(out);
        count += 1;
        if part == Part::Last {
            return String::from_utf8(whole).expect("UTF-8");
        }
        between(count);
    }
}

fn window(ring: &Recorded, query: &str) -> Box<dyn Pull> {
    let wanted: WindowParameters = query::parse(query).expect("sound");
    vitals(ring.scratch.path()).window(wanted, u64::MAX).expect("a window")
}

#[test]
fn every_format_of_rows_has_every_value_of_the_ring() {
    let ring = recorded(1000, 700);
    let server = serve(&ring, Limits::default());
    let from = BEGIN_S + 10;
    let target = |rest: &str| format!("/api/v1/window?from={from}&{rest}");
    let expected = oracle(&ring, 11..=700);
    let json = server.get(&target("to=1795999999"));
    assert_eq!((json.status, json.header("content-type")), (200, Some("application/json")));
    assert!(json.body.len() > 4 * PART_BYTES);
    assert_eq!(rows(json.text()), expected);
    let ndjson = server.get(&target("to=now&format=ndjson"));
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Json> =
        ndjson.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, expected);
    let csv = server.get(&target("format=csv"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(of_csv(csv.text()), expected);
    // Milliseconds as Grafana has them, a pattern, and the end of the window.
    let some = server.get(&format!(
        "/api/v1/window?from={}000&to={}999&match=nic%2F*%2Freceive_bytes&ring=host",
        BEGIN_S + 20,
        BEGIN_S + 22
    ));
    let of_nics = |row: &&Json| row["object"].as_str().is_some_and(|id| id.starts_with("nic/"));
    let nics: Vec<_> = oracle(&ring, 21..=23).iter().filter(of_nics).cloned().collect();
    assert_eq!((nics.len(), rows(some.text())), (6, nics));
    server.stop();
}

#[test]
fn requests_for_what_is_not_there_are_answered_by_name() {
    let ring = recorded(100, 50);
    let limits = Limits { points_max: 200, ..Limits::default() };
    let server = serve(&ring, limits);
    let nothing = json!({"rows": [], "next": null});
    for (query, status, told) in [
        // Where there is nothing, that is the answer.
        ("from=-5m", 200, ""),
        ("from=1999999999&to=2000000000", 200, ""),
        ("from=0&match=no/such*", 200, ""),
        ("since_seq=50", 200, ""),
        ("since_seq=18446744073709551615", 200, ""),
        ("from=1795000010&to=1795000009", 400, "from"),
        ("from=now&to=-1h", 400, "from"),
        ("from=yesterday", 400, "from"),
        ("step=1", 400, "step"),
        ("agg=median", 400, "agg"),
        ("format=xml", 400, "format"),
        ("limit=0", 400, "limit"),
        ("next=0", 400, "next"),
        ("object=host", 400, "object"),
        ("since_seq=1&ring=host&ring=fast", 400, "since_seq"),
        ("ring=fast", 404, "fast"),
        ("from=0", 413, "200"),
        ("from=0&limit=100000", 200, "load1"),
        ("from=0&step=10s", 200, "load1"),
        ("next=00000000000000000000000000000001.1.0.0.9", 410, "next"),
    ] {
        let reply = server.get(&format!("/api/v1/window?{query}"));
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
        let body: Json = serde_json::from_str(reply.text()).expect("JSON");
        assert!(reply.text().contains(told), "{query}: {body}");
        if told.is_empty() {
            assert_eq!(body, nothing, "{query}");
        } else if status == 400 {
            assert!(body["parameters"][told].is_string(), "{query}: {body}");
        }
    }
    assert_eq!(server.stop().counters["windows_too_large"], 1);
}

/// The rows of all pages, each of which has no more than it may.
fn pages(server: &Running, query: &str, limit: usize) -> Vec<Json> {
    let (mut all, mut next) = (Vec::new(), String::new());
    for _ in 0..10_000 {
        let reply = server.get(&format!("/api/v1/window?{query}&limit={limit}{next}"));
        let body: Json = serde_json::from_str(reply.text()).expect("JSON");
        let page = body["rows"].as_array().unwrap_or_else(|| panic!("{body}"));
        assert!(page.iter().filter(|row| row.get("gap").is_none()).count() <= limit);
        all.extend(page.iter().cloned());
        match body["next"].as_str() {
            Some(cursor) => next = format!("&next={cursor}"),
            None => return all,
        }
    }
    panic!("the pages of {query} do not end");
}

#[test]
fn pages_one_after_the_other_are_the_whole_window() {
    let ring = recorded(200, 120);
    let server = serve(&ring, Limits::default());
    for query in
        ["from=0", "from=1795000045&match=host/*", "from=0&step=7s", "from=0&step=10s&agg=p50,rate"]
    {
        let whole = rows(server.get(&format!("/api/v1/window?{query}")).text());
        assert!(whole.len() > 30, "{query}");
        for limit in [1, 2, 3, 5, 64, 100_000] {
            assert!(pages(&server, query, limit) == whole, "{query} by {limit}");
        }
    }
    // Each format says where it goes on, and goes on there.
    let first = server.get("/api/v1/window?from=0&to=2000000000&limit=3&format=ndjson");
    let last: Json = serde_json::from_str(first.text().lines().last().expect("a line")).unwrap();
    let next = last["next"].as_str().expect("more");
    let csv = server.get("/api/v1/window?from=0&to=2000000000&limit=3&format=csv");
    let row = csv.text().lines().last().expect("a row").to_owned();
    assert_eq!(row, format!(",,,,next,,{next}"));
    let steps = server.get("/api/v1/window?from=0&to=2000000000&limit=3&format=csv&step=10s");
    let commas = |line: &str| line.matches(',').count();
    let mut lines = steps.text().lines();
    let (heading, last) = (lines.next().expect("one"), lines.next_back().expect("one"));
    assert!(last.contains("next") && commas(last) == commas(heading), "{last}");
    let second = server.get(&format!("/api/v1/window?limit=3&next={next}"));
    assert_eq!(rows(second.text()), oracle(&ring, 1..=120)[3..6]);
    server.stop();
}

#[test]
fn records_after_a_sequence_are_given_and_what_is_gone_of_them_is_told() {
    let ring = recorded(16, 100);
    let server = serve(&ring, Limits::default());
    let get = |query: &str| rows(server.get(&format!("/api/v1/window?{query}")).text());
    assert_eq!(get("since_seq=97"), oracle(&ring, 98..=100));
    let all = get("since_seq=3&match=host/load1");
    let held: Vec<_> = all.iter().filter(|row| row.get("gap").is_none()).collect();
    let oldest = held[0]["seq"].as_u64().expect("a sequence");
    assert_eq!(all[0]["gap"], "overrun");
    assert_eq!(all[0]["count"], oldest - 4);
    assert_eq!(held.len() as u64, 101 - oldest);
    let steps = get("since_seq=3&step=1h&match=host/load1");
    assert_eq!((&steps[0]["gap"], &steps[0]["count"]), (&all[0]["gap"], &all[0]["count"]));
    server.stop();
}

#[test]
fn what_is_overwritten_while_a_window_is_read_is_told_as_overrun() {
    let mut ring = recorded(1024, 1000);
    for query in ["from=0", "from=0&format=ndjson", "from=0&format=csv"] {
        let pull = window(&ring, query);
        let head = {
            let reader = Reader::open(&ring.scratch.path().join("host.ring")).expect("a ring");
            reader.ring().head()
        };
        let text = parts(pull, |count| {
            if count == 1 {
                (head..head + 700).for_each(|index| publish(&mut ring, index));
            }
        });
        let rows = match query {
            "from=0" => rows(&text),
            "from=0&format=csv" => of_csv(&text),
            _ => text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        };
        let lost: u64 = rows
            .iter()
            .filter(|row| row["gap"] == "overrun")
            .map(|row| row["count"].as_u64().expect("a count"))
            .sum();
        let mut seen: Vec<_> = rows
            .iter()
            .filter(|row| row.get("gap").is_none())
            .map(|row| row["seq"].as_u64().expect("a sequence"))
            .collect();
        seen.dedup();
        let expected = head - seen[0] + 1;
        // A record of which the first rows had been sent counts as seen and as lost.
        let told = seen.len() as u64 + lost;
        assert!((expected..=expected + 1).contains(&told), "{query}: {told} of {expected}");
        assert!(lost > 400, "{query}: {lost}");
        assert_eq!(*seen.last().expect("some"), head);
    }
}

#[test]
fn aggregations_are_those_of_the_values_in_the_step() {
    let ring = recorded(300, 200);
    let server = serve(&ring, Limits::default());
    let get = |query: &str| rows(server.get(&format!("/api/v1/window?from=0&{query}")).text());
    let raw = oracle(&ring, 1..=200);
    let agg = "agg=avg,min,max,last,sum,p1,p50,p95,p99";
    let steps = get(&format!("step=20s&match=host/tasks&{agg}"));
    let steps: Vec<_> = steps.iter().filter(|row| row.get("gap").is_none()).collect();
    assert!(steps.len() >= 10);
    for step in steps {
        let end = step["time"].as_str().expect("a time");
        let end: jiff::Timestamp = end.parse().expect("a time");
        let within = |row: &&Json| {
            let time: jiff::Timestamp = row["time"].as_str().unwrap().parse().unwrap();
            row["metric"] == "tasks"
                && time <= end
                && time > end - jiff::SignedDuration::from_secs(20)
        };
        let values: Vec<u64> =
            raw.iter().filter(within).map(|row| row["value"].as_u64().unwrap()).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let sum: u64 = values.iter().sum();
        // The least value that so many per cent of all do not exceed.
        let percentile = |percent: usize| {
            *sorted
                .iter()
                .find(|value| {
                    let least = sorted.iter().filter(|other| other <= value).count();
                    least * 100 >= percent * sorted.len()
                })
                .expect("a value")
        };
        let expected = json!({
            "time": step["time"], "lane": "host", "object": "host", "metric": "tasks",
            "unit": "count", "count": values.len(), "avg": sum as f64 / values.len() as f64,
            "min": sorted[0], "max": sorted.last(), "last": values.last(), "sum": sum,
            "p1": percentile(1), "p50": percentile(50), "p95": percentile(95),
            "p99": percentile(99),
        });
        assert_eq!(*step, expected);
    }
    // What does not apply to a kind of series is not there, and a series of which nothing is left
    // has no row.
    let rates = get("step=1min&agg=rate,increase,max");
    let cells = |metric: &str| {
        let row = rates.iter().find(|row| row["metric"] == metric).expect("a row");
        ["rate", "increase", "max"].map(|name| row.get(name).is_some())
    };
    assert_eq!((cells("load1"), cells("forks")), ([false, false, true], [true, true, false]));
    let rates = get("step=1min&agg=rate");
    assert!(rates.iter().all(|row| row["metric"] != "load1"));
    assert!(rates.iter().any(|row| row["rate"] == 3.0));
    // Without a step there is one value for the whole window.
    let whole = get("agg=max,increase&match=host/*");
    let whole: Vec<_> = whole.iter().filter(|row| row.get("gap").is_none()).collect();
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[2]["increase"], 3 * 199);
    server.stop();
}

/// Rows as columns have them: by series and, of steps, by what is told of them.
fn transposed(rows: &[Json], cells: &[&str]) -> Vec<(Json, Json, Json, Json, Json)> {
    let values = rows.iter().filter(|row| row.get("gap").is_none());
    let of = |row: &Json, cell: &str| {
        let value = row.get(cell)?.clone();
        let name = |name: &str| row[name].clone();
        Some((name("time"), name("object"), name("metric"), json!(cell), value))
    };
    let mut all: Vec<_> =
        values.flat_map(|row| cells.iter().filter_map(move |cell| of(row, cell))).collect();
    all.sort_by_key(|value| format!("{value:?}"));
    all
}

/// Columns as the values that they hold, each with its time, series and what is told of it.
fn of_columns(lane: &Json) -> Vec<(Json, Json, Json, Json, Json)> {
    let times = lane["time"].as_array().expect("times");
    assert_eq!(lane["seq"].as_array().expect("sequences").len(), times.len());
    let mut all = Vec::new();
    for column in lane["columns"].as_array().expect("columns") {
        let values = column["values"].as_array().expect("values");
        assert_eq!(values.len(), times.len());
        for (time_ms, value) in times.iter().zip(values).filter(|(_, value)| !value.is_null()) {
            let stamp = jiff::Timestamp::from_millisecond(time_ms.as_i64().expect("a time"));
            let time = json!(format!("{:.3}", stamp.expect("a moment")));
            let cell = column.get("agg").cloned().unwrap_or_else(|| json!("value"));
            let name = |name: &str| column[name].clone();
            all.push((time, name("object"), name("metric"), cell, value.clone()));
        }
    }
    all.sort_by_key(|value| format!("{value:?}"));
    all
}

/// The times of rows to the millisecond, as columns have them.
fn to_the_millisecond(
    mut values: Vec<(Json, Json, Json, Json, Json)>,
) -> Vec<(Json, Json, Json, Json, Json)> {
    for (time, ..) in &mut values {
        let text = time.as_str().expect("a time");
        *time = json!(format!("{}Z", &text[..23]));
    }
    values.sort_by_key(|value| format!("{value:?}"));
    values
}

#[test]
fn columns_hold_what_rows_do() {
    let ring = recorded(1000, 700);
    let server = serve(&ring, Limits::default());
    let get = |query: &str| {
        let reply = server.get(&format!("/api/v1/window?to=2000000000&{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_str::<Json>(reply.text()).expect("JSON")
    };
    let body = get("from=0&format=columns");
    let [lane] = &body["lanes"].as_array().expect("lanes")[..] else { panic!("one lane") };
    assert_eq!((&lane["lane"], &body["next"]), (&json!("host"), &Json::Null));
    assert_eq!(lane["seq"], json!((1..=700).collect::<Vec<_>>()));
    assert_eq!(lane["columns"].as_array().expect("columns").len(), SERIES.len());
    let expected = oracle(&ring, 1..=700);
    assert!(of_columns(lane) == to_the_millisecond(transposed(&expected, &["value"])));
    let gaps = expected.iter().filter(|row| row.get("gap").is_some());
    let gaps: Vec<_> =
        gaps.map(|row| (row["seq"].clone(), row["gap"].clone(), row["count"].clone())).collect();
    let told = lane["gaps"].as_array().expect("gaps").iter();
    let told: Vec<_> =
        told.map(|gap| (gap["seq"].clone(), gap["gap"].clone(), gap["count"].clone())).collect();
    assert_eq!(told, gaps);
    let cells = ["avg", "min", "max", "last", "sum", "rate", "increase", "p50", "p99"];
    for step in ["step=7s", "step=1min", "step=50ms", ""] {
        let agg = format!("from=1795000033&{step}&agg={}", cells.join(","));
        let rows = get(&agg);
        let rows = rows["rows"].as_array().expect("rows");
        let body = get(&format!("{agg}&format=columns"));
        let [lane] = &body["lanes"].as_array().expect("lanes")[..] else { panic!("one lane") };
        let (found, expected) = (of_columns(lane), to_the_millisecond(transposed(rows, &cells)));
        let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!((differ, found.len()), (None, expected.len()), "{step}");
    }
    // Of each series what applies to it.
    let body = get("from=0&step=10s&match=host/*&format=columns");
    let columns = body["lanes"][0]["columns"].as_array().expect("columns");
    let told: Vec<_> = columns.iter().map(|column| column["agg"].as_str().unwrap()).collect();
    let gauge = ["avg", "min", "max", "last"];
    assert_eq!(told, [&gauge[..], &gauge, &["last", "increase", "rate"]].concat());
    assert_eq!(get("from=0&match=no*&format=columns"), json!({"lanes": [], "next": null}));
    server.stop();
}

#[test]
fn pages_of_columns_are_the_whole_window() {
    let ring = recorded(200, 120);
    let server = serve(&ring, Limits::default());
    for query in ["from=0", "from=1795000045", "from=0&step=7s", "from=0&step=10s&agg=p50,rate"] {
        let query = format!("/api/v1/window?to=2000000000&format=columns&{query}");
        let get = |rest: &str| {
            let reply = server.get(&format!("{query}{rest}"));
            serde_json::from_str::<Json>(reply.text()).expect("JSON")
        };
        let whole = get("");
        for limit in [1, 30, 100_000] {
            let (mut values, mut gaps, mut next) = (Vec::new(), Vec::new(), String::new());
            loop {
                let page = get(&format!("&limit={limit}{next}"));
                values.extend(of_columns(&page["lanes"][0]));
                gaps.extend(page["lanes"][0]["gaps"].as_array().expect("gaps").clone());
                match page["next"].as_str() {
                    Some(cursor) => next = format!("&next={cursor}"),
                    None => break,
                }
            }
            values.sort_by_key(|value| format!("{value:?}"));
            assert!(values == of_columns(&whole["lanes"][0]), "{query} by {limit}");
            assert_eq!(json!(gaps), whole["lanes"][0]["gaps"], "{query} by {limit}");
        }
    }
    let reply = server.get("/api/v1/window?from=0&step=1ms&format=columns");
    assert_eq!(reply.status, 200, "there are no more steps than records");
    server.stop();
}

/// Each record of the ring has a gap before it: more than are remembered.
#[test]
fn columns_tell_all_gaps_however_many_there_are() {
    let mut ring = Recorded::new(4000, Duration::from_secs(1), SERIES);
    for index in 0..3000 {
        ring.publish((BEGIN_S + 2 * index) * S, (1 + 2 * index) * S, 1, false);
    }
    let text = parts(window(&ring, "from=0&to=2000000000&format=columns"), |_| {});
    let body: Json = serde_json::from_str(&text).expect("JSON");
    let gaps = body["lanes"][0]["gaps"].as_array().expect("gaps");
    let before: Vec<_> = gaps.iter().map(|gap| gap["seq"].as_u64().expect("one")).collect();
    assert_eq!(before, (2..=3000).collect::<Vec<_>>());
}

#[test]
fn values_that_are_overwritten_before_they_are_read_are_null_and_told() {
    let mut ring = recorded(4096, 4000);
    // Many columns, so that they are not all read at the beginning.
    let pull = window(&ring, "from=0&to=2000000000&format=columns");
    let text = parts(pull, |count| {
        if count == 1 {
            (4000..7000).for_each(|index| publish(&mut ring, index));
        }
    });
    let body: Json = serde_json::from_str(&text).expect("JSON");
    let lane = &body["lanes"][0];
    let rows = lane["time"].as_array().expect("times").len();
    let last = lane["gaps"].as_array().expect("gaps").last().expect("one").clone();
    let overrun: u64 = lane["gaps"]
        .as_array()
        .expect("gaps")
        .iter()
        .filter(|gap| gap["gap"] == "overrun")
        .map(|gap| gap["count"].as_u64().expect("a count"))
        .sum();
    assert_eq!(last["gap"], "overrun");
    assert!(overrun >= 2000, "{overrun}");
    for column in lane["columns"].as_array().expect("columns") {
        let values = column["values"].as_array().expect("values");
        assert_eq!(values.len(), rows);
        // What is there is of the record that it stands for.
        if column["metric"] == "forks" {
            for (seq, value) in lane["seq"].as_array().unwrap().iter().zip(values) {
                let expected = 1000 + 3 * (seq.as_u64().unwrap() - 1);
                assert!(value.is_null() || *value == expected, "{seq}: {value}");
            }
        }
    }
}

#[cfg(not(feature = "arrow"))]
#[test]
fn arrow_is_refused_by_a_program_that_was_built_without_it() {
    let ring = recorded(100, 50);
    let server = serve(&ring, Limits::default());
    let reply = server.get("/api/v1/window?from=0&format=arrow");
    let body: Json = serde_json::from_str(reply.text()).expect("JSON");
    assert_eq!(reply.status, 400);
    assert!(body["parameters"]["format"].as_str().expect("named").contains("feature"), "{body}");
    server.stop();
}

/// What pyarrow finds in a stream: the rows as a list of objects, and the fields with their types and
/// metadata.
#[cfg(feature = "arrow")]
const READ_ARROW: &str = "
import json, sys
import pyarrow.ipc
with pyarrow.ipc.open_stream(sys.stdin.buffer) as stream:
    fields = [
        [field.name, str(field.type), {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}]
        for field in stream.schema
    ]
    batches = list(stream)
rows = [row for batch in batches for row in zip(*(column.cast('string').to_pylist() if index == 0 else column.to_pylist() for index, column in enumerate(batch.columns)))]
json.dump({'fields': fields, 'rows': rows, 'batches': len(batches)}, sys.stdout)
";

/// The Python that has pyarrow, if there is one.
#[cfg(feature = "arrow")]
fn python() -> Option<String> {
    let python = std::env::var("TACHOGRAPH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = std::process::Command::new(&python).args(["-c", "import pyarrow.ipc"]).output();
    has.is_ok_and(|has| has.status.success()).then_some(python)
}

#[cfg(feature = "arrow")]
fn read_arrow(python: &str, stream: &[u8]) -> Json {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(python)
        .args(["-c", READ_ARROW])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    child.stdin.take().expect("a pipe").write_all(stream).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "pyarrow does not read it");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[cfg(feature = "arrow")]
#[test]
fn pyarrow_reads_what_the_ring_holds() {
    let Some(python) = python() else {
        eprintln!("LEFT OUT: python3, or what TACHOGRAPH_PYTHON names, has no pyarrow");
        return;
    };
    let ring = recorded(6000, 5000);
    let server = serve(&ring, Limits::default());
    let get = |query: &str| {
        let reply = server.get(&format!("/api/v1/window?to=2000000000&format=arrow&{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let content_type = reply.header("content-type");
        assert_eq!(content_type, Some("application/vnd.apache.arrow.stream"));
        read_arrow(&python, &reply.body)
    };
    let found = get("from=0");
    assert!(found["batches"].as_u64().expect("a count") > 2);
    let fields = found["fields"].as_array().expect("fields");
    let names: Vec<_> = fields.iter().map(|field| field[0].as_str().expect("a name")).collect();
    let own = ["time", "seq", "lane", "gap"];
    let series = SERIES.iter().map(|(object, metric)| format!("{object}/{metric}"));
    assert_eq!(names, [own.map(str::to_owned).to_vec(), series.collect()].concat());
    let types: Vec<_> = fields.iter().map(|field| field[1].as_str().expect("a type")).collect();
    assert_eq!(types[..2], ["timestamp[ns, tz=UTC]", "uint64"]);
    assert_eq!(types[4..], ["double", "uint64", "uint64", "uint64", "uint64"]);
    let metadata = json!({
        "lane": "host", "object": "nic/eth0", "metric": "receive_bytes", "unit": "bytes",
        "kind": "counter"
    });
    assert_eq!(fields[7][2], metadata);
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 5000);
    let expected = oracle(&ring, 1..=5000);
    let value = |seq: u64, series: usize| {
        let row = expected.iter().find(|row| {
            row["seq"] == seq
                && row["object"] == SERIES[series].0
                && row["metric"] == SERIES[series].1
        });
        row.map_or(Json::Null, |row| row["value"].clone())
    };
    for (row, seq) in rows.iter().zip(1..).step_by(83) {
        assert_eq!((&row[1], &row[2]), (&json!(seq), &json!("host")));
        for series in 0..SERIES.len() {
            assert_eq!(row[4 + series], value(seq, series), "{seq} {series}");
        }
    }
    let gaps: Vec<_> = rows.iter().filter(|row| !row[3].is_null()).collect();
    assert_eq!((gaps[0][1].clone(), gaps[0][3].clone()), (json!(51), json!("missed=2")));

    let steps = get("from=0&step=1min&agg=max,rate,p95&match=host/*");
    let fields = steps["fields"].as_array().expect("fields");
    let names: Vec<_> = fields[4..].iter().map(|field| field[0].as_str().unwrap()).collect();
    let expected =
        ["host/load1:max", "host/load1:p95", "host/tasks:max", "host/tasks:p95", "host/forks:rate"];
    assert_eq!(names, expected);
    assert_eq!(fields[4][2]["agg"], "max");
    assert_eq!(steps["rows"][3][8], 3.0);

    // Pages: whole records, and a last row that says where the next one begins.
    let first = get("from=0&limit=12");
    let rows = first["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    let next = rows[2][3].as_str().and_then(|text| text.strip_prefix("next=")).expect("more");
    let second = get(&format!("limit=10&next={next}"));
    assert_eq!((&second["rows"][0][1], &second["rows"][1][1]), (&json!(3), &json!(4)));
    server.stop();
}

#[test]
fn series_are_listed_with_what_they_mean_and_since_when() {
    let ring = recorded(16, 10);
    let server = serve(&ring, Limits::default());
    let reply = server.get("/api/v1/series?match=host/load1");
    let body: Json = serde_json::from_str(reply.text()).expect("JSON");
    let first = time(BEGIN_S * S + 123_456);
    let expected = json!({
        "ring": "host", "object": "host", "metric": "load1", "kind": "gauge", "unit": "count",
        "repr": "f64", "first": 1, "last": null, "first_time": first, "last_time": null,
        "help": "1m load average.",
    });
    assert_eq!(body, json!({"series": [expected]}));
    server.stop();
}

/// Parts ended within the text before a column's values, and the next part began with that text anew:
/// whoever asked for many short columns got what is no JSON.
#[test]
fn many_columns_are_whole_wherever_a_part_ends() {
    let names: Vec<_> = (0..2000).map(|number| format!("nic/eth{number}")).collect();
    let series: Vec<_> = names.iter().map(|name| (name.as_str(), "receive_bytes")).collect();
    let mut ring = Recorded::new(16, Duration::from_secs(1), &series);
    for index in 0..10 {
        (0..2000).for_each(|nic| ring.set(&names[nic], "receive_bytes", index * 7919 + nic as u64));
        ring.publish((BEGIN_S + index) * S, (1 + index) * S, 0, false);
    }
    let text = parts(window(&ring, "from=0&to=2000000000&format=columns"), |_| {});
    let body: Json = serde_json::from_str(&text).expect("JSON");
    let columns = body["lanes"][0]["columns"].as_array().expect("columns");
    assert_eq!(columns.len(), 2000);
    for (nic, column) in columns.iter().enumerate() {
        let expected: Vec<_> = (0..10).map(|index| index * 7919 + nic).collect();
        assert_eq!((&column["object"], &column["values"]), (&json!(names[nic]), &json!(expected)));
    }
}
