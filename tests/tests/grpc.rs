//! gRPC works with the real thing on both ends: four kinds of calls, deadlines, codes, retries, and errors of the
//! proxy's own that a caller understands.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_testkit::config::{Config, GATEWAY, SERVICE, backend};
use causeway_testkit::origin::Origin;
use causeway_testkit::ports::PortLease;
use causeway_testkit::process::Child;
use causeway_testkit::python::Python;
use causeway_testkit::wait::{WATCHDOG, eventually, within};
use causeway_tests::Site;
use causeway_tests::streams::{Http2Upstream, http2};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use serde_json::{Value, json};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// A proxy in front of real gRPC servers, and the client.
struct Grpc {
    python: Python,
    site: Site,
    servers: Vec<(PortLease, Child)>,
}

impl Grpc {
    /// With so many servers in one cluster. `None`: there is no Python here.
    async fn start(servers: usize, edit: impl FnOnce(&mut Config)) -> Option<Grpc> {
        let python = Python::find()?;
        let mut running = Vec::new();
        for n in 0..servers {
            let lease = PortLease::take();
            let (name, port) = (format!("s{n}"), lease.addr().port().to_string());
            let child = python.serve(&script("grpc_server.py"), &[&name, &port]).await;
            running.push((lease, child));
        }
        let site = Site::start(|config| {
            let addrs: Vec<_> = running.iter().map(|(lease, _)| lease.addr()).collect();
            config.cluster("a", 1, &addrs).set("Cluster", "a", "protocol", json!("http2"));
            edit(config);
        })
        .await;
        Some(Grpc { python, site, servers: running })
    }

    async fn calls(&self, calls: Value) -> Vec<Value> {
        let at = self.site.at.to_string();
        let results = self.python.ask(&script("grpc_client.py"), &[&at], &calls).await;
        results.as_array().expect("a list").clone()
    }

    async fn call(&self, call: Value) -> Value {
        self.calls(json!([call])).await.remove(0)
    }
}

fn unary(wish: Value) -> Value {
    json!({"method": "Unary", "send": [wish]})
}

/// Outlier detection out of the way, so that only the call itself decides.
fn patient(config: &mut Config) {
    let many = json!({"consecutiveErrors": 100_000, "consecutiveLocalOriginFailures": 100_000});
    config.set_service("trafficPolicy.outlierDetection", many);
    config.set_service("resilience.circuitBreaker", json!({"consecutiveErrors": 100_000}));
}

fn retry_on(words: &'static str) -> impl FnOnce(&mut Config) {
    move |config| {
        patient(config);
        config.set_service("resilience.retries.retryOn", json!(words));
    }
}

#[tokio::test]
async fn the_four_kinds_of_calls_pass_whole() {
    let Some(grpc) = Grpc::start(1, |_| {}).await else { return };
    let results = grpc
        .calls(json!([
            {"method": "Unary", "send": [{"say": "h\u{e9}", "trailing": [["x-checked", "yes"]], "headers": [["x-first", "1"]]}],
             "metadata": [["x-mine", "v"]]},
            {"method": "Download", "send": [{"messages": 200, "size": 5_000}]},
            {"method": "Upload", "send": [{}, {}, {"say": "x".repeat(100_000)}]},
            {"method": "Chat", "send": [{"say": "one"}, {"say": "two"}, {"say": "three"}], "pause": 0.1},
            {"method": "Download", "send": [{"messages": 3, "fail": "DATA_LOSS", "details": "t\u{f6}rn, 50%"}]},
            {"method": "Nowhere", "send": [{}]},
        ]))
        .await;
    let codes: Vec<&str> = results.iter().filter_map(|result| result["code"].as_str()).collect();
    assert_eq!(codes, ["OK", "OK", "OK", "OK", "DATA_LOSS", "UNIMPLEMENTED"], "{results:#?}");
    let [unary, download, upload, chat, broken, nowhere] = results.as_slice() else { panic!("{results:?}") };
    let reply = &unary["replies"][0];
    assert_eq!((&reply["say"], &reply["seen"]["x-mine"]), (&json!("h\u{e9}"), &json!("v")));
    assert_eq!((&unary["initial"]["x-first"], &unary["trailing"]["x-checked"]), (&json!("1"), &json!("yes")));
    assert_eq!(download["replies"].as_array().map(Vec::len), Some(200));
    assert_eq!(upload["replies"][0]["messages"], 3);
    assert_eq!(chat["replies"], json!([{"say": "ONE"}, {"say": "TWO"}, {"say": "THREE"}]));
    assert_eq!(broken["replies"].as_array().map(Vec::len), Some(3), "what came before the error is there");
    assert_eq!(broken["details"], "t\u{f6}rn, 50%");
    // The date is what a proxy owes an answer without one (RFC 9110 section 6.6.1).
    let said = nowhere["trailing"].as_object().expect("metadata");
    assert!(said.keys().all(|name| name == "date"), "nothing else that the server did not say: {said:?}");
}

#[tokio::test]
async fn a_deadline_bounds_the_whole_call_and_reaches_the_server() {
    let Some(grpc) = Grpc::start(1, |config| {
        patient(config);
        config.set_service("resilience.overallTimeout", json!("5s"));
        config.set_service("resilience.retries.perTryTimeout", json!("4s"));
    })
    .await
    else {
        return;
    };
    let results = grpc
        .calls(json!([
            {"method": "Unary", "send": [{}], "timeout": 3},
            {"method": "Unary", "send": [{"sleep": 3}], "timeout": 0.7},
            // The server says something at once, and then nothing: only the deadline ends it.
            {"method": "Download", "send": [{"messages": 1, "sleep": 5}], "timeout": 0.7},
            {"method": "Unary", "send": [{}], "timeout": 3600},
        ]))
        .await;
    let left = |n: usize| results[n]["replies"][0]["left"].as_f64().unwrap_or(-1.0);
    assert!((1.0..3.0).contains(&left(0)), "{results:#?}");
    assert!(
        (3000.0..3700.0).contains(&left(3)),
        "overallTimeout is for the head, not for the call: {}",
        left(3)
    );
    for (n, replies) in [(1, 0), (2, 1)] {
        assert_eq!(results[n]["code"], "DEADLINE_EXCEEDED", "{results:#?}");
        assert_eq!(results[n]["replies"].as_array().map(Vec::len), Some(replies));
    }
}

/// A caller whose library trusts the proxy to keep its deadline: it sends the field and never gives up by itself.
#[tokio::test]
async fn a_deadline_is_kept_by_the_proxy_also_in_the_middle_of_a_stream() {
    for begins in [false, true] {
        let upstream = Http2Upstream::start(false, move |request, mut respond| async move {
            let timeout = request.headers().get("grpc-timeout").and_then(|value| value.to_str().ok());
            assert!(timeout.is_some_and(|timeout| timeout.ends_with('u')), "{timeout:?}");
            assert!(request.headers().get_all("grpc-timeout").iter().count() == 1);
            let mut stream = None;
            if begins {
                stream = Some(respond.send_response(grpc_head(), false).expect("an open stream"));
            }
            // Silent until the proxy gives the stream up.
            match &mut stream {
                Some(stream) => std::future::poll_fn(|cx| stream.poll_reset(cx)).await,
                None => std::future::poll_fn(|cx| respond.poll_reset(cx)).await,
            }
            .expect("a reset");
        })
        .await;
        let site = over(&upstream).await;
        let mut client = http2(site.at).await;
        let mut request = grpc_request();
        request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("700m"));
        let (answer, mut send) = client.send_request(request, false).expect("sent");
        if begins {
            // A bidirectional stream: its request does not end either.
            let _ = send.send_data(Bytes::from_static(&[0; 5]), false);
        } else {
            let _ = send.send_data(Bytes::new(), true);
        }
        let answer = within("an answer", WATCHDOG, answer).await.expect("an answer");
        let (head, mut body) = answer.into_parts();
        assert_eq!(head.status, 200, "gRPC's errors are answers");
        let trailers = match begins {
            true => {
                while body.data().await.is_some() {}
                body.trailers().await.expect("a regular end").expect("trailers")
            }
            false => head.headers,
        };
        assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"4"[..]), "{trailers:?}");
    }
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a head")
}

fn grpc_request() -> Request<()> {
    Request::post("http://a.test/test.Wishes/Unary")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

async fn over(upstream: &Http2Upstream) -> Site {
    Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).set("Cluster", "a", "protocol", json!("http2"));
    })
    .await
}

#[tokio::test]
async fn a_stream_may_be_silent_for_longer_than_a_body() {
    let Some(grpc) = Grpc::start(1, |config| {
        config.client_policy(json!({"timeouts": {"bodyIdle": "200ms"}}));
    })
    .await
    else {
        return;
    };
    let slow = json!({"method": "Chat", "send": [{"say": "a"}, {"say": "b", "sleep": 0.7}], "pause": 0.7});
    let result = grpc.call(slow).await;
    assert_eq!((&result["code"], result["replies"].as_array().map(Vec::len)), (&json!("OK"), Some(2)));
}

/// Whether an upload that calls itself gRPC and stops is ended, and put down to the client.
async fn a_stalled_call_ends(site: &Site) {
    let mut client = http2(site.at).await;
    let mut request = grpc_request();
    // The origin reads all of it before it answers.
    *request.uri_mut() = Uri::from_static("http://a.test/echo");
    let (answer, mut send) = client.send_request(request, false).expect("sent");
    let _ = send.send_data(Bytes::from_static(&[0; 5]), false);
    let answer = within("the end of an upload that stopped", WATCHDOG, answer).await.expect("an answer");
    assert!(answer.headers().contains_key("grpc-status"), "{answer:?}");
    let metrics = site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_own_answers_total", &[("flag", "CT")]), 1.0);
}

#[tokio::test]
async fn a_name_is_no_way_around_the_limits_of_bodies_where_no_upstream_has_grpc() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(json!({"timeouts": {"bodyIdle": "300ms"}}));
    })
    .await;
    a_stalled_call_ends(&site).await;
}

#[tokio::test]
async fn a_silent_stream_ends_as_a_tunnel_does() {
    let upstream = Http2Upstream::start(false, |_request, mut respond| async move {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    })
    .await;
    let site = Site::start(|config| {
        config
            .cluster("a", 1, &[upstream.addr()])
            .set("Cluster", "a", "protocol", json!("http2"))
            .client_policy(json!({"timeouts": {"upgradeIdle": "300ms"}}));
    })
    .await;
    a_stalled_call_ends(&site).await;
}

#[tokio::test]
async fn a_code_that_retry_on_names_is_tried_again_elsewhere_and_no_other() {
    let Some(grpc) = Grpc::start(2, retry_on("unavailable,resource-exhausted")).await else { return };
    let fails = |code: &str, until: u32| unary(json!({"fail": code, "until": until, "say": "x"}));
    let results = grpc
        .calls(json!([
            fails("UNAVAILABLE", 1),
            fails("RESOURCE_EXHAUSTED", 2),
            fails("UNAVAILABLE", 9),
            fails("INTERNAL", 1),
            {"method": "Upload", "send": [{}, {"fail": "UNAVAILABLE", "until": 1}]},
            // Part of the answer has gone to the caller.
            {"method": "Download", "send": [{"messages": 2, "fail": "UNAVAILABLE", "until": 1}]},
        ]))
        .await;
    let codes: Vec<&str> = results.iter().filter_map(|result| result["code"].as_str()).collect();
    assert_eq!(codes, ["OK", "OK", "UNAVAILABLE", "INTERNAL", "OK", "UNAVAILABLE"], "{results:#?}");
    let attempts: Vec<&Value> =
        [0, 1, 4].into_iter().map(|n: usize| &results[n]["replies"][0]["attempt"]).collect();
    assert_eq!(attempts, [2, 3, 2]);
    assert_eq!(results[4]["replies"][0]["messages"], 2, "the second try has the whole upload");
    assert_eq!(results[2]["details"], "as you wish", "the last answer is the server's own");
    let metrics = grpc.site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_retries_total", &[]), 6.0);
    for (code, count) in [("0", 3.0), ("14", 2.0), ("13", 1.0), ("2", 0.0)] {
        assert_eq!(metrics.sum("causeway_grpc_requests_total", &[("grpc_status", code)]), count, "{code}");
    }
    let logged = eventually("the failed calls in the log", WATCHDOG, async || {
        let lines = grpc.site.proxy.folder.access_log();
        let codes: Vec<u64> = lines.iter().filter_map(|line| line["grpc_status"].as_u64()).collect();
        (codes.len() >= 3).then_some(codes)
    });
    assert_eq!(logged.await, [14, 13, 14]);
}

#[tokio::test]
async fn a_server_says_when_to_come_back_and_whether() {
    let Some(grpc) = Grpc::start(2, retry_on("unavailable")).await else { return };
    let with = |pushback: &str| {
        let trailing = json!([["grpc-retry-pushback-ms", pushback]]);
        unary(json!({"fail": "UNAVAILABLE", "until": 1, "trailing": trailing}))
    };
    let results = grpc.calls(json!([with("400"), with("-1"), with("soon")])).await;
    assert_eq!(results[0]["code"], "OK", "{results:#?}");
    assert!(results[0]["seconds"].as_f64() >= Some(0.4), "{results:#?}");
    assert_eq!((&results[1]["code"], &results[2]["code"]), (&json!("UNAVAILABLE"), &json!("UNAVAILABLE")));
}

#[tokio::test]
async fn a_code_in_trailers_behind_a_head_is_read_where_nothing_was_passed_on_yet() {
    let script = |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let attempt = request.headers().get("x-causeway-attempt").map(|value| value.as_bytes().to_vec());
        let code = if attempt.as_deref() == Some(b"1") { "14" } else { "0" };
        let mut stream = respond.send_response(grpc_head(), false).expect("an open stream");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        stream.send_trailers(trailers).expect("an open stream");
    };
    let upstreams = [Http2Upstream::start(false, script).await, Http2Upstream::start(false, script).await];
    let site = Site::start(|config| {
        config.cluster("a", 1, &upstreams.each_ref().map(Http2Upstream::addr)).set(
            "Cluster",
            "a",
            "protocol",
            json!("http2"),
        );
        retry_on("unavailable")(config);
    })
    .await;
    let mut client = http2(site.at).await;
    let (answer, _) = client.send_request(grpc_request(), true).expect("sent");
    let answer = within("an answer", WATCHDOG, answer).await.expect("an answer");
    let mut body = answer.into_body();
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.expect("a regular end").expect("trailers");
    assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"0"[..]));
    assert_eq!(site.proxy.metrics().await.sum("causeway_retries_total", &[]), 1.0);
}

#[tokio::test]
async fn errors_of_the_proxys_own_are_codes_that_a_caller_understands() {
    let Some(mut grpc) = Grpc::start(1, |config| {
        patient(config);
        config.set_service("resilience.retries", json!({"attempts": 1, "perTryTimeout": "500ms"}));
        let rules = json!([{
            "matches": [{"method": {"service": "test.Wishes"}}],
            "backendRefs": [backend(SERVICE)],
        }]);
        config.route("all", json!([{"matches": [{"path": {"value": "/elsewhere"}}]}]));
        config.add("GRPCRoute", "wishes", json!({"parentRefs": [{"name": GATEWAY}], "rules": rules}));
        config.client_policy(json!({"limits": {"bodyBytes": "64Ki"}}));
    })
    .await
    else {
        return;
    };
    let results = grpc
        .calls(json!([
            {"service": "test.Other", "method": "Unary", "send": [{}]},
            unary(json!({"sleep": 2})),
            unary(json!({"say": "x".repeat(100_000)})),
        ]))
        .await;
    let told: Vec<_> = results.iter().map(|result| (&result["code"], &result["details"])).collect();
    let expected = [
        ("UNIMPLEMENTED", "no route matches"),
        ("DEADLINE_EXCEEDED", "the upstream did not answer in time"),
        ("RESOURCE_EXHAUSTED", "the request body is too large"),
    ]
    .map(|(code, details)| (json!(code), json!(details)));
    assert_eq!(told, expected.iter().map(|(code, details)| (code, details)).collect::<Vec<_>>());
    grpc.servers[0].1.kill();
    let gone = grpc.call(unary(json!({}))).await;
    assert_eq!(gone["code"], "UNAVAILABLE", "{gone}");
}

#[tokio::test]
async fn an_endpoint_whose_codes_say_that_it_is_broken_is_ejected_and_a_callers_mistakes_eject_none() {
    let Some(grpc) = Grpc::start(2, |config| {
        config.set_service("resilience.circuitBreaker", json!({"consecutiveErrors": 100_000}));
    })
    .await
    else {
        return;
    };
    let many = |wish: Value| Value::from(vec![unary(wish); 12]);
    let ejections = async || {
        let metrics = grpc.site.proxy.metrics().await;
        metrics.sum("causeway_endpoint_ejections_total", &[])
    };
    for code in ["UNIMPLEMENTED", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"]
    {
        let results = grpc.calls(many(json!({"fail": code}))).await;
        assert!(results.iter().all(|result| result["code"] == code), "{results:?}");
    }
    // Through the health thread and back: had it heard of any failure, it would have heard of those first.
    let results = grpc.calls(many(json!({"fail": "INTERNAL"}))).await;
    assert!(results.iter().all(|result| result["code"] == "INTERNAL"), "{results:?}");
    eventually("an ejection", WATCHDOG, async || (ejections().await == 1.0).then_some(())).await;
}

#[tokio::test]
async fn the_death_of_a_server_in_the_middle_of_a_stream_is_told_as_unavailable() {
    let Some(mut grpc) = Grpc::start(1, patient).await else { return };
    let at = grpc.site.at.to_string();
    let calls = json!([{"method": "Download", "send": [{"messages": 2, "sleep": 60}], "timeout": 50}]);
    let (python, client) = (grpc.python.clone(), script("grpc_client.py"));
    let args = [at.as_str()];
    let called = python.ask(&client, &args, &calls);
    let (result, ()) = tokio::join!(called, async {
        eventually("a call under way", WATCHDOG, async || {
            let metrics = grpc.site.proxy.metrics().await;
            (metrics.sum("causeway_upstream_requests_total", &[("code_class", "2xx")]) == 1.0).then_some(())
        })
        .await;
        grpc.servers[0].1.kill();
    });
    assert_eq!(result[0]["code"], "UNAVAILABLE", "{result}");
    assert!(result[0]["seconds"].as_f64() < Some(40.0), "{result}");
}
