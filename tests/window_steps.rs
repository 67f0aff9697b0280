//! Steps of a window say what gauges were and what counters counted, and nothing that did not happen:
//! no spike after a gap, a reset, a wrap or the return of a device.
//!
//! Each rule of `window::step` has its rows in a table; the oracle for all of them together is a plain
//! list of what was published, searched from its beginning for every single record.

use std::time::Duration;

use proptest::prelude::*;
use tachograph::record::{ABSENT, Kind, Unit, word_of_f64};
use tachograph::ring::{ReadMap, Ring, Value};
use tachograph::window::step::{Gaps, Sum};
use tachograph::window::{Aggregate, Step, Steps, Track, Window};

#[path = "support/recorded.rs"]
mod recorded;
use recorded::Recorded;

const S: u64 = 1_000_000_000;
const START: u64 = 1_795_000_000 * S;
const STEP: u64 = 10 * S;
const WRAP: u64 = 1 << 32;

const RECEIVED: (&str, &str) = ("nic/eth0", "receive_bytes");
const IDLE: (&str, &str) = ("host", "cpu_idle_ticks");
const SWITCHES: (&str, &str) = ("host", "context_switches");
const TICKS: (&str, &str) = ("tachograph", "ticks");
const MEMORY: (&str, &str) = ("host", "meminfo_MemFree_bytes");
const LOAD: (&str, &str) = ("host", "load1");

fn steps_of(
    ring: &Ring<ReadMap>,
    window: &Window<'_, ReadMap>,
    step_ns: u64,
) -> Vec<(Step, Vec<Aggregate>)> {
    let mut steps = Steps::new(Track::all(&ring.directory(), |_| true), step_ns);
    steps.begin(window);
    let mut all = Vec::new();
    while let Some(step) = steps.next(ring) {
        all.push((step, steps.aggregates().to_vec()));
    }
    all
}

fn whole(ring: &Ring<ReadMap>) -> Window<'_, ReadMap> {
    Window::newest(ring, u64::MAX)
}

/// Object and metric.
type Name = (&'static str, &'static str);
/// Second on both clocks and word.
type Timed = (u64, u64);
/// How many values there are, and their mean.
type Mean = (u64, Option<f64>);
/// Seconds on the wall clock and the boot clock, missed ticks, and whether the clock was set.
type Clocked = (u64, u64, u64, bool);
/// Second at which a step ends, its records and what was counted.
type Told = (u64, u64, Counted);
/// Increase, covered seconds, resets, wraps and unknown pairs.
type Counted = (Option<i128>, u64, u64, u64, u64);

fn counted(aggregate: &Aggregate) -> Counted {
    let Aggregate::Counter(advance) = aggregate else { panic!("{aggregate:?} is of no counter") };
    let increase = advance.increase().map(|sum| match sum {
        Sum::Integer(increase) => increase,
        Sum::Double { .. } => panic!("of integers"),
    });
    (increase, advance.covered_ns / S, advance.resets, advance.wraps, advance.unknown)
}

/// Records of one series: second on both clocks and word.
fn recorded(series: (&str, &str), records: &[(u64, u64)]) -> Recorded {
    let mut recorded = Recorded::new(64, Duration::from_secs(1), &[series]);
    for (second, word) in records {
        recorded.set(series.0, series.1, *word);
        recorded.publish(START + second * S, (1000 + second) * S, 0, false);
    }
    recorded
}

#[test]
fn counter_is_told_by_the_rules() {
    let (high, low) = (WRAP - 1, 5);
    let table: [(&str, Name, &[Timed], &[Counted]); 20] = [
        (
            "1: the bounds of a step",
            RECEIVED,
            &[(10, 1), (11, 3), (20, 7), (21, 20)],
            &[(None, 0, 0, 0, 0), (Some(6), 10, 0, 0, 0), (Some(13), 1, 0, 0, 0)],
        ),
        (
            "2: a gap of five steps",
            RECEIVED,
            &[(1, 0), (51, 500)],
            &[(None, 0, 0, 0, 0), (Some(500), 50, 0, 0, 0)],
        ),
        (
            "3: absent in between",
            RECEIVED,
            &[(1, 5), (2, ABSENT), (3, 9)],
            &[(Some(4), 2, 0, 0, 0)],
        ),
        ("3: absent at first", RECEIVED, &[(1, ABSENT), (2, 9), (4, 9)], &[(Some(0), 2, 0, 0, 0)]),
        ("3: never present", RECEIVED, &[(1, ABSENT), (2, ABSENT)], &[(None, 0, 0, 0, 0)]),
        (
            "4: a reset",
            RECEIVED,
            &[(1, 1000), (2, 1010), (4, 7), (5, 9)],
            &[(Some(12), 2, 1, 0, 0)],
        ),
        ("4: nothing but a reset", RECEIVED, &[(1, 1000), (2, 7)], &[(None, 0, 1, 0, 0)]),
        ("4: a reset to zero", RECEIVED, &[(1, 1), (2, 0), (3, 0)], &[(Some(0), 1, 1, 0, 0)]),
        ("5: a wrap", RECEIVED, &[(1, high), (3, low)], &[(Some(6), 2, 0, 1, 0)]),
        (
            "5: a wrap at its widest",
            RECEIVED,
            &[(1, WRAP - (1 << 28)), (2, (1 << 28) - 1)],
            &[(Some((1 << 29) - 1), 1, 0, 1, 0)],
        ),
        (
            "5: from too far below",
            RECEIVED,
            &[(1, WRAP - (1 << 28) - 1), (2, low)],
            &[(None, 0, 1, 0, 0)],
        ),
        ("5: to too far above", RECEIVED, &[(1, high), (2, 1 << 28)], &[(None, 0, 1, 0, 0)]),
        ("5: it has more bits", RECEIVED, &[(1, WRAP), (2, low)], &[(None, 0, 1, 0, 0)]),
        ("5: 64 bits do not wrap", RECEIVED, &[(1, u64::MAX - 1), (2, low)], &[(None, 0, 1, 0, 0)]),
        ("5: no driver's", SWITCHES, &[(1, high), (2, low)], &[(None, 0, 1, 0, 0)]),
        (
            "5: a disk's times",
            ("disk/vda", "io_ms"),
            &[(1, high), (2, low)],
            &[(Some(6), 1, 0, 1, 0)],
        ),
        (
            "5: a disk's sectors",
            ("disk/vda", "read_sectors"),
            &[(1, high), (2, low)],
            &[(None, 0, 1, 0, 0)],
        ),
        ("6: corrected", IDLE, &[(1, 5000), (2, 4900), (3, 4910)], &[(Some(10), 2, 0, 0, 0)]),
        ("6: more than corrected", IDLE, &[(1, 5000), (2, 4899)], &[(None, 0, 1, 0, 0)]),
        (
            "11: as large as it gets",
            RECEIVED,
            &[(1, 0), (2, u64::MAX - 1), (3, 0), (4, u64::MAX - 1)],
            &[(Some(2 * (u64::MAX as i128 - 1)), 2, 1, 0, 0)],
        ),
    ];
    for (what, series, records, expected) in table {
        let recorded = recorded(series, records);
        let ring = recorded.writer().ring();
        let found: Vec<_> = steps_of(&ring, &whole(&ring), STEP)
            .iter()
            .map(|(_, found)| counted(&found[0]))
            .collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn rate_is_over_the_time_between_the_records() {
    let recorded = recorded(RECEIVED, &[(1, 0), (51, 500), (52, 510)]);
    let ring = recorded.writer().ring();
    let rates: Vec<_> = steps_of(&ring, &whole(&ring), STEP)
        .iter()
        .map(|(_, found)| match found[0] {
            Aggregate::Counter(advance) => advance.rate(),
            Aggregate::Gauge(_) => None,
        })
        .collect();
    assert_eq!(rates, [None, Some(10.0)]);
}

#[test]
fn gauge_has_the_plain_mean_of_what_is_there() {
    let huge = u64::MAX - 1;
    let table: [(&str, Name, &[Timed], Mean); 6] = [
        ("8: not weighted by time", MEMORY, &[(1, 10), (2, 20), (9, 60)], (3, Some(30.0))),
        (
            "3: absent values do not count",
            MEMORY,
            &[(1, 10), (2, ABSENT), (3, 20)],
            (2, Some(15.0)),
        ),
        ("3: none", MEMORY, &[(1, ABSENT)], (0, None)),
        ("11: beyond 64 bits", MEMORY, &[(1, huge), (2, huge), (3, huge)], (3, Some(huge as f64))),
        (
            "11: not finite",
            LOAD,
            &[(1, 1.0_f64.to_bits()), (2, f64::INFINITY.to_bits())],
            (1, Some(1.0)),
        ),
        (
            "11: compensated",
            LOAD,
            &[(1, word_of_f64(1e100)), (2, word_of_f64(4.0)), (3, word_of_f64(-1e100)), (4, 0)],
            (4, Some(1.0)),
        ),
    ];
    for (what, series, records, mean) in table {
        let recorded = recorded(series, records);
        let ring = recorded.writer().ring();
        let found = steps_of(&ring, &whole(&ring), STEP);
        let [(_, aggregates)] = &found[..] else { panic!("{what}: {found:?}") };
        let Aggregate::Gauge(levels) = aggregates[0] else { panic!("{what}") };
        assert_eq!((levels.count, levels.mean()), mean, "{what}");
    }
}

#[test]
fn device_that_returns_counts_from_its_return() {
    let mut recorded = recorded(RECEIVED, &[(1, 1000), (2, 1010)]);
    let column = recorded.schema.column(RECEIVED.0, RECEIVED.1).expect("known");
    recorded.schema.end(column);
    recorded.sync();
    recorded.publish(START + 3 * S, 1003 * S, 0, false);
    recorded.schema.add(RECEIVED.0, RECEIVED.1).expect("room");
    recorded.sync();
    for (second, word) in [(4, 1_000_000), (6, 1_000_004)] {
        recorded.set(RECEIVED.0, RECEIVED.1, word);
        recorded.publish(START + second * S, (1000 + second) * S, 0, false);
    }
    let ring = recorded.writer().ring();
    let found = steps_of(&ring, &whole(&ring), STEP);
    assert_eq!(found[0].1.len(), 1, "one track of two lifetimes");
    assert_eq!(counted(&found[0].1[0]), (Some(14), 3, 0, 0, 0));
}

#[test]
fn only_the_recorders_own_counters_begin_anew_with_it() {
    for (series, expected) in [(TICKS, (Some(2), 2, 0, 0, 1)), (SWITCHES, (Some(7), 3, 0, 0, 0))] {
        let mut recorded = recorded(series, &[(1, 3), (2, 4)]);
        recorded.restart();
        for (second, word) in [(3, 9), (4, 10)] {
            recorded.set(series.0, series.1, word);
            recorded.publish(START + second * S, (1000 + second) * S, 0, false);
        }
        let ring = recorded.writer().ring();
        let found = steps_of(&ring, &whole(&ring), STEP);
        assert_eq!(counted(&found[0].1[0]), expected, "{series:?}");
        assert_eq!(found[0].0.gaps, Gaps { epochs: 2, ..Gaps::default() });
    }
}

/// Clocks: wall and boot, and what was missed; the counter counts the boot clock's seconds.
#[test]
fn clocks_that_disagree_make_neither_spikes_nor_steps() {
    let table: [(&str, &[Clocked], &[Told]); 4] = [
        (
            "8: missed ticks",
            &[(1, 1, 0, false), (8, 8, 6, false)],
            &[(10, 2, (Some(7), 7, 0, 0, 0))],
        ),
        (
            "10: set forward by 35 s",
            &[(1, 1, 0, false), (37, 2, 0, true)],
            &[(10, 1, (None, 0, 0, 0, 0)), (40, 1, (Some(1), 1, 0, 0, 0))],
        ),
        (
            "10: set back by 3 s",
            &[(8, 1, 0, false), (9, 2, 0, false), (7, 3, 0, true), (8, 4, 0, false)],
            &[(10, 2, (Some(1), 1, 0, 0, 0)), (10, 2, (Some(2), 2, 0, 0, 0))],
        ),
        (
            "10: the boot clock stands",
            &[(1, 1, 0, false), (2, 1, 0, false)],
            &[(10, 2, (None, 0, 0, 0, 1))],
        ),
    ];
    for (what, records, expected) in table {
        let mut recorded = Recorded::new(64, Duration::from_secs(1), &[SWITCHES]);
        for (wall, boot, missed, step) in records {
            recorded.set(SWITCHES.0, SWITCHES.1, *boot);
            recorded.publish(START + wall * S, (1000 + boot) * S, *missed, *step);
        }
        let ring = recorded.writer().ring();
        let steps = steps_of(&ring, &whole(&ring), STEP);
        let found: Vec<_> = steps
            .iter()
            .map(|(step, found)| ((step.end_ns - START) / S, step.records, counted(&found[0])))
            .collect();
        assert_eq!(found, expected, "{what}");
        let missed: u64 = records.iter().map(|record| record.2).sum();
        assert_eq!(steps.iter().map(|(step, _)| step.gaps.missed).sum::<u64>(), missed, "{what}");
    }
}

#[test]
fn suspend_counts_as_time() {
    let recorded = recorded(SWITCHES, &[(1, 0), (2, 10), (8, 10), (9, 20)]);
    let ring = recorded.writer().ring();
    let found = steps_of(&ring, &whole(&ring), STEP);
    let Aggregate::Counter(advance) = found[0].1[0] else { panic!("a counter") };
    assert_eq!((advance.covered_ns, advance.rate()), (8 * S, Some(2.5)));
}

#[test]
fn first_increase_is_taken_from_before_the_window() {
    let recorded = recorded(RECEIVED, &[(1, 5), (2, ABSENT), (12, 9), (13, 10)]);
    let ring = recorded.writer().ring();
    let window = Window::between(&ring, START + 10 * S, START + 20 * S);
    let found = steps_of(&ring, &window, STEP);
    assert_eq!(found.len(), 1);
    assert_eq!(counted(&found[0].1[0]), (Some(5), 12, 0, 0, 0));
}

/// Rule by rule as they are written down, without looking at the implementation's state: for each
/// record, the list of all records is searched for the one its pair is made with.
#[derive(Clone, Debug)]
struct Past {
    seq: u64,
    wall_ns: u64,
    boot_ns: u64,
    run: u64,
    epoch: u32,
    lifetime: u32,
    /// Counter, own counter, gauge.
    words: [u64; 3],
}

#[derive(Clone, Debug)]
enum Act {
    Tick { passed_ns: u64, words: [u64; 3] },
    ClockSet { to_ns: i64 },
    Return,
    Restart,
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => Just(ABSENT),
        4 => 0..1000_u64,
        2 => WRAP - 1000..WRAP,
        1 => WRAP - (1 << 28) - 2..WRAP - (1 << 28) + 2,
        1 => (1 << 28) - 2..(1_u64 << 28) + 2,
        2 => u64::MAX - 1000..u64::MAX,
        1 => any::<u64>(),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (1..4 * S, [word(), word(), word()])
            .prop_map(|(passed_ns, words)| Act::Tick { passed_ns, words }),
        2 => (1..60 * S, [word(), word(), word()])
            .prop_map(|(passed_ns, words)| Act::Tick { passed_ns, words }),
        1 => (-(60 * S as i64)..60 * S as i64).prop_map(|to_ns| Act::ClockSet { to_ns }),
        1 => Just(Act::Return),
        1 => Just(Act::Restart),
    ]
}

/// The increase of a pair, exact; `None` when it is not known.
fn increase_of(before: &Past, now: &Past, series: usize) -> Option<i128> {
    let (old, new) = (before.words[series], now.words[series]);
    if series == 1 && before.epoch != now.epoch {
        None
    } else if new >= old {
        Some(i128::from(new - old))
    } else if series == 0 && old < WRAP && WRAP - old <= 1 << 28 && new < 1 << 28 {
        Some(i128::from(new) + i128::from(WRAP) - i128::from(old))
    } else {
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn steps_are_those_of_the_list_of_everything(
        acts in prop::collection::vec(act(), 1..80),
        after in any::<prop::sample::Index>(),
        up_to in any::<prop::sample::Index>(),
    ) {
        const SERIES: [(&str, &str); 3] = [RECEIVED, TICKS, MEMORY];
        // No slot is reused: what the oracle may look back to is the same.
        let mut recorded = Recorded::new(128, Duration::from_secs(1), &SERIES);
        let mut past: Vec<Past> = Vec::new();
        let (mut wall_ns, mut boot_ns, mut lifetime) = (START, S, 0);
        for act in acts {
            match act {
                Act::Tick { passed_ns, words } => {
                    (wall_ns, boot_ns) = (wall_ns + passed_ns, boot_ns + passed_ns);
                    for ((object, metric), word) in SERIES.iter().zip(words) {
                        recorded.set(object, metric, word);
                    }
                    let seq = recorded.publish(wall_ns, boot_ns, 0, false);
                    let run = past.last().map_or(0, |last| last.run + u64::from(wall_ns <= last.wall_ns));
                    let epoch = recorded.writer().epoch();
                    past.push(Past { seq, wall_ns, boot_ns, run, epoch, lifetime, words });
                }
                Act::ClockSet { to_ns } => wall_ns = wall_ns.saturating_add_signed(to_ns),
                Act::Return => {
                    let column = recorded.schema.column(RECEIVED.0, RECEIVED.1).expect("known");
                    recorded.schema.end(column);
                    recorded.sync();
                    recorded.schema.add(RECEIVED.0, RECEIVED.1).expect("room");
                    recorded.sync();
                    lifetime += 1;
                }
                Act::Restart => recorded.restart(),
            }
        }
        prop_assume!(!past.is_empty());
        let times = [after.get(&past).wall_ns, up_to.get(&past).wall_ns];
        let ring = recorded.writer().ring();
        let after_ns = times[0].min(times[1]) - 1;
        let up_to_ns = times[0].max(times[1]);
        let window = Window::between(&ring, after_ns, up_to_ns);
        let tracks = Track::all(&ring.directory(), |_| true);
        let place = |series: usize| {
            let named = |track: &Track| {
                (&*track.series.object, &*track.series.metric) == SERIES[series]
            };
            tracks.iter().position(named).expect("a track")
        };
        let found = steps_of(&ring, &window, STEP);

        let inside: Vec<&Past> =
            past.iter().filter(|past| past.wall_ns > after_ns && past.wall_ns <= up_to_ns).collect();
        let of_step = |past: &Past| (past.run, past.wall_ns.div_ceil(STEP));
        let expected: Vec<&[&Past]> =
            inside.chunk_by(|a, b| of_step(a) == of_step(b)).collect();
        prop_assert_eq!(found.len(), expected.len());
        for ((step, aggregates), records) in found.iter().zip(expected) {
            prop_assert_eq!(step.records, records.len() as u64);
            prop_assert_eq!((step.first_seq, step.last_seq), (records[0].seq, records[records.len() - 1].seq));
            prop_assert_eq!(step.end_ns, records[0].wall_ns.div_ceil(STEP) * STEP);
            for series in 0..2 {
                let Aggregate::Counter(advance) = aggregates[place(series)] else { panic!("a counter") };
                let (mut increase, mut pairs, mut covered_ns) = (0, 0, 0);
                for now in records.iter().filter(|now| now.words[series] != ABSENT) {
                    let before = past.iter().rev().find(|before| {
                        before.seq < now.seq && before.words[series] != ABSENT
                    });
                    let same = |before: &&Past| series != 0 || before.lifetime == now.lifetime;
                    if let Some(before) = before.filter(same)
                        && let Some(known) = increase_of(before, now, series)
                    {
                        increase += known;
                        pairs += 1;
                        covered_ns += now.boot_ns - before.boot_ns;
                    }
                }
                prop_assert_eq!((advance.sum, advance.pairs), (Sum::Integer(increase), pairs));
                prop_assert_eq!(advance.covered_ns, covered_ns);
            }
            let Aggregate::Gauge(levels) = aggregates[place(2)] else { panic!("a gauge") };
            let words: Vec<u64> =
                records.iter().map(|past| past.words[2]).filter(|word| *word != ABSENT).collect();
            let value = |word: Option<u64>| word.map(Value::U64);
            prop_assert_eq!(levels.count, words.len() as u64);
            prop_assert_eq!(levels.min, value(words.iter().min().copied()));
            prop_assert_eq!(levels.max, value(words.iter().max().copied()));
            prop_assert_eq!(levels.last, value(words.last().copied()));
            prop_assert_eq!(levels.sum, Sum::Integer(words.iter().map(|word| i128::from(*word)).sum()));
        }
    }

    /// Whatever the length of the steps, all increases together are the same.
    #[test]
    fn increases_of_steps_add_up(
        words in prop::collection::vec(word(), 2..60),
        step_ns in 1..30 * S,
        split in 0..70_u64,
    ) {
        let records: Vec<_> = (1..).zip(words).collect();
        let recorded = recorded(RECEIVED, &records);
        let ring = recorded.writer().ring();
        let total = |window: &Window<'_, ReadMap>, step_ns| {
            steps_of(&ring, window, step_ns)
                .iter()
                .map(|(_, found)| counted(&found[0]))
                .fold([0; 4], |[a, b, c, d], (increase, covered_s, resets, wraps, _)| {
                    [a + increase.unwrap_or(0), b + i128::from(covered_s), c + i128::from(resets), d + i128::from(wraps)]
                })
        };
        let all = total(&whole(&ring), STEP);
        prop_assert_eq!(total(&whole(&ring), step_ns), all);
        // Two windows that meet have together what one over both has.
        let at = START + split * S;
        let (left, right) = (Window::between(&ring, 0, at), Window::between(&ring, at, u64::MAX));
        let (left, right) = (total(&left, step_ns), total(&right, step_ns));
        prop_assert_eq!(std::array::from_fn(|index| left[index] + right[index]), all);
    }

    /// Doubles that are multiples of a power of two have exact sums to compare with.
    #[test]
    fn mean_of_doubles_is_exact_where_it_can_be(
        numbers in prop::collection::vec(-(1_i64 << 52)..1 << 52, 1..60),
        shift in 0..40_i32,
    ) {
        let unit = 2.0_f64.powi(-shift);
        let word = |number: &i64| word_of_f64(*number as f64 * unit);
        let mut recorded = Recorded::new(64, Duration::from_secs(1), &[LOAD]);
        for (second, number) in (1..).zip(&numbers) {
            recorded.set(LOAD.0, LOAD.1, word(number));
            recorded.publish(START + second * S, second * S, 0, false);
        }
        let ring = recorded.writer().ring();
        let found = steps_of(&ring, &whole(&ring), 100 * S);
        let sum: i128 = numbers.iter().map(|number| i128::from(*number)).sum();
        let Aggregate::Gauge(levels) = found[0].1[0] else { panic!("a gauge") };
        prop_assert_eq!(levels.sum.as_f64(), Some(sum as f64 * unit));
    }
}

#[test]
fn series_of_the_tests_are_what_they_are_taken_for() {
    let recorded = recorded(RECEIVED, &[(1, 1)]);
    let ring = recorded.writer().ring();
    let track = Track::of(&ring.directory(), RECEIVED.0, RECEIVED.1).expect("a track");
    assert_eq!((track.series.kind, track.series.unit), (Kind::Counter, Unit::Bytes));
    assert_eq!(Track::of(&ring.directory(), "nic/eth1", RECEIVED.1), None);
}
