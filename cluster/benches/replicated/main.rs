//! What a group costs on three nodes: puts that are confirmed when two of three disks have them, and gets that
//! see all that was confirmed; all in one process, with tokio and real files. Nodes call each other as
//! functions, and then over TLS on loopback. `cargo bench -p tidekeep-cluster`; behind `--`, words choose among
//! what is measured: `calls` or `tls`, `1` or `16` groups, `put` or `get`, `leader` or `all`.

mod nodes;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft_rt_tokio::TokioRuntime;
use tidekeep_cluster::Replicated;
use tidekeep_log::{Call, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, Put, Request};

use nodes::{Groups, Way};

const VALUE: [u8; 256] = [b'v'; 256];
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(3);

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
            Call::new(request)
        })
        .collect();
    let answers = collect(at, &calls).await.expect("the store is there");
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers[0]);
}

/// What is measured.
#[derive(Clone, Copy)]
struct Load {
    way: Way,
    groups: u32,
    clients: u64,
    depth: u64,
    gets: bool,
    spread: bool,
}

/// Processor time of this process until now, in ticks of 10 ms.
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

/// Puts or gets for a while by so many clients, each waiting for its calls, of which it makes `depth` at
/// once. They ask the node that leads, or all nodes in turn.
async fn measure(nodes: &[Groups], load: Load) {
    let Load { way, groups, clients, depth, gets, spread } = load;
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
    let (before, began, cpu) = (done.load(Ordering::Relaxed), Instant::now(), cpu_time());
    tokio::time::sleep(TIME).await;
    let calls = (done.load(Ordering::Relaxed) - before) as f64;
    let rate = calls / began.elapsed().as_secs_f64();
    let cpu = cpu.zip(cpu_time()).map_or(0.0, |(from, to)| (to - from).as_secs_f64());
    let cpu_us = cpu * 1e6 / calls;
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
    let way = way.name();
    println!(
        "{way:>6} {groups:>6} {clients:>7} {depth:>5} {what:>4} {whom:>6} {rate:>10.0} {median:>10.1?} {p99:>10.1?} {cpu_us:>9.1}"
    );
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs it too, and is to be quick.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let is_asked = |options: [&str; 2], option: &str| {
        let is_said = |option: &str| words.iter().any(|word| word == option);
        is_said(option) || !options.into_iter().any(is_said)
    };
    let directory = tempfile::tempdir_in(".").expect("a directory on the disk");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>6} {:>6} {:>7} {:>5} {:>4} {:>6} {:>10} {:>10} {:>10} {:>9}",
        "way", "groups", "clients", "depth", "what", "whom", "calls/s", "p50", "p99", "CPU us"
    );
    for (way, groups) in [(Way::Calls, 1), (Way::Calls, 16), (Way::Tls, 1), (Way::Tls, 16)] {
        if !is_asked(["calls", "tls"], way.name()) || !is_asked(["1", "16"], &groups.to_string()) {
            continue;
        }
        runtime.block_on(async {
            let running = nodes::start(directory.path(), way, groups).await;
            for (clients, depth) in [(1, 1), (100, 1), (100, 16)] {
                for (gets, spread) in [(false, false), (true, false), (false, true), (true, true)] {
                    let what = if gets { "get" } else { "put" };
                    let whom = if spread { "all" } else { "leader" };
                    if is_asked(["put", "get"], what) && is_asked(["leader", "all"], whom) {
                        let load = Load { way, groups, clients, depth, gets, spread };
                        measure(&running.nodes, load).await;
                    }
                }
            }
            running.stop().await;
        });
    }
}
