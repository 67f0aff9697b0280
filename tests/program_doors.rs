//! The program's doors: sockets in the file system, sockets that are handed over, limits.

#[path = "support/program.rs"]
mod support;

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{PATIENCE, Place, Program, eventually};

const PULL: &str = "GET /api2/json/status/metrics?history=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The whole answer to one request by a socket in the file system.
fn ask_unix(path: &Path, request: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_tcp(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(request.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn all_doors_lead_to_the_same_answers_and_close_with_the_program() {
    let place = Place::new();
    let (bare, own) = (place.path().join("bare.sock"), place.path().join("own.sock"));
    let config = place.path().join("config.toml");
    let group = rustix::process::getegid().as_raw();
    let text = format!(
        "[http]\nlisten = ['127.0.0.1:0', 'unix:{}', '127.0.0.2:0']\n\
         [[http.unix]]\npath = '{}'\nmode = '0640'\ngroup = '{group}'\n",
        bare.display(),
        own.display()
    );
    fs::write(&config, text).expect("written");
    // What a program that was killed has left there.
    drop(UnixListener::bind(&own).expect("free"));
    let mut run = place.start(&format!("run --interval 100ms --config {}", config.display()));
    run.full_pull();
    for (path, mode) in [(&bare, 0o660), (&own, 0o640)] {
        let meta = fs::symlink_metadata(path).expect("it is there");
        assert_eq!((meta.mode() & 0o777, meta.gid()), (mode, group));
        let answer = ask_unix(path, PULL).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\"metric\":\"mem_total\""), "{answer}");
        let paste = format!("curl --unix-socket '{}' 'http://localhost/api2/", path.display());
        eventually(&paste, || run.out().contains(&paste).then_some(()));
    }
    assert_eq!(run.out().matches("listening on 127.0.0.").count(), 2);
    // A second one does not take the socket of a program that is there.
    let second = Place::new();
    let command = format!("run --listen unix:{}", own.display());
    second.ask(&command).assert_refused(&["another process listens there", "own.sock"]);
    assert!(ask_unix(&own, PULL).is_ok());
    run.end();
    assert!(!bare.exists() && !own.exists());
    place.assert_closed_and_clean();
}

#[test]
fn places_that_cannot_be_had_are_named() {
    let place = Place::new();
    place.ask("run --listen unix:/nonexistent/s").assert_refused(&["/nonexistent"]);
    place.ask("run --listen unix:s").assert_refused(&["not absolute"]);
    let file = place.path().join("file");
    fs::write(&file, "mine").expect("written");
    let command = format!("run --listen unix:{}", file.display());
    place.ask(&command).assert_refused(&["no socket"]);
    assert_eq!(fs::read_to_string(&file).expect("there"), "mine");
    let open = place.path().join("open");
    fs::create_dir(&open).expect("free");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("ours");
    let command = format!("run --listen unix:{}/s", open.display());
    place.ask(&command).assert_refused(&["everybody may replace"]);
    let config = place.path().join("config.toml");
    let unix = "[[http.unix]]\npath = '/tmp/x'\ngroup = 'no such group'";
    fs::write(&config, unix).expect("written");
    let command = format!("run --config {}", config.display());
    place.ask(&command).assert_refused(&["no group \"no such group\""]);
    fs::write(&config, "[http]\nlisten = []").expect("written");
    place.ask(&command).assert_refused(&["nowhere to listen"]);
    assert!(!place.run_dir().exists(), "the ring is not touched");
}

/// A shell that does what `script` says and goes on as `command`.
fn by_shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// `command`, which is handed `sockets` as its descriptors 3, 4 and so on.
fn handed(command: &Command, sockets: Vec<OwnedFd>) -> Command {
    let [first, second] = <[OwnedFd; 2]>::try_from(sockets).expect("two sockets");
    let script = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_FDNAMES=a:b LISTEN_PID=$$ \
                  exec \"$@\"";
    let mut shell = by_shell(script, command);
    shell.stdin(Stdio::from(first)).stdout(Stdio::from(second)).stderr(Stdio::piped());
    shell
}

#[test]
fn sockets_that_are_handed_over_are_served_instead_of_the_settings() {
    let place = Place::new();
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("bound").to_string();
    let path = place.path().join("given.sock");
    let unix = UnixListener::bind(&path).expect("free");
    // The settings name a place that cannot be had, and nobody tries.
    let command = place.command("run --interval 100ms --listen unix:/nonexistent/s");
    let mut run = Program::start_as_it_is(&mut handed(&command, vec![tcp.into(), unix.into()]));
    let told = format!("listening on what was handed over, {address}, unix:{}", path.display());
    eventually("that it says so", || {
        assert!(run.is_running(), "{}", run.err());
        run.err().contains(&told).then_some(())
    });
    eventually("answers", || ask_tcp(&address, PULL).contains("mem_total").then_some(()));
    assert!(ask_unix(&path, PULL).expect("answered").contains("mem_total"));
    run.end();
    assert!(path.exists(), "it belongs to whoever made it");
    place.assert_closed_and_clean();
}

#[test]
fn sockets_that_cannot_be_served_are_refused_when_they_are_handed_over() {
    let place = Place::new();
    let command = place.command("run");
    let open = TcpListener::bind("127.0.0.1:0").expect("a port");
    let connected = UnixStream::pair().expect("a pair");
    let program =
        Program::start_as_it_is(&mut handed(&command, vec![open.into(), connected.0.into()]));
    program.ended().assert_refused(&["socket 2", "does not listen"]);
    let file = fs::File::open("/dev/null").expect("there");
    let open = TcpListener::bind("127.0.0.1:0").expect("a port");
    let program = Program::start_as_it_is(&mut handed(&command, vec![file.into(), open.into()]));
    program.ended().assert_refused(&["socket 1", "not a socket"]);
    assert!(!place.run_dir().exists(), "the ring is not touched");
}

#[test]
fn systemd_hands_over_a_socket_at_the_first_connection() {
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        eprintln!("LEFT OUT: systemd-socket-activate is not installed");
        return;
    }
    let place = Place::new();
    let path = place.path().join("http.sock");
    let command = place.command("run --interval 100ms");
    let mut activate = Command::new("systemd-socket-activate");
    // It hands over no other variable of its environment.
    activate.arg("-E").arg(format!("STATE_DIRECTORY={}", place.state_dir().display()));
    activate.arg("--listen").arg(&path).arg(command.get_program()).args(command.get_args());
    let mut run = Program::start(activate.env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null()));
    eventually("the socket", || path.exists().then_some(()));
    assert!(!place.run_dir().exists(), "nobody has asked yet");
    eventually("an answer", || {
        assert!(run.is_running(), "{}", run.err());
        ask_unix(&path, PULL).ok().filter(|answer| answer.contains("mem_total"))
    });
    run.end();
    place.assert_closed_and_clean();
}

#[test]
fn access_log_has_a_line_for_each_request_and_none_unless_it_is_wanted() {
    let place = Place::new();
    let mut run = place.start("run --interval 100ms --listen 127.0.0.1:0");
    assert_eq!(run.get("/healthz").status, 200);
    assert!(!run.end().err.contains("/healthz"));

    let mut run = place.start("run --interval 100ms --listen 127.0.0.1:0 --access-log --log warn");
    let address = run.address().to_string();
    let request = |head: &str| ask_tcp(&address, &format!("{head}\r\nConnection: close\r\n\r\n"));
    request("GET /healthz HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a \"b\"\u{1b}[31m\tc");
    request(
        "GET /healthz?x=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a \"b\"\tc\r\nAuthorization: Bearer s3",
    );
    request("HEAD /nowhere HTTP/1.1\r\nHost: localhost");
    let body = "GET /api2/json/version HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b";
    ask_tcp(&address, body);
    let ended = run.end();
    let line = |part: &str| {
        let line = ended.err.lines().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no {part}: {}", ended.err)).to_owned()
    };
    let first = line("\"GET /healthz?x=1\"");
    assert!(first.contains(" INFO 127.0.0.1:"), "{first}");
    assert!(
        first.contains(" 200 3 bytes in ") && first.ends_with(r#" us "a \"b\"\tc""#),
        "{first}"
    );
    assert!(line("\"HEAD /nowhere\"").contains(" 404 0 bytes in "), "{}", ended.err);
    assert!(line("\"GET /api2/json/version\"").contains(" 400 "), "{}", ended.err);
    assert!(!ended.err.contains("s3") && !ended.err.contains('\u{1b}'), "{}", ended.err);
    assert_eq!(ended.err.matches(" INFO ").count(), 3, "{}", ended.err);
}

/// With few descriptors and many connections, the sampler would have been the one to find none left.
#[test]
fn process_of_few_descriptors_takes_fewer_connections_and_says_so() {
    let place = Place::new();
    let command = place.command("run --interval 100ms --listen 127.0.0.1:0");
    let mut shell = by_shell("ulimit -n 300; exec \"$@\"", &command);
    let mut run = Program::start(shell.stdin(Stdio::null()));
    let address = run.address();
    let told = "connections_max is 22 and not 512: the process may have 300 descriptors";
    eventually(told, || run.err().contains(told).then_some(()));
    let guests: Vec<_> =
        (0..40).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    eventually("a refusal", || (run.get("/healthz").status == 503).then_some(()));
    drop(guests);
    eventually("room", || (run.get("/healthz").status == 200).then_some(()));
    run.full_pull();
    assert!(!run.err().contains("could not be accepted"), "{}", run.err());
    run.end();
    place.assert_closed_and_clean();
}
