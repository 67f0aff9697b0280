//! An answer before it is HTTP, and what it becomes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::access::Entry;
use super::body::{AnswerBody, Rest};
use super::content::Content;
use super::formatter::{Formatter, Refusal};
use super::guard::COME_AGAIN;
use super::headers::Coding;
use super::pool::Buffer;
use super::service::Service;
use super::tag::Tag;

/// What clients can prove who they are by, of what has a name that everybody knows.
const CHALLENGE: &str =
    "Basic realm=\"tachograph\", charset=\"UTF-8\", Bearer realm=\"tachograph\"";

/// An answer that is already made, or one that waits for the request's body.
#[expect(clippy::large_enum_variant, reason = "nearly all are made, and a box is an allocation")]
pub(crate) enum Reply {
    Made(Option<Response<AnswerBody>>),
    Awaited(Pin<Box<dyn Future<Output = Response<AnswerBody>>>>),
}

impl Reply {
    /// The same, to be told in the access log when it is gone.
    pub(crate) fn with_entry(self, entry: Box<Entry>) -> Reply {
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
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
    pub(crate) close: bool,
    /// Of which state of the data it is.
    pub(crate) tag: Option<Tag>,
    pub(crate) coding: Coding,
    /// Whether another `Accept-Encoding` might have brought another answer.
    pub(crate) varies_by_coding: bool,
    /// Whether another `Accept` might have.
    pub(crate) varies_by_accept: bool,
    pub(crate) body: AnswerBody,
}

impl Answer {
    // Every answer begins here, so this is where a request's time ends and ours begins.
    pub(crate) fn new(
        service: &Service,
        status: StatusCode,
        content: Content,
        body: AnswerBody,
    ) -> Answer {
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
    pub(crate) fn not_modified(service: &Service, tag: Tag, coding: Coding) -> Answer {
        let body = AnswerBody::none(Rc::clone(&service.watch));
        let mut answer = Answer::new(service, StatusCode::NOT_MODIFIED, Content::Json, body);
        (answer.tag, answer.coding) = (Some(tag), coding);
        answer
    }

    pub(crate) fn whole(
        service: &Service,
        status: StatusCode,
        content: Content,
        bytes: Buffer,
    ) -> Answer {
        let body = AnswerBody::whole(bytes, Rc::clone(&service.watch));
        Answer::new(service, status, content, body)
    }

    pub(crate) fn in_parts(
        service: &Service,
        content: Content,
        first: Buffer,
        rest: Rest,
    ) -> Answer {
        let body = AnswerBody::in_parts(first, rest, Rc::clone(&service.watch));
        Answer::new(service, StatusCode::OK, content, body)
    }

    pub(crate) fn told(service: &Service, status: StatusCode, text: &str) -> Answer {
        let mut buffer = service.stock.pool.take();
        buffer.bytes.extend_from_slice(text.as_bytes());
        Answer::whole(service, status, Content::Text, buffer)
    }

    pub(crate) fn refused(service: &Service, formatter: Formatter, refusal: &Refusal) -> Answer {
        let mut buffer = service.stock.pool.take();
        let status = formatter.refuse(refusal, &mut buffer.bytes);
        Answer::whole(service, status, Content::of(formatter), buffer)
    }

    pub(crate) fn nothing_there(service: &Service, formatter: Formatter) -> Answer {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path");
        Answer::refused(service, formatter, &refusal)
    }

    pub(crate) fn into_response(self, mut headers: HeaderMap) -> Response<AnswerBody> {
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
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(COME_AGAIN.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, const { HeaderValue::from_static(CHALLENGE) });
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
