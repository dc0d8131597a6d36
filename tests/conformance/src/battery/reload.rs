//! A new configuration under load: nobody notices but by what it says.
//!
//! The sources are the rules whose breach a client would see: a connection that is reset, an answer that breaks off.

use std::time::{Duration, Instant};

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::origin::script::Step;
use crate::target::Another;
use crate::wire::Conn;
use crate::wire::conn::PATIENCE;
use crate::wire::h2::H2;

async fn version(case: &Case, target: &Another) -> Result<String, String> {
    let before = case.seen().len();
    let mut conn = Conn::tcp(target.ports.http).await?;
    conn.send(case.fill(b"GET /version/@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
    let answer = conn.response(false).await?;
    ensure!(answer.status() == 200, "answered {}", answer.start);
    let seen = case.seen();
    let seen = seen.get(before).ok_or("the origin got nothing")?;
    Ok(seen.message.joined("x-version").unwrap_or_default())
}

async fn comes_into_force(case: &Case, target: &Another, wanted: &str) -> Verdict {
    let began = Instant::now();
    loop {
        let now = version(case, target).await?;
        if now == wanted {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(10), "version {now} still holds");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn slow() -> Vec<Step> {
    vec![
        Step::Body,
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nslow".to_vec()),
        Step::Pause(Duration::from_millis(2_500)),
        Step::Send(b"slow".to_vec()),
    ]
}

pub const CHECKS: &[Check] = &[
    code!("reload/comes-into-force", "RFC 9110 3.7", "a new configuration comes into force", |case| {
        let target = case.world.another().await?;
        ensure!(version(&case, &target).await? == "1", "not the first version");
        case.world.reload(&target, "2")?;
        comes_into_force(&case, &target, "2").await
    }),
    code!(
        "reload/broken-is-refused",
        "RFC 9110 3.7",
        "a broken configuration leaves the old one in force",
        |case| {
            let target = case.world.another().await?;
            case.world.break_configuration(&target)?;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1_500) {
                ensure!(version(&case, &target).await? == "1", "another version");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ensure!(!target.running.has_ended(), "it has ended");
            Ok(())
        }
    ),
    code!(
        "reload/after-a-broken-one",
        "RFC 9110 3.7",
        "a good one after a broken one comes into force",
        |case| {
            let target = case.world.another().await?;
            case.world.break_configuration(&target)?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            case.world.reload(&target, "2")?;
            comes_into_force(&case, &target, "2").await
        }
    ),
    code!(
        "reload/long-answer-survives",
        "RFC 9112 9.6",
        "an answer under way ends as it would have",
        |case| {
            let target = case.world.another().await?;
            case.script(vec![slow(), vec![]]);
            let mut conn = Conn::tcp(target.ports.http).await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let mut head = conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
            case.world.reload(&target, "2")?;
            conn.response_body(&mut head, false, PATIENCE).await;
            ensure!(head.body == b"slowslow", "the body is {:?}", head.text());
            Ok(())
        }
    ),
    code!("reload/h2-stream-survives", "RFC 9113 6.8", "so does a stream of HTTP/2", |case| {
        let target = case.world.another().await?;
        case.script(vec![slow(), vec![]]);
        let mut h2 = H2::open(target.ports.https, &case.world.tls.h2, &[]).await?;
        let stream = h2.request(&case.get("/@T"), true).await?;
        h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|answer| answer.status != 0)).await;
        case.world.reload(&target, "2")?;
        let answer = h2.answer(stream).await;
        ensure!(answer.body == b"slowslow" && answer.ended, "{:?} {:?}", answer.body, answer.reset);
        Ok(())
    }),
    code!("reload/tunnel-survives", "RFC 6455 7.1.1", "so does a WebSocket", |case| {
        let target = case.world.another().await?;
        case.script(vec![vec![Step::Switch, Step::Echo]]);
        let mut conn = Conn::tcp(target.ports.http).await?;
        let ask = b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        conn.send(case.fill(ask)).await?;
        let head = conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
        ensure!(head.status() == 101, "answered {}", head.start);
        case.world.reload(&target, "2")?;
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        conn.send("still here").await?;
        while conn.unread.len() < 10 {
            ensure!(conn.more(PATIENCE).await == crate::wire::Read::Some, "the tunnel has ended");
        }
        Ok(())
    }),
    code!("reload/no-request-is-lost", "RFC 9112 9.6", "under load, five reloads cost no request", |case| {
        let target = case.world.another().await?;
        let load = async {
            let began = Instant::now();
            let mut n = 0;
            while began.elapsed() < Duration::from_secs(4) {
                let mut conn = Conn::tcp(target.ports.http).await.map_err(|e| format!("request {n}: {e}"))?;
                conn.send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
                    .await?;
                let answer = conn.response(false).await.map_err(|e| format!("request {n}: {e}"))?;
                ensure!(answer.status() == 200, "request {n} is answered {}", answer.start);
                n += 1;
            }
            Ok(())
        };
        let reloads = async {
            for version in 2..7 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                case.world.reload(&target, &version.to_string())?;
            }
            Ok::<(), String>(())
        };
        let (load, reloads) = tokio::join!(load, reloads);
        load.and(reloads)
    }),
    code!(
        "reload/idle-connection-goes-on-or-ends",
        "RFC 9112 9.6",
        "an idle connection goes on, or ends in order",
        |case| {
            let target = case.world.another().await?;
            let mut conn = Conn::tcp(target.ports.http).await?;
            conn.send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            case.world.reload(&target, "2")?;
            comes_into_force(&case, &target, "2").await?;
            match conn.more(Duration::from_millis(10)).await {
                crate::wire::Read::End => return Ok(()),
                crate::wire::Read::Reset => return Err("it was reset".to_owned()),
                _ => {}
            }
            conn.send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served after it");
            Ok(())
        }
    ),
];
