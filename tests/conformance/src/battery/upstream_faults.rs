//! Upstreams that are down, silent, slow, strange or cut off (RFC 9112 section 8, RFC 9110 section 15.6).

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::answer::is_bad;

use crate::origin::script::{Step, silence};
use crate::wire::conn::PATIENCE;
use crate::wire::h1::End;

pub const CHECKS: &[Check] = &[
    code!(
        "upstream/refuses-connections",
        "RFC 9110 15.6",
        "an upstream that is down is an error at once",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /dead/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(is_bad(answer.status()), "answered {}", answer.start);
            crate::judge::request::follow(&case, &mut conn, &answer).await
        }
    ),
    code!(
        "upstream/silent",
        "RFC 9110 15.6.5",
        "an upstream that says nothing is a gateway timeout",
        |case| {
            case.script(vec![silence()]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /quick/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(answer.status() == 504, "answered {}", answer.start);
            crate::judge::request::follow(&case, &mut conn, &answer).await
        }
    ),
    code!("upstream/drips-a-head", "attack: slow upstream", "a head that drips is timed out", |case| {
        let drip = (0..40)
            .flat_map(|_| [Step::Send(b"X-A: 1\r\n".to_vec()), Step::Pause(Duration::from_millis(200))]);
        let begin = Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec());
        case.script(vec![[Step::Body, begin].into_iter().chain(drip).chain([Step::Hang]).collect()]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /quick/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        let answer = conn.response(false).await?;
        ensure!(is_bad(answer.status()), "answered {}", answer.start);
        Ok(())
    }),
    code!("upstream/resets", "RFC 9110 15.6.3", "an upstream that resets is a bad gateway", |case| {
        case.script(vec![vec![Step::Body, Step::Reset]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        let answer = conn.response(false).await?;
        ensure!(is_bad(answer.status()), "answered {}", answer.start);
        Ok(())
    }),
    code!("upstream/resets-in-body", "RFC 9112 8", "a reset within a body is told from its end", |case| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello".to_vec();
        case.script(vec![vec![
            Step::Body,
            Step::Send(head),
            Step::Pause(Duration::from_millis(200)),
            Step::Reset,
        ]]);
        let mut conn = case.http().await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        // No answer at all cannot be taken for a whole one.
        let Ok(answer) = conn.response(false).await else { return Ok(()) };
        ensure!(answer.end == End::Cut || is_bad(answer.status()), "taken for whole: {:?}", answer.text());
        Ok(())
    }),
    code!(
        "upstream/resets-until-close",
        "RFC 9112 8",
        "a reset is not the end of a body that the close ends",
        |case| {
            let head = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
            case.script(vec![vec![
                Step::Body,
                Step::Send(head),
                Step::Pause(Duration::from_millis(200)),
                Step::Reset,
            ]]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let Ok(answer) = conn.response(false).await else { return Ok(()) };
            ensure!(
                answer.end == End::Cut || is_bad(answer.status()),
                "taken for whole: {:?}",
                answer.text()
            );
            Ok(())
        }
    ),
    code!(
        "upstream/huge-head",
        "attack: response head without end",
        "a head of ten megabytes is an error, not memory",
        |case| {
            let head =
                format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X: {}\r\n", "a".repeat(1_000)).repeat(10_000));
            case.script(vec![vec![Step::Body, Step::Send(head.into_bytes()), Step::Close]]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(is_bad(answer.status()), "answered {}", answer.start);
            Ok(())
        }
    ),
    code!(
        "upstream/error-says-why",
        "RFC 9209 2.3",
        "an error of the proxy's own says so in Proxy-Status",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /dead/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let status = conn.response(false).await?.joined("proxy-status").unwrap_or_default();
            ensure!(status.contains("error=connection_refused"), "Proxy-Status: {status:?}");
            Ok(())
        }
    ),
    code!(
        "upstream/tls",
        "RFC 8446 4.4.2",
        "an upstream by TLS with a trusted certificate is served",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /tls/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
            Ok(())
        }
    ),
    code!(
        "upstream/tls-stranger",
        "RFC 5280 6",
        "an upstream with a certificate of a stranger is not talked to",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /stranger/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(is_bad(answer.status()) && case.seen().is_empty(), "answered {}", answer.start);
            Ok(())
        }
    ),
    code!(
        "upstream/tls-misnamed",
        "RFC 9110 4.3.4",
        "an upstream with a certificate for another name is not talked to",
        |case| {
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /misnamed/@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            let answer = conn.response(false).await?;
            ensure!(is_bad(answer.status()) && case.seen().is_empty(), "answered {}", answer.start);
            Ok(())
        }
    ),
    code!(
        "upstream/client-leaves",
        "RFC 9112 9.5",
        "a client that leaves ends the request upstream",
        |case| {
            case.script(vec![silence()]);
            let mut conn = case.http().await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            for _ in 0..100 {
                if !case.seen().is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(conn);
            let began = std::time::Instant::now();
            while case.world.origin.under_way(&case.token) > 0 {
                ensure!(began.elapsed() < PATIENCE / 2, "it is kept waiting upstream");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
    ),
];
