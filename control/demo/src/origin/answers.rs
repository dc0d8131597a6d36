//! The pages of an origin: what a request gets when no fault stands in its way.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde_json::{Value, json};

use super::fault::{number, query_value};

/// What every page is sent as.
pub(super) type Page = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// The largest body that `/bytes` makes and `/slow-body` is asked for: 1 GiB, so that a typing error does
/// not fill a disk.
const MOST_BYTES: u64 = 1 << 30;

/// Who answers: the identity that every page carries.
pub(super) struct Identity {
    pub cluster: String,
    pub endpoint: String,
    pub version: String,
}

/// Answers one request.
pub(super) async fn answer(who: &Identity, request: Request<Incoming>) -> Page {
    let query = request.uri().query().unwrap_or("").to_owned();
    let page = match request.uri().path() {
        "/healthz" => Ok(text(StatusCode::OK, "ok\n")),
        "/echo" => Ok(echo(who, request).await),
        "/echo-body" => Ok(echo_body(request)),
        "/bytes" => bytes(&query),
        "/slow-body" => slow_body(&query),
        "/trailers" => Ok(trailers()),
        path => match path.strip_prefix("/status/") {
            Some(code) => number(Some(code), 0, 200..=599, "status").map(|code| status(code as u16)),
            None => Ok(hello(who, &request)),
        },
    };
    page.unwrap_or_else(|problem| text(StatusCode::BAD_REQUEST, problem))
}

/// A plain-text page.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Page {
    page(status, "text/plain; charset=utf-8", full(body))
}

/// A JSON page.
pub(super) fn json_page(value: &Value) -> Page {
    page(StatusCode::OK, "application/json", full(format!("{value}\n")))
}

fn page(status: StatusCode, kind: &'static str, body: UnsyncBoxBody<Bytes, hyper::Error>) -> Page {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn full(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, hyper::Error> {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Puts the identity where a proxy passes it on untouched and a load generator reads it cheaply.
pub(super) fn sign(who: &Identity, page: &mut Page) {
    for (name, value) in
        [("x-cluster", &who.cluster), ("x-endpoint", &who.endpoint), ("x-version", &who.version)]
    {
        if let Ok(value) = HeaderValue::from_str(value) {
            page.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// The answer to HEAD: what GET would give, without the body. hyper drops the body itself in HTTP/1.1 but sends it
/// in HTTP/2, where that is an error (RFC 9113, 8.1.1).
pub(super) fn without_body(page: Page) -> Page {
    let (mut head, body) = page.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Empty::new().map_err(|never| match never {}).boxed_unsync())
}

fn hello(who: &Identity, request: &Request<Incoming>) -> Page {
    let user = request.headers().get("x-user-id").map(|value| String::from_utf8_lossy(value.as_bytes()));
    json_page(&json!({
        "cluster": who.cluster, "endpoint": who.endpoint, "version": who.version, "user": user,
    }))
}

/// `/status/204` and `/status/304` have no body by RFC 9110 (6.4.1); all others say their number.
fn status(code: u16) -> Page {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        return response;
    }
    text(status, format!("{code}\n"))
}

/// The request as JSON: what arrived after everything in between had its hands on it.
async fn echo(who: &Identity, request: Request<Incoming>) -> Page {
    let (head, body) = request.into_parts();
    let (body, trailers) = match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().map(header_pairs);
            (collected.to_bytes(), trailers)
        }
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("the body did not arrive: {error}\n")),
    };
    json_page(&json!({
        "cluster": who.cluster,
        "endpoint": who.endpoint,
        "method": head.method.as_str(),
        "uri": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": header_pairs(&head.headers),
        "body": String::from_utf8_lossy(&body),
        "body_bytes": body.len(),
        "trailers": trailers,
    }))
}

/// Pairs, not a map: order and repetition are what a proxy's test wants to see.
fn header_pairs(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect()
}

/// Streams the request's body (and its trailers) back while it is still arriving.
fn echo_body(request: Request<Incoming>) -> Page {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(request.into_body().boxed_unsync());
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// `/bytes?n=N[&chunked=1]`: N bytes of the alphabet over and over, with a length or without.
fn bytes(query: &str) -> Result<Page, String> {
    let length = number(query_value(query, "n"), 1024, 0..=MOST_BYTES, "n")?;
    let known = query_value(query, "chunked").is_none();
    let body = Pattern { left: length, step: 16 * 1024, known, ..Pattern::default() };
    Ok(page(StatusCode::OK, "application/octet-stream", body.boxed()))
}

/// `/slow-body?ms=M[&chunks=C]`: the head at once, then C chunks of 26 bytes, each after M milliseconds.
fn slow_body(query: &str) -> Result<Page, String> {
    let wait = Duration::from_millis(number(query_value(query, "ms"), 1000, 0..=600_000, "ms")?);
    let chunks = number(query_value(query, "chunks"), 1, 1..=1_000_000, "chunks")?;
    let body = Pattern { left: chunks * ALPHABET, step: ALPHABET, wait: Some(wait), ..Pattern::default() };
    Ok(page(StatusCode::OK, "application/octet-stream", body.boxed()))
}

/// `/trailers`: a body, then the trailer `x-checked: yes`.
fn trailers() -> Page {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checked", HeaderValue::from_static("yes"));
    let body = Pattern { left: ALPHABET, step: ALPHABET, trailers: Some(trailers), ..Pattern::default() };
    let mut response = page(StatusCode::OK, "text/plain; charset=utf-8", body.boxed());
    // Without this line HTTP/1.1 senders (hyper among them) drop the trailers, as RFC 9110, 6.5.1 lets them.
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-checked"));
    response
}

const ALPHABET: u64 = 26;

/// A body of `left` bytes, made step by step: memory does not grow with its length.
#[derive(Default)]
struct Pattern {
    left: u64,
    step: u64,
    /// Tell the length beforehand (Content-Length) or not (chunked).
    known: bool,
    wait: Option<Duration>,
    sleeping: Option<Pin<Box<tokio::time::Sleep>>>,
    made: u64,
    trailers: Option<HeaderMap>,
}

impl Pattern {
    fn boxed(self) -> UnsyncBoxBody<Bytes, hyper::Error> {
        self.map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if let Some(wait) = self.wait {
            let sleeping = self.sleeping.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
            if sleeping.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleeping = None;
        }
        let length = self.left.min(self.step);
        let chunk: Vec<u8> = (self.made..self.made + length).map(|at| b'a' + (at % ALPHABET) as u8).collect();
        self.left -= length;
        self.made += length;
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.known { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}
