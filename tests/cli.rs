//! The command line: what help says, what is refused and how, and what a closed pipe means.

#[path = "support/program.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use support::{Ended, Place, Program, ask, eventually, tachograph};

const COMMANDS: [&str; 9] =
    ["run", "record", "serve", "snapshot", "tail", "save", "export", "inspect", "check-config"];
const COMMON: &[&str] = &["--config", "--run-dir", "--state-dir", "--ring-dir", "--log", "--help"];
const RECORDING: &[&str] = &[
    "--interval",
    "--depth",
    "--lane",
    "--source",
    "--datastore",
    "--procfs",
    "--sysfs",
    "--rootfs",
];
const SERVING: &[&str] = &[
    "--listen",
    "--insecure-listen",
    "--connections-max",
    "--header-timeout",
    "--idle-timeout",
    "--write-timeout",
    "--access-log",
];

fn words(line: &str) -> Ended {
    ask(line.split_whitespace())
}

/// The flags in a help text: each stands at the beginning of its line.
fn flags(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let long = |line: &str| line.find("--").unwrap_or(0);
    lines.map(|line| line[long(line)..].split([' ', ',']).next().unwrap_or(line)).collect()
}

#[test]
fn help_of_each_command_has_each_of_its_flags_and_fits_a_page() {
    for (command, own) in [
        ("", &[&["--version"][..]][..]),
        ("run", &[RECORDING, SERVING]),
        ("record", &[RECORDING]),
        ("serve", &[SERVING, &["--file"]]),
        ("snapshot", &[&["--lane", "--file", "--json"]]),
        ("tail", &[&["--lane", "--count", "--json"]]),
        ("save", &[&["--lane", "--file", "--from", "--to", "--force"]]),
        ("export", &[&["--from", "--to", "--step", "--match", "--format", "--lane", "--file"]]),
        ("inspect", &[&["--lane", "--directory"]]),
        ("token", &[]),
        ("token add", &[&["--expire", "--comment"]]),
        ("token list", &[]),
        ("acl", &[]),
        ("acl add", &[&["--no-propagate"]]),
        ("acl check", &[]),
        ("check-config", &[RECORDING, SERVING]),
    ] {
        let help = words(&format!("{command} --help"));
        assert_eq!((help.code, &*help.err), (Some(0), ""), "{help:?}");
        assert_eq!(words(&format!("{command} -h")).out, help.out);
        let mut expected: Vec<_> = own.iter().copied().flatten().copied().collect();
        expected.extend(COMMON);
        expected.sort_unstable();
        let mut found = flags(&help.out);
        found.sort_unstable();
        assert_eq!(found, expected, "{command}: {}", help.out);
        for line in help.out.lines() {
            assert!(line.chars().count() <= 100, "{command}: {line}");
        }
    }
}

#[test]
fn top_help_names_every_command_and_gives_examples() {
    let help = words("--help").out;
    for command in COMMANDS {
        let begin = format!("  {command} ");
        assert!(help.lines().any(|line| line.starts_with(&begin)), "{command}: {help}");
    }
    assert!(help.contains("\nExamples:\n") && help.contains("10ms, 1s, 5min, 1h"), "{help}");
    // The examples are sound.
    for line in help.lines().filter(|line| line.starts_with("  tachograph ")) {
        let example = line.trim().split("  ").next().expect("a command").trim();
        let args = example.split_whitespace().skip(1);
        let checked = Program::start(tachograph().args(args).arg("--help")).ended();
        assert_eq!(checked.code, Some(0), "{example}: {checked:?}");
    }
}

#[test]
fn version_is_the_package_s() {
    for flag in ["--version", "-V"] {
        let version = words(flag);
        assert_eq!(version.code, Some(0));
        assert_eq!(version.out, format!("tachograph {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn wrong_words_are_named_and_exit_with_2() {
    for (line, named) in [
        ("--bogus", "'--bogus'"),
        ("tial", "'tail'"),
        ("run --intervall 1s", "'--interval'"),
        ("run --interval 3", "--interval"),
        ("run --interval 1us", "--interval"),
        ("record --interval 2min", "1ms to 60s"),
        ("--interval soon", "--interval"),
        ("record --depth=-1s", "--depth"),
        ("serve --idle-timeout 0s", "--idle-timeout"),
        ("record --source vmstat", "NAME=N"),
        ("record --source vmstats=1", "vmstats"),
        ("record --listen 127.0.0.1:0", "'--listen'"),
        ("serve --interval 1s", "'--interval'"),
        ("serve --listen 8017", "127.0.0.1:8017"),
        ("serve --connections-max many", "--connections-max"),
        ("snapshot --log loud", "--log"),
        ("snapshot now", "'now'"),
        ("tail -n few", "--count"),
        ("inspect one two", "'two'"),
        ("--config", "--config"),
    ] {
        let ended = words(line);
        assert_eq!((ended.code, &*ended.out), (Some(2), ""), "{line}: {ended:?}");
        assert!(ended.err.starts_with("error: ") && ended.err.contains(named), "{ended:?}");
    }
}

#[test]
fn without_a_command_it_runs() {
    let place = Place::new();
    let mut run = place.start("--interval 100ms --listen 127.0.0.1:0");
    assert_eq!(run.full_pull().len(), 16);
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn addresses_beyond_the_machine_must_be_said_out_loud() {
    let place = Place::new();
    for command in ["run --listen 0.0.0.0:0", "serve --listen [::]:0"] {
        place.ask(command).assert_refused(&["--insecure-listen"]);
    }
    assert!(!place.run_dir().exists());
}

/// `tachograph tail | head -1` and the like.
#[test]
fn reader_that_has_seen_enough_ends_a_command_quietly() {
    let place = Place::new();
    let recorder = place.start("record --interval 20ms");
    place.snapshot();
    for command in ["tail", "tail --json"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut tail = place.command(command);
        let tail = Program::start_as_it_is(tail.stdout(writer).stderr(Stdio::piped()));
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut line).expect("a line");
        drop(reader);
        let ended = tail.ended();
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{command}: {ended:?}");
    }
    for command in ["snapshot", "snapshot --json", "inspect --directory", "check-config"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut program = place.command(command);
        let program = program.stdout(writer).stderr(Stdio::piped());
        let ended = Program::start_as_it_is(program).ended();
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{command}: {ended:?}");
    }
    recorder.end();
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let recorder = place.start("record --interval 100ms");
    place.snapshot();
    for command in ["snapshot", "inspect", "check-config", "tail -n 1"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut program = place.command(command);
        let program = program.stdout(full).stderr(Stdio::piped());
        Program::start_as_it_is(program).ended().assert_refused(&["No space left"]);
    }
    recorder.end();
}

#[test]
fn tail_of_no_record_ends_at_once() {
    let place = Place::new();
    let recorder = place.start("record --interval 60s");
    place.snapshot();
    let tail = place.ask("tail -n 0");
    assert_eq!((tail.code, &*tail.out, &*tail.err), (Some(0), "", ""));
    recorder.end();
}

#[test]
fn tail_says_on_stderr_that_the_recorder_is_gone() {
    let place = Place::new();
    let recorder = place.start("record --interval 100ms");
    place.snapshot();
    let tail = place.start("tail");
    eventually("a line", || (tail.out().lines().count() > 1).then_some(()));
    recorder.end();
    eventually("that it is told", || tail.err().contains("the recorder is closed").then_some(()));
    // It goes on with the next one.
    let lines = tail.out().lines().count();
    let recorder = place.start("record --interval 100ms");
    eventually("more lines", || (tail.out().lines().count() > lines + 1).then_some(()));
    assert!(tail.out().contains("-- the recorder was started anew: epoch 2 --"), "{}", tail.out());
    assert_eq!(tail.err().lines().count(), 1, "{}", tail.err());
    recorder.end();
}
