//! The pbs view says what Proxmox Backup Server would say of the same counters: its points, in its
//! order, selected by their own timestamps; and what was said once stays said.

use std::time::Duration;

use serde_json::Value as Json;
use tachograph::encode::{HOST_POINTS, PbsAnswer, PbsPlan, PbsQuery};
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

    fn ticks(&mut self, count: u64) {
        (0..count).for_each(|_| self.tick());
    }

    fn answer(&self, history: bool, start_s: i64) -> Vec<Json> {
        let ring = self.recorded.writer().ring();
        let mut plan = PbsPlan::of(&ring);
        let mut answer = PbsAnswer::default();
        answer.begin(&ring, PbsQuery { history, start_s }, self.second as i64 - 1);
        let mut text = b"[".to_vec();
        while answer.part(&ring, &mut plan, &mut text) {}
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
