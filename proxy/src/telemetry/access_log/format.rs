//! A record as a line.

use std::borrow::Cow;
use std::io::Write;

use causeway_config::AccessLogFormat;
use serde::Serialize;
use serde::ser::SerializeSeq;

use super::record::{Flags, Record};
use crate::telemetry::timestamp::Timestamp;

/// Appends `record` to `out` as one line.
pub(super) fn line(record: &Record, format: AccessLogFormat, out: &mut Vec<u8>) {
    let start = out.len();
    let line = Line::new(record);
    // Writing to memory does not fail, and the line has no map whose keys could be no text.
    let written = match format {
        AccessLogFormat::Json => serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from),
        AccessLogFormat::Text => line.write_text(out),
    };
    match written {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
}

/// The fields in the order in which they are written; documented in the module above.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u8>,
    method: Cow<'a, str>,
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    protocol: &'a str,
    client: std::net::IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Flags::is_empty", serialize_with = "list")]
    flags: &'a Flags,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_us: Option<u64>,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: Cow<'a, str>,
}

fn list<S: serde::Serializer>(flags: &&Flags, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    flags.iter().try_for_each(|flag| list.serialize_element(flag))?;
    list.end()
}

impl<'a> Line<'a> {
    fn new(record: &'a Record) -> Line<'a> {
        Line {
            time: Timestamp(record.started).to_string(),
            status: record.status,
            grpc_status: record.grpc,
            method: String::from_utf8_lossy(record.method()),
            host: String::from_utf8_lossy(record.host()),
            path: String::from_utf8_lossy(record.path()),
            protocol: record.protocol,
            client: record.client,
            identity: record.identity.as_deref(),
            flags: &record.flags,
            duration_us: record.duration / 1000,
            first_byte_us: record.first_byte.map(|nanos| nanos / 1000),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            service: record.service(),
            route: record.rule(),
            home: record.home(),
            cluster: record.cluster(),
            endpoint: record.endpoint(),
            why: record.why,
            attempts: record.attempts,
            trace_id: record.trace.as_ref().map(|trace| trace.as_str()),
            user_agent: String::from_utf8_lossy(record.user_agent()),
        }
    }

    fn write_text(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(out, "{} {} {} ", self.time, self.status, Text(&self.method))?;
        write!(out, "{} {} {}", Text(&self.host), Text(&self.path), self.protocol)?;
        if !self.flags.is_empty() {
            write!(out, " flags={}", self.flags.iter().collect::<Vec<_>>().join(","))?;
        }
        if let Some(code) = self.grpc_status {
            write!(out, " grpc_status={code}")?;
        }
        write!(out, " duration_us={}", self.duration_us)?;
        if let Some(first_byte) = self.first_byte_us {
            write!(out, " first_byte_us={first_byte}")?;
        }
        write!(out, " bytes_in={} bytes_out={} client={}", self.bytes_in, self.bytes_out, self.client)?;
        let user_agent = Some(&*self.user_agent).filter(|agent| !agent.is_empty());
        for (name, value) in [
            ("identity", self.identity),
            ("service", self.service),
            ("route", self.route),
            ("home", self.home),
            ("cluster", self.cluster),
            ("endpoint", self.endpoint),
            ("why", self.why),
            ("trace_id", self.trace_id),
            ("user_agent", user_agent),
        ] {
            if let Some(value) = value {
                write!(out, " {name}={}", Text(value))?;
            }
        }
        write!(out, " attempts={}", self.attempts)
    }
}

/// A value of a text line: as it is where nothing in it could be taken for the line's own structure, else as a
/// JSON string. So a client cannot forge a field or a line.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        f.write_str(&serde_json::to_string(self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::access_log::{FAILED_OVER, Names, RETRIED};
    use crate::telemetry::trace;

    fn record(path: &[u8], agent: &[u8]) -> Record {
        named(path, agent, Names::default())
    }

    fn named(path: &[u8], agent: &[u8], names: Names<'_>) -> Record {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567_890_042);
        Record::new(started, IpAddr::from([192, 0, 2, 7]), b"GET", b"shop.example", path, agent, names)
    }

    fn full() -> Record {
        let names = Names {
            rule: Some("shop/0"),
            service: Some("api"),
            home: Some("east"),
            cluster: Some("west"),
            endpoint: Some("10.0.0.1:80"),
        };
        let mut record = named(b"/cart?id=1", b"curl/8.5", names);
        record.duration = 12_345_678;
        record.first_byte = Some(9_000_999);
        record.status = 200;
        record.flags.add(RETRIED);
        record.flags.add(FAILED_OVER);
        (record.bytes_in, record.bytes_out, record.attempts) = (3, 1024, 2);
        record.identity = Some("spiffe://td/web".into());
        record.why = Some("retry");
        record.trace = trace::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        record
    }

    fn written(record: &Record, format: AccessLogFormat) -> String {
        let mut out = Vec::new();
        line(record, format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_line_has_every_documented_field() {
        let text = written(&full(), AccessLogFormat::Json);
        let expected = json!({
            "time": "2009-02-13T23:31:30.042Z", "client": "192.0.2.7", "method": "GET", "host": "shop.example",
            "path": "/cart?id=1", "protocol": "HTTP/1.1", "status": 200, "flags": ["RT", "FO"],
            "identity": "spiffe://td/web", "duration_us": 12_345, "first_byte_us": 9_000, "bytes_in": 3, "bytes_out": 1024, "service": "api",
            "route": "shop/0", "home": "east", "cluster": "west", "endpoint": "10.0.0.1:80", "why": "retry",
            "attempts": 2, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "user_agent": "curl/8.5",
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn a_field_that_does_not_apply_is_absent() {
        let text = written(&record(b"/", b""), AccessLogFormat::Json);
        let Value::Object(fields) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        for absent in [
            "identity",
            "flags",
            "first_byte_us",
            "service",
            "route",
            "home",
            "cluster",
            "trace_id",
            "user_agent",
        ] {
            assert!(!fields.contains_key(absent), "{absent} in {text}");
        }
    }

    #[test]
    fn a_text_line_reads_from_left_to_right() {
        assert_eq!(
            written(&full(), AccessLogFormat::Text),
            "2009-02-13T23:31:30.042Z 200 GET shop.example /cart?id=1 HTTP/1.1 flags=RT,FO duration_us=12345 \
             first_byte_us=9000 bytes_in=3 bytes_out=1024 client=192.0.2.7 identity=spiffe://td/web service=api route=shop/0 home=east \
             cluster=west endpoint=10.0.0.1:80 why=retry trace_id=4bf92f3577b34da6a3ce929d0e0e4736 \
             user_agent=curl/8.5 attempts=2\n"
        );
    }

    #[test]
    fn a_client_can_forge_neither_a_line_nor_a_field() {
        let nasty = record(b"/\xff\"\x1b[2J", b"x\n2009 200 GET status=200 \"");
        for format in [AccessLogFormat::Json, AccessLogFormat::Text] {
            let text = written(&nasty, format);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
        let text = written(&nasty, AccessLogFormat::Text);
        assert!(text.contains(r#" user_agent="x\n2009 200 GET status=200 \"" "#), "{text}");
        let json: Value = serde_json::from_str(&written(&nasty, AccessLogFormat::Json)).unwrap();
        assert_eq!(json["path"], "/\u{fffd}\"\u{1b}[2J");
    }
}
