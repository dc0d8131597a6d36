//! Every protocol in, every protocol out, and none trusted that is not who it says it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use causeway_testkit::certs::Authority;
use causeway_testkit::client::{Client, empty, full};
use causeway_testkit::origin::{Origin, TlsFront};
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, Proxy, add_https, gateway};
use causeway_testkit::script::Scripted;
use causeway_testkit::wait::{WATCHDOG, until, within};
use causeway_tests::streams::http2;
use causeway_tests::{OK, Site, recording};
use http::{HeaderMap, Method, Request, Version};
use serde_json::{Value, json};

/// A proxy with a cleartext and a TLS listener over one origin, reached in cleartext or by TLS.
struct Crossing {
    proxy: Proxy,
    cleartext: PortLease,
    encrypted: PortLease,
    authority: Authority,
    config: causeway_testkit::config::Config,
    origin: Origin,
    front: TlsFront,
}

impl Crossing {
    async fn start() -> Crossing {
        let folder = Folder::new();
        let authority = Authority::new();
        authority.write(&folder.path("ca.pem"));
        let (cert, key) = authority.issue(&["edge.test"]).write(&folder.path(""), "edge");
        let origin = Origin::start("a", 0).await;
        let upstream = authority.issue(&["origin.test", "spiffe://test/origin"]);
        let front = TlsFront::start(upstream.server(&["h2", "http/1.1"]), origin.addr()).await;
        let encrypted = PortLease::take();
        let (cleartext, mut config) = gateway();
        add_https(&mut config, encrypted.addr(), &cert, &key);
        config.cluster("a", 1, &[origin.addr()]);
        folder.write(&config.text());
        let proxy = Proxy::start_in(Arc::new(folder)).await;
        Crossing { proxy, cleartext, encrypted, authority, config, origin, front }
    }

    /// Makes the proxy speak this to the origin.
    async fn upstream(&mut self, protocol: &str, tls: Option<Value>) {
        let addr = if tls.is_some() { self.front.addr() } else { self.origin.addr() };
        let mut spec = json!({"endpoints": [{"address": addr.to_string()}], "protocol": protocol});
        if let Some(tls) = tls {
            spec["tls"] = tls;
        }
        self.config.add("Cluster", "a", spec);
        self.proxy.reload(&self.config).await;
    }

    fn tls(&self) -> Value {
        json!({"caFile": self.proxy.folder.path("ca.pem"), "serverName": "origin.test"})
    }

    async fn client(&self, protocol: &str) -> Client {
        let connected = match protocol {
            "http/1.1" => Client::http1(self.cleartext.addr()).await,
            "h2c" => Client::http2(self.cleartext.addr()).await,
            alpn => {
                let alpn = alpn.strip_prefix("tls ").expect("a protocol");
                Client::tls(self.encrypted.addr(), self.authority.client(&[alpn]), "edge.test").await
            }
        };
        connected.unwrap_or_else(|error| panic!("{protocol}: {error}"))
    }
}

#[tokio::test]
async fn every_protocol_in_meets_every_protocol_out() {
    let mut crossing = Crossing::start().await;
    for (out, tls, expected) in [
        ("http1", false, "HTTP/1.1"),
        ("http2", false, "HTTP/2.0"),
        ("auto", false, "HTTP/1.1"),
        ("http1", true, "HTTP/1.1"),
        ("http2", true, "HTTP/2.0"),
        ("auto", true, "HTTP/2.0"),
    ] {
        let tls_config = tls.then(|| crossing.tls());
        crossing.upstream(out, tls_config).await;
        for (protocol, version, scheme) in [
            ("http/1.1", Version::HTTP_11, "http"),
            ("h2c", Version::HTTP_2, "http"),
            ("tls http/1.1", Version::HTTP_11, "https"),
            ("tls h2", Version::HTTP_2, "https"),
        ] {
            let what = format!("{protocol} to {out}, TLS: {tls}");
            let mut client = crossing.client(protocol).await;
            // Twice: on a new connection to the upstream and on one used before.
            for _ in 0..2 {
                let fields = [("x-user-id", "u"), ("cookie", "a=1")];
                let posted = client.call(Method::POST, "/echo?q=1", &fields, full("a body")).await;
                let answer = posted.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!((answer.status, answer.version), (200, version), "{what}: {}", answer.text());
                let seen = answer.json();
                assert_eq!((&seen["method"], &seen["body"]), (&json!("POST"), &json!("a body")), "{what}");
                assert_eq!(seen["version"], expected, "{what}");
                let uri = seen["uri"].as_str().unwrap_or_default();
                assert!(uri.ends_with("/echo?q=1"), "{what}: {uri}");
                let field = |name: &str| -> Vec<Value> {
                    let pairs = seen["headers"].as_array().into_iter().flatten();
                    pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
                };
                assert_eq!(field("x-forwarded-proto"), [json!(scheme)], "{what}");
                assert_eq!(field("x-forwarded-for"), [json!("127.0.0.1")], "{what}");
                assert_eq!(field("via").len(), 1, "{what}");
                let head = client.call(Method::HEAD, "/bytes?n=9", &[], empty()).await;
                let head = head.unwrap_or_else(|error| panic!("HEAD, {what}: {error}"));
                assert_eq!((head.status, head.header("content-length")), (200, "9"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_with_the_wrong_name_or_authority_gets_no_request() {
    let mut crossing = Crossing::start().await;
    let ca = crossing.proxy.folder.path("ca.pem");
    let stranger = Authority::new().write(&crossing.proxy.folder.path("stranger.pem"));
    for (what, tls, good) in [
        ("its name", json!({"caFile": ca, "serverName": "origin.test"}), true),
        ("another name", json!({"caFile": ca, "serverName": "other.test"}), false),
        ("another authority", json!({"caFile": stranger, "serverName": "origin.test"}), false),
        ("its SPIFFE ID", json!({"caFile": ca, "subjectAltNames": ["spiffe://test/origin"]}), true),
        ("another SPIFFE ID", json!({"caFile": ca, "subjectAltNames": ["spiffe://test/other"]}), false),
        (
            "one of two",
            json!({"caFile": ca, "subjectAltNames": ["spiffe://test/other", "origin.test"]}),
            true,
        ),
        ("the public authorities", json!({"serverName": "origin.test"}), false),
    ] {
        crossing.upstream("http1", Some(tls)).await;
        let before = crossing.origin.seen().requests;
        let answer =
            crossing.client("http/1.1").await.get("/", &[("x-user-id", "u")]).await.expect("an answer");
        if good {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        } else {
            assert_eq!(answer.status, 503, "{what}");
            assert!(answer.header("proxy-status").contains("tls_"), "{what}: {:?}", answer.headers);
        }
        assert_eq!(crossing.origin.seen().requests - before, u64::from(good), "{what}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_or_asks_for_nothing_we_speak_is_told_so_in_tls() {
    let crossing = Crossing::start().await;
    let at = crossing.encrypted.addr();
    let stranger = Authority::new().client(&["h2"]);
    assert!(Client::tls(at, stranger, "edge.test").await.is_err());
    assert!(Client::tls(at, crossing.authority.client(&["spdy/3"]), "edge.test").await.is_err());
    let mut without =
        Client::tls(at, crossing.authority.client(&[]), "edge.test").await.expect("no ALPN is fine");
    let answer = without.get("/", &[]).await.expect("an answer");
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_11));
}

#[tokio::test]
async fn many_streams_share_one_connection_and_a_slow_one_holds_up_no_other() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await;
    let client = Client::http2(site.at).await.expect("a connection");
    let mut slow = client.share();
    let path = "/slow-body?ms=100&chunks=600";
    let request = slow.request(Method::GET, path, &[], empty());
    let _slow = slow.send(request).await.expect("a head at once");
    let quick = (0..50).map(|n| {
        let mut client = client.share();
        tokio::spawn(async move { client.get("/", &[("x-user-id", &n.to_string())]).await.map(|a| a.status) })
    });
    for quick in quick.collect::<Vec<_>>() {
        assert_eq!(quick.await.expect("no panic").expect("an answer"), 200);
    }
    assert!(origin.seen().connections <= 2, "a connection a worker: {:?}", origin.seen());
}

/// An upstream that switches protocols and then says everything twice.
async fn doubling() -> Scripted {
    Scripted::start(|mut raw| async move {
        let Some(request) = raw.request().await else { return };
        if request.head.get("upgrade") != Some("websocket") {
            let _ = raw.send(OK).await;
            return;
        }
        let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: x\r\n\r\nhello";
        let _ = raw.send(switched).await;
        loop {
            let bytes = raw.read_some().await;
            if bytes.is_empty() {
                let _ = raw.send("bye").await;
                return raw.finish().await;
            }
            let _ = raw.send([&bytes[..], &bytes[..]].concat()).await;
        }
    })
    .await
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_until_both_ends_are_done() {
    let upstream = doubling().await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    // What a hasty client sends behind its request belongs to the new protocol.
    raw.send(format!("{UPGRADE}abc")).await.expect("sent");
    let head = raw.head().await.expect("an answer");
    assert_eq!((head.status(), head.get("upgrade")), (101, Some("websocket")));
    assert_eq!(head.get("sec-websocket-accept"), Some("x"));
    assert_eq!(raw.read_exactly(11).await, b"helloabcabc");
    let large = vec![b'x'; 300_000];
    raw.send(&large).await.expect("sent");
    assert_eq!(raw.read_exactly(600_000).await.len(), 600_000);
    raw.finish().await;
    assert_eq!(raw.read_to_end().await, b"bye", "an end in one direction is passed on, and only that one");
    until("nothing in flight", WATCHDOG, async || {
        site.proxy.metrics().await.sum("causeway_requests_in_flight", &[]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_does_not_switch_answers_as_usual() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    for _ in 0..2 {
        raw.send(UPGRADE).await.expect("sent");
        assert_eq!(raw.response().await.text(), "ok");
    }
    let head = &received.all()[0].head;
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert!(head.get("connection").is_some_and(|options| options.eq_ignore_ascii_case("upgrade")));
}

#[tokio::test]
async fn plain_connect_is_refused_and_extended_connect_announced() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut client = http2(site.at).await;
    let mut status = async |request: Request<()>| {
        let (answer, _) = client.send_request(request, true).expect("sent");
        within("an answer", WATCHDOG, answer).await.expect("an answer").status().as_u16()
    };
    let connect = Request::connect("a:443").body(()).expect("a request");
    assert_eq!(status(connect).await, 405, "this is no forward proxy");
    let get = Request::get("http://a/").body(()).expect("a request");
    assert_eq!(status(get).await, 200, "the connection is as good as before");
    assert!(client.is_extended_connect_protocol_enabled(), "RFC 8441, section 3");
}

#[tokio::test]
async fn grpc_style_answers_keep_their_trailers_over_http_2() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await;
    let mut client = Client::http2(site.at).await.expect("a connection");
    let answer = client.get("/trailers", &[("te", "trailers")]).await.expect("an answer");
    let mut expected = HeaderMap::new();
    expected.insert("x-checked", "yes".parse().expect("a value"));
    assert_eq!(answer.trailers, Some(expected));
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_on_and_a_broken_one_is_not() {
    let crossing = Crossing::start().await;
    let folder = crossing.proxy.folder.path("");
    let second = Authority::new();
    let connect = async |authority: &Authority| {
        Client::tls(crossing.encrypted.addr(), authority.client(&["h2"]), "edge.test").await
    };
    let mut kept = connect(&crossing.authority).await.expect("the first certificate");
    let hang_up = || crossing.proxy.process.signal(causeway_testkit::process::Signal::HUP);

    std::fs::write(crossing.proxy.folder.path("edge.pem"), "broken").expect("written");
    hang_up();
    until("the refusal of a broken certificate", WATCHDOG, async || {
        crossing.proxy.page("/config").await["refused"] == json!(1)
    })
    .await;
    connect(&crossing.authority).await.expect("the last good certificate");

    second.issue(&["edge.test"]).write(&folder, "edge");
    hang_up();
    until("the new certificate", WATCHDOG, async || connect(&second).await.is_ok()).await;
    let served = Arc::new(AtomicBool::new(false));
    served.store(kept.get("/", &[]).await.is_ok_and(|answer| answer.status == 200), Relaxed);
    assert!(served.load(Relaxed), "a connection from before lives on");
}
