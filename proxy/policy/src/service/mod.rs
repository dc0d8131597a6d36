//! Where one request goes: home cluster, admission, failover order, endpoint.
//!
//! Everything about a request's destination is decided by one function, [`ServicePlan::next`]: the first try, a
//! retry after a failure, and the step aside after a limit's refusal. Others have a load balancer, a retry
//! plugin and a failover rule that each choose; then a retry lands on the host that just died (Envoy #27317),
//! and weights and failover exclude each other (Istio #35124, Linkerd #8464). Here a user's retry lands where
//! failover would send that user's next request anyway.
//!
//! [`ServicePlan`] is immutable and compiled once per configuration; what changes in between is read through
//! [`View`]; what one request has been through is in its [`Route`].

mod endpoint;
mod explain;
mod next;
mod order;
mod params;
mod plan;
mod route;
mod tiers;
mod view;

pub use explain::{ClusterExplanation, Explanation, Verdict};
pub use params::{ClusterParams, FailoverParams, Selection, ServiceParams};
pub use plan::ServicePlan;
pub use route::{Route, Target, Why};
pub use view::View;
