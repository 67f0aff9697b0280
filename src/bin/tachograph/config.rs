//! Settings: built-in defaults, then the file, then flags.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tachograph::http::Limits;
use tachograph::sample::{Roots, Sampling, Selection};

use crate::cli::{self, Common, RunFlags, ServeFlags};
use crate::log;

/// The lane that everything is recorded in.
pub(crate) const LANE: &str = "host";

const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const DEPTH_DEFAULT: Duration = Duration::from_secs(3600);
const LOG_DEFAULT: &str = "info";
const LISTEN_DEFAULT: &str = "127.0.0.1:8017";
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How the program is to behave.
#[derive(Debug)]
pub(crate) struct Settings {
    pub run_dir: Option<PathBuf>,
    pub log: String,
    pub interval: Duration,
    pub depth: Depth,
    pub roots: Roots,
    pub sources: Selection,
    pub listen: Vec<SocketAddr>,
    pub insecure_listen: bool,
    pub limits: Limits,
}

/// How far back the ring reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As was asked for; refused where it does not fit.
    Asked(Duration),
    /// The default; less where it would take much memory.
    Default(Duration),
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    run_dir: Option<PathBuf>,
    log: Option<String>,
    interval: Option<Interval>,
    depth: Option<Span>,
    procfs: Option<PathBuf>,
    sysfs: Option<PathBuf>,
    rootfs: Option<PathBuf>,
    #[serde(default)]
    sources: BTreeMap<String, u32>,
    #[serde(default)]
    http: Http,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    listen: Option<Vec<SocketAddr>>,
    insecure_listen: Option<bool>,
    connections_max: Option<usize>,
    header_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    write_timeout: Option<Span>,
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

/// The settings for a command.
pub(crate) fn load(common: &Common, flags: RunFlags) -> anyhow::Result<Settings> {
    merge(read(common.config.as_deref())?, common, flags)
}

/// The directory of the rings as it was asked for, for commands that need no other setting.
pub(crate) fn run_dir(common: &Common) -> anyhow::Result<Option<PathBuf>> {
    Ok(match &common.run_dir {
        Some(dir) => Some(dir.clone()),
        None => read(common.config.as_deref())?.run_dir,
    })
}

/// Checks the settings and shows them, as a configuration file that says the same.
pub(crate) fn check(common: &Common, flags: RunFlags) -> anyhow::Result<()> {
    let settings = load(common, flags)?;
    let mut out = std::io::stdout().lock();
    match &common.config {
        Some(path) => writeln!(out, "# {} is sound; with the flags it means", path.display())?,
        None => writeln!(out, "# no configuration file: the defaults and the flags")?,
    }
    settings.write_toml(&mut out)?;
    Ok(out.flush()?)
}

impl Settings {
    /// What is to be sampled.
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling {
            roots: self.roots.clone(),
            sources: self.sources.clone(),
            interval: self.interval,
            ..Sampling::default()
        }
    }

    fn write_toml(&self, out: &mut impl Write) -> std::io::Result<()> {
        let text = |text: &str| toml::Value::from(text).to_string();
        let path = |path: &Path| text(&path.to_string_lossy());
        let Self { run_dir, log, interval, depth, roots, sources, listen, limits, .. } = self;
        match run_dir {
            Some(dir) => writeln!(out, "run_dir = {}", path(dir))?,
            None => writeln!(out, "# run_dir is the first usual place that is on tmpfs")?,
        }
        writeln!(out, "log = {}", text(log))?;
        writeln!(out, "interval = \"{interval:?}\"")?;
        match depth {
            Depth::Asked(depth) => writeln!(out, "depth = \"{depth:?}\"")?,
            Depth::Default(depth) => {
                writeln!(out, "# depth is {}, or less to save memory", crate::show::span(*depth))?;
            }
        }
        writeln!(out, "procfs = {}", path(&roots.procfs))?;
        writeln!(out, "sysfs = {}", path(&roots.sysfs))?;
        writeln!(out, "rootfs = {}", path(&roots.rootfs))?;
        writeln!(out, "\n[sources] # read at every Nth tick; 0 is never")?;
        for (name, divisor) in sources.iter() {
            writeln!(out, "{name} = {divisor}")?;
        }
        let listen: Vec<_> = listen.iter().map(|address| text(&address.to_string())).collect();
        writeln!(out, "\n[http]\nlisten = [{}]", listen.join(", "))?;
        writeln!(out, "insecure_listen = {}", self.insecure_listen)?;
        writeln!(out, "connections_max = {}", limits.connections_max)?;
        writeln!(out, "header_timeout = \"{:?}\"", limits.header_timeout)?;
        writeln!(out, "idle_timeout = \"{:?}\"", limits.idle_timeout)?;
        writeln!(out, "write_timeout = \"{:?}\"", limits.write_timeout)
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
    toml::from_str(&text).with_context(|| format!("in the configuration {}", path.display()))
}

fn merge(file: File, common: &Common, flags: RunFlags) -> anyhow::Result<Settings> {
    let RunFlags { record, serve } = flags;
    let interval =
        record.interval.or(file.interval.map(|interval| interval.0)).unwrap_or(INTERVAL_DEFAULT);
    let depth = match record.depth.or(file.depth.map(|span| span.0)) {
        Some(depth) if depth < interval => {
            bail!("depth {depth:?} is shorter than the interval {interval:?}")
        }
        Some(depth) => Depth::Asked(depth),
        None => Depth::Default(DEPTH_DEFAULT),
    };
    let defaults = Roots::default();
    let roots = Roots {
        procfs: record.procfs.or(file.procfs).unwrap_or(defaults.procfs),
        sysfs: record.sysfs.or(file.sysfs).unwrap_or(defaults.sysfs),
        rootfs: record.rootfs.or(file.rootfs).unwrap_or(defaults.rootfs),
    };
    let mut sources = Selection::default();
    for (name, divisor) in file.sources.into_iter().chain(record.sources) {
        sources.set(&name, divisor)?;
    }
    let insecure_listen = serve.insecure_listen || file.http.insecure_listen.unwrap_or(false);
    let listen = listen(&serve, &file.http, insecure_listen)?;
    let limits = limits(&serve, &file.http)?;
    let log = common.log.clone().or(file.log).unwrap_or_else(|| LOG_DEFAULT.to_owned());
    let log = log::level(&log).map_err(anyhow::Error::msg)?;
    Ok(Settings {
        run_dir: common.run_dir.clone().or(file.run_dir),
        log,
        interval,
        depth,
        roots,
        sources,
        listen,
        insecure_listen,
        limits,
    })
}

fn listen(serve: &ServeFlags, file: &Http, insecure: bool) -> anyhow::Result<Vec<SocketAddr>> {
    let listen = match (serve.listen.is_empty(), &file.listen) {
        (false, _) => serve.listen.clone(),
        (true, Some(listen)) => listen.clone(),
        (true, None) => vec![LISTEN_DEFAULT.parse()?],
    };
    if let Some(open) = listen.iter().find(|address| !address.ip().is_loopback())
        && !insecure
    {
        bail!(
            "{open} can be reached from beyond this machine, and whoever reaches it can read \
             everything: say so with --insecure-listen if that is meant"
        );
    }
    Ok(listen)
}

fn limits(serve: &ServeFlags, file: &Http) -> anyhow::Result<Limits> {
    let defaults = Limits::default();
    let pick = |flag: Option<Duration>, file: Option<Span>, default| {
        flag.or(file.map(|span| span.0)).unwrap_or(default)
    };
    let connections_max = serve.connections_max.or(file.connections_max);
    let limits = Limits {
        connections_max: connections_max.unwrap_or(defaults.connections_max),
        header_timeout: pick(serve.header_timeout, file.header_timeout, defaults.header_timeout),
        idle_timeout: pick(serve.idle_timeout, file.idle_timeout, defaults.idle_timeout),
        write_timeout: pick(serve.write_timeout, file.write_timeout, defaults.write_timeout),
        ..defaults
    };
    if limits.connections_max == 0 {
        bail!("connections_max is 0: nobody could connect");
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, flags: RunFlags) -> anyhow::Result<Settings> {
        merge(toml::from_str(text)?, &Common::default(), flags)
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
        assert_eq!(settings.interval, Duration::from_millis(20));
        assert_eq!(settings.depth, Depth::Asked(Duration::from_secs(600)));
        assert_eq!(settings.listen, ["127.0.0.1:0".parse().expect("an address")]);
        assert_eq!(settings.limits.connections_max, Limits::default().connections_max);
    }

    #[test]
    fn unknown_keys_are_refused_by_name_and_line() {
        let message = refusal("interval = '1s'\nintervall = '2s'\n");
        assert!(message.contains("intervall") && message.contains("line 2"), "{message}");
        assert!(refusal("[http]\nlisten_on = 3").contains("listen_on"));
        assert!(refusal("[sources]\nvmstatt = 3").contains("vmstatt"));
    }

    #[test]
    fn values_out_of_bounds_are_named() {
        assert!(refusal("interval = '1us'").contains("interval"));
        assert!(refusal("interval = '2min'").contains("interval"));
        assert!(refusal("depth = '100ms'").contains("depth"));
        assert!(refusal("log = 'loud'").contains("loud"));
        assert!(refusal("interval = '7'").contains("no duration"));
        assert!(refusal("[http]\nconnections_max = 0").contains("connections_max"));
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
    fn settings_are_shown_as_a_file_that_says_the_same() {
        let text = "run_dir = 'a \"b\"'\nlog = 'warn'\ninterval = '1500us'\ndepth = '90min'\n\
                    procfs = '/p'\nsysfs = '/s'\nrootfs = '/r'\n\
                    [sources]\nvmstat = 5\nfilesystem = 0\n\
                    [http]\nlisten = ['[::]:1', '127.0.0.1:0']\ninsecure_listen = true\n\
                    connections_max = 3\nheader_timeout = '1s'\nidle_timeout = '2min'\n\
                    write_timeout = '3ms'\n";
        let shown = |text: &str| {
            let mut shown = Vec::new();
            let settings = settings(text, RunFlags::default()).expect(text);
            settings.write_toml(&mut shown).expect("a buffer");
            String::from_utf8(shown).expect("text")
        };
        let first = shown(text);
        assert_eq!(shown(&first), first);
        for (key, value) in text.parse::<toml::Table>().expect("sound") {
            assert!(first.contains(&*key), "{key} = {value} in {first}");
        }
        assert_eq!(shown(&shown("")), shown(""));
    }
}
