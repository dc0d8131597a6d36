//! A WebSocket, and any other Upgrade, works between clients and upstreams of any HTTP version.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use causeway_testkit::certs::Authority;
use causeway_testkit::config::Config;
use causeway_testkit::origin::TlsFront;
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::Folder;
use causeway_testkit::python::Python;
use causeway_testkit::script::Scripted;
use causeway_testkit::wait::{WATCHDOG, eventually, within};
use causeway_tests::streams::{Http2Upstream, http2, joined};
use causeway_tests::{OK, Site, recording};
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// Says everything back until the other end closes.
async fn echo(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) {
    while let Some(Ok(message)) = socket.next().await {
        let answers = message.is_text() || message.is_binary();
        if answers && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A WebSocket server of HTTP/1.1, which checks the handshake that it gets.
async fn echoing1() -> PortLease {
    let lease = PortLease::take();
    let listener = TcpListener::bind(lease.addr()).await.expect("a leased port can be bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(socket) = tokio_tungstenite::accept_async(tcp).await {
                    echo(socket).await;
                }
            });
        }
    });
    lease
}

/// One of HTTP/2.
async fn echoing2() -> Http2Upstream {
    Http2Upstream::start(true, |request, mut respond| async move {
        let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        let asked = (request.method(), protocol.as_deref(), request.uri().path());
        assert_eq!(asked, (&Method::CONNECT, Some("websocket"), "/chat"));
        assert_eq!(request.headers().get("sec-websocket-key"), None, "RFC 8441, section 5");
        assert_eq!(request.headers().get("sec-websocket-version").map(|v| v.as_bytes()), Some(&b"13"[..]));
        let send = respond.send_response(Response::new(()), false).expect("an open stream");
        let stream = joined(send, request.into_body());
        echo(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
    })
    .await
}

async fn over(upstream: SocketAddr, protocol: &str, edit: impl FnOnce(&mut Config)) -> Site {
    Site::start(|config| {
        config.cluster("a", 1, &[upstream]).set("Cluster", "a", "protocol", json!(protocol));
        edit(config);
    })
    .await
}

fn extended_connect(protocol: &'static str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "http://a.test/chat".parse().expect("a URI");
    *request.version_mut() = http::Version::HTTP_2;
    request.extensions_mut().insert(Protocol::from_static(protocol));
    for (name, value) in [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat.v2")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    request
}

async fn client1(at: SocketAddr) -> WebSocketStream<TcpStream> {
    let tcp = TcpStream::connect(at).await.expect("a connection");
    let connected = tokio_tungstenite::client_async(format!("ws://{at}/chat"), tcp);
    within("a handshake", WATCHDOG, connected).await.expect("a handshake that holds").0
}

/// An HTTP/2 connection on which the proxy has said that it takes tunnels.
async fn tunnelling(at: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let client = http2(at).await;
    eventually("SETTINGS_ENABLE_CONNECT_PROTOCOL", WATCHDOG, async || {
        client.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    client
}

async fn client2(at: SocketAddr) -> WebSocketStream<tokio::io::DuplexStream> {
    let mut client = tunnelling(at).await;
    let (answer, send) = client.send_request(extended_connect("websocket"), false).expect("sent");
    let answer = within("an answer", WATCHDOG, answer).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    for hop in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
        assert_eq!(answer.headers().get(hop), None, "RFC 8441, section 5: {hop}");
    }
    WebSocketStream::from_raw_socket(joined(send, answer.into_body()), Role::Client, None).await
}

/// Texts, long bytes, a ping and an orderly close, each in frames that both ends check.
async fn converses(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>, what: &str) {
    let talk = async {
        for message in [
            Message::text("h\u{e9}llo"),
            Message::binary(vec![7u8; 300_000]),
            Message::text(""),
            Message::text("x".repeat(126)),
        ] {
            socket.send(message.clone()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let said = socket.next().await.unwrap_or_else(|| panic!("{what}: it ended"));
            assert_eq!(said.unwrap_or_else(|error| panic!("{what}: {error}")), message, "{what}");
        }
        socket.send(Message::Ping(b"there?".to_vec().into())).await.expect("an open connection");
        let pong = socket.next().await.expect("a frame").expect("a good one");
        assert_eq!(pong, Message::Pong(b"there?".to_vec().into()), "{what}");
        let frame = CloseFrame { code: CloseCode::Library(4000), reason: "enough".into() };
        socket.send(Message::Close(Some(frame.clone()))).await.expect("an open connection");
        let close = socket.next().await.expect("a frame").expect("a good one");
        assert_eq!(close, Message::Close(Some(frame)), "{what}");
        assert!(socket.next().await.is_none(), "{what}: both have closed");
    };
    within(what, WATCHDOG, talk).await;
}

#[tokio::test]
async fn every_kind_of_client_talks_to_every_kind_of_upstream() {
    let (upstream1, upstream2) = (echoing1().await, echoing2().await);
    for (addr, protocol) in [(upstream1.addr(), "http1"), (upstream2.addr(), "http2")] {
        let site = over(addr, protocol, |_| {}).await;
        // Twice: on a new connection to the upstream, whose settings are still to come, and on one used before.
        for n in 0..2 {
            converses(client1(site.at).await, &format!("HTTP/1.1 to {protocol}, {n}")).await;
            converses(client2(site.at).await, &format!("HTTP/2 to {protocol}, {n}")).await;
        }
    }
}

#[tokio::test]
async fn the_real_websockets_library_is_served_on_both_sides() {
    let Some(python) = Python::find() else { return };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let lease = PortLease::take();
    let port = lease.addr().port().to_string();
    let _server = python.serve(&scripts.join("websocket_server.py"), &[&port]).await;
    let site = over(lease.addr(), "http1", |_| {}).await;
    converses(client2(site.at).await, "HTTP/2 to the real server").await;
    let second = echoing2().await;
    for (site, subprotocol) in
        [(site, json!("chat.v2")), (over(second.addr(), "http2", |_| {}).await, json!(null))]
    {
        let url = format!("ws://{}/chat", site.at);
        let wish = json!({"text": "h\u{e9}llo", "bytes": 1_000_000});
        let told = python.ask(&scripts.join("websocket_client.py"), &[&url], &wish).await;
        let expected =
            json!({"subprotocol": subprotocol, "text": "h\u{e9}llo", "bytes": 1_000_000, "close": 4000});
        assert_eq!(told, expected);
    }
}

async fn status2(at: SocketAddr, protocol: &'static str) -> (StatusCode, String) {
    let mut client = tunnelling(at).await;
    let (answer, _send) = client.send_request(extended_connect(protocol), false).expect("sent");
    let answer = within("an answer", WATCHDOG, answer).await.expect("an answer");
    let why = answer.headers().get("proxy-status").and_then(|value| value.to_str().ok()).unwrap_or_default();
    (answer.status(), why.to_owned())
}

#[tokio::test]
async fn an_http_2_client_never_takes_an_answer_for_a_tunnel_that_is_none() {
    // One that ignores the wish, and one that did not read the key.
    let (ignoring, received) = recording(OK).await;
    let site = over(ignoring.addr(), "http1", |_| {}).await;
    let (status, why) = status2(site.at, "websocket").await;
    assert_eq!(status, 502);
    assert!(why.contains("http_upgrade_failed"), "{why}");
    let head = received.only().head;
    assert_eq!((head.start.as_str(), head.get("upgrade")), ("GET /chat HTTP/1.1", Some("websocket")));
    assert_eq!(head.get("sec-websocket-key").map(str::len), Some(24));

    let replaying = Scripted::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )
    .await;
    let site = over(replaying.addr(), "http1", |_| {}).await;
    let (status, why) = status2(site.at, "websocket").await;
    assert_eq!(status, 502);
    assert!(why.contains("Sec-WebSocket-Accept"), "{why}");

    let refusing = Scripted::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let site = over(refusing.addr(), "http1", |_| {}).await;
    assert_eq!(status2(site.at, "websocket").await.0, 403, "a refusal is the upstream's to make");
}

#[tokio::test]
async fn an_upstream_that_takes_no_tunnels_is_not_asked_for_one() {
    let plain = Http2Upstream::start(false, |request, mut respond| async move {
        assert_eq!((request.method(), request.extensions().get::<Protocol>()), (&Method::GET, None));
        respond.send_response(Response::new(()), true).expect("an open stream");
    })
    .await;
    let site = over(plain.addr(), "http2", |_| {}).await;
    let (status, why) = status2(site.at, "websocket").await;
    assert_eq!(status, 501);
    assert!(why.contains("http_upgrade_failed"), "{why}");
    // HTTP/1.1's client sees that its wish was not heeded (RFC 9110, section 7.8).
    let mut raw = site.raw().await;
    raw.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await
    .expect("sent");
    assert_eq!(raw.response().await.status(), 200);
}

#[tokio::test]
async fn an_upstream_of_both_versions_whose_http_2_takes_no_tunnels_is_asked_in_http_1() {
    let lease = PortLease::take();
    let listener = TcpListener::bind(lease.addr()).await.expect("a leased port can be bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = [0; 3];
                while tcp.peek(&mut first).await.is_ok_and(|n| n < first.len()) {}
                if &first == b"PRI" {
                    let mut http2 = h2::server::handshake(tcp).await.expect("HTTP/2");
                    while let Some(Ok((_, mut respond))) = http2.accept().await {
                        let _ = respond.send_response(Response::new(()), true);
                    }
                } else if let Ok(socket) = tokio_tungstenite::accept_async(tcp).await {
                    echo(socket).await;
                }
            });
        }
    });
    let authority = Authority::new();
    let issued = authority.issue(&["origin.test"]);
    let front = TlsFront::start(issued.server(&["h2", "http/1.1"]), lease.addr()).await;
    let folder = Folder::new();
    authority.write(&folder.path("ca.pem"));
    let tls = json!({"caFile": folder.path("ca.pem"), "serverName": "origin.test"});
    let site = Site::start_in(folder, |config| {
        config.cluster("a", 1, &[front.addr()]).set("Cluster", "a", "protocol", json!("auto"));
        config.set("Cluster", "a", "tls", tls);
    })
    .await;
    assert_eq!(site.get("u", "/").await.status, 200);
    converses(client1(site.at).await, "HTTP/1.1 to auto").await;
    converses(client2(site.at).await, "HTTP/2 to auto").await;
}

#[tokio::test]
async fn any_protocol_crosses_but_a_second_http_2_inside_of_the_first() {
    let echoing = Http2Upstream::start(true, |request, mut respond| async move {
        let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        assert_eq!(protocol.as_deref(), Some("chatter"));
        let mut send = respond.send_response(Response::new(()), false).expect("an open stream");
        let mut body = request.into_body();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            let _ = send.send_data(bytes, false);
        }
        let _ = send.send_data(Bytes::from_static(b"bye"), true);
    })
    .await;
    let site = over(echoing.addr(), "http2", |_| {}).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chatter\r\n\r\nearly")
        .await
        .expect("sent");
    let head = raw.head().await.expect("an answer");
    assert_eq!((head.status(), head.get("upgrade")), (101, Some("chatter")));
    assert_eq!(raw.read_exactly(5).await, b"early");
    raw.send("late").await.expect("sent");
    assert_eq!(raw.read_exactly(4).await, b"late");
    raw.finish().await;
    assert_eq!(raw.read_to_end().await, b"bye", "an end in one direction is passed on, and only that one");

    let mut client = tunnelling(site.at).await;
    let (answer, _send) = client.send_request(extended_connect("h2c"), false).expect("sent");
    let error = within("an end", WATCHDOG, answer).await.expect_err("no tunnel");
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
}

#[tokio::test]
async fn a_silent_tunnel_ends_after_its_idle_time_on_both_sides() {
    let (upstream1, upstream2) = (echoing1().await, echoing2().await);
    for (addr, protocol) in [(upstream1.addr(), "http1"), (upstream2.addr(), "http2")] {
        let site = over(addr, protocol, |config| {
            config.client_policy(json!({"timeouts": {"upgradeIdle": "600ms", "bodyIdle": "100ms"}}));
        })
        .await;
        let mut socket = client2(site.at).await;
        // A pause above `bodyIdle` is nobody's business here.
        tokio::time::sleep(Duration::from_millis(250)).await;
        socket.send(Message::text("still there")).await.expect("an open tunnel");
        assert_eq!(socket.next().await.expect("a frame").expect("a good one"), Message::text("still there"));
        let end = within("an end", WATCHDOG, socket.next()).await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        site.proxy.metrics().await.sum("causeway_upstream_requests_in_flight", &[]);
        eventually("nothing in flight", WATCHDOG, async || {
            let in_flight = site.proxy.metrics().await.sum("causeway_upstream_requests_in_flight", &[]);
            (in_flight == 0.0).then_some(())
        })
        .await;
    }
}
