//! The step `fuzz`: builds the targets in `fuzz/` with instrumentation for libFuzzer, by flags that a
//! stable compiler takes, and runs each for a while, two at a time.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::fingerprint::files_below;
use crate::process;
use crate::test::tally::Tally;
use crate::test::{BUILD_LIMIT, Length, Run, cargo, suites};
use crate::workspace::Workspace;

/// What cargo-fuzz passes on as well, but for the sanitizer: no line of the workspace is unsafe.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
const AT_ONCE: usize = 2;
/// An input that takes longer than this is a finding.
const INPUT_SECONDS: u32 = 20;
const MEMORY_MB: u32 = 2048;
/// An input that failed is shown up to this length.
const SHOWN_BYTES: usize = 4096;
/// What a run takes beyond its time: reading the corpus, the last input.
const SLACK: Duration = Duration::from_secs(300);

/// Builds and runs every target.
pub(super) fn run(run: &Run<'_>) -> Result<Tally> {
    if !run.test_tools()?.cxx {
        bail!("there is no C++ compiler for libFuzzer; please type: sudo apt-get install g++");
    }
    let seconds = suites::size_of("TIDEKEEP_FUZZ_SECONDS", run.length).unwrap_or(15);
    let folder = build(run)?;
    let targets = targets(run.workspace)?;
    let queue: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || queue.lock().ok()?.pop_front();
                while let Some(name) = next() {
                    let outcome = fuzz(run, &folder, name, share(name, seconds));
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push((name, outcome));
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().ok().context("a thread that runs targets has died")?;
    let mut tally = Tally::default();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(summary) => {
                println!("suite: fuzz {name}: {summary}");
                tally.passed += 1;
            }
            Err(error) => {
                println!("fuzz {name}: {error:#}");
                tally.failed += 1;
            }
        }
    }
    Ok(tally)
}

/// How long a target runs, of a usual one's time: what takes strangers' bytes apart first, in either
/// language, twice as long.
fn share(target: &str, seconds: u32) -> u32 {
    if matches!(target, "frames" | "resp") { 2 * seconds } else { seconds }
}

/// Compiles all targets; where they are.
fn build(run: &Run<'_>) -> Result<PathBuf> {
    let host = host()?;
    run.quiet("fuzz", &mut compiling(run.workspace, &host), BUILD_LIMIT)?;
    Ok(run.workspace.target().join("fuzz").join(host).join("release"))
}

/// The command that compiles all targets.
pub(super) fn compiling(workspace: &Workspace, host: &str) -> Command {
    let mut cargo = cargo(&["build", "--locked", "--release", "--bins", "--manifest-path"]);
    cargo.arg(workspace.path("fuzz/Cargo.toml"));
    // With a target named, build scripts and macros are left without instrumentation.
    cargo.args(["--target", host, "--target-dir"]).arg(workspace.target().join("fuzz"));
    cargo.env("RUSTFLAGS", FLAGS);
    cargo
}

/// What this machine is to rustc.
pub(super) fn host() -> Result<String> {
    let about = process::probe("rustc", &["-vV"]).context("cannot ask rustc for its host")?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let files = files_below(&workspace.path("fuzz/targets"), &[])?;
    let names = files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        bail!("fuzz/targets has no targets");
    }
    Ok(names)
}

/// Runs one target; what it did, in one line. New inputs go to a corpus below the target folder.
fn fuzz(run: &Run<'_>, folder: &Path, name: &str, seconds: u32) -> Result<String> {
    let workspace = run.workspace;
    // Two everyday runs of the same code begin alike; a long one draws anew (0).
    let seed = if run.length == Length::Everyday { 1 } else { 0 };
    let found = workspace.scratch(&format!("fuzz/{name}"));
    fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
    let artifact = workspace.scratch(&format!("fuzz/failed-{name}-"));
    let mut command = Command::new(folder.join(name));
    command
        .arg(format!("-seed={seed}"))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}", artifact.display()))
        .arg("-print_final_stats=1")
        .arg(&found)
        .arg(workspace.path(&format!("fuzz/corpus/{name}")))
        // A panic's message is enough; its backtrace fills the log.
        .env("RUST_BACKTRACE", "0");
    let log = workspace.scratch(&format!("log/fuzz-{name}.log"));
    let limit = Duration::from_secs(seconds.into()) + SLACK;
    let start = SystemTime::now();
    process::quiet(&mut command, &log, limit)
        .with_context(|| format!("the input that failed {}", failed_input(&artifact, start)))?;
    let output = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    summary(&String::from_utf8_lossy(&output)).context("libFuzzer printed no figures")
}

/// Where the input is that failed since `start`, and what is in it: the machine may be gone when
/// somebody looks at the finding.
fn failed_input(artifact: &Path, start: SystemTime) -> String {
    let kept = format!("is kept as {}…", artifact.display());
    let is_new = |file: &PathBuf| {
        let changed = fs::metadata(file).and_then(|about| about.modified());
        file.to_string_lossy().starts_with(&*artifact.to_string_lossy())
            && changed.is_ok_and(|changed| changed >= start)
    };
    let folder = artifact.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut files = folder.into_iter().flatten().filter_map(|file| Some(file.ok()?.path()));
    match files.find(is_new).and_then(|file| fs::read(file).ok()) {
        Some(input) if input.len() <= SHOWN_BYTES => {
            format!("{kept} and is, escaped:\n{}\n", input.escape_ascii())
        }
        _ => kept,
    }
}

/// Executions and coverage out of libFuzzer's last lines.
fn summary(output: &str) -> Option<String> {
    let stat = |name: &str| {
        output.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
    };
    let executed = stat("stat::number_of_executed_units:")?;
    let a_second = stat("stat::average_exec_per_sec:")?;
    let edges = output.lines().rev().find_map(|line| word_after(line, "cov:"))?;
    Some(format!("{executed} executions, {a_second} a second, {edges} edges covered"))
}

fn word_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split_whitespace().skip_while(|next| *next != word).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_input_that_failed_in_this_run() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("failed-resp-");
        let start = SystemTime::now() - Duration::from_secs(1);
        let kept = format!("is kept as {}…", artifact.display());
        assert_eq!(failed_input(&artifact, start), kept);
        fs::write(folder.path().join("failed-resp-crash-1"), b"GET\r\n\x00").unwrap();
        let shown = format!("{kept} and is, escaped:\nGET\\r\\n\\x00\n");
        assert_eq!(failed_input(&artifact, start), shown);
        assert_eq!(failed_input(&artifact, SystemTime::now() + Duration::from_secs(9)), kept);
    }

    #[test]
    fn reads_the_figures_of_libfuzzer() {
        let output = "#2\tINITED cov: 10 ft: 11 corp: 1/1b\n#99\tDONE   cov: 12 ft: 20 corp: 2/2b\n\
                      Done 99 runs in 1 second(s)\nstat::number_of_executed_units: 99\n\
                      stat::average_exec_per_sec:     98\n";
        let expected = "99 executions, 98 a second, 12 edges covered";
        assert_eq!(summary(output).as_deref(), Some(expected));
        assert_eq!(summary("==1== ERROR: libFuzzer: deadly signal\n"), None);
    }
}
