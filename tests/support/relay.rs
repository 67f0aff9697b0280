//! A relay between a client and a server on this machine that can be made to stop in the middle of an
//! answer, as a network does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

/// Of an answer that is held up so much is let through.
const BYTES_BEFORE_HOLD: usize = 64 << 10;
/// What the relay takes from the server before the client has it; little, so that a server that has
/// written all of an answer knows that nearly all of it has been taken.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    hold: AtomicBool,
    held: AtomicUsize,
    left: AtomicUsize,
}

/// A relay, for as long as the test runs.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Relay {
    /// Begins to relay to `server`.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let theirs = state.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = theirs.clone();
                thread::spawn(move || serve(client, server, &state));
            }
        });
        Self { address, state }
    }

    /// From now on answers stop before their end, until [`Relay::go_on`].
    pub(crate) fn hold(&self) {
        self.state.hold.store(true, Ordering::Relaxed);
    }

    pub(crate) fn go_on(&self) {
        self.state.hold.store(false, Ordering::Relaxed);
    }

    /// How many answers have been held up so far.
    pub(crate) fn held(&self) -> usize {
        self.state.held.load(Ordering::Relaxed)
    }

    /// How many of them nobody waits for any more, which the server has been told.
    pub(crate) fn left(&self) -> usize {
        self.state.left.load(Ordering::Relaxed)
    }
}

fn serve(client: TcpStream, server: SocketAddr, state: &State) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    // Before it is connected, so that the server never sees a larger window.
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES).expect("set");
    if connect(&socket, &server).is_err() {
        return;
    }
    let upstream = TcpStream::from(socket);
    let [mut from_client, mut to_server] =
        [&client, &upstream].map(|socket| socket.try_clone().expect("cloned"));
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    let requests = thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        seen.store(true, Ordering::Relaxed);
        // This ends a read, and says nothing to the server: if there is something that has not been
        // read when the connection is closed, it is reset, as that of the client was.
        let _ = to_server.shutdown(Shutdown::Read);
    });
    let was_left = answer(&upstream, &client, state, &gone);
    let _ = client.shutdown(Shutdown::Both);
    // The other thread has it too, and ends with the client's side.
    requests.join().expect("it does not panic");
    drop(upstream);
    state.left.fetch_add(was_left.into(), Ordering::Relaxed);
}

/// Passes on what the server says, and tells whether the client left while it was held up.
fn answer(
    mut upstream: &TcpStream,
    mut client: &TcpStream,
    state: &State,
    gone: &AtomicBool,
) -> bool {
    let mut buffer = [0; 8 << 10];
    let mut passed = 0;
    loop {
        if !state.hold.load(Ordering::Relaxed) {
            passed = 0;
        }
        if passed >= BYTES_BEFORE_HOLD {
            state.held.fetch_add(1, Ordering::Relaxed);
            while state.hold.load(Ordering::Relaxed) && !gone.load(Ordering::Relaxed) {
                thread::sleep(PAUSE);
            }
            if gone.load(Ordering::Relaxed) {
                return true;
            }
        }
        let Ok(len @ 1..) = upstream.read(&mut buffer) else { return false };
        if client.write_all(&buffer[..len]).is_err() {
            return false;
        }
        passed += len;
    }
}
