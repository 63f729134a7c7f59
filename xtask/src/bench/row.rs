//! A row of the table: what it compares, what must hold of it, and what became of it.

use crate::bench::figures::{Spread, Unit};
use crate::bench::results::Results;
use crate::bench::scene::{Scene, Workload};
use crate::bench::throughput::Arm;

/// A series' name in the table and in the results.
pub(super) type Named = (&'static str, &'static str);

/// What a row compares.
pub(super) enum Compare {
    /// A figure of one arm, how many times that of another.
    Arms { load: &'static Workload, figure: &'static str, unit: Unit, of: Arm, to: Arm },
    /// A series, how many times another.
    Series { scene: fn() -> Scene, unit: Unit, of: Named, to: Named },
    /// A series by itself.
    Value { scene: fn() -> Scene, unit: Unit, of: &'static str },
}

/// What must hold of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    Told,
}

/// One row.
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) compare: Compare,
    pub(super) bound: Bound,
}

/// What became of a row.
pub(super) struct Verdict {
    /// The figure that is judged.
    pub(super) measured: String,
    /// Whether it reaches the target; none for what is only told.
    pub(super) reached: Option<bool>,
    /// What it was computed from.
    pub(super) from: String,
}

impl Row {
    /// Whether `name` is the row's, or a part of it between hyphens.
    pub(super) fn is_called(&self, name: &str) -> bool {
        format!("-{}-", self.id).contains(&format!("-{name}-"))
    }

    /// What it needs measured.
    pub(super) fn scene(&self) -> Scene {
        match self.compare {
            Compare::Arms { load, of, to, .. } => Scene::Throughput(load, vec![of, to]),
            Compare::Series { scene, .. } | Compare::Value { scene, .. } => scene(),
        }
    }

    /// What it must reach, in words.
    pub(super) fn target(&self) -> String {
        let unit = match self.compare {
            Compare::Arms { .. } | Compare::Series { .. } => Unit::Times,
            Compare::Value { unit, .. } => unit,
        };
        match self.bound {
            Bound::AtLeast(bound) => format!("at least {}", unit.write(bound)),
            Bound::AtMost(bound) => format!("at most {}", unit.write(bound)),
            Bound::Told => "reported".into(),
        }
    }

    /// What became of it; none when it was not measured.
    pub(super) fn verdict(&self, results: &Results) -> Option<Verdict> {
        let pair = |unit: Unit, of: (&str, Spread), to: (&str, Spread)| {
            let ratio = of.1.median / to.1.median;
            let side = |(name, spread)| format!("{name} {}", unit.write_spread(spread));
            (ratio, Unit::Times.write(ratio), format!("{}, {}", side(of), side(to)))
        };
        let (value, measured, from) = match self.compare {
            Compare::Arms { load, figure, unit, of, to } => {
                let series = |arm: Arm| {
                    let name = format!("{}/{}/{figure}", load.id, arm.name());
                    Some((arm.title(), results.spread(&name)?))
                };
                pair(unit, series(of)?, series(to)?)
            }
            Compare::Series { unit, of, to, .. } => {
                let series = |(title, name): Named| Some((title, results.spread(name)?));
                pair(unit, series(of)?, series(to)?)
            }
            Compare::Value { unit, of, .. } => {
                let spread = results.spread(of)?;
                (spread.median, unit.write(spread.median), unit.write_spread(spread))
            }
        };
        let reached = match self.bound {
            Bound::AtLeast(bound) => Some(value >= bound),
            Bound::AtMost(bound) => Some(value <= bound),
            Bound::Told => None,
        };
        Some(Verdict { measured, reached, from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::every_row;

    fn row(id: &str) -> &'static Row {
        every_row().find(|row| row.id == id).unwrap()
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        for row in every_row() {
            assert_eq!(every_row().filter(|other| other.id == row.id).count(), 1, "{}", row.id);
        }
    }

    #[test]
    fn a_row_is_judged_by_medians() {
        let mut results = Results::unkept();
        let resp = row("resp-get-16");
        assert!(resp.verdict(&results).is_none());
        for value in [2e6, 4e6, 3e6] {
            results.add("get-16/resp/per_core", value);
        }
        assert!(resp.verdict(&results).is_none());
        results.add("get-16/redis/per_core", 1e6);
        let verdict = resp.verdict(&results).unwrap();
        assert_eq!((verdict.measured.as_str(), verdict.reached), ("3.00×", Some(true)));
        assert!(verdict.from.contains("3.00 M/s (2.00–4.00)"), "{}", verdict.from);
        results.add("get-16/native/micros", 3.1);
        results.add("get-16/bare/micros", 2.0);
        assert_eq!(row("bare-get-16").verdict(&results).unwrap().reached, Some(false));
        results.add("idle/websocket", 2_048.0);
        let told = row("idle-ws").verdict(&results).unwrap();
        assert_eq!((told.measured.as_str(), told.reached), ("2.00 KiB", None));
    }
}
