use super::plan::ServicePlan;
use super::route::{Route, Target};
use super::view::View;
use crate::tick::Tick;

impl ServicePlan {
    /// The next place to try: first try, retries, and what follows a limit's refusal.
    pub fn next(&self, route: &mut Route, view: &impl View, now: Tick, roll: u64) -> Option<Target> {
        let _ = (route, view, now, roll);
        todo!()
    }
}
