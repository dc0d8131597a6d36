//! Identity by certificates, both ways, and that it is held: through resumed sessions, renewed certificates and
//! changed authorities; and that no key is ever shown.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use causeway_testkit::certs::{Authority, Issued, TLS12, TLS13};
use causeway_testkit::client::{Client, Error, Visit, get_as, visit};
use causeway_testkit::config::Config;
use causeway_testkit::origin::{Fault, Origin, TlsFront};
use causeway_testkit::ports::PortLease;
use causeway_testkit::process::Signal;
use causeway_testkit::proxy::{Folder, Proxy, add_https, gateway};
use causeway_testkit::skip::skipped;
use causeway_testkit::wait::{WATCHDOG, until};
use serde_json::{Value, json};

const BOTH: [(&str, &[&causeway_testkit::certs::Version]); 2] = [("1.2", &[&TLS12]), ("1.3", &[&TLS13])];
const CLIENT_CA: &str = "mesh.macleodlabs.io/client-ca-file";
const CLIENT_AUTH: &str = "mesh.macleodlabs.io/client-auth";
const CLIENT_NAMES: &str = "mesh.macleodlabs.io/client-subject-alt-names";

/// A proxy with a TLS listener over one origin.
struct Edge {
    proxy: Proxy,
    config: Config,
    authority: Authority,
    /// The authority of its clients.
    clients: Authority,
    at: SocketAddr,
    _leases: [PortLease; 2],
    _origin: Origin,
}

impl Edge {
    /// `options` are those about clients.
    async fn start(options: &[(&str, &str)]) -> Edge {
        Edge::start_in(Folder::new(), options).await
    }

    async fn start_in(folder: Folder, options: &[(&str, &str)]) -> Edge {
        let (authority, clients) = (Authority::new(), Authority::new());
        authority.write(&folder.path("ca.pem"));
        clients.write(&folder.path("clients.pem"));
        let own = authority.issue(&["edge.test", "spiffe://test/edge"]);
        let (cert, key) = own.write(&folder.path(""), "edge");
        let origin = Origin::start("a", 0).await;
        let encrypted = PortLease::take();
        let (cleartext, mut config) = gateway();
        add_https(&mut config, encrypted.addr(), &cert, &key);
        config.cluster("a", 1, &[origin.addr()]).set_proxy("accessLog.sample", json!(1));
        let mut edge = Config::clone(&config);
        set_options(&mut edge, &folder, options);
        folder.write(&edge.text());
        let proxy = Proxy::start_in(Arc::new(folder)).await;
        let at = encrypted.addr();
        let leases = [cleartext, encrypted];
        Edge { proxy, config: edge, authority, clients, at, _leases: leases, _origin: origin }
    }

    /// Asks clients for something else from now on.
    async fn ask_for(&mut self, options: &[(&str, &str)]) {
        set_options(&mut self.config, &self.proxy.folder, options);
        self.proxy.reload(&self.config).await;
    }

    /// Changes files, has the proxy look at them, and waits until that came to something.
    async fn after(&self, change: impl FnOnce()) {
        let outcome = async || {
            let page = self.proxy.page("/config").await;
            (page["applied"].clone(), page["refused"].clone())
        };
        let before = outcome().await;
        change();
        self.proxy.process.signal(Signal::HUP);
        until("a look at the files", WATCHDOG, async || outcome().await != before).await;
    }

    async fn visit(&self, client: &Arc<rustls::ClientConfig>) -> Result<Visit, Error> {
        visit(self.at, client, "edge.test").await
    }

    /// A client with this certificate, in any version.
    fn client(&self, who: Option<&Issued>) -> Arc<rustls::ClientConfig> {
        self.authority.client_as(who, &[&TLS12, &TLS13], &[])
    }

    async fn failed(&self, reason: &str) -> f64 {
        let metrics = self.proxy.metrics().await;
        metrics.sum("causeway_downstream_connections_failed_total", &[("reason", reason)])
    }
}

/// Writes the options about clients into the TLS listener; the file is named within the folder.
fn set_options(config: &mut Config, folder: &Folder, options: &[(&str, &str)]) {
    let path = |name: &str| folder.path(name).display().to_string();
    let mut all = json!({
        "mesh.macleodlabs.io/cert-file": path("edge.pem"), "mesh.macleodlabs.io/key-file": path("edge-key.pem"),
    });
    for (name, value) in options {
        all[*name] = if *name == CLIENT_CA { path(value).into() } else { (*value).into() };
    }
    config.set("Gateway", "edge", "listeners.1.tls.options", all);
}

/// That an attempt was refused with this alert.
fn refused(what: &str, outcome: Result<Visit, Error>, alert: &str) {
    match outcome {
        Ok(visit) => panic!("{what}: let in, {visit:?}"),
        Err(error) => assert!(error.to_string().contains(alert), "{what}: {error}"),
    }
}

#[tokio::test]
async fn each_name_is_shown_its_own_certificate() {
    let mut edge = Edge::start(&[]).await;
    for (at, name) in [(2, "a.test"), (3, "*.b.test")] {
        let folder = &edge.proxy.folder;
        let (cert, key) = edge.authority.issue(&[name]).write(&folder.path(""), &format!("own-{at}"));
        let listener = json!({
            "name": format!("own-{at}"), "port": edge.at.port(), "protocol": "HTTPS", "hostname": name,
            "tls": {"options": {"mesh.macleodlabs.io/cert-file": cert, "mesh.macleodlabs.io/key-file": key}},
        });
        edge.config.set("Gateway", "edge", &format!("listeners.{at}"), listener);
    }
    edge.proxy.reload(&edge.config).await;
    // It believes no certificate that is not for the name it asks for.
    let client = edge.client(None);
    for name in ["edge.test", "a.test", "x.b.test"] {
        assert_eq!(visit(edge.at, &client, name).await.expect(name).status, 200);
    }
    visit(edge.at, &client, "c.test").await.expect_err("nobody has a certificate for it");
}

#[tokio::test]
async fn a_client_is_let_in_by_its_authority_and_its_name_and_told_by_an_alert_why_not() {
    let names = "spiffe://test/ns/prod/*, web.test";
    let edge = Edge::start(&[(CLIENT_CA, "clients.pem"), (CLIENT_NAMES, names)]).await;
    let stranger = Authority::new();
    let mut expected = [0.0; 3];
    for (version, versions) in BOTH {
        for (what, issued, alert) in [
            ("its SPIFFE ID", Some(edge.clients.issue(&["spiffe://test/ns/prod/web"])), None),
            ("its DNS name", Some(edge.clients.issue(&["web.test"])), None),
            ("no certificate", None, Some(("CertificateRequired", 0))),
            ("another authority", Some(stranger.issue(&["web.test"])), Some(("UnknownCA", 1))),
            (
                "another name",
                Some(edge.clients.issue(&["spiffe://test/ns/dev/web"])),
                Some(("AccessDenied", 2)),
            ),
            (
                "two identities",
                Some(edge.clients.issue(&["spiffe://test/ns/prod/a", "spiffe://test/x"])),
                Some(("AccessDenied", 2)),
            ),
        ] {
            let client = edge.authority.client_as(issued.as_ref(), versions, &[]);
            let what = format!("{what} in TLS {version}");
            match alert {
                None => assert_eq!(edge.visit(&client).await.expect(&what).status, 200, "{what}"),
                Some((alert, reason)) => {
                    refused(&what, edge.visit(&client).await, alert);
                    expected[reason] += 1.0;
                }
            }
        }
    }
    for (reason, n) in ["client_cert_missing", "client_cert_invalid", "client_cert_name"].iter().zip(expected)
    {
        until(reason, WATCHDOG, async || edge.failed(reason).await == n).await;
    }
}

#[tokio::test]
async fn the_upstream_and_the_log_are_told_who_it_was_and_a_client_cannot_say_it_itself() {
    let edge = Edge::start(&[(CLIENT_CA, "clients.pem"), (CLIENT_AUTH, "optional")]).await;
    let web = edge.clients.issue(&["spiffe://test/web"]);
    let seen = async |client: Arc<rustls::ClientConfig>| {
        let mut client = Client::tls(edge.at, client, "edge.test").await.expect("a connection");
        let forged = [("x-forwarded-client-cert", "URI=spiffe://test/admin")];
        let seen = client.get("/echo", &forged).await.expect("an answer").json();
        let fields = seen["headers"].as_array().cloned().unwrap_or_default();
        let found = fields.into_iter().filter(|pair| pair[0] == "x-forwarded-client-cert");
        found.map(|pair| pair[1].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let told = seen(edge.authority.client_as(Some(&web), &[&TLS13], &["h2"])).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("By=spiffe://test/edge;Hash="), "{told:?}");
    assert!(told[0].ends_with(";URI=spiffe://test/web") && !told[0].contains("admin"), "{told:?}");
    assert!(seen(edge.client(None)).await.is_empty(), "who shows none is nobody");
    let logged = || {
        edge.proxy.folder.access_log().into_iter().map(|line| line["identity"].clone()).collect::<Vec<_>>()
    };
    until("two lines in the log", WATCHDOG, async || logged().len() == 2).await;
    assert_eq!(logged(), [json!("spiffe://test/web"), Value::Null]);
}

#[tokio::test]
async fn sessions_are_resumed_by_every_worker_and_after_a_reload() {
    for (version, versions) in BOTH {
        let edge = Edge::start(&[]).await;
        let client = edge.authority.client_as(None, versions, &[]);
        assert!(!edge.visit(&client).await.expect("let in").resumed, "TLS {version}");
        // Often enough that both workers have had some.
        for round in 0..16 {
            assert!(edge.visit(&client).await.expect("let in").resumed, "TLS {version}, visit {round}");
        }
        // A renewed certificate is no reason to begin anew.
        let renewed = edge.authority.issue(&["edge.test"]);
        edge.after(|| drop(renewed.write(&edge.proxy.folder.path(""), "edge"))).await;
        assert!(edge.visit(&client).await.expect("let in").resumed, "TLS {version}, after the reload");
        let metrics = edge.proxy.metrics().await;
        assert_eq!(metrics.sum("causeway_downstream_tls_resumed_total", &[]), 17.0);
        assert_eq!(metrics.sum("causeway_downstream_tls_handshakes_total", &[]), 18.0);
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_past_a_change_of_who_is_let_in() {
    for (version, versions) in BOTH {
        let ask = [(CLIENT_CA, "clients.pem"), (CLIENT_NAMES, "spiffe://test/*")];
        let mut edge = Edge::start(&ask).await;
        let web = edge.clients.issue(&["spiffe://test/web"]);
        let client = edge.authority.client_as(Some(&web), versions, &[]);
        let resumed = async |edge: &Edge| edge.visit(&client).await.expect("let in").resumed;
        assert!(!resumed(&edge).await && resumed(&edge).await, "TLS {version}");
        // The same authority in a file that was written anew: nothing has changed.
        let file = edge.proxy.folder.path("clients.pem");
        edge.after(|| drop(edge.clients.write(&file))).await;
        assert!(resumed(&edge).await, "TLS {version}, the same authority");
        // Fewer names, but this one among them: let in, by a handshake that has looked at the certificate.
        edge.ask_for(&[(CLIENT_CA, "clients.pem"), (CLIENT_NAMES, "spiffe://test/web")]).await;
        assert!(!resumed(&edge).await && resumed(&edge).await, "TLS {version}, other names");
        edge.ask_for(&[(CLIENT_CA, "clients.pem"), (CLIENT_NAMES, "spiffe://test/other")]).await;
        refused(&format!("TLS {version}, not among the names"), edge.visit(&client).await, "AccessDenied");
        edge.ask_for(&ask).await;
        assert!(resumed(&edge).await || resumed(&edge).await, "TLS {version}, let in again");
        // Another authority in the same file.
        edge.after(|| drop(Authority::new().write(&file))).await;
        refused(&format!("TLS {version}, another authority"), edge.visit(&client).await, "UnknownCA");
    }
}

#[tokio::test]
async fn a_broken_authority_changes_nothing_and_a_new_one_holds_for_open_connections_too() {
    let edge = Edge::start(&[(CLIENT_CA, "clients.pem")]).await;
    let old = edge.clients.issue(&["spiffe://test/web"]);
    let open = async |alpn: &str| {
        let client = edge.authority.client_as(Some(&old), &[&TLS13], &[alpn]);
        Client::tls(edge.at, client, "edge.test").await.expect("a connection")
    };
    let (mut http1, mut http2) = (open("http/1.1").await, open("h2").await);
    let file = edge.proxy.folder.path("clients.pem");
    edge.after(|| std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nbroken").expect("written")).await;
    let error = edge.proxy.page("/config").await["error"].to_string();
    assert!(error.contains("clients.pem"), "{error}");
    assert_eq!(edge.visit(&edge.client(Some(&old))).await.expect("the last good one").status, 200);

    let next = Authority::new();
    edge.after(|| drop(next.write(&file))).await;
    assert_eq!(edge.visit(&edge.client(Some(&next.issue(&[])))).await.expect("the new one").status, 200);
    refused("the old one", edge.visit(&edge.client(Some(&old))).await, "UnknownCA");
    for client in [&mut http1, &mut http2] {
        let answer = client.get("/", &[]).await.expect("an answer");
        assert_eq!(answer.status, 421, "{}", answer.text());
    }
    assert!(http1.get("/", &[]).await.is_err(), "and that was the connection's last");

    // Back again: a connection that is still open is as good as a new one.
    edge.after(|| drop(edge.clients.write(&file))).await;
    assert_eq!(http2.get("/", &[]).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn towards_an_upstream_both_ends_prove_who_they_are_and_a_renewed_certificate_costs_no_connection() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let folder = Arc::new(Folder::new());
    theirs.write(&folder.path("theirs.pem"));
    let first = ours.issue(&["spiffe://test/edge"]);
    let (cert, key) = first.write(&folder.path(""), "edge");
    let origin = Origin::start("a", 0).await;
    let server = theirs.issue(&["spiffe://test/ns/prod/api"]).server_for(Some(&ours), &["http/1.1"]);
    let front = TlsFront::start(server, origin.addr()).await;
    let (lease, mut config) = gateway();
    let tls = |names: &str| json!({"caFile": folder.path("theirs.pem"), "certFile": cert, "keyFile": key, "subjectAltNames": [names]});
    config.cluster("a", 1, &[front.addr()]).set_proxy("workers", json!(1));
    config.set("Cluster", "a", "tls", tls("spiffe://test/ns/prod/*"));
    folder.write(&config.text());
    let proxy = Proxy::start_in(folder.clone()).await;
    let get = async || get_as(lease.addr(), "u", "/").await.status;
    let by = |issued: &Issued| front.clients().iter().flatten().filter(|leaf| *leaf == issued.der()).count();
    assert_eq!((get().await, get().await), (200, 200));
    assert_eq!(by(&first), 1, "one connection, with our certificate");

    let second = ours.issue(&["spiffe://test/edge"]);
    let applied = async || proxy.page("/config").await["applied"].clone();
    let before = applied().await;
    second.write(&folder.path(""), "edge");
    proxy.process.signal(Signal::HUP);
    until("the change", WATCHDOG, async || applied().await != before).await;
    assert_eq!((get().await, by(&first), by(&second)), (200, 1, 0), "the connection from before lives on");
    // Two at once need another one, which is opened with the new certificate.
    origin.fault(Fault::Hang);
    let at = lease.addr();
    let two = [(); 2].map(|()| tokio::spawn(async move { get_as(at, "u", "/").await.status }));
    until("two requests under way", WATCHDOG, async || origin.seen().in_flight == 2).await;
    origin.fault(Fault::Ok);
    for request in two {
        assert_eq!(request.await.expect("no panic"), 200);
    }
    assert_eq!((by(&first), by(&second)), (1, 1));

    // What is trusted is another matter: no connection from before a change of that is used after it.
    let connections = front.clients().len();
    config.set("Cluster", "a", "tls", tls("spiffe://test/ns/dev/*"));
    proxy.reload(&config).await;
    assert_eq!((get().await, front.clients().len()), (503, connections));
}

/// What `openssl s_client` says of one request; `None` = it is not installed here.
fn openssl(at: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &at.to_string(), "-servername", "edge.test", "-ign_eof"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skipped("TLS with openssl, which is not here: apt-get install openssl");
        return None;
    };
    let request = "GET / HTTP/1.1\r\nHost: edge.test\r\nConnection: close\r\n\r\n";
    let mut input = child.stdin.take().expect("a pipe");
    // It may be gone already: then its output says why.
    let _ = std::io::Write::write_all(&mut input, request.as_bytes());
    let output = child.wait_with_output().expect("it ends with the connection");
    drop(input);
    let both = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&both).into_owned())
}

#[tokio::test]
async fn openssl_agrees_on_versions_protocols_certificates_and_sessions() {
    let edge = Edge::start(&[(CLIENT_CA, "clients.pem"), (CLIENT_NAMES, "spiffe://test/web")]).await;
    let folder = &edge.proxy.folder;
    let text = |path: &Path| path.display().to_string();
    let pair = |name: &str, id: &str| {
        let (cert, key) = edge.clients.issue(&[id]).write(&folder.path(""), name);
        [text(&cert), text(&key)]
    };
    let (good, bad) = (pair("good", "spiffe://test/web"), pair("bad", "spiffe://test/other"));
    let ca = text(&folder.path("ca.pem"));
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let session = text(&folder.path(&format!("session{version}")));
        let common = [version, "-CAfile", &ca, "-verify_return_error", "-alpn", "http/1.1"];
        let as_good = ["-cert", &good[0], "-key", &good[1]];
        let first = [&common[..], &as_good, &["-sess_out", &session]].concat();
        let Some(said) = openssl(edge.at, &first) else { return };
        for expected in
            ["HTTP/1.1 200", "ALPN protocol: http/1.1", "Verify return code: 0 (ok)", &format!("New, {name}")]
        {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let again = [&common[..], &as_good, &["-sess_in", &session]].concat();
        let said = openssl(edge.at, &again).expect("installed");
        assert!(said.contains(&format!("Reused, {name}")) && said.contains("HTTP/1.1 200"), "{said}");
        let said = openssl(edge.at, &[&common[..], &["-cert", &bad[0], "-key", &bad[1]]].concat())
            .expect("installed");
        assert!(said.contains("alert access denied") && !said.contains("HTTP/1.1 200"), "{said}");
    }
    let said = openssl(edge.at, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).expect("installed");
    assert!(!said.contains("HTTP/1.1 200"), "TLS 1.1 is over: {said}");
}

#[tokio::test]
async fn no_key_is_in_anything_that_the_proxy_writes_or_shows() {
    let folder = Folder::new();
    let key_log = folder.path("keys.log");
    let folder = folder
        .with_env("SSLKEYLOGFILE", &key_log.display().to_string())
        .with_env("RUST_LOG", "trace")
        .with_env("RUST_BACKTRACE", "full");
    let edge = Edge::start_in(folder, &[(CLIENT_CA, "clients.pem"), (CLIENT_AUTH, "optional")]).await;
    let folder = edge.proxy.folder.clone();
    let web = edge.clients.issue(&["spiffe://test/web"]);
    assert_eq!(edge.visit(&edge.client(Some(&web))).await.expect("let in").status, 200);

    // Every way in which a file can be the wrong one.
    let key = std::fs::read_to_string(folder.path("edge-key.pem")).expect("written");
    for wrong in [
        key.clone(),
        key.replace('\n', ""),
        key.replace('\n', "").replace("PRIVATE KEY", "CERTIFICATE"),
        key.replace("-----END", "-----"),
    ] {
        for file in ["edge.pem", "clients.pem"] {
            let path = folder.path(file);
            let before = std::fs::read_to_string(&path).expect("written");
            edge.after(|| std::fs::write(&path, &wrong).expect("written")).await;
            assert_ne!(edge.proxy.page("/config").await["error"], Value::Null);
            edge.after(|| std::fs::write(&path, before).expect("written")).await;
        }
    }
    let mut shown = vec![("its events", edge.proxy.process.lines.text())];
    for page in ["/", "/config", "/config?full", "/clusters", "/metrics", "/explain?key=u"] {
        shown.push((page, edge.proxy.admin(http::Method::GET, page).await.text()));
    }
    shown.push(("access.log", std::fs::read_to_string(folder.path("access.log")).unwrap_or_default()));
    for entry in std::fs::read_dir(folder.state()).expect("a folder") {
        let entry = entry.expect("an entry");
        // A socket lies there too, for a successor.
        if !entry.file_type().expect("a type").is_file() {
            continue;
        }
        let text = std::fs::read(entry.path()).expect("a file");
        shown.push(("state", String::from_utf8_lossy(&text).into_owned()));
    }
    assert!(!key_log.exists(), "secrets of sessions are written nowhere");
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    for (what, text) in shown {
        assert!(!text.contains("PRIVATE KEY-----M"), "{what}");
        for part in body.as_bytes().windows(8) {
            assert!(!text.contains(&String::from_utf8_lossy(part)[..]), "{what}: {text}");
            // As bytes are shown in lists of numbers.
            let list = format!("{part:?}");
            assert!(!text.contains(list.trim_matches(['[', ']'])), "{what}: {text}");
        }
    }
}
