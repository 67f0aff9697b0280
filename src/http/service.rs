//! From a request to its answer.
//!
//! A request without a body, which is every request that clients are known to make, is answered
//! within the call: its header is done with before hyper reads again, so hyper finds its read buffer
//! free to be used once more, and the request's header map becomes the answer's. Neither is
//! allocated anew while a connection lasts.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::slice;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde_json::json;

use super::accept;
use super::access::Entry;
use super::body::{AnswerBody, Rest, caught};
use super::coder::Coders;
use super::content::Content;
use super::counters::{Counters, count};
use super::cursors::{CursorKey, CursorReceipt, Cursors, Mark};
use super::formatter::{Formatter, Refusal};
use super::headers::{Acceptable, Coding, scrape_timeout};
use super::hosts::{Hosts, WrongHost};
use super::kept::Kept;
use super::limits::{Limits, URI_BYTES_MAX};
use super::listing::Listing;
use super::own::{Own, Told};
use super::pool::{Buffer, Pool};
use super::query::{
    self, BodyError, HistoryParameters, ListParameters, NoParameters, ParameterError,
    ParameterErrors, Parameters, PullParameters, ScrapeParameters, StreamParameters,
    WindowParameters,
};
use super::route::Route;
use super::scrapes::{HistoryStart, ScrapeWanted, Scraped};
use super::server::Compression;
use super::socket::Peer;
use super::stream::{Seat, Stream};
use super::tag::{Tag, Version};
use super::vitals::{Part, Pull, Vitals, VitalsError};
use super::watch::Watch;
use crate::encode::prometheus::Exposition;
use crate::encode::{EventId, Start};
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

/// What the connections of a server have in common.
pub(crate) struct Stock {
    pub(crate) vitals: Rc<dyn Vitals>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) coders: Rc<Coders>,
    pub(crate) compression: Cell<Compression>,
    pub(crate) hosts: RefCell<Hosts>,
    pub(crate) counters: Rc<Counters>,
    pub(crate) cursors: Rc<Cursors>,
    /// What `/metrics` last said of the server itself.
    pub(crate) told: RefCell<Told>,
    pub(crate) kept: Kept,
    /// How many streams are open.
    pub(crate) streams: Rc<Cell<usize>>,
    /// The limits as they are now; they may be changed while the server runs.
    pub(crate) limits: RefCell<Rc<Limits>>,
    /// Whether requests are told in the access log.
    pub(crate) access_log: Cell<bool>,
}

impl Stock {
    /// The limits that a request now beginning has.
    pub(crate) fn limits(&self) -> Rc<Limits> {
        Rc::clone(&self.limits.borrow())
    }
}

/// How long a scraper says that it waits for its answer.
const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// By what browsers tell whose page sends a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers the requests of one connection.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) stock: Rc<Stock>,
    pub(crate) watch: Rc<Watch>,
    pub(crate) peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        count(&self.stock.counters.requests);
        if !self.stock.access_log.get() {
            return self.reply(request);
        }
        let entry = Entry::of(&request, self.peer);
        self.reply(request).with_entry(entry)
    }
}

impl Service {
    fn reply(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let route = Route::of_path(head.uri.path());
        if let Some(answer) = self.turned_away(route, &head) {
            return Reply::Made(Some(answer.into_response(head.headers)));
        }
        let answer = match route {
            _ if uri_bytes(&head.uri) > URI_BYTES_MAX => {
                count(&self.stock.counters.uris_too_long);
                let text = "the path and query are too long\n";
                Answer::told(self, StatusCode::URI_TOO_LONG, text)
            }
            Route::UnknownApi(formatter) => Answer::nothing_there(self, formatter),
            Route::UnknownNative => Answer::nothing_there(self, Formatter::Native),
            Route::UnknownFormatter => {
                let text = "the API speaks `json` and `extjs`\n";
                Answer::told(self, StatusCode::BAD_REQUEST, text)
            }
            Route::Unknown => Answer::told(self, StatusCode::NOT_FOUND, "not found\n"),
            _ if head.method != Method::GET && head.method != Method::HEAD => {
                self.method_refused(route.formatter())
            }
            Route::Healthz => Answer::told(self, StatusCode::OK, "ok\n"),
            Route::Readyz => self.readyz(),
            Route::Metrics(formatter) => {
                return self.with_parameters(formatter, head, body, Service::metrics);
            }
            Route::Version(formatter) => {
                return self.with_parameters(formatter, head, body, Service::version);
            }
            Route::Scrape => {
                return self.with_parameters(Formatter::Plain, head, body, Service::scrape);
            }
            Route::ScrapeHistory => {
                return self.with_parameters(Formatter::Plain, head, body, Service::history);
            }
            Route::OpenApi => {
                return self.with_parameters(Formatter::Native, head, body, Service::openapi);
            }
            Route::Rings => {
                return self.with_parameters(Formatter::Native, head, body, Service::rings);
            }
            Route::Series => {
                return self.with_parameters(Formatter::Native, head, body, Service::series);
            }
            Route::Stream => {
                return self.with_parameters(Formatter::Native, head, body, Service::stream);
            }
            Route::Latest => {
                return self.with_parameters(Formatter::Native, head, body, Service::latest);
            }
            Route::Window => {
                return self.with_parameters(Formatter::Native, head, body, Service::window);
            }
        };
        Reply::Made(Some(answer.into_response(head.headers)))
    }
}

/// What an endpoint of the API does with its parameters.
type Handler<P> = fn(&Service, &Asked<'_>, P) -> Result<Answer, Refusal>;

/// What a request asks for beside its parameters.
struct Asked<'a> {
    formatter: Formatter,
    headers: &'a HeaderMap,
    /// Whether only the header is wanted.
    is_head: bool,
    /// Whether all parameters stand in the target, so that the target tells one answer from another.
    is_all_in_target: bool,
}

impl Asked<'_> {
    /// The format of the prometheus view that is wanted most.
    fn format(&self) -> accept::Format {
        let lines = self.headers.get_all(header::ACCEPT).into_iter();
        accept::format(lines.filter_map(|line| line.to_str().ok()))
    }

    /// In which codings the client can read the answer.
    fn acceptable(&self) -> Acceptable {
        let lines = self.headers.get_all(header::ACCEPT_ENCODING).iter();
        Acceptable::of(lines.filter_map(|line| line.to_str().ok()))
    }

    /// When a scraper that says how long it waits has waited so long from now.
    fn deadline(&self) -> Option<Instant> {
        let value = self.headers.get(&SCRAPE_TIMEOUT)?.to_str().ok()?;
        Some(Instant::now() + scrape_timeout(value)?)
    }
}

impl Service {
    /// What a request is told that came by a name that is not ours, or from a page that is not.
    fn turned_away(&self, route: Route, head: &request::Parts) -> Option<Answer> {
        let Stock { hosts, counters, .. } = &*self.stock;
        let checked = match self.peer.came_by_name() {
            true => hosts.borrow().check(head.version, &head.uri, &head.headers),
            false => Ok(()),
        };
        if let Err(wrong) = checked {
            count(&counters.hosts_refused);
            let (status, text) = match wrong {
                WrongHost::Malformed => {
                    (StatusCode::BAD_REQUEST, "a request names one host, and names it well\n")
                }
                WrongHost::Foreign => (
                    StatusCode::MISDIRECTED_REQUEST,
                    "this is not the host of that name; if it is, its setting `hosts` must say so\n",
                ),
            };
            return Some(Answer::told(self, status, text));
        }
        // Only browsers say so. Those that do not are kept from reading answers by their own rules.
        let is_cross_site =
            || head.headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
        let formatter = route.formatter().filter(|formatter| *formatter != Formatter::Plain)?;
        if !is_cross_site() {
            return None;
        }
        count(&counters.cross_site_refused);
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "pages of other sites may not ask here");
        Some(Answer::refused(self, formatter, &refusal))
    }

    fn method_refused(&self, formatter: Option<Formatter>) -> Answer {
        let (status, text) = (StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are allowed here");
        match formatter {
            Some(formatter) => Answer::refused(self, formatter, &Refusal::new(status, text)),
            None => Answer::told(self, status, text),
        }
    }

    /// Answers at once from the query, or later from the body if there is one.
    fn with_parameters<P: Parameters + 'static>(
        &self,
        formatter: Formatter,
        mut head: request::Parts,
        body: Incoming,
        handler: Handler<P>,
    ) -> Reply {
        let headers = std::mem::take(&mut head.headers);
        let is_head = head.method == Method::HEAD;
        let media = match Media::of(&headers) {
            Ok(media) => media,
            Err(refusal) => {
                let answer = Answer::refused(self, formatter, &refusal);
                return Reply::Made(Some(answer.into_response(headers)));
            }
        };
        if body.is_end_stream() {
            let asked = Asked { formatter, headers: &headers, is_head, is_all_in_target: true };
            let answer = self.answer(&asked, Media::Form, from_query(&head.uri), handler);
            return Reply::Made(Some(answer.into_response(headers)));
        }
        self.watch.receiving_body();
        let service = self.clone();
        Reply::Awaited(Box::pin(async move {
            let max = service.stock.limits().body_bytes_max;
            let bytes = read_body(body, max).await;
            let is_all_in_target = bytes.as_ref().is_ok_and(Vec::is_empty);
            let asked = Asked { formatter, headers: &headers, is_head, is_all_in_target };
            let answer = match &bytes {
                Err(refusal) => {
                    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
                        count(&service.stock.counters.bodies_too_large);
                    }
                    let mut answer = Answer::refused(&service, formatter, refusal);
                    answer.close = true; // the rest of the body still stands in the stream
                    answer
                }
                // The name of a media type for nothing at all: then the query counts.
                Ok(bytes) if bytes.is_empty() => {
                    service.answer(&asked, Media::Form, from_query(&head.uri), handler)
                }
                Ok(bytes) => service.answer(&asked, media, bytes, handler),
            };
            answer.into_response(headers)
        }))
    }

    fn answer<P: Parameters>(
        &self,
        asked: &Asked<'_>,
        media: Media,
        text: &[u8],
        handler: Handler<P>,
    ) -> Answer {
        let deadline = asked.deadline();
        let parameters = media.parameters(text).inspect_err(|_| {
            count(&self.stock.counters.parameter_errors);
        });
        match parameters.and_then(|parameters| handler(self, asked, parameters)) {
            Ok(mut answer) => {
                answer.body.ends_by(deadline);
                self.coded(asked, answer)
            }
            Err(refusal) => Answer::refused(self, asked.formatter, &refusal),
        }
    }

    /// An answer with data in the coding that the client likes best, if it is worth its time.
    fn coded(&self, asked: &Asked<'_>, mut answer: Answer) -> Answer {
        if !self.compresses() || !answer.content.may_be_coded() {
            return answer;
        }
        answer.varies_by_coding = true;
        let Stock { pool, coders, compression, counters, .. } = &*self.stock;
        let is_worth_it =
            answer.body.is_in_parts() || answer.body.first_bytes() >= compression.get().bytes_min;
        if asked.is_head || !is_worth_it || answer.status != StatusCode::OK {
            return answer;
        }
        let coding = asked.acceptable().best();
        if coding != Coding::Identity && answer.body.code(coding, coders, pool) {
            count(&counters.answers_compressed);
            answer.coding = coding;
        }
        answer
    }

    /// Whether this client's answers are compressed when it asks for it.
    fn compresses(&self) -> bool {
        !self.peer.is_local() || self.stock.compression.get().on_loopback
    }

    /// Answers 304 if the client has what `make` would answer, and else that, with its entity tag.
    ///
    /// `what` names the door and the format within the tag, and `version` tells the state of all data
    /// that the answer shows. What the answer shows beside that, such as counts of the server's own, is
    /// not told by the tag: a client that compares tags has asked whether there is a new record.
    ///
    /// The version is asked for before anything is read, and once more when the first part is made: no
    /// answer has the tag of another. One in parts goes on reading after that, but a client that is
    /// told later that its tag still holds knows that nothing has changed while it was read.
    fn tagged(
        &self,
        asked: &Asked<'_>,
        what: &'static str,
        version: impl Fn(&dyn Vitals) -> Option<Version>,
        make: impl FnOnce() -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let Stock { vitals, counters, .. } = &*self.stock;
        // What stands in a body is no part of the name under which a client keeps the answer.
        let version = || caught(counters, || version(&**vitals)).flatten();
        let before = version().filter(|_| asked.is_all_in_target);
        let tag = before.map(|version| Tag { version, what });
        if let Some(tag) = tag
            && let Some(coding) = tag.held(asked.headers, || asked.acceptable())
        {
            count(&counters.not_modified);
            return Ok(Answer::not_modified(self, tag, coding));
        }
        let mut answer = make()?;
        answer.tag = tag.filter(|_| version() == before);
        Ok(answer)
    }

    fn openapi(&self, _: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        let mut buffer = self.stock.pool.take();
        buffer.bytes.extend_from_slice(OPENAPI.as_bytes());
        Ok(Answer::whole(self, StatusCode::OK, Content::Json, buffer))
    }

    fn version(&self, asked: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        let mut buffer = self.stock.pool.take();
        for text in [asked.formatter.opening(), VERSION_DATA, asked.formatter.closing()] {
            buffer.bytes.extend_from_slice(text.as_bytes());
        }
        Ok(Answer::whole(self, StatusCode::OK, Content::Formatter, buffer))
    }

    fn metrics(
        &self,
        &Asked { formatter, .. }: &Asked<'_>,
        parameters: PullParameters,
    ) -> Result<Answer, Refusal> {
        let PullParameters { history, start_time } = parameters;
        let envelope = (formatter.points_opening(), formatter.points_closing());
        let content = Content::of(formatter);
        self.pulled((formatter, content), envelope, |vitals| vitals.pull(history, start_time))
    }

    fn scrape(&self, asked: &Asked<'_>, parameters: ScrapeParameters) -> Result<Answer, Refusal> {
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
            let before = caught(&self.stock.counters, || version(&*self.stock.vitals)).flatten();
            let kept = before.and_then(|version| self.stock.kept.find(version, &wanted));
            if let Some(kept) = kept {
                return Ok(Answer::whole(self, StatusCode::OK, format.content, kept));
            }
            let mut answer = self.scraped(asked, format, &wanted)?;
            let after = caught(&self.stock.counters, || version(&*self.stock.vitals)).flatten();
            if let Some(version) = before.filter(|_| before == after)
                && let Some(text) = answer.body.share()
            {
                self.stock.kept.keep(version, &wanted, text);
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
        self.pulled((asked.formatter, format.content), envelope, |vitals| {
            let Scraped { pull, ring_id, reach } = vitals.scrape(wanted)?;
            if !wanted.collectors.has(Own::COLLECTOR) {
                return Ok(pull);
            }
            let mut told = self.stock.told.borrow_mut();
            let counters = told.counters(&self.stock.counters, ring_id, reach.last_seq);
            Ok(Box::new(Own::after(pull, wanted.exposition, counters)))
        })
    }

    fn history(&self, asked: &Asked<'_>, parameters: HistoryParameters) -> Result<Answer, Refusal> {
        let HistoryParameters { scrape, window, since_seq, cursor } = parameters;
        let key = cursor.map(|name| CursorKey {
            principal: String::new(),
            ring: scrape.ring.clone().unwrap_or_default(),
            name,
        });
        let (mut from, now_s) = (None, realtime_ns() / 1_000_000_000);
        let start = match (&key, since_seq, window) {
            (Some(key), None, window) => {
                from = self.stock.cursors.find(key, now_s).map_err(|error| {
                    count(&self.stock.counters.cursors_refused);
                    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                })?;
                HistoryStart::Cursor(from, window)
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
        let mut to = None;
        let envelope = ("", format.exposition.end());
        let mut answer = self.pulled((asked.formatter, format.content), envelope, |vitals| {
            let Scraped { pull, ring_id, reach } = vitals.history(&wanted, start)?;
            let overrun = &self.stock.counters.records_overrun;
            overrun.set(overrun.get().wrapping_add(reach.overrun));
            if reach.last_ns > 0 {
                let (seq, realtime_ns) = (reach.last_seq, reach.last_ns);
                to = Some(Mark { ring: ring_id, seq, realtime_ns });
            }
            Ok(pull)
        })?;
        answer.varies_by_accept = true;
        if let (Some(key), Some(to)) = (key, to) {
            let cursors = Rc::clone(&self.stock.cursors);
            answer.body.set_receipt(Rc::new(CursorReceipt { cursors, key, from, to }));
        }
        Ok(answer)
    }

    fn rings(&self, asked: &Asked<'_>, _: NoParameters) -> Result<Answer, Refusal> {
        self.list(asked.formatter, Listing::Rings)
    }

    fn series(&self, asked: &Asked<'_>, wanted: ListParameters) -> Result<Answer, Refusal> {
        let rings = wanted.rings.clone();
        let version = |vitals: &dyn Vitals| vitals.version(Some(&rings));
        let make = || self.list(asked.formatter, Listing::Series(wanted));
        self.tagged(asked, "series", version, make)
    }

    fn latest(&self, asked: &Asked<'_>, wanted: ListParameters) -> Result<Answer, Refusal> {
        let rings = wanted.rings.clone();
        let version = |vitals: &dyn Vitals| vitals.version(Some(&rings));
        let make = || self.list(asked.formatter, Listing::Latest(wanted));
        self.tagged(asked, "latest", version, make)
    }

    fn window(&self, asked: &Asked<'_>, wanted: WindowParameters) -> Result<Answer, Refusal> {
        let content = Content::of_window(wanted.format);
        let points_max = self.stock.limits().points_max;
        let begin = |vitals: &dyn Vitals| vitals.window(wanted, points_max);
        self.pulled((asked.formatter, content), ("", ""), begin)
    }

    /// What a client has of an earlier stream counts more than what its address says: a browser that
    /// connects again asks for the same address.
    fn stream(&self, asked: &Asked<'_>, mut wanted: StreamParameters) -> Result<Answer, Refusal> {
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
        let Stock { vitals, pool, counters, streams, .. } = &*self.stock;
        let Some(seat) = Seat::take(streams, self.stock.limits().streams_max) else {
            count(&counters.streams_refused);
            let text = "there are as many streams as there may be; try again later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let feed = match caught(counters, || vitals.stream(&wanted)) {
            Some(Ok(feed)) => feed,
            Some(Err(error @ VitalsError::UnknownRing(_))) => {
                return Err(Refusal::new(StatusCode::NOT_FOUND, error.to_string()));
            }
            Some(Err(error)) => {
                count(&counters.vitals_errors);
                return Err(Refusal::new(asked.formatter.unavailable(), error.to_string()));
            }
            None => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Err(Refusal::new(status, "the answer failed; this is a defect"));
            }
        };
        let mut first = pool.take();
        first.bytes.extend_from_slice(b"retry: 2000\n\n");
        let stream = Stream::new(feed, &wanted, (pool, counters, &self.watch), seat);
        let body = AnswerBody::streamed(first, stream, Rc::clone(&self.watch));
        Ok(Answer::new(self, StatusCode::OK, Content::Events, body))
    }

    fn list(&self, formatter: Formatter, listing: Listing) -> Result<Answer, Refusal> {
        let envelope = (formatter.opening(), formatter.closing());
        let content = Content::of(formatter);
        self.pulled((formatter, content), envelope, |vitals| vitals.list(listing))
    }

    /// Makes the first part; what follows is made when hyper asks for it.
    fn pulled(
        &self,
        (formatter, content): (Formatter, Content),
        (opening, closing): (&'static str, &'static str),
        begin: impl FnOnce(&dyn Vitals) -> Result<Box<dyn Pull>, VitalsError>,
    ) -> Result<Answer, Refusal> {
        let Stock { vitals, pool, counters, .. } = &*self.stock;
        let mut first = pool.take();
        first.bytes.extend_from_slice(opening.as_bytes());
        let begun = caught(counters, || {
            let mut pull = begin(&**vitals)?;
            let part = pull.part(&mut first.bytes);
            Ok::<_, VitalsError>((pull, part))
        });
        let (pull, part) = match begun {
            Some(Ok(begun)) => begun,
            Some(Err(error @ VitalsError::UnknownRing(_))) => {
                return Err(Refusal::new(StatusCode::NOT_FOUND, error.to_string()));
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
                return Err(Refusal { status: error.status(), ..Refusal::parameters(errors) });
            }
            Some(Err(error)) => {
                count(&counters.vitals_errors);
                return Err(Refusal::new(formatter.unavailable(), error.to_string()));
            }
            None => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Err(Refusal::new(status, "the answer failed; this is a defect"));
            }
        };
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

    fn readyz(&self) -> Answer {
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

/// An answer that is already made, or one that waits for the request's body.
#[expect(clippy::large_enum_variant, reason = "nearly all are made, and a box is an allocation")]
pub(crate) enum Reply {
    Made(Option<Response<AnswerBody>>),
    Awaited(Pin<Box<dyn Future<Output = Response<AnswerBody>>>>),
}

impl Reply {
    /// The same, to be told in the access log when it is gone.
    fn with_entry(self, entry: Box<Entry>) -> Reply {
        let noted = |mut response: Response<AnswerBody>, mut entry: Box<Entry>| {
            entry.answered(response.status());
            response.body_mut().tell(entry);
            response
        };
        match self {
            Reply::Made(response) => Reply::Made(response.map(|response| noted(response, entry))),
            Reply::Awaited(future) => {
                Reply::Awaited(Box::pin(async move { noted(future.await, entry) }))
            }
        }
    }
}

impl Future for Reply {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Reply::Made(response) => {
                Poll::Ready(Ok(response.take().expect("a reply is not polled after its end")))
            }
            Reply::Awaited(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

/// An answer before it is HTTP.
struct Answer {
    status: StatusCode,
    content: Content,
    close: bool,
    /// Of which state of the data it is.
    tag: Option<Tag>,
    coding: Coding,
    /// Whether another `Accept-Encoding` might have brought another answer.
    varies_by_coding: bool,
    /// Whether another `Accept` might have.
    varies_by_accept: bool,
    body: AnswerBody,
}

impl Answer {
    // Every answer begins here, so this is where a request's time ends and ours begins.
    fn new(service: &Service, status: StatusCode, content: Content, body: AnswerBody) -> Answer {
        service.watch.answering();
        let (tag, coding) = (None, Coding::Identity);
        let (varies_by_coding, varies_by_accept) = (false, false);
        Answer {
            status,
            content,
            close: false,
            tag,
            coding,
            varies_by_coding,
            varies_by_accept,
            body,
        }
    }

    /// What a client has in `coding` is still so.
    fn not_modified(service: &Service, tag: Tag, coding: Coding) -> Answer {
        let body = AnswerBody::none(Rc::clone(&service.watch));
        let mut answer = Answer::new(service, StatusCode::NOT_MODIFIED, Content::Json, body);
        (answer.tag, answer.coding) = (Some(tag), coding);
        answer
    }

    fn whole(service: &Service, status: StatusCode, content: Content, bytes: Buffer) -> Answer {
        let body = AnswerBody::whole(bytes, Rc::clone(&service.watch));
        Answer::new(service, status, content, body)
    }

    fn in_parts(service: &Service, content: Content, first: Buffer, rest: Rest) -> Answer {
        let body = AnswerBody::in_parts(first, rest, Rc::clone(&service.watch));
        Answer::new(service, StatusCode::OK, content, body)
    }

    fn told(service: &Service, status: StatusCode, text: &str) -> Answer {
        let mut buffer = service.stock.pool.take();
        buffer.bytes.extend_from_slice(text.as_bytes());
        Answer::whole(service, status, Content::Text, buffer)
    }

    fn refused(service: &Service, formatter: Formatter, refusal: &Refusal) -> Answer {
        let mut buffer = service.stock.pool.take();
        let status = formatter.refuse(refusal, &mut buffer.bytes);
        Answer::whole(service, status, Content::of(formatter), buffer)
    }

    fn nothing_there(service: &Service, formatter: Formatter) -> Answer {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path");
        Answer::refused(service, formatter, &refusal)
    }

    fn into_response(self, mut headers: HeaderMap) -> Response<AnswerBody> {
        headers.clear();
        let has_content = self.status != StatusCode::NOT_MODIFIED;
        if has_content {
            headers.insert(header::CONTENT_TYPE, self.content.header());
        }
        // With a tag it may be kept by whoever asked for it, and asked after before it is used again.
        let cached = match self.tag.and_then(|tag| tag.header(self.coding)) {
            Some(tag) => {
                headers.insert(header::ETAG, tag);
                const { HeaderValue::from_static("private, no-cache") }
            }
            None => const { HeaderValue::from_static("no-store") },
        };
        headers.insert(header::CACHE_CONTROL, cached);
        if self.coding != Coding::Identity && has_content {
            let coding = HeaderValue::from_static(self.coding.as_str());
            headers.insert(header::CONTENT_ENCODING, coding);
        }
        let varies = match (self.varies_by_accept, self.varies_by_coding) {
            (false, false) => None,
            (true, false) => Some("Accept"),
            (false, true) => Some("Accept-Encoding"),
            (true, true) => Some("Accept, Accept-Encoding"),
        };
        if let Some(varies) = varies {
            headers.insert(header::VARY, HeaderValue::from_static(varies));
        }
        headers
            .insert(header::X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, const { HeaderValue::from_static("GET, HEAD") });
        }
        // Between here and the client nobody is to collect events before passing them on.
        if self.content == Content::Events {
            headers.insert("x-accel-buffering", const { HeaderValue::from_static("no") });
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, const { HeaderValue::from_static("1") });
        }
        if self.close {
            headers.insert(header::CONNECTION, const { HeaderValue::from_static("close") });
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// How a request says that its parameters are written.
#[derive(Clone, Copy)]
enum Media {
    Form,
    Json,
}

impl Media {
    /// A request that says nothing means a form, which is also what a query is.
    fn of(headers: &HeaderMap) -> Result<Media, Refusal> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Form) };
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Ok(Media::Json)
        } else if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Ok(Media::Form)
        } else {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "unsupported content type"))
        }
    }

    fn parameters<P: Parameters>(self, text: &[u8]) -> Result<P, Refusal> {
        match self {
            Media::Form => {
                let text = std::str::from_utf8(text)
                    .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))?;
                query::parse(text).map_err(Refusal::parameters)
            }
            Media::Json => query::parse_json(text).map_err(|error| match error {
                BodyError::Parameters(errors) => Refusal::parameters(errors),
                error => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
            }),
        }
    }
}

fn from_query(uri: &Uri) -> &[u8] {
    uri.query().unwrap_or_default().as_bytes()
}

fn uri_bytes(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path_and_query| path_and_query.as_str().len())
}

async fn read_body(mut body: Incoming, max: usize) -> Result<Vec<u8>, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame =
            frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        if let Some(data) = frame.data_ref() {
            if data.len() > max - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}
