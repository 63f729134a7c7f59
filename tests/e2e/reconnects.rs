//! Connections break and come back, again and again: the memory of the server and of terminal clients
//! stays flat, and a watch in a terminal misses nothing.
//!
//! `TIDEKEEP_RECONNECTS` says how many reconnects in all, 1,000 unless it does. A quarter of them are
//! the terminals': these wait longer before each attempt, as the program does for people.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidekeep_client::{Client, Options, PutOptions};
use tidekeep_tests::{Proxy, ServerProcess, command, eventually};
use tokio::sync::watch;
use tokio::task::JoinSet;

const RECONNECTS: u64 = 1_000;
const NATIVES: u64 = 4;
const TERMINALS: u64 = 16;
const LIMIT: Duration = Duration::from_secs(30);
const WRITE_EACH: Duration = Duration::from_millis(20);
/// What a process may have grown by, whatever the number of reconnects: its allocator's reserves.
const SLACK_BYTES: u64 = 1 << 20;
/// What it may have grown by for each reconnect. A connection that is forgotten holds much more.
const EACH_BYTES: u64 = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_over_reconnects() {
    let total = std::env::var("TIDEKEEP_RECONNECTS").map_or(RECONNECTS, |it| it.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &["--history-bytes", "1048576"]);
    fill_history(server.address()).await;
    let (stop, stopped) = watch::channel(false);
    let writing = tokio::spawn(write(server.address().to_owned(), stopped));

    let mut terminals = JoinSet::new();
    for number in 0..TERMINALS {
        let proxy = Proxy::start(server.address(), number).await;
        let rounds = (total / 4).div_ceil(TERMINALS);
        terminals.spawn_blocking(move || Terminal::start(proxy).reconnect(rounds));
    }
    let rounds = (total - total / 4).div_ceil(NATIVES);
    let warm = reconnect_all(server.address(), rounds / 4).await;
    let before = resident_bytes(server.pid());
    let natives = warm + reconnect_all(server.address(), rounds - rounds / 4).await;
    let after = resident_bytes(server.pid());

    let mut reconnects = 0;
    let mut grown = 0;
    while let Some(terminal) = terminals.join_next().await {
        let terminal = terminal.unwrap();
        reconnects += terminal.reconnects;
        grown = grown.max(terminal.grown_bytes);
    }
    stop.send_replace(true);
    let writes = writing.await.unwrap();
    println!(
        "suite: reconnects: {natives} of native clients, {reconnects} of terminals, {writes} writes; \
         server {before} to {after} bytes, a terminal grew by {grown} bytes at most"
    );
    assert!(natives + reconnects >= total);
    let allowed = SLACK_BYTES + EACH_BYTES * total;
    assert!(after < before + allowed, "the server grew from {before} to {after} bytes");
    assert!(grown < SLACK_BYTES + EACH_BYTES * rounds, "a terminal grew by {grown} bytes");
}

/// A full history is as large as it will ever be.
async fn fill_history(address: &str) {
    let client = Client::connect(address, Options::default()).await.unwrap();
    for _ in 0..32 {
        client.put("large", vec![0; 64 << 10], PutOptions::default()).await.unwrap();
    }
    client.close().await;
}

/// Puts 1, 2, 3 … until told to stop; how many.
async fn write(address: String, stop: watch::Receiver<bool>) -> u64 {
    let client = Client::connect(&address, Options::default()).await.unwrap();
    let mut number = 0;
    while !*stop.borrow() {
        number += 1;
        client.put("number", number.to_string(), PutOptions::default()).await.unwrap();
        // The pace of the load: nothing is waited for.
        tokio::time::sleep(WRITE_EACH).await;
    }
    number
}

/// Native clients that lose their connections and write as soon as they have another.
async fn reconnect_all(server: &str, rounds: u64) -> u64 {
    let mut running = JoinSet::new();
    for name in 0..NATIVES {
        let proxy = Proxy::start(server, name).await;
        let scheme = if name.is_multiple_of(2) { "tcp" } else { "ws" };
        let address = format!("{scheme}://{}", proxy.address());
        let mut options = Options::default().timeout(LIMIT);
        options.config.backoff_min_ms = 1;
        options.config.backoff_max_ms = 8;
        running.spawn(async move {
            let client = Client::connect(&address, options).await.unwrap();
            for round in 0..rounds {
                proxy.sever();
                let put = client.put(name.to_string(), round.to_string(), PutOptions::default());
                put.await.unwrap();
                let cuts = proxy.cuts();
                assert_eq!(cuts, round + 1, "a call came through a connection that was cut");
            }
            client.close().await;
            rounds
        });
    }
    running.join_all().await.into_iter().sum()
}

/// `tidekeep watch` behind a proxy of its own.
struct Terminal {
    proxy: Proxy,
    child: Child,
    /// Events that it has printed.
    events: Arc<AtomicU64>,
    /// How often it has said that it is connected again.
    returns: Arc<AtomicU64>,
    reading: Option<std::thread::JoinHandle<()>>,
}

struct Terminated {
    reconnects: u64,
    grown_bytes: u64,
}

impl Terminal {
    fn start(proxy: Proxy) -> Self {
        let mut child = command::command(proxy.address())
            .args(["watch", "number", "--exact", "--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command line's program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (events, returns) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&events);
        let reading = std::thread::spawn(move || count_events(stdout, &counter));
        let counter = Arc::clone(&returns);
        std::thread::spawn(move || {
            let again = |line: &String| line.contains("connected again");
            for _ in stderr.lines().map_while(Result::ok).filter(again) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { proxy, child, events, returns, reading: Some(reading) }
    }

    /// Cuts the connection whenever an event has come over it, so many times.
    fn reconnect(mut self, rounds: u64) -> Terminated {
        wait_for("an event", &self.events, 1);
        let mut before = 0;
        for round in 0..rounds {
            if round == rounds / 4 {
                before = resident_bytes(self.child.id());
            }
            self.proxy.sever();
            wait_for("word of a connection", &self.returns, round + 1);
            // Who is cut before anything arrives falls behind, and has to begin anew in the end.
            let printed = self.events.load(Ordering::Relaxed);
            wait_for("an event", &self.events, printed + 1);
        }
        let grown_bytes = resident_bytes(self.child.id()).saturating_sub(before);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let reading = self.reading.take().expect("it is joined once");
        reading.join().expect("the terminal's events follow each other");
        Terminated { reconnects: self.proxy.cuts(), grown_bytes }
    }
}

/// Counts the changes that a terminal prints, which must follow each other.
fn count_events(stdout: impl BufRead, counter: &AtomicU64) {
    let mut last = None;
    for line in stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_ne!(line["type"], "reset", "the terminal had to begin anew");
        if line["type"] == "put" {
            let number: u64 = line["value"].as_str().unwrap().parse().unwrap();
            assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
            last = Some(number);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn wait_for(what: &str, counter: &AtomicU64, count: u64) {
    eventually(&format!("{what} from the terminal"), LIMIT, || {
        (counter.load(Ordering::Relaxed) >= count).then_some(())
    });
}

impl Drop for Terminal {
    /// A test that fails leaves no process behind, nor a thread that reads from it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process's memory that is in use.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    1024 * kibibytes
}
