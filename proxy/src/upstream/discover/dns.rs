//! Endpoints from the DNS, by hickory-resolver: a stub resolver that asks over UDP, and over TCP where an answer
//! was cut short (RFC 7766).
//!
//! It is made anew for each look: a change of `/etc/resolv.conf` is followed, there is no second cache with a
//! memory of its own beside the TTL that decides here, and no name server is remembered as slow. What that costs, a
//! few kilobytes and a file read once a TTL, is nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use causeway_config::{AddressFamily, DnsDiscovery, DnsQuery, Endpoint, EndpointAddr, Host, MAX_DISCOVERED};
use causeway_proxy_policy::discovery::{self, Addresses, Found, SrvTarget};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Look;

/// Longest wait for one name server, of which each is asked twice.
const SERVER: Duration = Duration::from_secs(2);

/// Questions under way at a time: a thousand names at the start must not overflow a name server's socket, and the
/// resolver itself refuses what is beyond its own bound.
const AT_A_TIME: usize = 32;

static QUESTIONS: Semaphore = Semaphore::const_new(AT_A_TIME);

/// Asks for all endpoints of a name.
pub async fn look(dns: &DnsDiscovery) -> Look {
    let resolver = match resolver(&dns.nameservers) {
        Ok(resolver) => resolver,
        Err(e) => return Look::failed(format!("no resolver: {e}")),
    };
    let mut answers = Answers { resolver, ttl: Duration::MAX, error: None };
    let name = match absolute(&dns.name) {
        Ok(name) => name,
        Err(error) => return Look::failed(error),
    };
    let found = match dns.query {
        DnsQuery::Addresses(family, port) => {
            let found = answers.addresses(&name, family).await;
            map(found, |ips| ips.into_iter().map(|ip| (SocketAddr::new(ip, port), 1)).collect())
        }
        DnsQuery::Srv => answers.services(&name).await,
    };
    let found = map(found, |set| set.into_iter().map(endpoint).collect::<Vec<Endpoint>>());
    let error = answers.error.map(|(_, error)| error);
    let (found, error) = match found {
        Found::All(set) | Found::Some(set) if set.len() > MAX_DISCOVERED => {
            let error = format!("{} endpoints are too many: at most {MAX_DISCOVERED}", set.len());
            (Found::Nothing, Some(error))
        }
        Found::Nothing => {
            let empty = || "the answer has no endpoint".to_owned();
            (Found::Nothing, Some(error.unwrap_or_else(empty)))
        }
        found => (map(found, Into::into), error),
    };
    Look { found, ttl: answers.ttl, error }
}

fn map<T, U>(found: Found<T>, act: impl FnOnce(T) -> U) -> Found<U> {
    match found {
        Found::All(set) => Found::All(act(set)),
        Found::Some(set) => Found::Some(act(set)),
        Found::Nothing => Found::Nothing,
    }
}

fn endpoint((address, weight): (SocketAddr, u32)) -> Endpoint {
    let address = EndpointAddr { host: Host::Ip(address.ip()), port: address.port() };
    Endpoint { address, weight, version: None }
}

/// With a final dot: no search domain is added.
fn absolute(name: &str) -> Result<Name, String> {
    let mut absolute = Name::from_ascii(name).map_err(|e| format!("`{name}` is not a DNS name: {e}"))?;
    absolute.set_fqdn(true);
    Ok(absolute)
}

fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = nameservers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = SERVER;
    options.attempts = 2;
    options.max_active_requests = 2 * AT_A_TIME;
    options.cache_size = 0;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

/// What the answers have in common.
struct Answers {
    resolver: TokioResolver,
    /// The least of all records.
    ttl: Duration,
    /// What went wrong first; that nobody answered counts for more than that there was nothing to tell.
    error: Option<(Graveness, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Graveness {
    Empty,
    Unanswered,
}

/// The records of one answer; `None` = there was no answer.
struct Answer {
    records: Option<Vec<RData>>,
    ttl: Duration,
    error: Option<String>,
}

impl Answers {
    fn take(&mut self, answer: Answer) -> Option<Vec<RData>> {
        self.ttl = self.ttl.min(answer.ttl);
        if let Some(error) = answer.error {
            let graveness = if answer.records.is_some() { Graveness::Empty } else { Graveness::Unanswered };
            if self.error.as_ref().is_none_or(|(held, _)| *held < graveness) {
                self.error = Some((graveness, error));
            }
        }
        answer.records
    }

    async fn addresses(&mut self, name: &Name, family: AddressFamily) -> Found<Vec<IpAddr>> {
        let answers = ask_addresses(&self.resolver, name, family).await;
        self.joined(answers).found()
    }

    fn joined(&mut self, answers: Vec<Answer>) -> Addresses {
        let ip = |data: RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        let ips = |records: Vec<RData>| records.into_iter().filter_map(ip).collect();
        Addresses::join(answers.into_iter().map(|answer| self.take(answer).map(ips)))
    }

    async fn services(&mut self, name: &Name) -> Found<Vec<(SocketAddr, u32)>> {
        let answer = ask(&self.resolver, name, RecordType::SRV).await;
        let Some(records) = self.take(answer) else { return Found::Nothing };
        let service = |data: RData| match data {
            // "." says that there is decidedly no such service (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(srv),
            _ => None,
        };
        let mut looks = JoinSet::new();
        for record in records.into_iter().filter_map(service) {
            let resolver = self.resolver.clone();
            looks.spawn(async move {
                let answers = ask_addresses(&resolver, &record.target, AddressFamily::Both).await;
                (record, answers)
            });
        }
        let mut targets = Vec::with_capacity(looks.len());
        while let Some(looked) = looks.join_next().await {
            // It ends early only by a bug, and a target less is not to be served as if it were gone.
            let Ok((record, answers)) = looked else { return Found::Nothing };
            let (priority, weight, port) = (record.priority, record.weight, record.port);
            let addresses = self.joined(answers);
            targets.push(SrvTarget { priority, weight, port, addresses });
        }
        discovery::srv(&targets)
    }
}

async fn ask_addresses(resolver: &TokioResolver, name: &Name, family: AddressFamily) -> Vec<Answer> {
    let a = ask(resolver, name, RecordType::A);
    let aaaa = ask(resolver, name, RecordType::AAAA);
    match family {
        AddressFamily::V4 => vec![a.await],
        AddressFamily::V6 => vec![aaaa.await],
        AddressFamily::Both => {
            let (a, aaaa) = tokio::join!(a, aaaa);
            vec![a, aaaa]
        }
    }
}

/// One question. That a name does not exist, or has no such records, is an answer; that nobody answered, or that
/// the name server could not find out, is none.
async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Answer {
    // It is never closed.
    let _place = QUESTIONS.acquire().await;
    match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) => {
            let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
            Answer {
                records: Some(lookup.answers().iter().map(|record| record.data.clone()).collect()),
                ttl: Duration::from_secs(u64::from(ttl)),
                error: None,
            }
        }
        Err(error) => {
            let records = error.is_no_records_found().then(Vec::new);
            let error = match (error.is_nx_domain(), records.is_some()) {
                (true, _) => format!("there is no name {name}"),
                (false, true) => format!("{name} has no {kind} records"),
                (false, false) => format!("{name} {kind}: {error}"),
            };
            Answer { records, ttl: Duration::MAX, error: Some(error) }
        }
    }
}
