//! Models of the directory: a reader that read a record, and then finds the directory as it knows
//! it, knows each series of that record, and takes none for another.

use super::changes::{begin, directory_of, end};
use super::explorer::explore;
use super::mutation::{self, Mutation};
use super::words::{ModelRing, put, read, ring, series, whole, word};
use crate::ring::Directory;
use crate::ring::file::RingFile;

/// Record 1 has the first series, in column 0. Then the directory changes by `change`, record 2 is
/// published, and `look` runs all the while.
fn check(change: fn(&mut RingFile<ModelWords>), look: fn(&ModelRing)) {
    explore(2, move |first| {
        let ring = ring(2, true);
        let mut file = directory_of(ring.clone());
        begin(&mut file, 0, 0, 1);
        file.write_entries(0);
        put(&ring, 1, whole(1));
        let write = move || {
            if mutation::is(Mutation::RecordFirst) {
                put(&file.ring, 2, whole(2));
                change(&mut file);
            } else {
                change(&mut file);
                put(&file.ring, 2, whole(2));
            }
        };
        first.run(write, move || look(&ring));
    });
}

type ModelWords = std::sync::Arc<super::words::Modelled>;

/// Which series the record `seq` has, by the directory: the numbers of those in either column.
fn series_of(directory: &Directory, seq: u64) -> [Option<usize>; 2] {
    [0, 1].map(|column| {
        let covers = |entry: &&crate::ring::Entry| entry.column == column && entry.covers(seq);
        let mut covering = directory.iter().filter(covers);
        let found = covering.next().map(|entry| {
            let same = |number: &usize| series(*number) == entry.series;
            (0..3).find(same).expect("an entry is never seen half")
        });
        assert_eq!(covering.next(), None, "one word of two series");
        found
    })
}

/// Reads what there is and asks the directory about it, by a snapshot from before.
fn knows(ring: &ModelRing, directory: &Directory, expected: fn(u64) -> [Option<usize>; 2]) {
    assert_eq!(directory.damaged(), 0, "an entry seen half");
    for seq in [2, 1] {
        let found = read(ring, seq);
        if found.is_ok() && directory.is_current(ring) {
            assert_eq!(found, Ok(whole(seq)), "torn");
            assert_eq!(series_of(directory, seq), expected(seq), "record {seq}");
        }
    }
}

fn appended_to(file: &mut RingFile<ModelWords>) {
    begin(file, 1, 1, 2);
    file.write_entries(1);
}

fn after_appending(seq: u64) -> [Option<usize>; 2] {
    [Some(0), (seq == 2).then_some(1)]
}

pub(super) fn appended() {
    check(appended_to, |ring| knows(ring, &ring.directory(), after_appending));
}

pub(super) fn updated() {
    check(appended_to, |ring| {
        let mut directory = ring.directory();
        directory.update(ring);
        knows(ring, &directory, after_appending);
    });
}

pub(super) fn ended() {
    let change: fn(&mut RingFile<ModelWords>) = |file| {
        end(file, 0, 0, 1);
        file.write_ends();
    };
    check(change, |ring| {
        let expected = |seq| [(seq == 1).then_some(0), None];
        knows(ring, &ring.directory(), expected);
    });
}

fn taken_over(file: &mut RingFile<ModelWords>) {
    end(file, 0, 0, 1);
    begin(file, 1, 0, 2);
    file.write_entries(1);
}

pub(super) fn replaced() {
    check(taken_over, |ring| {
        knows(ring, &ring.directory(), |seq| [Some(if seq == 2 { 1 } else { 0 }), None]);
    });
}

pub(super) fn column_taken_over() {
    check(taken_over, |ring| {
        let name = |number| series(number).object;
        let columns = [0, 1].map(|number| ring.find(&name(number), "m"));
        for seq in [2, 1] {
            for (number, column) in columns.iter().enumerate() {
                let Some(column) = column else { continue };
                let Ok(value) = ring.read(seq, |view| view.u64(column)) else { continue };
                let own = seq == number as u64 + 1;
                assert_eq!(value, own.then_some(word(seq, 0)), "series {number} in record {seq}");
            }
        }
    });
}

mod loom_model {
    #[test]
    fn series_of_a_record_are_known_to_a_directory_that_is_current() {
        super::appended();
    }

    #[test]
    fn directory_brought_up_to_date_is_as_one_read_anew() {
        super::updated();
    }

    #[test]
    fn series_that_has_ended_is_in_no_later_record() {
        super::ended();
    }

    #[test]
    fn column_has_one_series_in_each_record() {
        super::replaced();
    }

    #[test]
    fn column_that_is_taken_over_is_never_taken_for_the_old_one() {
        super::column_taken_over();
    }
}
