//! Clients that are slow on purpose, at the listener with tight limits: a second for a head, a pause in a body, an idle
//! connection, a handshake (RFC 9112 section 9.5; Slowloris, R-U-Dead-Yet, slow read).

use std::time::{Duration, Instant};

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::origin::script::{Step, answer};
use crate::wire::Conn;
use crate::wire::h2::{Frame, H2, flag, kind, setting};

/// For the end of a connection that has a second, on a busy machine.
const SOON: Duration = Duration::from_secs(6);

/// Sends an octet every 100 ms until the server ends the connection; fails where it does not.
async fn drip(conn: &mut Conn, octets: &[u8]) -> Verdict {
    let began = Instant::now();
    for octet in octets.iter().cycle() {
        conn.offer([*octet]).await;
        if conn.ends_within(Duration::from_millis(100)).await {
            return Ok(());
        }
        ensure!(began.elapsed() < SOON, "it goes on after {:?}", began.elapsed());
    }
    Ok(())
}

async fn origin_is_left(case: &Case) -> Verdict {
    let began = Instant::now();
    while case.world.origin.under_way(&case.token) > 0 {
        ensure!(began.elapsed() < SOON, "the upstream is kept busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn endless() -> Vec<u8> {
    let octets = 20_000_000;
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\n\r\n").into_bytes(), vec![b'x'; octets]].concat()
}

pub const CHECKS: &[Check] = &[
    code!("slow/head-drips", "attack: Slowloris", "a head that comes octet by octet is cut off", |case| {
        let mut conn = case.tight().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n")).await?;
        drip(&mut conn, b"X-A: b\r\n").await
    }),
    code!(
        "slow/head-stops",
        "RFC 9110 15.5.9",
        "a head that stops is answered 408, or the connection ends",
        |case| {
            let mut conn = case.tight().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nX-A:")).await?;
            let (said, _) = conn.read_to_end(SOON).await;
            ensure!(
                said.is_empty() || said.starts_with(b"HTTP/1.1 408") || said.starts_with(b"HTTP/1.1 400"),
                "{:?}",
                said.escape_ascii().to_string()
            );
            ensure!(conn.ends_within(SOON).await, "it goes on");
            ensure!(case.seen().is_empty(), "the origin got it");
            Ok(())
        }
    ),
    code!("slow/nothing-sent", "RFC 9112 9.5", "a connection that says nothing is ended", |case| {
        let mut conn = case.tight().await?;
        ensure!(conn.ends_within(SOON).await, "it goes on");
        Ok(())
    }),
    code!(
        "slow/idle-without-a-word",
        "RFC 9112 9.5",
        "an idle connection is closed without an answer to nothing",
        |case| {
            let mut conn = case.tight().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            let (said, how) = conn.read_to_end(SOON).await;
            ensure!(how != crate::wire::Read::Nothing, "it goes on");
            ensure!(
                said.is_empty(),
                "it says {:?}, which would answer the next request",
                said.escape_ascii().to_string()
            );
            Ok(())
        }
    ),
    code!("slow/second-head-drips", "attack: Slowloris", "so is the second head of a connection", |case| {
        let mut conn = case.tight().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        conn.offer(b"GET / HTTP/1.1\r\n").await;
        drip(&mut conn, b"X-A: b\r\n").await
    }),
    code!(
        "slow/body-stops",
        "attack: R-U-Dead-Yet",
        "a body that stops is cut off, and its upstream let go",
        |case| {
            let mut conn = case.tight().await?;
            conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nhello"))
                .await?;
            let (said, how) = conn.read_to_end(SOON).await;
            ensure!(how != crate::wire::Read::Nothing, "it goes on");
            ensure!(!said.starts_with(b"HTTP/1.1 200"), "it is answered as if it were whole");
            ensure!(case.whole().is_empty(), "the origin took a part for the whole");
            origin_is_left(&case).await
        }
    ),
    code!("slow/chunk-stops", "attack: R-U-Dead-Yet", "so is a chunk that stops", |case| {
        let mut conn = case.tight().await?;
        conn.send(
            case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello"),
        )
        .await?;
        ensure!(conn.ends_within(SOON).await, "it goes on");
        origin_is_left(&case).await
    }),
    code!(
        "slow/answer-unread",
        "attack: slow read",
        "an answer that nobody reads is given up, and its upstream let go",
        |case| {
            case.script(vec![answer(endless())]);
            let mut conn = case.tight().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            ensure!(!case.seen().is_empty(), "the origin got no request");
            origin_is_left(&case).await
        }
    ),
    code!(
        "slow/handshake-stops",
        "attack: slow handshake",
        "a TLS handshake that does not begin is cut off",
        |case| {
            let mut conn = Conn::tcp(case.world.ports.tight_tls).await?;
            ensure!(conn.ends_within(SOON).await, "it goes on");
            Ok(())
        }
    ),
    code!("slow/handshake-drips", "attack: slow handshake", "so is one that drips", |case| {
        let mut conn = Conn::tcp(case.world.ports.tight_tls).await?;
        conn.offer(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        drip(&mut conn, b"\0").await
    }),
    code!(
        "slow/h2-nothing-sent",
        "RFC 9113 9.1",
        "an HTTP/2 connection that says nothing is ended",
        |case| {
            let mut h2 = H2::silent(case.world.ports.tight_tls, &case.world.tls.h2).await?;
            ensure!(h2.ends_within(SOON).await || h2.goaway.is_some(), "it goes on");
            Ok(())
        }
    ),
    code!("slow/h2-idle", "RFC 9113 9.1", "an idle HTTP/2 connection is ended by GOAWAY", |case| {
        let mut h2 = H2::open(case.world.ports.tight_tls, &case.world.tls.h2, &[]).await?;
        let stream = h2.request(&case.get("/@T"), true).await?;
        ensure!(h2.answer(stream).await.status == 200, "not served");
        h2.ends_within(SOON).await;
        ensure!(h2.goaway.is_some(), "no GOAWAY");
        Ok(())
    }),
    code!(
        "slow/h2-head-stops",
        "attack: Slowloris by HTTP/2",
        "a field section that stops is cut off",
        |case| {
            let mut h2 = H2::open(case.world.ports.tight_tls, &case.world.tls.h2, &[]).await?;
            h2.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, *b"\x82")).await?;
            ensure!(h2.ends_within(SOON + Duration::from_secs(4)).await || h2.goaway.is_some(), "it goes on");
            Ok(())
        }
    ),
    code!(
        "slow/h2-body-stops",
        "attack: R-U-Dead-Yet by HTTP/2",
        "a body that stops is cut off, and its upstream let go",
        |case| {
            let mut h2 = H2::open(case.world.ports.tight_tls, &case.world.tls.h2, &[]).await?;
            let stream = h2.request(&case.h2_fields("POST", "/@T"), false).await?;
            h2.send(&Frame::data(stream, false, *b"hello")).await?;
            h2.until(SOON, |h2| h2.answers.get(&stream).is_some_and(|a| a.is_over()) || h2.ended.is_some())
                .await;
            let over = h2.answers.get(&stream).is_some_and(|a| a.is_over()) || h2.ended.is_some();
            ensure!(over, "it goes on");
            origin_is_left(&case).await
        }
    ),
    code!(
        "slow/h2-answer-unread",
        "CVE-2019-9511",
        "an answer without a window is given up, and its upstream let go",
        |case| {
            case.script(vec![answer(endless())]);
            let window = [(setting::INITIAL_WINDOW_SIZE, 0)];
            let mut h2 = H2::open(case.world.ports.tight_tls, &case.world.tls.h2, &window).await?;
            h2.refill = false;
            h2.request(&case.get("/@T"), true).await?;
            h2.until(Duration::from_millis(500), |_| false).await;
            ensure!(!case.seen().is_empty(), "the origin got no request");
            origin_is_left(&case).await
        }
    ),
    code!("slow/tunnel-idle", "RFC 6455 10.7", "a tunnel in which nothing moves is ended", |case| {
        case.script(vec![vec![Step::Switch, Step::Echo]]);
        let mut conn = case.tight().await?;
        let ask = b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        conn.send(case.fill(ask)).await?;
        let head = conn.head(SOON).await.map_err(|how| format!("no answer: {how:?}"))?;
        ensure!(head.status() == 101, "answered {}", head.start);
        ensure!(conn.ends_within(SOON).await, "it goes on");
        Ok(())
    }),
    code!(
        "slow/many-at-once",
        "attack: Slowloris",
        "two hundred slow clients do not keep one quick client waiting",
        |case| {
            let mut slow = Vec::new();
            for _ in 0..200 {
                let mut conn = case.tight().await?;
                conn.offer(b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ").await;
                slow.push(conn);
            }
            let began = Instant::now();
            let mut conn = case.tight().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            ensure!(began.elapsed() < Duration::from_secs(3), "it waited {:?}", began.elapsed());
            Ok(())
        }
    ),
    code!("slow/patient-upload", "RFC 9112 9.5", "a body that is slow and steady is served", |case| {
        let mut conn = case.tight().await?;
        conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 49152\r\n\r\n")).await?;
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            conn.send([b'x'; 4_096]).await?;
        }
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        Ok(())
    }),
];
