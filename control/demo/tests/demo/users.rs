//! The load generator tells the truth about a server whose sins are known.

use std::{net::SocketAddr, time::Duration};

use causeway_control_demo::{
    origin::{Fault, Origin, OriginOptions},
    users::{Outcome, Users, UsersOptions},
};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn origin() -> Origin {
    Origin::start(OriginOptions::named("east")).await.expect("a free port")
}

fn options(target: SocketAddr, requests: u32, rate: f64) -> UsersOptions {
    let duration = Some(Duration::from_secs_f64(f64::from(requests) / rate));
    UsersOptions { users: 50, rate, duration, ..UsersOptions::new(target) }
}

/// A server that answers each request by this function and keeps no manners otherwise.
async fn server<F>(answer: F) -> SocketAddr
where
    F: Fn(usize, &str) -> Option<String> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, answer.clone()));
        }
    });
    addr
}

async fn talk<F: Fn(usize, &str) -> Option<String>>(mut stream: TcpStream, answer: F) {
    let mut buffer = Vec::new();
    for number in 0.. {
        while !buffer.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let head = String::from_utf8_lossy(&buffer).into_owned();
        buffer.clear();
        match answer(number, &head) {
            Some(text) if stream.write_all(text.as_bytes()).await.is_ok() && !text.contains("close") => {}
            _ => return,
        }
    }
}

fn user_of(head: &str) -> u32 {
    let line = head.lines().find_map(|line| line.strip_prefix("x-user-id: user-")).expect("a user");
    line.trim().parse().expect("a number")
}

fn ok_from(cluster: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nx-cluster: {cluster}\r\ncontent-length: 2\r\n\r\nok")
}

#[tokio::test]
async fn the_rate_is_kept_exactly_and_each_user_has_its_turns() {
    let origin = origin().await;
    let summary = Users::run(options(origin.addr(), 1_000, 2_000.0)).await.expect("a run");
    assert_eq!((summary.requests, summary.errors, summary.shed), (1_000, 0, 0));
    assert_eq!(origin.seen().requests, 1_000);
    assert!(summary.users.iter().all(|user| user.requests == 20 && user.changes == 0));
    assert_eq!(summary.by_cluster["east"], 1_000);
    assert_eq!(summary.records.len(), 1_000);
    assert!(summary.connections < 200, "{} connections for 1,000 requests", summary.connections);
    let by_second: u32 = summary.seconds.iter().map(|second| second.all.requests).sum();
    assert_eq!(by_second, 1_000);
}

#[tokio::test]
async fn every_error_is_counted_once_and_for_the_user_who_saw_it() {
    let addr = server(|_, head| {
        Some(match user_of(head) % 10 {
            0 => "HTTP/1.1 503 x\r\nproxy-status: edge; error=x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            1 => "HTTP/1.1 404 x\r\nx-cluster: east\r\ncontent-length: 0\r\n\r\n".to_owned(),
            _ => ok_from("east"),
        })
    })
    .await;
    let summary = Users::run(options(addr, 500, 2_000.0)).await.expect("a run");
    assert_eq!((summary.status(503), summary.status(404), summary.status(200)), (50, 50, 400));
    assert_eq!(summary.errors, 50);
    assert_eq!(summary.reasons["edge; error=x"], 50);
    for (number, user) in summary.users.iter().enumerate() {
        assert_eq!(user.errors, if number % 10 == 0 { 10 } else { 0 }, "user {number}");
    }
    let unsigned: u32 = summary.seconds.iter().map(|second| second.unsigned_errors).sum();
    assert_eq!(unsigned, 50);
}

#[tokio::test]
async fn broken_answers_are_told_apart() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\nshort", Outcome::Body),
        ("SMTP ready\r\n\r\n", Outcome::Malformed),
        ("", Outcome::Reset),
    ] {
        let addr = server(move |_, _| (!answer.is_empty()).then(|| answer.to_owned())).await;
        let summary = Users::run(options(addr, 20, 1_000.0)).await.expect("a run");
        assert_eq!(summary.outcomes[&outcome], 20, "{answer:?}: {:?}", summary.outcomes);
        assert_eq!(summary.errors, 20);
    }
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    drop(listener);
    let summary = Users::run(options(addr, 20, 1_000.0)).await.expect("a run");
    assert_eq!(summary.outcomes[&Outcome::Connect], 20);
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_a_retry_and_no_error() {
    // Each connection serves one request and is closed at the second, without a word: what a server does
    // whose idle timeout ends at that moment.
    let addr = server(|number, _| (number == 0).then(|| ok_from("east"))).await;
    let mut options = options(addr, 200, 1_000.0);
    options.methods = vec![(Method::GET, 1)];
    let summary = Users::run(options.clone()).await.expect("a run");
    assert_eq!((summary.requests, summary.errors), (200, 0), "{:?}", summary.outcomes);
    assert!(summary.stale_retries > 50, "{}", summary.stale_retries);

    options.methods = vec![(Method::POST, 1)];
    let summary = Users::run(options).await.expect("a run");
    assert!(summary.outcomes[&Outcome::Reset] > 50, "an order is not sent twice: {:?}", summary.outcomes);
}

#[tokio::test]
async fn latency_counts_from_when_a_request_was_due() {
    let origin = origin().await;
    origin.set_fault(Fault::Hang);
    let users = Users::start(options(origin.addr(), 200, 1_000.0)).expect("a run");
    let live = users.live();
    // Hang until all are due, however long that takes here, then let all of them go at once: the first has
    // waited since its own time, not since a free connection let it start.
    while live.in_flight() < 200 {
        tokio::task::yield_now().await;
    }
    let released = live.elapsed();
    origin.set_fault(Fault::Ok);
    let summary = users.finish().await;
    assert_eq!((summary.requests, summary.errors), (200, 0));
    for record in &summary.records {
        assert!(record.sent_at + record.latency >= released, "{record:?} ended before {released:?}");
    }
    assert!(summary.p50 >= Duration::from_millis(90), "{:?}", summary.p50);
}

#[tokio::test]
async fn a_silent_server_is_a_timeout_and_the_rest_is_shed() {
    let origin = origin().await;
    origin.set_fault(Fault::Hang);
    let mut options = options(origin.addr(), 100, 1_000.0);
    options.timeout = Duration::from_secs(2);
    options.max_in_flight = 60;
    let summary = Users::run(options).await.expect("a run");
    assert_eq!((summary.outcomes[&Outcome::Timeout], summary.shed), (60, 40));
}

#[tokio::test]
async fn users_who_are_moved_are_seen_to_move() {
    // A front that sends even users east at first and everybody west later.
    let addr = server(|number, head| {
        let moved = number >= 5;
        Some(ok_from(if user_of(head).is_multiple_of(2) && !moved { "east" } else { "west" }))
    })
    .await;
    // One request at a time on one connection, so that the fifth is the fifth of all.
    let mut options = options(addr, 30, 20.0);
    options.users = 2;
    options.home_of = Some(std::sync::Arc::new(|name: &str| {
        Some(if name == "user-0" { "east" } else { "west" }.to_owned())
    }));
    let summary = Users::run(options).await.expect("a run");
    let home =
        |user: usize| summary.users[user].home.map(|index| summary.clusters[usize::from(index)].as_str());
    assert_eq!((home(0), home(1)), (Some("east"), Some("west")));
    assert_eq!((summary.users[0].changes, summary.users[1].changes), (1, 0));
    assert_eq!(summary.away, 1);
}
