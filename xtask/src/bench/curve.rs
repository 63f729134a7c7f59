//! Operations per second over the number of keys: of Tidekeep, and of the bare store and Redis,
//! whose steps are those that cache misses explain.

use anyhow::Error;

use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::bench::scene::Workload;
use crate::bench::server::Durability;
use crate::bench::throughput::{self, Arm};

/// Filling the largest store takes longer than measuring it.
const ROUNDS: u32 = 3;
/// Of each size, in the order of [`crate::bench::plan::Scale::curve`].
const IDS: [[&str; 2]; 3] = [
    ["keys-get-small", "keys-set-small"],
    ["keys-get-usual", "keys-set-usual"],
    ["keys-get-large", "keys-set-large"],
];
/// What is compared at each size.
pub(super) const ARMS: [Arm; 3] = [Arm::Redis, Arm::Native, Arm::Bare];

pub(super) fn measure(plan: &Plan<'_>, results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    for ([get, set], keys) in IDS.into_iter().zip(plan.scale.curve) {
        let workload = |id, operation| Workload {
            id,
            operation,
            pipeline: 16,
            value_bytes: 64,
            durability: Durability::None,
        };
        let (get, set) = (workload(get, "get"), workload(set, "set"));
        let size = (keys, plan.scale.rounds.min(ROUNDS));
        failures.extend(throughput::measure(plan, &[&get, &set], size, &ARMS, results));
    }
    for operation in ["get", "set"] {
        for arm in ARMS {
            let point = |(size, keys): (&str, u32)| {
                let series = format!("keys-{operation}-{size}/{}/per_core", arm.name());
                Some((f64::from(keys), results.spread(&series)?.median))
            };
            let sizes = ["small", "usual", "large"].into_iter().zip(plan.scale.curve);
            let points = sizes.filter_map(point).collect();
            results.set_curve(&format!("keys-{operation}/{}", arm.name()), points);
        }
    }
    failures
}
