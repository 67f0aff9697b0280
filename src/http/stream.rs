//! A stream: an answer that goes on for as long as there are records, its client and its server.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::body::caught;
use super::counters::{Counters, count};
use super::limits::{STREAM_HEARTBEAT, STREAM_OVERRUNS_MAX, STREAM_PAUSE};
use super::pool::{Buffer, Pool};
use super::query::StreamParameters;
use super::vitals::PART_BYTES;
use super::watch::Watch;
use crate::encode::{Frames, Start};
use crate::ring::{OpenError, Reader, Ring, Words, boottime_ns, layout};
use crate::window::Objects;

/// How long after its moment a record is expected to be there.
const LATENESS: Duration = Duration::from_millis(5);
/// How often a ring's name is looked at, in case another file has taken its place unannounced.
const NAME_CHECK: Duration = Duration::from_secs(1);

/// What a stream is made of.
pub trait Feed {
    /// Appends the next frame to `out`, about [`PART_BYTES`] at most.
    fn frame(&mut self, out: &mut Vec<u8>) -> Fed;

    /// How often records were overwritten before they could be appended.
    fn overruns(&self) -> u64;
}

/// What a call of [`Feed::frame`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Something was appended.
    Frame,
    /// There is nothing to append, and nothing is expected for so long.
    Wait(Duration),
    /// There never will be anything, for this reason.
    End(&'static str),
}

/// The records of a ring that may be written, replaced, or left.
pub(super) struct LiveFeed {
    reader: Reader,
    looked: Instant,
    frames: Frames,
    objects: Objects,
    wanted: StreamParameters,
}

impl LiveFeed {
    pub(super) fn of(
        reader: Reader,
        name: &str,
        objects: Objects,
        wanted: &StreamParameters,
    ) -> Self {
        let frames = Frames::new(name, wanted.start.unwrap_or(Start::Newest));
        Self { reader, looked: Instant::now(), frames, objects, wanted: wanted.clone() }
    }

    /// Sees to it that the ring is the one that now has the name, and says whether it is another.
    fn follow(&mut self) -> Result<bool, OpenError> {
        let is_retired = self.reader.ring().state() == layout::state::RETIRED;
        if !is_retired && self.looked.elapsed() < NAME_CHECK {
            return Ok(false);
        }
        self.looked = Instant::now();
        self.reader.refresh()
    }
}

impl Feed for LiveFeed {
    fn frame(&mut self, out: &mut Vec<u8>) -> Fed {
        let (objects, wanted) = (&self.objects, &self.wanted);
        let admits = |object: &str, name: &str| objects.has(object) && wanted.admits(name);
        if self.frames.frame(self.reader.ring(), admits, out) {
            return Fed::Frame;
        }
        // All of the ring has been read, so nothing is lost if it is left now. Where the new one
        // cannot be read, the next look tells.
        if let Ok(true) = self.follow() {
            self.frames.follow(self.reader.ring(), out);
            return Fed::Frame;
        }
        let ring = self.reader.ring();
        let due_ns = ring.heartbeat_ns().saturating_add(ring.header().interval_ns);
        let left = Duration::from_nanos(due_ns.saturating_sub(boottime_ns()));
        Fed::Wait(left.saturating_add(LATENESS))
    }

    fn overruns(&self) -> u64 {
        self.frames.overruns()
    }
}

/// The records of a ring that nobody writes any more.
pub(super) struct SavedFeed<W> {
    pub(super) ring: Ring<W>,
    pub(super) frames: Frames,
    pub(super) objects: Objects,
    pub(super) wanted: StreamParameters,
}

impl<W: Words> Feed for SavedFeed<W> {
    fn frame(&mut self, out: &mut Vec<u8>) -> Fed {
        let (objects, wanted) = (&self.objects, &self.wanted);
        let admits = |object: &str, name: &str| objects.has(object) && wanted.admits(name);
        if self.frames.frame(&self.ring, admits, out) { Fed::Frame } else { Fed::End("saved") }
    }

    fn overruns(&self) -> u64 {
        0
    }
}

/// A place among the streams of a server; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Rc<Cell<usize>>);

impl Seat {
    /// A place, unless there are as many as may be.
    pub(super) fn take(open: &Rc<Cell<usize>>, max: usize) -> Option<Seat> {
        (open.get() < max).then(|| {
            open.set(open.get() + 1);
            Seat(Rc::clone(open))
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The body of a stream.
pub(super) struct Stream {
    pub(super) feed: Box<dyn Feed>,
    pub(super) pause: Duration,
    /// How many more frames there are to be.
    pub(super) frames_left: u64,
    pub(super) pool: Rc<Pool>,
    pub(super) counters: Rc<Counters>,
    pub(super) watch: Rc<Watch>,
    pub(super) _seat: Seat,
    /// Whether its client may still see what it shows.
    pub(super) may_go_on: Box<dyn Fn() -> bool>,
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) said: Instant,
    pub(super) has_ended: bool,
}

impl Stream {
    pub(super) fn new(
        feed: Box<dyn Feed>,
        wanted: &StreamParameters,
        (pool, counters, watch): (&Rc<Pool>, &Rc<Counters>, &Rc<Watch>),
        seat: Seat,
        may_go_on: Box<dyn Fn() -> bool>,
    ) -> Stream {
        let now = Instant::now();
        Stream {
            feed,
            pause: wanted.interval.unwrap_or(STREAM_PAUSE).max(STREAM_PAUSE),
            frames_left: wanted.frames.unwrap_or(u64::MAX),
            pool: Rc::clone(pool),
            counters: Rc::clone(counters),
            watch: Rc::clone(watch),
            _seat: seat,
            may_go_on,
            timer: Box::pin(sleep_until(now)),
            said: now,
            has_ended: false,
        }
    }

    /// The next piece, when it is there; `None` after the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Buffer>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        loop {
            if self.watch.is_stopping() {
                return self.end("stopping");
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if !(self.may_go_on)() {
                return self.end("revoked");
            }
            let mut buffer = self.pool.take();
            let Some(fed) = caught(&self.counters, || self.feed.frame(&mut buffer.bytes)) else {
                return self.end("failed");
            };
            let now = Instant::now();
            match fed {
                Fed::End(reason) => return self.end(reason),
                Fed::Frame if self.feed.overruns() > STREAM_OVERRUNS_MAX => {
                    count(&self.counters.streams_too_slow);
                    return self.end("slow");
                }
                Fed::Frame => {
                    self.said = now;
                    self.frames_left -= 1;
                    if self.frames_left == 0 {
                        push_end("frames", &mut buffer.bytes);
                        self.has_ended = true;
                    }
                    // A full frame has more behind it: then the client says how fast it goes on.
                    if buffer.bytes.len() < PART_BYTES {
                        self.timer.as_mut().reset(now + self.pause);
                    }
                    return Poll::Ready(Some(buffer));
                }
                Fed::Wait(_) if now >= self.said + STREAM_HEARTBEAT => {
                    self.said = now;
                    buffer.bytes.extend_from_slice(b":\n\n");
                    return Poll::Ready(Some(buffer));
                }
                Fed::Wait(left) => {
                    let due = now + left.clamp(STREAM_PAUSE, STREAM_HEARTBEAT);
                    self.timer.as_mut().reset(due.min(self.said + STREAM_HEARTBEAT));
                }
            }
        }
    }

    fn end(&mut self, reason: &str) -> Poll<Option<Buffer>> {
        let mut buffer = self.pool.take();
        push_end(reason, &mut buffer.bytes);
        self.has_ended = true;
        Poll::Ready(Some(buffer))
    }
}

fn push_end(reason: &str, out: &mut Vec<u8>) {
    for text in ["event: end\ndata: {\"reason\":\"", reason, "\"}\n\n"] {
        out.extend_from_slice(text.as_bytes());
    }
}
