//! From a request to its answer.
//!
//! A request without a body, which is every request that clients are known to make, is answered
//! within the call: its header is done with before hyper reads again, so hyper finds its read buffer
//! free to be used once more, and the request's header map becomes the answer's. Neither is
//! allocated anew while a connection lasts.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::sleep;

use super::accept;
use super::access::Entry;
use super::answer::{Answer, Reply};
use super::body::{AnswerBody, caught};
use super::coder::Coders;
use super::counters::{Counters, count};
use super::cursors::Cursors;
use super::formatter::{Formatter, Refusal};
use super::guard::{Denied, Guard, Principal};
use super::headers::{Acceptable, Coding, scrape_timeout};
use super::hosts::{Hosts, WrongHost};
use super::kept::Kept;
use super::limits::{FAILURE_DELAY, FAILURES_DELAYED_MAX, Limits, URI_BYTES_MAX};
use super::own::Told;
use super::pool::Pool;
use super::query::{self, BodyError, Parameters};
use super::route::Route;
use super::server::Compression;
use super::socket::Peer;
use super::tag::{Tag, Version};
use super::vitals::Vitals;
use super::watch::Watch;

/// What the connections of a server have in common.
pub(crate) struct Stock {
    /// All data, whoever sees it.
    pub(crate) vitals: Rc<dyn Vitals>,
    pub(crate) guard: Guard,
    /// How many wait to be told that they could not prove who they are.
    pub(crate) delayed: Cell<usize>,
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
            Route::Usage(formatter) => {
                return self.with_parameters(formatter, head, body, Service::usage);
            }
            Route::Permissions(formatter) => {
                return self.with_parameters(formatter, head, body, Service::permissions);
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
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Rc<Principal>,
    pub(super) formatter: Formatter,
    pub(super) headers: &'a HeaderMap,
    /// Whether only the header is wanted.
    is_head: bool,
    /// Whether all parameters stand in the target, so that the target tells one answer from another.
    is_all_in_target: bool,
}

impl Asked<'_> {
    /// The format of the prometheus view that is wanted most.
    pub(super) fn format(&self) -> accept::Format {
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
        let principal = match self.stock.guard.principal(&headers, self.peer) {
            Ok(principal) => principal,
            Err(denied) => return self.denied(denied, headers),
        };
        let is_head = head.method == Method::HEAD;
        let media = match Media::of(&headers) {
            Ok(media) => media,
            Err(refusal) => {
                let answer = Answer::refused(self, formatter, &refusal);
                return Reply::Made(Some(answer.into_response(headers)));
            }
        };
        if body.is_end_stream() {
            let (principal, is_all_in_target) = (&principal, true);
            let asked =
                Asked { principal, formatter, headers: &headers, is_head, is_all_in_target };
            let answer = self.answer(&asked, Media::Form, from_query(&head.uri), handler);
            return Reply::Made(Some(answer.into_response(headers)));
        }
        self.watch.receiving_body();
        let service = self.clone();
        Reply::Awaited(Box::pin(async move {
            let max = service.stock.limits().body_bytes_max;
            let bytes = read_body(body, max).await;
            let is_all_in_target = bytes.as_ref().is_ok_and(Vec::is_empty);
            let principal = &principal;
            let asked =
                Asked { principal, formatter, headers: &headers, is_head, is_all_in_target };
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

    /// Tells somebody that they could not prove who they are, after a while in which nothing is done for
    /// them.
    fn denied(&self, denied: Denied, headers: HeaderMap) -> Reply {
        let Stock { counters, delayed, .. } = &*self.stock;
        if denied == Denied::TooMany || delayed.get() == FAILURES_DELAYED_MAX {
            count(&counters.failures_limited);
            let text = "authentication failed too often; come again later\n";
            let answer = Answer::told(self, StatusCode::TOO_MANY_REQUESTS, text);
            return Reply::Made(Some(answer.into_response(headers)));
        }
        count(&counters.unauthenticated);
        self.watch.answering();
        let (service, place) = (self.clone(), Delayed::of(&self.stock));
        Reply::Awaited(Box::pin(async move {
            sleep(FAILURE_DELAY).await;
            drop(place);
            let text = "authentication failed\n";
            Answer::told(&service, StatusCode::UNAUTHORIZED, text).into_response(headers)
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
    pub(super) fn tagged(
        &self,
        asked: &Asked<'_>,
        what: &'static str,
        version: impl Fn(&dyn Vitals) -> Option<Version>,
        make: impl FnOnce() -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let counters = &self.stock.counters;
        let Principal { vitals, sight, .. } = &**asked.principal;
        // What stands in a body is no part of the name under which a client keeps the answer.
        let version = || caught(counters, || version(&**vitals)).flatten();
        let before = version().filter(|_| asked.is_all_in_target);
        let tag = before.map(|version| Tag { version, what, rights: sight.key() });
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
}

/// Somebody who waits; no longer when dropped.
struct Delayed(Rc<Stock>);

impl Delayed {
    fn of(stock: &Rc<Stock>) -> Delayed {
        stock.delayed.set(stock.delayed.get() + 1);
        Delayed(Rc::clone(stock))
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        self.0.delayed.set(self.0.delayed.get() - 1);
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
