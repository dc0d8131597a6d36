//! The live state of a service: requests as its clients saw them, and its retry budget's counts.

use std::sync::Arc;

use causeway_proxy_policy::grpc;
use causeway_proxy_policy::retry_budget::{self, SLICES};

use super::cell::{Count, InFlight, Padded, per_worker};
use crate::telemetry::histogram::Histogram;

/// What is counted per service: requests as the client saw them.
pub struct ServiceState {
    /// Dense id, given by the registry for the service's life.
    pub id: u32,
    /// Name of the service.
    pub name: Arc<str>,
    cells: Box<[Padded<ServiceCells>]>,
}

/// What one worker counts about one service.
#[derive(Default)]
pub struct ServiceCells {
    /// Requests that began.
    pub requests: Count,
    /// Retries started.
    pub retries: Count,
    /// Retries that the budget refused.
    pub retries_refused: Count,
    /// Answers to the client by class: 1xx to 5xx.
    pub statuses: [Count; 5],
    /// Requests under way.
    pub in_flight: InFlight,
    /// From the request's head to the response's end.
    pub duration: Histogram,
    /// Body bytes from clients.
    pub bytes_in: Count,
    /// Body bytes to clients.
    pub bytes_out: Count,
    /// gRPC calls that ended, by code.
    pub grpc: [Count; grpc::CODES],
}

impl ServiceState {
    /// A new service.
    pub fn new(id: u32, name: &str, workers: usize) -> ServiceState {
        ServiceState { id, name: name.into(), cells: per_worker(workers) }
    }

    /// One worker's counters.
    pub fn cells(&self, worker: usize) -> &ServiceCells {
        &self.cells[worker]
    }

    /// All workers' counters.
    pub fn all_cells(&self) -> impl Iterator<Item = &ServiceCells> {
        self.cells.iter().map(|padded| &padded.0)
    }
}

/// What the retry budget counts for one service: requests per home, retries per (home, cluster retried to).
/// Made anew when the service's list of clusters changes: a window of 10 s is soon full again.
pub struct BudgetState {
    clusters: Arc<[Arc<str>]>,
    workers: Box<[Padded<BudgetCells>]>,
}

struct BudgetCells {
    requests: Box<[[Count; SLICES]]>,
    retries: Box<[[Count; SLICES]]>,
}

impl BudgetState {
    /// For these clusters, in the service's order.
    pub fn new(clusters: Arc<[Arc<str>]>, workers: usize) -> BudgetState {
        let n = clusters.len();
        let rings = |n: usize| (0..n).map(|_| Default::default()).collect();
        let cells = || Padded(BudgetCells { requests: rings(n), retries: rings(n * n) });
        BudgetState { clusters, workers: (0..workers).map(|_| cells()).collect() }
    }

    /// The clusters it was made for.
    pub fn clusters(&self) -> &[Arc<str>] {
        &self.clusters
    }

    /// Counts a request of `home`.
    pub fn request(&self, worker: usize, home: usize, slice: u32) {
        bump(&self.workers[worker].requests[home], slice);
    }

    /// Counts a retry of a request of `home`, sent to `cluster`.
    pub fn retry(&self, worker: usize, home: usize, cluster: usize, slice: u32) {
        bump(&self.workers[worker].retries[home * self.clusters.len() + cluster], slice);
    }

    /// Whether one more retry of `home` to `cluster` may start: by the service's budget and by the pair's.
    pub fn allows(
        &self,
        budget: &retry_budget::RetryBudget,
        home: usize,
        cluster: usize,
        slice: u32,
    ) -> bool {
        let pair = home * self.clusters.len() + cluster;
        let sum = |rings: &mut dyn Iterator<Item = &[Count; SLICES]>| {
            retry_budget::sum(rings.flat_map(|ring| ring.iter().map(Count::get)), slice)
        };
        let all_requests = sum(&mut self.workers.iter().flat_map(|w| w.requests.iter()));
        let all_retries = sum(&mut self.workers.iter().flat_map(|w| w.retries.iter()));
        let home_requests = sum(&mut self.workers.iter().map(|w| &w.requests[home]));
        let pair_retries = sum(&mut self.workers.iter().map(|w| &w.retries[pair]));
        budget.allows(all_requests, all_retries) && budget.allows(home_requests, pair_retries)
    }
}

fn bump(ring: &[Count; SLICES], slice: u32) {
    let cell = &ring[retry_budget::cell_index(slice)];
    cell.set(retry_budget::bump(cell.get(), slice));
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_policy::retry_budget::RetryBudget;

    #[test]
    fn one_sick_home_cannot_spend_the_retries_of_the_others() {
        let names: Arc<[Arc<str>]> = ["a".into(), "b".into()].into();
        let state = BudgetState::new(names, 2);
        let budget = RetryBudget { percent: 20.0, min_per_second: 0.0, ..RetryBudget::default() };
        for i in 0..100 {
            state.request(i % 2, 0, 7);
            state.request(i % 2, 1, 7);
        }
        for i in 0..20 {
            assert!(state.allows(&budget, 0, 1, 7));
            state.retry(i % 2, 0, 1, 7);
        }
        assert!(!state.allows(&budget, 0, 1, 7), "home a has spent its fifth towards b");
        assert!(state.allows(&budget, 1, 0, 7), "home b has not");
    }
}
