//! Test programs of others, built from their sources where that can be done, in `~/.cache/causeway/tools`.
//!
//! A test that needs one is skipped, and says how to get it, where neither the program nor what builds it is there.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The commit that was released as 2.6.0. It has a `go.mod` and a tag without the `/v2` that Go asks for, so it can be
/// installed by its pseudo-version only.
const H2SPEC: &str = "v0.0.0-20200804131034-70ac22940108";

/// [h2spec](https://github.com/summerwind/h2spec), a conformance suite for HTTP/2.
///
/// # Errors
/// What to do to have it.
pub fn h2spec() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| go_install("h2spec", "github.com/summerwind/h2spec/cmd/h2spec", H2SPEC)).clone()
}

/// A program of a Go module, in a folder named after its version.
fn go_install(name: &str, package: &str, version: &str) -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = home.join(".cache/causeway/tools").join(format!("{name}-{version}"));
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    let line = format!("GOBIN={} go install {package}@{version}", folder.display());
    // Built beside its place and moved there: another test run may be at the same.
    let building = folder.join(format!("building-{}", std::process::id()));
    let built = Command::new("go")
        .args(["install", &format!("{package}@{version}")])
        .env("GOBIN", &building)
        .env("GOFLAGS", "-modcacherw")
        .output();
    let failed = match built {
        Err(error) => Some(format!("no Go toolchain ({error})")),
        Ok(output) if !output.status.success() => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Ok(_) => std::fs::rename(building.join(name), &program).err().map(|error| error.to_string()),
    };
    // Empty by now, or of no use.
    let _ = std::fs::remove_dir_all(&building);
    match failed {
        None => Ok(program),
        Some(why) => Err(format!("{name} is not here: {}. Install it with: {line}", why.trim())),
    }
}
