//! A real server as a child process on a free loopback port with a data directory of its own.
//! `dist` asks it for the page; it ends with its owner.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

const ANNOUNCEMENT: &str = "listening on http://";
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server that serves.
pub(crate) struct RunningServer {
    child: Child,
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Deleted when the server is gone; fields are dropped in the order in which they stand here.
    _data: TempDir,
}

impl RunningServer {
    /// Starts the program and waits for the line that says where it listens.
    pub(crate) fn start(program: &Path, data_parent: &Path, args: &[&str]) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("tidekeep-").tempdir_in(data_parent)?;
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        // Owned before the wait, so that a server which never listens is ended as well.
        let mut server = Self { child, address: String::new(), _data: data };
        server.address = announced(stdout, START_LIMIT)?;
        Ok(server)
    }
}

/// The address in the line with which a server says that it serves.
pub(crate) fn announced(stdout: ChildStdout, limit: Duration) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    // Reads on to the end, so that the server never blocks on a full pipe.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
                // Nobody listens any more once the limit has passed.
                drop(sender.send(address.trim().to_owned()));
            }
        }
    });
    match receiver.recv_timeout(limit) {
        Ok(address) => Ok(address),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the server ended before it listened"),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            bail!("the server does not listen after {} s", limit.as_secs())
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to save in its data.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
