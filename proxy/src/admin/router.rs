//! From method and path to what is asked for.

use std::time::Duration;

use hyper::Method;

use super::params::{Query, decode_text, duration};
use super::reply::Reply;

/// How long an ejection by hand lasts where nothing is said: that of the outlier detection's default.
const EJECTION: Duration = Duration::from_secs(30);
/// The longest ejection by hand. Who wants an endpoint out for longer takes it out of the config.
const LONGEST_EJECTION: Duration = Duration::from_secs(24 * 3600);

/// What the index page says.
pub(super) const INDEX: &str = "\
causeway-proxy admin

GET  /healthz                                   200 while the process runs
GET  /readyz                                    200, or 503 while it drains
GET  /metrics                                   Prometheus
GET  /config[?full]                             which config is in force, and why the newest is not
GET  /clusters[?format=text]                    health, admission and breakers, and why
GET  /explain?service=NAME&key=KEY[&format=text]   where a key goes, and why
POST /drain                                     stop accepting, finish, end
POST /clusters/NAME/drain                       take a cluster out
POST /clusters/NAME/undrain                     and back in
POST /endpoints/CLUSTER/ADDRESS/eject[?for=30s] take an endpoint out
POST /endpoints/CLUSTER/ADDRESS/uneject         and back in
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Index,
    Metrics,
    Healthz,
    Readyz,
    Config {
        full: bool,
    },
    Clusters {
        text: bool,
    },
    Explain {
        service: Option<String>,
        key: Vec<Vec<u8>>,
        text: bool,
    },
    Drain,
    DrainCluster {
        cluster: String,
        drained: bool,
    },
    /// A span of zero returns the endpoint.
    Eject {
        cluster: String,
        address: String,
        span: Duration,
    },
}

/// Finds the action, or the answer to what is none.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Action, Reply> {
    let segments: Option<Vec<String>> = path.split('/').skip(1).map(decode_text).collect();
    let segments = segments.ok_or_else(|| Reply::bad("the path is not percent-encoded UTF-8"))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let known = |names: &[&str]| Query::parse(query, names).map_err(Reply::bad);
    let get = || match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Reply::wrong_method("GET, HEAD")),
    };
    let post = || match *method {
        Method::POST => Ok(()),
        _ => Err(Reply::wrong_method("POST")),
    };
    match segments.as_slice() {
        [""] => get().and_then(|()| known(&[])).map(|_| Action::Index),
        ["healthz"] => get().map(|()| Action::Healthz),
        ["readyz"] => get().map(|()| Action::Readyz),
        // Scrapers may add parameters of their own (`name[]` filters); they are not ours to refuse.
        ["metrics"] => get().map(|()| Action::Metrics),
        ["config"] => {
            get()?;
            Ok(Action::Config { full: known(&["full"])?.flag("full").map_err(Reply::bad)? })
        }
        ["clusters"] => {
            get()?;
            Ok(Action::Clusters { text: wants_text(&known(&["format"])?)? })
        }
        ["explain"] => {
            get()?;
            let query = known(&["service", "key", "format"])?;
            let service = query.one("service").map_err(Reply::bad)?;
            Ok(Action::Explain { service, key: query.all("key"), text: wants_text(&query)? })
        }
        ["drain"] => post().and_then(|()| known(&[])).map(|_| Action::Drain),
        ["clusters", name, verb @ ("drain" | "undrain")] => {
            post().and_then(|()| known(&[]))?;
            Ok(Action::DrainCluster { cluster: (*name).to_owned(), drained: *verb == "drain" })
        }
        ["endpoints", cluster, address, "eject"] => {
            post()?;
            let span = span(&known(&["for"])?)?;
            Ok(Action::Eject { cluster: (*cluster).to_owned(), address: (*address).to_owned(), span })
        }
        ["endpoints", cluster, address, "uneject"] => {
            post().and_then(|()| known(&[]))?;
            let (cluster, address) = ((*cluster).to_owned(), (*address).to_owned());
            Ok(Action::Eject { cluster, address, span: Duration::ZERO })
        }
        _ => Err(Reply::not_found(format!("there is no such page\n\n{INDEX}"))),
    }
}

fn wants_text(query: &Query) -> Result<bool, Reply> {
    match query.one("format").map_err(Reply::bad)?.as_deref() {
        None | Some("json") => Ok(false),
        Some("text") => Ok(true),
        Some(other) => Err(Reply::bad(format!("`format` is `{other}`: say json or text"))),
    }
}

fn span(query: &Query) -> Result<Duration, Reply> {
    let Some(text) = query.one("for").map_err(Reply::bad)? else { return Ok(EJECTION) };
    let wrong = || Reply::bad(format!("`for` is `{text}`: say a time such as 30s, 5m or 1h, at most 24h"));
    let span = duration(&text).filter(|span| !span.is_zero() && *span <= LONGEST_EJECTION);
    span.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Action, u16> {
        asked(Method::GET, target)
    }

    fn asked(method: Method, target: &str) -> Result<Action, u16> {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        route(&method, path, query).map_err(|reply| reply.status.as_u16())
    }

    #[test]
    fn every_page_is_found_by_its_path() {
        assert_eq!(get("/"), Ok(Action::Index));
        assert_eq!(get("/metrics?name[]=up"), Ok(Action::Metrics));
        assert_eq!(get("/healthz"), Ok(Action::Healthz));
        assert_eq!(asked(Method::HEAD, "/readyz"), Ok(Action::Readyz));
        assert_eq!(get("/config"), Ok(Action::Config { full: false }));
        assert_eq!(get("/config?full"), Ok(Action::Config { full: true }));
        assert_eq!(get("/clusters"), Ok(Action::Clusters { text: false }));
        assert_eq!(get("/clusters?format=text"), Ok(Action::Clusters { text: true }));
        let service = Some("api".to_owned());
        let key = vec![b"a b".to_vec(), b"".to_vec()];
        assert_eq!(
            get("/explain?service=api&key=a%20b&key="),
            Ok(Action::Explain { service, key, text: false })
        );
    }

    #[test]
    fn actions_are_found_with_names_and_addresses_decoded() {
        let post = |target| asked(Method::POST, target);
        assert_eq!(post("/drain"), Ok(Action::Drain));
        let cluster = "east".to_owned();
        assert_eq!(
            post("/clusters/east/drain"),
            Ok(Action::DrainCluster { cluster: cluster.clone(), drained: true })
        );
        assert_eq!(
            post("/clusters/east/undrain"),
            Ok(Action::DrainCluster { cluster: cluster.clone(), drained: false })
        );
        let eject = |address: &str, seconds| Action::Eject {
            cluster: "east".into(),
            address: address.into(),
            span: Duration::from_secs(seconds),
        };
        assert_eq!(post("/endpoints/east/10.0.0.1:80/eject"), Ok(eject("10.0.0.1:80", 30)));
        assert_eq!(post("/endpoints/east/%5B::1%5D:80/eject?for=2m"), Ok(eject("[::1]:80", 120)));
        assert_eq!(post("/endpoints/east/10.0.0.1:80/uneject"), Ok(eject("10.0.0.1:80", 0)));
    }

    #[test]
    fn an_action_is_never_a_get_and_a_page_never_a_post() {
        for action in ["/drain", "/clusters/a/drain", "/endpoints/a/b:1/eject", "/endpoints/a/b:1/uneject"] {
            let reply = route(&Method::GET, action, None).unwrap_err();
            assert_eq!((reply.status.as_u16(), reply.allow), (405, Some("POST")), "{action}");
        }
        for page in ["/", "/metrics", "/healthz", "/readyz", "/config", "/clusters", "/explain"] {
            let reply = route(&Method::POST, page, None).unwrap_err();
            assert_eq!((reply.status.as_u16(), reply.allow), (405, Some("GET, HEAD")), "{page}");
        }
    }

    #[test]
    fn what_does_not_exist_is_404_and_what_is_wrong_400() {
        for missing in ["/x", "/metrics/", "//", "/clusters/a", "/endpoints/a/b", "/clusters/a/reboot"] {
            assert_eq!(get(missing), Err(404), "{missing}");
        }
        for wrong in
            ["/config?ful", "/clusters?format=xml", "/explain?user=x", "/explain?service=%zz", "/%ff"]
        {
            assert_eq!(get(wrong), Err(400), "{wrong}");
        }
        for wrong in ["for=soon", "for=0s", "for=25h", "fro=1s", "for=1s&for=2s"] {
            let target = format!("/endpoints/a/b:1/eject?{wrong}");
            assert_eq!(asked(Method::POST, &target), Err(400), "{wrong}");
        }
    }

    #[test]
    fn every_path_of_the_index_exists() {
        let lines = INDEX.lines().filter(|line| line.starts_with("GET") || line.starts_with("POST"));
        for line in lines.clone() {
            let mut words = line.split_whitespace();
            let method = words.next().unwrap().parse().unwrap();
            let path = words.next().unwrap().split(['[', '?']).next().unwrap();
            assert!(route(&method, path, None).is_ok(), "{line}");
        }
        assert_eq!(lines.count(), 11);
    }
}
