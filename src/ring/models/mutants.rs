//! The table of mutants: each line of the protocol made wrong in each way that it can be, and the
//! model that finds it.
//!
//! A mutant that nothing finds stands there as well, with the reason why none can, and is run
//! through the models that come nearest: should one of them find it one day, the reason was wrong.

use std::time::Instant;

use super::mutation::Mutation::{self, Late, LeftOut, RecordFirst, SeenTooLate, Weaker};
use super::mutation::failure_of;
use super::{copies, entries, killed, records, sleepers};
use crate::ring::sync::Site;

/// A model, by its name.
type Model = (&'static str, fn());

const BY_THE_HEAD: Model = ("records::by_the_head", records::by_the_head);
const POLLED: Model = ("records::polled", records::polled);
const WINDOW: Model = ("records::window", records::window);
const CLOSED: Model = ("records::closed", records::closed);
const AUDITED: Model = ("records::audited", records::audited);
const COPIED: Model = ("copies::copied", copies::copied);
const APPENDED: Model = ("entries::appended", entries::appended);
const ENDED: Model = ("entries::ended", entries::ended);
const TAKEN_OVER: Model = ("entries::column_taken_over", entries::column_taken_over);
const PUBLISHED: Model = ("sleepers::published", sleepers::published);
const RETIRED: Model = ("sleepers::retired", sleepers::retired);
const BOTH: Model = ("sleepers::published_and_retired", sleepers::published_and_retired);
const KILLED: Model = ("killed::publishing", killed::publishing);

/// What becomes of a mutant.
enum Fate {
    /// This model fails, with these words in its message.
    FoundBy(Model, &'static str),
    /// These models, the nearest, do not: there is a reason.
    Survives(&'static [Model], &'static str),
}
use Fate::{FoundBy, Survives};

const LOST: &str = "deadlock";

const MUTANTS: &[(Mutation, Fate)] = &[
    // A: a word of a record says that its slot was invalidated before.
    (LeftOut(Site::Invalidated), FoundBy(POLLED, "torn")),
    (Weaker(Site::BeforeWords), FoundBy(POLLED, "torn")),
    (Weaker(Site::AfterWords), FoundBy(POLLED, "torn")),
    (Weaker(Site::AfterWords), FoundBy(COPIED, "torn")),
    (Weaker(Site::AfterWindow), FoundBy(WINDOW, "torn")),
    // B: a stable record is whole.
    (LeftOut(Site::Stable), FoundBy(BY_THE_HEAD, "the head is always stable or gone")),
    (Weaker(Site::Stable), FoundBy(POLLED, "torn")),
    (Weaker(Site::FoundStable), FoundBy(POLLED, "torn")),
    (Late(Site::Stable), FoundBy(BY_THE_HEAD, "the head is always stable or gone")),
    // C: who comes by the head finds the record.
    (LeftOut(Site::Head), FoundBy(PUBLISHED, LOST)),
    (Weaker(Site::Head), FoundBy(BY_THE_HEAD, "the head is always stable or gone")),
    (Weaker(Site::FoundHead), FoundBy(BY_THE_HEAD, "the head is always stable or gone")),
    (LeftOut(Site::HeadFound), FoundBy(KILLED, "is stated")),
    (Weaker(Site::HeadFound), FoundBy(KILLED, "the head")),
    (Weaker(Site::AfterSlots), FoundBy(AUDITED, "damaged_slots")),
    // D: nobody sleeps through a record.
    (LeftOut(Site::Notify), FoundBy(PUBLISHED, LOST)),
    (Weaker(Site::Notify), FoundBy(PUBLISHED, LOST)),
    (Late(Site::Notify), FoundBy(PUBLISHED, LOST)),
    (Late(Site::Head), FoundBy(PUBLISHED, LOST)),
    (LeftOut(Site::Wake), FoundBy(PUBLISHED, LOST)),
    (Weaker(Site::FoundNotify), FoundBy(RETIRED, LOST)),
    (SeenTooLate, FoundBy(PUBLISHED, LOST)),
    // E: an entry that is counted is whole.
    (LeftOut(Site::EntryLast), FoundBy(APPENDED, "record")),
    (Late(Site::EntryLast), FoundBy(APPENDED, "an entry seen half")),
    (LeftOut(Site::EntryCount), FoundBy(APPENDED, "record")),
    (Weaker(Site::EntryCount), FoundBy(APPENDED, "half")),
    (Late(Site::EntryCount), FoundBy(APPENDED, "record 2")),
    (Weaker(Site::FoundCount), FoundBy(APPENDED, "half")),
    // F: who finds the number of changes unchanged knows all changes.
    (LeftOut(Site::SeriesEnd), FoundBy(ENDED, "record 2")),
    (Late(Site::SeriesEnd), FoundBy(ENDED, "record 2")),
    (LeftOut(Site::SeriesEnd), FoundBy(TAKEN_OVER, "series 0 in record 2")),
    (LeftOut(Site::ChangesOfEnds), FoundBy(ENDED, "record 2")),
    (Weaker(Site::ChangesOfEnds), FoundBy(ENDED, "record 2")),
    (LeftOut(Site::ChangesOfEntries), FoundBy(APPENDED, "record 2")),
    (Weaker(Site::ChangesOfEntries), FoundBy(APPENDED, "record 2")),
    (Weaker(Site::FoundChanges), FoundBy(APPENDED, "record 2")),
    (RecordFirst, FoundBy(APPENDED, "record 2")),
    (RecordFirst, FoundBy(TAKEN_OVER, "series 0 in record 2")),
    // G: nobody sleeps on a ring that is retired.
    (LeftOut(Site::Retired), FoundBy(RETIRED, LOST)),
    (Late(Site::Retired), FoundBy(RETIRED, LOST)),
    (Weaker(Site::Retired), FoundBy(BOTH, "Published(2)")),
    (Weaker(Site::FoundState), FoundBy(BOTH, "Published(2)")),
    (LeftOut(Site::RetiredNotify), FoundBy(RETIRED, LOST)),
    (Weaker(Site::RetiredNotify), FoundBy(RETIRED, LOST)),
    (LeftOut(Site::RetiredWake), FoundBy(RETIRED, LOST)),
    (LeftOut(Site::Closed), FoundBy(CLOSED, "is not said")),
    (Weaker(Site::Closed), FoundBy(CLOSED, "the last head")),
    (Weaker(Site::FoundState), FoundBy(CLOSED, "the last head")),
    (
        Weaker(Site::Running),
        Survives(&[], "in no model: it orders the epoch, which readers come to by a record alone"),
    ),
];

mod loom_model {
    use super::*;

    #[test]
    fn each_mutant_is_found_by_a_model_or_cannot_be() {
        let mut wrong = Vec::new();
        eprintln!("mutants: {}", MUTANTS.len());
        for (mutation, fate) in MUTANTS {
            let begun = Instant::now();
            let mutant = format!("{mutation:?}");
            match fate {
                FoundBy((name, model), words) => {
                    let found = failure_of(*mutation, *model);
                    let message = found.as_deref().unwrap_or("NOT FOUND");
                    let line = message.lines().next().unwrap_or_default();
                    let ms = begun.elapsed().as_millis();
                    eprintln!("mutant: {mutant:30} found by {name:32} {ms:6} ms  {line}");
                    if !found.is_some_and(|message| message.contains(words)) {
                        wrong.push(mutant);
                    }
                }
                Survives(models, reason) => {
                    eprintln!("mutant: {mutant:30} survives: {reason}");
                    for (name, model) in *models {
                        if let Some(message) = failure_of(*mutation, *model) {
                            wrong.push(format!("{mutant} by {name}: {message}"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "not as the table says: {wrong:#?}");
    }

    /// A new line of the protocol comes with a mutant.
    #[test]
    fn each_line_of_the_protocol_has_a_mutant() {
        for site in Site::ALL {
            let of_site = |mutation: &Mutation| matches!(mutation, Weaker(of) | LeftOut(of) | Late(of) if of == site);
            assert!(MUTANTS.iter().any(|(mutation, _)| of_site(mutation)), "{site:?} has none");
        }
    }
}
