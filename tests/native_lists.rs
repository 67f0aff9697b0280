//! The lists of the native API are whole, of one moment, and in bounds, whatever the writers of the
//! rings do while an answer is being sent.
//!
//! The oracle is made of a copy of the record and of the whole directory.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tachograph::http::limits::{CHOICES_MAX, REFUSED_MAX, RINGS_MAX};
use tachograph::http::query::{self, ListParameters};
use tachograph::http::{
    Counters, Listing, PART_BYTES, Part, Pull, RingVitals, Rings, Vitals, VitalsError,
};
use tachograph::record::Record;
use tachograph::ring::{Value, layout};
use tachograph::{Kind, Producer, Reader, RunDir, SeriesOf, Unit, WriterOptions};

#[path = "support/scratch.rs"]
mod scratch;
use scratch::Scratch;

const S: u64 = 1_000_000_000;
/// Room that a part may take beyond its size: the longest element.
const SLACK_BYTES: usize = 8 << 10;

/// An application with many series, each third of which is a double.
struct Many {
    producer: Producer,
    whole: Vec<(usize, SeriesOf<u64>)>,
    broken: Vec<(usize, SeriesOf<f64>)>,
}

impl Many {
    fn open(dir: &Path, name: &str, series: usize, depth_records: u64) -> Self {
        let dir = RunDir::for_writing(Some(dir)).expect("it is fit for a ring");
        let mut many = Producer::declare(&dir, name).expect("nobody has it");
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        for index in 0..series {
            let object = format!("worker/\"{index}\"");
            if index % 3 == 0 {
                let series = many.add(&object, "load", Kind::Gauge, Unit::Ratio);
                broken.push((index, series.expect("room")));
            } else {
                let series = many.add(&object, "jobs", Kind::Counter, Unit::Count);
                whole.push((index, series.expect("room")));
            }
        }
        let options =
            WriterOptions { depth_records, ..WriterOptions::every(Duration::from_secs(1)) };
        Self { producer: many.start(&options).expect("room"), whole, broken }
    }

    /// Publishes a record whose values tell which one it is; of each seventh series it has none.
    fn publish(&mut self) -> u64 {
        let seq = self.producer.writer().head() + 1;
        for (index, series) in self.whole.iter().filter(|(index, _)| index % 7 > 0) {
            self.producer.set(series, seq << 32 | *index as u64);
        }
        for (index, series) in self.broken.iter().filter(|(index, _)| index % 7 > 0) {
            self.producer.set(series, seq as f64 + 0.5_f64.powi(*index as i32 % 9));
        }
        self.producer.publish_at(1_795_000_000 * S + seq * S, seq * S)
    }

    fn latest(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Json {
        let ring = self.producer.writer().ring();
        let mut record = Record::default();
        ring.latest(|view| view.copy_into(&mut record)).expect("a record");
        let seq = record.header.seq;
        let directory = ring.directory();
        let mut values = Vec::new();
        for entry in directory.iter().filter(|entry| entry.covers(seq)) {
            let series = &entry.series;
            if !wanted(&format!("{}/{}", series.object, series.metric)) {
                continue;
            }
            let value = match Value::of(record.words()[entry.column], series) {
                Some(Value::U64(value)) => json!(value),
                Some(Value::F64(value)) => json!(value),
                None => continue,
            };
            let (object, metric, unit) = (&series.object, &series.metric, series.unit.as_str());
            values.push(json!({"object": object, "metric": metric, "unit": unit, "value": value}));
        }
        let time = jiff::Timestamp::from_nanosecond(record.header.realtime_ns.into());
        let time = format!("{:.6}", time.expect("a moment"));
        json!({"name": name, "seq": seq, "time": time, "values": values})
    }
}

fn vitals(dir: &Path) -> (RingVitals, Rc<Counters>) {
    let counters = Rc::<Counters>::default();
    let rings = Rings::of(vec![dir.to_owned()], Rc::clone(&counters));
    (RingVitals::at(&dir.join("host.ring")).with_rings(rings), counters)
}

fn wanted(query: &str) -> ListParameters {
    query::parse(query).expect("sound")
}

/// All parts of an answer; `between` runs after each but the last.
fn parts(mut pull: Box<dyn Pull>, mut between: impl FnMut(usize)) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    loop {
        let mut out = Vec::new();
        let part = pull.part(&mut out);
        assert!(out.len() <= PART_BYTES + SLACK_BYTES, "a part of {} bytes", out.len());
        assert!(!out.is_empty() && part != Part::Broken);
        parts.push(out);
        if part == Part::Last {
            return parts;
        }
        between(parts.len());
    }
}

fn answer(vitals: &RingVitals, listing: Listing) -> Json {
    let parts = parts(vitals.list(listing).expect("it can be listed"), |_| {});
    serde_json::from_slice(&parts.concat()).expect("JSON")
}

#[test]
fn answers_of_any_length_are_what_the_rings_hold() {
    let scratch = Scratch::new();
    let (mut a, mut b) =
        (Many::open(scratch.path(), "a", 3000, 8), Many::open(scratch.path(), "b", 10, 8));
    for _ in 0..3 {
        a.publish();
        b.publish();
    }
    let (vitals, _) = vitals(scratch.path());
    let latest = answer(&vitals, Listing::Latest(wanted("")));
    assert_eq!(latest, json!({"rings": [a.latest("a", |_| true), b.latest("b", |_| true)]}));
    let some = |name: &str| name.ends_with("9\"/load");
    let latest = answer(&vitals, Listing::Latest(wanted("match=*9\"/load")));
    assert_eq!(latest, json!({"rings": [a.latest("a", some), b.latest("b", some)]}));
    let latest = answer(&vitals, Listing::Latest(wanted("ring=b&match=*/jobs&match=*/load")));
    assert_eq!(latest, json!({"rings": [b.latest("b", |_| true)]}));

    let whole = parts(vitals.list(Listing::Series(wanted(""))).expect("listed"), |_| {});
    assert!(whole.len() > 3, "in {} parts", whole.len());
    let series: Json = serde_json::from_slice(&whole.concat()).expect("JSON");
    let time_of = |seq: u64| {
        let stamp = jiff::Timestamp::from_second((1_795_000_000 + seq).cast_signed());
        format!("{:.6}", stamp.expect("a moment"))
    };
    let list = |name: &str, many: &Many| {
        let entry = |entry: &tachograph::ring::Entry| {
            let series = &entry.series;
            json!({
                "ring": name, "object": series.object, "metric": series.metric,
                "kind": series.kind.as_str(), "unit": series.unit.as_str(),
                "repr": series.repr.as_str(), "first": entry.first,
                "last": (entry.last != layout::LIVES).then_some(entry.last),
                "first_time": time_of(entry.first), "last_time": null,
                // Nobody but the application knows what its series are.
                "help": null,
            })
        };
        let directory = many.producer.writer().ring().directory();
        directory.iter().map(entry).collect::<Vec<_>>()
    };
    let expected = [list("a", &a), list("b", &b)].concat();
    assert_eq!(expected.len(), 3010);
    assert_eq!(series, json!({"series": expected}));
}

#[test]
fn series_that_have_ended_are_listed_for_as_long_as_a_record_has_them() {
    let scratch = Scratch::new();
    let mut many = Many::open(scratch.path(), "a", 4, 4);
    many.publish();
    let (_, first) = many.broken.remove(0);
    many.producer.end(first);
    many.publish();
    let (vitals, _) = vitals(scratch.path());
    let series = |query: &str| {
        let series = answer(&vitals, Listing::Series(wanted(query)));
        series["series"].as_array().expect("a list").clone()
    };
    let ended = series("match=worker/\"0\"/load");
    assert_eq!((ended.len(), &ended[0]["first"], &ended[0]["last"]), (1, &json!(1), &json!(1)));
    assert_eq!(ended[0]["first_time"], "2026-11-18T11:06:41.000000Z");
    assert_eq!(ended[0]["last_time"], ended[0]["first_time"]);
    let latest = answer(&vitals, Listing::Latest(wanted("match=worker/\"0\"/load")));
    assert_eq!(latest["rings"][0]["values"], json!([]));
    for _ in 0..4 {
        many.publish();
    }
    assert_eq!((series("match=worker/\"0\"/load").len(), series("").len()), (0, 3));
}

/// Nothing of 40,000 series is wanted: a part ends after so many, says by white space that there is
/// more, and the answer is JSON.
#[test]
fn looking_for_what_is_not_there_is_done_in_parts_as_well() {
    let scratch = Scratch::new();
    let mut many = Many::open(scratch.path(), "a", 40_000, 2);
    many.publish();
    let (vitals, _) = vitals(scratch.path());
    for listing in [Listing::Latest(wanted("match=no*")), Listing::Series(wanted("match=no*"))] {
        let parts = parts(vitals.list(listing).expect("listed"), |_| {});
        assert!(parts.len() >= 40_000 / 4096, "{} parts", parts.len());
        assert!(parts.concat().len() < 200);
        serde_json::from_slice::<Json>(&parts.concat()).expect("JSON");
    }
}

/// A client read so slowly that the writer had published others, begun and ended series, and made a
/// larger ring, before the answer was through.
#[test]
fn record_that_is_sent_in_several_parts_is_one_record() {
    let scratch = Scratch::new();
    let mut many = Many::open(scratch.path(), "a", 3000, 64);
    many.publish();
    let expected = many.latest("a", |_| true);
    let (vitals, _) = vitals(scratch.path());
    let pull = vitals.list(Listing::Latest(wanted(""))).expect("listed");
    let mut times = 0;
    let parts = parts(pull, |written| {
        times = written;
        // The last series goes and its column is another's at once.
        let (_, last) = many.whole.pop().expect("there are many");
        many.producer.end(last);
        let other = format!("other/{written}");
        many.producer.add::<u64>(&other, "x", Kind::Gauge, Unit::Count).expect("room");
        many.publish();
        // Somebody else's answer keeps the same plan up to date.
        answer(&vitals, Listing::Latest(wanted("")));
    });
    assert!(times >= 3, "{times}");
    let latest: Json = serde_json::from_slice(&parts.concat()).expect("JSON");
    let latest = &latest["rings"][0];
    let mut values = expected["values"].as_array().expect("a list").clone();
    // What has ended meanwhile may be left out, but nothing takes its place.
    let found = latest["values"].as_array().expect("a list");
    assert!(found.len() >= values.len() - times, "{} of {}", found.len(), values.len());
    values.retain(|value| found.contains(value));
    assert_eq!((found, &latest["seq"], &latest["time"]), (&values, &json!(1), &expected["time"]));
    assert!(latest.get("overrun").is_none());
}

#[test]
fn answer_that_the_writer_overtakes_says_so_and_is_still_whole() {
    let scratch = Scratch::new();
    let mut many = Many::open(scratch.path(), "a", 3000, 2);
    let mut small = Many::open(scratch.path(), "b", 3, 2);
    many.publish();
    small.publish();
    let expected = many.latest("a", |_| true);
    let (vitals, _) = vitals(scratch.path());
    let pull = vitals.list(Listing::Latest(wanted(""))).expect("listed");
    let parts = parts(pull, |_| {
        (0..3).for_each(|_| assert!(many.publish() > 1));
    });
    let latest: Json = serde_json::from_slice(&parts.concat()).expect("JSON");
    let overrun = &latest["rings"][0];
    assert_eq!((&overrun["seq"], &overrun["overrun"]), (&json!(1), &json!(true)));
    let (all, found) = (expected["values"].as_array(), overrun["values"].as_array());
    let (all, found) = (all.expect("a list"), found.expect("a list"));
    assert!(!found.is_empty() && found.len() < all.len());
    assert_eq!(found[..], all[..found.len()]);
    assert_eq!(latest["rings"][1], small.latest("b", |_| true), "the other is not hurt");
}

#[test]
fn ring_without_a_record_has_no_values() {
    let scratch = Scratch::new();
    let many = Many::open(scratch.path(), "a", 3, 2);
    let (vitals, _) = vitals(scratch.path());
    let latest = answer(&vitals, Listing::Latest(wanted("")));
    assert_eq!(latest, json!({"rings": [{"name": "a", "seq": 0, "values": []}]}));
    let rings = answer(&vitals, Listing::Rings);
    assert_eq!((&rings["rings"][0]["head"], &rings["rings"][0]["series"]), (&json!(0), &json!(3)));
    drop(many);
}

#[test]
fn more_rings_than_can_be_served_are_counted_and_told() {
    let scratch = Scratch::new();
    let first = Many::open(scratch.path(), "a-00", 1, 2);
    let path = |name: &str| scratch.path().join(format!("{name}.ring"));
    for index in 1..RINGS_MAX + 6 {
        std::fs::copy(path("a-00"), path(&format!("a-{index:02}"))).expect("copied");
    }
    for index in 0..REFUSED_MAX + 3 {
        std::fs::write(path(&format!("0-{index:02}")), "none").expect("written");
    }
    let (vitals, counters) = vitals(scratch.path());
    let rings = answer(&vitals, Listing::Rings);
    let len = |list: &str| rings[list].as_array().map(Vec::len);
    assert_eq!((len("rings"), len("refused")), (Some(RINGS_MAX), Some(REFUSED_MAX)));
    assert_eq!(rings["left_out"], 6 + 3);
    assert_eq!(counters.rings_refused.get(), REFUSED_MAX as u64);
    assert_eq!(counters.rings_left_out.get(), 1);
    drop(first);
}

/// Words of a ring that is being served are set to anything, as a writer that has gone mad would: the
/// answers are JSON, have an end, and the ring beside it is whole.
#[test]
fn ring_that_is_damaged_while_it_is_served_hurts_nobody() {
    let scratch = Scratch::new();
    let mut mad = Many::open(scratch.path(), "a", 40, 4);
    let mut sound = Many::open(scratch.path(), "b", 5, 4);
    for _ in 0..6 {
        mad.publish();
        sound.publish();
    }
    let (vitals, _) = vitals(scratch.path());
    answer(&vitals, Listing::Latest(wanted("")));
    let path = scratch.path().join("a.ring");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("ours");
    let words = std::fs::metadata(&path).expect("there").len() / 8;
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for turn in 0..600 {
        // The immutable part is copied once and not looked at again.
        let place = match turn % 3 {
            0 => 32 + next() % 32,
            1 => 512 + next() % 600,
            _ => 32 + next() % (words - 32),
        };
        let value = match next() % 4 {
            0 => 0,
            1 => u64::MAX,
            2 => next() % 64,
            _ => next(),
        };
        std::os::unix::fs::FileExt::write_all_at(&file, &value.to_le_bytes(), place * 8)
            .expect("in the file");
        for listing in [Listing::Rings, Listing::Series(wanted("")), Listing::Latest(wanted(""))] {
            let list = answer(&vitals, listing.clone());
            if let Listing::Latest(_) = listing {
                assert_eq!(list["rings"][1], sound.latest("b", |_| true), "turn {turn}");
            }
        }
    }
}

#[test]
fn ring_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    let (vitals, _) = vitals(&scratch.path().join("no/such/place"));
    assert_eq!(answer(&vitals, Listing::Rings)["rings"], json!([]));
    let refused = vitals.list(Listing::Series(wanted("ring=a")));
    assert!(matches!(refused, Err(VitalsError::UnknownRing(name)) if name == "a"));
    let alone = RingVitals::at(&scratch.path().join("host.ring"));
    assert!(matches!(alone.list(Listing::Rings), Err(VitalsError::Absent)));
    assert!(Reader::open(&scratch.path().join("a.ring")).is_err());
    assert!(query::parse::<ListParameters>(&"match=a&".repeat(CHOICES_MAX + 1)).is_err());
}
