//! The body of an answer: made part by part, at the speed of the client.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http_body::{Body, Frame, SizeHint};

use super::access::Entry;
use super::coder::{Coder, Coders, Refused, Until};
use super::counters::{Counters, count};
use super::headers::Coding;
use super::pool::{Buffer, Pool};
use super::stream::Stream;
use super::vitals::{Part, Pull};
use super::watch::{Receipt, Watch};

/// The parts of an answer that are not made yet.
pub(crate) struct Rest {
    pub(crate) pull: Box<dyn Pull>,
    /// What stands after the last part.
    pub(crate) closing: &'static str,
    pub(crate) pool: Rc<Pool>,
    pub(crate) counters: Rc<Counters>,
}

/// What hyper sends after the header.
///
/// hyper asks for a frame when the one before has gone to the socket, so of an answer of any length
/// one part exists at a time. An answer that is complete in its first part has a known length.
pub(crate) struct AnswerBody {
    first: Option<Buffer>,
    rest: Option<Rest>,
    /// What writes the rest in its coding.
    coder: Option<Coder>,
    /// When nobody waits for the rest any more.
    deadline: Option<Instant>,
    stream: Option<Box<Stream>>,
    receipt: Option<Rc<dyn Receipt>>,
    watch: Rc<Watch>,
    entry: Option<Box<Entry>>,
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Buffer, watch: Rc<Watch>) -> AnswerBody {
        AnswerBody::of(Some(bytes), None, watch)
    }

    pub(crate) fn in_parts(first: Buffer, rest: Rest, watch: Rc<Watch>) -> AnswerBody {
        AnswerBody::of(Some(first), Some(rest), watch)
    }

    pub(crate) fn streamed(first: Buffer, stream: Stream, watch: Rc<Watch>) -> AnswerBody {
        let mut body = AnswerBody::of(Some(first), None, watch);
        body.stream = Some(Box::new(stream));
        body
    }

    /// No body at all.
    pub(crate) fn none(watch: Rc<Watch>) -> AnswerBody {
        AnswerBody::of(None, None, watch)
    }

    fn of(first: Option<Buffer>, rest: Option<Rest>, watch: Rc<Watch>) -> AnswerBody {
        let (coder, deadline, stream, receipt, entry) = (None, None, None, None, None);
        AnswerBody { first, rest, coder, deadline, stream, receipt, watch, entry }
    }

    /// Notes what is sent in `entry` of the access log.
    pub(crate) fn tell(&mut self, entry: Box<Entry>) {
        self.entry = Some(entry);
    }

    /// Says what is to be done once it is known what became of it.
    pub(crate) fn set_receipt(&mut self, receipt: Rc<dyn Receipt>) {
        self.receipt = Some(receipt);
    }

    /// The last frame is being handed over.
    fn ends(&mut self) {
        if self.receipt.take().is_some() {
            self.watch.has_made();
        }
    }

    /// The next piece of the answer; an error ends it.
    fn next(&mut self) -> Option<Result<Buffer, BrokenOff>> {
        if let Some(first) = self.first.take() {
            // The body of an answer to HEAD never comes here.
            if let Some(receipt) = &self.receipt {
                self.watch.begins(Rc::clone(receipt));
            }
            if self.rest.is_none() && self.stream.is_none() {
                self.ends();
            }
            return Some(Ok(first));
        }
        let rest = self.rest.as_mut()?;
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            count(&rest.counters.scrape_timeouts);
            self.rest = None;
            return Some(Err(BrokenOff));
        }
        let mut buffer = rest.pool.take();
        let is_last = match caught(&rest.counters, || rest.pull.part(&mut buffer.bytes)) {
            Some(Part::Last) => {
                buffer.bytes.extend_from_slice(rest.closing.as_bytes());
                Some(true)
            }
            Some(Part::More) if !buffer.bytes.is_empty() => Some(false),
            // An empty part with more to come would be asked for again at once, and for ever.
            Some(Part::More | Part::Broken) | None => None,
        };
        let sent = is_last.and_then(|is_last| match &mut self.coder {
            Some(coder) => coded(coder, &buffer, is_last, &rest.pool).ok(),
            None => Some(buffer),
        });
        if sent.is_none() {
            count(&rest.counters.answers_broken);
        }
        if sent.is_none() || is_last == Some(true) {
            (self.rest, self.coder) = (None, None);
        }
        if sent.is_some() && is_last == Some(true) {
            self.ends();
        }
        Some(sent.ok_or(BrokenOff))
    }

    /// Whether it takes more than one part.
    pub(crate) fn is_in_parts(&self) -> bool {
        self.rest.is_some()
    }

    /// Its text for others, if it is there as a whole.
    pub(crate) fn share(&mut self) -> Option<Buffer> {
        let is_whole = self.rest.is_none() && self.stream.is_none();
        self.first.as_mut().filter(|_| is_whole).map(Buffer::share)
    }

    /// The bytes of the first part.
    pub(crate) fn first_bytes(&self) -> usize {
        self.first.as_ref().map_or(0, |first| first.text().len())
    }

    /// Breaks an answer in parts off when it has not come to its last one by `deadline`.
    pub(crate) fn ends_by(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Writes it in `coding` from here on; says whether that could be done. Only what is made in parts
    /// holds a coder for longer than this call.
    pub(crate) fn code(&mut self, coding: Coding, coders: &Rc<Coders>, pool: &Rc<Pool>) -> bool {
        let Some(first) = &self.first else { return false };
        let Some(mut coder) = coders.take(coding) else { return false };
        let mut coded = pool.take();
        let until = if self.rest.is_some() { Until::Read } else { Until::End };
        if coder.write(first.text(), until, &mut coded.bytes).is_err() {
            return false;
        }
        self.first = Some(coded);
        self.coder = self.rest.is_some().then_some(coder);
        true
    }
}

/// A part in its coding. It is not empty: what a coder would keep until there is more is asked for.
fn coded(
    coder: &mut Coder,
    plain: &Buffer,
    is_last: bool,
    pool: &Rc<Pool>,
) -> Result<Buffer, Refused> {
    let mut coded = pool.take();
    let until = if is_last { Until::End } else { Until::More };
    coder.write(&plain.bytes, until, &mut coded.bytes)?;
    if coded.bytes.is_empty() {
        coder.write(b"", Until::Read, &mut coded.bytes)?;
    }
    Ok(coded)
}

impl Body for AnswerBody {
    type Data = Buffer;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Buffer>, BrokenOff>>> {
        let has_begun = self.first.is_none();
        let next = match &mut self.stream {
            Some(stream) if has_begun => ready!(stream.poll(cx)).map(Ok),
            _ => self.next(),
        };
        if let Some(entry) = &mut self.entry {
            match &next {
                Some(Ok(buffer)) => entry.sent(buffer.text().len()),
                Some(Err(BrokenOff)) => entry.broken(),
                None => {}
            }
        }
        Poll::Ready(next.map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_none() && self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.rest) {
            _ if self.stream.is_some() => SizeHint::default(),
            (_, Some(_)) => SizeHint::default(),
            (Some(first), None) => SizeHint::with_exact(first.text().len() as u64),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

impl Drop for AnswerBody {
    // hyper drops the body when it has taken the last byte, or when it wants none (HEAD).
    fn drop(&mut self) {
        self.watch.answered();
    }
}

/// An answer could not be completed; hyper closes the connection without the final chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer broke off")
    }
}

impl Error for BrokenOff {}

/// The result of `make`, or `None` if it panicked, which is counted.
///
/// What `make` was working on must not be used after a panic.
pub(crate) fn caught<T>(counters: &Counters, make: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(value) => Some(value),
        Err(_) => {
            count(&counters.panics);
            tracing::error!("a panic was caught while a request was answered");
            None
        }
    }
}
