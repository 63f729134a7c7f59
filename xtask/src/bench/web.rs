//! What the npm package weighs and how quick it is, beside others: two scripts in `bench/web`, run
//! by Node, each printing a line of JSON for each figure.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use serde::Deserialize;

use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::process;
use crate::setup::{self, Need, Talk, Tools};
use crate::web::{self, Flavour, Size};

const FOLDER: &str = "bench/web";
const SIZES_LIMIT: Duration = Duration::from_secs(120);
const RATES_LIMIT: Duration = Duration::from_secs(1_800);
/// Under which the sizes' table is kept.
pub(super) const SIZES: &str = "sizes";

/// A client as a page downloads it, in bytes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Weighed {
    name: String,
    what: String,
    version: String,
    script: u64,
    script_gzip: u64,
    wasm: u64,
    wasm_gzip: u64,
}

/// Operations of one run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    runtime: String,
    operation: String,
    depth: u32,
    name: String,
    per_second: f64,
}

/// Weighs the package beside others.
pub(super) fn sizes(plan: &Plan<'_>, results: &mut Results) -> Vec<Error> {
    let measured = run(plan, "sizes.mjs", &[], SIZES_LIMIT, false);
    measured.and_then(|lines| take_sizes(&lines, results)).err().into_iter().collect()
}

/// Measures gets and puts from Node and from a page.
pub(super) fn rates(plan: &Plan<'_>, results: &mut Results) -> Vec<Error> {
    measure_rates(plan, results).err().into_iter().collect()
}

fn measure_rates(plan: &Plan<'_>, results: &mut Results) -> Result<()> {
    let data = plan.workspace.target().join("bench/data");
    fs::create_dir_all(&data)?;
    let data = tempfile::Builder::new().prefix("rates-").tempdir_in(data)?;
    let (server, data) = (plan.program("tidekeep-server"), data.path());
    let (rounds, seconds) = (plan.scale.rounds.to_string(), plan.scale.seconds.to_string());
    let (server, data) = (server.to_string_lossy(), data.to_string_lossy());
    let mut args = vec!["--server", &*server, "--data", &*data];
    args.extend(["--rounds", &rounds, "--seconds", &seconds]);
    if plan.with_peers() {
        setup::nats(plan.workspace)?;
    } else {
        args.push("--alone");
    }
    let lines = run(plan, "rates.mjs", &args, RATES_LIMIT, true)?;
    take_rates(&lines, results)
}

/// Builds the package and runs a script; what it printed.
fn run(
    plan: &Plan<'_>,
    script: &str,
    args: &[&str],
    limit: Duration,
    with_browser: bool,
) -> Result<String> {
    let need = if with_browser { Need::Tests } else { Need::Page };
    let tools: Tools = setup::run(plan.workspace, need, Talk::Actions)?;
    web::run(plan.workspace, &tools, Flavour::Release, Size::Shown)?;
    setup::npm_packages(plan.workspace, &tools.node, FOLDER)?;
    let mut node = tools.node.command("node");
    node.arg(plan.workspace.path(FOLDER).join(script)).args(args);
    if let Some(tests) = &tools.tests {
        node.arg("--chromium").arg(&tests.chromium);
    }
    let log = plan.workspace.scratch(&format!("log/bench-{script}.log"));
    process::quiet(&mut node, &log, limit)?;
    fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))
}

fn take_sizes(lines: &str, results: &mut Results) -> Result<()> {
    let mut table = String::from(
        "| client | what it is | version | script, min | gzip | wasm | gzip | together, gzip |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut found = false;
    for client in figures::<Weighed>(lines) {
        let Weighed { name, what, version, script, script_gzip, wasm, wasm_gzip } = client?;
        let module = match wasm {
            0 => " | ".to_owned(),
            _ => format!("{wasm} | {wasm_gzip}"),
        };
        let sum = script_gzip + wasm_gzip;
        let line = format!(
            "| {name} | {what} | {version} | {script} | {script_gzip} | {module} | {sum} |\n"
        );
        table.push_str(&line);
        let series = format!("{SIZES}/{name}");
        results.clear(&series);
        results.add(&series, sum as f64);
        found = true;
    }
    if !found {
        bail!("sizes.mjs has printed no figure");
    }
    results.set_table(SIZES, table);
    Ok(())
}

fn take_rates(lines: &str, results: &mut Results) -> Result<()> {
    let rates: Vec<Rate> = figures(lines).collect::<Result<_>>()?;
    if rates.is_empty() {
        bail!("rates.mjs has printed no figure");
    }
    let series = |rate: &Rate| {
        let Rate { runtime, operation, depth, name, .. } = rate;
        format!("rates/{runtime}-{operation}-{depth}/{name}")
    };
    for rate in &rates {
        results.clear(&series(rate));
    }
    for rate in &rates {
        results.add(&series(rate), rate.per_second);
    }
    Ok(())
}

/// The lines that are figures, among whatever else was printed.
fn figures<'a, T: Deserialize<'a>>(lines: &'a str) -> impl Iterator<Item = Result<T>> {
    let lines = lines.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("no figure: {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_a_table() {
        let mut results = Results::unkept();
        let line = r#"{"name":"a/slim","what":"x","version":"1.2.3","script":30,"scriptGzip":10,"wasm":50,"wasmGzip":20}"#;
        take_sizes(&format!("npm says hello\n{line}\n"), &mut results).unwrap();
        assert_eq!(results.spread("sizes/a/slim").unwrap().median, 30.0);
        let table = results.table(SIZES).unwrap();
        assert!(table.ends_with("| a/slim | x | 1.2.3 | 30 | 10 | 50 | 20 | 30 |\n"), "{table}");
        assert!(take_sizes("nothing", &mut results).is_err());
    }

    #[test]
    fn rates_of_all_rounds_make_a_series() {
        let mut results = Results::unkept();
        let line = |rate: u32| {
            format!(
                r#"{{"runtime":"node","operation":"get","depth":64,"name":"nats","perSecond":{rate}}}"#
            )
        };
        results.add("rates/node-get-64/nats", 9.0);
        take_rates(&format!("{}\n{}\n", line(1), line(3)), &mut results).unwrap();
        assert_eq!(results.spread("rates/node-get-64/nats").unwrap().median, 2.0);
        assert!(take_rates(r#"{"runtime":"node"}"#, &mut results).is_err());
    }
}
