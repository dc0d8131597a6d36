//! The charts, drawn cell by cell: a column is a second, and half blocks double the height.

use std::time::Duration;

use ratatui::{buffer::Buffer, layout::Rect, style::Color};

use crate::picture::Moment;

/// A bar of this many cells, in eighths of a cell.
pub(super) fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * cells as f64 * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(EIGHTHS[eighths % 8]);
    }
    let drawn = text.chars().count();
    text.extend(std::iter::repeat_n(' ', cells - drawn));
    text
}

/// The latest moments that fit, each with its column: the newest at the right edge.
fn columns(area: Rect, history: &[Moment]) -> impl Iterator<Item = (u16, &Moment)> {
    let shown = history.len().min(usize::from(area.width));
    let first = area.right() - shown as u16;
    history[history.len() - shown..].iter().enumerate().map(move |(at, moment)| (first + at as u16, moment))
}

/// Paints the half-cell at this height (0: the lowest).
fn paint(buffer: &mut Buffer, area: Rect, x: u16, height: u16, colour: Color) {
    let y = area.bottom() - 1 - height / 2;
    let Some(cell) = buffer.cell_mut((x, y)) else { return };
    if height.is_multiple_of(2) {
        cell.set_symbol("▄").set_fg(colour);
    } else if cell.symbol() == "▄" {
        let below = cell.fg;
        cell.set_symbol("▀").set_fg(colour).set_bg(below);
    } else {
        cell.set_symbol("▀").set_fg(colour);
    }
}

/// Each second as a whole, cut into good answers by cluster, from below in their order, and errors on top.
pub(super) fn shares(
    buffer: &mut Buffer,
    area: Rect,
    history: &[Moment],
    colour: impl Fn(usize) -> Color,
    errors: Color,
) {
    let rows = area.height * 2;
    for (x, moment) in columns(area, history) {
        let parts: Vec<u32> = moment.good.iter().copied().chain([moment.errors]).collect();
        for (height, part) in cut(&parts, rows).into_iter().enumerate() {
            let colour = if part == moment.good.len() { errors } else { colour(part) };
            paint(buffer, area, x, height as u16, colour);
        }
    }
}

/// Which part each of so many steps belongs to. A part that is not zero has at least one step, if there are
/// enough: a single error must be seen.
fn cut(parts: &[u32], steps: u16) -> Vec<usize> {
    let total: u64 = parts.iter().map(|part| u64::from(*part)).sum();
    let steps = usize::from(steps);
    if total == 0 {
        return Vec::new();
    }
    let mut heights: Vec<usize> = parts
        .iter()
        .map(|part| (u64::from(*part) as f64 / total as f64 * steps as f64).round() as usize)
        .collect();
    for (height, part) in heights.iter_mut().zip(parts) {
        *height = (*height).max(usize::from(*part > 0));
    }
    // Rounding may be off by a few: the largest part gives or takes, where it is least seen.
    while heights.iter().sum::<usize>() != steps {
        let total: usize = heights.iter().sum();
        let Some(largest) = heights.iter_mut().max() else { break };
        if total < steps {
            *largest += 1;
        } else if *largest > 0 {
            *largest -= 1;
        }
    }
    heights.iter().enumerate().flat_map(|(part, height)| std::iter::repeat_n(part, *height)).collect()
}

/// Latencies from 0.1 ms at the bottom to 10 s at the top, each decade as high as the next.
pub(super) fn latency(buffer: &mut Buffer, area: Rect, history: &[Moment], p99: Color, p50: Color) {
    const LABEL: u16 = 7;
    let plot = Rect { x: area.x + LABEL, width: area.width.saturating_sub(LABEL), ..area };
    let rows = area.height * 2;
    for (label, latency) in
        [("10 s", 10_000_000), ("1 s", 1_000_000), ("100 ms", 100_000), ("10 ms", 10_000), ("1 ms", 1_000)]
    {
        let at = steps(Duration::from_micros(latency), rows).saturating_sub(1);
        let y = area.bottom().saturating_sub(1 + at / 2);
        buffer.set_string(area.x, y, format!("{label:>6}"), Color::Indexed(245));
    }
    for (x, moment) in columns(plot, history) {
        let (low, high) = (steps(moment.p50, rows), steps(moment.p99, rows));
        for height in 0..high {
            paint(buffer, plot, x, height, if height < low { p50 } else { p99 });
        }
    }
}

/// How high a latency stands, of so many steps; none at all is 0.
fn steps(latency: Duration, rows: u16) -> u16 {
    let us = latency.as_micros() as f64;
    if us < 1.0 {
        return 0;
    }
    let decades = (us / 100.0).log10().clamp(0.0, 5.0);
    ((decades / 5.0 * f64::from(rows)).round() as u16).clamp(1, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_its_share_and_never_wider_than_its_place() {
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.5625, 4), "██▎ ");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(-1.0, 4), "    ");
    }

    #[test]
    fn a_column_is_full_and_a_single_error_is_seen() {
        let parts = cut(&[300, 180, 120, 1], 10);
        assert_eq!(parts.len(), 10);
        assert_eq!(parts.iter().filter(|part| **part == 3).count(), 1);
        assert!(parts.is_sorted());
        assert!(cut(&[0, 0], 10).is_empty());
        assert_eq!(cut(&[5], 10), [0; 10]);
        assert_eq!(cut(&[1, 1, 1, 1], 2).len(), 2);
    }

    #[test]
    fn a_decade_is_a_fifth_of_the_height() {
        let at = |us| steps(Duration::from_micros(us), 50);
        assert_eq!(
            [at(0), at(100), at(1_000), at(100_000), at(10_000_000), at(60_000_000)],
            [0, 1, 10, 30, 50, 50]
        );
    }

    #[test]
    fn the_newest_second_is_at_the_right_edge() {
        let area = Rect::new(0, 0, 4, 1);
        let mut buffer = Buffer::empty(area);
        let moment = |good| Moment { good: vec![good, 5 - good], ..Moment::default() };
        shares(
            &mut buffer,
            area,
            &[moment(5), moment(0)],
            |part| [Color::Blue, Color::Green][part],
            Color::Red,
        );
        let shown: Vec<_> = (0..4).map(|x| (buffer[(x, 0)].symbol(), buffer[(x, 0)].fg)).collect();
        assert_eq!(shown[..2], [(" ", Color::Reset), (" ", Color::Reset)]);
        assert_eq!(shown[2..], [("▀", Color::Blue), ("▀", Color::Green)]);
    }
}
