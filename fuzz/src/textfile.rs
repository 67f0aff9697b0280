//! Text files of metrics, whole and cut short.

use std::collections::BTreeSet;

use tachograph::record::{Kind, METRIC_BYTES_MAX};
use tachograph::sample::{SampleError, parse::Exposition};

use super::input::Input;

type Samples = Vec<(String, Kind, Option<f64>)>;

/// Parses a text, parses it again cut off at some place, and parses what was understood of it.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let cut = input.short();
    let text = input.rest();
    let cut = text.get(..cut.into()).unwrap_or(text);
    // One value is used again and again, as the recorder does it.
    let mut exposition = Exposition::default();
    let (some, cut_outcome) = read(&mut exposition, cut);
    let (all, outcome) = read(&mut exposition, text);
    if outcome.is_ok() {
        assert!(all.starts_with(&some), "{some:?} is not the beginning of {all:?}");
        assert!(matches!(cut_outcome, Ok(()) | Err(SampleError::Truncated)), "{cut_outcome:?}");
    }
    // What was understood has one form, and says the same in it.
    let finite = all.into_iter().filter_map(|(name, _, value)| Some((name, value?)));
    let finite: Vec<_> = finite.collect();
    let text: String = finite.iter().map(|(name, value)| format!("{name} {value:e}\n")).collect();
    let (again, outcome) = read(&mut exposition, text.as_bytes());
    assert_eq!(outcome, Ok(()));
    let again: Vec<_> =
        again.into_iter().filter_map(|(name, _, value)| Some((name, value?))).collect();
    assert_eq!(again, finite);
}

fn read(exposition: &mut Exposition, text: &[u8]) -> (Samples, Result<(), SampleError>) {
    let outcome = exposition.read(text);
    let samples = exposition.samples().map(|(name, kind, value)| (name.to_owned(), kind, value));
    let samples: Samples = samples.collect();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    assert!(samples.len() as u64 <= lines as u64 && exposition.left_out() <= lines as u64);
    let names: BTreeSet<_> = samples.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), samples.len(), "no name stands twice");
    for name in names {
        assert!((1..=METRIC_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control));
    }
    assert!(outcome.is_ok() || samples.is_empty() && exposition.left_out() == 0);
    (samples, outcome)
}
