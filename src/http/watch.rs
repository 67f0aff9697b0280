//! How long a connection has been waiting for its client.
//!
//! A timer for each wait would be registered and cancelled several times in every request. Here a
//! connection only notes, in plain cells, what it is waiting for and since when, counted in sweeps
//! of one clock; a sweep, about once a second, looks at all connections and closes those that have
//! waited too long. So a timeout is never early and at most two sweeps late, and a request pays a few
//! stores for it. Time in which the process itself stood still counts as one sweep: a machine that
//! was suspended does not wake up to close every connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::limits::Limits;

/// What a connection is doing, seen from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request is expected at once or has begun to arrive.
    Receiving,
    /// The request is here and its answer is being made.
    Answering,
    /// The whole answer is made; some of it may not have been taken by the socket.
    Flushing,
    /// The answer is gone; the next request has not begun.
    Idle,
}

/// Which of its waits a connection has overdone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Header,
    Idle,
    Write,
}

/// Sweeps since the server began to run; every [`Watch`] reads it.
pub(crate) type Clock = Rc<Cell<u64>>;

/// The timeouts in sweeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) sweep: Duration,
    header: u64,
    idle: u64,
    write: u64,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Patience {
        let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.write_timeout);
        let sweep = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        // The wait may have begun just before a sweep, which then stands for no time at all.
        let sweeps = |timeout: Duration| {
            u64::try_from(timeout.as_nanos().div_ceil(sweep.as_nanos())).unwrap_or(u64::MAX - 1) + 1
        };
        Patience {
            sweep,
            header: sweeps(limits.header_timeout),
            idle: sweeps(limits.idle_timeout),
            write: sweeps(limits.write_timeout),
        }
    }
}

/// What is to be done about an answer once it is known what became of it.
pub(crate) trait Receipt {
    /// All of it has gone to the kernel.
    fn sent(&self);
    /// The connection was reset after that, before the client had asked for anything else: the client
    /// may not have read it.
    fn lost(&self);
    /// The connection ended before all of it was sent.
    fn cut(&self);
}

/// What has become of an answer with a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Begun,
    /// Its last byte was handed to hyper.
    Made,
    /// The kernel has all of it.
    Sent,
}

/// One connection's notes, shared by its stream, its answers and the sweep.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Clock,
    phase: Cell<Phase>,
    since: Cell<u64>,
    /// When the socket first refused bytes that it still refuses.
    blocked_since: Cell<Option<u64>>,
    overdue: Cell<Option<Overdue>>,
    stopping: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// That of the last answer.
    receipt: RefCell<Option<(Rc<dyn Receipt>, Fate)>>,
}

impl std::fmt::Debug for dyn Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

impl Watch {
    pub(crate) fn new(clock: &Clock) -> Rc<Watch> {
        Rc::new(Watch {
            clock: Rc::clone(clock),
            phase: Cell::new(Phase::Receiving),
            since: Cell::new(clock.get()),
            blocked_since: Cell::new(None),
            overdue: Cell::new(None),
            stopping: Cell::new(false),
            waker: RefCell::new(None),
            receipt: RefCell::new(None),
        })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    /// Bytes came in. Those of a request that has begun do not extend its time: otherwise a byte
    /// every few seconds would hold the connection for ever.
    pub(crate) fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Receiving);
            // It asks for something else, so it has read the answer.
            self.receipt.take();
        }
    }

    /// The first byte of an answer with a receipt was handed to hyper.
    pub(crate) fn begins(&self, receipt: Rc<dyn Receipt>) {
        self.receipt.replace(Some((receipt, Fate::Begun)));
    }

    /// So was its last byte.
    pub(crate) fn has_made(&self) {
        if let Some((_, fate)) = &mut *self.receipt.borrow_mut() {
            *fate = Fate::Made;
        }
    }

    /// The connection was reset.
    pub(crate) fn reset(&self) {
        match self.receipt.take() {
            Some((receipt, Fate::Sent)) => receipt.lost(),
            Some((receipt, Fate::Begun | Fate::Made)) => receipt.cut(),
            None => {}
        }
    }

    /// The connection is over, in whatever way.
    pub(crate) fn closed(&self) {
        if let Some((receipt, Fate::Begun | Fate::Made)) = self.receipt.take() {
            receipt.cut();
        }
    }

    /// A header is complete and the body that belongs to it is awaited, in the same time.
    pub(crate) fn receiving_body(&self) {
        if self.phase.get() != Phase::Receiving {
            self.enter(Phase::Receiving);
        }
    }

    /// A request is complete.
    pub(crate) fn answering(&self) {
        self.enter(Phase::Answering);
    }

    /// The last byte of an answer was handed to hyper.
    pub(crate) fn answered(&self) {
        self.enter(Phase::Flushing);
    }

    /// hyper has handed all it had to the socket.
    pub(crate) fn flushed(&self) {
        self.blocked_since.set(None);
        if self.phase.get() == Phase::Flushing {
            self.enter(Phase::Idle);
            if let Some((receipt, fate @ Fate::Made)) = &mut *self.receipt.borrow_mut() {
                *fate = Fate::Sent;
                receipt.sent();
            }
        }
    }

    /// The socket took bytes.
    pub(crate) fn wrote(&self) {
        self.blocked_since.set(None);
    }

    /// The socket takes no more bytes.
    pub(crate) fn write_blocked(&self) {
        if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(self.clock.get()));
        }
    }

    /// The server stops: what has no end by itself is to end now.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether the last answer is gone and nothing of another request is here.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }

    /// Whether an answer has begun that the socket does not have to its end.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.phase.get(), Phase::Answering | Phase::Flushing)
    }

    /// Whom to wake when the connection is overdue or the server stops.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What the connection was found to have overdone; it is to be closed.
    pub(crate) fn overdue(&self) -> Option<Overdue> {
        self.overdue.get()
    }

    /// Looks at the clock; wakes the connection's task if it is overdue.
    pub(crate) fn sweep(&self, patience: &Patience) {
        let waited = |since: u64| self.clock.get() - since;
        let overdue = if self.blocked_since.get().is_some_and(|at| waited(at) >= patience.write) {
            Some(Overdue::Write)
        } else {
            match self.phase.get() {
                Phase::Receiving if waited(self.since.get()) >= patience.header => {
                    Some(Overdue::Header)
                }
                Phase::Idle if waited(self.since.get()) >= patience.idle => Some(Overdue::Idle),
                _ => None,
            }
        };
        if overdue.is_some() {
            self.overdue.set(overdue);
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience { sweep: Duration::from_secs(1), header: 3, idle: 6, write: 4 }
    }

    fn after(sweeps: u64, clock: &Clock, watch: &Watch) -> Option<Overdue> {
        for _ in 0..sweeps {
            clock.set(clock.get() + 1);
            watch.sweep(&patience());
        }
        watch.overdue()
    }

    #[test]
    fn a_timeout_is_rounded_up_and_never_early() {
        let limits = Limits {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_millis(75_001),
            write_timeout: Duration::MAX,
            ..Limits::default()
        };
        let patience = Patience::new(&limits);
        assert_eq!(patience.sweep, Duration::from_secs(1));
        assert_eq!((patience.header, patience.idle), (11, 77));
        let impatient = Limits { idle_timeout: Duration::ZERO, ..Limits::default() };
        assert_eq!(Patience::new(&impatient).sweep, Duration::from_millis(5));
        assert_eq!(Patience::new(&impatient).idle, 1);
    }

    #[test]
    fn a_drip_does_not_extend_the_time_of_a_header() {
        let clock = Clock::default();
        let watch = Watch::new(&clock);
        assert_eq!(after(2, &clock, &watch), None);
        watch.received();
        assert_eq!(after(1, &clock, &watch), Some(Overdue::Header));
    }

    #[test]
    fn the_next_request_has_the_time_of_a_header_from_its_first_byte() {
        let clock = Clock::default();
        let watch = Watch::new(&clock);
        watch.answering();
        assert_eq!(after(100, &clock, &watch), None, "our own time is not the client's");
        watch.answered();
        watch.flushed();
        assert_eq!(after(5, &clock, &watch), None);
        watch.received();
        assert_eq!(after(2, &clock, &watch), None);
        watch.received();
        assert_eq!(after(1, &clock, &watch), Some(Overdue::Header));
    }

    #[test]
    fn an_idle_connection_is_overdue_after_the_idle_time() {
        let clock = Clock::default();
        let watch = Watch::new(&clock);
        watch.answering();
        watch.answered();
        watch.flushed();
        assert_eq!(after(6, &clock, &watch), Some(Overdue::Idle));
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_not_overdue() {
        let clock = Clock::default();
        let watch = Watch::new(&clock);
        watch.answering();
        watch.write_blocked();
        assert_eq!(after(3, &clock, &watch), None);
        watch.wrote();
        watch.write_blocked();
        assert_eq!(after(3, &clock, &watch), None);
        watch.write_blocked();
        assert_eq!(after(1, &clock, &watch), Some(Overdue::Write));
    }
}
