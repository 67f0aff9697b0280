//! `/metrics` and `/metrics/history` over HTTP: formats, families, cursors, and what is refused.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tachograph::http::limits::CURSORS_MAX;
use tachograph::http::{RingVitals, Rings, Settings};
use tachograph::record::word_of_f64;
use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};

#[path = "support/http.rs"]
mod http;
#[path = "support/recorded.rs"]
mod recorded;

use http::{FOREVER, Reply, Running};
use recorded::Recorded;

const S: u64 = 1_000_000_000;
const START_NS: u64 = 1_795_000_000 * S;

/// A recorder that publishes when it is told, and a front end over its ring.
struct House {
    recorded: Recorded,
    running: Option<Running>,
}

impl House {
    fn new() -> Self {
        let series = [("host", "load1"), ("host", "forks"), ("cpu/0", "user_ticks")];
        let recorded = Recorded::new(4096, Duration::from_secs(1), &series);
        let mut house = Self { recorded, running: None };
        house.serve();
        house
    }

    fn dir(&self) -> PathBuf {
        self.recorded.writer().path().parent().expect("a directory").to_owned()
    }

    fn cursors(&self) -> PathBuf {
        self.dir().join("cursors.json")
    }

    /// What is kept of the cursors, once `is_there` says that it is what is waited for: a client can
    /// have the answer before the server has noted that it was sent.
    fn kept(&self, is_there: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            match fs::read_to_string(self.cursors()) {
                Ok(text) if is_there(&text) => return text,
                _ => assert!(begun.elapsed() < FOREVER, "it is kept"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts the front end, anew if there is one.
    fn serve(&mut self) {
        if let Some(running) = self.running.take() {
            assert_eq!(running.stop().counters["panics"], 0);
        }
        let (dir, cursors) = (self.dir(), self.cursors());
        self.running = Some(Running::serving(
            move |server| {
                server.keep_cursors(cursors);
                let rings = Rings::of(vec![dir.clone()], server.counters());
                Rc::new(RingVitals::at(&dir.join("host.ring")).with_rings(rings))
            },
            Settings::default(),
        ));
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it serves")
    }

    /// Publishes records until the ring has `head` of them; each forks as often as its sequence says.
    fn publish_to(&mut self, head: u64) {
        for seq in self.recorded.writer().head() + 1..=head {
            self.recorded.set("host", "forks", seq);
            self.recorded.set("host", "load1", word_of_f64(0.25));
            self.recorded.publish(START_NS + seq * S, seq * S, 0, false);
        }
    }

    fn get(&self, target: &str) -> Reply {
        self.running().get(target)
    }

    fn get_as(&self, target: &str, accept: &str) -> Reply {
        let mut client = self.running().connect();
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"));
        client.reply()
    }

    /// The sequences of the records that a history tells.
    fn told(&self, target: &str) -> Vec<u64> {
        sequences(self.get(target).text())
    }
}

/// What `node_forks_total` says in each line.
fn sequences(text: &str) -> Vec<u64> {
    let values = text.lines().filter_map(|line| line.strip_prefix("node_forks_total "));
    values.map(|rest| rest.split(' ').next().expect("a value").parse().expect("a number")).collect()
}

#[test]
fn format_is_the_one_that_is_asked_for() {
    let mut house = House::new();
    house.publish_to(3);
    for target in ["/metrics", "/metrics/history?since_seq=0"] {
        let reply = house.get(target);
        let content = reply.header("content-type");
        assert_eq!(content, Some("text/plain; version=0.0.4; charset=utf-8"), "{target}");
        assert!(reply.text().contains("\n# TYPE node_forks_total counter\nnode_forks_total "));
        let reply = house.get_as(target, "application/openmetrics-text;version=1.0.0");
        let content = reply.header("content-type");
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(content, Some(open), "{target}");
        assert!(reply.text().contains("# TYPE node_forks counter\n# HELP node_forks "));
        assert!(reply.text().ends_with("\n# EOF\n"));
    }
}

#[test]
fn families_are_chosen_by_collector_and_the_servers_own_stand_still_with_the_record() {
    let mut house = House::new();
    house.publish_to(3);
    let families = |target: &str| -> BTreeSet<String> {
        let reply = house.get(target);
        let family =
            |line: &str| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned);
        reply.text().lines().filter_map(family).collect()
    };
    let all = families("/metrics");
    assert!(all.contains("node_load1") && all.contains("tachograph_http_requests_total"));
    let some = families("/metrics?collect%5B%5D=loadavg&collect[]=stat");
    assert_eq!(some.into_iter().collect::<Vec<_>>(), ["node_forks_total", "node_load1"]);
    let rest = families("/metrics?exclude[]=loadavg&exclude[]=tachograph");
    assert!(!rest.contains("node_load1") && rest.contains("node_forks_total"));
    assert!(!rest.iter().any(|family| family.starts_with("tachograph_")), "{rest:?}");
    assert_eq!(house.get("/metrics").body, house.get("/metrics").body, "of one record");
    let before = house.get("/metrics").body;
    house.publish_to(4);
    assert_ne!(house.get("/metrics").body, before);
}

#[test]
fn other_rings_are_told_by_their_names() {
    let mut house = House::new();
    house.publish_to(1);
    let dir = RunDir::for_writing(Some(&house.dir())).expect("it is fit for a ring");
    let mut shop = Producer::declare(&dir, "shop").expect("nobody has it");
    let taken = shop.add::<u64>("queue/\"a\"", "taken", Kind::Counter, Unit::Count).expect("room");
    let mut shop = shop.start(&WriterOptions::every(Duration::from_secs(1))).expect("room");
    shop.set(&taken, 7);
    shop.publish();
    let reply = house.get("/metrics?ring=shop&collect[]=application");
    assert_eq!(
        reply.text(),
        "# HELP shop_taken_total taken of the ring shop, in count.\n\
         # TYPE shop_taken_total counter\nshop_taken_total{object=\"queue/\\\"a\\\"\"} 7\n"
    );
    let reply = house.get("/metrics?ring=mill");
    assert_eq!((reply.status, reply.text()), (404, "there is no ring \"mill\" to read"));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let mut house = House::new();
    house.publish_to(3);
    let one_of = "one of window, since_seq and cursor says what is wanted; of these, only window and \
                  cursor can be combined";
    for (target, told) in [
        ("/metrics?collect[]=cpu&exclude[]=stat", "collect[] and exclude[] cannot be combined"),
        ("/metrics?collect[]=arp", "collect[]: there is no such collector; there are "),
        ("/metrics?colect[]=cpu", "colect[]: schema does not allow additional properties."),
        ("/metrics?window=1s", "window: schema does not allow additional properties."),
        ("/metrics/history", one_of),
        ("/metrics/history?window=1s&since_seq=1", one_of),
        ("/metrics/history?cursor=a&since_seq=1", one_of),
        ("/metrics/history?window=-1s", "window: not a duration"),
        ("/metrics/history?since_seq=x", "since_seq: invalid digit found in string"),
        ("/metrics/history?cursor=%2e%2e%2f", "cursor: not a name"),
    ] {
        let reply = house.get(target);
        assert_eq!(reply.status, 400, "{target}");
        assert!(reply.text().contains(told), "{target}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    let mut client = house.running().connect();
    client.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.reply().status, 405);
}

#[test]
fn nothing_recorded_is_no_answer() {
    let house = House::new();
    assert_eq!(house.get("/metrics?exclude[]=tachograph").text(), "", "no record yet");
    let path = house.recorded.writer().path().to_owned();
    let running = Running::serving(
        move |_| Rc::new(RingVitals::at(&path.with_file_name("none.ring"))),
        Settings::default(),
    );
    for target in ["/metrics", "/metrics/history?window=1m"] {
        let reply = running.get(target);
        assert_eq!((reply.status, reply.text()), (503, "there is no ring to read"), "{target}");
    }
    running.stop();
}

#[test]
fn histories_begin_where_they_are_told() {
    let mut house = House::new();
    house.publish_to(100);
    assert_eq!(house.told("/metrics/history?since_seq=90"), (91..=100).collect::<Vec<_>>());
    for nothing in ["since_seq=100", "since_seq=18446744073709551615", "window=10s"] {
        assert!(house.told(&format!("/metrics/history?{nothing}")).is_empty(), "{nothing}");
    }
    let now_ns = tachograph::ring::realtime_ns();
    let age_s = (now_ns - START_NS) / S;
    let told = house.told(&format!("/metrics/history?window={}s", age_s - 50));
    assert!(told.last() == Some(&100) && (48..=52).contains(&told.len()), "{told:?}");
}

#[test]
fn cursor_gives_every_record_once_to_a_client_that_reads() {
    let mut house = House::new();
    house.publish_to(10);
    let poll = "/metrics/history?cursor=prom&collect[]=stat";
    assert_eq!(house.told(poll), [10], "it begins with the newest");
    let mut client = house.running().connect();
    for (head, told) in [(10, vec![]), (11, vec![11]), (300, (12..=300).collect())] {
        house.publish_to(head);
        assert_eq!(sequences(client.get(poll).text()), told);
    }
    // Neither one whose body nobody wants nor one that is refused counts as read.
    house.publish_to(301);
    client.send(format!("HEAD {poll} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    client.send(format!("GET {poll}&cursor=x HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(client.reply().status, 400);
    assert_eq!(house.told(poll), [301]);
    // The server is started anew.
    house.publish_to(305);
    house.serve();
    assert_eq!(house.told(poll), [302, 303, 304, 305]);
}

#[test]
fn answer_that_nobody_read_is_given_again() {
    let mut house = House::new();
    house.publish_to(5);
    let poll = "/metrics/history?cursor=prom&collect[]=stat";
    assert_eq!(house.told(poll), [5]);
    house.publish_to(40);
    let is_at = |seq: u64| move |text: &str| text.contains(&format!("\"seq\": {seq}\n"));
    house.kept(is_at(5));
    let mut client = house.running().connect();
    client.send(format!("GET {poll} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    // All of it lies in the client's kernel, and there it is thrown away.
    house.kept(is_at(40));
    drop(client);
    house.kept(is_at(5));
    // Half of it, and what is left.
    assert_eq!(house.told(poll), (6..=22).collect::<Vec<_>>());
    assert_eq!(house.told(poll), (23..=40).collect::<Vec<_>>());
}

/// A scraper that was away is behind by more than it can read in one scrape. It was given the same
/// answer again and again, and never came to its end.
#[test]
fn scraper_that_is_behind_by_more_than_it_can_take_catches_up() {
    let mut house = House::new();
    house.publish_to(1);
    let poll = "/metrics/history?cursor=prom&collect[]=stat";
    assert_eq!(house.told(poll), [1]);
    house.publish_to(4000);
    let (mut told, mut cut) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut client = house.running().connect();
        // Only what is made at once is in time.
        client.send(format!(
            "GET {poll} HTTP/1.1\r\nHost: localhost\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 0.000001\r\n\r\n"
        ));
        match client.stream.fill_buf() {
            Ok([_, ..]) => {}
            _ => {
                cut += 1;
                continue;
            }
        }
        match client.reply_or_fragment() {
            reply if reply.complete => told.extend(sequences(reply.text())),
            _ => cut += 1,
        }
    }
    assert_eq!(told, (2..=4000).collect::<Vec<_>>());
    assert!((1..=8).contains(&cut), "{cut} answers were too long");
}

#[test]
fn cursor_that_goes_on_in_another_ring_does_so_by_time() {
    let mut house = House::new();
    house.publish_to(20);
    let poll = "/metrics/history?cursor=prom&collect[]=stat";
    assert_eq!(house.told(poll), [20]);
    // As after a restart of the machine: another ring, whose sequences begin again.
    let cursors = house.kept(|text| text.contains("\"seq\": 20\n"));
    let mut other = House::new();
    fs::write(other.cursors(), cursors).expect("written");
    other.serve();
    other.publish_to(25);
    assert_eq!(other.told(poll), [21, 22, 23, 24, 25]);
}

#[test]
fn cursors_are_bounded_in_number() {
    let mut house = House::new();
    house.publish_to(2);
    for number in 0..CURSORS_MAX {
        let target = format!("/metrics/history?cursor=c{number}&collect[]=stat");
        assert_eq!(house.told(&target), [2]);
    }
    let reply = house.get("/metrics/history?cursor=one-more");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.text(), "there are 64 cursors, none of them unused for 24 h");
    let running = house.running.take().expect("it serves");
    assert_eq!(running.stop().counters["cursors_refused"], 1);
}
