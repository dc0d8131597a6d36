//! The PROXY protocol, both ways: whose a connection is travels below HTTP and TLS, and nothing else says it.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use causeway_testkit::certs::Authority;
use causeway_testkit::client::Client;
use causeway_testkit::config::Config;
use causeway_testkit::origin::Origin;
use causeway_testkit::ports::PortLease;
use causeway_testkit::process::Child;
use causeway_testkit::proxy::{Folder, Proxy, add_https, gateway};
use causeway_testkit::raw::Raw;
use causeway_testkit::script::Scripted;
use causeway_testkit::skip::skipped;
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::{OK, Site, recording};
use serde_json::{Value, json};

/// A header of version 2 for a client at this IPv4 address.
fn v2(client: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([192, 0, 2, 1]);
    header.extend(port.to_be_bytes());
    header.extend(443u16.to_be_bytes());
    header
}

const V1: &str = "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";
const V1_IPV6: &str = "PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn expects(config: &mut Config) {
    config.client_policy(json!({"proxyProtocol": true, "timeouts": {"requestHeader": "1s"}}));
}

#[tokio::test]
async fn a_header_says_whose_a_connection_is() {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).set_proxy("accessLog.sample", json!(1));
        expects(config);
    })
    .await;
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, client) in [
        (V1.as_bytes().to_vec(), "203.0.113.7"),
        (V1_IPV6.as_bytes().to_vec(), "2001:db8::7"),
        (v2([203, 0, 113, 8], 40_000), "203.0.113.8"),
        (unspecified, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut raw = site.raw().await;
        // In one piece with the first request; the second one comes without.
        raw.send([&header[..], GET.as_bytes()].concat()).await.expect("sent");
        assert_eq!(raw.response().await.status(), 200, "{client}");
        raw.send(GET).await.expect("sent");
        assert_eq!(raw.response().await.status(), 200, "{client}");
        let heads: Vec<_> = received.all().into_iter().rev().take(2).map(|request| request.head).collect();
        assert!(heads.iter().all(|head| head.get("x-forwarded-for") == Some(client)), "{client}: {heads:?}");
    }
    let logged =
        || site.proxy.folder.access_log().iter().filter(|line| line["client"] == "203.0.113.8").count();
    until("the log", WATCHDOG, async || logged() == 2).await;
    // Byte by byte, and what follows is not lost.
    let mut raw = site.raw().await;
    for byte in V1.bytes() {
        raw.send([byte]).await.expect("sent");
    }
    raw.send(GET).await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);
}

#[tokio::test]
async fn a_connection_without_a_header_is_closed_and_counted_by_its_reason() {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]);
        expects(config);
    })
    .await;
    let failed = async |reason: &str| {
        let metrics = site.proxy.metrics().await;
        metrics.sum("causeway_downstream_connections_failed_total", &[("reason", reason)])
    };
    for wrong in [GET, "PROXY TCP4 1.2.3.4\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PROXY"] {
        let mut raw = site.raw().await;
        raw.send(wrong).await.expect("sent");
        if wrong == "PROXY" {
            raw.finish().await;
        }
        assert!(raw.is_closed().await, "{wrong:?}");
    }
    until("four counted", WATCHDOG, async || failed("proxy_header").await == 4.0).await;
    let mut silent = site.raw().await;
    let mut half = site.raw().await;
    half.send("PROXY TCP4 ").await.expect("sent");
    assert!(silent.is_closed().await && half.is_closed().await);
    until("two counted", WATCHDOG, async || failed("proxy_header_timeout").await == 2.0).await;
    // How balancers look whether a port is open: nobody's failure.
    drop(site.raw().await);
    let mut raw = site.raw().await;
    raw.send([V1, GET].concat()).await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    assert_eq!((failed("proxy_header").await, failed("proxy_header_timeout").await), (4.0, 2.0));
    assert_eq!(received.all().len(), 1);
}

#[tokio::test]
async fn the_header_comes_before_tls_and_every_protocol_follows_it() {
    let folder = Folder::new();
    let authority = Authority::new();
    let (cert, key) = authority.issue(&["edge.test"]).write(&folder.path(""), "edge");
    let origin = Origin::start("a", 0).await;
    let encrypted = PortLease::take();
    let (cleartext, mut config) = gateway();
    add_https(&mut config, encrypted.addr(), &cert, &key);
    config.cluster("a", 1, &[origin.addr()]);
    expects(&mut config);
    folder.write(&config.text());
    let proxy = Proxy::start_in(Arc::new(folder)).await;
    let header = v2([198, 51, 100, 9], 1);
    let (plain, tls) = (cleartext.addr(), encrypted.addr());
    let clients = [
        Client::http1_behind(plain, &header).await,
        Client::http2_behind(plain, &header).await,
        Client::tls_behind(tls, &header, authority.client(&["h2"]), "edge.test").await,
        Client::tls_behind(tls, &header, authority.client(&["http/1.1"]), "edge.test").await,
    ];
    for client in clients {
        let answer = client.expect("a connection").get("/echo", &[]).await.expect("an answer");
        assert_eq!(field(&answer.json(), "x-forwarded-for"), [json!("198.51.100.9")]);
    }
    assert!(
        Client::tls(tls, authority.client(&["h2"]), "edge.test").await.is_err(),
        "TLS alone is no header"
    );
    drop(proxy);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_a_drain() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]);
        config.client_policy(json!({"proxyProtocol": true, "timeouts": {"requestHeader": "10m"}}));
        config.set_proxy("drain.timeout", json!("10m"));
    })
    .await;
    let _silent = site.raw().await;
    let open = async || site.proxy.metrics().await.sum("causeway_downstream_connections", &[]) == 1.0;
    until("an open connection", WATCHDOG, open).await;
    site.proxy.terminate();
    assert!(site.proxy.process.end(WATCHDOG).await.success());
}

/// The values of a field in what `/echo` says.
fn field(seen: &Value, name: &str) -> Vec<Value> {
    let pairs = seen["headers"].as_array().into_iter().flatten();
    pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
}

/// An upstream that reads a header of version 1 and says it in each of its answers, with the connection's number.
async fn announced() -> Scripted {
    let number = Arc::new(std::sync::atomic::AtomicU64::new(0));
    Scripted::start(move |mut raw: Raw| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(raw.read_exactly(1).await);
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let body = format!("{number} {line}");
            while raw.request().await.is_some() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                if raw.send(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_upstream_connection_is_announced_for_one_client_and_used_for_that_one_alone() {
    let upstream = announced().await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).set("Cluster", "a", "proxyProtocol", json!("v1"));
        config.set_proxy("workers", json!(1));
    })
    .await;
    let ask = async |raw: &mut Raw| {
        raw.send(GET).await.expect("sent");
        let text = raw.response().await.text();
        let (number, line) = text.split_once(' ').expect("a number and a line");
        (number.to_owned(), line.to_owned())
    };
    let (mut one, mut two) = (site.raw().await, site.raw().await);
    let (first, line) = ask(&mut one).await;
    let (second, other) = ask(&mut two).await;
    let expected =
        |raw: &Raw| format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}", raw.local_port(), site.at.port());
    assert_eq!((line, other), (expected(&one), expected(&two)));
    assert_ne!(first, second);
    for _ in 0..3 {
        assert_eq!(ask(&mut one).await, (first.clone(), expected(&one)), "its own connection again");
        assert_eq!(ask(&mut two).await, (second.clone(), expected(&two)));
    }
    // It ends with its client: nobody else could use it.
    let open = async || site.proxy.metrics().await.sum("causeway_upstream_connections", &[]);
    assert_eq!(open().await, 2.0);
    drop(one);
    until("the end of its connection", WATCHDOG, async || open().await == 1.0).await;
    assert_eq!(ask(&mut two).await.0, second);
}

/// Two proxies, the outer one told of clients by `header`s, the inner one by the outer one.
struct Chain {
    outer: Site,
    _inner: Site,
    _origin: Origin,
}

async fn chain(protocol: &str) -> Chain {
    let origin = Origin::start("a", 0).await;
    let inner = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]);
        expects(config);
    })
    .await;
    let outer = Site::start(|config| {
        config.cluster("a", 1, &[inner.at]).checked();
        config.set("Cluster", "a", "proxyProtocol", json!("v2"));
        config.set("Cluster", "a", "protocol", json!(protocol));
        expects(config);
    })
    .await;
    Chain { outer, _inner: inner, _origin: origin }
}

#[tokio::test]
async fn through_two_proxies_each_client_is_who_it_is_and_never_another() {
    for protocol in ["http1", "http2"] {
        let chain = chain(protocol).await;
        let at = chain.outer.at;
        let users = (1..=20u8).map(|user| {
            tokio::spawn(async move {
                let address = format!("198.51.100.{user}");
                let client = Client::http2_behind(at, &v2([198, 51, 100, user], u16::from(user))).await;
                let mut client = client.expect("a connection");
                for round in 0..5 {
                    // Several at once, so that they could meet on a connection.
                    let streams = (0..3).map(|_| {
                        let mut client = client.share();
                        tokio::spawn(
                            async move { client.get("/echo", &[]).await.map(|answer| answer.json()) },
                        )
                    });
                    for stream in streams.collect::<Vec<_>>() {
                        let seen = stream.await.expect("no panic").expect("an answer");
                        assert_eq!(field(&seen, "x-forwarded-for"), [json!(address)], "round {round}");
                    }
                    client.get("/", &[]).await.expect("an answer");
                }
            })
        });
        for user in users.collect::<Vec<_>>() {
            user.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn an_active_check_is_announced_as_the_proxys_own() {
    let chain = chain("http1").await;
    let site = &chain.outer;
    // The inner proxy takes the check's connection, which it would not without a header.
    let address = chain._inner.at;
    until("a healthy endpoint", WATCHDOG, async || {
        site.proxy.endpoint("a", address).await["health"] == "healthy"
            && chain._inner.proxy.metrics().await.sum("causeway_requests_total", &[]) > 2.0
    })
    .await;
    let failed = chain._inner.proxy.metrics().await;
    assert_eq!(failed.sum("causeway_downstream_connections_failed_total", &[]), 0.0);
}

/// HAProxy with this configuration; `None` = it is not installed here.
async fn haproxy(folder: &Folder, config: &str, listens: SocketAddr) -> Option<Child> {
    if Command::new("haproxy").arg("-v").output().is_err() {
        skipped("PROXY protocol with HAProxy, which is not here: apt-get install haproxy");
        return None;
    }
    let path = folder.path("haproxy.cfg");
    let common = "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";
    std::fs::write(&path, format!("{common}{config}")).expect("written");
    let child = Child::start(Command::new("haproxy").arg("-db").arg("-f").arg(path));
    until("HAProxy", WATCHDOG, async || tokio::net::TcpStream::connect(listens).await.is_ok()).await;
    Some(child)
}

#[tokio::test]
async fn haproxy_in_front_is_understood_and_haproxy_behind_understands() {
    let (lease_front, lease_behind) = (PortLease::take(), PortLease::take());
    let (front, behind) = (lease_front.addr(), lease_behind.addr());
    let folder = Folder::new();
    let said = "http-request return status 200 content-type text/plain lf-string \"%[src] %[dst_port]\"";
    let site = Site::start(|config| {
        config.cluster("a", 1, &[behind]);
        expects(config);
    })
    .await;
    let mut config = site.config.clone();
    for (send, version) in [
        ("send-proxy", "v2"),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", "v1"),
        ("send-proxy-v2", "v2"),
    ] {
        let text = format!(
            "frontend front\n mode tcp\n bind {front}\n unique-id-format x%[uuid]\n default_backend causeway\n\
             backend causeway\n mode tcp\n server causeway {} {send}\n\
             frontend behind\n bind {behind} accept-proxy\n {said}\n",
            site.at
        );
        let Some(mut haproxy) = haproxy(&folder, &text, front).await else { return };
        config.set("Cluster", "a", "proxyProtocol", json!(version));
        if site.config.text() != config.text() {
            site.proxy.folder.write(&config.text());
            let clusters = async || site.proxy.admin(http::Method::GET, "/config?full").await.text();
            until("the change", WATCHDOG, async || clusters().await.contains(&format!("\"{version}\"")))
                .await;
        }
        let mut raw = Raw::connect(front).await;
        raw.send(GET).await.expect("sent");
        let answer = raw.response().await;
        // Who asked HAProxy in front is who HAProxy behind sees, and what it asked for.
        assert_eq!(answer.text(), format!("127.0.0.1 {}", front.port()), "{send}, {version}");
        haproxy.kill();
    }
}
