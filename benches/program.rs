//! The whole program: how soon it answers, how much memory it has, how much of a CPU it takes.
//!
//! The program runs as its users run it, with the default sources and a ring of the default 4096
//! slots in a fresh directory in memory. The ring is filled in two ways. At a thousand records a
//! second it is full after a few seconds; and a program with all its defaults is given the ring of
//! an hour that has passed, in which its answers have their full length.
//!
//! A fast lane is watched for [`LANE_SECONDS`], or as many as `TACHOGRAPH_BENCH_SECONDS` says, beside
//! the lane that is always there; what it missed and took stands in its own ring. Ticks are missed
//! while others have the machine's CPUs: the figure is one of the machine as well.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tachograph::ring::{ReadMap, Reader, Ring};
use tachograph::sample::Selection;
use tachograph::window::{Event, Window};

#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/running.rs"]
mod running;

use host::{Host, Scratch};
use judge::{median_min_max, text, verdict};
use running::{Account, FOREVER, Program, cpu_of, slept_over};

const HISTORY: &str = "/api2/json/status/metrics?history=1";
const STARTS: usize = 15;
const START_GOAL: f64 = 0.050;
const RESIDENT_GOAL_BYTES: u64 = 24_000_000;
/// How long the program is watched at its default interval.
const WATCHED: Duration = Duration::from_secs(10);
/// How long a fast lane is watched, in seconds, unless it is said.
const LANE_SECONDS: u64 = 20;
/// Of all ticks that were due, how many a fast lane may miss.
const MISSED_GOAL: f64 = 0.001;
/// Share of a core that a fast lane may take at 100 Hz.
const LANE_CPU_GOAL: f64 = 0.02;
#[expect(clippy::print_stdout, reason = "the report")]
fn first_answer() {
    let mut points = 0;
    let times: Vec<f64> = (0..STARTS)
        .map(|_| {
            let dir = Scratch::new();
            let begun = Instant::now();
            let mut program = Program::start(dir.path(), &[]);
            points = program.first_points();
            let took = begun.elapsed().as_secs_f64();
            // A host without an interface of hardware lacks two of sixteen; one on an overlay, two
            // more.
            assert!((12..=16).contains(&points), "{points} points");
            took
        })
        .collect();
    let [median, low, high] = median_min_max(&times);
    println!(
        "{:<44} {} [{}..{}] from spawn to {points} points  goal < {}  {}",
        "program/first answer",
        text(median),
        text(low),
        text(high),
        text(START_GOAL),
        verdict(median < START_GOAL),
    );
}

#[expect(clippy::print_stdout, reason = "the report")]
fn memory(name: &str, program: &mut Program) {
    for _ in 0..5 {
        program.points(HISTORY);
    }
    let [resident, peak, shared, own] =
        ["VmRSS", "VmHWM", "RssShmem", "RssAnon"].map(|key| program.status_bytes(key));
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{name:<44} {:.1} MB resident: {:.1} ring, {:.1} own, {:.1} code; peak {:.1}  \
         goal < {} MB  {}",
        mb(resident),
        mb(shared),
        mb(own),
        mb(resident - shared - own),
        mb(peak),
        mb(RESIDENT_GOAL_BYTES),
        verdict(resident < RESIDENT_GOAL_BYTES),
    );
}

/// The ring of the default's size, filled at a thousand records a second. It reaches back four
/// seconds then, which is less than a generation, so that an answer may be empty.
fn memory_at_a_millisecond() {
    let dir = Scratch::new();
    let mut program = Program::start(dir.path(), &["--interval", "1ms", "--depth", "3600ms"]);
    let reader = Reader::open(&dir.path().join("host.ring")).expect("the program's ring");
    assert_eq!(reader.ring().geometry().slot_count, 4096);
    let begun = Instant::now();
    while reader.ring().head() <= 4200 {
        assert!(begun.elapsed() < FOREVER, "the ring is being filled");
        program.points(HISTORY);
        thread::sleep(Duration::from_millis(100));
    }
    memory("program/memory, ring filled at 1 ms", &mut program);
}

/// The defaults, over an hour that has passed.
fn memory_and_cpu_by_default() {
    let mut host = Host::new(&Selection::default());
    host.record_past(4096);
    let dir = host.end();
    let mut program = Program::start(dir.path(), &[]);
    let newest = program.first_points();
    assert!(program.points(HISTORY) > 170 * newest, "the program goes on in the ring");
    memory("program/memory, by default after an hour", &mut program);
    cpu(&program);
}

#[expect(clippy::print_stdout, reason = "the report")]
fn cpu(program: &Program) {
    // What starting has left to do.
    thread::sleep(Duration::from_secs(2));
    let (before, begun) = (cpu_of(&program.child), Instant::now());
    thread::sleep(WATCHED);
    let (took, wall) = (cpu_of(&program.child) - before, begun.elapsed().as_secs_f64());
    println!(
        "{:<44} {:.3} % of a core, {} a second, nobody asking  shown only",
        "program/CPU at the default 1 s",
        took / wall * 100.0,
        text(took / wall),
    );
}

/// A recorder without a listener, with a lane `fast` beside its own; killed when dropped.
struct Recorder {
    child: Child,
    reader: Reader,
}

impl Recorder {
    /// Starts it in `dir` with an `interval` of the lane, whose ring reaches back `seconds`.
    fn start(dir: &Path, interval: &str, seconds: u64) -> Self {
        let config = dir.join("config.toml");
        let text = format!(
            "[[lane]]\nname = \"fast\"\ninterval = \"{interval}\"\ndepth = \"{seconds}s\"\n\
             sources = [\"cputime\", \"net_dev\", \"diskstats\", \"pressure\"]\n"
        );
        fs::write(&config, text).expect("room in memory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tachograph"))
            .args(["record", "--run-dir"])
            .arg(dir)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let begun = Instant::now();
        loop {
            match Reader::open(&dir.join("fast.ring")) {
                Ok(reader) => return Self { child, reader },
                Err(error) if begun.elapsed() > FOREVER => {
                    let _ = child.kill();
                    panic!("no ring of the lane: {error}");
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How late the ticks between two moments began, in seconds, as far as the ring reaches back.
fn lateness(ring: &Ring<ReadMap>, after_ns: u64, up_to_ns: u64) -> Vec<f64> {
    let column = ring.find("tachograph", "tick_lateness_ns").expect("a series of the recorder's");
    let window = Window::between(ring, after_ns, up_to_ns);
    let read = window.read(|events| {
        let ns = events.filter_map(|event| match event {
            Event::Record(view) => view.u64(&column),
            Event::Gap(_) => None,
        });
        ns.map(|ns| ns as f64 / 1e9).collect::<Vec<f64>>()
    });
    let mut lateness = read.expect("the ring reaches back further");
    lateness.sort_by(f64::total_cmp);
    lateness
}

/// A lane at `hertz` beside the lane that is always there.
#[expect(clippy::print_stdout, reason = "the report")]
fn fast_lane(interval: &str, hertz: f64, cpu_goal: Option<f64>) {
    let seconds = std::env::var("TACHOGRAPH_BENCH_SECONDS");
    let seconds = seconds.map_or(LANE_SECONDS, |text| text.parse().expect("a number of seconds"));
    let dir = Scratch::new();
    let mut recorder = Recorder::start(dir.path(), interval, seconds + 10);
    // What starting has left to do.
    thread::sleep(Duration::from_secs(2));
    recorder.reader.refresh().expect("the ring is there");
    let (from, cpu_before) = (Account::newest(recorder.reader.ring()), cpu_of(&recorder.child));
    let asleep = slept_over(Duration::from_secs_f64(1.0 / hertz), Duration::from_secs(seconds));
    // A device that came has made another ring, in which the counters go on.
    recorder.reader.refresh().expect("the ring is there");
    let (to, cpu_after) = (Account::newest(recorder.reader.ring()), cpu_of(&recorder.child));
    let lateness = lateness(recorder.reader.ring(), from.realtime_ns, to.realtime_ns);

    let wall = (to.boottime_ns - from.boottime_ns) as f64 / 1e9;
    let (ticks, missed) = (to.ticks - from.ticks, to.missed - from.missed);
    let due = (ticks + missed) as f64;
    assert!((due / (wall * hertz) - 1.0).abs() < 0.01, "{due} ticks were due in {wall} s");
    assert!(lateness.len() as u64 <= ticks + 1, "each record is a tick's");
    let share = missed as f64 / due;
    let at = |part: f64| lateness[((lateness.len() - 1) as f64 * part) as usize];
    let name = format!("program/lane fast at {interval}");
    println!(
        "{name:<44} {missed} of {due} ticks missed in {wall:.0} s, {:.4} %  goal <= {} %  {}",
        share * 100.0,
        MISSED_GOAL * 100.0,
        verdict(share <= MISSED_GOAL),
    );
    println!(
        "{:<44} a thread that only slept missed {:.4} % of the same meanwhile  shown only",
        "",
        asleep * 100.0
    );
    let cpu = (to.cpu_ns - from.cpu_ns) as f64 / 1e9 / wall;
    let judged = cpu_goal.map_or("shown only".to_owned(), |goal| {
        format!("goal <= {} %  {}", goal * 100.0, verdict(cpu <= goal))
    });
    println!(
        "{:<44} {:.2} % of a core, {} a tick; {:.2} % with the program's other threads  {judged}",
        "",
        cpu * 100.0,
        text(cpu * wall / ticks as f64),
        (cpu_after - cpu_before) / wall * 100.0,
    );
    println!(
        "{:<44} late p50 {}, p99 {}, most {}, of {} records  shown only",
        "",
        text(at(0.5)),
        text(at(0.99)),
        text(at(1.0)),
        lateness.len(),
    );
}

fn main() {
    machine::print();
    first_answer();
    memory_at_a_millisecond();
    memory_and_cpu_by_default();
    fast_lane("1ms", 1000.0, None);
    fast_lane("10ms", 100.0, Some(LANE_CPU_GOAL));
}
