//! What a run needs beside Tidekeep: Debian's Redis, and the tools that pin processes to cores.

use anyhow::{Result, bail};

use crate::bench::plan::Plan;
use crate::setup;
use crate::workspace::Workspace;

/// Installs what is missing.
pub(super) fn prepare(workspace: &Workspace, plan: &Plan<'_>) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the bench reads /proc and pins processes to cores: it runs on Linux only");
    }
    if plan.with_peers() { setup::redis(workspace) } else { Ok(()) }
}
