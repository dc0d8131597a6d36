//! `/clusters?format=text`: the same for a person in the middle of the night.

use super::clusters::{ClusterEntry, EndpointEntry, Page};
use super::discovery::SourceEntry;
use super::table::Table;

/// A table a service, its clusters first, then their endpoints.
pub(super) fn render(page: &Page) -> String {
    let mut out = String::new();
    if !page.health_known {
        out.push_str("THE HEALTH THREAD DID NOT ANSWER: reasons, breakers and ejections are not known\n\n");
    }
    for service in &page.services {
        out.push_str(&format!("service {}\n", service.name));
        let names = [
            "CLUSTER", "KEEPS", "WHY", "TAKES", "BREAKER", "HOLD", "WEIGHT", "PRIO", "CONNS", "PENDING",
            "REQUESTS", "",
        ];
        let mut clusters = Table::new(&names);
        service.clusters.iter().for_each(|cluster| clusters.row(cluster_row(cluster)));
        clusters.write("  ", &mut out);
        out.push('\n');
        let names = [
            "CLUSTER",
            "ENDPOINT",
            "HEALTH",
            "WHY",
            "BACK IN",
            "EJECTED",
            "IN FLIGHT",
            "ATTEMPTS",
            "OK",
            "LATENCY",
        ];
        let mut endpoints = Table::new(&names);
        for cluster in &service.clusters {
            cluster
                .endpoints
                .iter()
                .for_each(|endpoint| endpoints.row(endpoint_row(&cluster.name, endpoint)));
        }
        endpoints.write("  ", &mut out);
        out.push('\n');
        let sources = service.clusters.iter().filter_map(|cluster| cluster.discovery.as_ref());
        let troubles: Vec<String> = sources.filter_map(SourceEntry::trouble).collect();
        for trouble in &troubles {
            out.push_str(&format!("  NOT LOOKED UP: {trouble}\n"));
        }
        if !troubles.is_empty() {
            out.push('\n');
        }
    }
    if page.services.is_empty() {
        out.push_str("no services\n");
    }
    out
}

fn cluster_row(cluster: &ClusterEntry) -> [String; 12] {
    let number = |n: Option<u32>| n.map_or_else(dash, |n| n.to_string());
    let of = |n: u32, max: u32| format!("{n}/{max}");
    let notes = [(cluster.panic, "PANIC"), (cluster.marked == Some(true), "marked")];
    [
        cluster.name.clone(),
        percent(cluster.admission),
        cluster.why.unwrap_or("-").to_owned(),
        percent(cluster.spill_share),
        cluster.breaker.unwrap_or("-").to_owned(),
        seconds(cluster.hold_until_ms),
        number(cluster.weight),
        number(cluster.priority),
        of(cluster.connections, cluster.limits.connections),
        of(cluster.pending, cluster.limits.pending),
        of(cluster.requests, cluster.limits.requests),
        notes.iter().filter(|(on, _)| *on).map(|(_, note)| *note).collect::<Vec<_>>().join(" "),
    ]
}

fn endpoint_row(cluster: &str, endpoint: &EndpointEntry) -> [String; 10] {
    let ok = match endpoint.requests_total {
        0 => dash(),
        total => percent(endpoint.success_total as f64 / total as f64),
    };
    let ramp = endpoint.ramping_for_ms.map(|_| "slow-start");
    [
        cluster.to_owned(),
        endpoint.address.clone(),
        endpoint.health.to_owned(),
        endpoint.why.or(ramp).unwrap_or("-").to_owned(),
        seconds(endpoint.ejected_until_ms),
        endpoint.ejections.map_or_else(dash, |n| n.to_string()),
        endpoint.in_flight.to_string(),
        endpoint.requests_total.to_string(),
        ok,
        endpoint.latency_ms.map_or_else(dash, |ms| format!("{ms} ms")),
    ]
}

fn dash() -> String {
    "-".to_owned()
}

/// Whole percent, but never rounded to 0 or 100 what is not: 99.7 % of the requests served is not all of them.
fn percent(share: f64) -> String {
    let whole = (share * 100.0).round();
    let exact = share <= 0.0 || share >= 1.0;
    if exact || (whole > 0.0 && whole < 100.0) {
        format!("{whole}%")
    } else {
        format!("{:.2}%", share * 100.0)
    }
}

fn seconds(ms: Option<u64>) -> String {
    ms.map_or_else(dash, |ms| format!("{:.1}s", ms as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::super::clusters::tests::sample;
    use super::*;

    #[test]
    fn the_table_says_at_a_glance_what_is_out_and_why() {
        let text = render(&sample());
        let expected = "\
service api
  CLUSTER  KEEPS  WHY   TAKES  BREAKER    HOLD   WEIGHT  PRIO  CONNS   PENDING  REQUESTS
  east     70%    ramp  100%   half-open  12.0s  50      1     1/1000  0/100    0/1000

  CLUSTER  ENDPOINT     HEALTH     WHY                 BACK IN  EJECTED  IN FLIGHT  ATTEMPTS  OK   LATENCY
  east     10.0.0.1:80  ejected    consecutive-errors  21.5s    2        0          0         -    -
  east     10.0.0.2:80  healthy    slow-start          -        2        0          20        90%  9 ms
  east     10.0.0.3:80  unhealthy  active-check        -        2        0          0         -    -

";
        assert_eq!(text, expected);
    }

    #[test]
    fn almost_all_is_not_shown_as_all() {
        assert_eq!([1.0, 0.0, 0.5, 0.9997, 0.001].map(percent), ["100%", "0%", "50%", "99.97%", "0.10%"]);
    }

    #[test]
    fn a_silent_health_thread_is_said_in_capitals() {
        let page = Page { health_known: false, services: Vec::new() };
        let text = render(&page);
        assert!(text.contains("DID NOT ANSWER") && text.contains("no services"), "{text}");
    }
}
