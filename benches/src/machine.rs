//! What the numbers were measured on, and which CPU does what.

use std::fs;
use std::process::{Command, Stdio};

/// One line: CPU, kernel, compiler, and how busy the machine is with other things.
pub fn facts() -> String {
    let cpuinfo = cpuinfo();
    let model = field(&cpuinfo, "model name").unwrap_or("unknown CPU");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{model}, {cpus} CPUs, Linux {}, {}, load average {load}", kernel.trim(), rustc())
}

/// The compiler, as it names itself.
pub fn rustc() -> String {
    output("rustc", &["-V"]).map_or_else(|| "rustc unknown".to_owned(), |text| text.trim().to_owned())
}

/// Which of the C library's variants of `memcpy` and its like a program takes under valgrind, in one word. Valgrind
/// shows every CPU with AVX2 as one and the same model, whatever else it can (AVX-512 it hides).
pub fn seen_by_valgrind() -> String {
    let cpuinfo = cpuinfo();
    let flags = field(&cpuinfo, "flags").unwrap_or_default();
    let can = |flag: &str| flags.split(' ').any(|have| have == flag);
    let level = ["avx2", "avx", "sse4_2"].into_iter().find(|flag| can(flag)).unwrap_or("baseline");
    format!("{}-{level}", std::env::consts::ARCH)
}

fn cpuinfo() -> String {
    fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|l| l.trim_start().starts_with(':')))?;
    line.split_once(": ").map(|(_, value)| value)
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program can be started.
pub fn has(program: &str) -> bool {
    output(program, &["--version"]).is_some()
}

/// Two CPUs, so that what is measured and what measures do not take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// The proxy's.
    pub proxy: usize,
    /// The origin's and the clients'.
    pub traffic: usize,
}

impl Cpus {
    /// The first and the last CPU that this process may use; `None` with a single one, or without `taskset`
    /// (util-linux), which does the pinning.
    pub fn pick() -> Option<Cpus> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let (proxy, traffic) = ends(list.trim())?;
        (proxy != traffic && has("taskset")).then_some(Cpus { proxy, traffic })
    }

    /// Keeps this process, and the threads that it starts from now on, on the traffic's CPU.
    ///
    /// # Errors
    /// `taskset` was refused.
    pub fn pin_traffic(self) -> Result<(), String> {
        let (cpu, pid) = (self.traffic.to_string(), std::process::id().to_string());
        output("taskset", &["-c", "-p", &cpu, &pid])
            .map(drop)
            .ok_or_else(|| format!("taskset -c -p {cpu} {pid} fails"))
    }
}

/// First and last of a list such as `0-3,8`.
fn ends(list: &str) -> Option<(usize, usize)> {
    let first = list.split([',', '-']).next()?.parse().ok()?;
    let last = list.rsplit([',', '-']).next()?.parse().ok()?;
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "model"), Some("1"));
        assert_eq!(field(text, "bugs"), None);
    }

    #[test]
    fn the_ends_of_a_list_of_cpus_are_found() {
        assert_eq!(ends("0-1"), Some((0, 1)));
        assert_eq!(ends("2,4-7,9"), Some((2, 9)));
        assert_eq!(ends("3"), Some((3, 3)));
        assert_eq!(ends(""), None);
    }
}
