//! Thousands of clients that connect and do nothing, while the program records and answers others.

#[path = "support/program.rs"]
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use support::{PATIENCE, Place};

/// As many as there are to be, if this process may have so many files.
const CROWD: u64 = 10_000;
/// What the test needs besides.
const FILES_KEPT: u64 = 100;
/// The most that so many connections, of which most are refused, may cost the program.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// Lets this process have many files, and says how many it may have.
fn raise_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(CROWD + FILES_KEPT, |maximum| maximum.min(CROWD + FILES_KEPT));
    let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if before < wanted {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).expect("allowed");
    }
    wanted
}

/// The most memory that a process has had.
fn peak_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

fn poll(client: &mut TcpStream) {
    client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("open");
    let mut bytes = [0; 1024];
    let mut len = 0;
    while !bytes[..len].ends_with(b"\r\n\r\nok\n") {
        let read = client.read(&mut bytes[len..]).expect("answered");
        assert!(read > 0, "closed: {}", String::from_utf8_lossy(&bytes[..len]));
        len += read;
    }
}

#[test]
fn thousands_who_connect_and_leave_cost_no_tick_and_no_other_client_its_answer() {
    let crowd = (raise_limit() - FILES_KEPT) as usize;
    let place = Place::new();
    let config = place.path().join("config.toml");
    fs::write(&config, "[http]\nheader_timeout = '3s'").expect("written");
    let command = format!("run --listen 127.0.0.1:0 --config {}", config.display());
    let mut run = place.start(&command);
    let address = run.address();
    run.full_pull();
    let first = place.snapshot();
    let before_bytes = peak_bytes(run.pid());
    let mut poller = connect(address);
    poll(&mut poller);

    let mut left = Vec::with_capacity(crowd);
    for index in 0..crowd {
        let mut stream = connect(address);
        // Every other one begins to speak. One that is refused may be closed by now.
        if index % 2 == 0 {
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHo");
        }
        left.push(stream);
        if index % 1000 == 0 {
            poll(&mut poller);
        }
    }
    let (mut told, mut closed) = (0, 0);
    for mut stream in left {
        let mut answer = Vec::new();
        // A reset is an end as well, and what came before it has come.
        let ended = stream.read_to_end(&mut answer);
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
        if answer.is_empty() {
            closed += 1;
        } else {
            assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
            told += 1;
        }
    }
    assert_eq!(told + closed, crowd);
    // Those with a place are closed when their time is over. An answer to one who was speaking may be
    // overtaken by a reset; the others have theirs.
    assert!(told >= (crowd / 2).saturating_sub(512), "{told} of {crowd} were told");
    poll(&mut poller);
    let grown = peak_bytes(run.pid()).saturating_sub(before_bytes);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes for {crowd} connections");

    let seq = |snapshot: &Value| snapshot["seq"].as_u64().expect("a number");
    std::thread::sleep(Duration::from_secs(1));
    let last = place.snapshot_from(seq(&first) + 2);
    let own = &last["values"]["tachograph"];
    eprintln!(
        "{crowd} connections: {told} told 503, {closed} closed, {} KiB more at most; {} ticks, {} missed",
        grown / 1024,
        own["ticks"],
        own["ticks_missed"]
    );
    assert_eq!(own["ticks_missed"], 0);
    // Every one of them was counted once, by what became of it.
    let reply = run.get("/metrics");
    let count = |name: &str| {
        let start = format!("tachograph_http_{name}_total ");
        let line = reply.text().lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<usize>().expect("a number")
    };
    assert_eq!(count("connections_refused") + count("header_timeouts"), crowd);
    assert!(count("connections_accepted") > crowd && count("connections_refused") >= told);
    // Whoever comes next finds room.
    assert_eq!(run.get("/healthz").status, 200);
    run.end();
    place.assert_closed_and_clean();
}
