use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{events::Event, picture::Moment, topology::Topology, users::Slice};

fn picture() -> Picture {
    let topology = Topology::at(18_000);
    let second = Slice {
        requests: 300,
        errors: 0,
        p50: Duration::from_micros(640),
        p99: Duration::from_micros(2_130),
    };
    let clusters = topology.clusters.iter().map(|spec| ClusterPicture {
        name: spec.name.clone(),
        weight: spec.weight,
        priority: spec.priority,
        share: f64::from(spec.weight) / 100.0,
        second,
        admission: Some(1.0),
        why: None,
        hold_for_ms: None,
        breaker: Some("closed".to_owned()),
        away: 0,
        endpoints: spec
            .endpoints
            .iter()
            .map(|addr| EndpointPicture {
                address: *addr,
                alive: true,
                fault: "ok".to_owned(),
                health: Some("healthy".to_owned()),
                ejected_for_ms: None,
            })
            .collect(),
    });
    Picture {
        elapsed: Duration::from_secs(42),
        gateway: topology.gateway,
        control: topology.control,
        admin: topology.admin,
        users: 1_000,
        rate: 600.0,
        second: Slice { requests: 600, ..second },
        unsigned_errors: 0,
        in_flight: 1,
        away: 0,
        requests: 25_200,
        errors: 0,
        clusters: clusters.collect(),
        history: vec![Moment { good: vec![300, 180, 120], ..Moment::default() }; 20],
        events: (0..30)
            .map(|number| Event {
                number,
                at: Duration::from_secs(number),
                voice: Voice::You,
                text: format!("event {number}"),
            })
            .collect(),
    }
}

fn drawn(picture: &Picture, choice: Choice, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a buffer");
    let commands = ["curl http://127.0.0.1:18000/".to_owned()];
    terminal.draw(|frame| draw(frame, picture, choice, &commands)).expect("drawn");
    terminal.backend().to_string()
}

#[test]
fn everything_that_matters_fits_the_smallest_terminal() {
    let mut picture = picture();
    picture.clusters[0].away = 498;
    picture.clusters[0].admission = Some(0.0);
    picture.clusters[0].why = Some("clusterUnhealthy".to_owned());
    picture.clusters[0].hold_for_ms = Some(28_100);
    picture.clusters[0].endpoints[0].alive = false;
    picture.clusters[1].endpoints[1].health = Some("ejected".to_owned());
    picture.clusters[1].endpoints[1].ejected_for_ms = Some(22_300);
    picture.clusters[2].endpoints[0].fault = "hangs".to_owned();
    let text = drawn(&picture, Choice::default(), 80, 24);
    for word in [
        "http://127.0.0.1:18000/",
        "1,000 users",
        "0:42",
        "us-east-1",
        "us-west-2",
        "eu-west-1",
        "50.0 %",
        "0.64 ms",
        "2.1 ms",
        "498",
        "clusterUnhealthy, hold 29 s",
        "✕ :18011 killed",
        "◐ :18022 ejected 23 s",
        "● :18031 hangs",
        "event 29",
        " k ",
        "restore",
        "quit",
    ] {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
    assert!(!text.contains("event 20"), "only the latest events fit\n{text}");
}

#[test]
fn a_larger_terminal_shows_latency_and_what_to_try() {
    let text = drawn(&picture(), Choice::default(), 120, 40);
    assert!(text.contains("log scale") && text.contains("curl http://"), "{text}");
    let small = drawn(&picture(), Choice::default(), 80, 24);
    assert!(!small.contains("curl http://"), "{small}");
    let helped = drawn(&picture(), Choice { help: true, ..Choice::default() }, 80, 24);
    assert!(helped.contains("curl http://"), "{helped}");
}

#[test]
fn no_size_is_too_small_to_draw() {
    for (width, height) in [(1, 1), (10, 3), (79, 10), (300, 5), (20, 100)] {
        drawn(&picture(), Choice { cluster: 7, help: true }, width, height);
    }
}

#[test]
fn what_the_proxy_does_not_tell_is_a_dash() {
    let mut picture = picture();
    for cluster in &mut picture.clusters {
        cluster.admission = None;
        cluster.second = Slice::default();
    }
    let text = drawn(&picture, Choice::default(), 80, 24);
    let row = text.lines().find(|line| line.contains("us-east-1")).expect("a row");
    assert_eq!(row.matches(" -").count(), 3, "{row}");
}
