//! What a group costs on three nodes: puts that are confirmed when two of three disks have them, and gets that
//! see all that was confirmed; all in one process, with tokio, real files, and calls instead of a network.
//! `cargo bench -p tidekeep-cluster`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft_rt_tokio::TokioRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{
    Config, FORWARD, Journal, JournalOptions, Lane, Link, LinkFuture, Member, NodeId, PeerAddress,
    Replicated, ReplicatedOptions, Unreachable,
};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{Call, Identity, ReplicaOptions, Upkeep, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, Put, Request};

const NODES: u64 = 3;
const VALUE: [u8; 256] = [b'v'; 256];
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(3);

type Groups = BTreeMap<u32, Arc<Replicated<TokioRuntime>>>;

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
        let groups = self.0.lock();
        let there = groups.get(&to).and_then(|groups| groups.get(&(group & !FORWARD))).cloned();
        Box::pin(async move {
            let there = there.ok_or_else(|| Unreachable("no such member".into()))?;
            Ok(match group & FORWARD {
                0 => there.member().serve(&request).await,
                _ => there.serve(&request).await,
            })
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
            let replicated = Replicated::new(
                Arc::new(member.expect("a member")),
                ReplicatedOptions {
                    link: Arc::new(calls.clone()),
                    clock: Arc::new(SystemClock),
                    identity: Identity { store_id: [1; 16], incarnation: 1 },
                },
            );
            members.insert(group, Arc::new(replicated));
        }
        calls.0.lock().insert(NodeId(node), members.clone());
        nodes.push(members);
    }
    for group in 0..groups {
        let first = &nodes[(u64::from(group) % NODES) as usize][&group];
        let members = (1..=NODES).map(|node| (NodeId(node), PeerAddress::default())).collect();
        first.member().found(members).await.expect("a new group");
        while first.member().leader().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    nodes
}

/// Runs calls of a client's own keys, so many at once.
async fn run(at: &Replicated<TokioRuntime>, client: u64, round: u64, depth: u64, gets: bool) {
    let keys: Vec<_> = (0..depth)
        .map(|number| format!("client {client} key {}", (round + number) % 1_000).into_bytes())
        .collect();
    let calls: Vec<_> = keys
        .iter()
        .map(|key| {
            let (condition, expiry) = (Condition::Always, Expiry::Never);
            let request = match gets {
                true => Request::Get(Get { key }),
                false => {
                    Request::Put(Put { key, value: &VALUE, condition, expiry, previous: false })
                }
            };
            Call { request, body: None, number: None }
        })
        .collect();
    let answers = collect(at, &calls).await.expect("the store is there");
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers[0]);
}

/// Puts or gets for a while by so many clients, each waiting for its calls, of which it makes `depth` at
/// once. They ask the node that leads, or all nodes in turn.
async fn measure(
    nodes: &[Groups],
    groups: u32,
    clients: u64,
    depth: u64,
    gets: bool,
    spread: bool,
) {
    let (done, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for client in 0..clients {
        let group = (client % u64::from(groups)) as u32;
        let there: Vec<_> = nodes.iter().map(|node| Arc::clone(&node[&group])).collect();
        let (done, ends) = (Arc::clone(&done), Arc::clone(&ends));
        tasks.push(tokio::spawn(async move {
            let leader = there[0].member().leader().expect("a leader");
            let at = match spread {
                true => &there[client as usize % there.len()],
                false => &there[leader.0 as usize - 1],
            };
            let (mut round, mut times) = (0, Vec::new());
            while !ends.load(Ordering::Relaxed) {
                round += 1;
                let began = Instant::now();
                run(at, client, round, depth, gets).await;
                times.push(began.elapsed());
                done.fetch_add(depth, Ordering::Relaxed);
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
    let what = if gets { "get" } else { "put" };
    let whom = if spread { "all" } else { "leader" };
    println!(
        "{groups:>6} {clients:>7} {depth:>5} {what:>4} {whom:>6} {rate:>10.0} {median:>12.1?} {p99:>12.1?}"
    );
}

fn main() {
    // `cargo test --benches` runs it too, and is to be quick.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir_in(".").expect("a directory on the disk");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>6} {:>7} {:>5} {:>4} {:>6} {:>10} {:>12} {:>12}",
        "groups", "clients", "depth", "what", "whom", "calls/s", "p50", "p99"
    );
    runtime.block_on(async {
        for groups in [1, 16] {
            let nodes = start(directory.path(), groups).await;
            for (clients, depth) in [(1, 1), (100, 1), (100, 16)] {
                for (gets, spread) in [(false, false), (true, false), (false, true), (true, true)] {
                    measure(&nodes, groups, clients, depth, gets, spread).await;
                }
            }
            for store in nodes.iter().flat_map(BTreeMap::values) {
                store.member().stop().await;
            }
        }
    });
}
