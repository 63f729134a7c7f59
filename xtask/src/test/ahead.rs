//! What later steps compile is compiled at the lowest priority beside the tests of earlier ones, which mostly
//! wait: of servers, of browsers, of deadlines.

use std::process::Command;

use anyhow::Result;

use crate::process::{self, Beside, Task};
use crate::test::{Run, Step, fuzz, linking, linting, no_std, runner, threads};

/// Steps beside which there is something to gain. One that only compiles has moments with one thing left to do.
const LEAVE_ROOM: [&str; 4] = ["build", "npm", "browser", "e2e"];

/// Begins to compile for the steps that come `after` the one that is next, if that leaves room. They then wait
/// for cargo's lock, and find everything compiled; what fails here fails there, and is told there.
pub(super) fn start(run: &Run<'_>, next: &Step, after: &[&Step]) -> Result<Option<Beside>> {
    if !LEAVE_ROOM.contains(&next.name) {
        return Ok(None);
    }
    // Or that step would wait for what is compiled beside it.
    let own_first = next.name == "e2e" && run.test_binaries.get().is_none();
    let mut tasks = Vec::new();
    for step in after.iter().filter(|step| !own_first || folder(step) != DEBUG) {
        for mut command in compiling(run, step)? {
            command.current_dir(run.workspace.root());
            let log = run.log(&format!("{}-ahead", step.name));
            tasks.push(Task { command, log, makes: folder(step) });
        }
    }
    Ok((!tasks.is_empty()).then(|| process::beside(tasks)))
}

/// A step begins that waits for what is compiled in the same folder.
pub(super) fn wanted(ahead: Option<&Beside>, step: &Step) {
    if let Some(ahead) = ahead {
        ahead.hurry(folder(step));
    }
}

const DEBUG: &str = "debug";

/// Where a step compiles, which cargo lets one command do at a time. Steps that come after `unit` and run the
/// same tests compile nothing.
fn folder(step: &Step) -> &'static str {
    if matches!(step.name, "unit" | "clippy" | "doc") { DEBUG } else { step.name }
}

/// What a step compiles, if it is much.
fn compiling(run: &Run<'_>, step: &Step) -> Result<Vec<Command>> {
    Ok(match step.name {
        "unit" if run.test_tools()?.nextest => vec![runner::compiling()],
        "clippy" => vec![linting()],
        // What its examples need has been compiled for the tests.
        "doc" => vec![linking()],
        "no_std" => no_std::compiling(run.workspace, &run.test_tools()?.bare),
        "threads" => {
            let mut tests = threads::testing(run.workspace);
            tests.arg("--no-run");
            vec![tests]
        }
        "fuzz" => vec![fuzz::compiling(run.workspace, &fuzz::host()?)],
        _ => Vec::new(),
    })
}
