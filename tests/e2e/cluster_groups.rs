//! A cluster of several groups as clients have it: one store, whichever node is asked and whatever group a key
//! is in, also while a node is gone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidekeep_client::{
    Change, ChangeKind, Client, Expiry, KeyRange, PutOptions, ScanOptions, Txn, TxnStep,
    WatchEvent, WatchOptions,
};
use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, ServerProcess, binaries, tidekeep};

use crate::cluster_load::impatient;

const GROUPS: usize = 4;
const KEYS: usize = 60;

fn formed() -> Cluster {
    Cluster::form(Shape { groups: GROUPS, ..Shape::default() })
}

async fn client(cluster: &Cluster, node: usize) -> Client {
    Client::connect(cluster.address(node), impatient()).await.expect("the node serves")
}

fn key(number: usize) -> String {
    format!("key/{number:03}")
}

/// The keys of a whole scan, in the order in which they came.
async fn scanned(client: &Client) -> Vec<String> {
    let mut scan = client.scan(&KeyRange::prefix(b"key/"), ScanOptions::default());
    let mut keys = Vec::new();
    while let Some(entry) = scan.next().await {
        keys.push(String::from_utf8(entry.expect("a page").key.to_vec()).expect("text"));
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_serves_any_key_and_scans_are_whole_also_when_a_node_is_killed() {
    let mut cluster = tokio::task::block_in_place(formed);
    tokio::task::block_in_place(|| cluster.wait_until_led_evenly());
    let clients = [client(&cluster, 0).await, client(&cluster, 1).await, client(&cluster, 2).await];
    for number in 0..KEYS {
        let written = clients[number % 3].put(key(number), b"v", PutOptions::default()).await;
        written.expect("a majority answers");
        let read = clients[(number + 1) % 3].get(key(number)).await.expect("a majority answers");
        assert_eq!(&read.expect("it is there").value[..], b"v");
    }
    let all: Vec<_> = (0..KEYS).map(key).collect();
    for client in &clients {
        assert_eq!(scanned(client).await, all);
    }
    tokio::task::block_in_place(|| cluster.kill(1));
    for client in [&clients[0], &clients[2]] {
        assert_eq!(scanned(client).await, all, "one of three is gone");
        for number in 0..KEYS {
            let put = client.put(key(number), b"again", PutOptions::default()).await;
            put.expect("others lead");
        }
    }
    tokio::task::block_in_place(|| {
        cluster.start(1);
        cluster.wait_until_whole();
    });
    let back = client(&cluster, 1).await;
    assert_eq!(scanned(&back).await, all);
    let read = back.get(key(7)).await.expect("it serves").expect("it is there");
    assert_eq!(&read.value[..], b"again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_with_a_lease_goes_in_every_group_when_its_holder_is_gone() {
    let mut cluster = tokio::task::block_in_place(formed);
    let (holder, other) = (client(&cluster, 0).await, client(&cluster, 2).await);
    let ttl = Duration::from_secs(5);
    let lease = holder.lease(ttl).await.expect("all groups take it");
    let options = || PutOptions { expiry: Expiry::Lease(lease.id()), ..PutOptions::default() };
    for number in 0..KEYS {
        holder.put(key(number), b"v", options()).await.expect("it is in every group");
    }
    // The node of another client goes; the lease is kept alive over the elections.
    tokio::task::block_in_place(|| cluster.kill(1));
    let until = Instant::now() + ttl * 2;
    while Instant::now() < until {
        assert_eq!(scanned(&other).await.len(), KEYS, "it is kept alive");
        tokio::time::sleep(ttl / 20).await;
    }
    let gone = Instant::now();
    drop(lease);
    holder.close().await;
    loop {
        match scanned(&other).await.len() {
            0 => break,
            left => assert!(gone.elapsed() < ttl * 4, "{left} keys stay"),
        }
        tokio::time::sleep(ttl / 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_over_groups_is_whole_and_a_watch_tells_every_group() {
    let mut cluster = tokio::task::block_in_place(formed);
    let clients = [client(&cluster, 0).await, client(&cluster, 1).await];
    let options = WatchOptions { content: true, ..WatchOptions::default() };
    let mut watch = clients[0].watch(&KeyRange::prefix(b"key/"), options);
    let all: Vec<_> = (0..KEYS).map(key).collect();
    for value in ["one", "two"] {
        let put =
            |txn: Txn, key: &String| txn.then(TxnStep::put(key, value, PutOptions::default()));
        let txn = all.iter().fold(Txn::new(), put);
        let done = clients[1].txn(txn).await.expect("a majority of every group answers");
        assert!(done.succeeded);
        let mut told = BTreeMap::<Vec<u8>, Vec<u8>>::new();
        while told.len() < KEYS {
            // Of the first round the content may have some.
            match watch.next().await.expect("it goes on").expect("it goes on") {
                WatchEvent::Content(entries) => {
                    told.extend(
                        entries.into_iter().map(|entry| (entry.key.to_vec(), entry.value.to_vec())),
                    );
                }
                WatchEvent::Changes { changes, .. } => told.extend(changes.into_iter().map(put_in)),
                WatchEvent::Reset | WatchEvent::CaughtUp { .. } | WatchEvent::Bookmark { .. } => {}
            }
        }
        assert!(told.values().all(|it| it == value.as_bytes()), "{told:?}");
        tokio::task::block_in_place(|| cluster.kill(2));
    }
}

fn put_in(change: Change) -> (Vec<u8>, Vec<u8>) {
    match change.kind {
        ChangeKind::Put(entry) => (change.key.to_vec(), entry.value.to_vec()),
        other => panic!("a put was told as {other:?}"),
    }
}

/// A connection of a Redis client.
struct Redis(BufReader<TcpStream>);

impl Redis {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the node serves");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// The lines of a reply, as they came.
    fn ask(&mut self, command: &str, lines: usize) -> Vec<String> {
        writeln!(self.0.get_mut(), "{command}\r").expect("it is connected");
        let line = |_| {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line of the reply");
            line.trim_end().to_owned()
        };
        (0..lines).map(line).collect()
    }
}

#[test]
fn redis_clients_read_many_keys_of_any_groups() {
    let cluster = formed();
    let (mut first, mut third) =
        (Redis::connect(cluster.address(0)), Redis::connect(cluster.address(2)));
    assert_eq!(first.ask("MSET {t}a 1 {t}b 2 {t}c 3", 1), ["+OK"]);
    assert_eq!(third.ask("MGET {t}a {t}b {t}c", 7), ["*3", "$1", "1", "$1", "2", "$1", "3"]);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(third.ask(&format!("SET {name} {name}"), 1), ["+OK"]);
    }
    let found = first.ask("MGET a b c d", 9);
    assert_eq!(found, ["*4", "$1", "a", "$1", "b", "$1", "c", "$1", "d"]);
}

/// Moves one between two counters of different groups, over and over; how often.
async fn move_money(client: Client, stop: Arc<AtomicBool>) -> u64 {
    let mut moved = 0;
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (moved % 10, (moved * 7 + 3) % 10);
        let step = |number, by| TxnStep::increment(format!("money/{number}"), by, Expiry::Keep);
        let txn = Txn::new().then(step(from, -1)).then(step(to, 1));
        assert!(client.txn(txn).await.expect("all nodes run").succeeded);
        moved += 1;
    }
    moved
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_by_any_node_is_of_one_moment_and_makes_a_store_alone() {
    let cluster = tokio::task::block_in_place(|| {
        Cluster::form(Shape { groups: GROUPS, nodes: 4, ..Shape::default() })
    });
    let writer = client(&cluster, 0).await;
    let value = "x".repeat(1_000);
    for number in 0..2_000 {
        let put = writer.put(key(number), value.as_bytes(), PutOptions::default());
        put.await.expect("all nodes run");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let moving: Vec<_> = [client(&cluster, 1).await, client(&cluster, 2).await]
        .into_iter()
        .map(|client| tokio::spawn(move_money(client, Arc::clone(&stop))))
        .collect();
    let folder = tempfile::tempdir().expect("there is room for data");
    let mut sums = Vec::new();
    for node in 0..4 {
        let done = writer.put("before", node.to_string(), PutOptions::default()).await;
        done.expect("all nodes run");
        sums.push(tokio::task::block_in_place(|| {
            let file = folder.path().join(format!("{node}.tide"));
            let path = file.to_str().expect("text");
            let taken = tidekeep(cluster.address(node), &["backup", path], b"");
            assert_eq!(taken.code, 0, "node {node}: {}", taken.stderr);
            restored(&file, &folder.path().join(format!("store-{node}")), node)
        }));
    }
    stop.store(true, Ordering::Relaxed);
    for moved in moving {
        assert!(moved.await.expect("it goes on") > 0);
    }
    assert_eq!(sums, [0; 4], "money is made or lost");
}

/// Restores a backup into a store alone, which must have all that was there; how much money there is.
fn restored(file: &Path, data: &Path, node: usize) -> i64 {
    let path = file.to_str().expect("text");
    let run = |action: &[&str], data: &Path| {
        let output = Command::new(binaries::server()).args(action).arg(data).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{action:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["verify"], file);
    run(&["restore", path], data);
    let server = ServerProcess::start(data, &[]);
    let text = |words: &[&str]| {
        let run = tidekeep(server.address(), words, b"");
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.text().trim().to_owned()
    };
    assert_eq!(text(&["get", "before", "--output", "raw"]), node.to_string());
    let lines = exported(&server);
    let of = |prefix: &str| {
        let begins = format!("{{\"key\":\"{prefix}");
        lines.lines().filter(|line| line.starts_with(&begins)).count()
    };
    assert_eq!(of("key/"), 2_000);
    let money = |number| {
        let name = format!("money/{number}");
        let run = tidekeep(server.address(), &["get", &name, "--output", "raw"], b"");
        // One that was not moved to yet is not there.
        if run.code == 0 { run.text().trim().parse().expect("a number") } else { 0_i64 }
    };
    let sum = (0..10).map(money).sum();
    // A cluster of another number of groups is made of it.
    assert!(server.terminate().success());
    let server = ServerProcess::spawn(founding(data, "7"));
    assert_eq!(exported(&server), lines);
    sum
}

/// A node that founds a cluster on a directory.
fn founding(data: &Path, groups: &str) -> Command {
    let words = ["--node-listen", "127.0.0.1:0", "cluster", "init", "--groups", groups];
    ServerProcess::command(data, "127.0.0.1:0", &words)
}

/// Everything at a server, as lines in the order of keys.
fn exported(server: &ServerProcess) -> String {
    let run = tidekeep(server.address(), &["export"], b"");
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.text().to_owned()
}

#[test]
fn a_store_with_data_becomes_a_cluster_of_several_groups_wherever_that_is_killed() {
    for killed_after_ms in [1, 30, 80, 150, 300, 600] {
        let data = tempfile::tempdir().expect("there is room for data");
        let server = ServerProcess::start(data.path(), &[]);
        let lines: String =
            (0..300).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{n}\"}}\n")).collect();
        let import = tidekeep(server.address(), &["import", "-"], lines.as_bytes());
        assert_eq!(import.code, 0, "{}", import.stderr);
        let before = exported(&server);
        assert!(server.terminate().success());
        let mut child = founding(data.path(), "4")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's program starts");
        // At some moment of it; nothing is waited for.
        std::thread::sleep(Duration::from_millis(killed_after_ms));
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        // Whatever it has become has all that was there, and the same command goes on to the end.
        let server = ServerProcess::start(data.path(), &[]);
        assert_eq!(exported(&server), before, "killed after {killed_after_ms} ms");
        assert!(server.terminate().success());
        let server = ServerProcess::spawn(founding(data.path(), "4"));
        assert_eq!(exported(&server), before, "killed after {killed_after_ms} ms");
        let words = ["cluster", "status", "--output", "json"];
        let status = tidekeep(server.address(), &words, b"");
        assert!(status.text().contains("\"group\":3"), "{}", status.text());
    }
}
