//! What a load has shown, for people and for programs.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::{Measured, Plan};
use crate::failure::Failure;
use crate::output::{Format, Out};
use crate::time::short;

#[derive(Serialize)]
struct ReportJson<'a> {
    server: &'a str,
    op: &'a str,
    connections: usize,
    pipeline: usize,
    threads: usize,
    value_bytes: usize,
    keys: u64,
    seconds: f64,
    operations: u64,
    errors: u64,
    ops_per_second: f64,
    latency_us: LatencyJson,
}

/// Latencies in microseconds.
#[derive(Serialize)]
struct LatencyJson {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

/// Prints the figures.
pub(crate) fn print(
    op: &str,
    plan: &Plan,
    measured: &Measured,
    window: Duration,
    out: &mut Out,
) -> Result<(), Failure> {
    let operations = measured.latency.len();
    let ops_per_second = operations as f64 / window.as_secs_f64().max(1e-9);
    if out.format() == Format::Json {
        return out.json(&ReportJson {
            server: &plan.url,
            op,
            connections: plan.connections,
            pipeline: plan.pipeline,
            threads: plan.threads,
            value_bytes: plan.value_bytes,
            keys: plan.keys,
            seconds: window.as_secs_f64(),
            operations,
            errors: measured.errors,
            ops_per_second,
            latency_us: latencies(measured),
        });
    }
    let Plan { url, connections, pipeline, value_bytes, keys, .. } = plan;
    let at =
        |quantile: f64| short(Duration::from_nanos(measured.latency.value_at_quantile(quantile)));
    let bytes = BinaryBytes((ops_per_second * *value_bytes as f64) as u64);
    let rate = HumanCount(ops_per_second as u64);
    out.line(format_args!(
        "{op} on {url}: {connections} connections, {pipeline} requests under way on each, \
         {} keys, values of {value_bytes} bytes",
        HumanCount(*keys)
    ))?;
    out.line(format_args!("throughput  {rate} operations/s, {bytes}/s of values"))?;
    out.line(format_args!(
        "latency     p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    ))?;
    let errors = HumanCount(measured.errors);
    out.line(format_args!(
        "operations  {} in {}, {errors} failed",
        HumanCount(operations),
        short(window)
    ))
}

fn latencies(measured: &Measured) -> LatencyJson {
    let at = |quantile: f64| measured.latency.value_at_quantile(quantile) as f64 / 1e3;
    LatencyJson {
        mean: measured.latency.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        max: at(1.0),
    }
}
