//! Plots, as SVG: small, sharp at any size, and a text that a diff can show.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Figure, median};
use crate::job::Job;
use crate::peer::Peer;
use crate::report::table::{by_loop, column};
use crate::results::Results;

const OURS: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);
const THEIRS: RGBColor = RGBColor(0x8a, 0x94, 0xa6);
const FLOOR: RGBColor = RGBColor(0xd0, 0xd5, 0xdd);
const INK: RGBColor = RGBColor(0x22, 0x2b, 0x3a);

/// Who is drawn, in no order: each panel sorts.
const DRAWN: [Peer; 8] = [
    Peer::Causeway,
    Peer::Relay,
    Peer::Haproxy,
    Peer::Nginx,
    Peer::NginxCurrent,
    Peer::Envoy,
    Peer::Traefik,
    Peer::Pingora,
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// CPU a request, a panel for each job.
///
/// # Errors
/// The disk's.
pub fn cpu(results: &Results, path: &Path) -> Result<(), String> {
    let jobs = [Job::Http1, Job::Tls, Job::Http2, Job::Close, Job::Body64k, Job::Body10m];
    draw(path, (960, 660), "CPU microseconds a request (less is better)", (3, 2), |panels| {
        jobs.iter().zip(panels).try_for_each(|(&job, panel)| {
            let bars = bars(results, job, |sample| sample.cpu_us);
            bar_panel(panel, job.title(), &bars)
        })
    })
}

/// Memory: at start, and of an idle connection.
///
/// # Errors
/// The disk's.
pub fn memory(results: &Results, path: &Path) -> Result<(), String> {
    let panels: [(&str, Job, Figure); 3] = [
        ("MiB at start", Job::Idle, |sample| sample.start_kib as f64 / 1024.0),
        ("KiB an idle connection", Job::Idle, |sample| sample.connection_kib()),
        ("KiB an idle TLS connection", Job::IdleTls, |sample| sample.connection_kib()),
    ];
    draw(path, (960, 250), "Memory (less is better)", (1, 3), |areas| {
        panels
            .iter()
            .zip(areas)
            .try_for_each(|(&(title, job, figure), area)| bar_panel(area, title, &bars(results, job, figure)))
    })
}

/// Latency at a fixed rate: three percentiles on a logarithmic axis.
///
/// # Errors
/// The disk's.
pub fn latency(results: &Results, path: &Path) -> Result<(), String> {
    let title = "Microseconds at 5,000 requests a second: p50, p99, p99.9 (left is better)";
    draw(path, (960, 270), title, (1, 3), |areas| {
        by_loop().1.iter().zip(areas).try_for_each(|(&job, area)| dot_panel(area, results, job))
    })
}

fn draw(
    path: &Path,
    size: (u32, u32),
    title: &str,
    (rows, columns): (usize, usize),
    panels: impl Fn(&[Area<'_>]) -> Result<(), String>,
) -> Result<(), String> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    let drawn = (|| {
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        let body =
            root.titled(title, ("sans-serif", 18).into_font().color(&INK)).map_err(|e| e.to_string())?;
        panels(&body.split_evenly((rows, columns)))?;
        root.present().map_err(|e| e.to_string())
    })();
    drawn.map_err(|e| format!("{}: {e}", path.display()))
}

/// Name, value and colour of each who has a figure, the best first.
fn bars(results: &Results, job: Job, figure: Figure) -> Vec<(String, f64, RGBColor)> {
    let with =
        |&peer: &Peer| Some((column(results, peer), median(results, peer, job, figure)?, colour(peer)));
    let mut bars: Vec<_> = DRAWN.iter().filter_map(with).collect();
    bars.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
    bars
}

fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Causeway => OURS,
        Peer::Relay => FLOOR,
        _ => THEIRS,
    }
}

/// Width of the names at the left of a panel.
const NAMES: i32 = 112;

/// Room for the figure behind the longest bar.
const FIGURES: i32 = 58;

fn bar_panel(area: &Area<'_>, title: &str, bars: &[(String, f64, RGBColor)]) -> Result<(), String> {
    let (width, height) = dimensions(area);
    let top = heading(area, title)?;
    let step = (height - top - 6) / (bars.len().max(1) as i32);
    let longest = bars.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    for (i, (name, value, colour)) in bars.iter().enumerate() {
        let y = top + step * i as i32;
        let length = (f64::from(width - NAMES - FIGURES) * value / longest.max(f64::MIN_POSITIVE)) as i32;
        let corners = [(NAMES, y + 2), (NAMES + length.max(1), y + step - 2)];
        area.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| e.to_string())?;
        label(area, name, (10, y + step / 2 - 6))?;
        let digits = if *value < 100.0 { 1 } else { 0 };
        label(area, &format!("{value:.digits$}"), (NAMES + length + 5, y + step / 2 - 6))?;
    }
    Ok(())
}

fn dot_panel(area: &Area<'_>, results: &Results, job: Job) -> Result<(), String> {
    let (width, height) = dimensions(area);
    let top = heading(area, job.title())?;
    let figures: [Figure; 3] = [|sample| sample.p50_us, |sample| sample.p99_us, |sample| sample.p999_us];
    let mut rows: Vec<(String, [f64; 3], RGBColor)> = Vec::new();
    for peer in DRAWN {
        let values = figures.map(|figure| median(results, peer, job, figure));
        if let [Some(p50), Some(p99), Some(p999)] = values {
            rows.push((column(results, peer), [p50, p99, p999].map(|v| v.max(1.0)), colour(peer)));
        }
    }
    rows.sort_by(|(_, one, _), (_, other, _)| one[1].total_cmp(&other[1]));
    let all = || rows.iter().flat_map(|(_, values, _)| values.iter().copied());
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
    let x = |value: f64| {
        let share = (value / least).ln() / (most / least).ln().max(f64::MIN_POSITIVE);
        NAMES + (f64::from(width - NAMES - FIGURES) * share) as i32
    };
    let step = (height - top - 6) / (rows.len().max(1) as i32);
    for (i, (name, values, colour)) in rows.iter().enumerate() {
        let y = top + step * i as i32 + step / 2;
        label(area, name, (10, y - 6))?;
        let [from, _, to] = values.map(x);
        let line = PathElement::new([(from, y), (to, y)], colour.stroke_width(2));
        area.draw(&line).map_err(|e| e.to_string())?;
        for at in values.map(x) {
            area.draw(&Circle::new((at, y), 4, colour.filled())).map_err(|e| e.to_string())?;
        }
        label(area, &super::table::thousands(values[2]), (to + 8, y - 6))?;
    }
    Ok(())
}

fn dimensions(area: &Area<'_>) -> (i32, i32) {
    let (width, height) = area.dim_in_pixel();
    (width as i32, height as i32)
}

/// Writes a panel's title; says where what is below begins.
fn heading(area: &Area<'_>, title: &str) -> Result<i32, String> {
    let style = ("sans-serif", 14, FontStyle::Bold).into_font().color(&INK);
    area.draw(&Text::new(title.to_owned(), (10, 8), style)).map_err(|e| e.to_string())?;
    Ok(28)
}

fn label(area: &Area<'_>, text: &str, at: (i32, i32)) -> Result<(), String> {
    let style = ("sans-serif", 12).into_font().color(&INK);
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(|e| e.to_string())
}
