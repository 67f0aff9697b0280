//! The program as its users run it, and what its threads take.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tachograph::ring::{ReadMap, Ring};

#[path = "../../tests/support/http.rs"]
mod client;
pub(crate) use client::Client;

/// Nothing here takes as long on any machine.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// Points of the newest generation.
pub(crate) const NEWEST: &str = "/api2/json/status/metrics";

/// A running program, killed when dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// Held open: a program whose output nobody reads any more ends.
    _stdout: BufReader<ChildStdout>,
    #[allow(dead_code, reason = "not every benchmark needs a second connection")]
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
}

impl Program {
    /// Starts it with `flags` over the ring in `dir`, and waits until it says where it listens.
    pub(crate) fn start(dir: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tachograph"))
            .args(["run", "--listen", "127.0.0.1:0", "--run-dir"])
            .arg(dir)
            .args(flags)
            .env("STATE_DIRECTORY", dir.join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let said = stdout.read_line(&mut line);
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(';').next());
        let address = said.ok().zip(address).and_then(|(_, address)| address.trim().parse().ok());
        match address.map(|address| (address, try_connect(address))) {
            Some((address, Ok(client))) => Self { child, _stdout: stdout, address, client },
            other => {
                let _ = child.kill();
                panic!("no address to connect to in {line:?}: {:?}", other.map(|(_, it)| it.err()));
            }
        }
    }

    /// How many points an answer has.
    pub(crate) fn points(&mut self, target: &str) -> usize {
        let reply = self.client.get(target);
        assert_eq!(reply.status, 200);
        reply.text().matches("\"id\":\"host\"").count()
    }

    /// Asks until the answer has a generation of points; how many these are.
    pub(crate) fn first_points(&mut self) -> usize {
        let begun = Instant::now();
        loop {
            match self.points(NEWEST) {
                0 => assert!(begun.elapsed() < FOREVER, "there is no record"),
                points => return points,
            }
        }
    }

    /// A line of the kernel's `status` of the process, in bytes.
    #[allow(dead_code, reason = "not every benchmark looks at memory")]
    pub(crate) fn status_bytes(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.expect("the program runs");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a size") * 1024
    }

    /// CPU time of the thread that serves, in seconds.
    #[allow(dead_code, reason = "not every benchmark asks")]
    pub(crate) fn serving_cpu(&self) -> f64 {
        cpu_of_threads(self.child.id(), |name| name == "tachograph")
    }

    /// CPU time of all other threads: that which records, and those that wait for file systems and
    /// devices.
    #[allow(dead_code, reason = "not every benchmark asks")]
    pub(crate) fn recording_cpu(&self) -> f64 {
        cpu_of_threads(self.child.id(), |name| name != "tachograph")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    Ok(Client { stream: BufReader::with_capacity(64 << 10, socket) })
}

/// A connection to whoever listens there, within a time in which every server is up.
#[allow(dead_code, reason = "not every benchmark has a server that does not say that it listens")]
pub(crate) fn connect(address: SocketAddr) -> Option<Client> {
    let begun = Instant::now();
    loop {
        match try_connect(address) {
            Ok(client) => return Some(client),
            Err(_) if begun.elapsed() > Duration::from_secs(15) => return None,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// CPU time of all threads of `child`, in seconds.
#[allow(dead_code, reason = "not every benchmark asks")]
pub(crate) fn cpu_of(child: &Child) -> f64 {
    cpu_of_threads(child.id(), |_| true)
}

/// CPU time of those threads of a process whose names are `chosen`, in seconds, as the kernel counts
/// it for its scheduler: in nanoseconds.
pub(crate) fn cpu_of_threads(process: u32, chosen: impl Fn(&str) -> bool) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the program runs");
    let ns = tasks.filter_map(|task| {
        let task = task.expect("listed").path();
        let name = fs::read_to_string(task.join("comm")).ok()?;
        // A thread that has ended since it was listed is none of those that are watched.
        let text = fs::read_to_string(task.join("schedstat")).ok()?;
        let ns = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        chosen(name.trim_end()).then(|| ns.expect("nanoseconds"))
    });
    ns.sum::<f64>() / 1e9
}

/// What a recorder says of its own work in its newest record.
#[derive(Debug)]
#[allow(dead_code, reason = "not every benchmark asks for all of it")]
pub(crate) struct Account {
    pub(crate) realtime_ns: u64,
    pub(crate) boottime_ns: u64,
    pub(crate) ticks: u64,
    pub(crate) missed: u64,
    pub(crate) cpu_ns: u64,
}

impl Account {
    #[allow(dead_code, reason = "not every benchmark asks")]
    pub(crate) fn newest(ring: &Ring<ReadMap>) -> Self {
        let find = |metric| ring.find("tachograph", metric).expect("a series of the recorder's");
        let columns = ["ticks", "ticks_missed", "cpu_ns"].map(find);
        let account = ring.latest(|view| {
            let header = view.header();
            let [ticks, missed, cpu_ns] =
                columns.each_ref().map(|column| view.u64(column).expect("it is always there"));
            let (realtime_ns, boottime_ns) = (header.realtime_ns, header.boottime_ns);
            Self { realtime_ns, boottime_ns, ticks, missed, cpu_ns }
        });
        account.expect("a record")
    }
}

/// The share of ticks that a thread misses which does nothing but wait for the next, for `time`: what
/// the machine takes from whoever wants to be woken so often.
#[allow(dead_code, reason = "not every benchmark counts ticks")]
pub(crate) fn slept_over(interval: Duration, time: Duration) -> f64 {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
    let begin = Instant::now();
    let (mut next, mut missed) = (1, 0);
    while begin.elapsed() < time {
        thread::sleep((interval * next).saturating_sub(begin.elapsed()));
        let due = (begin.elapsed().as_nanos() / interval.as_nanos()) as u32;
        missed += due.saturating_sub(next);
        next = due.max(next) + 1;
    }
    f64::from(missed) / f64::from(next)
}
