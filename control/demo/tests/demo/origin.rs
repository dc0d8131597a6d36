//! An origin misbehaves exactly as it is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_control_demo::origin::{Behaviour, Fault, Health, Origin, OriginOptions};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Far longer than anything here takes: only a bug reaches it.
const WATCHDOG: Duration = Duration::from_secs(20);

async fn send(origin: &Origin, method: Method, path: &str) -> hyper::Result<Response<Incoming>> {
    let request = Request::builder().method(method).uri(path).header("host", "origin");
    send_request(origin, request.body(Full::new(Bytes::new())).expect("a sound request")).await
}

async fn send_request(origin: &Origin, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(origin.addr()).await.expect("the origin listens");
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    tokio::time::timeout(WATCHDOG, sender.send_request(request)).await.expect("an answer")
}

async fn get(origin: &Origin, path: &str) -> (StatusCode, String) {
    let response = send(origin, Method::GET, path).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn origin() -> Origin {
    Origin::start(OriginOptions::named("east")).await.expect("a free port")
}

async fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < WATCHDOG, "never: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_answer_says_who_gave_it() {
    let origin = origin().await;
    let request = Request::get("/anything").header("x-user-id", "alice").header("host", "origin");
    let request = request.body(Full::new(Bytes::new())).expect("a sound request");
    let response = send_request(&origin, request).await.expect("an answer");
    assert_eq!(response.headers()["x-cluster"], "east");
    assert_eq!(response.headers()["x-endpoint"], "east-0");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        body,
        serde_json::json!({"cluster": "east", "endpoint": "east-0", "version": "v1", "user": "alice"})
    );
}

#[tokio::test]
async fn slow_waits_and_spares_the_probe() {
    let origin = origin().await;
    origin.set_fault(Fault::Slow(Duration::from_millis(60)));
    let began = Instant::now();
    assert_eq!(get(&origin, "/").await.0, StatusCode::OK);
    assert!(began.elapsed() >= Duration::from_millis(60));
    origin.set_fault(Fault::Slow(Duration::from_secs(600)));
    assert_eq!(get(&origin, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_share_of_requests_errs_and_the_probe_never_does() {
    let origin = origin().await;
    origin.set_fault(Fault::Err { percent: 10 });
    let mut errors = 0;
    for _ in 0..1_000 {
        errors += u32::from(get(&origin, "/").await.0 == StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!((70..=130).contains(&errors), "{errors} of 1,000");
    origin.set_fault(Fault::Err { percent: 100 });
    assert_eq!(get(&origin, "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&origin, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_status_for_all_leaves_the_probe_good_unless_told_otherwise() {
    let origin = origin().await;
    origin.set_fault(Fault::Status(500));
    assert_eq!(get(&origin, "/").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(get(&origin, "/healthz").await.0, StatusCode::OK);
    origin.set_fault(Behaviour { fault: Fault::Ok, health: Health::Bad });
    assert_eq!(get(&origin, "/healthz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&origin, "/").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_hang_holds_requests_and_probes_until_it_is_lifted() {
    let origin = origin().await;
    origin.set_fault(Fault::Hang);
    let both = async { tokio::join!(get(&origin, "/"), get(&origin, "/healthz")) };
    let lift = async {
        wait_until("both wait", || origin.seen().in_flight == 2).await;
        origin.set_fault(Fault::Ok);
    };
    let (((page, _), (probe, _)), ()) = tokio::join!(both, lift);
    assert_eq!((page, probe), (StatusCode::OK, StatusCode::OK));
    wait_until("none in flight", || origin.seen().in_flight == 0).await;
}

#[tokio::test]
async fn a_hang_may_keep_a_good_probe() {
    let origin = origin().await;
    origin.set_fault(Behaviour { fault: Fault::Hang, health: Health::Good });
    assert_eq!(get(&origin, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn close_ends_the_connection_without_an_answer() {
    let origin = origin().await;
    origin.set_fault(Fault::Close);
    let error = send(&origin, Method::GET, "/").await.expect_err("no answer");
    assert!(error.is_incomplete_message(), "{error:?}");
}

#[tokio::test]
async fn the_switch_works_under_every_fault_and_refuses_nonsense() {
    let origin = origin().await;
    for query in ["kind=hang", "kind=close", "kind=status&code=500", "kind=slow&ms=600000", "kind=ok"] {
        let response = send(&origin, Method::POST, &format!("/__fault?{query}")).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(get(&origin, "/__fault").await.1, format!("{query}\n"));
    }
    let refused = send(&origin, Method::POST, "/__fault?kind=tired").await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&origin, "/__fault").await.1, "kind=ok\n");
}

#[tokio::test]
async fn the_test_pages_answer_what_they_say() {
    let origin = origin().await;
    assert_eq!(get(&origin, "/status/418").await, (StatusCode::IM_A_TEAPOT, "418\n".to_owned()));
    assert_eq!(get(&origin, "/status/204").await, (StatusCode::NO_CONTENT, String::new()));
    assert_eq!(get(&origin, "/status/99").await.0, StatusCode::BAD_REQUEST);

    let known = send(&origin, Method::GET, "/bytes?n=100000").await.expect("an answer");
    assert_eq!(known.headers()["content-length"], "100000");
    let body = known.into_body().collect().await.expect("a whole body").to_bytes();
    assert!(body.iter().enumerate().all(|(at, byte)| *byte == b'a' + (at % 26) as u8));
    assert_eq!(body.len(), 100_000);
    let chunked = send(&origin, Method::GET, "/bytes?n=100000&chunked=1").await.expect("an answer");
    assert_eq!(chunked.headers()["transfer-encoding"], "chunked");
    assert_eq!(chunked.into_body().collect().await.expect("a whole body").to_bytes().len(), 100_000);

    assert_eq!(get(&origin, "/slow-body?ms=5&chunks=3").await.1.len(), 3 * 26);
}

#[tokio::test]
async fn echo_tells_what_arrived() {
    let origin = origin().await;
    let request = Request::put("/echo?a=b").header("host", "origin").header("x-twice", "1");
    let request = request.header("x-twice", "2").body(Full::new(Bytes::from_static(b"hello")));
    let response = send_request(&origin, request.expect("a sound request")).await.expect("an answer");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&body["method"], &body["uri"]), (&"PUT".into(), &"/echo?a=b".into()));
    assert_eq!((&body["body"], &body["body_bytes"]), (&"hello".into(), &5.into()));
    let twice: Vec<_> =
        body["headers"].as_array().expect("pairs").iter().filter(|p| p[0] == "x-twice").collect();
    assert_eq!(twice, [&serde_json::json!(["x-twice", "1"]), &serde_json::json!(["x-twice", "2"])]);
}

#[tokio::test]
async fn http2_with_prior_knowledge_gets_the_same_pages_with_trailers() {
    let origin = origin().await;
    let stream = TcpStream::connect(origin.addr()).await.expect("the origin listens");
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(driver);
    let request = Request::get("http://origin/trailers").body(Full::<Bytes>::default()).expect("sound");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.headers()["x-cluster"], "east");
    let body = response.into_body().collect().await.expect("a whole body");
    assert_eq!(body.trailers().expect("trailers")["x-checked"], "yes");
}

#[tokio::test]
async fn counters_tell_requests_from_probes_and_orders_from_questions() {
    let origin = origin().await;
    get(&origin, "/").await;
    get(&origin, "/healthz").await;
    send(&origin, Method::POST, "/").await.expect("an answer");
    get(&origin, "/__fault").await;
    let seen = origin.seen();
    assert_eq!((seen.requests, seen.not_idempotent, seen.probes, seen.connections), (2, 1, 1, 4));
    let told: causeway_control_demo::origin::Seen =
        serde_json::from_str(&get(&origin, "/__seen").await.1).expect("JSON");
    assert_eq!((told.requests, told.probes), (2, 1));
}

#[tokio::test]
async fn a_stopped_origin_cuts_its_connections_and_frees_its_port() {
    let first = origin().await;
    first.set_fault(Fault::Hang);
    let addr = first.addr();
    let stream = TcpStream::connect(addr).await.expect("the origin listens");
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("h1");
    tokio::spawn(driver);
    let request = Request::get("/").body(Full::<Bytes>::default()).expect("a sound request");
    let waiting = tokio::spawn(sender.send_request(request));
    wait_until("the request waits", || first.seen().in_flight == 1).await;
    first.stop().await;
    assert!(waiting.await.expect("no panic").is_err());
    assert!(TcpStream::connect(addr).await.is_err());
    let again = Origin::start(OriginOptions::named("east").at(addr)).await.expect("the port is free");
    assert_eq!(get(&again, "/healthz").await.0, StatusCode::OK);
}
