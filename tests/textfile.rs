//! What others write into text files is recorded as they wrote it, or not at all.

#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tachograph::record::Kind;
use tachograph::sample::{SampleError, parse::Exposition};
use tree::{Bench, Tree, Values, has, value};

fn bench(tree: &Tree) -> Bench {
    let directory = tree.path("text/x").parent().expect("just made").to_path_buf();
    tree.bench_with("textfile", |sampling| sampling.textfiles = Some(directory))
}

/// What a file's object has, without its own series.
fn samples<'a>(values: &'a Values, file: &str) -> Vec<(&'a str, f64)> {
    let object = format!("textfile/{file}");
    let own = ["mtime_seconds", "scrape_error", "samples_left_out"];
    let mine = values.iter().filter(|((of, metric), _)| *of == object && !own.contains(&&**metric));
    mine.map(|((_, metric), value)| (metric.as_str(), *value)).collect()
}

/// Where a file is made that is to take another one's place.
const MADE: &str = "made";

const BACKUP: &str = "# HELP backup_bytes_total Bytes saved so far.\n\
                      # TYPE backup_bytes_total counter\n\
                      backup_bytes_total{store=\"a\",job=\"nightly\"} 1.5e+09\n\
                      backup_age -3\n\
                      backup_share NaN\n";

#[test]
fn samples_are_series_of_their_file() {
    let tree = Tree::new();
    tree.write("text/backup.prom", BACKUP);
    tree.write("text/two words.prom", "a 1\n");
    tree.write("text/other.txt", "b 1\n");
    tree.write("text/.prom", "b 1\n");
    let mut bench = bench(&tree);
    let values = bench.tick_until(|values| has(values, "textfile/two%20words", "a"));
    assert_eq!(
        samples(&values, "backup"),
        [("backup_age", -3.0), (r#"backup_bytes_total{job="nightly",store="a"}"#, 1.5e9)]
    );
    let own = |metric| value(&values, "textfile/backup", metric);
    assert_eq!((own("scrape_error"), own("samples_left_out")), (Some(0.0), Some(1.0)));
    assert!(own("mtime_seconds").is_some_and(|mtime| mtime > 1.7e9));
    assert!(has(&values, "host", "textfile_age_ms") && has(&values, "host", "textfile_stuck"));
    let objects = values.keys().map(|(object, _)| object.as_str());
    let objects: std::collections::BTreeSet<_> = objects.collect();
    assert_eq!(
        objects.into_iter().collect::<Vec<_>>(),
        ["host", "textfile/backup", "textfile/two%20words"]
    );
    let kind = |metric: &str| {
        let mut series = bench.schema.iter().map(|(_, series)| series);
        series.find(|series| &*series.metric == metric).map(|series| series.kind)
    };
    assert_eq!(kind("backup_age"), Some(Kind::Gauge));
    let bytes = r#"backup_bytes_total{job="nightly",store="a"}"#;
    assert_eq!(kind(bytes), Some(Kind::Counter));
    assert_eq!((bench.news(), bench.sampler.errors()), (vec![], 0));
}

#[test]
fn bad_file_costs_only_itself_and_is_named() {
    let tree = Tree::new();
    tree.write("text/bad.prom", "a 1\n");
    tree.write("text/good.prom", "a 2\n");
    let mut bench = bench(&tree);
    bench.tick_until(|values| has(values, "textfile/good", "a"));
    let series = bench.series_of("textfile/bad");
    let bad = "text/bad.prom";
    type Break<'a> = (&'a dyn Fn(), SampleError);
    let breaks: [Break<'_>; 10] = [
        (&|| tree.write(MADE, "a 1\nb x\n"), SampleError::Malformed),
        (&|| tree.write(MADE, "a 1\nb 2"), SampleError::Truncated),
        (&|| tree.write(MADE, "a 1 1795000000000\n"), SampleError::Timestamp),
        (&|| tree.write(MADE, "a 1\na 1\n"), SampleError::Twice),
        (&|| tree.write(MADE, "a 1\n# TYPE a counter\n"), SampleError::Contradiction),
        (&|| tree.write(MADE, vec![b'\n'; (1 << 20) + 1]), SampleError::TooLong),
        (&|| tree.pipe(MADE), SampleError::NotAFile),
        (&|| tree.directory(MADE), SampleError::NotAFile),
        (&|| tree.link(MADE, bad), SampleError::Open(40)),
        (&|| tree.link(MADE, "text/nowhere"), SampleError::Open(2)),
    ];
    for (make, error) in breaks {
        make();
        tree.exchange(MADE, bad);
        assert_eq!(bench.tick_until_news(), [(bad.to_owned(), Err(error))]);
        let values = bench.tick();
        assert_eq!((samples(&values, "bad"), samples(&values, "good")), (vec![], vec![("a", 2.0)]));
        assert_eq!(value(&values, "textfile/bad", "scrape_error"), Some(1.0));
        assert!(!has(&values, "textfile/bad", "mtime_seconds"));
        assert_eq!(bench.sampler.failing(), 1);
        tree.write(MADE, "a 3\n");
        tree.exchange(MADE, bad);
        let news = bench.tick_until_news();
        assert_eq!(news, [(bad.to_owned(), Ok(()))]);
        assert_eq!(
            samples(&bench.tick_until(|values| has(values, "textfile/bad", "a")), "bad"),
            [("a", 3.0)]
        );
        assert_eq!((bench.series_of("textfile/bad"), bench.sampler.failing()), (series, 0));
    }
}

#[test]
fn files_and_samples_come_and_go() {
    let tree = Tree::new();
    tree.write("text/a.prom", "x 1\ny 1\n");
    let mut bench = bench(&tree);
    bench.tick_until(|values| has(values, "textfile/a", "y"));
    // The same sample as a counter is another series; a sample that is gone has ended.
    tree.write("text/a.prom", "# TYPE x counter\nx 2\nz 2\n");
    tree.write("text/0.prom", "x 5\n");
    let both = |values: &Values| has(values, "textfile/a", "z") && has(values, "textfile/0", "x");
    let values = bench.tick_until(both);
    assert_eq!(samples(&values, "a"), [("x", 2.0), ("z", 2.0)]);
    assert_eq!(bench.schema.column("textfile/a", "y"), None);
    let x = bench.schema.column("textfile/a", "x").and_then(|column| bench.schema.series(column));
    assert_eq!(x.map(|series| series.kind), Some(Kind::Counter));
    // Written to in place, with its size and its number as they were.
    std::fs::write(tree.path("text/0.prom"), "x 6\n").expect("a temporary file");
    bench.tick_until(|values| value(values, "textfile/0", "x") == Some(6.0));
    tree.remove("text/a.prom");
    bench.tick_until(|values| !has(values, "textfile/a", "x"));
    assert_eq!(bench.series_of("textfile/a"), 0);
    // A directory that cannot be listed ends nothing.
    std::fs::rename(tree.path("text"), tree.path("away")).expect("renamed");
    assert_eq!(bench.tick_until_news(), [("text".to_owned(), Err(SampleError::Open(2)))]);
    assert!(!has(&bench.tick(), "textfile/0", "x"));
    assert!(bench.series_of("textfile/0") > 0);
    std::fs::rename(tree.path("away"), tree.path("text")).expect("renamed");
    assert_eq!(bench.tick_until_news(), [("text".to_owned(), Ok(()))]);
    assert_eq!(value(&bench.tick(), "textfile/0", "x"), Some(6.0));
}

#[test]
fn limits_are_told() {
    let tree = Tree::new();
    let many = |count: usize| -> String {
        (0..count).map(|index| format!("a{{i=\"{index}\"}} {index}\n")).collect()
    };
    for (name, count) in [("a", 4097), ("b", 4096), ("c", 4096), ("d", 4096), ("e", 1)] {
        tree.write(&format!("text/{name}.prom"), many(count));
    }
    let mut bench = bench(&tree);
    let all = |values: &Values| has(values, "textfile/e", "scrape_error");
    let values = bench.tick_until(all);
    assert_eq!(samples(&values, "a").len(), 4096);
    assert_eq!(value(&values, "textfile/a", "samples_left_out"), Some(1.0));
    assert_eq!(samples(&values, "d").len(), 4096);
    assert_eq!(
        (samples(&values, "e"), value(&values, "textfile/e", "scrape_error")),
        (vec![], Some(1.0))
    );
    let too_many = |name: &str| (format!("text/{name}.prom"), Err(SampleError::TooMany));
    assert_eq!(bench.news(), [too_many("a"), too_many("e")]);
    tree.remove("text/d.prom");
    assert_eq!(bench.tick_until_news(), [("text/e.prom".to_owned(), Ok(()))]);
    assert_eq!(samples(&bench.tick(), "e"), [("a{i=\"0\"}", 0.0)]);
    // More files than are read.
    for number in 0..128 {
        tree.write(&format!("text/{number}.prom"), "");
    }
    while !bench.tick_until_news().contains(&("text".to_owned(), Err(SampleError::TooMany))) {}
    let files = bench.tick().into_keys().filter(|(_, metric)| metric == "scrape_error");
    assert_eq!(files.count(), 128);
}

#[test]
fn line_of_a_mebibyte_is_understood() {
    let tree = Tree::new();
    let label = "v".repeat((1 << 20) - 20);
    tree.write("text/long.prom", format!("a{{x=\"{label}\"}} 1\nb 2\n"));
    let mut bench = bench(&tree);
    let values = bench.tick_until(|values| has(values, "textfile/long", "b"));
    assert_eq!(samples(&values, "long"), [("b", 2.0)]);
    assert_eq!(value(&values, "textfile/long", "samples_left_out"), Some(1.0));
}

/// A sample as somebody means it.
#[derive(Clone, Debug)]
struct Meant {
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Metrics by name, each with its type and samples.
type Metrics = BTreeMap<String, (Option<&'static str>, Vec<Meant>)>;

fn metrics() -> impl Strategy<Value = Metrics> {
    let labels =
        prop::collection::btree_map("[a-z][a-z0-9_]{0,6}", "[ -~\u{fc}\u{20ac}\n]{1,12}", 0..3);
    let value = prop_oneof![any::<f64>(), (-1000..1000_i32).prop_map(f64::from)];
    let meant = (labels, value).prop_map(|(labels, value)| Meant { labels, value });
    let kind = prop::option::of(prop::sample::select(vec!["counter", "gauge", "untyped"]));
    let metric = (kind, prop::collection::vec(meant, 0..6));
    prop::collection::btree_map("[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", metric, 0..6)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The text that says so, labels backwards and with blanks where there may be some.
fn text_of(metrics: &Metrics, blank: &str) -> String {
    let mut text = String::new();
    for (name, (kind, samples)) in metrics {
        text.push_str(&format!("#{blank}HELP {name} what \\\\ it \\n is\n# a comment\n\n"));
        if let Some(kind) = kind {
            text.push_str(&format!("# TYPE {name}{blank} {kind}\n"));
        }
        for sample in samples {
            let labels = sample.labels.iter().rev().map(|(label, value)| {
                format!("{blank}{label}{blank}={blank}\"{}\"{blank},", escaped(value))
            });
            let labels: String = labels.collect();
            text.push_str(&format!("{blank}{name}{{{labels}}}{blank} {:e}{blank}\n", sample.value));
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_a_text_says_is_what_is_read(metrics in metrics(), blank in "[ \t]{0,2}") {
        let text = text_of(&metrics, &blank);
        let mut expected = BTreeMap::new();
        let mut twice = false;
        for (name, (kind, samples)) in &metrics {
            let kind = if *kind == Some("counter") { Kind::Counter } else { Kind::Gauge };
            for sample in samples {
                let labels = sample.labels.iter();
                let labels: Vec<_> =
                    labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
                let name = if labels.is_empty() { name.clone() } else { format!("{name}{{{}}}", labels.join(",")) };
                let value = Some(sample.value).filter(|value| value.is_finite());
                twice |= expected.insert(name, (kind, value)).is_some();
            }
        }
        let mut exposition = Exposition::default();
        let read = exposition.read(text.as_bytes());
        if twice {
            prop_assert_eq!(read, Err(SampleError::Twice));
        } else {
            prop_assert_eq!(read, Ok(()));
            let found = exposition.samples().map(|(name, kind, value)| (name.to_owned(), (kind, value)));
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        }
        for cut in 0..text.len() {
            if let Err(error) = exposition.read(&text.as_bytes()[..cut]) {
                let known = [SampleError::Truncated, SampleError::Twice];
                prop_assert!(known.contains(&error) && (twice || error == SampleError::Truncated));
            }
        }
    }
}
