//! `run`, `record` and `serve`: what starts, what is told, what ends it.

use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use tachograph::http::{Place, RingVitals, Rings, SavedVitals, Server, Vitals};
use tachograph::ring::RunDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::config::{LANE, Settings};
use crate::doors;
use crate::recording::Recording;

/// Where cursors are kept: beside the rings, whose records they name.
const CURSORS: &str = "cursors.json";

/// Records and serves in one process.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    crate::log::start(&settings.log)?;
    // The address first: a port that is taken should not cost the running recorder its ring.
    let mut server = doors::bind(settings)?;
    until_told(true, async |ended| {
        let recorders = Recording::prepare(settings)?;
        let host = recorders.first().context("the lane of the host is always there")?;
        let reader = host.reader()?;
        let rings = rings(settings, reader.path(), &server);
        server.keep_cursors(reader.path().with_file_name(CURSORS));
        let vitals = RingVitals::over(reader).with_rings(rings);
        let tell = ended.clone();
        let recording = Recording::spawn(settings, recorders, move || tell.notify_one())?;
        announce(&server);
        let served = answer(server, Rc::new(vitals), ended.notified()).await;
        recording.stop()?;
        served
    })
}

/// Records only.
pub(crate) fn record(settings: &Settings) -> anyhow::Result<()> {
    crate::log::start(&settings.log)?;
    until_told(false, async |ended| {
        let recorders = Recording::prepare(settings)?;
        let tell = ended.clone();
        let recording = Recording::spawn(settings, recorders, move || tell.notify_one())?;
        ended.notified().await;
        recording.stop()
    })
}

/// Serves a ring that another process records, now or later, or one that was saved as `file`.
pub(crate) fn serve(settings: &Settings, file: Option<&Path>) -> anyhow::Result<()> {
    crate::log::start(&settings.log)?;
    if let Some(file) = file {
        let saved = SavedVitals::open(file)?;
        info!("serving what was saved as {}", file.display());
        let server = doors::bind(settings)?;
        return until_told(true, async |ended| {
            announce(&server);
            answer(server, Rc::new(saved), ended.notified()).await
        });
    }
    let mut server = doors::bind(settings)?;
    let path = RunDir::holding(LANE, settings.run_dir.as_deref())?.ring(LANE);
    if !path.exists() {
        info!("there is no ring {} yet; answers are empty until there is", path.display());
    }
    server.keep_cursors(path.with_file_name(CURSORS));
    let vitals = RingVitals::at(&path).with_rings(rings(settings, &path, &server));
    until_told(true, async |ended| {
        announce(&server);
        answer(server, Rc::new(vitals), ended.notified()).await
    })
}

/// The rings that are served beside that of the host: of its directory, and of others if these are
/// named.
fn rings(settings: &Settings, host: &Path, server: &Server) -> Rings {
    let mut dirs: Vec<_> = host.parent().map(Path::to_owned).into_iter().collect();
    dirs.extend(settings.ring_dirs.iter().cloned());
    Rings::of(dirs, server.counters())
}

/// Says where to reach the server, on stdout, where a script can read it. Nobody has to.
fn announce(server: &Server) {
    let mut text = String::new();
    for place in server.places() {
        text += &format!("listening on {place}; try\n");
        let curl = match &place {
            Place::Tcp(address) => format!("curl 'http://{address}"),
            Place::Unix(path) => {
                format!("curl --unix-socket '{}' 'http://localhost", path.display())
            }
        };
        text += &format!("  {curl}/api2/json/status/metrics?history=1'\n");
    }
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        warn!("cannot say on stdout where to reach the server: {error}");
    }
}

async fn answer(
    server: Server,
    vitals: Rc<dyn Vitals>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let summary = server.run(vitals, shutdown).await.context("cannot serve")?;
    if summary.dropped > 0 {
        info!("{} connections had not ended in time and were closed", summary.dropped);
    }
    Ok(())
}

/// Runs `body` in a runtime of one thread. What it is given is notified at the first SIGTERM or
/// SIGINT, or by `body` itself. A signal that comes while `body` still starts things is not lost:
/// nothing is left half begun.
fn until_told(
    network: bool,
    body: impl AsyncFnOnce(Arc<Notify>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Signals arrive through the I/O driver, which opens no socket of the network by itself.
    let runtime = runtime.enable_io();
    let runtime = if network { runtime.enable_time() } else { runtime };
    let runtime = runtime.build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let ended = Arc::new(Notify::new());
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let told = async {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            info!("{signal}: ending");
            ended.notify_one();
            std::future::pending::<()>().await
        };
        tokio::select! {
            result = body(ended.clone()) => result,
            () = told => unreachable!("waits for ever"),
        }
    })
}
