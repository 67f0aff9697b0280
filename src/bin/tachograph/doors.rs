//! Where the server listens: at what was handed over at the start, or where the settings say.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use nix::unistd::Group;
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tachograph::http::{self, Listener, Place, Server, UnixPlace};
use tracing::{info, warn};

use crate::config::{self, Settings, UnixSettings};
use crate::rights;

/// Most listeners that can be handed over.
const GIVEN_MAX: usize = 64;
/// Descriptors that are left for all that is not a connection and not a sampler's file.
const DESCRIPTORS_KEPT: u64 = 256;

/// Listens, and answers nobody yet, nor anybody who may not read.
pub(crate) fn bind(settings: &Settings) -> anyhow::Result<Server> {
    let mut server = listen(settings)?;
    let is_local = |place: &Place| match place {
        Place::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Place::Unix(_) => true,
    };
    let is_local = server.places().iter().all(is_local);
    let dir = rights::state_dir(settings.state_dir.as_deref());
    let (files, access) = rights::open(&dir, is_local)?;
    server.guard(files, access);
    Ok(server)
}

fn listen(settings: &Settings) -> anyhow::Result<Server> {
    let given = given(settings.insecure_listen)?;
    let wanted = wanted(settings)?;
    if !given.is_empty() {
        return Ok(Server::over(given, wanted));
    }
    if wanted.listen.is_empty() && wanted.sockets.is_empty() {
        bail!(
            "there is nowhere to listen: neither an address nor a socket is set, and none was given"
        );
    }
    Ok(Server::bind(wanted)?)
}

/// The settings as the server takes them.
pub(crate) fn wanted(settings: &Settings) -> anyhow::Result<http::Settings> {
    let mut limits = settings.limits.clone();
    limits.connections_max = room_for(limits.connections_max);
    Ok(http::Settings {
        listen: settings.places.addresses.clone(),
        sockets: settings.places.sockets.iter().map(socket).collect::<Result<_, _>>()?,
        limits,
        access_log: settings.access_log,
        compression: settings.compression,
        hosts: settings.hosts.clone(),
    })
}

fn socket(asked: &UnixSettings) -> anyhow::Result<UnixPlace> {
    let UnixSettings { path, mode, group } = asked;
    let group = group.as_deref().map(group_id).transpose();
    let group = group.with_context(|| format!("for the socket {}", path.display()))?;
    Ok(UnixPlace { path: path.clone(), mode: *mode, group })
}

fn group_id(name: &str) -> anyhow::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    if name.contains('\0') {
        bail!("there is no group {name:?}");
    }
    let group = Group::from_name(name).with_context(|| format!("cannot ask for group {name:?}"))?;
    Ok(group.with_context(|| format!("there is no group {name:?}"))?.gid.as_raw())
}

/// The listeners that whoever started the program has handed over, as systemd does for a `.socket`
/// unit. The variables that say so are removed: no other program is to believe that they are for it.
fn given(insecure: bool) -> anyhow::Result<Vec<Listener>> {
    let mut given = ListenFd::from_env();
    if given.len() > GIVEN_MAX {
        bail!("{} sockets were handed over; {GIVEN_MAX} is the most", given.len());
    }
    let listeners = (0..given.len()).map(|index| take(&mut given, index));
    let listeners = listeners.collect::<anyhow::Result<Vec<_>>>()?;
    let places: Vec<_> = listeners.iter().map(Listener::place).collect();
    let addresses = places.iter().filter_map(|place| match place {
        Place::Tcp(address) => Some(*address),
        Place::Unix(_) => None,
    });
    config::check_open(&addresses.collect::<Vec<SocketAddr>>(), insecure)?;
    if !places.is_empty() {
        let places: Vec<_> = places.iter().map(ToString::to_string).collect();
        let places = places.join(", ");
        info!("listening on what was handed over, {places}, and not where the settings say");
    }
    Ok(listeners)
}

fn take(given: &mut ListenFd, index: usize) -> anyhow::Result<Listener> {
    let told = || format!("the socket {} that was handed over cannot be used", index + 1);
    let ready = |listening: rustix::io::Result<bool>| match listening {
        Ok(true) => Ok(()),
        Ok(false) => bail!("it does not listen"),
        Err(error) => Err(error.into()),
    };
    if let Ok(Some(socket)) = given.take_tcp_listener(index) {
        ready(socket_acceptconn(&socket)).with_context(told)?;
        return Listener::over_tcp(socket).with_context(told);
    }
    let socket = given.take_unix_listener(index).with_context(told)?.with_context(told)?;
    ready(socket_acceptconn(&socket)).with_context(told)?;
    Listener::over_unix(socket).with_context(told)
}

/// As many connections as are asked for, or as there are descriptors for.
///
/// Half of the process's descriptors may be used by the sampler, whose work goes before that of the
/// server. The system's default limit of 1,024 is there for programs that use `select`, and is raised.
fn room_for(connections: usize) -> usize {
    let needed = connections as u64 * 2 + DESCRIPTORS_KEPT;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(mut limit) = current.filter(|current| *current < needed) else { return connections };
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed)).max(limit);
    if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
        limit = raised;
    }
    if limit >= needed {
        return connections;
    }
    let room = usize::try_from(limit.saturating_sub(DESCRIPTORS_KEPT) / 2).unwrap_or(0).max(1);
    warn!(
        "connections_max is {room} and not {connections}: the process may have {limit} descriptors"
    );
    room
}
