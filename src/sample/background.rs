//! Readings that may block, each on a thread of its own.
//!
//! `statfs` of a dead network mount, a kstat behind a pool that does I/O, a sensor on a slow bus:
//! none of these may hold up a tick. A [`Background`] reads at its own pace and hands over what it
//! found; a tick takes the newest of that, with its age, and never waits: the two meet at a lock that
//! is only ever tried. A reading that takes longer than [`DEADLINE`] counts as *stuck* until it
//! returns, and is not begun a second time.
//!
//! Nothing can end a thread that the kernel holds. One whose [`Background`] is dropped ends by itself
//! once it is let go; until then it counts among the [`THREADS_MAX`].

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::SampleError;

/// A reading that takes longer than this is stuck.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Shortest time between two readings: what is read here changes slowly.
pub(super) const PERIOD_MIN: Duration = Duration::from_secs(1);
/// Most of these threads in the process, those included that nobody waits for any more.
pub(super) const THREADS_MAX: usize = 512;
/// What a reading needs of the stack, and more: paths, and a line of text at a time.
const STACK_BYTES: usize = 256 << 10;
/// How often [`Background::settle`] looks.
const SETTLE_POLL: Duration = Duration::from_micros(200);

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// What a thread found last, and how long ago.
#[derive(Debug)]
pub(super) struct Latest<'a, T> {
    /// What was found. After an error it is what could be understood.
    pub(super) value: &'a T,
    /// How the reading ended; `None` before the first one has.
    pub(super) outcome: Option<Result<(), SampleError>>,
    /// Time since the reading began, in nanoseconds; 0 before the first one has ended.
    pub(super) age_ns: u64,
    /// Whether a reading began more than [`DEADLINE`] ago and has not ended.
    pub(super) stuck: bool,
    /// Whether this was not there at the last look.
    pub(super) is_new: bool,
}

/// A reading on a thread of its own.
#[derive(Debug)]
pub(super) struct Background<T> {
    shared: Arc<Shared<T>>,
    thread: Thread,
    /// What the last look found.
    seen: Found<T>,
    /// Number of the reading that was told last.
    told: u64,
}

#[derive(Debug)]
struct Shared<T> {
    /// When the reading that goes on began, on the boot clock; 0 while there is none.
    began_ns: AtomicU64,
    stop: AtomicBool,
    /// Held for as long as it takes to exchange two values, by either side.
    found: Mutex<Found<T>>,
}

#[derive(Debug, Default)]
struct Found<T> {
    value: T,
    outcome: Option<Result<(), SampleError>>,
    began_ns: u64,
    /// Number of the reading, from 1.
    count: u64,
}

impl<T: Default + Send + 'static> Background<T> {
    /// Starts a thread `name` that runs `read` at once and then every `period`, but no more often
    /// than every [`PERIOD_MIN`].
    ///
    /// `read` is given a value of three that are passed around, and must overwrite all of it; what
    /// they have grown to, they keep.
    ///
    /// # Errors
    ///
    /// [`SampleError::TooMany`] when there are [`THREADS_MAX`], or the system gives no more.
    pub(super) fn start(
        name: &str,
        period: Duration,
        read: impl FnMut(&mut T) -> Result<(), SampleError> + Send + 'static,
    ) -> Result<Self, SampleError> {
        let slot = ThreadSlot::take().ok_or(SampleError::TooMany)?;
        let shared = Arc::new(Shared {
            began_ns: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            found: Mutex::new(Found::default()),
        });
        let theirs = shared.clone();
        let period = period.max(PERIOD_MIN);
        let body = move || {
            let _slot = slot;
            run(&theirs, period, read);
        };
        let builder = thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
        let thread = builder.spawn(body).map_err(|_| SampleError::TooMany)?;
        Ok(Self { shared, thread: thread.thread().clone(), seen: Found::default(), told: 0 })
    }

    /// Waits until the first reading has ended, but not past `deadline`. For set-up, where a first
    /// record that has the value is worth a moment.
    pub(super) fn settle(&mut self, deadline: Instant) {
        while self.seen.outcome.is_none() && Instant::now() < deadline {
            if self.take() {
                break;
            }
            thread::sleep(SETTLE_POLL);
        }
    }

    /// What the thread found last. Never waits, and does not allocate.
    pub(super) fn latest(&mut self) -> Latest<'_, T> {
        self.take();
        let now_ns = boottime_ns();
        let Self { shared, seen, told, .. } = self;
        let before = std::mem::replace(told, seen.count);
        let began_ns = shared.began_ns.load(Ordering::Acquire);
        let stuck = began_ns > 0 && now_ns.saturating_sub(began_ns) > DEADLINE.as_nanos() as u64;
        Latest {
            value: &seen.value,
            outcome: seen.outcome,
            age_ns: if seen.outcome.is_some() { now_ns.saturating_sub(seen.began_ns) } else { 0 },
            stuck,
            is_new: seen.count != before,
        }
    }

    /// Exchanges what was seen for what was found since; `false` if that is nothing, or the thread
    /// is just handing something over.
    fn take(&mut self) -> bool {
        let mut found = match self.shared.found.try_lock() {
            Ok(found) => found,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if found.count == self.seen.count || found.outcome.is_none() {
            return false;
        }
        std::mem::swap(&mut *found, &mut self.seen);
        // The older one goes back for its memory only.
        found.outcome = None;
        found.count = self.seen.count;
        true
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn run<T: Default>(
    shared: &Shared<T>,
    period: Duration,
    mut read: impl FnMut(&mut T) -> Result<(), SampleError>,
) {
    let mut spare = T::default();
    for count in 1.. {
        let began_ns = boottime_ns();
        shared.began_ns.store(began_ns, Ordering::Release);
        let outcome = Some(read(&mut spare));
        shared.began_ns.store(0, Ordering::Release);
        {
            let mut found = shared.found.lock().unwrap_or_else(PoisonError::into_inner);
            let value = std::mem::take(&mut spare);
            let before = std::mem::replace(&mut *found, Found { value, outcome, began_ns, count });
            spare = before.value;
        }
        let mut left = until_next(period);
        let due = Instant::now() + left;
        while !left.is_zero() {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            thread::park_timeout(left);
            left = due.saturating_duration_since(Instant::now());
        }
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
    }
}

/// Time until the middle between two multiples of `period` on the wall clock: all threads wake up
/// together, which costs the machine one wake-up, and far from the ticks.
fn until_next(period: Duration) -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    let past_ns = (now_ns + period_ns / 2) % period_ns;
    Duration::from_nanos(period_ns - past_ns)
}

fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// One of the [`THREADS_MAX`].
struct ThreadSlot;

impl ThreadSlot {
    fn take() -> Option<Self> {
        let more = |threads: usize| (threads < THREADS_MAX).then_some(threads + 1);
        THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Looks until `wanted` holds; a test that waits for ever is ended by whoever runs it.
    fn look_until<T: Default + Send + 'static>(
        background: &mut Background<T>,
        wanted: impl Fn(&Latest<'_, T>) -> bool,
    ) {
        while !wanted(&background.latest()) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn reading_that_hangs_is_stuck_and_keeps_its_last_value() {
        let (go, gate) = channel();
        let read = move |value: &mut u64| {
            *value = gate.recv().map_err(|_| SampleError::Missing)?;
            Ok(())
        };
        let mut background = Background::start("test", PERIOD_MIN, read).expect("a thread");
        assert!(background.latest().outcome.is_none());
        go.send(7).expect("it waits");
        background.settle(Instant::now() + Duration::from_secs(60));
        let latest = background.latest();
        assert_eq!((*latest.value, latest.outcome, latest.is_new), (7, Some(Ok(())), true));
        look_until(&mut background, |latest| latest.stuck);
        let latest = background.latest();
        assert_eq!((*latest.value, latest.outcome, latest.is_new), (7, Some(Ok(())), false));
        assert!(latest.age_ns > DEADLINE.as_nanos() as u64);
        go.send(8).expect("it waits");
        look_until(&mut background, |latest| *latest.value == 8);
        assert!(!background.latest().stuck);
        drop(go);
        look_until(&mut background, |latest| latest.outcome == Some(Err(SampleError::Missing)));
    }

    #[test]
    fn values_keep_what_they_have_grown_to() {
        let mut capacities = Vec::new();
        let read = move |value: &mut Vec<u8>| {
            capacities.push(value.capacity());
            value.clear();
            value.resize(1000, capacities.len() as u8);
            if capacities.len() > 3 {
                assert!(*capacities.last().expect("pushed") >= 1000)
            }
            Ok(())
        };
        let mut background = Background::start("test", PERIOD_MIN, read).expect("a thread");
        look_until(&mut background, |latest| latest.value.first() == Some(&5));
    }

    #[test]
    fn thread_ends_when_nobody_looks_any_more() {
        let (tell, told) = channel::<()>();
        let read = move |_: &mut u8| {
            let _keep = &tell;
            Ok(())
        };
        drop(Background::start("test", Duration::from_secs(3600), read).expect("a thread"));
        assert!(told.recv().is_err(), "the closure is gone with its thread");
    }
}
