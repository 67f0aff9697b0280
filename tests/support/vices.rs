//! What clients do wrong.

// Each test file uses its own part of this, as a module of its own.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Longer than anything here takes.
const FOREVER: Duration = Duration::from_secs(60);
/// Between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(10);
/// How many of each kind besiege a server.
const BESIEGERS: usize = 4;

/// A connection whose client has hardly any room for what it is sent.
fn narrow(address: SocketAddr) -> TcpStream {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
    let socket = socket.expect("a socket");
    sockopt::set_socket_recv_buffer_size(&socket, 1).expect("the kernel's least is taken");
    rustix::net::connect(&socket, &address).expect("it listens");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(FOREVER)).expect("set");
    socket
}

/// What a client of the crowd does wrong.
#[derive(Clone, Copy, Debug)]
pub enum Vice {
    Silent,
    DripsItsHeader,
    DripsItsBody,
    WaitsToContinue,
    ReadsAByteNowAndThen,
    NeverReads,
    VanishesInItsHeader,
    VanishesInItsBody,
    VanishesInTheAnswer,
    SendsGarbage,
    AsksWithoutReading,
}

pub const VICES: [Vice; 11] = [
    Vice::Silent,
    Vice::DripsItsHeader,
    Vice::DripsItsBody,
    Vice::WaitsToContinue,
    Vice::ReadsAByteNowAndThen,
    Vice::NeverReads,
    Vice::VanishesInItsHeader,
    Vice::VanishesInItsBody,
    Vice::VanishesInTheAnswer,
    Vice::SendsGarbage,
    Vice::AsksWithoutReading,
];

impl Vice {
    /// Lives it out once, until the server has closed the connection, we have, or `enough` says so.
    pub fn live(self, address: SocketAddr, target: &str, enough: &dyn Fn() -> bool) {
        let long = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let body =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n");
        let mut socket = match self {
            Vice::ReadsAByteNowAndThen | Vice::NeverReads => narrow(address),
            _ => TcpStream::connect(address).expect("it listens"),
        };
        // Whatever fails below has failed because the server has closed the connection.
        match self {
            Vice::Silent => stay(&mut socket, enough),
            Vice::DripsItsHeader => drip(&mut socket, b"GET /healthz HTTP/1.1\r\nX: ", enough),
            Vice::DripsItsBody => drip(&mut socket, body.as_bytes(), enough),
            Vice::WaitsToContinue => {
                let body = body.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
                let _ = socket.write_all(body.as_bytes());
                stay(&mut socket, enough);
            }
            Vice::ReadsAByteNowAndThen => {
                let _ = socket.write_all(long.as_bytes());
                while !enough() && matches!(socket.read(&mut [0]), Ok(1)) {
                    thread::sleep(DRIP);
                }
            }
            Vice::NeverReads => {
                let _ = socket.write_all(long.as_bytes());
                // What stands in the way is seen without taking anything out of it.
                while !enough() && matches!(sockopt::socket_error(&socket), Ok(Ok(()))) {
                    thread::sleep(DRIP);
                }
            }
            Vice::VanishesInItsHeader => {
                let _ = socket.write_all(&long.as_bytes()[..20]);
            }
            Vice::VanishesInItsBody => {
                let _ = socket.write_all(body.as_bytes());
                let _ = socket.write_all(b"histo");
            }
            Vice::VanishesInTheAnswer => {
                let _ = socket.write_all(long.as_bytes());
                let _ = socket.read(&mut [0; 100]);
            }
            Vice::SendsGarbage => {
                let _ = socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 10, 13, 10]);
                stay(&mut socket, enough);
            }
            Vice::AsksWithoutReading => {
                let many = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
                socket.set_write_timeout(Some(DRIP)).expect("set");
                let mut failed = false;
                while !enough() && !failed {
                    failed = match socket.write(many.as_bytes()) {
                        Ok(_) => false,
                        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                    };
                }
            }
        }
    }
}

/// Sends `beginning` byte by byte, and then more of the same kind for as long as that is taken.
fn drip(socket: &mut TcpStream, beginning: &[u8], enough: &dyn Fn() -> bool) {
    let mut bytes = beginning.iter().chain(std::iter::repeat(&b'x'));
    while !enough() && bytes.next().is_some_and(|byte| socket.write_all(&[*byte]).is_ok()) {
        thread::sleep(DRIP / 10);
    }
}

/// Waits until the server closes the connection, whatever it says before.
fn stay(socket: &mut TcpStream, enough: &dyn Fn() -> bool) {
    socket.set_read_timeout(Some(DRIP)).expect("set");
    let mut scrap = [0; 1024];
    while !enough() {
        match socket.read(&mut scrap) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// A crowd of bad clients who come back whenever they are sent away.
pub struct Siege {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Siege {
    pub fn of(address: SocketAddr, target: &'static str) -> Siege {
        let over = Arc::<AtomicBool>::default();
        let clients =
            VICES.iter().flat_map(|vice| std::iter::repeat_n(*vice, BESIEGERS)).map(|vice| {
                let over = Arc::clone(&over);
                thread::spawn(move || {
                    let mut lives = 0;
                    let enough = || over.load(Ordering::Relaxed);
                    while !enough() {
                        vice.live(address, target, &enough);
                        lives += 1;
                        thread::sleep(DRIP);
                    }
                    lives
                })
            });
        Siege { clients: clients.collect(), over }
    }

    /// How often they came.
    pub fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("it does not panic")).sum()
    }
}
