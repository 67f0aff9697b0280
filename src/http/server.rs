//! The server: listeners, the connections they bring, and the end of both.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use hyper::server::conn::http1;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::coder::Coders;
use super::connection;
use super::counters::{Counters, count};
use super::cursors::Cursors;
use super::guard::Guard;
use super::hosts::Hosts;
use super::kept::Kept;
use super::limits::{ACCEPT_PAUSE, COMPRESS_BYTES_MIN, Limits, REFUSALS_MAX};
use super::listener::{self, Admission, BindError, Listener, Place, UnixPlace};
use super::pool::Pool;
use super::service::{Service, Stock};
use super::socket::{Neighbour, Peer, Socket};
use super::vitals::Vitals;
use super::watch::{Clock, Patience, Watch};
use crate::rights::{Access, AccessFiles};

/// Where to listen and how much to take.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The addresses; with port 0 the system chooses one.
    pub listen: Vec<SocketAddr>,
    /// The sockets in the file system.
    pub sockets: Vec<UnixPlace>,
    /// The limits.
    pub limits: Limits,
    /// Whether each request is told as an event of the target [`ACCESS`](super::ACCESS).
    pub access_log: bool,
    /// What is compressed for clients that ask for it.
    pub compression: Compression,
    /// Names under which requests are answered, beside addresses, `localhost` and the names of this
    /// machine. `*` stands for every name, `*.NAME` for all that end so.
    pub hosts: Vec<String>,
}

/// What is compressed for clients that ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The smallest answer for which it is worth its time.
    pub bytes_min: usize,
    /// Whether also for clients on this machine, whom bytes cost nothing.
    pub on_loopback: bool,
}

impl Default for Compression {
    fn default() -> Compression {
        Compression { bytes_min: COMPRESS_BYTES_MIN, on_loopback: false }
    }
}

/// A front end that holds its places and does not answer yet.
///
/// Binding is apart from running so that a program can fail with a clear message, print the
/// addresses and give up its rights before the first request.
#[derive(Debug)]
pub struct Server {
    desk: Rc<Desk>,
    addresses: Vec<SocketAddr>,
    cursors: Option<PathBuf>,
    access: Option<(AccessFiles, Access)>,
}

impl Server {
    /// Takes every place of `settings`.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the place that could not be had; none is held then.
    pub fn bind(settings: Settings) -> Result<Server, BindError> {
        let doors = Asked::of(&settings).map(Door::open).collect::<Result<Vec<_>, _>>()?;
        Ok(Server::with(doors, settings))
    }

    /// Takes what comes to `listeners`, and listens nowhere else, whatever `settings` say.
    #[must_use]
    pub fn over(listeners: Vec<Listener>, settings: Settings) -> Server {
        Server::with(listeners.into_iter().map(Door::given).collect(), settings)
    }

    fn with(doors: Vec<Door>, settings: Settings) -> Server {
        let address = |door: &Door| match door.place {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        };
        let addresses = doors.iter().filter_map(address).collect();
        let desk = Desk {
            doors: RefCell::new(doors),
            leaving: RefCell::default(),
            settings: RefCell::new(settings),
            changed: Notify::new(),
            counters: Rc::default(),
        };
        Server { desk: Rc::new(desk), addresses, cursors: None, access: None }
    }

    /// The bound addresses, in the order of the settings, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All places where it listens: the bound addresses and the sockets in the file system.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.desk.places()
    }

    /// The counts, to be kept and read while the server runs.
    #[must_use]
    pub fn counters(&self) -> Rc<Counters> {
        Rc::clone(&self.desk.counters)
    }

    /// Keeps cursors in the file at `path`, where they outlive the server. It need not be there yet.
    pub fn keep_cursors(&mut self, path: PathBuf) {
        self.cursors = Some(path);
    }

    /// Lets everybody see what the files say that they may, and nothing else. The files are read again
    /// when they change. Without this, everybody sees everything.
    pub fn guard(&mut self, files: AccessFiles, access: Access) {
        self.access = Some((files, access));
    }

    /// What changes the server while it runs.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(Rc::clone(&self.desk))
    }

    /// Answers from `vitals` until `shutdown` is ready, then lets answers finish within the grace.
    ///
    /// Everything runs on the calling thread, in a current-thread tokio runtime with I/O and time
    /// enabled. The listeners are closed before the grace begins.
    ///
    /// # Errors
    ///
    /// If a listener cannot be registered with the runtime; nothing was answered then. And if the task
    /// of a listener has panicked: nobody would be let in by it any more, so the server ends.
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
        let Server { desk, cursors, access, .. } = self;
        let cursors = Cursors::kept_in(cursors);
        let counters = Rc::clone(&desk.counters);
        let guard = match access {
            Some(access) => Guard::by(Rc::clone(&vitals), access),
            None => Guard::open(Rc::clone(&vitals)),
        };
        let settings = desk.settings.borrow().clone();
        let house = House::new((vitals, guard), &settings, Rc::clone(&counters), cursors);
        let mut outcome = desk.begin(&house);
        if outcome.is_ok() {
            tokio::select! {
                biased;
                () = shutdown => {}
                () = house.broken.notified() => {
                    outcome = Err(io::Error::other("a listener has panicked; this is a defect"));
                }
                () = desk.follow(&house) => {}
                () = sweep(&house) => {}
            }
        }
        desk.close().await;
        outcome?;
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

/// Changes a server while it runs, from the thread that it runs on.
#[derive(Clone, Debug)]
pub struct Remote(Rc<Desk>);

impl Remote {
    /// Lets the server go on with other settings, from its next turn on.
    ///
    /// A place that is in both stays as it is, and connections stay wherever they came from; new
    /// places are listened on before old ones are left. A server [over](Server::over) given listeners
    /// keeps these. What a connection was promised when it began to speak, such as the size of a
    /// header, is for later ones.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the place that could not be had; nothing has changed then.
    pub fn change(&self, settings: Settings) -> Result<(), BindError> {
        let Remote(desk) = self;
        let mut doors = desk.doors.borrow_mut();
        if !doors.iter().any(Door::is_given) {
            let asked: Vec<_> = Asked::of(&settings).collect();
            let is_new = |asked: &&Asked| !doors.iter().any(|door| door.is_at(asked));
            let new = asked.iter().filter(is_new).cloned().map(Door::open);
            let new = new.collect::<Result<Vec<_>, _>>()?;
            for door in &mut *doors {
                if let Some(asked) = asked.iter().find(|asked| door.is_at(asked)) {
                    door.allow(asked)?;
                }
            }
            let stays = |door: &mut Door| asked.iter().any(|asked| door.is_at(asked));
            desk.leaving.borrow_mut().extend(doors.extract_if(.., |door| !stays(door)));
            doors.extend(new);
        }
        desk.settings.replace(settings);
        desk.changed.notify_one();
        Ok(())
    }

    /// All places where the server listens.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.0.places()
    }
}

/// What a running server and those who change it have in common.
#[derive(Debug)]
struct Desk {
    doors: RefCell<Vec<Door>>,
    /// Those that are to be closed.
    leaving: RefCell<Vec<Door>>,
    settings: RefCell<Settings>,
    changed: Notify,
    counters: Rc<Counters>,
}

impl Desk {
    fn places(&self) -> Vec<Place> {
        self.doors.borrow().iter().map(|door| door.place.clone()).collect()
    }

    /// Opens the doors that are not open yet.
    fn begin(&self, house: &Rc<House>) -> io::Result<()> {
        for door in &mut *self.doors.borrow_mut() {
            if let Some(listener) = door.waiting.take() {
                let admission = listener.begin()?;
                door.task = Some(spawn_local(admit(admission, Rc::clone(house))));
            }
        }
        Ok(())
    }

    /// Does what a [`Remote`] asks for.
    async fn follow(&self, house: &Rc<House>) {
        loop {
            self.changed.notified().await;
            house.apply(&self.settings.borrow());
            if let Err(error) = self.begin(house) {
                tracing::error!(%error, "a new listener cannot be used");
            }
            let leaving = self.leaving.take();
            close(leaving).await;
        }
    }

    async fn close(&self) {
        let leaving = self.leaving.take();
        close(leaving).await;
        let doors = self.doors.take();
        close(doors).await;
    }
}

/// Closes doors; afterwards nobody listens there.
async fn close(doors: Vec<Door>) {
    for task in doors.into_iter().filter_map(|door| door.task) {
        task.abort();
        let _ = task.await; // now the listener is closed
    }
}

/// A place as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Tcp(SocketAddr),
    Unix(UnixPlace),
}

impl Asked {
    fn of(settings: &Settings) -> impl Iterator<Item = Asked> {
        let addresses = settings.listen.iter().copied().map(Asked::Tcp);
        addresses.chain(settings.sockets.iter().cloned().map(Asked::Unix))
    }
}

/// A listener: before the server runs by itself, then in a task.
#[derive(Debug)]
struct Door {
    /// None of one that was given.
    asked: Option<Asked>,
    place: Place,
    waiting: Option<Listener>,
    task: Option<JoinHandle<()>>,
}

impl Door {
    fn open(asked: Asked) -> Result<Door, BindError> {
        let listener = match &asked {
            Asked::Tcp(address) => Listener::tcp(*address)?,
            Asked::Unix(place) => Listener::unix(place)?,
        };
        Ok(Door { asked: Some(asked), ..Door::given(listener) })
    }

    fn given(listener: Listener) -> Door {
        let place = listener.place().clone();
        Door { asked: None, place, waiting: Some(listener), task: None }
    }

    fn is_given(&self) -> bool {
        self.asked.is_none()
    }

    /// Whether it is at the place that is asked for, whoever may connect to it.
    fn is_at(&self, asked: &Asked) -> bool {
        match (&self.asked, asked) {
            (Some(Asked::Unix(own)), Asked::Unix(asked)) => own.path == asked.path,
            (own, asked) => own.as_ref() == Some(asked),
        }
    }

    /// Lets those connect whom `asked`, which is at the same place, allows.
    fn allow(&mut self, asked: &Asked) -> Result<(), BindError> {
        if let Asked::Unix(socket) = asked
            && self.asked.as_ref() != Some(asked)
        {
            listener::allow(socket)
                .map_err(|cause| BindError { place: self.place.clone(), cause })?;
            self.asked = Some(asked.clone());
        }
        Ok(())
    }
}

/// What the tasks of a running server share.
struct House {
    protocol: RefCell<http1::Builder>,
    patience: Cell<Patience>,
    clock: Clock,
    stock: Rc<Stock>,
    /// The open connections. A place is used again when its guest has left, so there are never
    /// more places than connections were open at one time.
    guests: RefCell<Vec<Option<Rc<Watch>>>>,
    /// How many of them come from where; nobody who has none.
    neighbours: RefCell<HashMap<Neighbour, usize>>,
    open: Cell<usize>,
    refusals: Cell<usize>,
    stopping: Cell<bool>,
    /// The first guest has come, or one has left.
    changed: Notify,
    /// The task of a listener has panicked.
    broken: Notify,
}

impl House {
    fn new(
        (vitals, guard): (Rc<dyn Vitals>, Guard),
        settings: &Settings,
        counters: Rc<Counters>,
        cursors: Rc<Cursors>,
    ) -> Rc<House> {
        let limits = settings.limits.clone();
        Rc::new(House {
            protocol: RefCell::new(connection::protocol(&limits)),
            patience: Cell::new(Patience::new(&limits)),
            clock: Clock::default(),
            stock: Rc::new(Stock {
                vitals,
                guard,
                delayed: Cell::default(),
                pool: Pool::new(),
                coders: Coders::new(Rc::clone(&counters)),
                compression: Cell::new(settings.compression),
                hosts: RefCell::new(Hosts::of_this_machine(&settings.hosts)),
                counters,
                cursors,
                told: RefCell::default(),
                kept: Kept::default(),
                streams: Rc::default(),
                limits: RefCell::new(Rc::new(limits)),
                access_log: Cell::new(settings.access_log),
            }),
            guests: RefCell::default(),
            neighbours: RefCell::default(),
            open: Cell::new(0),
            refusals: Cell::new(0),
            stopping: Cell::new(false),
            changed: Notify::new(),
            broken: Notify::new(),
        })
    }

    /// Goes on with other settings. Waits that are under way are measured by them too.
    fn apply(&self, settings: &Settings) {
        let limits = settings.limits.clone();
        self.protocol.replace(connection::protocol(&limits));
        self.patience.set(Patience::new(&limits));
        self.stock.limits.replace(Rc::new(limits));
        self.stock.access_log.set(settings.access_log);
        self.stock.compression.set(settings.compression);
        self.stock.hosts.replace(Hosts::of_this_machine(&settings.hosts));
    }

    /// A place for a connection from `peer`, or what to tell it.
    fn enter(self: &Rc<Self>, peer: Peer) -> Result<Guest, &'static [u8]> {
        let limits = self.stock.limits();
        if self.open.get() >= limits.connections_max {
            count(&self.stock.counters.connections_refused);
            return Err(connection::FULL);
        }
        let neighbour = Neighbour::of(peer);
        if let Some(neighbour) = neighbour {
            let mut neighbours = self.neighbours.borrow_mut();
            let open = neighbours.get(&neighbour).copied().unwrap_or(0);
            if open >= limits.connections_per_address_max {
                count(&self.stock.counters.connections_refused_per_address);
                return Err(connection::FULL_FOR_ONE);
            }
            neighbours.insert(neighbour, open + 1);
        }
        let watch = Watch::new(&self.clock);
        let mut guests = self.guests.borrow_mut();
        let place = guests.iter().position(Option::is_none).unwrap_or_else(|| {
            guests.push(None);
            guests.len() - 1
        });
        guests[place] = Some(Rc::clone(&watch));
        self.open.set(self.open.get() + 1);
        self.changed.notify_one();
        Ok(Guest { house: Rc::clone(self), watch, place, neighbour })
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
    neighbour: Option<Neighbour>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.house.guests.borrow_mut()[self.place] = None;
        self.house.open.set(self.house.open.get() - 1);
        self.house.changed.notify_one();
        if let Some(neighbour) = self.neighbour {
            let mut neighbours = self.house.neighbours.borrow_mut();
            match neighbours.get_mut(&neighbour) {
                Some(open) if *open > 1 => *open -= 1,
                _ => {
                    neighbours.remove(&neighbour);
                }
            }
        }
        // The runtime catches the panic of a task and tells whoever awaits it; nobody does.
        if std::thread::panicking() {
            count(&self.house.stock.counters.panics);
        }
    }
}

/// Tells the house when the task that holds it panics, which the runtime tells nobody.
struct Alarm(Rc<House>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.0.stock.counters.panics);
            self.0.broken.notify_one();
        }
    }
}

/// Takes what comes to one listener.
async fn admit(listener: Admission, house: Rc<House>) {
    let _alarm = Alarm(Rc::clone(&house));
    let counters = &house.stock.counters;
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                count(&counters.accept_errors);
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        count(&counters.connections_accepted);
        match house.enter(peer) {
            Ok(guest) => {
                socket.send_at_once();
                spawn_local(serve(guest, socket, peer));
            }
            Err(refusal) => {
                if house.refusals.get() < REFUSALS_MAX {
                    house.refusals.set(house.refusals.get() + 1);
                    spawn_local(refuse(Rc::clone(&house), socket, refusal));
                } else {
                    socket.tell_at_once(refusal);
                }
            }
        }
    }
}

async fn serve(guest: Guest, socket: Socket, peer: Peer) {
    let house = &guest.house;
    let service = Service { stock: Rc::clone(&house.stock), watch: Rc::clone(&guest.watch), peer };
    let protocol = house.protocol.borrow().clone();
    connection::serve(&protocol, socket, service, || house.stopping.get()).await;
}

async fn refuse(house: Rc<House>, socket: Socket, refusal: &'static [u8]) {
    connection::refuse(socket, refusal).await;
    house.refusals.set(house.refusals.get() - 1);
}

/// Looks at every connection once in a sweep; sleeps for as long as there is none.
async fn sweep(house: &House) {
    loop {
        while house.open.get() == 0 {
            house.changed.notified().await;
        }
        sleep(house.patience.get().sweep).await;
        house.clock.set(house.clock.get() + 1);
        house.each_guest(|watch| watch.sweep(&house.patience.get()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::{Freshness, Pull, VitalsError};
    use crate::rights::Sight;

    struct Nothing;

    fn house(settings: &Settings) -> Rc<House> {
        let vitals: Rc<dyn Vitals> = Rc::new(Nothing);
        let guard = Guard::open(Rc::clone(&vitals));
        House::new((vitals, guard), settings, Rc::default(), Rc::default())
    }

    impl Vitals for Nothing {
        fn seen_by(&self, _: &Rc<Sight>) -> Rc<dyn Vitals> {
            Rc::new(Nothing)
        }

        fn pull(&self, _: bool, _: i64) -> Result<Box<dyn Pull>, VitalsError> {
            Err(VitalsError::Absent)
        }

        fn freshness(&self) -> Freshness {
            Freshness { newest_age: None, limit: Duration::ZERO, state: "closed" }
        }
    }

    #[test]
    fn the_place_of_a_guest_who_left_is_used_again() {
        let house = house(&Settings::default());
        let enter = || house.enter(Peer::Unix(None)).unwrap_or_else(|_| panic!("there is room"));
        let (first, second) = (enter(), enter());
        drop(first);
        let third = enter();
        assert_eq!(third.place, 0);
        assert_eq!(house.open.get(), 2);
        drop((second, third));
        assert_eq!(house.open.get(), 0);
        assert!(house.guests.borrow().iter().all(Option::is_none));
        assert_eq!(house.guests.borrow().len(), 2);
    }

    #[test]
    fn listener_that_panics_is_noticed_and_one_that_ends_is_not() {
        let house = house(&Settings::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let hold = async |panics: bool| {
            let alarm = Alarm(Rc::clone(&house));
            let task = spawn_local(async move {
                let _alarm = alarm;
                assert!(!panics, "on purpose");
            });
            let _ = task.await;
        };
        LocalSet::new().block_on(&runtime, async {
            hold(false).await;
            assert_eq!(house.stock.counters.panics.get(), 0);
            hold(true).await;
            house.broken.notified().await;
            assert_eq!(house.stock.counters.panics.get(), 1);
        });
    }

    #[test]
    fn one_address_has_its_share_and_leaves_the_rest_to_others() {
        let limits =
            Limits { connections_max: 5, connections_per_address_max: 2, ..Limits::default() };
        let settings = Settings { limits, ..Settings::default() };
        let house = house(&settings);
        let peer = |text: &str| Peer::Tcp(text.parse().expect("an address"));
        let enter = |text: &str| house.enter(peer(text));
        let first = enter("192.0.2.1:1").unwrap_or_else(|_| panic!("the first"));
        let _second = enter("192.0.2.1:2").unwrap_or_else(|_| panic!("the second"));
        assert_eq!(enter("192.0.2.1:3").err(), Some(connection::FULL_FOR_ONE));
        let _other = enter("192.0.2.2:1").unwrap_or_else(|_| panic!("another one's first"));
        drop(first);
        let _third = enter("192.0.2.1:3").unwrap_or_else(|_| panic!("a place is free again"));
        assert_eq!(enter("192.0.2.1:4").err(), Some(connection::FULL_FOR_ONE));
        // This machine's own programs are bounded by the whole alone.
        let mut local = Vec::new();
        while let Ok(guest) = house.enter(peer("127.0.0.1:1")) {
            local.push(guest);
        }
        assert_eq!((local.len(), house.open.get()), (2, 5));
        assert_eq!(enter("192.0.2.3:1").err(), Some(connection::FULL));
        assert_eq!(house.enter(Peer::Unix(None)).err(), Some(connection::FULL));
        let counters = &house.stock.counters;
        assert_eq!(counters.connections_refused_per_address.get(), 2);
        assert_eq!(counters.connections_refused.get(), 3);
        drop((local, _second, _other, _third));
        assert!(house.neighbours.borrow().is_empty(), "nothing is kept of who has left");
    }
}
