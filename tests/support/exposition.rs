//! The text that exporters write, read in the plainest way: families, their series, their points.
//!
//! It takes both forms, text 0.0.4 and OpenMetrics 1.0, as they come from programs that are trusted
//! here; whether a text is right to the letter is asked of other parsers.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a series, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Families by the name that their samples have.
pub(crate) type Families = BTreeMap<String, Family>;

/// All samples of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) series: BTreeMap<Labels, Vec<Point>>,
}

/// One value, with its time where it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) time_ms: Option<i64>,
    pub(crate) value: f64,
}

impl Family {
    /// Names of the labels that any of its series has.
    pub(crate) fn label_names(&self) -> BTreeSet<&str> {
        self.series.keys().flat_map(|labels| labels.keys().map(String::as_str)).collect()
    }

    /// The value of the only series that has all of `labels`, and others maybe.
    pub(crate) fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |known: &Labels| {
            labels.iter().all(|(name, value)| known.get(*name).is_some_and(|is| is == value))
        };
        let mut found = self.series.iter().filter(|(known, _)| fits(known));
        let (_, points) = found.next()?;
        assert!(found.next().is_none(), "more than one series has {labels:?}");
        Some(points.last()?.value)
    }
}

/// How a series is written, which is also how it is told to people.
pub(crate) fn series_name(family: &str, labels: &Labels) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { family.to_owned() } else { format!("{family}{{{}}}", labels.join(",")) }
}

/// Reads a whole text.
///
/// Panics at what is not in it: that is a failure of the test. A family must not be interrupted by
/// another one, nor a series be there twice, nor its times go back.
pub(crate) fn parse(text: &str) -> Families {
    let mut families = Families::new();
    let mut told = BTreeMap::<&str, (&str, &str)>::new();
    let mut current = "";
    let seconds = text.ends_with("# EOF\n");
    for line in text.lines().filter(|line| !line.is_empty() && *line != "# EOF") {
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.trim_start().splitn(3, ' ');
            let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let rest = words.next().unwrap_or_default();
            match what {
                "HELP" => told.entry(name).or_default().0 = rest,
                "TYPE" => told.entry(name).or_default().1 = rest,
                _ => {}
            }
            continue;
        }
        let (name, labels, point) = sample(line, seconds);
        assert!(name == current || !families.contains_key(name), "{name} is interrupted: {line}");
        current = name;
        let family = families.entry(name.to_owned()).or_default();
        // OpenMetrics tells of a counter without its end.
        let bare = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(name);
        if let Some((help, kind)) = told.get(name).or(told.get(bare)) {
            (family.help, family.kind) = ((*help).to_owned(), (*kind).to_owned());
        }
        let points = family.series.entry(labels).or_default();
        let follows = points.last().is_none_or(|last| last.time_ms < point.time_ms);
        assert!(follows, "a series is there twice or goes back in time: {line}");
        points.push(point);
    }
    families
}

/// `name{label="value",...} value [time]`, the time in milliseconds or in seconds.
fn sample(line: &str, seconds: bool) -> (&str, Labels, Point) {
    let name_len = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, rest) = line.split_at(name_len);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => self::labels(rest),
        None => (Labels::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let number = |word: &str| word.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
    let value = number(words.next().unwrap_or_default());
    let time = words.next().map(number);
    assert_eq!(words.next(), None, "{line}");
    let time_ms = time.map(|time| (if seconds { time * 1e3 } else { time }).round() as i64);
    (name, labels, Point { time_ms, value })
}

/// The labels behind an opening brace, and what follows the closing one.
fn labels(text: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return (labels, rest);
        }
        let (name, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {text}"));
        let (value, after) = value(quoted);
        assert!(labels.insert(name.to_owned(), value).is_none(), "a label twice: {text}");
        rest = after;
    }
}

/// A label's value up to its closing quote, and what follows that.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return (value, &text[index + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, char @ ('\\' | '"'))) => value.push(char),
                other => panic!("no such escape: {other:?} in {text}"),
            },
            char => value.push(char),
        }
    }
    panic!("a quote is missing: {text}");
}
