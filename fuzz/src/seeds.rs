//! Where the fuzzer begins: small inputs that mean something.

use std::fs;
use std::path::Path;

use tachograph::ring::layout::{entry, header, record};
use tachograph::ring::{Geometry, Words as _, WordsMut as _, heap_words};

use super::ring_examine::Asked;
use super::ring_file::{self, Shape};
use super::ring_op::{Op, Part};
use super::ring_recover::Task;
use super::ring_sound::Sound;
use super::{proc_parsers, ring_header, ring_mutating};

/// Most bytes of a kernel file in a seed.
const TEXT_BYTES_MAX: usize = 2048;

/// The seeds of `target`, by name. `hosts` is the directory of captured `/proc` trees.
pub fn of(target: &str, hosts: &Path) -> Vec<(String, Vec<u8>)> {
    match target {
        "ring_header" => headers(),
        "ring_directory" => directories(),
        "ring_record" => records(),
        "ring_scan" => rings(),
        "ring_mutating" => changing_rings(),
        "ring_ops" => operations(),
        "ring_recover" => left_rings(),
        "proc_parsers" => texts(hosts),
        "textfile" => expositions(),
        "http_query" => requests(),
        "rights" => principals(),
        "config" => configurations(),
        _ => Vec::new(),
    }
}

const INTERVAL_NS: u64 = 1_000_000_000;

/// Rings of several shapes, and how many records were published in each.
fn shapes() -> [(&'static str, Shape, u64); 5] {
    let shape = |slots, columns, entries, arena_words, padding| Shape {
        slots,
        columns,
        entries,
        arena_words,
        padding,
        interval_ns: INTERVAL_NS,
    };
    [
        ("empty", shape(1, 1, 1, 3, 0), 0),
        ("one-record", shape(0, 0, 0, 0, 0), 1),
        ("filling", shape(2, 1, 1, 3, 0), 5),
        ("wrapped", shape(2, 2, 2, 4, 0), 21),
        ("newer-layout", shape(3, 1, 1, 3, 35), 40),
    ]
}

fn asked(records: u64) -> Asked {
    Asked {
        after_ns: records / 2 * INTERVAL_NS,
        up_to_ns: records * INTERVAL_NS,
        step_ns: 3 * INTERVAL_NS,
        first: records / 2,
        last: records,
    }
}

fn headers() -> Vec<(String, Vec<u8>)> {
    let right = ring_header::MAGIC | ring_header::CHECKSUM | ring_header::LENGTH;
    let mut seeds = Vec::new();
    for (name, shape, _) in shapes() {
        let header = shape.header();
        let words = heap_words(header.geometry.file_words());
        header.encode(&words);
        for (kind, made_right, len) in
            [("as-it-is", 0, words.len()), ("made-right", right, 0), ("cut", 0, words.len() - 1)]
        {
            let mut seed = vec![made_right];
            seed.extend((len as u64).to_le_bytes());
            seed.extend((0..32).flat_map(|index| words.load(index).to_le_bytes()));
            seeds.push((format!("{name}-{kind}"), seed));
        }
    }
    // Parts that lie in one another or outside, in a header that is otherwise right.
    let header = shapes()[2].1.header();
    let words = heap_words(header.geometry.file_words());
    for (name, field, value) in [
        ("arena-in-directory", header::ARENA_OFFSET, header.geometry.directory_offset + 64),
        ("slots-in-arena", header::SLOTS_OFFSET, header.geometry.slots_offset - 64),
        ("directory-in-header", header::DIRECTORY_OFFSET, 256),
        ("slots-behind-the-end", header::SLOT_BYTES, header.geometry.slot_bytes + 64),
        ("many-entries", header::ENTRY_CAPACITY, 1 << 20),
    ] {
        header.encode(&words);
        words.store(field, value);
        let mut seed = vec![right];
        seed.extend([0; 8]);
        seed.extend((0..32).flat_map(|index| words.load(index).to_le_bytes()));
        seeds.push((name.to_owned(), seed));
    }
    seeds
}

fn rings() -> Vec<(String, Vec<u8>)> {
    let seed = |(name, shape, records): (&str, Shape, u64)| {
        let mut seed = Vec::new();
        asked(records).put(&mut seed);
        ring_file::put(&shape, &Sound::new(shape, records).to_words(), &mut seed);
        (name.to_owned(), seed)
    };
    let mut seeds: Vec<_> = shapes().into_iter().map(seed).collect();
    for (name, damage) in DAMAGES {
        let (_, shape, records) = shapes()[3];
        let mut words = Sound::new(shape, records).to_words();
        damage(&mut words, &shape.header().geometry);
        let mut seed = Vec::new();
        asked(records).put(&mut seed);
        ring_file::put(&shape, &words, &mut seed);
        seeds.push((format!("wrapped-{name}"), seed));
    }
    seeds
}

/// A ring as an input has it, with something between its shape and its words.
fn ring_with(shape: &Shape, between: &[u8], words: &[u64]) -> Vec<u8> {
    let (mut shape_bytes, mut ring) = (Vec::new(), Vec::new());
    shape.put(&mut shape_bytes);
    ring_file::put(shape, words, &mut ring);
    [&shape_bytes, between, &ring[shape_bytes.len()..]].concat()
}

fn directories() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, shape, records) in shapes() {
        let words = Sound::new(shape, records).to_words();
        let entry = shape.header().geometry.entry_word(0);
        let entry = &words[entry..=entry + entry::LAST];
        let begins: Vec<u8> =
            [0].into_iter().chain(entry.iter().flat_map(|word| word.to_le_bytes())).collect();
        let ends = |which: u8, last: u64| [&[1, which][..], &last.to_le_bytes()].concat();
        let mended =
            |at: u16, word: u64| [&[2][..], &at.to_le_bytes(), &word.to_le_bytes()].concat();
        let hostile = [&[3, 1, 0][..], &u64::MAX.to_le_bytes(), &[9; 8]].concat();
        for (kind, changes) in [
            ("still", Vec::new()),
            ("begins", [&begins[..], &begins].concat()),
            ("ends", [ends(0, records), begins.clone(), ends(1, 0)].concat()),
            ("mended", [mended(5, 3), begins.clone(), mended(8, 1 << 40)].concat()),
            ("hostile", [hostile, begins.clone(), ends(0, 1)].concat()),
        ] {
            let seed = [ring_with(&shape, &[], &words), changes].concat();
            seeds.push((format!("{name}-{kind}"), seed));
        }
    }
    seeds
}

fn records() -> Vec<(String, Vec<u8>)> {
    let between = |records: u64, first_seq: u8| {
        let asked = [records / 2, records + 1].map(u64::to_le_bytes);
        [&asked.concat()[..], &[first_seq]].concat()
    };
    let mut seeds = Vec::new();
    for (name, shape, records) in shapes() {
        let words = Sound::new(shape, records).to_words();
        for (kind, first_seq) in [("whole", 0), ("not-all-taken-over", records as u8)] {
            let seed = ring_with(&shape, &between(records, first_seq), &words);
            seeds.push((format!("{name}-{kind}"), seed));
        }
    }
    for (name, damage) in DAMAGES {
        let (_, shape, records) = shapes()[3];
        let mut words = Sound::new(shape, records).to_words();
        damage(&mut words, &shape.header().geometry);
        seeds.push((format!("wrapped-{name}"), ring_with(&shape, &between(records, 0), &words)));
    }
    seeds
}

/// Files of settings: the defaults, the one that people are shown, and mistakes.
fn principals() -> Vec<(String, Vec<u8>)> {
    const USERS: &str = "[[user]]\nid = \"a@pbs\"\n[[token]]\nid = \"a@pbs!t\"\n\
                         created = \"2026-11-23T00:00:00Z\"\nexpire = \"2027-11-23T00:00:00Z\"\n";
    let secrets = format!(
        "[[secret]]\nid = \"a@pbs!t\"\ndigest = \"sha256:{}:{}\"\n",
        "0".repeat(32),
        "0".repeat(64)
    );
    let acl = |path: &str, id: &str, role: &str| {
        format!("[[acl]]\npath = \"{path}\"\nid = \"{id}\"\nrole = \"{role}\"\n")
    };
    let roles = [
        acl("/", "a@pbs!t", "Audit"),
        acl("/datastore/x", "a@pbs", "DatastoreAudit"),
        acl("/system/status", "anonymous@local", "Audit") + "propagate = false\n",
        acl("/application/shop", "a@pbs", "NoAccess"),
    ];
    let files = |acl: &str| [USERS, &secrets, acl].join("\x1e");
    [
        ("pbs", "PBSAPIToken=a@pbs!t:s%25".to_owned()),
        ("pve", "PVEAPIToken=a@pam!t=s".to_owned()),
        ("bearer", "Bearer a@pbs!t:s".to_owned()),
        ("basic", "Basic YUBwYnMhdDpz".to_owned()),
        ("files", files(&roles.concat())),
        ("unknown-role", files(&acl("/", "a@pbs", "Root"))),
        ("unknown-path", files(&acl("/etc", "a@pbs", "Audit"))),
        ("twice", files(&acl("/", "a@pbs", "Audit").repeat(2))),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into()
}

fn configurations() -> Vec<(String, Vec<u8>)> {
    let readme = include_str!("../../README.md");
    let example = readme.split("```").find_map(|block| block.strip_prefix("toml\nrun_dir"));
    let example = format!("run_dir{}", example.expect("the settings in README.md"));
    [
        ("empty", ""),
        ("example", &example),
        ("unknown-key", "intervall = \"1s\"\n"),
        ("wrong-type", "[http]\nlisten = 3\n"),
        ("not-toml", "interval = \n[[[\n"),
        ("bounds", "interval = \"61s\"\ndepth = \"0s\"\n[http]\nconnections_max = 0\n"),
        ("twice", "[[datastore]]\nname = \"a\"\npath = \"/a\"\n[[datastore]]\nname = \"a\"\npath = \"/b\"\n"),
        ("sources", "[sources]\nvmstat = 0\nmeminfo = 4294967295\nnix = 1\n"),
        ("lane", "[[lane]]\nname = \"x\"\ninterval = \"1ms\"\nsources = [\"stat\"]\npolicy = \"fifo:99\"\n"),
        ("characters", "log = \"a\\u0007\u{e9}\"\nrun_dir = \"/\\t\"\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

type Damage = fn(&mut [u64], &Geometry);

/// What can be wrong with a ring of eight slots in which the records 14 to 21 are.
const DAMAGES: [(&str, Damage); 9] = [
    ("head-beyond-all", |words, _| words[header::HEAD] = u64::MAX),
    ("head-behind", |words, _| words[header::HEAD] = 15),
    ("head-ahead", |words, _| words[header::HEAD] = 24),
    ("head-gone", |words, _| words[header::HEAD] = 0),
    ("slot-of-another", |words, geometry| words[geometry.slot_word(17)] = 2 * 18),
    ("slots-emptied", |words, geometry| {
        for seq in [15, 18, 21] {
            words[geometry.slot_word(seq)] = 0;
        }
    }),
    ("too-many-columns", |words, geometry| {
        words[geometry.slot_word(17) + record::COLUMNS] = u64::MAX;
    }),
    ("runs-from-the-future", |words, geometry| {
        for seq in 14..=21 {
            words[geometry.slot_word(seq) + record::RUN_FIRST] = seq + 3;
        }
    }),
    ("clock-set-back", |words, geometry| {
        for seq in 18..=21 {
            let slot = geometry.slot_word(seq);
            words[slot + record::REALTIME_NS] -= 5 * INTERVAL_NS;
            words[slot + record::RUN_FIRST] = 18;
        }
    }),
];

fn changing_rings() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, shape, records) in shapes() {
        // The header may be hostile from the start; a shape and the ring follow, then the tape.
        for header_too in [0, 1] {
            let mut seed = vec![ring_mutating::HOSTILE];
            asked(records).put(&mut seed);
            seed.extend(ring_with(&shape, &[header_too], &Sound::new(shape, records).to_words()));
            seed.extend([0; 40]);
            seed.extend([228, 0, 0, 235, 0, 0, 0, 240, 0, 0, 0, 0, 242, 0, 0, 249, 1, 0, 0]);
            let kind = if header_too == 1 { "-header-too" } else { "" };
            seeds.push((format!("hostile-{name}{kind}"), seed));
        }
        for (pace, tape) in [
            ("idle", &[0][..]),
            ("steady", &[224, 0, 0]),
            ("racing", &[226, 0, 230, 0, 0, 255]),
            ("bursts", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 250]),
        ] {
            let mut seed = vec![ring_mutating::WRITER];
            asked(records).put(&mut seed);
            shape.put(&mut seed);
            seed.push(records as u8);
            seed.extend(tape);
            seeds.push((format!("writer-{name}-{pace}"), seed));
        }
    }
    seeds
}

fn left_rings() -> Vec<(String, Vec<u8>)> {
    let seed = |task: &Task, shape: &Shape, words: &[u64]| {
        let mut seed = Vec::new();
        task.put(&mut seed);
        ring_file::put(shape, words, &mut seed);
        seed
    };
    let same =
        Task { other_boot: false, newer: false, slots: 0, added: 1, records: 5, closes: true };
    let mut seeds = Vec::new();
    for (name, shape, records) in shapes() {
        let words = Sound::new(shape, records).to_words();
        let same = Task { slots: shape.slots, ..same };
        for (kind, task) in [
            ("same", same),
            ("deeper", Task { slots: 4, closes: false, ..same }),
            ("wider", Task { added: 9, records: 20, ..same }),
            ("newer", Task { newer: true, ..same }),
            ("other-boot", Task { other_boot: true, ..same }),
        ] {
            seeds.push((format!("{name}-{kind}"), seed(&task, &shape, &words)));
        }
    }
    let (_, shape, records) = shapes()[3];
    for (name, damage) in DAMAGES {
        let mut words = Sound::new(shape, records).to_words();
        damage(&mut words, &shape.header().geometry);
        let task = Task { slots: shape.slots, ..same };
        seeds.push((format!("wrapped-{name}"), seed(&task, &shape, &words)));
    }
    seeds
}

fn operations() -> Vec<(String, Vec<u8>)> {
    use Op::{
        Add, Again, Close, CrashInPublish, CrashInReplacement, CrashInStart, CrashInSync, End, Flip,
    };
    use Op::{Kill, Publish, Replace, Resize, RollOver, Start, Truncate};
    let stories: [(&str, &[Op]); 13] = [
        ("steady", &[Publish(12, false), Add(3), Publish(7, false), End(0), Publish(2, true)]),
        ("churn", &[Add(5), Publish(3, false), Replace(2), Again(1), Publish(3, false), Start]),
        ("roll-over", &[Publish(9, false), RollOver, Publish(3, false), Close, Start]),
        ("resize", &[Publish(11, false), Resize(2, false, 0), Publish(3, false)]),
        ("widen", &[Publish(5, false), Resize(4, true, 45), Publish(30, false), Kill, Start]),
        (
            "crash-in-publish",
            &[
                Publish(9, false),
                CrashInPublish(0),
                CrashInPublish(1),
                CrashInPublish(4),
                CrashInPublish(9),
                CrashInPublish(10),
                CrashInPublish(11),
                Publish(1, false),
            ],
        ),
        (
            "crash-in-sync",
            &[
                Add(4),
                Publish(3, false),
                CrashInSync(0, 2, 1),
                CrashInSync(1, 2, 5),
                CrashInSync(2, 1, 10),
                Publish(2, false),
                CrashInSync(0, 0, 2),
            ],
        ),
        (
            "crash-in-start",
            &[
                Publish(9, false),
                CrashInPublish(10),
                CrashInStart(0),
                CrashInStart(1),
                CrashInStart(3),
                CrashInSync(0, 1, 3),
                CrashInStart(2),
                Publish(1, false),
            ],
        ),
        (
            "crash-in-replacement",
            &[Publish(9, false), CrashInReplacement(false), CrashInReplacement(true), Start],
        ),
        // Twice, because the first writer to come told the second of no such record.
        (
            "newest-slot-damaged",
            &[Publish(5, false), Flip(Part::State, 5, 0), Start, Start, Publish(1, false)],
        ),
        // One bit makes the newest record that of a turn before.
        (
            "newest-slot-a-turn-back",
            &[Publish(12, false), Publish(1, false), Flip(Part::State, 13, 4), Publish(1, false)],
        ),
        (
            "flips",
            &[
                Add(4),
                Publish(12, false),
                Flip(Part::Published, 0, 1),
                Start,
                Flip(Part::Entry, 1, 64 * 3),
                Flip(Part::Arena, 2, 7),
                Flip(Part::Header, 6, 64 * 5 + 2),
                Flip(Part::Payload, 4, 9),
                Publish(2, false),
                Flip(Part::Lifecycle, 4, 3),
                Publish(2, false),
                Flip(Part::Immutable, 10, 0),
                Publish(2, false),
            ],
        ),
        (
            "cut",
            &[
                Publish(9, false),
                Truncate(60000, false),
                Publish(4, false),
                Truncate(65000, true),
                Publish(3, false),
                Truncate(0, false),
                Start,
            ],
        ),
    ];
    let seed = |(name, ops): (&str, &[Op])| {
        (name.to_owned(), ops.iter().flat_map(|op| op.bytes()).collect())
    };
    stories.map(seed).into()
}

fn texts(hosts: &Path) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let names = ["vm-2cpu-6.18", "arm-64cpu-6.6", "old-2cpu-2.6.32", "container-overlay"];
    for host in names {
        for (selector, file) in proc_parsers::FILES.into_iter().enumerate() {
            let path = match file {
                "pressure" => "proc/pressure/io".to_owned(),
                "block" => "sys/dev/block/254:0/stat".to_owned(),
                "cpu.stat" if host.starts_with("vm") => "sys/fs/cgroup/unified/cpu.stat".to_owned(),
                "cpu.stat" => "sys/fs/cgroup/cpu.stat".to_owned(),
                "cpuacct.usage_all" => format!("sys/fs/cgroup/cpuacct/{file}"),
                "node/online" | "node0/meminfo" | "node0/numastat" => {
                    format!("sys/devices/system/{}", file.replacen("node0", "node/node0", 1))
                }
                file => format!("proc/{file}"),
            };
            let Ok(text) = fs::read(hosts.join(host).join(path)) else { continue };
            let text = text.get(..TEXT_BYTES_MAX).unwrap_or(&text);
            seeds.push((format!("{}-{host}", file.replace('/', "-")), text_seed(selector, text)));
        }
    }
    for (name, text) in ZFS {
        let selector = proc_parsers::FILES.iter().position(|file| name.starts_with(file));
        let seed = text_seed(selector.expect("a file"), text.as_bytes());
        seeds.push((name.to_owned(), seed));
    }
    for (file, text) in CGROUP_TEXTS {
        let selector = proc_parsers::FILES.iter().position(|known| *known == file);
        let seed = text_seed(selector.expect("one of the files"), text.as_bytes());
        seeds.push((file.replace('/', "-"), seed));
    }
    seeds
}

fn text_seed(selector: usize, text: &[u8]) -> Vec<u8> {
    let mut seed = vec![selector as u8];
    seed.extend((text.len() as u16 / 2).to_le_bytes());
    seed.extend(text);
    seed
}

/// No captured host has ZFS.
const ZFS: [(&str, &str); 4] = [
    (
        "zfs-objset",
        "36 1 0x01 7 2160 5214787391 73405258558961\n\
         name                            type data\n\
         dataset_name                    7    tank/my store\n\
         writes                          4    409570\n\
         nwritten                        4    2063419969\n\
         reads                           4    22108699\n\
         nread                           4    63067280992\n\
         nunlinks                        4    13849\n\
         nunlinked                       4    13848\n",
    ),
    (
        "zfs-objset-newer",
        "38 1 0x01 9 2704 36063817597 312994588276363\n\
         name                            type data\n\
         dataset_name                    7    rpool/ROOT/pve-1\n\
         zil_commit_count                4    14721339\n\
         nwritten                        4    4096\n\
         nread                           4    8192\n\
         writes                          4    1\n\
         reads                           4    2\n\
         nunlinks                        4    0\n\
         nunlinked                       4    0\n\
         zil_itx_count                   4    11158442\n",
    ),
    (
        "zfs-io",
        "25 3 0x00 1 80 21130673591 18749909907907817\n\
         nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  wcnt     rcnt    \n\
         38244616748032 9368704463360 440454478 103422825 193312306236072 555451635445109428 18749777788906500 366823432061758 3374994633964914 18749778029955847 0        0       \n",
    ),
    ("zfs-state", "DEGRADED\n"),
];

fn expositions() -> Vec<(String, Vec<u8>)> {
    [
        ("empty", ""),
        ("plain", "a 1\nb:c_9 -2.5e-3\n"),
        ("typed", "# HELP a b \\\\ c\n# TYPE a counter\na{x=\"1\",y=\"2\"} 17\na{y=\"3\"} 4\n"),
        ("blanks", " # TYPE\ta gauge\n\t a { x = \"1\" , } \t1 \n\n"),
        ("escapes", "a{x=\"\\\"} 1 \\\\ \\n {\"} 1\n"),
        ("letters", "a{x=\"\u{fc}\u{20ac}\",y=\"\"} 1\n"),
        ("histogram", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"),
        ("summary", "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 1\n"),
        ("not-finite", "a NaN\nb +Inf\nc -Inf\nd 1e999\n"),
        ("with-time", "a 1 1795000000000\n"),
        ("twice", "a{x=\"1\"} 1\na{x=\"1\",y=\"\"} 2\n"),
        ("type-too-late", "a 1\n# TYPE a counter\n"),
        ("quoted-name", "{\"a.b\"} 1\n"),
        ("no-end", "a 1\nb 2"),
        ("odd", "a{x=\"\u{1b}[2J\"} 1\nmtime_seconds 2\n"),
    ]
    .map(|(name, text)| {
        let mut seed = (text.len() as u16 / 2).to_le_bytes().to_vec();
        seed.extend(text.as_bytes());
        (name.to_owned(), seed)
    })
    .into()
}

/// What the files of a control group say.
const CGROUP_TEXTS: [(&str, &str); 5] = [
    (
        "cgroup/cpu.stat",
        "usage_usec 415563\nuser_usec 241000\nsystem_usec 174563\nnice_usec 0\n\
         core_sched.force_idle_usec 0\nnr_periods 12\nnr_throttled 3\nthrottled_usec 70112\n",
    ),
    ("cgroup/memory.max", "max\n"),
    (
        "cgroup/io.stat",
        "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
         253:1 8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=0 dios=0\n",
    ),
    (
        "cgroup/blkio.throttle.io_serviced",
        "8:16 Read 192\n8:16 Write 353\n8:16 Sync 353\n8:16 Async 192\n8:16 Discard 0\n\
         8:16 Total 545\nTotal 545\n",
    ),
    (
        "cgroup/io.pressure",
        "some avg10=0.00 avg60=0.13 avg300=0.56 total=7903185\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
];

fn requests() -> Vec<(String, Vec<u8>)> {
    [
        ("query", "history=1&start-time=1729000000"),
        ("query-encoded", "%68istory=tr%75e&start%2Dtime=%2D7&_dc=1&_dc=2"),
        ("query-refused", "history=maybe&start-time=+5&limit=3&limit=4&history=0"),
        ("query-window", "from=-5min&to=now&step=10s&agg=avg,p99&match=nic%2F*&format=columns"),
        (
            "query-window-next",
            "limit=9&next=000000000000002a0000000000000007.47.3.1795367200000000000.1795367500000000000",
        ),
        ("query-separators", "&&=&a==b&=c&history&%zz=%&"),
        ("json", r#"{"history":true,"start-time":-1}"#),
        ("json-refused", r#"{"history":[1e400,null],"start-time":1.5,"x":{"y":"\ud800"}}"#),
        ("path-metrics", "/api2/json/status/metrics"),
        ("path-doubled", "//api2//extjs/status/metrics/"),
        ("path-unknown", "/api2/text/../json/version/a/b"),
        ("path-health", "/healthz"),
        ("header-accept", r#"application/openmetrics-text;version=1.0.0;q=0.6,text/plain;v="a,b";q=0.55,*/*;q=0.1"#),
        ("header-encoding", "gzip;q=1.0, identity; q=0.5, *;q=0, zstd;q=2"),
        ("header-host", "shop.example.org.:8017"),
        ("header-host-address", "[fe80::1%25eth0]:8017"),
        ("header-tags", r#"W/"0badc0de-1.7.2-latest-all-gzip", "", "x" y"#),
        ("header-timeout", "2.500000"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}
