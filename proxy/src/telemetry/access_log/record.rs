//! One request, as it is logged.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use crate::telemetry::trace::TraceId;

/// Longest path, query included.
const PATH: usize = 2048;
/// Longest host: a DNS name has at most 253 bytes (RFC 1035 section 2.3.4), and a port may follow.
const HOST: usize = 260;
/// Longest method; the registered ones have at most 17 bytes.
const METHOD: usize = 32;
/// Longest user agent.
const USER_AGENT: usize = 512;
/// Longest name of ours. None that the config takes is as long: an object's has at most 253 bytes, and two of them
/// with a slash make a rule's.
const NAME: usize = 1024;

/// Flag: more than one try was made.
pub const RETRIED: &str = "RT";
/// Flag: served by another cluster than the key's home.
pub const FAILED_OVER: &str = "FO";
/// Flag: sent although health said no, because too few were healthy.
pub const PANIC: &str = "PA";

/// Flag: it had to wait for a fault on purpose.
pub const DELAYED: &str = "DI";

/// What was out of the ordinary, in the order in which it was noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(SmallVec<[&'static str; 4]>);

impl Flags {
    /// Notes a flag; the empty one and one that is there already are ignored.
    pub fn add(&mut self, flag: &'static str) {
        if !flag.is_empty() && !self.0.contains(&flag) {
            self.0.push(flag);
        }
    }

    /// All flags.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Nothing to note.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names from the snapshot, each if it applies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// Of the route's rule.
    pub rule: Option<&'a str>,
    /// Of the service.
    pub service: Option<&'a str>,
    /// Of the key's home cluster.
    pub home: Option<&'a str>,
    /// Of the last attempt's cluster.
    pub cluster: Option<&'a str>,
    /// The last attempt's address.
    pub endpoint: Option<&'a str>,
}

/// One request. All texts share one allocation. Names are copied too: a count of references to them would be
/// written by the worker and by the log's thread.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the request's head was there.
    pub started: SystemTime,
    /// From the head to the end of the response, in nanoseconds.
    pub duration: u64,
    /// From the start of the last attempt to its response head, in nanoseconds.
    pub first_byte: Option<u64>,
    /// The client.
    pub client: IpAddr,
    /// Who the client proved to be by its certificate.
    pub identity: Option<Arc<str>>,
    /// `HTTP/1.1` or alike.
    pub protocol: &'static str,
    /// What the client got; 0 if nothing.
    pub status: u16,
    /// What was out of the ordinary.
    pub flags: Flags,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Why the last attempt went there: [`Why::as_str`](causeway_proxy_policy::Why::as_str).
    pub why: Option<&'static str>,
    /// Tries, the first included; 0 if none was made.
    pub attempts: u32,
    /// Of a valid `traceparent`.
    pub trace: Option<TraceId>,
    /// Of a gRPC call: its code.
    pub grpc: Option<u8>,
    text: Vec<u8>,
    method: Range<u16>,
    host: Range<u16>,
    path: Range<u16>,
    user_agent: Range<u16>,
    rule: Range<u16>,
    service: Range<u16>,
    home: Range<u16>,
    cluster: Range<u16>,
    endpoint: Range<u16>,
}

impl Record {
    /// A record of a request that began at `started`. Copies the texts, cut to their bounds; an empty user agent or
    /// name is none.
    pub fn new(
        started: SystemTime,
        client: IpAddr,
        method: &[u8],
        host: &[u8],
        path: &[u8],
        user_agent: &[u8],
        names: Names<'_>,
    ) -> Record {
        let parts = [
            cut(method, METHOD),
            cut(host, HOST),
            cut(path, PATH),
            cut(user_agent, USER_AGENT),
            name(names.rule),
            name(names.service),
            name(names.home),
            name(names.cluster),
            name(names.endpoint),
        ];
        let mut text = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let [method, host, path, user_agent, rule, service, home, cluster, endpoint] = parts.map(|part| {
            let start = text.len() as u16;
            text.extend_from_slice(part);
            start..text.len() as u16
        });
        Record {
            started,
            duration: 0,
            first_byte: None,
            client,
            identity: None,
            protocol: "HTTP/1.1",
            status: 0,
            flags: Flags::default(),
            bytes_in: 0,
            bytes_out: 0,
            why: None,
            attempts: 0,
            trace: None,
            grpc: None,
            text,
            method,
            host,
            path,
            user_agent,
            rule,
            service,
            home,
            cluster,
            endpoint,
        }
    }

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.part(&self.method)
    }

    /// The host as the client named it.
    pub fn host(&self) -> &[u8] {
        self.part(&self.host)
    }

    /// Path and query as they came.
    pub fn path(&self) -> &[u8] {
        self.part(&self.path)
    }

    /// The user agent; empty if none.
    pub fn user_agent(&self) -> &[u8] {
        self.part(&self.user_agent)
    }

    /// Name of the route's rule.
    pub fn rule(&self) -> Option<&str> {
        self.name(&self.rule)
    }

    /// The service.
    pub fn service(&self) -> Option<&str> {
        self.name(&self.service)
    }

    /// The key's home cluster.
    pub fn home(&self) -> Option<&str> {
        self.name(&self.home)
    }

    /// The cluster of the last attempt.
    pub fn cluster(&self) -> Option<&str> {
        self.name(&self.cluster)
    }

    /// The address of the last attempt.
    pub fn endpoint(&self) -> Option<&str> {
        self.name(&self.endpoint)
    }

    /// What was copied from a `str` and cut between characters is one.
    fn name(&self, range: &Range<u16>) -> Option<&str> {
        std::str::from_utf8(self.part(range)).ok().filter(|name| !name.is_empty())
    }

    fn part(&self, range: &Range<u16>) -> &[u8] {
        &self.text[usize::from(range.start)..usize::from(range.end)]
    }
}

// The ranges' 16 bits hold all texts together.
const _: () = assert!(METHOD + HOST + PATH + USER_AGENT + 5 * NAME < u16::MAX as usize);

/// A name, empty where it does not apply.
fn name(name: Option<&str>) -> &[u8] {
    cut(name.unwrap_or_default().as_bytes(), NAME)
}

/// At most `longest` bytes, never the middle of a UTF-8 character.
fn cut(text: &[u8], longest: usize) -> &[u8] {
    if text.len() <= longest {
        return text;
    }
    let continues = |at: &usize| text[*at] & 0b1100_0000 == 0b1000_0000;
    // A character has at most three bytes behind its first.
    let back = (0..=3).find(|back| !continues(&(longest - back))).unwrap_or(0);
    &text[..longest - back]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_their_bounds_and_only_there() {
        let long = [b'x'; 5000];
        let client = IpAddr::from([127, 0, 0, 1]);
        let record = Record::new(SystemTime::UNIX_EPOCH, client, &long, b"h", &long, &long, Names::default());
        let lengths = [record.method(), record.host(), record.path(), record.user_agent()].map(<[u8]>::len);
        assert_eq!(lengths, [METHOD, 1, PATH, USER_AGENT]);
        let record =
            Record::new(SystemTime::UNIX_EPOCH, client, b"GET", b"h", b"/p?q", b"", Names::default());
        assert_eq!((record.method(), record.host(), record.path()), (&b"GET"[..], &b"h"[..], &b"/p?q"[..]));
    }

    #[test]
    fn a_name_that_does_not_apply_is_none_and_the_others_are_whole() {
        let rule = format!("{0}/{0}", "r".repeat(253));
        let names = Names { rule: Some(&rule), home: Some("east"), ..Names::default() };
        let client = IpAddr::from([127, 0, 0, 1]);
        let record = Record::new(SystemTime::UNIX_EPOCH, client, b"GET", b"h", b"/", b"", names);
        assert_eq!((record.rule(), record.home()), (Some(rule.as_str()), Some("east")));
        assert_eq!((record.service(), record.cluster(), record.endpoint()), (None, None, None));
    }

    #[test]
    fn a_cut_leaves_whole_characters() {
        assert_eq!(cut("ab\u{20ac}d".as_bytes(), 4), b"ab");
        assert_eq!(cut("ab\u{20ac}d".as_bytes(), 5), "ab\u{20ac}".as_bytes());
        assert_eq!(cut(&[0x80; 10], 6), [0x80; 6], "what is no UTF-8 is cut where it is");
    }

    #[test]
    fn a_flag_is_noted_once() {
        let mut flags = Flags::default();
        ["UF", RETRIED, "", "UF"].into_iter().for_each(|flag| flags.add(flag));
        assert_eq!(flags.iter().collect::<Vec<_>>(), ["UF", "RT"]);
    }
}
