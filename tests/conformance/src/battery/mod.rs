//! The checks, a file an area.
//!
//! Each follows from the section that it names, or stops the attack that it names. Where the RFC leaves a choice, any
//! safe one passes: the battery is for finding faults in proxies, ours among them, not for finding that others are not
//! ours.

mod bodies;
mod chunked;
mod downgrade;
mod drain;
mod fields;
mod forwarding;
mod framing;
mod grpc;
mod h2_control;
mod h2_fields;
mod h2_floods;
mod h2_frames;
mod h2_hpack;
mod h2_requests;
mod h2_streams;
mod h2_windows;
mod hop_by_hop;
mod host;
mod informational;
mod limits;
mod methods;
mod pipelining;
mod reload;
mod retries;
mod slow;
mod smuggling;
mod splitting;
mod target;
mod tls;
mod trailers;
mod upgrades;
mod upstream_answers;
mod upstream_faults;
mod upstream_h2;

use crate::check::Check;

/// All of them, in the order of reports.
pub fn all() -> Vec<Check> {
    [
        framing::CHECKS,
        chunked::CHECKS,
        smuggling::CHECKS,
        fields::CHECKS,
        hop_by_hop::CHECKS,
        forwarding::CHECKS,
        methods::CHECKS,
        host::CHECKS,
        target::CHECKS,
        limits::CHECKS,
        informational::CHECKS,
        bodies::CHECKS,
        pipelining::CHECKS,
        upgrades::CHECKS,
        trailers::CHECKS,
        grpc::CHECKS,
        upstream_answers::CHECKS,
        upstream_faults::CHECKS,
        splitting::CHECKS,
        upstream_h2::CHECKS,
        retries::CHECKS,
        tls::CHECKS,
        h2_frames::CHECKS,
        h2_control::CHECKS,
        h2_streams::CHECKS,
        h2_windows::CHECKS,
        h2_requests::CHECKS,
        h2_fields::CHECKS,
        h2_hpack::CHECKS,
        h2_floods::CHECKS,
        downgrade::CHECKS,
        reload::CHECKS,
        drain::CHECKS,
        slow::CHECKS,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_four_hundred_checks_each_with_an_id_of_its_own_and_a_source() {
        let all = all();
        assert!(all.len() >= 400, "{}", all.len());
        let ids: BTreeSet<&str> = all.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), all.len());
        for check in &all {
            let known = ["RFC ", "attack: ", "CVE-"].iter().any(|start| check.source.starts_with(start));
            assert!(known && check.title.len() > 8, "{}", check.id);
            assert!(check.id.split('/').count() == 2, "{}", check.id);
        }
    }
}
