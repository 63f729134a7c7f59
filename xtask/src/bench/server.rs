//! A server under measure: Redis, Tidekeep or the bare store, started fresh in a directory of its
//! own below the target directory (temporary folders are often no disk at all), on one core.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::bench::plan::Plan;
use crate::process;
use crate::running;

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);
/// A server whose threads took nothing for so long has nothing left to do.
const QUIET: Duration = Duration::from_millis(150);
const QUIET_LIMIT: Duration = Duration::from_secs(60);

/// Whose program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Redis,
    Tidekeep,
    /// Tidekeep that writes its log even where no reply waits for it: `--durability none`.
    Logging,
    Bare,
}

/// What a reply to a write promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Nothing: Redis without persistence, Tidekeep with `--durability memory`.
    None,
    /// The disk has it: `appendfsync always`, `--durability always`.
    Always,
}

/// Where a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// The servers' one, or the generator's.
    One(usize),
    All,
}

/// A server and its data.
pub(super) struct Server {
    kind: Kind,
    command: Command,
    child: Child,
    /// `HOST:PORT`.
    pub(super) address: String,
    /// Deleted when the server is gone; fields are dropped in the order in which they stand here.
    pub(super) data: TempDir,
    /// What the next run's writes bear.
    generation: u8,
}

/// The flags that a user would give.
pub(super) fn flags(kind: Kind, durability: Durability) -> &'static [&'static str] {
    match (kind, durability) {
        (Kind::Redis, Durability::None) => &["--save", "", "--appendonly", "no"],
        (Kind::Redis, Durability::Always) => {
            &["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        }
        (Kind::Tidekeep, Durability::None) => &["--durability", "memory"],
        (Kind::Logging, _) => &["--durability", "none"],
        (Kind::Tidekeep, Durability::Always) => &["--durability", "always"],
        (Kind::Bare, _) => &[],
    }
}

impl Server {
    /// Starts a server with an empty store and waits until it serves.
    pub(super) fn start(plan: &Plan<'_>, kind: Kind, flags: &[&str], cores: Cores) -> Result<Self> {
        let parent = plan.workspace.target().join("bench/data");
        fs::create_dir_all(&parent)?;
        let data = tempfile::Builder::new().prefix("server-").tempdir_in(&parent)?;
        let program = match kind {
            Kind::Redis => PathBuf::from("redis-server"),
            Kind::Tidekeep | Kind::Logging => plan.program("tidekeep-server"),
            Kind::Bare => plan.program("tidekeep-bare"),
        };
        let mut command = plan.command(cores, &program);
        match kind {
            Kind::Redis => command.args(["--bind", "127.0.0.1", "--dir"]).arg(data.path()),
            Kind::Tidekeep | Kind::Logging => {
                command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path())
            }
            Kind::Bare => &mut command,
        };
        command.args(flags).stdin(Stdio::null());
        let (child, address) = spawn(kind, &mut command, data.path())?;
        let mut server = Self { kind, command, child, address, data, generation: 0 };
        server.wait_until_it_serves()?;
        Ok(server)
    }

    /// Begins the same server again on the data it left; does not wait for it.
    pub(super) fn start_again(&mut self) -> Result<()> {
        (self.child, self.address) = spawn(self.kind, &mut self.command, self.data.path())?;
        Ok(())
    }

    /// Begins it again and waits until it serves.
    pub(super) fn serve_again(&mut self) -> Result<()> {
        self.start_again()?;
        self.wait_until_it_serves()
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.data.path().join("bench.ledger")
    }

    /// What the values of the next run bear.
    pub(super) fn next_generation(&mut self) -> u8 {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.generation
    }

    /// Ends it without a warning, as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it if it runs: Redis at once, since it was told to save; the others as users do.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if self.kind == Kind::Redis {
            return self.kill();
        }
        process::probe("kill", &["-TERM", &self.pid().to_string()]).context("cannot stop")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the server did not stop");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Bytes of memory that are its own and resident.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        resident(&status).context("no resident memory in /proc")
    }

    /// Waits until what it does behind its replies is done, so that it is no part of the next run.
    pub(super) fn wait_until_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + QUIET_LIMIT;
        let mut before = cpu_ticks_of(self.pid())?;
        loop {
            thread::sleep(QUIET);
            let now = cpu_ticks_of(self.pid())?;
            // One tick of ten milliseconds may be its clock's or a timer's.
            if now <= before + 1 || Instant::now() > deadline {
                return Ok(());
            }
            before = now;
        }
    }

    /// How many keys it says it has; the bare store does not say.
    pub(super) fn keys(&self) -> Result<Option<u64>> {
        let (request, before) = match self.kind {
            Kind::Redis => ("DBSIZE\r\nQUIT\r\n".to_owned(), ":"),
            Kind::Tidekeep | Kind::Logging => (self.metrics_request(), "\ntidekeep_store_keys "),
            Kind::Bare => return Ok(None),
        };
        let answer = self.ask(&request)?;
        number_behind(&answer, before).map(Some).context("it does not say how many keys it has")
    }

    /// One figure of Tidekeep's store.
    pub(super) fn figure(&self, name: &str) -> Result<u64> {
        let answer = self.ask(&self.metrics_request())?;
        number_behind(&answer, &format!("\ntidekeep_store_{name} "))
            .with_context(|| format!("it has no figure {name}"))
    }

    fn metrics_request(&self) -> String {
        format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)
    }

    /// Sends and reads until the server closes.
    pub(super) fn ask(&self, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(START_LIMIT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn wait_until_it_serves(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended before it served ({status})");
            }
            let serves = match self.kind {
                Kind::Redis => self.ask("PING\r\nQUIT\r\n").is_ok_and(|a| a.contains("+PONG")),
                Kind::Tidekeep | Kind::Logging | Kind::Bare => true,
            };
            if serves {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the server does not serve after {} s", START_LIMIT.as_secs());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to save in its data.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the program; Redis is told a port that is free, the others take one and say which.
fn spawn(kind: Kind, command: &mut Command, data: &Path) -> Result<(Child, String)> {
    let log = data.join("bench.log");
    let errors = File::create(&log)?;
    if kind == Kind::Redis {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // Of a flag that comes again the last one counts.
        command.args(["--port", &port.to_string()]).stdout(errors);
        let child = command.spawn().context("cannot start redis-server")?;
        return Ok((child, format!("127.0.0.1:{port}")));
    }
    command.stdout(Stdio::piped()).stderr(errors);
    let line = process::shown(command);
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let stdout = child.stdout.take().context("the server has no standard output")?;
    let announced = running::announced(stdout, START_LIMIT);
    if announced.is_err() {
        // It may have ended by itself.
        drop(child.kill());
        drop(child.wait());
    }
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let address = announced.with_context(|| format!("`{line}`\n{}", said().trim()))?;
    Ok((child, address))
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024.0)
}

/// Hundredths of a second that all threads of a process took.
pub(super) fn cpu_ticks_of(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    cpu_ticks(&stat).context("no CPU time in /proc")
}

/// User's and system's time; the second field is a name that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    Some(user + fields.next()?.parse::<u64>().ok()?)
}

fn number_behind(text: &str, before: &str) -> Option<u64> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_system_and_the_servers_say() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12_288.0));
        assert_eq!(cpu_ticks("7 (a b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 8 9"), Some(175));
        assert_eq!(number_behind("a 1\nkeys 42\n", "\nkeys "), Some(42));
        assert_eq!(number_behind(":7\r\n+OK\r\n", ":"), Some(7));
        assert_eq!(number_behind("none", ":"), None);
    }
}
