//! HTTP/2 by the letter: the public suite `h2spec` in strict mode, every section, cleartext and TLS.

use std::process::Command;
use std::time::Duration;

use causeway_testkit::certs::Authority;
use causeway_testkit::origin::{Fault, Origin};
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, add_https};
use causeway_testkit::skip::skipped;
use causeway_testkit::tools;
use causeway_tests::Site;

/// Tests of version 2.6.0 in strict mode.
const ALL: u32 = 147;

/// Runs the suite against a port of the proxy.
fn run(site: &Site, port: u16, tls: &[&str]) {
    let h2spec = match tools::h2spec() {
        Ok(program) => program,
        Err(how) => return skipped(how),
    };
    let report = site.proxy.folder.path(&format!("h2spec-{port}.xml"));
    let mut command = Command::new(h2spec);
    command.args(["--strict", "--host", "127.0.0.1", "--port", &port.to_string(), "--timeout", "10"]);
    let output = command.args(tls).arg("--junit-report").arg(&report).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let report =
        std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({error}): {text}"));
    let sum = |name: &str| -> u32 {
        let suites = report.split("<testsuite ").skip(1);
        suites.map(|suite| attribute(suite, name).unwrap_or_else(|| panic!("no {name}: {suite}"))).sum()
    };
    let found = ["tests", "failures", "errors", "skipped"].map(sum);
    let failures = text.split_once("Failures:").map_or("", |(_, failures)| failures);
    assert_eq!(found, [ALL, 0, 0, 0], "tests, failures, errors, skipped: {failures}");
}

/// The number that an element's attribute holds.
fn attribute(element: &str, name: &str) -> Option<u32> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split_once('"')?.0.parse().ok()
}

/// An origin that answers a moment later. The suite writes frame by frame, and to be answered before the last one, by an
/// origin that does not read the body, is no mistake, but is none of what it expects.
async fn unhurried() -> Origin {
    let origin = Origin::start("a", 0).await;
    origin.fault(Fault::Slow(Duration::from_millis(50)));
    origin
}

#[tokio::test]
async fn all_of_h2spec_passes_in_cleartext() {
    let origin = unhurried().await;
    let site = Site::over(&[origin.addr()]).await;
    let port = site.at.port();
    tokio::task::spawn_blocking(move || run(&site, port, &[])).await.expect("no panic");
}

#[tokio::test]
async fn all_of_h2spec_passes_over_tls() {
    let origin = unhurried().await;
    let (folder, https) = (Folder::new(), PortLease::take());
    let (cert, key) = Authority::new().issue(&["localhost", "127.0.0.1"]).write(&folder.path(""), "server");
    let site = Site::start_in(folder, |config| {
        config.cluster("a", 1, &[origin.addr()]);
        add_https(config, https.addr(), &cert, &key);
    })
    .await;
    let port = https.addr().port();
    tokio::task::spawn_blocking(move || run(&site, port, &["--tls", "--insecure"])).await.expect("no panic");
}
