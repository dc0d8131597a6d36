//! `ProxyConfig`: settings of the proxy process. At most one document.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

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
