//! What the proxy says of its clusters (`/clusters` of its admin address), and what changed since last time.
//!
//! Read leniently: the demo shows what is there and a dash for what is not, so that the admin page may grow
//! without breaking it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::events::Voice;

/// The clusters of the demo's one service, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyView {
    /// By name.
    pub clusters: BTreeMap<String, ClusterView>,
}

/// One cluster as the proxy sees it. None: the proxy did not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// The share (0 to 1) of its users that it may serve.
    pub admission: Option<f64>,
    /// Why it is not 1; None where it is.
    pub why: Option<String>,
    /// How long until it may begin to return, in milliseconds.
    pub hold_for_ms: Option<u64>,
    /// `closed`, `open` or `half-open`.
    pub breaker: Option<String>,
    /// By address.
    pub endpoints: BTreeMap<String, EndpointView>,
}

/// One endpoint as the proxy sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointView {
    /// `healthy`, `unhealthy`, `ejected` or `drained`.
    pub health: Option<String>,
    /// How long it stays ejected, in milliseconds.
    pub ejected_for_ms: Option<u64>,
}

impl ProxyView {
    /// Reads the page. Several services that share a cluster: the first one's word counts.
    pub fn parse(page: &Value) -> ProxyView {
        let mut view = ProxyView::default();
        for cluster in list(page, "services").iter().flat_map(|service| list(service, "clusters")) {
            let Some(name) = text(cluster, "name") else { continue };
            let endpoints = list(cluster, "endpoints").iter().filter_map(|endpoint| {
                let view = EndpointView {
                    health: text(endpoint, "health"),
                    ejected_for_ms: endpoint
                        .get("ejected_until_ms")
                        .and_then(Value::as_u64)
                        .filter(|ms| *ms > 0),
                };
                Some((text(endpoint, "address")?, view))
            });
            let admission = cluster.get("admission").and_then(Value::as_f64);
            let troubled = admission.is_some_and(|admission| admission < 1.0);
            let read = ClusterView {
                admission,
                why: text(cluster, "why").filter(|why| troubled && !why.is_empty()),
                hold_for_ms: cluster.get("hold_until_ms").and_then(Value::as_u64).filter(|ms| *ms > 0),
                breaker: text(cluster, "breaker"),
                endpoints: endpoints.collect(),
            };
            view.clusters.entry(name).or_insert(read);
        }
        view
    }

    /// What is different in `later`, in words.
    pub fn changes(&self, later: &ProxyView) -> Vec<(Voice, String)> {
        let mut changes = Vec::new();
        for (name, now) in &later.clusters {
            let Some(before) = self.clusters.get(name) else { continue };
            now.changes_since(before, name, &mut changes);
        }
        changes
    }
}

impl ClusterView {
    fn changes_since(&self, before: &ClusterView, name: &str, changes: &mut Vec<(Voice, String)>) {
        for (address, now) in &self.endpoints {
            let was = before.endpoints.get(address).and_then(|endpoint| endpoint.health.as_deref());
            let (Some(was), Some(is)) = (was, now.health.as_deref()) else { continue };
            if was != is {
                let voice = if is == "healthy" { Voice::Better } else { Voice::Worse };
                let port = address.rsplit_once(':').map_or(address.as_str(), |(_, port)| port);
                changes.push((voice, format!("{name} :{port} is {is}")));
            }
        }
        if let (Some(was), Some(is)) = (&before.breaker, &self.breaker)
            && was != is
        {
            let voice = if is == "open" { Voice::Worse } else { Voice::Better };
            changes.push((voice, format!("{name} breaker {is}")));
        }
        if let (Some(was), Some(is)) = (before.admission, self.admission)
            && percent(was) != percent(is)
        {
            let voice = if is > was { Voice::Better } else { Voice::Worse };
            let why = self.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            changes.push((voice, format!("{name} admits {} % of its users{why}", percent(is))));
        }
    }
}

/// A share as whole percent, the grain at which a change is worth a line.
fn percent(share: f64) -> u32 {
    (share * 100.0).round() as u32
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(admission: f64, breaker: &str, health: &str) -> Value {
        json!({"services": [{"name": "api", "clusters": [{
            "name": "east", "admission": admission, "why": "highLatency", "breaker": breaker, "hold_until_ms": 29_000,
            "endpoints": [{"address": "127.0.0.1:1", "health": health, "ejected_until_ms": 9000}],
        }]}]})
    }

    #[test]
    fn what_changed_is_said_once_and_nothing_else() {
        let before = ProxyView::parse(&page(1.0, "closed", "healthy"));
        let after = ProxyView::parse(&page(0.5, "open", "ejected"));
        assert_eq!(
            before.changes(&after),
            [
                (Voice::Worse, "east :1 is ejected".to_owned()),
                (Voice::Worse, "east breaker open".to_owned()),
                (Voice::Worse, "east admits 50 % of its users: highLatency".to_owned()),
            ]
        );
        assert!(after.changes(&after).is_empty());
        assert!(after.changes(&before).iter().all(|(voice, _)| *voice == Voice::Better));
    }

    #[test]
    fn a_reason_is_told_only_where_something_is_wrong() {
        let well = ProxyView::parse(&page(1.0, "closed", "healthy"));
        assert_eq!(well.clusters["east"].why, None);
        let ill = ProxyView::parse(&page(0.5, "open", "ejected"));
        let east = &ill.clusters["east"];
        assert_eq!((east.why.as_deref(), east.hold_for_ms), (Some("highLatency"), Some(29_000)));
        assert_eq!(east.endpoints["127.0.0.1:1"].ejected_for_ms, Some(9_000));
    }

    #[test]
    fn a_page_without_any_of_it_is_read_as_nothing_known() {
        for page in [json!(null), json!({"services": 3}), json!({"services": [{"clusters": [{}]}]})] {
            assert_eq!(ProxyView::parse(&page), ProxyView::default());
        }
        let bare = ProxyView::parse(&json!({"services": [{"clusters": [{"name": "east"}]}]}));
        assert_eq!(bare.clusters["east"], ClusterView::default());
        assert!(bare.changes(&ProxyView::parse(&page(0.0, "open", "ejected"))).is_empty());
    }
}
