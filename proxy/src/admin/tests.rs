//! The endpoint as an operator meets it: over a socket, on a compiled config, with the real health thread's work.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use causeway_config::{Source, Strictness, load};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use super::*;
use crate::health::{self, HealthHandle};
use crate::shared::ConfigStatus;
use crate::snapshot::cell::SnapshotCell;
use crate::snapshot::compile::compile;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::exposition::check::check;
use crate::upstream::cell::Limit;
use crate::upstream::discover::Discovered;
use crate::upstream::registry::Registry;

const CONFIG: &str = "
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata: {name: east}
spec: {endpoints: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2'}, {address: '127.0.0.1:3'}]}
---
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata: {name: west}
spec: {endpoints: [{address: '[::1]:4'}]}
---
apiVersion: mesh.macleodlabs.io/v1
kind: MultiClusterService
metadata: {name: api}
spec:
  clusters: [{name: east, weight: 90}, {name: west, weight: 10, priority: 2}]
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user-id}}}
";

/// A running endpoint.
struct Running {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    drains: UnboundedReceiver<()>,
    stop: Option<watch::Sender<()>>,
}

#[test]
fn told_to_stop_it_closes_its_socket_and_idle_connections() {
    run(async {
        let mut admin = start().await;
        let mut idle = TcpStream::connect(admin.address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", admin.address);
        idle.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(idle.read_u8().await.unwrap(), b'H');
        drop(admin.stop.take());
        let mut rest = String::new();
        timeout(CONNECTION, idle.read_to_string(&mut rest)).await.unwrap().unwrap();
        assert!(rest.trim_end().ends_with("ok"), "{rest}");
        let closed = async { while TcpStream::connect(admin.address).await.is_ok() {} };
        timeout(CONNECTION, closed).await.unwrap();
    });
}

async fn start() -> Running {
    let loaded = load(&[Source::new("test.yaml", CONFIG)], Strictness::Proxy).unwrap();
    let registry = Arc::new(Registry::new(2));
    let snapshot = Arc::new(compile(loaded.config, &Discovered::default(), &registry, None).unwrap());
    let (health, inputs) = HealthHandle::new();
    let shared = Arc::new(Shared {
        started: Instant::now(),
        born: std::time::SystemTime::now(),
        generation: 1,
        workers: 2,
        registry,
        snapshots: SnapshotCell::new(snapshot.clone()),
        downstream: Limit::default(),
        crowd: Default::default(),
        counters: Shared::counters(2),
        mail: OnceLock::new(),
        health,
        access_log: AccessLog::start(),
        draining: AtomicBool::new(false),
        config_status: Mutex::new(ConfigStatus { applied: 1, ..ConfigStatus::default() }),
        discovery: Arc::default(),
    });
    tokio::task::spawn_local(health::run(shared.clone(), snapshot, Default::default(), inputs));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, drains) = unbounded_channel();
    let prometheus = PrometheusBuilder::new().build_recorder().handle();
    let (stop, stopped) = watch::channel(());
    tokio::task::spawn_local(serve(listener, shared.clone(), prometheus, drain, stopped));
    Running { address, shared, drains, stop: Some(stop) }
}

impl Running {
    /// Status, head in lower case, body.
    async fn ask(&self, method: &str, target: &str, fields: &str) -> (u16, String, String) {
        let host =
            if fields.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        let request = format!("{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String) {
        let (status, _, body) = self.ask("GET", target, "").await;
        (status, body)
    }

    async fn post(&self, target: &str) -> (u16, String) {
        let (status, _, body) = self.ask("POST", target, "").await;
        (status, body)
    }

    async fn json(&self, target: &str) -> Value {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The cluster's entry of `/clusters`.
    async fn cluster(&self, index: usize) -> Value {
        self.json("/clusters").await["services"][0]["clusters"][index].clone()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn the_whole_metrics_page_is_valid() {
    run(async {
        let admin = start().await;
        let (status, head, page) = admin.ask("GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let samples = check(&page);
        assert_eq!(samples[r#"causeway_endpoint_up{cluster="west",endpoint="[::1]:4"}"#], 1.0);
        assert_eq!(samples[r#"causeway_cluster_admission{service="api",cluster="east"}"#], 1.0);
        let closed = r#"causeway_cluster_breaker_state{service="api",cluster="east",state="closed"}"#;
        assert_eq!(samples[closed], 1.0, "the health thread was asked");
        let digest = admin.shared.snapshots.load().digest.clone();
        assert_eq!(samples[&format!(r#"causeway_config_info{{digest="{digest}"}}"#)], 1.0);
        assert!(samples.contains_key("process_start_time_seconds"));
    });
}

#[test]
fn an_endpoint_is_ejected_by_hand_and_taken_back() {
    run(async {
        let admin = start().await;
        let (status, body) = admin.post("/endpoints/east/127.0.0.1:2/eject?for=5m").await;
        assert_eq!(status, 200, "{body}");
        let endpoint = admin.cluster(0).await["endpoints"][1].clone();
        assert_eq!(
            (endpoint["address"].as_str(), endpoint["health"].as_str()),
            (Some("127.0.0.1:2"), Some("ejected"))
        );
        assert_eq!(endpoint["why"], "by-hand");
        let left = endpoint["ejected_until_ms"].as_u64().unwrap();
        assert!((200_000..=300_000).contains(&left), "{left}");
        let down = r#"causeway_endpoint_up{cluster="east",endpoint="127.0.0.1:2"}"#;
        assert_eq!(check(&admin.get("/metrics").await.1)[down], 0.0);

        assert_eq!(admin.post("/endpoints/east/127.0.0.1:2/uneject").await.0, 200);
        assert_eq!(admin.cluster(0).await["endpoints"][1]["health"], "healthy");
        assert_eq!(admin.post("/endpoints/east/127.0.0.1:9/eject").await.0, 404);
        assert_eq!(admin.post("/endpoints/north/127.0.0.1:1/eject").await.0, 404);
    });
}

#[test]
fn a_cluster_is_drained_by_hand_and_its_users_are_explained_away() {
    run(async {
        let admin = start().await;
        let at_home = admin.json("/explain?service=api&key=alice").await;
        let (home, hash) = (at_home["home"].as_str().unwrap().to_owned(), at_home["hash"].clone());
        assert_eq!(
            (&at_home["cluster"], at_home["why"].as_str()),
            (&Value::from(home.clone()), Some("home"))
        );

        assert_eq!(admin.post(&format!("/clusters/{home}/drain")).await.0, 200);
        let index = if home == "east" { 0 } else { 1 };
        let cluster = admin.cluster(index).await;
        assert_eq!((cluster["admission"].as_f64(), cluster["why"].as_str()), (Some(0.0), Some("drained")));
        assert_eq!(cluster["endpoints"][0]["health"], "drained");
        let away = admin.json("/explain?key=alice").await;
        assert_eq!((away["home"].as_str(), &away["hash"]), (Some(home.as_str()), &hash));
        assert_ne!(away["cluster"], at_home["cluster"]);
        let (_, text) = admin.get("/explain?key=alice&format=text").await;
        assert!(text.contains("(spilled)"), "{text}");
        let (_, text) = admin.get("/clusters?format=text").await;
        assert!(text.contains("drained"), "{text}");

        assert_eq!(admin.post(&format!("/clusters/{home}/undrain")).await.0, 200);
        assert_ne!(admin.cluster(index).await["why"], "drained");
        assert_eq!(admin.post("/clusters/north/drain").await.0, 404);
    });
}

#[test]
fn it_is_alive_while_it_drains_but_not_ready() {
    run(async {
        let mut admin = start().await;
        assert_eq!(admin.get("/readyz").await, (200, "ready\n".to_owned()));
        assert_eq!(admin.post("/drain").await.0, 202);
        assert_eq!(admin.drains.recv().await, Some(()));
        admin.shared.draining.store(true, Relaxed);
        assert_eq!(admin.get("/readyz").await, (503, "draining\n".to_owned()));
        assert_eq!(admin.get("/healthz").await.0, 200);
    });
}

#[test]
fn the_config_in_force_is_told_by_its_digest() {
    run(async {
        let admin = start().await;
        let short = admin.json("/config").await;
        let snapshot = admin.shared.snapshots.load();
        assert_eq!(short["digest"].as_str(), Some(&*snapshot.digest));
        assert!(short.get("model").is_none() && short["error"].is_null());
        let full = admin.json("/config?full").await;
        assert_eq!(full["model"]["services"]["api"]["clusters"][0]["weight"], 90);
    });
}

#[test]
fn what_is_wrong_is_refused_with_the_reason() {
    run(async {
        let admin = start().await;
        assert_eq!(admin.ask("GET", "/metrics", "Host: evil.example\r\n").await.0, 403);
        assert_eq!(admin.ask("POST", "/drain", "Origin: https://evil.example\r\n").await.0, 403);
        let (status, head, _) = admin.ask("GET", "/drain", "").await;
        assert!(status == 405 && head.contains("allow: post"), "{head}");
        let (status, body) = admin.get("/nothing").await;
        assert!(status == 404 && body.contains("/clusters"), "{body}");
        let (status, body) = admin.get("/explain?service=api").await;
        assert!(status == 400 && body.contains("header x-user-id"), "{body}");
        let (status, body) = admin.get("/explain?service=shop&key=a").await;
        assert!(status == 404 && body.contains("api"), "{body}");
        let (status, head, body) = admin.ask("HEAD", "/healthz", "").await;
        assert!(status == 200 && head.contains("content-length: 3") && body.is_empty(), "{head}");
    });
}
