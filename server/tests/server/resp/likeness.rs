//! A script of commands, and pipelines, get the replies that Redis gives, word for word: those that were
//! written down, and, where `redis-server` is installed, those that it gives now.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::client::{Redis, Reply, bulk, command};
use crate::harness::TestServer;

const SCRIPT: &str = include_str!("script.txt");
const PIPELINES: &str = include_str!("pipelines.txt");

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

/// A text's lines: commands, and the replies to them.
fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").expect("a line has a command and its reply"))
}

fn words(command: &str) -> Vec<&[u8]> {
    let words = command.split(' ');
    words.map(|word| if word == "\"\"" { &b""[..] } else { word.as_bytes() }).collect()
}

/// Runs the script and the pipelines; the lines of which the reply is another one.
fn differences(address: SocketAddr) -> Vec<String> {
    let mut redis = Redis::connect(address);
    assert_eq!(redis.run("flushall"), Reply::Simple("OK".into()));
    let mut differences = Vec::new();
    let mut compare = |commands: &str, replies: String, expected: &str| {
        if replies != expected {
            differences.push(format!("{commands} => {replies}, not {expected}"));
        }
    };
    for (command, expected) in lines(SCRIPT) {
        compare(command, redis.call(&words(command)).to_string(), expected);
    }
    for (commands, expected) in lines(PIPELINES) {
        redis.run("flushall");
        compare(commands, replies_together(commands, address), expected);
    }
    differences
}

/// Everything that is said to commands which are sent together.
fn replies_together(commands: &str, address: SocketAddr) -> String {
    let mut redis = Redis::connect(address);
    let bytes = |line: &str| match line {
        "" => b"\r\n".to_vec(),
        line => command(&words(line)),
    };
    // Whatever state they leave the connection in, the end is seen.
    let all = commands.split("; ").chain(["reset", "echo end"]);
    redis.send(&all.flat_map(bytes).collect::<Vec<u8>>());
    let mut replies = Vec::new();
    loop {
        match redis.reply() {
            end if end == bulk("end") => break,
            reply => replies.push(reply.to_string()),
        }
    }
    assert_eq!(replies.pop().as_deref(), Some("+RESET"), "{commands}");
    replies.join("; ")
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
