//! What each door makes of its parameters.

use std::io::Write as _;
use std::rc::Rc;
use std::slice;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::accept;
use super::answer::Answer;
use super::body::{AnswerBody, Rest, caught};
use super::content::Content;
use super::counters::count;
use super::cursors::{CursorKey, CursorReceipt, Mark};
use super::formatter::{Formatter, Refusal};
use super::guard::Principal;
use super::listing::Listing;
use super::own::Own;
use super::query::{
    HistoryParameters, ListParameters, NoParameters, ParameterError, ParameterErrors,
    PermissionsParameters, PullParameters, ScrapeParameters, StreamParameters, WindowParameters,
};
use super::scrapes::{HistoryStart, ScrapeWanted, Scraped};
use super::service::{Asked, Service, Stock};
use super::stream::{Seat, Stream};
use super::vitals::{Part, Pull, Vitals, VitalsError};
use crate::encode::prometheus::Exposition;
use crate::encode::{EventId, Start};
use crate::rights::{AclPath, Permissions};
use crate::ring::realtime_ns;

/// The data of a `version` answer. Clients read `version` as MAJOR.MINOR and `release` as the rest.
const VERSION_DATA: &str = concat!(
    "{\"release\":\"",
    env!("CARGO_PKG_VERSION_PATCH"),
    "\",\"repoid\":\"\",\"version\":\"",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    "\"}"
);

/// What can be asked for and what is answered, for machines.
const OPENAPI: &str = include_str!("openapi.json");

impl Service {
    pub(super) fn openapi(&self, _: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        let mut buffer = self.stock.pool.take();
        buffer.bytes.extend_from_slice(OPENAPI.as_bytes());
        Ok(Answer::whole(self, StatusCode::OK, Content::Json, buffer))
    }

    pub(super) fn version(&self, asked: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        let mut buffer = self.stock.pool.take();
        for text in [asked.formatter.opening(), VERSION_DATA, asked.formatter.closing()] {
            buffer.bytes.extend_from_slice(text.as_bytes());
        }
        Ok(Answer::whole(self, StatusCode::OK, Content::Formatter, buffer))
    }

    pub(super) fn metrics(
        &self,
        asked: &Asked<'_>,
        parameters: PullParameters,
    ) -> Result<Answer, Refusal> {
        let PullParameters { history, start_time } = parameters;
        let formatter = asked.formatter;
        let envelope = (formatter.points_opening(), formatter.points_closing());
        let content = Content::of(formatter);
        self.pulled((asked, content), envelope, |vitals| vitals.pull(history, start_time))
    }

    /// What somebody may do: whoever asks, a token of theirs, or, for those who may read everything,
    /// anybody.
    pub(super) fn permissions(
        &self,
        asked: &Asked<'_>,
        wanted: PermissionsParameters,
    ) -> Result<Answer, Refusal> {
        let (guard, own) = (&self.stock.guard, &asked.principal.id);
        let id = wanted.auth_id.unwrap_or_else(|| own.clone());
        let may_audit = || {
            let own = guard.permissions(own);
            own.iter().any(|(path, may)| *path == AclPath::Root && may.here.sys_audit)
        };
        if id != *own && id.owner() != *own && !may_audit() {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "permission check failed"));
        }
        let mut all = Map::new();
        let is_wanted = |path: &AclPath| wanted.path.as_ref().is_none_or(|wanted| wanted == path);
        for (path, Permissions { here, below }) in guard.permissions(&id) {
            let propagates = |name: &str| below.names().any(|below| below == name);
            let here = here.names().map(|name| (name.to_owned(), propagates(name).into()));
            if is_wanted(&path) {
                all.insert(path.to_string(), Value::Object(here.collect()));
            }
        }
        let mut buffer = self.stock.pool.take();
        // Writing to a Vec does not fail.
        let (opening, closing) = (asked.formatter.opening(), asked.formatter.closing());
        let _ = write!(buffer.bytes, "{opening}{}{closing}", Value::Object(all));
        Ok(Answer::whole(self, StatusCode::OK, Content::Formatter, buffer))
    }

    pub(super) fn scrape(
        &self,
        asked: &Asked<'_>,
        parameters: ScrapeParameters,
    ) -> Result<Answer, Refusal> {
        if parameters.collect.is_some() && parameters.exclude.is_some() {
            let text = "collect[] and exclude[] cannot be combined";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
        }
        let format = asked.format();
        let wanted = ScrapeWanted {
            exposition: format.exposition,
            collectors: parameters.collectors(),
            ring: parameters.ring,
        };
        let what = match format.exposition {
            Exposition::Text => "metrics",
            Exposition::OpenMetrics => "openmetrics",
        };
        let version =
            |vitals: &dyn Vitals| vitals.version(wanted.ring.as_ref().map(slice::from_ref));
        let make = || {
            let Principal { vitals, sight, .. } = &**asked.principal;
            let version_now = || caught(&self.stock.counters, || version(&**vitals)).flatten();
            let (before, rights) = (version_now(), sight.key());
            let kept = before.and_then(|version| self.stock.kept.find(rights, version, &wanted));
            if let Some(kept) = kept {
                return Ok(Answer::whole(self, StatusCode::OK, format.content, kept));
            }
            let mut answer = self.scraped(asked, format, &wanted)?;
            if let Some(version) = before.filter(|_| before == version_now())
                && let Some(text) = answer.body.share()
            {
                self.stock.kept.keep(rights, version, &wanted, text);
            }
            Ok(answer)
        };
        let mut answer = self.tagged(asked, what, version, make)?;
        answer.varies_by_accept = true;
        Ok(answer)
    }

    fn scraped(
        &self,
        asked: &Asked<'_>,
        format: accept::Format,
        wanted: &ScrapeWanted,
    ) -> Result<Answer, Refusal> {
        let envelope = ("", format.exposition.end());
        self.pulled((asked, format.content), envelope, |vitals| {
            let Scraped { pull, ring_id, reach } = vitals.scrape(wanted)?;
            let is_shown = asked.principal.sight.shows_host();
            if !is_shown || !wanted.collectors.has(Own::COLLECTOR) {
                return Ok(pull);
            }
            let mut told = self.stock.told.borrow_mut();
            let counters = told.counters(&self.stock.counters, ring_id, reach.last_seq);
            Ok(Box::new(Own::after(pull, wanted.exposition, counters)))
        })
    }

    pub(super) fn history(
        &self,
        asked: &Asked<'_>,
        parameters: HistoryParameters,
    ) -> Result<Answer, Refusal> {
        let HistoryParameters { scrape, window, since_seq, cursor } = parameters;
        let key = cursor.map(|name| CursorKey {
            principal: asked.principal.name().to_owned(),
            ring: scrape.ring.clone().unwrap_or_default(),
            name,
        });
        let (mut from, now_s) = (None, realtime_ns() / 1_000_000_000);
        let start = match (&key, since_seq, window) {
            (Some(key), None, window) => {
                let found = self.stock.cursors.find(key, now_s).map_err(|error| {
                    count(&self.stock.counters.cursors_refused);
                    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                })?;
                from = found.0;
                HistoryStart::Cursor { mark: from, window, records_max: found.1 }
            }
            (None, Some(seq), None) => HistoryStart::Since(seq),
            (None, None, Some(window)) => HistoryStart::Window(window),
            _ => {
                let text = "one of window, since_seq and cursor says what is wanted; of these, \
                            only window and cursor can be combined";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
            }
        };
        let format = asked.format();
        let wanted = ScrapeWanted {
            exposition: format.exposition,
            collectors: scrape.collectors(),
            ring: scrape.ring,
        };
        let (mut to, mut records) = (None, 0);
        let envelope = ("", format.exposition.end());
        let mut answer = self.pulled((asked, format.content), envelope, |vitals| {
            let Scraped { pull, ring_id, reach } = vitals.history(&wanted, start)?;
            let overrun = &self.stock.counters.records_overrun;
            overrun.set(overrun.get().wrapping_add(reach.overrun));
            if reach.last_ns > 0 {
                let (seq, realtime_ns) = (reach.last_seq, reach.last_ns);
                to = Some(Mark { ring: ring_id, seq, realtime_ns });
                records = reach.records as usize;
            }
            Ok(pull)
        })?;
        answer.varies_by_accept = true;
        if let (Some(key), Some(to)) = (key, to) {
            let cursors = Rc::clone(&self.stock.cursors);
            answer.body.set_receipt(Rc::new(CursorReceipt { cursors, key, from, to, records }));
        }
        Ok(answer)
    }

    pub(super) fn usage(&self, asked: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        self.list(asked, Listing::Usage)
    }

    pub(super) fn rings(&self, asked: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        self.list(asked, Listing::Rings)
    }

    pub(super) fn series(
        &self,
        asked: &Asked<'_>,
        wanted: ListParameters,
    ) -> Result<Answer, Refusal> {
        let rings = wanted.rings.clone();
        let version = |vitals: &dyn Vitals| vitals.version(Some(&rings));
        let make = || self.list(asked, Listing::Series(wanted));
        self.tagged(asked, "series", version, make)
    }

    pub(super) fn latest(
        &self,
        asked: &Asked<'_>,
        wanted: ListParameters,
    ) -> Result<Answer, Refusal> {
        let rings = wanted.rings.clone();
        let version = |vitals: &dyn Vitals| vitals.version(Some(&rings));
        let make = || self.list(asked, Listing::Latest(wanted));
        self.tagged(asked, "latest", version, make)
    }

    pub(super) fn window(
        &self,
        asked: &Asked<'_>,
        wanted: WindowParameters,
    ) -> Result<Answer, Refusal> {
        let content = Content::of_window(wanted.format);
        let points_max = self.stock.limits().points_max;
        let begin = |vitals: &dyn Vitals| vitals.window(wanted, points_max);
        self.pulled((asked, content), ("", ""), begin)
    }

    /// What a client has of an earlier stream counts more than what its address says: a browser that
    /// connects again asks for the same address.
    pub(super) fn stream(
        &self,
        asked: &Asked<'_>,
        mut wanted: StreamParameters,
    ) -> Result<Answer, Refusal> {
        let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
        if let Some(value) = asked.headers.get("last-event-id").filter(|value| !value.is_empty()) {
            let id = value.to_str().ok().and_then(|text| EventId::parse(text).ok());
            let id = id.ok_or_else(|| {
                count(&self.stock.counters.parameter_errors);
                bad("Last-Event-ID is none that a stream here has given")
            })?;
            wanted.start = Some(Start::After(id));
        }
        if wanted.frames == Some(0) {
            count(&self.stock.counters.parameter_errors);
            return Err(bad("frames must be at least 1"));
        }
        let Stock { pool, counters, streams, .. } = &*self.stock;
        let vitals = &asked.principal.vitals;
        let Some(seat) = Seat::take(streams, self.stock.limits().streams_max) else {
            count(&counters.streams_refused);
            let text = "there are as many streams as there may be; try again later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let feed = caught(counters, || vitals.stream(&wanted));
        let feed = self.begun(asked.formatter, feed)?;
        let mut first = pool.take();
        first.bytes.extend_from_slice(b"retry: 2000\n\n");
        let (stock, principal) = (Rc::clone(&self.stock), Rc::clone(asked.principal));
        let may_go_on = Box::new(move || stock.guard.still_shows(&principal));
        let stream = Stream::new(feed, &wanted, (pool, counters, &self.watch), seat, may_go_on);
        let body = AnswerBody::streamed(first, stream, Rc::clone(&self.watch));
        Ok(Answer::new(self, StatusCode::OK, Content::Events, body))
    }

    fn list(&self, asked: &Asked<'_>, listing: Listing) -> Result<Answer, Refusal> {
        let formatter = asked.formatter;
        let envelope = (formatter.opening(), formatter.closing());
        let content = Content::of(formatter);
        self.pulled((asked, content), envelope, |vitals| vitals.list(listing))
    }

    /// What could be begun, or what to tell if nothing could, be it for a panic.
    fn begun<T>(
        &self,
        formatter: Formatter,
        begun: Option<Result<T, VitalsError>>,
    ) -> Result<T, Refusal> {
        let counters = &self.stock.counters;
        match begun {
            Some(Ok(begun)) => Ok(begun),
            Some(Err(error @ VitalsError::UnknownRing(_))) => {
                Err(Refusal::new(StatusCode::NOT_FOUND, error.to_string()))
            }
            Some(Err(VitalsError::Window(error))) => {
                let counter = match error {
                    error if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                        &counters.windows_too_large
                    }
                    _ => &counters.parameter_errors,
                };
                count(counter);
                let reason = ParameterError::Unfit(error.to_string());
                let errors = ParameterErrors::of(error.parameter(), reason);
                Err(Refusal { status: error.status(), ..Refusal::parameters(errors) })
            }
            Some(Err(error)) => {
                count(&counters.vitals_errors);
                Err(Refusal::new(formatter.unavailable(), error.to_string()))
            }
            None => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Err(Refusal::new(status, "the answer failed; this is a defect"))
            }
        }
    }

    /// Makes the first part; what follows is made when hyper asks for it.
    fn pulled(
        &self,
        (asked, content): (&Asked<'_>, Content),
        (opening, closing): (&'static str, &'static str),
        begin: impl FnOnce(&dyn Vitals) -> Result<Box<dyn Pull>, VitalsError>,
    ) -> Result<Answer, Refusal> {
        let Stock { pool, counters, .. } = &*self.stock;
        let &Asked { principal, formatter, .. } = asked;
        let mut first = pool.take();
        first.bytes.extend_from_slice(opening.as_bytes());
        let begun = caught(counters, || {
            let mut pull = begin(&*principal.vitals)?;
            let part = pull.part(&mut first.bytes);
            Ok::<_, VitalsError>((pull, part))
        });
        let (pull, part) = self.begun(formatter, begun)?;
        match part {
            Part::More => {
                let (pool, counters) = (Rc::clone(pool), Rc::clone(counters));
                let rest = Rest { pull, closing, pool, counters };
                Ok(Answer::in_parts(self, content, first, rest))
            }
            Part::Broken => {
                count(&counters.vitals_errors);
                let message = "the window was overrun while it was read";
                Err(Refusal::new(formatter.unavailable(), message))
            }
            Part::Last => {
                first.bytes.extend_from_slice(closing.as_bytes());
                Ok(Answer::whole(self, StatusCode::OK, content, first))
            }
        }
    }

    pub(super) fn readyz(&self) -> Answer {
        let Some(freshness) = caught(&self.stock.counters, || self.stock.vitals.freshness()) else {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Answer::told(self, status, "the answer failed; this is a defect\n");
        };
        if freshness.is_fresh() {
            return Answer::told(self, StatusCode::OK, "ready\n");
        }
        let reason = match freshness.newest_age {
            None => "there is no record",
            Some(_) => "the newest record is too old",
        };
        let object = json!({
            "ready": false,
            "reason": reason,
            "newest_age_seconds": freshness.newest_age.map(|age| age.as_secs_f64()),
            "limit_seconds": freshness.limit.as_secs_f64(),
            "state": freshness.state,
        });
        let mut buffer = self.stock.pool.take();
        // Writing to a Vec does not fail.
        let _ = writeln!(buffer.bytes, "{object}");
        Answer::whole(self, StatusCode::SERVICE_UNAVAILABLE, Content::Json, buffer)
    }
}
