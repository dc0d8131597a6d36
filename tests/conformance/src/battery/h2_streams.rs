//! Streams and their life, and the preface (RFC 9113 sections 3.4, 5 and 8.1).

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::frames::F::{Await, Get, Post, Raw};
use crate::judge::frames::{connection_error, fine, stream_error};
use crate::origin::script::{Step, answer};
use crate::wire::conn::PATIENCE;
use crate::wire::h2::code::{PROTOCOL_ERROR, STREAM_CLOSED};
use crate::wire::h2::flag::{END_HEADERS, END_STREAM, NONE};
use crate::wire::h2::frame::PREFACE;
use crate::wire::h2::kind::{DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use crate::wire::h2::{Frame, H2, setting};

pub const CHECKS: &[Check] = &[
    stream_error(
        "h2-streams/data-after-end",
        "RFC 9113 5.1",
        "DATA behind the end of a stream is an error",
        &[Get(1), Raw(DATA, END_STREAM, 1, b"x")],
        1,
        &[STREAM_CLOSED, PROTOCOL_ERROR],
    ),
    connection_error(
        "h2-streams/headers-after-end",
        "RFC 9113 5.1",
        "HEADERS behind the end of a stream is an error",
        &[Get(1), Await(1), Get(1)],
        &[STREAM_CLOSED, PROTOCOL_ERROR],
    ),
    connection_error(
        "h2-streams/number-goes-down",
        "RFC 9113 5.1.1",
        "a stream with a number below the last is an error",
        &[Get(5), Await(5), Get(3)],
        &[PROTOCOL_ERROR, STREAM_CLOSED],
    ),
    fine(
        "h2-streams/numbers-left-out",
        "RFC 9113 5.1.1",
        "numbers may be left out",
        &[Get(1), Await(1), Get(9), Await(9)],
    ),
    fine(
        "h2-streams/reset-after-end",
        "RFC 9113 5.1",
        "RST_STREAM behind the end of a stream is ignored",
        &[Get(1), Await(1), Raw(RST_STREAM, NONE, 1, b"\0\0\0\x08")],
    ),
    fine(
        "h2-streams/window-after-end",
        "RFC 9113 5.1",
        "WINDOW_UPDATE behind the end of a stream is ignored",
        &[Get(1), Await(1), Raw(WINDOW_UPDATE, NONE, 1, b"\0\0\0\x01")],
    ),
    fine(
        "h2-streams/priority-after-end",
        "RFC 9113 5.1",
        "PRIORITY behind the end of a stream is ignored",
        &[Get(1), Await(1), Raw(2, NONE, 1, b"\0\0\0\0\x10")],
    ),
    stream_error(
        "h2-streams/second-head-without-end",
        "RFC 9113 8.1",
        "a second head that does not end the stream is malformed",
        &[Post(1), Raw(HEADERS, END_HEADERS, 1, b"\x00\x01x\x011")],
        1,
        &[PROTOCOL_ERROR],
    ),
    fine(
        "h2-streams/trailers",
        "RFC 9113 8.1",
        "a second head that ends the stream is a trailer section",
        &[
            Post(1),
            Raw(DATA, NONE, 1, b"hello"),
            Raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x01x\x011"),
            Await(1),
        ],
    ),
    code!("h2-streams/interleaved", "RFC 9113 5", "answers come as they are ready, not in order", |case| {
        case.script(vec![vec![
            Step::Body,
            Step::Pause(Duration::from_millis(800)),
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_vec()),
        ]]);
        let mut h2 = case.h2().await?;
        let slow = h2.request(&case.get("/@T"), true).await?;
        let quick = h2.request(&case.get("/@N"), true).await?;
        h2.answer(quick).await;
        ensure!(!h2.answers.get(&slow).is_some_and(|answer| answer.is_over()), "the quick answer waited");
        ensure!(h2.answer(slow).await.body == b"slow", "the slow answer is lost");
        Ok(())
    }),
    code!(
        "h2-streams/hundred-at-once",
        "RFC 9113 5.1.2",
        "as many streams as allowed are served at once",
        |case| {
            let mut h2 = case.h2().await?;
            let allowed = h2.allowed(setting::MAX_CONCURRENT_STREAMS).min(100);
            let mut streams = Vec::new();
            for _ in 0..allowed {
                streams.push(h2.request(&case.get("/@T"), true).await?);
            }
            for stream in streams {
                let answer = h2.answer(stream).await;
                ensure!(answer.status == 200, "stream {stream}: {} {:?}", answer.status, answer.reset);
            }
            Ok(())
        }
    ),
    code!("h2-streams/preface-wrong", "RFC 9113 3.4", "a connection without the preface is ended", |case| {
        let mut h2 = H2::silent(case.world.ports.https, &case.world.tls.h2).await?;
        h2.conn.offer(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        ensure!(h2.ends_within(PATIENCE).await || h2.goaway.is_some(), "it goes on");
        Ok(())
    }),
    code!(
        "h2-streams/preface-cut",
        "RFC 9113 3.4",
        "a preface that is not SETTINGS at its end is an error",
        |case| {
            let mut h2 = H2::silent(case.world.ports.https, &case.world.tls.h2).await?;
            h2.conn.offer([PREFACE, &Frame::ping(*b"12345678").bytes()].concat()).await;
            h2.until(PATIENCE, |h2| h2.ended.is_some() || h2.goaway.is_some_and(|code| code != 0)).await;
            ensure!(h2.ended.is_some() || h2.goaway.is_some(), "it goes on");
            Ok(())
        }
    ),
    code!("h2-streams/settings-first", "RFC 9113 3.4", "the server's first frame is SETTINGS", |case| {
        let mut h2 = H2::silent(case.world.ports.https, &case.world.tls.h2).await?;
        h2.conn.offer([PREFACE, &Frame::settings(&[]).bytes()].concat()).await;
        let first = h2.step(PATIENCE).await.ok_or("no frame")?;
        ensure!(first.kind == SETTINGS && first.flags == 0, "a frame of type {}", first.kind);
        Ok(())
    }),
    code!("h2-streams/settings-acknowledged", "RFC 9113 6.5.3", "SETTINGS are acknowledged", |case| {
        let mut h2 = case.h2().await?;
        ensure!(h2.until(PATIENCE, |h2| h2.count[usize::from(SETTINGS)] >= 2).await, "they are not");
        Ok(())
    }),
    code!("h2-streams/ping-answered", "RFC 9113 6.7", "a PING is answered with its own octets", |case| {
        let mut h2 = case.h2().await?;
        h2.send(&Frame::ping(*b"causeway")).await?;
        loop {
            let frame = h2.step(PATIENCE).await.ok_or("no answer")?;
            if frame.kind == crate::wire::h2::kind::PING {
                ensure!(frame.flags == 1 && frame.payload == b"causeway", "{frame:?}");
                return Ok(());
            }
        }
    }),
    code!(
        "h2-streams/upstream-cut",
        "RFC 9113 8.1",
        "an answer that breaks off is reset, not ended",
        |case| {
            case.script(vec![vec![
                Step::Body,
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()),
                Step::Pause(Duration::from_millis(100)),
                Step::Close,
            ]]);
            let mut h2 = case.h2().await?;
            let stream = h2.request(&case.get("/@T"), true).await?;
            let answer = h2.answer(stream).await;
            ensure!(
                answer.reset.is_some() || answer.status >= 500 || h2.ended.is_some(),
                "it is ended: {answer:?}"
            );
            Ok(())
        }
    ),
    code!(
        "h2-streams/hop-fields-of-answers",
        "RFC 9113 8.2.2",
        "an answer has no connection-specific fields",
        |case| {
            case.script(vec![answer(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-A\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\nX-UPPER: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )]);
            let mut h2 = case.h2().await?;
            let stream = h2.request(&case.get("/@T"), true).await?;
            let answer = h2.answer(stream).await;
            ensure!(answer.status == 200, "answered {}", answer.status);
            for gone in ["connection", "keep-alive", "transfer-encoding", "x-a"] {
                ensure!(answer.all(gone).is_empty(), "{gone} is there");
            }
            ensure!(answer.all("x-upper") == ["1"], "x-upper: {:?}", answer.fields);
            Ok(())
        }
    ),
    code!("h2-streams/early-hints", "RFC 8297 2", "a 103 reaches a client of HTTP/2", |case| {
        case.script(vec![answer(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )]);
        let mut h2 = case.h2().await?;
        let stream = h2.request(&case.get("/@T"), true).await?;
        let answer = h2.answer(stream).await;
        ensure!(answer.status == 200 && answer.interims == [103], "{} {:?}", answer.status, answer.interims);
        Ok(())
    }),
    code!(
        "h2-streams/goaway-from-client",
        "RFC 9113 6.8",
        "a client's GOAWAY lets its streams end",
        |case| {
            case.script(vec![vec![
                Step::Body,
                Step::Pause(Duration::from_millis(300)),
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
            ]]);
            let mut h2 = case.h2().await?;
            let stream = h2.request(&case.get("/@T"), true).await?;
            h2.send(&Frame::goaway(0, 0)).await?;
            let answer = h2.answer(stream).await;
            ensure!(answer.status == 200, "answered {} {:?}", answer.status, answer.reset);
            Ok(())
        }
    ),
];
