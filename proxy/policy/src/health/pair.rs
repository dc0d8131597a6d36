//! One (service, cluster): the rules that move its admission, composed.

use smallvec::SmallVec;

use super::admission::{Outage, Reason};
use super::breaker;
use super::carried::{CarriedPair, CarriedWatch};
use super::counters::PairCounts;
use super::history::History;
use super::params::{ServiceClusterParams, ServiceHealthParams, Trigger, TriggerKind};
use super::shed::Shed;
use super::views::{BreakerState, ClusterView};
use super::window::Windows;
use crate::tick::Tick;

/// What the `Cluster` below it looks like right now.
#[derive(Copy, Clone, Debug)]
pub(super) struct Below {
    pub available: u32,
    pub hosts: u32,
    pub panic: bool,
    pub probed: bool,
    pub drained: bool,
    /// `None` without a capacity.
    pub capacity_keeps: Option<f64>,
    pub takes: f64,
}

impl Below {
    /// A service whose `Cluster` is not there.
    pub const NOTHING: Below = Below {
        available: 0,
        hosts: 0,
        panic: false,
        probed: false,
        drained: false,
        capacity_keeps: None,
        takes: 1.0,
    };
}

/// One trigger with its state.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub trigger: Trigger,
    /// Index of its measure: 0 = errors, 1 + i = slow by threshold i.
    pub measure: usize,
    pub windows: Windows,
    /// From the trip to the ramp.
    pub shed: Option<Shed>,
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub name: String,
    pub outage: Outage,
    pub watches: Vec<Watch>,
    pub history: History,
    pub breaker: breaker::Memory,
    /// Taken to 0 until the ramp: by its breaker, or for want of an endpoint.
    shut: bool,
    by_breaker: bool,
    pub marked_at: Option<Tick>,
    pub view: ClusterView,
}

impl Pair {
    pub fn new(params: &ServiceClusterParams) -> Pair {
        Pair::named(params.name.clone())
    }

    fn named(name: String) -> Pair {
        Pair {
            name,
            outage: Outage::new(),
            watches: Vec::new(),
            history: History::default(),
            breaker: breaker::Memory::default(),
            shut: false,
            by_breaker: false,
            marked_at: None,
            view: ClusterView {
                admission: 1.0,
                spill_share: 1.0,
                marked: false,
                panic: false,
                trickle: false,
                breaker: BreakerState::Closed,
                reason: Reason::Healthy,
                hold_until: None,
                healthy: (0, 0),
            },
        }
    }

    /// What a successor should know of it.
    pub fn carry(&self) -> CarriedPair {
        let watch = |w: &Watch| CarriedWatch {
            trigger: w.trigger.clone(),
            windows: w.windows.clone(),
            shed: w.shed.clone(),
        };
        CarriedPair {
            name: self.name.clone(),
            outage: self.outage.clone(),
            watches: self.watches.iter().map(watch).collect(),
            shut: self.shut,
            by_breaker: self.by_breaker,
            marked_at: self.marked_at,
        }
    }

    /// One as its predecessor left it; [`Pair::retune`] follows.
    pub fn resume(carried: CarriedPair) -> Pair {
        let watch = |w: CarriedWatch| Watch {
            trigger: w.trigger,
            // Whatever it was: the counters begin at 0 again, and `Windows` was carried without their last reading.
            measure: 0,
            windows: w.windows,
            shed: w.shed,
        };
        Pair {
            outage: carried.outage,
            watches: carried.watches.into_iter().map(watch).collect(),
            shut: carried.shut,
            by_breaker: carried.by_breaker,
            marked_at: carried.marked_at,
            ..Pair::named(carried.name)
        }
    }

    /// Takes new triggers; one that is unchanged keeps its windows.
    pub fn retune(&mut self, triggers: &[Trigger], measure: impl Fn(TriggerKind) -> usize) {
        let old = std::mem::take(&mut self.watches);
        self.watches = triggers
            .iter()
            .map(|trigger| {
                let measure = measure(trigger.kind);
                let mut kept = old.iter().find(|w| w.trigger == *trigger).cloned();
                // Other counters under the same number: what was read of them does not subtract.
                kept.iter_mut().filter(|w| w.measure != measure).for_each(|w| w.windows.rebase());
                let fresh =
                    || Watch { trigger: trigger.clone(), measure, windows: Windows::new(), shed: None };
                Watch { measure, ..kept.unwrap_or_else(fresh) }
            })
            .collect();
    }

    /// The breaker opens. False if it was open.
    pub fn open_breaker(&mut self, now: Tick, service: &ServiceHealthParams) -> bool {
        if self.by_breaker && self.outage.is_down() {
            return false;
        }
        self.outage.trip(now, &service.recovery);
        self.shut = true;
        self.by_breaker = true;
        true
    }

    pub fn breaker_is_open(&self) -> bool {
        self.by_breaker && self.outage.is_down()
    }

    /// Reads counters. `worthwhile(measure, share)`: somebody else would serve its users clearly better.
    pub fn count(
        &mut self,
        now: Tick,
        service: &ServiceHealthParams,
        counts: PairCounts,
        measures: &[u64],
        worthwhile: impl Fn(usize, f64) -> bool,
    ) {
        let present = self.view.admission;
        for watch in &mut self.watches {
            let hits = measures.get(watch.measure).copied().unwrap_or(0);
            watch.windows.observe(&watch.trigger, now, counts.attempts, hits);
            let better = worthwhile(watch.measure, watch.windows.share);
            if watch.windows.alarms(&watch.trigger) && !watch.windows.tripped() && better {
                watch.windows.trip();
                watch.shed.get_or_insert_with(|| Shed::new(now, present));
                self.by_breaker &= !self.outage.trip(now, &service.recovery);
            }
            if let Some(shed) = watch.shed.as_mut().filter(|_| watch.windows.tripped()) {
                shed.step(now, better);
            }
        }
    }

    /// Moves the outage on and computes the view.
    pub fn settle(&mut self, now: Tick, service: &ServiceHealthParams, below: Below) {
        if below.available == 0 && below.hosts > 0 {
            self.by_breaker &= !self.outage.trip(now, &service.recovery);
            self.shut = true;
        }
        let shed = self.watches.iter().filter_map(|w| w.shed.as_ref()).map(|s| s.level).fold(1.0, f32::min);
        let down = if self.shut { 0.0 } else { shed };
        if self.outage.is_down() && self.is_ready(now, below) && self.outage.try_ramp(now, down) {
            self.start_afresh();
        }
        let (admission, reason) = self.admission(now, service, below);
        self.outage.note(now, admission);
        let breaker = match () {
            () if !self.by_breaker => BreakerState::Closed,
            () if self.outage.is_down() => BreakerState::Open,
            () if self.outage.is_ramping() => BreakerState::HalfOpen,
            () => {
                self.by_breaker = false;
                BreakerState::Closed
            }
        };
        self.view = ClusterView {
            admission,
            spill_share: below.takes as f32,
            marked: self.marked_at.is_some(),
            panic: below.panic,
            trickle: admission <= 0.0 && !below.probed && !below.drained,
            breaker,
            reason,
            hold_until: self.outage.hold_until(),
            healthy: (below.available, below.hosts),
        };
    }

    /// Nothing that can be seen speaks against the ramp.
    fn is_ready(&self, now: Tick, below: Below) -> bool {
        let quiet = !self.watches.iter().any(|w| w.windows.tripped());
        // A probed cluster's evidence is its endpoints; an unprobed one's, the trickle.
        below.available > 0 && quiet && (below.probed || !self.by_breaker || self.breaker.permits(now))
    }

    /// The smallest of what the rules give.
    fn admission(&mut self, now: Tick, service: &ServiceHealthParams, below: Below) -> (f32, Reason) {
        let mut least = (1.0f32, Reason::Healthy);
        let mut rule = |share: f32, reason: Reason| {
            if share < least.0 {
                least = (share, reason);
            }
        };
        if below.drained {
            rule(0.0, Reason::Drained);
        }
        if below.available == 0 {
            rule(0.0, Reason::NoEndpoint);
        }
        if self.outage.is_down() {
            if self.shut {
                rule(0.0, if self.by_breaker { Reason::Breaker } else { Reason::Hold });
            }
            for watch in &self.watches {
                let reason = match watch.trigger.kind {
                    _ if !watch.windows.tripped() => Reason::Hold,
                    TriggerKind::HighLatency(_) => Reason::HighLatency,
                    TriggerKind::HighErrorRate => Reason::HighErrorRate,
                };
                rule(watch.shed.as_ref().map_or(1.0, |shed| shed.level), reason);
            }
        }
        rule(self.outage.ramp(now, &service.recovery), Reason::Ramp);
        match below.capacity_keeps {
            Some(keeps) => rule(keeps as f32, Reason::Capacity),
            None => {
                let share = f64::from(below.available) / f64::from(below.hosts.max(1));
                rule((service.overprovisioning * share) as f32, Reason::Endpoints);
            }
        }
        (least.0.clamp(0.0, 1.0), least.1)
    }

    /// It was marked, and lives: no hold, no ramp.
    pub fn revive(&mut self, now: Tick) {
        self.marked_at = None;
        self.by_breaker = false;
        self.outage.clear(now);
        self.start_afresh();
    }

    /// Whatever was counted before belongs to the outage that is over.
    fn start_afresh(&mut self) {
        self.shut = false;
        for watch in &mut self.watches {
            watch.windows.restart();
            watch.shed = None;
        }
    }

    /// Every cluster of the service is at 0.
    pub fn mark(&mut self, now: Tick) {
        self.marked_at = self.marked_at.or(Some(now));
        self.view.marked = true;
    }
}

/// The cumulative counters of all measures: errors, then slow attempts by threshold.
pub(super) fn measures(counts: PairCounts, slow: impl Iterator<Item = u64>) -> SmallVec<[u64; 4]> {
    std::iter::once(counts.errors).chain(slow).collect()
}
