//! Who sees what: every door says the same of every object to everybody, and what a naive walk down the
//! tree of roles says; and what becomes of those who cannot prove who they are.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tachograph::http::{RingVitals, Rings, Settings};
use tachograph::rights::{
    ACL_FILE, AccessFiles, AclEntry, Role, SECRETS_FILE, Secret, SecretDigest, USERS_FILE,
};
use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};

#[path = "support/http.rs"]
mod http;
#[path = "support/recorded.rs"]
mod recorded;

use http::{Reply, Running};
use recorded::Recorded;

const S: u64 = 1_000_000_000;

/// An object: its ring, its name, the path whose right shows it, whether that is one of datastores, and
/// a value that nothing else has.
struct Shown {
    ring: &'static str,
    object: &'static str,
    path: &'static str,
    is_store: bool,
    mark: u64,
}

const fn shown(
    ring: &'static str,
    object: &'static str,
    path: &'static str,
    is_store: bool,
    mark: u64,
) -> Shown {
    Shown { ring, object, path, is_store, mark }
}

const OBJECTS: [Shown; 6] = [
    shown("host", "host", "/system/status", false, 700_000_001),
    shown("host", "datastore/alpha", "/datastore/alpha", true, 700_000_002),
    shown("host", "datastore/beta", "/datastore/beta", true, 700_000_003),
    shown("host", "datastore/gamma", "/datastore/gamma", true, 700_000_004),
    shown("shop", "till/desk7", "/application/shop", false, 700_000_005),
    shown("mill", "stone/wheel", "/application/mill", false, 700_000_006),
];

const TOKENS: [&str; 3] = ["a@pbs!s", "a@pbs!t", "b@pbs!s"];
const IDS: [&str; 6] = ["anonymous@local", "a@pbs", "a@pbs!s", "a@pbs!t", "b@pbs", "b@pbs!s"];
const PATHS: [&str; 9] = [
    "/",
    "/system",
    "/system/status",
    "/datastore",
    "/datastore/alpha",
    "/datastore/beta",
    "/application",
    "/application/shop",
    "/application/mill",
];

/// Doors, and which rings they show.
const DOORS: [(&str, &[&str]); 16] = [
    ("/api2/json/status/metrics", &["stores"]),
    ("/api2/extjs/status/metrics?history=1", &["stores"]),
    ("/api2/json/status/datastore-usage", &["only stores"]),
    ("/api2/extjs/status/datastore-usage", &["only stores"]),
    ("/metrics", &["host"]),
    ("/metrics?ring=shop", &["shop"]),
    ("/metrics/history?since_seq=0", &["host"]),
    ("/metrics/history?ring=mill&since_seq=0", &["mill"]),
    ("/api/v1/series", &["host", "shop", "mill"]),
    ("/api/v1/latest", &["host", "shop", "mill"]),
    ("/api/v1/window?from=1000000000", &["host", "shop", "mill"]),
    ("/api/v1/window?from=1000000000&format=csv", &["host", "shop", "mill"]),
    ("/api/v1/window?from=1000000000&format=columns", &["host", "shop", "mill"]),
    ("/api/v1/window?from=1000000000&format=ndjson&step=1h", &["host", "shop", "mill"]),
    ("/api/v1/stream?frames=2&since_seq=0", &["host"]),
    ("/api/v1/stream?frames=2&since_seq=0&ring=shop", &["shop"]),
];

/// Rings of a host and of two applications, and a front end over them.
struct House {
    recorded: Recorded,
    _applications: Vec<Producer>,
    secret: Secret,
}

impl House {
    fn new() -> Self {
        let series: Vec<_> = OBJECTS
            .iter()
            .filter(|shown| shown.ring == "host")
            .map(|shown| (shown.object, metric(shown)))
            .collect();
        let mut recorded = Recorded::new(64, Duration::from_secs(1), &series);
        for shown in OBJECTS.iter().filter(|shown| shown.ring == "host") {
            let word = match shown.object {
                "host" => (shown.mark as f64).to_bits(),
                _ => shown.mark,
            };
            recorded.set(shown.object, metric(shown), word);
        }
        let now_ns = tachograph::ring::realtime_ns() / (10 * S) * (10 * S);
        for ago in (0..30).rev() {
            recorded.publish(now_ns - ago * S, (100 - ago) * S, 0, false);
        }
        let dir = recorded.scratch.path().to_owned();
        let applications = OBJECTS.iter().filter(|shown| shown.ring != "host");
        let applications = applications.map(|shown| application(&dir, shown)).collect();
        let secret = Secret::new().expect("random numbers");
        let house = Self { recorded, _applications: applications, secret };
        let mut users = String::new();
        for user in ["a@pbs", "b@pbs"] {
            writeln!(users, "[[user]]\nid = \"{user}\"").expect("a String");
        }
        let mut secrets = String::new();
        let digest = SecretDigest::of(&house.secret).expect("random numbers");
        for token in TOKENS {
            writeln!(users, "[[token]]\nid = \"{token}\"").expect("a String");
            writeln!(secrets, "[[secret]]\nid = \"{token}\"\ndigest = \"{digest}\"")
                .expect("a String");
        }
        house.write(USERS_FILE, &users);
        house.write(SECRETS_FILE, &secrets);
        house
    }

    fn dir(&self) -> &Path {
        self.recorded.scratch.path()
    }

    fn write(&self, name: &str, text: &str) {
        // In the place of the one before at once, as everybody should.
        let (path, fresh) = (self.dir().join(name), self.dir().join("fresh"));
        fs::write(&fresh, text).expect("written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("set");
        fs::rename(fresh, path).expect("renamed");
    }

    fn allow(&self, entries: &[AclEntry]) {
        let mut text = String::new();
        for AclEntry { path, id, role, propagate } in entries {
            writeln!(text, "[[acl]]\npath = \"{path}\"\nid = \"{id}\"\nrole = \"{role}\"")
                .and_then(|()| writeln!(text, "propagate = {propagate}"))
                .expect("a String");
        }
        self.write(ACL_FILE, &text);
    }

    fn serve(&self) -> Running {
        let dir = self.dir().to_owned();
        Running::serving(
            move |server| {
                let (files, access) = AccessFiles::open(&dir).expect("sound");
                server.guard(files, access);
                let rings = Rings::of(vec![dir.clone()], server.counters());
                Rc::new(RingVitals::at(&dir.join("host.ring")).with_rings(rings))
            },
            Settings::default(),
        )
    }

    fn get(&self, server: &Running, target: &str, id: &str) -> Reply {
        let secret = self.secret.reveal();
        get(server, target, &format!("Authorization: PBSAPIToken={id}:{secret}"))
    }
}

/// A request with one more line in its header, or none.
fn get(server: &Running, target: &str, line: &str) -> Reply {
    let mut client = server.connect();
    let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"));
    client.reply()
}

fn metric(shown: &Shown) -> &'static str {
    match shown.object {
        "host" => "load1",
        object if object.starts_with("datastore/") => "size_bytes",
        _ => "depth",
    }
}

fn application(dir: &Path, shown: &Shown) -> Producer {
    let dir = RunDir::for_writing(Some(dir)).expect("it is there");
    let mut producer = Producer::declare(&dir, shown.ring).expect("nobody has it");
    let series = producer.add::<u64>(shown.object, "depth", Kind::Gauge, Unit::Count);
    let series = series.expect("room");
    let options =
        WriterOptions { depth_records: 64, ..WriterOptions::every(Duration::from_secs(1)) };
    let mut producer = producer.start(&options).expect("room");
    producer.set(&series, shown.mark);
    producer.publish();
    producer
}

/// Goes down from the root, as the rules are told.
fn may(entries: &[AclEntry], id: &str, shown: &Shown) -> bool {
    let parts: Vec<&str> = shown.path.split('/').skip(1).collect();
    let mut has = false;
    for depth in 0..=parts.len() {
        let level = format!("/{}", parts[..depth].join("/"));
        let here: Vec<Role> = entries
            .iter()
            .filter(|entry| entry.id.as_str() == id && entry.path.to_string() == level)
            .filter(|entry| entry.propagate || depth == parts.len())
            .map(|entry| entry.role)
            .collect();
        if !here.is_empty() {
            let opens = |role: &Role| matches!(role, Role::Admin | Role::Audit) || shown.is_store;
            has = !here.contains(&Role::NoAccess) && here.iter().any(opens);
        }
    }
    has
}

fn sees(entries: &[AclEntry], id: &str, shown: &Shown) -> bool {
    let owner = id.split('!').next().expect("a user");
    may(entries, id, shown) && may(entries, owner, shown)
}

fn entry(path: &str, id: &str, role: Role, propagate: bool) -> AclEntry {
    let path = path.parse().expect("a path");
    AclEntry { path, id: id.parse().expect("an id"), role, propagate }
}

fn any_entries() -> impl Strategy<Value = Vec<AclEntry>> {
    let (path, id) = (prop::sample::select(&PATHS), prop::sample::select(&IDS));
    let one = (path, id, prop::sample::select(&Role::ALL), prop::bool::weighted(0.8));
    let one = one.prop_map(|(path, id, role, propagate)| entry(path, id, role, propagate));
    prop::collection::vec(one, 1..16).prop_map(|mut entries| {
        entries.sort();
        entries.dedup_by(|a, b| (&a.path, &a.id, a.role) == (&b.path, &b.id, b.role));
        entries
    })
}

/// Whether an answer says anything of an object: its value, or its name.
fn tells(reply: &Reply, shown: &Shown) -> bool {
    let text = reply.text();
    let name = shown.object.rsplit('/').next().expect("a name");
    // Of the host more than one thing is called so.
    let name = if name == "host" { "\"object\":\"host\"" } else { name };
    text.contains(&shown.mark.to_string()) || text.contains(name)
}

/// Asks at every door as `id` and compares what is told with what may be.
fn check_doors(house: &House, server: &Running, entries: &[AclEntry], id: &str) {
    for (door, rings) in DOORS {
        let reply = match id {
            "anonymous@local" => get(server, door, ""),
            _ => house.get(server, door, id),
        };
        let of_door = |shown: &&Shown| match rings {
            ["stores"] => shown.ring == "host",
            ["only stores"] => shown.is_store,
            rings => rings.contains(&shown.ring),
        };
        let named = door.contains("ring=").then(|| rings[0]);
        let is_hidden = |ring| {
            OBJECTS.iter().filter(|shown| shown.ring == ring).all(|shown| !sees(entries, id, shown))
        };
        if named.is_some_and(is_hidden) {
            // To whom a ring is not shown, there is none.
            assert_eq!(reply.status, 404, "{id} {door}: {}", reply.text());
        } else {
            assert_eq!(reply.status, 200, "{id} {door}: {}", reply.text());
        }
        for shown in &OBJECTS {
            let expected = of_door(&shown) && sees(entries, id, shown);
            let object = shown.object;
            assert_eq!(tells(&reply, shown), expected, "{id} {door} {object}: {}", reply.text());
        }
    }
    let rings = match id {
        "anonymous@local" => get(server, "/api/v1/rings", ""),
        _ => house.get(server, "/api/v1/rings", id),
    };
    for ring in ["host", "shop", "mill"] {
        let is_shown = OBJECTS.iter().any(|shown| shown.ring == ring && sees(entries, id, shown));
        let name = format!("\"name\":\"{ring}\"");
        assert_eq!(rings.text().contains(&name), is_shown, "{id} {ring}: {}", rings.text());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_door_shows_what_the_roles_say(entries in any_entries()) {
        let house = House::new();
        house.allow(&entries);
        let server = house.serve();
        for token in TOKENS {
            check_doors(&house, &server, &entries, token);
        }
        // Whoever sees nothing without saying who they are is asked to say it.
        let anonymous = "anonymous@local";
        if OBJECTS.iter().any(|shown| sees(&entries, anonymous, shown)) {
            check_doors(&house, &server, &entries, anonymous);
        }
        let ended = server.stop();
        prop_assert_eq!((ended.counters["panics"], ended.counters["unauthenticated"]), (0, 0));
    }
}

#[test]
fn token_of_a_broad_role_whose_owner_has_a_narrow_one_sees_what_both_may() {
    let house = House::new();
    let entries = [
        entry("/", "a@pbs!s", Role::Audit, true),
        entry("/datastore/beta", "a@pbs", Role::DatastoreAudit, true),
    ];
    house.allow(&entries);
    let server = house.serve();
    let reply = house.get(&server, "/api2/json/status/metrics", "a@pbs!s");
    let told: Vec<bool> = OBJECTS.iter().map(|shown| tells(&reply, shown)).collect();
    assert_eq!(told, [false, false, true, false, false, false]);
    server.stop();
}

#[test]
fn whoever_has_no_rights_gets_an_empty_list_and_whoever_is_unknown_gets_nothing() {
    let house = House::new();
    house.allow(&[entry("/", "a@pbs", Role::Admin, true)]);
    let server = house.serve();
    let begun = Instant::now();
    let empty = house.get(&server, "/api2/json/status/metrics?history=1", "a@pbs!s");
    assert_eq!((empty.status, empty.text()), (200, "{\"data\":{\"data\":[]}}"));
    let waiting: Vec<_> = [
        String::new(),
        format!("Authorization: PBSAPIToken=a@pbs!s:{}x", house.secret.reveal()),
        format!("Authorization: PBSAPIToken=a@pbs!none:{}", house.secret.reveal()),
        format!("Authorization: Bearer a@pbs:{}", house.secret.reveal()),
        "Authorization: Basic Og==".to_owned(),
        "Authorization: PBSAPIToken=a@pbs!s:a\r\nAuthorization: PBSAPIToken=a@pbs!s:b".to_owned(),
        format!("Authorization: Bearer {}", "x".repeat(5000)),
    ]
    .into_iter()
    .map(|line| {
        let mut client = server.connect();
        let target = "/api2/json/status/metrics";
        let line = if line.is_empty() { line } else { line + "\r\n" };
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"));
        (line, client)
    })
    .collect();
    let count = waiting.len() as u64;
    for (line, mut client) in waiting {
        let reply = client.reply();
        assert_eq!((reply.status, reply.text()), (401, "authentication failed\n"), "{line:.40}");
        let challenge = reply.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Basic realm=\"tachograph\""), "{challenge}");
        // It is told nothing about why, and asked the next time as if nothing had been.
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.reply().status, 200, "that everybody may ask");
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "they had to wait");
    assert_eq!(server.stop().counters["unauthenticated"], count);
}

#[test]
fn those_who_fail_too_often_are_told_to_come_later_and_others_are_let_in() {
    let house = House::new();
    let all = ["a@pbs", "a@pbs!s"].map(|id| entry("/", id, Role::Audit, true));
    house.allow(&all);
    let server = house.serve();
    let mut limited = 0;
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = server.connect();
            client.send(
                "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\
                 Authorization: PBSAPIToken=a@pbs!s:guess\r\n\r\n",
            );
            client
        })
        .collect();
    assert_eq!(house.get(&server, "/metrics", "a@pbs!s").status, 200);
    for mut client in clients {
        match client.reply() {
            reply if reply.status == 429 => {
                assert_eq!(reply.header("retry-after"), Some("60"));
                limited += 1;
            }
            reply => assert_eq!(reply.status, 401),
        }
    }
    let ended = server.stop();
    assert_eq!((limited, ended.counters["failures_limited"]), (40, 40));
    assert_eq!(ended.counters["unauthenticated"], 60);
}

#[test]
fn changed_files_are_in_force_and_damaged_ones_are_not() {
    let house = House::new();
    let read = ["a@pbs", "a@pbs!s"].map(|id| entry("/system/status", id, Role::Audit, true));
    house.allow(&read);
    let server = house.serve();
    let sees_host = || tells(&house.get(&server, "/metrics", "a@pbs!s"), &OBJECTS[0]);
    assert!(sees_host());
    let becomes = |expected: bool| {
        let begun = Instant::now();
        while sees_host() != expected {
            assert!(begun.elapsed() < http::FOREVER, "it is not in force");
            thread::sleep(Duration::from_millis(50));
        }
    };
    house.allow(&[]);
    becomes(false);
    house.allow(&read);
    becomes(true);
    house.write(ACL_FILE, "[[acl]]\npath = \"/\"\nid = \"a@pbs\"\nrole = \"Nobody\"\n");
    // Longer than the pause between two looks.
    thread::sleep(Duration::from_millis(1200));
    assert!(sees_host(), "what was in force still is");
    house.allow(&[]);
    becomes(false);
    server.stop();
}

#[test]
fn permissions_are_told_to_whom_they_concern() {
    let house = House::new();
    house.allow(&[
        entry("/", "a@pbs", Role::Audit, true),
        entry("/", "a@pbs!s", Role::Audit, false),
        entry("/datastore/beta", "a@pbs!s", Role::DatastoreAudit, true),
        entry("/", "b@pbs", Role::Admin, true),
        entry("/datastore", "b@pbs!s", Role::DatastoreReader, true),
    ]);
    let server = house.serve();
    let ask = |query: &str, id: &str| {
        let reply = house.get(&server, &format!("/api2/json/access/permissions{query}"), id);
        (reply.status, reply.text().to_owned())
    };
    assert_eq!(
        ask("", "a@pbs!s"),
        (
            200,
            "{\"data\":{\"/\":{\"Datastore.Audit\":false,\"Sys.Audit\":false},\
             \"/datastore/beta\":{\"Datastore.Audit\":true}}}"
                .to_owned()
        )
    );
    assert_eq!(ask("?path=/datastore/beta&auth-id=b@pbs!s", "a@pbs!s").1, "{\"data\":{}}");
    assert_eq!(
        ask("?path=%2Fdatastore", "b@pbs!s"),
        (200, "{\"data\":{\"/datastore\":{\"Datastore.Audit\":true}}}".to_owned())
    );
    assert_eq!(ask("?auth-id=a@pbs", "b@pbs!s").0, 403, "it may not read everything");
    assert_eq!(ask("?auth-id=a", "a@pbs!s").0, 400);
    assert_eq!(ask("?path=/etc", "a@pbs!s").0, 400);
    server.stop();
}

#[test]
fn stream_ends_when_its_client_may_not_see_it_any_more() {
    let house = House::new();
    let read = ["a@pbs", "a@pbs!s"].map(|id| entry("/system/status", id, Role::Audit, true));
    house.allow(&read);
    let server = house.serve();
    let mut client = server.connect();
    let secret = house.secret.reveal();
    client.send(format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer a@pbs!s:{secret}\r\n\r\n"
    ));
    assert!(!client.stream.fill_buf().expect("it begins").is_empty());
    house.allow(&read[..1]);
    let reply = client.reply();
    assert!(reply.text().contains("load1"), "{}", reply.text());
    assert!(
        reply.text().ends_with("event: end\ndata: {\"reason\":\"revoked\"}\n\n"),
        "{}",
        reply.text()
    );
    server.stop();
}

#[test]
fn answers_of_different_rights_have_different_tags() {
    let house = House::new();
    let entries = [
        entry("/", "a@pbs", Role::Audit, true),
        entry("/", "a@pbs!s", Role::Audit, true),
        entry("/", "a@pbs!t", Role::DatastoreAudit, true),
        entry("/", "b@pbs", Role::Admin, true),
        entry("/", "b@pbs!s", Role::Admin, true),
    ];
    house.allow(&entries);
    let server = house.serve();
    let tag = |id: &str| {
        let reply = house.get(&server, "/api/v1/latest", id);
        reply.header("etag").expect("a tag").to_owned()
    };
    let [all, some, also_all] = TOKENS.map(tag);
    assert_eq!(all, also_all, "they see the same");
    assert_ne!(all, some);
    let secret = house.secret.reveal();
    let ask = |id: &str, tag: &str| {
        let line = format!("Authorization: Bearer {id}:{secret}\r\nIf-None-Match: {tag}");
        get(&server, "/api/v1/latest", &line).status
    };
    assert_eq!(ask(TOKENS[0], &all), 304);
    assert_eq!(ask(TOKENS[1], &all), 200);
    server.stop();
}
