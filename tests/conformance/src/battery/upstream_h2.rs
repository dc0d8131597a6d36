//! Upstreams by HTTP/2 that break the protocol, or off (RFC 9113).

use std::time::Duration;

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::judge::answer::is_bad;
use crate::origin::script::{Script, Step, THIS, frames};
use crate::wire::h1::{End, Message};
use crate::wire::h2::{Frame, code as error, flag, hpack, kind};

fn head(fields: &[(&str, &str)], end: bool) -> Frame {
    let end = if end { flag::END_STREAM } else { 0 };
    Frame::new(kind::HEADERS, flag::END_HEADERS | end, THIS, hpack::block(fields))
}

async fn ask(case: &Case, script: Script) -> Result<Message, String> {
    case.script(vec![script]);
    let mut conn = case.http().await?;
    conn.send(case.fill(b"GET /h2/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
    conn.response(false).await
}

/// The answer must not be taken for a whole one.
async fn fails(case: &Case, script: Script) -> Verdict {
    // No answer at all cannot be.
    let Ok(answer) = ask(case, script).await else { return Ok(()) };
    let fine = is_bad(answer.status()) || answer.end == End::Cut;
    ensure!(fine, "the client took {} {:?} for whole", answer.start, answer.text());
    Ok(())
}

const OK: (&str, &str) = (":status", "200");

pub const CHECKS: &[Check] = &[
    code!("upstream-h2/answer", "RFC 9113 8.1", "an answer by HTTP/2 reaches a client of HTTP/1.1", |case| {
        let answer =
            ask(&case, frames([head(&[OK, ("x-a", "1")], false), Frame::data(THIS, true, *b"hello")]))
                .await?;
        ensure!(answer.status() == 200 && answer.body == b"hello", "{} {:?}", answer.start, answer.text());
        ensure!(answer.joined("x-a").as_deref() == Some("1"), "no x-a");
        Ok(())
    }),
    code!(
        "upstream-h2/request",
        "RFC 9113 8.3.1",
        "a request by HTTP/1.1 is a proper one by HTTP/2",
        |case| {
            let mut conn = case.http().await?;
            let post = b"POST /h2/@T?q HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-One-Hop\r\nX-One-Hop: 1\r\n\
            Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
            conn.send(case.fill(post)).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            let message = case.only()?.message;
            for (name, value) in [
                (":method", "POST".to_owned()),
                (":path", case.text("/h2/@T?q")),
                (":authority", "a.test".to_owned()),
            ] {
                ensure!(
                    message.joined(name) == Some(value.clone()),
                    "{name}: {:?} instead of {value:?}",
                    message.joined(name)
                );
            }
            for gone in ["connection", "keep-alive", "transfer-encoding", "x-one-hop", "host"] {
                ensure!(
                    message.joined(gone).is_none()
                        || (gone == "host" && message.joined("host").as_deref() == Some("a.test")),
                    "{gone} is there"
                );
            }
            ensure!(message.body == b"hello", "the body is {:?}", message.text());
            ensure!(
                message.fields.iter().all(|(name, _)| !name.bytes().any(|c| c.is_ascii_uppercase())),
                "a name in upper case"
            );
            Ok(())
        }
    ),
    code!("upstream-h2/reset", "RFC 9113 5.4.2", "a stream that is reset is an error", |case| {
        fails(&case, frames([Frame::reset(THIS, error::INTERNAL_ERROR)])).await
    }),
    code!(
        "upstream-h2/reset-in-body",
        "RFC 9113 5.4.2",
        "a stream that is reset in its body is cut",
        |case| {
            fails(
                &case,
                frames([
                    head(&[OK], false),
                    Frame::data(THIS, false, *b"hello"),
                    Frame::reset(THIS, error::INTERNAL_ERROR),
                ]),
            )
            .await
        }
    ),
    code!(
        "upstream-h2/closes-in-body",
        "RFC 9113 8.1",
        "a connection that closes within a body cuts it",
        |case| {
            fails(
                &case,
                vec![
                    Step::Body,
                    Step::Frames(vec![head(&[OK], false), Frame::data(THIS, false, *b"hello")]),
                    Step::Pause(Duration::from_millis(100)),
                    Step::Close,
                ],
            )
            .await
        }
    ),
    code!("upstream-h2/length-too-long", "RFC 9113 8.1.1", "a body shorter than its length is cut", |case| {
        fails(
            &case,
            frames([head(&[OK, ("content-length", "10")], false), Frame::data(THIS, true, *b"hello")]),
        )
        .await
    }),
    code!(
        "upstream-h2/length-too-short",
        "RFC 9113 8.1.1",
        "a body longer than its length is no answer",
        |case| {
            let script =
                frames([head(&[OK, ("content-length", "2")], false), Frame::data(THIS, true, *b"hello")]);
            // Its head may have gone on already, and then the client sees two octets and the end.
            let Ok(answer) = ask(&case, script).await else { return Ok(()) };
            let fine = is_bad(answer.status())
                || answer.end == End::Cut
                || answer.body == b"he"
                || answer.body.is_empty();
            ensure!(fine, "the client took {:?}", answer.text());
            Ok(())
        }
    ),
    code!("upstream-h2/no-status", "RFC 9113 8.3.2", "a head without a status is no answer", |case| {
        fails(&case, frames([head(&[("x-a", "1")], true)])).await
    }),
    code!("upstream-h2/status-word", "RFC 9113 8.3.2", "a status that is no number is no answer", |case| {
        fails(&case, frames([head(&[(":status", "ok")], true)])).await
    }),
    code!("upstream-h2/switching", "RFC 9113 8.6", "there is no 101 in HTTP/2", |case| {
        fails(&case, frames([head(&[(":status", "101")], false), head(&[OK], true)])).await
    }),
    code!(
        "upstream-h2/connection-field",
        "RFC 9113 8.2.2",
        "a connection-specific field makes no answer",
        |case| { fails(&case, frames([head(&[OK, ("connection", "close")], true)])).await }
    ),
    code!("upstream-h2/coding-field", "attack: H2.TE upstream", "a coding makes no answer", |case| {
        fails(
            &case,
            frames([
                head(&[OK, ("transfer-encoding", "chunked")], false),
                Frame::data(THIS, true, *b"0\r\n\r\n"),
            ]),
        )
        .await
    }),
    code!("upstream-h2/upper-case", "RFC 9113 8.2.1", "a name in upper case makes no answer", |case| {
        fails(&case, frames([head(&[OK, ("X-A", "1")], true)])).await
    }),
    code!(
        "upstream-h2/line-break",
        "attack: response splitting",
        "a line break in a value makes no answer",
        |case| { fails(&case, frames([head(&[OK, ("x-a", "1\r\nset-cookie: evil=1")], true)])).await }
    ),
    code!(
        "upstream-h2/request-pseudo",
        "RFC 9113 8.3.2",
        "a request's pseudo-header field makes no answer",
        |case| { fails(&case, frames([head(&[OK, (":path", "/")], true)])).await }
    ),
    code!(
        "upstream-h2/hpack-broken",
        "RFC 7541 5.1",
        "a field section that cannot be read is no answer",
        |case| {
            fails(
                &case,
                frames([Frame::new(
                    kind::HEADERS,
                    flag::END_HEADERS | flag::END_STREAM,
                    THIS,
                    [0xff, 0xff, 0xff, 0xff, 0xff],
                )]),
            )
            .await
        }
    ),
    code!(
        "upstream-h2/goaway",
        "RFC 9113 6.8",
        "a GOAWAY below the stream is an error or another try",
        |case| {
            let answer = ask(
                &case,
                vec![Step::Body, Step::Frames(vec![Frame::goaway(0, error::NO_ERROR)]), Step::Close],
            )
            .await?;
            ensure!(answer.status() == 200 || is_bad(answer.status()), "answered {}", answer.start);
            Ok(())
        }
    ),
    code!(
        "upstream-h2/goaway-then-next",
        "RFC 9113 6.8",
        "after a GOAWAY the next request gets another connection",
        |case| {
            let ok = [
                head(&[OK], false),
                Frame::data(THIS, true, *b"ok"),
                Frame::goaway(i32::MAX as u32, error::NO_ERROR),
            ];
            let answer = ask(&case, frames(ok)).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /h2/@N HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let next = conn.response(false).await?;
            ensure!(next.text() == case.text("ok @N"), "the next request is answered {}", next.start);
            Ok(())
        }
    ),
    code!("upstream-h2/early-hints", "RFC 8297 2", "the answer behind a 103 is the answer", |case| {
        let script = frames([
            head(&[(":status", "103"), ("link", "</a>")], false),
            head(&[OK], false),
            Frame::data(THIS, true, *b"hello"),
        ]);
        let answer = ask(&case, script).await?;
        ensure!(answer.status() == 200 && answer.body == b"hello", "{} {:?}", answer.start, answer.text());
        Ok(())
    }),
    code!(
        "upstream-h2/trailers",
        "RFC 9113 8.1",
        "trailers by HTTP/2 are trailers of chunks, or gone",
        |case| {
            let script = frames([
                head(&[OK], false),
                Frame::data(THIS, false, *b"hello"),
                head(&[("x-sum", "abc")], true),
            ]);
            let answer = ask(&case, script).await?;
            ensure!(
                answer.body == b"hello" && answer.end != End::Cut,
                "{} {:?}",
                answer.start,
                answer.text()
            );
            ensure!(answer.joined("x-sum").is_none(), "they became fields");
            Ok(())
        }
    ),
    code!("upstream-h2/push", "RFC 9113 8.4", "a push that was forbidden is an error", |case| {
        let promise = [
            vec![0, 0, 0, 2],
            hpack::block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/evil"),
                (":authority", "a.test"),
            ]),
        ];
        let push = Frame::new(kind::PUSH_PROMISE, flag::END_HEADERS, THIS, promise.concat());
        fails(&case, frames([push, head(&[OK], false), Frame::data(THIS, true, *b"hello")])).await
    }),
];
