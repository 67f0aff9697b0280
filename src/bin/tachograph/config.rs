//! Settings: built-in defaults, then the file, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tachograph::http::Limits;
use tachograph::ring::RunDir;
use tachograph::sample::{Roots, Selection};

use crate::cli::{self, Common, RunFlags};

/// The lane that everything is recorded in.
pub(crate) const LANE: &str = "host";

const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const DEPTH_DEFAULT: Duration = Duration::from_secs(3600);
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

impl Depth {
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Asked(depth) | Self::Default(depth) => depth,
        }
    }
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    run_dir: Option<PathBuf>,
    log: Option<String>,
    interval: Option<Span>,
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

/// The settings for a command.
pub(crate) fn load(common: &Common, flags: RunFlags) -> anyhow::Result<Settings> {
    merge(read(common.config.as_deref())?, common, flags)
}

/// The directory of the rings for commands that need no other setting.
pub(crate) fn run_dir(common: &Common) -> anyhow::Result<RunDir> {
    let wanted = match &common.run_dir {
        Some(dir) => Some(dir.clone()),
        None => read(common.config.as_deref())?.run_dir,
    };
    Ok(RunDir::holding(LANE, wanted.as_deref())?)
}

/// Checks the settings and shows them.
pub(crate) fn check(common: &Common, flags: RunFlags) -> anyhow::Result<()> {
    use std::io::Write as _;
    let settings = load(common, flags)?;
    let mut out = std::io::stdout().lock();
    match &common.config {
        Some(path) => writeln!(out, "{}: sound", path.display())?,
        None => writeln!(out, "no configuration file; these are the defaults and flags")?,
    }
    let run_dir =
        settings.run_dir.as_deref().map_or("(found at start)".into(), Path::to_string_lossy);
    writeln!(out, "run_dir   {run_dir}")?;
    writeln!(out, "interval  {:?}", settings.interval)?;
    writeln!(out, "depth     {}", crate::show::span(settings.depth.duration()))?;
    let Roots { procfs, sysfs, rootfs } = &settings.roots;
    writeln!(out, "roots     {} {} {}", procfs.display(), sysfs.display(), rootfs.display())?;
    for (name, divisor) in settings.sources.iter() {
        let turn = match divisor {
            0 => "off".to_owned(),
            1 => "each tick".to_owned(),
            n => format!("each {n} ticks"),
        };
        writeln!(out, "source    {name:<10} {turn}")?;
    }
    for address in &settings.listen {
        writeln!(out, "listen    {address}")?;
    }
    let Limits { connections_max, header_timeout, idle_timeout, write_timeout, .. } =
        settings.limits;
    writeln!(
        out,
        "limits    {connections_max} connections, header {header_timeout:?}, idle {idle_timeout:?}, write {write_timeout:?}"
    )?;
    Ok(())
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
    let interval = record.interval.or(file.interval.map(|span| span.0)).unwrap_or(INTERVAL_DEFAULT);
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        bail!("interval {interval:?} is out of bounds: {INTERVAL_MIN:?} to {INTERVAL_MAX:?}");
    }
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
    let listen = match (serve.listen.is_empty(), file.http.listen) {
        (false, _) => serve.listen,
        (true, Some(listen)) => listen,
        (true, None) => vec![LISTEN_DEFAULT.parse()?],
    };
    let insecure = serve.insecure_listen || file.http.insecure_listen.unwrap_or(false);
    if let Some(open) = listen.iter().find(|address| !address.ip().is_loopback())
        && !insecure
    {
        bail!(
            "{open} can be reached from beyond this machine, and whoever reaches it can read \
             everything: say so with --insecure-listen if that is meant"
        );
    }
    let defaults = Limits::default();
    let pick = |flag: Option<Duration>, file: Option<Span>, default| {
        flag.or(file.map(|span| span.0)).unwrap_or(default)
    };
    let limits = Limits {
        connections_max: serve
            .connections_max
            .or(file.http.connections_max)
            .unwrap_or(defaults.connections_max),
        header_timeout: pick(
            serve.header_timeout,
            file.http.header_timeout,
            defaults.header_timeout,
        ),
        idle_timeout: pick(serve.idle_timeout, file.http.idle_timeout, defaults.idle_timeout),
        write_timeout: pick(serve.write_timeout, file.http.write_timeout, defaults.write_timeout),
        ..defaults
    };
    if limits.connections_max == 0 {
        bail!("connections_max is 0: nobody could connect");
    }
    Ok(Settings {
        run_dir: common.run_dir.clone().or(file.run_dir),
        log: common.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned()),
        interval,
        depth,
        roots,
        sources,
        listen,
        limits,
    })
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
}
