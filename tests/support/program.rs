//! The program as its users start it, in processes that never outlive the test.

// Each test file uses its own part of this.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[path = "http.rs"]
mod http;
#[path = "scratch.rs"]
mod scratch;

pub(crate) use http::{Client, Reply};
use scratch::Scratch;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again until there is an answer, and fails by `what` was waited for.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// A place of a test's own, with a run directory that is not there yet.
pub(crate) struct Place(Scratch);

impl Place {
    /// Everybody may read everything there.
    pub(crate) fn new() -> Self {
        let place = Self(Scratch::new());
        fs::create_dir(place.state_dir()).expect("a fresh directory");
        place.allow("/", "anonymous@local", "Audit");
        place
    }

    /// Where it stands who may read what.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Lets somebody have a role, and nobody any other.
    pub(crate) fn allow(&self, path: &str, id: &str, role: &str) {
        let entry = format!("[[acl]]\npath = \"{path}\"\nid = \"{id}\"\nrole = \"{role}\"\n");
        fs::write(self.state_dir().join("acl.toml"), entry).expect("written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path().join("run")
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.run_dir().join("host.ring")
    }

    /// The program with this run directory; `words` are split at spaces.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = tachograph();
        command.args(words.split_whitespace()).arg("--run-dir").arg(self.run_dir());
        command.env("STATE_DIRECTORY", self.state_dir());
        command
    }

    pub(crate) fn start(&self, words: &str) -> Program {
        Program::start(&mut self.command(words))
    }

    /// Runs a command that ends by itself.
    pub(crate) fn ask(&self, words: &str) -> Ended {
        Program::start(&mut self.command(words)).ended()
    }

    /// The newest record, once there is one.
    pub(crate) fn snapshot(&self) -> Value {
        eventually("a snapshot", || {
            let ended = self.ask("snapshot --json");
            (ended.code == Some(0)).then(|| serde_json::from_str(&ended.out).expect("JSON"))
        })
    }

    /// The newest record, once it is the `seq`th or a later one.
    pub(crate) fn snapshot_from(&self, seq: u64) -> Value {
        eventually(&format!("record {seq}"), || {
            let snapshot = self.snapshot();
            (snapshot["seq"].as_u64().expect("a number") >= seq).then_some(snapshot)
        })
    }

    /// The line of `inspect` that begins with `name`.
    pub(crate) fn inspect(&self, name: &str) -> String {
        let ended = self.ask("inspect");
        let line = ended.out.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no line {name}: {ended:?}")).to_owned()
    }

    /// A recorder's ring as its user left it: closed, sound, and with so many records at least.
    pub(crate) fn assert_closed_and_clean(&self) {
        let ended = self.ask("inspect");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("\nwriter     closed,"), "{ended:?}");
        assert!(ended.out.contains("\nintegrity  clean"), "{ended:?}");
    }
}

/// The program, without arguments and without what the tester's environment says.
pub(crate) fn tachograph() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph"));
    command.env_remove("RUST_LOG").env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
    // Nobody can make it.
    command.env("STATE_DIRECTORY", "/proc/none");
    command
}

/// Runs the program to its end with `args`.
pub(crate) fn ask<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    Program::start(tachograph().args(args)).ended()
}

/// A process. It is killed, by its own pid, when the test forgets it or fails.
pub(crate) struct Program {
    child: Child,
    out: Output,
    err: Output,
}

/// What a process has said so far.
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let said = text.clone();
        let reader = pipe.map(|pipe| {
            thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = String::new();
                while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
                    said.lock().expect("no panic while it is held").push_str(&line);
                    line.clear();
                }
            })
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        self.text.lock().expect("no panic while it is held").clone()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it does not panic");
        }
        self.so_far()
    }
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_it_is(command)
    }

    /// Starts it with the outputs that `command` says.
    pub(crate) fn start_as_it_is(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let (out, err) = (Output::of(child.stdout.take()), Output::of(child.stderr.take()));
        Self { child, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn out(&self) -> String {
        self.out.so_far()
    }

    pub(crate) fn err(&self) -> String {
        self.err.so_far()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Where it says that it listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        eventually("an address to listen on", || {
            assert!(self.is_running(), "it has ended: {}", self.err());
            let out = self.out();
            let line = out.lines().find_map(|line| line.strip_prefix("listening on "));
            line.map(|line| line.trim_end_matches("; try").parse().expect("an address"))
        })
    }

    /// A connection of its own.
    pub(crate) fn connect(&mut self) -> Client {
        let socket = TcpStream::connect(self.address()).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Client { stream: BufReader::new(socket) }
    }

    /// The answer to a request on a connection of its own.
    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.connect().get(target)
    }

    /// The points of a pull, by metric, oldest first.
    pub(crate) fn pull(&mut self, query: &str) -> BTreeMap<String, Vec<f64>> {
        let reply = self.get(&format!("/api2/json/status/metrics{query}"));
        assert_eq!(reply.status, 200, "{reply:?}");
        points(&serde_json::from_str(reply.text()).expect("JSON"))
    }

    /// A pull, once it has the host's sixteen points.
    pub(crate) fn full_pull(&mut self) -> BTreeMap<String, Vec<f64>> {
        eventually("sixteen points", || {
            Some(self.pull("?history=1")).filter(|points| points.len() == 16)
        })
    }

    pub(crate) fn is_ready(&mut self) -> bool {
        match self.get("/readyz").status {
            200 => true,
            503 => false,
            status => panic!("status {status} of /readyz"),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a pid");
        kill_process(pid, signal).expect("it has not been waited for");
    }

    /// Waits for the end that it comes to by itself, or has been told to come to.
    pub(crate) fn ended(mut self) -> Ended {
        let status =
            eventually("the end of a process", || self.child.try_wait().expect("it is our child"));
        self.told(status)
    }

    /// Ends it in order.
    pub(crate) fn end(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends it at whatever instruction it is.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().expect("it has not been waited for");
        let status = self.child.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(9), "it ended by itself: {}", self.err());
        self.told(status)
    }

    fn told(&mut self, status: ExitStatus) -> Ended {
        let (out, err) = (self.out.whole(), self.err.whole());
        Ended { code: status.code(), signal: status.signal(), out, err }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// It failed by its own decision, in one line that has all of `words`.
    #[track_caller]
    pub(crate) fn assert_refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.signal), (Some(1), None), "{self:?}");
        let line = self.err.lines().find(|line| line.starts_with("tachograph: "));
        let line = line.unwrap_or_else(|| panic!("no explanation: {self:?}"));
        for word in words {
            assert!(line.contains(word), "no {word:?}: {self:?}");
        }
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}

/// The points of a pull's answer, by metric.
pub(crate) fn points(answer: &Value) -> BTreeMap<String, Vec<f64>> {
    let mut points = BTreeMap::<String, Vec<f64>>::new();
    for point in answer["data"]["data"].as_array().expect("a list") {
        assert_eq!(point["id"], "host");
        let metric = point["metric"].as_str().expect("a name").to_owned();
        points.entry(metric).or_default().push(point["value"].as_f64().expect("a number"));
    }
    points
}

/// The value of `name:` in a text like `/proc/meminfo`, in bytes.
pub(crate) fn meminfo_bytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0)
}
