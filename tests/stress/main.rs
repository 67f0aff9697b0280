//! One ring, many processes: readers in Rust, C and Python, and a writer that is killed again and
//! again.
//!
//! `cargo test --release --test stress -- --seconds 600` runs for ten minutes; without the flag it
//! takes a few seconds. Half of the time the writer publishes at full speed and half of it at 1 kHz.
//! Meanwhile it is killed with SIGKILL at random moments and started again, each reader is stopped
//! with SIGSTOP for as long as the ring takes to go round many times and continued, and the ring is
//! replaced underneath: by the writer when it has no room for more series, and by the next writer
//! when it is to have another number of slots.
//!
//! Every word of a record is a function of its sequence and its column, so a torn record shows
//! itself to whoever was given it. Each reader tells at its end how many records it read, how many
//! sequences were overwritten before it came to them, how many were lost, and how many records were
//! torn, which must be none.
#![allow(clippy::print_stdout, reason = "a test program without the harness that would do it")]

mod parts;
#[path = "../support/mod.rs"]
mod support;

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, thread};

use parts::{Pace, SLOTS_BITS};
use rustix::process::{Pid, Signal, kill_process};
use support::ShmDir;
use tachograph::ring::{Liveness, Reader, Words as _, audit};

/// How long it takes unless the flag says otherwise.
const SECONDS_DEFAULT: u64 = 8;
/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that a writer lives, and that a reader is stopped.
const WRITER_LIVES_MAX: Duration = Duration::from_millis(1500);
const STOPPED_MAX: Duration = Duration::from_millis(300);

fn main() {
    let asked = Asked::of(env::args().skip(1));
    if let Some(part) = &asked.part {
        return parts::play(part);
    }
    // `cargo test FILTER` and `--list` come to every test program.
    if !asked.is_wanted {
        return;
    }
    let readers = readers();
    let mut chance = Chance(asked.seed);
    println!("stress for {} s, --seed {}", asked.seconds, asked.seed);
    let half = Duration::from_secs(asked.seconds) / 2;
    let mut failed = false;
    for pace in [Pace::Full, Pace::Kilohertz] {
        let report = Round { pace, lasts: half, readers: &readers }.run(&mut chance);
        print!("{report}");
        failed |= !report.holds();
    }
    println!("stress: {}", if failed { "FAILED" } else { "ok" });
    exit(i32::from(failed));
}

/// What the command line says.
struct Asked {
    seconds: u64,
    seed: u64,
    part: Option<Vec<String>>,
    is_wanted: bool,
}

impl Asked {
    /// Flags of the standard test harness are let by: `cargo test` gives the same to all programs.
    fn of(args: impl Iterator<Item = String>) -> Self {
        let seed = u64::from(std::process::id()) << 20 | 1;
        let mut asked = Self { seconds: SECONDS_DEFAULT, seed, part: None, is_wanted: true };
        let mut args = args;
        let number = |text: Option<String>, flag: &str| {
            let number = text.as_deref().and_then(|text| text.parse().ok());
            number.unwrap_or_else(|| {
                eprintln!("{flag} wants a number");
                exit(2)
            })
        };
        while let Some(arg) = args.next() {
            match &*arg {
                "--part" => {
                    asked.part = Some(args.collect());
                    break;
                }
                "--seconds" => asked.seconds = number(args.next(), "--seconds"),
                "--seed" => asked.seed = number(args.next(), "--seed"),
                "--list" | "--ignored" => asked.is_wanted = false,
                "--skip" => asked.is_wanted &= args.next().is_none_or(|name| name != "stress"),
                "--format" | "--color" | "--test-threads" | "--logfile" | "-Z" => {
                    args.next();
                }
                filter if !filter.starts_with('-') => asked.is_wanted &= "stress".contains(filter),
                _ => {}
            }
        }
        asked
    }
}

/// Numbers that look random and come again with the same seed (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as u64))
    }
}

/// A reader's program.
struct Program {
    name: &'static str,
    command: Vec<String>,
}

impl Program {
    /// Starts it: it reads the ring for so long and then tells what it saw.
    fn start(&self, ring: &Path, lasts: Duration) -> Process {
        let (program, args) = self.command.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(args).arg(ring).arg(lasts.as_secs_f64().to_string());
        Process(command.stdout(Stdio::piped()).spawn().expect("the reader can be started"))
    }
}

/// The readers that there can be on this machine.
fn readers() -> Vec<Program> {
    let own = env::current_exe().expect("this file").to_string_lossy().into_owned();
    let part = |name, part: &str| Program {
        name,
        command: [&own, "--part", part].map(str::to_owned).to_vec(),
    };
    let mut readers = vec![part("rust, copies", "copy"), part("rust, windows", "view")];
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    match c_reader(package) {
        Some(path) => readers.push(Program { name: "c", command: vec![path] }),
        None => println!("LEFT OUT: there is no C compiler `cc`, so no reader in C"),
    }
    if Command::new("python3").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        let script = package.join("tests/stress/reader.py").to_string_lossy().into_owned();
        let command = vec!["python3".to_owned(), script];
        readers.push(Program { name: "python", command });
    } else {
        println!("LEFT OUT: there is no `python3`, so no reader in Python");
    }
    readers
}

/// Builds the reader in C; `None` where there is no compiler.
fn c_reader(package: &Path) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stress-reader");
    let unfinished = path.with_extension(std::process::id().to_string());
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"]);
    compiler.arg(package.join("clients/c")).arg("-o").arg(&unfinished);
    let status = compiler.arg(package.join("tests/stress/reader.c")).status().ok()?;
    assert!(status.success(), "the reader in C does not compile");
    fs::rename(&unfinished, &path).expect("what was compiled can be renamed");
    Some(path.to_string_lossy().into_owned())
}

/// A process of ours, killed and waited for through its own handle.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        // It may have ended in order meanwhile; it has not been waited for, so the pid is its own.
        let _ = kill_process(pid, signal);
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_some()
    }

    /// Kills a writer, which has not ended by itself.
    fn kill(mut self) {
        self.0.kill().expect("it has not been waited for");
        let status = self.0.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(9), "the writer ended by itself: {status}");
    }

    /// What it wrote before it ended, and whether it ended well.
    fn output(mut self) -> (String, bool) {
        self.signal(Signal::CONT);
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).expect("UTF-8");
        let status = self.0.wait().expect("it is our child");
        (text, status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One writer's pace, and the readers meanwhile.
struct Round<'a> {
    pace: Pace,
    lasts: Duration,
    readers: &'a [Program],
}

impl Round<'_> {
    fn run(&self, chance: &mut Chance) -> Report {
        let dir = ShmDir::new();
        let mut report = Report::of(self.pace);
        let mut readers: Vec<_> =
            self.readers.iter().map(|program| program.start(&dir.ring(), self.lasts)).collect();
        let begin = Instant::now();
        while !readers.iter_mut().all(Process::has_ended) {
            assert!(begin.elapsed() < self.lasts + PATIENCE, "the readers do not end");
            self.one_writer(&dir, &readers, chance, &mut report);
        }
        for (program, process) in self.readers.iter().zip(readers) {
            report.rows.push(Row::of(program.name, process.output()));
        }
        report
    }

    /// A writer's life, with readers that are stopped and continued in the course of it.
    fn one_writer(
        &self,
        dir: &ShmDir,
        readers: &[Process],
        chance: &mut Chance,
        report: &mut Report,
    ) {
        let slots = SLOTS_BITS.start + chance.below(SLOTS_BITS.end - SLOTS_BITS.start);
        let before = Reader::open(&dir.ring()).ok();
        let head = before.as_ref().map_or(0, |reader| audit(reader.ring()).found_head);
        let writer = parts::start_writer(dir.path(), self.pace, slots, chance.below(u64::MAX));
        let writer = Process(writer);
        // It has to have come: a writer that is killed before it begins tests nothing.
        let reader = first_record(dir, head);
        let dies = Instant::now() + chance.up_to(WRITER_LIVES_MAX);
        while Instant::now() < dies {
            let reader = &readers[chance.below(readers.len() as u64) as usize];
            reader.signal(Signal::STOP);
            thread::sleep(chance.up_to(STOPPED_MAX).min(dies - Instant::now().min(dies)));
            reader.signal(Signal::CONT);
            report.stops += 1;
            thread::sleep(chance.up_to(STOPPED_MAX).min(dies - Instant::now().min(dies)));
        }
        writer.kill();
        report.kills += 1;
        self.look_at_the_remains(dir, before.or(Some(reader)), head, report);
    }

    /// What a killed writer leaves is whole, and goes on where the one before it had ended.
    fn look_at_the_remains(
        &self,
        dir: &ShmDir,
        before: Option<Reader>,
        head: u64,
        report: &mut Report,
    ) {
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        assert_eq!(reader.liveness(), Liveness::Dead);
        let ring = reader.ring();
        let audit = audit(ring);
        assert!(audit.is_clean(), "{audit:?}");
        assert!(audit.found_head > head, "sequences go on: {audit:?} after {head}");
        report.records += audit.found_head - head;
        let next = ring.words().load(ring.geometry().slot_word(audit.found_head + 1));
        report.in_publish += u64::from(!next.is_multiple_of(2));
        let replaced =
            before.is_some_and(|old| old.ring().header().ring_id != ring.header().ring_id);
        report.replaced += u64::from(replaced);
        for record in support::history(ring) {
            report.torn_remains += u64::from(!support::is_whole(&record));
        }
    }
}

/// A reader of the ring in which there is a record after `head`.
fn first_record(dir: &ShmDir, head: u64) -> Reader {
    let begin = Instant::now();
    loop {
        let opened = Reader::open(&dir.ring());
        let is_there = |reader: &Reader| reader.ring().head() > head;
        match opened {
            Ok(reader) if is_there(&reader) => return reader,
            _ => assert!(begin.elapsed() < PATIENCE, "the writer does not come"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What became of a round.
struct Report {
    pace: Pace,
    records: u64,
    kills: u64,
    in_publish: u64,
    stops: u64,
    replaced: u64,
    torn_remains: u64,
    rows: Vec<Row>,
}

impl Report {
    fn of(pace: Pace) -> Self {
        let rows = Vec::new();
        Self {
            pace,
            records: 0,
            kills: 0,
            in_publish: 0,
            stops: 0,
            replaced: 0,
            torn_remains: 0,
            rows,
        }
    }

    fn holds(&self) -> bool {
        self.torn_remains == 0 && self.kills > 0 && self.rows.iter().all(Row::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pace, records, kills, in_publish, stops, replaced, torn_remains, rows } = self;
        writeln!(
            f,
            "\na writer {pace}: {records} records, {kills} times killed and started again"
        )?;
        writeln!(
            f,
            "  killed in the middle of a publish {in_publish}, torn records left {torn_remains}"
        )?;
        writeln!(
            f,
            "  ring replaced under a new file in {replaced} of these lives, readers stopped {stops}"
        )?;
        writeln!(
            f,
            "  {:<14}{:>12}{:>14}{:>8}{:>6}{:>10}",
            "reader", "reads", "overruns", "gaps", "torn", "reopened"
        )?;
        rows.iter().try_for_each(|row| row.fmt(f))
    }
}

/// What one reader told.
struct Row {
    name: &'static str,
    told: String,
    ended_well: bool,
}

impl Row {
    fn of(name: &'static str, (text, ended_well): (String, bool)) -> Self {
        let told = text.lines().find(|line| line.starts_with("reads ")).unwrap_or_default();
        Self { name, told: told.to_owned(), ended_well }
    }

    fn number(&self, what: &str) -> Option<u64> {
        let mut words = self.told.split_whitespace();
        words.find(|word| *word == what)?;
        words.next()?.parse().ok()
    }

    fn holds(&self) -> bool {
        let is = |what, wanted: fn(u64) -> bool| self.number(what).is_some_and(wanted);
        self.ended_well && is("torn", |torn| torn == 0) && is("reads", |reads| reads > 0)
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = ["reads", "overruns", "gaps", "torn", "reopened"].map(|what| {
            self.number(what).map_or_else(|| "?".to_owned(), |number| number.to_string())
        });
        let [reads, overruns, gaps, torn, reopened] = told;
        write!(f, "  {:<14}{reads:>12}{overruns:>14}{gaps:>8}{torn:>6}{reopened:>10}", self.name)?;
        writeln!(f, "{}", if self.holds() { "" } else { "  FAILED" })
    }
}
