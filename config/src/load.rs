//! From files to a [`Config`], or to a [`Report`] of everything that is wrong with them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::endpoint_file::{self, note_faults};
use crate::kind::{
    ApplicationSet, ClientTrafficPolicy, Cluster, CostAwareScheduling, FaultInjection, Gateway, GrpcRoute,
    HttpRoute, LocalRateLimit, MultiClusterService, ProxyConfig, ServiceDefaults, traffic_defaults,
};
use crate::read::{At, Fields, File, Notes, Step, Way};
use crate::report::Report;
use crate::resolve::{self, Declared};
use crate::source::{self, Node, Source, Tree, Value};

/// What to make of a reference to something that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// An error: a proxy cannot serve it.
    Proxy,
    /// A warning: it may be defined in files that `causeway validate` was not given.
    Validate,
}

/// What [`load`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The model.
    pub config: Config,
    /// What can hardly be meant.
    pub warnings: Report,
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    MultiClusterService,
    Cluster,
    ClientTrafficPolicy,
    LocalRateLimit,
    FaultInjection,
    TrafficDefaults,
    ProxyConfig,
    Gateway,
    HttpRoute,
    GrpcRoute,
    CostAwareScheduling,
    ApplicationSet,
}

const MESH: &str = "mesh.macleodlabs.io/v1";
const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

const KINDS: [(Kind, &str, &str); 12] = [
    (Kind::MultiClusterService, "MultiClusterService", MESH),
    (Kind::Cluster, "Cluster", MESH),
    (Kind::ClientTrafficPolicy, "ClientTrafficPolicy", MESH),
    (Kind::LocalRateLimit, "LocalRateLimit", MESH),
    (Kind::FaultInjection, "FaultInjection", MESH),
    (Kind::TrafficDefaults, "TrafficDefaults", MESH),
    (Kind::ProxyConfig, "ProxyConfig", MESH),
    (Kind::Gateway, "Gateway", GATEWAY_API),
    (Kind::HttpRoute, "HTTPRoute", GATEWAY_API),
    (Kind::GrpcRoute, "GRPCRoute", GATEWAY_API),
    (Kind::CostAwareScheduling, "CostAwareScheduling", "scheduling.macleodlabs.io/v1"),
    (Kind::ApplicationSet, "ApplicationSet", "argoproj.io/v1alpha1"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KINDS.iter().find(|(kind, ..)| kind == self).map_or("", |(_, name, _)| name))
    }
}

/// Reads, checks and joins all documents of all sources.
///
/// The order of sources and documents does not matter to the result. Linear in the length of the text.
///
/// # Errors
/// A [`Report`] with at least one error, and with all errors and warnings of all sources.
pub fn load(sources: &[Source], strictness: Strictness) -> Result<Loaded, Report> {
    let notes = Notes::new(sources.iter().map(|source| source.name.clone()).collect());
    let trees: Vec<Tree<'_>> = sources.iter().map(|source| source::parse(&source.text)).collect();
    let apart = endpoint_files(sources, &trees);
    let mut documents: Vec<Document<'_>> = Vec::new();
    let mut complete = true;
    for (index, (source, tree)) in sources.iter().zip(&trees).enumerate() {
        let file = File { notes: &notes, index, base: &source.base };
        if apart.contains(Path::new(&source.name)) {
            // Of no account to a proxy here: it reads the file by itself, and a mistake in it is no mistake of
            // the configuration.
            if strictness == Strictness::Validate {
                endpoint_file::read(file, tree);
            }
            continue;
        }
        note_faults(&notes, index, tree);
        complete &= !tree.cut_short;
        documents.extend(
            tree.documents.iter().filter(|node| !node.is_null()).map(|node| Document::new(file, node)),
        );
    }
    let mut loader = Loader::default();
    // The defaults of a service must be known before the service.
    let (defaults, others): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| document.kind == Some(Kind::TrafficDefaults));
    for document in defaults.into_iter().chain(others) {
        document.read(&mut loader);
    }
    resolve::check(&notes, &loader.config, &loader.declared, strictness, complete);
    let mut report = notes.into_report();
    report.sort();
    match report.errors() {
        0 => Ok(Loaded { config: loader.config, warnings: report }),
        _ => Err(report),
    }
}

/// The files that a `Cluster` takes its endpoints from, as [`Source::name`] gives them.
fn endpoint_files(sources: &[Source], trees: &[Tree<'_>]) -> HashSet<PathBuf> {
    let mut files = HashSet::new();
    for (source, tree) in sources.iter().zip(trees) {
        let clusters = tree.documents.iter().filter(|node| peek(node, &["kind"]) == Some("Cluster"));
        let named = clusters.filter_map(|node| peek(node, &["spec", "discovery", "file", "path"]));
        let named = named.map(|path| source.base.join(path));
        files.extend(named.filter(|path| *path != Path::new(&source.name)));
    }
    files
}

#[derive(Default)]
struct Loader {
    config: Config,
    defaults: ServiceDefaults,
    declared: Declared,
}

/// A document before it is read: what it says it is.
struct Document<'a> {
    file: File<'a>,
    node: &'a Node<'a>,
    kind: Option<Kind>,
    kind_text: &'a str,
    name_text: &'a str,
}

/// A text inside nested maps, without a word about mistakes: the reading proper says them.
fn peek<'a>(node: &'a Node<'_>, path: &[&str]) -> Option<&'a str> {
    match (&node.value, path) {
        (Value::Scalar { text, .. }, []) => Some(text),
        (Value::Map(entries), [first, rest @ ..]) => {
            peek(&entries.iter().find(|entry| entry.key == *first)?.node, rest)
        }
        _ => None,
    }
}

impl<'a> Document<'a> {
    fn new(file: File<'a>, node: &'a Node<'a>) -> Self {
        let kind_text = peek(node, &["kind"]).unwrap_or_default();
        let kind = KINDS.iter().find(|(_, name, _)| *name == kind_text).map(|(kind, ..)| *kind);
        let name_text = peek(node, &["metadata", "name"]).unwrap_or_default();
        Document { file, node, kind, kind_text, name_text }
    }

    fn read(&self, loader: &mut Loader) {
        let way = Way { before: None, step: Step::Document(self.kind_text, self.name_text) };
        let at = At { file: self.file, node: self.node, way: &way };
        let Some(mut fields) = at.fields() else { return };
        let version =
            fields.need("apiVersion", "write it, as in apiVersion: mesh.macleodlabs.io/v1", |at| at.text());
        fields.need("kind", "write what this is, as in kind: Cluster", |at| self.check_kind(at));
        let Some(kind) = self.kind else {
            fields.ignore_rest();
            return;
        };
        let expected = KINDS.iter().find(|(other, ..)| *other == kind).map_or("", |(_, _, version)| version);
        if let Some(version) = version.filter(|version| *version != expected) {
            let message = format!("a {kind} of version `{version}` is not known");
            fields.error_at("apiVersion", message, format!("write {expected}"));
        }
        let name = fields.need("metadata", "write metadata: {name: ...}", |at| {
            let mut fields = at.fields()?;
            // What the API server of Kubernetes adds, and what is for people or other programs.
            for other in [
                "namespace",
                "labels",
                "annotations",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
                "finalizers",
                "ownerReferences",
            ] {
                fields.ignore(other);
            }
            fields.need("name", "name it", |at| {
                let name = at.name()?;
                loader.declare(kind, &name, at);
                Some(name)
            })
        });
        fields.ignore("status");
        fields.need("spec", "write what it is to be", |at| {
            at.fields().map(|spec| loader.read(kind, name.as_deref(), spec))
        });
    }

    fn check_kind(&self, at: At<'_>) -> Option<()> {
        if self.kind.is_some() {
            return Some(());
        }
        let text = at.any_text()?;
        let names = KINDS.iter().map(|(_, name, _)| *name);
        let remedy = at.file.notes.remedy(text, names, "the kinds are");
        at.refuse(format!("the kind `{text}` is not known"), remedy)
    }
}

impl Loader {
    /// Notes a name, with an error if it is taken.
    fn declare(&mut self, kind: Kind, name: &str, at: At<'_>) {
        let names = self.declared.entry(kind).or_default();
        let single = matches!(kind, Kind::ProxyConfig | Kind::TrafficDefaults);
        let earlier = if single { names.values().next() } else { names.get(name) };
        if let Some(earlier) = earlier {
            let place = at.file.notes.show(earlier);
            let (message, remedy) = match single {
                true => {
                    (format!("there is a {kind} already, at {place}"), "join the two: there can be only one")
                }
                false => (
                    format!("the {kind} `{name}` is given already, at {place}"),
                    "rename or remove one of the two",
                ),
            };
            at.error(message, remedy);
            return;
        }
        names.insert(name.to_owned(), at.place());
    }

    /// `name` is `None` if it is missing or no name; the spec is read all the same, for its mistakes.
    fn read(&mut self, kind: Kind, name: Option<&str>, spec: Fields<'_>) {
        fn put<T>(map: &mut BTreeMap<String, Arc<T>>, name: &str, value: Option<T>) {
            if let Some(value) = value {
                map.entry(name.to_owned()).or_insert_with(|| Arc::new(value));
            }
        }
        let config = &mut self.config;
        let name = name.unwrap_or_default();
        match kind {
            Kind::MultiClusterService => {
                put(&mut config.services, name, MultiClusterService::read(name, spec, &self.defaults));
            }
            Kind::Cluster => put(&mut config.clusters, name, Cluster::read(name, spec)),
            Kind::ClientTrafficPolicy => {
                put(&mut config.client_policies, name, ClientTrafficPolicy::read(name, spec));
            }
            Kind::LocalRateLimit => put(&mut config.rate_limits, name, LocalRateLimit::read(name, spec)),
            Kind::FaultInjection => put(&mut config.fault_injections, name, FaultInjection::read(name, spec)),
            Kind::TrafficDefaults => self.defaults = traffic_defaults::read(spec),
            Kind::ProxyConfig => config.proxy = ProxyConfig::read(spec),
            Kind::Gateway => put(&mut config.gateways, name, Gateway::read(name, spec)),
            Kind::HttpRoute => put(&mut config.http_routes, name, HttpRoute::read(name, spec)),
            Kind::GrpcRoute => put(&mut config.grpc_routes, name, GrpcRoute::read(name, spec)),
            Kind::CostAwareScheduling => {
                put(&mut config.cost_policies, name, CostAwareScheduling::read(name, spec));
            }
            Kind::ApplicationSet => put(&mut config.application_sets, name, ApplicationSet::read(name, spec)),
        }
    }
}
