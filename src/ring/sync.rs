//! What orders the stores and loads of a ring: each fence and each ordered store of the protocol,
//! under its own name.
//!
//! A fence looks superfluous on the machine at hand, so that tests which merely run cannot tell
//! whether it is needed. Here each such line names its [`Site`]. In a build for models the sites can
//! be made weaker one at a time, and the models must then fail; in any other build the name is
//! nothing.

#[cfg(not(any(loom, shuttle)))]
use core::sync::atomic::fence as fence_of_kind;
#[cfg(loom)]
use loom::sync::atomic::fence as fence_of_kind;
#[cfg(shuttle)]
use shuttle::sync::atomic::fence as fence_of_kind;

pub(crate) use core::sync::atomic::Ordering;

use super::words::WordsMut;

macro_rules! sites {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A line of the protocol that orders what comes before it and what comes after it. The
        /// letters are those of the format's description.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Site {
            $($(#[$doc])* $name,)*
        }

        impl Site {
            /// All of them.
            #[cfg(all(test, loom))]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

sites! {
    /// A: the store that says a slot is being written.
    Invalidated,
    /// A: the writer's fence between that store and the words.
    BeforeWords,
    /// A: the reader's fence between the words and its second look at the slot.
    AfterWords,
    /// A: the same of a window that is checked once.
    AfterWindow,
    /// B: the store that says a record is stable.
    Stable,
    /// B: the reader's fence between its first look at the slot and the words.
    FoundStable,
    /// C: the store of the head.
    Head,
    /// C: the store of the head that a writer finds when it comes to an old ring.
    HeadFound,
    /// C: the reader's fence after its look at the head.
    FoundHead,
    /// C: an audit's fence before its second look at the head.
    AfterSlots,
    /// D: the store of the futex word after a publish.
    Notify,
    /// D: the wake-up after it.
    Wake,
    /// D: the sleeper's fence between the futex word and the head.
    FoundNotify,
    /// E: an entry's `last`, stored after its other words.
    EntryLast,
    /// E: the store of the count that covers new entries.
    EntryCount,
    /// E: the reader's fence between the count and the entries.
    FoundCount,
    /// F: the `last` of a series that ends.
    SeriesEnd,
    /// F: the store of the count of changes after series have ended.
    ChangesOfEnds,
    /// F: the same after entries were appended.
    ChangesOfEntries,
    /// F: the reader's fence between the count of changes and the count of entries.
    FoundChanges,
    /// G: the store of a writer's state when it has come.
    Running,
    /// G: the same when it ends.
    Closed,
    /// G: the same when another file has taken this one's place.
    Retired,
    /// G: the reader's fence between the state and the head.
    FoundState,
    /// G: what changes the futex word after that.
    RetiredNotify,
    /// G: the wake-up after it.
    RetiredWake,
}

/// A fence of the protocol.
#[inline(always)]
pub(crate) fn fence(site: Site, order: Ordering) {
    if order_of(site, order) == order {
        fence_of_kind(order);
    }
}

/// A relaxed store whose place among the others matters.
#[inline(always)]
pub(crate) fn store<W: WordsMut + ?Sized>(words: &W, site: Site, index: usize, value: u64) {
    if performed(site) {
        words.store(index, value);
    }
}

/// A release store of the protocol.
#[inline(always)]
pub(crate) fn store_release<W: WordsMut + ?Sized>(words: &W, site: Site, index: usize, value: u64) {
    match order_of(site, Ordering::Release) {
        _ if !performed(site) => {}
        Ordering::Release => words.store_release(index, value),
        _ => words.store(index, value),
    }
}

/// The ordering with which a site's store is done: the one that the protocol asks for.
#[cfg(not(any(loom, shuttle)))]
#[inline(always)]
pub(crate) fn order_of(_site: Site, order: Ordering) -> Ordering {
    order
}

/// Whether a site's step is done at all: always.
#[cfg(not(any(loom, shuttle)))]
#[inline(always)]
pub(crate) fn performed(_site: Site) -> bool {
    true
}

#[cfg(any(loom, shuttle))]
pub(crate) use super::models::mutation::{order_of, performed};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Where orderings are handed on, and not chosen.
    const HAND_ON: &[&str] = &["sync.rs", "words.rs", "map.rs"];

    /// A line of the protocol that does not say which one it is has no mutant, and so nobody would
    /// know whether a model needs it.
    #[test]
    fn each_line_that_orders_others_names_its_site() {
        let mut named = 0;
        let ring = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ring");
        for file in fs::read_dir(ring).expect("the sources can be listed") {
            let file = file.expect("listed").path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if HAND_ON.contains(&&*name) || file.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            for line in fs::read_to_string(&file).expect("a source is text").lines() {
                let code = line.split("//").next().unwrap_or_default();
                let orders =
                    ["fence(", "store_release(", "::Release", "::Acquire", "AcqRel", "SeqCst"];
                if orders.iter().any(|word| code.contains(word)) {
                    assert!(code.to_lowercase().contains("site"), "{name}: {line}");
                    named += 1;
                }
            }
        }
        assert!(named > 15, "of the protocol's lines only {named} were found");
    }
}
