//! The run as a picture: a panel for each figure, over time.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Sample;
use crate::storm::State;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Title, unit's divisor, figure.
type Panel = (&'static str, f64, fn(&State) -> f64);

const PANELS: [Panel; 6] = [
    ("resident memory, MiB", 1024.0, |s| s.resident_kib),
    ("descriptors", 1.0, |s| s.descriptors),
    ("tasks", 1.0, |s| s.tasks),
    ("threads", 1.0, |s| s.threads),
    ("requests in flight", 1.0, |s| s.requests),
    ("client connections", 1.0, |s| s.downstream),
];

const LINE: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);
const AXIS: RGBColor = RGBColor(0xd0, 0xd5, 0xdd);
const INK: RGBColor = RGBColor(0x22, 0x2b, 0x3a);
/// Around a panel's curve: left, right, top, bottom.
const MARGIN: (i32, i32, i32, i32) = (16, 60, 32, 26);

/// Draws it. Each axis begins at 0: what is flat is to look flat.
///
/// # Errors
/// The disk's.
pub fn plot(samples: &[Sample], path: &Path) -> Result<(), String> {
    let root = SVGBackend::new(path, (960, 600)).into_drawing_area();
    let drawn = (|| {
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        for (area, panel) in root.split_evenly((3, 2)).iter().zip(PANELS) {
            draw(area, samples, panel)?;
        }
        root.present().map_err(|e| e.to_string())
    })();
    drawn.map_err(|e| format!("{}: {e}", path.display()))
}

fn draw(area: &Area<'_>, samples: &[Sample], (title, unit, of): Panel) -> Result<(), String> {
    let (width, height) = area.dim_in_pixel();
    let (left, right, top, bottom) = MARGIN;
    let (right, bottom) = (width as i32 - right, height as i32 - bottom);
    let values: Vec<(f64, f64)> =
        samples.iter().map(|sample| (sample.at, of(&sample.state) / unit)).collect();
    let lasts = values.last().map_or(0.0, |last| last.0).max(1.0);
    let most = values.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let place = |(at, value): (f64, f64)| {
        let x = left + (f64::from(right - left) * at / lasts) as i32;
        (x, bottom - (f64::from(bottom - top) * value / most) as i32)
    };
    let text = |what: String, at, style: FontStyle| {
        let style = ("sans-serif", 12, style).into_font().color(&INK);
        area.draw(&Text::new(what, at, style)).map_err(|e| e.to_string())
    };
    text(title.to_owned(), (left, 10), FontStyle::Bold)?;
    for y in [top, bottom] {
        let line = PathElement::new([(left, y), (right, y)], AXIS.stroke_width(1));
        area.draw(&line).map_err(|e| e.to_string())?;
    }
    text(format!("{most:.0}"), (right + 6, top - 6), FontStyle::Normal)?;
    text("0".to_owned(), (right + 6, bottom - 6), FontStyle::Normal)?;
    text(format!("{:.0} min", lasts / 60.0), (right - 30, bottom + 6), FontStyle::Normal)?;
    let curve = PathElement::new(values.into_iter().map(place).collect::<Vec<_>>(), LINE.stroke_width(2));
    area.draw(&curve).map_err(|e| e.to_string())
}
