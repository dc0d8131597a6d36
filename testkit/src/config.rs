//! Configuration as a test thinks of it: a usual one, and what this test changes in it.
//!
//! Documents are kept as trees and written as JSON, which is YAML: a test edits a field by its path and cannot
//! get an indentation wrong. Files as people write them are tested with the config crate.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The name of the usual Gateway.
pub const GATEWAY: &str = "edge";
/// The name of the usual service.
pub const SERVICE: &str = "api";

/// A folder's worth of documents.
#[derive(Clone, Debug)]
pub struct Config {
    docs: Vec<Value>,
}

impl Config {
    /// One cleartext listener, one route for everything, and one service `api` that is sticky by `x-user-id`
    /// and has no clusters yet. Two workers, so that what is per worker is not mistaken for what is per process.
    pub fn new(listen: SocketAddr) -> Config {
        let mut config = Config { docs: Vec::new() };
        config.add(
            "Gateway",
            GATEWAY,
            json!({
                "gatewayClassName": "causeway",
                "addresses": [{"value": listen.ip().to_string()}],
                "listeners": [{"name": "http", "port": listen.port(), "protocol": "HTTP"}],
            }),
        );
        config.route("all", json!([{"backendRefs": [backend(SERVICE)]}]));
        config.service(SERVICE);
        config.add(
            "ProxyConfig",
            "proxy",
            json!({"workers": 2, "accessLog": {"path": "../access.log", "format": "json", "sample": 0}}),
        );
        config
    }

    /// Adds a document.
    pub fn add(&mut self, kind: &str, name: &str, spec: Value) -> &mut Config {
        let group = match kind {
            "Gateway" | "HTTPRoute" | "GRPCRoute" => "gateway.networking.k8s.io/v1",
            _ => "mesh.macleodlabs.io/v1",
        };
        self.docs.retain(|doc| !is(doc, kind, name));
        self.docs.push(json!({"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec}));
        self
    }

    /// Adds an HTTPRoute of the usual Gateway.
    pub fn route(&mut self, name: &str, rules: Value) -> &mut Config {
        self.add("HTTPRoute", name, json!({"parentRefs": [{"name": GATEWAY}], "rules": rules}))
    }

    /// Adds a service that is sticky by `x-user-id` and has no clusters yet.
    pub fn service(&mut self, name: &str) -> &mut Config {
        let spec = json!({
            "clusters": [],
            "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user-id"}}},
        });
        self.add("MultiClusterService", name, spec)
    }

    /// Adds a cluster to the usual service, with these endpoints and no active check.
    pub fn cluster(&mut self, name: &str, weight: u32, endpoints: &[SocketAddr]) -> &mut Config {
        self.cluster_of(SERVICE, name, weight, endpoints)
    }

    /// The same for another service.
    pub fn cluster_of(
        &mut self,
        service: &str,
        name: &str,
        weight: u32,
        endpoints: &[SocketAddr],
    ) -> &mut Config {
        let endpoints: Vec<Value> =
            endpoints.iter().map(|addr| json!({"address": addr.to_string()})).collect();
        self.add("Cluster", name, json!({"endpoints": endpoints}));
        let clusters = self.at("MultiClusterService", service, "clusters");
        clusters.as_array_mut().expect("a list").push(json!({"name": name, "weight": weight, "priority": 1}));
        self
    }

    /// Gives each Cluster an active check of `/healthz`: once a second, as in the demo.
    pub fn checked(&mut self) -> &mut Config {
        let check = json!({"http": {"path": "/healthz"}, "interval": "1s", "timeout": "500ms"});
        for doc in self.docs.iter_mut().filter(|doc| doc["kind"] == "Cluster") {
            doc["spec"]["healthCheck"] = check.clone();
        }
        self
    }

    /// Sets one field, given as `spec`'s path with dots; what is missing on the way is made. A list
    /// takes an index, that after its last to grow by one.
    pub fn set(&mut self, kind: &str, name: &str, path: &str, value: Value) -> &mut Config {
        *self.at(kind, name, path) = value;
        self
    }

    /// Sets one field of the usual service.
    pub fn set_service(&mut self, path: &str, value: Value) -> &mut Config {
        self.set("MultiClusterService", SERVICE, path, value)
    }

    /// Sets one field of the process's own document.
    pub fn set_proxy(&mut self, path: &str, value: Value) -> &mut Config {
        self.set("ProxyConfig", "proxy", path, value)
    }

    /// Sets what clients of the usual Gateway may do.
    pub fn client_policy(&mut self, mut spec: Value) -> &mut Config {
        spec["targetRefs"] = json!([{"kind": "Gateway", "name": GATEWAY}]);
        self.add("ClientTrafficPolicy", "clients", spec)
    }

    fn at(&mut self, kind: &str, name: &str, path: &str) -> &mut Value {
        let doc = self.docs.iter_mut().find(|doc| is(doc, kind, name));
        let doc = doc.unwrap_or_else(|| panic!("there is no {kind} {name}"));
        let mut value = &mut doc["spec"];
        for field in path.split('.') {
            value = match (value, field.parse::<usize>()) {
                (Value::Array(items), Ok(index)) => {
                    if index == items.len() {
                        items.push(Value::Null);
                    }
                    &mut items[index]
                }
                (value, _) => &mut value[field],
            };
        }
        value
    }

    /// The text of a file with all of it.
    pub fn text(&self) -> String {
        self.docs.iter().map(|doc| format!("---\n{doc:#}\n")).collect()
    }
}

fn is(doc: &Value, kind: &str, name: &str) -> bool {
    doc["kind"] == kind && doc["metadata"]["name"] == name
}

/// A reference to a service, for a route's rule.
pub fn backend(service: &str) -> Value {
    json!({"group": "mesh.macleodlabs.io", "kind": "MultiClusterService", "name": service})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_set_where_nothing_was_and_replaced_where_something_was() {
        let mut config = Config::new(([127, 0, 0, 1], 1).into());
        config.cluster("a", 1, &[]).set_service("resilience.retries.attempts", json!(2));
        config
            .set_service("clusters.0.weight", json!(9))
            .set_service("resilience.retries.attempts", json!(4));
        let service = config.docs.iter().find(|doc| is(doc, "MultiClusterService", SERVICE)).expect("it");
        assert_eq!(service["spec"]["resilience"]["retries"], json!({"attempts": 4}));
        assert_eq!(service["spec"]["clusters"][0], json!({"name": "a", "weight": 9, "priority": 1}));
    }
}
