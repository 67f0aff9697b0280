//! The pbs view says what Proxmox Backup Server would say of the same counters: its points, in its
//! order, selected by their own timestamps; and what was said once stays said.

use std::time::Duration;

use serde_json::Value as Json;
use tachograph::encode::{HOST_POINTS, PbsAnswer, PbsPlan, PbsQuery, STORE_POINTS, STORES_MAX};
use tachograph::record::{ABSENT, word_of_f64};

#[path = "support/recorded.rs"]
mod recorded;
use recorded::Recorded;

const S: u64 = 1_000_000_000;
/// A multiple of ten seconds.
const START_S: u64 = 1_795_000_000;
const LATE_NS: u64 = 170_000;

const SERIES: &[(&str, &str)] = &[
    ("host", "cpu_user_ticks"),
    ("host", "cpu_nice_ticks"),
    ("host", "cpu_system_ticks"),
    ("host", "cpu_idle_ticks"),
    ("host", "cpu_iowait_ticks"),
    ("host", "cpu_irq_ticks"),
    ("host", "cpu_softirq_ticks"),
    ("host", "cpu_steal_ticks"),
    ("host", "load1"),
    ("host", "load5"),
    ("host", "load15"),
    ("host", "meminfo_MemTotal_bytes"),
    ("host", "meminfo_MemAvailable_bytes"),
    ("host", "meminfo_SwapTotal_bytes"),
    ("host", "meminfo_SwapFree_bytes"),
    ("filesystem/", "size_bytes"),
    ("filesystem/", "free_bytes"),
    ("filesystem/", "available_bytes"),
    ("filesystem/", "read_sectors"),
    ("filesystem/", "written_sectors"),
    ("nic/lo", "physical"),
    ("nic/lo", "receive_bytes"),
    ("nic/lo", "transmit_bytes"),
    ("nic/eth0", "physical"),
    ("nic/eth0", "receive_bytes"),
    ("nic/eth0", "transmit_bytes"),
];

/// What is recorded of a store: what the view needs, and more.
const STORE_SERIES: [&str; 8] = [
    "size_bytes",
    "used_bytes",
    "available_bytes",
    "read_bytes",
    "written_bytes",
    "files",
    "age_ms",
    "mounted",
];

/// A host whose counters are simple functions of the second.
struct Host {
    recorded: Recorded,
    second: u64,
    boot_s: u64,
}

impl Host {
    fn new(depth_records: u64) -> Self {
        let recorded = Recorded::new(depth_records, Duration::from_secs(1), SERIES);
        let mut host = Self { recorded, second: START_S, boot_s: 1000 };
        for (object, metric, word) in [
            ("host", "load1", word_of_f64(0.25)),
            ("host", "load5", word_of_f64(0.5)),
            ("host", "load15", word_of_f64(1.75)),
            ("host", "meminfo_MemTotal_bytes", 8 << 30),
            ("host", "meminfo_MemAvailable_bytes", 5 << 30),
            ("host", "meminfo_SwapTotal_bytes", 2 << 30),
            ("host", "meminfo_SwapFree_bytes", 1 << 30),
            ("filesystem/", "size_bytes", 1000),
            ("filesystem/", "free_bytes", 400),
            ("filesystem/", "available_bytes", 300),
            ("nic/lo", "physical", 0),
            ("nic/eth0", "physical", 1),
        ] {
            host.recorded.set(object, metric, word);
        }
        for mode in ["nice", "irq", "softirq", "steal"] {
            host.recorded.set("host", &format!("cpu_{mode}_ticks"), 0);
        }
        host
    }

    /// Records the second that it is now. Of 100 ticks a second 60 are idle and 10 iowait.
    fn tick(&mut self) {
        let up = self.boot_s;
        for (object, metric, word) in [
            ("host", "cpu_user_ticks", 20 * up),
            ("host", "cpu_system_ticks", 10 * up),
            ("host", "cpu_idle_ticks", 60 * up),
            ("host", "cpu_iowait_ticks", 10 * up),
            ("filesystem/", "read_sectors", up),
            ("filesystem/", "written_sectors", 2 * up),
            ("nic/lo", "receive_bytes", 1_000_000 * up),
            ("nic/lo", "transmit_bytes", 1_000_000 * up),
            ("nic/eth0", "receive_bytes", 7 * up),
            ("nic/eth0", "transmit_bytes", 3 * up),
        ] {
            if self.recorded.schema.column(object, metric).is_some() {
                self.recorded.set(object, metric, word);
            }
        }
        self.recorded.publish(self.second * S + LATE_NS, self.boot_s * S, 0, false);
        self.second += 1;
        self.boot_s += 1;
    }

    /// Begins to record a store whose values are `size` and less.
    fn add_store(&mut self, name: &str, size: u64) {
        let object = format!("datastore/{name}");
        for metric in STORE_SERIES {
            self.recorded.schema.add(&object, metric).expect("room");
        }
        self.recorded.sync();
        self.set_store(name, size);
    }

    fn set_store(&mut self, name: &str, size: u64) {
        for (less, metric) in STORE_SERIES.iter().enumerate() {
            self.recorded.set(&format!("datastore/{name}"), metric, size - less as u64);
        }
    }

    fn end_store(&mut self, name: &str) {
        for metric in STORE_SERIES {
            let column = self.recorded.schema.column(&format!("datastore/{name}"), metric);
            let column = column.expect("a series");
            self.recorded.schema.end(column);
            self.recorded.record.words_mut()[column] = ABSENT;
        }
        self.recorded.sync();
    }

    fn ticks(&mut self, count: u64) {
        (0..count).for_each(|_| self.tick());
    }

    fn answer(&self, history: bool, start_s: i64) -> Vec<Json> {
        self.answer_by(&mut PbsPlan::default(), history, start_s)
    }

    fn answer_by(&self, plan: &mut PbsPlan, history: bool, start_s: i64) -> Vec<Json> {
        let ring = self.recorded.writer().ring();
        let mut answer = PbsAnswer::default();
        answer.begin(&ring, PbsQuery { history, start_s }, self.second as i64 - 1);
        let mut text = b"[".to_vec();
        while answer.part(&ring, plan, &mut text) {}
        text.push(b']');
        assert_eq!(answer.overrun(), 0);
        serde_json::from_slice(&text).expect("the view is JSON")
    }

    fn timestamps(&self, history: bool, start_s: i64) -> Vec<u64> {
        let mut stamps: Vec<u64> = self.answer(history, start_s).iter().map(stamp).collect();
        stamps.dedup();
        stamps
    }
}

fn stamp(point: &Json) -> u64 {
    point["timestamp"].as_u64().expect("an integer")
}

fn value(points: &[Json], metric: &str) -> Option<f64> {
    points.iter().find(|point| point["metric"] == metric).and_then(|point| point["value"].as_f64())
}

#[test]
fn generation_has_the_sixteen_points_with_derived_and_raw_values() {
    let mut host = Host::new(100);
    host.ticks(21);
    let points = host.answer(false, 0);
    let up = 1020.0;
    let expected = [
        0.4,
        0.1,
        0.25,
        0.5,
        1.75,
        f64::from(1 << 30) * 8.0,
        f64::from(1 << 30) * 3.0,
        f64::from(1 << 30) * 2.0,
        f64::from(1 << 30),
        7.0 * up,
        3.0 * up,
        1000.0,
        600.0,
        300.0,
        512.0 * up,
        1024.0 * up,
    ];
    assert_eq!(points.len(), 16);
    for ((point, (metric, kind)), value) in points.iter().zip(HOST_POINTS).zip(expected) {
        let wanted = serde_json::json!({
            "id": "host", "metric": metric, "timestamp": START_S + 20, "type": kind.as_str(), "value": value,
        });
        assert_eq!(*point, wanted);
    }
}

#[test]
fn first_record_is_answered_at_once_with_shares_since_boot() {
    let mut host = Host::new(100);
    host.second += 3;
    host.recorded.set("host", "cpu_irq_ticks", 100_000);
    host.tick();
    let points = host.answer(true, 0);
    assert_eq!(points.iter().map(stamp).collect::<Vec<_>>(), [START_S + 3; 16]);
    // With the interrupts' time as large as all other time together, every share is half.
    assert_eq!(value(&points, "cpu_current"), Some(1.0 - 60.0 / 200.0));
    assert_eq!(value(&points, "cpu_iowait"), Some(10.0 / 200.0));
}

#[test]
fn history_is_selected_strictly_after_start_and_ascends() {
    let mut host = Host::new(8000);
    host.ticks(2500);
    let now = START_S + 2499;
    let all = host.timestamps(true, 0);
    assert_eq!(all.first(), Some(&(now - now % 10 - 1790)), "the last 30 minutes");
    assert_eq!(all.last(), Some(&(START_S + 2490)));
    assert!(all.is_sorted_by(|a, b| a + 10 == *b));
    for start in [START_S + 2000, START_S + 2001, START_S + 2009, START_S + 2490, now, now + 5] {
        let expected: Vec<u64> = all.iter().copied().filter(|stamp| *stamp > start).collect();
        assert_eq!(host.timestamps(true, start as i64), expected);
        assert_eq!(
            host.timestamps(false, start as i64),
            [START_S + 2490],
            "no history: the newest"
        );
    }
    assert_eq!(host.timestamps(true, i64::MAX), [] as [u64; 0]);
    assert_eq!(host.timestamps(true, i64::MIN), all);
}

#[test]
fn cursor_of_a_puller_gets_every_generation_exactly_once() {
    let mut host = Host::new(8000);
    let (mut cursor, mut got) = (0, Vec::new());
    for second in 0..700 {
        host.tick();
        if second % 37 == 0 {
            let new = host.timestamps(true, cursor);
            cursor = new.last().map_or(cursor, |stamp| *stamp as i64);
            got.extend(new);
        }
    }
    let expected: Vec<u64> = (0..67).map(|step| START_S + step * 10).collect();
    assert_eq!(got, expected);
}

#[test]
fn point_that_was_sent_never_changes() {
    let mut host = Host::new(1024);
    let mut sent = std::collections::HashMap::new();
    for second in 0..1500 {
        match second {
            300 | 605 => host.recorded.restart(),
            900 => host.second -= 47,
            _ => {}
        }
        host.tick();
        if second % 7 > 0 && !(295..320).contains(&second) && !(895..920).contains(&second) {
            continue;
        }
        for point in host.answer(true, 0) {
            let name = (stamp(&point), point["metric"].to_string());
            let before = sent.entry(name).or_insert_with(|| point["value"].clone());
            assert_eq!(*before, point["value"], "{point} at second {second}");
        }
    }
    assert!(sent.len() > 140 * 16, "{} points", sent.len());
}

#[test]
fn restart_is_a_generation_of_its_own_and_is_not_derived_across() {
    let mut host = Host::new(100);
    host.ticks(13);
    host.recorded.restart();
    host.ticks(8);
    assert_eq!(host.timestamps(true, 0), [0, 10, 13, 20].map(|second| START_S + second));
}

#[test]
fn clock_set_back_by_a_day_hides_nothing_new_and_sends_nothing_from_the_future() {
    let mut host = Host::new(4000);
    host.ticks(100);
    host.second -= 86_400;
    host.ticks(100);
    let now = host.second - 1;
    let stamps = host.timestamps(true, 0);
    assert!(stamps.iter().all(|stamp| *stamp <= now) && stamps.len() >= 9, "{stamps:?}");
    assert_eq!(host.timestamps(false, 0), [now - now % 10]);
    // And forward again, past where it was before.
    host.second += 2 * 86_400;
    host.ticks(30);
    let stamps = host.timestamps(true, 0);
    assert_eq!(stamps.len(), 3, "{stamps:?}");
    assert!(stamps.is_sorted_by(|a, b| a < b));
}

#[test]
fn values_that_are_absent_are_left_out_and_the_rest_stays() {
    let mut host = Host::new(100);
    host.recorded.set("host", "load5", ABSENT);
    host.recorded.set("host", "meminfo_MemAvailable_bytes", ABSENT);
    host.ticks(11);
    let points = host.answer(false, 0);
    assert_eq!(points.len(), 14);
    assert_eq!((value(&points, "cpu_avg5"), value(&points, "mem_used")), (None, None));
    assert!(value(&points, "mem_total").is_some());
}

#[test]
fn frozen_cpu_times_give_no_share() {
    let mut host = Host::new(100);
    host.ticks(11);
    for _ in 0..10 {
        host.recorded.publish(host.second * S, host.boot_s * S, 0, false);
        host.second += 1;
    }
    let points = host.answer(false, 0);
    assert_eq!(points.len(), 14, "no time passed, so there is no share of it");
    assert_eq!(value(&points, "cpu_current"), None);
}

#[test]
fn interface_whose_column_is_reused_is_not_taken_for_the_new_one() {
    let mut host = Host::new(100);
    host.ticks(11);
    let column = host.recorded.schema.column("nic/eth0", "receive_bytes").expect("a series");
    for metric in ["physical", "receive_bytes", "transmit_bytes"] {
        let column = host.recorded.schema.column("nic/eth0", metric).expect("a series");
        host.recorded.schema.end(column);
        host.recorded.record.words_mut()[column] = ABSENT;
    }
    // Lowest free column first: the disk's sectors take the place of the interface's flag or bytes.
    for metric in ["read_sectors", "written_sectors", "io_ms"] {
        host.recorded.schema.add("disk/vda", metric).expect("room");
    }
    host.recorded.sync();
    assert!(
        host.recorded.schema.series(column).is_some_and(|series| &*series.object == "disk/vda")
    );
    for metric in ["read_sectors", "written_sectors", "io_ms"] {
        host.recorded.set("disk/vda", metric, 1);
    }
    host.ticks(10);
    let points = host.answer(true, 0);
    let net_in: Vec<_> = points.iter().filter(|point| point["metric"] == "net_in").collect();
    let stamps: Vec<u64> = net_in.into_iter().map(stamp).collect();
    assert_eq!(stamps, [START_S, START_S + 10], "only while the interface was there");
    assert_eq!(host.timestamps(true, 0).last(), Some(&(START_S + 20)));
}

#[test]
fn answer_in_small_parts_is_the_whole_answer() {
    let mut host = Host::new(8000);
    host.ticks(2000);
    let ring = host.recorded.writer().ring();
    let mut plan = PbsPlan::of(&ring);
    let mut answer = PbsAnswer::default();
    answer.begin(&ring, PbsQuery { history: true, start_s: 0 }, host.second as i64);
    let (mut text, mut parts) = (b"[".to_vec(), 0);
    loop {
        let mut part = Vec::new();
        let more = answer.part(&ring, &mut plan, &mut part);
        assert!(part.len() < 2 * tachograph::encode::PART_BYTES);
        text.extend(part);
        parts += 1;
        if !more {
            break;
        }
    }
    text.push(b']');
    assert!(parts > 3, "{parts} parts");
    let points: Vec<Json> = serde_json::from_slice(&text).expect("JSON across parts");
    assert_eq!(points, host.answer(true, 0));
}

#[test]
fn generation_that_is_overwritten_meanwhile_is_left_out_and_counted() {
    let mut host = Host::new(64);
    host.ticks(64);
    let ring = host.recorded.writer().ring();
    let mut plan = PbsPlan::of(&ring);
    let mut answer = PbsAnswer::default();
    answer.begin(&ring, PbsQuery { history: true, start_s: 0 }, host.second as i64);
    host.ticks(25);
    let mut text = b"[".to_vec();
    while answer.part(&ring, &mut plan, &mut text) {}
    text.push(b']');
    let points: Vec<Json> = serde_json::from_slice(&text).expect("JSON with a part left out");
    assert_eq!(answer.overrun(), 4, "the first, and three of which they or their base are gone");
    assert!(points.iter().all(|point| stamp(point) >= START_S + 40));
}

/// The points of a store in a generation, as they must be.
fn store_points(name: &str, timestamp: u64, size: u64) -> Vec<Json> {
    let points = STORE_POINTS.iter().enumerate();
    points
        .map(|(less, (metric, kind))| {
            serde_json::json!({
                "id": format!("datastore/{name}"), "metric": metric, "timestamp": timestamp,
                "type": kind.as_str(), "value": (size - less as u64) as f64,
            })
        })
        .collect()
}

/// The timestamps of the generations that have this store, ascending.
fn stamps_of(points: &[Json], name: &str) -> Vec<u64> {
    let id = format!("datastore/{name}");
    let mut stamps: Vec<u64> =
        points.iter().filter(|point| point["id"] == *id).map(stamp).collect();
    assert_eq!(stamps.len() % STORE_POINTS.len(), 0);
    stamps.dedup();
    stamps
}

#[test]
fn each_store_has_exactly_five_points_after_the_host_and_by_name() {
    let mut host = Host::new(100);
    for (name, size) in [("tank", 1000), ("Archive", 2000), ("a-b_c.d", 3000)] {
        host.add_store(name, size);
    }
    host.ticks(11);
    let points = host.answer(false, 0);
    assert_eq!(points[..16], host.answer(true, START_S as i64)[..16]);
    assert!(points[..16].iter().all(|point| point["id"] == "host"));
    let time = START_S + 10;
    let stores = [("Archive", 2000), ("a-b_c.d", 3000), ("tank", 1000)];
    let stores: Vec<_> =
        stores.into_iter().flat_map(|(name, size)| store_points(name, time, size)).collect();
    assert_eq!(points[16..], stores);
    let metrics: Vec<_> = STORE_POINTS.into_iter().map(|(metric, _)| metric).collect();
    let facts = ["disk_total", "disk_used", "disk_available", "disk_read", "disk_write"];
    assert_eq!(metrics, facts);
}

#[test]
fn store_without_values_has_no_points_and_one_with_some_has_those() {
    let mut host = Host::new(100);
    host.add_store("away", 1000);
    host.add_store("here", 2000);
    for metric in STORE_SERIES {
        host.recorded.set("datastore/away", metric, ABSENT);
    }
    host.recorded.set("datastore/away", "mounted", 0);
    host.recorded.set("datastore/here", "read_bytes", ABSENT);
    host.ticks(11);
    let points = host.answer(false, 0);
    let mut here = store_points("here", START_S + 10, 2000);
    here.remove(3);
    assert_eq!(points[16..], here);
}

#[test]
fn stores_come_and_go_and_each_generation_has_those_that_lived_in_it() {
    let mut host = Host::new(1000);
    let mut plan = PbsPlan::default();
    let mut check = |host: &Host, generations: &[u64], wanted: [&[u64]; 3]| {
        let points = host.answer_by(&mut plan, true, 0);
        assert_eq!(points, host.answer(true, 0), "as a plan that is made from the beginning");
        let all = |stamps: &[u64]| stamps.iter().map(|s| START_S + s).collect::<Vec<_>>();
        for (name, wanted) in ["first", "later", "again"].into_iter().zip(wanted) {
            assert_eq!(stamps_of(&points, name), all(wanted), "{name}");
        }
        let mut stamps: Vec<u64> = points.iter().map(stamp).collect();
        stamps.dedup();
        assert_eq!(stamps, all(generations));
    };
    host.add_store("first", 1000);
    host.add_store("again", 3000);
    host.ticks(15);
    check(&host, &[0, 10], [&[0, 10], &[], &[0, 10]]);
    host.end_store("again");
    host.ticks(10);
    host.add_store("later", 2000);
    host.ticks(10);
    check(&host, &[0, 10, 20, 30], [&[0, 10, 20, 30], &[30], &[0, 10]]);
    host.end_store("first");
    // It gets the columns of the one before it.
    host.add_store("again", 4000);
    host.ticks(10);
    let generations = [0, 10, 20, 30, 40];
    check(&host, &generations, [&[0, 10, 20, 30], &[30, 40], &[0, 10, 40]]);
    let points = host.answer(true, START_S as i64 + 30);
    let later = store_points("later", START_S + 40, 2000);
    let again = store_points("again", START_S + 40, 4000);
    assert_eq!(points[16..], [again, later].concat());
}

#[test]
fn store_that_no_record_has_any_more_is_forgotten() {
    let mut host = Host::new(64);
    let mut plan = PbsPlan::default();
    host.add_store("brief", 1000);
    host.ticks(11);
    assert_eq!(host.answer_by(&mut plan, false, 0).len(), 16 + 5);
    assert_eq!(plan.points(), 16 + 5);
    host.end_store("brief");
    host.ticks(70);
    host.add_store("other", 2000);
    host.ticks(10);
    assert_eq!(host.answer_by(&mut plan, false, 0).len(), 16 + 5);
    assert_eq!(plan.points(), 16 + 5, "the first one is gone");
}

#[test]
fn hundred_stores_are_answered_and_beyond_the_limit_the_first_ones_are() {
    let mut host = Host::new(256);
    let mut plan = PbsPlan::default();
    let name = |store: usize| format!("store{:03}", 999 - store);
    for store in 0..100 {
        host.add_store(&name(store), 1000 + store as u64);
    }
    host.ticks(11);
    let points = host.answer_by(&mut plan, false, 0);
    assert_eq!((points.len(), plan.stores_left_out()), (16 + 500, 0));
    for store in 0..100 {
        let five = store_points(&name(store), START_S + 10, 1000 + store as u64);
        let at = 16 + 5 * (99 - store);
        assert_eq!(points[at..at + 5], five);
    }
    for store in 100..STORES_MAX + 3 {
        host.add_store(&name(store), 1000 + store as u64);
    }
    host.ticks(10);
    let points = host.answer_by(&mut plan, false, 0);
    assert_eq!((points.len(), plan.stores_left_out()), (16 + 5 * STORES_MAX, 3));
    assert!(stamps_of(&points, &name(STORES_MAX)).is_empty());
    assert_eq!(stamps_of(&points, &name(STORES_MAX - 1)), [START_S + 20]);
    // When one of the first is gone from the ring there is room for one that was left out.
    host.end_store(&name(7));
    host.ticks(257);
    host.end_store(&name(8));
    host.ticks(10);
    let points = host.answer_by(&mut plan, false, 0);
    assert_eq!(plan.stores_left_out(), 2);
    assert!(stamps_of(&points, &name(7)).is_empty());
    assert!(!stamps_of(&points, &name(STORES_MAX)).is_empty());
}

/// Series that the view does not need come and go by the thousand; a plan that follows them answers
/// what one that is made from the beginning answers, through restarts and larger rings too.
#[test]
fn plan_that_follows_the_directory_is_the_plan_that_is_made_anew() {
    let mut host = Host::new(128);
    let mut plan = PbsPlan::default();
    let mut names = Vec::new();
    for turn in 0..400_u64 {
        match turn % 40 {
            3 => host.add_store(&format!("s{turn}"), 1000 + turn),
            5 => names.push(turn - 2),
            23 => {
                let index = names.len() / 2;
                host.end_store(&format!("s{}", names.remove(index)));
            }
            37 if turn > 200 => host.recorded.restart(),
            _ => {}
        }
        for nic in 0..9 {
            // Some are new at each turn, some have been there for a while; every third has hardware.
            let name = |turn: u64| format!("nic/v{nic}x{}", turn / (nic + 1));
            if turn > 0 && name(turn) == name(turn - 1) {
                continue;
            }
            for metric in ["physical", "receive_bytes", "transmit_bytes"] {
                let before = host.recorded.schema.column(&name(turn.saturating_sub(1)), metric);
                if let Some(column) = before {
                    host.recorded.schema.end(column);
                    host.recorded.record.words_mut()[column] = ABSENT;
                }
            }
            for (metric, word) in [
                ("physical", u64::from(nic % 3 == 0)),
                ("receive_bytes", turn << 40),
                ("transmit_bytes", turn + nic),
            ] {
                host.recorded.schema.add(&name(turn), metric).expect("room");
                host.recorded.sync();
                host.recorded.set(&name(turn), metric, word);
            }
        }
        host.recorded.sync();
        host.tick();
        if turn % 7 == 0 {
            let followed = host.answer_by(&mut plan, true, 0);
            assert_eq!(followed, host.answer(true, 0), "turn {turn}");
        }
    }
    assert!(host.recorded.writer().rollovers() > 0 || host.recorded.writer().epoch() > 1);
}
