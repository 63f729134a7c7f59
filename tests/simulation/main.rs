//! Client cores and the server's sessions over the real store, in one thread, in virtual time, from a
//! seed: hundreds of clients with queues and views, connections that break at any byte, machines that
//! sleep, processes that die, storage that fails, disks that lose what was not synced. The same seed is the same world, to the last byte.
//!
//! `TIDEKEEP_SIMULATION_SEEDS=50000` runs more of them; `TIDEKEEP_SIMULATION_SEED=7` replays one and
//! prints what happens.

mod call;
mod client;
mod history;
mod leases;
mod ledger;
mod memory;
mod network;
mod offline;
mod place;
mod plan;
mod random;
mod ranges;
mod reading;
#[path = "../../client-core/tests/promises/rows.rs"]
mod rows;
mod runner;
mod server;
mod settling;
mod viewer;
mod watcher;
mod workload;
mod world;

use runner::{Summary, run, run_all};
use world::Trace;

/// Seeds in an everyday run.
const SEEDS: u64 = 300;

/// Seeds that once found something.
const KEPT: &str = include_str!("seeds.txt");

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn all_promises_hold_in_every_world() {
    if let Some(seed) = number("TIDEKEEP_SIMULATION_SEED") {
        let report = run(seed, Trace::Print);
        println!("{report:?}");
        report.expect("the seed's world holds all promises");
        return;
    }
    let first = number("TIDEKEEP_SIMULATION_FIRST").unwrap_or(0);
    let count = number("TIDEKEEP_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let summary = run_all(first..first + count);
    println!("{summary}");
    assert_eq!(summary.violations(), 0, "replay one with TIDEKEEP_SIMULATION_SEED=<seed>");
    is_worth_it(&summary, count);
}

/// Worlds in which nothing goes wrong would prove nothing.
fn is_worth_it(summary: &Summary, seeds: u64) {
    let report = &summary.total;
    assert!(report.calls > 100 * seeds, "{report:?}");
    assert!(report.breaks > 5 * seeds && report.restarts > seeds, "{report:?}");
    let memory_full = report.failures.contains_key(&("memory-full", "not-applied"));
    assert!(memory_full || seeds < 30, "{report:?}");
    assert!(report.leases > seeds, "{report:?}");
    assert!(report.evicted > seeds / 4 || seeds < 30, "{report:?}");
    assert!(report.edits > 30 * seeds && report.deaths > seeds, "{report:?}");
    assert!(report.conflicts > seeds && report.patches > 30 * seeds, "{report:?}");
    assert!(report.revisions > 30 * seeds && report.watch_messages > 10 * seeds, "{report:?}");
}

#[test]
fn seeds_that_once_found_something_find_nothing_more() {
    let lines = KEPT.lines().map(str::trim).filter(|line| !line.is_empty());
    let seeds = lines.filter(|line| !line.starts_with('#')).map(|line| {
        let seed = line.split_whitespace().next().expect("the line is not empty");
        seed.parse().expect("a line begins with a seed")
    });
    let summary = run_all(seeds.collect::<Vec<u64>>());
    assert_eq!(summary.violations(), 0, "{summary}");
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..20 {
        let first = run(seed, Trace::Hash).expect("the world holds all promises");
        let second = run(seed, Trace::Hash).expect("it did before");
        assert_eq!(first, second, "seed {seed}");
    }
}
