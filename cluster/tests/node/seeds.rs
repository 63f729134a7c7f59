//! Which seeds a storm runs under: `TIDEKEEP_NODE_SEEDS` says how many, `TIDEKEEP_NODE_SEED` names one, which then
//! tells what happens.

/// Runs a storm under so many seeds, unless the environment says otherwise; of one that fails it says how to repeat
/// it. Storms are told the seed, and whether to tell what happens.
pub(crate) fn each(seeds: u64, storm: impl Fn(u64, bool) + std::panic::RefUnwindSafe) {
    if let Some(seed) = number("TIDEKEEP_NODE_SEED") {
        return storm(seed, true);
    }
    for seed in 1..=number("TIDEKEEP_NODE_SEEDS").unwrap_or(seeds) {
        if let Err(panic) = std::panic::catch_unwind(|| storm(seed, false)) {
            eprintln!("TIDEKEEP_NODE_SEED={seed} repeats it");
            std::panic::resume_unwind(panic);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
