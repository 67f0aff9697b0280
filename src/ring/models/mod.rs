//! The ring's protocol under interleavings that no test machine may ever show.
//!
//! The code that is modelled is the code that runs: it is generic over its words, and here they are
//! atomics of a model checker, whose threads, fences and stale values it explores. loom
//! (`--cfg loom`) goes through every execution that the memory model allows of a small shape, within
//! a bound of preemptions; shuttle (`--cfg shuttle`) goes through many of a larger one, in which all
//! threads see all stores at once.
//!
//! A model that cannot fail proves nothing. So [`mutation`] breaks the protocol one line at a time,
//! and a table says which model finds each.

mod changes;
#[cfg(loom)]
mod copies;
#[cfg(loom)]
mod entries;
#[cfg(loom)]
mod explorer;
#[cfg(loom)]
mod killed;
#[cfg(loom)]
mod mutants;
pub(super) mod mutation;
#[cfg(loom)]
mod records;
#[cfg(shuttle)]
mod shapes;
#[cfg(loom)]
mod sleepers;
mod words;
