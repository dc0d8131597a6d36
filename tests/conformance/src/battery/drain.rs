//! The end of a process in order (RFC 9112 section 9.6, RFC 9113 section 6.8).

use std::time::{Duration, Instant};

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::origin::script::{Script, Step};
use crate::target::Another;
use crate::wire::conn::PATIENCE;
use crate::wire::h2::H2;
use crate::wire::{Conn, Read};

async fn ends(target: &Another) -> Verdict {
    let began = Instant::now();
    while !target.running.has_ended() {
        ensure!(began.elapsed() < Duration::from_secs(12), "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn slow() -> Script {
    vec![
        Step::Body,
        Step::Pause(Duration::from_millis(1_500)),
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_vec()),
    ]
}

async fn arrives(case: &Case) -> Verdict {
    let began = Instant::now();
    while case.seen().is_empty() {
        ensure!(began.elapsed() < PATIENCE, "the request does not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

pub const CHECKS: &[Check] = &[
    code!("drain/request-under-way", "RFC 9112 9.6", "a request under way is answered", |case| {
        let target = case.world.another().await?;
        case.script(vec![slow()]);
        let mut conn = Conn::tcp(target.ports.http).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        arrives(&case).await?;
        target.running.drain(case.world.target).await;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200 && answer.body == b"slow", "answered {}", answer.start);
        Ok(())
    }),
    code!("drain/answer-says-close", "RFC 9112 9.6", "its answer says that it is the last", |case| {
        let target = case.world.another().await?;
        case.script(vec![slow()]);
        let mut conn = Conn::tcp(target.ports.http).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        arrives(&case).await?;
        target.running.drain(case.world.target).await;
        let options = conn.response(false).await?.joined("connection").unwrap_or_default();
        ensure!(options.to_ascii_lowercase().contains("close"), "Connection: {options:?}");
        Ok(())
    }),
    code!("drain/upload-under-way", "RFC 9112 9.6", "a request whose body still comes is answered", |case| {
        let target = case.world.another().await?;
        let mut conn = Conn::tcp(target.ports.http).await?;
        conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello")).await?;
        arrives(&case).await?;
        target.running.drain(case.world.target).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        conn.send("world").await?;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        Ok(())
    }),
    code!("drain/idle-connection", "RFC 9112 9.6", "an idle connection ends in order", |case| {
        let target = case.world.another().await?;
        let mut conn = Conn::tcp(target.ports.http).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        target.running.drain(case.world.target).await;
        let (rest, how) = conn.read_to_end(Duration::from_secs(8)).await;
        ensure!(rest.is_empty() && how == Read::End, "{how:?} {:?}", rest.escape_ascii().to_string());
        Ok(())
    }),
    code!(
        "drain/h2-goaway",
        "RFC 9113 6.8",
        "an HTTP/2 connection is told by GOAWAY without an error",
        |case| {
            let target = case.world.another().await?;
            case.script(vec![slow()]);
            let mut h2 = H2::open(target.ports.https, &case.world.tls.h2, &[]).await?;
            let stream = h2.request(&case.get("/@T"), true).await?;
            arrives(&case).await?;
            target.running.drain(case.world.target).await;
            let answer = h2.answer(stream).await;
            h2.until(PATIENCE, |h2| h2.goaway.is_some() || h2.ended.is_some()).await;
            ensure!(h2.goaway == Some(0), "GOAWAY {:?}, the connection {:?}", h2.goaway, h2.ended);
            ensure!(
                answer.status == 200 && answer.body == b"slow",
                "answered {} {:?}",
                answer.status,
                answer.reset
            );
            Ok(())
        }
    ),
    code!("drain/h2-idle", "RFC 9113 6.8", "so is an idle one", |case| {
        let target = case.world.another().await?;
        let mut h2 = H2::open(target.ports.https, &case.world.tls.h2, &[]).await?;
        let stream = h2.request(&case.get("/@T"), true).await?;
        ensure!(h2.answer(stream).await.status == 200, "not served");
        target.running.drain(case.world.target).await;
        h2.until(PATIENCE, |h2| h2.ended.is_some()).await;
        ensure!(h2.goaway == Some(0), "GOAWAY {:?}, the connection {:?}", h2.goaway, h2.ended);
        Ok(())
    }),
    code!(
        "drain/no-new-connections",
        "RFC 9112 9.6",
        "a connection that comes late is refused or ended, not kept waiting",
        |case| {
            let target = case.world.another().await?;
            case.script(vec![slow()]);
            let mut conn = Conn::tcp(target.ports.http).await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            arrives(&case).await?;
            target.running.drain(case.world.target).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let Ok(mut late) = Conn::tcp(target.ports.http).await else { return Ok(()) };
            late.offer(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
            ensure!(late.ends_within(Duration::from_secs(5)).await, "it is kept waiting");
            Ok(())
        }
    ),
    code!("drain/ends", "RFC 9112 9.6", "the process ends once the last request has", |case| {
        let target = case.world.another().await?;
        case.script(vec![slow()]);
        let mut conn = Conn::tcp(target.ports.http).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        arrives(&case).await?;
        target.running.drain(case.world.target).await;
        ensure!(conn.response(false).await?.body == b"slow", "not served");
        ends(&target).await
    }),
    code!("drain/ends-without-clients", "RFC 9112 9.6", "and at once where there is none", |case| {
        let target = case.world.another().await?;
        target.running.drain(case.world.target).await;
        ends(&target).await
    }),
    code!(
        "drain/cut-off",
        "attack: client that never leaves",
        "a client that never ends does not keep the process for ever",
        |case| {
            let target = case.world.another().await?;
            case.script(vec![vec![Step::Body, Step::Hang]]);
            let mut conn = Conn::tcp(target.ports.http).await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            arrives(&case).await?;
            target.running.drain(case.world.target).await;
            ends(&target).await
        }
    ),
];
