//! A group of three members over the real network: what was confirmed is there when one was killed, and on
//! that one when it is back.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft_rt_tokio::TokioRuntime;
use tidekeep_cluster::peer::{
    Identity, JoinGrant, JoinRefused, JoinRequest, ListenerOptions, PeerNetwork, Serve,
};
use tidekeep_cluster::{Audit, Config, Journal, JournalOptions, Member, NodeId, PeerAddress};
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{OpenError, ReplicaOptions, Upkeep};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Put, Request};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

use crate::nodes::{PATIENCE, Running, founded, member, network, run};

/// Answers what other members ask.
struct Answers(Arc<Member<TokioRuntime>>);

impl Serve for Answers {
    fn serve(
        &self,
        _from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
        let member = Arc::clone(&self.0);
        Box::pin(async move { member.serve(&request).await })
    }

    fn join(
        &self,
        _request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>> {
        Box::pin(std::future::ready(Err(JoinRefused::TokenUnknown)))
    }
}

/// A member with its log and its network.
struct Node {
    member: Arc<Member<TokioRuntime>>,
    running: Running,
    _network: PeerNetwork,
}

impl Node {
    async fn start(identity: &Arc<Identity>, directory: &Path, address: &str) -> Self {
        let disk = Arc::new(opened(directory).await);
        let mut random = fastrand::Rng::new();
        let opened = Journal::open(JournalOptions {
            disk,
            segment_bytes: 1 << 20,
            upkeep: Upkeep::Threads,
            appended: None,
            replica: ReplicaOptions::new(identity.node().0),
            random: Box::new(move || random.u64(..)),
        });
        let opened = opened.expect("a log");
        opened.run::<TokioRuntime>();
        let network = network(identity);
        let config = Config::new(identity.node(), 0);
        let member = Member::start(config, &opened, Arc::new(network.clone()), 0).await;
        let member = Arc::new(member.expect("a member"));
        let (answers, options) = (Answers(Arc::clone(&member)), ListenerOptions::default());
        let running = Running::serving(address, Arc::clone(identity), Arc::new(answers), options);
        Self { running: running.await, member, _network: network }
    }

    /// Ends it without a word to the others.
    async fn kill(self) {
        self.running.kill().await;
        self.member.stop().await;
        self.member.journal().close().expect("a log that ends well");
    }
}

/// The disk, once whoever had it before is gone.
async fn opened(directory: &Path) -> RealDisk {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match RealDisk::open(directory) {
            Ok(disk) => return disk,
            Err(OpenError::Locked { .. }) if Instant::now() < deadline => {}
            Err(why) => panic!("{}: {why}", directory.display()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Puts a key by whichever member leads.
async fn put(nodes: &[Option<Node>], number: usize) {
    let mut out = Vec::new();
    record::begin(Stamp { now_ms: number as u64, revision: 0 }, &mut out);
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    let key = format!("key {number}");
    let (key, value) = (key.as_bytes(), [7; 1_000].as_slice());
    let put = Put { key, value, condition, expiry, previous: false };
    record::push_decoded(&Request::Put(put), &mut out);
    let deadline = Instant::now() + PATIENCE;
    for node in nodes.iter().flatten().cycle() {
        match node.member.write(out.clone()).await {
            Ok(_) => return,
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until all members that run have the same state, with so many writes in it.
async fn agree(nodes: &[Option<Node>], writes: usize) -> Audit {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let audits: Vec<_> = nodes.iter().flatten().map(|node| node.member.audit()).collect();
        let same = |audit: &Audit| *audit == audits[0] && audit.revision >= writes as u64;
        if audits.iter().all(same) {
            return audits[0];
        }
        assert!(Instant::now() < deadline, "{audits:?} after {writes} writes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn what_was_confirmed_outlives_a_member_and_reaches_it_when_it_is_back() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = |place: usize| directory.path().join(place.to_string());
        let first = Arc::new(founded());
        let others = [2, 3].map(|node| Arc::new(member(&first, node)));
        let identities = [Arc::clone(&first), Arc::clone(&others[0]), Arc::clone(&others[1])];
        let mut nodes = Vec::new();
        for (place, identity) in identities.iter().enumerate() {
            nodes.push(Some(Node::start(identity, &path(place), "127.0.0.1:0").await));
        }
        let members: BTreeMap<NodeId, PeerAddress> = nodes
            .iter()
            .flatten()
            .zip(&identities)
            .map(|(node, identity)| (identity.node(), node.running.at.clone()))
            .collect();
        let founder = nodes[0].as_ref().unwrap();
        founder.member.found(members).await.expect("a new group");
        let mut writes = 0;
        // Each one in turn goes, the leader among them, and comes back to what it missed.
        for gone in 0..3 {
            for _ in 0..20 {
                put(&nodes, writes).await;
                writes += 1;
            }
            agree(&nodes, writes).await;
            let node = nodes[gone].take().unwrap();
            let at = node.running.at.address.clone();
            node.kill().await;
            for _ in 0..20 {
                put(&nodes, writes).await;
                writes += 1;
            }
            nodes[gone] = Some(Node::start(&identities[gone], &path(gone), &at).await);
            agree(&nodes, writes).await;
        }
        for node in nodes.into_iter().flatten() {
            node.kill().await;
        }
    });
}
