//! Which rule a request matches: `HTTPRoute` and `GRPCRoute` of Gateway API v1.7, by the letter.
//!
//! Sources: the doc comments of `apis/v1/httproute_types.go` and `grpcroute_types.go` in
//! kubernetes-sigs/gateway-api, which are the normative text. All rules of all routes that attach
//! to one listener compete; the best match wins, by, in this order:
//!
//! 1. the most specific hostname of the route that matches the request: an exact one, else the
//!    longest wildcard, else none. It is the hostname *as the route gives it* that counts, not its
//!    intersection with the listener's (the feature `GatewayRouteHostnameIntersectionPrecedence`);
//! 2. an exact path;
//! 3. a regular expression over the path, the longest pattern first. The specification leaves its
//!    place open. After the prefixes it would be dead beside any catch-all, as a match without a
//!    path is a prefix match on `/`; so it stands before them, as in Envoy Gateway;
//! 4. the prefix with the most characters, a trailing `/` not counted;
//! 5. a method; 6. more headers; 7. more query parameters;
//! 8. the oldest route; 9. the first `namespace/name`; 10. the first rule in the route.
//!
//! `GRPCRoute` counts the characters of the service, then of the method, then headers. Written as
//! paths ([`PathSpec::grpc`]) the list above gives that same order, as a request has only one
//! service and one method. The two kinds need no order between them: the specification has one of
//! two routes refused that are of different kind and intersect at a listener, which is the caller's
//! to see to.
//!
//! **A more specific hostname is preferred, it does not hide the others.** Where no rule of
//! `a.example.com` matches the request, those of `*.example.com` are asked, then those of any host:
//! the text speaks of precedence among matches, and of 404 only "when no rules matching a request
//! have been attached". (Proxies that compile a virtual host per hostname answer 404 here.)
//!
//! **What is compared is what was sent.** Paths and query strings are neither percent-decoded nor
//! normalised: `/a%62` is not `/ab`, `?q=a+b` has the value `a+b`, and `/x/../y` begins with `/x`.
//! Decoding for the choice of a route, but forwarding the undecoded path, is how filters get
//! bypassed. Only the host is normalised: the port and one trailing dot are cut off, and ASCII case
//! is ignored.
//!
//! # Cost
//!
//! Hostname, then path, each by hash: one probe for an exact name, one for every label boundary
//! that a wildcard could begin at, one for every segment boundary at which some prefix ends. So the
//! number of routes hardly matters. Rules that share both hostname and path, and rules with a
//! regular expression, are tried one after another, in order of precedence. A table of catch-all
//! rules never looks at the host or the path. Nothing is allocated for a request, but for the
//! scratch space that the `regex` crate keeps; each reader has its own.
//!
//! Rejected: one ordered list, as Envoy keeps it (500 routes cost a request 500 comparisons); a
//! radix tree over whole paths (PathPrefix is by segment, and a hash of the few lengths in use is
//! smaller and as quick); merging a wildcard's rules into every hostname below it (quadratic in
//! size, to save one probe).

mod conditions;
mod host;
#[cfg(test)]
mod naive;
mod path;
mod pattern;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

pub use conditions::Conditions;
pub use host::{HostPattern, attaches};
use host::{LowerHost, MAX_HOST};
use path::PathIndex;
pub use spec::{MatchSpec, PathSpec, RequestView, RuleSpec, TextMatch};

/// The rules of one listener, ready to be asked. Immutable: a new configuration is a new table.
#[derive(Debug)]
pub struct RouteTable {
    listener: HostPattern,
    /// Whether anything at all depends on the host.
    reads_host: bool,
    exact_hosts: ByteMap<PathIndex>,
    /// By what follows the `*`, with its dot.
    wildcard_hosts: ByteMap<PathIndex>,
    longest_wildcard: usize,
    any_host: PathIndex,
}

/// What of a match is left when its hostname and path have been found.
#[derive(Clone, Debug)]
struct Entry {
    id: u32,
    /// `None`: matches every request.
    conditions: Option<Arc<Conditions>>,
}

/// The order among matches with the same hostname and path; the smallest wins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    without_method: bool,
    headers: std::cmp::Reverse<usize>,
    query: std::cmp::Reverse<usize>,
    created: u64,
    route: &'a str,
    rule_index: usize,
}

impl RouteTable {
    /// Builds the table of a listener; the `u32` of a rule is what [`find`](Self::find) returns.
    /// `listener_hostname` is exact or with a `*.` in front; `None` or empty: every host.
    ///
    /// `readers` threads may ask it without meeting, each under its own [`RequestView::reader`].
    ///
    /// # Errors
    ///
    /// A regular expression that is malformed, or larger than 1 MiB when compiled; the text names
    /// the route and the rule.
    pub fn new(
        listener_hostname: Option<&str>,
        rules: Vec<(RuleSpec, u32)>,
        readers: usize,
    ) -> Result<Self, String> {
        let listener = HostPattern::parse(listener_hostname.unwrap_or_default());
        let every_request = [MatchSpec::default()];
        let mut ranked = Vec::new();
        for (rule, id) in &rules {
            let hosts = host::attached(&listener, &rule.hostnames);
            let matches = if rule.matches.is_empty() { &every_request[..] } else { &rule.matches };
            for spec in matches {
                let within = |e: String| format!("route {:?}, rule {}: {e}", rule.route, rule.rule_index);
                let conditions = Conditions::new(spec, readers).map_err(within)?;
                let path = path::compile(&spec.path, readers).map_err(within)?;
                let rank = Rank {
                    without_method: spec.method.is_none(),
                    headers: std::cmp::Reverse(conditions.headers()),
                    query: std::cmp::Reverse(conditions.query()),
                    created: rule.created,
                    route: &rule.route,
                    rule_index: rule.rule_index,
                };
                let conditions = (!conditions.is_empty()).then(|| Arc::new(conditions));
                ranked.push((rank, hosts.clone(), path, Entry { id: *id, conditions }));
            }
        }
        ranked.sort_by(|a, b| a.0.cmp(&b.0));

        let mut table = RouteTable {
            reads_host: listener != HostPattern::Any,
            listener,
            exact_hosts: ByteMap::default(),
            wildcard_hosts: ByteMap::default(),
            longest_wildcard: 0,
            any_host: PathIndex::default(),
        };
        for (_, hosts, path, entry) in ranked {
            for host in hosts {
                table.index(host).insert(&path, entry.clone());
            }
        }
        Ok(table)
    }

    fn index(&mut self, host: HostPattern) -> &mut PathIndex {
        self.reads_host |= host != HostPattern::Any;
        match host {
            HostPattern::Any => &mut self.any_host,
            HostPattern::Exact(name) => self.exact_hosts.entry(name.into_bytes().into()).or_default(),
            HostPattern::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.len());
                self.wildcard_hosts.entry(suffix.into_bytes().into()).or_default()
            }
        }
    }

    /// The number given with the rule that the request matches; `None`: no rule does, which is 404.
    #[inline]
    pub fn find(&self, request: &impl RequestView) -> Option<u32> {
        if self.reads_host { self.find_by_host(request) } else { self.any_host.find(request) }
    }

    fn find_by_host(&self, request: &impl RequestView) -> Option<u32> {
        let mut buffer = [0; MAX_HOST];
        let host = LowerHost::new(request.host(), &mut buffer);
        if !self.listener.accepts(&host) {
            return None;
        }
        let name = host.as_bytes();
        if let Some(id) = self.exact_hosts.get(name).and_then(|paths| paths.find(request)) {
            return Some(id);
        }
        if !self.wildcard_hosts.is_empty() {
            // From the second byte on: a wildcard stands for at least one label.
            let from = name.len().saturating_sub(self.longest_wildcard).max(1);
            for dot in from..name.len() {
                if name[dot] == b'.'
                    && let Some(paths) = self.wildcard_hosts.get(&name[dot..])
                    && let Some(id) = paths.find(request)
                {
                    return Some(id);
                }
            }
        }
        self.any_host.find(request)
    }
}

impl Entry {
    #[inline]
    fn holds(&self, request: &impl RequestView) -> bool {
        self.conditions.as_deref().is_none_or(|conditions| conditions.hold(request))
    }
}

/// The first that holds; the lists are in order of precedence.
#[inline]
fn first(entries: &[Entry], request: &impl RequestView) -> Option<u32> {
    entries.iter().find(|entry| entry.holds(request)).map(|entry| entry.id)
}

type ByteMap<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<ByteHasher>>;

/// XXH3, as the standard hash is slow on short keys. That it has no secret does no harm: the keys are
/// the operator's, a client can only ask for them.
#[derive(Default)]
struct ByteHasher(u64);

impl Hasher for ByteHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    /// Of a byte slice's hash this is its length, which XXH3 mixes in already.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
