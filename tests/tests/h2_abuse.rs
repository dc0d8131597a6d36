//! HTTP/2 that costs us and not its sender: the connection is ended with ENHANCE_YOUR_CALM, the others do not notice,
//! and memory is bounded.

use std::time::Duration;

use causeway_testkit::client::Client;
use causeway_testkit::frames::{
    ACK, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GET, POST, frame, kind,
};
use causeway_testkit::origin::{Fault, Origin};
use causeway_testkit::script::Scripted;
use causeway_testkit::wait::{WATCHDOG, eventually, until, within};
use causeway_tests::Site;
use serde_json::json;
use tokio::task::JoinSet;

/// Enough for any budget, and little enough to be over soon where there is none.
const ROUNDS: u32 = 20_000;

/// Stream of a round.
fn stream(round: u32) -> u32 {
    2 * round + 1
}

fn get(round: u32) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(round), GET)
}

/// Something that is sent without end.
struct Attack {
    name: &'static str,
    /// What the metric calls it.
    kind: &'static str,
    /// What comes once, before.
    first: Vec<u8>,
    round: fn(u32) -> Vec<u8>,
}

fn attack(name: &'static str, kind: &'static str, first: Vec<u8>, round: fn(u32) -> Vec<u8>) -> Attack {
    Attack { name, kind, first, round }
}

fn attacks() -> Vec<Attack> {
    // A field of 4,000 bytes that goes into the dynamic table, to be named a byte at a time.
    let bomb = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
    vec![
        attack("rapid reset in one go", "resets", vec![], |n| {
            [get(n), frame(kind::RST_STREAM, 0, stream(n), &[0, 0, 0, 8])].concat()
        }),
        attack("made you reset", "provoked_resets", vec![], |n| {
            // The window of a stream that is closed on our side is overfilled.
            [get(n), frame(kind::WINDOW_UPDATE, 0, stream(n), &[0x7f, 0xff, 0xff, 0xff])].concat()
        }),
        attack("refused streams", "provoked_resets", vec![], get),
        attack("SETTINGS", "settings", vec![], |_| frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        attack("PING", "pings", vec![], |_| frame(kind::PING, 0, 0, &[0; 8])),
        attack("answers to no PING", "pings", vec![], |_| frame(kind::PING, ACK, 0, &[0; 8])),
        attack("PRIORITY", "priorities", vec![], |n| frame(kind::PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1])),
        attack("window updates", "window_updates", vec![], |_| {
            frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        }),
        attack("empty DATA", "empty_frames", frame(kind::HEADERS, END_HEADERS, 1, POST), |_| {
            frame(kind::DATA, 0, 1, b"")
        }),
        attack("unknown frames", "unknown_frames", vec![], |_| frame(99, 0, 0, b"?")),
        attack("CONTINUATION", "limits", frame(kind::HEADERS, END_STREAM, 1, GET), |_| {
            // A field without end.
            frame(
                kind::CONTINUATION,
                0,
                1,
                &[&[0x00, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat(),
            )
        }),
        attack("HPACK bomb", "limits", frame(kind::HEADERS, END_STREAM, 1, &[GET, &bomb].concat()), |_| {
            frame(kind::CONTINUATION, 0, 1, &[0xbe; 16_000])
        }),
    ]
}

#[tokio::test]
async fn each_flood_ends_its_connection_and_nobody_elses() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut bystander = Client::http2(site.at).await.expect("a connection");
    bystander.get("/", &[]).await.expect("an answer");
    let before = site.proxy.process.resident_kib();
    for Attack { name, kind, first, round } in attacks() {
        // Streams that are to be refused must find others that stay.
        origin.fault(if name == "refused streams" { Fault::Hang } else { Fault::Ok });
        let floods = async || {
            let metrics = site.proxy.metrics().await;
            metrics.sum("causeway_http2_floods_total", &[("from", "client"), ("kind", kind)])
        };
        let counted = floods().await;
        let mut attacker = Frames::connect(site.at).await;
        let attack = tokio::spawn(async move {
            attacker.send(first).await.expect("the connection is new");
            for n in 0..ROUNDS {
                // Ended: nobody reads any more.
                if attacker.send(round(n)).await.is_err() {
                    break;
                }
                if n % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            attacker
        });
        if name != "refused streams" {
            for _ in 0..20 {
                let served = within("a bystander's answer", WATCHDOG, bystander.get("/", &[])).await;
                assert_eq!(served.unwrap_or_else(|error| panic!("{name}: {error}")).status, 200, "{name}");
            }
        }
        let mut attacker = within("the end of an attack", WATCHDOG, attack).await.expect("no panic");
        assert_eq!(attacker.goaway().await, Some(ENHANCE_YOUR_CALM), "{name}");
        until("the flood to be counted", WATCHDOG, async || floods().await > counted).await;
    }
    origin.fault(Fault::Ok);
    let metrics = site.proxy.metrics().await;
    let ended = metrics.sum("causeway_downstream_connections_failed_total", &[("reason", "http2_flood")]);
    assert_eq!(ended, attacks().len() as f64);
    until("their requests to end", WATCHDOG, async || site.proxy.cluster("a").await["requests"] == 0).await;
    let grown = site.proxy.process.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
}

#[tokio::test]
async fn requests_that_are_all_given_up_once_they_are_under_way_end_the_connection() {
    let origin = Origin::start("a", 0).await;
    origin.fault(Fault::Hang);
    let site = Site::over(&[origin.addr()]).await;
    let mut attacker = Frames::connect(site.at).await;
    let mut begun = 0;
    // Its answer to a ping says that what came before has been taken.
    while attacker.send([get(begun), frame(kind::PING, 0, 0, &[0; 8])].concat()).await.is_ok()
        && attacker.next_of(kind::PING).await.is_some()
        && attacker.send(frame(kind::RST_STREAM, 0, stream(begun), &[0, 0, 0, 8])).await.is_ok()
    {
        begun += 1;
        assert!(begun < ROUNDS, "nobody minds");
    }
    let metrics = site.proxy.metrics().await;
    let floods = [("from", "client"), ("kind", "resets")];
    assert_eq!(metrics.sum("causeway_http2_floods_total", &floods), 1.0);
    assert!(begun >= 500, "{begun} only");
    until("what was begun to end", WATCHDOG, async || site.proxy.cluster("a").await["requests"] == 0).await;
}

#[tokio::test]
async fn busy_clients_that_ping_and_cancel_are_no_flood() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut client = Frames::connect(site.at).await;
    for n in 0..3_000 {
        // A request in three is given up, and each comes with a ping and a window update.
        client.send(get(n)).await.expect("sent");
        client.send(frame(kind::PING, 0, 0, &[0; 8])).await.expect("sent");
        client.send(frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])).await.expect("sent");
        if n % 3 == 0 {
            client.send(frame(kind::RST_STREAM, 0, stream(n), &[0, 0, 0, 8])).await.expect("sent");
            continue;
        }
        loop {
            let frame = client.next().await.unwrap_or_else(|| panic!("ended at request {n}"));
            assert_ne!(frame.kind, kind::GOAWAY, "at request {n}");
            if frame.stream == stream(n) && frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_stalled_window_holds_its_own_stream_only_and_not_for_ever() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(json!({"timeouts": {"bodyIdle": "500ms"}}));
    })
    .await;
    let mut client = Frames::connect(site.at).await;
    // No window for streams, and 10 of them.
    client.send(frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.expect("sent");
    for n in 0..10 {
        client.send(get(n)).await.expect("sent");
    }
    let mut reset = Vec::new();
    while reset.len() < 10 {
        let frame = client.next_of(kind::RST_STREAM).await.expect("the connection stays");
        reset.push(frame.stream);
    }
    // The connection is as good as before.
    client.send(frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])).await.expect("sent");
    client.send(get(10)).await.expect("sent");
    let data = client.next_of(kind::DATA).await.expect("an answer");
    assert_eq!(data.stream, stream(10));
}

#[tokio::test]
async fn a_window_opened_by_the_byte_is_too_slow() {
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"[..], &[b'x'; 1_000_000]].concat();
    let upstream = Scripted::answering(answer).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).client_policy(json!({"timeouts": {"bodyIdle": "1s"}}));
    })
    .await;
    let mut client = Frames::connect(site.at).await;
    client.send(get(0)).await.expect("sent");
    let ended = async {
        let mut drip = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                // Never without progress for a second, and 20 bytes in each.
                _ = drip.tick() => {
                    let byte = frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
                    let both = [byte, frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])].concat();
                    client.send(both).await.expect("the connection stays");
                }
                frame = client.next() => {
                    if frame.expect("the connection stays").kind == kind::RST_STREAM {
                        return;
                    }
                }
            }
        }
    };
    within("the end of a stream that is read by the byte", WATCHDOG, ended).await;
}

#[tokio::test]
async fn an_upstream_that_floods_is_left_and_another_one_serves() {
    let flooding = Scripted::start(|raw| async move {
        let Some(mut frames) = Frames::accept(raw).await else { return };
        while frames.send(frame(kind::PING, 0, 0, &[0; 8]).repeat(100)).await.is_ok() {}
    })
    .await;
    let good = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[flooding.addr(), good.addr()]).set(
            "Cluster",
            "a",
            "protocol",
            json!("http2"),
        );
    })
    .await;
    let mut all = JoinSet::new();
    for user in 0..40 {
        let at = site.at;
        all.spawn(async move { causeway_testkit::client::get_as(at, &format!("u{user}"), "/").await.status });
    }
    assert!(all.join_all().await.iter().all(|status| *status == 200));
    eventually("the flood to be counted", WATCHDOG, async || {
        let metrics = site.proxy.metrics().await;
        let floods = [("from", "upstream"), ("kind", "pings")];
        (metrics.sum("causeway_http2_floods_total", &floods) > 0.0).then_some(())
    })
    .await;
}
