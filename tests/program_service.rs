//! The program as a service: what it tells the manager that started it, when the watchdog is fed,
//! and what it does at SIGHUP.

#[path = "support/program.rs"]
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use support::{PATIENCE, Place, Program, eventually};

/// Somebody whom a program tells how it is.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(place: &Place) -> Self {
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("free");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { socket, path }
    }

    fn start(&self, command: &mut Command, watchdog_ms: u64) -> Program {
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", (watchdog_ms * 1000).to_string());
        Program::start(command)
    }

    /// The lines of what is told next.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).expect("it is told something");
        let text = std::str::from_utf8(&bytes[..len]).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// What is told next that has a line beginning with `start`, and what came before.
    fn until(&self, start: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let mut before = Vec::new();
        for _ in 0..100_000 {
            let told = self.next();
            if told.iter().any(|line| line.starts_with(start)) {
                return (told, before);
            }
            before.push(told);
        }
        panic!("{start} was never told");
    }
}

fn feeds(told: &[String]) -> bool {
    told.iter().any(|line| line == "WATCHDOG=1")
}

fn status(told: &[String]) -> &str {
    told.iter().find_map(|line| line.strip_prefix("STATUS=")).expect("a status")
}

#[test]
fn manager_hears_of_the_beginning_the_work_and_the_end() {
    for command in
        ["run --interval 50ms --listen 127.0.0.1:0", "record --interval 50ms --lane fast"]
    {
        let place = Place::new();
        let manager = Manager::new(&place);
        let program = manager.start(&mut place.command(command), 100);
        let (ready, before) = manager.until("READY=1");
        assert!(before.is_empty(), "{before:?}");
        assert!(status(&ready).starts_with("host: "), "{ready:?}");
        // Ready means that there is a record and an address.
        let ended = place.ask("snapshot --json");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for _ in 0..10 {
            let told = manager.next();
            assert!(feeds(&told) && status(&told).contains(" series, "), "{told:?}");
            assert!(!status(&told).contains("NOTHING"), "{told:?}");
            assert_eq!(status(&told).contains("; fast: "), command.starts_with("record"));
        }
        program.signal(Signal::TERM);
        manager.until("STOPPING=1");
        assert_eq!(program.ended().code, Some(0));
        place.assert_closed_and_clean();
    }
}

#[test]
fn server_without_a_recorder_is_well_while_it_answers() {
    let place = Place::new();
    let manager = Manager::new(&place);
    let mut server = manager.start(&mut place.command("serve --listen 127.0.0.1:0"), 100);
    manager.until("READY=1");
    assert_eq!(server.get("/healthz").status, 200);
    let (told, _) = manager.until("STATUS=1 requests");
    assert!(feeds(&told) && feeds(&manager.next()));
    server.signal(Signal::STOP);
    // What was on its way when it stopped.
    manager.socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("set");
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    server.signal(Signal::CONT);
    manager.socket.set_read_timeout(Some(PATIENCE)).expect("set");
    assert!(feeds(&manager.next()));
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn watchdog_that_is_shorter_than_the_interval_is_fed_between_two_records() {
    let place = Place::new();
    let manager = Manager::new(&place);
    let recorder = manager.start(&mut place.command("record --interval 60s"), 20);
    manager.until("READY=1");
    assert!((0..50).all(|_| feeds(&manager.next())));
    let records = place.inspect("records");
    assert!(records.contains(" from 1 to 1") || records.contains(" from 1 to 2"), "{records}");
    recorder.end();
}

/// Stops one thread of a process for as long as it lives.
struct Stopped(Child);

const STOPPER: &str = "\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
SEIZE, INTERRUPT = 0x4206, 0x4207
tid = int(sys.argv[1])
if libc.ptrace(SEIZE, tid, 0, 0) or libc.ptrace(INTERRUPT, tid, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(tid, 0x40000000)
print('stopped', flush=True)
sys.stdin.read()
";

impl Stopped {
    /// The thread `name` of `program`, if this may be done.
    fn thread(program: &Program, name: &str) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).expect("it runs");
        let tasks = tasks.map(|task| task.expect("listed").path());
        let is_it = |task: &PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.into_iter().find(is_it).expect("the thread is there");
        let child = Command::new("python3")
            .args(["-c", STOPPER])
            .arg(task.file_name().expect("a number"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut stopped = Self(child.ok()?);
        let mut line = String::new();
        BufReader::new(stopped.0.stdout.take()?).read_line(&mut line).ok()?;
        (line == "stopped\n").then_some(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The thread goes on when the one who stopped it is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program went on to answer, and only its recorder stood still: to its manager all was well.
#[test]
fn watchdog_is_not_fed_while_the_recorder_stands_still() {
    let place = Place::new();
    let manager = Manager::new(&place);
    let command = "run --interval 50ms --listen 127.0.0.1:0";
    let mut run = manager.start(&mut place.command(command), 100);
    manager.until("READY=1");
    assert!(feeds(&manager.next()));
    let Some(stopped) = Stopped::thread(&run, "record host") else {
        eprintln!("LEFT OUT: no python3 that may stop a thread of another process");
        return;
    };
    // Three intervals and a second later.
    manager.until("STATUS=host: ");
    let starved = eventually("that the watchdog starves", || {
        let told = manager.next();
        (!feeds(&told)).then_some(told)
    });
    assert!(status(&starved).contains("NOTHING FOR"), "{starved:?}");
    for _ in 0..20 {
        assert!(!feeds(&manager.next()));
    }
    assert_eq!(run.get("/healthz").status, 200);
    assert!(!run.is_ready());
    drop(stopped);
    manager.until("WATCHDOG=1");
    run.end();
    place.assert_closed_and_clean();
}

/// A program with a configuration that is written anew.
struct Configured {
    place: Place,
    manager: Manager,
    run: Program,
}

impl Configured {
    fn start(text: &str) -> Self {
        let place = Place::new();
        let manager = Manager::new(&place);
        let file = place.path().join("config.toml");
        fs::write(&file, text).expect("written");
        // The flag goes before whatever the file says.
        let command = format!("run --interval 1s --config {}", file.display());
        let run = manager.start(&mut place.command(&command), 60_000);
        manager.until("READY=1");
        Self { place, manager, run }
    }

    /// Its status after it has been told to read this.
    fn reads(&self, text: &str) -> String {
        fs::write(self.place.path().join("config.toml"), text).expect("written");
        self.run.signal(Signal::HUP);
        let (told, _) = self.manager.until("RELOADING=1");
        assert!(told.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told:?}");
        let (ready, _) = self.manager.until("READY=1");
        status(&ready).to_owned()
    }

    /// Ends it. Its recorder has been there all the time.
    fn end(self) {
        let seq = self.place.snapshot()["seq"].as_u64().expect("a number");
        let own = self.place.snapshot_from(seq + 1)["values"]["tachograph"].clone();
        assert_eq!((&own["ticks_missed"], &own["clock_steps"]), (&Value::from(0), &Value::from(0)));
        assert_eq!(self.run.end().code, Some(0));
        self.place.assert_closed_and_clean();
    }
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    BufReader::new(stream)
}

/// The status of an answer on a connection that stays open.
fn ask(stream: &mut BufReader<TcpStream>) -> String {
    stream.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("open");
    let mut line = String::new();
    stream.read_line(&mut line).expect("answered");
    let status = line.trim().to_owned();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("answered");
    }
    stream.read_exact(&mut [0; 3]).expect("ok and a line's end");
    status
}

#[test]
fn sighup_changes_doors_limits_and_log_and_keeps_connections() {
    let socket = |place: &Place| place.path().join("http.sock");
    let mut it = Configured::start("[http]\nlisten = ['127.0.0.1:0', '127.0.0.2:0']");
    let [stays, goes] = &*eventually("two addresses", || {
        let out = it.run.out();
        let of =
            |line: &str| Some(line.strip_prefix("listening on ")?.strip_suffix("; try")?.into());
        let addresses: Vec<String> = out.lines().filter_map(of).collect();
        (addresses.len() == 2).then_some(addresses)
    }) else {
        unreachable!("there are two")
    };
    let (mut of_stays, mut of_goes) = (connect(stays), connect(goes));
    assert_eq!(
        (ask(&mut of_stays), ask(&mut of_goes)),
        ("HTTP/1.1 200 OK".into(), "HTTP/1.1 200 OK".into())
    );

    let path = socket(&it.place);
    let text = format!(
        "log = 'debug'\n[http]\nlisten = ['127.0.0.1:0', 'unix:{}']\nconnections_max = 3",
        path.display()
    );
    it.reads(&text);
    eventually("that the old door is closed", || TcpStream::connect(goes).is_err().then_some(()));
    // Who came by it stays, and the other door has not been closed for a moment.
    assert_eq!(
        (ask(&mut of_stays), ask(&mut of_goes)),
        ("HTTP/1.1 200 OK".into(), "HTTP/1.1 200 OK".into())
    );
    let _third = std::os::unix::net::UnixStream::connect(&path).expect("the new door");
    eventually("that a fourth is one too many", || {
        let mut fourth = connect(stays);
        fourth.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut line = String::new();
        fourth.read_line(&mut line).ok()?;
        line.starts_with("HTTP/1.1 503 ").then_some(())
    });
    let told = format!("listening on {stays}, unix:");
    eventually(&told, || it.run.err().contains(&told).then_some(()));
    drop(of_goes);
    eventually("a line of the debug log", || {
        connect(stays).get_mut().write_all(b"no HTTP\r\n\r\n").ok()?;
        it.run.err().contains(" DEBUG ").then_some(())
    });
    it.reads("[http]\nlisten = ['127.0.0.1:0']");
    eventually("that the socket is gone", || (!path.exists()).then_some(()));
    assert_eq!(ask(&mut of_stays), "HTTP/1.1 200 OK");
    assert!(it.run.is_running());
    it.end();
}

#[test]
fn sighup_keeps_everything_when_the_configuration_is_broken() {
    let mut it = Configured::start("[http]\nlisten = ['127.0.0.1:0']");
    let address = it.run.address().to_string();
    let mut stream = connect(&address);
    assert_eq!(ask(&mut stream), "HTTP/1.1 200 OK");
    for (text, says) in [
        ("[http]\nlisten = ['127.0.0.1:0'", "line 2"),
        ("[http]\nlistens = ['127.0.0.1:0']", "unknown field `listens`"),
        ("[http]\nlisten = ['0.0.0.0:0']", "--insecure-listen"),
        ("[http]\nlisten = ['127.0.0.2:0', 'unix:/nonexistent/s']", "unix:/nonexistent/s"),
        ("[http]\nlisten = ['127.0.0.2:0']\nconnections_max = 0", "connections_max"),
        ("[[http.unix]]\npath = '/tmp/x'\ngroup = 'no such group'", "no such group"),
        ("log = 'loud'", "loud"),
    ] {
        let status = it.reads(text);
        assert!(status.contains("CONFIGURATION REFUSED: ") && status.contains(says), "{status}");
        assert_eq!(ask(&mut stream), "HTTP/1.1 200 OK");
        assert_eq!(ask(&mut connect(&address)), "HTTP/1.1 200 OK");
        eventually("that the log says so too", || {
            let err = it.run.err();
            let mut lines = err.lines().filter(|line| line.contains("all stays as it was"));
            lines.any(|line| line.contains(says)).then_some(())
        });
    }
    let status = it.reads("[http]\nlisten = ['127.0.0.1:0']");
    assert!(!status.contains("REFUSED"), "{status}");
    it.end();
}

#[test]
fn sighup_names_what_needs_a_restart_and_takes_on_the_rest() {
    let mut it = Configured::start("[http]\nlisten = ['127.0.0.1:0']\nidle_timeout = '1h'");
    let address = it.run.address().to_string();
    let mut stream = connect(&address);
    assert_eq!(ask(&mut stream), "HTTP/1.1 200 OK");
    it.reads(
        "depth = '1min'\nmlock = true\n[[lane]]\nname = 'fast'\n\
         [http]\nlisten = ['127.0.0.1:0']\nidle_timeout = '10ms'",
    );
    for name in ["mlock", "lane \"fast\"", "lane \"host\""] {
        let line = format!("{name} has changed, which needs a restart");
        eventually(&line, || it.run.err().contains(&line).then_some(()));
    }
    assert_eq!(it.run.err().matches("needs a restart").count(), 3, "{}", it.run.err());
    // The new limit holds for who is there already.
    assert_eq!(stream.read(&mut [0]).expect("closed in order"), 0);
    // The flag is what it was, whatever the file says.
    it.reads("interval = '7s'\n[http]\nlisten = ['127.0.0.1:0']");
    assert!(!it.run.err().contains("interval has changed"), "{}", it.run.err());
    it.end();
}

#[test]
fn sighup_without_a_configuration_changes_nothing() {
    let place = Place::new();
    let recorder = place.start("record --interval 100ms");
    let seq = place.snapshot()["seq"].as_u64().expect("a number");
    recorder.signal(Signal::HUP);
    eventually("that it has read", || recorder.err().contains("read again").then_some(()));
    place.snapshot_from(seq + 2);
    assert_eq!(place.snapshot()["epoch"], 1);
    assert_eq!(recorder.end().code, Some(0));
    place.assert_closed_and_clean();
}
