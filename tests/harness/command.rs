//! The `tidekeep` command as a person or a script runs it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::binaries;

/// What a finished command left behind.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: String,
}

impl Run {
    /// What it printed, as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("this output is text")
    }
}

/// Runs `tidekeep` against the server at `address`, with `input` on its standard input.
pub fn tidekeep(address: &str, arguments: &[&str], input: &[u8]) -> Run {
    let mut child = command(address)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command line's program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // A command that does not read its input must not block the test.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the command ends");
    writer.join().expect("the writer ends with the pipe");
    Run {
        code: output.status.code().expect("the command was not killed"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `tidekeep` set to the server at `address`, ready to be given arguments.
pub fn command(address: &str) -> Command {
    let mut command = Command::new(binaries::tidekeep());
    command.env("TIDEKEEP_SERVER", address);
    for variable in ["KV_HOST", "KV_PORT", "KV_VERBOSE"] {
        command.env_remove(variable);
    }
    command
}
