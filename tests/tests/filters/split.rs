//! Who asks for a canary by header gets it; the others are split by weight and stay on their side.

use std::collections::BTreeMap;

use causeway_testkit::client::Client;
use causeway_testkit::config::backend;
use causeway_testkit::origin::Origin;
use causeway_tests::Site;
use serde_json::json;

#[tokio::test]
async fn a_header_chooses_the_canary_and_the_rest_is_split_and_sticky_whatever_else_they_send() {
    let (old, new) = (Origin::start("old", 0).await, Origin::start("new", 0).await);
    let site = Site::start(|config| {
        config.service("next");
        config.cluster("old", 1, &[old.addr()]).cluster_of("next", "new", 1, &[new.addr()]);
        let weighted = |service: &str, weight: u32| {
            let mut backend = backend(service);
            backend["weight"] = weight.into();
            backend
        };
        config.route(
            "all",
            json!([
                {"backendRefs": [weighted("api", 7), weighted("next", 3)]},
                {
                    "matches": [{"headers": [{"name": "X-Canary", "value": "yes"}]}],
                    "backendRefs": [backend("next")],
                },
            ]),
        );
    })
    .await;
    let mut sides: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..3 {
        let mut client = Client::http1(site.at).await.expect("a connection");
        for user in 0..200 {
            let user = format!("u{user}");
            let fields = [("x-user-id", user.as_str()), ("x-canary", "yes")];
            let canary = client.get("/", &fields).await.expect("an answer");
            assert_eq!(canary.header("x-cluster"), "new", "{user} asked for it");
            let path = format!("/p{round}?q={round}");
            let answer = client.get(&path, &fields[..1]).await.expect("an answer");
            let side = answer.header("x-cluster").to_owned();
            let first = sides.entry(user.clone()).or_insert_with(|| side.clone());
            assert_eq!(*first, side, "{user} changed sides");
        }
    }
    let on_new = sides.values().filter(|side| *side == "new").count();
    // 60 expected; five standard deviations of sqrt(200 x 0.3 x 0.7) = 6.5.
    assert!((28..=92).contains(&on_new), "{on_new}");
}
