//! A new process takes the listening sockets over, and nobody notices: not the users, not what is known of health.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use causeway_testkit::client::{Client, Error, fetch};
use causeway_testkit::origin::{Fault, Origin, addrs};
use causeway_testkit::ports::PortLease;
use causeway_testkit::process::{Child, Grandchild, Signal};
use causeway_testkit::proxy::{Folder, Proxy};
use causeway_testkit::wait::{WATCHDOG, eventually, until};
use causeway_tests::{Site, keep_asking};
use http::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How clients come.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// A connection a request.
    New,
    /// HTTP/1.1, for as long as the server keeps the connection.
    KeepAlive,
    /// HTTP/2, likewise.
    Http2,
}

/// Users who ask without a pause until they are told to stop, and what went wrong for them.
struct Load {
    users: JoinSet<Result<(), String>>,
    answered: Vec<Arc<AtomicU64>>,
    enough: watch::Sender<bool>,
}

impl Load {
    fn start(at: SocketAddr, manners: &[Manner]) -> Load {
        let mut load =
            Load { users: JoinSet::new(), answered: Vec::new(), enough: watch::Sender::new(false) };
        for &manner in manners {
            let answered = Arc::new(AtomicU64::new(0));
            load.answered.push(answered.clone());
            let enough = load.enough.subscribe();
            load.users.spawn(async move {
                let asked = ask(at, manner, answered, enough).await;
                asked.map_err(|error| format!("{manner:?}: {error}: {:?}", error.source()))
            });
        }
        load
    }

    /// Each of them gets another answer, and then another: the first may have been under way.
    async fn goes_on(&self) {
        let before: Vec<u64> = self.answered.iter().map(|n| n.load(Relaxed)).collect();
        until("each user's next answers", WATCHDOG, async || {
            self.answered.iter().zip(&before).all(|(n, before)| n.load(Relaxed) > before + 1)
        })
        .await;
    }

    /// Tells them to stop. Says how many requests were answered.
    ///
    /// # Panics
    /// When a request failed.
    async fn end(mut self) -> u64 {
        self.goes_on().await;
        self.enough.send_replace(true);
        while let Some(user) = self.users.join_next().await {
            assert_eq!(user.expect("no panic"), Ok(()));
        }
        self.answered.iter().map(|n| n.load(Relaxed)).sum()
    }
}

async fn ask(
    at: SocketAddr,
    manner: Manner,
    answered: Arc<AtomicU64>,
    mut enough: watch::Receiver<bool>,
) -> Result<(), Error> {
    while !*enough.borrow() {
        let client = match manner {
            Manner::New => {
                let answer = fetch(at, Method::GET, "/", &[("x-user-id", "u")]).await?;
                assert_eq!(answer.status, 200);
                answered.fetch_add(1, Relaxed);
                continue;
            }
            Manner::KeepAlive => Client::http1(at).await?,
            Manner::Http2 => Client::http2(at).await?,
        };
        tokio::select! {
            asked = keep_asking(client, answered.clone()) => asked?,
            _ = enough.changed() => {}
        }
    }
    Ok(())
}

const ALL: [Manner; 8] = [
    Manner::New,
    Manner::New,
    Manner::New,
    Manner::KeepAlive,
    Manner::KeepAlive,
    Manner::KeepAlive,
    Manner::Http2,
    Manner::Http2,
];

/// It drained in an orderly way: nobody was cut off.
async fn drained(old: &mut Child) {
    assert_eq!(old.end(WATCHDOG).await.code(), Some(0), "{}", old.lines.text());
    assert!(old.lines.text().contains("0 connections cut off"), "{}", old.lines.text());
}

#[tokio::test]
async fn twenty_upgrades_under_load_fail_no_request() {
    let origins = Origin::cluster("a", 2).await;
    let site = Site::over(&addrs(&origins)).await;
    let load = Load::start(site.at, &ALL);
    let mut serving = site.proxy;
    let mut before = Vec::new();
    for _ in 0..20 {
        load.goes_on().await;
        let next = serving.succeed().await;
        before.push(std::mem::replace(&mut serving, next));
    }
    let answered = load.end().await;
    eprintln!("20 upgrades, {answered} requests, none failed");
    for mut old in before {
        drained(&mut old.process).await;
    }
    assert_eq!(serving.generation().await, Some(21));
    assert_eq!(serving.readiness().await, Some(200));
}

#[tokio::test]
async fn a_successor_with_a_bad_config_ends_and_the_one_before_serves_on() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let load = Load::start(site.at, &ALL);
    site.proxy.folder.write("kind: Nonsense");
    let mut failed = Proxy::launch_with(&site.proxy.folder, &["--takeover"]);
    assert_eq!(failed.end(WATCHDOG).await.code(), Some(1));
    assert!(failed.lines.text().contains("not taking over"), "{}", failed.lines.text());
    until("the old one's word", WATCHDOG, async || site.proxy.process.lines.find("serving on").is_some())
        .await;
    assert_eq!((site.proxy.generation().await, site.proxy.readiness().await), (Some(1), Some(200)));
    load.goes_on().await;

    site.proxy.process.signal(Signal::USR2);
    until("the failure of the one it started", WATCHDOG, async || {
        site.proxy.process.lines.find("the successor ended (exit status: 1)").is_some()
    })
    .await;
    load.goes_on().await;

    site.proxy.folder.write(&site.config.text());
    let next = site.proxy.succeed().await;
    assert_eq!(next.generation().await, Some(2));
    load.end().await;
}

#[tokio::test]
async fn a_successor_that_dies_with_the_sockets_in_its_hands_costs_nothing() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let load = Load::start(site.at, &ALL);
    for round in 1..=3 {
        let mut asks = UnixStream::connect(site.proxy.folder.state().join("handover.sock")).expect("a door");
        let take = br#"{"say":"take","pid":1,"version":"0"}"#;
        asks.write_all(&(take.len() as u32).to_le_bytes()).expect("sent");
        asks.write_all(take).expect("sent");
        asks.read_exact(&mut [0; 64]).expect("an offer");
        drop(asks);
        until("the old one's word", WATCHDOG, async || {
            site.proxy.process.lines.text().matches("serving on").count() == round
        })
        .await;
        load.goes_on().await;
    }
    let next = site.proxy.succeed().await;
    load.end().await;
    assert_eq!(next.generation().await, Some(2));
}

/// Threads that serve users.
fn workers(process: &Child) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("worker-")).count()
}

#[tokio::test]
async fn an_upgrade_changes_the_number_of_workers_and_the_ports_and_resets_nobody() {
    let origin = Origin::start("a", 0).await;
    let Site { proxy, at, mut config, lease } = Site::over(&[origin.addr()]).await;
    let load = Load::start(at, &ALL);
    let second = PortLease::take();
    let mut serving = proxy;
    let mut before = Vec::new();
    for (count, ports) in [(1, 1), (3, 2), (2, 1)] {
        config.set_proxy("workers", json!(count));
        let listener =
            |name: &str, at: SocketAddr| json!({"name": name, "port": at.port(), "protocol": "HTTP"});
        let listeners = [listener("http", at), listener("second", second.addr())];
        config.set("Gateway", "edge", "listeners", json!(listeners[..ports]));
        serving.reload(&config).await;
        load.goes_on().await;
        let next = serving.succeed().await;
        before.push(std::mem::replace(&mut serving, next));
        assert_eq!(workers(&serving.process), count);
        load.goes_on().await;
        if ports == 2 {
            assert_eq!(fetch(second.addr(), Method::GET, "/", &[]).await.expect("an answer").status, 200);
        }
    }
    load.end().await;
    for mut old in before {
        drained(&mut old.process).await;
    }
    assert!(TcpStream::connect(second.addr()).await.is_err(), "the port that was taken out is closed");
    drop(lease);
}

#[tokio::test]
async fn what_is_known_of_health_outlives_an_upgrade() {
    let (a, b) = (Origin::cluster("a", 2).await, Origin::cluster("b", 2).await);
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs(&a)).cluster("b", 1, &addrs(&b));
    })
    .await;
    let proxy = &site.proxy;
    proxy.admin(Method::POST, "/clusters/a/drain").await;
    let sick = format!("/endpoints/b/{}/eject?for=1h", b[0].addr());
    assert_eq!(proxy.admin(Method::POST, &sick).await.status, 200);
    let next = proxy.succeed().await;
    assert_eq!((next.admission("a").await, next.admission("b").await), (0.0, 1.0));
    assert_eq!(next.cluster("a").await["why"], "drained");
    assert_eq!(next.endpoint("b", b[0].addr()).await["health"], "ejected");
    // From its first request on: nobody was asked who is out.
    for user in 0..50 {
        assert_eq!(site.endpoint_of(&format!("u{user}")).await, "b-1");
    }
    assert_eq!((a[0].seen().requests, a[1].seen().requests, b[0].seen().requests), (0, 0, 0));
}

#[tokio::test]
async fn a_long_request_ends_in_the_old_process_and_new_ones_begin_in_the_new() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config
            .cluster("a", 1, &[origin.addr()])
            .set_proxy("drain", json!({"timeout": "60s", "delay": "60s"}));
    })
    .await;
    origin.fault(Fault::Hang);
    let at = site.at;
    let waiting = tokio::spawn(async move { fetch(at, Method::GET, "/", &[]).await });
    until("a request under way", WATCHDOG, async || origin.seen().in_flight == 1).await;
    let next = site.proxy.succeed().await;
    origin.fault(Fault::Ok);
    assert_eq!(site.get("u", "/").await.status, 200);
    assert_eq!(next.metrics().await.sum("causeway_draining", &[]), 0.0);
    assert_eq!(waiting.await.expect("no panic").expect("an answer").status, 200);
    drained(&mut site.proxy.process).await;
}

#[tokio::test]
async fn sigusr2_starts_the_program_anew_and_tells_the_service_manager() {
    let origin = Origin::start("a", 0).await;
    let folder = Folder::new();
    let manager = folder.path("notify");
    let hears = UnixDatagram::bind(&manager).expect("a socket");
    hears.set_nonblocking(true).expect("set");
    let folder = folder.with_env("NOTIFY_SOCKET", manager.to_str().expect("UTF-8"));
    let mut site = Site::start_in(folder, |config| {
        config.cluster("a", 1, &[origin.addr()]);
    })
    .await;
    let heard = async || {
        eventually("a word to the service manager", WATCHDOG, async || {
            let mut text = [0; 64];
            hears.recv(&mut text).ok().map(|length| String::from_utf8_lossy(&text[..length]).into_owned())
        })
        .await
    };
    assert_eq!(heard().await, "READY=1");
    let load = Load::start(site.at, &ALL);
    load.goes_on().await;
    site.proxy.process.signal(Signal::USR2);
    let mut words = [heard().await, heard().await];
    words.sort();
    let pid = words[0].strip_prefix("MAINPID=").and_then(|pid| pid.parse().ok()).expect("the new process");
    let next = Grandchild::adopt(pid);
    assert_eq!(words[1], "READY=1");
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
    assert_eq!(site.proxy.generation().await, Some(2));
    load.end().await;
    next.signal(Signal::TERM);
    assert_eq!(heard().await, "STOPPING=1");
    until("its end", WATCHDOG, async || !next.runs()).await;
}

#[tokio::test]
async fn without_one_before_it_a_successor_starts_afresh() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::over(&[origin.addr()]).await;
    site.proxy.process.kill();
    let mut first = Proxy::launch_with(&site.proxy.folder, &["--takeover"]);
    until("a proxy that serves", WATCHDOG, async || {
        assert!(first.ended().is_none(), "{}", first.lines.text());
        fetch(site.at, Method::GET, "/", &[]).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert!(first.lines.text().contains("nobody to take over from"), "{}", first.lines.text());
}

#[tokio::test]
async fn a_second_proxy_by_mistake_is_refused_as_ever() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut second = Proxy::launch(&site.proxy.folder);
    assert_eq!(second.end(WATCHDOG).await.code(), Some(1));
    assert!(second.lines.text().contains("cannot listen on"), "{}", second.lines.text());
    assert_eq!(site.get("u", "/").await.status, 200);
}
