//! The program as a user meets it: exit codes, and what is printed where.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

fn causeway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway")).args(args).output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with one configuration file in it.
fn config(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("edge.yaml"), text).expect("a file");
    folder
}

/// A service of two clusters, of which only east is given.
const SOUND: &str = r#"
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata: {name: east}
spec: {endpoints: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}
---
apiVersion: mesh.macleodlabs.io/v1
kind: MultiClusterService
metadata: {name: api}
spec:
  clusters: [{name: east, weight: 75, priority: 1}, {name: west, weight: 25, priority: 2}]
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user-id}}}
"#;

#[test]
fn a_sound_configuration_is_valid_with_warnings_and_its_split_is_told() {
    let folder = config(SOUND);
    let output = causeway(&["validate", folder.path().to_str().expect("a path")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("warning") && text.contains("west"), "what was not given is warned of\n{text}");
    assert!(text.contains("sticky by header x-user-id"), "{text}");
    let row = text.lines().find(|line| line.trim_start().starts_with("east ")).expect("a row");
    assert!(row.contains(" 75 ") && row.contains("lost") && row.contains("100.0 %"), "{text}");
    assert!(text.trim_end().lines().last().expect("a line").starts_with("valid, "), "{text}");
}

#[test]
fn every_mistake_is_reported_at_once_and_the_exit_code_is_1() {
    let folder = config(&SOUND.replace("weight: 75", "wieght: 75").replace("endpoints:", "endpoint:"));
    let output = causeway(&["validate", folder.path().to_str().expect("a path")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("edge.yaml:5:") && text.contains("edge.yaml:11:"), "{text}");
    assert!(text.contains("not valid: ") && !text.contains("share"), "{text}");
}

#[test]
fn a_path_that_is_not_there_is_an_error_and_none_at_all_is_misuse() {
    assert_eq!(causeway(&["validate", "/nowhere/at/all"]).status.code(), Some(1));
    assert_eq!(causeway(&["validate"]).status.code(), Some(2));
    assert_eq!(causeway(&["explode"]).status.code(), Some(2));
    assert_eq!(causeway(&["--help"]).status.code(), Some(0));
}

#[test]
fn explain_names_home_and_order_and_a_loss_leads_to_the_next() {
    let folder = config(SOUND);
    let path = folder.path().to_str().expect("a path");
    let well = causeway(&["explain", "--config", path, "--key", "alice"]);
    let text = stdout(&well);
    assert_eq!(well.status.code(), Some(0), "{text}");
    let home = text.lines().find_map(|line| line.strip_prefix("home ")).expect("a home").trim();
    let other = if home == "east" { "west" } else { "east" };
    let order: Vec<&str> = text.lines().skip_while(|line| *line != "order").skip(1).take(2).collect();
    assert!(order[0].contains(home) && order[1].contains(other), "{text}");

    let lost = stdout(&causeway(&["explain", "--config", path, "--key", "alice", "--lost", home]));
    let goes = lost.lines().find_map(|line| line.strip_prefix("goes to ")).expect("a place");
    assert!(goes.trim_start().starts_with(other), "{lost}");
    assert!(lost.contains(&format!("home      {home}")), "home is home, lost or not\n{lost}");

    let unknown = causeway(&["explain", "--config", path, "--key", "alice", "--service", "none"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is: api"));
}

#[test]
fn explain_says_of_looked_up_endpoints_where_a_proxy_looks() {
    let looked_up = r#"{discovery: {dns: {name: api.east.test, port: 80}}}"#;
    let listed = r#"{endpoints: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}"#;
    let folder = config(&SOUND.replace(listed, looked_up));
    let path = folder.path().to_str().expect("a path");
    let told = stdout(&causeway(&["explain", "--config", path, "--key", "alice", "--lost", "west"]));
    assert!(told.contains("goes to   east (looked up: dns A api.east.test:80)"), "{told}");
}

#[test]
fn explain_hashes_an_address_as_the_proxy_does_by_its_octets() {
    let folder = config(
        &SOUND.replace("consistentHash: {httpHeaderName: x-user-id}", "consistentHash: {useSourceIp: true}"),
    );
    let path = folder.path().to_str().expect("a path");
    let key = |address: &str| {
        let told = causeway(&["explain", "--config", path, "--key", address]);
        assert_eq!(told.status.code(), Some(0), "{address}");
        stdout(&told).lines().find_map(|line| line.strip_prefix("key ").map(str::to_owned)).expect("a key")
    };
    assert_eq!(key("10.0.0.1"), key("::ffff:10.0.0.1"));
    assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    assert_eq!(causeway(&["explain", "--config", path, "--key", "alice"]).status.code(), Some(1));
}

#[test]
fn completions_know_the_commands_but_not_the_hidden_ones() {
    let script = stdout(&causeway(&["completions", "bash"]));
    assert!(script.contains("validate") && script.contains("demo"));
    assert_eq!(causeway(&["completions", "dos"]).status.code(), Some(2));
}

#[test]
fn a_tied_origin_says_where_it_listens_and_ends_with_its_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["origin", "--tied", "--listen", "127.0.0.1:0", "--cluster", "east", "--endpoint", "east-0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let addr = line.trim().strip_prefix("listening ").expect("an address").to_owned();
    assert!(std::net::TcpStream::connect(&addr).is_ok());
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    assert!(std::net::TcpStream::connect(&addr).is_err());
}
