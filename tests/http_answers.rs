//! What answers carry beside their data: tags, codings, deadlines; and for whom there is none.

use std::cell::Cell;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tachograph::http::headers::Coding;
use tachograph::http::limits::{CODERS_MAX, COMPRESS_BYTES_MIN};
use tachograph::http::{
    Compression, Counters, Freshness, Listing, Part, Pull, RingVitals, Rings, Settings, Version,
    Vitals, VitalsError,
};
use tachograph::rights::Sight;
use tachograph::{Kind, Producer, RunDir, SeriesOf, Unit, WriterOptions};

#[path = "support/http.rs"]
mod http;
#[path = "support/scratch.rs"]
mod scratch;

use http::{Client, Fake, Reply, Running, Script, fresh, in_parts};
use scratch::Scratch;

const LATEST: &str = "/api/v1/latest";
const METRICS: &str = "/api2/json/status/metrics";

/// Clients on this machine ask twice here: there are no others.
fn compressing() -> Settings {
    let compression = Compression { on_loopback: true, ..Compression::default() };
    Settings { compression, ..Settings::default() }
}

fn ask(server: &Running, method: &str, target: &str, headers: &[&str]) -> Reply {
    let mut client = server.connect();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    if method == "HEAD" { client.head() } else { client.reply() }
}

fn get(server: &Running, target: &str, headers: &[&str]) -> Reply {
    ask(server, "GET", target, headers)
}

fn plain(reply: &Reply) -> Vec<u8> {
    let mut plain = Vec::new();
    match reply.header("content-encoding") {
        None => plain.extend_from_slice(&reply.body),
        Some("gzip") => {
            let read = flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut plain);
            assert_eq!(read.expect("gzip"), plain.len());
        }
        #[cfg(feature = "zstd")]
        Some("zstd") => plain = zstd::decode_all(&*reply.body).expect("zstd"),
        Some(other) => panic!("nobody asked for {other}"),
    }
    plain
}

/// An application that publishes what it is told to.
struct Shop {
    producer: Producer,
    jobs: SeriesOf<u64>,
}

impl Shop {
    fn open(dir: &Path, name: &str) -> Shop {
        let dir = RunDir::for_writing(Some(dir)).expect("it is fit for a ring");
        let mut shop = Producer::declare(&dir, name).expect("nobody has it");
        let jobs = shop.add("till", "jobs", Kind::Counter, Unit::Count).expect("room");
        let options =
            WriterOptions { depth_records: 8, ..WriterOptions::every(Duration::from_secs(1)) };
        let mut shop = Shop { producer: shop.start(&options).expect("room"), jobs };
        shop.publish();
        shop
    }

    fn publish(&mut self) {
        let seq = self.producer.writer().head() + 1;
        self.producer.set(&self.jobs, seq);
        self.producer.publish_at(1_795_000_000_000_000_000 + seq, seq);
    }
}

fn serving(dir: &Path, settings: Settings) -> Running {
    let dir = dir.to_owned();
    Running::serving(
        move |_| {
            let rings = Rings::of(vec![dir.clone()], Rc::<Counters>::default());
            Rc::new(RingVitals::at(&dir.join("till.ring")).with_rings(rings))
        },
        settings,
    )
}

#[test]
fn a_client_that_has_the_newest_record_is_told_so() {
    let scratch = Scratch::new();
    let (mut till, mut mill) =
        (Shop::open(scratch.path(), "till"), Shop::open(scratch.path(), "mill"));
    let server = serving(scratch.path(), Settings::default());
    let mut asked = 0;
    for target in [
        LATEST,
        "/api/v1/latest?ring=till",
        "/api/v1/latest?ring=mill&ring=till&match=*",
        "/api/v1/series?ring=till",
        "/api/v1/series",
    ] {
        let first = get(&server, target, &[]);
        assert_eq!((first.status, first.header("cache-control")), (200, Some("private, no-cache")));
        let tag = first.header("etag").expect("a tag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with("-identity\""), "{tag}");
        for line in [
            format!("If-None-Match: {tag}"),
            format!("If-None-Match: W/{tag}"),
            format!("If-None-Match: \"x\", {tag} , \"y\""),
            format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}"),
            "If-None-Match: *".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let mut client = server.connect();
                // The connection goes on behind an answer that has no body.
                for _ in 0..2 {
                    asked += 1;
                    client.send(format!("{method} {target} HTTP/1.1\r\nHost: t\r\n{line}\r\n\r\n"));
                    let reply = client.head();
                    assert_eq!(reply.status, 304, "{method} {target} {line}");
                    assert_eq!(reply.header("etag"), Some(&*tag));
                    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
                    assert_eq!(reply.header("content-type"), None);
                }
            }
        }
        till.publish();
        let newer = get(&server, target, &[&format!("If-None-Match: {tag}")]);
        assert_eq!(newer.status, 200);
        assert_ne!(newer.header("etag").expect("a tag"), tag);
        if target.contains("till") {
            mill.publish();
            let again = get(&server, target, &[]);
            let of_both = target.contains("mill");
            assert_eq!(again.header("etag") != newer.header("etag"), of_both, "{target}");
        }
    }
    assert_eq!(server.stop().counters["not_modified"], asked);
}

#[test]
fn malformed_or_other_tags_are_no_error_and_no_match() {
    let scratch = Scratch::new();
    let _shop = Shop::open(scratch.path(), "till");
    let server = serving(scratch.path(), Settings::default());
    let tag = get(&server, LATEST, &[]).header("etag").expect("a tag").to_owned();
    for line in [
        "",
        "\"\"",
        "\"",
        "W/",
        "nonsense",
        tag.trim_matches('"'),
        &format!("nonsense, {tag}"),
        &tag.replace("latest", "series"),
        &tag.replace("identity", "gzip"),
        &format!("{tag}{tag}"),
        "\u{fc}",
    ] {
        let reply = get(&server, LATEST, &[&format!("If-None-Match: {line}")]);
        assert_eq!(reply.status, 200, "{line}");
    }
    // What stands in a body is no part of the name under which an answer is kept.
    let body = "Content-Length: 9\r\n\r\nring=till";
    let reply = ask(&server, "GET", LATEST, &["If-None-Match: *", body]);
    assert_eq!((reply.status, reply.header("etag")), (200, None));
    let unknown = get(&server, "/api/v1/latest?ring=none", &["If-None-Match: *"]);
    assert_eq!((unknown.status, unknown.header("etag")), (404, None));
}

/// Data of one version for ever, in `parts`, that counts how often it was begun.
struct Constant {
    begun: Arc<AtomicUsize>,
    parts: Vec<String>,
}

impl Vitals for Constant {
    fn seen_by(&self, _: &Rc<Sight>) -> Rc<dyn Vitals> {
        unreachable!("everybody sees everything")
    }

    fn pull(&self, _: bool, _: i64) -> Result<Box<dyn Pull>, VitalsError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Ok(in_parts(&self.parts))
    }

    fn list(&self, _: Listing) -> Result<Box<dyn Pull>, VitalsError> {
        self.pull(true, 0)
    }

    fn freshness(&self) -> Freshness {
        fresh(Some(1))
    }

    fn version(&self, _: Option<&[String]>) -> Option<Version> {
        Some(Version::of_all([]))
    }
}

fn constant(parts: &[String], settings: Settings) -> (Running, Arc<AtomicUsize>) {
    let begun = Arc::<AtomicUsize>::default();
    let constant = Constant { begun: Arc::clone(&begun), parts: parts.to_vec() };
    (Running::serving(|_| Rc::new(constant), settings), begun)
}

#[test]
fn an_answer_that_the_client_has_is_not_made() {
    let (server, begun) = constant(&["{}".to_owned()], compressing());
    let tag = get(&server, LATEST, &[]).header("etag").expect("a tag").to_owned();
    assert_eq!(begun.load(Ordering::Relaxed), 1);
    let reply = get(&server, LATEST, &[&format!("If-None-Match: {tag}")]);
    assert_eq!((reply.status, reply.header("vary")), (304, Some("Accept-Encoding")));
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}

/// The reader asks for the version, a record is published, and the answer is of that one.
#[test]
fn an_answer_during_which_a_record_came_has_no_tag() {
    struct Moving(Cell<bool>);

    impl Vitals for Moving {
        fn seen_by(&self, _: &Rc<Sight>) -> Rc<dyn Vitals> {
            unreachable!("everybody sees everything")
        }

        fn pull(&self, _: bool, _: i64) -> Result<Box<dyn Pull>, VitalsError> {
            self.0.set(!self.0.get());
            Ok(in_parts(&["{}".to_owned()]))
        }

        fn list(&self, _: Listing) -> Result<Box<dyn Pull>, VitalsError> {
            self.pull(true, 0)
        }

        fn freshness(&self) -> Freshness {
            fresh(Some(1))
        }

        fn version(&self, _: Option<&[String]>) -> Option<Version> {
            let ring = if self.0.get() { "after" } else { "before" };
            Some(Version::of_all([(ring, Version::of_all([]))]))
        }
    }

    let server = Running::serving(|_| Rc::new(Moving(Cell::new(false))), Settings::default());
    let reply = get(&server, LATEST, &[]);
    assert_eq!((reply.status, reply.header("etag")), (200, None));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

/// Texts around every size at which something else happens.
fn texts() -> Vec<Vec<String>> {
    let text = |bytes: usize| -> String {
        let numbers = (0..).map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string() + "\n");
        numbers.flat_map(|line| line.into_bytes()).map(char::from).take(bytes).collect()
    };
    vec![
        vec![text(COMPRESS_BYTES_MIN)],
        vec![text(60_000)],
        vec![text(1), text(1)],
        vec![text(70_000), text(70_000), String::new()],
        vec!["0".repeat(65_536); 40],
    ]
}

#[test]
fn a_coded_answer_is_the_same_answer() {
    for parts in texts() {
        let (server, _) = constant(&parts, compressing());
        let wanted = parts.concat();
        let mut tags = Vec::new();
        for (accepted, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip;q=0.1, identity;q=0.05", Some(Coding::Gzip)),
            ("zstd", cfg!(feature = "zstd").then_some(Coding::Zstd)),
            ("gzip;q=0.5, identity", None),
            ("deflate, br;q=1.0, gzip;q=0", None),
            ("identity;q=0", None),
            ("*;q=0", None),
            (";;;q=q=,\"", None),
        ] {
            let reply = get(&server, LATEST, &[&format!("Accept-Encoding: {accepted}")]);
            assert_eq!(reply.header("content-encoding"), coding.map(Coding::as_str), "{accepted}");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
            assert_eq!(reply.header("content-length").is_some(), parts.len() == 1);
            assert!(plain(&reply) == wanted.as_bytes(), "{accepted}");
            let tag = reply.header("etag").expect("a tag").to_owned();
            let suffix = format!("-{}\"", coding.map_or("identity", Coding::as_str));
            assert!(tag.ends_with(&suffix), "{tag}");
            tags.push((accepted, tag));
        }
        // A tag holds for who can read what it stands for.
        for (accepted, tag) in &tags {
            let condition = format!("If-None-Match: {tag}");
            let can_read = [&*condition, &format!("Accept-Encoding: {accepted}")];
            let refuses_identity = accepted.starts_with("identity") || accepted.starts_with('*');
            let expected = if refuses_identity { 200 } else { 304 };
            assert_eq!(get(&server, LATEST, &can_read).status, expected, "{accepted}");
            let expected = if tag.ends_with("-identity\"") { 304 } else { 200 };
            assert_eq!(get(&server, LATEST, &[&condition]).status, expected, "{accepted}");
        }
    }
}

#[test]
fn small_answers_refusals_and_headers_alone_are_as_they_are() {
    let parts = ["x".repeat(COMPRESS_BYTES_MIN - 1)];
    let (server, _) = constant(&parts, compressing());
    for (method, target, status) in [
        ("GET", LATEST, 200),
        ("GET", "/healthz", 200),
        ("GET", "/api/v1/latest?x=1", 400),
        ("GET", "/api/v1/nothing", 404),
    ] {
        let reply = ask(&server, method, target, &["Accept-Encoding: gzip"]);
        assert_eq!((reply.status, reply.header("content-encoding")), (status, None), "{target}");
    }
    let (server, _) = constant(&["x".repeat(5000)], compressing());
    let head = ask(&server, "HEAD", LATEST, &["Accept-Encoding: gzip"]);
    assert_eq!(
        (head.header("content-encoding"), head.header("content-length")),
        (None, Some("5000"))
    );
    assert_eq!(server.stop().counters["answers_compressed"], 0);
}

#[test]
fn nobody_on_this_machine_is_sent_anything_compressed_who_did_not_ask_twice() {
    let (server, _) = constant(&["x".repeat(5000)], Settings::default());
    let reply = get(&server, LATEST, &["Accept-Encoding: gzip, zstd"]);
    assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
    assert_eq!(reply.body, [b'x'; 5000]);
}

/// Reads to the end, which must not be that of an answer. The reset may overtake what came before it.
fn is_cut(client: &mut Client) {
    let mut bytes = Vec::new();
    let read = client.stream.read_to_end(&mut bytes);
    assert!(read.is_err() || !bytes.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", bytes.len());
}

#[test]
fn a_coded_answer_that_breaks_off_is_cut() {
    let settings = compressing();
    let server = Running::serving(
        |_| {
            Rc::new(Fake::pulling(|_, _| {
                let mut left = 3;
                Ok(Box::new(Script(move |out: &mut Vec<u8>| {
                    left -= 1;
                    out.resize(out.len() + 65_536, b'0');
                    if left == 0 { Part::Broken } else { Part::More }
                })))
            }))
        },
        settings,
    );
    let mut client = server.connect();
    client.send(format!("GET {METRICS} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n"));
    is_cut(&mut client);
    assert_eq!(server.stop().counters["answers_broken"], 1);
}

#[test]
fn an_answer_that_finds_no_compressor_is_sent_as_it_is() {
    // Little is gained of it, so that what is left does not fit into any socket.
    let noise: Vec<String> = (0..400_u64)
        .map(|part| {
            let mut state = part;
            let digits = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(part + 1);
                char::from(b' ' + (state >> 58) as u8)
            });
            digits.take(65_536).collect()
        })
        .collect();
    let (server, _) = constant(&noise, compressing());
    let request = format!("GET {LATEST} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    let readers: Vec<_> = (0..CODERS_MAX)
        .map(|_| {
            let mut client = server.connect();
            client.send(&request);
            assert_eq!(client.head().header("content-encoding"), Some("gzip"));
            client
        })
        .collect();
    let mut late = server.connect();
    late.send(&request);
    assert_eq!(late.head().header("content-encoding"), None);
    drop((readers, late));
    let ended = server.stop();
    assert_eq!(ended.counters["coders_exhausted"], 1);
    assert_eq!(ended.counters["answers_compressed"], CODERS_MAX as u64);
}

/// Answers that go on for ever.
fn endless() -> Fake {
    Fake::pulling(|_, _| {
        Ok(Box::new(Script(|out: &mut Vec<u8>| {
            out.resize(out.len() + 1000, b'1');
            std::thread::sleep(Duration::from_millis(1));
            Part::More
        })))
    })
}

#[test]
fn a_scraper_that_waits_no_longer_is_sent_no_more() {
    for settings in [Settings::default(), compressing()] {
        let server = Running::serving(|_| Rc::new(endless()), settings);
        let mut client = server.connect();
        client.send(format!(
            "GET {METRICS} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 0.2\r\n\r\n"
        ));
        is_cut(&mut client);
        assert_eq!(server.stop().counters["scrape_timeouts"], 1);
    }
}

#[test]
fn a_scrape_timeout_that_means_nothing_ends_nothing() {
    let parts: Vec<_> = (0..10).map(|part| part.to_string()).collect();
    let (server, _) = constant(&parts, Settings::default());
    for value in ["", "0", "-1", "NaN", "inf", "1e-9", "soon", "\u{fc}", "1000000"] {
        let timeout = format!("X-Prometheus-Scrape-Timeout-Seconds: {value}");
        assert_eq!(get(&server, LATEST, &[&timeout]).text(), "0123456789", "{value}");
    }
    // What is made at once needs no time.
    let (server, _) = constant(&parts[..1], Settings::default());
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 0.000001";
    assert_eq!(get(&server, LATEST, &[timeout]).text(), "0");
}

fn status_of(server: &Running, request: &str) -> u16 {
    let mut client = server.connect();
    client.send(request);
    client.reply().status
}

#[test]
fn a_name_that_was_led_here_is_answered_nothing() {
    let settings = Settings { hosts: vec!["*.example.org".to_owned()], ..Settings::default() };
    let server = Running::serving(|_| Rc::new(Fake::parts(&[])), settings);
    for target in [METRICS, LATEST, "/healthz", "/nothing"] {
        for (host, expected) in [
            ("localhost", None),
            ("127.0.0.1:8017", None),
            ("[::1]:8017", None),
            ("shop.example.org", None),
            ("evil.example", Some(421)),
            ("localhost.evil.example:8017", Some(421)),
            ("", Some(400)),
            ("a b", Some(400)),
            ("localhost\r\nHost: localhost", Some(400)),
        ] {
            let status =
                status_of(&server, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            match expected {
                Some(expected) => assert_eq!(status, expected, "{host} {target}"),
                None => {
                    assert!(![400, 421].contains(&status) || target == LATEST, "{host} {target}")
                }
            }
        }
    }
    let absolute = "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status_of(&server, absolute), 421);
    assert_eq!(status_of(&server, "GET /healthz HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status_of(&server, "GET /healthz HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(server.stop().counters["hosts_refused"], 4 * 5 + 2);
}

#[test]
fn a_page_of_another_site_is_answered_no_data() {
    let server = Running::start(Fake::parts(&[]));
    for (target, site, status) in [
        (METRICS, "cross-site", 403),
        ("/api/v1/rings", "cross-site", 403),
        ("/api2/json/version", "cross-site", 403),
        ("/api2/json/version", "same-origin", 200),
        ("/api2/json/version", "same-site", 200),
        ("/api2/json/version", "none", 200),
        ("/healthz", "cross-site", 200),
    ] {
        let reply = get(&server, target, &[&format!("Sec-Fetch-Site: {site}")]);
        assert_eq!(reply.status, status, "{target} {site}");
    }
    let extjs = get(&server, "/api2/extjs/version", &["Sec-Fetch-Site: cross-site"]);
    assert!(extjs.text().contains("\"status\":403"), "{}", extjs.text());
    assert_eq!(server.stop().counters["cross_site_refused"], 4);
}
