//! The prometheus view says what the ring says: every value of every record, in both formats, in the
//! order that they demand, whatever happens to the ring.
//!
//! The oracle reads copies of the records and computes with doubles.

use std::collections::BTreeMap;
use std::time::Duration;

use tachograph::encode::prometheus::{
    Collectors, Exposition, HISTORY_RECORDS_MAX, History, HistoryFrom, Scrape, Sheets,
};
use tachograph::record::{ABSENT, Repr, word_of_f64};
use tachograph::ring::{ReadMap, Ring};
use tachograph::{Kind, Unit};

#[path = "support/recorded.rs"]
mod recorded;
use recorded::Recorded;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const START_NS: u64 = 1_795_000_000 * S;

/// Sample name to (time in milliseconds if it has one, value) in the order of the text.
type Samples = BTreeMap<String, Vec<(Option<u64>, f64)>>;

/// Reads a text strictly enough to notice what a scraper would not take.
fn read(text: &str, exposition: Exposition) -> Samples {
    let mut samples = Samples::new();
    let (mut family, mut seen) = (String::new(), Vec::new());
    let body = match exposition {
        Exposition::Text => text,
        Exposition::OpenMetrics => text.strip_suffix("# EOF\n").expect("it has an end"),
    };
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name) = (words.next().expect("a word"), words.next().expect("a name"));
            assert!(["HELP", "TYPE", "UNIT"].contains(&what), "{line}");
            if name != family {
                assert!(!seen.contains(&name.to_owned()), "{name} comes twice");
                family = name.to_owned();
                seen.push(family.clone());
            }
            continue;
        }
        let end = line.rfind('}').map_or_else(|| line.find(' ').expect("a value"), |at| at + 1);
        let (name, rest) = line.split_at(end);
        assert!(name.starts_with(&family), "{line} is not of {family}");
        let mut words = rest.trim_start().split(' ');
        let value = words.next().expect("a value").parse().expect("a number");
        let time_ms = words.next().map(|time| match exposition {
            Exposition::Text => time.parse().expect("milliseconds"),
            Exposition::OpenMetrics => {
                (time.parse::<f64>().expect("seconds") * 1000.0).round() as u64
            }
        });
        assert_eq!(words.next(), None, "{line}");
        let points = samples.entry(name.to_owned()).or_default();
        assert!(points.last().is_none_or(|(before, _)| *before < time_ms), "{line} is not later");
        points.push((time_ms, value));
    }
    samples
}

fn newest(ring: &Ring<ReadMap>, exposition: Exposition, wanted: Collectors) -> String {
    let mut sheets = Sheets::of("host");
    let mut scrape = Scrape::begin(ring, &mut sheets, (exposition, wanted)).expect("nobody writes");
    text(exposition, |out| scrape.part(ring, out).expect("nobody writes"))
}

fn history(ring: &Ring<ReadMap>, exposition: Exposition, from: HistoryFrom) -> (String, History) {
    let mut sheets = Sheets::of("host");
    let mut history = History::default();
    let wanted = (exposition, Collectors::ALL);
    history.begin(ring, &mut sheets, from, wanted, HISTORY_RECORDS_MAX).expect("nobody writes");
    let text = text(exposition, |out| history.part(ring, out).expect("nobody writes"));
    (text, history)
}

fn text(exposition: Exposition, mut part: impl FnMut(&mut Vec<u8>) -> bool) -> String {
    let mut out = Vec::new();
    while part(&mut out) {}
    out.extend_from_slice(exposition.end().as_bytes());
    String::from_utf8(out).expect("UTF-8")
}

/// Seven series of three classes, one of which comes and goes, and a label.
struct Machine {
    recorded: Recorded,
    now_ns: u64,
}

const SERIES: [(&str, &str); 7] = [
    ("host", "load1"),
    ("host", "forks"),
    ("cpu/0", "user_ticks"),
    ("cpu/1", "user_ticks"),
    ("nic/eth0", "receive_bytes"),
    ("disk/sda", "read_sectors"),
    ("textfile/backup", "done_total{job=\"x\"}"),
];

const NAMES: [&str; 7] = [
    "node_load1",
    "node_forks_total",
    "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}",
    "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"}",
    "node_network_receive_bytes_total{device=\"eth0\"}",
    "node_disk_read_bytes_total{device=\"sda\"}",
    "done_total{job=\"x\"}",
];

impl Machine {
    fn new(depth: u64) -> Self {
        let recorded = Recorded::new(depth, Duration::from_secs(1), &SERIES[..6]);
        let mut this = Self { recorded, now_ns: START_NS };
        let (object, metric) = SERIES[6];
        let (kind, unit, repr) = (Kind::Counter, Unit::Count, Repr::F64);
        let added = this.recorded.schema.add_series(object, metric, kind, unit, repr);
        added.expect("room");
        this.recorded.sync();
        this
    }

    /// The values of the record that comes `index`-th; every fifth lacks one of them.
    fn value(index: u64, series: usize) -> Option<f64> {
        let absent = index % 5 == 4 && series as u64 == index % 7;
        (!absent).then(|| match series {
            0 => index as f64 / 7.0,
            1 => (index * 1000) as f64,
            2 | 3 => (index * 31 + series as u64) as f64 / 100.0,
            4 => (u64::from(u32::MAX) * index) as f64,
            5 => (index * 512) as f64,
            _ => index as f64 * 0.5,
        })
    }

    fn publish(&mut self, index: u64) -> u64 {
        for (series, (object, metric)) in SERIES.into_iter().enumerate() {
            let Some(column) = self.recorded.schema.column(object, metric) else { continue };
            let word = match Self::value(index, series) {
                None => ABSENT,
                Some(value) => match series {
                    0 | 6 => word_of_f64(value),
                    2 | 3 => index * 31 + series as u64,
                    5 => index,
                    _ => value as u64,
                },
            };
            self.recorded.record.words_mut()[column] = word;
        }
        self.now_ns += S;
        self.recorded.publish(self.now_ns, self.now_ns - START_NS + S, 0, false)
    }

    fn ring(&self) -> Ring<ReadMap> {
        self.recorded.writer().ring()
    }
}

/// What of the records `indices`, published one a second, must be told of each series.
fn expected(indices: impl Iterator<Item = u64> + Clone) -> Samples {
    let mut samples = Samples::new();
    for (series, name) in NAMES.into_iter().enumerate() {
        for index in indices.clone() {
            if let Some(value) = Machine::value(index, series) {
                let time_ms = (START_NS + index * S) / MS;
                samples.entry(name.to_owned()).or_default().push((Some(time_ms), value));
            }
        }
    }
    samples
}

/// Without those that have no column.
fn columns_of(mut samples: Samples) -> Samples {
    samples.retain(|name, _| NAMES.contains(&&**name));
    samples
}

#[test]
fn newest_record_is_told_whole_and_without_times() {
    let mut machine = Machine::new(64);
    let ring = machine.ring();
    for exposition in [Exposition::Text, Exposition::OpenMetrics] {
        assert_eq!(newest(&ring, exposition, Collectors::ALL), exposition.end(), "no record yet");
    }
    for index in 1..20 {
        machine.publish(index);
        for exposition in [Exposition::Text, Exposition::OpenMetrics] {
            let told = read(&newest(&ring, exposition, Collectors::ALL), exposition);
            assert_eq!(told["node_time_seconds"], [(None, (machine.now_ns / S) as f64)]);
            // What the newest record lacks, the one before it has.
            let mut oracle = expected(index..=index);
            for (name, points) in expected(index - 1..=index - 1) {
                let points = if index > 1 { points } else { Vec::new() };
                oracle.entry(name).or_insert(points);
            }
            oracle.retain(|_, points| !points.is_empty());
            oracle.values_mut().for_each(|points| points[0].0 = None);
            assert_eq!(columns_of(told), oracle, "record {index}");
        }
    }
    let only = Collectors::named("cpu").expect("a collector");
    let told = newest(&ring, Exposition::Text, only);
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.",
            "# TYPE node_cpu_seconds_total counter",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 5.91",
            "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 5.92",
        ]
    );
    let told = newest(&ring, Exposition::OpenMetrics, only);
    assert!(told.starts_with("# TYPE node_cpu_seconds counter\n# UNIT node_cpu_seconds seconds\n"));
}

#[test]
fn history_has_every_record_of_every_series_with_its_time() {
    let mut machine = Machine::new(256);
    (1..=200).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    for exposition in [Exposition::Text, Exposition::OpenMetrics] {
        for (from, first) in [
            (HistoryFrom::Since(0), 1),
            (HistoryFrom::Since(150), 151),
            (HistoryFrom::After(START_NS + 180 * S), 181),
            (HistoryFrom::After(START_NS + 180 * S - 1), 180),
        ] {
            let (text, history) = history(&ring, exposition, from);
            assert_eq!(columns_of(read(&text, exposition)), expected(first..=200), "{from:?}");
            let reach = history.reach();
            assert_eq!((reach.last_seq, reach.last_ns), (200, machine.now_ns));
            assert_eq!((reach.records, reach.overrun), (200 - first + 1, 0));
        }
        let (text, history) = history(&ring, exposition, HistoryFrom::Since(200));
        assert_eq!((&*text, history.reach().last_seq), (exposition.end(), 200), "nothing is new");
        let far = HistoryFrom::Since(u64::MAX);
        assert_eq!(self::history(&ring, exposition, far).0, exposition.end());
    }
}

#[test]
fn long_history_is_the_same_in_parts() {
    let mut machine = Machine::new(4096);
    (1..=4000).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    let (text, _) = history(&ring, Exposition::Text, HistoryFrom::Since(0));
    assert!(text.len() > 10 * tachograph::encode::PART_BYTES);
    assert_eq!(columns_of(read(&text, Exposition::Text)), expected(1..=4000));
}

#[test]
fn full_ring_gives_what_is_safe_from_the_writer_and_counts_the_rest() {
    let mut machine = Machine::new(64);
    (1..=200).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    let slots = ring.geometry().slot_count;
    let first = 200 - slots + 1 + slots / 32;
    let (text, history) = history(&ring, Exposition::Text, HistoryFrom::Since(100));
    assert_eq!(columns_of(read(&text, Exposition::Text)), expected(first..=200));
    assert_eq!(history.reach().overrun, first - 101);
}

#[test]
fn answer_that_the_writer_overtakes_is_broken_off() {
    let mut machine = Machine::new(64);
    (1..=60).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    let (mut sheets, wanted) = (Sheets::of("host"), (Exposition::Text, Collectors::ALL));
    let mut scrape = Scrape::begin(&ring, &mut sheets, wanted).expect("nobody writes");
    let mut history = History::default();
    history.begin(&ring, &mut sheets, HistoryFrom::Since(0), wanted, 8).expect("nobody writes");
    (61..=130).for_each(|index| assert_eq!(machine.publish(index), index));
    assert!(scrape.part(&ring, &mut Vec::new()).is_err());
    assert!(history.part(&ring, &mut Vec::new()).is_err());
}

#[test]
fn series_that_goes_and_returns_is_one_and_its_column_is_nobody_elses() {
    let mut machine = Machine::new(256);
    (1..=50).for_each(|index| assert_eq!(machine.publish(index), index));
    let (object, metric) = SERIES[4];
    machine.recorded.schema.end(machine.recorded.schema.column(object, metric).expect("it lives"));
    machine.recorded.schema.add("nic/wlan0", "receive_bytes").expect("room");
    machine.recorded.sync();
    machine.recorded.set("nic/wlan0", "receive_bytes", 7);
    (51..=70).for_each(|index| assert_eq!(machine.publish(index), index));
    machine.recorded.schema.add(object, metric).expect("room");
    machine.recorded.sync();
    (71..=90).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    let (text, _) = history(&ring, Exposition::Text, HistoryFrom::Since(0));
    let told = read(&text, Exposition::Text);
    let mut oracle = expected(1..=90);
    let lived = |time: &(Option<u64>, f64)| {
        let index = (time.0.expect("a time") * MS - START_NS) / S;
        !(51..=70).contains(&index)
    };
    oracle.get_mut(NAMES[4]).expect("it has points").retain(lived);
    let other = &told["node_network_receive_bytes_total{device=\"wlan0\"}"];
    assert_eq!((other.len(), other.iter().all(|point| point.1 == 7.0)), (40, true));
    assert_eq!(columns_of(told), oracle);
}

#[test]
fn clock_that_was_set_back_gives_no_time_twice() {
    let mut machine = Machine::new(256);
    (1..=50).for_each(|index| assert_eq!(machine.publish(index), index));
    machine.now_ns -= 20 * S;
    (51..=90).for_each(|index| assert_eq!(machine.publish(index), index));
    let (text, history) = history(&machine.ring(), Exposition::OpenMetrics, HistoryFrom::Since(0));
    let told = read(&text, Exposition::OpenMetrics);
    assert_eq!(told["node_time_seconds"].len() as u64, history.reach().records);
    assert_eq!((history.reach().records, history.reach().unordered), (70, 20));
    assert_eq!(history.reach().last_seq, 90);
}

#[test]
fn steady_scrapes_and_histories_lay_out_their_text_once() {
    let mut machine = Machine::new(64);
    (1..=10).for_each(|index| assert_eq!(machine.publish(index), index));
    let ring = machine.ring();
    let mut sheets = Sheets::of("host");
    let living = sheets.living(&ring);
    machine.publish(11);
    assert!(std::sync::Arc::ptr_eq(&living, &sheets.living(&ring)));
    machine.recorded.schema.add("nic/wlan0", "receive_bytes").expect("room");
    machine.recorded.sync();
    assert_eq!(sheets.living(&ring).len(), living.len() + 1);
}

/// A source with a divisor came and went with every scrape.
#[test]
fn source_that_is_read_rarely_is_told_by_its_last_value() {
    let mut recorded = Recorded::new(256, Duration::from_secs(1), &SERIES[..2]);
    let mut now_ns = START_NS;
    let mut tick = |word| {
        recorded.set("host", "forks", word);
        now_ns += S;
        recorded.publish(now_ns, now_ns, 0, false);
        let told = newest(&recorded.writer().ring(), Exposition::Text, Collectors::ALL);
        read(&told, Exposition::Text).get("node_forks_total").map(|points| points[0].1)
    };
    assert_eq!(tick(ABSENT), None, "it has not been read yet");
    assert_eq!(tick(7), Some(7.0));
    for _ in 0..64 {
        assert_eq!(tick(ABSENT), Some(7.0));
    }
    assert_eq!(tick(ABSENT), None, "that is no longer now");
    assert_eq!(tick(8), Some(8.0));
}
