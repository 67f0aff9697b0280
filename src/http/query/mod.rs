//! The parameters of a request, from text to values.
//!
//! Pure functions over untrusted input. Every parameter is looked at even after one was wrong, so
//! that a client is told everything at once.

mod scrape;
mod stream;

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;

use glob::{Pattern, PatternError};
use serde_json::Value;

use super::limits::CHOICES_MAX;
use crate::encode::prometheus::UnknownCollector;
use crate::rights::{AclPath, AuthId};

pub use scrape::{HistoryParameters, ScrapeParameters};
pub use stream::StreamParameters;

mod window;

pub use window::{WindowFormat, WindowParameters};

/// Set by JavaScript clients to defeat caches; means nothing.
const CACHE_BUSTER: &str = "_dc";

/// A set of parameters that an endpoint knows.
pub trait Parameters: Default {
    /// The names, in the order of [`set`](Self::set)'s index.
    const NAMES: &'static [&'static str];
    /// Those of the names that may occur several times.
    const REPEATED: &'static [&'static str] = &[];

    /// Sets the parameter with the name `NAMES[index]`.
    ///
    /// # Errors
    ///
    /// A [`ParameterError`] if the text is not a value of the parameter's type.
    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError>;
}

/// The parameters of `status/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullParameters {
    /// Whether generations before the newest are wanted too.
    pub history: bool,
    /// Epoch seconds; only generations after it are wanted. Means nothing without `history`.
    pub start_time: i64,
}

impl Parameters for PullParameters {
    const NAMES: &'static [&'static str] = &["history", "start-time"];

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        match index {
            0 => self.history = boolean(value)?,
            _ => self.start_time = value.parse().map_err(ParameterError::NotInteger)?,
        }
        Ok(())
    }
}

/// The parameters of `access/permissions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionsParameters {
    /// Whose; those of whoever asks, if there is none.
    pub auth_id: Option<AuthId>,
    /// Where; everywhere, if there is none.
    pub path: Option<AclPath>,
}

impl Parameters for PermissionsParameters {
    const NAMES: &'static [&'static str] = &["auth-id", "path"];

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        fn unfit(error: impl fmt::Display) -> ParameterError {
            ParameterError::Unfit(error.to_string())
        }
        match index {
            0 => self.auth_id = Some(value.parse().map_err(unfit)?),
            _ => self.path = Some(value.parse().map_err(unfit)?),
        }
        Ok(())
    }
}

/// The parameters of a list of the native API: which rings, and which of their series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParameters {
    /// Names of the rings; all, if there is none.
    pub rings: Vec<String>,
    /// Patterns of which a series' `OBJECT/METRIC` must match one; all series, if there is none.
    pub matching: Vec<Pattern>,
}

impl ListParameters {
    /// Whether a series of this `OBJECT/METRIC` is wanted.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        self.matching.is_empty() || self.matching.iter().any(|pattern| pattern.matches(name))
    }
}

impl Parameters for ListParameters {
    const NAMES: &'static [&'static str] = &["ring", "match"];
    const REPEATED: &'static [&'static str] = Self::NAMES;

    fn set(&mut self, index: usize, value: &str) -> Result<(), ParameterError> {
        if self.rings.len() + self.matching.len() == CHOICES_MAX {
            return Err(ParameterError::TooMany);
        }
        let not_pattern = |error: PatternError| ParameterError::NotPattern(error.msg);
        match index {
            0 => self.rings.push(value.to_owned()),
            _ => self.matching.push(Pattern::new(value).map_err(not_pattern)?),
        }
        Ok(())
    }
}

/// The parameters of an endpoint that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoParameters;

impl Parameters for NoParameters {
    const NAMES: &'static [&'static str] = &[];

    fn set(&mut self, _: usize, _: &str) -> Result<(), ParameterError> {
        Err(ParameterError::Unknown)
    }
}

/// Reads parameters from a query string or a form.
///
/// Names are percent-decoded like values: clients that encode everything but letters and digits
/// send `start%2Dtime`.
///
/// # Errors
///
/// [`ParameterErrors`] with one entry for each name that was refused.
///
/// # Examples
///
/// ```
/// use tachograph::http::query::{self, PullParameters};
///
/// let parameters = query::parse("history=on&start%2Dtime=1729000000");
/// assert_eq!(parameters, Ok(PullParameters { history: true, start_time: 1_729_000_000 }));
///
/// let errors = query::parse::<PullParameters>("history=maybe").unwrap_err();
/// assert_eq!(errors.to_string(), "history: Unable to parse boolean option.");
/// ```
pub fn parse<P: Parameters>(query: &str) -> Result<P, ParameterErrors> {
    let mut reader = Reader::<P>::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        reader.take(&name, |parameters, index| parameters.set(index, &value));
    }
    reader.finish()
}

/// Reads parameters from a JSON object: booleans, integers, or the text that a query would have.
///
/// Of a name that occurs twice in the object the last one counts, as JSON parsers have it.
///
/// # Errors
///
/// [`BodyError::Parameters`] with one entry for each name that was refused, or what is wrong with
/// the body as a whole.
pub fn parse_json<P: Parameters>(body: &[u8]) -> Result<P, BodyError> {
    let value = serde_json::from_slice(body).map_err(BodyError::NotJson)?;
    let Value::Object(object) = value else { return Err(BodyError::NotObject) };
    let mut reader = Reader::<P>::default();
    for (name, value) in &object {
        reader.take(name, |parameters, index| match value {
            Value::String(text) => parameters.set(index, text),
            Value::Bool(true) => parameters.set(index, "true"),
            Value::Bool(false) => parameters.set(index, "false"),
            Value::Number(number) => parameters.set(index, &number.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(ParameterError::WrongType),
        });
    }
    reader.finish().map_err(BodyError::Parameters)
}

/// Fills a set of parameters and remembers what it has seen.
struct Reader<P> {
    parameters: P,
    /// Bit `i` for the parameter `NAMES[i]`.
    seen: u64,
    errors: ParameterErrors,
}

impl<P: Parameters> Default for Reader<P> {
    fn default() -> Self {
        const { assert!(P::NAMES.len() <= 64, "one bit of `seen` for each name") };
        Reader { parameters: P::default(), seen: 0, errors: ParameterErrors::default() }
    }
}

impl<P: Parameters> Reader<P> {
    fn take(&mut self, name: &str, set: impl FnOnce(&mut P, usize) -> Result<(), ParameterError>) {
        if name == CACHE_BUSTER {
            return;
        }
        let result = match P::NAMES.iter().position(|known| *known == name) {
            None => Err(ParameterError::Unknown),
            Some(index) if self.seen & (1 << index) != 0 && !P::REPEATED.contains(&name) => {
                Err(ParameterError::Duplicate)
            }
            Some(index) => {
                self.seen |= 1 << index;
                set(&mut self.parameters, index)
            }
        };
        if let Err(error) = result {
            self.errors.add(name, error);
        }
    }

    fn finish(self) -> Result<P, ParameterErrors> {
        if self.errors.list.is_empty() { Ok(self.parameters) } else { Err(self.errors) }
    }
}

fn number(text: &str) -> Result<u64, ParameterError> {
    text.parse().map_err(ParameterError::NotInteger)
}

fn boolean(text: &str) -> Result<bool, ParameterError> {
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if ["1", "on", "yes", "true"].iter().any(is) {
        Ok(true)
    } else if ["0", "off", "no", "false"].iter().any(is) {
        Ok(false)
    } else {
        Err(ParameterError::NotBoolean)
    }
}

/// What is wrong with one parameter. The texts are what clients of the API know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterError {
    /// The endpoint has no parameter of this name.
    Unknown,
    /// The name occurs more than once.
    Duplicate,
    /// The value is none of the words for true and false.
    NotBoolean,
    /// The value is not a 64-bit integer.
    NotInteger(ParseIntError),
    /// A JSON value that stands for no text.
    WrongType,
    /// The value is no name.
    NotName,
    /// The value is no collector.
    NotCollector(UnknownCollector),
    /// The value is no pattern, for this reason.
    NotPattern(&'static str),
    /// There are more values than [`CHOICES_MAX`].
    TooMany,
    /// The value is no moment.
    NotMoment,
    /// The value is no duration.
    NotDuration,
    /// The value is none of these.
    NotOneOf(&'static str),
    /// The value is not what an answer gave as `next`.
    NotCursor,
    /// The value is 0, which gives nothing.
    Zero,
    /// The values of several parameters do not go together, for this reason.
    Unfit(String),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterError::Unknown => f.write_str("schema does not allow additional properties."),
            ParameterError::Duplicate => f.write_str("duplicate parameter."),
            ParameterError::NotBoolean => f.write_str("Unable to parse boolean option."),
            ParameterError::NotInteger(cause) => cause.fmt(f),
            ParameterError::WrongType => f.write_str("not a boolean, integer or string."),
            ParameterError::NotName => {
                f.write_str("not a name of 1 to 64 letters, digits, dots, dashes and underscores.")
            }
            ParameterError::NotCollector(cause) => write!(f, "{cause}."),
            ParameterError::NotPattern(reason) => write!(f, "not a pattern: {reason}."),
            ParameterError::NotMoment => f.write_str(
                "not a moment: write now, -5m, 2026-11-22T17:00:00Z, or seconds or milliseconds \
                 since 1970.",
            ),
            ParameterError::NotDuration => {
                f.write_str("not a duration: write 10ms, 1s, 5min or 1h.")
            }
            ParameterError::NotOneOf(names) => write!(f, "not one of {names}."),
            ParameterError::NotCursor => f.write_str("not what an answer gave as `next`."),
            ParameterError::Zero => f.write_str("at least 1."),
            ParameterError::Unfit(reason) => write!(f, "{reason}."),
            ParameterError::TooMany => write!(f, "more than {CHOICES_MAX} values."),
        }
    }
}

impl Error for ParameterError {}

/// Everything that is wrong with a request's parameters, one error for each name.
///
/// Of two errors of one name the first is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterErrors {
    list: Vec<(String, ParameterError)>,
}

impl ParameterErrors {
    /// Each refused name and why, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParameterError)> {
        self.list.iter().map(|(name, error)| (name.as_str(), error))
    }

    /// The one error.
    pub(crate) fn of(name: &str, error: ParameterError) -> Self {
        Self { list: vec![(name.to_owned(), error)] }
    }

    fn add(&mut self, name: &str, error: ParameterError) {
        // Linear, and bounded: a query is at most `URI_BYTES_MAX` long, so there are at most half
        // as many names in it.
        if !self.list.iter().any(|(known, _)| known == name) {
            self.list.push((name.to_owned(), error));
        }
    }
}

impl fmt::Display for ParameterErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, error)) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}: {error}")?;
        }
        Ok(())
    }
}

impl Error for ParameterErrors {}

/// What is wrong with a body that should hold parameters.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is JSON and not an object.
    NotObject,
    /// It is an object and its parameters were refused.
    Parameters(ParameterErrors),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::NotJson(cause) => write!(f, "the body is not JSON: {cause}"),
            BodyError::NotObject => f.write_str("the body is not a JSON object"),
            BodyError::Parameters(errors) => errors.fmt(f),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BodyError::NotJson(cause) => Some(cause),
            BodyError::NotObject => None,
            BodyError::Parameters(errors) => Some(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(history: bool, start_time: i64) -> Result<PullParameters, String> {
        Ok(PullParameters { history, start_time })
    }

    fn read(query: &str) -> Result<PullParameters, String> {
        parse(query).map_err(|errors: ParameterErrors| errors.to_string())
    }

    fn refused(text: &str) -> Result<PullParameters, String> {
        Err(text.to_owned())
    }

    #[test]
    fn absent_parameters_have_their_defaults() {
        assert_eq!(read(""), ok(false, 0));
        assert_eq!(read("&&"), ok(false, 0));
        assert_eq!(read("start-time=5"), ok(false, 5));
        assert_eq!(read("_dc=1&_dc=2&history=1"), ok(true, 0));
    }

    #[test]
    fn names_and_values_are_percent_decoded() {
        assert_eq!(read("history=true&start%2Dtime=0"), ok(true, 0));
        assert_eq!(read("%68istory=tr%75e&start%2dtime=%2D7"), ok(true, -7));
        // A plus is a space, and a space is not a number.
        assert_eq!(read("start-time=+5"), refused("start-time: invalid digit found in string"));
        assert_eq!(read("start-time=%2B5"), ok(false, 5));
    }

    #[test]
    fn boolean_words_are_known_in_any_case() {
        for word in ["1", "on", "yes", "true", "ON", "Yes", "tRuE"] {
            assert_eq!(read(&format!("history={word}")), ok(true, 0), "{word}");
        }
        for word in ["0", "off", "no", "false", "OFF", "No", "FALSE"] {
            assert_eq!(read(&format!("history={word}")), ok(false, 0), "{word}");
        }
        for word in ["", "2", "y", "truee", " true", "wahr", "\u{212a}"] {
            assert_eq!(
                read(&format!("history={word}")),
                refused("history: Unable to parse boolean option."),
                "{word}"
            );
        }
        assert_eq!(read("history"), refused("history: Unable to parse boolean option."));
    }

    #[test]
    fn integers_are_those_of_64_bits() {
        assert_eq!(read(&format!("start-time={}", i64::MIN)), ok(false, i64::MIN));
        assert_eq!(read(&format!("start-time={}", i64::MAX)), ok(false, i64::MAX));
        for (text, message) in [
            ("9223372036854775808", "number too large to fit in target type"),
            ("-9223372036854775809", "number too small to fit in target type"),
            ("1.5", "invalid digit found in string"),
            ("", "cannot parse integer from empty string"),
        ] {
            let expected = format!("start-time: {message}");
            assert_eq!(read(&format!("start-time={text}")), refused(&expected), "{text}");
        }
    }

    #[test]
    fn every_wrong_name_is_told_once() {
        assert_eq!(
            read("x=1&history=maybe&x=2&start-time=1&start-time=2&History=1"),
            refused(
                "x: schema does not allow additional properties.; \
                 history: Unable to parse boolean option.; \
                 start-time: duplicate parameter.; \
                 History: schema does not allow additional properties."
            )
        );
        assert!(parse::<NoParameters>("_dc=3").is_ok());
        assert!(parse::<NoParameters>("history=1").is_err());
    }

    #[test]
    fn lists_are_chosen_by_several_names_and_patterns() {
        let read = |query: &str| {
            parse::<ListParameters>(query).map_err(|errors: ParameterErrors| errors.to_string())
        };
        assert_eq!(read(""), Ok(ListParameters::default()));
        let chosen = read("ring=shop&match=queue%2F*&ring=host&match=*/load?").expect("sound");
        assert_eq!(chosen.rings, ["shop", "host"]);
        let admitted = ["queue/orders/waiting", "host/load1", "host/load15", "nic/lo/load1"];
        assert_eq!(admitted.map(|name| chosen.admits(name)), [true, true, false, true]);
        assert!(read("").expect("sound").admits("anything/at/all"));
        let told = read("match=a[&rings=x").expect_err("neither is known");
        assert!(told.contains("match: not a pattern: ") && told.contains("rings: "), "{told}");
        assert!(read(&"ring=a&".repeat(CHOICES_MAX)).is_ok());
        let told = read(&"ring=a&".repeat(CHOICES_MAX + 1)).expect_err("too many");
        assert_eq!(told, "ring: more than 16 values.");
    }

    #[test]
    fn json_gives_the_same_parameters() {
        let read = |body: &str| {
            parse_json::<PullParameters>(body.as_bytes()).map_err(|error| error.to_string())
        };
        assert_eq!(read("{}"), ok(false, 0));
        assert_eq!(read(r#" {"history":true,"start-time":-12,"_dc":[]} "#), ok(true, -12));
        assert_eq!(read(r#"{"history":"yes","start-time":"12"}"#), ok(true, 12));
        assert_eq!(read(r#"{"history":1}"#), ok(true, 0));
        assert_eq!(
            read(r#"{"history":null,"start-time":1.5,"z":1}"#),
            refused(
                "history: not a boolean, integer or string.; \
                 start-time: invalid digit found in string; \
                 z: schema does not allow additional properties."
            )
        );
        assert_eq!(read("[]"), refused("the body is not a JSON object"));
        assert!(read("{").unwrap_err().starts_with("the body is not JSON: "));
        assert!(read(&"[".repeat(5000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(query in "\\PC{0,200}") {
            let _ = parse::<PullParameters>(&query);
            let _ = parse::<ListParameters>(&query);
            let _ = parse_json::<PullParameters>(query.as_bytes());
        }

        #[test]
        fn what_was_written_is_read(history: bool, start: i64) {
            let query = format!("start%2Dtime={start}&history={history}");
            prop_assert_eq!(read(&query), ok(history, start));
        }
    }
}
