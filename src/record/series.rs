//! What one column means: object, metric, kind, unit and representation.

use core::fmt;

/// Longest object id, in bytes. A mount point may be longer; such an object is refused and counted.
pub const OBJECT_ID_BYTES_MAX: usize = 1024;

/// Longest name of a metric, in bytes.
pub const METRIC_BYTES_MAX: usize = 255;

macro_rules! coded {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* $variant = $code,)+ }

        impl $name {
            /// Every value, by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code that stands in a ring's directory.
            #[must_use]
            pub const fn code(self) -> u8 { self as u8 }

            /// The value with this code, if there is one.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The name that people and APIs see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }
    };
}

coded! {
    /// How values of a series relate to one another.
    Kind {
        /// A level: each value stands for itself.
        Gauge = 1 "gauge",
        /// A total that only grows; a smaller value means that it began anew.
        Counter = 2 "counter",
        /// A total that may also fall; only the difference between two values has a meaning.
        Derive = 3 "derive",
    }
}

coded! {
    /// What a value counts. Kernel values are stored as the kernel gives them, in its own unit.
    Unit {
        /// A plain number of things.
        Count = 1 "count",
        /// Bytes.
        Bytes = 2 "bytes",
        /// Sectors of 512 bytes, whatever the device's own sector size.
        Sectors = 3 "sectors",
        /// Seconds.
        Seconds = 4 "seconds",
        /// Milliseconds.
        Milliseconds = 5 "milliseconds",
        /// Microseconds.
        Microseconds = 6 "microseconds",
        /// Nanoseconds.
        Nanoseconds = 7 "nanoseconds",
        /// `USER_HZ` ticks of CPU time, hundredths of a second.
        Ticks = 8 "ticks",
        /// A share, 0 to 1.
        Ratio = 9 "ratio",
        /// A percentage, 0 to 100, as the kernel prints it.
        Percent = 10 "percent",
        /// 0 or 1.
        Flag = 11 "flag",
        /// Pages of memory.
        Pages = 12 "pages",
        /// Thousands of hertz.
        Kilohertz = 13 "kilohertz",
        /// Thousandths of a degree Celsius.
        Millicelsius = 14 "millicelsius",
        /// Thousandths of what the metric is about: volts, amperes, per cent.
        Thousandths = 15 "thousandths",
        /// Millionths of what the metric is about: watts, joules.
        Millionths = 16 "millionths",
    }
}

impl Unit {
    /// What a stored value is multiplied with to give the base unit (bytes, seconds, hertz, ratio,
    /// degrees), and the divisor; one of the two is 1, so that the result is exact where it can be.
    #[must_use]
    pub const fn to_base(self) -> (f64, f64) {
        match self {
            Self::Sectors => (512.0, 1.0),
            Self::Kilohertz => (1e3, 1.0),
            Self::Milliseconds | Self::Millicelsius | Self::Thousandths => (1.0, 1e3),
            Self::Microseconds | Self::Millionths => (1.0, 1e6),
            Self::Nanoseconds => (1.0, 1e9),
            Self::Ticks | Self::Percent => (1.0, 1e2),
            _ => (1.0, 1.0),
        }
    }
}

coded! {
    /// How the 8 bytes of a word are to be read.
    Repr {
        /// An unsigned integer.
        U64 = 1 "u64",
        /// An IEEE 754 double.
        F64 = 2 "f64",
    }
}

coded! {
    /// The first part of an object's id: what sort of thing it is.
    Class {
        /// The machine as a whole; its id is just `host`.
        Host = 1 "host",
        /// A logical CPU, `cpu/0`.
        Cpu = 2 "cpu",
        /// A network interface, `nic/eth0`.
        Nic = 3 "nic",
        /// A block device or a partition of one, `disk/vda`.
        Disk = 4 "disk",
        /// A mounted file system: its mount point without the leading slash, `filesystem/boot`; the
        /// root is `filesystem/`.
        Filesystem = 5 "filesystem",
        /// A configured store, `datastore/store1`.
        Datastore = 6 "datastore",
        /// A control group, `cgroup/system.slice/sshd.service`.
        Cgroup = 7 "cgroup",
        /// The recorder itself; its id is just `tachograph`.
        Tachograph = 8 "tachograph",
        /// A chip that measures, `sensor/platform_coretemp_0`, or one of its sensors,
        /// `sensor/platform_coretemp_0/temp1`.
        Sensor = 9 "sensor",
        /// A node of memory and the CPUs near it, `numa/0`.
        Numa = 10 "numa",
        /// An interrupt by its number or the kernel's short name for it, `interrupt/24`,
        /// `interrupt/LOC`.
        Interrupt = 11 "interrupt",
        /// A text file of metrics, by its name without `.prom`: `textfile/backup`.
        Textfile = 12 "textfile",
        /// A ZFS pool, `pool/tank`.
        Pool = 13 "pool",
    }
}

impl Class {
    /// The class of an object id, from its first part.
    #[must_use]
    pub fn of(object: &str) -> Option<Self> {
        let (first, rest) = object.split_once('/').map_or((object, None), |(f, r)| (f, Some(r)));
        let class = Self::ALL.iter().copied().find(|class| class.as_str() == first)?;
        let alone = matches!(class, Self::Host | Self::Tachograph);
        (alone == rest.is_none()).then_some(class)
    }
}

/// The id of the object `name` of `class`.
///
/// Names come from the kernel and may hold any byte. Control characters, spaces, quotes,
/// backslashes, `%` and what is not UTF-8 are written as `%XX`, so an id is printable, fits on one
/// line and says which name it was.
#[must_use]
pub fn object_id(class: Class, name: &[u8]) -> String {
    let mut id = String::with_capacity(class.as_str().len() + 1 + name.len());
    id.push_str(class.as_str());
    id.push('/');
    each_escaped(name, |piece| id.push_str(piece));
    id
}

/// The metric that says that the string `key` of an object is `value`: `KEY=VALUE`.
///
/// The value is escaped as an object's id is. What goes beyond [`METRIC_BYTES_MAX`] is cut off, but
/// never within a character or an escape.
///
/// # Examples
///
/// ```
/// use tachograph::record::info_metric;
/// assert_eq!(info_metric("label", b"Package id 0"), "label=Package%20id%200");
/// ```
#[must_use]
pub fn info_metric(key: &str, value: &[u8]) -> String {
    let mut metric = String::with_capacity(key.len() + 1 + value.len());
    metric.push_str(key);
    metric.push('=');
    let mut is_cut = false;
    each_escaped(value, |piece| {
        is_cut |= metric.len() + piece.len() > METRIC_BYTES_MAX;
        if !is_cut {
            metric.push_str(piece);
        }
    });
    metric
}

/// Gives `name` to `each`, character by character or escape by escape.
fn each_escaped(name: &[u8], mut each: impl FnMut(&str)) {
    let mut bytes = [0; 4];
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let text = character.encode_utf8(&mut bytes);
            if character.is_control() || character.is_whitespace() || "\"\\%".contains(character) {
                text.bytes().for_each(|byte| each(&format!("%{byte:02X}")));
            } else {
                each(text);
            }
        }
        chunk.invalid().iter().for_each(|byte| each(&format!("%{byte:02X}")));
    }
}

/// One metric of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// Id of the object.
    pub object: Box<str>,
    /// Name of the metric.
    pub metric: Box<str>,
    /// How its values relate.
    pub kind: Kind,
    /// What they count.
    pub unit: Unit,
    /// How a word is read.
    pub repr: Repr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        }
        for unit in Unit::ALL {
            assert_eq!(Unit::from_code(unit.code()), Some(*unit));
        }
        assert_eq!(
            (Kind::from_code(0), Unit::from_code(200), Repr::from_code(3)),
            (None, None, None)
        );
    }

    #[test]
    fn class_is_the_first_part_of_an_id() {
        assert_eq!(Class::of("host"), Some(Class::Host));
        assert_eq!(Class::of("nic/eth0"), Some(Class::Nic));
        assert_eq!(Class::of("filesystem/"), Some(Class::Filesystem));
        assert_eq!(Class::of("cgroup/a/b"), Some(Class::Cgroup));
        for wrong in ["", "nic", "host/1", "other/x"] {
            assert_eq!(Class::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn infos_are_cut_between_characters() {
        assert_eq!(info_metric("fstype", b"fuse.a b"), "fstype=fuse.a%20b");
        let long = info_metric("device", "\u{fc}".repeat(200).as_bytes());
        assert_eq!((long.len(), long.ends_with('\u{fc}')), (255, true));
        let long = info_metric("device", &[0xff; 200]);
        assert_eq!((long.len(), long.ends_with("%FF")), (253, true));
    }

    #[test]
    fn odd_names_become_printable_ids_that_differ() {
        assert_eq!(object_id(Class::Nic, b"eth0"), "nic/eth0");
        assert_eq!(object_id(Class::Nic, b"a\xffb"), "nic/a%FFb");
        assert_eq!(object_id(Class::Nic, b"a%FFb"), "nic/a%25FFb");
        assert_eq!(
            object_id(Class::Filesystem, "srv/m\u{fc}ll \n".as_bytes()),
            "filesystem/srv/m\u{fc}ll%20%0A"
        );
    }

    #[test]
    fn long_string_is_cut_between_characters() {
        assert_eq!(info_metric("model", b"WDC \"WD40\""), "model=WDC%20%22WD40%22");
        assert_eq!(info_metric("k", b""), "k=");
        for value in ["x", " ", "\u{fc}", "\u{20ac}"] {
            let piece = info_metric("", value.as_bytes()).len() - 1;
            let metric = info_metric("k", value.repeat(999).as_bytes());
            assert!(metric.len() <= METRIC_BYTES_MAX && metric.len() + piece > METRIC_BYTES_MAX);
            assert_eq!((metric.len() - 2) % piece, 0, "{value:?}");
        }
    }
}
