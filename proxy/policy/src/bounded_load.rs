//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016), for requests with a key.
//!
//! A hot key fills one endpoint while others idle. With a factor of 125, no endpoint gets a request while it has
//! more than 1.25 times its share of the cluster's requests in flight; the key then goes to its next choice.
//! Off by default, because it trades stickiness for balance.

/// Below this many requests in flight an endpoint is never passed over. At a few requests in flight the mean is
/// noise, and a bound on noise moves sticky users at random.
pub const FLOOR: u32 = 32;

/// Whether an endpoint with `in_flight` requests may take one more.
///
/// `factor` is in percent of the endpoint's share (at least 100; less counts as 100), `cluster_in_flight` the
/// requests in flight at the whole cluster, `share` the endpoint's part of the cluster's weight in (0, 1].
#[inline]
pub fn has_room(factor: u32, in_flight: u32, cluster_in_flight: u32, share: f64) -> bool {
    if in_flight < FLOOR {
        return true;
    }
    let bound = f64::from(factor.max(100)) / 100.0 * (f64::from(cluster_in_flight) + 1.0) * share;
    f64::from(in_flight) < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_takes_no_more_than_its_bound() {
        // 10 endpoints, 400 in flight: 40 each, bound 50 at 125 %.
        assert!(has_room(125, 49, 400, 0.1));
        assert!(!has_room(125, 51, 400, 0.1));
        assert!(has_room(125, 99, 400, 0.2));
    }

    #[test]
    fn a_few_requests_in_flight_move_nobody() {
        assert!(has_room(100, 31, 31, 0.1));
        assert!(!has_room(100, 32, 33, 0.1));
    }

    #[test]
    fn somebody_always_has_room() {
        // All at the mean: the bound lies above it, or everybody would be refused.
        assert!(has_room(100, 40, 400, 0.1));
        assert!(has_room(0, 40, 400, 0.1));
    }
}
