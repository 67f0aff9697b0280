//! A client's socket that notes what it is waiting for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;
use super::watch::{Overdue, Watch};

/// A socket whose reads and writes are noted in a [`Watch`].
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    watch: Rc<Watch>,
    ended: bool,
}

impl Stream {
    pub(crate) fn new(socket: Socket, watch: Rc<Watch>) -> Stream {
        Stream { socket, watch, ended: false }
    }

    /// Whether the client has said that it will send nothing more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    fn note_write(&self, poll: &Poll<io::Result<usize>>) {
        match poll {
            Poll::Pending => self.watch.write_blocked(),
            Poll::Ready(Ok(_)) => self.watch.wrote(),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))
            .inspect_err(|_| self.watch.reset())?;
        if buffer.filled().len() > before {
            self.watch.received();
        } else if buffer.remaining() > 0 {
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note_write(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    // hyper flushes when its own buffer is empty, and a socket has no buffer that can be flushed:
    // this is the moment at which the kernel has everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.watch.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Drop for Stream {
    // Whatever ends a connection in the middle of an answer (a window that was overrun, a panic, the
    // end of the grace, a client that does not read) ends here. An orderly close would look like
    // the end of the answer to a client that knows no chunks, so it is a reset. It also frees at once
    // the megabytes that the kernel would otherwise try to deliver long after we have forgotten them.
    fn drop(&mut self) {
        if self.watch.is_answering() || self.watch.overdue() == Some(Overdue::Write) {
            self.socket.reset_at_the_end();
        }
        self.watch.closed();
    }
}
