//! Stock Prometheus and VictoriaMetrics scrape `/metrics/history` of a program that records ten times a
//! second, and some of it a hundred times: every sample is in their databases, those of their absence too.
//!
//! What was recorded is read from the ring itself, by the library, for some series, and from a window
//! of `/metrics/history` for all of them. `TACHOGRAPH_OUTAGE_SECONDS` says how long a server is away.

#[path = "support/exposition.rs"]
mod exposition;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/relay.rs"]
mod relay;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use exposition::{Labels, parse, series_name};
use peer::program::{Place, Program, eventually};
use peer::{Peer, are_installed, free_address, get, quoted, written};
use relay::Relay;
use serde_json::Value;
use tachograph::ring::{self, Directory, RecordView, open_untrusted};

const SCRAPE_INTERVAL: Duration = Duration::from_secs(3);
/// How long a server scrapes before something happens to it: four scrapes and some time.
const FIRST_SCRAPES: Duration = Duration::from_secs(14);
const OUTAGE_SECONDS: u64 = 20;
/// VictoriaMetrics may show a sample some time after others that it got with it.
const SHOWN_AFTER: Duration = Duration::from_secs(10);

/// Samples by series, as times in milliseconds and values.
type Samples = BTreeMap<String, Vec<(i64, f64)>>;

/// Series that are looked up in the ring: object, metric, what it is called, and its unit in base units.
const IN_THE_RING: &[(&str, &str, &str, f64)] = &[
    ("host", "context_switches", "node_context_switches_total", 1.0),
    ("host", "load1", "node_load1", 1.0),
    ("host", "meminfo_MemFree_bytes", "node_memory_MemFree_bytes", 1.0),
    ("cpu/0", "idle_ticks", "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}", 0.01),
    ("tachograph", "ticks", "tachograph_ticks_total", 1.0),
];

fn outage() -> Duration {
    let seconds = env::var("TACHOGRAPH_OUTAGE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(OUTAGE_SECONDS, |text| text.parse().expect("seconds")))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before long")
}

/// Our program, at an address that it keeps when it is started again.
struct Recorder {
    place: Place,
    address: SocketAddr,
    program: Option<Program>,
}

impl Recorder {
    fn start() -> Self {
        let mut this = Self { place: Place::new(), address: free_address(), program: None };
        this.begin();
        this
    }

    fn begin(&mut self) {
        let words =
            format!("run --listen {} --interval 100ms --depth 30min --lane fast", self.address);
        let mut program = self.place.start(&words);
        eventually("a first record", || program.is_ready().then_some(()));
        self.program = Some(program);
    }

    /// Ends it in order and starts it again.
    fn restart(&mut self) {
        let ended = self.program.take().expect("it runs").end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        self.begin();
    }

    /// Starts it again after it was killed.
    fn fall(&mut self) {
        self.program.take().expect("it runs").kill();
        self.begin();
    }

    /// What a ring has of some series, read by the library.
    fn in_the_ring(&self, name: &str) -> Samples {
        let file = self.place.run_dir().join(format!("{name}.ring"));
        let (ring, _) = open_untrusted(&file).expect("a ring");
        let mut directory = Directory::default();
        directory.update(&ring);
        let (oldest, newest) = ring.bounds().expect("records");
        let mut samples = Samples::new();
        for (object, metric, name, unit) in IN_THE_RING {
            let entries = directory.iter().filter(|entry| {
                &*entry.series.object == *object && &*entry.series.metric == *metric
            });
            let mut found = Vec::new();
            for entry in entries {
                for seq in (oldest..=newest).filter(|seq| entry.covers(*seq)) {
                    let word =
                        |view: RecordView<'_, _>| (view.realtime_ns(), view.word(entry.column));
                    let (realtime_ns, word) = ring.read(seq, word).expect("it is not overwritten");
                    if let Some(value) = ring::Value::of(word, &entry.series) {
                        let time_ms = i64::try_from(realtime_ns / 1_000_000).expect("before long");
                        found.push((time_ms, value.as_f64() * unit));
                    }
                }
            }
            samples.insert((*name).to_owned(), found);
        }
        samples
    }

    /// What a window of `/metrics/history` has of all series of a ring.
    fn in_a_window(&self, name: &str) -> Samples {
        let target = format!("/metrics/history?window=30min&ring={name}");
        let reply = get(self.address, &target, "");
        let families = parse(reply.text());
        let each = families.iter().flat_map(|(name, family)| {
            let points = |points: &[exposition::Point]| {
                let timed =
                    |point: &exposition::Point| (point.time_ms.expect("a time"), point.value);
                points.iter().map(timed).collect()
            };
            family
                .series
                .iter()
                .map(move |(labels, found)| (series_name(name, labels), points(found)))
        });
        each.collect()
    }
}

/// A server that scrapes and keeps what it gets.
trait Database {
    /// Starts it on what it had.
    fn start(dir: &Path, jobs: &[Job]) -> Self;
    /// What it has of the series that a selector of its own language chooses, as far back as
    /// `since_ms`.
    fn samples(&self, selector: &str, since_ms: i64) -> Samples;
    /// Has it show all that it has got.
    fn flush(&self) {}
    /// Ends it in order.
    fn end(self);
}

/// What is scraped.
struct Job {
    name: &'static str,
    address: SocketAddr,
    ring: &'static str,
    /// What is asked for of the ring: a parameter and its value.
    reach: (&'static str, &'static str),
}

/// The part of a configuration that both servers read.
fn scrape_config(jobs: &[Job]) -> String {
    let mut text = format!("global:\n  scrape_interval: {}s\n", SCRAPE_INTERVAL.as_secs());
    text.push_str("scrape_configs:\n");
    for Job { name, address, ring, reach: (parameter, value) } in jobs {
        let lines = [
            format!("- job_name: {name}"),
            "  honor_timestamps: true".to_owned(),
            "  metrics_path: /metrics/history".to_owned(),
            format!("  params: {{ring: [{ring}], {parameter}: [{value}]}}"),
            format!("  static_configs: [{{targets: ['{address}']}}]"),
        ];
        text.extend(lines.into_iter().map(|line| line + "\n"));
    }
    text
}

/// The name of a series without what the server adds to it.
fn stored_name(metric: &Value) -> String {
    let labels = metric.as_object().expect("labels").iter();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let mut labels: Labels = labels.map(|(name, value)| (name.clone(), text(value))).collect();
    let name = labels.remove("__name__").expect("a name");
    assert!(labels.remove("job").is_some() && labels.remove("instance").is_some(), "{labels:?}");
    series_name(&name, &labels)
}

/// Whether the server made this series up about the scrape itself.
fn is_about_the_scrape(name: &str) -> bool {
    name == "up" || name.starts_with("scrape_")
}

struct Prometheus(Peer);

impl Database for Prometheus {
    fn start(dir: &Path, jobs: &[Job]) -> Self {
        let config = written(dir, "prometheus.yml", &scrape_config(jobs));
        let data = dir.join("data");
        Self(Peer::start("/-/ready", |address| {
            let mut command = Command::new("prometheus");
            command.arg(format!("--config.file={config}"));
            command.arg(format!("--storage.tsdb.path={}", data.display()));
            command.arg(format!("--web.listen-address={address}"));
            command
        }))
    }

    fn samples(&self, selector: &str, since_ms: i64) -> Samples {
        let now_ms = now_ms();
        let selector = format!("{selector}[{}ms]", now_ms - since_ms);
        let time = now_ms as f64 / 1e3;
        let target = format!("/api/v1/query?query={}&time={time}", quoted(&selector));
        let answer: Value = serde_json::from_str(&self.0.text(&target)).expect("JSON");
        let point = |point: &Value| {
            let seconds = point[0].as_f64().expect("a time");
            let value = point[1].as_str().expect("text").parse().expect("a number");
            ((seconds * 1e3).round() as i64, value)
        };
        let series = answer["data"]["result"].as_array().expect("series").iter();
        let points =
            |one: &Value| one["values"].as_array().expect("points").iter().map(point).collect();
        series.map(|one| (stored_name(&one["metric"]), points(one))).collect()
    }

    fn end(self) {
        let ended = self.0.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

struct VictoriaMetrics(Peer);

impl Database for VictoriaMetrics {
    fn start(dir: &Path, jobs: &[Job]) -> Self {
        let config = written(dir, "scrape.yml", &scrape_config(jobs));
        let data = dir.join("data");
        Self(Peer::start("/health", |address| {
            let mut command = Command::new("victoria-metrics");
            command.arg(format!("-promscrape.config={config}"));
            command.arg(format!("-storageDataPath={}", data.display()));
            command.arg(format!("-httpListenAddr={address}"));
            command
        }))
    }

    fn samples(&self, selector: &str, since_ms: i64) -> Samples {
        let selector = quoted(selector);
        let start = since_ms as f64 / 1e3;
        let target = format!("/api/v1/export?match[]={selector}&start={start}");
        let text = self.0.text(&target);
        let mut samples = Samples::new();
        for line in text.lines() {
            let one: Value = serde_json::from_str(line).expect("JSON");
            let list = |name: &str| one[name].as_array().expect("a list").clone();
            let points = list("timestamps").into_iter().zip(list("values"));
            // Its own marks, of the end of a series, have no value.
            let points = points.filter_map(|(time, value)| Some((time.as_i64()?, value.as_f64()?)));
            samples.entry(stored_name(&one["metric"])).or_default().extend(points);
        }
        // It keeps what windows that overlap bring more than once, each to some fifteen digits.
        for samples in samples.values_mut() {
            samples.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
            samples.dedup_by(|a, b| are_alike(*a, *b));
        }
        samples
    }

    fn flush(&self) {
        self.0.text("/internal/force_flush");
    }

    fn end(self) {
        let ended = self.0.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// The times of a series that is in every record, as the database has it of a job.
fn times_ms(database: &impl Database, job: &Job, since_ms: i64) -> Vec<i64> {
    let selector = format!("tachograph_ticks_total{{job=\"{}\"}}", job.name);
    let samples = database.samples(&selector, since_ms).into_values().flatten();
    samples.map(|(time_ms, _)| time_ms).collect()
}

/// Waits until the database has what is recorded at this moment, for as long as it has more each time,
/// and gives the time of the newest.
fn caught_up(database: &impl Database, job: &Job, since_ms: i64) -> i64 {
    let (now_ms, mut reached_ms) = (now_ms(), i64::MIN);
    while reached_ms < now_ms {
        reached_ms = eventually("newer samples in the database", || {
            let newest_ms = times_ms(database, job, since_ms).last().copied();
            newest_ms.filter(|newest_ms| *newest_ms > reached_ms)
        });
    }
    reached_ms
}

/// What has been counted of a case.
#[derive(Default)]
struct Account {
    series: usize,
    recorded: usize,
    stored: usize,
    differing: Vec<String>,
}

impl Account {
    /// Compares what was recorded `within` two times with what is stored.
    fn of(recorded: &Samples, stored: &Samples, within: (i64, i64)) -> Self {
        let mut this = Self::default();
        for (name, recorded) in recorded {
            let inside = |(time_ms, _): &&(i64, f64)| (within.0..=within.1).contains(time_ms);
            let recorded: Vec<_> = recorded.iter().filter(inside).collect();
            let none = Vec::new();
            let stored = stored.get(name).unwrap_or(&none);
            let stored: Vec<_> = stored.iter().filter(inside).collect();
            this.series += usize::from(!recorded.is_empty());
            this.recorded += recorded.len();
            this.stored += stored.len();
            let alike = recorded.len() == stored.len()
                && recorded.iter().zip(&stored).all(|(a, b)| are_alike(**a, **b));
            if !alike {
                let other = recorded.iter().zip(&stored).find(|(a, b)| !are_alike(***a, ***b));
                let (a, b) = (recorded.len(), stored.len());
                this.differing.push(format!("{name}: {a} recorded, {b} stored, first {other:?}"));
            }
        }
        this
    }

    fn tell(&self, case: &str, what: &str) {
        let Self { series, recorded, stored, differing } = self;
        let differing = differing.len();
        eprintln!(
            "{case}: {what}: {series} series, {recorded} in, {stored} stored, {differing} differ"
        );
    }

    #[track_caller]
    fn assert_complete(&self, case: &str, what: &str) {
        self.tell(case, what);
        assert!(self.recorded > 0 && self.differing.is_empty(), "{case}: {:#?}", self.differing);
    }
}

/// The same time, and the same value but for the last digit, where it was multiplied.
fn are_alike(a: (i64, f64), b: (i64, f64)) -> bool {
    a.0 == b.0 && (a.1 - b.1).abs() <= 1e-12 * a.1.abs()
}

/// All that was recorded from `since_ms` to the newest that is stored is stored.
#[track_caller]
fn assert_all_is_stored(
    case: &str,
    recorder: &Recorder,
    database: &impl Database,
    job: &Job,
    since_ms: i64,
) {
    let within = (since_ms, caught_up(database, job, since_ms));
    let (ring, window) = (recorder.in_the_ring(job.ring), recorder.in_a_window(job.ring));
    database.flush();
    let begin = Instant::now();
    let stored = loop {
        let selector = format!("{{job=\"{}\"}}", job.name);
        let stored = database.samples(&selector, since_ms - 1000);
        let account = Account::of(&window, &stored, within);
        if account.differing.is_empty() || begin.elapsed() > SHOWN_AFTER {
            break stored;
        }
        thread::sleep(SHOWN_AFTER / 10);
    };
    Account::of(&ring, &stored, within).assert_complete(case, "of the ring");
    Account::of(&window, &stored, within).assert_complete(case, "of all series");
    let unknown = |name: &&String| !window.contains_key(*name) && !is_about_the_scrape(name);
    assert_eq!(stored.keys().find(unknown), None, "{case}: nobody recorded it");
}

/// The time of the oldest sample that is stored, which has to be from the first scrapes.
#[track_caller]
fn first_stored_ms(database: &impl Database, job: &Job, began_ms: i64) -> i64 {
    let time_ms = times_ms(database, job, began_ms - 60_000)[0];
    let late_ms = time_ms - began_ms;
    assert!(late_ms < FIRST_SCRAPES.as_millis() as i64, "it begins {late_ms} ms late");
    time_ms
}

/// A server that scrapes by a cursor is there, goes away and comes back.
fn all_is_stored_after_an_outage<D: Database>(name: &str) {
    let mut recorder = Recorder::start();
    let dir = recorder.place.path().join(name);
    fs::create_dir(&dir).expect("created");
    let job = |name, ring, reach| Job { name, address: recorder.address, ring, reach };
    let jobs = [
        job("cursor", "host", ("cursor", "database")),
        job("cursor of the fast lane", "fast", ("cursor", "database")),
        job("window", "host", ("window", "6s")),
    ];
    let began_ms = now_ms();
    let database = D::start(&dir, &jobs);
    thread::sleep(FIRST_SCRAPES);
    let tell = |what: &str| format!("{name}, {what}");
    for job in &jobs {
        let since_ms = first_stored_ms(&database, job, began_ms);
        assert_all_is_stored(&tell(job.name), &recorder, &database, job, since_ms);
    }

    let job = &jobs[0];
    let since_ms = first_stored_ms(&database, job, began_ms);
    recorder.restart();
    assert_all_is_stored(&tell("after our restart"), &recorder, &database, job, since_ms);
    recorder.fall();
    assert_all_is_stored(&tell("after we were killed"), &recorder, &database, job, since_ms);

    database.end();
    let (outage, begin) = (outage(), Instant::now());
    thread::sleep(outage);
    let database = D::start(&dir, &jobs);
    let away = begin.elapsed().as_secs();
    let case = tell(&format!("after {away} s away"));
    assert_all_is_stored(&case, &recorder, &database, job, since_ms);
    database.end();
}

#[test]
fn prometheus_has_every_sample_between_its_scrapes_and_of_its_absence() {
    if are_installed(&["prometheus"]) {
        all_is_stored_after_an_outage::<Prometheus>("Prometheus");
    }
}

#[test]
fn victoria_metrics_has_every_sample_between_its_scrapes_and_of_its_absence() {
    if are_installed(&["victoria-metrics"]) {
        all_is_stored_after_an_outage::<VictoriaMetrics>("VictoriaMetrics");
    }
}

/// Kills a database that has got a part of an answer, which the relay holds up.
fn kill_in_a_scrape(database: Prometheus, relay: &Relay) {
    let (held, left) = (relay.held(), relay.left());
    relay.hold();
    eventually("a scrape that is held up", || (relay.held() > held).then_some(()));
    database.0.kill();
    eventually("the end of its connection", || (relay.left() > left).then_some(()));
    relay.go_on();
}

#[test]
fn prometheus_that_is_killed_in_the_middle_of_a_scrape_has_every_sample_afterwards() {
    if !are_installed(&["prometheus"]) {
        return;
    }
    let recorder = Recorder::start();
    let dir = recorder.place.path().join("killed");
    fs::create_dir(&dir).expect("created");
    let relay = Relay::to(recorder.address);
    let reach = ("cursor", "database");
    let jobs = [Job { name: "cursor", address: relay.address, ring: "host", reach }];
    let job = &jobs[0];
    let began_ms = now_ms();
    let database = Prometheus::start(&dir, &jobs);
    thread::sleep(FIRST_SCRAPES);
    let since_ms = first_stored_ms(&database, job, began_ms);

    // All that there was to say is with the system by then, and to us it looks as if it were said.
    kill_in_a_scrape(database, &relay);
    let database = Prometheus::start(&dir, &jobs);
    let case = "Prometheus, killed in a scrape";
    assert_all_is_stored(case, &recorder, &database, job, since_ms);

    // What an absence leaves is more than the system takes.
    database.end();
    thread::sleep(outage());
    relay.hold();
    kill_in_a_scrape(Prometheus::start(&dir, &jobs), &relay);
    let database = Prometheus::start(&dir, &jobs);
    let case = "Prometheus, killed in its first scrape after an absence";
    assert_all_is_stored(case, &recorder, &database, job, since_ms);
    database.end();
}
