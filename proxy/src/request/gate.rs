//! The steps of a rule that may answer before a backend is asked: preflights, rate limits, faults on purpose.
//!
//! A preflight is answered first, then limits and faults take their turns in the order written; redirects come
//! after. Few rules have any of it, so it stands behind one pointer that is usually null.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use causeway_config::{AbortAnswer, ForwardingHeader};
use causeway_proxy_http1::{RequestHead, ResponseHead};
use causeway_proxy_policy::fault::FaultPlan;
use causeway_proxy_policy::grpc;
use causeway_proxy_policy::rate_limit::{Quota, Verdict};
use causeway_proxy_policy::route_table::Conditions;

use super::client::Client;
use super::cors::Cors;
use super::error::ErrorKind;
use super::match_route::HeadView;
use super::mirror::{self, Copies, Mirror};
use super::rate_limit::{Advert, RateLimit, seconds};
use super::record::Story;
use super::respond::{self, Reply};
use crate::http::exchange::Down;
use crate::upstream::extras::FaultState;
use crate::worker::Worker;

/// What few rules have.
pub struct Extras {
    /// Who may read the answers.
    pub cors: Option<Cors>,
    /// Limits and faults, in the order written.
    pub steps: Vec<Step>,
    /// Who gets copies.
    pub mirrors: Vec<Arc<Mirror>>,
}

/// A step that may answer.
pub enum Step {
    /// A local rate limit.
    Limit(Arc<RateLimit>),
    /// A fault on purpose.
    Fault(Arc<Injection>),
}

/// One `FaultInjection`.
pub struct Injection {
    /// Its counters.
    pub state: Arc<FaultState>,
    /// Only requests that meet these.
    pub conditions: Conditions,
    /// What is done to them.
    pub plan: FaultPlan<AbortAnswer>,
}

/// What a request of such a rule carries with it.
pub struct Carried {
    /// What its answer says of rate limits.
    pub advert: Option<Box<Advert>>,
    /// Copies that wait for its body.
    pub copies: Option<Box<Copies>>,
}

impl Carried {
    /// For a request that is about to be sent as it stands; nothing where the rule has no extras.
    ///
    /// Not in its caller: what is moved in one branch only is kept there through all that follows.
    pub fn begin(
        extras: Option<&Extras>,
        advert: Option<Box<Advert>>,
        worker: &Rc<Worker>,
        from: (&Client, ForwardingHeader),
        address: IpAddr,
        head: &RequestHead,
    ) -> Option<Box<Carried>> {
        let copies = mirror::begin(worker, &extras?.mirrors, from, address, head);
        Some(Box::new(Carried { advert, copies }))
    }
}

/// What the gate says.
pub enum Gate<T> {
    /// Go on with what was kept; the answer is to carry what is said of rate limits.
    Open(T, Option<Box<Advert>>),
    /// The request has its answer.
    Answered,
}

impl Extras {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.cors.is_none() && self.steps.is_empty() && self.mirrors.is_empty()
    }

    /// What an upstream's answer gets.
    pub fn edit_response(&self, request: &RequestHead, advert: Option<&Advert>, response: &mut ResponseHead) {
        if let Some(advert) = advert {
            // Names of limits are names of resources: no octet of them needs an escape.
            let _ = response.push(b"RateLimit-Policy", advert.policy.as_bytes());
            let _ = response.push(b"RateLimit", advert.quota.as_bytes());
        }
        if let Some(cors) = &self.cors {
            cors.replace(request, response);
        }
    }

    /// Takes the request through the steps. `kept` is what the request needs afterwards.
    pub async fn pass<T>(
        &self,
        worker: &Rc<Worker>,
        kept: T,
        address: IpAddr,
        down: &mut Down<'_>,
        head: &RequestHead,
        story: &mut Story<'_>,
    ) -> Result<Gate<T>, ErrorKind> {
        if let Some(preflight) = self.cors.as_ref().and_then(|cors| cors.preflight(head)) {
            let reply = Reply { status: preflight.status, fields: &preflight.fields, ..Reply::default() };
            respond::send(worker, down, head, reply, story).await?;
            return Ok(Gate::Answered);
        }
        let mut advert: Option<Box<Advert>> = None;
        for step in &self.steps {
            match step {
                Step::Limit(limit) => match limit.charge(worker, head, address) {
                    Verdict::Pass { quota, .. } if limit.advertise => {
                        advert.get_or_insert_default().add(limit, quota);
                    }
                    Verdict::Pass { .. } => {}
                    Verdict::Refuse { wait, quota, .. } => {
                        refuse(worker, down, head, limit, (wait, quota), story).await?;
                        return Ok(Gate::Answered);
                    }
                },
                Step::Fault(injection)
                    if injection.conditions.hold(&HeadView { head, worker: worker.index }) =>
                {
                    if injection.act(worker, down, head, story).await? {
                        return Ok(Gate::Answered);
                    }
                }
                Step::Fault(_) => {}
            }
        }
        Ok(Gate::Open(kept, advert))
    }
}

impl Injection {
    /// Does what is rolled; whether it has answered. An HTTP status is an error like our own others.
    async fn act(
        &self,
        worker: &Rc<Worker>,
        down: &mut Down<'_>,
        head: &RequestHead,
        story: &mut Story<'_>,
    ) -> Result<bool, ErrorKind> {
        let cells = self.state.cells(worker.index);
        let fault = self.plan.decide(worker.roll());
        if let Some(delay) = fault.delay {
            cells.delayed.add(1);
            story.delayed = true;
            wait(worker, down, delay).await?;
        }
        let Some(abort) = fault.abort else { return Ok(false) };
        cells.aborted.add(1);
        match abort {
            AbortAnswer::Status(status) => Err(ErrorKind::Injected(status)),
            AbortAnswer::Grpc(code) => {
                let error = ErrorKind::Injected(200);
                story.error = Some(error);
                worker.counters().answered(&respond::answer(error));
                respond::grpc(worker, down, head, (code, error), &[], story).await.map(|()| true)
            }
        }
    }
}

/// Waits, as long as the client does.
async fn wait(worker: &Rc<Worker>, down: &mut Down<'_>, delay: Duration) -> Result<(), ErrorKind> {
    let timer = down.timer();
    timer.set(Some(worker.now() + delay));
    std::future::poll_fn(|cx| {
        if timer.poll_fired(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        down.poll_gone(cx).map(|()| Err(ErrorKind::ClientGone))
    })
    .await
}

/// Answers a request that is over a limit: 429 (RFC 6585 section 4), and for gRPC RESOURCE_EXHAUSTED.
async fn refuse(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    head: &RequestHead,
    limit: &RateLimit,
    (wait, quota): (Duration, Quota),
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let mut advert = Advert::default();
    advert.add(limit, quota);
    let limits: [(&[u8], &[u8]); 2] =
        [(b"RateLimit-Policy", advert.policy.as_bytes()), (b"RateLimit", advert.quota.as_bytes())];
    if story.grpc.is_some() {
        let pushback = wait.as_millis().max(1).to_string();
        worker.counters().answered(&respond::answer(ErrorKind::RateLimited));
        let fields = [limits[0], limits[1], (&b"grpc-retry-pushback-ms"[..], pushback.as_bytes())];
        let error = ErrorKind::RateLimited;
        story.error = Some(error);
        return respond::grpc(worker, down, head, (grpc::RESOURCE_EXHAUSTED, error), &fields, story).await;
    }
    let retry_after = seconds(wait).max(1).to_string();
    let fields = [limits[0], limits[1], (&b"Retry-After"[..], retry_after.as_bytes())];
    story.error = Some(ErrorKind::RateLimited);
    respond::refusal(worker, down, head, ErrorKind::RateLimited, &fields, story).await
}
