//! `cargo xtask test`: every check of the repository in order, one line and its time each.
//! A failed step does not stop the others; the last line adds up what passed and what failed.

mod ahead;
mod coverage;
mod fuzz;
mod no_std;
mod planted;
mod runner;
mod suites;
mod tally;
mod threads;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::process;
use crate::setup::{self, Need, Talk, TestTools, Tools};
use crate::test::runner::{TestBinaries, Tests};
use crate::test::suites::SUITES;
use crate::test::tally::Tally;
use crate::tidy;
use crate::web::{self, Flavour, Size};
use crate::workspace::Workspace;

const BUILD_LIMIT: Duration = Duration::from_secs(1_200);
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// How much of the suites that have a size is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// As much as fits between two changes.
    Everyday,
    /// As much as a release is held to.
    Long,
}

impl Length {
    /// How long a step's tests may take.
    fn limit(self) -> Duration {
        match self {
            Self::Everyday => Duration::from_secs(1_200),
            Self::Long => Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// One line of the run.
struct Step {
    name: &'static str,
    what: &'static str,
    /// Whether it works with what cargo alone brings along.
    bare: bool,
    run: fn(&Run<'_>) -> Result<Tally>,
}

const STEPS: [Step; 17] = [
    Step { name: "fmt", what: "rustfmt leaves nothing to change", bare: true, run: fmt },
    Step { name: "tidy", what: "house rules that no compiler checks", bare: true, run: tidy_up },
    Step {
        name: "deny",
        what: "licences, bans and sources of dependencies",
        bare: false,
        run: deny,
    },
    // Before whatever builds the server, which has the page in it: without, it would be built again with it.
    Step {
        name: "web",
        what: "wasm, package and page build within the size",
        bare: false,
        run: web,
    },
    Step { name: "build", what: "server with the page, CLI and bench", bare: true, run: build },
    // These wait more than they work: what the steps after them compile is compiled beside them.
    Step { name: "npm", what: "the npm package's own tests", bare: false, run: npm },
    Step { name: "browser", what: "the page in a real browser", bare: false, run: browser },
    Step { name: "unit", what: "unit and integration tests of all crates", bare: false, run: unit },
    Step { name: "e2e", what: "real servers, killed and cut off", bare: false, run: end_to_end },
    Step {
        name: "planted",
        what: "bugs planted on purpose, each noticed by the tests",
        bare: false,
        run: planted::run,
    },
    Step {
        name: "bench",
        what: "the bench itself, on small stores and without its peers",
        bare: true,
        run: try_bench,
    },
    Step {
        name: "no_std",
        what: "dry crates build where there is no std",
        bare: false,
        run: no_std,
    },
    Step {
        name: "threads",
        what: "every order in which the log's threads can meet",
        bare: true,
        run: threads::run,
    },
    Step {
        name: "fuzz",
        what: "everything that reads bytes from outside",
        bare: false,
        run: fuzz::run,
    },
    Step { name: "clippy", what: "no warning in any crate or test", bare: true, run: clippy },
    Step {
        name: "doc",
        what: "examples in the documentation, and its links",
        bare: true,
        run: doc,
    },
    Step {
        name: "coverage",
        what: "lines of protocol, store and client-core that tests run",
        bare: true,
        run: coverage::run,
    },
];

/// Steps that are left out unless the run is long, or they are named.
const LONG_ONLY: [&str; 1] = ["coverage"];

/// Prints the steps' names, and the sizes of what they run.
pub(crate) fn list() {
    for step in &STEPS {
        println!("{:<8} {}", step.name, step.what);
    }
    println!("\n{:<40} {:<28} {:>9} {:>9}", "size of a suite", "variable", "everyday", "--long");
    for suite in &SUITES {
        let (everyday, long) = (suite.size(Length::Everyday), suite.size(Length::Long));
        println!("{:<40} {:<28} {everyday:>9} {long:>9}", suite.name, suite.variable);
    }
}

/// Runs the steps named in `only`, or all of them; says whether all of them held.
pub(crate) fn run(workspace: &Workspace, only: &[String], length: Length) -> Result<bool> {
    for name in only {
        if !STEPS.iter().any(|step| step.name == name) {
            bail!("there is no step `{name}`; `cargo xtask test --list` names them");
        }
    }
    let wanted = |step: &&Step| match only {
        [] => length == Length::Long || !LONG_ONLY.contains(&step.name),
        names => names.iter().any(|name| name == step.name),
    };
    let steps: Vec<&Step> = STEPS.iter().filter(wanted).collect();
    let tools = if steps.iter().all(|step| step.bare) {
        None
    } else {
        Some(setup::run(workspace, Need::Tests, Talk::Actions)?)
    };
    let run = Run { workspace, tools, length, test_binaries: OnceLock::new() };

    let start = Instant::now();
    let mut total = Tally::default();
    let mut failed = Vec::new();
    let mut failed_tests = Vec::new();
    let mut ahead = None;
    for (place, step) in steps.iter().enumerate() {
        if ahead.is_none() {
            ahead = ahead::start(&run, step, &steps[place + 1..])?;
        }
        ahead::wanted(ahead.as_ref(), step);
        let tally = run.step(step);
        if tally.failed > 0 {
            failed.push(step.name);
            failed_tests.extend(run.failed_tests(step.name));
        }
        total += tally;
    }
    drop(ahead);
    println!("test: everything took {}", web::seconds(start));
    if !failed.is_empty() {
        println!("test: failed: {}", failed.join(", "));
        // Whoever sees only the end of a long output still learns what to run again.
        for test in failed_tests {
            println!("test: failed: {test}");
        }
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(failed.is_empty())
}

/// What the steps share.
struct Run<'a> {
    workspace: &'a Workspace,
    tools: Option<Tools>,
    length: Length,
    test_binaries: OnceLock<TestBinaries>,
}

impl Run<'_> {
    fn step(&self, step: &Step) -> Tally {
        println!("test: {:<8} {}", step.name, step.what);
        // Or the counts of an earlier run would be taken for this one's.
        drop(fs::remove_file(self.log(step.name)));
        let start = Instant::now();
        match (step.run)(self) {
            Ok(tally) => {
                println!("test: {:<8} {tally}, {}", step.name, web::seconds(start));
                tally
            }
            Err(error) => {
                println!("{error:#}");
                let tally = self.log_tally(step.name).after_failure();
                println!("test: {:<8} FAILED: {tally}, {}", step.name, web::seconds(start));
                tally
            }
        }
    }

    fn log(&self, step: &str) -> PathBuf {
        self.workspace.scratch(&format!("log/test-{step}.log"))
    }

    /// What the test runners of a step have counted; nothing when it has no log.
    fn log_tally(&self, step: &str) -> Tally {
        fs::read(self.log(step))
            .map(|bytes| tally::read(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default()
    }

    /// The tests that failed in a step, by the names their runners gave.
    fn failed_tests(&self, step: &str) -> Vec<String> {
        let output = fs::read(self.log(step)).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        tally::failed_tests(&output).into_iter().map(str::to_owned).collect()
    }

    /// Runs a command for a step, its output in the step's log.
    fn quiet(&self, step: &str, command: &mut Command, limit: Duration) -> Result<()> {
        let log = self.log(step);
        process::quiet(command.current_dir(self.workspace.root()), &log, limit)
            .with_context(|| format!("the whole output is in {}", log.display()))
    }

    /// Runs a command that counts tests; at least one must have run.
    fn counted(&self, step: &str, command: &mut Command) -> Result<Tally> {
        suites::tell(command, self.length);
        let outcome = self.quiet(step, command, self.length.limit());
        // What a suite has found out is worth as much when another one has failed.
        let output = fs::read(self.log(step)).unwrap_or_default();
        for line in suites::summaries(&String::from_utf8_lossy(&output)) {
            println!("{line}");
        }
        outcome?;
        let tally = self.log_tally(step);
        if tally.passed == 0 {
            bail!("no test ran; the output is in {}", self.log(step).display());
        }
        Ok(tally)
    }

    fn tools(&self) -> Result<&Tools> {
        self.tools.as_ref().context("a step that is declared `bare` asks for tools")
    }

    fn test_tools(&self) -> Result<&TestTools> {
        self.tools()?.tests.as_ref().context("setup has left out the tools for tests")
    }

    /// Tells tests where the programs are that they start, after a look that these are fresh.
    fn with_programs(&self, command: &mut Command) -> Result<()> {
        build(self)?;
        command
            .env("TIDEKEEP_BIN_DIR", self.workspace.target().join("release"))
            .env("TIDEKEEP_SERVER_BIN", self.workspace.program("tidekeep-server"))
            .env("TIDEKEEP_BIN", self.workspace.program("tidekeep"))
            .env("CHROMIUM", &self.test_tools()?.chromium);
        Ok(())
    }

    /// Runs the npm script `test` of a folder.
    fn npm_tests(&self, step: &str, folder: &str) -> Result<Tally> {
        let mut npm = self.tools()?.node.command("npm");
        npm.args(["test", "--prefix"]).arg(self.workspace.path(folder));
        self.with_programs(&mut npm)?;
        self.counted(step, &mut npm)
    }
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args);
    command
}

fn fmt(run: &Run<'_>) -> Result<Tally> {
    let mut cargo = cargo(&["fmt", "--all", "--check", "--", "--color=never"]);
    run.quiet("fmt", &mut cargo, BUILD_LIMIT)?;
    // A workspace of its own.
    let mut fuzz = self::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check", "--"]);
    run.quiet("fmt", fuzz.arg("--color=never"), BUILD_LIMIT)?;
    Ok(Tally::one())
}

fn tidy_up(run: &Run<'_>) -> Result<Tally> {
    tidy::run(run.workspace)?;
    Ok(Tally::one())
}

fn clippy(run: &Run<'_>) -> Result<Tally> {
    run.quiet("clippy", &mut linting(), BUILD_LIMIT)?;
    Ok(Tally::one())
}

fn linting() -> Command {
    let mut cargo = cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

fn deny(run: &Run<'_>) -> Result<Tally> {
    if !run.test_tools()?.deny {
        println!("test: deny     skipped, as cargo-deny is not installed");
        return Ok(Tally::default());
    }
    run.quiet("deny", &mut cargo(&["deny", "check", "licenses", "bans", "sources"]), BUILD_LIMIT)?;
    if run.quiet("deny-db", &mut cargo(&["deny", "fetch", "db"]), FETCH_LIMIT).is_err() {
        println!("test: deny     advisories stay unchecked: their database cannot be reached");
        return Ok(Tally::one());
    }
    let mut advisories = cargo(&["deny", "check", "--disable-fetch", "advisories"]);
    run.quiet("deny", &mut advisories, BUILD_LIMIT)?;
    Ok(Tally { passed: 2, failed: 0 })
}

fn unit(run: &Run<'_>) -> Result<Tally> {
    let mut tests = run.cargo_tests(Tests::OfCrates)?;
    // Tests that start programs find those that were built with them. Untold, the first one builds both again.
    tests.env("TIDEKEEP_BIN_DIR", run.workspace.target().join("debug"));
    run.counted("unit", &mut tests)
}

fn doc(run: &Run<'_>) -> Result<Tally> {
    run.quiet("doc", &mut linking(), BUILD_LIMIT)?;
    let mut examples = cargo(&["test", "--workspace", "--doc", "--exclude", "xtask"]);
    run.quiet("doc", examples.arg("--all-features"), BUILD_LIMIT)?;
    Ok(run.log_tally("doc") + Tally::one())
}

/// The documentation, whose links are looked at as it is made.
fn linking() -> Command {
    let mut links = cargo(&["doc", "--workspace", "--no-deps", "--exclude", "xtask"]);
    links.env("RUSTDOCFLAGS", "-D warnings");
    links
}

fn no_std(run: &Run<'_>) -> Result<Tally> {
    no_std::check(run.workspace, &run.test_tools()?.bare)
}

fn web(run: &Run<'_>) -> Result<Tally> {
    web::run(run.workspace, run.tools()?, Flavour::Release, Size::Checked)?;
    Ok(Tally::one())
}

fn build(run: &Run<'_>) -> Result<Tally> {
    let mut cargo = cargo(&["build", "--release"]);
    cargo.args(["--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    // For the step `bench`: built apart, crates that it needs more features of would be built twice.
    cargo.args(["--package", "tidekeep-bench"]);
    run.quiet("build", &mut cargo, BUILD_LIMIT)?;
    Ok(Tally::one())
}

fn npm(run: &Run<'_>) -> Result<Tally> {
    run.npm_tests("npm", "client-web")
}

fn end_to_end(run: &Run<'_>) -> Result<Tally> {
    let mut cargo = run.cargo_tests(Tests::EndToEnd)?;
    run.with_programs(&mut cargo)?;
    run.counted("e2e", &mut cargo)
}

fn try_bench(run: &Run<'_>) -> Result<Tally> {
    let scenes = bench::smoke(run.workspace)?;
    Ok(Tally { passed: scenes as u64, failed: 0 })
}

fn browser(run: &Run<'_>) -> Result<Tally> {
    run.npm_tests("browser", "www")
}
