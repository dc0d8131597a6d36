//! The view without a terminal: a line a second, and a line an event.

use crate::{
    events::Event,
    picture::{Picture, clock, percent_of, short},
    stage::Stage,
    switchboard::things_to_try,
};

/// What is printed before anything else. The first address is the one that users go to.
pub fn banner(stage: &Stage) -> String {
    let topology = &stage.topology;
    let mut text = format!(
        "causeway demo\n  proxy     http://{}/\n  control   http://{}/\n  admin     http://{}/clusters  \
         /metrics\n",
        topology.gateway, topology.control, topology.admin
    );
    for cluster in &topology.clusters {
        let addresses: Vec<String> = cluster.endpoints.iter().map(|addr| format!("http://{addr}/")).collect();
        text.push_str(&format!(
            "  {:<9} weight {} priority {}   {}\n",
            cluster.name,
            cluster.weight,
            cluster.priority,
            addresses.join("  ")
        ));
    }
    text.push_str(&format!("  config    {}\n", stage.config().display()));
    text.push_str(&format!("  logs      {}\n", stage.access_log().display()));
    text.push_str("try\n");
    for line in things_to_try(stage) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// The last whole second in one line.
pub fn line(picture: &Picture) -> String {
    let second = &picture.second;
    let mut text = format!("{:>6}  {:>5}/s ", clock(picture.elapsed), second.requests);
    for cluster in &picture.clusters {
        text.push_str(&format!(" {} {:>4.1}%", cluster.name, 100.0 * cluster.share));
        if let Some(admission) = cluster.admission.filter(|admission| *admission < 1.0) {
            text.push_str(&format!(" (admits {:.0}%)", 100.0 * admission));
        }
        let out = cluster.endpoints.iter().filter(|endpoint| {
            !endpoint.alive || endpoint.health.as_deref().is_some_and(|health| health != "healthy")
        });
        match out.count() {
            0 => {}
            out => text.push_str(&format!(" ({out} out)")),
        }
    }
    text.push_str(&format!(
        "  p50 {}  p99 {}  errors {} ({:.2}%)  away {}",
        short(second.p50),
        short(second.p99),
        second.errors,
        percent_of(second.errors.into(), second.requests.into()),
        picture.away,
    ));
    text
}

/// One event in one line.
pub fn event(event: &Event) -> String {
    format!("{:>6}  * {}", clock(event.at), event.text)
}

/// What it all came to.
pub fn farewell(picture: &Picture) -> String {
    format!(
        "{} requests in {}, {} errors ({:.3}%), {} of {} users away from home",
        picture.requests,
        clock(picture.elapsed),
        picture.errors,
        percent_of(picture.errors, picture.requests),
        picture.away,
        picture.users,
    )
}
