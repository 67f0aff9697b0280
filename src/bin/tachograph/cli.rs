//! Flags and help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{Span, Timestamp, Zoned};
use tachograph::encode::Moment;
pub(crate) use tachograph::encode::duration;
use tachograph::rights::{AclPath, AuthId, Role};
use tachograph::sample::{SOURCES, Selection};

use super::{config, log};

const AFTER_HELP: &str = "\
Examples:
  tachograph                                   record this host and answer on 127.0.0.1:8017
  tachograph run --interval 10ms --depth 5min  a hundred times a second, five minutes back
  tachograph snapshot                          the newest record as a table
  tachograph tail                              a line per record, as it happens
  tachograph inspect                           what is in the ring, and whether it is sound

Durations are written 10ms, 1s, 5min, 1h. `tachograph COMMAND --help` tells more.";

const EXPORT_HELP: &str = "\
Examples:
  tachograph export --match 'host/load*'                        every record of the last 5 minutes
  tachograph export --from -1h --step 1min --match 'nic/eth0/*' --format ndjson
  tachograph export --file incident.ring --step 10s > incident.csv
  tachograph export --from -1h --format openmetrics > hour.om";

const TOKEN_HELP: &str = "\
Examples:
  tachograph token add 'alice@pbs!prometheus' --expire 365d --comment 'the scraper in rack 2'
  tachograph token disable 'alice@pbs!prometheus'

A running server knows of a change within a second.";

const ACL_HELP: &str = "\
Examples:
  tachograph acl add /system/status alice@pbs Audit           what the host says of itself
  tachograph acl add /datastore/store1 'alice@pbs!t' DatastoreAudit
  tachograph acl check 'alice@pbs!t' /datastore/store1

Deeper roles replace those above. A token may do what both it and its owner may do. Whoever
says nothing of who they are is anonymous@local.";

/// Heading of the flags that every command has.
const COMMON: &str = "Common options";
/// Bounds of the time between records.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Records a Linux host's vitals into shared memory, many times a second, and serves any window of them
#[derive(Debug, Parser)]
#[command(name = "tachograph", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Read settings from this TOML file; flags override it
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// Where the rings live [default: the first of /run/tachograph (root),
    /// $XDG_RUNTIME_DIR/tachograph and /dev/shm/tachograph-UID that is on tmpfs]
    #[arg(long, global = true, value_name = "DIR", help_heading = COMMON)]
    pub run_dir: Option<PathBuf>,
    /// Where it stands who may read what [default: $STATE_DIRECTORY, /var/lib/tachograph (root) or
    /// $XDG_STATE_HOME/tachograph]
    #[arg(long, global = true, value_name = "DIR", help_heading = COMMON)]
    pub state_dir: Option<PathBuf>,
    /// Look for rings of applications here as well: for those that run as other users. May be given
    /// several times
    #[arg(long = "ring-dir", global = true, value_name = "DIR", help_heading = COMMON)]
    pub ring_dirs: Vec<PathBuf>,
    /// What to log to stderr: error, warn, info, debug, trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log::level, help_heading = COMMON)]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record and serve in one process (the default)
    Run(RunFlags),
    /// Record only: no network at all
    Record(RecordFlags),
    /// Serve an existing ring, read-only; as many at once as you like
    Serve(ServeCommand),
    /// Show the newest record as a table
    Snapshot(SnapshotFlags),
    /// Print a line per record, as it is published
    Tail(TailFlags),
    /// Keep a ring, or a part of it, as a file that can be read anywhere
    Save(SaveFlags),
    /// Write a window of the rings as CSV or JSON
    Export(ExportFlags),
    /// Show header, directory, writer and integrity of a ring; safe on any file
    Inspect(InspectFlags),
    /// Make, list, disable and remove tokens, by which clients prove who they are
    #[command(subcommand, after_help = TOKEN_HELP, disable_help_subcommand = true)]
    Token(TokenCommand),
    /// Say who may read what: roles on paths
    #[command(subcommand, after_help = ACL_HELP, disable_help_subcommand = true)]
    Acl(AclCommand),
    /// Check a configuration and show the settings that would be used
    CheckConfig(RunFlags),
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and its user if there is none; shows the secret, this once
    Add {
        /// Its id: user@realm!name
        id: AuthId,
        /// Until when it may be used: 90d, 2027-11-23T00:00:00Z [default: for ever]
        #[arg(long, value_name = "TIME", value_parser = expiry)]
        expire: Option<Timestamp>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// List the tokens
    List,
    /// Let a token open nothing until it is enabled again
    Disable {
        /// Its id
        id: AuthId,
    },
    /// Let a token be used again
    Enable {
        /// Its id
        id: AuthId,
    },
    /// Remove a token and its rights
    Remove {
        /// Its id
        id: AuthId,
    },
}

/// What to do with rights.
#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Give somebody a role
    Add {
        /// Where: /, /system/status, /datastore, /datastore/NAME, /application/NAME
        path: AclPath,
        /// Whom: a user, a token, or anonymous@local
        id: AuthId,
        /// Which: Audit, DatastoreAudit, NoAccess, ...
        role: Role,
        /// There alone, and not below
        #[arg(long)]
        no_propagate: bool,
    },
    /// Take a role away
    Remove {
        /// Where
        path: AclPath,
        /// From whom
        id: AuthId,
        /// Which [default: all of them]
        role: Option<Role>,
    },
    /// List the roles
    List,
    /// Show what somebody may do
    Check {
        /// Who
        id: AuthId,
        /// Where
        path: AclPath,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub record: RecordFlags,
    #[command(flatten)]
    pub serve: ServeFlags,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordFlags {
    /// Time between records, 1ms to 60s [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    pub interval: Option<Duration>,
    /// How far back the ring reaches [default: 60min, less where that would take over 256 MiB]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub depth: Option<Duration>,
    /// Record this lane as well: `fast` is CPU, network, disks and pressure every 10ms, 5min back;
    /// others are in the configuration. May be given several times
    #[arg(long = "lane", value_name = "NAME")]
    pub lanes: Vec<String>,
    #[arg(long = "source", value_name = "NAME=N", value_parser = source, help = source_help())]
    pub sources: Vec<(String, u32)>,
    /// Watch the directory PATH as the store NAME. May be given several times
    #[arg(long = "datastore", value_name = "NAME=PATH", value_parser = datastore)]
    pub datastores: Vec<(String, PathBuf)>,
    /// The kernel's process tree [default: /proc]
    #[arg(long, value_name = "DIR")]
    pub procfs: Option<PathBuf>,
    /// The kernel's device tree [default: /sys]
    #[arg(long, value_name = "DIR")]
    pub sysfs: Option<PathBuf>,
    /// The root file system [default: /]
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Serving")]
pub(crate) struct ServeFlags {
    /// Address to listen on, or unix:PATH for a socket in the file system; port 0 lets the system
    /// choose. May be given several times [default: 127.0.0.1:8017]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<config::Listen>,
    /// Allow addresses beyond this machine although tokens cross the network as they are
    #[arg(long)]
    pub insecure_listen: bool,
    /// Most connections at a time [default: 512]
    #[arg(long, value_name = "N")]
    pub connections_max: Option<usize>,
    /// Close a connection whose request takes longer to arrive [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub header_timeout: Option<Duration>,
    /// Close a connection that has been idle for so long [default: 75s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub idle_timeout: Option<Duration>,
    /// Close a connection whose client takes no byte for so long [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub write_timeout: Option<Duration>,
    /// Log a line for each request
    #[arg(long)]
    pub access_log: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServeCommand {
    #[command(flatten)]
    pub serve: ServeFlags,
    /// Serve this saved file instead of the ring that is being recorded
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Which lane's ring a command looks at.
#[derive(Clone, Debug, Args)]
pub(crate) struct LaneFlag {
    /// The lane to look at
    #[arg(id = "lane", long = "lane", value_name = "NAME", default_value = config::LANE, value_parser = lane)]
    pub name: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SnapshotFlags {
    #[command(flatten)]
    pub lane: LaneFlag,
    /// Read this saved file instead of the ring that is being recorded
    #[arg(long, value_name = "FILE", conflicts_with = "lane")]
    pub file: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TailFlags {
    #[command(flatten)]
    pub lane: LaneFlag,
    /// End after this many records
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
    /// Print each record whole, as one line of JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct InspectFlags {
    #[command(flatten)]
    pub lane: LaneFlag,
    /// The ring's file [default: the lane's ring in the run directory]
    #[arg(value_name = "FILE", conflicts_with = "lane")]
    pub file: Option<PathBuf>,
    /// List every series of the directory
    #[arg(long)]
    pub directory: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SaveFlags {
    /// Where to keep it
    #[arg(value_name = "OUTPUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub lane: LaneFlag,
    /// Keep a part of this saved file instead of the ring that is being recorded
    #[arg(long, value_name = "FILE", conflicts_with = "lane")]
    pub file: Option<PathBuf>,
    /// First moment: -5m, 2026-11-22T17:00:00Z, or seconds or milliseconds since 1970
    /// [default: the oldest record]
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    pub from: Option<Moment>,
    /// Last moment [default: the newest record]
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    pub to: Option<Moment>,
    /// Replace the file if it is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct ExportFlags {
    /// First moment, such as -5m, 2026-11-22T17:00:00Z or seconds or milliseconds since 1970. In a
    /// saved file, now is its newest record [default: -5m, and of a file its oldest record]
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    pub from: Option<Moment>,
    /// Last moment
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true, default_value = "now")]
    pub to: Moment,
    /// Sum up steps of this length instead of writing every record
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub step: Option<Duration>,
    /// Only series whose OBJECT/METRIC matches this pattern, as in 'nic/*/receive_*'. May be given
    /// several times
    #[arg(long = "match", value_name = "PATTERN")]
    pub matching: Vec<String>,
    /// How to write it: with commas and a heading, a JSON object per line, one JSON object, or every
    /// record of one lane as `promtool tsdb create-blocks-from openmetrics` reads it
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: Format,
    /// Only this lane [default: of each series the finest lane that reaches back far enough]
    #[arg(long, value_name = "NAME", value_parser = lane)]
    pub lane: Option<String>,
    /// Read this saved file instead of the rings that are being recorded
    #[arg(long, value_name = "FILE", conflicts_with = "lane")]
    pub file: Option<PathBuf>,
}

/// How a window is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Ndjson,
    Json,
    #[value(name = "openmetrics")]
    OpenMetrics,
}

impl From<RecordFlags> for RunFlags {
    fn from(record: RecordFlags) -> Self {
        Self { record, serve: ServeFlags::default() }
    }
}

impl From<ServeFlags> for RunFlags {
    fn from(serve: ServeFlags) -> Self {
        Self { record: RecordFlags::default(), serve }
    }
}

/// A time at which something ends: as RFC 3339, or so long from now.
fn expiry(text: &str) -> Result<Timestamp, String> {
    let now = Zoned::now();
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let span: Span = text.parse().ok()?;
        now.checked_add(span).ok().map(|time| time.timestamp())
    });
    let at = at.ok_or("not a time: write 90d, 12h or 2027-11-23T00:00:00Z")?;
    if at <= now.timestamp() { Err("that is in the past".to_owned()) } else { Ok(at) }
}

/// Parses the command line. Without a command it means `run`, whose flags may then be given
/// directly.
pub(crate) fn parse(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Common, Command), clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let first = match Cli::try_parse_from(&args) {
        Ok(Cli { common, command: Some(command) }) => return Ok((common, command)),
        Ok(Cli { common, command: None }) => {
            return Ok((common, Command::Run(RunFlags::default())));
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Err(error);
        }
        Err(error) => error,
    };
    let begins_with_flag = args.get(1).is_some_and(|arg| arg.as_encoded_bytes().starts_with(b"-"));
    if !begins_with_flag {
        return Err(first);
    }
    let mut args = args;
    args.insert(1, "run".into());
    match Cli::try_parse_from(&args)? {
        Cli { common, command: Some(command) } => Ok((common, command)),
        Cli { command: None, .. } => Err(first),
    }
}

/// The time between records.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    Err(format!("the interval can be {INTERVAL_MIN:?} to {INTERVAL_MAX:?}"))
}

fn lane(text: &str) -> Result<String, String> {
    config::check_name(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn source_help() -> String {
    let names = |wanted: fn(u32) -> bool| {
        let of = SOURCES.iter().filter(|source| wanted(source.divisor)).map(|source| source.name);
        of.collect::<Vec<_>>().join(", ")
    };
    format!(
        "Read a source at every Nth tick only; 0 turns it off. On by default: {}. Off by default: \
         {}. May be given several times",
        names(|divisor| divisor > 0),
        names(|divisor| divisor == 0)
    )
}

fn datastore(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=PATH, as in store1=/srv/store1"))?;
    Ok((name.to_owned(), path.into()))
}

fn source(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("{text:?} is not NAME=N, as in vmstat=5");
    let (name, divisor) = text.split_once('=').ok_or_else(wrong)?;
    let divisor = divisor.parse().map_err(|_| wrong())?;
    Selection::default().set(name, divisor).map_err(|unknown| unknown.to_string())?;
    Ok((name.to_owned(), divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<(Common, Command), clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn flags_without_a_command_mean_run() {
        let (common, parsed) = command("tachograph --interval 10ms --run-dir /x").expect("run");
        assert_eq!(common.run_dir, Some("/x".into()));
        let Command::Run(flags) = parsed else { panic!("not run: {parsed:?}") };
        assert_eq!(flags.record.interval, Some(Duration::from_millis(10)));
        assert!(matches!(command("tachograph"), Ok((_, Command::Run(_)))));
    }

    #[test]
    fn common_flags_stand_before_or_after_the_command() {
        for line in ["tachograph --run-dir /x tail", "tachograph tail --run-dir /x"] {
            let (common, parsed) = command(line).expect(line);
            assert_eq!(common.run_dir, Some("/x".into()));
            assert!(matches!(parsed, Command::Tail(_)));
        }
    }

    #[test]
    fn recording_has_no_serving_flags() {
        assert!(command("tachograph record --listen 127.0.0.1:0").is_err());
        assert!(command("tachograph nonsense").is_err());
        assert!(command("tachograph --nonsense").is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("60min"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "5", "0s", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
