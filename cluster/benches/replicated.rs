//! What a group costs on three members: puts that are confirmed when two of three disks have them, all in
//! one process, with tokio, real files, and calls instead of a network. `cargo bench -p tidekeep-cluster`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft_rt_tokio::TokioRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{
    Config, Journal, JournalOptions, Lane, Link, LinkFuture, Member, NodeId, PeerAddress,
    Unreachable,
};
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{ReplicaOptions, Upkeep};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Put, Request};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

const NODES: u64 = 3;
const VALUE: [u8; 256] = [b'v'; 256];
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(3);

type Groups = BTreeMap<u32, Arc<Member<TokioRuntime>>>;

/// Calls from node to node.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<BTreeMap<NodeId, Groups>>>);

impl Link for Calls {
    fn call(
        &self,
        to: NodeId,
        _at: &PeerAddress,
        _lane: Lane,
        request: Vec<u8>,
        _limit: Duration,
    ) -> LinkFuture {
        let group = u32::from_le_bytes(*request.first_chunk().expect("a request names its group"));
        let member = self.0.lock().get(&to).and_then(|groups| groups.get(&group)).cloned();
        Box::pin(async move {
            let member = member.ok_or_else(|| Unreachable("no such member".into()))?;
            Ok(member.serve(&request).await)
        })
    }
}

/// Starts three nodes with so many groups, each founded by one of them in turn.
async fn start(directory: &Path, groups: u32) -> Vec<Groups> {
    let calls = Calls::default();
    let mut nodes = Vec::new();
    for node in 1..=NODES {
        let path = directory.join(format!("{groups}-{node}"));
        std::fs::create_dir_all(&path).expect("a directory for the node");
        let mut random = fastrand::Rng::new();
        let opened = Journal::open(JournalOptions {
            disk: Arc::new(RealDisk::open(&path).expect("the node's disk")),
            segment_bytes: 64 << 20,
            upkeep: Upkeep::Threads,
            appended: None,
            replica: ReplicaOptions::new(node),
            random: Box::new(move || random.u64(..)),
        });
        let opened = opened.expect("an empty log");
        opened.run::<TokioRuntime>();
        let mut members = Groups::new();
        for group in 0..groups {
            let config = Config::new(NodeId(node), group);
            let member = Member::start(config, &opened, Arc::new(calls.clone()), 0).await;
            members.insert(group, Arc::new(member.expect("a member")));
        }
        calls.0.lock().insert(NodeId(node), members.clone());
        nodes.push(members);
    }
    for group in 0..groups {
        let first = &nodes[(u64::from(group) % NODES) as usize][&group];
        let members = (1..=NODES).map(|node| (NodeId(node), PeerAddress::default())).collect();
        first.found(members).await.expect("a new group");
    }
    nodes
}

/// The record of puts of a client's own keys.
fn puts(client: u64, round: u64, batch: u64) -> Vec<u8> {
    let mut out = Vec::new();
    record::begin(Stamp { now_ms: round, revision: 0 }, &mut out);
    for number in 0..batch {
        let key = format!("client {client} key {}", (round + number) % 1_000);
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let put = Put { key: key.as_bytes(), value: &VALUE, condition, expiry, previous: false };
        record::push_decoded(&Request::Put(put), &mut out);
    }
    out
}

/// Puts for a while by so many clients, each waiting for its record, which has `batch` puts.
async fn measure(nodes: &[Groups], groups: u32, clients: u64, batch: u64) {
    let (done, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for client in 0..clients {
        let group = (client % u64::from(groups)) as u32;
        let members: Vec<_> = nodes.iter().map(|node| Arc::clone(&node[&group])).collect();
        let (done, ends) = (Arc::clone(&done), Arc::clone(&ends));
        tasks.push(tokio::spawn(async move {
            let (mut at, mut round, mut times) = (0, 0, Vec::new());
            while !ends.load(Ordering::Relaxed) {
                round += 1;
                let began = Instant::now();
                match members[at].write(puts(client, round, batch)).await {
                    Ok(_) => {
                        times.push(began.elapsed());
                        done.fetch_add(batch, Ordering::Relaxed);
                    }
                    Err(_) => {
                        at = (at + 1) % members.len();
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            times
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(TIME).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    ends.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a client"));
    }
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let (median, p99) = (at(0.5), at(0.99));
    println!("{groups:>6} {clients:>7} {batch:>5} {rate:>10.0} {median:>12.1?} {p99:>12.1?}");
}

fn main() {
    // `cargo test --benches` runs it too, and is to be quick.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir_in(".").expect("a directory on the disk");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>6} {:>7} {:>5} {:>10} {:>12} {:>12}",
        "groups", "clients", "batch", "puts/s", "p50", "p99"
    );
    runtime.block_on(async {
        for groups in [1, 16] {
            let nodes = start(directory.path(), groups).await;
            for (clients, batch) in [(1, 1), (100, 1), (100, 16)] {
                measure(&nodes, groups, clients, batch).await;
            }
            for member in nodes.iter().flat_map(BTreeMap::values) {
                member.stop().await;
            }
        }
    });
}
