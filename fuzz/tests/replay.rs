//! The corpus again: everything that once led somewhere new, and everything that was found.

use std::fs;
use std::path::{Path, PathBuf};

use causeway_fuzz::{TARGETS, Target};

/// Of all corpora together: a clone should stay small.
const MOST_BYTES: u64 = 3 << 20;

fn corpus(target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_keeps_its_promises() {
    for target in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for file in files {
            let input = fs::read(&file).expect("a file");
            let run = std::panic::catch_unwind(|| (target.run)(&input));
            assert!(run.is_ok(), "{} fails at {}", target.name, file.display());
        }
    }
}

#[test]
fn inputs_cut_short_and_changed_in_one_place_are_no_news_either() {
    for target in TARGETS {
        for file in corpus(target) {
            let mut input = fs::read(&file).expect("a file");
            // A tenth of the places, chosen by the input: all of them would take minutes.
            let step = input.len() / 10 + 1;
            for place in (0..input.len()).step_by(step) {
                (target.run)(&input[..place]);
                input[place] ^= 1 << (place % 8);
                (target.run)(&input);
            }
        }
    }
}

#[test]
fn the_corpora_are_small_and_belong_to_targets() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(folder).expect("the corpora") {
        let name = entry.expect("an entry").file_name();
        let known = name.to_str().and_then(causeway_fuzz::target);
        assert!(known.is_some(), "{name:?} is no target");
    }
    let sizes = TARGETS.iter().flat_map(corpus).map(|file| fs::metadata(file).expect("a file").len());
    let bytes: u64 = sizes.sum();
    assert!(bytes < MOST_BYTES, "{bytes} bytes: minimise them (`make fuzz-merge`)");
}
