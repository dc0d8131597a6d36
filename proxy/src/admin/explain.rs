//! `/explain`: where a key goes right now, and why, by the very function that routes requests.

use std::net::IpAddr;

use causeway_config::HashOn;
use causeway_proxy_policy::hash::address_part;
use causeway_proxy_policy::service::Verdict;
use causeway_proxy_policy::{Explanation, KeyHash};
use serde::Serialize;

use super::table::Table;
use crate::telemetry::exposition::share;

/// The page.
#[derive(Serialize)]
pub(super) struct Page {
    pub service: String,
    /// The parts of the key as asked for; bytes that are not UTF-8 are replaced.
    pub key: Vec<String>,
    /// What the service hashes, in words.
    pub hash_on: Vec<String>,
    /// The key's hash, hexadecimal.
    pub hash: String,
    pub home: Option<String>,
    /// Compared with home's admission: the key stays while this is below.
    pub position: f64,
    /// Home first, then where the key would go next.
    pub order: Vec<ClusterEntry>,
    /// Where it goes; absent if nowhere (503).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Why there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What to know before believing this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct ClusterEntry {
    pub name: String,
    pub priority: u32,
    pub admission: f64,
    pub spill_share: f64,
    pub panic: bool,
    /// Whether this key may use it.
    pub verdict: &'static str,
    /// The verdict in words.
    pub because: &'static str,
}

/// The hash of a key given as its parts, one for each thing that the service hashes, empty for one that the
/// request lacks. A service that hashes nothing takes any number: the answer is then hypothetical.
pub(super) fn hash(hash_on: &[HashOn], parts: &[Vec<u8>]) -> Result<KeyHash, String> {
    if parts.is_empty() || (!hash_on.is_empty() && parts.len() != hash_on.len()) {
        let what = hash_on.iter().map(in_words).collect::<Vec<_>>().join(", ");
        let once = if hash_on.len() > 1 { "once for each, in this order" } else { "once" };
        let says = if hash_on.is_empty() { "nothing".to_owned() } else { what };
        return Err(format!("give `key` {once}; the service hashes: {says}"));
    }
    let mut bytes: Vec<Vec<u8>> = parts.to_vec();
    for (part, what) in bytes.iter_mut().zip(hash_on) {
        if matches!(what, HashOn::SourceIp) {
            *part = address_bytes(part)?;
        }
    }
    let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    Ok(KeyHash::of(&bytes))
}

fn address_bytes(text: &[u8]) -> Result<Vec<u8>, String> {
    let address = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
    match address {
        Some(address) => Ok(address_part(address).to_vec()),
        None => Err("the service hashes the source address: give `key` as an address".to_owned()),
    }
}

fn in_words(what: &HashOn) -> String {
    match what {
        HashOn::Header(name) => format!("header {name}"),
        HashOn::Cookie { name, .. } => format!("cookie {name}"),
        HashOn::SourceIp => "source address".to_owned(),
        HashOn::QueryParameter(name) => format!("query parameter {name}"),
    }
}

/// The page of an explanation.
pub(super) fn page(service: &str, hash_on: &[HashOn], parts: &[Vec<u8>], explained: Explanation) -> Page {
    let order: Vec<ClusterEntry> = explained
        .order
        .into_iter()
        .map(|cluster| {
            let (verdict, because) = in_full(cluster.verdict);
            ClusterEntry {
                name: cluster.name,
                priority: cluster.priority,
                admission: share(cluster.admission),
                spill_share: share(cluster.spill_share),
                panic: cluster.panic,
                verdict,
                because,
            }
        })
        .collect();
    Page {
        service: service.to_owned(),
        key: parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect(),
        hash_on: hash_on.iter().map(in_words).collect(),
        hash: format!("{:016x}", explained.key.0),
        home: order.first().map(|home| home.name.clone()),
        position: explained.position,
        order,
        cluster: explained.cluster,
        endpoint: explained.endpoint,
        why: explained.target.map(|target| target.why.as_str()),
        note: hash_on
            .is_empty()
            .then_some("the service hashes nothing: its requests have no key and follow the weights"),
    }
}

fn in_full(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Stays => ("stays", "home, and the key's position is below its admission"),
        Verdict::NotAdmitted => ("not-admitted", "home, but the key's position is not below its admission"),
        Verdict::Counts => ("counts", "fully admitted, with room for this key"),
        Verdict::PartlyAdmitted => ("partly-admitted", "not fully admitted itself, so it takes no others"),
        Verdict::NoRoom => ("no-room", "fully admitted, but its capacity does not take this key"),
    }
}

/// The same for people.
pub(super) fn render(page: &Page) -> String {
    let keys = page.key.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ");
    let hashed = if page.hash_on.is_empty() { "nothing".to_owned() } else { page.hash_on.join(", ") };
    let mut out = format!("service {}, key {keys}, hash {}\nhashes {hashed}\n", page.service, page.hash);
    if let Some(note) = page.note {
        out.push_str(&format!("NOTE: {note}\n"));
    }
    match (&page.cluster, &page.endpoint, page.why) {
        (Some(cluster), Some(endpoint), Some(why)) => {
            out.push_str(&format!("goes to {endpoint} of {cluster} ({why})\n\n"));
        }
        _ => out.push_str("goes nowhere: 503\n\n"),
    }
    out.push_str(&format!("position {:.4}\n", page.position));
    let mut table = Table::new(&["", "CLUSTER", "PRIO", "KEEPS", "TAKES", "BECAUSE"]);
    for (i, cluster) in page.order.iter().enumerate() {
        table.row([
            if i == 0 { "home".to_owned() } else { i.to_string() },
            cluster.name.clone(),
            cluster.priority.to_string(),
            format!("{:.3}", cluster.admission),
            format!("{:.3}", cluster.spill_share),
            cluster.because.to_owned(),
        ]);
    }
    table.write("", &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use causeway_proxy_policy::endpoints::EndpointParams;
    use causeway_proxy_policy::{
        ClusterParams, EndpointAlgorithm, EndpointSet, ServiceParams, ServicePlan, Tick, View,
    };

    use super::*;

    /// East keeps nobody.
    struct EastIsOut;

    impl View for EastIsOut {
        fn admission(&self, cluster: usize) -> f32 {
            if cluster == 0 { 0.0 } else { 1.0 }
        }
        fn spill_share(&self, _: usize) -> f32 {
            1.0
        }
        fn endpoint_weight(&self, _: usize, _: usize, _: Tick) -> f32 {
            1.0
        }
        fn in_flight(&self, _: usize, _: usize) -> u32 {
            0
        }
        fn cluster_in_flight(&self, _: usize) -> u32 {
            0
        }
        fn latency_ewma(&self, _: usize, _: usize, _: Tick) -> u64 {
            0
        }
        fn timed_out_at(&self, _: usize, _: usize) -> Tick {
            Tick(0)
        }
        fn panic(&self, _: usize) -> bool {
            false
        }
    }

    fn plan() -> ServicePlan {
        let cluster = |name: &str, weight, priority| {
            let endpoint = EndpointParams { address: format!("{name}:80"), weight: 1 };
            let endpoints = Arc::new(EndpointSet::new(name, &[endpoint], EndpointAlgorithm::Rendezvous));
            ClusterParams { name: name.into(), weight, priority, endpoints }
        };
        let clusters = vec![cluster("east", 100, 1), cluster("west", 0, 2)];
        ServicePlan::new(ServiceParams { clusters, ..ServiceParams::default() })
    }

    #[test]
    fn the_page_names_home_and_where_the_key_goes_instead() {
        let (on, key) = ([HashOn::Header("x-user-id".into())], [b"alice".to_vec()]);
        let explained = plan().explain(hash(&on, &key).unwrap(), &EastIsOut, Tick(1));
        let page = page("api", &on, &key, explained);
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["home"], "east");
        assert_eq!(json["cluster"], "west");
        assert_eq!(json["endpoint"], "west:80");
        assert_eq!(json["why"], "spilled");
        assert_eq!(json["hash_on"][0], "header x-user-id");
        assert_eq!(json["order"][0]["verdict"], "not-admitted");
        assert_eq!(json["order"][1]["verdict"], "counts");
        assert_eq!(json["hash"], format!("{:016x}", KeyHash::of(&[b"alice"]).0));
        let text = render(&page);
        assert!(text.contains("goes to west:80 of west (spilled)"), "{text}");
        assert!(text.contains("home  east"), "{text}");
    }

    #[test]
    fn a_key_needs_as_many_parts_as_the_service_hashes() {
        let on = [HashOn::Header("a".into()), HashOn::QueryParameter("b".into())];
        let error = hash(&on, &[b"x".to_vec()]).unwrap_err();
        assert!(error.contains("header a, query parameter b"), "{error}");
        assert!(hash(&on, &[]).is_err() && hash(&[], &[]).is_err());
        let both = hash(&on, &[b"x".to_vec(), b"".to_vec()]).unwrap();
        assert_eq!(both, KeyHash::of(&[b"x", b""]));
        assert_eq!(hash(&[], &[b"x".to_vec()]).unwrap(), KeyHash::of(&[b"x"]));
    }

    #[test]
    fn a_source_address_is_hashed_as_requests_hash_it() {
        let on = [HashOn::SourceIp];
        let of = |text: &str| hash(&on, &[text.as_bytes().to_vec()]);
        assert_eq!(of("10.0.0.1").unwrap(), KeyHash::of(&[&[10, 0, 0, 1]]));
        assert_eq!(of("::ffff:10.0.0.1").unwrap(), of("10.0.0.1").unwrap());
        assert!(of("alice").is_err());
    }

    #[test]
    fn a_service_that_hashes_nothing_says_so() {
        let key = [b"alice".to_vec()];
        let page = page("api", &[], &key, plan().explain(hash(&[], &key).unwrap(), &EastIsOut, Tick(1)));
        assert!(page.note.is_some() && render(&page).contains("NOTE: the service hashes nothing"));
    }
}
