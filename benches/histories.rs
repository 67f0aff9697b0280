//! Half an hour of a record a second, all series: how fast it is written, what memory that takes, and
//! how soon it begins.
//!
//! **How fast** is measured in this process, in CPU time, without a server: the ring's records are
//! written out part by part into one buffer, as the server does it. Beside it in the same run, the
//! same bytes are copied part by part into the same buffer, which is the least that can be done.
//!
//! **What memory** is measured of the whole program over a ring of an hour that has passed: how much
//! the process has at most while histories are read, quickly and by clients that stall. The pages of
//! the ring itself, which are there whoever reads them and are counted once more when they are first
//! read, are told apart.
//!
//! **How soon** is the time from the request to the answer's header and first bytes, on a connection
//! that is open.

#![expect(clippy::print_stdout, reason = "the report")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::time::Instant;

use tachograph::encode::PART_BYTES;
use tachograph::encode::prometheus::{
    Collectors, Exposition, HISTORY_RECORDS_MAX, History, HistoryFrom, Sheets,
};
use tachograph::ring::{ReadMap, Reader, Ring};
use tachograph::sample::Selection;

#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/running.rs"]
mod running;

use host::Host;
use judge::{Goal, median_min_max, text, verdict};
use pair::pair;
use running::{Client, Program, connect};

const ROUNDS: usize = 9;
/// Records of half an hour.
const RECORDS: u64 = 1800;
const BYTES_PER_SECOND_GOAL: f64 = 2e9;
const GROWTH_GOAL_BYTES: u64 = 4_000_000;
const FIRST_BYTE_GOAL: f64 = 0.002;
const FIRST_BYTES: usize = 50;
/// Clients that take the beginning of a history and nothing more.
const STALLED: usize = 16;
const HALF_HOUR: &str = "/metrics/history?window=30m";
/// All that the ring has, and more than it has.
const WINDOWS: [&str; 4] = [
    "/metrics/history?window=1m",
    HALF_HOUR,
    "/metrics/history?since_seq=0",
    "/metrics/history?window=24h",
];

fn main() {
    machine::print();
    let mut host = Host::new(&Selection::default());
    host.record_past(RECORDS - 1);
    let reader = Reader::open(&host.writer.path()).expect("the ring");
    for (name, exposition) in [
        ("histories/30 min as text", Exposition::Text),
        ("histories/30 min as OpenMetrics", Exposition::OpenMetrics),
    ] {
        writing(name, reader.ring(), exposition);
    }
    drop((reader, host));

    let mut host = Host::new(&Selection::default());
    host.record_past(3600);
    let dir = host.end();
    let mut program = Program::start(dir.path(), &[]);
    program.first_points();
    memory(&mut program);
    first_byte(&program);
}

/// Writes a history, a part at a time, and gives each to `take`.
fn write(
    ring: &Ring<ReadMap>,
    (history, sheets): (&mut History, &mut Sheets),
    exposition: Exposition,
    buffer: &mut Vec<u8>,
    mut take: impl FnMut(&[u8]),
) {
    let wanted = (exposition, Collectors::ALL);
    history
        .begin(ring, sheets, HistoryFrom::Since(0), wanted, HISTORY_RECORDS_MAX)
        .expect("nobody writes");
    loop {
        buffer.clear();
        let more = history.part(ring, buffer).expect("nobody writes");
        take(buffer);
        if !more {
            return;
        }
    }
}

fn writing(name: &str, ring: &Ring<ReadMap>, exposition: Exposition) {
    let (mut history, mut sheets) = (History::default(), Sheets::of("host"));
    let (mut buffer, mut copy) = (Vec::with_capacity(2 * PART_BYTES), Vec::new());
    write(ring, (&mut history, &mut sheets), exposition, &mut buffer, |part| {
        copy.extend_from_slice(part);
    });
    check(&copy, exposition);
    let mut target = Vec::with_capacity(2 * PART_BYTES);
    let outcome = pair(
        (name, "copied"),
        Goal::None,
        ROUNDS,
        || {
            let mut bytes = 0;
            let state = (&mut history, &mut sheets);
            write(ring, state, exposition, &mut buffer, |part| bytes += part.len());
            assert_eq!(bytes, copy.len(), "the same history again");
        },
        || {
            for part in copy.chunks(PART_BYTES) {
                target.clear();
                target.extend_from_slice(part);
                std::hint::black_box(&mut target);
            }
        },
    );
    let samples = copy.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
    let rate = copy.len() as f64 / outcome.ours;
    println!(
        "{:<44} {:.1} MB, {samples} samples of {:.1} ns and {:.0} bytes: {:.2} GB/s  goal >= {} GB/s  {}",
        "",
        copy.len() as f64 / 1e6,
        outcome.ours * 1e9 / samples as f64,
        copy.len() as f64 / samples as f64,
        rate / 1e9,
        BYTES_PER_SECOND_GOAL / 1e9,
        verdict(rate >= BYTES_PER_SECOND_GOAL),
    );
}

/// A history of all records has one sample of each for what is always there, in the order of time.
fn check(history: &[u8], exposition: Exposition) {
    let history = std::str::from_utf8(history).expect("text");
    let times: Vec<f64> = history
        .lines()
        .filter_map(|line| line.strip_prefix("node_load1 ")?.split(' ').nth(1)?.parse().ok())
        .collect();
    assert_eq!(times.len() as u64, RECORDS, "a sample of each record");
    let second = if exposition == Exposition::Text { 1000.0 } else { 1.0 };
    let is_a_second = |pair: &[f64]| ((pair[1] - pair[0]) / second - 1.0).abs() < 0.5;
    assert!(times.windows(2).all(is_a_second), "a second lies between two");
}

/// What the process has in memory.
#[derive(Clone, Copy, Debug)]
struct Memory {
    resident: u64,
    /// Pages of the ring.
    shared: u64,
    /// The most it ever had.
    peak: u64,
}

impl Memory {
    fn of(program: &Program) -> Self {
        let [resident, shared, peak] =
            ["VmRSS", "RssShmem", "VmHWM"].map(|key| program.status_bytes(key));
        Self { resident, shared, peak }
    }

    /// How much more it has, or had at a time, than `before`, but for pages of the ring.
    fn beyond(&self, before: &Self) -> u64 {
        let shared = self.shared.saturating_sub(before.shared);
        self.peak.max(self.resident).saturating_sub(before.resident + shared)
    }
}

/// Says that the most that the process had is what it has now.
fn forget_peak(program: &Program) {
    fs::write(format!("/proc/{}/clear_refs", program.child.id()), "5").expect("our own child");
}

fn memory(program: &mut Program) {
    assert_eq!(program.client.get("/metrics").status, 200);
    forget_peak(program);
    let before = Memory::of(program);
    let mut bytes = 0;
    let cpu = program.serving_cpu();
    for target in WINDOWS {
        let read = drain(program, target);
        assert!(read > 0, "{target} has records");
        bytes += read;
    }
    let cpu = program.serving_cpu() - cpu;
    let after = Memory::of(program);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let growth = after.beyond(&before);
    println!(
        "{:<44} {:.2} MB more at most than {:.1} resident, and {:.1} of the ring first read now  \
         goal < {} MB  {}",
        format!("histories/memory, {} windows", WINDOWS.len()),
        mb(growth),
        mb(before.resident),
        mb(after.shared.saturating_sub(before.shared)),
        mb(GROWTH_GOAL_BYTES),
        verdict(growth < GROWTH_GOAL_BYTES),
    );
    println!(
        "{:<44} {:.0} MB sent: {:.2} GB/s of the serving thread's CPU time, sockets included  shown only",
        "",
        mb(bytes),
        bytes as f64 / cpu / 1e9,
    );

    forget_peak(program);
    let before = Memory::of(program);
    let stalled: Vec<Client> = (0..STALLED).map(|_| begin(program, HALF_HOUR)).collect();
    let growth = Memory::of(program).beyond(&before);
    println!(
        "{:<44} {:.2} MB more at most, {:.0} KB each  goal < {} MB each  {}",
        format!("histories/memory, {STALLED} who stall"),
        mb(growth),
        growth as f64 / STALLED as f64 / 1e3,
        mb(GROWTH_GOAL_BYTES),
        verdict(growth < GROWTH_GOAL_BYTES * STALLED as u64),
    );
    drop(stalled);
}

/// Reads all of a chunked answer and keeps nothing of it; how long its body is.
fn drain(program: &Program, target: &str) -> u64 {
    let mut client = begin(program, target);
    let (mut line, mut bytes) = (String::new(), 0);
    loop {
        line.clear();
        client.stream.read_line(&mut line).expect("the size of a chunk");
        let mut left = usize::from_str_radix(line.trim_end(), 16).expect("a size") + 2;
        if left == 2 {
            return bytes;
        }
        bytes += left as u64 - 2;
        while left > 0 {
            let there = client.stream.fill_buf().expect("the rest of a chunk").len().min(left);
            assert!(there > 0, "the body was cut off");
            client.stream.consume(there);
            left -= there;
        }
    }
}

/// Asks, and reads the answer's header and the first bytes of its body.
fn begin(program: &Program, target: &str) -> Client {
    let socket = connect(program.address).expect("the server listens");
    ask(socket, target)
}

fn ask(mut client: Client, target: &str) -> Client {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let head = client.head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), Some("chunked"), "a long answer");
    assert!(!client.stream.fill_buf().expect("its body").is_empty());
    client
}

fn first_byte(program: &Program) {
    for target in WINDOWS {
        let times: Vec<f64> = (0..FIRST_BYTES)
            .map(|_| {
                let socket = TcpStream::connect(program.address).expect("the server listens");
                socket.set_nodelay(true).expect("a socket");
                let client = Client { stream: BufReader::with_capacity(64 << 10, socket) };
                // The server has taken the connection and waits for what is asked.
                std::thread::sleep(std::time::Duration::from_millis(5));
                let begun = Instant::now();
                drop(ask(client, target));
                begun.elapsed().as_secs_f64()
            })
            .collect();
        let [median, low, high] = median_min_max(&times);
        println!(
            "{:<44} {} [{}..{}] of {FIRST_BYTES}  goal < {}  {}",
            format!("histories/first byte, {}", target.trim_start_matches("/metrics/history?")),
            text(median),
            text(low),
            text(high),
            text(FIRST_BYTE_GOAL),
            verdict(median < FIRST_BYTE_GOAL),
        );
    }
}
