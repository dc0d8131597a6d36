//! Methods (RFC 9110 section 9).

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::request::Send::{Line, Raw};
use crate::judge::request::{either, forward, refuse, reject};
use crate::judge::seen::Seen::{Body, Holds, Line as Start};

pub const CHECKS: &[Check] = &[
    forward(
        "methods/get",
        "RFC 9110 9.1",
        "GET is forwarded as it is",
        Line("GET /@T HTTP/1.1"),
        &[Start("GET /@T HTTP/1.1")],
    ),
    forward(
        "methods/delete",
        "RFC 9110 9.1",
        "DELETE is forwarded as it is",
        Line("DELETE /@T HTTP/1.1"),
        &[Start("DELETE /@T HTTP/1.1")],
    ),
    forward(
        "methods/options",
        "RFC 9110 9.1",
        "OPTIONS is forwarded as it is",
        Line("OPTIONS /@T HTTP/1.1"),
        &[Start("OPTIONS /@T HTTP/1.1")],
    ),
    forward(
        "methods/patch",
        "RFC 5789 2",
        "PATCH is forwarded as it is",
        Line("PATCH /@T HTTP/1.1"),
        &[Start("PATCH /@T HTTP/1.1")],
    ),
    forward(
        "methods/post",
        "RFC 9110 9.1",
        "POST is forwarded as it is",
        Raw(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab"),
        &[Start("POST /@T HTTP/1.1"), Body("ab")],
    ),
    forward(
        "methods/put",
        "RFC 9110 9.1",
        "PUT is forwarded as it is",
        Raw(b"PUT /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab"),
        &[Start("PUT /@T HTTP/1.1"), Body("ab")],
    ),
    either(
        "methods/trace",
        "RFC 9110 9.3.8",
        "TRACE is refused, or forwarded as it is",
        Line("TRACE /@T HTTP/1.1"),
        &[Start("TRACE /@T HTTP/1.1")],
    ),
    either(
        "methods/unknown",
        "RFC 9110 9.1",
        "a method that is not known is forwarded, or refused",
        Line("BREW /@T HTTP/1.1"),
        &[Start("BREW /@T HTTP/1.1")],
    ),
    either(
        "methods/propfind",
        "RFC 4918 9.1",
        "a method of WebDAV is forwarded",
        Line("PROPFIND /@T HTTP/1.1"),
        &[Start("PROPFIND /@T HTTP/1.1")],
    ),
    either(
        "methods/lower-case",
        "RFC 9110 9.1",
        "a method has a case: get is not GET",
        Line("get /@T HTTP/1.1"),
        &[Start("get /@T HTTP/1.1")],
    ),
    either(
        "methods/all-token-signs",
        "RFC 9110 5.6.2",
        "a method is any token",
        Line("M!#$%&'*+-.^_`|~9 /@T HTTP/1.1"),
        &[Start("M!#$%&'*+-.^_`|~9 /@T HTTP/1.1")],
    ),
    refuse(
        "methods/with-paren",
        "RFC 9110 5.6.2",
        "a parenthesis in a method is refused",
        Line("G(T /@T HTTP/1.1"),
    ),
    refuse(
        "methods/with-colon",
        "RFC 9110 5.6.2",
        "a colon in a method is refused",
        Line("GET: /@T HTTP/1.1"),
    ),
    refuse(
        "methods/with-quote",
        "RFC 9110 5.6.2",
        "quotes in a method are refused",
        Line("\"GET\" /@T HTTP/1.1"),
    ),
    refuse(
        "methods/with-slash",
        "RFC 9110 5.6.2",
        "a slash in a method is refused",
        Line("GE/T /@T HTTP/1.1"),
    ),
    refuse("methods/empty", "RFC 9110 5.6.2", "an empty method is refused", Line(" /@T HTTP/1.1")),
    refuse(
        "methods/with-control",
        "RFC 9110 5.6.2",
        "a control in a method is refused",
        Line("G\u{1}T /@T HTTP/1.1"),
    ),
    refuse(
        "methods/beyond-ascii",
        "RFC 9110 5.6.2",
        "a method beyond ASCII is refused",
        Line("GÉT /@T HTTP/1.1"),
    ),
    refuse(
        "methods/tab-after",
        "RFC 9112 3",
        "a tab is no space in a request line",
        Line("GET\t/@T HTTP/1.1"),
    ),
    reject(
        "methods/connect",
        "RFC 9110 9.3.6",
        "CONNECT is no way through a reverse proxy",
        Raw(b"CONNECT evil.test:25 HTTP/1.1\r\nHost: evil.test:25\r\n\r\n"),
    ),
    reject(
        "methods/connect-with-path",
        "RFC 9112 3.2.3",
        "CONNECT with a path is refused",
        Raw(b"CONNECT /@T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ),
    reject(
        "methods/connect-internal",
        "attack: SSRF by CONNECT",
        "CONNECT to the proxy's own machine is refused",
        Raw(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n"),
    ),
    forward(
        "methods/options-asterisk",
        "RFC 9112 3.2.4",
        "OPTIONS * reaches the origin as it is",
        Raw(b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nX-Token: @T\r\n\r\n"),
        &[Start("OPTIONS * HTTP/1.1")],
    ),
    reject(
        "methods/get-asterisk",
        "RFC 9112 3.2.4",
        "* with another method is refused",
        Raw(b"GET * HTTP/1.1\r\nHost: a.test\r\nX-Token: @T\r\n\r\n"),
    ),
    forward(
        "methods/get-with-body",
        "RFC 9110 9.3.1",
        "the body of a GET is neither lost nor the next request",
        Raw(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"),
        &[Body("hello")],
    ),
    forward(
        "methods/delete-with-body",
        "RFC 9110 9.3.5",
        "the body of a DELETE is neither lost nor the next request",
        Raw(b"DELETE /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"),
        &[Body("hello")],
    ),
    forward(
        "methods/override-is-not-ours",
        "attack: method override",
        "X-HTTP-Method-Override does not change the method",
        Raw(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nX-HTTP-Method-Override: DELETE\r\n\r\n"),
        &[Start("GET /@T HTTP/1.1"), Holds("host", "a.test")],
    ),
    code!(
        "methods/head",
        "RFC 9110 9.3.2",
        "an answer to HEAD has no body, whatever its length says, and the connection goes on",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"HEAD /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(true).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
            ensure!(case.only()?.message.start == case.text("HEAD /@T HTTP/1.1"), "the method changed");
            crate::judge::request::follow(&case, &mut conn, &answer).await
        }
    ),
    code!("methods/long", "RFC 9110 15.6.2", "a method of ten thousand letters is refused", |case| {
        let mut conn = case.http().await?;
        conn.offer(format!("{} /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "A".repeat(40_000), case.token)).await;
        match conn.response(false).await {
            Ok(answer) => {
                ensure!(crate::judge::request::refuses(answer.status()), "answered {}", answer.start)
            }
            // A server that does not read on may be gone before its answer is read.
            Err(_) => ensure!(case.whole().is_empty(), "the origin got it"),
        }
        Ok(())
    }),
];
