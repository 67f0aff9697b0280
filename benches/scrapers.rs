//! What a scrape costs, against the exporters that others run.
//!
//! Whole programs as their users run them, all at once on this machine, and one client that asks one
//! after another over connections that are kept:
//!
//! - ours, for the collectors that the other is asked for, and for everything that it has;
//! - `prometheus-node-exporter` with those ten collectors and nothing else, once with the metrics of
//!   its own process, which cannot be asked away, and once without them;
//! - `netdata` with nothing but what it reads of the kernel, held in memory. It answers from memory as
//!   ours does, and serves what it sampled.
//! - a thread of this process that does nothing but receive, and send one prebuilt answer of the
//!   same bytes: what a scrape costs the kernel, whoever answers.
//!
//! **What is counted.** The CPU time, in the kernel and out of it, of the threads that answer: for the
//! node exporter all of its threads, since it reads the kernel when it is asked; for the other two the
//! threads that serve. Ours and netdata sample whether they are asked or not, so that belongs to no
//! scrape. What it takes is told beside it, at three intervals, together with the cost of a scrape at
//! 10 Hz if all the sampling of the time between two scrapes is charged to it.
//!
//! **Three ways to ask.** Back to back; at 10 Hz, when the caches and the CPU have turned to other
//! things in between; and back to back with client and servers on one CPU, where no time goes into
//! waking another CPU.
//!
//! A program that is not installed is left out, and that is said. `TACHOGRAPH_BENCH_SECONDS` says how
//! long is asked at 10 Hz (15), `TACHOGRAPH_BENCH_HISTORY` how many seconds of history the two that
//! have one are asked for (60); netdata must have run for as long.

#![expect(clippy::print_stdout, reason = "the report")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tachograph::sample::Selection;

#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/one_cpu.rs"]
mod one_cpu;
#[path = "support/running.rs"]
mod running;

use host::{Host, Scratch};
use judge::{Goal, Outcome, judge, text, verdict};
use running::{Client, FOREVER, Program, connect, cpu_of_threads};

const ROUNDS: usize = 15;
/// Scrapes of a round: as many as take a server about so long.
const ROUND_TIME: Duration = Duration::from_millis(60);
/// How long is asked at 10 Hz, in seconds, unless it is said.
const PACED_SECONDS: usize = 15;
const PACED_HERTZ: u32 = 10;
/// How many seconds of history are asked for, unless it is said.
const HISTORY_SECONDS: u64 = 60;
const WINDOWS_PER_ROUND: u32 = 30;
/// How long sampling is watched at each interval.
const WATCHED: Duration = Duration::from_secs(5);

/// Of what a scrape of the node exporter takes, with both on any CPU and with all on one.
const EXPORTER_GOAL: Goal = Goal::Faster(40.0);
const EXPORTER_PINNED_GOAL: Goal = Goal::Faster(80.0);
const NETDATA_GOAL: Goal = Goal::Faster(3.0);
const NETDATA_WINDOW_GOAL: Goal = Goal::Faster(10.0);
/// How many times shorter the 99th percentile of our latency is.
const LATENCY_GOAL: f64 = 20.0;

/// The collectors that are compared.
const COLLECTORS: [&str; 10] = [
    "cpu",
    "loadavg",
    "meminfo",
    "netdev",
    "diskstats",
    "filesystem",
    "pressure",
    "stat",
    "vmstat",
    "uname",
];

/// What of the node exporter's metrics is about itself.
const OF_ITSELF: [&str; 5] = ["go_", "process_", "promhttp_", "node_scrape_", "node_exporter_"];

fn seconds_said(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number of seconds"))
}

/// Another's program, told to end when dropped.
struct Peer {
    child: Child,
    address: SocketAddr,
    _scratch: Scratch,
}

impl Peer {
    /// Starts it with what `arguments` makes of a directory and an address of its own.
    fn start(
        program: &str,
        arguments: impl FnOnce(&Path, SocketAddr) -> Vec<String>,
    ) -> Option<Self> {
        // It cannot say which port it was given, so it is given one that was free a moment ago.
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let scratch = Scratch::new();
        let arguments = arguments(scratch.path(), address);
        drop(socket);
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let peer = child.map(|child| Self { child, address, _scratch: scratch });
        let peer = peer.inspect_err(|error| println!("LEFT OUT: {program}: {error}")).ok()?;
        if connect(address).is_none() {
            println!("LEFT OUT: {program}: nobody listens on {address}");
            return None;
        }
        Some(peer)
    }

    fn node_exporter(of_itself: bool) -> Option<Self> {
        Self::start("prometheus-node-exporter", |_, address| {
            let mut flags = vec![
                format!("--web.listen-address={address}"),
                "--collector.disable-defaults".to_owned(),
            ];
            flags.extend(COLLECTORS.map(|name| format!("--collector.{name}")));
            flags.extend((!of_itself).then(|| "--web.disable-exporter-metrics".to_owned()));
            flags
        })
    }

    fn netdata() -> Option<Self> {
        Self::start("netdata", |dir, address| {
            let config = dir.join("netdata.conf");
            fs::write(&config, netdata_config(dir, address)).expect("room in memory");
            fs::write(dir.join(".opt-out-from-anonymous-statistics"), "").expect("room in memory");
            vec!["-D".to_owned(), "-c".to_owned(), config.display().to_string()]
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing but what is read of the kernel each second, kept in memory for an hour.
fn netdata_config(dir: &Path, address: SocketAddr) -> String {
    let dir = dir.display();
    // Its own user may not look into a directory of ours.
    let user = if geteuid().is_root() { "[global]\nrun as user = root\n" } else { "" };
    let sections = [
        user.to_owned(),
        format!("[directories]\nconfig = {dir}\nlib = {dir}\ncache = {dir}\nlog = {dir}\n"),
        format!("[web]\nbind to = {}\ndefault port = {}\n", address.ip(), address.port()),
        "[db]\nmode = alloc\nupdate every = 1\nretention = 3600\n".to_owned(),
        "[logs]\ndebug = none\nerror = none\naccess = none\n".to_owned(),
        ["registry", "health", "ml", "statsd", "cloud"]
            .map(|section| format!("[{section}]\nenabled = no\n"))
            .concat(),
    ];
    let off = [
        "timex",
        "checks",
        "idlejitter",
        "tc",
        "diskspace",
        "cgroups",
        "enable running new plugins",
        "netdata monitoring",
        "netdata monitoring extended",
        "apps",
        "slabinfo",
        "nfacct",
        "perf",
        "charts.d",
        "python.d",
        "node.d",
        "go.d",
        "fping",
        "ioping",
    ];
    let plugins = off.map(|plugin| format!("{plugin} = no\n")).concat();
    format!("{}[plugins]\nproc = yes\n{plugins}", sections.concat())
}

/// A server and what it is asked for.
struct Asked {
    name: &'static str,
    process: u32,
    serves: fn(&str) -> bool,
    request: String,
    client: Client,
    /// How many samples its answer had at first. Devices come and go.
    samples: usize,
    /// Its latencies, in seconds, since somebody took them.
    latencies: Vec<f64>,
    /// How many requests make a round.
    batch: usize,
}

impl Asked {
    fn new(
        name: &'static str,
        (process, serves): (u32, fn(&str) -> bool),
        address: SocketAddr,
        target: &str,
    ) -> Self {
        // netdata closes the connection unless it is asked not to.
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\
             Connection: keep-alive\r\n\r\n"
        );
        let client = connect(address).expect("the server listens");
        let latencies = Vec::new();
        Self { name, process, serves, request, client, samples: 0, latencies, batch: 1 }
    }

    /// Asks until the answer has as many samples as a moment before.
    fn settle(&mut self) -> String {
        let begun = Instant::now();
        loop {
            let text = self.ask();
            let samples = samples(&text);
            if samples > 0 && samples == std::mem::replace(&mut self.samples, samples) {
                return text;
            }
            assert!(begun.elapsed() < FOREVER, "the samples of {} are always others", self.name);
            thread::sleep(Duration::from_secs(3));
        }
    }

    fn ask(&mut self) -> String {
        self.client.send(&self.request);
        let reply = self.client.reply();
        assert_eq!(reply.status, 200, "{}", self.name);
        String::from_utf8(reply.body).expect("text")
    }

    fn scrape(&mut self) {
        let begun = Instant::now();
        let text = self.ask();
        self.latencies.push(begun.elapsed().as_secs_f64());
        let samples = samples(&text);
        assert!(samples.abs_diff(self.samples) * 10 <= self.samples, "{samples} {}", self.name);
    }

    /// CPU time of the threads that answer.
    fn cpu(&self) -> f64 {
        // The last answer has arrived; its sender may still be on the way to sleep.
        thread::sleep(Duration::from_millis(2));
        cpu_of_threads(self.process, self.serves)
    }

    /// CPU time of one scrape of a round.
    fn round(&mut self) -> f64 {
        let before = self.cpu();
        (0..self.batch).for_each(|_| self.scrape());
        (self.cpu() - before) / self.batch as f64
    }

    fn fit_batch(&mut self) {
        let begun = Instant::now();
        (0..20).for_each(|_| self.scrape());
        self.batch = (ROUND_TIME.as_secs_f64() * 20.0 / begun.elapsed().as_secs_f64()) as usize;
        self.batch = self.batch.max(10);
        self.latencies.clear();
    }

    /// The median latency and the 99th percentile, which are forgotten.
    fn latency(&mut self) -> [f64; 2] {
        let mut latencies = std::mem::take(&mut self.latencies);
        latencies.sort_by(f64::total_cmp);
        [50, 99].map(|percent| latencies[(latencies.len() - 1) * percent / 100])
    }
}

/// How many samples a scrape has.
fn samples(text: &str) -> usize {
    names(text).count()
}

/// Names and labels of the samples of a scrape.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Labels may have spaces in them; behind them there is none in a name's place.
    lines.map(|line| match line.rfind('}') {
        Some(end) => &line[..=end],
        None => line.split(' ').next().unwrap_or(line),
    })
}

/// All that are asked, ours first.
struct Field {
    asked: Vec<Asked>,
}

/// The two that ask ours.
const OURS: &str = "ours";
const OURS_WHOLE: &str = "ours, everything";
const EXPORTER: &str = "node_exporter";
const EXPORTER_BARE: &str = "node_exporter, bare";
const NETDATA: &str = "netdata";
/// Also the name of its thread.
const PREBUILT: &str = "prebuilt";

impl Field {
    fn position(&self, name: &str) -> Option<usize> {
        self.asked.iter().position(|asked| asked.name == name)
    }

    /// Lets each have its turn in each round; the times of each.
    fn back_to_back(&mut self) -> Vec<Vec<f64>> {
        self.asked.iter_mut().for_each(Asked::fit_batch);
        let mut times = vec![Vec::with_capacity(ROUNDS); self.asked.len()];
        for _ in 0..ROUNDS {
            for (asked, times) in self.asked.iter_mut().zip(&mut times) {
                times.push(asked.round());
            }
        }
        times
    }

    /// Asks all but the second of ours, which has the same threads, at 10 Hz, one after another in
    /// each tenth of a second; the times of each, for each second.
    fn paced(&mut self, seconds: usize) -> Vec<Vec<f64>> {
        let mut times = vec![Vec::with_capacity(seconds); self.asked.len()];
        let interval = Duration::from_secs(1) / PACED_HERTZ;
        let share = interval / self.asked.len() as u32;
        self.asked.iter_mut().for_each(|asked| asked.latencies.clear());
        for _ in 0..seconds {
            let before: Vec<f64> = self.asked.iter().map(Asked::cpu).collect();
            let begun = Instant::now();
            for slot in 0..PACED_HERTZ {
                for (place, asked) in (0..).zip(&mut self.asked) {
                    if asked.name == OURS_WHOLE {
                        continue;
                    }
                    let due = interval * slot + share * place;
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    asked.scrape();
                }
            }
            for ((asked, before), times) in self.asked.iter().zip(before).zip(&mut times) {
                times.push((asked.cpu() - before) / f64::from(PACED_HERTZ));
            }
        }
        times
    }

    /// Prints how `times` compare.
    fn report(
        &mut self,
        way: &str,
        times: &[Vec<f64>],
        exporter_goal: Goal,
        whole: bool,
    ) -> Report {
        let latencies: Vec<Option<[f64; 2]>> = self
            .asked
            .iter_mut()
            .map(|asked| (!asked.latencies.is_empty()).then(|| asked.latency()))
            .collect();
        let mut report = Report { ours: judge::median_min_max(&times[0])[0], exporter: None };
        for (ours, theirs, goal) in [
            (OURS, EXPORTER, exporter_goal),
            (OURS, EXPORTER_BARE, exporter_goal),
            (OURS, NETDATA, NETDATA_GOAL),
            (OURS_WHOLE, NETDATA, NETDATA_GOAL),
            (OURS, PREBUILT, Goal::None),
        ] {
            let (Some(our), Some(their)) = (self.position(ours), self.position(theirs)) else {
                continue;
            };
            if ours == OURS_WHOLE && !whole {
                continue;
            }
            let name = format!("scrape/{way}{}", if our == 0 { "" } else { ", everything" });
            let Outcome { theirs: cost, .. } =
                judge((&name, theirs), goal, &times[our], &times[their]);
            if theirs == EXPORTER {
                report.exporter = Some(cost);
            }
            if let (Some(our), Some(their)) = (latencies[our], latencies[their]) {
                latency_line(theirs, our, their);
            }
        }
        report
    }
}

/// What a scrape took, in seconds.
struct Report {
    ours: f64,
    exporter: Option<f64>,
}

fn latency_line(theirs: &str, ours: [f64; 2], others: [f64; 2]) {
    let times = others[1] / ours[1];
    let judged = if theirs.starts_with(EXPORTER) {
        format!("goal >= {LATENCY_GOAL}x shorter  {}", verdict(times >= LATENCY_GOAL))
    } else {
        "shown only".to_owned()
    };
    println!(
        "{:<44} latency p50 {}, p99 {}; {theirs} p50 {}, p99 {}  p99 {times:.1}x shorter  {judged}",
        "",
        text(ours[0]),
        text(ours[1]),
        text(others[0]),
        text(others[1]),
    );
}

/// Gives out one answer for as long as the process lasts.
fn prebuilt(body: &str) -> SocketAddr {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        socket.set_nodelay(true).expect("a socket");
        let mut request = [0; 4096];
        // Each request is small and comes in one piece.
        while socket.read(&mut request).is_ok_and(|bytes| bytes > 0) {
            socket.write_all(answer.as_bytes()).expect("somebody reads");
        }
    };
    thread::Builder::new().name(PREBUILT.to_owned()).spawn(serve).expect("a thread");
    address
}

/// Says what of the node exporter's answer is in ours.
fn compare(ours: &str, theirs: &str) {
    let family = |name: &str| name.split('{').next().map(str::to_owned);
    let is_of_itself = |name: &&str| OF_ITSELF.iter().any(|start| name.starts_with(start));
    let ours: BTreeSet<&str> = names(ours).collect();
    let theirs: BTreeSet<&str> = names(theirs).filter(|name| !is_of_itself(name)).collect();
    let lacking: Vec<&str> = theirs.difference(&ours).copied().collect();
    let families = |names: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        names.filter_map(family).collect()
    };
    let lacks = families(&mut lacking.iter().copied()).into_iter().collect::<Vec<_>>().join(", ");
    println!(
        "# ours: {} samples of {} families; theirs without those of itself: {} of {}, of which {} are \
         in ours; not in ours: {}",
        ours.len(),
        families(&mut ours.iter().copied()).len(),
        theirs.len(),
        families(&mut theirs.iter().copied()).len(),
        theirs.len() - lacking.len(),
        if lacks.is_empty() { "none" } else { &lacks },
    );
    assert!(ours.len() >= theirs.len(), "ours has at least as many");
    assert!(lacking.len() * 10 <= theirs.len(), "ours has what theirs has: {lacking:?}");
}

/// What all threads but the serving one take while the program samples at `interval`, in seconds of
/// CPU time a second.
fn sampling(interval: &str) -> f64 {
    let dir = Scratch::new();
    let flags = ["--interval", interval, "--depth", "60s"];
    let mut program = Program::start(dir.path(), &flags);
    program.first_points();
    // What starting has left to do.
    thread::sleep(Duration::from_secs(2));
    let (before, begun) = (program.recording_cpu(), Instant::now());
    thread::sleep(WATCHED);
    (program.recording_cpu() - before) / begun.elapsed().as_secs_f64()
}

/// What it costs to sample, and a scrape at 10 Hz with all of it.
fn all_in(paced: &Report) {
    for (interval, hertz) in [("1s", 1.0), ("100ms", 10.0), ("10ms", 100.0)] {
        let second = sampling(interval);
        let all = paced.ours + second / f64::from(PACED_HERTZ);
        let ratio = paced.exporter.map_or(String::new(), |theirs| {
            format!(" ({EXPORTER}'s takes {:.1} times that)", theirs / all)
        });
        println!(
            "{:<44} {} a second, {} a tick, asked or not; a scrape at 10 Hz with its share {}{ratio}  \
             shown only",
            format!("scrape/sampling at {interval}"),
            text(second),
            text(second / hertz),
            text(all),
        );
    }
}

/// The history of one object's CPU time as JSON, against netdata's: in columns, which is the shape
/// that theirs has, and in rows, each of which says what it is.
fn window(ours: &Program, netdata: Option<&Peer>, netdata_since: Instant) {
    let Some(netdata) = netdata else { return };
    let seconds = seconds_said("TACHOGRAPH_BENCH_HISTORY").unwrap_or(HISTORY_SECONDS);
    // A moment more, since the newest second is not there at once.
    thread::sleep(Duration::from_secs(seconds + 3).saturating_sub(netdata_since.elapsed()));
    let target =
        format!("/api/v1/data?chart=system.cpu&after=-{seconds}&points={seconds}&format=json");
    let process = (netdata.child.id(), netdata_serves as fn(&str) -> bool);
    let mut their = Asked::new(NETDATA, process, netdata.address, &target);
    let their_text = their.ask();
    let is_row = |line: &&str| line.contains("[ 1") && !line.contains("null");
    let rows = their_text.lines().filter(is_row).count() as u64;
    assert!(rows * 10 >= seconds * 9, "netdata has {rows} of {seconds} rows");

    for format in ["columns", "json"] {
        let target =
            format!("/api/v1/window?from=-{seconds}s&match=host/cpu_*_ticks&format={format}");
        let serves: fn(&str) -> bool = |name| name == "tachograph";
        let mut our = Asked::new(OURS, (ours.child.id(), serves), ours.address, &target);
        our.client.send(&our.request);
        let reply = our.client.reply();
        if reply.status == 404 {
            println!("LEFT OUT: scrape/window: the program does not answer /api/v1/window");
            return;
        }
        let our_text = String::from_utf8(reply.body).expect("text");
        assert_eq!(reply.status, 200, "{our_text}");
        let values = our_text.matches(',').count() as u64;
        assert!(values > 9 * rows, "{values} values");
        println!(
            "# {seconds} s of the host's CPU: ours {} bytes in {format}, netdata {rows} rows, {} bytes",
            our_text.len(),
            their_text.len(),
        );
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (asked, times, len) in [
                (&mut our, &mut our_times, our_text.len()),
                (&mut their, &mut their_times, their_text.len()),
            ] {
                let before = asked.cpu();
                for _ in 0..WINDOWS_PER_ROUND {
                    let text = asked.ask();
                    assert!(
                        text.len().abs_diff(len) * 10 < len,
                        "another length of {}",
                        asked.name
                    );
                }
                times.push((asked.cpu() - before) / f64::from(WINDOWS_PER_ROUND));
            }
        }
        let name = format!("window/CPU, {seconds} s, {format}");
        judge((&name, NETDATA), NETDATA_WINDOW_GOAL, &our_times, &their_times);
    }
}

/// Its threads that answer; the kernel keeps 15 bytes of a name.
fn netdata_serves(name: &str) -> bool {
    name.starts_with("WEB_SERVER")
}

fn main() {
    machine::print();
    let netdata_since = Instant::now();
    let netdata = Peer::netdata();
    let (exporter, bare) = (Peer::node_exporter(true), Peer::node_exporter(false));
    let mut host = Host::new(&Selection::default());
    host.record_past(3600);
    let dir = host.end();
    let mut ours = Program::start(dir.path(), &[]);
    ours.first_points();

    let chosen = COLLECTORS.map(|name| format!("collect[]={name}")).join("&");
    let serves: fn(&str) -> bool = |name| name == "tachograph";
    let process = (ours.child.id(), serves);
    let mut asked = vec![
        Asked::new(OURS, process, ours.address, &format!("/metrics?{chosen}")),
        Asked::new(OURS_WHOLE, process, ours.address, "/metrics"),
    ];
    for (name, peer, target, serves) in [
        (EXPORTER, &exporter, "/metrics", (|_| true) as fn(&str) -> bool),
        (EXPORTER_BARE, &bare, "/metrics", |_| true),
        (NETDATA, &netdata, "/api/v1/allmetrics?format=prometheus", netdata_serves),
    ] {
        let peer = peer.as_ref();
        asked.extend(
            peer.map(|peer| Asked::new(name, (peer.child.id(), serves), peer.address, target)),
        );
    }
    let texts: Vec<String> = asked.iter_mut().map(Asked::settle).collect();
    for (asked, text) in asked.iter().zip(&texts) {
        println!("# {}: {} samples, {} bytes", asked.name, samples(text), text.len());
    }
    let address = prebuilt(&texts[0]);
    let process = (std::process::id(), (|name| name == PREBUILT) as fn(&str) -> bool);
    let mut prebuilt = Asked::new(PREBUILT, process, address, "/");
    prebuilt.samples = samples(&texts[0]);
    asked.push(prebuilt);
    let mut field = Field { asked };
    if let Some(their) = field.position(EXPORTER) {
        compare(&texts[0], &texts[their]);
    }

    let times = field.back_to_back();
    field.report("back to back", &times, EXPORTER_GOAL, true);
    let seconds = seconds_said("TACHOGRAPH_BENCH_SECONDS").map_or(PACED_SECONDS, |it| it as usize);
    let times = field.paced(seconds);
    let paced = field.report("at 10 Hz", &times, EXPORTER_GOAL, false);

    let all_cpus = one_cpu::all();
    let one = one_cpu::last_of(&all_cpus);
    let processes: Vec<u32> = field.asked.iter().map(|asked| asked.process).collect();
    one_cpu::keep_on(None, &one);
    processes.iter().for_each(|&process| one_cpu::keep_process_on(process, &one));
    let times = field.back_to_back();
    field.report("on one CPU", &times, EXPORTER_PINNED_GOAL, true);
    one_cpu::keep_on(None, &all_cpus);
    processes.iter().for_each(|&process| one_cpu::keep_process_on(process, &all_cpus));

    window(&ours, netdata.as_ref(), netdata_since);
    drop((exporter, bare, netdata));
    all_in(&paced);
}
