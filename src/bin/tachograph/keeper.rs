//! What runs beside recorders and server: reports to the service manager, and reading the
//! configuration anew at SIGHUP.

use std::cell::RefCell;

use tachograph::http::{Place, Remote};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::config::{Settings, Source};
use crate::health::Health;
use crate::supervisor::Supervisor;
use crate::{doors, log, story};

/// Pause between two looks for the first record.
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Keeps a running program in order.
pub(crate) struct Keeper<'a> {
    source: &'a Source,
    supervisor: &'a Supervisor,
    remote: Option<Remote>,
    settings: RefCell<Settings>,
    /// Why the newest configuration is not in use, if it is not.
    refused: RefCell<Option<String>>,
    health: RefCell<Health>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(
        source: &'a Source,
        supervisor: &'a Supervisor,
        remote: Option<Remote>,
        settings: Settings,
        health: Health,
    ) -> Self {
        let (settings, health) = (RefCell::new(settings), RefCell::new(health));
        Self { source, supervisor, remote, settings, refused: RefCell::default(), health }
    }

    /// Tells the service manager when the program is ready, and from then on how it is. Never ends.
    pub(crate) async fn report(&self) {
        if !self.supervisor.listens() {
            return std::future::pending().await;
        }
        while !self.health.borrow_mut().has_begun() {
            sleep(FIRST_PAUSE).await;
        }
        self.supervisor.ready(&self.status());
        loop {
            let well = self.health.borrow_mut().is_well();
            self.supervisor.report(&self.status(), well);
            sleep(self.supervisor.period()).await;
        }
    }

    /// Reads the configuration anew. What is wrong with it is told, and all stays as it is.
    pub(crate) fn reload(&self) {
        self.supervisor.reloading();
        let outcome = self.source.reload().and_then(|new| self.apply(new));
        let refused = outcome.err().map(|error| story(&error));
        if let Some(refused) = &refused {
            error!("the configuration is not used, and all stays as it was: {refused}");
        }
        *self.refused.borrow_mut() = refused;
        self.supervisor.ready(&self.status());
    }

    fn status(&self) -> String {
        let status = self.health.borrow_mut().status();
        match &*self.refused.borrow() {
            Some(refused) => format!("{status}; CONFIGURATION REFUSED: {refused}"),
            None => status,
        }
    }

    fn apply(&self, new: Settings) -> anyhow::Result<()> {
        let before = self.places();
        if let Some(remote) = &self.remote {
            remote.change(doors::wanted(&new)?)?;
        }
        log::change(&new.log, new.access_log)?;
        let mut settings = self.settings.borrow_mut();
        for name in settings.fixed_differences(&new) {
            warn!("{name} has changed, which needs a restart");
        }
        settings.take_live(new);
        info!("the configuration has been read again");
        let places = self.places();
        if places != before {
            let places: Vec<_> = places.iter().map(ToString::to_string).collect();
            info!("listening on {}", places.join(", "));
        }
        Ok(())
    }

    fn places(&self) -> Vec<Place> {
        self.remote.as_ref().map(Remote::places).unwrap_or_default()
    }
}
