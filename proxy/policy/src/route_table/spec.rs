//! What goes into a table, and what it asks of a request.

/// One rule of a route, with all that decides whether and before whom it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// The hostnames of the route, exact or with a `*.` in front. Empty: every host. Those that do
    /// not intersect with the listener's are ignored; where none does, so is the rule.
    pub hostnames: Vec<String>,
    /// When the route was created, in seconds since 1970: the older route wins a tie. 0 where the
    /// source keeps no such time (files): there the name decides.
    pub created: u64,
    /// `namespace/name` of the route, which decides between routes of the same age.
    pub route: String,
    /// The place of the rule in its route, which decides last.
    pub rule_index: usize,
    /// The rule matches if any of these does. Empty: every request.
    pub matches: Vec<MatchSpec>,
}

/// What a request must have, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// Left out in the configuration: every request, which is the default here too.
    pub path: PathSpec,
    /// Compared with case (RFC 9110, section 9.1). `None`: any.
    pub method: Option<String>,
    /// By name in lower case. Of two with the same name only the first counts, as specified.
    pub headers: Vec<(String, TextMatch)>,
    /// By name, with case. Of two with the same name only the first counts, as specified.
    pub query: Vec<(String, TextMatch)>,
}

/// How the path of a request, without its query, is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSpec {
    /// Byte for byte.
    Exact(String),
    /// Whole segments: `/foo` and `/foo/` match `/foo`, `/foo/` and `/foo/bar`, not `/foobar`. `/`
    /// matches every request, also `OPTIONS *`, which has no path.
    Prefix(String),
    /// The whole path, in the syntax of the `regex` crate, where `.` is any byte but a newline and
    /// the classes are ASCII. Linear in the path's length, whatever the pattern.
    Regex(String),
    /// A gRPC method of any service. Less than any prefix but `/`.
    GrpcMethod(String),
}

/// How the value of a header or of a query parameter is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// Byte for byte.
    Exact(Vec<u8>),
    /// The whole value, in the syntax of [`PathSpec::Regex`].
    Regex(String),
}

/// What the table asks of a request. Asked only for what some rule needs.
pub trait RequestView {
    /// The `Host` header or `:authority`, as it came, with its port.
    fn host(&self) -> &[u8];
    /// The path as it came, without the query.
    fn path(&self) -> &[u8];
    /// What follows the first `?`.
    fn query(&self) -> Option<&[u8]>;
    /// As it came: methods are compared with case.
    fn method(&self) -> &[u8];
    /// The first value of a header. (For one that is repeated the specification leaves it open
    /// which value counts.)
    fn header(&self, lower_name: &str) -> Option<&[u8]>;
    /// Who asks, of the table's `readers`.
    fn reader(&self) -> usize {
        0
    }
}

impl Default for PathSpec {
    /// Every request: what the specification gives a match without a path.
    fn default() -> Self {
        PathSpec::Prefix("/".into())
    }
}

impl PathSpec {
    /// The path of a `GRPCRoute`'s method match of type `Exact`; `None` or empty: any.
    pub fn grpc(service: Option<&str>, method: Option<&str>) -> Self {
        let given = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
        match (given(service), given(method)) {
            (Some(service), Some(method)) => PathSpec::Exact(format!("/{service}/{method}")),
            (Some(service), None) => PathSpec::Prefix(format!("/{service}")),
            (None, Some(method)) => PathSpec::GrpcMethod(method),
            (None, None) => PathSpec::default(),
        }
    }
}
