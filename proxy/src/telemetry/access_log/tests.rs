use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use causeway_config::AccessLogFormat;

use super::*;

/// Longer than any machine that works needs; only a bug gets here.
const WATCHDOG: Duration = Duration::from_secs(60);

fn config(path: AccessLogTarget, sample: f64) -> causeway_config::AccessLog {
    causeway_config::AccessLog { path, format: AccessLogFormat::Text, sample }
}

fn file(path: &Path) -> AccessLogTarget {
    AccessLogTarget::File(path.to_owned())
}

fn record(path: &str) -> Record {
    let client = IpAddr::from([127, 0, 0, 1]);
    Record::new(SystemTime::UNIX_EPOCH, client, b"GET", b"h", path.as_bytes(), b"", Names::default())
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn failures_are_always_wanted_and_successes_by_share() {
    let log = AccessLog::start();
    assert!(!log.wants(true, 0), "nothing is configured yet");
    log.configure(&config(AccessLogTarget::Stderr, 0.0)).unwrap();
    assert!(log.wants(true, u64::MAX) && !log.wants(false, 0));
    log.configure(&config(AccessLogTarget::Stderr, 1.0)).unwrap();
    assert!(log.wants(false, u64::MAX) && log.wants(false, 0));
    log.configure(&config(AccessLogTarget::Stderr, 0.25)).unwrap();
    let wanted = (0..1000u64).filter(|i| log.wants(false, i * (u64::MAX / 1000))).count();
    assert!((249..=251).contains(&wanted), "{wanted} of 1000");
    log.configure(&config(AccessLogTarget::Off, 1.0)).unwrap();
    assert!(!log.wants(true, 0) && !log.wants(false, 0));
}

#[test]
fn what_is_sent_is_in_the_file_after_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let log = AccessLog::start();
    log.configure(&config(file(&path), 0.0)).unwrap();
    for i in 0..500 {
        log.send(record(&format!("/{i}")));
    }
    assert!(log.flush(WATCHDOG));
    let lines = lines(&path);
    assert_eq!(lines.len(), 500);
    assert!(lines[499].contains(" /499 "), "{}", lines[499]);
    assert_eq!((log.written(), log.dropped()), (500, 0));
}

#[test]
fn a_new_target_takes_over_and_the_old_file_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let log = AccessLog::start();
    for (path, text) in [(&one, "/first"), (&two, "/second")] {
        log.configure(&config(file(path), 0.0)).unwrap();
        log.send(record(text));
        assert!(log.flush(WATCHDOG));
    }
    assert!(lines(&one).len() == 1 && lines(&one)[0].contains("/first"));
    assert!(lines(&two).len() == 1 && lines(&two)[0].contains("/second"));
}

#[test]
fn a_path_that_cannot_be_opened_is_refused_by_name_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("no/such/folder/log"));
    let log = AccessLog::start();
    log.configure(&config(file(&good), 1.0)).unwrap();
    let error = log.configure(&config(file(&bad), 0.0)).unwrap_err();
    assert!(error.contains("no/such/folder/log"), "{error}");
    assert!(log.wants(false, 7), "the old sampling holds");
    log.send(record("/still"));
    assert!(log.flush(WATCHDOG));
    assert_eq!(lines(&good).len(), 1);
}

#[test]
fn a_target_that_takes_nothing_costs_records_and_nothing_else() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return eprintln!("skipped: this system has no /dev/full");
    }
    let log = AccessLog::start();
    log.configure(&config(file(full), 0.0)).unwrap();
    log.send(record("/lost"));
    assert!(log.flush(WATCHDOG));
    assert_eq!((log.written(), log.dropped()), (0, 1));
}

#[test]
fn a_full_queue_drops_and_counts_and_never_blocks() {
    // Nobody reads this queue.
    let (queue, _records) = sync_channel(2);
    let state = Arc::new(State::default());
    let log = AccessLog {
        queue,
        state,
        writer: None,
        failures: AtomicBool::new(true),
        threshold: AtomicU64::new(0),
    };
    (0..5).for_each(|_| log.send(record("/")));
    assert_eq!(log.dropped(), 3);
    log.configure(&config(AccessLogTarget::Off, 0.0)).unwrap();
    assert!(!log.flush(Duration::ZERO));
}

#[test]
fn every_flush_is_answered_however_many_ask() {
    let log = AccessLog::start();
    log.configure(&config(AccessLogTarget::Off, 0.0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    log.send(record("/"));
                    assert!(log.flush(WATCHDOG));
                }
            });
        }
    });
}
