//! gRPC, which is HTTP/2 with all that proxies like to forget (the gRPC over HTTP/2 specification; RFC 9113 section 8).

use std::time::Duration;

use crate::check::{Case, Check};
use crate::code;
use crate::ensure;
use crate::origin::script::{Script, Step, THIS, frames};
use crate::wire::conn::PATIENCE;
use crate::wire::h2::{Frame, H2, code as error, flag, hpack, kind};

/// A message of five octets.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

fn head(fields: &[(&str, &str)]) -> Frame {
    let all: Vec<_> = [(":status", "200"), ("content-type", "application/grpc")]
        .into_iter()
        .chain(fields.iter().copied())
        .collect();
    Frame::new(kind::HEADERS, flag::END_HEADERS, THIS, hpack::block(&all))
}

fn trailers(fields: &[(&str, &str)]) -> Frame {
    Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, THIS, hpack::block(fields))
}

fn usual() -> Script {
    frames([
        head(&[]),
        Frame::data(THIS, false, MESSAGE),
        trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]),
    ])
}

async fn call(case: &Case, h2: &mut H2) -> Result<u32, String> {
    let mut fields = case.h2_fields("POST", "/h2/@T");
    fields.push(("content-type".to_owned(), "application/grpc".to_owned()));
    fields.push(("te".to_owned(), "trailers".to_owned()));
    let stream = h2.request(&fields, false).await?;
    h2.send(&Frame::data(stream, true, MESSAGE)).await?;
    Ok(stream)
}

pub const CHECKS: &[Check] = &[
    code!("grpc/unary", "RFC 9113 8.1", "a call is answered, with message and status", |case| {
        case.script(vec![usual()]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        let answer = h2.answer(stream).await;
        ensure!(
            answer.status == 200 && answer.body == MESSAGE,
            "answered {} {:?}",
            answer.status,
            answer.reset
        );
        ensure!(answer.trailer("grpc-status") == Some("0"), "trailers: {:?}", answer.trailers);
        ensure!(answer.trailer("grpc-message") == Some("fine"), "trailers: {:?}", answer.trailers);
        Ok(())
    }),
    code!("grpc/te-passed-on", "RFC 9110 10.1.4", "the origin is told that trailers are taken", |case| {
        case.script(vec![usual()]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        h2.answer(stream).await;
        let told = case.only()?.message.joined("te");
        ensure!(told.as_deref() == Some("trailers"), "te: {told:?}");
        Ok(())
    }),
    code!("grpc/message-arrives", "RFC 9113 8.1", "the message arrives as it was sent", |case| {
        case.script(vec![usual()]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        h2.answer(stream).await;
        let message = case.only()?.message;
        ensure!(message.body == MESSAGE, "{:?}", message.text());
        ensure!(
            message.joined("content-type").as_deref() == Some("application/grpc"),
            "the content type changed"
        );
        Ok(())
    }),
    code!("grpc/trailers-only", "RFC 9113 8.1", "an answer of trailers alone arrives", |case| {
        let mut only = head(&[("grpc-status", "5")]);
        only.flags |= flag::END_STREAM;
        case.script(vec![frames([only])]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        let answer = h2.answer(stream).await;
        let status = answer.all("grpc-status").first().map(|status| (*status).to_owned());
        let status = status.or(answer.trailer("grpc-status").map(str::to_owned));
        ensure!(status.as_deref() == Some("5"), "answered {} {:?}", answer.status, answer.fields);
        Ok(())
    }),
    code!("grpc/error-status", "RFC 9113 8.1", "an error in the trailers is passed on", |case| {
        case.script(vec![frames([
            head(&[]),
            trailers(&[("grpc-status", "7"), ("grpc-message", "no%20way")]),
        ])]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        let answer = h2.answer(stream).await;
        ensure!(answer.trailer("grpc-status") == Some("7"), "trailers: {:?}", answer.trailers);
        ensure!(answer.trailer("grpc-message") == Some("no%20way"), "trailers: {:?}", answer.trailers);
        Ok(())
    }),
    code!(
        "grpc/server-streaming",
        "RFC 9113 8.1",
        "a message arrives before the next one is there",
        |case| {
            case.script(vec![vec![
                Step::Body,
                Step::Frames(vec![head(&[]), Frame::data(THIS, false, MESSAGE)]),
                Step::Pause(Duration::from_millis(1_500)),
                Step::Frames(vec![Frame::data(THIS, false, MESSAGE), trailers(&[("grpc-status", "0")])]),
            ]]);
            let mut h2 = case.h2().await?;
            let stream = call(&case, &mut h2).await?;
            let first = |h2: &H2| h2.answers.get(&stream).is_some_and(|answer| answer.body == MESSAGE);
            ensure!(h2.until(Duration::from_secs(1), first).await, "the first message waits for the second");
            let answer = h2.answer(stream).await;
            ensure!(answer.body.len() == 2 * MESSAGE.len(), "{} octets", answer.body.len());
            ensure!(answer.trailer("grpc-status") == Some("0"), "trailers: {:?}", answer.trailers);
            Ok(())
        }
    ),
    code!(
        "grpc/cut-off",
        "RFC 9113 8.1",
        "a stream that the upstream breaks off does not end as if it were whole",
        |case| {
            case.script(vec![frames([
                head(&[]),
                Frame::data(THIS, false, MESSAGE),
                Frame::reset(THIS, error::INTERNAL_ERROR),
            ])]);
            let mut h2 = case.h2().await?;
            let stream = call(&case, &mut h2).await?;
            let answer = h2.answer(stream).await;
            let told = answer.trailer("grpc-status").is_some_and(|status| status != "0");
            let told = told || answer.all("grpc-status").iter().any(|status| *status != "0");
            ensure!(
                answer.reset.is_some() || told || answer.status >= 500,
                "it ended in order, {:?}",
                answer.trailers
            );
            Ok(())
        }
    ),
    code!(
        "grpc/reset-passed-on",
        "RFC 9113 5.4.2",
        "a client that cancels cancels the call upstream",
        |case| {
            case.script(vec![vec![Step::Body, Step::Frames(vec![head(&[])]), Step::Hang]]);
            let mut h2 = case.h2().await?;
            let stream = call(&case, &mut h2).await?;
            h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|answer| answer.status == 200)).await;
            h2.send(&Frame::reset(stream, error::CANCEL)).await?;
            let next = h2.request(&case.get("/@N"), true).await?;
            ensure!(h2.answer(next).await.status == 200, "the connection does not go on");
            Ok(())
        }
    ),
    code!("grpc/binary-metadata", "RFC 9110 5.5", "binary metadata passes as it is", |case| {
        case.script(vec![frames([
            head(&[("x-bin", "AAECAw==")]),
            trailers(&[("grpc-status", "0"), ("y-bin", "BAUG")]),
        ])]);
        let mut h2 = case.h2().await?;
        let stream = call(&case, &mut h2).await?;
        let answer = h2.answer(stream).await;
        ensure!(answer.all("x-bin") == ["AAECAw=="], "{:?}", answer.fields);
        ensure!(answer.trailer("y-bin") == Some("BAUG"), "{:?}", answer.trailers);
        Ok(())
    }),
    code!(
        "grpc/dead-upstream",
        "RFC 9110 15.6",
        "a call to an upstream that is down fails, and does not hang",
        |case| {
            let mut h2 = case.h2().await?;
            let mut fields = case.h2_fields("POST", "/dead/@T");
            fields.push(("content-type".to_owned(), "application/grpc".to_owned()));
            fields.push(("te".to_owned(), "trailers".to_owned()));
            let stream = h2.request(&fields, false).await?;
            h2.send(&Frame::data(stream, true, MESSAGE)).await?;
            let answer = h2.answer(stream).await;
            let grpc = answer.all("grpc-status").first().is_some_and(|status| *status != "0");
            ensure!(answer.status >= 500 || grpc, "answered {} {:?}", answer.status, answer.fields);
            Ok(())
        }
    ),
];
