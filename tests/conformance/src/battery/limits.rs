//! Everything has a bound, and what is past it is told so. All of it at the listener with tight limits: heads of 16 KiB
//! and 50 fields, bodies of 64 KiB, ten streams.

use std::time::Duration;

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::judge::request::refuses;
use crate::wire::Conn;
use crate::wire::h2::{Frame, H2, code as error, flag, kind, setting};

pub const CHECKS: &[Check] = &[
    code!("limits/target", "RFC 9110 15.5.15", "a target of 100 KB is refused", |case| {
        past(
            &case,
            format!("GET /@T/{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(100_000)),
            &[414, 431, 400],
        )
        .await
    }),
    code!("limits/target-8000", "RFC 9112 3", "a request line of 8,000 octets is served", |case| {
        let mut conn = case.http().await?;
        conn.send(case.text(&format!("GET /@T/{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(7_970))))
            .await?;
        let answer = conn.response(false).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        Ok(())
    }),
    code!("limits/field", "RFC 6585 5", "a field of 100 KB is refused", |case| {
        past(
            &case,
            format!("GET /@T HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "a".repeat(100_000)),
            &[431, 400],
        )
        .await
    }),
    code!("limits/field-name", "RFC 6585 5", "a name of 100 KB is refused", |case| {
        past(
            &case,
            format!("GET /@T HTTP/1.1\r\nHost: a.test\r\n{}: 1\r\n\r\n", "a".repeat(100_000)),
            &[431, 400],
        )
        .await
    }),
    code!(
        "limits/fields-together",
        "RFC 6585 5",
        "a head of 40 fields with 40 KB together is refused",
        |case| {
            let fields = format!("X: {}\r\n", "a".repeat(1_000)).repeat(40);
            past(&case, format!("GET /@T HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"), &[431, 400]).await
        }
    ),
    code!("limits/field-count", "RFC 6585 5", "a head of 1,000 fields is refused", |case| {
        past(
            &case,
            format!("GET /@T HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: 1\r\n".repeat(1_000)),
            &[431, 400],
        )
        .await
    }),
    code!(
        "limits/head-without-end",
        "RFC 9112 3",
        "a head that never ends is refused before it is kept",
        |case| {
            past(
                &case,
                format!("GET /@T HTTP/1.1\r\nHost: a.test\r\n{}", "X: 1\r\n".repeat(20_000)),
                &[431, 400],
            )
            .await
        }
    ),
    code!("limits/line-without-end", "RFC 9112 3", "a request line that never ends is refused", |case| {
        past(&case, "G".repeat(200_000), &[400, 414, 431, 405, 501]).await
    }),
    code!(
        "limits/empty-lines",
        "RFC 9112 2.2",
        "empty lines before a request are not read for ever",
        |case| {
            let mut conn = case.tight().await?;
            conn.offer("\r\n".repeat(200_000)).await;
            ensure!(
                conn.ends_within(Duration::from_secs(4)).await,
                "the connection goes on after 200,000 empty lines"
            );
            Ok(())
        }
    ),
    code!(
        "limits/body-by-length",
        "RFC 9110 15.5.14",
        "a body past the bound is refused by its length",
        |case| {
            let head = "POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n".to_owned();
            past(&case, head + &"a".repeat(200_000), &[413]).await
        }
    ),
    code!(
        "limits/body-by-chunks",
        "RFC 9110 15.5.14",
        "a body past the bound is refused by what came",
        |case| {
            let chunks = format!("3e8\r\n{}\r\n", "a".repeat(1_000)).repeat(200);
            let head = "POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
            past(&case, format!("{head}{chunks}0\r\n\r\n"), &[413]).await
        }
    ),
    code!("limits/body-below", "RFC 9110 15.5.14", "a body below the bound is served", |case| {
        let mut conn = case.tight().await?;
        let head = case.text("POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 60000\r\n\r\n");
        conn.send(head + &"a".repeat(60_000)).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        ensure!(case.only()?.message.body.len() == 60_000, "cut");
        Ok(())
    }),
    code!("limits/chunk-extensions", "RFC 9112 7.1.1", "a megabyte of chunk extensions is refused", |case| {
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(10_000)).repeat(100);
        let head = "POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        past(&case, format!("{head}{chunk}0\r\n\r\n"), &[]).await
    }),
    code!("limits/chunk-size-zeros", "RFC 9112 7.1", "a chunk size of 100,000 zeros is refused", |case| {
        let head = "POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        past(&case, format!("{head}{}1\r\na\r\n0\r\n\r\n", "0".repeat(100_000)), &[]).await
    }),
    code!("limits/trailers", "RFC 9110 6.5", "a megabyte of trailers is refused", |case| {
        let head = "POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
        past(&case, format!("{head}{}\r\n", format!("X: {}\r\n", "a".repeat(10_000)).repeat(100)), &[]).await
    }),
    code!("limits/h2-field", "RFC 9113 10.5.1", "a field section past the bound is refused", |case| {
        let mut h2 = tight_h2(&case).await?;
        let mut fields = case.get("/@T");
        fields.push(("x".to_owned(), "a".repeat(15_000)));
        fields.push(("y".to_owned(), "a".repeat(10_000)));
        let block = crate::wire::h2::hpack::block(&fields);
        let (first, rest) = block.split_at(15_000);
        let stream = h2.stream();
        let _ = h2.send(&Frame::new(kind::HEADERS, flag::END_STREAM, stream, first)).await;
        let _ = h2.send(&Frame::new(kind::CONTINUATION, flag::END_HEADERS, stream, rest)).await;
        refused(&case, &mut h2, stream).await
    }),
    code!("limits/h2-field-count", "RFC 9113 10.5.1", "a field section of 1,000 fields is refused", |case| {
        let mut h2 = tight_h2(&case).await?;
        let mut fields = case.get("/@T");
        fields.extend((0..1_000).map(|_| ("x".to_owned(), "1".to_owned())));
        let stream = h2.request(&fields, true).await?;
        refused(&case, &mut h2, stream).await
    }),
    code!("limits/h2-body", "RFC 9110 15.5.14", "a body past the bound is refused by HTTP/2", |case| {
        let mut h2 = tight_h2(&case).await?;
        let mut fields = case.h2_fields("POST", "/@T");
        fields.push(("content-length".to_owned(), "1000000".to_owned()));
        let stream = h2.request(&fields, false).await?;
        for _ in 0..4 {
            let _ = h2.send(&Frame::data(stream, false, vec![b'a'; 10_000])).await;
        }
        refused(&case, &mut h2, stream).await
    }),
    code!(
        "limits/h2-streams-said",
        "RFC 9113 6.5.2",
        "the number of streams is bounded, and said so",
        |case| {
            let h2 = tight_h2(&case).await?;
            let allowed = h2.allowed(setting::MAX_CONCURRENT_STREAMS);
            ensure!(allowed <= 100, "{allowed} streams are allowed");
            Ok(())
        }
    ),
    code!("limits/h2-streams-held", "RFC 9113 5.1.2", "a stream past the bound is refused", |case| {
        let mut h2 = tight_h2(&case).await?;
        case.script(vec![crate::origin::script::silence()]);
        let allowed = h2.allowed(setting::MAX_CONCURRENT_STREAMS).min(200);
        let mut last = 0;
        for _ in 0..=allowed {
            last = h2.request(&case.get("/@T"), true).await?;
        }
        h2.until(Duration::from_secs(4), |h2| {
            h2.answers.get(&last).is_some_and(|answer| answer.reset.is_some()) || h2.ended.is_some()
        })
        .await;
        let reset = h2.answers.get(&last).and_then(|answer| answer.reset);
        let fine =
            matches!(reset, Some(error::REFUSED_STREAM | error::PROTOCOL_ERROR)) || h2.goaway.is_some();
        ensure!(fine, "the stream past {allowed} is not refused: {reset:?}");
        Ok(())
    }),
];

async fn tight_h2(case: &Case) -> Result<H2, String> {
    H2::open(case.world.ports.tight_tls, &case.world.tls.h2, &[]).await
}

/// Sends what is past a bound; one of the statuses (none: any refusal) must come, or at least the end.
async fn past(case: &Case, bytes: String, statuses: &[u16]) -> Verdict {
    let mut conn: Conn = case.tight().await?;
    conn.offer(case.text(&bytes)).await;
    match conn.response(false).await {
        Ok(answer) if statuses.is_empty() => ensure!(refuses(answer.status()), "answered {}", answer.start),
        Ok(answer) => ensure!(statuses.contains(&answer.status()), "answered {}", answer.start),
        // A server that has seen enough may be gone before its answer is read, with ours still in the wire.
        Err(how) => ensure!(!how.contains("Nothing"), "no answer, and the connection goes on"),
    }
    ensure!(case.whole().is_empty(), "the origin got it");
    Ok(())
}

async fn refused(case: &Case, h2: &mut H2, stream: u32) -> Verdict {
    let answer = h2.answer(stream).await;
    let fine = refuses(answer.status) || answer.reset.is_some() || h2.goaway.is_some() || h2.ended.is_some();
    ensure!(fine, "answered {}", answer.status);
    ensure!(case.whole().is_empty(), "the origin got it");
    Ok(())
}
