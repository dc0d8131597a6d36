//! The whole battery against our proxy as it is built here.

use causeway_testkit::binaries::binaries;
use causeway_tests_conformance::run;
use causeway_tests_conformance::target::Target;

#[tokio::test]
async fn our_proxy_keeps_every_promise() {
    let checks = run::chosen(None);
    let proxy = &binaries().proxy;
    let failures = run::twice(Target::Causeway, proxy, &checks).await.expect("it serves");
    let told: Vec<String> = failures.iter().map(|(id, what)| format!("{id}: {what}")).collect();
    assert!(told.is_empty(), "{} of {} checks fail:\n{}", told.len(), checks.len(), told.join("\n"));
}
