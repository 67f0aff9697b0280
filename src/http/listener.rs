//! Where the server can be reached: TCP addresses and sockets in the file system.

use std::error::Error;
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::socket::{Peer, Socket};

/// Connections that the kernel keeps until they are taken. It takes fewer where its own limit says so.
const BACKLOG: i32 = 1024;

/// The bits of a mode that say who may connect.
const MODE_BITS: u32 = 0o777;

/// A socket in the file system, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPlace {
    /// Its name; at most 107 bytes.
    pub path: PathBuf,
    /// Who may connect: whoever may write to it.
    pub mode: u32,
    /// The group that owns it; that of the process if none is given.
    pub group: Option<u32>,
}

/// Where somebody is to listen, or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address of the network; where it is asked for, with port 0 the system chooses one.
    Tcp(SocketAddr),
    /// A name in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "{address}"),
            // It may have any character in it, and stands in lines of a log.
            Place::Unix(path) => write!(f, "unix:{}", path.to_string_lossy().escape_debug()),
        }
    }
}

/// A place that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The place as it was asked for.
    pub place: Place,
    /// What the system said.
    pub cause: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, self.cause)
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// A socket that takes connections.
///
/// One in the file system that was made here is removed when this is dropped, unless another one has
/// its name by then.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    place: Place,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    ///
    /// [`BindError`] if it cannot be had.
    pub fn tcp(address: SocketAddr) -> Result<Listener, BindError> {
        let failed = |cause| BindError { place: Place::Tcp(address), cause };
        make_tcp(address).and_then(Listener::over_tcp).map_err(failed)
    }

    /// Listens on a name in the file system.
    ///
    /// What another process has left there is removed, if it is a socket on which nobody listens.
    /// Nobody can connect before the mode and the group are as asked for.
    ///
    /// # Errors
    ///
    /// [`BindError`] if somebody listens there, if something else has the name, if everybody may
    /// replace what is in the directory, or if the system refuses.
    pub fn unix(asked: &UnixPlace) -> Result<Listener, BindError> {
        let place = Place::Unix(asked.path.clone());
        let made = make_unix(asked).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener, SocketFile::at(&asked.path)?))
        });
        match made {
            Ok((listener, file)) => {
                Ok(Listener { socket: Listening::Unix(listener), place, file: Some(file) })
            }
            Err(cause) => Err(BindError { place, cause }),
        }
    }

    /// Takes what comes to `listener`, which somebody else has made.
    ///
    /// # Errors
    ///
    /// If it is no listening socket.
    pub fn over_tcp(listener: TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let place = Place::Tcp(listener.local_addr()?);
        Ok(Listener { socket: Listening::Tcp(listener), place, file: None })
    }

    /// Takes what comes to `listener`, which somebody else has made and will remove.
    ///
    /// # Errors
    ///
    /// If it is no listening socket.
    pub fn over_unix(listener: UnixListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
        let place = Place::Unix(path.unwrap_or_else(|| "(unnamed)".into()));
        Ok(Listener { socket: Listening::Unix(listener), place, file: None })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Registers it with the runtime.
    pub(crate) fn begin(self) -> io::Result<Admission> {
        let socket = match self.socket {
            Listening::Tcp(listener) => {
                Admitting::Tcp(tokio::net::TcpListener::from_std(listener)?)
            }
            Listening::Unix(listener) => {
                Admitting::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        };
        Ok(Admission { socket, _file: self.file })
    }
}

/// A listener in the runtime.
#[derive(Debug)]
pub(crate) struct Admission {
    socket: Admitting,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Admitting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Admission {
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        Ok(match &self.socket {
            Admitting::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                (Socket::Tcp(socket), Peer::Tcp(address))
            }
            Admitting::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                let user = socket.peer_cred().ok().map(|peer| peer.uid());
                (Socket::Unix(socket), Peer::Unix(user))
            }
        })
    }
}

/// A socket's name in the file system, which goes when this is dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

// As the standard library does it, but for the backlog: its 128 are few where hundreds of pollers
// connect at the same moment, and a kernel that has no room lets them wait for a second.
fn make_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = stream_socket(family)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

// Until `listen` is called whoever connects is refused. So between `bind`, which makes the file with
// what the umask leaves of all rights, and the right mode nobody gets in, and the umask, which all
// threads of a process share, stays as it is.
fn make_unix(asked: &UnixPlace) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(&*asked.path)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the name is too long"))?;
    check_parent(&asked.path)?;
    remove_stale(&asked.path, &address)?;
    let socket = stream_socket(AddressFamily::UNIX)?;
    bind(&socket, &address)?;
    let allowed = allow(asked).and_then(|()| Ok(listen(&socket, BACKLOG)?));
    if let Err(error) = allowed {
        let _ = fs::remove_file(&asked.path);
        return Err(error);
    }
    Ok(socket.into())
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Gives a socket's file the mode and the group that are asked for.
pub(crate) fn allow(asked: &UnixPlace) -> io::Result<()> {
    let UnixPlace { path, mode, group } = asked;
    if group.is_some() {
        chown(path, None, *group)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode & MODE_BITS))
}

/// Where everybody may rename everything, whom the name leads to is anybody's choice.
fn check_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file")),
    };
    let told = |cause: io::Error| {
        io::Error::new(cause.kind(), format!("the directory {}: {cause}", parent.display()))
    };
    let mode = fs::metadata(parent).map_err(told)?.mode();
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        let text = "everybody may replace what is in it";
        return Err(told(io::Error::new(io::ErrorKind::PermissionDenied, text)));
    }
    Ok(())
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        let text = "there is a file of this name, and it is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // It does not wait: whoever listens and takes nothing for now is there as well.
    match connect(&stream_socket(AddressFamily::UNIX)?, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))
        }
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory of a test's own.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tachograph-listener-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("a directory");
            Scratch(path)
        }

        fn asked(&self) -> UnixPlace {
            UnixPlace { path: self.0.join("s"), mode: 0o660, group: None }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn socket_has_the_mode_that_is_asked_for_and_goes_with_its_listener() {
        let scratch = Scratch::new();
        for mode in [0o600, 0o660, 0o666] {
            let asked = UnixPlace { mode, ..scratch.asked() };
            let listener = Listener::unix(&asked).expect("it is free");
            let meta = fs::symlink_metadata(&asked.path).expect("it is there");
            assert_eq!(meta.mode() & 0o7777, mode);
            assert_eq!(listener.place(), &Place::Unix(asked.path.clone()));
            UnixStream::connect(&asked.path).expect("it listens");
            drop(listener);
            assert!(!asked.path.exists());
        }
    }

    #[test]
    fn socket_that_nobody_listens_on_is_replaced_and_another_one_is_not() {
        let scratch = Scratch::new();
        let asked = scratch.asked();
        drop(UnixListener::bind(&asked.path).expect("a socket that stays behind"));
        let first = Listener::unix(&asked).expect("nobody listens");
        let error = Listener::unix(&asked).expect_err("somebody does");
        assert_eq!(error.cause.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot listen on unix:{}: ", asked.path.display()))
        );
        UnixStream::connect(&asked.path).expect("the first still listens");
        // Somebody has put another one in its place, which is not ours to remove.
        fs::remove_file(&asked.path).expect("there");
        let other = UnixListener::bind(&asked.path).expect("free");
        drop(first);
        UnixStream::connect(&asked.path).expect("the other still listens");
        drop(other);
    }

    #[test]
    fn what_is_no_socket_and_where_everybody_writes_is_left_alone() {
        let scratch = Scratch::new();
        let asked = scratch.asked();
        fs::write(&asked.path, "mine").expect("written");
        let error = Listener::unix(&asked).expect_err("it is a file");
        assert!(error.to_string().ends_with("and it is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&asked.path).expect("there"), "mine");
        fs::remove_file(&asked.path).expect("there");
        fs::set_permissions(&scratch.0, Permissions::from_mode(0o777)).expect("ours");
        let error = Listener::unix(&asked).expect_err("anybody could rename it");
        assert!(error.to_string().ends_with("everybody may replace what is in it"), "{error}");
        fs::set_permissions(&scratch.0, Permissions::from_mode(0o1777)).expect("ours");
        Listener::unix(&asked).expect("only its owner can");
        let nowhere = UnixPlace { path: scratch.0.join("no/s"), ..scratch.asked() };
        let error = Listener::unix(&nowhere).expect_err("no directory");
        assert!(error.to_string().contains("/no: "), "{error}");
        let long = UnixPlace { path: scratch.0.join("x".repeat(200)), ..scratch.asked() };
        assert!(Listener::unix(&long).is_err_and(|error| error.to_string().ends_with("too long")));
    }
}
