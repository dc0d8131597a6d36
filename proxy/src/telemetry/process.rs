//! What the kernel says of this process, under the names that Prometheus's client libraries have agreed on.

use std::fs;

use super::exposition::Page;

/// `USER_HZ`, the unit of times in `/proc/PID/stat`: 100 on every architecture that Linux exposes to programs
/// (proc(5), `sysconf(_SC_CLK_TCK)`), whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes memory, descriptors and processor time; what the system does not tell is left out.
pub fn render(page: &mut Page) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    page.gauge("process_resident_memory_bytes", "Memory in use, as the kernel counts it.", |family| {
        resident(&status).into_iter().for_each(|bytes| family.sample(&[], bytes));
    });
    page.gauge("process_open_fds", "Open file descriptors.", |family| {
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            family.sample(&[], entries.count().saturating_sub(1));
        }
    });
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    page.gauge("process_max_fds", "Most file descriptors that may be open.", |family| {
        max_descriptors(&limits).into_iter().for_each(|max| family.sample(&[], max));
    });
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    page.counter("process_cpu_seconds_total", "Processor time used, user and system.", |family| {
        cpu_seconds(&stat).into_iter().for_each(|seconds| family.sample(&[], seconds));
    });
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn max_descriptors(limits: &str) -> Option<u64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Fields 14 and 15, counted behind the program's name, which is in brackets and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn the_kernels_files_are_read_as_it_writes_them() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(
            max_descriptors("Max open files            1024                 4096 files\n"),
            Some(1024)
        );
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 99";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }

    #[test]
    fn what_is_not_told_is_left_out() {
        assert_eq!(
            (resident(""), max_descriptors("Max open files unlimited"), cpu_seconds("7 (x")),
            (None, None, None)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_descriptors() {
        let mut page = Page::default();
        render(&mut page);
        let samples = check(&page.finish());
        assert!(samples["process_resident_memory_bytes"] > 100_000.0);
        assert!(samples["process_open_fds"] >= 3.0);
        assert!(samples["process_max_fds"] >= samples["process_open_fds"]);
    }
}
