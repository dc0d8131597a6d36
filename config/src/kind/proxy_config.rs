//! `ProxyConfig`: settings of the proxy process. At most one document.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::read::Fields;

/// Settings of the proxy process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyConfig {
    /// Worker threads. `None` (default, `auto`): the CPUs of the affinity mask.
    pub workers: Option<usize>,
    /// Where the admin interface listens. `None`: not configured, the default `127.0.0.1:9901` may give way.
    pub admin: Option<SocketAddr>,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Between the first sign of a drain and its start. Default 0 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub drain_delay: Duration,
    /// After which a drain ends whatever is left. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub drain_timeout: Duration,
    /// When requests are refused so that others are served in time.
    pub overload: Overload,
}

/// `overload` of a [`ProxyConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overload {
    /// Requests in flight of the process; each worker has an equal share. `None` (`0`): no limit. Default 20,000: at
    /// the 40 KiB that one takes with its buffers, 800 MB.
    pub max_in_flight: Option<u32>,
    /// How long what is ready may wait for a worker, in the worker's own CPU time, without requests being shed.
    /// `None` (`0s`): for ever. Default 500 ms: more than ten thousand clients who all wait for their next answer make,
    /// and where people begin to go away. Services that answer in milliseconds want less, such as 20 ms.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub queue_target: Option<Duration>,
    /// For how long without a break it must have waited longer. Default 1 s. (CoDel's 100 ms, RFC 8289 section 4.3, go
    /// with a target of a twentieth of that.)
    #[serde(serialize_with = "crate::serialize::duration")]
    pub queue_interval: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Overload {
            max_in_flight: Some(20_000),
            queue_target: Some(Duration::from_millis(500)),
            queue_interval: Duration::from_secs(1),
        }
    }
}

/// `accessLog` of a [`ProxyConfig`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessLog {
    /// Default: [`AccessLogTarget::Stdout`].
    pub path: AccessLogTarget,
    /// Default: [`AccessLogFormat::Json`].
    pub format: AccessLogFormat,
    /// Share of the successful requests that is logged, 0 to 1; failures always are. Default 0.
    pub sample: f64,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(#[serde(serialize_with = "crate::serialize::path")] PathBuf),
    /// Nowhere.
    Off,
}

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// Words for people.
    Text,
}

impl Default for AccessLog {
    fn default() -> Self {
        AccessLog { path: AccessLogTarget::Stdout, format: AccessLogFormat::Json, sample: 0.0 }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        ProxyConfig {
            workers: None,
            admin: None,
            access_log: AccessLog::default(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            overload: Overload::default(),
        }
    }
}

impl ProxyConfig {
    pub(crate) fn read(mut spec: Fields<'_>) -> Self {
        let base = ProxyConfig::default();
        let workers = spec.or("workers", None, |at| match at.any_text()? {
            "auto" => Some(None),
            _ => at.u32(1..=1024).map(|workers| Some(workers as usize)),
        });
        let admin = spec.get("admin", |at| {
            let mut fields = at.fields()?;
            fields.need("address", "write address:port, such as 127.0.0.1:9901", |at| {
                let text = at.any_text()?;
                let remedy = "write address:port, such as 127.0.0.1:9901";
                text.parse()
                    .map_err(|_| at.error(format!("`{text}` is not an address to listen on"), remedy))
                    .ok()
            })
        });
        if admin.is_some_and(|admin: SocketAddr| !admin.ip().is_loopback()) {
            let remedy = "listen on 127.0.0.1, or keep others away from the port by other means";
            spec.warn_at("admin", "the admin interface has no login and is open beyond this host", remedy);
        }
        let access_log = spec.or("accessLog", base.access_log, |at| at.fields().map(AccessLog::read));
        let (drain_delay, drain_timeout) = spec.or("drain", (base.drain_delay, base.drain_timeout), |at| {
            let mut fields = at.fields()?;
            let delay = fields.or("delay", base.drain_delay, |at| at.duration());
            Some((delay, fields.or("timeout", base.drain_timeout, |at| at.duration())))
        });
        let overload = spec.or("overload", base.overload, |at| at.fields().map(Overload::read));
        ProxyConfig { workers, admin, access_log, drain_delay, drain_timeout, overload }
    }
}

impl Overload {
    fn read(mut fields: Fields<'_>) -> Self {
        let base = Overload::default();
        let max_in_flight = fields.or("maxInFlight", base.max_in_flight, |at| {
            at.u32(0..=u32::MAX).map(|most| (most > 0).then_some(most))
        });
        let (queue_target, queue_interval) =
            fields.or("queueTime", (base.queue_target, base.queue_interval), |at| {
                let mut fields = at.fields()?;
                let target = fields.or("target", base.queue_target, |at| at.limit());
                Some((target, fields.or("interval", base.queue_interval, |at| at.period())))
            });
        Overload { max_in_flight, queue_target, queue_interval }
    }
}

impl AccessLog {
    fn read(mut fields: Fields<'_>) -> Self {
        let base = AccessLog::default();
        AccessLog {
            path: fields.or("path", base.path, |at| match at.any_text()? {
                "stdout" => Some(AccessLogTarget::Stdout),
                "stderr" => Some(AccessLogTarget::Stderr),
                "off" => Some(AccessLogTarget::Off),
                _ => at.file_name().map(AccessLogTarget::File),
            }),
            format: fields.or("format", base.format, |at| {
                at.choice(&[("json", AccessLogFormat::Json), ("text", AccessLogFormat::Text)])
            }),
            sample: fields.or("sample", base.sample, |at| at.f64(0.0..=1.0)),
        }
    }
}
