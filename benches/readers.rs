//! What readers in other processes cost the writer, and how soon they have what it publishes.
//!
//! **The writer's cost.** The time of a publish with 0, 1, 2 and 8 processes that poll the newest
//! record. It is the CPU time of the writer's thread: what the readers take of the two CPUs that
//! there may be is not the writer's. Two paces, since they say different things. A recorder publishes
//! at most a thousand times a second, so that is the pace that the goal is judged at; the readers
//! never stop looking in between. When records are published one right after another, each store has
//! to take its cache line back from whoever has just looked at it. No protocol over shared memory
//! gets around that, and the figure is shown.
//!
//! **The reader's delay.** From right before a record with the time in it is published until a reader
//! in another process, which slept in the kernel, has that value in hand. Beside it in the same run:
//! a process that sleeps in read(2) of a pipe, and one that sleeps in read(2) of an eventfd, which
//! are sent the same time. The three take turns, with a pause in which they fall asleep.
//!
//! The readers are this program again, started with a part to play.
#![allow(clippy::print_stdout, reason = "the report, and what the parts tell")]

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{ClockId, clock_gettime};
use tachograph::record::{Record, Schema};
use tachograph::ring::{Opening, Reader, RunDir, Wait, Writer, WriterOptions};

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use judge::{Goal, judge, median_min_max, text};
use scratch::Scratch;

const COLUMNS: usize = 512;
const ROUNDS: usize = 11;
const READERS: [usize; 4] = [0, 1, 2, 8];
/// Publishes of a round, back to back and at a pace.
const BATCH: u32 = 20_000;
const PACED: u32 = 150;
const PACE: Duration = Duration::from_millis(1);
/// What is sent in each of the three ways.
const SENT: usize = 2000;
/// So long nothing is sent, so that whoever waits is asleep.
const PAUSE: Duration = Duration::from_micros(400);
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--part", "poll", ring] => poll(Path::new(ring)),
        ["--part", "wait", ring] => wait(Path::new(ring)),
        ["--part", "read"] => read(),
        _ => {
            machine::print();
            writers_cost();
            readers_delay();
        }
    }
}

/// This program again, as a reader.
fn start(part: &[&str], stdin: Stdio) -> Child {
    let program = env::current_exe().expect("this file");
    let mut command = Command::new(program);
    command.arg("--part").args(part).stdin(stdin).stdout(Stdio::piped());
    command.spawn().expect("this program can be started again")
}

struct Lane {
    _scratch: Scratch,
    writer: Writer,
    record: Record,
}

impl Lane {
    fn new() -> Self {
        let scratch = Scratch::new();
        let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
        let mut schema = Schema::new();
        for nic in 0..COLUMNS {
            schema.add(&format!("nic/{nic}"), "receive_bytes").expect("room");
        }
        let interval = Duration::from_millis(1);
        let options = WriterOptions { interval, depth_records: 4096, mode: 0o600 };
        let opening = Opening::of(&dir, "bench").expect("the lane is free");
        let (writer, _) = opening.start(&options, &mut schema).expect("a ring");
        Self { _scratch: scratch, writer, record: Record::new(COLUMNS) }
    }

    /// Publishes a record whose every word is `value`.
    fn publish(&mut self, value: u64) {
        self.record.words_mut().fill(value);
        self.stamp_and_publish();
    }

    fn stamp_and_publish(&mut self) {
        self.record.header.realtime_ns += 1;
        self.writer.publish(black_box(&mut self.record));
    }
}

/// Processes that poll one ring until they are dropped.
struct Pollers(Vec<(Child, BufReader<ChildStdout>)>);

impl Pollers {
    fn start(count: usize, ring: &Path) -> Self {
        let ring = ring.to_str().expect("a path of ours");
        let one = |_| {
            let mut child = start(&["poll", ring], Stdio::null());
            let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
            let mut line = String::new();
            stdout.read_line(&mut line).expect("it tells that it polls");
            assert_eq!(line, "polling\n");
            (child, stdout)
        };
        Self((0..count).map(one).collect())
    }
}

impl Drop for Pollers {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks at the newest record until it is killed. It checks what it reads.
fn poll(ring: &Path) {
    let reader = Reader::open(ring).expect("the ring opens");
    let [first, last] = [0, COLUMNS - 1]
        .map(|nic| reader.ring().find(&format!("nic/{nic}"), "receive_bytes").expect("a series"));
    println!("polling");
    loop {
        let seen = reader.ring().latest(|view| (view.u64(&first), view.u64(&last)));
        assert!(seen.is_none_or(|(first, last)| first == last), "torn");
    }
}

fn writers_cost() {
    let mut lane = Lane::new();
    let path = lane.writer.path();
    lane.publish(1);
    // A set of readers at a time would say something of the moment as well: in each round all sets
    // have their turn.
    let mut paced = READERS.map(|_| Vec::with_capacity(ROUNDS));
    let mut back_to_back = READERS.map(|_| Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS as u64 {
        for (index, count) in READERS.into_iter().enumerate() {
            let pollers = Pollers::start(count, &path);
            lane.record.words_mut().fill(round);
            back_to_back[index].push(seconds_per_publish(&mut lane, BATCH, Duration::ZERO));
            paced[index].push(seconds_per_publish(&mut lane, PACED, PACE));
            drop(pollers);
        }
    }
    for (what, goal, times) in
        [("at 1 kHz", Goal::AtMost(1.2), &paced), ("back to back", Goal::None, &back_to_back)]
    {
        for (count, ours) in READERS.iter().zip(times).skip(1) {
            let name = format!("publish/512 {what}, {count} polling");
            judge((&name, "none polling"), goal, ours, &times[0]);
        }
    }
}

/// CPU time of a publish in the middle of so many, with a pause before each.
fn seconds_per_publish(lane: &mut Lane, count: u32, pause: Duration) -> f64 {
    if pause.is_zero() {
        let begin = nanoseconds(ClockId::ThreadCPUTime);
        (0..count).for_each(|_| lane.stamp_and_publish());
        return (nanoseconds(ClockId::ThreadCPUTime) - begin) as f64 / 1e9 / f64::from(count);
    }
    let one = || {
        thread::sleep(pause);
        let begin = nanoseconds(ClockId::ThreadCPUTime);
        lane.stamp_and_publish();
        (nanoseconds(ClockId::ThreadCPUTime) - begin) as f64 / 1e9
    };
    let times: Vec<f64> = std::iter::repeat_with(one).take(count as usize).collect();
    median_min_max(&times)[0]
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn readers_delay() {
    let mut lane = Lane::new();
    lane.publish(0);
    let path = lane.writer.path();
    let ring = path.to_str().expect("a path of ours");
    let mut waiter = Delayed::start(&["wait", ring], Stdio::null());
    let mut piped = Delayed::start(&["read"], Stdio::piped());
    let mut pipe: ChildStdin = piped.child.stdin.take().expect("piped");
    let event: OwnedFd = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    let others = event.try_clone().expect("a second descriptor of it");
    let mut told = Delayed::start(&["read"], Stdio::from(others));

    let now = || nanoseconds(ClockId::Monotonic);
    for _ in 0..SENT {
        thread::sleep(PAUSE);
        lane.publish(now());
        lane.writer.wake();
        thread::sleep(PAUSE);
        pipe.write_all(bytemuck::bytes_of(&now())).expect("somebody reads");
        thread::sleep(PAUSE);
        // What is added to an eventfd that stands at 0 is what its reader is given.
        rustix::io::write(&event, bytemuck::bytes_of(&now())).expect("room in an eventfd");
    }
    let names =
        ["futex: publish and wake to value", "pipe: write to read", "eventfd: write to read"];
    let delays = [waiter.delays(), piped.delays(), told.delays()];
    let percentile = |delays: &[f64], percent: usize| delays[(delays.len() - 1) * percent / 100];
    for (name, delays) in names.iter().zip(&delays) {
        let [p50, p90, p99, most] = [50, 90, 99, 100].map(|p| text(percentile(delays, p)));
        println!(
            "{name:<44} p50 {p50:>9}  p90 {p90:>9}  p99 {p99:>9}  most {most:>9}  of {}",
            delays.len()
        );
    }
    let [ring, pipe, event] = delays.each_ref().map(|delays| percentile(delays, 50));
    println!(
        "{:<44} {:.2}x the pipe's, {:.2}x the eventfd's",
        "median of the ring",
        ring / pipe,
        ring / event
    );
}

/// A reader that tells at its end how long each value was on its way.
struct Delayed {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Delayed {
    fn start(part: &[&str], stdin: Stdio) -> Self {
        let mut child = start(part, stdin);
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it tells that it waits");
        assert_eq!(line, "waiting\n");
        Self { child, stdout }
    }

    /// Seconds, ascending.
    fn delays(&mut self) -> Vec<f64> {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).expect("UTF-8");
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}");
        let number = |line: &str| line.parse::<f64>().expect("nanoseconds") / 1e9;
        let mut delays: Vec<f64> = text.lines().map(number).collect();
        delays.sort_by(f64::total_cmp);
        assert!(delays.len() > SENT / 2, "most of what was sent is there: {}", delays.len());
        delays
    }
}

fn tell(delays: &[u64]) {
    let text: String = delays.iter().map(|delay| format!("{delay}\n")).collect();
    std::io::stdout().write_all(text.as_bytes()).expect("somebody listens");
}

/// Sleeps until there is a record, and has its value in hand.
fn wait(ring: &Path) {
    let reader = Reader::open(ring).expect("the ring opens");
    let column = reader.ring().find("nic/0", "receive_bytes").expect("a series");
    let (mut seen, mut delays) = (reader.ring().head(), Vec::with_capacity(SENT));
    println!("waiting");
    let begin = Instant::now();
    // One that slept through a record is given the next: it counts what it has got.
    while (seen as usize) <= SENT && begin.elapsed() < PATIENCE {
        let Wait::Published(_) = reader.wait(seen, PATIENCE) else { continue };
        let newest = reader.ring().latest(|view| (view.seq(), view.u64(&column)));
        let now = nanoseconds(ClockId::Monotonic);
        if let Some((seq, Some(sent))) = newest {
            seen = seq;
            delays.push(now - sent);
        }
    }
    tell(&delays);
}

/// Sleeps until it can read eight bytes from its standard input.
fn read() {
    let mut delays = Vec::with_capacity(SENT);
    println!("waiting");
    let (mut received, mut sent) = (0, 0_u64);
    while received < SENT as u64 {
        match rustix::io::read(std::io::stdin(), bytemuck::bytes_of_mut(&mut sent)) {
            Ok(8) => {}
            Ok(0) => break,
            other => panic!("{other:?}"),
        }
        // An eventfd gives the sum of what it was sent since; such times are no delays.
        let now = nanoseconds(ClockId::Monotonic);
        let times = (sent + now / 2) / now;
        received += times.max(1);
        delays.extend((times <= 1).then(|| now - sent));
    }
    tell(&delays);
}
