//! A run of the load generator beside what the bench looks at meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::bench::load::{self, Found};

/// A load that runs beside what this process looks at.
pub(super) struct Background {
    child: Child,
    /// Its line is longer than a pipe holds, and nobody reads while it runs.
    line: PathBuf,
}

impl Background {
    /// Starts the generator, whose line goes into a file of this folder.
    pub(super) fn start(mut generator: Command, folder: &Path) -> Result<Self> {
        let line = folder.join("bench.load");
        let child = generator.stdout(fs::File::create(&line)?).spawn()?;
        Ok(Self { child, line })
    }

    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    pub(super) fn found(mut self) -> Result<Found> {
        self.child.wait()?;
        load::found(&fs::read(&self.line)?)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended, unless what looked at it failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
