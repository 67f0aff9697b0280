//! A window has exactly the records that were asked for, whatever the clock did, and says of every
//! place where they do not simply follow one another why.
//!
//! The oracle is a plain list of all that was ever published, searched from end to end.

use std::cell::RefCell;
use std::time::Duration;

use proptest::prelude::*;
use tachograph::window::{Event, GapReason, Grid, Window};

#[path = "support/recorded.rs"]
mod recorded;
use recorded::Recorded;

const S: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * S;
const START: u64 = 20_000 * DAY;
const SLOTS: u64 = 32;
const STEP: u64 = 10 * S;

/// A published record as the model remembers it.
#[derive(Clone, Copy, Debug)]
struct Past {
    seq: u64,
    time_ns: u64,
    epoch: u32,
    epoch_first: bool,
    run_first: bool,
}

/// A recorder and the plain list of what it published.
struct Model {
    recorded: Recorded,
    past: Vec<Past>,
    boottime_ns: u64,
}

/// What happens between two records.
#[derive(Clone, Copy, Debug)]
enum Act {
    Tick { passed_ns: u64 },
    ClockSet { to_ns: i64 },
    Restart,
}

impl Model {
    fn new() -> Self {
        let recorded = Recorded::new(SLOTS, Duration::from_secs(1), &[("tachograph", "ticks")]);
        Self { recorded, past: Vec::new(), boottime_ns: S }
    }

    fn now_ns(&self) -> u64 {
        self.past.last().map_or(START, |past| past.time_ns)
    }

    fn publish(&mut self, time_ns: u64, step: bool) {
        let last = self.past.last().copied();
        let epoch = self.recorded.writer().epoch();
        self.recorded.set("tachograph", "ticks", time_ns ^ 0xABCD);
        let seq = self.recorded.publish(time_ns, self.boottime_ns, 0, step);
        self.past.push(Past {
            seq,
            time_ns,
            epoch,
            epoch_first: last.is_none_or(|last| last.epoch != epoch),
            run_first: last.is_none_or(|last| time_ns <= last.time_ns),
        });
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Tick { passed_ns } => {
                self.boottime_ns += passed_ns;
                self.publish(self.now_ns() + passed_ns, false);
            }
            Act::ClockSet { to_ns } => {
                self.boottime_ns += S;
                self.publish(self.now_ns().saturating_add_signed(to_ns), true);
            }
            Act::Restart => self.recorded.restart(),
        }
    }

    /// What the ring still has.
    fn present(&self) -> &[Past] {
        let kept = self.past.len().saturating_sub(SLOTS as usize);
        &self.past[kept..]
    }

    /// The generations, newest first, with their bases, from the list of everything: (seq, base).
    fn generations(&self) -> Vec<(u64, Option<u64>)> {
        let bucket = |past: &Past| past.time_ns / STEP;
        let starts = |index: usize| {
            let past = &self.past[index];
            past.epoch_first || past.run_first || bucket(past) != bucket(&self.past[index - 1])
        };
        let all: Vec<usize> = (0..self.past.len()).filter(|index| starts(*index)).collect();
        let oldest = self.present().first().map_or(u64::MAX, |past| past.seq);
        // One whose predecessor is gone cannot be told from a later record of its step.
        let is_known = |past: &Past| {
            past.seq > oldest || past.seq == oldest && (past.epoch_first || past.run_first)
        };
        let mut found = Vec::new();
        for position in (0..all.len()).rev() {
            let past = &self.past[all[position]];
            if !is_known(past) {
                break;
            }
            let before = position.checked_sub(1).map(|position| &self.past[all[position]]);
            if past.epoch_first {
                found.push((past.seq, None));
            } else if let Some(before) = before.filter(|before| is_known(before)) {
                found.push((past.seq, Some(before.seq)));
            } else {
                break;
            }
        }
        found
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (1..4 * S).prop_map(|passed_ns| Act::Tick { passed_ns }),
        2 => (1..60 * S).prop_map(|passed_ns| Act::Tick { passed_ns }),
        1 => (-(60 * S as i64)..60 * S as i64).prop_map(|to_ns| Act::ClockSet { to_ns }),
        1 => prop_oneof![Just(DAY as i64), Just(-(DAY as i64))].prop_map(|to_ns| Act::ClockSet { to_ns }),
        1 => Just(Act::Restart),
    ]
}

fn sequences(window: &Window<'_, tachograph::ring::ReadMap>) -> Vec<u64> {
    let records = |event| match event {
        Event::Record(view) => Some(view.seq()),
        Event::Gap(_) => None,
    };
    window.read(|events| events.filter_map(records).collect()).expect("nobody writes meanwhile")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn window_between_two_times_has_every_record_of_that_time(
        acts in prop::collection::vec(act(), 1..90),
        bounds in prop::collection::vec((any::<prop::sample::Index>(), -2..3_i64, any::<prop::sample::Index>(), -2..3_i64), 8),
    ) {
        let mut model = Model::new();
        for act in acts {
            model.act(act);
        }
        let ring = model.recorded.writer().ring();
        for (from, from_by, to, to_by) in bounds {
            if model.past.is_empty() {
                break;
            }
            let at = |index: prop::sample::Index, by: i64| {
                model.past[index.index(model.past.len())].time_ns.saturating_add_signed(by)
            };
            let (after, up_to) = (at(from, from_by), at(to, to_by));
            let wanted = |past: &&Past| past.time_ns > after && past.time_ns <= up_to;
            let expected: Vec<u64> = model.present().iter().filter(wanted).map(|past| past.seq).collect();
            prop_assert_eq!(sequences(&Window::between(&ring, after, up_to)), expected);
        }
        let all: Vec<u64> = model.present().iter().map(|past| past.seq).collect();
        prop_assert_eq!(sequences(&Window::between(&ring, 0, u64::MAX)), all);
    }

    #[test]
    fn generations_are_those_of_the_plain_list(acts in prop::collection::vec(act(), 1..90)) {
        let mut model = Model::new();
        for act in acts {
            model.act(act);
            let ring = model.recorded.writer().ring();
            let found: Vec<_> = Grid::new(&ring, STEP).iter().map(|found| (found.seq, found.base)).collect();
            prop_assert_eq!(found, model.generations());
        }
    }
}

#[test]
fn generation_never_changes_once_it_is_there() {
    let mut model = Model::new();
    let mut seen: std::collections::BTreeMap<u64, Option<u64>> = Default::default();
    for second in 0..200 {
        model.act(match second {
            50 => Act::Restart,
            90 => Act::ClockSet { to_ns: -(25 * S as i64) },
            _ => Act::Tick { passed_ns: S },
        });
        let ring = model.recorded.writer().ring();
        for found in Grid::new(&ring, STEP).iter() {
            let before = *seen.entry(found.seq).or_insert(found.base);
            assert_eq!(before, found.base, "generation {} changed", found.seq);
        }
    }
    assert!(seen.len() > 20, "{} generations", seen.len());
}

#[test]
fn first_record_of_all_is_a_generation_since_boot() {
    let mut model = Model::new();
    model.publish(START + 3 * S, false);
    let ring = model.recorded.writer().ring();
    let newest = Grid::new(&ring, STEP).newest().expect("a newcomer is answered");
    assert_eq!((newest.seq, newest.base), (1, None));
}

#[test]
fn lost_records_are_reported_with_their_number() {
    let mut model = Model::new();
    for _ in 0..100 {
        model.act(Act::Tick { passed_ns: S });
    }
    let ring = model.recorded.writer().ring();
    let events = |first, last| {
        Window::sequences(&ring, first, last)
            .read(|events| {
                let told = |event| match event {
                    Event::Record(view) => Ok(view.seq()),
                    Event::Gap(gap) => Err((gap.before, gap.reason)),
                };
                events.map(told).collect::<Vec<_>>()
            })
            .expect("nobody writes meanwhile")
    };
    let found = events(60, 200);
    let oldest = 100 - SLOTS + 1;
    assert_eq!(found[0], Err((oldest, GapReason::Overrun(oldest - 60))));
    assert_eq!(found[1..], (oldest..=100).map(Ok).collect::<Vec<_>>());
    assert_eq!(events(1, 5), [Err((6, GapReason::Overrun(5)))]);
    assert_eq!(events(101, 200), []);
}

/// The recorder was restarted and missed ticks, and all records before that have been overwritten.
/// A window that asked for them was told how many they are, and not that the rest is a new epoch.
#[test]
fn restart_after_the_last_record_that_was_lost_is_reported_beside_the_loss() {
    let mut model = Model::new();
    model.publish(START, false);
    model.recorded.restart();
    model.recorded.publish(START + 9 * S, 9 * S, 8, false);
    for second in 10..10 + SLOTS - 1 {
        model.recorded.publish(START + second * S, second * S, 0, false);
    }
    let ring = model.recorded.writer().ring();
    let gaps = |first| {
        Window::sequences(&ring, first, SLOTS + 1)
            .read(|events| {
                let told = |event| match event {
                    Event::Record(_) => None,
                    Event::Gap(gap) => Some((gap.before, gap.reason)),
                };
                events.filter_map(told).collect::<Vec<_>>()
            })
            .expect("nobody writes meanwhile")
    };
    let told =
        [GapReason::Overrun(1), GapReason::Missed(8), GapReason::Epoch { to: 2 }].map(|r| (2, r));
    assert_eq!(gaps(1), told);
    assert_eq!(gaps(2), [], "what came before the window is not the window's");
}

#[test]
fn window_tells_whether_its_beginning_is_still_there() {
    let mut model = Model::new();
    for _ in 0..SLOTS {
        model.act(Act::Tick { passed_ns: S });
    }
    let ring = model.recorded.writer().ring();
    assert!(Window::between(&ring, 0, u64::MAX).reaches_back(), "all that ever was");
    model.act(Act::Tick { passed_ns: S });
    let oldest = model.present()[0];
    assert!(!Window::between(&ring, 0, u64::MAX).reaches_back());
    assert!(!Window::between(&ring, oldest.time_ns - 1, u64::MAX).reaches_back());
    assert!(Window::between(&ring, oldest.time_ns, u64::MAX).reaches_back());
    assert!(!Window::sequences(&ring, oldest.seq - 1, SLOTS).reaches_back());
    assert!(Window::sequences(&ring, oldest.seq, SLOTS).reaches_back());
}

#[test]
fn missed_ticks_clock_steps_and_restarts_stand_between_the_records() {
    let mut model = Model::new();
    model.publish(START, false);
    model.recorded.publish(START + 5 * S, 6 * S, 4, false);
    model.recorded.publish(START + DAY, 7 * S, 0, true);
    model.recorded.restart();
    model.recorded.publish(START + DAY + S, 8 * S, 2, true);
    let ring = model.recorded.writer().ring();
    let reasons = Window::newest(&ring, 10)
        .read(|events| {
            let told = |event| match event {
                Event::Record(_) => None,
                Event::Gap(gap) => Some((gap.before, gap.reason)),
            };
            events.filter_map(told).collect::<Vec<_>>()
        })
        .expect("nobody writes meanwhile");
    assert_eq!(
        reasons,
        [
            (2, GapReason::Missed(4)),
            (3, GapReason::ClockStep),
            (4, GapReason::Missed(2)),
            (4, GapReason::ClockStep),
            (4, GapReason::Epoch { to: 2 }),
        ]
    );
}

#[test]
fn window_that_is_overrun_while_it_is_read_begins_again_and_says_what_it_lost() {
    let model = RefCell::new(Model::new());
    for _ in 0..SLOTS {
        model.borrow_mut().act(Act::Tick { passed_ns: S });
    }
    let ring = model.borrow().recorded.writer().ring();
    let window = Window::sequences(&ring, 1, SLOTS);
    let column = ring.find("tachograph", "ticks").expect("a series");
    let tries = RefCell::new(0);
    let (lost, words) = window
        .read(|events| {
            *tries.borrow_mut() += 1;
            let mut lost = 0;
            let mut words = Vec::new();
            for event in events {
                match event {
                    Event::Gap(gap) => match gap.reason {
                        GapReason::Overrun(count) => lost += count,
                        other => panic!("unexpected {other:?}"),
                    },
                    Event::Record(view) => {
                        // In the first try the writer goes on under the reader.
                        if *tries.borrow() == 1 {
                            model.borrow_mut().act(Act::Tick { passed_ns: S });
                        }
                        words.push((view.seq(), view.realtime_ns(), view.value(&column)));
                    }
                }
            }
            (lost, words)
        })
        .expect("the second try is left alone");
    assert_eq!(*tries.borrow(), 2);
    assert_eq!(lost + words.len() as u64, SLOTS, "every record is there or reported");
    for (seq, time_ns, word) in words {
        let past = model.borrow().past[seq as usize - 1];
        assert_eq!((past.seq, past.time_ns), (seq, time_ns));
        assert_eq!(word, Some(tachograph::ring::Value::U64(time_ns ^ 0xABCD)));
    }
}

#[test]
fn empty_ring_has_empty_windows_and_no_generation() {
    let model = Model::new();
    let ring = model.recorded.writer().ring();
    assert!(Window::between(&ring, 0, u64::MAX).is_empty());
    assert!(Window::newest(&ring, 5).is_empty());
    assert!(Window::sequences(&ring, 1, 5).is_empty());
    assert!(Grid::new(&ring, STEP).newest().is_none());
}
