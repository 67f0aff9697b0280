//! `tachograph token` and `tachograph acl`, and a server that knows of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

#[path = "support/program.rs"]
mod program;

use program::{Ended, Place, Program, Reply, eventually};

/// A place where nothing has been said yet.
fn fresh() -> Place {
    let place = Place::new();
    fs::remove_dir_all(place.state_dir()).expect("removed");
    place
}

#[track_caller]
fn done(place: &Place, words: &str) -> String {
    let Ended { code, out, err, .. } = place.ask(words);
    assert_eq!(code, Some(0), "{words}: {err}");
    out
}

#[track_caller]
fn refused(place: &Place, words: &str, says: &str) {
    let Ended { code, err, .. } = place.ask(words);
    assert!(code != Some(0) && err.contains(says), "{words}: {code:?} {err}");
}

/// The secret of a new token.
fn token(place: &Place, words: &str) -> String {
    let out = done(place, &format!("token add {words}"));
    let line = out.lines().next().expect("a line");
    let (id, secret) = line.split_once(' ').expect("an id and a secret");
    assert_eq!((id, secret.len()), (words.split(' ').next().expect("an id"), 48));
    assert!(out.contains(&format!("Authorization: PBSAPIToken={id}:{secret}")), "{out}");
    secret.to_owned()
}

fn get(program: &mut Program, target: &str, authorization: &str) -> Reply {
    let mut client = program.connect();
    let line = match authorization {
        "" => String::new(),
        authorization => format!("Authorization: {authorization}\r\n"),
    };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"));
    client.reply()
}

#[test]
fn whoever_says_nothing_reads_of_the_host_at_first_and_of_no_datastore() {
    let place = fresh();
    let store = place.path().join("store");
    fs::create_dir(&store).expect("a directory");
    let words = format!(
        "run --listen 127.0.0.1:0 --access-log --log trace --datastore vault={}",
        store.display()
    );
    let mut program = place.start(&words);
    let points = eventually("the first points", || {
        let reply = get(&mut program, "/api2/json/status/metrics", "");
        reply.text().contains("cpu_current").then(|| reply.text().to_owned())
    });
    assert!(!points.contains("vault"), "{points}");
    let acl = fs::read_to_string(place.state_dir().join("acl.toml")).expect("it is there");
    assert!(acl.contains("\"/system/status\"") && acl.contains("anonymous@local"), "{acl}");
    // Somebody is let see the store, and the running server knows.
    let secret = token(&place, "alice@pbs!t --expire 90d --comment scraper");
    for id in ["alice@pbs", "alice@pbs!t"] {
        done(&place, &format!("acl add /datastore/vault {id} DatastoreAudit"));
    }
    let seen = eventually("that the server knows her", || {
        let reply =
            get(&mut program, "/api2/json/status/metrics", &format!("Bearer alice@pbs!t:{secret}"));
        (reply.status == 200 && reply.text().contains("datastore/vault"))
            .then(|| reply.text().to_owned())
    });
    assert!(!seen.contains("\"id\":\"host\""), "{seen}");
    // No secret is told to anybody but the terminal where it was made.
    let ended = program.end();
    assert!(!ended.out.contains(&secret) && !ended.err.contains(&secret), "{ended:?}");
    for entry in fs::read_dir(place.state_dir()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        assert!(!text.contains(&secret), "{}", path.display());
    }
}

#[test]
fn tokens_are_listed_disabled_and_removed_and_what_people_wrote_stays() {
    let place = fresh();
    let secret = token(&place, "bob@pam!ci");
    let users = place.state_dir().join("users.toml");
    let text = fs::read_to_string(&users).expect("it is there");
    fs::write(&users, format!("# whoever reads this\n{text}")).expect("written");
    done(&place, "acl add / bob@pam Audit");
    done(&place, "acl add / bob@pam!ci Audit --no-propagate");
    let list = done(&place, "token list");
    assert!(list.contains("bob@pam!ci") && list.contains("active"), "{list}");
    let list = done(&place, "acl list");
    assert!(list.lines().any(|line| line.contains("bob@pam!ci") && line.ends_with("no")), "{list}");
    let check = done(&place, "acl check bob@pam!ci /");
    assert!(check.starts_with("bob@pam!ci at /: Datastore.Audit, Sys.Audit\n"), "{check}");
    let check = done(&place, "acl check bob@pam!ci /system/status");
    assert!(check.starts_with("bob@pam!ci at /system/status: nothing\n"), "{check}");

    done(&place, "token disable bob@pam!ci");
    assert!(done(&place, "token list").contains("disabled"));
    let mut program = place.start("run --listen 127.0.0.1:0");
    let authorization = format!("PBSAPIToken=bob@pam!ci:{secret}");
    assert_eq!(get(&mut program, "/metrics", &authorization).status, 401);
    done(&place, "token enable bob@pam!ci");
    eventually("that it is let in again", || {
        let status = get(&mut program, "/metrics", &authorization).status;
        (status == 200).then_some(())
    });
    done(&place, "token remove bob@pam!ci");
    eventually("that it is not let in any more", || {
        let status = get(&mut program, "/metrics", &authorization).status;
        (status == 401).then_some(())
    });
    assert!(!done(&place, "acl list").contains("bob@pam!ci"), "its rights are gone with it");
    assert!(done(&place, "acl list").contains("bob@pam "), "its owner's are not");
    let text = fs::read_to_string(&users).expect("it is there");
    assert!(text.starts_with("# whoever reads this\n"), "{text}");
    let mode = |name: &str| {
        let meta = fs::metadata(place.state_dir().join(name)).expect("it is there");
        meta.permissions().mode() & 0o777
    };
    assert_eq!([mode("users.toml"), mode("secrets.toml"), mode("acl.toml")], [0o640, 0o600, 0o644]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = fresh();
    token(&place, "bob@pam!ci");
    for (words, says) in [
        ("token add bob@pam", "bob@pam is a user"),
        ("token add bob", "user@realm"),
        ("token add bob@pam!ci", "is there already"),
        ("token add anonymous@local!x", "has no tokens"),
        ("token add bob@pam!x --expire yesterday", "not a time"),
        ("token add bob@pam!x --expire 2020-01-01T00:00:00Z", "in the past"),
        ("token disable bob@pam!none", "there is no bob@pam!none"),
        ("token remove bob@pam!none", "there is no bob@pam!none"),
        ("acl add /etc bob@pam Audit", "there is no such path"),
        ("acl add / bob@pam Root", "there is no such role"),
        ("acl add / eve@pam Audit", "there is no eve@pam"),
        ("acl remove / bob@pam", "has no such role"),
    ] {
        refused(&place, words, says);
    }
    done(&place, "acl add / bob@pam Audit");
    refused(&place, "acl add / bob@pam Audit", "already");
    done(&place, "acl remove / bob@pam");
}

/// As in a container whose user has no home.
#[test]
fn where_nothing_can_be_kept_the_host_is_read_all_the_same() {
    let place = fresh();
    let mut command = place.command("run --listen 127.0.0.1:0");
    let mut program = Program::start(command.env("STATE_DIRECTORY", "/proc/none"));
    eventually("the newest record", || {
        let reply = get(&mut program, "/metrics", "");
        reply.text().contains("node_load1 ").then_some(())
    });
    assert!(program.err().contains("who may read what is not kept: "), "{}", program.err());
}

#[test]
fn user_of_the_machine_is_known_by_a_socket_in_the_file_system() {
    let place = fresh();
    let store = place.path().join("store");
    fs::create_dir(&store).expect("a directory");
    let socket = place.path().join("s");
    let uid = rustix::process::geteuid().as_raw();
    token(&place, "me@pam!unused");
    let users = place.state_dir().join("users.toml");
    let text = fs::read_to_string(&users).expect("it is there");
    let known = text.replacen("id = \"me@pam\"\n", &format!("id = \"me@pam\"\nuid = {uid}\n"), 1);
    assert_ne!(text, known);
    fs::write(&users, known).expect("written");
    done(&place, "acl add /datastore me@pam DatastoreAudit");
    let words = format!(
        "run --listen 127.0.0.1:0 --listen unix:{} --datastore vault={}",
        socket.display(),
        store.display()
    );
    let mut program = place.start(&words);
    let ask = || {
        let mut stream = UnixStream::connect(&socket).ok()?;
        stream.write_all(b"GET /api2/json/status/metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("vault").then_some(answer)
    };
    let answer = eventually("the store", ask);
    assert!(!answer.contains("\"id\":\"host\""), "{answer}");
    let others = get(&mut program, "/api2/json/status/metrics", "");
    assert!(!others.text().contains("vault"), "{others:?}");
}

#[test]
fn damaged_files_are_told_at_the_start_and_by_the_commands() {
    let place = Place::new();
    place.allow("/", "anonymous@local", "Nobody");
    for words in ["run --listen 127.0.0.1:0", "acl list", "token list"] {
        refused(&place, words, "acl.toml:4: there is no such role");
    }
    let open = place.state_dir().join("acl.toml");
    place.allow("/", "anonymous@local", "Audit");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).expect("set");
    refused(&place, "run --listen 127.0.0.1:0", "acl.toml has mode 0666");
}
