//! Which key is asked for next, and how.

use std::ops::Range;

use crate::load::args::{Args, Operation};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Get(u32),
    Set(u32),
}

/// Where requests come from.
pub(super) enum Work {
    /// Every key once.
    Sweep { numbers: Range<u32>, ask: fn(u32) -> Ask },
    /// Any key, so many times.
    Random { random: fastrand::Rng, numbers: Range<u32>, operation: Operation, left: u64 },
}

impl Work {
    pub(super) fn new(args: &Args) -> Self {
        let numbers = args.first..args.first.saturating_add(args.keys);
        match args.operation {
            Operation::Fill => Self::Sweep { numbers, ask: Ask::Set },
            Operation::Check | Operation::First | Operation::Idle | Operation::Probe => {
                Self::Sweep { numbers, ask: Ask::Get }
            }
            operation @ (Operation::Get | Operation::Set | Operation::Mixed) => {
                let random = fastrand::Rng::with_seed(args.seed);
                let left = args.requests.unwrap_or(u64::MAX);
                Self::Random { random, numbers, operation, left }
            }
        }
    }

    /// The next request; `None` when every key had its turn.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Ask> {
        match self {
            Self::Sweep { numbers, ask } => numbers.next().map(*ask),
            Self::Random { random, numbers, operation, left } => {
                *left = left.checked_sub(1)?;
                let number = random.u32(numbers.clone());
                Some(match operation {
                    Operation::Set => Ask::Set(number),
                    Operation::Mixed if random.bool() => Ask::Set(number),
                    _ => Ask::Get(number),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn work(flags: &[&str]) -> Work {
        let base = ["load", "--address", "127.0.0.1:1", "--keys", "3", "--first", "5"];
        Work::new(&Args::parse_from(base.iter().chain(flags)))
    }

    #[test]
    fn a_sweep_asks_for_every_key_once() {
        let mut fill = work(&["--op", "fill"]);
        let asked: Vec<_> = std::iter::from_fn(|| fill.next()).collect();
        assert_eq!(asked, [Ask::Set(5), Ask::Set(6), Ask::Set(7)]);
    }

    #[test]
    fn random_requests_stay_among_the_keys() {
        let mut mixed = work(&["--op", "mixed"]);
        let asked: Vec<_> = std::iter::from_fn(|| mixed.next()).take(1_000).collect();
        let sets = asked.iter().filter(|ask| matches!(ask, Ask::Set(_))).count();
        assert!((400..600).contains(&sets));
        assert!(asked.iter().all(|ask| matches!(ask, Ask::Get(5..=7) | Ask::Set(5..=7))));
        let mut few = work(&["--op", "set", "--requests", "2"]);
        assert_eq!(std::iter::from_fn(|| few.next()).count(), 2);
    }
}
