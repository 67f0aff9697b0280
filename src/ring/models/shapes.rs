//! Larger shapes than loom can go through, in many random interleavings: several readers and laps, a
//! writer that is killed and comes again, directories that change all the time, rings that are
//! replaced, and more sleepers than one.
//!
//! All threads see all stores at once here; what a weaker memory adds is loom's part. A failure
//! prints the schedule that led to it, which `shuttle::replay` takes.

use core::time::Duration;
use std::sync::Arc;

use shuttle::rand::Rng as _;
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, FailurePersistence, Runner};

use super::changes::{begin, directory_of, end, go_on};
use super::mutation::Mutation::{self, LeftOut, SeenTooLate};
use super::mutation::failure_of;
use super::words::{
    ModelRing, Mortal, Mutex, publish, put, read, ring, series, thread, whole, word,
};
use crate::ring::recover::copy_history;
use crate::ring::sync::Site;
use crate::ring::{ReadError, Wait, audit, notify};

/// Interleavings by chance, and as many in which few preemptions are placed by chance.
const RANDOM: usize = 20_000;
const PLACED: usize = 10_000;
/// How many preemptions those have.
const PREEMPTIONS: usize = 4;

fn explore(model: fn()) {
    shuttle::check_random(model, RANDOM);
    shuttle::check_pct(model, PLACED, PREEMPTIONS);
}

/// A mutant, and the shape that finds it: one of each shape, so that none is blind. What is found
/// only where stores are seen late is loom's part.
const MUTANTS: &[(Mutation, &str, fn())] = &[
    (LeftOut(Site::Invalidated), "readers_of_several_laps", readers_of_several_laps),
    (
        LeftOut(Site::Invalidated),
        "writers_killed_one_after_another",
        writers_killed_one_after_another,
    ),
    (LeftOut(Site::SeriesEnd), "columns_that_change_hands", columns_that_change_hands),
    (LeftOut(Site::SeriesEnd), "change_that_is_cut_off", change_that_is_cut_off),
    (LeftOut(Site::RetiredWake), "ring_that_is_replaced", ring_that_is_replaced),
    (SeenTooLate, "ring_that_is_replaced", ring_that_is_replaced),
];

/// As [`explore`], of a model that is to fail: nobody wants to replay that.
fn explore_mutant(model: fn()) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    Runner::new(RandomScheduler::new(RANDOM), config).run(model);
}

/// Runs all of them side by side.
fn all(threads: Vec<Box<dyn FnOnce() + Send>>) {
    let running: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    running.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
}

/// Reads what the ring has, `times` times: nothing is torn, and the head is there or gone.
fn follow(ring: &ModelRing, times: usize) {
    for _ in 0..times {
        let Some((oldest, head)) = ring.bounds() else { continue };
        match read(ring, head) {
            Ok(found) => assert_eq!(found, whole(head), "torn"),
            Err(error) => assert_eq!(error, ReadError::Overrun, "the head {head}"),
        }
        if let Ok(found) = ring.peek(oldest).map(super::words::columns)
            && ring.vouch(oldest).is_ok()
        {
            assert_eq!(found, whole(oldest), "torn");
        }
        if let Some((seq, found)) = ring.latest(|view| (view.seq(), super::words::columns(view))) {
            assert_eq!(found, whole(seq), "torn");
        }
    }
}

fn readers_of_several_laps() {
    let ring = ring(4, false);
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for _ in 0..3 {
        let ring = ring.clone();
        threads.push(Box::new(move || follow(&ring, 4)));
    }
    let audited = ring.clone();
    threads.push(Box::new(move || assert_eq!(audit(&audited).damaged_slots, 0)));
    threads.push(Box::new(move || (1..=13).for_each(|seq| put(&ring, seq, whole(seq)))));
    all(threads);
}

/// Each writer publishes some records and is killed somewhere in the next one.
fn writers_killed_one_after_another() {
    let ring = ring(2, false);
    let accepted = Arc::new(Mutex::new(vec![None; 64]));
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for _ in 0..2 {
        let (ring, accepted) = (ring.clone(), accepted.clone());
        threads.push(Box::new(move || {
            for _ in 0..6 {
                let head = ring.head();
                let Ok(found) = read(&ring, head) else { continue };
                assert_eq!(found[1], found[0] + 1, "torn");
                let mut accepted = accepted.lock().expect("nobody panics with it");
                let before = accepted[head as usize].replace(found);
                assert!(before.is_none_or(|before| before == found), "two records of {head}");
            }
        }));
    }
    threads.push(Box::new(move || {
        for life in 1..=4 {
            let head = super::changes::recover(&ring);
            let mortal = Mortal::of(&ring, shuttle::rand::thread_rng().gen_range(0..30));
            for seq in head + 1..=head + 3 {
                let first = word(seq, 0) + 1000 * life;
                put(&mortal, seq, [first, first + 1]);
            }
        }
    }));
    all(threads);
}

/// Series come and go in both columns; whoever holds a column of one never takes another's word.
fn columns_that_change_hands() {
    let ring = ring(4, true);
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for _ in 0..2 {
        let ring = ring.clone();
        threads.push(Box::new(move || {
            let mut directory = ring.directory();
            for _ in 0..4 {
                directory.update(&ring);
                assert_eq!(directory.damaged(), 0, "an entry seen half");
                let columns = [0, 1, 2].map(|number| ring.find(&series(number).object, "m"));
                let head = ring.head();
                let values = ring.read(head, |view| columns.map(|column| view.u64(&column?)));
                let Ok(values) = values else { continue };
                // In record s of this model column 0 has series s mod 3.
                for (number, value) in values.into_iter().enumerate() {
                    let own = head % 3 == number as u64;
                    assert!(value.is_none_or(|value| own && value == word(head, 0)), "{number}");
                }
                if directory.is_current(&ring) {
                    let covering: Vec<_> =
                        directory.iter().filter(|entry| entry.covers(head)).collect();
                    assert_eq!(covering.len(), 1, "series of record {head}");
                    assert_eq!(covering[0].series, series(head as usize % 3));
                }
            }
        }));
    }
    threads.push(Box::new(move || {
        let mut file = directory_of(ring);
        for seq in 1..=4 {
            if seq > 1 {
                end(&mut file, 0, seq as usize - 2, seq - 1);
            }
            begin(&mut file, seq as usize % 3, 0, seq);
            file.write_entries(seq - 1);
            put(&file.ring, seq, whole(seq));
        }
    }));
    all(threads);
}

/// A writer dies somewhere in a change of the directory, and another goes on.
fn change_that_is_cut_off() {
    let ring = ring(4, true);
    let reader = ring.clone();
    let read_on: Box<dyn FnOnce() + Send> = Box::new(move || {
        for _ in 0..4 {
            let directory = reader.directory();
            assert_eq!(directory.damaged(), 0, "an entry seen half");
            let head = reader.head();
            if read(&reader, head).is_ok() && directory.is_current(&reader) {
                let covering = directory.iter().filter(|entry| entry.covers(head));
                assert_eq!(covering.count(), 1, "series of record {head}");
            }
        }
    });
    let write = Box::new(move || {
        let mut file = directory_of(ring.clone());
        begin(&mut file, 0, 0, 1);
        file.write_entries(0);
        put(&ring, 1, whole(1));
        let stores = shuttle::rand::thread_rng().gen_range(0..14);
        super::changes::be_killed_changing(&file, Mortal::of(&ring, stores));
        go_on(ring);
    });
    all(vec![read_on, write]);
}

/// A ring is copied and replaced; those who sleep on it follow.
fn ring_that_is_replaced() {
    let (old, new) = (ring(4, false), ring(4, false));
    // What the name stands for.
    let named = Arc::new(Mutex::new(old.clone()));
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for _ in 0..3 {
        let named = named.clone();
        threads.push(Box::new(move || {
            let mut ring = named.lock().expect("nobody panics with it").clone();
            let mut seq = 0;
            while seq < 6 {
                match notify::wait(&ring, &**ring.words(), seq, false, Duration::MAX) {
                    Wait::Published(head) => {
                        follow(&ring, 1);
                        seq = head;
                    }
                    Wait::Retired => {
                        assert!(seq >= 3, "the last record of the old ring was not seen");
                        ring = named.lock().expect("nobody panics with it").clone();
                    }
                    Wait::TimedOut => unreachable!("there is no end to the time"),
                }
            }
        }));
    }
    threads.push(Box::new(move || {
        (1..=3).for_each(|seq| publish(&old, old.words(), seq));
        let never = std::sync::atomic::AtomicBool::new(false);
        copy_history(&old, &new, 1, 3, &never);
        super::words::state_head(&new, 3);
        *named.lock().expect("nobody panics with it") = new.clone();
        notify::retire(old.words(), &**old.words());
        (4..=6).for_each(|seq| publish(&new, new.words(), seq));
    }));
    all(threads);
}

mod shuttle_model {
    use super::*;

    #[test]
    fn each_shape_finds_a_mutant() {
        for (mutation, name, model) in MUTANTS {
            let model = *model;
            let found = failure_of(*mutation, move || explore_mutant(model));
            let message = found.as_deref().and_then(|message| message.lines().next());
            let mutant = format!("{mutation:?}");
            eprintln!("mutant: {mutant:30} found by shapes::{name:32} {message:?}");
            assert!(found.is_some(), "{mutant} is not found by {name}");
        }
    }

    #[test]
    fn readers_of_several_laps_see_no_tear() {
        explore(readers_of_several_laps);
    }

    #[test]
    fn writers_killed_one_after_another_leave_no_tear_and_no_second_record() {
        explore(writers_killed_one_after_another);
    }

    #[test]
    fn columns_that_change_hands_are_never_mistaken() {
        explore(columns_that_change_hands);
    }

    #[test]
    fn change_that_is_cut_off_leaves_a_sound_directory() {
        explore(change_that_is_cut_off);
    }

    #[test]
    fn sleepers_on_a_ring_that_is_replaced_are_woken_and_follow() {
        explore(ring_that_is_replaced);
    }
}
