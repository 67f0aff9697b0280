//! The futex word `notify`: how a reader sleeps until the next record, and misses none.
//!
//! The word changes after each record and the kernel compares it with what the reader saw before it
//! looked: so either the reader saw the record, or the word has changed and it does not sleep, or it
//! sleeps by the time of the wake-up. The lines are marked as in `slot.rs`, and:
//!
//! - **D**: the store of `notify` is a release. A reader that saw it and passes its fence sees the
//!   head that goes with it, and does not go to sleep on a word that will not change again.
//! - **G**: the state `RETIRED` is stored after the last record, and before `notify` changes once
//!   more; both stores are releases. A reader that saw the state and passes its second fence sees the
//!   last head; one that saw the change sees the state.

use core::time::Duration;
use std::time::Instant;

use super::Ring;
use super::layout::{header as at, state};
use super::reader::Wait;
use super::sync::{self, Ordering, Site};
use super::words::{Words, WordsMut};

/// A word of 32 bits on which readers sleep.
pub(super) trait Notify {
    /// Loads the word, relaxed.
    fn load(&self) -> u32;

    /// Stores the word.
    fn store(&self, value: u32, order: Ordering);

    /// Adds one to the word, so that it differs from what any sleeper saw.
    fn add_one(&self, order: Ordering);

    /// Sleeps until the word is woken or `timeout` is over; not at all if the word is not `seen`.
    /// May return for no reason.
    fn sleep(&self, seen: u32, timeout: Duration);

    /// Wakes all that sleep.
    fn wake(&self);
}

/// Longest sleep in one piece: a reader of a damaged ring looks around from time to time.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Says that the record `seq` has been published. Those who sleep already are woken by [`wake`].
#[inline]
pub(super) fn announce<N: Notify>(notify: &N, seq: u64) {
    if sync::performed(Site::Notify) {
        notify.store(seq as u32, sync::order_of(Site::Notify, Ordering::Release)); // D
    }
}

/// Wakes the readers that sleep until the next record.
pub(super) fn wake<N: Notify>(notify: &N) {
    if sync::performed(Site::Wake) {
        notify.wake();
    }
}

/// Says that no record will follow, as far as this writer goes.
pub(super) fn close<W: WordsMut, N: Notify>(words: &W, notify: &N) {
    sync::store_release(words, Site::Closed, at::STATE, state::CLOSED); // G
    notify.wake();
}

/// Says that another file has taken this ring's place, to those who sleep as well.
pub(super) fn retire<W: WordsMut, N: Notify>(words: &W, notify: &N) {
    sync::store_release(words, Site::Retired, at::STATE, state::RETIRED); // G
    if sync::performed(Site::RetiredNotify) {
        notify.add_one(sync::order_of(Site::RetiredNotify, Ordering::Release)); // G
    }
    if sync::performed(Site::RetiredWake) {
        notify.wake();
    }
}

/// Sleeps until a record after `seq` is published in `ring`, it is retired, or `timeout` is over. A
/// reader that is `stranded` has no other file to go to: to it, saying so at once would only make a
/// loop spin.
pub(super) fn wait<W: Words, N: Notify>(
    ring: &Ring<W>,
    notify: &N,
    seq: u64,
    stranded: bool,
    timeout: Duration,
) -> Wait {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        // Before the head: a record published after this load changes the word, and the kernel
        // then refuses to sleep.
        let seen = notify.load();
        sync::fence(Site::FoundNotify, Ordering::Acquire); // D, G
        // Before the head as well: once the ring is retired, the head that follows is its last.
        let is_retired = ring.state() == state::RETIRED; // G
        let head = ring.head();
        if head > seq {
            return Wait::Published(head);
        }
        if is_retired && !stranded {
            return Wait::Retired;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Wait::TimedOut;
        }
        // However this returns, it means the same: look again.
        notify.sleep(seen, left.unwrap_or(SLEEP_MAX).min(SLEEP_MAX));
    }
}

impl Notify for core::sync::atomic::AtomicU32 {
    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn add_one(&self, order: Ordering) {
        self.fetch_add(1, order);
    }

    fn sleep(&self, seen: u32, timeout: Duration) {
        use rustix::thread::futex;
        let timeout = rustix::time::Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // Not private: the writer is another process.
        let _ = futex::wait(self, futex::Flags::empty(), seen, Some(&timeout));
    }

    fn wake(&self) {
        use rustix::thread::futex;
        // Not private: the readers are other processes. It fails only for addresses that are not ours.
        let _ = futex::wake(self, futex::Flags::empty(), i32::MAX as u32);
    }
}
