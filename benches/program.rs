//! The whole program: how soon it answers, how much memory it has, how much of a CPU it takes.
//!
//! The program runs as its users run it, with the default sources and a ring of the default 4096
//! slots in a fresh directory in memory. The ring is filled in two ways. At a thousand records a
//! second it is full after a few seconds; and a program with all its defaults is given the ring of
//! an hour that has passed, in which its answers have their full length.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

use client::Client;
use host::{Host, Scratch};
use judge::{median_min_max, text, verdict};

const NEWEST: &str = "/api2/json/status/metrics";
const HISTORY: &str = "/api2/json/status/metrics?history=1";
const STARTS: usize = 15;
const START_GOAL: f64 = 0.050;
const RESIDENT_GOAL_BYTES: u64 = 24_000_000;
/// How long the program is watched at its default interval.
const WATCHED: Duration = Duration::from_secs(10);
/// Nothing here takes as long on any machine.
const FOREVER: Duration = Duration::from_secs(60);

/// A running program, killed when dropped.
struct Program {
    child: Child,
    /// Held open: a program whose output nobody reads any more ends.
    _stdout: BufReader<ChildStdout>,
    client: Client,
}

impl Program {
    /// Starts it with `flags` over the ring in `dir`, and waits until it says where it listens.
    fn start(dir: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tachograph"))
            .args(["run", "--listen", "127.0.0.1:0", "--run-dir"])
            .arg(dir)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let said = stdout.read_line(&mut line);
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(';').next());
        let socket = said.ok().zip(address).map(|(_, address)| TcpStream::connect(address));
        match socket {
            Some(Ok(socket)) => {
                let client = Client { stream: BufReader::new(socket) };
                Self { child, _stdout: stdout, client }
            }
            other => {
                let _ = child.kill();
                panic!("no address to connect to in {line:?}: {other:?}");
            }
        }
    }

    /// How many points an answer has.
    fn points(&mut self, target: &str) -> usize {
        let reply = self.client.get(target);
        assert_eq!(reply.status, 200);
        reply.text().matches("\"id\":\"host\"").count()
    }

    /// Asks until the answer has a generation of points; how many these are.
    fn first_points(&mut self) -> usize {
        let begun = Instant::now();
        loop {
            match self.points(NEWEST) {
                0 => assert!(begun.elapsed() < FOREVER, "there is no record"),
                points => return points,
            }
        }
    }

    /// A line of the kernel's `status` of the process, in bytes.
    fn status_bytes(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.expect("the program runs");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a size") * 1024
    }

    /// CPU time of all its threads, in seconds.
    fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let ns = tasks.expect("the program runs").map(|task| {
            let path = task.expect("listed").path().join("schedstat");
            let text = fs::read_to_string(path).expect("the thread runs");
            text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("nanoseconds")
        });
        ns.sum::<f64>() / 1e9
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    cpu(&mut program);
}

#[expect(clippy::print_stdout, reason = "the report")]
fn cpu(program: &mut Program) {
    // What starting has left to do.
    thread::sleep(Duration::from_secs(2));
    let (before, begun) = (program.cpu(), Instant::now());
    thread::sleep(WATCHED);
    let (took, wall) = (program.cpu() - before, begun.elapsed().as_secs_f64());
    println!(
        "{:<44} {:.3} % of a core, {} a second, nobody asking  shown only",
        "program/CPU at the default 1 s",
        took / wall * 100.0,
        text(took / wall),
    );
}

fn main() {
    machine::print();
    first_answer();
    memory_at_a_millisecond();
    memory_and_cpu_by_default();
}
