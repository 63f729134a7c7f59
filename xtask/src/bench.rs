//! `cargo xtask bench`: a release server on loopback, measured by `tidekeep bench` at several
//! settings; prints a table and, when asked, keeps it in docs/benchmarks.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::running::RunningServer;
use crate::workspace::Workspace;

const PAGE: &str = "docs/benchmarks.md";
const START: &str = "<!-- bench:start -->";
const END: &str = "<!-- bench:end -->";
const KEYS: u32 = 100_000;

/// What is measured: one run of `tidekeep bench` each.
struct Setting {
    durability: &'static str,
    transport: &'static str,
    operation: &'static str,
    connections: u32,
    /// Requests in flight on each connection.
    pipeline: u32,
    value_bytes: u32,
}

const fn setting(
    durability: &'static str,
    transport: &'static str,
    operation: &'static str,
    connections: u32,
    pipeline: u32,
    value_bytes: u32,
) -> Setting {
    Setting { durability, transport, operation, connections, pipeline, value_bytes }
}

/// Runs of the same durability share a server, one after the other.
const SETTINGS: [Setting; 12] = [
    setting("always", "tcp", "put", 1, 1, 100),
    setting("always", "tcp", "put", 64, 1, 100),
    setting("always", "tcp", "put", 16, 64, 100),
    setting("always", "tcp", "put", 16, 16, 10_000),
    setting("always", "tcp", "get", 1, 1, 100),
    setting("always", "tcp", "get", 64, 1, 100),
    setting("always", "tcp", "get", 16, 64, 100),
    setting("always", "tcp", "mixed", 16, 64, 100),
    setting("always", "ws", "get", 16, 64, 100),
    setting("always", "ws", "put", 16, 64, 100),
    setting("interval", "tcp", "put", 16, 64, 100),
    setting("none", "tcp", "put", 16, 64, 100),
];

/// What one run gave.
struct Figures {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// Builds, measures each setting for `seconds`, prints; `write` keeps the table in the docs.
pub(crate) fn run(workspace: &Workspace, seconds: u32, write: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    process::loud(cargo.current_dir(workspace.root()))?;

    let mut table = String::from(
        "| durability | over | operation | connections × in flight | value | operations/s | p50 | \
         p99 | p99.9 |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    print!("{table}");
    let mut server = None;
    for (number, setting) in SETTINGS.iter().enumerate() {
        let fresh = number == 0 || SETTINGS[number - 1].durability != setting.durability;
        if fresh {
            // The previous one goes first: two would share the disk.
            drop(server.take());
            server = Some(start(workspace, setting.durability)?);
        }
        let address = server.as_ref().map_or("", |server| server.address.as_str());
        let row = row(setting, &measure(workspace, address, setting, seconds)?);
        print!("{row}");
        table.push_str(&row);
    }
    if write {
        keep(&workspace.path(PAGE), &format!("{}\n\n{table}", machine(seconds)))?;
        println!("\nkept in {PAGE}");
    }
    Ok(())
}

/// The data lies below the target directory: temporary folders are often no disk at all.
fn start(workspace: &Workspace, durability: &str) -> Result<RunningServer> {
    let parent = workspace.scratch("bench");
    fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let program = workspace.program("tidekeep-server");
    RunningServer::start(&program, &parent, &["--durability", durability])
}

fn measure(
    workspace: &Workspace,
    address: &str,
    setting: &Setting,
    seconds: u32,
) -> Result<Figures> {
    let mut command = Command::new(workspace.program("tidekeep"));
    command.args(["--server", address, "bench", "--output", "json"]);
    command.args(["--op", setting.operation, "--transport", setting.transport]);
    for (flag, value) in [
        ("--connections", setting.connections),
        ("--pipeline", setting.pipeline),
        ("--value-bytes", setting.value_bytes),
        ("--keys", KEYS),
        ("--seconds", seconds),
    ] {
        command.arg(flag).arg(value.to_string());
    }
    let line = process::shown(&command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed\n{}", String::from_utf8_lossy(&output.stderr));
    }
    figures(&output.stdout).with_context(|| format!("`{line}` printed something unexpected"))
}

fn figures(json: &[u8]) -> Result<Figures> {
    let value: Value = serde_json::from_slice(json)?;
    let number = |pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_f64);
        found.with_context(|| format!("it has no number at {pointer}"))
    };
    let errors = number("/errors")?;
    if errors > 0.0 {
        bail!("{errors} of the operations failed");
    }
    Ok(Figures {
        per_second: number("/ops_per_second")?,
        p50_us: number("/latency_us/p50")?,
        p99_us: number("/latency_us/p99")?,
        p999_us: number("/latency_us/p99_9")?,
    })
}

fn row(setting: &Setting, figures: &Figures) -> String {
    let Setting { durability, transport, operation, connections, pipeline, value_bytes } = setting;
    format!(
        "| {durability} | {transport} | {operation} | {connections} × {pipeline} | {value_bytes} B \
         | {:.0} | {} | {} | {} |\n",
        figures.per_second,
        time(figures.p50_us),
        time(figures.p99_us),
        time(figures.p999_us),
    )
}

fn time(micros: f64) -> String {
    if micros < 1_000.0 {
        format!("{micros:.0} µs")
    } else {
        format!("{:.1} ms", micros / 1_000.0)
    }
}

/// One sentence on where the numbers come from.
fn machine(seconds: u32) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(": ").map(|(_, model)| model.to_owned())
    });
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!(
        "Measured by `cargo xtask bench` with {cores} cores ({model}), server and load on the same \
         machine over loopback, {seconds} s for each row, {KEYS} keys."
    )
}

/// Puts `text` between the page's markers; a page without them gets them at its end.
fn keep(page: &Path, text: &str) -> Result<()> {
    let old = match fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Benchmarks\n".to_owned(),
        Err(error) => return Err(error).context("cannot read the page of benchmarks"),
    };
    if let Some(folder) = page.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(page, replaced(&old, text)?).context("cannot write the page of benchmarks")
}

fn replaced(page: &str, text: &str) -> Result<String> {
    let Some((before, rest)) = page.split_once(START) else {
        return Ok(format!("{}\n\n{START}\n{text}{END}\n", page.trim_end()));
    };
    let Some((_, after)) = rest.split_once(END) else {
        bail!("{PAGE} has `{START}` without `{END}`");
    };
    Ok(format!("{before}{START}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_what_lies_between_the_markers() {
        let page = replaced("# Benchmarks\n", "old\n").unwrap();
        let page = replaced(&format!("{page}\nBy hand.\n"), "new\n").unwrap();
        assert_eq!(page, format!("# Benchmarks\n\n{START}\nnew\n{END}\n\nBy hand.\n"));
        assert!(replaced(START, "x").is_err());
    }

    #[test]
    fn a_run_with_errors_gives_no_figures() {
        let json = |errors: u32| {
            format!(
                r#"{{"ops_per_second":1.5,"latency_us":{{"p50":1,"p99":2,"p99_9":3}},"errors":{errors}}}"#
            )
        };
        assert!(figures(json(0).as_bytes()).is_ok());
        assert!(figures(json(1).as_bytes()).is_err());
        assert!(figures(b"{}").is_err());
    }
}
