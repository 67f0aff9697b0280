//! The constant text of the view of one ring, laid out once.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::family::{Named, Type, of_application, of_lane, push_escaped};
use super::scale::Scale;
use super::{Exposition, collector};
use crate::encode::room::BLOCK;
use crate::ring::{Directory, Entry, Ring, RingKind, Words};
use crate::window::{Objects, Stretch};

/// Units that OpenMetrics is told of, where a family's name ends with one.
const UNITS: [&str; 6] = ["seconds", "bytes", "hertz", "celsius", "volts", "ratio"];

/// The object that what is no series belongs to.
const HOST: &str = "host";

/// The families of one ring and their samples.
#[derive(Debug)]
pub struct Sheet {
    /// Heads of families and names of samples, and a block of padding at the end.
    pub(super) text: Vec<u8>,
    /// Sorted by name.
    pub(super) families: Vec<Family>,
    pub(super) samples: Vec<Sample>,
    pub(super) stretches: Vec<Stretch>,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) at: usize,
    pub(super) len: usize,
}

/// A family and where its samples are.
#[derive(Debug)]
pub(super) struct Family {
    text_head: Piece,
    open_head: Piece,
    pub(super) samples: Range<usize>,
    pub(super) collector: u8,
}

impl Family {
    /// What stands before the first sample.
    pub(super) fn head(&self, exposition: Exposition) -> Piece {
        match exposition {
            Exposition::Text => self.text_head,
            Exposition::OpenMetrics => self.open_head,
        }
    }
}

/// A sample: its name, and where its values are.
#[derive(Debug)]
pub(super) struct Sample {
    /// Name, labels and a space.
    pub(super) name: Piece,
    pub(super) scale: Scale,
    /// Its lifetimes, in the order of their beginnings.
    pub(super) stretches: Range<usize>,
}

/// A family that is being laid out.
struct Draft {
    kind: Type,
    help: String,
    collector: u8,
    /// By labels, in the order in which they came.
    samples: Vec<(String, Scale, Vec<Stretch>)>,
    places: HashMap<String, usize>,
}

#[derive(Default)]
struct Drafts(BTreeMap<String, Draft>);

impl Drafts {
    fn add(&mut self, named: Named, stretch: Stretch) {
        let Named { family, kind, help, labels, scale, collector } = named;
        let draft = self.0.entry(family).or_insert_with(|| {
            let (samples, places) = (Vec::new(), HashMap::new());
            Draft { kind, help, collector, samples, places }
        });
        let place = *draft.places.entry(labels).or_insert_with_key(|labels| {
            draft.samples.push((labels.clone(), scale, Vec::new()));
            draft.samples.len() - 1
        });
        draft.samples[place].2.push(stretch);
    }

    /// What OpenMetrics calls the counter `family`: its name without the end. There must be no other
    /// family of that name, nor of the one that the time of a counter's beginning would have.
    fn open_counter<'a>(&self, family: &'a str) -> Option<&'a str> {
        let name = family.strip_suffix("_total")?;
        let is_taken = |name: &str| self.0.contains_key(name);
        (!is_taken(name) && !is_taken(&format!("{name}_created"))).then_some(name)
    }
}

impl Sheet {
    /// The sheet of those series of `entries`, in their order, that are `wanted`, in the ring `name`
    /// of this kind. What is not wanted may still be a label of what is. What a lane says of its host
    /// without a series is there if `objects` has the host.
    #[must_use]
    pub fn of(
        name: &str,
        kind: RingKind,
        entries: &[&Entry],
        objects: &Objects,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Self {
        let mut drafts = Drafts::default();
        let infos = infos(entries);
        let is_shown = |entry: &&&Entry| objects.has(&entry.series.object) && wanted(entry);
        for entry in entries.iter().filter(is_shown) {
            let info = |object: &str, key: &str| {
                let words = infos.get(&(object, key))?;
                let meets = |word: &&&Entry| word.first <= entry.last && entry.first <= word.last;
                // Of several that were said in its time, what was said last.
                let word = words.iter().rev().find(meets)?;
                word.series.metric.split_once('=').map(|(_, value)| value)
            };
            let named = match kind {
                RingKind::Lane => of_lane(&entry.series, &info),
                _ => Some(of_application(name, &entry.series)),
            };
            let Some(named) = named else { continue };
            let Entry { column, first, last, .. } = **entry;
            drafts.add(named, Stretch { column, first, last });
        }
        if kind == RingKind::Lane && objects.has(HOST) {
            add_constants(&mut drafts);
        }
        Self::lay_out(drafts)
    }

    fn lay_out(drafts: Drafts) -> Self {
        let (mut text, mut families) = (String::new(), Vec::new());
        let (mut samples, mut stretches) = (Vec::new(), Vec::new());
        let piece = |text: &String, at: usize| Piece { at, len: text.len() - at };
        for (family, draft) in &drafts.0 {
            let at = text.len();
            push_text_head(&mut text, family, draft);
            let text_head = piece(&text, at);
            let at = text.len();
            push_open_head(&mut text, (family, drafts.open_counter(family)), draft);
            let open_head = piece(&text, at);
            let first = samples.len();
            for (labels, scale, lifetimes) in &draft.samples {
                let at = text.len();
                text.push_str(family);
                text.push_str(labels);
                text.push(' ');
                let from = stretches.len();
                stretches.extend(lifetimes);
                let stretches = from..stretches.len();
                samples.push(Sample { name: piece(&text, at), scale: *scale, stretches });
            }
            let samples = first..samples.len();
            let collector = draft.collector;
            families.push(Family { text_head, open_head, samples, collector });
        }
        let mut text = text.into_bytes();
        text.resize(text.len() + BLOCK, 0);
        Self { text, families, samples, stretches }
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The lifetime of `sample` that the record `seq` belongs to.
    #[inline]
    pub(super) fn stretch(&self, sample: &Sample, seq: u64) -> Option<Stretch> {
        let covers = |stretch: &&Stretch| (stretch.first..=stretch.last).contains(&seq);
        self.stretches[sample.stretches.clone()].iter().find(covers).copied()
    }
}

/// The series that say a string of an object, by object and key.
fn infos<'a>(entries: &[&'a Entry]) -> HashMap<(&'a str, &'a str), Vec<&'a Entry>> {
    let mut infos: HashMap<_, Vec<_>> = HashMap::new();
    for &entry in entries {
        // Labels of a text file's sample have an equals sign as well.
        if let Some((key, _)) =
            entry.series.metric.split_once('=').filter(|(key, _)| !key.contains('{'))
        {
            infos.entry((&*entry.series.object, key)).or_default().push(entry);
        }
    }
    infos
}

/// What every record of a lane says without a column.
fn add_constants(drafts: &mut Drafts) {
    let always = Stretch { column: 0, first: 0, last: u64::MAX };
    let mut add = |family: &str, help: &str, labels: String, scale| {
        let named = Named {
            family: family.to_owned(),
            kind: Type::Gauge,
            help: help.to_owned(),
            labels,
            scale,
            collector: collector::of_family(family),
        };
        drafts.add(named, always);
    };
    add(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        String::new(),
        Scale::Time,
    );
    add(
        "tachograph_build_info",
        "1 for the version of the program that serves this.",
        format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
        Scale::One,
    );
}

fn push_text_head(text: &mut String, family: &str, draft: &Draft) {
    let kind = match draft.kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Untyped => "untyped",
    };
    text.push_str("# HELP ");
    text.push_str(family);
    text.push(' ');
    push_escaped(text, &draft.help, false);
    for piece in ["\n# TYPE ", family, " ", kind, "\n"] {
        text.push_str(piece);
    }
}

fn push_open_head(text: &mut String, (family, counter): (&str, Option<&str>), draft: &Draft) {
    let (name, kind) = match (draft.kind, counter) {
        (Type::Counter, Some(counter)) => (counter, "counter"),
        (Type::Gauge, _) => (family, "gauge"),
        (Type::Counter | Type::Untyped, _) => (family, "unknown"),
    };
    for piece in ["# TYPE ", name, " ", kind, "\n"] {
        text.push_str(piece);
    }
    let is_in = |unit: &&&str| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'));
    if let Some(unit) = UNITS.iter().find(is_in) {
        for piece in ["# UNIT ", name, " ", unit, "\n"] {
            text.push_str(piece);
        }
    }
    for piece in ["# HELP ", name, " "] {
        text.push_str(piece);
    }
    push_escaped(text, &draft.help, true);
    text.push('\n');
}

/// The sheets of one ring: brought up to date when its directory has changed, and otherwise not
/// looked at again.
#[derive(Debug)]
pub struct Sheets {
    name: String,
    directory: Directory,
    objects: Objects,
    living: Option<Arc<Sheet>>,
    all: Option<Arc<Sheet>>,
}

impl Sheets {
    /// Those of the ring `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::only(name, Objects::all())
    }

    /// The same for some objects.
    #[must_use]
    pub fn only(name: &str, objects: Objects) -> Self {
        let (name, directory) = (name.to_owned(), Directory::default());
        Self { name, directory, objects, living: None, all: None }
    }

    /// The series that live.
    pub fn living<W: Words>(&mut self, ring: &Ring<W>) -> Arc<Sheet> {
        self.update(ring);
        let Self { name, directory, objects, living, .. } = self;
        let make = || {
            let entries: Vec<_> = directory.iter().filter(|entry| entry.lives()).collect();
            Arc::new(Sheet::of(name, ring.header().kind(), &entries, objects, |_| true))
        };
        Arc::clone(living.get_or_insert_with(make))
    }

    /// The series that some record had which was there when the directory changed last, or that
    /// began later.
    pub fn all<W: Words>(&mut self, ring: &Ring<W>) -> Arc<Sheet> {
        self.update(ring);
        let Self { name, directory, objects, all, .. } = self;
        let oldest = ring.bounds().map_or(1, |(oldest, _)| oldest);
        let make = || {
            let is_there = |entry: &&Entry| entry.covers_any_since(oldest);
            let entries: Vec<_> = directory.iter().filter(is_there).collect();
            Arc::new(Sheet::of(name, ring.header().kind(), &entries, objects, |_| true))
        };
        Arc::clone(all.get_or_insert_with(make))
    }

    /// Whether the directory of `ring` is still as the sheets have it. Asked *after* a record was
    /// chosen, `true` means that they know all series of that record.
    #[must_use]
    pub fn is_current<W: Words>(&self, ring: &Ring<W>) -> bool {
        self.directory.is_current(ring)
    }

    fn update<W: Words>(&mut self, ring: &Ring<W>) {
        if !self.directory.is_current(ring) {
            self.directory.update(ring);
            (self.living, self.all) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, Repr, Series, Unit};

    fn entry(metric: &str, kind: Kind) -> Entry {
        let (unit, repr) = (Unit::Count, Repr::U64);
        let series = Series { object: "shop".into(), metric: metric.into(), kind, unit, repr };
        Entry { series, column: 0, first: 1, last: u64::MAX }
    }

    /// The lines of `# TYPE` in OpenMetrics.
    fn open_types(entries: &[Entry]) -> Vec<String> {
        let entries: Vec<_> = entries.iter().collect();
        let (kind, objects) = (RingKind::Application, Objects::all());
        let sheet = Sheet::of("shop", kind, &entries, &objects, |_| true);
        let types = sheet.families.iter().map(|family| {
            let Piece { at, len } = family.head(Exposition::OpenMetrics);
            let head = std::str::from_utf8(&sheet.text[at..at + len]).expect("UTF-8");
            head.lines().next().expect("a line").to_owned()
        });
        types.collect()
    }

    #[test]
    fn counters_that_would_take_the_name_of_another_family_are_of_unknown_type() {
        // A scrape in which a family is there twice is refused as a whole.
        let entries = [
            entry("guests", Kind::Gauge),
            entry("guests_total", Kind::Counter),
            entry("meals_created", Kind::Gauge),
            entry("meals_total", Kind::Counter),
            entry("sold_total", Kind::Counter),
        ];
        let expected = [
            "# TYPE shop_guests gauge",
            "# TYPE shop_guests_total unknown",
            "# TYPE shop_meals_created gauge",
            "# TYPE shop_meals_total unknown",
            "# TYPE shop_sold counter",
        ];
        assert_eq!(open_types(&entries), expected);
    }
}
