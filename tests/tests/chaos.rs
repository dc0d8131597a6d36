//! Whatever an upstream sends: a client gets the right answer, the right beginning of it, or an error that says what
//! happened; the upstream is blamed for what it did; and afterwards nothing is left.

use std::time::Duration;

use causeway_testkit::client::{Client, full};
use causeway_testkit::faulty::{BYTES, FAULT, Fault, FaultyOrigin, ID, LAST, ORIGIN, pattern};
use causeway_testkit::metrics::Metrics;
use causeway_testkit::wait::{WATCHDOG, eventually, until};
use causeway_tests::Site;
use causeway_tests::storm::{
    Chance, Crowd, Fate, Got, SCENES, Stage, State, Storm, Wanted, acts, change, judge,
};
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::watch;

/// What a client sees of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// Nothing of it.
    Right,
    /// The origin's own error; a GET, the answer of another cluster.
    Sick,
    /// This status and error type of Proxy-Status, with this reason in the count of failures; a GET, the answer of
    /// another cluster.
    Error(u16, &'static str, &'static str),
    /// The same for what the upstream says that it did not process: another cluster's answer whatever the method.
    Unprocessed,
    /// The answer's beginning. Where the break comes along with it, nothing was sent yet: a 502 instead, and over HTTP/2,
    /// where a head that was queued is not to be had back, the reset of the stream.
    Cut,
}
use Sees::*;

const RESET: Sees = Error(503, "connection_terminated", "reset");
const TIMEOUT: Sees = Error(504, "http_response_timeout", "timeout");
const MALFORMED: Sees = Error(502, "http_protocol_error", "malformed");

/// What becomes of the connection to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// The next request finds it.
    Reused,
    /// No other request does.
    Ended,
    /// Either: it depends on what was under way when the answer came; after a silence, on whether the PING that asks
    /// if anybody is there was answered before the next request.
    Either,
}
use Connection::{Either, Ended, Reused};

type Case = (Fault, Sees, Connection);

const HTTP1: &[Case] = &[
    (Fault::Right, Right, Reused),
    (Fault::Status, Sick, Reused),
    (Fault::Reset, RESET, Ended),
    (Fault::Close, RESET, Ended),
    (Fault::HeadReset, RESET, Ended),
    (Fault::BodilessReset, Cut, Ended),
    (Fault::BodyReset, Cut, Ended),
    (Fault::BodyClose, Cut, Ended),
    (Fault::Hang, TIMEOUT, Ended),
    (Fault::SlowHead, Right, Reused),
    (Fault::SlowBody, Right, Reused),
    (Fault::BodyStall, Cut, Ended),
    (Fault::LongLength, Cut, Ended),
    (Fault::ShortLength, Right, Ended),
    (Fault::TwoLengths, MALFORMED, Ended),
    (Fault::LengthAndChunked, MALFORMED, Ended),
    (Fault::BadChunkSize, Cut, Ended),
    (Fault::LongChunk, Cut, Ended),
    (Fault::BareLf, MALFORMED, Ended),
    (Fault::Nul, MALFORMED, Ended),
    (Fault::LargeHead, MALFORMED, Ended),
    (Fault::EarlyAnswer, Right, Either),
    (Fault::EarlyClose, Right, Ended),
    (Fault::Interims, Right, Reused),
    (Fault::InterimFlood, MALFORMED, Ended),
    (Fault::Garbage, MALFORMED, Ended),
    (Fault::SecondAnswer, Right, Ended),
    (Fault::Unasked, Right, Ended),
    (Fault::ResetOnReuse, Right, Ended),
];

const HTTP2: &[Case] = &[
    (Fault::Right, Right, Reused),
    (Fault::Status, Sick, Reused),
    (Fault::Reset, RESET, Reused),
    (Fault::Close, RESET, Ended),
    (Fault::BodilessReset, Cut, Reused),
    (Fault::BodyReset, Cut, Reused),
    (Fault::BodyClose, Cut, Ended),
    (Fault::Hang, TIMEOUT, Either),
    (Fault::SlowBody, Right, Reused),
    (Fault::BodyStall, Cut, Reused),
    (Fault::LongLength, Cut, Reused),
    (Fault::ShortLength, Cut, Reused),
    (Fault::LargeHead, RESET, Either),
    (Fault::EarlyAnswer, Right, Reused),
    (Fault::Interims, Right, Reused),
    (Fault::InterimFlood, MALFORMED, Reused),
    (Fault::Garbage, RESET, Ended),
    (Fault::Refused, Unprocessed, Reused),
    (Fault::GoAwayBelow, Unprocessed, Ended),
    (Fault::GoAway, Right, Either),
];

/// A cluster `a` that does as it is told and is home to nearly everybody, and a cluster `b` that is well.
struct Pair {
    site: Site,
    told: FaultyOrigin,
    well: FaultyOrigin,
    ids: u64,
}

impl Pair {
    /// One worker, so that it is known which pool a request meets; nothing is ejected, and each request is alone.
    async fn start(protocol: &str) -> Pair {
        let (told, well) = (FaultyOrigin::start("a", 1).await, FaultyOrigin::start_deaf("b").await);
        let site = Site::start(|config| {
            config.cluster("a", 100_000, &[told.addr()]).cluster("b", 1, &[well.addr()]);
            config.set("Cluster", "a", "protocol", json!(protocol));
            config.set_proxy("workers", json!(1));
            config.client_policy(json!({"timeouts": {"bodyIdle": "1s"}}));
            let many = json!({"consecutiveErrors": 100_000, "consecutiveLocalOriginFailures": 100_000});
            config.set_service("trafficPolicy.outlierDetection", many);
            config.set_service("resilience.circuitBreaker", json!({"consecutiveErrors": 100_000}));
            config.set_service("resilience.retries.budget", json!({"percent": 100, "minPerSecond": 100}));
            config.set_service("resilience.retries.backoff", json!({"base": "1ms", "max": "2ms"}));
            config.set_service("resilience.retries.perTryTimeout", json!("600ms"));
        })
        .await;
        Pair { site, told, well, ids: 0 }
    }

    async fn client(&self, http2: bool) -> Client {
        let client =
            if http2 { Client::http2(self.site.at).await } else { Client::http1(self.site.at).await };
        client.expect("a connection")
    }

    /// Sends a request. Gives what became of it, who answered, and the error type of Proxy-Status.
    async fn send(&mut self, http2: bool, fault: Fault, upload: usize, last: bool) -> (Fate, String, String) {
        // Not one of the numbers that are answered in chunks or without a length.
        self.ids += 16;
        let wanted = Wanted { id: self.ids + 7, bytes: 2_000, upload, echo: false };
        let mut client = self.client(http2).await;
        let (id, bytes) = (format!("{:x}", wanted.id), wanted.bytes.to_string());
        let mut fields =
            vec![("x-user-id", "u"), (ID, id.as_str()), (BYTES, bytes.as_str()), (FAULT, fault.name())];
        if last {
            fields.push((LAST, "1"));
        }
        let method = if upload > 0 { Method::POST } else { Method::GET };
        let request = client.request(method, "/", &fields, full(pattern::upload(wanted.id, upload)));
        let response = client.send(request).await;
        let Ok(response) = response else { return (Fate::Lost, String::new(), String::new()) };
        let (head, mut body) = response.into_parts();
        let (mut received, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                whole = false;
                break;
            };
            received.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
        }
        let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let got = Got { status: head.status.as_u16(), body: &received, whole };
        let why = field("proxy-status").unwrap_or_default();
        let why = why.split(';').find_map(|part| part.trim().strip_prefix("error=")).unwrap_or_default();
        let by = field(ORIGIN).unwrap_or_default().to_owned();
        (judge(&wanted, &got, field), by, why.to_owned())
    }

    /// Failures by reason, attempts blamed on the endpoint, retries.
    fn counts(&self, metrics: &Metrics) -> Vec<(String, f64)> {
        let mut counts = Vec::new();
        for reason in ["connect", "reset", "timeout", "malformed", "refused", "cut", "endpoint_down"] {
            let labels = [("cluster", "a"), ("reason", reason)];
            counts.push((reason.to_owned(), metrics.sum("causeway_upstream_failures_total", &labels)));
        }
        let labels = [("cluster", "a"), ("result", "failure")];
        counts.push(("blamed".to_owned(), metrics.sum("causeway_endpoint_requests_total", &labels)));
        counts.push(("retries".to_owned(), metrics.sum("causeway_retries_total", &[])));
        counts
    }

    async fn case(&mut self, (fault, sees, connection): Case, http2: bool, upload: usize, pooled: bool) {
        let what = format!("{} as {}", fault.name(), if upload > 0 { "POST" } else { "GET" });
        let before = self.counts(&self.site.proxy.metrics().await);
        let connections = self.told.counts().connections;
        let (fate, by, why) = self.send(http2, fault, upload, false).await;

        let elsewhere = match sees {
            Unprocessed => true,
            Sick | Error(..) => upload == 0,
            Right | Cut => false,
        };
        match sees {
            _ if elsewhere => assert_eq!((&fate, by.as_str()), (&Fate::Right, "b"), "{what}"),
            Right => assert_eq!((&fate, by.as_str()), (&Fate::Right, "a"), "{what}"),
            Sick => assert_eq!((&fate, by.as_str()), (&Fate::Sick, "a"), "{what}"),
            Error(status, error, _) => {
                assert_eq!((&fate, why.as_str()), (&Fate::Refused(status), error), "{what}");
            }
            Cut if http2 && fate == Fate::Lost => {}
            Cut if fate == Fate::Refused(502) => assert_eq!(why, "http_response_incomplete", "{what}"),
            Cut => assert_eq!((&fate, by.as_str()), (&Fate::Cut, "a"), "{what}"),
            Unprocessed => unreachable!("it goes elsewhere"),
        }

        let counted = match sees {
            Right | Sick => "",
            Error(_, _, reason) => reason,
            Unprocessed => "refused",
            Cut => "cut",
        };
        // An answer that broke off was an answer first; one that was not processed says nothing.
        let blamed = matches!(sees, Sick | Error(..));
        let expected: Vec<(String, f64)> = before
            .into_iter()
            .map(|(name, n)| {
                let more = match name.as_str() {
                    "blamed" => blamed,
                    "retries" => elsewhere,
                    reason => reason == counted,
                };
                (name, n + f64::from(u8::from(more)))
            })
            .collect();
        // The client may hear of a break a moment before the books do.
        let mut last = Vec::new();
        let look = async || {
            last = self.counts(&self.site.proxy.metrics().await);
            (last == expected).then_some(())
        };
        let counted = tokio::time::timeout(Duration::from_secs(5), eventually(&what, WATCHDOG, look)).await;
        assert!(counted.is_ok(), "{what}: counted {last:?}, not {expected:?}");

        if fault == Fault::Unasked {
            // The pool looks at what idles once a second.
            until("nothing in the pool", WATCHDOG, async || {
                self.site.proxy.metrics().await.sum("causeway_upstream_connections", &[("cluster", "a")])
                    == 0.0
            })
            .await;
        }
        let (fate, by, _) = self.send(http2, Fault::Right, 0, true).await;
        assert_eq!((fate, by.as_str()), (Fate::Right, "a"), "{what}: the next request");
        // HTTP/1.1 begins each case with an empty pool (LAST), HTTP/2 with the connection that is there.
        let opened = self.told.counts().connections - connections - u64::from(!pooled);
        match connection {
            Reused => assert_eq!(opened, 0, "{what}: connections opened besides"),
            Ended => assert_eq!(opened, 1, "{what}: connections opened besides"),
            Either => assert!(opened <= 1, "{what}: {opened} connections opened besides"),
        }
    }

    fn ended(self) {
        for origin in [&self.told, &self.well] {
            let counts = origin.counts();
            assert_eq!((counts.corrupt, counts.panicked), (0, 0), "{}", origin.name());
        }
    }
}

/// More than an idempotent request's worth of headers, less than is kept for a retry.
const UPLOAD: usize = 5_000;

async fn each_alone(protocol: &str, cases: &[Case], http2: bool) {
    let mut pair = Pair::start(protocol).await;
    let pooled = protocol == "http2";
    if pooled {
        pair.send(http2, Fault::Right, 0, false).await;
    }
    for case in cases {
        for upload in [0, UPLOAD] {
            pair.case(*case, http2, upload, pooled).await;
        }
    }
    pair.ended();
}

#[tokio::test]
async fn each_fault_over_http_1_has_its_own_end_for_clients_of_http_1() {
    each_alone("http1", HTTP1, false).await;
}

#[tokio::test]
async fn each_fault_over_http_1_has_its_own_end_for_clients_of_http_2() {
    each_alone("http1", HTTP1, true).await;
}

#[tokio::test]
async fn each_fault_over_http_2_has_its_own_end_for_clients_of_http_1() {
    each_alone("http2", HTTP2, false).await;
}

#[tokio::test]
async fn each_fault_over_http_2_has_its_own_end_for_clients_of_http_2() {
    each_alone("http2", HTTP2, true).await;
}

#[test]
fn no_fault_is_left_out() {
    let tested = |cases: &[Case]| cases.iter().map(|(fault, ..)| *fault).collect::<Vec<_>>();
    assert_eq!(tested(HTTP1), Fault::http1().collect::<Vec<_>>());
    let rest = [Fault::UploadStall];
    assert_eq!([tested(HTTP2), rest.to_vec()].concat(), Fault::http2().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_breaks_before_a_byte_of_it_was_passed_on_is_told_as_an_error() {
    let mut pair = Pair::start("http1").await;
    // The break lies in the bytes that bring the head, behind half of the body in the second case.
    for fault in [Fault::BadChunkSize, Fault::LongChunk] {
        for upload in [0, UPLOAD] {
            let (fate, _, why) = pair.send(false, fault, upload, false).await;
            assert_eq!((fate, why.as_str()), (Fate::Refused(502), "http_response_incomplete"), "{fault:?}");
        }
    }
    let metrics = pair.site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_upstream_failures_total", &[("reason", "cut")]), 4.0);
    assert_eq!(metrics.sum("causeway_own_answers_total", &[("flag", "UC")]), 4.0);
    pair.ended();
}

#[tokio::test]
async fn an_upstream_that_opens_no_window_costs_an_upload_its_try_and_nobody_else_anything() {
    let mut pair = Pair::start("http2").await;
    pair.send(true, Fault::Right, 0, false).await;
    let connections = pair.told.counts().connections;
    // More than a stream's window.
    let (fate, _, why) = pair.send(true, Fault::UploadStall, 200_000, false).await;
    assert_eq!((fate, why.as_str()), (Fate::Refused(504), "http_response_timeout"));
    let (fate, by, _) = pair.send(true, Fault::UploadStall, 0, false).await;
    assert_eq!((fate, by.as_str()), (Fate::Right, "a"), "nothing to upload, nothing to wait for");
    // Its silence had it asked by a PING; a request that comes before the answer takes another connection.
    let opened = pair.told.counts().connections - connections;
    assert!(opened <= 1, "{opened} connections opened besides");
    let metrics = pair.site.proxy.metrics().await;
    let kept = metrics.sum("causeway_upstream_connections", &[("cluster", "a")]);
    assert_eq!(kept, (connections + opened) as f64, "the connection is as good as before");
    pair.ended();
}

#[tokio::test]
async fn a_pool_s_oldest_race_costs_a_get_nothing_and_a_post_an_honest_error() {
    let mut pair = Pair::start("http1").await;
    for upload in [0, UPLOAD] {
        pair.send(false, Fault::ResetOnReuse, 0, false).await;
        let (fate, by, why) = pair.send(false, Fault::Right, upload, true).await;
        if upload == 0 {
            assert_eq!((fate, by.as_str()), (Fate::Right, "a"));
        } else {
            // Some of it was sent: whether it was executed, nobody knows.
            assert_eq!((fate, why.as_str()), (Fate::Refused(503), "connection_terminated"));
        }
    }
    let metrics = pair.site.proxy.metrics().await;
    let failures = metrics.sum("causeway_upstream_failures_total", &[]);
    assert_eq!(failures, 0.0, "an idle connection's end says nothing about an endpoint");
    pair.ended();
}

/// How long the mixed run lasts; a round of scenes and clusters.
const SCENE: Duration = Duration::from_millis(800);

#[tokio::test]
async fn in_a_storm_nobody_gets_another_s_bytes_and_afterwards_nothing_is_left() {
    const SEED: u64 = 20_260_101;
    let mut stage = Stage::set(SEED).await;
    let crowd = Crowd { seed: SEED, users: 24, pause: Duration::from_millis(40), big: 1024 * 1024 };
    let (stop, stopped) = watch::channel(false);
    let mut config = stage.site.config.clone();
    let mut chance = Chance::new(SEED, 0);
    let storm = Storm::start(&stage.target, &crowd);
    let (site, cast) = (&stage.site, &mut stage.cast);
    let reloads = async {
        let mut peak = State::default();
        for _ in 0..SCENES.len() * 3 {
            tokio::time::sleep(SCENE).await;
            change(&mut config, &mut chance);
            site.proxy.reload(&config).await;
            let state = State::of(&site.proxy).await;
            if state.resident_kib > peak.resident_kib {
                peak = state;
            }
        }
        stop.send_replace(true);
        peak
    };
    let (peak, ()) = tokio::join!(reloads, cast.play(SCENE, stopped));
    let tally = storm.stop().await;
    let settled = stage.settle().await;
    let faults = stage.cast.faults();
    eprintln!("{}\nfaults: {faults:?}\npeak: {peak:?}\nsettled: {settled:?}", tally.table());

    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    assert!(tally.hung.is_empty(), "{:?}", tally.hung);
    assert_eq!(stage.cast.complaints(), [""; 0]);
    let settled = settled.unwrap_or_else(|left| panic!("{left}"));
    assert_eq!(settled.panics, 0.0);
    // 24 clients with 1 MiB each on either side, and what the allocator keeps.
    assert!(peak.resident_kib < 200.0 * 1024.0, "{peak:?}");
    // It was a storm.
    assert!(faults.len() >= 24, "of 32 faults only {} struck", faults.len());
    acts().for_each(|act| assert!(tally.done(act) > 0, "nobody did {act}"));
    assert!(tally.of("right") > 500, "{} right answers", tally.of("right"));
    // And it serves as if nothing had been.
    for user in 0..20 {
        assert_eq!(stage.site.get(&format!("u{user}"), "/").await.status, 200);
    }
}
