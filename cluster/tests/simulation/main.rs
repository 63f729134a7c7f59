//! Whole clusters in one thread and in virtual time, from a seed: members of one group with disks that
//! lose what was not synced, a network that delays, loses and cuts, clocks that disagree, clients that ask
//! again with the same number until they are answered. What must hold whatever happens is in `oracle`.
//!
//! `TIDEKEEP_CLUSTER_SEEDS=20000 cargo nextest run --release -p tidekeep-cluster -E 'binary(simulation)'`
//! runs that many seeds; `TIDEKEEP_CLUSTER_SEED=17` runs one, and prints what happens.

mod alone;
mod clients;
mod ends;
mod faults;
mod node;
mod oracle;
mod run;
#[path = "../simulated/mod.rs"]
mod simulated;
mod surprises;

use run::{Plan, run};

/// Seeds of the everyday run.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn every_seed_keeps_what_was_confirmed() {
    if let Some(seed) = number("TIDEKEEP_CLUSTER_SEED") {
        println!("{:?}", run(&Plan::of(seed).told()));
        return;
    }
    let seeds = number("TIDEKEEP_CLUSTER_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let totals = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads)
            .map(|share| {
                scope.spawn(move || {
                    (share..seeds).step_by(threads as usize).map(|seed| run(&Plan::of(seed))).sum()
                })
            })
            .collect();
        shares.into_iter().map(|share| share.join().expect("a seed failed")).sum::<run::Outcome>()
    });
    println!("suite: clusters: {seeds} seeds, {totals}, violations 0");
    assert!(totals.leaders > seeds, "hardly anything happened: {totals}");
}

#[test]
fn a_seed_can_be_repeated() {
    for seed in [3, 1_000_003] {
        assert_eq!(run(&Plan::of(seed)), run(&Plan::of(seed)), "seed {seed}");
    }
}
