//! `causeway demo` without a terminal: what scripts and CI see of it, and what is left of it afterwards.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// Far longer than anything here takes: only a bug reaches it.
const WATCHDOG: Duration = Duration::from_secs(30);

struct Demo {
    child: Child,
    lines: BufReader<ChildStdout>,
    proxy: String,
    control: String,
}

impl Demo {
    fn start() -> Demo {
        let mut child = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(["demo", "--rate", "100", "--users", "50"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut demo = Demo { child, lines, proxy: String::new(), control: String::new() };
        demo.proxy = address(&demo.line_with("http://"));
        demo.control = address(&demo.line_with("control"));
        demo
    }

    /// Reads on to a line with this in it.
    fn line_with(&mut self, word: &str) -> String {
        let began = Instant::now();
        while began.elapsed() < WATCHDOG {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("text") > 0, "the demo ended before {word:?}");
            if line.contains(word) {
                return line;
            }
        }
        panic!("never: {word:?}");
    }

    /// The folder of its configuration.
    fn folder(&mut self) -> PathBuf {
        PathBuf::from(self.line_with("  config").trim().trim_start_matches("config").trim())
    }

    /// The processes that the demo has started.
    fn children(&self) -> Vec<u32> {
        let parent = format!(" {} ", self.child.id());
        let entries = fs::read_dir("/proc").expect("Linux").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // "pid (name) state ppid ...": the name may hold anything, so count from its end.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest[1..].starts_with(&parent))
        })
        .collect()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Demo {
    /// Politely, so that it takes its folder with it; by force only if that takes too long.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        self.signal("TERM");
        let began = Instant::now();
        while began.elapsed() < WATCHDOG {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::yield_now();
        }
        // Already ended is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands between `http://` and the next `/`.
fn address(line: &str) -> String {
    line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address").to_owned()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(WATCHDOG)).expect("a socket");
    stream
}

fn request(method: &str, address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nx-user-id: alice\r\nconnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < WATCHDOG, "never: {what}");
        std::thread::yield_now();
    }
}

fn gone(pids: &[u32]) -> bool {
    pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
}

#[test]
fn the_first_address_is_the_proxys_and_a_cluster_can_be_killed_and_restored() {
    let mut demo = Demo::start();
    let answer = request("GET", &demo.proxy, "/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"user\":\"alice\""), "{answer}");
    demo.line_with("/s  us-east-1");
    let all = demo.children();
    assert_eq!(all.len(), 7, "six origins and a proxy");

    let killed = request("POST", &demo.control, "/clusters/us-east-1/kill");
    assert!(killed.starts_with("HTTP/1.1 200"), "{killed}");
    assert_eq!(demo.children().len(), 5);
    demo.line_with("* us-east-1: killed");
    let restored = request("POST", &demo.control, "/clusters/us-east-1/restore");
    assert!(restored.starts_with("HTTP/1.1 200"), "{restored}");
    assert_eq!(demo.children().len(), 7);
    let status = request("GET", &demo.control, "/status");
    assert!(status.contains("\"clusters\""), "{status}");
}

#[test]
fn a_web_page_cannot_use_the_switchboard() {
    let demo = Demo::start();
    let port = demo.control.rsplit(':').next().expect("a port");
    for headers in [
        format!("host: evil.example:{port}\r\n"),
        format!("host: {}\r\norigin: http://evil.example\r\n", demo.control),
        String::new(),
    ] {
        let mut stream = connect(&demo.control);
        write!(stream, "POST /clusters/us-east-1/kill HTTP/1.1\r\n{headers}connection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers:?}: {answer}");
    }
    assert_eq!(demo.children().len(), 7);
}

#[test]
fn sigterm_ends_all_of_it_and_leaves_nothing() {
    let mut demo = Demo::start();
    let folder = demo.folder();
    assert!(fs::exists(&folder).expect("readable"));
    let children = demo.children();
    assert_eq!(children.len(), 7);
    demo.signal("TERM");
    assert_eq!(demo.child.wait().expect("an end").code(), Some(0));
    assert!(gone(&children), "children outlived the demo");
    assert!(!fs::exists(&folder).expect("readable"));
}

#[test]
fn even_sigkill_leaves_no_orphans() {
    let mut demo = Demo::start();
    let children = demo.children();
    assert_eq!(children.len(), 7);
    demo.signal("KILL");
    demo.child.wait().expect("an end");
    wait_until("all children are gone", || gone(&children));
    // Nobody is left who could have tidied up.
    fs::remove_dir_all(demo.folder().parent().expect("the demo's own folder")).expect("removed");
}
