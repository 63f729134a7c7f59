//! Lines over time or over a number of keys, from zero up, with a grid.

use crate::bench::figures::Unit;
use crate::bench::plot::svg::{Anchor, Drawing};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 280.0;
/// About so many lines of the grid lie above zero.
const LINES: f64 = 4.0;

/// What lies along the way.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// Time, evenly.
    Seconds,
    /// Numbers of keys, each ten times as far.
    Keys,
}

/// Both directions, and the span that is marked.
pub(super) struct Axes {
    pub(super) across: Scale,
    pub(super) up: Unit,
    pub(super) span: Option<(f64, f64)>,
}

/// One line.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// The picture; empty when there is nothing to show.
pub(super) fn draw(title: &str, axes: &Axes, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let step = even(most / LINES);
    let most = (most / step).ceil() * step;
    let along = |value: f64| match axes.across {
        Scale::Seconds => value,
        Scale::Keys => value.max(1.0).log10(),
    };
    let first = points().map(|point| along(point.0)).fold(f64::INFINITY, f64::min);
    let last = points().map(|point| along(point.0)).fold(f64::NEG_INFINITY, f64::max);
    let width = (last - first).max(f64::EPSILON);
    let x = |value: f64| LEFT + (along(value) - first) / width * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value / most * (BOTTOM - TOP);

    let mut drawing = Drawing::new(title, WIDTH);
    if let Some((from, to)) = axes.span {
        let (from, to) = (x(from).max(LEFT), x(to).min(RIGHT));
        drawing.box_at((from, TOP), (to - from, BOTTOM - TOP), "span");
    }
    for value in (0..).map(|number| f64::from(number) * step).take_while(|value| *value <= most) {
        drawing.stroke((LEFT, y(value)), (RIGHT, y(value)), "grid");
        let text = if value == 0.0 { "0".to_owned() } else { axes.up.write(value) };
        drawing.text((LEFT - 8.0, y(value) + 4.5), Anchor::End, "quiet", &text);
    }
    for value in marks(axes.across, lines) {
        let text = match axes.across {
            Scale::Seconds => format!("{value:.0} s"),
            Scale::Keys => keys(value),
        };
        drawing.text((x(value), BOTTOM + 22.0), Anchor::Middle, "quiet", &text);
    }
    let mut legend = LEFT;
    for line in lines {
        let places: Vec<_> = line.points.iter().map(|(at, value)| (x(*at), y(*value))).collect();
        drawing.path(&places, line.class);
        if matches!(axes.across, Scale::Keys) {
            for place in places {
                drawing.dot(place, line.class);
            }
        }
        drawing.box_at((legend, 38.0), (12.0, 12.0), line.class);
        drawing.text((legend + 18.0, 49.0), Anchor::Start, "", line.name);
        legend += 40.0 + 7.5 * line.name.len() as f64;
    }
    if axes.span.is_some() {
        drawing.box_at((legend, 38.0), (12.0, 12.0), "span");
        drawing.text((legend + 18.0, 49.0), Anchor::Start, "", "meanwhile");
    }
    drawing.finish(HEIGHT)
}

/// The next number up that is 1, 2 or 5 with zeros.
fn even(step: f64) -> f64 {
    let zeros = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * zeros >= step * 0.999);
    digit.unwrap_or(10.0) * zeros
}

/// Where the lower edge is labelled: every five seconds, or at every measured size.
fn marks(across: Scale, lines: &[Line]) -> Vec<f64> {
    let points = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    match across {
        Scale::Seconds => {
            let end = points().fold(0.0, f64::max);
            (0..).map(|step| f64::from(step) * 5.0).take_while(|mark| *mark <= end).collect()
        }
        Scale::Keys => {
            let mut sizes: Vec<f64> = points().collect();
            sizes.sort_by(f64::total_cmp);
            sizes.dedup();
            sizes
        }
    }
}

fn keys(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.0} M", value / 1e6),
        _ if value >= 1e3 => format!("{:.0} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_even_numbers() {
        assert_eq!([even(1.0), even(83.0), even(0.3), even(1.2e6)], [1.0, 100.0, 0.5, 2e6]);
    }

    #[test]
    fn sizes_are_labelled_once() {
        let line = |points| Line { name: "a", class: "bare", points };
        let lines = [line(vec![(1e3, 5.0), (2e7, 1.0)]), line(vec![(1e3, 2.0)])];
        let names: Vec<_> = marks(Scale::Keys, &lines).into_iter().map(keys).collect();
        assert_eq!(names, ["1 k", "20 M"]);
        assert_eq!(marks(Scale::Seconds, &[line(vec![(11.0, 1.0)])]), [0.0, 5.0, 10.0]);
    }
}
