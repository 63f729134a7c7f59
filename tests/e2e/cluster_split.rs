//! A store of one group is split into several by the command line while clients write, follow and hold leases: what
//! was acknowledged is there, every increment was applied once, and whoever follows is told every change once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidekeep_client::{
    ChangeKind, Client, Expiry, KeyRange, PutOptions, Watch, WatchEvent, WatchOptions,
};
use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, Proxy, command, eventually, tidekeep, within};
use tokio::task::block_in_place;

use crate::cluster_load::{Load, content, impatient, verify};

const GROUPS: usize = 4;
const CLIENTS: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The values that each counter was told to have, in the order in which they came.
type Told = BTreeMap<String, Vec<i64>>;

/// Whoever follows the counters, and what it was told.
struct Follower {
    name: &'static str,
    told: Arc<Mutex<Told>>,
}

impl Follower {
    fn note(told: &Mutex<Told>, key: &str, value: &str) {
        let value = value.parse().expect("a counter's value");
        told.lock().expect("nobody panics").entry(key.to_owned()).or_default().push(value);
    }

    /// A watch of the client library, from before the first change on.
    async fn watch(name: &'static str, address: &str) -> Self {
        let client = Client::connect(address, impatient()).await.expect("the node serves");
        let options = WatchOptions { content: true, ..WatchOptions::default() };
        let mut watch = client.watch(&KeyRange::prefix(b"count/"), options);
        let began = within("a watch to begin", LIMIT, watch.next()).await;
        let began = began.expect("it goes on").expect("it goes on");
        assert!(matches!(began, WatchEvent::CaughtUp { .. }), "there is nothing yet: {began:?}");
        let told = Arc::new(Mutex::new(Told::new()));
        tokio::spawn(Self::follow(client, watch, Arc::clone(&told)));
        Self { name, told }
    }

    async fn follow(_client: Client, mut watch: Watch, told: Arc<Mutex<Told>>) {
        while let Ok(Some(event)) = watch.next().await.transpose() {
            match event {
                WatchEvent::Changes { changes, .. } => {
                    for change in changes {
                        let ChangeKind::Put(entry) = change.kind else { panic!("no end") };
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        Self::note(&told, &text(&change.key), &text(&entry.value));
                    }
                }
                // A reset, or content anew, would be told as a gap.
                WatchEvent::Content(_) | WatchEvent::Reset => {
                    told.lock().expect("nobody panics").clear();
                }
                WatchEvent::CaughtUp { .. } | WatchEvent::Bookmark { .. } => {}
            }
        }
    }

    /// `tidekeep watch`.
    fn command(address: &str) -> (Self, Child) {
        let mut child = command::command(address)
            .args(["watch", "count/", "--content", "--output", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command line's program starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut lines = lines.lines().map_while(Result::ok);
        let first = lines.next().expect("it begins");
        assert!(first.contains("caught-up"), "{first}");
        let told = Arc::new(Mutex::new(Told::new()));
        let to = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in lines {
                let event: Value = serde_json::from_str(&line).expect("an object");
                match event["type"].as_str() {
                    Some("put") => {
                        let text = |name: &str| event[name].as_str().expect("it is text");
                        Self::note(&to, text("key"), text("value"));
                    }
                    Some("caught-up") => {}
                    _ => to.lock().expect("nobody panics").clear(),
                }
            }
        });
        (Self { name: "tidekeep watch", told }, child)
    }

    /// Waits until it was told as much as the counters have, and holds it against that.
    fn verify(&self, counters: &BTreeMap<String, i64>) {
        let all = |told: &Told| {
            let last = |key| told.get(key).and_then(|values: &Vec<i64>| values.last());
            counters.iter().all(|(key, value)| last(key) >= Some(value))
        };
        let told = || {
            let told = self.told.lock().expect("nobody panics").clone();
            all(&told).then_some(told)
        };
        let told = eventually(&format!("all changes, by {}", self.name), LIMIT, told);
        for (key, values) in told {
            let expected: Vec<i64> = (1..=counters[&key]).collect();
            let at = values.iter().zip(&expected).position(|(told, value)| told != value);
            assert_eq!(values, expected, "{}: {key}, from {at:?} on", self.name);
        }
    }
}

/// A Redis client that listens to the events of all counters; how many came of each.
fn listen(address: &str) -> Arc<Mutex<BTreeMap<String, i64>>> {
    let mut stream = TcpStream::connect(address).expect("the node serves");
    write!(stream, "PSUBSCRIBE __keyspace@0__:count/*\r\n").expect("it is connected");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // The reply: a list of the word, the pattern and how many there are.
    for _ in 0..6 {
        lines.next().expect("it is subscribed");
    }
    let heard = Arc::new(Mutex::new(BTreeMap::new()));
    let to = Arc::clone(&heard);
    std::thread::spawn(move || {
        for line in lines {
            if let Some(key) = line.strip_prefix("__keyspace@0__:").filter(|it| !it.ends_with('*'))
            {
                *to.lock().expect("nobody panics").entry(key.to_owned()).or_default() += 1;
            }
        }
    });
    heard
}

async fn counters(cluster: &Cluster) -> BTreeMap<String, i64> {
    let client = Client::connect(cluster.address(0), impatient()).await.expect("it serves");
    let content = content(&client).await.into_iter();
    let counters = content.filter(|(key, _)| key.starts_with("count/"));
    counters.map(|(key, value)| (key, value.parse().expect("a counter's value"))).collect()
}

/// Waits until every node says that the new groups are whole.
fn until_split(cluster: &Cluster) {
    for node in 0..cluster.nodes() {
        eventually("the groups of the split", LIMIT, || {
            let standing = cluster.standing(node)?;
            (standing.groups() == GROUPS && standing.is_whole(cluster.nodes())).then_some(())
        });
    }
}

fn run_split(cluster: &Cluster, more: &[&str]) {
    let groups = GROUPS.to_string();
    let words = [&["cluster", "split", &groups][..], more].concat();
    let run = eventually("nothing moves any more", LIMIT, || {
        let run = tidekeep(cluster.address(1), &words, b"");
        // Replicas may still be on their way to where they belong.
        (!run.stderr.contains("replicas are being moved")).then_some(run)
    });
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// Splits while all go on; `kills` says which node dies in the middle of it.
async fn split(kills: Option<usize>) {
    let mut cluster = block_in_place(|| Cluster::form(Shape::default()));
    let lost = Proxy::start(cluster.address(2), 1).await;
    let near = Follower::watch("a watch", cluster.address(0)).await;
    let moved = Follower::watch("a watch that moves to another node", lost.address()).await;
    let (line, mut child) = block_in_place(|| Follower::command(cluster.address(1)));
    let heard = listen(cluster.address(0));
    let holder = Client::connect(cluster.address(0), impatient()).await.expect("it serves");
    let lease = holder.lease(Duration::from_secs(10)).await.expect("a lease");
    let options = PutOptions { expiry: Expiry::Lease(lease.id()), ..PutOptions::default() };
    holder.put("leased", b"v", options).await.expect("it is written");

    let mut load = Load::start(&cluster, CLIENTS).await;
    load.progress(30).await;
    match kills {
        None => block_in_place(|| run_split(&cluster, &[])),
        Some(node) => {
            block_in_place(|| {
                run_split(&cluster, &["--no-wait"]);
                cluster.kill(node);
            });
            lost.lead_to(cluster.address(0));
            load.lead_away(&cluster, node);
            load.progress(30).await;
            block_in_place(|| cluster.start(node));
        }
    }
    load.progress(30).await;
    block_in_place(|| until_split(&cluster));
    load.progress(30).await;
    if kills.is_none() {
        // Whoever comes to another node goes on there with the cursor that it has.
        lost.lead_to(cluster.address(1));
        lost.sever();
        load.progress(30).await;
    }
    tokio::time::timeout(LIMIT, async {
        let kept = Instant::now() + Duration::from_secs(12);
        while Instant::now() < kept {
            assert!(holder.get("leased").await.expect("it is read").is_some(), "it is kept alive");
            tokio::time::sleep(POLL * 25).await;
        }
    })
    .await
    .expect("reads are answered");
    let told = load.end().await;
    let counters = counters(&cluster).await;
    assert_eq!(counters.len(), CLIENTS);
    block_in_place(|| [&near, &moved, &line].map(|follower| follower.verify(&counters)));
    let all_heard = || (*heard.lock().expect("nobody panics") == counters).then_some(());
    block_in_place(|| eventually("an event for each change", LIMIT, all_heard));
    holder.delete("leased", Default::default()).await.expect("it is deleted");
    let acknowledged = verify(&cluster, 2, &told).await;
    assert!(acknowledged > 100, "{acknowledged} puts");

    block_in_place(|| {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        for node in 0..cluster.nodes() {
            cluster.kill(node);
        }
        for node in 0..cluster.nodes() {
            cluster.start(node);
        }
        until_split(&cluster);
    });
    verify(&cluster, 1, &told).await;
    let again = block_in_place(|| tidekeep(cluster.address(0), &["cluster", "split", "8"], b""));
    assert_eq!(again.code, 3, "{}", again.stderr);
    assert!(again.stderr.contains("only a store of one group can be split"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_split_while_clients_write_follow_and_hold_leases() {
    split(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_amid_a_split_costs_nobody_a_change() {
    split(Some(2)).await;
}

/// Keys of 256 bytes that a store has when it is split; `TIDEKEEP_SPLIT_KEYS` says another number.
const KEYS: usize = 5_000;

/// Between two acknowledged writes over a split of a small store. Leaders are elected anew at the most.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_stand_still_only_while_the_nodes_part_what_they_hold() {
    let keys = std::env::var("TIDEKEEP_SPLIT_KEYS").ok().and_then(|keys| keys.parse().ok());
    let keys = keys.unwrap_or(KEYS);
    let cluster = block_in_place(|| Cluster::form(Shape::default()));
    let client = Client::connect(cluster.address(0), impatient()).await.expect("it serves");
    let value = [b'v'; 256];
    for from in (0..keys).step_by(500) {
        let puts = (from..keys.min(from + 500)).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                client.put(format!("key/{number:07}"), &value[..], PutOptions::default()).await
            })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.expect("it ends").expect("it is written");
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|node| {
            let (address, stop) = (cluster.address(node).to_owned(), Arc::clone(&stop));
            tokio::spawn(async move {
                let client = Client::connect(&address, impatient()).await.expect("it serves");
                let (mut longest, mut last) = (Duration::ZERO, Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    let put = client.put(format!("w/{node}"), b"x", PutOptions::default()).await;
                    put.expect("no write fails");
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                longest
            })
        })
        .collect();
    let began = Instant::now();
    block_in_place(|| run_split(&cluster, &[]));
    let took = began.elapsed();
    block_in_place(|| until_split(&cluster));
    stop.store(true, Ordering::Relaxed);
    let mut longest = Duration::ZERO;
    for writer in writers {
        longest = longest.max(writer.await.expect("no write fails"));
    }
    println!("{keys} keys: split in {took:?}, at most {longest:?} between two acknowledged writes");
    assert!(keys > KEYS || longest < PAUSE_MAX, "{longest:?}");
    client.close().await;
}
