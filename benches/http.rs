//! What a request costs the server, against a hyper server that has its answer ready.
//!
//! Both servers have a thread of their own in this process and a port of their own. The other one
//! does the least that a server made of hyper can do: it gives out one prebuilt body with the same
//! header lines, whatever is asked. So the difference is what it costs to understand the request,
//! find the records in the ring and write their points. A client sends batches of requests to one
//! and to the other in turns, over connections that are kept; what is compared is the CPU time of
//! the server's thread, as the kernel counts it, the kernel's own work for the socket included.
//!
//! Client and servers share one CPU.
//!
//! With one connection the server sleeps after each request, and part of its time is the kernel's for
//! that. With sixteen, that share is gone, and the difference shows.

#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fs, sync::mpsc, thread};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tachograph::http::{RingVitals, Server, Settings};
use tachograph::ring::Reader;
use tachograph::sample::Selection;

#[path = "../tests/support/http.rs"]
mod client;
#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/one_cpu.rs"]
mod one_cpu;

use client::{Client, Reply};
use host::Host;
use judge::{Goal, judge};

const ROUNDS: usize = 15;
/// How many generations the history has.
const GENERATIONS: usize = 180;
const NEWEST: &str = "/api2/json/status/metrics";
const HISTORY: &str = "/api2/json/status/metrics?history=1";
const SCRAPE: &str = "/metrics";
/// Of a scrape, at least this share of the requests that the other answers in a time, while nothing
/// but the server's thread bounds them.
const THROUGHPUT_GOAL: f64 = 0.8;

thread_local! {
    /// Which of [`ALLOCATIONS`] this thread counts in.
    static COUNTER: Cell<usize> = const { Cell::new(NOBODY) };
}

/// Allocations of our server's thread, of the other's, and of nobody's in particular.
static ALLOCATIONS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
const OURS: usize = 0;
const THEIRS: usize = 1;
const NOBODY: usize = 2;

fn count() {
    // A thread that is ending has no counter any more.
    let counter = COUNTER.try_with(Cell::get).unwrap_or(NOBODY);
    if counter != NOBODY {
        ALLOCATIONS[counter].fetch_add(1, Ordering::Relaxed);
    }
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server in a thread of its own, for as long as the process lasts.
struct Running {
    address: SocketAddr,
    /// Where the kernel says how long the thread has run.
    schedstat: PathBuf,
    counter: usize,
}

impl Running {
    /// `serve` says its address and serves for ever.
    fn start<F: Future<Output = ()>>(
        counter: usize,
        serve: impl FnOnce(mpsc::Sender<SocketAddr>) -> F + Send + 'static,
    ) -> Self {
        let (tell, told) = mpsc::channel();
        let (tell_thread, told_thread) = mpsc::channel();
        thread::spawn(move || {
            COUNTER.set(counter);
            tell_thread.send(rustix::thread::gettid()).expect("somebody listens");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(tell));
        });
        let thread = told_thread.recv().expect("the thread has started").as_raw_nonzero();
        let schedstat = PathBuf::from(format!("/proc/self/task/{thread}/schedstat"));
        Self { address: told.recv().expect("an address"), schedstat, counter }
    }

    /// CPU time that the thread has taken, in seconds.
    fn cpu(&self) -> f64 {
        // The last answer has arrived; its sender may still be on the way to sleep.
        thread::sleep(Duration::from_millis(2));
        let text = fs::read_to_string(&self.schedstat).expect("the thread runs");
        let ns = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        ns.expect("nanoseconds") / 1e9
    }

    fn allocations(&self) -> u64 {
        ALLOCATIONS[self.counter].load(Ordering::Relaxed)
    }

    fn clients(&self, count: usize) -> Vec<Client> {
        let connect = |_| {
            let socket = TcpStream::connect(self.address).expect("the server listens");
            socket.set_nodelay(true).expect("a socket");
            Client { stream: BufReader::with_capacity(64 << 10, socket) }
        };
        (0..count).map(connect).collect()
    }
}

/// The front end over the ring at a path.
async fn front_end(ring: PathBuf, tell: mpsc::Sender<SocketAddr>) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let server = Server::bind(Settings { listen, ..Settings::default() }).expect("a port");
    tell.send(server.addresses()[0]).expect("somebody listens");
    let vitals = RingVitals::over(Reader::open(&ring).expect("the ring"));
    server.run(Rc::new(vitals), std::future::pending()).await.expect("served");
}

/// A body that is there at once.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// An answer as the front end gave it once.
#[derive(Clone)]
struct Prebuilt {
    target: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Prebuilt {
    /// hyper itself adds what is not taken over.
    fn of(target: &'static str, reply: Reply) -> Self {
        let hypers = [header::DATE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let headers = reply.headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(name).expect("a name that was sent");
            (name, HeaderValue::from_str(value).expect("a value that was sent"))
        });
        let headers = headers.filter(|(name, _)| !hypers.contains(name)).collect();
        Self { target, headers, body: reply.body.into() }
    }

    fn response(&self) -> Response<Whole> {
        let mut response = Response::new(Whole(Some(self.body.clone())));
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }
}

/// Gives out the one of `answers` that is asked for.
async fn prebuilt(answers: Vec<Prebuilt>, tell: mpsc::Sender<SocketAddr>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    tell.send(listener.local_addr().expect("an address")).expect("somebody listens");
    let answers = Rc::new(answers);
    let serve = async {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            socket.set_nodelay(true).expect("a socket");
            let answers = Rc::clone(&answers);
            let answer = move |request: Request<Incoming>| {
                let target = request.uri().path_and_query().map(PathAndQuery::as_str);
                let answer = answers.iter().find(|answer| target == Some(answer.target));
                let response = answer.expect("one of those that there are").response();
                std::future::ready(Ok::<_, Infallible>(response))
            };
            let mut protocol = hyper::server::conn::http1::Builder::new();
            protocol.header_read_timeout(None);
            let service = hyper::service::service_fn(answer);
            let connection = protocol.serve_connection(TokioIo::new(socket), service);
            tokio::task::spawn_local(async { connection.await.expect("served") });
        }
    };
    tokio::task::LocalSet::new().run_until(serve).await
}

/// Sends `requests` over each connection, one at a time on each; CPU time of the server and its
/// allocations for one of them.
fn batch(
    server: &Running,
    clients: &mut [Client],
    target: &str,
    requests: usize,
    body: &[u8],
) -> (f64, f64) {
    let (cpu, allocations) = (server.cpu(), server.allocations());
    for _ in 0..requests {
        for client in &mut *clients {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        }
        for client in &mut *clients {
            let reply = client.reply();
            assert!(reply.status == 200 && reply.body == body, "an answer is another one");
        }
    }
    let all = (requests * clients.len()) as f64;
    let allocations = (server.allocations() - allocations) as f64;
    ((server.cpu() - cpu) / all, allocations / all)
}

/// The names of the header lines of an answer, but for how its length is told.
fn names(reply: &Reply) -> Vec<String> {
    let mut names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
    names.retain(|name| name != "content-length" && name != "transfer-encoding");
    names.sort();
    names
}

/// How many samples a scrape has.
fn samples(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[expect(clippy::print_stdout, reason = "the report")]
fn main() {
    machine::print();
    one_cpu::stay_on_one();
    let mut host = Host::new(&Selection::default());
    // The oldest of 180 steps is as far away as the history goes.
    // So far that the history goes back to the first record, and will for another ten seconds.
    host.record_past(GENERATIONS as u64 * 10 - 10);
    let ring = host.writer.path();
    let ours = Running::start(OURS, |tell| front_end(ring, tell));
    let mut client = ours.clients(1).remove(0);
    let points = |body: &[u8]| String::from_utf8_lossy(body).matches("\"id\":\"host\"").count();
    let [history, newest, scrape] = [HISTORY, NEWEST, SCRAPE].map(|target| client.get(target));
    // A host without an interface of hardware lacks two of sixteen; one on an overlay, two more.
    assert!((12..=16).contains(&points(&newest.body)));
    assert!(points(&history.body).abs_diff(GENERATIONS * points(&newest.body)) < 2 * 16);
    assert!(scrape.text().contains("\nnode_cpu_seconds_total{"));
    println!("# newest: {} points, {} bytes", points(&newest.body), newest.body.len());
    println!("# history: {} points, {} bytes", points(&history.body), history.body.len());
    println!("# scrape: {} samples, {} bytes", samples(scrape.text()), scrape.body.len());
    let answers = [(HISTORY, history), (NEWEST, newest), (SCRAPE, scrape)];
    let names = answers.each_ref().map(|(_, reply)| names(reply));
    let answers: Vec<_> = answers.into_iter().map(|(at, reply)| Prebuilt::of(at, reply)).collect();
    let given = answers.clone();
    let theirs = Running::start(THEIRS, |tell| prebuilt(given, tell));
    for (answer, names_of_ours) in answers.iter().zip(names) {
        let reply = theirs.clients(1)[0].get(answer.target);
        assert_eq!(names_of_ours, self::names(&reply), "the same header lines");
    }

    let throughput = Goal::AtMost(1.0 / THROUGHPUT_GOAL);
    for (name, target, clients, requests, goal) in [
        ("http/history of 30 min, 1 connection", HISTORY, 1, 50, Goal::None),
        ("http/newest, 1 connection", NEWEST, 1, 1000, Goal::AtMost(1.5)),
        ("http/newest, 16 connections", NEWEST, 16, 100, Goal::AtMost(1.5)),
        ("http/metrics, 1 connection", SCRAPE, 1, 500, throughput),
        ("http/metrics, 16 connections", SCRAPE, 16, 50, throughput),
    ] {
        let body = answers.iter().find(|answer| answer.target == target);
        let body = body.expect("an answer to each").body.clone();
        let (mut our_clients, mut their_clients) = (ours.clients(clients), theirs.clients(clients));
        let mut our_batch = |requests| batch(&ours, &mut our_clients, target, requests, &body);
        let mut their_batch =
            |requests| batch(&theirs, &mut their_clients, target, requests, &body);
        our_batch(requests / 10);
        their_batch(requests / 10);
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        let mut made = (0.0, 0.0);
        for _ in 0..ROUNDS {
            let (our_time, our_made) = our_batch(requests);
            let (their_time, their_made) = their_batch(requests);
            our_times.push(our_time);
            their_times.push(their_time);
            made = (our_made, their_made);
        }
        judge((name, "prebuilt"), goal, &our_times, &their_times);
        println!("{:<44} allocations a request: ours {:.2}, prebuilt {:.2}", "", made.0, made.1);
    }
}
