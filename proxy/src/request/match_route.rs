//! From a head to the rule it matches, and from the rule to a service.

use causeway_config::HashOn;
use causeway_proxy_http1::RequestHead;
use causeway_proxy_policy::route_table::RequestView;
use causeway_proxy_policy::{KeyHash, rendezvous};

use crate::snapshot::{Port, Rule, Service};

/// The rule that the request matches; `worker` asks.
pub fn find<'s>(port: &'s Port, head: &RequestHead, worker: usize) -> Option<&'s Rule> {
    let listener = port.listener(head.host())?;
    let rule = listener.table.find(&HeadView { head, worker })?;
    listener.rules.get(rule as usize)
}

/// What the key of a rule's requests is made of: its first service says so, for all sides of a split.
pub fn hash_on(rule: &Rule) -> &[HashOn] {
    rule.backends.iter().find_map(|backend| backend.service.as_ref()).map_or(&[], |service| &service.hash_on)
}

/// The service that takes the request. A weighted split is rendezvous over the backends, as everywhere: a key
/// stays on its side, and shifting weight moves no more keys than it must.
pub fn service(rule: &Rule, key: Option<KeyHash>, roll: u64) -> Option<&Service> {
    if let [only] = rule.backends.as_slice() {
        return only.service.as_deref().filter(|_| only.weight > 0);
    }
    let key = key.unwrap_or_else(|| KeyHash::from_roll(roll));
    let mut best: Option<(f64, usize)> = None;
    for (i, backend) in rule.backends.iter().enumerate().filter(|(_, backend)| backend.weight > 0) {
        let score = rendezvous::score(key, backend.node, f64::from(backend.weight));
        if best.is_none_or(|(top, _)| score > top) {
            best = Some((score, i));
        }
    }
    rule.backends.get(best?.1)?.service.as_deref()
}

/// A head as the route table sees it.
pub struct HeadView<'a> {
    /// The head.
    pub head: &'a RequestHead,
    /// Who asks.
    pub worker: usize,
}

impl RequestView for HeadView<'_> {
    fn host(&self) -> &[u8] {
        self.head.host()
    }

    fn path(&self) -> &[u8] {
        self.head.path()
    }

    fn query(&self) -> Option<&[u8]> {
        self.head.query()
    }

    fn method(&self) -> &[u8] {
        self.head.method_name()
    }

    fn header(&self, lower_name: &str) -> Option<&[u8]> {
        let head = self.head;
        let field = head.fields.iter().find(|field| {
            !field.drop && field.name.of(&head.bytes).eq_ignore_ascii_case(lower_name.as_bytes())
        })?;
        Some(field.value.of(&head.bytes))
    }

    fn reader(&self) -> usize {
        self.worker
    }
}
