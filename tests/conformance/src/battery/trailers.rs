//! Trailers (RFC 9110 section 6.5, RFC 9112 section 7.1.2).

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::answer::{maybe, pass, pass_to};
use crate::judge::h2_request::{self, Send as H2};
use crate::judge::request::Send::{Chunks, Get, Post, Raw};
use crate::judge::request::{either, forward};
use crate::judge::seen::Seen::{Body, Holds, Lacks, No, NoTrailer, Times, Trailer};
use crate::origin::script::answer;

const TE: &str = "TE: trailers\r\nConnection: TE\r\n";

pub const CHECKS: &[Check] = &[
    forward(
        "trailers/request",
        "RFC 9112 7.1.2",
        "a request with trailers is served, and they are trailers or gone",
        Chunks("5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n"),
        &[Body("hello"), No("x-sum")],
    ),
    forward(
        "trailers/request-announced",
        "RFC 9110 6.6.2",
        "trailers that were announced arrive as trailers or not at all",
        Post("Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n"),
        &[Body("hello"), No("x-sum")],
    ),
    either(
        "trailers/request-authorization",
        "RFC 9110 6.5.1",
        "credentials are no trailer",
        Chunks("5\r\nhello\r\n0\r\nAuthorization: Basic evil\r\n\r\n"),
        &[Body("hello"), NoTrailer("authorization")],
    ),
    either(
        "trailers/request-forwarded-for",
        "attack: trailer merge",
        "an address is no trailer",
        Chunks("5\r\nhello\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"),
        &[Body("hello"), Lacks("x-forwarded-for", "6.6.6.6"), Times("x-forwarded-for", 1)],
    ),
    either(
        "trailers/request-connection",
        "RFC 9110 6.5.1",
        "Connection is no trailer",
        Chunks("5\r\nhello\r\n0\r\nConnection: X-Forwarded-For\r\n\r\n"),
        &[Body("hello"), NoTrailer("connection")],
    ),
    pass_to(
        "trailers/response",
        "RFC 9110 6.5",
        "trailers of an answer reach a client that takes them",
        Get(TE),
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
        200,
        &[Body("hello"), Trailer("x-sum", "abc")],
    ),
    pass(
        "trailers/response-not-merged",
        "RFC 9110 6.5.1",
        "trailers of an answer do not become its fields",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
        200,
        &[Body("hello"), No("x-sum")],
    ),
    maybe(
        "trailers/response-length",
        "RFC 9110 6.5.1",
        "a length is no trailer of an answer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        200,
        &[Body("hello"), NoTrailer("content-length")],
    ),
    maybe(
        "trailers/response-set-cookie",
        "RFC 9110 6.5.1",
        "a cookie is no trailer that is merged",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSet-Cookie: a=evil\r\n\r\n",
        200,
        &[Body("hello"), No("set-cookie")],
    ),
    pass_to(
        "trailers/response-http-1.0-client",
        "RFC 9110 6.5",
        "an HTTP/1.0 client is sent the body alone",
        Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
        200,
        &[Body("hello"), No("x-sum")],
    ),
    forward(
        "trailers/te-passed-on",
        "RFC 9110 10.1.4",
        "the origin is told that trailers are taken only where the proxy takes them",
        Get(TE),
        &[Lacks("te", "gzip")],
    ),
    code!("trailers/response-to-h2", "RFC 9113 8.1", "trailers of an answer become an HTTP/2 trailer section", |case| {
        case.script(vec![answer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
        )]);
        let mut h2 = case.h2().await?;
        let mut fields = case.get("/@T");
        fields.push(("te".to_owned(), "trailers".to_owned()));
        let stream = h2.request(&fields, true).await?;
        let answer = h2.answer(stream).await;
        ensure!(answer.status == 200 && answer.body == b"hello", "answered {}", answer.status);
        ensure!(answer.trailer("x-sum") == Some("abc"), "the trailers are {:?}", answer.trailers);
        Ok(())
    }),
    h2_request::forward(
        "trailers/h2-request",
        "RFC 9113 8.1",
        "a request with trailers is served, and they are trailers or gone",
        H2::Trailers(&[], "hello", &[("x-sum", "abc")]),
        &[Body("hello"), No("x-sum")],
    ),
    h2_request::malformed(
        "trailers/h2-pseudo",
        "RFC 9113 8.1",
        "a pseudo-header field in trailers is malformed",
        H2::Trailers(&[], "hello", &[(":path", "/evil")]),
    ),
    h2_request::malformed(
        "trailers/h2-connection-field",
        "RFC 9113 8.2.2",
        "a connection-specific field in trailers is malformed",
        H2::Trailers(&[], "hello", &[("connection", "close")]),
    ),
    h2_request::malformed(
        "trailers/h2-upper-case",
        "RFC 9113 8.2.1",
        "a name in upper case in trailers is malformed",
        H2::Trailers(&[], "hello", &[("X-Sum", "abc")]),
    ),
    h2_request::malformed(
        "trailers/h2-crlf",
        "attack: H2 trailer injection",
        "a line break in a trailer is malformed",
        H2::Trailers(&[], "hello", &[("x-sum", "abc\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")]),
    ),
    h2_request::either(
        "trailers/h2-length",
        "RFC 9110 6.5.1",
        "a length is no trailer of HTTP/2 either",
        H2::Trailers(&[], "hello", &[("content-length", "99")]),
        &[Body("hello"), NoTrailer("content-length"), Holds("host", "a.test")],
    ),
];
