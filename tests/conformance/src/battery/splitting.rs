//! One answer stays one answer: what an upstream sends beyond it reaches nobody (response splitting, response queue
//! poisoning; RFC 9112 sections 6.3 and 9.2).

use std::time::Duration;

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::judge::answer::{maybe, pass_to};
use crate::judge::request::Send::Raw;
use crate::judge::seen::Seen::{Body, Has, Lacks, No};
use crate::origin::script::answer;
use crate::wire::Conn;

/// Asks for an answer with something behind it, then many times for others, each of which must be its own.
async fn poisons_nobody(case: &Case, ask: &[u8], reply: &[u8]) -> Verdict {
    case.script(vec![answer(reply)]);
    let mut conn = case.http().await?;
    conn.send(case.fill(ask)).await?;
    let first = conn.response(ask.starts_with(b"HEAD ")).await;
    let first = first.map(|answer| answer.status()).unwrap_or(0);
    for _ in 0..8 {
        let mut other = case.http().await?;
        other.send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
        let next = other.response(false).await?;
        ensure!(
            next.text() == case.text("ok @N"),
            "after {first} another client got {} {:?}",
            next.start,
            next.text()
        );
    }
    conn.offer(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
    let (rest, _) = conn.read_to_end(Duration::from_secs(2)).await;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    ensure!(!rest.contains("evil"), "the same client got {rest:?}");
    Ok(())
}

const GET: &[u8] = b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n";

pub const CHECKS: &[Check] = &[
    code!(
        "splitting/second-answer",
        "attack: response queue poisoning",
        "a second answer behind the first reaches nobody",
        |case| {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!("splitting/behind-chunks", "attack: response queue poisoning", "nor behind chunks", |case| {
        let reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        poisons_nobody(&case, GET, reply).await
    }),
    code!(
        "splitting/body-in-204",
        "RFC 9112 6.3 rule 1",
        "the body of a 204 is not the next answer",
        |case| {
            let reply = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!(
        "splitting/body-in-304",
        "RFC 9112 6.3 rule 1",
        "the body of a 304 is not the next answer",
        |case| {
            let reply = b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!(
        "splitting/body-to-head",
        "RFC 9112 6.3 rule 1",
        "the body of an answer to HEAD is not the next answer",
        |case| {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, b"HEAD /@T HTTP/1.1\r\nHost: a.test\r\n\r\n", reply).await
        }
    ),
    code!(
        "splitting/zero-length",
        "attack: response queue poisoning",
        "what follows a length of zero is not the next answer",
        |case| {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!(
        "splitting/coding-and-length",
        "attack: response smuggling",
        "a length that hides a second answer hides none",
        |case| {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!(
        "splitting/length-in-204",
        "attack: response smuggling",
        "a length in a 204 does not eat the next answer",
        |case| {
            let reply = b"HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n";
            poisons_nobody(&case, GET, reply).await
        }
    ),
    code!(
        "splitting/answer-before-request",
        "attack: response queue poisoning",
        "an answer that comes before its request is nobody's",
        |case| {
            // The second answer comes while the connection lies idle: not in the pool that other checks use.
            let target = case.world.another().await?;
            case.script(vec![vec![
                crate::origin::script::Step::Body,
                crate::origin::script::Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
                crate::origin::script::Step::Pause(Duration::from_millis(200)),
                crate::origin::script::Step::Send(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec(),
                ),
            ]]);
            let mut conn = Conn::tcp(target.ports.http).await?;
            conn.send(case.fill(GET)).await?;
            ensure!(conn.response(false).await?.body == b"ok", "not served");
            tokio::time::sleep(Duration::from_millis(500)).await;
            for _ in 0..8 {
                let mut other = Conn::tcp(target.ports.http).await?;
                other
                    .send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
                    .await?;
                let next = other.response(false).await?;
                ensure!(
                    next.text() == case.text("ok @N"),
                    "another client got {} {:?}",
                    next.start,
                    next.text()
                );
            }
            Ok(())
        }
    ),
    maybe(
        "splitting/bare-lf-in-field",
        "attack: response splitting",
        "a bare LF in a field adds no field that was hidden",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    maybe(
        "splitting/bare-cr-in-field",
        "attack: response splitting",
        "a bare CR in a field adds none",
        b"HTTP/1.1 200 OK\r\nX-A: 1\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok"), No("set-cookie")],
    ),
    maybe(
        "splitting/nul-in-reason",
        "RFC 9112 4",
        "a NUL in a reason is replaced, or an error",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok")],
    ),
    maybe(
        "splitting/bare-cr-in-reason",
        "attack: response splitting",
        "a bare CR in a reason adds no field",
        b"HTTP/1.1 200 OK\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[Body("ok"), No("set-cookie")],
    ),
    pass_to(
        "splitting/target-is-not-echoed",
        "attack: response splitting",
        "an encoded line break in a target adds no field to the answer",
        Raw(b"GET /@T?%0d%0aSet-Cookie:evil=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[No("set-cookie"), Body("ok")],
    ),
    pass_to(
        "splitting/location-kept",
        "RFC 9110 10.2.2",
        "a Location is the origin's, and stays as it is",
        Raw(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 302 Found\r\nLocation: https://b.test/x?y=%0d%0a\r\nContent-Length: 0\r\n\r\n",
        302,
        &[Has("location", "https://b.test/x?y=%0d%0a"), Lacks("set-cookie", "evil")],
    ),
];
