//! Runs many worlds on all processors and sums up what they were like.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::world::{Report, Trace, World};

/// What many worlds were like.
pub(crate) struct Summary {
    pub(crate) seeds: u64,
    pub(crate) total: Report,
    seconds: f64,
    broken: Vec<(u64, String)>,
}

impl Summary {
    pub(crate) fn violations(&self) -> usize {
        self.broken.len()
    }

    fn add(&mut self, seed: u64, outcome: Result<Report, String>) {
        self.seeds += 1;
        match outcome {
            Ok(report) => {
                let total = &mut self.total;
                total.calls += report.calls;
                total.breaks += report.breaks;
                total.restarts += report.restarts;
                total.virtual_ms += report.virtual_ms;
                total.revisions += report.revisions;
                total.watch_messages += report.watch_messages;
                total.leases += report.leases;
                total.evicted += report.evicted;
                total.edits += report.edits;
                total.conflicts += report.conflicts;
                total.deaths += report.deaths;
                total.patches += report.patches;
                for (failure, count) in report.failures {
                    *total.failures.entry(failure).or_default() += count;
                }
            }
            Err(why) => {
                println!("seed {seed}: {why}");
                self.broken.push((seed, why));
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { calls, breaks, restarts, virtual_ms, .. } = &self.total;
        let Report { revisions, watch_messages, leases, evicted, .. } = &self.total;
        let Report { edits, conflicts, deaths, patches, .. } = &self.total;
        let hours = *virtual_ms as f64 / 3_600_000.0;
        for (seed, why) in &self.broken {
            writeln!(f, "seed {seed}: {why}")?;
        }
        for ((code, outcome), count) in &self.total.failures {
            writeln!(f, "calls that failed with {code}, {outcome}: {count}")?;
        }
        writeln!(
            f,
            "revisions: {revisions}, watch messages: {watch_messages}, leases: {leases}, \
             evicted: {evicted}, queued: {edits}, conflicts: {conflicts}, deaths: {deaths}, \
             patches: {patches}"
        )?;
        write!(
            f,
            "suite: simulation, seeds: {}, calls: {calls}, breaks: {breaks}, restarts: {restarts}, \
             virtual time: {hours:.1} h in {:.1} s, violations: {}",
            self.seeds,
            self.seconds,
            self.broken.len()
        )
    }
}

/// Runs a seed's world; what it was like, or which promise was broken.
pub(crate) fn run(seed: u64, trace: Trace) -> Result<Report, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| World::new(seed, trace).run()));
    match lived {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(violation)) => Err(format!("at {} ms: {}", violation.at, violation.why)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            Err(format!("a panic: {text}"))
        }
    }
}

/// Runs the worlds of many seeds, in no order.
pub(crate) fn run_all(seeds: impl IntoIterator<Item = u64, IntoIter: Send>) -> Summary {
    let start = Instant::now();
    let empty = Summary { seeds: 0, total: Report::default(), seconds: 0.0, broken: Vec::new() };
    let (seeds, summary) = (Mutex::new(seeds.into_iter()), Mutex::new(empty));
    let work = || {
        loop {
            let next = seeds.lock().expect("taking a number does not panic").next();
            let Some(seed) = next else { return };
            let outcome = run(seed, Trace::Off);
            summary.lock().expect("adding does not panic").add(seed, outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().expect("adding does not panic");
    summary.broken.sort();
    summary.seconds = start.elapsed().as_secs_f64();
    summary
}
