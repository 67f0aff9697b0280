//! The kernel's files, cut short and damaged.

use std::fmt::Debug;

use tachograph::sample::{SampleError, parse};

use super::input::Input;

/// The files, in the order of the first byte of an input.
pub const FILES: [&str; 29] = [
    "stat",
    "meminfo",
    "loadavg",
    "uptime",
    "net/dev",
    "diskstats",
    "vmstat",
    "pressure",
    "block",
    "self/mountinfo",
    "zfs-objset",
    "zfs-io",
    "zfs-state",
    "schedstat",
    "cpu.stat",
    "cpuacct.usage_all",
    "softirqs",
    "interrupts",
    "net/snmp",
    "net/snmp6",
    "net/sockstat",
    "node0/meminfo",
    "node0/numastat",
    "node/online",
    "cgroup/cpu.stat",
    "cgroup/memory.max",
    "cgroup/io.stat",
    "cgroup/blkio.throttle.io_serviced",
    "cgroup/io.pressure",
];

/// Parses a text, and parses it again cut off at some place.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let file = input.below(FILES.len() as u8);
    let cut = input.short();
    let text = input.rest();
    let cut = text.get(..cut.into()).unwrap_or(text);
    let ours = |name: &[u8], all: &[u8]| all.as_ptr_range().contains(&name.as_ptr());
    match FILES[usize::from(file)] {
        "stat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::stat(text, |line| {
                if let parse::StatLine::Cpu(cpu) = line {
                    assert!(cpu.number.iter().all(u8::is_ascii_digit));
                    assert!((4..=cpu.ticks.len()).contains(&cpu.modes));
                    assert!(cpu.ticks[cpu.modes..].iter().all(|ticks| *ticks == 0));
                }
                found.push(line);
            });
            (found, outcome)
        }),
        "meminfo" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::meminfo(text, |amount| {
                assert!(ours(amount.name, text) && !amount.name.contains(&b':'));
                assert!(!amount.bytes || amount.value.is_multiple_of(1024));
                found.push(amount);
            });
            (found, outcome)
        }),
        "loadavg" => line(text, cut, |text| {
            let found = parse::loadavg(text);
            let load = found.as_ref().map_or([0.0; 3], |found| found.load);
            assert!(load.iter().all(|load| *load >= 0.0 && load.is_finite()));
            found
        }),
        "uptime" => line(text, cut, |text| {
            let found = parse::uptime(text);
            if let Ok(found) = &found {
                assert!(found.uptime_seconds >= 0.0 && found.uptime_seconds.is_finite());
                assert!(found.idle_seconds >= 0.0 && found.idle_seconds.is_finite());
            }
            found
        }),
        "net/dev" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::net_dev(text, |interface| {
                assert!(ours(interface.name, text));
                found.push(interface);
            });
            (found, outcome)
        }),
        "diskstats" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::diskstats(text, |device| {
                assert!(ours(device.name, text) && is_sound(&device));
                found.push(device);
            });
            (found, outcome)
        }),
        "vmstat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::vmstat(text, |event| {
                assert!(ours(event.name, text));
                found.push(event);
            });
            (found, outcome)
        }),
        "pressure" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::pressure(text, |stall| {
                assert!(stall.averages.iter().all(|share| *share >= 0.0 && share.is_finite()));
                found.push(stall);
            });
            (found, outcome)
        }),
        "self/mountinfo" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::mountinfo(text, |mount| {
                let parse::MountLine { root, mount_point, options, fs_type, source, .. } = mount;
                for field in [root, mount_point, options, fs_type, source] {
                    assert!(ours(field.text(), text));
                    assert!(!field.text().iter().any(|byte| b" \t\n".contains(byte)));
                    assert!(field.bytes().count() <= field.text().len());
                }
                found.push(mount);
            });
            (found, outcome)
        }),
        "zfs-objset" => line(text, cut, |text| {
            let found = parse::zfs_objset(text);
            let dataset = found.map_or(&text[..0], |found| found.dataset);
            assert!(ours(dataset, text) || text.is_empty());
            assert_eq!(dataset.is_empty(), found.is_err());
            assert!(!dataset.contains(&b'\n'));
            found
        }),
        "zfs-io" => line(text, cut, parse::zfs_pool_io),
        "zfs-state" => line(text, cut, |text| {
            let found = parse::zfs_pool_state(text);
            assert!(found.is_err() || found.is_ok_and(|state| ours(state, text)));
            found
        }),
        "schedstat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::schedstat(text, |cpu| {
                assert!(!cpu.number.is_empty() && cpu.number.iter().all(u8::is_ascii_digit));
                found.push(cpu);
            });
            (found, outcome)
        }),
        "cpu.stat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::root_cpu_stat(text, |time| {
                assert!(time.which < 5);
                found.push(time);
            });
            (found, outcome)
        }),
        "cpuacct.usage_all" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::cpuacct(text, |busy| {
                assert!(!busy.number.is_empty() && busy.number.iter().all(u8::is_ascii_digit));
                found.push(busy);
            });
            (found, outcome)
        }),
        "softirqs" | "interrupts" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::cpu_table(text, |line| {
                assert!(ours(line.name, text) && !line.rest.contains(&b'\n'));
                let left = line.counts.len();
                let counts: Vec<_> = line.counts.collect();
                assert!(counts.len() == left && left > 0 && (line.is_by_cpu || left == 1));
                assert!(counts.iter().all(|(cpu, _)| cpu.iter().all(u8::is_ascii_digit)));
                found.push((line.name, counts, line.is_by_cpu, line.rest));
            });
            (found, outcome)
        }),
        "net/snmp" => items(text, cut, |text| {
            let mut found = Vec::new();
            (parse::netstat(text, |statistic| found.push(statistic)), found)
        }),
        "net/snmp6" => items(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::snmp6(text, |statistic| {
                assert!(statistic.protocol.ends_with(b"6"));
                found.push(statistic);
            });
            (outcome, found)
        }),
        "net/sockstat" => items(text, cut, |text| {
            let mut found = Vec::new();
            (parse::sockstat(text, |sockets| found.push(sockets)), found)
        }),
        "node0/meminfo" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::node_meminfo(text, |amount| found.push(amount));
            (found, outcome)
        }),
        "node0/numastat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::numastat(text, |name, number| found.push((name, number)));
            (found, outcome)
        }),
        "node/online" => line(text, cut, |text| {
            let mut found = Vec::new();
            parse::nodes_online(text, |number| found.push(number))?;
            assert!((1..=1024).contains(&found.len()) && found.is_sorted_by(|a, b| a < b));
            Ok(found)
        }),
        "cgroup/cpu.stat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::keyed(text, |line| {
                assert!(ours(line.key, text) && !line.key.is_empty());
                found.push(line);
            });
            (found, outcome)
        }),
        "cgroup/memory.max" => line(text, cut, |text| {
            let found = parse::amount(text);
            assert!(!matches!(found, Ok(Some(value)) if value > i64::MAX as u64));
            found
        }),
        "cgroup/io.stat" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::io_stat(text, |device| found.push(device));
            (found, outcome)
        }),
        "cgroup/blkio.throttle.io_serviced" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::block_io(text, |line| {
                assert!(line.operation < 3);
                found.push(line);
            });
            (found, outcome)
        }),
        "cgroup/io.pressure" => lines(text, cut, |text| {
            let mut found = Vec::new();
            let outcome = parse::stall_totals(text, |total| found.push(total));
            // What the other parser of such a text understands, this one does too.
            let mut whole = Vec::new();
            if parse::pressure(text, |stall| whole.push((stall.full, stall.total_us))).is_ok()
                && outcome.is_ok()
            {
                assert_eq!(whole.len(), found.len());
            }
            (found, outcome)
        }),
        _ => line(text, cut, |text| {
            let found = parse::block_stat(text);
            assert!(found.as_ref().is_ok_and(is_sound) || found.is_err());
            found
        }),
    }
}

fn is_sound(device: &parse::Device<'_>) -> bool {
    let numbers = device.numbers.iter().enumerate();
    let none_beyond =
        |(index, number): (usize, &u64)| device.has(index) || *number == 0 || index >= device.given;
    [4, 11, 15, 17].contains(&device.given) && numbers.into_iter().all(none_beyond)
}

/// A text of many lines: the lines that were not cut off say what they said before.
fn lines<'a, T: Debug + PartialEq>(
    text: &'a [u8],
    cut: &'a [u8],
    parse: impl Fn(&'a [u8]) -> (Vec<T>, Result<(), SampleError>),
) {
    let (all, _) = parse(text);
    assert!(all.len() <= text.iter().filter(|byte| **byte == b'\n').count());
    items(text, cut, |text| {
        let (found, outcome) = parse(text);
        (outcome, found)
    });
}

/// A text whose lines may say many things: those that were not cut off say what they said before.
fn items<'a, T: Debug + PartialEq>(
    text: &'a [u8],
    cut: &'a [u8],
    parse: impl Fn(&'a [u8]) -> (Result<(), SampleError>, Vec<T>),
) {
    let (outcome, all) = parse(text);
    let (cut_outcome, some) = parse(cut);
    assert!(all.starts_with(&some), "{some:?} is not the beginning of {all:?}");
    whole_or_cut(outcome, cut_outcome);
}

/// A text of one line: all of it, or nothing.
fn line<'a, T: Debug + PartialEq>(
    text: &'a [u8],
    cut: &'a [u8],
    parse: impl Fn(&'a [u8]) -> Result<T, SampleError>,
) {
    let (all, some) = (parse(text), parse(cut));
    if some.is_ok() {
        assert_eq!(some, all);
    }
    whole_or_cut(all.map(drop), some.map(drop));
}

/// A text without a mistake can only become one that is not whole.
fn whole_or_cut(outcome: Result<(), SampleError>, cut: Result<(), SampleError>) {
    let missing = matches!(cut, Ok(()) | Err(SampleError::Truncated | SampleError::Empty));
    assert!(outcome.is_err() || missing, "{outcome:?}, cut {cut:?}");
}
