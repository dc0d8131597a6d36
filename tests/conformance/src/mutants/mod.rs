//! Faults put into our proxy, to see whether the battery notices.
//!
//! All of them go into one copy of the repository, each behind a switch that an environment variable throws, and that
//! copy is built once ("mutant schemata": Untch, Offutt, Harrold, 1993). A build for each fault would take an hour, for
//! the same answer: with the variable unset the copy is our proxy, which is run first, and what fails then does not count.

mod list;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub use self::list::{Edit, FAULTS, Fault};
use crate::results::{Mutant, Results};
use crate::run;
use crate::target::Target;

/// What throws the switch: the fault's number.
const VARIABLE: &str = "CAUSEWAY_MUTANT";

/// The switch, in the crate that all others here import, and in `h2`.
const SWITCH: &str = "
/// Whether this fault is switched on.
pub fn mutated(number: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var(\"CAUSEWAY_MUTANT\").ok()).as_deref() == Some(number)
}
";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds the copy, runs the battery on each fault, and writes what came of it.
///
/// # Errors
/// An edit does not fit, the copy does not build, or the proxy does not serve.
pub async fn run(only: Option<&str>) -> Result<(), String> {
    let copy = TempDir::with_prefix("mutants-").map_err(|e| format!("a folder: {e}"))?;
    copy_sources(copy.path())?;
    mutate(copy.path())?;
    let program = build(copy.path())?;
    // The heavy ones start processes of their own or push megabytes.
    let (heavy, light): (Vec<_>, Vec<_>) = run::chosen(None).into_iter().partition(run::is_heavy);
    let mut sound = run::run(Target::Causeway, &program, &light).await?;
    sound.extend(run::run(Target::Causeway, &program, &heavy).await?);
    println!("without a fault: {} checks fail", sound.len());
    let mut results = Results::read().unwrap_or_default();
    if only.is_none() {
        results.mutants.clear();
    }
    for (number, fault) in
        FAULTS.iter().enumerate().filter(|(_, fault)| only.is_none_or(|t| fault.name.contains(t)))
    {
        let launcher = launcher(copy.path(), &program, number)?;
        let checks = match fault.area {
            None => light.clone(),
            Some(area) => heavy.iter().filter(|check| check.area() == area).cloned().collect(),
        };
        let killed_by: BTreeSet<String> = match run::run(Target::Causeway, &launcher, &checks).await {
            Ok(failures) => failures.into_keys().filter(|id| !sound.contains_key(id)).collect(),
            // A proxy that does not serve is noticed by anything.
            Err(_) => BTreeSet::from(["target/lives".to_owned()]),
        };
        println!("{}: {} checks fail", fault.name, killed_by.len());
        let file = fault.edits.first().map_or("", |(file, ..)| file).to_owned();
        results.mutants.insert(fault.name.to_owned(), Mutant { file, killed_by });
        results.write()?;
    }
    Ok(())
}

/// Copies the repository, and the `h2` crate into it.
fn copy_sources(to: &Path) -> Result<(), String> {
    copy_repository(to)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--locked", "--format-version", "1"]).current_dir(repository());
    let metadata = metadata.output().map_err(|e| format!("cargo metadata: {e}"))?.stdout;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let manifest = packages.iter().find(|package| package["name"] == "h2").ok_or("there is no h2")?;
    let manifest = manifest["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    copy_folder(manifest.ok_or("h2 has no folder")?, &to.join("h2"))?;
    let root = to.join("Cargo.toml");
    let text = fs::read_to_string(&root).map_err(|e| format!("{}: {e}", root.display()))?;
    let text = text.replacen("exclude = [", "exclude = [\"h2\", ", 1)
        + "\n[patch.crates-io]\nh2 = { path = \"h2\" }\n";
    fs::write(&root, text).map_err(|e| format!("{}: {e}", root.display()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |e| format!("{}: {e}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to).map_err(failed)?;
        }
    }
    Ok(())
}

/// Copies what git knows.
fn copy_repository(to: &Path) -> Result<(), String> {
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output();
    let files = files.map_err(|e| format!("git ls-files: {e}"))?.stdout;
    for name in files.split(|&c| c == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let (from, to) = (repository().join(&name), to.join(&name));
        // A file that was deleted and not committed is not copied.
        if !from.is_file() {
            continue;
        }
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder)
            .and_then(|()| fs::copy(&from, &to))
            .map_err(|e| format!("{}: {e}", to.display()))?;
    }
    Ok(())
}

/// Puts all faults and the switch into the copy.
fn mutate(copy: &Path) -> Result<(), String> {
    for (number, fault) in FAULTS.iter().enumerate() {
        for edit in fault.edits {
            apply(copy, fault.name, number, edit)?;
        }
    }
    for root in ["proxy/http1/src/lib.rs", "h2/src/lib.rs"] {
        let root = copy.join(root);
        let text = fs::read_to_string(&root).map_err(|e| format!("{}: {e}", root.display()))?;
        fs::write(&root, text + SWITCH).map_err(|e| format!("{}: {e}", root.display()))?;
    }
    Ok(())
}

fn apply(copy: &Path, name: &str, number: usize, (file, before, after): &Edit) -> Result<(), String> {
    let path = copy.join(file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
    let places = text.matches(before).count();
    if places != 1 {
        return Err(format!("\"{name}\" fits {places} places of {file}, not one: {before}"));
    }
    let own = file.starts_with("proxy/http1") || file.starts_with("h2/");
    let switch = if own { "crate" } else { "causeway_proxy_http1" };
    let after = after.replace("MUTANT", &format!("{switch}::mutated(\"{number}\")"));
    fs::write(&path, text.replace(before, &after)).map_err(|e| format!("{file}: {e}"))
}

/// Builds the proxy of the copy, in a folder of its own that is kept for the next time.
fn build(copy: &Path) -> Result<PathBuf, String> {
    let target = repository().join("target/mutants");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Not --locked: the copy's h2 is another source than the lock file's.
    build.args(["build", "--quiet", "-p", "causeway-proxy", "--target-dir"]).arg(&target);
    let built = build.current_dir(copy).stdin(Stdio::null()).status().map_err(|e| format!("cargo: {e}"))?;
    if built.success() {
        Ok(target.join("debug/causeway-proxy"))
    } else {
        Err("the mutants do not build".to_owned())
    }
}

/// A program that is the proxy with one fault.
fn launcher(dir: &Path, program: &Path, number: usize) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(format!("mutant-{number}"));
    let program = program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))?;
    let text = format!("#!/bin/sh\n{VARIABLE}={number} exec '{}' \"$@\"\n", program.display());
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_fits_exactly_one_place() {
        let copy = TempDir::new().expect("a folder");
        copy_sources(copy.path()).expect("copied");
        mutate(copy.path()).expect("each edit fits");
        assert!((25..=80).contains(&FAULTS.len()), "{}", FAULTS.len());
    }
}
