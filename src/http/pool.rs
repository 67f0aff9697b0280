//! The buffers that answers are written into, used again and again.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Buf;

use super::limits::{BUFFER_BYTES_POOLED, BUFFERS_POOLED};
use super::vitals::PART_BYTES;

/// Room beyond [`PART_BYTES`] for a part that ends a little late and for the envelope.
const SLACK_BYTES: usize = 8 * 1024;

/// Buffers that wait for their next use. It holds at most [`BUFFERS_POOLED`] of them.
#[derive(Debug)]
pub(crate) struct Pool {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Pool {
    pub(crate) fn new() -> Rc<Pool> {
        Rc::new(Pool { free: RefCell::new(Vec::with_capacity(BUFFERS_POOLED)) })
    }

    /// An empty buffer, the one used last if there is one: its memory is likely in the cache.
    pub(crate) fn take(self: &Rc<Self>) -> Buffer {
        let recycled = self.free.borrow_mut().pop();
        let bytes = recycled.unwrap_or_else(|| Vec::with_capacity(PART_BYTES + SLACK_BYTES));
        Buffer { bytes, shared: None, read: 0, pool: Rc::clone(self) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_POOLED && bytes.capacity() <= BUFFER_BYTES_POOLED {
            bytes.clear();
            free.push(bytes);
        }
    }
}

/// A buffer on loan: filled by us, read by hyper, back in the pool when dropped. What it holds may be
/// shared with others once it is complete.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// What is written; only the front end appends, and only before the first byte is read.
    pub(crate) bytes: Vec<u8>,
    /// What it holds instead if that is shared; it goes back when the last one who has it is done.
    shared: Option<Rc<Vec<u8>>>,
    /// How much of it hyper has taken.
    read: usize,
    pool: Rc<Pool>,
}

impl Buffer {
    /// All that is written in it.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.shared {
            Some(shared) => shared,
            None => &self.bytes,
        }
    }

    /// Another buffer with the same text, which cannot be added to any more.
    pub(crate) fn share(&mut self) -> Buffer {
        if self.shared.is_none() {
            self.shared = Some(Rc::new(std::mem::take(&mut self.bytes)));
        }
        self.shared()
    }

    /// Another buffer with the same text, of one that is shared already; else an empty one.
    pub(crate) fn shared(&self) -> Buffer {
        let (bytes, pool) = (Vec::new(), Rc::clone(&self.pool));
        Buffer { bytes, shared: self.shared.clone(), read: 0, pool }
    }
}

impl Buf for Buffer {
    fn remaining(&self) -> usize {
        self.text().len() - self.read
    }

    fn chunk(&self) -> &[u8] {
        &self.text()[self.read..]
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "advanced past the end of a buffer");
        self.read += count;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.shared.take() {
            None => self.pool.give_back(std::mem::take(&mut self.bytes)),
            Some(shared) => {
                Rc::into_inner(shared).into_iter().for_each(|it| self.pool.give_back(it))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_the_next_one_taken() {
        let pool = Pool::new();
        let mut first = pool.take();
        first.bytes.extend_from_slice(b"abc");
        let address = first.bytes.as_ptr();
        first.advance(2);
        assert_eq!(first.chunk(), b"c");
        drop(first);
        let second = pool.take();
        assert_eq!(second.bytes.as_ptr(), address);
        assert_eq!(second.remaining(), 0);
    }

    #[test]
    fn shared_text_goes_back_with_the_last_who_has_it() {
        let pool = Pool::new();
        let mut first = pool.take();
        first.bytes.extend_from_slice(b"abc");
        let (second, third) = (first.share(), first.share());
        first.advance(2);
        assert_eq!((first.chunk(), second.chunk()), (&b"c"[..], &b"abc"[..]));
        assert_eq!(third.shared().text().as_ptr(), first.text().as_ptr(), "it is not copied");
        drop((first, second));
        assert_eq!(pool.free.borrow().len(), 0);
        drop(third);
        assert_eq!(pool.free.borrow().len(), 1);
    }

    #[test]
    fn the_pool_keeps_few_buffers_and_no_large_one() {
        let pool = Pool::new();
        let lent: Vec<Buffer> = (0..BUFFERS_POOLED + 3).map(|_| pool.take()).collect();
        drop(lent);
        assert_eq!(pool.free.borrow().len(), BUFFERS_POOLED);
        let mut large = pool.take();
        large.bytes.resize(BUFFER_BYTES_POOLED + 1, 0);
        drop(large);
        assert_eq!(pool.free.borrow().len(), BUFFERS_POOLED - 1);
    }
}
