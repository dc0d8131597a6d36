//! From what the request path knows to a record.

use std::time::{Duration, SystemTime};

use causeway_proxy_http1::{Known, RequestHead, Version};

use super::record::Record;
use crate::request::Client;
use crate::request::record::Story;
use crate::telemetry::trace;

/// A request that is over, as the request path has it: everything borrowed.
pub struct Entry<'a, 's> {
    /// Where it came from.
    pub client: &'a Client,
    /// Its head.
    pub head: &'a RequestHead,
    /// What it went through.
    pub story: &'a Story<'s>,
    /// From its head to the end of the response, in nanoseconds.
    pub duration: u64,
    /// What was out of the ordinary.
    pub flags: &'a [&'static str],
}

impl From<Entry<'_, '_>> for Record {
    fn from(entry: Entry<'_, '_>) -> Record {
        let Entry { client, head, story, duration, flags } = entry;
        // The wall clock is read for logged requests only, and once.
        let started = SystemTime::now() - Duration::from_nanos(duration);
        let mut record = Record::new(
            started,
            client.peer.ip().to_canonical(),
            head.method_name(),
            head.host(),
            head.path_and_query(),
            head.get(Known::UserAgent).unwrap_or_default(),
        );
        record.duration = duration;
        record.first_byte = story.first_byte;
        record.protocol = match head.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        };
        record.status = story.status;
        flags.iter().for_each(|flag| record.flags.add(flag));
        record.bytes_in = story.bytes_in;
        record.bytes_out = story.bytes_out;
        record.attempts = story.attempts;
        record.rule = story.rule.cloned();
        if let Some(service) = story.service {
            record.service = Some(service.state.name.clone());
            let home = story.home.and_then(|home| service.lanes.get(home));
            record.home = home.map(|lane| lane.state.cluster.clone());
        }
        if let Some((target, lane, endpoint)) = &story.last {
            record.cluster = Some(lane.state.cluster.clone());
            record.endpoint = Some(endpoint.state.address.clone());
            record.why = Some(target.why.as_str());
        }
        record.trace = trace::of_request(head.get_all(Known::TraceParent));
        record
    }
}
