//! Pictures of what was measured: `bars` and `lines` draw them, this says which there are.

mod bars;
mod lines;
mod svg;

use crate::bench::curve;
use crate::bench::figures::{Spread, Unit};
use crate::bench::plot::bars::{Bar, Group};
use crate::bench::plot::lines::Line;
use crate::bench::results::Results;
use crate::bench::throughput::Arm;

/// A picture.
pub(super) struct Plot {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

const ARMS: [Arm; 6] =
    [Arm::Redis, Arm::Resp, Arm::Logging, Arm::Native, Arm::WebSocket, Arm::Bare];

/// Every picture that there are figures for.
pub(super) fn all(results: &Results) -> Vec<Plot> {
    let loads = |loads: &[(&str, &str)], figure: &str| -> Vec<Group> {
        loads.iter().filter_map(|(id, title)| against_redis(results, id, title, figure)).collect()
    };
    let per_core = loads(
        &[
            ("get-1", "GET, pipeline 1"),
            ("get-16", "GET, pipeline 16"),
            ("get-128", "GET, pipeline 128"),
            ("get-16-1k", "GET of 1 KiB, pipeline 16"),
            ("set-1", "SET, pipeline 1"),
            ("set-16", "SET, pipeline 16"),
            ("set-128", "SET, pipeline 128"),
            ("set-16-1k", "SET of 1 KiB, pipeline 16"),
        ],
        "per_core",
    );
    let synced = loads(
        &[("set-1-always", "synced SET, pipeline 1"), ("set-16-always", "synced SET, pipeline 16")],
        "per_second",
    );
    let title = "Operations per second of one busy server core (Redis = 1)";
    let mut plots = vec![bars_of("per-core.svg", title, Unit::Times, &per_core)];
    let title = "Writes per second, each safe on the disk before its reply (Redis = 1)";
    plots.push(bars_of("synced.svg", title, Unit::Times, &synced));
    let title = "Resident memory with 1 M entries of 16 and 64 bytes";
    plots.push(bars_of("memory.svg", title, Unit::Bytes, &[named(results, "memory")]));
    let title = "From start to the first GET with 10 M entries";
    plots.push(bars_of("start.svg", title, Unit::Seconds, &[named(results, "start")]));
    plots.extend([pause(results, "snapshot"), pause(results, "expiry")]);
    plots.extend([keys(results, "get"), keys(results, "set")]);
    plots.into_iter().filter(|plot| !plot.svg.is_empty()).collect()
}

fn bars_of(file: &'static str, title: &'static str, unit: Unit, groups: &[Group]) -> Plot {
    Plot { file, title, svg: bars::draw(title, unit, groups) }
}

/// One load on every server, in units of Redis' median.
fn against_redis(results: &Results, id: &str, title: &str, figure: &str) -> Option<Group> {
    let of = |arm: Arm| results.spread(&format!("{id}/{}/{figure}", arm.name()));
    let one = of(Arm::Redis)?.median;
    let bars = ARMS.into_iter().filter_map(|arm| {
        let Spread { median, min, max } = of(arm)?;
        let value = Spread { median: median / one, min: min / one, max: max / one };
        Some(Bar { name: arm.long_title(), class: arm.name(), value })
    });
    Some(Group { title: title.to_owned(), bars: bars.collect() })
}

/// Redis beside Tidekeep.
fn named(results: &Results, scene: &str) -> Group {
    let sides = [("Redis", "redis"), ("Tidekeep", "native")];
    let bars = sides.into_iter().filter_map(|(name, class)| {
        let value = results.spread(&format!("{scene}/{}", name.to_lowercase()))?;
        Some(Bar { name, class, value })
    });
    Group { title: String::new(), bars: bars.collect() }
}

/// The p99 along the time, with the span of what disturbs it.
fn pause(results: &Results, scene: &'static str) -> Plot {
    let (file, title) = match scene {
        "snapshot" => ("snapshot.svg", "p99 while a snapshot of 10 M entries is written"),
        _ => ("expiry.svg", "p99 while 1 M keys expire"),
    };
    let points = results.curve(&format!("{scene}/p99")).to_vec();
    let span = match results.curve(&format!("{scene}/span")) {
        [(from, _), (to, _)] => Some((*from, *to)),
        _ => None,
    };
    let line = Line { name: "GET and SET", class: "native", points };
    let axes = lines::Axes { across: lines::Scale::Seconds, up: Unit::Micros, span };
    Plot { file, title, svg: lines::draw(title, &axes, &[line]) }
}

fn keys(results: &Results, operation: &'static str) -> Plot {
    let (file, title) = match operation {
        "get" => ("keys-get.svg", "GET, pipeline 16: operations per second of one core over keys"),
        _ => ("keys-set.svg", "SET, pipeline 16: operations per second of one core over keys"),
    };
    let lines: Vec<Line> = curve::ARMS
        .into_iter()
        .map(|arm| Line {
            name: arm.long_title(),
            class: arm.name(),
            points: results.curve(&format!("keys-{operation}/{}", arm.name())).to_vec(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let axes = lines::Axes { across: lines::Scale::Keys, up: Unit::PerSecond, span: None };
    Plot { file, title, svg: lines::draw(title, &axes, &lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_drawn() {
        let mut results = Results::unkept();
        assert!(all(&results).is_empty());
        results.add("get-16/redis/per_core", 1e6);
        for value in [2e6, 3e6] {
            results.add("get-16/native/per_core", value);
        }
        let plots = all(&results);
        let files: Vec<_> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["per-core.svg"]);
        let svg = &plots[0].svg;
        assert!(svg.contains("2.50×") && svg.contains("prefers-color-scheme: dark"), "{svg}");
    }
}
