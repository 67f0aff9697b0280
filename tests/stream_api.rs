//! What a client of a stream sees: every record once, in order, and what is not there by its reason.

#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/http.rs"]
mod support;

use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scratch::Scratch;
use serde_json::Value;
use support::{Client, FOREVER, Running};
use tachograph::http::query::{self, StreamParameters};
use tachograph::http::{
    Counters, Fed, Feed, Limits, RingVitals, Rings, SavedVitals, Settings, Vitals,
};
use tachograph::{Kind, Producer, RunDir, SeriesOf, Unit, WriterOptions};

const S: u64 = 1_000_000_000;

/// A lane with two series, whose values tell which record they are of.
struct Lane {
    producer: Producer,
    whole: SeriesOf<u64>,
    half: SeriesOf<f64>,
}

impl Lane {
    fn open(dir: &Path, depth_records: u64) -> Self {
        let dir = RunDir::for_writing(Some(dir)).expect("it is fit for a ring");
        let mut lane = Producer::declare(&dir, "shop").expect("nobody has it");
        let whole = lane.add("queue/orders", "taken", Kind::Counter, Unit::Count).expect("room");
        let half = lane.add("queue/orders", "load", Kind::Gauge, Unit::Ratio).expect("room");
        let options =
            WriterOptions { depth_records, ..WriterOptions::every(Duration::from_millis(1)) };
        Self { producer: lane.start(&options).expect("room"), whole, half }
    }

    fn publish(&mut self, records: u64) {
        for _ in 0..records {
            let seq = self.producer.writer().head() + 1;
            self.producer.set(&self.whole, 10 * seq);
            if seq.is_multiple_of(2) {
                self.producer.set(&self.half, seq as f64 / 2.0);
            }
            self.producer.publish_at(1_795_000_000 * S + seq, seq);
        }
    }
}

fn serve(dir: &Path, limits: Limits) -> Running {
    let dir = Arc::new(dir.to_owned());
    Running::serving(
        move |_| {
            let rings = Rings::of(vec![dir.to_path_buf()], Rc::new(Counters::default()));
            Rc::new(RingVitals::at(&dir.join("host.ring")).with_rings(rings))
        },
        Settings { limits, ..Settings::default() },
    )
}

/// An event as it came.
#[derive(Debug)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

fn events(text: &str) -> Vec<Event> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    };
    let event = |block: &str| {
        let data = field(block, "data: ")?;
        Some(Event {
            name: field(block, "event: ").expect("every event has a name"),
            id: field(block, "id: "),
            data: serde_json::from_str(&data).expect("JSON"),
        })
    };
    text.split("\n\n").filter_map(event).collect()
}

fn sequences(events: &[Event]) -> Vec<u64> {
    let frames = events.iter().filter(|event| event.name == "records");
    frames
        .flat_map(|frame| frame.data["records"].as_array().expect("a list"))
        .map(|record| record[0].as_u64().expect("a sequence"))
        .collect()
}

#[test]
fn replay_is_what_was_published_also_across_a_reconnect() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 4096);
    lane.publish(1000);
    let server = serve(scratch.path(), Limits::default());
    let mut client = server.connect();
    let reply = client.get("/api/v1/stream?ring=shop&since_seq=0&frames=2");
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    assert!(reply.text().starts_with("retry: 2000\n\n"), "{}", reply.text());
    let first = events(reply.text());
    let names: Vec<&str> = first.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["series", "records", "end"]);
    assert_eq!(first[0].data["series"][1]["metric"], "load");
    assert_eq!(first[1].data["records"][0][2], serde_json::json!([10, null]));
    assert_eq!(first[1].data["records"][1][2], serde_json::json!([20, 1.0]));
    assert_eq!(first[2].data["reason"], "frames");
    lane.publish(500);
    let id = first[1].id.as_ref().expect("an id");
    client.send(format!(
        "GET /api/v1/stream?ring=shop&since_seq=0&frames=2 HTTP/1.1\r\nHost: t\r\n\
         Last-Event-ID: {id}\r\n\r\n"
    ));
    let second = events(client.reply().text());
    let mut seen = sequences(&first);
    seen.extend(sequences(&second));
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert_eq!(seen.len(), 1500);
    server.stop();
}

#[test]
fn what_was_overwritten_is_told_and_another_ring_is_not_taken_for_this_one() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(100);
    let server = serve(scratch.path(), Limits::default());
    let told = events(server.get("/api/v1/stream?ring=shop&since_seq=10&frames=2").text());
    let gap = told.iter().find(|event| event.name == "gap").expect("a gap");
    assert_eq!(gap.data["reason"], "overrun");
    let seen = sequences(&told);
    assert_eq!(gap.data["before"], seen[0]);
    assert_eq!(gap.data["count"], seen[0] - 11);
    assert_eq!(seen.last(), Some(&100));
    // A record of that number, but of another time; and a number that there is not.
    for id in ["95-7", "5000"] {
        let mut client = server.connect();
        client.send(format!(
            "GET /api/v1/stream?ring=shop&frames=2 HTTP/1.1\r\nHost: t\r\nLast-Event-ID: {id}\r\n\r\n"
        ));
        let told = events(client.reply().text());
        assert_eq!((&*told[0].name, &told[0].data["continues"]), ("ring", &false.into()), "{id}");
        assert_eq!(sequences(&told).last(), Some(&100), "{id}");
        assert!(sequences(&told).len() > 10, "{id}: from the oldest on");
    }
    server.stop();
}

#[test]
fn refusals_name_what_is_wrong() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(3);
    let server = serve(scratch.path(), Limits { streams_max: 1, ..Limits::default() });
    assert_eq!(server.get("/api/v1/stream?ring=none").status, 404);
    assert_eq!(server.get("/api/v1/stream").status, 503, "there is no ring of the host");
    for query in ["frames=0", "frames=x", "since_seq=-1", "interval=1y", "match=a[", "what=1"] {
        let reply = server.get(&format!("/api/v1/stream?ring=shop&{query}"));
        assert_eq!(reply.status, 400, "{query}");
        let text = reply.text();
        assert!(text.contains(query.split('=').next().expect("a name")), "{query}: {text}");
    }
    let mut client = server.connect();
    client.send("GET /api/v1/stream?ring=shop HTTP/1.1\r\nHost: t\r\nLast-Event-ID: 1-2-3\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("Last-Event-ID"), "{}", reply.text());
    // A stream that is open has the only place.
    let mut open = server.connect();
    open.send("GET /api/v1/stream?ring=shop HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(open.head().status, 200);
    let reply = server.get("/api/v1/stream?ring=shop");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    let ended = server.stop();
    assert_eq!(ended.counters["streams_refused"], 1);
}

#[test]
fn series_of_which_none_match_give_records_without_values() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(3);
    let server = serve(scratch.path(), Limits::default());
    let told = events(server.get("/api/v1/stream?ring=shop&match=none*&frames=2").text());
    assert_eq!(told[0].data["series"], serde_json::json!([]));
    assert_eq!(told[1].data["records"][0][2], serde_json::json!([]));
    assert_eq!(sequences(&told), [3], "the newest, where nothing else is asked for");
    server.stop();
}

#[test]
fn head_gives_the_header_and_holds_no_place() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(3);
    let server = serve(scratch.path(), Limits { streams_max: 1, ..Limits::default() });
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("HEAD /api/v1/stream?ring=shop HTTP/1.1\r\nHost: t\r\n\r\n");
        let head = client.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    }
    server.stop();
}

#[test]
fn stream_follows_a_fast_lane_in_few_frames_and_ends_when_the_server_stops() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 1 << 16);
    lane.publish(1);
    let server = serve(scratch.path(), Limits::default());
    let begun = Instant::now();
    let mut client = server.connect();
    client.send("GET /api/v1/stream?ring=shop&since_seq=0 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    for _ in 0..1500 {
        lane.publish(1);
        std::thread::sleep(Duration::from_millis(1));
    }
    let text = read_until(&mut client, "\"2026-", 1501);
    let tenths = begun.elapsed().as_millis() as usize / 100;
    let ending = server.ask_to_stop();
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).expect("an orderly end");
    let ended = ending.join().expect("the server");
    assert_eq!(ended.dropped, 0);
    let rest = String::from_utf8(rest).expect("UTF-8");
    assert!(rest.contains("event: end\ndata: {\"reason\":\"stopping\"}"), "{rest}");
    let frames = text.matches("event: records").count();
    assert!((2..tenths + 3).contains(&frames), "{frames} frames in {tenths} tenths of a second");
}

#[test]
fn client_that_the_ring_overtakes_again_and_again_is_let_go_with_the_reason() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(1);
    let server = serve(scratch.path(), Limits::default());
    let mut client = server.connect();
    client.send("GET /api/v1/stream?ring=shop HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::Relaxed) {
                lane.publish(100);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let text = read_until(&mut client, "event: end", 1);
    is_over.store(true, Ordering::Relaxed);
    writer.join().expect("the writer");
    assert!(text.contains("event: end\ndata: {\"reason\":\"slow\"}"), "{text}");
    assert!(text.contains("\"reason\":\"overrun\""), "{text}");
    assert_eq!(server.stop().counters["streams_too_slow"], 1);
}

#[test]
fn quiet_stream_says_now_and_then_that_it_is_there() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 16);
    lane.publish(1);
    let server = serve(scratch.path(), Limits::default());
    let mut client = server.connect();
    client.send("GET /api/v1/stream?ring=shop HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let text = read_until(&mut client, "\n:\n", 1);
    assert_eq!(text.matches("event: records").count(), 1, "nothing was recorded meanwhile: {text}");
    server.stop();
}

/// What the ring `shop` in `dir` gives to a client that asks so, without the pauses of a server.
fn feed(dir: &Path, query: &str) -> Box<dyn Feed> {
    let rings = Rings::of(vec![dir.to_owned()], Rc::new(Counters::default()));
    let vitals = RingVitals::at(&dir.join("host.ring")).with_rings(rings);
    let wanted: StreamParameters = query::parse(query).expect("sound");
    vitals.stream(&wanted).expect("the ring is there")
}

/// All events up to the one that `is_last`.
fn fed(feed: &mut dyn Feed, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let (begun, mut text) = (Instant::now(), Vec::new());
    loop {
        if let Fed::Wait(_) = feed.frame(&mut text) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let events = events(std::str::from_utf8(&text).expect("UTF-8"));
        if events.last().is_some_and(&is_last) {
            return events;
        }
        assert!(begun.elapsed() < FOREVER, "{events:?}");
    }
}

#[test]
fn writer_that_starts_again_and_a_ring_in_the_place_of_another_are_told() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 64);
    lane.publish(3);
    let mut feed = feed(scratch.path(), "ring=shop&since_seq=0");
    let is_of = |seq: u64| {
        move |event: &Event| {
            event.name == "records"
                && event.data["records"]
                    .as_array()
                    .is_some_and(|list| list.last().is_some_and(|record| record[0] == seq))
        }
    };
    let told = fed(&mut *feed, is_of(3));
    assert_eq!(sequences(&told), [1, 2, 3]);
    drop(lane);
    let mut lane = Lane::open(scratch.path(), 64);
    lane.publish(2);
    let told = fed(&mut *feed, is_of(5));
    let gap = told.iter().find(|event| event.name == "gap").expect("a gap");
    assert_eq!((&gap.data["reason"], &gap.data["before"]), (&"epoch".into(), &4.into()));
    assert_eq!(sequences(&told), [4, 5]);
    drop(lane);
    std::fs::remove_file(scratch.path().join("shop.ring")).expect("it is there");
    let mut lane = Lane::open(scratch.path(), 64);
    lane.publish(2);
    let told = fed(&mut *feed, is_of(2));
    let other = told.iter().find(|event| event.name == "ring").expect("it is another ring");
    assert_eq!(other.data["continues"], false);
    assert_eq!(sequences(&told), [1, 2]);
}

#[test]
fn saved_ring_is_told_to_its_end() {
    let scratch = Scratch::new();
    let mut lane = Lane::open(scratch.path(), 64);
    lane.publish(3);
    drop(lane);
    let file = scratch.path().join("kept.ring");
    std::fs::copy(scratch.path().join("shop.ring"), &file).expect("copied");
    let wanted: StreamParameters = query::parse("since_seq=1").expect("sound");
    let mut feed = SavedVitals::open(&file).expect("a ring").stream(&wanted).expect("a stream");
    let mut text = Vec::new();
    let mut frames = 0;
    let ended = loop {
        match feed.frame(&mut text) {
            Fed::Frame => frames += 1,
            other => break other,
        }
        assert!(frames < 10, "there are two records");
    };
    assert_eq!(ended, Fed::End("saved"));
    assert_eq!(sequences(&events(std::str::from_utf8(&text).expect("UTF-8"))), [2, 3]);
}

/// Reads chunks until `what` has come so often. The text still has the lengths of the chunks in it.
fn read_until(client: &mut Client, what: &str, times: usize) -> String {
    let (mut text, mut block) = (String::new(), [0; 16 * 1024]);
    while text.matches(what).count() < times {
        let read = client.stream.read(&mut block).expect("more to come");
        assert!(read > 0, "the stream ended early");
        text += std::str::from_utf8(&block[..read]).expect("ASCII");
    }
    text
}
