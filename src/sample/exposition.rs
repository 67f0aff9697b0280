//! Prometheus' text format, version 0.0.4, as far as a text file may use it.
//!
//! ```text
//! # HELP backup_bytes_total Bytes saved so far.
//! # TYPE backup_bytes_total counter
//! backup_bytes_total{store="a",job="nightly"} 1.5e+09
//! backup_last_success 1795000000
//! ```
//!
//! A text with a mistake anywhere is refused as a whole: half of what somebody wrote may say
//! something else than all of it. So is one whose samples have times of their own, one that has a
//! sample twice, and one that says twice or too late what a metric is.
//!
//! A sample is called by its metric's name and its labels, sorted by name, as in
//! `backup_bytes_total{job="nightly",store="a"}`; an empty label is the same as none. Histograms and
//! summaries are the samples that they consist of.

use std::collections::HashMap;

use crate::record::{ABSENT, Class, Kind, METRIC_BYTES_MAX, metric, word_of_f64};

use super::SampleError;
use super::readings::Readings;

/// Most samples of one text that are recorded.
pub(super) const SAMPLES_MAX: usize = 4096;

/// What a text says.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Its samples by name, their kind as the shape. One that is not finite is there, and absent.
    pub(super) readings: Readings,
    /// Samples that have no value in a record: not finite, of too long or too odd a name, or
    /// beyond [`SAMPLES_MAX`].
    left_out: u64,
    /// Whether some were beyond that.
    is_cut: bool,
}

impl Exposition {
    /// Parses `text`; what was here before is forgotten.
    ///
    /// # Errors
    ///
    /// The first mistake of the text; there are no samples then.
    pub fn read(&mut self, text: &[u8]) -> Result<(), SampleError> {
        self.clear();
        let mut name = String::new();
        let parsed = parse(text, |sample| self.add(&sample, &mut name));
        let twins = parsed.is_ok() && self.readings.has_twins();
        let outcome = if twins { Err(SampleError::Twice) } else { parsed };
        match outcome {
            Ok(()) => self.readings.complete = true,
            Err(_) => self.clear(),
        }
        outcome
    }

    /// How many samples have no value here.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether there were more samples than are recorded.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The samples: name, kind, and value if it is finite.
    pub fn samples(&self) -> impl Iterator<Item = (&str, Kind, Option<f64>)> {
        self.readings.iter().map(|(name, kind, word)| {
            let name = str::from_utf8(name).expect("it was text when it was added");
            (name, kind_of(kind), crate::record::f64_of_word(word))
        })
    }

    /// Forgets everything but its memory.
    pub(super) fn clear(&mut self) {
        self.readings.clear();
        self.left_out = 0;
        self.is_cut = false;
    }

    fn add(&mut self, sample: &Sample<'_, '_>, name: &mut String) {
        if self.readings.len() >= SAMPLES_MAX {
            self.is_cut = true;
            self.left_out += 1;
            return;
        }
        let is_fit = sample.put_name(name);
        let word = word_of_f64(sample.value);
        if is_fit {
            self.readings.push_named(name.as_bytes(), sample.kind.code(), word);
        }
        self.left_out += u64::from(!is_fit || word == ABSENT);
    }
}

/// The kind whose code is the shape of a sample's reading.
pub(super) fn kind_of(shape: u8) -> Kind {
    Kind::from_code(shape).unwrap_or(Kind::Gauge)
}

/// One sample of a text.
struct Sample<'a, 'l> {
    metric: &'a str,
    /// Sorted by name; none empty, and the values as they stand in the text.
    labels: &'l [(&'a str, &'a str)],
    kind: Kind,
    value: f64,
}

impl Sample<'_, '_> {
    /// Writes the sample's name to `name`; `false` if that is none that a series can have.
    fn put_name(&self, name: &mut String) -> bool {
        name.clear();
        let length = |(label, value): &(&str, &str)| label.len() + value.len() + r#"="","#.len();
        let labels: usize = self.labels.iter().map(length).sum();
        // Two braces, and no comma behind the last one.
        let length = self.metric.len() + labels + usize::from(labels > 0);
        let is_odd = self.labels.iter().any(|(_, value)| value.contains(char::is_control));
        // The file's own series have names that are not to be taken from them.
        let is_ours = self.labels.is_empty() && metric(Class::Textfile, self.metric).is_some();
        if length > METRIC_BYTES_MAX || is_odd || is_ours {
            return false;
        }
        name.push_str(self.metric);
        for (index, (label, value)) in self.labels.iter().enumerate() {
            name.push(if index == 0 { '{' } else { ',' });
            name.push_str(label);
            name.push_str("=\"");
            name.push_str(value);
            name.push('"');
        }
        if !self.labels.is_empty() {
            name.push('}');
        }
        assert_eq!(name.len(), length);
        true
    }
}

/// What has been said of a metric so far.
#[derive(Clone, Copy, Debug, Default)]
struct Family {
    kind: Option<FamilyKind>,
    has_help: bool,
    has_samples: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl FamilyKind {
    fn of(name: &[u8]) -> Result<Self, SampleError> {
        let kinds: [(&[u8], Self); 5] = [
            (b"counter", Self::Counter),
            (b"gauge", Self::Gauge),
            (b"histogram", Self::Histogram),
            (b"summary", Self::Summary),
            (b"untyped", Self::Untyped),
        ];
        let found = kinds.iter().find(|(other, _)| name.eq_ignore_ascii_case(other));
        found.map(|(_, kind)| *kind).ok_or(SampleError::Malformed)
    }
}

/// Parses `text` and gives each sample to `each`.
fn parse<'a>(text: &'a [u8], mut each: impl FnMut(Sample<'a, '_>)) -> Result<(), SampleError> {
    let mut families: HashMap<&[u8], Family> = HashMap::new();
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).ok_or(SampleError::Truncated)?;
        let mut line = Line { rest: rest.get(..end).unwrap_or_default() };
        rest = rest.get(end + 1..).unwrap_or_default();
        line.blanks();
        match line.rest.first() {
            None => {}
            Some(b'#') => comment(&mut line, &mut families)?,
            Some(_) => each(sample(&mut line, &mut families, &mut labels)?),
        }
    }
    Ok(())
}

/// A comment, which may say what a metric is.
fn comment<'a>(
    line: &mut Line<'a>,
    families: &mut HashMap<&'a [u8], Family>,
) -> Result<(), SampleError> {
    line.pass(b'#')?;
    line.blanks();
    let about = line.token();
    line.blanks();
    if !matches!(about, b"HELP" | b"TYPE") || line.rest.is_empty() {
        return Ok(());
    }
    let name = line.name(is_in_metric)?;
    if !line.rest.is_empty() && !line.at_blank() {
        return Err(SampleError::Malformed);
    }
    line.blanks();
    let family = families.entry(name.as_bytes()).or_default();
    if about == b"HELP" {
        let said = std::mem::replace(&mut family.has_help, true);
        return if said { Err(SampleError::Contradiction) } else { Ok(()) };
    }
    let kind = FamilyKind::of(line.rest.trim_ascii_end())?;
    if family.kind.is_some() || family.has_samples {
        return Err(SampleError::Contradiction);
    }
    family.kind = Some(kind);
    Ok(())
}

/// A line with a sample.
fn sample<'a, 'l>(
    line: &mut Line<'a>,
    families: &mut HashMap<&'a [u8], Family>,
    labels: &'l mut Vec<(&'a str, &'a str)>,
) -> Result<Sample<'a, 'l>, SampleError> {
    labels.clear();
    let metric = line.name(is_in_metric)?;
    let ended = line.at_blank();
    line.blanks();
    if line.rest.first() == Some(&b'{') {
        line.labels(labels)?;
    } else if !ended {
        return Err(SampleError::Malformed);
    }
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(SampleError::Malformed);
    }
    labels.retain(|(_, value)| !value.is_empty());
    line.blanks();
    let value = str::from_utf8(line.token()).ok().and_then(|value| value.parse().ok());
    let value = value.ok_or(SampleError::Malformed)?;
    line.blanks();
    if !line.rest.is_empty() {
        let time = str::from_utf8(line.rest.trim_ascii_end()).ok();
        let is_time = time.is_some_and(|time| time.parse::<i64>().is_ok());
        return Err(if is_time { SampleError::Timestamp } else { SampleError::Malformed });
    }
    let kind = kind_in(metric, families);
    families.entry(metric.as_bytes()).or_default().has_samples = true;
    Ok(Sample { metric, labels, kind, value })
}

/// What a sample of the metric is, by what was said of it or of the histogram or summary that it is
/// part of. The sum of one may fall when what is observed may be negative.
fn kind_in(metric: &str, families: &HashMap<&[u8], Family>) -> Kind {
    let said = |name: &str| families.get(name.as_bytes())?.kind;
    if let Some(kind) = said(metric) {
        return if kind == FamilyKind::Counter { Kind::Counter } else { Kind::Gauge };
    }
    let parts = [
        ("_bucket", Kind::Counter, &[FamilyKind::Histogram][..]),
        ("_count", Kind::Counter, &[FamilyKind::Histogram, FamilyKind::Summary]),
        ("_sum", Kind::Derive, &[FamilyKind::Histogram, FamilyKind::Summary]),
    ];
    let part = parts.iter().find(|(suffix, _, of)| {
        let whole = metric.strip_suffix(suffix).and_then(said);
        whole.is_some_and(|kind| of.contains(&kind))
    });
    part.map_or(Kind::Gauge, |(_, kind, _)| *kind)
}

/// What is left of a line.
struct Line<'a> {
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    fn blanks(&mut self) {
        while self.at_blank() {
            self.skip(1);
        }
    }

    fn at_blank(&self) -> bool {
        matches!(self.rest.first(), Some(b' ' | b'\t'))
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn pass(&mut self, byte: u8) -> Result<(), SampleError> {
        if self.rest.first() != Some(&byte) {
            return Err(SampleError::Malformed);
        }
        self.skip(1);
        Ok(())
    }

    /// The first `length` bytes, which are passed.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// What stands before the next blank or the end.
    fn token(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| matches!(byte, b' ' | b'\t'));
        self.take(end.unwrap_or(self.rest.len()))
    }

    /// A name of letters, digits and what else `is_in` it, no digit first.
    fn name(&mut self, is_in: impl Fn(u8) -> bool) -> Result<&'a str, SampleError> {
        let end = self.rest.iter().position(|&byte| !is_in(byte)).unwrap_or(self.rest.len());
        let name = self.take(end);
        if name.first().is_none_or(u8::is_ascii_digit) {
            return Err(SampleError::Malformed);
        }
        str::from_utf8(name).map_err(|_| SampleError::Malformed)
    }

    /// Labels in braces.
    fn labels(&mut self, labels: &mut Vec<(&'a str, &'a str)>) -> Result<(), SampleError> {
        self.pass(b'{')?;
        // Each turn passes at least a byte.
        loop {
            self.blanks();
            if self.pass(b'}').is_ok() {
                return Ok(());
            }
            let name = self.name(is_in_label)?;
            if name == "__name__" {
                return Err(SampleError::Malformed);
            }
            self.blanks();
            self.pass(b'=')?;
            self.blanks();
            labels.push((name, self.quoted()?));
            self.blanks();
            if self.rest.first() != Some(&b'}') {
                self.pass(b',')?;
            }
        }
    }

    /// A text in quotes, as it stands there. Each character has one way to be written, so that two
    /// values are the same when their texts are.
    fn quoted(&mut self) -> Result<&'a str, SampleError> {
        self.pass(b'"')?;
        let mut from = 0;
        loop {
            let rest = self.rest.get(from..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(SampleError::Malformed)?;
            let at = from + found;
            if self.rest.get(at) == Some(&b'"') {
                let value = self.take(at);
                self.skip(1);
                return str::from_utf8(value).map_err(|_| SampleError::Malformed);
            }
            if !matches!(self.rest.get(at + 1), Some(b'"' | b'\\' | b'n')) {
                return Err(SampleError::Malformed);
            }
            from = at + 2;
        }
    }
}

fn is_in_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_in_metric(byte: u8) -> bool {
    is_in_label(byte) || byte == b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    type Samples = Vec<(String, Kind, Option<f64>)>;

    fn read(text: &str) -> Result<(Samples, u64), SampleError> {
        let mut exposition = Exposition::default();
        exposition.read(text.as_bytes())?;
        let samples =
            exposition.samples().map(|(name, kind, value)| (name.to_owned(), kind, value));
        Ok((samples.collect(), exposition.left_out()))
    }

    fn one(text: &str) -> Option<(String, Kind, Option<f64>)> {
        let (samples, _) = read(text).ok()?;
        samples.into_iter().next().filter(|_| text.ends_with('\n'))
    }

    #[test]
    fn names_have_one_form() {
        for (line, name) in [
            ("a 1", "a"),
            ("  a\t 1  ", "a"),
            ("a{} 1", "a"),
            ("a{}1", "a"),
            ("a:b_c9{ z = \"1\" , y=\"2\", } 1", r#"a:b_c9{y="2",z="1"}"#),
            (r#"a{x="",y="2"} 1"#, r#"a{y="2"}"#),
            (r#"a{x="} 1 \" \\ \n {"} 1"#, r#"a{x="} 1 \" \\ \n {"}"#),
            ("a{x=\"\u{fc}\"} 1", "a{x=\"\u{fc}\"}"),
        ] {
            let expected = Some((name.to_owned(), Kind::Gauge, Some(1.0)));
            assert_eq!(one(&format!("{line}\n")), expected, "{line}");
        }
    }

    #[test]
    fn values_are_decimal() {
        for (text, value) in [
            ("1", 1.0),
            ("-0.5", -0.5),
            ("+1.5e+09", 1.5e9),
            ("1E-3", 1e-3),
            (".5", 0.5),
            ("5.", 5.0),
        ] {
            assert_eq!(one(&format!("a {text}\n")), Some(("a".into(), Kind::Gauge, Some(value))));
        }
        for not_finite in ["NaN", "+Inf", "-Inf", "inf", "nan", "1e999"] {
            let expected = (vec![("a".to_owned(), Kind::Gauge, None)], 1);
            assert_eq!(read(&format!("a {not_finite}\n")), Ok(expected));
        }
    }

    #[test]
    fn mistakes_refuse_the_whole_text() {
        for line in [
            "a",
            "a ",
            "1a 1",
            "{} 1",
            "a1",
            "a x",
            "a 0x10",
            "a 1_000",
            "a 1 x",
            "a 1 2 3",
            "a\r1",
            "a 1\r",
            "a{x} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\" 1",
            "a{,} 1",
            "a{x=\"1\",,} 1",
            "a{x=\"\\t\"} 1",
            "a{x=\"1\" y=\"2\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{1=\"2\"} 1",
            "a{b:c=\"2\"} 1",
            "a{__name__=\"b\"} 1",
            "# TYPE a curve",
            "# TYPE a",
            "# HELP 1 x",
            "# TYPE a{} gauge",
            "{\"a\"} 1",
            "\u{fc} 1",
        ] {
            let text = format!("good 1\n{line}\n");
            assert_eq!(read(&text).map(drop), Err(SampleError::Malformed), "{line}");
        }
        assert_eq!(read("a 1\nb 2").map(drop), Err(SampleError::Truncated));
        let mut exposition = Exposition::default();
        assert_eq!(exposition.read(b"a{x=\"\xff\"} 1\n"), Err(SampleError::Malformed));
        for timed in ["a 1 1795000000000\n", "a{} 1 -5 \n"] {
            assert_eq!(read(timed).map(drop), Err(SampleError::Timestamp));
        }
        for twice in [
            "a 1\na 1\n",
            "a{x=\"1\",y=\"2\"} 1\nb 1\na{y=\"2\",x=\"1\"} 2\n",
            "a 1\na{x=\"\"} NaN\n",
        ] {
            assert_eq!(read(twice).map(drop), Err(SampleError::Twice), "{twice}");
        }
        for said in [
            "# TYPE a gauge\n# TYPE a gauge\n",
            "# TYPE a gauge\n# TYPE a counter\n",
            "# HELP a x\n# HELP a x\n",
            "a 1\n# TYPE a counter\n",
        ] {
            assert_eq!(read(said).map(drop), Err(SampleError::Contradiction), "{said}");
        }
    }

    #[test]
    fn comments_say_nothing_but_help_and_type() {
        let text = "#\n# \n#a\n# HELPER a b\n# HELP\n# HELP a\n#HELP b \\x \"\n \t\n\n# TYPE a counter \n\
                    # TYPE b Gauge\na 1\n# HELP late x\n";
        let expected = (vec![("a".to_owned(), Kind::Counter, Some(1.0))], 0);
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(""), Ok((vec![], 0)));
    }

    #[test]
    fn parts_of_histograms_and_summaries_have_kinds_of_their_own() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum -3\nh_count 2\n\
                    # TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 1\ns_bucket 1\n\
                    # TYPE u untyped\nu 1\nother_count 1\n";
        let (samples, left_out) = read(text).expect("a sound text");
        let kinds: Vec<_> = samples.iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
        use Kind::{Counter, Derive, Gauge};
        assert_eq!(
            kinds,
            [
                ("h_bucket{le=\"1\"}", Counter),
                ("h_bucket{le=\"+Inf\"}", Counter),
                ("h_sum", Derive),
                ("h_count", Counter),
                ("s{quantile=\"0.5\"}", Gauge),
                ("s_sum", Derive),
                ("s_count", Counter),
                ("s_bucket", Gauge),
                ("u", Gauge),
                ("other_count", Gauge),
            ]
        );
        assert_eq!(left_out, 1);
    }

    #[test]
    fn samples_without_a_fitting_name_are_left_out() {
        let fits = "m".repeat(METRIC_BYTES_MAX);
        let labels = format!("l{{x=\"{}\"}}", "v".repeat(METRIC_BYTES_MAX - 7));
        let text = format!(
            "{fits} 1\n{fits}m 2\n{labels} 3\n{} 4\nodd{{x=\"a\x1bb\"}} 5\nmtime_seconds 6\n\
             mtime_seconds{{x=\"1\"}} 7\n",
            labels.replace('l', "ll")
        );
        let (samples, left_out) = read(&text).expect("a sound text");
        let values: Vec<_> = samples.iter().filter_map(|(_, _, value)| *value).collect();
        assert_eq!((values, left_out), (vec![1.0, 3.0, 7.0], 4));
        assert!(samples.iter().all(|(name, ..)| name.len() <= METRIC_BYTES_MAX));
        assert_eq!(samples[1].0.len(), METRIC_BYTES_MAX);
    }

    #[test]
    fn first_samples_are_kept_of_too_many() {
        let lines = (0..SAMPLES_MAX + 7).map(|index| format!("a{{i=\"{index}\"}} {index}\n"));
        let text: String = lines.collect();
        let mut exposition = Exposition::default();
        exposition.read(text.as_bytes()).expect("a sound text");
        assert_eq!((exposition.samples().count(), exposition.left_out()), (SAMPLES_MAX, 7));
        assert!(exposition.is_cut());
        // A mistake behind them counts too.
        assert_eq!(exposition.read(format!("{text}x").as_bytes()), Err(SampleError::Truncated));
        assert_eq!((exposition.samples().count(), exposition.left_out()), (0, 0));
    }

    #[test]
    fn text_cut_at_any_place_is_refused_or_is_shorter_by_lines() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 17\n# HELP b it\nb 2\n\nc{} 3e2\n";
        let (all, _) = read(text).expect("a sound text");
        for cut in 0..text.len() {
            match read(&text[..cut]) {
                Ok((some, _)) => {
                    assert!(all.starts_with(&some) && text[..cut].ends_with(['\n']) || cut == 0)
                }
                Err(error) => assert_eq!(error, SampleError::Truncated),
            }
        }
    }
}
