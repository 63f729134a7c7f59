//! Redis' own tools and client libraries against the real server, and what it acknowledged to a Redis
//! client after `kill -9`. Tools that are not installed are passed over; `cargo xtask test` installs them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_tests::{ServerProcess, binaries};

/// Where `cargo xtask test` puts client libraries.
fn clients() -> PathBuf {
    let set = std::env::var_os("TIDEKEEP_REDIS_CLIENTS").map(PathBuf::from);
    set.unwrap_or_else(|| binaries::repository().join("target/redis-clients"))
}

/// Runs a tool; none if it is not there.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("passed over: {command:?}: {error}");
            None
        }
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/redis").join(name)
}

#[test]
fn redis_cli_and_redis_benchmark_are_served() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &["--durability", "interval"]);
    let port = server.port().to_string();
    let cli = |words: &[&str]| run(Command::new("redis-cli").args(["-p", &port]).args(words));
    let Some(set) = cli(&["set", "name", "John Doe", "ex", "60"]) else { return };
    assert_eq!(succeeded(&set), "OK\n");
    assert_eq!(succeeded(&cli(&["-3", "get", "name"]).unwrap()), "John Doe\n");
    assert_eq!(succeeded(&cli(&["--scan"]).unwrap()), "name\n");
    assert_eq!(succeeded(&cli(&["-r", "3", "incr", "n"]).unwrap()), "1\n2\n3\n");
    assert!(succeeded(&cli(&["info"]).unwrap()).contains("tidekeep_version:"));
    let tests = ["-t", "ping,set,get,incr,mset", "-n", "2000", "-P", "16", "-q"];
    let bench = run(Command::new("redis-benchmark").args(["-p", &port]).args(tests)).unwrap();
    assert!(succeeded(&bench).contains("GET: "));
}

#[test]
fn redis_py_is_served() {
    let python = clients().join("venv/bin/python");
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &["--durability", "interval"]);
    let mut command = Command::new(python);
    if let Some(output) = run(command.arg(script("client.py")).arg(server.address())) {
        assert!(succeeded(&output).contains("is served"));
    }
}

#[test]
fn ioredis_is_served() {
    let folder = clients();
    if !folder.join("node_modules/ioredis").is_dir() {
        return println!("passed over: no ioredis in {}", folder.display());
    }
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &["--durability", "interval"]);
    let mut node = Command::new("node");
    node.arg(script("client.mjs")).arg(server.address()).arg(folder);
    if let Some(output) = run(&mut node) {
        assert!(succeeded(&output).contains("is served"));
    }
}

#[test]
fn what_redis_clients_were_told_is_there_after_kill_9() {
    let data = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let server = ServerProcess::start(data.path(), &[]);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writer = {
            let (address, acknowledged) = (server.address().to_owned(), Arc::clone(&acknowledged));
            std::thread::spawn(move || write_until_killed(&address, round, &acknowledged))
        };
        let enough = || acknowledged.load(Ordering::Acquire) >= 40 * (round + 1);
        tidekeep_tests::eventually("writes", std::time::Duration::from_secs(60), || {
            enough().then_some(())
        });
        server.kill();
        writer.join().unwrap();
        let server = ServerProcess::start(data.path(), &[]);
        let told = acknowledged.load(Ordering::Acquire);
        let mut lines = Lines::connect(server.address());
        lines.send(&format!("strlen log:{round}\r\nget n:{round}\r\n"));
        let length: u64 = lines.next()[1..].parse().unwrap();
        lines.next();
        let count: u64 = lines.next().parse().unwrap();
        assert!(length >= told && count >= told, "{length} and {count} of {told}");
        assert_eq!(length, count, "each transaction is there as a whole");
        server.kill();
    }
}

/// Appends and counts in transactions, several of which are on their way at a time.
fn write_until_killed(address: &str, round: u64, acknowledged: &AtomicU64) {
    let mut lines = Lines::connect(address);
    loop {
        let one = format!("multi\r\nappend log:{round} x\r\nincr n:{round}\r\nexec\r\n");
        if lines.stream.write_all(one.repeat(8).as_bytes()).is_err() {
            return;
        }
        for _ in 0..8 {
            // OK, QUEUED twice, a list of two.
            for line in ["+OK", "+QUEUED", "+QUEUED", "*2", ":", ":"] {
                match lines.try_next() {
                    Some(reply) => assert!(reply.starts_with(line), "{reply} for {line}"),
                    None => return,
                }
            }
            acknowledged.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A connection on which lines go either way.
struct Lines {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Lines {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let input = BufReader::new(stream.try_clone().unwrap());
        Self { stream, input }
    }

    fn send(&mut self, lines: &str) {
        self.stream.write_all(lines.as_bytes()).unwrap();
    }

    fn next(&mut self) -> String {
        self.try_next().unwrap()
    }

    /// The next line; none when the server is gone.
    fn try_next(&mut self) -> Option<String> {
        let mut line = String::new();
        let whole = self.input.read_line(&mut line).is_ok() && line.ends_with('\n');
        whole.then(|| line.trim_end().to_owned())
    }
}
