//! Two hundred who ask for everything ten times a second.
//!
//! The program runs as its users run it, at its default interval of a second and at a tenth of one,
//! and [`POLLERS`] connections each ask for `/metrics` at 10 Hz for [`SECONDS`], or as many as
//! `TACHOGRAPH_BENCH_SECONDS` says. Each waits for its answer before it asks again, all of each answer
//! is looked at, and those who ask are spread evenly over the tenth of a second.
//!
//! No answer may be a failure, and no tick may be missed by the thread that records, which has the
//! same CPUs; what it missed stands in its own ring. How many ticks a thread misses meanwhile that
//! does nothing but sleep is told beside it: that is the machine's share.

#![expect(clippy::print_stdout, reason = "the report")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tachograph::ring::Reader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at};

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/running.rs"]
mod running;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use judge::{text, verdict};
use running::{Account, FOREVER, Program, slept_over};
use scratch::Scratch;

const POLLERS: u32 = 200;
const PACE: Duration = Duration::from_millis(100);
/// How long they ask, in seconds, unless it is said.
const SECONDS: u64 = 15;
const TARGET: &str = "/metrics";
const REQUEST: &[u8] =
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
/// An answer that takes longer is a failure, as it is for a scraper at this pace.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What came of all that was asked.
#[derive(Debug, Default)]
struct Outcome {
    /// In seconds.
    latencies: Vec<f64>,
    errors: Vec<String>,
}

/// One connection that is kept.
struct Poller {
    socket: TcpStream,
    answer: Vec<u8>,
    /// How many lines an answer has, more or less: devices come and go.
    lines: usize,
}

impl Poller {
    /// Asks once; an answer that is not whole or not what was asked for is an error.
    async fn poll(&mut self) -> Result<(), String> {
        self.socket.write_all(REQUEST).await.map_err(|error| error.to_string())?;
        self.answer.clear();
        let body_at = loop {
            self.read().await?;
            if let Some(at) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.answer[..body_at]).map_err(|it| it.to_string())?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head.lines().next().unwrap_or_default().to_owned());
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        let is_whole = |answer: &[u8]| match length {
            Some(length) => answer.len() >= body_at + length,
            None => answer.ends_with(b"\r\n0\r\n\r\n"),
        };
        while !is_whole(&self.answer) {
            self.read().await?;
        }
        let lines = self.answer[body_at..].iter().filter(|byte| **byte == b'\n').count();
        if lines.abs_diff(self.lines) * 5 > self.lines {
            return Err(format!("{lines} lines, and not about {}", self.lines));
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), String> {
        match self.socket.read_buf(&mut self.answer).await {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Asks at the pace until `end`, beginning at `first`.
async fn keep_asking(mut poller: Poller, first: Instant, end: Instant, told: Rc<RefCell<Outcome>>) {
    let mut ticks = interval_at(first.into(), PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        if begun >= end {
            return;
        }
        let polled = tokio::time::timeout(TIMEOUT, poller.poll()).await;
        let mut told = told.borrow_mut();
        match polled.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(()) => told.latencies.push(begun.elapsed().as_secs_f64()),
            Err(error) => {
                told.errors.push(error);
                return;
            }
        }
    }
}

/// All of them, in this thread.
async fn ask_all(address: SocketAddr, lines: usize, time: Duration) -> Outcome {
    let mut sockets = Vec::new();
    for _ in 0..POLLERS {
        let socket = TcpStream::connect(address).await.expect("the server listens");
        socket.set_nodelay(true).expect("a socket");
        sockets.push(socket);
    }
    let told = Rc::new(RefCell::new(Outcome::default()));
    let begin = Instant::now() + PACE;
    let all = tokio::task::LocalSet::new();
    for (place, socket) in (0..).zip(sockets) {
        let poller = Poller { socket, answer: Vec::with_capacity(128 << 10), lines };
        let first = begin + PACE * place / POLLERS;
        all.spawn_local(keep_asking(poller, first, begin + time, Rc::clone(&told)));
    }
    all.await;
    Rc::into_inner(told).expect("nobody asks any more").into_inner()
}

fn pollers(interval: &str, pace: Duration) {
    let seconds = std::env::var("TACHOGRAPH_BENCH_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let time = Duration::from_secs(seconds);
    let dir = Scratch::new();
    let mut program = Program::start(dir.path(), &["--interval", interval, "--depth", "90s"]);
    program.first_points();
    // What starting has left to do, and all that reports itself only after a while.
    thread::sleep(Duration::from_secs(4));
    let lines = program.client.get(TARGET).text().lines().count();
    let mut reader = Reader::open(&dir.path().join("host.ring")).expect("the program's ring");
    let cpu = |program: &Program| [program.serving_cpu(), program.recording_cpu()];
    let (from, cpu_before, begun) = (Account::newest(reader.ring()), cpu(&program), Instant::now());

    let address = program.address;
    let asking = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(ask_all(address, lines, time))
    });
    let asleep = slept_over(pace, time);
    let outcome = asking.join().expect("it asked to the end");
    assert!(begun.elapsed() < time + FOREVER, "all were answered");

    let (wall, cpu_after) = (begun.elapsed().as_secs_f64(), cpu(&program));
    // A device that came has made another ring, in which the counters go on.
    reader.refresh().expect("the ring is there");
    let to = Account::newest(reader.ring());
    report(interval, seconds, &outcome);
    let (ticks, missed) = (to.ticks - from.ticks, to.missed - from.missed);
    println!(
        "{:<44} {missed} of {} ticks missed (a thread that only slept: {:.2} %)  goal 0  {}",
        "",
        ticks + missed,
        asleep * 100.0,
        verdict(missed == 0),
    );
    let [serving, recording] = [0, 1].map(|index| cpu_after[index] - cpu_before[index]);
    println!(
        "{:<44} serving {:.1} % of a core, {} a request; recording {:.3} %, {} a tick  shown only",
        "",
        serving / wall * 100.0,
        text(serving / outcome.latencies.len() as f64),
        recording / wall * 100.0,
        text(recording / ticks as f64),
    );
}

fn report(interval: &str, seconds: u64, outcome: &Outcome) {
    let Outcome { latencies, errors } = outcome;
    let due = seconds * u64::from(POLLERS) * 1000 / PACE.as_millis() as u64;
    println!(
        "{:<44} {} of {due} asked in {seconds} s were answered, {} errors{}  goal 0  {}",
        format!("pollers/{POLLERS} at 10 Hz, recording at {interval}"),
        latencies.len(),
        errors.len(),
        errors.first().map_or(String::new(), |first| format!(", such as {first:?}")),
        verdict(errors.is_empty() && latencies.len() as u64 * 100 >= due * 99),
    );
    let mut sorted = latencies.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| text(sorted[((sorted.len() - 1) as f64 * part) as usize]);
    println!(
        "{:<44} latency p50 {}, p99 {}, p99.9 {}, most {}  shown only",
        "",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn main() {
    machine::print();
    pollers("1s", Duration::from_secs(1));
    pollers("100ms", Duration::from_millis(100));
}
