//! The client in C says of every ring what the reader in Rust says: of sound ones, of hostile ones
//! and of those that change while it reads.
//!
//! `tests/c/answer.c` answers questions through the header, in a process of its own and under the
//! sanitizers; what it says is compared line by line.

#[path = "support/cc.rs"]
mod cc;
mod support;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::fs::{MemfdFlags, SealFlags};
use support::{ShmDir, Twin, bytes_of, nic, poke, publish, repair_checksum, words_of};
use tachograph::record::{
    ABSENT, COLUMNS_MAX, Kind, METRIC_BYTES_MAX, OBJECT_ID_BYTES_MAX, Record, RecordHeader, Repr,
    Unit, flags,
};
use tachograph::ring::layout::{self, entry, header as at, record as record_at, state};
use tachograph::ring::{
    Column, Liveness, OpenError, ReadMap, Reader, Ring, Sizes, Value, Words, WordsMut,
};

const GOLDEN: &[u8] = include_bytes!("fixtures/ring_v1.bin");
/// A living series of each representation in the golden file.
const GOLDEN_SERIES: [(&str, &str); 2] = [("host", "load1"), ("nic/m\u{fc}ll", "receive_bytes")];
/// Sequences that `answer.c` asks for beside the low ones.
const EDGES: [u64; 9] = [
    1 << 20,
    (1 << 20) + 8,
    1 << 32,
    (1 << 62) + 1,
    1 << 63,
    (1 << 63) + 4,
    u64::MAX / 8,
    u64::MAX - 63,
    u64::MAX,
];
/// What words are replaced with: the edges of every check.
const WORDS: [u64; 20] = [
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    16,
    63,
    64,
    130,
    4096,
    4097,
    (1 << 20) + 8,
    1 << 32,
    (1 << 62) + 1,
    1 << 63,
    u64::MAX / 8,
    u64::MAX - 63,
    u64::MAX,
];

/// A process that answers questions about rings through the header.
struct Client {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// `None`, and a word about it, where there is no C compiler.
    fn start(what: &str) -> Option<Self> {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        if !cc::has_cc(what) {
            return None;
        }
        let program = PROGRAM.get_or_init(|| cc::program("tests/c/answer.c", "answer", true));
        let mut command = Command::new(program);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was compiled can be started");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Some(Self { child, questions, answers })
    }

    fn ask(&mut self, question: &str) -> String {
        self.say(question);
        self.hear(question)
    }

    fn say(&mut self, question: &str) {
        let questions = self.questions.as_mut().expect("it has not ended");
        writeln!(questions, "{question}").expect("it listens");
    }

    fn hear(&mut self, question: &str) -> String {
        let mut answer = String::new();
        loop {
            let begin = answer.len();
            let read = self.answers.read_line(&mut answer).expect("UTF-8");
            assert!(read > 0, "it ended at the question {question}");
            if &answer[begin..] == ".\n" {
                answer.truncate(begin);
                return answer.trim_end().to_owned();
            }
        }
    }

    fn open(&mut self, path: &Path) -> String {
        self.ask(&format!("open {}", path.display()))
    }

    /// Ends it in order; the sanitizers have the last word.
    fn end(mut self) {
        self.questions = None;
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `answer.c` says of the record `seq`, by the reader in Rust.
fn record_line(ring: &Ring<ReadMap>, seq: u64, columns: &[Column]) -> String {
    let mut record = Record::default();
    let mut line = format!("record {seq}");
    if let Err(error) = ring.read_into(seq, &mut record) {
        write!(line, " {error}").expect("a string");
        return line;
    }
    let words: [u64; RecordHeader::WORDS] = bytemuck::cast(record.header);
    for word in &words[1..] {
        write!(line, " {word}").expect("a string");
    }
    line.push(':');
    for word in record.words() {
        write!(line, " {word:x}").expect("a string");
    }
    let values = ring
        .read(seq, |view| -> Vec<_> { columns.iter().map(|column| view.value(column)).collect() });
    for value in values.expect("it was there") {
        match value {
            None => line.push_str(" absent"),
            Some(Value::U64(value)) => write!(line, " u64 {value}").expect("a string"),
            Some(Value::F64(value)) => {
                write!(line, " f64 {:x}", value.to_bits()).expect("a string")
            }
        }
    }
    line
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string");
        hex
    })
}

/// What it says of the directory.
fn directory(reader: &Reader) -> String {
    let directory = reader.ring().directory();
    let mut lines =
        vec![format!("directory {} changes {}", directory.entries.len(), directory.changes)];
    lines.extend(directory.entries.iter().map(|entry| match entry {
        None => "damaged".into(),
        Some(entry) => format!(
            "{} {} {} {} {} column {} {} {}",
            hex(&entry.series.object),
            hex(&entry.series.metric),
            entry.series.kind.code(),
            entry.series.unit.code(),
            entry.series.repr.code(),
            entry.column,
            entry.first,
            entry.last
        ),
    }));
    lines.join("\n")
}

/// What `answer.c` says when it is asked for all, by the reader in Rust.
fn all(reader: &Reader, columns: &[Column]) -> String {
    let ring = reader.ring();
    let (header, at) = (ring.header(), ring.geometry());
    let mut lines = vec![
        format!(
            "version {} file {} slots {} columns {} entries {} arena {}",
            header.version,
            at.file_bytes,
            at.slot_count,
            at.column_capacity,
            at.entry_capacity,
            at.arena_bytes
        ),
        format!(
            "slot {} entry {} at {} {} {}",
            at.slot_bytes, at.entry_bytes, at.directory_offset, at.arena_offset, at.slots_offset
        ),
        format!(
            "ids {:x} {:x} {:x} {:x} interval {} created {} first {} stale {}",
            header.ring_id[0],
            header.ring_id[1],
            header.boot_id[0],
            header.boot_id[1],
            header.interval_ns,
            header.created_ns,
            header.first_seq,
            ring.stale_after_ns()
        ),
        format!("head {} state {} {}", ring.head(), ring.state(), reader.liveness()),
    ];
    lines.push(directory(reader));
    let latest = ring.latest(|view| view.seq().to_string());
    lines.push(format!("latest {}", latest.unwrap_or_else(|| "none".into())));
    lines.extend((0..20).chain(EDGES).map(|seq| record_line(ring, seq, columns)));
    if let Some((oldest, newest)) = ring.bounds() {
        lines.push(format!("bounds {oldest} {newest}"));
        lines.extend((oldest..=newest).map(|seq| record_line(ring, seq, columns)));
        let views = (oldest..=newest).filter_map(|seq| ring.peek(seq).ok());
        let words =
            views.flat_map(|view| (0..view.columns() + 2).map(move |column| view.word(column)));
        let sum = words.fold(0, u64::wrapping_add);
        let vouched =
            ring.vouch(oldest).map_or_else(|error| error.to_string(), |()| "no error".into());
        lines.push(format!("window {vouched} {sum:x}"));
    }
    lines.join("\n")
}

/// Compares all that both readers say of the ring at `path`, and returns whether it opens.
fn agree(client: &mut Client, path: &Path, series: &[(&str, &str)]) -> bool {
    let reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(OpenError::Format { source, .. }) => {
            assert_eq!(client.open(path), format!("error {source}"));
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(client.open(path), "open");
    let mut columns = Vec::new();
    for (object, metric) in series {
        let found = reader.ring().find(object, metric);
        let expected = found.map_or("none".into(), |column| format!("column {}", column.index()));
        assert_eq!(client.ask(&format!("find {object} {metric}")), expected);
        columns.extend(found);
    }
    let (said, expected) = (client.ask("all"), all(&reader, &columns));
    for (said, expected) in said.lines().zip(expected.lines()) {
        assert_eq!(said, expected);
    }
    assert_eq!(said, expected);
    true
}

/// The constants of the layout by the names that they have in C: `state::CLOSED` is `STATE_CLOSED`.
fn constants() -> Vec<(String, u64)> {
    let plain = [
        ("WORD", layout::WORD),
        ("COMPATIBLE_APPLICATION", layout::compatible::APPLICATION),
        ("MAGIC", layout::MAGIC),
        ("ENDIAN_TAG", layout::ENDIAN_TAG),
        ("VERSION", layout::VERSION),
        ("COMPATIBLE_VERSION", layout::COMPATIBLE_VERSION),
        ("INCOMPATIBLE_FLAGS_KNOWN", layout::INCOMPATIBLE_FLAGS_KNOWN),
        ("HEADER_CHECKSUM", at::CHECKSUM as u64),
        ("HEADER_BYTES", layout::HEADER_BYTES),
        ("ENTRY_BYTES", layout::ENTRY_BYTES),
        ("SLOT_ALIGN", layout::SLOT_ALIGN),
        ("PAGE", layout::PAGE),
        ("SLOTS_MIN", layout::SLOTS_MIN),
        ("SLOTS_MAX", layout::SLOTS_MAX),
        ("ENTRIES_MAX", layout::ENTRIES_MAX),
        ("ARENA_BYTES_MAX", layout::ARENA_BYTES_MAX),
        ("FILE_BYTES_MAX", layout::FILE_BYTES_MAX),
        ("SEQUENCE_MAX", layout::SEQUENCE_MAX),
        ("RESUME_MAX", layout::RESUME_MAX),
        ("LIVES", layout::LIVES),
        ("STATE_RUNNING", state::RUNNING),
        ("STATE_CLOSED", state::CLOSED),
        ("STATE_RETIRED", state::RETIRED),
        // Not of the layout.
        ("RECORD_WORDS", RecordHeader::WORDS as u64),
        ("COLUMNS_MAX", COLUMNS_MAX as u64),
        ("OBJECT_ID_BYTES_MAX", OBJECT_ID_BYTES_MAX as u64),
        ("METRIC_BYTES_MAX", METRIC_BYTES_MAX as u64),
        ("ABSENT", ABSENT),
        ("FLAG_EPOCH_FIRST", u64::from(flags::EPOCH_FIRST)),
        ("FLAG_CLOCK_STEP", u64::from(flags::CLOCK_STEP)),
        ("FLAG_MISSED", u64::from(flags::MISSED)),
        ("KIND_MAX", Kind::ALL.len() as u64),
        ("UNIT_MAX", Unit::ALL.len() as u64),
        ("REPR_MAX", Repr::ALL.len() as u64),
    ];
    let mut constants: Vec<_> = plain.map(|(name, value)| (name.to_owned(), value)).into();
    let mut add = |prefix, name: &str, value| {
        constants.push((format!("{prefix}_{}", name.to_uppercase()), value));
    };
    for (name, word) in [at::IMMUTABLE, at::PUBLISHED, at::LIFECYCLE].concat() {
        add("HEADER", name, word as u64);
    }
    for (name, word) in entry::FIELDS {
        add("ENTRY", name, *word as u64);
    }
    for (name, word) in record_at::FIELDS {
        add("RECORD", name, *word as u64);
    }
    for kind in Kind::ALL {
        add("KIND", kind.as_str(), u64::from(kind.code()));
    }
    for unit in Unit::ALL {
        add("UNIT", unit.as_str(), u64::from(unit.code()));
    }
    for repr in Repr::ALL {
        add("REPR", repr.as_str(), u64::from(repr.code()));
    }
    constants
}

/// A constant that is new in the layout would be in no list, so its source is read.
#[test]
fn no_constant_of_the_layout_is_left_out_of_the_list_above() {
    let constants = constants();
    let mut module = String::new();
    let mut found = 0;
    for line in include_str!("../src/ring/layout.rs").lines() {
        if let Some(rest) = line.strip_prefix("pub mod ") {
            module = format!("{}_", rest.trim_end_matches(" {").to_uppercase());
        } else if line == "}" {
            module.clear();
        }
        let stated = line.trim_start().strip_prefix("pub const ");
        let Some((name, _)) = stated.and_then(|rest| rest.split_once(':')) else { continue };
        // Those of the macro are in the tables, which are all gone through.
        if !name.starts_with('$') {
            let name = format!("{module}{name}");
            assert!(constants.iter().any(|(known, _)| *known == name), "{name} is in no list");
            found += 1;
        }
    }
    assert!(found >= 22, "{found} constants");
}

#[test]
fn header_has_every_constant_with_its_value() {
    let mut text = String::from("#include \"tachograph.h\"\n");
    for (name, value) in constants() {
        writeln!(text, "_Static_assert(TACHO_{name} == {value}u, \"{name} is {value}\");")
            .expect("a string");
    }
    if !cc::has_cc("the C header's constants") {
        return;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layout.c");
    let check = |text: &str| {
        fs::write(&path, text).expect("the build directory can be written to");
        cc::compile(&cc::cc(), &["-std=c11", "-fsyntax-only", &path.to_string_lossy()])
    };
    let wrong = check(&text.replace("TACHO_SLOTS_MAX == 16777216u", "TACHO_SLOTS_MAX == 4u"));
    assert!(!wrong.status.success(), "a wrong value is found");
    let right = check(&text);
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
}

/// The header in two translation units of one program, in the dialects that are promised, by each
/// compiler that is there.
#[test]
fn header_compiles_in_c_and_in_cxx_without_a_warning() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("the build directory can be written to");
        path.to_string_lossy().into_owned()
    };
    let include = "#include \"tachograph.h\"\n";
    let own_head = "(const struct tacho_ring *ring) { return tacho_head(ring); }\n";
    let one = format!("{include}uint64_t one(const struct tacho_ring *);\nuint64_t one{own_head}");
    let two = format!(
        "{include}uint64_t one(const struct tacho_ring *);\n\
         int main(void) {{\n    static struct tacho_ring ring;\n    \
         return tacho_open(&ring, \"\", NULL) == TACHO_OK ? (int)one(&ring) : 0;\n}}\n"
    );
    let program = dir.join("two_units").to_string_lossy().into_owned();
    let dialects = [
        (cc::cc(), ["-std=c11", "-std=c17"], "c"),
        ("clang".into(), ["-std=c11", "-std=c17"], "c"),
        ("c++".into(), ["-std=c++11", "-std=c++20"], "cc"),
    ];
    for (compiler, standards, suffix) in dialects {
        if !cc::is_there(&compiler) {
            eprintln!("LEFT OUT: the C header by {compiler}: there is no such compiler");
            continue;
        }
        let units = [write(&format!("one.{suffix}"), &one), write(&format!("two.{suffix}"), &two)];
        for standard in standards {
            let mut args = vec![standard, &*units[0], &*units[1], "-O2", "-o", &*program];
            args.extend(cc::STRICT[1..].iter().copied());
            let built = cc::compile(&compiler, &args);
            let said = String::from_utf8_lossy(&built.stderr).into_owned();
            assert!(built.status.success(), "{compiler} {standard}: {said}");
        }
    }
}

/// On x86-64 the fences are the compiler's alone.
#[test]
fn reading_takes_no_lock_and_no_fence_on_x86_64() {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("LEFT OUT: assembly of the C header: not on x86-64");
        return;
    }
    if !cc::has_cc("assembly of the C header") {
        return;
    }
    let source = Path::new(cc::ROOT).join("tests/stress/reader.c");
    let args = ["-std=c11", "-O2", "-S", "-o", "-", &source.to_string_lossy()];
    let built = cc::compile(&cc::cc(), &args);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let text = String::from_utf8_lossy(&built.stdout);
    assert!(text.contains("main:"), "{text}");
    for line in text.lines().filter(|line| line.starts_with('\t')) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let is_fence = ["lock", "mfence", "lfence", "sfence", "cpuid"].contains(&name);
        let is_exchange = name.starts_with("xchg") && line.contains('(');
        assert!(!is_fence && !is_exchange, "{line}");
    }
}

#[test]
fn golden_file_and_every_kind_of_ring_read_alike() {
    let Some(mut client) = Client::start("rings read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    fs::write(&path, GOLDEN).expect("written");
    assert!(agree(&mut client, &path, &GOLDEN_SERIES));
    assert!(agree(&mut client, &path, &[("nic/unborn", "receive_bytes"), ("nic/eth0", "load1")]));

    let mut twin = Twin::of_slots(8);
    for published in 0..30 {
        fs::write(&path, bytes_of(twin.words())).expect("written");
        assert!(agree(&mut client, &path, &[]), "{published} records");
        twin.publish(published % 3);
    }
    // Lost with its writer: 25 is below the head, and its slot is empty.
    twin.words().store(twin.slot(25), 0);
    fs::write(&path, bytes_of(twin.words())).expect("written");
    assert!(agree(&mut client, &path, &[]));
    assert_eq!(client.ask("record 25"), "record 25 the record was lost");
    client.end();
}

#[test]
fn any_damaged_header_field_is_named_as_in_rust() {
    let Some(mut client) = Client::start("damaged rings read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    let (mut opened, mut refused) = (0, 0);
    let mut words: Vec<u64> = WORDS.to_vec();
    words.extend([layout::MAGIC.swap_bytes(), layout::ENDIAN_TAG.swap_bytes(), 1 << 30, 1 << 40]);
    // Just beyond the largest slot, entry and header.
    words.extend([(2 << 20) + 64, 4096 + 8, (1 << 20) + 1]);
    for index in 0..at::CHECKSUM {
        for value in words.iter().copied() {
            let golden = words_of(GOLDEN);
            golden.store(index, value);
            repair_checksum(&golden);
            fs::write(&path, bytes_of(&golden)).expect("written");
            match agree(&mut client, &path, &GOLDEN_SERIES) {
                true => opened += 1,
                false => refused += 1,
            }
        }
        // Without the checksum made right.
        let golden = words_of(GOLDEN);
        golden.store(index, golden.load(index) ^ 1 << index);
        fs::write(&path, bytes_of(&golden)).expect("written");
        assert!(!agree(&mut client, &path, &[]), "word {index}");
    }
    eprintln!("{opened} opened, {refused} refused");
    assert!(opened > 100 && refused > 300, "{opened} opened, {refused} refused");
    client.end();
}

#[test]
fn short_files_are_refused() {
    let Some(mut client) = Client::start("short rings read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    for len in (0..GOLDEN.len()).step_by(97).chain([4095, 4096, 8192, GOLDEN.len() - 1]) {
        fs::write(&path, &GOLDEN[..len]).expect("written");
        assert!(!agree(&mut client, &path, &[]), "{len} bytes");
    }
    client.end();
}

/// A small generator, so that a run can be repeated.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Replaces some words of a ring behind its immutable part.
fn damage<W: WordsMut>(words: &W, state: &mut u64) {
    for _ in 0..=random(state) % 4 {
        // Rather the directory, the names and the slots' headers than words of columns.
        let index = at::HEAD + random(state) as usize % (words.len() - at::HEAD);
        let value = match random(state) % 3 {
            0 => WORDS[random(state) as usize % WORDS.len()],
            1 => words.load(index).wrapping_add(random(state) % 5).wrapping_sub(2),
            _ => words.load(index) ^ 1 << (random(state) % 64),
        };
        words.store(index, value);
    }
}

#[test]
fn rings_with_damaged_words_read_alike() {
    let Some(mut client) = Client::start("hostile rings read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    let (mut state, mut opened) = (7, 0);
    for _ in 0..1500 {
        // Only the parts that hold something, moved together: most of the file is zero.
        let golden = words_of(GOLDEN);
        let compact: Vec<usize> = (at::HEAD..golden.len())
            .filter(|index| golden.load(*index) != 0 || index % 16 < 8)
            .collect();
        for _ in 0..=random(&mut state) % 3 {
            let index = compact[random(&mut state) as usize % compact.len()];
            golden.store(index, WORDS[random(&mut state) as usize % WORDS.len()]);
        }
        damage(&golden, &mut state);
        fs::write(&path, bytes_of(&golden)).expect("written");
        opened += u32::from(agree(&mut client, &path, &GOLDEN_SERIES));
    }
    assert_eq!(opened, 1500, "the immutable part is sound");
    client.end();
}

#[test]
fn file_that_changes_while_it_is_read_is_survived() {
    let Some(mut client) = Client::start("changing rings read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    fs::write(&path, GOLDEN).expect("written");
    assert_eq!(client.open(&path), "open");
    for (object, metric) in GOLDEN_SERIES {
        client.ask(&format!("find {object} {metric}"));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 11;
            while !stop.load(Ordering::Relaxed) {
                // The immutable part as well: it was copied when the ring was opened.
                let index = random(&mut state) as usize % (GOLDEN.len() / 8);
                poke(&path, index, WORDS[random(&mut state) as usize % WORDS.len()]);
            }
        });
        for _ in 0..300 {
            let said = client.ask("all");
            assert!(said.starts_with("version 1 file 12288 slots 4"), "{said}");
            assert!(said.lines().count() >= 4 + 1 + 1 + 29, "{said}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    client.end();
}

#[test]
fn files_that_could_be_cut_under_a_mapping_are_not_mapped() {
    let Some(mut client) = Client::start("rings not trusted in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    let untrusted = |reason| format!("error not to be trusted with a mapping: {reason}");
    assert_eq!(client.open(&path), "error there is no such ring");
    fs::write(&path, GOLDEN).expect("written");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    for wrong in [0o666, 0o664, 0o646] {
        mode(wrong);
        assert_eq!(client.open(&path), untrusted("its group or everybody may write to it"));
    }
    mode(0o644);
    let other = dir.path().join("other");
    fs::hard_link(&path, &other).expect("linked");
    assert_eq!(client.open(&path), untrusted("it has another name as well"));
    fs::remove_file(&other).expect("removed");
    symlink(&path, &other).expect("linked");
    assert!(client.open(&other).starts_with("error cannot open it: "));
    assert_eq!(client.open(dir.path()), untrusted("it is not a regular file"));
    let status = Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_eq!(client.open(&dir.path().join("pipe")), untrusted("it is not a regular file"));
    assert_eq!(client.open(&path), "open");

    // A service's file: in its own directory, in one of root's, and not in a person's.
    let chown = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None);
    if chown(&path, 977).is_err() {
        eprintln!("LEFT OUT: a service's ring: needs root");
        client.end();
        return;
    }
    assert_eq!(client.open(&path), untrusted("it belongs to another user"));
    chown(dir.path(), 977).expect("as root");
    // Above it lies /dev/shm, to which everybody may write.
    assert_eq!(client.open(&path), untrusted("it belongs to another user"));
    let above = ShmDir::new();
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let service = above.path().join("service");
    fs::create_dir(&service).expect("created");
    let moved = service.join("host.ring");
    fs::rename(&path, &moved).expect("on one file system");
    chown(&service, 977).expect("as root");
    let winding = service.join("..//service/./host.ring");
    for path in [&moved, &winding] {
        assert!(Reader::open(path).is_ok(), "{}", path.display());
        assert_eq!(client.open(path), "open", "{}", path.display());
    }
    chown(&service, 978).expect("as root");
    assert_eq!(client.open(&moved), untrusted("it belongs to another user"));
    for uid in [1000, 60_000] {
        chown(&service, uid).expect("as root");
        chown(&moved, uid).expect("as root");
        assert!(Reader::open(&moved).is_err());
        assert_eq!(client.open(&moved), untrusted("it belongs to another user"), "a person");
    }
    client.end();
}

#[test]
fn live_ring_is_waited_for_followed_and_told_from_a_dead_one() {
    let Some(mut client) = Client::start("live rings read in C") else { return };
    let dir = ShmDir::new();
    let mut schema = support::schema(3);
    let (mut writer, _) = support::start(&dir, 8, &mut schema);
    assert_eq!(client.open(&dir.ring()), "open");
    assert_eq!(client.ask("liveness"), "live", "no record yet");
    assert_eq!(client.ask("wait 0 1"), "timed out 0");
    assert_eq!(client.ask("find nic/e1 receive_bytes"), "column 1");
    assert_eq!(client.ask("find nic/e9 receive_bytes"), "none");

    // It sleeps when the record comes, or is just about to.
    for seq in 1..=20 {
        client.say(&format!("wait {} 60000", seq - 1));
        if seq % 2 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        publish(&mut writer, 3);
        writer.wake();
        assert_eq!(client.hear("wait"), format!("published {seq}"));
    }
    assert_eq!(client.ask("liveness"), "live");
    let value = |seq| format!(" u64 {}", support::word(seq, 1));
    assert!(client.ask("record 20").ends_with(&value(20)));
    // In one of the same width the series that came next is not taken for the one that ended.
    schema.end(1);
    schema.add("nic/new", "receive_bytes").expect("room");
    writer.sync(&mut schema).expect("there is room");
    publish(&mut writer, 3);
    assert!(client.ask("record 20").ends_with(&value(20)));
    assert!(client.ask("record 21").ends_with(" absent"));
    assert_eq!(client.ask("find nic/new receive_bytes"), "column 1");
    assert!(client.ask("record 21").ends_with(&format!(" absent{}", value(21))));
    assert!(client.ask("record 20").ends_with(&format!("{} absent", value(20))));

    // A ring that grows takes another file; whoever sleeps is told.
    assert_eq!(client.ask("refresh"), "same");
    client.say("wait 21 60000");
    thread::sleep(Duration::from_millis(20));
    support::fill_columns(&mut schema);
    writer.sync(&mut schema).expect("a larger ring");
    assert_eq!(writer.rollovers(), 1);
    assert_eq!(client.hear("wait"), "retired 21");
    assert_eq!(client.ask("liveness"), "retired");
    assert_eq!(client.ask("refresh"), "followed");
    assert_eq!(client.ask("liveness"), "live");
    let line = client.ask("record 21");
    assert!(line.ends_with(" absent absent"), "columns of the old file: {line}");
    assert_eq!(client.ask("find nic/new receive_bytes"), "column 1");
    assert!(client.ask("record 21").ends_with(&value(21)));
    publish(&mut writer, schema.width());
    assert_eq!(client.ask("wait 21 60000"), "published 22");

    // Another file that does not open leaves the reader where it is.
    let saved = dir.path().join("saved");
    fs::rename(dir.ring(), &saved).expect("renamed");
    assert_eq!(client.ask("refresh"), "same", "the name is gone");
    fs::write(dir.ring(), [7; 5000]).expect("written");
    assert_eq!(client.ask("refresh"), "failed not a ring: the magic is wrong");
    assert!(client.ask("record 22").contains(&value(22)));
    fs::rename(&saved, dir.ring()).expect("renamed");
    assert_eq!(client.ask("refresh"), "same");

    // Not heard of for long, killed, and ended in order.
    let long_ago = writer.ring().heartbeat_ns().saturating_sub(3_600_000_000_000);
    poke(&dir.ring(), at::HEARTBEAT_NS, long_ago);
    assert_eq!(client.ask("liveness"), "hung");
    publish(&mut writer, 3);
    assert_eq!(client.ask("liveness"), "live");
    drop(writer);
    assert_eq!(client.ask("liveness"), "dead");
    let (writer, _) = support::start(&dir, 8, &mut schema);
    assert_eq!(client.ask("liveness"), "live", "the probe has left no lock behind");
    writer.close();
    assert_eq!(client.ask("liveness"), "closed");
    let reader = Reader::open(&dir.ring()).expect("it opens");
    assert_eq!(reader.liveness(), Liveness::Closed);
    client.end();
}

/// Two files with one id, as a copy and what it was copied from: the column of the larger one lies
/// behind the end of the smaller.
#[test]
fn column_of_a_larger_file_with_the_same_id_is_absent() {
    let Some(mut client) = Client::start("a ring of another size read in C") else { return };
    let dir = ShmDir::new();
    let sizes =
        Sizes { slot_count: 4, column_capacity: 2, entry_capacity: 60_000, arena_bytes: 256 };
    let large = Twin::new(sizes);
    large.words().store(at::ENTRY_COUNT, 59_999);
    let schema = support::schema(1);
    large.add(schema.series(0).expect("it has one"), 0, 1, layout::LIVES);
    fs::write(dir.ring(), bytes_of(large.words())).expect("written");
    assert_eq!(client.open(&dir.ring()), "open");
    assert_eq!(client.ask("find nic/e0 receive_bytes"), "column 0");
    let mut small = Twin::of_slots(4);
    small.publish(2);
    let other = dir.path().join("other");
    fs::write(&other, bytes_of(small.words())).expect("written");
    fs::rename(&other, dir.ring()).expect("renamed");
    assert_eq!(client.ask("refresh"), "followed");
    assert!(client.ask("record 1").ends_with(" absent"));
    assert_eq!(client.ask("narrow 1 2"), "no error: 2");
    let wide = "the record has more columns than there is room for: 2";
    assert_eq!(client.ask("narrow 1 1"), wide);
    assert_eq!(client.ask("narrow 1 0"), wide);
    assert_eq!(client.ask("narrow 2 1"), "the record has not been published");
    client.end();
}

/// A reader of a retired ring without a successor has nowhere to go, and sleeps.
#[test]
fn retired_ring_without_a_successor_is_not_spun_on() {
    let Some(mut client) = Client::start("a retired ring read in C") else { return };
    let dir = ShmDir::new();
    fs::write(dir.ring(), GOLDEN).expect("written");
    assert_eq!(client.open(&dir.ring()), "open");
    poke(&dir.ring(), at::STATE, state::RETIRED);
    assert_eq!(client.ask("wait 8 60000"), "retired 8");
    assert_eq!(client.ask("refresh"), "same");
    assert_eq!(client.ask("wait 8 1"), "timed out 8");
    client.end();
}

fn memfd(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    // It is inherited, as one that was handed over is.
    let memfd = rustix::fs::memfd_create("ring", MemfdFlags::ALLOW_SEALING).expect("a memfd");
    let mut file = fs::File::from(memfd);
    file.write_all(bytes).expect("written");
    rustix::fs::fcntl_add_seals(&file, seals).expect("sealed");
    file.into()
}

#[test]
fn descriptor_is_read_only_when_nobody_can_shorten_it() {
    let size = SealFlags::SHRINK | SealFlags::GROW;
    let whole = memfd(GOLDEN, size | SealFlags::FUTURE_WRITE | SealFlags::SEAL);
    let refused = [
        memfd(GOLDEN, SealFlags::empty()),
        memfd(GOLDEN, SealFlags::SHRINK),
        memfd(GOLDEN, SealFlags::GROW | SealFlags::FUTURE_WRITE),
    ];
    let short = memfd(&GOLDEN[..8192], size);
    let Some(mut client) = Client::start("descriptors read in C") else { return };
    let mut open = |fd: i32| client.ask(&format!("sealed {fd}"));
    let unsealed = "error not to be trusted with a mapping: it is not sealed against another size";
    for fd in &refused {
        assert_eq!(open(fd.as_raw_fd()), unsealed);
    }
    assert_eq!(open(0), unsealed, "a pipe has no seals");
    assert_eq!(open(999), unsealed, "no descriptor at all");
    assert_eq!(open(short.as_raw_fd()), "error truncated: file_bytes is 12288, the file has 8192");
    assert_eq!(open(whole.as_raw_fd()), "open");
    assert_eq!(client.ask("find host load1"), "column 0");
    let record = support::record(8, 3);
    let value = f64::from_bits(record.words()[0]);
    assert!(value.is_finite());
    assert!(client.ask("record 8").ends_with(&format!(" f64 {:x}", value.to_bits())));
    // Whether a writer lives is asked of the file, not of the descriptor that came from it.
    assert_eq!(client.ask("liveness"), "dead");
    rustix::fs::flock(&whole, rustix::fs::FlockOperation::LockExclusive).expect("nobody has it");
    assert_eq!(client.ask("liveness"), "hung");
    assert_eq!(client.ask("liveness"), "hung", "the probe has not taken the writer's lock away");
    assert_eq!(client.ask("refresh"), "same", "it has no name to follow");
    client.end();
}

#[test]
fn wide_records_and_odd_names_read_alike() {
    let Some(mut client) = Client::start("odd names read in C") else { return };
    let dir = ShmDir::new();
    let path = dir.ring();
    let sizes =
        Sizes { slot_count: 2, column_capacity: 3000, entry_capacity: 64, arena_bytes: 8192 };
    let mut twin = Twin::new(sizes);
    let long = "x".repeat(OBJECT_ID_BYTES_MAX);
    let odd = ["a", "seven77", "eight888", "nine99999", "\u{10ffff}\u{800}\u{7ff}", "\n.\n", &long];
    for (column, object) in odd.iter().enumerate() {
        let series = tachograph::record::Series {
            object: (*object).into(),
            metric: "m".repeat(column * 42 + 1).into(),
            kind: Kind::ALL[column % Kind::ALL.len()],
            unit: Unit::ALL[column % Unit::ALL.len()],
            repr: Repr::ALL[column % Repr::ALL.len()],
        };
        twin.add(&series, column, 1, layout::LIVES);
    }
    twin.publish(3000);
    fs::write(&path, bytes_of(twin.words())).expect("written");
    assert!(agree(&mut client, &path, &[("a", "m"), ("nine99999", &"m".repeat(127))]));
    // A name of eight bytes, of which one goes through all values: what is no UTF-8 is damage.
    let eight = twin.words().load(twin.ring.geometry().entry_word(2) + entry::OBJECT);
    let place = twin.ring.geometry().arena_word() + (eight >> 35) as usize;
    assert_eq!(twin.words().load(place), u64::from_le_bytes(*b"eight888"));
    let frames: [(&[u8], &[u8]); 8] = [
        (b"", b"aaaaaaa"),
        (b"aaaaaaa", b""),
        (b"\xc1", b"aaaaaa"),
        (b"\xe0", b"\x80aaaaa"),
        (b"\xed", b"\xbfaaaaa"),
        (b"\xf0", b"\x80\x80aaaa"),
        (b"\xf4", b"\xbf\xbfaaaa"),
        (b"aaaa\xf0\x90\x80", b""),
    ];
    for (before, after) in frames {
        for byte in 0..=u8::MAX {
            let bytes = [before, &[byte], after].concat().try_into().expect("8 bytes");
            twin.words().store(place, u64::from_le_bytes(bytes));
            fs::write(&path, bytes_of(twin.words())).expect("written");
            assert_eq!(client.open(&path), "open");
            let said = client.ask("directory");
            let expected = directory(&Reader::open(&path).expect("it opens"));
            assert_eq!(said, expected, "{bytes:x?}");
        }
    }
    client.end();
}

/// The program that the documentation shows.
#[test]
fn example_prints_a_line_for_each_record() {
    if !cc::has_cc("the example in C") {
        return;
    }
    let program = cc::program("clients/c/tacho_watch.c", "tacho_watch", true);
    let dir = ShmDir::new();
    let mut schema = tachograph::record::Schema::new();
    let load = schema.add("host", "load1").expect("room");
    schema.add(&nic(0), "receive_bytes").expect("room");
    let (mut writer, _) = support::start(&dir, 8, &mut schema);
    let watch = Command::new(program)
        .args([dir.ring().as_os_str(), "2".as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("what was compiled can be started");
    let mut record = support::record(1, 2);
    record.words_mut()[load] = tachograph::record::word_of_f64(0.25);
    // It may begin to look at any of these.
    let mut watch = Some(watch);
    let said = thread::scope(|scope| {
        let mut watch = watch.take().expect("started above");
        let ended = scope.spawn(move || {
            let mut text = String::new();
            let mut stdout = watch.stdout.take().expect("piped");
            std::io::Read::read_to_string(&mut stdout, &mut text).expect("UTF-8");
            assert!(watch.wait().expect("it is our child").success(), "{text}");
            text
        });
        while !ended.is_finished() {
            record.header.boottime_ns = tachograph::ring::boottime_ns();
            writer.publish(&mut record);
            writer.wake();
            thread::sleep(Duration::from_millis(5));
        }
        ended.join().expect("it prints")
    });
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.contains("0.25")), "{said}");
}

/// The writer publishes at full speed, needs a larger ring now and then, dies and comes back; the
/// reader is there before the ring is, and is stopped for a while.
#[test]
fn follower_in_another_process_never_sees_a_torn_record() {
    const SECONDS: u64 = 3;
    if !cc::has_cc("the follower in C") {
        return;
    }
    let program = cc::program("tests/stress/reader.c", "stress_reader", false);
    let dir = ShmDir::new();
    let mut follower = Command::new(program)
        .args([dir.ring().as_os_str(), SECONDS.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("what was compiled can be started");
    let pid = rustix::process::Pid::from_child(&follower);
    let signal = |signal| {
        // It may have ended already on a machine that is busy with other things.
        let _ = rustix::process::kill_process(pid, signal);
    };
    let begin = Instant::now();
    let (mut turns, mut rollovers) = (0, 0);
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        thread::sleep(Duration::from_millis(20));
        turns += 1;
        let mut schema = tachograph::record::Schema::new();
        // One that is as wide as before goes on in the same file, a wider one needs another.
        let (mut writer, _) = support::start(&dir, 64, &mut schema);
        for column in schema.len()..40 {
            schema.add(&nic(column), "receive_bytes").expect("room");
        }
        writer.sync(&mut schema).expect("there is room");
        let life = Instant::now();
        let mut record = Record::new(schema.width());
        while life.elapsed() < Duration::from_millis(200) {
            let seq = writer.head() + 1;
            if seq.is_multiple_of(20_000) && schema.width() < 1000 {
                for column in schema.width()..schema.width() + 50 {
                    schema.add(&nic(column), "receive_bytes").expect("room");
                }
                writer.sync(&mut schema).expect("there is room");
                record.set_columns(schema.width());
            }
            support::fill(&mut record, seq);
            record.header.boottime_ns = tachograph::ring::boottime_ns();
            writer.publish(&mut record);
            if seq.is_multiple_of(16) {
                writer.wake();
            }
            // In bursts, between which the reader comes up.
            if seq.is_multiple_of(512) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        rollovers += writer.rollovers();
        if turns % 3 == 0 {
            signal(rustix::process::Signal::STOP);
            for _ in 0..200 {
                support::fill(&mut record, writer.head() + 1);
                writer.publish(&mut record);
            }
            signal(rustix::process::Signal::CONT);
        }
    }
    let mut said = String::new();
    let mut stdout = follower.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut stdout, &mut said).expect("UTF-8");
    let status = follower.wait().expect("it is our child");
    eprintln!("{turns} writers, {rollovers} roll-overs: {}", said.trim());
    assert!(status.success(), "{status}: {said}");
    let words: Vec<_> = said.split_whitespace().collect();
    let names: Vec<_> = words.iter().step_by(2).copied().collect();
    assert_eq!(names, ["reads", "overruns", "gaps", "torn", "reopened"]);
    assert_eq!(words[7], "0", "torn");
}
