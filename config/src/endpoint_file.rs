//! A file with nothing but endpoints, which a `Cluster` names as `discovery.file`.
//!
//! Programs write it (a deploy script, an agent of another registry), so it is YAML or JSON, one list, and has
//! no kind and no name. Names are not taken: what is to be looked up again is `discovery.dns`.

use crate::kind::cluster::endpoints;
use crate::kind::{Endpoint, Host, MAX_DISCOVERED};
use crate::read::{At, File, Notes, Place, Reference, Step, Way};
use crate::report::{Report, Severity};
use crate::source::{self, Source, Tree};

/// Reads a list in the form of `Cluster.spec.endpoints`: not empty, every host an IP address, at most
/// [`MAX_DISCOVERED`].
///
/// # Errors
/// A [`Report`] of everything that is wrong with it.
pub fn load_endpoints(source: &Source) -> Result<Vec<Endpoint>, Report> {
    let notes = Notes::new(vec![source.name.clone()]);
    let file = File { notes: &notes, index: 0, base: &source.base };
    let endpoints = read(file, &source::parse(&source.text));
    let mut report = notes.into_report();
    report.sort();
    match endpoints {
        Some(endpoints) if report.errors() == 0 => Ok(endpoints),
        _ => Err(report),
    }
}

/// The same for a tree, with notes. `None`: an error was noted.
pub(crate) fn read(file: File<'_>, tree: &Tree<'_>) -> Option<Vec<Endpoint>> {
    note_faults(file.notes, file.index, tree);
    let mut documents = tree.documents.iter().filter(|node| !node.is_null());
    let (first, second) = (documents.next(), documents.next());
    let whole = |message: &str| {
        let place =
            Place { file: file.index, at: source::Position { line: 0, column: 0 }, path: String::new() };
        let remedy = "write one list of endpoints: [{address: \"10.0.0.1:8080\"}]";
        file.notes.note(Severity::Error, &place, message, remedy);
    };
    let Some(node) = first else {
        if tree.faults.is_empty() {
            whole("the file is empty");
        }
        return None;
    };
    let way = Way { before: None, step: Step::Document("endpoints", "") };
    let at = At { file, node, way: &way };
    if second.is_some() {
        whole("there are several documents in the file");
        return None;
    }
    let endpoints = endpoints(at)?;
    if endpoints.len() > MAX_DISCOVERED {
        let message = format!("{} endpoints are too many", endpoints.len());
        return at.refuse(message, format!("write {MAX_DISCOVERED} at most, or make several Clusters"));
    }
    if let Some(named) = endpoints.iter().find(|endpoint| matches!(endpoint.address.host, Host::Name(_))) {
        let message = format!("`{}` is not an IP address with a port", named.address);
        return at.refuse(message, "write addresses only; for a name that is looked up use discovery.dns");
    }
    (tree.faults.is_empty()).then_some(endpoints)
}

/// Notes what is wrong with a text before it means anything.
pub(crate) fn note_faults(notes: &Notes<Reference>, file: usize, tree: &Tree<'_>) {
    for fault in &tree.faults {
        let place = Place { file, at: fault.at, path: String::new() };
        notes.note(Severity::Error, &place, fault.message.as_str(), fault.remedy.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Vec<Endpoint>, String> {
        load_endpoints(&Source::new("e.yaml", text)).map_err(|report| report.to_string())
    }

    #[test]
    fn yaml_and_json_lists_are_read_alike() {
        let yaml = "- address: 10.0.0.1:80\n- {address: \"[fd00::1]:80\", weight: 2, version: v2}\n";
        let json =
            r#"[{"address": "10.0.0.1:80"}, {"address": "[fd00::1]:80", "weight": 2, "version": "v2"}]"#;
        let endpoints = load(yaml).unwrap();
        assert_eq!(endpoints, load(json).unwrap());
        assert_eq!((endpoints[1].address.to_string().as_str(), endpoints[1].weight), ("[fd00::1]:80", 2));
        // What is kept on disk is this form.
        assert_eq!(load(&serde_json::to_string(&endpoints).unwrap()).unwrap(), endpoints);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, place, message) in [
            ("", "e.yaml: error", "the file is empty"),
            ("[]", "e.yaml:1:1", "the list is empty"),
            ("[{address: \"10.0.0.1:80\"}", "e.yaml:", "error"),
            ("- address: 10.0.0.1:80\n  wieght: 2\n", "e.yaml:2:3", "did you mean `weight`?"),
            ("[{address: \"10.0.0.1:80\"}]\n---\n[{address: \"10.0.0.2:80\"}]\n", "e.yaml: error", "several"),
            ("kind: Cluster\n", "e.yaml:1:1", "a list is needed"),
            ("[{address: \"api.internal:80\"}]", "e.yaml:1:1", "use discovery.dns"),
            ("- address: 10.0.0.1:80\n- address: 10.0.0.1:80\n", "e.yaml:2:", "is given twice"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(place) && error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_past_the_bound_is_refused_as_a_whole() {
        let line = |i: usize| format!("- address: 10.{}.{}.{}:80\n", i >> 16, (i >> 8) & 255, i & 255);
        let text: String = (1..=MAX_DISCOVERED).map(line).collect();
        assert_eq!(load(&text).unwrap().len(), MAX_DISCOVERED);
        let text: String = (1..=MAX_DISCOVERED + 1).map(line).collect();
        assert!(load(&text).unwrap_err().contains("10001 endpoints are too many"));
    }
}
