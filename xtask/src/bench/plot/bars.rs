//! Horizontal bars in groups, with what they measure written beside them and a line from the least
//! to the most of all rounds.

use crate::bench::figures::{Spread, Unit};
use crate::bench::plot::svg::{Anchor, Drawing};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 200.0;
/// Room for the figures behind the longest bar.
const RIGHT: f64 = 90.0;
const TOP: f64 = 40.0;
const BAR: f64 = 16.0;
const STEP: f64 = 20.0;
const GROUP_HEAD: f64 = 24.0;
const GROUP_GAP: f64 = 10.0;

/// Bars that are compared with each other.
pub(super) struct Group {
    /// Empty if the drawing's own title says it.
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// One bar.
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) value: Spread,
}

/// The picture; empty when there is nothing to show.
pub(super) fn draw(title: &str, unit: Unit, groups: &[Group]) -> String {
    let all = || groups.iter().flat_map(|group| &group.bars);
    let most = all().map(|bar| bar.value.max).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let x = |value: f64| LEFT + value / most * (WIDTH - LEFT - RIGHT);
    let mut drawing = Drawing::new(title, WIDTH);
    let mut y = TOP;
    for group in groups.iter().filter(|group| !group.bars.is_empty()) {
        if !group.title.is_empty() {
            drawing.text((12.0, y + 14.0), Anchor::Start, "quiet", &group.title);
            y += GROUP_HEAD;
        }
        for bar in &group.bars {
            let Spread { median, min, max } = bar.value;
            let middle = y + BAR / 2.0;
            drawing.text((LEFT - 8.0, y + 12.5), Anchor::End, "", bar.name);
            drawing.box_at((LEFT, y), (x(median) - LEFT, BAR), bar.class);
            drawing.stroke((x(min), middle), (x(max), middle), "spread");
            for end in [min, max] {
                drawing.stroke((x(end), middle - 4.0), (x(end), middle + 4.0), "spread");
            }
            drawing.text((x(max) + 8.0, y + 12.5), Anchor::Start, "", &unit.write(median));
            y += STEP;
        }
        y += GROUP_GAP;
    }
    drawing.finish(y)
}
