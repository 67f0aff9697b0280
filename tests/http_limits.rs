//! What one client can do to the others: nothing. Every limit is reached here once.

#[path = "support/http.rs"]
mod support;

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use support::{Client, FOREVER, Fake, Running, Script, in_parts};
use tachograph::http::{Limits, Part, Place, Server, Settings};

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

/// A timeout that a test waits for after it was in time once, on a machine that may be slow.
const BEARABLE: Duration = Duration::from_secs(1);

fn patient() -> Limits {
    Limits {
        header_timeout: FOREVER,
        idle_timeout: FOREVER,
        write_timeout: FOREVER,
        ..Limits::default()
    }
}

const PART: usize = 64 * 1024;

/// What has become of the answers of [`long`].
#[derive(Default)]
struct Made {
    parts: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers of many parts that count them as they are made.
fn long(parts: usize, made: &Made) -> Fake {
    let (counted, given_up) = (Arc::clone(&made.parts), Arc::clone(&made.given_up));
    Fake::pulling(move |_, _| {
        let made = Made { parts: Arc::clone(&counted), given_up: Arc::clone(&given_up) };
        let mut left = parts;
        Ok(Box::new(Script(move |out: &mut Vec<u8>| {
            made.parts.fetch_add(1, Ordering::Relaxed);
            left -= 1;
            out.resize(out.len() + PART, b'1');
            if left == 0 { Part::Last } else { Part::More }
        })))
    })
}

/// Waits for `condition`, which another thread makes true.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < FOREVER, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let limits = Limits { header_timeout: SHORT, ..patient() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    let begin = Instant::now();
    server.connect().is_closed_without_a_word();
    assert!(begin.elapsed() >= SHORT);
    let ended = server.stop();
    assert_eq!(ended.counters["header_timeouts"], 1);
    assert_eq!(ended.counters["idle_timeouts"], 0);
}

#[test]
fn a_header_that_drips_is_closed_also_after_a_first_request() {
    let limits = Limits { header_timeout: BEARABLE, ..patient() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    for first in [false, true] {
        let mut client = server.connect();
        if first {
            assert_eq!(client.get("/healthz").status, 200);
        }
        let begin = Instant::now();
        let closed = client.stream.get_ref().try_clone().unwrap();
        // A byte now and then, for as long as somebody takes it.
        let drip = b"GET /healthz HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
        for byte in drip {
            if (&closed).write_all(&[*byte]).is_err() {
                break;
            }
            assert!(begin.elapsed() < FOREVER, "the drip goes on for ever");
            thread::sleep(Duration::from_millis(10));
        }
        client.is_closed_without_a_word();
    }
    assert_eq!(server.stop().counters["header_timeouts"], 2);
}

#[test]
fn a_body_that_does_not_come_is_closed_like_a_header() {
    let limits = Limits { header_timeout: BEARABLE, ..patient() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    let mut client = server.connect();
    client.send(
        "GET /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhistory",
    );
    client.is_closed_without_a_word();
    assert_eq!(server.stop().counters["header_timeouts"], 1);
}

#[test]
fn an_idle_connection_has_the_idle_time_and_not_that_of_a_header() {
    let limits = Limits { header_timeout: BEARABLE, ..patient() };
    let server = Running::with_limits(Fake::parts(&["1,", "2"]), limits);
    let mut client = server.connect();
    for target in ["/healthz", "/api2/json/status/metrics"] {
        assert_eq!(client.get(target).status, 200);
        thread::sleep(BEARABLE * 2);
    }
    client.send("HEAD /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    thread::sleep(BEARABLE * 2);
    assert_eq!(client.get("/healthz").status, 200);
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.counters["header_timeouts"], 0);
    assert_eq!(ended.counters["connections_accepted"], 1);
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let limits = Limits { idle_timeout: SHORT, ..patient() };
    let server = Running::with_limits(Fake::parts(&["1,", "2"]), limits);
    for target in ["/healthz", "/api2/json/status/metrics"] {
        let mut client = server.connect();
        assert_eq!(client.get(target).status, 200);
        client.is_closed_without_a_word();
    }
    let ended = server.stop();
    assert_eq!(ended.counters["idle_timeouts"], 2);
    assert_eq!(ended.counters["header_timeouts"], 0);
}

#[test]
fn a_client_that_does_not_read_is_reset_and_had_few_parts_made_for_it() {
    let made = Made::default();
    let limits = Limits { write_timeout: SHORT, ..patient() };
    let server = Running::with_limits(long(100_000, &made), limits);
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    // The kernel takes some megabytes on both sides; then it stands still until the timeout.
    eventually("the answer is given up", || made.given_up.load(Ordering::Relaxed) == 1);
    let parts = made.parts.load(Ordering::Relaxed);
    assert!(parts < 1000, "{parts} parts were made for a client that reads nothing");
    let error = client.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(server.stop().counters["write_timeouts"], 1);
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let made = Made::default();
    let limits = patient();
    let server = Running::with_limits(long(200, &made), limits);
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics HTTP/1.0\r\n\r\n");
    let mut bytes = Vec::new();
    let begin = Instant::now();
    while (&mut client.stream).take(256 * 1024).read_to_end(&mut bytes).unwrap() > 0 {
        assert!(begin.elapsed() < FOREVER);
        thread::sleep(SHORT / 4);
    }
    let begin = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(bytes.len() - begin, 200 * PART + r#"{"data":{"data":[]}}"#.len());
    assert_eq!(server.stop().counters["write_timeouts"], 0);
}

#[test]
fn a_client_that_has_nothing_more_to_send_still_gets_its_answer() {
    let made = Made::default();
    let server = Running::with_limits(long(500, &made), patient());
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    // The end of the requests is seen while the answer waits for its reader.
    thread::sleep(SHORT);
    let reply = client.reply();
    assert!(reply.body.len() > 500 * PART);
    client.is_closed_without_a_word();
}

#[test]
fn a_connection_beyond_the_most_is_told_so() {
    let limits = Limits { connections_max: 3, ..patient() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    let mut guests: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for guest in &mut guests {
        assert_eq!(guest.get("/healthz").status, 200);
    }
    for _ in 0..2 {
        let mut client = server.connect();
        let reply = client.get("/healthz");
        assert_eq!((reply.status, reply.text()), (503, "too many connections\n"));
        assert_eq!(reply.header("connection"), Some("close"));
        client.is_closed_without_a_word();
    }
    // Those inside are not disturbed, and the place of one who leaves is free again.
    assert_eq!(guests[0].get("/healthz").status, 200);
    guests.pop();
    eventually("a place becomes free", || server.connect().get("/healthz").status == 200);
    let ended = server.stop();
    assert!(ended.counters["connections_refused"] >= 2);
    assert_eq!(ended.dropped, 0);
}

/// A connection to this machine from its address in a network, if it has one.
fn connect_from_the_network(address: SocketAddr) -> Option<TcpStream> {
    // Nothing is sent: the kernel only says which address it would use.
    let probe = UdpSocket::bind("0.0.0.0:0").ok()?;
    probe.connect("192.0.2.1:9").ok()?;
    let own = probe.local_addr().ok().filter(|own| !own.ip().is_loopback())?;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
    rustix::net::bind(&socket, &SocketAddr::new(own.ip(), 0)).ok()?;
    rustix::net::connect(&socket, &address).ok()?;
    Some(socket.into())
}

#[test]
fn an_address_that_has_its_share_is_told_so_and_this_machine_is_not_counted() {
    let limits = Limits { connections_per_address_max: 2, ..patient() };
    let server = Running::with_limits(Fake::parts(&[]), limits);
    let connect = || {
        let stream = BufReader::new(connect_from_the_network(server.address)?);
        Some(Client { stream })
    };
    let guests: Option<[Client; 2]> = (|| Some([connect()?, connect()?]))();
    let Some(mut guests) = guests else {
        eprintln!("LEFT OUT: this machine has no address of a network that reaches loopback");
        return;
    };
    for guest in &mut guests {
        assert_eq!(guest.get("/healthz").status, 200);
    }
    let mut third = connect().expect("as before");
    let reply = third.reply();
    assert_eq!((reply.status, reply.text()), (429, "too many connections from one address\n"));
    assert_eq!(
        (reply.header("connection"), reply.header("retry-after")),
        (Some("close"), Some("1"))
    );
    third.is_closed_without_a_word();
    let mut local: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for guest in guests.iter_mut().chain(&mut local) {
        assert_eq!(guest.get("/healthz").status, 200);
    }
    drop(guests);
    eventually("a place becomes free", || {
        let mut client = connect().expect("as before");
        client.send("GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n");
        client.reply().status == 200
    });
    assert!(server.stop().counters["connections_refused_per_address"] >= 1);
}

#[test]
fn requests_that_are_too_large_or_not_http_are_answered_and_counted() {
    let server = Running::with_limits(Fake::parts(&[]), Limits::default());
    let many = "X: y\r\n".repeat(100);
    let large = format!("X: {}\r\n", "y".repeat(17 * 1024));
    // Most of this is not read. Closing at once would reset the connection and lose the answer.
    let huge = format!("X: {}\r\n", "y".repeat(8 << 20));
    for headers in [&many, &large, &huge] {
        let mut client = server.connect();
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: t\r\n{headers}\r\n"));
        assert_eq!(client.reply().status, 431);
        client.is_closed_without_a_word();
    }
    for garbage in ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
        let mut client = server.connect();
        client.send(garbage);
        assert_eq!(client.reply().status, 400, "{garbage:?}");
        client.is_closed_without_a_word();
    }
    let fits = format!("X: {}\r\n", "y".repeat(15 * 1024));
    let mut client = server.connect();
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: t\r\n{fits}\r\n"));
    assert_eq!(client.reply().status, 200);
    let ended = server.stop();
    assert_eq!(ended.counters["headers_too_large"], 3);
    assert_eq!(ended.counters["malformed_requests"], 3);
}

#[test]
fn a_stop_lets_a_running_answer_finish() {
    let made = Made::default();
    let limits = Limits { grace: FOREVER, ..patient() };
    let server = Running::with_limits(long(500, &made), limits);
    let address = server.address;
    let mut idle = server.connect();
    assert_eq!(idle.get("/healthz").status, 200);
    let mut silent = server.connect();
    let mut reading = server.connect();
    reading.send("GET /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(reading.head().status, 200);
    let thread = server.ask_to_stop();
    // Connections without an answer due end at once, and there is nobody to connect to.
    idle.is_closed_without_a_word();
    silent.is_closed_without_a_word();
    eventually("the listener is closed", || TcpStream::connect(address).is_err());
    assert!(made.parts.load(Ordering::Relaxed) < 500, "the answer is still running");
    let mut rest = Vec::new();
    reading.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 500 * PART);
    assert!(rest.ends_with(b"]}}\r\n0\r\n\r\n"));
    let ended = thread.join().unwrap();
    assert_eq!(ended.dropped, 0);
}

#[test]
fn a_stop_does_not_wait_longer_than_its_grace() {
    let made = Made::default();
    let limits = Limits { grace: SHORT, ..patient() };
    let server = Running::with_limits(long(100_000, &made), limits);
    let mut stuck = server.connect();
    stuck.send("GET /api2/json/status/metrics HTTP/1.0\r\n\r\n");
    assert_eq!(stuck.head().status, 200);
    let ended = server.stop();
    assert_eq!(ended.dropped, 1);
    assert_eq!(ended.counters["connections_dropped"], 1);
    assert_eq!(made.given_up.load(Ordering::Relaxed), 1);
    // Half an answer must not look like a whole one.
    let error = stuck.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap(), address];
    let error = Server::bind(Settings { listen, ..Settings::default() }).unwrap_err();
    assert_eq!(error.place, Place::Tcp(address));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
}

#[test]
fn a_server_listens_on_all_its_addresses() {
    let listen = vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()];
    let server = Server::bind(Settings { listen, ..Settings::default() }).unwrap();
    let addresses = server.addresses().to_vec();
    let clients = thread::spawn(move || {
        for address in addresses {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            assert!(text.ends_with("\r\n\r\nok\n"), "{text}");
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counters = server.counters();
    let done = async {
        while !clients.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let fake = Fake::pulling(|_, _| Ok(in_parts(&[])));
    runtime.block_on(server.run(std::rc::Rc::new(fake), done)).unwrap();
    clients.join().unwrap();
    assert_eq!(counters.requests.get(), 2);
}
