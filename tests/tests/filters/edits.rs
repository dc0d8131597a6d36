//! Requests, answers and locations are changed as their filters say.

use causeway_testkit::client::{Client, empty};
use causeway_tests::{Site, recording};
use http::Method;
use serde_json::json;

use super::rule;

#[tokio::test]
async fn the_upstream_gets_the_request_and_the_client_the_answer_as_they_were_edited() {
    let (upstream, received) =
        recording("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Old: 1\r\nX-Kept: 2\r\nX-Set: 3\r\n\r\nok")
            .await;
    let edit = |kind: &str, part: &str| {
        json!({"type": kind, part: {
            "set": [{"name": "x-set", "value": "ours"}],
            "add": [{"name": "x-kept", "value": "more"}],
            "remove": ["x-old"],
        }})
    };
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {
        "hostname": "inner.example",
        "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
    }});
    let filters = json!([
        edit("RequestHeaderModifier", "requestHeaderModifier"),
        edit("ResponseHeaderModifier", "responseHeaderModifier"),
        rewrite,
    ]);
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).route("all", json!([rule("/old", filters)]));
    })
    .await;
    for mut client in [Client::http1(site.at).await, Client::http2(site.at).await].map(|c| c.expect("one")) {
        let fields = [("x-old", "1"), ("x-kept", "2"), ("x-set", "3")];
        let answer = client.call(Method::GET, "/old/x?q=1", &fields, empty()).await.expect("an answer");
        assert_eq!(answer.status, 200);
        let of = |name| answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let got = ["x-old", "x-kept", "x-set"].map(|name| of(name).collect::<Vec<_>>().join(", "));
        assert_eq!(got, ["", "2, more", "ours"]);
    }
    let seen = received.all();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.head.start, "GET /new/x?q=1 HTTP/1.1");
        assert_eq!(request.head.get("host"), Some("inner.example"));
        let got = ["x-old", "x-kept", "x-set"].map(|name| request.head.all(name).join(", "));
        assert_eq!(got, ["", "2, more", "ours"]);
    }
}

#[tokio::test]
async fn a_redirect_is_answered_here_and_names_the_place() {
    let (upstream, received) = recording("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let to = |path: &str, part| {
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "filters": [{"type": "RequestRedirect", "requestRedirect": part}],
        })
    };
    let elsewhere = json!({"scheme": "https", "hostname": "b.example", "port": 8443, "statusCode": 301});
    let inside = json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/only"}});
    let prefix =
        json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/n"}, "statusCode": 307});
    let site = Site::start(|config| {
        config
            .cluster("a", 1, &[upstream.addr()])
            .route("all", json!([to("/away", elsewhere), to("/full", inside), to("/p", prefix)]));
    })
    .await;
    let port = site.at.port();
    for (path, status, location) in [
        ("/away/x?q=1", 301, "https://b.example:8443/away/x?q=1".to_owned()),
        ("/full/x?q=1", 302, format!("http://a.example:{port}/only?q=1")),
        ("/p/x", 307, format!("http://a.example:{port}/n/x")),
    ] {
        let mut raw = site.raw().await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n")).await.expect("sent");
        let answer = raw.response().await;
        assert_eq!(
            (answer.status(), answer.head.get("location")),
            (status, Some(location.as_str())),
            "{path}"
        );
    }
    assert_eq!(received.all().len(), 0, "no service hears of it");
}
