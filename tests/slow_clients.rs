//! Clients that are slow, broken or malicious: each gets a clear answer or is closed in its time, the
//! counters say which, and the others are answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tachograph::http::limits::URI_BYTES_MAX;
use tachograph::http::{Limits, Part};

#[path = "support/http.rs"]
mod http;
#[path = "support/vices.rs"]
mod vices;

use http::{Client, FOREVER, Fake, Running, Script};
use vices::VICES;

/// A timeout that clients here run into.
const SHORT: Duration = Duration::from_millis(300);
/// Between two looks at a crowd.
const PAUSE: Duration = Duration::from_millis(10);
/// How many of each kind come at one time.
const CROWD: usize = 8;

const METRICS: &str = "/api2/json/status/metrics";

fn impatient() -> Limits {
    Limits {
        header_timeout: SHORT,
        idle_timeout: FOREVER,
        write_timeout: SHORT,
        ..Limits::default()
    }
}

/// Answers that never end.
fn endless() -> Fake {
    Fake::pulling(|_, _| {
        Ok(Box::new(Script(|out: &mut Vec<u8>| {
            out.resize(out.len() + 65_536, b'1');
            Part::More
        })))
    })
}

#[test]
fn every_vice_ends_in_its_time_and_is_counted() {
    let server = Running::with_limits(endless(), impatient());
    let address = server.address;
    let crowd: Vec<_> = VICES
        .iter()
        .flat_map(|vice| std::iter::repeat_n(*vice, CROWD))
        .map(|vice| thread::spawn(move || vice.live(address, METRICS, &|| false)))
        .collect();
    // Meanwhile the others are answered.
    let mut answered = 0;
    while crowd.iter().any(|client| !client.is_finished()) {
        assert_eq!(server.get("/healthz").text(), "ok\n");
        answered += 1;
        thread::sleep(PAUSE);
    }
    crowd.into_iter().for_each(|client| client.join().expect("it does not panic"));
    let ended = server.stop();
    eprintln!("{answered} answered meanwhile; {:?}", ended.counters);
    let crowd = CROWD as u64;
    // Those that are silent or drip. Who vanishes has ended its request itself.
    assert_eq!(ended.counters["header_timeouts"], 4 * crowd);
    // Those that read hardly or not at all.
    assert_eq!(ended.counters["write_timeouts"], 3 * crowd);
    assert_eq!(ended.counters["malformed_requests"], crowd);
    assert_eq!(ended.counters["panics"], 0);
    assert_eq!(ended.counters["connections_refused"], 0);
    assert_eq!(ended.dropped, 0);
}

/// What becomes of a request.
#[derive(Debug)]
enum Fate {
    /// It has this status, and the connection goes on.
    Goes(u16),
    /// It has this status, and the connection is closed.
    Ends(u16),
    /// The connection is closed.
    Closed,
}

fn meets(server: &Running, request: &[u8], fate: &Fate) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(100)]).into_owned();
    let mut client = server.connect();
    client.send(request);
    match *fate {
        Fate::Goes(status) => {
            assert_eq!(client.reply().status, status, "{shown:?}");
            assert_eq!(client.get("/healthz").status, 200, "after {shown:?}");
        }
        Fate::Ends(status) => {
            assert_eq!(client.reply().status, status, "{shown:?}");
            client.is_closed_without_a_word();
        }
        Fate::Closed => client.is_closed_without_a_word(),
    }
}

#[test]
fn what_is_not_well_formed_is_refused_and_what_is_odd_is_answered() {
    let server = Running::start(Fake::parts(&[]));
    let with = |headers: &str| format!("GET {METRICS} HTTP/1.1\r\nHost: t\r\n{headers}\r\n");
    let chunked = |chunks: &str| with("Transfer-Encoding: chunked\r\n") + chunks;
    let long = "x".repeat(URI_BYTES_MAX + 1);
    let large = "x".repeat(Limits::default().body_bytes_max + 1);
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xaa; 500]].concat();
    for (request, fate) in [
        // Not HTTP, or not this one.
        (hello, Fate::Ends(400)),
        (b"\0\0\0\0\0\0\0\0".to_vec(), Fate::Ends(400)),
        (b"GET /healthz\r\n\r\n".to_vec(), Fate::Ends(400)),
        (b"GET /healthz HTTP/3.0\r\n\r\n".to_vec(), Fate::Ends(400)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Fate::Closed),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), Fate::Ends(400)),
        // Bytes where they must not be.
        (b"GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Ends(400)),
        (with("X: a\0b\r\n").into(), Fate::Ends(400)),
        (with("X y: z\r\n").into(), Fate::Ends(400)),
        (with("X: y\r\n folded\r\n").into(), Fate::Ends(400)),
        (with(": no name\r\n").into(), Fate::Ends(400)),
        (with("X: \u{fc}\u{20ac}\r\n").into(), Fate::Goes(200)),
        // Lengths that contradict each other.
        (with("Content-Length: 3\r\nContent-Length: 4\r\n").into(), Fate::Ends(400)),
        (with("Content-Length: -1\r\n").into(), Fate::Ends(400)),
        (with("Content-Length: 99999999999999999999\r\n").into(), Fate::Ends(400)),
        (with("Content-Length: 1000000000000\r\n").into(), Fate::Ends(413)),
        (with("Transfer-Encoding: gzip\r\n").into(), Fate::Ends(400)),
        // Bodies of requests that need none.
        ((with("Content-Length: 9\r\n") + "history=1").into(), Fate::Goes(200)),
        (chunked("9\r\nhistory=1\r\n0\r\n\r\n").into(), Fate::Goes(200)),
        (chunked("9;x=\"y\"\r\nhistory=1\r\n0\r\nX: y\r\n\r\n").into(), Fate::Goes(200)),
        (chunked("zz\r\n").into(), Fate::Ends(400)),
        (chunked("FFFFFFFFFFFFFFFFF\r\n").into(), Fate::Ends(400)),
        (chunked("3\r\nabcdef\r\n").into(), Fate::Ends(400)),
        (chunked(&format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).into(), Fate::Ends(413)),
        // Targets of every form.
        (format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n").into(), Fate::Goes(414)),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(200)),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(421)),
        (b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(404)),
        (b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(404)),
        (b"GET /healthz#x HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(200)),
        (b"GET healthz HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(), Fate::Goes(421)),
        // Unusual and allowed.
        (b"GET /healthz HTTP/1.1\nHost: t\n\n".to_vec(), Fate::Goes(200)),
        (b"\r\n\r\nGET /healthz HTTP/1.1\r\nhOsT: t\r\n\r\n".to_vec(), Fate::Goes(200)),
        (b"GET /healthz HTTP/1.0\r\n\r\n".to_vec(), Fate::Ends(200)),
    ] {
        meets(&server, &request, &fate);
    }
    let ended = server.stop();
    assert_eq!((ended.counters["panics"], ended.dropped), (0, 0));
    assert_eq!(ended.counters["bodies_too_large"], 2);
    assert_eq!(ended.counters["uris_too_long"], 1);
}

#[test]
fn many_requests_at_once_are_answered_in_their_order() {
    let server = Running::start(Fake::parts(&["1,", "2"]));
    let targets = ["/healthz", METRICS, "/nothing", "/api/v1/latest?x=%", "/readyz"];
    let requests: String = (0..1000)
        .map(|i| format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", targets[i % targets.len()]))
        .collect();
    let mut client = server.connect();
    let mut sending = client.stream.get_ref().try_clone().expect("a descriptor");
    let sender = thread::spawn(move || sending.write_all(requests.as_bytes()));
    for _ in 0..1000 / targets.len() {
        assert_eq!(client.reply().text(), "ok\n");
        assert_eq!(client.reply().text(), "{\"data\":{\"data\":[1,2]}}");
        assert_eq!(client.reply().status, 404);
        assert_eq!(client.reply().status, 400);
        assert_eq!(client.reply().text(), "ready\n");
    }
    sender.join().expect("it does not panic").expect("all is taken");
    assert_eq!(server.stop().counters["requests"], 1000);
}

#[test]
fn headers_that_are_malformed_are_no_defect() {
    let server = Running::start(Fake::parts(&["1"]));
    let values = [
        "",
        ";",
        ",",
        ",,,;;;===",
        "*",
        "*/*;q=",
        "text/plain;q=1.0000",
        "text/plain;q=-1, a/b;q=NaN",
        "gzip;q=0.5;q=0.6",
        "\"unclosed",
        "W/\"",
        "\u{fc}\u{1f600}",
        "0",
        "-1",
        "99999999999999999999999999",
        "1e309",
        "%00",
        &"a,".repeat(4000),
        &";q=0".repeat(2000),
        &"\"".repeat(8000),
    ];
    let names = [
        "Accept",
        "Accept-Encoding",
        "If-None-Match",
        "X-Prometheus-Scrape-Timeout-Seconds",
        "Last-Event-ID",
        "Sec-Fetch-Site",
        "Range",
    ];
    let mut client = server.connect();
    for target in ["/healthz", METRICS, "/api/v1/latest"] {
        for name in names {
            for value in values {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n{name}: {value}\r\n\r\n"));
                let status = client.reply().status;
                let is_fine = status == if target == "/api/v1/latest" { 503 } else { 200 };
                assert!(is_fine || status == 406, "{status} for {name}: {value:.50}");
            }
        }
    }
    let ended = server.stop();
    assert_eq!(ended.counters["panics"], 0);
    assert_eq!(ended.counters["connections_accepted"], 1);
}

/// Whether there is room for a client.
fn is_answered(client: &mut Client) -> bool {
    let mut bytes = Vec::new();
    let asked = client.stream.get_mut().write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
    let read = client.stream.read_to_end(&mut bytes);
    asked.is_ok() && read.is_ok() && bytes.starts_with(b"HTTP/1.0 200 ")
}

#[test]
fn connections_that_are_opened_and_left_cost_nobody_else_anything() {
    const LEFT: usize = 10_000;
    // For the server's side of those it has not closed yet, and for the tests beside this one.
    const OTHERS: usize = 1000;

    let wanted = (LEFT + OTHERS) as u64;
    let limits = getrlimit(Resource::Nofile);
    if limits.current.is_some_and(|current| current < wanted) {
        let current = Some(limits.maximum.map_or(wanted, |most| most.min(wanted)));
        // Where that cannot be, what there is counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limits });
    }
    let room = getrlimit(Resource::Nofile).current.map_or(LEFT, |current| {
        usize::try_from(current).expect("it is small").saturating_sub(OTHERS)
    });
    let count = LEFT.min(room);
    if count < LEFT {
        eprintln!("LEFT OUT: only {count} of {LEFT} connections, for want of descriptors");
    }
    let limits = Limits { header_timeout: FOREVER, connections_max: 64, ..Limits::default() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    let mut guest = server.connect();
    assert_eq!(guest.get("/healthz").status, 200);
    let mut left = Vec::new();
    for index in 0..count {
        left.push(TcpStream::connect(server.address).expect("the kernel takes it"));
        if index % 1000 == 0 {
            assert_eq!(guest.get("/healthz").status, 200, "whoever is inside is answered");
        }
    }
    assert_eq!(guest.get("/healthz").status, 200);
    // One more is not let in.
    let mut late = server.connect();
    assert!(!is_answered(&mut late));
    drop((left, late));
    let begin = Instant::now();
    while !is_answered(&mut server.connect()) {
        assert!(begin.elapsed() < FOREVER, "there is no room for others");
        thread::sleep(PAUSE);
    }
    let ended = server.stop();
    let refused = ended.counters["connections_refused"];
    assert!(refused > count as u64 - 64, "{refused} of {count}");
}
