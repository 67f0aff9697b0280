//! Programs of other projects that a test runs beside ours, where they are installed.
#![allow(dead_code, reason = "each test uses some of it")]

use std::env;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "program.rs"]
pub(crate) mod program;

use program::{Client, Ended, PATIENCE, Program, Reply, eventually};

/// With 1 in this variable of the environment a program that is not installed is a failure, and with 0
/// none of them is used.
const REQUIRED: &str = "TACHOGRAPH_REQUIRE_SERVERS";
/// How many ports are tried before it is not the port.
const PORTS_MAX: usize = 5;

/// Whether all of `programs` can be started. If not, that is told, or is a failure where it has to be.
#[track_caller]
pub(crate) fn are_installed(programs: &[&str]) -> bool {
    let required = env::var(REQUIRED).unwrap_or_default();
    if required == "0" {
        eprintln!("LEFT OUT: {REQUIRED} is 0");
        return false;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let Some(missing) = programs.iter().find(|name| !is_there(name)) else { return true };
    assert!(required != "1", "{missing} is not installed");
    eprintln!("LEFT OUT: {missing} is not installed");
    false
}

/// An address of this machine that nobody listened on a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// A server in a process of its own. It is killed, by its own pid, when the test forgets it or fails.
pub(crate) struct Peer {
    program: Program,
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// Starts what `command` makes for an address, and waits until it answers requests for `target`.
    pub(crate) fn start(target: &str, command: impl Fn(SocketAddr) -> Command) -> Self {
        let mut said = String::new();
        for _ in 0..PORTS_MAX {
            match Self::start_at(free_address(), target, &command) {
                Ok(peer) => return peer,
                // Somebody else may have taken the port.
                Err(ended) => said = ended,
            }
        }
        panic!("the server does not start: {said}");
    }

    /// The same, at an address that is known to others.
    pub(crate) fn start_at(
        address: SocketAddr,
        target: &str,
        command: impl Fn(SocketAddr) -> Command,
    ) -> Result<Self, String> {
        // One that is to be watched beside others needs no more than one processor.
        let mut command = command(address);
        command.env("GOMAXPROCS", "1").stdin(Stdio::null());
        let mut program = Program::start(&mut command);
        eventually("a server that answers", || {
            if !program.is_running() {
                return Some(Err(()));
            }
            let answers = try_get(address, target, "").is_some_and(|reply| reply.status == 200);
            answers.then_some(Ok(()))
        })
        .map_err(|()| program.err())?;
        Ok(Self { program, address })
    }

    /// The text of what is at `target`.
    #[track_caller]
    pub(crate) fn text(&self, target: &str) -> String {
        get(self.address, target, "").text().to_owned()
    }

    /// What it has said on its standard error so far.
    pub(crate) fn err(&self) -> String {
        self.program.err()
    }

    /// Ends it in order.
    pub(crate) fn end(self) -> Ended {
        self.program.end()
    }

    /// Ends it at whatever instruction it is.
    pub(crate) fn kill(self) -> Ended {
        self.program.kill()
    }
}

/// The good answer to a request with more `headers`, each with its line's end.
#[track_caller]
pub(crate) fn get(address: SocketAddr, target: &str, headers: &str) -> Reply {
    let reply = try_get(address, target, headers).expect("it listens");
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply
}

/// The answer, whatever it is, if anybody listens.
fn try_get(address: SocketAddr, target: &str, headers: &str) -> Option<Reply> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    Some(Client { stream: BufReader::new(socket) }.reply())
}

/// A value as it is written in a query.
pub(crate) fn quoted(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Runs a tool to its end and gives what it has said on both outputs, if it said that all is well.
#[track_caller]
pub(crate) fn told_by(command: &mut Command) -> String {
    let ended = Program::start(command.stdin(Stdio::null())).ended();
    assert_eq!(ended.code, Some(0), "{command:?}: {ended:?}");
    ended.out + &ended.err
}

/// Writes `text` to a file in `dir` and gives its path as text.
pub(crate) fn written(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path.into_os_string().into_string().expect("UTF-8")
}
