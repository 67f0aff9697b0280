//! Those who cannot prove who they are: what one costs, whether the time tells which ids there are, and
//! what thousands do to a recorder that ticks a hundred times a second.
//!
//! How many ticks a thread misses meanwhile that does nothing but sleep is told beside the recorder's:
//! that is the machine's share.

#![expect(clippy::print_stdout, reason = "the report")]

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tachograph::rights::{Access, Credentials, Secret, SecretDigest};
use tachograph::ring::Reader;

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/running.rs"]
mod running;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use judge::{Goal, verdict};
use pair::pair;
use running::{Account, Program, connect, slept_over};
use scratch::Scratch;

const ROUNDS: usize = 25;
/// Tokens among which one is looked for.
const TOKENS: usize = 1000;
/// Requests with a wrong secret, and on how many connections.
const ATTEMPTS: usize = 5000;
const CONNECTIONS: usize = 100;
const INTERVAL: Duration = Duration::from_millis(10);
/// What so many may add to the process's memory, in bytes.
const GROWTH_GOAL_BYTES: u64 = 8 << 20;

fn main() {
    machine::print();
    timing();
    storm();
}

/// Access with many tokens, all with one secret.
fn access(secret: &Secret) -> Access {
    let (mut users, mut secrets) = ("[[user]]\nid = \"u@pbs\"\n".to_owned(), String::new());
    for index in 0..TOKENS {
        let id = format!("u@pbs!t{index:04}");
        let digest = SecretDigest::of(secret).expect("random numbers");
        users += &format!("[[token]]\nid = \"{id}\"\n");
        secrets += &format!("[[secret]]\nid = \"{id}\"\ndigest = \"{digest}\"\n");
    }
    Access::parse(&users, &secrets, "").expect("sound")
}

/// A wrong secret for an id that there is, and for one that there is not.
fn timing() {
    let secret = Secret::new().expect("random numbers");
    let access = access(&secret);
    let said = |id: &str, secret: &str| {
        let header = format!("PBSAPIToken={id}:{secret}");
        move |access: &Access| {
            let credentials = Credentials::parse(header.as_bytes()).expect("sound");
            access.proves(&credentials, 1_795_000_000)
        }
    };
    let right = said("u@pbs!t0500", secret.reveal());
    assert!(right(&access), "who is right is let in");
    let wrong = "0".repeat(secret.reveal().len());
    let (known, unknown) = (said("u@pbs!t0500", &wrong), said("u@pbs!x0500", &wrong));
    let prove = |said: &dyn Fn(&Access) -> bool| assert!(!said(&access));
    pair(
        ("rights/wrong secret of a known id", "of an unknown id"),
        Goal::None,
        ROUNDS,
        || prove(&known),
        || prove(&unknown),
    );
}

/// What the recorder has missed in a time, and of how many ticks.
fn missed(reader: &Reader, work: impl FnOnce()) -> (u64, u64) {
    let before = Account::newest(reader.ring());
    work();
    let after = Account::newest(reader.ring());
    (after.missed - before.missed, after.ticks + after.missed - before.ticks - before.missed)
}

fn storm() {
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    let made = Command::new(env!("CARGO_BIN_EXE_tachograph"))
        .args(["token", "add", "u@pbs!t"])
        .env("STATE_DIRECTORY", &state)
        .stdout(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    let mut program = Program::start(scratch.path(), &["--interval", "10ms"]);
    program.first_points();
    let reader = Reader::open(&scratch.path().join("host.ring")).expect("the ring");
    let quiet_time = Duration::from_secs(5);
    let (quiet, quiet_ticks) = missed(&reader, || thread::sleep(quiet_time));
    let before_bytes = program.status_bytes("VmHWM");
    let begun = Instant::now();
    let mut answers = [0_usize; 2];
    let (stormy, stormy_ticks) = missed(&reader, || {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                let address = program.address;
                thread::spawn(move || attempts(address, client))
            })
            .collect();
        for client in clients {
            let [unproven, limited] = client.join().expect("it does not panic");
            answers = [answers[0] + unproven, answers[1] + limited];
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let grown = program.status_bytes("VmHWM").saturating_sub(before_bytes);
    let machine = slept_over(INTERVAL, quiet_time);
    assert_eq!(answers.iter().sum::<usize>(), ATTEMPTS, "each is answered");
    println!(
        "rights/{ATTEMPTS} wrong secrets in {seconds:.1} s on {CONNECTIONS} connections: {} answered 401 \
         after 3 s, {} answered 429",
        answers[0], answers[1]
    );
    println!(
        "  {stormy} of {stormy_ticks} ticks missed, {quiet} of {quiet_ticks} before; a thread that only \
         sleeps misses {:.2} %",
        machine * 100.0
    );
    println!(
        "  {:.1} MB more memory at most  goal <= {:.1}  {}",
        grown as f64 / 1e6,
        GROWTH_GOAL_BYTES as f64 / 1e6,
        verdict(grown <= GROWTH_GOAL_BYTES)
    );
}

/// One client's share, on a connection that is kept: how many were answered 401, and 429.
fn attempts(address: std::net::SocketAddr, client: usize) -> [usize; 2] {
    let mut connection = connect(address).expect("it listens");
    let mut answers = [0; 2];
    for attempt in 0..ATTEMPTS / CONNECTIONS {
        // Every other one names a token that there is.
        let id = if attempt % 2 == 0 { "u@pbs!t".into() } else { format!("u@pbs!x{client}") };
        connection.send(format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: PBSAPIToken={id}:{attempt:048x}\r\n\r\n"
        ));
        match connection.reply().status {
            401 => answers[0] += 1,
            429 => answers[1] += 1,
            status => panic!("answered {status}"),
        }
    }
    answers
}
