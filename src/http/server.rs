//! The server: listeners, the connections they bring, and the end of both.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;

use hyper::server::conn::http1;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::connection;
use super::counters::{Counters, count};
use super::cursors::Cursors;
use super::limits::{ACCEPT_PAUSE, Limits, REFUSALS_MAX};
use super::pool::Pool;
use super::service::{Service, Stock};
use super::vitals::Vitals;
use super::watch::{Clock, Patience, Watch};

/// Where to listen and how much to take.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The addresses; with port 0 the system chooses one.
    pub listen: Vec<SocketAddr>,
    /// The limits.
    pub limits: Limits,
}

/// A front end that holds its addresses and does not answer yet.
///
/// Binding is apart from running so that a program can fail with a clear message, print the
/// addresses and give up its rights before the first request.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
    counters: Rc<Counters>,
    cursors: Option<PathBuf>,
}

impl Server {
    /// Takes every address of `settings`.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the address that could not be had; none is held then.
    pub fn bind(settings: Settings) -> Result<Server, BindError> {
        let mut listeners = Vec::with_capacity(settings.listen.len());
        let mut addresses = Vec::with_capacity(settings.listen.len());
        for address in settings.listen {
            let bound = TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                addresses.push(listener.local_addr()?);
                Ok(listener)
            });
            listeners.push(bound.map_err(|cause| BindError { address, cause })?);
        }
        let counters = Rc::new(Counters::default());
        Ok(Server { listeners, addresses, limits: settings.limits, counters, cursors: None })
    }

    /// The bound addresses, in the order of the settings, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counts, to be kept and read while the server runs.
    #[must_use]
    pub fn counters(&self) -> Rc<Counters> {
        Rc::clone(&self.counters)
    }

    /// Keeps cursors in the file at `path`, where they outlive the server. It need not be there yet.
    pub fn keep_cursors(&mut self, path: PathBuf) {
        self.cursors = Some(path);
    }

    /// Answers from `vitals` until `shutdown` is ready, then lets answers finish within the grace.
    ///
    /// Everything runs on the calling thread, in a current-thread tokio runtime with I/O and time
    /// enabled. The listeners are closed before the grace begins.
    ///
    /// # Errors
    ///
    /// If a listener cannot be registered with the runtime; nothing was answered then.
    pub async fn run(
        self,
        vitals: Rc<dyn Vitals>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<Summary> {
        // A set of our own: what is still running when it is dropped ends with it.
        LocalSet::new().run_until(self.serve(vitals, shutdown)).await
    }

    async fn serve(
        self,
        vitals: Rc<dyn Vitals>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<Summary> {
        let Server { listeners, limits, counters, cursors, .. } = self;
        let cursors = Cursors::kept_in(cursors);
        let house = House::new(vitals, limits, Rc::clone(&counters), cursors);
        let listeners = listeners
            .into_iter()
            .map(tokio::net::TcpListener::from_std)
            .collect::<io::Result<Vec<_>>>()?;
        let doors: Vec<_> = listeners
            .into_iter()
            .map(|listener| spawn_local(admit(listener, Rc::clone(&house))))
            .collect();
        tokio::select! {
            biased;
            () = shutdown => {}
            () = sweep(&house) => {}
        }
        for door in doors {
            door.abort();
            let _ = door.await; // now the listener is closed
        }
        house.stopping.set(true);
        house.each_guest(Watch::wake);
        let _ = timeout(house.stock.limits().grace, house.emptied()).await;
        let dropped = house.open.get();
        counters.connections_dropped.set(dropped as u64);
        Ok(Summary { dropped, counters })
    }
}

/// What became of a server.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Connections that were still open after the grace and were closed as they were.
    pub dropped: usize,
    /// The counts of the whole run.
    pub counters: Rc<Counters>,
}

/// An address that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address as it was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.cause)
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// What the tasks of a running server share.
struct House {
    protocol: http1::Builder,
    patience: Patience,
    clock: Clock,
    stock: Rc<Stock>,
    /// The open connections. A place is used again when its guest has left, so there are never
    /// more places than connections were open at one time.
    guests: RefCell<Vec<Option<Rc<Watch>>>>,
    open: Cell<usize>,
    refusals: Cell<usize>,
    stopping: Cell<bool>,
    /// The first guest has come, or one has left.
    changed: Notify,
}

impl House {
    fn new(
        vitals: Rc<dyn Vitals>,
        limits: Limits,
        counters: Rc<Counters>,
        cursors: Rc<Cursors>,
    ) -> Rc<House> {
        Rc::new(House {
            protocol: connection::protocol(&limits),
            patience: Patience::new(&limits),
            clock: Clock::default(),
            stock: Rc::new(Stock {
                vitals,
                pool: Pool::new(),
                counters,
                cursors,
                told: RefCell::default(),
                limits: RefCell::new(Rc::new(limits)),
            }),
            guests: RefCell::new(Vec::new()),
            open: Cell::new(0),
            refusals: Cell::new(0),
            stopping: Cell::new(false),
            changed: Notify::new(),
        })
    }

    fn enter(self: &Rc<Self>) -> Guest {
        let watch = Watch::new(&self.clock);
        let mut guests = self.guests.borrow_mut();
        let place = guests.iter().position(Option::is_none).unwrap_or_else(|| {
            guests.push(None);
            guests.len() - 1
        });
        guests[place] = Some(Rc::clone(&watch));
        self.open.set(self.open.get() + 1);
        self.changed.notify_one();
        Guest { house: Rc::clone(self), watch, place }
    }

    fn each_guest(&self, act: impl Fn(&Watch)) {
        // Waking a task does not run it, so nobody enters or leaves meanwhile.
        for watch in self.guests.borrow().iter().flatten() {
            act(watch);
        }
    }

    async fn emptied(&self) {
        while self.open.get() > 0 {
            self.changed.notified().await;
        }
    }
}

/// A connection's place in the house; gives it back when dropped, however the task ends.
struct Guest {
    house: Rc<House>,
    watch: Rc<Watch>,
    place: usize,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.house.guests.borrow_mut()[self.place] = None;
        self.house.open.set(self.house.open.get() - 1);
        self.house.changed.notify_one();
        // The runtime catches the panic of a task and tells whoever awaits it; nobody does.
        if std::thread::panicking() {
            count(&self.house.stock.counters.panics);
        }
    }
}

/// Takes what comes to one listener.
async fn admit(listener: tokio::net::TcpListener, house: Rc<House>) {
    let counters = &house.stock.counters;
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                count(&counters.accept_errors);
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        count(&counters.connections_accepted);
        if house.open.get() < house.stock.limits().connections_max {
            // Answers leave in one piece; waiting for more to send with them only delays them.
            let _ = socket.set_nodelay(true);
            spawn_local(serve(house.enter(), socket));
        } else {
            count(&counters.connections_refused);
            if house.refusals.get() < REFUSALS_MAX {
                house.refusals.set(house.refusals.get() + 1);
                spawn_local(refuse(Rc::clone(&house), socket));
            }
        }
    }
}

async fn serve(guest: Guest, socket: TcpStream) {
    let house = &guest.house;
    let service = Service { stock: Rc::clone(&house.stock), watch: Rc::clone(&guest.watch) };
    connection::serve(&house.protocol, socket, service, || house.stopping.get()).await;
}

async fn refuse(house: Rc<House>, socket: TcpStream) {
    connection::refuse(socket).await;
    house.refusals.set(house.refusals.get() - 1);
}

/// Looks at every connection once in a sweep; sleeps for as long as there is none.
async fn sweep(house: &House) {
    loop {
        while house.open.get() == 0 {
            house.changed.notified().await;
        }
        sleep(house.patience.sweep).await;
        house.clock.set(house.clock.get() + 1);
        house.each_guest(|watch| watch.sweep(&house.patience));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::{Freshness, Pull, VitalsError};

    struct Nothing;

    impl Vitals for Nothing {
        fn pull(&self, _: bool, _: i64) -> Result<Box<dyn Pull>, VitalsError> {
            Err(VitalsError::Absent)
        }

        fn freshness(&self) -> Freshness {
            Freshness { newest_age: None, limit: Duration::ZERO, state: "closed" }
        }
    }

    #[test]
    fn the_place_of_a_guest_who_left_is_used_again() {
        let house = House::new(Rc::new(Nothing), Limits::default(), Rc::default(), Rc::default());
        let (first, second) = (house.enter(), house.enter());
        drop(first);
        let third = house.enter();
        assert_eq!(third.place, 0);
        assert_eq!(house.open.get(), 2);
        drop((second, third));
        assert_eq!(house.open.get(), 0);
        assert!(house.guests.borrow().iter().all(Option::is_none));
        assert_eq!(house.guests.borrow().len(), 2);
    }
}
