//! Paths, parameters and headers of requests.

use std::fmt::Write as _;

use tachograph::encode::{Cursor, EventId, Moment};
use tachograph::http::headers::{
    Acceptable, Coding, EntityTag, Host, SCRAPE_TIMEOUT_MAX, entity_tags, host, scrape_timeout,
};
use tachograph::http::limits::{CHOICES_MAX, ENTITY_TAGS_MAX, URI_BYTES_MAX, WEIGHTED_ITEMS_MAX};
use tachograph::http::quality::{WHOLE, weighted};
use tachograph::http::query::{
    self, BodyError, HistoryParameters, ListParameters, NoParameters, ParameterErrors,
    PullParameters, ScrapeParameters, StreamParameters, WindowParameters,
};
use tachograph::http::{Route, cursors};

/// Understands a text as a query, as a form in JSON, as a path and as the values of headers.
pub fn run(input: &[u8]) {
    if let Ok(list) = cursors::decode(input) {
        assert_eq!(cursors::decode(&cursors::encode(&list)), Ok(list));
    }
    let input = input.get(..URI_BYTES_MAX).unwrap_or(input);
    let read = query::parse_json::<PullParameters>(input);
    match &read {
        Ok(parameters) => there_and_back(*parameters),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Err(BodyError::Parameters(errors)) = &read {
        check(errors, input.len());
    }

    let Ok(text) = str::from_utf8(input) else { return };
    let pairs = text.split('&').count();
    let read = query::parse::<PullParameters>(text);
    match &read {
        Ok(parameters) => there_and_back(*parameters),
        Err(errors) => check(errors, pairs),
    }
    if let Err(errors) = query::parse::<NoParameters>(text) {
        check(&errors, pairs);
    }
    match query::parse::<ListParameters>(text) {
        Ok(wanted) => {
            assert!(wanted.rings.len() + wanted.matching.len() <= CHOICES_MAX);
            // A pattern of any shape is compared in a time that is bounded by the two texts.
            let _ = wanted.admits("cgroup/system.slice/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/usage_us");
        }
        Err(errors) => check(&errors, pairs),
    }
    match query::parse::<WindowParameters>(text) {
        Ok(wanted) => {
            assert!(wanted.cells.len() <= CHOICES_MAX);
            assert!(wanted.limit != Some(0) && wanted.step_ns() != Some(0));
            let told = wanted.cells.iter().map(|cell| format!("agg={}&", cell.name()));
            let again = query::parse::<WindowParameters>(&told.collect::<String>());
            assert_eq!(again.map(|again| again.cells), Ok(wanted.cells));
            if let Some(cursor) = wanted.next {
                assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
        Err(errors) => check(&errors, pairs),
    }
    match query::parse::<HistoryParameters>(text) {
        Ok(wanted) => {
            assert!(wanted.cursor.is_none_or(|name| cursors::is_name(&name)));
            assert!(wanted.window.is_none_or(|window| !window.is_zero()));
        }
        Err(errors) => check(&errors, pairs),
    }
    if let Err(errors) = query::parse::<ScrapeParameters>(text) {
        check(&errors, pairs);
    }
    match query::parse::<StreamParameters>(text) {
        Ok(wanted) => _ = wanted.admits("host/load1"),
        Err(errors) => check(&errors, pairs),
    }
    if let Ok(id) = EventId::parse(text) {
        let again = EventId::parse(&id.seq.to_string()).map(|id| (id.seq, id.realtime_ns));
        assert_eq!(again, Ok((id.seq, None)));
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(moment) = text.parse::<Moment>() {
        assert!(moment.ns(0) <= moment.ns(u64::MAX));
    }
    if !text.contains(['%', '+']) {
        assert_eq!(query::parse(&encoded(text)), read, "percent-encoding changes nothing");
    }

    let route = Route::of_path(text);
    assert_eq!(Route::of_path(&format!("/{text}/")), route);
    assert_eq!(Route::of_path(&text.replace('/', "//")), route);

    read_weights(text);
    read_tags(text);
    read_host(text);
    if let Some(timeout) = scrape_timeout(text) {
        assert!(!timeout.is_zero() && timeout <= SCRAPE_TIMEOUT_MAX);
    }
}

fn read_weights(text: &str) {
    let items: Vec<_> = weighted(text).collect();
    assert!(items.len() <= WEIGHTED_ITEMS_MAX);
    assert!(items.iter().all(|(item, weight)| *weight <= WHOLE && text.contains(item)));
    assert_eq!(weighted(&format!(" ,{text}")).collect::<Vec<_>>(), items, "nothing is no item");

    let acceptable = Acceptable::of([text]);
    assert_eq!(Acceptable::of([text, text]), acceptable, "what was said first counts");
    let best = acceptable.best();
    assert!(best == Coding::Identity || acceptable.admits(best));
    assert!(Coding::ALL.contains(&best));
}

fn read_tags(text: &str) {
    let tags: Vec<_> = entity_tags(text).collect();
    assert!(tags.len() <= ENTITY_TAGS_MAX);
    let mut line = String::new();
    for tag in &tags {
        match tag {
            EntityTag::Any => line.push('*'),
            EntityTag::Opaque(tag) => {
                assert!(!tag.contains(['"', ' ']));
                write!(line, "W/\"{tag}\",").expect("room in memory");
            }
        }
    }
    assert!(entity_tags(&line).eq(tags), "what was read is written and read again");
}

fn read_host(text: &str) {
    let read = host(text);
    match read {
        Some(Host::Name(name)) => {
            assert!(text.starts_with(name) && !name.contains([':', '/', '[', '@', ' ']));
            assert_eq!(host(&format!("{name}:80")), read);
        }
        Some(Host::Address) => {
            assert!(text.parse::<std::net::IpAddr>().is_err() || !text.contains(':'))
        }
        None => {}
    }
}

fn there_and_back(parameters: PullParameters) {
    let PullParameters { history, start_time } = parameters;
    let text = format!("start-time={start_time}&history={history}&_dc=7");
    assert_eq!(query::parse(&text), Ok(parameters));
}

fn check(errors: &ParameterErrors, pairs: usize) {
    let names: Vec<_> = errors.iter().map(|(name, _)| name).collect();
    assert!((1..=pairs).contains(&names.len()));
    assert!(names.iter().enumerate().all(|(index, name)| !names[..index].contains(name)));
    assert!(!errors.to_string().is_empty());
}

/// A query in which nothing stands for itself but what separates.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for pair in text.split_inclusive('&') {
        let mut name = true;
        for byte in pair.bytes() {
            match byte {
                b'&' => out.push('&'),
                b'=' if name => {
                    name = false;
                    out.push('=');
                }
                _ => write!(out, "%{byte:02X}").expect("room in memory"),
            }
        }
    }
    out
}
