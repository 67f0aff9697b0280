//! One line of the protocol made wrong, for the models to find.

use std::cell::Cell;
use std::sync::Once;
use std::{panic, thread};

use crate::ring::sync::{Ordering, Site};

/// A wrong line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(shuttle, expect(dead_code, reason = "of no effect where all threads see all stores"))]
pub(crate) enum Mutation {
    /// A fence that is not there, or a store that is relaxed.
    Weaker(Site),
    /// A store or a wake-up that is not done.
    LeftOut(Site),
    /// A store that is done after the next step of the writer that has a name: swapped with it.
    Late(Site),
    /// The sleeper compares with what the futex word is when it goes to sleep, and not with what it
    /// was before it looked at the head.
    SeenTooLate,
    /// The first record of a series is published before the directory has the series.
    RecordFirst,
}

thread_local! {
    // A model runs all of its threads on the thread of its test.
    static CHOSEN: Cell<Option<Mutation>> = const { Cell::new(None) };
    static LATE: Cell<bool> = const { Cell::new(false) };
    static IS_STEP: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
}

/// Makes the protocol wrong in the models that this thread runs from now on.
fn choose(mutation: Mutation) {
    CHOSEN.set(Some(mutation));
}

/// Forgets what an execution before has held back.
pub(super) fn begin() {
    LATE.set(false);
    IS_STEP.set(false);
    HELD.set(None);
}

pub(super) fn is(mutation: Mutation) -> bool {
    CHOSEN.get() == Some(mutation)
}

/// The ordering that a site's line has now.
pub(crate) fn order_of(site: Site, order: Ordering) -> Ordering {
    if is(Mutation::Weaker(site)) { Ordering::Relaxed } else { order }
}

/// Whether a site's step is done.
pub(crate) fn performed(site: Site) -> bool {
    let late = is(Mutation::Late(site));
    LATE.set(late);
    IS_STEP.set(!late);
    !is(Mutation::LeftOut(site))
}

/// Whether the store that comes now is one that is to be late; it is held back.
pub(super) fn holds_back(index: usize, value: u64) -> bool {
    let late = LATE.take();
    if late {
        HELD.set(Some((index, value)));
    }
    late
}

/// What was held back until the step that has just been done, if it was one with a name.
pub(super) fn overdue() -> Option<(usize, u64)> {
    if IS_STEP.take() { HELD.take() } else { None }
}

thread_local! {
    static IS_EXPECTED_TO_FAIL: Cell<bool> = const { Cell::new(false) };
}

/// Panics of mutants are what is asked for, and are not printed.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_EXPECTED_TO_FAIL.get() {
                usual(info);
            }
        }));
    });
}

/// Runs a model on a mutant, on a thread of its own; what it failed with, if it did.
pub(super) fn failure_of(
    mutation: Mutation,
    model: impl FnOnce() + Send + 'static,
) -> Option<String> {
    quieten();
    let run = thread::spawn(move || {
        IS_EXPECTED_TO_FAIL.set(true);
        choose(mutation);
        model();
    });
    run.join().err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}
