//! The rules of one hostname, by path: exact, regular expressions, longest prefix, gRPC method, all.

use std::sync::Arc;

use super::pattern::Pattern;
use super::{ByteMap, Entry, PathSpec, RequestView, first};

#[derive(Debug, Default)]
pub(super) struct PathIndex {
    /// Whether anything but `everything` is filled.
    reads_path: bool,
    exact: ByteMap<Vec<Entry>>,
    /// The longest pattern first.
    regexes: Vec<(CompiledRegex, Entry)>,
    /// Without a trailing `/`, so that each ends where a segment ends.
    prefixes: ByteMap<Vec<Entry>>,
    /// The lengths that occur among the prefixes, the longest first, each once.
    prefix_lengths: Vec<usize>,
    grpc_methods: ByteMap<Vec<Entry>>,
    /// The prefix `/`.
    everything: Vec<Entry>,
}

/// A path to be inserted under each of its route's hostnames.
pub(super) enum CompiledPath {
    Exact(Box<[u8]>),
    Regex(CompiledRegex),
    Prefix(Box<[u8]>),
    GrpcMethod(Box<[u8]>),
    Everything,
}

#[derive(Clone, Debug)]
pub(super) struct CompiledRegex {
    pattern: Arc<Pattern>,
    /// Of the pattern as configured.
    length: usize,
}

pub(super) fn compile(path: &PathSpec, readers: usize) -> Result<CompiledPath, String> {
    Ok(match path {
        PathSpec::Exact(path) => CompiledPath::Exact(path.as_bytes().into()),
        PathSpec::Regex(pattern) => {
            let length = pattern.len();
            let pattern = Pattern::new(pattern, readers).map_err(|e| format!("path: {e}"))?;
            CompiledPath::Regex(CompiledRegex { pattern: Arc::new(pattern), length })
        }
        // "When specified, a trailing `/` is ignored."
        PathSpec::Prefix(prefix) => match prefix.strip_suffix('/').unwrap_or(prefix) {
            "" => CompiledPath::Everything,
            prefix => CompiledPath::Prefix(prefix.as_bytes().into()),
        },
        PathSpec::GrpcMethod(method) => CompiledPath::GrpcMethod(method.as_bytes().into()),
    })
}

impl PathIndex {
    /// To be called in order of precedence: entries with the same path are tried as inserted.
    pub(super) fn insert(&mut self, path: &CompiledPath, entry: Entry) {
        self.reads_path |= !matches!(path, CompiledPath::Everything);
        match path {
            CompiledPath::Exact(path) => self.exact.entry(path.clone()).or_default().push(entry),
            CompiledPath::Regex(regex) => {
                let at = self.regexes.partition_point(|(known, _)| known.length >= regex.length);
                self.regexes.insert(at, (regex.clone(), entry));
            }
            CompiledPath::Prefix(prefix) => {
                let at = self.prefix_lengths.partition_point(|&length| length > prefix.len());
                if self.prefix_lengths.get(at) != Some(&prefix.len()) {
                    self.prefix_lengths.insert(at, prefix.len());
                }
                self.prefixes.entry(prefix.clone()).or_default().push(entry);
            }
            CompiledPath::GrpcMethod(name) => {
                self.grpc_methods.entry(name.clone()).or_default().push(entry);
            }
            CompiledPath::Everything => self.everything.push(entry),
        }
    }

    #[inline]
    pub(super) fn find(&self, request: &impl RequestView) -> Option<u32> {
        if self.reads_path
            && let Some(id) = self.find_by_path(request)
        {
            return Some(id);
        }
        first(&self.everything, request)
    }

    fn find_by_path(&self, request: &impl RequestView) -> Option<u32> {
        let path = request.path();
        if let Some(id) = self.exact.get(path).and_then(|entries| first(entries, request)) {
            return Some(id);
        }
        for (path_regex, entry) in &self.regexes {
            // The conditions first: they are the cheaper part.
            if entry.holds(request) && path_regex.pattern.matches(request.reader(), path) {
                return Some(entry.id);
            }
        }
        for &length in &self.prefix_lengths {
            let ends_a_segment = path.len() == length || path.get(length) == Some(&b'/');
            if ends_a_segment
                && let Some(entries) = self.prefixes.get(&path[..length])
                && let Some(id) = first(entries, request)
            {
                return Some(id);
            }
        }
        if self.grpc_methods.is_empty() {
            return None;
        }
        self.grpc_methods.get(grpc_method(path)?).and_then(|entries| first(entries, request))
    }
}

/// The method in `/service/method`, the only form that gRPC over HTTP/2 knows.
fn grpc_method(path: &[u8]) -> Option<&[u8]> {
    let mut segments = path.strip_prefix(b"/")?.split(|&byte| byte == b'/');
    let (service, method) = (segments.next()?, segments.next()?);
    (segments.next().is_none() && !service.is_empty()).then_some(method)
}
