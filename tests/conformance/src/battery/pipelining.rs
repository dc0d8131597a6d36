//! Several requests on a connection (RFC 9112 sections 9.3 and 9.6).

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::origin::script::{Step, answer};
use crate::wire::Read;
use crate::wire::conn::PATIENCE;

pub const CHECKS: &[Check] = &[
    code!("pipelining/order", "RFC 9112 9.3.2", "answers come in the order of their requests", |case| {
        case.script(vec![vec![
            Step::Body,
            Step::Pause(Duration::from_millis(500)),
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst".to_vec()),
        ]]);
        let mut conn = case.http().await?;
        let two = b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\nGET /@N HTTP/1.1\r\nHost: a.test\r\n\r\n";
        conn.send(case.fill(two)).await?;
        ensure!(conn.response(false).await?.body == b"first", "the first answer is another's");
        ensure!(conn.response(false).await?.text() == case.text("ok @N"), "the second answer is another's");
        Ok(())
    }),
    code!(
        "pipelining/many",
        "RFC 9112 9.3.2",
        "a hundred requests in one piece get a hundred answers",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.text("GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n").repeat(100)).await?;
            for n in 0..100 {
                let answer = conn.response(false).await.map_err(|e| format!("answer {n}: {e}"))?;
                ensure!(answer.status() == 200, "answer {n}: {}", answer.start);
            }
            Ok(())
        }
    ),
    code!("pipelining/bodies", "RFC 9112 9.3.2", "requests with bodies follow one another", |case| {
        let mut conn = case.http().await?;
        let one = "POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\none";
        let two =
            "POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
        conn.send(case.text(&[one, two, one].concat())).await?;
        for _ in 0..3 {
            ensure!(conn.response(false).await?.status() == 200, "not served");
        }
        let bodies: Vec<String> = case.whole().iter().map(|seen| seen.message.text()).collect();
        ensure!(bodies == ["one", "two", "one"], "the bodies are {bodies:?}");
        Ok(())
    }),
    code!(
        "pipelining/error-then-nothing",
        "RFC 9112 9.3.2",
        "behind a refused request nothing is answered",
        |case| {
            let mut conn = case.http().await?;
            let both = b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\nGET /@N HTTP/1.1\r\nHost: a.test\r\nX : 1\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n";
            conn.send(case.fill(both)).await?;
            ensure!(conn.response(false).await?.status() == 200, "the first is not served");
            let second = conn.response(false).await?;
            ensure!(second.status() == 400, "the second is answered {}", second.start);
            conn.read_to_end(Duration::from_secs(2)).await;
            ensure!(!case.is_smuggled(), "the third was served");
            Ok(())
        }
    ),
    code!(
        "pipelining/close-asked",
        "RFC 9112 9.6",
        "after a request that closes, the connection ends",
        |case| {
            let mut conn = case.http().await?;
            let both = b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n";
            conn.send(case.fill(both)).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            let (rest, how) = conn.read_to_end(PATIENCE).await;
            ensure!(rest.is_empty() && how != Read::Nothing, "the connection goes on");
            ensure!(!case.is_smuggled(), "a request behind it was served");
            Ok(())
        }
    ),
    code!(
        "pipelining/close-case",
        "RFC 9112 9.6",
        "close has no case, and may be one of several options",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: x, CLOSE\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            ensure!(conn.ends_within(Duration::from_secs(3)).await, "the connection goes on");
            Ok(())
        }
    ),
    code!("pipelining/close-answered", "RFC 9112 9.6", "who closes after an answer says so in it", |case| {
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
        let answer = conn.response(false).await?;
        let options = answer.joined("connection").unwrap_or_default();
        ensure!(options.to_ascii_lowercase().contains("close"), "Connection: {options:?}");
        Ok(())
    }),
    code!("pipelining/http-1.0-closes", "RFC 9112 9.3", "HTTP/1.0 without keep-alive closes", |case| {
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        ensure!(conn.ends_within(Duration::from_secs(3)).await, "the connection goes on");
        Ok(())
    }),
    code!("pipelining/persistent", "RFC 9112 9.3", "HTTP/1.1 goes on without being asked to", |case| {
        let mut conn = case.http().await?;
        for _ in 0..3 {
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
        }
        Ok(())
    }),
    code!(
        "pipelining/upstream-close-is-not-the-clients",
        "RFC 9110 7.6.1",
        "the upstream's close does not end the client's connection",
        |case| {
            case.script(vec![vec![
                Step::Body,
                Step::Send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_vec()),
                Step::Close,
            ]]);
            let mut conn = case.http().await?;
            for _ in 0..2 {
                conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
                ensure!(conn.response(false).await?.status() == 200, "not served");
            }
            Ok(())
        }
    ),
    code!(
        "pipelining/half-closed",
        "RFC 9112 9.6",
        "a client that has ended its side is answered, or let go",
        |case| {
            case.script(vec![answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            conn.finish().await;
            ensure!(conn.ends_within(Duration::from_secs(5)).await, "the connection hangs");
            Ok(())
        }
    ),
    code!(
        "pipelining/unread-body-then-next",
        "RFC 9112 9.3",
        "the rest of a body that nobody wanted is not the next request",
        |case| {
            case.script(vec![vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly".to_vec()),
                Step::Close,
            ]]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 38\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            conn.offer(case.fill(b"GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
            conn.read_to_end(Duration::from_secs(1)).await;
            ensure!(!case.is_smuggled(), "after {} the body was taken for a request", answer.start);
            Ok(())
        }
    ),
];
