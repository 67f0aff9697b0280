//! Paths and parameters of requests.

use std::fmt::Write as _;

use tachograph::http::Route;
use tachograph::http::limits::{CHOICES_MAX, URI_BYTES_MAX};
use tachograph::http::query::{
    self, BodyError, ListParameters, NoParameters, ParameterErrors, PullParameters,
};

/// Understands a text as a query, as a form in JSON and as a path.
pub fn run(input: &[u8]) {
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
    if !text.contains(['%', '+']) {
        assert_eq!(query::parse(&encoded(text)), read, "percent-encoding changes nothing");
    }

    let route = Route::of_path(text);
    assert_eq!(Route::of_path(&format!("/{text}/")), route);
    assert_eq!(Route::of_path(&text.replace('/', "//")), route);
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
