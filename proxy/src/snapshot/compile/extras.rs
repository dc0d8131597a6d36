//! What rules may name, and the steps that few rules have: CORS, rate limits, faults, mirrors.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::{Config, ExtensionKind, ExtensionRef, RequestMirror, RouteFilter};
use causeway_proxy_policy::fault::FaultPlan;
use causeway_proxy_policy::route_table::{Conditions, MatchSpec};

use super::listeners;
use crate::request::cors::Cors;
use crate::request::gate::{Extras, Injection, Step};
use crate::request::mirror::Mirror;
use crate::request::rate_limit::RateLimit;
use crate::snapshot::{Rule, Service};
use crate::upstream::extras::MirrorState;
use crate::upstream::registry::Registry;

/// What the rules of routes may name, by name.
pub struct Named<'a> {
    /// How many threads ask their patterns.
    pub workers: usize,
    /// Services.
    pub services: BTreeMap<&'a str, Arc<Service>>,
    /// Rate limits: one for all rules that name it.
    pub limits: BTreeMap<&'a str, Arc<RateLimit>>,
    /// Fault injections.
    pub faults: BTreeMap<&'a str, Arc<Injection>>,
    /// The counters of services that get copies.
    pub mirrors: BTreeMap<&'a str, Arc<MirrorState>>,
}

impl<'a> Named<'a> {
    /// Compiles everything but the services.
    pub fn new(
        config: &'a Config,
        services: BTreeMap<&'a str, Arc<Service>>,
        registry: &Registry,
    ) -> Result<Named<'a>, String> {
        let limit = |limit: &causeway_config::LocalRateLimit| {
            let state = registry.rate_limit(&limit.name, RateLimit::slots(limit));
            Arc::new(RateLimit::new(limit, state))
        };
        let fault = |fault: &causeway_config::FaultInjection| {
            injection(fault, registry).map_err(|e| format!("FaultInjection {}: {e}", fault.name))
        };
        let mirrored = filters(config).filter_map(|filter| match filter {
            RouteFilter::RequestMirror(mirror) => Some(mirror.service.as_str()),
            _ => None,
        });
        Ok(Named {
            workers: registry.workers(),
            services,
            limits: config.rate_limits.iter().map(|(name, of)| (name.as_str(), limit(of))).collect(),
            faults: config
                .fault_injections
                .iter()
                .map(|(name, of)| Ok((name.as_str(), Arc::new(fault(of)?))))
                .collect::<Result<_, String>>()?,
            mirrors: mirrored.map(|service| (service, registry.mirror(service))).collect(),
        })
    }

    /// A rule with the extras that its filters ask for.
    pub fn with_extras(&self, mut rule: Rule, filters: &[RouteFilter]) -> Result<Rule, String> {
        let mut extras = Extras { cors: None, steps: Vec::new(), mirrors: Vec::new() };
        for filter in filters {
            match filter {
                RouteFilter::Cors(cors) => extras.cors = Some(Cors::new(cors)),
                RouteFilter::ExtensionRef(named) => extras.steps.push(self.step(named)?),
                RouteFilter::RequestMirror(mirror) => {
                    extras.mirrors.push(Arc::new(self.mirror(mirror, &rule)?))
                }
                RouteFilter::RequestHeaderModifier(_)
                | RouteFilter::ResponseHeaderModifier(_)
                | RouteFilter::RequestRedirect(_)
                | RouteFilter::UrlRewrite(_) => {}
            }
        }
        rule.extras = (!extras.is_empty()).then(|| Box::new(extras));
        Ok(rule)
    }

    fn step(&self, named: &ExtensionRef) -> Result<Step, String> {
        let name = named.name.as_str();
        let step = match named.kind {
            ExtensionKind::LocalRateLimit => self.limits.get(name).cloned().map(Step::Limit),
            ExtensionKind::FaultInjection => self.faults.get(name).cloned().map(Step::Fault),
        };
        step.ok_or_else(|| format!("there is no {:?} `{name}`: add it", named.kind))
    }

    fn mirror(&self, mirror: &RequestMirror, rule: &Rule) -> Result<Mirror, String> {
        let name = mirror.service.as_str();
        let (Some(service), Some(state)) = (self.services.get(name), self.mirrors.get(name)) else {
            return Err(format!("there is no MultiClusterService `{name}` to mirror to: add it"));
        };
        Ok(Mirror {
            service: service.clone(),
            share: mirror.share.as_f64(),
            state: state.clone(),
            rule: Rule {
                name: rule.name.clone(),
                filters: rule.filters.clone(),
                request_timeout: None,
                try_timeout: None,
                client: None,
                extras: None,
                backends: Vec::new(),
            },
            limits: listeners::limits(None),
        })
    }
}

/// All filters of all routes.
fn filters(config: &Config) -> impl Iterator<Item = &RouteFilter> {
    let http = config.http_routes.values().flat_map(|route| &route.rules).flat_map(|rule| &rule.filters);
    let grpc = config.grpc_routes.values().flat_map(|route| &route.rules).flat_map(|rule| &rule.filters);
    http.chain(grpc)
}

fn injection(fault: &causeway_config::FaultInjection, registry: &Registry) -> Result<Injection, String> {
    let spec = MatchSpec { headers: listeners::headers(&fault.headers), ..MatchSpec::default() };
    let conditions = Conditions::new(&spec, registry.workers())?;
    Ok(Injection {
        state: registry.fault(&fault.name),
        conditions,
        plan: FaultPlan {
            delay: fault.delay.map(|delay| (delay.percent / 100.0, delay.fixed)),
            abort: fault.abort.map(|abort| (abort.percent / 100.0, abort.answer)),
        },
    })
}
