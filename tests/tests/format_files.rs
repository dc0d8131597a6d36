//! The formats that this project was asked to take, as they were given.

use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_testkit::binaries::binaries;
use causeway_testkit::skip::skipped;

/// The folder beside the clone; absent in a bare one.
fn formats() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/formats");
    beside.canonicalize().ok()
}

#[test]
fn the_three_files_are_valid_as_they_stand() {
    let Some(folder) = formats() else {
        skipped("there is no ../shared/formats beside this clone");
        return;
    };
    let files = [
        "multi-cluster-service.yaml",
        "cost-aware-scheduling.yaml",
        "progressive-rollout.applicationset.yaml",
    ];
    for arguments in [vec![folder.clone()], files.iter().map(|file| folder.join(file)).collect()] {
        let output =
            Command::new(&binaries().causeway).arg("validate").args(&arguments).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
        for share in ["us-east-1", "us-west-2", "eu-west-1"] {
            assert!(text.contains(share), "the split is told: {text}");
        }
    }
}
