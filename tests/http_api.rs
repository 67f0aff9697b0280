//! What clients of the API see: routes, parameters, envelopes, refusals.

#[path = "support/http.rs"]
mod support;

use std::io::Read;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{Client, Fake, Running, Script, fresh, in_parts};
use tachograph::http::{Part, VitalsError};

const POINT: &str =
    r#"{"id":"host","metric":"cpu_current","timestamp":1729000000,"type":"gauge","value":0.5}"#;
const JSON: Option<&str> = Some("application/json;charset=UTF-8");
/// A part of this size goes to the socket before the next one is asked for; smaller ones may wait in
/// hyper's buffer, and are lost with it when the answer breaks off.
const SENT_AT_ONCE: usize = 32 * 1024;
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

#[test]
fn every_route_has_its_status_and_content_type() {
    let server = Running::start(Fake::parts(&[POINT]));
    for (target, status, content_type) in [
        ("/api2/json/status/metrics", 200, JSON),
        ("/api2/extjs/status/metrics", 200, JSON),
        ("/api2/extjs/status/metrics/", 200, JSON),
        ("/api2/json/version", 200, JSON),
        ("/api2/extjs/version", 200, JSON),
        ("/healthz", 200, TEXT),
        ("/readyz", 200, TEXT),
        ("/api2/json/nothing", 404, JSON),
        ("/api2/extjs/nothing", 200, JSON),
        ("/api2/html/version", 400, TEXT),
        ("/api2", 404, TEXT),
        ("/", 404, TEXT),
        ("/api2/json/version?x=1", 400, JSON),
        ("http://localhost/healthz", 200, TEXT),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status, status, "{target}");
        assert_eq!(reply.header("content-type"), content_type, "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{target}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(
            reply.header("content-length"),
            Some(reply.body.len().to_string().as_str()),
            "{target}"
        );
        // The answer's header map was the request's: nothing of that one may be left.
        let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let expected =
            ["cache-control", "content-length", "content-type", "date", "x-content-type-options"];
        assert_eq!(names, expected, "{target}");
    }
    let ended = server.stop();
    assert_eq!(ended.counters["requests"], 14);
    assert_eq!(ended.counters["connections_accepted"], 14);
    assert_eq!(ended.dropped, 0);
}

#[test]
fn bodies_are_those_of_the_formatters() {
    let server = Running::start(Fake::parts(&[POINT]));
    let version = format!(
        r#"{{"release":"{}","repoid":"","version":"{}.{}"}}"#,
        env!("CARGO_PKG_VERSION_PATCH"),
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR")
    );
    for (target, body) in [
        ("/api2/json/status/metrics", format!(r#"{{"data":{{"data":[{POINT}]}}}}"#)),
        (
            "/api2/extjs/status/metrics",
            format!(r#"{{"data":{{"data":[{POINT}]}},"status":200,"success":true}}"#),
        ),
        ("/api2/json/version", format!(r#"{{"data":{version}}}"#)),
        ("/api2/extjs/version", format!(r#"{{"data":{version},"status":200,"success":true}}"#)),
        ("/healthz", "ok\n".to_owned()),
        ("/readyz", "ready\n".to_owned()),
        (
            "/api2/extjs/nothing",
            r#"{"message":"there is nothing at this path","status":404,"success":false}"#
                .to_owned(),
        ),
    ] {
        assert_eq!(server.get(target).text(), body, "{target}");
    }
}

#[test]
fn nothing_is_compressed_even_if_the_client_could_read_it() {
    let server = Running::start(Fake::parts(&[&POINT.repeat(100)]));
    let mut client = server.connect();
    client.send(
        "GET /api2/extjs/status/metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: deflate, gzip\r\n\r\n",
    );
    let reply = client.reply();
    assert_eq!(reply.header("content-encoding"), None);
    assert!(reply.text().contains(POINT));
}

#[test]
fn parameters_reach_the_data() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Running::start(Fake::pulling(move |history, start| {
        log.lock().unwrap().push((history, start));
        Ok(in_parts(&[]))
    }));
    for (query, expected) in [
        ("", (false, 0)),
        ("?", (false, 0)),
        ("?history=true&start%2Dtime=1729000000", (true, 1_729_000_000)),
        ("?history=1&start-time=-5", (true, -5)),
        ("?history=YES", (true, 0)),
        ("?history=oN&_dc=123&_dc=4", (true, 0)),
        ("?history=off&start-time=%2B7", (false, 7)),
        ("?history=0", (false, 0)),
        ("?history=No", (false, 0)),
        ("?history=FALSE&start-time=9223372036854775807", (false, i64::MAX)),
        ("?%68istory=%74rue&start-time=-9223372036854775808", (true, i64::MIN)),
    ] {
        let reply = server.get(&format!("/api2/json/status/metrics{query}"));
        assert_eq!(reply.text(), r#"{"data":{"data":[]}}"#, "{query}");
        assert_eq!(asked.lock().unwrap().pop(), Some(expected), "{query}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    let server = Running::start(Fake::pulling(|_, _| panic!("the data is not asked")));
    for (query, errors) in [
        ("history=maybe", json!({"history": "Unable to parse boolean option."})),
        ("history=1&history=1", json!({"history": "duplicate parameter."})),
        ("history=1&%68istory=1", json!({"history": "duplicate parameter."})),
        ("start-time=1.5", json!({"start-time": "invalid digit found in string"})),
        ("start%2Dtime=", json!({"start-time": "cannot parse integer from empty string"})),
        ("step=1", json!({"step": "schema does not allow additional properties."})),
        ("%22%0a=1", json!({"\"\n": "schema does not allow additional properties."})),
        (
            "history=&start-time=x&b=1&a=2",
            json!({
                "a": "schema does not allow additional properties.",
                "b": "schema does not allow additional properties.",
                "history": "Unable to parse boolean option.",
                "start-time": "invalid digit found in string",
            }),
        ),
    ] {
        let reply = server.get(&format!("/api2/extjs/status/metrics?{query}"));
        assert_eq!(reply.status, 200, "{query}");
        assert_eq!(reply.header("content-type"), JSON, "{query}");
        let expected = json!({
            "errors": errors,
            "message": "parameter verification errors",
            "status": 400,
            "success": false,
        });
        assert_eq!(reply.text(), expected.to_string(), "{query}");

        let reply = server.get(&format!("/api2/json/status/metrics?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.header("content-type"), JSON, "{query}");
        for (name, error) in errors.as_object().unwrap() {
            let line = format!("{name}: {}", error.as_str().unwrap());
            assert!(reply.text().contains(&line), "{query}");
        }
    }
    assert_eq!(server.stop().counters["parameter_errors"], 16);
}

#[test]
fn parts_arrive_as_their_concatenation() {
    let parts: Vec<String> = (0..200).map(|i| format!("{i},").repeat(1 + i * 37 % 5000)).collect();
    let whole = parts.concat();
    let server = Running::start(Fake::pulling(move |_, _| Ok(in_parts(&parts))));
    let mut client = server.connect();
    for _ in 0..3 {
        let reply = client.get("/api2/extjs/status/metrics?history=1");
        assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
        assert_eq!(reply.header("content-length"), None);
        let expected = format!(r#"{{"data":{{"data":[{whole}]}},"status":200,"success":true}}"#);
        assert!(reply.text() == expected, "the body differs");
    }
}

#[test]
fn a_ring_that_cannot_be_read_is_an_error_in_the_formatters_way() {
    let server = Running::start(Fake::pulling(|_, _| {
        Err(VitalsError::Unreadable("bad magic".to_owned().into()))
    }));
    let reply = server.get("/api2/json/status/metrics");
    assert_eq!((reply.status, reply.text()), (400, "the ring cannot be read: bad magic"));
    let reply = server.get("/api2/extjs/status/metrics");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.text(),
        r#"{"message":"the ring cannot be read: bad magic","status":400,"success":false}"#
    );
    assert_eq!(server.stop().counters["vitals_errors"], 2);
}

#[test]
fn head_gives_the_header_alone_and_the_connection_goes_on() {
    let server = Running::start(Fake::parts(&[POINT]));
    let mut client = server.connect();
    for target in ["/api2/extjs/status/metrics", "/api2/json/version", "/healthz", "/nothing"] {
        let full = client.get(target);
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let head = client.head();
        assert_eq!(head.status, full.status, "{target}");
        let without_date = |headers: &[(String, String)]| {
            let mut headers = headers.to_vec();
            headers.retain(|(name, _)| name != "date");
            headers.sort();
            headers
        };
        assert_eq!(without_date(&head.headers), without_date(&full.headers), "{target}");
    }
    // If a HEAD had been given a body, this answer would begin in the middle of it.
    assert_eq!(client.get("/healthz").text(), "ok\n");
}

#[test]
fn head_of_a_long_answer_makes_only_its_first_part() {
    let server = Running::start(Fake::pulling(|_, _| {
        let mut first = true;
        Ok(Box::new(Script(move |out: &mut Vec<u8>| {
            assert!(std::mem::take(&mut first), "a second part was made");
            out.push(b'1');
            Part::More
        })))
    }));
    let mut client = server.connect();
    client.send("HEAD /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.get("/healthz").text(), "ok\n");
    assert_eq!(server.stop().counters["panics"], 0);
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let server = Running::start(Fake::parts(&[POINT]));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        for target in ["/api2/json/status/metrics", "/api2/extjs/version", "/healthz", "/readyz"] {
            let mut client = server.connect();
            client.send(format!(
                "{method} {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"
            ));
            let reply = client.reply();
            assert_eq!(reply.status, 405, "{method} {target}");
            assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method} {target}");
        }
        // What is not there is not there for any method.
        let mut client = server.connect();
        client.send(format!("{method} /x HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.reply().status, 404, "{method}");
    }
}

#[test]
fn a_request_target_of_3073_bytes_is_too_long() {
    let server = Running::start(Fake::parts(&[POINT]));
    let target = |length: usize| {
        let start = "/api2/extjs/version?_dc=";
        format!("{start}{}", "0".repeat(length - start.len()))
    };
    assert_eq!(server.get(&target(3072)).status, 200);
    let reply = server.get(&target(3073));
    assert_eq!((reply.status, reply.header("content-type")), (414, TEXT));
    let reply = server.get(&format!("/{}", "x".repeat(3072)));
    assert_eq!(reply.status, 414);
    assert_eq!(server.stop().counters["uris_too_long"], 2);
}

fn with_body(client: &mut Client, query: &str, content_type: &str, body: &str) {
    client.send(format!(
        "GET /api2/extjs/status/metrics{query} HTTP/1.1\r\nHost: t\r\n{content_type}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
}

#[test]
fn a_body_gives_the_parameters_instead_of_the_query() {
    let server = Running::start(Fake::pulling(|history, start| {
        Ok(in_parts(&[format!("{history}/{start}")]))
    }));
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let mut client = server.connect();
    for (query, content_type, body, expected) in [
        ("?history=0", json, r#"{"history":true,"start-time":5}"#, "true/5"),
        ("?history=1&start-time=7", json, "{}", "false/0"),
        ("?history=1&start-time=7", json, "", "true/7"),
        ("?x=1", form, "history=1&start%2Dtime=3", "true/3"),
        ("", "", "history=1", "true/0"),
        ("?history=1", form, "", "true/0"),
    ] {
        with_body(&mut client, query, content_type, body);
        let reply = client.reply();
        let text = reply.text();
        assert!(text.contains(&format!("[{expected}]")), "{query} {body}: {text}");
    }
    for (content_type, body, message) in [
        (json, r#"{"history":2}"#, "parameter verification errors"),
        (json, "[]", "the body is not a JSON object"),
        (form, "\u{e9}=1", "parameter verification errors"),
        ("Content-Type: text/plain\r\n", "", "unsupported content type"),
        ("Content-Type: multipart/form-data\r\n", "", "unsupported content type"),
        ("Content-Type: \r\n", "", "unsupported content type"),
    ] {
        with_body(&mut client, "", content_type, body);
        let reply = client.reply();
        let object: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(object["message"], message, "{content_type}{body}");
        assert_eq!(object["status"], 400, "{content_type}{body}");
    }
    // The connection is closed after these: what follows in the stream is not read.
    let large = format!("{{\"history\":{}1}}", " ".repeat(5000));
    let mut client = server.connect();
    with_body(&mut client, "", json, &large);
    let reply = client.reply();
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap()["status"], 413);
    assert_eq!(reply.header("connection"), Some("close"));
    let mut client = server.connect();
    client.send(format!(
        "GET /api2/json/status/metrics HTTP/1.1\r\nHost: t\r\n{json}\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    ));
    assert_eq!(client.reply().status, 413);
    assert_eq!(server.stop().counters["bodies_too_large"], 2);
}

#[test]
fn readyz_says_why_the_newest_record_is_not_fresh() {
    for (age, ready) in [(Some(0), true), (Some(3), true), (Some(4), false), (None, false)] {
        let mut fake = Fake::parts(&[]);
        fake.freshness = Box::new(move || fresh(age));
        let server = Running::start(fake);
        let reply = server.get("/readyz");
        assert_eq!(server.get("/healthz").status, 200);
        if ready {
            assert_eq!((reply.status, reply.text()), (200, "ready\n"));
        } else {
            assert_eq!(reply.status, 503);
            assert_eq!(reply.header("content-type"), Some("application/json"));
            let object: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(object["ready"], false);
            assert!(object["reason"].is_string());
            assert_eq!(object["newest_age_seconds"], age.map_or(json!(null), |_| json!(4.0)));
            assert_eq!(object["state"], "live");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server = Running::start(Fake::pulling(|_, start| Ok(in_parts(&[start.to_string()]))));
    let mut client = server.connect();
    let requests: String = (0..100)
        .map(|i| {
            format!("GET /api2/json/status/metrics?start-time={i} HTTP/1.1\r\nHost: t\r\n\r\n")
        })
        .collect();
    client.send(requests);
    for i in 0..100 {
        assert_eq!(client.reply().text(), format!(r#"{{"data":{{"data":[{i}]}}}}"#));
    }
    let ended = server.stop();
    assert_eq!(ended.counters["connections_accepted"], 1);
    assert_eq!(ended.counters["requests"], 100);
}

#[test]
fn connections_end_as_their_clients_wish() {
    let server = Running::start(Fake::parts(&["1,", "2"]));
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!(client.reply().header("connection"), Some("close"));
    client.is_closed_without_a_word();

    // A client of HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics HTTP/1.0\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.header("transfer-encoding"), None);
    assert_eq!(reply.text(), r#"{"data":{"data":[1,2]}}"#);
}

#[test]
fn a_panic_costs_its_own_answer_and_nothing_else() {
    let server = Running::start(Fake {
        begin: Box::new(|history, start| match (history, start) {
            (false, 1) => panic!("at the beginning (expected by this test)"),
            (false, 2) => Ok(Box::new(Script(|out: &mut Vec<u8>| {
                out.push(b'1');
                panic!("in the first part (expected by this test)")
            }))),
            (true, _) => {
                let mut parts = 0;
                Ok(Box::new(Script(move |out: &mut Vec<u8>| {
                    parts += 1;
                    assert!(parts < 3, "in a later part (expected by this test)");
                    out.resize(out.len() + SENT_AT_ONCE, b'1');
                    Part::More
                })))
            }
            _ => Ok(in_parts(&["5".to_owned()])),
        }),
        freshness: Box::new(|| panic!("in freshness (expected by this test)")),
    });
    let mut client = server.connect();
    // Nothing has been said yet, so it can be said what happened, and the connection goes on.
    assert_eq!(client.get("/api2/json/status/metrics?start-time=1").status, 500);
    assert_eq!(client.get("/api2/json/status/metrics?start-time=2").status, 500);
    assert_eq!(client.get("/readyz").status, 500);
    let reply = client.get("/api2/extjs/status/metrics?start-time=2");
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap()["status"], 500);
    // The answer has begun: its end must be missing.
    client.send("GET /api2/json/status/metrics?history=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let reply = client.reply_or_fragment();
    assert_eq!((reply.status, reply.complete), (200, false));
    assert!(reply.text().starts_with(r#"{"data":{"data":[1"#));
    assert_eq!(server.get("/api2/json/status/metrics").text(), r#"{"data":{"data":[5]}}"#);
    let ended = server.stop();
    assert_eq!(ended.counters["panics"], 5);
    assert_eq!(ended.counters["answers_broken"], 1);
}

#[test]
fn a_panic_of_a_whole_connection_is_counted_too() {
    struct Falls;
    impl tachograph::http::Pull for Falls {
        fn part(&mut self, out: &mut Vec<u8>) -> Part {
            out.push(b'1');
            Part::More
        }
    }
    impl Drop for Falls {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in drop (expected by this test)");
            }
        }
    }
    let server = Running::start(Fake::pulling(|history, _| {
        if history { Ok(Box::new(Falls)) } else { Ok(in_parts(&[])) }
    }));
    let mut client = server.connect();
    // HEAD drops the body unread, in the middle of hyper's own work.
    client.send("HEAD /api2/json/status/metrics?history=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.is_closed_without_a_word();
    assert_eq!(server.get("/api2/json/status/metrics").status, 200);
    let ended = server.stop();
    assert_eq!(ended.counters["panics"], 1);
    assert_eq!(ended.dropped, 0);
}

#[test]
fn an_overrun_answer_is_refused_or_cut_off_and_never_whole() {
    let server = Running::start(Fake::pulling(|history, _| {
        let mut parts = if history { 2 } else { 0 };
        Ok(Box::new(Script(move |out: &mut Vec<u8>| {
            if parts == 0 {
                return Part::Broken;
            }
            parts -= 1;
            out.resize(out.len() + SENT_AT_ONCE, b'7');
            Part::More
        })))
    }));
    assert_eq!(server.get("/api2/json/status/metrics").status, 400);
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics?history=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let reply = client.reply_or_fragment();
    assert_eq!((reply.status, reply.complete), (200, false));
    // Without chunks the end of the connection is the end of the answer, so it must be no good end.
    let mut client = server.connect();
    client.send("GET /api2/json/status/metrics?history=1 HTTP/1.0\r\n\r\n");
    let error = client.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let ended = server.stop();
    assert_eq!(ended.counters["answers_broken"], 2);
    assert_eq!(ended.counters["vitals_errors"], 1);
    assert_eq!(ended.counters["panics"], 0);
}
