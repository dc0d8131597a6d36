//! The built programs.
//!
//! Cargo builds a package's own programs for its tests, but not those of others. So the first test that needs
//! one runs cargo, with the profile and into the folder that the test itself was built with: a second or nothing
//! where they are fresh, and never a stale program. (Artifact dependencies would do this, and are unstable.)

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the programs are.
#[derive(Debug)]
pub struct Binaries {
    /// `causeway-proxy`.
    pub proxy: PathBuf,
    /// `causeway`.
    pub causeway: PathBuf,
}

/// Programs to be tested instead of those of this workspace: a folder that holds both.
const INSTEAD: &str = "CAUSEWAY_TEST_BINARIES";

/// The programs, built if they are not.
///
/// # Panics
/// When they do not build. Cargo's own message is on standard error.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let folder = std::env::var_os(INSTEAD).map_or_else(build, PathBuf::from);
        let program = |name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let found = Binaries { proxy: program("causeway-proxy"), causeway: program("causeway") };
        for program in [&found.proxy, &found.causeway] {
            assert!(program.is_file(), "{} is not there", program.display());
        }
        found
    })
}

/// Builds both and tells the folder.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    // TARGET/PROFILE/deps/TEST, or TARGET/PROFILE/PROGRAM
    let folder = own.parent().expect("a program lies in a folder");
    let tests = folder.parent().filter(|_| folder.ends_with("deps"));
    let folder = tests.unwrap_or(folder).to_owned();
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "-p", "causeway-proxy", "-p", "causeway-control"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the programs do not build");
    folder
}
