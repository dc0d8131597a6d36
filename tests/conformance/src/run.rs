//! All checks at once against one target.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::battery;
use crate::check::{Case, Check, Verdict};
use crate::target::{Target, World, wait_for_ends};

/// Checks under way at once. Most wait for a second to pass; more of them would only make the machine late.
const AT_ONCE: usize = 24;

/// Of those, checks that start a process of their own, or push megabytes: they would make the others late.
const HEAVY_AT_ONCE: usize = 3;

/// Far longer than any check takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was wrong, by the id of the check; those that hold have no entry.
pub type Failures = BTreeMap<String, String>;

/// The checks whose id fits the pattern: `*` stands for anything. All of them without a pattern.
pub fn chosen(pattern: Option<&str>) -> Vec<Check> {
    let mut checks = battery::all();
    checks.retain(|check| pattern.is_none_or(|pattern| fits(pattern, check.id)));
    checks
}

fn fits(pattern: &str, id: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == id,
        Some((start, rest)) => {
            let Some(id) = id.strip_prefix(start) else { return false };
            (0..=id.len()).any(|at| id.get(at..).is_some_and(|tail| fits(rest, tail)))
        }
    }
}

/// Runs checks against `program` as this target.
///
/// # Errors
/// It does not serve.
pub async fn run(target: Target, program: &Path, checks: &[Check]) -> Result<Failures, String> {
    let world = World::start(target, program).await?;
    let mut failures = Failures::new();
    // What a drain or a reload does by the second must not be looked at by a client that floods keep from looking.
    for timed in [false, true] {
        let part = checks.iter().copied().enumerate().filter(|(_, check)| is_timed(check) == timed);
        failures.extend(together(&world, part).await);
    }
    if world.running.has_ended() {
        failures.insert("target/lives".to_owned(), format!("it has ended:\n{}", world.running.said()));
    }
    // Ours contains a panic: the connection ends, which to a check may look like a refusal.
    if let Some(line) = world.running.panicked() {
        failures.insert("target/lives".to_owned(), format!("it has panicked: {line}"));
    }
    drop(world);
    wait_for_ends();
    Ok(failures)
}

/// Runs checks, and what fails again by itself: on two cores the hundreds of others may have had its time. It fails if
/// it fails twice.
///
/// # Errors
/// As [`run`].
pub async fn twice(target: Target, program: &Path, checks: &[Check]) -> Result<Failures, String> {
    let mut failures = run(target, program, checks).await?;
    let again: Vec<_> = checks.iter().copied().filter(|check| failures.contains_key(check.id)).collect();
    if !again.is_empty() {
        let still = run(target, program, &again).await?;
        failures.retain(|id, _| still.contains_key(id) || id == "target/lives");
    }
    Ok(failures)
}

/// Runs checks at once, as many as go together.
async fn together(world: &Arc<World>, checks: impl Iterator<Item = (usize, Check)>) -> Failures {
    let [light, heavy, alone] = [AT_ONCE, HEAVY_AT_ONCE, 1].map(|room| Arc::new(Semaphore::new(room)));
    let mut running = JoinSet::new();
    for (n, check) in checks {
        let case = Case { world: world.clone(), token: format!("k{:04}", n + 1) };
        let room = match check {
            _ if is_heavy(&check) => heavy.clone(),
            _ if shares_a_connection(&check) => alone.clone(),
            _ => light.clone(),
        };
        running.spawn(async move {
            let _room = room.acquire_owned().await;
            (check.id, judge(check, case).await)
        });
    }
    let mut failures = Failures::new();
    while let Some(done) = running.join_next().await {
        // Only a check's own panic, which `judge` has caught, could end a task early.
        if let Ok((id, Err(what))) = done {
            failures.insert(id.to_owned(), what);
        }
    }
    failures
}

async fn judge(check: Check, case: Case) -> Verdict {
    let judged = tokio::spawn(async move { check.judge(case).await });
    let abort = judged.abort_handle();
    match tokio::time::timeout(PATIENCE, judged).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(format!("the check broke: {panic}")),
        Err(_) => {
            abort.abort();
            Err(format!("no verdict in {PATIENCE:?}"))
        }
    }
}

/// Checks that start a process of their own, or push megabytes.
pub fn is_heavy(check: &Check) -> bool {
    matches!(check.area(), "h2-floods" | "reload" | "drain") || check.id == "splitting/answer-before-request"
}

fn is_timed(check: &Check) -> bool {
    matches!(check.area(), "reload" | "drain")
}

/// Requests to the HTTP/2 origin share a connection, which some of these checks break.
fn shares_a_connection(check: &Check) -> bool {
    matches!(check.area(), "grpc" | "upstream-h2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(
            fits("framing/*", "framing/length") && fits("*", "x/y") && fits("*/length", "framing/length")
        );
        assert!(!fits("framing/*", "fields/x") && !fits("framing/length", "framing/lengths"));
        assert_eq!(chosen(Some("framing/length")).len(), 1);
    }
}
