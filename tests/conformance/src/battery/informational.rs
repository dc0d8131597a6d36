//! Interim responses (RFC 9110 section 15.2) and Expect (section 10.1.1).

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::answer::{bad_close, pass, pass_to};
use crate::judge::request::Send::Raw;
use crate::judge::seen::Seen::{Body, Has, Times};
use crate::origin::script::{Step, answer};
use crate::wire::conn::PATIENCE;

const EXPECTS: &[u8] =
    b"POST /@T HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

pub const CHECKS: &[Check] = &[
    pass(
        "informational/hundred-first",
        "RFC 9110 15.2",
        "a 100 before the answer is not the answer",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    pass(
        "informational/early-hints-then-answer",
        "RFC 8297 2",
        "the answer behind a 103 is the answer",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    pass(
        "informational/early-hints-stay-apart",
        "RFC 8297 2",
        "fields of a 103 are not those of the answer",
        b"HTTP/1.1 103 Early Hints\r\nX-A: hint\r\n\r\nHTTP/1.1 200 OK\r\nX-A: answer\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Has("x-a", "answer"), Times("x-a", 1)],
    ),
    pass(
        "informational/unknown",
        "RFC 9110 15.2",
        "an interim status that nobody knows is one all the same",
        b"HTTP/1.1 199 What\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    pass(
        "informational/several",
        "RFC 9110 15.2",
        "several interim responses are several",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    pass(
        "informational/with-length",
        "RFC 9110 8.6",
        "an interim response has no body, whatever its length says",
        b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    bad_close(
        "informational/alone",
        "RFC 9110 15.2",
        "an interim response and then the end is no answer",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    bad_close(
        "informational/switching-unasked",
        "RFC 9110 15.2.2",
        "a 101 that nobody asked for is an error",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    pass_to(
        "informational/http-1.0-client",
        "RFC 9110 15.2",
        "an HTTP/1.0 client is sent no interim response",
        Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    code!("informational/http-1.0-client-sees-none", "RFC 9110 15.2", "its first line is the answer's", |case| {
        case.script(vec![answer(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n")).await?;
        let (interims, answer) = conn.responses(false, PATIENCE).await;
        ensure!(interims.is_empty() && answer?.status() == 200, "an interim response was sent");
        Ok(())
    }),
    code!("informational/early-hints-arrive", "RFC 8297 2", "a 103 is passed on, before the answer is there", |case| {
        case.script(vec![vec![
            Step::Body,
            Step::Send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n".to_vec()),
            Step::Pause(Duration::from_millis(1_500)),
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        let hint = conn.head(Duration::from_secs(1)).await;
        let hint = hint.map_err(|_| "no 103 before the answer")?;
        ensure!(hint.status() == 103, "{}", hint.start);
        ensure!(hint.joined("link").as_deref() == Some("</a.css>; rel=preload"), "no Link");
        ensure!(conn.response(false).await?.status() == 200, "no answer behind it");
        Ok(())
    }),
    code!("informational/expect-is-met", "RFC 9110 10.1.1", "a client that waits to send is told to go on", |case| {
        case.script(vec![vec![
            Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            Step::Body,
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(EXPECTS)).await?;
        let go_on = conn.head(PATIENCE).await.map_err(|_| "it is told nothing")?;
        ensure!(go_on.status() == 100, "it is told {}", go_on.start);
        conn.send("hello").await?;
        ensure!(conn.response(false).await?.status() == 200, "no answer");
        ensure!(case.only()?.message.body == b"hello", "the body is not what was sent");
        Ok(())
    }),
    code!("informational/expect-refused", "RFC 9110 10.1.1", "a final answer spares the client its body", |case| {
        case.script(vec![vec![
            Step::Send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()),
            Step::Close,
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(EXPECTS)).await?;
        let (interims, answer) = conn.responses(false, PATIENCE).await;
        let answer = answer?;
        // A proxy may answer 100 on its own, and then has to take the body.
        if !interims.is_empty() {
            return Ok(());
        }
        ensure!(answer.status() == 417, "answered {}", answer.start);
        Ok(())
    }),
    code!(
        "informational/expect-refused-and-sent-anyway",
        "RFC 9110 10.1.1",
        "a body that comes after a refusal is not the next request",
        |case| {
            case.script(vec![vec![
                Step::Send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n".to_vec()),
                Step::Close,
            ]]);
            let mut conn = case.http().await?;
            let head = b"POST /@T HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n";
            conn.send(case.fill(head)).await?;
            let answer = conn.response(false).await?;
            conn.offer(case.fill(b"GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
            conn.read_to_end(Duration::from_secs(1)).await;
            ensure!(!case.is_smuggled(), "after {} the body was taken for a request", answer.start);
            Ok(())
        }
    ),
    code!("informational/expect-client-does-not-wait", "RFC 9110 10.1.1", "a body that comes at once is taken", |case| {
        let mut conn = case.http().await?;
        conn.send([case.fill(EXPECTS), b"hello".to_vec()].concat()).await?;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        ensure!(case.only()?.message.body == b"hello", "the body is not what was sent");
        crate::judge::request::follow(&case, &mut conn, &answer).await
    }),
    code!("informational/expect-unknown", "RFC 9110 10.1.1", "an expectation that is not known is 417, or passed on", |case| {
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nExpect: the-unexpected\r\n\r\n")).await?;
        let answer = conn.response(false).await?;
        ensure!(matches!(answer.status(), 200 | 400 | 417), "answered {}", answer.start);
        Ok(())
    }),
    code!("informational/expect-in-http-1.0", "RFC 9110 10.1.1", "an HTTP/1.0 client is sent no 100", |case| {
        let mut conn = case.http().await?;
        let head = b"POST /@T HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
        conn.send(case.fill(head)).await?;
        let (interims, answer) = conn.responses(false, PATIENCE).await;
        ensure!(interims.is_empty(), "it is sent {}", interims[0].start);
        ensure!(answer?.status() == 200, "no answer");
        Ok(())
    }),
    code!("informational/flood", "attack: 1xx without end", "interim responses without end are cut off", |case| {
        let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50_000);
        case.script(vec![vec![Step::Body, Step::Send(flood.into_bytes()), Step::Close]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        let (interims, answer) = conn.responses(false, PATIENCE).await;
        let status = answer.map(|answer| answer.status()).unwrap_or(0);
        ensure!(interims.len() < 50_000, "all {} of them were passed on", interims.len());
        ensure!(status == 0 || crate::judge::answer::is_bad(status), "answered {status}");
        Ok(())
    }),
];
