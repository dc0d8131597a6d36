//! What HTTP/2 upstreams can do that HTTP/1.1 cannot, and how they can be gone without a word.

use std::sync::Arc;
use std::time::Duration;

use causeway_testkit::ports::PortLease;
use causeway_testkit::wait::{WATCHDOG, within};
use causeway_tests::streams::{Http2Upstream, http2};
use causeway_tests::{Site, recording};
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn checked() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checked", "yes".parse().expect("a value"));
    trailers
}

#[tokio::test]
async fn trailers_follow_a_body_of_announced_length_in_both_directions() {
    // With the last byte, and some time after it.
    for late in [false, true] {
        let upstream = Http2Upstream::start(false, move |request, mut respond| async move {
            let mut body = request.into_body();
            let mut asked = Vec::new();
            while let Some(Ok(bytes)) = body.data().await {
                let _ = body.flow_control().release_capacity(bytes.len());
                asked.extend_from_slice(&bytes);
            }
            let trailers = body.trailers().await.expect("a regular end");
            assert_eq!((asked.as_slice(), trailers), (&b"question"[..], Some(checked())));
            let head = Response::builder().header("content-length", "6").body(()).expect("a head");
            let mut stream = respond.send_response(head, false).expect("an open stream");
            stream.send_data("answer".into(), false).expect("an open stream");
            if late {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            stream.send_trailers(checked()).expect("an open stream");
        })
        .await;
        let site = Site::start(|config| {
            config.cluster("a", 1, &[upstream.addr()]).set("Cluster", "a", "protocol", json!("http2"));
        })
        .await;
        let mut client = http2(site.at).await;
        let request = Request::post("http://a/").header("content-length", "8").body(()).expect("a request");
        let (answer, mut send) = client.send_request(request, false).expect("sent");
        send.send_data("question".into(), false).expect("an open stream");
        if late {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        send.send_trailers(checked()).expect("an open stream");
        let mut body = within("an answer", WATCHDOG, answer).await.expect("an answer").into_body();
        let mut said = Vec::new();
        while let Some(bytes) = body.data().await {
            said.extend_from_slice(&bytes.expect("no reset"));
        }
        let trailers = body.trailers().await.expect("a regular end");
        assert_eq!((said.as_slice(), trailers), (&b"answer"[..], Some(checked())), "late: {late}");
    }
}

/// An upstream of HTTP/2 that asks for the body and hints at its answer before it gives it.
async fn hinting() -> Http2Upstream {
    Http2Upstream::start(false, |request, mut respond| async move {
        let expects = request.headers().get("expect").is_some_and(|value| value == "100-continue");
        for (status, link) in [(100, ""), (103, "</a.css>; rel=preload")] {
            if status != 100 || expects {
                let hint = Response::builder().status(status).header("link", link).body(()).expect("a head");
                respond.send_informational(hint).expect("an open stream");
            }
        }
        let mut body = request.into_body();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
        }
        respond.send_response(Response::new(()), true).expect("an open stream");
    })
    .await
}

#[tokio::test]
async fn interim_answers_pass_before_the_body_from_an_http_2_upstream() {
    let upstream = hinting().await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut raw = site.raw().await;
    raw.send(head).await.expect("sent");
    assert_eq!(raw.head().await.expect("an interim answer").status(), 100);
    let hint = raw.head().await.expect("an interim answer");
    assert_eq!((hint.status(), hint.get("link")), (103, Some("</a.css>; rel=preload")));
    raw.send("hi").await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);

    let mut client = http2(site.at).await;
    let request = Request::post("http://a/").header("expect", "100-continue").body(()).expect("a request");
    let (mut answer, mut send) = client.send_request(request, false).expect("sent");
    for status in [100, 103] {
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx));
        let interim = within("an interim answer", WATCHDOG, interim).await.expect("one").expect("a good one");
        assert_eq!(interim.status(), status);
    }
    send.send_data("hi".into(), true).expect("an open stream");
    assert_eq!(within("an answer", WATCHDOG, answer).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn an_http_1_0_client_gets_what_it_understands() {
    let upstream = hinting().await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.0\r\n\r\n").await.expect("sent");
    let head = raw.head().await.expect("an answer");
    assert_eq!(head.status(), 200, "no 103, which HTTP/1.0 does not know");
    assert!(raw.is_closed().await, "and it did not ask to be kept");

    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let (upstream, _) = recording(chunked).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.expect("sent");
    let head = raw.head().await.expect("an answer");
    assert_eq!((head.get("transfer-encoding"), head.get("connection")), (None, Some("close")));
    assert_eq!(raw.read_to_end().await, b"abc");
}

#[tokio::test]
async fn an_upstream_that_falls_silent_gets_no_further_streams_and_is_given_up() {
    let lease = PortLease::take();
    let listener = tokio::net::TcpListener::bind(lease.addr()).await.expect("a leased port");
    let gone = Arc::new(tokio::sync::Notify::new());
    let told = gone.clone();
    tokio::spawn(async move {
        // The first connection settles and then says nothing more, as one whose machine lost power.
        let (mut silent, _) = listener.accept().await.expect("a connection");
        silent.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("SETTINGS");
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while silent.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
            told.notify_one();
        });
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(tcp).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let _ = respond.send_response(Response::new(()), true);
                }
            });
        }
    });
    let site = Site::start(|config| {
        config.cluster("a", 1, &[lease.addr()]).set("Cluster", "a", "protocol", json!("http2"));
        config.set_proxy("workers", json!(1));
        config.set_service("resilience.circuitBreaker", json!({"consecutiveErrors": 100_000}));
        config.set_service("resilience.retries", json!({"attempts": 1, "perTryTimeout": "1500ms"}));
    })
    .await;
    assert_eq!(site.get("u", "/").await.status, 504);
    assert_eq!(site.get("u", "/").await.status, 200, "not on the connection that said nothing");
    // No answer to a PING within 20 s.
    let limit = Duration::from_secs(40);
    within("the end of the silent connection", limit, gone.notified()).await;
}
