//! What moves traffic: endpoints in and out, and each cluster's admission.
//!
//! One [`HealthEngine`] for all services and clusters of a process, owned by one thread. Workers send it what
//! is rare (a failure, the first success after one, a probe's result) and count what is frequent (attempts, slow
//! ones, errors), which [`HealthEngine::tick`] reads through [`Counters`] about every 100 ms. The engine answers
//! with views, which the shell publishes as atomics for [`View`](crate::View), and with events, for logs, metrics
//! and for waking requests that wait on an endpoint that was just given up.
//!
//! Why one thread and not atomics everywhere: every rule here compares several numbers at one instant (how many
//! are ejected, which run of failures, which step of a ramp). Spread over workers they would need a lock on the
//! request path or be subtly wrong; sent to one place they are plain code that the simulator runs too.
//!
//! **Events arrive late and out of order.** Each carries the time it happened and when its request was sent. A
//! failure older than the endpoint's last success is history; a failure of a request sent before a trip says
//! nothing about the recovery. Virtual time hides these races, so the rules name them.
//!
//! Who decides what: [`outlier`] ejects endpoints, per cluster and shared by all services. `breaker` (a run of
//! failures over a cluster), `window` (slow or failing shares) and the endpoints' healthy share move the
//! admission of one (service, cluster), in `admission`. `capacity` sets what a cluster takes of others' load.

mod admission;
mod attempts;
mod breaker;
mod capacity;
mod carried;
mod cluster;
mod counters;
mod endpoint;
mod engine;
mod event;
mod history;
pub mod outlier;
mod pair;
mod params;
mod shed;
mod views;
mod window;

pub use admission::Reason;
pub use attempts::{ATTEMPTS, Attempt, AttemptLog};
pub use carried::Carried;
pub use counters::{At, Counters, EndpointCounts, Failure, PairCounts};
pub use engine::HealthEngine;
pub use event::HealthEvent;
pub use params::{
    ClusterHealthParams, ClusterId, EndpointId, EngineParams, FailurePercentage, OutlierParams,
    ProbeThresholds, Recovery, ServiceClusterParams, ServiceHealthParams, ServiceId, SuccessRate, Trigger,
    TriggerKind,
};
pub use views::{BreakerState, ClusterView, EndpointView, OutOfService};
