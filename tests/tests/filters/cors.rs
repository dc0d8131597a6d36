//! Pages of allowed origins can read answers, ours included; others cannot.

use causeway_testkit::client::{Answer, Client, empty};
use causeway_testkit::origin::Origin;
use causeway_tests::{Site, recording};
use http::Method;
use serde_json::json;

use super::rule;

fn cors() -> serde_json::Value {
    json!([{"type": "CORS", "cors": {
        "allowOrigins": ["https://app.example", "https://*.partner.example"],
        "allowMethods": ["GET", "PUT"],
        "allowHeaders": ["X-Token"],
        "exposeHeaders": ["x-endpoint"],
        "allowCredentials": true,
        "maxAge": 600,
    }}])
}

async fn call(site: &Site, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut client = Client::http1(site.at).await.expect("a connection");
    client.call(method, path, fields, empty()).await.expect("an answer")
}

/// The fields of the protocol that an answer has.
fn said(answer: &Answer) -> Vec<String> {
    let fields = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut said: Vec<String> =
        fields.map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
    said.sort();
    said
}

const ALLOWED: [&str; 2] =
    ["access-control-allow-credentials: true", "access-control-expose-headers: x-endpoint"];

#[tokio::test]
async fn a_preflight_is_answered_here_and_no_service_hears_of_it() {
    let a = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[a.addr()]);
        config.route("all", json!([rule("/", cors())]));
    })
    .await;
    let ask = |origin| [("origin", origin), ("access-control-request-method", "PUT")];
    for origin in ["https://app.example", "https://x.y.partner.example"] {
        let answer = call(&site, Method::OPTIONS, "/", &ask(origin)).await;
        assert_eq!(answer.status, 200);
        let allow = format!("access-control-allow-origin: {origin}");
        let expected = [
            ALLOWED[0],
            "access-control-allow-headers: x-token",
            "access-control-allow-methods: GET, PUT",
            &allow,
            ALLOWED[1],
            "access-control-max-age: 600",
        ];
        assert_eq!(said(&answer), expected);
    }
    let stranger = call(&site, Method::OPTIONS, "/", &ask("https://evil.example")).await;
    assert_eq!((stranger.status, said(&stranger)), (403, vec![]));
    assert_eq!(a.seen().requests, 0);
    // An OPTIONS that asks for no method is the service's.
    assert_eq!(call(&site, Method::OPTIONS, "/", &[("origin", "https://app.example")]).await.status, 200);
    assert_eq!(a.seen().requests, 1);
}

#[tokio::test]
async fn what_the_service_says_of_other_origins_is_replaced() {
    let lax = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\
               access-control-allow-methods: TRACE\r\nVary: Accept\r\n\r\n";
    let (upstream, _) = recording(lax).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]);
        config.route("all", json!([rule("/", cors())]));
    })
    .await;
    let answer = call(&site, Method::GET, "/", &[("origin", "https://app.example")]).await;
    let allow = "access-control-allow-origin: https://app.example";
    assert_eq!(said(&answer), [ALLOWED[0], allow, ALLOWED[1]]);
    let vary: Vec<_> =
        answer.headers.get_all("vary").iter().map(|value| value.to_str().expect("text")).collect();
    assert_eq!(vary, ["Accept", "Origin"]);
    for stranger in [&[("origin", "https://evil.example")][..], &[]] {
        let answer = call(&site, Method::GET, "/", stranger).await;
        assert_eq!((answer.status, said(&answer)), (200, vec![]), "{stranger:?}");
    }
}

#[tokio::test]
async fn a_page_can_read_our_own_errors_and_redirects_too() {
    let mut a = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[a.addr()]);
        let mut moved = rule("/moved", cors());
        moved["filters"].as_array_mut().expect("a list").push(
            json!({"type": "RequestRedirect", "requestRedirect": {"hostname": "new.example", "statusCode": 308}}),
        );
        moved.as_object_mut().expect("a map").remove("backendRefs");
        config.route("all", json!([rule("/", cors()), moved]));
    })
    .await;
    a.stop().await;
    for (path, status) in [("/", 503), ("/moved", 308)] {
        let answer = call(&site, Method::GET, path, &[("origin", "https://app.example")]).await;
        assert_eq!(answer.status, status);
        assert_eq!(said(&answer)[1], "access-control-allow-origin: https://app.example", "{path}");
        assert_eq!(
            said(&call(&site, Method::GET, path, &[("origin", "https://evil.example")]).await),
            [""; 0]
        );
    }
}
