//! The terminal view: who serves, how well, and what the proxy decided.
//!
//! A function of a [`Picture`] and the selection, so that tests draw it into a buffer. It fits 80 x 24;
//! with more room the chart grows, latency gets a chart of its own, and the things to try are listed.

mod chart;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Paragraph},
};

use crate::{
    events::Voice,
    picture::{ClusterPicture, EndpointPicture, Picture, clock, grouped, percent_of, short},
};

/// Clusters by number. Told apart by brightness too, for those who see colours otherwise.
const COLOURS: [Color; 4] =
    [Color::Indexed(39), Color::Indexed(114), Color::Indexed(221), Color::Indexed(177)];
const BAD: Color = Color::Indexed(203);
const WARN: Color = Color::Indexed(215);
const GOOD: Color = Color::Indexed(114);
const FAINT: Color = Color::Indexed(245);

/// What the person at the terminal chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The selected cluster's number.
    pub cluster: usize,
    /// Whether the commands to copy are shown over everything.
    pub help: bool,
}

/// Rows of one cluster in the table.
const CLUSTER_ROWS: u16 = 2;
/// From this height on the things to try have a place of their own.
const TALL: u16 = 34;
/// From this width on latency has a chart of its own.
const WIDE: u16 = 100;

/// Draws everything.
pub fn draw(frame: &mut Frame, picture: &Picture, choice: Choice, commands: &[String]) {
    let area = frame.area();
    let table_rows = 1 + CLUSTER_ROWS * picture.clusters.len() as u16;
    let try_rows = if area.height >= TALL { commands.len() as u16 + 2 } else { 0 };
    let events_rows = if area.height >= TALL { 10 } else { 7 };
    let [head, totals, table, charts, events, tries, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(table_rows),
        Constraint::Min(6),
        Constraint::Length(events_rows),
        Constraint::Length(try_rows),
        Constraint::Length(2),
    ])
    .areas(area);
    draw_head(frame, head, picture);
    draw_totals(frame, totals, picture);
    draw_table(frame, table, picture, choice);
    draw_charts(frame, charts, picture);
    draw_events(frame, events, picture);
    if try_rows > 0 {
        draw_commands(frame, tries, commands, " try ");
    }
    draw_keys(frame, keys, picture, choice);
    if choice.help {
        let rows = commands.len() as u16 + 2;
        let [over] =
            Layout::vertical([Constraint::Length(rows)]).flex(ratatui::layout::Flex::Center).areas(area);
        frame.render_widget(Clear, over);
        draw_commands(frame, over, commands, " try, from another terminal ");
    }
}

/// A cluster's colour, by its number.
fn colour(cluster: usize) -> Color {
    COLOURS[cluster % COLOURS.len()]
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::Indexed(239)))
        .title(Span::styled(title.to_owned(), Style::new().fg(FAINT)))
}

fn draw_head(frame: &mut Frame, area: Rect, picture: &Picture) {
    let left = Line::from(vec![
        " CAUSEWAY ".bold().fg(Color::Black).bg(COLOURS[0]),
        format!("  http://{}/", picture.gateway).bold(),
    ]);
    let right = format!(
        "{} users  {} requests/s  {} ",
        grouped(picture.users as u64),
        picture.rate,
        clock(picture.elapsed)
    );
    // Each its own place: a line paints all of the area that it is given.
    let [left_area, right_area] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(right.chars().count() as u16)])
            .areas(area);
    frame.render_widget(left, left_area);
    frame.render_widget(Line::from(right).fg(FAINT), right_area);
}

fn draw_totals(frame: &mut Frame, area: Rect, picture: &Picture) {
    let second = &picture.second;
    let mut spans = vec![Span::raw(" ")];
    let mut figure = |label: &str, value: String, style: Style| {
        spans.push(Span::styled(format!("{label} "), Style::new().fg(FAINT)));
        spans.push(Span::styled(format!("{value}  "), style.bold()));
    };
    let alarm = |bad: bool, colour: Color| if bad { Style::new().fg(colour) } else { Style::new() };
    figure("rps", second.requests.to_string(), Style::new());
    figure("p50", short(second.p50), Style::new());
    figure("p99", short(second.p99), alarm(second.p99.as_millis() > 500, WARN));
    let rate = percent_of(second.errors.into(), second.requests.into());
    figure("errors", format!("{rate:.2} %"), alarm(second.errors > 0, BAD));
    let away = format!("{} ({:.0} %)", picture.away, percent_of(picture.away.into(), picture.users as u64));
    figure("away", away, alarm(picture.away > 0, WARN));
    let mut total = grouped(picture.errors);
    if area.width >= WIDE {
        total.push_str(&format!(" of {}", grouped(picture.requests)));
    }
    figure("failed", total, alarm(picture.errors > 0, BAD));
    frame.render_widget(Line::from(spans), area);
}

fn draw_table(frame: &mut Frame, area: Rect, picture: &Picture, choice: Choice) {
    let bar = usize::from(area.width.saturating_sub(66)).clamp(8, 60);
    let header = format!(
        "   {:<11} {:>6}  {:<bar$} {:>6} {:>6} {:>7} {:>7} {:>6} {:>5}",
        "cluster", "weight", "share", "", "admits", "p50", "p99", "err", "away"
    );
    let mut lines = vec![Line::from(header).fg(FAINT)];
    for (number, cluster) in picture.clusters.iter().enumerate() {
        lines.push(figures(cluster, number, choice.cluster == number, bar));
        lines.push(condition(cluster));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn figures(cluster: &ClusterPicture, number: usize, chosen: bool, bar: usize) -> Line<'static> {
    let colour = colour(number);
    let admits = cluster.admission.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    let admits_style = match cluster.admission {
        Some(share) if share <= 0.0 => Style::new().fg(BAD),
        Some(share) if share < 1.0 => Style::new().fg(WARN),
        _ => Style::new(),
    };
    let errors = percent_of(cluster.second.errors.into(), cluster.second.requests.into());
    let name = Style::new().fg(colour).add_modifier(if chosen { Modifier::BOLD } else { Modifier::empty() });
    Line::from(vec![
        Span::styled(if chosen { " ▶ " } else { "   " }, name),
        Span::styled(format!("{:<11} ", cluster.name), name),
        Span::raw(format!("{:>6}  ", cluster.weight)),
        Span::styled(chart::bar(cluster.share, bar), Style::new().fg(colour).bg(Color::Indexed(236))),
        Span::raw(format!(" {:>4.1} %", 100.0 * cluster.share)),
        Span::styled(format!(" {admits:>6}"), admits_style),
        Span::raw(format!(" {:>7} {:>7}", short(cluster.second.p50), short(cluster.second.p99))),
        Span::styled(
            format!(" {errors:>4.1} %"),
            if cluster.second.errors > 0 { Style::new().fg(BAD) } else { Style::new() },
        ),
        Span::styled(
            format!(" {:>5}", cluster.away),
            if cluster.away > 0 { Style::new().fg(WARN) } else { Style::new() },
        ),
    ])
}

/// The second row: endpoints, breaker, and why the cluster is not fully admitted.
fn condition(cluster: &ClusterPicture) -> Line<'static> {
    let mut spans = vec![Span::raw("     ")];
    for endpoint in &cluster.endpoints {
        spans.extend(endpoint_spans(endpoint));
    }
    // Where the breaker is the reason for all else, once is enough.
    match cluster.breaker.as_deref() {
        None | Some("closed") => {}
        Some("open") if cluster.why.as_deref() == Some("breaker") => {}
        Some(state) => {
            let colour = if state == "open" { BAD } else { WARN };
            spans.push(Span::styled(format!("breaker {state}  "), Style::new().fg(colour)));
        }
    }
    if let Some(why) = &cluster.why {
        let hold = cluster.hold_for_ms.map(|ms| format!(", hold {} s", ms.div_ceil(1_000)));
        spans.push(Span::styled(format!("{why}{}", hold.unwrap_or_default()), Style::new().fg(WARN)));
    }
    Line::from(spans)
}

fn endpoint_spans(endpoint: &EndpointPicture) -> [Span<'static>; 2] {
    let (mark, colour, word) = match (endpoint.alive, endpoint.health.as_deref()) {
        (false, _) => ("✕", BAD, "killed".to_owned()),
        (true, Some("healthy")) => ("●", GOOD, String::new()),
        (true, Some("ejected")) => {
            let left = endpoint.ejected_for_ms.map(|ms| format!(" {} s", ms.div_ceil(1_000)));
            ("◐", WARN, format!("ejected{}", left.unwrap_or_default()))
        }
        (true, Some(other)) => ("○", WARN, other.to_owned()),
        (true, None) => ("·", FAINT, String::new()),
    };
    let told = if endpoint.alive && endpoint.fault != "ok" { endpoint.fault.as_str() } else { "" };
    let words: Vec<&str> = [word.as_str(), told].into_iter().filter(|word| !word.is_empty()).collect();
    let text = format!(" :{} {}  ", endpoint.address.port(), words.join(", "));
    [Span::styled(mark, Style::new().fg(colour)), Span::styled(text, Style::new().fg(FAINT))]
}

fn draw_charts(frame: &mut Frame, area: Rect, picture: &Picture) {
    let (shares, latency) = if area.width >= WIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
        (left, Some(right))
    } else {
        (area, None)
    };
    let block = panel(" who serves, by the second ");
    let inside = block.inner(shares);
    frame.render_widget(block, shares);
    chart::shares(frame.buffer_mut(), inside, &picture.history, colour, BAD);
    if let Some(latency) = latency {
        let block = panel(" p99 (light) and p50 (bright), log scale ");
        let inside = block.inner(latency);
        frame.render_widget(block, latency);
        chart::latency(frame.buffer_mut(), inside, &picture.history, Color::Indexed(67), Color::Indexed(117));
    }
}

fn draw_events(frame: &mut Frame, area: Rect, picture: &Picture) {
    let block = panel(" events ");
    let rows = usize::from(block.inner(area).height);
    let latest = picture.events.iter().rev().take(rows).collect::<Vec<_>>();
    let lines = latest.into_iter().rev().map(|event| {
        let colour = match event.voice {
            Voice::You => Color::Indexed(252),
            Voice::Worse => WARN,
            Voice::Better => GOOD,
            Voice::Trouble => BAD,
        };
        Line::from(vec![
            Span::styled(format!("{:>6}  ", clock(event.at)), Style::new().fg(FAINT)),
            Span::styled(event.text.clone(), Style::new().fg(colour)),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn draw_commands(frame: &mut Frame, area: Rect, commands: &[String], title: &str) {
    let lines: Vec<Line> = commands.iter().map(|command| Line::from(format!(" {command}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(panel(title)), area);
}

fn draw_keys(frame: &mut Frame, area: Rect, picture: &Picture, choice: Choice) {
    let chosen = picture.clusters.get(choice.cluster).map_or("", |cluster| cluster.name.as_str());
    let key = |key: &'static str, what: &'static str| {
        [
            Span::styled(format!(" {key} "), Style::new().bold().bg(Color::Indexed(238))),
            Span::raw(format!(" {what}  ")),
        ]
    };
    let mut actions =
        vec![Span::styled(format!(" {chosen:<10}  "), Style::new().fg(colour(choice.cluster)).bold())];
    for (name, what) in [("k", "kill"), ("s", "slow"), ("e", "err 10 %"), ("h", "hang one"), ("r", "restore")]
    {
        actions.extend(key(name, what));
    }
    let mut others = vec![Span::raw(" ")];
    for (name, what) in [("1 2 3", "choose a cluster"), ("?", "commands to copy"), ("q", "quit")] {
        others.extend(key(name, what));
    }
    frame.render_widget(Paragraph::new(vec![Line::from(actions), Line::from(others)]), area);
}

#[cfg(test)]
mod tests;
