//! Runs the workspace's tests by nextest, or by `cargo test` where that is not installed. For nextest all test
//! binaries are compiled at once: every step that runs some of them then runs what is there, without a look
//! of cargo's at every crate, which would also wait for whatever cargo compiles beside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::test::{BUILD_LIMIT, Length, Run, cargo};

/// The package whose tests start real servers and browsers.
const END_TO_END: &str = "tidekeep-tests";

/// What cargo is told to build wherever tests run.
const EVERY_TEST: [&str; 2] = ["--workspace", "--all-features"];

/// Which tests of the workspace.
#[derive(Clone, Copy)]
pub(super) enum Tests {
    OfCrates,
    EndToEnd,
}

impl Tests {
    /// As nextest names them.
    fn filterset(self) -> String {
        match self {
            Self::OfCrates => format!("not package({END_TO_END})"),
            Self::EndToEnd => format!("package({END_TO_END})"),
        }
    }
}

/// Where nextest finds what has been compiled.
pub(super) struct TestBinaries {
    /// What cargo says of the workspace.
    metadata: PathBuf,
    /// What cargo said of the binaries as it made them.
    binaries: PathBuf,
}

impl Run<'_> {
    /// Those tests that start whole products, or all others.
    pub(super) fn cargo_tests(&self, of: Tests) -> Result<Command> {
        if self.test_tools()?.nextest {
            let mut nextest = self.nextest()?;
            nextest.args(["--no-fail-fast", "--status-level=fail", "--failure-output=final"]);
            // In the log, suites say what they have done.
            nextest.arg("--success-output=final");
            if self.length == Length::Long {
                nextest.arg("--profile=long");
            }
            nextest.args(["--filterset", &of.filterset()]);
            return Ok(nextest);
        }
        let mut cargo = cargo(&["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        match of {
            Tests::OfCrates => cargo.args(EVERY_TEST).args(["--exclude", END_TO_END]),
            Tests::EndToEnd => cargo.args(["--package", END_TO_END]),
        };
        Ok(cargo)
    }

    /// `nextest run` of the compiled tests, which are compiled the first time.
    pub(super) fn nextest(&self) -> Result<Command> {
        let compiled = match self.test_binaries.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = self.compile_tests()?;
                self.test_binaries.get_or_init(|| compiled)
            }
        };
        let mut nextest = cargo(&["nextest", "run"]);
        nextest.arg("--cargo-metadata").arg(&compiled.metadata);
        nextest.arg("--binaries-metadata").arg(&compiled.binaries);
        Ok(nextest)
    }

    fn compile_tests(&self) -> Result<TestBinaries> {
        let file = |name| self.workspace.scratch(&format!("tests/{name}.json"));
        let compiled = TestBinaries { metadata: file("metadata"), binaries: file("binaries") };
        let mut metadata = cargo(&["metadata", "--format-version=1", "--all-features"]);
        self.tell_into(&compiled.metadata, &mut metadata)?;
        self.tell_into(&compiled.binaries, &mut compiling())?;
        Ok(compiled)
    }

    fn tell_into(&self, file: &Path, command: &mut Command) -> Result<()> {
        let log = self.log("compiling");
        process::quiet_into(command.current_dir(self.workspace.root()), file, &log, BUILD_LIMIT)
            .with_context(|| format!("the whole output is in {}", log.display()))
    }
}

/// The command that compiles all tests, and says where they are.
pub(super) fn compiling() -> Command {
    let mut cargo = cargo(&["nextest", "list", "--list-type=binaries-only"]);
    cargo.args(["--message-format=json"]).args(EVERY_TEST);
    cargo
}
