//! A script of commands gets the replies that Redis gives, word for word: those that were written
//! down, and, where `redis-server` is installed, those that it gives now.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::client::{Redis, Reply};
use crate::harness::TestServer;

const SCRIPT: &str = include_str!("script.txt");

/// A real Redis without persistence on a port of its own.
struct RealRedis {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl RealRedis {
    /// Starts one, if it is installed.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        drop(listener);
        let port = address.port().to_string();
        let flags = ["--save", "", "--databases", "1", "--bind", "127.0.0.1"];
        let process = Command::new("redis-server")
            .args(["--port", &port])
            .args(flags)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { process, address, _dir: dir })
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The script's lines: a command, and the reply to it.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").expect("a line has a command and its reply"))
}

/// Runs the script; the lines of which the reply is another one.
fn differences(address: SocketAddr) -> Vec<String> {
    let mut redis = Redis::connect(address);
    assert_eq!(redis.run("flushall"), Reply::Simple("OK".into()));
    lines()
        .filter_map(|(command, expected)| {
            let words: Vec<&[u8]> = command
                .split(' ')
                .map(|word| if word == "\"\"" { &b""[..] } else { word.as_bytes() })
                .collect();
            let reply = redis.call(&words).to_string();
            (reply != expected).then(|| format!("{command} => {reply}, not {expected}"))
        })
        .collect()
}

#[test]
fn commands_get_the_replies_that_were_written_down() {
    let server = TestServer::start();
    let differences = differences(server.address);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn redis_itself_gives_the_replies_that_were_written_down() {
    let Some(redis) = RealRedis::start() else {
        // Without it the written replies stand alone.
        return;
    };
    let differences = differences(redis.address);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
