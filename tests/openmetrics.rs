//! What `/metrics`, `/metrics/history` and `export --format openmetrics` write, as other programs' parsers
//! understand it: `promtool`, and those of Python's `prometheus-client`, of which the one for OpenMetrics
//! is strict.

#[path = "support/exposition.rs"]
mod exposition;
#[path = "support/peer.rs"]
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use exposition::{Families, Labels, Point, parse, series_name};
use peer::program::{Place, Program, eventually};
use peer::{are_installed, get, told_by, written};
use serde_json::Value;
use tachograph::record::{CATALOG, Class, Kind, Record, Schema};
use tachograph::ring::{Opening, RunDir, Writer, WriterOptions, boottime_ns, realtime_ns};

const TEXT: &str = "Accept: text/plain;version=0.0.4\r\n";
const NEWER_TEXT: &str = "Accept: text/plain;version=1.0.0\r\n";
const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

/// What `promtool` does not like about names, and whose names they are: the beginning, the complaint and
/// the reason that they are so.
const LINT: &[(&str, &str, &str)] =
    &[("node_memory_", CAMEL_CASE, KERNEL), ("node_netstat_", CAMEL_CASE, KERNEL)];

const CAMEL_CASE: &str = "metric names should be written in 'snake_case' not 'camelCase'";
const KERNEL: &str = "the kernel's own words, which node_exporter has in its names";

/// The interpreter whose packages have `prometheus-client`; see `.ci/run`.
fn python() -> Option<String> {
    if !are_installed(&[]) {
        return None;
    }
    let python = env::var("TACHOGRAPH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let asked = Command::new(&python).args(["-c", "import prometheus_client"]).output();
    if asked.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    are_installed(&["prometheus-client of Python"]);
    None
}

struct Recorder {
    place: Place,
    _program: Program,
    address: SocketAddr,
}

impl Recorder {
    /// A program with a store and two lanes, so that there is something of most things.
    fn start() -> Self {
        let place = Place::new();
        let words = "run --listen 127.0.0.1:0 --interval 100ms --depth 1min --source softirqs=1 \
                     --source interrupts=1 --source cgroup=1 --source numa=1 --lane fast";
        let mut program = place.start(&format!("{words} --datastore store=/"));
        let address = program.address();
        eventually("a first record", || program.is_ready().then_some(()));
        place.snapshot_from(20);
        Self { place, _program: program, address }
    }

    fn text(&self, target: &str, accept: &str) -> String {
        get(self.address, target, accept).text().to_owned()
    }
}

/// A ring with a series of every line of the catalog, and somebody who serves it.
struct Catalog {
    place: Place,
    _writer: Writer,
    _program: Program,
    address: SocketAddr,
}

impl Catalog {
    fn start() -> Self {
        let place = Place::new();
        let run_dir = place.run_dir();
        fs::DirBuilder::new().mode(0o700).create(&run_dir).expect("created");
        let mut schema = Schema::new();
        for line in CATALOG {
            let object = match line.class {
                Class::Host | Class::Tachograph => line.class.as_str().to_owned(),
                class => format!("{class}/x"),
            };
            let field = match line.kind {
                _ if line.name == "cpu*" => "0",
                Kind::Counter => "Counted",
                _ => "Measured",
            };
            schema.add(&object, &line.name.replace('*', field)).expect("room");
        }
        let run_dir = RunDir::for_writing(Some(&run_dir)).expect("a fresh directory");
        let opening = Opening::of(&run_dir, "host").expect("nobody else records there");
        let interval = Duration::from_secs(1);
        let options = WriterOptions { interval, depth_records: 8, mode: 0o644 };
        let (mut writer, _) = opening.start(&options, &mut schema).expect("room");
        let mut record = Record::new(CATALOG.len());
        record.words_mut().fill(1);
        record.header.realtime_ns = realtime_ns();
        record.header.boottime_ns = boottime_ns();
        writer.publish(&mut record);
        let mut program = place.start("serve --listen 127.0.0.1:0");
        let address = program.address();
        Self { place, _writer: writer, _program: program, address }
    }
}

/// A sample by name, labels and time, with its value.
type Flat = BTreeMap<(String, Option<i64>), f64>;

fn flat(families: &Families) -> Flat {
    let mut flat = Flat::new();
    for (name, family) in families {
        for (labels, points) in &family.series {
            for Point { time_ms, value } in points {
                flat.insert((series_name(name, labels), *time_ms), *value);
            }
        }
    }
    flat
}

/// The same without labels that are empty, which to Prometheus are none.
fn without_empty_labels(mut families: Families) -> Families {
    for family in families.values_mut() {
        let series = std::mem::take(&mut family.series).into_iter();
        let stripped = series.map(|(mut labels, points)| {
            labels.retain(|_, value| !value.is_empty());
            (labels, points)
        });
        family.series = stripped.collect();
    }
    families
}

/// The samples and the families, with their types, that Python finds in a text of this `form`.
#[track_caller]
fn parsed_by_python(
    python: &str,
    place: &Place,
    form: &str,
    text: &str,
) -> (Flat, BTreeSet<String>) {
    let file = written(place.path(), form, text);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scrapers/exposition.py");
    let told = told_by(Command::new(python).args([script, form, &file]));
    let (mut flat, mut families) = (Flat::new(), BTreeSet::new());
    for line in told.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("said: {line}"));
        let name = line[0].as_str().expect("a name");
        let Some(labels) = line[1].as_object() else {
            let kind = line[1].as_str().expect("a type");
            assert!(families.insert(format!("{name} {kind}")), "{name} is there twice");
            continue;
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let labels: Labels =
            labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let key = (series_name(name, &labels), line[3].as_i64());
        let value = line[2].as_str().and_then(|text| text.parse().ok()).expect("a number");
        assert!(flat.insert(key, value).is_none(), "a sample is there twice: {line}");
    }
    (flat, families)
}

#[test]
fn python_understands_every_text_as_it_is_meant() {
    let Some(python) = python() else { return };
    let (recorder, catalog) = (Recorder::start(), Catalog::start());
    for (what, place, address, target) in [
        ("this machine", &recorder.place, recorder.address, "/metrics"),
        ("this machine", &recorder.place, recorder.address, "/metrics?ring=fast"),
        ("this machine", &recorder.place, recorder.address, "/metrics/history?window=2s"),
        ("the catalog", &catalog.place, catalog.address, "/metrics"),
        ("the catalog", &catalog.place, catalog.address, "/metrics/history?since_seq=0"),
    ] {
        let target_of = format!("{target} of {what}");
        let mut shapes = Vec::new();
        for (form, accept) in [("text", TEXT), ("text", NEWER_TEXT), ("openmetrics", OPENMETRICS)] {
            let reply = get(address, target, accept);
            let text = reply.text();
            let (theirs, families) = parsed_by_python(&python, place, form, text);
            let ours = flat(&parse(text));
            let other = ours.iter().find(|(key, value)| theirs.get(key) != Some(value));
            assert_eq!(other, None, "{target_of} as {form}");
            assert_eq!(ours.len(), theirs.len(), "{target_of} as {form}");
            let (families_count, samples) = (families.len(), theirs.len());
            eprintln!("{target_of} as {form}: {families_count} families, {samples} samples");
            shapes.push((
                families,
                ours.into_keys().map(|(series, _)| series).collect::<BTreeSet<_>>(),
            ));
        }
        // Only the words for a type, and the place of `_total`, are those of the form.
        let [text, newer_text, openmetrics] = &shapes[..] else { unreachable!("three forms") };
        assert_eq!(text, newer_text, "{target_of}");
        let plain = |family: &String| family.replace("_total ", " ").replace("untyped", "unknown");
        let names: [BTreeSet<String>; 2] =
            [text, openmetrics].map(|shape| shape.0.iter().map(plain).collect());
        assert_eq!(names[0], names[1], "{target_of}");
        assert_eq!(text.1, openmetrics.1, "{target_of}");
    }
}

/// What `promtool check metrics` complains of.
#[track_caller]
fn complaints(place: &Place, text: &str) -> BTreeSet<String> {
    let file = File::open(written(place.path(), "metrics", text)).expect("written");
    let mut command = Command::new("promtool");
    let ended = Program::start(command.args(["check", "metrics"]).stdin(Stdio::from(file))).ended();
    let said = ended.err.lines().chain(ended.out.lines());
    let complaints: BTreeSet<_> = said.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    // 3 says that there are complaints, 1 that the text is not understood.
    assert_eq!(ended.code, Some(if complaints.is_empty() { 0 } else { 3 }), "{ended:?}");
    complaints
}

#[test]
fn promtool_complains_of_names_that_are_node_exporters_only() {
    if !are_installed(&["promtool"]) {
        return;
    }
    let (recorder, catalog) = (Recorder::start(), Catalog::start());
    let of_machine = complaints(&recorder.place, &recorder.text("/metrics", TEXT));
    let page = get(catalog.address, "/metrics", TEXT);
    let of_catalog = complaints(&catalog.place, page.text());
    let complaints: BTreeSet<_> = of_machine.union(&of_catalog).collect();
    let is_in = |line: &str, (name, told, _): &(&str, &str, &str)| {
        line.split_once(' ').is_some_and(|(family, rest)| family.starts_with(name) && rest == *told)
    };
    let mut wrong = Vec::new();
    for line in &complaints {
        if !LINT.iter().any(|known| is_in(line, known)) {
            wrong.push(format!("not in the list: {line}"));
        }
    }
    for known in LINT {
        if !complaints.iter().any(|line| is_in(line, known)) {
            wrong.push(format!("nothing is said any more about {} {}", known.0, known.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (of_machine, of_catalog) = (of_machine.len(), of_catalog.len());
    eprintln!("promtool check metrics: {of_machine} complaints of this machine's metrics,");
    eprintln!("{of_catalog} of one of every kind, all of them in the list");
}

#[test]
fn promtool_complains_of_nothing_where_names_are_not_the_kernels() {
    if !are_installed(&["promtool"]) {
        return;
    }
    let recorder = Recorder::start();
    let query = "?exclude[]=meminfo&exclude[]=meminfo_numa&exclude[]=netstat&exclude[]=sockstat";
    let text = recorder.text(&format!("/metrics{query}"), TEXT);
    assert_eq!(complaints(&recorder.place, &text), BTreeSet::new());
}

#[test]
fn export_becomes_blocks_of_prometheus_with_every_sample() {
    if !are_installed(&["promtool"]) {
        return;
    }
    let recorder = Recorder::start();
    recorder.place.snapshot_from(50);
    let ended = recorder.place.ask("export --format openmetrics");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let exported = flat(&without_empty_labels(parse(&ended.out)));
    let file = written(recorder.place.path(), "export.om", &ended.out);
    let blocks = recorder.place.path().join("blocks");
    let tsdb =
        |words: &[&str]| told_by(Command::new("promtool").arg("tsdb").args(words).arg(&blocks));
    let made = tsdb(&["create-blocks-from", "openmetrics", &file]);
    // A dump wants the place of a log, too.
    std::fs::create_dir(blocks.join("wal")).expect("created");
    let listed = tsdb(&["list"]);
    assert!(listed.lines().count() >= 2, "a heading and a block: {made} {listed}");
    let mut stored = Flat::new();
    for line in tsdb(&["dump"]).lines() {
        let (series, rest) = line.rsplit_once("} ").unwrap_or_else(|| panic!("said: {line}"));
        let (value, time_ms) = rest.split_once(' ').expect("a value and a time");
        stored.insert(dumped(series, time_ms), value.parse().expect("a number"));
    }
    let other = exported.iter().find(|(key, value)| stored.get(key) != Some(value));
    assert_eq!(other, None, "{listed}");
    assert_eq!(exported.len(), stored.len());
    eprintln!("promtool tsdb: {} samples in, {} stored\n{listed}", exported.len(), stored.len());
}

/// A sample's name and time of `{__name__="a", b="c"` as a dump has it.
fn dumped(series: &str, time_ms: &str) -> (String, Option<i64>) {
    let text = format!("x{series}}} 0\n").replace(", ", ",");
    let families = parse(&text);
    let mut labels = families["x"].series.keys().next().expect("a series").clone();
    let name = labels.remove("__name__").expect("a name");
    (series_name(&name, &labels), Some(time_ms.parse().expect("a time")))
}
