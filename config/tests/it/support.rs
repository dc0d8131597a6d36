//! Texts with marks in, positions out.

use causeway_config::{Config, Loaded, Problem, Severity, Source, Strictness, load};

/// Loads one text as `test.yaml`.
pub fn load_text(text: &str, strictness: Strictness) -> Result<Loaded, causeway_config::Report> {
    load(&[Source::new("test.yaml", text)], strictness)
}

/// What a correct text means.
#[track_caller]
pub fn config(text: &str) -> Config {
    load_text(text, Strictness::Validate).unwrap_or_else(|report| panic!("{report}")).config
}

/// Takes the marks `§` out of a text, and gives the place of what stood behind each.
fn marked(text: &str) -> (String, Vec<(u32, u32)>) {
    let mut plain = String::new();
    let mut places = Vec::new();
    let (mut line, mut column) = (1, 1);
    for char in text.chars() {
        match char {
            '§' => places.push((line, column)),
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        if char != '§' {
            plain.push(char);
        }
    }
    (plain, places)
}

#[track_caller]
fn compare<'p>(
    problems: impl Iterator<Item = &'p Problem>,
    places: &[(u32, u32)],
    expected: &[(&str, &str)],
) {
    let problems: Vec<&Problem> = problems.collect();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let shown = shown.join("\n");
    assert_eq!(problems.len(), expected.len(), "not as many problems as expected:\n{shown}");
    for (problem, (message, remedy)) in problems.iter().zip(expected) {
        assert!(problem.message.contains(message), "no `{message}` in:\n{problem}");
        assert!(problem.remedy.contains(remedy), "no `{remedy}` in:\n{problem}");
    }
    let found: Vec<(u32, u32)> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(found, places, "not at the marked places:\n{shown}");
}

/// The errors of a text stand exactly at its marks, in order, with these messages and remedies.
#[track_caller]
pub fn errors(text: &str, expected: &[(&str, &str)]) {
    let (text, places) = marked(text);
    match load_text(&text, Strictness::Validate) {
        Ok(_) => panic!("no error in:\n{text}"),
        Err(report) => {
            compare(report.problems().filter(|p| p.severity == Severity::Error), &places, expected);
        }
    }
}

/// The text loads, and its warnings, but for missing names, stand exactly at its marks.
#[track_caller]
pub fn warnings(text: &str, expected: &[(&str, &str)]) {
    let (text, places) = marked(text);
    match load_text(&text, Strictness::Validate) {
        Ok(loaded) => {
            let found =
                loaded.warnings.problems().filter(|problem| !problem.message.starts_with("there is no "));
            compare(found, &places, expected);
        }
        Err(report) => panic!("{report}"),
    }
}

/// A document of ours in flow style, all in one line.
pub fn document(kind: &str, name: &str, spec: &str) -> String {
    let group = match kind {
        "Gateway" | "HTTPRoute" | "GRPCRoute" => "gateway.networking.k8s.io/v1",
        "ApplicationSet" => "argoproj.io/v1alpha1",
        "CostAwareScheduling" => "scheduling.macleodlabs.io/v1",
        _ => "mesh.macleodlabs.io/v1",
    };
    format!("---\n{{apiVersion: {group}, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n")
}

/// An HTTPRoute with these rules.
pub fn route(rules: &str) -> String {
    document("HTTPRoute", "r", &format!("{{parentRefs: [{{name: g}}], rules: [{rules}]}}"))
}

/// A reference to the service `s`.
pub const TO_S: &str = "backendRefs: [{group: mesh.macleodlabs.io, kind: MultiClusterService, name: s}]";

/// A service of the clusters `a` and `b` with these further fields.
pub fn service(fields: &str) -> String {
    document("MultiClusterService", "s", &format!("{{clusters: [{{name: a}}, {{name: b}}], {fields}}}"))
}

/// A cluster of one endpoint with these further fields.
pub fn cluster(fields: &str) -> String {
    document("Cluster", "c", &format!("{{endpoints: [{{address: \"10.0.0.1:80\"}}], {fields}}}"))
}

/// A Gateway with these listeners.
pub fn gateway(listeners: &str) -> String {
    document("Gateway", "g", &format!("{{gatewayClassName: causeway, listeners: [{listeners}]}}"))
}
