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
        ProxyConfig { workers, admin, access_log, drain_delay, drain_timeout }
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
