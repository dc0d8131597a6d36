//! Upgrades, WebSocket above all (RFC 9110 section 7.8, RFC 6455, RFC 8441).

use std::time::Duration;

use crate::check::{Case, Check};
use crate::code;
use crate::ensure;
use crate::judge::request::{Send, either, forward};
use crate::judge::seen::Seen::{Lacks, No};
use crate::origin::script::{Script, Step};
use crate::wire::conn::PATIENCE;
use crate::wire::h2::{Frame, H2, setting};
use crate::wire::{Conn, Read};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const ASK: &[u8] = b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn echo() -> Vec<Script> {
    vec![vec![Step::Switch, Step::Echo]]
}

async fn open(case: &Case) -> Result<Conn, String> {
    case.script(echo());
    let mut conn = case.http().await?;
    conn.send(case.fill(ASK)).await?;
    let head = conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
    ensure!(head.status() == 101, "answered {}", head.start);
    let accept = head.joined("sec-websocket-accept");
    ensure!(accept.as_deref() == Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "Sec-WebSocket-Accept: {accept:?}");
    let upgrade = head.joined("upgrade").unwrap_or_default();
    ensure!(upgrade.eq_ignore_ascii_case("websocket"), "Upgrade: {upgrade:?}");
    Ok(conn)
}

async fn echoed(conn: &mut Conn, bytes: &[u8]) -> Result<(), String> {
    conn.send(bytes).await?;
    while conn.unread.len() < bytes.len() {
        ensure!(conn.more(PATIENCE).await == Read::Some, "the tunnel gave {} octets back", conn.unread.len());
    }
    let came: Vec<u8> = conn.unread.drain(..).collect();
    ensure!(came == bytes, "the tunnel changed what went through it");
    Ok(())
}

pub const CHECKS: &[Check] = &[
    code!("upgrades/websocket", "RFC 6455 4", "a WebSocket is opened", |case| {
        open(&case).await?;
        let head = case.seen().pop().ok_or("the origin got nothing")?.message;
        let key = head.joined("sec-websocket-key");
        ensure!(key.as_deref() == Some("dGhlIHNhbXBsZSBub25jZQ=="), "Sec-WebSocket-Key: {key:?}");
        let (connection, upgrade) = (head.joined("connection"), head.joined("upgrade"));
        let named = connection.is_some_and(|options| options.to_ascii_lowercase().contains("upgrade"));
        ensure!(named && upgrade.is_some(), "the origin was not asked to upgrade");
        Ok(())
    }),
    code!("upgrades/both-ways", "RFC 6455 5", "octets pass both ways as they are", |case| {
        let mut conn = open(&case).await?;
        echoed(&mut conn, b"\x81\x05hello").await?;
        echoed(&mut conn, &(0..=255).collect::<Vec<u8>>()).await
    }),
    code!(
        "upgrades/looks-like-http",
        "attack: tunnel inspection",
        "what looks like a request in a tunnel is none",
        |case| {
            let mut conn = open(&case).await?;
            echoed(&mut conn, &case.fill(b"GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(!case.is_smuggled(), "it became a request");
            Ok(())
        }
    ),
    code!("upgrades/long", "RFC 6455 5", "a megabyte passes both ways", |case| {
        let mut conn = open(&case).await?;
        for _ in 0..16 {
            echoed(&mut conn, &vec![b'x'; 64 * 1024]).await?;
        }
        Ok(())
    }),
    code!("upgrades/close-by-upstream", "RFC 6455 7.1.1", "the upstream's end is the client's", |case| {
        case.script(vec![vec![Step::Send([SWITCH, b"bye"].concat()), Step::Close]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(ASK)).await?;
        conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
        let (rest, how) = conn.read_to_end(PATIENCE).await;
        ensure!(rest == b"bye" && how == Read::End, "{:?}, {how:?}", rest.escape_ascii().to_string());
        Ok(())
    }),
    code!("upgrades/close-by-client", "RFC 6455 7.1.1", "the client's end is the upstream's", |case| {
        let mut conn = open(&case).await?;
        echoed(&mut conn, b"hello").await?;
        conn.finish().await;
        ensure!(conn.ends_within(Duration::from_secs(3)).await, "the tunnel stays open");
        Ok(())
    }),
    code!(
        "upgrades/with-the-head",
        "RFC 9110 7.8",
        "octets that come with the head are the first of the tunnel",
        |case| {
            case.script(echo());
            let mut conn = case.http().await?;
            conn.send([case.fill(ASK), b"early".to_vec()].concat()).await?;
            let head = conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
            ensure!(head.status() == 101, "answered {}", head.start);
            while conn.unread.len() < 5 {
                ensure!(conn.more(PATIENCE).await == Read::Some, "they did not arrive");
            }
            ensure!(conn.unread == b"early", "they changed");
            Ok(())
        }
    ),
    code!("upgrades/refused", "RFC 6455 4.2.2", "an answer other than 101 is an answer", |case| {
        let mut conn = case.http().await?;
        conn.send(case.fill(ASK)).await?;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200 && answer.text() == case.text("ok @T"), "answered {}", answer.start);
        crate::judge::request::follow(&case, &mut conn, &answer).await
    }),
    code!(
        "upgrades/refused-then-smuggled",
        "attack: WebSocket smuggling",
        "a refused upgrade is no tunnel",
        |case| {
            case.script(vec![vec![
            Step::Body,
            Step::Send(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ]]);
            let mut conn = case.http().await?;
            let ask = case.text(&String::from_utf8_lossy(ASK).replace("Version: 13", "Version: 777"));
            conn.send(ask).await?;
            let answer = conn.response(false).await?;
            ensure!(matches!(answer.status(), 400 | 426), "answered {}", answer.start);
            // In a tunnel this would reach the upstream as it is, and name a host that the proxy would not send.
            let next = b"GET /@N HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
            conn.offer(case.fill(next)).await;
            conn.read_to_end(Duration::from_millis(700)).await;
            let came = case.world.origin.seen(&case.text("@N"));
            let raw = came
                .iter()
                .any(|seen| seen.message.joined("x-forwarded-for").is_some_and(|told| told == "6.6.6.6"));
            ensure!(!raw, "the next request went through as it was");
            Ok(())
        }
    ),
    either(
        "upgrades/h2c",
        "RFC 9113 3.1",
        "h2c is not passed on: it would tunnel past the proxy",
        Send::Get(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        &[Lacks("upgrade", "h2c"), No("http2-settings")],
    ),
    either(
        "upgrades/h2c-among-others",
        "attack: h2c smuggling",
        "nor is it among others",
        Send::Get(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        &[Lacks("upgrade", "h2c"), No("http2-settings")],
    ),
    either(
        "upgrades/tls",
        "RFC 2817 3.1",
        "an upgrade to TLS is not the upstream's to give",
        Send::Get("Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        &[],
    ),
    forward(
        "upgrades/http-1.0",
        "RFC 9110 7.8",
        "an Upgrade in HTTP/1.0 is ignored",
        Send::Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        &[No("upgrade")],
    ),
    code!(
        "upgrades/other-protocol",
        "RFC 9110 7.8",
        "another protocol's tunnel opens, or is answered without it",
        |case| {
            case.script(vec![vec![
                Step::Send(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n"
                        .to_vec(),
                ),
                Step::Echo,
            ]]);
            let mut conn = case.http().await?;
            conn.send(
                case.fill(
                    b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n",
                ),
            )
            .await?;
            let head = conn.head(PATIENCE).await.map_err(|how| format!("no answer: {how:?}"))?;
            if head.status() != 101 {
                return Ok(());
            }
            echoed(&mut conn, b"hello").await
        }
    ),
    code!("upgrades/http2-field", "RFC 9113 8.2.2", "HTTP/2 has no Upgrade", |case| {
        let mut h2 = case.h2().await?;
        let mut fields = case.get("/@T");
        fields.push(("upgrade".to_owned(), "websocket".to_owned()));
        let stream = h2.request(&fields, true).await?;
        let answer = h2.answer(stream).await;
        ensure!(
            answer.reset.is_some() || answer.status == 400 || h2.ended.is_some(),
            "answered {}",
            answer.status
        );
        Ok(())
    }),
    code!(
        "upgrades/extended-connect-said",
        "RFC 8441 3",
        "SETTINGS say that WebSockets may come by HTTP/2",
        |case| {
            let h2 = case.h2().await?;
            ensure!(h2.allowed(setting::ENABLE_CONNECT_PROTOCOL) == 1, "they do not");
            Ok(())
        }
    ),
    code!("upgrades/extended-connect", "RFC 8441 4", "a WebSocket by HTTP/2 is opened", |case| {
        let mut h2 = case.h2().await?;
        let stream = extended(&case, &mut h2).await?;
        h2.send(&Frame::data(stream, false, *b"hello")).await?;
        h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|a| a.body.len() >= 5 || a.is_over()))
            .await;
        let answer = h2.answers.get(&stream).cloned().unwrap_or_default();
        ensure!(answer.body == b"hello", "the tunnel gave {:?} back", answer.body.escape_ascii().to_string());
        Ok(())
    }),
    code!(
        "upgrades/extended-connect-end",
        "RFC 8441 5",
        "the end of its stream is the end of the tunnel",
        |case| {
            let mut h2 = case.h2().await?;
            let stream = extended(&case, &mut h2).await?;
            h2.send(&Frame::data(stream, true, [])).await?;
            h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|a| a.is_over())).await;
            let over = h2.answers.get(&stream).is_some_and(|a| a.is_over());
            ensure!(over, "the stream stays open");
            Ok(())
        }
    ),
    code!("upgrades/extended-connect-upstream", "RFC 8441 5", "the origin is asked as by HTTP/1.1", |case| {
        let mut h2 = case.h2().await?;
        extended(&case, &mut h2).await?;
        let head = case.seen().pop().ok_or("the origin got nothing")?.message;
        ensure!(head.start == case.text("GET /@T HTTP/1.1"), "{}", head.start);
        let upgrade = head.joined("upgrade").unwrap_or_default();
        ensure!(upgrade.eq_ignore_ascii_case("websocket"), "Upgrade: {upgrade:?}");
        ensure!(head.joined("sec-websocket-version").is_some(), "no Sec-WebSocket-Version");
        Ok(())
    }),
];

async fn extended(case: &Case, h2: &mut H2) -> Result<u32, String> {
    case.script(echo());
    let mut fields = case.h2_fields("CONNECT", "/@T");
    fields.insert(1, (":protocol".to_owned(), "websocket".to_owned()));
    fields.push(("sec-websocket-version".to_owned(), "13".to_owned()));
    let stream = h2.request(&fields, false).await?;
    h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|a| a.status != 0 || a.is_over())).await;
    let answer = h2.answers.get(&stream).cloned().unwrap_or_default();
    ensure!(answer.status == 200 && !answer.is_over(), "answered {} {:?}", answer.status, answer.reset);
    Ok(stream)
}
