//! Bodies arrive whole, at once, and in both directions (RFC 9112 section 6).

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::answer::{maybe, pass, pass_close, pass_to};
use crate::judge::request::Send::Raw;
use crate::judge::seen::Seen::{Body, Has, No};
use crate::origin::script::{Step, answer};
use crate::wire::conn::PATIENCE;
use crate::wire::h1::End;

/// A body that is many buffers long.
fn long() -> Vec<u8> {
    (0..3_000_000u32).map(|n| (n % 251) as u8).collect()
}

pub const CHECKS: &[Check] = &[
    pass(
        "bodies/length",
        "RFC 9112 6.2",
        "an answer of a declared length arrives whole",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        &[Body("hello"), Has("content-length", "5")],
    ),
    pass(
        "bodies/chunked",
        "RFC 9112 7.1",
        "a chunked answer arrives whole",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        200,
        &[Body("hello")],
    ),
    pass_close(
        "bodies/until-close",
        "RFC 9112 6.3 rule 8",
        "an answer that the close ends arrives whole",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        200,
        &[Body("hello")],
    ),
    pass_close(
        "bodies/http-1.0-upstream",
        "RFC 9112 6.3 rule 8",
        "an answer in HTTP/1.0 arrives whole",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        200,
        &[Body("hello")],
    ),
    pass(
        "bodies/no-content",
        "RFC 9110 15.3.5",
        "a 204 has neither body nor length",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        204,
        &[Body(""), No("content-length"), No("transfer-encoding")],
    ),
    pass(
        "bodies/not-modified-with-length",
        "RFC 9110 15.4.5",
        "a 304 has no body, whatever its length says",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
        304,
        &[Body(""), Has("etag", "\"x\"")],
    ),
    maybe(
        "bodies/no-content-with-length",
        "RFC 9110 8.6",
        "a length in a 204 is dropped",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        204,
        &[Body(""), No("content-length")],
    ),
    maybe(
        "bodies/no-content-with-coding",
        "RFC 9112 6.1",
        "a coding in a 204 is dropped",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        204,
        &[Body(""), No("transfer-encoding")],
    ),
    pass_to(
        "bodies/head-with-length",
        "RFC 9110 9.3.2",
        "the length in an answer to HEAD is that of the body there would be",
        Raw(b"HEAD /@T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        200,
        &[Has("content-length", "1234")],
    ),
    pass_to(
        "bodies/head-chunked",
        "RFC 9112 6.1",
        "an answer to HEAD may name a coding, and has no body",
        Raw(b"HEAD /@T HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        200,
        &[],
    ),
    pass_to(
        "bodies/http-1.0-client-chunked",
        "RFC 9112 6.1",
        "an HTTP/1.0 client is sent no coding",
        Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        &[Body("hello"), No("transfer-encoding")],
    ),
    pass_to(
        "bodies/http-1.0-client-keep-alive-chunked",
        "RFC 9112 9.3",
        "an HTTP/1.0 client that keeps its connection is sent no coding",
        Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        &[Body("hello"), No("transfer-encoding")],
    ),
    pass(
        "bodies/content-encoding",
        "RFC 9110 8.4",
        "a content coding is the origin's and stays",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        200,
        &[Has("content-encoding", "gzip")],
    ),
    code!("bodies/long-answer", "RFC 9112 6.2", "an answer of 3 MB arrives as it was sent", |case| {
        let body = long();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        case.script(vec![answer([head.into_bytes(), body.clone()].concat())]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.body == body, "the body changed");
        Ok(())
    }),
    code!("bodies/long-request", "RFC 9112 6.2", "a request of 3 MB arrives as it was sent", |case| {
        let body = long();
        let head = format!("POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut conn = case.http().await?;
        conn.send([case.text(&head).into_bytes(), body.clone()].concat()).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        ensure!(case.only()?.message.body == body, "the body changed");
        Ok(())
    }),
    code!(
        "bodies/long-chunked-request",
        "RFC 9112 7.1",
        "a chunked request of 3 MB arrives as it was sent",
        |case| {
            let body = long();
            let mut bytes =
                case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(7_777) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            let mut conn = case.http().await?;
            conn.send(bytes).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            ensure!(case.only()?.message.body == body, "the body changed");
            Ok(())
        }
    ),
    code!("bodies/octet-by-octet", "RFC 9112 2.2", "where the octets are split does not matter", |case| {
        let mut conn = case.http().await?;
        let head = b"POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        for octet in [case.fill(head), b"5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n".to_vec()].concat() {
            conn.send([octet]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ensure!(conn.response(false).await?.status() == 200, "not served");
        ensure!(case.only()?.message.body == b"hello", "the body changed");
        Ok(())
    }),
    code!("bodies/streamed-down", "RFC 9112 7.1", "a chunk arrives before the next one is there", |case| {
        case.script(vec![vec![
            Step::Body,
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()),
            Step::Pause(Duration::from_millis(1_500)),
            Step::Send(b"4\r\nlast\r\n0\r\n\r\n".to_vec()),
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        let head = conn.head(Duration::from_secs(1)).await;
        let mut head = head.map_err(|_| "nothing arrives before the end")?;
        conn.response_body(&mut head, false, PATIENCE).await;
        ensure!(head.body == b"firstlast" && head.end == End::Whole, "the body is {:?}", head.text());
        Ok(())
    }),
    code!("bodies/early-answer", "RFC 9112 9.3", "an answer before the body's end is the answer", |case| {
        case.script(vec![vec![
            Step::Send(
                b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
                    .to_vec(),
            ),
            Step::Close,
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nhello"))
            .await?;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 413, "answered {}", answer.start);
        Ok(())
    }),
    code!("bodies/client-gives-up", "RFC 9112 8", "a request that breaks off never becomes whole", |case| {
        let mut conn = case.http().await?;
        conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhello"))
            .await?;
        conn.finish().await;
        conn.read_to_end(Duration::from_secs(3)).await;
        ensure!(case.whole().is_empty(), "the origin took a part for the whole");
        Ok(())
    }),
    code!(
        "bodies/chunked-client-gives-up",
        "RFC 9112 8",
        "a chunked request that breaks off never becomes whole",
        |case| {
            let mut conn = case.http().await?;
            let head =
                b"POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
            conn.send(case.fill(head)).await?;
            conn.finish().await;
            conn.read_to_end(Duration::from_secs(3)).await;
            ensure!(case.whole().is_empty(), "the origin took a part for the whole");
            Ok(())
        }
    ),
];
