//! What a run prints: one object of JSON, read by `cargo xtask bench`.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::args::Args;
use crate::load::process::{cpu_seconds, own_cpu_seconds};
use crate::load::tally::Tally;
use crate::wire::Broken;

/// Clocks at one moment.
pub(super) struct Marks {
    at: Instant,
    own_cpu: f64,
    /// The servers' processes, if any is watched, and what all of them took.
    servers: (Vec<u32>, Option<f64>),
}

impl Marks {
    pub(super) fn now(servers: &[u32]) -> Self {
        // One that is gone makes the sum unknown; so does none.
        let sum: Option<f64> = servers.iter().map(|pid| cpu_seconds(*pid)).sum();
        let sum = sum.filter(|_| !servers.is_empty());
        Self { at: Instant::now(), own_cpu: own_cpu_seconds(), servers: (servers.to_vec(), sum) }
    }
}

/// What a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Replies in the measured time, right ones and wrong ones.
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) ops_per_second: f64,
    pub(super) latency_us: Latency,
    /// Replies that were not what they had to be.
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    /// Share of one core that the generator took.
    pub(super) own_utilisation: f64,
    /// CPU seconds of the servers in the measured time, all threads.
    pub(super) server_cpu_seconds: Option<f64>,
    /// Keys that have a value by the ledger, if there is one.
    pub(super) keys_written: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) slices: Vec<Slice>,
}

/// Of the replies in the measured time, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    p50: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl Latency {
    fn of(latency: &Histogram<u64>) -> Self {
        let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: latency.max() as f64 / 1_000.0 }
    }
}

/// The latencies of one slice of time.
#[derive(Debug, Serialize)]
pub(super) struct Slice {
    /// When it ended, in milliseconds since the Unix epoch.
    ended_ms: u64,
    /// Microseconds and how many replies took so long, rounded up to three digits.
    counts: Vec<(u64, u64)>,
}

impl Slice {
    pub(super) fn of(ended: Duration, latency: &Histogram<u64>) -> Self {
        let recorded = latency.iter_recorded();
        let micros = recorded.map(|step| {
            (step.value_iterated_to().div_ceil(1_000), step.count_since_last_iteration())
        });
        Self { ended_ms: ended.as_millis() as u64, counts: micros.collect() }
    }
}

impl Report {
    /// Of what was measured since `marks`.
    pub(super) fn of(tally: &Tally, marks: &Marks) -> Self {
        let now = Marks::now(&marks.servers.0);
        let seconds = (now.at - marks.at).as_secs_f64();
        let server_cpu_seconds =
            now.servers.1.zip(marks.servers.1).map(|(after, before)| after - before);
        Self {
            operations: tally.replies,
            seconds,
            ops_per_second: tally.replies as f64 / seconds,
            latency_us: Latency::of(&tally.latency),
            errors: 0,
            first_error: None,
            own_utilisation: (now.own_cpu - marks.own_cpu) / seconds,
            server_cpu_seconds,
            keys_written: None,
            slices: Vec::new(),
        }
    }

    /// With the verdict on the whole run, whose ledger is kept for the next one.
    pub(super) fn end(mut self, tally: &Tally, args: &Args) -> Result<Self, Broken> {
        self.errors = tally.errors;
        self.first_error.clone_from(&tally.first_error);
        if let Some(ledger) = &tally.ledger {
            self.keys_written = Some(ledger.written());
            if let Some(path) = &args.ledger {
                ledger.keep(path)?;
            }
        }
        Ok(self)
    }
}
