//! A connection's socket, and who is at its other end.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The two kinds of sockets that clients come by.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Answers leave in one piece; waiting for more to send with them only delays them.
    pub(crate) fn send_at_once(&self) {
        if let Socket::Tcp(socket) = self {
            let _ = socket.set_nodelay(true);
        }
    }

    /// Sends what a socket that has sent nothing before has room for, and does not look what comes
    /// of it.
    pub(crate) fn tell_at_once(&self, bytes: &[u8]) {
        let socket = match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        };
        let _ = send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Lets the end of the connection be a reset. A socket in the file system knows none: what its
    /// client has not read is gone with it, and only the missing last chunk tells.
    pub(crate) fn reset_at_the_end(&self) {
        if let Socket::Tcp(socket) = self {
            let _ = socket.set_zero_linger();
        }
    }
}

/// Calls the method of whichever socket it is.
macro_rules! either {
    ($socket:expr, $pinned:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Tcp(socket) => {
                let $pinned = Pin::new(socket);
                $call
            }
            Socket::Unix(socket) => {
                let $pinned = Pin::new(socket);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, socket => socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, socket => socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_shutdown(cx))
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// Somebody on this machine, by a socket in the file system: the user, if the kernel tells.
    Unix(Option<u32>),
}

impl Peer {
    /// Whether it is on this machine and came by loopback or a socket in the file system.
    pub(crate) fn is_local(self) -> bool {
        match self {
            Peer::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Peer::Unix(_) => true,
        }
    }

    /// Whether it came by a name that somebody else may have led to this machine.
    pub(crate) fn came_by_name(self) -> bool {
        !matches!(self, Peer::Unix(_))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix(_) => f.write_str("unix"),
        }
    }
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Neighbour {
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 network of 64 bits: within one, a client has as many addresses as it likes.
    V6([u8; 8]),
}

impl Neighbour {
    /// That of a peer, if it is one that is counted.
    pub(crate) fn of(peer: Peer) -> Option<Neighbour> {
        let Peer::Tcp(address) = peer else { return None };
        if peer.is_local() {
            return None;
        }
        Some(match address.ip().to_canonical() {
            IpAddr::V4(address) => Neighbour::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Neighbour::V6([a, b, c, d, e, f, g, h])
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_addresses_networks_and_nobody_on_this_machine() {
        let of = |text: &str| Neighbour::of(Peer::Tcp(text.parse().expect(text)));
        for local in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(of(local), None, "{local}");
        }
        assert_eq!(Neighbour::of(Peer::Unix(None)), None);
        assert_eq!(of("192.0.2.1:1"), of("192.0.2.1:2"));
        assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:1"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
        assert_eq!(of("[2001:db8:0:1::1]:1"), of("[2001:db8:0:1:ffff::2]:9"));
        assert_ne!(of("[2001:db8:0:1::1]:1"), of("[2001:db8:0:2::1]:1"));
    }
}
