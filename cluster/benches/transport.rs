//! What a call between nodes costs: requests over TLS on loopback that are echoed, both sides in one process.
//! `cargo bench -p tidekeep-cluster --bench transport`.

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidekeep_cluster::peer::{
    ClusterId, Identity, JoinGrant, JoinRefused, JoinRequest, ListenerOptions, PeerNetwork,
    PeerOptions, Serve, serve,
};
use tidekeep_cluster::{Lane, Link, NodeId, PeerAddress};
use tidekeep_protocol::slot::GroupCount;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

const WARM_UP: Duration = Duration::from_millis(300);
const TIME: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(10);
/// What is replied.
const REPLY_BYTES: usize = 32;

struct Short;

impl Serve for Short {
    fn serve(
        &self,
        _from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
        let reply = request[..REPLY_BYTES].to_vec();
        Box::pin(std::future::ready(reply))
    }

    fn join(
        &self,
        _request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>> {
        Box::pin(std::future::ready(Err(JoinRefused::TokenUnknown)))
    }
}

/// Processor time of this process until now, in ticks of 10 ms.
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

/// Calls for a while by so many callers, each waiting for its reply.
async fn measure(network: &PeerNetwork, at: &PeerAddress, callers: usize, bytes: usize) {
    let (done, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let callers_running: Vec<_> = (0..callers)
        .map(|_| {
            let (network, at) = (network.clone(), at.clone());
            let (done, ends) = (Arc::clone(&done), Arc::clone(&ends));
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let request = vec![7; bytes];
                    let reply = network.call(NodeId(1), &at, Lane::Entries, request, LIMIT).await;
                    assert_eq!(reply.expect("a reply").len(), REPLY_BYTES);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, began, cpu) = (done.load(Ordering::Relaxed), Instant::now(), cpu_time());
    tokio::time::sleep(TIME).await;
    let calls = (done.load(Ordering::Relaxed) - before) as f64;
    let time = began.elapsed().as_secs_f64();
    let cpu = cpu.zip(cpu_time()).map_or(0.0, |(from, to)| (to - from).as_secs_f64());
    ends.store(true, Ordering::Relaxed);
    for caller in callers_running {
        caller.await.expect("a caller");
    }
    let (rate, megabytes) = (calls / time, calls * bytes as f64 / time / 1e6);
    let cpu_us = cpu * 1e6 / calls;
    println!("{callers:>7} {bytes:>8} {rate:>10.0} {megabytes:>8.0} {cpu_us:>10.2}");
}

fn main() {
    // `cargo test --benches` runs it too, and is to be quick.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let identity = Identity::found(ClusterId([1; 16]), GroupCount::ONE, PeerAddress::default())
            .expect("a cluster");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = PeerAddress { address: listener.local_addr().expect("an address").to_string() };
        let (service, options) = (Arc::new(Short), ListenerOptions::default());
        let door = serve(listener, &identity, service, options, std::future::pending());
        tokio::spawn(door);
        let network = PeerNetwork::new(&identity, PeerOptions::default(), Handle::current());
        println!(
            "{:>7} {:>8} {:>10} {:>8} {:>10}",
            "callers", "bytes", "calls/s", "MB/s", "CPU us"
        );
        for (callers, bytes) in [(1, 100), (16, 100), (200, 100), (16, 4_096), (4, 1 << 20)] {
            measure(&network, &at, callers, bytes).await;
        }
    });
}
