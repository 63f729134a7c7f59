//! `kill -9` of a server that acknowledges before anything is synced: what is lost is the last moments'
//! writes and nothing before them, and watchers begin anew, since what they were shown may be gone.

use std::time::{Duration, Instant};

use tidekeep_client::{
    Client, KeyRange, Options, PutOptions, Resync, ScanOptions, Watch, WatchEvent, WatchOptions,
};
use tidekeep_tests::{ServerProcess, port, within};
use tokio::sync::mpsc;

use crate::limits::Wakings;

const ROUNDS: usize = 6;
/// What is lost at most, as docs/operations.md says it.
const LOST: Duration = Duration::from_millis(2);
/// The log's thread writes for some time, too.
const TOLERANCE: Duration = Duration::from_millis(8);
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_costs_the_last_two_milliseconds_whatever_the_interval() {
    // No sync comes by itself while the test runs.
    for durability in [&["--durability", "interval", "--interval-ms", "3600000"][..], NONE] {
        let data = tempfile::tempdir().unwrap();
        let port = port::free();
        let mut server = ServerProcess::start_on(port, data.path(), durability);
        let watcher = Client::connect(server.address(), impatient()).await.unwrap();
        // A gap that is told as a difference would go unnoticed here.
        let options = WatchOptions { resync: Resync::Reset, ..WatchOptions::default() };
        let mut watch = watcher.watch(&KeyRange::all(), options);
        live(&mut watch).await;
        let (mut acknowledged, mut worst) = (0, Duration::ZERO);
        let wakings = Wakings::watch();
        for round in 0..ROUNDS {
            let client = Client::connect(server.address(), Options::default()).await.unwrap();
            let (tell, mut told) = mpsc::unbounded_channel();
            let writing = tokio::spawn(write(client, round, tell));
            let mut answered = Vec::new();
            for _ in 0..200 + round * 313 {
                answered.push(within("an answer", LIMIT, told.recv()).await.unwrap());
            }
            let at = Instant::now();
            server.kill();
            // The write under way waits for a server that answers it.
            writing.abort();
            while let Some(then) = told.recv().await {
                answered.push(then);
            }

            server = ServerProcess::start_on(port, data.path(), durability);
            let found = keys(&server, round).await;
            let all: Vec<_> = (0..found.len()).map(|number| key(round, number)).collect();
            assert_eq!(found, all, "what is lost is the end");
            // One that was written may have lost its answer.
            assert!(found.len() <= answered.len() + 1, "{} keys", found.len());
            if let Some(&then) = answered.get(found.len()) {
                worst = worst.max(at.saturating_duration_since(then));
            }
            acknowledged += answered.len();
            let reset = live(&mut watch).await;
            assert!(reset, "the watch goes on as if nothing it has shown were gone");
        }
        let wait = Duration::from_millis(wakings.p99_ms());
        println!(
            "suite: {ROUNDS} kills with {durability:?}: of {acknowledged} acknowledged writes lost at \
             most the last {worst:?}; a thread here waits {wait:?} for a core"
        );
        assert!(worst <= LOST + TOLERANCE + 4 * wait, "lost the last {worst:?}");
    }
}

const NONE: &[&str] = &["--durability", "none"];

/// The options of a watcher that is back soon.
fn impatient() -> Options {
    let mut options = Options::default();
    options.config.backoff_max_ms = 100;
    options
}

fn key(round: usize, number: usize) -> String {
    format!("{round:02}/{number:06}")
}

/// Writes one key after the other, and tells when each was acknowledged.
async fn write(client: Client, round: usize, tell: mpsc::UnboundedSender<Instant>) {
    for number in 0.. {
        client.put(key(round, number), "x", PutOptions::default()).await.unwrap();
        tell.send(Instant::now()).unwrap();
    }
}

/// The keys of a round, in order.
async fn keys(server: &ServerProcess, round: usize) -> Vec<String> {
    let client = Client::connect(server.address(), Options::default()).await.unwrap();
    let prefix = format!("{round:02}/");
    let mut entries = client.scan(&KeyRange::prefix(prefix.as_bytes()), ScanOptions::default());
    let mut keys = Vec::new();
    while let Some(entry) = entries.next().await {
        keys.push(String::from_utf8(entry.unwrap().key.to_vec()).unwrap());
    }
    keys
}

/// Waits until a watch is caught up; whether it had to begin anew.
async fn live(watch: &mut Watch) -> bool {
    let mut reset = false;
    loop {
        match within("the watch", LIMIT, watch.next()).await.unwrap().unwrap() {
            WatchEvent::CaughtUp { .. } => return reset,
            WatchEvent::Reset => reset = true,
            _ => {}
        }
    }
}
