//! A writer in its file under any operations, with crashes and damage between them.
//!
//! After every operation all that a reader can ask for is compared with a [`Model`]: each sequence
//! near the ring's is the record that was published under it, bit for bit, or as absent as the model
//! says, and the directory names the series that it has. What damage may change is said there.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tachograph::record::{Record, RecordHeader, Schema};
use tachograph::ring::layout::{WORD, entry, header as at};
use tachograph::ring::{
    Before, Geometry, Opening, PreadWords, ReadError, Reader, Ring, RunDir, Wait, Words, Writer,
    WriterOptions, audit, open_untrusted,
};

use super::input::Input;
use super::memory_dir;
use super::ring_examine::expected;
use super::ring_model::{
    Damage, Living, Model, Slot, copy, covering, living, narrow, record_at, record_in, ring_of,
};
use super::ring_op::{Op, Part};
use super::ring_stores::{self, Store};

/// Most operations of one input: a failure of more can be told with fewer.
const OPS_MAX: usize = 40;
/// Most series that live.
const LIVING_MAX: usize = 120;

/// Applies the operations of an input.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut ops = Vec::new();
    while !input.is_empty() && ops.len() < OPS_MAX {
        ops.push(Op::of(std::array::from_fn(|_| input.byte())));
    }
    apply(&ops);
}

/// Applies `ops` to a new ring, one after another, and compares it with the model after each.
pub fn apply(ops: &[Op]) {
    memory_dir::with(|dir| {
        let mut run = Run::new(dir);
        for op in ops {
            run.apply(*op);
            run.check();
        }
    });
}

/// Object and column.
type Place = (String, usize);

struct Run {
    dir: RunDir,
    path: PathBuf,
    slot_count: u64,
    interval: Duration,
    model: Model,
    /// The model when it was last compared, and with which file.
    checked: (Model, [u64; 2]),
    schema: Schema,
    /// The series of the schema, as the directory knows them.
    living: Rc<Living>,
    writer: Option<Writer>,
    /// Attached to whatever file it was that it found first.
    reader: Option<Reader>,
    /// The words as the writers left them, and where they lie.
    left: Vec<u64>,
    geometry: Geometry,
    /// What the directory may say that lives, and must say.
    may_live: BTreeSet<Place>,
    must_live: BTreeSet<Place>,
    /// Which file it is.
    id: [u64; 2],
    /// Whether the readers of the file that was replaced were told.
    told: bool,
    names: usize,
    clock_ns: u64,
}

impl Run {
    fn new(dir: &Path) -> Self {
        let dir = RunDir::for_writing(Some(dir)).expect("a fresh directory is fit for a ring");
        let mut schema = Schema::new();
        schema.add("nic/e0", "receive_bytes").expect("room");
        let (slot_count, interval) = (8, Duration::from_secs(1));
        let opening = Opening::of(&dir, "host").expect("the lane is free");
        let options = WriterOptions { interval, depth_records: slot_count, mode: 0o600 };
        let (writer, _) = opening.start(&options, &mut schema).expect("there is room");
        let (geometry, id) = (*writer.ring().geometry(), writer.ring().header().ring_id);
        Self {
            path: dir.ring("host"),
            dir,
            slot_count,
            interval,
            model: Model::new(slot_count),
            checked: (Model::new(slot_count), [0; 2]),
            living: Rc::new(living(&schema)),
            schema,
            writer: Some(writer),
            reader: None,
            left: Vec::new(),
            geometry,
            may_live: BTreeSet::new(),
            must_live: BTreeSet::new(),
            id,
            told: true,
            names: 1,
            clock_ns: 1 << 40,
        }
    }

    fn apply(&mut self, op: Op) {
        let needs_writer = !matches!(op, Op::Kill | Op::Flip(..) | Op::Truncate(..));
        let starts = matches!(op, Op::Start | Op::CrashInStart(_) | Op::Resize(..));
        if needs_writer && !starts && self.writer.is_none() {
            self.start(0);
        }
        match op {
            Op::Publish(count, back) => {
                self.clock_ns -= if back { 1 << 20 } else { 0 };
                (0..count).for_each(|_| drop(self.publish()));
            }
            Op::Add(count) => self.add(count.into()),
            Op::End(which) => self.end(which),
            Op::Replace(which) => {
                self.end(which);
                self.add(1);
            }
            Op::Again(which) => self.again(which),
            Op::RollOver => self.outgrow(),
            Op::Kill => self.kill(),
            Op::Close => {
                self.writer.take().expect("there is one").close();
                self.leave();
            }
            Op::Start => {
                self.kill();
                self.start(0);
            }
            Op::Resize(bits, half, width) => {
                self.kill();
                self.slot_count = 1 << bits;
                self.interval = Duration::from_millis(if half { 500 } else { 1000 });
                self.start(width.into());
            }
            Op::CrashInPublish(stores) => self.crash_in_publish(stores.into()),
            Op::CrashInSync(which, count, stores) => {
                self.end(which);
                self.add(count.into());
                self.crash_in_sync(stores.into());
            }
            Op::CrashInStart(stores) => self.crash_in_start(stores.into()),
            Op::CrashInReplacement(renamed) => self.crash_in_replacement(renamed),
            Op::Flip(part, place, bit) => self.flip(part, place.into(), bit),
            Op::Truncate(share, grown) => self.truncate(share.into(), grown),
        }
        self.sync();
    }

    // What a recorder does.

    fn add(&mut self, count: usize) {
        for _ in 0..count.min(LIVING_MAX.saturating_sub(self.schema.len())) {
            let name = format!("nic/e{}", self.names);
            self.names += 1;
            self.schema.add(&name, "receive_bytes").expect("room");
        }
    }

    /// The column of one of the living series.
    fn column(&self, which: u16) -> Option<usize> {
        let index = usize::from(which) % self.schema.len().max(1);
        self.schema.iter().nth(index).map(|(column, _)| column)
    }

    fn end(&mut self, which: u16) {
        if let Some(column) = self.column(which) {
            self.schema.end(column);
        }
    }

    fn again(&mut self, which: u16) {
        let Some(column) = self.column(which) else { return };
        let series = self.schema.series(column).expect("it lives").clone();
        self.schema.end(column);
        let (kind, unit, repr) = (series.kind, series.unit, series.repr);
        let added = self.schema.add_series(&series.object, &series.metric, kind, unit, repr);
        added.expect("room");
    }

    /// Adds more series than there are columns, if that is not too many.
    fn outgrow(&mut self) {
        let capacity = self.writer().ring().geometry().column_capacity;
        if capacity < LIVING_MAX {
            self.add(capacity + 1 - self.schema.len());
        }
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("there is one")
    }

    fn sync(&mut self) {
        if let Some(writer) = &mut self.writer {
            if !self.schema.changes().is_empty() {
                self.living = Rc::new(living(&self.schema));
            }
            writer.sync(&mut self.schema).expect("there is room in the end");
            self.model.first_seq = writer.ring().header().first_seq;
            let id = writer.ring().header().ring_id;
            if std::mem::replace(&mut self.id, id) != id {
                let columns = writer.ring().geometry().column_capacity;
                self.model.move_to_a_file_of(columns);
            }
        }
    }

    fn publish(&mut self) -> Record {
        self.sync();
        self.clock_ns += 1000;
        let clock_ns = self.clock_ns;
        let (living, width) = (self.living.clone(), self.schema.width());
        let first = self.model.given;
        let writer = self.writer();
        let mut record = record_at(clock_ns, width);
        writer.publish(&mut record);
        assert!(record.header.seq > first && record.header.columns == width as u64);
        assert_eq!((record.header.seq, record.header.epoch()), (writer.head(), writer.epoch()));
        self.check_run(&record.header);
        self.model.publish(record.clone(), living);
        record
    }

    /// In the run that a record says it belongs to, the time has strictly increased.
    fn check_run(&self, header: &RecordHeader) {
        let run = header.run_first..header.seq;
        assert!(header.run_first > 0 && header.run_first <= header.seq, "{header:?}");
        if self.model.damaged {
            return;
        }
        for (earlier, _) in self.model.records() {
            let earlier = &earlier.header;
            assert!(!run.contains(&earlier.seq) || earlier.realtime_ns < header.realtime_ns);
        }
    }

    // How a writer ends.

    fn kill(&mut self) {
        if self.writer.take().is_some() {
            self.leave();
        }
    }

    /// Remembers how the writer has left the ring.
    fn leave(&mut self) {
        self.writer = None;
        self.left = self.words();
        self.geometry = *ring_of(&self.left).expect("a writer leaves a ring").geometry();
        self.must_live = living(&self.schema).into_iter().collect();
        self.may_live = self.must_live.clone();
    }

    fn words(&self) -> Vec<u64> {
        let file = File::open(&self.path).expect("the ring can be opened");
        let file = PreadWords::of(file).expect("it can be looked at");
        let mut words = vec![0; file.len()];
        file.copy(0, &mut words);
        words
    }

    fn file(&self) -> File {
        OpenOptions::new().write(true).open(&self.path).expect("the ring can be opened")
    }

    /// Takes back what the writer has stored since the first `stores` of `all`.
    fn stop(&mut self, before: &[u64], all: &[Store], stores: usize) {
        let words = ring_stores::stopped(before, all, stores);
        let file = self.file();
        for (index, _) in all {
            let bytes = words[*index].to_le_bytes();
            file.write_all_at(&bytes, *index as u64 * WORD).expect("it is in the file");
        }
        self.left = words;
    }

    fn crash_in_publish(&mut self, stores: usize) {
        self.sync();
        let (before, model) = (self.words(), self.model.clone());
        let record = self.publish();
        let living = self.living.clone();
        self.kill();
        if ring_id(&before) != ring_id(&self.left) {
            return;
        }
        let all = ring_stores::publish(&self.geometry, &before, &self.left);
        let stores = stores % (all.len() + 1);
        self.stop(&before, &all, stores);
        // The last stores are the slot's state, the head, the heartbeat and the futex word.
        self.model = model;
        let seq = record.header.seq;
        if stores >= 1 {
            self.model.begin(seq);
        }
        if stores + 3 >= all.len() {
            self.model.settle(record, living);
        }
        if stores + 2 >= all.len() {
            self.model.head = seq;
        }
    }

    fn crash_in_sync(&mut self, stores: usize) {
        let before = self.words();
        let changes = self.schema.changes().iter();
        let changed: BTreeSet<usize> = changes.map(|change| change.column()).collect();
        let living = ring_of(&before).expect("a ring").directory();
        let living: BTreeSet<Place> = living
            .iter()
            .filter(|entry| entry.lives())
            .map(|entry| (entry.series.object.to_string(), entry.column))
            .collect();
        self.sync();
        self.kill();
        if ring_id(&before) != ring_id(&self.left) {
            return;
        }
        let all = ring_stores::sync(&self.geometry, &before, &self.left);
        self.stop(&before, &all, stores % (all.len() + 1));
        self.may_live.extend(living.iter().cloned());
        self.must_live.retain(|place| living.contains(place) && !changed.contains(&place.1));
    }

    fn crash_in_start(&mut self, stores: usize) {
        self.kill();
        let (before, head) = (self.words(), self.model.head);
        let damaged = self.damage(&before).is_any();
        self.start(0);
        self.kill();
        if damaged || ring_id(&before) != ring_id(&self.left) {
            return;
        }
        let all = ring_stores::start(&self.geometry, &before, &self.left);
        let stores = stores % (all.len() + 1);
        self.stop(&before, &all, stores);
        // The first of them states the newest record, if the former writer did not.
        if stores == 0 {
            self.model.head = head;
        }
    }

    fn crash_in_replacement(&mut self, renamed: bool) {
        let (before, model) = (self.words(), self.model.clone());
        let living: BTreeSet<Place> = living(&self.schema).into_iter().collect();
        let kept = self.dir.path().join("kept");
        fs::hard_link(&self.path, &kept).expect("a second name");
        self.outgrow();
        self.sync();
        self.kill();
        let replaced = ring_id(&before) != ring_id(&self.left);
        if replaced {
            // The old file as it was before anybody was told.
            let old = OpenOptions::new().write(true).open(&kept).expect("the old ring");
            for index in [at::STATE, at::NOTIFY] {
                let word = before[index].to_le_bytes();
                old.write_all_at(&word, index as u64 * WORD).expect("it can be written to");
            }
            self.told = false;
        }
        if replaced && !renamed {
            let unfinished = self.path.with_extension("ring.tmp");
            fs::rename(&self.path, &unfinished).expect("the new ring is not in place yet");
            fs::rename(&kept, &self.path).expect("the old ring still is");
            self.leave();
            (self.model, self.id) = (model, ring_id(&before));
            self.must_live = living.clone();
            self.may_live = living;
        } else {
            fs::remove_file(&kept).expect("it is there");
        }
    }

    // What else can happen to a file.

    fn flip(&mut self, part: Part, place: usize, bit: u16) {
        self.kill();
        let geometry = self.geometry;
        let entries = self.left[at::ENTRY_COUNT] as usize;
        let (bit, other) = (bit % 64, usize::from(bit / 64));
        let slot = geometry.slot_word(place as u64);
        let columns = geometry.column_capacity.min(self.schema.width().max(1));
        let index = match part {
            Part::Immutable => place % (at::CHECKSUM + 1),
            Part::Published => at::HEAD + place % 3,
            Part::Lifecycle => at::STATE + place % 7,
            Part::Entry => geometry.entry_word(place % entries.max(1)) + other % (entry::LAST + 1),
            Part::Arena => {
                let used = (self.left[at::ARENA_USED] / WORD).max(1) as usize;
                geometry.arena_word() + place % used
            }
            Part::State => slot,
            Part::Header => slot + 1 + other % (RecordHeader::WORDS - 1),
            Part::Payload => slot + RecordHeader::WORDS + other % columns,
            Part::Anywhere => place * 16 % geometry.file_words() + other % 16,
        };
        let mut words = self.words();
        if let Some(word) = words.get_mut(index) {
            *word ^= 1 << bit;
            let bytes = word.to_le_bytes();
            self.file().write_all_at(&bytes, index as u64 * WORD).expect("it is in the file");
        }
    }

    fn truncate(&mut self, share: u64, grown: bool) {
        self.kill();
        // A mapping of what is cut off would be deadly; format.md says who is spared that.
        self.reader = None;
        let slow = open_untrusted(&self.path).map(|(ring, _)| ring);
        let (file, len) = (self.file(), self.words().len() as u64 * WORD);
        let kept = (len * share) >> 16;
        file.set_len(kept).expect("a file can be cut");
        if let Ok(slow) = &slow {
            self.check_cut(slow);
        }
        if grown {
            file.set_len(len).expect("a file can grow");
        }
    }

    /// What can still be read of a file that is being cut is the truth, up to the slot where the cut
    /// is; then the reader says that it has failed.
    fn check_cut(&self, ring: &Ring<PreadWords>) {
        let damage = self.damage(&self.words());
        for seq in self.model.near() {
            let found = copy(ring, seq);
            if ring.words().failed() {
                return;
            }
            let slot = seq & (self.geometry.slot_count - 1);
            if let Some(found) = found.filter(|_| !damage.slots.contains(&slot)) {
                assert_eq!(self.model.expected(seq), Ok(&found), "{seq}");
            }
        }
    }

    fn damage(&self, found: &[u64]) -> Damage {
        let unstated = self.model.given > self.model.head;
        Damage { unstated, ..Damage::of(&self.geometry, &self.left, found) }
    }

    // How a writer comes.

    fn start(&mut self, width: usize) {
        let (found, meta) = (self.words(), fs::metadata(&self.path).expect("it is there"));
        let mut damage = self.damage(&found);
        damage.whole_file |= meta.blocks() * 512 < self.geometry.file_bytes;
        let opening = Opening::of(&self.dir, "host").expect("the lane is free");
        let mut schema = Schema::resume(opening.live_series());
        let resumed: BTreeSet<Place> = living(&schema).into_iter().collect();
        std::mem::swap(&mut self.schema, &mut schema);
        self.add(width);
        let (interval, depth_records) = (self.interval, self.slot_count);
        let options = WriterOptions { interval, depth_records, mode: 0o600 };
        let (writer, before) = opening.start(&options, &mut self.schema).expect("there is room");
        match before {
            Before::SetAside { path, .. } => {
                // Or one that claims to be beyond all counting, if nothing speaks against that.
                let sound = |(record, _): &(&Record, _)| {
                    let slot = record.header.seq & (self.geometry.slot_count - 1);
                    !damage.slots.contains(&slot)
                };
                let lost = self.model.records().filter(sound).count() as u64;
                let disowned = damage.is_any() && lost <= damage.lost_max();
                assert!(damage.whole_file || disowned, "a sound file: {damage:?}");
                let bytes: Vec<u8> = found.iter().flat_map(|word| word.to_le_bytes()).collect();
                let aside = fs::read(&path).expect("it is where it is said to be");
                assert_eq!(aside[..bytes.len()], bytes);
                self.model = Model::new(self.slot_count);
                self.told = false;
            }
            Before::History { records, .. } => {
                assert!(!damage.whole_file, "a file that is no ring is set aside");
                self.check_resumed(&resumed, &damage, &found);
                self.take_over(&writer, &damage, &found);
                let kept = self.model.records().count() as u64;
                assert!(records >= kept, "{records} of {kept} records");
            }
            before => panic!("{before:?}"),
        }
        self.id = writer.ring().header().ring_id;
        self.writer = Some(writer);
        self.living = Rc::new(living(&self.schema));
    }

    /// What lived goes on, unless it is damaged, or somebody damaged lays claim to its place.
    fn check_resumed(&self, places: &BTreeSet<Place>, damage: &Damage, found: &[u64]) {
        let slots = self.model.slot_count();
        let is_sound =
            |(record, _): (&Record, _)| !damage.slots.contains(&(record.header.seq & (slots - 1)));
        if !damage.slots.is_empty() && !self.model.records().any(is_sound) {
            // No record is left that says where the writer was, so any series may be of the future.
            return;
        }
        if !damage.is_in_directory() && !damage.hides_sequences() && !self.model.damaged {
            assert!(places.is_subset(&self.may_live), "{places:?} of {:?}", self.may_live);
            assert!(places.is_superset(&self.must_live), "{places:?} of {:?}", self.must_live);
            return;
        }
        let now = ring_of(found).expect("a ring").directory();
        let before = ring_of(&self.left).expect("a ring").directory();
        let damaged = |index: &usize| damage.entries.contains(index);
        let entries = before.entries.iter().enumerate();
        for (index, living) in entries.filter_map(|(index, entry)| Some((index, entry.as_ref()?))) {
            let rivals = now.entries.iter().enumerate().filter(|(other, _)| {
                *other != index && (damaged(other) || *other >= before.entries.len())
            });
            let rivals = rivals.filter_map(|(_, entry)| entry.as_ref()).any(|entry| {
                let named = (&entry.series.object, &entry.series.metric);
                entry.column == living.column
                    || named == (&living.series.object, &living.series.metric)
            });
            let sure =
                living.lives() && !damaged(&index) && !rivals && living.first <= self.newest();
            let place = (living.series.object.to_string(), living.column);
            assert!(!sure || self.model.damaged || places.contains(&place), "{living:?}");
        }
    }

    /// The newest record of the model.
    fn newest(&self) -> u64 {
        self.model.records().map(|(record, _)| record.header.seq).max().unwrap_or(0)
    }

    /// Compares what a writer has taken over with what was undamaged, and believes it from now on
    /// in what was damaged.
    fn take_over(&mut self, writer: &Writer, damage: &Damage, found: &[u64]) {
        let ring = writer.ring();
        let before = ring_of(&self.left).expect("a ring");
        let old = &self.model;
        let untouched = |seq: u64| !damage.slots.contains(&(seq & (old.slot_count() - 1)));
        let sound: Vec<_> =
            old.records().filter(|(record, _)| untouched(record.header.seq)).collect();
        // Of a newest record that was lost earlier, the header's word alone knows; of one that the
        // header does not state yet, its slot alone.
        let known = !damage.header_is_silent() || old.expected(old.given).is_ok();
        let any = !sound.is_empty() || damage.slots.is_empty();
        if known && any && !damage.hides_sequences() {
            assert!(writer.head() >= old.given, "{} of {}", writer.head(), old.given);
        }
        let mut model = Model::new(ring.geometry().slot_count);
        model.damaged = old.damaged || damage.is_any();
        model.given = writer.head();
        model.head = ring.head();
        model.first_seq = ring.header().first_seq;
        if !damage.is_any() {
            assert_eq!(model.given, old.given);
        }
        assert!(model.head <= model.given);
        // A record whose place in a smaller ring is another's is not missed.
        let room = |seq: u64| seq + model.slot_count() > model.given;
        let mut lost = 0;
        for (record, living) in &sound {
            let seq = record.header.seq;
            let Some(found) = copy(&ring, seq) else {
                lost += u64::from(room(seq));
                continue;
            };
            let mut kept = (*record).clone();
            if damage.is_in_directory() || old.damaged {
                narrow(&mut kept, found.words().len());
            }
            assert_eq!(found, kept, "{seq}");
            let now = covering(&ring, seq);
            let was = self.undamaged_living(&before, damage, seq);
            assert!(was.iter().all(|place| now.contains(place)), "{was:?} of {now:?}");
            if !damage.is_in_directory() {
                assert_eq!(now, ***living, "{seq}");
            }
        }
        assert!(lost <= damage.lost_max(), "{lost} undamaged records lost, {damage:?}");
        for index in 0..model.slot_count() {
            let state = ring.words().load(ring.geometry().slot_word(index));
            let seq = state.div_ceil(2);
            let slot = match state {
                0 => Slot::Empty,
                _ if state % 2 == 1 => Slot::Writing(seq),
                _ => {
                    let record = copy(&ring, seq).expect("it is stable");
                    if !sound.iter().any(|(sound, _)| sound.header.seq == seq) {
                        let tainted = damage.slots.contains(&(seq & (old.slot_count() - 1)));
                        assert!(tainted, "{seq} was never published");
                        let mut told = record_in(before.geometry(), found, seq);
                        // It may say that it has columns which are nobody's.
                        narrow(&mut told, record.words().len());
                        assert_eq!(record, told);
                    }
                    Slot::Stable(record, Rc::new(covering(&ring, seq)))
                }
            };
            model.slots[index as usize] = slot;
        }
        self.model = model;
    }

    /// The series of a record by the entries that are not damaged.
    fn undamaged_living<W: Words>(&self, ring: &Ring<W>, damage: &Damage, seq: u64) -> Living {
        let directory = ring.directory();
        let entries = directory.entries.iter().enumerate();
        entries
            .filter(|(index, _)| !damage.entries.contains(index))
            .filter_map(|(_, entry)| entry.as_ref())
            .filter(|entry| entry.covers(seq))
            .map(|entry| (entry.series.object.to_string(), entry.column))
            .collect()
    }

    // What readers find.

    fn check(&mut self) {
        if self.writer.is_none() {
            self.check_left();
        } else {
            self.follow();
        }
        self.checked = (self.model.clone(), self.id);
    }

    /// The attached reader learns that its file was replaced, still reads it, and follows.
    fn follow(&mut self) {
        let id = self.writer().ring().header().ring_id;
        let told = std::mem::replace(&mut self.told, true);
        let open = || Reader::open(&self.path).expect("the ring opens");
        let mut reader = self.reader.take().unwrap_or_else(open);
        let replaced = reader.ring().header().ring_id != id;
        if replaced {
            let waited = reader.wait(u64::MAX, Duration::ZERO);
            assert!(!told || waited == Wait::Retired, "{waited:?}");
            let (checked, held) = (&self.checked, reader.ring().header().ring_id);
            if told && checked.1 == held && !self.model.damaged {
                for (record, _) in checked.0.records() {
                    // The writer may have gone on in the old file for a while.
                    let seq = record.header.seq;
                    match reader.ring().read(seq, |_| ()) {
                        Err(error) => assert_eq!(error, ReadError::Overrun, "{seq}"),
                        Ok(()) => assert_eq!(copy(reader.ring(), seq).as_ref(), Some(record)),
                    }
                }
            }
        }
        assert_eq!(reader.refresh().expect("the newest ring opens"), replaced);
        assert_eq!(reader.ring().header().ring_id, id);
        let head = self.model.head;
        if head > 0 {
            assert_eq!(reader.wait(head - 1, Duration::ZERO), Wait::Published(head));
        }
        self.check_ring(reader.ring());
        self.reader = Some(reader);
    }

    fn check_ring<W: Words>(&self, ring: &Ring<W>) {
        let model = &self.model;
        assert_eq!(ring.head(), model.head);
        let mut record = Record::default();
        for seq in model.near() {
            let found = ring.read_into(seq, &mut record).map(|()| &record);
            assert_eq!(found, model.expected(seq), "{seq}, head {}", model.head);
        }
        // By the directory, and in it those that live.
        let directory = ring.directory();
        let living = std::iter::once((u64::MAX, &self.living));
        let records = model.records().map(|(record, living)| (record.header.seq, living));
        for (seq, living) in records.chain(living) {
            let covering = directory.iter().filter(|entry| entry.covers(seq));
            let mut covering: Vec<(&str, usize)> =
                covering.map(|entry| (&*entry.series.object, entry.column)).collect();
            covering.sort_unstable();
            let living = living.iter().map(|(object, column)| (object.as_str(), *column));
            assert!(covering.into_iter().eq(living), "the series of {seq}");
        }
        if model.head > 0 && model.expected(model.head).is_ok() {
            assert_eq!(ring.latest(|view| view.seq()), Some(model.head));
        }
        let audit = audit(ring);
        assert_eq!(audit.damaged_slots, 0, "{audit:?}");
        if !model.damaged {
            assert!(audit.is_clean(), "{audit:?}");
            assert_eq!(audit.records, model.records().count() as u64);
        }
    }

    /// The ring as a dead writer, and whoever damaged it, have left it.
    fn check_left(&self) {
        let found = self.words();
        let damage = self.damage(&found);
        let Some(ring) = ring_of(&found) else {
            assert!(damage.whole_file, "a ring");
            return;
        };
        assert!(!damage.whole_file, "damage to the header is found");
        self.check_ring_left(&ring, &damage);
        let audit = audit(&ring);
        assert!(audit.damaged_entries >= damage.entries_named, "{audit:?}");
        let named = audit.damaged_slots > 0 || audit.found_head != audit.stated_head;
        let alone = damage.states == 1 && !damage.head;
        let impossible = damage.slots.iter().any(|slot| !self.can_be_left(*slot, &found));
        assert!(named || !alone || !impossible, "{audit:?}");
    }

    /// Whether a writer with the model's head can leave the slot so.
    fn can_be_left(&self, slot: u64, found: &[u64]) -> bool {
        let (slots, head) = (self.geometry.slot_count, self.model.head);
        let state = found[self.geometry.slot_word(slot)];
        let seq = state.div_ceil(2);
        match state % 2 {
            _ if state == 0 => true,
            _ if seq % slots != slot => false,
            0 => seq <= head + 1 && seq + slots > head,
            _ => seq == head + 1,
        }
    }

    fn check_ring_left<W: Words>(&self, ring: &Ring<W>, damage: &Damage) {
        let model = &self.model;
        let states = (0..model.slot_count()).map(|slot| {
            let state = ring.words().load(ring.geometry().slot_word(slot));
            state.div_ceil(2)
        });
        let states: Vec<u64> = states.collect();
        for seq in model.near().chain(states) {
            let found = copy(ring, seq);
            let by_the_page = expected(ring.header(), ring.words(), seq);
            assert_eq!(ring.read(seq, |_| ()), by_the_page, "{seq}");
            if !damage.is_any() {
                assert_eq!(by_the_page, model.expected(seq).map(drop), "{seq}");
            }
            let untouched = !damage.slots.contains(&(seq & (model.slot_count() - 1)));
            if untouched {
                assert_eq!(found.as_ref(), model.expected(seq).ok(), "{seq}");
            }
        }
        let directory = ring.directory();
        let before = ring_of(&self.left).expect("a ring").directory();
        for (index, entry) in before.entries.iter().enumerate() {
            if !damage.entries.contains(&index) {
                assert_eq!(directory.entries[index], *entry);
            }
        }
    }
}

fn ring_id(words: &[u64]) -> [u64; 2] {
    [words[at::RING_ID], words[at::RING_ID_HIGH]]
}
