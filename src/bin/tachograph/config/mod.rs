//! Settings: built-in defaults, then the file, then flags.

mod lane;
mod listen;
mod live;
mod show;
mod watched;

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tachograph::http::{Compression, Limits, headers};
use tachograph::sample::{Roots, Sampling};

use super::cli::{self, Common, RunFlags, ServeFlags};
use super::log;
use lane::{LaneFlags, LaneKeys, Pace};
use watched::{CgroupKeys, DatastoreKeys, FilesystemKeys, TextfileKeys, Watched};

pub(crate) use lane::{Depth, LANE, Lane, Policy, ThreadSettings, check_name};
pub(crate) use listen::{Listen, Places, UnixSettings};

const LOG_DEFAULT: &str = "info";
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most directories in which rings are looked for beside the run directory.
const RING_DIRS_MAX: usize = 16;
/// Most connections that can be asked for: as many descriptors as a kernel gives by default.
const CONNECTIONS_MAX: usize = 1 << 20;
/// Most points in an answer that can be asked for: what a day takes to send is no answer.
const POINTS_MAX: u64 = 1_000_000_000_000;
/// Bounds of what a request may have of header or body, in bytes.
const REQUEST_BYTES: RangeInclusive<usize> = 1 << 10..=1 << 20;
/// Most names under which the server answers beside its own.
const HOSTS_MAX: usize = 64;
/// How much of a wrong line is told, in characters.
const LINE_CHARS_MAX: usize = 80;

/// How the program is to behave.
#[derive(Debug)]
pub(crate) struct Settings {
    pub run_dir: Option<PathBuf>,
    /// Where it stands who may read what.
    pub state_dir: Option<PathBuf>,
    /// Where rings are looked for beside that.
    pub ring_dirs: Vec<PathBuf>,
    pub log: String,
    pub lanes: Vec<Lane>,
    /// Whether the process is to stay in memory, as far as the kernel lets it.
    pub mlock: bool,
    pub roots: Roots,
    pub watched: Watched,
    pub places: Places,
    pub insecure_listen: bool,
    pub limits: Limits,
    pub access_log: bool,
    pub compression: Compression,
    /// Names under which requests are answered beside the machine's own.
    pub hosts: Vec<String>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    run_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    #[serde(default)]
    ring_dirs: Vec<PathBuf>,
    log: Option<String>,
    interval: Option<Interval>,
    depth: Option<Span>,
    cpu: Option<lane::Cpus>,
    policy: Option<Policy>,
    sources: Option<lane::Sources>,
    mlock: Option<bool>,
    procfs: Option<PathBuf>,
    sysfs: Option<PathBuf>,
    rootfs: Option<PathBuf>,
    #[serde(default)]
    lane: Vec<LaneKeys>,
    #[serde(default)]
    datastore: Vec<DatastoreKeys>,
    #[serde(default)]
    filesystem: FilesystemKeys,
    #[serde(default)]
    cgroup: CgroupKeys,
    #[serde(default)]
    textfile: TextfileKeys,
    #[serde(default)]
    http: Http,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    listen: Option<Vec<Listen>>,
    #[serde(default)]
    unix: Vec<listen::UnixKeys>,
    insecure_listen: Option<bool>,
    connections_max: Option<usize>,
    connections_per_address_max: Option<usize>,
    header_bytes_max: Option<usize>,
    header_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    write_timeout: Option<Span>,
    body_bytes_max: Option<usize>,
    points_max: Option<u64>,
    streams_max: Option<usize>,
    grace: Option<Span>,
    access_log: Option<bool>,
    compress_min_bytes: Option<usize>,
    compress_loopback: Option<bool>,
    #[serde(default)]
    hosts: Vec<String>,
}

/// A duration in the file, written as on the command line.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Span(Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        cli::duration(&text).map(Self)
    }
}

/// An interval in the file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Interval(Duration);

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        cli::interval(&text).map(Self)
    }
}

/// Where settings come from: a file that may be written anew, and flags that stay as they are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    common: Common,
    flags: RunFlags,
}

impl Source {
    pub(crate) fn new(common: &Common, flags: impl Into<RunFlags>) -> Self {
        Self { common: common.clone(), flags: flags.into() }
    }

    /// The settings as they are now.
    pub(crate) fn load(&self) -> anyhow::Result<Settings> {
        merge(read(self.common.config.as_deref())?, &self.common, self.flags.clone())
    }

    /// The settings as they are now, once more. A pipe that has been read is empty by now, which
    /// would mean all defaults.
    pub(crate) fn reload(&self) -> anyhow::Result<Settings> {
        if let Some(path) = &self.common.config
            && !fs::metadata(path).is_ok_and(|meta| meta.is_file())
        {
            bail!("the configuration {} is no file that could be read again", path.display());
        }
        self.load()
    }
}

/// The directory of the rings as it was asked for, for commands that need no other setting.
pub(crate) fn run_dir(common: &Common) -> anyhow::Result<Option<PathBuf>> {
    Ok(match &common.run_dir {
        Some(dir) => Some(dir.clone()),
        None => read(common.config.as_deref())?.run_dir,
    })
}

/// The state directory as it was asked for, for commands that need no other setting.
pub(crate) fn state_dir(common: &Common) -> anyhow::Result<Option<PathBuf>> {
    Ok(match &common.state_dir {
        Some(dir) => Some(dir.clone()),
        None => read(common.config.as_deref())?.state_dir,
    })
}

/// Where else rings are looked for, for commands that need no other setting.
pub(crate) fn ring_dirs(common: &Common) -> anyhow::Result<Vec<PathBuf>> {
    choose_ring_dirs(common, read(common.config.as_deref())?.ring_dirs)
}

fn choose_ring_dirs(common: &Common, file: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let ring_dirs = if common.ring_dirs.is_empty() { file } else { common.ring_dirs.clone() };
    if ring_dirs.len() > RING_DIRS_MAX {
        bail!("there are {} ring_dirs; {RING_DIRS_MAX} is the most", ring_dirs.len());
    }
    Ok(ring_dirs)
}

/// Checks the settings and shows them, as a configuration file that says the same.
pub(crate) fn check(common: &Common, flags: RunFlags) -> anyhow::Result<()> {
    let settings = Source::new(common, flags).load()?;
    let mut out = std::io::stdout().lock();
    match &common.config {
        Some(path) => writeln!(out, "# {} is sound; with the flags it means", path.display())?,
        None => writeln!(out, "# no configuration file: the defaults and the flags")?,
    }
    settings.write_toml(&mut out)?;
    Ok(out.flush()?)
}

impl Settings {
    /// What is to be sampled in a lane.
    pub(crate) fn sampling(&self, lane: &Lane) -> Sampling {
        let Watched { datastores, filesystems, cgroups, textfiles } = &self.watched;
        Sampling {
            roots: self.roots.clone(),
            sources: lane.sources.clone(),
            interval: lane.interval,
            datastores: datastores.clone(),
            filesystems: filesystems.clone(),
            cgroups: cgroups.clone(),
            textfiles: textfiles.clone(),
        }
    }
}

fn read(path: Option<&Path>) -> anyhow::Result<File> {
    let Some(path) = path else { return Ok(File::default()) };
    let reading = || format!("cannot read the configuration {}", path.display());
    let size = fs::metadata(path).with_context(reading)?.len();
    if size > FILE_BYTES_MAX {
        bail!(
            "the configuration {} has {size} bytes; {FILE_BYTES_MAX} is the most",
            path.display()
        );
    }
    let text = fs::read_to_string(path).with_context(reading)?;
    parse(&text).with_context(|| format!("in the configuration {}", path.display()))
}

/// What the text of a file says, or in one line what is wrong where.
pub(crate) fn parse(text: &str) -> anyhow::Result<File> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let wrong = error.message().lines().collect::<Vec<_>>().join("; ");
        // A key is quoted as it is, and may have any character in it.
        let wrong = wrong.replace(char::is_control, "\u{fffd}");
        let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
            return anyhow::Error::msg(wrong);
        };
        let index = before.matches('\n').count();
        let line = text.lines().nth(index).unwrap_or_default().trim();
        let line: String = line.chars().take(LINE_CHARS_MAX).collect();
        anyhow::anyhow!("line {}, `{}`: {wrong}", index + 1, line.escape_debug())
    })
}

/// The settings that a file and flags give, flags first.
pub(crate) fn merge(file: File, common: &Common, flags: RunFlags) -> anyhow::Result<Settings> {
    let RunFlags { record, serve } = flags;
    let defaults = Roots::default();
    let roots = Roots {
        procfs: record.procfs.or(file.procfs).unwrap_or(defaults.procfs),
        sysfs: record.sysfs.or(file.sysfs).unwrap_or(defaults.sysfs),
        rootfs: record.rootfs.or(file.rootfs).unwrap_or(defaults.rootfs),
    };
    let File { interval, depth, cpu, policy, sources, .. } = file;
    let top = Pace { interval, depth, cpu, policy, sources };
    let flags = LaneFlags {
        interval: record.interval,
        depth: record.depth,
        sources: record.sources,
        lanes: record.lanes,
    };
    let lanes = lane::lanes(top, file.lane, flags)?;
    let watched = Watched::of(
        file.datastore,
        record.datastores,
        file.filesystem,
        file.cgroup,
        file.textfile,
    )?;
    let insecure_listen = serve.insecure_listen || file.http.insecure_listen.unwrap_or(false);
    let limits = limits(&serve, &file.http)?;
    let access_log = serve.access_log || file.http.access_log.unwrap_or(false);
    let compression = compression(&file.http);
    let places = Places::of(&serve.listen, file.http.listen, file.http.unix)?;
    check_open(&places.addresses, insecure_listen)?;
    let hosts = hosts(file.http.hosts)?;
    let log = common.log.clone().or(file.log).unwrap_or_else(|| LOG_DEFAULT.to_owned());
    let log = log::level(&log).map_err(anyhow::Error::msg)?;
    Ok(Settings {
        run_dir: common.run_dir.clone().or(file.run_dir),
        state_dir: common.state_dir.clone().or(file.state_dir),
        ring_dirs: choose_ring_dirs(common, file.ring_dirs)?,
        log,
        lanes,
        mlock: file.mlock.unwrap_or(false),
        roots,
        watched,
        places,
        insecure_listen,
        limits,
        access_log,
        compression,
        hosts,
    })
}

/// Refuses addresses beyond this machine unless they are meant.
pub(crate) fn check_open(addresses: &[SocketAddr], insecure: bool) -> anyhow::Result<()> {
    if let Some(open) = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback())
        && !insecure
    {
        bail!(
            "{open} can be reached from beyond this machine, and tokens would cross the network as \
             they are: say so with --insecure-listen if that is meant"
        );
    }
    Ok(())
}

fn limits(serve: &ServeFlags, file: &Http) -> anyhow::Result<Limits> {
    let defaults = Limits::default();
    let pick = |flag: Option<Duration>, file: Option<Span>, default| {
        flag.or(file.map(|span| span.0)).unwrap_or(default)
    };
    let connections_max = serve.connections_max.or(file.connections_max);
    let per_address = file.connections_per_address_max;
    let limits = Limits {
        connections_max: connections_max.unwrap_or(defaults.connections_max),
        connections_per_address_max: per_address.unwrap_or(defaults.connections_per_address_max),
        header_bytes_max: file.header_bytes_max.unwrap_or(defaults.header_bytes_max),
        header_timeout: pick(serve.header_timeout, file.header_timeout, defaults.header_timeout),
        idle_timeout: pick(serve.idle_timeout, file.idle_timeout, defaults.idle_timeout),
        write_timeout: pick(serve.write_timeout, file.write_timeout, defaults.write_timeout),
        body_bytes_max: file.body_bytes_max.unwrap_or(defaults.body_bytes_max),
        points_max: file.points_max.unwrap_or(defaults.points_max),
        streams_max: file.streams_max.unwrap_or(defaults.streams_max),
        grace: pick(None, file.grace, defaults.grace),
    };
    within("connections_max", limits.connections_max, 1..=CONNECTIONS_MAX)?;
    within("connections_per_address_max", limits.connections_per_address_max, 1..=CONNECTIONS_MAX)?;
    within("header_bytes_max", limits.header_bytes_max, REQUEST_BYTES)?;
    within("body_bytes_max", limits.body_bytes_max, REQUEST_BYTES)?;
    within("points_max", limits.points_max, 1..=POINTS_MAX)?;
    within("streams_max", limits.streams_max, 0..=CONNECTIONS_MAX)?;
    Ok(limits)
}

fn within<T: PartialOrd + Display>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> anyhow::Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    bail!("{name} = {value} is not {} to {}", range.start(), range.end())
}

fn compression(file: &Http) -> Compression {
    let defaults = Compression::default();
    Compression {
        bytes_min: file.compress_min_bytes.unwrap_or(defaults.bytes_min),
        on_loopback: file.compress_loopback.unwrap_or(defaults.on_loopback),
    }
}

/// Names without anything that belongs to an address and not to a name.
fn hosts(hosts: Vec<String>) -> anyhow::Result<Vec<String>> {
    if hosts.len() > HOSTS_MAX {
        bail!("there are {} hosts; {HOSTS_MAX} is the most", hosts.len());
    }
    for text in &hosts {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text != "*" && headers::host(name) != Some(headers::Host::Name(name)) {
            bail!(
                "{text:?} among the hosts is no name: write `shop.example.org`, `*.example.org` for \
                 all names that end so, or `*` for all names"
            );
        }
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, flags: RunFlags) -> anyhow::Result<Settings> {
        merge(parse(text)?, &Common::default(), flags)
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", settings(text, RunFlags::default()).expect_err(text))
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let mut flags = RunFlags::default();
        flags.record.interval = Some(Duration::from_millis(20));
        let text = "interval = '5s'\ndepth = '10min'\n[http]\nlisten = ['127.0.0.1:0']";
        let settings = settings(text, flags).expect("sound");
        assert_eq!(settings.lanes[0].interval, Duration::from_millis(20));
        assert_eq!(settings.lanes[0].depth, Depth::Asked(Duration::from_secs(600)));
        assert_eq!(settings.places.addresses, ["127.0.0.1:0".parse().expect("an address")]);
        assert_eq!(settings.limits.connections_max, Limits::default().connections_max);
    }

    #[test]
    fn unknown_keys_are_refused_by_name_and_line() {
        let message = refusal("interval = '1s'\nintervall = '2s'\n");
        assert!(message.contains("intervall") && message.contains("line 2"), "{message}");
        assert!(refusal("[http]\nlisten_on = 3").contains("listen_on"));
        assert!(refusal("[sources]\nvmstatt = 3").contains("vmstatt"));
    }

    /// A mistake was told in five lines, with an arrow under the place.
    #[test]
    fn mistakes_are_told_in_one_line() {
        let long = format!("log = {}", "x".repeat(10_000));
        for (text, line) in [
            ("log = \"", 1),
            ("\n\n[http", 3),
            ("depth = '5min'\r\ncpu = -1\r\n", 2),
            ("\n[sources]\nvmstat = 'x'", 2),
            ("a = 1\u{1b}[31m", 1),
            ("\"\\u001b[31m\\r\" = 1", 1),
            (&long, 1),
        ] {
            let message = refusal(text);
            assert!(message.starts_with(&format!("line {line}, `")), "{text}: {message}");
            assert!(!message.contains(char::is_control) && message.len() < 1000, "{message}");
        }
        assert!(refusal("cpu = -1").contains("the number of a CPU"));
    }

    #[test]
    fn values_out_of_bounds_are_named() {
        assert!(refusal("interval = '1us'").contains("interval"));
        assert!(refusal("interval = '2min'").contains("interval"));
        assert!(refusal("depth = '100ms'").contains("depth"));
        assert!(refusal("log = 'loud'").contains("loud"));
        assert!(refusal("interval = '7'").contains("no duration"));
        for key in ["connections_max", "connections_per_address_max", "points_max"] {
            assert!(refusal(&format!("[http]\n{key} = 0")).contains(key));
        }
        for key in ["header_bytes_max", "body_bytes_max", "streams_max"] {
            assert!(refusal(&format!("[http]\n{key} = 2000000")).contains(key));
        }
        for host in ["", "a:80", "https://a", "*a", "a.*", "**", "10.0.0.1", "[::1]", "a b", "a."] {
            assert!(refusal(&format!("[http]\nhosts = ['{host}']")).contains("hosts"), "{host}");
        }
        let many = vec!["'a'"; HOSTS_MAX + 1].join(",");
        assert!(refusal(&format!("[http]\nhosts = [{many}]")).contains("65 hosts"));
        let many = vec!["'/a'"; RING_DIRS_MAX + 1].join(",");
        assert!(refusal(&format!("ring_dirs = [{many}]")).contains("17 ring_dirs"));
    }

    #[test]
    fn open_addresses_must_be_said_out_loud() {
        let text = "[http]\nlisten = ['0.0.0.0:8017']";
        assert!(refusal(text).contains("--insecure-listen"));
        let mut flags = RunFlags::default();
        flags.serve.insecure_listen = true;
        assert!(settings(text, flags).is_ok());
    }

    #[test]
    fn flags_say_all_places_or_none() {
        let text = "[http]\nlisten = ['127.0.0.1:1', 'unix:/run/a']\n\
                    [[http.unix]]\npath = '/run/b'\nmode = '0666'";
        let places = settings(text, RunFlags::default()).expect("sound").places;
        assert_eq!(places.addresses, ["127.0.0.1:1".parse().expect("an address")]);
        let modes: Vec<_> = places.sockets.iter().map(|socket| socket.mode).collect();
        assert_eq!(modes, [0o660, 0o666]);
        let mut flags = RunFlags::default();
        flags.serve.listen = vec![Listen::Unix("/run/c".into())];
        let places = settings(text, flags).expect("sound").places;
        assert_eq!((places.addresses.len(), places.sockets.len()), (0, 1));
        assert_eq!(places.sockets[0].path, Path::new("/run/c"));
        for (text, says) in [
            ("listen = ['unix:a']", "not absolute"),
            ("listen = ['unix:/a', 'unix:/a']", "two sockets"),
            ("listen = ['a']", "unix:/run"),
            ("unix = [{ path = '/a', mode = '0o660' }]", "mode"),
            ("unix = [{ path = '/a', owner = 'me' }]", "owner"),
        ] {
            let message = refusal(&format!("[http]\n{text}"));
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn settings_are_shown_as_a_file_that_says_the_same() {
        let text = "run_dir = 'a \"b\"'\nstate_dir = '/var/lib/x'\nring_dirs = ['/run/shop', '/run/mill']\n\
                    log = 'warn'\nmlock = true\n\
                    procfs = '/p'\nsysfs = '/s'\nrootfs = '/r'\n\
                    interval = '15ms'\ndepth = '5400s'\ncpu = 1\npolicy = 'rr:3'\n\
                    [sources]\nvmstat = 5\nuptime = 0\n\
                    [[lane]]\nname = 'fast'\ncpu = [0, 1]\n\
                    [[lane]]\nname = 'slow'\ninterval = '10s'\nsources = ['stat', 'vmstat']\n\
                    [[datastore]]\nname = 's1'\npath = '/srv/s 1'\nremovable = true\n\
                    [filesystem]\ntypes_exclude = ['nfs*']\nmount_points_include = ['/a', '/b']\n\
                    [cgroup]\ndepth = 2\ninclude = ['system.slice/*']\ncount_max = 10\n\
                    [textfile]\ndirectory = '/var/lib/t'\n\
                    [http]\nlisten = ['[::]:1', '127.0.0.1:0']\ninsecure_listen = true\n\
                    connections_max = 3\nconnections_per_address_max = 2\n\
                    header_bytes_max = 2000\nheader_timeout = '1s'\nidle_timeout = '120s'\n\
                    write_timeout = '3ms'\nbody_bytes_max = 5000\npoints_max = 6000\n\
                    streams_max = 0\ngrace = '7s'\naccess_log = true\n\
                    compress_min_bytes = 7\ncompress_loopback = true\n\
                    hosts = ['shop.example.org', '*.lan', '*']\n\
                    [[http.unix]]\npath = '/run/a b'\nmode = '0600'\ngroup = 'adm'\n\
                    [[http.unix]]\npath = '/run/c'\nmode = '0666'\n";
        let shown = |text: &str| {
            let mut shown = Vec::new();
            let settings = settings(text, RunFlags::default()).expect(text);
            settings.write_toml(&mut shown).expect("a buffer");
            String::from_utf8(shown).expect("text")
        };
        let first = shown(text);
        assert_eq!(shown(&first), first);
        let shown_values = first.replace(['"', '\''], "");
        // These two are written in another way.
        let said = |line: &&str| !line.contains("sources") && *line != "cpu = 1";
        for line in text.lines().filter(said) {
            assert!(shown_values.contains(&line.replace(['"', '\''], "")), "{line} in {first}");
        }
        assert_eq!(shown(&shown("")), shown(""));
    }

    #[test]
    fn lanes_are_the_host_and_what_is_added() {
        let only = settings("", RunFlags::default()).expect("sound");
        let [host] = &only.lanes[..] else { panic!("{:?}", only.lanes) };
        assert_eq!((&*host.name, host.interval), (LANE, Duration::from_secs(1)));
        let mut flags = RunFlags::default();
        flags.record.lanes = vec!["fast".into()];
        flags.record.interval = Some(Duration::from_secs(5));
        let text = "[[lane]]\nname = 'host'\ndepth = '2h'\nsources = ['stat']";
        let both = settings(text, flags).expect("sound");
        let [host, fast] = &both.lanes[..] else { panic!("{:?}", both.lanes) };
        assert_eq!(host.interval, Duration::from_secs(5));
        assert_eq!(host.depth, Depth::Asked(Duration::from_secs(7200)));
        assert_eq!(host.sources.iter().filter(|(_, divisor)| *divisor > 0).count(), 1);
        assert_eq!((&*fast.name, fast.interval), ("fast", Duration::from_millis(10)));
        assert_eq!(fast.sources.iter().filter(|(_, divisor)| *divisor > 0).count(), 4);
    }

    #[test]
    fn lanes_that_cannot_be_are_refused_by_name() {
        for (text, says) in [
            ("[[lane]]\nname = 'a/b'\nsources = ['stat']", "\"a/b\""),
            ("[[lane]]\nname = 'x'", "\"x\": it has no sources"),
            ("[[lane]]\nname = 'x'\nsources = ['stats']", "stats"),
            ("[[lane]]\nname = 'x'\nsources = ['stat']\ncpu = 100000", "100000"),
            ("[[lane]]\nname = 'x'\nsources = ['stat']\ncpu = []", "no CPU"),
            ("[[lane]]\nname = 'x'\nsources = ['stat']\npolicy = 'fifo'", "\"fifo\""),
            ("[[lane]]\nname = 'x'\nsources = ['stat']\nnice = 3", "nice"),
            ("[[lane]]\nname = 'fast'\n[[lane]]\nname = 'fast'", "two lanes \"fast\""),
            ("interval = '2s'\n[[lane]]\nname = 'host'\ndepth = '1h'", "both"),
            ("[[lane]]\nname = 'fast'\ndepth = '1ms'", "shorter"),
        ] {
            let message = refusal(text);
            assert!(message.contains(says), "{text}: {message}");
        }
        let mut flags = RunFlags::default();
        flags.record.lanes = vec!["slow".into()];
        let error = settings("", flags).expect_err("it is nowhere");
        assert!(error.to_string().contains("\"slow\""), "{error}");
    }

    #[test]
    fn what_cannot_be_watched_is_refused_by_name() {
        for (text, says) in [
            ("[[datastore]]\nname = 'a/b'\npath = '/x'", "\"a/b\""),
            ("[[datastore]]\nname = '.a'\npath = '/x'", "\".a\""),
            ("[[datastore]]\nname = 'a'\npath = 'x'", "not absolute"),
            (
                "[[datastore]]\nname = 'a'\npath = '/x'\n[[datastore]]\nname = 'a'\npath = '/y'",
                "two",
            ),
            ("[[datastore]]\nname = 'a'", "path"),
            ("[filesystem]\ntypes_exclude = ['a[']", "a["),
            ("[cgroup]\ndepth = 0", "depth"),
            ("[cgroup]\ninclude = ['[']", "\"[\""),
            ("[textfile]\ndir = '/x'", "dir"),
        ] {
            let message = refusal(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
