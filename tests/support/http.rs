//! A server with scripted data on a port of its own, and a client that sees every byte.

// Each test file uses its own part of this, as a module of its own.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tachograph::http::{Freshness, Limits, Part, Pull, Server, Settings, Vitals, VitalsError};
use tachograph::rights::Sight;
use tokio::sync::oneshot;

/// Longer than anything here takes on a loaded machine; reaching it is a failure.
pub const FOREVER: Duration = Duration::from_secs(60);

type Begin = dyn Fn(bool, i64) -> Result<Box<dyn Pull>, VitalsError> + Send;

/// Data that does as it is told.
pub struct Fake {
    pub begin: Box<Begin>,
    pub freshness: Box<dyn Fn() -> Freshness + Send>,
}

impl Fake {
    pub fn pulling(
        begin: impl Fn(bool, i64) -> Result<Box<dyn Pull>, VitalsError> + Send + 'static,
    ) -> Fake {
        Fake { begin: Box::new(begin), freshness: Box::new(|| fresh(Some(1))) }
    }

    /// Every answer has these parts.
    pub fn parts(parts: &[&str]) -> Fake {
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        Fake::pulling(move |_, _| Ok(in_parts(&parts)))
    }
}

impl Vitals for Fake {
    fn seen_by(&self, _: &Rc<Sight>) -> Rc<dyn Vitals> {
        unreachable!("everybody sees everything")
    }

    fn pull(&self, history: bool, start: i64) -> Result<Box<dyn Pull>, VitalsError> {
        (self.begin)(history, start)
    }

    fn freshness(&self) -> Freshness {
        (self.freshness)()
    }
}

pub fn fresh(age_seconds: Option<u64>) -> Freshness {
    let newest_age = age_seconds.map(Duration::from_secs);
    Freshness { newest_age, limit: Duration::from_secs(3), state: "live" }
}

/// A pull that is a closure.
pub struct Script<F>(pub F);

impl<F: FnMut(&mut Vec<u8>) -> Part> Pull for Script<F> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        (self.0)(out)
    }
}

pub fn in_parts(parts: &[String]) -> Box<dyn Pull> {
    let mut parts: VecDeque<String> = parts.iter().cloned().collect();
    Box::new(Script(move |out: &mut Vec<u8>| {
        if let Some(part) = parts.pop_front() {
            out.extend_from_slice(part.as_bytes());
        }
        if parts.is_empty() { Part::Last } else { Part::More }
    }))
}

/// A server in a thread of its own.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Ended>,
}

/// What the server said at its end.
pub struct Ended {
    pub dropped: usize,
    pub counters: BTreeMap<&'static str, u64>,
}

impl Running {
    pub fn start(fake: Fake) -> Running {
        Running::with_limits(fake, Limits::default())
    }

    pub fn with_limits(fake: Fake, limits: Limits) -> Running {
        let settings = Settings { limits, ..Settings::default() };
        Running::serving(move |_| Rc::new(fake), settings)
    }

    /// Serves what `make` makes in the server's thread, at an address of its own. It may tell the
    /// server more before that runs.
    pub fn serving(
        make: impl FnOnce(&mut Server) -> Rc<dyn Vitals> + Send + 'static,
        settings: Settings,
    ) -> Running {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let hosts = [settings.hosts, vec!["t".to_owned()]].concat();
        let settings = Settings { listen, hosts, ..settings };
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let mut server = Server::bind(settings).unwrap();
            let vitals = make(&mut server);
            tell.send(server.addresses()[0]).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { stopped.await.unwrap() };
            let summary = runtime.block_on(server.run(vitals, stopped)).unwrap();
            Ended { dropped: summary.dropped, counters: summary.counters.each().collect() }
        });
        Running { address: told.recv().unwrap(), stop, thread }
    }

    pub fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(FOREVER)).unwrap();
        socket.set_write_timeout(Some(FOREVER)).unwrap();
        Client { stream: BufReader::new(socket) }
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Reply {
        self.connect().get(target)
    }

    pub fn ask_to_stop(self) -> JoinHandle<Ended> {
        self.stop.send(()).unwrap();
        self.thread
    }

    pub fn stop(self) -> Ended {
        self.ask_to_stop().join().unwrap()
    }
}

/// A client's connection.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.reply()
    }

    /// The next answer, whose body must be complete.
    pub fn reply(&mut self) -> Reply {
        let reply = self.reply_or_fragment();
        assert!(reply.complete, "the body was cut off");
        reply
    }

    /// The next answer and what came of its body.
    pub fn reply_or_fragment(&mut self) -> Reply {
        let mut reply = self.head();
        if reply.status == 304 {
            return reply; // which never has a body
        }
        (reply.body, reply.complete) = if reply.header("transfer-encoding") == Some("chunked") {
            self.chunks()
        } else if let Some(length) = reply.header("content-length") {
            let mut body = Vec::new();
            let length = length.parse().unwrap();
            let read = (&mut self.stream).take(length).read_to_end(&mut body);
            (body, read.is_ok_and(|read| read as u64 == length))
        } else {
            let mut body = Vec::new();
            let read = self.stream.read_to_end(&mut body);
            (body, read.is_ok())
        };
        reply
    }

    /// The next answer's header; nothing of a body is read.
    pub fn head(&mut self) -> Reply {
        let status_line = self.line();
        let mut words = status_line.split(' ');
        assert!(words.next().unwrap().starts_with("HTTP/1."), "{status_line:?}");
        let status = words.next().unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Reply { status, headers, body: Vec::new(), complete: true };
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the header was cut off: {line:?}");
        line.trim_end().to_owned()
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).is_err() || !line.ends_with("\r\n") {
                return (body, false);
            }
            let size = u64::from_str_radix(line.trim_end(), 16).unwrap();
            let read = (&mut self.stream).take(size).read_to_end(&mut body);
            let mut end = [0; 2];
            if !read.is_ok_and(|read| read as u64 == size)
                || self.stream.read_exact(&mut end).is_err()
            {
                return (body, false);
            }
            assert_eq!(&end, b"\r\n");
            if size == 0 {
                return (body, true);
            }
        }
    }

    /// Waits until the server has closed the connection; it must send nothing before.
    pub fn is_closed_without_a_word(&mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("the server said something"),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            }
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub complete: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "two headers {name}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
