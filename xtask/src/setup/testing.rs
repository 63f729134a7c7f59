//! What only the tests need: a browser, a target without std, a C++ compiler and cargo tools. A step whose
//! tool could not be installed fails, but for `deny`, and says what to type.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process;
use crate::setup::apt::{self, Apt};
use crate::setup::rust::{self, CrossRust};
use crate::setup::{Teller, on_path};
use crate::workspace::Workspace;

const CHROMIUM: &str = "/usr/bin/chromium";
/// The one whose settings deny.toml is written in.
const DENY_VERSION: &str = "~0.20";
const DENY_LIMIT: Duration = Duration::from_secs(600);
/// One whose filters, profiles and closing lines are known here.
const NEXTEST_VERSION: &str = "~0.9";
const NEXTEST_LIMIT: Duration = Duration::from_secs(1_200);
/// One that reads the profiles of the LLVM in today's Rust.
const TARPAULIN_VERSION: &str = "~0.37";
const TARPAULIN_LIMIT: Duration = Duration::from_secs(1_200);

/// The tools of `cargo xtask test`.
pub(crate) struct TestTools {
    pub(crate) bare: CrossRust,
    pub(crate) chromium: PathBuf,
    /// Without it the tests run by `cargo test`, one binary after the other, and no bug can be planted.
    pub(crate) nextest: bool,
    /// Without it licences and advisories are not checked.
    pub(crate) deny: bool,
    /// Without a C++ compiler nothing is fuzzed.
    pub(crate) cxx: bool,
}

/// Finds or installs everything the tests need.
pub(super) fn prepare(workspace: &Workspace, teller: &Teller) -> Result<TestTools> {
    package_lists(workspace, teller)?;
    let bare = rust::bare(workspace, teller)?;
    programs(workspace, teller)?;
    let chromium = chromium(workspace, teller)?;
    let nextest = nextest(workspace, teller);
    let deny = deny(workspace, teller);
    let cxx = cxx(workspace, teller);
    Ok(TestTools { bare, chromium, nextest, deny, cxx })
}

/// The package index is real data that the tests import; a fresh machine may have none.
fn package_lists(workspace: &Workspace, teller: &Teller) -> Result<()> {
    if apt::has_lists() {
        return Ok(());
    }
    let apt = Apt::open(workspace, &[])?;
    teller.doing("apt", "fetching Debian's package lists, which the tests import as real data");
    apt.update()
}

/// Programs of Debian's that the tests run, each with its package and what it is for.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("python3", "python3", "to test a client in another language"),
    ("strace", "strace", "to test a server on a slow disk"),
    ("faketime", "faketime", "to test nodes whose clocks are set"),
    ("ip", "iproute2", "to test nodes on networks of their own"),
    ("nft", "nftables", "to test nodes between which ways are cut"),
];

fn programs(workspace: &Workspace, teller: &Teller) -> Result<()> {
    for (program, package, purpose) in PROGRAMS {
        if let Some(path) = on_path(program) {
            teller.found(program, &path.display().to_string());
            continue;
        }
        let apt = Apt::open(workspace, &[package])?;
        teller.doing(program, &format!("installing Debian's {package}, {purpose}"));
        apt.install(&[package])?;
    }
    Ok(())
}

fn chromium(workspace: &Workspace, teller: &Teller) -> Result<PathBuf> {
    let installed = Path::new(CHROMIUM);
    if let Some(path) =
        installed.is_file().then(|| installed.into()).or_else(|| on_path("chromium"))
    {
        teller.found("chromium", &path.display().to_string());
        return Ok(path);
    }
    let packages = ["chromium", "fonts-dejavu-core"];
    let apt = Apt::open(workspace, &packages)?;
    teller.doing("chromium", "installing Debian's chromium, to test the page in a real browser");
    apt.install(&packages)?;
    Ok(installed.to_path_buf())
}

/// Runs the tests, and alone those that are to notice a planted bug.
fn nextest(workspace: &Workspace, teller: &Teller) -> bool {
    let absent = "absent; tests run by `cargo test`, and the step `planted` fails";
    installed(workspace, teller, "nextest", NEXTEST_VERSION, NEXTEST_LIMIT, absent)
}

/// Two to four minutes the first time; the tests go on without it when it does not compile.
fn deny(workspace: &Workspace, teller: &Teller) -> bool {
    let absent = "absent; licences and advisories stay unchecked";
    installed(workspace, teller, "deny", DENY_VERSION, DENY_LIMIT, absent)
}

/// Counts the lines that tests run; wanted by long runs only, so it is not in [`TestTools`].
pub(super) fn tarpaulin(workspace: &Workspace, teller: &Teller) -> bool {
    let absent = "absent; covered lines are not counted";
    installed(workspace, teller, "tarpaulin", TARPAULIN_VERSION, TARPAULIN_LIMIT, absent)
}

/// Installs a tool of cargo's unless it is there; whether it is now.
fn installed(
    workspace: &Workspace,
    teller: &Teller,
    name: &str,
    version: &str,
    limit: Duration,
    absent: &str,
) -> bool {
    let program = format!("cargo-{name}");
    if process::probe(&program, &[name, "--version"]).is_none() {
        teller.doing(name, &format!("installing {program} by cargo (takes minutes, once)"));
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", &program, "--version", version]);
        let log = workspace.scratch(&format!("log/{name}.log"));
        if let Err(error) = process::quiet(&mut cargo, &log, limit) {
            teller.doing(name, &format!("going on without it: {error:#}"));
        }
    }
    cargo_tool(teller, name, absent)
}

/// libFuzzer is C++, compiled with whatever compiler there is.
fn cxx(workspace: &Workspace, teller: &Teller) -> bool {
    if on_path("c++").is_none() {
        match Apt::open(workspace, &["g++"]) {
            Ok(apt) => {
                teller.doing("c++", "installing Debian's g++, to build the fuzzer with");
                if let Err(error) = apt.install(&["g++"]) {
                    teller.doing("c++", &format!("going on without it: {error:#}"));
                }
            }
            Err(error) => teller.doing("c++", &format!("going on without it: {error:#}")),
        }
    }
    let found = on_path("c++");
    let path = found.as_ref().map(|path| path.display().to_string());
    teller.found("c++", path.as_deref().unwrap_or("absent; the step `fuzz` fails"));
    found.is_some()
}

fn cargo_tool(teller: &Teller, name: &str, absent: &str) -> bool {
    let program = format!("cargo-{name}");
    let version = process::probe(&program, &[name, "--version"]);
    let first = version.as_deref().and_then(|text| text.lines().next());
    teller.found(name, first.unwrap_or(absent));
    first.is_some()
}
