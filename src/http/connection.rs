//! One connection, from its first byte to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::counters::{Counters, count};
use super::io::Stream;
use super::limits::{HEADERS_MAX, LINGER, Limits};
use super::service::Service;
use super::socket::Socket;
use super::watch::Overdue;

/// What a client beyond `connections_max` is told.
pub(crate) const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    cache-control: no-store\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 21\r\n\
    \r\n\
    too many connections\n";

/// What a client beyond `connections_per_address_max` is told.
pub(crate) const FULL_FOR_ONE: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    cache-control: no-store\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 38\r\n\
    \r\n\
    too many connections from one address\n";

/// The smallest read buffer that hyper accepts.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// How hyper is to speak.
///
/// Its own header timeout stays off. It needs a timer, which it allocates and registers anew for
/// every request, and it also runs while a connection idles between two requests; the [watch]
/// tells the two apart and costs a few stores.
///
/// [watch]: super::watch
pub(crate) fn protocol(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(limits.header_bytes_max)
        // Also the size from which hyper flushes before it asks for the next part.
        .max_buf_size(limits.header_bytes_max.max(READ_BUFFER_BYTES_MIN))
        // A client that shuts down its sending side after the request still gets its answer; and
        // hyper does not try to read again while we answer, which saves a system call.
        .half_close(true);
    builder
}

/// Speaks HTTP until the client leaves, is overdue, or `stopping` says so and no answer is due.
pub(crate) async fn serve(
    protocol: &http1::Builder,
    socket: Socket,
    service: Service,
    stopping: impl Fn() -> bool,
) {
    let counters = Rc::clone(&service.stock.counters);
    let watch = Rc::clone(&service.watch);
    let io = TokioIo::new(Stream::new(socket, Rc::clone(&watch)));
    let mut connection = protocol.serve_connection(io, service);
    let mut told = false;
    let mut idle_when_told = false;
    let end = poll_fn(|cx| {
        watch.wakes(cx.waker());
        if let Some(overdue) = watch.overdue() {
            return Poll::Ready(Err(overdue));
        }
        if !told && stopping() {
            told = true;
            idle_when_told = watch.is_idle();
            watch.stop();
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx).map(Ok)
    })
    .await;
    match end {
        Err(overdue) => {
            count(match overdue {
                Overdue::Header => &counters.header_timeouts,
                Overdue::Idle => &counters.idle_timeouts,
                Overdue::Write => &counters.write_timeouts,
            });
        }
        Ok(result) => {
            if let Err(error) = result {
                note(&error, &counters);
            }
            let mut stream = connection.into_parts().io.into_inner();
            // Nothing is under way to an idle client, and a stop need not wait for it; and an answer
            // that broke off is not to arrive as if it were whole.
            if !stream.has_ended() && !idle_when_told && !watch.is_answering() {
                linger(&mut stream, LINGER).await;
            }
        }
    }
}

/// Tells a client that there is no room for it, and why.
pub(crate) async fn refuse(mut socket: Socket, refusal: &[u8]) {
    let told = async {
        socket.write_all(refusal).await?;
        socket.shutdown().await
    };
    if let Ok(Ok(())) = timeout(LINGER, told).await {
        linger(&mut socket, LINGER).await;
    }
}

fn note(error: &hyper::Error, counters: &Counters) {
    tracing::debug!(%error, "a connection ended");
    if error.is_parse_too_large() {
        count(&counters.headers_too_large);
    } else if error.is_parse() {
        count(&counters.malformed_requests);
    }
}

/// Reads and forgets until the client closes, so that what it still sends resets nothing.
async fn linger(stream: &mut (impl AsyncRead + Unpin), time: Duration) {
    let mut scrap = [0; 2048];
    let _ = timeout(time, async { while let Ok(1..) = stream.read(&mut scrap).await {} }).await;
}
