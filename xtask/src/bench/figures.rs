//! Small sums over what was measured, and how numbers are written.

/// The middle and the ends of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Of a series with at least one value.
pub(super) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    };
    Some(Spread { median, min, max })
}

/// The value that a share of all counts lies at or below; `counts` are values and how often.
pub(super) fn quantile(counts: impl IntoIterator<Item = (u64, u64)>, share: f64) -> Option<u64> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let wanted = (total as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    counts.into_iter().find_map(|(value, count)| {
        seen += count;
        (seen >= wanted).then_some(value)
    })
}

/// What a figure counts, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    /// CPU time of an operation.
    Micros,
    Seconds,
    Bytes,
    /// How many times another figure.
    Times,
}

impl Unit {
    /// What a number of about this size is divided by, and the unit behind it.
    fn scale(self, value: f64) -> (f64, &'static str) {
        match self {
            Self::PerSecond if value >= 999_500.0 => (1e6, " M/s"),
            Self::PerSecond if value >= 999.5 => (1e3, " k/s"),
            Self::PerSecond => (1.0, "/s"),
            Self::Micros if value >= 999.5 => (1e3, " ms"),
            Self::Micros => (1.0, " µs"),
            Self::Seconds => (1.0, " s"),
            Self::Bytes if value >= 1e6 => (1e6, " MB"),
            Self::Bytes if value >= 1_024.0 => (1_024.0, " KiB"),
            Self::Bytes => (1.0, " B"),
            Self::Times => (1.0, "×"),
        }
    }

    /// Three digits and the unit.
    pub(super) fn write(self, value: f64) -> String {
        let (divisor, unit) = self.scale(value);
        match self {
            Self::Times => format!("{value:.2}{unit}"),
            _ => format!("{}{unit}", digits(value / divisor)),
        }
    }

    /// `median (min–max)`, or the value alone where there is only one.
    pub(super) fn write_spread(self, spread: Spread) -> String {
        let Spread { median, min, max } = spread;
        let (divisor, _) = self.scale(median);
        let [least, most] = [min, max].map(|end| digits(end / divisor));
        if least == most {
            return self.write(median);
        }
        format!("{} ({least}–{most})", self.write(median))
    }
}

fn digits(value: f64) -> String {
    match value {
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ if value >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |values: &[f64]| spread(values).map(|spread| spread.median);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(of(&[]), None);
        let ends = spread(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((ends.min, ends.max), (1.0, 3.0));
    }

    #[test]
    fn a_quantile_counts_what_lies_below() {
        let counts = [(10, 98), (50, 1), (900, 1)];
        assert_eq!(quantile(counts, 0.5), Some(10));
        assert_eq!(quantile(counts, 0.99), Some(50));
        assert_eq!(quantile(counts, 1.0), Some(900));
        assert_eq!(quantile([], 0.5), None);
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(Unit::PerSecond.write(2_523_000.0), "2.52 M/s");
        assert_eq!(Unit::PerSecond.write(181_400.0), "181 k/s");
        assert_eq!(Unit::Micros.write(0.387), "0.387 µs");
        assert_eq!(Unit::Micros.write(1_500.0), "1.50 ms");
        assert_eq!(Unit::Bytes.write(12_288.0), "12.0 KiB");
        assert_eq!(Unit::Bytes.write(152_000_000.0), "152 MB");
        assert_eq!(Unit::Times.write(2.304), "2.30×");
        let spread = Spread { median: 2.0, min: 1.0, max: 3.0 };
        assert_eq!(Unit::Seconds.write_spread(spread), "2.00 s (1.00–3.00)");
    }
}
