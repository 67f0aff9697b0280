//! What `GET /metrics` tells beside what the real `node_exporter` tells of the same machine at the
//! same time: families, types, help, labels and values. What differs is listed here with its reason,
//! and the list is exact: what differs and is not in it fails, and so does a line of it that no longer
//! describes a difference.

#[path = "support/dashboards.rs"]
mod dashboards;
#[path = "support/exposition.rs"]
mod exposition;
#[path = "support/peer.rs"]
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use exposition::{Families, Family, Labels, parse, series_name};
use peer::program::{Place, Program, eventually};
use peer::{Peer, are_installed, get};

/// What is compared, by the names that `collect[]` takes.
const COLLECTORS: &[&str] = &[
    "cpu",
    "diskstats",
    "filesystem",
    "loadavg",
    "meminfo",
    "netdev",
    "netstat",
    "pressure",
    "schedstat",
    "sockstat",
    "stat",
    "time",
    "uname",
    "vmstat",
];

/// Rounds in which counters are compared, each of a scrape of ours between two of theirs.
const ROUNDS_MIN: usize = 10;
/// More rounds are for gauges that move too fast to be seen at the same value in the first ones.
const ROUNDS_MAX: usize = 100;

/// Gauges that count the sockets by which node_exporter is asked. When a record is taken, which is
/// before that, they are not there.
const SOCKETS: [&str; 2] = ["node_sockstat_*", "node_netstat_Tcp_CurrEstab"];
/// How many these are, and those of somebody else who comes and goes.
const OWN_SOCKETS: f64 = 4.0;

/// Relative distance of two numbers that come from the same integer of the kernel by different
/// orders of multiplying and adding.
const ROUNDING: f64 = 1e-12;

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// We do not have the family.
    Missing,
    /// Only we have the family.
    More,
    Type,
    Help,
    /// The names of the labels are others.
    Labels,
    /// We do not have all of the family's series.
    SeriesMissing,
    /// We have more series of the family.
    SeriesMore,
    /// A counter that was never, or a gauge that was in no round, what they say.
    Value,
}

/// What is known to differ: families (a `*` at the end stands for anything), how, on which machines, and
/// why.
struct Known(&'static str, What, fn() -> bool, &'static str);

const KNOWN: &[Known] = &[
    // About `node_exporter` itself.
    Known("node_exporter_build_info", What::Missing, always, "we are not that program"),
    Known(
        "promhttp_*",
        What::Missing,
        always,
        "is about its web server; ours is tachograph_http_*",
    ),
    Known(
        "node_scrape_collector_*",
        What::Missing,
        always,
        "nothing is read for a scrape; what reading costs is tachograph_tick_* and tachograph_source_*",
    ),
    // What we do not read.
    Known("node_disk_info", What::Missing, has_disks, "is from udev's files of a running udev"),
    Known(
        "node_network_receive_nohandler_total",
        What::Missing,
        always,
        "netlink has it, /proc/net/dev does not",
    ),
    Known("node_time_clocksource_*", What::Missing, has_clocksource, "is not recorded"),
    Known(
        "node_time_zone_offset_seconds",
        What::Missing,
        always,
        "is a program's, not the machine's",
    ),
    // What it does not have.
    Known("tachograph_*", What::More, always, "our own"),
    Known(
        "node_pressure_cpu_stalled_seconds_total",
        What::More,
        has_cpu_stalls,
        "kernels since 5.13 tell it; this version does not look, later ones leave it out",
    ),
    Known("node_netstat_TcpExt_TCPOFOQueue", What::More, always, "later versions have it"),
    Known("node_netstat_TcpExt_TCPRcvQDrop", What::More, always, "later versions have it"),
    // What it leaves out unless it is told otherwise.
    Known(
        "node_filesystem_*",
        What::SeriesMore,
        has_mounts_that_debian_hides,
        "Debian's leaves out what is mounted below /run, /mnt and /media; its makers' does not",
    ),
];

fn always() -> bool {
    true
}

fn has_disks() -> bool {
    fs::read_to_string("/proc/diskstats").is_ok_and(|text| !text.is_empty())
}

fn has_clocksource() -> bool {
    Path::new("/sys/devices/system/clocksource/clocksource0").exists()
}

fn has_cpu_stalls() -> bool {
    fs::read_to_string("/proc/pressure/cpu").is_ok_and(|text| text.contains("\nfull "))
}

fn has_mounts_that_debian_hides() -> bool {
    let mounts = fs::read_to_string("/proc/mounts").expect("there are mounts");
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let hidden = ["/run", "/mnt", "/media"].map(Path::new);
    points.any(|point| hidden.iter().any(|above| Path::new(point).starts_with(above)))
}

/// A finding: a family and how it differs, with what was seen.
type Findings = BTreeMap<(String, What), String>;

struct Pair {
    theirs: Peer,
    _place: Place,
    _ours: Program,
    address: SocketAddr,
}

impl Pair {
    fn start() -> Self {
        let theirs = Peer::start("/", |address| {
            let mut command = Command::new("prometheus-node-exporter");
            command.arg(format!("--web.listen-address={address}"));
            command.args(["--collector.disable-defaults", "--web.disable-exporter-metrics"]);
            command.args(COLLECTORS.iter().map(|name| format!("--collector.{name}")));
            command
        });
        let place = Place::new();
        let mut ours = place.start("run --listen 127.0.0.1:0 --interval 100ms --depth 1min");
        let address = ours.address();
        eventually("a first record", || ours.is_ready().then_some(()));
        Self { theirs, _place: place, _ours: ours, address }
    }

    fn theirs(&self, query: &str) -> Families {
        parse(&self.theirs.text(&format!("/metrics{query}")))
    }

    fn ours(&self, query: &str) -> Families {
        parse(get(self.address, &format!("/metrics{query}"), "").text())
    }

    /// Waits for a record that was begun after this was called.
    fn next_record(&self) {
        let ticks =
            || self.ours("")["tachograph_ticks_total"].value(&[]).expect("it has one value");
        let before = ticks();
        // The first one to come may have been begun before.
        eventually("a newer record", || (ticks() >= before + 2.0).then_some(()));
    }
}

impl Pair {
    /// Prints how much was compared, collector by collector.
    fn tell(&self, rounds: &[[Families; 3]], found: &Findings) {
        let [_, ours, _] = rounds.last().expect("there was a round");
        let count = |families: &Families| {
            families.values().map(|family| family.series.len()).sum::<usize>()
        };
        eprintln!("in {} rounds:", rounds.len());
        eprintln!("collector    families  series  ours: families  series  alike  differing");
        for collector in COLLECTORS {
            let query = collect(&[collector]);
            let mut theirs = self.theirs(&query);
            theirs.retain(|name, _| !is_about_the_scrape(name));
            let own: Families = self.ours(&query);
            let differs = |name: &&String| found.keys().any(|(family, _)| family == *name);
            let differing = theirs.keys().filter(differs).count();
            let strange = own.keys().find(|name| !ours.contains_key(*name));
            assert_eq!(strange, None, "{collector} has what is not there");
            eprintln!(
                "{collector:12} {:8} {:7} {:15} {:7} {:6} {differing:10}",
                theirs.len(),
                count(&theirs),
                own.len(),
                count(&own),
                theirs.len() - differing,
            );
        }
        for (family, what) in found.keys() {
            let is_it = |known: &&Known| speaks_of(known.0, family) && known.1 == *what;
            let why = KNOWN.iter().find(is_it).map_or("NOT IN THE LIST", |known| known.3);
            eprintln!("{family} {what:?}: {why}");
        }
    }
}

/// What `node_exporter` says whatever is collected.
fn is_about_the_scrape(family: &str) -> bool {
    let about = ["node_scrape_", "node_exporter_build_", "promhttp_"];
    about.iter().any(|beginning| family.starts_with(beginning))
}

/// The query for all of `collectors`.
fn collect(collectors: &[&str]) -> String {
    let each = collectors.iter().map(|name| format!("collect[]={name}"));
    format!("?{}", each.collect::<Vec<_>>().join("&"))
}

/// What differs in all rounds between what we say and what they say.
fn compare(rounds: &[[Families; 3]]) -> Findings {
    let mut common: Option<Findings> = None;
    for [before, ours, after] in rounds {
        let mut found = Findings::new();
        // What came or went meanwhile can be in one of them only.
        for (name, theirs) in after.iter().filter(|(name, _)| before.contains_key(*name)) {
            match ours.get(name) {
                None => _ = found.insert((name.clone(), What::Missing), String::new()),
                Some(ours) => compare_family(name, [&before[name], ours, theirs], &mut found),
            }
        }
        for name in ours.keys().filter(|name| !before.contains_key(*name)) {
            found.insert((name.clone(), What::More), String::new());
        }
        common = Some(match common {
            None => found,
            Some(mut common) => {
                common.retain(|finding, _| found.contains_key(finding));
                common
            }
        });
    }
    common.expect("there was a round")
}

fn compare_family(name: &str, [before, ours, after]: [&Family; 3], found: &mut Findings) {
    let mut tell = |what, told: String| _ = found.entry((name.to_owned(), what)).or_insert(told);
    if ours.kind != after.kind {
        tell(What::Type, format!("{} and not {}", ours.kind, after.kind));
    }
    if ours.help != after.help {
        tell(What::Help, format!("{:?} and not {:?}", ours.help, after.help));
    }
    if ours.label_names() != after.label_names() {
        let (ours, theirs) = (ours.label_names(), after.label_names());
        tell(What::Labels, format!("{ours:?} and not {theirs:?}"));
    }
    let stayed = |labels: &&Labels| before.series.contains_key(*labels);
    for labels in after.series.keys().filter(stayed) {
        if !ours.series.contains_key(labels) {
            tell(What::SeriesMissing, series_name(name, labels));
        }
    }
    for labels in ours.series.keys().filter(|labels| !before.series.contains_key(*labels)) {
        tell(What::SeriesMore, series_name(name, labels));
    }
}

/// What has become of the values of the series that both have.
#[derive(Default)]
struct Values {
    /// Counters that were not, in some round, between what they say before and after.
    broken: BTreeMap<(String, String), String>,
    /// Gauges that have not been, in any round, what they say.
    open: BTreeMap<(String, String), String>,
    settled: BTreeSet<String>,
}

impl Values {
    fn look_at(&mut self, [before, ours, after]: &[Families; 3]) {
        for (name, ours) in ours {
            let (Some(before), Some(after)) = (before.get(name), after.get(name)) else { continue };
            for (labels, points) in &ours.series {
                let sides = [before, after].map(|family| family.series.get(labels));
                let [Some(before), Some(after)] = sides else { continue };
                let seen = [before[0].value, points[0].value, after[0].value];
                self.look_at_one((name, series_name(name, labels)), &ours.kind, seen);
            }
        }
    }

    fn look_at_one(&mut self, (name, series): (&str, String), kind: &str, seen: [f64; 3]) {
        let [before, ours, after] = seen;
        let counts_sockets = SOCKETS.iter().any(|pattern| speaks_of(pattern, name));
        let sockets = if counts_sockets { OWN_SOCKETS } else { 0.0 };
        let room = ROUNDING * before.abs().max(after.abs()) + sockets;
        let fits = before.min(after) - room <= ours && ours <= before.max(after) + room;
        let key = (name.to_owned(), series.clone());
        let told = format!("{series}: {ours} and not {before} to {after}");
        if fits {
            self.open.remove(&key);
            self.settled.insert(series);
        } else if kind == "counter" {
            self.broken.entry(key).or_insert(told);
        } else if !self.settled.contains(&series) {
            self.open.insert(key, told);
        }
    }

    /// Whether more rounds may tell more.
    fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn findings(self) -> Findings {
        let all = self.broken.into_iter().chain(self.open);
        all.map(|((name, _), told)| ((name, What::Value), told)).collect()
    }
}

/// Whether the families that a line of the list speaks of include `family`.
fn speaks_of(pattern: &str, family: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == family, |start| family.starts_with(start))
}

/// Fails unless the list describes what was found and nothing else.
#[track_caller]
fn assert_known(found: &Findings, known: &[Known]) {
    let mut wrong = Vec::new();
    for ((family, what), told) in found {
        let is_it = |known: &&Known| speaks_of(known.0, family) && known.1 == *what;
        if !known.iter().any(|known| is_it(&known)) {
            wrong.push(format!("not in the list: {family} {what:?} {told}"));
        }
    }
    for Known(pattern, what, _, _) in known.iter().filter(|known| known.2()) {
        let is_it = |(family, found): &&(String, What)| speaks_of(pattern, family) && found == what;
        if !found.keys().any(|finding| is_it(&finding)) {
            wrong.push(format!("no longer differs: {pattern} {what:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn families_are_those_of_node_exporter() {
    if !are_installed(&["prometheus-node-exporter"]) {
        return;
    }
    let pair = Pair::start();
    let query = collect(COLLECTORS);
    let mut rounds = Vec::new();
    let mut values = Values::default();
    while rounds.len() < ROUNDS_MIN || (values.are_open() && rounds.len() < ROUNDS_MAX) {
        let before = pair.theirs(&query);
        pair.next_record();
        let round = [before, pair.ours(&query), pair.theirs(&query)];
        values.look_at(&round);
        rounds.push(round);
    }
    let mut found = compare(&rounds);
    found.append(&mut values.findings());
    pair.tell(&rounds, &found);
    assert_known(&found, KNOWN);
}

#[test]
fn names_of_dashboards_and_alert_rules_are_there() {
    if !are_installed(&["prometheus-node-exporter"]) {
        return;
    }
    let pair = Pair::start();
    let (theirs, ours) = (pair.theirs(""), pair.ours(""));
    let (mut asked, mut wrong) = (0, Vec::new());
    for (beginning, names, labels) in dashboards::ASKED {
        for name in names.iter().map(|rest| format!("{beginning}{rest}")) {
            asked += 1;
            match (ours.get(&name), theirs.contains_key(&name)) {
                (Some(family), _) => {
                    let missing =
                        labels.iter().find(|label| !family.label_names().contains(*label));
                    wrong.extend(missing.map(|label| format!("{name} has no label {label}")));
                }
                (None, true) => wrong.push(format!("{name} is not there")),
                (None, false) => eprintln!("not on this machine: {name}"),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{asked} families of dashboards and alert rules");
}
