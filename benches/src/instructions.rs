//! Instructions a request under callgrind: the same on the busiest machine to within 2 %, or, with pauses, a tenth of
//! that.
//!
//! A proxy is run twice under `valgrind --tool=callgrind`, once for few requests and once for many, and the
//! difference of the counts is divided by the difference of the requests. So what start-up, the first connections
//! and the end cost cancels out. User space only: the kernel's part is in the CPU time that `scale` measures.
//!
//! What runs by the clock (the health ticker, pool sweeps) does not cancel: a run of more requests takes longer. At
//! callgrind's speed, a fiftieth, it would also weigh fifty times what it weighs in life. So callgrind counts each
//! thread by itself, and the result is that of the worker, the only thread on a request's path; the sum over all
//! threads is told beside it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::subject::{Program, Running, Site};
use crate::traffic::{self, Clients, Plan};

/// How long the two runs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Requests of the shorter run, at least.
    pub few: u64,
    /// Requests that the longer run has more.
    pub more: u64,
}

/// For clients without a pause.
pub const BUSY: Length = Length { few: 4_096, more: 12_288 };

/// For a single client with pauses: each request walks the same way then, so fewer say as much.
pub const CALM: Length = Length { few: 256, more: 2_048 };

/// No run takes longer than this unless something hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Code that only a worker runs: the names by which its thread is known in callgrind's output. Not the whole of
/// `request::`, some of which the main thread runs while it compiles a snapshot.
const WORKERS_CODE: [&str; 3] =
    ["causeway_proxy::request::handle", "causeway_proxy::http::h1::server::", "causeway_proxy_http1::parse"];

/// Instructions in user space.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// On the worker's thread.
    pub worker: u64,
    /// On all threads.
    pub all: u64,
}

/// Instructions a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerRequest {
    /// On the worker's thread.
    pub worker: f64,
    /// On all threads, by callgrind's slow clock: see the module.
    pub all: f64,
}

impl Length {
    /// Requests of the shorter and of the longer run, at least. The shorter has served each user, so that every
    /// connection is open by its end, and opening them cancels out.
    pub fn requests(self, users: usize) -> [u64; 2] {
        let few = self.few.max(users as u64);
        [few, few + self.more]
    }
}

/// Counts for `site`, by `plan` (whose address is the site's).
///
/// # Errors
/// The proxy, a request or valgrind fails.
pub async fn per_request(
    program: &Program,
    site: &Site,
    plan: Plan,
    length: Length,
) -> Result<PerRequest, String> {
    let [few, many] = length.requests(plan.users).map(|n| n.div_ceil(plan.connections.max(1) as u64));
    let (few, from) = run(program, site, plan, few).await?;
    let (many, to) = run(program, site, plan, many).await?;
    difference((few, from), (many, to)).ok_or_else(|| "the longer run took fewer instructions".to_owned())
}

fn difference(few: (u64, Count), many: (u64, Count)) -> Option<PerRequest> {
    let requests = many.0.checked_sub(few.0).filter(|&n| n > 0)? as f64;
    Some(PerRequest {
        worker: many.1.worker.checked_sub(few.1.worker)? as f64 / requests,
        all: many.1.all.checked_sub(few.1.all)? as f64 / requests,
    })
}

/// One run of `each` requests a connection: how many requests that were, and what they and all else took.
async fn run(program: &Program, site: &Site, plan: Plan, each: u64) -> Result<(u64, Count), String> {
    let out = site.path(&format!("callgrind-{each}"));
    fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    let file = format!("--callgrind-out-file={}", out.join("out").display());
    let instrument = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", &file];
    let proxy = Running::start(program, site, None, &instrument.map(str::to_owned)).await?;
    let requests = traffic::watched(Clients::start(plan, each).finish(), PATIENCE).await?;
    proxy.terminate().await?;
    Ok((requests, read(&out)?))
}

/// Adds up the files that callgrind wrote, one a thread.
fn read(folder: &Path) -> Result<Count, String> {
    let mut count = Count::default();
    for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
        let text = fs::read(entry.map_err(|e| e.to_string())?.path()).map_err(|e| e.to_string())?;
        count = add(count, &String::from_utf8_lossy(&text));
    }
    if count.worker == 0 {
        return Err("callgrind's output names no worker: was the proxy built without symbols?".to_owned());
    }
    Ok(count)
}

/// Adds one thread's file.
fn add(count: Count, thread: &str) -> Count {
    let total = thread.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    let total: u64 = total.unwrap_or(0);
    let is_worker = WORKERS_CODE.iter().any(|name| thread.contains(name));
    Count { worker: count.worker + if is_worker { total } else { 0 }, all: count.all + total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_cancels_out() {
        let few = Count { worker: 1_000_000 + 10 * 7_000, all: 5_000_000 + 10 * 7_500 };
        let many = Count { worker: 1_000_000 + 30 * 7_000, all: 5_000_000 + 30 * 7_500 };
        assert_eq!(difference((10, few), (30, many)), Some(PerRequest { worker: 7_000.0, all: 7_500.0 }));
        assert_eq!(difference((10, few), (10, many)), None);
    }

    #[test]
    fn threads_are_told_apart_by_the_code_they_ran() {
        let worker = "fn=(3) causeway_proxy::request::handle::{{closure}}\n16 40\ntotals: 900\n";
        let main = "fn=(3) causeway_proxy::request::filters::Filters::new\n16 40\ntotals: 50\n";
        let health = "fn=(3) causeway_proxy::health::run::{{closure}}\n16 40\ntotals: 100\n";
        let count = [worker, main, health, ""].into_iter().fold(Count::default(), add);
        assert_eq!(count, Count { worker: 900, all: 1_050 });
    }
}
