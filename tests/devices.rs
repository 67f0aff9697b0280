//! Sensors and disks come, go, sleep and break; what they say is recorded under names that stay.
//!
//! The trees are made up in the manner of `/sys`, with its links.

#[path = "support/tree.rs"]
mod tree;

use tachograph::sample::SampleError;
use tree::{Bench, Tree, Values, has, value};

/// A chip of the platform, as `coretemp` makes one.
fn coretemp(tree: &Tree, number: u32) {
    let device = "sys/devices/platform/coretemp.0";
    let chip = format!("{device}/hwmon/hwmon{number}");
    tree.write(&format!("{chip}/name"), "coretemp\n");
    tree.link(&format!("{chip}/device"), device);
    for (file, text) in [
        ("temp1_input", "45000\n"),
        ("temp1_max", "80000\n"),
        ("temp1_crit", "100000\n"),
        ("temp1_crit_alarm", "0\n"),
        ("temp1_label", "Package id 0\n"),
        ("temp2_input", "-5500\n"),
        ("uevent", ""),
    ] {
        tree.write(&format!("{chip}/{file}"), text);
    }
    tree.directory(&format!("{chip}/power"));
    tree.link(&format!("sys/class/hwmon/hwmon{number}"), &chip);
}

/// A chip of an NVMe disk.
fn nvme(tree: &Tree, number: u32) {
    let chip = format!("sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/hwmon{number}");
    tree.write(&format!("{chip}/name"), "nvme\n");
    tree.link(&format!("{chip}/device"), "sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0");
    tree.write(&format!("{chip}/temp1_input"), "38850\n");
    tree.link(&format!("sys/class/hwmon/hwmon{number}"), &chip);
}

/// Where a file is made that is to take another one's place.
const MADE: &str = "made";

const PACKAGE: &str = "sensor/platform_coretemp_0/temp1";

/// What stands in `values` of `object`, less what changes from tick to tick.
fn of<'a>(values: &'a Values, object: &str) -> Vec<(&'a str, f64)> {
    let mine = values.iter().filter(|((of, metric), _)| of == object && metric != "age_ms");
    mine.map(|((_, metric), value)| (metric.as_str(), *value)).collect()
}

#[test]
fn chips_are_called_after_their_devices_and_keep_the_kernels_units() {
    let tree = Tree::new();
    coretemp(&tree, 2);
    nvme(&tree, 0);
    // Without a device: what it says it is. Without that: where it lies.
    tree.write("sys/devices/virtual/a/hwmon3/name", "ACPI fan\n");
    for (file, text) in [
        ("fan1_input", "1250\n"),
        ("fan1_min", "0\n"),
        ("fan1_alarm", "1\n"),
        ("in0_input", "-12096\n"),
        ("curr1_input", "1500\n"),
        ("power1_average", "65000000\n"),
        ("energy1_input", "18446744073709551614\n"),
        ("humidity1_input", "45500\n"),
    ] {
        tree.write(&format!("sys/devices/virtual/a/hwmon3/{file}"), text);
    }
    tree.link("sys/class/hwmon/hwmon3", "sys/devices/virtual/a/hwmon3");
    tree.write("sys/devices/virtual/b/hwmon4/temp1_input", "1000\n");
    tree.link("sys/class/hwmon/hwmon4", "sys/devices/virtual/b/hwmon4");
    let mut bench = tree.bench("hwmon");
    let values = bench.tick_until(|values| has(values, "sensor/hwmon4/temp1", "temp_millicelsius"));
    assert_eq!(
        of(&values, PACKAGE),
        [
            ("label=Package%20id%200", 1.0),
            ("temp_crit_alarm", 0.0),
            ("temp_crit_millicelsius", 100_000.0),
            ("temp_max_millicelsius", 80_000.0),
            ("temp_millicelsius", 45_000.0),
        ]
    );
    let colder = "sensor/platform_coretemp_0/temp2";
    assert_eq!(of(&values, colder), [("temp_millicelsius", -5500.0)]);
    let chip = of(&values, "sensor/platform_coretemp_0");
    assert_eq!(chip, [("chip=coretemp", 1.0), ("stuck", 0.0)]);
    assert!(has(&values, "sensor/platform_coretemp_0", "age_ms"));
    let disk = "sensor/nvme_nvme0/temp1";
    assert_eq!(of(&values, disk), [("temp_millicelsius", 38_850.0)]);
    let fan = ["fan_alarm", "fan_min_rpm", "fan_rpm"].into_iter().zip([1.0, 0.0, 1250.0]);
    assert_eq!(of(&values, "sensor/acpi_fan/fan1"), fan.collect::<Vec<_>>());
    for (sensor, metric, expected) in [
        ("in0", "in_millivolts", -12_096.0),
        ("curr1", "curr_milliamperes", 1500.0),
        ("power1", "power_average_microwatts", 65_000_000.0),
        ("energy1", "energy_microjoules", 18_446_744_073_709_551_614.0),
        ("humidity1", "humidity_millipercent", 45_500.0),
    ] {
        assert_eq!(of(&values, &format!("sensor/acpi_fan/{sensor}")), [(metric, expected)]);
    }
    assert_eq!(bench.news(), []);
    assert_eq!((bench.sampler.errors(), bench.sampler.failing()), (0, 0));
}

#[test]
fn machine_without_sensors_is_no_failure() {
    let tree = Tree::new();
    for source in ["hwmon", "block_health"] {
        let mut bench = tree.bench(source);
        assert!(bench.tick().iter().all(|((object, _), _)| object == "host"));
        assert_eq!((bench.news(), bench.sampler.errors()), (vec![], 0));
    }
}

#[test]
fn chips_of_one_name_do_not_share_their_series() {
    let tree = Tree::new();
    for (number, text) in [(0, "1000\n"), (1, "2000\n"), (10, "3000\n")] {
        let chip = format!("sys/devices/pci0000:00/0000:00:01.0/hwmon/hwmon{number}");
        tree.write(&format!("{chip}/temp1_input"), text);
        tree.link(&format!("{chip}/device"), "sys/devices/pci0000:00/0000:00:01.0");
        tree.link(&format!("sys/class/hwmon/hwmon{number}"), &chip);
    }
    let mut bench = tree.bench("hwmon");
    let names = ["", "_hwmon1", "_hwmon10"];
    let sensor = |name: &str| format!("sensor/pci0000:00_0000:00:01_0{name}/temp1");
    let all =
        |values: &Values| names.iter().all(|name| has(values, &sensor(name), "temp_millicelsius"));
    let values = bench.tick_until(all);
    for (name, expected) in names.iter().zip([1000.0, 2000.0, 3000.0]) {
        assert_eq!(of(&values, &sensor(name)), [("temp_millicelsius", expected)]);
    }
    assert_eq!(bench.news(), []);
}

#[test]
fn sensor_that_breaks_costs_only_its_own_value() {
    let tree = Tree::new();
    coretemp(&tree, 0);
    nvme(&tree, 1);
    let mut bench = tree.bench("hwmon");
    let warm = |values: &Values| value(values, PACKAGE, "temp_millicelsius") == Some(45_000.0);
    let all = |values: &Values| {
        warm(values) && has(values, "sensor/nvme_nvme0/temp1", "temp_millicelsius")
    };
    bench.tick_until(all);
    let chip = "sys/devices/platform/coretemp.0/hwmon/hwmon0";
    let input = format!("{chip}/temp1_input");
    let series = bench.series_of(PACKAGE);
    type Break<'a> = (&'a dyn Fn(), SampleError);
    let breaks: [Break<'_>; 7] = [
        // Address 0 of a process cannot be read: that is EIO, which is what a dead bus gives.
        (&|| tree.link(MADE, "/proc/self/mem"), SampleError::Read(5)),
        (&|| tree.directory(MADE), SampleError::NotAFile),
        (&|| tree.pipe(MADE), SampleError::NotAFile),
        (&|| tree.link(MADE, &input), SampleError::Open(40)),
        (&|| tree.write(MADE, "45000"), SampleError::Truncated),
        (&|| tree.write(MADE, "warm\n"), SampleError::Malformed),
        (&|| tree.write(MADE, "99999999999999999999\n"), SampleError::TooLarge),
    ];
    for (make, error) in breaks {
        make();
        tree.exchange(MADE, &input);
        let news = bench.tick_until_news();
        assert_eq!(news, [(chip.to_owned(), Err(error))]);
        let values = bench.tick();
        assert!(!has(&values, PACKAGE, "temp_millicelsius"));
        assert_eq!(value(&values, PACKAGE, "temp_crit_millicelsius"), Some(100_000.0));
        assert!(has(&values, "sensor/nvme_nvme0/temp1", "temp_millicelsius"));
        assert_eq!((bench.series_of(PACKAGE), bench.sampler.failing()), (series, 1));
        tree.write(MADE, "45000\n");
        tree.exchange(MADE, &input);
        assert_eq!(bench.tick_until_news(), [(chip.to_owned(), Ok(()))]);
        assert!(warm(&bench.tick()));
        assert_eq!(bench.sampler.failing(), 0);
    }
    // A sensor that is gone is none that fails.
    tree.link(MADE, "nowhere");
    tree.exchange(MADE, &input);
    bench.tick_until(|values| !has(values, PACKAGE, "temp_millicelsius"));
    assert_eq!((bench.news(), bench.series_of(PACKAGE)), (vec![], series - 1));
}

#[test]
fn chips_come_and_go() {
    let tree = Tree::new();
    coretemp(&tree, 0);
    let mut bench = tree.bench("hwmon");
    let disk = "sensor/nvme_nvme0/temp1";
    bench.tick_until(|values| has(values, PACKAGE, "temp_millicelsius"));
    nvme(&tree, 1);
    bench.tick_until(|values| has(values, disk, "temp_millicelsius"));
    tree.remove("sys/class/hwmon/hwmon0");
    tree.remove("sys/devices/platform/coretemp.0");
    let gone = |bench: &Bench| bench.series_of("sensor/platform_coretemp_0") == 0;
    while !gone(&bench) {
        assert!(has(&bench.tick(), disk, "temp_millicelsius"), "the other one goes on");
    }
    assert_eq!(bench.series_of(PACKAGE), 0);
    // It is back under another number, and is the same chip.
    coretemp(&tree, 5);
    bench.tick_until(|values| has(values, PACKAGE, "temp_millicelsius"));
    // A sensor and a label of a chip that stays.
    let chip = "sys/devices/platform/coretemp.0/hwmon/hwmon5";
    tree.remove(&format!("{chip}/temp2_input"));
    tree.write(&format!("{chip}/temp1_label"), "Package id 1\n");
    bench.tick_until(|values| has(values, PACKAGE, "label=Package%20id%201"));
    assert_eq!(bench.series_of("sensor/platform_coretemp_0/temp2"), 0);
    assert_eq!(bench.series_of(PACKAGE), 5, "the old label has ended");
}

#[test]
fn disks_say_how_they_are() {
    let tree = Tree::new();
    let disk = |name: &str, files: &[(&str, &str)]| {
        for (file, text) in files {
            tree.write(&format!("sys/devices/{name}/{file}"), format!("{text}\n"));
        }
        tree.link(&format!("sys/block/{name}"), &format!("sys/devices/{name}"));
    };
    let common =
        [("size", "7814037168"), ("ro", "0"), ("removable", "0"), ("queue/rotational", "1")];
    disk("sda", &common);
    disk("md127", &common[..1]);
    disk("cciss!c0d0", &common[..1]);
    disk("loop0", &[("size", "0"), ("ro", "0")]);
    let more = |name: &str, files: &[(&str, &str)]| {
        for (file, text) in files {
            tree.write(&format!("sys/devices/{name}/{file}"), format!("{text}\n"));
        }
    };
    more(
        "sda/device",
        &[
            ("state", "running"),
            ("model", "WDC WD40EFRX-68N"),
            ("rev", "0A82"),
            ("serial", "SECRET"),
            ("iorequest_cnt", "0x1a2b"),
            ("iodone_cnt", "0x1a2a"),
            ("ioerr_cnt", "0x2"),
        ],
    );
    more(
        "md127/md",
        &[
            ("array_state", "clean"),
            ("sync_action", "idle"),
            ("raid_disks", "2"),
            ("degraded", "1"),
            ("mismatch_cnt", "128"),
        ],
    );
    disk(
        "nvme0n1",
        &[("size", "1000215216"), ("device/state", "live"), ("device/firmware_rev", "2B2QEXM7")],
    );
    let mut bench = tree.bench("block_health");
    let values = bench.tick_until(|values| has(values, "disk/sda", "state=running"));
    assert_eq!(
        of(&values, "disk/sda"),
        [
            ("firmware=0A82", 1.0),
            ("io_done", 6698.0),
            ("io_errors", 2.0),
            ("io_requests", 6699.0),
            ("model=WDC%20WD40EFRX-68N", 1.0),
            ("readonly", 0.0),
            ("removable", 0.0),
            ("rotational", 1.0),
            ("size_sectors", 7_814_037_168.0),
            ("state=running", 1.0),
        ]
    );
    assert_eq!(
        of(&values, "disk/md127"),
        [
            ("md_degraded", 1.0),
            ("md_disks", 2.0),
            ("md_mismatch_sectors", 128.0),
            ("md_state=clean", 1.0),
            ("md_sync_action=idle", 1.0),
            ("size_sectors", 7_814_037_168.0),
        ]
    );
    assert!(has(&values, "disk/nvme0n1", "firmware=2B2QEXM7"));
    assert!(has(&values, "disk/cciss/c0d0", "size_sectors"));
    assert_eq!(bench.series_of("disk/loop0"), 0, "nothing is attached to it");
    assert_eq!((bench.news(), bench.sampler.errors()), (vec![], 0));

    // A disk is taken off-line: one state ends, another begins, and the counters go on.
    tree.write("sys/devices/sda/device/state", "offline\n");
    let values = bench.tick_until(|values| has(values, "disk/sda", "state=offline"));
    assert_eq!(value(&values, "disk/sda", "io_errors"), Some(2.0));
    assert!(!has(&values, "disk/sda", "state=running"));
    assert_eq!(bench.series_of("disk/sda"), 10);
    // An attribute cannot be read: it is absent, and nothing else is.
    tree.remove("sys/devices/sda/device/ioerr_cnt");
    tree.pipe("sys/devices/sda/device/ioerr_cnt");
    assert_eq!(bench.tick_until_news(), [("sys/block".to_owned(), Err(SampleError::NotAFile))]);
    let values = bench.tick();
    assert!(!has(&values, "disk/sda", "io_errors") && has(&values, "disk/sda", "io_done"));
    assert_eq!(bench.series_of("disk/sda"), 10);
    // A disk is pulled out.
    tree.remove("sys/block/sda");
    tree.remove("sys/devices/sda");
    assert_eq!(bench.tick_until_news(), [("sys/block".to_owned(), Ok(()))]);
    assert_eq!(bench.series_of("disk/sda"), 0);
    assert!(has(&bench.tick(), "disk/md127", "md_degraded"));
}

#[test]
fn attribute_cut_at_any_place_is_whole_or_absent() {
    let tree = Tree::new();
    tree.write("sys/devices/virtual/a/hwmon0/name", "a\n");
    tree.link("sys/class/hwmon/hwmon0", "sys/devices/virtual/a/hwmon0");
    let text = "-45250\n";
    for cut in 0..=text.len() {
        let file = format!("sys/devices/virtual/a/hwmon0/temp{cut}_input");
        tree.write(&file, text.get(..cut).expect("ASCII"));
    }
    let mut bench = tree.bench("hwmon");
    let last = format!("sensor/a/temp{}", text.len());
    let values = bench.tick_until(|values| has(values, &last, "temp_millicelsius"));
    assert_eq!(value(&values, &last, "temp_millicelsius"), Some(-45_250.0));
    let temperatures = values.keys().filter(|(_, metric)| metric == "temp_millicelsius");
    assert_eq!(temperatures.count(), 1);
}
