//! Applications publish their own series, and the program finds, serves, shows and keeps them.

#[path = "support/program.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{Place, Program, eventually};
use tachograph::ring::{RingKind, open_untrusted};
use tachograph::{Kind, Producer, RunDir, SeriesOf, Unit, WriterOptions};

const SERVE: &str = "serve --listen 127.0.0.1:0";

/// The example program, built beside the tests.
fn example() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tachograph"));
    let example = program.with_file_name("examples").join("producer");
    assert!(example.exists(), "`cargo test` builds it, and `cargo build --example producer`");
    example
}

/// An application in this process.
struct Shop {
    producer: Producer,
    waiting: SeriesOf<u64>,
    taken: u64,
    taken_series: SeriesOf<u64>,
}

impl Shop {
    fn open(dir: &Path, name: &str) -> Self {
        let dir = RunDir::for_writing(Some(dir)).expect("it is fit for a ring");
        let mut shop = Producer::declare(&dir, name).expect("nobody has it");
        let mut add = |metric, kind| shop.add("queue/orders", metric, kind, Unit::Count);
        let waiting = add("waiting", Kind::Gauge).expect("room");
        let taken_series = add("taken", Kind::Counter).expect("room");
        let options = WriterOptions::every(Duration::from_secs(60));
        let producer = shop.start(&options).expect("room");
        Self { producer, waiting, taken: 0, taken_series }
    }

    fn publish(&mut self, waiting: u64) -> u64 {
        self.taken += 3;
        self.producer.set(&self.waiting, waiting);
        self.producer.set(&self.taken_series, self.taken);
        self.producer.publish()
    }
}

fn json(program: &mut Program, target: &str) -> Value {
    let reply = program.get(target);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(reply.text()).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

/// The rings that are served, and the reasons of those that are refused, once `holds` of them.
fn rings_once(program: &mut Program, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || Some(json(program, "/api/v1/rings")).filter(&holds))
}

fn names(rings: &Value) -> Vec<&str> {
    let rings = rings["rings"].as_array().expect("a list");
    rings.iter().map(|ring| ring["name"].as_str().expect("a name")).collect()
}

fn named<'a>(rings: &'a Value, name: &str) -> &'a Value {
    let mut rings = rings["rings"].as_array().expect("a list").iter();
    rings.find(|ring| ring["name"] == name).unwrap_or_else(|| panic!("no ring {name}"))
}

/// The value of a series in the newest record of a ring.
fn latest(program: &mut Program, ring: &str, object: &str, metric: &str) -> Value {
    let latest = json(program, &format!("/api/v1/latest?ring={ring}"));
    assert_eq!(names(&latest), [ring]);
    let values = latest["rings"][0]["values"].as_array().expect("a list");
    let found = values.iter().find(|value| value["object"] == object && value["metric"] == metric);
    found.map_or(Value::Null, |value| value["value"].clone())
}

#[test]
fn example_is_served_beside_the_series_of_the_host() {
    let place = Place::new();
    let mut host = place.start("run --interval 50ms --depth 1min --listen 127.0.0.1:0");
    place.snapshot_from(3);
    let mut command = Command::new(example());
    let shop = Program::start(command.arg(place.run_dir()).arg("1000"));
    let rings = rings_once(&mut host, "both rings", |rings| names(rings) == ["host", "shop"]);
    assert_eq!(named(&rings, "host")["kind"], "lane");
    let line = named(&rings, "shop");
    assert_eq!((&line["kind"], &line["liveness"]), (&"application".into(), &"live".into()));
    assert_eq!((&line["interval_ns"], &line["series"]), (&100_000_000.into(), &2.into()));
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!((&line["epoch"], &line["uid"]), (&1.into(), &uid.into()));
    assert!(line["path"].as_str().expect("a path").ends_with("/run/shop.ring"), "{line}");
    assert_eq!((&rings["refused"], &rings["left_out"]), (&Value::Array(Vec::new()), &0.into()));

    let both = json(&mut host, "/api/v1/latest?match=host/load1&match=queue/*/waiting");
    assert_eq!(names(&both), ["host", "shop"]);
    assert_eq!(named(&both, "host")["values"].as_array().map(Vec::len), Some(1), "{both}");
    let waiting = &named(&both, "shop")["values"][0];
    assert_eq!((&waiting["metric"], &waiting["unit"]), (&"waiting".into(), &"count".into()));
    assert!(waiting["value"].as_u64().is_some_and(|waiting| waiting < 3), "{both}");
    assert!(named(&both, "shop")["time"].as_str().is_some_and(|time| time.ends_with('Z')));

    let series = json(&mut host, "/api/v1/series?ring=shop");
    let series = series["series"].as_array().expect("a list");
    assert_eq!(series.len(), 2);
    let first_time = &series[1]["first_time"];
    assert!(first_time.as_str().is_some_and(|time| time.ends_with('Z')), "{series:?}");
    let taken = serde_json::json!({
        "ring": "shop", "object": "queue/orders", "metric": "taken", "kind": "counter",
        "unit": "count", "repr": "u64", "help": null, "first": 1, "first_time": first_time,
        "last": null, "last_time": null,
    });
    assert_eq!(series[1], taken);
    let all = json(&mut host, "/api/v1/series");
    let all = all["series"].as_array().expect("a list");
    let directory = place.ask("inspect --directory").out;
    let host_series = all.iter().filter(|series| series["ring"] == "host").count();
    let listed = directory.lines().skip_while(|line| !line.starts_with("OBJECT")).skip(1).count();
    assert_eq!(host_series, listed, "as many as inspect lists");

    // The pull API speaks of the host alone: `points` fails for any other id.
    assert!(host.full_pull().keys().all(|metric| !metric.contains("waiting")));

    // It dies at whatever instruction it is, comes again, and goes on in its history.
    let head = |rings: &Value| named(rings, "shop")["head"].as_u64().expect("a number");
    shop.signal(rustix::process::Signal::KILL);
    assert_eq!(shop.ended().signal, Some(9));
    let dead =
        rings_once(&mut host, "a dead writer", |rings| named(rings, "shop")["liveness"] == "dead");
    let mut command = Command::new(example());
    let shop = Program::start(command.arg(place.run_dir()).arg("5")).ended();
    assert_eq!(shop.code, Some(0), "{shop:?}");
    let closed = json(&mut host, "/api/v1/rings");
    assert_eq!(named(&closed, "shop")["liveness"], "closed");
    assert_eq!((head(&closed), &named(&closed, "shop")["epoch"]), (head(&dead) + 5, &2.into()));
    assert_eq!(latest(&mut host, "shop", "queue/orders", "taken"), 3);

    let ended = host.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("WARN"), "nothing was refused: {ended:?}");
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let place = Place::new();
    let mut shop = Shop::open(&place.run_dir(), "shop");
    shop.publish(1);
    let mut server = place.start(SERVE);
    for (target, status, words) in [
        ("/api/v1/latest?ring=mill", 404, "there is no ring \\\"mill\\\""),
        ("/api/v1/series?ring=shop&ring=mill", 404, "\\\"mill\\\""),
        ("/api/v1/latest?rings=shop", 400, "\"rings\":\"schema does not allow"),
        ("/api/v1/latest?match=a[", 400, "\"match\":\"not a pattern"),
        ("/api/v1/rings?match=a", 400, "\"match\""),
        ("/api/v1/windows", 404, "nothing at this path"),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        let error: Value = serde_json::from_str(reply.text()).expect("JSON");
        assert!(error["error"].is_string() && reply.text().contains(words), "{target}: {error}");
    }
    assert_eq!(server.get("/api/v1/latest?match=nothing").text(), {
        let time = latest_time(&mut server);
        format!(
            "{{\"rings\":[\n{{\"name\":\"shop\",\"seq\":1,\"time\":\"{time}\",\"values\":[]}}]}}\n"
        )
    });
}

fn latest_time(server: &mut Program) -> String {
    let latest = json(server, "/api/v1/latest");
    latest["rings"][0]["time"].as_str().expect("a time").to_owned()
}

/// A ring that cannot be trusted or is none is told once, and the others are served as if it were not
/// there.
#[test]
fn rings_come_go_are_replaced_and_refused_without_hurting_others() {
    let place = Place::new();
    fs::create_dir(place.run_dir()).expect("created");
    let mut server = place.start(SERVE);
    assert_eq!(names(&json(&mut server, "/api/v1/rings")), [""; 0]);
    let mut shop = Shop::open(&place.run_dir(), "shop");
    shop.publish(7);
    let mut mill = Shop::open(&place.run_dir(), "mill");
    mill.publish(8);
    rings_once(&mut server, "two rings", |rings| names(rings) == ["mill", "shop"]);

    let at = |name: &str| place.run_dir().join(name);
    fs::write(at("none.ring"), "no ring at all").expect("written");
    fs::copy(at("mill.ring"), at("open.ring")).expect("copied");
    fs::set_permissions(at("open.ring"), fs::Permissions::from_mode(0o666)).expect("ours");
    fs::copy(at("mill.ring"), at("host.ring")).expect("copied");
    fs::copy(at("mill.ring"), at("an odd\nname.ring")).expect("copied");
    symlink(at("mill.ring"), at("link.ring")).expect("linked");
    fs::create_dir(at("directory.ring")).expect("created");
    let rings = rings_once(&mut server, "six refused ones", |rings| {
        rings["refused"].as_array().is_some_and(|refused| refused.len() == 6)
    });
    assert_eq!(names(&rings), ["mill", "shop"]);
    let refused: Vec<_> = rings["refused"].as_array().into_iter().flatten().collect();
    for (name, words) in [
        ("none.ring", "not a ring"),
        ("open.ring", "everybody may write to it"),
        ("host.ring", "a recorder's lane has it"),
        ("an odd\nname.ring", "other characters"),
        ("link.ring", "symbolic link"),
        ("directory.ring", "not a regular file"),
    ] {
        let is_it = |refused: &&&Value| refused["path"].as_str().is_some_and(|p| p.ends_with(name));
        let reason = refused.iter().find(is_it).expect(name)["reason"].as_str().expect("a reason");
        assert!(reason.contains(words), "{name}: {reason}");
    }
    assert_eq!(latest(&mut server, "shop", "queue/orders", "waiting"), 7);
    assert_eq!(server.get("/api/v1/latest?ring=open").status, 404);

    // One that was refused becomes a ring; one that is served goes; one is replaced by a larger one.
    fs::remove_file(at("none.ring")).expect("ours");
    let mut none = Shop::open(&place.run_dir(), "none");
    none.publish(9);
    drop(mill);
    fs::remove_file(at("mill.ring")).expect("ours");
    for worker in 0..200 {
        let object = format!("worker/{worker}");
        let busy = shop.producer.add::<u64>(&object, "busy", Kind::Gauge, Unit::Flag);
        shop.producer.set(&busy.expect("room"), 1);
    }
    let seq = shop.publish(11);
    assert!(shop.producer.writer().rollovers() > 0);
    let rings = rings_once(&mut server, "the new rings", |rings| names(rings) == ["none", "shop"]);
    assert_eq!(named(&rings, "shop")["head"], seq);
    assert_eq!(named(&rings, "shop")["series"], 202);
    assert_eq!(latest(&mut server, "shop", "worker/199", "busy"), 1);
    assert_eq!(latest(&mut server, "none", "queue/orders", "waiting"), 9);

    let ended = server.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let odd = "an odd\\nname.ring";
    for name in ["none.ring", "open.ring", "host.ring", "link.ring", "directory.ring", odd] {
        let told = |line: &&str| line.contains("WARN") && line.contains(&format!("{name} is not"));
        assert_eq!(ended.err.lines().filter(told).count(), 1, "{name}: {ended:?}");
    }
}

#[test]
fn rings_of_further_directories_are_found_and_of_one_name_the_first() {
    let place = Place::new();
    let further = place.path().join("further");
    let mut shop = Shop::open(&place.run_dir(), "shop");
    shop.publish(1);
    let (mut second, mut mill) = (Shop::open(&further, "shop"), Shop::open(&further, "mill"));
    second.publish(2);
    mill.publish(3);
    let config = place.path().join("tachograph.toml");
    fs::write(&config, format!("ring_dirs = [{further:?}, '/dev/shm/no/such/place']"))
        .expect("written");
    let flag = format!("--ring-dir {}", further.display());
    let file = format!("--config {}", config.display());
    for flags in [&flag, &file] {
        let mut server = place.start(&format!("{SERVE} {flags}"));
        let rings = json(&mut server, "/api/v1/rings");
        assert_eq!(names(&rings), ["shop", "mill"]);
        let refused = &rings["refused"][0];
        assert!(refused["path"].as_str().is_some_and(|path| path.ends_with("further/shop.ring")));
        let reason = refused["reason"].as_str().expect("a reason");
        assert!(reason.contains("another ring of this name"), "{reason}");
        assert_eq!(latest(&mut server, "shop", "queue/orders", "waiting"), 1);
        assert_eq!(latest(&mut server, "mill", "queue/orders", "waiting"), 3);
        server.end();

        let snapshot = place.ask(&format!("snapshot --lane mill --json {flags}"));
        assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
        let export = place.ask(&format!("export {flags} --match queue/orders/waiting --from -1h"));
        let mut rows: Vec<_> = export.out.lines().skip(1).collect();
        rows.sort_by_key(|row| row.contains(",mill,"));
        assert_eq!(rows.len(), 2, "{export:?}");
        assert!(rows[0].ends_with(",shop,queue/orders,waiting,count,1"), "{export:?}");
        assert!(rows[1].ends_with(",mill,queue/orders,waiting,count,3"), "{export:?}");
        assert!(export.err.contains("another ring of this name"), "{export:?}");
    }
}

/// An application of a service has its ring in the directory that the system has made for it; that of
/// a person could be cut short under its readers, and is refused.
#[test]
fn ring_of_another_user_is_served_if_root_has_made_its_place() {
    const SERVICE: u32 = 990;
    const PERSON: u32 = 1500;
    if !rustix::process::geteuid().is_root() {
        return eprintln!("LEFT OUT: to be several users takes root");
    }
    let place = Place::new();
    let mut flags = String::new();
    for (user, name) in [(SERVICE, "service"), (PERSON, "person")] {
        let dir = place.path().join(name);
        fs::create_dir(&dir).expect("created");
        std::os::unix::fs::chown(&dir, Some(user), Some(user)).expect("we are root");
        let mut command = Command::new(example());
        let ended = Program::start(command.arg(&dir).arg("2").uid(user).gid(user)).ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // Of two of one name only one would be served.
        let ring = dir.join(format!("{name}.ring"));
        fs::rename(dir.join("shop.ring"), ring).expect("we are root");
        flags += &format!(" --ring-dir {}", dir.display());
    }
    let mut server = place.start(&format!("{SERVE}{flags}"));
    let rings = json(&mut server, "/api/v1/rings");
    assert_eq!(names(&rings), ["service"]);
    assert_eq!(rings["rings"][0]["uid"], SERVICE);
    assert_eq!(latest(&mut server, "service", "queue/orders", "waiting"), 2);
    let reason = rings["refused"][0]["reason"].as_str().expect("one is refused");
    assert!(reason.contains("person.ring") && reason.contains("another user"), "{reason}");
}

#[test]
fn commands_show_and_keep_an_applications_ring_by_its_name() {
    let place = Place::new();
    let mut shop = Shop::open(&place.run_dir(), "shop");
    for waiting in 1..=4 {
        shop.publish(waiting);
    }
    let json = place.ask("snapshot --lane shop --json");
    let snapshot: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(snapshot["values"]["queue/orders"]["taken"], 12, "{json:?}");
    let table = place.ask("snapshot --lane shop");
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(table.out.contains("\nproducer  live, process"), "{table:?}");
    assert!(table.out.contains("\nqueue/orders  waiting   4\n"), "{table:?}");

    let tail = place.ask("tail --lane shop -n 1");
    assert_eq!(tail.code, Some(0), "{tail:?}");
    let line = tail.out.lines().last().expect("a line");
    assert!(line.ends_with("  queue/orders/waiting 4  queue/orders/taken 12"), "{tail:?}");
    let tail = place.ask("tail --lane shop -n 1 --json");
    assert!(tail.out.contains("\"waiting\":4"), "{tail:?}");

    let inspect = place.ask("inspect --lane shop --directory");
    assert_eq!(inspect.code, Some(0), "{inspect:?}");
    assert!(inspect.out.contains("\nkind       application\n"), "{inspect:?}");
    assert!(inspect.out.contains("\nintegrity  clean"), "{inspect:?}");

    let file = place.path().join("kept.ring");
    let save = place.ask(&format!("save --lane shop {}", file.display()));
    assert_eq!(save.code, Some(0), "{save:?}");
    let (kept, _) = open_untrusted(&file).expect("a ring");
    assert_eq!((kept.header().kind(), kept.bounds()), (RingKind::Application, Some((1, 4))));
    let mut server = place.start(&format!("{SERVE} --file {}", file.display()));
    assert_eq!(latest(&mut server, "kept", "queue/orders", "taken"), 12);
    assert_eq!(server.get("/api/v1/series?ring=shop").status, 404);
    let rings = self::json(&mut server, "/api/v1/rings");
    assert_eq!((names(&rings), &rings["rings"][0]["liveness"]), (vec!["kept"], &"saved".into()));
}

/// Of the lanes each series is exported from the best one; an application's are its own, even if it
/// calls them as the host's.
#[test]
fn export_does_not_mix_an_applications_series_with_those_of_the_lanes() {
    let place = Place::new();
    let recorder = place.start("record --interval 50ms --depth 10s");
    place.snapshot_from(3);
    let dir = RunDir::for_writing(Some(&place.run_dir())).expect("fit");
    let mut shop = Producer::declare(&dir, "shop").expect("nobody has it");
    let load = shop.add::<f64>("host", "load1", Kind::Gauge, Unit::Count).expect("room");
    // Finer than the lane of the host, so that it would be taken for the better one.
    let options =
        WriterOptions::every(Duration::from_millis(1)).reaching_back(Duration::from_secs(9));
    let mut shop = shop.start(&options).expect("room");
    for _ in 0..3 {
        shop.set(&load, -1.0);
        shop.publish();
    }
    let count = |words: &str| {
        let ended = place.ask(&format!("export --match host/load1 {words}"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let of = |lane: &str| {
            let lane = format!(",{lane},host,load1,");
            ended.out.lines().filter(|row| row.contains(&lane)).count()
        };
        (of("host"), of("shop"))
    };
    let (host, shop_rows) = count("--from -1h");
    assert!(host >= 3 && shop_rows == 3, "{host} and {shop_rows}");
    let (host, shop_rows) = count("--from -1h --step 1h");
    assert!(host >= 1 && shop_rows >= 1, "{host} and {shop_rows}");
    assert_eq!(count("--from -1h --lane shop"), (0, 3));
    assert_eq!(count("--from -1h --lane host").1, 0);

    // A file that is no ring is told and left out.
    fs::write(place.run_dir().join("none.ring"), "no ring").expect("written");
    let ended = place.ask("export --match host/load1 --from -1h");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("left out: ") && ended.err.contains("none.ring"), "{ended:?}");
    recorder.end();
}
