//! What a series is called here: its family, labels, type and help.

use super::collector;
use super::scale::Scale;
use crate::record::{Class, Kind, Metric, Series, metric};

/// What relates the values of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Untyped,
}

/// A series as one sample of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) family: String,
    pub(super) kind: Type,
    pub(super) help: String,
    /// With braces and escapes, as they stand in a sample; empty without labels.
    pub(super) labels: String,
    pub(super) scale: Scale,
    pub(super) collector: u8,
}

/// Gives the string `key` of an object, as its series `key=VALUE` says it.
pub(super) type Infos<'a> = dyn Fn(&str, &str) -> Option<&'a str> + 'a;

/// A series of a lane; `None` for one that is no sample of its own, or that is left out.
pub(super) fn of_lane(series: &Series, infos: &Infos<'_>) -> Option<Named> {
    let Series { object, metric: name, unit, repr, kind } = series;
    let Some(class) = Class::of(object) else { return Some(of_application("tachograph", series)) };
    let rest = object.split_once('/').map_or("", |(_, rest)| rest);
    let Some(line) = metric(class, name) else {
        return Some(match class {
            Class::Textfile => of_textfile(series, rest),
            _ => of_application("tachograph", series),
        });
    };
    let field = line.matches(name).unwrap_or_default();
    if is_left_out(class, rest) {
        return None;
    }
    let mut labels = Labels::default();
    let mut family = line.family;
    let info = line.name.strip_suffix("=*");
    match (class, info) {
        // These are labels of the samples beside them.
        (Class::Filesystem, Some("fstype" | "device")) | (Class::Interrupt, Some(_)) => {
            return None;
        }
        (Class::Host, Some("uname_release")) => {
            family = "node_uname_info";
            for key in ["sysname", "release", "version", "machine", "nodename", "domainname"] {
                let value = infos(object, &format!("uname_{key}"));
                labels.add(key, &unescaped(value.unwrap_or_default()));
            }
        }
        (Class::Host, Some(key)) if key.starts_with("uname_") => return None,
        (Class::Sensor, Some("chip")) => labels.add("chip_name", &unescaped(field)),
        (_, Some(key)) => labels.add(key, &unescaped(field)),
        (Class::Interrupt, None) => {
            labels.add("type", &unescaped(rest));
            if line.name == "cpu*" {
                labels.add("cpu", field);
                let details = infos(object, "controller").or_else(|| infos(object, "description"));
                labels.add("info", &unescaped(details.unwrap_or_default()));
                labels.add("devices", &unescaped(infos(object, "devices").unwrap_or_default()));
            }
        }
        (_, None) => {}
    }
    labels.add_object(class, rest, &|key| infos(object, key));
    if let Some((label, value)) = line.label {
        labels.add(label, value);
    }
    let is_label = info.is_some() || line.name == "cpu*";
    let field = if is_label { "" } else { field };
    let family = family.replace('*', field);
    // Where it counts sectors itself, they are no bytes.
    let is_stored = line.family.contains("_sectors_");
    Some(Named {
        kind: type_of(*kind, &family),
        help: help(line, field),
        labels: labels.text(),
        scale: if is_stored { Scale::as_stored(*repr) } else { Scale::to_base(*unit, *repr) },
        collector: collector::of_family(&family),
        family,
    })
}

/// What the family of a line is, with what stands for the `*` of the metric's name.
fn help(line: &Metric, field: &str) -> String {
    if line.name.starts_with("netstat_") {
        // There a protocol and its statistic are one word.
        return line.help.replace('*', &field.replacen('_', "", 1));
    }
    line.help.replace('*', field)
}

/// A series of an application's ring: in its own words, as it is stored.
pub(super) fn of_application(ring: &str, series: &Series) -> Named {
    let Series { object, metric, kind, unit, repr } = series;
    let mut family = format!("{ring}_{metric}");
    // What no name can have in it.
    family = family.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
    if family.starts_with(|c: char| c.is_ascii_digit()) {
        family.insert(0, '_');
    }
    if *kind == Kind::Counter && !family.ends_with("_total") {
        family.push_str("_total");
    }
    let mut labels = Labels::default();
    labels.add("object", &unescaped(object));
    Named {
        kind: type_of(*kind, &family),
        help: format!("{metric} of the ring {ring}, in {unit}."),
        labels: labels.text(),
        scale: Scale::as_stored(*repr),
        collector: collector::of_family("application"),
        family,
    }
}

/// A sample of a text file, as it stands there.
fn of_textfile(series: &Series, file: &str) -> Named {
    let name = &*series.metric;
    let (family, labels) = name.split_at(name.find('{').unwrap_or(name.len()));
    Named {
        family: family.to_owned(),
        kind: type_of(series.kind, family),
        help: format!("Metric read from {}.prom", unescaped(file)),
        labels: labels.to_owned(),
        scale: Scale::as_stored(series.repr),
        collector: collector::TEXTFILE,
    }
}

/// `node_exporter` takes no part in what these mean.
fn type_of(kind: Kind, family: &str) -> Type {
    let untyped = ["node_netstat_", "node_vmstat_", "node_zfs_"];
    match kind {
        _ if untyped.iter().any(|prefix| family.starts_with(prefix)) => Type::Untyped,
        Kind::Counter if family.ends_with("_total") => Type::Counter,
        Kind::Gauge => Type::Gauge,
        _ => Type::Untyped,
    }
}

/// Whether Debian's `node_exporter` leaves the device out unless it is told otherwise.
fn is_left_out(class: Class, device: &str) -> bool {
    match class {
        Class::Nic => device == "lo",
        Class::Disk => is_part_or_loop(device),
        _ => false,
    }
}

/// Loop devices, memory disks, floppies and partitions, by their names.
fn is_part_or_loop(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let is_disk = |letters: &str| {
        let mut letters = letters.chars();
        letters.next().is_some_and(|c| c.is_ascii_lowercase()) && letters.next().is_none()
    };
    let lettered = ["hd", "sd", "vd", "xvd"].iter().filter_map(|before| stem.strip_prefix(before));
    let is_part = lettered.into_iter().any(is_disk);
    let nvme = stem.strip_prefix("nvme").and_then(|rest| rest.strip_suffix('p'));
    let is_nvme_part = nvme.and_then(|rest| rest.split_once('n')).is_some_and(|(a, b)| {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        is_number(a) && is_number(b)
    });
    matches!(stem, "ram" | "loop" | "fd") || is_part || is_nvme_part
}

/// Labels of a sample.
#[derive(Default)]
struct Labels(Vec<(&'static str, String)>);

impl Labels {
    fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, value.to_owned()));
    }

    /// The labels that say which object it is.
    fn add_object<'a>(&mut self, class: Class, rest: &str, info: &dyn Fn(&str) -> Option<&'a str>) {
        let name = unescaped(rest);
        match class {
            Class::Cpu => self.add("cpu", &name),
            Class::Nic | Class::Disk => self.add("device", &name),
            Class::Filesystem => {
                for key in ["device", "fstype"] {
                    self.add(key, &unescaped(info(key).unwrap_or_default()));
                }
                self.add("mountpoint", &format!("/{name}"));
            }
            Class::Datastore => self.add("datastore", &name),
            Class::Cgroup => self.add("cgroup", &format!("/{name}")),
            Class::Sensor => {
                let (chip, sensor) = rest.split_once('/').unwrap_or((rest, ""));
                self.add("chip", &unescaped(chip));
                if !sensor.is_empty() {
                    self.add("sensor", &unescaped(sensor));
                }
            }
            Class::Numa => self.add("node", &name),
            Class::Textfile => self.add("file", &format!("{name}.prom")),
            Class::Pool => self.add("zpool", &name),
            _ => {}
        }
    }

    /// Sorted by name, as they stand in a sample.
    fn text(mut self) -> String {
        self.0.sort_unstable();
        let mut text = String::new();
        for (name, value) in &self.0 {
            text.push_str(if text.is_empty() { "{" } else { "," });
            text.push_str(name);
            text.push_str("=\"");
            push_escaped(&mut text, value, true);
            text.push('"');
        }
        if !text.is_empty() {
            text.push('}');
        }
        text
    }
}

/// Appends `text` with what cannot stand for itself escaped; quotation marks only if asked for.
pub(super) fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            character => out.push(character),
        }
    }
}

/// A name as it was before [`crate::record::object_id`] or [`crate::record::info_metric`] wrote it
/// with escapes. What is no text in UTF-8 keeps them: a label can have nothing else.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        bytes.clear();
        let escape = |text: &str| u8::from_str_radix(text.strip_prefix('%')?.get(..2)?, 16).ok();
        while let Some(byte) = escape(rest) {
            bytes.push(byte);
            rest = &rest[3..];
        }
        if bytes.is_empty() {
            plain.push('%');
            rest = &rest[1..];
        }
        for chunk in bytes.utf8_chunks() {
            plain.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| plain.push_str(&format!("%{byte:02X}")));
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CATALOG, Repr, Unit, info_metric, object_id};

    fn series(object: &str, name: &str) -> Series {
        let class = Class::of(object).expect("a class");
        let line = metric(class, name);
        Series {
            object: object.into(),
            metric: name.into(),
            kind: line.map_or(Kind::Gauge, |line| line.kind),
            unit: line.map_or(Unit::Count, |line| line.unit),
            repr: line.map_or(Repr::F64, |line| line.repr),
        }
    }

    fn named(object: &str, name: &str) -> Option<Named> {
        let infos = |object: &str, key: &str| match (object, key) {
            ("filesystem/", "device") => Some("/dev/vda"),
            ("filesystem/", "fstype") => Some("ext4"),
            ("interrupt/24", "controller") => Some("PCI-MSI%20edge"),
            ("interrupt/24", "devices") => Some("virtio0"),
            ("interrupt/LOC", "description") => Some("Local%20timer"),
            ("host", "uname_release") => Some("6.1"),
            ("host", "uname_sysname") => Some("Linux"),
            _ => None,
        };
        of_lane(&series(object, name), &infos)
    }

    fn sample(object: &str, name: &str) -> String {
        let Named { family, labels, .. } = named(object, name).expect("it is a sample");
        family + &labels
    }

    #[test]
    fn help_is_what_node_exporter_says() {
        for (object, name, expected) in [
            ("host", "netstat_TcpExt_ListenDrops", "Statistic TcpExtListenDrops."),
            ("host", "netstat_IpExt_InOctets", "Statistic IpExtInOctets."),
            ("host", "netstat_Ip_Forwarding", "Statistic IpForwarding."),
            ("host", "sockstat_TCP_tw", "Number of TCP sockets in state tw."),
            ("host", "sockstat_UDP6_inuse", "Number of UDP6 sockets in state inuse."),
            ("host", "boot_time_seconds", "Node boot time, in unixtime."),
        ] {
            assert_eq!(named(object, name).expect("it is a sample").help, expected);
        }
    }

    #[test]
    fn samples_are_called_as_node_exporter_calls_them() {
        for (object, name, expected) in [
            ("cpu/0", "user_ticks", r#"node_cpu_seconds_total{cpu="0",mode="user"}"#),
            ("host", "meminfo_MemFree_bytes", "node_memory_MemFree_bytes"),
            ("nic/eth0", "receive_bytes", r#"node_network_receive_bytes_total{device="eth0"}"#),
            ("disk/sda", "read_sectors", r#"node_disk_read_bytes_total{device="sda"}"#),
            (
                "filesystem/",
                "free_bytes",
                r#"node_filesystem_free_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"}"#,
            ),
            (
                "host",
                "uname_release=6.1",
                "node_uname_info{domainname=\"\",machine=\"\",nodename=\"\",release=\"6.1\",sysname=\"Linux\",version=\"\"}",
            ),
            (
                "interrupt/24",
                "cpu1",
                r#"node_interrupts_total{cpu="1",devices="virtio0",info="PCI-MSI edge",type="24"}"#,
            ),
            (
                "interrupt/LOC",
                "cpu0",
                r#"node_interrupts_total{cpu="0",devices="",info="Local timer",type="LOC"}"#,
            ),
            (
                "sensor/platform_coretemp_0/temp1",
                "temp_millicelsius",
                r#"node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"}"#,
            ),
            (
                "sensor/platform_coretemp_0/temp1",
                "label=Package%20id%200",
                r#"node_hwmon_sensor_label{chip="platform_coretemp_0",label="Package id 0",sensor="temp1"}"#,
            ),
            (
                "sensor/platform_coretemp_0",
                "chip=coretemp",
                r#"node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"}"#,
            ),
            ("textfile/b", "mtime_seconds", r#"node_textfile_mtime_seconds{file="b.prom"}"#),
            ("textfile/b", "done{job=\"x\"}", r#"done{job="x"}"#),
            ("numa/1", "meminfo_MemFree_bytes", r#"node_memory_numa_MemFree{node="1"}"#),
            ("pool/tank", "read_bytes", r#"node_zfs_zpool_nread{zpool="tank"}"#),
            ("disk/sda", "state=running", r#"tachograph_disk_state{device="sda",state="running"}"#),
            ("cgroup/a.slice/b", "tasks", r#"tachograph_cgroup_tasks{cgroup="/a.slice/b"}"#),
            ("datastore/s1", "used_bytes", r#"datastore_used_bytes{datastore="s1"}"#),
        ] {
            assert_eq!(sample(object, name), expected, "{object} {name}");
        }
        for (object, name) in [
            ("filesystem/", "fstype=ext4"),
            ("interrupt/24", "devices=x"),
            ("host", "uname_sysname=Linux"),
            ("nic/lo", "receive_bytes"),
            ("disk/sda1", "io_ms"),
            ("disk/loop0", "io_ms"),
        ] {
            assert_eq!(named(object, name), None, "{object} {name}");
        }
    }

    #[test]
    fn devices_that_are_parts_of_others_are_known_by_their_names() {
        for part in ["sda1", "vdb12", "xvda3", "hdc1", "nvme0n1p2", "loop0", "ram15", "fd0"] {
            assert!(is_part_or_loop(part), "{part}");
        }
        for disk in ["sda", "sdaa1", "vda", "nvme0n1", "nvmen1p2", "md0", "dm-0", "zram0", "sr0"] {
            assert!(!is_part_or_loop(disk), "{disk}");
        }
    }

    #[test]
    fn types_are_those_of_node_exporter() {
        let kind = |object, name| named(object, name).expect("a sample").kind;
        assert_eq!(kind("host", "vmstat_pgfault"), Type::Untyped);
        assert_eq!(kind("host", "netstat_Tcp_CurrEstab"), Type::Untyped);
        assert_eq!(kind("host", "forks"), Type::Counter);
        assert_eq!(kind("host", "load1"), Type::Gauge);
        let sectors = named("disk/sda", "discarded_sectors").expect("a sample");
        assert_eq!(
            (&*sectors.family, sectors.scale),
            ("node_disk_discarded_sectors_total", Scale::Integer)
        );
    }

    #[test]
    fn names_are_again_what_they_were() {
        for name in ["eth0", "a b", "50%", "%41", "m\u{fc}ll \n", "a\"b\\c", "%", "%%2"] {
            let id = object_id(Class::Nic, name.as_bytes());
            assert_eq!(unescaped(id.strip_prefix("nic/").expect("a name")), name);
            let info = info_metric("k", name.as_bytes());
            assert_eq!(unescaped(info.strip_prefix("k=").expect("a value")), name);
        }
        let odd = object_id(Class::Nic, b"a\xffb");
        assert_eq!(unescaped(&odd), "nic/a%FFb");
        assert_eq!(
            sample("nic/a%22b%5C%0A", "receive_drop"),
            "node_network_receive_drop_total{device=\"a\\\"b\\\\\\n\"}"
        );
    }

    #[test]
    fn every_line_of_the_catalog_has_a_name_that_prometheus_takes() {
        for line in CATALOG {
            let name = line.name.replace('*', "X");
            let object = match line.class {
                Class::Host | Class::Tachograph => line.class.as_str().to_owned(),
                class => format!("{class}/x"),
            };
            let Some(named) = named(&object, &name) else { continue };
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(named.family.chars().all(is_part), "{}", named.family);
            assert!(!named.help.contains('*') && !named.help.is_empty(), "{}", named.help);
        }
    }

    #[test]
    fn series_of_applications_keep_their_words() {
        let series = Series {
            object: "queue/orders".into(),
            metric: "taken-by hand".into(),
            kind: Kind::Counter,
            unit: Unit::Milliseconds,
            repr: Repr::U64,
        };
        let named = of_application("9shop", &series);
        assert_eq!(named.family, "_9shop_taken_by_hand_total");
        assert_eq!(named.labels, r#"{object="queue/orders"}"#);
        assert_eq!((named.kind, named.scale), (Type::Counter, Scale::Integer));
    }
}
