//! Configuration: whatever the text, a model or a report that helps; and the model is a value.

use causeway_config::{Config, Problem, Report, Source, Strictness, apply, diff, load};

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (strict, whole) = (read(text, Strictness::Proxy), read(text, Strictness::Validate));
    if let Some(strict) = strict {
        assert_eq!(Some(&strict), whole.as_ref(), "strictness decides only whether it loads");
    }
    let Some(whole) = whole else { return };
    let digest = whole.digest();
    assert_eq!(digest.len(), 64);

    // A document a file, and the last one first.
    let parts: Vec<&str> = documents(text);
    if parts.len() > 1 {
        let files = parts.iter().rev().enumerate();
        let sources: Vec<Source> = files.map(|(i, part)| Source::new(format!("{i}.yaml"), *part)).collect();
        let joined = load(&sources, Strictness::Validate).expect("it loads in one piece").config;
        assert_eq!((&joined, joined.digest()), (&whole, digest));
        let last = load(&sources[..1], Strictness::Validate).map(|loaded| loaded.config);
        changes_replay(&last.unwrap_or_default(), &whole);
    }
    changes_replay(&Config::default(), &whole);
}

/// The model, or a report that helps.
fn read(text: &str, strictness: Strictness) -> Option<Config> {
    let loaded = load(&[Source::new("a.yaml", text)], strictness);
    loaded.inspect_err(|report| is_helpful(report, text)).ok().map(|loaded| loaded.config)
}

/// Every problem has a place in the text, and says what is wrong and what to do.
fn is_helpful(report: &Report, text: &str) {
    assert!(report.errors() > 0);
    // A carriage return alone ends a line too (YAML 1.2 section 5.4).
    let lines = text.replace("\r\n", "\n").replace('\r', "\n").lines().count() as u32 + 1;
    for Problem { file, line, message, remedy, .. } in report.problems() {
        assert_eq!(file, "a.yaml");
        assert!(*line <= lines, "line {line} of {lines}");
        assert!(!message.is_empty() && !remedy.is_empty(), "{message:?}: {remedy:?}");
    }
    assert!(!report.to_string().is_empty());
}

fn changes_replay(old: &Config, new: &Config) {
    for (old, new) in [(old, new), (new, old)] {
        let changes = diff(old, new);
        assert_eq!(&apply(old, &changes), new);
        assert_eq!(changes.is_empty(), old == new);
        assert_eq!(old.digest() == new.digest(), old == new);
    }
}

/// The text cut at its document markers; in one piece where what looks like one might be none.
fn documents(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split("\n---").collect();
    let certain = |part: &&str| part.is_empty() || part.starts_with('\n');
    let plain = text.lines().all(|line| !line.starts_with(['%', '.'])) && !text.contains('\r');
    if plain && parts.iter().skip(1).all(certain) { parts } else { vec![text] }
}
