//! The real server as a process of its own, on a directory and a port that outlive it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::{binaries, eventually, port};

const EXIT_LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills the process.
pub struct ServerProcess {
    child: Child,
    address: String,
    _stdout: BufReader<ChildStdout>,
}

impl ServerProcess {
    /// Starts a server on `data` with a free port and waits until it serves.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_on(port::free(), data, arguments)
    }

    /// The same on a disk of which each sync takes this much longer.
    pub fn start_with_slow_syncs(data: &Path, arguments: &[&str], delay: Duration) -> Self {
        let server = Self::command(data, &format!("127.0.0.1:{}", port::free()), arguments);
        Self::spawn(with_slow_syncs(&server, delay))
    }

    /// Starts a server on `data` and this port, and waits until it serves.
    pub fn start_on(port: u16, data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(Self::command(data, &format!("127.0.0.1:{port}"), arguments))
    }

    /// Starts a server by a command that is [`ServerProcess::command`] or runs it, and waits until it
    /// serves.
    pub fn spawn(command: Command) -> Self {
        let mut this = Self::begin(command, "");
        let Self { child, _stdout: stdout, .. } = &mut this;
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the server's output can be read");
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            let status = child.wait();
            panic!("the server said {line:?} instead of where it listens and ended: {status:?}");
        };
        address.clone_into(&mut this.address);
        this
    }

    /// Starts a server that will serve at `address`, and waits for nothing: it may need others first.
    pub fn begin(mut command: Command, address: &str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the server's program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, address: address.to_owned(), _stdout: stdout }
    }

    /// Runs a server that is expected to give up; its exit status and what it said.
    pub fn refuse(data: &Path, port: u16, arguments: &[&str]) -> (ExitStatus, String) {
        let mut child = Self::command(data, &format!("127.0.0.1:{port}"), arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's program starts");
        let status = wait(&mut child);
        let mut said = String::new();
        child.stderr.take().expect("stderr is piped").read_to_string(&mut said).expect("text");
        (status, said)
    }

    /// The server, to be started on `data` and listening at this `HOST:PORT`.
    pub fn command(data: &Path, listen: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::server());
        command.args(["--listen", listen, "--data"]).arg(data).args(arguments);
        for variable in ["KV_HOST", "KV_PORT", "KV_VERBOSE"] {
            command.env_remove(variable);
        }
        command
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The port alone.
    pub fn port(&self) -> u16 {
        let (_, port) = self.address.rsplit_once(':').expect("an address has a port");
        port.parse().expect("a port is a number")
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`: the process is gone when this returns.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("a killed process ends");
    }

    /// Sends `SIGTERM` and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        wait(&mut self.child)
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "signal {name} could not be sent");
    }

    /// Waits for a process that ends by itself.
    pub fn exit(mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The same program on a disk of which each sync takes this much longer.
pub(crate) fn with_slow_syncs(server: &Command, delay: Duration) -> Command {
    let mut traced = Command::new("strace");
    // Traced from aside, so that the server's process is the child; nothing but its syncs is stopped.
    traced.args(["-D", "-f", "--seccomp-bpf", "-q", "-q", "-o", "/dev/null", "-e", "signal=none"]);
    traced.args(["-e", "trace=fdatasync,fsync"]);
    traced.args(["-e", &format!("inject=fdatasync,fsync:delay_enter={}", delay.as_micros())]);
    traced.arg(server.get_program()).args(server.get_args());
    for (variable, value) in server.get_envs() {
        match value {
            Some(value) => traced.env(variable, value),
            None => traced.env_remove(variable),
        };
    }
    traced
}

fn wait(child: &mut Child) -> ExitStatus {
    eventually("the process's end", EXIT_LIMIT, || child.try_wait().expect("the child is ours"))
}
