//! What the engine has to tell: for logs, metrics, and for waking requests that wait in vain.

use super::admission::Reason;
use super::outlier::EjectionKind;
use super::params::{EndpointId, ServiceId};
use crate::tick::Tick;

/// Something changed.
#[derive(Clone, Debug, PartialEq)]
pub enum HealthEvent {
    /// An endpoint was taken out by its failures or by hand. Where `local_origin_only`, an idempotent request
    /// that waits for its first byte there should be retried at once.
    Ejected {
        /// Which.
        endpoint: EndpointId,
        /// By which rule.
        kind: EjectionKind,
        /// When it returns by itself.
        until: Tick,
        /// Its run held no answer: connect failures, resets and timeouts only.
        local_origin_only: bool,
    },
    /// It returned.
    Unejected {
        /// Which.
        endpoint: EndpointId,
        /// Before its time, by a passing check, a success or by hand.
        early: bool,
    },
    /// An active check gave up on it. Wakes waiters as a local-origin ejection does.
    ProbeUnhealthy {
        /// Which.
        endpoint: EndpointId,
    },
    /// The active check passes again.
    ProbeHealthy {
        /// Which.
        endpoint: EndpointId,
    },
    /// A run of failures opened a cluster's breaker.
    BreakerOpened {
        /// Of which service.
        service: ServiceId,
        /// Index in the service.
        cluster: usize,
        /// The run held no answer: wakes waiters.
        local_origin_only: bool,
    },
    /// A cluster keeps another share of its users.
    AdmissionChanged {
        /// Of which service.
        service: ServiceId,
        /// Index in the service.
        cluster: usize,
        /// The new share.
        admission: f32,
        /// What decides it.
        reason: Reason,
    },
    /// A cluster takes another share of others' load.
    SpillShareChanged {
        /// Of which service.
        service: ServiceId,
        /// Index in the service.
        cluster: usize,
        /// The new share.
        share: f32,
    },
}
