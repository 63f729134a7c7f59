//! A server of a test's own, and the program under test run against it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidekeep_tests::{Run, ServerProcess};

/// A running server with an empty store of its own.
pub(crate) struct Store {
    pub(crate) server: ServerProcess,
    folder: TempDir,
}

impl Store {
    /// Starts a server with these options.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let server = ServerProcess::start(&folder.path().join("data"), arguments);
        Self { server, folder }
    }

    /// A folder for the test's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, set to this server.
    pub(crate) fn command(&self) -> Command {
        command(self.server.address())
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        run(self.command().args(arguments), b"")
    }

    /// Runs the program to its end with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Run {
        run(self.command().args(arguments), input)
    }

    /// Runs the program, which must succeed; what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
        run.text().to_owned()
    }

    /// Runs the program, which must succeed with a line of JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// The program under test, set to the server at `address`, without this machine's own settings.
pub(crate) fn command(address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidekeep"));
    command.env("TIDEKEEP_SERVER", address);
    for variable in ["KV_HOST", "KV_PORT", "KV_VERBOSE"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
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

/// Runs a command that needs no server.
pub(crate) fn offline(arguments: &[&str], input: &[u8]) -> Run {
    // Nothing listens there, and nobody without rights can.
    run(command("127.0.0.1:1").args(arguments), input)
}
