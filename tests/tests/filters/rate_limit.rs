//! A limit is exact over all workers, and known to those it meets.

use causeway_testkit::client::{Answer, Client, empty, fetch, full};
use causeway_testkit::origin::Origin;
use causeway_tests::Site;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{extension, rule};

/// A limit on everything that comes back too slowly for a test to see.
async fn site(limit: Value) -> (Site, Origin) {
    let a = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[a.addr()]);
        config.add("LocalRateLimit", "l", limit);
        config.route("all", json!([rule("/", json!([extension("LocalRateLimit", "l")]))]));
    })
    .await;
    (site, a)
}

/// So many requests at once, each on a connection of its own, so by all workers.
async fn crowd(site: &Site, size: usize, fields: &[(&'static str, &'static str)]) -> Vec<Answer> {
    let (at, fields) = (site.at, fields.to_vec());
    let mut crowd = JoinSet::new();
    for _ in 0..size {
        let fields = fields.clone();
        crowd.spawn(async move { fetch(at, Method::GET, "/", &fields).await.expect("an answer") });
    }
    crowd.join_all().await
}

fn passed(answers: &[Answer]) -> usize {
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)));
    answers.iter().filter(|answer| answer.status == 200).count()
}

#[tokio::test]
async fn exactly_the_burst_passes_all_workers_and_the_others_are_told_when_to_come_back() {
    let (site, a) = site(json!({"requests": 20, "per": "1h"})).await;
    let answers = crowd(&site, 60, &[]).await;
    assert_eq!((passed(&answers), a.seen().requests), (20, 20));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("a refusal");
    let retry_after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=180).contains(&retry_after), "{retry_after}");
    assert_eq!(refused.header("ratelimit-policy"), r#""l";q=20;w=3600"#);
    assert!(refused.header("ratelimit").starts_with(r#""l";r=0;t=3"#), "{}", refused.header("ratelimit"));
    assert!(refused.header("proxy-status").contains("http_request_denied"));
    let passed = answers.iter().find(|answer| answer.status == 200).expect("one that passed");
    assert_eq!(passed.headers.get("ratelimit"), None);
    let metrics = site.proxy.metrics().await;
    for (result, number) in [("passed", 20.0), ("refused", 40.0)] {
        let labels = [("limit", "l"), ("result", result)];
        assert_eq!(metrics.sum("causeway_rate_limit_requests_total", &labels), number);
    }
    assert_eq!(metrics.sum("causeway_own_answers_total", &[("flag", "RL")]), 40.0);
    assert_eq!(site.proxy.endpoint("a", a.addr()).await["health"], "healthy");
}

#[tokio::test]
async fn each_key_has_its_own_and_those_without_one_share() {
    let (site, _a) = site(json!({"requests": 5, "per": "1h", "key": {"httpHeaderName": "X-Api-Key"}})).await;
    for key in ["alice", "bob"] {
        assert_eq!(passed(&crowd(&site, 12, &[("x-api-key", key)]).await), 5, "{key}");
    }
    assert_eq!(passed(&crowd(&site, 12, &[]).await), 5);
    assert_eq!(passed(&crowd(&site, 12, &[("x-user-id", "u")]).await), 0, "no key is one key");
}

#[tokio::test]
async fn a_reload_forgets_nothing_and_a_raised_limit_holds_nobody_to_the_old_one() {
    let (mut site, _a) = site(json!({"requests": 5, "per": "1h", "key": {"useSourceIp": true}})).await;
    assert_eq!(passed(&crowd(&site, 8, &[]).await), 5);
    site.config.route("more", json!([rule("/more", json!([]))]));
    site.proxy.reload(&site.config).await;
    assert_eq!(passed(&crowd(&site, 8, &[]).await), 0);
    let raised = json!({"requests": 1_000_000, "per": "1s", "key": {"useSourceIp": true}, "advertise": true});
    site.config.add("LocalRateLimit", "l", raised);
    site.proxy.reload(&site.config).await;
    // Of a whole bucket's debt a thousandth is paid in a millisecond.
    let mut client = Client::http1(site.at).await.expect("a connection");
    let answers = [client.get("/", &[]).await, client.get("/", &[]).await];
    let passed = answers.into_iter().flatten().find(|answer| answer.status == 200).expect("one that passes");
    assert_eq!(passed.header("ratelimit-policy"), r#""l";q=1000000;w=1"#);
    assert!(passed.header("ratelimit").contains(";r="), "{}", passed.header("ratelimit"));
}

#[tokio::test]
async fn a_grpc_call_is_refused_in_its_own_terms() {
    let (site, a) = site(json!({"requests": 1, "per": "1h"})).await;
    let mut client = Client::http2(site.at).await.expect("a connection");
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    for (status, code) in [(200, ""), (200, "8")] {
        let answer = client.call(Method::POST, "/s.S/M", &fields, full("12345")).await.expect("an answer");
        assert_eq!((answer.status, answer.header("grpc-status")), (status, code));
        if code == "8" {
            assert_eq!(answer.header("content-type"), "application/grpc");
            let pushback: u64 = answer.header("grpc-retry-pushback-ms").parse().expect("milliseconds");
            assert!((1..=3_600_000).contains(&pushback), "{pushback}");
        }
    }
    assert_eq!(a.seen().requests, 1);
    assert_eq!(client.call(Method::GET, "/", &[], empty()).await.expect("an answer").status, 429);
}
