//! Bodies of any size stream both ways in bounded memory, and one that was cut is never taken for whole.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use causeway_testkit::client::{Client, Error, full};
use causeway_testkit::origin::Origin;
use causeway_testkit::raw::{End, Raw};
use causeway_testkit::script::Scripted;
use causeway_testkit::wait::{WATCHDOG, until, within};
use causeway_tests::{OK, Site, recording};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::json;
use tokio::sync::Notify;

const MIB: usize = 1 << 20;

/// What a body of 200 MiB may add to the proxy's memory, in KiB.
const ROOM: u64 = 20 * 1024;

#[tokio::test]
async fn a_large_upload_passes_in_bounded_memory_with_a_length_and_without() {
    let arrived = Arc::new(AtomicU64::new(0));
    let count = arrived.clone();
    let upstream = Scripted::start(move |mut raw| {
        let count = count.clone();
        async move {
            if raw.head().await.is_none() {
                return;
            }
            let mut last = Vec::new();
            loop {
                let bytes = raw.read_some().await;
                if bytes.is_empty() {
                    return;
                }
                count.fetch_add(bytes.len() as u64, Relaxed);
                last.extend_from_slice(&bytes[bytes.len().saturating_sub(16)..]);
                if last.ends_with(b"the end\r\n0\r\n\r\n") || last.ends_with(b"the end") {
                    let _ = raw.send(OK).await;
                    return;
                }
                last.drain(..last.len().saturating_sub(16));
            }
        }
    })
    .await;
    let site = Site::over(&[upstream.addr()]).await;
    let before = site.proxy.process.resident_kib();
    let block = vec![b'x'; MIB];
    for chunked in [false, true] {
        arrived.store(0, Relaxed);
        let mut raw = site.raw().await;
        let framing = match chunked {
            false => format!("Content-Length: {}", 200 * MIB + 7),
            true => "Transfer-Encoding: chunked".to_owned(),
        };
        raw.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).await.expect("sent");
        let mut most = 0;
        for _ in 0..200 {
            if chunked {
                raw.send(format!("{MIB:x}\r\n")).await.expect("sent");
            }
            raw.send(&block).await.expect("sent");
            if chunked {
                raw.send("\r\n").await.expect("sent");
            }
            most = most.max(site.proxy.process.resident_kib());
        }
        raw.send(if chunked { "7\r\nthe end\r\n0\r\n\r\n" } else { "the end" }).await.expect("sent");
        assert_eq!(raw.response().await.status(), 200);
        assert!(arrived.load(Relaxed) >= (200 * MIB + 7) as u64);
        assert!(most < before + ROOM, "{before} KiB became {most} KiB (chunked: {chunked})");
    }
}

#[tokio::test]
async fn a_large_download_passes_in_bounded_memory_also_to_a_slow_reader() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let before = site.proxy.process.resident_kib();
    for path in ["/bytes?n=209715200", "/bytes?n=209715200&chunked=1"] {
        // A second client reads nothing: what it does not take must wait at the origin, not in the proxy.
        let mut lazy = site.raw().await;
        lazy.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await.expect("sent");
        let mut raw = site.raw().await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await.expect("sent");
        let head = raw.head().await.expect("an answer");
        assert_eq!(head.status(), 200);
        let (mut total, mut most) = (0, 0);
        loop {
            let bytes = raw.read_some().await;
            if bytes.is_empty() {
                break;
            }
            total += bytes.len();
            if total % (8 * MIB) < bytes.len() {
                most = most.max(site.proxy.process.resident_kib());
            }
        }
        assert!(total >= 200 * MIB, "{total} bytes");
        assert!(most < before + ROOM, "{before} KiB became {most} KiB for {path}");
    }
}

#[tokio::test]
async fn the_first_bytes_of_an_answer_arrive_before_the_last_are_sent() {
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let upstream = Scripted::start(move |mut raw| {
        let told = told.clone();
        async move {
            if raw.request().await.is_some() {
                let _ = raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
                told.notified().await;
                let _ = raw.send("last.").await;
            }
        }
    })
    .await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(raw.head().await.expect("an answer").status(), 200);
    assert_eq!(raw.read_exactly(5).await, b"first");
    go_on.notify_one();
    assert_eq!(raw.read_exactly(5).await, b"last.");
}

#[tokio::test]
async fn the_first_bytes_of_a_request_arrive_before_the_last_are_sent() {
    let seen = Arc::new(Notify::new());
    let tell = seen.clone();
    let upstream = Scripted::start(move |mut raw| {
        let tell = tell.clone();
        async move {
            if raw.head().await.is_some() && raw.read_exactly(5).await == b"first" {
                tell.notify_one();
                assert_eq!(raw.read_exactly(5).await, b"last.");
                let _ = raw.send(OK).await;
            }
        }
    })
    .await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await.expect("sent");
    within("the first bytes at the upstream", WATCHDOG, seen.notified()).await;
    raw.send("last.").await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);
}

#[tokio::test]
async fn an_upstream_may_answer_while_the_request_still_comes() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut raw = site.raw().await;
    let head = "POST /echo-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    raw.send(format!("{head}3\r\none\r\n")).await.expect("sent");
    let head = raw.head().await.expect("an answer before the request's end");
    assert_eq!(head.get("transfer-encoding"), Some("chunked"));
    assert_eq!(raw.read_exactly(8).await, b"3\r\none\r\n");
    raw.send("3\r\ntwo\r\n").await.expect("sent");
    assert_eq!(raw.read_exactly(8).await, b"3\r\ntwo\r\n");
    raw.send("0\r\n\r\n").await.expect("sent");
    assert_eq!(raw.read_exactly(5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (upstream, received) = recording(answer).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: x-check\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Check: 1\r\n\r\n",
    )
    .await
    .expect("sent");
    let answer = raw.response().await;
    assert_eq!((answer.text().as_str(), answer.end), ("ok", End::Whole));
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
    let request = received.only();
    assert_eq!((request.text().as_str(), request.trailers.len()), ("abc", 1));
    assert!(request.trailers[0].0.eq_ignore_ascii_case("x-check") && request.trailers[0].1 == "1");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_clear() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut raw = site.raw().await;
    for round in 0..2 {
        raw.send("HEAD /bytes?n=1000 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let head = raw.response_to_head().await;
        assert_eq!((head.status(), head.get("content-length")), (200, Some("1000")), "round {round}");
        for status in [204, 304] {
            raw.send(format!("GET /status/{status} HTTP/1.1\r\nHost: a\r\n\r\n")).await.expect("sent");
            let answer = raw.response().await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.head.get("transfer-encoding"), None);
        }
        raw.send("GET /bytes?n=3 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        assert_eq!(raw.response().await.body, b"abc");
    }
    assert_eq!(origin.seen().connections, 1, "the connection to the upstream is clear as well");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_by_the_upstream() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut raw = site.raw().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    raw.send(head).await.expect("sent");
    assert_eq!(raw.head().await.expect("an interim answer").status(), 100);
    raw.send("hello").await.expect("sent");
    let answer = raw.response().await.text();
    assert!(answer.contains(r#""body":"hello""#), "{answer}");
}

#[tokio::test]
async fn a_refusal_instead_of_100_continue_reaches_the_client_that_waits() {
    let upstream = Scripted::start(|mut raw| async move {
        if raw.head().await.is_some() {
            let _ = raw.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await;
            let _ = raw.read_to_end().await;
        }
    })
    .await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    raw.send(head).await.expect("sent");
    assert_eq!(raw.response().await.status(), 417);
    raw.finish().await;
    assert!(raw.is_closed().await, "whether the body comes is not known, so nothing may follow");
}

#[tokio::test]
async fn early_hints_arrive_before_the_answer() {
    let upstream = Scripted::start(|mut raw| async move {
        while raw.request().await.is_some() {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
            let _ = raw.send(format!("{hints}{OK}")).await;
        }
    })
    .await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let hints = raw.head().await.expect("hints");
    assert_eq!((hints.status(), hints.get("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(raw.response().await.text(), "ok");
    raw.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(raw.response().await.status(), 200, "HTTP/1.0 knows no 1xx (RFC 9110, 15.2)");
}

#[tokio::test]
async fn a_client_that_leaves_is_missed_at_the_upstream_and_counted_out() {
    let origin = Origin::start("a", 0).await;
    // No timeout may do what is to be done by noticing.
    let patient = json!({"timeouts": {"bodyIdle": "10m"}});
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(patient);
    })
    .await;
    let open = async |what: &str, n: u64| {
        until(what, WATCHDOG, async || origin.seen().open_connections == n).await;
    };
    // While it waits for the first byte.
    let mut raw = site.raw().await;
    raw.send("GET /slow-body?ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(raw.head().await.expect("a head at once").status(), 200);
    open("a request at the origin", 1).await;
    drop(raw);
    open("the origin to be left alone", 0).await;
    // In the middle of a download.
    let mut raw = site.raw().await;
    raw.send("GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert!(!raw.read_some().await.is_empty());
    raw.reset();
    open("the origin to be left alone", 0).await;
    // In the middle of an upload.
    let mut raw = site.raw().await;
    raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfew").await.expect("sent");
    open("a request at the origin", 1).await;
    drop(raw);
    open("the origin to be left alone", 0).await;
    until("nothing in flight", WATCHDOG, async || {
        let metrics = site.proxy.metrics().await;
        let gauges = ["causeway_requests_in_flight", "causeway_upstream_requests_in_flight"];
        gauges.iter().all(|name| metrics.sum(name, &[]) == 0.0)
            && metrics.sum("causeway_upstream_connections", &[]) == 0.0
    })
    .await;
}

/// An upstream that says this and hangs up.
async fn cut_after(answer: &'static str) -> Scripted {
    Scripted::start(move |mut raw| async move {
        if raw.request().await.is_some() {
            let _ = raw.send(answer).await;
            raw.finish().await;
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_was_cut_is_never_taken_for_whole() {
    for (what, answer) in [
        ("by length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        ("between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
        ("within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nshort"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n"),
    ] {
        let upstream = cut_after(answer).await;
        let site = Site::over(&[upstream.addr()]).await;
        let mut raw = site.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let head = raw.head().await;
        if let Some(head) = head {
            let status = head.status();
            let message = raw.body(head, false).await;
            // An error, where nothing of the answer had been passed on yet.
            let told = (status, message.end);
            assert!(told == (200, End::Cut) || told == (502, End::Whole), "HTTP/1.1, {what}: {told:?}");
        }
        let mut client = Client::http2(site.at).await.expect("a connection");
        let answer = client.get("/", &[]).await;
        assert!(answer.is_err(), "HTTP/2, {what}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole_and_gets_a_framing_of_its_own() {
    let upstream = cut_after("HTTP/1.1 200 OK\r\n\r\nall of it").await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    for _ in 0..2 {
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let answer = raw.response().await;
        assert_eq!((answer.text().as_str(), answer.end), ("all of it", End::Whole));
    }
    let mut old = site.raw().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await.expect("sent");
    let answer = old.response().await;
    assert_eq!((answer.text().as_str(), answer.end), ("all of it", End::AtClose), "HTTP/1.0 has no chunks");
}

#[tokio::test]
async fn an_upload_that_stops_is_ended_with_408_and_not_blamed_on_the_upstream() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(json!({"timeouts": {"bodyIdle": "500ms"}}));
    })
    .await;
    // gRPC is spoken over HTTP/2: its name over HTTP/1.1 is not a way around the limit.
    for kind in ["text/plain", "application/grpc"] {
        let mut raw = site.raw().await;
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nContent-Type: ";
        raw.send(format!("{head}{kind}\r\n\r\nhalf")).await.expect("sent");
        assert_eq!(raw.response().await.status(), 408);
    }
    let endpoint = site.proxy.endpoint("a", origin.addr()).await;
    assert_eq!(endpoint["health"], "healthy");
    assert_eq!(site.proxy.metrics().await.sum("causeway_upstream_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn what_a_client_uploads_is_what_it_gets_back_whatever_the_protocol_and_the_size() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    for http2 in [false, true] {
        for size in [0, 1, 4_096, 16_384, 65_535, 65_536, 300_000, 5 * MIB] {
            let sent: Bytes = (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
            let mut client = connect(&site, http2).await;
            let known =
                client.call(Method::POST, "/echo-body", &[], full(sent.clone())).await.expect("an answer");
            assert!(known.body == sent, "{size} bytes, HTTP/2: {http2}");
            let pieces = sent.chunks(10_000).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
            let streamed = Pieces(pieces.collect()).boxed_unsync();
            let unknown = client.call(Method::PUT, "/echo-body", &[], streamed).await.expect("an answer");
            assert!(unknown.body == sent, "{size} bytes in pieces, HTTP/2: {http2}");
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http_2() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await;
    let mut client = connect(&site, true).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("1"));
    let pieces = [Frame::data(Bytes::from_static(b"abc")), Frame::trailers(trailers.clone())];
    let body = Pieces(pieces.into()).boxed_unsync();
    let answer =
        client.call(Method::POST, "/echo-body", &[("te", "trailers")], body).await.expect("an answer");
    assert_eq!((&answer.body[..], answer.trailers), (&b"abc"[..], Some(trailers)));
}

async fn connect(site: &Site, http2: bool) -> Client {
    let client = if http2 { Client::http2(site.at).await } else { Client::http1(site.at).await };
    client.expect("a connection")
}

/// Frames that are there already, one at a time, of a length that nobody knows beforehand.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

#[tokio::test]
async fn a_request_cut_by_its_client_never_looks_whole_to_the_upstream() {
    for (what, bytes) in [
        ("by length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort"),
        ("by chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
    ] {
        let ended = Arc::new(std::sync::Mutex::new(None));
        let tell = ended.clone();
        let upstream = Scripted::start(move |mut raw: Raw| {
            let tell = tell.clone();
            async move {
                if let Some(request) = raw.request().await {
                    *tell.lock().expect("no panic holds it") = Some(request.end);
                }
            }
        })
        .await;
        let site = Site::over(&[upstream.addr()]).await;
        let mut raw = site.raw().await;
        raw.send(bytes).await.expect("sent");
        until("a connection to the upstream", WATCHDOG, async || upstream.connections() == 1).await;
        drop(raw);
        until("the request's end", WATCHDOG, async || ended.lock().expect("no panic holds it").is_some())
            .await;
        assert_eq!(*ended.lock().expect("no panic holds it"), Some(End::Cut), "{what}");
    }
}
