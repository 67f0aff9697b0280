//! `run`, `record` and `serve`: what starts, what is told, what ends it.

use std::future::poll_fn;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use anyhow::Context as _;
use tachograph::http::{Place, RingVitals, Rings, SavedVitals, Server, Vitals};
use tachograph::ring::RunDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::config::{LANE, Settings, Source};
use crate::doors;
use crate::health::Health;
use crate::keeper::Keeper;
use crate::recorder::Recorder;
use crate::recording::Recording;
use crate::supervisor::Supervisor;

/// Where cursors are kept: beside the rings, whose records they name.
const CURSORS: &str = "cursors.json";

/// Records and serves in one process.
pub(crate) fn run(source: &Source) -> anyhow::Result<()> {
    let settings = source.load()?;
    crate::log::start(&settings.log, settings.access_log)?;
    // The address first: a port that is taken should not cost the running recorder its ring.
    let mut server = doors::bind(&settings)?;
    until_told(async |told| {
        let recorders = Recording::prepare(&settings)?;
        let host = recorders.first().context("the lane of the host is always there")?;
        let reader = host.reader()?;
        let rings = rings(&settings, reader.path(), &server);
        server.keep_cursors(reader.path().with_file_name(CURSORS));
        let vitals = RingVitals::over(reader).with_rings(rings);
        let health = Health::of(readers(&settings, &recorders)?, Some(server.counters()));
        let tell = told.ended.clone();
        let recording = Recording::spawn(&settings, recorders, move || tell.notify_one())?;
        announce(&server);
        let remote = Some(server.remote());
        let keeper = Keeper::new(source, &told.supervisor, remote, settings, health);
        let served = told.kept(&keeper, answer(server, Rc::new(vitals), &told)).await;
        recording.stop()?;
        served
    })
}

/// Records only.
pub(crate) fn record(source: &Source) -> anyhow::Result<()> {
    let settings = source.load()?;
    crate::log::start(&settings.log, settings.access_log)?;
    until_told(async |told| {
        let recorders = Recording::prepare(&settings)?;
        let health = Health::of(readers(&settings, &recorders)?, None);
        let tell = told.ended.clone();
        let recording = Recording::spawn(&settings, recorders, move || tell.notify_one())?;
        let keeper = Keeper::new(source, &told.supervisor, None, settings, health);
        told.kept(&keeper, told.ended.notified()).await;
        recording.stop()
    })
}

/// Serves a ring that another process records, now or later, or one that was saved as `file`.
pub(crate) fn serve(source: &Source, file: Option<&Path>) -> anyhow::Result<()> {
    let settings = source.load()?;
    crate::log::start(&settings.log, settings.access_log)?;
    let saved = file.map(SavedVitals::open).transpose()?;
    if let Some(file) = file {
        info!("serving what was saved as {}", file.display());
    }
    let mut server = doors::bind(&settings)?;
    let vitals: Rc<dyn Vitals> = match saved {
        Some(saved) => Rc::new(saved),
        None => {
            let path = RunDir::holding(LANE, settings.run_dir.as_deref())?.ring(LANE);
            if !path.exists() {
                info!("there is no ring {} yet; answers are empty until there is", path.display());
            }
            server.keep_cursors(path.with_file_name(CURSORS));
            Rc::new(RingVitals::at(&path).with_rings(rings(&settings, &path, &server)))
        }
    };
    until_told(async |told| {
        announce(&server);
        let health = Health::of(Vec::new(), Some(server.counters()));
        let remote = Some(server.remote());
        let keeper = Keeper::new(source, &told.supervisor, remote, settings, health);
        told.kept(&keeper, answer(server, vitals, &told)).await
    })
}

/// A reader of each lane's ring.
fn readers(
    settings: &Settings,
    recorders: &[Recorder],
) -> anyhow::Result<Vec<(String, tachograph::ring::Reader)>> {
    let lanes = settings.lanes.iter().zip(recorders);
    lanes.map(|(lane, recorder)| Ok((lane.name.clone(), recorder.reader()?))).collect()
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

async fn answer(server: Server, vitals: Rc<dyn Vitals>, told: &Told) -> anyhow::Result<()> {
    let served = server.run(vitals, told.ended.notified());
    let summary = guarded(served).await.context("the server has panicked; this is a defect")?;
    let summary = summary.context("cannot serve")?;
    if summary.dropped > 0 {
        info!("{} connections had not ended in time and were closed", summary.dropped);
    }
    Ok(())
}

/// What `work` gives, or nothing if it panics. It is not gone on with then.
async fn guarded<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        // Nobody looks at what it was working on afterwards: it is dropped.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// What whoever runs the program tells it.
struct Told {
    /// Notified at the first SIGTERM or SIGINT, or by the program itself.
    ended: Arc<Notify>,
    /// Notified at SIGHUP.
    reload: Notify,
    supervisor: Supervisor,
}

impl Told {
    /// What `work` gives, while the keeper does its own.
    async fn kept<T>(&self, keeper: &Keeper<'_>, work: impl Future<Output = T>) -> T {
        let reloads = async {
            loop {
                self.reload.notified().await;
                keeper.reload();
            }
        };
        tokio::select! {
            result = work => result,
            () = keeper.report() => unreachable!("reports for ever"),
            () = reloads => unreachable!("waits for ever"),
        }
    }
}

/// Runs `body` in a runtime of one thread. A signal that comes while `body` still starts things is
/// not lost: nothing is left half begun.
fn until_told(body: impl AsyncFnOnce(Rc<Told>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    // Signals arrive through the I/O driver, which opens no socket of the network by itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let told = Rc::new(Told {
            ended: Arc::default(),
            reload: Notify::new(),
            supervisor: Supervisor::of_environment(),
        });
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        let signals = async {
            let signal = loop {
                tokio::select! {
                    _ = terminate.recv() => break "SIGTERM",
                    _ = interrupt.recv() => break "SIGINT",
                    _ = hang_up.recv() => told.reload.notify_one(),
                }
            };
            info!("{signal}: ending");
            told.supervisor.stopping();
            told.ended.notify_one();
            std::future::pending::<()>().await
        };
        tokio::select! {
            result = body(told.clone()) => result,
            () = signals => unreachable!("waits for ever"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_of_the_server_is_an_error_and_not_the_end_of_the_recorders() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            assert_eq!(guarded(async { 7 }).await, Some(7));
            let panics = async {
                tokio::task::yield_now().await;
                panic!("on purpose")
            };
            assert_eq!(guarded::<()>(panics).await, None);
        });
    }
}
