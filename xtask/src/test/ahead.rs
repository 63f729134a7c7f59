//! What later steps compile in folders of their own goes on at the lowest priority beside the tests of
//! earlier ones, which mostly wait: of servers, of browsers, of deadlines.

use anyhow::Result;

use crate::process::{self, Beside};
use crate::test::{Run, Step, fuzz, threads};

/// Steps that leave the processor idle most of the time.
const WAITING: [&str; 3] = ["npm", "e2e", "browser"];

/// Begins to compile for the steps that are `left`, if the one that is next mostly waits. The steps then wait
/// for cargo's lock, and find everything compiled; what fails here fails there, and is told there.
pub(super) fn start(run: &Run<'_>, next: &Step, left: &[&Step]) -> Result<Vec<Beside>> {
    let mut begun = Vec::new();
    if !WAITING.contains(&next.name) {
        return Ok(begun);
    }
    for step in left {
        let mut command = match step.name {
            "fuzz" => fuzz::compiling(run.workspace, &fuzz::host()?),
            "threads" => {
                let mut tests = threads::testing(run.workspace);
                tests.arg("--no-run");
                tests
            }
            _ => continue,
        };
        command.current_dir(run.workspace.root());
        begun.push(process::beside(&command, &run.log(&format!("{}-ahead", step.name)))?);
    }
    Ok(begun)
}
