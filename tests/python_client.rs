//! The Python reader gives the same answers as this crate's, over rings that this crate's writer makes.
//!
//! python3 is started on `clients/python/src` as it lies there; nothing is installed and nothing is
//! fetched. Where there is no python3, or an old one, each test says so and ends.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use serde_json::{Map, Value as Json, json};
use support::{ShmDir, copy, fill_columns, nic, options, poke, publish, record, schema, start};
use tachograph::record::{
    ABSENT, COLUMNS_MAX, Kind, METRIC_BYTES_MAX, OBJECT_ID_BYTES_MAX, Record, RecordHeader, Repr,
    Schema, Unit, flags,
};
use tachograph::ring::layout::{self, entry, header, record as record_at, state};
use tachograph::ring::{Opening, ReadMap, Reader, Ring, Value, Writer, boottime_ns};
use tachograph::window::{Event, Window};

/// The oldest version that the package promises to run on.
const OLDEST: (u32, u32) = (3, 9);
const COLUMNS: usize = 61;
const SLOTS: u64 = 64;
/// How long the stress reader runs, in seconds.
const READING: &str = "2";

fn python() -> Option<Command> {
    let mut command = Command::new("python3");
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"])
        .output();
    let version = asked.ok().filter(|output| output.status.success()).and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        let (major, minor) = text.trim().split_once(' ')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    if version.is_none_or(|version| version < OLDEST) {
        eprintln!("LEFT OUT: no python3 of version {OLDEST:?} or newer, found {version:?}");
        return None;
    }
    let client = repository().join("clients/python");
    command
        .env(
            "PYTHONPATH",
            format!("{}:{}", client.join("src").display(), client.join("tests").display()),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null());
    Some(command)
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a script prints, as JSON.
fn ask(script: &str, args: &[&str]) -> Option<Json> {
    let output = python()?.arg("-c").arg(script).args(args).output().expect("python3 runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {err}", output.status);
    Some(serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")))
}

/// A script at work, whose lines are read as they come.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(script: &str, args: &[&str]) -> Option<Self> {
        Some(Self::of(python()?.arg("-c").arg(script).args(args)))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 runs");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("UTF-8");
        assert!(!line.is_empty(), "it ended: {:?}", self.child.wait());
        line.trim().to_owned()
    }

    /// What it still prints before it ends in order.
    fn rest(mut self) -> String {
        let mut text = String::new();
        self.lines.read_to_string(&mut text).expect("UTF-8");
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every number of the format that Python states, with the crate's own value.
fn constants() -> BTreeMap<String, Json> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: Json| {
        assert!(all.insert(name.to_owned(), value).is_none(), "{name} twice");
    };
    let blocks = [
        ("AT", header::IMMUTABLE),
        ("AT", header::PUBLISHED),
        ("AT", header::LIFECYCLE),
        ("AT", &[("checksum", header::CHECKSUM)]),
        ("ENTRY", entry::FIELDS),
        ("RECORD", record_at::FIELDS),
    ];
    for (prefix, fields) in blocks {
        for (name, word) in fields {
            add(&format!("{prefix}_{}", name.to_uppercase()), json!(word));
        }
    }
    let numbers = [
        ("WORD", layout::WORD),
        ("MAGIC", layout::MAGIC),
        ("ENDIAN_TAG", layout::ENDIAN_TAG),
        ("VERSION", layout::VERSION),
        ("INCOMPATIBLE_FLAGS_KNOWN", layout::INCOMPATIBLE_FLAGS_KNOWN),
        ("ENTRY_WORDS", entry::FIELDS.len() as u64),
        ("RECORD_WORDS", RecordHeader::WORDS as u64),
        ("STATE_RUNNING", state::RUNNING),
        ("STATE_CLOSED", state::CLOSED),
        ("STATE_RETIRED", state::RETIRED),
        ("FLAG_EPOCH_FIRST", flags::EPOCH_FIRST.into()),
        ("FLAG_CLOCK_STEP", flags::CLOCK_STEP.into()),
        ("FLAG_MISSED", flags::MISSED.into()),
        ("HEADER_BYTES", layout::HEADER_BYTES),
        ("ENTRY_BYTES", layout::ENTRY_BYTES),
        ("SLOT_ALIGN", layout::SLOT_ALIGN),
        ("SLOTS_MIN", layout::SLOTS_MIN),
        ("SLOTS_MAX", layout::SLOTS_MAX),
        ("COLUMNS_MAX", COLUMNS_MAX as u64),
        ("ENTRIES_MAX", layout::ENTRIES_MAX),
        ("ARENA_BYTES_MAX", layout::ARENA_BYTES_MAX),
        ("FILE_BYTES_MAX", layout::FILE_BYTES_MAX),
        ("SEQUENCE_MAX", layout::SEQUENCE_MAX),
        ("RESUME_MAX", layout::RESUME_MAX),
        ("OBJECT_ID_BYTES_MAX", OBJECT_ID_BYTES_MAX as u64),
        ("METRIC_BYTES_MAX", METRIC_BYTES_MAX as u64),
        ("LIVES", layout::LIVES),
        ("ABSENT", ABSENT),
        // Bounds of the header's decoder that have no name there; the tests of damaged headers of
        // both languages hold them.
        ("HEADER_BYTES_LEAST", 512),
        ("HEADER_BYTES_MAX", 1 << 20),
        ("ENTRY_BYTES_MAX", 4096),
        ("SLOT_BYTES_MAX", 2 << 20),
    ];
    for (name, value) in numbers {
        add(name, json!(value));
    }
    fn codes<T>(all: &[T], code: fn(&T) -> u8, name: fn(&T) -> &str) -> Json {
        let pairs = all.iter().map(|one| (code(one).to_string(), json!(name(one))));
        Json::Object(pairs.collect::<Map<_, _>>())
    }
    add("KINDS", codes(Kind::ALL, |one| one.code(), |one| one.as_str()));
    add("UNITS", codes(Unit::ALL, |one| one.code(), |one| one.as_str()));
    add("REPRS", codes(Repr::ALL, |one| one.code(), |one| one.as_str()));
    all
}

#[test]
fn every_number_of_the_format_is_the_same_in_python() {
    let script = "
import json
from tachograph import _layout
names = [name for name in vars(_layout) if name.isupper()]
print(json.dumps({name: getattr(_layout, name) for name in names}))
";
    let Some(found) = ask(script, &[]) else { return };
    let found: BTreeMap<_, _> = found.as_object().expect("an object").clone().into_iter().collect();
    assert_eq!(found, constants());
}

/// All that there is to say of a ring, in the same words from both languages.
const DESCRIBE: &str = "
import importlib.util, json, sys
import tachograph

ring = tachograph.Ring(sys.argv[1])
asked = json.loads(sys.argv[2])
numpy = importlib.util.find_spec('numpy') is not None

def record(seq):
    try:
        raw = ring.read_raw(seq)
        return [list(raw.header), ring.read(seq).flat()]
    except tachograph.ReadError as error:
        return type(error).__name__

def window(**bounds):
    found = [ring.window(arrays=arrays, **bounds) for arrays in ((False, True) if numpy else (False,))]
    told = []
    for one in found:
        gaps = [[gap.before, gap.reason, gap.count] for gap in one.gaps]
        columns = {f'{key[0]}/{key[1]}': [v for v in map(plain, one[key])] for key in one.columns}
        told.append([[int(seq) for seq in one.seq], gaps, columns])
    assert all(one == told[0] for one in told), told
    return told[0]

def plain(value):
    if value is None or type(value).__name__ == 'MaskedConstant':
        return None
    return value.item() if hasattr(value, 'item') else value

newest = ring.latest()
print(json.dumps({
    'head': ring.head,
    'bounds': ring.bounds,
    'ring_id': ring.ring_id,
    'interval_ns': ring.interval_ns,
    'liveness': str(ring.liveness()),
    'series': [list(one) for one in ring.series(ended=True)],
    'records': [record(seq) for seq in range(ring.head + 4)],
    'latest': newest and newest.flat(),
    'columns': {one.name: ring.find(one.object, one.metric).latest() for one in ring.series()},
    'sequences': [window(first=first, last=last) for first, last in asked['sequences']],
    'times': [window(after_ns=after, up_to_ns=up_to) for after, up_to in asked['times']],
}))
";

fn json_of(value: Option<Value>) -> Json {
    match value {
        Some(Value::U64(value)) => json!(value),
        Some(Value::F64(value)) => json!(value),
        None => Json::Null,
    }
}

/// The values of `record` by name, absent ones left out.
fn values(ring: &Ring<ReadMap>, record: &Record) -> Json {
    let seq = record.header.seq;
    let mut all = Map::new();
    for entry in ring.directory().iter().filter(|entry| entry.covers(seq)) {
        let word = record.words().get(entry.column).copied().unwrap_or(ABSENT);
        if let Some(value) = Value::of(word, &entry.series) {
            let name = format!("{}/{}", entry.series.object, entry.series.metric);
            all.insert(name, json_of(Some(value)));
        }
    }
    Json::Object(all)
}

fn window(ring: &Ring<ReadMap>, window: &Window<'_, ReadMap>) -> Json {
    let (mut seqs, mut gaps, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    window
        .read(|events| {
            for event in events {
                match event {
                    Event::Record(view) => {
                        seqs.push(view.seq());
                        rows.push(values(ring, &copy(ring, view.seq()).expect("nobody writes")));
                    }
                    Event::Gap(gap) => {
                        gaps.push(json!([gap.before, gap.reason.as_str(), gap.reason.count()]));
                    }
                }
            }
        })
        .expect("nobody writes meanwhile");
    // A series is in a window when some sequence between the bounds may have it.
    let mut columns = Map::new();
    let bounds =
        window.bounds().map(|(first, last)| (first.max(ring.bounds().map_or(1, |b| b.0)), last));
    if let Some((first, last)) = bounds.filter(|(first, last)| first <= last) {
        for entry in ring.directory().iter() {
            if entry.first <= last && entry.last >= first.max(entry.first) {
                let name = format!("{}/{}", entry.series.object, entry.series.metric);
                let column = rows.iter().map(|row| row.get(&name).cloned().unwrap_or(Json::Null));
                let column = column.collect();
                columns.insert(name, column);
            }
        }
    }
    json!([seqs, gaps, columns])
}

fn describe(reader: &Reader, sequences: &[(u64, u64)], times: &[(u64, u64)]) -> Json {
    let ring = reader.ring();
    let directory = ring.directory();
    let record = |seq| match copy(ring, seq) {
        Ok(record) => {
            json!([
                bytemuck::cast::<_, [u64; RecordHeader::WORDS]>(record.header),
                values(ring, &record)
            ])
        }
        Err(error) => json!(format!("{error:?}")),
    };
    let series = directory.iter().map(|entry| {
        let last = if entry.lives() { Json::Null } else { json!(entry.last) };
        let one = &entry.series;
        let words = [one.kind.as_str(), one.unit.as_str(), one.repr.as_str()];
        json!([
            one.object,
            one.metric,
            words[0],
            words[1],
            words[2],
            entry.column,
            entry.first,
            last
        ])
    });
    let columns = directory.iter().filter(|entry| entry.lives()).map(|entry| {
        let (object, metric) = (&entry.series.object, &entry.series.metric);
        let column = ring.find(object, metric).expect("it lives");
        let value = ring.latest(|view| view.value(&column)).flatten();
        (format!("{object}/{metric}"), json_of(value))
    });
    let newest = copy(ring, ring.head()).map_or(Json::Null, |record| values(ring, &record));
    json!({
        "head": ring.head(),
        "bounds": ring.bounds(),
        "ring_id": ring.header().ring_id,
        "interval_ns": ring.header().interval_ns,
        "liveness": reader.liveness().as_str(),
        "series": series.collect::<Vec<_>>(),
        "records": (0..ring.head() + 4).map(record).collect::<Vec<_>>(),
        "latest": newest,
        "columns": columns.collect::<Map<_, _>>(),
        "sequences": sequences.iter().map(|(first, last)| {
            window(ring, &Window::sequences(ring, *first, *last))
        }).collect::<Vec<_>>(),
        "times": times.iter().map(|(after, up_to)| {
            window(ring, &Window::between(ring, *after, *up_to))
        }).collect::<Vec<_>>(),
    })
}

/// Fails unless Python says of the ring in `dir` what this crate says.
fn agree(dir: &ShmDir, sequences: &[(u64, u64)], times: &[(u64, u64)]) {
    let bounds = json!({"sequences": sequences, "times": times}).to_string();
    let Some(found) = ask(DESCRIBE, &[text(&dir.ring()), &bounds]) else { return };
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let expected = describe(&reader, sequences, times);
    for (what, expected) in expected.as_object().expect("an object") {
        assert_eq!(&found[what], expected, "{what}");
    }
}

#[test]
fn python_gives_the_same_answers_as_this_crate() {
    let dir = ShmDir::new();
    let mut schema = Schema::new();
    schema.add("host", "load1").expect("room");
    schema.add("nic/m\u{fc}ll", "receive_bytes").expect("room");
    schema.add("nic/old", "receive_bytes").expect("room");
    let (mut writer, _) = start(&dir, 32, &mut schema);
    agree(&dir, &[(1, 9)], &[(0, u64::MAX)]);
    let mut time_ns = 1_000_000_000;
    for step in 1..=50_u64 {
        if step == 40 {
            // The next epoch begins, on what the one before has left.
            drop(writer);
            (writer, _) = start(&dir, 32, &mut schema);
        }
        if step == 25 {
            schema.end(2);
            schema.add("nic/new", "receive_bytes").expect("room");
            schema.add("nic/more", "receive_bytes").expect("room");
        }
        if step == 43 {
            schema.add("nic/old", "receive_bytes").expect("room");
        }
        writer.sync(&mut schema).expect("there is room");
        let mut record = record(writer.head() + 1, schema.width());
        time_ns = if step % 17 == 0 { time_ns - 7_000_000_000 } else { time_ns + 1_000_000_000 };
        record.header.realtime_ns = time_ns;
        record.header.missed_ticks = if step % 11 == 0 { step } else { 0 };
        let missed = if step % 11 == 0 { flags::MISSED } else { 0 };
        let stepped = if step % 17 == 0 { flags::CLOCK_STEP } else { 0 };
        record.header.set_epoch_and_flags(0, missed | stepped);
        record.words_mut()[0] = if step % 5 == 0 { ABSENT } else { (step as f64 / 8.0).to_bits() };
        if step % 7 == 0 {
            record.words_mut()[1] = ABSENT;
        }
        writer.publish(&mut record);
    }
    // A slot is lost, as after a repair.
    let lost = writer.ring().geometry().slot_word(37);
    poke(&dir.ring(), lost, 0);
    let head = writer.head();
    let sequences = [(1, head), (30, 45), (37, 37), (36, 38), (41, 60), (60, 70), (1, 3)];
    let second = 1_000_000_000;
    let mut times = vec![(0, u64::MAX)];
    times.extend((0..40).map(|start| (start * second, (start + 9) * second)));
    agree(&dir, &sequences, &times);
    // And once the recorder has ended.
    drop(writer);
    agree(&dir, &sequences, &times);
}

#[test]
fn python_decides_liveness_as_this_crate_does() {
    let script = "
import json, sys, tachograph
print(json.dumps(str(tachograph.Ring(sys.argv[1]).liveness())))
";
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let both = |expected: &str| {
        let Some(found) = ask(script, &[text(&dir.ring())]) else { return };
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        assert_eq!((found, reader.liveness().as_str()), (json!(expected), expected));
    };
    both("live");
    publish(&mut writer, 1);
    both("live");
    poke(&dir.ring(), header::HEARTBEAT_NS, 1);
    both("hung");
    writer.close();
    both("closed");
    poke(&dir.ring(), header::STATE, state::RUNNING);
    both("dead");
    poke(&dir.ring(), header::STATE, state::RETIRED);
    both("retired");
}

#[test]
fn python_sleeps_in_the_kernel_until_the_writer_wakes_it() {
    // An interval of an hour: whoever slept by the clock would sleep for a quarter of that.
    let script = "
import sys, tachograph
ring = tachograph.Ring(sys.argv[1])
assert ring.by_futex, 'no futex'
print('ready', flush=True)
print(ring.wait(0, 600.0), flush=True)
";
    let dir = ShmDir::new();
    let mut schema = schema(1);
    let opening = Opening::of(&dir.run_dir(), "host").expect("nobody has it");
    let hourly =
        tachograph::ring::WriterOptions { interval: Duration::from_secs(3600), ..options(8) };
    let (mut writer, _) = opening.start(&hourly, &mut schema).expect("it starts");
    let Some(mut reader) = Running::start(script, &[text(&dir.ring())]) else { return };
    assert_eq!(reader.line(), "ready");
    // Most likely asleep by now; if not, it does not fall asleep.
    thread::sleep(Duration::from_millis(50));
    publish(&mut writer, 1);
    writer.wake();
    assert_eq!(reader.rest().trim(), "1");
}

#[test]
fn python_follows_the_ring_to_the_file_that_takes_its_place() {
    let script = "
import sys, tachograph
ring = tachograph.Ring(sys.argv[1])
column = ring.find('nic/e0', 'receive_bytes')
print('ready', flush=True)
for record in ring.follow(600.0, after=0):
    value = record['nic/e0', 'receive_bytes']
    assert column.at(record.seq) == value
    print(record.seq, value, len(record), ring.reopened, len(record.gaps), flush=True)
    if record.seq == 4:
        break
";
    let dir = ShmDir::new();
    let mut schema = schema(3);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    let Some(mut reader) = Running::start(script, &[text(&dir.ring())]) else { return };
    assert_eq!(reader.line(), "ready");
    for seq in 1..=4 {
        let width = schema.width();
        publish(&mut writer, width);
        writer.wake();
        let expected =
            format!("{seq} {} {width} {} {}", support::word(seq, 0), seq / 3, u64::from(seq == 1));
        assert_eq!(reader.line(), expected);
        if seq == 2 {
            fill_columns(&mut schema);
            writer.sync(&mut schema).expect("there is room");
            assert_eq!(writer.rollovers(), 1);
        }
    }
    assert_eq!(reader.rest(), "");
}

/// Publishes at full speed until `ended`, and needs a larger ring now and then.
fn write_until(ended: &AtomicBool, mut writer: Writer, mut schema: Schema) {
    let mut record = Record::new(schema.width());
    while !ended.load(Ordering::Relaxed) {
        let seq = writer.head() + 1;
        if seq.is_multiple_of(20_000) && schema.width() < 400 {
            for column in schema.width()..schema.width() + 60 {
                schema.add(&nic(column), "receive_bytes").expect("room");
            }
            writer.sync(&mut schema).expect("there is room");
            record.set_columns(schema.width());
        }
        support::fill(&mut record, seq);
        record.header.boottime_ns = boottime_ns();
        writer.publish(&mut record);
        if seq.is_multiple_of(16) {
            writer.wake();
        }
        if seq.is_multiple_of(64) {
            thread::sleep(Duration::from_micros(300));
        }
    }
}

#[test]
fn python_never_takes_a_torn_record_for_a_whole_one() {
    let script = repository().join("tests/stress/reader.py");
    let dir = ShmDir::new();
    let Some(mut first) = python() else { return };
    // The reader is there before the ring is.
    let mut readers = vec![Running::of(first.arg(&script).arg(dir.ring()).arg(READING))];
    let mut schema = schema(COLUMNS);
    let (writer, _) = start(&dir, SLOTS, &mut schema);
    let mut plain = python().expect("as above");
    readers.push(Running::of(plain.arg(&script).arg(dir.ring()).args([READING, "--plain"])));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| write_until(&ended, writer, schema));
        let lines: Vec<_> = readers.into_iter().map(Running::rest).collect();
        ended.store(true, Ordering::Relaxed);
        for line in lines {
            eprint!("{line}");
            let words: Vec<_> = line.split_whitespace().collect();
            let names: Vec<_> = words.iter().step_by(2).copied().collect();
            assert_eq!(names, ["reads", "overruns", "gaps", "torn", "reopened"]);
            let number = |at: usize| words[2 * at + 1].parse::<u64>().expect("a number");
            assert!(number(0) > 0 && number(2) == 0 && number(3) == 0, "{line}");
        }
    });
}

/// The stress reader would say so if there were torn records: here are some.
#[test]
fn stress_reader_finds_a_torn_record() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(3));
    publish(&mut writer, 3);
    let mut torn = record(2, 3);
    torn.words_mut()[2] = support::word(1, 2);
    writer.publish(&mut torn);
    for mode in [None, Some("--plain")] {
        let Some(mut command) = python() else { return };
        let script = repository().join("tests/stress/reader.py");
        let output = command.arg(script).arg(dir.ring()).arg("0.3").args(mode).output();
        let output = output.expect("python3 runs");
        let line = String::from_utf8_lossy(&output.stdout);
        assert_eq!(line, "reads 1 overruns 0 gaps 0 torn 1 reopened 0\n");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn python_passes_its_own_tests() {
    let Some(mut command) = python() else { return };
    let folder = repository().join("clients/python/tests");
    let output = command.args(["-m", "unittest", "discover", "-v", "-s"]).arg(&folder).output();
    let output = output.expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for line in text.lines().filter(|line| line.contains("LEFT OUT")) {
        eprintln!("{line}");
    }
    // A folder in which nothing is found succeeds as well.
    let own = fs::read_to_string(folder.join("test_ring.py")).expect("it is there");
    let count = own.matches("    def test_").count();
    assert!(text.contains(&format!("Ran {count} tests")), "{count}: {text}");
}
