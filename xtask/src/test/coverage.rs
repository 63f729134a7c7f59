//! The step `coverage`, by `--long` only: how many lines of the crates that decide what is true are
//! run by their own tests. cargo-tarpaulin counts them, by the compiler's own instrumentation.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup;
use crate::test::tally::Tally;
use crate::test::{Run, cargo};

/// The crates, and the share of lines in percent that each must reach.
const CRATES: [&str; 3] = ["protocol", "store", "client-core"];
const LEAST_PERCENT: f64 = 90.0;
const LIMIT: Duration = Duration::from_secs(3_600);

/// Counts, prints a line for each crate, and fails those with too few.
pub(super) fn run(run: &Run<'_>) -> Result<Tally> {
    if !setup::coverage(run.workspace) {
        bail!("cargo-tarpaulin is not there; please type: cargo install --locked cargo-tarpaulin");
    }
    let folder = run.workspace.target().join("coverage");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut cargo = cargo(&["tarpaulin", "--engine", "llvm", "--skip-clean", "--out", "Json"]);
    // Counting makes the long tests longer.
    cargo.args(["--timeout", "900"]);
    cargo.arg("--output-dir").arg(&folder).arg("--target-dir").arg(&folder);
    for name in CRATES {
        cargo.args(["--package", &format!("tidekeep-{name}")]);
        cargo.args(["--include-files", &format!("{name}/src/*")]);
    }
    run.quiet("coverage", &mut cargo, LIMIT)?;
    let report = folder.join("tarpaulin-report.json");
    let report = fs::read(&report).with_context(|| format!("no {}", report.display()))?;
    let report: Value = serde_json::from_slice(&report).context("the report is no JSON")?;
    let mut tally = Tally::default();
    for name in CRATES {
        let (covered, lines) = lines_of(&report, name);
        let percent = if lines == 0 { 0.0 } else { 100.0 * covered as f64 / lines as f64 };
        println!("suite: coverage of {name}: {percent:.1} % ({covered} of {lines} lines)");
        match percent >= LEAST_PERCENT {
            true => tally.passed += 1,
            false => tally.failed += 1,
        }
    }
    Ok(tally)
}

/// Lines that were run, and lines that can be, in a crate's `src`.
fn lines_of(report: &Value, name: &str) -> (u64, u64) {
    let files = report["files"].as_array().map_or(&[][..], Vec::as_slice);
    let ours = files.iter().filter(|file| {
        let path = file["path"].as_array().map_or(&[][..], Vec::as_slice);
        path.windows(2).any(|parts| parts[0] == name && parts[1] == "src")
    });
    ours.fold((0, 0), |(covered, lines), file| {
        let number = |key: &str| file[key].as_u64().unwrap_or(0);
        (covered + number("covered"), lines + number("coverable"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn adds_up_the_files_of_a_crate() {
        let file = |crate_name: &str, folder: &str, covered: u64| json!({ "path": ["/", "x", crate_name, folder, "a.rs"], "covered": covered, "coverable": 10 });
        let files = [file("store", "src", 9), file("store", "src", 8), file("store", "tests", 1)];
        let report = json!({ "files": files });
        assert_eq!(lines_of(&report, "store"), (17, 20));
        assert_eq!(lines_of(&report, "protocol"), (0, 0));
    }
}
